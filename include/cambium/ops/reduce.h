/* ops/reduce.h: reductions over axes, order statistics, running sums and their like, softmax. See ops.h for what holds for
   all operations. */
#ifndef CAMBIUM_OPS_REDUCE_H
#define CAMBIUM_OPS_REDUCE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* ---- reductions over axes (none named: all of them); keepdim leaves extents of 1 behind ---- */
typedef struct cbm_reduce_options {
    uint64_t struct_size;
    cbm_shape axes CBM_DEFAULT({});
    uint64_t keepdim CBM_DEFAULT(0);
} cbm_reduce_options;
/* Sums and products of floats; of integers and bool they are i64. Of nothing they are 0 and 1. The gradient of a product is
   exact with zeros too. mean takes floats; of nothing it is NaN. */
CBM_API cbm_tensor *cbm_sum_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_prod_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_mean_with(cbm_tensor *x, const cbm_reduce_options *options);
/* NaN counts for nothing: their sum and, of floats, their mean (NaN where nothing else is there). */
CBM_API cbm_tensor *cbm_nansum_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_nanmean_with(cbm_tensor *x, const cbm_reduce_options *options);
/* Largest and smallest, floats and integers; NaN wins; ties share the gradient; of nothing an error. argmax and argmin are
   i64, the first of equals, over one axis, or over the flattened tensor. */
CBM_API cbm_tensor *cbm_max_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_min_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_aminmax_with(cbm_tensor *x, const cbm_reduce_options *options,
                                     cbm_tensor **largest); /* smallest */
CBM_API cbm_tensor *cbm_argmax_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_argmin_with(cbm_tensor *x, const cbm_reduce_options *options);
/* Of any dtype, what is not 0 being true (NaN too): bool, bool, i64. Of nothing: false, true, 0. */
CBM_API cbm_tensor *cbm_any_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_all_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_count_nonzero_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_logsumexp_with(cbm_tensor *x, const cbm_reduce_options *options); /* log sum of e^x, floats */

/* Variance: sum of (x - mean)^2 / (n - correction), floats; std: its square root, whose gradient is 0 where nothing varies.
   var_mean also gives the mean. */
typedef struct cbm_var_options {
    uint64_t struct_size;
    cbm_shape axes CBM_DEFAULT({});
    uint64_t keepdim CBM_DEFAULT(0);
    double correction CBM_DEFAULT(1); /* 1: of a sample (Bessel's); 0: of a population */
} cbm_var_options;
CBM_API cbm_tensor *cbm_var_with(cbm_tensor *x, const cbm_var_options *options);
CBM_API cbm_tensor *cbm_std_with(cbm_tensor *x, const cbm_var_options *options);
CBM_API cbm_tensor *cbm_var_mean_with(cbm_tensor *x, const cbm_var_options *options, cbm_tensor **mean);

/* (sum of |x|^p)^(1/p), floats, over the axes as if they were one; p INFINITY: largest |x|, -INFINITY: smallest, 0: how many
   are not 0. The gradient is 0 where the norm is. */
typedef struct cbm_norm_options {
    uint64_t struct_size;
    cbm_shape axes CBM_DEFAULT({});
    uint64_t keepdim CBM_DEFAULT(0);
    double p CBM_DEFAULT(2);
} cbm_norm_options;
CBM_API cbm_tensor *cbm_norm_with(cbm_tensor *x, const cbm_norm_options *options);

/* ---- order: floats and integers; the gradient goes to the elements that are chosen ---- */
/* Along one axis: the largest, smallest, median (the lower of two middle ones), k-th smallest (k from 1 on; NaN is larger
   than all numbers); *index (unless index is NULL): where they are, i64. NaN wins the first three. Equal elements: the
   first, for medians and k-th that which a stable sort puts there. */
CBM_API cbm_tensor *cbm_max_at(cbm_tensor *x, int64_t axis, bool keepdim, cbm_tensor **index);
CBM_API cbm_tensor *cbm_min_at(cbm_tensor *x, int64_t axis, bool keepdim, cbm_tensor **index);
CBM_API cbm_tensor *cbm_median_at(cbm_tensor *x, int64_t axis, bool keepdim, cbm_tensor **index);
CBM_API cbm_tensor *cbm_kth_value(cbm_tensor *x, int64_t k, int64_t axis, bool keepdim, cbm_tensor **index);
/* The median over several axes, or all. */
CBM_API cbm_tensor *cbm_median_with(cbm_tensor *x, const cbm_reduce_options *options);

