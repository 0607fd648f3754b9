/* state.c: variables have versions: a read records the current one, an assignment makes a new one, in place when nobody reads
   the old one and otherwise in a copy. */
#include "semantics/semantics.h"

static cbm_tensor *own_variable(cbm_context *cx, bool trainable)
{
    cbm_tensor *v = cbm_variable(cbm_full(cx, CBM_F32, CBM_SHAPE(3, 3), 1), trainable);
    cbm_flush(cx);
    return v;
}

static void reads_keep_their_version(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *v = own_variable(cx, false);
    cbm_tensor *before = cbm_mul_scalar(v, 10);
    cbm_assign(v, cbm_add_scalar(v, 1));
    cbm_tensor *between = cbm_mul_scalar(v, 10);
    cbm_assign(v, cbm_add_scalar(v, 1));
    cbm_tensor *after = cbm_mul_scalar(v, 10);
    cbm_tensor *all[] = { after, before, between };
    assert_int_equal(cbm_compute(all, 3), CBM_OK);
    assert_true(first(before) == 10 && first(between) == 20 && first(after) == 30 && first(v) == 3);
}

static void in_place_when_nobody_reads(cbm_context *cx, bool planned)
{
    cbm_tensor *v = own_variable(cx, false);
    const void *place = cbm_tensor_data(v);
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(s, cx);
        cbm_assign(v, cbm_mul_scalar(v, 2));
        cbm_flush(cx);
        if (planned) /* naively the memory may come back by chance */
            assert_ptr_equal(cbm_tensor_data(v), place);
    }
    assert_true(first(v) == 8);
    assert_int_equal(cbm_context_statistics(cx).versions_copied == 0, planned);
}

/* A generator's loss is recorded, the discriminator steps, then the loss is differentiated: with the old version. */
static void saved_versions_survive_a_step(cbm_context *cx, bool planned)
{
    (void)planned;
    for (int evaluated = 0; evaluated < 2; evaluated++) {
        cbm_tensor *g = own_variable(cx, true), *d = own_variable(cx, true);
        cbm_tensor *loss = cbm_sum(cbm_mul(g, d));
        if (evaluated)
            cbm_item(loss);
        cbm_assign(d, cbm_mul_scalar(d, 5));
        cbm_flush(cx);
        assert_true(first(d) == 5);
        cbm_backward_variables(loss, &g, 1);
        assert_true(first(cbm_gradient(g)) == 1);
        assert_null(cbm_gradient(d));
        no_error(cx);
    }
}

static void two_variables_change_places(cbm_context *cx, bool planned)
{
    (void)planned;
    enum { N = 5000 }; /* many tiles of a pass */
    static float x[N], y[N];
    for (int i = 0; i < N; i++)
        x[i] = (float)i, y[i] = -(float)i;
    cbm_tensor *a = cbm_variable(cbm_mul_scalar(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(N), x), 1), false);
    cbm_tensor *b = cbm_variable(cbm_mul_scalar(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(N), y), 1), false);
    cbm_flush(cx);
    for (int round = 0; round < 3; round++) {
        cbm_scope *s = cbm_scope_begin(cx);
        cbm_tensor *old_a = cbm_mul_scalar(a, 1), *old_b = cbm_mul_scalar(b, 1);
        cbm_assign(a, old_b);
        cbm_assign(b, old_a);
        cbm_scope_end(s);
        cbm_read(a, x, sizeof x);
        cbm_read(b, y, sizeof y);
        float sign = round % 2 ? 1 : -1;
        for (int i = 0; i < N; i++)
            assert_true(x[i] == sign * (float)i && y[i] == -sign * (float)i);
    }
    no_error(cx);
}

