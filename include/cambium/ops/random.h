/* ops/random.h: random tensors; dropout. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_RANDOM_H
#define CAMBIUM_OPS_RANDOM_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Zeroes each element with probability p and scales the others by 1 / (1 - p); new random numbers each time recorded. */
CBM_API cbm_tensor *cbm_dropout(cbm_tensor *x, double p);
/* The same of whole channels of x (N, C, ...): one random number for each (Tompson et al. 2015). 0 <= p < 1. */
CBM_API cbm_tensor *cbm_feature_dropout(cbm_tensor *x, double p);
/* Dropout for SELU (Klambauer et al. 2017): with probability p an element, or a channel, becomes selu(-infinity); then all
   are scaled and shifted so that mean 0 and variance 1 stay. 0 <= p < 1. */
CBM_API cbm_tensor *cbm_alpha_dropout(cbm_tensor *x, double p);
CBM_API cbm_tensor *cbm_feature_alpha_dropout(cbm_tensor *x, double p);

/* Random numbers: uniform in [low, high), normal by Box and Muller. Counter based (Philox4x32-10). */
CBM_API cbm_tensor *cbm_uniform(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double low, double high);
CBM_API cbm_tensor *cbm_normal(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double mean, double deviation);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_dropout(...) cbm_at(cbm_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_feature_dropout(...) cbm_at(cbm_feature_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_alpha_dropout(...) cbm_at(cbm_alpha_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_feature_alpha_dropout(...) cbm_at(cbm_feature_alpha_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_uniform(...) cbm_at(cbm_uniform(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_normal(...) cbm_at(cbm_normal(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
