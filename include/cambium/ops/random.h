/* ops/random.h: random tensors, draws and permutations; dropout. See ops.h for what holds for all operations. */
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

/* The same of x's shape and dtype, in its context. x is not read. */
CBM_API cbm_tensor *cbm_uniform_like(cbm_tensor *x, double low, double high);
CBM_API cbm_tensor *cbm_normal_like(cbm_tensor *x, double mean, double deviation);
/* Exponentially distributed: density rate e^(-rate x), mean 1 / rate. f32, f64 or bf16. */
CBM_API cbm_tensor *cbm_exponential(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double rate);
/* 1 with probability p, otherwise 0; any dtype. bernoulli_of: element by element with the probabilities in p (f32, f64 or bf16),
   of p's shape and dtype, no gradient; its evaluation fails with CBM_ERROR_RANGE if one is outside [0, 1] or NaN. */
CBM_API cbm_tensor *cbm_bernoulli(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double p);
CBM_API cbm_tensor *cbm_bernoulli_of(cbm_tensor *p);
/* Whole numbers from low up to, and without, high, each as likely as the others (to 2^-40); any numeric dtype. high - low at
   most 2^40; an integer dtype must hold them, a floating one rounds what it does not. */
CBM_API cbm_tensor *cbm_randint(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, int64_t low, int64_t high);
/* 0 .. n - 1 in random order: i64 (n). */
CBM_API cbm_tensor *cbm_randperm(cbm_context *cx, int64_t n);
/* count categories of each row of weights (C) or (N, C), f32 or f64, drawn with probabilities in proportion to its weights:
   i64 (count) or (N, count). Without replacement a category is drawn once at most. weights are evaluated at once, with all
   earlier pending effects; errors: a weight that is negative or not finite, a row of zeros only, fewer weights above 0 than
   count without replacement. */
CBM_API cbm_tensor *cbm_multinomial(cbm_tensor *weights, int64_t count, bool replacement);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_dropout(...) cbm_at(cbm_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_feature_dropout(...) cbm_at(cbm_feature_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_alpha_dropout(...) cbm_at(cbm_alpha_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_feature_alpha_dropout(...) cbm_at(cbm_feature_alpha_dropout(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_uniform(...) cbm_at(cbm_uniform(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_normal(...) cbm_at(cbm_normal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_uniform_like(...) cbm_at(cbm_uniform_like(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_normal_like(...) cbm_at(cbm_normal_like(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_exponential(...) cbm_at(cbm_exponential(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_bernoulli(...) cbm_at(cbm_bernoulli(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_bernoulli_of(...) cbm_at(cbm_bernoulli_of(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_randint(...) cbm_at(cbm_randint(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_randperm(...) cbm_at(cbm_randperm(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_multinomial(...) cbm_at(cbm_multinomial(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
