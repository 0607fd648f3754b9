/* fused_sums.c: sums that a fused pass makes of its values while it has them: over all elements, or over all rows of a matrix.
   The pass is cut into parts that are added up by themselves, in f32 over at most some hundred rows and then in f64, and
   joined at the end; the cut depends on shapes only, so a sum repeats bit for bit whatever the threads. */
#include "backend/cpu/fused.h"

#include <string.h>

enum {
    PART = 16384,        /* elements of a part at least */
    ROWS_OF_PART = 512,  /* rows added up in f32 at most, where parts are not too many */
    ROWS_LEAST = 8,      /* so that the parts' sums take a fraction of what they are made from */
    PARTS_OF_WHOLE = 16, /* so many at least, if they are large enough */
    JOIN = 1024          /* columns that are joined together */
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

size_t cbm_pass_cut(cbm_pass *p, const cbm_fused_launch *shapes)
{
    size_t bytes = 0;
    for (size_t o = 0; o < p->n_out; o++) {
        const cbm_fused_output *made = &shapes->fused->outputs[o];
        p->sums[o] = (cbm_pass_sum){ .columns = made->rows ? shapes->out[o].count : 0, .factor = made->factor };
        if (!made->rows)
            continue;
        const int64_t columns = p->sums[o].columns;
        int64_t part = columns == 1 ? PART : smaller(ROWS_OF_PART * columns, p->count / PARTS_OF_WHOLE);
        part = larger(larger(part, PART), columns == 1 ? 0 : ROWS_LEAST * columns);
        p->part = larger(p->part, (part + CBM_PASS_TILE - 1) / CBM_PASS_TILE * CBM_PASS_TILE);
    }
    for (size_t o = 0; o < p->n_out; o++) {
        const int64_t columns = p->sums[o].columns;
        p->sums[o].offset = bytes;
        if (columns)
            bytes += ((size_t)(parts_of(p) * columns) * (columns == 1 ? sizeof(double) : sizeof(float)) + 63) / 64 * 64;
    }
    return bytes;
}

static float *row_of(const cbm_pass_sum *sum, const cbm_fused_launch *l, int64_t part)
{
    return (float *)(void *)((char *)l->workspace + sum->offset) + part * sum->columns;
}

static double *total_of(const cbm_pass_sum *sum, const cbm_fused_launch *l, int64_t part)
{
    return (double *)(void *)((char *)l->workspace + sum->offset) + part;
}

void cbm_pass_add(const cbm_fused_launch *l, int32_t output, const char *value, bool equal, int64_t first, int64_t n)
{
    const cbm_pass *p = l->state;
    const cbm_pass_sum *sum = &p->sums[output];
    const float *x = (const float *)(const void *)value;
    const int64_t part = first / p->part;
    const bool begins = first % p->part == 0;
    if (sum->columns == 1) {
        double *total = total_of(sum, l, part);
        *total = (begins ? 0 : *total) + (equal ? (double)*x * (double)n : p->simd->sum(x, n));
        return;
    }
    float *row = row_of(sum, l, part);
    if (begins)
        memset(row, 0, (size_t)sum->columns * sizeof *row);
    for (int64_t i = 0, at = first % sum->columns; i < n; at = 0) {
        const int64_t now = smaller(sum->columns - at, n - i);
        for (int64_t k = 0; equal && k < now; k++)
            row[at + k] += *x;
        if (!equal)
            p->simd->add(row + at, x + i, now);
        i += now;
    }
}

/* ---- the parts' sums ---- */

typedef struct joining {
    const cbm_fused_launch *launch;
    const cbm_pass_sum *sum;
    float *to;
} joining;

static void join_columns(void *user, int64_t begin, int64_t end)
{
    const joining *j = user;
    const int64_t parts = parts_of(j->launch->state);
    for (int64_t from = begin; from < end; from += JOIN) {
        double totals[JOIN] = { 0 };
        const int64_t n = smaller(end - from, JOIN);
        for (int64_t part = 0; part < parts; part++) {
            const float *row = row_of(j->sum, j->launch, part) + from;
            for (int64_t i = 0; i < n; i++)
                totals[i] += (double)row[i];
        }
        for (int64_t i = 0; i < n; i++)
            j->to[from + i] = (float)(totals[i] * j->sum->factor);
    }
}

void cbm_pass_join(const cbm_fused_launch *l)
{
    const cbm_pass *p = l->state;
    for (size_t o = 0; o < p->n_out; o++) {
        const cbm_pass_sum *sum = &p->sums[o];
        float *to = l->out[o].data;
        if (sum->columns > 1) {
            joining j = { l, sum, to };
            cbm_parallel_for(sum->columns, larger(JOIN, cbm_grain(parts_of(p))), l->threads, join_columns, &j);
        } else if (sum->columns == 1) {
            double total = 0;
            for (int64_t part = 0; part < parts_of(p); part++)
                total += *total_of(sum, l, part);
            *to = (float)(total * sum->factor);
        }
    }
}
