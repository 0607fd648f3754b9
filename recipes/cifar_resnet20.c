/* cifar_resnet20.c: objects in small pictures by a residual network: the 20-layer network for CIFAR-10 of He, Zhang, Ren
   and Sun, "Deep residual learning for image recognition" (2015), section 4.2. Its parts have the names that PyTorch's
   versions of it use, so their weights load as they are. */
#include "recipe.h"
#include <math.h>

#define BLOCKS 3 /* in each of three stages; 6 BLOCKS + 2 layers with weights */

/* y = relu(x' + bn2(conv2(relu(bn1(conv1(x)))))), x' = x, or what shortcut makes of it. */
typedef struct block {
    cbm_module module;
    cbm_module *conv1, *bn1, *conv2, *bn2;
    int64_t stride, in, out;
} block;

typedef struct resnet {
    cbm_module module;
    cbm_module *conv1, *bn1, *layers[3], *linear;
} resnet;

/* A convolution without bias, its weight drawn from a normal distribution of variance 2 / fan in (He et al. 2015,
   "Delving deep into rectifiers"). */
static cbm_module *conv(cbm_context *cx, int64_t in, int64_t out, int64_t stride, cbm_dtype dtype)
{
    cbm_module *m = cbm_nn_conv2d(cx, in, out, 3, .stride = CBM_SHAPE(stride), .padding = CBM_SHAPE(1), .bias = false,
                                  .dtype = dtype);
    cbm_init_normal(cbm_parameter(m, "weight"), sqrt(2.0 / (double)(9 * in)));
    return m;
}

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
    const block *b = (const block *)(const void *)self;
    cbm_tensor *y = cbm_relu(cbm_call(b->bn1, cbm_call(b->conv1, x)));
    y = cbm_call(b->bn2, cbm_call(b->conv2, y));
    return cbm_relu(cbm_add(y, shortcut(b, x)));
}

static cbm_module *make_block(cbm_context *cx, int64_t in, int64_t out, int64_t stride, cbm_dtype dtype)
{
    block *b = (block *)(void *)cbm_module_new(cx, sizeof *b, block_forward);
    if (!b)
        return cbm_module_failed(cx);
    b->module.type = "residual";
    b->stride = stride;
    b->in = in;
    b->out = out;
    cbm_add_module(&b->module, "conv1", b->conv1 = conv(cx, in, out, stride, dtype));
    cbm_add_module(&b->module, "bn1", b->bn1 = cbm_nn_batch_norm2d(cx, out, .dtype = dtype));
    cbm_add_module(&b->module, "conv2", b->conv2 = conv(cx, out, out, 1, dtype));
    cbm_add_module(&b->module, "bn2", b->bn2 = cbm_nn_batch_norm2d(cx, out, .dtype = dtype));
    return &b->module;
}

static cbm_module *make_stage(cbm_context *cx, int64_t in, int64_t out, int64_t stride, cbm_dtype dtype)
{
    cbm_module *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = make_block(cx, i ? out : in, out, i ? 1 : stride, dtype);
    return cbm_sequential_of(cx, BLOCKS, blocks);
}

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    const resnet *r = (const resnet *)(const void *)self;
    x = cbm_relu(cbm_call(r->bn1, cbm_call(r->conv1, x))); /* (N, 16, 32, 32) */
    for (int i = 0; i < 3; i++)
        x = cbm_call(r->layers[i], x);                                /* ... (N, 64, 8, 8) */
    return cbm_call(r->linear, cbm_mean(x, .axes = CBM_SHAPE(2, 3))); /* (N, 10) */
}

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    static const char *const names[3] = { "layer1", "layer2", "layer3" };
    resnet *r = (resnet *)(void *)cbm_module_new(cx, sizeof *r, forward);
    if (!r)
        return cbm_module_failed(cx);
    r->module.type = "resnet20";
    cbm_add_module(&r->module, "conv1", r->conv1 = conv(cx, 3, 16, 1, dtype));
    cbm_add_module(&r->module, "bn1", r->bn1 = cbm_nn_batch_norm2d(cx, 16, .dtype = dtype));
    for (int i = 0; i < 3; i++) {
        int64_t out = 16 << i;
        cbm_add_module(&r->module, names[i], r->layers[i] = make_stage(cx, i ? out / 2 : out, out, i ? 2 : 1, dtype));
    }
    cbm_add_module(&r->module, "linear", r->linear = cbm_nn_linear(cx, 64, 10, .dtype = dtype));
    return &r->module;
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_sgd(net, .lr = s->lr, .momentum = 0.9, .weight_decay = 1e-4);
}

static cbm_schedule *schedule(cbm_optimizer *opt, const cbm_recipe_settings *s, int64_t steps)
{
    (void)s;
    return cbm_schedule_cosine(opt, .steps = steps, .warmup = steps / 20);
}

const cbm_recipe cbm_recipe_cifar_resnet20 = {
    .name = "cifar-resnet20",
    .summary = "objects in small colour pictures by a residual network of 20 layers",
    .description =
        "The 20-layer network for CIFAR-10 of He, Zhang, Ren and Sun (2015): a convolution, three stages of three\n"
        "residual blocks with 16, 32 and 64 channels, global average pooling and a linear layer, 0.27 million\n"
        "parameters. The training images are shifted by up to four pixels and mirrored at random. SGD with momentum\n"
        "and weight decay; the learning rate rises for a twentieth of the steps and then falls along a cosine.",
    .data = "cifar10",
    .epochs = 30,
    .batch_size = 128,
    .lr = 0.1,
    .input = { { 3, 3, 32, 32 } },
    .classes = 10,
    .class_names = cbm_cifar_classes,
    .model = model,
    .dataset = cbm_cifar_dataset,
    .training_dataset = cbm_cifar_augmented,
    .optimizer = optimizer,
    .schedule = schedule,
    .from_image = cbm_cifar_from_image,
    .from_array = cbm_cifar_from_array,
};
