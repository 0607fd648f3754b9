/* mobile.c: MobileNetV2 and EfficientNet-B0: blocks that expand channels by 1x1 convolutions, look around in each channel by itself,
   and contract them again. */
#include "networks/parts.h"
#include <math.h>

/* Convolution, batch norm, and an activation (NULL: none). */
static cbm_module *conv_norm(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out, int64_t kernel,
                             int64_t stride, int64_t groups, cbm_module *activation)
{
    cbm_module *conv = cbm_network_conv(cx, o, in, out, kernel, stride, groups), *norm = cbm_network_norm(cx, o, out);
    return activation ? cbm_sequential(cx, conv, norm, activation) : cbm_sequential(cx, conv, norm);
}

/* A row of the settings below: blocks of one kind. */
enum { EXPAND, KERNEL, STRIDE, OUT, REPEATS, SETTINGS };

/* ---- MobileNetV2 ---- */

typedef struct block {
    cbm_module module;
    cbm_module *body, *depth; /* depth NULL: no stochastic depth */
    bool shortcut;
} block;

static cbm_tensor *block_forward(cbm_module *self, cbm_tensor *x)
{
    const block *m = (block *)self;
    cbm_tensor *y = cbm_call(m->body, x);
    if (!m->shortcut)
        return y;
    return cbm_add(m->depth ? cbm_call(m->depth, y) : y, x);
}

static cbm_module *finish_block(block *m, const char *name, cbm_module *body, cbm_module *depth)
{
    m->body = cbm_network_part(&m->module, name, body);
    if (depth)
        m->depth = cbm_network_part(&m->module, "stochastic_depth", depth);
    return cbm_layer_finish(&m->module);
}

static cbm_module *inverted_residual(cbm_context *cx, const cbm_network_options *o, const int64_t *s, int64_t in,
                                     int64_t stride)
{
    block *m = cbm_layer_new(cx, sizeof *m, "inverted_residual", block_forward);
    if (!m)
        return cbm_module_failed(cx);
    const int64_t wide = in * s[EXPAND];
    cbm_module *parts[4];
    size_t n = 0;
    if (s[EXPAND] != 1)
        parts[n++] = conv_norm(cx, o, in, wide, 1, 1, 1, cbm_nn_relu6(cx));
    parts[n++] = conv_norm(cx, o, wide, wide, s[KERNEL], stride, wide, cbm_nn_relu6(cx));
    parts[n++] = cbm_network_conv(cx, o, wide, s[OUT], 1, 1, 1);
    parts[n++] = cbm_network_norm(cx, o, s[OUT]);
    m->shortcut = stride == 1 && in == s[OUT];
    return finish_block(m, "conv", cbm_sequential_of(cx, n, parts), NULL);
}

static cbm_module *mobilenet_v2(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    static const int64_t settings[7][SETTINGS] = { { 1, 3, 1, 16, 1 }, { 6, 3, 2, 24, 2 }, { 6, 3, 2, 32, 3 },
                                                   { 6, 3, 2, 64, 4 }, { 6, 3, 1, 96, 3 }, { 6, 3, 2, 160, 3 },
                                                   { 6, 3, 1, 320, 1 } };
    cbm_module *parts[19];
    size_t n = 0;
    int64_t in = 32;
    parts[n++] = conv_norm(cx, o, o->channels, in, 3, 2, 1, cbm_nn_relu6(cx));
    for (int s = 0; s < 7; s++)
        for (int64_t i = 0; i < settings[s][REPEATS]; i++) {
            parts[n++] = inverted_residual(cx, o, settings[s], in, i == 0 ? settings[s][STRIDE] : 1);
            in = settings[s][OUT];
        }
    parts[n++] = conv_norm(cx, o, in, 1280, 1, 1, 1, cbm_nn_relu6(cx));
    cbm_module *last = cbm_sequential(cx, cbm_nn_dropout(cx, o->dropout), cbm_network_linear(cx, o, 1280, o->classes));
    cbm_module *net =
        cbm_network_classifier(cx, form->name, cbm_sequential_of(cx, n, parts), cbm_nn_global_avg_pool2d(cx), last);
    cbm_network_draw(net, &(cbm_network_weights){ .conv_gain = sqrt(2), .conv_fan = CBM_FAN_OUT, .linear = 0.01 });
    return net;
}

