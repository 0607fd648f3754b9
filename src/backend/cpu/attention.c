/* attention.c: scaled dot-product attention in f32, a block of rows by a block of places at a time, so that scores live in
   the second cache (Rabe and Staats 2021; Dao et al. 2022). Products are taken with panels of a block's keys, turned, and with
   its values and other rows as they lie. Forward, threads share the blocks of rows; backward, the heads and, where those are
   few, the blocks of places. Rests on simd/matrix.c, simd/attention.c and backend/attention.h. */
#include "backend/attention.h"
#include "backend/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 128,                    /* of a block */
    PLACES = CBM_ATTENTION_PLACES, /* the same */
    SMALL = 1 << 17                /* multiplications that are not worth a second thread */
};

/* A thread's part of the workspace: where each thing begins, in floats. Widths are in whole vectors. */
typedef struct scratch {
    int64_t k, v;       /* a block's keys and values, turned, in panels; forward: values, where copied */
    int64_t s, dp;      /* scores, then probabilities; their gradients */
    int64_t rows;       /* per row: largest, sum, factor */
    int64_t q, g, keys; /* copies in whole vectors */
    int64_t y, dk, dv;  /* sums */
    int64_t size;
} scratch;

typedef struct plan {
    cbm_attention t;
    const cbm_simd *simd;
    int64_t lanes, panel;     /* of a vector; columns of a panel */
    int64_t width, out_width; /* E, Ev in whole vectors */
    int64_t row_blocks, place_blocks;
    int64_t threads, parts; /* parts: backward, in how many the places of a head are shared */
    scratch at;
    int64_t dq, delta; /* after the threads' parts: partial gradients of q, in floats each (0: none); sums of g y */
} plan;

typedef struct job {
    const plan *p;
    const cbm_attention_attributes *a;
    const cbm_launch *l;
} job;

static int64_t whole(int64_t n, int64_t of)
{
    return (n + of - 1) / of * of;
}

static int64_t room(scratch *s, int64_t floats)
{
    const int64_t at = s->size;
    s->size += whole(floats, 16);
    return at;
}

static plan make_plan(const cbm_launch *l, int64_t threads)
{
    plan p = { .t = cbm_attention_of(l), .simd = cbm_simd_get(), .parts = 1 };
    const cbm_attention *t = &p.t;
    scratch *s = &p.at;
    p.lanes = p.simd->winograd_lanes;
    p.panel = 2 * p.lanes;
    p.width = whole(t->width, p.lanes);
    p.out_width = whole(t->out_width, p.lanes);
    p.row_blocks = (t->rows + ROWS - 1) / ROWS;
    p.place_blocks = (t->places + PLACES - 1) / PLACES;
    p.threads = t->leads * t->rows * t->places * (t->width + t->out_width) < SMALL ? 1 : threads;
    s->k = room(s, PLACES * t->width);
    s->v = room(s, PLACES * p.out_width);
    s->s = room(s, ROWS * PLACES);
    s->rows = room(s, 3 * ROWS);
    s->y = room(s, ROWS * p.out_width);
    if (l->n_out != 3)
        return p;
    s->dp = room(s, ROWS * PLACES);
    s->q = room(s, ROWS * p.width);
    s->g = room(s, ROWS * p.out_width);
    s->keys = room(s, PLACES * p.width);
    s->dk = room(s, PLACES * p.width);
    s->dv = room(s, PLACES * p.out_width);
    if (t->groups % p.threads && t->groups < 4 * p.threads && p.place_blocks > 0)
        p.parts = p.threads < p.place_blocks ? p.threads : p.place_blocks;
    p.dq = p.parts > 1 || p.width != t->width ? t->share * t->rows * p.width : 0;
    p.delta = p.threads * s->size + t->groups * p.parts * p.dq;
    return p;
}

