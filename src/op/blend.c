/* blend.c: clamp, lerp, addcmul, addcdiv, nan_to_num: numbers kept within others, and mixed with others. Rests on
   op/families.h. */
#include "op/families.h"

#include <float.h>
#include <math.h>

/* ---- clamp: x has the gradient where it is within, bounds included; a bound where it is what comes out ---- */
static cbm_tensor *gated(cbm_tensor *where, cbm_tensor *g)
{
    return cbm_where(where, g, cbm_number_like(g, 0));
}

static void clamp_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *x = v->in[0], *low = v->in[1], *high = v->in[2];
    if (v->needed[0])
        v->in_gradient[0] = gated(cbm_logical_and(cbm_greater_equal(x, low), cbm_less_equal(x, high)), g);
    if (v->needed[1])
        v->in_gradient[1] = gated(cbm_logical_and(cbm_less(x, low), cbm_less(low, high)), g);
    if (v->needed[2])
        v->in_gradient[2] = gated(cbm_logical_or(cbm_greater(x, high), cbm_less(high, low)), g);
}

static const cbm_sample clamp_samples[] = {
    { .n_in = 3, .in = { CBM_FLOATS(-2, 2, 2, 3), CBM_FLOATS(-1.2, -0.2, 2, 3), CBM_FLOATS(0.2, 1.2, 2, 3) } },
    { .n_in = 3, .in = { CBM_FLOATS(-2, 2, 4, 1, 6), CBM_FLOATS(-1.2, -0.2, 6), CBM_FLOAT(0.2, 1.2) } },
    { .n_in = 3, .in = { CBM_FLOAT(-2, 2), CBM_FLOATS(-1.2, -0.2, 5), CBM_FLOATS(0.2, 1.2, 3, 1) } },
    { .n_in = 3, .in = { CBM_FLOATS(-2, 2, 0, 3), CBM_FLOAT(-1, -1), CBM_FLOAT(1, 1) } },
    { .n_in = 3, .in = { CBM_INDICES(-9, 9, 30), CBM_INDICES(-4, -4), CBM_INDICES(5, 5) } },
};
static const cbm_op clamp_op = {
    CBM_OP_RECORD("clamp"),
    .formula = "min(max(x, low), high)",
    .n_in = 3,
    .n_out = 1,
    .expression = "min(max(a, b), c)",
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_IN(2),
    .infer = cbm_infer_numeric,
    .vjp = clamp_vjp,
    CBM_SAMPLES(clamp_samples),
};

/* ---- lerp ---- */
static void lerp_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *w = v->in[2];
    if (v->needed[0])
        v->in_gradient[0] = cbm_mul(g, cbm_rsub_scalar(w, 1));
    if (v->needed[1])
        v->in_gradient[1] = cbm_mul(g, w);
    if (v->needed[2])
        v->in_gradient[2] = cbm_mul(g, cbm_sub(v->in[1], v->in[0]));
}

static const cbm_sample lerp_samples[] = {
    { .n_in = 3, .in = { CBM_FLOATS(-2, 2, 2, 3), CBM_FLOATS(-2, 2, 2, 3), CBM_FLOATS(-1, 2, 2, 3) } },
    { .n_in = 3, .in = { CBM_FLOATS(-2, 2, 4, 1, 6), CBM_FLOATS(-2, 2, 6), CBM_FLOAT(0.2, 0.3) } },
    { .n_in = 3, .in = { CBM_FLOAT(-2, 2), CBM_FLOAT(-2, 2), CBM_FLOAT(0.7, 0.8) } },
    { .n_in = 3, .in = { CBM_FLOATS(-2, 2, 0, 3), CBM_FLOATS(-2, 2, 3), CBM_FLOAT(0, 1) } },
};
/* From the nearer end, so that weights 0 and 1 give the ends exactly. */
static const cbm_op lerp_op = {
    CBM_OP_RECORD("lerp"),
    .formula = "a + weight (b - a)",
    .n_in = 3,
    .n_out = 1,
    .expression = "select(abs(c) < 0.5, a + c * (b - a), b - (b - a) * (1 - c))",
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_IN(2),
    .infer = cbm_infer_floating,
    .vjp = lerp_vjp,
    CBM_SAMPLES(lerp_samples),
};

