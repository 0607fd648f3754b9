/* test_random_graphs.c: programs drawn at random (operations, gradients, assignments, scopes, reads in random places) give
   the same numbers planned and naively, on the fast device and on the reference, with one thread and with three. A failure
   names the seed; `test_plan_random_graphs SEED` runs that program alone. And when allocations fail in random places, such
   programs go on. */
#include "tensor/context.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { POOL = 24, VARIABLES = 5, LOG = 1 << 16, PROGRAMS = 400, SURVIVORS = 300, SIZE = 256 };

typedef struct entry {
    cbm_tensor *t;
    bool kept;  /* computed for certain: may be read whatever is assigned later */
    bool fresh; /* recorded since the last evaluation */
    int depth;
} entry;

typedef struct program {
    cbm_context *cx;
    uint64_t seed, draws;
    cbm_dtype dtype;
    bool smooth; /* f32: nothing that jumps, so that devices may differ in the last bits */
    entry pool[POOL];
    int count, depth;
    cbm_tensor *variables[VARIABLES];
    cbm_scope *scope;
    bool no_grad;  /* in a scope without gradients */
    bool assigned; /* since the last evaluation */
    double *log;
    size_t logged;
    bool loud;
} program;

static int draw(program *p, int n)
{
    uint32_t out[4];
    cbm_philox(p->seed, 77, p->draws++, out);
    return (int)(out[0] % (uint32_t)n);
}

static double number(program *p)
{
    return (draw(p, 2001) - 1000) / 500.0;
}

static const cbm_shape shapes[] = { { { 2, 3, 4 } },    { { 1, 4 } },     { { 2, 3, 1 } }, { { 0 } },
                                    { { 2, 4, 3 } },    { { 1, 1 } },     { { 2, 4, 4 } }, { { 2, 1, 4 } },
                                    { { 3, 2, 3, 4 } }, { { 2, 12, 1 } }, { { 2, 0, 4 } }, { { 2, 37, 4 } } };
#define SHAPES ((int)(sizeof shapes / sizeof *shapes))

static cbm_tensor *host(program *p, cbm_shape shape)
{
    double d[SIZE];
    float f[SIZE];
    int64_t n = cbm_shape_count(&shape);
    for (int64_t i = 0; i < n; i++) {
        d[i] = number(p);
        f[i] = (float)d[i];
    }
    return cbm_tensor_from(p->cx, p->dtype, shape, p->dtype == CBM_F64 ? (void *)d : (void *)f);
}

static void add(program *p, cbm_tensor *t)
{
    if (cbm_tensor_failed(t) || cbm_tensor_count(t) > SIZE)
        return;
    if (p->count == POOL) { /* the handle stays in its scope, only forgotten */
        memmove(p->pool, p->pool + 1, (POOL - 1) * sizeof *p->pool);
        p->count--;
    }
    p->pool[p->count++] = (entry){ t, false, true, p->depth };
}

static cbm_tensor *any(program *p)
{
    int k = draw(p, p->count + VARIABLES);
    return k < p->count ? p->pool[k].t : p->variables[k - p->count];
}

/* Everything pending has been computed: what may have been fused away and can no longer be computed again is dropped. */
static void evaluated(program *p)
{
    int n = 0;
    if (cbm_context_statistics(p->cx).nodes_pending) /* nothing had to be computed */
        return;
    for (int i = 0; i < p->count; i++)
        if (p->pool[i].kept || !p->assigned) {
            p->pool[n] = p->pool[i];
            p->pool[n++].fresh = false;
        }
    p->count = n;
    p->assigned = false;
}

static void keep(program *p, const cbm_tensor *t)
{
    for (int i = 0; i < p->count; i++)
        p->pool[i].kept = p->pool[i].kept || p->pool[i].t == t;
}

static void log_tensor(program *p, cbm_tensor *t)
{
    double d[SIZE];
    float f[SIZE];
    size_t n = (size_t)cbm_tensor_count(t);
    if (cbm_tensor_dtype(t) != p->dtype)
        return;
    if (p->dtype == CBM_F64)
        cbm_read(t, d, n * sizeof *d);
    else
        cbm_read(t, f, n * sizeof *f);
    for (size_t i = 0; i < n && p->logged < LOG; i++)
        p->log[p->logged++] = p->dtype == CBM_F64 ? d[i] : (double)f[i];
    keep(p, t);
    evaluated(p);
}

