/* ops/pool.h: pooling. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_POOL_H
#define CAMBIUM_OPS_POOL_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Pooling: x (N, C, H, W) -> (N, C, H', W'). stride defaults to the kernel. Padding at most half the kernel. The average
   counts padded zeros (count_include_pad) unless told otherwise. */
typedef struct cbm_pool2d_options {
    uint64_t struct_size;
    cbm_shape stride CBM_DEFAULT({});
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    uint64_t exclude_pad CBM_DEFAULT(0);
} cbm_pool2d_options;
CBM_API cbm_tensor *cbm_max_pool2d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool2d_options *options);
CBM_API cbm_tensor *cbm_avg_pool2d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool2d_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_POOL2D_DEFAULTS .padding = { { 1, 0 } }, .exclude_pad = 0
#define CBM_POOL2D_(function, x, k, ...)                                                                               \
    CBM_OPTIONS_(cbm_pool2d_options, function(x, k, &cbm_o_), CBM_POOL2D_DEFAULTS, __VA_ARGS__)
/* cbm_max_pool2d(x, CBM_SHAPE(2), .stride = CBM_SHAPE(1)) */
#define cbm_max_pool2d(...)                                                                                            \
    cbm_at(CBM_POOL2D_(cbm_max_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_pool2d_options)), __FILE__, __LINE__)
#define cbm_avg_pool2d(...)                                                                                            \
    cbm_at(CBM_POOL2D_(cbm_avg_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_pool2d_options)), __FILE__, __LINE__)
#else
CBM_CPP_OPTIONS_(cbm_max_pool2d, cbm_pool2d_options,
                 (cbm_tensor * x, cbm_shape kernel, const cbm_pool2d_options &options = {}), (x, kernel, &o))
CBM_CPP_OPTIONS_(cbm_avg_pool2d, cbm_pool2d_options,
                 (cbm_tensor * x, cbm_shape kernel, const cbm_pool2d_options &options = {}), (x, kernel, &o))
#endif

#endif
