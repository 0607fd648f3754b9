/* folds.c: columns and rows folded, places of extremes, sums of whole numbers, and scans along lanes. Rests on check.h. */
#include "check.h"

/* Rows of n elements, `step` apart: n[0] rows, n[1] elements, n[2] step. */
void check_draw_rows(check_case *c, int64_t rows, int64_t n)
{
    c->n[0] = c->bench ? rows : check_int(c, 1, check_uniform(c) < 0.1 ? 600 : 40);
    c->n[1] = c->bench ? n : check_int(c, 1, check_uniform(c) < 0.2 ? 3000 : check_uniform(c) < 0.5 ? 17 : 150);
    c->n[2] = c->n[1] + (!c->bench && check_uniform(c) < 0.5 ? check_int(c, 0, 9) : 0);
    c->bytes = 4 * (double)c->n[0] * (double)c->n[1];
    snprintf(c->shape, sizeof c->shape, "%d rows of %d, step %d", (int)c->n[0], (int)c->n[1], (int)c->n[2]);
}
int64_t check_rows_count(const check_case *c)
{
    return (c->n[0] - 1) * c->n[2] + c->n[1];
}
/* Some of n numbers become what is seldom there. */
void check_odd(check_case *c, float *x, int64_t n, double share)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 0 };
    for (int64_t k = 0; k < n && !c->bench; k++)
        x[k] = check_uniform(c) < share ? odd[check_int(c, 0, 3)] : x[k];
}

/* ---- folds: variant which, and whether along the rows ---- */

static const char *const fold_names[CBM_FOLDS] = {
    "sum",           "product", "maximum", "minimum", "sum of magnitudes", "greatest magnitude", "least magnitude",
    "sum of squares"
};

static double fold_start(int fold)
{
    return fold == CBM_FOLD_PRODUCT                           ? 1
           : fold == CBM_FOLD_MAX                             ? -INFINITY
           : fold == CBM_FOLD_MIN || fold == CBM_FOLD_MIN_ABS ? INFINITY
                                                              : 0;
}

static void make_fold(check_case *c)
{
    const int fold = c->kernel->variant[0];
    const bool product = fold == CBM_FOLD_PRODUCT, along = c->kernel->variant[1];
    check_draw_rows(c, along ? 64 : 32, along ? 64 : 512);
    const int64_t results = along ? c->n[0] : c->n[1], terms = along ? c->n[1] : c->n[0];
    float *x = check_floats(c, 0, check_rows_count(c), product ? 0.995 : -8, product ? 1.005 : 8);
    check_odd(c, x, check_rows_count(c), 0.0005);
    c->n[3] = fold == CBM_FOLD_SUM_SQUARE && check_uniform(c) < 0.5; /* about a number of each */
    if (c->n[3])
        check_floats(c, 1, results, -2, 2);
    const bool exact =
        fold == CBM_FOLD_MAX || fold == CBM_FOLD_MIN || fold == CBM_FOLD_MAX_ABS || fold == CBM_FOLD_MIN_ABS;
    check_out(c, 0, CBM_F32, results, product ? 1e-4 : exact ? 0 : 4e-6, exact || product ? 0 : 1e-5 * (double)terms);
    float *start = check_start(c, 0);
    for (int64_t k = 0; k < results; k++)
        start[k] = along ? 77 : product ? 1.25f : (float)check_int(c, -3, 3);
}
static void reference_fold(check_case *c)
{
    const int fold = c->kernel->variant[0];
    const bool along = c->kernel->variant[1];
    const float *x = c->in[0].data, *about = c->n[3] ? c->in[1].data : NULL;
    float *r = c->out[0].data;
    for (int64_t k = 0; k < (along ? c->n[0] : c->n[1]); k++) {
        double total = along ? fold_start(fold) : (double)r[k];
        for (int64_t i = 0; i < (along ? c->n[1] : c->n[0]); i++) {
            double v = (double)x[along ? k * c->n[2] + i : i * c->n[2] + k] - (about ? (double)about[k] : 0);
            v = fold == CBM_FOLD_SUM_SQUARE                                                        ? v * v
                : fold == CBM_FOLD_SUM_ABS || fold == CBM_FOLD_MAX_ABS || fold == CBM_FOLD_MIN_ABS ? fabs(v)
                                                                                                   : v;
            if (fold == CBM_FOLD_PRODUCT)
                total *= v;
            else if (fold == CBM_FOLD_MAX || fold == CBM_FOLD_MAX_ABS)
                total = isnan(v) || v > total ? v : total;
            else if (fold == CBM_FOLD_MIN || fold == CBM_FOLD_MIN_ABS)
                total = isnan(v) || v < total ? v : total;
            else
                total += v;
        }
        r[k] = (float)total;
    }
}
static void run_fold(const cbm_simd *s, check_case *c)
{
    const cbm_fold_fn *folds = c->kernel->variant[1] ? s->fold_rows : s->fold_columns;
    folds[c->kernel->variant[0]](c->out[0].data, c->in[0].data, c->n[3] ? c->in[1].data : NULL, c->n[0], c->n[2],
                                 c->n[1]);
}

