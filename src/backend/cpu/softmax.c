/* softmax.c: softmax and log_softmax of f32 along an axis, logsumexp over any axes. Rows along the last axis go together.
   Otherwise columns lie side by side: their greatest elements and sums of exponentials come first, by units as reduction.h
   cuts them; softmax then looks at a unit again, while short columns are in a cache. Rests on
   simd/softmax.c and simd/folds.c. */
#include "backend/cpu/reduction.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    PART = 32768, /* elements of a part of one result, when results are few */
    STRIP = 1024, /* columns that are worked out together */
    CHUNK = 4096, /* elements of a row that have one greatest */
    SCALARS = 64  /* results at a time */
};

typedef struct plan {
    cbm_reduction r;
    cbm_cut cut;
    bool rows; /* softmax along the last axis */
} plan;

typedef struct job {
    const plan *p;
    const cbm_simd *simd;
    const float *x;
    float *y;
    bool logarithm, past_caches;
    float *top, *sum; /* of parts */
} job;

/* ---- softmax of rows ---- */

static void run_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->p->r.length;
    j->simd->softmax_rows(j->y + begin * n, j->x + begin * n, end - begin, n, j->logarithm, j->past_caches);
    if (j->past_caches)
        j->simd->stream_end();
}

/* ---- columns ---- */

static void start(float *top, float *sum, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        top[k] = -HUGE_VALF;
        sum[k] = 0;
    }
}

static void sum_strip(const job *j, cbm_runs runs, float *top, float *sum)
{
    start(top, sum, runs.n);
    while (cbm_next_run(&runs))
        j->simd->exp_columns(top, sum, j->x + runs.offset, runs.rows, runs.step, runs.n);
}

static void finish_strip(const job *j, cbm_runs runs, const float *top, const float *last)
{
    const bool past_caches = j->past_caches && runs.n % CBM_TILE_GROUP == 0 && runs.base % CBM_TILE_GROUP == 0;
    while (cbm_next_run(&runs))
        j->simd->softmax_columns(j->y + runs.offset, j->x + runs.offset, top, last, runs.rows, runs.step, runs.n,
                                 j->logarithm, past_caches);
    if (past_caches)
        j->simd->stream_end();
}

/* ---- scalars: rows ---- */

static void join(float *top, float *sum, float more_top, float more_sum)
{
    if (more_top != more_top || more_top > *top) {
        *sum = *sum > 0 ? *sum * expf(*top - more_top) + more_sum : more_sum;
        *top = more_top;
    } else if (more_sum > 0) {
        *sum += more_sum * expf(more_top - *top);
    }
}

/* `rows` rows of n elements joined with what is there. */
static void join_rows(const job *j, float *top, float *sum, const float *x, int64_t rows, int64_t step, int64_t n)
{
    float t[SCALARS], s[SCALARS];
    for (int64_t row = 0; row < rows; row += SCALARS) {
        const int64_t now = rows - row < SCALARS ? rows - row : SCALARS;
        j->simd->exp_rows(t, s, x + row * step, now, step, n);
        for (int64_t k = 0; k < now; k++)
            join(top, sum, t[k], s[k]);
    }
}

static void sum_scalar(const job *j, cbm_runs runs, float *top, float *sum)
{
    start(top, sum, 1);
    while (cbm_next_run(&runs)) {
        const int64_t whole = runs.n > CHUNK ? runs.n / CHUNK * CHUNK : 0;
        for (int64_t row = 0; row < runs.rows && whole > 0; row++)
            join_rows(j, top, sum, j->x + runs.offset + row * runs.step, whole / CHUNK, CHUNK, CHUNK);
        if (whole < runs.n)
            join_rows(j, top, sum, j->x + runs.offset + whole, runs.rows, runs.step, runs.n - whole);
    }
}

/* ---- units ---- */

static void sum_units(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const bool short_rows = p->r.terms == 1 && p->r.length <= CHUNK;
    float t[STRIP], s[STRIP];
    for (int64_t unit = begin; unit < end; unit++) {
        const cbm_runs runs = cbm_runs_of(&p->r, &p->cut, unit);
        const int64_t to = runs.part * p->cut.results + runs.result;
        if (p->cut.parts > 1) {
            if (p->r.row)
                sum_strip(j, runs, j->top + to, j->sum + to);
            else
                sum_scalar(j, runs, j->top + to, j->sum + to);
        } else if (p->r.row) {
            sum_strip(j, runs, t, s);
            j->simd->exp_finish(j->y + runs.result, t, s, runs.n);
        } else { /* several cells, one after the other */
            const int64_t now = end - unit < SCALARS ? end - unit : SCALARS;
            if (short_rows)
                j->simd->exp_rows(t, s, j->x + unit * p->r.length, now, p->r.length, p->r.length);
            for (int64_t k = 0; k < now && !short_rows; k++)
                sum_scalar(j, cbm_runs_of(&p->r, &p->cut, unit + k), t + k, s + k);
            j->simd->exp_finish(j->y + unit, t, s, now);
            unit += now - 1;
        }
    }
}