/* ---- EfficientNet ---- */

enum { BLOCKS = 16 };

/* number: of the block among all, whose bodies are dropped the more often the later they come. */
static cbm_module *mbconv(cbm_context *cx, const cbm_network_options *o, const int64_t *s, int64_t in, int64_t stride,
                          int number)
{
    block *m = cbm_layer_new(cx, sizeof *m, "mbconv", block_forward);
    if (!m)
        return cbm_module_failed(cx);
    const int64_t wide = in * s[EXPAND];
    cbm_module *parts[4];
    size_t n = 0;
    if (s[EXPAND] != 1)
        parts[n++] = conv_norm(cx, o, in, wide, 1, 1, 1, cbm_nn_silu(cx));
    parts[n++] = conv_norm(cx, o, wide, wide, s[KERNEL], stride, wide, cbm_nn_silu(cx));
    parts[n++] =
        cbm_nn_squeeze_excite(cx, wide, in / 4 > 1 ? in / 4 : 1, .activation = cbm_nn_silu(cx), .dtype = o->dtype);
    parts[n++] = conv_norm(cx, o, wide, s[OUT], 1, 1, 1, NULL);
    m->shortcut = stride == 1 && in == s[OUT];
    return finish_block(m, "block", cbm_sequential_of(cx, n, parts),
                        cbm_nn_stochastic_depth(cx, 0.2 * number / BLOCKS, true));
}

static void draw_linear(cbm_module *linear)
{
    if (linear->failed)
        return;
    cbm_tensor *weight = cbm_layer_parameter(linear, 0);
    cbm_init_uniform(weight, 1 / sqrt((double)cbm_tensor_size(weight, 0)));
    cbm_init_constant(cbm_layer_parameter(linear, 1), 0);
}

static cbm_module *efficientnet_b0(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    static const int64_t settings[7][SETTINGS] = { { 1, 3, 1, 16, 1 }, { 6, 3, 2, 24, 2 },  { 6, 5, 2, 40, 2 },
                                                   { 6, 3, 2, 80, 3 }, { 6, 5, 1, 112, 3 }, { 6, 5, 2, 192, 4 },
                                                   { 6, 3, 1, 320, 1 } };
    cbm_module *parts[9];
    size_t n = 0;
    int64_t in = 32;
    int number = 0;
    parts[n++] = conv_norm(cx, o, o->channels, in, 3, 2, 1, cbm_nn_silu(cx));
    for (int s = 0; s < 7; s++) {
        cbm_module *stage[4];
        for (int64_t i = 0; i < settings[s][REPEATS]; i++) {
            stage[i] = mbconv(cx, o, settings[s], in, i == 0 ? settings[s][STRIDE] : 1, number++);
            in = settings[s][OUT];
        }
        parts[n++] = cbm_sequential_of(cx, (size_t)settings[s][REPEATS], stage);
    }
    parts[n++] = conv_norm(cx, o, in, 1280, 1, 1, 1, cbm_nn_silu(cx));
    cbm_module *linear = cbm_network_linear(cx, o, 1280, o->classes);
    cbm_module *net =
        cbm_network_classifier(cx, form->name, cbm_sequential_of(cx, n, parts), cbm_nn_global_avg_pool2d(cx),
                               cbm_sequential(cx, cbm_nn_dropout(cx, o->dropout), linear));
    cbm_network_draw(net, &(cbm_network_weights){ .conv_gain = sqrt(2), .conv_fan = CBM_FAN_OUT });
    draw_linear(linear);
    return net;
}

const cbm_network_form cbm_networks_mobile[] = {
    { "mobilenet_v2", "Sandler et al. 2018", mobilenet_v2, 3, 224, 1000, 0.2, NULL },
    { "efficientnet_b0", "Tan and Le 2019", efficientnet_b0, 3, 224, 1000, 0.2, NULL },
    { .name = NULL },
};
