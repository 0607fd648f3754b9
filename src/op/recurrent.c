/* recurrent.c: recurrent layers over time, one direction each: rnn, lstm, gru, and their gradients. The product of the input
   with its weights is a matmul before them, the weights' gradients are products after them. Rests on recurrent.h. */
#include "op/recurrent.h"

enum { BIT_H0 = 1 << CBM_GIVEN_H0, BIT_C0 = 1 << CBM_GIVEN_C0, BIT_W_HR = 1 << CBM_GIVEN_W_HR };
enum { FLOATS_OF_FORWARD = 1 << CBM_GIVEN_BIAS | BIT_H0, BIT_LENGTHS = 1 << CBM_GIVEN_LENGTHS };
enum { BIT_Y = 1 << CBM_GIVEN_Y, BIT_KEPT = 1 << CBM_GIVEN_KEPT, BIT_GY = 1 << CBM_GIVEN_GY };
enum { BIT_GH = 1 << CBM_GIVEN_GH, BIT_GC = 1 << CBM_GIVEN_GC };

static const cbm_cell *cell_of(const cbm_op *op)
{
    static const cbm_cell *const cells[] = { &cbm_cell_rnn, &cbm_cell_lstm, &cbm_cell_gru };
    for (size_t i = 0; i < CBM_COUNTOF(cells); i++)
        if (op == cells[i]->forward || op == cells[i]->backward)
            return cells[i];
    return NULL;
}

/* ---- shape rules ---- */

typedef struct extents {
    int64_t steps, batch, hidden, state;
} extents;

/* The optional inputs are of those allowed, as many as there are, and all floats have one dtype. */
static bool inputs_fit(cbm_infer *infer, size_t first, int64_t allowed)
{
    const cbm_recurrent_attributes *a = infer->attributes;
    const int lengths = cbm_recurrent_place(a, CBM_GIVEN_LENGTHS, (int)first);
    if (a->given & ~allowed || infer->n_in != first + (size_t)__builtin_popcountll((uint64_t)a->given))
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "the inputs are not those that the attributes name");
    for (size_t i = 0; i < infer->n_in; i++)
        if ((int)i != lengths && infer->in_dtype[i] != infer->in_dtype[0])
            return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                                  "element types differ: %s and %s. HINT: convert one with cbm_cast",
                                  cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(infer->in_dtype[i]));
    for (size_t i = 0; i < infer->n_out; i++)
        infer->out_dtype[i] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && (lengths < 0 || cbm_rule_index_dtype(infer, (size_t)lengths, "lengths"));
}

static bool optional_shape(cbm_infer *infer, size_t first, cbm_recurrent_input which, const char *what, cbm_shape shape)
{
    const int place = cbm_recurrent_place(infer->attributes, which, (int)first);
    return place < 0 || cbm_rule_shape(infer, (size_t)place, what, &shape);
}

/* The weights' shapes, P, and the inputs that forward and backward share. */
static bool common_shapes(cbm_infer *infer, size_t first, size_t w_hh, const cbm_cell *cell, extents *e)
{
    const int w_hr = cbm_recurrent_place(infer->attributes, CBM_GIVEN_W_HR, (int)first);
    e->state = w_hr >= 0 && infer->in_shape[w_hr].v[0] == 2 ? infer->in_shape[w_hr].v[1] : e->hidden;
    const cbm_shape weight = { { 2, cell->gates * e->hidden, e->state } };
    return optional_shape(infer, first, CBM_GIVEN_W_HR, "w_hr", (cbm_shape){ { 2, e->state, e->hidden } }) &&
           cbm_rule_shape(infer, w_hh, "w_hh", &weight) &&
           optional_shape(infer, first, CBM_GIVEN_H0, "h0", (cbm_shape){ { 2, e->batch, e->state } }) &&
           optional_shape(infer, first, CBM_GIVEN_C0, "c0", (cbm_shape){ { 2, e->batch, e->hidden } }) &&
           optional_shape(infer, first, CBM_GIVEN_LENGTHS, "lengths", (cbm_shape){ { 1, e->batch } });
}

