/* test_schedules.c: what schedules promise besides PyTorch's rates (tests/trajectory): warm-ups, bases, parts of a whole, the
   ends of formulas, functions of the user's, and what is refused. */
#include <cambium/cambium.h>
#include <math.h>
#include "support/status.h"

static void close_to(double got, double want)
{
    if (!(fabs(got - want) <= 1e-14))
        fail_msg("%.17g is not %.17g", got, want);
}

static cbm_optimizer *optimizer(cbm_context *cx, double lr)
{
    return cbm_sgd(cbm_nn_linear(cx, 1, 1), .lr = lr);
}

static void test_moving(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_optimizer *opt = optimizer(cx, 1);
    cbm_schedule *s = cbm_schedule_step(opt, .step_size = 3, .gamma = 0.5);
    for (int t = 0; t < 10; t++) {
        close_to(cbm_learning_rate(opt), pow(0.5, t / 3));
        cbm_schedule_next(s);
    }
    assert_int_equal(cbm_schedule_position(s), 10);
    cbm_schedule_set_position(s, 4);
    close_to(cbm_learning_rate(opt), 0.5);
    cbm_schedule_set_position(s, -3);
    assert_int_equal(cbm_schedule_position(s), 0);
    cbm_set_learning_rate(opt, 8); /* another base */
    cbm_schedule_set_position(s, 4);
    close_to(cbm_learning_rate(opt), 4);
    cbm_schedule_release(s);
    close_to(cbm_learning_rate(opt), 4);
    cbm_schedule_exponential(opt, .gamma = 0.5); /* begins at the base again */
    close_to(cbm_learning_rate(opt), 8);
    good(cx);
    cbm_close(cx);
}

static void test_warmups(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_optimizer *opt = optimizer(cx, 2);
    cbm_schedule *s = cbm_schedule_cosine(opt, .steps = 14, .warmup = 4, .minimum = 0.2);
    for (int t = 0; t < 20; t++) {
        double want = t < 4 ? 2.0 * (t + 1) / 5 : t >= 14 ? 0.2 : 0.2 + 1.8 * (1 + cos(acos(-1) * (t - 4) / 10)) / 2;
        close_to(cbm_learning_rate(opt), want);
        cbm_schedule_next(s);
    }
    cbm_schedule_release(s);
    s = cbm_schedule_warmup(opt, .steps = 3);
    for (int t = 0; t < 6; t++, cbm_schedule_next(s))
        close_to(cbm_learning_rate(opt), t < 3 ? 2.0 * (t + 1) / 4 : 2);
    cbm_schedule_release(s);
    s = cbm_schedule_warmup(opt, .steps = 3, .then = cbm_schedule_exponential(opt, .gamma = 0.5));
    for (int t = 0; t < 6; t++, cbm_schedule_next(s))
        close_to(cbm_learning_rate(opt), t < 3 ? 2.0 * (t + 1) / 4 : 2 * pow(0.5, t - 3));
    cbm_schedule_release(s);
    good(cx);
    cbm_close(cx);
}

static void test_ends(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_optimizer *opt = cbm_adam(cbm_nn_linear(cx, 1, 1), .lr = 1);
    cbm_schedule *s = cbm_schedule_one_cycle(opt, .max_lr = 0.5, .total_steps = 20);
    close_to(cbm_optimizer_option(opt, 0, "beta1"), 0.95);
    for (int64_t t = 19; t < 25; t++) { /* stays at its end */
        cbm_schedule_set_position(s, t);
        close_to(cbm_learning_rate(opt), 0.5 / 25 / 1e4);
        close_to(cbm_optimizer_option(opt, 0, "beta1"), 0.95);
    }
    cbm_schedule_one_cycle(opt, .max_lr = 0.5, .total_steps = 1);
    assert_true(isfinite(cbm_learning_rate(opt)));
    s = cbm_schedule_cosine_restarts(opt, .t_0 = 3, .t_mult = 5);
    cbm_schedule_set_position(s, INT64_MAX);
    assert_true(cbm_learning_rate(opt) >= 0 && cbm_learning_rate(opt) <= 1);
    cbm_schedule_next(s);
    assert_true(cbm_schedule_position(s) == INT64_MAX);
    /* an optimizer without momentum so far gets one, with the state that it needs */
    cbm_module *net = cbm_nn_linear(cx, 1, 1);
    cbm_optimizer *plain = cbm_sgd(net, .lr = 0.1);
    assert_int_equal(cbm_optimizer_state_count(plain), 1);
    cbm_schedule_cyclic(plain, .base_lr = 0.1, .max_lr = 0.2);
    assert_int_equal(cbm_optimizer_state_count(plain), 3);
    close_to(cbm_optimizer_option(plain, 0, "momentum"), 0.9);
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_backward(cbm_sum(cbm_call(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 1)))));
    assert_int_equal(cbm_step(plain), CBM_OK);
    cbm_scope_end(scope);
    good(cx);
    cbm_close(cx);
}

/* ---- a function of the user's ---- */

static double by_table(int64_t t, int64_t group, void *user)
{
    (void)group;
    const double *table = user;
    return table[t];
}

static void count_end(void *user)
{
    ((double *)user)[3] += 1;
}

static void test_lambda(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_optimizer *opt = optimizer(cx, 2);
    double table[] = { 1, 0.25, -1, 0 };
    cbm_schedule *s = cbm_schedule_lambda(opt, .function = by_table, .user = table, .destroy = count_end);
    cbm_schedule_next(s);
    close_to(cbm_learning_rate(opt), 0.5);
    cbm_schedule_next(s);
    refused(cx, CBM_ERROR_RANGE, "[schedule_lambda] the learning rate of group 0 would be -2 at t = 2");
    close_to(cbm_learning_rate(opt), 0.5);
    assert_int_equal(cbm_schedule_position(s), 1);
    cbm_schedule_release(s);
    assert_true(table[3] == 1);
    cbm_schedule_lambda(opt, .function = by_table, .user = table, .destroy = count_end);
    cbm_close(cx);
    assert_true(table[3] == 2);
}

