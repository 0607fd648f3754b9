/* test_replay.c: steps that repeat, and then deviate at every possible place in every way: with the recorder's tapes and
   without them the same numbers, the same errors, the same plans. A step is a small program; each test runs it in two
   contexts, one of which makes no tapes, side by side. */
#include "tensor/context.h"
#define CBM_NO_CALL_SITES
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PARAMETERS = 4, LONGEST = 64, IN = 3, HIDDEN = 5, OUT = 2 };

typedef enum code {
    NOTHING,
    INPUT,     /* a fresh batch of the world's rows */
    TARGET,    /* another one, (rows, OUT) */
    PARAMETER, /* number b */
    MATMUL,
    ADD,
    MUL,
    RELU,
    TANH,
    SCALE, /* by value, a run-time number */
    SUM,   /* over axis b, kept */
    MEAN,
    TRANSPOSE,
    SLICE, /* 2 columns, from another one each step: a run-time number */
    CUT,   /* 2 columns from column b */
    DROPOUT,
    SPLIT, /* a user's operation: two results */
    OTHER, /* its second result */
    BACKWARD,
    BACKWARD_RETAIN,
    UPDATE, /* parameter b by its gradient, with momentum */
    QUIET,  /* an expression that is dropped at once */
    READ,
    WANT,
    FLUSH,
    HOOK,
    NO_GRAD,
    GRAD, /* again; ends NO_GRAD, keeps a */
    CODES
} code;

typedef struct instruction {
    code code;
    int a, b;
    double value;
} instruction;

typedef struct program {
    instruction at[LONGEST];
    int length;
} program;

/* One context with what lives across steps, and all that a step has shown. */
typedef struct world {
    cbm_context *cx;
    cbm_tensor *parameter[PARAMETERS], *momentum[PARAMETERS];
    float first[PARAMETERS]; /* number of each parameter after the last step */
    int64_t rows;
    int step;
    cbm_tensor *shared,
        *given;         /* set before a step: whose memory another variable has too; who has a gradient already */
    bool only_numbers;  /* of the parameters: not the statistics */
    bool failed, moved; /* the last step; whether it changed each parameter */
    char seen[1 << 16];
    size_t length;
} world;

/* With all that a program may do: numbers that change at run time, a user's operation, results that are dropped. */
static const program varied = {
    .at = { { INPUT },
            { TARGET },
            { PARAMETER, .b = 0 },
            { MATMUL, 0, 2 },
            { PARAMETER, .b = 1 },
            { ADD, 3, 4 },
            { RELU, 5 },
            { DROPOUT, 6, .value = 0.25 },
            { PARAMETER, .b = 2 },
            { MATMUL, 7, 8 },
            { PARAMETER, .b = 3 },
            { ADD, 9, 10 },
            { QUIET, 11 },
            { SCALE, 1, .value = -1 },
            { ADD, 11, 13 },
            { SLICE, 6, 1 },
            { SPLIT, 15 },
            { OTHER, 16 },
            { MUL, 14, 14 },
            { MUL, 16, 17 },
            { TRANSPOSE, 19 },
            { SUM, 18, 0 },
            { MEAN, 21 },
            { MEAN, 20 },
            { ADD, 22, 23 },
            { TANH, 24 },
            { BACKWARD, 25 },
            { UPDATE, .b = 0, .value = 0.1 },
            { UPDATE, .b = 1, .value = 0.1 },
            { UPDATE, .b = 2, .value = 0.1 },
            { UPDATE, .b = 3, .value = 0.1 },
            { QUIET, 11 },
            { FLUSH },
            { READ, 25 } },
    .length = 34,
};

