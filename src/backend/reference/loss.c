/* loss.c: the mean cross-entropy of logits (N, C, ...) against class numbers (N, ...), and its gradient. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>

static double log_sum_exp(const cbm_number *lane, const cbm_lanes *l)
{
    double maximum = -INFINITY, sum = 0;
    for (int64_t j = 0; j < l->length; j++) {
        double x = lane[j * l->inner].f;
        if (x > maximum || isnan(x))
            maximum = x;
    }
    for (int64_t j = 0; j < l->length; j++)
        sum += exp(lane[j * l->inner].f - maximum);
    return maximum + log(sum);
}

static cbm_status check_targets(const cbm_launch *launch, const cbm_number *targets, int64_t classes)
{
    for (int64_t k = 0; k < launch->in[1].count; k++)
        if (targets[k].i < 0 || targets[k].i >= classes)
            return cbm_reference_range(launch, "label", targets[k].i, k, classes);
    return CBM_OK;
}

static cbm_status cross_entropy(const cbm_launch *launch) /* logits, targets -> loss, log-sum-exp */
{
    cbm_lanes l = cbm_lanes_of(&launch->in[0], 1);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_status status = check_targets(launch, c.in[1], l.length);
    if (status != CBM_OK)
        return status;
    double sum = 0;
    for (int64_t n = 0; n < l.outer; n++)
        for (int64_t i = 0; i < l.inner; i++) {
            const cbm_number *lane = c.in[0] + n * l.length * l.inner + i;
            double lse = log_sum_exp(lane, &l);
            sum += lse - lane[c.in[1][n * l.inner + i].i * l.inner].f;
            c.out[1][n * l.inner + i].f = lse;
        }
    c.out[0][0].f = sum / (double)launch->in[1].count;
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status cross_entropy_backward(const cbm_launch *launch) /* logits, targets, log-sum-exp, g -> dlogits */
{
    cbm_lanes l = cbm_lanes_of(&launch->in[0], 1);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_status status = check_targets(launch, c.in[1], l.length);
    if (status != CBM_OK)
        return status;
    double share = c.in[3][0].f / (double)launch->in[1].count;
    for (int64_t n = 0; n < l.outer; n++)
        for (int64_t j = 0; j < l.length; j++)
            for (int64_t i = 0; i < l.inner; i++) {
                int64_t k = (n * l.length + j) * l.inner + i, place = n * l.inner + i;
                double probability = exp(c.in[0][k].f - c.in[2][place].f);
                c.out[0][k].f = share * (probability - (j == c.in[1][place].i));
            }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status rows(const cbm_launch *launch) /* logits, targets -> losses, log-sum-exp */
{
    const double smoothing = ((const cbm_cross_entropy_attributes *)launch->attributes)->smoothing;
    cbm_lanes l = cbm_lanes_of(&launch->in[0], 1);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_status status = check_targets(launch, c.in[1], l.length);
    for (int64_t k = 0; status == CBM_OK && k < l.outer * l.inner; k++) {
        const cbm_number *lane = c.in[0] + k / l.inner * l.length * l.inner + k % l.inner;
        const double lse = log_sum_exp(lane, &l);
        double sum = 0, loss = lse;
        for (int64_t j = 0; j < l.length; j++)
            sum += lane[j * l.inner].f;
        if (smoothing < 1)
            loss -= (1 - smoothing) * lane[c.in[1][k].i * l.inner].f;
        if (smoothing > 0)
            loss -= smoothing * sum / (double)l.length;
        c.out[0][k].f = loss;
        c.out[1][k].f = lse;
    }
    if (status == CBM_OK)
        cbm_numbers_pack(launch, &c);
    return status;
}

static cbm_status rows_backward(const cbm_launch *launch) /* logits, targets, log-sum-exp, g -> dlogits */
{
    const double smoothing = ((const cbm_cross_entropy_attributes *)launch->attributes)->smoothing;
    cbm_lanes l = cbm_lanes_of(&launch->in[0], 1);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    cbm_status status = check_targets(launch, c.in[1], l.length);
    for (int64_t k = 0; status == CBM_OK && k < launch->in[0].count; k++) {
        const int64_t n = k / (l.length * l.inner), j = k / l.inner % l.length, place = n * l.inner + k % l.inner;
        const double target = (j == c.in[1][place].i ? 1 - smoothing : 0) + smoothing / (double)l.length;
        const double g = c.in[3][place].f;
        c.out[0][k].f = g == 0 ? 0 : g * (exp(c.in[0][k].f - c.in[2][place].f) - target);
    }
    if (status == CBM_OK)
        cbm_numbers_pack(launch, &c);
    return status;
}

const cbm_kernel cbm_reference_loss[] = {
    { .op = "cross_entropy", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = cross_entropy },
    { .op = "cross_entropy_backward",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = cross_entropy_backward },
    { .op = "cross_entropy_rows", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = rows },
    { .op = "cross_entropy_rows_backward",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = rows_backward },
    { .op = NULL },
};