/* ---- places: variant greatest or least of columns, or a search along rows ---- */

enum { MAX_AT, MIN_AT, FIND };

static void make_place(check_case *c)
{
    const bool search = c->kernel->variant[0] == FIND;
    check_draw_rows(c, search ? 64 : 32, search ? 64 : 512);
    const int64_t n = search ? c->n[0] : c->n[1], count = check_rows_count(c);
    float *x = check_floats(c, 0, count, -20, 20);
    for (int64_t k = 0; k < count; k++)
        x[k] = floorf(x[k]);
    check_odd(c, x, count, 0.001);
    if (search) {
        float *wanted = check_in(c, 1, CBM_F32, n);
        for (int64_t k = 0; k < n; k++) { /* as folding the row would give it */
            wanted[k] = x[k * c->n[2] + check_int(c, 0, c->n[1] - 1)];
            for (int64_t i = 0; i < c->n[1]; i++)
                wanted[k] = isnan(x[k * c->n[2] + i]) ? NAN : wanted[k];
        }
        check_out(c, 0, CBM_I64, n, 0, 0);
        return;
    }
    check_out(c, 0, CBM_F32, n, 0, 0);
    check_out(c, 1, CBM_I32, n, 0, 0);
    float *best = check_start(c, 0);
    int32_t *at = check_start(c, 1);
    for (int64_t k = 0; k < n; k++) {
        best[k] = check_uniform(c) < 0.01 ? NAN : (float)check_int(c, -20, 20);
        at[k] = (int32_t)k;
    }
}
static void reference_place(check_case *c)
{
    const float *x = c->in[0].data;
    float *best = c->out[0].data;
    const bool greatest = c->kernel->variant[0] == MAX_AT;
    for (int64_t row = 0; row < c->n[0]; row++)
        for (int64_t k = 0; k < c->n[1]; k++) {
            const float v = x[row * c->n[2] + k];
            if (c->kernel->variant[0] == FIND) {
                const float w = ((const float *)c->in[1].data)[row];
                int64_t *at = (int64_t *)c->out[0].data + row;
                *at = k == 0 ? -1 : *at;
                *at = *at < 0 && (v == w || isnan(v)) ? k : *at;
            } else if ((greatest ? v > best[k] : v < best[k]) || (isnan(v) && !isnan(best[k]))) {
                best[k] = v;
                ((int32_t *)c->out[1].data)[k] = 77 + (int32_t)row;
            }
        }
}
static void run_place(const cbm_simd *s, check_case *c)
{
    if (c->kernel->variant[0] == FIND)
        s->find(c->out[0].data, c->in[0].data, c->in[1].data, c->n[0], c->n[2], c->n[1]);
    else
        (c->kernel->variant[0] == MAX_AT ? s->max_at : s->min_at)(c->out[0].data, c->out[1].data, c->in[0].data, 77,
                                                                  c->n[0], c->n[2], c->n[1]);
}

/* ---- whole numbers: variant dtype, and whether rows are added ---- */

