/* adaptive.c: maxima of f32 over as many windows as results are wanted, and maxima put back in their places. Rests on
   simd/rows.c. */
#include "backend/cpu/cpu.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct job {
    const cbm_simd *simd;
    int64_t in[3], out[3]; /* depth, height, width */
    int64_t in_places, out_places;
    const float *x;
    float *y;
    int64_t *index;
    const cbm_buffer *indices;
} job;

static job job_of(const cbm_launch *l)
{
    job j = { .simd = cbm_simd_get(), .in_places = 1, .out_places = 1 };
    for (int64_t d = 0; d < 3; d++) {
        const int64_t axis = d + l->in[0].rank - 3;
        j.in[d] = axis < 2 ? 1 : l->in[0].shape[axis];
        j.out[d] = axis < 2 ? 1 : l->out[0].shape[axis];
        j.in_places *= j.in[d];
        j.out_places *= j.out[d];
    }
    return j;
}

/* The greatest of a window's rows: the first of equals, NaN before all. */
static int64_t best_of(const job *j, const float *x, const int64_t low[3], const int64_t high[3])
{
    int64_t best = -1;
    for (int64_t d = low[0]; d < high[0]; d++)
        for (int64_t h = low[1]; h < high[1]; h++) {
            const int64_t row = (d * j->in[1] + h) * j->in[2] + low[2];
            const int64_t n = high[2] - low[2];
            const float top = cbm_fold_row(j->simd, CBM_FOLD_MAX, x + row, n);
            int64_t at;
            j->simd->find(&at, x + row, &top, 1, n, n);
            at += row;
            if (best < 0 || x[at] > x[best] || (x[at] != x[at] && x[best] == x[best]))
                best = at;
        }
    return best;
}

static void some_channels(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t n = begin; n < end; n++)
        for (int64_t k = 0; k < j->out_places; k++) {
            const float *x = j->x + n * j->in_places;
            int64_t low[3], high[3], rest = k;
            for (int d = 2; d >= 0; rest /= j->out[d], d--) {
                const int64_t i = rest % j->out[d];
                low[d] = i * j->in[d] / j->out[d];
                high[d] = ((i + 1) * j->in[d] + j->out[d] - 1) / j->out[d];
            }
            const int64_t best = best_of(j, x, low, high);
            if (j->y)
                j->y[n * j->out_places + k] = x[best];
            if (j->index)
                j->index[n * j->out_places + k] = best;
        }
}

static cbm_status adaptive_max_pool(const cbm_launch *l) /* x -> y, index */
{
    job j = job_of(l);
    j.x = l->in[0].data;
    j.y = l->out[0].data;
    j.index = l->n_out > 1 ? l->out[1].data : NULL;
    if (l->out[0].count > 0)
        cbm_parallel_for(l->out[0].count / j.out_places, cbm_grain(j.in_places), l->threads, some_channels, &j);
    return CBM_OK;
}

static int64_t index_at(const cbm_buffer *b, int64_t i)
{
    return b->dtype == CBM_I64 ? ((const int64_t *)b->data)[i] : ((const int32_t *)b->data)[i];
}

static void put_back(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t n = begin; n < end; n++) {
        const float *x = j->x + n * j->in_places;
        float *y = j->y + n * j->out_places;
        memset(y, 0, (size_t)j->out_places * sizeof *y);
        for (int64_t k = 0; k < j->in_places; k++)
            y[index_at(j->indices, n * j->in_places + k)] = x[k];
    }
}

static cbm_status max_unpool(const cbm_launch *l) /* x, index -> y */
{
    job j = job_of(l);
    j.x = l->in[0].data;
    j.y = l->out[0].data;
    j.indices = &l->in[1];
    for (int64_t i = 0; i < l->in[1].count; i++) {
        const int64_t v = index_at(&l->in[1], i);
        if (v >= 0 && v < j.out_places)
            continue;
        if (l->message)
            snprintf(l->message, 256, "index %" PRId64 " at position %" PRId64 " is outside 0..%" PRId64, v, i,
                     j.out_places - 1);
        return CBM_ERROR_RANGE;
    }
    if (l->out[0].count > 0)
        cbm_parallel_for(l->out[0].count / j.out_places, cbm_grain(j.out_places), l->threads, put_back, &j);
    return CBM_OK;
}

static bool first_is_f32(const cbm_launch *l)
{
    return l->in[0].dtype == CBM_F32;
}

const cbm_kernel cbm_cpu_adaptive[] = {
    { .op = "adaptive_max_pool", .supports = first_is_f32, .launch = adaptive_max_pool },
    { .op = "max_unpool", .supports = first_is_f32, .launch = max_unpool },
    { .op = NULL },
};
