/* autograd.h: gradients by reverse-mode differentiation of what was recorded. */
#ifndef CAMBIUM_AUTOGRAD_H
#define CAMBIUM_AUTOGRAD_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Adds d loss / d p to the gradient of every trainable variable p that loss (one element, floating) depends on. Only
   records; nothing is computed. The graph's history is released: a second backward through it is an error unless
   cbm_backward_retain was used. */
CBM_API cbm_status cbm_backward(cbm_tensor *loss);
CBM_API cbm_status cbm_backward_retain(cbm_tensor *loss);
/* The same, but only for the parameters of opt. */
CBM_API cbm_status cbm_backward_into(cbm_tensor *loss, cbm_optimizer *opt);
/* The same for any list of variables. */
CBM_API cbm_status cbm_backward_variables(cbm_tensor *loss, cbm_tensor *const *variables, size_t count);

typedef struct cbm_grad_options {
    uint64_t struct_size;
    cbm_tensor *weight CBM_DEFAULT(NULL); /* the vector of the vector-Jacobian product; NULL: ones */
    uint64_t create_graph CBM_DEFAULT(0); /* 1: the gradients can be differentiated again */
    uint64_t retain_graph CBM_DEFAULT(0); /* 1: y's history is kept (implied by create_graph) */
} cbm_grad_options;

/* grads[i] = d (sum(weight * y)) / d xs[i], for tensors xs that require a gradient (variables, and what was computed from
   them before y); zeros where y does not depend on it. In a no-grad scope, of what was recorded there, an error.
   The gradients are new tensors of the current scope; nothing is accumulated anywhere. */
CBM_API cbm_status cbm_grad_with(cbm_tensor *y, cbm_tensor *const *xs, size_t count, cbm_tensor **grads,
                                 const cbm_grad_options *options);
CBM_API cbm_status cbm_grad_of(cbm_tensor *y, cbm_tensor *const *xs, size_t count, cbm_tensor **grads);

/* The gradient of a variable (NULL: none so far); clear it. It lives with the variable, outside scopes. */
CBM_API cbm_tensor *cbm_gradient(cbm_tensor *variable);
CBM_API void cbm_set_gradient(cbm_tensor *variable, cbm_tensor *gradient);
CBM_API void cbm_clear_gradient(cbm_tensor *variable);

/* Calls hook while backward records: with the gradient of t, returns the gradient to use instead (or the same). */
typedef cbm_tensor *(*cbm_hook_fn)(cbm_tensor *gradient, void *user);
CBM_API cbm_status cbm_add_hook(cbm_tensor *t, cbm_hook_fn hook, void *user, void (*destroy)(void *user));

CBM_END_DECLS

#ifdef __cplusplus
static inline cbm_status cbm_grad(cbm_tensor *y, cbm_tensor *const *xs, size_t count, cbm_tensor **grads,
                                  const cbm_grad_options &options = {})
{
    cbm_grad_options o = options;
    o.struct_size = sizeof o;
    return cbm_grad_with(y, xs, count, grads, &o);
}
#else
/* cbm_grad(y, xs, count, grads, .create_graph = true) */
#define cbm_grad(...) CBM_GRAD_(__VA_ARGS__, .struct_size = sizeof(cbm_grad_options))
#define CBM_GRAD_(y, xs, count, grads, ...)                                                                            \
    CBM_OPTIONS_(cbm_grad_options, cbm_grad_with(y, xs, count, grads, &cbm_o_), .retain_graph = 0, __VA_ARGS__)
#endif

#endif
