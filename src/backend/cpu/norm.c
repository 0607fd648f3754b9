/* norm.c: batch normalisation of f32 or bf16 (N, C, ...) with the batch's own statistics, and its gradient, alone or through the ReLU
   behind it. Memory is read twice and written once: statistics are joined from parts whose bounds depend on shapes only,
   so results repeat bit for bit whatever the threads. Rests on simd/norms.c. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <stdint.h>

enum {
    PARTS_MOST = 32,
    PART = 32768, /* elements of a part at least */
    CHUNK =
        2048 /* elements of bf16 that are widened at a time, into the nearest cache; channels side by side at most */
};

/* A group is `lanes` channels side by side: one channel in the plain layout, a block's, or all of them (channels last; and
   (N, C), which is the same). Its elements are `samples` runs of `places` times `lanes`. */
typedef struct job {
    const cbm_simd *simd;
    int64_t groups, lanes, samples, places, channels, parts;
    double eps;
    const cbm_post *after;
    bool gate, half, past_caches; /* half: x, g, y and dx are bf16 */
    const void *x, *g, *added;
    void *y, *dx;
    const float *weight, *bias, *mean_in, *rstd_in;
    float *mean, *rstd, *dweight, *dbias;
    double *partial;                                                /* of each part: two of each lane */
    float *about, *scale, *shift, *gain, *slope, *rest;             /* of each channel */
    void (*part)(const struct job *j, int64_t group, int64_t part); /* statistics */
    void (*join)(const struct job *j, int64_t channel);
    void (*apply)(const struct job *j, int64_t group, int64_t part);
} job;

static double members(const job *j)
{
    return (double)j->samples * (double)j->places;
}

/* Walks the runs of a part: the next one begins at place *at of the group's, and ends before `end`. */
typedef struct run {
    int64_t offset, places;
} run;
static bool next_run(const job *j, int64_t group, int64_t *at, int64_t end, run *r)
{
    if (*at >= end)
        return false;
    const int64_t n = *at / j->places, first = *at % j->places;
    r->places = j->places - first < end - *at ? j->places - first : end - *at;
    if (j->half && r->places > CHUNK / j->lanes)
        r->places = CHUNK / j->lanes;
    r->offset = ((n * j->groups + group) * j->places + first) * j->lanes;
    *at += r->places;
    return true;
}

/* The run's elements as f32: where they are, or widened into room. */
static const float *floats(const job *j, const void *data, const run *r, float *room)
{
    if (!j->half)
        return (const float *)data + r->offset;
    j->simd->widen_bf16(room, (const uint16_t *)data + r->offset, r->places * j->lanes);
    return room;
}

/* Where results of the run go; and what is done with those that were put into room. */
static float *results(const job *j, void *data, const run *r, float *room)
{
    return j->half ? room : (float *)data + r->offset;
}
static void keep_results(const job *j, void *data, const run *r, const float *room)
{
    if (j->half)
        j->simd->narrow_bf16((uint16_t *)data + r->offset, room, r->places * j->lanes);
}

static int64_t part_begin(const job *j, int64_t part)
{
    return j->samples * j->places * part / j->parts;
}

static double *partial_of(const job *j, int64_t group, int64_t part)
{
    return j->partial + (group * j->parts + part) * 2 * j->lanes;
}

/* Of a run whose results go to `result`. */
static cbm_norm norm_of(const job *j, int64_t group, int64_t places, const void *result)
{
    const int64_t c = group * j->lanes;
    return (cbm_norm){ .places = places,
                       .past_caches = j->past_caches && (uintptr_t)result % 64 == 0,
                       .lanes = j->lanes,
                       .step = j->lanes,
                       .about = j->about + c,
                       .scale = j->scale + c,
                       .shift = j->shift + c,
                       .gain = j->gain + c,
                       .slope = j->slope + c,
                       .rest = j->rest + c,
                       .after = j->after,
                       .gate = j->gate };
}

/* ---- forward ---- */

static void join_moments(double *mean, double *squares, double count, double mean_2, double squares_2, double count_2)
{
    const double delta = mean_2 - *mean, total = count + count_2;
    *mean += delta * (count_2 / total);
    *squares += squares_2 + delta * delta * (count * count_2 / total);
}

