/* ops/index.h: elements chosen by indices: one-hot, gather, scatter. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_INDEX_H
#define CAMBIUM_OPS_INDEX_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Indexing. Indices are i64 or i32 and must lie in range: checked when computed, before anything is committed. */
CBM_API cbm_tensor *cbm_one_hot(cbm_tensor *indices, int64_t classes, cbm_dtype dtype); /* (...) -> (..., classes) */
/* out[i][j][k] = x[i][index[i][j][k]][k] for axis 1: index has x's rank, and x's extents (or less) off the axis. */
CBM_API cbm_tensor *cbm_gather(cbm_tensor *x, int64_t axis, cbm_tensor *index);
/* A copy of x with out[i][index[i][j][k]][k] += source[i][j][k], in order, for axis 1. */
CBM_API cbm_tensor *cbm_scatter_add(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_one_hot(...) cbm_at(cbm_one_hot(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_gather(...) cbm_at(cbm_gather(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_scatter_add(...) cbm_at(cbm_scatter_add(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
