/* nn/conv.h: convolutions and transposed convolutions. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_CONV_H
#define CAMBIUM_NN_CONV_H

#include <cambium/nn/module.h>
#include <cambium/ops/move.h>

CBM_BEGIN_DECLS

/* cbm_conv1d, cbm_conv2d, cbm_conv3d with a weight (out, in / groups, kernel, ..) and a bias (out), uniform in
   +-1/sqrt(fan in). .kernel = CBM_SHAPE(3, 5) makes it oblong; lists hold one value, or one for each dimension (depth, height,
   width). same: as many places as the input (strides of 1). padding_mode, a cbm_pad_mode: what stands in the padding; of
   CONSTANT zeros, of the others what cbm_pad puts there. */
typedef struct cbm_nn_conv_options {
    uint64_t struct_size;
    cbm_shape kernel CBM_DEFAULT({});
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    int64_t groups CBM_DEFAULT(1);
    uint64_t bias CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
    uint64_t same CBM_DEFAULT(0);
    uint64_t padding_mode CBM_DEFAULT(CBM_PAD_CONSTANT);
} cbm_nn_conv_options;
CBM_API void cbm_nn_conv_options_init(cbm_nn_conv_options *options);
CBM_API cbm_module *cbm_nn_conv1d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                       const cbm_nn_conv_options *options);
CBM_API cbm_module *cbm_nn_conv2d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                       const cbm_nn_conv_options *options);
CBM_API cbm_module *cbm_nn_conv3d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                       const cbm_nn_conv_options *options);

/* cbm_conv_transpose1d and so on with a weight (in, out / groups, kernel, ..) and a bias (out), uniform in
   +-1/sqrt(out / groups * places of the kernel), as in PyTorch. */
typedef struct cbm_nn_conv_transpose_options {
    uint64_t struct_size;
    cbm_shape kernel CBM_DEFAULT({});
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape output_padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    int64_t groups CBM_DEFAULT(1);
    uint64_t bias CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_conv_transpose_options;
CBM_API void cbm_nn_conv_transpose_options_init(cbm_nn_conv_transpose_options *options);
CBM_API cbm_module *cbm_nn_conv_transpose1d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                                 const cbm_nn_conv_transpose_options *options);
CBM_API cbm_module *cbm_nn_conv_transpose2d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                                 const cbm_nn_conv_transpose_options *options);
CBM_API cbm_module *cbm_nn_conv_transpose3d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                                 const cbm_nn_conv_transpose_options *options);

/* Locally connected: a convolution whose every place has weights of its own, for pictures (N, in, height, width) of these extents.
   With L places of the result, row by row, and K = in kernel height kernel width: weight (L, K, out), bias (out, result's height,
   result's width), uniform in +-1/sqrt(K). y[n, o, l] = sum over k of weight[l, k, o] x[n, patch l, k] + bias[o, l], patches as in
   cbm_unfold. */
typedef struct cbm_nn_locally_connected_options {
    uint64_t struct_size;
    cbm_shape kernel CBM_DEFAULT({});
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    uint64_t bias CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_locally_connected_options;
CBM_API void cbm_nn_locally_connected_options_init(cbm_nn_locally_connected_options *options);
CBM_API cbm_module *cbm_nn_locally_connected2d_with(cbm_context *cx, int64_t in, int64_t out, int64_t height,
                                                    int64_t width, int64_t kernel,
                                                    const cbm_nn_locally_connected_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_LOCALLY_CONNECTED_DEFAULTS                                                                              \
    .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .bias = 1, .dtype = CBM_F32
#define CBM_NN_LOCALLY_CONNECTED_(cx, in, out, height, width, kernel, ...)                                             \
    CBM_OPTIONS_(cbm_nn_locally_connected_options,                                                                     \
                 cbm_nn_locally_connected2d_with(cx, in, out, height, width, kernel, &cbm_o_),                         \
                 CBM_NN_LOCALLY_CONNECTED_DEFAULTS, __VA_ARGS__)
/* cbm_nn_locally_connected2d(cx, 1, 1, 200, 200, 10, .bias = false) */
#define cbm_nn_locally_connected2d(...)                                                                                \
    CBM_NN_LOCALLY_CONNECTED_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_locally_connected_options))
