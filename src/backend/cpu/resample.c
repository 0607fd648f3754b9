/* resample.c: interpolation of f32 along an axis and its gradient: a result is the weighted sum of a run of neighbours,
   forward and backward, from a table that is made once. Works in every layout whose axis it is. Rests on op/resample.h and
   simd/resample.c. */
#include "op/resample.h"
#include "backend/cpu/cpu.h"

#include <stdlib.h>

enum { NARROW = 4 }; /* neighbours with fewer elements side by side than this are taken one element at a time */

/* Result i sums count[i] neighbours from first[i] on; its weights begin at weight + at[i]. */
typedef struct table {
    int64_t results, neighbours, most; /* most: neighbours of one result */
    bool plain;                        /* each result is one neighbour as it is */
    int64_t *first, *count, *at;
    float *weight;
    /* When no result has more than two: both places and weights of each, for rows. */
    int32_t *place[2];
    float *share[2];
} table;

static void release(void *state)
{
    table *t = state;
    if (!t)
        return;
    free(t->first);
    free(t->weight);
    free(t->place[0]);
    free(t);
}

static bool take_runs(table *t, int64_t results)
{
    t->results = results;
    t->first = calloc((size_t)results * 3, sizeof *t->first);
    t->count = t->first ? t->first + results : NULL;
    t->at = t->first ? t->count + results : NULL;
    return t->first != NULL;
}

/* Where the runs' weights begin, and memory for them. */
static bool take_weights(table *t)
{
    int64_t all = 0;
    for (int64_t i = 0; i < t->results; i++) {
        t->at[i] = all;
        all += t->count[i];
        t->most = t->count[i] > t->most ? t->count[i] : t->most;
    }
    t->weight = calloc((size_t)all + 1, sizeof *t->weight);
    return t->weight != NULL;
}

static bool fill_forward(table *t, const cbm_resample_attributes *a)
{
    t->neighbours = a->input;
    t->plain = a->mode == CBM_INTERPOLATE_NEAREST || a->mode == CBM_INTERPOLATE_NEAREST_EXACT;
    if (!take_runs(t, a->output))
        return false;
    for (int64_t i = 0; i < a->output; i++) {
        const cbm_taps taps = cbm_resample_taps(a, true, i);
        t->first[i] = taps.first;
        t->count[i] = taps.count;
    }
    if (!take_weights(t))
        return false;
    for (int64_t i = 0; i < a->output; i++) {
        const cbm_taps taps = cbm_resample_taps(a, true, i);
        for (int64_t k = 0; k < taps.count; k++)
            t->weight[t->at[i] + k] = (float)cbm_tap_weight(&taps, k);
    }
    return true;
}

/* The other way round: neighbours of an element are the results that it goes into. They follow each other, as the forward
   runs never turn back. */
static bool fill_backward(table *t, const cbm_resample_attributes *a)
{
    t->neighbours = a->output;
    if (!take_runs(t, a->input))
        return false;
    for (int64_t i = 0; i < a->output; i++) {
        const cbm_taps taps = cbm_resample_taps(a, true, i);
        for (int64_t k = taps.first; k < taps.first + taps.count; k++) {
            t->first[k] = t->count[k] > 0 ? t->first[k] : i;
            t->count[k] = i - t->first[k] + 1;
        }
    }
    if (!take_weights(t))
        return false;
    for (int64_t i = 0; i < a->output; i++) {
        const cbm_taps taps = cbm_resample_taps(a, true, i);
        for (int64_t k = 0; k < taps.count; k++) {
            const int64_t to = taps.first + k;
            t->weight[t->at[to] + i - t->first[to]] += (float)cbm_tap_weight(&taps, k);
        }
    }
    return true;
}

/* One neighbour counts half twice, none not at all. */
static bool fill_pairs(table *t)
{
    if (t->most > 2)
        return true;
    const size_t n = (size_t)t->results;
    t->place[0] = calloc(n * 4, sizeof *t->place[0]);
    if (!t->place[0])
        return false;
    t->place[1] = t->place[0] + n;
    t->share[0] = (float *)(void *)(t->place[1] + n);
    t->share[1] = t->share[0] + n;
    for (int64_t i = 0; i < t->results; i++)
        for (int k = 0; k < 2; k++) {
            const int64_t own = t->count[i] == 2 ? k : 0;
            const float weight = t->count[i] > 0 ? t->weight[t->at[i] + own] : 0;
            t->place[k][i] = (int32_t)(t->count[i] > 0 ? t->first[i] + own : 0);
            t->share[k][i] = t->count[i] == 2 ? weight : weight * 0.5f;
        }
    return true;
}

