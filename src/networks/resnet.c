/* resnet.c: residual networks: ResNet, its wide form, and ResNeXt, which differ in their 3x3 convolutions. */
#include "networks/parts.h"
#include <math.h>

/* The form's numbers. */
enum { BOTTLENECK, GROUPS, WIDTH_PER_GROUP, DEPTH, NUMBERS = DEPTH + 4 };

/* ---- blocks: relu(path(x) + x), x going through downsample (1x1 convolution and batch norm) where its extents change ---- */

typedef struct block {
    cbm_module module;
    cbm_module *conv[3], *bn[3]; /* the third: of a bottleneck */
    cbm_module *relu;            /* behind all of them, a module that those who watch see */
    cbm_module *downsample;      /* NULL: x as it is */
} block;

static cbm_tensor *block_forward(cbm_module *self, cbm_tensor *x)
{
    const block *b = (const block *)self;
    const int last = b->conv[2] ? 2 : 1;
    cbm_tensor *y = x;
    for (int i = 0; i <= last; i++) {
        y = cbm_call(b->bn[i], cbm_call(b->conv[i], y));
        if (i < last)
            y = cbm_call(b->relu, y);
    }
    return cbm_call(b->relu, cbm_add(y, b->downsample ? cbm_call(b->downsample, x) : x));
}

static void add_conv(block *b, const cbm_network_options *o, int number, int64_t in, int64_t out, int64_t kernel,
                     int64_t stride, int64_t groups)
{
    static const char *const convs[] = { "conv1", "conv2", "conv3" }, *const norms[] = { "bn1", "bn2", "bn3" };
    cbm_module *m = &b->module;
    b->conv[number] = cbm_network_part(m, convs[number], cbm_network_conv(m->cx, o, in, out, kernel, stride, groups));
    b->bn[number] = cbm_network_part(m, norms[number], cbm_network_norm(m->cx, o, out));
}

static int64_t block_out(const cbm_network_form *form, int64_t planes)
{
    return form->numbers[BOTTLENECK] ? 4 * planes : planes;
}

static cbm_module *make_block(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o, int64_t in,
                              int64_t planes, int64_t stride)
{
    block *b = cbm_layer_new(cx, sizeof *b, form->numbers[BOTTLENECK] ? "bottleneck" : "residual", block_forward);
    if (!b)
        return cbm_module_failed(cx);
    const int64_t out = block_out(form, planes), groups = form->numbers[GROUPS];
    if (form->numbers[BOTTLENECK]) {
        const int64_t width = planes * form->numbers[WIDTH_PER_GROUP] / 64 * groups;
        add_conv(b, o, 0, in, width, 1, 1, 1);
        add_conv(b, o, 1, width, width, 3, stride, groups);
        add_conv(b, o, 2, width, out, 1, 1, 1);
    } else {
        add_conv(b, o, 0, in, out, 3, stride, 1);
        add_conv(b, o, 1, out, out, 3, 1, 1);
    }
    b->relu = cbm_network_part(&b->module, "relu", cbm_nn_relu(cx));
    if (stride != 1 || in != out)
        b->downsample = cbm_network_part(
            &b->module, "downsample",
            cbm_sequential(cx, cbm_network_conv(cx, o, in, out, 1, stride, 1), cbm_network_norm(cx, o, out)));
    return cbm_layer_finish(&b->module);
}

/* ---- whole networks ---- */

typedef struct resnet {
    cbm_module module;
    cbm_module *conv1, *bn1, *relu, *maxpool; /* maxpool NULL: images are small */
    cbm_module *layer[4], *avgpool, *fc;
} resnet;

static cbm_tensor *resnet_forward(cbm_module *self, cbm_tensor *x)
{
    const resnet *r = (const resnet *)self;
    x = cbm_call(r->relu, cbm_call(r->bn1, cbm_call(r->conv1, x)));
    if (r->maxpool)
        x = cbm_call(r->maxpool, x);
    for (int i = 0; i < 4; i++)
        x = cbm_call(r->layer[i], x);
    return cbm_call(r->fc, cbm_flatten(cbm_call(r->avgpool, x), 1));
}

static cbm_module *make(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    static const char *const names[4] = { "layer1", "layer2", "layer3", "layer4" };
    resnet *r = cbm_layer_new(cx, sizeof *r, form->name, resnet_forward);
    if (!r)
        return cbm_module_failed(cx);
    cbm_module *m = &r->module;
    const bool small = o->small_images;
    r->conv1 = cbm_network_part(m, "conv1", cbm_network_conv(cx, o, o->channels, 64, small ? 3 : 7, small ? 1 : 2, 1));
    r->bn1 = cbm_network_part(m, "bn1", cbm_network_norm(cx, o, 64));
    r->relu = cbm_network_part(m, "relu", cbm_nn_relu(cx));
    if (!small)
        r->maxpool =
            cbm_network_part(m, "maxpool", cbm_nn_max_pool2d(cx, 3, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1)));
    int64_t in = 64;
    for (int stage = 0; stage < 4; stage++) {
        const int64_t planes = (int64_t)64 << stage;
        cbm_module *blocks[64];
        const size_t depth = (size_t)form->numbers[DEPTH + stage];
        for (size_t i = 0; i < depth; i++) {
            blocks[i] = make_block(cx, form, o, in, planes, i == 0 && stage > 0 ? 2 : 1);
            in = block_out(form, planes);
        }
        r->layer[stage] = cbm_network_part(m, names[stage], cbm_sequential_of(cx, depth, blocks));
    }
    r->avgpool = cbm_network_part(m, "avgpool", cbm_nn_global_avg_pool2d(cx));
    r->fc = cbm_network_part(m, "fc", cbm_network_linear(cx, o, in, o->classes));
    cbm_network_draw(m, &(cbm_network_weights){ .conv_gain = sqrt(2), .conv_fan = CBM_FAN_OUT });
    return cbm_layer_finish(m);
}

#define RESNET(name_, source_, ...)                                                                                    \
    {                                                                                                                  \
        name_, source_, make, 3, 224, 1000, 0, (const int64_t[NUMBERS])                                                \
        {                                                                                                              \
            __VA_ARGS__                                                                                                \
        }                                                                                                              \
    }
#define HE "He, Zhang, Ren and Sun 2016"
#define WIDE "Zagoruyko and Komodakis 2016"
#define XIE "Xie et al. 2017"
const cbm_network_form cbm_networks_resnet[] = {
    RESNET("resnet18", HE, false, 1, 64, 2, 2, 2, 2),
    RESNET("resnet34", HE, false, 1, 64, 3, 4, 6, 3),
    RESNET("resnet50", HE, true, 1, 64, 3, 4, 6, 3),
    RESNET("resnet101", HE, true, 1, 64, 3, 4, 23, 3),
    RESNET("resnet152", HE, true, 1, 64, 3, 8, 36, 3),
    RESNET("wide_resnet50_2", WIDE, true, 1, 128, 3, 4, 6, 3),
    RESNET("wide_resnet101_2", WIDE, true, 1, 128, 3, 4, 23, 3),
    RESNET("resnext50_32x4d", XIE, true, 32, 4, 3, 4, 6, 3),
    RESNET("resnext101_32x8d", XIE, true, 32, 8, 3, 4, 23, 3),
    { .name = NULL },
};
