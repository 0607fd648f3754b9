/* attributes.h: the attribute structs of the built-in operations, shared by their records and by the kernels of every
   backend, and the order of each operation's inputs and outputs. Every field is 8 bytes wide; lists are canonical (axes
   sorted and not negative, strides and paddings an entry a dimension), so that equal attributes are equal bytes. */
#ifndef CAMBIUM_ATTRIBUTES_H
#define CAMBIUM_ATTRIBUTES_H

#include <cambium/operation.h>

/* sum, prod, mean, max, min, any, all, logsumexp: x -> y. argmax, argmin: x -> i64; one axis, or all axes (the index is
   flat). */
typedef struct cbm_reduce_attributes {
    cbm_shape axes; /* sorted, never empty unless x has rank 0 */
    int64_t keepdim;
} cbm_reduce_attributes;

static inline bool cbm_is_reduced(const cbm_shape *axes, int64_t axis)
{
    for (int64_t i = 1; i <= axes->v[0]; i++)
        if (axes->v[i] == axis)
            return true;
    return false;
}

/* var, std: x -> y, mean. */
typedef struct cbm_var_attributes {
    cbm_reduce_attributes over;
    double correction;
} cbm_var_attributes;

/* norm: x -> (sum |x|^p)^(1/p); p infinite: max |x|, min |x|; p 0: how many are not 0. */
typedef struct cbm_norm_attributes {
    cbm_reduce_attributes over;
    double p;
} cbm_norm_attributes;

/* kth_index: x -> i64 with an extent of 1 at axis: the place of the element that stands at place k when they are sorted
   (equal ones in their order, NaN behind all numbers). nan_wins: of the first NaN if there is one. */
typedef struct cbm_kth_attributes {
    int64_t axis, k, nan_wins;
} cbm_kth_attributes;

/* cumsum, cumprod, logcumsumexp: x -> y. cummax_index, cummin_index: x -> i64. linear_scan: a, b -> y. */
typedef struct cbm_scan_attributes {
    int64_t axis, reverse;
} cbm_scan_attributes;

/* softmax, log_softmax: x -> y */
typedef struct cbm_axis_attributes {
    int64_t axis;
} cbm_axis_attributes;

/* concat: tensors -> y. gather: x, index -> y. scatter_add: x, index, source -> y. All three have cbm_axis_attributes. */

/* index_select: x, index -> y. index_add, index_copy: x, index, source -> y. scatter: x, index, source -> y. These have
   cbm_axis_attributes too. */

/* index_fill: x, index -> y */
typedef struct cbm_index_fill_attributes {
    int64_t axis;
    double value; /* bound at run time */
} cbm_index_fill_attributes;

/* scatter_reduce: x, index, source -> y */
typedef struct cbm_scatter_reduce_attributes {
    int64_t axis;
    int64_t how; /* a cbm_scatter_how */
    int64_t include_self;
} cbm_scatter_reduce_attributes;

/* scatter_last: index -> bool */
typedef struct cbm_scatter_last_attributes {
    int64_t axis, extent;
} cbm_scatter_last_attributes;

/* sort: x -> values, places */
typedef struct cbm_sort_attributes {
    int64_t axis, descending;
} cbm_sort_attributes;

/* topk: x -> values, places */
typedef struct cbm_topk_attributes {
    int64_t axis, k, largest, sorted;
} cbm_topk_attributes;

/* searchsorted: sequences, values -> places */
typedef struct cbm_search_attributes {
    int64_t right;
} cbm_search_attributes;

/* bincount: x[, weights] -> (bins). histogram: x, edges[, weights] -> (bins); no attributes. */
typedef struct cbm_bincount_attributes {
    int64_t bins;
} cbm_bincount_attributes;

/* embedding: indices, weight -> y */
typedef struct cbm_embedding_attributes {
    int64_t padding; /* -1: none */
} cbm_embedding_attributes;

/* embedding_backward: indices, g -> dweight of so many rows */
typedef struct cbm_embedding_backward_attributes {
    int64_t rows, padding;
} cbm_embedding_backward_attributes;

/* bag_of: offsets -> the bag of each of count indices */
typedef struct cbm_bag_of_attributes {
    int64_t count;
} cbm_bag_of_attributes;

