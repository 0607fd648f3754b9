/* test_spatial_errors.c: wrong calls of convolutions, pools, interpolation and norms, and what is said of them. */
#define CBM_NO_CALL_SITES
#include "support/wrong.h"
#include "op/attributes.h"
#include <cambium/operation.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F32, shape);
}
static cbm_tensor *i64(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_I64, shape);
}

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define OPTIONS(type_, ...)                                                                                            \
    &(type_)                                                                                                           \
    {                                                                                                                  \
        .struct_size = sizeof(type_), __VA_ARGS__                                                                      \
    }
#define CONV(...) OPTIONS(cbm_conv_options, .groups = 1, __VA_ARGS__)
#define TRANSPOSED(...) TRANSPOSED_IN(1, __VA_ARGS__)
#define TRANSPOSED_IN(groups_, ...) OPTIONS(cbm_conv_transpose_options, .groups = (groups_), __VA_ARGS__)
#define POOL(...) OPTIONS(cbm_pool_options, __VA_ARGS__)
#define TO(...) OPTIONS(cbm_interpolate_options, __VA_ARGS__)
#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }

/* ---- convolution ---- */
WRONG(conv1_rank, cbm_conv1d_with(f32(cx, S(3, 5)), f32(cx, S(4, 3, 3)), NULL, NULL))
WRONG(conv1_list, cbm_conv1d_with(f32(cx, S(1, 3, 5)), f32(cx, S(4, 3, 3)), NULL, CONV(.stride = S(1, 1))))
WRONG(conv1_reach, cbm_conv1d_with(f32(cx, S(1, 3, 5)), f32(cx, S(4, 3, 7)), NULL, NULL))
WRONG(conv3_rank, cbm_conv3d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 3, 3, 3)), NULL, NULL))
WRONG(conv3_list, cbm_conv3d_with(f32(cx, S(1, 3, 5, 5, 5)), f32(cx, S(4, 3, 3, 3, 3)), NULL, CONV(.padding = S(1, 1))))
WRONG(conv3_channels, cbm_conv3d_with(f32(cx, S(1, 3, 5, 5, 5)), f32(cx, S(4, 2, 3, 3, 3)), NULL, NULL))
WRONG(conv3_dilation,
      cbm_conv3d_with(f32(cx, S(1, 3, 5, 5, 5)), f32(cx, S(4, 3, 3, 3, 3)), NULL, CONV(.dilation = S(0))))
WRONG(conv3_weight, cbm_conv3d_with(f32(cx, S(1, 3, 5, 5, 5)), f32(cx, S(4, 3, 3, 0, 3)), NULL, NULL))
WRONG(conv3_bias, cbm_conv3d_with(f32(cx, S(1, 3, 5, 5, 5)), f32(cx, S(4, 3, 3, 3, 3)), f32(cx, S(5)), NULL))
WRONG(conv_null, cbm_conv1d_with(NULL, f32(cx, S(4, 3, 3)), NULL, NULL))
WRONG(same_strides,
      cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 3, 2, 2)), NULL, CONV(.same = 1, .stride = S(1, 2))))
WRONG(same_dilation,
      cbm_conv2d_with(f32(cx, S(1, 3, 5, 5)), f32(cx, S(4, 3, 2, 2)), NULL, CONV(.same = 1, .dilation = S(-1))))
WRONG(same_rank, cbm_conv2d_with(f32(cx, S(3, 5, 5)), f32(cx, S(4, 3, 2)), NULL, CONV(.same = 1)))
WRONG(turned_null, cbm_conv_transpose2d_with(NULL, f32(cx, S(4, 3, 3, 3)), NULL, NULL))
WRONG(turned_rank, cbm_conv_transpose2d_with(f32(cx, S(1, 4, 5)), f32(cx, S(4, 3, 3)), NULL, NULL))
WRONG(turned_list,
      cbm_conv_transpose1d_with(f32(cx, S(1, 4, 5)), f32(cx, S(4, 3, 3)), NULL, TRANSPOSED(.output_padding = S(0, 0))))
