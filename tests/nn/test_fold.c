/* test_fold.c: folding batch norms into convolutions: results stay, what may not be folded is not, and what changes. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* Parameters and buffers of all layers away from their initial values. */
static void stir(cbm_module *net)
{
    cbm_context *cx = net->cx;
    CBM_SCOPE(scope, cx);
    cbm_named named;
    for (size_t i = 0; cbm_state_at(net, i, &named); i++) {
        const cbm_dtype dtype = cbm_tensor_dtype(named.tensor);
        const bool positive = strstr(named.name, "running_var") != NULL;
        if (dtype == CBM_F32 || dtype == CBM_F64)
            cbm_assign(named.tensor, cbm_uniform(cx, dtype, cbm_tensor_shape(named.tensor), positive ? 0.2 : -1, 2));
    }
    cbm_flush(cx);
    good(cx);
}

static double *outputs(cbm_module *net, cbm_tensor *x, int64_t *count)
{
    CBM_NO_GRAD(scope, net->cx);
    cbm_tensor *y = cbm_cast(cbm_call(net, x), CBM_F64);
    good(net->cx);
    *count = cbm_tensor_count(y);
    double *v = malloc((size_t)*count * sizeof *v);
    assert_non_null(v);
    assert_int_equal(cbm_read(y, v, (size_t)*count * sizeof *v), CBM_OK);
    return v;
}

/* Folds net; expects so many folds and the outputs as they were. */
static void check(cbm_module *net, cbm_tensor *x, size_t folds, double tolerance)
{
    int64_t n = 0, m = 0;
    size_t folded = 99;
    stir(net);
    cbm_eval(net);
    double *before = outputs(net, x, &n), largest = 0, difference = 0;
    const size_t state = cbm_state_count(net);
    const uint64_t evaluations = cbm_context_statistics(net->cx).evaluations;
    assert_int_equal(cbm_nn_fold_batch_norm(net, x, &folded), CBM_OK);
    good(net->cx);
    assert_int_equal(folded, folds);
    assert_true(cbm_context_statistics(net->cx).evaluations <= evaluations + 1);
    assert_true(folds == 0 ? cbm_state_count(net) == state : cbm_state_count(net) < state);
    double *after = outputs(net, x, &m);
    assert_int_equal(n, m);
    for (int64_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs(before[i]));
        difference = fmax(difference, fabs(after[i] - before[i]));
    }
    assert_true(largest > 0.1);
    if (!(difference <= tolerance * largest))
        fail_msg("outputs differ by %g of %g", difference, largest);
    if (folds == 0)
        assert_true(difference == 0);
    assert_int_equal(cbm_nn_fold_batch_norm(net, x, &folded), CBM_OK);
    assert_int_equal(folded, 0); /* nothing is left to fold */
    free(before);
    free(after);
}

static void test_sequences(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        const int64_t t = wide ? CBM_F64 : CBM_F32;
        const double tolerance = wide ? 1e-13 : 2e-6;
        cbm_context *cx = cbm_open_with(.device = wide ? "reference" : "cpu");
        cbm_tensor *x = cbm_normal(cx, (cbm_dtype)t, CBM_SHAPE(2, 4, 9, 7), 0, 1);
        cbm_compute(&x, 1);
        check(cbm_sequential(cx, cbm_nn_conv2d(cx, 4, 6, 3, .bias = false, .dtype = t),
                             cbm_nn_batch_norm2d(cx, 6, .dtype = t), cbm_nn_relu(cx),
                             cbm_nn_conv2d(cx, 6, 6, 3, .groups = 6, .padding = CBM_SHAPE(1), .dtype = t),
                             cbm_nn_batch_norm2d(cx, 6, .eps = 0.3, .affine = false, .dtype = t)),
              x, 2, tolerance);
        /* A norm after something else, and of something else. */
        check(cbm_sequential(cx, cbm_nn_batch_norm2d(cx, 4, .dtype = t), cbm_nn_conv2d(cx, 4, 5, 1, .dtype = t),
                             cbm_nn_relu(cx), cbm_nn_batch_norm2d(cx, 5, .dtype = t)),
              x, 0, tolerance);
        cbm_close(cx);
    }
}

