/* rand_augment.c: one of fourteen changes of a picture, drawn at random (RandAugment). Rests on planes.h. */
#include "data/planes.h"
#include <cambium/transforms.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEVELS 256
#define SHEAR_MOST 0.3
#define MOVE_MOST (150.0 / 331.0) /* of a side */
#define ROTATION_MOST (30 * 3.14159265358979323846 / 180)
#define FACTOR_MOST 0.9f

/* A change: strength is the magnitude, its sign drawn for those that have two directions. */
typedef void (*change)(const cbm_transform_call *call, double strength);

static void identity(const cbm_transform_call *call, double strength)
{
    (void)strength;
    memcpy(call->out, call->in, (size_t)cbm_shape_count(call->in_shape));
}

/* ---- maps of the plane ---- */

static void shear_x(const cbm_transform_call *call, double strength)
{
    cbm_warp(call, &(cbm_plane_map){ { 1, SHEAR_MOST * strength, 0, 0, 1, 0, 0, 0 } });
}

static void shear_y(const cbm_transform_call *call, double strength)
{
    cbm_warp(call, &(cbm_plane_map){ { 1, 0, 0, SHEAR_MOST * strength, 1, 0, 0, 0 } });
}

static void move_x(const cbm_transform_call *call, double strength)
{
    double by = round(MOVE_MOST * strength * (double)cbm_planes_of(call->in_shape).width);
    cbm_warp(call, &(cbm_plane_map){ { 1, 0, by, 0, 1, 0, 0, 0 } });
}

static void move_y(const cbm_transform_call *call, double strength)
{
    double by = round(MOVE_MOST * strength * (double)cbm_planes_of(call->in_shape).height);
    cbm_warp(call, &(cbm_plane_map){ { 1, 0, 0, 0, 1, by, 0, 0 } });
}

static void rotate(const cbm_transform_call *call, double strength)
{
    double c = cos(ROTATION_MOST * strength), s = sin(ROTATION_MOST * strength);
    cbm_warp(call, &(cbm_plane_map){ { c, s, 0, -s, c, 0, 0, 0 } });
}

/* ---- colours ---- */

static void brightness(const cbm_transform_call *call, double strength)
{
    cbm_recolour(call, &(cbm_recolouring){ 1 + FACTOR_MOST * (float)strength, 1, 1, 0 });
}

static void contrast(const cbm_transform_call *call, double strength)
{
    cbm_recolour(call, &(cbm_recolouring){ 1, 1 + FACTOR_MOST * (float)strength, 1, 0 });
}

static void saturation(const cbm_transform_call *call, double strength)
{
    cbm_recolour(call, &(cbm_recolouring){ 1, 1, 1 + FACTOR_MOST * (float)strength, 0 });
}

/* ---- sharpness ---- */

/* The mean around a place, it itself counting five times. */
static double smooth_at(const uint8_t *in, int64_t width)
{
    double sum = 4.0 * in[0];
    for (int64_t y = -1; y <= 1; ++y)
        for (int64_t x = -1; x <= 1; ++x)
            sum += in[y * width + x];
    return rint(sum / 13);
}

/* factor x + (1 - factor) smooth; the border, and pictures that are nothing else, stay. */
static void sharpness(const cbm_transform_call *call, double strength)
{
    const cbm_planes s = cbm_planes_of(call->in_shape);
    const double factor = 1 + (double)FACTOR_MOST * strength;
    identity(call, strength);
    for (int64_t c = 0; c < s.count; ++c)
        for (int64_t y = 1; y + 1 < s.height; ++y)
            for (int64_t x = 1; x + 1 < s.width; ++x) {
                const int64_t at = (c * s.height + y) * s.width + x;
                const uint8_t *in = (const uint8_t *)call->in + at;
                const double value = factor * in[0] + (1 - factor) * smooth_at(in, s.width);
                ((uint8_t *)call->out)[at] = (uint8_t)lround(fmin(fmax(value, 0), 255));
            }
}

/* ---- levels: each plane through a table ---- */

static void through(const cbm_transform_call *call, int64_t plane, const uint8_t table[LEVELS])
{
    cbm_planes s = cbm_planes_of(call->in_shape);
    const uint8_t *in = (const uint8_t *)call->in + plane * s.height * s.width;
    uint8_t *out = (uint8_t *)call->out + plane * s.height * s.width;
    for (int64_t i = 0; i < s.height * s.width; ++i)
        out[i] = table[in[i]];
}

