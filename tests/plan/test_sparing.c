/* test_sparing.c: plans that need less memory: values made again rather than kept, results made where operands lay, steps in
   another order, variables overwritten as soon as nothing can fail any more. The bits stay, the peak is lower, a prediction
   is exact, and a failure in the middle leaves nothing changed. */
#include "tensor/context.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>
#include <cambium/plan.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 4, CHANNELS = 16, SIZE = 12, BLOCKS = 3, CLASSES = 5, WEIGHTS = 6 * BLOCKS + 1, NUMBERS = 1 << 16 };

typedef struct model {
    cbm_context *cx;
    cbm_tensor *weight[WEIGHTS], *momentum[WEIGHTS];
} model;

/* How a context plans: not looking for less memory; looking, without making anything again; at any price. */
typedef enum thrift { CARELESS, CAREFUL, SPARING } thrift;

static cbm_context *context(const char *device, int64_t threads, thrift how)
{
    cbm_context *cx = cbm_open_with(.device = device, .threads = threads, .seed = 5);
    cx->improve_from = how == CARELESS ? SIZE_MAX : 0;
    cx->repeat_share = how == SPARING ? 10 : 0;
    return cx;
}

static model model_new(cbm_context *cx)
{
    model m = { .cx = cx };
    for (int i = 0; i < WEIGHTS; i++) {
        const cbm_shape shape = i == WEIGHTS - 1 ? CBM_SHAPE(CHANNELS, CLASSES)
                                : i % 3          ? CBM_SHAPE(CHANNELS)
                                                 : CBM_SHAPE(CHANNELS, CHANNELS, 3, 3);
        m.weight[i] = cbm_variable(cbm_normal(cx, CBM_F32, shape, i % 3 == 1 && i < WEIGHTS - 1, 0.1), true);
        m.momentum[i] = cbm_variable(cbm_zeros(cx, CBM_F32, shape), false);
    }
    cbm_flush(cx);
    return m;
}

/* relu(bn(conv(relu(bn(conv(x))))) + x), some times over; a mean over each plane and a linear layer. */
static cbm_tensor *predict(const model *m, cbm_tensor *x)
{
    cbm_tensor *const *w = m->weight;
    for (int block = 0; block < BLOCKS; block++) {
        cbm_tensor *y = x;
        for (int i = 0; i < 2; i++, w += 3) {
            y = cbm_conv2d(y, w[0], NULL, .padding = CBM_SHAPE(1));
            y = cbm_batch_norm(y, NULL, NULL, w[1], w[2], true, 0.1, 1e-5);
            y = i == 0 ? cbm_relu(y) : cbm_relu(cbm_add(y, x));
        }
        x = cbm_dropout(y, 0.1);
    }
    return cbm_matmul(cbm_mean(x, .axes = CBM_SHAPE(2, 3)), w[0]);
}

/* label: of the last sample; CLASSES or more makes the step fail. */
static double step(const model *m, int number, int64_t label)
{
    static float x[BATCH * CHANNELS * SIZE * SIZE];
    int64_t y[BATCH];
    CBM_SCOPE(scope, m->cx);
    for (int i = 0; i < BATCH * CHANNELS * SIZE * SIZE; i++)
        x[i] = (float)sin(i * 0.7 + number);
    for (int i = 0; i < BATCH; i++)
        y[i] = i == BATCH - 1 ? label : (i + number) % CLASSES;
    cbm_tensor *input = cbm_tensor_from(m->cx, CBM_F32, CBM_SHAPE(BATCH, CHANNELS, SIZE, SIZE), x);
    cbm_tensor *target = cbm_tensor_from(m->cx, CBM_I64, CBM_SHAPE(BATCH), y);
    cbm_tensor *loss = cbm_cross_entropy(predict(m, input), target);
    cbm_backward(loss);
    for (int i = 0; i < WEIGHTS; i++) {
        cbm_tensor *g = cbm_gradient(m->weight[i]);
        if (!g)
            continue;
        cbm_assign(m->momentum[i], cbm_add(cbm_mul_scalar(m->momentum[i], 0.9), g));
        cbm_assign(m->weight[i], cbm_sub(m->weight[i], cbm_mul_scalar(m->momentum[i], 0.1)));
        cbm_clear_gradient(m->weight[i]);
    }
    cbm_flush(m->cx);
    return cbm_item(loss);
}