/* ---- nan_to_num ---- */
typedef struct replace_attributes {
    double nan, above, below;
} replace_attributes;

static void nan_to_num_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = gated(cbm_isfinite(v->in[0]), v->out_gradient[0]);
}

static const cbm_attribute replace_fields[] = {
    CBM_FIELD(replace_attributes, nan, CBM_ATTRIBUTE_FLOAT, true),
    CBM_FIELD(replace_attributes, above, CBM_ATTRIBUTE_FLOAT, true),
    CBM_FIELD(replace_attributes, below, CBM_ATTRIBUTE_FLOAT, true),
};
static const replace_attributes ends = { 0.5, 100, -200 };
static const cbm_sample nan_to_num_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) }, .attributes = &ends },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) }, .attributes = &ends },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &ends },
};
static const cbm_op nan_to_num_op = {
    CBM_OP_RECORD("nan_to_num"),
    .formula = "x, but other numbers for NaN, infinity and -infinity",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(replace_attributes),
    .attributes = replace_fields,
    .n_attributes = CBM_COUNTOF(replace_fields),
    .expression = "select(a != a, nan, select(a == inf, above, select(a == -inf, below, a)))",
    .saves = CBM_SAVES_IN(0),
    .infer = cbm_infer_floating,
    .vjp = nan_to_num_vjp,
    CBM_SAMPLES(nan_to_num_samples),
};

const cbm_op *const cbm_ops_blend[] = { &clamp_op, &lerp_op, &nan_to_num_op, NULL };

/* ---- public functions ---- */

cbm_tensor *cbm_clamp(cbm_tensor *x, double low, double high)
{
    if (isnan(low) || isnan(high))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID,
                               "[clamp] a bound is NaN. HINT: -INFINITY and INFINITY mean none");
    return cbm_apply3(&clamp_op, x, cbm_number_like(x, low), cbm_number_like(x, high), NULL);
}

cbm_tensor *cbm_clamp_tensor(cbm_tensor *x, cbm_tensor *low, cbm_tensor *high)
{
    return cbm_apply3(&clamp_op, x, low, high, NULL);
}

cbm_tensor *cbm_lerp(cbm_tensor *a, cbm_tensor *b, cbm_tensor *weight)
{
    return cbm_apply3(&lerp_op, a, b, weight, NULL);
}

cbm_tensor *cbm_lerp_scalar(cbm_tensor *a, cbm_tensor *b, double weight)
{
    return cbm_apply3(&lerp_op, a, b, cbm_number_like(a, weight), NULL);
}

cbm_tensor *cbm_addcmul(cbm_tensor *x, cbm_tensor *a, cbm_tensor *b, double value)
{
    return cbm_add(x, cbm_mul_scalar(cbm_mul(a, b), value));
}

cbm_tensor *cbm_addcdiv(cbm_tensor *x, cbm_tensor *a, cbm_tensor *b, double value)
{
    return cbm_add(x, cbm_mul_scalar(cbm_div(a, b), value));
}

static double largest(cbm_dtype dtype)
{
    return dtype == CBM_F64 ? DBL_MAX : dtype == CBM_BF16 ? 0x1.fep127 : (double)FLT_MAX;
}

cbm_tensor *cbm_nan_to_num(cbm_tensor *x, double nan, double above, double below)
{
    const cbm_dtype dtype = cbm_tensor_dtype(x);
    replace_attributes a = { nan, isinf(above) ? largest(dtype) : above, isinf(below) ? -largest(dtype) : below };
    if (x != NULL && !cbm_tensor_failed(x) && !cbm_is_floating(dtype))
        return x;
    return cbm_apply1(&nan_to_num_op, x, &a);
}
