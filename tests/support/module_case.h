/* module_case.h: modules against what PyTorch's gave: cases stored in a safetensors file under "CASE.NAME", their parameters
   under "CASE.init.NAME", gradients under "CASE.grad.NAME". Rests on the library and cmocka. */
#ifndef CAMBIUM_TESTS_MODULE_CASE_H
#define CAMBIUM_TESTS_MODULE_CASE_H

#include <cambium/cambium.h>

typedef struct module_case {
    cbm_context *cx;
    cbm_safetensors *file;
    const char *path, *name, *device;
    cbm_dtype dtype;  /* in the place of the file's f64 */
    double limit;     /* of differences */
    cbm_tensor *loss; /* of module_case_output's tensors so far */
} module_case;

/* Opens the file in a new context; module_case_close ends both. */
module_case module_case_open(const char *path, const char *name, const char *device, cbm_dtype dtype, double limit);
void module_case_close(module_case *c);

/* "CASE.NAME", a variable if it holds floats; NULL: the file has no such tensor. */
cbm_tensor *module_case_tensor(module_case *c, const char *name);
void module_case_load(module_case *c, cbm_module *net);
/* Compares a result with the stored one, and adds sum(result cos(i + 1)) to the loss. */
void module_case_output(module_case *c, const char *name, cbm_tensor *result);
/* Differentiates the loss, and compares the parameters' gradients and those of the variables given, "CASE.grad_NAME". */
void module_case_backward(module_case *c, cbm_module *net, const char *const *names, cbm_tensor *const *variables,
                          size_t count);

#endif
