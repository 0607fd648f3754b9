/* group_norm.c: normalisation of groups of channels of f32, a sample at a time, and its gradient, in every layout. Each
   channel's moments or sums are joined into its group's; then each channel is written with numbers of its own, while its
   sample is in the caches. Rests on simd/norms.c. */
#include "backend/cpu/cpu.h"

#include <math.h>

/* A block is `lanes` channels side by side: one channel in the plain layout, a block's, or all of them (channels last; and
   (N, C), which is the same). */
typedef struct job {
    const cbm_simd *simd;
    int64_t samples, channels, groups, lanes, places;
    double eps;
    const float *x, *g;
    float *y, *dx;
    const float *weight, *bias, *mean_in, *rstd_in;
    float *mean, *rstd, *dweight, *dbias;
    double *first, *second;                             /* of each sample's channels: mean and squares; or two sums */
    float *about, *scale, *shift, *gain, *slope, *rest; /* of each sample's channels */
} job;

enum { VECTORS = 6 };

static int64_t members(const job *j)
{
    return j->channels / j->groups * j->places;
}

static job job_of(const cbm_launch *l)
{
    const cbm_group_norm_attributes *a = l->attributes;
    const cbm_buffer *x = &l->in[0];
    const cbm_around at = cbm_around_axis(x, 1);
    job j = { .simd = cbm_simd_get(), .samples = at.outer, .channels = at.length, .places = at.inner, .lanes = 1 };
    j.groups = a->groups;
    j.eps = a->eps;
    if (x->layout == CBM_LAYOUT_BLOCKED_16 || x->layout == CBM_LAYOUT_BLOCKED_8)
        j.lanes = x->layout == CBM_LAYOUT_BLOCKED_16 ? 16 : 8;
    else if (x->layout == CBM_LAYOUT_CHANNELS_LAST || at.inner == 1)
        j.lanes = at.length;
    const int64_t all = j.samples * j.channels;
    j.first = l->workspace;
    j.second = j.first ? j.first + all : NULL;
    float *next = j.first ? (float *)(j.second + all) : NULL;
    float **const vectors[VECTORS] = { &j.about, &j.scale, &j.shift, &j.gain, &j.slope, &j.rest };
    for (size_t i = 0; next && i < VECTORS; i++, next += all)
        *vectors[i] = next;
    return j;
}

static cbm_status prepare(cbm_prepare *p)
{
    const job j = job_of(p->launch);
    p->workspace = (size_t)(j.samples * j.channels) * (2 * sizeof(double) + VECTORS * sizeof(float));
    return CBM_OK;
}

/* Where channel c of sample n begins, c being the first of its block. */
static int64_t offset_of(const job *j, int64_t n, int64_t c)
{
    return (n * j->channels + c) * j->places;
}

static cbm_norm norm_of(const job *j, int64_t n, int64_t c)
{
    const int64_t at = n * j->channels + c;
    return (cbm_norm){ .places = j->places,
                       .lanes = j->lanes,
                       .step = j->lanes,
                       .about = j->about + at,
                       .scale = j->scale + at,
                       .shift = j->shift + at,
                       .gain = j->gain + at,
                       .slope = j->slope + at,
                       .rest = j->rest + at };
}

/* ---- forward ---- */

static void channel_moments(const job *j, int64_t n, int64_t c)
{
    const float *x = j->x + offset_of(j, n, c);
    double *mean = j->first + n * j->channels + c, *squares = j->second + n * j->channels + c;
    if (j->lanes > 1) {
        j->simd->moments_columns(mean, squares, 0, x, j->places, j->lanes, j->lanes);
        return;
    }
    const double count = (double)j->places, own = j->simd->sum(x, j->places) / count;
    const double rest = own - (double)(float)own; /* what rounding the mean leaves out */
    *mean = own;
    *squares = j->simd->sum_of_squares(x, j->places, (double)(float)own) - count * rest * rest;
}

