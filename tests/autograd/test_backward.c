/* test_backward.c: gradients of small functions whose derivatives are known: accumulation, higher orders, hooks, detach,
   no-grad scopes, frozen variables, and the errors of a second backward. */
#include <cambium/cambium.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *const devices[] = { "reference", "cpu" };

static cbm_context *open_on(size_t device)
{
    return cbm_open_with(.device = devices[device]);
}

static cbm_tensor *number(cbm_context *cx, double value, bool trainable)
{
    return cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(), &value), trainable);
}

static void close_well(cbm_context *cx)
{
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void test_accumulates(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        cbm_context *cx = open_on(d);
        cbm_tensor *x = number(cx, 3, true);
        assert_null(cbm_gradient(x));
        for (int i = 1; i <= 3; i++) {
            CBM_SCOPE(step, cx);
            assert_int_equal(cbm_backward(cbm_mul(x, x)), CBM_OK); /* d(x x)/dx = 6 */
            assert_true(cbm_item(cbm_gradient(x)) == 6.0 * i);
        }
        cbm_clear_gradient(x);
        assert_null(cbm_gradient(x));
        close_well(cx);
    }
}

/* f = x^4: f' = 4 x^3, f'' = 12 x^2, f''' = 24 x. */
static void test_higher_orders(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        cbm_context *cx = open_on(d);
        cbm_tensor *x = number(cx, 2, true), *g[3];
        cbm_tensor *x2 = cbm_mul(x, x), *y = cbm_mul(x2, x2);
        cbm_grad(y, &x, 1, &g[0], .create_graph = 1);
        cbm_grad(g[0], &x, 1, &g[1], .create_graph = 1);
        cbm_grad(g[1], &x, 1, &g[2], .create_graph = 1);
        assert_true(cbm_item(g[0]) == 32);
        assert_true(cbm_item(g[1]) == 48);
        assert_true(cbm_item(g[2]) == 48);
        close_well(cx);
    }
}

static void test_grad_of_what_does_not_matter_is_zero(void **state)
{
    (void)state;
    cbm_context *cx = open_on(0);
    cbm_tensor *x = number(cx, 2, true), *z = number(cx, 5, true), *xs[] = { x, z }, *g[2];
    assert_int_equal(cbm_grad(cbm_exp(x), xs, 2, g), CBM_OK);
    assert_true(fabs(cbm_item(g[0]) - exp(2)) < 1e-12);
    assert_true(cbm_item(g[1]) == 0);
    close_well(cx);
}

static void test_grad_at_an_intermediate(void **state)
{
    (void)state;
    cbm_context *cx = open_on(1);
    cbm_tensor *x = number(cx, 2, true), *h = cbm_mul(x, x), *y = cbm_mul(h, h), *xs[] = { h, x }, *g[2];
    assert_int_equal(cbm_grad(y, xs, 2, g), CBM_OK);
    assert_true(cbm_item(g[0]) == 8);  /* 2 h */
    assert_true(cbm_item(g[1]) == 32); /* 4 x^3 */
    close_well(cx);
}

static void test_detach_and_no_grad(void **state)
{
    (void)state;
    cbm_context *cx = open_on(1);
    cbm_tensor *x = number(cx, 3, true);
    cbm_backward(cbm_mul(x, cbm_detach(cbm_mul(x, x)))); /* the second factor is a constant: 9 */
    assert_true(cbm_item(cbm_gradient(x)) == 9);
    cbm_tensor *y;
    {
        cbm_scope *quiet = cbm_scope_begin_no_grad(cx);
        y = cbm_mul(x, x);
        assert_false(cbm_tensor_requires_grad(y));
        assert_int_equal(cbm_backward(y), CBM_ERROR_STATE);
        assert_non_null(strstr(cbm_message(cx), "depends on no trainable variable"));
        cbm_clear(cx);
        cbm_tensor *g;
        assert_int_equal(cbm_grad(y, &x, 1, &g), CBM_ERROR_STATE);
        assert_non_null(strstr(cbm_message(cx), "[grad] nothing has history in a no-grad scope"));
        assert_true(cbm_tensor_failed(g));
        cbm_clear(cx);
        cbm_scope_end(quiet);
    }
    close_well(cx);
}

