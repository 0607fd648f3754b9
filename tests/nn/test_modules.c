/* test_modules.c: making modules, their names and modes, initial values, errors, releasing, and the summary by layer. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

static cbm_tensor *input(cbm_context *cx, cbm_shape shape)
{
    return cbm_normal(cx, CBM_F32, shape, 0, 1);
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    static const char *const parameters[] = { "0.weight", "0.bias", "1.weight", "1.bias", "2.1.weight" };
    static const char *const all[] = {
        "0.weight",  "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked",
        "2.1.weight"
    };
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net =
        cbm_sequential(cx, cbm_nn_linear(cx, 3, 4), cbm_nn_batch_norm1d(cx, 4),
                       cbm_sequential(cx, cbm_nn_relu(cx), cbm_nn_linear(cx, 4, 2, .bias = false), CBM_END), CBM_END);
    good(cx);
    cbm_named named;
    assert_int_equal(cbm_parameter_count(net), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_true(cbm_parameter_at(net, i, &named));
        assert_string_equal(named.name, parameters[i]);
        assert_false(named.buffer);
    }
    assert_false(cbm_parameter_at(net, 5, &named));
    assert_int_equal(cbm_state_count(net), 8);
    for (size_t i = 0; i < 8; i++) {
        assert_true(cbm_state_at(net, i, &named));
        assert_string_equal(named.name, all[i]);
    }
    assert_int_equal(cbm_parameter_elements(net), 12 + 4 + 8 + 8);
    assert_int_equal(cbm_tensor_size(cbm_parameter(net, "2.1.weight"), 0), 2);
    const char *name;
    assert_int_equal(cbm_child_count(net), 3);
    assert_string_equal(cbm_child_at(net, 2, &name)->type, "sequential");
    assert_string_equal(name, "2");
    assert_null(cbm_child_at(net, 3, &name));
    assert_true(cbm_tensor_failed(cbm_parameter(net, "3.weight")));
    refused(cx, CBM_ERROR_INVALID, "3.weight");
    cbm_close(cx);
}

typedef struct tied_net {
    cbm_module module;
    cbm_module *first, *second;
} tied_net;

static cbm_tensor *tied_forward(cbm_module *self, cbm_tensor *x)
{
    tied_net *net = (tied_net *)self;
    return cbm_call(net->second, cbm_relu(cbm_call(net->first, x)));
}

static void test_shared_parameters(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    tied_net *net = (tied_net *)cbm_module_new(cx, sizeof *net, tied_forward);
    assert_non_null(net);
    net->first = net->second = cbm_nn_linear(cx, 4, 4);
    cbm_add_module(&net->module, "first", net->first);
    cbm_add_module(&net->module, "second", net->second);
    good(cx);
    assert_int_equal(cbm_parameter_count(&net->module), 2);
    assert_int_equal(cbm_state_count(&net->module), 4);
    assert_ptr_equal(cbm_parameter(&net->module, "first.weight"), cbm_parameter(&net->module, "second.weight"));
    cbm_optimizer *opt = cbm_sgd(&net->module, .lr = 0.1);
    assert_int_equal(cbm_optimizer_parameter_count(opt), 2);
    cbm_module_release(net->first); /* held by the net: does nothing */
    CBM_SCOPE(scope, cx);
    assert_false(cbm_tensor_failed(cbm_call(&net->module, input(cx, CBM_SHAPE(2, 4)))));
    cbm_scope_end(scope);
    scope = NULL;
    cbm_optimizer_release(opt);
    cbm_module_release(&net->module);
    good(cx);
    cbm_close(cx);
}

/* ---- initial values ---- */

static void check_uniform(cbm_tensor *t, double bound)
{
    int64_t n = cbm_tensor_count(t);
    const float *data = cbm_tensor_data(t);
    assert_non_null(data);
    double sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += data[i];
        squares += (double)data[i] * data[i];
        largest = fmax(largest, fabs((double)data[i]));
    }
    assert_true(largest <= bound * 1.000001);
    assert_true(largest > bound * (1 - 20.0 / (double)n));
    double error = 5 * bound / sqrt(3.0 * (double)n);
    assert_true(fabs(sum / (double)n) < error);
    assert_true(fabs(squares / (double)n / (bound * bound / 3) - 1) < 5 / sqrt((double)n));
}