/* The library's operations and fixed numbers alone: its backward pass is copied as a whole. */
static const program plain = {
    .at = { { INPUT },
            { TARGET },
            { PARAMETER, .b = 0 },
            { MATMUL, 0, 2 },
            { PARAMETER, .b = 1 },
            { ADD, 3, 4 },
            { RELU, 5 },
            { TANH, 6 },
            { PARAMETER, .b = 2 },
            { MATMUL, 7, 8 },
            { PARAMETER, .b = 3 },
            { ADD, 9, 10 },
            { CUT, 6, 1 },
            { MUL, 11, 12 },
            { SCALE, 13, .value = -1 },
            { SUM, 14, 0 },
            { MEAN, 15 },
            { TANH, 16 },
            { BACKWARD, 17 },
            { UPDATE, .b = 0, .value = 0.1 },
            { UPDATE, .b = 1, .value = 0.1 },
            { UPDATE, .b = 2, .value = 0.1 },
            { UPDATE, .b = 3, .value = 0.1 },
            { FLUSH },
            { READ, 17 } },
    .length = 25,
};

/* ---- a user's operation: x -> 2 x, x + 1; its shape rule looks at the world, so it must always be asked ---- */

static bool split_infer(cbm_infer *s)
{
    if (s->in_shape[0].v[0] != 2)
        return cbm_infer_fail(s, CBM_ERROR_SHAPE, "wants a matrix");
    for (size_t i = 0; i < 2; i++) {
        s->out_shape[i] = s->in_shape[0];
        s->out_dtype[i] = s->in_dtype[0];
    }
    return true;
}

static cbm_status split_kernel(const cbm_launch *l)
{
    const float *x = l->in[0].data;
    float *y = l->out[0].data, *z = l->out[1].data;
    for (int64_t i = 0; i < l->in[0].count; i++) {
        y[i] = 2 * x[i];
        z[i] = x[i] + 1;
    }
    return CBM_OK;
}

static void split_vjp(cbm_vjp *v)
{
    cbm_tensor *y = v->out_gradient[0] ? cbm_mul_scalar(v->out_gradient[0], 2) : NULL;
    cbm_tensor *z = v->out_gradient[1];
    v->in_gradient[0] = y && z ? cbm_add(y, z) : y ? y : z;
}

static const cbm_op split_op = { .struct_size = sizeof split_op,
                                 .name = "split_in_two",
                                 .n_in = 1,
                                 .n_out = 2,
                                 .infer = split_infer,
                                 .kernel = split_kernel,
                                 .vjp = split_vjp };

/* ---- running ---- */

static void see(world *w, const void *bytes, size_t size)
{
    assert_true(w->length + size <= sizeof w->seen);
    memcpy(w->seen + w->length, bytes, size);
    w->length += size;
}

static void see_tensor(world *w, cbm_tensor *t)
{
    float numbers[1024] = { 0 };
    size_t count = (size_t)cbm_tensor_count(t);
    assert_true(count <= 1024);
    cbm_read(t, numbers, count * sizeof *numbers);
    see(w, numbers, count * sizeof *numbers);
}

static cbm_tensor *batch(world *w, int64_t columns, int phase)
{
    float x[32 * 8];
    for (int64_t i = 0; i < w->rows * columns; i++)
        x[i] = (float)sin((double)(i * 5 + w->step * 3 + phase));
    return cbm_tensor_from(w->cx, CBM_F32, CBM_SHAPE(w->rows, columns), x);
}

static cbm_tensor *twice(cbm_tensor *g, void *user)
{
    (void)user;
    return cbm_mul_scalar(g, 2);
}

static void update(world *w, int p, double rate)
{
    cbm_tensor *g = cbm_gradient(w->parameter[p]);
    if (!g)
        return;
    cbm_assign(w->momentum[p], cbm_add(cbm_mul_scalar(w->momentum[p], 0.9), g));
    cbm_assign(w->parameter[p],
               cbm_add(w->parameter[p], cbm_mul_scalar(w->momentum[p], -rate / (1 + 0.1 * (w->step % 5)))));
    cbm_clear_gradient(w->parameter[p]);
}

static void quiet(world *w, cbm_tensor *t)
{
    cbm_scope *s =
        cbm_scope_begin_with(w->cx, &(cbm_scope_options){ .struct_size = sizeof(cbm_scope_options), .quiet = 1 });
    cbm_mul(cbm_exp(t), cbm_add_scalar(t, w->step));
    cbm_scope_end(s);
}

