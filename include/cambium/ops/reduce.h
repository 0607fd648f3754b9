/* ops/reduce.h: reductions over axes; softmax. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_REDUCE_H
#define CAMBIUM_OPS_REDUCE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Reductions over axes (none named: all of them). keepdim leaves extents of 1 behind. sum of integers or bool is i64; mean
   takes floats. sum, mean of an empty set: 0, NaN; max, argmax of one: an error. argmax is i64, the first of equals, over one axis, or over the flattened tensor. */
typedef struct cbm_reduce_options {
    uint64_t struct_size;
    cbm_shape axes CBM_DEFAULT({});
    uint64_t keepdim CBM_DEFAULT(0);
} cbm_reduce_options;
CBM_API cbm_tensor *cbm_sum_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_mean_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_max_with(cbm_tensor *x, const cbm_reduce_options *options);
CBM_API cbm_tensor *cbm_argmax_with(cbm_tensor *x, const cbm_reduce_options *options);

CBM_API cbm_tensor *cbm_softmax(cbm_tensor *x, int64_t axis);     /* exp(x) / sum over the axis of exp(x) */
CBM_API cbm_tensor *cbm_log_softmax(cbm_tensor *x, int64_t axis); /* x - log sum over the axis of exp(x) */

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_REDUCE_(function, x, ...) CBM_OPTIONS_(cbm_reduce_options, function(x, &cbm_o_), .keepdim = 0, __VA_ARGS__)
#define CBM_SUM_(...) CBM_REDUCE_(cbm_sum_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_MEAN_(...) CBM_REDUCE_(cbm_mean_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_MAX_(...) CBM_REDUCE_(cbm_max_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_ARGMAX_(...) CBM_REDUCE_(cbm_argmax_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
/* cbm_sum(x), cbm_sum(x, .axes = CBM_SHAPE(0, 2), .keepdim = true) */
#define cbm_sum(...) cbm_at(CBM_SUM_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mean(...) cbm_at(CBM_MEAN_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_max(...) cbm_at(CBM_MAX_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_argmax(...) cbm_at(CBM_ARGMAX_(__VA_ARGS__), __FILE__, __LINE__)
#else
CBM_CPP_OPTIONS_(cbm_sum, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_mean, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_max, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_argmax, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
#endif

#ifndef CBM_NO_CALL_SITES
#define cbm_softmax(...) cbm_at(cbm_softmax(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_log_softmax(...) cbm_at(cbm_log_softmax(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
