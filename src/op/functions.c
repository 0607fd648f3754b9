/* functions.c: exponentials, logarithms, roots, reciprocals and error functions of one floating tensor, with their
   gradients. Rests on op/families.h. */
#include "op/families.h"

static const double TWO_BY_SQRT_PI = 1.1283791670955126;
static const double LN_2 = 0.69314718055994531;
static const double LN_10 = 2.3025850929940457;

static const cbm_sample smooth_samples[] = CBM_UNARY_SAMPLES(-2, 2);
static const cbm_sample wide_samples[] = CBM_UNARY_SAMPLES(-4, 4);
static const cbm_sample positive_samples[] = CBM_UNARY_SAMPLES(0.5, 9);
static const cbm_sample above_minus_one_samples[] = CBM_UNARY_SAMPLES(-0.7, 5);

/* ---- exponentials ---- */
static void exp_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], v->out[0]);
}
static const cbm_op exp_op =
    CBM_UNARY_AS(CBM_AUTOCAST_FULL, "exp", "e^x", "exp(a)", CBM_SAVES_OUT(0), exp_vjp, wide_samples);

static void exp2_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_mul_scalar(v->out[0], LN_2));
}
static const cbm_op exp2_op =
    CBM_UNARY_AS(CBM_AUTOCAST_FULL, "exp2", "2^x", "exp2(a)", CBM_SAVES_OUT(0), exp2_vjp, wide_samples);

static void expm1_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_add_scalar(v->out[0], 1));
}
static const cbm_op expm1_op = CBM_UNARY_AS(CBM_AUTOCAST_FULL, "expm1", "e^x - 1, accurate near 0", "expm1(a)",
                                            CBM_SAVES_OUT(0), expm1_vjp, wide_samples);

/* ---- logarithms ---- */
static void log_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(v->out_gradient[0], v->in[0]);
}
static const cbm_op log_op =
    CBM_UNARY_AS(CBM_AUTOCAST_FULL, "log", "log x (natural)", "log(a)", CBM_SAVES_IN(0), log_vjp, positive_samples);

static void log2_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(v->out_gradient[0], cbm_mul_scalar(v->in[0], LN_2));
}
static const cbm_op log2_op = CBM_UNARY_AS(CBM_AUTOCAST_FULL, "log2", "logarithm of x to base 2", "log2(a)",
                                           CBM_SAVES_IN(0), log2_vjp, positive_samples);

static void log10_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(v->out_gradient[0], cbm_mul_scalar(v->in[0], LN_10));
}
static const cbm_op log10_op = CBM_UNARY_AS(CBM_AUTOCAST_FULL, "log10", "logarithm of x to base 10", "log10(a)",
                                            CBM_SAVES_IN(0), log10_vjp, positive_samples);

static void log1p_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(v->out_gradient[0], cbm_add_scalar(v->in[0], 1));
}
static const cbm_op log1p_op = CBM_UNARY_AS(CBM_AUTOCAST_FULL, "log1p", "log(1 + x), accurate near 0", "log1p(a)",
                                            CBM_SAVES_IN(0), log1p_vjp, above_minus_one_samples);

/* ---- roots, reciprocals ---- */
static void sqrt_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(cbm_mul_scalar(v->out_gradient[0], 0.5), v->out[0]);
}
static const cbm_op sqrt_op =
    CBM_UNARY("sqrt", "square root of x", "sqrt(a)", CBM_SAVES_OUT(0), sqrt_vjp, positive_samples);

static void rsqrt_vjp(cbm_vjp *v)
{
    cbm_tensor *y = v->out[0], *cube = cbm_mul(y, cbm_mul(y, y));
    v->in_gradient[0] = cbm_mul(cbm_mul_scalar(v->out_gradient[0], -0.5), cube);
}
static const cbm_op rsqrt_op = CBM_UNARY_AS(CBM_AUTOCAST_FULL, "rsqrt", "1 / square root of x", "1 / sqrt(a)",
                                            CBM_SAVES_OUT(0), rsqrt_vjp, positive_samples);

static void reciprocal_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_neg(cbm_mul(v->out_gradient[0], cbm_mul(v->out[0], v->out[0])));
}
static const cbm_op reciprocal_op =
    CBM_UNARY_AS(CBM_AUTOCAST_FULL, "reciprocal", "1 / x", "1 / a", CBM_SAVES_OUT(0), reciprocal_vjp, positive_samples);

/* ---- error functions ---- */

/* g * scale * e^(-x^2) */
static cbm_tensor *bell(cbm_tensor *g, cbm_tensor *x, double scale)
{
    return cbm_mul(g, cbm_mul_scalar(cbm_exp(cbm_neg(cbm_mul(x, x))), scale));
}

static void erf_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = bell(v->out_gradient[0], v->in[0], TWO_BY_SQRT_PI);
}
static const cbm_op erf_op = CBM_UNARY("erf", "2 / sqrt(pi) * integral of e^(-t^2) from 0 to x", "erf(a)",
                                       CBM_SAVES_IN(0), erf_vjp, smooth_samples);

static void erfc_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = bell(v->out_gradient[0], v->in[0], -TWO_BY_SQRT_PI);
}
static const cbm_op erfc_op = CBM_UNARY_AS(CBM_AUTOCAST_FULL, "erfc", "1 - erf(x), accurate for large x", "erfc(a)",
                                           CBM_SAVES_IN(0), erfc_vjp, wide_samples);

const cbm_op *const cbm_ops_functions[] = {
    &exp_op,  &exp2_op,  &expm1_op,      &log_op, &log2_op, &log10_op, &log1p_op,
    &sqrt_op, &rsqrt_op, &reciprocal_op, &erf_op, &erfc_op, NULL,
};

cbm_tensor *cbm_exp(cbm_tensor *x)
{
    return cbm_apply1(&exp_op, x, NULL);
}

cbm_tensor *cbm_exp2(cbm_tensor *x)
{
    return cbm_apply1(&exp2_op, x, NULL);
}

cbm_tensor *cbm_expm1(cbm_tensor *x)
{
    return cbm_apply1(&expm1_op, x, NULL);
}

cbm_tensor *cbm_log(cbm_tensor *x)
{
    return cbm_apply1(&log_op, x, NULL);
}

cbm_tensor *cbm_log2(cbm_tensor *x)
{
    return cbm_apply1(&log2_op, x, NULL);
}

cbm_tensor *cbm_log10(cbm_tensor *x)
{
    return cbm_apply1(&log10_op, x, NULL);
}

cbm_tensor *cbm_log1p(cbm_tensor *x)
{
    return cbm_apply1(&log1p_op, x, NULL);
}

cbm_tensor *cbm_sqrt(cbm_tensor *x)
{
    return cbm_apply1(&sqrt_op, x, NULL);
}

cbm_tensor *cbm_rsqrt(cbm_tensor *x)
{
    return cbm_apply1(&rsqrt_op, x, NULL);
}

cbm_tensor *cbm_reciprocal(cbm_tensor *x)
{
    return cbm_apply1(&reciprocal_op, x, NULL);
}

cbm_tensor *cbm_square(cbm_tensor *x)
{
    return cbm_mul(x, x);
}

cbm_tensor *cbm_erf(cbm_tensor *x)
{
    return cbm_apply1(&erf_op, x, NULL);
}

cbm_tensor *cbm_erfc(cbm_tensor *x)
{
    return cbm_apply1(&erfc_op, x, NULL);
}