static bool forward_infer(cbm_infer *infer)
{
    const cbm_recurrent_attributes *a = infer->attributes;
    const cbm_cell *cell = cell_of(infer->op);
    const cbm_shape *x = &infer->in_shape[0];
    const size_t first = CBM_RECURRENT_FIRST;
    if (!inputs_fit(infer, first, FLOATS_OF_FORWARD | BIT_LENGTHS | (cell->memory ? BIT_C0 | BIT_W_HR : 0)) ||
        !cbm_rule_rank(infer, 0, "x_gates", 3))
        return false;
    extents e = { x->v[1], x->v[2], x->v[3] / cell->gates, 0 };
    if (e.steps < 1 || e.hidden < 1 || x->v[3] % cell->gates)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "x_gates (%lld, %lld, %lld) must hold at least one step, and %lld gates of equal width",
                              (long long)x->v[1], (long long)x->v[2], (long long)x->v[3], (long long)cell->gates);
    if (!common_shapes(infer, first, 1, cell, &e) ||
        !optional_shape(infer, first, CBM_GIVEN_BIAS, "the bias", (cbm_shape){ { 1, cell->biases * e.hidden } }))
        return false;
    size_t n = 0;
    infer->out_shape[n++] = (cbm_shape){ { 3, e.steps, e.batch, e.state } };
    infer->out_shape[n++] = (cbm_shape){ { 2, e.batch, e.state } };
    if (cell->memory)
        infer->out_shape[n++] = (cbm_shape){ { 2, e.batch, e.hidden } };
    if (cell->kept)
        infer->out_shape[n] =
            a->keep ? (cbm_shape){ { 3, e.steps, e.batch, cell->kept * e.hidden } } : (cbm_shape){ { 1, 0 } };
    return true;
}

static int64_t backward_inputs(const cbm_cell *cell)
{
    const int64_t all = BIT_LENGTHS | BIT_GY | BIT_GH;
    return cell->memory ? all | BIT_C0 | BIT_W_HR | BIT_KEPT | BIT_GC
                        : all | BIT_Y | (cell->kept ? BIT_KEPT | BIT_H0 : 0);
}

static bool backward_infer(cbm_infer *infer)
{
    const cbm_recurrent_attributes *a = infer->attributes;
    const cbm_cell *cell = cell_of(infer->op);
    const size_t first = CBM_RECURRENT_BACKWARD_FIRST;
    const int64_t must = cell->kept ? BIT_KEPT : BIT_Y;
    if (!inputs_fit(infer, first, backward_inputs(cell)))
        return false;
    if ((a->given & must) == 0 || (cell == &cbm_cell_gru && !(a->given & BIT_Y)))
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "what forward has kept is missing");
    const size_t whole = (size_t)cbm_recurrent_place(a, cell->kept ? CBM_GIVEN_KEPT : CBM_GIVEN_Y, (int)first);
    const cbm_shape *kept = &infer->in_shape[whole];
    const int64_t parts = cell->kept ? cell->kept : 1;
    if (!cbm_rule_rank(infer, whole, "what forward has kept", 3))
        return false;
    extents e = { kept->v[1], kept->v[2], kept->v[3] / parts, 0 };
    const cbm_shape all = { { 3, e.steps, e.batch, parts * e.hidden } };
    if (!cbm_rule_shape(infer, whole, "what forward has kept", &all) || !common_shapes(infer, first, 0, cell, &e) ||
        !optional_shape(infer, first, CBM_GIVEN_Y, "y", (cbm_shape){ { 3, e.steps, e.batch, e.state } }) ||
        !optional_shape(infer, first, CBM_GIVEN_GY, "gy", (cbm_shape){ { 3, e.steps, e.batch, e.state } }) ||
        !optional_shape(infer, first, CBM_GIVEN_GH, "gh", (cbm_shape){ { 2, e.batch, e.state } }) ||
        !optional_shape(infer, first, CBM_GIVEN_GC, "gc", (cbm_shape){ { 2, e.batch, e.hidden } }))
        return false;
    const cbm_shape none = { { 1, 0 } };
    infer->out_shape[0] = (cbm_shape){ { 3, e.steps, e.batch, cell->gates * e.hidden } };
    infer->out_shape[1] = (cbm_shape){ { 1, cell->biases * e.hidden } };
    if (cell->memory) {
        infer->out_shape[2] = a->given & BIT_C0 ? (cbm_shape){ { 2, e.batch, e.hidden } } : none;
        infer->out_shape[3] = a->given & BIT_W_HR ? (cbm_shape){ { 3, e.steps, e.batch, e.state } } : none;
    } else if (cell->kept) {
        infer->out_shape[2] = (cbm_shape){ { 3, e.steps, e.batch, e.hidden } };
        infer->out_shape[3] = a->given & BIT_H0 ? (cbm_shape){ { 2, e.batch, e.state } } : none;
    }
    return true;
}

