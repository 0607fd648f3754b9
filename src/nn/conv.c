/* conv.c: convolutions and transposed convolutions in one to three dimensions. */
#include "nn/layer.h"
#include <math.h>

static const char *const names[] = { "conv1d", "conv2d", "conv3d" };
static const char *const transposed_names[] = { "conv_transpose1d", "conv_transpose2d", "conv_transpose3d" };

/* What both kinds ask of their numbers; false: reported. */
static bool channels_divide(cbm_context *cx, const char *who, int64_t in, int64_t out, int64_t groups)
{
    if (in >= 1 && out >= 1 && groups >= 1 && in % groups == 0 && out % groups == 0)
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %lld channels in and %lld out in %lld groups: both must divide evenly", who,
             (long long)in, (long long)out, (long long)groups);
    return false;
}

/* Weight (first, second, kernel, ..) and bias (out), uniform in +-1/sqrt(second * places of the kernel). */
static void add_parameters(cbm_module *m, const cbm_shape *kernel, int64_t first, int64_t second, int64_t out,
                           bool bias, cbm_dtype dtype)
{
    cbm_shape shape = { { kernel->v[0] + 2, first, second } };
    double fan_in = (double)second;
    for (int64_t i = 1; i <= kernel->v[0]; i++) {
        shape.v[2 + i] = kernel->v[i];
        fan_in *= (double)kernel->v[i];
    }
    cbm_add_uniform(m, "weight", dtype, shape, 1 / sqrt(fan_in));
    if (bias)
        cbm_add_uniform(m, "bias", dtype, CBM_SHAPE(out), 1 / sqrt(fan_in));
}

/* ---- convolution ---- */

typedef struct conv {
    cbm_module module;
    cbm_tensor *(*operation)(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias, const cbm_conv_options *options);
    cbm_conv_options options;
    cbm_shape before, after; /* what is padded before it; none where the operation pads with zeros itself */
    cbm_pad_options padding;
} conv;

static cbm_tensor *conv_forward(cbm_module *self, cbm_tensor *x)
{
    const conv *m = (conv *)self;
    if (m->before.v[0] > 0)
        x = cbm_pad_with(x, m->before, m->after, &m->padding);
    return m->operation(x, cbm_layer_parameter(self, 0), cbm_layer_parameter(self, 1), &m->options);
}

CBM_OPTIONS_INIT(cbm_nn_conv_options, CBM_NN_CONV_DEFAULTS)

/* Padding with something else than zeros is an operation of its own; of `same`'s places the odd one is behind. false:
   reported. */
static bool pad_before(conv *m, const char *who, const cbm_shape *kernel, const cbm_nn_conv_options *o)
{
    const int64_t n = kernel->v[0];
    const bool fits =
        cbm_is_list(&o->padding, n, 0) && cbm_is_list(&o->dilation, n, 1) && cbm_is_list(&o->stride, n, 1);
    if (o->padding_mode == CBM_PAD_CONSTANT)
        return true;
    if (o->padding_mode > CBM_PAD_CIRCULAR || !fits) {
        cbm_fail(m->module.cx, CBM_ERROR_INVALID,
                 "[%s] padding_mode must be a cbm_pad_mode, and padding, stride and dilation hold one value or %lld",
                 who, (long long)n);
        return false;
    }
    m->before.v[0] = m->after.v[0] = n;
    for (int64_t i = 1; i <= n; i++) {
        const int64_t whole = cbm_list_entry(&o->dilation, i - 1) * (kernel->v[i] - 1);
        const int64_t p = cbm_list_entry(&o->padding, i - 1);
        if (o->same && cbm_list_entry(&o->stride, i - 1) != 1) {
            cbm_fail(m->module.cx, CBM_ERROR_INVALID, "[%s] same goes with strides of 1 only", who);
            return false;
        }
        m->before.v[i] = o->same ? whole / 2 : p;
        m->after.v[i] = o->same ? whole - whole / 2 : p;
    }
    m->padding = (cbm_pad_options){ .struct_size = sizeof m->padding, .mode = o->padding_mode };
    m->options.padding = CBM_SHAPE(0);
    m->options.same = 0;
    return true;
}

