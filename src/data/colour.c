/* colour.c: brightness, contrast, saturation and hue, noise and blur. Rests on planes.h. */
#include "data/planes.h"
#include <cambium/transforms.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- colour jitter ---- */

enum { BRIGHTNESS, CONTRAST, SATURATION, HUE };

static cbm_status jitter_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    const double *p = self->parameters;
    for (int i = BRIGHTNESS; i <= SATURATION; ++i)
        if (!(p[i] >= 0 && isfinite(p[i])))
            return snprintf(message, 256, "brightness, contrast and saturation must be at least 0"), CBM_ERROR_INVALID;
    if (!(p[HUE] >= 0 && p[HUE] <= 0.5))
        return snprintf(message, 256, "hue must be 0 to 0.5"), CBM_ERROR_INVALID;
    cbm_status status = cbm_planes_fit(shape, *dtype, message);
    bool colours = shape->v[0] == 3 && shape->v[1] == 3, grey = shape->v[0] == 3 && shape->v[1] == 1;
    if (status == CBM_OK && !colours && !(grey && p[SATURATION] <= 0 && p[HUE] <= 0))
        return snprintf(message, 256, "needs (3, height, width), or (1, height, width) without saturation and hue"),
               CBM_ERROR_SHAPE;
    return status;
}

static float between(float x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

static float grey_of(const float *colour, int64_t planes)
{
    return planes == 1 ? colour[0] : 0.299f * colour[0] + 0.587f * colour[1] + 0.114f * colour[2];
}

/* colour becomes factor colour + (1 - factor) other, of each plane. */
static void blend(float *colour, int64_t planes, float other, float factor)
{
    for (int64_t c = 0; c < planes; ++c)
        colour[c] = between(factor * colour[c] + (1 - factor) * other);
}

/* The hue of an RGB colour moves by turn (of a circle); value and saturation (of HSV) stay. */
static void turn_hue(float rgb[3], float turn)
{
    float high = fmaxf(rgb[0], fmaxf(rgb[1], rgb[2])), low = fminf(rgb[0], fminf(rgb[1], rgb[2])), chroma = high - low;
    if (chroma <= 0)
        return;
    float sixth = rgb[0] >= high   ? (rgb[1] - rgb[2]) / chroma
                  : rgb[1] >= high ? 2 + (rgb[2] - rgb[0]) / chroma
                                   : 4 + (rgb[0] - rgb[1]) / chroma;
    for (int c = 0; c < 3;
         ++c) { /* of HSV to RGB: 5, 3, 1 sixths on; the value falls by chroma * clamp(min(k, 4 - k)) */
        float k = fmodf((float)(5 - 2 * c) + sixth + 6 * turn + 12, 6);
        rgb[c] = high - chroma * between(fminf(k, 4 - k));
    }
}

static float factor(const cbm_transform_call *call, int64_t number, double strength)
{
    return (float)cbm_transform_uniform(call, number, fmax(0, 1 - strength), 1 + strength);
}

/* The colour of pixel i after brightness, in parts of white. */
static void brightened(const cbm_transform_call *call, int64_t planes, int64_t plane, int64_t i, float brightness,
                       float colour[3])
{
    float white = cbm_white(call->in_dtype);
    for (int64_t c = 0; c < planes; ++c)
        colour[c] = between(brightness * cbm_pixel(call->in, call->in_dtype, c * plane + i) / white);
}

void cbm_recolour(const cbm_transform_call *call, const cbm_recolouring *j)
{
    cbm_planes s = cbm_planes_of(call->in_shape);
    int64_t plane = s.height * s.width;
    float colour[3] = { 0 }, white = cbm_white(call->out_dtype);
    double sum = 0;
    for (int64_t i = 0; i < plane; ++i) {
        brightened(call, s.count, plane, i, j->brightness, colour);
        sum += (double)grey_of(colour, s.count);
    }
    float mean = (float)(sum / (double)plane);
    for (int64_t i = 0; i < plane; ++i) {
        brightened(call, s.count, plane, i, j->brightness, colour);
        blend(colour, s.count, mean, j->contrast);
        if (s.count == 3) {
            blend(colour, 3, grey_of(colour, 3), j->saturation);
            turn_hue(colour, j->hue);
        }
        for (int64_t c = 0; c < s.count; ++c)
            cbm_set_pixel(call->out, call->out_dtype, c * plane + i, white * colour[c]);
    }
}

static cbm_status color_jitter(const cbm_transform *self, const cbm_transform_call *call)
{
    const double *p = self->parameters;
    const cbm_recolouring j = { factor(call, 0, p[BRIGHTNESS]), factor(call, 1, p[CONTRAST]),
                                factor(call, 2, p[SATURATION]),
                                (float)cbm_transform_uniform(call, 3, -p[HUE], p[HUE]) };
    cbm_recolour(call, &j);
    return CBM_OK;
}

cbm_transform cbm_color_jitter(double brightness, double contrast, double saturation, double hue)
{
    return (cbm_transform){ .name = "color_jitter",
                            .apply = color_jitter,
                            .result = jitter_result,
                            .parameters = { brightness, contrast, saturation, hue } };
}

/* ---- noise ---- */

static cbm_status noise_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    if (!(self->parameters[0] >= 0 && isfinite(self->parameters[0])))
        return snprintf(message, 256, "a deviation must be at least 0"), CBM_ERROR_INVALID;
    return cbm_planes_fit(shape, *dtype, message);
}

