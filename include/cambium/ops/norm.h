/* ops/norm.h: normalisation. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_NORM_H
#define CAMBIUM_OPS_NORM_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* In all of these weight and bias may be NULL (1 and 0). x is f32, f64 or bf16; the vectors are of its type, but f32 beside
   bf16; statistics and sums are then f32 too. Variances are biased (divided by n) unless said otherwise. */

/* Batch normalisation over every axis but 1 (Ioffe and Szegedy 2015): y = (x - mean) / sqrt(var + eps) * weight + bias.
   training: batch statistics; running_mean and running_var, when given, are assigned
   (1 - momentum) old + momentum new (unbiased variance), as in PyTorch. Otherwise the running ones are used.
   Training needs two values a channel at least. */
CBM_API cbm_tensor *cbm_batch_norm(cbm_tensor *x, cbm_tensor *running_mean, cbm_tensor *running_var, cbm_tensor *weight,
                                   cbm_tensor *bias, bool training, double momentum, double eps);
/* The same over every axis but 0 and 1 of x (N, C, ...): each sample's channels by themselves (Ulyanov, Vedaldi and
   Lempitsky 2016). The running statistics move towards the samples' mean. x has 3 dimensions at least, and training needs two
   values a channel. */
CBM_API cbm_tensor *cbm_instance_norm(cbm_tensor *x, cbm_tensor *running_mean, cbm_tensor *running_var,
                                      cbm_tensor *weight, cbm_tensor *bias, bool training, double momentum, double eps);
/* x (N, C, ...): each sample's channels in groups of C / groups (Wu and He 2018); weight and bias (C) a channel. */
CBM_API cbm_tensor *cbm_group_norm(cbm_tensor *x, int64_t groups, cbm_tensor *weight, cbm_tensor *bias, double eps);
/* Over the last axes, whose extents are normalized_shape, weight's and bias's too (Ba, Kiros and Hinton 2016). */
CBM_API cbm_tensor *cbm_layer_norm(cbm_tensor *x, cbm_shape normalized_shape, cbm_tensor *weight, cbm_tensor *bias,
                                   double eps);
/* y = x / sqrt(mean of x^2 + eps) * weight over the last axes (Zhang and Sennrich 2019). eps below 0: the distance from 1 to
   the next number of x's type. */
CBM_API cbm_tensor *cbm_rms_norm(cbm_tensor *x, cbm_shape normalized_shape, cbm_tensor *weight, double eps);
/* x (N, C, ...): y = x / (k + alpha mean of x^2)^beta, the mean over `size` neighbouring channels, zeros beyond the ends
   (Krizhevsky, Sutskever and Hinton 2012). */
CBM_API cbm_tensor *cbm_local_response_norm(cbm_tensor *x, int64_t size, double alpha, double beta, double k);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_batch_norm(...) cbm_at(cbm_batch_norm(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_instance_norm(...) cbm_at(cbm_instance_norm(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_group_norm(...) cbm_at(cbm_group_norm(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_layer_norm(...) cbm_at(cbm_layer_norm(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_rms_norm(...) cbm_at(cbm_rms_norm(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_local_response_norm(...) cbm_at(cbm_local_response_norm(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