static void forward_cost(const cbm_launch *l, cbm_cost *cost)
{
    const double gates = (double)l->in[0].count, state = (double)l->in[1].shape[1];
    cost->flops = gates * (2 * state + 10);
    cost->bytes =
        (2 * gates + (double)l->in[1].count + (double)l->out[0].count) * (double)cbm_dtype_size(l->in[0].dtype);
}

static void backward_cost(const cbm_launch *l, cbm_cost *cost)
{
    const double gates = (double)l->out[0].count, state = (double)l->in[0].shape[1];
    cost->flops = gates * (2 * state + 10);
    cost->bytes = (2 * gates + (double)l->in[0].count) * (double)cbm_dtype_size(l->in[0].dtype);
}

/* ---- gradients ---- */

/* (T, B, n) as (T B, n). */
static cbm_tensor *rows_of(cbm_tensor *t)
{
    return cbm_reshape(t, CBM_SHAPE(cbm_tensor_size(t, 0) * cbm_tensor_size(t, 1), cbm_tensor_size(t, 2)));
}

/* The rows of g (T, B, n) at which the sequences begin: (B, n). */
static cbm_tensor *first_step(cbm_tensor *g, cbm_tensor *lengths, bool reverse)
{
    const int64_t steps = cbm_tensor_size(g, 0), batch = cbm_tensor_size(g, 1), width = cbm_tensor_size(g, 2);
    const cbm_shape flat = { { 2, batch, width } };
    if (!lengths || !reverse) {
        const int64_t t = reverse ? steps - 1 : 0;
        return cbm_reshape(cbm_slice(g, 0, t, t + 1, 1), flat);
    }
    cbm_tensor *last = cbm_sub(cbm_cast(lengths, CBM_I64), cbm_scalar(cbm_tensor_context(g), CBM_I64, 1));
    cbm_tensor *index = cbm_expand(cbm_reshape(last, CBM_SHAPE(1, batch, 1)), CBM_SHAPE(1, batch, width));
    return cbm_reshape(cbm_gather(g, 0, index), flat);
}

/* a^T b */
static cbm_tensor *turned_product(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_matmul(cbm_transpose(a, 0, 1), b);
}

/* The sum over steps of g^T h, h the state before the step: y of the step before, which is 0 past a sequence's end, or h0. */
static cbm_tensor *weight_gradient(cbm_tensor *g, cbm_tensor *y, cbm_tensor *h0, cbm_tensor *lengths, bool reverse)
{
    const int64_t steps = cbm_tensor_size(g, 0);
    cbm_tensor *sum = NULL;
    if (steps > 1) {
        cbm_tensor *late = cbm_slice(reverse ? y : g, 0, 1, steps, 1);
        cbm_tensor *early = cbm_slice(reverse ? g : y, 0, 0, steps - 1, 1);
        sum = turned_product(rows_of(reverse ? early : late), rows_of(reverse ? late : early));
    }
    if (h0) {
        cbm_tensor *first = turned_product(first_step(g, lengths, reverse), h0);
        sum = sum ? cbm_add(sum, first) : first;
    }
    return sum ? sum
               : cbm_zeros(cbm_tensor_context(g), cbm_tensor_dtype(g),
                           CBM_SHAPE(cbm_tensor_size(g, 2), cbm_tensor_size(y, 2)));
}

/* One node's vjp: the optional inputs by name, and their gradients. */
static cbm_tensor *given(const cbm_vjp *v, cbm_recurrent_input which)
{
    const int place = cbm_recurrent_place(v->attributes, which, CBM_RECURRENT_FIRST);
    return place < 0 ? NULL : v->in[place];
}

static bool wanted(const cbm_vjp *v, cbm_recurrent_input which)
{
    const int place = cbm_recurrent_place(v->attributes, which, CBM_RECURRENT_FIRST);
    return place >= 0 && v->needed[place];
}

static void give(cbm_vjp *v, cbm_recurrent_input which, cbm_tensor *gradient)
{
    const int place = cbm_recurrent_place(v->attributes, which, CBM_RECURRENT_FIRST);
    if (place >= 0)
        v->in_gradient[place] = gradient;
}

