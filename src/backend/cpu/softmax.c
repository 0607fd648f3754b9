/* softmax.c: softmax and log_softmax of f32 along any axis. Rows along the last axis are taken as they lie; otherwise
   sixteen lanes at a time are turned into rows and back. Rests on simd/rows.c. */
#include "backend/cpu/cpu.h"

enum { LANES = 16 };

typedef struct job {
    const cbm_simd *simd;
    const float *x;
    float *y;
    float *turned; /* LANES rows for each worker */
    cbm_around a;
    bool logarithm;
    int64_t blocks, workers; /* of lanes, for each outer; workers share them */
} job;

static void rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->a.length;
    for (int64_t i = begin; i < end; i++)
        (j->logarithm ? j->simd->log_softmax : j->simd->softmax)(j->y + i * n, j->x + i * n, n);
}

static void lanes(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->a.length, inner = j->a.inner, all = j->a.outer * j->blocks;
    for (int64_t w = begin; w < end; w++) {
        float *t = j->turned + w * LANES * n;
        for (int64_t b = w * all / j->workers; b < (w + 1) * all / j->workers; b++) {
            const int64_t first = b % j->blocks * LANES, at = b / j->blocks * n * inner + first;
            const int64_t count = inner - first < LANES ? inner - first : LANES;
            j->simd->transpose((uint32_t *)(void *)t, n, (const uint32_t *)(const void *)(j->x + at), inner, n, count);
            for (int64_t k = 0; k < count; k++)
                (j->logarithm ? j->simd->log_softmax : j->simd->softmax)(t + k * n, t + k * n, n);
            j->simd->transpose((uint32_t *)(void *)(j->y + at), inner, (const uint32_t *)(const void *)t, n, count, n);
        }
    }
}

static cbm_around around(const cbm_launch *l)
{
    const cbm_axis_attributes *a = l->attributes;
    return cbm_around_axis(&l->in[0], a->axis);
}

static cbm_status prepare(cbm_prepare *p)
{
    const cbm_around a = around(p->launch);
    if (a.inner > 1)
        p->workspace = (size_t)(p->threads > 1 ? p->threads : 1) * LANES * (size_t)a.length * sizeof(float);
    return CBM_OK;
}

static cbm_status run(const cbm_launch *l, bool logarithm)
{
    job j = { .simd = cbm_simd_get(), .x = l->in[0].data, .y = l->out[0].data, .turned = l->workspace,
              .a = around(l), .logarithm = logarithm };
    if (l->in[0].count == 0)
        return CBM_OK;
    if (j.a.inner == 1) {
        cbm_parallel_for(j.a.outer, cbm_grain(4 * j.a.length), l->threads, rows, &j);
        return CBM_OK;
    }
    j.blocks = (j.a.inner + LANES - 1) / LANES;
    j.workers = l->in[0].count < CBM_CPU_GRAIN || l->threads < 1 ? 1 : l->threads;
    cbm_parallel_for(j.workers, 1, l->threads, lanes, &j);
    return CBM_OK;
}

static cbm_status softmax(const cbm_launch *l)
{
    return run(l, false);
}
static cbm_status log_softmax(const cbm_launch *l)
{
    return run(l, true);
}

const cbm_kernel cbm_cpu_softmax[] = {
    { .op = "softmax", .supports = cbm_cpu_f32, .prepare = prepare, .launch = softmax },
    { .op = "log_softmax", .supports = cbm_cpu_f32, .prepare = prepare, .launch = log_softmax },
    { .op = NULL },
};
