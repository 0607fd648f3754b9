/* unroll.c: recurrent layers as one set of basic operations a step: what their records decompose into, for gradients of
   gradients. Rests on recurrent.h. */
#include "op/recurrent.h"

typedef struct unrolled {
    cbm_context *cx;
    const cbm_cell *cell;
    const cbm_recurrent_attributes *a;
    int64_t steps, batch, hidden;
    cbm_tensor *x_gates, *w, *bias, *w_hr, *lengths; /* w, w_hr transposed */
} unrolled;

typedef struct states {
    cbm_tensor *h, *c;
    cbm_tensor *kept; /* of the step */
} states;

cbm_tensor *cbm_gate(cbm_tensor *t, int64_t part, int64_t count, int64_t hidden)
{
    return cbm_slice(t, -1, part * hidden, (part + count) * hidden, 1);
}

static cbm_tensor *with_bias(const unrolled *u, cbm_tensor *t, int64_t part, int64_t count)
{
    return u->bias ? cbm_add(t, cbm_gate(u->bias, part, count, u->hidden)) : t;
}

static states rnn_step(const unrolled *u, cbm_tensor *x, states s)
{
    cbm_tensor *sum = with_bias(u, cbm_add(x, cbm_matmul(s.h, u->w)), 0, 1);
    return (states){ .h = u->a->relu ? cbm_relu(sum) : cbm_tanh(sum) };
}

static states lstm_step(const unrolled *u, cbm_tensor *x, states s)
{
    const int64_t n = u->hidden;
    cbm_tensor *sum = with_bias(u, cbm_add(x, cbm_matmul(s.h, u->w)), 0, 4);
    cbm_tensor *i = cbm_sigmoid(cbm_gate(sum, 0, 1, n)), *f = cbm_sigmoid(cbm_gate(sum, 1, 1, n));
    cbm_tensor *g = cbm_tanh(cbm_gate(sum, 2, 1, n)), *o = cbm_sigmoid(cbm_gate(sum, 3, 1, n));
    cbm_tensor *c = cbm_add(cbm_mul(f, s.c), cbm_mul(i, g)), *h = cbm_mul(o, cbm_tanh(c));
    cbm_tensor *const parts[] = { i, f, g, o, c };
    return (states){ u->w_hr ? cbm_matmul(h, u->w_hr) : h, c, cbm_concat(parts, 5, 1) };
}

static states gru_step(const unrolled *u, cbm_tensor *x, states s)
{
    const int64_t n = u->hidden;
    cbm_tensor *h_gates = cbm_matmul(s.h, u->w);
    cbm_tensor *sum = with_bias(u, cbm_add(cbm_gate(x, 0, 2, n), cbm_gate(h_gates, 0, 2, n)), 0, 2);
    cbm_tensor *r = cbm_sigmoid(cbm_gate(sum, 0, 1, n)), *z = cbm_sigmoid(cbm_gate(sum, 1, 1, n));
    cbm_tensor *recurrent = with_bias(u, cbm_gate(h_gates, 2, 1, n), 3, 1);
    cbm_tensor *fresh = cbm_tanh(cbm_add(with_bias(u, cbm_gate(x, 2, 1, n), 2, 1), cbm_mul(r, recurrent)));
    cbm_tensor *const parts[] = { r, z, fresh, recurrent };
    return (states){ .h = cbm_add(fresh, cbm_mul(z, cbm_sub(s.h, fresh))), .kept = cbm_concat(parts, 4, 1) };
}

static cbm_tensor *optional(const unrolled *u, cbm_tensor *const *in, cbm_recurrent_input which)
{
    const int place = cbm_recurrent_place(u->a, which, CBM_RECURRENT_FIRST);
    return place < 0 ? NULL : which == CBM_GIVEN_LENGTHS ? in[place] : cbm_for_statistics(in[place]);
}

/* What a sequence had before where it has ended; NULL: 0. */
static cbm_tensor *where_active(cbm_tensor *active, cbm_tensor *t, cbm_tensor *before)
{
    if (!active || !t)
        return t;
    return cbm_where(active, t, before ? before : cbm_zeros_like(t));
}

/* (B, 1): the sequence takes part in step t; NULL: all do. */
static cbm_tensor *active_at(const unrolled *u, int64_t t)
{
    if (!u->lengths)
        return NULL;
    cbm_tensor *now = cbm_scalar(u->cx, cbm_tensor_dtype(u->lengths), (double)t);
    return cbm_unsqueeze(cbm_less(now, u->lengths), 1);
}