typedef struct job {
    const cbm_simd *simd;
    const table *t;
    const float *x;
    float *y;
    int64_t inner;
} job;

/* Items are rows of `inner` results. */
static void whole_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const table *t = j->t;
    for (int64_t item = begin; item < end; item++) {
        const int64_t outer = item / t->results, i = item % t->results;
        const float *x = j->x + (outer * t->neighbours + t->first[i]) * j->inner;
        j->simd->weighted_rows(j->y + item * j->inner, x, j->inner, t->weight + t->at[i], t->count[i], j->inner);
    }
}

/* Items are all results of a line, a few elements side by side. */
static void narrow_lines(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const table *t = j->t;
    const int64_t inner = j->inner;
    for (int64_t outer = begin; outer < end; outer++) {
        const float *x = j->x + outer * t->neighbours * inner;
        float *y = j->y + outer * t->results * inner;
        if (inner == 1 && t->place[0]) {
            if (t->plain)
                j->simd->pick(y, x, t->place[0], t->results);
            else
                j->simd->pick_pairs(y, x, t->place[0], t->place[1], t->share[0], t->share[1], t->results);
            continue;
        }
        for (int64_t i = 0; i < t->results; i++)
            for (int64_t e = 0; e < inner; e++) {
                const float *from = x + t->first[i] * inner + e, *w = t->weight + t->at[i];
                float sum = 0;
                for (int64_t k = 0; k < t->count[i]; k++)
                    sum += from[k * inner] * w[k];
                y[i * inner + e] = sum;
            }
    }
}

/* What lies before, along and after the axis in memory. */
static cbm_around around(const cbm_buffer *b, int64_t axis)
{
    cbm_around a = cbm_around_axis(b, axis);
    if (b->layout == CBM_LAYOUT_PLAIN)
        return a;
    const int64_t lanes = b->layout == CBM_LAYOUT_BLOCKED_16 ? 16 : b->layout == CBM_LAYOUT_BLOCKED_8 ? 8 : b->shape[1];
    a.outer /= lanes;
    a.inner *= lanes;
    return a;
}

static cbm_status run(const cbm_launch *l) /* x -> y, g -> dx */
{
    const cbm_resample_attributes *a = l->attributes;
    const table *t = l->state;
    const cbm_around at = around(&l->in[0], a->axis);
    job j = { .simd = cbm_simd_get(), .t = t, .x = l->in[0].data, .y = l->out[0].data, .inner = at.inner };
    if (l->out[0].count == 0)
        return CBM_OK;
    const int64_t row = at.inner * (t->most > 0 ? t->most : 1);
    if (at.inner < NARROW)
        cbm_parallel_for(at.outer, cbm_grain(t->results * row), l->threads, narrow_lines, &j);
    else
        cbm_parallel_for(at.outer * t->results, cbm_grain(row), l->threads, whole_rows, &j);
    return CBM_OK;
}

static cbm_status prepare(cbm_prepare *p, bool (*fill)(table *t, const cbm_resample_attributes *a))
{
    table *t = calloc(1, sizeof *t);
    if (!t)
        return CBM_ERROR_MEMORY;
    if (!fill(t, p->launch->attributes) || !fill_pairs(t)) {
        release(t);
        return CBM_ERROR_MEMORY;
    }
    p->state = t;
    return CBM_OK;
}

static cbm_status prepare_forward(cbm_prepare *p)
{
    return prepare(p, fill_forward);
}
static cbm_status prepare_backward(cbm_prepare *p)
{
    return prepare(p, fill_backward);
}

static bool pictures(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    const cbm_resample_attributes *a = l->attributes;
    if (l->in[0].rank < 3 || a->axis < 2 || !cbm_cpu_blocks_fit(layout, l->in[0].shape[1]))
        return false;
    *in = *out = 1;
    *gains = 1;
    return true;
}

const cbm_kernel cbm_cpu_resample[] = {
    { .op = "resample",
      .supports = cbm_cpu_f32,
      .prepare = prepare_forward,
      .launch = run,
      .release = release,
      .layout = pictures },
    { .op = "resample_backward",
      .supports = cbm_cpu_f32,
      .prepare = prepare_backward,
      .launch = run,
      .release = release,
      .layout = pictures },
    { .op = NULL },
};
