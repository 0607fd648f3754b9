/* rows.h: what kernels that are led by indices share: reading and checking indices, and adding up rows. Rests on cpu.h. */
#ifndef CAMBIUM_CPU_ROWS_H
#define CAMBIUM_CPU_ROWS_H

#include "backend/cpu/cpu.h"

static inline bool cbm_is_index(cbm_dtype t)
{
    return t == CBM_I64 || t == CBM_I32;
}

static inline int64_t cbm_index_at(const cbm_buffer *b, int64_t i)
{
    return b->dtype == CBM_I64 ? ((const int64_t *)b->data)[i] : ((const int32_t *)b->data)[i];
}

/* Whether all of index lie in 0..extent - 1; otherwise CBM_ERROR_RANGE, and the launch's message says which one does not. */
cbm_status cbm_check_index(const cbm_launch *l, const cbm_buffer *index, int64_t extent);

/* What lands in the rows of y (outer, length, inner): row k of source (outer, index->count, inner) in row index[k], in the
   order of k, whatever the threads. */
typedef struct cbm_rows {
    const cbm_buffer *index;
    int64_t outer, length, inner;
    int64_t skip; /* this index is left out; -1: none */
} cbm_rows;
/* y += source, f32. */
void cbm_rows_add(const cbm_rows *r, float *y, const float *source, int64_t threads);
/* y = source, elements of this size. */
void cbm_rows_put(const cbm_rows *r, char *y, const char *source, size_t size, int64_t threads);

#endif
