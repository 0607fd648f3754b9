/* test_checkpoint.c: recomputation in backward changes no bit of losses, gradients, running statistics and random numbers,
   and makes the arena smaller; what it cannot do is an error. */
#include "tensor/context.h"
#include <cambium/cambium.h>
#include <cambium/plan.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { PLAIN, CHECKPOINTED, NESTED, FORMS };

static cbm_module *maybe(cbm_context *cx, bool checkpoint, cbm_module *m)
{
    return checkpoint ? cbm_nn_checkpoint(cx, m) : m;
}

/* Convolutions, batch norm, dropout, linear layers, two blocks of them. */
static cbm_module *network(cbm_context *cx, int form)
{
    cbm_module *inner =
        cbm_sequential(cx, cbm_nn_batch_norm2d(cx, 6), cbm_nn_relu(cx), cbm_nn_dropout(cx, 0.3), CBM_END);
    cbm_module *first = cbm_sequential(cx, cbm_nn_conv2d(cx, 2, 6, 3), maybe(cx, form == NESTED, inner),
                                       cbm_nn_conv2d(cx, 6, 4, 3), cbm_nn_tanh(cx), CBM_END);
    cbm_module *second = cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, 64, 16), cbm_nn_batch_norm1d(cx, 16),
                                        cbm_nn_gelu(cx), cbm_nn_dropout(cx, 0.2), CBM_END);
    return cbm_sequential(cx, maybe(cx, form != PLAIN, first), maybe(cx, form != PLAIN, second),
                          cbm_nn_linear(cx, 16, 5), CBM_END);
}

typedef struct outcome {
    double losses[6];
    float numbers[8192];
    size_t count;
    uint64_t seed, position;
} outcome;

static void keep(outcome *o, cbm_tensor *t)
{
    if (cbm_tensor_dtype(t) == CBM_I64) {
        o->numbers[o->count++] = (float)cbm_item(t);
        return;
    }
    size_t n = (size_t)cbm_tensor_count(t);
    assert_true(o->count + n <= 8192);
    cbm_read(t, o->numbers + o->count, n * sizeof(float));
    o->count += n;
}

static cbm_tensor *loss_of(cbm_module *net, cbm_tensor *x, cbm_tensor *labels)
{
    return cbm_cross_entropy(cbm_call(net, x), labels);
}

static cbm_tensor *batch_of(cbm_context *cx, cbm_tensor **labels)
{
    static const int64_t classes[4] = { 0, 1, 2, 4 };
    *labels = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(4), classes);
    return cbm_normal(cx, CBM_F32, CBM_SHAPE(4, 2, 8, 8), 0, 1);
}

static void keep_state(outcome *o, cbm_module *net)
{
    CBM_SCOPE(scope, net->cx);
    cbm_named named;
    for (size_t i = 0; cbm_state_at(net, i, &named); i++)
        keep(o, named.tensor);
    cbm_tensor *labels, *x = batch_of(net->cx, &labels);
    cbm_backward(loss_of(net, x, labels));
    for (size_t i = 0; cbm_parameter_at(net, i, &named); i++) {
        cbm_tensor *g = cbm_gradient(named.tensor);
        assert_non_null(g);
        keep(o, g);
    }
}

/* Some steps, and at the end parameters, buffers and one more gradient. early: the loss is read before backward. */
static outcome train(const cbm_context_options *options, int form, bool early)
{
    outcome o = { .count = 0 };
    cbm_context *cx = cbm_open(options);
    cbm_module *net = network(cx, form);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.05, .momentum = 0.9);
    for (int i = 0; i < 6; i++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *labels, *x = batch_of(cx, &labels), *loss = loss_of(net, x, labels);
        if (early)
            o.losses[i] = cbm_item(loss);
        cbm_backward(loss);
        cbm_step(opt);
        o.losses[i] = cbm_item(loss);
    }
    keep_state(&o, net);
    cbm_random_state(cx, &o.seed, &o.position);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
    return o;
}

/* exact: bit for bit. Otherwise but for rounding: layouts may differ, and with them the order in which sums are taken. */
static void assert_same(const outcome *a, const outcome *b, bool exact)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < 6; i++)
        assert_float_equal((float)a->losses[i], (float)b->losses[i], exact ? 0 : 1e-5F);
    for (size_t i = 0; i < a->count; i++)
        assert_float_equal(a->numbers[i], b->numbers[i], exact ? 0 : 1e-5F);
    if (exact)
        assert_memory_equal(a->numbers, b->numbers, a->count * sizeof(float));
    assert_int_equal(a->seed, b->seed);
    assert_int_equal(a->position, b->position);
}

