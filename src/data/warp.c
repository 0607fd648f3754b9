/* warp.c: pictures seen through a map of the plane: rotation, affine maps, perspective. Rests on planes.h. */
#include "data/planes.h"
#include <cambium/transforms.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double degree = 3.14159265358979323846 / 180;

static float at_or_zero(const cbm_transform_call *call, const cbm_planes *p, int64_t plane, int64_t y, int64_t x)
{
    if (y < 0 || y >= p->height || x < 0 || x >= p->width)
        return 0;
    return cbm_pixel(call->in, call->in_dtype, (plane * p->height + y) * p->width + x);
}

/* Between the four pixels around (x, y); outside the picture is 0. */
static float bilinear(const cbm_transform_call *call, const cbm_planes *p, int64_t plane, double x, double y)
{
    if (!(x > -1 && y > -1 && x < (double)p->width && y < (double)p->height))
        return 0;
    int64_t left = (int64_t)floor(x), top = (int64_t)floor(y);
    float u = (float)(x - (double)left), v = (float)(y - (double)top);
    float above = at_or_zero(call, p, plane, top, left) * (1 - u) + at_or_zero(call, p, plane, top, left + 1) * u;
    float below =
        at_or_zero(call, p, plane, top + 1, left) * (1 - u) + at_or_zero(call, p, plane, top + 1, left + 1) * u;
    return above * (1 - v) + below * v;
}

void cbm_warp(const cbm_transform_call *call, const cbm_plane_map *w)
{
    cbm_planes p = cbm_planes_of(call->in_shape);
    double middle_x = 0.5 * (double)(p.width - 1), middle_y = 0.5 * (double)(p.height - 1);
    const double *m = w->m;
    for (int64_t y = 0; y < p.height; ++y)
        for (int64_t x = 0; x < p.width; ++x) {
            double u = (double)x - middle_x, v = (double)y - middle_y, depth = m[6] * u + m[7] * v + 1;
            double from_x = (m[0] * u + m[1] * v + m[2]) / depth + middle_x;
            double from_y = (m[3] * u + m[4] * v + m[5]) / depth + middle_y;
            for (int64_t c = 0; c < p.count; ++c)
                cbm_set_pixel(call->out, call->out_dtype, (c * p.height + y) * p.width + x,
                              depth > 0 ? bilinear(call, &p, c, from_x, from_y) : 0);
        }
}

/* ---- affine maps ---- */

enum { DEGREES, TRANSLATE, LOW_SCALE, HIGH_SCALE, SHEAR };

static cbm_status affine_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    const double *p = self->parameters;
    if (!(p[DEGREES] >= 0 && p[DEGREES] <= 360))
        return snprintf(message, 256, "degrees must be 0 to 360"), CBM_ERROR_INVALID;
    if (!(p[TRANSLATE] >= 0 && p[TRANSLATE] <= 1))
        return snprintf(message, 256, "translate is a part of the sides, 0 to 1"), CBM_ERROR_INVALID;
    if (!(p[LOW_SCALE] > 0 && p[LOW_SCALE] <= p[HIGH_SCALE] && isfinite(p[HIGH_SCALE])))
        return snprintf(message, 256, "scales must satisfy 0 < low <= high"), CBM_ERROR_INVALID;
    if (!(p[SHEAR] >= 0 && p[SHEAR] < 90))
        return snprintf(message, 256, "shear must be 0 to less than 90 degrees"), CBM_ERROR_INVALID;
    return cbm_planes_fit(shape, *dtype, message);
}

/* The inverse of: shear along x, scale, rotate clockwise on the screen, move. */
static cbm_plane_map inverse_affine(double angle, double scale, double shear, double move_x, double move_y)
{
    double c = cos(angle), s = sin(angle), t = -tan(shear);
    double a = c * scale, b = (c * t - s) * scale, d = s * scale, e = (s * t + c) * scale, det = a * e - b * d;
    cbm_plane_map w = { { e / det, -b / det, 0, -d / det, a / det, 0, 0, 0 } };
    w.m[2] = -(w.m[0] * move_x + w.m[1] * move_y);
    w.m[5] = -(w.m[3] * move_x + w.m[4] * move_y);
    return w;
}

