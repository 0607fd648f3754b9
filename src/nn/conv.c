/* conv.c: convolutions. */
#include "nn/layer.h"
#include <math.h>

typedef struct conv2d {
    cbm_module module;
    int64_t in, out;
    cbm_conv_options options;
} conv2d;

static cbm_tensor *conv2d_forward(cbm_module *self, cbm_tensor *x)
{
    const conv2d *m = (conv2d *)self;
    return cbm_conv2d_with(x, cbm_layer_parameter(self, 0), cbm_layer_parameter(self, 1), &m->options);
}

CBM_OPTIONS_INIT(cbm_nn_conv2d_options, CBM_NN_CONV2D_DEFAULTS)

cbm_module *cbm_nn_conv2d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel, const cbm_nn_conv2d_options *o)
{
    conv2d *m = cbm_layer_new(cx, sizeof *m, "conv2d", conv2d_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->in = in;
    m->out = out;
    cbm_shape k;
    if (cbm_options_wrong(cx, "conv2d", o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, "conv2d", o->dtype) || !cbm_layer_kernel(cx, "conv2d", kernel, &o->kernel, &k))
        return cbm_layer_finish(&m->module);
    if (in < 1 || out < 1 || o->groups < 1 || in % o->groups || out % o->groups) {
        cbm_fail(cx, CBM_ERROR_INVALID,
                 "[conv2d] %lld channels in and %lld out in %lld groups: both must divide evenly", (long long)in,
                 (long long)out, (long long)o->groups);
        return cbm_layer_finish(&m->module);
    }
    m->options = (cbm_conv_options){ .struct_size = sizeof m->options,
                                     .stride = o->stride,
                                     .padding = o->padding,
                                     .dilation = o->dilation,
                                     .groups = o->groups };
    int64_t part = in / o->groups;
    double bound = 1 / sqrt((double)part * (double)k.v[1] * (double)k.v[2]);
    cbm_dtype dtype = (cbm_dtype)o->dtype;
    cbm_add_uniform(&m->module, "weight", dtype, CBM_SHAPE(out, part, k.v[1], k.v[2]), bound);
    if (o->bias)
        cbm_add_uniform(&m->module, "bias", dtype, CBM_SHAPE(out), bound);
    return cbm_layer_finish(&m->module);
}

/* ---- what folding needs to know ---- */

bool cbm_is_conv2d(const cbm_module *m)
{
    return m->forward == conv2d_forward;
}