static void make_whole(check_case *c)
{
    const cbm_dtype dtype = (cbm_dtype)c->kernel->variant[0];
    const int64_t n = c->n[0] = c->bench ? 4096 : check_int(c, 0, 5000);
    char *x = check_in(c, 0, dtype, n);
    for (size_t i = 0; i < (size_t)n * cbm_dtype_size(dtype); i++)
        x[i] = (char)(check_uniform(c) < 0.3 ? 0 : check_int(c, 0, 255));
    check_out(c, 0, CBM_I64, c->kernel->variant[1] ? n : 1, 0, 0);
    if (c->kernel->variant[1])
        memset(check_start(c, 0), 0x17, (size_t)n * 8);
    c->bytes = (double)n * (double)(cbm_dtype_size(dtype) + (c->kernel->variant[1] ? 16 : 0));
    snprintf(c->shape, sizeof c->shape, "%d", (int)n);
}
static uint64_t whole_at(const check_array *a, int64_t k)
{
    switch (a->dtype) {
    case CBM_I64: return (uint64_t)((const int64_t *)a->data)[k];
    case CBM_I32: return (uint64_t)(int64_t)((const int32_t *)a->data)[k];
    case CBM_BOOL: return ((const uint8_t *)a->data)[k] != 0;
    default: return ((const uint8_t *)a->data)[k];
    }
}
static void reference_whole(check_case *c)
{
    uint64_t *r = c->out[0].data, total = 0;
    for (int64_t k = 0; k < c->n[0]; k++) {
        total += whole_at(&c->in[0], k);
        if (c->kernel->variant[1])
            r[k] += whole_at(&c->in[0], k);
    }
    if (!c->kernel->variant[1])
        r[0] = total;
}
static void run_whole(const cbm_simd *s, check_case *c)
{
    if (c->kernel->variant[1])
        s->add_whole(c->in[0].dtype, c->out[0].data, c->in[0].data, c->n[0]);
    else
        *(int64_t *)c->out[0].data = s->sum_whole(c->in[0].dtype, c->in[0].data, c->n[0]);
}

/* ---- scans: variant kind (then places of the greatest, of the least), and whether the lanes are rows ---- */

static void make_scan(check_case *c)
{
    const bool rows = c->kernel->variant[1], place = c->kernel->variant[0] >= CBM_SCAN_KINDS;
    c->n[0] = c->bench ? (rows ? 8 : 64) : check_int(c, 1, rows ? 20 : CBM_SCAN_LANES); /* lanes */
    c->n[1] = c->bench ? (rows ? 256 : 32) : check_int(c, 1, rows ? 300 : 40);          /* length */
    c->n[2] = !c->bench && check_uniform(c) < 0.5;                                      /* from the end */
    const int64_t n = c->n[0] * c->n[1];
    for (int i = 0; i < 2; i++) {
        float *x = check_floats(c, i, n, -1.5, 1.5);
        for (int64_t k = 0; k < n && place; k++)
            x[k] = !c->bench && check_uniform(c) < 0.005 ? NAN : floorf(8 * x[k]);
    }
    check_out(c, 0, place ? CBM_I64 : CBM_F32, n, 1e-6, 1e-12);
    c->bytes = (double)n * 8;
    snprintf(c->shape, sizeof c->shape, "%d lanes of %d%s", (int)c->n[0], (int)c->n[1], c->n[2] ? ", back" : "");
}
static cbm_scan scan_of(check_case *c, int64_t *begin)
{
    const bool rows = c->kernel->variant[1];
    const int64_t step = rows ? 1 : c->n[0];
    *begin = c->n[2] ? (c->n[1] - 1) * step : 0;
    return (cbm_scan){ .x = (const float *)c->in[0].data + *begin,
                       .a = (const float *)c->in[1].data + *begin,
                       .length = c->n[1],
                       .step = c->n[2] ? -step : step,
                       .lanes = c->n[0],
                       .apart = rows ? c->n[1] : 1 };
}
static void reference_scan(check_case *c)
{
    int64_t begin;
    const cbm_scan s = scan_of(c, &begin);
    const int kind = c->kernel->variant[0];
    for (int64_t lane = 0; lane < s.lanes; lane++) {
        double state = kind == CBM_SCAN_PRODUCT ? 1 : 0;
        int64_t best = 0;
        for (int64_t i = 0; i < s.length; i++) {
            const int64_t at = lane * s.apart + i * s.step;
            const float x = s.x[at], top = s.x[lane * s.apart + best * s.step];
            best = isnan(x) || (kind == CBM_SCAN_KINDS ? x >= top : x <= top) ? i : best;
            state = kind == CBM_SCAN_SUM       ? state + (double)x
                    : kind == CBM_SCAN_PRODUCT ? state * (double)x
                                               : (i > 0 ? (double)s.a[at] * state : 0) + (double)x;
            if (kind < CBM_SCAN_KINDS)
                ((float *)c->out[0].data)[begin + at] = (float)state;
            else
                ((int64_t *)c->out[0].data)[begin + at] = s.step > 0 ? best : s.length - 1 - best;
        }
    }
}
static void run_scan(const cbm_simd *simd, check_case *c)
{
    int64_t begin;
    cbm_scan s = scan_of(c, &begin);
    if (c->kernel->variant[0] >= CBM_SCAN_KINDS) {
        simd->scan_place((int64_t *)c->out[0].data + begin, &s, c->kernel->variant[0] == CBM_SCAN_KINDS);
        return;
    }
    s.y = (float *)c->out[0].data + begin;
    simd->scan[c->kernel->variant[0]](&s);
}