static void test_same_bits(void **state)
{
    (void)state;
    for (int naive = 0; naive < 2; naive++)
        for (int reference = 0; reference < 2; reference++)
            for (int early = 0; early < 2; early++) {
                cbm_context_options o;
                cbm_context_options_init(&o);
                o.threads = 1;
                o.naive = (uint64_t)naive;
                o.device = reference ? "reference" : "cpu";
                const outcome plain = train(&o, PLAIN, early);
                for (int form = CHECKPOINTED; form < FORMS; form++) {
                    const outcome other = train(&o, form, early);
                    assert_same(&plain, &other, naive || reference);
                }
            }
}

/* ---- memory ---- */

enum { BLOCKS = 8, LAYERS = 4, WIDTH = 64, BATCH = 2048 };

static cbm_module *deep(cbm_context *cx, bool checkpoint, bool nested)
{
    cbm_module *blocks[BLOCKS], *halves[2];
    for (int i = 0; i < BLOCKS; i++) {
        cbm_module *layers[2 * LAYERS];
        for (int k = 0; k < LAYERS; k++) {
            layers[2 * k] = cbm_nn_linear(cx, WIDTH, WIDTH);
            layers[2 * k + 1] = cbm_nn_tanh(cx);
        }
        blocks[i] = maybe(cx, checkpoint, cbm_sequential_of(cx, 2 * LAYERS, layers));
    }
    if (!nested)
        return cbm_sequential_of(cx, BLOCKS, blocks);
    for (int h = 0; h < 2; h++)
        halves[h] = cbm_nn_checkpoint(cx, cbm_sequential_of(cx, BLOCKS / 2, blocks + h * (BLOCKS / 2)));
    return cbm_sequential_of(cx, 2, halves);
}

typedef struct memory {
    uint64_t arena, peak;
    float weight[WIDTH];
} memory;

static memory run_deep(bool checkpoint, bool nested)
{
    memory m;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_module *net = deep(cx, checkpoint, nested);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.01);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(BATCH, WIDTH), 0, 1);
    cbm_compute(&x, 1);
    cbm_flush(cx);
    cbm_reset_peak(cx);
    uint64_t allocations = 0;
    for (int i = 0; i < 6; i++) {
        CBM_SCOPE(scope, cx);
        cbm_backward(cbm_mean(cbm_call(net, x)));
        cbm_step(opt);
        if (i == 4)
            allocations = cbm_context_statistics(cx).allocations;
    }
    cbm_statistics s = cbm_context_statistics(cx);
#ifndef CBM_PLAIN_HEAP
    assert_int_equal(s.allocations, allocations); /* steady */
#endif
    (void)allocations;
    m.arena = s.arena_bytes;
    m.peak = s.bytes_peak;
    cbm_named named;
    assert_true(cbm_parameter_at(net, 1, &named));
    cbm_read(named.tensor, m.weight, sizeof m.weight);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
    return m;
}

static void test_memory(void **state)
{
    (void)state;
    const memory plain = run_deep(false, false), once = run_deep(true, false), twice = run_deep(true, true);
    const uint64_t activation = (uint64_t)BATCH * WIDTH * 4;
    print_message("arena: plain %llu, checkpointed %llu, nested %llu activations\n",
                  (unsigned long long)(plain.arena / activation), (unsigned long long)(once.arena / activation),
                  (unsigned long long)(twice.arena / activation));
    assert_true(plain.arena >= BLOCKS * LAYERS * activation);
    assert_true(once.arena <= (BLOCKS + LAYERS + 6) * activation);
    assert_true(twice.arena < once.arena);
    assert_true(once.peak + (plain.arena - once.arena) / 2 < plain.peak);
    assert_true(twice.peak < once.peak);
    assert_memory_equal(plain.weight, once.weight, sizeof plain.weight);
    assert_memory_equal(plain.weight, twice.weight, sizeof plain.weight);
}

/* ---- gradients of gradients, shared weights, gradients of the input ---- */

static void second_order(bool checkpoint, float out[12])
{
    cbm_context *cx = cbm_open_with(.threads = 1, .seed = 5);
    cbm_module *layer = cbm_nn_linear(cx, 3, 3);
    cbm_module *net = maybe(cx, checkpoint, cbm_sequential(cx, layer, cbm_nn_tanh(cx), CBM_END));
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(2, 3), 0, 1), true);
    cbm_tensor *y = cbm_call(net, cbm_call(net, x)), *g; /* the same weights twice */
    cbm_grad(cbm_sum(cbm_mul(y, y)), &x, 1, &g, .create_graph = true);
    cbm_backward(cbm_sum(cbm_mul(g, g)));
    cbm_named named;
    assert_true(cbm_parameter_at(net, 0, &named));
    cbm_read(cbm_gradient(named.tensor), out, 9 * sizeof(float));
    assert_true(cbm_parameter_at(net, 1, &named));
    cbm_read(cbm_gradient(named.tensor), out + 9, 3 * sizeof(float));
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void test_second_order(void **state)
{
    (void)state;
    float plain[12], other[12];
    second_order(false, plain);
    second_order(true, other);
    for (int i = 0; i < 12; i++)
        assert_float_equal(plain[i], other[i], 1e-5);
}

