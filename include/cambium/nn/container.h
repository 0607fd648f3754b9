/* nn/container.h: modules made of others. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_CONTAINER_H
#define CAMBIUM_NN_CONTAINER_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Modules one after the other; children are named "0", "1", ... */
CBM_API cbm_module *cbm_sequential_of(cbm_context *cx, size_t count, cbm_module *const *modules);
/* The same for a list that ends in CBM_END; a NULL before it is an error. */
CBM_API cbm_module *cbm_sequential_list(cbm_context *cx, cbm_module *const *modules);

CBM_END_DECLS

#ifndef __cplusplus
/* cbm_sequential(cx, a, b, c, CBM_END) */
#define cbm_sequential(cx, ...) cbm_sequential_list(cx, (cbm_module *const[]){ __VA_ARGS__, CBM_END })
#else
template <typename... M> static inline cbm_module *cbm_sequential(cbm_context *cx, M... modules)
{
    cbm_module *const list[] = { modules..., CBM_END };
    return cbm_sequential_list(cx, list);
}
#endif

#endif
