/* ops/pool.h: pooling in one, two and three dimensions. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_POOL_H
#define CAMBIUM_OPS_POOL_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Pooling: x (N, C, L), (N, C, H, W) or (N, C, D, H, W), floats -> the same with L' places,
   L' = floor((L + 2 padding - dilation (kernel - 1) - 1) / stride) + 1. Lists hold one value for all dimensions, or one for
   each (depth, height, width). stride defaults to the kernel; padding is at most half the kernel. ceil_mode: rounded up
   instead, so that a last window, which must begin within x or the zeros before it, may reach over the end.
   max: NaN is the greatest; the first of equals takes the gradient. avg: the mean of a window, which counts padded zeros (not
   what lies beyond those) unless exclude_pad is set; with divisor_override, the sum divided by that. Averages take no
   dilation, maxima neither exclude_pad nor divisor_override. */
typedef struct cbm_pool_options {
    uint64_t struct_size;
    cbm_shape stride CBM_DEFAULT({});
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    uint64_t ceil_mode CBM_DEFAULT(0);
    uint64_t exclude_pad CBM_DEFAULT(0);
    int64_t divisor_override CBM_DEFAULT(0);
} cbm_pool_options;
CBM_API cbm_tensor *cbm_max_pool1d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options);
CBM_API cbm_tensor *cbm_max_pool2d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options);
CBM_API cbm_tensor *cbm_max_pool3d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options);
CBM_API cbm_tensor *cbm_avg_pool1d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options);
CBM_API cbm_tensor *cbm_avg_pool2d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options);
CBM_API cbm_tensor *cbm_avg_pool3d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options);

/* max_pool that also says where: *indices (i64, of the result's shape) is the index of each maximum among the places of its
   channel, counted row by row, as max_unpool and PyTorch's return_indices have it. options may be NULL. */
CBM_API cbm_tensor *cbm_max_pool1d_with_indices(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options,
                                                cbm_tensor **indices);
CBM_API cbm_tensor *cbm_max_pool2d_with_indices(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options,
                                                cbm_tensor **indices);
CBM_API cbm_tensor *cbm_max_pool3d_with_indices(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options,
                                                cbm_tensor **indices);
/* The other way round: zeros of shape (N, C, then output), x at its indices. Of equal indices in a channel the last in order
   stays, and each takes the gradient. Errors: an index outside of output, when computed. */
CBM_API cbm_tensor *cbm_max_unpool(cbm_tensor *x, cbm_tensor *indices, cbm_shape output);

/* (sum over a window of x^p)^(1/p); of the options stride and ceil_mode count. p > 0. */
CBM_API cbm_tensor *cbm_lp_pool1d_with(cbm_tensor *x, double p, cbm_shape kernel, const cbm_pool_options *options);
CBM_API cbm_tensor *cbm_lp_pool2d_with(cbm_tensor *x, double p, cbm_shape kernel, const cbm_pool_options *options);
CBM_API cbm_tensor *cbm_lp_pool3d_with(cbm_tensor *x, double p, cbm_shape kernel, const cbm_pool_options *options);

/* Pooling to a size: result i of M along an axis of length L takes the places floor(i L / M) to ceil((i + 1) L / M) - 1.
   output holds one value for all dimensions, or one for each; -1 keeps x's extent. indices may be NULL. */
CBM_API cbm_tensor *cbm_adaptive_avg_pool1d(cbm_tensor *x, cbm_shape output);
CBM_API cbm_tensor *cbm_adaptive_avg_pool2d(cbm_tensor *x, cbm_shape output);
CBM_API cbm_tensor *cbm_adaptive_avg_pool3d(cbm_tensor *x, cbm_shape output);
CBM_API cbm_tensor *cbm_adaptive_max_pool1d(cbm_tensor *x, cbm_shape output, cbm_tensor **indices);
CBM_API cbm_tensor *cbm_adaptive_max_pool2d(cbm_tensor *x, cbm_shape output, cbm_tensor **indices);
CBM_API cbm_tensor *cbm_adaptive_max_pool3d(cbm_tensor *x, cbm_shape output, cbm_tensor **indices);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_POOL_DEFAULTS                                                                                              \
    .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .ceil_mode = 0, .exclude_pad = 0, .divisor_override = 0
#define CBM_POOL_(function, x, k, ...)                                                                                 \
    CBM_OPTIONS_(cbm_pool_options, function(x, k, &cbm_o_), CBM_POOL_DEFAULTS, __VA_ARGS__)
