/* attention.h: a launch of attention as its kernels see it: extents, the heads that share keys and values, and where the mask
   of a row is. Rests on op/attributes.h alone. */
#ifndef CAMBIUM_BACKEND_ATTENTION_H
#define CAMBIUM_BACKEND_ATTENTION_H

#include "op/attributes.h"

typedef struct cbm_attention {
    int64_t leads, groups, share;           /* (.., Hq) together; (.., Hk) together; heads of q for each of k */
    int64_t rows, places, width, out_width; /* L, S, E, Ev */
    int64_t rank;                           /* leading dimensions */
    int64_t extent[CBM_MAX_DIMS];           /* theirs, of q */
    const cbm_buffer *mask;                 /* NULL: none */
    int64_t mask_lead[CBM_MAX_DIMS], mask_row, mask_place; /* the mask's steps; 0 where it is broadcast */
} cbm_attention;

static inline int64_t cbm_attention_step(const cbm_buffer *mask, int64_t from_last)
{
    const int64_t d = mask->rank - 1 - from_last;
    return d < 0 || mask->shape[d] == 1 ? 0 : mask->stride[d];
}

static inline cbm_attention cbm_attention_of(const cbm_launch *l)
{
    const cbm_attention_attributes *a = l->attributes;
    const cbm_buffer *q = &l->in[0], *k = &l->in[1], *v = &l->in[2];
    const int64_t r = q->rank;
    cbm_attention t = { .leads = 1,
                        .groups = 1,
                        .share = 1,
                        .rows = q->shape[r - 2],
                        .places = k->shape[r - 2],
                        .width = q->shape[r - 1],
                        .out_width = v->shape[r - 1],
                        .rank = r - 2,
                        .mask = a->masked ? &l->in[3] : NULL };
    for (int64_t d = 0; d < t.rank; d++) {
        t.extent[d] = q->shape[d];
        t.leads *= q->shape[d];
        t.groups *= k->shape[d];
        t.mask_lead[d] = t.mask ? cbm_attention_step(t.mask, r - 1 - d) : 0;
    }
    if (t.groups > 0)
        t.share = t.leads / t.groups;
    if (t.mask) {
        t.mask_row = cbm_attention_step(t.mask, 1);
        t.mask_place = cbm_attention_step(t.mask, 0);
    }
    return t;
}

/* How many elements after an operand's first the matrix of lead number `lead` is (of k and v: of group number lead). */
static inline int64_t cbm_attention_offset(int64_t rank, const int64_t *extent, const int64_t *stride, int64_t lead)
{
    int64_t at = 0;
    for (int64_t d = rank - 1; d >= 0; lead /= extent[d--])
        at += lead % extent[d] * stride[d];
    return at;
}

#endif