static void test_frozen(void **state)
{
    (void)state;
    cbm_context *cx = open_on(1);
    cbm_tensor *a = number(cx, 3, true), *b = number(cx, 4, true);
    cbm_set_trainable(b, false);
    cbm_backward(cbm_mul(a, b));
    assert_true(cbm_item(cbm_gradient(a)) == 4);
    assert_null(cbm_gradient(b));
    cbm_set_trainable(b, true);
    cbm_backward(cbm_mul(a, b));
    assert_true(cbm_item(cbm_gradient(b)) == 3);
    close_well(cx);
}

static void test_second_backward(void **state)
{
    (void)state;
    cbm_context *cx = open_on(1);
    cbm_tensor *x = number(cx, 2, true), *y = cbm_mul(x, x);
    assert_int_equal(cbm_backward_retain(y), CBM_OK);
    assert_int_equal(cbm_backward(y), CBM_OK);
    assert_true(cbm_item(cbm_gradient(x)) == 8);
    assert_int_equal(cbm_backward(y), CBM_ERROR_STATE);
    assert_non_null(strstr(cbm_message(cx), "cbm_backward_retain"));
    cbm_clear(cx);
    assert_true(cbm_item(cbm_gradient(x)) == 8); /* the failed one added nothing */
    close_well(cx);
}

typedef struct seen {
    int calls, destroyed;
    double factor;
} seen;

static cbm_tensor *scale(cbm_tensor *gradient, void *user)
{
    seen *s = user;
    s->calls++;
    return cbm_mul_scalar(gradient, s->factor);
}

static void forget(void *user)
{
    ((seen *)user)->destroyed++;
}

static void test_hooks(void **state)
{
    (void)state;
    cbm_context *cx = open_on(1);
    seen on_x = { .factor = 10 }, on_h = { .factor = 2 };
    cbm_tensor *x = number(cx, 3, true);
    cbm_add_hook(x, scale, &on_x, forget);
    {
        CBM_SCOPE(step, cx);
        cbm_tensor *h = cbm_mul(x, x);
        cbm_add_hook(h, scale, &on_h, forget);
        cbm_backward(cbm_mul(h, h)); /* dy/dh = 18, hooked 36; dh/dx = 6: 216, hooked 2160 */
        assert_int_equal(on_h.calls, 1);
        assert_int_equal(on_x.calls, 1);
        assert_true(cbm_item(cbm_gradient(x)) == 2160);
    }
    assert_int_equal(on_h.destroyed, 1);
    {
        CBM_SCOPE(step, cx); /* a variable's hook stays with it */
        cbm_clear_gradient(x);
        cbm_assign(x, cbm_full(cx, CBM_F64, CBM_SHAPE(), 1));
        cbm_backward(cbm_mul(x, x));
        assert_true(cbm_item(cbm_gradient(x)) == 20);
    }
    close_well(cx);
    assert_int_equal(on_x.destroyed, 1);
}

static cbm_tensor *nothing(cbm_tensor *gradient, void *user)
{
    (void)gradient, (void)user;
    return NULL;
}

static void test_hook_that_fails(void **state)
{
    (void)state;
    cbm_context *cx = open_on(1);
    cbm_tensor *x = number(cx, 3, true);
    cbm_add_hook(x, nothing, NULL, NULL);
    assert_int_equal(cbm_backward(cbm_mul(x, x)), CBM_ERROR_CALLBACK);
    assert_non_null(strstr(cbm_message(cx), "hook returned NULL"));
    cbm_close(cx);
}

