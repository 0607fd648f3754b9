/* draw.c: random tensors that are made of uniform and normal numbers: other distributions, whole numbers, permutations, draws of
   categories. Rests on op/families.h. */
#include "op/families.h"
#include "op/number.h"

#include <math.h>

#define MOST_RANGE ((uint64_t)1 << 40)

/* ---- probabilities ---- */

static void probabilities_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
}

static const cbm_sample probability_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(0, 1, 2, 3) } },
    { .n_in = 1, .in = { CBM_FLOAT(0, 1) } },
    { .n_in = 1, .in = { { CBM_DIMS(9), CBM_F32, 0, 1, false } } },
    { .n_in = 1, .in = { CBM_FLOATS(0, 1, 0, 3) } },
};
static const cbm_op probabilities_op = {
    CBM_OP_RECORD("probabilities"),
    .formula = "p; an error if one is not in [0, 1]",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .infer = cbm_infer_floating,
    .vjp = probabilities_vjp,
    .autocast = CBM_AUTOCAST_NONE,
    CBM_SAMPLES(probability_samples),
};
const cbm_op *const cbm_ops_draw[] = { &probabilities_op, NULL };

/* ---- distributions ---- */

cbm_tensor *cbm_uniform_like(cbm_tensor *x, double low, double high)
{
    if (!cbm_usable(cbm_tensor_context(x), x))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[uniform_like] x is NULL or failed");
    return cbm_uniform(cbm_tensor_context(x), cbm_tensor_dtype(x), cbm_tensor_shape(x), low, high);
}

cbm_tensor *cbm_normal_like(cbm_tensor *x, double mean, double deviation)
{
    if (!cbm_usable(cbm_tensor_context(x), x))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[normal_like] x is NULL or failed");
    return cbm_normal(cbm_tensor_context(x), cbm_tensor_dtype(x), cbm_tensor_shape(x), mean, deviation);
}

/* Uniform in [0, 1), f64, in steps of 2^-48: a draw has steps of 2^-24. */
static cbm_tensor *fine(cbm_context *cx, cbm_shape shape)
{
    cbm_tensor *coarse = cbm_uniform(cx, CBM_F64, shape, 0, 1);
    return cbm_add(coarse, cbm_mul_scalar(cbm_uniform(cx, CBM_F64, shape, 0, 1), 0x1p-24));
}

cbm_tensor *cbm_exponential(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double rate)
{
    if (!isfinite(rate) || !(rate > 0))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[exponential] the rate, %g, must be above 0", rate);
    cbm_tensor *u =
        dtype == CBM_F64 ? fine(cx, shape) : cbm_uniform(cx, dtype == CBM_BF16 ? CBM_F32 : dtype, shape, 0, 1);
    return cbm_cast(cbm_mul_scalar(cbm_log1p(cbm_neg(u)), -1 / rate), dtype);
}

cbm_tensor *cbm_bernoulli(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double p)
{
    if (!(p >= 0 && p <= 1))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[bernoulli] p = %g is not a probability", p);
    return cbm_cast(cbm_less(fine(cx, shape), cbm_scalar(cx, CBM_F64, p)), dtype);
}

cbm_tensor *cbm_bernoulli_of(cbm_tensor *p)
{
    cbm_context *cx = cbm_tensor_context(p);
    if (!cbm_usable(cx, p))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[bernoulli_of] p is NULL or failed");
    const cbm_dtype dtype = cbm_tensor_dtype(p);
    if (!cbm_is_floating(dtype))
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[bernoulli_of] probabilities are floats, not %s",
                               cbm_dtype_name(dtype));
    cbm_tensor *checked = cbm_apply1(&probabilities_op, cbm_cast(cbm_detach(p), CBM_F64), NULL);
    return cbm_cast(cbm_less(fine(cx, cbm_tensor_shape(p)), checked), dtype);
}

cbm_tensor *cbm_randint(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, int64_t low, int64_t high)
{
    const uint64_t range = (uint64_t)high - (uint64_t)low;
    if (high <= low || range > MOST_RANGE || low < -((int64_t)1 << 52) || high > (int64_t)1 << 52)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID,
                               "[randint] from %lld up to %lld: no range of at most 2^40 numbers", (long long)low,
                               (long long)high);
    if (dtype == CBM_BOOL)
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[randint] the numbers are not bool. HINT: cbm_bernoulli");
    if (!cbm_is_floating(dtype) &&
        (cbm_whole_number(dtype, (double)low) != low || cbm_whole_number(dtype, (double)high - 1) != high - 1))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[randint] %s does not hold the numbers from %lld up to %lld",
                               cbm_dtype_name(dtype), (long long)low, (long long)high);
    return cbm_cast(cbm_add_scalar(cbm_floor(cbm_mul_scalar(fine(cx, shape), (double)range)), (double)low), dtype);
}

