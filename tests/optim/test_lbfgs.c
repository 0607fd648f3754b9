/* test_lbfgs.c: what L-BFGS promises besides PyTorch's numbers (tests/trajectory): it solves what it should, makes no new plans
   once its memory is full, goes on from a checkpoint bit for bit, and a step happens wholly or not at all, at whichever of
   its evaluations it fails. And steps with a closure of all other kinds. */
#include <cambium/cambium.h>
#include "support/folder.h"
#include "support/state.h"
#include "tensor/context.h"
#include <math.h>

/* ---- a valley ---- */

static cbm_tensor *unused_forward(cbm_module *self, cbm_tensor *x)
{
    (void)self;
    return x;
}

/* A module with one vector of parameters. */
static cbm_module *vector(cbm_context *cx, const double *values, int64_t count)
{
    cbm_module *m = cbm_module_new(cx, sizeof *m, unused_forward);
    cbm_tensor *p = cbm_variable(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(count), values), true);
    cbm_add_parameter(m, "p", p);
    cbm_release(p);
    return m;
}

/* Rosenbrock's function, (1 - x)^2 + 100 (y - x^2)^2. */
static cbm_tensor *rosenbrock(void *user)
{
    cbm_tensor *p = cbm_parameter(user, "p"), *x = cbm_slice(p, 0, 0, 1, 1), *y = cbm_slice(p, 0, 1, 2, 1);
    cbm_tensor *a = cbm_add_scalar(cbm_neg(x), 1), *b = cbm_sub(y, cbm_mul(x, x));
    return cbm_sum(cbm_add(cbm_mul(a, a), cbm_mul_scalar(cbm_mul(b, b), 100)));
}

static void test_valley(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    const double start[] = { -1.5, 2 };
    cbm_module *m = vector(cx, start, 2);
    cbm_optimizer *opt = cbm_lbfgs(m, .tolerance_change = 1e-16, .line_search = CBM_LINE_SEARCH_STRONG_WOLFE);
    double loss = NAN, at[2], before = INFINITY;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cbm_step_closure(opt, rosenbrock, m, &loss), CBM_OK);
        assert_true(loss < before);
        before = loss;
    }
    cbm_read(cbm_parameter(m, "p"), at, sizeof at);
    if (!(fabs(at[0] - 1) < 1e-6 && fabs(at[1] - 1) < 1e-6))
        fail_msg("the valley's lowest point is (1, 1), not (%g, %g)", at[0], at[1]);
    assert_null(cbm_gradient(cbm_parameter(m, "p")));
    cbm_step_closure(opt, rosenbrock, m, &loss); /* nothing is left to do */
    assert_true(loss < 1e-12);
    good(cx);
    cbm_close(cx);
}

/* ---- a network ---- */

typedef struct world {
    cbm_context *cx;
    cbm_module *net;
    cbm_optimizer *opt;
    cbm_tensor *x, *y;
    int64_t calls;
    int64_t fails_at;                                        /* the call of the closure that fails; 0: none */
    cbm_tensor *(*fails)(struct world *w, cbm_tensor *loss); /* how */
} world;

/* Dropout and batch norm: evaluations have effects. */
static world open_world(uint64_t seed, int64_t history, int64_t line_search)
{
    world w = { .cx = cbm_open_with(.threads = 1, .seed = seed) };
    w.net = cbm_sequential(w.cx, cbm_nn_linear(w.cx, 4, 6), cbm_nn_batch_norm1d(w.cx, 6), cbm_nn_tanh(w.cx),
                           cbm_nn_dropout(w.cx, 0.2), cbm_nn_linear(w.cx, 6, 2), CBM_END);
    w.opt = cbm_lbfgs(w.net, .lr = line_search ? 1 : 0.2, .max_iter = 3, .history_size = history,
                      .line_search = line_search);
    w.x = cbm_variable(cbm_normal(w.cx, CBM_F32, CBM_SHAPE(12, 4), 0, 1), false);
    w.y = cbm_variable(cbm_normal(w.cx, CBM_F32, CBM_SHAPE(12, 2), 0, 1), false);
    assert_int_equal(cbm_flush(w.cx), CBM_OK);
    return w;
}

