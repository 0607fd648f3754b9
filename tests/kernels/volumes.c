/* volumes.c: pooling over volumes and of dilated windows, weighted sums of neighbours, and norms of rows. Rests on check.h. */
#include "check.h"

/* ---- pools: variant which, then whether windows have more than 256 places ---- */

enum { MAX, MAX_BACKWARD, AVG, AVG_BACKWARD };
static const char *const pool_names[] = { "max pool, volume", "max pool backward, volume", "average pool, volume",
                                          "average pool backward, volume" };

static int64_t product(const int64_t v[3])
{
    return v[0] * v[1] * v[2];
}

static void draw_windows(check_case *c, cbm_pool_volume *p)
{
    const bool average = c->kernel->variant[0] >= AVG, wide = c->kernel->variant[1] != 0;
    const bool up = check_int(c, 0, 1) != 0 && !c->bench;
    for (int d = 0; d < 3; d++) {
        p->kernel[d] = c->bench ? 2 : wide ? check_int(c, 7, 8) : check_int(c, 1, 4);
        p->dilation[d] = c->bench || average ? 1 : check_int(c, 1, 3);
        p->stride[d] = c->bench ? 2 : check_int(c, 1, 3);
        const int64_t reach = p->dilation[d] * (p->kernel[d] - 1) + 1;
        p->padding[d] = c->bench ? 0 : check_int(c, 0, reach / 2);
        p->in[d] = c->bench ? 32 : check_int(c, reach - p->padding[d] < 1 ? 1 : reach - p->padding[d], reach + 20);
        p->out[d] = (p->in[d] + 2 * p->padding[d] - reach + (up ? p->stride[d] - 1 : 0)) / p->stride[d] + 1;
        if (up && (p->out[d] - 1) * p->stride[d] >= p->in[d] + p->padding[d])
            p->out[d]--;
    }
    if (average) {
        p->exclude_pad = check_int(c, 0, 1);
        p->divisor = check_int(c, 0, 2) == 0 ? 5.0f : 0.0f;
    }
}

static void make_volume(check_case *c)
{
    const int which = c->kernel->variant[0];
    const bool backward = which == MAX_BACKWARD || which == AVG_BACKWARD;
    cbm_pool_volume *p = &c->u.volume;
    *p = (cbm_pool_volume){ 0 };
    draw_windows(c, p);
    const int64_t in = product(p->in), out = product(p->out), taps = product(p->kernel);
    float *x = check_floats(c, 0, backward ? out : in, -2, 2);
    for (int64_t k = 0; which == MAX && k < in; k++) {
        x[k] = floorf(2 * x[k]); /* many equal ones */
        x[k] = !c->bench && check_uniform(c) < 0.02 ? NAN : x[k];
    }
    float *r = check_out(c, 0, CBM_F32, backward ? in : out, 1e-6, which == MAX ? 0 : 1e-6);
    memset(check_start(c, 0), 0, (size_t)c->out[0].count * sizeof *r);
    p->x = backward ? NULL : x;
    p->y = backward ? NULL : r;
    const cbm_dtype dtype = taps > 256 ? CBM_I64 : CBM_U8;
    void *places = NULL;
    if (which == MAX) {
        places = check_out(c, 1, dtype, out, 0, 0);
        memset(check_start(c, 1), 0, (size_t)out * cbm_dtype_size(dtype));
    } else if (which == MAX_BACKWARD) {
        places = check_in(c, 1, dtype, out);
        for (int64_t k = 0; k < out; k++) {
            const int64_t place = check_int(c, 0, taps); /* the last is outside */
            if (dtype == CBM_U8)
                ((uint8_t *)places)[k] = (uint8_t)place;
            else
                ((int64_t *)places)[k] = place;
        }
    }
    p->place = dtype == CBM_U8 ? places : NULL;
    p->wide_place = dtype == CBM_U8 ? NULL : places;
    c->bytes = 4 * (double)(in + out) + (places ? (double)out * (double)cbm_dtype_size(dtype) : 0);
    snprintf(c->shape, sizeof c->shape, "%d x %d x %d, kernel %d %d %d by %d %d %d, pad %d %d %d, dilation %d %d %d",
             (int)p->in[0], (int)p->in[1], (int)p->in[2], (int)p->kernel[0], (int)p->kernel[1], (int)p->kernel[2],
             (int)p->stride[0], (int)p->stride[1], (int)p->stride[2], (int)p->padding[0], (int)p->padding[1],
             (int)p->padding[2], (int)p->dilation[0], (int)p->dilation[1], (int)p->dilation[2]);
}

