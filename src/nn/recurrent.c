/* recurrent.c: RNN, LSTM and GRU: layers over time and single cells. Rests on layer.h and the recurrent operations. */
#include "nn/layer.h"
#include <math.h>
#include <stdio.h>

typedef cbm_recurrent_result (*cell_fn)(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh,
                                        const cbm_recurrent_options *o);

typedef struct kind {
    const char *layer, *cell;
    cell_fn run;
    int64_t gates;
    bool memory;
} kind;
static const kind rnn = { "rnn", "rnn_cell", cbm_rnn_with, 1, false };
static const kind lstm = { "lstm", "lstm_cell", cbm_lstm_with, 4, true };
static const kind gru = { "gru", "gru_cell", cbm_gru_with, 3, false };

typedef struct recurrent {
    cbm_module module;
    const kind *kind;
    int64_t in, hidden, state; /* state: P */
    int64_t layers, directions;
    int64_t each; /* parameters of one layer in one direction */
    bool bias, batch_first, relu, single_step;
    double dropout;
} recurrent;

/* ---- one layer in one direction ---- */

/* w_ih, w_hh[, b_ih, b_hh][, w_hr], in this order. */
static cbm_recurrent_result run_layer(const recurrent *m, int64_t number, cbm_tensor *x, cbm_recurrent_options *o)
{
    cbm_module *self = (cbm_module *)(uintptr_t)&m->module;
    size_t at = (size_t)(number * m->each);
    cbm_tensor *w_ih = cbm_for_product(cbm_layer_parameter(self, at)), *w_hh = cbm_layer_parameter(self, at + 1);
    at += 2;
    if (m->bias) {
        o->b_ih = cbm_layer_parameter(self, at++);
        o->b_hh = cbm_layer_parameter(self, at++);
    }
    if (m->state != m->hidden)
        o->w_hr = cbm_layer_parameter(self, at);
    o->relu = m->relu;
    return m->kind->run(x, w_ih, w_hh, o);
}

/* Number `number` of the states (layers and directions, N, width): (N, width). */
static cbm_tensor *state_at(cbm_tensor *states, int64_t number)
{
    if (!states)
        return NULL;
    const cbm_shape flat = { { 2, cbm_tensor_size(states, 1), cbm_tensor_size(states, 2) } };
    return cbm_reshape(cbm_slice(states, 0, number, number + 1, 1), flat);
}

/* ---- all of them ---- */

/* One typed call. */
typedef struct call {
    cbm_tensor *h0, *c0, *lengths;
    cbm_tensor *h, *c; /* results */
} call;

static cbm_tensor *as_state(cbm_tensor *t)
{
    return cbm_reshape(t, CBM_SHAPE(1, cbm_tensor_size(t, 0), cbm_tensor_size(t, 1)));
}

enum { MOST_STATES = CBM_MAX_INPUTS }; /* layers times directions: joined by one operation */

/* x (T, N, in) -> (T, N, D P); fills in h and c. */
static cbm_tensor *all_layers(const recurrent *m, cbm_tensor *x, call *k)
{
    cbm_tensor *h[MOST_STATES], *c[MOST_STATES];
    size_t states = 0;
    for (int64_t layer = 0; layer < m->layers; layer++) {
        cbm_tensor *outputs[2];
        for (int64_t d = 0; d < m->directions; d++, states++) {
            cbm_recurrent_options o = { .struct_size = sizeof o,
                                        .h0 = state_at(k->h0, (int64_t)states),
                                        .c0 = state_at(k->c0, (int64_t)states),
                                        .lengths = k->lengths,
                                        .reverse = d == 1 };
            const cbm_recurrent_result r = run_layer(m, (int64_t)states, x, &o);
            if (cbm_tensor_failed(r.output))
                return r.output;
            outputs[d] = r.output;
            h[states] = as_state(r.h);
            c[states] = r.c ? as_state(r.c) : NULL;
        }
        x = m->directions == 2 ? cbm_concat(outputs, 2, 2) : outputs[0];
        if (m->module.training && m->dropout > 0 && layer + 1 < m->layers)
            x = cbm_dropout(x, m->dropout);
    }
    k->h = cbm_concat(h, states, 0);
    k->c = m->kind->memory ? cbm_concat(c, states, 0) : NULL;
    return x;
}

