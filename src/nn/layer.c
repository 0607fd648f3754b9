/* layer.c: what the makers of layers share: checks of options, and making parameters as PyTorch does by default:
   kaiming_uniform with a = sqrt(5), which is uniform in +-1/sqrt(fan in) for weights as for biases. */
#include "nn/layer.h"

void *cbm_layer_new(cbm_context *cx, size_t size, const char *type, cbm_forward_fn forward)
{
    cbm_module *m = cbm_module_new(cx, size, forward);
    if (m)
        m->type = type;
    return m;
}

cbm_module *cbm_layer_finish(cbm_module *m)
{
    cbm_context *cx = m->cx;
    if (cbm_context_status(cx) == CBM_OK)
        return m;
    cbm_module_release(m);
    return cbm_module_failed(cx);
}

cbm_module *cbm_layer_plain(cbm_context *cx, const char *type, cbm_forward_fn forward)
{
    cbm_module *m = cbm_layer_new(cx, sizeof *m, type, forward);
    return m ? m : cbm_module_failed(cx);
}

/* ---- options ---- */

bool cbm_options_wrong(cbm_context *cx, const char *who, const void *options, uint64_t have, uint64_t want)
{
    if (options && have == want)
        return false;
    cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %s. HINT: use the macro, or start from the _options_init function", who,
             options ? "the options' struct_size is not this library's" : "the options are NULL");
    return true;
}

bool cbm_is_list(const cbm_shape *list, int64_t n, int64_t least)
{
    for (int64_t i = 1; i <= list->v[0]; i++)
        if (list->v[i] < least)
            return false;
    return list->v[0] == 1 || list->v[0] == n;
}

cbm_tensor *cbm_typed_call_wrong(cbm_module *m, cbm_tensor *x, cbm_forward_fn forward, const char *wrong,
                                 const void *options, uint64_t have, uint64_t want)
{
    const bool usable = m && !m->failed;
    if (usable && m->forward != forward)
        cbm_fail(m->cx, CBM_ERROR_INVALID, "%s", wrong);
    else if (usable && !cbm_options_wrong(m->cx, m->type, options, have, want))
        return NULL;
    return cbm_call(usable ? NULL : m, x); /* says what is wrong with the module, if nothing else is */
}

bool cbm_layer_dtype(cbm_context *cx, const char *who, int64_t dtype)
{
    if (dtype == CBM_F32 || dtype == CBM_F64)
        return true;
    cbm_fail(cx, CBM_ERROR_DTYPE, "[%s] parameters are f32 or f64", who);
    return false;
}

bool cbm_layer_kernel(cbm_context *cx, const char *who, int64_t n, int64_t kernel, const cbm_shape *list,
                      cbm_shape *out)
{
    bool fits = cbm_spatial(list, n, kernel, out);
    for (int64_t i = 1; fits && i <= n; i++)
        fits = out->v[i] >= 1;
    if (!fits)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] a kernel takes %s of at least 1", who, cbm_spatial_text(n));
    return fits;
}

/* ---- parameters ---- */

cbm_scope *cbm_layer_scope(cbm_context *cx)
{
    cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    return cbm_scope_begin_with(cx, &options);
}

cbm_status cbm_add_value(cbm_module *m, const char *name, cbm_tensor *value, bool buffer, bool trainable)
{
    cbm_tensor *variable = cbm_variable(value, trainable);
    cbm_status status = buffer ? cbm_add_buffer(m, name, variable) : cbm_add_parameter(m, name, variable);
    cbm_release(variable);
    return status;
}

cbm_status cbm_add_uniform(cbm_module *m, const char *name, cbm_dtype dtype, cbm_shape shape, double bound)
{
    cbm_scope *scope = cbm_layer_scope(m->cx);
    cbm_status status = cbm_add_value(m, name, cbm_uniform(m->cx, dtype, shape, -bound, bound), false, true);
    cbm_scope_end(scope);
    return status;
}

cbm_status cbm_add_full(cbm_module *m, const char *name, cbm_dtype dtype, cbm_shape shape, double value, bool buffer)
{
    cbm_scope *scope = cbm_layer_scope(m->cx);
    cbm_status status = cbm_add_value(m, name, cbm_full(m->cx, dtype, shape, value), buffer, !buffer);
    cbm_scope_end(scope);
    return status;
}

cbm_tensor *cbm_layer_parameter(cbm_module *m, size_t i)
{
    return i < m->parts->parameters.count ? CBM_PART(m->parts->parameters, i).tensor : NULL;
}