static void test_initial_values(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 3);
    cbm_module *linear = cbm_nn_linear(cx, 100, 200), *conv = cbm_nn_conv2d(cx, 8, 32, 3, .groups = 2);
    cbm_module *oblong = cbm_nn_conv2d(cx, 4, 4, 0, .kernel = CBM_SHAPE(3, 5));
    good(cx);
    check_uniform(cbm_parameter(linear, "weight"), 0.1);
    check_uniform(cbm_parameter(linear, "bias"), 0.1);
    check_uniform(cbm_parameter(conv, "weight"), 1 / sqrt(36));
    check_uniform(cbm_parameter(conv, "bias"), 1 / sqrt(36));
    cbm_shape shape = cbm_tensor_shape(cbm_parameter(oblong, "weight"));
    assert_true(cbm_shape_equal(&shape, &CBM_SHAPE(4, 4, 3, 5)));
    cbm_module *norm = cbm_nn_batch_norm2d(cx, 2);
    float ones[2], zeros[2];
    cbm_read(cbm_parameter(norm, "running_var"), ones, sizeof ones);
    cbm_read(cbm_parameter(norm, "running_mean"), zeros, sizeof zeros);
    assert_true(ones[0] == 1 && ones[1] == 1 && zeros[0] == 0 && zeros[1] == 0);
    cbm_tensor *weight = cbm_parameter(linear, "weight");
    cbm_init_normal(weight, 2);
    cbm_init_constant(cbm_parameter(linear, "bias"), 0.5);
    float bias[200];
    cbm_read(cbm_parameter(linear, "bias"), bias, sizeof bias);
    assert_true(bias[0] == 0.5f && bias[199] == 0.5f);
    const float *data = cbm_tensor_data(weight);
    double squares = 0;
    for (int i = 0; i < 20000; i++)
        squares += (double)data[i] * data[i];
    assert_true(fabs(squares / 20000 - 4) < 0.3);
    good(cx);
    cbm_close(cx);
}

static void test_seed_decides(void **state)
{
    (void)state;
    float first[3][12];
    uint64_t seeds[3] = { 7, 7, 8 };
    for (int i = 0; i < 3; i++) {
        cbm_context *cx = cbm_open_with(.seed = seeds[i]);
        cbm_nn_linear(cx, 5, 5);
        cbm_module *m = cbm_nn_linear(cx, 3, 4);
        assert_int_equal(cbm_read(cbm_parameter(m, "weight"), first[i], sizeof first[i]), CBM_OK);
        cbm_close(cx);
    }
    assert_memory_equal(first[0], first[1], sizeof first[0]);
    assert_memory_not_equal(first[0], first[2], sizeof first[0]);
}

/* ---- modes ---- */

static void test_modes(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *norm = cbm_nn_batch_norm2d(cx, 3), *net;
    net = cbm_sequential(cx, norm, cbm_nn_dropout(cx, 0.5), CBM_END);
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_tensor *x = cbm_ones(cx, CBM_F32, CBM_SHAPE(4, 3, 2, 2));
    cbm_eval(net);
    assert_false(norm->training);
    float y[48];
    cbm_read(cbm_call(net, x), y, sizeof y);
    for (int i = 0; i < 48; i++)
        assert_true(fabsf(y[i] - 1) < 1e-4f); /* running statistics 0 and 1, no dropout */
    int64_t batches;
    cbm_read(cbm_parameter(net, "0.num_batches_tracked"), &batches, sizeof batches);
    assert_int_equal(batches, 0);
    cbm_train(net);
    cbm_call(net, cbm_mul_scalar(x, 10));
    cbm_call(net, cbm_mul_scalar(x, 10));
    cbm_scope_end(scope);
    cbm_read(cbm_parameter(net, "0.num_batches_tracked"), &batches, sizeof batches);
    assert_int_equal(batches, 2);
    float mean[3];
    cbm_read(cbm_parameter(net, "0.running_mean"), mean, sizeof mean);
    assert_true(fabsf(mean[0] - 1.9f) < 1e-5f); /* 0.1 * 10, then 0.9 * 1 + 0.1 * 10 */
    good(cx);
    cbm_close(cx);
}

