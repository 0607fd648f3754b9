/* adaptive.c: maxima over as many windows as results are wanted, maxima put back in their places, and interpolation along an
   axis. Rests on numbers (reference.h) and op/resample.h. */
#include "op/resample.h"
#include "backend/reference/reference.h"

#include <math.h>

/* ---- adaptive_max_pool, max_unpool ---- */

/* Extents from the third axis on, as depth, height, width. */
static void extents_of(const cbm_buffer *b, int64_t extents[3])
{
    for (int64_t d = 0; d < 3; d++) {
        const int64_t axis = d + b->rank - 3;
        extents[d] = axis < 2 ? 1 : b->shape[axis];
    }
}

static cbm_status adaptive_max_pool(const cbm_launch *launch) /* x -> y, index */
{
    int64_t in[3], out[3], low[3], high[3];
    cbm_numbers c;
    extents_of(&launch->in[0], in);
    extents_of(&launch->out[0], out);
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->out[0].count; k++) {
        int64_t rest = k, best = -1;
        for (int d = 2; d >= 0; rest /= out[d], d--) {
            const int64_t i = rest % out[d];
            low[d] = i * in[d] / out[d];
            high[d] = ((i + 1) * in[d] + out[d] - 1) / out[d];
        }
        const cbm_number *x = c.in[0] + rest * in[0] * in[1] * in[2];
        for (int64_t d = low[0]; d < high[0]; d++)
            for (int64_t h = low[1]; h < high[1]; h++)
                for (int64_t w = low[2]; w < high[2]; w++) {
                    const int64_t at = (d * in[1] + h) * in[2] + w;
                    if (best < 0 || x[at].f > x[best].f || (isnan(x[at].f) && !isnan(x[best].f)))
                        best = at;
                }
        c.out[0][k] = x[best];
        if (launch->n_out > 1)
            c.out[1][k].i = best;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status max_unpool(const cbm_launch *launch) /* x, index -> y */
{
    const cbm_lanes from = cbm_lanes_of(&launch->in[0], 1), to = cbm_lanes_of(&launch->out[0], 1);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->in[0].count; k++) {
        const int64_t index = c.in[1][k].i;
        if (index < 0 || index >= to.inner)
            return cbm_reference_range(launch, "index", index, k, to.inner);
        c.out[0][k / from.inner * to.inner + index] = c.in[0][k];
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

/* ---- resample ---- */

static cbm_status resample(const cbm_launch *launch) /* x -> y */
{
    const cbm_resample_attributes *a = launch->attributes;
    const cbm_lanes l = cbm_lanes_of(&launch->out[0], a->axis);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->out[0].count; k++) {
        const int64_t outer = k / (l.length * l.inner), i = k / l.inner % l.length, inner = k % l.inner;
        const cbm_taps t = cbm_resample_taps(a, launch->in[0].dtype != CBM_F64, i);
        for (int64_t j = 0; j < t.count; j++)
            c.out[0][k].f += cbm_tap_weight(&t, j) * c.in[0][(outer * a->input + t.first + j) * l.inner + inner].f;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status resample_backward(const cbm_launch *launch) /* g -> dx */
{
    const cbm_resample_attributes *a = launch->attributes;
    const cbm_lanes l = cbm_lanes_of(&launch->in[0], a->axis);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    for (int64_t k = 0; k < launch->in[0].count; k++) {
        const int64_t outer = k / (l.length * l.inner), i = k / l.inner % l.length, inner = k % l.inner;
        const cbm_taps t = cbm_resample_taps(a, launch->in[0].dtype != CBM_F64, i);
        for (int64_t j = 0; j < t.count; j++)
            c.out[0][(outer * a->input + t.first + j) * l.inner + inner].f += cbm_tap_weight(&t, j) * c.in[0][k].f;
    }
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

#define KERNEL(name_, launch_)                                                                                         \
    {                                                                                                                  \
        .op = (name_), .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = (launch_)                \
    }
const cbm_kernel cbm_reference_adaptive[] = {
    KERNEL("adaptive_max_pool", adaptive_max_pool),
    KERNEL("max_unpool", max_unpool),
    KERNEL("resample", resample),
    KERNEL("resample_backward", resample_backward),
    { .op = NULL },
};
