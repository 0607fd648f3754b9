/* statistics.c: variance and standard deviation of f32 over any axes, in one pass over memory: parts of a result are described
   by their mean and squares about it, and descriptions are joined in a fixed order. Rests on reduction.h and
   simd/moments.c. */
#include "backend/cpu/reduction.h"

#include <math.h>
#include <stdlib.h>

enum {
    PART = 32768, /* elements of a part of one result, when results are few */
    STRIP = 1024, /* results that are worked out together */
    CHUNK = 1024, /* elements of a row that stay in the nearest cache between two looks at them */
    SCALARS = 64  /* rows at a time */
};

typedef struct plan {
    cbm_reduction r;
    cbm_cut cut;
} plan;

typedef struct job {
    const plan *p;
    const cbm_simd *simd;
    const float *x;
    float *y, *mean; /* either may be NULL */
    double divisor;
    bool root;
    double *a, *b; /* means and squares of parts */
} job;

typedef struct moments {
    double count, mean, squares;
} moments;

static void join(moments *to, double count, double mean, double squares)
{
    const double total = to->count + count, apart = mean - to->mean;
    if (count == 0)
        return;
    to->squares += squares + apart * apart * to->count * count / total;
    to->mean += apart * count / total;
    to->count = total;
}

/* `rows` rows of n elements joined with what is there. */
static void join_rows(const job *j, moments *to, const float *x, int64_t rows, int64_t step, int64_t n)
{
    double a[SCALARS], b[SCALARS];
    for (int64_t row = 0; row < rows; row += SCALARS) {
        const int64_t now = rows - row < SCALARS ? rows - row : SCALARS;
        j->simd->moments_rows(a, b, x + row * step, now, step, n);
        for (int64_t k = 0; k < now; k++)
            join(to, (double)n, a[k], b[k]);
    }
}

static void scalar_unit(const job *j, cbm_runs runs, double *a, double *b)
{
    moments m = { 0 };
    while (cbm_next_run(&runs)) {
        const int64_t whole = runs.n > CHUNK ? runs.n / CHUNK * CHUNK : 0;
        for (int64_t row = 0; row < runs.rows && whole > 0; row++)
            join_rows(j, &m, j->x + runs.offset + row * runs.step, whole / CHUNK, CHUNK, CHUNK);
        if (whole < runs.n)
            join_rows(j, &m, j->x + runs.offset + whole, runs.rows, runs.step, runs.n - whole);
    }
    *a = m.mean;
    *b = m.squares;
}

static void strip_unit(const job *j, cbm_runs runs, double *a, double *b)
{
    while (cbm_next_run(&runs))
        j->simd->moments_columns(a, b, runs.before, j->x + runs.offset, runs.rows, runs.step, runs.n);
}

static void finish(const job *j, int64_t result, const double *a, const double *b, int64_t n)
{
    j->simd->moments_finish(j->y ? j->y + result : NULL, j->mean ? j->mean + result : NULL, a, b, j->divisor, n,
                            j->root);
}

static void run_units(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const bool short_rows = p->r.terms == 1 && p->r.length <= CHUNK;
    double a[STRIP], b[STRIP];
    for (int64_t unit = begin; unit < end; unit++) {
        const cbm_runs runs = cbm_runs_of(&p->r, &p->cut, unit);
        const int64_t to = runs.part * p->cut.results + runs.result;
        if (p->cut.parts > 1) {
            (p->r.row ? strip_unit : scalar_unit)(j, runs, j->a + to, j->b + to);
        } else if (p->r.row) {
            strip_unit(j, runs, a, b);
            finish(j, runs.result, a, b, runs.n);
        } else { /* several cells, one after the other */
            const int64_t now = end - unit < SCALARS ? end - unit : SCALARS;
            if (short_rows)
                j->simd->moments_rows(a, b, j->x + unit * p->r.length, now, p->r.length, p->r.length);
            for (int64_t k = 0; k < now && !short_rows; k++)
                scalar_unit(j, cbm_runs_of(&p->r, &p->cut, unit + k), a + k, b + k);
            finish(j, unit, a, b, now);
            unit += now - 1;
        }
    }
}

/* Results [begin, end) from their parts. */
static void join_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_cut *cut = &j->p->cut;
    double a[SCALARS], b[SCALARS];
    for (int64_t first = begin; first < end; first += SCALARS) {
        const int64_t n = end - first < SCALARS ? end - first : SCALARS;
        for (int64_t k = 0; k < n; k++) {
            moments m = { 0 };
            for (int64_t part = 0; part < cut->parts; part++) {
                const int64_t at = part * cut->results + first + k;
                join(&m, cbm_part_count(&j->p->r, cut, part), j->a[at], j->b[at]);
            }
            a[k] = m.mean;
            b[k] = m.squares;
        }
        finish(j, first, a, b, n);
    }
}

static cbm_status prepare(cbm_prepare *prepare)
{
    const cbm_launch *l = prepare->launch;
    plan *p = malloc(sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    cbm_reduction_make(&l->in[0], &((const cbm_reduce_attributes *)l->attributes)->axes, &p->r);
    p->cut = cbm_reduction_cut(&p->r, PART, STRIP);
    if (p->cut.parts > 1)
        prepare->workspace = (size_t)(2 * p->cut.parts * p->cut.results) * sizeof(double);
    prepare->state = p;
    return CBM_OK;
}

static cbm_status run(const cbm_launch *l, bool root)
{
    const plan *p = l->state;
    const double correction = ((const cbm_var_attributes *)l->attributes)->correction;
    const cbm_cut *cut = &p->cut;
    job j = { .p = p,
              .simd = cbm_simd_get(),
              .x = l->in[0].data,
              .y = l->out[0].data,
              .mean = l->out[1].data,
              .divisor = fmax((double)p->r.members - correction, 0),
              .root = root,
              .a = l->workspace };
    j.b = j.a + cut->parts * cut->results;
    if (l->in[0].count == 0) {
        const double none = (double)NAN, nothing = 0;
        for (int64_t k = 0; k < l->out[0].count; k++)
            finish(&j, k, &none, &nothing, 1);
        return CBM_OK;
    }
    cbm_parallel_for(cut->units, cbm_grain(2 * l->in[0].count / cut->units), l->threads, run_units, &j);
    if (cut->parts > 1)
        cbm_parallel_for(cut->results, cbm_grain(8 * cut->parts), l->threads, join_parts, &j);
    return CBM_OK;
}

static cbm_status var(const cbm_launch *l)
{
    return run(l, false);
}
static cbm_status std(const cbm_launch *l)
{
    return run(l, true);
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
    { .op = NULL },
};