static cbm_status affine(const cbm_transform *self, const cbm_transform_call *call)
{
    const double *p = self->parameters;
    cbm_planes planes = cbm_planes_of(call->in_shape);
    double across = p[TRANSLATE] * (double)planes.width, down = p[TRANSLATE] * (double)planes.height;
    cbm_plane_map w = inverse_affine(degree * cbm_transform_uniform(call, 0, -p[DEGREES], p[DEGREES]),
                                     cbm_transform_uniform(call, 1, p[LOW_SCALE], p[HIGH_SCALE]),
                                     degree * cbm_transform_uniform(call, 2, -p[SHEAR], p[SHEAR]),
                                     round(cbm_transform_uniform(call, 3, -across, across)),
                                     round(cbm_transform_uniform(call, 4, -down, down)));
    cbm_warp(call, &w);
    return CBM_OK;
}

cbm_transform cbm_random_affine(double degrees, double translate, double low, double high, double shear)
{
    return (cbm_transform){ .name = "random_affine",
                            .apply = affine,
                            .result = affine_result,
                            .parameters = { degrees, translate, low, high, shear } };
}

cbm_transform cbm_random_rotation(double degrees)
{
    cbm_transform t = cbm_random_affine(degrees, 0, 1, 1, 0);
    t.name = "random_rotation";
    return t;
}

/* ---- perspective ---- */

enum { DISTORTION, PROBABILITY, UNKNOWNS = 8 };

static cbm_status perspective_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    const double *p = self->parameters;
    if (!(p[DISTORTION] >= 0 && p[DISTORTION] < 1))
        return snprintf(message, 256, "distortion must be 0 to less than 1"), CBM_ERROR_INVALID;
    if (!(p[PROBABILITY] >= 0 && p[PROBABILITY] <= 1))
        return snprintf(message, 256, "a probability is 0 to 1"), CBM_ERROR_INVALID;
    return cbm_planes_fit(shape, *dtype, message);
}

/* Gauss with the largest pivots; false: singular. */
static bool solve(double a[UNKNOWNS][UNKNOWNS + 1], double x[UNKNOWNS])
{
    for (int k = 0; k < UNKNOWNS; ++k) {
        int best = k;
        for (int i = k + 1; i < UNKNOWNS; ++i)
            best = fabs(a[i][k]) > fabs(a[best][k]) ? i : best;
        if (fabs(a[best][k]) < 1e-12)
            return false;
        for (int j = k; j <= UNKNOWNS; ++j) {
            double kept = a[k][j];
            a[k][j] = a[best][j];
            a[best][j] = kept;
        }
        for (int i = 0; i < UNKNOWNS; ++i)
            for (int j = UNKNOWNS; i != k && j >= k; --j)
                a[i][j] -= a[i][k] / a[k][k] * a[k][j];
    }
    for (int k = 0; k < UNKNOWNS; ++k)
        x[k] = a[k][UNKNOWNS] / a[k][k];
    return true;
}

/* The map that takes the moved corners back to the corners. */
static bool map_of_corners(double to[4][2], double from[4][2], cbm_plane_map *w)
{
    double a[UNKNOWNS][UNKNOWNS + 1];
    for (int k = 0; k < 4; ++k) {
        double x = to[k][0], y = to[k][1], u = from[k][0], v = from[k][1];
        const double rows[2][UNKNOWNS + 1] = { { x, y, 1, 0, 0, 0, -x * u, -y * u, u },
                                               { 0, 0, 0, x, y, 1, -x * v, -y * v, v } };
        memcpy(a[2 * k], rows, sizeof rows);
    }
    return solve(a, w->m);
}

/* Each corner moves inwards by up to distortion times half a side. */
static cbm_status perspective(const cbm_transform *self, const cbm_transform_call *call)
{
    const double *p = self->parameters;
    cbm_planes planes = cbm_planes_of(call->in_shape);
    double half[2] = { 0.5 * (double)(planes.width - 1), 0.5 * (double)(planes.height - 1) };
    double from[4][2], to[4][2];
    for (int k = 0; k < 4; ++k)
        for (int i = 0; i < 2; ++i) {
            double side = (k >> i & 1 ? 1 : -1) * half[i];
            from[k][i] = side;
            to[k][i] = side * (1 - cbm_transform_uniform(call, 1 + 2 * k + i, 0, p[DISTORTION]));
        }
    cbm_plane_map w;
    if (cbm_transform_uniform(call, 0, 0, 1) < p[PROBABILITY] && map_of_corners(to, from, &w))
        cbm_warp(call, &w);
    else
        memcpy(call->out, call->in, (size_t)cbm_shape_count(call->in_shape) * cbm_dtype_size(call->in_dtype));
    return CBM_OK;
}

cbm_transform cbm_random_perspective(double distortion, double probability)
{
    return (cbm_transform){ .name = "random_perspective",
                            .apply = perspective,
                            .result = perspective_result,
                            .parameters = { distortion, probability } };
}
