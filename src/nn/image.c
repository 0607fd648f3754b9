/* image.c: layers for pictures and their like: interpolation, channels that become places, channels that weigh each other. */
#include "nn/layer.h"

/* ---- upsample ---- */

typedef struct upsample {
    cbm_module module;
    cbm_interpolate_options options;
} upsample;

static cbm_tensor *upsample_forward(cbm_module *self, cbm_tensor *x)
{
    return cbm_interpolate_with(x, &((upsample *)self)->options);
}

CBM_OPTIONS_INIT(cbm_nn_upsample_options, CBM_NN_UPSAMPLE_DEFAULTS)

cbm_module *cbm_nn_upsample_with(cbm_context *cx, const cbm_nn_upsample_options *o)
{
    upsample *m = cbm_layer_new(cx, sizeof *m, "upsample", upsample_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "upsample", o, o ? o->struct_size : 0, sizeof *o))
        return cbm_layer_finish(&m->module);
    m->options = (cbm_interpolate_options){
        .struct_size = sizeof m->options, .size = o->size, .mode = o->mode, .align_corners = o->align_corners
    };
    for (int i = 0; i < 3; i++)
        m->options.scale_factor[i] = o->scale_factor[i];
    if ((o->size.v[0] != 0) == (o->scale_factor[0] != 0))
        cbm_fail(cx, CBM_ERROR_INVALID, "[upsample] either a size or a scale factor must be given");
    return cbm_layer_finish(&m->module);
}

/* ---- shuffles ---- */

typedef struct shuffle {
    cbm_module module;
    cbm_tensor *(*operation)(cbm_tensor *x, int64_t number);
    int64_t number;
} shuffle;

static cbm_tensor *shuffle_forward(cbm_module *self, cbm_tensor *x)
{
    const shuffle *m = (shuffle *)self;
    return m->operation(x, m->number);
}

static cbm_module *make_shuffle(cbm_context *cx, const char *type, cbm_tensor *(*operation)(cbm_tensor *, int64_t),
                                int64_t number)
{
    shuffle *m = cbm_layer_new(cx, sizeof *m, type, shuffle_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->operation = operation;
    m->number = number;
    if (number < 1)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %lld is not at least 1", type, (long long)number);
    return cbm_layer_finish(&m->module);
}

cbm_module *cbm_nn_pixel_shuffle(cbm_context *cx, int64_t factor)
{
    return make_shuffle(cx, "pixel_shuffle", cbm_pixel_shuffle, factor);
}

cbm_module *cbm_nn_pixel_unshuffle(cbm_context *cx, int64_t factor)
{
    return make_shuffle(cx, "pixel_unshuffle", cbm_pixel_unshuffle, factor);
}

cbm_module *cbm_nn_channel_shuffle(cbm_context *cx, int64_t groups)
{
    return make_shuffle(cx, "channel_shuffle", cbm_channel_shuffle, groups);
}

/* ---- squeeze and excite ---- */

typedef struct squeeze_excite {
    cbm_module module;
    cbm_module *avgpool, *fc1, *fc2, *activation, *gate;
} squeeze_excite;

static cbm_tensor *squeeze_excite_forward(cbm_module *self, cbm_tensor *x)
{
    const squeeze_excite *m = (squeeze_excite *)self;
    cbm_tensor *s = cbm_call(m->activation, cbm_call(m->fc1, cbm_call(m->avgpool, x)));
    return cbm_mul(x, cbm_call(m->gate, cbm_call(m->fc2, s)));
}

CBM_OPTIONS_INIT(cbm_nn_squeeze_excite_options, CBM_NN_SQUEEZE_EXCITE_DEFAULTS)

cbm_module *cbm_nn_squeeze_excite_with(cbm_context *cx, int64_t channels, int64_t squeezed,
                                       const cbm_nn_squeeze_excite_options *o)
{
    squeeze_excite *m = cbm_layer_new(cx, sizeof *m, "squeeze_excite", squeeze_excite_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "squeeze_excite", o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, "squeeze_excite", o->dtype))
        return cbm_layer_finish(&m->module);
    m->avgpool = cbm_nn_global_avg_pool2d(cx);
    m->fc1 = cbm_nn_conv2d(cx, channels, squeezed, 1, .dtype = o->dtype);
    m->fc2 = cbm_nn_conv2d(cx, squeezed, channels, 1, .dtype = o->dtype);
    m->activation = o->activation ? o->activation : cbm_nn_relu(cx);
    m->gate = o->gate ? o->gate : cbm_nn_sigmoid(cx);
    cbm_add_module(&m->module, "avgpool", m->avgpool);
    cbm_add_module(&m->module, "fc1", m->fc1);
    cbm_add_module(&m->module, "fc2", m->fc2);
    cbm_add_module(&m->module, "activation", m->activation);
    cbm_add_module(&m->module, "scale_activation", m->gate);
    return cbm_layer_finish(&m->module);
}
