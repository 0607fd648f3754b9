/* test_optimizers.c: what optimizers promise besides PyTorch's numbers (tests/trajectory): one plan for all steps,
   accumulation, frozen parameters, clipping, state for checkpoints, all or nothing, errors. test_kinds.c asks the same of
   every kind. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

static void close_to(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.17g is not %.17g", got, want);
}

/* A network of one weight w (1, 1) in f64, no bias: its output on x is w x. */
static cbm_module *one_weight(cbm_context *cx, double w)
{
    cbm_module *m = cbm_nn_linear(cx, 1, 1, .bias = false, .dtype = CBM_F64);
    cbm_write(cbm_parameter(m, "weight"), &w, sizeof w);
    return m;
}

static double weight_of(cbm_module *m)
{
    double w = NAN;
    cbm_read(cbm_parameter(m, "weight"), &w, sizeof w);
    return w;
}

/* loss = scale w, whose gradient is scale. */
static cbm_tensor *linear_loss(cbm_module *m, double scale)
{
    return cbm_sum(cbm_call(m, cbm_full(m->cx, CBM_F64, CBM_SHAPE(1, 1), scale)));
}

static void step(cbm_module *m, cbm_optimizer *opt, double scale)
{
    CBM_SCOPE(scope, m->cx);
    cbm_backward(linear_loss(m, scale));
    cbm_step(opt);
}

static void test_one_plan(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, 4, 8), cbm_nn_relu(cx), cbm_nn_linear(cx, 8, 2), CBM_END);
    cbm_optimizer *kinds[] = { cbm_sgd(net, .lr = 0.1, .momentum = 0.9, .dampening = 0.5),
                               cbm_adam(net, .weight_decay = 0.1), cbm_adamw(net) };
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(3, 4), 0, 1);
    cbm_compute(&x, 1);
    for (size_t k = 0; k < 3; k++) {
        cbm_schedule *schedule = cbm_schedule_cosine(kinds[k], .steps = 10);
        uint64_t plans = 0;
        for (int i = 0; i < 10; i++) {
            CBM_SCOPE(scope, cx);
            cbm_backward(cbm_mean(cbm_call(net, x)));
            assert_int_equal(cbm_step(kinds[k]), CBM_OK);
            cbm_schedule_next(schedule);
            if (i == 1)
                plans = cbm_context_statistics(cx).plans_made;
        }
        assert_int_equal(cbm_context_statistics(cx).plans_made, plans);
        assert_int_equal(cbm_step_count(kinds[k]), 10);
    }
    good(cx);
    cbm_close(cx);
}

static void test_accumulation(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *m = one_weight(cx, 1), *other = one_weight(cx, 5);
    cbm_optimizer *opt = cbm_sgd(m, .lr = 0.5), *second = cbm_sgd(other, .lr = 1);
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_backward(linear_loss(m, 2));
    cbm_backward(linear_loss(m, 3));
    cbm_step(opt);
    close_to(weight_of(m), 1 - 0.5 * 5, 1e-12);
    cbm_step(opt); /* no gradients: nothing moves, the step counts */
    close_to(weight_of(m), -1.5, 1e-12);
    cbm_backward(linear_loss(m, 7));
    cbm_zero_grad(opt);
    assert_null(cbm_gradient(cbm_parameter(m, "weight")));
    cbm_step(opt);
    close_to(weight_of(m), -1.5, 1e-12);
    assert_int_equal(cbm_step_count(opt), 3);
    cbm_backward_into(cbm_add(linear_loss(m, 1), linear_loss(other, 1)), opt);
    assert_non_null(cbm_gradient(cbm_parameter(m, "weight")));
    assert_null(cbm_gradient(cbm_parameter(other, "weight")));
    cbm_step(opt);
    cbm_step(second);
    close_to(weight_of(m), -2, 1e-12);
    close_to(weight_of(other), 5, 1e-12);
    cbm_scope_end(scope);
    good(cx);
    cbm_close(cx);
}

