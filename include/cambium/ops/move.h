/* ops/move.h: other shapes, orders and selections of the same elements: axes, parts, joins, repetitions, padding, windows,
   diagonals. Any dtype unless said otherwise; gradients of all. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_MOVE_H
#define CAMBIUM_OPS_MOVE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* ---- axes: no copies where a view serves ---- */
CBM_API cbm_tensor *cbm_reshape(cbm_tensor *x, cbm_shape shape);    /* one extent may be -1 */
CBM_API cbm_tensor *cbm_flatten(cbm_tensor *x, int64_t first_axis); /* axes from first_axis on become one */
CBM_API cbm_tensor *cbm_flatten_axes(cbm_tensor *x, int64_t first_axis,
                                     int64_t last_axis); /* those from first to last */
/* The reverse: axis becomes several of these extents, one of which may be -1. */
CBM_API cbm_tensor *cbm_unflatten(cbm_tensor *x, int64_t axis, cbm_shape extents);
CBM_API cbm_tensor *cbm_permute(cbm_tensor *x, cbm_shape order); /* axis i of the result is axis order[i] of x */
CBM_API cbm_tensor *cbm_transpose(cbm_tensor *x, int64_t axis_a, int64_t axis_b);
CBM_API cbm_tensor *cbm_swapaxes(cbm_tensor *x, int64_t axis_a, int64_t axis_b); /* NumPy's name of cbm_transpose */
CBM_API cbm_tensor *cbm_t(cbm_tensor *x); /* a matrix transposed; at most two dimensions, fewer stay as they are */
/* Axis source[i] goes to place destination[i]; the others keep their order. */
CBM_API cbm_tensor *cbm_movedim(cbm_tensor *x, cbm_shape source, cbm_shape destination);
CBM_API cbm_tensor *cbm_unsqueeze(cbm_tensor *x, int64_t axis); /* an extent of 1 before axis; -1: at the end */
CBM_API cbm_tensor *cbm_squeeze(cbm_tensor *x,
                                cbm_shape axes); /* without the extents of 1 among axes; none named: all */
CBM_API cbm_tensor *cbm_expand(cbm_tensor *x, cbm_shape shape);       /* broadcasts x to shape */
CBM_API cbm_tensor *cbm_broadcast_to(cbm_tensor *x, cbm_shape shape); /* NumPy's name of cbm_expand */
CBM_API cbm_tensor *cbm_expand_as(cbm_tensor *x, cbm_tensor *other);  /* to other's shape */

/* ---- parts ---- */
/* x[start:stop:step] along axis, step >= 1; start and stop may be negative and are clipped as in Python. A copy; another
   start makes no new plan. */
CBM_API cbm_tensor *cbm_slice(cbm_tensor *x, int64_t axis, int64_t start, int64_t stop, int64_t step);
/* x[start:start + length] along axis; start may be negative, counting from the end. What is not all inside is an error. */
CBM_API cbm_tensor *cbm_narrow(cbm_tensor *x, int64_t axis, int64_t start, int64_t length);
/* x at one place of axis, which goes: (.., n, ..) -> (.., ..). index may be negative, counting from the end. */
CBM_API cbm_tensor *cbm_select(cbm_tensor *x, int64_t axis, int64_t index);
/* x in parts along axis; the parts are views, and their gradient is one concatenation. Each function fills parts (for
   which there is room for `room`) and returns how many there are: of length size, the last one shorter; of the given
   sizes, which add up to the extent; `chunks` of equal length, or fewer where the extent does not do (the rest are NULL),
   as in PyTorch; and one for each place of the axis, which goes. On error all of parts are failed tensors and the result
   is 0. */
CBM_API size_t cbm_split_by(cbm_tensor *x, int64_t axis, int64_t size, cbm_tensor **parts, size_t room);
CBM_API size_t cbm_split_sizes(cbm_tensor *x, int64_t axis, const int64_t *sizes, size_t count, cbm_tensor **parts);
CBM_API size_t cbm_chunk(cbm_tensor *x, int64_t axis, size_t chunks, cbm_tensor **parts);
CBM_API size_t cbm_unbind(cbm_tensor *x, int64_t axis, cbm_tensor **parts, size_t room);

/* ---- joins and repetitions ---- */
CBM_API cbm_tensor *cbm_concat(cbm_tensor *const *tensors, size_t count, int64_t axis);
/* Tensors of one shape along a new axis: (..) -> (.., count, ..). axis may be negative: -1 is the result's last. */
CBM_API cbm_tensor *cbm_stack(cbm_tensor *const *tensors, size_t count, int64_t axis);
/* x repeats[i] times along axis i, one copy behind the other; more repeats than dimensions make new ones in front. repeat
   takes at least as many as x has dimensions; in tile's shorter lists those in front are 1. */
