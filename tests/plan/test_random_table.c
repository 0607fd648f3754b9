/* test_random_table.c: small graphs drawn from the table of operations, each called as one of its samples is, on what other
   operations gave where shapes allow (brought into the sample's range, as it lies or through a transpose), with gradients,
   updates of variables and reads in random places, give the same numbers planned as one by one. A failure names the seed and the
   shortest failing prefix; `test_plan_random_table SEED` runs that program alone. */
#include "support/cases.h"
#include "tensor/context.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PROGRAMS = 6000, POOL = 16, VARIABLES = 8, LOG = 1 << 18, LARGEST = 4096 };

typedef struct program {
    cbm_context *cx;
    const case_list *cases;
    uint64_t seed, draws;
    cbm_tensor *pool[POOL], *variables[VARIABLES];
    int count, n_variables;
    float *log;
    size_t logged;
} program;

static int draw(program *p, int n)
{
    uint32_t out[4];
    cbm_philox(p->seed, 21, p->draws++, out);
    return (int)(out[0] % (uint32_t)n);
}

static void log_tensor(program *p, cbm_tensor *t)
{
    const size_t n = (size_t)cbm_tensor_count(t);
    if (p->logged + n <= LOG && cbm_read(t, p->log + p->logged, n * sizeof(float)) == CBM_OK)
        p->logged += n;
}

static void add(program *p, cbm_tensor *t)
{
    if (cbm_tensor_failed(t) || cbm_tensor_dtype(t) != CBM_F32 || cbm_tensor_count(t) > LARGEST)
        return;
    if (p->count == POOL)
        memmove(p->pool, p->pool + 1, (size_t)--p->count * sizeof *p->pool);
    p->pool[p->count++] = t;
}

/* ---- operands ---- */

static int64_t operands, joined; /* floats; those that come from other operations */

/* The least and the greatest of a sample's numbers. */
static void range_of(const case_tensor *t, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t i = 0; i < t->count; i++) {
        const double v = case_tensor_at(t, i);
        *low = v < *low ? v : *low;
        *high = v > *high ? v : *high;
    }
}

/* What is in the pool, in this sample's extents and range; NULL: nothing fits. */
static cbm_tensor *from_pool(program *p, const case_tensor *t)
{
    double low, high;
    range_of(t, &low, &high);
    for (int tries = 0; tries < 2 * POOL && p->count > 0 && t->count > 0; tries++) {
        cbm_tensor *x = p->pool[draw(p, p->count)];
        if (cbm_tensor_count(x) != t->count)
            continue;
        x = cbm_add_scalar(cbm_mul_scalar(cbm_sigmoid(x), (high - low) * 0.98), low + (high - low) * 0.01);
        const int64_t rank = t->shape.v[0], axis = rank > 1 ? draw(p, (int)rank) : 0;
        if (rank < 2 || draw(p, 3))
            return cbm_reshape(x, t->shape);
        cbm_shape turned = t->shape;
        turned.v[1 + axis] = t->shape.v[rank];
        turned.v[rank] = t->shape.v[1 + axis];
        return cbm_transpose(cbm_reshape(x, turned), axis, -1);
    }
    return NULL;
}

static cbm_tensor *operand(program *p, const case_tensor *t, bool as_stored)
{
    const bool real = t->dtype == CBM_F64;
    const int choice = draw(p, 4);
    cbm_tensor *x = real && choice && !as_stored ? from_pool(p, t) : NULL;
    operands += real;
    joined += x != NULL;
    if (x)
        return x;
    case_tensor data = case_tensor_cast(t, real ? CBM_F32 : t->dtype);
    x = cbm_tensor_from(p->cx, data.dtype, data.shape, data.data);
    free(data.data);
    if (real && draw(p, 2) && p->n_variables < VARIABLES) {
        x = cbm_variable(x, true);
        p->variables[p->n_variables++] = x;
    }
    return x;
}

/* Some of the operation's samples are definite matrices, whose numbers cannot be any. */
static bool wants_definite(const cbm_op *op)
{
    bool some = false;
    for (size_t i = 0; i < op->n_samples; i++)
        some = some || op->samples[i].diagonal != 0;
    return some;
}

static bool fits(const program *p, const op_case *c)
{
    for (size_t i = 0; i < c->n_in; i++)
        for (int k = 0; k < p->count; k++)
            if (c->in[i].dtype == CBM_F64 && c->in[i].count == cbm_tensor_count(p->pool[k]))
                return true;
    return false;
}

