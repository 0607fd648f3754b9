/* reduce.c: sum, mean, prod, max, min and norms of f32 over any axes, as reduction.h lays them out. How the work is cut
   depends on shapes only, so a sum repeats bit for bit whatever the threads. Sums of channels that lie side by side
   (blocked, channels last) add up lanes instead. Rests on simd/rows.c, simd/folds.c and simd/norms.c. */
#include "backend/cpu/reduction.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART = 16384, /* elements of a part of one result, when results are few */
    PARTS_MOST = 256,
    ROWS_OF_PART = 512, /* rows added up in f32 at most before joining */
    WIDE_ROW = 4096,    /* a row of results this long is cut across */
    STRIP = 2048,
    NARROW_ROW = 64 /* a row this short costs more to call for than to add up */
};

typedef struct plan {
    cbm_reduction r;
    int64_t parts;     /* of each cell */
    bool split_length; /* parts cut the last axis (a scalar cell), or the strips of a wide row */
    /* Channels side by side: `groups` of `lanes` channels a sample, each `places` times; a result sums up the places of
       `samples` of them. */
    int64_t cells, members, lanes, groups, samples, places;
} plan;

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static void choose_parts(plan *p)
{
    const cbm_reduction *r = &p->r;
    const int64_t work = r->terms * r->length;
    if (r->row && r->length >= WIDE_ROW) {
        p->split_length = true;
        p->parts = (r->length + STRIP - 1) / STRIP;
        return;
    }
    if (r->row) {
        const int64_t by_size = r->cells > 8 ? 1 : work / PART, by_rows = (r->terms + ROWS_OF_PART - 1) / ROWS_OF_PART;
        p->parts = clamp(by_size > by_rows ? by_size : by_rows, 1, clamp(r->terms, 1, PARTS_MOST));
        return;
    }
    p->split_length = r->terms == 1;
    p->parts = r->cells > 64 ? 1 : clamp(work / PART, 1, PARTS_MOST);
    if (!p->split_length)
        p->parts = clamp(p->parts, 1, r->terms);
}

/* x is (N, C, ...) in a layout other than the plain one: sums over all axes from 2 on, or those and 0. */
static void make_lanes_plan(const cbm_launch *l, plan *p)
{
    const cbm_buffer *x = &l->in[0];
    const bool over_samples = cbm_is_reduced(&((const cbm_reduce_attributes *)l->attributes)->axes, 0);
    int64_t places = 1;
    for (int64_t d = 2; d < x->rank; d++)
        places *= x->shape[d];
    *p = (plan){ .samples = over_samples ? x->shape[0] : 1, .places = places, .parts = 1 };
    p->lanes = x->layout == CBM_LAYOUT_BLOCKED_16 ? 16 : x->layout == CBM_LAYOUT_BLOCKED_8 ? 8 : x->shape[1];
    p->groups = p->lanes > 0 ? x->shape[1] / p->lanes : 0;
    p->cells = p->groups * (over_samples ? 1 : x->shape[0]);
    p->members = p->samples * places;
    if (over_samples)
        p->parts = clamp(p->members * p->lanes / PART, 1, clamp(p->members, 1, 32));
}

/* ---- how elements are joined ---- */

typedef struct fold {
    double start; /* what nothing gives */
    double (*over)(const cbm_simd *s, const float *x, int64_t n);
    void (*join)(const cbm_simd *s, float *r, const float *x, int64_t n);
    double (*merge)(double a, double b);
} fold;

static double over_sum(const cbm_simd *s, const float *x, int64_t n)
{
    return s->sum(x, n);
}
static double over_product(const cbm_simd *s, const float *x, int64_t n)
{
    return (double)s->product(x, n);
}
static double over_greatest(const cbm_simd *s, const float *x, int64_t n)
{
    return (double)s->top(x, n);
}
static double over_least(const cbm_simd *s, const float *x, int64_t n)
{
    return (double)s->bottom(x, n);
}
static void join_sum(const cbm_simd *s, float *r, const float *x, int64_t n)
{
    s->add(r, x, n);
}
static void join_product(const cbm_simd *s, float *r, const float *x, int64_t n)
{
    s->multiply(r, x, n);
}
static void join_greatest(const cbm_simd *s, float *r, const float *x, int64_t n)
{
    s->raise(r, x, n);
}
static void join_least(const cbm_simd *s, float *r, const float *x, int64_t n)
{
    s->lower(r, x, n);
}
static double plus(double a, double b)
{
    return a + b;
}
static double times(double a, double b)
{
    return a * b;
}
static double greater(double a, double b)
{
    return b > a || b != b ? b : a;
}
static double lesser(double a, double b)
{
    return b < a || b != b ? b : a;
}