WRONG(turned_channels, cbm_conv_transpose1d_with(f32(cx, S(1, 3, 5)), f32(cx, S(4, 3, 3)), NULL, NULL))
WRONG(turned_groups,
      cbm_conv_transpose1d_with(f32(cx, S(1, 4, 5)), f32(cx, S(4, 3, 3)), NULL, TRANSPOSED_IN(3, .stride = S(1))))
WRONG(turned_more, cbm_conv_transpose1d_with(f32(cx, S(1, 4, 5)), f32(cx, S(4, 3, 3)), NULL,
                                             TRANSPOSED(.stride = S(2), .output_padding = S(2))))
WRONG(turned_less,
      cbm_conv_transpose1d_with(f32(cx, S(1, 4, 5)), f32(cx, S(4, 3, 3)), NULL, TRANSPOSED(.output_padding = S(-1))))
WRONG(turned_stride,
      cbm_conv_transpose1d_with(f32(cx, S(1, 4, 5)), f32(cx, S(4, 3, 3)), NULL, TRANSPOSED(.stride = S(0))))
WRONG(turned_empty, cbm_conv_transpose1d_with(f32(cx, S(1, 4, 0)), f32(cx, S(4, 3, 3)), NULL, NULL))
WRONG(turned_nothing,
      cbm_conv_transpose1d_with(f32(cx, S(1, 4, 2)), f32(cx, S(4, 3, 3)), NULL, TRANSPOSED(.padding = S(2))))
WRONG(turned_bias, cbm_conv_transpose1d_with(f32(cx, S(1, 4, 5)), f32(cx, S(4, 3, 3)), f32(cx, S(4)), NULL))
WRONG(turned_dtypes, cbm_conv_transpose1d_with(f32(cx, S(1, 4, 5)), i64(cx, S(4, 3, 3)), NULL, NULL))

/* ---- pooling ---- */
static cbm_tensor *applied(cbm_context *cx, const char *op, cbm_tensor *x, cbm_tensor *y, const void *attributes)
{
    cbm_tensor *const in[] = { x, y };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    return cbm_apply(cx, cbm_op_named(op), in, y ? 2 : 1, attributes, out);
}
static const cbm_pool_attributes no_lists = { .kernel = { { 1, 2 } }, .input_shape = { { 3, 1, 1, 4 } } };
static const cbm_pool_attributes dilated_average = {
    { { 1, 2 } }, { { 1, 2 } }, { { 1, 0 } }, { { 1, 2 } }, 0, 0, 0, { { 3, 1, 1, 4 } }
};
static const cbm_pool_attributes pairs = { { { 1, 2 } },      { { 1, 2 } }, { { 1, 0 } }, { { 1, 1 } }, 0, 0, 0,
                                           { { 3, 1, 1, 4 } } };
