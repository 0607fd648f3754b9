/* ops/conv.h: convolution and transposed convolution in one, two and three dimensions. See ops.h for what holds for all
   operations. */
#ifndef CAMBIUM_OPS_CONV_H
#define CAMBIUM_OPS_CONV_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Convolution (cross-correlation): x (N, C, L), (N, C, H, W) or (N, C, D, H, W); weight (O, C/groups, K), (.., Kh, Kw) or
   (.., Kd, Kh, Kw); bias (O) or NULL -> (N, O, L'), (N, O, H', W') or (N, O, D', H', W'), each
   L' = floor((L + 2 padding - dilation (K - 1) - 1) / stride) + 1. f32, f64 or bf16, all alike; beside a bf16 x and weight
   the bias may be f32. Lists hold one value for all dimensions, or one for each (depth, height, width). same: as many zeros
   (padding is not read) as make L' = L; an odd one lies at the end; strides must be 1. Errors: shapes that do not fit,
   channels that the groups do not divide, a kernel longer than x with its padding. */
typedef struct cbm_conv_options {
    uint64_t struct_size;
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    int64_t groups CBM_DEFAULT(1);
    uint64_t same CBM_DEFAULT(0);
} cbm_conv_options;
CBM_API cbm_tensor *cbm_conv1d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                    const cbm_conv_options *options);
CBM_API cbm_tensor *cbm_conv2d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                    const cbm_conv_options *options);
CBM_API cbm_tensor *cbm_conv3d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                    const cbm_conv_options *options);

/* Transposed convolution, the gradient of a convolution by its input (Zeiler et al. 2010, "Deconvolutional networks"):
   x (N, C, L), weight (C, O/groups, K), bias (O) or NULL -> (N, O, L'),
   L' = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1; in two and three dimensions likewise.
   output_padding, less than the stride or the dilation, says which of the lengths is meant that a convolution turns into
   L. Dtypes and lists as for convolution. */
typedef struct cbm_conv_transpose_options {
    uint64_t struct_size;
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape output_padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    int64_t groups CBM_DEFAULT(1);
} cbm_conv_transpose_options;
CBM_API cbm_tensor *cbm_conv_transpose1d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                              const cbm_conv_transpose_options *options);
CBM_API cbm_tensor *cbm_conv_transpose2d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                              const cbm_conv_transpose_options *options);
CBM_API cbm_tensor *cbm_conv_transpose3d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                              const cbm_conv_transpose_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_CONV_DEFAULTS                                                                                              \
    .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .groups = 1, .same = 0
#define CBM_CONV_(function, x, w, b, ...)                                                                              \
    CBM_OPTIONS_(cbm_conv_options, function(x, w, b, &cbm_o_), CBM_CONV_DEFAULTS, __VA_ARGS__)
#define CBM_CONV_AT_(function, ...)                                                                                    \
    cbm_at(CBM_CONV_(function, __VA_ARGS__, .struct_size = sizeof(cbm_conv_options)), __FILE__, __LINE__)
/* cbm_conv2d(x, weight, bias, .padding = CBM_SHAPE(1)) */
#define cbm_conv1d(...) CBM_CONV_AT_(cbm_conv1d_with, __VA_ARGS__)
#define cbm_conv2d(...) CBM_CONV_AT_(cbm_conv2d_with, __VA_ARGS__)
#define cbm_conv3d(...) CBM_CONV_AT_(cbm_conv3d_with, __VA_ARGS__)

#define CBM_CONV_TRANSPOSE_DEFAULTS                                                                                    \
    .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .output_padding = { { 1, 0 } }, .dilation = { { 1, 1 } },         \
    .groups = 1
#define CBM_CONV_TRANSPOSE_(function, x, w, b, ...)                                                                    \
    CBM_OPTIONS_(cbm_conv_transpose_options, function(x, w, b, &cbm_o_), CBM_CONV_TRANSPOSE_DEFAULTS, __VA_ARGS__)
#define CBM_CONV_TRANSPOSE_AT_(function, ...)                                                                          \
    cbm_at(CBM_CONV_TRANSPOSE_(function, __VA_ARGS__, .struct_size = sizeof(cbm_conv_transpose_options)), __FILE__,    \
           __LINE__)
/* cbm_conv_transpose2d(x, weight, bias, .stride = CBM_SHAPE(2)) */
#define cbm_conv_transpose1d(...) CBM_CONV_TRANSPOSE_AT_(cbm_conv_transpose1d_with, __VA_ARGS__)
#define cbm_conv_transpose2d(...) CBM_CONV_TRANSPOSE_AT_(cbm_conv_transpose2d_with, __VA_ARGS__)
#define cbm_conv_transpose3d(...) CBM_CONV_TRANSPOSE_AT_(cbm_conv_transpose3d_with, __VA_ARGS__)
#else
#define CBM_CPP_CONV_(name, type)                                                                                      \
    CBM_CPP_OPTIONS_(name, type, (cbm_tensor * x, cbm_tensor * weight, cbm_tensor * bias, const type &options = {}),   \
                     (x, weight, bias, &o))
CBM_CPP_CONV_(cbm_conv1d, cbm_conv_options)
CBM_CPP_CONV_(cbm_conv2d, cbm_conv_options)
CBM_CPP_CONV_(cbm_conv3d, cbm_conv_options)
CBM_CPP_CONV_(cbm_conv_transpose1d, cbm_conv_transpose_options)
CBM_CPP_CONV_(cbm_conv_transpose2d, cbm_conv_transpose_options)
CBM_CPP_CONV_(cbm_conv_transpose3d, cbm_conv_transpose_options)
#undef CBM_CPP_CONV_
#endif

#endif
