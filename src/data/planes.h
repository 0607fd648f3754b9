/* planes.h: what transforms of pictures share: (channels, height, width) of u8 or f32 read and written as floats, and random
   numbers as reals. Rests on the public data interface. */
#ifndef CAMBIUM_DATA_PLANES_H
#define CAMBIUM_DATA_PLANES_H

#include <cambium/data.h>
#include <stdint.h>

/* An input as planes; of (H, W) there is one, of (..., H, W) all that lead. */
typedef struct cbm_planes {
    int64_t count, height, width;
} cbm_planes;
cbm_planes cbm_planes_of(const cbm_shape *shape);

/* For `result` functions: CBM_OK for (..., height, width), not empty, of u8 or f32; else why not (256 bytes). */
cbm_status cbm_planes_fit(const cbm_shape *shape, cbm_dtype dtype, char *message);

/* The white of a dtype: 255 of u8, 1 of f32. */
static inline float cbm_white(cbm_dtype dtype)
{
    return dtype == CBM_U8 ? 255.0f : 1.0f;
}

static inline float cbm_pixel(const void *data, cbm_dtype dtype, int64_t i)
{
    return dtype == CBM_U8 ? (float)((const uint8_t *)data)[i] : ((const float *)data)[i];
}

/* u8 is rounded to the nearest and kept in 0 to 255. */
static inline void cbm_set_pixel(void *data, cbm_dtype dtype, int64_t i, float value)
{
    if (dtype == CBM_F32)
        ((float *)data)[i] = value;
    else
        ((uint8_t *)data)[i] = value >= 254.5f ? 255 : value > 0 ? (uint8_t)(value + 0.5f) : 0;
}

/* Uniform in [low, high); the number-th of this call. */
double cbm_transform_uniform(const cbm_transform_call *call, int64_t number, double low, double high);

/* warp.c: output (x, y), from the picture's middle, is input (m0 x + m1 y + m2, m3 x + m4 y + m5) / (m6 x + m7 y + 1),
   bilinear; outside is 0. */
typedef struct cbm_plane_map {
    double m[8];
} cbm_plane_map;
void cbm_warp(const cbm_transform_call *call, const cbm_plane_map *map);

/* colour.c: of 1 or 3 planes; factors of 1 and a hue of 0 change nothing. */
typedef struct cbm_recolouring {
    float brightness, contrast, saturation, hue;
} cbm_recolouring;
void cbm_recolour(const cbm_transform_call *call, const cbm_recolouring *how);

#endif
