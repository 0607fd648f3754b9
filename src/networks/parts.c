/* parts.c: see parts.h. */
#include "networks/parts.h"
#include <string.h>

cbm_module *cbm_network_part(cbm_module *m, const char *name, cbm_module *child)
{
    cbm_add_module(m, name, child);
    return child;
}

cbm_module *cbm_network_conv(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out, int64_t kernel,
                             int64_t stride, int64_t groups)
{
    const cbm_nn_conv_options c = { .struct_size = sizeof c,
                                    .stride = CBM_SHAPE(stride),
                                    .padding = CBM_SHAPE(kernel / 2),
                                    .dilation = CBM_SHAPE(1),
                                    .groups = groups,
                                    .dtype = o->dtype };
    return cbm_nn_conv2d_with(cx, in, out, kernel, &c);
}

cbm_module *cbm_network_norm(cbm_context *cx, const cbm_network_options *o, int64_t channels)
{
    return cbm_nn_batch_norm2d(cx, channels, .dtype = o->dtype);
}

cbm_module *cbm_network_linear(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out)
{
    return cbm_nn_linear(cx, in, out, .dtype = o->dtype);
}

typedef struct classifier {
    cbm_module module;
    cbm_module *features, *avgpool, *classifier;
} classifier;

static cbm_tensor *classifier_forward(cbm_module *self, cbm_tensor *x)
{
    const classifier *m = (classifier *)self;
    x = cbm_call(m->features, x);
    x = cbm_flatten(m->avgpool ? cbm_call(m->avgpool, x) : x, 1);
    return m->classifier ? cbm_call(m->classifier, x) : x;
}

cbm_module *cbm_network_classifier(cbm_context *cx, const char *type, cbm_module *features, cbm_module *avgpool,
                                   cbm_module *last)
{
    classifier *m = cbm_layer_new(cx, sizeof *m, type, classifier_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->features = cbm_network_part(&m->module, "features", features);
    if (avgpool)
        m->avgpool = cbm_network_part(&m->module, "avgpool", avgpool);
    if (last)
        m->classifier = cbm_network_part(&m->module, "classifier", last);
    return cbm_layer_finish(&m->module);
}

static void draw_layer(cbm_module *m, const cbm_network_weights *w)
{
    const bool conv = strcmp(m->type, "conv2d") == 0 && w->conv_gain > 0;
    const bool linear = strcmp(m->type, "linear") == 0 && w->linear > 0;
    cbm_tensor *weight = cbm_layer_parameter(m, 0), *bias = cbm_layer_parameter(m, 1);
    if (!conv && !linear)
        return;
    if (linear)
        cbm_init_normal(weight, w->linear);
    else
        (w->conv_uniform ? cbm_init_kaiming_uniform : cbm_init_kaiming_normal)(weight, w->conv_gain, w->conv_fan);
    if (bias)
        cbm_init_constant(bias, 0);
}

void cbm_network_draw(cbm_module *m, const cbm_network_weights *w)
{
    if (m->failed)
        return;
    if (m->type)
        draw_layer(m, w);
    for (size_t i = 0; i < cbm_child_count(m); i++)
        cbm_network_draw(cbm_child_at(m, i, NULL), w);
}
