/* machine.c: what the machine can do, measured through the library: multiplications and additions in large matrix products,
   and bytes moved by a pass over memory. `cambium plan` estimates with them. */
#include "cli.h"

#include <math.h>

enum { REPEATS = 9, LARGEST_MATRIX = 1024 };

/* The newest plan's longest step, in seconds: in the fastest of its runs, since others may use the machine too. */
static double longest_step(cbm_context *cx)
{
    double longest = NAN;
    cbm_step_info step = { .struct_size = sizeof step };
    for (size_t i = 0; cbm_plan_step_at(cx, 0, i, &step); i++)
        longest = fmax(longest, step.least_seconds);
    return longest;
}

static double product_seconds(cbm_context *cx, int64_t n)
{
    CBM_SCOPE(outer, cx);
    cbm_tensor *a = cbm_uniform(cx, CBM_F32, CBM_SHAPE(n, n), -1, 1);
    cbm_tensor *b = cbm_uniform(cx, CBM_F32, CBM_SHAPE(n, n), -1, 1);
    cbm_compute((cbm_tensor *[]){ a, b }, 2);
    for (int i = 0; i < REPEATS; i++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *c = cbm_matmul(a, b);
        cbm_compute(&c, 1);
    }
    return longest_step(cx);
}

static double pass_seconds(cbm_context *cx, int64_t count)
{
    CBM_SCOPE(outer, cx);
    cbm_tensor *a = cbm_uniform(cx, CBM_F32, CBM_SHAPE(count), -1, 1);
    cbm_tensor *b = cbm_uniform(cx, CBM_F32, CBM_SHAPE(count), -1, 1);
    cbm_compute((cbm_tensor *[]){ a, b }, 2);
    for (int i = 0; i < REPEATS; i++) {
        CBM_SCOPE(scope, cx);
        cbm_tensor *c = cbm_add(a, b);
        cbm_compute(&c, 1);
    }
    return longest_step(cx);
}

bool cbm_measure_machine(const cbm_common *common, double working_set, cbm_machine *out)
{
    cbm_context *cx = cbm_open_common(common, 0, false);
    cbm_profile(cx, true);
    double seconds = product_seconds(cx, 128);
    int64_t n = 128;
    while (n < LARGEST_MATRIX && seconds < 2e-3) /* plain loops are slow: no need to wait for larger ones */
        seconds = product_seconds(cx, n *= 2);
    out->flops = 2.0 * (double)n * (double)n * (double)n / seconds;
    double bytes = working_set < 48e3 ? 48e3 : working_set > 256e6 ? 256e6 : working_set;
    int64_t count = (int64_t)(bytes / 12);
    out->bytes = 12.0 * (double)count / pass_seconds(cx, count);
    bool measured = cbm_context_status(cx) == CBM_OK && isfinite(out->flops) && isfinite(out->bytes);
    cbm_close(cx);
    return measured;
}