/* Records the backward operation with those of its inputs that there are; false: nothing to do, or v declines. */
static bool run_backward(cbm_vjp *v, const cbm_cell *cell, cbm_tensor **out)
{
    const cbm_recurrent_attributes *a = v->attributes;
    cbm_recurrent_attributes back = *a;
    const size_t kept = cell->memory ? 3 : 2;
    cbm_tensor *gc = cell->memory ? v->out_gradient[2] : NULL;
    if (v->create_graph || (cell->kept && (!a->keep || v->out_gradient[kept]))) {
        v->declined = true;
        return false;
    }
    cbm_tensor *const optional[] = {
        NULL,
        cell == &cbm_cell_gru ? given(v, CBM_GIVEN_H0) : NULL,
        given(v, CBM_GIVEN_C0),
        given(v, CBM_GIVEN_W_HR),
        given(v, CBM_GIVEN_LENGTHS),
        cell->memory ? NULL : v->out[0],
        cell->kept ? v->out[kept] : NULL,
        v->out_gradient[0],
        v->out_gradient[1],
        gc,
    };
    cbm_tensor *in[CBM_MAX_INPUTS] = { v->in[1] };
    size_t n = CBM_RECURRENT_BACKWARD_FIRST;
    back.given = back.keep = 0;
    for (size_t i = 0; i < CBM_COUNTOF(optional); i++)
        if (optional[i]) {
            back.given |= (int64_t)1 << i;
            in[n++] = optional[i];
        }
    return !cbm_tensor_failed(cbm_apply(v->cx, cell->backward, in, n, &back, out));
}

/* rnn and lstm: the gates of a step see its input and the state before through one sum. */
static void plain_vjp(cbm_vjp *v, const cbm_cell *cell)
{
    const cbm_recurrent_attributes *a = v->attributes;
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL }, *lengths = given(v, CBM_GIVEN_LENGTHS);
    if (!run_backward(v, cell, out))
        return;
    const bool reverse = a->reverse != 0;
    v->in_gradient[0] = out[0];
    give(v, CBM_GIVEN_BIAS, out[1]);
    if (v->needed[1])
        v->in_gradient[1] = weight_gradient(out[0], v->out[0], given(v, CBM_GIVEN_H0), lengths, reverse);
    if (wanted(v, CBM_GIVEN_H0))
        give(v, CBM_GIVEN_H0, cbm_matmul(first_step(out[0], lengths, reverse), v->in[1]));
    if (!cell->memory)
        return;
    give(v, CBM_GIVEN_C0, out[2]);
    if (!wanted(v, CBM_GIVEN_W_HR))
        return;
    const int64_t hidden = cbm_tensor_size(v->in[0], 2) / cell->gates;
    cbm_tensor *wide = cbm_mul(cbm_gate(v->out[3], 3, 1, hidden), cbm_tanh(cbm_gate(v->out[3], 4, 1, hidden)));
    give(v, CBM_GIVEN_W_HR, turned_product(rows_of(out[3]), rows_of(wide)));
}

static void rnn_vjp(cbm_vjp *v)
{
    plain_vjp(v, &cbm_cell_rnn);
}

static void lstm_vjp(cbm_vjp *v)
{
    plain_vjp(v, &cbm_cell_lstm);
}

/* gru: the recurrent part of n has a gradient of its own. */
static void gru_vjp(cbm_vjp *v)
{
    const cbm_recurrent_attributes *a = v->attributes;
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL }, *h0 = given(v, CBM_GIVEN_H0), *lengths = given(v, CBM_GIVEN_LENGTHS);
    if (!run_backward(v, &cbm_cell_gru, out))
        return;
    const int64_t hidden = cbm_tensor_size(v->in[0], 2) / cbm_cell_gru.gates;
    const bool reverse = a->reverse != 0;
    v->in_gradient[0] = out[0];
    give(v, CBM_GIVEN_BIAS, out[1]);
    give(v, CBM_GIVEN_H0, out[3]);
    if (!v->needed[1])
        return;
    cbm_tensor *const parts[] = {
        weight_gradient(cbm_gate(out[0], 0, 2, hidden), v->out[0], h0, lengths, reverse),
        weight_gradient(out[2], v->out[0], h0, lengths, reverse),
    };
    v->in_gradient[1] = cbm_concat(parts, 2, 0);
}

/* ---- samples: T = 3, B = 2, H = 3 unless said otherwise ---- */

#define X(t_, b_, n_) CBM_FLOATS(-1, 1, t_, b_, n_)
#define W(m_, n_) CBM_FLOATS(-0.8, 0.8, m_, n_)
#define V(n_) CBM_FLOATS(-0.5, 0.5, n_)
#define GIVEN(which_) (1 << CBM_GIVEN_##which_)

