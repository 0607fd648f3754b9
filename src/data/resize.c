/* resize.c: pictures of another size: resizing with antialiasing, the centre, a random part resized. Rests on planes.h. */
#include "data/planes.h"
#include <cambium/transforms.h>
#include <math.h>
#include <stdio.h>

#define SIDE_MAX (1 << 16)

static cbm_status sized_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    double height = self->parameters[0], width = self->parameters[1];
    if (!(height >= 1 && height <= SIDE_MAX && width >= 1 && width <= SIDE_MAX))
        return snprintf(message, 256, "height and width must be 1 to %d", SIDE_MAX), CBM_ERROR_INVALID;
    cbm_status status = cbm_planes_fit(shape, *dtype, message);
    if (status == CBM_OK) {
        shape->v[shape->v[0] - 1] = (int64_t)height;
        shape->v[shape->v[0]] = (int64_t)width;
    }
    return status;
}

/* ---- resizing: a triangle as wide as an output pixel is in the input, at least one input pixel to each side ---- */

/* Of one axis: `length` pixels of the input from `start` on (a real number), made `to`. */
typedef struct axis {
    double start, scale, support; /* scale: input pixels an output pixel */
    int64_t first, last;          /* the input pixels that may be read: [first, last) */
} axis;

static axis axis_of(int64_t start, int64_t length, int64_t to)
{
    double scale = (double)length / (double)to;
    return (axis){ (double)start, scale, scale > 1 ? scale : 1, start, start + length };
}

/* The input pixels [*low, *high) that output pixel i sees, and where its middle lies among the pixels' middles. */
static double seen(const axis *a, int64_t i, int64_t *low, int64_t *high)
{
    double middle = a->start + a->scale * ((double)i + 0.5);
    int64_t from = (int64_t)(middle - a->support + 0.5), to = (int64_t)(middle + a->support + 0.5);
    *low = from > a->first ? from : a->first;
    *high = to < a->last ? to : a->last;
    return middle - 0.5;
}

static double triangle(const axis *a, double middle, int64_t at)
{
    double w = 1 - fabs((double)at - middle) / a->support;
    return w > 0 ? w : 0;
}

static double row_at(const cbm_transform_call *call, int64_t row, const axis *a, double middle, int64_t low,
                     int64_t high)
{
    double sum = 0, total = 0;
    for (int64_t x = low; x < high; ++x) {
        double w = triangle(a, middle, x);
        sum += w * (double)cbm_pixel(call->in, call->in_dtype, row + x);
        total += w;
    }
    return sum / total;
}

/* The window of the input that begins at (top, left), as the output's size. */
static void resample(const cbm_transform_call *call, int64_t top, int64_t left, int64_t height, int64_t width)
{
    cbm_planes in = cbm_planes_of(call->in_shape), out = cbm_planes_of(call->out_shape);
    axis down = axis_of(top, height, out.height), right = axis_of(left, width, out.width);
    for (int64_t c = 0; c < in.count; ++c)
        for (int64_t y = 0; y < out.height; ++y) {
            int64_t y0, y1, x0, x1;
            double row = seen(&down, y, &y0, &y1);
            for (int64_t x = 0; x < out.width; ++x) {
                double column = seen(&right, x, &x0, &x1), sum = 0, total = 0;
                for (int64_t v = y0; v < y1; ++v) {
                    double w = triangle(&down, row, v);
                    sum += w * row_at(call, (c * in.height + v) * in.width, &right, column, x0, x1);
                    total += w;
                }
                cbm_set_pixel(call->out, call->out_dtype, (c * out.height + y) * out.width + x, (float)(sum / total));
            }
        }
}

static cbm_status resize(const cbm_transform *self, const cbm_transform_call *call)
{
    (void)self;
    cbm_planes in = cbm_planes_of(call->in_shape);
    resample(call, 0, 0, in.height, in.width);
    return CBM_OK;
}

cbm_transform cbm_resize(int64_t height, int64_t width)
{
    return (cbm_transform){
        .name = "resize", .apply = resize, .result = sized_result, .parameters = { (double)height, (double)width }
    };
}

/* ---- the centre ---- */

static cbm_status center_crop(const cbm_transform *self, const cbm_transform_call *call)
{
    (void)self;
    cbm_planes in = cbm_planes_of(call->in_shape), out = cbm_planes_of(call->out_shape);
    int64_t top = (in.height - out.height) / 2, left = (in.width - out.width) / 2;
    for (int64_t i = 0; i < out.count * out.height * out.width; ++i) {
        int64_t c = i / (out.height * out.width), y = i / out.width % out.height + top, x = i % out.width + left;
        bool inside = y >= 0 && y < in.height && x >= 0 && x < in.width;
        float value = inside ? cbm_pixel(call->in, call->in_dtype, (c * in.height + y) * in.width + x) : 0;
        cbm_set_pixel(call->out, call->out_dtype, i, value);
    }
    return CBM_OK;
}

cbm_transform cbm_center_crop(int64_t height, int64_t width)
{
    return (cbm_transform){ .name = "center_crop",
                            .apply = center_crop,
                            .result = sized_result,
                            .parameters = { (double)height, (double)width } };
}

/* ---- a random part, resized ---- */

enum { ATTEMPTS = 10, LOW_AREA = 2, HIGH_AREA, LOW_RATIO, HIGH_RATIO };

static cbm_status part_result(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message)
{
    const double *p = self->parameters;
    if (!(p[LOW_AREA] > 0 && p[LOW_AREA] <= p[HIGH_AREA] && p[HIGH_AREA] <= 1))
        return snprintf(message, 256, "parts of the area must satisfy 0 < low <= high <= 1"), CBM_ERROR_INVALID;
    return sized_result(self, shape, dtype, message);
}

/* A part of the area and a ratio of the sides, until they fit; then the whole picture. */
static cbm_status resized_crop(const cbm_transform *self, const cbm_transform_call *call)
{
    const double *p = self->parameters;
    cbm_planes in = cbm_planes_of(call->in_shape);
    double area = (double)(in.height * in.width);
    for (int k = 0; k < ATTEMPTS; ++k) {
        double part = area * cbm_transform_uniform(call, 2 * k, p[LOW_AREA], p[HIGH_AREA]);
        double ratio = exp(cbm_transform_uniform(call, 2 * k + 1, log(p[LOW_RATIO]), log(p[HIGH_RATIO])));
        int64_t width = llround(sqrt(part * ratio)), height = llround(sqrt(part / ratio));
        if (width < 1 || height < 1 || width > in.width || height > in.height)
            continue;
        int64_t top = cbm_transform_random(call, 2 * ATTEMPTS, in.height - height + 1);
        int64_t left = cbm_transform_random(call, 2 * ATTEMPTS + 1, in.width - width + 1);
        resample(call, top, left, height, width);
        return CBM_OK;
    }
    resample(call, 0, 0, in.height, in.width);
    return CBM_OK;
}

cbm_transform cbm_random_resized_crop(int64_t height, int64_t width, double low, double high)
{
    return (cbm_transform){ .name = "random_resized_crop",
                            .apply = resized_crop,
                            .result = part_result,
                            .parameters = { (double)height, (double)width, low, high, 3.0 / 4.0, 4.0 / 3.0 } };
}
