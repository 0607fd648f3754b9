/* test_recurrent.c: recurrent layers and cells against PyTorch's (recurrent.safetensors, from make_recurrent.py), lengths
   against padding and masks, planned against naive, packing, dropout, names, and every error. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "support/module_case.h"
#include "support/status.h"

#define DATA CBM_SOURCE_DIR "/tests/nn/data/recurrent.safetensors"
enum { IN = 4, HIDDEN = 6 };

/* ---- against PyTorch ---- */

static cbm_module *rnn(cbm_context *cx, int64_t t)
{
    return cbm_nn_rnn(cx, IN, HIDDEN, .dtype = t);
}
static cbm_module *rnn_relu(cbm_context *cx, int64_t t)
{
    return cbm_nn_rnn(cx, IN, HIDDEN, .relu = true, .num_layers = 2, .batch_first = true, .dtype = t);
}
static cbm_module *rnn_ragged(cbm_context *cx, int64_t t)
{
    return cbm_nn_rnn(cx, IN, HIDDEN, .bidirectional = true, .dtype = t);
}
static cbm_module *lstm(cbm_context *cx, int64_t t)
{
    return cbm_nn_lstm(cx, IN, HIDDEN, .dtype = t);
}
static cbm_module *lstm_deep(cbm_context *cx, int64_t t)
{
    return cbm_nn_lstm(cx, IN, HIDDEN, .num_layers = 2, .bidirectional = true, .batch_first = true, .dtype = t);
}
static cbm_module *lstm_projected(cbm_context *cx, int64_t t)
{
    return cbm_nn_lstm(cx, IN, HIDDEN, .num_layers = 2, .bidirectional = true, .proj_size = 2, .dtype = t);
}
static cbm_module *lstm_unbatched(cbm_context *cx, int64_t t)
{
    return cbm_nn_lstm(cx, IN, HIDDEN, .bias = false, .dtype = t);
}
static cbm_module *gru(cbm_context *cx, int64_t t)
{
    return cbm_nn_gru(cx, IN, HIDDEN, .bias = false, .dtype = t);
}
static cbm_module *gru_deep(cbm_context *cx, int64_t t)
{
    return cbm_nn_gru(cx, IN, HIDDEN, .num_layers = 2, .bidirectional = true, .dtype = t);
}
static cbm_module *gru_ragged(cbm_context *cx, int64_t t)
{
    return cbm_nn_gru(cx, IN, HIDDEN, .num_layers = 2, .bidirectional = true, .batch_first = true, .dtype = t);
}
static cbm_module *rnn_cell(cbm_context *cx, int64_t t)
{
    return cbm_nn_rnn_cell(cx, IN, HIDDEN, .dtype = t);
}
static cbm_module *lstm_cell(cbm_context *cx, int64_t t)
{
    return cbm_nn_lstm_cell(cx, IN, HIDDEN, .dtype = t);
}
static cbm_module *lstm_cell_start(cbm_context *cx, int64_t t)
{
    return cbm_nn_lstm_cell(cx, IN, HIDDEN, .bias = false, .dtype = t);
}
static cbm_module *gru_cell(cbm_context *cx, int64_t t)
{
    return cbm_nn_gru_cell(cx, IN, HIDDEN, .dtype = t);
}

typedef struct stored {
    const char *name;
    cbm_module *(*make)(cbm_context *cx, int64_t dtype);
} stored;
#define CASE(name)                                                                                                     \
    {                                                                                                                  \
#name, name                                                                                                    \
    }
static const stored cases[] = {
    CASE(rnn),
    CASE(rnn_relu),
    CASE(rnn_ragged),
    CASE(lstm),
    CASE(lstm_deep),
    CASE(lstm_projected),
    CASE(lstm_unbatched),
    CASE(gru),
    CASE(gru_deep),
    CASE(gru_ragged),
    CASE(rnn_cell),
    CASE(lstm_cell),
    CASE(lstm_cell_start),
    CASE(gru_cell),
};

static void follow(const stored *s, const char *device, cbm_dtype dtype, double limit)
{
    static const char *const names[] = { "x", "h0", "c0" };
    module_case c = module_case_open(DATA, s->name, device, dtype, limit);
    cbm_module *net = s->make(c.cx, dtype);
    module_case_load(&c, net);
    cbm_tensor *const in[] = { module_case_tensor(&c, "x"), module_case_tensor(&c, "h0"),
                               module_case_tensor(&c, "c0") };
    const cbm_recurrent_result r =
        cbm_recurrent_call(net, in[0], .h0 = in[1], .c0 = in[2], .lengths = module_case_tensor(&c, "lengths"));
    good(c.cx);
    module_case_output(&c, "output", r.output);
    module_case_output(&c, "h", r.h);
    if (strncmp(s->name, "lstm", 4) == 0)
        module_case_output(&c, "c", r.c);
    else
        assert_null(r.c);
    module_case_backward(&c, net, names, in, 3);
    module_case_close(&c);
}

