/* statistics.c: variance, standard deviation and log-sum-exp of f32 over any axes, in one pass over memory: parts of a result
   are described by a few numbers, and descriptions are joined in a fixed order. Rests on reduction.h, simd/rows.c,
   simd/folds.c and simd/norms.c. */
#include "backend/cpu/reduction.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART = 32768, /* elements of a part of one result, when results are few */
    CHUNK = 4096, /* elements that stay in the nearest cache between two looks at them */
    BLOCK = 16    /* rows of a strip between two looks at them */
};

/* What is known of some elements. Variance: their mean, and squares apart from it. Log-sum-exp: the greatest, and the sum of
   e^(x - greatest). */
typedef struct summary {
    double count, a, b;
} summary;

typedef struct plan {
    cbm_reduction r;
    cbm_cut cut;
} plan;

/* How a kind of summary is made and finished. */
typedef struct kind {
    void (*of_row)(const cbm_simd *s, const float *x, int64_t n, summary *to); /* joins n elements */
    void (*of_rows)(const cbm_simd *s, const float *x, int64_t rows, int64_t step, int64_t n, double count, double *a,
                    double *b); /* joins a row to each of n summaries, `rows` times */
    void (*join)(summary *to, const summary *more);
} kind;

typedef struct job {
    const plan *p;
    const cbm_simd *simd;
    const kind *kind;
    const float *x;
    double *a, *b; /* summaries of all results, one set a part */
} job;

/* ---- variance (Chan, Golub and LeVeque 1979) ---- */

static void join_moments(summary *to, const summary *more)
{
    const double total = to->count + more->count, apart = more->a - to->a;
    if (more->count == 0)
        return;
    to->b += more->b + apart * apart * to->count * more->count / total;
    to->a += apart * more->count / total;
    to->count = total;
}

static void row_moments(const cbm_simd *s, const float *x, int64_t n, summary *to)
{
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t now = n - i < CHUNK ? n - i : CHUNK;
        const double mean = s->sum(x + i, now) / (double)now, off = mean - (double)(float)mean;
        const summary chunk = { (double)now, mean, s->sum_of_squares(x + i, now, mean) - (double)now * off * off };
        join_moments(to, &chunk);
    }
}

static void rows_moments(const cbm_simd *s, const float *x, int64_t rows, int64_t step, int64_t n, double count,
                         double *mean, double *squares)
{
    s->norm_moments(mean, squares, (int64_t)count, x, rows, step, n);
}

/* ---- log-sum-exp ---- */

static void join_exponentials(summary *to, const summary *more)
{
    to->count += more->count;
    if (more->a != more->a || more->a > to->a) {
        to->b = to->b == 0 ? more->b : to->b * exp(to->a - more->a) + more->b;
        to->a = more->a;
    } else if (more->b > 0) {
        to->b += more->b * exp(more->a - to->a);
    }
}

static void row_exponentials(const cbm_simd *s, const float *x, int64_t n, summary *to)
{
    for (int64_t i = 0; i < n; i += CHUNK) {
        const int64_t now = n - i < CHUNK ? n - i : CHUNK;
        const float top = s->top(x + i, now);
        const summary chunk = { (double)now, (double)top, isfinite(top) ? s->exp_sum(x + i, top, now) : 0 };
        join_exponentials(to, &chunk);
    }
}

static void rows_exponentials(const cbm_simd *s, const float *x, int64_t rows, int64_t step, int64_t n, double count,
                              double *greatest, double *sum)
{
    float top[CBM_STRIP], part[CBM_STRIP];
    for (int64_t first = 0; first < rows; first += BLOCK) {
        const int64_t now = rows - first < BLOCK ? rows - first : BLOCK;
        const float *from = x + first * step;
        for (int64_t k = 0; k < n; k++)
            top[k] = count == 0 && first == 0 ? from[k] : (float)greatest[k];
        for (int64_t row = 0; row < now; row++)
            s->raise(top, from + row * step, n);
        memset(part, 0, sizeof part);
        for (int64_t row = 0; row < now; row++)
            s->exp_add(part, from + row * step, top, n);
        for (int64_t k = 0; k < n; k++) {
            const bool before = (count > 0 || first > 0) && sum[k] > 0;
            const double kept = before ? sum[k] * exp(greatest[k] - (double)top[k]) : 0;
            sum[k] = isfinite(top[k]) ? kept + (double)part[k] : 0;
            greatest[k] = (double)top[k];
        }
    }
}

static const kind moments = { row_moments, rows_moments, join_moments };
static const kind exponentials = { row_exponentials, rows_exponentials, join_exponentials };

/* ---- parts ---- */

/* What nothing amounts to, of either kind. */
static summary nothing(const kind *k)
{
    return (summary){ 0, k == &exponentials ? -HUGE_VAL : 0, 0 };
}

