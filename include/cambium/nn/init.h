/* nn/init.h: initial values. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_INIT_H
#define CAMBIUM_NN_INIT_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Fills a variable again: uniform in [-bound, bound], normal, or one value. */
CBM_API void cbm_init_uniform(cbm_tensor *variable, double bound);
CBM_API void cbm_init_normal(cbm_tensor *variable, double deviation);
CBM_API void cbm_init_constant(cbm_tensor *variable, double value);

/* With a tensor of two dimensions or more, fan in is the number of numbers that go into one output (extent 1 times the
   kernel), fan out extent 0 times the kernel. An error, and nothing filled, with fewer dimensions. */
typedef enum cbm_fan { CBM_FAN_IN = 0, CBM_FAN_OUT = 1 } cbm_fan;
/* PyTorch's gains: "linear", "sigmoid", "conv" 1; "tanh" 5/3; "relu" sqrt(2); "leaky_relu" sqrt(2 / (1 + slope^2)); "selu"
   3/4. NaN for another name. */
CBM_API double cbm_init_gain(const char *nonlinearity, double slope);
/* Kaiming (He et al. 2015): deviation gain / sqrt(fan); uniform: in +-gain sqrt(3 / fan). */
CBM_API void cbm_init_kaiming_uniform(cbm_tensor *variable, double gain, cbm_fan fan);
CBM_API void cbm_init_kaiming_normal(cbm_tensor *variable, double gain, cbm_fan fan);
/* Xavier (Glorot and Bengio 2010): deviation gain sqrt(2 / (fan in + fan out)); uniform: in +- sqrt(3) times it. */
CBM_API void cbm_init_xavier_uniform(cbm_tensor *variable, double gain);
CBM_API void cbm_init_xavier_normal(cbm_tensor *variable, double gain);
/* Normal, with what lies outside [low, high] drawn again. low < high, not both more than 8 deviations from mean on the same side. */
CBM_API void cbm_init_truncated_normal(cbm_tensor *variable, double mean, double deviation, double low, double high);
/* The matrix (extent 0, all the rest) gets orthonormal rows or columns, whichever are fewer, times gain (Saxe et al. 2013). */
CBM_API void cbm_init_orthogonal(cbm_tensor *variable, double gain);
/* A matrix, normal but for the fraction sparsity of each column (rounded up), which is zero (Martens 2010). */
CBM_API void cbm_init_sparse(cbm_tensor *variable, double sparsity, double deviation);
/* A matrix: 1 on the diagonal, 0 elsewhere. */
CBM_API void cbm_init_identity(cbm_tensor *variable);
/* A kernel of 3 to 5 dimensions (out, in / groups, ...) that passes channel i on as channel i in each group, as far as there are both. */
CBM_API void cbm_init_dirac(cbm_tensor *variable, int64_t groups);

CBM_END_DECLS

#endif