static bool broadcasts(cbm_shape a, cbm_shape b)
{
    for (int64_t k = 0; k < a.v[0] && k < b.v[0]; k++) {
        int64_t x = a.v[a.v[0] - k], y = b.v[b.v[0] - k];
        if (x != y && x != 1 && y != 1)
            return false;
    }
    return true;
}

static cbm_tensor *partner(program *p, cbm_tensor *a)
{
    for (int tries = 0; tries < 8; tries++) {
        cbm_tensor *b = any(p);
        if (broadcasts(cbm_tensor_shape(a), cbm_tensor_shape(b)))
            return b;
    }
    return a;
}

static void unary(program *p)
{
    cbm_tensor *a = any(p);
    switch (draw(p, 9)) {
    case 0: add(p, cbm_neg(a)); break;
    case 1: add(p, cbm_tanh(a)); break;
    case 2: add(p, cbm_sigmoid(a)); break;
    case 3: add(p, p->smooth ? cbm_tanh(a) : cbm_relu(a)); break;
    case 4: add(p, cbm_exp(cbm_tanh(a))); break;
    case 5: add(p, cbm_mul_scalar(a, number(p) / 2)); break;
    case 6: add(p, cbm_add_scalar(a, number(p))); break;
    case 7: add(p, cbm_detach(a)); break;
    default: add(p, cbm_gelu(cbm_tanh(a))); break;
    }
}

static void binary(program *p)
{
    cbm_tensor *a = any(p), *b = partner(p, a);
    switch (draw(p, p->smooth ? 4 : 6)) {
    case 0: add(p, cbm_add(a, b)); break;
    case 1: add(p, cbm_sub(a, b)); break;
    case 2: add(p, cbm_mul(cbm_tanh(a), b)); break;
    case 3: add(p, cbm_div(a, cbm_add_scalar(cbm_exp(cbm_tanh(b)), 1))); break;
    case 4: add(p, cbm_maximum(a, b)); break;
    default: add(p, cbm_where(cbm_less(a, b), b, cbm_tanh(a))); break;
    }
}

/* More operations than one pass takes. */
static void chain(program *p)
{
    cbm_tensor *t = any(p), *u = t;
    for (int i = 20 + draw(p, 150); i > 0; i--) {
        cbm_tensor *next = i % 3 ? cbm_add_scalar(t, number(p)) : cbm_mul(cbm_tanh(t), cbm_tanh(u));
        u = t;
        t = next;
        if (draw(p, 60) == 0)
            add(p, t);
    }
    add(p, cbm_tanh(t));
}

static void reduce(program *p)
{
    cbm_tensor *a = any(p);
    int64_t rank = cbm_tensor_rank(a);
    cbm_reduce_options o = { .struct_size = sizeof o, .keepdim = (uint64_t)draw(p, 2) };
    if (rank && draw(p, 3))
        o.axes = CBM_SHAPE(draw(p, (int)rank));
    int which = draw(p, 4);
    if (which == 0)
        add(p, cbm_tanh(cbm_sum_with(a, &o)));
    else if (which == 1 && cbm_tensor_count(a))
        add(p, cbm_mean_with(a, &o));
    else if (which == 2 && cbm_tensor_count(a) && !p->smooth)
        add(p, cbm_max_with(a, &o));
    else if (rank)
        add(p, cbm_softmax(a, draw(p, (int)rank)));
}

static void matmul(program *p)
{
    for (int tries = 0; tries < 6; tries++) {
        cbm_tensor *a = any(p), *b = any(p);
        if (cbm_tensor_rank(a) != 2 || cbm_tensor_rank(b) < 2 || cbm_tensor_rank(b) > 3)
            continue;
        if (cbm_tensor_size(a, 1) == cbm_tensor_size(b, -2)) {
            add(p, cbm_matmul(a, cbm_tanh(b)));
            return;
        }
        if (cbm_tensor_size(a, 0) == cbm_tensor_size(b, -2)) {
            add(p, cbm_mul_scalar(cbm_matmul(cbm_transpose(a, 0, 1), b), 0.25));
            return;
        }
    }
}