/* An assignment reads a view of what it overwrites. */
static void views_of_the_old_version(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *v = cbm_variable(cbm_mul_scalar(ramp(cx, 3, 3), 8), false);
    cbm_flush(cx);
    for (int i = 0; i < 3; i++) {
        CBM_SCOPE(s, cx);
        cbm_assign(v, cbm_transpose(v, 0, 1));
    }
    float x[9];
    assert_int_equal(cbm_read(v, x, sizeof x), CBM_OK);
    assert_true(x[0] == -8 && x[1] == -5 && x[3] == -7 && x[5] == -1 && x[7] == -3);
    cbm_scope *s = cbm_scope_begin(cx);
    cbm_tensor *rows[] = { cbm_slice(v, 0, 1, 3, 1), cbm_slice(v, 0, 0, 1, 1) };
    cbm_assign(v, cbm_concat(rows, 2, 0));
    cbm_scope_end(s);
    assert_int_equal(cbm_read(v, x, sizeof x), CBM_OK);
    assert_true(x[0] == -7 && x[6] == -8 && x[8] == -2);
    no_error(cx);
}

/* Two variables may begin with one tensor; they do not share what comes after. The tensor stays. */
static void variables_from_one_tensor(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *t = ramp(cx, 3, 3);
    cbm_tensor *a = cbm_variable(t, false), *b = cbm_variable(t, false), *c = cbm_variable(a, false);
    cbm_assign(a, cbm_add_scalar(a, 5));
    cbm_assign(b, cbm_add_scalar(b, 7));
    cbm_flush(cx);
    cbm_assign(a, cbm_add_scalar(a, 5));
    cbm_flush(cx);
    assert_true(first(a) == 9 && first(b) == 6 && first(t) == -1 && first(c) == -1);
    cbm_assign(a, b);
    cbm_flush(cx);
    cbm_assign(b, cbm_mul_scalar(b, 2));
    assert_true(first(b) == 12 && first(a) == 6);
    no_error(cx);
}

static void writing_from_the_host(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *v = own_variable(cx, true);
    cbm_tensor *old = cbm_mul_scalar(v, 2);
    float x[9] = { 5, 5, 5, 5, 5, 5, 5, 5, 5 };
    assert_int_equal(cbm_write(v, x, sizeof x), CBM_OK);
    assert_true(first(v) == 5 && first(old) == 2);
    assert_true(cbm_tensor_requires_grad(v));
    /* Written with nothing pending: no later error takes it back. */
    x[0] = 6;
    assert_int_equal(cbm_write(v, x, sizeof x), CBM_OK);
    cbm_fail(cx, CBM_ERROR_CALLBACK, "later");
    cbm_clear(cx);
    assert_true(first(v) == 6);
    assert_int_equal(cbm_write(v, x, 8), CBM_ERROR_INVALID);
    expect_error(cx, CBM_ERROR_INVALID, "36 bytes");
    assert_true(first(v) == 6);
}

static void a_released_variable_s_old_reads_stay(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *v = own_variable(cx, true);
    cbm_tensor *t = cbm_mul_scalar(v, 3), *loss = cbm_sum(cbm_mul(t, t));
    cbm_assign(v, cbm_add_scalar(v, 1));
    cbm_release(v);
    assert_true(first(t) == 3);
    assert_true(cbm_item(loss) == 81);
    assert_int_equal(cbm_backward(loss), CBM_OK);
    cbm_flush(cx);
    no_error(cx);
}

static void handles_name_the_newest_version(cbm_context *cx, bool planned)
{
    (void)planned;
    cbm_tensor *v = own_variable(cx, false), *stored = NULL;
    cbm_set(&stored, v);
    cbm_assign(v, cbm_mul_scalar(v, 4));
    assert_true(first(stored) == 4);
    cbm_tensor *before = cbm_detach(v);
    cbm_assign(v, cbm_mul_scalar(v, 4));
    cbm_flush(cx);
    assert_true(first(stored) == 16 && first(before) == 4);
    cbm_set(&stored, NULL);
}

RUN_RULES(RULE(reads_keep_their_version), RULE(in_place_when_nobody_reads), RULE(saved_versions_survive_a_step),
          RULE(two_variables_change_places), RULE(views_of_the_old_version), RULE(variables_from_one_tensor),
          RULE(writing_from_the_host), RULE(a_released_variable_s_old_reads_stay),
          RULE(handles_name_the_newest_version))
