/* volumes.c: pooling windows over depth, height and width of one channel, with any steps between a window's places. Runs of
   results along the width are taken together, tap after tap. Rests on pooling.h. */
#include "backend/cpu/simd/level.h"
#include "backend/cpu/simd/pooling.h"

enum { RUN = 128 };

INLINE int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Where place 0 of window `at` lies along an axis. */
INLINE int64_t begin_of(const cbm_pool_volume *p, int axis, int64_t at)
{
    return at * p->stride[axis] - p->padding[axis];
}

/* The taps [first, last) of window `at` that lie inside along an axis. */
INLINE void taps_inside(const cbm_pool_volume *p, int axis, int64_t at, int64_t *first, int64_t *last)
{
    const int64_t begin = begin_of(p, axis, at), step = p->dilation[axis], left = p->in[axis] - begin;
    *first = begin >= 0 ? 0 : (-begin + step - 1) / step;
    *last = left <= 0 ? 0 : least(p->kernel[axis], (left + step - 1) / step);
}

/* The part [first, last) of a row's results [w, w + n) whose tap lies inside. */
INLINE void results_inside(const cbm_pool_volume *p, int64_t w, int64_t n, int64_t tap, int64_t *first, int64_t *last)
{
    const int64_t stride = p->stride[2], shift = tap * p->dilation[2] - p->padding[2];
    const int64_t low = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    const int64_t high = p->in[2] - shift <= 0 ? 0 : (p->in[2] - shift - 1) / stride + 1;
    *first = low > w ? low : w;
    *last = least(high, w + n);
}

/* A run of results: their depth and row, and the first of n columns. */
typedef struct run {
    int64_t d, h, w, n;
    int64_t taps[4];  /* of the depth [0, 1) and of the height [2, 3) that lie inside */
    int64_t at;       /* of the first result */
    float value[RUN]; /* maximum, sum, or gradient */
    int32_t place[RUN];
} run;

/* What is done to results [first, last) with one tap; x: of the first one. */
typedef void (*tap_fn)(const cbm_pool_volume *p, run *r, float *x, int64_t tap, int64_t first, int64_t last);

INLINE void each_tap(const cbm_pool_volume *p, run *r, float *x, tap_fn f)
{
    for (int64_t i = r->taps[0]; i < r->taps[1]; i++)
        for (int64_t j = r->taps[2]; j < r->taps[3]; j++) {
            const int64_t plane = begin_of(p, 0, r->d) + i * p->dilation[0];
            float *row = x + (plane * p->in[1] + begin_of(p, 1, r->h) + j * p->dilation[1]) * p->in[2];
            for (int64_t k = 0; k < p->kernel[2]; k++) {
                int64_t first, last;
                results_inside(p, r->w, r->n, k, &first, &last);
                if (first < last)
                    f(p, r, row + begin_of(p, 2, first) + k * p->dilation[2], (i * p->kernel[1] + j) * p->kernel[2] + k,
                      first - r->w, last - r->w);
            }
        }
}

/* Goes through all runs: begin makes one's values, f takes the taps, end keeps them. */
INLINE void each_run(const cbm_pool_volume *p, float *x, const float *g,
                     void (*begin)(const cbm_pool_volume *, run *, const float *), tap_fn f,
                     void (*end)(const cbm_pool_volume *, run *))
{
    run r;
    r.at = 0;
    for (r.d = 0; r.d < p->out[0]; r.d++)
        for (r.h = 0; r.h < p->out[1]; r.h++)
            for (r.w = 0; r.w < p->out[2]; r.w += r.n) {
                r.n = least(RUN, p->out[2] - r.w);
                taps_inside(p, 0, r.d, &r.taps[0], &r.taps[1]);
                taps_inside(p, 1, r.h, &r.taps[2], &r.taps[3]);
                begin(p, &r, g);
                each_tap(p, &r, x, f);
                end(p, &r);
                r.at += r.n;
            }
}

/* ---- max ---- */

INLINE void begin_max(const cbm_pool_volume *p, run *r, const float *g)
{
    const bool some = r->taps[0] < r->taps[1] && r->taps[2] < r->taps[3];
    (void)g;
    for (int64_t i = 0; i < r->n; i++) {
        int64_t first, last;
        taps_inside(p, 2, r->w + i, &first, &last);
        r->value[i] = -__builtin_inff();
        r->place[i] =
            some && first < last ? (int32_t)((r->taps[0] * p->kernel[1] + r->taps[2]) * p->kernel[2] + first) : 0;
    }
}

INLINE void tap_max(const cbm_pool_volume *p, run *r, float *x, int64_t tap, int64_t first, int64_t last)
{
    const vi here = vi_set((int32_t)tap);
    for (int64_t i = first; i < last; i += VN) {
        const int64_t n = least(VN, last - i);
        vf best = vf_load_n(r->value + i, n);
        vi at =
            n == VN ? vi_load(r->place + i) : (vi)vf_load_part((const float *)(const void *)(r->place + i), n, 0.0f);
        keep_greater(&best, &at, load_strided(x + (i - first) * p->stride[2], n, p->stride[2]), here);
        vf_store_n(r->value + i, n, best);
        vf_store_n((float *)(void *)(r->place + i), n, (vf)at);
    }
}

