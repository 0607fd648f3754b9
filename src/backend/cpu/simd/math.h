/* math.h: elementary functions on vectors of f32, within about two units in the last place; 0, infinities, NaN, overflow and
   subnormal results come out as the C library gives them. An element's result does not depend on its neighbours. Ranges are
   reduced by tables that one instruction looks up in where vectors are wide enough; polynomials do the rest. Rests on
   simd.h. */
#ifndef CAMBIUM_CPU_MATH_H
#define CAMBIUM_CPU_MATH_H

#include "backend/cpu/simd/simd.h"
#include "backend/cpu/simd/tables.h"

INLINE vf vf_copy_sign(vf magnitude, vf sign)
{
    return (vf)(((vi)magnitude & 0x7fffffff) | ((vi)sign & (int32_t)0x80000000));
}

/* ---- exp ---- */

#if VN == 16
#define EXP_BITS 4
#define EXP_TABLE exp_table_16
#define EXP_COEFFICIENTS exp_coefficients_16
#elif VN == 8
#define EXP_BITS 3
#define EXP_TABLE exp_table_8
#define EXP_COEFFICIENTS exp_coefficients_8
#endif

#ifdef EXP_BITS
#define EXP_PARTS (1 << EXP_BITS)

/* Entry i % VN of the table for each lane's i. */
INLINE vu vu_pick(const uint32_t *table, vu i)
{
#if defined(__AVX512F__)
    return (vu)_mm512_permutexvar_epi32((__m512i)i, (__m512i)vi_load(table));
#else
    return (vu)_mm256_permutevar8x32_epi32((__m256i)vi_load(table), (__m256i)i);
#endif
}

/* x = (n ln 2 + d) / EXP_PARTS: n in the low bits of the first result; e^(d / EXP_PARTS) - 1 goes to *rest. */
INLINE vu exp_reduced(vf x, vf *rest)
{
    const vf magic = vf_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to the nearest integer */
    const vf t = x * (1.44269504f * EXP_PARTS) + magic, n = t - magic;
    vf r = x - n * (0.693147182f / EXP_PARTS);
    r = r + n * (1.90465421e-9f / EXP_PARTS);
    *rest = (EXP_COEFFICIENTS[1] * r + EXP_COEFFICIENTS[0]) * (r * r) + r;
    return (vu)t;
}

/* |x| <= 87: neither x nor the result needs special care. */
INLINE vf vf_exp_within(vf x)
{
    vf rest;
    const vu n = exp_reduced(x, &rest);
    const vf power = (vf)(vu_pick(EXP_TABLE, n) + (n << (23 - EXP_BITS)));
    return power * rest + power;
}

/* The power of two in two factors, so that subnormal results round once. */
static __attribute__((noinline, unused)) vf vf_exp_beyond(vf x)
{
    vf rest;
    const vu n = exp_reduced(vf_greater(vf_set(-104.0f), vf_less(vf_set(89.0f), x)), &rest);
    const vf part = (vf)(vu_pick(EXP_TABLE, n) + ((n & (EXP_PARTS - 1)) << (23 - EXP_BITS)));
    const vi whole = (vi)(n - 0x4b400000u) >> EXP_BITS, half = whole >> 1;
    const vf p = vf_if_less(x, vf_set(-104.0f), (vf){ 0 }, part * rest + part); /* without subnormal arithmetic */
    return p * (vf)((half + 127) << 23) * (vf)((whole - half + 127) << 23);
}

INLINE vf vf_exp(vf x)
{
    return vf_all_within(x, 87.0f) ? vf_exp_within(x) : vf_exp_beyond(x);
}

/* e^x, x <= 0, as a term of a sum that holds 1 as well: to a unit in the last place of that 1, and never less than e^-87. */
INLINE vf vf_exp_term(vf x)
{
    const vf magic = vf_set(12582912.0f), d = vf_greater(vf_set(-87.0f), x);
    const vf t = d * (1.44269504f * EXP_PARTS) + magic, r = d - (t - magic) * (0.693147182f / EXP_PARTS);
    const vf rest = (EXP_COEFFICIENTS[1] * r + EXP_COEFFICIENTS[0]) * (r * r) + r;
    const vf power = (vf)(vu_pick(EXP_TABLE, (vu)t) + ((vu)t << (23 - EXP_BITS)));
    return power * rest + power;
}