static const cbm_recurrent_attributes bare = { .keep = 1 }, biased = { .given = GIVEN(BIAS), .keep = 1 },
                                      unkept = { .given = GIVEN(BIAS) }, rectified = { GIVEN(BIAS), 0, 1, 1 },
                                      backwards = { GIVEN(BIAS) | GIVEN(H0), 1, 0, 1 },
                                      ragged = { GIVEN(BIAS) | GIVEN(H0) | GIVEN(LENGTHS), 0, 0, 1 },
                                      ragged_back = { GIVEN(BIAS) | GIVEN(H0) | GIVEN(LENGTHS), 1, 0, 1 };
static const cbm_recurrent_attributes all_states = { GIVEN(BIAS) | GIVEN(H0) | GIVEN(C0) | GIVEN(LENGTHS), 0, 0, 1 },
                                      all_back = { GIVEN(BIAS) | GIVEN(H0) | GIVEN(C0) | GIVEN(LENGTHS), 1, 0, 1 },
                                      projected = { GIVEN(BIAS) | GIVEN(H0) | GIVEN(C0) | GIVEN(W_HR), 0, 0, 1 },
                                      everything = { GIVEN(BIAS) | GIVEN(H0) | GIVEN(C0) | GIVEN(W_HR) | GIVEN(LENGTHS),
                                                     1, 0, 1 };

static const cbm_sample rnn_samples[] = {
    { .n_in = 2, .in = { X(3, 2, 3), W(3, 3) }, .attributes = &bare },
    { .n_in = 3, .in = { X(3, 2, 3), W(3, 3), V(3) }, .attributes = &biased },
    { .n_in = 3, .in = { X(3, 2, 4), W(4, 4), V(4) }, .attributes = &rectified },
    { .n_in = 4, .in = { X(3, 2, 3), W(3, 3), V(3), W(2, 3) }, .attributes = &backwards },
    { .n_in = 5, .in = { X(4, 3, 2), W(2, 2), V(2), W(3, 2), CBM_INDICES(1, 4, 3) }, .attributes = &ragged },
    { .n_in = 5, .in = { X(4, 3, 2), W(2, 2), V(2), W(3, 2), CBM_INDICES(1, 4, 3) }, .attributes = &ragged_back },
    { .n_in = 3, .in = { X(1, 2, 3), W(3, 3), V(3) }, .attributes = &unkept },
};
static const cbm_sample lstm_samples[] = {
    { .n_in = 2, .in = { X(3, 2, 12), W(12, 3) }, .attributes = &bare },
    { .n_in = 3, .in = { X(1, 2, 8), W(8, 2), V(8) }, .attributes = &biased },
    { .n_in = 3, .in = { X(3, 2, 8), W(8, 2), V(8) }, .attributes = &unkept },
    { .n_in = 4, .in = { X(3, 2, 12), W(12, 3), V(12), W(2, 3) }, .attributes = &backwards },
    { .n_in = 6,
      .in = { X(4, 3, 8), W(8, 2), V(8), W(3, 2), W(3, 2), CBM_INDICES(1, 4, 3) },
      .attributes = &all_states },
    { .n_in = 6, .in = { X(4, 3, 8), W(8, 2), V(8), W(3, 2), W(3, 2), CBM_INDICES(1, 4, 3) }, .attributes = &all_back },
    { .n_in = 6, .in = { X(3, 2, 12), W(12, 2), V(12), W(2, 2), W(2, 3), W(2, 3) }, .attributes = &projected },
    { .n_in = 7,
      .in = { X(4, 2, 12), W(12, 2), V(12), W(2, 2), W(2, 3), W(2, 3), { CBM_DIMS(2), CBM_I32, 1, 4, false } },
      .attributes = &everything },
};
static const cbm_sample gru_samples[] = {
    { .n_in = 2, .in = { X(3, 2, 9), W(9, 3) }, .attributes = &bare },
    { .n_in = 3, .in = { X(1, 2, 6), W(6, 2), V(8) }, .attributes = &biased },
    { .n_in = 3, .in = { X(3, 2, 6), W(6, 2), V(8) }, .attributes = &unkept },
    { .n_in = 4, .in = { X(3, 2, 9), W(9, 3), V(12), W(2, 3) }, .attributes = &backwards },
    { .n_in = 5, .in = { X(4, 3, 6), W(6, 2), V(8), W(3, 2), CBM_INDICES(1, 4, 3) }, .attributes = &ragged },
    { .n_in = 5, .in = { X(4, 3, 6), W(6, 2), V(8), W(3, 2), CBM_INDICES(1, 4, 3) }, .attributes = &ragged_back },
};

