/* test_spatial_modules.c: convolution, pooling, normalisation, dropout and picture layers: the names, shapes and initial values
   of their parameters, what they do in evaluation, what they refuse, folding, and their rows in a summary. What they compute
   is compared with PyTorch in tests/trajectory and tests/op. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define COUNT(a) (sizeof(a) / sizeof *(a))

static cbm_tensor *input(cbm_context *cx, cbm_shape shape)
{
    return cbm_normal(cx, CBM_F32, shape, 0, 1);
}

static float *values(cbm_tensor *t)
{
    float *v = malloc((size_t)cbm_tensor_count(t) * sizeof *v + 1);
    assert_non_null(v);
    assert_int_equal(cbm_read(t, v, (size_t)cbm_tensor_count(t) * sizeof *v), CBM_OK);
    return v;
}

static void near(double got, double want, double within)
{
    if (!(fabs(got - want) <= within))
        fail_msg("%.9g is not %.9g", got, want);
}

/* ---- parameters ---- */

static void has(cbm_module *m, const char *name, cbm_shape shape, double bound)
{
    cbm_tensor *t = cbm_parameter(m, name);
    good(m->cx);
    const cbm_shape is = cbm_tensor_shape(t);
    if (!cbm_shape_equal(&is, &shape))
        fail_msg("%s.%s has another shape", m->type, name);
    float *v = values(t);
    double largest = 0, sum = 0;
    for (int64_t i = 0; i < cbm_tensor_count(t); i++) {
        largest = fmax(largest, fabs((double)v[i]));
        sum += (double)v[i];
    }
    free(v);
    assert_true(largest <= bound * 1.000001);
    assert_true(bound == 0 || largest > bound * (1 - 20.0 / (double)cbm_tensor_count(t)));
    assert_true(fabs(sum / (double)cbm_tensor_count(t)) <=
                5 * bound / sqrt(3.0 * (double)cbm_tensor_count(t)) + (bound == 1 ? 1 : 0));
}

static void test_parameters(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 5);
    cbm_module *conv1 = cbm_nn_conv1d(cx, 8, 32, 5, .groups = 2);
    has(conv1, "weight", S(32, 4, 5), 1 / sqrt(20));
    has(conv1, "bias", S(32), 1 / sqrt(20));
    cbm_module *conv3 = cbm_nn_conv3d(cx, 2, 40, 0, .kernel = S(1, 2, 3), .bias = false);
    has(conv3, "weight", S(40, 2, 1, 2, 3), 1 / sqrt(12));
    assert_int_equal(cbm_parameter_count(conv3), 1);
    /* PyTorch takes the fan in of a transposed weight from its second axis. */
    cbm_module *turned = cbm_nn_conv_transpose2d(cx, 16, 8, 3, .groups = 2);
    has(turned, "weight", S(16, 4, 3, 3), 1 / sqrt(36));
    has(turned, "bias", S(8), 1 / sqrt(36));
    has(cbm_nn_conv_transpose1d(cx, 4, 8, 3), "weight", S(4, 8, 3), 1 / sqrt(24));
    has(cbm_nn_conv_transpose3d(cx, 4, 8, 2), "weight", S(4, 8, 2, 2, 2), 1 / sqrt(64));
    cbm_module *norm = cbm_nn_batch_norm3d(cx, 4);
    has(norm, "weight", S(4), 1);
    has(norm, "running_mean", S(4), 0);
    assert_int_equal(cbm_state_count(norm), 5);
    assert_int_equal(cbm_state_count(cbm_nn_batch_norm2d(cx, 4, .track_running_stats = false)), 2);
    assert_int_equal(cbm_state_count(cbm_nn_batch_norm1d(cx, 4, .affine = false)), 3);
    assert_int_equal(cbm_state_count(cbm_nn_instance_norm1d(cx, 4)), 0);
    cbm_module *instance = cbm_nn_instance_norm3d(cx, 4, .affine = true, .track_running_stats = true);
    has(instance, "running_var", S(4), 1);
    assert_int_equal(cbm_state_count(instance), 5);
    has(cbm_nn_group_norm(cx, 2, 6), "bias", S(6), 0);
    assert_int_equal(cbm_parameter_count(cbm_nn_group_norm(cx, 2, 6, .affine = false)), 0);
    has(cbm_nn_layer_norm(cx, S(3, 4)), "weight", S(3, 4), 1);
    assert_int_equal(cbm_parameter_count(cbm_nn_layer_norm(cx, S(3), .bias = false)), 1);
    assert_int_equal(cbm_parameter_count(cbm_nn_layer_norm(cx, S(3), .elementwise_affine = false)), 0);
    has(cbm_nn_rms_norm(cx, S(5)), "weight", S(5), 1);
    assert_int_equal(cbm_parameter_count(cbm_nn_rms_norm(cx, S(5), .elementwise_affine = false)), 0);
    good(cx);
    cbm_close(cx);
}

