/* test_graph.c: networks of named nodes: joins, several inputs and outputs, any order in the list, shared weights, cycles unrolled
   against the same loop by hand, with gradients; every error. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define COUNT(a) (sizeof(a) / sizeof *(a))
#define NODE(name_, module_, ...)                                                                                      \
    {                                                                                                                  \
        .name = name_, .module = module_, .inputs = { __VA_ARGS__ }                                                    \
    }
#define BEGINNING(name_, module_, initial_, ...)                                                                       \
    {                                                                                                                  \
        .name = name_, .module = module_, .initial = initial_, .inputs = { __VA_ARGS__ }                               \
    }

static void same(cbm_tensor *a, cbm_tensor *b)
{
    assert_true(cbm_item(cbm_max(cbm_abs(cbm_sub(a, b)))) < 1e-6);
    good(cbm_tensor_context(a));
}

/* Two ways from x that meet again, listed back to front. */
static void ways_meet(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 2);
    cbm_module *a = cbm_nn_linear(cx, 3, 4), *b = cbm_nn_linear(cx, 3, 4), *last = cbm_nn_linear(cx, 8, 2);
    const cbm_graph_node nodes[] = {
        { .name = "sum", .inputs = { "left", "right", "left" }, .join = CBM_JOIN_SUM },
        NODE("head", last, "left", "right"),
        NODE("left", a, "input"),
        NODE("right", b, "input"),
    };
    const char *const outputs[] = { "head", "sum", NULL };
    cbm_module *g = cbm_graph(cx, nodes, COUNT(nodes), .outputs = outputs);
    good(cx);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, S(5, 3), 0, 1), false), *y[2];
    cbm_tensor *l = cbm_call(a, x), *r = cbm_call(b, x);
    assert_int_equal(cbm_graph_call(g, &x, 1, y, NULL), CBM_OK);
    same(y[0], cbm_call(last, cbm_concat((cbm_tensor *[]){ l, r }, 2, 1)));
    same(y[1], cbm_add(cbm_add(l, r), l));
    same(cbm_call(g, x), y[0]);
    cbm_named named;
    assert_true(cbm_parameter_at(g, 0, &named));
    assert_string_equal(named.name, "head.weight");
    assert_int_equal(cbm_parameter_count(g), 6);
    cbm_close(cx);
}

/* Two branches with one set of weights, two inputs, the distance of what they give. */
static void weights_are_shared(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 3);
    cbm_module *twin = cbm_nn_linear(cx, 3, 4);
    const cbm_graph_node nodes[] = { NODE("first", twin, "a"),
                                     NODE("second", twin, "b"),
                                     { .name = "both", .inputs = { "first", "second" }, .axis = -1 } };
    const char *const inputs[] = { "a", "b", NULL };
    cbm_module *g = cbm_graph(cx, nodes, COUNT(nodes), .inputs = inputs);
    good(cx);
    assert_int_equal(cbm_parameter_count(g), 2);
    cbm_tensor *in[] = { cbm_variable(cbm_normal(cx, CBM_F32, S(5, 3), 0, 1), false),
                         cbm_variable(cbm_normal(cx, CBM_F32, S(5, 3), 0, 1), false) };
    cbm_tensor *y;
    assert_int_equal(cbm_graph_call(g, in, 2, &y, NULL), CBM_OK);
    same(y, cbm_concat((cbm_tensor *[]){ cbm_call(twin, in[0]), cbm_call(twin, in[1]) }, 2, -1));
    cbm_close(cx);
}

/* state = tanh(cell([encoded, state before])), encoded once. */
static void cycles_are_unrolled(void **state)
{
    (void)state;
    enum { STEPS = 4 };
    cbm_context *cx = cbm_open_with(.seed = 4);
    cbm_module *encoder = cbm_nn_linear(cx, 3, 4), *cell = cbm_nn_linear(cx, 9, 5), *out = cbm_nn_linear(cx, 5, 2);
    cbm_module *body = cbm_sequential(cx, cell, cbm_nn_tanh(cx));
    const cbm_graph_node nodes[] = {
        BEGINNING("state", body, "start", "encoded", "prev:state"),
        NODE("scores", out, "state"),
        NODE("encoded", encoder, "x"),
    };
    const char *const inputs[] = { "x", "start", NULL }, *const outputs[] = { "scores", NULL };
    cbm_module *g = cbm_graph(cx, nodes, COUNT(nodes), .inputs = inputs, .outputs = outputs, .steps = STEPS);
    good(cx);
    cbm_tensor *in[] = { cbm_variable(cbm_normal(cx, CBM_F32, S(6, 3), 0, 1), true), cbm_zeros(cx, CBM_F32, S(6, 5)) };
    cbm_tensor *y, *steps[STEPS], *grad[2], *with[] = { cbm_parameter(g, "state.0.weight"), in[0] }, *want[2];
    assert_int_equal(cbm_graph_call(g, in, 2, &y, steps), CBM_OK);
    cbm_tensor *encoded = cbm_call(encoder, in[0]), *h = in[1];
    for (int i = 0; i < STEPS; i++) {
        h = cbm_tanh(cbm_call(cell, cbm_concat((cbm_tensor *[]){ encoded, h }, 2, 1)));
        same(steps[i], cbm_call(out, h));
    }
    assert_ptr_equal(steps[STEPS - 1], y);
    assert_int_equal(cbm_grad(cbm_sum(cbm_square(y)), with, 2, grad), CBM_OK);
    assert_int_equal(cbm_grad(cbm_sum(cbm_square(cbm_call(out, h))), with, 2, want), CBM_OK);
    same(grad[0], want[0]);
    same(grad[1], want[1]);
    cbm_close(cx);
}

