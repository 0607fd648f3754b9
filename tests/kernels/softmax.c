/* softmax.c: softmax and sums of exponentials along rows and down columns, and mean and squares so. Rests on check.h. */
#include "check.h"

/* ---- exponentials: variant which, whether of the logarithm ---- */

enum { LOG_SUM_EXP, SOFTMAX_ROWS, EXP_COLUMNS, EXP_ROWS, EXP_JOIN, EXP_FINISH, SOFTMAX_LAST, SOFTMAX_COLUMNS };
static const char *const names[] = { "log-sum-exp",          "softmax of rows",      "exponentials, columns",
                                     "exponentials, rows",   "exponentials, joined", "exponentials, finished",
                                     "softmax, last factor", "softmax of columns" };

static bool of_columns(const check_case *c)
{
    return c->kernel->variant[0] == EXP_COLUMNS || c->kernel->variant[0] == SOFTMAX_COLUMNS;
}

static void make_exp(check_case *c)
{
    const int which = c->kernel->variant[0];
    check_draw_rows(c, of_columns(c) ? 32 : 64, of_columns(c) ? 512 : 64);
    if (which != EXP_COLUMNS && which != EXP_ROWS && which != SOFTMAX_COLUMNS)
        c->n[2] = c->n[1];
    const int64_t count = check_rows_count(c);
    float *x = check_floats(c, 0, count, -30, 30);
    if (which <= EXP_ROWS && which != LOG_SUM_EXP && which != SOFTMAX_ROWS)
        check_odd(c, x, count, 0.0005);
    if (which == EXP_ROWS && check_uniform(c) < 0.1) /* rows of nothing but -inf and sometimes another */
        for (int64_t k = 0; k < count; k++)
            x[k] = check_uniform(c) < 0.001 ? 1 : -INFINITY;
    for (int i = 1; i < 4; i++) /* (top, sum) of before or of others, and 1 / sum or log(sum) */
        check_floats(c, i, count, i == 1 ? -5 : i == 2 ? 1 : 0.5, i == 2 ? 9 : 5);
    if (which == LOG_SUM_EXP) {
        check_out(c, 0, CBM_F32, 1, 1e-6, 0);
    } else if (which == SOFTMAX_ROWS || which == SOFTMAX_COLUMNS) {
        check_out(c, 0, CBM_F32, count, 4e-6, c->kernel->variant[1] ? 1e-5 : 1e-30);
        float *start = check_start(c, 0);
        for (int64_t k = 0; k < count; k++)
            start[k] = 77;
    } else {
        const int64_t n = which == EXP_ROWS ? c->n[0] : c->n[1];
        check_out(c, 0, CBM_F32, n, which == EXP_FINISH || which == SOFTMAX_LAST ? 1e-6 : 0,
                  which == EXP_FINISH ? 1e-6 : 0);
        check_out(c, 1, CBM_F32, n, 4e-6, 0);
        for (int i = 0; i < 2; i++)
            memcpy(check_start(c, i), c->in[1 + i].data, (size_t)n * sizeof(float));
        for (int64_t k = 0; which == EXP_COLUMNS && k < n && check_uniform(c) < 0.9; k++) { /* some of nothing */
            ((float *)c->start[0].data)[k] = -INFINITY;
            ((float *)c->start[1].data)[k] = 0;
        }
    }
}

/* The greatest of n numbers, `step` apart, that of before among them, and the sum about it; +inf has no sum that counts. */
static void sums_of(const float *x, int64_t n, int64_t step, float *top, float *sum)
{
    double best = (double)*top, total = 0;
    for (int64_t i = 0; i < n; i++)
        best = isnan(x[i * step]) || (double)x[i * step] > best ? (double)x[i * step] : best;
    total = *sum > 0 ? (double)*sum * exp((double)*top - best) : 0;
    for (int64_t i = 0; i < n; i++)
        total += exp((double)x[i * step] - (isinf(best) ? 0 : best));
    *top = (float)best;
    *sum = (float)total;
}

/* What may come out either way: of NaN the greatest number or NaN, the sum NaN; of +inf any sum; of -inf next to nothing. */
static void settle(check_case *c, int64_t n)
{
    float *top = c->out[0].data, *sum = c->out[1].data;
    for (int64_t k = 0; k < n; k++) {
        if (isnan(sum[k]) && !(top[k] == INFINITY))
            top[k] = NAN;
        sum[k] = isinf(top[k]) ? 0 : isnan(top[k]) ? NAN : sum[k];
    }
}

