/* nn/norm.h: normalisation. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_NORM_H
#define CAMBIUM_NN_NORM_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* cbm_batch_norm over axis 1: weight 1 and bias 0 (absent if affine is 0), buffers running_mean 0, running_var 1 and
   num_batches_tracked 0 (i64). The 2d form takes (N, C, H, W), the 1d form (N, C) or (N, C, L). */
typedef struct cbm_nn_batch_norm_options {
    uint64_t struct_size;
    double eps CBM_DEFAULT(1e-5);
    double momentum CBM_DEFAULT(0.1);
    uint64_t affine CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_batch_norm_options;
CBM_API void cbm_nn_batch_norm_options_init(cbm_nn_batch_norm_options *options);
CBM_API cbm_module *cbm_nn_batch_norm2d_with(cbm_context *cx, int64_t channels,
                                             const cbm_nn_batch_norm_options *options);
CBM_API cbm_module *cbm_nn_batch_norm1d_with(cbm_context *cx, int64_t channels,
                                             const cbm_nn_batch_norm_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_BATCH_NORM_DEFAULTS .eps = 1e-5, .momentum = 0.1, .affine = 1, .dtype = CBM_F32
#define CBM_NN_BATCH_NORM_(function, cx, channels, ...)                                                                \
    CBM_OPTIONS_(cbm_nn_batch_norm_options, function(cx, channels, &cbm_o_), CBM_NN_BATCH_NORM_DEFAULTS, __VA_ARGS__)
/* cbm_nn_batch_norm2d(cx, 64), cbm_nn_batch_norm2d(cx, 64, .momentum = 0.01) */
#define cbm_nn_batch_norm2d(...)                                                                                       \
    CBM_NN_BATCH_NORM_(cbm_nn_batch_norm2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_batch_norm_options))
#define cbm_nn_batch_norm1d(...)                                                                                       \
    CBM_NN_BATCH_NORM_(cbm_nn_batch_norm1d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_batch_norm_options))
#else
CBM_CPP_MODULE_(cbm_nn_batch_norm2d, cbm_nn_batch_norm_options,
                (cbm_context * cx, int64_t channels, const cbm_nn_batch_norm_options &options = {}), (cx, channels, &o))
CBM_CPP_MODULE_(cbm_nn_batch_norm1d, cbm_nn_batch_norm_options,
                (cbm_context * cx, int64_t channels, const cbm_nn_batch_norm_options &options = {}), (cx, channels, &o))
#endif

#endif
