/* test_misuse.c: wrong labels, dead handles, NULL, another context's tensors, cancelling, scopes ended twice: each gives one
   clear message and changes nothing; after cbm_clear the training goes on. */
#include "robust/step.h"

#include <pthread.h>

static const char *const devices[] = { "reference", "cpu" };

static void test_label_out_of_range(void **state)
{
    (void)state;
    static const int64_t labels[] = { STEP_CLASSES, -1, INT64_MAX, INT64_MIN };
    for (size_t d = 0; d < 2; d++)
        for (size_t k = 0; k < sizeof labels / sizeof *labels; k++)
            for (int good = 0; good < 4; good++) {
                int errors = 0;
                cbm_context *cx =
                    cbm_open_with(.device = devices[d], .log = step_count_error, .log_user = &errors, .seed = 2);
                step_model m = step_model_new(cx);
                for (int i = 0; i < good; i++)
                    step_run(&m, i, 1);
                step_state before = step_state_of(&m);
                assert_true(isnan(step_run(&m, good, labels[k])));
                assert_int_equal(cbm_context_status(cx), CBM_ERROR_RANGE);
                assert_int_equal(errors, 1);
                char number[32];
                snprintf(number, sizeof number, "%lld", (long long)labels[k]);
                if (!strstr(cbm_message(cx), number) || !strstr(cbm_message(cx), "step.h:"))
                    fail_msg("%s", cbm_message(cx));
                /* Inert until cleared. */
                assert_true(cbm_tensor_failed(cbm_ones(cx, CBM_F32, CBM_SHAPE(2))));
                assert_true(isnan(step_run(&m, good, 0)));
                assert_int_equal(errors, 1);
                cbm_clear(cx);
                step_state after = step_state_of(&m);
                step_same(&after, &before);
                assert_true(isfinite(step_run(&m, good, 0)));
                assert_int_equal(cbm_context_status(cx), CBM_OK);
                cbm_close(cx);
            }
}

/* The error comes while recording, after some assignments: they must not happen later. */
static void test_half_a_step(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    step_model m = step_model_new(cx);
    step_run(&m, 0, 0);
    step_state before = step_state_of(&m);
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_assign(m.parameter[1], cbm_mul_scalar(m.parameter[1], 2));
    cbm_set_gradient(m.parameter[4], cbm_mul_scalar(m.parameter[4], 1));
    cbm_dropout(m.parameter[0], 0.5);
    cbm_assign(m.parameter[0], m.parameter[1]);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_SHAPE);
    cbm_scope_end(s);
    cbm_clear(cx);
    cbm_flush(cx);
    step_state after = step_state_of(&m);
    step_same(&after, &before);
    cbm_close(cx);
}

/* A network that has not been computed yet survives the first, failing step: it begins with the same numbers. */
static void test_first_step_fails(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 4), *other = cbm_open_with(.seed = 4);
    step_model m = step_model_new(cx), n = step_model_new(other);
    step_run(&m, 0, STEP_CLASSES);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_RANGE);
    cbm_clear(cx);
    step_run(&m, 0, 0);
    step_run(&n, 0, 0);
    step_state a = step_state_of(&m), b = step_state_of(&n);
    step_same(&a, &b);
    cbm_close(cx);
    cbm_close(other);
}

/* What an error took away says so when it is read. */
static void test_dropped_value(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *t = cbm_add_scalar(cbm_ones(cx, CBM_F32, CBM_SHAPE(3)), 1);
    cbm_fail(cx, CBM_ERROR_CALLBACK, "%s", "mine %s %n");
    assert_string_equal(cbm_message(cx), "mine %s %n");
    cbm_clear(cx);
    float x[3] = { 7, 7, 7 };
    assert_int_equal(cbm_read(t, x, sizeof x), CBM_ERROR_STATE);
    assert_true(x[0] == 0 && x[2] == 0);
    assert_non_null(strstr(cbm_message(cx), "HINT"));
    cbm_clear(cx);
    assert_true(cbm_item(cbm_sum(cbm_ones(cx, CBM_F32, CBM_SHAPE(3)))) == 3);
    cbm_close(cx);
}

static void test_handle_after_scope(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.check_handles = 1);
    cbm_tensor *w = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(2)), true);
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *t = cbm_mul_scalar(w, 3), *kept = NULL;
    cbm_set(&kept, cbm_mul_scalar(w, 4));
    cbm_scope_end(s);
    float x[2];
    assert_int_equal(cbm_read(kept, x, sizeof x), CBM_OK);
    assert_true(x[1] == 4);
    assert_true(cbm_tensor_failed(cbm_add(t, t)));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_STATE);
    assert_non_null(strstr(cbm_message(cx), "scope"));
    assert_non_null(strstr(cbm_message(cx), "test_misuse.c"));
    cbm_clear(cx);
    assert_true(isnan(cbm_item(t)));
    cbm_clear(cx);
    assert_null(cbm_tensor_data(t));
    cbm_clear(cx);
    assert_int_equal(cbm_backward(t), CBM_ERROR_STATE);
    cbm_clear(cx);
    cbm_release(t);
    cbm_retain(t);
    cbm_want(t);
    assert_int_equal(cbm_tensor_count(t), 0);
    cbm_set(&kept, NULL);
    cbm_release(w);
    assert_true(cbm_tensor_failed(cbm_neg(w)));
    cbm_close(cx);
}

