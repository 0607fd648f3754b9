/* softmax.c: softmax and its logarithm along an axis, shifted by the maximum so that nothing overflows. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

#include <math.h>

/* The lane's maximum and the sum of exp(x - maximum). */
static double lane_sum(const cbm_number *lane, const cbm_lanes *l, double *maximum)
{
    *maximum = -INFINITY;
    for (int64_t j = 0; j < l->length; j++) {
        double x = lane[j * l->inner].f;
        if (x > *maximum || isnan(x))
            *maximum = x;
    }
    double sum = 0;
    for (int64_t j = 0; j < l->length; j++)
        sum += exp(lane[j * l->inner].f - *maximum);
    return sum;
}

static void run(const cbm_launch *launch, bool logarithm)
{
    const cbm_axis_attributes *a = launch->attributes;
    cbm_lanes l = cbm_lanes_of(&launch->in[0], a->axis);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t i = 0; i < l.inner; i++) {
            const cbm_number *x = c.in[0] + o * l.length * l.inner + i;
            cbm_number *y = c.out[0] + o * l.length * l.inner + i;
            double maximum, sum = lane_sum(x, &l, &maximum);
            for (int64_t j = 0; j < l.length; j++) {
                double shifted = x[j * l.inner].f - maximum;
                y[j * l.inner].f = logarithm ? shifted - log(sum) : exp(shifted) / sum;
            }
        }
    cbm_numbers_pack(launch, &c);
}

static cbm_status softmax(const cbm_launch *launch)
{
    run(launch, false);
    return CBM_OK;
}

static cbm_status log_softmax(const cbm_launch *launch)
{
    run(launch, true);
    return CBM_OK;
}

const cbm_kernel cbm_reference_softmax[] = {
    { .op = "softmax", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = softmax },
    { .op = "log_softmax", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = log_softmax },
    { .op = NULL },
};
