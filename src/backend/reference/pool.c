/* pool.c: maxima and averages over windows of one to three dimensions, and their gradients. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>

/* Depth, height, width: 1 for dimensions that are not there. */
typedef struct geometry {
    int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
    int64_t in_places, out_places;
    bool exclude_pad;
    int64_t divisor;
} geometry;

static geometry geometry_of(const cbm_launch *launch, const cbm_buffer *x, const cbm_buffer *y)
{
    const cbm_pool_attributes *a = launch->attributes;
    const int64_t n = a->kernel.v[0];
    geometry g = { .in_places = 1, .out_places = 1, .exclude_pad = a->exclude_pad != 0, .divisor = a->divisor };
    for (int64_t d = 0; d < 3; d++) {
        const int64_t k = d - (3 - n); /* the number of this dimension in the lists */
        g.in[d] = k < 0 ? 1 : x->shape[2 + k];
        g.out[d] = k < 0 ? 1 : y->shape[2 + k];
        g.kernel[d] = k < 0 ? 1 : a->kernel.v[1 + k];
        g.stride[d] = k < 0 ? 1 : a->stride.v[1 + k];
        g.padding[d] = k < 0 ? 0 : a->padding.v[1 + k];
        g.dilation[d] = k < 0 ? 1 : a->dilation.v[1 + k];
        g.in_places *= g.in[d];
        g.out_places *= g.out[d];
    }
    return g;
}

/* The window of result k: where its place 0 lies (in the padding, that is below 0), and how many of its places count. */
typedef struct window {
    int64_t from[3];
    int64_t places; /* of the window */
    double counted; /* by the average */
} window;

static window window_at(const geometry *g, int64_t k)
{
    window w = { .places = 1, .counted = 1 };
    for (int d = 2; d >= 0; k /= g->out[d], d--) {
        w.from[d] = k % g->out[d] * g->stride[d] - g->padding[d];
        w.places *= g->kernel[d];
        const int64_t low = g->exclude_pad && w.from[d] < 0 ? 0 : w.from[d];
        const int64_t end = w.from[d] + g->kernel[d], most = g->in[d] + (g->exclude_pad ? 0 : g->padding[d]);
        w.counted *= (double)((end < most ? end : most) - low);
    }
    if (g->divisor)
        w.counted = (double)g->divisor;
    return w;
}

/* Where a place of the window is in x, as a flat index; -1: not in it. */
static int64_t place_in(const geometry *g, const window *w, int64_t place)
{
    const int64_t tap[3] = { place / (g->kernel[1] * g->kernel[2]), place / g->kernel[2] % g->kernel[1],
                             place % g->kernel[2] };
    int64_t flat = 0;
    if (place < 0 || place >= w->places)
        return -1;
    for (int d = 0; d < 3; d++) {
        const int64_t at = w->from[d] + tap[d] * g->dilation[d];
        if (at < 0 || at >= g->in[d])
            return -1;
        flat = flat * g->in[d] + at;
    }
    return flat;
}

static cbm_status max_pool(const cbm_launch *launch) /* x -> y, place */
{
    const cbm_buffer *y = &launch->out[0];
    const geometry g = geometry_of(launch, &launch->in[0], y);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < y->count; k++) {
        const window w = window_at(&g, k);
        const cbm_number *x = c.in[0] + k / g.out_places * g.in_places;
        double best = -INFINITY;
        int64_t best_place = -1;
        for (int64_t place = 0; place < w.places; place++) {
            const int64_t at = place_in(&g, &w, place);
            if (at < 0 || (best_place >= 0 && !(x[at].f > best || (isnan(x[at].f) && !isnan(best)))))
                continue;
            best = x[at].f;
            best_place = place;
        }
        c.out[0][k].f = best;
        if (launch->n_out > 1)
            c.out[1][k].i = best_place < 0 ? 0 : best_place;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status max_pool_backward(const cbm_launch *launch) /* g, place -> dx */
{
    const geometry g = geometry_of(launch, &launch->out[0], &launch->in[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->in[0].count; k++) {
        const window w = window_at(&g, k);
        const int64_t at = place_in(&g, &w, c.in[1][k].i);
        if (at >= 0)
            c.out[0][k / g.out_places * g.in_places + at].f += c.in[0][k].f;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status max_pool_take(const cbm_launch *launch) /* x, place -> y */
{
    const geometry g = geometry_of(launch, &launch->in[0], &launch->out[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->out[0].count; k++) {
        const window w = window_at(&g, k);
        const int64_t at = place_in(&g, &w, c.in[1][k].i);
        if (at >= 0)
            c.out[0][k] = c.in[0][k / g.out_places * g.in_places + at];
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status max_pool_indices(const cbm_launch *launch) /* place -> index */
{
    const cbm_pool_attributes *a = launch->attributes;
    cbm_buffer x = { .rank = a->input_shape.v[0] };
    for (int64_t d = 0; d < x.rank; d++)
        x.shape[d] = a->input_shape.v[1 + d];
    const geometry g = geometry_of(launch, &x, &launch->out[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->out[0].count; k++) {
        const window w = window_at(&g, k);
        c.out[0][k].i = place_in(&g, &w, c.in[0][k].i);
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status avg_pool(const cbm_launch *launch) /* x -> y */
{
    const geometry g = geometry_of(launch, &launch->in[0], &launch->out[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->out[0].count; k++) {
        const window w = window_at(&g, k);
        const cbm_number *x = c.in[0] + k / g.out_places * g.in_places;
        double sum = 0;
        for (int64_t place = 0; place < w.places; place++) {
            const int64_t at = place_in(&g, &w, place);
            sum += at < 0 ? 0 : x[at].f;
        }
        c.out[0][k].f = sum / w.counted;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status avg_pool_backward(const cbm_launch *launch) /* g -> dx */
{
    const geometry g = geometry_of(launch, &launch->out[0], &launch->in[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->in[0].count; k++) {
        const window w = window_at(&g, k);
        cbm_number *x = c.out[0] + k / g.out_places * g.in_places;
        for (int64_t place = 0; place < w.places; place++) {
            const int64_t at = place_in(&g, &w, place);
            if (at >= 0)
                x[at].f += c.in[0][k].f / w.counted;
        }
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

#define POOLING(name_, launch_)                                                                                        \
    {                                                                                                                  \
        .op = (name_), .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = (launch_)                \
    }
#define DIMENSIONS(n_)                                                                                                 \
    POOLING("max_pool" n_ "d", max_pool), POOLING("max_pool" n_ "d_backward", max_pool_backward),                      \
        POOLING("max_pool" n_ "d_take", max_pool_take), POOLING("max_pool" n_ "d_indices", max_pool_indices),          \
        POOLING("avg_pool" n_ "d", avg_pool), POOLING("avg_pool" n_ "d_backward", avg_pool_backward)
const cbm_kernel cbm_reference_pool[] = { DIMENSIONS("1"), DIMENSIONS("2"), DIMENSIONS("3"), { .op = NULL } };
