/* random.c: Philox4x32-10 for many counters at once, the same bits as base/philox.c. Rests on simd.h. */
#include "backend/cpu/simd/level.h"

#include <math.h>

/* Lanes of two vectors in turn. */
#if VB == 64
#define PAIRS_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define PAIRS_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#elif VB == 32
#define PAIRS_LOW 0, 4, 1, 5
#define PAIRS_HIGH 2, 6, 3, 7
#else
#define PAIRS_LOW 0, 2
#define PAIRS_HIGH 1, 3
#endif

/* Products of the low 32 bits of each 64-bit lane. */
INLINE vul multiply_low(vul a, uint32_t b)
{
#if defined(__AVX512F__)
    return (vul)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64((long long)b));
#elif defined(__AVX2__)
    return (vul)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x((long long)b));
#elif defined(__SSE2__)
    return (vul)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x((long long)b));
#else
    return (a & 0xffffffffU) * (uint64_t)b;
#endif
}

/* Blocks first, first + 1, ...: VD of them, their words w0 | w1 << 32 in *low and w2 | w3 << 32 in *high. */
INLINE void philox_blocks(uint64_t seed, uint64_t position, uint64_t first, vul *low, vul *high)
{
    const uint64_t mask = 0xffffffffU;
    vul count;
    for (int i = 0; i < VD; i++)
        count[i] = first + (uint64_t)i;
    vul c0 = count & mask, c1 = count >> 32;
    vul c2 = (vul){ 0 } + (position & mask), c3 = (vul){ 0 } + (position >> 32);
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        vul product0 = multiply_low(c0, 0xD2511F53U), product1 = multiply_low(c2, 0xCD9E8D57U);
        c0 = (product1 >> 32) ^ c1 ^ (uint64_t)key0;
        c2 = (product0 >> 32) ^ c3 ^ (uint64_t)key1;
        c1 = product1; /* high halves are never looked at */
        c3 = product0;
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
    }
    *low = (c0 & mask) | c1 << 32;
    *high = (c2 & mask) | c3 << 32;
}

/* The words of 2 VD blocks in their order. */
INLINE void philox_words(uint64_t seed, uint64_t position, uint64_t block, uint32_t words[4 * VD])
{
    vul low, high;
    philox_blocks(seed, position, block, &low, &high);
    uint64_t a[VD], b[VD];
    memcpy(a, &low, sizeof a);
    memcpy(b, &high, sizeof b);
    for (int i = 0; i < VD; i++) {
        words[4 * i] = (uint32_t)a[i];
        words[4 * i + 1] = (uint32_t)(a[i] >> 32);
        words[4 * i + 2] = (uint32_t)b[i];
        words[4 * i + 3] = (uint32_t)(b[i] >> 32);
    }
}

INLINE vf to_uniform(vul words)
{
    return __builtin_convertvector((vi)((vu)words >> 8), vf) * 0x1p-24f;
}

static void uniform(float *r, int64_t n, uint64_t seed, uint64_t position, uint64_t first)
{
    int64_t i = 0;
    while (i < n && (first + (uint64_t)i) % 4 != 0) {
        r[i] = cbm_philox_uniform(seed, position, first + (uint64_t)i);
        i++;
    }
    for (; i + 4 * VD <= n; i += 4 * VD) {
        vul low, high;
        philox_blocks(seed, position, (first + (uint64_t)i) / 4, &low, &high);
        vf_store(r + i, to_uniform(__builtin_shufflevector(low, high, PAIRS_LOW)));
        vf_store(r + i + VN, to_uniform(__builtin_shufflevector(low, high, PAIRS_HIGH)));
    }
    for (; i < n; i++)
        r[i] = cbm_philox_uniform(seed, position, first + (uint64_t)i);
}

static void normal(float *r, int64_t n, uint64_t seed, uint64_t position, uint64_t first)
{
    int64_t i = 0;
    while (i < n && (first + (uint64_t)i) % 4 != 0) {
        r[i] = (float)cbm_philox_normal(seed, position, first + (uint64_t)i);
        i++;
    }
    for (; i + 4 * VD <= n; i += 4 * VD) {
        uint32_t words[4 * VD];
        philox_words(seed, position, (first + (uint64_t)i) / 4, words);
        for (int k = 0; k < 2 * VD; k++) {
            double u1 = ((double)words[2 * k] + 1.0) * 0x1p-32, u2 = (double)words[2 * k + 1] * 0x1p-32;
            double radius = sqrt(-2.0 * log(u1)), angle = 6.283185307179586476925286766559 * u2;
            r[i + 2 * k] = (float)(radius * cos(angle));
            r[i + 2 * k + 1] = (float)(radius * sin(angle));
        }
    }
    for (; i < n; i++)
        r[i] = (float)cbm_philox_normal(seed, position, first + (uint64_t)i);
}

void CBM_LEVEL(cbm_random_fill)(cbm_simd *s)
{
    s->uniform = uniform;
    s->normal = normal;
}
