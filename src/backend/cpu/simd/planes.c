/* planes.c: pooling windows over one plane (H, W), forward and backward. Windows of two by two in steps of two have their
   own vector loops. Rests on simd.h. */
#include "backend/cpu/simd/level.h"

#if VB == 64
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#define IN_ORDER 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define WEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define WEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VB == 32
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#define IN_ORDER 0, 1, 2, 3, 4, 5, 6, 7
#define WEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define WEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#define IN_ORDER 0, 1, 2, 3
#define WEAVE_LOW 0, 4, 1, 5
#define WEAVE_HIGH 2, 6, 3, 7
#endif

#define COUNT_UP                                                                                                       \
    {                                                                                                                  \
        IN_ORDER                                                                                                       \
    }

/* Elements 0, 2, 4, ... and 1, 3, 5, ... of `count` <= 2 VN. */
INLINE void split_pairs(const float *x, int64_t count, vf *even, vf *odd)
{
    vf a = count >= VN ? vf_load(x) : vf_load_part(x, count, 0.0f);
    vf b = count == 2 * VN ? vf_load(x + VN) : count > VN ? vf_load_part(x + VN, count - VN, 0.0f) : (vf){ 0 };
    *even = __builtin_shufflevector(a, b, EVEN);
    *odd = __builtin_shufflevector(a, b, ODD);
}

INLINE void store_n(float *to, int64_t n, vf v)
{
    if (n == VN)
        vf_store(to, v);
    else
        vf_store_part(to, n, v);
}

INLINE void store_places(int64_t *to, int64_t n, vi at)
{
    int32_t t[VN];
    vi_store(t, at);
    if (n == VN)
        for (int half = 0; half < 2; half++)
            vl_store(to + half * VD, __builtin_convertvector(*(const vi_half_any *)(t + half * VD), vl));
    else
        for (int64_t i = 0; i < n; i++)
            to[i] = t[i];
}

INLINE bool is_two_by_two(const cbm_pool_plane *p)
{
    return p->kernel[0] == 2 && p->kernel[1] == 2 && p->stride[0] == 2 && p->stride[1] == 2 && p->padding[0] == 0 &&
           p->padding[1] == 0 && p->height * p->width < INT32_MAX;
}

/* The greater with its place; the first stays unless the second is above it, NaN above every number. */
INLINE void keep_greater(vf *value, vi *place, vf other, vi other_place)
{
    vi m = (other > *value) | ((other != other) & (*value == *value));
    *value = vf_select(m, other, *value);
    *place = vi_select(m, other_place, *place);
}

static void max_row_two(const float *upper, const float *lower, int32_t start, int32_t width, float *y, int64_t *index,
                        int64_t n)
{
    const vi steps = 2 * (vi)COUNT_UP;
    for (int64_t i = 0; i < n; i += VN) {
        const int64_t now = n - i < VN ? n - i : VN;
        vf a, b, c, d;
        split_pairs(upper + 2 * i, 2 * now, &a, &b);
        split_pairs(lower + 2 * i, 2 * now, &c, &d);
        vi place = steps + (start + 2 * (int32_t)i);
        vf best = a;
        vi at = place;
        keep_greater(&best, &at, b, place + 1);
        keep_greater(&best, &at, c, place + width);
        keep_greater(&best, &at, d, place + width + 1);
        store_n(y + i, now, best);
        if (index)
            store_places(index + i, now, at);
    }
}

/* The window's place [low, high) along one axis of the plane. */
INLINE void window(const cbm_pool_plane *p, int axis, int64_t at, int64_t size, int64_t *low, int64_t *high)
{
    *low = at * p->stride[axis] - p->padding[axis];
    *high = *low + p->kernel[axis];
    *low = *low < 0 ? 0 : *low;
    *high = *high > size ? size : *high;
}

/* Outputs [w, w + n) of a row for which tap `tap` of their windows lies inside the plane: [first, last). */
INLINE void columns_inside(const cbm_pool_plane *p, int64_t w, int64_t n, int64_t tap, int64_t *first, int64_t *last)
{
    const int64_t stride = p->stride[1], shift = tap - p->padding[1];
    const int64_t low = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    const int64_t high = p->width - shift <= 0 ? 0 : (p->width - shift - 1) / stride + 1;
    *first = low > w ? low : w;
    *last = high < w + n ? high : w + n;
}

