/* pad.c: pad, pad_edge and its gradient, flip and roll, for every dtype (the gradient: f32), as copies by pieces. Rests on
   pieces.h. */
#include "backend/cpu/pieces.h"

#include "op/number.h"

#include <cambium/ops/move.h>
#include <string.h>

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* ---- flip, roll ---- */

static cbm_status flip(const cbm_launch *l)
{
    const cbm_shape *axes = &((const cbm_axes_attributes *)l->attributes)->axes;
    cbm_pieces p = { .rank = l->in[0].rank };
    for (int64_t d = 0, k = 1; d < p.rank; d++) {
        const bool turned = k <= axes->v[0] && axes->v[k] == d;
        const int64_t n = l->in[0].shape[d];
        cbm_add_piece(&p, d, n, turned ? n - 1 : 0, turned ? -1 : 1);
        k += turned;
    }
    cbm_pieces_copy(l, &p, NULL);
    return CBM_OK;
}

static cbm_status roll(const cbm_launch *l)
{
    const cbm_shape *shifts = &((const cbm_roll_attributes *)l->attributes)->shifts;
    cbm_pieces p = { .rank = l->in[0].rank };
    for (int64_t d = 0; d < p.rank; d++) {
        const int64_t n = l->in[0].shape[d], shift = shifts->v[1 + d];
        cbm_add_piece(&p, d, shift, n - shift, 1);
        cbm_add_piece(&p, d, n - shift, 0, 1);
    }
    cbm_pieces_copy(l, &p, NULL);
    return CBM_OK;
}

/* ---- pad ---- */

static cbm_status pad(const cbm_launch *l)
{
    const cbm_pad_attributes *a = l->attributes;
    cbm_pieces p = { .rank = l->in[0].rank };
    for (int64_t d = 0; d < p.rank; d++) { /* y's places [begin, end) are x's, shifted by before */
        const int64_t before = a->before.v[1 + d], extent = l->out[0].shape[d];
        const int64_t begin = least(most(before, 0), extent);
        const int64_t end = most(least(before + l->in[0].shape[d], extent), begin);
        cbm_add_piece(&p, d, begin, -1, 0);
        cbm_add_piece(&p, d, end - begin, begin - before, 1);
        cbm_add_piece(&p, d, extent - end, -1, 0);
    }
    const uint64_t value = cbm_element_of(l->in[0].dtype, a->value);
    cbm_pieces_copy(l, &p, &value);
    return CBM_OK;
}

/* ---- pad_edge, pad_edge_backward ---- */

/* Places from -before to n + after, those below 0 and from n on led back into x. */
static cbm_pieces edge_pieces(const cbm_pad_edge_attributes *a)
{
    cbm_pieces p = { .rank = a->input_shape.v[0] };
    const bool mirrored = a->mode == CBM_PAD_REFLECT, wrapped = a->mode == CBM_PAD_CIRCULAR;
    const int64_t step = mirrored ? -1 : wrapped ? 1 : 0;
    for (int64_t d = 0; d < p.rank; d++) {
        const int64_t n = a->input_shape.v[1 + d], first = -a->before.v[1 + d], end = n + a->after.v[1 + d];
        const int64_t behind = most(first, n);
        cbm_add_piece(&p, d, least(0, end) - first, mirrored ? -first : wrapped ? first + n : 0, step);
        cbm_add_piece(&p, d, least(n, end) - most(first, 0), most(first, 0), 1);
        cbm_add_piece(&p, d, end - behind, mirrored ? 2 * n - 2 - behind : wrapped ? behind - n : n - 1, step);
    }
    return p;
}

static cbm_status pad_edge(const cbm_launch *l)
{
    const cbm_pieces p = edge_pieces(l->attributes);
    cbm_pieces_copy(l, &p, NULL);
    return CBM_OK;
}

static cbm_status pad_edge_backward(const cbm_launch *l) /* g -> dx */
{
    const cbm_pieces p = edge_pieces(l->attributes);
    cbm_pieces_add(l, &p);
    return CBM_OK;
}

const cbm_kernel cbm_cpu_pad[] = {
    { .op = "flip", .flags = CBM_KERNEL_STRIDED, .launch = flip },
    { .op = "roll", .flags = CBM_KERNEL_STRIDED, .launch = roll },
    { .op = "pad", .flags = CBM_KERNEL_STRIDED, .launch = pad },
    { .op = "pad_edge", .flags = CBM_KERNEL_STRIDED, .launch = pad_edge },
    { .op = "pad_edge_backward", .supports = cbm_cpu_f32, .launch = pad_edge_backward },
    { .op = NULL },
};