static const float ones[] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }; /* as many as the largest parameter has */

/* One instruction; t holds the results of the earlier ones. */
static cbm_tensor *perform(world *w, const instruction *i, cbm_tensor **t, cbm_scope **no_grad)
{
    cbm_context *cx = w->cx;
    cbm_tensor *a = t[i->a], *two[2] = { NULL, NULL };
    switch (i->code) {
    case INPUT: return batch(w, IN, 1);
    case TARGET: return batch(w, OUT, 2);
    case PARAMETER: return w->parameter[i->b];
    case MATMUL: return cbm_matmul(a, t[i->b]);
    case ADD: return cbm_add(a, t[i->b]);
    case MUL: return cbm_mul(a, t[i->b]);
    case RELU: return cbm_relu(a);
    case TANH: return cbm_tanh(a);
    case SCALE: return cbm_mul_scalar(a, i->value + 0.25 * (w->step % 3));
    case SUM: {
        cbm_reduce_options o = { .struct_size = sizeof o, .axes = CBM_SHAPE(i->b), .keepdim = 1 };
        return cbm_sum_with(a, &o);
    }
    case MEAN: return cbm_mean_with(a, NULL);
    case TRANSPOSE: return cbm_transpose(a, 0, 1);
    case SLICE: return cbm_slice(a, 1, (i->b + w->step) % 3, (i->b + w->step) % 3 + 2, 1);
    case CUT: return cbm_slice(a, 1, i->b, i->b + 2, 1);
    case DROPOUT: return cbm_dropout(a, i->value);
    case SPLIT: return cbm_apply(cx, &split_op, &a, 1, NULL, two);
    case OTHER: cbm_apply(cx, &split_op, &a, 1, NULL, two); return two[1] ? two[1] : a;
    case BACKWARD: cbm_backward(a); break;
    case BACKWARD_RETAIN: cbm_backward_retain(a); break;
    case UPDATE: update(w, i->b, i->value); break;
    case QUIET: quiet(w, a); break;
    case READ: see_tensor(w, a); break;
    case WANT: cbm_want(a); break;
    case FLUSH: cbm_flush(cx); break;
    case HOOK: cbm_add_hook(a, twice, NULL, NULL); break;
    case NO_GRAD:
        *no_grad = cbm_scope_begin_with(
            cx, &(cbm_scope_options){ .struct_size = sizeof(cbm_scope_options), .no_grad = 1, .quiet = 1 });
        break;
    case GRAD:
        cbm_scope_end_with(*no_grad, a);
        *no_grad = NULL;
        break;
    default: break;
    }
    return a;
}

/* Runs a program in a scope of its own; then everything that lives across steps is looked at, and the statistics. */
static void step(world *w, const program *p)
{
    cbm_context *cx = w->cx;
    cbm_tensor *t[LONGEST];
    cbm_scope *scope = cbm_scope_begin(cx), *no_grad = NULL;
    cbm_tensor *other = w->shared ? cbm_variable(w->shared, false) : NULL;
    if (w->given)
        cbm_set_gradient(w->given, cbm_tensor_from(cx, CBM_F32, cbm_tensor_shape(w->given), ones));
    t[0] = w->parameter[0];
    for (int i = 0; i < p->length; i++)
        t[i] = perform(w, &p->at[i], t, &no_grad);
    cbm_scope_end(scope);
    cbm_release(other);
    see(w, cbm_message(cx), strlen(cbm_message(cx)));
    w->failed = cbm_context_status(cx) != CBM_OK;
    cbm_clear(cx);
    w->moved = true;
    for (int i = 0; i < PARAMETERS; i++) {
        const float *now = cbm_tensor_data(w->parameter[i]);
        w->moved = w->moved && now && *now != w->first[i];
        w->first[i] = now ? *now : 0;
        see_tensor(w, w->parameter[i]);
        see_tensor(w, w->momentum[i]);
        bool has = w->parameter[i]->gradient != NULL;
        see(w, &has, sizeof has);
        cbm_clear_gradient(w->parameter[i]);
    }
    uint64_t seed, position;
    cbm_random_state(cx, &seed, &position);
    cbm_statistics s = cbm_context_statistics(cx);
    uint64_t numbers[] = { position,      s.plans_made,      s.plans_reused,  s.plans_evicted,
                           s.evaluations, s.versions_copied, s.nodes_pending, s.nodes_recorded };
    see(w, numbers, w->only_numbers ? 0 : sizeof numbers);
    see(w, cbm_message(cx), strlen(cbm_message(cx)));
    cbm_clear(cx);
    w->step++;
}

