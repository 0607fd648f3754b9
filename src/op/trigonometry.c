/* trigonometry.c: circular and hyperbolic functions and their inverses, with their gradients. The inverses are compositions
   of atan2 and log1p that lose no digits where the textbook's formulas do. Rests on op/families.h. */
#include "op/families.h"

static const cbm_sample circle_samples[] = CBM_UNARY_SAMPLES(-4, 4);
static const cbm_sample line_samples[] = CBM_UNARY_SAMPLES(-3, 3);
static const cbm_sample branch_samples[] = CBM_UNARY_SAMPLES(-1.3, 1.3);
static const cbm_sample inside_samples[] = CBM_UNARY_SAMPLES(-0.9, 0.9);
static const cbm_sample beyond_one_samples[] = CBM_UNARY_SAMPLES(1.2, 5);

#define FULL(...) CBM_UNARY_AS(CBM_AUTOCAST_FULL, __VA_ARGS__)

/* ---- circular functions ---- */
static void sin_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_cos(v->in[0]));
}
static const cbm_op sin_op = CBM_UNARY("sin", "sin x", "sin(a)", CBM_SAVES_IN(0), sin_vjp, circle_samples);

static void cos_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_neg(cbm_mul(v->out_gradient[0], cbm_sin(v->in[0])));
}
static const cbm_op cos_op = CBM_UNARY("cos", "cos x", "cos(a)", CBM_SAVES_IN(0), cos_vjp, circle_samples);

static void tan_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_add_scalar(cbm_mul(v->out[0], v->out[0]), 1));
}
static const cbm_op tan_op = FULL("tan", "tan x", "tan(a)", CBM_SAVES_OUT(0), tan_vjp, branch_samples);

/* (1 - x)(1 + x) */
static cbm_tensor *one_minus_square(cbm_tensor *x)
{
    return cbm_mul(cbm_rsub_scalar(x, 1), cbm_add_scalar(x, 1));
}

static void asin_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_rsqrt(one_minus_square(v->in[0])));
}
static const cbm_op asin_op = FULL("asin", "arc sine of x, in [-pi/2, pi/2]; NaN outside [-1, 1]",
                                   "atan2(a, sqrt((1 - a) * (1 + a)))", CBM_SAVES_IN(0), asin_vjp, inside_samples);

static void acos_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_neg(cbm_mul(v->out_gradient[0], cbm_rsqrt(one_minus_square(v->in[0]))));
}
static const cbm_op acos_op = FULL("acos", "arc cosine of x, in [0, pi]; NaN outside [-1, 1]",
                                   "atan2(sqrt((1 - a) * (1 + a)), a)", CBM_SAVES_IN(0), acos_vjp, inside_samples);

static void atan_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(v->out_gradient[0], cbm_add_scalar(cbm_mul(v->in[0], v->in[0]), 1));
}
static const cbm_op atan_op =
    CBM_UNARY("atan", "arc tangent of x, in [-pi/2, pi/2]", "atan2(a, 1)", CBM_SAVES_IN(0), atan_vjp, line_samples);

static void atan2_vjp(cbm_vjp *v)
{
    cbm_tensor *y = v->in[0], *x = v->in[1];
    cbm_tensor *scaled = cbm_div(v->out_gradient[0], cbm_add(cbm_mul(x, x), cbm_mul(y, y)));
    v->in_gradient[0] = cbm_mul(scaled, x);
    v->in_gradient[1] = cbm_neg(cbm_mul(scaled, y));
}
static const cbm_sample atan2_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(0.3, 2, 2, 3), CBM_FLOATS(-2, 2, 2, 3) } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, -0.3, 3, 1, 5), CBM_FLOATS(-2, 2, 4, 1) } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 33), CBM_FLOAT(0.5, 2) } },
    { .n_in = 2, .in = { CBM_FLOAT(1, 2), CBM_FLOAT(-2, -1) } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 0, 3), CBM_FLOATS(-2, 2, 3) } },
};
static const cbm_op atan2_op = {
    CBM_OP_RECORD("atan2"),
    .formula = "angle of the point (b, a) with the positive first axis, in [-pi, pi]",
    .n_in = 2,
    .n_out = 1,
    .expression = "atan2(a, b)",
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),
    .infer = cbm_infer_floating,
    .vjp = atan2_vjp,
    CBM_SAMPLES(atan2_samples),
};