static void operation(program *p)
{
    const op_case *c = &p->cases->cases[draw(p, (int)p->cases->count)];
    for (int tries = 0; tries < 12 && !fits(p, c); tries++)
        c = &p->cases->cases[draw(p, (int)p->cases->count)];
    const cbm_op *op = cbm_op_named(c->op);
    cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS] = { NULL };
    const bool as_stored = wants_definite(op);
    for (size_t i = 0; i < c->n_in; i++)
        in[i] = operand(p, &c->in[i], as_stored);
    void *attributes = case_attributes(op, c, true);
    cbm_apply(p->cx, op, in, c->n_in, attributes, out);
    free(attributes);
    for (int i = 0; i < op->n_out; i++)
        if (!(op->opaque_out >> i & 1))
            add(p, out[i]);
}

/* ---- what happens in between ---- */

static void descend(program *p)
{
    if (p->count == 0)
        return;
    cbm_tensor *x = p->pool[draw(p, p->count)];
    if (!cbm_tensor_requires_grad(x) || cbm_tensor_count(x) == 0)
        return;
    cbm_tensor *loss = cbm_mean(cbm_tanh(x));
    if (cbm_backward_retain(loss) != CBM_OK)
        return;
    for (int i = 0; i < p->n_variables; i++) {
        cbm_tensor *v = p->variables[i], *g = cbm_gradient(v);
        if (!g)
            continue;
        if (draw(p, 2))
            log_tensor(p, g);
        if (draw(p, 3) == 0)
            cbm_assign(v, cbm_add(cbm_mul_scalar(v, 0.99), cbm_mul_scalar(cbm_tanh(g), 0.001)));
        cbm_clear_gradient(v);
    }
}

static size_t run(uint64_t seed, const case_list *cases, int operations, bool planned, float *log, char *message)
{
    program p = { .seed = seed, .cases = cases, .log = log };
    p.cx = cbm_open_with(.threads = planned ? 1 + (int64_t)(seed % 3) : 1, .naive = !planned, .deterministic = true);
    p.cx->sums_apart = seed % 4 != 0; /* sums that are parts of passes round otherwise */
    for (int i = 0; i < operations; i++) {
        operation(&p);
        if (p.count == 0)
            continue;
        switch (draw(&p, 8)) {
        case 0: log_tensor(&p, p.pool[draw(&p, p.count)]); break;
        case 1: cbm_want(p.pool[draw(&p, p.count)]); break;
        case 2: descend(&p); break;
        default: break;
        }
    }
    descend(&p);
    for (int i = 0; i < p.count; i++)
        log_tensor(&p, p.pool[i]);
    strncpy(message, cbm_message(p.cx), 255);
    message[255] = 0;
    cbm_close(p.cx);
    return p.logged;
}

static uint64_t only;

static bool fails(uint64_t seed, const case_list *cases, int operations, float *a, float *b, char why[600])
{
    char said[2][256];
    const size_t n = run(seed, cases, operations, true, a, said[0]),
                 m = run(seed, cases, operations, false, b, said[1]);
    double square = 0, scale = 0;
    bool odd = n != m;
    for (size_t i = 0; i < n && !odd; i++) {
        odd = isfinite(a[i]) != isfinite(b[i]);
        if (isfinite(a[i])) {
            square += pow((double)a[i] - (double)b[i], 2);
            scale += pow((double)b[i], 2);
        }
    }
    const double far = odd ? INFINITY : sqrt(square / (scale + 1e-30));
    snprintf(why, 600, "relative difference %g of %zu numbers (%zu one by one); \"%s\" / \"%s\"", far, n, m, said[0],
             said[1]);
    return far > 1e-3 || said[0][0] || said[1][0];
}

static void test_programs(void **state)
{
    (void)state;
    case_list cases;
    char why[600];
    float *a = malloc(2 * LOG * sizeof *a), *b = a + LOG;
    assert_non_null(a);
    assert_true(cases_of_samples(&cases));
    for (uint64_t i = 0; i < PROGRAMS; i++) {
        const uint64_t seed = only ? only : 1 + i;
        const int operations = 3 + (int)(seed * 7 % 11);
        if (fails(seed, &cases, operations, a, b, why)) {
            int shortest = 1;
            while (shortest < operations && !fails(seed, &cases, shortest, a, b, why))
                shortest++;
            (void)fails(seed, &cases, shortest, a, b, why);
            fail_msg("seed %llu, %d of %d operations: %s", (unsigned long long)seed, shortest, operations, why);
        }
        if (only)
            break;
    }
    if (!only) /* they are not single operations side by side */
        assert_true(joined * 4 > operands);
    cases_free(&cases);
    free(a);
}

int main(int argc, char **argv)
{
    only = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_programs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