typedef enum cbm_quantile_rule {
    CBM_QUANTILE_LINEAR = 0,
    CBM_QUANTILE_LOWER = 1,
    CBM_QUANTILE_HIGHER = 2,
    CBM_QUANTILE_MIDPOINT = 3,
    CBM_QUANTILE_NEAREST = 4 /* halfway: to the even place */
} cbm_quantile_rule;
/* The element at place q (n - 1) in order, 0 <= q <= 1, floats; between two places as the rule says; NaN wins. Of nothing an
   error. */
typedef struct cbm_quantile_options {
    uint64_t struct_size;
    cbm_shape axes CBM_DEFAULT({});
    uint64_t keepdim CBM_DEFAULT(0);
    uint64_t rule CBM_DEFAULT(CBM_QUANTILE_LINEAR);
} cbm_quantile_options;
CBM_API cbm_tensor *cbm_quantile_with(cbm_tensor *x, double q, const cbm_quantile_options *options);

/* ---- running along an axis: (.., n, ..) -> (.., n, ..) ---- */
/* y[i] = x[0] + .. + x[i], and the product; of integers and bool i64. */
CBM_API cbm_tensor *cbm_cumsum(cbm_tensor *x, int64_t axis);
CBM_API cbm_tensor *cbm_cumprod(cbm_tensor *x, int64_t axis);
CBM_API cbm_tensor *cbm_logcumsumexp(cbm_tensor *x, int64_t axis); /* log(e^x[0] + .. + e^x[i]), floats */
/* The largest and the smallest so far; *index (unless NULL): where, i64, the last of equals. NaN wins, and stays. */
CBM_API cbm_tensor *cbm_cummax(cbm_tensor *x, int64_t axis, cbm_tensor **index);
CBM_API cbm_tensor *cbm_cummin(cbm_tensor *x, int64_t axis, cbm_tensor **index);
/* y[i] = a[i] y[i - 1] + b[i], y[-1] = 0; a and b are floats and broadcast. Discounted sums, moving averages, linear
   recurrent layers. */
CBM_API cbm_tensor *cbm_linear_scan(cbm_tensor *a, cbm_tensor *b, int64_t axis);
/* x[i + 1] - x[i] along axis, n times; of bool: whether they differ. */
CBM_API cbm_tensor *cbm_diff(cbm_tensor *x, int64_t n, int64_t axis);