/* All parts of results [begin, end) joined in the first. */
static void join_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_cut *cut = &j->p->cut;
    for (int64_t part = 1; part < cut->parts; part++)
        j->simd->exp_join(j->top + begin, j->sum + begin, j->top + part * cut->results + begin,
                          j->sum + part * cut->results + begin, end - begin);
}

/* Softmax of units whose columns are whole, and of parts after their joining. */
static void softmax_units(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    float t[STRIP], s[STRIP];
    for (int64_t unit = begin; unit < end; unit++) {
        const cbm_runs runs = cbm_runs_of(&p->r, &p->cut, unit);
        if (p->cut.parts > 1) {
            finish_strip(j, runs, j->top + runs.result, j->sum + runs.result);
            continue;
        }
        sum_strip(j, runs, t, s);
        j->simd->softmax_last(s, runs.n, j->logarithm);
        finish_strip(j, runs, t, s);
    }
}

/* ---- kernels ---- */

static cbm_status prepare_plan(cbm_prepare *prepare, const cbm_shape *axes, bool softmax)
{
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    cbm_reduction_make(&prepare->launch->in[0], axes, &p->r);
    p->rows = softmax && !p->r.row;
    p->cut = cbm_reduction_cut(&p->r, PART, STRIP);
    if (p->cut.parts > 1)
        prepare->workspace = (size_t)(2 * p->cut.parts * p->cut.results) * sizeof(float);
    prepare->state = p;
    return CBM_OK;
}

static cbm_status prepare_softmax(cbm_prepare *prepare)
{
    const cbm_axis_attributes *a = prepare->launch->attributes;
    return prepare_plan(prepare, &CBM_SHAPE(a->axis), true);
}
static cbm_status prepare_sums(cbm_prepare *prepare)
{
    return prepare_plan(prepare, &((const cbm_reduce_attributes *)prepare->launch->attributes)->axes, false);
}

static job job_of(const cbm_launch *l)
{
    const plan *p = l->state;
    job j = { .p = p, .simd = cbm_simd_get(), .x = l->in[0].data, .y = l->out[0].data, .top = l->workspace };
    j.sum = j.top + p->cut.parts * p->cut.results;
    return j;
}

/* Of parts, if there are any. */
static void sum_parts(const cbm_launch *l, job *j)
{
    const cbm_cut *cut = &j->p->cut;
    cbm_parallel_for(cut->units, cbm_grain(2 * l->in[0].count / cut->units), l->threads, sum_units, j);
    if (cut->parts > 1)
        cbm_parallel_for(cut->results, cbm_grain(4 * cut->parts), l->threads, join_parts, j);
}

static cbm_status run(const cbm_launch *l, bool logarithm)
{
    const plan *p = l->state;
    job j = job_of(l);
    const int64_t count = l->in[0].count;
    j.logarithm = logarithm;
    j.past_caches = cbm_cpu_streams(count * (int64_t)sizeof(float)) && (uintptr_t)j.y % 64 == 0 &&
                    p->r.length % CBM_TILE_GROUP == 0;
    if (count == 0)
        return CBM_OK;
    if (p->rows) {
        cbm_parallel_for(p->r.cells, cbm_grain(4 * p->r.length), l->threads, run_rows, &j);
        return CBM_OK;
    }
    if (p->cut.parts > 1) {
        sum_parts(l, &j);
        j.simd->softmax_last(j.sum, p->cut.results, logarithm);
    }
    cbm_parallel_for(p->cut.units, cbm_grain(4 * count / p->cut.units), l->threads, softmax_units, &j);
    return CBM_OK;
}

static cbm_status softmax(const cbm_launch *l)
{
    return run(l, false);
}
static cbm_status log_softmax(const cbm_launch *l)
{
    return run(l, true);
}

static cbm_status logsumexp(const cbm_launch *l)
{
    job j = job_of(l);
    if (l->in[0].count > 0)
        sum_parts(l, &j);
    for (int64_t k = 0; k < l->out[0].count && l->in[0].count == 0; k++)
        j.y[k] = -HUGE_VALF;
    if (l->in[0].count > 0 && j.p->cut.parts > 1)
        j.simd->exp_finish(j.y, j.top, j.sum, l->out[0].count);
    return CBM_OK;
}

#define SURE(op_, prepare_, launch_)                                                                                   \
    {                                                                                                                  \
        .op = op_, .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .prepare = prepare_, .launch = launch_,          \
        .release = free                                                                                                \
    }
const cbm_kernel cbm_cpu_softmax[] = {
    SURE("softmax", prepare_softmax, softmax),
    SURE("log_softmax", prepare_softmax, log_softmax),
    SURE("logsumexp", prepare_sums, logsumexp),
    { .op = NULL },
};
