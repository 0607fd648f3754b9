/* layer.h: what the makers of layers share. A layer is a struct that begins with a cbm_module and a forward of a line or
   two over the operations; its maker reads:

       thing *m = cbm_layer_new(cx, sizeof *m, "thing", thing_forward);
       if (!m)
           return cbm_module_failed(cx);
       if (cbm_options_wrong(cx, "thing", o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, "thing", o->dtype))
           return cbm_layer_finish(&m->module);
       ... its own checks (cbm_fail), its parameters in PyTorch's order ...
       return cbm_layer_finish(&m->module); */
#ifndef CAMBIUM_NN_LAYER_H
#define CAMBIUM_NN_LAYER_H

#include "nn/parts.h"
#include "op/families.h"

/* The options' _init function, from the defaults of their macro. */
#define CBM_OPTIONS_INIT(type_, ...)                                                                                   \
    void type_##_init(type_ *o)                                                                                        \
    {                                                                                                                  \
        *o = (type_){ .struct_size = sizeof *o, __VA_ARGS__ };                                                         \
    }

/* A module of size bytes with its type; NULL: the context has the reason. */
void *cbm_layer_new(cbm_context *cx, size_t size, const char *type, cbm_forward_fn forward);
/* m; or, when an error has happened, an inert module, and m is released. */
cbm_module *cbm_layer_finish(cbm_module *m);
/* A layer that has nothing of its own, made and finished. */
cbm_module *cbm_layer_plain(cbm_context *cx, const char *type, cbm_forward_fn forward);

/* An option struct of another size than this library's: fails and returns true. */
bool cbm_options_wrong(cbm_context *cx, const char *who, const void *options, uint64_t have, uint64_t want);
/* The dtype of parameters is f32 or f64; false: not, which is reported. */
bool cbm_layer_dtype(cbm_context *cx, const char *who, int64_t dtype);
/* The n extents of a kernel given as a number or, first of all, as a list; false: reported. */
bool cbm_layer_kernel(cbm_context *cx, const char *who, int64_t n, int64_t kernel, const cbm_shape *list,
                      cbm_shape *out);

/* Lists of n numbers of at least `least`, or of one for all: whether it is one; its entry i, counted from 0. */
bool cbm_is_list(const cbm_shape *list, int64_t n, int64_t least);
static inline int64_t cbm_list_entry(const cbm_shape *list, int64_t i)
{
    return list->v[list->v[0] == 1 ? 1 : 1 + i];
}

/* For typed calls: NULL if m is a module with this forward and the options are this library's; else a failed tensor, after
   the reason (wrong: "[thing_call] the module is no thing"). */
cbm_tensor *cbm_typed_call_wrong(cbm_module *m, cbm_tensor *x, cbm_forward_fn forward, const char *wrong,
                                 const void *options, uint64_t have, uint64_t want);

/* Adds a parameter or buffer that begins with value. Made within a layer's scope. */
cbm_status cbm_add_value(cbm_module *m, const char *name, cbm_tensor *value, bool buffer, bool trainable);
/* Adds a parameter uniform in [-bound, bound]. */
cbm_status cbm_add_uniform(cbm_module *m, const char *name, cbm_dtype dtype, cbm_shape shape, double bound);
/* Adds a parameter or buffer of one value. */
cbm_status cbm_add_full(cbm_module *m, const char *name, cbm_dtype dtype, cbm_shape shape, double value, bool buffer);
/* Parameter number i; NULL: the layer has fewer. */
cbm_tensor *cbm_layer_parameter(cbm_module *m, size_t i);
/* A scope in which values of variables are made: no gradients, not seen by the user. */
cbm_scope *cbm_layer_scope(cbm_context *cx);

#endif