#else
/* exp(x) = 2^n exp(r), |r| <= ln 2 / 2; the power of two in two factors, so that subnormal results round once. */
INLINE vf vf_exp(vf x)
{
    const vf magic = vf_set(12582912.0f); /* 1.5 * 2^23: adding it rounds to the nearest integer */
    const vf given = x;
    x = vf_greater(vf_set(-104.0f), vf_less(vf_set(89.0f), x));
    vf t = x * 1.44269504f + magic;
    vi n = (vi)t - (vi)magic;
    vf nf = t - magic;
    vf r = x - nf * 0.693145752f;
    r = r - nf * 1.42860677e-6f;
    vf p = 1.37805939e-3f * r + 8.37312452e-3f;
    p = p * r + 4.16695364e-2f;
    p = p * r + 1.66664720e-1f;
    p = p * r + 4.99999851e-1f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    p = vf_if_less(given, vf_set(-104.0f), (vf){ 0 }, p); /* to 0 without the slow arithmetic of subnormals */
    vi half = n >> 1;
    vf scale_a = (vf)((half + 127) << 23);
    vf scale_b = (vf)((n - half + 127) << 23);
    return p * scale_a * scale_b;
}

INLINE vf vf_exp_within(vf x)
{
    return vf_exp(x);
}
INLINE vf vf_exp_term(vf x)
{
    return vf_exp(x);
}
#endif

/* ---- log ---- */

#if VN == 16
/* Entry i % 32 of the table for each lane's i. */
INLINE vf vf_pick_32(const float *table, vu i)
{
    return (vf)_mm512_permutex2var_ps((__m512)vf_load(table), (__m512i)i, (__m512)vf_load(table + VN));
}

/* log(x) = e ln 2 + log(m), m in [0.75, 1.5); log(m) = log(m c) - log(c), c a number near 1 / m */
INLINE vf log_of_normal(vf x)
{
    const vu above = (vu)x - 0x3f400000u; /* unsigned: the bits of odd operands wrap */
    const vf m = (vf)((vu)x - (above & 0xff800000u)), e = __builtin_convertvector((vi)above >> 23, vf);
    const vu slot = (vu)m >> 18;
    const vf r = m * vf_pick_32(log_table[0], slot) - 1.0f;
    const vf rest = ((log_coefficients[2] * r + log_coefficients[1]) * r + log_coefficients[0]) * (r * r) + r;
    return e * 0.693147182f + (vf_pick_32(log_table[1], slot) + rest);
}

/* Subnormal, 0, negative, infinite, NaN, among others. */
static __attribute__((noinline, unused)) vf log_of_any(vf x)
{
    const vf normal = vf_set(1.17549435e-38f), infinity = vf_set(__builtin_inff()), zero = vf_set(0.0f);
    const vf log = log_of_normal(vf_if_less(x, normal, x * 8388608.0f, x));
    vf r = vf_if_less(x, normal, log - 15.9423847f, log);
    r = vf_select((x > zero) & (x < infinity), r, vf_set(__builtin_nanf("")));
    return vf_select(x == zero, -infinity, vf_select(x == infinity, infinity, r));
}

INLINE vf vf_log(vf x)
{
    const __mmask16 odd =
        _mm512_cmp_epu32_mask((__m512i)((vu)x - 0x00800000u), _mm512_set1_epi32(0x7f000000), _MM_CMPINT_NLT);
    return odd ? log_of_any(x) : log_of_normal(x);
}

#else
/* log(x) = e ln 2 + log(m), m in [2/3, 4/3]. */
INLINE vf vf_log(vf x)
{
    const vf normal = vf_set(1.17549435e-38f);
    vf a = vf_if_less(x, normal, x * 8388608.0f, x);
    vf i = vf_if_less(x, normal, vf_set(-23.0f), (vf){ 0 });
    vi e = (vi)(((vu)a - 0x3f2aaaabU) & 0xff800000U); /* unsigned: the bits of odd operands wrap */
    vf m = (vf)((vu)a - (vu)e);
    i = __builtin_convertvector(e, vf) * 1.19209290e-7f + i;
    m = m - 1.0f;
    vf s = m * m;
    vf r = vf_set(-0.130310059f);
    vf t = vf_set(0.140869141f);
    r = r * s - 0.121483512f;
    t = t * s + 0.139814854f;
    r = r * s - 0.166846126f;
    t = t * s + 0.200120345f;
    r = r * s - 0.249996200f;
    r = t * m + r;
    r = r * m + 0.333331972f;
    r = r * m - 0.5f;
    r = r * s + m;
    r = i * 0.693147182f + r;
    const vf infinity = vf_set(__builtin_inff());
    vi odd = ~((x > vf_set(0.0f)) & (x < infinity)); /* 0, negative, infinite, NaN */
    if (vi_some(odd)) {
        vf v = vf_select(x == vf_set(0.0f), -infinity, vf_select(x == infinity, infinity, vf_set(__builtin_nanf(""))));
        r = vf_select(odd, v, r);
    }
    return r;
}
#endif