/* ---- errors ---- */

static cbm_tensor *null_forward(cbm_module *self, cbm_tensor *x)
{
    (void)self;
    (void)x;
    return NULL;
}

static void test_errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL), *other = cbm_open(NULL);
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_module *failed = cbm_sequential(cx, cbm_nn_relu(cx), NULL, CBM_END);
    assert_true(failed->failed);
    assert_true(cbm_tensor_failed(cbm_call(failed, input(cx, CBM_SHAPE(2)))));
    cbm_train(failed);
    assert_int_equal(cbm_parameter_count(failed), 0);
    assert_int_equal(cbm_step(cbm_sgd(failed, .lr = 1)), CBM_ERROR_INVALID);
    refused(cx, CBM_ERROR_INVALID, "'1' is NULL");
    assert_true(cbm_tensor_failed(cbm_call(failed, input(cx, CBM_SHAPE(2)))));
    refused(cx, CBM_ERROR_INVALID, "failed");
    assert_true(cbm_tensor_failed(cbm_call(NULL, input(cx, CBM_SHAPE(2)))));
    refused(cx, CBM_ERROR_INVALID, "NULL");

    cbm_nn_linear(cx, 0, 3);
    refused(cx, CBM_ERROR_INVALID, "[linear]");
    cbm_nn_linear(cx, 2, 3, .dtype = CBM_I64);
    refused(cx, CBM_ERROR_DTYPE, "[linear]");
    cbm_nn_conv2d(cx, 3, 4, 3, .groups = 2);
    refused(cx, CBM_ERROR_INVALID, "[conv2d]");
    cbm_nn_conv2d(cx, 3, 4, -1);
    refused(cx, CBM_ERROR_INVALID, "kernel");
    cbm_nn_dropout(cx, 1.5);
    refused(cx, CBM_ERROR_INVALID, "[dropout]");
    cbm_nn_batch_norm2d(cx, 0);
    refused(cx, CBM_ERROR_INVALID, "[batch_norm2d]");

    cbm_call(cbm_nn_global_avg_pool2d(cx), input(cx, CBM_SHAPE(2, 3)));
    refused(cx, CBM_ERROR_SHAPE, "[adaptive_avg_pool2d] x (2, 3)");

    cbm_module *linear = cbm_nn_linear(cx, 784, 10);
    cbm_tensor *y = cbm_call(linear, input(cx, CBM_SHAPE(64, 100)));
    assert_true(cbm_tensor_failed(y));
    refused(cx, CBM_ERROR_SHAPE, "(64, 100)");
    assert_false(cbm_tensor_failed(cbm_call(linear, input(cx, CBM_SHAPE(64, 784)))));
    cbm_call(linear, input(cx, CBM_SHAPE(64, 100)));
    refused(cx, CBM_ERROR_SHAPE, "test_modules.c:");

    cbm_module *m = cbm_module_new(cx, sizeof *m, null_forward);
    cbm_call(m, input(cx, CBM_SHAPE(1)));
    refused(cx, CBM_ERROR_CALLBACK, "returned NULL");
    cbm_add_module(m, "self", m);
    refused(cx, CBM_ERROR_INVALID, "part of itself");
    cbm_add_module(m, "a.b", linear);
    refused(cx, CBM_ERROR_INVALID, "cannot name");
    cbm_add_module(m, "a", linear);
    cbm_add_module(m, "a", linear);
    refused(cx, CBM_ERROR_INVALID, "already");
    cbm_add_parameter(m, "p", input(cx, CBM_SHAPE(1)));
    refused(cx, CBM_ERROR_INVALID, "not a variable");
    cbm_add_module(m, "foreign", cbm_nn_relu(other));
    refused(cx, CBM_ERROR_INVALID, "another context");
    assert_null(cbm_module_new(cx, 4, null_forward));
    refused(cx, CBM_ERROR_INVALID, "size");
    cbm_nn_linear_options options = { .struct_size = 8 };
    cbm_nn_linear_with(cx, 2, 2, &options);
    refused(cx, CBM_ERROR_INVALID, "struct_size");
    cbm_scope_end(scope);
    cbm_close(cx);
    cbm_close(other);
}