CBM_API cbm_tensor *cbm_repeat(cbm_tensor *x, cbm_shape repeats);
CBM_API cbm_tensor *cbm_tile(cbm_tensor *x, cbm_shape repeats);
/* Each place of axis `repeats` times in a row; of its own number of times: counts (n) of i64 or i32, one for each place,
   none negative. The result's shape depends on counts: it evaluates them. */
CBM_API cbm_tensor *cbm_repeat_interleave(cbm_tensor *x, int64_t axis, int64_t repeats);
CBM_API cbm_tensor *cbm_repeat_interleave_each(cbm_tensor *x, int64_t axis, cbm_tensor *counts);
/* Views of count vectors or scalars over their grid, into grids: result i varies along axis i as tensor i does. xy: the
   first two axes change places, as in NumPy's meshgrid. At most CBM_MAX_DIMS tensors of one dtype. false: an error, and
   failed tensors. */
CBM_API bool cbm_meshgrid(cbm_tensor *const *tensors, size_t count, bool xy, cbm_tensor **grids);

/* ---- flips, rolls, padding ---- */
CBM_API cbm_tensor *cbm_flip(cbm_tensor *x, cbm_shape axes); /* back to front along each of axes */
/* y[(i + shifts[k]) mod n] = x[i] along axes[k]; shifts may be negative. No axes: one shift of the flattened tensor. */
CBM_API cbm_tensor *cbm_roll(cbm_tensor *x, cbm_shape shifts, cbm_shape axes);
/* k quarter turns from axis_a towards axis_b. */
CBM_API cbm_tensor *cbm_rot90(cbm_tensor *x, int64_t k, int64_t axis_a, int64_t axis_b);

typedef enum cbm_pad_mode {
    CBM_PAD_CONSTANT = 0,  /* value */
    CBM_PAD_REFLECT = 1,   /* mirrored at the edge, which is not repeated: c b | a b c | b a. Less than the extent */
    CBM_PAD_REPLICATE = 2, /* the edge's element: a a | a b c | c c */
    CBM_PAD_CIRCULAR = 3   /* from the other end: b c | a b c | a b. At most the extent */
} cbm_pad_mode;
typedef struct cbm_pad_options {
    uint64_t struct_size;
    uint64_t mode CBM_DEFAULT(CBM_PAD_CONSTANT);
    double value CBM_DEFAULT(0); /* of CONSTANT, bound at run time; in integers cut off, and kept in range */
} cbm_pad_options;
/* before[i] places in front and after[i] behind, along the last axes: the lists are equally long, and their last entries
   are the last axis's. Negative ones take places away. */
CBM_API cbm_tensor *cbm_pad_with(cbm_tensor *x, cbm_shape before, cbm_shape after, const cbm_pad_options *options);

/* ---- windows ---- */
/* All windows of `size` places along axis, `step` apart: (.., n, ..) -> (.., (n - size) / step + 1, .., size). A view whose
   windows overlap in memory (PyTorch's Tensor.unfold); its gradient adds up what windows share. Floats for gradients. */
CBM_API cbm_tensor *cbm_windows(cbm_tensor *x, int64_t axis, int64_t size, int64_t step);
/* The patches under a sliding kernel as columns: (N, C, H, W) -> (N, C kh kw, L) with L places of the kernel, counted
   row by row; y[n, (c kh + i) kw + j, l] is element (i, j) of patch l, 0 outside of x. A picture without N, (C, H, W), gives
   (C kh kw, L). fold is its adjoint: it adds patches into pictures (H, W) = size. Floats. Lists hold one value or two. */
typedef struct cbm_unfold_options {
    uint64_t struct_size;
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
} cbm_unfold_options;
CBM_API cbm_tensor *cbm_unfold_with(cbm_tensor *x, cbm_shape kernel, const cbm_unfold_options *options);
CBM_API cbm_tensor *cbm_fold_with(cbm_tensor *x, cbm_shape size, cbm_shape kernel, const cbm_unfold_options *options);

/* ---- triangles and diagonals of the matrices in the last two axes ---- */
/* x where column - row <= diagonal (tril) or >= diagonal (triu), else 0. */
CBM_API cbm_tensor *cbm_tril(cbm_tensor *x, int64_t diagonal);
CBM_API cbm_tensor *cbm_triu(cbm_tensor *x, int64_t diagonal);
/* The elements with column - row = offset as the last axis, in place of axis_a (rows) and axis_b (columns). A view. */
CBM_API cbm_tensor *cbm_diagonal(cbm_tensor *x, int64_t offset, int64_t axis_a, int64_t axis_b);
/* The reverse: zeros with x's last axis on that diagonal of square matrices in the result's axes axis_a and axis_b. */
CBM_API cbm_tensor *cbm_diag_embed(cbm_tensor *x, int64_t offset, int64_t axis_a, int64_t axis_b);
CBM_API cbm_tensor *cbm_diag(cbm_tensor *x, int64_t offset); /* vector -> matrix with it; matrix -> its diagonal */

