/* scan.c: what runs along an axis, of f32: lanes side by side go on together, rows in groups of a few. How they are grouped
   depends on shapes only. Rests on simd/scan.c. */
#include "backend/cpu/cpu.h"

#include <math.h>

enum { ROWS = 8 }; /* that go on together */

typedef struct job {
    const cbm_simd *simd;
    cbm_around a;
    bool reverse;
    const float *x, *factors;
    void *y;
    int64_t width, groups; /* lanes of a group; groups of lanes of each outer, or of rows */
    void (*run)(const struct job *j, const cbm_scan *s, int64_t begin);
    cbm_scan_kind kind;
    bool greatest;
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
                             .apart = rows ? n : 1 };
        j->run(j, &s, begin);
    }
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

/* log(e^a + e^b) */
static double log_plus(double a, double b)
{
    const double top = a > b || a != a ? a : b, low = a > b || a != a ? b : a;
    if (low != low || isinf(top))
        return low != low ? low : top;
    return top + log1p(exp(low - top));
}

static void run_exponentials(const job *j, const cbm_scan *s, int64_t begin)
{
    float *y = (float *)j->y + begin;
    for (int64_t k = 0; k < s->lanes; k++) {
        double sum = -HUGE_VAL;
        for (int64_t i = 0; i < s->length; i++) {
            const int64_t at = k * s->apart + i * s->step;
            sum = log_plus(sum, (double)s->x[at]);
            y[at] = (float)sum;
        }
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
    j.width = j.a.inner == 1 ? ROWS : CBM_SCAN_LANES;
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
