/* gradients.c: backward adds to the gradients, which live with the parameters outside scopes; several backwards accumulate;
   hooks run while recording; the history is released unless kept. */
#include "semantics/semantics.h"

static cbm_tensor *parameter(cbm_context *cx, double value)
{
    return cbm_variable(cbm_full(cx, CBM_F32, CBM_SHAPE(2, 3), value), true);
}

static void backward_only_records(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 2);
    cbm_tensor *loss = cbm_sum(spy(cbm_mul(w, w), 1));
    assert_int_equal(cbm_backward(loss), CBM_OK);
    assert_int_equal(spied.count, 0);
    assert_int_equal(cbm_context_statistics(cx).evaluations, 0);
    assert_true(first(cbm_gradient(w)) == 4);
}

static void gradients_live_outside_scopes_and_add_up(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 2), *unused = parameter(cx, 1);
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(s, cx);
        cbm_backward(cbm_sum(cbm_mul(w, w)));
    }
    assert_true(first(cbm_gradient(w)) == 12);
    assert_null(cbm_gradient(unused));
    cbm_backward(cbm_sum(cbm_add(cbm_mul(w, w), w))); /* two uses */
    cbm_backward(cbm_sum(w));
    assert_true(first(cbm_gradient(w)) == 18);
    cbm_clear_gradient(w);
    assert_null(cbm_gradient(w));
    cbm_set_gradient(w, cbm_full(cx, CBM_F32, CBM_SHAPE(2, 3), 9));
    assert_true(first(cbm_gradient(w)) == 9);
    cbm_set_gradient(w, cbm_full(cx, CBM_F32, CBM_SHAPE(3), 9));
    expect_error(cx, CBM_ERROR_SHAPE, "[set_gradient]");
}

static void broadcasting_is_summed(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *b = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(3)), true);
    cbm_tensor *c = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE()), true);
    cbm_tensor *r = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(4, 1)), true);
    cbm_tensor *x = cbm_full(cx, CBM_F32, CBM_SHAPE(5, 4, 3), 2);
    cbm_backward(cbm_sum(cbm_mul(cbm_mul(cbm_mul(x, b), c), r)));
    assert_int_equal(cbm_tensor_rank(cbm_gradient(b)), 1);
    assert_int_equal(cbm_tensor_rank(cbm_gradient(c)), 0);
    assert_true(first(cbm_gradient(b)) == 40);
    assert_true(first(cbm_gradient(c)) == 120);
    assert_true(first(cbm_gradient(r)) == 30);
    no_error(cx);
}

static void history_is_released(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 2);
    cbm_tensor *loss = cbm_sum(cbm_mul(w, w));
    assert_int_equal(cbm_backward_retain(loss), CBM_OK);
    assert_int_equal(cbm_backward(loss), CBM_OK);
    assert_true(first(cbm_gradient(w)) == 8);
    assert_int_equal(cbm_backward(loss), CBM_ERROR_STATE);
    expect_error(cx, CBM_ERROR_STATE, "HINT: cbm_backward_retain");
    assert_true(first(cbm_gradient(w)) == 8);
}

static void what_cannot_be_differentiated(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 2);
    cbm_flush(cx);
    cbm_backward(cbm_mul(w, w));
    expect_error(cx, CBM_ERROR_SHAPE, "(2, 3)");
    cbm_backward(cbm_sum(ramp(cx, 2, 2)));
    expect_error(cx, CBM_ERROR_STATE, "HINT");
    cbm_scope *s = cbm_scope_begin_no_grad(cx);
    cbm_tensor *t = cbm_sum(cbm_mul(w, w));
    assert_false(cbm_tensor_requires_grad(t));
    cbm_scope_end(s);
    cbm_backward(cbm_sum(cbm_detach(w)));
    expect_error(cx, CBM_ERROR_STATE, "detached");
    cbm_set_trainable(w, false);
    cbm_backward(cbm_sum(w));
    expect_error(cx, CBM_ERROR_STATE, "frozen");
    cbm_set_trainable(w, true);
    assert_int_equal(cbm_backward(cbm_sum(w)), CBM_OK);
    cbm_variable(cbm_zeros(cx, CBM_I64, CBM_SHAPE(2)), true);
    expect_error(cx, CBM_ERROR_DTYPE, "i64");
}

static cbm_tensor *twice(cbm_tensor *gradient, void *user)
{
    ++*(int *)user;
    return cbm_mul_scalar(gradient, 2);
}

static cbm_tensor *wrong(cbm_tensor *gradient, void *user)
{
    (void)user;
    return cbm_sum(gradient);
}

static void hooks_run_while_recording(cbm_context *cx, bool planned)
{
    (void)planned;
    int on_w = 0, on_t = 0;
    cbm_tensor *w = parameter(cx, 3);
    cbm_tensor *t = cbm_mul(w, w);
    cbm_add_hook(w, twice, &on_w, NULL);
    cbm_add_hook(t, twice, &on_t, NULL);
    cbm_backward(cbm_sum(cbm_add(t, t)));
    assert_int_equal(on_w, 1);
    assert_int_equal(on_t, 1);
    assert_int_equal(cbm_context_statistics(cx).evaluations, 0);
    assert_true(first(cbm_gradient(w)) == 48);
    cbm_add_hook(w, wrong, NULL, NULL);
    cbm_backward(cbm_sum(w));
    expect_error(cx, CBM_ERROR_CALLBACK, "shape");
    assert_true(first(cbm_gradient(w)) == 48);
}

