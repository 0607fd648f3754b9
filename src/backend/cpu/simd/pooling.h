/* pooling.h: what planes.c, channels.c and volumes.c share: windows, strided rows, and the greater with its place. Rests on simd.h. */
#ifndef CAMBIUM_CPU_POOLING_H
#define CAMBIUM_CPU_POOLING_H

#include "backend/cpu/simd/simd.h"

/* The greater with its place; the first stays unless the second is above it, NaN above every number. */
INLINE void keep_greater(vf *value, vi *place, vf other, vi other_place)
{
#if defined(__AVX512F__)
    const __mmask16 number = _mm512_cmp_ps_mask((__m512)*value, (__m512)*value, _CMP_ORD_Q);
    const __mmask16 m = _mm512_mask_cmp_ps_mask(number, (__m512)other, (__m512)*value, _CMP_NLE_UQ);
    *value = (vf)_mm512_mask_blend_ps(m, (__m512)*value, (__m512)other);
    *place = (vi)_mm512_mask_blend_epi32(m, (__m512i)*place, (__m512i)other_place);
#else
    const vi m = (other > *value) | ((other != other) & (*value == *value));
    *value = vf_select(m, other, *value);
    *place = vi_select(m, other_place, *place);
#endif
}

/* n <= VN bytes as lanes, 0 beyond them; and lanes of 0..255 as n bytes. */
INLINE vi vi_of_bytes(const uint8_t *p, int64_t n)
{
    if (n == VN)
        return vi_load_bytes(p);
#if defined(__AVX512F__)
    return (vi)_mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1u), p));
#else
    int32_t t[VN] = { 0 };
    for (int64_t i = 0; i < n; i++)
        t[i] = p[i];
    return vi_load(t);
#endif
}
INLINE void vi_to_bytes(uint8_t *p, int64_t n, vi v)
{
    if (n == VN) {
        vi_store_bytes(p, v);
        return;
    }
#if defined(__AVX512F__)
    _mm512_mask_cvtepi32_storeu_epi8(p, (__mmask16)((1u << n) - 1u), (__m512i)v);
#else
    for (int64_t i = 0; i < n; i++)
        p[i] = (uint8_t)v[i];
#endif
}

/* sum + g in those of the n <= VN lanes whose place is k. */
INLINE vf add_where(vf sum, const float *g, const uint8_t *place, int64_t k, int64_t n)
{
#if defined(__AVX512F__)
    const __m128i key = _mm_set1_epi8((char)k);
    if (n == VN)
        return (vf)_mm512_mask_add_ps((__m512)sum,
                                      _mm_cmpeq_epi8_mask(_mm_loadu_si128((const __m128i *)(const void *)place), key),
                                      (__m512)sum, (__m512)vf_load(g));
    const __mmask16 lanes = (__mmask16)((1u << n) - 1u);
    const __mmask16 m = _mm_mask_cmpeq_epi8_mask(lanes, _mm_maskz_loadu_epi8(lanes, place), key);
    return (vf)_mm512_mask_add_ps((__m512)sum, m, (__m512)sum, _mm512_maskz_loadu_ps(m, g));
#else
    const vf v = n == VN ? vf_load(g) : vf_load_part(g, n, 0.0f);
    return sum + (vf)((vi)v & (vi_of_bytes(place, n) == (int32_t)k));
#endif
}

#if VB == 64
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif VB == 32
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#endif

/* Elements 0, 2, 4, ... and 1, 3, 5, ... of `count` <= 2 VN. */
INLINE void split_pairs(const float *x, int64_t count, vf *even, vf *odd)
{
    vf a = count >= VN ? vf_load(x) : vf_load_part(x, count, 0.0f);
    vf b = count == 2 * VN ? vf_load(x + VN) : count > VN ? vf_load_part(x + VN, count - VN, 0.0f) : (vf){ 0 };
    *even = __builtin_shufflevector(a, b, EVEN);
    *odd = __builtin_shufflevector(a, b, ODD);
}

/* n <= VN elements, stride apart. */
INLINE vf load_strided(const float *x, int64_t n, int64_t stride)
{
    if (stride == 1)
        return vf_load_n(x, n);
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

/* The window's place [low, high) along one axis of the plane. */
INLINE void window(const cbm_pool_plane *p, int axis, int64_t at, int64_t size, int64_t *low, int64_t *high)
{
    *low = at * p->stride[axis] - p->padding[axis];
    *high = *low + p->kernel[axis];
    *low = *low < 0 ? 0 : *low;
    *high = *high > size ? size : *high;
}

/* One over the number of places that the average over window (h, w) counts; `at` is the window in the plane. */
INLINE float share(const cbm_pool_plane *p, int64_t h, int64_t w, const int64_t at[4])
{
    if (p->divisor > 0)
        return 1.0f / p->divisor;
    if (p->exclude_pad)
        return 1.0f / (float)((at[1] - at[0]) * (at[3] - at[2]));
    int64_t top = h * p->stride[0] - p->padding[0], left = w * p->stride[1] - p->padding[1];
    int64_t bottom = top + p->kernel[0], right = left + p->kernel[1];
    bottom = bottom > p->height + p->padding[0] ? p->height + p->padding[0] : bottom;
    right = right > p->width + p->padding[1] ? p->width + p->padding[1] : right;
    return 1.0f / (float)((bottom - top) * (right - left));
}

#endif