/* A handle kept past its scope and never released is let go with the context (memory checkers watch). */
static void test_forgotten_handles(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *kept[3] = { NULL, NULL, NULL };
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(s, cx);
        cbm_tensor *t = cbm_add_scalar(cbm_ones(cx, CBM_F32, CBM_SHAPE(100)), i);
        cbm_set(&kept[i], i == 2 ? cbm_scope_end_with(cbm_scope_begin(cx), t) : t);
        cbm_retain(kept[i]);
    }
    assert_true(cbm_item(cbm_max(kept[2])) == 3);
    cbm_scope_begin(cx);
    cbm_scope_begin(cx);
    cbm_ones(cx, CBM_F32, CBM_SHAPE(100));
    cbm_close(cx);
}

/* A call without a stamp fails: the line of the next operation is not blamed for it. */
static void test_no_wrong_line(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *t = cbm_ones(cx, CBM_F32, CBM_SHAPE(2)), *v = cbm_variable(t, true);
    for (int k = 0; k < 6; k++) {
        float x;
        if (k == 0)
            cbm_assign(t, t);
        else if (k == 1)
            cbm_assign(v, cbm_ones(cx, CBM_F32, CBM_SHAPE(3)));
        else if (k == 2)
            cbm_write(v, &x, 1);
        else if (k == 3)
            cbm_read(v, &x, sizeof x);
        else if (k == 4)
            cbm_item(v);
        else
            cbm_backward(cbm_neg(v));
        cbm_relu(t);
        assert_int_not_equal(cbm_context_status(cx), CBM_OK);
        if (strstr(cbm_message(cx), "test_misuse.c"))
            fail_msg("%d: %s", k, cbm_message(cx));
        cbm_clear(cx);
        t = cbm_ones(cx, CBM_F32, CBM_SHAPE(2));
    }
    cbm_close(cx);
}

static void refused(cbm_context *cx, cbm_tensor *t, cbm_status status)
{
    assert_true(cbm_tensor_failed(t));
    if (cbm_context_status(cx) != status || !cbm_message(cx)[0])
        fail_msg("status %d: %s", (int)cbm_context_status(cx), cbm_message(cx));
    cbm_clear(cx);
}

static void test_null(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *t = cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 2)), *list[] = { t, NULL };
    cbm_flush(cx); /* an error takes what is pending with it */
    refused(cx, cbm_add(t, NULL), CBM_ERROR_INVALID);
    refused(cx, cbm_add(NULL, t), CBM_ERROR_INVALID);
    refused(cx, cbm_matmul(t, NULL), CBM_ERROR_INVALID);
    refused(cx, cbm_where(NULL, t, t), CBM_ERROR_INVALID);
    refused(cx, cbm_concat(list, 2, 0), CBM_ERROR_INVALID);
    refused(cx, cbm_cross_entropy(t, NULL), CBM_ERROR_INVALID);
    refused(cx, cbm_conv2d(t, NULL, NULL), CBM_ERROR_INVALID);
    refused(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(2), NULL), CBM_ERROR_INVALID);
    refused(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(-1), "x"), CBM_ERROR_SHAPE);
    refused(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(INT64_MAX, 4), "x"), CBM_ERROR_SHAPE);
    refused(cx, cbm_tensor_from(cx, (cbm_dtype)9, CBM_SHAPE(1), "x"), CBM_ERROR_DTYPE);
    refused(cx, cbm_zeros(cx, CBM_F32, (cbm_shape){ { 9, 1, 1, 1, 1, 1, 1, 1, 1 } }), CBM_ERROR_SHAPE);
    refused(cx, cbm_zeros(cx, CBM_F32, CBM_SHAPE(INT64_MAX / 2, 8)), CBM_ERROR_SHAPE);
    float x[4];
    assert_false(cbm_tensor_failed(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(0, 3), NULL)));
    cbm_assign(t, t);
    refused(cx, cbm_relu(t), CBM_ERROR_INVALID); /* not a variable: the context is inert */
    assert_int_equal(cbm_read(t, x, 3), CBM_ERROR_INVALID);
    cbm_clear(cx);
    assert_true(isnan(cbm_item(t)));
    cbm_clear(cx);
    cbm_assign(NULL, t);
    cbm_assign(cbm_variable(t, false), NULL);
    refused(cx, cbm_relu(t), CBM_ERROR_INVALID);
    /* Nothing to ask: harmless. */
    cbm_relu(NULL);
    assert_true(isnan(cbm_item(NULL)));
    memset(x, 1, sizeof x);
    assert_int_not_equal(cbm_read(NULL, x, sizeof x), CBM_OK);
    assert_true(x[3] == 0);
    assert_null(cbm_tensor_data(NULL));
    assert_int_not_equal(cbm_backward(NULL), CBM_OK);
    cbm_release(NULL);
    cbm_retain(NULL);
    cbm_want(NULL);
    cbm_clear_gradient(NULL);
    assert_null(cbm_gradient(NULL));
    cbm_scope_end(NULL);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_close(cx);
}