/* Of the backward operations; values between 0 and 1 where forward keeps such. */
#define KEPT(t_, b_, n_) CBM_FLOATS(0.1, 0.9, t_, b_, n_)
static const cbm_recurrent_attributes rnn_back = { GIVEN(Y) | GIVEN(GY), 0, 0, 0 },
                                      rnn_relu_back = { GIVEN(Y) | GIVEN(GY) | GIVEN(GH), 1, 1, 0 },
                                      rnn_ragged_back = { GIVEN(LENGTHS) | GIVEN(Y) | GIVEN(GY) | GIVEN(GH), 0, 0, 0 };
static const cbm_recurrent_attributes lstm_back = { GIVEN(KEPT) | GIVEN(GY), 0, 0, 0 },
                                      lstm_last_back = { GIVEN(KEPT) | GIVEN(GH) | GIVEN(GC), 0, 0, 0 },
                                      lstm_all_back = { GIVEN(C0) | GIVEN(W_HR) | GIVEN(LENGTHS) | GIVEN(KEPT) |
                                                            GIVEN(GY) | GIVEN(GH) | GIVEN(GC),
                                                        1, 0, 0 };
static const cbm_recurrent_attributes gru_back = { GIVEN(Y) | GIVEN(KEPT) | GIVEN(GY), 0, 0, 0 }, gru_all_back = {
    GIVEN(H0) | GIVEN(LENGTHS) | GIVEN(Y) | GIVEN(KEPT) | GIVEN(GY) | GIVEN(GH), 1, 0, 0
};
static const cbm_sample rnn_back_samples[] = {
    { .n_in = 3, .in = { W(3, 3), KEPT(3, 2, 3), X(3, 2, 3) }, .attributes = &rnn_back },
    { .n_in = 4, .in = { W(3, 3), X(3, 2, 3), X(3, 2, 3), W(2, 3) }, .attributes = &rnn_relu_back },
    { .n_in = 5,
      .in = { W(2, 2), CBM_INDICES(1, 4, 3), KEPT(4, 3, 2), X(4, 3, 2), W(3, 2) },
      .attributes = &rnn_ragged_back },
};
static const cbm_sample lstm_back_samples[] = {
    { .n_in = 3, .in = { W(12, 3), KEPT(3, 2, 15), X(3, 2, 3) }, .attributes = &lstm_back },
    { .n_in = 4, .in = { W(8, 2), KEPT(3, 2, 10), W(2, 2), W(2, 2) }, .attributes = &lstm_last_back },
    { .n_in = 8,
      .in = { W(12, 2), W(3, 3), W(2, 3), CBM_INDICES(1, 4, 3), KEPT(4, 3, 15), X(4, 3, 2), W(3, 2), W(3, 3) },
      .attributes = &lstm_all_back },
};
static const cbm_sample gru_back_samples[] = {
    { .n_in = 4, .in = { W(9, 3), X(3, 2, 3), KEPT(3, 2, 12), X(3, 2, 3) }, .attributes = &gru_back },
    { .n_in = 7,
      .in = { W(6, 2), W(3, 2), CBM_INDICES(1, 4, 3), X(4, 3, 2), KEPT(4, 3, 8), X(4, 3, 2), W(3, 2) },
      .attributes = &gru_all_back },
};

/* ---- records ---- */

static const cbm_attribute fields[] = {
    CBM_FIELD(cbm_recurrent_attributes, given, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_recurrent_attributes, reverse, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_recurrent_attributes, relu, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_recurrent_attributes, keep, CBM_ATTRIBUTE_INT, false),
};
#define RECURRENT(name_, formula_, n_out_, infer_, cost_)                                                              \
    CBM_OP_RECORD(name_), .formula = (formula_), .n_in = -1, .n_out = (n_out_), .flags = CBM_OP_CHECKS,                \
                          .attributes_size = sizeof(cbm_recurrent_attributes), .attributes = fields,                   \
                          .n_attributes = CBM_COUNTOF(fields), .infer = (infer_), .cost = (cost_),                     \
                          .autocast = CBM_AUTOCAST_FULL
