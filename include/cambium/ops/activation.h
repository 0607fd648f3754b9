/* ops/activation.h: activation functions, of floats. See ops.h for what holds for all operations. Values and slopes at kinks
   are PyTorch's, and so are the numbers given here as usual. Papers: see each operation's formula. */
#ifndef CAMBIUM_OPS_ACTIVATION_H
#define CAMBIUM_OPS_ACTIVATION_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* NaN stays NaN; but where weights do not change from run to run (inference), a ReLU behind a convolution may be done by oneDNN
   together with it, which makes 0 of NaN. */
CBM_API cbm_tensor *cbm_relu(cbm_tensor *x);                     /* max(x, 0) */
CBM_API cbm_tensor *cbm_relu6(cbm_tensor *x);                    /* min(max(x, 0), 6) */
CBM_API cbm_tensor *cbm_leaky_relu(cbm_tensor *x, double slope); /* x > 0 ? x : slope x; usually 0.01 */
/* x > 0 ? x : weight x; weight has one element, or one for each channel, which axis 1 of x counts. */
CBM_API cbm_tensor *cbm_prelu(cbm_tensor *x, cbm_tensor *weight);
CBM_API cbm_tensor *cbm_elu(cbm_tensor *x, double alpha);  /* x > 0 ? x : alpha (e^x - 1); usually 1 */
CBM_API cbm_tensor *cbm_celu(cbm_tensor *x, double alpha); /* x > 0 ? x : alpha (e^(x / alpha) - 1); not 0, usually 1 */
CBM_API cbm_tensor *cbm_selu(cbm_tensor *x);               /* 1.0507 elu(x, 1.6733) (Klambauer et al. 2017) */

CBM_API cbm_tensor *cbm_sigmoid(cbm_tensor *x);     /* 1 / (1 + e^-x) */
CBM_API cbm_tensor *cbm_log_sigmoid(cbm_tensor *x); /* log(sigmoid(x)), accurate for large |x| */
CBM_API cbm_tensor *cbm_softsign(cbm_tensor *x);    /* x / (1 + |x|) */
/* log(1 + e^(beta x)) / beta, or x where beta x > threshold; beta not 0; usually 1 and 20. */
CBM_API cbm_tensor *cbm_softplus(cbm_tensor *x, double beta, double threshold);

CBM_API cbm_tensor *cbm_gelu(cbm_tensor *x);      /* x Phi(x), the exact form */
CBM_API cbm_tensor *cbm_gelu_tanh(cbm_tensor *x); /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
CBM_API cbm_tensor *cbm_silu(cbm_tensor *x);      /* x sigmoid(x) */
CBM_API cbm_tensor *cbm_mish(cbm_tensor *x);      /* x tanh(softplus(x)) */
/* The first half of x along axis times the sigmoid of the second; the axis must have an even extent. (Dauphin et al. 2017) */
CBM_API cbm_tensor *cbm_glu(cbm_tensor *x, int64_t axis);

CBM_API cbm_tensor *cbm_hardtanh(cbm_tensor *x, double low, double high); /* min(max(x, low), high); usually -1 and 1 */
CBM_API cbm_tensor *cbm_hardsigmoid(cbm_tensor *x);                       /* relu6(x + 3) / 6 */
CBM_API cbm_tensor *cbm_hardswish(cbm_tensor *x);                         /* x relu6(x + 3) / 6 */
CBM_API cbm_tensor *cbm_hardshrink(cbm_tensor *x, double lambda);         /* |x| > lambda ? x : 0; usually 0.5 */
/* x > lambda ? x - lambda : x < -lambda ? x + lambda : 0; lambda not negative, usually 0.5. */
CBM_API cbm_tensor *cbm_softshrink(cbm_tensor *x, double lambda);
CBM_API cbm_tensor *cbm_tanhshrink(cbm_tensor *x);                                /* x - tanh(x) */
CBM_API cbm_tensor *cbm_threshold(cbm_tensor *x, double threshold, double value); /* x > threshold ? x : value */

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_relu(...) cbm_at(cbm_relu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_relu6(...) cbm_at(cbm_relu6(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_leaky_relu(...) cbm_at(cbm_leaky_relu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_prelu(...) cbm_at(cbm_prelu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_elu(...) cbm_at(cbm_elu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_celu(...) cbm_at(cbm_celu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_selu(...) cbm_at(cbm_selu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sigmoid(...) cbm_at(cbm_sigmoid(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_log_sigmoid(...) cbm_at(cbm_log_sigmoid(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_softsign(...) cbm_at(cbm_softsign(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_softplus(...) cbm_at(cbm_softplus(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_gelu(...) cbm_at(cbm_gelu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_gelu_tanh(...) cbm_at(cbm_gelu_tanh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_silu(...) cbm_at(cbm_silu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mish(...) cbm_at(cbm_mish(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_glu(...) cbm_at(cbm_glu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_hardtanh(...) cbm_at(cbm_hardtanh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_hardsigmoid(...) cbm_at(cbm_hardsigmoid(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_hardswish(...) cbm_at(cbm_hardswish(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_hardshrink(...) cbm_at(cbm_hardshrink(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_softshrink(...) cbm_at(cbm_softshrink(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_tanhshrink(...) cbm_at(cbm_tanhshrink(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_threshold(...) cbm_at(cbm_threshold(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
