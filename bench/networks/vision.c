/* vision.c: the networks on pictures: the library's, and one residual stage alone. */
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

cbm_module *bench_resnet18_cifar(cbm_context *cx)
{
    return cbm_network(cx, "resnet18", .classes = 10, .small_images = true);
}

cbm_module *bench_resnet50(cbm_context *cx)
{
    return cbm_network(cx, "resnet50");
}

cbm_module *bench_mobilenet_v2(cbm_context *cx)
{
    return cbm_network(cx, "mobilenet_v2");
}

cbm_module *bench_unet(cbm_context *cx)
{
    return cbm_network(cx, "unet");
}

/* ---- one stage alone ---- */

typedef struct stage {
    cbm_module module;
    cbm_module *conv[2], *bn[2];
} stage;

static cbm_tensor *stage_forward(cbm_module *self, cbm_tensor *x)
{
    const stage *b = (const stage *)self;
    cbm_tensor *y = x;
    for (int i = 0; i < 2; i++)
        y = cbm_relu(cbm_call(b->bn[i], cbm_call(b->conv[i], y)));
    return cbm_add(x, y);
}

cbm_module *bench_residual_stage(cbm_context *cx, int64_t channels)
{
    stage *b = (stage *)cbm_module_new(cx, sizeof *b, stage_forward);
    if (!b)
        return cbm_module_failed(cx);
    b->conv[0] = part(&b->module, "conv1", conv(cx, channels, channels, 3, 1));
    b->bn[0] = part(&b->module, "bn1", cbm_nn_batch_norm2d(cx, channels));
    b->conv[1] = part(&b->module, "conv2", conv(cx, channels, channels, 3, 1));
    b->bn[1] = part(&b->module, "bn2", cbm_nn_batch_norm2d(cx, channels));
    return &b->module;
}