static void agrees_with_pytorch(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        follow(&cases[i], "reference", CBM_F64, 1e-12);
        follow(&cases[i], "reference", CBM_F32, 2e-6);
        follow(&cases[i], "cpu", CBM_F32, 2e-6);
        follow(&cases[i], "cpu", CBM_F64, 1e-12);
    }
}

/* cbm_call gives the output of cbm_recurrent_call without states. */
static void the_plain_call(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 2, .threads = 1);
    cbm_module *net = cbm_nn_gru(cx, IN, HIDDEN, .num_layers = 2);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(5, 3, IN), 0, 1), false);
    float a[5 * 3 * HIDDEN], b[5 * 3 * HIDDEN];
    assert_int_equal(cbm_read(cbm_call(net, x), a, sizeof a), CBM_OK);
    assert_int_equal(cbm_read(cbm_recurrent_call(net, x).output, b, sizeof b), CBM_OK);
    assert_memory_equal(a, b, sizeof a);
    good(cx);
    cbm_close(cx);
}

/* ---- lengths are padding and masks ---- */

/* One layer by its cells: steps past a sequence's end leave its state, and give 0. */
static void by_cells(cbm_context *cx, cbm_module *cell, cbm_tensor *x, const int64_t *lengths, bool reverse,
                     bool memory, cbm_tensor **y, cbm_recurrent_result *last)
{
    const int64_t steps = cbm_tensor_size(x, 0), batch = cbm_tensor_size(x, 1);
    cbm_tensor *h = cbm_zeros(cx, CBM_F32, CBM_SHAPE(batch, HIDDEN)), *c = memory ? h : NULL, *outputs[16];
    cbm_tensor *ends = cbm_reshape(cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(batch), lengths), CBM_SHAPE(batch, 1));
    for (int64_t k = 0; k < steps; k++) {
        const int64_t t = reverse ? steps - 1 - k : k;
        cbm_tensor *row = cbm_reshape(cbm_slice(x, 0, t, t + 1, 1), CBM_SHAPE(batch, IN));
        const cbm_recurrent_result r = cbm_recurrent_call(cell, row, .h0 = h, .c0 = c);
        cbm_tensor *active = cbm_less(cbm_scalar(cx, CBM_I64, (double)t), ends);
        h = cbm_where(active, r.h, h);
        c = memory ? cbm_where(active, r.c, c) : NULL;
        cbm_tensor *out = cbm_where(active, r.h, cbm_zeros(cx, CBM_F32, CBM_SHAPE(batch, HIDDEN)));
        outputs[t] = cbm_reshape(out, CBM_SHAPE(1, batch, HIDDEN));
    }
    *y = cbm_concat(outputs, (size_t)steps, 0);
    *last = (cbm_recurrent_result){ *y, h, c };
}

static void near(cbm_tensor *a, cbm_tensor *b, double limit)
{
    float *x = calloc((size_t)cbm_tensor_count(a) + 1, sizeof *x),
          *y = calloc((size_t)cbm_tensor_count(b) + 1, sizeof *y);
    assert_int_equal(cbm_tensor_count(a), cbm_tensor_count(b));
    assert_int_equal(cbm_read(a, x, (size_t)cbm_tensor_count(a) * sizeof *x), CBM_OK);
    assert_int_equal(cbm_read(b, y, (size_t)cbm_tensor_count(b) * sizeof *y), CBM_OK);
    for (int64_t i = 0; i < cbm_tensor_count(a); i++)
        if (!(fabs((double)x[i] - (double)y[i]) <= limit))
            fail_msg("element %lld: %g and %g", (long long)i, (double)x[i], (double)y[i]);
    free(x);
    free(y);
}

static void copy_parameters(cbm_module *from, cbm_module *to, size_t first)
{
    cbm_named a, b;
    for (size_t i = 0; cbm_parameter_at(to, i, &b); i++) {
        assert_true(cbm_parameter_at(from, first + i, &a));
        cbm_assign(b.tensor, a.tensor);
    }
}

