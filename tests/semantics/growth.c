/* growth.c: a tensor that survives its scope is evaluated and forgets its history; above a limit of pending operations
   everything is computed, and the call site that grows is logged with a HINT. */
#include "semantics/semantics.h"

static void survivors_forget_their_history(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = cbm_variable(ramp(cx, 3, 3), true), *last = NULL, *total = NULL;
    uint64_t bytes = 0;
    for (int i = 0; i < 300; i++) {
        CBM_SCOPE(s, cx);
        cbm_tensor *loss = cbm_mean(cbm_tanh(cbm_matmul(w, w)));
        cbm_set(&last, loss);
        cbm_set(&total, total ? cbm_add(total, loss) : loss); /* the usual mistake */
        if (i == 100)
            bytes = cbm_context_statistics(cx).bytes_now;
    }
    assert_true(cbm_context_statistics(cx).bytes_now <= bytes + 4096);
    assert_false(cbm_tensor_requires_grad(last));
    assert_true(fabs(cbm_item(total) - 300 * cbm_item(last)) < 1e-2);
    cbm_backward(last);
    expect_error(cx, CBM_ERROR_STATE, "[backward]");
    cbm_set(&last, NULL);
    cbm_set(&total, NULL);
}

static char logged[1024];
static int warnings;

static void keep_warning(cbm_log_level level, const char *message, void *user)
{
    (void)user;
    if (level != CBM_LOG_WARNING)
        return;
    warnings++;
    snprintf(logged, sizeof logged, "%s", message);
}

static void the_growing_line_is_named(void **state)
{
    (void)state;
    for (uint64_t naive = 0; naive < 2; naive++) {
        warnings = 0;
        cbm_context *cx = cbm_open_with(.pending_limit = 1000, .log = keep_warning, .naive = naive);
        cbm_tensor *total = cbm_zeros(cx, CBM_F32, CBM_SHAPE());
        for (int i = 0; i < 1500; i++) {
            total = cbm_add(total, total);
            if (i % 2)
                total = cbm_sub(total, total);
        }
        assert_true(warnings >= 2);
        assert_non_null(strstr(logged, "HINT"));
        assert_non_null(strstr(logged, "growth.c:"));
        assert_true(cbm_context_statistics(cx).nodes_pending <= 1001);
        assert_true(cbm_item(total) == 0);
        no_error(cx);
        cbm_close(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { RULE(survivors_forget_their_history),
                                        cmocka_unit_test(the_growing_line_is_named) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