/* A value used twice, broadcast once: d/db sum((x + b)^2) with b of shape (3). */
static void test_broadcast_sums(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        cbm_context *cx = open_on(d);
        const double xs[6] = { 1, 2, 3, 4, 5, 6 }, bs[3] = { 0.5, -1, 2 };
        double got[3];
        cbm_tensor *b = cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(3), bs), true);
        cbm_tensor *s = cbm_add(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(2, 3), xs), b);
        cbm_backward(cbm_sum(cbm_mul(s, s)));
        cbm_read(cbm_gradient(b), got, sizeof got);
        for (int i = 0; i < 3; i++)
            assert_true(fabs(got[i] - 2 * (xs[i] + xs[i + 3] + 2 * bs[i])) < 1e-12);
        close_well(cx);
    }
}

/* A max pool behind a ReLU gates the gradient itself: windows that overlap, windows without anything positive, NaN, and other
   readers of the ReLU, against the ReLU as a maximum, which is not recognised. */
static void test_relu_before_pool(void **state)
{
    (void)state;
    enum { N = 2 * 3 * 6 * 7, M = 2 * 3 * 5 * 6 };
    double xs[N], weights[M], got[2][N];
    for (int i = 0; i < N; i++)
        xs[i] = i == 40 ? NAN : sin(i * 1.7) - 0.4;
    for (int i = 0; i < M; i++)
        weights[i] = cos(i);
    for (size_t d = 0; d < 2; d++)
        for (int also = 0; also < 2; also++) {
            cbm_context *cx = open_on(d);
            cbm_tensor *w = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(2, 3, 5, 6), weights);
            for (int plain = 0; plain < 2; plain++) {
                cbm_tensor *x = cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(2, 3, 6, 7), xs), true);
                cbm_tensor *r = plain ? cbm_maximum(x, cbm_full(cx, CBM_F64, CBM_SHAPE(), 0)) : cbm_relu(x);
                cbm_tensor *y = cbm_sum(cbm_mul(cbm_max_pool2d(r, CBM_SHAPE(2), .stride = CBM_SHAPE(1)), w));
                cbm_backward(also ? cbm_add(y, cbm_sum(cbm_mul(r, r))) : y);
                cbm_read(cbm_gradient(x), got[plain], sizeof got[plain]);
            }
            for (int i = 0; i < N; i++)
                assert_true(got[0][i] == got[1][i] || (isnan(got[0][i]) && isnan(got[1][i])));
            close_well(cx);
        }
}

static void test_errors(void **state)
{
    (void)state;
    cbm_context *cx = open_on(1);
    cbm_tensor *x = cbm_variable(cbm_ones(cx, CBM_F64, CBM_SHAPE(2)), true), *g;
    assert_int_equal(cbm_backward(cbm_mul(x, x)), CBM_ERROR_SHAPE);
    assert_non_null(strstr(cbm_message(cx), "(2)"));
    cbm_clear(cx);
    cbm_tensor *plain = cbm_ones(cx, CBM_F64, CBM_SHAPE(2));
    assert_int_equal(cbm_grad(cbm_sum(cbm_mul(x, plain)), &plain, 1, &g), CBM_ERROR_STATE);
    assert_non_null(strstr(cbm_message(cx), "cbm_variable"));
    assert_true(cbm_tensor_failed(g));
    cbm_close(cx);
}

/* 50,000 operations in a row: neither backward nor freeing recurses. */
static void test_long_chain(void **state)
{
    (void)state;
    cbm_context *cx = open_on(1);
    cbm_tensor *x = number(cx, 1, true);
    {
        CBM_SCOPE(step, cx);
        cbm_tensor *y = x;
        for (int i = 0; i < 50000; i++)
            y = cbm_neg(y);
        cbm_backward(y);
        assert_true(cbm_item(cbm_gradient(x)) == 1);
    }
    close_well(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accumulates),
        cmocka_unit_test(test_higher_orders),
        cmocka_unit_test(test_grad_of_what_does_not_matter_is_zero),
        cmocka_unit_test(test_grad_at_an_intermediate),
        cmocka_unit_test(test_detach_and_no_grad),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_second_backward),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_hook_that_fails),
        cmocka_unit_test(test_broadcast_sums),
        cmocka_unit_test(test_relu_before_pool),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_long_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