/* ---- shapes of results ---- */

static void test_results(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    const struct {
        cbm_module *layer;
        cbm_shape in, out;
    } cases[] = {
        { cbm_nn_conv1d(cx, 3, 4, 4, .same = true), S(2, 3, 9), S(2, 4, 9) },
        { cbm_nn_conv3d(cx, 3, 4, 3, .stride = S(2), .padding = S(1)), S(1, 3, 5, 6, 7), S(1, 4, 3, 3, 4) },
        { cbm_nn_conv_transpose3d(cx, 3, 4, 2, .stride = S(2)), S(1, 3, 2, 3, 4), S(1, 4, 4, 6, 8) },
        { cbm_nn_max_pool1d(cx, 3, .stride = S(1), .dilation = S(2)), S(2, 3, 9), S(2, 3, 5) },
        { cbm_nn_avg_pool3d(cx, 2, .ceil_mode = true), S(2, 3, 3, 4, 5), S(2, 3, 2, 2, 3) },
        { cbm_nn_lp_pool1d(cx, 2, 3), S(2, 3, 9), S(2, 3, 3) },
        { cbm_nn_lp_pool3d(cx, 2, 2), S(2, 3, 4, 4, 4), S(2, 3, 2, 2, 2) },
        { cbm_nn_adaptive_avg_pool1d(cx, S(4)), S(2, 3, 9), S(2, 3, 4) },
        { cbm_nn_adaptive_avg_pool2d(cx, S(3, -1)), S(2, 3, 9, 5), S(2, 3, 3, 5) },
        { cbm_nn_adaptive_avg_pool3d(cx, S(2)), S(2, 3, 5, 6, 7), S(2, 3, 2, 2, 2) },
        { cbm_nn_adaptive_max_pool1d(cx, S(4)), S(2, 3, 9), S(2, 3, 4) },
        { cbm_nn_adaptive_max_pool2d(cx, S(3)), S(2, 3, 9, 5), S(2, 3, 3, 3) },
        { cbm_nn_global_avg_pool1d(cx), S(2, 3, 9), S(2, 3, 1) },
        { cbm_nn_global_avg_pool3d(cx), S(2, 3, 3, 4, 5), S(2, 3, 1, 1, 1) },
        { cbm_nn_global_max_pool1d(cx), S(2, 3, 9), S(2, 3, 1) },
        { cbm_nn_global_max_pool2d(cx), S(2, 3, 9, 5), S(2, 3, 1, 1) },
        { cbm_nn_global_max_pool3d(cx), S(2, 3, 3, 4, 5), S(2, 3, 1, 1, 1) },
        { cbm_nn_upsample(cx, .size = S(7), .mode = CBM_INTERPOLATE_CUBIC), S(2, 3, 4, 5), S(2, 3, 7, 7) },
        { cbm_nn_pixel_shuffle(cx, 2), S(2, 8, 3, 4), S(2, 2, 6, 8) },
        { cbm_nn_channel_shuffle(cx, 2), S(2, 8, 3, 4), S(2, 8, 3, 4) },
    };
    good(cx);
    for (size_t i = 0; i < COUNT(cases); i++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *y = cbm_call(cases[i].layer, input(cx, cases[i].in));
        const cbm_shape shape = cbm_tensor_shape(y);
        cbm_compute(&y, 1);
        good(cx);
        if (!cbm_shape_equal(&shape, &cases[i].out))
            fail_msg("case %zu, %s: another shape", i, cases[i].layer->type);
    }
    cbm_close(cx);
}