INLINE void end_max(const cbm_pool_volume *p, run *r)
{
    if (p->y)
        memcpy(p->y + r->at, r->value, (size_t)r->n * sizeof *r->value);
    for (int64_t i = 0; p->place && i < r->n; i++)
        p->place[r->at + i] = (uint8_t)r->place[i];
    for (int64_t i = 0; p->wide_place && i < r->n; i++)
        p->wide_place[r->at + i] = r->place[i];
}

static void max_pool_volume(const cbm_pool_volume *p)
{
    each_run(p, (float *)(uintptr_t)p->x, NULL, begin_max, tap_max, end_max);
}

static void max_pool_backward_volume(const cbm_pool_volume *p, const float *g, float *dx)
{
    const int64_t kh = p->kernel[1], kw = p->kernel[2], plane = p->out[1] * p->out[2];
    memset(dx, 0, (size_t)(p->in[0] * p->in[1] * p->in[2]) * sizeof *dx);
    for (int64_t i = 0; i < p->out[0] * plane; i++) {
        const int64_t k = p->place ? p->place[i] : p->wide_place[i];
        const int64_t d = begin_of(p, 0, i / plane) + k / (kh * kw) * p->dilation[0];
        const int64_t h = begin_of(p, 1, i % plane / p->out[2]) + k / kw % kh * p->dilation[1];
        const int64_t w = begin_of(p, 2, i % p->out[2]) + k % kw * p->dilation[2];
        if (k >= 0 && k < p->kernel[0] * kh * kw && d >= 0 && d < p->in[0] && h >= 0 && h < p->in[1] && w >= 0 &&
            w < p->in[2])
            dx[(d * p->in[1] + h) * p->in[2] + w] += g[i];
    }
}

/* ---- average ---- */

/* How many places of window `at` the average counts along an axis. */
INLINE int64_t counted(const cbm_pool_volume *p, int axis, int64_t at)
{
    const int64_t begin = begin_of(p, axis, at);
    const int64_t end = least(begin + p->kernel[axis], p->in[axis] + (p->exclude_pad ? 0 : p->padding[axis]));
    return end - (p->exclude_pad && begin < 0 ? 0 : begin);
}

/* One over the number of places that the average over result i of the run counts. */
INLINE float share_of(const cbm_pool_volume *p, const run *r, int64_t i)
{
    if (p->divisor > 0)
        return 1.0f / p->divisor;
    return 1.0f / (float)(counted(p, 0, r->d) * counted(p, 1, r->h) * counted(p, 2, r->w + i));
}

INLINE void begin_avg(const cbm_pool_volume *p, run *r, const float *g)
{
    (void)p;
    (void)g;
    memset(r->value, 0, sizeof r->value);
}

INLINE void tap_avg(const cbm_pool_volume *p, run *r, float *x, int64_t tap, int64_t first, int64_t last)
{
    (void)tap;
    for (int64_t i = first; i < last; i += VN) {
        const int64_t n = least(VN, last - i);
        const vf before = vf_load_n(r->value + i, n);
        vf_store_n(r->value + i, n, before + load_strided(x + (i - first) * p->stride[2], n, p->stride[2]));
    }
}

INLINE void end_avg(const cbm_pool_volume *p, run *r)
{
    for (int64_t i = 0; i < r->n; i++)
        p->y[r->at + i] = r->value[i] * share_of(p, r, i);
}

static void avg_pool_volume(const cbm_pool_volume *p)
{
    each_run(p, (float *)(uintptr_t)p->x, NULL, begin_avg, tap_avg, end_avg);
}

INLINE void begin_back(const cbm_pool_volume *p, run *r, const float *g)
{
    for (int64_t i = 0; i < r->n; i++)
        r->value[i] = g[r->at + i] * share_of(p, r, i);
}

INLINE void tap_back(const cbm_pool_volume *p, run *r, float *dx, int64_t tap, int64_t first, int64_t last)
{
    (void)tap;
    if (p->stride[2] != 1) {
        for (int64_t i = first; i < last; i++)
            dx[(i - first) * p->stride[2]] += r->value[i];
        return;
    }
    for (int64_t i = first; i < last; i += VN) {
        const int64_t n = least(VN, last - i);
        float *to = dx + i - first;
        const vf before = vf_load_n(to, n);
        vf_store_n(to, n, before + (vf_load_n(r->value + i, n)));
    }
}

INLINE void end_back(const cbm_pool_volume *p, run *r)
{
    (void)p;
    (void)r;
}

static void avg_pool_backward_volume(const cbm_pool_volume *p, const float *g, float *dx)
{
    memset(dx, 0, (size_t)(p->in[0] * p->in[1] * p->in[2]) * sizeof *dx);
    each_run(p, dx, g, begin_back, tap_back, end_back);
}

void CBM_LEVEL(cbm_volumes_fill)(cbm_simd *s)
{
    s->max_pool_volume = max_pool_volume;
    s->max_pool_backward_volume = max_pool_backward_volume;
    s->avg_pool_volume = avg_pool_volume;
    s->avg_pool_backward_volume = avg_pool_backward_volume;
}
