/* plain.c: layers without parameters: activations, global pooling, flatten, dropout. */
#include "nn/parts.h"

static cbm_module *plain(cbm_context *cx, const char *type, cbm_forward_fn forward)
{
    cbm_module *m = cbm_module_new(cx, sizeof *m, forward);
    if (!m)
        return cbm_module_failed(cx);
    m->type = type;
    return m;
}

#define ACTIVATION(name)                                                                                               \
    static cbm_tensor *name##_forward(cbm_module *self, cbm_tensor *x)                                                 \
    {                                                                                                                  \
        (void)self;                                                                                                    \
        return cbm_##name(x);                                                                                          \
    }                                                                                                                  \
    cbm_module *cbm_nn_##name(cbm_context *cx)                                                                         \
    {                                                                                                                  \
        return plain(cx, #name, name##_forward);                                                                       \
    }
ACTIVATION(relu)
ACTIVATION(relu6)
ACTIVATION(sigmoid)
ACTIVATION(tanh)
ACTIVATION(gelu)

static cbm_tensor *global_avg_pool2d_forward(cbm_module *self, cbm_tensor *x)
{
    if (cbm_tensor_rank(x) != 4) {
        cbm_shape shape = cbm_tensor_shape(x);
        char text[128];
        return cbm_fail_tensor(self->cx, CBM_ERROR_SHAPE, "[global_avg_pool2d] the input %s is not (N, C, H, W)",
                               cbm_shape_text(&shape, text, sizeof text));
    }
    const cbm_reduce_options options = { .struct_size = sizeof options, .axes = CBM_SHAPE(2, 3), .keepdim = 1 };
    return cbm_mean_with(x, &options);
}

cbm_module *cbm_nn_global_avg_pool2d(cbm_context *cx)
{
    return plain(cx, "global_avg_pool2d", global_avg_pool2d_forward);
}

static cbm_tensor *flatten_forward(cbm_module *self, cbm_tensor *x)
{
    (void)self;
    return cbm_flatten(x, 1);
}

cbm_module *cbm_nn_flatten(cbm_context *cx)
{
    return plain(cx, "flatten", flatten_forward);
}

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
    dropout *m = (dropout *)cbm_module_new(cx, sizeof *m, dropout_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->module.type = "dropout";
    m->p = p;
    if (p >= 0 && p < 1)
        return &m->module;
    cbm_fail(cx, CBM_ERROR_INVALID, "[dropout] the probability must be in [0, 1)");
    cbm_module_release(&m->module);
    return cbm_module_failed(cx);
}