static void reference_exp(check_case *c)
{
    const bool logarithm = c->kernel->variant[1];
    const float *x = c->in[0].data, *top = c->in[1].data, *last = c->in[3].data;
    float *r = c->out[0].data, *sum = c->out[1].data;
    const int64_t rows = c->n[0], n = c->n[1], step = c->n[2];
    switch (c->kernel->variant[0]) {
    case LOG_SUM_EXP:
    case SOFTMAX_ROWS:
        for (int64_t row = 0; row < rows; row++) {
            float t = -INFINITY, s = 0;
            sums_of(x + row * n, n, 1, &t, &s);
            if (c->kernel->variant[0] == LOG_SUM_EXP) {
                r[0] = row == 0 ? (float)((double)t + log((double)s)) : r[0];
                continue;
            }
            for (int64_t k = 0; k < n; k++)
                r[row * n + k] = (float)(logarithm ? (double)x[row * n + k] - (double)t - log((double)s)
                                                   : exp((double)x[row * n + k] - (double)t) / (double)s);
        }
        break;
    case EXP_COLUMNS:
        for (int64_t k = 0; k < n; k++)
            sums_of(x + k, rows, step, r + k, sum + k);
        settle(c, n);
        break;
    case EXP_ROWS:
        for (int64_t row = 0; row < rows; row++) {
            r[row] = -INFINITY;
            sum[row] = 0;
            sums_of(x + row * step, n, 1, r + row, sum + row);
        }
        settle(c, rows);
        break;
    case EXP_JOIN:
        for (int64_t k = 0; k < n; k++) {
            const double best = fmax((double)r[k], (double)x[k]);
            sum[k] = (float)((double)sum[k] * exp((double)r[k] - best) + (double)last[k] * exp((double)x[k] - best));
            r[k] = (float)best;
        }
        break;
    case EXP_FINISH:
        for (int64_t k = 0; k < n; k++)
            r[k] = (float)((double)top[k] + log((double)last[k]));
        break;
    case SOFTMAX_LAST:
        for (int64_t k = 0; k < n; k++)
            sum[k] = (float)(logarithm ? log((double)sum[k]) : 1 / (double)sum[k]);
        break;
    default:
        for (int64_t row = 0; row < rows; row++)
            for (int64_t k = 0; k < n; k++) {
                const double d = (double)x[row * step + k] - (double)top[k];
                r[row * step + k] = (float)(logarithm ? d - (double)last[k] : exp(d) * (double)last[k]);
            }
    }
}

static void run_exp(const cbm_simd *s, check_case *c)
{
    const bool logarithm = c->kernel->variant[1];
    const float *x = c->in[0].data, *top = c->in[1].data, *last = c->in[3].data;
    float *r = c->out[0].data, *sum = c->out[1].data;
    const int64_t rows = c->n[0], n = c->n[1], step = c->n[2];
    switch (c->kernel->variant[0]) {
    case LOG_SUM_EXP: r[0] = s->log_sum_exp(x, n); break;
    case SOFTMAX_ROWS: s->softmax_rows(r, x, rows, n, logarithm, false); break;
    case EXP_COLUMNS:
        s->exp_columns(r, sum, x, rows, step, n);
        settle(c, n);
        break;
    case EXP_ROWS:
        s->exp_rows(r, sum, x, rows, step, n);
        settle(c, rows);
        break;
    case EXP_JOIN: s->exp_join(r, sum, x, last, n); break;
    case EXP_FINISH: s->exp_finish(r, top, last, n); break;
    case SOFTMAX_LAST: s->softmax_last(sum, n, logarithm); break;
    default: s->softmax_columns(r, x, top, last, rows, step, n, logarithm, false); break;
    }
}

/* ---- mean and squares: variant of columns, of rows, what comes of them ---- */

enum { MOMENTS_COLUMNS, MOMENTS_ROWS, MOMENTS_FINISH };