/* Parameters as at first: small enough that every step moves them. */
static void begin_again(world *w)
{
    for (int i = 0; i < PARAMETERS; i++) {
        float x[IN * HIDDEN], zero[IN * HIDDEN] = { 0 };
        size_t count = (size_t)cbm_tensor_count(w->parameter[i]);
        for (size_t k = 0; k < count; k++)
            x[k] = (float)(0.5 * sin((double)(k * 7 + (size_t)i)));
        cbm_write(w->parameter[i], x, count * sizeof *x);
        cbm_write(w->momentum[i], zero, count * sizeof *zero);
    }
}

static void world_open(world *w, bool tapes, const char *device, int64_t threads)
{
    static const cbm_shape shapes[PARAMETERS] = {
        { { 2, IN, HIDDEN } }, { { 1, HIDDEN } }, { { 2, HIDDEN, OUT } }, { { 1, OUT } }
    };
    bool naive = strcmp(device, "naive") == 0;
    *w = (world){ .cx = cbm_open_with(.device = naive ? "cpu" : device, .threads = threads, .naive = naive,
                                      .check_handles = naive),
                  .rows = 4 };
    w->cx->replay.never = !tapes;
    for (int i = 0; i < PARAMETERS; i++) {
        w->parameter[i] = cbm_variable(cbm_normal(w->cx, CBM_F32, shapes[i], 0, 0.5), true);
        w->momentum[i] = cbm_variable(cbm_zeros(w->cx, CBM_F32, shapes[i]), false);
    }
}

typedef struct pair {
    world with, without;
    const program *base;
    int moved; /* steps that changed each parameter */
    const char *what;
    int place;
} pair;

static void both(pair *p, const program *q, int times)
{
    for (int i = 0; i < times; i++) {
        p->with.length = p->without.length = 0;
        step(&p->with, q);
        step(&p->without, q);
        p->moved += p->with.moved;
        if (p->with.length != p->without.length || memcmp(p->with.seen, p->without.seen, p->with.length) != 0)
            fail_msg("a repeated step is not the recorded one: %s at %d, step %d", p->what, p->place, p->with.step);
    }
}

static pair *pair_open(const program *base, const char *device, int64_t threads)
{
    pair *p = test_calloc(1, sizeof *p);
    world_open(&p->with, true, device, threads);
    world_open(&p->without, false, device, threads);
    p->base = base;
    p->what = "nothing";
    return p;
}

static void pair_close(pair *p)
{
    cbm_close(p->with.cx);
    cbm_close(p->without.cx);
    test_free(p);
}

static void start_again(pair *p)
{
    begin_again(&p->with);
    begin_again(&p->without);
}

/* ---- deviations ---- */

static program inserted(const program *p, int at, instruction i)
{
    program q = { .length = p->length + 1 };
    for (int k = 0; k < q.length; k++)
        q.at[k] = k < at ? p->at[k] : k == at ? i : p->at[k - 1];
    for (int k = at; k < q.length; k++) { /* results have moved by one */
        q.at[k].a += k > at && q.at[k].a >= at;
        q.at[k].b +=
            k > at && q.at[k].b >= at && (q.at[k].code == MATMUL || q.at[k].code == ADD || q.at[k].code == MUL);
    }
    return q;
}

static program with_instruction(const program *p, int at, instruction i)
{
    program q = *p;
    q.at[at] = i;
    return q;
}

