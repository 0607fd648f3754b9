/* recurrent.c: recurrent layers over time in f32. Threads share the units (each then keeps its part of W_hh in its own cache
   over all steps and meets the others once a step) or, where W_hh is small, the sequences, which need not wait for each
   other. The product with W_hh is taken a block of units at a time and goes into the gates while it is in the nearest cache.
   Rests on simd/matrix.c, simd/recurrent.c and backend/recurrent.h. */
#include "backend/cpu/cpu.h"
#include "backend/recurrent.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_LANES = 32,        /* units of a block: two vectors, at the widest level */
    ROWS = 48,              /* sequences whose gates of a block are in the nearest cache */
    MOST_GATES = 4,         /* of a cell */
    SMALL = 1 << 16,        /* multiplications of a step that are not worth a second thread */
    SMALL_WEIGHTS = 1 << 17 /* elements of a W_hh that every thread may have in its cache */
};

/* What prepare decides, and where things lie in the workspace (in floats, from its beginning). */
typedef struct plan {
    cbm_recurrence r;
    const cbm_simd *simd;
    bool backward;
    int64_t block;                     /* units of a block */
    int64_t unit_blocks, state_blocks; /* of H, of P */
    int64_t threads, groups;           /* groups of sequences that go through all steps alone */
    int64_t w, w_hr, h, c, wide,
        dbias;             /* packed weights; states or their gradients; o tanh(c); a bias gradient a group */
    int64_t state_row;     /* P in whole blocks */
    size_t lengths, bytes; /* in bytes */
} plan;

typedef struct job {
    const plan *p;
    const cbm_launch *l;
    float *work;
    const int64_t *lengths;
    int64_t k, t, before; /* step number k in order, its place, and the place of the step before it in order */
    float *h, *h_next;    /* forward: the state before and after it */
} job;

static int64_t blocks_of(int64_t width, int64_t block)
{
    return (width + block - 1) / block;
}

static int64_t room(plan *p, int64_t floats)
{
    const int64_t at = (int64_t)(p->bytes / sizeof(float));
    p->bytes += ((size_t)floats * sizeof(float) + 63) / 64 * 64;
    return at;
}

static plan make_plan(const cbm_launch *l, cbm_cell_kind cell, bool backward, int64_t threads)
{
    plan p = { .r = cbm_recurrence_of(l, cell, backward), .simd = cbm_simd_get(), .backward = backward };
    const cbm_recurrence *r = &p.r;
    const int64_t weights = r->gates * r->hidden * r->state;
    p.block = 2 * p.simd->winograd_lanes;
    p.unit_blocks = blocks_of(r->hidden, p.block);
    p.state_blocks = blocks_of(r->state, p.block);
    p.state_row = p.state_blocks * p.block;
    p.threads = r->batch * weights < SMALL ? 1 : threads;
    const bool apart = r->batch >= 8 * threads && weights <= SMALL_WEIGHTS;
    p.groups = apart || p.unit_blocks < threads ? (p.threads < r->batch ? p.threads : r->batch) : 1;
    if (p.groups < 1)
        p.groups = 1;
    const int64_t depth = backward ? r->gates * r->hidden : r->state;
    p.w = room(&p, depth * p.block * (backward ? p.state_blocks : r->gates * p.unit_blocks));
    if (r->w_hr >= 0)
        p.w_hr = room(&p, (backward ? r->state * p.unit_blocks : r->hidden * p.state_blocks) * p.block);
    p.h = room(&p, r->batch * p.state_row);
    p.c = room(&p, r->batch * r->hidden);
    p.wide = room(&p, r->w_hr >= 0 ? r->batch * r->hidden : 0);
    p.dbias = room(&p, backward ? p.groups * r->biases * r->hidden : 0);
    p.lengths = p.bytes;
    p.bytes += (size_t)(r->lengths >= 0 ? r->batch : 0) * sizeof(int64_t);
    return p;
}

