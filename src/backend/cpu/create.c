/* create.c: arange and linspace of f32, f64, i64 and i32, and the check of probabilities of f32 and f64. Rests on
   op/attributes.h. */
#include "backend/cpu/cpu.h"
#include "op/attributes.h"

#include <inttypes.h>
#include <stdio.h>

typedef struct job {
    const cbm_row_attributes *a;
    double (*at)(const cbm_row_attributes *a, int64_t i);
    const cbm_buffer *y;
} job;

static double arange_at(const cbm_row_attributes *a, int64_t i)
{
    return cbm_row_arange(a, i);
}
static double linspace_at(const cbm_row_attributes *a, int64_t i)
{
    return cbm_row_linspace(a, i);
}

#define EACH(type_)                                                                                                    \
    for (int64_t i = begin; i < end; i++)                                                                              \
    ((type_ *)j->y->data)[i] = (type_)j->at(j->a, i)

static void numbers(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    switch (j->y->dtype) {
    case CBM_F32: EACH(float); break;
    case CBM_F64: EACH(double); break;
    case CBM_I64: EACH(int64_t); break;
    default: EACH(int32_t); break;
    }
}

static cbm_status run(const cbm_launch *l, double (*at)(const cbm_row_attributes *a, int64_t i))
{
    job j = { l->attributes, at, &l->out[0] };
    cbm_parallel_for(j.y->count, cbm_grain(8), l->threads, numbers, &j);
    return CBM_OK;
}

static cbm_status arange(const cbm_launch *l)
{
    return run(l, arange_at);
}
static cbm_status linspace(const cbm_launch *l)
{
    return run(l, linspace_at);
}

static bool row_supports(const cbm_launch *l)
{
    const cbm_dtype dtype = l->out[0].dtype;
    return dtype == CBM_F32 || dtype == CBM_F64 || dtype == CBM_I64 || dtype == CBM_I32;
}

/* ---- probabilities ---- */

typedef struct check {
    const cbm_buffer *p, *y;
    int64_t wrong; /* the first place that holds none */
} check;

static bool copy_probability(const check *c, int64_t i, double *v)
{
    if (c->p->dtype == CBM_F32)
        *v = (double)(((float *)c->y->data)[i] = ((const float *)c->p->data)[i]);
    else
        *v = ((double *)c->y->data)[i] = ((const double *)c->p->data)[i];
    return *v >= 0 && *v <= 1;
}

static void check_part(void *user, int64_t begin, int64_t end)
{
    check *c = user;
    double v;
    for (int64_t i = begin; i < end; i++) {
        if (copy_probability(c, i, &v))
            continue;
        int64_t first = __atomic_load_n(&c->wrong, __ATOMIC_RELAXED);
        while (i < first &&
               !__atomic_compare_exchange_n(&c->wrong, &first, i, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            continue;
        return;
    }
}

static cbm_status probabilities(const cbm_launch *l)
{
    check c = { &l->in[0], &l->out[0], INT64_MAX };
    cbm_parallel_for(c.p->count, cbm_grain(4), l->threads, check_part, &c);
    if (c.wrong == INT64_MAX)
        return CBM_OK;
    double v;
    char text[32];
    copy_probability(&c, c.wrong, &v);
    if (l->message)
        snprintf(l->message, 256, "%s at position %" PRId64 " is not a probability",
                 cbm_double_text(v, text, sizeof text), c.wrong);
    return CBM_ERROR_RANGE;
}

static bool probabilities_support(const cbm_launch *l)
{
    return l->in[0].dtype == CBM_F32 || l->in[0].dtype == CBM_F64;
}

const cbm_kernel cbm_cpu_create[] = {
    { .op = "arange", .supports = row_supports, .launch = arange },
    { .op = "linspace", .supports = row_supports, .launch = linspace },
    { .op = "probabilities", .supports = probabilities_support, .launch = probabilities },
    { .op = NULL },
};