cbm_tensor *cbm_randperm(cbm_context *cx, int64_t n)
{
    if (n < 0)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[randperm] there cannot be %lld numbers", (long long)n);
    return cbm_argsort(fine(cx, CBM_SHAPE(n)), 0, false);
}

/* ---- multinomial ---- */

/* Every row has weights to draw `count` categories by. */
static bool may_draw(cbm_tensor *weights, int64_t count, bool replacement)
{
    cbm_context *cx = cbm_tensor_context(weights);
    const void *data = cbm_tensor_data(weights);
    const int64_t columns = cbm_tensor_size(weights, -1), rows = columns ? cbm_tensor_count(weights) / columns : 0;
    if (!data || cbm_context_status(cx) != CBM_OK)
        return false;
    for (int64_t r = 0; r < rows; r++) {
        int64_t above = 0;
        for (int64_t c = 0; c < columns; c++) {
            const double w = cbm_element_number(data, cbm_tensor_dtype(weights), r * columns + c);
            above += w > 0;
            if (!isfinite(w) || w < 0) {
                cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[multinomial] weight %lld of row %lld is %g", (long long)c,
                                (long long)r, w);
                return false;
            }
        }
        if (above < (replacement ? 1 : count)) {
            cbm_fail_tensor(cx, CBM_ERROR_INVALID,
                            "[multinomial] row %lld has %lld weights above 0: too few to draw %lld%s", (long long)r,
                            (long long)above, (long long)count, replacement ? "" : " without replacement");
            return false;
        }
    }
    return true;
}

/* Where numbers in proportion to the running sum of weights fall. */
static cbm_tensor *with_replacement(cbm_tensor *weights, int64_t count)
{
    const int64_t columns = cbm_tensor_size(weights, -1);
    cbm_shape drawn = cbm_tensor_shape(weights);
    drawn.v[drawn.v[0]] = count;
    cbm_tensor *ends = cbm_cumsum(weights, -1), *whole = cbm_slice(ends, -1, columns - 1, columns, 1);
    cbm_tensor *at = cbm_mul(fine(cbm_tensor_context(weights), drawn), whole);
    /* what rounds up to the whole falls behind the last category: its like, the last that has a weight */
    cbm_tensor *below = cbm_minimum(at, cbm_mul_scalar(whole, 1 - 0x1p-50));
    return cbm_searchsorted(ends, below, true);
}

/* The categories that come first when each comes after an exponentially distributed time of rate its weight. */
static cbm_tensor *without_replacement(cbm_tensor *weights, int64_t count)
{
    cbm_context *cx = cbm_tensor_context(weights);
    cbm_tensor *times = cbm_neg(cbm_log1p(cbm_neg(fine(cx, cbm_tensor_shape(weights))))), *indices;
    if (!cbm_topk(cbm_div(weights, cbm_add_scalar(times, 0x1p-60)), count, &indices))
        return cbm_no_result(weights, "multinomial");
    return indices;
}

cbm_tensor *cbm_multinomial(cbm_tensor *weights, int64_t count, bool replacement)
{
    cbm_context *cx = cbm_tensor_context(weights);
    if (!cbm_usable(cx, weights))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[multinomial] weights are NULL or failed");
    const cbm_shape shape = cbm_tensor_shape(weights);
    char text[160];
    if (cbm_tensor_dtype(weights) != CBM_F32 && cbm_tensor_dtype(weights) != CBM_F64)
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[multinomial] weights are f32 or f64, not %s",
                               cbm_dtype_name(cbm_tensor_dtype(weights)));
    if (shape.v[0] < 1 || shape.v[0] > 2 || shape.v[shape.v[0]] < 1)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[multinomial] weights %s must be (C) or (N, C), and C above 0",
                               cbm_shape_text(&shape, text, sizeof text));
    if (count < 0)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[multinomial] %lld cannot be drawn", (long long)count);
    if (!may_draw(weights, count, replacement))
        return cbm_no_result(weights, "multinomial");
    /* of the row's greatest, so that sums of huge weights stay finite and tiny ones keep their digits */
    cbm_tensor *exact = cbm_cast(cbm_detach(weights), CBM_F64);
    exact = cbm_div(exact, cbm_max_at(exact, -1, true, NULL));
    return replacement ? with_replacement(exact, count) : without_replacement(exact, count);
}