#define CBM_NN_CONV_DEFAULTS                                                                                           \
    .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .groups = 1, .bias = 1,                 \
    .dtype = CBM_F32, .same = 0, .padding_mode = CBM_PAD_CONSTANT
#define CBM_NN_CONV_(function, cx, in, out, kernel, ...)                                                               \
    CBM_OPTIONS_(cbm_nn_conv_options, function(cx, in, out, kernel, &cbm_o_), CBM_NN_CONV_DEFAULTS, __VA_ARGS__)
/* cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_conv2d(cx, 3, 64, 3, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1)) */
#define cbm_nn_conv1d(...) CBM_NN_CONV_(cbm_nn_conv1d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_conv_options))
#define cbm_nn_conv2d(...) CBM_NN_CONV_(cbm_nn_conv2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_conv_options))
#define cbm_nn_conv3d(...) CBM_NN_CONV_(cbm_nn_conv3d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_conv_options))

#define CBM_NN_CONV_TRANSPOSE_DEFAULTS                                                                                 \
    .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .output_padding = { { 1, 0 } }, .dilation = { { 1, 1 } },         \
    .groups = 1, .bias = 1, .dtype = CBM_F32
#define CBM_NN_CONV_TRANSPOSE_(function, cx, in, out, kernel, ...)                                                     \
    CBM_OPTIONS_(cbm_nn_conv_transpose_options, function(cx, in, out, kernel, &cbm_o_),                                \
                 CBM_NN_CONV_TRANSPOSE_DEFAULTS, __VA_ARGS__)
/* cbm_nn_conv_transpose2d(cx, 64, 32, 2, .stride = CBM_SHAPE(2)) */
#define cbm_nn_conv_transpose1d(...)                                                                                   \
    CBM_NN_CONV_TRANSPOSE_(cbm_nn_conv_transpose1d_with, __VA_ARGS__,                                                  \
                           .struct_size = sizeof(cbm_nn_conv_transpose_options))
#define cbm_nn_conv_transpose2d(...)                                                                                   \
    CBM_NN_CONV_TRANSPOSE_(cbm_nn_conv_transpose2d_with, __VA_ARGS__,                                                  \
                           .struct_size = sizeof(cbm_nn_conv_transpose_options))
#define cbm_nn_conv_transpose3d(...)                                                                                   \
    CBM_NN_CONV_TRANSPOSE_(cbm_nn_conv_transpose3d_with, __VA_ARGS__,                                                  \
                           .struct_size = sizeof(cbm_nn_conv_transpose_options))
#else
#define CBM_CPP_CONV_(name, type)                                                                                      \
    CBM_CPP_MODULE_(name, type, (cbm_context * cx, int64_t in, int64_t out, int64_t kernel, const type &options = {}), \
                    (cx, in, out, kernel, &o))
CBM_CPP_CONV_(cbm_nn_conv1d, cbm_nn_conv_options)
CBM_CPP_CONV_(cbm_nn_conv2d, cbm_nn_conv_options)
CBM_CPP_CONV_(cbm_nn_conv3d, cbm_nn_conv_options)
CBM_CPP_CONV_(cbm_nn_conv_transpose1d, cbm_nn_conv_transpose_options)
CBM_CPP_CONV_(cbm_nn_conv_transpose2d, cbm_nn_conv_transpose_options)
CBM_CPP_CONV_(cbm_nn_conv_transpose3d, cbm_nn_conv_transpose_options)
#undef CBM_CPP_CONV_
CBM_CPP_MODULE_(cbm_nn_locally_connected2d, cbm_nn_locally_connected_options,
                (cbm_context * cx, int64_t in, int64_t out, int64_t height, int64_t width, int64_t kernel,
                 const cbm_nn_locally_connected_options &options = {}),
                (cx, in, out, height, width, kernel, &o))
#endif

#endif
