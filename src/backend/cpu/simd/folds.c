/* folds.c: products, minima and sums of exponentials of n elements one after the other, in several vectors that are joined in
   a fixed order, as in rows.c. Rests on simd.h and math.h. */
#include "backend/cpu/simd/math.h"

#include "backend/cpu/simd/level.h"

#define BLOCK 4096 /* partial sums in f32 go to a double after this many elements */

/* The lanes of v joined with those of itself turned. */
INLINE float vf_join(vf v, vf (*join)(vf, vf))
{
#if VB >= 64
    v = join(v, __builtin_shufflevector(v, v, TURN_8));
#endif
#if VB >= 32
    v = join(v, __builtin_shufflevector(v, v, TURN_4));
#endif
    v = join(v, __builtin_shufflevector(v, v, TURN_2));
    v = join(v, __builtin_shufflevector(v, v, TURN_1));
    return v[0];
}

/* neutral: what changes nothing. */
INLINE float fold(const float *x, int64_t n, float neutral, vf (*join)(vf, vf))
{
    vf m0 = vf_set(neutral), m1 = m0, m2 = m0, m3 = m0;
    int64_t i = 0;
    for (; i + 4 * VN <= n; i += 4 * VN) {
        m0 = join(vf_load(x + i), m0);
        m1 = join(vf_load(x + i + VN), m1);
        m2 = join(vf_load(x + i + 2 * VN), m2);
        m3 = join(vf_load(x + i + 3 * VN), m3);
    }
    for (; i + VN <= n; i += VN)
        m0 = join(vf_load(x + i), m0);
    if (i < n)
        m1 = join(vf_load_part(x + i, n - i, neutral), m1);
    return vf_join(join(join(m0, m1), join(m2, m3)), join);
}

INLINE void each(float *r, const float *x, int64_t n, vf (*join)(vf, vf))
{
    int64_t i = 0;
    for (; i + VN <= n; i += VN)
        vf_store(r + i, join(vf_load(r + i), vf_load(x + i)));
    if (i < n)
        vf_store_part(r + i, n - i, join(vf_load_part(r + i, n - i, 0), vf_load_part(x + i, n - i, 0)));
}

INLINE vf product_of(vf a, vf b)
{
    return a * b;
}
INLINE vf least_of(vf a, vf b)
{
    return vf_min(a, b);
}

static float product(const float *x, int64_t n)
{
    return fold(x, n, 1, product_of);
}
static float bottom(const float *x, int64_t n)
{
    return fold(x, n, __builtin_inff(), least_of);
}
static void multiply(float *r, const float *x, int64_t n)
{
    each(r, x, n, product_of);
}
static void lower(float *r, const float *x, int64_t n)
{
    each(r, x, n, least_of);
}

/* The first place of the least; NaN counts as least. */
static int64_t bottom_at(const float *x, int64_t n)
{
    const float best = bottom(x, n);
    const vf b = vf_set(best);
    int64_t i = 0;
    for (; i + VN <= n; i += VN) {
        const vf v = vf_load(x + i);
        if (vi_some((v == b) | (v != v)))
            break;
    }
    for (; i < n; i++)
        if (best != best ? x[i] != x[i] : x[i] == best)
            return i;
    return 0;
}

INLINE void follow(float *best, int32_t *at, const float *x, int32_t row, int64_t n, bool greatest)
{
    const vi here = vi_set(row);
    int64_t i = 0;
    for (; i + VN <= n; i += VN) {
        const vf b = vf_load(best + i), v = vf_load(x + i);
        const vi better = (greatest ? v > b : v < b) | ((v != v) & (b == b));
        vf_store(best + i, vf_select(better, v, b));
        vi_store(at + i, vi_select(better, here, vi_load(at + i)));
    }
    for (; i < n; i++) {
        const bool better = (greatest ? x[i] > best[i] : x[i] < best[i]) || (x[i] != x[i] && best[i] == best[i]);
        best[i] = better ? x[i] : best[i];
        at[i] = better ? row : at[i];
    }
}
static void raise_at(float *best, int32_t *at, const float *x, int32_t row, int64_t n)
{
    follow(best, at, x, row, n, true);
}
static void lower_at(float *best, int32_t *at, const float *x, int32_t row, int64_t n)
{
    follow(best, at, x, row, n, false);
}