/* The base, the deviation once, the base; then in turn; then the deviation until it is learned itself, and back. */
static void deviate(pair *p, const char *what, int place, const program *q)
{
    p->what = what;
    p->place = place;
    start_again(p);
    both(p, p->base, 2);
    both(p, q, 1);
    both(p, p->base, 1);
    for (int i = 0; i < 3; i++) {
        both(p, q, 1);
        both(p, p->base, 1);
    }
    both(p, q, 4);
    both(p, p->base, 1);
}

static void at_every_place(pair *p, int first, int stride)
{
    both(p, p->base, 6);
    assert_true(p->with.cx->replay.steps >= 2);
    assert_int_equal(p->without.cx->replay.steps, 0);
    for (int at = first; at < p->base->length; at += stride) {
        const instruction now = p->base->at[at];
        instruction other = now;
        program q;
        other.value += 0.125;
        q = with_instruction(p->base, at, other);
        deviate(p, "another number", at, &q);
        other = now;
        other.b += now.code == PARAMETER ? (now.b < PARAMETERS - 1 ? 1 : -1) : now.b > 0 ? -1 : 1;
        q = with_instruction(p->base, at, other);
        deviate(p, "another attribute or second operand", at, &q);
        other = now;
        other.a = at > 2 ? (now.a + 1) % at : 0;
        q = with_instruction(p->base, at, other);
        deviate(p, "another operand", at, &q);
        other.a = now.a > 0 ? now.a - 1 : 0;
        q = with_instruction(p->base, at, other);
        deviate(p, "the operand before", at, &q);
        q = with_instruction(p->base, at, (instruction){ TANH, now.a, 0, 0 });
        deviate(p, "another operation", at, &q);
        q = with_instruction(p->base, at, (instruction){ NOTHING, now.a, 0, 0 });
        deviate(p, "a missing operation", at, &q);
        int before = at > 0 ? at - 1 : 0;
        static const struct {
            const char *what;
            instruction i;
        } more[] = {
            { "an extra operation", { SCALE, 0, 0, 2 } },
            { "one that is dropped", { QUIET, 0, 0, 0 } },
            { "a read", { READ, 0, 0, 0 } },
            { "a want", { WANT, 0, 0, 0 } },
            { "an evaluation", { FLUSH, 0, 0, 0 } },
            { "a hook", { HOOK, 0, 0, 0 } },
            { "an error", { MATMUL, 0, 0, 0 } },
            { "a backward pass", { BACKWARD, 0, 0, 0 } },
            { "a backward pass that keeps", { BACKWARD_RETAIN, 0, 0, 0 } },
        };
        for (size_t k = 0; k < sizeof more / sizeof *more; k++) {
            instruction extra = more[k].i;
            if (extra.code == HOOK && (at == 0 || p->base->at[before].code == PARAMETER)) /* it would stay */
                continue;
            extra.a = before;
            extra.b = extra.code == MATMUL ? before : 0;
            q = inserted(p->base, at, extra);
            deviate(p, more[k].what, at, &q);
        }
        q = inserted(p->base, at, (instruction){ NO_GRAD, before, 0, 0 });
        if (at + 2 < q.length) {
            q = inserted(&q, at + 2, (instruction){ GRAD, at + 1, 0, 0 });
            deviate(p, "an operation without gradient", at, &q);
        }
    }
}

static void every_deviation(const program *base)
{
    pair *p = pair_open(base, "cpu", 1);
    at_every_place(p, 0, 1);
    assert_true(p->with.cx->replay.steps > (uint64_t)p->with.step / 2); /* most steps are repeated ones */
    assert_true(p->moved > p->with.step / 2);
    if (base == &plain)
        assert_true(p->with.cx->replay.passes > (uint64_t)p->with.step / 3);
    pair_close(p);
}

static void test_every_deviation(void **state)
{
    (void)state;
    every_deviation(&varied);
}

static void test_every_deviation_of_a_plain_step(void **state)
{
    (void)state;
    every_deviation(&plain);
}

static void test_threads_and_devices(void **state)
{
    (void)state;
    static const char *const devices[] = { "cpu", "cpu", "reference", "naive" };
    for (int i = 0; i < 8; i++) {
        pair *p = pair_open(i % 2 ? &plain : &varied, devices[i / 2], 1 + i % 3);
        at_every_place(p, i, 5);
        pair_close(p);
    }
}

