/* index.c: one-hot vectors, gather and scatter-add along an axis. Every index is checked before it is used. Rests on
   numbers. */
#include "backend/reference/reference.h"
#include "op/attributes.h"

static cbm_status one_hot(const cbm_launch *launch) /* indices -> (..., classes) */
{
    const cbm_one_hot_attributes *a = launch->attributes;
    bool floats = cbm_is_floating(launch->out[0].dtype);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->in[0].count; k++) {
        int64_t i = c.in[0][k].i;
        if (i < 0 || i >= a->classes)
            return cbm_reference_range(launch, "index", i, k, a->classes);
        c.out[0][k * a->classes + i] = floats ? (cbm_number){ .f = 1 } : (cbm_number){ .i = 1 };
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* A walk over index whose offset is the place in x (of row-major numbers) with 0 for the axis' coordinate. */
static cbm_walk walk_off_axis(const cbm_buffer *index, const cbm_buffer *x, int64_t axis, int64_t *axis_stride)
{
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    cbm_row_major(x->rank, x->shape, stride);
    *axis_stride = stride[axis];
    stride[axis] = 0;
    return cbm_walk_over(index->rank, index->shape, stride);
}

static cbm_status gather(const cbm_launch *launch) /* x, index -> y */
{
    const cbm_axis_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0], *index = &launch->in[1];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    int64_t step;
    cbm_walk w = walk_off_axis(index, x, a->axis, &step);
    for (int64_t k = 0; k < index->count; k++, cbm_walk_next(&w)) {
        int64_t i = c.in[1][k].i;
        if (i < 0 || i >= x->shape[a->axis])
            return cbm_reference_range(launch, "index", i, k, x->shape[a->axis]);
        c.out[0][k] = c.in[0][w.offset + i * step];
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status scatter_add(const cbm_launch *launch) /* x, index, source -> y */
{
    const cbm_axis_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0], *index = &launch->in[1], *source = &launch->in[2];
    bool floats = cbm_is_floating(x->dtype);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < x->count; k++)
        c.out[0][k] = c.in[0][k];
    int64_t step, source_stride[CBM_MAX_DIMS] = { 0 };
    cbm_row_major(source->rank, source->shape, source_stride);
    cbm_walk w = walk_off_axis(index, x, a->axis, &step);
    cbm_walk from = cbm_walk_over(index->rank, index->shape, source_stride); /* source may be larger than index */
    for (int64_t k = 0; k < index->count; k++, cbm_walk_next(&w), cbm_walk_next(&from)) {
        int64_t i = c.in[1][k].i;
        if (i < 0 || i >= x->shape[a->axis])
            return cbm_reference_range(launch, "index", i, k, x->shape[a->axis]);
        cbm_number *to = &c.out[0][w.offset + i * step], add = c.in[2][from.offset];
        if (floats)
            to->f += add.f;
        else
            to->i = (int64_t)((uint64_t)to->i + (uint64_t)add.i);
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

const cbm_kernel cbm_reference_index[] = {
    { .op = "one_hot", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = one_hot },
    { .op = "gather", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = gather },
    { .op = "scatter_add", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = scatter_add },
    { .op = NULL },
};
