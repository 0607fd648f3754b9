/* pad.c: pad, pad_edge and its gradient, flip and roll: a result's element is an element of x, found axis by axis, or the
   padding's number. */
#include "backend/reference/reference.h"
#include "op/attributes.h"
#include "op/number.h"

#include <cambium/ops/move.h>
#include <string.h>

/* Where element i of y's axis comes from in x; -1: from nowhere. */
typedef int64_t (*place_fn)(const cbm_launch *launch, int64_t axis, int64_t i);

/* The offset in x (by strides) that y's index tuple comes from, or -1. */
static int64_t source(const cbm_launch *launch, place_fn place, const int64_t *at, int64_t rank, const int64_t *stride)
{
    int64_t offset = 0;
    for (int64_t d = 0; d < rank; d++) {
        const int64_t i = place(launch, d, at[d]);
        if (i < 0)
            return -1;
        offset += i * stride[d];
    }
    return offset;
}

static cbm_status moved(const cbm_launch *launch, place_fn place, double value)
{
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    cbm_walk w = cbm_walk_over(y->rank, y->shape, y->stride);
    for (int64_t k = 0; k < y->count; k++, cbm_walk_next(&w)) {
        const int64_t from = source(launch, place, w.at, y->rank, x->stride);
        if (from >= 0)
            cbm_reference_copy(y, k, x, from);
        else if (cbm_is_floating(y->dtype))
            cbm_number_store(y->data, y->dtype, k, (cbm_number){ .f = value });
        else
            cbm_number_store(y->data, y->dtype, k, (cbm_number){ .i = cbm_whole_number(y->dtype, value) });
    }
    return CBM_OK;
}

static int64_t flip_place(const cbm_launch *launch, int64_t axis, int64_t i)
{
    const cbm_shape *axes = &((const cbm_axes_attributes *)launch->attributes)->axes;
    for (int64_t k = 1; k <= axes->v[0]; k++)
        if (axes->v[k] == axis)
            return launch->in[0].shape[axis] - 1 - i;
    return i;
}

static int64_t roll_place(const cbm_launch *launch, int64_t axis, int64_t i)
{
    const int64_t n = launch->in[0].shape[axis];
    return (i - ((const cbm_roll_attributes *)launch->attributes)->shifts.v[1 + axis] + n) % n;
}

static int64_t pad_place(const cbm_launch *launch, int64_t axis, int64_t i)
{
    const int64_t at = i - ((const cbm_pad_attributes *)launch->attributes)->before.v[1 + axis];
    return at < launch->in[0].shape[axis] ? at : -1;
}

static int64_t edge_place(const cbm_launch *launch, int64_t axis, int64_t i)
{
    const cbm_pad_edge_attributes *a = launch->attributes;
    const int64_t n = a->input_shape.v[1 + axis], at = i - a->before.v[1 + axis];
    switch (a->mode) {
    case CBM_PAD_REFLECT: return at < 0 ? -at : at < n ? at : 2 * (n - 1) - at;
    case CBM_PAD_REPLICATE: return at < 0 ? 0 : at < n ? at : n - 1;
    default: return (at + n) % n;
    }
}

static cbm_status flip(const cbm_launch *launch)
{
    return moved(launch, flip_place, 0);
}

static cbm_status roll(const cbm_launch *launch)
{
    return moved(launch, roll_place, 0);
}

static cbm_status pad(const cbm_launch *launch)
{
    return moved(launch, pad_place, ((const cbm_pad_attributes *)launch->attributes)->value);
}

static cbm_status pad_edge(const cbm_launch *launch)
{
    return moved(launch, edge_place, 0);
}

static cbm_status pad_edge_backward(const cbm_launch *launch) /* g -> dx */
{
    const cbm_buffer *g = &launch->in[0], *dx = &launch->out[0];
    int64_t stride[CBM_MAX_DIMS] = { 0 };
    cbm_row_major(dx->rank, dx->shape, stride);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_walk w = cbm_walk_over(g->rank, g->shape, g->stride);
    for (int64_t k = 0; k < g->count; k++, cbm_walk_next(&w))
        c.out[0][source(launch, edge_place, w.at, g->rank, stride)].f += c.in[0][k].f;
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

const cbm_kernel cbm_reference_pad[] = {
    { .op = "pad", .flags = CBM_KERNEL_STRIDED, .launch = pad },
    { .op = "pad_edge", .flags = CBM_KERNEL_STRIDED, .launch = pad_edge },
    { .op = "pad_edge_backward",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = pad_edge_backward },
    { .op = "flip", .flags = CBM_KERNEL_STRIDED, .launch = flip },
    { .op = "roll", .flags = CBM_KERNEL_STRIDED, .launch = roll },
    { .op = NULL },
};
