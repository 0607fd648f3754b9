/* nn/norm.h: normalisation. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_NORM_H
#define CAMBIUM_NN_NORM_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* cbm_batch_norm over axis 1: weight 1 and bias 0 (absent if affine is 0), buffers running_mean 0, running_var 1 and
   num_batches_tracked 0 (i64; all three absent if track_running_stats is 0: then evaluation uses the batch's statistics too).
   The 1d form takes (N, C) or (N, C, L), the 2d form (N, C, H, W), the 3d form (N, C, D, H, W). cumulative: running statistics
   are the mean over all batches; PyTorch's momentum=None. frozen: in training too the running statistics are used, and they, weight
   and bias stay as they are (for fine-tuning with small batches; it needs track_running_stats). */
typedef struct cbm_nn_batch_norm_options {
    uint64_t struct_size;
    double eps CBM_DEFAULT(1e-5);
    double momentum CBM_DEFAULT(0.1);
    uint64_t affine CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
    uint64_t track_running_stats CBM_DEFAULT(1);
    uint64_t cumulative CBM_DEFAULT(0);
    uint64_t frozen CBM_DEFAULT(0);
} cbm_nn_batch_norm_options;
CBM_API void cbm_nn_batch_norm_options_init(cbm_nn_batch_norm_options *options);
CBM_API cbm_module *cbm_nn_batch_norm1d_with(cbm_context *cx, int64_t channels,
                                             const cbm_nn_batch_norm_options *options);
CBM_API cbm_module *cbm_nn_batch_norm2d_with(cbm_context *cx, int64_t channels,
                                             const cbm_nn_batch_norm_options *options);
CBM_API cbm_module *cbm_nn_batch_norm3d_with(cbm_context *cx, int64_t channels,
                                             const cbm_nn_batch_norm_options *options);

/* cbm_instance_norm of (N, C, L), (N, C, H, W), (N, C, D, H, W): parameters and buffers as batch norm's, both absent unless
   asked for, as in PyTorch; num_batches_tracked stays 0. */