static cbm_tensor *closure(void *user)
{
    world *w = user;
    cbm_tensor *loss = cbm_mse(cbm_call(w->net, w->x), w->y);
    return ++w->calls == w->fails_at ? w->fails(w, loss) : loss;
}

static void expect_same(world *a, world *b, const char *what)
{
    uint64_t of_a[2], of_b[2];
    expect_same_state(a->net, a->opt, b->net, b->opt, what);
    cbm_random_state(a->cx, &of_a[0], &of_a[1]);
    cbm_random_state(b->cx, &of_b[0], &of_b[1]);
    assert_memory_equal(of_a, of_b, sizeof of_a);
    assert_int_equal(cbm_step_count(a->opt), cbm_step_count(b->opt));
}

static void test_plans(void **state)
{
    (void)state;
    for (int64_t line_search = 0; line_search < 2; line_search++) {
        world w = open_world(3, 2, line_search);
        cbm_eval(w.net); /* without noise every change is one to remember */
        uint64_t plans = 0;
        for (int i = 0; i < 8; i++) {
            assert_int_equal(cbm_step_closure(w.opt, closure, &w, NULL), CBM_OK);
            if (i == 2)
                plans = cbm_context_statistics(w.cx).plans_made;
        }
        if (cbm_context_statistics(w.cx).plans_made != plans)
            fail_msg("%s", cbm_explain(w.cx));
        cbm_close(w.cx);
    }
}

/* ---- all or nothing ---- */

static cbm_tensor *no_loss(world *w, cbm_tensor *loss)
{
    (void)w;
    (void)loss;
    return NULL;
}
static cbm_tensor *bad_label(world *w, cbm_tensor *loss)
{
    const int64_t labels[12] = { 9 };
    (void)loss;
    return cbm_cross_entropy(cbm_call(w->net, w->x), cbm_tensor_from(w->cx, CBM_I64, CBM_SHAPE(12), labels));
}
static cbm_tensor *cancelled(world *w, cbm_tensor *loss)
{
    cbm_cancel(w->cx);
    return loss;
}
static cbm_tensor *not_finite(world *w, cbm_tensor *loss)
{
    (void)w;
    return cbm_mul_scalar(loss, NAN);
}
static cbm_tensor *wrong_shape(world *w, cbm_tensor *loss)
{
    (void)loss;
    return cbm_call(w->net, w->x);
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    static const struct {
        cbm_tensor *(*fails)(world *w, cbm_tensor *loss);
        cbm_status status;
    } ways[] = { { no_loss, CBM_ERROR_CALLBACK },
                 { bad_label, CBM_ERROR_RANGE },
                 { cancelled, CBM_ERROR_CANCELLED },
                 { not_finite, CBM_ERROR_RANGE },
                 { wrong_shape, CBM_ERROR_SHAPE } };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        for (int64_t at = 1; at <= 3; at++) {
            world w = open_world(3, 2, CBM_LINE_SEARCH_NONE), same = open_world(3, 2, CBM_LINE_SEARCH_NONE);
            for (int k = 0; k < 2; k++) {
                cbm_step_closure(w.opt, closure, &w, NULL);
                cbm_step_closure(same.opt, closure, &same, NULL);
            }
            w.fails_at = w.calls + at;
            w.fails = ways[i].fails;
            double loss = 0;
            assert_int_equal(cbm_step_closure(w.opt, closure, &w, &loss), ways[i].status);
            assert_true(at > 1 || isnan(loss));
            cbm_clear(w.cx);
            expect_same(&w, &same, "after a failure");
            cbm_step_closure(w.opt, closure, &w, NULL);
            cbm_step_closure(same.opt, closure, &same, NULL);
            good(w.cx);
            expect_same(&w, &same, "after trying again");
            cbm_close(w.cx);
            cbm_close(same.cx);
        }
}