static void lengths_are_masks(void **state)
{
    (void)state;
    static const int64_t lengths[] = { 3, 7, 1, 5, 7, 2 };
    for (int kind = 0; kind < 3; kind++) {
        cbm_context *cx = cbm_open_with(.seed = 5 + (uint64_t)kind, .threads = 2);
        cbm_module *layer = kind == 0   ? cbm_nn_rnn(cx, IN, HIDDEN, .bidirectional = true)
                            : kind == 1 ? cbm_nn_lstm(cx, IN, HIDDEN, .bidirectional = true)
                                        : cbm_nn_gru(cx, IN, HIDDEN, .bidirectional = true);
        cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(7, 6, IN), 0, 1), true);
        cbm_tensor *at_end = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(6), lengths);
        cbm_recurrent_result whole = cbm_recurrent_call(layer, x, .lengths = at_end);
        good(cx);
        cbm_tensor *halves[2], *h[2], *c[2];
        for (int d = 0; d < 2; d++) {
            cbm_recurrent_result last;
            cbm_module *cell = kind == 0   ? cbm_nn_rnn_cell(cx, IN, HIDDEN)
                               : kind == 1 ? cbm_nn_lstm_cell(cx, IN, HIDDEN)
                                           : cbm_nn_gru_cell(cx, IN, HIDDEN);
            copy_parameters(layer, cell, d ? 4 : 0);
            by_cells(cx, cell, x, lengths, d == 1, kind == 1, &halves[d], &last);
            h[d] = cbm_reshape(last.h, CBM_SHAPE(1, 6, HIDDEN));
            c[d] = last.c ? cbm_reshape(last.c, CBM_SHAPE(1, 6, HIDDEN)) : NULL;
        }
        cbm_tensor *masked = cbm_concat(halves, 2, 2), *states = cbm_concat(h, 2, 0);
        near(whole.output, masked, 1e-6);
        near(whole.h, states, 1e-6);
        if (kind == 1)
            near(whole.c, cbm_concat(c, 2, 0), 1e-6);
        /* The input's gradient, which is 0 past the ends. */
        cbm_tensor *grads[2];
        cbm_tensor *one = cbm_add(cbm_sum(cbm_mul(whole.output, whole.output)), cbm_sum(whole.h));
        cbm_tensor *two = cbm_add(cbm_sum(cbm_mul(masked, masked)), cbm_sum(states));
        assert_int_equal(cbm_grad(one, &x, 1, &grads[0]), CBM_OK);
        assert_int_equal(cbm_grad(two, &x, 1, &grads[1]), CBM_OK);
        near(grads[0], grads[1], 1e-5);
        const float *g = cbm_tensor_data(grads[0]);
        assert_non_null(g);
        for (int64_t b = 0; b < 6; b++)
            for (int64_t t = lengths[b]; t < 7; t++)
                assert_true(g[(t * 6 + b) * IN] == 0);
        good(cx);
        cbm_close(cx);
    }
}

/* ---- planned and naive, threads and shapes ---- */

/* The last loss of a few steps of training. */
static double train(bool naive, int64_t threads, int64_t batch, int64_t hidden, bool ragged, float *weights,
                    size_t size)
{
    cbm_context *cx = cbm_open_with(.naive = naive, .threads = threads, .seed = 9);
    cbm_module *net = cbm_nn_lstm(cx, 10, hidden, .num_layers = 2, .dropout = 0.3, .bidirectional = true);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.5);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(6, batch, 10), 0, 1), false);
    int64_t *ends = malloc((size_t)batch * sizeof *ends);
    for (int64_t i = 0; i < batch; i++)
        ends[i] = 1 + i * 7 % 6;
    cbm_tensor *lengths = ragged ? cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(batch), ends) : NULL;
    double last = 0;
    for (int i = 0; i < 4; i++) {
        CBM_SCOPE(step, cx);
        cbm_recurrent_result r = cbm_recurrent_call(net, x, .lengths = lengths);
        cbm_tensor *loss = cbm_add(cbm_mean(cbm_mul(r.output, r.output)), cbm_mean(cbm_mul(r.c, r.h)));
        cbm_backward(loss);
        cbm_step(opt);
        last = cbm_item(loss);
    }
    assert_int_equal(cbm_read(cbm_slice(cbm_parameter(net, "weight_hh_l1_reverse"), 0, 0, 1, 1), weights, size),
                     CBM_OK);
    good(cx);
    free(ends);
    cbm_close(cx);
    return last;
}