static void test_twice_and_modes(void **state)
{
    (void)state;
    float g[2][9];
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        cbm_context *cx = cbm_open_with(.threads = 1, .seed = 2);
        cbm_module *net =
            maybe(cx, checkpoint != 0,
                  cbm_sequential(cx, cbm_nn_linear(cx, 3, 3), cbm_nn_dropout(cx, 0.4), cbm_nn_tanh(cx), CBM_END));
        cbm_tensor *loss = cbm_sum(cbm_call(net, cbm_normal(cx, CBM_F32, CBM_SHAPE(5, 3), 0, 1)));
        cbm_eval(net); /* the forward has happened in training mode */
        cbm_backward_retain(loss);
        cbm_backward(loss);
        cbm_named named;
        assert_true(cbm_parameter_at(net, 0, &named));
        cbm_read(cbm_gradient(named.tensor), g[checkpoint], sizeof g[0]);
        assert_false(net->training);
        assert_string_equal(cbm_message(cx), "");
        cbm_close(cx);
    }
    assert_memory_equal(g[0], g[1], sizeof g[0]);
}

static void test_names_stay(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_module *net = cbm_sequential(cx, cbm_nn_checkpoint(cx, cbm_nn_linear(cx, 2, 2)), CBM_END);
    cbm_named named;
    assert_true(cbm_parameter_at(net, 0, &named));
    assert_string_equal(named.name, "0.weight");
    cbm_scope *scope = cbm_scope_begin_no_grad(cx);
    assert_false(cbm_tensor_requires_grad(cbm_call(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 2)))));
    cbm_scope_end(scope);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

/* ---- errors ---- */

static void assert_says(cbm_context *cx, const char *part)
{
    if (!strstr(cbm_message(cx), part))
        fail_msg("\"%s\" is not in \"%s\"", part, cbm_message(cx));
}

static cbm_tensor *captured;

static cbm_tensor *captures(cbm_module *self, cbm_tensor *x)
{
    (void)self;
    return cbm_mul(x, captured);
}

static void test_errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.threads = 1);
    cbm_module *net = cbm_nn_checkpoint(cx, cbm_nn_linear(cx, 2, 2));
    cbm_tensor *loss = cbm_sum(cbm_call(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(3, 2))));
    cbm_module_release(net);
    cbm_backward(loss);
    assert_says(cx, "has been released");
    cbm_clear(cx);
    cbm_tensor *x = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(2)), true);
    captured = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(2)), true);
    cbm_backward(cbm_sum(cbm_call(cbm_nn_checkpoint(cx, cbm_module_new(cx, sizeof(cbm_module), captures)), x)));
    assert_says(cx, "neither the module's input nor one of its parameters");
    cbm_clear(cx);
    cbm_module *many[40];
    for (int i = 0; i < 40; i++)
        many[i] = cbm_nn_linear(cx, 2, 2);
    net = cbm_nn_checkpoint(cx, cbm_sequential_of(cx, 40, many));
    cbm_call(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(3, 2)));
    assert_says(cx, "HINT: checkpoint its parts");
    cbm_clear(cx);
    cbm_nn_checkpoint(cx, NULL);
    assert_says(cx, "NULL");
    cbm_close(cx);
}

static void test_no_memory(void **state)
{
    (void)state;
    bool done = false;
    for (int64_t n = 1; n < 20000 && !done; n++) {
        cbm_context *cx = cbm_open_with(.threads = 1);
        cbm_module *net = network(cx, NESTED);
        cbm_tensor *labels, *x = batch_of(cx, &labels);
        cbm_flush(cx);
        uint64_t seed, before, after;
        cbm_random_state(cx, &seed, &before);
        cbm_heap_fail_after(cbm_context_heap(cx), n);
        cbm_backward(loss_of(net, x, labels));
        cbm_flush(cx);
        cbm_heap_fail_after(cbm_context_heap(cx), 0);
        done = cbm_context_status(cx) == CBM_OK;
        if (!done) {
            assert_int_equal(cbm_context_status(cx), CBM_ERROR_MEMORY);
            cbm_clear(cx);
            cbm_random_state(cx, &seed, &after);
            assert_int_equal(before, after);
            assert_int_equal(cx->recomputing, 0);
        }
        cbm_close(cx);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),       cmocka_unit_test(test_memory),     cmocka_unit_test(test_second_order),
        cmocka_unit_test(test_twice_and_modes), cmocka_unit_test(test_names_stay), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
