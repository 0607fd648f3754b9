/* demand.c: recording computes nothing; an evaluation computes what was asked for, named beforehand, one element, consumed by
   nothing, or outlives its scope; the rest may be fused away, and is computed again when it is read after all. */
#include "semantics/semantics.h"

static void recording_computes_nothing(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *t = spy(ramp(cx, 2, 3), 1);
    cbm_tensor *u = cbm_add(t, spy(t, 2));
    assert_int_equal(spied.count, 0);
    assert_int_equal(cbm_context_statistics(cx).evaluations, 0);
    assert_true(first(u) == -2);
    assert_int_equal(times(1), 1);
    assert_int_equal(times(2), 1);
    assert_true(first(u) == -2); /* kept */
    assert_int_equal(cbm_context_statistics(cx).evaluations, 1);
}

static void an_evaluation_runs_all_that_is_pending(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *a = spy(ramp(cx, 2, 3), 1), *b = spy(ramp(cx, 2, 3), 2);
    cbm_item(cbm_sum(a));
    assert_int_equal(times(1), 1);
    assert_int_equal(times(2), 1); /* nothing consumes b: it is a result */
    first(b);
    assert_int_equal(cbm_context_statistics(cx).evaluations, 1);
}

static void loss_is_free_before_and_after(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = cbm_variable(ramp(cx, 3, 2), true);
    for (int after = 0; after < 2; after++) {
        CBM_SCOPE(s, cx);
        uint64_t before = cbm_context_statistics(cx).evaluations;
        cbm_tensor *loss = cbm_mean(cbm_tanh(cbm_matmul(ramp(cx, 2, 3), w)));
        cbm_tensor *accuracy = cbm_mean(cbm_add_scalar(loss, 1));
        cbm_backward(loss);
        cbm_assign(w, cbm_sub(w, cbm_gradient(w)));
        cbm_clear_gradient(w);
        if (after)
            cbm_flush(cx);
        double l = cbm_item(loss);
        if (!after)
            cbm_flush(cx);
        assert_true(fabs(cbm_item(accuracy) - l - 1) < 1e-6);
        assert_int_equal(cbm_context_statistics(cx).evaluations, before + 1);
        no_error(cx);
    }
}

static void fused_away_is_computed_again(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *noise = cbm_uniform(cx, CBM_F32, CBM_SHAPE(4, 4), 0, 1);
    cbm_tensor *e = effect(noise, 3), *hidden = cbm_mul_scalar(e, 2), *sum = cbm_sum(hidden);
    double s = cbm_item(sum);
    float h[16];
    assert_int_equal(cbm_read(hidden, h, sizeof h), CBM_OK);
    double again = 0;
    for (int i = 0; i < 16; i++)
        again += (double)h[i];
    assert_true(fabs(s - again) < 1e-5); /* the same random numbers */
    assert_int_equal(times(3), 1);       /* and no effect a second time */
    no_error(cx);
}

static void overwritten_needs_want(cbm_context *cx, bool planned)
{
    for (int wanted = 0; wanted < 2; wanted++) {
        cbm_tensor *w = cbm_variable(ramp(cx, 4, 4), false);
        cbm_assign(w, cbm_mul_scalar(w, 2)); /* memory of its own */
        cbm_flush(cx);
        cbm_scope *s = cbm_scope_begin(cx);
        cbm_tensor *hidden = cbm_add_scalar(w, 1), *sum = cbm_sum(hidden);
        if (wanted)
            cbm_want(hidden);
        cbm_assign(w, cbm_mul_scalar(w, 0));
        cbm_flush(cx);
        assert_true(isfinite(cbm_item(sum)));
        double x = first(hidden);
        if (wanted) {
            assert_true(x == -1);
            no_error(cx);
        } else if (planned) {
            assert_true(x == 0);
            expect_error(cx, CBM_ERROR_STATE, "HINT: cbm_want it");
        }
        cbm_scope_end(s);
        no_error(cx);
        assert_true(first(w) == 0);
    }
}

static void outliving_a_scope_is_computed(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *kept = NULL;
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *t = spy(ramp(cx, 2, 2), 1), *u = spy(t, 2);
    spy(u, 3);
    cbm_set(&kept, t);
    u = cbm_scope_end_with(s, u);
    assert_int_equal(times(1) * times(2), 1);
    uint64_t evaluations = cbm_context_statistics(cx).evaluations;
    assert_true(first(kept) == -1 && first(u) == -1);
    assert_int_equal(cbm_context_statistics(cx).evaluations, evaluations);
    cbm_set(&kept, NULL);
}

/* What nobody can ask for any more costs nothing. */
static void let_go_is_never_computed(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_scope *s = cbm_scope_begin(cx);
    spy(cbm_matmul(ramp(cx, 2, 2), ramp(cx, 2, 2)), 1);
    cbm_scope_end(s);
    cbm_flush(cx);
    assert_int_equal(times(1), 0);
    assert_int_equal(cbm_context_statistics(cx).evaluations, 0);
}

static void quiet_scopes_never_evaluate(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_scope *s =
        cbm_scope_begin_with(cx, &(cbm_scope_options){ .struct_size = sizeof(cbm_scope_options), .quiet = 1 });
    cbm_tensor *t = effect(ramp(cx, 2, 2), 1);
    t = cbm_scope_end_with(s, t);
    assert_int_equal(times(1), 0);
    assert_true(first(t) == -1);
    assert_int_equal(times(1), 1);
}

/* Evaluating before backward keeps what backward needs: forward does not run again. */
static void backward_never_reruns_forward(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = cbm_variable(ramp(cx, 2, 2), true);
    cbm_tensor *h = spy(cbm_tanh(spy(cbm_matmul(ramp(cx, 2, 2), w), 1)), 2);
    cbm_tensor *loss = cbm_mean(cbm_mul(h, h));
    cbm_item(loss);
    assert_int_equal(times(1) * times(2), 1);
    cbm_backward(loss);
    assert_true(isfinite(first(cbm_gradient(w))));
    assert_int_equal(times(1), 1);
    assert_int_equal(times(2), 1);
    no_error(cx);
}

RUN_RULES(RULE(recording_computes_nothing), RULE(an_evaluation_runs_all_that_is_pending),
          RULE(loss_is_free_before_and_after), RULE(fused_away_is_computed_again), RULE(overwritten_needs_want),
          RULE(outliving_a_scope_is_computed), RULE(let_go_is_never_computed), RULE(quiet_scopes_never_evaluate),
          RULE(backward_never_reruns_forward))
