/* bf16.h: bfloat16, the upper half of an f32's bits, to and from f32. Rests on nothing. */
#ifndef CAMBIUM_BF16_H
#define CAMBIUM_BF16_H

#include <stdint.h>
#include <string.h>

static inline float cbm_bf16_widen(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* To the nearest, ties to even; past the largest to infinity; NaN stays NaN, made quiet. */
static inline uint16_t cbm_bf16_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#endif
