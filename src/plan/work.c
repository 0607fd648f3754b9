/* work.c: how much a step computes and moves. Rests on the operations' records. */
#include "op/expression.h"
#include "plan/build.h"

#define FLOPS_A_BYTE 16 /* that take as long as moving a byte: between direct and Winograd convolution on one core */

static double pass_flops(const cbm_step *step)
{
    double instructions = 0;
    for (size_t i = 0; i < step->fused->length; i++) {
        int32_t code = step->fused->code[i].code;
        instructions += code != CBM_EXPR_INPUT && code != CBM_EXPR_NUMBER && code != CBM_EXPR_FIELD;
    }
    for (size_t k = 0; k < step->n_out; k++)
        instructions += cbm_is_sum(step, k);
    return instructions * (double)cbm_fused_count(&step->pass);
}

double cbm_step_flops(const cbm_step *step)
{
    if (step->fused)
        return pass_flops(step);
    if (!step->launch.op || step->reorder)
        return 0;
    if (!step->launch.op->cost)
        return step->n_out ? (double)step->buffers[step->n_in].count : 0;
    cbm_cost cost = { 0, 0 };
    step->launch.op->cost(&step->launch, &cost);
    if (step->after)
        cost.flops += (double)(step->after->bias + step->after->add + step->after->relu) *
                      (double)step->buffers[step->n_in].count;
    return cost.flops;
}

double cbm_distinct_bytes(const cbm_buffer *w)
{
    double count = 1;
    for (int64_t d = 0; d < w->rank; d++)
        count *= w->layout == CBM_LAYOUT_PLAIN && w->stride[d] == 0 ? 1 : (double)w->shape[d];
    return count * (double)cbm_dtype_size(w->dtype);
}

double cbm_step_time(const cbm_step *step)
{
    double bytes = 0;
    for (size_t k = 0; k < step->n_in + step->n_out; k++)
        bytes += cbm_distinct_bytes(&step->buffers[k]);
    const double flops = step->fused ? 0 : cbm_step_flops(step) / FLOPS_A_BYTE;
    return bytes > flops ? bytes : flops;
}