static const fold sum_fold = { 0, over_sum, join_sum, plus };
static const fold product_fold = { 1, over_product, join_product, times };
static const fold greatest_fold = { -HUGE_VAL, over_greatest, join_greatest, greater };
static const fold least_fold = { HUGE_VAL, over_least, join_least, lesser };

/* What is joined: the elements, or powers of their magnitudes, made a strip at a time. */
typedef struct terms {
    const fold *fold;
    bool powers;
    double p;
} terms;

typedef struct job {
    const plan *p;
    const cbm_simd *simd;
    terms terms;
    const float *x;
    float *y;
    void *partial; /* doubles for scalar cells, rows of floats for row cells; used when parts > 1 */
} job;

enum { POWERS = 1024 }; /* of a strip */

/* |x|^p of n <= POWERS elements; of an infinite p, |x|; of 0, whether x is not 0. r has room for whole groups. */
static void make_powers(const job *j, float *r, const float *x, int64_t n)
{
    const int64_t groups = (n + CBM_TILE_GROUP - 1) / CBM_TILE_GROUP * CBM_TILE_GROUP;
    const double p = j->terms.p;
    float number[CBM_TILE_UNIFORM / sizeof(float)];
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        number[i] = (float)p;
    if (n < groups) { /* the last group is not whole */
        memcpy(r, x, (size_t)n * sizeof *r);
        memset(r + n, 0, (size_t)(groups - n) * sizeof *r);
        x = r;
    }
    const cbm_tile_operand given[2] = { { (const char *)x, 1 }, { (const char *)(p == 2 ? x : number), p == 2 } };
    const cbm_tile_operand made[2] = { { (const char *)r, 1 }, { (const char *)number, 0 } };
    if (p == 2) {
        j->simd->tile[CBM_EXPR_MUL][CBM_LANE_F32](groups, r, given);
    } else if (p == 0) {
        j->simd->tile[CBM_EXPR_NE][CBM_LANE_F32](groups, r, given);
        j->simd->cast[CBM_LANE_I32][CBM_LANE_F32](groups, r, made);
    } else {
        j->simd->tile[CBM_EXPR_ABS][CBM_LANE_F32](groups, r, given);
        if (p != 1 && isfinite(p))
            j->simd->tile[CBM_EXPR_POW][CBM_LANE_F32](groups, r, made);
    }
}

/* n contiguous elements joined. */
static double joined(const job *j, const float *x, int64_t n)
{
    const fold *f = j->terms.fold;
    float strip[POWERS];
    if (!j->terms.powers)
        return f->over(j->simd, x, n);
    double total = f->start;
    for (int64_t i = 0; i < n; i += POWERS) {
        const int64_t now = n - i < POWERS ? n - i : POWERS;
        make_powers(j, strip, x + i, now);
        total = f->merge(total, f->over(j->simd, strip, now));
    }
    return total;
}

/* One scalar cell, terms [t0, t1), elements [begin, end) of each. */
static double scalar_part(const job *j, int64_t cell, int64_t t0, int64_t t1, int64_t begin, int64_t end)
{
    const cbm_reduction *r = &j->p->r;
    const float *base = j->x + cbm_cell_offset(r, cell) + begin;
    double total = j->terms.fold->start;
    for (int64_t t = t0; t < t1; t++)
        total = j->terms.fold->merge(total, joined(j, base + cbm_term_offset(r, t), end - begin));
    return total;
}

/* A row cell: the rows of terms [t0, t1) joined, columns [begin, end). */
static void row_part(const job *j, int64_t cell, int64_t t0, int64_t t1, int64_t begin, int64_t end, float *to)
{
    const cbm_reduction *r = &j->p->r;
    const float *base = j->x + cbm_cell_offset(r, cell) + begin;
    const int64_t n = end - begin, step = j->terms.powers ? POWERS : n;
    float strip[POWERS];
    for (int64_t i = 0; i < n; i += step) {
        const int64_t now = n - i < step ? n - i : step;
        for (int64_t t = t0; t < t1; t++) {
            const float *from = base + cbm_term_offset(r, t) + i;
            if (j->terms.powers) {
                make_powers(j, strip, from, now);
                from = strip;
            }
            if (t == t0)
                memcpy(to + i, from, (size_t)now * sizeof *to);
            else
                j->terms.fold->join(j->simd, to + i, from, now);
        }
    }
}

