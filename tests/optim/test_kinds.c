/* test_kinds.c: what every kind of optimizer promises besides PyTorch's numbers (tests/trajectory): one plan for all steps
   whatever the schedule does, state that is there from the start, frozen parameters, all or nothing, and runs that go on
   from a checkpoint bit for bit, with groups and schedules. */
#include "optim/kinds.h"
#include "support/folder.h"
#include "support/state.h"
#include "tensor/context.h"
#include <math.h>
#include <stdio.h>

typedef struct world {
    cbm_context *cx;
    cbm_module *net;
    cbm_optimizer *opt;
    cbm_schedule *schedule;
    cbm_tensor *x;
} world;

static world open_world(const optimizer_kind *kind, cbm_dtype dtype, uint64_t seed)
{
    world w = { .cx = cbm_open_with(.threads = 1, .seed = seed) };
    w.net = cbm_sequential(w.cx, cbm_nn_linear(w.cx, 4, 8, .dtype = dtype), cbm_nn_tanh(w.cx),
                           cbm_nn_linear(w.cx, 8, 3, .dtype = dtype), CBM_END);
    w.opt = kind->make(w.net);
    assert_int_equal(cbm_add_group(w.opt, .suffix = "bias", .weight_decay = 0), 1);
    w.x = cbm_variable(cbm_normal(w.cx, dtype, CBM_SHAPE(5, 4), 0, 1), false);
    good(w.cx);
    assert_int_equal(cbm_flush(w.cx), CBM_OK);
    return w;
}

static double step(world *w)
{
    CBM_SCOPE(scope, w->cx);
    cbm_tensor *y = cbm_call(w->net, w->x), *loss = cbm_mean(cbm_mul(y, y));
    cbm_backward(loss);
    cbm_step(w->opt);
    if (w->schedule)
        cbm_schedule_next(w->schedule);
    return cbm_item(loss);
}

static void expect_same(world *a, world *b, const char *what)
{
    expect_same_state(a->net, a->opt, b->net, b->opt, what);
    for (int64_t g = 0; g < cbm_group_count(a->opt); g++)
        if (cbm_optimizer_option(a->opt, g, "lr") != cbm_optimizer_option(b->opt, g, "lr"))
            fail_msg("%s: the rates of group %lld differ", what, (long long)g);
    assert_int_equal(cbm_step_count(a->opt), cbm_step_count(b->opt));
}

static void test_one_plan(void **state)
{
    (void)state;
    for (size_t k = 0; k < OPTIMIZER_KINDS; k++) {
        const optimizer_kind *kind = &optimizer_kinds[k];
        world w = open_world(kind, CBM_F32, 1);
        w.schedule = cbm_schedule_cosine(w.opt, .steps = 12);
        uint64_t plans = 0;
        double losses[12];
        for (int i = 0; i < 12; i++) {
            losses[i] = step(&w);
            if (i == kind->other_steps)
                plans = cbm_context_statistics(w.cx).plans_made;
        }
        good(w.cx);
        if (cbm_context_statistics(w.cx).plans_made != plans)
            fail_msg("%s: %s", kind->name, cbm_explain(w.cx));
        assert_true(losses[11] < losses[0]);
        assert_true(w.cx->replay.steps >= 4); /* the last ones were recognised call by call */
        assert_string_equal(cbm_optimizer_name(w.opt), kind->name);
        cbm_close(w.cx);
    }
}

static void test_state(void **state)
{
    (void)state;
    for (size_t k = 0; k < OPTIMIZER_KINDS; k++) {
        world w = open_world(&optimizer_kinds[k], CBM_F64, 1);
        size_t counts = strcmp(optimizer_kinds[k].name, "nadam") == 0 ? 2 : 1;
        assert_int_equal(cbm_optimizer_state_count(w.opt), 4 * optimizer_kinds[k].states + counts);
        cbm_named named;
        size_t i = 0;
        for (; cbm_optimizer_state_at(w.opt, i, &named); i++)
            if (strncmp(named.name, "0.weight.", 9) == 0)
                assert_int_equal(cbm_tensor_count(named.tensor), 32);
        assert_int_equal(i, cbm_optimizer_state_count(w.opt));
        assert_string_equal(named.name, counts == 2 ? "mu_product" : "steps");
        good(w.cx);
        cbm_close(w.cx);
    }
}

