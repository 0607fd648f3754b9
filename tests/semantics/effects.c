/* effects.c: assignments, running statistics and random counters happen exactly once, in program order, even when nobody uses
   the output; flush and the end of a user's scope leave none pending. */
#include "semantics/semantics.h"

static void once_and_in_order(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *t = ramp(cx, 2, 2);
    for (int64_t i = 0; i < 20; i++) {
        CBM_SCOPE(inner, cx);
        (void)inner;
        effect(i % 3 ? t : cbm_neg(cbm_matmul(t, t)), i);
        if (i == 10)
            effect(effect(t, 100), 101);
    }
    cbm_scope_end(s);
    assert_int_equal(spied.count, 22);
    int n = 0;
    for (int64_t i = 0; i < 20; i++) {
        assert_int_equal(spied.ids[n++], i);
        if (i == 10) {
            assert_int_equal(spied.ids[n++], 100);
            assert_int_equal(spied.ids[n++], 101);
        }
    }
    assert_int_equal(cbm_context_statistics(cx).nodes_pending, 0);
}

static void pending_together_in_order(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *t = ramp(cx, 2, 2);
    for (int64_t i = 0; i < 20; i++)
        effect(i % 3 ? t : cbm_neg(cbm_matmul(t, t)), i);
    cbm_flush(cx);
    cbm_flush(cx);
    assert_int_equal(spied.count, 20);
    for (int64_t i = 0; i < 20; i++)
        assert_int_equal(spied.ids[i], i);
}

static void an_unrelated_read_runs_earlier_effects(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *v = cbm_variable(ramp(cx, 2, 2), false);
    cbm_assign(v, cbm_add_scalar(v, 1));
    effect(v, 1);
    assert_true(first(cbm_neg(ramp(cx, 2, 2))) == 1);
    assert_int_equal(times(1), 1);
    assert_int_equal(cbm_context_statistics(cx).nodes_pending, 0);
    assert_true(first(v) == 0);
}

static void outputs_nobody_looks_at(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *mean = cbm_variable(cbm_zeros(cx, CBM_F32, CBM_SHAPE(3)), false);
    cbm_tensor *variance = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(3)), false);
    for (int i = 0; i < 2; i++) {
        CBM_SCOPE(s, cx);
        cbm_batch_norm(ramp(cx, 4, 3), mean, variance, NULL, NULL, true, 0.5, 1e-5);
    }
    float m[3];
    assert_int_equal(cbm_read(mean, m, sizeof m), CBM_OK);
    const double batch = (-1 + -1 + 9 * 0.125) / 2; /* of column 0: first and last of equal steps */
    assert_true(fabs((double)m[0] - 0.75 * batch) < 1e-6);
    no_error(cx);
}

static void random_numbers_follow_the_program(cbm_context *cx, bool planned)
{
    (void)planned;
    uint64_t seed, position;
    cbm_tensor *a = cbm_uniform(cx, CBM_F32, CBM_SHAPE(8), 0, 1);
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_dropout(ramp(cx, 2, 2), 0.5); /* nobody looks, but its place is used */
    cbm_scope_end(s);
    cbm_tensor *b = cbm_uniform(cx, CBM_F32, CBM_SHAPE(8), 0, 1);
    double y = first(b), x = first(a); /* in whatever order they are read */
    cbm_random_state(cx, &seed, &position);
    assert_int_equal(position, 3);
    cbm_seed(cx, seed);
    assert_true(first(cbm_uniform(cx, CBM_F32, CBM_SHAPE(8), 0, 1)) == x);
    cbm_set_random_state(cx, seed, 2);
    assert_true(first(cbm_uniform(cx, CBM_F32, CBM_SHAPE(8), 0, 1)) == y);
    assert_true(x != y);
}

RUN_RULES(RULE(once_and_in_order), RULE(pending_together_in_order), RULE(an_unrelated_read_runs_earlier_effects),
          RULE(outputs_nobody_looks_at), RULE(random_numbers_follow_the_program))
