/* test_sums.c: passes add up what they make: losses, gradients of what was broadcast, sums of channels in plain and in blocked
   layouts. There is no step for such a sum, nothing is stored for it alone, and it is the reference's but for rounding. */
#define CBM_NO_CALL_SITES
#include "support/cases.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>
#include <cambium/plan.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 4 << 16 };

/* Steps of the last plan whose text says that they do a sum; those that do nothing else in *alone. */
static int steps_with_sums(cbm_context *cx, int *alone)
{
    int count = 0;
    cbm_step_info s = { .struct_size = sizeof s };
    *alone = 0;
    for (size_t i = 0; cbm_plan_step_at(cx, 0, i, &s); i++) {
        count += strstr(s.does, "sum") || strstr(s.does, "mean");
        *alone += strcmp(s.does, "sum") == 0 || strcmp(s.does, "mean") == 0;
    }
    return count;
}

typedef cbm_tensor *(*subject)(cbm_context *cx, cbm_tensor *x, cbm_tensor *w);

static cbm_tensor *loss(cbm_context *cx, cbm_tensor *x, cbm_tensor *w)
{
    (void)cx;
    (void)w;
    return cbm_mean(cbm_square(cbm_sub_scalar(x, 0.5)));
}
/* Over all but the last axis, as a bias's gradient is. */
static cbm_tensor *columns(cbm_context *cx, cbm_tensor *x, cbm_tensor *w)
{
    (void)cx;
    (void)w;
    return cbm_sum(cbm_mul(x, x), .axes = CBM_SHAPE(0, 1, 2));
}
static cbm_tensor *channels(cbm_context *cx, cbm_tensor *x, cbm_tensor *w)
{
    (void)cx;
    (void)w;
    return cbm_mean(cbm_exp(x), .axes = CBM_SHAPE(0, 2, 3), .keepdim = true);
}
/* Between two convolutions the pass is in their layout. */
static cbm_tensor *between_convolutions(cbm_context *cx, cbm_tensor *x, cbm_tensor *w)
{
    cbm_tensor *one = cbm_conv2d(x, w, NULL, .padding = CBM_SHAPE(1)), *two = cbm_mul(one, cbm_tanh(one));
    cbm_tensor *three = cbm_conv2d(two, w, NULL, .padding = CBM_SHAPE(1));
    cbm_tensor *sums = cbm_sum(two, .axes = CBM_SHAPE(0, 2, 3));
    (void)cx;
    return cbm_add(sums, cbm_mean(three));
}

static const struct {
    subject make;
    int sums, alone; /* steps */
} subjects[] = { { loss, 1, 0 }, { columns, 1, 0 }, { channels, 1, 0 }, { between_convolutions, 2, 1 } };

static size_t values(const char *device, size_t number, int64_t threads, float *out, int *with, int *alone)
{
    cbm_context *cx = cbm_open_with(.device = device, .threads = threads, .seed = 4);
    cbm_profile(cx, true);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(5, 32, 12, 16), 0, 1), false);
    cbm_tensor *w = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(32, 32, 3, 3), 0, 0.06), false);
    cbm_tensor *y = subjects[number].make(cx, x, w);
    const size_t count = (size_t)cbm_tensor_count(y);
    assert_int_equal(cbm_read(y, out, count * sizeof *out), CBM_OK);
    *with = steps_with_sums(cx, alone);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
    return count;
}

static void sums_are_parts_of_passes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        static float got[MOST], want[MOST], again[MOST];
        int with, alone;
        const size_t count = values("reference", i, 1, want, &with, &alone);
        assert_int_equal(values("cpu", i, 1, got, &with, &alone), count);
        assert_int_equal(with, subjects[i].sums);
        assert_int_equal(alone, subjects[i].alone);
        for (size_t k = 0; k < count; k++)
            assert_true(fabsf(got[k] - want[k]) <= 2e-5f * (1 + fabsf(want[k])));
        assert_int_equal(values("cpu", i, 3, again, &with, &alone), count);
        assert_memory_equal(again, got, count * sizeof *got);
    }
}

/* A network's biases: their gradients come out of the pass that makes the gradient before them. */
static void gradients_of_biases(void **state)
{
    (void)state;
    float grads[2][96];
    for (int i = 0; i < 2; i++) {
        cbm_context *cx = cbm_open_with(.device = i ? "cpu" : "reference", .seed = 6);
        cbm_profile(cx, true);
        cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(40, 24), 0, 1);
        cbm_tensor *w = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(24, 96), 0, 0.2), true);
        cbm_tensor *bias = cbm_variable(cbm_zeros(cx, CBM_F32, CBM_SHAPE(96)), true);
        cbm_tensor *y = cbm_relu(cbm_add(cbm_matmul(x, w), bias)), *g;
        assert_int_equal(
            cbm_grad(cbm_sum(cbm_mul(y, cbm_matmul(y, cbm_ones(cx, CBM_F32, CBM_SHAPE(96, 96))))), &bias, 1, &g),
            CBM_OK);
        assert_int_equal(cbm_read(g, grads[i], sizeof grads[i]), CBM_OK);
        int alone;
        assert_true(steps_with_sums(cx, &alone) >= i);
        assert_int_equal(alone * i, 0);
        assert_string_equal(cbm_message(cx), "");
        cbm_close(cx);
    }
    for (int k = 0; k < 96; k++)
        assert_true(fabsf(grads[0][k] - grads[1][k]) <= 1e-4f * (1 + fabsf(grads[0][k])));
}

/* A value that nobody else reads takes no memory: the arena is smaller than it. */
static void nothing_is_stored(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "cpu");
    cbm_profile(cx, true);
    cbm_tensor *x = cbm_variable(cbm_full(cx, CBM_F32, CBM_SHAPE(512, 1024), 0.5), false);
    assert_true(fabs(cbm_item(cbm_mean(cbm_square(x))) - 0.25) < 1e-6);
    cbm_plan_info p = { .struct_size = sizeof p };
    assert_true(cbm_plan_at(cx, 0, &p));
    assert_int_equal(p.steps, 1);
    assert_true(p.arena_bytes < 4 * 1024);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_parts_of_passes),
        cmocka_unit_test(gradients_of_biases),
        cmocka_unit_test(nothing_is_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