WRONG(pool1_rank, cbm_max_pool1d_with(f32(cx, S(1, 1, 5, 5)), S(2), NULL))
WRONG(pool3_rank, cbm_avg_pool3d_with(f32(cx, S(1, 1, 5, 5)), S(2), NULL))
WRONG(pool3_list, cbm_max_pool3d_with(f32(cx, S(1, 1, 5, 5, 5)), S(2, 2), NULL))
WRONG(pool_no_kernel, cbm_max_pool1d_with(f32(cx, S(1, 1, 5)), S(), NULL))
WRONG(pool_dilation, cbm_max_pool1d_with(f32(cx, S(1, 1, 5)), S(2), POOL(.dilation = S(0))))
WRONG(pool_reach, cbm_max_pool1d_with(f32(cx, S(1, 1, 5)), S(3), POOL(.dilation = S(3))))
WRONG(pool_padding, cbm_max_pool1d_with(f32(cx, S(1, 1, 5)), S(3), POOL(.padding = S(2))))
WRONG(pool_ceil, cbm_avg_pool1d_with(f32(cx, S(1, 1, 2)), S(5), POOL(.stride = S(3), .ceil_mode = 1)))
WRONG(pool_empty, cbm_max_pool1d_with(f32(cx, S(1, 1, 0)), S(1), NULL))
WRONG(pool_divisor, cbm_avg_pool1d_with(f32(cx, S(1, 1, 5)), S(2), POOL(.divisor_override = -1)))
WRONG(pool_dilated_mean, applied(cx, "avg_pool1d", f32(cx, S(1, 1, 4)), NULL, &dilated_average))
WRONG(pool_dilated_avg, cbm_avg_pool1d_with(f32(cx, S(1, 1, 5)), S(2), POOL(.dilation = S(2))))
WRONG(pool_lists, applied(cx, "max_pool1d", f32(cx, S(1, 1, 4)), NULL, &no_lists))
WRONG(pool_places, applied(cx, "max_pool1d_backward", f32(cx, S(1, 1, 2)), i64(cx, S(1, 1, 2)), &pairs))
WRONG(pool_index_places, applied(cx, "max_pool1d_indices", i64(cx, S(1, 1, 2)), NULL, &pairs))
static cbm_tensor *pool_indices(cbm_context *cx)
{
    cbm_tensor *indices = NULL;
    cbm_max_pool2d_with_indices(f32(cx, S(1, 5, 5)), S(2), NULL, &indices);
    return indices;
}
WRONG(lp_norm, cbm_lp_pool2d_with(f32(cx, S(1, 1, 5, 5)), 0, S(2), NULL))
WRONG(lp_list, cbm_lp_pool1d_with(f32(cx, S(1, 1, 5)), 2, S(2, 2), NULL))
WRONG(unpool_rank, cbm_max_unpool(f32(cx, S(1, 1)), i64(cx, S(1, 1)), S(5)))
WRONG(unpool_list, cbm_max_unpool(f32(cx, S(1, 1, 2, 2)), i64(cx, S(1, 1, 2, 2)), S(5, 5, 5)))
WRONG(unpool_indices, cbm_max_unpool(f32(cx, S(1, 1, 2)), i64(cx, S(1, 1, 3)), S(5)))
WRONG(unpool_floats, cbm_max_unpool(f32(cx, S(1, 1, 2)), f32(cx, S(1, 1, 2)), S(5)))
WRONG(unpool_range, cbm_max_unpool(f32(cx, S(1, 1, 2)), cbm_full(cx, CBM_I64, S(1, 1, 2), 5), S(5)))
WRONG(unpool_nothing, cbm_max_unpool(f32(cx, S(1, 1, 2)), i64(cx, S(1, 1, 2)), S(0)))
WRONG(adaptive_rank, cbm_adaptive_avg_pool2d(f32(cx, S(1, 1, 5)), S(2)))
WRONG(adaptive_list, cbm_adaptive_avg_pool2d(f32(cx, S(1, 1, 5, 5)), S(2, 2, 2)))
WRONG(adaptive_none, cbm_adaptive_max_pool1d(f32(cx, S(1, 1, 5)), S(), NULL))
WRONG(adaptive_zero, cbm_adaptive_max_pool1d(f32(cx, S(1, 1, 5)), S(0), NULL))
WRONG(adaptive_empty, cbm_adaptive_avg_pool1d(f32(cx, S(1, 1, 0)), S(2)))
WRONG(adaptive_whole, cbm_adaptive_max_pool1d(i64(cx, S(1, 1, 5)), S(2), NULL))