static void test_frozen(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *a = one_weight(cx, 1), *b = one_weight(cx, 1), *net = cbm_sequential(cx, a, b, CBM_END);
    cbm_optimizer *opt = cbm_adam(net, .lr = 0.1);
    cbm_module_set_trainable(a, false);
    for (int i = 0; i < 3; i++)
        step(net, opt, 1);
    close_to(weight_of(a), 1, 0);
    assert_true(weight_of(b) < 1);
    cbm_module_set_trainable(a, true);
    step(net, opt, 1); /* a's first step: Adam's first one has size lr */
    close_to(weight_of(a), 0.9, 1e-6);
    good(cx);
    cbm_close(cx);
}

/* Gradients 3 and -4, their norm of any kind, and what is left of them. */
static void test_norm_types(void **state)
{
    (void)state;
    const double types[] = { 1, 2, 3, INFINITY }, norms[] = { 7, 5, cbrt(27 + 64), 4 };
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *a = one_weight(cx, 0), *b = one_weight(cx, 0);
    cbm_optimizer *opt = cbm_sgd(cbm_sequential(cx, a, b, CBM_END), .lr = 1);
    for (size_t i = 0; i < 4; i++) {
        CBM_SCOPE(scope, cx);
        cbm_backward(cbm_add(linear_loss(a, 3), linear_loss(b, -4)));
        close_to(cbm_item(cbm_clip_grad_norm_of(opt, 2, types[i])), norms[i], 1e-12);
        close_to(cbm_item(cbm_gradient(cbm_parameter(b, "weight"))), -4 * 2 / (norms[i] + 1e-6), 1e-9);
        cbm_zero_grad(opt);
        cbm_backward(cbm_add(linear_loss(a, 3), linear_loss(b, -4)));
        cbm_clip_grad_value(opt, 3.5);
        close_to(cbm_item(cbm_gradient(cbm_parameter(a, "weight"))), 3, 0);
        close_to(cbm_item(cbm_gradient(cbm_parameter(b, "weight"))), -3.5, 0);
        cbm_zero_grad(opt);
    }
    good(cx);
    cbm_close(cx);
}

static void test_clipping(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *a = one_weight(cx, 0), *b = one_weight(cx, 0);
    cbm_module *net = cbm_sequential(cx, a, b, CBM_END);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 1);
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_backward(cbm_add(linear_loss(a, 3), linear_loss(b, 4)));
    close_to(cbm_item(cbm_clip_grad_norm(opt, 1)), 5, 1e-12);
    close_to(cbm_item(cbm_gradient(cbm_parameter(a, "weight"))), 3.0 / (5 + 1e-6), 1e-9);
    close_to(cbm_item(cbm_clip_grad_norm(opt, 100)), 5 / (5 + 1e-6), 1e-9); /* below: as it is */
    cbm_step(opt);
    close_to(weight_of(b), -4.0 / (5 + 1e-6), 1e-9);
    close_to(cbm_item(cbm_clip_grad_norm(opt, 1)), 0, 0); /* no gradients */
    cbm_scope_end(scope);
    good(cx);
    cbm_clip_grad_norm(opt, -1);
    refused(cx, CBM_ERROR_INVALID, "max_norm");
    cbm_clip_grad_norm_of(opt, 1, 0);
    refused(cx, CBM_ERROR_INVALID, "norm_type");
    cbm_clip_grad_value(opt, NAN);
    refused(cx, CBM_ERROR_INVALID, "clip_value is nan");
    assert_true(cbm_tensor_failed(cbm_clip_grad_norm(NULL, 1)));
    assert_int_equal(cbm_clip_grad_value(NULL, 1), CBM_ERROR_STATE);
    cbm_close(cx);
}