static void view(program *p)
{
    cbm_tensor *a = any(p), *two[2];
    int64_t rank = cbm_tensor_rank(a);
    switch (rank ? draw(p, 5) : 4) {
    case 0: add(p, cbm_transpose(a, 0, rank - 1)); break;
    case 1: add(p, cbm_flatten(a, 0)); break;
    case 2: {
        int64_t axis = draw(p, (int)rank), n = cbm_tensor_size(a, axis);
        add(p, cbm_slice(a, axis, draw(p, (int)n + 1), n, 1 + draw(p, 2)));
        break;
    }
    case 3:
        two[0] = a;
        two[1] = draw(p, 2) ? cbm_neg(a) : a;
        add(p, cbm_concat(two, 2, draw(p, (int)rank)));
        break;
    default:
        if (rank < 2)
            add(p, cbm_expand(a, rank && cbm_tensor_size(a, 0) != 1 ? CBM_SHAPE(2, cbm_tensor_size(a, 0))
                                                                    : CBM_SHAPE(2, 3)));
        break;
    }
}

static void make(program *p)
{
    cbm_shape shape = shapes[draw(p, SHAPES)];
    switch (draw(p, 4)) {
    case 0: add(p, cbm_full(p->cx, p->dtype, shape, number(p))); break;
    case 1: add(p, cbm_uniform(p->cx, p->dtype, shape, -1, 1)); break;
    case 2: add(p, cbm_dropout(any(p), 0.5)); break;
    default: add(p, host(p, shape)); break;
    }
}

static void assign(program *p)
{
    cbm_tensor *v = p->variables[draw(p, VARIABLES)], *value = NULL;
    const cbm_shape shape = cbm_tensor_shape(v);
    for (int tries = 0; tries < 6 && !value; tries++) {
        cbm_tensor *t = any(p);
        const cbm_shape other = cbm_tensor_shape(t);
        if (cbm_shape_equal(&shape, &other))
            value = t;
    }
    if (!value)
        value = v;
    switch (draw(p, 3)) {
    case 0: cbm_assign(v, value); break;
    case 1: cbm_assign(v, cbm_tanh(cbm_sub(value, cbm_mul_scalar(v, number(p))))); break;
    default: cbm_assign(v, cbm_mul_scalar(cbm_add(v, value), 0.5)); break;
    }
    p->assigned = true;
}

/* Variables 0 and 1 have one shape: they change places. */
static void exchange(program *p)
{
    cbm_tensor *a = cbm_mul_scalar(p->variables[0], 1), *b = cbm_detach(p->variables[1]);
    cbm_assign(p->variables[0], b);
    cbm_assign(p->variables[1], a);
    p->assigned = true;
}

static void backward(program *p)
{
    cbm_tensor *t = any(p);
    if (p->no_grad || !cbm_tensor_requires_grad(t) || !cbm_tensor_count(t))
        return;
    cbm_tensor *loss = cbm_mean(cbm_tanh(t));
    bool retain = draw(p, 3) > 0;
    if (retain) {
        cbm_backward_retain(loss);
    } else {
        cbm_backward(loss);
        int n = 0;
        for (int i = 0; i < p->count; i++)
            if (!cbm_tensor_requires_grad(p->pool[i].t))
                p->pool[n++] = p->pool[i];
        p->count = n;
    }
    if (draw(p, 2))
        log_tensor(p, loss);
}

static void descend(program *p)
{
    for (int i = 0; i < VARIABLES; i++) {
        cbm_tensor *v = p->variables[i], *g = cbm_gradient(v);
        if (!g || draw(p, 4) == 0)
            continue;
        if (draw(p, 3) == 0)
            add(p, g);
        cbm_assign(v, cbm_sub(v, cbm_mul_scalar(cbm_tanh(g), 0.3)));
        cbm_clear_gradient(v);
        p->assigned = true;
    }
}

static void gradients_of(program *p)
{
    cbm_tensor *y = any(p), *x = any(p), *grads[2], *xs[] = { x, p->variables[draw(p, VARIABLES)] };
    if (p->no_grad || !cbm_tensor_requires_grad(y) || !cbm_tensor_requires_grad(x) ||
        !cbm_tensor_requires_grad(xs[1]) || !cbm_tensor_count(y))
        return;
    bool again = draw(p, 3) == 0;
    cbm_grad(y, xs, 2, grads, .create_graph = again, .retain_graph = true);
    add(p, cbm_tanh(grads[0]));
    add(p, cbm_tanh(grads[1]));
}