#define CBM_POOL_AT_(function, ...)                                                                                    \
    cbm_at(CBM_POOL_(function, __VA_ARGS__, .struct_size = sizeof(cbm_pool_options)), __FILE__, __LINE__)
/* cbm_max_pool2d(x, CBM_SHAPE(2), .stride = CBM_SHAPE(1)) */
#define cbm_max_pool1d(...) CBM_POOL_AT_(cbm_max_pool1d_with, __VA_ARGS__)
#define cbm_max_pool2d(...) CBM_POOL_AT_(cbm_max_pool2d_with, __VA_ARGS__)
#define cbm_max_pool3d(...) CBM_POOL_AT_(cbm_max_pool3d_with, __VA_ARGS__)
#define cbm_avg_pool1d(...) CBM_POOL_AT_(cbm_avg_pool1d_with, __VA_ARGS__)
#define cbm_avg_pool2d(...) CBM_POOL_AT_(cbm_avg_pool2d_with, __VA_ARGS__)
#define cbm_avg_pool3d(...) CBM_POOL_AT_(cbm_avg_pool3d_with, __VA_ARGS__)
#define CBM_LP_POOL_(function, x, p, k, ...)                                                                           \
    CBM_OPTIONS_(cbm_pool_options, function(x, p, k, &cbm_o_), CBM_POOL_DEFAULTS, __VA_ARGS__)
#define CBM_LP_POOL_AT_(function, ...)                                                                                 \
    cbm_at(CBM_LP_POOL_(function, __VA_ARGS__, .struct_size = sizeof(cbm_pool_options)), __FILE__, __LINE__)
/* cbm_lp_pool2d(x, 2, CBM_SHAPE(3), .stride = CBM_SHAPE(2)) */
#define cbm_lp_pool1d(...) CBM_LP_POOL_AT_(cbm_lp_pool1d_with, __VA_ARGS__)
#define cbm_lp_pool2d(...) CBM_LP_POOL_AT_(cbm_lp_pool2d_with, __VA_ARGS__)
#define cbm_lp_pool3d(...) CBM_LP_POOL_AT_(cbm_lp_pool3d_with, __VA_ARGS__)
#else
#define CBM_CPP_POOL_(name)                                                                                            \
    CBM_CPP_OPTIONS_(name, cbm_pool_options, (cbm_tensor * x, cbm_shape kernel, const cbm_pool_options &options = {}), \
                     (x, kernel, &o))
#define CBM_CPP_LP_POOL_(name)                                                                                         \
    CBM_CPP_OPTIONS_(name, cbm_pool_options,                                                                           \
                     (cbm_tensor * x, double p, cbm_shape kernel, const cbm_pool_options &options = {}),               \
                     (x, p, kernel, &o))
CBM_CPP_POOL_(cbm_max_pool1d)
CBM_CPP_POOL_(cbm_max_pool2d)
CBM_CPP_POOL_(cbm_max_pool3d)
CBM_CPP_POOL_(cbm_avg_pool1d)
CBM_CPP_POOL_(cbm_avg_pool2d)
CBM_CPP_POOL_(cbm_avg_pool3d)
CBM_CPP_LP_POOL_(cbm_lp_pool1d)
CBM_CPP_LP_POOL_(cbm_lp_pool2d)
CBM_CPP_LP_POOL_(cbm_lp_pool3d)
#undef CBM_CPP_POOL_
#undef CBM_CPP_LP_POOL_
#endif

#ifndef CBM_NO_CALL_SITES
#define cbm_max_pool1d_with_indices(...) cbm_at(cbm_max_pool1d_with_indices(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_max_pool2d_with_indices(...) cbm_at(cbm_max_pool2d_with_indices(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_max_pool3d_with_indices(...) cbm_at(cbm_max_pool3d_with_indices(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_max_unpool(...) cbm_at(cbm_max_unpool(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_adaptive_avg_pool1d(...) cbm_at(cbm_adaptive_avg_pool1d(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_adaptive_avg_pool2d(...) cbm_at(cbm_adaptive_avg_pool2d(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_adaptive_avg_pool3d(...) cbm_at(cbm_adaptive_avg_pool3d(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_adaptive_max_pool1d(...) cbm_at(cbm_adaptive_max_pool1d(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_adaptive_max_pool2d(...) cbm_at(cbm_adaptive_max_pool2d(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_adaptive_max_pool3d(...) cbm_at(cbm_adaptive_max_pool3d(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