/* x ends in the layer's width, and h0 and c0 have their shapes; what: "T, N, in" and the like. */
static bool inputs_fit(const recurrent *m, cbm_tensor *x, const call *k, const char *what)
{
    cbm_context *cx = m->module.cx;
    const cbm_shape shape = cbm_tensor_shape(x);
    const int64_t rank = shape.v[0], batched = m->single_step ? 2 : 3;
    char text[160], must[160];
    if ((rank != batched && rank != batched - 1) || shape.v[rank] != m->in) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] the input %s is not %s with in = %lld", m->module.type,
                 cbm_shape_text(&shape, text, sizeof text), what, (long long)m->in);
        return false;
    }
    if (k->c0 && !m->kind->memory) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] c0 belongs to an lstm", m->module.type);
        return false;
    }
    if (k->lengths && (m->single_step || rank < batched)) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] lengths belong to a batch of sequences", m->module.type);
        return false;
    }
    cbm_tensor *const states[] = { k->h0, k->c0 };
    for (int i = 0; i < 2; i++) {
        if (!states[i])
            continue;
        if (!cbm_usable(cx, states[i]))
            return false;
        cbm_shape want = { { 0 } };
        const cbm_shape given = cbm_tensor_shape(states[i]);
        if (!m->single_step)
            want.v[++want.v[0]] = m->layers * m->directions;
        if (rank == batched)
            want.v[++want.v[0]] = shape.v[m->batch_first || m->single_step ? 1 : 2];
        want.v[++want.v[0]] = i ? m->hidden : m->state;
        if (cbm_shape_equal(&given, &want))
            continue;
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] %s has shape %s, but must have %s", m->module.type, i ? "c0" : "h0",
                 cbm_shape_text(&given, text, sizeof text), cbm_shape_text(&want, must, sizeof must));
        return false;
    }
    return true;
}

/* An axis put in at `axis`, or taken out again; NULL stays. */
static cbm_tensor *with_axis(cbm_tensor *t, int64_t axis)
{
    cbm_shape to = { { 0 } };
    const cbm_shape from = t ? cbm_tensor_shape(t) : to;
    for (int64_t i = 0; i <= from.v[0]; i++) {
        if (i == axis)
            to.v[++to.v[0]] = 1;
        if (i < from.v[0])
            to.v[++to.v[0]] = from.v[1 + i];
    }
    return t ? cbm_reshape(t, to) : NULL;
}

static cbm_tensor *without_axis(cbm_tensor *t, int64_t axis)
{
    cbm_shape to = { { 0 } };
    const cbm_shape from = t ? cbm_tensor_shape(t) : to;
    for (int64_t i = 0; i < from.v[0]; i++)
        if (i != axis)
            to.v[++to.v[0]] = from.v[1 + i];
    return t ? cbm_reshape(t, to) : NULL;
}

static cbm_tensor *layers_forward(cbm_module *self, cbm_tensor *x, void *user)
{
    const recurrent *m = (recurrent *)self;
    call *k = user;
    if (!inputs_fit(m, x, k, m->batch_first ? "(N, T, in) or (T, in)" : "(T, N, in) or (T, in)"))
        return &self->cx->failed;
    if (cbm_tensor_rank(x) == 3) {
        x = all_layers(m, m->batch_first ? cbm_transpose(x, 0, 1) : x, k);
        return m->batch_first && !cbm_tensor_failed(x) ? cbm_transpose(x, 0, 1) : x;
    }
    k->h0 = with_axis(k->h0, 1);
    k->c0 = with_axis(k->c0, 1);
    x = all_layers(m, with_axis(x, 1), k);
    if (cbm_tensor_failed(x))
        return x;
    k->h = without_axis(k->h, 1);
    k->c = without_axis(k->c, 1);
    return without_axis(x, 1);
}