/* Under precision bf16 parameters and state stay f32, and everything in a step with them. */
static void test_bf16(void **state)
{
    (void)state;
    for (size_t k = 0; k < OPTIMIZER_KINDS; k++) {
        world w = { .cx = cbm_open_with(.threads = 1, .seed = 1, .precision = CBM_PRECISION_BF16) };
        w.net = cbm_sequential(w.cx, cbm_nn_linear(w.cx, 4, 8), cbm_nn_tanh(w.cx), cbm_nn_linear(w.cx, 8, 3), CBM_END);
        w.opt = optimizer_kinds[k].make(w.net);
        w.x = cbm_variable(cbm_normal(w.cx, CBM_F32, CBM_SHAPE(5, 4), 0, 1), false);
        double first = step(&w), last = first;
        for (int i = 0; i < 8; i++)
            last = step(&w);
        good(w.cx);
        assert_true(last < first);
        cbm_named named;
        for (size_t i = 0; cbm_optimizer_state_at(w.opt, i, &named); i++)
            assert_true(cbm_tensor_dtype(named.tensor) != CBM_BF16);
        cbm_close(w.cx);
    }
}

static void test_frozen(void **state)
{
    (void)state;
    for (size_t k = 0; k < OPTIMIZER_KINDS; k++) {
        world w = open_world(&optimizer_kinds[k], CBM_F64, 1);
        double before[32], after[32], bias[3], moved[3];
        cbm_tensor *frozen = cbm_parameter(w.net, "0.weight"), *free_one = cbm_parameter(w.net, "2.bias");
        cbm_set_trainable(frozen, false);
        cbm_read(frozen, before, sizeof before);
        cbm_read(free_one, bias, sizeof bias);
        step(&w);
        step(&w);
        cbm_read(frozen, after, sizeof after);
        cbm_read(free_one, moved, sizeof moved);
        assert_memory_equal(before, after, sizeof before);
        assert_true(moved[0] != bias[0]);
        /* thawed, its first step is a first step: the steps of each parameter are counted by themselves */
        world fresh = open_world(&optimizer_kinds[k], CBM_F64, 1);
        cbm_write(cbm_parameter(fresh.net, "2.bias"), moved, sizeof moved);
        double other[24];
        cbm_read(cbm_parameter(w.net, "2.weight"), other, sizeof other);
        cbm_write(cbm_parameter(fresh.net, "2.weight"), other, sizeof other);
        cbm_read(cbm_parameter(w.net, "0.bias"), other, 8 * sizeof *other);
        cbm_write(cbm_parameter(fresh.net, "0.bias"), other, 8 * sizeof *other);
        cbm_set_trainable(frozen, true);
        step(&w);
        step(&fresh);
        cbm_read(frozen, after, sizeof after);
        cbm_read(cbm_parameter(fresh.net, "0.weight"), before, sizeof before);
        assert_memory_equal(before, after, sizeof before);
        good(w.cx);
        good(fresh.cx);
        cbm_close(fresh.cx);
        cbm_close(w.cx);
    }
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    for (size_t k = 0; k < OPTIMIZER_KINDS; k++) {
        world w = open_world(&optimizer_kinds[k], CBM_F32, 1), same = open_world(&optimizer_kinds[k], CBM_F32, 1);
        step(&w);
        step(&same);
        cbm_scope *scope = cbm_scope_begin(w.cx);
        const int64_t labels[5] = { 0, 1, 2, 3, 0 }; /* there are three classes */
        cbm_tensor *targets = cbm_tensor_from(w.cx, CBM_I64, CBM_SHAPE(5), labels);
        cbm_backward(cbm_cross_entropy(cbm_call(w.net, w.x), targets));
        assert_int_equal(cbm_step(w.opt), CBM_ERROR_RANGE);
        cbm_scope_end(scope);
        refused(w.cx, CBM_ERROR_RANGE, "cross_entropy");
        cbm_zero_grad(w.opt);
        step(&w);
        step(&same);
        expect_same(&w, &same, optimizer_kinds[k].name);
        cbm_close(same.cx);
        cbm_close(w.cx);
    }
}

/* ---- checkpoints ---- */

static cbm_schedule *no_schedule(cbm_optimizer *opt)
{
    (void)opt;
    return NULL;
}
static cbm_schedule *one_cycle(cbm_optimizer *opt)
{
    bool has = strcmp(cbm_optimizer_name(opt), "adagrad") != 0 && strcmp(cbm_optimizer_name(opt), "adadelta") != 0 &&
               strcmp(cbm_optimizer_name(opt), "rprop") != 0;
    return cbm_schedule_one_cycle(opt, .max_lr = 0.05, .total_steps = 16, .cycle_momentum = has);
}
static cbm_schedule *joined(cbm_optimizer *opt)
{
    cbm_schedule *parts[] = { cbm_schedule_exponential(opt, .gamma = 0.9), cbm_schedule_step(opt, .step_size = 3) };
    cbm_schedule *both[] = { cbm_schedule_warmup(opt, .steps = 3), cbm_schedule_chained(parts, 2) };
    return cbm_schedule_sequential(both, 2, (const int64_t[]){ 5 });
}