static cbm_status prepare(cbm_prepare *pr)
{
    const char *name = pr->launch->op->name;
    const cbm_cell_kind cell = name[0] == 'r' ? CBM_RNN : name[0] == 'l' ? CBM_LSTM : CBM_GRU;
    plan *p = malloc(sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    *p = make_plan(pr->launch, cell, strstr(name, "_backward") != NULL, pr->threads);
    pr->workspace = p->bytes;
    pr->state = p;
    return CBM_OK;
}

static const char *describe(const void *state)
{
    const plan *p = state;
    return p->groups > 1 ? "threads share the sequences" : p->threads > 1 ? "threads share the units" : "one thread";
}

/* ---- operands ---- */

static const float *input(const job *j, int number)
{
    return number < 0 ? NULL : j->l->in[number].data;
}

/* Row b of step t of a (T, B, width) operand; NULL: not given. */
static float *row_of(const job *j, const void *data, int64_t t, int64_t b, int64_t width)
{
    return data ? (float *)(uintptr_t)data + (t * j->p->r.batch + b) * width : NULL;
}

static cbm_status take_lengths(job *j)
{
    const cbm_recurrence *r = &j->p->r;
    if (r->lengths < 0)
        return CBM_OK;
    const cbm_buffer *given = &j->l->in[r->lengths];
    int64_t *lengths = (int64_t *)(void *)((char *)j->work + j->p->lengths);
    cbm_status status = CBM_OK;
    for (int64_t b = 0; b < r->batch && status == CBM_OK; b++) {
        lengths[b] = given->dtype == CBM_I64 ? ((const int64_t *)given->data)[b] : ((const int32_t *)given->data)[b];
        status = cbm_recurrent_length(j->l, lengths[b], b, r->steps);
    }
    j->lengths = lengths;
    return status;
}

/* ---- weights in panels of a block of columns ---- */

typedef struct packing {
    const cbm_simd *simd;
    const float *from;
    float *to;
    int64_t block, depth, width, row; /* width columns, in blocks; rows of `from` are `row` apart */
    int64_t part, part_blocks;        /* blocks of each of several parts, `part` rows of `from` apart */
} packing;

/* Columns of the panel are rows of `from`. */
static void pack_turned(void *user, int64_t begin, int64_t end)
{
    const packing *k = user;
    for (int64_t b = begin; b < end; b++) {
        const int64_t first = b % k->part_blocks * k->block, left = k->width - first;
        const int64_t count = left < k->block ? left : k->block;
        float *to = k->to + b * k->depth * k->block;
        if (count < k->block)
            memset(to, 0, (size_t)(k->depth * k->block) * sizeof *to);
        const float *from = k->from + (b / k->part_blocks * k->part + first) * k->row;
        k->simd->transpose((uint32_t *)(void *)to, k->block, (const uint32_t *)(const void *)from, k->row, count,
                           k->depth);
    }
}

static void pack_plain(void *user, int64_t begin, int64_t end)
{
    const packing *k = user;
    for (int64_t b = begin; b < end; b++) {
        const int64_t first = b * k->block, left = k->width - first, count = left < k->block ? left : k->block;
        float *to = k->to + b * k->depth * k->block;
        for (int64_t d = 0; d < k->depth; d++, to += k->block) {
            memcpy(to, k->from + d * k->row + first, (size_t)count * sizeof *to);
            memset(to + count, 0, (size_t)(k->block - count) * sizeof *to);
        }
    }
}

static void pack_weights(const job *j)
{
    const plan *p = j->p;
    const cbm_recurrence *r = &p->r;
    packing k = { p->simd, input(j, r->w_hh), j->work + p->w, p->block, .row = r->state };
    if (p->backward) {
        k.depth = r->gates * r->hidden;
        k.width = r->state;
        cbm_parallel_for(p->state_blocks, 1, p->threads, pack_plain, &k);
    } else {
        k.depth = r->state;
        k.width = k.part = r->hidden;
        k.part_blocks = p->unit_blocks;
        /* the blocks that a thread works on later, all gates of them, would be nearest; but the gates lie apart */
        cbm_parallel_for(r->gates * p->unit_blocks, 1, p->threads, pack_turned, &k);
    }
    if (r->w_hr < 0)
        return;
    k.from = input(j, r->w_hr);
    k.to = j->work + p->w_hr;
    k.row = r->hidden;
    if (p->backward) {
        k.depth = r->state;
        k.width = r->hidden;
        cbm_parallel_for(p->unit_blocks, 1, p->threads, pack_plain, &k);
    } else {
        k.depth = r->hidden;
        k.width = r->state;
        k.part_blocks = p->state_blocks;
        cbm_parallel_for(p->state_blocks, 1, p->threads, pack_turned, &k);
    }
}

/* ---- one step ---- */

/* Sequences [row, row_end) and blocks [block, block_end), of units or of the state. */
typedef struct part {
    int64_t row, row_end, block, block_end, group;
} part;

static void multiply(const plan *p, int64_t rows, int64_t depth, const float *a, int64_t a_row, const float *panel,
                     float *c, int64_t c_row, bool add)
{
    const cbm_panel_product product = { .rows = rows,
                                        .depth = depth,
                                        .vectors = 2,
                                        .a = a,
                                        .b = panel,
                                        .c = c,
                                        .a_row = a_row,
                                        .a_depth = 1,
                                        .b_row = p->block,
                                        .c_row = c_row,
                                        .add = add };
    p->simd->panel_product(&product);
}

static int64_t lanes_of(const plan *p, int64_t width, int64_t block)
{
    const int64_t left = width - block * p->block;
    return left < p->block ? left : p->block;
}

static cbm_cell_step step_of(const job *j, int64_t row, int64_t rows, int64_t lanes)
{
    const cbm_recurrence *r = &j->p->r;
    return (cbm_cell_step){ .rows = rows,
                            .lanes = lanes,
                            .gate = r->hidden,
                            .step = j->t,
                            .steps = r->steps,
                            .lengths = j->lengths ? j->lengths + row : NULL,
                            .reverse = r->reverse,
                            .relu = r->relu,
                            .x_row = r->gates * r->hidden,
                            .kept_row = r->parts * r->hidden,
                            .y_row = r->state,
                            .c_row = r->hidden };
}

static float *offset(float *p, int64_t by)
{
    return p ? p + by : NULL;
}

static void forward_cells(const job *j, part s)
{
    const plan *p = j->p;
    const cbm_recurrence *r = &p->r;
    const bool projected = r->w_hr >= 0;
    float products[MOST_GATES * ROWS * MOST_LANES] __attribute__((aligned(64)));
    float *kept = r->keep && r->parts ? j->l->out[j->l->n_out - 1].data : NULL;
    for (int64_t b = s.block; b < s.block_end; b++)
        for (int64_t row = s.row; row < s.row_end; row += ROWS) {
            const int64_t rows = s.row_end - row < ROWS ? s.row_end - row : ROWS, unit = b * p->block;
            for (int64_t g = 0; g < r->gates; g++)
                multiply(p, rows, r->state, j->h + row * r->state, r->state,
                         j->work + p->w + (g * p->unit_blocks + b) * r->state * p->block,
                         products + g * ROWS * p->block, p->block, false);
            cbm_cell_step c = step_of(j, row, rows, lanes_of(p, r->hidden, b));
            c.x = row_of(j, j->l->in[0].data, j->t, row, c.x_row) + unit;
            c.bias = r->bias < 0 ? NULL : input(j, r->bias) + unit;
            c.product = products;
            c.product_row = p->block;
            c.product_gate = ROWS * p->block;
            c.kept = offset(row_of(j, kept, j->t, row, c.kept_row), unit);
            c.c = r->cell == CBM_LSTM ? (float *)j->l->out[2].data + row * r->hidden + unit : NULL;
            c.h_row = projected ? r->hidden : r->state;
            c.h = projected ? j->work + p->wide + row * r->hidden + unit : j->h_next + row * r->state + unit;
            c.before = projected ? c.h : j->h + row * r->state + unit;
            c.y = projected ? NULL : row_of(j, j->l->out[0].data, j->t, row, r->state) + unit;
            p->simd->cell_forward[r->cell](&c);
        }
}

/* h' = W_hr (o tanh(c)) */
static void project(const job *j, part s)
{
    const plan *p = j->p;
    const cbm_recurrence *r = &p->r;
    float products[ROWS * MOST_LANES] __attribute__((aligned(64)));
    for (int64_t b = s.block; b < s.block_end; b++)
        for (int64_t row = s.row; row < s.row_end; row += ROWS) {
            const int64_t rows = s.row_end - row < ROWS ? s.row_end - row : ROWS, at = b * p->block;
            const size_t bytes = (size_t)lanes_of(p, r->state, b) * sizeof(float);
            multiply(p, rows, r->hidden, j->work + p->wide + row * r->hidden, r->hidden,
                     j->work + p->w_hr + b * r->hidden * p->block, products, p->block, false);
            for (int64_t i = row; i < row + rows; i++) {
                const bool active = !j->lengths || j->t < j->lengths[i];
                float *y = row_of(j, j->l->out[0].data, j->t, i, r->state) + at;
                const float *h = active ? products + (i - row) * p->block : j->h + i * r->state + at;
                memcpy(j->h_next + i * r->state + at, h, bytes);
                if (active)
                    memcpy(y, h, bytes);
                else
                    memset(y, 0, bytes);
            }
        }
}

/* dh += the gradients of the gates of the step after, through W_hh. */
static void through_weights(const job *j, part s, int64_t t)
{
    const plan *p = j->p;
    const cbm_recurrence *r = &p->r;
    const int64_t width = r->gates * r->hidden, split = r->cell == CBM_GRU ? 2 * r->hidden : width;
    const int64_t rows = s.row_end - s.row;
    for (int64_t b = s.block; b < s.block_end; b++) {
        const float *panel = j->work + p->w + b * width * p->block;
        float *dh = j->work + p->h + s.row * p->state_row + b * p->block;
        multiply(p, rows, split, row_of(j, j->l->out[0].data, t, s.row, width), width, panel, dh, p->state_row, true);
        if (split < width)
            multiply(p, rows, r->hidden, row_of(j, j->l->out[2].data, t, s.row, r->hidden), r->hidden,
                     panel + split * p->block, dh, p->state_row, true);
    }
}

/* With w_hr: the whole gradient of the step's h, and what is left of dh for the step before: nothing. */
static void gather_gradient(const job *j, part s)
{
    const plan *p = j->p;
    const cbm_recurrence *r = &p->r;
    for (int64_t b = s.block; b < s.block_end; b++) {
        const int64_t at = b * p->block, count = lanes_of(p, r->state, b);
        for (int64_t i = s.row; i < s.row_end; i++) {
            float *whole = row_of(j, j->l->out[3].data, j->t, i, r->state) + at;
            float *dh = j->work + p->h + i * p->state_row + at;
            const float *gy = offset(row_of(j, input(j, r->gy), j->t, i, r->state), at);
            if (j->lengths && j->t >= j->lengths[i]) {
                memset(whole, 0, (size_t)count * sizeof *whole);
                continue;
            }
            memcpy(whole, dh, (size_t)count * sizeof *whole);
            memset(dh, 0, (size_t)count * sizeof *dh);
            if (gy)
                p->simd->add(whole, gy, count);
        }
    }
}

static void backward_cells(const job *j, part s)
{
    const plan *p = j->p;
    const cbm_recurrence *r = &p->r;
    const bool projected = r->w_hr >= 0;
    const cbm_launch *l = j->l;
    float products[ROWS * MOST_LANES] __attribute__((aligned(64)));
    float *dc = r->cell == CBM_LSTM && r->c0 >= 0 ? l->out[2].data : j->work + p->c;
    const int first = r->cell == CBM_LSTM ? r->c0 : r->h0;
    for (int64_t b = s.block; b < s.block_end; b++)
        for (int64_t row = s.row; row < s.row_end; row += ROWS) {
            const int64_t rows = s.row_end - row < ROWS ? s.row_end - row : ROWS, unit = b * p->block;
            if (projected)
                multiply(p, rows, r->state, row_of(j, l->out[3].data, j->t, row, r->state), r->state,
                         j->work + p->w_hr + b * r->state * p->block, products, p->block, false);
            cbm_cell_step c = step_of(j, row, rows, lanes_of(p, r->hidden, b));
            c.kept = offset(row_of(j, input(j, r->kept), j->t, row, c.kept_row), unit);
            c.kept_before = offset(row_of(j, input(j, r->kept), j->before, row, c.kept_row), unit);
            c.y = offset(row_of(j, input(j, r->y), j->t, row, r->state), unit);
            c.before = offset(row_of(j, input(j, r->y), j->before, row, r->state), unit);
            c.first = offset((float *)(uintptr_t)input(j, first), row * r->hidden + unit);
            c.first_row = r->hidden;
            c.h = projected ? products : j->work + p->h + row * p->state_row + unit;
            c.h_row = projected ? p->block : p->state_row;
            c.gy = projected ? NULL : offset(row_of(j, input(j, r->gy), j->t, row, r->state), unit);
            c.c = dc + row * r->hidden + unit;
            c.dx = row_of(j, l->out[0].data, j->t, row, c.x_row) + unit;
            c.dn = r->cell == CBM_GRU ? row_of(j, l->out[2].data, j->t, row, r->hidden) + unit : NULL;
            c.dn_row = r->hidden;
            c.dbias = j->work + p->dbias + s.group * r->biases * r->hidden + unit;
            p->simd->cell_backward[r->cell](&c);
        }
}

/* ---- all steps ---- */

/* Step number k in this order is at t; the one before it in the forward order at before. */
static void set_step(job *j, int64_t k)
{
    const cbm_recurrence *r = &j->p->r;
    j->k = k;
    j->t = r->reverse ? r->steps - 1 - k : k;
    j->before = r->reverse ? j->t + 1 : j->t - 1;
    if (j->before < 0 || j->before >= r->steps)
        j->before = j->t; /* not looked at */
    if (j->p->backward)
        return;
    /* The last state comes to lie in the result. */
    float *const states[] = { j->l->out[1].data, j->work + j->p->h };
    j->h = states[(r->steps - k) & 1];
    j->h_next = states[(r->steps - k - 1) & 1];
}

/* Whether the gradient of what was before the first step is asked of this kernel. */
static bool wants_first(const plan *p)
{
    return p->r.cell == CBM_GRU && p->r.h0 >= 0;
}

static int64_t after(const job *j)
{
    return j->p->r.reverse ? j->t - 1 : j->t + 1;
}

/* One group of sequences through all steps. */
static void run_group(void *user, int64_t begin, int64_t end)
{
    job j = *(const job *)user;
    const plan *p = j.p;
    const int64_t steps = p->r.steps;
    for (int64_t g = begin; g < end; g++) {
        const part units = { g * p->r.batch / p->groups, (g + 1) * p->r.batch / p->groups, 0, p->unit_blocks, g };
        part state = units;
        state.block_end = p->state_blocks;
        for (int64_t i = 0; i < steps; i++) {
            set_step(&j, p->backward ? steps - 1 - i : i);
            if (!p->backward) {
                forward_cells(&j, units);
                if (p->r.w_hr >= 0)
                    project(&j, state);
                continue;
            }
            if (i > 0)
                through_weights(&j, state, after(&j));
            if (p->r.w_hr >= 0)
                gather_gradient(&j, state);
            backward_cells(&j, units);
        }
        if (p->backward && wants_first(p))
            through_weights(&j, state, j.t);
    }
}

static part all_rows(const job *j, int64_t begin, int64_t end)
{
    return (part){ 0, j->p->r.batch, begin, end, 0 };
}

static void units_forward(void *user, int64_t begin, int64_t end)
{
    forward_cells(user, all_rows(user, begin, end));
}

static void state_forward(void *user, int64_t begin, int64_t end)
{
    project(user, all_rows(user, begin, end));
}

static void state_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    if (j->k + 1 < j->p->r.steps)
        through_weights(j, all_rows(j, begin, end), after(j));
    if (j->p->r.w_hr >= 0)
        gather_gradient(j, all_rows(j, begin, end));
}