static cbm_status prepare(cbm_prepare *pr)
{
    plan *p = malloc(sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    *p = make_plan(pr->launch, pr->threads);
    const int64_t floats = p->delta > 0 ? p->delta + p->t.leads * p->t.rows : p->threads * p->at.size;
    pr->workspace = (size_t)floats * sizeof(float);
    pr->state = p;
    return CBM_OK;
}

/* ---- operands ---- */

/* Rows of one head, next to each other or apart. */
typedef struct rows {
    float *p;
    int64_t step;
} rows;

static rows head_of(const cbm_buffer *b, int64_t lead, int64_t first)
{
    const int64_t r = b->rank;
    const int64_t at = cbm_attention_offset(r - 2, b->shape, b->stride, lead) + first * b->stride[r - 2];
    return (rows){ (float *)b->data + at, b->stride[r - 2] };
}

/* count rows as they lie, if they are whole vectors; else copied to room, zeros behind them. */
static rows in_vectors(rows from, int64_t count, int64_t width, int64_t wide, float *room)
{
    if (width == wide)
        return from;
    for (int64_t i = 0; i < count; i++) {
        memcpy(room + i * wide, from.p + i * from.step, (size_t)width * sizeof *room);
        memset(room + i * wide + width, 0, (size_t)(wide - width) * sizeof *room);
    }
    return (rows){ room, wide };
}

/* count rows as the columns of panels. */
static void turn(const plan *p, rows from, int64_t count, int64_t width, float *to)
{
    for (int64_t i = 0; i < count; i += p->panel, to += width * p->panel) {
        const int64_t columns = count - i < p->panel ? count - i : p->panel;
        if (columns < p->panel)
            memset(to, 0, (size_t)(width * p->panel) * sizeof *to);
        p->simd->transpose((uint32_t *)(void *)to, p->panel, (const uint32_t *)(const void *)(from.p + i * from.step),
                           from.step, columns, width);
    }
}

/* c (n rows, columns of the panels) = a times turned rows. */
static void times_turned(const plan *p, int64_t n, int64_t depth, rows a, const float *panels, int64_t columns,
                         float *c)
{
    cbm_panel_product product = { .rows = n,
                                  .depth = depth,
                                  .vectors = 2,
                                  .a = a.p,
                                  .b = panels,
                                  .c = c,
                                  .a_row = a.step,
                                  .a_depth = 1,
                                  .b_row = p->panel,
                                  .c_row = PLACES };
    for (int64_t j = 0; j < columns; j += p->panel, product.b += depth * p->panel, product.c += p->panel)
        p->simd->panel_product(&product);
}

/* c (n rows, wide columns) += a b, or turned a^T b: a is a block of scores. */
static void scores_times(const plan *p, int64_t n, int64_t depth, const float *scores, bool turned, rows b,
                         int64_t wide, rows c, bool add)
{
    cbm_panel_product product = { .rows = n,
                                  .depth = depth,
                                  .a = scores,
                                  .b = b.p,
                                  .c = c.p,
                                  .a_row = turned ? 1 : PLACES,
                                  .a_depth = turned ? PLACES : 1,
                                  .b_row = b.step,
                                  .c_row = c.step,
                                  .add = add };
    for (int64_t j = 0; j < wide; j += p->panel, product.b += p->panel, product.c += p->panel) {
        product.vectors = wide - j < p->panel ? 1 : 2;
        p->simd->panel_product(&product);
    }
}

/* ---- one block of rows by one block of places ---- */

typedef struct block {
    int64_t lead, row, rows, place, places;
} block;

static cbm_attention_tile tile_of(const job *j, const block *b, float *work)
{
    const cbm_attention *t = &j->p->t;
    cbm_attention_tile tile = { .rows = b->rows,
                                .places = b->places,
                                .s = work + j->p->at.s,
                                .s_row = PLACES,
                                .scale = (float)j->a->scale,
                                .causal = j->a->causal != 0,
                                .first_row = b->row,
                                .first_place = b->place,
                                .mask_row = t->mask_row,
                                .mask_place = t->mask_place,
                                .dropped = j->a->dropped != 0,
                                .uniform = j->p->simd->uniform,
                                .p = (float)j->a->p,
                                .keep_scale = (float)j->a->keep_scale,
                                .seed = j->a->seed,
                                .position = j->a->position,
                                .number_row = t->places };
    tile.first_number = (uint64_t)((b->lead * t->rows + b->row) * t->places + b->place);
    if (!t->mask)
        return tile;
    const int64_t at = cbm_attention_offset(t->rank, t->extent, t->mask_lead, b->lead) + b->row * t->mask_row +
                       b->place * t->mask_place;
    if (t->mask->dtype == CBM_BOOL)
        tile.allowed = (const uint8_t *)j->l->in[3].data + at;
    else
        tile.added = (const float *)j->l->in[3].data + at;
    return tile;
}

/* No row of the block sees any of its places, by order. */
static bool unseen(const job *j, const block *b)
{
    return j->a->causal && b->place >= b->row + b->rows;
}

static int64_t length_at(int64_t first, int64_t all, int64_t most)
{
    return all - first < most ? all - first : most;
}

/* ---- forward ---- */

/* Which block's keys and values lie in a thread's scratch. */
typedef struct held {
    int64_t group, place;
    rows v;
} held;

static void hold(const job *j, const block *b, float *work, held *h)
{
    const plan *p = j->p;
    const int64_t group = b->lead / p->t.share;
    if (h->group == group && h->place == b->place)
        return;
    *h = (held){ group, b->place,
                 in_vectors(head_of(&j->l->in[2], group, b->place), b->places, p->t.out_width, p->out_width,
                            work + p->at.v) };
    turn(p, head_of(&j->l->in[1], group, b->place), b->places, p->t.width, work + p->at.k);
}

static void add_block(const job *j, const block *b, float *work, held *h)
{
    const plan *p = j->p;
    const rows y = { work + p->at.y, p->out_width };
    cbm_attention_tile tile = tile_of(j, b, work);
    tile.largest = work + p->at.rows;
    tile.sum = tile.largest + ROWS;
    tile.factor = tile.sum + ROWS;
    hold(j, b, work, h);
    times_turned(p, b->rows, p->t.width, head_of(&j->l->in[0], b->lead, b->row), work + p->at.k, b->places, tile.s);
    p->simd->attention_forward(&tile);
    for (int64_t r = 0; r < b->rows && b->place > 0; r++)
        if (tile.factor[r] != 1.0f)
            p->simd->scale_shift(y.p + r * y.step, y.p + r * y.step, 0.0f, tile.factor[r], 0.0f, p->out_width);
    scores_times(p, b->rows, b->places, tile.s, false, h->v, p->out_width, y, b->place > 0);
}

static void store_rows(const job *j, const block *b, const float *work)
{
    const plan *p = j->p;
    const cbm_attention *t = &p->t;
    const float *largest = work + p->at.rows, *sum = largest + ROWS;
    const int64_t first = b->lead * t->rows + b->row;
    float *y = (float *)j->l->out[0].data + first * t->out_width, *lse = (float *)j->l->out[1].data + first;
    for (int64_t r = 0; r < b->rows; r++, y += t->out_width) {
        const bool blind = largest[r] == -INFINITY;
        lse[r] = blind ? -INFINITY : largest[r] + logf(sum[r]);
        if (blind)
            memset(y, 0, (size_t)t->out_width * sizeof *y);
        else
            p->simd->scale_shift(y, work + p->at.y + r * p->out_width, 0.0f, 1.0f / sum[r], 0.0f, t->out_width);
    }
}

static void forward_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const cbm_attention *t = &p->t;
    const int64_t items = t->leads * p->row_blocks;
    for (int64_t part = begin; part < end; part++) {
        float *work = (float *)j->l->workspace + part * p->at.size;
        held h = { -1, -1, { NULL, 0 } };
        for (int64_t i = part * items / p->threads; i < (part + 1) * items / p->threads; i++) {
            block b = { .lead = i / p->row_blocks, .row = i % p->row_blocks * ROWS };
            b.rows = length_at(b.row, t->rows, ROWS);
            for (int64_t r = 0; r < b.rows; r++) {
                work[p->at.rows + r] = -INFINITY;
                work[p->at.rows + ROWS + r] = 0;
            }
            for (; b.place < t->places && !unseen(j, &b); b.place += PLACES) {
                b.places = length_at(b.place, t->places, PLACES);
                add_block(j, &b, work, &h);
            }
            store_rows(j, &b, work);
        }
    }
}