static void test_resume(void **state)
{
    const char *path = folder_path(state, "a.ckpt");
    cbm_schedule *(*const schedules[])(cbm_optimizer *) = { no_schedule, one_cycle, joined };
    for (size_t k = 0; k < OPTIMIZER_KINDS; k++)
        for (size_t s = 0; s < 3; s++) {
            const optimizer_kind *kind = &optimizer_kinds[k];
            world a = open_world(kind, CBM_F32, 1), b = open_world(kind, CBM_F32, 2);
            a.schedule = schedules[s](a.opt);
            b.schedule = schedules[s](b.opt);
            for (int i = 0; i < 7; i++)
                step(&a);
            cbm_set_optimizer_option(a.opt, 1, "lr", 0.003); /* by hand: the file knows it */
            step(&a);
            step(&b);
            cbm_checkpoint ca = { .module = a.net, .optimizer = a.opt, .schedule = a.schedule }, cb = ca;
            cb.module = b.net, cb.optimizer = b.opt, cb.schedule = b.schedule;
            assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
            assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_OK);
            float x[20];
            cbm_read(a.x, x, sizeof x);
            cbm_write(b.x, x, sizeof x);
            for (int i = 0; i < 6; i++)
                assert_true(step(&a) == step(&b));
            good(a.cx);
            good(b.cx);
            expect_same(&a, &b, kind->name);
            cbm_close(a.cx);
            cbm_close(b.cx);
        }
}

/* What a plateau remembers is in the checkpoint: the fall comes at the same observation. */
static void test_resume_plateau(void **state)
{
    const char *path = folder_path(state, "a.ckpt");
    world a = open_world(&optimizer_kinds[0], CBM_F32, 1), b = open_world(&optimizer_kinds[0], CBM_F32, 1);
    world *worlds[] = { &a, &b };
    for (int i = 0; i < 2; i++)
        worlds[i]->schedule =
            cbm_schedule_plateau(worlds[i]->opt, .patience = 2, .cooldown = 1, .factor = 0.5, .threshold = 0);
    const double measures[] = { 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    for (int stop = 1; stop < 13; stop++) {
        cbm_schedule_observe(a.schedule, measures[stop - 1]);
        cbm_checkpoint ca = { .module = a.net, .optimizer = a.opt, .schedule = a.schedule };
        cbm_checkpoint cb = { .module = b.net, .optimizer = b.opt, .schedule = b.schedule };
        assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
        assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_OK);
        assert_int_equal(cbm_schedule_position(b.schedule), stop);
        world c = open_world(&optimizer_kinds[0], CBM_F32, 1);
        c.schedule = cbm_schedule_plateau(c.opt, .patience = 2, .cooldown = 1, .factor = 0.5, .threshold = 0);
        for (int i = 0; i < 14; i++) {
            cbm_schedule_observe(c.schedule, measures[i]);
            if (i >= stop)
                cbm_schedule_observe(b.schedule, measures[i]);
        }
        expect_same(&b, &c, "plateau");
        cbm_close(c.cx);
    }
    assert_true(cbm_learning_rate(a.opt) < 0.1);
    cbm_close(a.cx);
    cbm_close(b.cx);
}

static void test_other_groups(void **state)
{
    const char *path = folder_path(state, "a.ckpt");
    world a = open_world(&optimizer_kinds[0], CBM_F32, 1), b = open_world(&optimizer_kinds[0], CBM_F32, 1);
    step(&a);
    step(&b);
    cbm_checkpoint ca = { .module = a.net, .optimizer = a.opt }, cb = { .module = b.net, .optimizer = b.opt };
    assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
    assert_int_equal(cbm_add_group(b.opt, .prefix = "0.weight"), 2);
    assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_ERROR_INVALID);
    refused(b.cx, CBM_ERROR_INVALID, "2 parameter groups, not 3");
    assert_int_equal(cbm_add_group(a.opt, .prefix = "0"), 2);
    assert_int_equal(cbm_checkpoint_save(path, &ca), CBM_OK);
    assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_ERROR_INVALID);
    refused(b.cx, CBM_ERROR_INVALID, "group 1 of its optimizer has 1 parameters, not 2");
    b.schedule = cbm_schedule_plateau(b.opt);
    cb.schedule = b.schedule;
    assert_int_equal(cbm_checkpoint_load(path, &cb), CBM_ERROR_INVALID);
    cbm_clear(b.cx);
    cbm_close(a.cx);
    cbm_close(b.cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_plan),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test_setup_teardown(test_resume, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_resume_plateau, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_other_groups, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
