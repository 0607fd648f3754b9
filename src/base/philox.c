/* philox.c: counter-based random numbers: any element of any stream is computed from its number alone, so results do
   not depend on threads or order. Philox4x32-10 from "Parallel random numbers: as easy as 1, 2, 3" (Salmon, Moraes,
   Dror, Shaw 2011). Rests on nothing. */
#include "base/base.h"

#include <math.h>

static void philox_round(uint32_t c[4], uint32_t key0, uint32_t key1)
{
    uint64_t product0 = (uint64_t)0xD2511F53U * c[0], product1 = (uint64_t)0xCD9E8D57U * c[2];
    uint32_t c1 = c[1], c3 = c[3];
    c[0] = (uint32_t)(product1 >> 32) ^ c1 ^ key0;
    c[1] = (uint32_t)product1;
    c[2] = (uint32_t)(product0 >> 32) ^ c3 ^ key1;
    c[3] = (uint32_t)product0;
}

void cbm_philox(uint64_t seed, uint64_t position, uint64_t block, uint32_t out[4])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    out[0] = (uint32_t)block;
    out[1] = (uint32_t)(block >> 32);
    out[2] = (uint32_t)position;
    out[3] = (uint32_t)(position >> 32);
    for (int round = 0; round < 10; round++) {
        philox_round(out, key0, key1);
        key0 += 0x9E3779B9U; /* the golden ratio */
        key1 += 0xBB67AE85U; /* sqrt(3) - 1 */
    }
}

float cbm_philox_uniform(uint64_t seed, uint64_t position, uint64_t index)
{
    uint32_t words[4];
    cbm_philox(seed, position, index / 4, words);
    return (float)(words[index % 4] >> 8) * 0x1p-24f;
}

double cbm_philox_normal(uint64_t seed, uint64_t position, uint64_t index)
{
    uint32_t words[4];
    cbm_philox(seed, position, index / 4, words);
    const uint32_t *pair = words + (index % 4 & ~(uint64_t)1);
    double u1 = ((double)pair[0] + 1.0) * 0x1p-32, u2 = (double)pair[1] * 0x1p-32;
    double radius = sqrt(-2.0 * log(u1)), angle = 6.283185307179586476925286766559 * u2;
    return radius * (index % 2 == 0 ? cos(angle) : sin(angle));
}

/* The high 64 bits of a * b. */
static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    uint64_t a0 = a & 0xffffffffU, a1 = a >> 32, b0 = b & 0xffffffffU, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32), other = a0 * b1 + (middle & 0xffffffffU);
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

uint64_t cbm_philox_below(uint64_t seed, uint64_t position, uint64_t index, uint64_t limit)
{
    uint32_t words[4];
    cbm_philox(seed, position, index / 2, words);
    const uint32_t *pair = words + 2 * (index % 2);
    return multiply_high((uint64_t)pair[1] << 32 | pair[0], limit);
}

/* Each place draws one number of 64 bits: two words of the stream. */
void cbm_philox_permutation(uint64_t seed, uint64_t position, int64_t *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = i;
    uint32_t words[4];
    for (int64_t i = count - 1, draw = 0; i > 0; i--, draw++) {
        if (draw % 2 == 0)
            cbm_philox(seed, position, (uint64_t)draw / 2, words);
        const uint32_t *pair = words + 2 * (draw % 2);
        uint64_t number = (uint64_t)pair[1] << 32 | pair[0];
        int64_t other = (int64_t)multiply_high(number, (uint64_t)i + 1), kept = out[i];
        out[i] = out[other];
        out[other] = kept;
    }
}
