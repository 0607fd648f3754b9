/* norm.c: batch normalisation of f32 (N, C, ...) with the batch's own statistics, and its gradient: two passes over each
   channel, whose planes stay in the cache between them. Rests on simd/rows.c. */
#include "backend/cpu/cpu.h"

#include <math.h>

enum { LANES = 64 }; /* channels taken together when each has one element a sample */

typedef struct job {
    const cbm_simd *simd;
    cbm_around a; /* N, C, the rest */
    double eps;
    const float *x, *weight, *bias, *g;
    const float *mean_in, *rstd_in;
    float *y, *mean, *rstd, *dx, *dweight, *dbias;
} job;

static double members(const job *j)
{
    return (double)j->a.outer * (double)j->a.inner;
}

static int64_t plane_at(const job *j, int64_t n, int64_t c)
{
    return (n * j->a.length + c) * j->a.inner;
}

static void keep_statistics(const job *j, int64_t c, double mean, double rstd)
{
    if (j->mean)
        j->mean[c] = (float)mean;
    if (j->rstd)
        j->rstd[c] = (float)rstd;
}

static void forward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t plane = j->a.inner;
    for (int64_t c = begin; c < end; c++) {
        double sum = 0, squares = 0;
        for (int64_t n = 0; n < j->a.outer; n++)
            sum += j->simd->sum(j->x + plane_at(j, n, c), plane);
        const float mean = (float)(sum / members(j));
        for (int64_t n = 0; n < j->a.outer; n++)
            squares += j->simd->sum_of_squares(j->x + plane_at(j, n, c), plane, (double)mean);
        const double rest = sum / members(j) - (double)mean; /* what rounding the mean left out */
        const double rstd = 1 / sqrt(fmax(squares / members(j) - rest * rest, 0) + j->eps);
        keep_statistics(j, c, (double)mean, rstd);
        const float scale = (float)rstd * j->weight[c], shift = (float)((double)j->bias[c] - rest * (double)scale);
        for (int64_t n = 0; j->y && n < j->a.outer; n++)
            j->simd->scale_shift(j->y + plane_at(j, n, c), j->x + plane_at(j, n, c), mean, scale, shift, plane);
    }
}

/* (N, C): LANES channels side by side. */
static void forward_flat(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t width = j->a.length;
    for (int64_t block = begin; block < end; block++) {
        const int64_t c0 = block * LANES, count = width - c0 < LANES ? width - c0 : LANES;
        double sum[LANES] = { 0 }, squares[LANES] = { 0 };
        float scale[LANES], mean[LANES], shift[LANES];
        for (int64_t n = 0; n < j->a.outer; n++)
            for (int64_t k = 0; k < count; k++)
                sum[k] += (double)j->x[n * width + c0 + k];
        for (int64_t k = 0; k < count; k++)
            sum[k] /= members(j);
        for (int64_t n = 0; n < j->a.outer; n++)
            for (int64_t k = 0; k < count; k++) {
                const double d = (double)j->x[n * width + c0 + k] - sum[k];
                squares[k] += d * d;
            }
        for (int64_t k = 0; k < count; k++) {
            const double rstd = 1 / sqrt(squares[k] / members(j) + j->eps);
            keep_statistics(j, c0 + k, sum[k], rstd);
            mean[k] = (float)sum[k];
            scale[k] = (float)rstd * j->weight[c0 + k];
            shift[k] = (float)((double)j->bias[c0 + k] - (sum[k] - (double)mean[k]) * (double)scale[k]);
        }
        for (int64_t n = 0; j->y && n < j->a.outer; n++)
            for (int64_t k = 0; k < count; k++) {
                const int64_t i = n * width + c0 + k;
                j->y[i] = (j->x[i] - mean[k]) * scale[k] + shift[k];
            }
    }
}

static bool run(job *j, const cbm_launch *l, void (*planes)(void *, int64_t, int64_t),
                void (*flat)(void *, int64_t, int64_t))
{
    if (l->in[0].count == 0)
        return false;
    if (j->a.inner > 1)
        cbm_parallel_for(j->a.length, cbm_grain(j->a.outer * j->a.inner), l->threads, planes, j);
    else
        cbm_parallel_for((j->a.length + LANES - 1) / LANES, cbm_grain(j->a.outer * LANES), l->threads, flat, j);
    return true;
}