/* The group's mean and squares from those of its channels, all of `places` members. */
static void join_group(const job *j, int64_t n, int64_t group)
{
    const int64_t width = j->channels / j->groups, begin = n * j->channels + group * width;
    const double places = (double)j->places;
    double mean = 0, squares = 0;
    for (int64_t c = begin; c < begin + width; c++)
        mean += j->first[c] / (double)width;
    for (int64_t c = begin; c < begin + width; c++) {
        const double off = j->first[c] - mean;
        squares += j->second[c] + places * off * off;
    }
    const double variance = squares / (double)members(j);
    const float rstd = (float)(1 / sqrt((variance < 0 ? 0 : variance) + j->eps)); /* NaN stays */
    for (int64_t c = begin; c < begin + width; c++) {
        const int64_t channel = c - n * j->channels;
        j->about[c] = (float)mean;
        j->scale[c] = rstd * j->weight[channel];
        j->shift[c] = (float)((double)j->bias[channel] - (mean - (double)(float)mean) * (double)j->scale[c]);
    }
    if (j->mean)
        j->mean[n * j->groups + group] = (float)mean;
    if (j->rstd)
        j->rstd[n * j->groups + group] = rstd;
}

static void write_channel(const job *j, int64_t n, int64_t c)
{
    const cbm_norm p = norm_of(j, n, c);
    const int64_t at = offset_of(j, n, c);
    (j->lanes > 1 ? j->simd->norm_forward : j->simd->norm_forward_run)(j->y + at, j->x + at, &p);
}

/* ---- backward: with h = weight g over M members: dx = rstd h - rstd mean of h - (x - mean) rstd^3 mean of h (x - mean) ---- */

static void channel_sums(const job *j, int64_t n, int64_t c)
{
    const cbm_norm p = norm_of(j, n, c);
    const int64_t at = offset_of(j, n, c), to = n * j->channels + c;
    if (j->lanes == 1) {
        double sums[2] = { 0, 0 };
        j->simd->norm_sums_run(sums, j->x + at, j->g + at, &p);
        j->first[to] = sums[0];
        j->second[to] = sums[1];
        return;
    }
    /* norm_sums puts two sums a lane behind each other; slope and rest, not yet needed, have room for some lanes' at a time. */
    enum { LANES = 16 };
    for (int64_t lane = 0; lane < j->lanes; lane += LANES) {
        double sums[2 * LANES] = { 0 };
        cbm_norm some = p;
        some.lanes = j->lanes - lane < LANES ? j->lanes - lane : LANES;
        some.about += lane;
        j->simd->norm_sums(sums, j->x + at + lane, j->g + at + lane, &some);
        for (int64_t k = 0; k < some.lanes; k++) {
            j->first[to + lane + k] = sums[k];
            j->second[to + lane + k] = sums[some.lanes + k];
        }
    }
}

static void join_gradient(const job *j, int64_t n, int64_t group)
{
    const int64_t width = j->channels / j->groups, begin = n * j->channels + group * width;
    const double rstd = (double)j->rstd_in[n * j->groups + group], count = (double)members(j);
    double sum = 0, along = 0;
    for (int64_t c = begin; c < begin + width; c++) {
        const double weight = (double)j->weight[c - n * j->channels];
        sum += weight * j->first[c];
        along += weight * j->second[c];
    }
    for (int64_t c = begin; c < begin + width; c++) {
        j->gain[c] = (float)(rstd * (double)j->weight[c - n * j->channels]);
        j->slope[c] = (float)(-rstd * rstd * rstd * along / count);
        j->rest[c] = (float)(-rstd * sum / count);
        j->second[c] *= rstd; /* the sample's part of dweight */
    }
}

static void write_gradient(const job *j, int64_t n, int64_t c)
{
    const cbm_norm p = norm_of(j, n, c);
    const int64_t at = offset_of(j, n, c);
    (j->lanes > 1 ? j->simd->norm_backward : j->simd->norm_backward_run)(j->dx + at, j->x + at, j->g + at, &p);
}

