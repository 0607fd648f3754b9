/* reduce.c: sum, mean, prod, max, min and norms of f32 over any axes, as reduction.h lays them out and cuts them, whatever the
   threads; in blocked layouts and channels last as well, which are other axes. Rests on simd/folds.c and simd/tile.c. */
#include "backend/cpu/reduction.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PART = 32768, /* elements of a part of one result, when results are few */
    STRIP = 4096, /* results that are worked out together, in the nearest cache */
    ROWS = 512,   /* rows added up in one running sum */
    CHUNK = 1024, /* elements of a row folded into one f32 */
    SCALARS = 64  /* such numbers at a time */
};

typedef struct plan {
    cbm_reduction r;
    cbm_cut cut;
} plan;

/* How two are joined, and what nothing gives. */
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

typedef struct joining {
    double start;
    double (*merge)(double a, double b);
    cbm_fold plain; /* joins what is already made of elements */
} joining;
static const joining sums = { 0, plus, CBM_FOLD_SUM }, products = { 1, times, CBM_FOLD_PRODUCT },
                     greatest = { -HUGE_VAL, greater, CBM_FOLD_MAX }, least = { HUGE_VAL, lesser, CBM_FOLD_MIN };

typedef struct job {
    const plan *p;
    const cbm_simd *simd;
    const joining *joining;
    cbm_fold fold;
    bool powers;   /* |x|^p of each element is made first, a strip at a time */
    double p_norm; /* not 0: a norm, whose last step is a root */
    double divisor;
    const float *x;
    float *y;
    void *partial; /* of parts: doubles for scalar cells, floats for rows */
} job;

/* r = x op a number, n elements: whole groups. */
static void with_number(const job *j, int32_t code, int64_t n, float *r, const float *x, double number)
{
    float numbers[CBM_TILE_UNIFORM / sizeof(float)];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        numbers[i] = (float)number;
    const cbm_tile_operand o[2] = { { (const char *)x, 1 }, { (const char *)numbers, 0 } };
    j->simd->tile[code][CBM_LANE_F32](n, r, o);
}
static int64_t whole_groups(int64_t n)
{
    return (n + CBM_TILE_GROUP - 1) / CBM_TILE_GROUP * CBM_TILE_GROUP;
}

/* |x|^p of n <= CHUNK elements; of 0, whether x is not 0. r has room for whole groups. */
static void make_powers(const job *j, float *r, const float *x, int64_t n)
{
    const int64_t groups = whole_groups(n);
    if (n < groups) { /* the last group is not whole */
        memcpy(r, x, (size_t)n * sizeof *r);
        memset(r + n, 0, (size_t)(groups - n) * sizeof *r);
        x = r;
    }
    const cbm_tile_operand made[1] = { { (const char *)r, 1 } }, given[1] = { { (const char *)x, 1 } };
    if (j->p_norm == 0) {
        with_number(j, CBM_EXPR_NE, groups, r, x, 0);
        j->simd->cast[CBM_LANE_I32][CBM_LANE_F32](groups, r, made);
        return;
    }
    j->simd->tile[CBM_EXPR_ABS][CBM_LANE_F32](groups, r, given);
    with_number(j, CBM_EXPR_POW, groups, r, r, j->p_norm);
}

/* Each of `rows` rows of n <= CHUNK elements as a number. */
static void fold_rows(const job *j, float *r, const float *x, int64_t rows, int64_t step, int64_t n)
{
    float powers[CHUNK];
    if (!j->powers) {
        j->simd->fold_rows[j->fold](r, x, NULL, rows, step, n);
        return;
    }
    for (int64_t row = 0; row < rows; row++) {
        make_powers(j, powers, x + row * step, n);
        j->simd->fold_rows[j->fold](r + row, powers, NULL, 1, n, n);
    }
}

/* The same rows as one number, with `total`. */
static double merged(const job *j, double total, const float *x, int64_t rows, int64_t step, int64_t n)
{
    float r[SCALARS];
    for (int64_t row = 0; row < rows; row += SCALARS) {
        const int64_t now = rows - row < SCALARS ? rows - row : SCALARS;
        fold_rows(j, r, x + row * step, now, step, n);
        for (int64_t k = 0; k < now; k++)
            total = j->joining->merge(total, (double)r[k]);
    }
    return total;
}

/* Columns of rows joined with what r holds, n of them. */
static void fold_columns(const job *j, float *r, const float *x, int64_t rows, int64_t step, int64_t n)
{
    float powers[CHUNK];
    if (!j->powers) {
        j->simd->fold_columns[j->fold](r, x, NULL, rows, step, n);
        return;
    }
    for (int64_t row = 0; row < rows; row++)
        for (int64_t k = 0; k < n; k += CHUNK) {
            const int64_t now = n - k < CHUNK ? n - k : CHUNK;
            make_powers(j, powers, x + row * step + k, now);
            j->simd->fold_columns[j->fold](r + k, powers, NULL, 1, now, now);
        }
}