static void test_other_context(void **state)
{
    (void)state;
    cbm_context *a = cbm_open(NULL), *b = cbm_open(NULL);
    cbm_tensor *x = cbm_ones(a, CBM_F32, CBM_SHAPE(2)), *y = cbm_ones(b, CBM_F32, CBM_SHAPE(2));
    refused(a, cbm_add(x, y), CBM_ERROR_INVALID);
    assert_int_equal(cbm_context_status(b), CBM_OK);
    cbm_assign(cbm_variable(y, false), cbm_ones(a, CBM_F32, CBM_SHAPE(2)));
    refused(b, cbm_neg(y), CBM_ERROR_INVALID);
    cbm_close(a);
    cbm_close(b);
}

static void test_scopes(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_scope *a = cbm_scope_begin(cx), *b = cbm_scope_begin(cx);
    cbm_scope_begin(cx);
    cbm_tensor *inner = cbm_ones(cx, CBM_F32, CBM_SHAPE(2));
    inner = cbm_scope_end_with(b, inner); /* through a scope that ends with it */
    assert_true(cbm_item(cbm_sum(inner)) == 2);
    cbm_scope_end(a);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    /* A tensor of an outer scope stays where it is. */
    cbm_tensor *outer = NULL;
    for (int i = 0; i < 100; i++) {
        cbm_scope *s = cbm_scope_begin(cx);
        outer = cbm_ones(cx, CBM_F32, CBM_SHAPE(1000));
        cbm_scope *t = cbm_scope_begin(cx), *u = cbm_scope_begin(cx);
        outer = cbm_scope_end_with(u, outer);
        outer = cbm_scope_end_with(t, outer);
        cbm_scope_end(s);
    }
    assert_true(cbm_context_statistics(cx).bytes_now < 100000);
    cbm_close(cx);
}

static cbm_status cancelling(const cbm_launch *launch)
{
    cbm_cancel(launch->op->user ? *(cbm_context **)launch->op->user : NULL);
    memcpy(launch->out[0].data, launch->in[0].data, (size_t)launch->out[0].count * sizeof(float));
    return CBM_OK;
}

static bool same_shape(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static void *cancel_from_thread(void *cx)
{
    cbm_cancel(cx);
    return NULL;
}

static void test_cancel(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    static cbm_context *place;
    place = cx;
    static const cbm_op op = { .struct_size = sizeof op,
                               .name = "stop",
                               .n_in = 1,
                               .n_out = 1,
                               .infer = same_shape,
                               .kernel = cancelling,
                               .user = &place };
    step_model m = step_model_new(cx);
    step_run(&m, 0, 0);
    step_state before = step_state_of(&m);
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *p = m.parameter[0], *value = cbm_apply(cx, &op, &p, 1, NULL, NULL);
    cbm_assign(p, cbm_matmul(value, cbm_full(cx, CBM_F32, CBM_SHAPE(STEP_HIDDEN, STEP_HIDDEN), 2)));
    assert_int_equal(cbm_flush(cx), CBM_ERROR_CANCELLED);
    cbm_scope_end(s);
    cbm_clear(cx);
    step_state after = step_state_of(&m);
    step_same(&after, &before);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_from_thread, cx), 0);
    pthread_join(thread, NULL);
    assert_true(isnan(step_run(&m, 1, 0)));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_CANCELLED);
    cbm_clear(cx);
    after = step_state_of(&m);
    step_same(&after, &before);
    assert_true(isfinite(step_run(&m, 1, 0)));
    cbm_close(cx);
}

static cbm_status failing(const cbm_launch *launch)
{
    snprintf(launch->message, 256, "100%% %s", "wrong");
    return CBM_ERROR_CALLBACK;
}

static void test_user_kernel_fails(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    static const cbm_op op = {
        .struct_size = sizeof op, .name = "mine", .n_in = 1, .n_out = 1, .infer = same_shape, .kernel = failing
    };
    step_model m = step_model_new(cx);
    step_run(&m, 0, 0);
    step_state before = step_state_of(&m);
    cbm_tensor *p = m.parameter[0];
    cbm_assign(p, cbm_mul_scalar(p, 2));
    cbm_at(cbm_apply(cx, &op, &p, 1, NULL, NULL), "user.c", 12);
    assert_int_equal(cbm_flush(cx), CBM_ERROR_CALLBACK);
    assert_string_equal(cbm_message(cx), "[mine] 100% wrong (at user.c:12)");
    cbm_clear(cx);
    step_state after = step_state_of(&m);
    step_same(&after, &before);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_label_out_of_range),
        cmocka_unit_test(test_half_a_step),
        cmocka_unit_test(test_first_step_fails),
        cmocka_unit_test(test_dropped_value),
        cmocka_unit_test(test_handle_after_scope),
        cmocka_unit_test(test_forgotten_handles),
        cmocka_unit_test(test_no_wrong_line),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_other_context),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_user_kernel_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