/* n <= VN elements, stride apart. */
INLINE vf load_strided(const float *x, int64_t n, int64_t stride)
{
    if (stride == 1)
        return n == VN ? vf_load(x) : vf_load_part(x, n, 0.0f);
    vf even, odd;
    if (stride == 2) {
        split_pairs(x, 2 * n - 1, &even, &odd);
        return even;
    }
    float t[VN] = { 0 };
    for (int64_t i = 0; i < n; i++)
        t[i] = x[i * stride];
    return vf_load(t);
}

enum { RUN = 128 }; /* outputs of a row taken together, tap after tap */

static void max_run(const cbm_pool_plane *p, int64_t h, int64_t w, int64_t n)
{
    float value[RUN];
    int32_t place[RUN];
    int64_t top, bottom;
    window(p, 0, h, p->height, &top, &bottom);
    for (int64_t i = 0; i < n; i++) {
        const int64_t left = (w + i) * p->stride[1] - p->padding[1];
        value[i] = -__builtin_inff();
        place[i] = (int32_t)(top * p->width + (left > 0 ? left : 0));
    }
    const vi steps = (int32_t)p->stride[1] * (vi)COUNT_UP;
    for (int64_t row = top; row < bottom; row++)
        for (int64_t tap = 0; tap < p->kernel[1]; tap++) {
            int64_t first, last;
            columns_inside(p, w, n, tap, &first, &last);
            for (int64_t i = first; i < last; i += VN) {
                const int64_t now = last - i < VN ? last - i : VN;
                const int64_t at = row * p->width + i * p->stride[1] + tap - p->padding[1];
                const vf v = load_strided(p->x + at, now, p->stride[1]);
                float *best = value + (i - w);
                int32_t *best_at = place + (i - w);
                vf b = now == VN ? vf_load(best) : vf_load_part(best, now, 0.0f);
                vi q = now == VN ? vi_load(best_at) : (vi)vf_load_part((const float *)(const void *)best_at, now, 0.0f);
                keep_greater(&b, &q, v, steps + (int32_t)at);
                store_n(best, now, b);
                store_n((float *)(void *)best_at, now, (vf)q);
            }
        }
    const int64_t to = h * p->out_width + w;
    if (p->y)
        memcpy(p->y + to, value, (size_t)n * sizeof *value);
    if (p->index)
        for (int64_t i = 0; i < n; i++)
            p->index[to + i] = place[i];
}

static void max_pool(const cbm_pool_plane *p)
{
    if (is_two_by_two(p) && p->y) {
        for (int64_t h = 0; h < p->out_height; h++) {
            const float *row = p->x + 2 * h * p->width;
            max_row_two(row, row + p->width, (int32_t)(2 * h * p->width), (int32_t)p->width, p->y + h * p->out_width,
                        p->index ? p->index + h * p->out_width : NULL, p->out_width);
        }
        return;
    }
    for (int64_t h = 0; h < p->out_height; h++)
        for (int64_t w = 0; w < p->out_width; w += RUN)
            max_run(p, h, w, p->out_width - w < RUN ? p->out_width - w : RUN);
}

/* The first `from` outputs were done already. Windows may overlap. */
static int64_t scatter(const cbm_pool_plane *p, const float *g, float *dx, int64_t from, int64_t to)
{
    const uint64_t plane = (uint64_t)(p->height * p->width);
    for (int64_t i = from; i < to; i++) {
        if ((uint64_t)p->index[i] >= plane)
            return i;
        dx[p->index[i]] += g[i];
    }
    return -1;
}

/* n <= VD indices, then -1. */
INLINE vl load_indices(const int64_t *index, int64_t n)
{
    if (n >= VD)
        return vl_load(index);
#if defined(__AVX512F__)
    return (vl)_mm512_mask_loadu_epi64(_mm512_set1_epi64(-1), (__mmask8)(n > 0 ? (1u << n) - 1u : 0u), index);
#else
    int64_t t[VD];
    for (int64_t i = 0; i < VD; i++)
        t[i] = i < n ? index[i] : -1;
    return vl_load(t);
#endif
}

