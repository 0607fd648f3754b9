/* pixels.c: bytes of images as floats, in stretches that compilers turn into vector instructions. Rests on pixels.h. */
#include "data/pixels.h"

#define STRETCH 16

cbm_affine cbm_affine_of(double full, double mean, double deviation)
{
    return (cbm_affine){ (float)(1 / (full * deviation)), (float)(-mean / deviation) };
}

void cbm_pixels_to_floats(const uint8_t *restrict in, float *restrict out, size_t count, cbm_affine how)
{
    size_t i = 0;
    for (; i + STRETCH <= count; i += STRETCH)
        for (size_t k = 0; k < STRETCH; ++k)
            out[i + k] = (float)in[i + k] * how.scale + how.shift;
    for (; i < count; ++i)
        out[i] = (float)in[i] * how.scale + how.shift;
}

void cbm_floats_scaled(const float *restrict in, float *restrict out, size_t count, cbm_affine how)
{
    size_t i = 0;
    for (; i + STRETCH <= count; i += STRETCH)
        for (size_t k = 0; k < STRETCH; ++k)
            out[i + k] = in[i + k] * how.scale + how.shift;
    for (; i < count; ++i)
        out[i] = in[i] * how.scale + how.shift;
}
