/* families.h: the lists of operations that the family files export and table.c joins, the few records that other floors
   name directly, and the small rules and helpers the families share (rules.c). */
#ifndef CAMBIUM_FAMILIES_H
#define CAMBIUM_FAMILIES_H

#ifndef CBM_NO_CALL_SITES
#define CBM_NO_CALL_SITES
#endif
#include <cambium/ops.h>

#include "base/base.h"
#include "op/attributes.h"
#include "op/record.h"

/* Each ends with NULL. */
extern const cbm_op *const cbm_ops_arithmetic[];
extern const cbm_op *const cbm_ops_functions[];
extern const cbm_op *const cbm_ops_trigonometry[];
extern const cbm_op *const cbm_ops_rounding[];
extern const cbm_op *const cbm_ops_activations[];
extern const cbm_op *const cbm_ops_blend[];
extern const cbm_op *const cbm_ops_bits[];
extern const cbm_op *const cbm_ops_compare[];
extern const cbm_op *const cbm_ops_fill[];
extern const cbm_op *const cbm_ops_create[];
extern const cbm_op *const cbm_ops_reduce[];
extern const cbm_op *const cbm_ops_statistics[];
extern const cbm_op *const cbm_ops_scan[];
extern const cbm_op *const cbm_ops_matmul[];
extern const cbm_op *const cbm_ops_softmax[];
extern const cbm_op *const cbm_ops_move[];
extern const cbm_op *const cbm_ops_slice[];
extern const cbm_op *const cbm_ops_split[];
extern const cbm_op *const cbm_ops_pad[];
extern const cbm_op *const cbm_ops_roll[];
extern const cbm_op *const cbm_ops_window[];
extern const cbm_op *const cbm_ops_unfold[];
extern const cbm_op *const cbm_ops_diagonal[];
extern const cbm_op *const cbm_ops_index[];
extern const cbm_op *const cbm_ops_scatter[];
extern const cbm_op *const cbm_ops_select[];
extern const cbm_op *const cbm_ops_sort[];
extern const cbm_op *const cbm_ops_bins[];
extern const cbm_op *const cbm_ops_embedding[];
extern const cbm_op *const cbm_ops_conv[];
extern const cbm_op *const cbm_ops_pool[];
extern const cbm_op *const cbm_ops_adaptive[];
extern const cbm_op *const cbm_ops_resample[];
extern const cbm_op *const cbm_ops_norm[];
extern const cbm_op *const cbm_ops_layer_norm[];
extern const cbm_op *const cbm_ops_group_norm[];
extern const cbm_op *const cbm_ops_loss[];
extern const cbm_op *const cbm_ops_loss_values[];
extern const cbm_op *const cbm_ops_factor[];
extern const cbm_op *const cbm_ops_solve[];
extern const cbm_op *const cbm_ops_ctc[];
extern const cbm_op *const cbm_ops_random[];
extern const cbm_op *const cbm_ops_draw[];
extern const cbm_op *const cbm_ops_recurrent[];
extern const cbm_op *const cbm_ops_attention[];

/* Records with users outside their own file. */
extern const cbm_op cbm_op_scalar; /* no inputs; cbm_full_attributes with the shape of a scalar */
extern const cbm_op cbm_op_full;   /* no inputs; cbm_full_attributes */
extern const cbm_op cbm_op_assign; /* old, new -> new */
extern const cbm_op cbm_op_copy;   /* x -> x, without gaps */
extern const cbm_op cbm_op_cast;
extern const cbm_op cbm_op_gather;
extern const cbm_op cbm_op_scatter_add;
const cbm_op *cbm_conv_input_grad_op(int64_t dimensions); /* conv.c: g, weight -> dx; 1 to 3 dimensions */
extern const cbm_op cbm_op_lu_factor;                     /* a -> lu, pivots */
extern const cbm_op cbm_op_solve_triangular;              /* a, b -> x; cbm_triangular_attributes */
extern const cbm_op cbm_op_ctc_loss; /* log-probabilities, targets, lengths -> loss, occupancy; cbm_ctc_attributes */

/* ---- for records ---- */
#define CBM_OP_RECORD(name_) .struct_size = sizeof(cbm_op), .name = (name_)
#define CBM_COUNTOF(array_) (sizeof(array_) / sizeof *(array_))
#define CBM_SAMPLES(array_) .samples = (array_), .n_samples = CBM_COUNTOF(array_)
/* A shape as a constant initialiser, and inputs of samples: an f64 scalar, an f64 tensor, one without equal elements, one
   of i64. */
#define CBM_DIMS(...)                                                                                                  \
    {                                                                                                                  \
        {                                                                                                              \
            CBM_COUNT_(__VA_ARGS__), __VA_ARGS__                                                                       \
        }                                                                                                              \
    }
