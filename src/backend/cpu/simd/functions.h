/* functions.h: more elementary functions on vectors of f32: rounding, remainders, trigonometry, and exponentials and
   logarithms near 0 and of other bases; within four units in the last place unless said otherwise. Polynomials are minimax
   fits of the relative error. What lies outside their range goes lane by lane through the C library. Rests on math.h. */
#ifndef CAMBIUM_CPU_FUNCTIONS_H
#define CAMBIUM_CPU_FUNCTIONS_H

#include "backend/cpu/simd/math.h"

#include <math.h>

/* ---- lanes ---- */

static __attribute__((noinline, unused)) vf vf_lanes(vf x, float (*f)(float))
{
    for (int i = 0; i < VN; i++)
        x[i] = f(x[i]);
    return x;
}
static __attribute__((noinline, unused)) vf vf_lanes_2(vf x, vf y, float (*f)(float, float))
{
    for (int i = 0; i < VN; i++)
        x[i] = f(x[i], y[i]);
    return x;
}

/* c[0] + c[1] x + ... of n coefficients. */
INLINE vf vf_polynomial(vf x, const float *c, int n)
{
    vf r = vf_set(c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        r = r * x + c[i];
    return r;
}

/* ---- whole numbers: exact ---- */

#if !defined(__AVX__)
/* Beyond 2^23 every number is whole. */
INLINE vi vf_has_fraction(vf x)
{
    return vf_abs(x) < vf_set(8388608.0f);
}
#endif

INLINE vf vf_trunc(vf x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#elif defined(__AVX__)
    return (vf)_mm256_round_ps((__m256)x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC);
#else
    const vi m = vf_has_fraction(x);
    const vf whole = __builtin_convertvector(__builtin_convertvector(vf_select(m, x, (vf){ 0 }), vi), vf);
    return vf_select(m, vf_copy_sign(whole, x), x);
#endif
}
INLINE vf vf_floor(vf x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX__)
    return (vf)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
    const vf t = vf_trunc(x);
    return vf_select(t > x, t - 1.0f, t);
#endif
}
INLINE vf vf_ceil(vf x)
{
    return -vf_floor(-x);
}
INLINE vf vf_round(vf x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(__AVX__)
    return (vf)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    const vf whole = (vf_abs(x) + 8388608.0f) - 8388608.0f;
    return vf_select(vf_has_fraction(x), vf_copy_sign(whole, x), x);
#endif
}

/* Half of fmod, in doubles: the quotient has at most 28 bits, so that its product with y is exact. A quotient that was
   rounded up makes the rest negative. */
INLINE vd vd_small_mod(vd x, vd y)
{
    typedef int32_t whole __attribute__((vector_size(VB / 2)));
    x = vd_select(x < 0, -x, x);
    y = vd_select(y < 0, -y, y);
    const vd rest = x - __builtin_convertvector(__builtin_convertvector(x / y, whole), vd) * y;
    return vd_select(rest < 0, rest + y, rest);
}

INLINE vf vf_mod(vf x, vf y)
{
    const vf quotient = vf_abs(x / y);
    if (vi_some(~(quotient < vf_set(268435456.0f)) | ~(vf_abs(y) < vf_set(__builtin_inff()))))
        return vf_lanes_2(x, y, fmodf);
    const vf rest = vf_of_halves(vd_small_mod(vf_lower(x), vf_lower(y)), vd_small_mod(vf_upper(x), vf_upper(y)));
    return vf_copy_sign(rest, x);
}

/* ---- sine, cosine, tangent ---- */

#define TURN_LIMIT 65536.0f

/* x - n pi/2 for the whole n nearest to it (or nearly so), in doubles: no digit is lost however close to a multiple x is. */
INLINE vd vd_rest_of_turn(vd x, vd n)
{
    x = x - n * 1.57079632673412561417e+00; /* 33 bits of pi/2 */
    return x - n * 6.07710050650619224932e-11;
}

