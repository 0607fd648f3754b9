/* test_views.c: parts, windows and diagonals are views: the plans that read them have no steps for them, views with several
   results too, and what is kept of them gets memory of its own. */
#define CBM_NO_CALL_SITES
#include "support/cases.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>
#include <cambium/plan.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 12, COLUMNS = 8 };

static cbm_tensor *ramp(cbm_context *cx)
{
    float data[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        data[i] = (float)i;
    return cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(ROWS, COLUMNS), data);
}

/* How many steps of the last plan have this name; any name: NULL. */
static int steps_named(cbm_context *cx, const char *name)
{
    int count = 0;
    cbm_step_info s = { .struct_size = sizeof s };
    for (size_t i = 0; cbm_plan_step_at(cx, 0, i, &s); i++)
        count += !name || strcmp(s.name, name) == 0;
    return count;
}

static cbm_tensor *total(cbm_tensor *x)
{
    return cbm_sum_with(x, NULL);
}

static void parts_make_no_steps(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    cbm_profile(cx, true);
    cbm_tensor *x = ramp(cx), *parts[ROWS];
    assert_int_equal(cbm_chunk(x, 1, 2, parts), 2);
    assert_true(cbm_item(total(cbm_sub(parts[1], parts[0]))) == 4.0 * ROWS * COLUMNS / 2);
    assert_int_equal(steps_named(cx, NULL), 1); /* a pass that adds up what it makes */
    assert_int_equal(cbm_unbind(x, 0, parts, ROWS), ROWS);
    for (int i = 1; i < ROWS; i++)
        parts[0] = cbm_add(parts[0], parts[i]);
    assert_true(cbm_item(total(parts[0])) == ROWS * COLUMNS * (ROWS * COLUMNS - 1) / 2.0);
    assert_int_equal(steps_named(cx, NULL), 1); /* one pass that reads all of them */
    cbm_close(cx);
}

static void windows_and_diagonals_make_no_steps(void **state)
{
    (void)state;
    cbm_context *cx = open_device("cpu");
    cbm_profile(cx, true);
    cbm_tensor *x = ramp(cx), *w = cbm_windows(x, 0, 3, 2);
    assert_true(cbm_item(total(cbm_mul(w, w))) > 0);
    assert_int_equal(steps_named(cx, NULL), 1);
    cbm_tensor *d = cbm_diagonal(x, 1, 0, 1);
    assert_true(cbm_item(total(cbm_mul_scalar(d, 2))) == 2 * (1 + 10 + 19 + 28 + 37 + 46 + 55));
    assert_int_equal(steps_named(cx, NULL), 2); /* seven elements are added up by a kernel */
    cbm_close(cx);
}

/* Ten parts in a tree of three nodes: as many concatenations, and no sums. */
static void gradients_of_parts_are_joined(void **state)
{
    (void)state;
    float grad[ROWS * COLUMNS];
    cbm_context *cx = open_device("cpu");
    cbm_profile(cx, true);
    cbm_tensor *x = cbm_variable(ramp(cx), true), *parts[ROWS], *loss = NULL, *g;
    assert_int_equal(cbm_unbind(x, 0, parts, ROWS), ROWS);
    for (int i = 0; i < ROWS; i++) {
        cbm_tensor *term = total(cbm_mul_scalar(parts[i], i));
        loss = loss ? cbm_add(loss, term) : term;
    }
    assert_int_equal(cbm_grad_of(loss, &x, 1, &g), CBM_OK);
    assert_int_equal(cbm_read(g, grad, sizeof grad), CBM_OK);
    for (int i = 0; i < ROWS * COLUMNS; i++)
        assert_true(grad[i] == (float)(i / COLUMNS));
    assert_int_equal(steps_named(cx, "concat"), 4);
    assert_int_equal(steps_named(cx, "slice_scatter"), 0);
    cbm_close(cx);
}

static void kept_parts_have_memory(void **state)
{
    (void)state;
    float half[ROWS * COLUMNS / 2];
    cbm_context *cx = open_device("cpu");
    cbm_tensor *parts[2], *y = cbm_mul_scalar(ramp(cx), 1);
    assert_int_equal(cbm_chunk(y, 1, 2, parts), 2);
    assert_int_equal(cbm_compute(parts, 2), CBM_OK);
    for (int p = 0; p < 2; p++) {
        assert_int_equal(cbm_read(parts[p], half, sizeof half), CBM_OK);
        for (int i = 0; i < ROWS * COLUMNS / 2; i++)
            assert_true(half[i] == (float)(i / 4 * COLUMNS + p * 4 + i % 4));
    }
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_make_no_steps),
        cmocka_unit_test(windows_and_diagonals_make_no_steps),
        cmocka_unit_test(gradients_of_parts_are_joined),
        cmocka_unit_test(kept_parts_have_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