/* Where tap k of result `to` lies, -1: outside; and whether the average counts it. */
static int64_t tap_at(const cbm_pool_volume *p, int64_t to, int64_t k, bool *counts)
{
    const int64_t at[3] = { to / (p->out[1] * p->out[2]), to / p->out[2] % p->out[1], to % p->out[2] };
    const int64_t tap[3] = { k / (p->kernel[1] * p->kernel[2]), k / p->kernel[2] % p->kernel[1], k % p->kernel[2] };
    int64_t flat = 0;
    bool inside = true, padded = true;
    for (int d = 0; d < 3; d++) {
        const int64_t place = at[d] * p->stride[d] - p->padding[d] + tap[d] * p->dilation[d];
        inside = inside && place >= 0 && place < p->in[d];
        padded = padded && place < p->in[d] + p->padding[d];
        flat = flat * p->in[d] + place;
    }
    *counts = p->exclude_pad ? inside : padded;
    return inside ? flat : -1;
}

static void reference_volume(check_case *c)
{
    const cbm_pool_volume *p = &c->u.volume;
    const int which = c->kernel->variant[0];
    const float *x = c->in[0].data;
    float *r = c->out[0].data;
    const int64_t taps = product(p->kernel);
    for (int64_t to = 0; to < product(p->out); to++) {
        int64_t best = -1, places = 0;
        double sum = 0, most = -HUGE_VAL;
        bool counts;
        for (int64_t k = 0; k < taps; k++) {
            const int64_t from = tap_at(p, to, k, &counts);
            places += counts;
            if (from < 0 || which == MAX_BACKWARD || which == AVG_BACKWARD)
                continue;
            sum += (double)x[from];
            if (best < 0 || (double)x[from] > most || (isnan(x[from]) && !isnan(most))) {
                best = k;
                most = (double)x[from];
            }
        }
        const double divisor = p->divisor > 0 ? (double)p->divisor : (double)places;
        const int64_t chosen = which != MAX_BACKWARD ? -1 : p->place ? p->place[to] : p->wide_place[to];
        for (int64_t k = 0; k < taps; k++) {
            const int64_t from = tap_at(p, to, k, &counts);
            if (from >= 0 && (which == AVG_BACKWARD || k == chosen))
                r[from] += which == AVG_BACKWARD ? (float)((double)x[to] / divisor) : x[to];
        }
        if (which == AVG)
            r[to] = (float)(sum / divisor);
        if (which != MAX)
            continue;
        r[to] = (float)most;
        if (p->place)
            p->place[to] = (uint8_t)(best < 0 ? 0 : best);
        else
            p->wide_place[to] = best < 0 ? 0 : best;
    }
}

static void run_volume(const cbm_simd *s, check_case *c)
{
    const cbm_pool_volume *p = &c->u.volume;
    switch (c->kernel->variant[0]) {
    case MAX: s->max_pool_volume(p); break;
    case AVG: s->avg_pool_volume(p); break;
    case MAX_BACKWARD: s->max_pool_backward_volume(p, c->in[0].data, c->out[0].data); break;
    default: s->avg_pool_backward_volume(p, c->in[0].data, c->out[0].data); break;
    }
}

/* ---- neighbours ---- */

/* n: neighbours, the step between them, elements. */
static void make_rows(check_case *c)
{
    const int64_t count = c->bench ? 2 : check_int(c, 0, 9), n = c->bench ? 4096 : check_int(c, 1, 200);
    const int64_t step = n + check_int(c, 0, 9);
    c->n[0] = count;
    c->n[1] = step;
    c->n[2] = n;
    check_floats(c, 0, count > 0 ? (count - 1) * step + n : 0, -2, 2);
    check_floats(c, 1, count, -1, 1);
    check_out(c, 0, CBM_F32, n, 1e-6, 4e-6);
    c->bytes = 4 * (double)((count + 1) * n);
    snprintf(c->shape, sizeof c->shape, "%d rows of %d, %d apart", (int)count, (int)n, (int)step);
}