/* embedding_bag: weight, indices[, offsets][, per_sample_weights] -> y, rows of the maxima (MAX only, else (0)) */
typedef struct cbm_bag_attributes {
    int64_t mode;     /* a cbm_bag_mode */
    int64_t fixed;    /* no offsets: indices (bags, length) */
    int64_t weighted; /* with per_sample_weights */
    int64_t last;     /* offsets has one more, the last bag's end */
    int64_t padding;  /* -1: none */
} cbm_bag_attributes;

/* reshape, expand: x -> y of that shape. permute: the shape is the order of the axes. */
typedef struct cbm_shape_attributes {
    cbm_shape shape;
} cbm_shape_attributes;

/* slice: x -> y, y[i] = x[start + i * step] along axis for i < length. slice_scatter: base, source -> base with
   source put at those places. */
typedef struct cbm_slice_attributes {
    int64_t axis, start, step, length;
} cbm_slice_attributes;

/* split: x -> 4 parts, part i is sizes[i] long along the axis. */
typedef struct cbm_split_attributes {
    int64_t axis;
    cbm_shape sizes; /* 4 of them; what is not needed is 0 long */
} cbm_split_attributes;

/* pad: x -> y, y[i] = x[i - before] along each axis, value where that is outside of x. The lists have x's rank. */
typedef struct cbm_pad_attributes {
    cbm_shape before, after;
    double value; /* bound at run time */
} cbm_pad_attributes;

/* pad_edge: x -> y, padded with elements of x as mode says. pad_edge_backward: g -> dx of input_shape. */
typedef struct cbm_pad_edge_attributes {
    cbm_shape before, after, input_shape; /* of equal rank */
    int64_t mode;                         /* a cbm_pad_mode other than CONSTANT */
} cbm_pad_edge_attributes;

/* flip: x -> y. */
typedef struct cbm_axes_attributes {
    cbm_shape axes; /* sorted */
} cbm_axes_attributes;

/* roll: x -> y, one shift for each axis, 0 <= shift < its extent (0 for an empty one). Bound at run time. */
typedef struct cbm_roll_attributes {
    cbm_shape shifts;
} cbm_roll_attributes;

/* windows: x -> y (.., places, .., size); windows_add: g -> dx, `extent` long along the axis. */
typedef struct cbm_windows_attributes {
    int64_t axis, size, step, extent;
} cbm_windows_attributes;

/* unfold: x (N, C, image) -> columns (N, C kh kw, L); fold: columns -> y (N, C, image). */
typedef struct cbm_unfold_attributes {
    cbm_shape kernel, stride, padding, dilation, image; /* height, width */
} cbm_unfold_attributes;

/* tril, triu: x -> y. */
typedef struct cbm_triangle_attributes {
    int64_t diagonal; /* bound at run time */
} cbm_triangle_attributes;

/* diagonal: x -> y without the two axes, and the diagonal as its last one. */
typedef struct cbm_diagonal_attributes {
    int64_t offset, axis_a, axis_b; /* rows, columns */
} cbm_diagonal_attributes;

/* diag_embed: x (.., n) -> y (.., rows, columns), 0 off the diagonal. */
typedef struct cbm_diag_embed_attributes {
    int64_t offset, rows, columns;
} cbm_diag_embed_attributes;

/* one_hot: indices -> (..., classes) */
typedef struct cbm_one_hot_attributes {
    int64_t classes;
    int64_t dtype;
} cbm_one_hot_attributes;

/* cast: x -> y */
typedef struct cbm_cast_attributes {
    int64_t dtype;
} cbm_cast_attributes;

/* conv1d, conv2d, conv3d: x, weight[, bias] -> y. convNd_input_grad: g, weight -> dx of input_shape. convNd_weight_grad:
   x, g -> dweight of weight_shape. All carry both shapes. The lists have N entries: depth, height, width. */
typedef struct cbm_conv_attributes {
    cbm_shape stride, padding, dilation;
    int64_t groups;
    cbm_shape input_shape, weight_shape;
} cbm_conv_attributes;