static void test_release(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_trim(cx);
    cbm_flush(cx);
    uint64_t before = cbm_context_statistics(cx).bytes_now;
    for (int i = 0; i < 50; i++) {
        cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, 100, 100), cbm_nn_batch_norm1d(cx, 100), CBM_END);
        good(cx);
        cbm_module_release(net);
    }
    cbm_module_release(NULL);
    cbm_flush(cx);
    cbm_trim(cx);
    assert_true(cbm_context_statistics(cx).bytes_now < before + 100000);
    good(cx);
    cbm_close(cx);
}

/* ---- summary ---- */

typedef struct rows {
    cbm_summary_row row[20];
    size_t count;
} rows;

static void keep(const cbm_summary_row *row, void *user)
{
    rows *r = user;
    if (r->count < 20)
        r->row[r->count++] = *row;
}

static void test_summary(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net =
        cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx),
                       cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, 32 * 26 * 26, 10), CBM_END),
                       cbm_nn_dropout(cx, 0.5), CBM_END);
    rows r = { .count = 0 };
    uint64_t evaluations = cbm_context_statistics(cx).evaluations;
    cbm_scope *scope = cbm_scope_begin(cx);
    assert_int_equal(cbm_summary(net, cbm_zeros(cx, CBM_F32, CBM_SHAPE(2, 1, 28, 28)), keep, &r), CBM_OK);
    good(cx);
    assert_int_equal(cbm_context_statistics(cx).evaluations, evaluations);
    cbm_scope_end(scope);
    assert_int_equal(r.count, 7);
    assert_string_equal(r.row[0].name, "0");
    assert_string_equal(r.row[0].type, "conv2d");
    assert_true(cbm_shape_equal(&r.row[0].output, &CBM_SHAPE(2, 32, 26, 26)));
    assert_int_equal(r.row[0].parameters, 32 * 9 + 32);
    assert_int_equal(r.row[0].activation_bytes, 2 * 32 * 26 * 26 * 4);
    double products = 2.0 * 2 * 32 * 26 * 26 * 9; /* multiplications and additions */
    assert_true(r.row[0].flops >= products && r.row[0].flops <= products + 2 * 32 * 26 * 26);
    assert_string_equal(r.row[3].name, "2.1");
    assert_int_equal(r.row[3].depth, 2);
    double dense = 2.0 * 2 * 32 * 26 * 26 * 10;
    assert_true(r.row[3].flops >= dense && r.row[3].flops <= dense * 1.01 + 100);
    assert_string_equal(r.row[4].name, "2");
    assert_int_equal(r.row[4].children, 2);
    const cbm_summary_row *all = &r.row[6];
    assert_string_equal(all->name, "");
    assert_int_equal(all->parameters, cbm_parameter_elements(net));
    assert_int_equal(all->trainable, all->parameters);
    assert_true(all->flops >= r.row[0].flops + r.row[3].flops);
    int64_t bytes =
        r.row[0].activation_bytes + r.row[1].activation_bytes + r.row[4].activation_bytes + r.row[5].activation_bytes;
    assert_int_equal(all->activation_bytes, bytes);
    assert_true(net->training);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),          cmocka_unit_test(test_shared_parameters),
        cmocka_unit_test(test_initial_values), cmocka_unit_test(test_seed_decides),
        cmocka_unit_test(test_modes),          cmocka_unit_test(test_errors),
        cmocka_unit_test(test_release),        cmocka_unit_test(test_summary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
