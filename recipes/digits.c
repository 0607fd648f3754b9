/* digits.c: what the MNIST recipes share: the data set, and inputs from pictures and arrays. */
#include "recipe.h"
#include <stdlib.h>

#define SIDE 28
#define PIXELS (SIDE * SIDE)
#define MEAN 0.1307
#define DEVIATION 0.3081

cbm_dataset *cbm_digits_dataset(cbm_context *cx, const char *dir, cbm_split split)
{
    return cbm_mnist(cx, dir ? dir : "data/mnist", split, .mean = MEAN, .deviation = DEVIATION);
}

cbm_dataset *cbm_digits_limited(cbm_context *cx, const cbm_recipe_settings *s, cbm_split split)
{
    cbm_dataset *all = cbm_digits_dataset(cx, s->data_dir, split);
    return s->limit > 0 && s->limit < cbm_dataset_count(all) ? cbm_dataset_part(all, 0, s->limit) : all;
}

cbm_tensor *cbm_digits_from_image(cbm_context *cx, const uint8_t *pixels, int64_t height, int64_t width,
                                  int64_t channels)
{
    if (height != SIDE || width != SIDE || channels != 1)
        cbm_fail(cx, CBM_ERROR_SHAPE, "[digits] a picture of %lld x %lld with %lld channels; 28 x 28 grey is needed",
                 (long long)width, (long long)height, (long long)channels);
    float values[PIXELS];
    for (int64_t i = 0; i < PIXELS && cbm_context_status(cx) == CBM_OK; i++)
        values[i] = (float)((pixels[i] / 255.0 - MEAN) / DEVIATION);
    return cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 1, SIDE, SIDE), values);
}

/* Integers are pixels 0 to 255. Floats are pixels 0 to 1, or 0 to 255 if one is above 1; with a negative one among them
   they are normalised already. Shapes (28, 28), (784), or a batch of these, with or without a channel axis of 1. */
cbm_tensor *cbm_digits_from_array(cbm_context *cx, cbm_tensor *array)
{
    cbm_shape shape = cbm_tensor_shape(array);
    int64_t rank = shape.v[0], count = cbm_tensor_count(array);
    int64_t last = rank > 0 ? shape.v[rank] : 0;
    bool fits = (last == PIXELS && rank <= 2) || (last == SIDE && rank >= 2 && rank <= 4 && shape.v[rank - 1] == SIDE);
    if (cbm_context_status(cx) == CBM_OK && (!fits || count < PIXELS || (rank == 4 && shape.v[2] != 1)))
        cbm_fail(cx, CBM_ERROR_SHAPE, "[digits] an array for digits is (28, 28), (784), or a batch of these");
    cbm_dtype dtype = cbm_tensor_dtype(array);
    bool real = dtype == CBM_F32 || dtype == CBM_F64;
    cbm_tensor *x = cbm_cast(array, CBM_F32);
    const float *values = cbm_tensor_data(x);
    float low = 0, high = 0;
    for (int64_t i = 0; values && i < count; i++) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    x = cbm_reshape(x, CBM_SHAPE(-1, 1, SIDE, SIDE));
    if (real && low < 0)
        return x;
    double scale = real && high <= 1 ? 1 : 1 / 255.0;
    return cbm_mul_scalar(cbm_add_scalar(cbm_mul_scalar(x, scale), -MEAN), 1 / DEVIATION);
}
