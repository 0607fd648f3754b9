/* fingerprint.c: which differences make a new plan: structure, shapes, dtypes, structural attributes, aliasing of operands, what
   is demanded; and which do not: numbers, slice starts, learning rates, random counters. */
#include "semantics/semantics.h"

static uint64_t made(cbm_context *cx)
{
    return cbm_context_statistics(cx).plans_made;
}

typedef cbm_tensor *(*graph)(cbm_context *cx, int variant);

static cbm_tensor *structure(cbm_context *cx, int v)
{
    cbm_tensor *x = ramp(cx, 2, 3);
    return v ? cbm_neg(cbm_tanh(x)) : cbm_tanh(cbm_neg(x));
}

static cbm_tensor *shape(cbm_context *cx, int v)
{
    return cbm_tanh(v ? ramp(cx, 2, 3) : ramp(cx, 3, 2));
}

static cbm_tensor *dtype(cbm_context *cx, int v)
{
    double x[6] = { 0.5 };
    return cbm_tanh(cbm_tensor_from(cx, v ? CBM_F32 : CBM_F64, CBM_SHAPE(3), x));
}

static cbm_tensor *attribute(cbm_context *cx, int v)
{
    return cbm_softmax(ramp(cx, 3, 3), v);
}

static cbm_tensor *aliasing(cbm_context *cx, int v)
{
    cbm_tensor *x = ramp(cx, 2, 3), *y = ramp(cx, 2, 3);
    return cbm_sub(x, v ? x : y);
}

static cbm_tensor *operand_order(cbm_context *cx, int v)
{
    cbm_tensor *x = ramp(cx, 2, 3), *y = cbm_add_scalar(x, 1);
    return v ? cbm_sub(x, y) : cbm_sub(y, x);
}

static cbm_tensor *demand(cbm_context *cx, int v)
{
    cbm_tensor *x = cbm_tanh(ramp(cx, 5, 2));
    if (v)
        cbm_want(x);
    return cbm_neg(x);
}

static cbm_tensor *user_op(cbm_context *cx, int v)
{
    return v ? spy(ramp(cx, 2, 3), 1) : effect(ramp(cx, 2, 3), 1);
}

static cbm_tensor *number(cbm_context *cx, int v)
{
    return cbm_add_scalar(cbm_mul_scalar(ramp(cx, 2, 3), v ? 2 : 3), v ? -1 : 0);
}

static cbm_tensor *slice_start(cbm_context *cx, int v)
{
    return cbm_neg(cbm_slice(ramp(cx, 6, 3), 0, v ? 1 : 3, v ? 3 : 5, 1));
}

static cbm_tensor *random_counter(cbm_context *cx, int v)
{
    return cbm_add(cbm_dropout(ramp(cx, 6, 3), v ? 0.5 : 0.25),
                   cbm_uniform(cx, CBM_F32, CBM_SHAPE(6, 3), v ? -1 : 0, 1));
}

static cbm_tensor *id(cbm_context *cx, int v)
{
    return spy(ramp(cx, 2, 7), v);
}

static const struct {
    const char *name;
    graph graph;
    bool new_plan;
} differences[] = {
    { "structure", structure, true },
    { "shape", shape, true },
    { "dtype", dtype, true },
    { "attribute", attribute, true },
    { "aliasing", aliasing, true },
    { "operand order", operand_order, true },
    { "demand", demand, true },
    { "operation", user_op, true },
    { "number", number, false },
    { "slice start", slice_start, false },
    { "random counter", random_counter, false },
    { "attribute bound at run time", id, false },
};

/* The value alone, in a context that has no plan of the other variant. */
static void alone(const char *device, uint64_t naive, graph g, int variant, char *out, size_t *size)
{
    cbm_context *cx = cbm_open_with(.device = device, .naive = naive, .seed = 11);
    cbm_set_random_state(cx, 11, 5);
    cbm_tensor *t = g(cx, variant);
    *size = (size_t)cbm_tensor_count(t) * cbm_dtype_size(cbm_tensor_dtype(t));
    assert_int_equal(cbm_read(t, out, *size), CBM_OK);
    cbm_close(cx);
}

static void differing_graphs(cbm_context *cx, bool planned)
{
    for (size_t k = 0; k < sizeof differences / sizeof *differences; k++) {
        uint64_t first_plans = 0;
        for (int i = 0; i < 6; i++) {
            CBM_SCOPE(s, cx);
            cbm_set_random_state(cx, 11, 5);
            uint64_t before = made(cx);
            cbm_tensor *t = differences[k].graph(cx, i % 2);
            char x[256], expected[256];
            size_t size;
            alone(cbm_context_device(cx), !planned, differences[k].graph, i % 2, expected, &size);
            assert_int_equal(cbm_read(t, x, size), CBM_OK);
            assert_memory_equal(x, expected, size);
            first_plans += made(cx) - before;
        }
        if (first_plans != (differences[k].new_plan ? 2 : 1))
            fail_msg("%s: %d plans", differences[k].name, (int)first_plans);
    }
    no_error(cx);
}

/* Which values are needed decides too: the same graph, with and without a handle that may ask for the middle. */
static void what_is_asked(cbm_context *cx, bool planned)
{
    (void)planned;
    for (int i = 0; i < 4; i++) {
        CBM_SCOPE(s, cx);
        cbm_tensor *x = cbm_tanh(ramp(cx, 2, 3)), *y = cbm_neg(x), *both[] = { x, y };
        cbm_compute(i % 2 ? both : &y, i % 2 ? 2 : 1);
        assert_true(first(x) == -first(y));
    }
    no_error(cx);
}

RUN_RULES(RULE(differing_graphs), RULE(what_is_asked))