/* All that a step may change. */
static size_t state_of(const model *m, float *numbers)
{
    size_t n = 0;
    for (int i = 0; i < WEIGHTS; i++)
        for (int k = 0; k < 2; k++) {
            cbm_tensor *t = k ? m->momentum[i] : m->weight[i];
            const size_t count = (size_t)cbm_tensor_count(t);
            assert_true(n + count <= NUMBERS);
            cbm_read(t, numbers + n, count * sizeof *numbers);
            n += count;
        }
    assert_string_equal(cbm_message(m->cx), "");
    return n;
}

static int repeats(cbm_context *cx)
{
    int count = 0;
    cbm_step_info s = { .struct_size = sizeof s };
    for (size_t i = 0; cbm_plan_step_at(cx, 0, i, &s); i++)
        if (strstr(s.why, "made again")) {
            count++;
            assert_true(s.operations > 0 || strcmp(s.name, "reorder") == 0);
        }
    return count;
}

typedef struct outcome {
    double loss;
    size_t count, arena;
    int repeats;
    bool explained;
} outcome;

static outcome train(const char *device, int64_t threads, thrift how, float *numbers)
{
    outcome o = { .loss = 0 };
    cbm_context *cx = context(device, threads, how);
    cbm_profile(cx, true);
    model m = model_new(cx);
    for (int i = 0; i < 3; i++)
        o.loss = step(&m, i, 1);
    o.repeats = repeats(cx);
    o.arena = cbm_context_statistics(cx).arena_bytes;
    o.explained = strstr(cbm_explain(cx), "made again") != NULL;
    o.count = state_of(&m, numbers);
    cbm_close(cx);
    return o;
}

static float one[NUMBERS], two[NUMBERS], three[NUMBERS];

static void test_same_bits_in_less_memory(void **state)
{
    (void)state;
    for (int64_t threads = 1; threads <= 3; threads++) {
        const outcome careless = train("cpu", threads, CARELESS, one), careful = train("cpu", threads, CAREFUL, two);
        const outcome sparing = train("cpu", threads, SPARING, three);
        assert_int_equal(careless.count, sparing.count);
        assert_memory_equal(one, two, careless.count * sizeof *one);
        assert_memory_equal(one, three, careless.count * sizeof *one);
        assert_true(careless.loss == sparing.loss && careless.loss == careful.loss && isfinite(sparing.loss));
        assert_true(careful.arena <= careless.arena);
        assert_true(sparing.arena < careful.arena && (double)sparing.arena < 0.8 * (double)careless.arena);
        assert_int_equal(careless.repeats + careful.repeats, 0);
        assert_true(sparing.repeats >= 2 * BLOCKS - 1 && sparing.explained && !careful.explained);
    }
}

/* Plain loops: batch norms are not made again there, passes are. */
static void test_reference(void **state)
{
    (void)state;
    const outcome careless = train("reference", 1, CARELESS, one), sparing = train("reference", 1, SPARING, two);
    assert_memory_equal(one, two, careless.count * sizeof *one);
    assert_true(sparing.arena <= careless.arena);
}

/* The time that making again may take is bounded. */
static void test_budget(void **state)
{
    (void)state;
    size_t before = 0;
    int most = 0;
    static const double shares[] = { 0, 0.02, 0.05, 10 };
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        cbm_context *cx = context("cpu", 1, SPARING);
        cx->repeat_share = shares[i];
        cbm_profile(cx, true);
        model m = model_new(cx);
        (void)step(&m, 0, 1);
        (void)step(&m, 1, 1);
        const size_t arena = cbm_context_statistics(cx).arena_bytes;
        assert_true(i == 0 || arena <= before);
        assert_true(i > 0 || repeats(cx) == 0);
        before = arena;
        most = repeats(cx);
        cbm_close(cx);
    }
    assert_true(most > 0);
}

