/* lenet5.c: handwritten digits by the network that began it: LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998). */
#include "recipe.h"

/* Tanh units, and pooling without weights; every feature map of the third layer sees all of the second. */
static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 6, 5, .padding = CBM_SHAPE(2), .dtype = dtype), cbm_nn_tanh(cx),
                          cbm_nn_avg_pool2d(cx, 2),                                     /* (N, 6, 14, 14) */
                          cbm_nn_conv2d(cx, 6, 16, 5, .dtype = dtype), cbm_nn_tanh(cx), /* (N, 16, 10, 10) */
                          cbm_nn_avg_pool2d(cx, 2),                                     /* (N, 16, 5, 5) */
                          cbm_nn_flatten(cx), cbm_nn_linear(cx, 400, 120, .dtype = dtype), cbm_nn_tanh(cx),
                          cbm_nn_linear(cx, 120, 84, .dtype = dtype), cbm_nn_tanh(cx),
                          cbm_nn_linear(cx, 84, 10, .dtype = dtype), CBM_END);
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_sgd(net, .lr = s->lr, .momentum = 0.9);
}

/* Annealing: large steps first, then ever smaller ones. */
static cbm_schedule *schedule(cbm_optimizer *opt, const cbm_recipe_settings *s, int64_t steps)
{
    (void)s;
    return cbm_schedule_cosine(opt, .steps = steps);
}

const cbm_recipe cbm_recipe_lenet5 = {
    .name = "lenet5",
    .summary = "handwritten digits by LeNet-5, 61,706 parameters, 99 % right",
    .description =
        "The convolutional network of 1998: two convolutions of 5x5 with tanh and average pooling, three "
        "linear layers, 61,706 parameters. Stochastic gradient descent with momentum, annealed along a cosine.",
    .data = "mnist",
    .epochs = 8,
    .batch_size = 64,
    .lr = 0.05,
    .input = { { 3, 1, 28, 28 } },
    .classes = 10,
    .model = model,
    .dataset = cbm_digits_dataset,
    .optimizer = optimizer,
    .schedule = schedule,
    .from_image = cbm_digits_from_image,
    .from_array = cbm_digits_from_array,
};
