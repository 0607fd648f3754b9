/* tensor.h: making tensors, looking at them, reading them back, and variables. */
#ifndef CAMBIUM_TENSOR_H
#define CAMBIUM_TENSOR_H

#include <cambium/context.h>

CBM_BEGIN_DECLS

/* A tensor from host memory, copied now (row-major). data NULL is allowed when the shape holds no elements. */
CBM_API cbm_tensor *cbm_tensor_from(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, const void *data);
/* A tensor over the caller's memory, not copied: it must stay unchanged until release(data, user) is called (NULL: for as
   long as the context lives). Row-major, aligned to its element. */
CBM_API cbm_tensor *cbm_tensor_borrow(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, void *data,
                                      void (*release)(void *data, void *user), void *user);
/* Filled tensors. */
CBM_API cbm_tensor *cbm_full(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double value);
CBM_API cbm_tensor *cbm_zeros(cbm_context *cx, cbm_dtype dtype, cbm_shape shape);
CBM_API cbm_tensor *cbm_ones(cbm_context *cx, cbm_dtype dtype, cbm_shape shape);
/* A scalar (no dimensions). Its value is bound when the plan runs: changing it makes no new plan. */
CBM_API cbm_tensor *cbm_scalar(cbm_context *cx, cbm_dtype dtype, double value);

CBM_API cbm_context *cbm_tensor_context(const cbm_tensor *t);
CBM_API cbm_shape cbm_tensor_shape(const cbm_tensor *t); /* of a failed tensor: CBM_SHAPE(0) */
CBM_API cbm_dtype cbm_tensor_dtype(const cbm_tensor *t);
CBM_API int64_t cbm_tensor_rank(const cbm_tensor *t);
CBM_API int64_t cbm_tensor_size(const cbm_tensor *t, int64_t axis); /* axis -1 is the last; 0 for a failed tensor */
CBM_API int64_t cbm_tensor_count(const cbm_tensor *t);              /* number of elements */
CBM_API size_t cbm_tensor_bytes(const cbm_tensor *t);               /* of its elements: what cbm_read fills */
CBM_API bool cbm_tensor_failed(const cbm_tensor *t);
CBM_API bool cbm_tensor_requires_grad(const cbm_tensor *t);

/* Computes t if needed and copies it, row-major, into out, which must hold size bytes, exactly t's. On error out is
   filled with zeros and the status returned. */
CBM_API cbm_status cbm_read(cbm_tensor *t, void *out, size_t size);
/* The only element as a double; NaN on error or if t has not exactly one element. */
CBM_API double cbm_item(cbm_tensor *t);
/* Computes t if needed and points to its elements, row-major, not to be written to; NULL on error. Valid while the handle
   is: beyond its scope with cbm_retain, beyond its context with cbm_to_dlpack. Of a variable: until the next evaluation,
   which may write there or move it. Also NULL for no elements over borrowed memory that is NULL. */
CBM_API const void *cbm_tensor_data(cbm_tensor *t);
/* Computes these tensors (with all earlier pending effects) in one plan. */
CBM_API cbm_status cbm_compute(cbm_tensor *const *tensors, size_t count);
/* Asks that the next evaluation keep t, so that it can be read afterwards at no cost. Returns t. */
CBM_API cbm_tensor *cbm_want(cbm_tensor *t);

/* One more owner of a handle, outside scopes; and one less. Both accept NULL and failed tensors. */
CBM_API cbm_tensor *cbm_retain(cbm_tensor *t);
CBM_API void cbm_release(cbm_tensor *t);
/* Stores t in a struct: retains t, releases what *place held (which must be NULL or valid). t may be NULL. */
CBM_API void cbm_set(cbm_tensor **place, cbm_tensor *t);

/* A variable: it lives until released or the context is closed, outside scopes, and can be assigned. Starts with
   initial's value (read at the next evaluation, no copy of history). trainable: operations on it are differentiated. */
CBM_API cbm_tensor *cbm_variable(cbm_tensor *initial, bool trainable);
CBM_API bool cbm_is_variable(const cbm_tensor *t);
/* Freezes or thaws a variable. */
CBM_API void cbm_set_trainable(cbm_tensor *variable, bool trainable);
/* A new version of the variable, of the same shape and dtype. Earlier reads keep the old version. An effect: it happens
   exactly once, at the next evaluation. */
CBM_API void cbm_assign(cbm_tensor *variable, cbm_tensor *value);
/* The same from host memory; size must be the variable's bytes exactly. */
CBM_API cbm_status cbm_write(cbm_tensor *variable, const void *data, size_t size);

/* Gives the variable source's memory instead of its own, without copying. source is a computed tensor of the same shape
   and dtype, of this or of another context, which no other thread may use meanwhile. From then on neither overwrites that
   memory: an assignment to either makes a new version elsewhere. For one set of weights in many contexts (session.h). */
CBM_API cbm_status cbm_share(cbm_tensor *variable, const cbm_tensor *source);

/* Stamps the user's line on the operation that made t, or on the error that it met. Used by the operations' macros. */
CBM_API cbm_tensor *cbm_at(cbm_tensor *t, const char *file, int line);

/* A handle without history: gradients stop here. */
CBM_API cbm_tensor *cbm_detach(cbm_tensor *t);

/* How t was recorded, as an expression of operations, "mul(g, sub(1, y))": at most size bytes with the final 0; returns the
   length of the whole text (of a very large one, a lower bound). known[i], if it is met, is called names[i] and not followed further. What has been
   computed and forgot its history is called "value" or "variable". */
CBM_API size_t cbm_tensor_expression(const cbm_tensor *t, cbm_tensor *const *known, const char *const *names,
                                     size_t count, char *buffer, size_t size);

/* Prints like NumPy does, at most size bytes with the final 0; returns the length of the whole text. Computes t. */
CBM_API size_t cbm_tensor_format(cbm_tensor *t, char *buffer, size_t size);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_full(...) cbm_at(cbm_full(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_zeros(...) cbm_at(cbm_zeros(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_ones(...) cbm_at(cbm_ones(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
