/* recurrent.c: recurrent layers over time and their gradients, one sequence after the other. Rests on numbers (reference.h) and
   backend/recurrent.h. */
#include "backend/recurrent.h"
#include "backend/reference/reference.h"

#include <math.h>
#include <string.h>

/* One launch: its operands, and vectors for one sequence behind them in the workspace. */
typedef struct job {
    cbm_recurrence r;
    cbm_numbers n;
    cbm_number *gates;       /* of one step; of backward, their gradients: biases H */
    cbm_number *h, *c, *out; /* states, or their gradients: P, H; and o tanh(c), or its gradient: H */
} job;

static cbm_status prepare(cbm_prepare *p)
{
    const cbm_status status = cbm_numbers_prepare(p);
    const cbm_launch *l = p->launch;
    const bool backward = strstr(l->op->name, "_backward") != NULL;
    const int64_t gates = l->in[backward ? 0 : 1].shape[0], state = l->in[backward ? 0 : 1].shape[1];
    p->workspace += (size_t)(4 * gates + 2 * state) * sizeof(cbm_number); /* enough for every cell */
    return status;
}

static job open_job(const cbm_launch *l, cbm_cell_kind cell, bool backward)
{
    job j = { .r = cbm_recurrence_of(l, cell, backward) };
    cbm_numbers_unpack(l, &j.n);
    const size_t last = l->n_out - 1;
    j.gates = j.n.out[last] + l->out[last].count;
    j.h = j.gates + j.r.biases * j.r.hidden;
    j.c = j.h + j.r.state;
    j.out = j.c + j.r.hidden;
    return j;
}

static const cbm_number *input(const job *j, int number, int64_t offset)
{
    return number < 0 ? NULL : j->n.in[number] + offset;
}

static double at(const cbm_number *p, int64_t i)
{
    return p ? p[i].f : 0;
}

static int64_t length_of(const job *j, int64_t b)
{
    return j->r.lengths < 0 ? j->r.steps : j->n.in[j->r.lengths][b].i;
}

static cbm_status check_lengths(const job *j, const cbm_launch *l)
{
    cbm_status status = CBM_OK;
    for (int64_t b = 0; b < j->r.batch && status == CBM_OK; b++)
        status = cbm_recurrent_length(l, length_of(j, b), b, j->r.steps);
    return status;
}

/* Row (t, b) of a (T, B, width) operand. */
static int64_t row_at(const job *j, int64_t t, int64_t b, int64_t width)
{
    return (t * j->r.batch + b) * width;
}

