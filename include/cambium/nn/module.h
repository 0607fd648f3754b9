/* nn/module.h: what a module is: its parts, their names, calls, modes. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_MODULE_H
#define CAMBIUM_NN_MODULE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

typedef cbm_tensor *(*cbm_forward_fn)(cbm_module *self, cbm_tensor *x);

/* A network of your own is a struct that begins with a cbm_module:

       typedef struct two_layer_net { cbm_module module; cbm_module *linear1, *linear2; } two_layer_net;

   made by cbm_module_new(cx, sizeof(two_layer_net), forward), with its parts named by cbm_add_module and
   cbm_add_parameter. Forward calls the parts with cbm_call, so that summaries and diagnoses see them. */
struct cbm_module {
    cbm_context *cx;
    const char *type; /* "linear"; static text; yours may stay NULL ("module") */
    cbm_forward_fn forward;
    void (*destroy)(
        cbm_module *self); /* NULL, or frees what your struct owns besides parameters and children. Children may
                                          be gone already: do not touch them */
    bool training;         /* true after creation; changed by cbm_train and cbm_eval */
    bool failed;           /* an inert module that stands for one that could not be made */
    struct cbm_module_parts *parts; /* private */
};

/* A new module: size bytes, zeroed, of which the first are a cbm_module. It belongs to the context. NULL only on failure,
   whose reason the context keeps. */
CBM_API cbm_module *cbm_module_new(cbm_context *cx, size_t size, cbm_forward_fn forward);
/* What a maker of modules returns when it fails: an inert module, never NULL, on which every call is harmless. */
CBM_API cbm_module *cbm_module_failed(cbm_context *cx);
/* Frees a module before its context closes, and its children with it unless another module holds them. NULL is allowed. */
CBM_API void cbm_module_release(cbm_module *module);

/* Names the parts. name: letters, digits, _ and the like, without '.'; copied. A parameter or buffer is a variable and is
   kept alive by the module. tensor NULL: no such part (a layer without bias), nothing is added. */
CBM_API cbm_status cbm_add_parameter(cbm_module *module, const char *name, cbm_tensor *variable);
CBM_API cbm_status cbm_add_buffer(cbm_module *module, const char *name, cbm_tensor *variable);
CBM_API cbm_status cbm_add_module(cbm_module *module, const char *name, cbm_module *child);

/* module's forward on x; a failed tensor after any error. */
CBM_API cbm_tensor *cbm_call(cbm_module *module, cbm_tensor *x);
/* The same with another forward, for modules that take more than one input: forward(module, x, user). Summaries and the
   module's precision hold as for cbm_call; it is not recomputed in backward (cbm_nn_checkpoint). Typed calls, as
   cbm_recurrent_call, are made with it. */
typedef cbm_tensor *(*cbm_forward_as_fn)(cbm_module *self, cbm_tensor *x, void *user);
CBM_API cbm_tensor *cbm_call_as(cbm_module *module, cbm_tensor *x, cbm_forward_as_fn forward, void *user);

/* Training and evaluation mode of a module and all below it: dropout and batch norm differ. */
CBM_API void cbm_train(cbm_module *module);
CBM_API void cbm_eval(cbm_module *module);

/* The precision of this module's calls, whatever the scope says; CBM_PRECISION_OUTER: the scope's again. Children follow
   unless they have one of their own. A bf16 input of a module of precision F32 is converted first. */
CBM_API void cbm_module_set_precision(cbm_module *module, cbm_precision precision);

/* Parameters depth first with PyTorch's names ("conv1.weight"); a parameter shared by two modules appears once. The
   state is parameters and buffers ("bn.running_mean"), as in state_dict. */
typedef struct cbm_named {
    char name[256];
    cbm_tensor *tensor; /* owned by the module */
    bool buffer;
} cbm_named;
CBM_API size_t cbm_parameter_count(const cbm_module *module);
CBM_API bool cbm_parameter_at(const cbm_module *module, size_t index, cbm_named *out); /* false past the end */
CBM_API size_t cbm_state_count(const cbm_module *module);
CBM_API bool cbm_state_at(const cbm_module *module, size_t index, cbm_named *out);
/* The parameter or buffer of that name; an error and a failed tensor if there is none. */
CBM_API cbm_tensor *cbm_parameter(cbm_module *module, const char *name);
/* All elements of all parameters together. */
CBM_API int64_t cbm_parameter_elements(const cbm_module *module);
/* Freezes (false) or thaws all parameters below module. */
CBM_API void cbm_module_set_trainable(cbm_module *module, bool trainable);

/* Gives to's parameters and buffers the memory of from's of the same names, which may be of another context (cbm_share). */
CBM_API cbm_status cbm_module_share(cbm_module *to, cbm_module *from);

CBM_API size_t cbm_child_count(const cbm_module *module);
CBM_API cbm_module *cbm_child_at(const cbm_module *module, size_t index, const char **name); /* NULL past the end */

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_call(...) cbm_at(cbm_call(__VA_ARGS__), __FILE__, __LINE__)
#endif

#ifdef __cplusplus
/* NAME(..., options = {}) for makers of modules, as CBM_CPP_OPTIONS_ for tensors. */
#define CBM_CPP_MODULE_(name, type, params, args) CBM_CPP_RESULT_(cbm_module, name, type, params, args)
#endif

#endif
