/* image.c: what is done to pictures and their like by other operations: interpolation, and channels that become places.
   Rests on op/families.h. */
#include "op/families.h"

#include <math.h>

enum { DIMENSIONS = 3 };

/* ---- interpolate ---- */

static cbm_tensor *refuse(cbm_tensor *x, const char *why)
{
    return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[interpolate] %s", why);
}

static bool has_corners(int64_t mode)
{
    return mode == CBM_INTERPOLATE_LINEAR || mode == CBM_INTERPOLATE_CUBIC;
}

cbm_tensor *cbm_interpolate_with(cbm_tensor *x, const cbm_interpolate_options *options)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    cbm_interpolate_options o = { .struct_size = sizeof o };
    cbm_resample_attributes axes[DIMENSIONS];
    cbm_shape size;
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_usable(cx, x))
        return refuse(x, "x is NULL or failed");
    const cbm_shape shape = cbm_tensor_shape(x);
    const int64_t n = shape.v[0] - 2;
    const bool scaled = o.scale_factor[0] != 0;
    if (n < 1 || n > DIMENSIONS)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[interpolate] x %s must have 3 to 5 dimensions: (N, C, ...)",
                               cbm_shape_text(&shape, text, sizeof text));
    if ((o.size.v[0] != 0) == scaled)
        return refuse(x, "either a size or a scale factor must be given");
    if (!cbm_spatial(&o.size, n, 1, &size))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[interpolate] a size takes %s here", cbm_spatial_text(n));
    if (o.mode < 0 || o.mode > CBM_INTERPOLATE_AREA)
        return refuse(x, "the mode is none of cbm_interpolation's");
    if (o.align_corners && !has_corners(o.mode))
        return refuse(x, "only linear and cubic interpolation align corners");
    for (int64_t i = 0; i < n; i++) {
        const double factor = o.scale_factor[i] != 0 ? o.scale_factor[i] : o.scale_factor[0];
        const int64_t input = shape.v[3 + i];
        if (scaled && !(factor > 0 && (double)input * factor < 9e15))
            return refuse(x, "scale factors must be positive, and not so large");
        const int64_t output = scaled ? (int64_t)floor((double)input * factor) : size.v[1 + i];
        if (input < 1 || output < 1)
            return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[interpolate] from %lld to %lld elements: needs at least 1",
                                   (long long)input, (long long)output);
        axes[i] = (cbm_resample_attributes){ .axis = 2 + i,
                                             .input = input,
                                             .output = output,
                                             .mode = o.mode,
                                             .align_corners = o.align_corners != 0,
                                             .scale = scaled && o.mode != CBM_INTERPOLATE_AREA ? factor : 0 };
    }
    const cbm_dtype dtype = cbm_tensor_dtype(x);
    const bool exact = o.mode == CBM_INTERPOLATE_NEAREST || o.mode == CBM_INTERPOLATE_NEAREST_EXACT;
    return cbm_cast(cbm_resample_all(exact ? x : cbm_for_statistics(x), axes, n), dtype);
}

/* ---- channels and places ---- */

/* x (N, C, H, W); false after recording the error. */
static bool is_picture(const char *op, cbm_tensor *x, cbm_shape *shape)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] x is NULL or failed", op);
        return false;
    }
    *shape = cbm_tensor_shape(x);
    if (shape->v[0] == 4)
        return true;
    (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] x %s must have 4 dimensions: (N, C, H, W)", op,
                          cbm_shape_text(shape, text, sizeof text));
    return false;
}

cbm_tensor *cbm_pixel_shuffle(cbm_tensor *x, int64_t factor)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_shape s;
    if (!is_picture("pixel_shuffle", x, &s))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[pixel_shuffle] no result");
    const int64_t r = factor;
    if (r < 1 || r > s.v[2] || s.v[2] % (r * r) != 0)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[pixel_shuffle] %lld channels are no multiple of %lld squared",
                               (long long)s.v[2], (long long)r);
    const cbm_shape apart = { { 6, s.v[1], s.v[2] / (r * r), r, r, s.v[3], s.v[4] } };
    const cbm_shape to = { { 4, s.v[1], s.v[2] / (r * r), s.v[3] * r, s.v[4] * r } };
    return cbm_reshape(cbm_permute(cbm_reshape(x, apart), (cbm_shape){ { 6, 0, 1, 4, 2, 5, 3 } }), to);
}

cbm_tensor *cbm_pixel_unshuffle(cbm_tensor *x, int64_t factor)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_shape s;
    if (!is_picture("pixel_unshuffle", x, &s))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[pixel_unshuffle] no result");
    const int64_t r = factor;
    if (r < 1 || s.v[3] % r != 0 || s.v[4] % r != 0)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[pixel_unshuffle] %lld x %lld places are no multiples of %lld",
                               (long long)s.v[3], (long long)s.v[4], (long long)r);
    const cbm_shape apart = { { 6, s.v[1], s.v[2], s.v[3] / r, r, s.v[4] / r, r } };
    const cbm_shape to = { { 4, s.v[1], s.v[2] * r * r, s.v[3] / r, s.v[4] / r } };
    return cbm_reshape(cbm_permute(cbm_reshape(x, apart), (cbm_shape){ { 6, 0, 1, 3, 5, 2, 4 } }), to);
}

cbm_tensor *cbm_channel_shuffle(cbm_tensor *x, int64_t groups)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[channel_shuffle] x is NULL or failed");
    const cbm_shape s = cbm_tensor_shape(x);
    if (s.v[0] < 2 || s.v[0] >= CBM_MAX_DIMS || groups < 1 || s.v[2] % groups != 0)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE,
                               "[channel_shuffle] the channels of x %s do not divide into %lld groups",
                               cbm_shape_text(&s, text, sizeof text), (long long)groups);
    cbm_shape apart = { { s.v[0] + 1, s.v[1], groups, s.v[2] / groups } };
    for (int64_t i = 3; i <= s.v[0]; i++)
        apart.v[1 + i] = s.v[i];
    return cbm_reshape(cbm_transpose(cbm_reshape(x, apart), 1, 2), s);
}