#define SAVES (CBM_SAVES_ALL_IN | CBM_SAVES_OUT(0))

static const cbm_op rnn_op = {
    RECURRENT("rnn", "h' = tanh (or relu) of x_gates + W_hh h + b", 2, forward_infer, forward_cost),
    .saves = SAVES,
    .vjp = rnn_vjp,
    .decompose = cbm_unroll_rnn,
    CBM_SAMPLES(rnn_samples),
};
static const cbm_op lstm_op = {
    RECURRENT("lstm",
              "i, f, g, o from x_gates + W_hh h + b; c' = f c + i g, h' = o tanh(c'), with w_hr W_hr (o tanh(c'))", 4,
              forward_infer, forward_cost),
    .saves = SAVES | CBM_SAVES_OUT(3),
    .vjp = lstm_vjp,
    .decompose = cbm_unroll_lstm,
    CBM_SAMPLES(lstm_samples),
};
static const cbm_op gru_op = {
    RECURRENT("gru", "r, z from x_gates + W_hh h + b; n = tanh(x_n + b_n + r (W_hn h + b_hn)); h' = (1 - z) n + z h", 3,
              forward_infer, forward_cost),
    .saves = SAVES | CBM_SAVES_OUT(2),
    .vjp = gru_vjp,
    .decompose = cbm_unroll_gru,
    CBM_SAMPLES(gru_samples),
};
static const cbm_op rnn_backward_op = {
    RECURRENT("rnn_backward", "from the last step to the first: ds = (gy + dh) act'(s), dh = W_hh^T ds", 2,
              backward_infer, backward_cost),
    CBM_SAMPLES(rnn_back_samples),
};
static const cbm_op lstm_backward_op = {
    RECURRENT("lstm_backward",
              "from the last step to the first: dc += dh o tanh'(c), di, df, dg, do through their gates, "
              "dh = W_hh^T of them, dc = f dc",
              4, backward_infer, backward_cost),
    CBM_SAMPLES(lstm_back_samples),
};
static const cbm_op gru_backward_op = {
    RECURRENT("gru_backward",
              "from the last step to the first: dr, dz, dn through their gates, dh = z dh + W_hh^T of them", 4,
              backward_infer, backward_cost),
    CBM_SAMPLES(gru_back_samples),
};

const cbm_cell cbm_cell_rnn = { "rnn", &rnn_op, &rnn_backward_op, 1, 1, 0, false };
const cbm_cell cbm_cell_lstm = { "lstm", &lstm_op, &lstm_backward_op, 4, 4, 5, true };
const cbm_cell cbm_cell_gru = { "gru", &gru_op, &gru_backward_op, 3, 4, 4, false };

const cbm_op *const cbm_ops_recurrent[] = { &rnn_op,           &lstm_op,         &gru_op, &rnn_backward_op,
                                            &lstm_backward_op, &gru_backward_op, NULL };

/* ---- public functions ---- */

static cbm_recurrent_result failed(cbm_context *cx, const cbm_cell *cell)
{
    return (cbm_recurrent_result){ &cx->failed, &cx->failed, cell->memory ? &cx->failed : NULL };
}

/* Every tensor that is given is usable; false after reporting one that is not. */
static bool all_usable(cbm_context *cx, cbm_tensor *const *tensors, size_t count, size_t required)
{
    for (size_t i = 0; i < count; i++)
        if ((i < required || tensors[i]) && !cbm_usable(cx, tensors[i]))
            return false;
    return true;
}

static bool biases_fit(cbm_context *cx, const cbm_cell *cell, int64_t rows, const cbm_recurrent_options *o)
{
    char text[160];
    const cbm_shape gates = { { 1, rows } };
    if (!o->b_ih != !o->b_hh) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] one bias alone: b_ih and b_hh are both given, or none", cell->name);
        return false;
    }
    for (int i = 0; i < 2 && o->b_ih; i++) {
        const cbm_shape b = cbm_tensor_shape(i ? o->b_hh : o->b_ih);
        if (cbm_shape_equal(&b, &gates))
            continue;
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] %s has shape %s, but must have (%lld)", cell->name, i ? "b_hh" : "b_ih",
                 cbm_shape_text(&b, text, sizeof text), (long long)rows);
        return false;
    }
    return true;
}