/* ---- parts ---- */

static void test_parts(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_optimizer *opt = optimizer(cx, 1), *other = optimizer(cx, 1);
    cbm_schedule *parts[] = { cbm_schedule_exponential(opt, .gamma = 0.5), cbm_schedule_constant(opt) };
    cbm_schedule *whole = cbm_schedule_chained(parts, 2);
    close_to(cbm_learning_rate(opt), 1.0 / 3);
    cbm_schedule_next(parts[0]);
    refused(cx, CBM_ERROR_STATE, "[schedule_exponential] it is a part of another schedule");
    cbm_schedule_release(parts[0]); /* nothing happens: the whole still has it */
    cbm_schedule_set_position(whole, 6);
    close_to(cbm_learning_rate(opt), pow(0.5, 6));
    cbm_schedule *again[] = { cbm_schedule_constant(opt), parts[1] };
    assert_int_equal(cbm_schedule_position(cbm_schedule_chained(again, 2)), 0);
    refused(cx, CBM_ERROR_INVALID, "schedule 1 of the list is a part of another one");
    again[1] = again[0];
    cbm_schedule_chained(again, 2);
    refused(cx, CBM_ERROR_INVALID, "schedule 1 of the list is in the list twice");
    again[1] = cbm_schedule_plateau(opt);
    cbm_schedule_chained(again, 2);
    refused(cx, CBM_ERROR_INVALID, "follows a measure");
    again[1] = cbm_schedule_constant(other);
    cbm_schedule_sequential(again, 2, (const int64_t[]){ 3 });
    refused(cx, CBM_ERROR_INVALID, "on another optimizer");
    cbm_schedule_warmup(opt, .then = again[1]);
    refused(cx, CBM_ERROR_INVALID, "schedule 0 of the list is on another optimizer");
    again[1] = NULL;
    cbm_schedule_chained(again, 2);
    refused(cx, CBM_ERROR_INVALID, "is NULL or a failed one");
    again[1] = cbm_schedule_constant(opt);
    cbm_schedule_sequential(again, 2, NULL);
    refused(cx, CBM_ERROR_INVALID, "milestones that rise");
    cbm_schedule *three[] = { again[0], again[1], cbm_schedule_constant(opt) };
    cbm_schedule_sequential(three, 3, (const int64_t[]){ 5, 4 });
    refused(cx, CBM_ERROR_INVALID, "milestones that rise");
    cbm_schedule *inner = cbm_schedule_sequential(three, 3, (const int64_t[]){ 4, 5 });
    cbm_schedule *outer = cbm_schedule_warmup(opt, .then = inner);
    good(cx);
    cbm_schedule_release(outer); /* with inner, and the three */
    cbm_schedule_next(cbm_schedule_chained(NULL, 0));
    cbm_schedule_release(whole);
    good(cx);
    cbm_close(cx);
}

static void test_refused(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_optimizer *opt = optimizer(cx, 1);
#define NOT_MADE(CALL, NAME)                                                                                           \
    do {                                                                                                               \
        cbm_schedule_next(CALL);                                                                                       \
        refused(cx, CBM_ERROR_INVALID, "[schedule_" NAME "] needs");                                                   \
    } while (0)
    NOT_MADE(cbm_schedule_step(opt, .step_size = 0), "step");
    NOT_MADE(cbm_schedule_multi_step(opt, .milestone_count = 2), "multi_step");
    NOT_MADE(cbm_schedule_exponential(opt, .gamma = -1), "exponential");
    NOT_MADE(cbm_schedule_constant(opt, .factor = NAN), "constant");
    NOT_MADE(cbm_schedule_linear(opt, .total_iters = 0), "linear");
    NOT_MADE(cbm_schedule_polynomial(opt, .power = -1), "polynomial");
    NOT_MADE(cbm_schedule_cosine(opt, .steps = 2, .warmup = 2), "cosine");
    NOT_MADE(cbm_schedule_cosine_restarts(opt, .t_mult = 0), "cosine_restarts");
    NOT_MADE(cbm_schedule_cyclic(opt, .max_momentum = 1), "cyclic");
    NOT_MADE(cbm_schedule_cyclic(opt, .mode = 3), "cyclic");
    NOT_MADE(cbm_schedule_one_cycle(opt, .div_factor = 0), "one_cycle");
    NOT_MADE(cbm_schedule_lambda(opt, .function = NULL), "lambda");
    NOT_MADE(cbm_schedule_plateau(opt, .factor = 1), "plateau");
    NOT_MADE(cbm_schedule_warmup(opt, .steps = -1), "warmup");
    NOT_MADE(cbm_schedule_step_with(opt, &(cbm_schedule_step_options){ .struct_size = 8 }), "step");
    cbm_schedule_one_cycle(cbm_adadelta(cbm_nn_linear(cx, 1, 1)), .total_steps = 5);
    refused(cx, CBM_ERROR_INVALID, "adadelta has neither momentum nor beta1. HINT: .cycle_momentum = false");
    cbm_schedule_next(NULL);
    cbm_schedule_observe(NULL, 1);
    cbm_schedule_release(NULL);
    cbm_schedule_next(cbm_schedule_step(NULL, .step_size = 1));
    assert_int_equal(cbm_schedule_position(NULL), 0);
    good(cx);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moving), cmocka_unit_test(test_warmups), cmocka_unit_test(test_ends),
        cmocka_unit_test(test_lambda), cmocka_unit_test(test_parts),   cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
