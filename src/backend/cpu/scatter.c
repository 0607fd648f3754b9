/* scatter.c: scatter for every dtype and scatter_reduce of f32, along an axis with index extents equal to x's elsewhere; odd
   shapes go to the reference backend. What lands in one place comes in the index's order: threads take outer numbers, or
   columns, never rows. Rests on rows.h. */
#include "backend/cpu/rows.h"

#include <cambium/ops/index.h>
#include <math.h>
#include <string.h>

typedef struct job {
    const cbm_buffer *index;
    cbm_around a;   /* of index: its length may differ from x's */
    int64_t length; /* of x's axis */
    size_t size;
    char *y;
    const char *source;
    int64_t how;
    bool self;
    int32_t *count; /* how many are at each place of y, for MEAN */
    bool by_columns;
} job;

static job job_of(const cbm_launch *l, int64_t axis)
{
    return (job){ .index = &l->in[1],
                  .a = cbm_around_axis(&l->in[1], axis),
                  .length = l->in[0].shape[axis],
                  .size = cbm_dtype_size(l->in[0].dtype),
                  .y = l->out[0].data,
                  .source = l->in[2].data };
}

/* Checks the indices, copies x, and runs body over the outer numbers or the columns. */
static cbm_status run(const cbm_launch *l, job *j, void (*body)(void *user, int64_t begin, int64_t end))
{
    const cbm_status status = cbm_check_index(l, j->index, j->length);
    if (status != CBM_OK)
        return status;
    if (j->y != l->in[0].data)
        memcpy(j->y, l->in[0].data, (size_t)l->out[0].count * j->size);
    if (j->index->count == 0)
        return CBM_OK;
    j->by_columns = j->a.outer < l->threads;
    if (j->by_columns)
        cbm_parallel_for(j->a.inner, cbm_grain(j->a.outer * j->a.length), l->threads, body, j);
    else
        cbm_parallel_for(j->a.outer, cbm_grain(j->a.length * j->a.inner), l->threads, body, j);
    return CBM_OK;
}

/* The part's outer numbers [o0, o1) and columns [i0, i1). */
typedef struct part {
    int64_t o0, o1, i0, i1;
} part;

static part part_of(const job *j, int64_t begin, int64_t end)
{
    return j->by_columns ? (part){ 0, j->a.outer, begin, end } : (part){ begin, end, 0, j->a.inner };
}

/* statement for each element k of source in the part, in order; at is its place in y. */
#define EACH(statement_)                                                                                               \
    for (int64_t o = p.o0; o < p.o1; o++)                                                                              \
        for (int64_t r = 0; r < j->a.length; r++)                                                                      \
            for (int64_t i = p.i0; i < p.i1; i++) {                                                                    \
                const int64_t k = (o * j->a.length + r) * j->a.inner + i;                                              \
                const int64_t at = (o * j->length + cbm_index_at(j->index, k)) * j->a.inner + i;                       \
                statement_;                                                                                            \
            }

static void put(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const part p = part_of(j, begin, end);
    if (j->size == 4)
        EACH(((uint32_t *)(void *)j->y)[at] = ((const uint32_t *)(const void *)j->source)[k])
    else
        EACH(memcpy(j->y + (size_t)at * j->size, j->source + (size_t)k * j->size, j->size))
}

static cbm_status scatter(const cbm_launch *l) /* x, index, source -> y */
{
    job j = job_of(l, ((const cbm_axis_attributes *)l->attributes)->axis);
    return run(l, &j, put);
}

/* ---- scatter_reduce ---- */

/* What takes part in nothing: the number with which a reduction starts where x gives way. */
static float neutral(int64_t how)
{
    return how == CBM_SCATTER_PROD   ? 1.0F
           : how == CBM_SCATTER_AMAX ? -INFINITY
           : how == CBM_SCATTER_AMIN ? INFINITY
                                     : 0;
}

static void reduce(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const part p = part_of(j, begin, end);
    const float *source = (const float *)(const void *)j->source, start = neutral(j->how);
    float *y = (float *)(void *)j->y;
    if (!j->self)
        EACH((void)k; y[at] = start)
    switch (j->how) {
    case CBM_SCATTER_SUM: EACH(y[at] += source[k]) return;
    case CBM_SCATTER_PROD: EACH(y[at] *= source[k]) return;
    case CBM_SCATTER_AMAX: EACH(y[at] = source[k] > y[at] || isnan(source[k]) ? source[k] : y[at]) return;
    case CBM_SCATTER_AMIN: EACH(y[at] = source[k] < y[at] || isnan(source[k]) ? source[k] : y[at]) return;
    default: break;
    }
    EACH((void)k; j->count[at] = j->self)
    EACH(y[at] += source[k]; j->count[at]++)
    EACH((void)k; if (j->count[at] != 0) {
        y[at] /= (float)j->count[at];
        j->count[at] = 0;
    })
}

static cbm_status prepare(cbm_prepare *p)
{
    const cbm_scatter_reduce_attributes *a = p->launch->attributes;
    if (a->how == CBM_SCATTER_MEAN)
        p->workspace = (size_t)p->launch->out[0].count * sizeof(int32_t);
    return CBM_OK;
}

static cbm_status scatter_reduce(const cbm_launch *l) /* x, index, source -> y */
{
    const cbm_scatter_reduce_attributes *a = l->attributes;
    job j = job_of(l, a->axis);
    j.how = a->how;
    j.self = a->include_self != 0;
    j.count = l->workspace;
    return run(l, &j, reduce);
}

/* ---- what is served ---- */

static bool same_off_axis(const cbm_launch *l, int64_t axis)
{
    const cbm_buffer *x = &l->in[0], *index = &l->in[1];
    for (int64_t d = 0; d < x->rank; d++)
        if (d != axis && x->shape[d] != index->shape[d])
            return false;
    return index->count < INT32_MAX;
}

static bool scatter_supports(const cbm_launch *l)
{
    return same_off_axis(l, ((const cbm_axis_attributes *)l->attributes)->axis);
}

static bool reduce_supports(const cbm_launch *l)
{
    return l->in[0].dtype == CBM_F32 && same_off_axis(l, ((const cbm_scatter_reduce_attributes *)l->attributes)->axis);
}

const cbm_kernel cbm_cpu_scatter[] = {
    { .op = "scatter", .supports = scatter_supports, .launch = scatter },
    { .op = "scatter_reduce", .supports = reduce_supports, .prepare = prepare, .launch = scatter_reduce },
    { .op = NULL },
};
