/* planes.c: pooling windows over one plane (H, W), forward and backward. Windows of two by two in steps of two have their
   own vector loops. Rests on simd.h. */
#include "backend/cpu/simd/level.h"
#include "backend/cpu/simd/pooling.h"

#if VB == 64
#define WEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define WEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif VB == 32
#define WEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define WEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define WEAVE_LOW 0, 4, 1, 5
#define WEAVE_HIGH 2, 6, 3, 7
#endif

INLINE bool is_two_by_two(const cbm_pool_plane *p)
{
    return p->kernel[0] == 2 && p->kernel[1] == 2 && p->stride[0] == 2 && p->stride[1] == 2 && p->padding[0] == 0 &&
           p->padding[1] == 0 && 2 * p->out_height <= p->height && 2 * p->out_width <= p->width && p->divisor == 0;
}

static void max_row_two(const float *upper, const float *lower, float *y, uint8_t *place, int64_t n)
{
    for (int64_t i = 0; i < n; i += VN) {
        const int64_t now = n - i < VN ? n - i : VN;
        vf a, b, c, d;
        split_pairs(upper + 2 * i, 2 * now, &a, &b);
        split_pairs(lower + 2 * i, 2 * now, &c, &d);
        vf best = a;
        vi at = { 0 };
        keep_greater(&best, &at, b, vi_set(1));
        keep_greater(&best, &at, c, vi_set(2));
        keep_greater(&best, &at, d, vi_set(3));
        vf_store_n(y + i, now, best);
        if (place)
            vi_to_bytes(place + i, now, at);
    }
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

enum { RUN = 128 }; /* outputs of a row taken together, tap after tap */

static void max_run(const cbm_pool_plane *p, int64_t h, int64_t w, int64_t n)
{
    float value[RUN];
    int32_t place[RUN];
    const int64_t from_top = h * p->stride[0] - p->padding[0];
    int64_t top, bottom;
    window(p, 0, h, p->height, &top, &bottom);
    for (int64_t i = 0; i < n; i++) {
        const int64_t left = (w + i) * p->stride[1] - p->padding[1];
        value[i] = -__builtin_inff();
        place[i] = (int32_t)((top - from_top) * p->kernel[1] + (left > 0 ? 0 : -left));
    }
    for (int64_t row = top; row < bottom; row++)
        for (int64_t tap = 0; tap < p->kernel[1]; tap++) {
            const vi here = vi_set((int32_t)((row - from_top) * p->kernel[1] + tap));
            int64_t first, last;
            columns_inside(p, w, n, tap, &first, &last);
            for (int64_t i = first; i < last; i += VN) {
                const int64_t now = last - i < VN ? last - i : VN;
                const int64_t at = row * p->width + i * p->stride[1] + tap - p->padding[1];
                const vf v = load_strided(p->x + at, now, p->stride[1]);
                float *best = value + (i - w);
                int32_t *best_at = place + (i - w);
                vf b = vf_load_n(best, now);
                vi q = now == VN ? vi_load(best_at) : (vi)vf_load_part((const float *)(const void *)best_at, now, 0.0f);
                keep_greater(&b, &q, v, here);
                vf_store_n(best, now, b);
                vf_store_n((float *)(void *)best_at, now, (vf)q);
            }
        }
    const int64_t to = h * p->out_width + w;
    if (p->y)
        memcpy(p->y + to, value, (size_t)n * sizeof *value);
    for (int64_t i = 0; p->place && i < n; i++)
        p->place[to + i] = (uint8_t)place[i];
    for (int64_t i = 0; p->wide_place && i < n; i++)
        p->wide_place[to + i] = place[i];
}

static void max_pool(const cbm_pool_plane *p)
{
    if (is_two_by_two(p) && p->y) {
        for (int64_t h = 0; h < p->out_height; h++) {
            const float *row = p->x + 2 * h * p->width;
            max_row_two(row, row + p->width, p->y + h * p->out_width, p->place ? p->place + h * p->out_width : NULL,
                        p->out_width);
        }
        return;
    }
    for (int64_t h = 0; h < p->out_height; h++)
        for (int64_t w = 0; w < p->out_width; w += RUN)
            max_run(p, h, w, p->out_width - w < RUN ? p->out_width - w : RUN);
}

INLINE void store_two(float *to, int64_t n, vf low, vf high)
{
    vf_store_n(to, n < VN ? n : VN, low);
    if (n > VN)
        vf_store_n(to + VN, n - VN, high);
}

/* Two by two: each window's four places are written together, the gradient in one of them. */
static void max_row_two_backward(const float *g, const uint8_t *place, float *upper, float *lower, int64_t width,
                                 int64_t n)
{
    for (int64_t i = 0; i < n; i += VN) {
        const int64_t now = n - i < VN ? n - i : VN;
        const vi at = vi_of_bytes(place + i, now);
        const vf v = vf_load_n(g + i, now);
        for (int k = 0; k < 2; k++) {
            const vf even = (vf)((vi)v & (at == 2 * k)), odd = (vf)((vi)v & (at == 2 * k + 1));
            store_two((k == 0 ? upper : lower) + 2 * i, 2 * now, __builtin_shufflevector(even, odd, WEAVE_LOW),
                      __builtin_shufflevector(even, odd, WEAVE_HIGH));
        }
    }
    for (int64_t w = 2 * n; w < width; w++)
        upper[w] = lower[w] = 0;
}

static void max_pool_backward(const cbm_pool_plane *p, const float *g, float *dx)
{
    if (is_two_by_two(p)) {
        const int64_t done = 2 * p->out_height * p->width;
        for (int64_t h = 0; h < p->out_height; h++)
            max_row_two_backward(g + h * p->out_width, p->place + h * p->out_width, dx + 2 * h * p->width,
                                 dx + (2 * h + 1) * p->width, p->width, p->out_width);
        memset(dx + done, 0, (size_t)(p->height * p->width - done) * sizeof *dx);
        return;
    }
    memset(dx, 0, (size_t)(p->height * p->width) * sizeof *dx);
    const uint64_t kernel_width = (uint64_t)p->kernel[1];
    for (int64_t h = 0; h < p->out_height; h++)
        for (int64_t w = 0; w < p->out_width; w++) {
            const int64_t from = h * p->out_width + w;
            const uint64_t k = p->place ? p->place[from] : (uint64_t)p->wide_place[from];
            const int64_t row = (int64_t)(k / kernel_width) + h * p->stride[0] - p->padding[0];
            const int64_t column = (int64_t)(k % kernel_width) + w * p->stride[1] - p->padding[1];
            if (k < (uint64_t)p->kernel[0] * kernel_width && row >= 0 && row < p->height && column >= 0 &&
                column < p->width)
                dx[row * p->width + column] += g[from];
        }
}

static void avg_row_two(const float *upper, const float *lower, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i += VN) {
        const int64_t now = n - i < VN ? n - i : VN;
        vf a, b, c, d;
        split_pairs(upper + 2 * i, 2 * now, &a, &b);
        split_pairs(lower + 2 * i, 2 * now, &c, &d);
        vf_store_n(y + i, now, ((a + b) + (c + d)) * 0.25f);
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
                const vf before = vf_load_n(sum, now);
                vf_store_n(sum, now, before + load_strided(x, now, p->stride[1]));
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
