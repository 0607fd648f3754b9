/* test_report.c: what cbm_plan_at, cbm_plan_step_at and cbm_plan_operand_at say of small plans whose parts are known, that
   looking changes no bit, and that a description that finds no memory fails like any other evaluation. */
#include "robust/step.h"
#include "tensor/context.h"
#include <cambium/plan.h>
#include <math.h>

static cbm_tensor *ramp(cbm_context *cx, int64_t rows, int64_t columns)
{
    float data[64 * 64];
    for (int64_t i = 0; i < rows * columns; i++)
        data[i] = 0.01F * (float)(i % 97) - 0.3F;
    return cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(rows, columns), data);
}

static cbm_step_info step_at(cbm_context *cx, size_t i)
{
    cbm_step_info s = { .struct_size = sizeof s };
    if (!cbm_plan_step_at(cx, 0, i, &s))
        fail_msg("there is no step %zu", i);
    return s;
}

static cbm_operand_info operand_at(cbm_context *cx, size_t step, size_t k)
{
    cbm_operand_info o = { .struct_size = sizeof o };
    if (!cbm_plan_operand_at(cx, 0, step, k, &o))
        fail_msg("there is no operand %zu of step %zu", k, step);
    return o;
}

/* matmul; add, abs and their sum in one pass. */
static void test_steps_and_operands(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_plan_info p = { .struct_size = sizeof p };
    assert_false(cbm_plan_at(cx, 0, &p));
    cbm_tensor *x = ramp(cx, 8, 16), *w = cbm_variable(ramp(cx, 16, 4), false), *b = ramp(cx, 1, 4);
    assert_true(isfinite(cbm_item(cbm_sum(cbm_abs(cbm_add(cbm_matmul(x, w), b))))));
    assert_false(cbm_plan_at(cx, 0, &p)); /* not described */
    cbm_profile(cx, true);
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(scope, cx);
        (void)cbm_item(cbm_sum(cbm_abs(cbm_add(cbm_matmul(x, w), b))));
    }
    int line = __LINE__ - 2;
    assert_true(cbm_plan_at(cx, 0, &p));
    assert_int_equal(p.operations, 4);
    assert_int_equal(p.steps, 2);
    assert_int_equal(p.runs, 3);
    assert_int_equal(p.operand_bytes, (8 * 16 + 16 * 4 + 4) * 4);
    assert_int_equal(p.result_bytes, 4);
    assert_true(p.temporary_bytes >= 8 * 4 * 4 && p.arena_bytes >= 8 * 4 * 4);
    assert_false(p.huge_pages);
    assert_true(p.seconds > 0);
    cbm_step_info s = step_at(cx, 0);
    assert_string_equal(s.name, "matmul");
    assert_string_equal(s.unfused, "");
    assert_true(s.flops == 2.0 * 8 * 16 * 4);
    assert_true(s.bytes == 4.0 * (8 * 16 + 16 * 4 + 8 * 4));
    assert_int_equal(s.inputs, 2);
    assert_int_equal(s.line, line);
    assert_non_null(strstr(s.kernel, "cpu"));
    assert_true(s.seconds >= s.least_seconds && s.last_begin >= 0 && s.last_seconds >= s.least_seconds);
    cbm_operand_info o = operand_at(cx, 0, 1);
    assert_string_equal(o.name, "variable");
    assert_string_equal(o.place, "variable");
    assert_ptr_equal(o.variable, w);
    assert_string_equal(o.layout, "plain");
    assert_int_equal(o.source, -1);
    assert_string_equal(operand_at(cx, 0, 2).why, "read by step 1");
    s = step_at(cx, 1);
    assert_string_equal(s.name, "pass");
    assert_string_equal(s.does, "add abs sum");
    assert_int_equal(s.operations, 3);
    assert_true(s.flops == 3.0 * 8 * 4);
    assert_non_null(strstr(s.unfused, "with [matmul] before [add]"));
    assert_int_equal(operand_at(cx, 1, 0).source, 0);
    assert_string_equal(operand_at(cx, 1, 0).name, "matmul");
    o = operand_at(cx, 1, 1);
    assert_string_equal(o.name, "data");
    assert_int_equal(o.bytes, 16);
    assert_int_equal(o.shape.v[1], 1);
    o = operand_at(cx, 1, 2);
    assert_string_equal(o.name, "sum");
    assert_int_equal(o.bytes, 4);
    assert_string_equal(o.place, "result");
    assert_non_null(strstr(o.why, "one element"));
    assert_false(cbm_plan_step_at(cx, 0, 2, &s));
    assert_false(cbm_plan_operand_at(cx, 0, 1, 3, &o));
    cbm_profile(cx, false);
    (void)cbm_item(cbm_sum(cbm_abs(cbm_add(cbm_matmul(x, w), b))));
    assert_true(cbm_plan_at(cx, 0, &p));
    assert_int_equal(p.runs, 4); /* and no time taken */
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