static void moments_part(const job *j, int64_t group, int64_t part)
{
    double *m = partial_of(j, group, part);
    const int64_t begin = part_begin(j, part), end = part_begin(j, part + 1);
    float room[CHUNK];
    run r;
    m[0] = m[1] = 0;
    for (int64_t at = begin, before = 0; next_run(j, group, &at, end, &r); before = at - begin) {
        const float *x = floats(j, j->x, &r, room);
        if (j->lanes > 1) {
            j->simd->moments_columns(m, m + j->lanes, before, x, r.places, j->lanes, j->lanes);
            continue;
        }
        const double n = (double)r.places, sum = j->simd->sum(x, r.places);
        const float about = (float)(sum / n);
        const double rest = sum / n - (double)about; /* what rounding the mean left out */
        const double squares = j->simd->sum_of_squares(x, r.places, (double)about) - n * rest * rest;
        join_moments(&m[0], &m[1], (double)before, sum / n, squares, n);
    }
}

static void join_forward(const job *j, int64_t channel)
{
    const int64_t group = channel / j->lanes, lane = channel % j->lanes;
    const double *first = partial_of(j, group, 0);
    double mean = first[lane], squares = first[j->lanes + lane];
    for (int64_t part = 1; part < j->parts; part++) {
        const double *m = partial_of(j, group, part);
        const int64_t begin = part_begin(j, part);
        join_moments(&mean, &squares, (double)begin, m[lane], m[j->lanes + lane],
                     (double)(part_begin(j, part + 1) - begin));
    }
    const double variance = squares / members(j);
    const float rstd = (float)(1 / sqrt((variance < 0 ? 0 : variance) + j->eps)); /* NaN stays */
    j->about[channel] = (float)mean;
    j->scale[channel] = rstd * j->weight[channel];
    j->shift[channel] = (float)((double)j->bias[channel] - (mean - (double)(float)mean) * (double)j->scale[channel]);
    if (j->mean)
        j->mean[channel] = (float)mean;
    if (j->rstd)
        j->rstd[channel] = rstd;
}

static void apply_forward(const job *j, int64_t group, int64_t part)
{
    const int64_t end = part_begin(j, part + 1);
    float room[CHUNK];
    run r;
    for (int64_t at = part_begin(j, part); j->y && next_run(j, group, &at, end, &r);) {
        float *y = results(j, j->y, &r, room);
        cbm_norm p = norm_of(j, group, r.places, y);
        const float *x = floats(j, j->x, &r, room);
        p.added = j->added ? (const float *)j->added + r.offset : NULL;
        (j->lanes > 1 ? j->simd->norm_forward : j->simd->norm_forward_run)(y, x, &p);
        keep_results(j, j->y, &r, room);
    }
    if (j->past_caches)
        j->simd->stream_end();
}

/* ---- backward: with xhat = (x - mean) rstd over M members: dbias = sum g, dweight = sum g xhat,
        dx = weight rstd (g - dbias / M - xhat dweight / M) ---- */

static void sums_part(const job *j, int64_t group, int64_t part)
{
    double *sums = partial_of(j, group, part);
    const int64_t end = part_begin(j, part + 1);
    float room[2][CHUNK];
    run r;
    for (int64_t i = 0; i < 2 * j->lanes; i++)
        sums[i] = 0;
    for (int64_t at = part_begin(j, part); next_run(j, group, &at, end, &r);) {
        const cbm_norm p = norm_of(j, group, r.places, NULL);
        const float *x = floats(j, j->x, &r, room[0]), *g = floats(j, j->g, &r, room[1]);
        (j->lanes > 1 ? j->simd->norm_sums : j->simd->norm_sums_run)(sums, x, g, &p);
    }
}

static void join_backward(const job *j, int64_t channel)
{
    const int64_t group = channel / j->lanes, lane = channel % j->lanes;
    double dbias = 0, centred = 0;
    for (int64_t part = 0; part < j->parts; part++) {
        const double *sums = partial_of(j, group, part);
        dbias += sums[lane];
        centred += sums[j->lanes + lane];
    }
    const double rstd = (double)j->rstd_in[channel], dweight = centred * rstd,
                 scale = (double)j->weight[channel] * rstd;
    j->gain[channel] = (float)scale;
    j->slope[channel] = (float)(-scale * rstd * dweight / members(j));
    j->rest[channel] = (float)(-scale * dbias / members(j));
    if (j->dweight)
        j->dweight[channel] = (float)dweight;
    if (j->dbias)
        j->dbias[channel] = (float)dbias;
}

static void apply_backward(const job *j, int64_t group, int64_t part)
{
    const int64_t end = part_begin(j, part + 1);
    float room[2][CHUNK];
    run r;
    for (int64_t at = part_begin(j, part); j->dx && next_run(j, group, &at, end, &r);) {
        float *dx = results(j, j->dx, &r, room[0]);
        const cbm_norm p = norm_of(j, group, r.places, dx);
        const float *x = floats(j, j->x, &r, room[0]), *g = floats(j, j->g, &r, room[1]);
        (j->lanes > 1 ? j->simd->norm_backward : j->simd->norm_backward_run)(dx, x, g, &p);
        keep_results(j, j->dx, &r, room[0]);
    }
    if (j->past_caches)
        j->simd->stream_end();
}

