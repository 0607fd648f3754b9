/* activation.c: activations as layers. Rests on layer.h and the operations. */
#include "nn/layer.h"

#define ACTIVATION(name)                                                                                               \
    static cbm_tensor *name##_forward(cbm_module *self, cbm_tensor *x)                                                 \
    {                                                                                                                  \
        (void)self;                                                                                                    \
        return cbm_##name(x);                                                                                          \
    }                                                                                                                  \
    cbm_module *cbm_nn_##name(cbm_context *cx)                                                                         \
    {                                                                                                                  \
        return cbm_layer_plain(cx, #name, name##_forward);                                                             \
    }
ACTIVATION(relu)
ACTIVATION(relu6)
ACTIVATION(selu)
ACTIVATION(sigmoid)
ACTIVATION(log_sigmoid)
ACTIVATION(tanh)
ACTIVATION(softsign)
ACTIVATION(gelu)
ACTIVATION(gelu_tanh)
ACTIVATION(silu)
ACTIVATION(mish)
ACTIVATION(hardsigmoid)
ACTIVATION(hardswish)
ACTIVATION(tanhshrink)

/* ---- with numbers of their own ---- */

typedef struct numbered {
    cbm_module module;
    double first, second;
    int64_t axis;
} numbered;

static cbm_module *make(cbm_context *cx, const char *type, cbm_forward_fn forward, double first, double second,
                        int64_t axis)
{
    numbered *m = cbm_layer_new(cx, sizeof *m, type, forward);
    if (!m)
        return cbm_module_failed(cx);
    m->first = first;
    m->second = second;
    m->axis = axis;
    return cbm_layer_finish(&m->module);
}

#define NUMBERED(name, call, parameters, first, second, axis_)                                                         \
    static cbm_tensor *name##_forward(cbm_module *self, cbm_tensor *x)                                                 \
    {                                                                                                                  \
        const numbered *m = (numbered *)self;                                                                          \
        return call;                                                                                                   \
    }                                                                                                                  \
    cbm_module *cbm_nn_##name parameters                                                                               \
    {                                                                                                                  \
        return make(cx, #name, name##_forward, first, second, axis_);                                                  \
    }
NUMBERED(leaky_relu, cbm_leaky_relu(x, m->first), (cbm_context * cx, double slope), slope, 0, 0)
NUMBERED(elu, cbm_elu(x, m->first), (cbm_context * cx, double alpha), alpha, 0, 0)
NUMBERED(celu, cbm_celu(x, m->first), (cbm_context * cx, double alpha), alpha, 0, 0)
NUMBERED(hardshrink, cbm_hardshrink(x, m->first), (cbm_context * cx, double lambda), lambda, 0, 0)
NUMBERED(softshrink, cbm_softshrink(x, m->first), (cbm_context * cx, double lambda), lambda, 0, 0)
NUMBERED(softplus, cbm_softplus(x, m->first, m->second), (cbm_context * cx, double beta, double threshold), beta,
         threshold, 0)
NUMBERED(hardtanh, cbm_hardtanh(x, m->first, m->second), (cbm_context * cx, double low, double high), low, high, 0)
NUMBERED(threshold, cbm_threshold(x, m->first, m->second), (cbm_context * cx, double threshold, double value),
         threshold, value, 0)
NUMBERED(glu, cbm_glu(x, m->axis), (cbm_context * cx, int64_t axis), 0, 0, axis)
NUMBERED(softmax, cbm_softmax(x, m->axis), (cbm_context * cx, int64_t axis), 0, 0, axis)
NUMBERED(softmin, cbm_softmax(cbm_neg(x), m->axis), (cbm_context * cx, int64_t axis), 0, 0, axis)
NUMBERED(log_softmax, cbm_log_softmax(x, m->axis), (cbm_context * cx, int64_t axis), 0, 0, axis)

/* ---- with a parameter ---- */

static cbm_tensor *prelu_forward(cbm_module *self, cbm_tensor *x)
{
    return cbm_prelu(x, cbm_layer_parameter(self, 0));
}

CBM_OPTIONS_INIT(cbm_nn_prelu_options, CBM_NN_PRELU_DEFAULTS)

cbm_module *cbm_nn_prelu_with(cbm_context *cx, int64_t count, const cbm_nn_prelu_options *o)
{
    cbm_module *m = cbm_layer_new(cx, sizeof *m, "prelu", prelu_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "prelu", o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, "prelu", o->dtype))
        return cbm_layer_finish(m);
    if (count < 1)
        cbm_fail(cx, CBM_ERROR_INVALID, "[prelu] %lld slopes; at least 1 is needed", (long long)count);
    else
        cbm_add_full(m, "weight", (cbm_dtype)o->dtype, CBM_SHAPE(count), o->initial, false);
    return cbm_layer_finish(m);
}