/* ---- running statistics ---- */

static void test_running_statistics(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *mean_of_all = cbm_nn_batch_norm1d(cx, 1, .cumulative = true);
    cbm_module *instance = cbm_nn_instance_norm1d(cx, 1, .track_running_stats = true, .momentum = 0.5);
    cbm_module *untracked = cbm_nn_batch_norm1d(cx, 1, .track_running_stats = false, .affine = false);
    static const float batches[3][4] = { { 1, 2, 3, 4 }, { 5, 5, 7, 7 }, { -2, 0, 0, 2 } };
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *x = cbm_tensor_from(cx, CBM_F32, S(2, 1, 2), batches[i]);
        cbm_call(mean_of_all, x);
        cbm_call(instance, x);
        good(cx);
    }
    cbm_flush(cx);
    CBM_SCOPE(scope, cx);
    near(cbm_item(cbm_parameter(mean_of_all, "running_mean")), (2.5 + 6 + 0) / 3, 1e-6);
    /* unbiased: 5/3, 4/3, 8/3 */
    near(cbm_item(cbm_parameter(mean_of_all, "running_var")), (5.0 + 4 + 8) / 9, 1e-5);
    assert_true(cbm_item(cbm_cast(cbm_parameter(mean_of_all, "num_batches_tracked"), CBM_F64)) == 3);
    near(cbm_item(cbm_parameter(instance, "running_mean")), ((2.5 / 2 + 6) / 2 + 0) / 2, 1e-6);
    /* of each sample, unbiased, averaged: 0.5, 0, 2; from 1 on */
    near(cbm_item(cbm_parameter(instance, "running_var")), (((1 + 0.5) / 2 + 0) / 2 + 2) / 2, 1e-4);
    assert_true(cbm_item(cbm_cast(cbm_parameter(instance, "num_batches_tracked"), CBM_F64)) == 0);
    /* In evaluation: (x - mean) / sqrt(var + eps) by the running ones, or by the batch's where there are none. */
    cbm_eval(instance);
    cbm_eval(untracked);
    const double mean = cbm_item(cbm_parameter(instance, "running_mean"));
    const double var = cbm_item(cbm_parameter(instance, "running_var"));
    float *y = values(cbm_call(instance, cbm_tensor_from(cx, CBM_F32, S(2, 1, 2), batches[1])));
    near((double)y[2], (7 - mean) / sqrt(var + 1e-5), 1e-4);
    free(y);
    y = values(cbm_call(untracked, cbm_tensor_from(cx, CBM_F32, S(2, 1, 2), batches[1])));
    near((double)y[2], 1, 1e-4);
    free(y);
    good(cx);
    cbm_scope_end(scope);
    scope = NULL;
    cbm_close(cx);
}

/* ---- unpooling ---- */