static cbm_status forward(const cbm_launch *l)
{
    const job j = { l->state, l->attributes, l };
    cbm_parallel_for(j.p->threads, 1, j.p->threads, forward_parts, (void *)(uintptr_t)&j);
    return CBM_OK;
}

/* ---- backward ---- */

/* y, log-sum-exp and g come after the mask. */
static const cbm_buffer *late_input(const job *j, int number)
{
    return &j->l->in[(j->p->t.mask ? 4 : 3) + number];
}

static float *deltas(const job *j)
{
    return (float *)j->l->workspace + j->p->delta;
}

static void delta_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_attention *t = &j->p->t;
    for (int64_t i = begin; i < end; i++) {
        const rows y = head_of(late_input(j, 0), i / t->rows, i % t->rows);
        const rows g = head_of(late_input(j, 2), i / t->rows, i % t->rows);
        deltas(j)[i] = (float)j->p->simd->dot(g.p, y.p, t->out_width, 0);
    }
}

/* Where a part of a group's places adds up the gradient of a head of q. */
static rows dq_of(const job *j, int64_t group, int64_t part, int64_t head)
{
    const plan *p = j->p;
    const cbm_attention *t = &p->t;
    if (p->dq == 0)
        return (rows){ (float *)j->l->out[0].data + (group * t->share + head) * t->rows * t->width, t->width };
    float *partial = (float *)j->l->workspace + p->threads * p->at.size + (group * p->parts + part) * p->dq;
    return (rows){ partial + head * t->rows * p->width, p->width };
}