static void reference_rows(check_case *c)
{
    const float *x = c->in[0].data, *w = c->in[1].data;
    float *r = c->out[0].data;
    for (int64_t i = 0; i < c->n[2]; i++) {
        double sum = 0;
        for (int64_t k = 0; k < c->n[0]; k++)
            sum += (double)x[k * c->n[1] + i] * (double)w[k];
        r[i] = (float)sum;
    }
}

static void run_rows(const cbm_simd *s, check_case *c)
{
    s->weighted_rows(c->out[0].data, c->in[0].data, c->n[1], c->in[1].data, c->n[0], c->n[2]);
}

/* n: elements of x, results. Variant: one neighbour, or two. */
static void make_picks(check_case *c)
{
    const int64_t from = c->bench ? 256 : check_int(c, 1, 90), n = c->bench ? 512 : check_int(c, 1, 200);
    c->n[0] = n;
    check_floats(c, 0, from, -2, 2);
    for (int k = 1; k <= 2; k++) {
        int32_t *at = check_in(c, k, CBM_I32, n);
        for (int64_t i = 0; i < n; i++)
            at[i] = (int32_t)check_int(c, 0, from - 1);
        check_floats(c, 2 + k, n, -1, 1);
    }
    check_out(c, 0, CBM_F32, n, 1e-6, c->kernel->variant[0] ? 1e-6 : 0);
    c->bytes = 4 * (double)n;
    snprintf(c->shape, sizeof c->shape, "%d of %d", (int)n, (int)from);
}

static void reference_picks(check_case *c)
{
    const float *x = c->in[0].data, *w = c->in[3].data, *v = c->in[4].data;
    const int32_t *at = c->in[1].data, *other = c->in[2].data;
    float *r = c->out[0].data;
    for (int64_t i = 0; i < c->n[0]; i++)
        r[i] = c->kernel->variant[0] ? (float)((double)x[at[i]] * (double)w[i] + (double)x[other[i]] * (double)v[i])
                                     : x[at[i]];
}

static void run_picks(const cbm_simd *s, check_case *c)
{
    if (c->kernel->variant[0])
        s->pick_pairs(c->out[0].data, c->in[0].data, c->in[1].data, c->in[2].data, c->in[3].data, c->in[4].data,
                      c->n[0]);
    else
        s->pick(c->out[0].data, c->in[0].data, c->in[1].data, c->n[0]);
}

/* ---- norms of rows: variant whether there is a mean, and backward whether gradients of the weights are wanted ---- */

static void make_row(check_case *c)
{
    const int64_t n = c->bench ? 768 : check_int(c, 1, check_int(c, 0, 4) ? 300 : 9000);
    c->n[0] = n;
    c->eps = 1e-5;
    check_floats(c, 0, n, -1, 3);
    check_floats(c, 1, n, 0.5, 2);
    check_floats(c, 2, n, -1, 1);
    snprintf(c->shape, sizeof c->shape, "%d", (int)n);
}

static void make_row_norm(check_case *c)
{
    make_row(c);
    check_out(c, 0, CBM_F32, c->n[0], 1e-5, 1e-5);
    check_out(c, 1, CBM_F32, 1, 1e-6, 1e-6);
    check_out(c, 2, CBM_F32, 1, 1e-5, 0);
    memset(check_start(c, 1), 0, sizeof(float)); /* no mean is written where there is none */
    c->bytes = 16 * (double)c->n[0];
}

static void reference_row_norm(check_case *c)
{
    const float *x = c->in[0].data, *w = c->in[1].data, *b = c->in[2].data;
    float *y = c->out[0].data;
    const bool centred = c->kernel->variant[0] != 0;
    double mean = 0, squares = 0;
    for (int64_t i = 0; centred && i < c->n[0]; i++)
        mean += (double)x[i] / (double)c->n[0];
    for (int64_t i = 0; i < c->n[0]; i++)
        squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double rstd = 1 / sqrt(squares / (double)c->n[0] + c->eps);
    for (int64_t i = 0; i < c->n[0]; i++)
        y[i] = (float)(((double)x[i] - mean) * rstd * (double)w[i] + (centred ? (double)b[i] : 0));
    *(float *)c->out[1].data = (float)mean;
    *(float *)c->out[2].data = (float)rstd;
}