static void units_backward(void *user, int64_t begin, int64_t end)
{
    backward_cells(user, all_rows(user, begin, end));
}

/* Without w_hr the blocks of the state are those of the units: a thread goes on with its own. */
static void both_backward(void *user, int64_t begin, int64_t end)
{
    state_backward(user, begin, end);
    units_backward(user, begin, end);
}

static void first_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    through_weights(j, all_rows(j, begin, end), j->t);
}

/* All sequences a step at a time, threads sharing the units. */
static void run_steps(job *j)
{
    const plan *p = j->p;
    const int64_t steps = p->r.steps;
    for (int64_t i = 0; i < steps; i++) {
        set_step(j, p->backward ? steps - 1 - i : i);
        if (!p->backward) {
            cbm_parallel_for(p->unit_blocks, 1, p->threads, units_forward, j);
            if (p->r.w_hr >= 0)
                cbm_parallel_for(p->state_blocks, 1, p->threads, state_forward, j);
        } else if (p->r.w_hr >= 0) {
            cbm_parallel_for(p->state_blocks, 1, p->threads, state_backward, j);
            cbm_parallel_for(p->unit_blocks, 1, p->threads, units_backward, j);
        } else {
            cbm_parallel_for(p->unit_blocks, 1, p->threads, both_backward, j);
        }
    }
    if (p->backward && wants_first(p))
        cbm_parallel_for(p->state_blocks, 1, p->threads, first_backward, j);
}