static void make_moments(check_case *c)
{
    const int which = c->kernel->variant[0];
    check_draw_rows(c, which == MOMENTS_COLUMNS ? 32 : 64, which == MOMENTS_COLUMNS ? 512 : 64);
    const int64_t n = which == MOMENTS_ROWS ? c->n[0] : c->n[1], terms = which == MOMENTS_ROWS ? c->n[1] : c->n[0];
    c->n[3] = which == MOMENTS_COLUMNS ? check_int(c, 0, 3) * 50 : check_int(c, 0, 1); /* rows before; a root */
    check_floats(c, 0, check_rows_count(c), 90, 110);
    if (which == MOMENTS_FINISH) {
        for (int i = 1; i < 3; i++) {
            double *d = check_in(c, i, CBM_F64, n);
            for (int64_t k = 0; k < n; k++)
                d[k] = 10 * check_uniform(c);
        }
        for (int i = 0; i < 2; i++)
            check_out(c, i, CBM_F32, n, 2e-7, 0);
        return;
    }
    check_out(c, 0, CBM_F64, n, 1e-6, 0);
    check_out(c, 1, CBM_F64, n, 1e-5, 1e-8 * (double)terms * 100);
    for (int i = 0; i < 2; i++) {
        double *start = check_start(c, i);
        for (int64_t k = 0; k < n; k++)
            start[k] = i == 0 ? 95.5 : 20;
    }
}
static void reference_moments(check_case *c)
{
    const int which = c->kernel->variant[0];
    const float *x = c->in[0].data;
    double *mean = c->out[0].data, *squares = c->out[1].data;
    const bool rows = which == MOMENTS_ROWS;
    for (int64_t k = 0; k < (rows ? c->n[0] : c->n[1]); k++) {
        if (which == MOMENTS_FINISH) {
            const double v = ((const double *)c->in[2].data)[k] / 7;
            ((float *)c->out[0].data)[k] = (float)(c->n[3] ? sqrt(v) : v);
            ((float *)c->out[1].data)[k] = (float)((const double *)c->in[1].data)[k];
            continue;
        }
        const float *from = x + (rows ? k * c->n[2] : k);
        const int64_t terms = rows ? c->n[1] : c->n[0], step = rows ? 1 : c->n[2];
        const double before = rows ? 0 : (double)c->n[3], n = before + (double)terms;
        double sum = before > 0 ? before * mean[k] : 0;
        for (int64_t i = 0; i < terms; i++)
            sum += (double)from[i * step];
        const double now = sum / n;
        squares[k] = before > 0 ? squares[k] + before * (now - mean[k]) * (now - mean[k]) : 0;
        for (int64_t i = 0; i < terms; i++)
            squares[k] += ((double)from[i * step] - now) * ((double)from[i * step] - now);
        mean[k] = now;
    }
}
static void run_moments(const cbm_simd *s, check_case *c)
{
    switch (c->kernel->variant[0]) {
    case MOMENTS_COLUMNS:
        s->moments_columns(c->out[0].data, c->out[1].data, c->n[3], c->in[0].data, c->n[0], c->n[2], c->n[1]);
        break;
    case MOMENTS_ROWS: s->moments_rows(c->out[0].data, c->out[1].data, c->in[0].data, c->n[0], c->n[2], c->n[1]); break;
    default:
        s->moments_finish(c->out[0].data, c->out[1].data, c->in[1].data, c->in[2].data, 7, c->n[1], c->n[3] != 0);
        break;
    }
}

void check_softmax(void)
{
    static const char *const moments[] = { "moments of columns", "moments of rows", "moments, finished" };
    for (int i = 0; i <= SOFTMAX_COLUMNS; i++)
        for (int v = 0; v < (i == SOFTMAX_ROWS || i >= SOFTMAX_LAST ? 2 : 1); v++) {
            check_kernel k = { .make = make_exp, .reference = reference_exp, .run = run_exp };
            k.variant[0] = i;
            k.variant[1] = v;
            snprintf(k.name, sizeof k.name, "%s%s", names[i], v ? ", logarithm" : "");
            check_add(k);
        }
    for (int i = 0; i <= MOMENTS_FINISH; i++) {
        check_kernel k = { .make = make_moments, .reference = reference_moments, .run = run_moments };
        k.variant[0] = i;
        snprintf(k.name, sizeof k.name, "%s", moments[i]);
        check_add(k);
    }
}