typedef struct cbm_nn_instance_norm_options {
    uint64_t struct_size;
    double eps CBM_DEFAULT(1e-5);
    double momentum CBM_DEFAULT(0.1);
    uint64_t affine CBM_DEFAULT(0);
    uint64_t track_running_stats CBM_DEFAULT(0);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_instance_norm_options;
CBM_API void cbm_nn_instance_norm_options_init(cbm_nn_instance_norm_options *options);
CBM_API cbm_module *cbm_nn_instance_norm1d_with(cbm_context *cx, int64_t channels,
                                                const cbm_nn_instance_norm_options *options);
CBM_API cbm_module *cbm_nn_instance_norm2d_with(cbm_context *cx, int64_t channels,
                                                const cbm_nn_instance_norm_options *options);
CBM_API cbm_module *cbm_nn_instance_norm3d_with(cbm_context *cx, int64_t channels,
                                                const cbm_nn_instance_norm_options *options);

/* cbm_group_norm of (N, channels, ...): weight 1 and bias 0 (channels; absent if affine is 0). */
typedef struct cbm_nn_group_norm_options {
    uint64_t struct_size;
    double eps CBM_DEFAULT(1e-5);
    uint64_t affine CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_group_norm_options;
CBM_API void cbm_nn_group_norm_options_init(cbm_nn_group_norm_options *options);
CBM_API cbm_module *cbm_nn_group_norm_with(cbm_context *cx, int64_t groups, int64_t channels,
                                           const cbm_nn_group_norm_options *options);

/* cbm_layer_norm of (..., normalized_shape): weight 1 and bias 0 of that shape (both absent if elementwise_affine is 0, the
   bias alone if bias is 0). */
typedef struct cbm_nn_layer_norm_options {
    uint64_t struct_size;
    double eps CBM_DEFAULT(1e-5);
    uint64_t elementwise_affine CBM_DEFAULT(1);
    uint64_t bias CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_layer_norm_options;
CBM_API void cbm_nn_layer_norm_options_init(cbm_nn_layer_norm_options *options);
CBM_API cbm_module *cbm_nn_layer_norm_with(cbm_context *cx, cbm_shape normalized_shape,
                                           const cbm_nn_layer_norm_options *options);

/* cbm_rms_norm: weight 1 (absent if elementwise_affine is 0). eps below 0: that of the input's type. */
typedef struct cbm_nn_rms_norm_options {
    uint64_t struct_size;
    double eps CBM_DEFAULT(-1);
    uint64_t elementwise_affine CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_rms_norm_options;
CBM_API void cbm_nn_rms_norm_options_init(cbm_nn_rms_norm_options *options);
CBM_API cbm_module *cbm_nn_rms_norm_with(cbm_context *cx, cbm_shape normalized_shape,
                                         const cbm_nn_rms_norm_options *options);

/* cbm_local_response_norm over `size` channels. */
typedef struct cbm_nn_local_response_norm_options {
    uint64_t struct_size;
    double alpha CBM_DEFAULT(1e-4);
    double beta CBM_DEFAULT(0.75);
    double k CBM_DEFAULT(1);
} cbm_nn_local_response_norm_options;
CBM_API void cbm_nn_local_response_norm_options_init(cbm_nn_local_response_norm_options *options);
CBM_API cbm_module *cbm_nn_local_response_norm_with(cbm_context *cx, int64_t size,
                                                    const cbm_nn_local_response_norm_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_BATCH_NORM_DEFAULTS                                                                                     \
    .eps = 1e-5, .momentum = 0.1, .affine = 1, .dtype = CBM_F32, .track_running_stats = 1, .cumulative = 0
#define CBM_NN_BATCH_NORM_(function, cx, channels, ...)                                                                \
    CBM_OPTIONS_(cbm_nn_batch_norm_options, function(cx, channels, &cbm_o_), CBM_NN_BATCH_NORM_DEFAULTS, __VA_ARGS__)
/* cbm_nn_batch_norm2d(cx, 64), cbm_nn_batch_norm2d(cx, 64, .momentum = 0.01) */
#define cbm_nn_batch_norm1d(...)                                                                                       \
    CBM_NN_BATCH_NORM_(cbm_nn_batch_norm1d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_batch_norm_options))
#define cbm_nn_batch_norm2d(...)                                                                                       \
    CBM_NN_BATCH_NORM_(cbm_nn_batch_norm2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_batch_norm_options))
#define cbm_nn_batch_norm3d(...)                                                                                       \
    CBM_NN_BATCH_NORM_(cbm_nn_batch_norm3d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_batch_norm_options))
#define CBM_NN_INSTANCE_NORM_DEFAULTS                                                                                  \
    .eps = 1e-5, .momentum = 0.1, .affine = 0, .track_running_stats = 0, .dtype = CBM_F32
#define CBM_NN_INSTANCE_NORM_(function, cx, channels, ...)                                                             \
    CBM_OPTIONS_(cbm_nn_instance_norm_options, function(cx, channels, &cbm_o_), CBM_NN_INSTANCE_NORM_DEFAULTS,         \
                 __VA_ARGS__)
/* cbm_nn_instance_norm2d(cx, 64, .affine = true) */
#define cbm_nn_instance_norm1d(...)                                                                                    \
    CBM_NN_INSTANCE_NORM_(cbm_nn_instance_norm1d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_instance_norm_options))
#define cbm_nn_instance_norm2d(...)                                                                                    \
    CBM_NN_INSTANCE_NORM_(cbm_nn_instance_norm2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_instance_norm_options))
#define cbm_nn_instance_norm3d(...)                                                                                    \
    CBM_NN_INSTANCE_NORM_(cbm_nn_instance_norm3d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_instance_norm_options))
#define CBM_NN_GROUP_NORM_DEFAULTS .eps = 1e-5, .affine = 1, .dtype = CBM_F32
#define CBM_NN_GROUP_NORM_(cx, groups, channels, ...)                                                                  \
    CBM_OPTIONS_(cbm_nn_group_norm_options, cbm_nn_group_norm_with(cx, groups, channels, &cbm_o_),                     \
                 CBM_NN_GROUP_NORM_DEFAULTS, __VA_ARGS__)
/* cbm_nn_group_norm(cx, 8, 64) */
#define cbm_nn_group_norm(...) CBM_NN_GROUP_NORM_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_group_norm_options))
#define CBM_NN_LAYER_NORM_DEFAULTS .eps = 1e-5, .elementwise_affine = 1, .bias = 1, .dtype = CBM_F32
#define CBM_NN_LAYER_NORM_(cx, shape, ...)                                                                             \
    CBM_OPTIONS_(cbm_nn_layer_norm_options, cbm_nn_layer_norm_with(cx, shape, &cbm_o_), CBM_NN_LAYER_NORM_DEFAULTS,    \
                 __VA_ARGS__)
