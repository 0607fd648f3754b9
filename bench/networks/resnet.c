/* resnet.c: residual networks (He et al. 2016) in torchvision's arrangement and names, and one residual stage alone. */
#include "bench/networks/networks.h"

static cbm_module *conv(cbm_context *cx, int64_t in, int64_t out, int64_t kernel, int64_t stride)
{
    return cbm_nn_conv2d(cx, in, out, kernel, .stride = CBM_SHAPE(stride), .padding = CBM_SHAPE(kernel / 2),
                         .bias = false);
}

/* Adds a part under its name and returns it. */
static cbm_module *part(cbm_module *m, const char *name, cbm_module *child)
{
    cbm_add_module(m, name, child);
    return child;
}

/* ---- blocks: relu(path(x) + x), x going through downsample (1x1 convolution and batch norm) where its extents change ---- */

typedef struct block {
    cbm_module module;
    cbm_module *conv[3], *bn[3]; /* the third: of a bottleneck */
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
            y = cbm_relu(y);
    }
    return cbm_relu(cbm_add(y, b->downsample ? cbm_call(b->downsample, x) : x));
}

static cbm_module *make_block(cbm_context *cx, int64_t in, int64_t width, int64_t stride, bool bottleneck)
{
    block *b = (block *)cbm_module_new(cx, sizeof *b, block_forward);
    if (!b)
        return cbm_module_failed(cx);
    cbm_module *m = &b->module;
    const int64_t out = bottleneck ? 4 * width : width;
    if (bottleneck) {
        b->conv[0] = part(m, "conv1", conv(cx, in, width, 1, 1));
        b->bn[0] = part(m, "bn1", cbm_nn_batch_norm2d(cx, width));
        b->conv[1] = part(m, "conv2", conv(cx, width, width, 3, stride));
        b->bn[1] = part(m, "bn2", cbm_nn_batch_norm2d(cx, width));
        b->conv[2] = part(m, "conv3", conv(cx, width, out, 1, 1));
        b->bn[2] = part(m, "bn3", cbm_nn_batch_norm2d(cx, out));
    } else {
        b->conv[0] = part(m, "conv1", conv(cx, in, width, 3, stride));
        b->bn[0] = part(m, "bn1", cbm_nn_batch_norm2d(cx, width));
        b->conv[1] = part(m, "conv2", conv(cx, width, width, 3, 1));
        b->bn[1] = part(m, "bn2", cbm_nn_batch_norm2d(cx, width));
    }
    if (stride != 1 || in != out)
        b->downsample =
            part(m, "downsample", cbm_sequential(cx, conv(cx, in, out, 1, stride), cbm_nn_batch_norm2d(cx, out)));
    return m;
}

/* ---- whole networks ---- */

typedef struct resnet {
    cbm_module module;
    cbm_module *conv1, *bn1, *maxpool; /* maxpool NULL: images are small */
    cbm_module *layer[4], *avgpool, *fc;
} resnet;

static cbm_tensor *resnet_forward(cbm_module *self, cbm_tensor *x)
{
    const resnet *r = (const resnet *)self;
    x = cbm_relu(cbm_call(r->bn1, cbm_call(r->conv1, x)));
    if (r->maxpool)
        x = cbm_call(r->maxpool, x);
    for (int i = 0; i < 4; i++)
        x = cbm_call(r->layer[i], x);
    return cbm_call(r->fc, cbm_flatten(cbm_call(r->avgpool, x), 1));
}

static cbm_module *make_resnet(cbm_context *cx, const int *depth, bool bottleneck, bool small_images, int64_t classes)
{
    static const char *const names[4] = { "layer1", "layer2", "layer3", "layer4" };
    resnet *r = (resnet *)cbm_module_new(cx, sizeof *r, resnet_forward);
    if (!r)
        return cbm_module_failed(cx);
    cbm_module *m = &r->module;
    m->type = "resnet";
    r->conv1 = part(m, "conv1", small_images ? conv(cx, 3, 64, 3, 1) : conv(cx, 3, 64, 7, 2));
    r->bn1 = part(m, "bn1", cbm_nn_batch_norm2d(cx, 64));
    if (!small_images)
        r->maxpool = part(m, "maxpool", cbm_nn_max_pool2d(cx, 3, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1)));
    int64_t in = 64;
    for (int stage = 0; stage < 4; stage++) {
        const int64_t width = (int64_t)64 << stage;
        cbm_module *blocks[8];
        for (int i = 0; i < depth[stage]; i++) {
            blocks[i] = make_block(cx, in, width, i == 0 && stage > 0 ? 2 : 1, bottleneck);
            in = bottleneck ? 4 * width : width;
        }
        r->layer[stage] = part(m, names[stage], cbm_sequential_of(cx, (size_t)depth[stage], blocks));
    }
    r->avgpool = part(m, "avgpool", cbm_nn_global_avg_pool2d(cx));
    r->fc = part(m, "fc", cbm_nn_linear(cx, in, classes));
    return m;
}

cbm_module *bench_resnet18_cifar(cbm_context *cx)
{
    return make_resnet(cx, (const int[]){ 2, 2, 2, 2 }, false, true, 10);
}

cbm_module *bench_resnet50(cbm_context *cx)
{
    return make_resnet(cx, (const int[]){ 3, 4, 6, 3 }, true, false, 1000);
}

/* ---- one stage alone ---- */

static cbm_tensor *stage_forward(cbm_module *self, cbm_tensor *x)
{
    const block *b = (const block *)self;
    cbm_tensor *y = x;
    for (int i = 0; i < 2; i++)
        y = cbm_relu(cbm_call(b->bn[i], cbm_call(b->conv[i], y)));
    return cbm_add(x, y);
}

cbm_module *bench_residual_stage(cbm_context *cx, int64_t channels)
{
    block *b = (block *)cbm_module_new(cx, sizeof *b, stage_forward);
    if (!b)
        return cbm_module_failed(cx);
    b->conv[0] = part(&b->module, "conv1", conv(cx, channels, channels, 3, 1));
    b->bn[0] = part(&b->module, "bn1", cbm_nn_batch_norm2d(cx, channels));
    b->conv[1] = part(&b->module, "conv2", conv(cx, channels, channels, 3, 1));
    b->bn[1] = part(&b->module, "bn2", cbm_nn_batch_norm2d(cx, channels));
    return &b->module;
}