/* max_poolNd: x -> y, place in the window ((i * kernel height + j) * kernel width + k; u8, or i64 for windows of more than
   256 places). max_poolNd_backward: g, place -> dx of input_shape. max_poolNd_take: x, place -> y. avg_poolNd: x -> y.
   avg_poolNd_backward: g -> dx of input_shape. The lists have N entries: depth, height, width. */
typedef struct cbm_pool_attributes {
    cbm_shape kernel, stride, padding, dilation;
    int64_t ceil_mode;   /* windows may reach over the end */
    int64_t exclude_pad; /* averages */
    int64_t divisor;     /* averages: not 0: in place of the number of places */
    cbm_shape input_shape;
} cbm_pool_attributes;

/* adaptive_max_pool: x (N, C, then one to three dimensions) -> y, index (i64) of each maximum among the places of its
   channel. max_unpool: x, index -> y. */
typedef struct cbm_output_attributes {
    cbm_shape output; /* an entry a dimension */
} cbm_output_attributes;

/* resample: x -> y, axis of `input` elements into `output`. resample_backward: g -> dx. */
typedef struct cbm_resample_attributes {
    int64_t axis, input, output;
    int64_t mode; /* a cbm_interpolation */
    int64_t align_corners;
    double scale; /* 0: output / input */
} cbm_resample_attributes;

/* batch_norm (training): x, weight, bias -> y, mean, rstd with rstd = 1 / sqrt(biased variance + eps).
   batch_norm_backward: x, weight, mean, rstd, g -> dx, dweight, dbias.
   batch_norm_relu_backward: x, weight, bias, mean, rstd, g -> dx, dweight, dbias. */
typedef struct cbm_batch_norm_attributes {
    double eps;
} cbm_batch_norm_attributes;

/* layer_norm: x, weight, bias -> y, mean, rstd, the last `axes` axes of x normalised together; weight and bias have their
   shape, mean and rstd that of the axes before them. layer_norm_backward: x, weight, mean, rstd, g -> dx, dweight, dbias.
   rms_norm: x, weight -> y, rstd with rstd = 1 / sqrt(mean of x^2 + eps). rms_norm_backward: x, weight, rstd, g -> dx,
   dweight. */
typedef struct cbm_layer_norm_attributes {
    int64_t axes;
    double eps;
} cbm_layer_norm_attributes;

/* group_norm: x (N, C, ...), weight (C), bias (C) -> y, mean (N, groups), rstd (N, groups).
   group_norm_backward: x, weight, mean, rstd, g -> dx, dweight, dbias. */
typedef struct cbm_group_norm_attributes {
    int64_t groups;
    double eps;
} cbm_group_norm_attributes;

/* cross_entropy: logits (N, C, ...), targets (N, ...) -> mean loss (a scalar), log-sum-exp of the targets' shape.
   cross_entropy_backward: logits, targets, log-sum-exp, g (a scalar) -> dlogits. No attributes. */

/* rnn, lstm, gru: x_gates (T, B, gates H), w_hh (gates H, P), then those of bias, h0, c0, w_hr, lengths that are given ->
   y (T, B, P), h (B, P); lstm: also c (B, H) and kept (T, B, 5 H) = i, f, g, o, c; gru: kept (T, B, 4 H) = r, z, n, and the
   recurrent part of n. P = H but for an lstm with w_hr (P, H). bias (H, 4 H, 4 H); a gru's are r, z, n and the recurrent n.
   rnn_backward, lstm_backward, gru_backward: w_hh, then those given of h0 (gru), c0, w_hr, lengths, y (rnn, gru), kept (lstm,
   gru), gy, gh, gc -> dx_gates, dbias; lstm: dc0, and dh (T, B, P), the whole gradient of each step's h, for dw_hr; gru: dn
   (T, B, H), the gradient of the recurrent part of n, and dh0. Results that do not apply have no elements. */