static void gradients_of_gradients(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 3), *x = parameter(cx, 2), *g, *h, *xs[] = { w, x }, *grads[2];
    cbm_tensor *y = cbm_sum(cbm_mul(w, cbm_mul(w, w)));
    assert_int_equal(cbm_grad(y, &w, 1, &g, .create_graph = true), CBM_OK);
    assert_true(first(g) == 27);
    assert_int_equal(cbm_grad(cbm_sum(g), &w, 1, &h), CBM_OK);
    assert_true(first(h) == 18);
    assert_null(cbm_gradient(w)); /* nothing is accumulated */
    cbm_tensor *z = cbm_mul(w, w);
    assert_int_equal(cbm_grad(z, xs, 2, grads, .weight = cbm_full(cx, CBM_F32, CBM_SHAPE(2, 3), 10)), CBM_OK);
    assert_true(first(grads[0]) == 60);
    assert_true(first(grads[1]) == 0);
    /* A penalty on a gradient, backward through it. */
    cbm_tensor *out = cbm_sum(cbm_mul(cbm_mul(x, x), w)), *slope;
    assert_int_equal(cbm_grad(out, &x, 1, &slope, .create_graph = true), CBM_OK);
    assert_int_equal(cbm_backward(cbm_sum(cbm_mul(slope, slope))), CBM_OK); /* sum (2 x w)^2 */
    assert_true(first(cbm_gradient(x)) == 8 * 2 * 9);
    assert_true(first(cbm_gradient(w)) == 8 * 4 * 3);
    no_error(cx);
}

/* The versions that were read are differentiated, not the newest. */
static void old_versions_are_differentiated(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 3);
    cbm_tensor *loss = cbm_sum(cbm_mul(w, w));
    cbm_assign(w, cbm_mul_scalar(w, 10));
    cbm_tensor *newer = cbm_sum(cbm_mul(w, w));
    cbm_backward(loss);
    cbm_backward(newer);
    assert_true(first(cbm_gradient(w)) == 66);
    no_error(cx);
}

/* A value that was fused away, then used again where backward will need it, is kept this time. */
static void saved_when_used_again(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 2), *u = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 3)), false);
    cbm_assign(u, cbm_add_scalar(u, 1)); /* memory of its own */
    cbm_flush(cx);
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *hidden = cbm_add_scalar(u, 3);
    cbm_item(cbm_sum(hidden));
    cbm_tensor *loss = cbm_sum(cbm_mul(w, hidden));
    cbm_item(loss);
    cbm_assign(u, cbm_full(cx, CBM_F32, CBM_SHAPE(2, 3), 9));
    cbm_flush(cx);
    cbm_backward(loss);
    assert_true(first(cbm_gradient(w)) == 5);
    cbm_scope_end(s);
    no_error(cx);
}

static void a_fused_away_gradient_is_kept(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 2), *u = cbm_variable(ramp(cx, 2, 3), false);
    cbm_assign(u, cbm_add_scalar(u, 1));
    cbm_flush(cx);
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *hidden = cbm_add_scalar(u, 3);
    cbm_item(cbm_sum(hidden));
    cbm_set_gradient(w, hidden);
    cbm_assign(u, cbm_mul_scalar(u, 0));
    cbm_scope_end(s);
    assert_true(first(cbm_gradient(w)) == 3);
    no_error(cx);
}

static bool product_by_others(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in,
                              cbm_tensor **out)
{
    (void)cx;
    (void)attributes;
    (void)n_in;
    out[0] = cbm_mul(in[0], in[1]);
    return true;
}

static cbm_status product_kernel(const cbm_launch *l)
{
    for (int64_t i = 0; i < l->out[0].count; i++)
        ((float *)l->out[0].data)[i] = ((const float *)l->in[0].data)[i] * ((const float *)l->in[1].data)[i];
    return CBM_OK;
}

static const cbm_op product_op = { .struct_size = sizeof(cbm_op),
                                   .name = "product",
                                   .n_in = 2,
                                   .n_out = 1,
                                   .infer = spy_infer,
                                   .kernel = product_kernel,
                                   .decompose = product_by_others };

/* An operation without a vjp is differentiated through its decomposition; one operand made from the other counts once.
   Afterwards nothing is held for backward any more: the variable is overwritten in place. */
static void through_a_decomposition(cbm_context *cx, bool planned)
{
    cbm_tensor *w = parameter(cx, 2);
    cbm_assign(w, cbm_detach(w));
    cbm_flush(cx);
    const void *place = cbm_tensor_data(w);
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(s, cx);
        cbm_tensor *in[] = { w, cbm_mul_scalar(w, 3) };
        cbm_tensor *y = cbm_apply(cx, &product_op, in, 2, NULL, NULL);
        cbm_backward(cbm_sum(y)); /* 3 w^2 */
        assert_true(first(cbm_gradient(w)) == 6 * first(w));
        cbm_assign(w, cbm_add_scalar(cbm_detach(w), 1));
        cbm_clear_gradient(w);
        cbm_flush(cx);
    }
    if (planned)
        assert_ptr_equal(cbm_tensor_data(w), place);
    assert_true(first(w) == 5);
    no_error(cx);
}

static void a_long_chain(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *w = parameter(cx, 1), *t = w;
    for (int i = 0; i < 20000; i++)
        t = cbm_add_scalar(t, 0);
    cbm_backward(cbm_sum(t));
    assert_true(first(cbm_gradient(w)) == 1);
    no_error(cx);
}

RUN_RULES(RULE(backward_only_records), RULE(gradients_live_outside_scopes_and_add_up), RULE(broadcasting_is_summed),
          RULE(history_is_released), RULE(what_cannot_be_differentiated), RULE(hooks_run_while_recording),
          RULE(gradients_of_gradients), RULE(old_versions_are_differentiated), RULE(saved_when_used_again),
          RULE(a_fused_away_gradient_is_kept), RULE(through_a_decomposition), RULE(a_long_chain))
