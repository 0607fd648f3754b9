/* folds.c: products, minima, sums of exponentials, sums of whole numbers, places, and scans along lanes. Rests on check.h. */
#include "check.h"

enum { PRODUCT, BOTTOM, BOTTOM_AT, MULTIPLY, LOWER, EXP_SUM, EXP_ADD, RAISE_AT, LOWER_AT };
static const char *const names[] = { "product", "bottom",  "place of the bottom", "multiply",    "lower",
                                     "exp sum", "exp add", "raise, place",        "lower, place" };

static bool follows(bool greatest, float x, float best)
{
    return (greatest ? x > best : x < best) || (isnan(x) && !isnan(best));
}

static void make_row(check_case *c)
{
    const int which = c->kernel->variant[0];
    const int64_t n = c->n[0] = c->bench ? 2048 : check_int(c, 1, 9000);
    const bool product = which == PRODUCT || which == MULTIPLY,
               joins = which == MULTIPLY || which == LOWER || which == EXP_ADD;
    float *x = check_floats(c, 0, n, product ? 0.995 : -20, product ? 1.005 : 20);
    if (which == EXP_ADD)
        check_floats(c, 1, n, -2, 2);
    for (int64_t k = 0; k < n && !product && which != EXP_SUM; k++) {
        x[k] = floorf(x[k]);
        x[k] = !c->bench && check_uniform(c) < 0.0002 ? NAN : x[k];
    }
    c->bytes = (double)n * 4 * (joins ? 3 : 1);
    if (which == BOTTOM_AT)
        check_out(c, 0, CBM_I64, 1, 0, 0);
    else if (which == EXP_SUM)
        check_out(c, 0, CBM_F64, 1, 1e-6, 0);
    else
        check_out(c, 0, CBM_F32, joins || which >= RAISE_AT ? n : 1, product ? 1e-4 : which == EXP_ADD ? 2e-6 : 0, 0);
    if (which >= RAISE_AT)
        check_out(c, 1, CBM_I32, n, 0, 0);
    for (int i = 0; i < (which >= RAISE_AT ? 2 : joins ? 1 : 0); i++) {
        void *r = check_start(c, i);
        for (int64_t k = 0; k < n; k++)
            if (i == 0)
                ((float *)r)[k] = !c->bench && check_uniform(c) < 0.01 ? NAN : floorf((float)(8 * check_uniform(c)));
            else
                ((int32_t *)r)[k] = (int32_t)k;
    }
    snprintf(c->shape, sizeof c->shape, "%d", (int)n);
}

static void reference_row(check_case *c)
{
    const float *x = c->in[0].data;
    float *r = c->out[0].data;
    double product = 1, sum = 0;
    int64_t at = 0;
    for (int64_t k = 0; k < c->n[0]; k++) {
        product *= (double)x[k];
        sum += exp((double)x[k] - 3);
        at = follows(false, x[k], x[at]) ? k : at;
        switch (c->kernel->variant[0]) {
        case MULTIPLY: r[k] *= x[k]; break;
        case EXP_ADD: r[k] = (float)((double)r[k] + exp((double)(x[k] - ((const float *)c->in[1].data)[k]))); break;
        case LOWER: r[k] = isnan(r[k]) || r[k] < x[k] ? r[k] : x[k]; break;
        case RAISE_AT:
        case LOWER_AT:
            if (follows(c->kernel->variant[0] == RAISE_AT, x[k], r[k])) {
                r[k] = x[k];
                ((int32_t *)c->out[1].data)[k] = 77;
            }
            break;
        default: break;
        }
    }
    switch (c->kernel->variant[0]) {
    case PRODUCT: r[0] = (float)product; break;
    case BOTTOM: r[0] = x[at]; break;
    case BOTTOM_AT: *(int64_t *)c->out[0].data = at; break;
    case EXP_SUM: *(double *)c->out[0].data = sum; break;
    default: break;
    }
}

static void run_row(const cbm_simd *s, check_case *c)
{
    const float *x = c->in[0].data;
    void *r = c->out[0].data;
    const int64_t n = c->n[0];
    switch (c->kernel->variant[0]) {
    case PRODUCT: *(float *)r = s->product(x, n); break;
    case BOTTOM: *(float *)r = s->bottom(x, n); break;
    case BOTTOM_AT: *(int64_t *)r = s->bottom_at(x, n); break;
    case MULTIPLY: s->multiply(r, x, n); break;
    case LOWER: s->lower(r, x, n); break;
    case EXP_SUM: *(double *)r = s->exp_sum(x, 3, n); break;
    case EXP_ADD: s->exp_add(r, x, c->in[1].data, n); break;
    case RAISE_AT: s->raise_at(r, c->out[1].data, x, 77, n); break;
    default: s->lower_at(r, c->out[1].data, x, 77, n); break;
    }
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

void check_folds(void)
{
    static const cbm_dtype dtypes[] = { CBM_I64, CBM_I32, CBM_U8, CBM_BOOL };
    static const char *const scans[] = { "sum", "product", "recurrence", "greatest", "least" };
    for (int i = 0; i <= LOWER_AT; i++) {
        check_kernel k = { .make = make_row, .reference = reference_row, .run = run_row };
        k.variant[0] = i;
        snprintf(k.name, sizeof k.name, "fold %s", names[i]);
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
}
