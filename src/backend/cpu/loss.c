/* loss.c: mean cross-entropy of f32 logits (N, C, ...) against class numbers (N, ...), and its gradient. Labels are
   checked before anything is computed. Rests on simd/rows.c. */
#include "backend/cpu/cpu.h"
#include "op/attributes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { LANES = 16, PART = 64 }; /* rows whose losses are added up together */

typedef struct job {
    const cbm_simd *simd;
    const cbm_buffer *targets;
    const float *x;
    cbm_around a; /* N, C, the rest */
    int64_t rows; /* N times the rest */
    float *lse;   /* may be NULL forward */
    double *partial;
    float *turned; /* LANES rows for each part */
    float *dx;
    float share;
    float *losses;  /* rows: a loss for each; NULL: their sums */
    const float *g; /* rows: each one's share */
    float smoothing;
} job;

static int64_t label_at(const cbm_buffer *t, int64_t i)
{
    switch (t->dtype) {
    case CBM_I64: return ((const int64_t *)t->data)[i];
    case CBM_I32: return ((const int32_t *)t->data)[i];
    default: return ((const uint8_t *)t->data)[i];
    }
}

static cbm_status check_labels(const cbm_launch *l, int64_t classes)
{
    const cbm_buffer *t = &l->in[1];
    for (int64_t i = 0; i < t->count; i++) {
        const int64_t label = label_at(t, i);
        if (label >= 0 && label < classes)
            continue;
        if (l->message)
            snprintf(l->message, 256, "label %" PRId64 " at position %" PRId64 " is outside 0..%" PRId64, label, i,
                     classes - 1);
        return CBM_ERROR_RANGE;
    }
    return CBM_OK;
}

/* Rows (n, i) from r on, at most LANES within one n, next to each other in memory. */
static const float *take_rows(const job *j, int64_t r, int64_t count, float *turned)
{
    const int64_t n = r / j->a.inner, i = r % j->a.inner;
    const float *x = j->x + n * j->a.length * j->a.inner + i;
    if (j->a.inner == 1)
        return x;
    j->simd->transpose((uint32_t *)(void *)turned, j->a.length, (const uint32_t *)(const void *)x, j->a.inner,
                       j->a.length, count);
    return turned;
}

static int64_t rows_together(const job *j, int64_t r, int64_t end)
{
    const int64_t left = j->a.inner == 1 ? end - r : j->a.inner - r % j->a.inner;
    const int64_t most = left < end - r ? left : end - r;
    return most < LANES ? most : LANES;
}

/* lse - (1 - s) x[label] - s mean(x); a part whose share is 0 counts for nothing, be it infinite. */
static float loss_of(const job *j, const float *row, float lse, int64_t label)
{
    float loss = lse;
    if (j->smoothing < 1)
        loss -= (1 - j->smoothing) * row[label];
    if (j->smoothing > 0)
        loss -= j->smoothing * (float)(j->simd->sum(row, j->a.length) / (double)j->a.length);
    return loss;
}

static void forward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t part = begin; part < end; part++) {
        const int64_t last = (part + 1) * PART < j->rows ? (part + 1) * PART : j->rows;
        double total = 0;
        for (int64_t r = part * PART; r < last;) {
            const int64_t count = rows_together(j, r, last);
            const float *x = take_rows(j, r, count, j->turned + part * LANES * j->a.length);
            for (int64_t k = 0; k < count; k++) {
                const float *row = x + k * j->a.length;
                const float lse = j->simd->log_sum_exp(row, j->a.length);
                if (j->lse)
                    j->lse[r + k] = lse;
                if (j->losses)
                    j->losses[r + k] = loss_of(j, row, lse, label_at(j->targets, r + k));
                else
                    total += (double)lse - (double)row[label_at(j->targets, r + k)];
            }
            r += count;
        }
        j->partial[part] = total;
    }
}

static int64_t part_count(int64_t rows)
{
    return (rows + PART - 1) / PART;
}

static cbm_status prepare_forward(cbm_prepare *p)
{
    const cbm_around a = cbm_around_axis(&p->launch->in[0], 1);
    const size_t parts = (size_t)part_count(a.outer * a.inner);
    p->workspace = parts * sizeof(double) + 64;
    if (a.inner > 1)
        p->workspace += parts * LANES * (size_t)a.length * sizeof(float);
    return CBM_OK;
}

static job job_of(const cbm_launch *l)
{
    job j = { .simd = cbm_simd_get(), .targets = &l->in[1], .x = l->in[0].data, .a = cbm_around_axis(&l->in[0], 1) };
    j.rows = j.a.outer * j.a.inner;
    return j;
}

static void run_forward(const cbm_launch *l, job *j)
{
    const int64_t parts = part_count(j->rows);
    j->partial = l->workspace;
    j->turned = (float *)(void *)((char *)l->workspace + ((size_t)parts * sizeof(double) + 63) / 64 * 64);
    j->lse = l->out[1].data;
    cbm_parallel_for(parts, cbm_grain(4 * PART * j->a.length), l->threads, forward, j);
}

static cbm_status cross_entropy(const cbm_launch *l)
{
    job j = job_of(l);
    const cbm_status status = check_labels(l, j.a.length);
    if (status != CBM_OK)
        return status;
    run_forward(l, &j);
    const int64_t parts = part_count(j.rows);
    double total = 0;
    for (int64_t i = 0; i < parts; i++)
        total += j.partial[i];
    if (l->out[0].data)
        *(float *)l->out[0].data = (float)(total / (double)j.rows);
    return CBM_OK;
}