/* Rows of a state from a given one, or zeros. */
static void start(float *to, int64_t to_row, const float *from, int64_t rows, int64_t width)
{
    for (int64_t i = 0; i < rows; i++, to += to_row) {
        if (from)
            memcpy(to, from + i * width, (size_t)width * sizeof *to);
        memset(to + (from ? width : 0), 0, (size_t)(to_row - (from ? width : 0)) * sizeof *to);
    }
}

static void start_states(job *j)
{
    const plan *p = j->p;
    const cbm_recurrence *r = &p->r;
    if (p->backward) {
        float *dc = r->cell == CBM_LSTM && r->c0 >= 0 ? j->l->out[2].data : j->work + p->c;
        start(j->work + p->h, p->state_row, input(j, r->gh), r->batch, r->state);
        start(dc, r->hidden, input(j, r->gc), r->batch, r->hidden);
        memset(j->work + p->dbias, 0, (size_t)(p->groups * r->biases * r->hidden) * sizeof(float));
        return;
    }
    set_step(j, 0);
    start(j->h, r->state, input(j, r->h0), r->batch, r->state);
    if (r->cell == CBM_LSTM)
        start(j->l->out[2].data, r->hidden, input(j, r->c0), r->batch, r->hidden);
}

/* The groups' bias gradients, added up in order; and the first state's gradient, without the gaps between its rows. */
static void finish_backward(const job *j)
{
    const plan *p = j->p;
    const cbm_recurrence *r = &p->r;
    const int64_t count = r->biases * r->hidden;
    float *dbias = j->l->out[1].data;
    memcpy(dbias, j->work + p->dbias, (size_t)count * sizeof *dbias);
    for (int64_t g = 1; g < p->groups; g++)
        p->simd->add(dbias, j->work + p->dbias + g * count, count);
    for (int64_t i = 0; i < r->batch && wants_first(p); i++)
        memcpy((float *)j->l->out[3].data + i * r->state, j->work + p->h + i * p->state_row,
               (size_t)r->state * sizeof(float));
}

static cbm_status launch(const cbm_launch *l)
{
    job j = { .p = l->state, .l = l, .work = l->workspace };
    const cbm_status status = take_lengths(&j);
    if (status != CBM_OK)
        return status;
    pack_weights(&j);
    start_states(&j);
    if (j.p->groups > 1)
        cbm_parallel_for(j.p->groups, 1, j.p->groups, run_group, &j);
    else
        run_steps(&j);
    if (j.p->backward)
        finish_backward(&j);
    return CBM_OK;
}

static bool supports(const cbm_launch *l)
{
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].dtype != CBM_F32 && l->in[i].dtype != CBM_I64 && l->in[i].dtype != CBM_I32)
            return false;
    return true;
}

#define KERNEL(name)                                                                                                   \
    {                                                                                                                  \
        .op = name, .supports = supports, .prepare = prepare, .launch = launch, .release = free, .describe = describe  \
    }
const cbm_kernel cbm_cpu_recurrent[] = {
    KERNEL("rnn"),           KERNEL("lstm"),         KERNEL("gru"),  KERNEL("rnn_backward"),
    KERNEL("lstm_backward"), KERNEL("gru_backward"), { .op = NULL },
};