static cbm_status batch_norm(const cbm_launch *l) /* x, weight, bias -> y, mean, rstd */
{
    const cbm_batch_norm_attributes *a = l->attributes;
    job j = { .simd = cbm_simd_get(),
              .a = cbm_around_axis(&l->in[0], 1),
              .eps = a->eps,
              .x = l->in[0].data,
              .weight = l->in[1].data,
              .bias = l->in[2].data,
              .y = l->out[0].data,
              .mean = l->out[1].data,
              .rstd = l->out[2].data };
    if (run(&j, l, forward, forward_flat))
        return CBM_OK;
    for (int64_t c = 0; c < j.a.length; c++)
        keep_statistics(&j, c, NAN, NAN);
    return CBM_OK;
}

/* With xhat = (x - mean) rstd over M members: dbias = sum g, dweight = sum g xhat,
   dx = weight rstd (g - dbias / M - xhat dweight / M). */
static void finish_channel(const job *j, int64_t c, double dbias, double centred, float abc[3])
{
    const double rstd = (double)j->rstd_in[c], dweight = centred * rstd, scale = (double)j->weight[c] * rstd;
    abc[0] = (float)scale;
    abc[1] = (float)(-scale * rstd * dweight / members(j));
    abc[2] = (float)(-scale * dbias / members(j));
    if (j->dweight)
        j->dweight[c] = (float)dweight;
    if (j->dbias)
        j->dbias[c] = (float)dbias;
}

static void backward(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t plane = j->a.inner;
    for (int64_t c = begin; c < end; c++) {
        double dbias = 0, centred = 0;
        for (int64_t n = 0; n < j->a.outer; n++) {
            const int64_t at = plane_at(j, n, c);
            dbias += j->simd->sum(j->g + at, plane);
            centred += j->simd->dot(j->x + at, j->g + at, plane, (double)j->mean_in[c]);
        }
        float abc[3];
        finish_channel(j, c, dbias, centred, abc);
        for (int64_t n = 0; j->dx && n < j->a.outer; n++) {
            const int64_t at = plane_at(j, n, c);
            j->simd->norm_backward(j->dx + at, j->x + at, j->g + at, j->mean_in[c], abc, plane);
        }
    }
}

static void backward_flat(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t width = j->a.length;
    for (int64_t block = begin; block < end; block++) {
        const int64_t c0 = block * LANES, count = width - c0 < LANES ? width - c0 : LANES;
        double dbias[LANES] = { 0 }, centred[LANES] = { 0 };
        float abc[LANES][3];
        for (int64_t n = 0; n < j->a.outer; n++)
            for (int64_t k = 0; k < count; k++) {
                const int64_t i = n * width + c0 + k;
                dbias[k] += (double)j->g[i];
                centred[k] += (double)j->g[i] * ((double)j->x[i] - (double)j->mean_in[c0 + k]);
            }
        for (int64_t k = 0; k < count; k++)
            finish_channel(j, c0 + k, dbias[k], centred[k], abc[k]);
        for (int64_t n = 0; j->dx && n < j->a.outer; n++)
            for (int64_t k = 0; k < count; k++) {
                const int64_t i = n * width + c0 + k;
                j->dx[i] = abc[k][0] * j->g[i] + (abc[k][1] * (j->x[i] - j->mean_in[c0 + k]) + abc[k][2]);
            }
    }
}

static cbm_status batch_norm_backward(const cbm_launch *l) /* x, weight, mean, rstd, g -> dx, dweight, dbias */
{
    job j = { .simd = cbm_simd_get(),
              .a = cbm_around_axis(&l->in[0], 1),
              .x = l->in[0].data,
              .weight = l->in[1].data,
              .mean_in = l->in[2].data,
              .rstd_in = l->in[3].data,
              .g = l->in[4].data,
              .dx = l->out[0].data,
              .dweight = l->out[1].data,
              .dbias = l->out[2].data };
    if (run(&j, l, backward, backward_flat))
        return CBM_OK;
    for (int64_t c = 0; c < j.a.length; c++) {
        if (j.dweight)
            j.dweight[c] = 0;
        if (j.dbias)
            j.dbias[c] = 0;
    }
    return CBM_OK;
}

const cbm_kernel cbm_cpu_norm[] = {
    { .op = "batch_norm", .supports = cbm_cpu_f32, .launch = batch_norm },
    { .op = "batch_norm_backward", .supports = cbm_cpu_f32, .launch = batch_norm_backward },
    { .op = NULL },
};