/* In a chain of products the two in the middle of it are alive; of the larger ones the first is the largest. */
static void test_peak(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_profile(cx, true);
    cbm_tensor *x = ramp(cx, 4, 8);
    cbm_tensor *wide = cbm_matmul(cbm_matmul(x, ramp(cx, 8, 16)), ramp(cx, 16, 32));
    (void)cbm_item(cbm_sum(cbm_matmul(wide, ramp(cx, 32, 4))));
    cbm_plan_info p = { .struct_size = sizeof p };
    cbm_live_info live = { .struct_size = sizeof live };
    assert_true(cbm_plan_at(cx, 0, &p));
    assert_int_equal(p.peak_step, 1);
    assert_true(p.live_bytes >= 4 * (4 * 16 + 4 * 32) && p.live_bytes <= p.arena_bytes);
    uint64_t sum = 0, before = UINT64_MAX;
    bool found = false;
    for (size_t i = 0; cbm_plan_live_at(cx, 0, i, &live); i++) {
        sum += live.bytes;
        assert_true(live.bytes <= before && live.first <= 1 && live.last >= 1);
        before = live.bytes;
        found = found || (strcmp(live.name, "matmul") == 0 && live.bytes == 4 * 4 * 32 && live.first == 1 &&
                          live.last == 2 && live.shape.v[2] == 32 && strcmp(live.layout, "plain") == 0);
    }
    assert_true(found);
    assert_int_equal(sum, p.live_bytes);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static const char *unfused_of(cbm_context *cx, const char *does)
{
    cbm_step_info s = { .struct_size = sizeof s };
    for (size_t i = 0; cbm_plan_step_at(cx, 0, i, &s); i++)
        if (strcmp(s.does, does) == 0)
            return s.unfused;
    fail_msg("no step does \"%s\"", does);
    return "";
}

static void test_reasons(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_profile(cx, true);
    cbm_tensor *x = ramp(cx, 8, 8), *row = ramp(cx, 1, 8);
    (void)cbm_tensor_data(cbm_add(x, cbm_tanh(row)));
    assert_string_equal(unfused_of(cx, "add"), "with [tanh] before [add]: shapes differ, (1, 8) and (8, 8)");
    cbm_tensor *e = cbm_exp(x);
    (void)cbm_tensor_data(cbm_mul(e, cbm_matmul(e, x)));
    assert_non_null(
        strstr(unfused_of(cx, "mul"), "with [exp] before [mul]: a way from one to the other leads through [matmul]"));
    (void)cbm_tensor_data(cbm_neg(cbm_transpose(cbm_tanh(x), 0, 1)));
    assert_string_equal(unfused_of(cx, "neg"),
                        "with [tanh] before [neg]: [permute] between them changes which element goes with which");
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
    cx = cbm_open_with(.threads = 1, .naive = 1);
    cbm_profile(cx, true);
    (void)cbm_tensor_data(cbm_neg(cbm_tanh(ramp(cx, 3, 3))));
    assert_string_equal(unfused_of(cx, "neg"), "with [tanh] before [neg]: this context does not fuse");
    cbm_close(cx);
}

/* Copies say why they are there; assignments say that they happen in place, last. */
static void test_copies_and_assignments(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_profile(cx, true);
    (void)cbm_tensor_data(cbm_transpose(ramp(cx, 4, 8), 0, 1));
    cbm_step_info s = step_at(cx, 0);
    assert_string_equal(s.name, "copy");
    assert_int_equal(s.operations, 0);
    assert_non_null(strstr(s.why, "memory of its own"));
    assert_string_equal(operand_at(cx, 0, 0).layout, "strided");
    cbm_tensor *v = cbm_variable(ramp(cx, 4, 8), false);
    for (int i = 0; i < 2; i++) { /* the first version is the data's own memory */
        cbm_assign(v, cbm_mul_scalar(v, 0.5));
        cbm_flush(cx);
    }
    s = step_at(cx, 0);
    assert_true(s.commit);
    cbm_operand_info o = operand_at(cx, 0, s.inputs);
    assert_string_equal(o.place, "variable");
    assert_ptr_equal(o.variable, v);
    assert_non_null(strstr(o.why, "in place"));
    cbm_plan_info p = { .struct_size = sizeof p };
    assert_true(cbm_plan_at(cx, 0, &p));
    assert_int_equal(p.result_bytes, 0);
    cbm_close(cx);
}

/* A caller's shorter record is filled as far as it goes. */
static void test_older_callers(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_profile(cx, true);
    (void)cbm_tensor_data(cbm_neg(ramp(cx, 2, 2)));
    cbm_plan_info p = { .struct_size = offsetof(cbm_plan_info, results), .results = 77, .seconds = 5 };
    assert_true(cbm_plan_at(cx, 0, &p));
    assert_int_equal(p.steps, 1);
    assert_int_equal(p.results, 77);
    assert_true(p.seconds == 5);
    p.struct_size = 0;
    assert_false(cbm_plan_at(cx, 0, &p));
    cbm_close(cx);
}

static step_state after_five_steps(bool profiled)
{
    cbm_context *cx = cbm_open_with(.threads = 1, .seed = 3);
    cbm_profile(cx, profiled);
    step_model m = step_model_new(cx);
    for (int i = 0; i < 5; i++)
        step_run(&m, i, 0);
    step_state s = step_state_of(&m);
    cbm_close(cx);
    return s;
}

static void test_looking_changes_nothing(void **state)
{
    (void)state;
    step_state plain = after_five_steps(false), looked_at = after_five_steps(true);
    step_same(&plain, &looked_at);
}

static void test_no_memory(void **state)
{
    (void)state;
    bool done = false;
    for (int64_t n = 1; n < 2000 && !done; n++) {
        cbm_context *cx = cbm_open_with(.threads = 1);
        cbm_profile(cx, true);
        cbm_tensor *x = ramp(cx, 4, 4);
        cbm_tensor *y = cbm_sum(cbm_add(cbm_matmul(x, x), cbm_tanh(x)));
        cbm_heap_fail_after(cbm_context_heap(cx), n);
        double value = cbm_item(y);
        cbm_heap_fail_after(cbm_context_heap(cx), 0);
        done = cbm_context_status(cx) == CBM_OK;
        if (!done)
            assert_int_equal(cbm_context_status(cx), CBM_ERROR_MEMORY);
        else
            assert_true(isfinite(value));
        cbm_close(cx);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps_and_operands),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_copies_and_assignments),
        cmocka_unit_test(test_older_callers),
        cmocka_unit_test(test_peak),
        cmocka_unit_test(test_looking_changes_nothing),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