static void test_prediction(void **state)
{
    (void)state;
    cbm_statistics s[2];
    for (int dry = 0; dry < 2; dry++) {
        cbm_context *cx = context("cpu", 1, SPARING);
        cbm_dry_run(cx, dry != 0);
        model m = model_new(cx);
        for (int i = 0; i < 6; i++)
            (void)step(&m, i, 1);
        s[dry] = cbm_context_statistics(cx);
        cbm_close(cx);
    }
    assert_int_equal(s[0].bytes_peak, s[1].bytes_peak);
    assert_int_equal(s[0].arena_bytes, s[1].arena_bytes);
}

/* A label outside of the classes is found before the first variable is overwritten. */
static void test_nothing_half_done(void **state)
{
    (void)state;
    cbm_context *cx = context("cpu", 2, SPARING);
    model m = model_new(cx);
    (void)step(&m, 0, 1);
    (void)step(&m, 1, 1);
    const size_t n = state_of(&m, one);
    for (int i = 0; i < WEIGHTS; i++)
        assert_null(cbm_gradient(m.weight[i]));
    (void)step(&m, 2, CLASSES);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_RANGE);
    cbm_clear(cx);
    state_of(&m, two);
    assert_memory_equal(one, two, n * sizeof *one);
    cbm_close(cx);
}

/* Allocations fail while the plan is searched for, made and run. */
static void test_no_memory(void **state)
{
    (void)state;
    cbm_context *cx = context("cpu", 1, SPARING);
    model m = model_new(cx);
    (void)step(&m, 0, 1);
    (void)step(&m, 1, 1);
    size_t n = state_of(&m, one);
    (void)step(&m, 2, 1);
    state_of(&m, three);
    cbm_close(cx);
    bool done = false;
    int failures = 0;
    for (int64_t fail = 1; !done; fail += 1 + fail / 8) {
        cx = context("cpu", 1, SPARING);
        m = model_new(cx);
        (void)step(&m, 0, 1);
        (void)step(&m, 1, 1);
        cbm_trim(cx);
        cbm_heap_fail_after(cbm_context_heap(cx), fail);
        (void)step(&m, 2, 1);
        cbm_heap_fail_after(cbm_context_heap(cx), 0);
        done = cbm_context_status(cx) == CBM_OK;
        if (!done) {
            failures++;
            assert_int_equal(cbm_context_status(cx), CBM_ERROR_MEMORY);
            cbm_clear(cx);
            state_of(&m, two);
            assert_memory_equal(one, two, n * sizeof *one);
            (void)step(&m, 2, 1);
        }
        state_of(&m, two);
        assert_memory_equal(three, two, n * sizeof *one);
        cbm_close(cx);
    }
    assert_true(failures > 20);
}

/* oneDNN's gemm takes memory of its own when it runs: what processors without AVX-512 get. */
static bool has_product_that_may_fail(const cbm_context *cx)
{
    cbm_step_info step = { .struct_size = sizeof step };
    for (size_t plan = 0; cbm_plan_step_at(cx, plan, 0, &step); plan++)
        for (size_t i = 0; cbm_plan_step_at(cx, plan, i, &step); i++)
            if (step.kernel && strstr(step.kernel, "gemm"))
                return true;
    return false;
}

/* Each gradient goes into its variable before the next is made: the arena never holds them all. Where a product may fail none does
   before the last is made, so that nothing is half done: the arena holds them all. */
