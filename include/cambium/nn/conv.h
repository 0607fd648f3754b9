/* nn/conv.h: convolutions. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_CONV_H
#define CAMBIUM_NN_CONV_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* cbm_conv2d with a weight (out, in / groups, kernel, kernel) and a bias (out), uniform in +-1/sqrt(fan in).
   .kernel = CBM_SHAPE(3, 5) makes it oblong; lists hold one value or two (height, width). */
typedef struct cbm_nn_conv2d_options {
    uint64_t struct_size;
    cbm_shape kernel CBM_DEFAULT({});
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    int64_t groups CBM_DEFAULT(1);
    uint64_t bias CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_conv2d_options;
CBM_API void cbm_nn_conv2d_options_init(cbm_nn_conv2d_options *options);
CBM_API cbm_module *cbm_nn_conv2d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                       const cbm_nn_conv2d_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_CONV2D_DEFAULTS                                                                                         \
    .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .groups = 1, .bias = 1, .dtype = CBM_F32
#define CBM_NN_CONV2D_(cx, in, out, kernel, ...)                                                                       \
    CBM_OPTIONS_(cbm_nn_conv2d_options, cbm_nn_conv2d_with(cx, in, out, kernel, &cbm_o_), CBM_NN_CONV2D_DEFAULTS,      \
                 __VA_ARGS__)
/* cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_conv2d(cx, 3, 64, 3, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1)) */
#define cbm_nn_conv2d(...) CBM_NN_CONV2D_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_conv2d_options))
#else
CBM_CPP_MODULE_(cbm_nn_conv2d, cbm_nn_conv2d_options,
                (cbm_context * cx, int64_t in, int64_t out, int64_t kernel, const cbm_nn_conv2d_options &options = {}),
                (cx, in, out, kernel, &o))
#endif

#endif
