/* ops/linalg.h: products of matrices. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_LINALG_H
#define CAMBIUM_OPS_LINALG_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* (..., m, k) x (..., k, n) -> (..., m, n); leading dimensions broadcast; one-dimensional operands as in PyTorch. */
CBM_API cbm_tensor *cbm_matmul(cbm_tensor *a, cbm_tensor *b);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_matmul(...) cbm_at(cbm_matmul(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