/* A call has no more than 131072 random numbers; this generator starts from one of them (SplitMix64, Steele et al. 2014). */
static double next_uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return ((double)((z ^ z >> 31) >> 11) + 0.5) / (double)(INT64_C(1) << 53);
}

static cbm_status noise(const cbm_transform *self, const cbm_transform_call *call)
{
    double scale = self->parameters[0] * (double)cbm_white(call->in_dtype);
    uint64_t state = (uint64_t)cbm_transform_random(call, 0, INT64_MAX);
    int64_t count = cbm_shape_count(call->in_shape);
    for (int64_t i = 0; i < count; i += 2) { /* Box and Muller: two numbers at a time */
        double radius = scale * sqrt(-2 * log(next_uniform(&state)));
        double angle = 2 * 3.14159265358979323846 * next_uniform(&state);
        double both[2] = { radius * cos(angle), radius * sin(angle) };
        for (int64_t k = 0; k < 2 && i + k < count; ++k)
            cbm_set_pixel(call->out, call->out_dtype, i + k,
                          cbm_pixel(call->in, call->in_dtype, i + k) + (float)both[k]);
    }
    return CBM_OK;
}

cbm_transform cbm_gaussian_noise(double deviation)
{
    return (
        cbm_transform){ .name = "gaussian_noise", .apply = noise, .result = noise_result, .parameters = { deviation } };
}

/* ---- blur ---- */

enum { DEVIATION_MAX = 64, REACH_MAX = 3 * DEVIATION_MAX, TAPS_MAX = 2 * REACH_MAX + 1 };

static cbm_status blur_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    double low = self->parameters[0], high = self->parameters[1];
    if (!(low > 0 && low <= high && high <= DEVIATION_MAX))
        return snprintf(message, 256, "deviations must satisfy 0 < low <= high <= %d", DEVIATION_MAX),
               CBM_ERROR_INVALID;
    return cbm_planes_fit(shape, *dtype, message);
}

/* Index i of an axis of n, mirrored at its first and last element until it lies inside. */
static int64_t reflected(int64_t i, int64_t n)
{
    int64_t period = n > 1 ? 2 * (n - 1) : 1;
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

/* Both axes at once: every output is the sum over a square of products of the two weights. */
static cbm_status blur(const cbm_transform *self, const cbm_transform_call *call)
{
    double sigma = cbm_transform_uniform(call, 0, self->parameters[0], self->parameters[1]), total = 0;
    int64_t reach = (int64_t)ceil(3 * sigma);
    float weights[TAPS_MAX];
    for (int64_t k = -reach; k <= reach; ++k)
        total += exp(-0.5 * (double)(k * k) / (sigma * sigma));
    for (int64_t k = -reach; k <= reach; ++k)
        weights[k + reach] = (float)(exp(-0.5 * (double)(k * k) / (sigma * sigma)) / total);
    cbm_planes s = cbm_planes_of(call->in_shape);
    for (int64_t i = 0; i < s.count * s.height * s.width; ++i) {
        int64_t x = i % s.width, y = i / s.width % s.height, first = i - x - y * s.width;
        float sum = 0;
        for (int64_t v = -reach; v <= reach; ++v) {
            int64_t row = first + reflected(y + v, s.height) * s.width;
            float across = 0;
            for (int64_t u = -reach; u <= reach; ++u)
                across += weights[u + reach] * cbm_pixel(call->in, call->in_dtype, row + reflected(x + u, s.width));
            sum += weights[v + reach] * across;
        }
        cbm_set_pixel(call->out, call->out_dtype, i, sum);
    }
    return CBM_OK;
}

cbm_transform cbm_gaussian_blur(double low, double high)
{
    return (
        cbm_transform){ .name = "gaussian_blur", .apply = blur, .result = blur_result, .parameters = { low, high } };
}
