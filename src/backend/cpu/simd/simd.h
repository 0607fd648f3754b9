/* simd.h: vectors as wide as the level that this file is compiled for (CBM_SIMD: baseline, avx2 or avx512), by the
   compilers' vector extension, so that one source serves every processor. Rests on the compiler alone. */
#ifndef CAMBIUM_CPU_SIMD_H
#define CAMBIUM_CPU_SIMD_H

#include "backend/cpu/cpu.h"
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#ifndef CBM_SIMD
#error "compile with -DCBM_SIMD=baseline, avx2 or avx512"
#endif
#define CBM_LEVEL_2_(name, level) name##_##level
#define CBM_LEVEL_1_(name, level) CBM_LEVEL_2_(name, level)
#define CBM_LEVEL(name) CBM_LEVEL_1_(name, CBM_SIMD) /* cbm_tile -> cbm_tile_avx2 */

#if defined(__AVX512F__)
#define VB 64
#elif defined(__AVX2__)
#define VB 32
#else
#define VB 16
#endif
#define VN (VB / 4) /* 32-bit lanes */
#define VD (VB / 8) /* 64-bit lanes */

typedef float vf __attribute__((vector_size(VB)));
typedef int32_t vi __attribute__((vector_size(VB)));
typedef uint32_t vu __attribute__((vector_size(VB)));
typedef double vd __attribute__((vector_size(VB)));
typedef int64_t vl __attribute__((vector_size(VB)));
typedef uint64_t vul __attribute__((vector_size(VB)));
typedef float vf_half __attribute__((vector_size(VB / 2)));
typedef int32_t vi_half __attribute__((vector_size(VB / 2)));
typedef uint16_t vh_half __attribute__((vector_size(VB / 2)));
typedef uint8_t vb_quarter __attribute__((vector_size(VB / 4)));

typedef float vf_any __attribute__((vector_size(VB), aligned(4), may_alias));
typedef int32_t vi_any __attribute__((vector_size(VB), aligned(4), may_alias));
typedef double vd_any __attribute__((vector_size(VB), aligned(8), may_alias));
typedef int64_t vl_any __attribute__((vector_size(VB), aligned(8), may_alias));
typedef float vf_half_any __attribute__((vector_size(VB / 2), aligned(4), may_alias));
typedef int32_t vi_half_any __attribute__((vector_size(VB / 2), aligned(4), may_alias));
typedef uint16_t vh_half_any __attribute__((vector_size(VB / 2), aligned(2), may_alias));
typedef uint8_t vb_quarter_any __attribute__((vector_size(VB / 4), aligned(1), may_alias));

#define INLINE static inline __attribute__((always_inline, unused))

INLINE vf vf_load(const void *p)
{
    return *(const vf_any *)p;
}
INLINE void vf_store(void *p, vf v)
{
    *(vf_any *)p = v;
}
INLINE vi vi_load(const void *p)
{
    return *(const vi_any *)p;
}
INLINE void vi_store(void *p, vi v)
{
    *(vi_any *)p = v;
}
/* Past the caches, to an aligned p. */
INLINE void vi_stream(void *p, vi v)
{
#if defined(__AVX512F__)
    _mm512_stream_si512((__m512i *)p, (__m512i)v);
#elif defined(__AVX__)
    _mm256_stream_si256((__m256i *)p, (__m256i)v);
#elif defined(__SSE2__)
    _mm_stream_si128((__m128i *)p, (__m128i)v);
#else
    vi_store(p, v);
#endif
}
INLINE vd vd_load(const void *p)
{
    return *(const vd_any *)p;
}
INLINE void vd_store(void *p, vd v)
{
    *(vd_any *)p = v;
}
INLINE vl vl_load(const void *p)
{
    return *(const vl_any *)p;
}
INLINE void vl_store(void *p, vl v)
{
    *(vl_any *)p = v;
}
INLINE vf vf_set(float x)
{
    return x - (vf){ 0 }; /* not +: the sign of -0 stays */
}
INLINE vi vi_set(int32_t x)
{
    return x + (vi){ 0 };
}
INLINE vd vd_set(double x)
{
    return x - (vd){ 0 };
}

