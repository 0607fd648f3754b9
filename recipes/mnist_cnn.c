/* mnist_cnn.c: handwritten digits by a convolutional network: the net of PyTorch's MNIST example. */
#include "recipe.h"

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3, .dtype = dtype), cbm_nn_relu(cx), /* (N, 32, 26, 26) */
                          cbm_nn_conv2d(cx, 32, 64, 3, .dtype = dtype), cbm_nn_relu(cx),    /* (N, 64, 24, 24) */
                          cbm_nn_max_pool2d(cx, 2), cbm_nn_dropout(cx, 0.25),               /* (N, 64, 12, 12) */
                          cbm_nn_flatten(cx), cbm_nn_linear(cx, 9216, 128, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_dropout(cx, 0.5), cbm_nn_linear(cx, 128, 10, .dtype = dtype), CBM_END);
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_adamw(net, .lr = s->lr);
}

static cbm_schedule *schedule(cbm_optimizer *opt, const cbm_recipe_settings *s, int64_t steps)
{
    (void)s;
    return cbm_schedule_cosine(opt, .steps = steps, .warmup = steps / 10);
}

const cbm_recipe cbm_recipe_mnist_cnn = {
    .name = "mnist-cnn",
    .summary = "handwritten digits by a small convolutional network, 99 % right after 4 epochs",
    .description = "PyTorch's MNIST example: two convolutions, pooling, dropout and two linear layers, 1.2 million\n"
                   "parameters. AdamW; the learning rate rises for a tenth of the steps and then falls along a cosine.",
    .data = "mnist",
    .epochs = 4,
    .batch_size = 64,
    .lr = 2e-3,
    .input = { { 3, 1, 28, 28 } },
    .classes = 10,
    .model = model,
    .dataset = cbm_digits_dataset,
    .optimizer = optimizer,
    .schedule = schedule,
    .from_image = cbm_digits_from_image,
    .from_array = cbm_digits_from_array,
};