/* ---- hyperbolic functions, by halves: e^x itself overflows before they do ---- */
static void sinh_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_cosh(v->in[0]));
}
static const cbm_op sinh_op = FULL(
    "sinh", "(e^x - e^-x) / 2", "(expm1(0.5 * a) - expm1(-0.5 * a)) * (0.5 * (expm1(0.5 * a) + expm1(-0.5 * a)) + 1)",
    CBM_SAVES_IN(0), sinh_vjp, line_samples);

static void cosh_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_sinh(v->in[0]));
}
static const cbm_op cosh_op =
    FULL("cosh", "(e^x + e^-x) / 2", "0.5 * exp(abs(0.5 * a)) * exp(abs(0.5 * a)) + 0.5 * exp(-abs(a))",
         CBM_SAVES_IN(0), cosh_vjp, line_samples);

static void asinh_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_rsqrt(cbm_add_scalar(cbm_mul(v->in[0], v->in[0]), 1)));
}
/* Beyond 1e9 it is log(2 |x|), and x^2 would overflow at last. */
static const cbm_op asinh_op =
    CBM_UNARY("asinh", "log(x + sqrt(x^2 + 1))",
              "select(a < 0, -1, 1) * select(abs(a) < 1e9, log1p(abs(a) + a * a / (1 + sqrt(1 + a * a))), "
              "log(abs(a)) + 0.69314718055994531)",
              CBM_SAVES_IN(0), asinh_vjp, line_samples);

static void acosh_vjp(cbm_vjp *v)
{
    cbm_tensor *square = cbm_mul(cbm_add_scalar(v->in[0], -1), cbm_add_scalar(v->in[0], 1));
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_rsqrt(square));
}
static const cbm_op acosh_op =
    CBM_UNARY("acosh", "log(x + sqrt(x^2 - 1)); NaN below 1",
              "select(a < 1e9, log1p(a - 1 + sqrt(a - 1) * sqrt(a + 1)), log(a) + 0.69314718055994531)",
              CBM_SAVES_IN(0), acosh_vjp, beyond_one_samples);

static void atanh_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(v->out_gradient[0], one_minus_square(v->in[0]));
}
static const cbm_op atanh_op = CBM_UNARY("atanh", "log((1 + x) / (1 - x)) / 2; NaN outside [-1, 1]",
                                         "0.5 * (log1p(a) - log1p(-a))", CBM_SAVES_IN(0), atanh_vjp, inside_samples);

const cbm_op *const cbm_ops_trigonometry[] = {
    &sin_op,  &cos_op,  &tan_op,   &asin_op,  &acos_op,  &atan_op, &atan2_op,
    &sinh_op, &cosh_op, &asinh_op, &acosh_op, &atanh_op, NULL,
};

cbm_tensor *cbm_sin(cbm_tensor *x)
{
    return cbm_apply1(&sin_op, x, NULL);
}

cbm_tensor *cbm_cos(cbm_tensor *x)
{
    return cbm_apply1(&cos_op, x, NULL);
}

cbm_tensor *cbm_tan(cbm_tensor *x)
{
    return cbm_apply1(&tan_op, x, NULL);
}

cbm_tensor *cbm_asin(cbm_tensor *x)
{
    return cbm_apply1(&asin_op, x, NULL);
}

cbm_tensor *cbm_acos(cbm_tensor *x)
{
    return cbm_apply1(&acos_op, x, NULL);
}

cbm_tensor *cbm_atan(cbm_tensor *x)
{
    return cbm_apply1(&atan_op, x, NULL);
}

cbm_tensor *cbm_atan2(cbm_tensor *y, cbm_tensor *x)
{
    return cbm_apply2(&atan2_op, y, x, NULL);
}

cbm_tensor *cbm_sinh(cbm_tensor *x)
{
    return cbm_apply1(&sinh_op, x, NULL);
}

cbm_tensor *cbm_cosh(cbm_tensor *x)
{
    return cbm_apply1(&cosh_op, x, NULL);
}

cbm_tensor *cbm_asinh(cbm_tensor *x)
{
    return cbm_apply1(&asinh_op, x, NULL);
}

cbm_tensor *cbm_acosh(cbm_tensor *x)
{
    return cbm_apply1(&acosh_op, x, NULL);
}

cbm_tensor *cbm_atanh(cbm_tensor *x)
{
    return cbm_apply1(&atanh_op, x, NULL);
}