/* m is all ones where a is wanted, all zeros where b is. */
INLINE vf vf_select(vi m, vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_mask_blend_ps(_mm512_test_epi32_mask((__m512i)m, (__m512i)m), (__m512)b, (__m512)a);
#elif defined(__AVX__)
    return (vf)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m);
#else
    return (vf)(((vi)a & m) | ((vi)b & ~m));
#endif
}
INLINE vi vi_select(vi m, vi a, vi b)
{
    return (a & m) | (b & ~m);
}
INLINE vd vd_select(vl m, vd a, vd b)
{
    return (vd)(((vl)a & m) | ((vl)b & ~m));
}
INLINE vl vl_select(vl m, vl a, vl b)
{
    return (a & m) | (b & ~m);
}
INLINE vf vf_abs(vf x)
{
    return (vf)((vi)x & 0x7fffffff);
}
/* a < b ? x : y; and x where q is NaN, else y. */
INLINE vf vf_if_less(vf a, vf b, vf x, vf y)
{
#if defined(__AVX512F__)
    return (vf)_mm512_mask_blend_ps(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OS), (__m512)y, (__m512)x);
#else
    return vf_select(a < b, x, y);
#endif
}
INLINE vf vf_if_nan(vf q, vf x, vf y)
{
#if defined(__AVX512F__)
    return (vf)_mm512_mask_blend_ps(_mm512_cmp_ps_mask((__m512)q, (__m512)q, _CMP_UNORD_Q), (__m512)y, (__m512)x);
#else
    return vf_select(q != q, x, y);
#endif
}
/* a > b ? a : b, and a < b ? a : b: the second when one is NaN. */
INLINE vf vf_greater(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_max_ps((__m128)a, (__m128)b);
#else
    return vf_select(a > b, a, b);
#endif
}
INLINE vf vf_less(vf a, vf b)
{
#if defined(__AVX512F__)
    return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (vf)_mm_min_ps((__m128)a, (__m128)b);
#else
    return vf_select(a < b, a, b);
#endif
}
/* NaN wins; equal operands give the second. */
INLINE vf vf_max(vf a, vf b)
{
    return vf_if_nan(a, a, vf_greater(a, b));
}
INLINE vf vf_min(vf a, vf b)
{
    return vf_if_nan(a, a, vf_less(a, b));
}
INLINE vf vf_sqrt(vf x)
{
#if defined(__AVX512F__)
    return (vf)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX__)
    return (vf)_mm256_sqrt_ps((__m256)x);
#elif defined(__SSE2__)
    return (vf)_mm_sqrt_ps((__m128)x);
#else
    vf r;
    for (int i = 0; i < VN; i++)
        r[i] = __builtin_sqrtf(x[i]);
    return r;
#endif
}

/* The halves of a vector as doubles, and back. */
#if VB == 64
#define LOWER 0, 1, 2, 3, 4, 5, 6, 7
#define UPPER 8, 9, 10, 11, 12, 13, 14, 15
#elif VB == 32
#define LOWER 0, 1, 2, 3
#define UPPER 4, 5, 6, 7
#else
#define LOWER 0, 1
#define UPPER 2, 3
#endif
INLINE vd vf_lower(vf x)
{
    return __builtin_convertvector(__builtin_shufflevector(x, x, LOWER), vd);
}
INLINE vd vf_upper(vf x)
{
    return __builtin_convertvector(__builtin_shufflevector(x, x, UPPER), vd);
}
INLINE vf vf_of_halves(vd lower, vd upper)
{
    const vf_half a = __builtin_convertvector(lower, vf_half), b = __builtin_convertvector(upper, vf_half);
    return __builtin_shufflevector(a, b, LOWER, UPPER);
}
INLINE vd vf_half_of(vf x, int half)
{
    return half == 0 ? vf_lower(x) : vf_upper(x);
}

/* VN bytes as lanes; and lanes of 0..255 as bytes. */
INLINE vi vi_load_bytes(const uint8_t *p)
{
#if defined(__AVX512F__)
    return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined(__AVX2__)
    return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
#elif defined(__SSE2__)
    int32_t four;
    memcpy(&four, p, sizeof four);
    const __m128i zero = _mm_setzero_si128();
    return (vi)_mm_unpacklo_epi16(_mm_unpacklo_epi8(_mm_cvtsi32_si128(four), zero), zero);
#else
    return __builtin_convertvector(*(const vb_quarter_any *)p, vi);
#endif
}
INLINE void vi_store_bytes(uint8_t *p, vi v)
{
#if defined(__AVX512F__)
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8((__m512i)v));
#elif defined(__AVX2__)
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
#elif defined(__SSE2__)
    const __m128i words = _mm_packs_epi32((__m128i)v, (__m128i)v);
    const int32_t four = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    memcpy(p, &four, sizeof four);
