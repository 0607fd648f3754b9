/* nn/pool.h: pooling. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_POOL_H
#define CAMBIUM_NN_POOL_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Pooling windows; stride defaults to the kernel. exclude_pad: the average does not count padded zeros. */
typedef struct cbm_nn_pool2d_options {
    uint64_t struct_size;
    cbm_shape kernel CBM_DEFAULT({});
    cbm_shape stride CBM_DEFAULT({});
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    uint64_t exclude_pad CBM_DEFAULT(0);
} cbm_nn_pool2d_options;
CBM_API void cbm_nn_pool2d_options_init(cbm_nn_pool2d_options *options);
CBM_API cbm_module *cbm_nn_max_pool2d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool2d_options *options);
CBM_API cbm_module *cbm_nn_avg_pool2d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool2d_options *options);

/* The mean over height and width: (N, C, H, W) -> (N, C, 1, 1), as PyTorch's AdaptiveAvgPool2d(1). */
CBM_API cbm_module *cbm_nn_global_avg_pool2d(cbm_context *cx);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_POOL2D_DEFAULTS .padding = { { 1, 0 } }, .exclude_pad = 0
#define CBM_NN_POOL2D_(function, cx, kernel, ...)                                                                      \
    CBM_OPTIONS_(cbm_nn_pool2d_options, function(cx, kernel, &cbm_o_), CBM_NN_POOL2D_DEFAULTS, __VA_ARGS__)
/* cbm_nn_max_pool2d(cx, 3, .stride = CBM_SHAPE(2)) */
#define cbm_nn_max_pool2d(...)                                                                                         \
    CBM_NN_POOL2D_(cbm_nn_max_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool2d_options))
#define cbm_nn_avg_pool2d(...)                                                                                         \
    CBM_NN_POOL2D_(cbm_nn_avg_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool2d_options))
#else
CBM_CPP_MODULE_(cbm_nn_max_pool2d, cbm_nn_pool2d_options,
                (cbm_context * cx, int64_t kernel, const cbm_nn_pool2d_options &options = {}), (cx, kernel, &o))
CBM_CPP_MODULE_(cbm_nn_avg_pool2d, cbm_nn_pool2d_options,
                (cbm_context * cx, int64_t kernel, const cbm_nn_pool2d_options &options = {}), (cx, kernel, &o))
#endif

#endif