static void run_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const cbm_reduction *r = &p->r;
    for (int64_t i = begin; i < end; i++) {
        const int64_t cell = i / p->parts, part = i % p->parts;
        int64_t t0 = 0, t1 = r->terms, e0 = 0, e1 = r->length;
        if (p->split_length) {
            e0 = r->row ? part * STRIP : part * r->length / p->parts;
            e1 = r->row ? (e0 + STRIP < r->length ? e0 + STRIP : r->length) : (part + 1) * r->length / p->parts;
        } else {
            t0 = part * r->terms / p->parts;
            t1 = (part + 1) * r->terms / p->parts;
        }
        if (!r->row) {
            const double v = scalar_part(j, cell, t0, t1, e0, e1);
            if (p->parts > 1)
                ((double *)j->partial)[i] = v;
            else
                j->y[cell] = (float)v;
            continue;
        }
        const bool own = !p->split_length && p->parts > 1;
        row_part(j, cell, t0, t1, e0, e1, own ? (float *)j->partial + i * r->length : j->y + cell * r->length + e0);
    }
}

static void join_parts(const job *j, double factor)
{
    const plan *p = j->p;
    const fold *f = j->terms.fold;
    if (p->parts > 1 && !p->r.row) {
        const double *v = j->partial;
        for (int64_t c = 0; c < p->r.cells; c++) {
            double total = v[c * p->parts];
            for (int64_t i = 1; i < p->parts; i++)
                total = f->merge(total, v[c * p->parts + i]);
            j->y[c] = (float)(total * factor);
        }
        return;
    }
    if (p->parts > 1 && !p->split_length) {
        const float *v = j->partial;
        const int64_t length = p->r.length;
        for (int64_t c = 0; c < p->r.cells; c++) {
            float *to = j->y + c * length;
            memcpy(to, v + c * p->parts * length, (size_t)length * sizeof *to);
            for (int64_t i = 1; i < p->parts; i++)
                f->join(j->simd, to, v + (c * p->parts + i) * length, length);
        }
    }
    if (factor != 1)
        for (int64_t i = 0; i < p->r.cells * (p->r.row ? p->r.length : 1); i++)
            j->y[i] = (float)((double)j->y[i] * factor);
}

/* Cell `i / parts`: some channels of one sample, or of all. */
static void run_lanes(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    for (int64_t i = begin; i < end; i++) {
        const int64_t cell = i / p->parts, part = i % p->parts;
        const int64_t last = (part + 1) * p->members / p->parts;
        double *sums = (double *)j->partial + i * p->lanes;
        for (int64_t l = 0; l < p->lanes; l++)
            sums[l] = 0;
        for (int64_t at = part * p->members / p->parts; at < last;) {
            const int64_t place = at % p->places;
            const int64_t run = p->places - place < last - at ? p->places - place : last - at;
            const int64_t block = at / p->places * p->groups + cell;
            j->simd->lane_sums(sums, j->x + (block * p->places + place) * p->lanes, run, p->lanes, p->lanes);
            at += run;
        }
    }
}

static void reduce_lanes(const cbm_launch *l, const plan *p, bool mean)
{
    float *y = l->out[0].data;
    job j = { .p = p, .simd = cbm_simd_get(), .x = l->in[0].data, .y = y, .partial = l->workspace };
    cbm_parallel_for(p->cells * p->parts, cbm_grain(p->members * p->lanes / p->parts), l->threads, run_lanes, &j);
    for (int64_t i = 0; i < p->cells * p->lanes; i++) {
        const double *v = (const double *)l->workspace + i / p->lanes * p->parts * p->lanes + i % p->lanes;
        double total = v[0];
        for (int64_t part = 1; part < p->parts; part++)
            total += v[part * p->lanes];
        y[i] = (float)(mean ? total / (double)p->members : total);
    }
}

