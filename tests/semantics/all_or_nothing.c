/* all_or_nothing.c: value checks run before anything is committed: a failed step changes nothing, whichever operation fails,
   and whatever was assigned before it. */
#include "semantics/semantics.h"

static cbm_status failing_kernel(const cbm_launch *launch)
{
    snprintf(launch->message, 256, "refused");
    return CBM_ERROR_CALLBACK;
}

static const cbm_op failing_op = { .struct_size = sizeof(cbm_op),
                                   .name = "failing",
                                   .n_in = 1,
                                   .n_out = 1,
                                   .infer = spy_infer,
                                   .kernel = failing_kernel };

static void nothing_is_committed(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *v = cbm_variable(ramp(cx, 3, 3), true), *u = cbm_variable(ramp(cx, 3, 3), true);
    cbm_assign(v, cbm_add_scalar(v, 4));
    cbm_assign(u, cbm_add_scalar(u, 4));
    cbm_flush(cx);
    cbm_backward(cbm_sum(v));
    cbm_flush(cx);
    for (int order = 0; order < 3; order++) {
        cbm_scope *s = cbm_scope_begin(cx);
        uint64_t seed, before, after;
        cbm_random_state(cx, &seed, &before);
        if (order == 0)
            cbm_apply(cx, &failing_op, &v, 1, NULL, NULL);
        cbm_assign(v, cbm_add_scalar(cbm_dropout(v, 0.5), 100));
        if (order == 1)
            cbm_apply(cx, &failing_op, &v, 1, NULL, NULL);
        cbm_backward(cbm_sum(cbm_mul(v, u)));
        cbm_assign(u, v);
        cbm_clear_gradient(v);
        if (order == 2)
            cbm_apply(cx, &failing_op, &v, 1, NULL, NULL);
        assert_int_equal(cbm_flush(cx), CBM_ERROR_CALLBACK);
        cbm_scope_end(s);
        expect_error(cx, CBM_ERROR_CALLBACK, "[failing] refused");
        cbm_random_state(cx, &seed, &after);
        assert_int_equal(before, after);
        assert_true(first(v) == 3 && first(u) == 3);
        assert_null(cbm_gradient(u));
        assert_non_null(cbm_gradient(v));
        assert_true(first(cbm_gradient(v)) == 1);
        cbm_flush(cx);
        assert_true(first(v) == 3);
    }
}

static void indices_out_of_range(cbm_context *cx, bool planned)
{
    (void)planned;
    const int64_t bad[] = { 0, 4 };
    cbm_tensor *v = cbm_variable(cbm_mul_scalar(ramp(cx, 2, 3), 1), false);
    cbm_flush(cx);
    for (int k = 0; k < 3; k++) {
        CBM_SCOPE(s, cx);
        cbm_assign(v, cbm_mul_scalar(v, 2));
        cbm_tensor *index = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2), bad);
        if (k == 0)
            cbm_cross_entropy(v, index);
        else if (k == 1)
            cbm_one_hot(index, 3, CBM_F32);
        else
            cbm_gather(v, 1, cbm_reshape(index, CBM_SHAPE(2, 1)));
        assert_int_equal(cbm_flush(cx), CBM_ERROR_RANGE);
        expect_error(cx, CBM_ERROR_RANGE, "4");
        assert_true(first(v) == -1);
    }
}

static void reading_after_failure(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *good = cbm_add_scalar(ramp(cx, 2, 2), 3), *t = ramp(cx, 2, 2);
    assert_true(first(good) == 2);
    cbm_tensor *loss = cbm_sum(cbm_apply(cx, &failing_op, &t, 1, NULL, NULL));
    assert_true(isnan(cbm_item(loss)));
    assert_true(isnan(cbm_item(loss)));
    expect_error(cx, CBM_ERROR_CALLBACK, "[failing]");
    assert_true(first(good) == 2); /* computed before */
    assert_true(isnan(cbm_item(loss)));
    expect_error(cx, CBM_ERROR_STATE, "earlier error");
}

/* The first error wins, and what follows is inert. */
static void the_first_error_wins(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *a = ramp(cx, 2, 3), *v = cbm_variable(ramp(cx, 2, 2), true);
    cbm_tensor *bad = cbm_matmul(a, a);
    int line = __LINE__ - 1;
    assert_true(cbm_tensor_failed(bad));
    cbm_tensor *t = cbm_relu(cbm_add(bad, a));
    assert_true(cbm_tensor_failed(t) && cbm_tensor_failed(cbm_add(a, a)));
    cbm_backward(t);
    cbm_assign(v, t);
    assert_true(isnan(cbm_item(t)));
    char part[64];
    snprintf(part, sizeof part, "all_or_nothing.c:%d)", line);
    assert_non_null(strstr(cbm_message(cx), "[matmul]"));
    expect_error(cx, CBM_ERROR_SHAPE, part);
    assert_true(first(v) == -1);
}

RUN_RULES(RULE(nothing_is_committed), RULE(indices_out_of_range), RULE(reading_after_failure),
          RULE(the_first_error_wins))
