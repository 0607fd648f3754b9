/* mnist_mlp.c: handwritten digits by a network of three linear layers, 784-512-512-10. */
#include "recipe.h"

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, 784, 512, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 512, 512, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 512, 10, .dtype = dtype), CBM_END);
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_adam(net, .lr = s->lr);
}

static cbm_schedule *schedule(cbm_optimizer *opt, const cbm_recipe_settings *s, int64_t steps)
{
    (void)s;
    return cbm_schedule_cosine(opt, .steps = steps);
}

const cbm_recipe cbm_recipe_mnist_mlp = {
    .name = "mnist-mlp",
    .summary = "handwritten digits by three linear layers, 98 % right",
    .description =
        "The plainest network that does well on MNIST: every pixel is connected with every hidden unit. Adam,\n"
        "with a learning rate that falls along a cosine.",
    .data = "mnist",
    .epochs = 5,
    .batch_size = 64,
    .lr = 1e-3,
    .input = { { 3, 1, 28, 28 } },
    .classes = 10,
    .model = model,
    .dataset = cbm_digits_dataset,
    .optimizer = optimizer,
    .schedule = schedule,
    .from_image = cbm_digits_from_image,
    .from_array = cbm_digits_from_array,
};
