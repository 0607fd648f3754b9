/* nn/linear.h: layers that are products. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_LINEAR_H
#define CAMBIUM_NN_LINEAR_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* y = x weight^T + bias: (..., in) -> (..., out). weight (out, in) and bias (out) are uniform in +-1/sqrt(in). */
typedef struct cbm_nn_linear_options {
    uint64_t struct_size;
    uint64_t bias CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32); /* CBM_F32 or CBM_F64 */
} cbm_nn_linear_options;
CBM_API void cbm_nn_linear_options_init(cbm_nn_linear_options *options);
CBM_API cbm_module *cbm_nn_linear_with(cbm_context *cx, int64_t in, int64_t out, const cbm_nn_linear_options *options);

/* y_k = a^T weight_k b + bias_k: (..., in1), (..., in2) -> (..., out). weight (out, in1, in2) and bias (out; may be NULL). */
CBM_API cbm_tensor *cbm_bilinear(cbm_tensor *a, cbm_tensor *b, cbm_tensor *weight, cbm_tensor *bias);
/* Its layer; weight and bias are uniform in +-1/sqrt(in1). Called with two inputs by cbm_bilinear_call; cbm_call is an
   error. */
CBM_API cbm_module *cbm_nn_bilinear_with(cbm_context *cx, int64_t in1, int64_t in2, int64_t out,
                                         const cbm_nn_linear_options *options);
CBM_API cbm_tensor *cbm_bilinear_call(cbm_module *bilinear, cbm_tensor *a, cbm_tensor *b);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_LINEAR_DEFAULTS .bias = 1, .dtype = CBM_F32
#define CBM_NN_LINEAR_(cx, in, out, ...)                                                                               \
    CBM_OPTIONS_(cbm_nn_linear_options, cbm_nn_linear_with(cx, in, out, &cbm_o_), CBM_NN_LINEAR_DEFAULTS, __VA_ARGS__)
/* cbm_nn_linear(cx, 784, 10), cbm_nn_linear(cx, 784, 10, .bias = false) */
#define cbm_nn_linear(...) CBM_NN_LINEAR_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_linear_options))
#define CBM_NN_BILINEAR_(cx, in1, in2, out, ...)                                                                       \
    CBM_OPTIONS_(cbm_nn_linear_options, cbm_nn_bilinear_with(cx, in1, in2, out, &cbm_o_), CBM_NN_LINEAR_DEFAULTS,      \
                 __VA_ARGS__)
#define cbm_nn_bilinear(...) CBM_NN_BILINEAR_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_linear_options))
#else
CBM_CPP_MODULE_(cbm_nn_linear, cbm_nn_linear_options,
                (cbm_context * cx, int64_t in, int64_t out, const cbm_nn_linear_options &options = {}),
                (cx, in, out, &o))
CBM_CPP_MODULE_(cbm_nn_bilinear, cbm_nn_linear_options,
                (cbm_context * cx, int64_t in1, int64_t in2, int64_t out, const cbm_nn_linear_options &options = {}),
                (cx, in1, in2, out, &o))
#endif

#endif