static void fill(float *r, double value, int64_t n)
{
    for (int64_t k = 0; k < n; k++)
        r[k] = (float)value;
}

/* n results from what was joined, which lies in r with room for whole groups. */
static void finish(const job *j, float *r, int64_t result, int64_t n)
{
    const int64_t groups = whole_groups(n);
    const cbm_tile_operand o[1] = { { (const char *)r, 1 } };
    fill(r + n, 1, groups - n);
    if (j->divisor != 1)
        with_number(j, CBM_EXPR_DIV, groups, r, r, j->divisor);
    if (j->p_norm == 2)
        j->simd->tile[CBM_EXPR_SQRT][CBM_LANE_F32](groups, r, o);
    else if (j->powers && j->p_norm != 0)
        with_number(j, CBM_EXPR_POW, groups, r, r, 1 / j->p_norm);
    memcpy(j->y + result, r, (size_t)n * sizeof *r);
}

/* ---- units ---- */

/* A strip of a row cell. */
static void run_strip(const job *j, cbm_runs *runs)
{
    const plan *p = j->p;
    float own[STRIP], few[STRIP];
    float *r = p->cut.parts > 1 ? (float *)j->partial + runs->part * p->cut.results + runs->result : own;
    fill(r, j->joining->start, runs->n);
    while (cbm_next_run(runs))
        for (int64_t row = 0; row < runs->rows; row += ROWS) {
            const int64_t now = runs->rows - row < ROWS ? runs->rows - row : ROWS;
            const float *x = j->x + runs->offset + row * runs->step;
            if (now < ROWS) {
                fold_columns(j, r, x, now, runs->step, runs->n);
                continue;
            }
            fill(few, j->joining->start, runs->n);
            fold_columns(j, few, x, now, runs->step, runs->n);
            j->simd->fold_columns[j->joining->plain](r, few, NULL, 1, 0, runs->n);
        }
    if (p->cut.parts == 1)
        finish(j, r, runs->result, runs->n);
}

/* A part of a scalar cell. */
static double run_scalar(const job *j, cbm_runs *runs)
{
    double total = j->joining->start;
    while (cbm_next_run(runs)) {
        const int64_t whole = runs->n > CHUNK ? runs->n / CHUNK * CHUNK : 0;
        for (int64_t row = 0; row < runs->rows && whole > 0; row++)
            total = merged(j, total, j->x + runs->offset + row * runs->step, whole / CHUNK, CHUNK, CHUNK);
        if (whole < runs->n)
            total = merged(j, total, j->x + runs->offset + whole, runs->rows, runs->step, runs->n - whole);
    }
    return total;
}

static void run_units(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const plan *p = j->p;
    const bool short_rows = p->r.terms == 1 && p->r.length <= CHUNK;
    float r[SCALARS];
    for (int64_t unit = begin; unit < end; unit++) {
        cbm_runs runs = cbm_runs_of(&p->r, &p->cut, unit);
        if (p->r.row) {
            run_strip(j, &runs);
        } else if (p->cut.parts > 1) {
            ((double *)j->partial)[runs.part * p->cut.results + runs.result] = run_scalar(j, &runs);
        } else { /* several cells, one after the other */
            const int64_t now = end - unit < SCALARS ? end - unit : SCALARS;
            if (short_rows)
                fold_rows(j, r, j->x + unit * p->r.length, now, p->r.length, p->r.length);
            for (int64_t k = 0; k < now && !short_rows; k++) {
                runs = cbm_runs_of(&p->r, &p->cut, unit + k);
                r[k] = (float)run_scalar(j, &runs);
            }
            finish(j, r, unit, now);
            unit += now - 1;
        }
    }
}

/* Results from their parts, results [begin, end). */
static void join_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_cut *cut = &j->p->cut;
    float r[STRIP];
    for (int64_t k = begin; k < end; k += STRIP) {
        const int64_t n = end - k < STRIP ? end - k : STRIP;
        fill(r, j->joining->start, n);
        if (j->p->r.row)
            j->simd->fold_columns[j->joining->plain](r, (const float *)j->partial + k, NULL, cut->parts, cut->results,
                                                     n);
        for (int64_t i = 0; i < n && !j->p->r.row; i++) {
            double total = j->joining->start;
            for (int64_t part = 0; part < cut->parts; part++)
                total = j->joining->merge(total, ((const double *)j->partial)[part * cut->results + k + i]);
            r[i] = (float)total;
        }
        finish(j, r, k, n);
    }
}