/* ---- tanh, erf ---- */

#if VN == 16
/* An odd function that is 1 from `top` on: in the interval of |x| + shift, a polynomial of degree 4 about a point. */
INLINE vf vf_saturating(vf x, const float table[6][32], float shift, float top)
{
    const vf a = vf_less(vf_set(top), vf_abs(x));
    const vu slot = (vu)(a + shift) >> 20;
    const vf d = a - vf_pick_32(table[0], slot);
    const vf line = vf_pick_32(table[2], slot) * d + vf_pick_32(table[1], slot);
    const vf bend = (vf_pick_32(table[5], slot) * d + vf_pick_32(table[4], slot)) * d + vf_pick_32(table[3], slot);
    const vf r = bend * (d * d) + line;
    return (vf)((vi)r | ((vi)x & (int32_t)0x80000000));
}
INLINE vf vf_tanh(vf x)
{
    return vf_saturating(x, tanh_table, 0.75f, 9.1f);
}
INLINE vf vf_erf(vf x)
{
    return vf_saturating(x, erf_table, 0.5f, 4.0f);
}

#else
INLINE vf vf_tanh(vf x)
{
    vf t = vf_abs(x);
    vf e = vf_exp_within(vf_less(vf_set(40.0f), t + t));
    vf large = vf_copy_sign(1.0f - 2.0f / (e + 1.0f), x);
    vf s = x * x;
    vf r = 0.01573968f * s - 0.0523039624f;
    r = r * s + 0.133152977f;
    r = r * s - 0.333327681f;
    r = (r * s) * x + x;
    return vf_if_less(t, vf_set(0.599609375f), r, large);
}

INLINE vf vf_erf(vf x)
{
    vf t = vf_less(vf_set(4.0f), vf_abs(x)); /* beyond 4 the answer is 1 */
    vf s = t * t;
    vf r = -1.72853470e-5f * t + 3.83197126e-4f;
    vf u = -3.88396438e-3f * t + 2.42546219e-2f;
    r = r * s + u;
    r = r * t - 1.06777877e-1f;
    r = r * t - 6.34846687e-1f;
    r = r * t - 1.28717512e-1f;
    r = r * t - t;
    vf large = vf_copy_sign(1.0f - vf_exp_within(r), x);
    vf p = vf_set(-5.96761703e-4f);
    p = p * s + 4.99119423e-3f;
    p = p * s - 2.67681349e-2f;
    p = p * s + 1.12819925e-1f;
    p = p * s - 3.76125336e-1f;
    p = p * s + 1.28379166e-1f;
    p = p * x + x;
    return vf_if_less(vf_set(0.927734375f), t, large, p);
}
#endif

/* x^y for finite positive x and finite y, in double: 2^(y log2 x) is then right to about half a unit of f32. */
INLINE vd vd_pow(vd x, vd y)
{
    vl bits = (vl)x;
    vl e = (bits - 0x3fe6a09e667f3bcd) >> 52; /* m in [sqrt 1/2, sqrt 2) */
    vd m = (vd)(bits - (e << 52));
    vd s = (m - 1.0) / (m + 1.0);
    vd q = s * s;
    vd p = 1.0 / 13.0 * q + 1.0 / 11.0;
    p = p * q + 1.0 / 9.0;
    p = p * q + 1.0 / 7.0;
    p = p * q + 1.0 / 5.0;
    p = p * q + 1.0 / 3.0;
    p = p * q + 1.0;
    const vd whole = vd_set(6755399441055744.0); /* 1.5 * 2^52 */
    vd ef = (vd)(e + (vl)whole) - whole;
    vd t = y * (ef + s * p * 2.8853900817779268);
    t = vd_select(t > vd_set(200.0), vd_set(200.0), t);
    t = vd_select(t < vd_set(-200.0), vd_set(-200.0), t);
    vd w = t + whole;
    vl n = (vl)w - (vl)whole;
    vd f = (t - (w - whole)) * 0.69314718055994531;
    vd r = 1.0 / 362880.0 * f + 1.0 / 40320.0;
    r = r * f + 1.0 / 5040.0;
    r = r * f + 1.0 / 720.0;
    r = r * f + 1.0 / 120.0;
    r = r * f + 1.0 / 24.0;
    r = r * f + 1.0 / 6.0;
    r = r * f + 0.5;
    r = r * f + 1.0;
    r = r * f + 1.0;
    return r * (vd)((n + 1023) << 52);
}

#endif