static void planned_is_naive(void **state)
{
    (void)state;
    static const struct {
        int64_t batch, hidden;
        bool ragged;
    } shapes[] = { { 3, 20, false }, { 3, 20, true }, { 40, 33, true }, { 5, 130, true }, { 70, 70, false } };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        float a[160], b[160], c[160];
        const size_t size = (size_t)shapes[i].hidden * sizeof(float);
        const double planned = train(false, 2, shapes[i].batch, shapes[i].hidden, shapes[i].ragged, a, size);
        const double naive = train(true, 2, shapes[i].batch, shapes[i].hidden, shapes[i].ragged, b, size);
        const double again = train(false, 2, shapes[i].batch, shapes[i].hidden, shapes[i].ragged, c, size);
        assert_true(isfinite(planned) && planned == again);
        assert_memory_equal(a, c, size);
        assert_true(fabs(planned - naive) < 1e-5 * (1 + fabs(naive))); /* sums are made in another order */
        for (int64_t k = 0; k < shapes[i].hidden; k++)
            assert_true(fabsf(a[k] - b[k]) < 1e-5f);
        const double alone = train(false, 1, shapes[i].batch, shapes[i].hidden, shapes[i].ragged, b, size);
        assert_true(fabs(planned - alone) < 1e-5 * (1 + fabs(alone)));
    }
}

/* ---- dropout between layers ---- */

static void dropout_in_training_only(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 4, .threads = 1);
    cbm_module *net = cbm_nn_rnn(cx, IN, HIDDEN, .num_layers = 2, .dropout = 0.5);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(5, 3, IN), 0, 1), false);
    float a[90], b[90];
    assert_int_equal(cbm_read(cbm_call(net, x), a, sizeof a), CBM_OK);
    assert_int_equal(cbm_read(cbm_call(net, x), b, sizeof b), CBM_OK);
    assert_memory_not_equal(a, b, sizeof a);
    cbm_eval(net);
    assert_int_equal(cbm_read(cbm_call(net, x), a, sizeof a), CBM_OK);
    assert_int_equal(cbm_read(cbm_call(net, x), b, sizeof b), CBM_OK);
    assert_memory_equal(a, b, sizeof a);
    cbm_close(cx);
}

static void names_and_initial_values(void **state)
{
    (void)state;
    static const char *const names[] = { "weight_ih_l0",         "weight_hh_l0",         "bias_ih_l0",
                                         "bias_hh_l0",           "weight_hr_l0",         "weight_ih_l0_reverse",
                                         "weight_hh_l0_reverse", "bias_ih_l0_reverse",   "bias_hh_l0_reverse",
                                         "weight_hr_l0_reverse", "weight_ih_l1",         "weight_hh_l1",
                                         "bias_ih_l1",           "bias_hh_l1",           "weight_hr_l1",
                                         "weight_ih_l1_reverse", "weight_hh_l1_reverse", "bias_ih_l1_reverse",
                                         "bias_hh_l1_reverse",   "weight_hr_l1_reverse" };
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_nn_lstm(cx, 3, 16, .num_layers = 2, .bidirectional = true, .proj_size = 5);
    cbm_named p;
    assert_int_equal(cbm_parameter_count(net), 20);
    for (size_t i = 0; i < 20; i++) {
        assert_true(cbm_parameter_at(net, i, &p));
        assert_string_equal(p.name, names[i]);
        const float *v = cbm_tensor_data(p.tensor);
        float largest = 0;
        for (int64_t k = 0; k < cbm_tensor_count(p.tensor); k++)
            largest = fmaxf(largest, fabsf(v[k]));
        assert_true(largest <= 0.25f && largest > 0.2f);
    }
    assert_int_equal(cbm_tensor_size(cbm_parameter(net, "weight_ih_l1"), 1), 10);
    good(cx);
    cbm_close(cx);
}

/* ---- gradients of gradients, by operation ---- */

static cbm_tensor *lstm_function(cbm_tensor *const *in, size_t count, void *user)
{
    (void)count;
    const cbm_recurrent_result r = cbm_lstm(in[0], in[1], in[2], .b_ih = in[3], .b_hh = in[4], .h0 = in[5], .c0 = in[6],
                                            .w_hr = in[7], .lengths = user, .reverse = user != NULL);
    return cbm_add(cbm_add(cbm_sum(cbm_mul(r.output, r.output)), cbm_sum(r.h)), cbm_sum(cbm_mul(r.c, r.c)));
}

