/* embedding.c: rows of a table by number: embedding for every dtype, its gradient and bags of f32, bag_of. Indices and offsets
   are checked before anything is written. Rests on rows.h and simd/rows.c. */
#include "backend/cpu/rows.h"

#include <cambium/ops/embedding.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- embedding ---- */

enum { AHEAD = 8 }; /* rows that are asked for before they are read */

typedef struct reading {
    const cbm_buffer *index;
    const char *table;
    char *y;
    size_t row; /* bytes */
} reading;

static void read_rows(void *user, int64_t begin, int64_t end)
{
    const reading *r = user;
    for (int64_t i = begin; i < end; i++) {
        if (i + AHEAD < end)
            __builtin_prefetch(r->table + (size_t)cbm_index_at(r->index, i + AHEAD) * r->row);
        memcpy(r->y + (size_t)i * r->row, r->table + (size_t)cbm_index_at(r->index, i) * r->row, r->row);
    }
}

static cbm_status embedding(const cbm_launch *l) /* indices, weight -> y */
{
    const cbm_buffer *w = &l->in[1];
    const cbm_status status = cbm_check_index(l, &l->in[0], w->shape[0]);
    if (status != CBM_OK)
        return status;
    reading r = { &l->in[0], w->data, l->out[0].data, (size_t)w->shape[1] * cbm_dtype_size(w->dtype) };
    cbm_parallel_for(l->in[0].count, cbm_grain(w->shape[1]), l->threads, read_rows, &r);
    return CBM_OK;
}

static void zero(void *user, int64_t begin, int64_t end)
{
    memset((char *)user + begin, 0, (size_t)(end - begin));
}

static cbm_status embedding_backward(const cbm_launch *l) /* indices, g -> dweight */
{
    const cbm_embedding_backward_attributes *a = l->attributes;
    const cbm_buffer *dw = &l->out[0];
    const cbm_status status = cbm_check_index(l, &l->in[0], a->rows);
    if (status != CBM_OK)
        return status;
    const cbm_rows r = { &l->in[0], 1, a->rows, dw->shape[1], a->padding };
    cbm_parallel_for(dw->count * (int64_t)sizeof(float), CBM_CPU_GRAIN * 8, l->threads, zero, dw->data);
    cbm_rows_add(&r, dw->data, l->in[1].data, l->threads);
    return CBM_OK;
}

static bool backward_supports(const cbm_launch *l)
{
    return l->in[1].dtype == CBM_F32;
}

/* ---- bags ---- */

/* Offsets begin with 0, never fall, and end within count. */
static cbm_status check_offsets(const cbm_launch *l, const cbm_buffer *offsets, int64_t count)
{
    int64_t before = 0;
    for (int64_t i = 0; i < offsets->count; i++) {
        const int64_t at = cbm_index_at(offsets, i);
        if (at >= before && at <= (i == 0 ? 0 : count)) {
            before = at;
            continue;
        }
        if (l->message)
            snprintf(l->message, 256, "offset %" PRId64 " at position %" PRId64 " is outside %" PRId64 "..%" PRId64, at,
                     i, before, i == 0 ? 0 : count);
        return CBM_ERROR_RANGE;
    }
    return CBM_OK;
}

static cbm_status bag_of(const cbm_launch *l) /* offsets -> y */
{
    const cbm_buffer *offsets = &l->in[0], *y = &l->out[0];
    const cbm_status status = check_offsets(l, offsets, y->count);
    int64_t *bags = y->data;
    for (int64_t b = 0; status == CBM_OK && b < offsets->count; b++) {
        const int64_t end = b + 1 < offsets->count ? cbm_index_at(offsets, b + 1) : y->count;
        for (int64_t i = cbm_index_at(offsets, b); i < end; i++)
            bags[i] = b;
    }
    return status;
}

enum { WEIGHT, INDICES, REST };

typedef struct bags {
    const cbm_simd *simd;
    const cbm_bag_attributes *a;
    const cbm_buffer *index, *offsets; /* offsets NULL: bags of `length` */
    const float *table, *factors;
    float *y;
    int64_t *places; /* of the maxima */
    int64_t columns, length;
} bags;

static void greatest(const bags *j, float *y, int64_t *places, int64_t row, bool first)
{
    const float *x = j->table + row * j->columns;
    for (int64_t c = 0; c < j->columns; c++)
        if (first || x[c] > y[c] || (isnan(x[c]) && !isnan(y[c]))) {
            y[c] = x[c];
            places[c] = row;
        }
}

static void reduce_bags(void *user, int64_t begin, int64_t end)
{
    const bags *j = user;
    for (int64_t b = begin; b < end; b++) {
        float *y = j->y + b * j->columns;
        int64_t *places = j->a->mode == CBM_BAG_MAX ? j->places + b * j->columns : NULL;
        const int64_t first = j->offsets ? cbm_index_at(j->offsets, b) : b * j->length;
        const int64_t last = !j->offsets                 ? first + j->length
                             : b + 1 < j->offsets->count ? cbm_index_at(j->offsets, b + 1)
                                                         : j->index->count;
        int64_t members = 0;
        memset(y, 0, (size_t)j->columns * sizeof *y);
        for (int64_t c = 0; places && c < j->columns; c++)
            places[c] = -1;
        for (int64_t i = first; i < last; i++) {
            const int64_t row = cbm_index_at(j->index, i);
            if (row == j->a->padding)
                continue;
            if (places)
                greatest(j, y, places, row, members == 0);
            else if (j->factors)
                j->simd->multiply_add(y, j->table + row * j->columns, j->factors[i], j->columns);
            else
                j->simd->add(y, j->table + row * j->columns, j->columns);
            members++;
        }
        for (int64_t c = 0; j->a->mode == CBM_BAG_MEAN && members > 0 && c < j->columns; c++)
            y[c] /= (float)members;
    }
}

static cbm_status embedding_bag(const cbm_launch *l) /* weight, indices[, offsets][, factors] -> y, places */
{
    const cbm_bag_attributes *a = l->attributes;
    const cbm_buffer *index = &l->in[INDICES], *w = &l->in[WEIGHT], *y = &l->out[0];
    bags j = { .simd = cbm_simd_get(),
               .a = a,
               .index = index,
               .offsets = a->fixed ? NULL : &l->in[REST],
               .table = w->data,
               .factors = a->weighted ? l->in[a->fixed ? REST : REST + 1].data : NULL,
               .y = y->data,
               .places = l->out[1].data,
               .columns = w->shape[1],
               .length = a->fixed ? index->shape[1] : 0 };
    cbm_status status = cbm_check_index(l, index, w->shape[0]);
    if (status == CBM_OK && j.offsets)
        status = check_offsets(l, j.offsets, index->count);
    if (status == CBM_OK && y->count > 0)
        cbm_parallel_for(y->shape[0], cbm_grain((index->count / y->shape[0] + 1) * j.columns), l->threads, reduce_bags,
                         &j);
    return status;
}

static bool bag_supports(const cbm_launch *l)
{
    return l->in[WEIGHT].dtype == CBM_F32;
}

const cbm_kernel cbm_cpu_embedding[] = {
    { .op = "embedding", .launch = embedding },
    { .op = "embedding_backward", .supports = backward_supports, .launch = embedding_backward },
    { .op = "bag_of", .launch = bag_of },
    { .op = "embedding_bag", .supports = bag_supports, .launch = embedding_bag },
    { .op = NULL },
};