/* Logarithms: lanes side by side, in two goes. */

static void make_log_scan(check_case *c)
{
    c->n[0] = c->bench ? 64 : check_int(c, 1, check_uniform(c) < 0.1 ? CBM_SCAN_LANES : 40); /* lanes */
    c->n[1] = c->bench ? 32 : check_int(c, 1, 60);
    c->n[2] = check_int(c, 0, c->n[1]); /* of the first go */
    float *x = check_floats(c, 0, c->n[0] * c->n[1], -20, 20);
    check_odd(c, x, c->n[0] * c->n[1], 0.01);
    check_out(c, 0, CBM_F32, c->n[0] * c->n[1], 3e-7, 3e-7);
    c->bytes = 8 * (double)c->n[0] * (double)c->n[1];
    snprintf(c->shape, sizeof c->shape, "%d lanes of %d", (int)c->n[0], (int)c->n[1]);
}
static void reference_log_scan(check_case *c)
{
    const float *x = c->in[0].data;
    for (int64_t k = 0; k < c->n[0]; k++) {
        double top = -INFINITY, sum = 0;
        for (int64_t i = 0; i < c->n[1]; i++) {
            const double v = (double)x[i * c->n[0] + k], now = isnan(v) || v > top ? v : top;
            sum = top == -INFINITY ? 0 : sum * exp(top - now);
            sum += v == -INFINITY ? 0 : exp(v - now);
            top = now;
            ((float *)c->out[0].data)[i * c->n[0] + k] = (float)(isinf(top) ? top : top + log(sum));
        }
    }
}
static void run_log_scan(const cbm_simd *s, check_case *c)
{
    static float top[CBM_SCAN_LANES];
    static double sum[CBM_SCAN_LANES];
    cbm_scan scan = {
        .x = c->in[0].data, .y = c->out[0].data, .length = c->n[2], .step = c->n[0], .lanes = c->n[0], .apart = 1
    };
    s->log_scan(&scan, top, sum, true);
    scan.x += c->n[2] * c->n[0];
    scan.y += c->n[2] * c->n[0];
    scan.length = c->n[1] - c->n[2];
    s->log_scan(&scan, top, sum, c->n[2] == 0);
}

void check_folds(void)
{
    static const cbm_dtype dtypes[] = { CBM_I64, CBM_I32, CBM_U8, CBM_BOOL };
    static const char *const scans[] = { "sum", "product", "recurrence", "greatest", "least" };
    for (int i = 0; i < 2 * CBM_FOLDS; i++) {
        check_kernel k = { .make = make_fold, .reference = reference_fold, .run = run_fold };
        k.variant[0] = i / 2;
        k.variant[1] = i % 2;
        snprintf(k.name, sizeof k.name, "%s of %s", fold_names[i / 2], i % 2 ? "rows" : "columns");
        check_add(k);
    }
    for (int i = 0; i <= FIND; i++) {
        static const char *const names[] = { "greatest, place", "least, place", "find" };
        check_kernel k = { .make = make_place, .reference = reference_place, .run = run_place };
        k.variant[0] = i;
        snprintf(k.name, sizeof k.name, "%s", names[i]);
        check_add(k);
    }
    for (int i = 0; i < 8; i++) {
        check_kernel k = { .make = make_whole, .reference = reference_whole, .run = run_whole };
        k.variant[0] = (int)dtypes[i / 2];
        k.variant[1] = i % 2;
        snprintf(k.name, sizeof k.name, "%s %s", i % 2 ? "add" : "sum of", cbm_dtype_name(dtypes[i / 2]));
        check_add(k);
    }
    for (int i = 0; i < 10; i++) {
        check_kernel k = { .make = make_scan, .reference = reference_scan, .run = run_scan };
        k.variant[0] = i / 2;
        k.variant[1] = i % 2;
        snprintf(k.name, sizeof k.name, "scan %s, %s", scans[i / 2], i % 2 ? "rows" : "columns");
        check_add(k);
    }
    const check_kernel k = {
        .name = "scan logarithm", .make = make_log_scan, .reference = reference_log_scan, .run = run_log_scan
    };
    check_add(k);
}
