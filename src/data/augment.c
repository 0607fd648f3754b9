/* augment.c: the transforms that come with the library: random crop, random flip, normalisation. Rests on pixels.h. */
#include "data/pixels.h"
#include <cambium/transforms.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define PADDING_MAX (1 << 20)
#define CHANNELS_MAX 8

/* ---- random crop ---- */

static cbm_status crop_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    (void)dtype;
    double padding = self->parameters[0];
    if (shape->v[0] < 2)
        return snprintf(message, 256, "needs (..., height, width)"), CBM_ERROR_SHAPE;
    if (!(padding >= 0 && padding <= PADDING_MAX))
        return snprintf(message, 256, "padding must be 0 to %d", PADDING_MAX), CBM_ERROR_INVALID;
    return CBM_OK;
}

/* The rows of one plane, each moved by (top, left) elements, into zeros; what comes from outside is left out. */
static void crop_plane(const uint8_t *in, uint8_t *out, int64_t height, int64_t width, int64_t top, int64_t left,
                       size_t element)
{
    int64_t first = left < 0 ? -left : 0, end = left > 0 ? width - left : width;
    int64_t upper = top < 0 ? -top : 0, lower = top > 0 ? height - top : height;
    size_t row = (size_t)width * element;
    if (first >= end || upper >= lower)
        return;
    size_t kept = (size_t)(end - first) * element;
    const uint8_t *from = in + (size_t)(upper + top) * row + (size_t)(first + left) * element;
    uint8_t *to = out + (size_t)upper * row + (size_t)first * element;
    for (int64_t y = upper; y < lower; ++y, from += row, to += row)
        memcpy(to, from, kept);
}

static cbm_status crop(const cbm_transform *self, const cbm_transform_call *call)
{
    const cbm_shape *s = call->in_shape;
    int64_t height = s->v[s->v[0] - 1], width = s->v[s->v[0]], padding = (int64_t)self->parameters[0];
    int64_t top = cbm_transform_random(call, 0, 2 * padding + 1) - padding;
    int64_t left = cbm_transform_random(call, 1, 2 * padding + 1) - padding;
    size_t element = cbm_dtype_size(call->in_dtype), plane = (size_t)(height * width) * element;
    int64_t planes = plane ? cbm_shape_count(s) / (height * width) : 0;
    memset(call->out, 0, (size_t)planes * plane);
    for (int64_t i = 0; i < planes; ++i)
        crop_plane((const uint8_t *)call->in + (size_t)i * plane, (uint8_t *)call->out + (size_t)i * plane, height,
                   width, top, left, element);
    return CBM_OK;
}

cbm_transform cbm_random_crop(int64_t padding)
{
    return (cbm_transform){
        .name = "random_crop", .apply = crop, .result = crop_result, .parameters = { (double)padding }
    };
}

/* ---- random flip ---- */

static cbm_status flip_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    (void)self;
    (void)dtype;
    return shape->v[0] >= 1 ? CBM_OK : (snprintf(message, 256, "a scalar has no last axis"), CBM_ERROR_SHAPE);
}

static void mirror_bytes(const uint8_t *in, uint8_t *out, size_t width)
{
    size_t i = 0;
    for (uint64_t eight; i + 8 <= width; i += 8) {
        memcpy(&eight, in + i, 8);
        eight = __builtin_bswap64(eight);
        memcpy(out + width - 8 - i, &eight, 8);
    }
    for (; i < width; ++i)
        out[width - 1 - i] = in[i];
}

static void mirror(const uint8_t *in, uint8_t *out, size_t width, size_t element)
{
    if (element == 1)
        mirror_bytes(in, out, width);
    else
        for (size_t i = 0; i < width; ++i)
            memcpy(out + (width - 1 - i) * element, in + i * element, element);
}

static cbm_status flip(const cbm_transform *self, const cbm_transform_call *call)
{
    (void)self;
    const cbm_shape *s = call->in_shape;
    size_t width = (size_t)s->v[s->v[0]], element = cbm_dtype_size(call->in_dtype);
    size_t count = (size_t)cbm_shape_count(s);
    const uint8_t *in = call->in;
    uint8_t *out = call->out;
    if (count == 0)
        return CBM_OK;
    if (cbm_transform_random(call, 0, 2) == 0) {
        memcpy(out, in, count * element);
        return CBM_OK;
    }
    for (size_t at = 0; at < count; at += width)
        mirror(in + at * element, out + at * element, width, element);
    return CBM_OK;
}

cbm_transform cbm_random_flip(void)
{
    return (cbm_transform){ .name = "random_flip", .apply = flip, .result = flip_result };
}

/* ---- normalisation: parameters are the means, then the deviations; user counts them ---- */

static cbm_status normalize_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    int64_t channels = (int64_t)(intptr_t)self->user;
    if (channels < 1 || channels > CHANNELS_MAX)
        return snprintf(message, 256, "1 to %d channels are possible, each with a mean and a deviation", CHANNELS_MAX),
               CBM_ERROR_INVALID;
    for (int64_t i = 0; i < channels; ++i) {
        double mean = self->parameters[i], deviation = self->parameters[CHANNELS_MAX + i];
        if (!isfinite(mean) || !isfinite(deviation) || !(deviation > 0))
            return snprintf(message, 256, "a mean must be finite, a deviation positive and finite"), CBM_ERROR_INVALID;
    }
    if (*dtype != CBM_U8 && *dtype != CBM_F32)
        return snprintf(message, 256, "inputs are %s; u8 and f32 can be normalised", cbm_dtype_name(*dtype)),
               CBM_ERROR_DTYPE;
    if (channels > 1 && (shape->v[0] < 1 || shape->v[1] != channels))
        return snprintf(message, 256, "%lld channels do not fit the first axis", (long long)channels), CBM_ERROR_SHAPE;
    *dtype = CBM_F32;
    return CBM_OK;
}

static cbm_status normalize(const cbm_transform *self, const cbm_transform_call *call)
{
    size_t channels = (size_t)(intptr_t)self->user, plane = (size_t)cbm_shape_count(call->in_shape) / channels;
    float *out = call->out;
    for (size_t c = 0; c < channels; ++c) {
        bool bytes = call->in_dtype == CBM_U8;
        cbm_affine how = cbm_affine_of(bytes ? 255 : 1, self->parameters[c], self->parameters[CHANNELS_MAX + c]);
        if (bytes)
            cbm_pixels_to_floats((const uint8_t *)call->in + c * plane, out + c * plane, plane, how);
        else
            cbm_floats_scaled((const float *)call->in + c * plane, out + c * plane, plane, how);
    }
    return CBM_OK;
}

cbm_transform cbm_normalize(int64_t channels, const double *mean, const double *deviation)
{
    cbm_transform t = { .name = "normalize", .apply = normalize, .result = normalize_result };
    if (!mean || !deviation || channels < 1 || channels > CHANNELS_MAX)
        return t; /* refused when it is used */
    t.user = (void *)(intptr_t)channels;
    memcpy(t.parameters, mean, (size_t)channels * sizeof *mean);
    memcpy(t.parameters + CHANNELS_MAX, deviation, (size_t)channels * sizeof *deviation);
    return t;
}
