/* ops/conv.h: convolution. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_CONV_H
#define CAMBIUM_OPS_CONV_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Convolution (cross-correlation): x (N, C, H, W), weight (O, C/groups, Kh, Kw), bias (O) or NULL -> (N, O, H', W'),
   H' = floor((H + 2 padding - dilation (Kh - 1) - 1) / stride) + 1. Lists hold one value or two (height, width).
   Beside a bf16 x and weight the bias may be f32. */
typedef struct cbm_conv2d_options {
    uint64_t struct_size;
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    int64_t groups CBM_DEFAULT(1);
} cbm_conv2d_options;
CBM_API cbm_tensor *cbm_conv2d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                    const cbm_conv2d_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_CONV2D_DEFAULTS .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .groups = 1
#define CBM_CONV2D_(x, w, b, ...)                                                                                      \
    CBM_OPTIONS_(cbm_conv2d_options, cbm_conv2d_with(x, w, b, &cbm_o_), CBM_CONV2D_DEFAULTS, __VA_ARGS__)
/* cbm_conv2d(x, weight, bias, .padding = CBM_SHAPE(1)) */
#define cbm_conv2d(...) cbm_at(CBM_CONV2D_(__VA_ARGS__, .struct_size = sizeof(cbm_conv2d_options)), __FILE__, __LINE__)
#else
CBM_CPP_OPTIONS_(cbm_conv2d, cbm_conv2d_options,
                 (cbm_tensor * x, cbm_tensor *weight, cbm_tensor *bias, const cbm_conv2d_options &options = {}),
                 (x, weight, bias, &o))
#endif

#endif