/* Sine and cosine of the rest, and the quarter turns taken off. */
INLINE vi vf_sin_cos(vf x, vf *sine, vf *cosine)
{
    static const float s_[] = { -0.166666552f, 0.00833215844f, -0.00019514958f };
    static const float c_[] = { 0.0416666456f, -0.0013887313f, 2.44327857e-05f };
    const vf magic = vf_set(12582912.0f); /* 1.5 * 2^23 */
    const vf t = x * 0.636619772f + magic, n = t - magic;
    const vf r = vf_of_halves(vd_rest_of_turn(vf_lower(x), vf_lower(n)), vd_rest_of_turn(vf_upper(x), vf_upper(n)));
    const vf s = r * r;
    *sine = vf_polynomial(s, s_, 3) * s * r + r;
    *cosine = vf_polynomial(s, c_, 3) * s * s + (1.0f - 0.5f * s);
    return (vi)t;
}

INLINE bool vf_turns_are_few(vf x)
{
    return !vi_some(~(vf_abs(x) <= vf_set(TURN_LIMIT)));
}
INLINE vf vf_of_quarter(vi quarter, vf even, vf odd)
{
    const vf v = vf_select((quarter & 1) != 0, odd, even);
    return (vf)((vi)v ^ (vi)((vu)(quarter & 2) << 30));
}

INLINE vf vf_sin(vf x)
{
    vf s, c;
    if (!vf_turns_are_few(x))
        return vf_lanes(x, sinf);
    const vi quarter = vf_sin_cos(x, &s, &c);
    return vf_of_quarter(quarter, s, c);
}
INLINE vf vf_cos(vf x)
{
    vf s, c;
    if (!vf_turns_are_few(x))
        return vf_lanes(x, cosf);
    const vi quarter = vf_sin_cos(x, &s, &c);
    return vf_of_quarter(quarter + 1, s, c);
}
INLINE vf vf_tan(vf x)
{
    vf s, c;
    if (!vf_turns_are_few(x))
        return vf_lanes(x, tanf);
    const vi odd = (vf_sin_cos(x, &s, &c) & 1) != 0;
    return vf_select(odd, -c, s) / vf_select(odd, s, c);
}

/* The angle of (x, y): atan of the smaller by the greater, about pi/4 when they are near each other. */
INLINE vf vf_atan2(vf y, vf x)
{
    static const float c[] = { -0.333329469f, 0.199775904f, -0.138762698f, 0.0804883838f };
    const vf infinity = vf_set(__builtin_inff()), huge = vf_set(1e38f);
    const vf ax = vf_abs(x), ay = vf_abs(y);
    vf least = vf_less(ax, ay), most = vf_greater(ax, ay);
    const vf scale = vf_if_less(huge, most, vf_set(0.25f), vf_set(1.0f)); /* so that their sum is finite */
    const vi infinite = least == infinity;
    least = vf_select(infinite, vf_set(1.0f), least * scale);
    most = vf_select(infinite, vf_set(1.0f), most * scale);
    const vi near = least > most * 0.414213562f;
    const vf numerator = vf_select(near, least - most, least), denominator = vf_select(near, least + most, most);
    const vf t = vf_select(denominator == 0.0f, (vf){ 0 }, numerator / denominator), s = t * t;
    vf r = vf_polynomial(s, c, 4) * s * t + t;
    r = vf_select(near, r + 0.785398163f, r);
    r = vf_select(ay > ax, 1.57079633f - r, r);
    r = vf_select((vi)x < 0, 3.14159265f - r, r);
    return vf_if_nan(x, x, vf_if_nan(y, y, vf_copy_sign(r, y)));
}

/* ---- exponentials and logarithms ---- */

/* p 2^n, the power in two factors, so that subnormal results round once. */
INLINE vf vf_scaled(vf p, vi n)
{
    const vi half = n >> 1;
    return p * (vf)((half + 127) << 23) * (vf)((n - half + 127) << 23);
}

INLINE vf vf_exp2(vf x)
{
    const vf magic = vf_set(12582912.0f);
    x = vf_greater(vf_set(-152.0f), vf_less(vf_set(129.0f), x));
    const vf t = x + magic;
    return vf_scaled(vf_exp((x - (t - magic)) * 0.693147181f), (vi)t - (vi)magic);
}

