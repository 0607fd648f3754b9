/* test_gradients.c: every differentiable operation's gradient on every sample against central differences, first and
   second order; and the check itself must find a wrong gradient. */
#include "support/cases.h"
#include <cambium/autograd.h>
#include <cambium/context.h>
#include <cambium/operation.h>
#include <cambium/ops.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void every_gradient(void **state)
{
    (void)state;
    int failures = 0;
    for (size_t i = 0; i < cbm_op_count(); i++) {
        const cbm_op *op = cbm_op_at(i);
        if (op->n_samples == 0) {
            print_error("[%s] has no samples\n", op->name);
            failures++;
        }
        const bool checked = (op->vjp || op->decompose) && case_op_available(op->name);
        for (size_t s = 0; checked && s < op->n_samples; s++) {
            double error;
            cbm_status status = cbm_gradcheck_op(op, (int64_t)s, &error);
            if (status == CBM_OK)
                continue;
            print_error("[%s] sample %zu: %s, error %g\n", op->name, s, cbm_status_name(status), error);
            failures++;
        }
    }
    assert_int_equal(failures, 0);
}

static cbm_tensor *tanh_times_exp(cbm_tensor *const *x, size_t count, void *user)
{
    (void)count;
    (void)user;
    return cbm_mul(cbm_tanh(x[0]), cbm_exp(cbm_mul(x[0], x[1])));
}

static cbm_tensor *detached_part(cbm_tensor *const *x, size_t count, void *user)
{
    (void)count;
    (void)user;
    return cbm_mul(x[0], cbm_detach(x[0])); /* analytic: x; numeric: 2 x */
}

/* Right in first order, wrong in second. */
static cbm_tensor *noop_hook(cbm_tensor *gradient, void *user)
{
    (void)user;
    return cbm_detach(gradient);
}

static cbm_tensor *hooked(cbm_tensor *const *x, size_t count, void *user)
{
    (void)count;
    (void)user;
    cbm_tensor *y = cbm_mul(x[0], x[0]);
    cbm_add_hook(y, noop_hook, NULL, NULL);
    return cbm_mul(y, y);
}

static void functions_of_the_user(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1);
    double a[] = { 0.3, -0.7, 1.1 }, b[] = { 0.2, 0.9, -0.4 }, error;
    float single = 1;
    cbm_tensor *in[] = { cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(3), a), cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(3), b) };

    assert_int_equal(cbm_gradcheck(cx, tanh_times_exp, NULL, in, 2, true, &error), CBM_OK);
    assert_true(error < 1e-5);

    assert_int_equal(cbm_gradcheck(cx, detached_part, NULL, in, 1, false, &error), CBM_ERROR_INVALID);
    assert_true(error > 0.1);
    assert_non_null(strstr(cbm_message(cx), "order 1, input 0, element "));
    cbm_clear(cx);

    assert_int_equal(cbm_gradcheck(cx, hooked, NULL, in, 1, false, &error), CBM_OK);
    assert_int_equal(cbm_gradcheck(cx, hooked, NULL, in, 1, true, &error), CBM_ERROR_INVALID);
    assert_non_null(strstr(cbm_message(cx), "order 2"));
    cbm_clear(cx);

    in[0] = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1), &single);
    assert_int_equal(cbm_gradcheck(cx, tanh_times_exp, NULL, in, 1, false, &error), CBM_ERROR_DTYPE);
    cbm_close(cx);
}

static void impossible_checks(void **state)
{
    (void)state;
    double error = 1;
    assert_int_equal(cbm_gradcheck_op(NULL, 0, &error), CBM_ERROR_INVALID);
    assert_int_equal(cbm_gradcheck_op(cbm_op_named("add"), 1000, &error), CBM_ERROR_INVALID);
    assert_int_equal(cbm_gradcheck_op(cbm_op_named("equal"), -1, &error), CBM_ERROR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_gradient),
        cmocka_unit_test(functions_of_the_user),
        cmocka_unit_test(impossible_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
