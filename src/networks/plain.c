/* plain.c: AlexNet and VGG: convolutions, then three linear layers. */
#include "networks/parts.h"
#include <math.h>

/* dropout, linear, relu, dropout, linear, relu, linear; of VGG the dropouts stand behind the units. */
static cbm_module *three_layers(cbm_context *cx, const cbm_network_options *o, int64_t in, bool behind)
{
    const double p = o->dropout;
    cbm_module *one = cbm_network_linear(cx, o, in, 4096), *two = cbm_network_linear(cx, o, 4096, 4096);
    cbm_module *three = cbm_network_linear(cx, o, 4096, o->classes);
    return behind ? cbm_sequential(cx, one, cbm_nn_relu(cx), cbm_nn_dropout(cx, p), two, cbm_nn_relu(cx),
                                   cbm_nn_dropout(cx, p), three)
                  : cbm_sequential(cx, cbm_nn_dropout(cx, p), one, cbm_nn_relu(cx), cbm_nn_dropout(cx, p), two,
                                   cbm_nn_relu(cx), three);
}

static cbm_module *pool(cbm_context *cx)
{
    return cbm_nn_max_pool2d(cx, 3, .stride = CBM_SHAPE(2));
}

static cbm_module *alexnet(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    const int64_t t = o->dtype;
    cbm_module *features = cbm_sequential(
        cx, cbm_nn_conv2d(cx, o->channels, 64, 11, .stride = CBM_SHAPE(4), .padding = CBM_SHAPE(2), .dtype = t),
        cbm_nn_relu(cx), pool(cx), cbm_nn_conv2d(cx, 64, 192, 5, .padding = CBM_SHAPE(2), .dtype = t), cbm_nn_relu(cx),
        pool(cx), cbm_nn_conv2d(cx, 192, 384, 3, .padding = CBM_SHAPE(1), .dtype = t), cbm_nn_relu(cx),
        cbm_nn_conv2d(cx, 384, 256, 3, .padding = CBM_SHAPE(1), .dtype = t), cbm_nn_relu(cx),
        cbm_nn_conv2d(cx, 256, 256, 3, .padding = CBM_SHAPE(1), .dtype = t), cbm_nn_relu(cx), pool(cx));
    return cbm_network_classifier(cx, form->name, features, cbm_nn_adaptive_avg_pool2d(cx, CBM_SHAPE(6)),
                                  three_layers(cx, o, 256 * 36, false));
}

/* Numbers: whether there are batch norms, then channels; POOL halves the extents. */
enum { POOL = 0, END = -1, LONGEST = 80 };

static cbm_module *vgg(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    const bool norms = form->numbers[0];
    cbm_module *parts[LONGEST];
    size_t count = 0;
    int64_t in = o->channels;
    for (const int64_t *n = form->numbers + 1; *n != END; n++) {
        if (*n == POOL) {
            parts[count++] = cbm_nn_max_pool2d(cx, 2);
            continue;
        }
        parts[count++] = cbm_nn_conv2d(cx, in, *n, 3, .padding = CBM_SHAPE(1), .dtype = o->dtype);
        if (norms)
            parts[count++] = cbm_network_norm(cx, o, *n);
        parts[count++] = cbm_nn_relu(cx);
        in = *n;
    }
    cbm_module *net =
        cbm_network_classifier(cx, form->name, cbm_sequential_of(cx, count, parts),
                               cbm_nn_adaptive_avg_pool2d(cx, CBM_SHAPE(7)), three_layers(cx, o, 512 * 49, true));
    cbm_network_draw(net, &(cbm_network_weights){ .conv_gain = sqrt(2), .conv_fan = CBM_FAN_OUT, .linear = 0.01 });
    return net;
}

#define VGG11 64, POOL, 128, POOL, 256, 256, POOL, 512, 512, POOL, 512, 512, POOL, END
#define VGG16 64, 64, POOL, 128, 128, POOL, 256, 256, 256, POOL, 512, 512, 512, POOL, 512, 512, 512, POOL, END
#define VGG19                                                                                                          \
    64, 64, POOL, 128, 128, POOL, 256, 256, 256, 256, POOL, 512, 512, 512, 512, POOL, 512, 512, 512, 512, POOL, END
#define VGG(name_, ...)                                                                                                \
    {                                                                                                                  \
        name_, "Simonyan and Zisserman 2015", vgg, 3, 224, 1000, 0.5, (const int64_t[])                                \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
const cbm_network_form cbm_networks_plain[] = {
    { "alexnet", "Krizhevsky 2014", alexnet, 3, 224, 1000, 0.5, NULL },
    VGG("vgg11", false, VGG11),
    VGG("vgg11_bn", true, VGG11),
    VGG("vgg16", false, VGG16),
    VGG("vgg16_bn", true, VGG16),
    VGG("vgg19", false, VGG19),
    VGG("vgg19_bn", true, VGG19),
    { .name = NULL },
};
