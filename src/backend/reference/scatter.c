/* scatter.c: scatter, scatter_reduce, scatter_last, and rows by a vector of indices: index_select, index_add, index_copy,
   index_fill. Every index is checked before it is used. Rests on numbers. */
#include "backend/reference/reference.h"
#include "op/attributes.h"
#include "op/number.h"

#include <cambium/ops/index.h>
#include <math.h>
#include <string.h>

/* The place in x that each element of source goes to, and how many lie in index's lanes. */
typedef struct landing {
    cbm_walk walk; /* over source: offset in x but for the axis */
    int64_t step, extent;
} landing;

/* For an index of each element: its walk off the axis. */
static landing landing_over(const cbm_buffer *index, const cbm_buffer *x, int64_t axis)
{
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    cbm_row_major(x->rank, x->shape, stride);
    const int64_t step = stride[axis];
    stride[axis] = 0;
    return (landing){ cbm_walk_over(index->rank, index->shape, stride), step, x->shape[axis] };
}

static bool inside(int64_t i, int64_t extent)
{
    return i >= 0 && i < extent;
}

static cbm_status scatter(const cbm_launch *launch) /* x, index, source -> y */
{
    const cbm_buffer *x = &launch->in[0], *index = &launch->in[1];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < x->count; k++)
        c.out[0][k] = c.in[0][k];
    landing to = landing_over(index, x, ((const cbm_axis_attributes *)launch->attributes)->axis);
    for (int64_t k = 0; k < index->count; k++, cbm_walk_next(&to.walk)) {
        const int64_t i = c.in[1][k].i;
        if (!inside(i, to.extent))
            return cbm_reference_range(launch, "index", i, k, to.extent);
        c.out[0][to.walk.offset + i * to.step] = c.in[2][k];
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* ---- scatter_reduce ---- */

static cbm_number joined(int64_t how, bool floats, cbm_number a, cbm_number b)
{
    switch (how) {
    case CBM_SCATTER_PROD:
        if (floats)
            return (cbm_number){ .f = a.f * b.f };
        return (cbm_number){ .i = (int64_t)((uint64_t)a.i * (uint64_t)b.i) };
    case CBM_SCATTER_AMAX: return (floats ? b.f > a.f || isnan(b.f) : b.i > a.i) ? b : a;
    case CBM_SCATTER_AMIN: return (floats ? b.f < a.f || isnan(b.f) : b.i < a.i) ? b : a;
    default:
        if (floats)
            return (cbm_number){ .f = a.f + b.f };
        return (cbm_number){ .i = (int64_t)((uint64_t)a.i + (uint64_t)b.i) };
    }
}

/* Behind the numbers: how many have come to each place of x. */
static cbm_status reduce_prepare(cbm_prepare *prepare)
{
    const cbm_status status = cbm_numbers_prepare(prepare);
    prepare->workspace += (size_t)prepare->launch->in[0].count * sizeof(int64_t);
    return status;
}

static cbm_status scatter_reduce(const cbm_launch *launch) /* x, index, source -> y */
{
    const cbm_scatter_reduce_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0], *index = &launch->in[1];
    const bool floats = cbm_is_floating(x->dtype);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    int64_t *count = (int64_t *)(void *)(c.out[0] + launch->out[0].count);
    for (int64_t k = 0; k < x->count; k++) {
        c.out[0][k] = c.in[0][k];
        count[k] = a->include_self;
    }
    landing to = landing_over(index, x, a->axis);
    for (int64_t k = 0; k < index->count; k++, cbm_walk_next(&to.walk)) {
        const int64_t i = c.in[1][k].i;
        if (!inside(i, to.extent))
            return cbm_reference_range(launch, "index", i, k, to.extent);
        const int64_t at = to.walk.offset + i * to.step;
        c.out[0][at] = count[at]++ == 0 ? c.in[2][k] : joined(a->how, floats, c.out[0][at], c.in[2][k]);
    }
    for (int64_t k = 0; a->how == CBM_SCATTER_MEAN && k < x->count; k++)
        if (count[k] > 1)
            c.out[0][k].f /= (double)count[k];
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* ---- scatter_last ---- */

/* Behind the numbers: for each place of each lane of the index whether a later entry goes there. */
static cbm_status last_prepare(cbm_prepare *prepare)
{
    const cbm_scatter_last_attributes *a = prepare->launch->attributes;
    const cbm_lanes l = cbm_lanes_of(&prepare->launch->in[0], a->axis);
    const cbm_status status = cbm_numbers_prepare(prepare);
    prepare->workspace += (size_t)(l.outer * l.inner * a->extent);
    return status;
}

static cbm_status scatter_last(const cbm_launch *launch) /* index -> whether it stays */
{
    const cbm_scatter_last_attributes *a = launch->attributes;
    const cbm_buffer *index = &launch->in[0];
    const cbm_lanes l = cbm_lanes_of(index, a->axis);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < index->count; k++)
        if (!inside(c.in[0][k].i, a->extent))
            return cbm_reference_range(launch, "index", c.in[0][k].i, k, a->extent);
    uint8_t *taken = (uint8_t *)(void *)(c.out[0] + launch->out[0].count);
    if (l.outer * l.inner * a->extent > 0)
        memset(taken, 0, (size_t)(l.outer * l.inner * a->extent));
    for (int64_t k = index->count; k-- > 0;) {
        const int64_t lane = k / l.inner / l.length * l.inner + k % l.inner;
        uint8_t *place = &taken[lane * a->extent + c.in[0][k].i];
        c.out[0][k].i = !*place;
        *place = 1;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* ---- rows ---- */

/* For each element of source (outer, k, inner), row index[k] of x: checks the indices, then calls body. */
static cbm_status each_row(const cbm_launch *launch, int64_t axis, cbm_numbers *c,
                           void (*body)(const cbm_launch *launch, cbm_numbers *c, int64_t at, int64_t k))
{
    const cbm_lanes l = cbm_lanes_of(&launch->in[0], axis);
    const int64_t count = launch->in[1].count;
    for (int64_t k = 0; k < count; k++)
        if (!inside(c->in[1][k].i, l.length))
            return cbm_reference_range(launch, "index", c->in[1][k].i, k, l.length);
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t k = 0; k < count; k++)
            for (int64_t i = 0; i < l.inner; i++)
                body(launch, c, (o * l.length + c->in[1][k].i) * l.inner + i, (o * count + k) * l.inner + i);
    cbm_numbers_pack(launch, c);
    return CBM_OK;
}

static void take_one(const cbm_launch *launch, cbm_numbers *c, int64_t at, int64_t k)
{
    (void)launch;
    c->out[0][k] = c->in[0][at];
}

static void add_one(const cbm_launch *launch, cbm_numbers *c, int64_t at, int64_t k)
{
    c->out[0][at] = joined(CBM_SCATTER_SUM, cbm_is_floating(launch->in[0].dtype), c->out[0][at], c->in[2][k]);
}

static void put_one(const cbm_launch *launch, cbm_numbers *c, int64_t at, int64_t k)
{
    (void)launch;
    c->out[0][at] = c->in[2][k];
}

static void fill_one(const cbm_launch *launch, cbm_numbers *c, int64_t at, int64_t k)
{
    const double value = ((const cbm_index_fill_attributes *)launch->attributes)->value;
    const cbm_dtype dtype = launch->in[0].dtype;
    (void)k;
    c->out[0][at] =
        cbm_is_floating(dtype) ? (cbm_number){ .f = value } : (cbm_number){ .i = cbm_whole_number(dtype, value) };
}

static cbm_status index_select(const cbm_launch *launch)
{
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    return each_row(launch, ((const cbm_axis_attributes *)launch->attributes)->axis, &c, take_one);
}

static cbm_status into_copy(const cbm_launch *launch, int64_t axis,
                            void (*body)(const cbm_launch *launch, cbm_numbers *c, int64_t at, int64_t k))
{
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->in[0].count; k++)
        c.out[0][k] = c.in[0][k];
    return each_row(launch, axis, &c, body);
}