static void through_all(const cbm_transform_call *call, const uint8_t table[LEVELS])
{
    for (int64_t c = 0; c < cbm_planes_of(call->in_shape).count; ++c)
        through(call, c, table);
}

/* The upper 8 to 4 bits stay. */
static void posterize(const cbm_transform_call *call, double strength)
{
    uint8_t table[LEVELS];
    unsigned kept = 0xffu << lround(4 * fabs(strength));
    for (unsigned i = 0; i < LEVELS; ++i)
        table[i] = (uint8_t)(i & kept);
    through_all(call, table);
}

/* What is as bright as a threshold, or brighter, is inverted. */
static void solarize(const cbm_transform_call *call, double strength)
{
    uint8_t table[LEVELS];
    for (int i = 0; i < LEVELS; ++i)
        table[i] = (uint8_t)((double)i >= 255 * (1 - fabs(strength)) ? 255 - i : i);
    through_all(call, table);
}

/* How often each level occurs in a plane. */
static void count_levels(const cbm_transform_call *call, int64_t plane, int64_t counts[LEVELS])
{
    cbm_planes s = cbm_planes_of(call->in_shape);
    const uint8_t *in = (const uint8_t *)call->in + plane * s.height * s.width;
    memset(counts, 0, LEVELS * sizeof *counts);
    for (int64_t i = 0; i < s.height * s.width; ++i)
        counts[in[i]]++;
}

/* Each plane's levels stretched from 0 to 255. */
static void autocontrast(const cbm_transform_call *call, double strength)
{
    (void)strength;
    for (int64_t c = 0; c < cbm_planes_of(call->in_shape).count; ++c) {
        int64_t counts[LEVELS];
        uint8_t table[LEVELS];
        int low = 0, high = LEVELS - 1;
        count_levels(call, c, counts);
        while (low < high && !counts[low])
            ++low;
        while (high > low && !counts[high])
            --high;
        for (int i = 0; i < LEVELS; ++i) {
            int inside = i < low ? low : i > high ? high : i;
            table[i] = (uint8_t)(high > low ? lround(255.0 * (inside - low) / (high - low)) : i);
        }
        through(call, c, table);
    }
}

/* Each plane's levels spread so that each occurs as often: PIL's rule. */
static void equalize(const cbm_transform_call *call, double strength)
{
    (void)strength;
    for (int64_t c = 0; c < cbm_planes_of(call->in_shape).count; ++c) {
        int64_t counts[LEVELS], total = 0, last = 0;
        uint8_t table[LEVELS];
        count_levels(call, c, counts);
        for (int i = 0; i < LEVELS; ++i) {
            total += counts[i];
            last = counts[i] ? counts[i] : last;
        }
        int64_t step = (total - last) / (LEVELS - 1), sum = step / 2;
        for (int i = 0; i < LEVELS; ++i) {
            int64_t level = step ? sum / step : i;
            table[i] = (uint8_t)(level > 255 ? 255 : level);
            sum += counts[i];
        }
        through(call, c, table);
    }
}

static const change changes[] = { identity, shear_x,    shear_y,   move_x,    move_y,   rotate,       brightness,
                                  contrast, saturation, sharpness, posterize, solarize, autocontrast, equalize };
enum { CHANGES = sizeof changes / sizeof *changes };

static cbm_status rand_augment_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    if (!(self->parameters[0] >= 0 && self->parameters[0] <= 1))
        return snprintf(message, 256, "the magnitude must be 0 to 1"), CBM_ERROR_INVALID;
    cbm_status status = cbm_planes_fit(shape, *dtype, message);
    if (status == CBM_OK && *dtype != CBM_U8)
        return snprintf(message, 256, "inputs are %s; it works on u8", cbm_dtype_name(*dtype)), CBM_ERROR_DTYPE;
    if (status == CBM_OK && (shape->v[0] != 3 || (shape->v[1] != 1 && shape->v[1] != 3)))
        return snprintf(message, 256, "needs (1, height, width) or (3, height, width)"), CBM_ERROR_SHAPE;
    return status;
}

static cbm_status rand_augment(const cbm_transform *self, const cbm_transform_call *call)
{
    double sign = cbm_transform_random(call, 1, 2) ? 1 : -1;
    changes[cbm_transform_random(call, 0, CHANGES)](call, sign * self->parameters[0]);
    return CBM_OK;
}

cbm_transform cbm_rand_augment(double magnitude)
{
    return (cbm_transform){
        .name = "rand_augment", .apply = rand_augment, .result = rand_augment_result, .parameters = { magnitude }
    };
}