/* Frozen parameters, other shapes, a gradient that is there already, another learning rate. */
static void other_worlds(const program *base)
{
    pair *p = pair_open(base, "cpu", 1);
    both(p, p->base, 6);
    for (int k = 0; k < PARAMETERS; k++) {
        start_again(p);
        p->what = "a frozen parameter";
        p->place = k;
        for (int again = 0; again < 2; again++) {
            cbm_set_trainable(p->with.parameter[k], false);
            cbm_set_trainable(p->without.parameter[k], false);
            both(p, p->base, 1 + 3 * again);
            cbm_set_trainable(p->with.parameter[k], true);
            cbm_set_trainable(p->without.parameter[k], true);
            both(p, p->base, 3);
        }
    }
    for (int k = 0; k < PARAMETERS; k++) {
        start_again(p);
        p->what = "memory that two variables share";
        p->place = k;
        for (int again = 0; again < 2; again++) {
            p->with.shared = p->with.parameter[k];
            p->without.shared = p->without.parameter[k];
            both(p, p->base, 1 + 3 * again);
            p->with.shared = p->without.shared = NULL;
            both(p, p->base, 3);
        }
        start_again(p);
        p->what = "a gradient that is there already";
        for (int again = 0; again < 2; again++) {
            p->with.given = p->with.parameter[k];
            p->without.given = p->without.parameter[k];
            both(p, p->base, 1 + 3 * again);
            p->with.given = p->without.given = NULL;
            both(p, p->base, 3);
        }
    }
    for (int64_t rows = 1; rows <= 6; rows++) {
        p->what = "another number of rows";
        p->place = (int)rows;
        p->with.rows = p->without.rows = rows;
        both(p, p->base, 1 + (int)rows % 4);
    }
    p->with.rows = p->without.rows = 4;
    both(p, p->base, 4);
    program more = *p->base;
    int at = 0;
    while (more.at[at].code != BACKWARD)
        at++;
    instruction backward = more.at[at];
    more.at[at].code = BACKWARD_RETAIN;
    more = inserted(&more, at + 1, backward);
    start_again(p);
    p->what = "two backward passes";
    both(p, &more, 5);
    p->what = "trimmed in between";
    start_again(p);
    for (int i = 0; i < 6; i++) {
        both(p, p->base, 1 + i % 5);
        cbm_trim(p->with.cx);
        cbm_trim(p->without.cx);
    }
    for (int k = 0; k < PARAMETERS; k++) {
        start_again(p);
        p->what = "a hook on a parameter";
        cbm_add_hook(p->with.parameter[k], twice, NULL, NULL);
        cbm_add_hook(p->without.parameter[k], twice, NULL, NULL);
        both(p, p->base, 4);
    }
    pair_close(p);
}

static void test_other_worlds(void **state)
{
    (void)state;
    other_worlds(&varied);
    other_worlds(&plain);
}

static bool same_parameters(const pair *p)
{
    bool same = true;
    for (int i = 0; i < PARAMETERS; i++) {
        const cbm_value *a = p->with.parameter[i]->value, *b = p->without.parameter[i]->value;
        same = same && memcmp(a->storage->data, b->storage->data, (size_t)a->count * sizeof(float)) == 0;
    }
    return same;
}

/* No memory at every place of a repeated step: it has not happened, and the next one is as if it had not been tried. */
static void test_no_memory(void **state)
{
    (void)state;
    pair *p = pair_open(&plain, "cpu", 1);
    p->with.only_numbers = p->without.only_numbers = true;
    p->what = "no memory";
    int failures = 0;
    for (int n = 1; n < 300; n++) {
        p->place = n;
        both(p, &plain, n % 9 == 0 ? 4 : 1);
        bool follows = p->with.cx->replay.state == CBM_REPLAY_FOLLOWS;
        cbm_heap_fail_after(p->with.cx->heap, n);
        p->with.length = 0;
        step(&p->with, &plain);
        cbm_heap_fail_after(p->with.cx->heap, 0);
        failures += follows && p->with.failed;
        if (p->with.failed && same_parameters(p)) {
            p->with.step--;
            continue;
        }
        p->without.length = 0; /* so many blocks are not taken, or only after the parameters' update */
        step(&p->without, &plain);
        assert_true(same_parameters(p));
    }
    assert_true(failures > 5);
    pair_close(p);
}

