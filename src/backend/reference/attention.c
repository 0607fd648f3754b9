/* attention.c: scaled dot-product attention and its gradient, a row of scores at a time. Rests on numbers (reference.h) and
   backend/attention.h. */
#include "backend/attention.h"
#include "backend/reference/reference.h"
#include "base/base.h"

#include <math.h>
#include <string.h>

/* One row: its places' probabilities (of forward) or probabilities and their gradients, behind the operands. */
typedef struct job {
    cbm_attention t;
    const cbm_attention_attributes *a;
    const cbm_launch *l;
    cbm_numbers n;
    cbm_number *p;
} job;

static cbm_status prepare(cbm_prepare *pr)
{
    const cbm_status status = cbm_numbers_prepare(pr);
    const cbm_buffer *k = &pr->launch->in[1];
    pr->workspace += (size_t)k->shape[k->rank - 2] * sizeof(cbm_number);
    return status;
}

static job open_job(const cbm_launch *l)
{
    job j = { .t = cbm_attention_of(l), .a = l->attributes, .l = l };
    cbm_numbers_unpack(l, &j.n);
    j.p = j.n.out[l->n_out - 1] + l->out[l->n_out - 1].count;
    return j;
}

/* Row-major steps of the mask as it was unpacked. */
static int64_t mask_at(const job *j, int64_t lead, int64_t row, int64_t place)
{
    cbm_buffer mask = *j->t.mask;
    cbm_row_major(mask.rank, mask.shape, mask.stride);
    int64_t step[CBM_MAX_DIMS];
    for (int64_t d = 0; d < j->t.rank; d++)
        step[d] = cbm_attention_step(&mask, j->t.rank + 1 - d);
    return cbm_attention_offset(j->t.rank, j->t.extent, step, lead) + row * cbm_attention_step(&mask, 1) +
           place * cbm_attention_step(&mask, 0);
}

static double score(const job *j, int64_t lead, int64_t row, int64_t place)
{
    const cbm_attention *t = &j->t;
    const cbm_number *q = j->n.in[0] + (lead * t->rows + row) * t->width;
    const cbm_number *k = j->n.in[1] + (lead / t->share * t->places + place) * t->width;
    double sum = 0;
    if (j->a->causal && place > row)
        return -INFINITY;
    for (int64_t e = 0; e < t->width; e++)
        sum += q[e].f * k[e].f;
    sum *= j->a->scale;
    if (!t->mask)
        return sum;
    const cbm_number m = j->n.in[3][mask_at(j, lead, row, place)];
    return t->mask->dtype != CBM_BOOL ? sum + m.f : m.i ? sum : -INFINITY;
}

/* What dropout makes of a probability: 0, or this many times as much. */
static double kept(const job *j, int64_t lead, int64_t row, int64_t place)
{
    const uint64_t number = (uint64_t)((lead * j->t.rows + row) * j->t.places + place);
    if (!j->a->dropped)
        return 1;
    return (double)cbm_philox_uniform(j->a->seed, j->a->position, number) < j->a->p ? 0 : j->a->keep_scale;
}

static cbm_status attention(const cbm_launch *l)
{
    job j = open_job(l);
    const cbm_attention *t = &j.t;
    for (int64_t lead = 0; lead < t->leads; lead++)
        for (int64_t i = 0; i < t->rows; i++) {
            double largest = -INFINITY, sum = 0;
            for (int64_t s = 0; s < t->places; s++) {
                j.p[s].f = score(&j, lead, i, s);
                if (j.p[s].f > largest || isnan(j.p[s].f))
                    largest = j.p[s].f;
            }
            if (largest == -INFINITY)
                largest = 0;
            for (int64_t s = 0; s < t->places; s++)
                sum += j.p[s].f = exp(j.p[s].f - largest);
            cbm_number *y = j.n.out[0] + (lead * t->rows + i) * t->out_width;
            const cbm_number *v = j.n.in[2] + lead / t->share * t->places * t->out_width;
            for (int64_t s = 0; s < t->places && sum != 0; s++)
                for (int64_t e = 0; e < t->out_width; e++)
                    y[e].f += j.p[s].f / sum * kept(&j, lead, i, s) * v[s * t->out_width + e].f;
            j.n.out[1][lead * t->rows + i].f = largest + log(sum);
        }
    cbm_numbers_pack(l, &j.n);
    return CBM_OK;
}

/* With p = e^(score - lse): dp = kept g v^T, ds = p (dp - sum of g y), dq = scale ds k, dk = scale ds^T q,
   dv = (kept p)^T g. */
static cbm_status backward(const cbm_launch *l)
{
    job j = open_job(l);
    const cbm_attention *t = &j.t;
    const size_t at = t->mask ? 4 : 3;
    for (int64_t lead = 0; lead < t->leads; lead++)
        for (int64_t i = 0; i < t->rows; i++) {
            const int64_t row = lead * t->rows + i, group = lead / t->share;
            const cbm_number *q = j.n.in[0] + row * t->width, *k = j.n.in[1] + group * t->places * t->width;
            const cbm_number *v = j.n.in[2] + group * t->places * t->out_width;
            const cbm_number *y = j.n.in[at] + row * t->out_width, *g = j.n.in[at + 2] + row * t->out_width;
            cbm_number *dq = j.n.out[0] + row * t->width, *dk = j.n.out[1] + group * t->places * t->width;
            cbm_number *dv = j.n.out[2] + group * t->places * t->out_width;
            const double lse = j.n.in[at + 1][row].f;
            double delta = 0;
            for (int64_t e = 0; e < t->out_width; e++)
                delta += g[e].f * y[e].f;
            for (int64_t s = 0; s < t->places && lse != -INFINITY; s++) {
                const double p = exp(score(&j, lead, i, s) - lse), keep = kept(&j, lead, i, s);
                double dp = 0;
                for (int64_t e = 0; e < t->out_width; e++) {
                    dp += keep * g[e].f * v[s * t->out_width + e].f;
                    dv[s * t->out_width + e].f += keep * p * g[e].f;
                }
                const double ds = p * (dp - delta) * j.a->scale;
                for (int64_t e = 0; e < t->width; e++) {
                    dq[e].f += ds * k[s * t->width + e].f;
                    dk[s * t->width + e].f += ds * q[e].f;
                }
            }
        }
    cbm_numbers_pack(l, &j.n);
    return CBM_OK;
}

const cbm_kernel cbm_reference_attention[] = {
    { .op = "attention", .flags = CBM_KERNEL_STRIDED, .prepare = prepare, .launch = attention },
    { .op = "attention_dropout", .flags = CBM_KERNEL_STRIDED, .prepare = prepare, .launch = attention },
    { .op = "attention_backward", .flags = CBM_KERNEL_STRIDED, .prepare = prepare, .launch = backward },
    { .op = "attention_dropout_backward", .flags = CBM_KERNEL_STRIDED, .prepare = prepare, .launch = backward },
    { .op = NULL },
};