static void test_unpooling(void **state)
{
    (void)state;
    static const float x[] = { 1, 5, 2, 3, 4, 0, 9, 8, 7, 1, 1, 6 };
    static const float expected[] = { 0, 5, 0, 3, 0, 0, 9, 0, 7, 0, 0, 6 };
    cbm_context *cx = cbm_open(NULL);
    cbm_module *pool = cbm_nn_max_pool1d(cx, 2, .keep_indices = true), *unpool = cbm_nn_max_unpool(cx, pool);
    good(cx);
    for (int i = 0; i < 2; i++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *y = cbm_call(pool, cbm_tensor_from(cx, CBM_F32, S(1, 2, 6), x));
        float *v = values(
            cbm_call(unpool, cbm_where(cbm_equal(y, cbm_scalar(cx, CBM_F32, 4)), cbm_scalar(cx, CBM_F32, 0), y)));
        good(cx);
        assert_memory_equal(v, expected, sizeof expected);
        free(v);
        cbm_call(unpool, y); /* the indices are used up */
        refused(cx, CBM_ERROR_STATE, "has not been called since");
    }
    CBM_SCOPE(scope, cx);
    cbm_call(pool, input(cx, S(1, 2, 6))); /* kept when the layer goes */
    cbm_scope_end(scope);
    scope = NULL;
    cbm_module_release(pool);
    CBM_SCOPE(last, cx);
    cbm_call(unpool, input(cx, S(1, 2, 3)));
    refused(cx, CBM_ERROR_STATE, "has not been called since");
    cbm_nn_max_unpool(cx, cbm_nn_max_pool1d(cx, 2));
    refused(cx, CBM_ERROR_INVALID, "keep_indices");
    cbm_nn_max_unpool(cx, NULL);
    refused(cx, CBM_ERROR_INVALID, "keep_indices");
    cbm_scope_end(last);
    last = NULL;
    cbm_close(cx);
}

/* ---- dropout ---- */

static void test_channels_drop(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 11);
    cbm_module *layers[] = { cbm_nn_dropout1d(cx, 0.25), cbm_nn_dropout2d(cx, 0.25), cbm_nn_dropout3d(cx, 0.25),
                             cbm_nn_feature_alpha_dropout(cx, 0.25) };
    const cbm_shape shapes[] = { S(40, 50, 6), S(40, 50, 2, 3), S(40, 50, 1, 2, 3), S(40, 50, 6) };
    for (size_t k = 0; k < COUNT(layers); k++) {
        CBM_SCOPE(scope, cx);
        float *v = values(cbm_call(layers[k], cbm_ones(cx, CBM_F32, shapes[k])));
        int dropped = 0;
        good(cx);
        const float low = k < 3 ? 0 : -1; /* what has been dropped lies below */
        for (int c = 0; c < 2000; c++) {
            for (int i = 1; i < 6; i++)
                assert_true(v[6 * c + i] == v[6 * c]);
            dropped += v[6 * c] <= low;
            assert_true(k == 3 || v[6 * c] == 0 || fabsf(v[6 * c] - 1 / 0.75f) < 1e-6f);
        }
        assert_true(abs(dropped - 500) < 5 * 20);
        free(v);
        cbm_eval(layers[k]);
        v = values(cbm_call(layers[k], cbm_ones(cx, CBM_F32, shapes[k])));
        assert_true(v[0] == 1 && v[11999] == 1);
        free(v);
    }
    cbm_close(cx);
}

/* Mean 0 and variance 1 stay; the gradient is the scale where an element stays. */
static void test_alpha_dropout(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 12);
    cbm_module *layer = cbm_nn_alpha_dropout(cx, 0.3);
    CBM_SCOPE(scope, cx);
    cbm_tensor *x = cbm_variable(input(cx, S(400, 500)), true), *y = cbm_call(layer, x);
    float *v = values(y), *from = values(x);
    double sum = 0, squares = 0;
    for (int i = 0; i < 200000; i++) {
        sum += (double)v[i];
        squares += (double)v[i] * (double)v[i];
    }
    near(sum / 200000, 0, 0.015);
    near(squares / 200000, 1, 0.02);
    const double bottom = -1.7580993408473766, a = 1 / sqrt(0.7 * (1 + 0.3 * bottom * bottom)), b = -a * bottom * 0.3;
    cbm_backward(cbm_sum(y));
    float *g = values(cbm_gradient(x));
    good(cx);
    int kept = 0;
    for (int i = 0; i < 200000; i++) {
        const bool stays = g[i] != 0;
        kept += stays;
        near((double)v[i], stays ? a * (double)from[i] + b : a * bottom + b, 1e-4);
        assert_true(!stays || fabs((double)g[i] - a) < 1e-5);
    }
    assert_true(abs(kept - 140000) < 5 * 205);
    free(v);
    free(from);
    free(g);
    cbm_release(x);
    cbm_scope_end(scope);
    scope = NULL;
    cbm_close(cx);
}

