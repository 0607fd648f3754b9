/* shape.c: layers that give elements another place. */
#include "nn/layer.h"

static cbm_tensor *flatten_forward(cbm_module *self, cbm_tensor *x)
{
    (void)self;
    return cbm_flatten(x, 1);
}

cbm_module *cbm_nn_flatten(cbm_context *cx)
{
    return cbm_layer_plain(cx, "flatten", flatten_forward);
}

/* ---- padding ---- */

typedef struct pad {
    cbm_module module;
    cbm_shape before, after;
    cbm_pad_options options;
} pad;

static cbm_tensor *pad_forward(cbm_module *self, cbm_tensor *x)
{
    const pad *m = (pad *)self;
    return cbm_pad_with(x, m->before, m->after, &m->options);
}

cbm_module *cbm_nn_pad_with(cbm_context *cx, cbm_shape before, cbm_shape after, const cbm_pad_options *o)
{
    pad *m = cbm_layer_new(cx, sizeof *m, "pad", pad_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "pad", o, o ? o->struct_size : 0, sizeof *o))
        return cbm_layer_finish(&m->module);
    if (before.v[0] < 1 || before.v[0] != after.v[0] || before.v[0] > CBM_MAX_DIMS || o->mode > CBM_PAD_CIRCULAR) {
        cbm_fail(cx, CBM_ERROR_INVALID,
                 "[pad] needs as many places before as after, of 1 to %d axes, and a cbm_pad_mode", CBM_MAX_DIMS);
        return cbm_layer_finish(&m->module);
    }
    m->before = before;
    m->after = after;
    m->options = *o;
    return cbm_layer_finish(&m->module);
}
