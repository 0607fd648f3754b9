/* cifar.c: the residual networks for CIFAR-10 of He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (2015),
   section 4.2: 6 n + 2 layers with weights. */
#include "networks/parts.h"
#include <math.h>
#include <stdio.h>

/* y = relu(x' + bn2(conv2(relu(bn1(conv1(x)))))), x' = x, or what shortcut makes of it. */
typedef struct block {
    cbm_module module;
    cbm_module *conv1, *bn1, *conv2, *bn2, *relu;
    int64_t stride, in, out;
} block;

typedef struct resnet {
    cbm_module module;
    cbm_module *conv1, *bn1, *relu, *layers[3], *linear;
} resnet;

/* Every other pixel, and as many channels of zeros before as behind (the paper's option A, without parameters). */
static cbm_tensor *shortcut(const block *b, cbm_tensor *x)
{
    if (b->stride == 1 && b->in == b->out)
        return x;
    cbm_tensor *small =
        cbm_slice(cbm_slice(x, 2, 0, cbm_tensor_size(x, 2), b->stride), 3, 0, cbm_tensor_size(x, 3), b->stride);
    cbm_shape shape = cbm_tensor_shape(small);
    shape.v[2] = (b->out - b->in) / 2;
    cbm_tensor *zeros = cbm_zeros(b->module.cx, cbm_tensor_dtype(x), shape);
    return cbm_concat((cbm_tensor *[]){ zeros, small, zeros }, 3, 1);
}

static cbm_tensor *block_forward(cbm_module *self, cbm_tensor *x)
{
    const block *b = (const block *)self;
    cbm_tensor *y = cbm_call(b->relu, cbm_call(b->bn1, cbm_call(b->conv1, x)));
    y = cbm_call(b->bn2, cbm_call(b->conv2, y));
    return cbm_call(b->relu, cbm_add(y, shortcut(b, x)));
}

static cbm_module *make_block(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out, int64_t stride)
{
    block *b = cbm_layer_new(cx, sizeof *b, "residual", block_forward);
    if (!b)
        return cbm_module_failed(cx);
    b->stride = stride;
    b->in = in;
    b->out = out;
    b->conv1 = cbm_network_part(&b->module, "conv1", cbm_network_conv(cx, o, in, out, 3, stride, 1));
    b->bn1 = cbm_network_part(&b->module, "bn1", cbm_network_norm(cx, o, out));
    b->conv2 = cbm_network_part(&b->module, "conv2", cbm_network_conv(cx, o, out, out, 3, 1, 1));
    b->bn2 = cbm_network_part(&b->module, "bn2", cbm_network_norm(cx, o, out));
    b->relu = cbm_network_part(&b->module, "relu", cbm_nn_relu(cx));
    return cbm_layer_finish(&b->module);
}

static cbm_module *make_stage(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out, int64_t blocks)
{
    cbm_module *stage = cbm_sequential_of(cx, 0, NULL);
    for (int64_t i = 0; i < blocks && cbm_context_status(cx) == CBM_OK; i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)i);
        cbm_add_module(stage, name, make_block(cx, o, i ? out : in, out, i || in == out ? 1 : 2));
    }
    return stage;
}

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    const resnet *r = (const resnet *)self;
    x = cbm_call(r->relu, cbm_call(r->bn1, cbm_call(r->conv1, x))); /* (N, 16, 32, 32) */
    for (int i = 0; i < 3; i++)
        x = cbm_call(r->layers[i], x);                                /* ... (N, 64, 8, 8) */
    return cbm_call(r->linear, cbm_mean(x, .axes = CBM_SHAPE(2, 3))); /* (N, classes) */
}

static cbm_module *make(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    static const char *const names[3] = { "layer1", "layer2", "layer3" };
    resnet *r = cbm_layer_new(cx, sizeof *r, form->name, forward);
    if (!r)
        return cbm_module_failed(cx);
    cbm_module *m = &r->module;
    r->conv1 = cbm_network_part(m, "conv1", cbm_network_conv(cx, o, o->channels, 16, 3, 1, 1));
    r->bn1 = cbm_network_part(m, "bn1", cbm_network_norm(cx, o, 16));
    r->relu = cbm_network_part(m, "relu", cbm_nn_relu(cx));
    for (int i = 0; i < 3; i++) {
        const int64_t out = 16 << i;
        r->layers[i] = cbm_network_part(m, names[i], make_stage(cx, o, i ? out / 2 : out, out, form->numbers[0]));
    }
    r->linear = cbm_network_part(m, "linear", cbm_network_linear(cx, o, 64, o->classes));
    cbm_network_draw(m, &(cbm_network_weights){ .conv_gain = sqrt(2), .conv_fan = CBM_FAN_IN });
    return cbm_layer_finish(m);
}

#define CIFAR(name_, n_)                                                                                               \
    {                                                                                                                  \
        name_, "He, Zhang, Ren and Sun 2015, section 4.2", make, 3, 32, 10, 0, (const int64_t[])                       \
        {                                                                                                              \
            n_                                                                                                         \
        }                                                                                                              \
    }
const cbm_network_form cbm_networks_cifar[] = {
    CIFAR("resnet20", 3),   CIFAR("resnet32", 5),     CIFAR("resnet44", 7), CIFAR("resnet56", 9),
    CIFAR("resnet110", 18), CIFAR("resnet1202", 200), { .name = NULL },
};
