/* ops.h: the operations on tensors. Each records a node and returns at once; see docs/reference for values and gradients.
   Binary operations broadcast like NumPy; both operands have the same dtype unless said otherwise;
   beside bf16, arithmetic and comparisons also take an f32 scalar (without dimensions), and the result is bf16. An axis may be
   negative, counting from the end. On error the result is a failed tensor and the context keeps the message. */
#ifndef CAMBIUM_OPS_H
#define CAMBIUM_OPS_H

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

/* (..., m, k) x (..., k, n) -> (..., m, n); leading dimensions broadcast; one-dimensional operands as in PyTorch. */
CBM_API cbm_tensor *cbm_matmul(cbm_tensor *a, cbm_tensor *b);

CBM_API cbm_tensor *cbm_softmax(cbm_tensor *x, int64_t axis);     /* exp(x) / sum over the axis of exp(x) */
CBM_API cbm_tensor *cbm_log_softmax(cbm_tensor *x, int64_t axis); /* x - log sum over the axis of exp(x) */

/* Movement: no copies where a view serves. */
CBM_API cbm_tensor *cbm_reshape(cbm_tensor *x, cbm_shape shape);    /* one extent may be -1 */
CBM_API cbm_tensor *cbm_flatten(cbm_tensor *x, int64_t first_axis); /* axes from first_axis on become one */
CBM_API cbm_tensor *cbm_permute(cbm_tensor *x, cbm_shape order);    /* axis i of the result is axis order[i] of x */
CBM_API cbm_tensor *cbm_transpose(cbm_tensor *x, int64_t axis_a, int64_t axis_b);
CBM_API cbm_tensor *cbm_expand(cbm_tensor *x, cbm_shape shape); /* broadcasts x to shape */
/* x[start:stop:step] along axis, step >= 1; start and stop may be negative and are clipped as in Python. Another start
   makes no new plan. */
CBM_API cbm_tensor *cbm_slice(cbm_tensor *x, int64_t axis, int64_t start, int64_t stop, int64_t step);
CBM_API cbm_tensor *cbm_concat(cbm_tensor *const *tensors, size_t count, int64_t axis);

/* Indexing. Indices are i64 or i32 and must lie in range: checked when computed, before anything is committed. */
CBM_API cbm_tensor *cbm_one_hot(cbm_tensor *indices, int64_t classes, cbm_dtype dtype); /* (...) -> (..., classes) */
/* out[i][j][k] = x[i][index[i][j][k]][k] for axis 1: index has x's rank, and x's extents (or less) off the axis. */
CBM_API cbm_tensor *cbm_gather(cbm_tensor *x, int64_t axis, cbm_tensor *index);
/* A copy of x with out[i][index[i][j][k]][k] += source[i][j][k], in order, for axis 1. */
CBM_API cbm_tensor *cbm_scatter_add(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source);

/* Convolution (cross-correlation): x (N, C, H, W), weight (O, C/groups, Kh, Kw), bias (O) or NULL -> (N, O, H', W'),
   H' = floor((H + 2 padding - dilation (Kh - 1) - 1) / stride) + 1. Lists hold one value or two (height, width).
   Beside a bf16 x and weight the bias may be f32. */
typedef struct cbm_conv2d_options {
    uint64_t struct_size;
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    int64_t groups CBM_DEFAULT(1);
} cbm_conv2d_options;
CBM_API cbm_tensor *cbm_conv2d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                    const cbm_conv2d_options *options);

/* Pooling: x (N, C, H, W) -> (N, C, H', W'). stride defaults to the kernel. Padding at most half the kernel. The average
   counts padded zeros (count_include_pad) unless told otherwise. */
typedef struct cbm_pool2d_options {
    uint64_t struct_size;
    cbm_shape stride CBM_DEFAULT({});
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    uint64_t exclude_pad CBM_DEFAULT(0);
} cbm_pool2d_options;
CBM_API cbm_tensor *cbm_max_pool2d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool2d_options *options);
CBM_API cbm_tensor *cbm_avg_pool2d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool2d_options *options);

/* Batch normalisation over every axis but 1 (Ioffe and Szegedy 2015): y = (x - mean) / sqrt(var + eps) * weight + bias.
   training: batch statistics (biased variance); running_mean and running_var, when given, are assigned
   (1 - momentum) old + momentum new (unbiased variance), as in PyTorch. Otherwise the running ones are used.
   weight and bias may be NULL. Training needs two values a channel at least. Beside a bf16 x the vectors are f32. */
CBM_API cbm_tensor *cbm_batch_norm(cbm_tensor *x, cbm_tensor *running_mean, cbm_tensor *running_var, cbm_tensor *weight,
                                   cbm_tensor *bias, bool training, double momentum, double eps);

