/* ops/create.h: tensors of numbers in a row, identity matrices, and tensors like others. tensor.h has the plain ones. */
#ifndef CAMBIUM_OPS_CREATE_H
#define CAMBIUM_OPS_CREATE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* start, start + step, ... up to, and without, stop: ceil((stop - start) / step) numbers, f32, f64, bf16 or integers (then start
   and step are whole). step may be negative, not 0, and must lead from start towards stop. */
CBM_API cbm_tensor *cbm_arange(cbm_context *cx, cbm_dtype dtype, double start, double stop, double step);
/* count numbers evenly from start to stop, both of them included (count 1: start); f32, f64 or bf16. */
CBM_API cbm_tensor *cbm_linspace(cbm_context *cx, cbm_dtype dtype, double start, double stop, int64_t count);
/* base to the power of those. base > 0. */
CBM_API cbm_tensor *cbm_logspace(cbm_context *cx, cbm_dtype dtype, double start, double stop, int64_t count,
                                 double base);
/* (rows, columns), ones on the diagonal, zeros elsewhere; any dtype. */
CBM_API cbm_tensor *cbm_eye(cbm_context *cx, cbm_dtype dtype, int64_t rows, int64_t columns);

/* Of x's shape and dtype, in its context. x is not read. */
CBM_API cbm_tensor *cbm_full_like(cbm_tensor *x, double value);
CBM_API cbm_tensor *cbm_zeros_like(cbm_tensor *x);
CBM_API cbm_tensor *cbm_ones_like(cbm_tensor *x);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_arange(...) cbm_at(cbm_arange(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_linspace(...) cbm_at(cbm_linspace(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_logspace(...) cbm_at(cbm_logspace(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_eye(...) cbm_at(cbm_eye(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_full_like(...) cbm_at(cbm_full_like(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_zeros_like(...) cbm_at(cbm_zeros_like(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_ones_like(...) cbm_at(cbm_ones_like(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