/* The k-th step of a sequence of this length; and the one before it (-1: none). */
static int64_t step_at(const job *j, int64_t k, int64_t length)
{
    return k < 0 ? -1 : j->r.reverse ? length - 1 - k : k;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* ---- forward ---- */

/* Row `row` of W_hh times the state. */
static double recurrent_part(const job *j, int64_t row)
{
    const cbm_number *w = j->n.in[j->r.w_hh] + row * j->r.state;
    double sum = 0;
    for (int64_t p = 0; p < j->r.state; p++)
        sum += w[p].f * j->h[p].f;
    return sum;
}

static void rnn_step(job *j, const cbm_number *x, cbm_number *kept)
{
    const cbm_number *bias = input(j, j->r.bias, 0);
    (void)kept;
    for (int64_t i = 0; i < j->r.hidden; i++) {
        const double s = x[i].f + recurrent_part(j, i) + at(bias, i);
        j->gates[i].f = j->r.relu ? (s < 0 ? 0 : s) : tanh(s);
    }
    memcpy(j->h, j->gates, (size_t)j->r.hidden * sizeof *j->h);
}

static void lstm_step(job *j, const cbm_number *x, cbm_number *kept)
{
    const int64_t n = j->r.hidden;
    const cbm_number *bias = input(j, j->r.bias, 0), *w_hr = input(j, j->r.w_hr, 0);
    cbm_number *g = j->gates;
    for (int64_t i = 0; i < 4 * n; i++) {
        const double s = x[i].f + recurrent_part(j, i) + at(bias, i);
        g[i].f = i / n == 2 ? tanh(s) : sigmoid(s);
    }
    for (int64_t i = 0; i < n; i++) {
        j->c[i].f = g[n + i].f * j->c[i].f + g[i].f * g[2 * n + i].f;
        j->out[i].f = g[3 * n + i].f * tanh(j->c[i].f);
    }
    for (int64_t p = 0; p < j->r.state; p++) {
        double sum = w_hr ? 0 : j->out[p].f;
        for (int64_t i = 0; w_hr && i < n; i++)
            sum += w_hr[p * n + i].f * j->out[i].f;
        j->h[p].f = sum;
    }
    if (!kept)
        return;
    memcpy(kept, g, (size_t)(4 * n) * sizeof *g);
    memcpy(kept + 4 * n, j->c, (size_t)n * sizeof *g);
}

static void gru_step(job *j, const cbm_number *x, cbm_number *kept)
{
    const int64_t n = j->r.hidden;
    const cbm_number *bias = input(j, j->r.bias, 0);
    cbm_number *g = j->gates;
    for (int64_t i = 0; i < 2 * n; i++)
        g[i].f = sigmoid(x[i].f + recurrent_part(j, i) + at(bias, i));
    for (int64_t i = 0; i < n; i++) {
        g[3 * n + i].f = recurrent_part(j, 2 * n + i) + at(bias, 3 * n + i);
        g[2 * n + i].f = tanh(x[2 * n + i].f + at(bias, 2 * n + i) + g[i].f * g[3 * n + i].f);
    }
    for (int64_t i = 0; i < n; i++)
        j->h[i].f = g[2 * n + i].f + g[n + i].f * (j->h[i].f - g[2 * n + i].f);
    if (kept)
        memcpy(kept, g, (size_t)(4 * n) * sizeof *g);
}

static void start(cbm_number *state, const cbm_number *first, int64_t b, int64_t width)
{
    for (int64_t i = 0; i < width; i++)
        state[i].f = at(first, b * width + i);
}

static void finish(cbm_number *result, const cbm_number *state, int64_t b, int64_t width)
{
    memcpy(result + b * width, state, (size_t)width * sizeof *state);
}

static cbm_status forward(const cbm_launch *l, cbm_cell_kind cell)
{
    static void (*const steps[])(job *, const cbm_number *, cbm_number *) = { rnn_step, lstm_step, gru_step };
    job j = open_job(l, cell, false);
    const cbm_recurrence *r = &j.r;
    const cbm_status status = check_lengths(&j, l);
    if (status != CBM_OK)
        return status;
    cbm_number *kept = r->keep && r->parts ? j.n.out[l->n_out - 1] : NULL;
    for (int64_t b = 0; b < r->batch; b++) {
        const int64_t length = length_of(&j, b);
        start(j.h, input(&j, r->h0, 0), b, r->state);
        start(j.c, input(&j, r->c0, 0), b, r->hidden);
        for (int64_t k = 0; k < length; k++) {
            const int64_t t = step_at(&j, k, length);
            steps[cell](&j, j.n.in[0] + row_at(&j, t, b, r->gates * r->hidden),
                        kept ? kept + row_at(&j, t, b, r->parts * r->hidden) : NULL);
            finish(j.n.out[0] + row_at(&j, t, 0, r->state), j.h, b, r->state);
        }
        finish(j.n.out[1], j.h, b, r->state);
        if (cell == CBM_LSTM)
            finish(j.n.out[2], j.c, b, r->hidden);
    }
    cbm_numbers_pack(l, &j.n);
    return CBM_OK;
}

/* ---- backward: h and c hold the gradients of the states after a step, and then of those before it ---- */

/* h = W_hh^T gates, added to what it holds; count gates, which stand for rows of W_hh from first on. */
static void through_weights(job *j, const cbm_number *gates, int64_t first, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const cbm_number *w = j->n.in[j->r.w_hh] + (first + i) * j->r.state;
        for (int64_t p = 0; p < j->r.state; p++)
            j->h[p].f += w[p].f * gates[i].f;
    }
}

static void clear(cbm_number *p, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        p[i].f = 0;
}

static void rnn_back(job *j, int64_t t, int64_t before, int64_t b)
{
    const int64_t n = j->r.hidden;
    const cbm_number *y = input(j, j->r.y, row_at(j, t, b, n));
    (void)before;
    for (int64_t i = 0; i < n; i++)
        j->gates[i].f = j->h[i].f * (j->r.relu ? y[i].f > 0 : 1 - y[i].f * y[i].f);
    clear(j->h, n);
    through_weights(j, j->gates, 0, n);
}