/* A cell is a layer over one step. */
static cbm_tensor *cell_forward(cbm_module *self, cbm_tensor *x, void *user)
{
    const recurrent *m = (recurrent *)self;
    call *k = user;
    if (!inputs_fit(m, x, k, "(N, in) or (in)"))
        return &self->cx->failed;
    const bool batched = cbm_tensor_rank(x) == 2;
    cbm_tensor *row = batched ? x : with_axis(x, 0);
    cbm_recurrent_options o = { .struct_size = sizeof o,
                                .h0 = batched ? k->h0 : with_axis(k->h0, 0),
                                .c0 = batched ? k->c0 : with_axis(k->c0, 0) };
    const cbm_recurrent_result r = run_layer(m, 0, with_axis(row, 0), &o);
    if (cbm_tensor_failed(r.output))
        return r.output;
    k->h = batched ? r.h : without_axis(r.h, 0);
    k->c = batched ? r.c : without_axis(r.c, 0);
    return k->h;
}

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    call k = { .h0 = NULL };
    return (((recurrent *)self)->single_step ? cell_forward : layers_forward)(self, x, &k);
}

cbm_recurrent_result cbm_recurrent_call_with(cbm_module *module, cbm_tensor *x,
                                             const cbm_recurrent_call_options *options)
{
    const recurrent *m = (recurrent *)module;
    cbm_tensor *bad = cbm_typed_call_wrong(module, x, forward,
                                           "[recurrent_call] the module is none of rnn, lstm, gru and their cells",
                                           options, options ? options->struct_size : 0, sizeof *options);
    if (bad)
        return (cbm_recurrent_result){ bad, bad, bad };
    call k = { .h0 = options->h0, .c0 = options->c0, .lengths = options->lengths };
    cbm_tensor *y = cbm_call_as(module, x, m->single_step ? cell_forward : layers_forward, &k);
    if (cbm_tensor_failed(y))
        return (cbm_recurrent_result){ y, y, m->kind->memory ? y : NULL };
    return (cbm_recurrent_result){ y, k.h, k.c };
}

/* ---- making ---- */

CBM_OPTIONS_INIT(cbm_nn_recurrent_options, CBM_NN_RECURRENT_DEFAULTS)
CBM_OPTIONS_INIT(cbm_nn_cell_options, CBM_NN_CELL_DEFAULTS)

/* The parameters of one layer in one direction; suffix: "_l0_reverse", or "" in a cell. */
static void add_parameters(recurrent *m, const char *suffix, int64_t in, cbm_dtype dtype)
{
    const double bound = 1 / sqrt((double)m->hidden);
    const int64_t rows = m->kind->gates * m->hidden;
    const struct {
        const char *name;
        bool wanted;
        cbm_shape shape;
    } all[] = {
        { "weight_ih", true, { { 2, rows, in } } },
        { "weight_hh", true, { { 2, rows, m->state } } },
        { "bias_ih", m->bias, { { 1, rows } } },
        { "bias_hh", m->bias, { { 1, rows } } },
        { "weight_hr", m->state != m->hidden, { { 2, m->state, m->hidden } } },
    };
    m->each = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char name[CBM_PART_NAME];
        if (!all[i].wanted)
            continue;
        snprintf(name, sizeof name, "%s%s", all[i].name, suffix);
        cbm_add_uniform(&m->module, name, dtype, all[i].shape, bound);
        m->each++;
    }
}

static bool widths_fit(cbm_context *cx, const char *who, int64_t in, int64_t hidden)
{
    if (in >= 1 && hidden >= 1)
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %lld features in and %lld units; at least 1 of each are needed", who,
             (long long)in, (long long)hidden);
    return false;
}

