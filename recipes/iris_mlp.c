/* iris_mlp.c: three species of iris from four lengths: a table read from CSV, and a network of 64 hidden units. */
#include "recipe.h"
#include <stdio.h>

enum { TEST_FLOWERS = 30, SPLIT_SEED = 0 };

/* The lengths' means and deviations, in centimetres. */
static const double mean[] = { 5.84, 3.05, 3.76, 1.20 }, deviation[] = { 0.83, 0.43, 1.76, 0.76 };

static cbm_module *model(cbm_context *cx, cbm_dtype dtype)
{
    return cbm_sequential(cx, cbm_nn_linear(cx, 4, 32, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 32, 32, .dtype = dtype), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 32, 3, .dtype = dtype), CBM_END);
}

/* 120 flowers to train and 30 to test, always the same ones. */
static cbm_dataset *dataset(cbm_context *cx, const char *dir, cbm_split split)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/iris.data", dir ? dir : "data/iris");
    cbm_table *table = cbm_csv_read(cx, path, .no_header = true);
    cbm_dataset *flowers = cbm_table_dataset(table, .target = "4", .standardise = false), *parts[2] = { NULL, NULL };
    const int64_t sizes[] = { cbm_dataset_count(flowers) - TEST_FLOWERS, TEST_FLOWERS };
    cbm_dataset_split(flowers, sizes, 2, SPLIT_SEED, parts);
    return cbm_dataset_transform(parts[split == CBM_TEST], cbm_normalize(4, mean, deviation));
}

static cbm_optimizer *optimizer(cbm_module *net, const cbm_recipe_settings *s)
{
    return cbm_adam(net, .lr = s->lr);
}

static cbm_tensor *from_array(cbm_context *cx, cbm_tensor *array)
{
    if (cbm_context_status(cx) == CBM_OK && (cbm_tensor_rank(array) < 1 || cbm_tensor_size(array, -1) != 4))
        cbm_fail(cx, CBM_ERROR_SHAPE,
                 "[iris-mlp] an array for flowers is (4), or (N, 4): sepal length and width, petal "
                 "length and width, in centimetres");
    float m[4], s[4];
    for (int i = 0; i < 4; i++) {
        m[i] = (float)mean[i];
        s[i] = (float)deviation[i];
    }
    cbm_tensor *x = cbm_reshape(cbm_cast(array, CBM_F32), CBM_SHAPE(-1, 4));
    return cbm_div(cbm_sub(x, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4), m)),
                   cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4), s));
}

static const char *const class_names[] = { "setosa", "versicolor", "virginica" };

const cbm_recipe cbm_recipe_iris_mlp = {
    .name = "iris-mlp",
    .summary = "three species of iris from four lengths, in a second",
    .description =
        "Fisher's irises (1936), the first data set of many courses: a CSV file becomes a table, the table a\n"
        "dataset, split at random into 120 flowers to train and 30 to test. Two hidden layers of 32 units.",
    .data = "iris",
    .epochs = 60,
    .batch_size = 16,
    .lr = 5e-3,
    .input = { { 1, 4 } },
    .classes = 3,
    .class_names = class_names,
    .model = model,
    .dataset = dataset,
    .optimizer = optimizer,
    .from_array = from_array,
};