/* n <= VN indices as 32-bit places; -1 beyond n, and everywhere when one has more bits. */
INLINE vi load_places(const int64_t *index, int64_t n)
{
    const vl a = load_indices(index, n), b = load_indices(index + VD, n - VD);
    const vi_half low = __builtin_convertvector(a, vi_half), high = __builtin_convertvector(b, vi_half);
    const vl lost = (a ^ __builtin_convertvector(low, vl)) | (b ^ __builtin_convertvector(high, vl));
    return vi_some((vi)(lost != 0)) ? vi_set(-1) : __builtin_shufflevector(low, high, IN_ORDER);
}

INLINE void store_two(float *to, int64_t n, vf low, vf high)
{
    store_n(to, n < VN ? n : VN, low);
    if (n > VN)
        store_n(to + VN, n - VN, high);
}

/* Two by two: each window's four places are written together, the gradient in one of them. An index elsewhere (nobody's
   but a caller's own) is left to the plain loop. */
static int64_t max_row_two_backward(const cbm_pool_plane *p, const float *g, float *dx, int64_t row)
{
    const vi steps = 2 * (vi)COUNT_UP;
    const int64_t width = p->width, start = 2 * row * width, n = p->out_width;
    const float *gr = g + row * n;
    const int64_t *index = p->index + row * n;
    int64_t i = 0;
    while (i < n) {
        const int64_t now = n - i < VN ? n - i : VN;
        const vi at = load_places(index + i, now), place = steps + (int32_t)(start + 2 * i);
        const vi down = place + (int32_t)width;
        const vi m[4] = { at == place, at == place + 1, at == down, at == down + 1 };
        if (vi_some(~(m[0] | m[1] | m[2] | m[3] | (vi)((vi)COUNT_UP >= (int32_t)now))))
            break;
        const vf v = now == VN ? vf_load(gr + i) : vf_load_part(gr + i, now, 0.0f);
        for (int k = 0; k < 2; k++) {
            const vf even = (vf)((vi)v & m[2 * k]), odd = (vf)((vi)v & m[2 * k + 1]);
            store_two(dx + start + k * width + 2 * i, 2 * now, __builtin_shufflevector(even, odd, WEAVE_LOW),
                      __builtin_shufflevector(even, odd, WEAVE_HIGH));
        }
        i += now;
    }
    for (int k = 0; k < 2; k++)
        memset(dx + start + k * width + 2 * i, 0, (size_t)(width - 2 * i) * sizeof *dx);
    return i;
}

static int64_t max_pool_backward(const cbm_pool_plane *p, const float *g, float *dx)
{
    const int64_t n = p->out_height * p->out_width;
    if (!is_two_by_two(p)) {
        memset(dx, 0, (size_t)(p->height * p->width) * sizeof *dx);
        return scatter(p, g, dx, 0, n);
    }
    for (int64_t row = 0; row < p->out_height; row++) {
        const int64_t done = max_row_two_backward(p, g, dx, row);
        for (int64_t i = row * p->out_width + done; i < (row + 1) * p->out_width; i++) {
            const int64_t place = p->index[i], start = 2 * row * p->width;
            if (place < start || place >= start + 2 * p->width) { /* not this window's: all over again, the plain way */
                memset(dx, 0, (size_t)(p->height * p->width) * sizeof *dx);
                return scatter(p, g, dx, 0, n);
            }
            dx[place] += g[i];
        }
    }
    if (p->height > 2 * p->out_height)
        memset(dx + 2 * p->out_height * p->width, 0, (size_t)((p->height - 2 * p->out_height) * p->width) * sizeof *dx);
    return -1;
}

INLINE float share(const cbm_pool_plane *p, int64_t h, int64_t w, const int64_t at[4])
{
    if (p->exclude_pad)
        return 1.0f / (float)((at[1] - at[0]) * (at[3] - at[2]));
    int64_t top = h * p->stride[0] - p->padding[0], left = w * p->stride[1] - p->padding[1];
    int64_t bottom = top + p->kernel[0], right = left + p->kernel[1];
    bottom = bottom > p->height + p->padding[0] ? p->height + p->padding[0] : bottom;
    right = right > p->width + p->padding[1] ? p->width + p->padding[1] : right;
    return 1.0f / (float)((bottom - top) * (right - left));
}