static cbm_tensor *gru_function(cbm_tensor *const *in, size_t count, void *user)
{
    (void)count;
    const cbm_recurrent_result r = cbm_gru(in[0], in[1], in[2], .b_ih = in[3], .b_hh = in[4], .h0 = in[5],
                                           .lengths = user, .reverse = user != NULL);
    return cbm_add(cbm_sum(cbm_mul(r.output, r.output)), cbm_sum(r.h));
}

static cbm_tensor *rnn_function(cbm_tensor *const *in, size_t count, void *user)
{
    (void)count;
    const cbm_recurrent_result r = cbm_rnn(in[0], in[1], in[2], .b_ih = in[3], .b_hh = in[4], .h0 = in[5],
                                           .lengths = user, .reverse = user != NULL);
    return cbm_add(cbm_sum(cbm_mul(r.output, r.output)), cbm_sum(r.h));
}

static void gradients(void **state)
{
    (void)state;
    static const int64_t ends[] = { 3, 1 };
    static const struct {
        cbm_function f;
        int64_t gates, width;
        size_t count;
    } kinds[] = { { lstm_function, 12, 2, 8 }, { gru_function, 9, 3, 6 }, { rnn_function, 3, 3, 6 } };
    for (size_t k = 0; k < 3; k++)
        for (int ragged = 0; ragged < 2; ragged++) {
            cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1, .seed = 3);
            const int64_t g = kinds[k].gates, p = kinds[k].width;
            const cbm_shape shapes[] = { CBM_SHAPE(3, 2, 2), CBM_SHAPE(g, 2), CBM_SHAPE(g, p), CBM_SHAPE(g),
                                         CBM_SHAPE(g),       CBM_SHAPE(2, p), CBM_SHAPE(2, 3), CBM_SHAPE(2, 3) };
            cbm_tensor *in[8];
            for (size_t i = 0; i < kinds[k].count; i++)
                in[i] = cbm_uniform(cx, CBM_F64, shapes[i], -0.8, 0.8);
            cbm_tensor *lengths = ragged ? cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2), ends) : NULL;
            double error;
            if (cbm_gradcheck(cx, kinds[k].f, lengths, in, kinds[k].count, true, &error) != CBM_OK)
                fail_msg("kind %zu, ragged %d: %s (%g)", k, ragged, cbm_message(cx), error);
            cbm_close(cx);
        }
}

/* ---- sequences of different lengths ---- */

static void padding_and_packing(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    static const float data[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    cbm_tensor *list[] = { cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(1, 2), data),
                           cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(3, 2), data + 2),
                           cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(2, 2), data + 8) };
    static const float time_first[] = { 1, 2, 3, 4, 9, 10, -1, -1, 5, 6, 11, 12, -1, -1, 7, 8, -1, -1 };
    static const float batch_first[] = { 1, 2, -1, -1, -1, -1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, -1, -1 };
    static const float packed[] = { 3, 4, 9, 10, 1, 2, 5, 6, 11, 12, 7, 8 }; /* PyTorch's order */
    static const int64_t lengths[] = { 1, 3, 2 }, sizes[] = { 3, 2, 1 }, sorted[] = { 1, 2, 0 },
                         unsorted[] = { 2, 0, 1 };
    float got[18];
    int64_t whole[3];
    for (int first = 0; first < 2; first++) {
        const cbm_padded p = cbm_pad_sequence(list, 3, .batch_first = first != 0, .value = -1);
        assert_int_equal(cbm_read(p.data, got, sizeof got), CBM_OK);
        assert_memory_equal(got, first ? batch_first : time_first, sizeof got);
        assert_int_equal(cbm_read(p.lengths, whole, sizeof whole), CBM_OK);
        assert_memory_equal(whole, lengths, sizeof whole);

        cbm_tensor *back[3];
        assert_int_equal(cbm_unpad_sequence(p.data, lengths, 3, first != 0, back), CBM_OK);
        for (int i = 0; i < 3; i++) {
            const cbm_shape a = cbm_tensor_shape(back[i]), b = cbm_tensor_shape(list[i]);
            assert_true(cbm_shape_equal(&a, &b));
            assert_int_equal(cbm_read(back[i], got, (size_t)lengths[i] * 2 * sizeof *got), CBM_OK);
            assert_memory_equal(got, data + (i == 0 ? 0 : i == 1 ? 2 : 8), (size_t)lengths[i] * 2 * sizeof *got);
        }

        const cbm_packed k = cbm_pack_padded(p.data, lengths, 3, first != 0);
        assert_int_equal(cbm_read(k.data, got, sizeof packed), CBM_OK);
        assert_memory_equal(got, packed, sizeof packed);
        assert_int_equal(cbm_read(k.batch_sizes, whole, sizeof whole), CBM_OK);
        assert_memory_equal(whole, sizes, sizeof whole);
        assert_int_equal(cbm_read(k.sorted_indices, whole, sizeof whole), CBM_OK);
        assert_memory_equal(whole, sorted, sizeof whole);
        assert_int_equal(cbm_read(k.unsorted_indices, whole, sizeof whole), CBM_OK);
        assert_memory_equal(whole, unsorted, sizeof whole);

        const cbm_padded again = cbm_pad_packed(&k, .batch_first = first != 0, .value = -1);
        assert_int_equal(cbm_read(again.data, got, sizeof got), CBM_OK);
        assert_memory_equal(got, first ? batch_first : time_first, sizeof got);
        assert_int_equal(cbm_read(again.lengths, whole, sizeof whole), CBM_OK);
        assert_memory_equal(whole, lengths, sizeof whole);
    }
    /* Single steps without features. */
    const cbm_packed flat =
        cbm_pack_padded(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(2, 2), data), (int64_t[]){ 2, 1 }, 2, false);
    assert_int_equal(cbm_tensor_rank(flat.data), 1);
    assert_int_equal(cbm_read(flat.data, got, 3 * sizeof *got), CBM_OK);
    assert_true(got[0] == 1 && got[1] == 2 && got[2] == 3);
    good(cx);
    cbm_close(cx);
}