/* lists holds 2 steps tensors: outputs, then what is kept. */
static void take_steps(const unrolled *u, states s, states (*step)(const unrolled *, cbm_tensor *, states),
                       cbm_tensor **lists, cbm_tensor **out)
{
    const size_t steps = (size_t)u->steps;
    cbm_tensor **outputs = lists, **kept = lists + steps;
    for (int64_t k = 0; k < u->steps && cbm_context_status(u->cx) == CBM_OK; k++) {
        const int64_t t = u->a->reverse ? u->steps - 1 - k : k;
        const cbm_shape row = { { 2, u->batch, u->cell->gates * u->hidden } };
        cbm_tensor *x = cbm_reshape(cbm_slice(u->x_gates, 0, t, t + 1, 1), row), *active = active_at(u, t);
        const states next = step(u, x, s);
        outputs[t] = cbm_unsqueeze(where_active(active, next.h, NULL), 0);
        kept[t] = next.kept ? cbm_unsqueeze(where_active(active, next.kept, NULL), 0) : NULL;
        s = (states){ where_active(active, next.h, s.h), where_active(active, next.c, s.c), NULL };
    }
    if (cbm_context_status(u->cx) != CBM_OK)
        return;
    size_t n = 0;
    out[n++] = cbm_concat(outputs, steps, 0);
    out[n++] = s.h;
    if (u->cell->memory)
        out[n++] = s.c;
    if (u->cell->kept)
        out[n++] =
            u->a->keep ? cbm_concat(kept, steps, 0) : cbm_zeros(u->cx, cbm_tensor_dtype(u->x_gates), CBM_SHAPE(0));
}

static bool unroll(cbm_context *cx, const cbm_cell *cell, const cbm_recurrent_attributes *a, cbm_tensor *const *in,
                   states (*step)(const unrolled *, cbm_tensor *, states), cbm_tensor **out)
{
    unrolled u = { .cx = cx, .cell = cell, .a = a, .x_gates = cbm_for_statistics(in[0]) };
    u.w = cbm_transpose(cbm_for_statistics(in[1]), 0, 1);
    u.steps = cbm_tensor_size(in[0], 0);
    u.batch = cbm_tensor_size(in[0], 1);
    u.hidden = cbm_tensor_size(in[0], 2) / cell->gates;
    u.bias = optional(&u, in, CBM_GIVEN_BIAS);
    u.lengths = optional(&u, in, CBM_GIVEN_LENGTHS);
    cbm_tensor *w_hr = optional(&u, in, CBM_GIVEN_W_HR), *h0 = optional(&u, in, CBM_GIVEN_H0);
    cbm_tensor *c0 = optional(&u, in, CBM_GIVEN_C0);
    u.w_hr = w_hr ? cbm_transpose(w_hr, 0, 1) : NULL;
    const cbm_dtype dtype = cbm_tensor_dtype(u.x_gates);
    const states start = {
        .h = h0 ? h0 : cbm_zeros(cx, dtype, CBM_SHAPE(u.batch, cbm_tensor_size(in[1], 1))),
        .c = c0 ? c0 : cbm_zeros(cx, dtype, CBM_SHAPE(u.batch, u.hidden)),
    };
    const size_t bytes = 2 * (size_t)u.steps * sizeof(cbm_tensor *);
    cbm_tensor **lists = cbm_heap_take_zero(cbm_context_heap(cx), bytes);
    if (!lists) {
        cbm_fail_memory(cx, cell->name);
        return false;
    }
    take_steps(&u, start, step, lists, out);
    cbm_heap_give(cbm_context_heap(cx), lists, bytes);
    for (size_t i = 0; i < CBM_MAX_OUTPUTS && out[i]; i++)
        out[i] = cbm_cast(out[i], cbm_tensor_dtype(in[0]));
    return cbm_context_status(cx) == CBM_OK;
}

bool cbm_unroll_rnn(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in, cbm_tensor **out)
{
    (void)n_in;
    return unroll(cx, &cbm_cell_rnn, attributes, in, rnn_step, out);
}

bool cbm_unroll_lstm(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in, cbm_tensor **out)
{
    (void)n_in;
    return unroll(cx, &cbm_cell_lstm, attributes, in, lstm_step, out);
}

bool cbm_unroll_gru(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in, cbm_tensor **out)
{
    (void)n_in;
    return unroll(cx, &cbm_cell_gru, attributes, in, gru_step, out);
}