/* cbm_nn_layer_norm(cx, CBM_SHAPE(256)) */
#define cbm_nn_layer_norm(...) CBM_NN_LAYER_NORM_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_layer_norm_options))
#define CBM_NN_RMS_NORM_DEFAULTS .eps = -1, .elementwise_affine = 1, .dtype = CBM_F32
#define CBM_NN_RMS_NORM_(cx, shape, ...)                                                                               \
    CBM_OPTIONS_(cbm_nn_rms_norm_options, cbm_nn_rms_norm_with(cx, shape, &cbm_o_), CBM_NN_RMS_NORM_DEFAULTS,          \
                 __VA_ARGS__)
/* cbm_nn_rms_norm(cx, CBM_SHAPE(256)) */
#define cbm_nn_rms_norm(...) CBM_NN_RMS_NORM_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_rms_norm_options))
#define CBM_NN_LOCAL_RESPONSE_NORM_DEFAULTS .alpha = 1e-4, .beta = 0.75, .k = 1
#define CBM_NN_LOCAL_RESPONSE_NORM_(cx, size, ...)                                                                     \
    CBM_OPTIONS_(cbm_nn_local_response_norm_options, cbm_nn_local_response_norm_with(cx, size, &cbm_o_),               \
                 CBM_NN_LOCAL_RESPONSE_NORM_DEFAULTS, __VA_ARGS__)
/* cbm_nn_local_response_norm(cx, 5) */
#define cbm_nn_local_response_norm(...)                                                                                \
    CBM_NN_LOCAL_RESPONSE_NORM_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_local_response_norm_options))
#else
CBM_CPP_MODULE_(cbm_nn_batch_norm1d, cbm_nn_batch_norm_options,
                (cbm_context * cx, int64_t channels, const cbm_nn_batch_norm_options &options = {}), (cx, channels, &o))
CBM_CPP_MODULE_(cbm_nn_batch_norm2d, cbm_nn_batch_norm_options,
                (cbm_context * cx, int64_t channels, const cbm_nn_batch_norm_options &options = {}), (cx, channels, &o))
CBM_CPP_MODULE_(cbm_nn_batch_norm3d, cbm_nn_batch_norm_options,
                (cbm_context * cx, int64_t channels, const cbm_nn_batch_norm_options &options = {}), (cx, channels, &o))
CBM_CPP_MODULE_(cbm_nn_instance_norm1d, cbm_nn_instance_norm_options,
                (cbm_context * cx, int64_t channels, const cbm_nn_instance_norm_options &options = {}),
                (cx, channels, &o))
CBM_CPP_MODULE_(cbm_nn_instance_norm2d, cbm_nn_instance_norm_options,
                (cbm_context * cx, int64_t channels, const cbm_nn_instance_norm_options &options = {}),
                (cx, channels, &o))
CBM_CPP_MODULE_(cbm_nn_instance_norm3d, cbm_nn_instance_norm_options,
                (cbm_context * cx, int64_t channels, const cbm_nn_instance_norm_options &options = {}),
                (cx, channels, &o))
CBM_CPP_MODULE_(cbm_nn_group_norm, cbm_nn_group_norm_options,
                (cbm_context * cx, int64_t groups, int64_t channels, const cbm_nn_group_norm_options &options = {}),
                (cx, groups, channels, &o))
CBM_CPP_MODULE_(cbm_nn_layer_norm, cbm_nn_layer_norm_options,
                (cbm_context * cx, cbm_shape shape, const cbm_nn_layer_norm_options &options = {}), (cx, shape, &o))
CBM_CPP_MODULE_(cbm_nn_rms_norm, cbm_nn_rms_norm_options,
                (cbm_context * cx, cbm_shape shape, const cbm_nn_rms_norm_options &options = {}), (cx, shape, &o))
CBM_CPP_MODULE_(cbm_nn_local_response_norm, cbm_nn_local_response_norm_options,
                (cbm_context * cx, int64_t size, const cbm_nn_local_response_norm_options &options = {}),
                (cx, size, &o))
#endif

#endif