static void test_gradients_in_turn(void **state)
{
    (void)state;
    enum { WIDE = 256, LAYERS = 6 };
    cbm_context *cx = context("cpu", 1, CAREFUL);
    cbm_profile(cx, true); /* so that steps can be looked at */
    cbm_tensor *w[LAYERS];
    for (int i = 0; i < LAYERS; i++)
        w[i] = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(WIDE, WIDE), 0, 0.05), true);
    cbm_flush(cx);
    for (int turn = 0; turn < 3; turn++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *x = cbm_full(cx, CBM_F32, CBM_SHAPE(32, WIDE), 0.1);
        for (int i = 0; i < LAYERS; i++)
            x = cbm_tanh(cbm_matmul(x, w[i]));
        cbm_backward(cbm_mean(x));
        for (int i = 0; i < LAYERS; i++) {
            cbm_assign(w[i], cbm_sub(w[i], cbm_mul_scalar(cbm_gradient(w[i]), 0.1)));
            cbm_clear_gradient(w[i]);
        }
        cbm_flush(cx);
    }
    const size_t gradient = WIDE * WIDE * sizeof(float), arena = (size_t)cbm_context_statistics(cx).arena_bytes;
    if (has_product_that_may_fail(cx) ? arena < LAYERS * gradient : arena >= 3 * gradient)
        fail_msg("the arena has %zu bytes, %.2f gradients", arena, (double)arena / (double)gradient);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

/* Passes in a kernel's layout read plain operands where they lie. */
static void test_plain_operands(void **state)
{
    (void)state;
    static float numbers[BATCH * CHANNELS * SIZE * SIZE], got[2][BATCH * CHANNELS * SIZE * SIZE];
    for (int i = 0; i < BATCH * CHANNELS * SIZE * SIZE; i++)
        numbers[i] = (float)cos(i * 0.3);
    for (int naive = 0; naive < 2; naive++) {
        cbm_context *cx = cbm_open_with(.threads = 2, .naive = (uint64_t)naive);
        cbm_profile(cx, true);
        const cbm_shape shape = CBM_SHAPE(BATCH, CHANNELS, SIZE, SIZE);
        cbm_tensor *x = cbm_tensor_from(cx, CBM_F32, shape, numbers), *z = cbm_tensor_from(cx, CBM_F32, shape, numbers);
        cbm_tensor *w = cbm_full(cx, CBM_F32, CBM_SHAPE(CHANNELS, CHANNELS, 3, 3), 0.01);
        cbm_tensor *y = cbm_conv2d(x, w, NULL, .padding = CBM_SHAPE(1));
        y = cbm_conv2d(cbm_sub(cbm_mul(y, z), cbm_tanh(z)), w, NULL, .padding = CBM_SHAPE(1));
        cbm_read(y, got[naive], sizeof got[naive]);
        cbm_step_info s = { .struct_size = sizeof s };
        for (size_t i = 0; cbm_plan_step_at(cx, 0, i, &s); i++)
            assert_true(strcmp(s.name, "reorder") != 0 || strcmp(s.does, "for conv2d") == 0);
        assert_string_equal(cbm_message(cx), "");
        cbm_close(cx);
    }
    for (int i = 0; i < BATCH * CHANNELS * SIZE * SIZE; i++)
        assert_true(fabsf(got[0][i] - got[1][i]) < 1e-4F);
}

/* With nothing pending, a cleared gradient's memory is free at once. */
static void test_cleared_gradient(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_tensor *v = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(64, 1024)), true);
    cbm_backward(cbm_sum(cbm_mul(v, v)));
    cbm_flush(cx);
    const uint64_t before = cbm_context_statistics(cx).bytes_now;
    cbm_clear_gradient(v);
    assert_true(cbm_context_statistics(cx).bytes_now + 64 * 1024 * sizeof(float) <= before);
    assert_null(cbm_gradient(v));
    /* with something pending it goes with that, or comes back */
    cbm_backward(cbm_sum(v));
    cbm_flush(cx);
    const int64_t label = 7;
    cbm_tensor *bad = cbm_cross_entropy(cbm_slice(v, 0, 0, 1, 1), cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(1), &label));
    cbm_tensor *far = cbm_cross_entropy(cbm_slice(cbm_slice(v, 0, 0, 1, 1), 1, 0, 3, 1),
                                        cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(1), &label));
    cbm_clear_gradient(v);
    assert_true(isnan(cbm_item(cbm_add(bad, far))));
    cbm_clear(cx);
    assert_non_null(cbm_gradient(v));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_in_less_memory),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_prediction),
        cmocka_unit_test(test_nothing_half_done),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_gradients_in_turn),
        cmocka_unit_test(test_plain_operands),
        cmocka_unit_test(test_cleared_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
