/* place.c: argmax and argmin of f32, along an axis or through the whole tensor. Rests on simd/rows.c and simd/folds.c. */
#include "backend/cpu/cpu.h"

#include <string.h>

typedef struct job {
    const cbm_simd *simd;
    const float *x;
    int64_t *y;
    cbm_around a;
    bool greatest;
} job;

/* Places (outer, inner) from begin to end; for rows side by side, several lanes at a time for the caches' sake. */
static void part(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    if (j->a.inner == 1) {
        for (int64_t i = begin; i < end; i++)
            j->y[i] = (j->greatest ? j->simd->top_at : j->simd->bottom_at)(j->x + i * j->a.length, j->a.length);
        return;
    }
    enum { LANES = 256, ROWS = 1 << 30 };
    float best[LANES];
    int32_t at[LANES];
    for (int64_t i = begin; i < end;) {
        const int64_t outer = i / j->a.inner, inner = i % j->a.inner;
        int64_t n = j->a.inner - inner < end - i ? j->a.inner - inner : end - i;
        n = n < LANES ? n : LANES;
        const float *x = j->x + outer * j->a.length * j->a.inner + inner;
        memcpy(best, x, (size_t)n * sizeof *best);
        for (int64_t first = 0; first < j->a.length; first += ROWS) { /* places fit 32 bits */
            const int64_t rows = j->a.length - first < ROWS ? j->a.length - first : ROWS;
            for (int64_t k = 0; k < n; k++)
                at[k] = first == 0 ? 0 : -1;
            for (int64_t row = 0; row < rows; row++)
                (j->greatest ? j->simd->raise_at : j->simd->lower_at)(best, at, x + (first + row) * j->a.inner,
                                                                      (int32_t)row, n);
            for (int64_t k = 0; k < n; k++)
                j->y[i + k] = at[k] < 0 ? j->y[i + k] : first + at[k];
        }
        i += n;
    }
}

static cbm_status run(const cbm_launch *l, bool greatest)
{
    const cbm_reduce_attributes *r = l->attributes;
    const cbm_buffer *x = &l->in[0];
    job j = { cbm_simd_get(), x->data, l->out[0].data, { 1, x->count, 1 }, greatest };
    if (r->axes.v[0] == 1)
        j.a = cbm_around_axis(x, r->axes.v[1]);
    if (x->count > 0)
        cbm_parallel_for(j.a.outer * j.a.inner, cbm_grain(j.a.length), l->threads, part, &j);
    return CBM_OK;
}

static cbm_status argmax(const cbm_launch *l)
{
    return run(l, true);
}
static cbm_status argmin(const cbm_launch *l)
{
    return run(l, false);
}

const cbm_kernel cbm_cpu_place[] = {
    { .op = "argmax", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = argmax },
    { .op = "argmin", .flags = CBM_KERNEL_SURE, .supports = cbm_cpu_f32, .launch = argmin },
    { .op = NULL },
};