#define CBM_FLOAT(low_, high_)                                                                                         \
    {                                                                                                                  \
        CBM_DIMS(), CBM_F64, (low_), (high_), false                                                                    \
    }
#define CBM_FLOATS(low_, high_, ...)                                                                                   \
    {                                                                                                                  \
        CBM_DIMS(__VA_ARGS__), CBM_F64, (low_), (high_), false                                                         \
    }
#define CBM_DISTINCT(low_, high_, ...)                                                                                 \
    {                                                                                                                  \
        CBM_DIMS(__VA_ARGS__), CBM_F64, (low_), (high_), true                                                          \
    }
#define CBM_INDICES(low_, high_, ...)                                                                                  \
    {                                                                                                                  \
        CBM_DIMS(__VA_ARGS__), CBM_I64, (low_), (high_), false                                                         \
    }
#define CBM_FIELD(type_, field_, kind_, at_run_)                                                                       \
    {                                                                                                                  \
#field_, kind_, offsetof(type_, field_), at_run_                                                               \
    }

/* A pointwise function of one floating tensor. */
#define CBM_UNARY_AS(autocast_, name_, formula_, expression_, saves_, vjp_, samples_)                                  \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1, .saves = (saves_),                         \
                              .infer = cbm_infer_floating, .expression = (expression_), .vjp = (vjp_),                 \
                              .autocast = (autocast_), CBM_SAMPLES(samples_)                                           \
    }
#define CBM_UNARY(...) CBM_UNARY_AS(CBM_AUTOCAST_WIDEST, __VA_ARGS__)
/* Its samples: floats in an interval, or a grid on it without equal numbers. */
#define CBM_UNARY_SAMPLES(low_, high_)                                                                                 \
    {                                                                                                                  \
        { .n_in = 1, .in = { CBM_FLOATS(low_, high_, 2, 3) } },                                                        \
            { .n_in = 1, .in = { CBM_FLOATS(low_, high_, 3, 1, 21) } },                                                \
            { .n_in = 1, .in = { CBM_FLOAT(low_, high_) } }, { .n_in = 1, .in = { CBM_FLOATS(low_, high_, 0, 3) } },   \
    }
#define CBM_GRID_SAMPLES(low_, high_)                                                                                  \
    {                                                                                                                  \
        { .n_in = 1, .in = { CBM_DISTINCT(low_, high_, 2, 3) } },                                                      \
            { .n_in = 1, .in = { CBM_DISTINCT(low_, high_, 3, 1, 22) } },                                              \
            { .n_in = 1, .in = { CBM_FLOAT(1.1, 1.9) } }, { .n_in = 1, .in = { CBM_DISTINCT(low_, high_, 0, 3) } },    \
    }

/* ---- for shape rules; on failure each has reported it and returns false ---- */
/* Inputs first to n_in - 1 have one dtype; it becomes output 0's. */
bool cbm_rule_same_dtype(cbm_infer *infer, size_t first);
/* The same for pointwise operations, where f32 and bf16 also go together: operands without dimensions give way to others,
   and bf16 to f32 among themselves. */
bool cbm_rule_pointwise_dtype(cbm_infer *infer, size_t first);
bool cbm_rule_floating(cbm_infer *infer, size_t input);
/* The dtype is one that operations can make: 0 to CBM_DTYPE_COUNT - 1. */
bool cbm_rule_dtype(cbm_infer *infer, int64_t dtype);
/* Inputs first to n_in - 1 broadcast to output 0's shape. */
bool cbm_rule_broadcast(cbm_infer *infer, size_t first);
/* Input number input, called what, has exactly this shape. */
bool cbm_rule_shape(cbm_infer *infer, size_t input, const char *what, const cbm_shape *shape);
bool cbm_rule_rank(cbm_infer *infer, size_t input, const char *what, int64_t rank);
bool cbm_rule_index_dtype(cbm_infer *infer, size_t input, const char *what);
/* index (input 1) has x's rank, and off the axis (the attributes' first field) at most x's extents. */
bool cbm_rule_index_fits(cbm_infer *infer);
/* Samples of what puts a source (input 2) at places (input 1) into x (input 0), along an axis. index.c. */
extern const cbm_sample cbm_scatter_samples[5];
/* Input number input holds matrices (.., m, n) of f32 or f64, square ones (.., n, n) perhaps. */
bool cbm_rule_matrices(cbm_infer *infer, size_t input, bool square);
/* Broadcasts a and b into out; false: they do not fit. */
bool cbm_broadcast_shapes(const cbm_shape *a, const cbm_shape *b, cbm_shape *out);
/* A negative axis counts from the end; false: out of range. */
bool cbm_axis_normalise(int64_t axis, int64_t rank, int64_t *out);
/* Lists of n strides and dilations of at least 1, n paddings of at least 0, none so large that sums overflow. */
bool cbm_conv_lists_fit(cbm_infer *infer, int64_t n, const cbm_shape *stride, const cbm_shape *padding,
                        const cbm_shape *dilation);

