/* nn/pool.h: pooling. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_POOL_H
#define CAMBIUM_NN_POOL_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* cbm_max_pool2d and its like as layers; kernel, or .kernel = CBM_SHAPE(2, 3); stride defaults to the kernel. See ops/pool.h
   for the options. keep_indices (max): the layer keeps where the maxima of its latest call were, for a max_unpool; what is
   kept lives until that, or the next call. */
typedef struct cbm_nn_pool_options {
    uint64_t struct_size;
    cbm_shape kernel CBM_DEFAULT({});
    cbm_shape stride CBM_DEFAULT({});
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    uint64_t ceil_mode CBM_DEFAULT(0);
    uint64_t exclude_pad CBM_DEFAULT(0);
    int64_t divisor_override CBM_DEFAULT(0);
    uint64_t keep_indices CBM_DEFAULT(0);
} cbm_nn_pool_options;
CBM_API void cbm_nn_pool_options_init(cbm_nn_pool_options *options);
CBM_API cbm_module *cbm_nn_max_pool1d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool_options *options);
CBM_API cbm_module *cbm_nn_max_pool2d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool_options *options);
CBM_API cbm_module *cbm_nn_max_pool3d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool_options *options);
CBM_API cbm_module *cbm_nn_avg_pool1d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool_options *options);
CBM_API cbm_module *cbm_nn_avg_pool2d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool_options *options);
CBM_API cbm_module *cbm_nn_avg_pool3d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool_options *options);
/* p: of the norm. Of the options kernel, stride and ceil_mode count. */
CBM_API cbm_module *cbm_nn_lp_pool1d_with(cbm_context *cx, double p, int64_t kernel,
                                          const cbm_nn_pool_options *options);
CBM_API cbm_module *cbm_nn_lp_pool2d_with(cbm_context *cx, double p, int64_t kernel,
                                          const cbm_nn_pool_options *options);
CBM_API cbm_module *cbm_nn_lp_pool3d_with(cbm_context *cx, double p, int64_t kernel,
                                          const cbm_nn_pool_options *options);

/* The same over features: y[n, c] = (sum of |x[n, c stride + i]|^p over i < size)^(1/p) at each place of x (N, C, ...), windows of
   neighbouring channels; the lecture's "L2 over features" with p = 2. */
CBM_API cbm_module *cbm_nn_feature_lp_pool(cbm_context *cx, double p, int64_t size, int64_t stride);

/* Puts the elements of its input where those of the latest input of pool came from, a max_pool layer with keep_indices, zeros
   elsewhere; the result has that input's extents. An error if pool has not been called since the last time. */
CBM_API cbm_module *cbm_nn_max_unpool(cbm_context *cx, cbm_module *pool);

/* To a size: output holds one value for all dimensions, or one for each; -1: the input's own extent. */
CBM_API cbm_module *cbm_nn_adaptive_avg_pool1d(cbm_context *cx, cbm_shape output);
CBM_API cbm_module *cbm_nn_adaptive_avg_pool2d(cbm_context *cx, cbm_shape output);
CBM_API cbm_module *cbm_nn_adaptive_avg_pool3d(cbm_context *cx, cbm_shape output);
CBM_API cbm_module *cbm_nn_adaptive_max_pool1d(cbm_context *cx, cbm_shape output);
CBM_API cbm_module *cbm_nn_adaptive_max_pool2d(cbm_context *cx, cbm_shape output);
CBM_API cbm_module *cbm_nn_adaptive_max_pool3d(cbm_context *cx, cbm_shape output);