/* ---- errors ---- */

static cbm_tensor *zeros(cbm_context *cx, cbm_shape shape)
{
    return cbm_zeros(cx, CBM_F32, shape);
}

static void errors_of_making(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    REFUSED(cbm_nn_lstm(cx, 0, 4), CBM_ERROR_INVALID, "[lstm] 0 features in and 4 units");
    REFUSED(cbm_nn_gru(cx, 4, 4, .num_layers = 0), CBM_ERROR_INVALID, "[gru] 0 layers");
    REFUSED(cbm_nn_gru(cx, 4, 4, .num_layers = 33, .bidirectional = true), CBM_ERROR_INVALID, "at most 64 states");
    REFUSED(cbm_nn_rnn(cx, 4, 4, .dropout = 1), CBM_ERROR_INVALID, "dropout must be in [0, 1)");
    REFUSED(cbm_nn_rnn(cx, 4, 4, .proj_size = 2), CBM_ERROR_INVALID, "[rnn] proj_size 2");
    REFUSED(cbm_nn_lstm(cx, 4, 4, .proj_size = 4), CBM_ERROR_INVALID, "below its units (4)");
    REFUSED(cbm_nn_lstm(cx, 4, 4, .relu = true), CBM_ERROR_INVALID, "[lstm] relu belongs to an rnn");
    REFUSED(cbm_nn_lstm(cx, 4, 4, .dtype = CBM_I64), CBM_ERROR_DTYPE, "[lstm] parameters are f32 or f64");
    REFUSED(cbm_nn_gru_cell(cx, 4, 4, .relu = true), CBM_ERROR_INVALID, "[gru_cell] relu belongs to an rnn");
    REFUSED(cbm_nn_lstm_cell(cx, 4, 0), CBM_ERROR_INVALID, "[lstm_cell] 4 features in and 0 units");
    REFUSED(cbm_nn_lstm_cell(cx, 4, 4, .dtype = CBM_U8), CBM_ERROR_DTYPE, "[lstm_cell]");
    REFUSED(cbm_nn_lstm_with(cx, 4, 4, NULL), CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_nn_rnn_cell_with(cx, 4, 4, NULL), CBM_ERROR_INVALID, "the options are NULL");
    cbm_nn_recurrent_options o;
    cbm_nn_recurrent_options_init(&o);
    assert_true(o.num_layers == 1 && o.bias == 1 && o.dropout == 0 && o.dtype == CBM_F32);
    cbm_nn_cell_options k;
    cbm_nn_cell_options_init(&k);
    assert_true(k.bias == 1 && k.relu == 0);
    cbm_close(cx);
}