/* ---- dealing out ---- */

/* Both passes over some groups; the second begins with what the first has left in the caches. */
static void whole_groups(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t group = begin; group < end; group++) {
        for (int64_t part = 0; part < j->parts; part++)
            j->part(j, group, part);
        for (int64_t lane = 0; lane < j->lanes; lane++)
            j->join(j, group * j->lanes + lane);
        for (int64_t part = j->parts - 1; part >= 0; part--)
            j->apply(j, group, part);
    }
}

static void some_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t i = begin; i < end; i++)
        j->part(j, i / j->parts, i % j->parts);
}
static void some_joins(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t channel = begin; channel < end; channel++)
        j->join(j, channel);
}
static void some_applications(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t i = end - 1; i >= begin; i--)
        j->apply(j, i / j->parts, i % j->parts);
}

static void run_job(job *j, int64_t threads)
{
    const int64_t group_elements = j->samples * j->places * j->lanes;
    const bool even = j->groups % threads == 0 || j->groups >= 4 * threads;
    if (even || j->groups * group_elements < 2 * CBM_CPU_GRAIN) {
        cbm_parallel_for(j->groups, cbm_grain(group_elements), threads, whole_groups, j);
        return;
    }
    const int64_t grain = cbm_grain(group_elements / j->parts);
    cbm_parallel_for(j->groups * j->parts, grain, threads, some_parts, j);
    cbm_parallel_for(j->channels, cbm_grain(16 * j->parts), threads, some_joins, j);
    cbm_parallel_for(j->groups * j->parts, grain, threads, some_applications, j);
}

/* A result that does not lie over an operand, and is too large for the caches. */
static bool goes_past(const job *j, const cbm_launch *l)
{
    bool past = !j->half && (j->lanes == 1 || j->lanes % CBM_TILE_GROUP == 0) &&
                cbm_cpu_streams(l->in[0].count * (int64_t)sizeof(float));
    for (size_t i = 0; i < l->n_in; i++)
        past = past && l->in[i].data != l->out[0].data;
    return past && !(l->added && l->added->data == l->out[0].data) && !(l->after && l->after->add && !l->added);
}

/* Everything but the operands. The workspace: partial results, then six numbers a channel. */
static job job_of(const cbm_launch *l)
{
    const cbm_buffer *x = &l->in[0];
    const cbm_around a = cbm_around_axis(x, 1);
    job j = { .simd = cbm_simd_get(), .groups = a.length, .lanes = 1, .samples = a.outer, .places = a.inner };
    j.channels = a.length;
    j.half = x->dtype == CBM_BF16;
    if (x->layout == CBM_LAYOUT_BLOCKED_16 || x->layout == CBM_LAYOUT_BLOCKED_8) {
        j.lanes = x->layout == CBM_LAYOUT_BLOCKED_16 ? 16 : 8;
        j.groups = a.length / j.lanes;
    } else if (x->layout == CBM_LAYOUT_CHANNELS_LAST || a.inner == 1) {
        j.lanes = a.length;
        j.groups = a.length > 0 ? 1 : 0;
        j.samples = 1;
        j.places = a.outer * a.inner;
    }
    const int64_t parts = j.samples * j.places * j.lanes / PART, all = j.samples * j.places;
    j.parts = parts > PARTS_MOST ? PARTS_MOST : parts < 1 ? 1 : parts;
    j.parts = j.parts > all && all > 0 ? all : j.parts;
    float *next = l->workspace ? (float *)((double *)l->workspace + j.channels * j.parts * 2) : NULL;
    float **const vectors[] = { &j.about, &j.scale, &j.shift, &j.gain, &j.slope, &j.rest };
    j.partial = l->workspace;
    j.past_caches = goes_past(&j, l);
    for (size_t i = 0; next && i < sizeof vectors / sizeof *vectors; i++, next += j.channels)
        *vectors[i] = next;
    return j;
}

static cbm_status prepare(cbm_prepare *prepare)
{
    const job j = job_of(prepare->launch);
    prepare->workspace = (size_t)j.channels * ((size_t)j.parts * 2 * sizeof(double) + 6 * sizeof(float));
    return CBM_OK;
}

