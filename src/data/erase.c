/* erase.c: holes in pictures: random erasing and cutout. Rests on planes.h. */
#include "data/planes.h"
#include <cambium/transforms.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int64_t within(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i > n ? n : i;
}

/* A copy of the input in which the rectangle, as far as it lies inside, is 0 in every plane. */
static void copy_with_hole(const cbm_transform_call *call, int64_t top, int64_t left, int64_t height, int64_t width)
{
    cbm_planes s = cbm_planes_of(call->in_shape);
    size_t element = cbm_dtype_size(call->in_dtype);
    memcpy(call->out, call->in, (size_t)(s.count * s.height * s.width) * element);
    int64_t y0 = within(top, s.height), y1 = within(top + height, s.height), x0 = within(left, s.width),
            x1 = within(left + width, s.width);
    for (int64_t c = 0; c < s.count && x0 < x1; ++c)
        for (int64_t y = y0; y < y1; ++y)
            memset((uint8_t *)call->out + (size_t)((c * s.height + y) * s.width + x0) * element, 0,
                   (size_t)(x1 - x0) * element);
}

/* ---- random erasing ---- */

enum { ATTEMPTS = 10, PROBABILITY = 0, LOW, HIGH };
static const double least_ratio = 0.3, greatest_ratio = 3.3;

static cbm_status erasing_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    const double *p = self->parameters;
    if (!(p[PROBABILITY] >= 0 && p[PROBABILITY] <= 1))
        return snprintf(message, 256, "a probability is 0 to 1"), CBM_ERROR_INVALID;
    if (!(p[LOW] > 0 && p[LOW] <= p[HIGH] && p[HIGH] <= 1))
        return snprintf(message, 256, "parts of the area must satisfy 0 < low <= high <= 1"), CBM_ERROR_INVALID;
    return cbm_planes_fit(shape, *dtype, message);
}

static cbm_status erasing(const cbm_transform *self, const cbm_transform_call *call)
{
    const double *p = self->parameters;
    cbm_planes s = cbm_planes_of(call->in_shape);
    bool erased = cbm_transform_uniform(call, 0, 0, 1) < p[PROBABILITY];
    for (int k = 0; erased && k < ATTEMPTS; ++k) {
        double area = (double)(s.height * s.width) * cbm_transform_uniform(call, 1 + 2 * k, p[LOW], p[HIGH]);
        double ratio = exp(cbm_transform_uniform(call, 2 + 2 * k, log(least_ratio), log(greatest_ratio)));
        int64_t height = llround(sqrt(area * ratio)), width = llround(sqrt(area / ratio));
        if (height < 1 || width < 1 || height > s.height || width > s.width)
            continue;
        copy_with_hole(call, cbm_transform_random(call, 1 + 2 * ATTEMPTS, s.height - height + 1),
                       cbm_transform_random(call, 2 + 2 * ATTEMPTS, s.width - width + 1), height, width);
        return CBM_OK;
    }
    copy_with_hole(call, 0, 0, 0, 0);
    return CBM_OK;
}

cbm_transform cbm_random_erasing(double probability, double low, double high)
{
    return (cbm_transform){
        .name = "random_erasing", .apply = erasing, .result = erasing_result, .parameters = { probability, low, high }
    };
}

/* ---- cutout ---- */

static cbm_status cutout_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    if (!(self->parameters[0] >= 0 && self->parameters[0] <= 1 << 20))
        return snprintf(message, 256, "the side must be 0 to %d", 1 << 20), CBM_ERROR_INVALID;
    return cbm_planes_fit(shape, *dtype, message);
}

static cbm_status cutout(const cbm_transform *self, const cbm_transform_call *call)
{
    int64_t side = (int64_t)self->parameters[0];
    cbm_planes s = cbm_planes_of(call->in_shape);
    copy_with_hole(call, cbm_transform_random(call, 0, s.height) - side / 2,
                   cbm_transform_random(call, 1, s.width) - side / 2, side, side);
    return CBM_OK;
}

cbm_transform cbm_cutout(int64_t side)
{
    return (
        cbm_transform){ .name = "cutout", .apply = cutout, .result = cutout_result, .parameters = { (double)side } };
}