#define REFUSED_GRAPH(part, inputs_, outputs_, steps_, ...)                                                            \
    do {                                                                                                               \
        const cbm_graph_node nodes_[] = { __VA_ARGS__ };                                                               \
        const cbm_graph_options o_ = { sizeof o_, inputs_, outputs_, steps_ };                                         \
        (void)cbm_graph_with(cx, nodes_, COUNT(nodes_), &o_);                                                          \
        refused(cx, CBM_ERROR_INVALID, part);                                                                          \
    } while (0)

static void errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    const char *const two[] = { "a", "b", NULL }, *const twice[] = { "a", "a", NULL }, *const none[] = { NULL };
    REFUSED(cbm_graph(cx, NULL, 0), CBM_ERROR_INVALID, "needs a node");
    REFUSED_GRAPH("a step at least", NULL, NULL, 0, NODE("n", NULL, "input"));
    REFUSED_GRAPH("an output", NULL, none, 1, NODE("n", NULL, "input"));
    REFUSED_GRAPH("'outputs' asks for 'a'", NULL, two, 1, NODE("n", NULL, "input"));
    REFUSED_GRAPH("two inputs or nodes are named 'a'", twice, NULL, 1, NODE("n", NULL, "a"));
    REFUSED_GRAPH("two inputs or nodes are named 'input'", NULL, NULL, 1, NODE("input", NULL, "input"));
    REFUSED_GRAPH("'a.b' cannot name", NULL, NULL, 1, NODE("a.b", NULL, "input"));
    REFUSED_GRAPH("node 'n' needs an input", NULL, NULL, 1, NODE("n", NULL, NULL));
    REFUSED_GRAPH("'n' asks for 'm', which is no input and no node", NULL, NULL, 1, NODE("n", NULL, "m"));
    REFUSED_GRAPH("needs itself. HINT: \"prev:n\" reads what it gave a step before", NULL, NULL, 1,
                  NODE("n", NULL, "m"), NODE("m", NULL, "n"));
    REFUSED_GRAPH("which has no initial", NULL, NULL, 1, NODE("n", NULL, "input", "prev:n"));
    REFUSED_GRAPH("inputs are always the same", NULL, NULL, 1, NODE("n", NULL, "prev:input"));
    REFUSED_GRAPH("needs itself", NULL, NULL, 1, BEGINNING("n", NULL, "m", "input", "prev:n"), NODE("m", NULL, "n"));
    REFUSED_GRAPH("node 'm' begins with 'n', which itself depends on prev:", NULL, NULL, 1,
                  BEGINNING("n", NULL, "input", "input", "prev:n"), BEGINNING("m", NULL, "n", "input", "prev:m"));
    REFUSED(cbm_graph_with(cx, NULL, 1, NULL), CBM_ERROR_INVALID, "the options are NULL");
    const cbm_graph_node node = NODE("n", NULL, "a", "b");
    cbm_module *g = cbm_graph(cx, &node, 1, .inputs = two);
    cbm_tensor *x = cbm_variable(cbm_zeros(cx, CBM_F32, S(2, 2)), false), *pair[] = { x, NULL };
    good(cx);
    REFUSED(cbm_call(g, x), CBM_ERROR_INVALID, "it has 2 inputs. HINT: cbm_graph_call");
    REFUSED(cbm_graph_call(g, &x, 1, NULL, NULL), CBM_ERROR_INVALID, "1 inputs given, 2 wanted");
    REFUSED(cbm_graph_call(g, pair, 2, NULL, NULL), CBM_ERROR_INVALID, "an operand is NULL");
    REFUSED(cbm_graph_call(cbm_nn_relu(cx), &x, 1, NULL, NULL), CBM_ERROR_INVALID, "the module is no graph");
    cbm_graph_options o;
    cbm_graph_options_init(&o);
    assert_true(o.steps == 1 && o.inputs == NULL);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_meet),
        cmocka_unit_test(weights_are_shared),
        cmocka_unit_test(cycles_are_unrolled),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