/* Pointwise rules: all inputs of one numeric dtype (not bool), or of one floating dtype; broadcast. */
bool cbm_infer_numeric(cbm_infer *infer);
bool cbm_infer_floating(cbm_infer *infer);
/* The first input's shape and dtype, which must be floating. */
bool cbm_infer_like_first(cbm_infer *infer);

/* ---- for public functions and vjps ---- */
/* The gradient of what is constant between jumps: none. */
void cbm_flat_vjp(cbm_vjp *v);
/* The first tensor that is not NULL says which context a call belongs to. */
cbm_context *cbm_context_of(cbm_tensor *const *tensors, size_t count);
/* Applies op to one, two, three tensors. */
cbm_tensor *cbm_apply1(const cbm_op *op, cbm_tensor *a, const void *attributes);
cbm_tensor *cbm_apply2(const cbm_op *op, cbm_tensor *a, cbm_tensor *b, const void *attributes);
cbm_tensor *cbm_apply3(const cbm_op *op, cbm_tensor *a, cbm_tensor *b, cbm_tensor *c, const void *attributes);
/* Checks the axis of a tensor for an operation: false after recording the error. */
bool cbm_axis_of(const char *op, cbm_tensor *x, int64_t axis, int64_t *out);
/* The end of a call that could not begin: the failed tensor, and an error if there is none yet. */
cbm_tensor *cbm_no_result(cbm_tensor *x, const char *op);
/* A scalar to be combined with t by pointwise operations: of t's dtype, but f32 beside bf16. */
cbm_tensor *cbm_number_like(cbm_tensor *t, double value);
cbm_tensor *cbm_transposed(cbm_tensor *t); /* the last two axes change places */
/* What made t, if that is op and t its first result; else NULL. */
cbm_node *cbm_made_by(const cbm_value *t, const char *op);
/* The gradient of max(x, 0) with result y: g where y is not <= 0. */
cbm_tensor *cbm_relu_gradient(cbm_tensor *y, cbm_tensor *g);
/* What sums, statistics and losses over elements of this type are kept in: f32 for bf16, else the type itself. */
cbm_dtype cbm_statistics_dtype(cbm_dtype dtype);
cbm_tensor *cbm_for_statistics(cbm_tensor *t);                         /* t in that type */
cbm_tensor *cbm_sum_over(cbm_tensor *x, cbm_shape axes, bool keepdim); /* no axes: x itself */
cbm_tensor *cbm_mean_over(cbm_tensor *x, cbm_shape axes, bool keepdim);
/* attention.c: (L, S), true at and below the diagonal. */
cbm_tensor *cbm_causal_places(cbm_context *cx, int64_t rows, int64_t places);
/* random.c: cbm_dropout by numbers of this stream. */
cbm_tensor *cbm_dropout_at(cbm_tensor *x, double p, uint64_t seed, uint64_t position);
/* x with an axis of extent 1 put in before axis. */
cbm_tensor *cbm_unsqueeze(cbm_tensor *x, int64_t axis);
/* A list of one value, or of n (depth, height, width: the last of them), as n; an empty list: fallback n times. false:
   another number of values. Which is "one value or two" in words. */
bool cbm_spatial(const cbm_shape *given, int64_t n, int64_t fallback, cbm_shape *out);
const char *cbm_spatial_text(int64_t n);
/* All axes of a tensor but number 1, the channels. */
cbm_shape cbm_axes_but_channels(int64_t rank);
/* A vector of the channels as (1, C, 1, ..), which broadcasts over a tensor of this rank. */
cbm_tensor *cbm_over_channels(cbm_tensor *vector, int64_t rank);
/* resample.c: x interpolated along some axes, in the order that costs least. */
cbm_tensor *cbm_resample_all(cbm_tensor *x, const cbm_resample_attributes *axes, int64_t count);

/* Of each element of index whether no later one along axis names the same of `extent` places: bool. */
cbm_tensor *cbm_scatter_last(cbm_tensor *index, int64_t axis, int64_t extent);
/* 0, 1, .. count - 1. */
cbm_tensor *cbm_counting(cbm_context *cx, int64_t count, cbm_dtype dtype);
/* One more than the greatest of the integers x, which is evaluated, but at least `least`; -1: too large. */
int64_t cbm_number_above(cbm_tensor *x, int64_t least);
cbm_tensor *cbm_drop_axis(cbm_tensor *x, int64_t axis); /* x without an axis of extent 1 */
/* Reads options that may be older (shorter) than this library's; out holds the defaults already. */
void cbm_read_options(void *out, size_t size, const void *options);

#endif
