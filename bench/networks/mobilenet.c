/* mobilenet.c: MobileNetV2 (Sandler et al. 2018) in torchvision's arrangement and names. */
#include "bench/networks/networks.h"

/* Convolution, batch norm, relu6. */
static cbm_module *conv_bn(cbm_context *cx, int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t groups)
{
    return cbm_sequential(cx,
                          cbm_nn_conv2d(cx, in, out, kernel, .stride = CBM_SHAPE(stride),
                                        .padding = CBM_SHAPE(kernel / 2), .groups = groups, .bias = false),
                          cbm_nn_batch_norm2d(cx, out), cbm_nn_relu6(cx));
}

typedef struct inverted_residual {
    cbm_module module;
    cbm_module *conv;
    bool shortcut;
} inverted_residual;

static cbm_tensor *inverted_residual_forward(cbm_module *self, cbm_tensor *x)
{
    const inverted_residual *r = (const inverted_residual *)self;
    cbm_tensor *y = cbm_call(r->conv, x);
    return r->shortcut ? cbm_add(x, y) : y;
}

/* 1x1 to expand-fold channels (none where expand is 1), 3x3 depthwise, 1x1 without activation. */
static cbm_module *make_inverted_residual(cbm_context *cx, int64_t in, int64_t out, int64_t stride, int64_t expand)
{
    inverted_residual *r = (inverted_residual *)cbm_module_new(cx, sizeof *r, inverted_residual_forward);
    if (!r)
        return cbm_module_failed(cx);
    const int64_t wide = in * expand;
    cbm_module *parts[4];
    size_t n = 0;
    if (expand != 1)
        parts[n++] = conv_bn(cx, in, wide, 1, 1, 1);
    parts[n++] = conv_bn(cx, wide, wide, 3, stride, wide);
    parts[n++] = cbm_nn_conv2d(cx, wide, out, 1, .bias = false);
    parts[n++] = cbm_nn_batch_norm2d(cx, out);
    r->conv = cbm_sequential_of(cx, n, parts);
    r->shortcut = stride == 1 && in == out;
    cbm_add_module(&r->module, "conv", r->conv);
    return &r->module;
}

typedef struct mobilenet {
    cbm_module module;
    cbm_module *features, *pool, *classifier;
} mobilenet;

static cbm_tensor *mobilenet_forward(cbm_module *self, cbm_tensor *x)
{
    const mobilenet *m = (const mobilenet *)self;
    x = cbm_call(m->pool, cbm_call(m->features, x));
    return cbm_call(m->classifier, cbm_flatten(x, 1));
}

cbm_module *bench_mobilenet_v2(cbm_context *cx)
{
    /* expansion, channels, repeats, stride of the first */
    static const int64_t settings[7][4] = { { 1, 16, 1, 1 }, { 6, 24, 2, 2 },  { 6, 32, 3, 2 }, { 6, 64, 4, 2 },
                                            { 6, 96, 3, 1 }, { 6, 160, 3, 2 }, { 6, 320, 1, 1 } };
    mobilenet *m = (mobilenet *)cbm_module_new(cx, sizeof *m, mobilenet_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->module.type = "mobilenet_v2";
    cbm_module *parts[19];
    size_t n = 0;
    parts[n++] = conv_bn(cx, 3, 32, 3, 2, 1);
    int64_t in = 32;
    for (int s = 0; s < 7; s++)
        for (int64_t i = 0; i < settings[s][2]; i++) {
            parts[n++] = make_inverted_residual(cx, in, settings[s][1], i == 0 ? settings[s][3] : 1, settings[s][0]);
            in = settings[s][1];
        }
    parts[n++] = conv_bn(cx, in, 1280, 1, 1, 1);
    m->features = cbm_sequential_of(cx, n, parts);
    m->pool = cbm_nn_global_avg_pool2d(cx);
    m->classifier = cbm_sequential(cx, cbm_nn_dropout(cx, 0.2), cbm_nn_linear(cx, 1280, 1000));
    cbm_add_module(&m->module, "features", m->features);
    cbm_add_module(&m->module, "classifier", m->classifier);
    cbm_add_module(&m->module, "pool", m->pool);
    return &m->module;
}