/* ---- kernels ---- */

/* x is (N, C, ...) in a layout other than the plain one, reduced over all axes, all from 2 on, or those and 0: the axes as
   they lie in memory. */
static cbm_buffer as_it_lies(const cbm_buffer *x, cbm_shape *axes)
{
    const int64_t lanes = x->layout == CBM_LAYOUT_BLOCKED_16 ? 16 : x->layout == CBM_LAYOUT_BLOCKED_8 ? 8 : x->shape[1];
    const bool everything = cbm_is_reduced(axes, 1), samples = cbm_is_reduced(axes, 0);
    cbm_buffer b = { .count = x->count,
                     .rank = 4,
                     .shape = { x->shape[0], lanes > 0 ? x->shape[1] / lanes : 0, 1, lanes } };
    for (int64_t d = 2; d < x->rank; d++)
        b.shape[2] *= x->shape[d];
    *axes = everything ? CBM_SHAPE(0, 1, 2, 3) : samples ? CBM_SHAPE(0, 2) : CBM_SHAPE(2);
    return b;
}

static cbm_status prepare(cbm_prepare *prepare)
{
    const cbm_buffer *x = &prepare->launch->in[0];
    cbm_shape axes = ((const cbm_reduce_attributes *)prepare->launch->attributes)->axes;
    plan *p = calloc(1, sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    const cbm_buffer lies = x->layout == CBM_LAYOUT_PLAIN ? *x : as_it_lies(x, &axes);
    cbm_reduction_make(&lies, &axes, &p->r);
    p->cut = cbm_reduction_cut(&p->r, PART, STRIP);
    if (p->cut.parts > 1)
        prepare->workspace = (size_t)(p->cut.parts * p->cut.results) * (p->r.row ? sizeof(float) : sizeof(double));
    prepare->state = p;
    return CBM_OK;
}

static cbm_status reduce(const cbm_launch *l, job j)
{
    const plan *p = j.p = l->state;
    const int64_t count = l->in[0].count, results = l->out[0].count;
    j.simd = cbm_simd_get();
    j.x = l->in[0].data;
    j.y = l->out[0].data;
    j.partial = l->workspace;
    if (count == 0) {
        fill(l->out[0].data, j.divisor == 1 ? j.joining->start : (double)NAN, results);
        return CBM_OK;
    }
    cbm_parallel_for(p->cut.units, cbm_grain((j.powers ? 4 : 1) * count / p->cut.units), l->threads, run_units, &j);
    if (p->cut.parts > 1)
        cbm_parallel_for(results, cbm_grain(p->cut.parts), l->threads, join_parts, &j);
    return CBM_OK;
}

static cbm_status sum(const cbm_launch *l)
{
    return reduce(l, (job){ .joining = &sums, .fold = CBM_FOLD_SUM, .divisor = 1 });
}
static cbm_status mean(const cbm_launch *l)
{
    const plan *p = l->state;
    return reduce(l, (job){ .joining = &sums, .fold = CBM_FOLD_SUM, .divisor = (double)p->r.members });
}
static cbm_status prod(const cbm_launch *l)
{
    return reduce(l, (job){ .joining = &products, .fold = CBM_FOLD_PRODUCT, .divisor = 1 });
}
static cbm_status max(const cbm_launch *l)
{
    return reduce(l, (job){ .joining = &greatest, .fold = CBM_FOLD_MAX, .divisor = 1 });
}
static cbm_status min(const cbm_launch *l)
{
    return reduce(l, (job){ .joining = &least, .fold = CBM_FOLD_MIN, .divisor = 1 });
}

static cbm_status norm(const cbm_launch *l)
{
    const double p = ((const cbm_norm_attributes *)l->attributes)->p;
    const job of_infinity = { .joining = p > 0 ? &greatest : &least,
                              .fold = p > 0 ? CBM_FOLD_MAX_ABS : CBM_FOLD_MIN_ABS,
                              .divisor = 1 };
    const job of_1 = { .joining = &sums, .fold = CBM_FOLD_SUM_ABS, .divisor = 1 };
    const job of_2 = { .joining = &sums, .fold = CBM_FOLD_SUM_SQUARE, .divisor = 1, .p_norm = 2 };
    const job of_p = { .joining = &sums, .fold = CBM_FOLD_SUM, .divisor = 1, .p_norm = p, .powers = true };
    return reduce(l, isinf(p) ? of_infinity : p == 1 ? of_1 : p == 2 ? of_2 : of_p);
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
