/* test_large.c: graphs of ten thousand operations are planned in about a second: chains, and fans of branches that are joined, each
   evaluated alone and differentiated. What takes the square of their size, or more, meets the tests' limit of time. */
#define CBM_NO_CALL_SITES
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 32 };

static cbm_tensor *chain(cbm_tensor *x, cbm_tensor *w, int length)
{
    for (int i = 0; i < length; i++)
        x = i % 4 == 0   ? cbm_matmul(x, w)
            : i % 4 == 1 ? cbm_tanh(x)
            : i % 4 == 2 ? cbm_add_scalar(x, 0.1)
                         : cbm_mul(x, x);
    return cbm_mean(x);
}

static cbm_tensor *fan(cbm_tensor *x, cbm_tensor *w, int branches)
{
    cbm_tensor *sum = NULL;
    for (int i = 0; i < branches; i++) {
        cbm_tensor *branch = cbm_mean(cbm_mul_scalar(cbm_tanh(cbm_matmul(x, w)), 1 + i % 7));
        sum = sum ? cbm_add(sum, branch) : branch;
    }
    return cbm_div_scalar(sum, branches);
}

static void planned(cbm_tensor *(*make)(cbm_tensor *x, cbm_tensor *w, int size), int size, bool differentiated)
{
    double values[2];
    for (int naive = 0; naive < 2; naive++) {
        cbm_context *cx = cbm_open_with(.seed = 2, .threads = 1, .naive = (uint64_t)naive);
        cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(SIDE, SIDE), 0, 1), false);
        cbm_tensor *w = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(SIDE, SIDE), 0, 0.1), true);
        CBM_SCOPE(scope, cx);
        cbm_tensor *y = make(x, w, size);
        if (differentiated) {
            assert_int_equal(cbm_backward(y), CBM_OK);
            y = cbm_sum(cbm_gradient(w));
        }
        values[naive] = cbm_item(y);
        assert_string_equal(cbm_message(cx), "");
        cbm_scope_end(scope);
        scope = NULL;
        cbm_close(cx);
    }
    assert_true(isfinite(values[0]) && fabs(values[0] - values[1]) <= 1e-4 * (1e-3 + fabs(values[1])));
}

static void chains(void **state)
{
    (void)state;
    planned(chain, 12000, false);
    planned(chain, 4000, true);
}

static void fans(void **state)
{
    (void)state;
    planned(fan, 3000, false);
    planned(fan, 1200, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(chains), cmocka_unit_test(fans) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
