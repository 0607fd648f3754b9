/* explain.c: cbm_explain tells why a plan was made (the first differing operation and its line), what was materialised and
   why, versions copied, plans evicted. */
#include "semantics/semantics.h"

static void says(cbm_context *cx, const char *part)
{
    const char *text = cbm_explain(cx);
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void why_and_what(cbm_context *cx, bool planned)
{
    says(cx, "no plan yet");
    cbm_tensor *v = cbm_variable(ramp(cx, 3, 3), false);
    first(cbm_tanh(v));
    says(cx, "the first graph");
    says(cx, "asked for");
    char line[64];
    first(cbm_neg(cbm_sigmoid(v)));
    snprintf(line, sizeof line, "explain.c:%d", __LINE__ - 1);
    says(cx, "[sigmoid]");
    says(cx, line);
    cbm_tensor *sum = cbm_sum(cbm_want(cbm_neg(v)));
    cbm_assign(v, cbm_neg(cbm_neg(v)));
    cbm_flush(cx);
    says(cx, "wanted");
    says(cx, "one element");
    says(cx, "a variable's new version");
    says(cx, "versions copied: 1");
    assert_true(isfinite(cbm_item(sum)));
    for (int i = 0; i < 2; i++) {
        cbm_assign(v, cbm_add_scalar(v, 1));
        cbm_flush(cx);
    }
    if (planned)
        says(cx, "in place");
    no_error(cx);
}

static void evictions_are_counted(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.plan_cache = 1);
    for (int i = 1; i < 4; i++)
        first(cbm_tanh(ramp(cx, i, 1)));
    says(cx, "2 evicted");
    says(cx, "3 plans made");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { RULE(why_and_what), cmocka_unit_test(evictions_are_counted) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