static void test_no_memory(void **state)
{
    (void)state;
    bool done = false;
    for (int64_t n = 1; !done; n += 1 + n / 30) {
        world w = open_world(3, 2, CBM_LINE_SEARCH_STRONG_WOLFE), same = open_world(3, 2, CBM_LINE_SEARCH_STRONG_WOLFE);
        cbm_step_closure(w.opt, closure, &w, NULL);
        cbm_step_closure(same.opt, closure, &same, NULL);
        cbm_heap_fail_after(cbm_context_heap(w.cx), n);
        done = cbm_step_closure(w.opt, closure, &w, NULL) == CBM_OK;
        cbm_heap_fail_after(cbm_context_heap(w.cx), 0);
        if (!done)
            refused(w.cx, CBM_ERROR_MEMORY, "no memory");
        else
            cbm_step_closure(same.opt, closure, &same, NULL);
        expect_same(&w, &same, "after no memory");
        cbm_close(w.cx);
        cbm_close(same.cx);
        assert_true(n < 100000);
    }
}

/* ---- the rest ---- */

static void test_resume(void **state)
{
    const char *path = folder_path(state, "a.ckpt");
    for (int64_t line_search = 0; line_search < 2; line_search++)
        for (int stop = 0; stop < 4; stop++) {
            world a = open_world(3, 4, line_search), b = open_world(4, 4, line_search);
            for (int i = 0; i < stop; i++)
                cbm_step_closure(a.opt, closure, &a, NULL);
            cbm_step_closure(b.opt, closure, &b, NULL);
            cbm_checkpoint ca = { .module = a.net, .optimizer = a.opt }, cb = { .module = b.net, .optimizer = b.opt };
            assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
            assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_OK);
            cbm_assign(b.x, cbm_tensor_from(b.cx, CBM_F32, CBM_SHAPE(12, 4), cbm_tensor_data(a.x)));
            cbm_assign(b.y, cbm_tensor_from(b.cx, CBM_F32, CBM_SHAPE(12, 2), cbm_tensor_data(a.y)));
            for (int i = 0; i < 3; i++) {
                double of_a, of_b;
                cbm_step_closure(a.opt, closure, &a, &of_a);
                cbm_step_closure(b.opt, closure, &b, &of_b);
                assert_true(of_a == of_b);
            }
            good(a.cx);
            good(b.cx);
            expect_same(&a, &b, "resumed");
            cbm_close(a.cx);
            cbm_close(b.cx);
        }
}

static void test_frozen(void **state)
{
    (void)state;
    world w = open_world(3, 4, CBM_LINE_SEARCH_STRONG_WOLFE);
    float before[24], after[24];
    cbm_tensor *frozen = cbm_parameter(w.net, "0.weight");
    cbm_step_closure(w.opt, closure, &w, NULL);
    cbm_set_trainable(frozen, false);
    cbm_read(frozen, before, sizeof before);
    double first, last;
    cbm_step_closure(w.opt, closure, &w, &first);
    cbm_step_closure(w.opt, closure, &w, NULL);
    cbm_step_closure(w.opt, closure, &w, &last);
    cbm_read(frozen, after, sizeof after);
    assert_memory_equal(before, after, sizeof before);
    assert_true(last < first);
    good(w.cx);
    cbm_close(w.cx);
}

/* More parameters than an operation takes inputs. */
static void test_many_parameters(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_module *layers[70];
    for (int i = 0; i < 70; i++)
        layers[i] = cbm_nn_linear(cx, 2, 2, .dtype = CBM_F64);
    world w = { .cx = cx, .net = cbm_sequential_of(cx, 70, layers) };
    w.x = cbm_variable(cbm_normal(cx, CBM_F64, CBM_SHAPE(3, 2), 0, 1), false);
    w.y = cbm_variable(cbm_normal(cx, CBM_F64, CBM_SHAPE(3, 2), 0, 1), false);
    w.opt = cbm_lbfgs(w.net, .history_size = 5, .line_search = CBM_LINE_SEARCH_STRONG_WOLFE);
    double first, last;
    cbm_step_closure(w.opt, closure, &w, &first);
    cbm_step_closure(w.opt, closure, &w, &last);
    good(cx);
    assert_true(last < first);
    cbm_close(cx);
}