/* The mean, or the largest, of all places: (N, C, ...) -> (N, C, 1, ..), as PyTorch's AdaptiveAvgPool2d(1). */
CBM_API cbm_module *cbm_nn_global_avg_pool1d(cbm_context *cx);
CBM_API cbm_module *cbm_nn_global_avg_pool2d(cbm_context *cx);
CBM_API cbm_module *cbm_nn_global_avg_pool3d(cbm_context *cx);
CBM_API cbm_module *cbm_nn_global_max_pool1d(cbm_context *cx);
CBM_API cbm_module *cbm_nn_global_max_pool2d(cbm_context *cx);
CBM_API cbm_module *cbm_nn_global_max_pool3d(cbm_context *cx);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_POOL_DEFAULTS                                                                                           \
    .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .ceil_mode = 0, .exclude_pad = 0, .divisor_override = 0,        \
    .keep_indices = 0
#define CBM_NN_POOL_(function, cx, kernel, ...)                                                                        \
    CBM_OPTIONS_(cbm_nn_pool_options, function(cx, kernel, &cbm_o_), CBM_NN_POOL_DEFAULTS, __VA_ARGS__)
/* cbm_nn_max_pool2d(cx, 3, .stride = CBM_SHAPE(2)) */
#define cbm_nn_max_pool1d(...)                                                                                         \
    CBM_NN_POOL_(cbm_nn_max_pool1d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#define cbm_nn_max_pool2d(...)                                                                                         \
    CBM_NN_POOL_(cbm_nn_max_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#define cbm_nn_max_pool3d(...)                                                                                         \
    CBM_NN_POOL_(cbm_nn_max_pool3d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#define cbm_nn_avg_pool1d(...)                                                                                         \
    CBM_NN_POOL_(cbm_nn_avg_pool1d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#define cbm_nn_avg_pool2d(...)                                                                                         \
    CBM_NN_POOL_(cbm_nn_avg_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#define cbm_nn_avg_pool3d(...)                                                                                         \
    CBM_NN_POOL_(cbm_nn_avg_pool3d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#define CBM_NN_LP_POOL_(function, cx, p, kernel, ...)                                                                  \
    CBM_OPTIONS_(cbm_nn_pool_options, function(cx, p, kernel, &cbm_o_), CBM_NN_POOL_DEFAULTS, __VA_ARGS__)
/* cbm_nn_lp_pool2d(cx, 2, 3) */
#define cbm_nn_lp_pool1d(...)                                                                                          \
    CBM_NN_LP_POOL_(cbm_nn_lp_pool1d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#define cbm_nn_lp_pool2d(...)                                                                                          \
    CBM_NN_LP_POOL_(cbm_nn_lp_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#define cbm_nn_lp_pool3d(...)                                                                                          \
    CBM_NN_LP_POOL_(cbm_nn_lp_pool3d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool_options))
#else
#define CBM_CPP_POOL_(name)                                                                                            \
    CBM_CPP_MODULE_(name, cbm_nn_pool_options,                                                                         \
                    (cbm_context * cx, int64_t kernel, const cbm_nn_pool_options &options = {}), (cx, kernel, &o))
#define CBM_CPP_LP_POOL_(name)                                                                                         \
    CBM_CPP_MODULE_(name, cbm_nn_pool_options,                                                                         \
                    (cbm_context * cx, double p, int64_t kernel, const cbm_nn_pool_options &options = {}),             \
                    (cx, p, kernel, &o))
CBM_CPP_POOL_(cbm_nn_max_pool1d)
CBM_CPP_POOL_(cbm_nn_max_pool2d)
CBM_CPP_POOL_(cbm_nn_max_pool3d)
CBM_CPP_POOL_(cbm_nn_avg_pool1d)
CBM_CPP_POOL_(cbm_nn_avg_pool2d)
CBM_CPP_POOL_(cbm_nn_avg_pool3d)
CBM_CPP_LP_POOL_(cbm_nn_lp_pool1d)
CBM_CPP_LP_POOL_(cbm_nn_lp_pool2d)
CBM_CPP_LP_POOL_(cbm_nn_lp_pool3d)
#undef CBM_CPP_POOL_
#undef CBM_CPP_LP_POOL_
#endif

#endif
