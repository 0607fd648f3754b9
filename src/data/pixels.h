/* pixels.h: bytes of images as floats. Rests on nothing. */
#ifndef CAMBIUM_DATA_PIXELS_H
#define CAMBIUM_DATA_PIXELS_H

#include <stddef.h>
#include <stdint.h>

/* (x / full - mean) / deviation as one product and one sum: x * scale + shift. */
typedef struct cbm_affine {
    float scale, shift;
} cbm_affine;
cbm_affine cbm_affine_of(double full, double mean, double deviation);

void cbm_pixels_to_floats(const uint8_t *in, float *out, size_t count, cbm_affine how);
void cbm_floats_scaled(const float *in, float *out, size_t count, cbm_affine how);

#endif