/* Steps of an optimizer whose state went through the functions that checkpoints use equal those of the first one. */
static void test_state(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *a = one_weight(cx, 1), *b = one_weight(cx, 1);
    cbm_optimizer *first = cbm_adam(a, .lr = 0.1), *second = cbm_adam(b, .lr = 0.1);
    for (int i = 0; i < 3; i++)
        step(a, first, i + 1.0);
    assert_int_equal(cbm_optimizer_state_count(first), 3);
    cbm_named from, to;
    assert_true(cbm_optimizer_state_at(first, 1, &from));
    assert_string_equal(from.name, "weight.exp_avg_sq");
    for (size_t i = 0; cbm_optimizer_state_at(first, i, &from) && cbm_optimizer_state_at(second, i, &to); i++) {
        assert_string_equal(from.name, to.name);
        double number;
        assert_int_equal(cbm_read(from.tensor, &number, sizeof number), CBM_OK); /* i64 or f64: eight bytes */
        assert_int_equal(cbm_write(to.tensor, &number, sizeof number), CBM_OK);
    }
    cbm_set_step_count(second, cbm_step_count(first));
    double w = weight_of(a);
    cbm_write(cbm_parameter(b, "weight"), &w, sizeof w);
    for (int i = 0; i < 3; i++) {
        step(a, first, 2);
        step(b, second, 2);
    }
    assert_true(weight_of(a) == weight_of(b));
    assert_int_equal(cbm_step_count(second), 6);
    good(cx);
    cbm_close(cx);
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_nn_linear(cx, 4, 3);
    cbm_optimizer *opt = cbm_adam(net, .lr = 0.1);
    float before[12], after[12];
    cbm_read(cbm_parameter(net, "weight"), before, sizeof before);
    int64_t labels[2] = { 1, 7 };
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_tensor *x = cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 4));
    cbm_backward(cbm_cross_entropy(cbm_call(net, x), cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2), labels)));
    assert_int_equal(cbm_step(opt), CBM_ERROR_RANGE);
    cbm_scope_end(scope);
    assert_int_equal(cbm_step_count(opt), 0);
    cbm_clear(cx);
    cbm_named named;
    assert_true(cbm_optimizer_state_at(opt, 0, &named));
    cbm_read(named.tensor, after, sizeof after);
    assert_true(after[0] == 0 && after[11] == 0);
    cbm_read(cbm_parameter(net, "weight"), after, sizeof after);
    assert_memory_equal(before, after, sizeof before);
    good(cx);
    cbm_close(cx);
}

static void test_errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *m = one_weight(cx, 1);
    cbm_sgd(m, .lr = -1);
    refused(cx, CBM_ERROR_INVALID, "lr is -1");
    cbm_sgd(m, .lr = NAN);
    refused(cx, CBM_ERROR_INVALID, "lr is nan");
    cbm_sgd(m, .nesterov = true);
    refused(cx, CBM_ERROR_INVALID, "nesterov");
    cbm_adam(m, .beta2 = 1);
    refused(cx, CBM_ERROR_INVALID, "beta2");
    cbm_adamw(m, .eps = -1);
    refused(cx, CBM_ERROR_INVALID, "[adamw] eps");
    cbm_sgd(cbm_nn_relu(cx), .lr = 1);
    refused(cx, CBM_ERROR_INVALID, "no parameters");
    cbm_sgd_options options = { .struct_size = 8 };
    cbm_optimizer *failed = cbm_sgd_with(m, &options);
    refused(cx, CBM_ERROR_INVALID, "cbm_sgd_options_init");
    assert_int_equal(cbm_step(failed), CBM_ERROR_STATE);
    refused(cx, CBM_ERROR_STATE, "failed one");
    assert_int_equal(cbm_step(NULL), CBM_ERROR_STATE);
    cbm_optimizer *opt = cbm_sgd(m);
    close_to(cbm_learning_rate(opt), 1e-3, 0);
    cbm_set_learning_rate(opt, INFINITY);
    refused(cx, CBM_ERROR_INVALID, "lr is inf");
    cbm_zero_grad(NULL);
    cbm_schedule_next(NULL);
    cbm_optimizer_release(NULL);
    cbm_sgd(NULL);
    good(cx);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_plan),       cmocka_unit_test(test_accumulation), cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_clipping),       cmocka_unit_test(test_norm_types),   cmocka_unit_test(test_state),
        cmocka_unit_test(test_all_or_nothing), cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
