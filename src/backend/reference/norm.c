/* norm.c: batch normalisation with the batch's own statistics, and its gradient. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>

/* x (N, C, ...): one channel's elements are `outer` runs of `inner`, `length * inner` apart. */
static cbm_number *run_of(cbm_number *x, const cbm_lanes *l, int64_t channel, int64_t n)
{
    return x + (n * l->length + channel) * l->inner;
}

static cbm_status batch_norm(const cbm_launch *launch) /* x, weight, bias -> y, mean, rstd */
{
    const cbm_batch_norm_attributes *a = launch->attributes;
    cbm_lanes l = cbm_lanes_of(&launch->in[0], 1);
    double members = (double)l.outer * (double)l.inner;
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t channel = 0; channel < l.length; channel++) {
        double sum = 0, squares = 0;
        for (int64_t n = 0; n < l.outer; n++)
            for (int64_t i = 0; i < l.inner; i++)
                sum += run_of(c.in[0], &l, channel, n)[i].f;
        double mean = sum / members;
        for (int64_t n = 0; n < l.outer; n++)
            for (int64_t i = 0; i < l.inner; i++) {
                double d = run_of(c.in[0], &l, channel, n)[i].f - mean;
                squares += d * d;
            }
        double rstd = 1 / sqrt(squares / members + a->eps);
        for (int64_t n = 0; n < l.outer; n++)
            for (int64_t i = 0; i < l.inner; i++)
                run_of(c.out[0], &l, channel, n)[i].f =
                    (run_of(c.in[0], &l, channel, n)[i].f - mean) * rstd * c.in[1][channel].f + c.in[2][channel].f;
        c.out[1][channel].f = mean;
        c.out[2][channel].f = rstd;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* With xhat = (x - mean) rstd over M members: dbias = sum g, dweight = sum g xhat,
   dx = weight rstd (g - dbias / M - xhat dweight / M). */
static cbm_status backward(const cbm_launch *launch, bool relu)
{
    const size_t bias = 2, mean_at = relu ? 3 : 2, g_at = mean_at + 2;
    cbm_lanes l = cbm_lanes_of(&launch->in[0], 1);
    double members = (double)l.outer * (double)l.inner;
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t channel = 0; channel < l.length; channel++) {
        double mean = c.in[mean_at][channel].f, rstd = c.in[mean_at + 1][channel].f, dweight = 0, dbias = 0;
        for (int64_t n = 0; relu && n < l.outer; n++)
            for (int64_t i = 0; i < l.inner; i++) {
                double z = (run_of(c.in[0], &l, channel, n)[i].f - mean) * rstd * c.in[1][channel].f;
                if (z + c.in[bias][channel].f <= 0)
                    run_of(c.in[g_at], &l, channel, n)[i].f = 0;
            }
        for (int64_t n = 0; n < l.outer; n++)
            for (int64_t i = 0; i < l.inner; i++) {
                double g = run_of(c.in[g_at], &l, channel, n)[i].f;
                dbias += g;
                dweight += g * (run_of(c.in[0], &l, channel, n)[i].f - mean) * rstd;
            }
        for (int64_t n = 0; n < l.outer; n++)
            for (int64_t i = 0; i < l.inner; i++) {
                double g = run_of(c.in[g_at], &l, channel, n)[i].f;
                double xhat = (run_of(c.in[0], &l, channel, n)[i].f - mean) * rstd;
                run_of(c.out[0], &l, channel, n)[i].f =
                    c.in[1][channel].f * rstd * (g - (dbias + xhat * dweight) / members);
            }
        c.out[1][channel].f = dweight;
        c.out[2][channel].f = dbias;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status batch_norm_backward(const cbm_launch *launch) /* x, weight, mean, rstd, g -> dx, dweight, dbias */
{
    return backward(launch, false);
}

static cbm_status batch_norm_relu_backward(const cbm_launch *launch) /* x, weight, bias, mean, rstd, g -> the same */
{
    return backward(launch, true);
}

const cbm_kernel cbm_reference_norm[] = {
    { .op = "batch_norm", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = batch_norm },
    { .op = "batch_norm_backward",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = batch_norm_backward },
    { .op = "batch_norm_relu_backward",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = batch_norm_relu_backward },
    { .op = NULL },
};
