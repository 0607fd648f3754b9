/* move.c: reshape, permute, expand, slice, concat, slice_scatter as copies, element by element and for any dtype. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

/* All elements of the result in order, reading from x by strides given for the result's axes. */
static void copy_by(const cbm_buffer *y, const cbm_buffer *x, const int64_t *stride, int64_t start)
{
    cbm_walk w = cbm_walk_over(y->rank, y->shape, stride);
    for (int64_t k = 0; k < y->count; k++, cbm_walk_next(&w))
        cbm_reference_copy(y, k, x, start + w.offset);
}

static cbm_status reshape(const cbm_launch *launch)
{
    const cbm_buffer *x = &launch->in[0];
    cbm_walk w = cbm_walk_over(x->rank, x->shape, x->stride);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&w))
        cbm_reference_copy(&launch->out[0], k, x, w.offset);
    return CBM_OK;
}

static cbm_status permute(const cbm_launch *launch)
{
    const cbm_shape_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    for (int64_t d = 0; d < x->rank; d++)
        stride[d] = x->stride[a->shape.v[1 + d]];
    copy_by(&launch->out[0], x, stride, 0);
    return CBM_OK;
}

static cbm_status expand(const cbm_launch *launch)
{
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    int64_t added = y->rank - x->rank; /* axes before x's first */
    for (int64_t d = 0; d < x->rank; d++)
        stride[added + d] = x->shape[d] == 1 ? 0 : x->stride[d];
    copy_by(y, x, stride, 0);
    return CBM_OK;
}

static cbm_status slice(const cbm_launch *launch)
{
    const cbm_slice_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0];
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    for (int64_t d = 0; d < x->rank; d++)
        stride[d] = d == a->axis ? x->stride[d] * a->step : x->stride[d];
    copy_by(&launch->out[0], x, stride, a->start * x->stride[a->axis]);
    return CBM_OK;
}

/* Writes all of x into the part of y that starts at `start` of axis and takes every step-th place. */
static void put(const cbm_buffer *y, const cbm_buffer *x, int64_t axis, int64_t start, int64_t step)
{
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    cbm_row_major(y->rank, y->shape, stride);
    int64_t base = start * stride[axis];
    stride[axis] *= step;
    cbm_walk to = cbm_walk_over(x->rank, x->shape, stride), from = cbm_walk_over(x->rank, x->shape, x->stride);
    for (int64_t k = 0; k < x->count; k++, cbm_walk_next(&to), cbm_walk_next(&from))
        cbm_reference_copy(y, base + to.offset, x, from.offset);
}

static cbm_status slice_scatter(const cbm_launch *launch) /* base, source -> y */
{
    const cbm_slice_attributes *a = launch->attributes;
    copy_by(&launch->out[0], &launch->in[0], launch->in[0].stride, 0);
    put(&launch->out[0], &launch->in[1], a->axis, a->start, a->step);
    return CBM_OK;
}

static cbm_status concat(const cbm_launch *launch)
{
    const cbm_axis_attributes *a = launch->attributes;
    int64_t start = 0;
    for (size_t i = 0; i < launch->n_in; i++) {
        put(&launch->out[0], &launch->in[i], a->axis, start, 1);
        start += launch->in[i].shape[a->axis];
    }
    return CBM_OK;
}

const cbm_kernel cbm_reference_move[] = {
    { .op = "reshape", .flags = CBM_KERNEL_STRIDED, .launch = reshape },
    { .op = "permute", .flags = CBM_KERNEL_STRIDED, .launch = permute },
    { .op = "expand", .flags = CBM_KERNEL_STRIDED, .launch = expand },
    { .op = "slice", .flags = CBM_KERNEL_STRIDED, .launch = slice },
    { .op = "slice_scatter", .flags = CBM_KERNEL_STRIDED, .launch = slice_scatter },
    { .op = "concat", .flags = CBM_KERNEL_STRIDED, .launch = concat },
    { .op = NULL },
};
