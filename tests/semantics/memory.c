/* memory.c: host arrays are copied when passed unless borrowed; what a user holds never lies in a plan's arena. */
#include "semantics/semantics.h"

static void host_arrays_are_copied(cbm_context *cx, bool planned)
{
    (void)planned;
    float x[4] = { 1, 2, 3, 4 };
    cbm_tensor *t = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4), x), *u = cbm_neg(t);
    x[0] = 100;
    assert_true(first(u) == -1);
    assert_true(first(t) == 1);
}

static void count_release(void *data, void *user)
{
    (void)data;
    ++*(int *)user;
}

static void borrowed_arrays_are_released_once(cbm_context *cx, bool planned)
{
    (void)planned;
    int released = 0;
    float x[4] = { 1, 2, 3, 4 };
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *t = cbm_tensor_borrow(cx, CBM_F32, CBM_SHAPE(4), x, count_release, &released);
    assert_ptr_equal(cbm_tensor_data(t), x);
    cbm_tensor *v = cbm_variable(t, false);
    cbm_tensor *u = cbm_scope_end_with(s, cbm_mul_scalar(t, 2));
    assert_int_equal(released, 0); /* the variable still begins with it */
    s = cbm_scope_begin(cx);
    cbm_assign(v, cbm_add_scalar(v, 1));
    cbm_scope_end(s);
    assert_true(x[0] == 1); /* never written */
    assert_true(first(v) == 2 && first(u) == 2);
    assert_int_equal(released, 1);
    cbm_tensor_borrow(cx, CBM_F32, CBM_SHAPE(1), (char *)x + 1, NULL, NULL);
    expect_error(cx, CBM_ERROR_INVALID, "aligned");
}

/* Values read earlier stay as they are while the arena is used by later plans. */
static void held_results_stay(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *held[20];
    const float *data[20];
    for (int i = 0; i < 20; i++) {
        cbm_tensor *t = cbm_full(cx, CBM_F32, CBM_SHAPE(16, 16), i);
        held[i] = cbm_matmul(cbm_tanh(t), cbm_add_scalar(cbm_neg(t), i + 1));
        data[i] = cbm_tensor_data(held[i]);
        assert_true(fabs((double)data[i][5] - 16 * tanh(i)) < 1e-4);
    }
    for (int i = 0; i < 20; i++) {
        assert_ptr_equal(cbm_tensor_data(held[i]), data[i]);
        assert_true(fabs((double)data[i][5] - 16 * tanh(i)) < 1e-4);
    }
}

/* Empty tensors, and scalars, pass through everything. */
static void nothing_and_one(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *e = cbm_variable(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(0, 3), NULL), true);
    cbm_tensor *sum = cbm_sum(cbm_tanh(cbm_add(e, cbm_ones(cx, CBM_F32, CBM_SHAPE(3)))));
    cbm_backward(sum);
    assert_true(cbm_item(sum) == 0);
    assert_int_equal(cbm_read(e, NULL, 0), CBM_OK);
    cbm_assign(e, cbm_sub(e, cbm_gradient(e)));
    cbm_tensor *m = cbm_matmul(cbm_transpose(e, 0, 1), e);
    assert_true(first(m) == 0);
    cbm_tensor *s = cbm_variable(cbm_full(cx, CBM_F32, CBM_SHAPE(), 3), true);
    cbm_backward(cbm_mul(s, s));
    assert_true(cbm_item(cbm_gradient(s)) == 6);
    cbm_tensor *none[] = { e, e };
    assert_int_equal(cbm_tensor_count(cbm_concat(none, 2, 0)), 0);
    assert_int_equal(cbm_flush(cx), CBM_OK);
    no_error(cx);
}

RUN_RULES(RULE(host_arrays_are_copied), RULE(borrowed_arrays_are_released_once), RULE(held_results_stay),
          RULE(nothing_and_one))
