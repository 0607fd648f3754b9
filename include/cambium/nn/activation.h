/* nn/activation.h: activations, each the function of its name (ops/activation.h, ops/elementwise.h, ops/reduce.h), which also
   says what its numbers usually are and refuses wrong ones when called. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_ACTIVATION_H
#define CAMBIUM_NN_ACTIVATION_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

CBM_API cbm_module *cbm_nn_relu(cbm_context *cx);
CBM_API cbm_module *cbm_nn_relu6(cbm_context *cx);
CBM_API cbm_module *cbm_nn_leaky_relu(cbm_context *cx, double slope);
CBM_API cbm_module *cbm_nn_elu(cbm_context *cx, double alpha);
CBM_API cbm_module *cbm_nn_celu(cbm_context *cx, double alpha);
CBM_API cbm_module *cbm_nn_selu(cbm_context *cx);

CBM_API cbm_module *cbm_nn_sigmoid(cbm_context *cx);
CBM_API cbm_module *cbm_nn_log_sigmoid(cbm_context *cx);
CBM_API cbm_module *cbm_nn_tanh(cbm_context *cx);
CBM_API cbm_module *cbm_nn_softsign(cbm_context *cx);
CBM_API cbm_module *cbm_nn_softplus(cbm_context *cx, double beta, double threshold);

CBM_API cbm_module *cbm_nn_gelu(cbm_context *cx);
CBM_API cbm_module *cbm_nn_gelu_tanh(cbm_context *cx);
CBM_API cbm_module *cbm_nn_silu(cbm_context *cx);
CBM_API cbm_module *cbm_nn_mish(cbm_context *cx);
CBM_API cbm_module *cbm_nn_glu(cbm_context *cx, int64_t axis);

CBM_API cbm_module *cbm_nn_hardtanh(cbm_context *cx, double low, double high);
CBM_API cbm_module *cbm_nn_hardsigmoid(cbm_context *cx);
CBM_API cbm_module *cbm_nn_hardswish(cbm_context *cx);
CBM_API cbm_module *cbm_nn_hardshrink(cbm_context *cx, double lambda);
CBM_API cbm_module *cbm_nn_softshrink(cbm_context *cx, double lambda);
CBM_API cbm_module *cbm_nn_tanhshrink(cbm_context *cx);
CBM_API cbm_module *cbm_nn_threshold(cbm_context *cx, double threshold, double value);

CBM_API cbm_module *cbm_nn_softmax(cbm_context *cx, int64_t axis);
CBM_API cbm_module *cbm_nn_softmin(cbm_context *cx, int64_t axis); /* softmax of -x */
CBM_API cbm_module *cbm_nn_log_softmax(cbm_context *cx, int64_t axis);

/* cbm_prelu with a parameter weight (count), all .initial: count 1, or the channels that axis 1 counts. */
typedef struct cbm_nn_prelu_options {
    uint64_t struct_size;
    double initial CBM_DEFAULT(0.25);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_prelu_options;
CBM_API void cbm_nn_prelu_options_init(cbm_nn_prelu_options *options);
CBM_API cbm_module *cbm_nn_prelu_with(cbm_context *cx, int64_t count, const cbm_nn_prelu_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_PRELU_DEFAULTS .initial = 0.25, .dtype = CBM_F32
#define CBM_NN_PRELU_(cx, count, ...)                                                                                  \
    CBM_OPTIONS_(cbm_nn_prelu_options, cbm_nn_prelu_with(cx, count, &cbm_o_), CBM_NN_PRELU_DEFAULTS, __VA_ARGS__)
/* cbm_nn_prelu(cx, 1), cbm_nn_prelu(cx, 32, .initial = 0.1) */
#define cbm_nn_prelu(...) CBM_NN_PRELU_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_prelu_options))
#else
CBM_CPP_MODULE_(cbm_nn_prelu, cbm_nn_prelu_options,
                (cbm_context * cx, int64_t count, const cbm_nn_prelu_options &options = {}), (cx, count, &o))
#endif

#endif
