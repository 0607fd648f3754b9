/* course.h: what the tests against PyTorch's courses share: the networks, the batches, and comparing numbers. */
#ifndef TESTS_TRAJECTORY_COURSE_H
#define TESTS_TRAJECTORY_COURSE_H

#include <cambium/cambium.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "support/status.h"

#define STEPS 100
#define BATCHES 10
#define CLASSES 5
#define DATA CBM_SOURCE_DIR "/tests/trajectory/data/"

static inline cbm_module *make_mlp(cbm_context *cx, int64_t t)
{
    return cbm_sequential(cx, cbm_nn_linear(cx, 8, 16, .dtype = t), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 16, 12, .dtype = t), cbm_nn_tanh(cx),
                          cbm_nn_linear(cx, 12, CLASSES, .dtype = t), CBM_END);
}

static inline cbm_module *make_cnn(cbm_context *cx, int64_t t)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 4, 3, .dtype = t), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                          cbm_nn_conv2d(cx, 4, 6, 3, .padding = CBM_SHAPE(1), .dtype = t), cbm_nn_gelu(cx),
                          cbm_nn_flatten(cx), cbm_nn_linear(cx, 54, CLASSES, .dtype = t), CBM_END);
}

static inline cbm_module *make_norm(cbm_context *cx, int64_t t)
{
    return cbm_sequential(
        cx, cbm_nn_conv2d(cx, 2, 4, 3, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1), .bias = false, .dtype = t),
        cbm_nn_batch_norm2d(cx, 4, .dtype = t), cbm_nn_relu(cx),
        cbm_nn_conv2d(cx, 4, 4, 3, .padding = CBM_SHAPE(2), .dilation = CBM_SHAPE(2), .groups = 2, .dtype = t),
        cbm_nn_sigmoid(cx), cbm_nn_avg_pool2d(cx, 2), cbm_nn_flatten(cx),
        cbm_nn_linear(cx, 16, 10, .bias = false, .dtype = t), cbm_nn_batch_norm1d(cx, 10, .dtype = t), cbm_nn_tanh(cx),
        cbm_nn_linear(cx, 10, CLASSES, .dtype = t), CBM_END);
}

typedef struct network {
    const char *name;
    cbm_module *(*make)(cbm_context *cx, int64_t dtype);
    double f32_slack; /* batch norm takes small differences of large numbers: f32 loses a digit there, in PyTorch too */
} network;
static const network networks[] = { { "mlp", make_mlp, 1 }, { "cnn", make_cnn, 1 }, { "norm", make_norm, 10 } };

/* ---- reading and comparing ---- */

typedef struct numbers {
    double *at;
    int64_t count;
} numbers;

static inline numbers take(cbm_tensor *t)
{
    cbm_context *cx = cbm_tensor_context(t);
    CBM_NO_GRAD(scope, cx);
    cbm_tensor *wide = cbm_tensor_dtype(t) == CBM_F64 ? t : cbm_cast(t, CBM_F64);
    numbers n = { .count = cbm_tensor_count(wide) };
    n.at = calloc((size_t)n.count + 1, sizeof *n.at);
    assert_non_null(n.at);
    assert_int_equal(cbm_read(wide, n.at, (size_t)n.count * sizeof *n.at), CBM_OK);
    return n;
}

/* The largest difference, relative to the largest number expected. */
static inline double distance(numbers got, numbers want)
{
    assert_int_equal(got.count, want.count);
    double largest = 0, difference = 0;
    for (int64_t i = 0; i < want.count; i++) {
        largest = fmax(largest, fabs(want.at[i]));
        difference = fmax(difference, fabs(got.at[i] - want.at[i]));
        if (isnan(got.at[i]))
            difference = INFINITY;
    }
    return largest > 0 ? difference / largest : difference;
}

static inline double compare(cbm_tensor *got, cbm_tensor *want)
{
    numbers a = take(got), b = take(want);
    double d = distance(a, b);
    free(a.at);
    free(b.at);
    return d;
}

static inline cbm_tensor *batch_of(cbm_tensor *all, int64_t i, cbm_dtype dtype)
{
    cbm_shape shape = cbm_tensor_shape(all), one = { { shape.v[0] - 1 } };
    for (int64_t k = 1; k <= one.v[0]; k++)
        one.v[k] = shape.v[k + 1];
    cbm_tensor *t = cbm_reshape(cbm_slice(all, 0, i, i + 1, 1), one);
    return cbm_tensor_dtype(t) == dtype ? t : cbm_cast(t, dtype);
}

static inline void load_initial(cbm_module *net, const char *path)
{
    cbm_load(net, path, .prefix = "init.", .cast = true);
    good(net->cx);
}

#endif