static void avg_row_two(const float *upper, const float *lower, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += VN) {
        const int64_t now = n - i < VN ? n - i : VN;
        vf a, b, c, d;
        split_pairs(upper + 2 * i, 2 * now, &a, &b);
        split_pairs(lower + 2 * i, 2 * now, &c, &d);
        store_n(y + i, now, ((a + b) + (c + d)) * 0.25f);
    }
}

static void avg_run(const cbm_pool_plane *p, int64_t h, int64_t w, int64_t n)
{
    float total[RUN] = { 0 };
    int64_t at[4];
    window(p, 0, h, p->height, &at[0], &at[1]);
    for (int64_t row = at[0]; row < at[1]; row++)
        for (int64_t tap = 0; tap < p->kernel[1]; tap++) {
            int64_t first, last;
            columns_inside(p, w, n, tap, &first, &last);
            for (int64_t i = first; i < last; i += VN) {
                const int64_t now = last - i < VN ? last - i : VN;
                const float *x = p->x + row * p->width + i * p->stride[1] + tap - p->padding[1];
                float *sum = total + (i - w);
                const vf before = now == VN ? vf_load(sum) : vf_load_part(sum, now, 0.0f);
                store_n(sum, now, before + load_strided(x, now, p->stride[1]));
            }
        }
    for (int64_t i = 0; i < n; i++) {
        window(p, 1, w + i, p->width, &at[2], &at[3]);
        p->y[h * p->out_width + w + i] = total[i] * share(p, h, w + i, at);
    }
}

static void avg_pool(const cbm_pool_plane *p)
{
    if (is_two_by_two(p)) {
        for (int64_t h = 0; h < p->out_height; h++) {
            const float *row = p->x + 2 * h * p->width;
            avg_row_two(row, row + p->width, p->y + h * p->out_width, p->out_width);
        }
        return;
    }
    for (int64_t h = 0; h < p->out_height; h++)
        for (int64_t w = 0; w < p->out_width; w += RUN)
            avg_run(p, h, w, p->out_width - w < RUN ? p->out_width - w : RUN);
}

/* Two by two: a quarter of g in each of four places. */
static void avg_row_two_backward(const float *g, float *upper, float *lower, int64_t width, int64_t n)
{
    int64_t i = 0;
    for (; i + VN <= n; i += VN) {
        const vf v = vf_load(g + i) * 0.25f;
        const vf low = __builtin_shufflevector(v, v, WEAVE_LOW), high = __builtin_shufflevector(v, v, WEAVE_HIGH);
        vf_store(upper + 2 * i, low);
        vf_store(upper + 2 * i + VN, high);
        vf_store(lower + 2 * i, low);
        vf_store(lower + 2 * i + VN, high);
    }
    for (; i < n; i++)
        upper[2 * i] = upper[2 * i + 1] = lower[2 * i] = lower[2 * i + 1] = g[i] * 0.25f;
    for (int64_t w = 2 * n; w < width; w++)
        upper[w] = lower[w] = 0;
}

static void avg_pool_backward(const cbm_pool_plane *p, const float *g, float *dx)
{
    if (is_two_by_two(p)) {
        const int64_t done = 2 * p->out_height * p->width;
        for (int64_t h = 0; h < p->out_height; h++) {
            float *row = dx + 2 * h * p->width;
            avg_row_two_backward(g + h * p->out_width, row, row + p->width, p->width, p->out_width);
        }
        memset(dx + done, 0, (size_t)(p->height * p->width - done) * sizeof *dx);
        return;
    }
    memset(dx, 0, (size_t)(p->height * p->width) * sizeof *dx);
    for (int64_t h = 0; h < p->out_height; h++)
        for (int64_t w = 0; w < p->out_width; w++) {
            int64_t at[4];
            window(p, 0, h, p->height, &at[0], &at[1]);
            window(p, 1, w, p->width, &at[2], &at[3]);
            const float v = g[h * p->out_width + w] * share(p, h, w, at);
            for (int64_t i = at[0]; i < at[1]; i++)
                for (int64_t j = at[2]; j < at[3]; j++)
                    dx[i * p->width + j] += v;
        }
}

void CBM_LEVEL(cbm_planes_fill)(cbm_simd *s)
{
    s->max_pool = max_pool;
    s->max_pool_backward = max_pool_backward;
    s->avg_pool = avg_pool;
    s->avg_pool_backward = avg_pool_backward;
}
