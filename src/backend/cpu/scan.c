/* scan.c: what runs along an axis, of f32: lanes side by side go on together, rows in groups of a few. How they are grouped
   depends on shapes only. Rests on simd/scan.c. */
#include "backend/cpu/cpu.h"

#include <stdint.h>

enum {
    ROWS = 16,  /* that go on together */
    BLOCK = 256 /* of their elements are turned into lanes side by side at a time */
};

typedef struct job {
    const cbm_simd *simd;
    cbm_around a;
    bool reverse;
    const float *x, *factors;
    void *y;
    int64_t width, groups; /* lanes of a group; groups of lanes of each outer, or of rows */
    void (*run)(const struct job *j, const cbm_scan *s, int64_t begin);
    cbm_scan_kind kind;
    bool greatest, past_caches;
} job;

static void run_groups(void *user, int64_t first, int64_t last)
{
    const job *j = user;
    const int64_t n = j->a.length, inner = j->a.inner;
    for (int64_t g = first; g < last; g++) {
        const bool rows = inner == 1;
        const int64_t lane = g % j->groups * j->width, all = rows ? j->a.outer : inner;
        const int64_t begin = (rows ? lane * n : g / j->groups * n * inner + lane) + (j->reverse ? (n - 1) * inner : 0);
        const cbm_scan s = { .x = j->x + begin,
                             .a = j->factors + begin,
                             .length = n,
                             .step = j->reverse ? -inner : inner,
                             .lanes = all - lane < j->width ? all - lane : j->width,
                             .apart = rows ? n : 1,
                             .past_caches =
                                 j->past_caches && !(rows && j->reverse) && (rows || lane % CBM_TILE_GROUP == 0) };
        j->run(j, &s, begin);
    }
    if (j->past_caches)
        j->simd->stream_end();
}

static void run_numbers(const job *j, const cbm_scan *given, int64_t begin)
{
    cbm_scan s = *given;
    s.y = (float *)j->y + begin;
    j->simd->scan[j->kind](&s);
}

static void run_places(const job *j, const cbm_scan *s, int64_t begin)
{
    j->simd->scan_place((int64_t *)j->y + begin, s, j->greatest);
}

/* Lanes side by side; rows are turned, some columns at a time. */
static void run_exponentials(const job *j, const cbm_scan *given, int64_t begin)
{
    float top[CBM_SCAN_LANES], x[ROWS * BLOCK], y[ROWS * BLOCK];
    double sum[CBM_SCAN_LANES];
    cbm_scan s = *given;
    s.y = (float *)j->y + begin;
    if (s.apart == 1) {
        j->simd->log_scan(&s, top, sum, true);
        return;
    }
    for (int64_t i = 0; i < s.length; i += BLOCK) {
        const int64_t now = s.length - i < BLOCK ? s.length - i : BLOCK;
        const int64_t at = s.step > 0 ? i : -(i + now - 1); /* the block's first in memory */
        const cbm_scan turned = { .x = s.step > 0 ? x : x + (now - 1) * ROWS,
                                  .y = s.step > 0 ? y : y + (now - 1) * ROWS,
                                  .length = now,
                                  .step = s.step * ROWS,
                                  .lanes = s.lanes,
                                  .apart = 1 };
        j->simd->transpose((uint32_t *)(void *)x, ROWS, (const uint32_t *)(const void *)(s.x + at), s.apart, s.lanes,
                           now);
        j->simd->log_scan(&turned, top, sum, i == 0);
        j->simd->transpose((uint32_t *)(void *)(s.y + at), s.apart, (const uint32_t *)(const void *)y, ROWS, now,
                           s.lanes);
    }
}

static cbm_status start(const cbm_launch *l, job j)
{
    const cbm_scan_attributes *a = l->attributes;
    const cbm_buffer *x = &l->in[l->n_in - 1];
    j.simd = cbm_simd_get();
    j.a = cbm_around_axis(x, a->axis);
    j.reverse = a->reverse != 0;
    j.x = x->data;
    j.factors = l->in[0].data;
    j.y = l->out[0].data;
    const int64_t share = j.a.outer < l->threads ? j.a.inner / l->threads / CBM_TILE_GROUP * CBM_TILE_GROUP : j.a.inner;
    j.width = j.a.inner == 1 ? ROWS : share < CBM_TILE_GROUP ? CBM_TILE_GROUP : share;
    j.width = j.width < CBM_SCAN_LANES ? j.width : CBM_SCAN_LANES;
    j.past_caches = cbm_cpu_streams(x->count * (int64_t)sizeof(float)) && (uintptr_t)j.y % 64 == 0 &&
                    (j.a.inner == 1 ? j.a.length : j.a.inner) % CBM_TILE_GROUP == 0;
    j.groups = ((j.a.inner == 1 ? j.a.outer : j.a.inner) + j.width - 1) / j.width;
    if (x->count > 0)
        cbm_parallel_for(j.a.inner == 1 ? j.groups : j.a.outer * j.groups,
                         cbm_grain(j.a.length * (j.a.inner < j.width ? j.a.inner : j.width)), l->threads, run_groups,
                         &j);
    return CBM_OK;
}

static cbm_status cumsum(const cbm_launch *l)
{
    return start(l, (job){ .run = run_numbers, .kind = CBM_SCAN_SUM });
}
static cbm_status cumprod(const cbm_launch *l)
{
    return start(l, (job){ .run = run_numbers, .kind = CBM_SCAN_PRODUCT });
}
static cbm_status linear_scan(const cbm_launch *l)
{
    return start(l, (job){ .run = run_numbers, .kind = CBM_SCAN_LINEAR });
}
static cbm_status logcumsumexp(const cbm_launch *l)
{
    return start(l, (job){ .run = run_exponentials });
}
static cbm_status cummax_index(const cbm_launch *l)
{
    return start(l, (job){ .run = run_places, .greatest = true });
}
static cbm_status cummin_index(const cbm_launch *l)
{
    return start(l, (job){ .run = run_places });
}

const cbm_kernel cbm_cpu_scan[] = {
    { .op = "cumsum", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = cumsum },
    { .op = "cumprod", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = cumprod },
    { .op = "linear_scan", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = linear_scan },
    { .op = "logcumsumexp", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = logcumsumexp },
    { .op = "cummax_index", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = cummax_index },
    { .op = "cummin_index", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = cummin_index },
    { .op = NULL },
};
