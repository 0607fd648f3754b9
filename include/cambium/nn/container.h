/* nn/container.h: modules made of others. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_CONTAINER_H
#define CAMBIUM_NN_CONTAINER_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Modules one after the other; children are named "0", "1", ... */
CBM_API cbm_module *cbm_sequential_of(cbm_context *cx, size_t count, cbm_module *const *modules);
/* The same for a list that ends in CBM_END; a NULL before it is an error. */
CBM_API cbm_module *cbm_sequential_list(cbm_context *cx, cbm_module *const *modules);

/* x + body(x), with a shortcut shortcut(x) + body(x) (He et al. 2016). Children are named "body" and "shortcut"; shortcut
   may be NULL. */
CBM_API cbm_module *cbm_residual(cbm_context *cx, cbm_module *body, cbm_module *shortcut);

/* Modules side by side on one input; children are named "0", "1", ... Their results are joined: one behind the other along
   axis, or added up (axis is then ignored). */
typedef enum cbm_join { CBM_JOIN_CONCAT = 0, CBM_JOIN_SUM = 1 } cbm_join;
CBM_API cbm_module *cbm_parallel_of(cbm_context *cx, cbm_join join, int64_t axis, size_t count,
                                    cbm_module *const *modules);
CBM_API cbm_module *cbm_parallel_list(cbm_context *cx, cbm_join join, int64_t axis, cbm_module *const *modules);

/* Modules that a network of one's own calls as it likes, by number or by name, as PyTorch's ModuleList and ModuleDict: they
   name and hold; calling the list itself is an error. Children of a list are named "0", "1", ... */
CBM_API cbm_module *cbm_module_list_of(cbm_context *cx, size_t count, cbm_module *const *modules);
CBM_API cbm_module *cbm_module_list_list(cbm_context *cx, cbm_module *const *modules);
typedef struct cbm_module_entry {
    const char *name;
    cbm_module *module;
} cbm_module_entry;
CBM_API cbm_module *cbm_module_dict_of(cbm_context *cx, size_t count, const cbm_module_entry *entries);
/* The child of that name, or number in a list; NULL and an error if there is none. */
CBM_API cbm_module *cbm_child(cbm_module *module, const char *name);

/* A function of one tensor as a module: cbm_nn_function(cx, "double", twice, NULL). name is static text. destroy (may be
   NULL) is called for user when the module goes. */
typedef cbm_tensor *(*cbm_tensor_fn)(cbm_tensor *x, void *user);
CBM_API cbm_module *cbm_nn_function(cbm_context *cx, const char *name, cbm_tensor_fn function, void *user,
                                    void (*destroy)(void *user));
/* x as it is. */
CBM_API cbm_module *cbm_nn_identity(cbm_context *cx);

CBM_END_DECLS

#ifndef __cplusplus
/* cbm_parallel(cx, CBM_JOIN_CONCAT, 1, a, b, CBM_END), cbm_module_list(cx, a, b, CBM_END),
   cbm_module_dict(cx, { "encoder", a }, { "decoder", b }) */
#define cbm_parallel(cx, join, axis, ...)                                                                              \
    cbm_parallel_list(cx, join, axis, (cbm_module *const[]){ __VA_ARGS__, CBM_END })
#define cbm_module_list(cx, ...) cbm_module_list_list(cx, (cbm_module *const[]){ __VA_ARGS__, CBM_END })
#define cbm_module_dict(cx, ...)                                                                                       \
    cbm_module_dict_of(cx, sizeof((const cbm_module_entry[]){ __VA_ARGS__ }) / sizeof(cbm_module_entry),               \
                       (const cbm_module_entry[]){ __VA_ARGS__ })
/* cbm_sequential(cx, a, b, c, CBM_END) */
#define cbm_sequential(cx, ...) cbm_sequential_list(cx, (cbm_module *const[]){ __VA_ARGS__, CBM_END })
#else
template <typename... M>
static inline cbm_module *cbm_parallel(cbm_context *cx, cbm_join join, int64_t axis, M... modules)
{
    cbm_module *const list[] = { modules..., CBM_END };
    return cbm_parallel_list(cx, join, axis, list);
}
template <typename... M> static inline cbm_module *cbm_module_list(cbm_context *cx, M... modules)
{
    cbm_module *const list[] = { modules..., CBM_END };
    return cbm_module_list_list(cx, list);
}
static inline cbm_module *cbm_module_dict(cbm_context *cx, std::initializer_list<cbm_module_entry> entries)
{
    return cbm_module_dict_of(cx, entries.size(), entries.begin());
}
template <typename... M> static inline cbm_module *cbm_sequential(cbm_context *cx, M... modules)
{
    cbm_module *const list[] = { modules..., CBM_END };
    return cbm_sequential_list(cx, list);
}
#endif

#endif