static void run_units(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t unit = begin; unit < end; unit++) {
        cbm_runs runs = cbm_runs_of(&j->p->r, &j->p->cut, unit);
        const int64_t to = runs.part * j->p->cut.results + runs.result;
        summary s = nothing(j->kind);
        for (int64_t k = 0; k < runs.n; k++) {
            j->a[to + k] = s.a;
            j->b[to + k] = s.b;
        }
        while (cbm_next_run(&runs))
            if (j->p->r.row)
                j->kind->of_rows(j->simd, j->x + runs.offset, runs.rows, runs.step, runs.n, (double)runs.before,
                                 j->a + to, j->b + to);
            else
                j->kind->of_row(j->simd, j->x + runs.offset, runs.n, &s);
        if (!j->p->r.row) {
            j->a[to] = s.a;
            j->b[to] = s.b;
        }
    }
}

/* Result number k from its parts. */
static summary joined(const job *j, int64_t k)
{
    const cbm_cut *cut = &j->p->cut;
    summary s = nothing(j->kind);
    if (cut->parts == 1)
        return (summary){ (double)j->p->r.members, j->a[k], j->b[k] };
    for (int64_t part = 0; part < cut->parts; part++) {
        const int64_t at = part * cut->results + k;
        const summary more = { cbm_part_count(&j->p->r, cut, part), j->a[at], j->b[at] };
        j->kind->join(&s, &more);
    }
    return s;
}

static cbm_status prepare(cbm_prepare *prepare)
{
    const cbm_launch *l = prepare->launch;
    plan *p = malloc(sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    cbm_reduction_make(&l->in[0], &((const cbm_reduce_attributes *)l->attributes)->axes, &p->r);
    p->cut = cbm_reduction_cut(&p->r, PART);
    prepare->workspace = (size_t)(2 * p->cut.parts * p->cut.results) * sizeof(double);
    prepare->state = p;
    return CBM_OK;
}

/* Summaries of all parts, in the workspace. */
static job summarised(const cbm_launch *l, const kind *k)
{
    const plan *p = l->state;
    job j = { p, cbm_simd_get(), k, l->in[0].data, l->workspace, NULL };
    j.b = j.a + p->cut.parts * p->cut.results;
    cbm_parallel_for(p->cut.units, cbm_grain(2 * l->in[0].count / p->cut.units), l->threads, run_units, &j);
    return j;
}

static cbm_status spread(const cbm_launch *l, bool root)
{
    const plan *p = l->state;
    const double members = (double)p->r.members, correction = ((const cbm_var_attributes *)l->attributes)->correction;
    float *y = l->out[0].data, *mean = l->out[1].data;
    const bool some = l->in[0].count > 0;
    const job j = some ? summarised(l, &moments) : (job){ 0 };
    for (int64_t i = 0; i < l->out[0].count; i++) {
        const summary s = some ? joined(&j, i) : (summary){ 0, (double)NAN, 0 };
        const double value = s.b / fmax(members - correction, 0);
        if (y)
            y[i] = (float)(root ? sqrt(value) : value);
        if (mean)
            mean[i] = (float)s.a;
    }
    return CBM_OK;
}

static cbm_status var(const cbm_launch *l)
{
    return spread(l, false);
}
static cbm_status std(const cbm_launch *l)
{
    return spread(l, true);
}

/* Logarithms of n <= CBM_STRIP sums. */
static void logarithms(const cbm_simd *simd, float *v)
{
    const cbm_tile_operand o[1] = { { (const char *)v, 1 } };
    simd->tile[CBM_EXPR_LOG][CBM_LANE_F32](CBM_STRIP, v, o);
}

static cbm_status logsumexp(const cbm_launch *l)
{
    float *y = l->out[0].data, sums[CBM_STRIP] = { 0 };
    const bool some = l->in[0].count > 0;
    const job j = some ? summarised(l, &exponentials) : (job){ 0 };
    for (int64_t first = 0; first < l->out[0].count; first += CBM_STRIP) {
        const int64_t n = l->out[0].count - first < CBM_STRIP ? l->out[0].count - first : CBM_STRIP;
        for (int64_t k = 0; k < n; k++) {
            const summary s = some ? joined(&j, first + k) : nothing(&exponentials);
            y[first + k] = (float)s.a;
            sums[k] = isfinite(s.a) ? (float)s.b : 1;
        }
        logarithms(cbm_simd_get(), sums);
        for (int64_t k = 0; k < n; k++)
            y[first + k] += sums[k];
    }
    return CBM_OK;
}

const cbm_kernel cbm_cpu_statistics[] = {
    { .op = "var",
      .flags = CBM_KERNEL_SURE,
      .supports = cbm_cpu_f32,
      .prepare = prepare,
      .launch = var,
      .release = free },
    { .op = "std",
      .flags = CBM_KERNEL_SURE,
      .supports = cbm_cpu_f32,
      .prepare = prepare,
      .launch = std,
      .release = free },
    { .op = "logsumexp",
      .flags = CBM_KERNEL_SURE,
      .supports = cbm_cpu_f32,
      .prepare = prepare,
      .launch = logsumexp,
      .release = free },
    { .op = NULL },
};
