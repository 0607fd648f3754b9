/* test_cpu_recurrent.c: recurrent layers and their gradients at every SIMD level against the reference backend: random
   extents that meet the ends of blocks and vectors, both ways of sharing the work, all optional inputs. */
#include "backend/kernels.h"
#include "op/attributes.h"

enum { TRIALS = 60 };

typedef struct extents {
    int64_t steps, batch, hidden, state, gates, biases, parts;
} extents;

static void add_in(trial *t, cbm_recurrent_attributes *a, int which, cbm_dtype dtype, cbm_shape shape, fill f)
{
    if (which >= 0)
        a->given |= (int64_t)1 << which;
    t->in[t->n_in] = buffer(dtype, shape);
    fill_buffer(&t->in[t->n_in++], f);
}

static void add_out(trial *t, cbm_shape shape)
{
    t->out[t->n_out++] = buffer(CBM_F32, shape);
}

static bool coin(void)
{
    return draw() < 0.5;
}

/* cell: 0 rnn, 1 lstm, 2 gru. */
static extents draw_extents(int cell, bool projected)
{
    extents e = { draw_int(1, 5), draw_int(1, 9), draw_int(1, 40), 0, 1, 1, 0 };
    if (draw() < 0.25) /* enough for threads to share the sequences */
        e.batch = draw_int(16, 70);
    if (draw() < 0.25) /* or the units */
        e.hidden = draw_int(60, 140);
    e.state = projected ? draw_int(1, 40) : e.hidden;
    if (cell) {
        e.gates = cell == 1 ? 4 : 3;
        e.biases = 4;
        e.parts = cell == 1 ? 5 : 4;
    }
    return e;
}

static const fill any = { -1, 1 }, small = { -0.3, 0.3 }, inside = { 0.05, 0.95 };

static void forward_trial(int cell)
{
    static const char *const names[] = { "rnn", "lstm", "gru" };
    const bool projected = cell == 1 && draw() < 0.3;
    const extents e = draw_extents(cell, projected);
    cbm_recurrent_attributes a = { .reverse = coin(), .relu = cell == 0 && coin(), .keep = coin() };
    trial t = { .op = names[cell], .attributes = &a, .threads = draw_int(1, 2), .tolerance = 4e-6 };
    add_in(&t, &a, -1, CBM_F32, CBM_SHAPE(e.steps, e.batch, e.gates * e.hidden), any);
    add_in(&t, &a, -1, CBM_F32, CBM_SHAPE(e.gates * e.hidden, e.state), small);
    if (coin())
        add_in(&t, &a, CBM_GIVEN_BIAS, CBM_F32, CBM_SHAPE(e.biases * e.hidden), any);
    if (coin())
        add_in(&t, &a, CBM_GIVEN_H0, CBM_F32, CBM_SHAPE(e.batch, e.state), any);
    if (cell == 1 && coin())
        add_in(&t, &a, CBM_GIVEN_C0, CBM_F32, CBM_SHAPE(e.batch, e.hidden), any);
    if (projected)
        add_in(&t, &a, CBM_GIVEN_W_HR, CBM_F32, CBM_SHAPE(e.state, e.hidden), small);
    if (coin())
        add_in(&t, &a, CBM_GIVEN_LENGTHS, coin() ? CBM_I64 : CBM_I32, CBM_SHAPE(e.batch), (fill){ 1, (double)e.steps });
    add_out(&t, CBM_SHAPE(e.steps, e.batch, e.state));
    add_out(&t, CBM_SHAPE(e.batch, e.state));
    if (cell == 1)
        add_out(&t, CBM_SHAPE(e.batch, e.hidden));
    if (e.parts)
        add_out(&t, a.keep ? CBM_SHAPE(e.steps, e.batch, e.parts * e.hidden) : CBM_SHAPE(0));
    compare(&t);
}

