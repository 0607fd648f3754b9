/* local.c: the locally connected layer: patches as columns, and a product for each place. Rests on layer.h. */
#include "nn/layer.h"
#include <math.h>

typedef struct local {
    cbm_module module;
    cbm_unfold_options options;
    cbm_shape kernel;
    int64_t in, out, extent[2], places[2];
} local;

static cbm_tensor *local_forward(cbm_module *self, cbm_tensor *x)
{
    const local *m = (local *)self;
    const cbm_shape s = cbm_tensor_shape(x);
    if (s.v[0] != 4 || s.v[2] != m->in || s.v[3] != m->extent[0] || s.v[4] != m->extent[1]) {
        char text[160];
        return cbm_fail_tensor(self->cx, CBM_ERROR_SHAPE,
                               "[locally_connected2d] the input %s is not (N, %lld, %lld, %lld), as this layer needs",
                               cbm_shape_text(&s, text, sizeof text), (long long)m->in, (long long)m->extent[0],
                               (long long)m->extent[1]);
    }
    cbm_tensor *patches = cbm_unfold_with(x, m->kernel, &m->options); /* (N, K, L) */
    cbm_tensor *y = cbm_matmul(cbm_permute(patches, CBM_SHAPE(2, 0, 1)), cbm_for_product(cbm_layer_parameter(self, 0)));
    y = cbm_reshape(cbm_permute(y, CBM_SHAPE(1, 2, 0)), CBM_SHAPE(s.v[1], m->out, m->places[0], m->places[1]));
    return cbm_layer_parameter(self, 1) ? cbm_add(y, cbm_layer_parameter(self, 1)) : y;
}

CBM_OPTIONS_INIT(cbm_nn_locally_connected_options, CBM_NN_LOCALLY_CONNECTED_DEFAULTS)

/* How many places the kernel has along an axis; 0: it does not fit. */
static int64_t places(const local *m, int axis)
{
    const cbm_unfold_options *o = &m->options;
    const int64_t reach = cbm_list_entry(&o->dilation, axis) * (m->kernel.v[1 + axis] - 1) + 1;
    const int64_t room = m->extent[axis] + 2 * cbm_list_entry(&o->padding, axis) - reach;
    return room < 0 ? 0 : room / cbm_list_entry(&o->stride, axis) + 1;
}

cbm_module *cbm_nn_locally_connected2d_with(cbm_context *cx, int64_t in, int64_t out, int64_t height, int64_t width,
                                            int64_t kernel, const cbm_nn_locally_connected_options *o)
{
    static const char who[] = "locally_connected2d";
    local *m = cbm_layer_new(cx, sizeof *m, who, local_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, who, o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, who, o->dtype) ||
        !cbm_layer_kernel(cx, who, 2, kernel, &o->kernel, &m->kernel))
        return cbm_layer_finish(&m->module);
    m->options = (cbm_unfold_options){
        .struct_size = sizeof m->options, .stride = o->stride, .padding = o->padding, .dilation = o->dilation
    };
    m->in = in;
    m->out = out;
    m->extent[0] = height;
    m->extent[1] = width;
    const bool fits = in >= 1 && out >= 1 && height >= 1 && width >= 1 && cbm_is_list(&o->stride, 2, 1) &&
                      cbm_is_list(&o->dilation, 2, 1) && cbm_is_list(&o->padding, 2, 0);
    for (int axis = 0; axis < 2 && fits; axis++)
        m->places[axis] = places(m, axis);
    if (!fits || m->places[0] < 1 || m->places[1] < 1) {
        cbm_fail(
            cx, CBM_ERROR_INVALID,
            "[%s] %lld channels in and %lld out of %lld x %lld places: the kernel must fit, and stride, padding and "
            "dilation hold one number or two",
            who, (long long)in, (long long)out, (long long)height, (long long)width);
        return cbm_layer_finish(&m->module);
    }
    const int64_t reach = in * m->kernel.v[1] * m->kernel.v[2];
    const double bound = 1 / sqrt((double)reach);
    const cbm_dtype dtype = (cbm_dtype)o->dtype;
    cbm_add_uniform(&m->module, "weight", dtype, CBM_SHAPE(m->places[0] * m->places[1], reach, out), bound);
    if (o->bias)
        cbm_add_uniform(&m->module, "bias", dtype, CBM_SHAPE(out, m->places[0], m->places[1]), bound);
    return cbm_layer_finish(&m->module);
}
