/* fused_sums.c: sums that a fused pass makes of its values while it has them: over all elements, over the rows of a matrix, of
   each channel. The pass is cut into parts that are added up by themselves (few columns tile by tile in f64, others in f32 over
   some hundred rows) and joined at the end in f64; the cut depends on shapes only, so a sum repeats bit for bit whatever the
   threads. */
#include "backend/cpu/fused.h"

#include <string.h>

enum {
    PART = 16384,        /* elements of a part at least */
    ROWS_OF_PART = 512,  /* rows added up in f32 at most, where parts are not too many */
    ROWS_LEAST = 8,      /* so that the parts' sums take a fraction of what they are made from */
    PARTS_OF_WHOLE = 16, /* so many at least, if they are large enough */
    NARROW = 64,         /* columns that are added up in f64 */
    JOIN = 1024          /* results that are joined together */
};

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t parts_of(const cbm_pass *p)
{
    return (p->count + p->part - 1) / p->part;
}

static bool is_narrow(const cbm_pass_sum *sum)
{
    return sum->columns < NARROW;
}

size_t cbm_pass_cut(cbm_pass *p, const cbm_fused_launch *shapes)
{
    size_t bytes = 0;
    for (size_t o = 0; o < p->n_out; o++) {
        const cbm_fused_output *made = &shapes->fused->outputs[o];
        if (!made->rows)
            continue;
        const int64_t results = shapes->out[o].count;
        p->sums[o] = (cbm_pass_sum){ .results = results,
                                     .columns = results / made->blocks,
                                     .run = made->run,
                                     .blocks = made->blocks,
                                     .factor = made->factor };
        int64_t part = is_narrow(&p->sums[o]) ? PART : smaller(ROWS_OF_PART * results, p->count / PARTS_OF_WHOLE);
        part = larger(larger(part, PART), results == 1 ? 0 : ROWS_LEAST * results);
        p->part = larger(p->part, (part + CBM_PASS_TILE - 1) / CBM_PASS_TILE * CBM_PASS_TILE);
    }
    for (size_t o = 0; o < p->n_out; o++) {
        const cbm_pass_sum *sum = &p->sums[o];
        p->sums[o].offset = bytes;
        if (sum->results)
            bytes += ((size_t)(parts_of(p) * sum->results) * (is_narrow(sum) ? sizeof(double) : sizeof(float)) + 63) /
                     64 * 64;
    }
    return bytes;
}

static float *floats_of(const cbm_pass_sum *sum, const cbm_fused_launch *l, int64_t part)
{
    return (float *)(void *)((char *)l->workspace + sum->offset) + part * sum->results;
}

static double *doubles_of(const cbm_pass_sum *sum, const cbm_fused_launch *l, int64_t part)
{
    return (double *)(void *)((char *)l->workspace + sum->offset) + part * sum->results;
}

/* ---- a tile ---- */

/* n elements of one block from column `at` on; x is one number where equal. */
static void add_floats(const cbm_pass_sum *sum, const cbm_simd *simd, float *row, const float *x, bool equal,
                       int64_t at, int64_t n)
{
    for (int64_t i = 0; i < n; at = 0) {
        const int64_t now = smaller(sum->columns - at, n - i);
        for (int64_t k = 0; equal && k < now; k++)
            row[at + k] += *x;
        if (!equal)
            simd->add(row + at, x + i, now);
        i += now;
    }
}

/* Whole rows of a tile, in f32 among themselves. */
static void add_rows(const cbm_pass_sum *sum, const cbm_simd *simd, double *row, const float *x, int64_t rows)
{
    float strip[NARROW] = { 0 };
    simd->fold_columns[CBM_FOLD_SUM](strip, x, NULL, rows, sum->columns, sum->columns);
    for (int64_t k = 0; k < sum->columns; k++)
        row[k] += (double)strip[k];
}

static void add_doubles(const cbm_pass_sum *sum, const cbm_simd *simd, double *row, const float *x, bool equal,
                        int64_t at, int64_t n)
{
    int64_t i = 0;
    for (; i < n && (equal || at > 0); i++, at = (at + 1) % sum->columns)
        row[at] += (double)x[equal ? 0 : i];
    const int64_t rows = (n - i) / sum->columns;
    if (sum->columns == 1 && rows > 0)
        *row += simd->sum(x + i, rows);
    else if (rows > 0)
        add_rows(sum, simd, row, x + i, rows);
    for (i += rows * sum->columns; i < n; i++, at++)
        row[at] += (double)x[i];
}

void cbm_pass_add(const cbm_fused_launch *l, int32_t output, const char *value, bool equal, int64_t first, int64_t n)
{
    const cbm_pass *p = l->state;
    const cbm_pass_sum *sum = &p->sums[output];
    const float *x = (const float *)(const void *)value;
    const int64_t part = first / p->part;
    float *floats = floats_of(sum, l, part);
    double *doubles = doubles_of(sum, l, part);
    if (first % p->part == 0)
        memset(is_narrow(sum) ? (void *)doubles : floats, 0,
               (size_t)sum->results * (is_narrow(sum) ? sizeof *doubles : sizeof *floats));
    int64_t block = first / sum->run % sum->blocks, at = first % sum->run;
    for (int64_t i = 0; i < n; at = 0, block = (block + 1) % sum->blocks) {
        const int64_t now = smaller(sum->run - at, n - i), column = at % sum->columns;
        const float *from = equal ? x : x + i;
        if (is_narrow(sum))
            add_doubles(sum, p->simd, doubles + block * sum->columns, from, equal, column, now);
        else
            add_floats(sum, p->simd, floats + block * sum->columns, from, equal, column, now);
        i += now;
    }
}

/* ---- the parts' sums ---- */

typedef struct joining {
    const cbm_fused_launch *launch;
    const cbm_pass_sum *sum;
    float *to;
} joining;

static void join_results(void *user, int64_t begin, int64_t end)
{
    const joining *j = user;
    const int64_t parts = parts_of(j->launch->state);
    for (int64_t from = begin; from < end; from += JOIN) {
        double totals[JOIN] = { 0 };
        const int64_t n = smaller(end - from, JOIN);
        for (int64_t part = 0; part < parts; part++) {
            const float *floats = floats_of(j->sum, j->launch, part) + from;
            const double *doubles = doubles_of(j->sum, j->launch, part) + from;
            for (int64_t i = 0; i < n; i++)
                totals[i] += is_narrow(j->sum) ? doubles[i] : (double)floats[i];
        }
        for (int64_t i = 0; i < n; i++)
            j->to[from + i] = (float)(totals[i] * j->sum->factor);
    }
}

void cbm_pass_join(const cbm_fused_launch *l)
{
    const cbm_pass *p = l->state;
    for (size_t o = 0; o < p->n_out; o++) {
        joining j = { l, &p->sums[o], l->out[o].data };
        if (j.sum->results)
            cbm_parallel_for(j.sum->results, larger(JOIN, cbm_grain(parts_of(p))), l->threads, join_results, &j);
    }
}