/* ---- folding ---- */

static void test_folding(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 3);
    cbm_module *nets[] = {
        cbm_sequential(cx, cbm_nn_conv1d(cx, 3, 4, 3, .bias = false), cbm_nn_batch_norm1d(cx, 4), CBM_END),
        cbm_sequential(cx, cbm_nn_conv3d(cx, 3, 4, 2), cbm_nn_batch_norm3d(cx, 4), CBM_END),
        cbm_sequential(cx, cbm_nn_conv2d(cx, 3, 4, 3, .padding = S(1)), cbm_nn_batch_norm2d(cx, 4), CBM_END),
        cbm_sequential(cx, cbm_nn_conv2d(cx, 3, 4, 3), cbm_nn_batch_norm2d(cx, 4, .track_running_stats = false),
                       CBM_END),
    };
    const cbm_shape shapes[] = { S(2, 3, 9), S(2, 3, 4, 5, 6), S(2, 3, 6, 7), S(2, 3, 6, 7) };
    for (size_t k = 0; k < COUNT(nets); k++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *x = input(cx, shapes[k]);
        for (int i = 0; i < 3; i++)
            cbm_call(nets[k], cbm_add_scalar(input(cx, shapes[k]), 0.5)); /* running statistics of their own */
        cbm_eval(nets[k]);
        float *before = values(cbm_call(nets[k], x));
        size_t folded = 9;
        assert_int_equal(cbm_nn_fold_batch_norm(nets[k], x, &folded), CBM_OK);
        assert_int_equal(folded, k < 3);
        cbm_tensor *y = cbm_call(nets[k], x);
        float *after = values(y);
        good(cx);
        for (int64_t i = 0; i < cbm_tensor_count(y); i++)
            near((double)after[i], (double)before[i], 1e-5);
        free(before);
        free(after);
    }
    cbm_close(cx);
}

/* ---- summary ---- */

static void keep(const cbm_summary_row *row, void *user)
{
    if (row->name[0])
        ((double *)user)[atoi(row->name)] = row->flops;
}

static void test_flops(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_sequential(
        cx, cbm_nn_conv1d(cx, 3, 8, 3, .bias = false), cbm_nn_conv_transpose1d(cx, 8, 4, 2, .stride = S(2)),
        cbm_nn_max_pool1d(cx, 2), cbm_nn_group_norm(cx, 2, 4), cbm_nn_layer_norm(cx, S(10)),
        cbm_nn_upsample(cx, .scale_factor = { 2 }), cbm_nn_adaptive_avg_pool1d(cx, S(3)), CBM_END);
    double flops[7] = { -1 };
    CBM_SCOPE(scope, cx);
    assert_int_equal(cbm_summary(net, cbm_zeros(cx, CBM_F32, S(2, 3, 12)), keep, flops), CBM_OK);
    good(cx);
    assert_true(flops[0] == 2.0 * 2 * 8 * 10 * 3 * 3);
    const double turned = 2.0 * 2 * 8 * 10 * 4 * 2; /* and a bias for each of 2 4 20 results */
    assert_true(flops[1] >= turned && flops[1] <= turned + 2 * 4 * 20);
    assert_true(flops[2] == 2 * 4 * 10 * 2);
    assert_true(flops[3] == 7 * 2 * 4 * 10 && flops[4] == flops[3]);
    assert_true(flops[5] == 0);
    assert_true(flops[6] > 0);
    cbm_scope_end(scope);
    scope = NULL;
    cbm_close(cx);
}

/* ---- errors ---- */

