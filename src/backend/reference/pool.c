/* pool.c: maxima and averages over windows of planes (N, C, H, W), and their gradients. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>

/* The window of output place (oh, ow), cut to the input plane, and how many places it has with padding. */
typedef struct window {
    int64_t top, bottom, left, right; /* [top, bottom) x [left, right) */
    int64_t from_top, from_left;      /* of the whole window: negative in the padding */
    int64_t padded;                   /* places of the window inside the padded plane */
} window;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static window window_at(const cbm_pool2d_attributes *a, int64_t height, int64_t width, int64_t oh, int64_t ow)
{
    int64_t top = oh * a->stride.v[1] - a->padding.v[1], left = ow * a->stride.v[2] - a->padding.v[2];
    int64_t bottom = least(top + a->kernel.v[1], height + a->padding.v[1]);
    int64_t right = least(left + a->kernel.v[2], width + a->padding.v[2]);
    return (window){ .top = most(top, 0),
                     .left = most(left, 0),
                     .bottom = least(bottom, height),
                     .right = least(right, width),
                     .from_top = top,
                     .from_left = left,
                     .padded = (bottom - top) * (right - left) };
}

static double divisor(const cbm_pool2d_attributes *a, const window *w)
{
    return (double)(a->exclude_pad ? (w->bottom - w->top) * (w->right - w->left) : w->padded);
}

static cbm_status max_pool2d(const cbm_launch *launch) /* x -> y, index */
{
    const cbm_pool2d_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    int64_t height = x->shape[2], width = x->shape[3], out_h = y->shape[2], out_w = y->shape[3];
    bool floats = cbm_is_float(x->dtype);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < y->count; k++) {
        window w = window_at(a, height, width, k / out_w % out_h, k % out_w);
        const cbm_number *plane = c.in[0] + k / (out_h * out_w) * height * width;
        int64_t best = w.top * width + w.left;
        for (int64_t h = w.top; h < w.bottom; h++)
            for (int64_t i = h * width + w.left; i < h * width + w.right; i++) {
                bool above = floats ? plane[i].f > plane[best].f || (isnan(plane[i].f) && !isnan(plane[best].f))
                                    : plane[i].i > plane[best].i;
                if (above)
                    best = i;
            }
        c.out[0][k] = plane[best];
        if (launch->n_out > 1)
            c.out[1][k].i = (best / width - w.from_top) * a->kernel.v[2] + best % width - w.from_left;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* Where place k of a window is in the plane, or -1 when it is not in it. */
static int64_t place_in_plane(const cbm_pool2d_attributes *a, const window *w, int64_t width, int64_t k)
{
    const int64_t h = w->from_top + k / a->kernel.v[2], i = w->from_left + k % a->kernel.v[2];
    const bool inside = k >= 0 && h >= w->top && h < w->bottom && i >= w->left && i < w->right;
    return inside ? h * width + i : -1;
}

static cbm_status max_pool2d_backward(const cbm_launch *launch) /* g, place -> dx */
{
    const cbm_pool2d_attributes *a = launch->attributes;
    const cbm_buffer *g = &launch->in[0], *dx = &launch->out[0];
    int64_t height = dx->shape[2], width = dx->shape[3], out_h = g->shape[2], out_w = g->shape[3];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < g->count; k++) {
        window w = window_at(a, height, width, k / out_w % out_h, k % out_w);
        int64_t i = place_in_plane(a, &w, width, c.in[1][k].i);
        if (i >= 0)
            c.out[0][k / (out_h * out_w) * height * width + i].f += c.in[0][k].f;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status max_pool2d_take(const cbm_launch *launch) /* x, place -> y */
{
    const cbm_pool2d_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    int64_t height = x->shape[2], width = x->shape[3], out_h = y->shape[2], out_w = y->shape[3];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < y->count; k++) {
        window w = window_at(a, height, width, k / out_w % out_h, k % out_w);
        int64_t i = place_in_plane(a, &w, width, c.in[1][k].i);
        if (i >= 0)
            c.out[0][k] = c.in[0][k / (out_h * out_w) * height * width + i];
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status avg_pool2d(const cbm_launch *launch) /* x -> y */
{
    const cbm_pool2d_attributes *a = launch->attributes;
    const cbm_buffer *x = &launch->in[0], *y = &launch->out[0];
    int64_t height = x->shape[2], width = x->shape[3], out_h = y->shape[2], out_w = y->shape[3];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < y->count; k++) {
        window w = window_at(a, height, width, k / out_w % out_h, k % out_w);
        const cbm_number *plane = c.in[0] + k / (out_h * out_w) * height * width;
        double sum = 0;
        for (int64_t h = w.top; h < w.bottom; h++)
            for (int64_t i = w.left; i < w.right; i++)
                sum += plane[h * width + i].f;
        c.out[0][k].f = sum / divisor(a, &w);
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status avg_pool2d_backward(const cbm_launch *launch) /* g -> dx */
{
    const cbm_pool2d_attributes *a = launch->attributes;
    const cbm_buffer *g = &launch->in[0], *dx = &launch->out[0];
    int64_t height = dx->shape[2], width = dx->shape[3], out_h = g->shape[2], out_w = g->shape[3];
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < g->count; k++) {
        window w = window_at(a, height, width, k / out_w % out_h, k % out_w);
        cbm_number *plane = c.out[0] + k / (out_h * out_w) * height * width;
        double share = c.in[0][k].f / divisor(a, &w);
        for (int64_t h = w.top; h < w.bottom; h++)
            for (int64_t i = w.left; i < w.right; i++)
                plane[h * width + i].f += share;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

const cbm_kernel cbm_reference_pool[] = {
    { .op = "max_pool2d", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = max_pool2d },
    { .op = "max_pool2d_backward",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = max_pool2d_backward },
    { .op = "max_pool2d_take", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = max_pool2d_take },
    { .op = "avg_pool2d", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = avg_pool2d },
    { .op = "avg_pool2d_backward",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = avg_pool2d_backward },
    { .op = NULL },
};