/* What a block of places has, and what is added up for it. */
typedef struct keys {
    rows k, dk, dv;
    const float *turned_k, *turned_v;
} keys;

static void back_block(const job *j, const block *b, float *work, const keys *k, rows dq)
{
    const plan *p = j->p;
    const cbm_attention *t = &p->t;
    cbm_attention_tile tile = tile_of(j, b, work);
    const rows q = head_of(&j->l->in[0], b->lead, b->row), g = head_of(late_input(j, 2), b->lead, b->row);
    tile.dp = work + p->at.dp;
    tile.log_sum = (const float *)late_input(j, 1)->data + b->lead * t->rows + b->row;
    tile.delta = deltas(j) + b->lead * t->rows + b->row;
    times_turned(p, b->rows, t->width, q, k->turned_k, b->places, tile.s);
    times_turned(p, b->rows, t->out_width, g, k->turned_v, b->places, tile.dp);
    p->simd->attention_backward(&tile);
    const rows wide_g = in_vectors(g, b->rows, t->out_width, p->out_width, work + p->at.g);
    const rows wide_q = in_vectors(q, b->rows, t->width, p->width, work + p->at.q);
    scores_times(p, b->places, b->rows, tile.s, true, wide_g, p->out_width, k->dv, true);
    scores_times(p, b->places, b->rows, tile.dp, true, wide_q, p->width, k->dk, true);
    scores_times(p, b->rows, b->places, tile.dp, false, k->k, p->width, (rows){ dq.p + b->row * dq.step, dq.step },
                 true);
}

/* Rows out of whole vectors into a result without gaps. */
static void store(const rows *from, int64_t count, int64_t width, float *to)
{
    for (int64_t i = 0; i < count; i++)
        memcpy(to + i * width, from->p + i * from->step, (size_t)width * sizeof *to);
}

/* A group's block of places against all rows of all its heads. */
static void back_places(const job *j, int64_t group, int64_t part, int64_t place, float *work)
{
    const plan *p = j->p;
    const cbm_attention *t = &p->t;
    block b = { .place = place, .places = length_at(place, t->places, PLACES) };
    const rows k = head_of(&j->l->in[1], group, place);
    const keys all = { in_vectors(k, b.places, t->width, p->width, work + p->at.keys),
                       { work + p->at.dk, p->width },
                       { work + p->at.dv, p->out_width },
                       work + p->at.k,
                       work + p->at.v };
    turn(p, k, b.places, t->width, work + p->at.k);
    turn(p, head_of(&j->l->in[2], group, place), b.places, t->out_width, work + p->at.v);
    memset(all.dk.p, 0, (size_t)(b.places * p->width) * sizeof(float));
    memset(all.dv.p, 0, (size_t)(b.places * p->out_width) * sizeof(float));
    for (int64_t h = 0; h < t->share; h++) {
        b.lead = group * t->share + h;
        for (b.row = 0; b.row < t->rows; b.row += ROWS) {
            b.rows = length_at(b.row, t->rows, ROWS);
            if (!unseen(j, &b))
                back_block(j, &b, work, &all, dq_of(j, group, part, h));
        }
    }
    store(&all.dk, b.places, t->width, (float *)j->l->out[1].data + (group * t->places + place) * t->width);
    store(&all.dv, b.places, t->out_width, (float *)j->l->out[2].data + (group * t->places + place) * t->out_width);
}