static cbm_status cross_entropy_rows(const cbm_launch *l)
{
    job j = job_of(l);
    const cbm_status status = check_labels(l, j.a.length);
    j.losses = l->out[0].data;
    j.smoothing = (float)((const cbm_cross_entropy_attributes *)l->attributes)->smoothing;
    if (status == CBM_OK)
        run_forward(l, &j);
    return status;
}

/* share (exp(x - lse) - [this is the label]) */
static void backward_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->a.length;
    for (int64_t r = begin; r < end; r++) {
        j->simd->exp_scaled(j->dx + r * n, j->x + r * n, j->lse[r], j->share, n);
        j->dx[r * n + label_at(j->targets, r)] -= j->share;
    }
}

static void backward_planes(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t inner = j->a.inner;
    for (int64_t i = begin; i < end; i++) { /* (n, c) */
        const int64_t n = i / j->a.length, c = i % j->a.length;
        const float *x = j->x + i * inner, *lse = j->lse + n * inner;
        float *dx = j->dx + i * inner;
        enum { RUN = 256 };
        for (int64_t k = 0; k < inner; k += RUN) {
            const int64_t count = inner - k < RUN ? inner - k : RUN;
            for (int64_t q = 0; q < count; q++)
                dx[k + q] = x[k + q] - lse[k + q];
            j->simd->exp_scaled(dx + k, dx + k, 0.0f, j->share, count);
            for (int64_t q = 0; q < count; q++)
                if (label_at(j->targets, n * inner + k + q) == c)
                    dx[k + q] -= j->share;
        }
    }
}

static cbm_status cross_entropy_backward(const cbm_launch *l)
{
    job j = job_of(l);
    const cbm_status status = check_labels(l, j.a.length);
    if (status != CBM_OK)
        return status;
    j.lse = l->in[2].data;
    j.dx = l->out[0].data;
    j.share = *(const float *)l->in[3].data / (float)j.rows;
    if (j.rows == 0)
        return CBM_OK;
    if (j.a.inner == 1)
        cbm_parallel_for(j.rows, cbm_grain(4 * j.a.length), l->threads, backward_rows, &j);
    else
        cbm_parallel_for(j.a.outer * j.a.length, cbm_grain(4 * j.a.inner), l->threads, backward_planes, &j);
    return CBM_OK;
}

/* The same with a share for each row, and smoothed targets: s / C, and 1 - s more at the label. */
static void rows_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->a.length;
    for (int64_t r = begin; r < end; r++) {
        float *dx = j->dx + r * n;
        const float share = j->g[r];
        if (share == 0) {
            memset(dx, 0, (size_t)n * sizeof *dx);
            continue;
        }
        j->simd->exp_scaled(dx, j->x + r * n, j->lse[r], share, n);
        if (j->smoothing > 0)
            j->simd->scale_shift(dx, dx, share * j->smoothing / (float)n, 1, 0, n);
        dx[label_at(j->targets, r)] -= share * (1 - j->smoothing);
    }
}

static void planes_backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t inner = j->a.inner;
    const float spread = j->smoothing / (float)j->a.length, own = 1 - j->smoothing;
    for (int64_t i = begin; i < end; i++) { /* (n, c) */
        const int64_t n = i / j->a.length, c = i % j->a.length;
        const float *x = j->x + i * inner, *lse = j->lse + n * inner, *g = j->g + n * inner;
        float *dx = j->dx + i * inner;
        for (int64_t k = 0; k < inner; k++)
            dx[k] = x[k] - lse[k];
        j->simd->exp_scaled(dx, dx, 0, 1, inner);
        for (int64_t k = 0; k < inner; k++) {
            const float target = label_at(j->targets, n * inner + k) == c ? spread + own : spread;
            dx[k] = g[k] == 0 ? 0 : g[k] * (dx[k] - target);
        }
    }
}

static cbm_status cross_entropy_rows_backward(const cbm_launch *l)
{
    job j = job_of(l);
    const cbm_status status = check_labels(l, j.a.length);
    if (status != CBM_OK || j.rows == 0)
        return status;
    j.lse = l->in[2].data;
    j.g = l->in[3].data;
    j.dx = l->out[0].data;
    j.smoothing = (float)((const cbm_cross_entropy_attributes *)l->attributes)->smoothing;
    if (j.a.inner == 1)
        cbm_parallel_for(j.rows, cbm_grain(4 * j.a.length), l->threads, rows_backward, &j);
    else
        cbm_parallel_for(j.a.outer * j.a.length, cbm_grain(4 * j.a.inner), l->threads, planes_backward, &j);
    return CBM_OK;
}

static bool supports(const cbm_launch *l)
{
    for (size_t i = 0; i < l->n_in; i++)
        if (i != 1 && l->in[i].dtype != CBM_F32)
            return false;
    return l->in[0].shape[1] > 0 &&
           (l->in[1].dtype == CBM_I64 || l->in[1].dtype == CBM_I32 || l->in[1].dtype == CBM_U8);
}

const cbm_kernel cbm_cpu_loss[] = {
    { .op = "cross_entropy", .supports = supports, .prepare = prepare_forward, .launch = cross_entropy },
    { .op = "cross_entropy_backward", .supports = supports, .launch = cross_entropy_backward },
    { .op = "cross_entropy_rows", .supports = supports, .prepare = prepare_forward, .launch = cross_entropy_rows },
    { .op = "cross_entropy_rows_backward", .supports = supports, .launch = cross_entropy_rows_backward },
    { .op = NULL },
};