/* Zeroes each element with probability p and scales the others by 1 / (1 - p); new random numbers each time recorded. */
CBM_API cbm_tensor *cbm_dropout(cbm_tensor *x, double p);

/* Losses, averaged. cross_entropy: logits (N, C) or (N, C, ...), targets i64/i32/u8 class numbers (N) or (N, ...); of
   bf16 logits the loss is f32. */
CBM_API cbm_tensor *cbm_cross_entropy(cbm_tensor *logits, cbm_tensor *targets);
CBM_API cbm_tensor *cbm_mse(cbm_tensor *prediction, cbm_tensor *target);

/* Random numbers: uniform in [low, high), normal by Box and Muller. Counter based (Philox4x32-10). */
CBM_API cbm_tensor *cbm_uniform(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double low, double high);
CBM_API cbm_tensor *cbm_normal(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double mean, double deviation);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_REDUCE_(function, x, ...) CBM_OPTIONS_(cbm_reduce_options, function(x, &cbm_o_), .keepdim = 0, __VA_ARGS__)
#define CBM_SUM_(...) CBM_REDUCE_(cbm_sum_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_MEAN_(...) CBM_REDUCE_(cbm_mean_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_MAX_(...) CBM_REDUCE_(cbm_max_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_ARGMAX_(...) CBM_REDUCE_(cbm_argmax_with, __VA_ARGS__, .struct_size = sizeof(cbm_reduce_options))
#define CBM_CONV2D_DEFAULTS .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .groups = 1
#define CBM_CONV2D_(x, w, b, ...)                                                                                      \
    CBM_OPTIONS_(cbm_conv2d_options, cbm_conv2d_with(x, w, b, &cbm_o_), CBM_CONV2D_DEFAULTS, __VA_ARGS__)
#define CBM_POOL2D_DEFAULTS .padding = { { 1, 0 } }, .exclude_pad = 0
#define CBM_POOL2D_(function, x, k, ...)                                                                               \
    CBM_OPTIONS_(cbm_pool2d_options, function(x, k, &cbm_o_), CBM_POOL2D_DEFAULTS, __VA_ARGS__)
/* cbm_sum(x), cbm_sum(x, .axes = CBM_SHAPE(0, 2), .keepdim = true) */
#define cbm_sum(...) cbm_at(CBM_SUM_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mean(...) cbm_at(CBM_MEAN_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_max(...) cbm_at(CBM_MAX_(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_argmax(...) cbm_at(CBM_ARGMAX_(__VA_ARGS__), __FILE__, __LINE__)
/* cbm_conv2d(x, weight, bias, .padding = CBM_SHAPE(1)); cbm_max_pool2d(x, CBM_SHAPE(2), .stride = CBM_SHAPE(1)) */
#define cbm_conv2d(...) cbm_at(CBM_CONV2D_(__VA_ARGS__, .struct_size = sizeof(cbm_conv2d_options)), __FILE__, __LINE__)
#define cbm_max_pool2d(...)                                                                                            \
    cbm_at(CBM_POOL2D_(cbm_max_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_pool2d_options)), __FILE__, __LINE__)
#define cbm_avg_pool2d(...)                                                                                            \
    cbm_at(CBM_POOL2D_(cbm_avg_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_pool2d_options)), __FILE__, __LINE__)
#else
#define CBM_CPP_OPTIONS_(name, type, params, args)                                                                     \
    static inline cbm_tensor *name params                                                                              \
    {                                                                                                                  \
        type o = options;                                                                                              \
        o.struct_size = sizeof o;                                                                                      \
        return name##_with args;                                                                                       \
    }
CBM_CPP_OPTIONS_(cbm_sum, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_mean, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_max, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_argmax, cbm_reduce_options, (cbm_tensor * x, const cbm_reduce_options &options = {}), (x, &o))
CBM_CPP_OPTIONS_(cbm_conv2d, cbm_conv2d_options,
                 (cbm_tensor * x, cbm_tensor *weight, cbm_tensor *bias, const cbm_conv2d_options &options = {}),
                 (x, weight, bias, &o))
CBM_CPP_OPTIONS_(cbm_max_pool2d, cbm_pool2d_options,
                 (cbm_tensor * x, cbm_shape kernel, const cbm_pool2d_options &options = {}), (x, kernel, &o))
CBM_CPP_OPTIONS_(cbm_avg_pool2d, cbm_pool2d_options,
                 (cbm_tensor * x, cbm_shape kernel, const cbm_pool2d_options &options = {}), (x, kernel, &o))
#endif

#include <cambium/call_sites.h>

#endif
