/* count.c: sums of whole numbers and truth values in i64, and from them whether any or all are true, over any axes. Rests on
   reduction.h and simd/folds.c. */
#include "backend/cpu/reduction.h"

#include <stdlib.h>
#include <string.h>

enum {
    PART = 65536, /* elements of a part of one result, when results are few */
    STRIP = 1024  /* columns that are added up together */
};

typedef struct plan {
    cbm_reduction r;
    cbm_cut cut;
} plan;

typedef struct job {
    const plan *p;
    const cbm_simd *simd;
    cbm_dtype dtype;
    const char *x;
    int64_t *sums; /* of all results, one set a part */
} job;

static void run_units(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t size = (int64_t)cbm_dtype_size(j->dtype);
    for (int64_t unit = begin; unit < end; unit++) {
        cbm_runs runs = cbm_runs_of(&j->p->r, &j->p->cut, unit);
        int64_t *to = j->sums + runs.part * j->p->cut.results + runs.result;
        if (!j->p->r.row) {
            uint64_t total = 0;
            while (cbm_next_run(&runs))
                for (int64_t row = 0; row < runs.rows; row++)
                    total +=
                        (uint64_t)j->simd->sum_whole(j->dtype, j->x + (runs.offset + row * runs.step) * size, runs.n);
            *to = (int64_t)total;
            continue;
        }
        memset(to, 0, (size_t)runs.n * sizeof *to);
        while (cbm_next_run(&runs))
            for (int64_t row = 0; row < runs.rows; row++)
                j->simd->add_whole(j->dtype, to, j->x + (runs.offset + row * runs.step) * size, runs.n);
    }
}

static cbm_status prepare(cbm_prepare *prepare)
{
    const cbm_launch *l = prepare->launch;
    plan *p = malloc(sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    cbm_reduction_make(&l->in[0], &((const cbm_reduce_attributes *)l->attributes)->axes, &p->r);
    p->cut = cbm_reduction_cut(&p->r, PART, STRIP);
    prepare->workspace = (size_t)(p->cut.parts * p->cut.results) * sizeof(int64_t);
    prepare->state = p;
    return CBM_OK;
}

/* The sums of all results at the workspace's begin; 0 of nothing. */
static const int64_t *counted(const cbm_launch *l)
{
    const plan *p = l->state;
    uint64_t *sums = l->workspace;
    if (l->in[0].count == 0) {
        memset(sums, 0, (size_t)p->cut.results * sizeof *sums);
        return l->workspace;
    }
    job j = { p, cbm_simd_get(), l->in[0].dtype, l->in[0].data, l->workspace };
    cbm_parallel_for(p->cut.units, cbm_grain(l->in[0].count / p->cut.units), l->threads, run_units, &j);
    for (int64_t part = 1; part < p->cut.parts; part++)
        for (int64_t k = 0; k < p->cut.results; k++)
            sums[k] += sums[part * p->cut.results + k];
    return l->workspace;
}

static cbm_status sum(const cbm_launch *l)
{
    const int64_t *sums = counted(l);
    if (l->out[0].count > 0)
        memcpy(l->out[0].data, sums, (size_t)l->out[0].count * sizeof *sums);
    return CBM_OK;
}

static cbm_status any(const cbm_launch *l)
{
    const int64_t *sums = counted(l);
    for (int64_t k = 0; k < l->out[0].count; k++)
        ((uint8_t *)l->out[0].data)[k] = sums[k] > 0;
    return CBM_OK;
}

static cbm_status all(const cbm_launch *l)
{
    const int64_t *sums = counted(l), members = ((const plan *)l->state)->r.members;
    for (int64_t k = 0; k < l->out[0].count; k++)
        ((uint8_t *)l->out[0].data)[k] = sums[k] == members;
    return CBM_OK;
}

static bool whole(const cbm_launch *l)
{
    const cbm_dtype dtype = l->in[0].dtype;
    return dtype == CBM_I64 || dtype == CBM_I32 || dtype == CBM_U8 || dtype == CBM_BOOL;
}

const cbm_kernel cbm_cpu_count[] = {
    { .op = "sum", .flags = CBM_KERNEL_SURE, .supports = whole, .prepare = prepare, .launch = sum, .release = free },
    { .op = "any", .flags = CBM_KERNEL_SURE, .supports = whole, .prepare = prepare, .launch = any, .release = free },
    { .op = "all", .flags = CBM_KERNEL_SURE, .supports = whole, .prepare = prepare, .launch = all, .release = free },
    { .op = NULL },
};
