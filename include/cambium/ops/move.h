/* ops/move.h: other shapes and orders of the same elements: reshape, permute, expand, slice, concat. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_MOVE_H
#define CAMBIUM_OPS_MOVE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

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

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_reshape(...) cbm_at(cbm_reshape(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_flatten(...) cbm_at(cbm_flatten(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_permute(...) cbm_at(cbm_permute(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_transpose(...) cbm_at(cbm_transpose(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_expand(...) cbm_at(cbm_expand(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_slice(...) cbm_at(cbm_slice(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_concat(...) cbm_at(cbm_concat(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