static bool options_fit(cbm_context *cx, const kind *k, int64_t hidden, const cbm_nn_recurrent_options *o)
{
    const char *who = k->layer;
    if (o->num_layers < 1 || o->num_layers * (o->bidirectional ? 2 : 1) > MOST_STATES)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %lld layers: there must be at least 1, and at most %d states", who,
                 (long long)o->num_layers, MOST_STATES);
    else if (!(o->dropout >= 0 && o->dropout < 1))
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the probability of dropout must be in [0, 1)", who);
    else if (o->proj_size != 0 && (!k->memory || o->proj_size < 0 || o->proj_size >= hidden))
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] proj_size %lld: an lstm's can be from 1 to below its units (%lld)", who,
                 (long long)o->proj_size, (long long)hidden);
    else if (o->relu && k != &rnn)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] relu belongs to an rnn", who);
    return cx->status == CBM_OK;
}

static cbm_module *make_layers(cbm_context *cx, const kind *k, int64_t in, int64_t hidden,
                               const cbm_nn_recurrent_options *o)
{
    recurrent *m = cbm_layer_new(cx, sizeof *m, k->layer, forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, k->layer, o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, k->layer, o->dtype) || !widths_fit(cx, k->layer, in, hidden) ||
        !options_fit(cx, k, hidden, o))
        return cbm_layer_finish(&m->module);
    m->kind = k;
    m->in = in;
    m->hidden = hidden;
    m->state = o->proj_size ? o->proj_size : hidden;
    m->layers = o->num_layers;
    m->directions = o->bidirectional ? 2 : 1;
    m->bias = o->bias;
    m->batch_first = o->batch_first;
    m->relu = o->relu;
    m->dropout = o->dropout;
    for (int64_t layer = 0; layer < m->layers; layer++)
        for (int64_t d = 0; d < m->directions; d++) {
            char suffix[32];
            snprintf(suffix, sizeof suffix, "_l%d%s", (int)layer, d ? "_reverse" : "");
            add_parameters(m, suffix, layer ? m->directions * m->state : in, (cbm_dtype)o->dtype);
        }
    return cbm_layer_finish(&m->module);
}

static cbm_module *make_cell(cbm_context *cx, const kind *k, int64_t in, int64_t hidden, const cbm_nn_cell_options *o)
{
    recurrent *m = cbm_layer_new(cx, sizeof *m, k->cell, forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, k->cell, o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, k->cell, o->dtype) || !widths_fit(cx, k->cell, in, hidden))
        return cbm_layer_finish(&m->module);
    if (o->relu && k != &rnn) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] relu belongs to an rnn", k->cell);
        return cbm_layer_finish(&m->module);
    }
    m->kind = k;
    m->in = in;
    m->hidden = m->state = hidden;
    m->layers = m->directions = 1;
    m->bias = o->bias;
    m->relu = o->relu;
    m->single_step = true;
    add_parameters(m, "", in, (cbm_dtype)o->dtype);
    return cbm_layer_finish(&m->module);
}

cbm_module *cbm_nn_rnn_with(cbm_context *cx, int64_t in, int64_t hidden, const cbm_nn_recurrent_options *o)
{
    return make_layers(cx, &rnn, in, hidden, o);
}

cbm_module *cbm_nn_lstm_with(cbm_context *cx, int64_t in, int64_t hidden, const cbm_nn_recurrent_options *o)
{
    return make_layers(cx, &lstm, in, hidden, o);
}

cbm_module *cbm_nn_gru_with(cbm_context *cx, int64_t in, int64_t hidden, const cbm_nn_recurrent_options *o)
{
    return make_layers(cx, &gru, in, hidden, o);
}

cbm_module *cbm_nn_rnn_cell_with(cbm_context *cx, int64_t in, int64_t hidden, const cbm_nn_cell_options *o)
{
    return make_cell(cx, &rnn, in, hidden, o);
}

cbm_module *cbm_nn_lstm_cell_with(cbm_context *cx, int64_t in, int64_t hidden, const cbm_nn_cell_options *o)
{
    return make_cell(cx, &lstm, in, hidden, o);
}

cbm_module *cbm_nn_gru_cell_with(cbm_context *cx, int64_t in, int64_t hidden, const cbm_nn_cell_options *o)
{
    return make_cell(cx, &gru, in, hidden, o);
}