typedef struct cbm_recurrent_attributes {
    int64_t given;   /* the optional inputs: bits of cbm_recurrent_input, in this order */
    int64_t reverse; /* from the last step to the first */
    int64_t relu;    /* of an rnn, instead of tanh */
    int64_t keep;    /* kept is made, for backward */
} cbm_recurrent_attributes;
typedef enum cbm_recurrent_input {
    CBM_GIVEN_BIAS,
    CBM_GIVEN_H0,
    CBM_GIVEN_C0,
    CBM_GIVEN_W_HR,
    CBM_GIVEN_LENGTHS,
    CBM_GIVEN_Y,
    CBM_GIVEN_KEPT,
    CBM_GIVEN_GY,
    CBM_GIVEN_GH,
    CBM_GIVEN_GC
} cbm_recurrent_input;
/* The number of an optional input, after `first` that are always there; -1: not given. */
static inline int cbm_recurrent_place(const cbm_recurrent_attributes *a, cbm_recurrent_input which, int first)
{
    const uint64_t given = (uint64_t)a->given, bit = (uint64_t)1 << which;
    return given & bit ? first + __builtin_popcountll(given & (bit - 1)) : -1;
}

/* cross_entropy_rows: logits (N, C, ...), targets (N, ...) -> losses, log-sum-exp, both of the targets' shape.
   cross_entropy_rows_backward: logits, targets, log-sum-exp, g (of the targets' shape) -> dlogits. */
typedef struct cbm_cross_entropy_attributes {
    double smoothing; /* bound at run time */
} cbm_cross_entropy_attributes;

/* huber: x, target -> loss of each element. */
typedef struct cbm_huber_attributes {
    double delta; /* bound at run time */
} cbm_huber_attributes;

/* ctc_loss: log-probabilities (T, N, C), targets (N, S), input lengths (N), target lengths (N) -> loss (N), occupancy
   (T, N, C). ctc_occupancy_along: the same and a direction (T, N, C) -> (T, N, C). */
typedef struct cbm_ctc_attributes {
    int64_t blank, zero_infinity;
} cbm_ctc_attributes;

/* attention: q (.., Hq, L, E), k (.., Hk, S, E), v (.., Hk, S, Ev)[, mask] -> y (.., Hq, L, Ev), log-sum-exp (.., Hq, L), -inf
   where a row sees nothing. attention_backward: q, k, v[, mask], y, log-sum-exp, g -> dq, dk, dv. Element (.., i, j) of the
   scores is dropped where number ((.. Hq + h) L + i) S + j of the stream is below p. */
typedef struct cbm_attention_attributes {
    int64_t masked, causal, dropped; /* there is a mask; dropout takes place */
    double scale, p, keep_scale;     /* bound at run time; keep_scale = 1 / (1 - p) */
    uint64_t seed, position;         /* bound at run time */
} cbm_attention_attributes;

/* solve: a, b[, lu, pivots] -> x: a x = b, or a^T x = b; lu and pivots are lu_factor's of a. */
typedef struct cbm_solve_attributes {
    int64_t transpose;
} cbm_solve_attributes;

/* solve_triangular: a, b -> x: the same with a triangle of a; unit: its diagonal counts as ones. */
typedef struct cbm_triangular_attributes {
    int64_t upper, transpose, unit;
} cbm_triangular_attributes;

/* pinv: a -> a+; singular values up to rcond times the largest count as 0. */
typedef struct cbm_pinv_attributes {
    double rcond; /* bound at run time */
} cbm_pinv_attributes;

/* uniform, normal: -> y: low + (high - low) u, mean + deviation n. */
typedef struct cbm_random_attributes {
    cbm_shape shape;
    int64_t dtype;
    double a, b;             /* low, high; mean, deviation. Bound at run time */
    uint64_t seed, position; /* bound at run time */
} cbm_random_attributes;

/* arange, linspace: -> y (count): start + i second; from start to second. */
typedef struct cbm_row_attributes {
    int64_t count, dtype;
    double start, second; /* bound at run time */
} cbm_row_attributes;

static inline double cbm_row_arange(const cbm_row_attributes *a, int64_t i)
{
    return a->start + (double)i * a->second;
}
static inline double cbm_row_linspace(const cbm_row_attributes *a, int64_t i)
{
    const double step = a->count > 1 ? (a->second - a->start) / (double)(a->count - 1) : 0;
    return i < a->count / 2 || a->count == 1 ? a->start + (double)i * step
                                             : a->second - (double)(a->count - 1 - i) * step;
}

/* scalar, full: -> y, every element value (bound at run time). */
typedef struct cbm_full_attributes {
    cbm_shape shape;
    int64_t dtype;
    double value;
} cbm_full_attributes;

#endif