static cbm_status batch_norm(const cbm_launch *l) /* x, weight, bias -> y, mean, rstd */
{
    const cbm_batch_norm_attributes *a = l->attributes;
    job j = job_of(l);
    j.eps = a->eps;
    j.after = l->after;
    j.x = l->in[0].data;
    j.weight = l->in[1].data;
    j.bias = l->in[2].data;
    j.y = l->out[0].data;
    j.mean = l->out[1].data;
    j.rstd = l->out[2].data;
    j.part = moments_part;
    j.join = join_forward;
    j.apply = apply_forward;
    j.added = l->added ? l->added->data : NULL;
    if (l->in[0].count > 0) {
        run_job(&j, l->threads);
        return CBM_OK;
    }
    for (int64_t c = 0; c < j.channels; c++) {
        if (j.mean)
            j.mean[c] = NAN;
        if (j.rstd)
            j.rstd[c] = NAN;
    }
    return CBM_OK;
}

/* y alone, from x and the numbers of each channel that the workspace still holds. */
static cbm_status batch_norm_again(const cbm_launch *l)
{
    job j = job_of(l);
    j.after = l->after;
    j.added = l->added ? l->added->data : NULL;
    j.x = l->in[0].data;
    j.y = l->out[0].data;
    j.apply = apply_forward;
    if (l->in[0].count > 0)
        cbm_parallel_for(j.groups * j.parts, cbm_grain(j.samples * j.places * j.lanes / j.parts), l->threads,
                         some_applications, &j);
    return CBM_OK;
}

static cbm_status backward(job *j, const cbm_launch *l)
{
    j->dx = l->out[0].data;
    j->dweight = l->out[1].data;
    j->dbias = l->out[2].data;
    j->part = sums_part;
    j->join = join_backward;
    j->apply = apply_backward;
    for (int64_t c = 0; c < j->channels; c++) {
        j->about[c] = j->mean_in[c];
        j->scale[c] = j->rstd_in[c] * j->weight[c];
        j->shift[c] = j->gate ? j->bias[c] : 0;
    }
    if (l->in[0].count > 0) {
        run_job(j, l->threads);
        return CBM_OK;
    }
    for (int64_t c = 0; c < j->channels; c++) {
        if (j->dweight)
            j->dweight[c] = 0;
        if (j->dbias)
            j->dbias[c] = 0;
    }
    return CBM_OK;
}

static cbm_status batch_norm_backward(const cbm_launch *l) /* x, weight, mean, rstd, g -> dx, dweight, dbias */
{
    job j = job_of(l);
    j.x = l->in[0].data;
    j.weight = l->in[1].data;
    j.mean_in = l->in[2].data;
    j.rstd_in = l->in[3].data;
    j.g = l->in[4].data;
    return backward(&j, l);
}

/* x, weight, bias, mean, rstd, g -> the same. The ReLU's side is found again from x, which saves reading its result twice; it
   can differ from the forward pass's only where x is within rounding of the kink. */
static cbm_status batch_norm_relu_backward(const cbm_launch *l)
{
    job j = job_of(l);
    j.gate = true;
    j.x = l->in[0].data;
    j.weight = l->in[1].data;
    j.bias = l->in[2].data;
    j.mean_in = l->in[3].data;
    j.rstd_in = l->in[4].data;
    j.g = l->in[5].data;
    return backward(&j, l);
}

/* The operands of x's shape; the vectors stay plain. */
static bool pictures(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    if (l->in[0].rank < 3 || !cbm_cpu_blocks_fit(layout, l->in[0].shape[1]))
        return false;
    *in = 1u | (l->n_in > 3 ? 1u << (l->n_in - 1) : 0);
    *out = 1;
    *gains = 1;
    return true;
}

/* x and the gradient, the last operand of the backward kernels, may be bf16. */
static bool supports(const cbm_launch *l)
{
    const cbm_dtype dtype = l->in[0].dtype;
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].dtype != (i == 0 || (i > 3 && i == l->n_in - 1) ? dtype : CBM_F32))
            return false;
    return dtype == CBM_F32 || (dtype == CBM_BF16 && l->in[0].shape[1] <= CHUNK);
}

/* Results lie element by element where x, or the gradient, lies: sums are complete before the first is written. */
#define OVER(operand_) (1u << 0 | 1u << (operand_))
#define NORM(name_, launch_, flags_, over_, again_)                                                                    \
    {                                                                                                                  \
        .op = (name_), .flags = CBM_KERNEL_SURE | (flags_), .supports = supports, .prepare = prepare,                  \
        .launch = (launch_), .layout = pictures, .over = (over_), .again = (again_)                                    \
    }
enum { ADDED = 3 }; /* of batch_norm: after its own operands */
const cbm_kernel cbm_cpu_norm[] = {
    NORM("batch_norm", batch_norm, CBM_KERNEL_POST | CBM_KERNEL_ADDS, OVER(ADDED), batch_norm_again),
    NORM("batch_norm_backward", batch_norm_backward, 0, OVER(4), NULL),
    NORM("batch_norm_relu_backward", batch_norm_relu_backward, 0, OVER(5), NULL),
    { .op = NULL },
};