static void errors_of_calls(void **state)
{
    (void)state;
    static const int64_t long_ends[] = { 3, 6 }, none[] = { 0, 1 };
    cbm_context *cx = cbm_open(NULL);
    cbm_module *lstm_net = cbm_nn_lstm(cx, 4, 6), *gru_net = cbm_nn_gru(cx, 4, 6, .batch_first = true);
    cbm_module *cell = cbm_nn_rnn_cell(cx, 4, 6), *linear = cbm_nn_linear(cx, 4, 4);
    cbm_tensor *x = cbm_variable(zeros(cx, CBM_SHAPE(5, 2, 4)), false);
    REFUSED(cbm_call(lstm_net, zeros(cx, CBM_SHAPE(5, 2, 3))), CBM_ERROR_SHAPE,
            "(5, 2, 3) is not (T, N, in) or (T, in) with in = 4");
    REFUSED(cbm_call(gru_net, zeros(cx, CBM_SHAPE(4))), CBM_ERROR_SHAPE, "[gru] the input (4) is not (N, T, in)");
    REFUSED(cbm_call(cell, zeros(cx, CBM_SHAPE(5, 2, 4))), CBM_ERROR_SHAPE, "is not (N, in) or (in)");
    REFUSED(cbm_call(lstm_net, zeros(cx, CBM_SHAPE(0, 2, 4))), CBM_ERROR_SHAPE, "at least one step");
    REFUSED(cbm_call(lstm_net, cbm_zeros(cx, CBM_F64, CBM_SHAPE(5, 2, 4))), CBM_ERROR_DTYPE, "f64");
    REFUSED(cbm_recurrent_call(lstm_net, x, .h0 = zeros(cx, CBM_SHAPE(2, 6))).output, CBM_ERROR_SHAPE,
            "h0 has shape (2, 6), but must have (1, 2, 6)");
    REFUSED(cbm_recurrent_call(lstm_net, x, .c0 = zeros(cx, CBM_SHAPE(1, 3, 6))).output, CBM_ERROR_SHAPE,
            "c0 has shape");
    REFUSED(cbm_recurrent_call(gru_net, x, .c0 = zeros(cx, CBM_SHAPE(1, 5, 6))).output, CBM_ERROR_INVALID,
            "[gru] c0 belongs to an lstm");
    REFUSED(cbm_recurrent_call(cell, zeros(cx, CBM_SHAPE(2, 4)), .lengths = x).output, CBM_ERROR_INVALID,
            "[rnn_cell] lengths belong to a batch of sequences");
    REFUSED(cbm_recurrent_call(lstm_net, x, .lengths = zeros(cx, CBM_SHAPE(2))).output, CBM_ERROR_DTYPE,
            "lengths must hold i64 or i32, not f32");
    REFUSED(cbm_recurrent_call(lstm_net, x, .lengths = cbm_zeros(cx, CBM_I64, CBM_SHAPE(3))).output, CBM_ERROR_SHAPE,
            "lengths has shape (3), but must have (2)");
    for (int i = 0; i < 2; i++) {
        cbm_tensor *lengths = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2), i ? none : long_ends);
        cbm_tensor *y = cbm_recurrent_call(lstm_net, x, .lengths = lengths).output;
        good(cx);
        cbm_compute(&y, 1);
        refused(cx, CBM_ERROR_RANGE,
                i ? "length 0 at position 0 is outside 1..5" : "length 6 at position 1 is outside 1..5");
    }
    REFUSED(cbm_recurrent_call(linear, x).output, CBM_ERROR_INVALID, "none of rnn, lstm, gru and their cells");
    REFUSED(cbm_recurrent_call(NULL, x).output, CBM_ERROR_INVALID, "the module is NULL");
    REFUSED(cbm_recurrent_call_with(lstm_net, x, NULL).output, CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_call_as(lstm_net, x, NULL, NULL), CBM_ERROR_INVALID, "the forward function is NULL");
    assert_false(cbm_tensor_failed(cbm_call(lstm_net, x)));
    cbm_close(cx);
}

