/* squeezenet.c: SqueezeNet: "fire" modules, which squeeze channels by 1x1 convolutions and expand them by 1x1 and 3x3 ones. */
#include "networks/parts.h"
#include <math.h>

typedef struct fire {
    cbm_module module;
    cbm_module *squeeze, *expand1x1, *expand3x3;
} fire;

static cbm_tensor *fire_forward(cbm_module *self, cbm_tensor *x)
{
    const fire *m = (fire *)self;
    x = cbm_relu(cbm_call(m->squeeze, x));
    return cbm_concat((cbm_tensor *[]){ cbm_relu(cbm_call(m->expand1x1, x)), cbm_relu(cbm_call(m->expand3x3, x)) }, 2,
                      1);
}

static cbm_module *conv(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out, int64_t kernel)
{
    return cbm_nn_conv2d(cx, in, out, kernel, .padding = CBM_SHAPE(kernel / 2), .dtype = o->dtype);
}

static cbm_module *make_fire(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t squeezed, int64_t out)
{
    fire *m = cbm_layer_new(cx, sizeof *m, "fire", fire_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->squeeze = cbm_network_part(&m->module, "squeeze", conv(cx, o, in, squeezed, 1));
    m->expand1x1 = cbm_network_part(&m->module, "expand1x1", conv(cx, o, squeezed, out / 2, 1));
    m->expand3x3 = cbm_network_part(&m->module, "expand3x3", conv(cx, o, squeezed, out / 2, 3));
    return cbm_layer_finish(&m->module);
}

/* Numbers: the first convolution's channels and kernel, then for each part squeezed and out; POOL, 0: a pooling. */
enum { POOL = 0, END = -1, LONGEST = 16 };

static cbm_module *make(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    const int64_t *n = form->numbers;
    cbm_module *parts[LONGEST];
    size_t count = 0;
    int64_t in = n[0];
    parts[count++] = cbm_nn_conv2d(cx, o->channels, in, n[1], .stride = CBM_SHAPE(2), .dtype = o->dtype);
    parts[count++] = cbm_nn_relu(cx);
    for (n += 2; *n != END; n += 2) {
        if (*n == POOL) {
            parts[count++] = cbm_nn_max_pool2d(cx, 3, .stride = CBM_SHAPE(2), .ceil_mode = true);
            continue;
        }
        parts[count++] = make_fire(cx, o, in, n[0], n[1]);
        in = n[1];
    }
    cbm_module *last = cbm_nn_conv2d(cx, in, o->classes, 1, .dtype = o->dtype);
    cbm_module *classifier = cbm_sequential(cx, cbm_nn_dropout(cx, o->dropout), last, cbm_nn_relu(cx),
                                            cbm_nn_global_avg_pool2d(cx), cbm_nn_flatten(cx));
    cbm_module *net = cbm_sequential_of(cx, 0, NULL);
    net->type = form->name;
    cbm_add_module(net, "features", cbm_sequential_of(cx, count, parts));
    cbm_add_module(net, "classifier", classifier);
    cbm_network_draw(net, &(cbm_network_weights){ .conv_gain = sqrt(2), .conv_fan = CBM_FAN_IN, .conv_uniform = true });
    if (!net->failed)
        cbm_init_normal(cbm_layer_parameter(last, 0), 0.01);
    return net;
}

#define IANDOLA "Iandola et al. 2016"
const cbm_network_form cbm_networks_squeezenet[] = {
    { "squeezenet1_0", IANDOLA, make, 3, 224, 1000, 0.5,
      (const int64_t[]){ 96,  7,  POOL, 0,  16,  128, 16,  128,  32, 256, POOL, 0,  32,
                         256, 48, 384,  48, 384, 64,  512, POOL, 0,  64,  512,  END } },
    { "squeezenet1_1", IANDOLA, make, 3, 224, 1000, 0.5,
      (const int64_t[]){ 64,  3,    POOL, 0,  16,  128, 16,  128, POOL, 0,  32,  256, 32,
                         256, POOL, 0,    48, 384, 48,  384, 64,  512,  64, 512, END } },
    { .name = NULL },
};