static cbm_status prepare(cbm_prepare *prepare)
{
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    const cbm_reduce_attributes *a = prepare->launch->attributes;
    if (prepare->launch->in[0].layout != CBM_LAYOUT_PLAIN && a->axes.v[0] < prepare->launch->in[0].rank) {
        make_lanes_plan(prepare->launch, p);
        prepare->workspace = (size_t)(p->cells * p->parts * p->lanes) * sizeof(double);
        prepare->state = p;
        return CBM_OK;
    }
    cbm_reduction *r = &p->r;
    cbm_reduction_make(&prepare->launch->in[0], &a->axes, r);
    choose_parts(p);
    const bool adds = strcmp(prepare->launch->op->name, "sum") == 0 || strcmp(prepare->launch->op->name, "mean") == 0;
    if (adds && r->row && r->n_kept == 0 && r->n_reduced == 1 && r->length <= NARROW_ROW) {
        *p = (plan){
            .lanes = r->length, .groups = 1, .samples = 1, .cells = 1, .places = r->terms, .members = r->members
        };
        p->parts = clamp(p->members * p->lanes / PART, 1, clamp(p->members, 1, 32));
        prepare->workspace = (size_t)(p->parts * p->lanes) * sizeof(double);
        prepare->state = p;
        return CBM_OK;
    }
    if (p->parts > 1 && !(r->row && p->split_length))
        prepare->workspace =
            (size_t)(r->cells * p->parts) * (r->row ? (size_t)r->length * sizeof(float) : sizeof(double));
    prepare->state = p;
    return CBM_OK;
}

static void fill(const cbm_launch *l, double value)
{
    float *y = l->out[0].data;
    for (int64_t i = 0; i < l->out[0].count; i++)
        y[i] = (float)value;
}

static void reduce(const cbm_launch *l, terms t, double factor)
{
    const plan *p = l->state;
    job j = { p, cbm_simd_get(), t, l->in[0].data, l->out[0].data, l->workspace };
    if (l->in[0].count == 0) {
        fill(l, t.fold->start);
        return;
    }
    const int64_t parts = p->r.cells * p->parts, work = l->in[0].count / parts;
    cbm_parallel_for(parts, cbm_grain(t.powers ? 4 * work : work), l->threads, run_parts, &j);
    join_parts(&j, factor);
}

static cbm_status sum(const cbm_launch *l)
{
    const plan *p = l->state;
    if (l->in[0].count > 0 && p->lanes > 0)
        reduce_lanes(l, p, false);
    else
        reduce(l, (terms){ .fold = &sum_fold }, 1);
    return CBM_OK;
}

static cbm_status mean(const cbm_launch *l)
{
    const plan *p = l->state;
    if (l->in[0].count == 0)
        fill(l, (double)NAN);
    else if (p->lanes > 0)
        reduce_lanes(l, p, true);
    else
        reduce(l, (terms){ .fold = &sum_fold }, 1.0 / (double)p->r.members);
    return CBM_OK;
}

static cbm_status prod(const cbm_launch *l)
{
    reduce(l, (terms){ .fold = &product_fold }, 1);
    return CBM_OK;
}
static cbm_status max(const cbm_launch *l)
{
    reduce(l, (terms){ .fold = &greatest_fold }, 1);
    return CBM_OK;
}
static cbm_status min(const cbm_launch *l)
{
    reduce(l, (terms){ .fold = &least_fold }, 1);
    return CBM_OK;
}

static cbm_status norm(const cbm_launch *l)
{
    const double p = ((const cbm_norm_attributes *)l->attributes)->p;
    float *y = l->out[0].data;
    reduce(l, (terms){ !isinf(p) ? &sum_fold : p > 0 ? &greatest_fold : &least_fold, true, p }, 1);
    for (int64_t i = 0; i < l->out[0].count && isfinite(p) && p != 0 && p != 1; i++)
        y[i] = p == 2 ? sqrtf(y[i]) : (float)pow((double)y[i], 1 / p);
    return CBM_OK;
}

/* Sums over places, over places and samples, and over everything. */
static bool pictures(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    const cbm_reduce_attributes *a = l->attributes;
    if (l->in[0].rank < 3 || !cbm_cpu_blocks_fit(layout, l->in[0].shape[1]) ||
        (cbm_is_reduced(&a->axes, 1) && !cbm_is_reduced(&a->axes, 0)))
        return false;
    for (int64_t d = 2; d < l->in[0].rank; d++)
        if (!cbm_is_reduced(&a->axes, d))
            return false;
    *in = 1;
    *out = 0;
    *gains = 0;
    return true;
}

#define SURE(op_, launch_, layout_)                                                                                    \
    {                                                                                                                  \
        .op = op_, .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .prepare = prepare, .launch = launch_,           \
        .release = free, .layout = layout_                                                                             \
    }
const cbm_kernel cbm_cpu_reduce[] = {
    SURE("sum", sum, pictures), SURE("mean", mean, pictures), SURE("prod", prod, NULL), SURE("max", max, NULL),
    SURE("min", min, NULL),     SURE("norm", norm, NULL),     { .op = NULL },
};
