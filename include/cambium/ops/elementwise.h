/* ops/elementwise.h: elementwise arithmetic, functions and comparisons. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_ELEMENTWISE_H
#define CAMBIUM_OPS_ELEMENTWISE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Elementwise arithmetic: floats and integers (div, pow and the functions below: floats). */
CBM_API cbm_tensor *cbm_add(cbm_tensor *a, cbm_tensor *b);     /* a + b */
CBM_API cbm_tensor *cbm_sub(cbm_tensor *a, cbm_tensor *b);     /* a - b */
CBM_API cbm_tensor *cbm_mul(cbm_tensor *a, cbm_tensor *b);     /* a * b */
CBM_API cbm_tensor *cbm_div(cbm_tensor *a, cbm_tensor *b);     /* a / b */
CBM_API cbm_tensor *cbm_pow(cbm_tensor *a, cbm_tensor *b);     /* a to the power b */
CBM_API cbm_tensor *cbm_maximum(cbm_tensor *a, cbm_tensor *b); /* NaN wins; at ties each gets half the gradient */
CBM_API cbm_tensor *cbm_minimum(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_neg(cbm_tensor *x);
CBM_API cbm_tensor *cbm_exp(cbm_tensor *x);
CBM_API cbm_tensor *cbm_log(cbm_tensor *x); /* natural */
CBM_API cbm_tensor *cbm_sqrt(cbm_tensor *x);
CBM_API cbm_tensor *cbm_abs(cbm_tensor *x);
CBM_API cbm_tensor *cbm_relu(cbm_tensor *x);    /* max(x, 0) */
CBM_API cbm_tensor *cbm_relu6(cbm_tensor *x);   /* min(max(x, 0), 6) */
CBM_API cbm_tensor *cbm_sigmoid(cbm_tensor *x); /* 1 / (1 + exp(-x)) */
CBM_API cbm_tensor *cbm_tanh(cbm_tensor *x);
CBM_API cbm_tensor *cbm_erf(cbm_tensor *x);
CBM_API cbm_tensor *cbm_gelu(cbm_tensor *x); /* x Phi(x), the exact form */
/* With a number instead of a tensor; the number is bound at run time. */
CBM_API cbm_tensor *cbm_add_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_mul_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_pow_scalar(cbm_tensor *x, double value);

/* Comparisons: any dtype in, bool out. */
CBM_API cbm_tensor *cbm_equal(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_not_equal(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_less(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_less_equal(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_greater(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_greater_equal(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_where(cbm_tensor *condition, cbm_tensor *a, cbm_tensor *b); /* condition (bool) ? a : b */
CBM_API cbm_tensor *cbm_cast(cbm_tensor *x, cbm_dtype dtype); /* float to integer truncates; to bool: x != 0 */

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_add(...) cbm_at(cbm_add(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sub(...) cbm_at(cbm_sub(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mul(...) cbm_at(cbm_mul(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_div(...) cbm_at(cbm_div(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_pow(...) cbm_at(cbm_pow(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_maximum(...) cbm_at(cbm_maximum(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_minimum(...) cbm_at(cbm_minimum(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_neg(...) cbm_at(cbm_neg(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_exp(...) cbm_at(cbm_exp(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_log(...) cbm_at(cbm_log(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sqrt(...) cbm_at(cbm_sqrt(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_abs(...) cbm_at(cbm_abs(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_relu(...) cbm_at(cbm_relu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_relu6(...) cbm_at(cbm_relu6(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sigmoid(...) cbm_at(cbm_sigmoid(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_tanh(...) cbm_at(cbm_tanh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_erf(...) cbm_at(cbm_erf(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_gelu(...) cbm_at(cbm_gelu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_add_scalar(...) cbm_at(cbm_add_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mul_scalar(...) cbm_at(cbm_mul_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_pow_scalar(...) cbm_at(cbm_pow_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_equal(...) cbm_at(cbm_equal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_not_equal(...) cbm_at(cbm_not_equal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_less(...) cbm_at(cbm_less(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_less_equal(...) cbm_at(cbm_less_equal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_greater(...) cbm_at(cbm_greater(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_greater_equal(...) cbm_at(cbm_greater_equal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_where(...) cbm_at(cbm_where(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cast(...) cbm_at(cbm_cast(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