static cbm_status index_add(const cbm_launch *launch)
{
    return into_copy(launch, ((const cbm_axis_attributes *)launch->attributes)->axis, add_one);
}

static cbm_status index_copy(const cbm_launch *launch)
{
    return into_copy(launch, ((const cbm_axis_attributes *)launch->attributes)->axis, put_one);
}

static cbm_status index_fill(const cbm_launch *launch)
{
    return into_copy(launch, ((const cbm_index_fill_attributes *)launch->attributes)->axis, fill_one);
}

#define KERNEL(op_, prepare_, launch_)                                                                                 \
    {                                                                                                                  \
        .op = (op_), .flags = CBM_KERNEL_STRIDED, .prepare = (prepare_), .launch = (launch_)                           \
    }
const cbm_kernel cbm_reference_scatter[] = {
    KERNEL("scatter", cbm_numbers_prepare, scatter),       KERNEL("scatter_reduce", reduce_prepare, scatter_reduce),
    KERNEL("scatter_last", last_prepare, scatter_last),    KERNEL("index_select", cbm_numbers_prepare, index_select),
    KERNEL("index_add", cbm_numbers_prepare, index_add),   KERNEL("index_copy", cbm_numbers_prepare, index_copy),
    KERNEL("index_fill", cbm_numbers_prepare, index_fill), { .op = NULL },
};
