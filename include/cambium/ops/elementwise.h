/* ops/elementwise.h: elementwise arithmetic, functions, comparisons, logic and bits. See ops.h for what holds for all
   operations; activations have a header of their own. */
#ifndef CAMBIUM_OPS_ELEMENTWISE_H
#define CAMBIUM_OPS_ELEMENTWISE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Arithmetic: floats and integers (div and pow: floats); integers wrap. */
CBM_API cbm_tensor *cbm_add(cbm_tensor *a, cbm_tensor *b);     /* a + b */
CBM_API cbm_tensor *cbm_sub(cbm_tensor *a, cbm_tensor *b);     /* a - b */
CBM_API cbm_tensor *cbm_mul(cbm_tensor *a, cbm_tensor *b);     /* a * b */
CBM_API cbm_tensor *cbm_div(cbm_tensor *a, cbm_tensor *b);     /* a / b */
CBM_API cbm_tensor *cbm_pow(cbm_tensor *a, cbm_tensor *b);     /* a to the power b */
CBM_API cbm_tensor *cbm_maximum(cbm_tensor *a, cbm_tensor *b); /* NaN wins; at ties each gets half the gradient */
CBM_API cbm_tensor *cbm_minimum(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_neg(cbm_tensor *x);
CBM_API cbm_tensor *cbm_abs(cbm_tensor *x); /* its slope at 0 is 0 */
/* With a number instead of a tensor: it takes x's element type and is bound at run time, so that another number makes no
   new plan. */
CBM_API cbm_tensor *cbm_add_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_sub_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_rsub_scalar(cbm_tensor *x, double value); /* value - x */
CBM_API cbm_tensor *cbm_mul_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_div_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_rdiv_scalar(cbm_tensor *x, double value); /* value / x */
CBM_API cbm_tensor *cbm_pow_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_maximum_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_minimum_scalar(cbm_tensor *x, double value);

/* Whole numbers and remainders: floats and integers. The rounding functions leave integers as they are; their gradient is 0
   everywhere, and so is floor_divide's. Integers divided by 0 give 0. */
CBM_API cbm_tensor *cbm_floor(cbm_tensor *x);
CBM_API cbm_tensor *cbm_ceil(cbm_tensor *x);
CBM_API cbm_tensor *cbm_round(cbm_tensor *x);                       /* halves to the even neighbour */
CBM_API cbm_tensor *cbm_trunc(cbm_tensor *x);                       /* towards 0 */
CBM_API cbm_tensor *cbm_frac(cbm_tensor *x);                        /* x - trunc(x) */
CBM_API cbm_tensor *cbm_sign(cbm_tensor *x);                        /* -1, 0 or 1; 0 of NaN */
CBM_API cbm_tensor *cbm_fmod(cbm_tensor *a, cbm_tensor *b);         /* a - b trunc(a / b): C's, with the sign of a */
CBM_API cbm_tensor *cbm_remainder(cbm_tensor *a, cbm_tensor *b);    /* a - b floor(a / b): Python's %, with b's sign */
CBM_API cbm_tensor *cbm_floor_divide(cbm_tensor *a, cbm_tensor *b); /* floor(a / b): Python's // */
CBM_API cbm_tensor *cbm_fmod_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_remainder_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_floor_divide_scalar(cbm_tensor *x, double value);

/* Functions of one tensor of floats. */
CBM_API cbm_tensor *cbm_exp(cbm_tensor *x);
CBM_API cbm_tensor *cbm_exp2(cbm_tensor *x);  /* 2^x */
CBM_API cbm_tensor *cbm_expm1(cbm_tensor *x); /* e^x - 1, accurate near 0 */
CBM_API cbm_tensor *cbm_log(cbm_tensor *x);   /* natural */
CBM_API cbm_tensor *cbm_log2(cbm_tensor *x);
CBM_API cbm_tensor *cbm_log10(cbm_tensor *x);
CBM_API cbm_tensor *cbm_log1p(cbm_tensor *x); /* log(1 + x), accurate near 0 */
CBM_API cbm_tensor *cbm_sqrt(cbm_tensor *x);
CBM_API cbm_tensor *cbm_rsqrt(cbm_tensor *x);      /* 1 / sqrt(x) */
CBM_API cbm_tensor *cbm_reciprocal(cbm_tensor *x); /* 1 / x */
CBM_API cbm_tensor *cbm_square(cbm_tensor *x);     /* x x; integers too */
CBM_API cbm_tensor *cbm_erf(cbm_tensor *x);        /* 2 / sqrt(pi) * integral of e^(-t^2) from 0 to x */
CBM_API cbm_tensor *cbm_erfc(cbm_tensor *x);       /* 1 - erf(x), accurate for large x */
/* Angles are in radians. Outside of where an inverse is defined it is NaN. */
CBM_API cbm_tensor *cbm_sin(cbm_tensor *x);
CBM_API cbm_tensor *cbm_cos(cbm_tensor *x);
CBM_API cbm_tensor *cbm_tan(cbm_tensor *x);
CBM_API cbm_tensor *cbm_asin(cbm_tensor *x);
CBM_API cbm_tensor *cbm_acos(cbm_tensor *x);
CBM_API cbm_tensor *cbm_atan(cbm_tensor *x);
CBM_API cbm_tensor *cbm_atan2(cbm_tensor *y, cbm_tensor *x); /* the angle of the point (x, y), in [-pi, pi] */
CBM_API cbm_tensor *cbm_sinh(cbm_tensor *x);
CBM_API cbm_tensor *cbm_cosh(cbm_tensor *x);
CBM_API cbm_tensor *cbm_tanh(cbm_tensor *x);
CBM_API cbm_tensor *cbm_asinh(cbm_tensor *x);
CBM_API cbm_tensor *cbm_acosh(cbm_tensor *x);
CBM_API cbm_tensor *cbm_atanh(cbm_tensor *x);

/* min(max(x, low), high), floats and integers. x has the gradient where it lies within, the bounds included. -INFINITY and
   INFINITY mean no bound. A NaN bound is an error for numbers, and gives NaN in tensors, which may themselves be
   differentiated. */
CBM_API cbm_tensor *cbm_clamp(cbm_tensor *x, double low, double high);
CBM_API cbm_tensor *cbm_clamp_tensor(cbm_tensor *x, cbm_tensor *low, cbm_tensor *high);
/* a + weight (b - a), floats; weights 0 and 1 give a and b exactly. */
CBM_API cbm_tensor *cbm_lerp(cbm_tensor *a, cbm_tensor *b, cbm_tensor *weight);
CBM_API cbm_tensor *cbm_lerp_scalar(cbm_tensor *a, cbm_tensor *b, double weight);
CBM_API cbm_tensor *cbm_addcmul(cbm_tensor *x, cbm_tensor *a, cbm_tensor *b, double value); /* x + value a b */
CBM_API cbm_tensor *cbm_addcdiv(cbm_tensor *x, cbm_tensor *a, cbm_tensor *b, double value); /* x + value a / b */
/* x with other numbers for NaN, infinity and -infinity; infinite above and below mean the greatest and least finite numbers
   of x's type. The gradient is 0 where x is replaced. Integers come back as they are. */
CBM_API cbm_tensor *cbm_nan_to_num(cbm_tensor *x, double nan, double above, double below);

/* Comparisons: any dtype in, bool out. */
CBM_API cbm_tensor *cbm_equal(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_not_equal(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_less(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_less_equal(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_greater(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_greater_equal(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_equal_scalar(cbm_tensor *x, double value); /* the number takes x's element type */
CBM_API cbm_tensor *cbm_not_equal_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_less_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_less_equal_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_greater_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_greater_equal_scalar(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_isnan(cbm_tensor *x); /* numbers in, bool out; integers are finite */
CBM_API cbm_tensor *cbm_isinf(cbm_tensor *x);
CBM_API cbm_tensor *cbm_isfinite(cbm_tensor *x);
CBM_API cbm_tensor *cbm_where(cbm_tensor *condition, cbm_tensor *a, cbm_tensor *b); /* condition (bool) ? a : b */
CBM_API cbm_tensor *cbm_cast(cbm_tensor *x, cbm_dtype dtype); /* float to integer truncates; to bool: x != 0 */

/* Logic: any dtypes in, also two different ones; what is not 0 counts as true; bool out. */
CBM_API cbm_tensor *cbm_logical_and(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_logical_or(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_logical_xor(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_logical_not(cbm_tensor *x);

/* Bits of i64, i32, u8, and of bool but for shifts. A shift by a negative number, or by all bits and more, moves every bit
   out; right shifts fill with the sign. */
CBM_API cbm_tensor *cbm_bitwise_and(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_bitwise_or(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_bitwise_xor(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_bitwise_not(cbm_tensor *x);
CBM_API cbm_tensor *cbm_left_shift(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_right_shift(cbm_tensor *a, cbm_tensor *b);

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
#define cbm_abs(...) cbm_at(cbm_abs(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_add_scalar(...) cbm_at(cbm_add_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sub_scalar(...) cbm_at(cbm_sub_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_rsub_scalar(...) cbm_at(cbm_rsub_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mul_scalar(...) cbm_at(cbm_mul_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_div_scalar(...) cbm_at(cbm_div_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_rdiv_scalar(...) cbm_at(cbm_rdiv_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_pow_scalar(...) cbm_at(cbm_pow_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_maximum_scalar(...) cbm_at(cbm_maximum_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_minimum_scalar(...) cbm_at(cbm_minimum_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_floor(...) cbm_at(cbm_floor(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_ceil(...) cbm_at(cbm_ceil(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_round(...) cbm_at(cbm_round(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_trunc(...) cbm_at(cbm_trunc(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_frac(...) cbm_at(cbm_frac(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sign(...) cbm_at(cbm_sign(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_fmod(...) cbm_at(cbm_fmod(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_remainder(...) cbm_at(cbm_remainder(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_floor_divide(...) cbm_at(cbm_floor_divide(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_fmod_scalar(...) cbm_at(cbm_fmod_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_remainder_scalar(...) cbm_at(cbm_remainder_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_floor_divide_scalar(...) cbm_at(cbm_floor_divide_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_exp(...) cbm_at(cbm_exp(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_exp2(...) cbm_at(cbm_exp2(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_expm1(...) cbm_at(cbm_expm1(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_log(...) cbm_at(cbm_log(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_log2(...) cbm_at(cbm_log2(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_log10(...) cbm_at(cbm_log10(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_log1p(...) cbm_at(cbm_log1p(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sqrt(...) cbm_at(cbm_sqrt(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_rsqrt(...) cbm_at(cbm_rsqrt(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_reciprocal(...) cbm_at(cbm_reciprocal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_square(...) cbm_at(cbm_square(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_erf(...) cbm_at(cbm_erf(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_erfc(...) cbm_at(cbm_erfc(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sin(...) cbm_at(cbm_sin(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cos(...) cbm_at(cbm_cos(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_tan(...) cbm_at(cbm_tan(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_asin(...) cbm_at(cbm_asin(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_acos(...) cbm_at(cbm_acos(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_atan(...) cbm_at(cbm_atan(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_atan2(...) cbm_at(cbm_atan2(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_sinh(...) cbm_at(cbm_sinh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cosh(...) cbm_at(cbm_cosh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_tanh(...) cbm_at(cbm_tanh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_asinh(...) cbm_at(cbm_asinh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_acosh(...) cbm_at(cbm_acosh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_atanh(...) cbm_at(cbm_atanh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_clamp(...) cbm_at(cbm_clamp(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_clamp_tensor(...) cbm_at(cbm_clamp_tensor(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_lerp(...) cbm_at(cbm_lerp(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_lerp_scalar(...) cbm_at(cbm_lerp_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_addcmul(...) cbm_at(cbm_addcmul(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_addcdiv(...) cbm_at(cbm_addcdiv(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_nan_to_num(...) cbm_at(cbm_nan_to_num(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_equal(...) cbm_at(cbm_equal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_not_equal(...) cbm_at(cbm_not_equal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_less(...) cbm_at(cbm_less(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_less_equal(...) cbm_at(cbm_less_equal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_greater(...) cbm_at(cbm_greater(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_greater_equal(...) cbm_at(cbm_greater_equal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_equal_scalar(...) cbm_at(cbm_equal_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_not_equal_scalar(...) cbm_at(cbm_not_equal_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_less_scalar(...) cbm_at(cbm_less_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_less_equal_scalar(...) cbm_at(cbm_less_equal_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_greater_scalar(...) cbm_at(cbm_greater_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_greater_equal_scalar(...) cbm_at(cbm_greater_equal_scalar(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_isnan(...) cbm_at(cbm_isnan(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_isinf(...) cbm_at(cbm_isinf(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_isfinite(...) cbm_at(cbm_isfinite(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_where(...) cbm_at(cbm_where(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cast(...) cbm_at(cbm_cast(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_logical_and(...) cbm_at(cbm_logical_and(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_logical_or(...) cbm_at(cbm_logical_or(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_logical_xor(...) cbm_at(cbm_logical_xor(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_logical_not(...) cbm_at(cbm_logical_not(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_bitwise_and(...) cbm_at(cbm_bitwise_and(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_bitwise_or(...) cbm_at(cbm_bitwise_or(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_bitwise_xor(...) cbm_at(cbm_bitwise_xor(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_bitwise_not(...) cbm_at(cbm_bitwise_not(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_left_shift(...) cbm_at(cbm_left_shift(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_right_shift(...) cbm_at(cbm_right_shift(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
