/* planes.c: pictures as planes, and random reals. Rests on planes.h. */
#include "data/planes.h"
#include <stdio.h>

cbm_planes cbm_planes_of(const cbm_shape *s)
{
    int64_t height = s->v[s->v[0] - 1], width = s->v[s->v[0]], plane = height * width;
    return (cbm_planes){ plane ? cbm_shape_count(s) / plane : 0, height, width };
}

cbm_status cbm_planes_fit(const cbm_shape *s, cbm_dtype dtype, char *message)
{
    if (s->v[0] < 2 || cbm_shape_count(s) < 1)
        return snprintf(message, 256, "needs (..., height, width), not empty"), CBM_ERROR_SHAPE;
    if (dtype != CBM_U8 && dtype != CBM_F32)
        return snprintf(message, 256, "inputs are %s; u8 and f32 are pictures", cbm_dtype_name(dtype)), CBM_ERROR_DTYPE;
    return CBM_OK;
}

double cbm_transform_uniform(const cbm_transform_call *call, int64_t number, double low, double high)
{
    int64_t steps = INT64_C(1) << 53;
    return low + (high - low) * ((double)cbm_transform_random(call, number, steps) / (double)steps);
}
