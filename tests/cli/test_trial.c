/* test_trial.c: `cambium summary` predicts, without running, exactly the bytes that the counting allocator sees when a
   recipe's steps run; and a dry run computes nothing. */
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { STEPS = 9 };

/* Steps that really run. The statistics say what they took. */
static cbm_statistics run(const cbm_recipe *recipe, int64_t batch, bool inference)
{
    cbm_common common = { .threads = 1 };
    cbm_context *cx = cbm_open_common(&common, 0, false);
    cbm_trial t;
    assert_int_equal(cbm_trial_open(&t, recipe, cx, batch, inference), CBM_OK);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(cbm_trial_step(&t), CBM_OK);
    cbm_statistics s = cbm_context_statistics(cx);
    cbm_close(cx);
    return s;
}

static void test_prediction_is_what_is_taken(void **state)
{
    (void)state;
    static const int64_t batches[] = { 2, 5, 0 }; /* batch norm does not train on 1 */
    const cbm_common common = { .threads = 1 };
    for (size_t r = 0; r < cbm_recipe_count(); r++)
        for (int inference = 0; inference < 2; inference++)
            for (size_t b = 0; b < CBM_COUNT_OF(batches); b++) {
                const cbm_recipe *recipe = cbm_recipe_at(r);
                if (!recipe->model || (!inference && !recipe->optimizer))
                    continue;
                cbm_trial_memory m;
                assert_true(cbm_trial_predict(&common, recipe, batches[b], inference != 0, &m));
                const cbm_statistics s = run(recipe, batches[b], inference != 0);
                if (m.peak != s.bytes_peak || m.arena != s.arena_bytes)
                    fail_msg("%s, batch %lld, inference %d: %llu bytes predicted, %llu taken; arena %llu, %llu",
                             recipe->name, (long long)m.batch, inference, (unsigned long long)m.peak,
                             (unsigned long long)s.bytes_peak, (unsigned long long)m.arena,
                             (unsigned long long)s.arena_bytes);
                assert_int_equal(m.peak, m.parameters + m.optimizer + m.data + m.arena + m.results + m.kept + m.rest);
                assert_true(m.rest < m.peak && m.scratch <= m.arena);
            }
}

static void test_nothing_is_computed(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_tensor *one = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(3)), false);
    cbm_flush(cx);
    cbm_dry_run(cx, true);
    assert_true(cbm_item(cbm_sum(cbm_add_scalar(one, 1))) == 0);
    cbm_dry_run(cx, false);
    assert_true(cbm_item(cbm_sum(cbm_add_scalar(one, 1))) == 6);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void test_names(void **state)
{
    (void)state;
    const cbm_common common = { .threads = 1 };
    cbm_context *cx = cbm_open_common(&common, 0, false);
    cbm_trial t;
    char name[300];
    assert_int_equal(cbm_trial_open(&t, cbm_recipe_named("mnist-mlp"), cx, 2, false), CBM_OK);
    cbm_named named;
    assert_true(cbm_parameter_at(t.net, 1, &named));
    assert_true(cbm_trial_name(&t, named.tensor, name));
    assert_string_equal(name, named.name);
    assert_false(cbm_trial_name(&t, NULL, name));
    assert_false(cbm_trial_name(&t, t.batch.input, name));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prediction_is_what_is_taken),
        cmocka_unit_test(test_nothing_is_computed),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
