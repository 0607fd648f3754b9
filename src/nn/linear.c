/* linear.c: layers that are products. */
#include "nn/layer.h"
#include <math.h>

typedef struct linear {
    cbm_module module;
    int64_t in, out;
} linear;

static cbm_tensor *linear_forward(cbm_module *self, cbm_tensor *x)
{
    const linear *m = (linear *)self;
    if (cbm_tensor_rank(x) < 1 || cbm_tensor_size(x, -1) != m->in) {
        cbm_shape shape = cbm_tensor_shape(x);
        char text[128];
        return cbm_fail_tensor(
            self->cx, CBM_ERROR_SHAPE, "[linear] the input %s does not end in %lld, as this layer (%lld -> %lld) needs",
            cbm_shape_text(&shape, text, sizeof text), (long long)m->in, (long long)m->in, (long long)m->out);
    }
    cbm_tensor *y = cbm_matmul(x, cbm_transpose(cbm_for_product(cbm_layer_parameter(self, 0)), 0, 1));
    return cbm_layer_parameter(self, 1) ? cbm_add(y, cbm_for_product(cbm_layer_parameter(self, 1))) : y;
}

CBM_OPTIONS_INIT(cbm_nn_linear_options, CBM_NN_LINEAR_DEFAULTS)

cbm_module *cbm_nn_linear_with(cbm_context *cx, int64_t in, int64_t out, const cbm_nn_linear_options *o)
{
    linear *m = cbm_layer_new(cx, sizeof *m, "linear", linear_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->in = in;
    m->out = out;
    if (cbm_options_wrong(cx, "linear", o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, "linear", o->dtype))
        return cbm_layer_finish(&m->module);
    if (in < 1 || out < 1) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[linear] %lld features in and %lld out; at least 1 of each are needed",
                 (long long)in, (long long)out);
        return cbm_layer_finish(&m->module);
    }
    double bound = 1 / sqrt((double)in);
    cbm_dtype dtype = (cbm_dtype)o->dtype;
    cbm_add_uniform(&m->module, "weight", dtype, CBM_SHAPE(out, in), bound);
    if (o->bias)
        cbm_add_uniform(&m->module, "bias", dtype, CBM_SHAPE(out), bound);
    return cbm_layer_finish(&m->module);
}
