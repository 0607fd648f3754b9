/* cifar_resnet20.c: objects in small pictures by a residual network of 20 layers. */
#include "recipe.h"

/* A long course learns the training pictures so well that it needs more decay. */
#define LONG_COURSE 60 /* epochs */

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_network(cx, "resnet20", .dtype = dtype);
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_sgd(net, .lr = s->lr, .momentum = 0.9, .weight_decay = s->epochs >= LONG_COURSE ? 5e-4 : 1e-4);
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
        "The 20-layer network for CIFAR-10 of He, Zhang, Ren and Sun (2015): a convolution, three stages of\n"
        "three residual blocks with 16, 32 and 64 channels, global average pooling and a linear layer, 0.27\n"
        "million parameters. The training images are shifted by up to four pixels and mirrored at random. SGD\n"
        "with momentum and weight decay; the learning rate rises for a twentieth of the steps and then falls\n"
        "along a cosine.",
    .data = "cifar10",
    .epochs = 60,
    .fast_epochs = 12,
    .fast_batch_size = 64,
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