/* What the operations before the cell's own would report in words of theirs. */
static bool weights_fit(cbm_context *cx, const cbm_cell *cell, cbm_tensor *x, cbm_tensor *w_ih,
                        const cbm_recurrent_options *o)
{
    char sx[160], sw[160];
    const cbm_shape x_shape = cbm_tensor_shape(x), w = cbm_tensor_shape(w_ih);
    cbm_shape_text(&x_shape, sx, sizeof sx);
    cbm_shape_text(&w, sw, sizeof sw);
    if (!cell->memory && (o->c0 || o->w_hr))
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] c0 and w_hr belong to an lstm", cell->name);
    else if (x_shape.v[0] != 3 || w.v[0] != 2)
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] x %s must be (T, B, in), and w_ih %s (gates H, in)", cell->name, sx, sw);
    else if (x_shape.v[3] != w.v[2])
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] x %s does not end in %lld, as w_ih %s needs", cell->name, sx,
                 (long long)w.v[2], sw);
    else if (w.v[1] < 1 || w.v[1] % cell->gates)
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] the rows of w_ih %s are not %lld gates of equal width", cell->name, sw,
                 (long long)cell->gates);
    return cx->status == CBM_OK && biases_fit(cx, cell, w.v[1], o);
}

/* The two biases as the operation takes them: added, but of the last gate of a gru, whose recurrent one is scaled by r. */
static cbm_tensor *joint_bias(const cbm_cell *cell, const cbm_recurrent_options *o)
{
    if (!o->b_ih || cell != &cbm_cell_gru)
        return o->b_ih ? cbm_add(o->b_ih, o->b_hh) : NULL;
    const int64_t hidden = cbm_tensor_count(o->b_ih) / cell->gates;
    cbm_tensor *const parts[] = {
        cbm_add(cbm_gate(o->b_ih, 0, 2, hidden), cbm_gate(o->b_hh, 0, 2, hidden)),
        cbm_gate(o->b_ih, 2, 1, hidden),
        cbm_gate(o->b_hh, 2, 1, hidden),
    };
    return cbm_concat(parts, 3, 0);
}

static cbm_recurrent_result run_cell(const cbm_cell *cell, cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh,
                                     const cbm_recurrent_options *given_options)
{
    cbm_recurrent_options o = { .struct_size = sizeof o };
    cbm_read_options(&o, sizeof o, given_options);
    cbm_tensor *const all[] = { x, w_ih, w_hh, o.b_ih, o.b_hh, o.w_hr, o.h0, o.c0, o.lengths };
    cbm_context *cx = cbm_context_of(all, 3);
    if (!all_usable(cx, all, CBM_COUNTOF(all), 3) || !weights_fit(cx, cell, x, w_ih, &o))
        return failed(cx, cell);
    cbm_recurrent_attributes a = { .reverse = o.reverse != 0, .relu = cell == &cbm_cell_rnn && o.relu };
    for (size_t i = 0; i < CBM_COUNTOF(all); i++)
        a.keep |= !cx->scope->no_grad && all[i] && cbm_tensor_requires_grad(all[i]);
    cbm_tensor *const optional[] = { joint_bias(cell, &o), o.h0, o.c0, o.w_hr, o.lengths };
    cbm_tensor *in[CBM_RECURRENT_FIRST + CBM_COUNTOF(optional)] = { cbm_matmul(x, cbm_transpose(w_ih, 0, 1)), w_hh };
    size_t n = CBM_RECURRENT_FIRST;
    for (size_t i = 0; i < CBM_COUNTOF(optional); i++)
        if (optional[i]) {
            a.given |= (int64_t)1 << i;
            in[n++] = optional[i];
        }
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    if (cbm_tensor_failed(cbm_apply(cx, cell->forward, in, n, &a, out)))
        return failed(cx, cell);
    return (cbm_recurrent_result){ out[0], out[1], cell->memory ? out[2] : NULL };
}

cbm_recurrent_result cbm_rnn_with(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh, const cbm_recurrent_options *o)
{
    return run_cell(&cbm_cell_rnn, x, w_ih, w_hh, o);
}

cbm_recurrent_result cbm_lstm_with(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh, const cbm_recurrent_options *o)
{
    return run_cell(&cbm_cell_lstm, x, w_ih, w_hh, o);
}

cbm_recurrent_result cbm_gru_with(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh, const cbm_recurrent_options *o)
{
    return run_cell(&cbm_cell_gru, x, w_ih, w_hh, o);
}

cbm_recurrent_result cbm_recurrent_at(cbm_recurrent_result result, const char *file, int line)
{
    cbm_at(result.output, file, line);
    return result;
}
