/* softmax.c: softmax and log_softmax of f32 along any axis. Rows along the last axis are taken as they lie. Otherwise
   lanes lie side by side: many of them go through together, row by row; what is left over is turned into rows and back.
   Rests on simd/rows.c and simd/tile.c. */
#include "backend/cpu/cpu.h"

#include <string.h>

enum {
    LANES = 512, /* that go through together at most */
    GROUP = CBM_TILE_GROUP,
    ROWS_OF_PART = 64 /* terms added up in one running total */
};

typedef struct job {
    const cbm_simd *simd;
    const float *x;
    float *y;
    float *turned; /* GROUP rows for each worker */
    int64_t width; /* lanes of a block, a multiple of GROUP */
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

/* r = x op y, n elements: whole groups. */
static void each(const job *j, int32_t code, int64_t n, float *r, const float *x, const float *y)
{
    const cbm_tile_operand o[3] = { { (const char *)x, 1 }, { (const char *)y, 1 }, { NULL, 0 } };
    j->simd->tile[code][CBM_LANE_F32](n, r, o);
}

/* count lanes side by side, whole groups of them. */
static void side_by_side(const job *j, const float *x, float *y, int64_t count)
{
    const int64_t n = j->a.length, inner = j->a.inner;
    const size_t bytes = (size_t)count * sizeof(float);
    float top[LANES], sum[LANES], part[LANES], term[LANES], one[LANES];
    memcpy(top, x, bytes);
    memset(sum, 0, bytes);
    memset(part, 0, bytes);
    for (int64_t row = 1; row < n; row++)
        j->simd->raise(top, x + row * inner, count);
    for (int64_t row = 0; row < n; row++) {
        float *to = j->logarithm ? term : y + row * inner;
        each(j, CBM_EXPR_SUB, count, to, x + row * inner, top);
        each(j, CBM_EXPR_EXP, count, to, to, to);
        j->simd->add(part, to, count);
        if (row % ROWS_OF_PART < ROWS_OF_PART - 1 && row + 1 < n)
            continue;
        j->simd->add(sum, part, count);
        memset(part, 0, bytes);
    }
    for (int64_t k = 0; k < count; k++)
        one[k] = 1;
    if (j->logarithm)
        each(j, CBM_EXPR_LOG, count, sum, sum, sum);
    else
        each(j, CBM_EXPR_DIV, count, sum, one, sum);
    for (int64_t row = 0; row < n; row++) {
        float *to = y + row * inner;
        if (j->logarithm)
            each(j, CBM_EXPR_SUB, count, to, x + row * inner, top);
        each(j, j->logarithm ? CBM_EXPR_SUB : CBM_EXPR_MUL, count, to, to, sum);
    }
}

/* count < GROUP lanes, through rows of their own. */
static void turned(const job *j, const float *x, float *y, int64_t count, float *t)
{
    const int64_t n = j->a.length, inner = j->a.inner;
    j->simd->transpose((uint32_t *)(void *)t, n, (const uint32_t *)(const void *)x, inner, n, count);
    for (int64_t k = 0; k < count; k++)
        (j->logarithm ? j->simd->log_softmax : j->simd->softmax)(t + k * n, t + k * n, n);
    j->simd->transpose((uint32_t *)(void *)y, inner, (const uint32_t *)(const void *)t, n, count, n);
}

static void lanes(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->a.length, inner = j->a.inner, all = j->a.outer * j->blocks;
    for (int64_t w = begin; w < end; w++)
        for (int64_t b = w * all / j->workers; b < (w + 1) * all / j->workers; b++) {
            const int64_t first = b % j->blocks * j->width, at = b / j->blocks * n * inner + first;
            const int64_t count = inner - first < j->width ? inner - first : j->width, even = count - count % GROUP;
            if (even > 0)
                side_by_side(j, j->x + at, j->y + at, even);
            if (even < count)
                turned(j, j->x + at + even, j->y + at + even, count - even, j->turned + w * GROUP * n);
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
        p->workspace = (size_t)(p->threads > 1 ? p->threads : 1) * GROUP * (size_t)a.length * sizeof(float);
    return CBM_OK;
}

static cbm_status run(const cbm_launch *l, bool logarithm)
{
    job j = { .simd = cbm_simd_get(),
              .x = l->in[0].data,
              .y = l->out[0].data,
              .turned = l->workspace,
              .a = around(l),
              .logarithm = logarithm };
    if (l->in[0].count == 0)
        return CBM_OK;
    if (j.a.inner == 1) {
        cbm_parallel_for(j.a.outer, cbm_grain(4 * j.a.length), l->threads, rows, &j);
        return CBM_OK;
    }
    j.width = LANES;
    if (j.a.outer < l->threads && j.a.inner / l->threads < LANES) /* every thread gets some */
        j.width = (j.a.inner / l->threads + GROUP) / GROUP * GROUP;
    j.blocks = (j.a.inner + j.width - 1) / j.width;
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
    { .op = "softmax", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .prepare = prepare, .launch = softmax },
    { .op = "log_softmax",
      .flags = CBM_KERNEL_SURE,
      .supports = cbm_cpu_f32,
      .prepare = prepare,
      .launch = log_softmax },
    { .op = NULL },
};
