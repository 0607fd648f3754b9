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

/* ---- bilinear ---- */

/* (rows, in1) x (in1, out in2) -> (rows, out, in2), of which each row's sum with b is taken over in2. */
cbm_tensor *cbm_bilinear(cbm_tensor *a, cbm_tensor *b, cbm_tensor *weight, cbm_tensor *bias)
{
    cbm_context *cx = cbm_tensor_context(a);
    if (!cbm_usable(cx, a) || !cbm_usable(cx, b) || !cbm_usable(cx, weight) || (bias && !cbm_usable(cx, bias)))
        return cbm_fail_tensor(cx, cbm_context_status(cx), "[bilinear] an operand failed");
    const cbm_shape x = cbm_tensor_shape(a), y = cbm_tensor_shape(b), w = cbm_tensor_shape(weight);
    char text[3][160];
    bool fits = w.v[0] == 3 && x.v[0] >= 1 && x.v[0] == y.v[0] && x.v[x.v[0]] == w.v[2] && y.v[y.v[0]] == w.v[3];
    for (int64_t i = 1; fits && i < x.v[0]; i++)
        fits = x.v[i] == y.v[i];
    if (!fits)
        return cbm_fail_tensor(
            cx, CBM_ERROR_SHAPE,
            "[bilinear] %s, %s and the weight %s do not fit: (..., in1), (..., in2), (out, in1, in2)",
            cbm_shape_text(&x, text[0], sizeof *text), cbm_shape_text(&y, text[1], sizeof *text),
            cbm_shape_text(&w, text[2], sizeof *text));
    cbm_tensor *flat = cbm_reshape(cbm_permute(weight, CBM_SHAPE(1, 0, 2)), CBM_SHAPE(w.v[2], w.v[1] * w.v[3]));
    cbm_tensor *products =
        cbm_matmul(cbm_reshape(a, CBM_SHAPE(cbm_tensor_count(a) / (w.v[2] ? w.v[2] : 1), w.v[2])), flat);
    products = cbm_reshape(products, CBM_SHAPE(cbm_tensor_size(products, 0), w.v[1], w.v[3]));
    cbm_tensor *rows = cbm_reshape(b, CBM_SHAPE(cbm_tensor_size(products, 0), w.v[3], 1));
    cbm_shape shape = x;
    shape.v[shape.v[0]] = w.v[1];
    cbm_tensor *out = cbm_reshape(cbm_matmul(products, rows), shape);
    return bias ? cbm_add(out, bias) : out;
}

static cbm_tensor *bilinear_forward(cbm_module *self, cbm_tensor *x)
{
    (void)x;
    return cbm_fail_tensor(self->cx, CBM_ERROR_UNSUPPORTED, "[bilinear] takes two inputs. HINT: cbm_bilinear_call");
}

cbm_module *cbm_nn_bilinear_with(cbm_context *cx, int64_t in1, int64_t in2, int64_t out, const cbm_nn_linear_options *o)
{
    cbm_module *m = cbm_layer_new(cx, sizeof *m, "bilinear", bilinear_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "bilinear", o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, "bilinear", o->dtype))
        return cbm_layer_finish(m);
    if (in1 < 1 || in2 < 1 || out < 1) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[bilinear] at least 1 feature of each input and 1 of the output are needed");
        return cbm_layer_finish(m);
    }
    const double bound = 1 / sqrt((double)in1);
    cbm_add_uniform(m, "weight", (cbm_dtype)o->dtype, CBM_SHAPE(out, in1, in2), bound);
    if (o->bias)
        cbm_add_uniform(m, "bias", (cbm_dtype)o->dtype, CBM_SHAPE(out), bound);
    return cbm_layer_finish(m);
}

cbm_tensor *cbm_bilinear_call(cbm_module *m, cbm_tensor *a, cbm_tensor *b)
{
    cbm_context *cx = m && m->cx ? m->cx : cbm_tensor_context(a);
    if (!m || m->failed || m->forward != bilinear_forward)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[bilinear_call] the module is no bilinear layer");
    return cbm_bilinear(a, b, cbm_layer_parameter(m, 0), cbm_layer_parameter(m, 1));
}
