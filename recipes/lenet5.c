/* lenet5.c: handwritten digits by the network that began it: LeNet-5 (LeCun, Bottou, Bengio and Haffner 1998). */
#include "recipe.h"

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_network(cx, "lenet5", .dtype = dtype);
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
    .description = "The convolutional network of 1998: two convolutions of 5x5 with tanh and average pooling, three\n"
                   "linear layers, 61,706 parameters. Stochastic gradient descent with momentum, annealed along a\n"
                   "cosine.",
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