/* ---- pictures ---- */
static const cbm_resample_attributes other_length = { 1, 4, 8, CBM_INTERPOLATE_LINEAR, 0, 0 };
static const cbm_resample_attributes to_nothing = { 1, 3, 0, CBM_INTERPOLATE_LINEAR, 0, 0 };
static const cbm_resample_attributes no_mode = { 1, 3, 6, 99, 0, 0 };
WRONG(resample_length, applied(cx, "resample", f32(cx, S(2, 3)), NULL, &other_length))
WRONG(resample_nothing, applied(cx, "resample", f32(cx, S(2, 3)), NULL, &to_nothing))
WRONG(resample_mode, applied(cx, "resample", f32(cx, S(2, 3)), NULL, &no_mode))
WRONG(resample_whole, applied(cx, "resample", i64(cx, S(2, 4)), NULL, &other_length))
WRONG(interpolate_rank, cbm_interpolate_with(f32(cx, S(2, 3)), TO(.size = S(4))))
WRONG(interpolate_neither, cbm_interpolate_with(f32(cx, S(1, 2, 3)), NULL))
WRONG(interpolate_both, cbm_interpolate_with(f32(cx, S(1, 2, 3)), TO(.size = S(4), .scale_factor = { 2 })))
WRONG(interpolate_list, cbm_interpolate_with(f32(cx, S(1, 2, 3)), TO(.size = S(4, 4))))
WRONG(interpolate_mode, cbm_interpolate_with(f32(cx, S(1, 2, 3)), TO(.size = S(4), .mode = 5)))
WRONG(interpolate_corners, cbm_interpolate_with(f32(cx, S(1, 2, 3)), TO(.size = S(4), .align_corners = 1)))
WRONG(interpolate_negative, cbm_interpolate_with(f32(cx, S(1, 2, 3)), TO(.scale_factor = { -1 })))
WRONG(interpolate_small, cbm_interpolate_with(f32(cx, S(1, 2, 3)), TO(.scale_factor = { 0.1 })))
WRONG(interpolate_empty, cbm_interpolate_with(f32(cx, S(1, 2, 0)), TO(.size = S(4))))
WRONG(shuffle_rank, cbm_pixel_shuffle(f32(cx, S(4, 2, 2)), 2))
WRONG(shuffle_channels, cbm_pixel_shuffle(f32(cx, S(1, 6, 2, 2)), 2))
WRONG(unshuffle_places, cbm_pixel_unshuffle(f32(cx, S(1, 1, 3, 4)), 2))
WRONG(channels_groups, cbm_channel_shuffle(f32(cx, S(1, 5, 2)), 2))

/* ---- norms ---- */
static cbm_tensor *by_record(cbm_context *cx, const char *op, cbm_tensor *x, int64_t axes)
{
    const cbm_layer_norm_attributes a = { axes, 1e-5 };
    return applied(cx, op, x, f32(cx, S(3)), &a);
}
WRONG(layer_end, cbm_layer_norm(f32(cx, S(2, 3)), S(2), NULL, NULL, 1e-5))
WRONG(layer_none, cbm_layer_norm(f32(cx, S(2, 3)), S(), NULL, NULL, 1e-5))
WRONG(layer_weight, cbm_layer_norm(f32(cx, S(2, 3)), S(3), f32(cx, S(2)), NULL, 1e-5))
WRONG(layer_whole, cbm_layer_norm(i64(cx, S(2, 3)), S(3), NULL, NULL, 1e-5))
WRONG(layer_nothing, cbm_layer_norm(f32(cx, S(2, 0)), S(0), NULL, NULL, 1e-5))
WRONG(layer_half,
      cbm_layer_norm(cbm_cast(f32(cx, S(2, 3)), CBM_BF16), S(3), cbm_cast(f32(cx, S(3)), CBM_BF16), NULL, 0))
WRONG(rms_end, cbm_rms_norm(f32(cx, S(2, 3)), S(4, 2, 3), NULL, 1e-5))
WRONG(rms_axes, by_record(cx, "rms_norm", f32(cx, S(3)), 2))
WRONG(group_divide, cbm_group_norm(f32(cx, S(2, 5, 3)), 2, NULL, NULL, 1e-5))
WRONG(group_rank, cbm_group_norm(f32(cx, S(2)), 1, NULL, NULL, 1e-5))
WRONG(group_weight, cbm_group_norm(f32(cx, S(2, 4, 3)), 2, f32(cx, S(2)), NULL, 1e-5))
WRONG(group_nothing, cbm_group_norm(f32(cx, S(2, 4, 0)), 2, NULL, NULL, 1e-5))
WRONG(instance_rank, cbm_instance_norm(f32(cx, S(2, 4)), NULL, NULL, NULL, NULL, true, 0.1, 1e-5))
WRONG(instance_one, cbm_instance_norm(f32(cx, S(2, 4, 1)), NULL, NULL, NULL, NULL, true, 0.1, 1e-5))
WRONG(instance_eval, cbm_instance_norm(f32(cx, S(2, 4, 3)), NULL, NULL, NULL, NULL, false, 0.1, 1e-5))
WRONG(response_rank, cbm_local_response_norm(f32(cx, S(2, 4)), 3, 1, 0.75, 1))
WRONG(response_size, cbm_local_response_norm(f32(cx, S(2, 4, 3)), 0, 1, 0.75, 1))