static cbm_tensor *plain_closure(void *user)
{
    cbm_module *net = user;
    cbm_tensor *y = cbm_call(net, cbm_ones(net->cx, CBM_F32, CBM_SHAPE(1, 3)));
    return cbm_sum(cbm_mul(y, y));
}

/* A step with a closure of another kind is a backward and a step. */
static void test_other_kinds(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_module *a = cbm_nn_linear(cx, 3, 2), *b = cbm_nn_linear(cx, 3, 2);
    float weights[6], other[6];
    for (int i = 0; i < 2; i++) {
        const char *names[] = { "weight", "bias" };
        cbm_assign(cbm_parameter(b, names[i]), cbm_detach(cbm_parameter(a, names[i])));
    }
    cbm_optimizer *with = cbm_adam(a), *without = cbm_adam(b);
    for (int i = 0; i < 3; i++) {
        double loss = 0, want;
        assert_int_equal(cbm_step_closure(with, plain_closure, a, &loss), CBM_OK);
        CBM_SCOPE(scope, cx);
        cbm_tensor *recorded = plain_closure(b);
        cbm_backward(recorded);
        cbm_step(without);
        want = cbm_item(recorded);
        assert_true(loss == want);
    }
    cbm_read(cbm_parameter(a, "weight"), weights, sizeof weights);
    cbm_read(cbm_parameter(b, "weight"), other, sizeof other);
    assert_memory_equal(weights, other, sizeof weights);
    assert_int_equal(cbm_step_count(with), 3);
    good(cx);
    cbm_close(cx);
}

static cbm_tensor *returns_null(void *user)
{
    (void)user;
    return NULL;
}

static void test_refused(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_nn_linear(cx, 3, 2);
    cbm_optimizer *opt = cbm_lbfgs(net);
    cbm_step(opt);
    refused(cx, CBM_ERROR_STATE, "[step] lbfgs evaluates the loss several times. HINT: cbm_step_closure");
    cbm_add_group(opt, .suffix = "bias");
    refused(cx, CBM_ERROR_UNSUPPORTED, "[add_group] lbfgs has one group");
    cbm_step_closure(opt, NULL, NULL, NULL);
    refused(cx, CBM_ERROR_INVALID, "the closure is NULL");
    cbm_step_closure(cbm_sgd(net), returns_null, NULL, NULL);
    refused(cx, CBM_ERROR_CALLBACK, "the closure returned NULL");
    assert_int_equal(cbm_step_closure(NULL, returns_null, NULL, NULL), CBM_ERROR_STATE);
    cbm_lbfgs(net, .history_size = 0);
    refused(cx, CBM_ERROR_INVALID, "[lbfgs] history_size must be at least 1");
    cbm_lbfgs(net, .max_iter = 0);
    refused(cx, CBM_ERROR_INVALID, "[lbfgs] max_iter is 0");
    cbm_lbfgs(net, .line_search = 2);
    refused(cx, CBM_ERROR_INVALID, "[lbfgs] line_search is 2");
    cbm_lbfgs(cbm_sequential(cx, net, cbm_nn_linear(cx, 2, 2, .dtype = CBM_F64), CBM_END));
    refused(cx, CBM_ERROR_DTYPE, "0.weight is f32, 1.weight f64");
    cbm_set_optimizer_option(opt, 0, "max_iter", 7);
    assert_true(cbm_optimizer_option(opt, 0, "max_iter") == 7);
    cbm_set_optimizer_option(opt, 0, "weight_decay", 1);
    refused(cx, CBM_ERROR_INVALID, "lbfgs has no option 'weight_decay'");
    cbm_schedule_exponential(opt, .gamma = 0.5);
    cbm_set_learning_rate(opt, 0.5);
    assert_true(cbm_learning_rate(opt) == 0.5);
    good(cx);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valley),
        cmocka_unit_test(test_plans),
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test_setup_teardown(test_resume, folder_make, folder_remove),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_many_parameters),
        cmocka_unit_test(test_other_kinds),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
