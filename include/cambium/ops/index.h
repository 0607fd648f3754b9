/* ops/index.h: elements chosen by indices and masks: gather, scatter, rows, selections. Indices are i64 or i32 and count from
   0; that they lie in range is checked when they are computed, before anything is committed. See ops.h for what holds for
   all operations. */
#ifndef CAMBIUM_OPS_INDEX_H
#define CAMBIUM_OPS_INDEX_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

CBM_API cbm_tensor *cbm_one_hot(cbm_tensor *indices, int64_t classes, cbm_dtype dtype); /* (...) -> (..., classes) */

/* ---- an index for each element: index has x's rank, and x's extents (or less) off the axis ---- */
/* out[i][j][k] = x[i][index[i][j][k]][k] for axis 1. */
CBM_API cbm_tensor *cbm_gather(cbm_tensor *x, int64_t axis, cbm_tensor *index);
/* The same with extents that broadcast off the axis. */
CBM_API cbm_tensor *cbm_take_along_dim(cbm_tensor *x, cbm_tensor *index, int64_t axis);
/* A copy of x with out[i][index[i][j][k]][k] = source[i][j][k] for axis 1; source has index's shape. Of several for one
   place the last one stays, in row-major order, and it alone gets a gradient. scatter_value: a number for source. */
CBM_API cbm_tensor *cbm_scatter(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source);
CBM_API cbm_tensor *cbm_scatter_value(cbm_tensor *x, int64_t axis, cbm_tensor *index, double value);
/* The same with +=, in order; numbers, not bool. */
CBM_API cbm_tensor *cbm_scatter_add(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source);
/* The same, where all that meet at a place are reduced to one. include_self: x's element is one of them; otherwise it gives
   way to them, and stays where nothing comes. Numbers, MEAN: floats. Of AMAX and AMIN NaN wins, and ties share the gradient
   evenly. */
typedef enum cbm_scatter_how {
    CBM_SCATTER_SUM = 0,
    CBM_SCATTER_PROD = 1,
    CBM_SCATTER_MEAN = 2,
    CBM_SCATTER_AMAX = 3,
    CBM_SCATTER_AMIN = 4
} cbm_scatter_how;
CBM_API cbm_tensor *cbm_scatter_reduce(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source,
                                       cbm_scatter_how how, bool include_self);

/* ---- an index for each row: index is a vector (k), or a scalar, which counts as one of one ---- */
/* Places index of axis: (.., n, ..) -> (.., k, ..). */
CBM_API cbm_tensor *cbm_index_select(cbm_tensor *x, int64_t axis, cbm_tensor *index);
/* A copy of x in which the places index of axis get alpha source added, in order; become source's (the last one stays and
   gets the gradient); become value. source (.., k, ..). value of an integer dtype is cut off and kept in range. */
CBM_API cbm_tensor *cbm_index_add(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source, double alpha);
CBM_API cbm_tensor *cbm_index_copy(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source);
CBM_API cbm_tensor *cbm_index_fill(cbm_tensor *x, int64_t axis, cbm_tensor *index, double value);
CBM_API cbm_tensor *cbm_take(cbm_tensor *x, cbm_tensor *index); /* of the flattened x: index's shape */

/* ---- masks: bool, and broadcasting to x ---- */
CBM_API cbm_tensor *cbm_masked_fill(cbm_tensor *x, cbm_tensor *mask, double value); /* mask ? value : x */
/* The elements of x where mask holds, in order: (count). x broadcasts too. The result's shape depends on mask, which is
   evaluated at once, with all earlier pending effects; x is not. Differentiable in x. */
CBM_API cbm_tensor *cbm_masked_select(cbm_tensor *x, cbm_tensor *mask);
/* Where x is not 0: a row of indices for each such element, in order, i64 (count, rank). The result's shape depends on x,
   which is evaluated at once, with all earlier pending effects. nonzero_axes: the same as a vector for each axis, as
   indices[0] to indices[rank - 1] (PyTorch's where with one argument); at least one dimension. Returns their number, or 0
   and, if rank allows, failed tensors. */
CBM_API cbm_tensor *cbm_nonzero(cbm_tensor *x);
CBM_API size_t cbm_nonzero_axes(cbm_tensor *x, cbm_tensor **indices, size_t room);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_one_hot(...) cbm_at(cbm_one_hot(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_gather(...) cbm_at(cbm_gather(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_take_along_dim(...) cbm_at(cbm_take_along_dim(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_scatter(...) cbm_at(cbm_scatter(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_scatter_value(...) cbm_at(cbm_scatter_value(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_scatter_add(...) cbm_at(cbm_scatter_add(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_scatter_reduce(...) cbm_at(cbm_scatter_reduce(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_index_select(...) cbm_at(cbm_index_select(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_index_add(...) cbm_at(cbm_index_add(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_index_copy(...) cbm_at(cbm_index_copy(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_index_fill(...) cbm_at(cbm_index_fill(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_take(...) cbm_at(cbm_take(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_masked_fill(...) cbm_at(cbm_masked_fill(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_masked_select(...) cbm_at(cbm_masked_select(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_nonzero(...) cbm_at(cbm_nonzero(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