static cbm_module *make_conv(cbm_context *cx, int64_t n, int64_t in, int64_t out, int64_t kernel,
                             const cbm_nn_conv_options *o)
{
    static cbm_tensor *(*const operations[])(cbm_tensor *, cbm_tensor *, cbm_tensor *,
                                             const cbm_conv_options *) = { cbm_conv1d_with, cbm_conv2d_with,
                                                                           cbm_conv3d_with };
    const char *who = names[n - 1];
    cbm_shape k;
    conv *m = cbm_layer_new(cx, sizeof *m, who, conv_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->operation = operations[n - 1];
    if (cbm_options_wrong(cx, who, o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, who, o->dtype) ||
        !cbm_layer_kernel(cx, who, n, kernel, &o->kernel, &k) || !channels_divide(cx, who, in, out, o->groups))
        return cbm_layer_finish(&m->module);
    m->options = (cbm_conv_options){ .struct_size = sizeof m->options,
                                     .stride = o->stride,
                                     .padding = o->padding,
                                     .dilation = o->dilation,
                                     .groups = o->groups,
                                     .same = o->same };
    if (!pad_before(m, who, &k, o))
        return cbm_layer_finish(&m->module);
    add_parameters(&m->module, &k, out, in / o->groups, out, o->bias != 0, (cbm_dtype)o->dtype);
    return cbm_layer_finish(&m->module);
}

/* ---- transposed convolution ---- */

typedef struct transposed {
    cbm_module module;
    cbm_tensor *(*operation)(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                             const cbm_conv_transpose_options *options);
    cbm_conv_transpose_options options;
} transposed;

static cbm_tensor *transposed_forward(cbm_module *self, cbm_tensor *x)
{
    const transposed *m = (transposed *)self;
    return m->operation(x, cbm_layer_parameter(self, 0), cbm_layer_parameter(self, 1), &m->options);
}

CBM_OPTIONS_INIT(cbm_nn_conv_transpose_options, CBM_NN_CONV_TRANSPOSE_DEFAULTS)

static cbm_module *make_transposed(cbm_context *cx, int64_t n, int64_t in, int64_t out, int64_t kernel,
                                   const cbm_nn_conv_transpose_options *o)
{
    static cbm_tensor *(*const operations[])(cbm_tensor *, cbm_tensor *, cbm_tensor *,
                                             const cbm_conv_transpose_options *) = { cbm_conv_transpose1d_with,
                                                                                     cbm_conv_transpose2d_with,
                                                                                     cbm_conv_transpose3d_with };
    const char *who = transposed_names[n - 1];
    cbm_shape k;
    transposed *m = cbm_layer_new(cx, sizeof *m, who, transposed_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->operation = operations[n - 1];
    if (cbm_options_wrong(cx, who, o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, who, o->dtype) ||
        !cbm_layer_kernel(cx, who, n, kernel, &o->kernel, &k) || !channels_divide(cx, who, in, out, o->groups))
        return cbm_layer_finish(&m->module);
    m->options = (cbm_conv_transpose_options){ .struct_size = sizeof m->options,
                                               .stride = o->stride,
                                               .padding = o->padding,
                                               .output_padding = o->output_padding,
                                               .dilation = o->dilation,
                                               .groups = o->groups };
    add_parameters(&m->module, &k, in, out / o->groups, out, o->bias != 0, (cbm_dtype)o->dtype);
    return cbm_layer_finish(&m->module);
}

#define PUBLIC(n_)                                                                                                     \
    cbm_module *cbm_nn_conv##n_##d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,                      \
                                        const cbm_nn_conv_options *options)                                            \
    {                                                                                                                  \
        return make_conv(cx, n_, in, out, kernel, options);                                                            \
    }                                                                                                                  \
    cbm_module *cbm_nn_conv_transpose##n_##d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,            \
                                                  const cbm_nn_conv_transpose_options *options)                        \
    {                                                                                                                  \
        return make_transposed(cx, n_, in, out, kernel, options);                                                      \
    }
PUBLIC(1)
PUBLIC(2)
PUBLIC(3)

/* ---- what folding needs to know ---- */

bool cbm_is_conv(const cbm_module *m)
{
    return m->forward == conv_forward;
}