static void scope(program *p)
{
    if (!p->scope) {
        p->no_grad = draw(p, 4) == 0;
        p->scope = p->no_grad ? cbm_scope_begin_no_grad(p->cx) : cbm_scope_begin(p->cx);
        p->depth = 1;
        return;
    }
    cbm_tensor *out = p->count && draw(p, 2) ? p->pool[draw(p, p->count)].t : NULL;
    bool inner = false;
    int n = 0;
    for (int i = 0; i < p->count; i++) {
        inner = inner || (p->pool[i].t == out && p->pool[i].depth);
        if (!p->pool[i].depth)
            p->pool[n++] = p->pool[i];
    }
    p->count = n;
    cbm_scope_end_with(p->scope, out);
    p->scope = NULL;
    p->no_grad = false;
    p->depth = 0;
    if (inner) {
        add(p, out);
        p->pool[p->count - 1].kept = true;
    }
    evaluated(p);
}

static void read(program *p)
{
    cbm_tensor *t = any(p);
    switch (draw(p, 6)) {
    case 0:
        cbm_flush(p->cx);
        evaluated(p);
        break;
    case 1:
        for (int i = 0; i < p->count; i++)
            if (p->pool[i].t == t && p->pool[i].fresh) {
                cbm_want(t);
                cbm_flush(p->cx);
                p->pool[i].kept = true;
                evaluated(p);
                break;
            }
        break;
    case 2: {
        cbm_tensor *two[] = { t, any(p) };
        cbm_compute(two, 2);
        keep(p, two[0]);
        keep(p, two[1]);
        evaluated(p);
        break;
    }
    default: log_tensor(p, t); break;
    }
}

typedef struct device {
    const char *name;
    uint64_t naive;
    int64_t threads;
    bool sums_apart;
} device;

static void (*const actions[])(program *) = { unary,    unary,   unary,        binary, binary, binary, chain,
                                              reduce,   matmul,  view,         view,   make,   assign, exchange,
                                              backward, descend, gradients_of, scope,  read,   read };
#define ACTIONS ((int)(sizeof actions / sizeof *actions))

static void begin(program *p)
{
    static const int kinds[VARIABLES] = { 0, 0, 1, 6, 3 };
    for (int i = 0; i < VARIABLES; i++)
        p->variables[i] = cbm_variable(host(p, shapes[kinds[i]]), i != 4);
}

static size_t run(uint64_t seed, const device *d, double *log, char *message, uint64_t *position)
{
    program p = { .seed = seed, .log = log, .dtype = seed % 2 ? CBM_F64 : CBM_F32, .smooth = seed % 2 == 0 };
    p.cx = cbm_open_with(.device = d->name, .naive = d->naive, .threads = d->threads, .seed = seed);
    p.cx->improve_from = 0; /* whatever saves memory, at any price */
    p.cx->repeat_share = 10;
    p.cx->sums_apart = d->sums_apart;
    begin(&p);
    int length = 5 + draw(&p, 75);
    const char *line = getenv("CBM_TRACE");
    for (int i = 0; i < length && cbm_context_status(p.cx) == CBM_OK; i++) {
        int k = draw(&p, ACTIONS);
        if (line)
            fprintf(stderr, "%d: action %d\n", i, k);
        actions[k](&p);
    }
    if (p.scope)
        scope(&p);
    for (int i = 0; i < VARIABLES; i++)
        log_tensor(&p, p.variables[i]);
    uint64_t s;
    cbm_random_state(p.cx, &s, position);
    snprintf(message, 512, "%s", cbm_message(p.cx));
    if (line)
        fprintf(stderr, "%s\n", cbm_explain(p.cx));
    cbm_close(p.cx);
    return p.logged;
}

static const device devices[] = { { "reference", 1, 1, false }, { "reference", 0, 1, false }, { "cpu", 1, 1, false },
                                  { "cpu", 0, 1, true },        { "cpu", 0, 3, true },        { "cpu", 0, 1, false },
                                  { "cpu", 0, 3, false } };
#define DEVICES (sizeof devices / sizeof *devices)

