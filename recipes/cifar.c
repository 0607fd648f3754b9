/* cifar.c: what the CIFAR-10 recipes share: the data set, its augmentation, and inputs from pictures and arrays. */
#include "recipe.h"

#define CHANNELS 3
#define SIDE 32
#define PLANE (SIDE * SIDE)
#define PIXELS (CHANNELS * PLANE)
#define PADDING 4

/* Of ImageNet's images: published weights of these networks were trained with them. */
static const double mean[CHANNELS] = { 0.485, 0.456, 0.406 }, deviation[CHANNELS] = { 0.229, 0.224, 0.225 };

const char *const cbm_cifar_classes[] = { "airplane", "automobile", "bird",  "cat",  "deer",
                                          "dog",      "frog",       "horse", "ship", "truck" };

static cbm_dataset *bytes(cbm_context *cx, const char *dir, cbm_split split)
{
    return cbm_cifar10(cx, dir ? dir : "data/cifar10", split, .normalise = false);
}

cbm_dataset *cbm_cifar_dataset(cbm_context *cx, const char *dir, cbm_split split)
{
    return cbm_dataset_transform(bytes(cx, dir, split), cbm_normalize(CHANNELS, mean, deviation));
}

cbm_dataset *cbm_cifar_augmented(cbm_context *cx, const char *dir)
{
    return cbm_dataset_transform(bytes(cx, dir, CBM_TRAIN), cbm_random_crop(PADDING), cbm_random_flip(),
                                 cbm_normalize(CHANNELS, mean, deviation));
}

cbm_tensor *cbm_cifar_from_image(cbm_context *cx, const uint8_t *pixels, int64_t height, int64_t width,
                                 int64_t channels)
{
    if (height != SIDE || width != SIDE || channels != CHANNELS)
        cbm_fail(cx, CBM_ERROR_SHAPE, "[cifar] a picture of %lld x %lld with %lld channels; 32 x 32 RGB is needed",
                 (long long)width, (long long)height, (long long)channels);
    float values[PIXELS];
    for (int64_t i = 0; i < PIXELS && cbm_context_status(cx) == CBM_OK; i++) {
        int64_t c = i / PLANE;
        values[i] = (float)((pixels[i % PLANE * CHANNELS + c] / 255.0 - mean[c]) / deviation[c]);
    }
    return cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, CHANNELS, SIDE, SIDE), values);
}

/* Is it (..., a, b, c)? */
static bool ends_in(const cbm_shape *s, int64_t a, int64_t b, int64_t c)
{
    int64_t n = s->v[0];
    return n >= 3 && n <= 4 && s->v[n - 2] == a && s->v[n - 1] == b && s->v[n] == c;
}

/* Integers are pixels 0 to 255. Floats are pixels 0 to 1, or 0 to 255 if one is above 1; with a negative one among them
   they are normalised already. Shapes (3, 32, 32), (32, 32, 3), (3072) plane by plane, or a batch of these. */
cbm_tensor *cbm_cifar_from_array(cbm_context *cx, cbm_tensor *array)
{
    cbm_shape shape = cbm_tensor_shape(array);
    int64_t rank = shape.v[0], count = cbm_tensor_count(array);
    bool flat = rank >= 1 && rank <= 2 && shape.v[rank] == PIXELS, last = ends_in(&shape, SIDE, SIDE, CHANNELS);
    if (cbm_context_status(cx) == CBM_OK &&
        (count < PIXELS || (!flat && !last && !ends_in(&shape, CHANNELS, SIDE, SIDE))))
        cbm_fail(cx, CBM_ERROR_SHAPE,
                 "[cifar] an array for CIFAR is (3, 32, 32), (32, 32, 3), (3072), or a batch of these");
    cbm_dtype dtype = cbm_tensor_dtype(array);
    bool real = dtype == CBM_F32 || dtype == CBM_F64;
    cbm_tensor *x = cbm_cast(array, CBM_F32);
    const float *values = cbm_tensor_data(x);
    float low = 0, high = 0;
    for (int64_t i = 0; values && i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    if (last)
        x = cbm_permute(cbm_reshape(x, CBM_SHAPE(-1, SIDE, SIDE, CHANNELS)), CBM_SHAPE(0, 3, 1, 2));
    else
        x = cbm_reshape(x, CBM_SHAPE(-1, CHANNELS, SIDE, SIDE));
    if (real && low < 0)
        return x;
    double full = real && high <= 1 ? 1 : 255;
    float scale[CHANNELS], shift[CHANNELS];
    for (int c = 0; c < CHANNELS; c++) {
        scale[c] = (float)(1 / (full * deviation[c]));
        shift[c] = (float)(-mean[c] / deviation[c]);
    }
    cbm_shape by_channel = CBM_SHAPE(CHANNELS, 1, 1);
    return cbm_add(cbm_mul(x, cbm_tensor_from(cx, CBM_F32, by_channel, scale)),
                   cbm_tensor_from(cx, CBM_F32, by_channel, shift));
}
