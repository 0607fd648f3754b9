/* fashion_cnn.c: articles of clothing by a small convolutional network with batch normalisation. */
#include "recipe.h"

#define MEAN 0.2860
#define DEVIATION 0.3530

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(
        cx, cbm_nn_conv2d(cx, 1, 32, 3, .padding = CBM_SHAPE(1), .bias = false, .dtype = dtype),
        cbm_nn_batch_norm2d(cx, 32, .dtype = dtype), cbm_nn_relu(cx),
        cbm_nn_conv2d(cx, 32, 32, 3, .padding = CBM_SHAPE(1), .bias = false, .dtype = dtype),
        cbm_nn_batch_norm2d(cx, 32, .dtype = dtype), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), /* (N, 32, 14, 14) */
        cbm_nn_conv2d(cx, 32, 64, 3, .padding = CBM_SHAPE(1), .bias = false, .dtype = dtype),
        cbm_nn_batch_norm2d(cx, 64, .dtype = dtype), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), /* (N, 64, 7, 7) */
        cbm_nn_flatten(cx), cbm_nn_dropout(cx, 0.4), cbm_nn_linear(cx, 64 * 49, 128, .dtype = dtype), cbm_nn_relu(cx),
        cbm_nn_dropout(cx, 0.4), cbm_nn_linear(cx, 128, 10, .dtype = dtype), CBM_END);
}

static cbm_dataset *dataset(cbm_context *cx, const char *dir, cbm_split split)
{
    return cbm_mnist(cx, dir ? dir : "data/fashion-mnist", split, .mean = MEAN, .deviation = DEVIATION);
}

/* A shirt mirrored is a shirt. */
static cbm_dataset *training_dataset(cbm_context *cx, const char *dir)
{
    return cbm_dataset_transform(dataset(cx, dir, CBM_TRAIN), cbm_random_flip());
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

static cbm_tensor *from_image(cbm_context *cx, const uint8_t *pixels, int64_t height, int64_t width, int64_t channels)
{
    enum { SIDE = 28 };
    float values[SIDE * SIDE];
    if (height != SIDE || width != SIDE || channels != 1)
        cbm_fail(cx, CBM_ERROR_SHAPE,
                 "[fashion-cnn] a picture of %lld x %lld with %lld channels; 28 x 28 grey is needed, light on dark",
                 (long long)width, (long long)height, (long long)channels);
    for (int i = 0; i < SIDE * SIDE && cbm_context_status(cx) == CBM_OK; i++)
        values[i] = (float)((pixels[i] / 255.0 - MEAN) / DEVIATION);
    return cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 1, SIDE, SIDE), values);
}

static const char *const class_names[] = {
    "t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
};

const cbm_recipe cbm_recipe_fashion_cnn = {
    .name = "fashion-cnn",
    .summary = "articles of clothing by three convolutions, 93 % right",
    .description =
        "Fashion-MNIST, which is as large as MNIST and harder: three convolutions with batch normalisation,\n"
        "dropout, pictures mirrored at random. AdamW; the learning rate rises for a tenth of the steps and\n"
        "then falls along a cosine.",
    .data = "fashion-mnist",
    .epochs = 10,
    .batch_size = 64,
    .lr = 2e-3,
    .input = { { 3, 1, 28, 28 } },
    .classes = 10,
    .class_names = class_names,
    .model = model,
    .dataset = dataset,
    .training_dataset = training_dataset,
    .optimizer = optimizer,
    .schedule = schedule,
    .from_image = from_image,
};