/* 2^n (expm1(r) + 1 - 2^-n), |r| <= ln 2 / 2. */
INLINE vf vf_expm1(vf x)
{
    static const float c[] = { 0.5f, 0.166666672f, 0.0416663252f, 0.00833321922f, 0.00139434205f, 0.000199626447f };
    const vf magic = vf_set(12582912.0f);
    x = vf_greater(vf_set(-18.0f), vf_less(vf_set(89.0f), x));
    const vf t = x * 1.44269504f + magic, nf = t - magic;
    const vi n = (vi)t - (vi)magic, few = vi_select(n > 30, vi_set(30), n);
    const vf r = (x - nf * 0.693145752f) - nf * 1.42860677e-6f;
    const vf p = vf_polynomial(r, c, 6) * r * r + r;
    return vf_scaled(p + (1.0f - (vf)((127 - few) << 23)), n);
}

/* log(1 + x) = log(u) - (u - 1 - x) / u for u = 1 + x, rounded. */
INLINE vf vf_log1p(vf x)
{
    const vf u = x + 1.0f, l = vf_log(u);
    const vi ends = (u == 0.0f) | (u == __builtin_inff());
    return vf_select(ends, l, l - ((u - 1.0f) - x) / u);
}

/* x = m 2^e, m in [2/3, 4/3]: log(m), and e; anything for what is not positive and finite. */
INLINE vf vf_log_parts(vf x, vf *e)
{
    const vf normal = vf_set(1.17549435e-38f);
    const vf a = vf_if_less(x, normal, x * 8388608.0f, x);
    const vi bits = (vi)(((vu)a - 0x3f2aaaabU) & 0xff800000U);
    *e = __builtin_convertvector(bits, vf) * 1.19209290e-7f + vf_if_less(x, normal, vf_set(-23.0f), (vf){ 0 });
    return vf_log((vf)((vu)a - (vu)bits));
}
/* r, but log(x) where x is 0, negative, infinite or NaN. */
INLINE vf vf_unless_odd(vf x, vf r)
{
    const vi odd = ~((x > 0.0f) & (x < __builtin_inff()));
    return vi_some(odd) ? vf_select(odd, vf_log(x), r) : r;
}
INLINE vf vf_log2(vf x)
{
    vf e;
    const vf l = vf_log_parts(x, &e);
    return vf_unless_odd(x, l * 1.44269504f + e);
}
INLINE vf vf_log10(vf x)
{
    vf e;
    const vf l = vf_log_parts(x, &e);
    return vf_unless_odd(x, e * 0.301025390625f + (e * 4.60503907e-6f + l * 0.434294482f));
}

/* erfc(x) = exp(-x^2) g(x) / (1 + 2x) for x >= 1/2; within five units. */
INLINE vf vf_erfc(vf x)
{
    static const float g[] = { 1.27697837f,     -0.0927637517f, -0.166030854f,  0.164048433f,    -0.0542107485f,
                               -0.00800300948f, 0.00865688547f, 0.00113822799f, -0.00126238144f, -0.00021730602f };
    static const float c[] = { 0.12837911f, -0.376126021f, 0.112827048f, -0.0267486181f, 0.00469888328f };
    static const float e[] = { -1.0f, 0.5f, -0.166666667f, 0.0416666667f };
    const vf t = vf_less(vf_set(12.0f), vf_abs(x));
    const vf high = (vf)((vi)t & (int32_t)0xfffff000); /* its square is exact */
    const vf rest = (t - high) * (t + high), square = vf_exp(-(high * high));
    const vf bell = vf_polynomial(rest, e, 4) * rest * square + square;
    vf r = bell * vf_polynomial((t - 2.0f) / (t + 2.0f), g, 10) / (1.0f + 2.0f * t);
    r = vf_select(x < 0.0f, 2.0f - r, r);
    const vf near = 1.0f - (vf_polynomial(x * x, c, 5) * x + x);
    return vf_if_nan(x, x, vf_if_less(t, vf_set(0.5f), near, r));
}

#endif
