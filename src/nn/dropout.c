/* dropout.c: dropout. */
#include "nn/layer.h"

typedef struct dropout {
    cbm_module module;
    double p;
} dropout;

static cbm_tensor *dropout_forward(cbm_module *self, cbm_tensor *x)
{
    const dropout *m = (dropout *)self;
    return self->training && m->p > 0 ? cbm_dropout(x, m->p) : x;
}

cbm_module *cbm_nn_dropout(cbm_context *cx, double p)
{
    dropout *m = cbm_layer_new(cx, sizeof *m, "dropout", dropout_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->p = p;
    if (p >= 0 && p < 1)
        return &m->module;
    cbm_fail(cx, CBM_ERROR_INVALID, "[dropout] the probability must be in [0, 1)");
    cbm_module_release(&m->module);
    return cbm_module_failed(cx);
}