static const wrong_call wrong[] = {
    { conv1_rank, CBM_ERROR_SHAPE, { "[conv1d]", "3 dimensions: (N, C, L) and (O, C / groups, K)" } },
    { conv1_list, CBM_ERROR_INVALID, { "[conv1d]", "dilation take one value" } },
    { conv1_reach, CBM_ERROR_SHAPE, { "[conv1d]", "reaches over 7 elements, but x (1, 3, 5)" } },
    { conv3_rank, CBM_ERROR_SHAPE, { "[conv3d]", "5 dimensions: (N, C, D, H, W)" } },
    { conv3_list, CBM_ERROR_INVALID, { "[conv3d]", "one value or three" } },
    { conv3_channels, CBM_ERROR_SHAPE, { "[conv3d]", "has 3 channels, but weight (4, 2, 3, 3, 3)" } },
    { conv3_dilation, CBM_ERROR_INVALID, { "[conv3d]", "dilations must be at least 1" } },
    { conv3_weight, CBM_ERROR_INVALID, { "[conv3d]", "weight's extents (4, 3, 3, 0, 3)" } },
    { conv3_bias, CBM_ERROR_SHAPE, { "[conv3d]", "bias has shape (5" } },
    { conv_null, CBM_ERROR_INVALID, { "[conv1d]", "NULL" } },
    { same_strides, CBM_ERROR_INVALID, { "[conv2d]", "same needs strides of 1, not 2" } },
    { same_dilation, CBM_ERROR_INVALID, { "[conv2d]", "dilations must be at least 1" } },
    { same_rank, CBM_ERROR_SHAPE, { "[conv2d]", "4 dimensions" } },
    { turned_null, CBM_ERROR_INVALID, { "[tensor]", "NULL" } },
    { turned_rank,
      CBM_ERROR_SHAPE,
      { "[conv_transpose2d]", "must have 4 dimensions, the weight's: (C, O / groups, Kh, Kw)" } },
    { turned_list, CBM_ERROR_INVALID, { "[conv_transpose1d]", "take one value" } },
    { turned_channels,
      CBM_ERROR_SHAPE,
      { "[conv_transpose1d]", "has 3 channels, but weight (4, 3, 3) takes 4 in 1 groups" } },
    { turned_groups, CBM_ERROR_SHAPE, { "[conv_transpose1d]", "in 3 groups" } },
    { turned_more, CBM_ERROR_INVALID, { "[conv_transpose1d]", "output padding 2 is not less than the stride 2" } },
    { turned_less, CBM_ERROR_INVALID, { "[conv_transpose1d]", "output padding -1" } },
    { turned_stride, CBM_ERROR_INVALID, { "[conv_transpose1d]", "strides and dilations must be at least 1" } },
    { turned_empty, CBM_ERROR_SHAPE, { "[conv_transpose1d]", "is not in 1 to 2^31" } },
    { turned_nothing, CBM_ERROR_SHAPE, { "[conv_transpose1d]", "of x (1, 4, 2) the padding 2 leaves nothing" } },
    { turned_bias, CBM_ERROR_SHAPE, { "[conv_transpose1d]", "the bias must have shape (3)" } },
    { turned_dtypes, CBM_ERROR_DTYPE, { "[conv1d_input_grad]", "f32 and i64" } },
    { pool1_rank, CBM_ERROR_SHAPE, { "[max_pool1d]", "3 dimensions: (N, C, L)" } },
    { pool3_rank, CBM_ERROR_SHAPE, { "[avg_pool3d]", "5 dimensions: (N, C, D, H, W)" } },
    { pool3_list, CBM_ERROR_INVALID, { "[max_pool3d]", "one value or three" } },
    { pool_no_kernel, CBM_ERROR_INVALID, { "[max_pool1d]", "take one value" } },
    { pool_dilation, CBM_ERROR_INVALID, { "[max_pool1d]", "dilations must be at least 1" } },
    { pool_reach,
      CBM_ERROR_SHAPE,
      { "[max_pool1d]", "reaches over 7 elements, but x (1, 1, 5) with its padding has only 5" } },
    { pool_padding, CBM_ERROR_INVALID, { "[max_pool1d]", "padding 2 is more than half the kernel 3" } },
    { pool_ceil, CBM_ERROR_SHAPE, { "[avg_pool1d]", "reaches over 5 elements" } },
    { pool_empty, CBM_ERROR_SHAPE, { "[max_pool1d]", "reaches over 1 elements" } },
    { pool_divisor, CBM_ERROR_INVALID, { "[avg_pool1d]", "divisor must be positive" } },
    { pool_dilated_mean, CBM_ERROR_INVALID, { "[avg_pool1d]", "no dilation" } },
    { pool_dilated_avg, CBM_ERROR_INVALID, { "[avg_pool1d]", "no dilation" } },
    { pool_lists, CBM_ERROR_INVALID, { "[max_pool1d]", "lists need an entry for each dimension" } },
    { pool_places, CBM_ERROR_DTYPE, { "[max_pool1d_backward]", "place must hold u8" } },
    { pool_index_places, CBM_ERROR_DTYPE, { "[max_pool1d_indices]", "place must hold u8" } },
    { pool_indices, CBM_ERROR_SHAPE, { "[max_pool2d]", "4 dimensions" } },
    { lp_norm, CBM_ERROR_INVALID, { "[lp_pool2d]", "the norm must be positive" } },
    { lp_list, CBM_ERROR_INVALID, { "[lp_pool1d]", "a kernel takes one value" } },
    { unpool_rank, CBM_ERROR_SHAPE, { "[max_unpool]", "x (1, 1) must have 3 to 5 dimensions" } },
    { unpool_list, CBM_ERROR_INVALID, { "[max_unpool]", "output takes one value" } },
    { unpool_indices, CBM_ERROR_SHAPE, { "[max_unpool]", "indices has shape (1, 1, 3)" } },
    { unpool_floats, CBM_ERROR_DTYPE, { "[max_unpool]", "indices must hold i64 or i32" } },
    { unpool_range, CBM_ERROR_RANGE, { "[max_unpool]", "index 5 at position 0 is outside 0..4" } },
    { unpool_nothing, CBM_ERROR_SHAPE, { "[max_unpool]", "from 2 to 0 places" } },
    { adaptive_rank, CBM_ERROR_SHAPE, { "[adaptive_avg_pool2d]", "x (1, 1, 5) must have 4 dimensions" } },
    { adaptive_list, CBM_ERROR_INVALID, { "[adaptive_avg_pool2d]", "one value or two" } },
    { adaptive_none, CBM_ERROR_INVALID, { "[adaptive_max_pool1d]", "output takes one value" } },
    { adaptive_zero, CBM_ERROR_SHAPE, { "[adaptive_max_pool1d]", "from 5 to 0 places" } },
    { adaptive_empty, CBM_ERROR_SHAPE, { "[adaptive_avg_pool1d]", "from 0 to 2 places" } },
    { adaptive_whole, CBM_ERROR_DTYPE, { "[adaptive_max_pool]", "must be f32, f64 or bf16" } },
    { resample_length, CBM_ERROR_SHAPE, { "[resample]", "has not 4 elements along axis 1" } },
    { resample_nothing, CBM_ERROR_SHAPE, { "[resample]", "from 3 to 0 elements" } },
    { resample_mode, CBM_ERROR_INVALID, { "[resample]", "no mode 99" } },
    { resample_whole, CBM_ERROR_DTYPE, { "[resample]", "must be f32, f64 or bf16" } },
    { interpolate_rank, CBM_ERROR_SHAPE, { "[interpolate]", "3 to 5 dimensions" } },
    { interpolate_neither, CBM_ERROR_INVALID, { "[interpolate]", "either a size or a scale factor" } },
    { interpolate_both, CBM_ERROR_INVALID, { "[interpolate]", "either a size or a scale factor" } },
    { interpolate_list, CBM_ERROR_INVALID, { "[interpolate]", "a size takes one value here" } },
    { interpolate_mode, CBM_ERROR_INVALID, { "[interpolate]", "the mode is none" } },
    { interpolate_corners, CBM_ERROR_INVALID, { "[interpolate]", "align corners" } },
    { interpolate_negative, CBM_ERROR_INVALID, { "[interpolate]", "scale factors must be positive" } },
    { interpolate_small, CBM_ERROR_SHAPE, { "[interpolate]", "from 3 to 0 elements" } },
    { interpolate_empty, CBM_ERROR_SHAPE, { "[interpolate]", "from 0 to 4 elements" } },
    { shuffle_rank, CBM_ERROR_SHAPE, { "[pixel_shuffle]", "4 dimensions: (N, C, H, W)" } },
    { shuffle_channels, CBM_ERROR_SHAPE, { "[pixel_shuffle]", "6 channels are no multiple of 2 squared" } },
    { unshuffle_places, CBM_ERROR_SHAPE, { "[pixel_unshuffle]", "3 x 4 places are no multiples of 2" } },
    { channels_groups, CBM_ERROR_SHAPE, { "[channel_shuffle]", "x (1, 5, 2) do not divide into 2 groups" } },
    { layer_end, CBM_ERROR_SHAPE, { "[layer_norm]", "x (2, 3) does not end in the normalised shape (2)" } },
    { layer_none, CBM_ERROR_SHAPE, { "[layer_norm]", "does not end in" } },
    { layer_weight, CBM_ERROR_SHAPE, { "[layer_norm]", "a weight or bias has shape (2), but must have (3)" } },
    { layer_whole, CBM_ERROR_DTYPE, { "[layer_norm]", "must be f32, f64 or bf16" } },
    { layer_nothing, CBM_ERROR_SHAPE, { "[layer_norm]", "nothing to normalise in x (2, 0)" } },
    { layer_half, CBM_ERROR_DTYPE, { "[layer_norm]", "x is bf16, so input 2 must be f32" } },
    { rms_end, CBM_ERROR_SHAPE, { "[rms_norm]", "does not end in" } },
    { rms_axes, CBM_ERROR_SHAPE, { "[rms_norm]", "2 axes of x (3) cannot be normalised" } },
    { group_divide, CBM_ERROR_SHAPE, { "[group_norm]", "5 channels of x (2, 5, 3) do not divide into 2 groups" } },
    { group_rank, CBM_ERROR_SHAPE, { "[group_norm]", "at least 2 dimensions" } },
    { group_weight, CBM_ERROR_SHAPE, { "[group_norm]", "a vector of the channels has shape (2), but must have (4)" } },
    { group_nothing, CBM_ERROR_SHAPE, { "[group_norm]", "nothing to normalise" } },
    { instance_rank, CBM_ERROR_SHAPE, { "[instance_norm]", "at least 3 dimensions" } },
    { instance_one, CBM_ERROR_SHAPE, { "[instance_norm]", "fewer than two values a channel" } },
    { instance_eval, CBM_ERROR_STATE, { "[batch_norm]", "no running statistics" } },
    { response_rank, CBM_ERROR_SHAPE, { "[local_response_norm]", "at least 3 dimensions" } },
    { response_size, CBM_ERROR_INVALID, { "[local_response_norm]", "size 0 is not at least 1" } },
};

WRONG_CALL_TESTS(wrong)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_on_cpu),
        cmocka_unit_test(errors_on_reference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
