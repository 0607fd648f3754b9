/* reduce.c: sum, mean, max, argmax over axes. Rests on numbers (reference.h); results accumulate in double or 64-bit integers. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>

static bool is_reduced(const cbm_shape *axes, int64_t axis)
{
    for (int64_t i = 1; i <= axes->v[0]; i++)
        if (axes->v[i] == axis)
            return true;
    return false;
}

/* A walk over x whose offset is the place of the result that each element belongs to. */
static cbm_walk walk_to_results(const cbm_buffer *x, const cbm_shape *axes)
{
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    int64_t step = 1;
    for (int64_t d = x->rank - 1; d >= 0; d--) {
        if (is_reduced(axes, d))
            continue;
        stride[d] = step;
        step *= x->shape[d];
    }
    return cbm_walk_over(x->rank, x->shape, stride);
}

static cbm_number plus(bool floats, cbm_number a, cbm_number b)
{
    if (floats)
        return (cbm_number){ .f = a.f + b.f };
    return (cbm_number){ .i = (int64_t)((uint64_t)a.i + (uint64_t)b.i) };
}

static bool above(bool floats, cbm_number a, cbm_number b) /* NaN is above every number, not above another NaN */
{
    if (floats)
        return a.f > b.f || (isnan(a.f) && !isnan(b.f));
    return a.i > b.i;
}

static cbm_status sum(const cbm_launch *launch)
{
    const cbm_reduce_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    bool floats = cbm_is_float(x->dtype);
    cbm_walk w = walk_to_results(x, &a->axes);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w))
        c.out[0][w.offset] = plus(floats, c.out[0][w.offset], c.in[0][k]);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status mean(const cbm_launch *launch)
{
    const cbm_reduce_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    double members = 1;
    for (int64_t d = 0; d < x->rank; d++)
        if (is_reduced(&a->axes, d))
            members *= (double)x->shape[d];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_walk w = walk_to_results(x, &a->axes);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w))
        c.out[0][w.offset].f += c.in[0][k].f;
    for (int64_t k = 0; k < launch->out[0].count; k++)
        c.out[0][k].f /= members;
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status max(const cbm_launch *launch)
{
    const cbm_reduce_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    bool floats = cbm_is_float(x->dtype);
    for (int64_t k = 0; k < launch->out[0].count; k++) {
        if (floats)
            c.out[0][k].f = -INFINITY;
        else
            c.out[0][k].i = INT64_MIN;
    }
    cbm_walk w = walk_to_results(x, &a->axes);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w))
        if (above(floats, c.in[0][k], c.out[0][w.offset]))
            c.out[0][w.offset] = c.in[0][k];
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status argmax(const cbm_launch *launch)
{
    const cbm_reduce_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    bool floats = cbm_is_float(x->dtype);
    bool flat = a->axes.v[0] != 1; /* all axes: the index counts through the flattened tensor */
    cbm_lanes l = flat ? (cbm_lanes){ 1, x->count, 1 } : cbm_lanes_of(x, a->axes.v[1]);
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t i = 0; i < l.inner; i++) {
            const cbm_number *lane = c.in[0] + o * l.length * l.inner + i;
            int64_t best = 0;
            for (int64_t j = 1; j < l.length; j++)
                if (above(floats, lane[j * l.inner], lane[best * l.inner]))
                    best = j;
            c.out[0][o * l.inner + i].i = best;
        }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

const cbm_kernel cbm_reference_reduce[] = {
    { .op = "sum", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = sum },
    { .op = "mean", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = mean },
    { .op = "max", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = max },
    { .op = "argmax", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = argmax },
    { .op = NULL },
};