static void test_errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_nn_conv1d(cx, 3, 4, 0, .kernel = S(3, 3));
    refused(cx, CBM_ERROR_INVALID, "[conv1d] a kernel takes one value of at least 1");
    cbm_nn_conv_transpose1d(cx, 4, 3, 3, .groups = 2);
    refused(cx, CBM_ERROR_INVALID, "[conv_transpose1d] 4 channels in and 3 out in 2 groups");
    cbm_nn_conv_transpose2d(cx, 4, 3, 3, .dtype = CBM_BF16);
    refused(cx, CBM_ERROR_DTYPE, "[conv_transpose2d] parameters are f32 or f64");
    cbm_nn_max_pool3d(cx, 0);
    refused(cx, CBM_ERROR_INVALID, "[max_pool3d] a kernel takes one value or three");
    cbm_nn_lp_pool2d(cx, -1, 2);
    refused(cx, CBM_ERROR_INVALID, "[lp_pool2d] the norm must be positive");
    cbm_nn_adaptive_avg_pool2d(cx, S(1, 2, 3));
    refused(cx, CBM_ERROR_INVALID, "[adaptive_avg_pool2d] output takes one value or two of at least 1, or -1");
    cbm_nn_adaptive_max_pool1d(cx, S(0));
    refused(cx, CBM_ERROR_INVALID, "[adaptive_max_pool1d]");
    cbm_nn_adaptive_max_pool3d(cx, S());
    refused(cx, CBM_ERROR_INVALID, "[adaptive_max_pool3d]");
    cbm_nn_batch_norm3d(cx, 3, .momentum = 2);
    refused(cx, CBM_ERROR_INVALID, "[batch_norm3d]");
    cbm_nn_instance_norm2d(cx, 0);
    refused(cx, CBM_ERROR_INVALID, "[instance_norm2d]");
    cbm_nn_instance_norm_options options = { .struct_size = 8 };
    cbm_nn_instance_norm1d_with(cx, 3, &options);
    refused(cx, CBM_ERROR_INVALID, "struct_size");
    cbm_nn_instance_norm1d_with(cx, 3, NULL);
    refused(cx, CBM_ERROR_INVALID, "the options are NULL");
    cbm_nn_group_norm(cx, 3, 4);
    refused(cx, CBM_ERROR_INVALID, "[group_norm] 4 channels do not divide into 3 groups");
    cbm_nn_layer_norm(cx, S());
    refused(cx, CBM_ERROR_INVALID, "[layer_norm] a normalised shape");
    cbm_nn_rms_norm(cx, S(3, 0));
    refused(cx, CBM_ERROR_INVALID, "[rms_norm] a normalised shape");
    cbm_nn_local_response_norm(cx, 0);
    refused(cx, CBM_ERROR_INVALID, "[local_response_norm] size 0");
    cbm_nn_dropout2d(cx, 1);
    refused(cx, CBM_ERROR_INVALID, "[dropout2d] the probability");
    cbm_nn_alpha_dropout(cx, -0.1);
    refused(cx, CBM_ERROR_INVALID, "[alpha_dropout] the probability");
    cbm_nn_upsample(cx, .mode = CBM_INTERPOLATE_LINEAR);
    refused(cx, CBM_ERROR_INVALID, "[upsample] either a size or a scale factor");
    cbm_nn_pixel_shuffle(cx, 0);
    refused(cx, CBM_ERROR_INVALID, "[pixel_shuffle] 0 is not at least 1");

    cbm_call(cbm_nn_global_avg_pool2d(cx), input(cx, S(2, 3)));
    refused(cx, CBM_ERROR_SHAPE, "[adaptive_avg_pool2d] x (2, 3)");
    cbm_call(cbm_nn_batch_norm1d(cx, 3), input(cx, S(2, 3, 4, 5)));
    refused(cx, CBM_ERROR_SHAPE, "[batch_norm1d] the input (2, 3, 4, 5) is not (N, C) or (N, C, L) with 3 channels");
    cbm_call(cbm_nn_batch_norm3d(cx, 3), input(cx, S(2, 3, 4, 5)));
    refused(cx, CBM_ERROR_SHAPE, "is not (N, C, D, H, W) with 3 channels");
    cbm_call(cbm_nn_instance_norm1d(cx, 3), input(cx, S(2, 3)));
    refused(cx, CBM_ERROR_SHAPE, "[instance_norm1d] the input (2, 3) is not (N, C, L) with 3 channels");
    cbm_call(cbm_nn_dropout1d(cx, 0.5), input(cx, S(2, 3)));
    refused(cx, CBM_ERROR_SHAPE, "[dropout1d] the input (2, 3) has not 3 dimensions");

    cbm_feature_dropout(input(cx, S(3)), 0.5);
    refused(cx, CBM_ERROR_SHAPE, "[feature_dropout] x (3) must have at least 2 dimensions");
    cbm_alpha_dropout(input(cx, S(3)), 1);
    refused(cx, CBM_ERROR_INVALID, "[alpha_dropout] p = 1 is not a probability in [0, 1)");
    cbm_feature_alpha_dropout(cbm_ones(cx, CBM_I64, S(3, 2)), 0.5);
    refused(cx, CBM_ERROR_DTYPE, "[feature_alpha_dropout] x must be f32, f64 or bf16");
    cbm_scope_end(scope);
    cbm_close(cx);
}