static void lstm_back(job *j, int64_t t, int64_t before, int64_t b)
{
    const int64_t n = j->r.hidden;
    const cbm_number *kept = input(j, j->r.kept, row_at(j, t, b, 5 * n)), *w_hr = input(j, j->r.w_hr, 0);
    const cbm_number *c = kept + 4 * n, *c_before = before < 0
                                                        ? input(j, j->r.c0, b * n)
                                                        : input(j, j->r.kept, row_at(j, before, b, 5 * n) + 4 * n);
    cbm_number *g = j->gates;
    for (int64_t i = 0; i < n; i++) {
        j->out[i].f = w_hr ? 0 : j->h[i].f;
        for (int64_t p = 0; w_hr && p < j->r.state; p++)
            j->out[i].f += w_hr[p * n + i].f * j->h[p].f;
    }
    if (w_hr)
        finish(j->n.out[3] + row_at(j, t, 0, j->r.state), j->h, b, j->r.state);
    for (int64_t i = 0; i < n; i++) {
        const double in = kept[i].f, forget = kept[n + i].f, fresh = kept[2 * n + i].f, o = kept[3 * n + i].f;
        const double tc = tanh(c[i].f), dc = j->c[i].f + j->out[i].f * o * (1 - tc * tc);
        g[i].f = dc * fresh * in * (1 - in);
        g[n + i].f = dc * at(c_before, i) * forget * (1 - forget);
        g[2 * n + i].f = dc * in * (1 - fresh * fresh);
        g[3 * n + i].f = j->out[i].f * tc * o * (1 - o);
        j->c[i].f = dc * forget;
    }
    clear(j->h, j->r.state);
    through_weights(j, g, 0, 4 * n);
}

static void gru_back(job *j, int64_t t, int64_t before, int64_t b)
{
    const int64_t n = j->r.hidden;
    const cbm_number *kept = input(j, j->r.kept, row_at(j, t, b, 4 * n));
    const cbm_number *h_before = before < 0 ? input(j, j->r.h0, b * n) : input(j, j->r.y, row_at(j, before, b, n));
    cbm_number *g = j->gates;
    for (int64_t i = 0; i < n; i++) {
        const double r = kept[i].f, z = kept[n + i].f, fresh = kept[2 * n + i].f, dh = j->h[i].f;
        const double dn = dh * (1 - z) * (1 - fresh * fresh);
        g[i].f = dn * kept[3 * n + i].f * r * (1 - r);
        g[n + i].f = dh * (at(h_before, i) - fresh) * z * (1 - z);
        g[2 * n + i].f = dn;
        g[3 * n + i].f = dn * r;
        j->h[i].f = dh * z;
    }
    finish(j->n.out[2] + row_at(j, t, 0, n), g + 3 * n, b, n);
    through_weights(j, g, 0, 2 * n);
    through_weights(j, g + 3 * n, 2 * n, n);
}

static cbm_status backward(const cbm_launch *l, cbm_cell_kind cell)
{
    static void (*const steps[])(job *, int64_t, int64_t, int64_t) = { rnn_back, lstm_back, gru_back };
    job j = open_job(l, cell, true);
    const cbm_recurrence *r = &j.r;
    const cbm_status status = check_lengths(&j, l);
    if (status != CBM_OK)
        return status;
    for (int64_t b = 0; b < r->batch; b++) {
        const int64_t length = length_of(&j, b);
        start(j.h, input(&j, r->gh, 0), b, r->state);
        start(j.c, input(&j, r->gc, 0), b, r->hidden);
        for (int64_t k = length - 1; k >= 0; k--) {
            const int64_t t = step_at(&j, k, length);
            const cbm_number *gy = input(&j, r->gy, row_at(&j, t, b, r->state));
            for (int64_t p = 0; p < r->state; p++)
                j.h[p].f += at(gy, p);
            steps[cell](&j, t, step_at(&j, k - 1, length), b);
            finish(j.n.out[0] + row_at(&j, t, 0, r->gates * r->hidden), j.gates, b, r->gates * r->hidden);
            for (int64_t i = 0; i < r->biases * r->hidden; i++)
                j.n.out[1][i].f += j.gates[i].f;
        }
        if (cell == CBM_LSTM && r->c0 >= 0)
            finish(j.n.out[2], j.c, b, r->hidden);
        if (cell == CBM_GRU && r->h0 >= 0)
            finish(j.n.out[3], j.h, b, r->state);
    }
    cbm_numbers_pack(l, &j.n);
    return CBM_OK;
}

#define CELL(name, kind)                                                                                               \
    static cbm_status name(const cbm_launch *l)                                                                        \
    {                                                                                                                  \
        return forward(l, kind);                                                                                       \
    }                                                                                                                  \
    static cbm_status name##_backward(const cbm_launch *l)                                                             \
    {                                                                                                                  \
        return backward(l, kind);                                                                                      \
    }
CELL(rnn, CBM_RNN)
CELL(lstm, CBM_LSTM)
CELL(gru, CBM_GRU)

#define KERNEL(name)                                                                                                   \
    {                                                                                                                  \
        .op = #name, .flags = CBM_KERNEL_STRIDED, .prepare = prepare, .launch = name                                   \
    }
const cbm_kernel cbm_reference_recurrent[] = {
    KERNEL(rnn),           KERNEL(lstm),         KERNEL(gru),    KERNEL(rnn_backward),
    KERNEL(lstm_backward), KERNEL(gru_backward), { .op = NULL },
};
