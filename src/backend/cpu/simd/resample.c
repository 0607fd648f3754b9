/* resample.c: results as weighted sums of a few neighbours: whole rows of them, or along a row. Rests on simd.h. */
#include "backend/cpu/simd/level.h"

INLINE void sum_rows(float *r, const float *x, int64_t step, const float *w, int64_t count, int64_t n)
{
    for (int64_t i = 0; i < n; i += VN) {
        const int64_t now = n - i < VN ? n - i : VN;
        vf sum = vf_load_n(x + i, now) * w[0];
        for (int64_t k = 1; k < count; k++)
            sum += vf_load_n(x + k * step + i, now) * w[k];
        vf_store_n(r + i, now, sum);
    }
}

static void weighted_rows(float *r, const float *x, int64_t step, const float *w, int64_t count, int64_t n)
{
    switch (count) {
    case 0: memset(r, 0, (size_t)n * sizeof *r); break;
    case 1: sum_rows(r, x, step, w, 1, n); break;
    case 2: sum_rows(r, x, step, w, 2, n); break;
    case 3: sum_rows(r, x, step, w, 3, n); break;
    case 4: sum_rows(r, x, step, w, 4, n); break;
    default: sum_rows(r, x, step, w, count, n); break;
    }
}

static void pick(float *restrict r, const float *restrict x, const int32_t *restrict at, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        r[i] = x[at[i]];
}

static void pick_pairs(float *restrict r, const float *restrict x, const int32_t *restrict at,
                       const int32_t *restrict other, const float *restrict w, const float *restrict v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        r[i] = x[at[i]] * w[i] + x[other[i]] * v[i];
}

void CBM_LEVEL(cbm_resample_fill)(cbm_simd *s)
{
    s->weighted_rows = weighted_rows;
    s->pick = pick;
    s->pick_pairs = pick_pairs;
}
