/* densenet.c: DenseNet-121: each layer sees what all layers of its block before it have made. */
#include "networks/parts.h"
#include <math.h>
#include <stdio.h>

enum { GROWTH = 32, BOTTLENECK = 4 * GROWTH, BLOCKS = 4 };

/* ---- one layer: x and what it makes of x, joined ---- */

typedef struct dense_layer {
    cbm_module module;
    cbm_module *norm1, *conv1, *norm2, *conv2, *dropout;
} dense_layer;

static cbm_tensor *layer_forward(cbm_module *self, cbm_tensor *x)
{
    const dense_layer *m = (dense_layer *)self;
    cbm_tensor *y = cbm_call(m->conv1, cbm_relu(cbm_call(m->norm1, x)));
    y = cbm_call(m->conv2, cbm_relu(cbm_call(m->norm2, y)));
    return cbm_concat((cbm_tensor *[]){ x, cbm_call(m->dropout, y) }, 2, 1);
}

static cbm_module *make_layer(cbm_context *cx, const cbm_network_options *o, int64_t in)
{
    dense_layer *m = cbm_layer_new(cx, sizeof *m, "dense_layer", layer_forward);
    if (!m)
        return cbm_module_failed(cx);
    cbm_module *self = &m->module;
    m->norm1 = cbm_network_part(self, "norm1", cbm_network_norm(cx, o, in));
    m->conv1 = cbm_network_part(self, "conv1", cbm_network_conv(cx, o, in, BOTTLENECK, 1, 1, 1));
    m->norm2 = cbm_network_part(self, "norm2", cbm_network_norm(cx, o, BOTTLENECK));
    m->conv2 = cbm_network_part(self, "conv2", cbm_network_conv(cx, o, BOTTLENECK, GROWTH, 3, 1, 1));
    m->dropout = cbm_network_part(self, "dropout", cbm_nn_dropout(cx, o->dropout));
    return cbm_layer_finish(self);
}

/* ---- the network ---- */

static cbm_module *make_block(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t layers)
{
    cbm_module *block = cbm_sequential_of(cx, 0, NULL);
    for (int64_t i = 0; i < layers && cbm_context_status(cx) == CBM_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "denselayer%lld", (long long)i + 1);
        cbm_add_module(block, name, make_layer(cx, o, in + i * GROWTH));
    }
    return block;
}

/* Half as many channels, half the extents. */
static cbm_module *make_transition(cbm_context *cx, const cbm_network_options *o, int64_t in)
{
    cbm_module *t = cbm_sequential_of(cx, 0, NULL);
    cbm_add_module(t, "norm", cbm_network_norm(cx, o, in));
    cbm_add_module(t, "relu", cbm_nn_relu(cx));
    cbm_add_module(t, "conv", cbm_network_conv(cx, o, in, in / 2, 1, 1, 1));
    cbm_add_module(t, "pool", cbm_nn_avg_pool2d(cx, 2));
    return t;
}

static cbm_module *make(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    cbm_module *features = cbm_sequential_of(cx, 0, NULL);
    int64_t channels = 2 * GROWTH;
    cbm_add_module(features, "conv0", cbm_network_conv(cx, o, o->channels, channels, 7, 2, 1));
    cbm_add_module(features, "norm0", cbm_network_norm(cx, o, channels));
    cbm_add_module(features, "relu0", cbm_nn_relu(cx));
    cbm_add_module(features, "pool0", cbm_nn_max_pool2d(cx, 3, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1)));
    for (int i = 0; i < BLOCKS && cbm_context_status(cx) == CBM_OK; i++) {
        char name[32];
        snprintf(name, sizeof name, "denseblock%d", i + 1);
        cbm_add_module(features, name, make_block(cx, o, channels, form->numbers[i]));
        channels += form->numbers[i] * GROWTH;
        if (i == BLOCKS - 1)
            break;
        snprintf(name, sizeof name, "transition%d", i + 1);
        cbm_add_module(features, name, make_transition(cx, o, channels));
        channels /= 2;
    }
    cbm_add_module(features, "norm5", cbm_network_norm(cx, o, channels));
    cbm_add_module(features, "relu5", cbm_nn_relu(cx));
    cbm_module *linear = cbm_network_linear(cx, o, channels, o->classes);
    cbm_module *net = cbm_network_classifier(cx, form->name, features, cbm_nn_global_avg_pool2d(cx), linear);
    cbm_network_draw(net, &(cbm_network_weights){ .conv_gain = sqrt(2), .conv_fan = CBM_FAN_IN });
    if (!net->failed)
        cbm_init_constant(cbm_layer_parameter(linear, 1), 0);
    return net;
}

const cbm_network_form cbm_networks_densenet[] = {
    { "densenet121", "Huang, Liu, van der Maaten and Weinberger 2017", make, 3, 224, 1000, 0,
      (const int64_t[BLOCKS]){ 6, 12, 24, 16 } },
    { .name = NULL },
};