static double exp_sum(const float *x, float minus, int64_t n)
{
    const vf m = vf_set(minus);
    double total = 0;
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        const int64_t end = n - begin < BLOCK ? n : begin + BLOCK;
        vf s0 = { 0 }, s1 = { 0 };
        int64_t i = begin;
        for (; i + 2 * VN <= end; i += 2 * VN) {
            s0 += vf_exp(vf_load(x + i) - m);
            s1 += vf_exp(vf_load(x + i + VN) - m);
        }
        for (; i < end; i += VN) {
            const int64_t left = end - i < VN ? end - i : VN;
            s0 += vf_exp((left == VN ? vf_load(x + i) : vf_load_part(x + i, left, -__builtin_inff())) - m);
        }
        total += (double)vf_sum(s0 + s1);
    }
    return total;
}

static void exp_add(float *r, const float *x, const float *minus, int64_t n)
{
    int64_t i = 0;
    for (; i + VN <= n; i += VN)
        vf_store(r + i, vf_load(r + i) + vf_exp(vf_load(x + i) - vf_load(minus + i)));
    if (i < n)
        vf_store_part(r + i, n - i,
                      vf_load_part(r + i, n - i, 0) +
                          vf_exp(vf_load_part(x + i, n - i, 0) - vf_load_part(minus + i, n - i, 0)));
}

/* ---- whole numbers ---- */

/* Bytes add up in 32 bits, so many of them at a time that nothing is lost. */
enum { BYTES = 1 << 22 };

static int64_t sum_bytes(const uint8_t *x, int64_t n, bool truth)
{
    int64_t total = 0;
    for (int64_t i = 0; i < n; i += BYTES) {
        const int64_t end = n - i < BYTES ? n : i + BYTES;
        uint32_t part = 0;
        if (truth)
            for (int64_t k = i; k < end; k++)
                part += x[k] != 0;
        else
            for (int64_t k = i; k < end; k++)
                part += x[k];
        total += part;
    }
    return total;
}

static int64_t sum_whole(cbm_dtype dtype, const void *x, int64_t n)
{
    uint64_t total = 0;
    if (dtype == CBM_BOOL || dtype == CBM_U8)
        return sum_bytes(x, n, dtype == CBM_BOOL);
    if (dtype == CBM_I32)
        for (int64_t i = 0; i < n; i++)
            total += (uint64_t)(int64_t)((const int32_t *)x)[i];
    else
        for (int64_t i = 0; i < n; i++)
            total += ((const uint64_t *)x)[i];
    return (int64_t)total;
}

static void add_whole(cbm_dtype dtype, int64_t *r, const void *x, int64_t n)
{
    uint64_t *to = (uint64_t *)r;
    if (dtype == CBM_BOOL)
        for (int64_t i = 0; i < n; i++)
            to[i] += ((const uint8_t *)x)[i] != 0;
    else if (dtype == CBM_U8)
        for (int64_t i = 0; i < n; i++)
            to[i] += ((const uint8_t *)x)[i];
    else if (dtype == CBM_I32)
        for (int64_t i = 0; i < n; i++)
            to[i] += (uint64_t)(int64_t)((const int32_t *)x)[i];
    else
        for (int64_t i = 0; i < n; i++)
            to[i] += ((const uint64_t *)x)[i];
}

void CBM_LEVEL(cbm_folds_fill)(cbm_simd *s)
{
    s->product = product;
    s->bottom = bottom;
    s->bottom_at = bottom_at;
    s->multiply = multiply;
    s->lower = lower;
    s->exp_sum = exp_sum;
    s->exp_add = exp_add;
    s->sum_whole = sum_whole;
    s->add_whole = add_whole;
    s->raise_at = raise_at;
    s->lower_at = lower_at;
}