/* What a program reads is another leaf each step, or the same one under two names. */
static void test_aliases(void **state)
{
    (void)state;
    float numbers[2][2][40][4];
    for (int never = 0; never < 2; never++) {
        cbm_context *cx = cbm_open_with(.threads = 1);
        cx->replay.never = never != 0;
        cbm_tensor *kept[3];
        for (int i = 0; i < 3; i++)
            kept[i] = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4), (float[]){ 1, 2, (float)i, 4 });
        for (int i = 0; i < 40; i++) {
            CBM_SCOPE(s, cx);
            cbm_tensor *a = kept[i % 3], *b = kept[i < 10 ? i % 3 : i < 20 ? (i + 1) % 3 : i % 2];
            cbm_tensor *c = i % 4 == 3 ? a : b;
            cbm_tensor *y = cbm_mul(cbm_add(a, b), cbm_sub(c, cbm_mul_scalar(a, i)));
            cbm_tensor *both_results[] = { y, cbm_add(y, y) };
            cbm_compute(both_results, 2);
            cbm_read(y, numbers[never][0][i], 16);
            cbm_read(both_results[1], numbers[never][1][i], 16);
        }
        assert_string_equal(cbm_message(cx), "");
        cbm_close(cx);
    }
    assert_memory_equal(numbers[0], numbers[1], sizeof numbers[0]);
}

/* Steps that never repeat make no tapes; a thousand plans with tapes, and the memory that they had at first. */
static void test_bounded(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1, .plan_cache = 8);
    cbm_tensor *w = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(4, 4)), true);
    uint64_t most[2] = { 0, 0 };
    for (int64_t i = 0; i < 2000; i++) {
        for (int again = 0; again < 4; again++) {
            CBM_SCOPE(s, cx);
            cbm_tensor *x = cbm_full(cx, CBM_F32, CBM_SHAPE(1 + i % 500, 4), 0.01);
            cbm_backward(cbm_mean(cbm_tanh(cbm_matmul(x, w))));
            cbm_assign(w, cbm_sub(w, cbm_mul_scalar(cbm_gradient(w), 0.1)));
            cbm_clear_gradient(w);
            cbm_flush(cx);
        }
        cbm_statistics now = cbm_context_statistics(cx);
        assert_true(now.plans_cached <= 8);
        uint64_t *at = &most[i >= 1000];
        *at = now.bytes_now > *at ? now.bytes_now : *at;
    }
    assert_true(cx->replay.steps >= 1990); /* each shape at its fourth step */
    assert_true(most[1] <= most[0] + most[0] / 8);
    cbm_trim(cx);
    assert_true(cbm_context_statistics(cx).bytes_now < 64 * 1024);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void *deviate_alone(void *user)
{
    pair *p = user;
    both(p, p->base, 6);
    for (int at = 3; at < p->base->length; at += 5) {
        program q = inserted(p->base, at, (instruction){ SCALE, at - 1, 0, 2 });
        both(p, &q, 3);
        both(p, p->base, 3);
    }
    return NULL;
}

static void test_two_contexts_at_once(void **state)
{
    (void)state;
    pthread_t threads[2];
    pair *pairs[2];
    for (int i = 0; i < 2; i++) {
        pairs[i] = pair_open(i ? &plain : &varied, "cpu", 1 + i);
        assert_int_equal(pthread_create(&threads[i], NULL, deviate_alone, pairs[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_true(pairs[i]->with.cx->replay.steps > 0);
        pair_close(pairs[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_deviation),
        cmocka_unit_test(test_every_deviation_of_a_plain_step),
        cmocka_unit_test(test_threads_and_devices),
        cmocka_unit_test(test_other_worlds),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_two_contexts_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