static void join_samples(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t c = begin; c < end; c++) {
        double dbias = 0, dweight = 0;
        for (int64_t n = 0; n < j->samples; n++) {
            dbias += j->first[n * j->channels + c];
            dweight += j->second[n * j->channels + c];
        }
        if (j->dweight)
            j->dweight[c] = (float)dweight;
        if (j->dbias)
            j->dbias[c] = (float)dbias;
    }
}

/* ---- dealing out ---- */

/* Channels [begin, end) of sample n, whole blocks and whole groups. */
static void some_channels(const job *j, int64_t n, int64_t begin, int64_t end)
{
    const int64_t width = j->channels / j->groups;
    const bool back = j->g != NULL;
    for (int64_t c = begin; c < end; c += j->lanes)
        (back ? channel_sums : channel_moments)(j, n, c);
    for (int64_t group = begin / width; group < end / width; group++)
        (back ? join_gradient : join_group)(j, n, group);
    for (int64_t c = end - j->lanes; (back ? (void *)j->dx : (void *)j->y) && c >= begin; c -= j->lanes)
        (back ? write_gradient : write_channel)(j, n, c);
}

static void plain_groups(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t width = j->channels / j->groups;
    for (int64_t i = begin; i < end; i++) {
        const int64_t n = i / j->groups, c = i % j->groups * width;
        some_channels(j, n, c, c + width);
    }
}

static void whole_samples(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t n = begin; n < end; n++)
        some_channels(j, n, 0, j->channels);
}

static void run_job(job *j, int64_t threads)
{
    if (j->lanes == 1)
        cbm_parallel_for(j->samples * j->groups, cbm_grain(members(j)), threads, plain_groups, j);
    else
        cbm_parallel_for(j->samples, cbm_grain(j->channels * j->places), threads, whole_samples, j);
}

static cbm_status group_norm(const cbm_launch *l) /* x, weight, bias -> y, mean, rstd */
{
    job j = job_of(l);
    j.x = l->in[0].data;
    j.weight = l->in[1].data;
    j.bias = l->in[2].data;
    j.y = l->out[0].data;
    j.mean = l->out[1].data;
    j.rstd = l->out[2].data;
    if (l->in[0].count > 0)
        run_job(&j, l->threads);
    return CBM_OK;
}

static cbm_status group_norm_backward(const cbm_launch *l) /* x, weight, mean, rstd, g -> dx, dweight, dbias */
{
    job j = job_of(l);
    j.x = l->in[0].data;
    j.weight = l->in[1].data;
    j.mean_in = l->in[2].data;
    j.rstd_in = l->in[3].data;
    j.g = l->in[4].data;
    j.dx = l->out[0].data;
    j.dweight = l->out[1].data;
    j.dbias = l->out[2].data;
    for (int64_t i = 0; i < j.samples * j.channels; i++)
        j.about[i] = j.mean_in[i / j.channels * j.groups + i % j.channels / (j.channels / j.groups)];
    if (l->in[0].count > 0)
        run_job(&j, l->threads);
    cbm_parallel_for(j.channels, cbm_grain(j.samples), l->threads, join_samples, &j);
    return CBM_OK;
}

/* The operands of x's shape; the vectors and statistics stay plain. */
static bool pictures(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    if (l->in[0].rank < 3 || !cbm_cpu_blocks_fit(layout, l->in[0].shape[1]))
        return false;
    *in = 1u | (l->n_in > 3 ? 1u << (l->n_in - 1) : 0);
    *out = 1;
    *gains = 0;
    return true;
}

const cbm_kernel cbm_cpu_group_norm[] = {
    { .op = "group_norm", .supports = cbm_cpu_f32, .prepare = prepare, .launch = group_norm, .layout = pictures },
    { .op = "group_norm_backward",
      .supports = cbm_cpu_f32,
      .prepare = prepare,
      .launch = group_norm_backward,
      .layout = pictures },
    { .op = NULL },
};
