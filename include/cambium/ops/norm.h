/* ops/norm.h: normalisation. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_NORM_H
#define CAMBIUM_OPS_NORM_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Batch normalisation over every axis but 1 (Ioffe and Szegedy 2015): y = (x - mean) / sqrt(var + eps) * weight + bias.
   training: batch statistics (biased variance); running_mean and running_var, when given, are assigned
   (1 - momentum) old + momentum new (unbiased variance), as in PyTorch. Otherwise the running ones are used.
   weight and bias may be NULL. Training needs two values a channel at least. Beside a bf16 x the vectors are f32. */
CBM_API cbm_tensor *cbm_batch_norm(cbm_tensor *x, cbm_tensor *running_mean, cbm_tensor *running_var, cbm_tensor *weight,
                                   cbm_tensor *bias, bool training, double momentum, double eps);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_batch_norm(...) cbm_at(cbm_batch_norm(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