static void run_row_norm(const cbm_simd *s, check_case *c)
{
    const bool centred = c->kernel->variant[0] != 0;
    const cbm_row_norm p = {
        .length = c->n[0], .eps = c->eps, .weight = c->in[1].data, .bias = centred ? c->in[2].data : NULL
    };
    s->row_norm(c->out[0].data, c->in[0].data, &p, centred ? c->out[1].data : NULL, c->out[2].data);
}

static void make_row_backward(check_case *c)
{
    make_row(c);
    check_out(c, 0, CBM_F32, c->n[0], 1e-5, 1e-5);
    for (int k = 1; k <= 2; k++) { /* added to */
        check_out(c, k, CBM_F32, c->n[0], 1e-6, 1e-5);
        float *start = check_start(c, k);
        for (int64_t i = 0; i < c->n[0]; i++)
            start[i] = (float)check_uniform(c);
    }
    c->bytes = 16 * (double)c->n[0] + (c->kernel->variant[1] ? 16 * (double)c->n[0] : 0);
}

static const double row_mean = 0.75, row_rstd = 0.5;

static void reference_row_backward(check_case *c)
{
    const float *x = c->in[0].data, *w = c->in[1].data, *g = c->in[2].data;
    float *dx = c->out[0].data, *dw = c->out[1].data, *db = c->out[2].data;
    const bool centred = c->kernel->variant[0] != 0, keep = c->kernel->variant[1] != 0;
    const double mean = centred ? row_mean : 0, n = (double)c->n[0];
    double sum = 0, along = 0;
    for (int64_t i = 0; i < c->n[0]; i++) {
        const double z = ((double)x[i] - mean) * row_rstd, h = (double)g[i] * (double)w[i];
        sum += centred ? h / n : 0;
        along += h * z / n;
        dw[i] += keep ? (float)((double)g[i] * z) : 0;
        db[i] += keep && centred ? g[i] : 0;
    }
    for (int64_t i = 0; i < c->n[0]; i++) {
        const double z = ((double)x[i] - mean) * row_rstd, h = (double)g[i] * (double)w[i];
        dx[i] = (float)(row_rstd * (h - sum - z * along));
    }
}

static void run_row_backward(const cbm_simd *s, check_case *c)
{
    const bool centred = c->kernel->variant[0] != 0, keep = c->kernel->variant[1] != 0;
    const cbm_row_norm p = { .length = c->n[0],
                             .weight = c->in[1].data,
                             .bias = centred ? c->in[1].data : NULL,
                             .dweight = keep ? c->out[1].data : NULL,
                             .dbias = keep ? c->out[2].data : NULL };
    s->row_norm_backward(c->out[0].data, c->in[0].data, c->in[2].data, &p, centred ? (float)row_mean : 0,
                         (float)row_rstd);
}

void check_volumes(void)
{
    for (int i = MAX; i <= AVG_BACKWARD; i++)
        for (int wide = 0; wide <= (i <= MAX_BACKWARD); wide++) {
            check_kernel k = { .make = make_volume, .reference = reference_volume, .run = run_volume };
            k.variant[0] = i;
            k.variant[1] = wide;
            snprintf(k.name, sizeof k.name, "%s%s", pool_names[i], wide ? ", large windows" : "");
            check_add(k);
        }
    check_add(
        (check_kernel){ .name = "weighted rows", .make = make_rows, .reference = reference_rows, .run = run_rows });
    for (int centred = 0; centred < 2; centred++) {
        const char *name = centred ? "layer norm" : "rms norm";
        check_kernel k = { .make = make_row_norm, .reference = reference_row_norm, .run = run_row_norm };
        k.variant[0] = centred;
        snprintf(k.name, sizeof k.name, "%s of a row", name);
        check_add(k);
        for (int keep = 0; keep < 2; keep++) {
            check_kernel back = { .make = make_row_backward,
                                  .reference = reference_row_backward,
                                  .run = run_row_backward };
            back.variant[0] = centred;
            back.variant[1] = keep;
            snprintf(back.name, sizeof back.name, "%s of a row backward%s", name, keep ? ", weights" : "");
            check_add(back);
        }
    }
    check_add((check_kernel){ .name = "picks", .make = make_picks, .reference = reference_picks, .run = run_picks });
    check_add((check_kernel){ .name = "picks of pairs",
                              .make = make_picks,
                              .reference = reference_picks,
                              .run = run_picks,
                              .variant = { 1 } });
}
