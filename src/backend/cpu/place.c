/* place.c: argmax and argmin of f32, along an axis or through the whole tensor, cut as reduction.h does. Rests on
   simd/folds.c. */
#include "backend/cpu/reduction.h"

#include <stdlib.h>
#include <string.h>

enum {
    PART = 32768,  /* elements of a part of one result, when results are few */
    STRIP = 1024,  /* columns that are looked at together */
    CHUNK = 2048,  /* elements of a row that stay in the nearest cache for the search of the best one's place */
    SCALARS = 64,  /* short rows at a time */
    GROUP = 16,    /* longer ones */
    ROWS = 1 << 30 /* whose numbers fit 32 bits */
};

typedef struct plan {
    cbm_reduction r;
    cbm_cut cut;
} plan;

typedef struct job {
    const plan *p;
    const cbm_simd *simd;
    cbm_fold fold; /* CBM_FOLD_MAX or CBM_FOLD_MIN */
    const float *x;
    int64_t *y;
    float *best; /* of parts */
    int64_t *at;
} job;

static bool follows(const job *j, float x, float best)
{
    return (j->fold == CBM_FOLD_MAX ? x > best : x < best) || (x != x && best == best);
}

/* Columns of n <= STRIP. */
static void strip_unit(const job *j, cbm_runs runs, float *best, int64_t *at)
{
    const cbm_place_fn run = j->fold == CBM_FOLD_MAX ? j->simd->max_at : j->simd->min_at;
    int32_t place[STRIP];
    while (cbm_next_run(&runs))
        for (int64_t row = 0; row < runs.rows; row += ROWS) {
            const float *x = j->x + runs.offset + row * runs.step;
            const int64_t first = runs.begin + runs.before + row;
            const bool begins = runs.before + row == 0;
            for (int64_t k = 0; k < runs.n; k++)
                place[k] = begins ? 0 : -1;
            if (begins)
                memcpy(best, x, (size_t)runs.n * sizeof *best);
            run(best, place, x, 0, runs.rows - row < ROWS ? runs.rows - row : ROWS, runs.step, runs.n);
            for (int64_t k = 0; k < runs.n; k++)
                at[k] = place[k] < 0 ? at[k] : first + place[k];
        }
}

/* A row, in chunks: only the best one is searched. */
static void scalar_unit(const job *j, cbm_runs runs, float *best, int64_t *at)
{
    const float *x = NULL;
    int64_t n = 0;
    while (cbm_next_run(&runs))
        for (int64_t i = 0; i < runs.n; i += CHUNK) {
            const int64_t now = runs.n - i < CHUNK ? runs.n - i : CHUNK;
            const float here = cbm_fold_row(j->simd, j->fold, j->x + runs.offset + i, now);
            if (x && !follows(j, here, *best))
                continue;
            *best = here;
            *at = runs.begin + runs.before + i;
            x = j->x + runs.offset + i;
            n = now;
        }
    int64_t place;
    j->simd->find(&place, x, best, 1, n, n);
    *at += place;
}

static void run_units(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const int64_t length = p->r.length;
    float best[STRIP];
    for (int64_t unit = begin; unit < end; unit++) {
        const cbm_runs runs = cbm_runs_of(&p->r, &p->cut, unit);
        const int64_t to = runs.part * p->cut.results + runs.result;
        if (p->cut.parts > 1) {
            (p->r.row ? strip_unit : scalar_unit)(j, runs, j->best + to, j->at + to);
        } else if (p->r.row) {
            strip_unit(j, runs, best, j->y + runs.result);
        } else if (length > CHUNK) {
            scalar_unit(j, runs, best, j->y + unit);
        } else { /* several short rows, one after the other */
            const int64_t most = length < CHUNK / SCALARS ? SCALARS : GROUP,
                          now = end - unit < most ? end - unit : most;
            j->simd->fold_rows[j->fold](best, j->x + unit * length, NULL, now, length, length);
            j->simd->find(j->y + unit, j->x + unit * length, best, now, length, length);
            unit += now - 1;
        }
    }
}

/* Results [begin, end) from their parts, the first of equals. */
static void join_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_cut *cut = &j->p->cut;
    for (int64_t k = begin; k < end; k++) {
        int64_t best = k;
        for (int64_t part = 1; part < cut->parts; part++)
            if (follows(j, j->best[part * cut->results + k], j->best[best]))
                best = part * cut->results + k;
        j->y[k] = j->at[best];
    }
}

static cbm_status prepare(cbm_prepare *prepare)
{
    const cbm_launch *l = prepare->launch;
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    cbm_reduction_make(&l->in[0], &((const cbm_reduce_attributes *)l->attributes)->axes, &p->r);
    p->cut = cbm_reduction_cut(&p->r, PART, STRIP);
    if (p->cut.parts > 1)
        prepare->workspace = (size_t)(p->cut.parts * p->cut.results) * (sizeof(int64_t) + sizeof(float));
    prepare->state = p;
    return CBM_OK;
}

static cbm_status run(const cbm_launch *l, cbm_fold fold)
{
    const plan *p = l->state;
    const int64_t count = l->in[0].count, units = p->cut.units;
    job j = {
        .p = p, .simd = cbm_simd_get(), .fold = fold, .x = l->in[0].data, .y = l->out[0].data, .at = l->workspace
    };
    j.best = (float *)(void *)(j.at + p->cut.parts * p->cut.results);
    if (count == 0)
        return CBM_OK;
    cbm_parallel_for(units, cbm_grain(count / units), l->threads, run_units, &j);
    if (p->cut.parts > 1)
        cbm_parallel_for(p->cut.results, cbm_grain(p->cut.parts), l->threads, join_parts, &j);
    return CBM_OK;
}

static cbm_status argmax(const cbm_launch *l)
{
    return run(l, CBM_FOLD_MAX);
}
static cbm_status argmin(const cbm_launch *l)
{
    return run(l, CBM_FOLD_MIN);
}

#define SURE(op_, launch_)                                                                                             \
    {                                                                                                                  \
        .op = op_, .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .prepare = prepare, .launch = launch_,           \
        .release = free                                                                                                \
    }
const cbm_kernel cbm_cpu_place[] = { SURE("argmax", argmax), SURE("argmin", argmin), { .op = NULL } };