enum { NAN_COUNT = 2 * 32 * 5 * 5 };

/* A convolution of made-up pictures with one NaN, through a ReLU (bound 6, if three by three) within a training step if asked. */
static void convolved_nan(cbm_precision precision, int64_t kernel, bool gated, float *out)
{
    cbm_context *cx = cbm_open_with(.seed = 5, .precision = precision);
    cbm_module *conv = cbm_nn_conv2d(cx, 32, 32, kernel, .stride = S(2), .padding = S(kernel / 2));
    cbm_optimizer *opt = cbm_sgd(conv, .lr = 0);
    float *x = values(input(cx, S(2, 32, 9, 9)));
    x[(32 + 7) * 81 + 40] = NAN; /* of sample 1 */
    cbm_tensor *y = cbm_call(conv, cbm_tensor_from(cx, CBM_F32, S(2, 32, 9, 9), x));
    y = !gated ? y : kernel == 1 ? cbm_relu(y) : cbm_relu6(y);
    cbm_tensor *seen = cbm_want(cbm_cast(y, CBM_F32));
    cbm_backward(cbm_sum(cbm_cast(y, CBM_F32)));
    cbm_step(opt);
    assert_int_equal(cbm_read(seen, out, NAN_COUNT * sizeof *out), CBM_OK);
    free(x);
    cbm_close(cx);
}

/* In training a NaN is not hidden by the ReLU behind a convolution, in no precision; and what is not NaN is cut as it should. */
static void test_nan_survives(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        static float before[NAN_COUNT], after[NAN_COUNT];
        const cbm_precision precision = i & 1 ? CBM_PRECISION_BF16 : CBM_PRECISION_F32;
        convolved_nan(precision, i & 2 ? 3 : 1, false, before);
        convolved_nan(precision, i & 2 ? 3 : 1, true, after);
        int odd = 0;
        for (int k = 0; k < NAN_COUNT; k++) {
            odd += isnan(after[k]) != 0;
            assert_int_equal(isnan(after[k]) != 0, isnan(before[k]) != 0);
            if (!isnan(after[k]))
                near((double)after[k], (double)(before[k] > 0 ? before[k] : 0), 1e-2);
        }
        assert_true(odd >= 32 && odd < NAN_COUNT / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nan_survives),  cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_results),       cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_unpooling),     cmocka_unit_test(test_channels_drop),
        cmocka_unit_test(test_alpha_dropout), cmocka_unit_test(test_folding),
        cmocka_unit_test(test_flops),         cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