#else
    *(vb_quarter_any *)p = __builtin_convertvector(v, vb_quarter);
#endif
}

#if VB == 32
/* All ones in the first n lanes. */
INLINE vi vi_first(int64_t n)
{
    return (vi){ 0, 1, 2, 3, 4, 5, 6, 7 } < vi_set((int32_t)n);
}
#endif
/* The first n < VN lanes from memory, the others fill; and back. */
INLINE vf vf_load_part(const float *p, int64_t n, float fill)
{
#if defined(__AVX512F__)
    return (vf)_mm512_mask_loadu_ps((__m512)vf_set(fill), (__mmask16)((1u << n) - 1u), p);
#elif defined(__AVX2__)
    const vi m = vi_first(n);
    return vf_select(m, (vf)_mm256_maskload_ps(p, (__m256i)m), vf_set(fill));
#else
    float t[VN];
    for (int64_t i = 0; i < VN; i++)
        t[i] = fill;
    for (int64_t i = 0; i < n; i++)
        t[i] = p[i];
    return vf_load(t);
#endif
}
INLINE void vf_store_part(float *p, int64_t n, vf v)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
#elif defined(__AVX2__)
    _mm256_maskstore_ps(p, (__m256i)vi_first(n), (__m256)v);
#else
    float t[VN];
    vf_store(t, v);
    for (int64_t i = 0; i < n; i++)
        p[i] = t[i];
#endif
}
/* The first n <= VN lanes, the others 0. With a constant VN it is one instruction. */
INLINE vf vf_load_n(const float *p, int64_t n)
{
    return n == VN ? vf_load(p) : vf_load_part(p, n, 0.0f);
}
INLINE void vf_store_n(float *p, int64_t n, vf v)
{
    if (n == VN)
        vf_store(p, v);
    else
        vf_store_part(p, n, v);
}
/* A bit a lane. */
INLINE uint32_t vi_bits(vi m)
{
#if defined(__AVX512F__)
    return _mm512_test_epi32_mask((__m512i)m, (__m512i)m);
#elif defined(__AVX__)
    return (uint32_t)_mm256_movemask_ps((__m256)m);
#elif defined(__SSE2__)
    return (uint32_t)_mm_movemask_ps((__m128)m);
#else
    uint32_t bits = 0;
    for (int i = 0; i < VN; i++)
        bits |= (uint32_t)(m[i] != 0) << i;
    return bits;
#endif
}
INLINE bool vi_some(vi m)
{
    return vi_bits(m) != 0;
}
/* |x| <= limit in every lane; false with a NaN. */
INLINE bool vf_all_within(vf x, float limit)
{
#if defined(__AVX512F__)
    return _mm512_cmp_ps_mask((__m512)vf_abs(x), (__m512)vf_set(limit), _CMP_NLE_UQ) == 0;
#else
    return !vi_some(~(vf_abs(x) <= vf_set(limit)));
#endif
}
/* The lanes turned by half, a quarter, ... of a vector: after each step the lanes left over hold the joint result. */
#if VB == 64
#define TURN_8 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#define TURN_4 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define TURN_2 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define TURN_1 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#elif VB == 32
#define TURN_4 4, 5, 6, 7, 0, 1, 2, 3
#define TURN_2 2, 3, 0, 1, 6, 7, 4, 5
#define TURN_1 1, 0, 3, 2, 5, 4, 7, 6
#else
#define TURN_2 2, 3, 0, 1
#define TURN_1 1, 0, 3, 2
#endif

INLINE float vf_sum(vf v)
{
#if VB >= 64
    v += __builtin_shufflevector(v, v, TURN_8);
#endif
#if VB >= 32
    v += __builtin_shufflevector(v, v, TURN_4);
#endif
    v += __builtin_shufflevector(v, v, TURN_2);
    v += __builtin_shufflevector(v, v, TURN_1);
    return v[0];
}

#endif