static void errors_of_operations(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = zeros(cx, CBM_SHAPE(3, 2, 4)), *w = zeros(cx, CBM_SHAPE(12, 4)), *u = zeros(cx, CBM_SHAPE(12, 3));
    cbm_tensor *b = zeros(cx, CBM_SHAPE(12));
    REFUSED(cbm_lstm(zeros(cx, CBM_SHAPE(3, 4)), w, u).output, CBM_ERROR_SHAPE, "[lstm] x (3, 4) must be (T, B, in)");
    REFUSED(cbm_lstm(x, zeros(cx, CBM_SHAPE(12, 5)), u).output, CBM_ERROR_SHAPE, "does not end in 5");
    REFUSED(cbm_lstm(x, zeros(cx, CBM_SHAPE(10, 4)), u).output, CBM_ERROR_SHAPE, "are not 4 gates of equal width");
    REFUSED(cbm_gru(x, w, u, .c0 = x).output, CBM_ERROR_INVALID, "[gru] c0 and w_hr belong to an lstm");
    REFUSED(cbm_lstm(x, w, u, .b_ih = b).output, CBM_ERROR_INVALID, "one bias alone");
    REFUSED(cbm_lstm(x, w, u, .b_ih = b, .b_hh = zeros(cx, CBM_SHAPE(3))).output, CBM_ERROR_SHAPE,
            "b_hh has shape (3), but must have (12)");
    REFUSED(cbm_lstm(x, w, zeros(cx, CBM_SHAPE(12, 4))).output, CBM_ERROR_SHAPE,
            "w_hh has shape (12, 4), but must have (12, 3)");
    REFUSED(cbm_lstm(x, w, u, .w_hr = zeros(cx, CBM_SHAPE(3, 2))).output, CBM_ERROR_SHAPE, "w_hr has shape (3, 2)");
    REFUSED(cbm_lstm(x, w, u, .h0 = zeros(cx, CBM_SHAPE(3, 3))).output, CBM_ERROR_SHAPE, "h0 has shape (3, 3)");
    REFUSED(cbm_rnn(x, cbm_zeros(cx, CBM_F32, CBM_SHAPE(3, 4)), cbm_zeros(cx, CBM_F64, CBM_SHAPE(3, 3))).output,
            CBM_ERROR_DTYPE, "f32 and f64");
    REFUSED(cbm_rnn(cbm_zeros(cx, CBM_I64, CBM_SHAPE(3, 2, 4)), w, u).output, CBM_ERROR_DTYPE, "i64");
    cbm_recurrent_result r = cbm_recurrent_at(cbm_lstm_with(x, w, zeros(cx, CBM_SHAPE(1)), NULL), "model.c", 5);
    assert_true(cbm_tensor_failed(r.output) && cbm_tensor_failed(r.h) && cbm_tensor_failed(r.c));
    refused(cx, CBM_ERROR_SHAPE, "model.c:5");
    cbm_close(cx);
}

static void errors_of_packing(void **state)
{
    (void)state;
    static const int64_t fits[] = { 2, 1, 1 }, outside[] = { 2, 4 };
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = zeros(cx, CBM_SHAPE(3, 2, 4)), *out[3];
    cbm_tensor *mixed[] = { zeros(cx, CBM_SHAPE(3, 4)), zeros(cx, CBM_SHAPE(3, 5)) };
    assert_true(cbm_tensor_failed(cbm_pad_sequence(NULL, 0).data));
    REFUSED(cbm_pad_sequence(mixed, 2).data, CBM_ERROR_SHAPE,
            "sequence 1 f32 (3, 5) does not match the first, f32 (3, 4)");
    REFUSED(cbm_pad_sequence_with(mixed, 1, NULL).data, CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_unpad_sequence(x, fits, 3, false, out), CBM_ERROR_SHAPE,
            "(3, 2, 4) is not (T, N, ...) with 3 sequences");
    REFUSED(cbm_unpad_sequence(x, outside, 2, false, out), CBM_ERROR_RANGE, "length 4 at position 1 is outside 0..3");
    REFUSED(cbm_pack_padded(x, (int64_t[]){ 0, 2 }, 2, false).data, CBM_ERROR_RANGE,
            "length 0 at position 0 is outside 1..3");
    REFUSED(cbm_pack_padded(zeros(cx, CBM_SHAPE(3)), fits, 2, true).data, CBM_ERROR_SHAPE,
            "[pack_padded] (3) is not (N, T, ...)");
    cbm_packed p = cbm_pack_padded(x, fits, 2, false);
    p.batch_sizes = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2), outside);
    REFUSED(cbm_pad_packed(&p).data, CBM_ERROR_INVALID, "not those of packed sequences");
    REFUSED(cbm_pad_packed_with(&p, NULL).data, CBM_ERROR_INVALID, "the options are NULL");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_pytorch),
        cmocka_unit_test(the_plain_call),
        cmocka_unit_test(lengths_are_masks),
        cmocka_unit_test(planned_is_naive),
        cmocka_unit_test(dropout_in_training_only),
        cmocka_unit_test(names_and_initial_values),
        cmocka_unit_test(gradients),
        cmocka_unit_test(padding_and_packing),
        cmocka_unit_test(errors_of_making),
        cmocka_unit_test(errors_of_calls),
        cmocka_unit_test(errors_of_operations),
        cmocka_unit_test(errors_of_packing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