static bool differ(double a, double b, double tolerance)
{
    if (isnan(a) || isnan(b))
        return isnan(a) != isnan(b);
    return !(a == b || fabs(a - b) <= tolerance * (1 + fabs(b)));
}

static void compare(uint64_t seed, const device *d, const double *a, size_t n, const double *b, size_t m,
                    double tolerance)
{
    if (n != m)
        fail_msg("seed %llu: %s naive %d: %zu numbers, not %zu", (unsigned long long)seed, d->name, (int)d->naive, m,
                 n);
    for (size_t i = 0; i < n; i++)
        if (differ(b[i], a[i], tolerance))
            fail_msg("seed %llu: %s naive %d threads %d: number %zu is %.17g, not %.17g", (unsigned long long)seed,
                     d->name, (int)d->naive, (int)d->threads, i, b[i], a[i]);
}

static void check(uint64_t seed, double *log[DEVICES])
{
    size_t n[DEVICES];
    uint64_t position[DEVICES];
    char message[512];
    for (size_t k = 0; k < DEVICES; k++) {
        n[k] = run(seed, &devices[k], log[k], message, &position[k]);
        if (message[0])
            fail_msg("seed %llu: %s naive %d: %s", (unsigned long long)seed, devices[k].name, (int)devices[k].naive,
                     message);
        assert_int_equal(position[k], position[0]);
    }
    compare(seed, &devices[1], log[0], n[0], log[1], n[1], 0);
    compare(seed, &devices[3], log[2], n[2], log[3], n[3], 0);
    compare(seed, &devices[4], log[2], n[2], log[4], n[4], 0);
    compare(seed, &devices[6], log[5], n[5], log[6], n[6], 0);
    for (int k = 2; k <= 5; k += 3)
        compare(seed, &devices[k], log[0], n[0], log[k], n[k], seed % 2 ? 1e-9 : 2e-3);
}

static uint64_t only;

/* Allocations fail here and there: after each failure the scope ends, the error is cleared, and the program goes on with
   whatever it still has. Memory checkers watch; the variables can always be read, and nothing stays pending. */
static void survive(uint64_t seed, uint64_t naive)
{
    static double log[LOG];
    program p = { .seed = seed, .log = log, .dtype = CBM_F32, .smooth = true };
    p.cx = cbm_open_with(.device = seed % 3 ? "cpu" : "reference", .naive = naive, .threads = 1, .seed = seed);
    p.cx->improve_from = 0;
    p.cx->repeat_share = 10;
    begin(&p);
    uint64_t draws = 0;
    for (int i = 0; i < 60; i++) {
        uint32_t out[4];
        cbm_philox(seed, 78, draws++, out);
        cbm_heap_fail_after(p.cx->heap, 1 + out[0] % 300);
        p.logged = 0;
        actions[draw(&p, ACTIONS)](&p);
        cbm_status status = cbm_context_status(p.cx);
        if (status == CBM_OK)
            continue;
        if (status != CBM_ERROR_MEMORY)
            fail_msg("seed %llu: %s", (unsigned long long)seed, cbm_message(p.cx));
        cbm_heap_fail_after(p.cx->heap, 0);
        cbm_scope_end(p.scope);
        p.scope = NULL;
        p.no_grad = p.assigned = false;
        p.depth = p.count = 0;
        cbm_clear(p.cx);
        if (i % 2)
            cbm_trim(p.cx);
        assert_int_equal(cbm_flush(p.cx), CBM_OK);
        assert_int_equal(cbm_context_statistics(p.cx).nodes_pending, 0);
        for (int k = 0; k < VARIABLES; k++)
            log_tensor(&p, p.variables[k]);
        assert_string_equal(cbm_message(p.cx), "");
    }
    cbm_close(p.cx);
}

static void test_survives(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SURVIVORS && !only; seed++)
        survive(seed, seed % 2);
}

static void test_programs(void **state)
{
    (void)state;
    static double numbers[DEVICES][LOG];
    double *log[DEVICES];
    for (size_t k = 0; k < DEVICES; k++)
        log[k] = numbers[k];
    if (only)
        check(only, log);
    for (uint64_t seed = 1; seed <= PROGRAMS && !only; seed++)
        check(seed, log);
}

int main(int argc, char **argv)
{
    only = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_programs), cmocka_unit_test(test_survives) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