CBM_API cbm_tensor *cbm_softmax(cbm_tensor *x, int64_t axis);     /* exp(x) / sum over the axis of exp(x) */
CBM_API cbm_tensor *cbm_log_softmax(cbm_tensor *x, int64_t axis); /* x - log sum over the axis of exp(x) */

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_REDUCE_(function, x, ...) CBM_OPTIONS_(cbm_reduce_options, function(x, &cbm_o_), .keepdim = 0, __VA_ARGS__)
#define CBM_SUM_(...) CBM_REDUCE_(cbm_sum_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_PROD_(...) CBM_REDUCE_(cbm_prod_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_MEAN_(...) CBM_REDUCE_(cbm_mean_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_NANSUM_(...) CBM_REDUCE_(cbm_nansum_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_NANMEAN_(...) CBM_REDUCE_(cbm_nanmean_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_MAX_(...) CBM_REDUCE_(cbm_max_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_MIN_(...) CBM_REDUCE_(cbm_min_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_ARGMAX_(...) CBM_REDUCE_(cbm_argmax_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_ARGMIN_(...) CBM_REDUCE_(cbm_argmin_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_ANY_(...) CBM_REDUCE_(cbm_any_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_ALL_(...) CBM_REDUCE_(cbm_all_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_COUNT_NONZERO_(...)                                                                                        \
    CBM_REDUCE_(cbm_count_nonzero_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_LOGSUMEXP_(...) CBM_REDUCE_(cbm_logsumexp_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_MEDIAN_(...) CBM_REDUCE_(cbm_median_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_SPREAD_(function, x, ...) CBM_OPTIONS_(cbm_var_options, function(x, &cbm_o_), .correction = 1, __VA_ARGS__)
#define CBM_VAR_(...) CBM_SPREAD_(cbm_var_with, __VA_ARGS__, .struct_size = sizeof(cbm_var_options))
#define CBM_STD_(...) CBM_SPREAD_(cbm_std_with, __VA_ARGS__, .struct_size = sizeof(cbm_var_options))
#define CBM_NORM_OF_(x, ...) CBM_OPTIONS_(cbm_norm_options, cbm_norm_with(x, &cbm_o_), .p = 2, __VA_ARGS__)
#define CBM_NORM_(...) CBM_NORM_OF_(__VA_ARGS__, .struct_size = sizeof(cbm_norm_options))
#define CBM_QUANTILE_OF_(x, q, ...)                                                                                    \
    CBM_OPTIONS_(cbm_quantile_options, cbm_quantile_with(x, q, &cbm_o_), .rule = 0, __VA_ARGS__)
#define CBM_QUANTILE_(...) CBM_QUANTILE_OF_(__VA_ARGS__, .struct_size = sizeof(cbm_quantile_options))
/* cbm_sum(x), cbm_sum(x, .axes = CBM_SHAPE(0, 2), .keepdim = true), cbm_quantile(x, 0.5, .axes = CBM_SHAPE(-1)) */
#define cbm_sum(...) cbm_at(CBM_SUM_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_prod(...) cbm_at(CBM_PROD_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mean(...) cbm_at(CBM_MEAN_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_nansum(...) cbm_at(CBM_NANSUM_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_nanmean(...) cbm_at(CBM_NANMEAN_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_max(...) cbm_at(CBM_MAX_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_min(...) cbm_at(CBM_MIN_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_argmax(...) cbm_at(CBM_ARGMAX_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_argmin(...) cbm_at(CBM_ARGMIN_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_any(...) cbm_at(CBM_ANY_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_all(...) cbm_at(CBM_ALL_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_count_nonzero(...) cbm_at(CBM_COUNT_NONZERO_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_logsumexp(...) cbm_at(CBM_LOGSUMEXP_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_median(...) cbm_at(CBM_MEDIAN_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_var(...) cbm_at(CBM_VAR_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_std(...) cbm_at(CBM_STD_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_norm(...) cbm_at(CBM_NORM_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_quantile(...) cbm_at(CBM_QUANTILE_(__VA_ARGS__), __FILE__, __LINE__)
#else
CBM_CPP_OPTIONS_(cbm_sum, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_prod, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_mean, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_nansum, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_nanmean, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_max, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_min, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_argmax, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_argmin, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_any, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_all, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_count_nonzero, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}),
                 (x, &o))
CBM_CPP_OPTIONS_(cbm_logsumexp, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_median, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_var, cbm_var_options, (cbm_tensor * x, const cbm_var_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_std, cbm_var_options, (cbm_tensor * x, const cbm_var_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_norm, cbm_norm_options, (cbm_tensor * x, const cbm_norm_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_quantile, cbm_quantile_options,
                 (cbm_tensor * x, double q, const cbm_quantile_options &options = {}), (x, q, &o))
#endif

#ifndef CBM_NO_CALL_SITES
#define cbm_aminmax_with(...) cbm_at(cbm_aminmax_with(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_var_mean_with(...) cbm_at(cbm_var_mean_with(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_max_at(...) cbm_at(cbm_max_at(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_min_at(...) cbm_at(cbm_min_at(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_median_at(...) cbm_at(cbm_median_at(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_kth_value(...) cbm_at(cbm_kth_value(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cumsum(...) cbm_at(cbm_cumsum(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cumprod(...) cbm_at(cbm_cumprod(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_logcumsumexp(...) cbm_at(cbm_logcumsumexp(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cummax(...) cbm_at(cbm_cummax(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cummin(...) cbm_at(cbm_cummin(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_linear_scan(...) cbm_at(cbm_linear_scan(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_diff(...) cbm_at(cbm_diff(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_softmax(...) cbm_at(cbm_softmax(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_log_softmax(...) cbm_at(cbm_log_softmax(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