static void backward_trial(int cell)
{
    static const char *const names[] = { "rnn_backward", "lstm_backward", "gru_backward" };
    const bool projected = cell == 1 && draw() < 0.3, starts = coin();
    const extents e = draw_extents(cell, projected);
    cbm_recurrent_attributes a = { .reverse = coin(), .relu = cell == 0 && coin() };
    trial t = { .op = names[cell], .attributes = &a, .threads = draw_int(1, 2), .tolerance = 4e-6 };
    add_in(&t, &a, -1, CBM_F32, CBM_SHAPE(e.gates * e.hidden, e.state), small);
    if (cell == 2 && starts)
        add_in(&t, &a, CBM_GIVEN_H0, CBM_F32, CBM_SHAPE(e.batch, e.state), any);
    if (cell == 1 && starts)
        add_in(&t, &a, CBM_GIVEN_C0, CBM_F32, CBM_SHAPE(e.batch, e.hidden), any);
    if (projected)
        add_in(&t, &a, CBM_GIVEN_W_HR, CBM_F32, CBM_SHAPE(e.state, e.hidden), small);
    if (coin())
        add_in(&t, &a, CBM_GIVEN_LENGTHS, CBM_I64, CBM_SHAPE(e.batch), (fill){ 1, (double)e.steps });
    if (cell != 1)
        add_in(&t, &a, CBM_GIVEN_Y, CBM_F32, CBM_SHAPE(e.steps, e.batch, e.state), any);
    if (cell)
        add_in(&t, &a, CBM_GIVEN_KEPT, CBM_F32, CBM_SHAPE(e.steps, e.batch, e.parts * e.hidden), inside);
    if (coin())
        add_in(&t, &a, CBM_GIVEN_GY, CBM_F32, CBM_SHAPE(e.steps, e.batch, e.state), any);
    if (coin())
        add_in(&t, &a, CBM_GIVEN_GH, CBM_F32, CBM_SHAPE(e.batch, e.state), any);
    if (cell == 1 && coin())
        add_in(&t, &a, CBM_GIVEN_GC, CBM_F32, CBM_SHAPE(e.batch, e.hidden), any);
    add_out(&t, CBM_SHAPE(e.steps, e.batch, e.gates * e.hidden));
    add_out(&t, CBM_SHAPE(e.biases * e.hidden));
    if (cell == 1) {
        add_out(&t, starts ? CBM_SHAPE(e.batch, e.hidden) : CBM_SHAPE(0));
        add_out(&t, projected ? CBM_SHAPE(e.steps, e.batch, e.state) : CBM_SHAPE(0));
    } else if (cell == 2) {
        add_out(&t, CBM_SHAPE(e.steps, e.batch, e.hidden));
        add_out(&t, starts ? CBM_SHAPE(e.batch, e.state) : CBM_SHAPE(0));
    }
    compare(&t);
}

static void forward(void **state)
{
    (void)state;
    test_stream = 21;
    for (int i = 0; i < TRIALS; i++)
        forward_trial(i % 3);
}

static void backward(void **state)
{
    (void)state;
    test_stream = 22;
    for (int i = 0; i < TRIALS; i++)
        backward_trial(i % 3);
}

/* NaN in one sequence stays there. */
static void bad_numbers_stay_in_their_row(void **state)
{
    (void)state;
    const cbm_recurrent_attributes a = { .keep = 1 };
    for (int cell = 0; cell < 3; cell++) {
        static const char *const names[] = { "rnn", "lstm", "gru" };
        static const int64_t gates[] = { 1, 4, 3 };
        trial t = { .op = names[cell], .attributes = &a, .n_in = 2, .threads = 1, .tolerance = 4e-6 };
        t.in[0] = buffer(CBM_F32, CBM_SHAPE(3, 2, gates[cell] * 9));
        t.in[1] = buffer(CBM_F32, CBM_SHAPE(gates[cell] * 9, 9));
        fill_buffer(&t.in[0], any);
        fill_buffer(&t.in[1], small);
        ((float *)t.in[0].data)[gates[cell] * 9] = NAN;
        ((float *)t.in[0].data)[5] = INFINITY;
        add_out(&t, CBM_SHAPE(3, 2, 9));
        add_out(&t, CBM_SHAPE(2, 9));
        if (cell == 1)
            add_out(&t, CBM_SHAPE(2, 9));
        if (cell)
            add_out(&t, CBM_SHAPE(3, 2, (cell == 1 ? 5 : 4) * 9));
        compare(&t);
    }
}

static void wrong_lengths(void **state)
{
    (void)state;
    const cbm_recurrent_attributes a = { .given = 1 << CBM_GIVEN_LENGTHS, .keep = 1 };
    trial t = { .op = "gru", .attributes = &a, .n_in = 3, .threads = 1, .want = CBM_ERROR_RANGE };
    t.in[0] = buffer(CBM_F32, CBM_SHAPE(3, 2, 9));
    t.in[1] = buffer(CBM_F32, CBM_SHAPE(9, 3));
    t.in[2] = buffer(CBM_I32, CBM_SHAPE(2));
    for (int i = 0; i < 3; i++)
        fill_buffer(&t.in[i], (fill){ 4, 4 });
    add_out(&t, CBM_SHAPE(3, 2, 3));
    add_out(&t, CBM_SHAPE(2, 3));
    add_out(&t, CBM_SHAPE(3, 2, 12));
    compare(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward),
        cmocka_unit_test(backward),
        cmocka_unit_test(bad_numbers_stay_in_their_row),
        cmocka_unit_test(wrong_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
