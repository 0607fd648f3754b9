/* reduce.c: sum, mean, max, argmax of f32 over any axes. The axes are merged until kept and reduced ones alternate; then
   a result is one cell, or a row of cells, that adds up terms: rows of contiguous elements. How the work is cut depends
   on shapes only, so a sum repeats bit for bit whatever the threads. Sums of channels that lie side by side (blocked,
   channels last) add up lanes instead. Rests on simd/rows.c and simd/norms.c. */
#include "backend/cpu/cpu.h"

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

typedef struct axis {
    int64_t extent, stride;
} axis;

typedef struct plan {
    axis kept[CBM_MAX_DIMS], reduced[CBM_MAX_DIMS]; /* without the last axis */
    int64_t n_kept, n_reduced;
    int64_t cells, terms; /* products of the extents */
    int64_t length;       /* of the last axis */
    bool row;             /* the last axis is kept: a cell is a row of results */
    int64_t parts;        /* of each cell */
    int64_t members;      /* elements that make a result */
    bool split_length;    /* parts cut the last axis (a scalar cell), or the strips of a wide row */
    /* Channels side by side: `groups` of `lanes` channels a sample, each `places` times; a result sums up the places of
       `samples` of them. */
    int64_t lanes, groups, samples, places;
} plan;

static bool is_reduced(const cbm_shape *axes, int64_t d)
{
    for (int64_t i = 1; i <= axes->v[0]; i++)
        if (axes->v[i] == d)
            return true;
    return false;
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

static void choose_parts(plan *p)
{
    const int64_t work = p->terms * p->length;
    if (p->row && p->length >= WIDE_ROW) {
        p->split_length = true;
        p->parts = (p->length + STRIP - 1) / STRIP;
        return;
    }
    if (p->row) {
        const int64_t by_size = p->cells > 8 ? 1 : work / PART, by_rows = (p->terms + ROWS_OF_PART - 1) / ROWS_OF_PART;
        p->parts = clamp(by_size > by_rows ? by_size : by_rows, 1, clamp(p->terms, 1, PARTS_MOST));
        return;
    }
    p->split_length = p->terms == 1;
    p->parts = p->cells > 64 ? 1 : clamp(work / PART, 1, PARTS_MOST);
    if (!p->split_length)
        p->parts = clamp(p->parts, 1, p->terms);
}

static void make_plan(const cbm_launch *l, plan *p)
{
    const cbm_reduce_attributes *a = l->attributes;
    const cbm_buffer *x = &l->in[0];
    axis merged[CBM_MAX_DIMS];
    bool reduced[CBM_MAX_DIMS];
    int64_t n = 0, stride = x->count;
    *p = (plan){ .cells = 1, .terms = 1, .length = 1, .members = 1 };
    for (int64_t d = 0; d < x->rank; d++) {
        if (x->shape[d] > 0)
            stride /= x->shape[d];
        const bool r = is_reduced(&a->axes, d);
        if (r)
            p->members *= x->shape[d];
        if (x->shape[d] == 1)
            continue;
        if (n > 0 && reduced[n - 1] == r) {
            merged[n - 1] = (axis){ merged[n - 1].extent * x->shape[d], stride };
            continue;
        }
        merged[n] = (axis){ x->shape[d], stride };
        reduced[n++] = r;
    }
    if (n > 0) {
        p->length = merged[n - 1].extent;
        p->row = !reduced[n - 1];
    }
    for (int64_t i = 0; i + 1 < n; i++) {
        if (reduced[i]) {
            p->reduced[p->n_reduced++] = merged[i];
            p->terms *= merged[i].extent;
        } else {
            p->kept[p->n_kept++] = merged[i];
            p->cells *= merged[i].extent;
        }
    }
    choose_parts(p);
}

/* x is (N, C, ...) in a layout other than the plain one: sums over all axes from 2 on, or those and 0. */
static void make_lanes_plan(const cbm_launch *l, plan *p)
{
    const cbm_buffer *x = &l->in[0];
    const bool over_samples = is_reduced(&((const cbm_reduce_attributes *)l->attributes)->axes, 0);
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

static int64_t offset_of(const axis *axes, int64_t n, int64_t number)
{
    int64_t offset = 0;
    for (int64_t i = n - 1; i >= 0; i--) {
        offset += number % axes[i].extent * axes[i].stride;
        number /= axes[i].extent;
    }
    return offset;
}

typedef struct job {
    const plan *p;
    const cbm_simd *simd;
    const float *x;
    float *y;
    void *partial; /* doubles for scalar cells, rows of floats for row cells; used when parts > 1 */
    bool greatest;
} job;

/* One scalar cell, terms [t0, t1), elements [begin, end) of each. */
static double scalar_part(const job *j, int64_t cell, int64_t t0, int64_t t1, int64_t begin, int64_t end)
{
    const plan *p = j->p;
    const float *base = j->x + offset_of(p->kept, p->n_kept, cell) + begin;
    double total = j->greatest ? -HUGE_VAL : 0;
    for (int64_t t = t0; t < t1; t++) {
        const float *row = base + offset_of(p->reduced, p->n_reduced, t);
        if (!j->greatest) {
            total += j->simd->sum(row, end - begin);
            continue;
        }
        const double top = (double)j->simd->top(row, end - begin);
        if (top > total || top != top)
            total = top;
    }
    return total;
}

/* A row cell: the rows of terms [t0, t1) joined, columns [begin, end). */
static void row_part(const job *j, int64_t cell, int64_t t0, int64_t t1, int64_t begin, int64_t end, float *to)
{
    const plan *p = j->p;
    const float *base = j->x + offset_of(p->kept, p->n_kept, cell) + begin;
    const int64_t n = end - begin;
    memcpy(to, base + offset_of(p->reduced, p->n_reduced, t0), (size_t)n * sizeof *to);
    for (int64_t t = t0 + 1; t < t1; t++)
        (j->greatest ? j->simd->raise : j->simd->add)(to, base + offset_of(p->reduced, p->n_reduced, t), n);
}

static void run_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    for (int64_t i = begin; i < end; i++) {
        const int64_t cell = i / p->parts, part = i % p->parts;
        int64_t t0 = 0, t1 = p->terms, e0 = 0, e1 = p->length;
        if (p->split_length) {
            e0 = p->row ? part * STRIP : part * p->length / p->parts;
            e1 = p->row ? (e0 + STRIP < p->length ? e0 + STRIP : p->length) : (part + 1) * p->length / p->parts;
        } else {
            t0 = part * p->terms / p->parts;
            t1 = (part + 1) * p->terms / p->parts;
        }
        if (!p->row) {
            const double v = scalar_part(j, cell, t0, t1, e0, e1);
            if (p->parts > 1)
                ((double *)j->partial)[i] = v;
            else
                j->y[cell] = (float)v;
            continue;
        }
        const bool own = !p->split_length && p->parts > 1;
        row_part(j, cell, t0, t1, e0, e1, own ? (float *)j->partial + i * p->length : j->y + cell * p->length + e0);
    }
}

static void join_parts(const job *j, double factor)
{
    const plan *p = j->p;
    if (p->parts > 1 && !p->row) {
        const double *v = j->partial;
        for (int64_t c = 0; c < p->cells; c++) {
            double total = v[c * p->parts];
            for (int64_t i = 1; i < p->parts; i++) {
                const double next = v[c * p->parts + i];
                if (!j->greatest)
                    total += next;
                else if (next > total || next != next)
                    total = next;
            }
            j->y[c] = (float)(total * factor);
        }
        return;
    }
    if (p->parts > 1 && !p->split_length) {
        const float *v = j->partial;
        for (int64_t c = 0; c < p->cells; c++) {
            float *to = j->y + c * p->length;
            memcpy(to, v + c * p->parts * p->length, (size_t)p->length * sizeof *to);
            for (int64_t i = 1; i < p->parts; i++)
                (j->greatest ? j->simd->raise : j->simd->add)(to, v + (c * p->parts + i) * p->length, p->length);
        }
    }
    if (factor != 1)
        for (int64_t i = 0; i < p->cells * (p->row ? p->length : 1); i++)
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
    job j = { p, cbm_simd_get(), l->in[0].data, y, l->workspace, false };
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
    plan *p = malloc(sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    const cbm_reduce_attributes *a = prepare->launch->attributes;
    if (prepare->launch->in[0].layout != CBM_LAYOUT_PLAIN && a->axes.v[0] < prepare->launch->in[0].rank) {
        make_lanes_plan(prepare->launch, p);
        prepare->workspace = (size_t)(p->cells * p->parts * p->lanes) * sizeof(double);
        prepare->state = p;
        return CBM_OK;
    }
    make_plan(prepare->launch, p);
    const bool sums = strcmp(prepare->launch->op->name, "max") != 0;
    if (sums && p->row && p->n_kept == 0 && p->n_reduced == 1 && p->length <= NARROW_ROW) {
        p->lanes = p->length;
        p->groups = p->samples = p->cells = 1;
        p->places = p->terms;
        p->parts = clamp(p->members * p->lanes / PART, 1, clamp(p->members, 1, 32));
        prepare->workspace = (size_t)(p->parts * p->lanes) * sizeof(double);
        prepare->state = p;
        return CBM_OK;
    }
    if (p->parts > 1 && !(p->row && p->split_length))
        prepare->workspace =
            (size_t)(p->cells * p->parts) * (p->row ? (size_t)p->length * sizeof(float) : sizeof(double));
    prepare->state = p;
    return CBM_OK;
}

static void reduce(const cbm_launch *l, bool greatest, bool mean)
{
    const plan *p = l->state;
    float *y = l->out[0].data;
    if (l->in[0].count == 0) {
        for (int64_t i = 0; i < l->out[0].count; i++)
            y[i] = mean ? NAN : greatest ? -HUGE_VALF : 0;
        return;
    }
    if (p->lanes > 0) {
        reduce_lanes(l, p, mean);
        return;
    }
    job j = { p, cbm_simd_get(), l->in[0].data, y, l->workspace, greatest };
    const int64_t parts = p->cells * p->parts, work = l->in[0].count / parts;
    cbm_parallel_for(parts, cbm_grain(work), l->threads, run_parts, &j);
    join_parts(&j, mean ? 1.0 / (double)p->members : 1.0);
}

static cbm_status sum(const cbm_launch *l)
{
    reduce(l, false, false);
    return CBM_OK;
}
static cbm_status mean(const cbm_launch *l)
{
    reduce(l, false, true);
    return CBM_OK;
}
static cbm_status max(const cbm_launch *l)
{
    reduce(l, true, false);
    return CBM_OK;
}

/* ---- argmax ---- */

typedef struct argmax_job {
    const cbm_simd *simd;
    const float *x;
    int64_t *y;
    cbm_around a;
} argmax_job;

static bool above(float a, float b)
{
    return a > b || (a != a && b == b);
}

/* Places (outer, inner) from begin to end; for rows side by side, several lanes at a time for the caches' sake. */
static void argmax_part(void *user, int64_t begin, int64_t end)
{
    const argmax_job *j = user;
    if (j->a.inner == 1) {
        for (int64_t i = begin; i < end; i++)
            j->y[i] = j->simd->top_at(j->x + i * j->a.length, j->a.length);
        return;
    }
    enum { LANES = 64 };
    float best[LANES];
    for (int64_t i = begin; i < end;) {
        const int64_t outer = i / j->a.inner, inner = i % j->a.inner;
        int64_t n = j->a.inner - inner < end - i ? j->a.inner - inner : end - i;
        n = n < LANES ? n : LANES;
        const float *x = j->x + outer * j->a.length * j->a.inner + inner;
        for (int64_t k = 0; k < n; k++) {
            best[k] = x[k];
            j->y[i + k] = 0;
        }
        for (int64_t row = 1; row < j->a.length; row++)
            for (int64_t k = 0; k < n; k++)
                if (above(x[row * j->a.inner + k], best[k])) {
                    best[k] = x[row * j->a.inner + k];
                    j->y[i + k] = row;
                }
        i += n;
    }
}

static cbm_status argmax(const cbm_launch *l)
{
    const cbm_reduce_attributes *r = l->attributes;
    const cbm_buffer *x = &l->in[0];
    argmax_job j = { cbm_simd_get(), x->data, l->out[0].data, { 1, x->count, 1 } };
    if (r->axes.v[0] == 1)
        j.a = cbm_around_axis(x, r->axes.v[1]);
    if (x->count > 0)
        cbm_parallel_for(j.a.outer * j.a.inner, cbm_grain(j.a.length), l->threads, argmax_part, &j);
    return CBM_OK;
}

/* Sums over places, over places and samples, and over everything. */
static bool pictures(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    const cbm_reduce_attributes *a = l->attributes;
    if (l->in[0].rank < 3 || !cbm_cpu_blocks_fit(layout, l->in[0].shape[1]) ||
        (is_reduced(&a->axes, 1) && !is_reduced(&a->axes, 0)))
        return false;
    for (int64_t d = 2; d < l->in[0].rank; d++)
        if (!is_reduced(&a->axes, d))
            return false;
    *in = 1;
    *out = 0;
    *gains = 0;
    return true;
}

const cbm_kernel cbm_cpu_reduce[] = {
    { .op = "sum",
      .flags = CBM_KERNEL_SURE,
      .supports = cbm_cpu_f32,
      .prepare = prepare,
      .launch = sum,
      .release = free,
      .layout = pictures },
    { .op = "mean",
      .flags = CBM_KERNEL_SURE,
      .supports = cbm_cpu_f32,
      .prepare = prepare,
      .launch = mean,
      .release = free,
      .layout = pictures },
    { .op = "max",
      .flags = CBM_KERNEL_SURE,
      .supports = cbm_cpu_f32,
      .prepare = prepare,
      .launch = max,
      .release = free },
    { .op = "argmax", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = argmax },
    { .op = NULL },
};