static void backward_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const cbm_attention *t = &p->t;
    const int64_t items = t->groups * p->parts;
    for (int64_t thread = begin; thread < end; thread++)
        for (int64_t i = thread * items / p->threads; i < (thread + 1) * items / p->threads; i++) {
            const int64_t group = i / p->parts, part = i % p->parts;
            const rows dq = dq_of(j, group, part, 0);
            memset(dq.p, 0, (size_t)(t->share * t->rows * dq.step) * sizeof(float));
            for (int64_t b = part; b < p->place_blocks; b += p->parts)
                back_places(j, group, part, b * PLACES, (float *)j->l->workspace + thread * p->at.size);
        }
}

/* The parts' gradients of q, added up in order. */
static void join_dq(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const cbm_attention *t = &p->t;
    for (int64_t i = begin; i < end; i++) {
        const int64_t group = i / t->share / t->rows, row = i % (t->share * t->rows);
        float *to = (float *)j->l->out[0].data + i * t->width;
        memcpy(to, dq_of(j, group, 0, 0).p + row * p->width, (size_t)t->width * sizeof *to);
        for (int64_t part = 1; part < p->parts; part++)
            p->simd->add(to, dq_of(j, group, part, 0).p + row * p->width, t->width);
    }
}

static cbm_status backward(const cbm_launch *l)
{
    const job j = { l->state, l->attributes, l };
    const cbm_attention *t = &j.p->t;
    void *user = (void *)(uintptr_t)&j;
    cbm_parallel_for(t->leads * t->rows, cbm_grain(t->out_width), j.p->threads, delta_rows, user);
    cbm_parallel_for(j.p->threads, 1, j.p->threads, backward_parts, user);
    if (j.p->dq > 0)
        cbm_parallel_for(t->leads * t->rows, cbm_grain(t->width), j.p->threads, join_dq, user);
    return CBM_OK;
}

/* ---- kernels ---- */

static bool in_rows(const cbm_buffer *b)
{
    return b->stride[b->rank - 1] == 1 || b->shape[b->rank - 1] == 1;
}

/* Rows without gaps; they themselves may lie anywhere. The mask's may also be one number. */
static bool supports_strided(const cbm_launch *l)
{
    const cbm_attention t = cbm_attention_of(l);
    for (size_t i = 0; i < l->n_in; i++) {
        const bool is_mask = t.mask && i == 3;
        if (l->in[i].dtype != CBM_F32 && !(is_mask && l->in[i].dtype == CBM_BOOL))
            return false;
        if (!is_mask && !in_rows(&l->in[i]))
            return false;
        if (l->n_out == 3 && i + 2 == l->n_in && !l->in[i].contiguous) /* log-sum-exp */
            return false;
    }
    return !t.mask || t.mask_place == 0 || t.mask_place == 1;
}

static bool supports(const cbm_launch *l)
{
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].dtype != CBM_F32 && l->in[i].dtype != CBM_BOOL)
            return false;
    return true;
}

#define KERNEL(name, launch_)                                                                                          \
    { .op = (name),                                                                                                    \
      .flags = CBM_KERNEL_STRIDED,                                                                                     \
      .supports = supports_strided,                                                                                    \
      .prepare = prepare,                                                                                              \
      .launch = (launch_),                                                                                             \
      .release = free },                                                                                               \
    {                                                                                                                  \
        .op = (name), .supports = supports, .prepare = prepare, .launch = (launch_), .release = free                   \
    }
const cbm_kernel cbm_cpu_attention[] = {
    KERNEL("attention", forward),
    KERNEL("attention_dropout", forward),
    KERNEL("attention_backward", backward),
    KERNEL("attention_dropout_backward", backward),
    { .op = NULL },
};