CBM_END_DECLS

#ifndef __cplusplus
/* cbm_pad(x, CBM_SHAPE(1, 2), CBM_SHAPE(1, 2), .mode = CBM_PAD_REFLECT): a row above and below, two columns left and right */
#define cbm_pad(...) cbm_at(CBM_PAD_(__VA_ARGS__, .struct_size = sizeof(cbm_pad_options)), __FILE__, __LINE__)
#define CBM_PAD_(x, before, after, ...)                                                                                \
    CBM_OPTIONS_(cbm_pad_options, cbm_pad_with(x, before, after, &cbm_o_), .value = 0, __VA_ARGS__)
#define CBM_UNFOLD_DEFAULTS .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }
/* cbm_unfold(x, CBM_SHAPE(3), .padding = CBM_SHAPE(1)) */
#define cbm_unfold(...) cbm_at(CBM_UNFOLD_(__VA_ARGS__, .struct_size = sizeof(cbm_unfold_options)), __FILE__, __LINE__)
#define CBM_UNFOLD_(x, kernel, ...)                                                                                    \
    CBM_OPTIONS_(cbm_unfold_options, cbm_unfold_with(x, kernel, &cbm_o_), CBM_UNFOLD_DEFAULTS, __VA_ARGS__)
#define cbm_fold(...) cbm_at(CBM_FOLD_(__VA_ARGS__, .struct_size = sizeof(cbm_unfold_options)), __FILE__, __LINE__)
#define CBM_FOLD_(x, size, kernel, ...)                                                                                \
    CBM_OPTIONS_(cbm_unfold_options, cbm_fold_with(x, size, kernel, &cbm_o_), CBM_UNFOLD_DEFAULTS, __VA_ARGS__)
#else
CBM_CPP_OPTIONS_(cbm_pad, cbm_pad_options,
                 (cbm_tensor * x, cbm_shape before, cbm_shape after, const cbm_pad_options &options = {}),
                 (x, before, after, &o))
CBM_CPP_OPTIONS_(cbm_unfold, cbm_unfold_options,
                 (cbm_tensor * x, cbm_shape kernel, const cbm_unfold_options &options = {}), (x, kernel, &o))
CBM_CPP_OPTIONS_(cbm_fold, cbm_unfold_options,
                 (cbm_tensor * x, cbm_shape size, cbm_shape kernel, const cbm_unfold_options &options = {}),
                 (x, size, kernel, &o))
#endif

#ifndef CBM_NO_CALL_SITES
#define cbm_reshape(...) cbm_at(cbm_reshape(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_flatten(...) cbm_at(cbm_flatten(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_flatten_axes(...) cbm_at(cbm_flatten_axes(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_unflatten(...) cbm_at(cbm_unflatten(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_permute(...) cbm_at(cbm_permute(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_transpose(...) cbm_at(cbm_transpose(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_swapaxes(...) cbm_at(cbm_swapaxes(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_t(...) cbm_at(cbm_t(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_movedim(...) cbm_at(cbm_movedim(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_unsqueeze(...) cbm_at(cbm_unsqueeze(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_squeeze(...) cbm_at(cbm_squeeze(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_expand(...) cbm_at(cbm_expand(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_broadcast_to(...) cbm_at(cbm_broadcast_to(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_expand_as(...) cbm_at(cbm_expand_as(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_slice(...) cbm_at(cbm_slice(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_narrow(...) cbm_at(cbm_narrow(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_select(...) cbm_at(cbm_select(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_concat(...) cbm_at(cbm_concat(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_stack(...) cbm_at(cbm_stack(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_repeat(...) cbm_at(cbm_repeat(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_tile(...) cbm_at(cbm_tile(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_repeat_interleave(...) cbm_at(cbm_repeat_interleave(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_repeat_interleave_each(...) cbm_at(cbm_repeat_interleave_each(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_flip(...) cbm_at(cbm_flip(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_roll(...) cbm_at(cbm_roll(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_rot90(...) cbm_at(cbm_rot90(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_windows(...) cbm_at(cbm_windows(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_tril(...) cbm_at(cbm_tril(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_triu(...) cbm_at(cbm_triu(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_diagonal(...) cbm_at(cbm_diagonal(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_diag_embed(...) cbm_at(cbm_diag_embed(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_diag(...) cbm_at(cbm_diag(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
