/* index.c: one_hot, gather and scatter_add. Indices are checked before anything is written. Indexing along an axis with
   index extents equal to x's elsewhere is served here; odd shapes go to the reference backend. */
#include "backend/cpu/rows.h"

#include <string.h>

typedef struct job {
    const cbm_buffer *index;
    cbm_around a; /* of index: its length may differ from x's */
    int64_t length;
    size_t size;
    const char *x;
    char *y;
    const float *source;
    bool by_columns;
} job;

/* ---- one_hot ---- */

static void one_hot_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    float *y = (float *)(void *)j->y;
    memset(y + begin * j->length, 0, (size_t)((end - begin) * j->length) * sizeof *y);
    for (int64_t i = begin; i < end; i++)
        y[i * j->length + cbm_index_at(j->index, i)] = 1;
}

static cbm_status one_hot(const cbm_launch *l)
{
    const cbm_one_hot_attributes *a = l->attributes;
    const cbm_status status = cbm_check_index(l, &l->in[0], a->classes);
    if (status != CBM_OK)
        return status;
    job j = { .index = &l->in[0], .length = a->classes, .y = l->out[0].data };
    cbm_parallel_for(l->in[0].count, cbm_grain(a->classes), l->threads, one_hot_rows, &j);
    return CBM_OK;
}

static bool one_hot_supports(const cbm_launch *l)
{
    return cbm_is_index(l->in[0].dtype) && l->out[0].dtype == CBM_F32;
}

/* ---- gather ---- */

static void gather_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t inner = j->a.inner;
    for (int64_t r = begin; r < end; r++) { /* (outer, place along the axis) */
        const int64_t outer = r / j->a.length, base = outer * j->length * inner;
        for (int64_t i = 0; i < inner; i++) {
            const int64_t k = r * inner + i, from = base + cbm_index_at(j->index, k) * inner + i;
            if (j->size == 4)
                ((uint32_t *)(void *)j->y)[k] = ((const uint32_t *)(const void *)j->x)[from];
            else
                memcpy(j->y + (size_t)k * j->size, j->x + (size_t)from * j->size, j->size);
        }
    }
}

static job job_of(const cbm_launch *l)
{
    const cbm_axis_attributes *a = l->attributes;
    return (job){ .index = &l->in[1],
                  .a = cbm_around_axis(&l->in[1], a->axis),
                  .length = l->in[0].shape[a->axis],
                  .size = cbm_dtype_size(l->in[0].dtype),
                  .x = l->in[0].data,
                  .y = l->out[0].data };
}

static cbm_status gather(const cbm_launch *l) /* x, index -> y */
{
    job j = job_of(l);
    const cbm_status status = cbm_check_index(l, j.index, j.length);
    if (status != CBM_OK)
        return status;
    if (l->out[0].count > 0)
        cbm_parallel_for(j.a.outer * j.a.length, cbm_grain(j.a.inner), l->threads, gather_rows, &j);
    return CBM_OK;
}

static bool same_off_axis(const cbm_launch *l)
{
    const cbm_axis_attributes *a = l->attributes;
    const cbm_buffer *x = &l->in[0], *index = &l->in[1];
    for (int64_t d = 0; d < x->rank; d++)
        if (d != a->axis && x->shape[d] != index->shape[d])
            return false;
    return x->rank == index->rank && x->rank > 0 && cbm_is_index(index->dtype);
}

/* ---- scatter_add ---- */

/* Additions to one place happen in the index's order: threads take outer numbers, or columns, never rows. */
static void scatter_part(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t inner = j->a.inner;
    const int64_t o0 = j->by_columns ? 0 : begin, o1 = j->by_columns ? j->a.outer : end;
    const int64_t i0 = j->by_columns ? begin : 0, i1 = j->by_columns ? end : inner;
    float *y = (float *)(void *)j->y;
    for (int64_t o = o0; o < o1; o++)
        for (int64_t r = 0; r < j->a.length; r++)
            for (int64_t i = i0; i < i1; i++) {
                const int64_t k = (o * j->a.length + r) * inner + i;
                y[(o * j->length + cbm_index_at(j->index, k)) * inner + i] += j->source[k];
            }
}

static cbm_status scatter_add(const cbm_launch *l) /* x, index, source -> y */
{
    job j = job_of(l);
    const cbm_status status = cbm_check_index(l, j.index, j.length);
    if (status != CBM_OK)
        return status;
    j.source = l->in[2].data;
    if (l->out[0].count > 0 && j.y != j.x)
        memcpy(j.y, j.x, (size_t)l->out[0].count * j.size);
    if (j.index->count == 0)
        return CBM_OK;
    j.by_columns = j.a.outer < l->threads;
    if (j.by_columns)
        cbm_parallel_for(j.a.inner, cbm_grain(j.a.outer * j.a.length), l->threads, scatter_part, &j);
    else
        cbm_parallel_for(j.a.outer, cbm_grain(j.a.length * j.a.inner), l->threads, scatter_part, &j);
    return CBM_OK;
}

static bool scatter_supports(const cbm_launch *l)
{
    const cbm_buffer *index = &l->in[1], *source = &l->in[2];
    for (int64_t d = 0; d < index->rank; d++)
        if (d >= source->rank || source->shape[d] != index->shape[d])
            return false;
    return l->in[0].dtype == CBM_F32 && same_off_axis(l);
}

const cbm_kernel cbm_cpu_index[] = {
    { .op = "one_hot", .supports = one_hot_supports, .launch = one_hot },
    { .op = "gather", .supports = same_off_axis, .launch = gather },
    { .op = "scatter_add", .supports = scatter_supports, .launch = scatter_add },
    { .op = NULL },
};