/* y = norm(conv(x)), and what else the kind says. */
typedef struct odd {
    cbm_module module;
    cbm_module *conv, *norm, *other;
    int kind;
} odd;
enum { READS_BETWEEN, SAME_CONV_TWICE, SAME_NORM_TWICE, TIED_WEIGHTS, TWO_NORMS, KINDS };

static cbm_tensor *odd_forward(cbm_module *self, cbm_tensor *x)
{
    const odd *o = (const odd *)self;
    cbm_tensor *between = cbm_call(o->conv, x), *y = cbm_call(o->norm, between);
    switch (o->kind) {
    case READS_BETWEEN: return cbm_add(y, between);
    case SAME_CONV_TWICE: return cbm_call(o->conv, y);
    case SAME_NORM_TWICE: return cbm_call(o->norm, y);
    case TIED_WEIGHTS: return cbm_add(y, cbm_call(o->other, x));
    default: return cbm_add(y, cbm_call(o->other, between));
    }
}

static cbm_tensor *tied_forward(cbm_module *self, cbm_tensor *x)
{
    return cbm_conv2d(x, cbm_parameter(self, "weight"), NULL, .padding = CBM_SHAPE(1));
}

static void test_refusals(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        cbm_context *cx = cbm_open(NULL);
        odd *o = (odd *)cbm_module_new(cx, sizeof *o, odd_forward);
        assert_non_null(o);
        o->kind = kind;
        o->conv = cbm_nn_conv2d(cx, 3, 3, 3, .padding = CBM_SHAPE(1));
        o->norm = cbm_nn_batch_norm2d(cx, 3);
        cbm_add_module(&o->module, "conv", o->conv);
        cbm_add_module(&o->module, "norm", o->norm);
        if (kind == TIED_WEIGHTS) {
            o->other = cbm_module_new(cx, sizeof(cbm_module), tied_forward);
            cbm_add_parameter(o->other, "weight", cbm_parameter(o->conv, "weight"));
        } else {
            o->other = cbm_nn_batch_norm2d(cx, 3);
        }
        cbm_add_module(&o->module, "other", o->other);
        cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(2, 3, 5, 5), 0, 1);
        cbm_compute(&x, 1);
        check(&o->module, x, 0, 0);
        cbm_close(cx);
    }
}

static void test_afterwards(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net =
        cbm_sequential(cx, cbm_nn_conv2d(cx, 2, 3, 3, .bias = false), cbm_nn_batch_norm2d(cx, 3), cbm_nn_relu(cx));
    CBM_SCOPE(scope, cx);
    cbm_tensor *x = cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 2, 4, 4));
    assert_int_equal(cbm_nn_fold_batch_norm(net, x, NULL), CBM_OK);
    assert_false(net->training);
    static const char *const names[] = { "0.weight", "0.bias" };
    cbm_named named;
    assert_int_equal(cbm_state_count(net), COUNT(names));
    for (size_t i = 0; i < COUNT(names); i++) {
        assert_true(cbm_state_at(net, i, &named));
        assert_string_equal(named.name, names[i]);
    }
    cbm_train(net);
    assert_true(cbm_tensor_failed(cbm_call(net, x)));
    refused(cx, CBM_ERROR_STATE, "was folded");
    assert_int_equal(cbm_nn_fold_batch_norm(NULL, x, NULL), CBM_ERROR_INVALID);
    assert_int_equal(cbm_nn_fold_batch_norm(net, NULL, NULL), CBM_ERROR_INVALID);
    cbm_clear(cx);
    cbm_nn_fold_batch_norm(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 7, 4, 4)), NULL);
    refused(cx, CBM_ERROR_SHAPE, "conv2d");
    cbm_scope_end(scope);
    scope = NULL;
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
