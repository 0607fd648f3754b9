/* functions.c: the pointwise functions of one floating tensor: exp, log, sqrt, relu, relu6, sigmoid, tanh, erf, gelu, with
   their gradients. Rests on op/families.h. */
#include "op/families.h"

#define UNARY_AS(autocast_, name_, formula_, expression_, saves_, vjp_, samples_)                                      \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1, .saves = (saves_),                         \
                              .infer = cbm_infer_floating, .expression = (expression_), .vjp = (vjp_),                 \
                              .autocast = (autocast_), CBM_SAMPLES(samples_)                                           \
    }
#define UNARY(...) UNARY_AS(CBM_AUTOCAST_WIDEST, __VA_ARGS__)

static const double TWO_BY_SQRT_PI = 1.1283791670955126;
static const double ONE_BY_SQRT_2 = 0.70710678118654752;
static const double ONE_BY_SQRT_2_PI = 0.39894228040143268;

static const cbm_sample smooth_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) } },
    { .n_in = 1, .in = { CBM_FLOATS(-4, 4, 3, 1, 21) } },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) } },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) } },
};
static const cbm_sample positive_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(0.5, 2, 2, 3) } },
    { .n_in = 1, .in = { CBM_FLOATS(0.5, 9, 3, 1, 21) } },
    { .n_in = 1, .in = { CBM_FLOAT(0.5, 2) } },
    { .n_in = 1, .in = { CBM_FLOATS(0.5, 2, 0, 3) } },
};
/* Even counts: grids that meet neither 0 nor 6. */
static const cbm_sample clipped_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2.9, 9.2, 2, 3) } },
    { .n_in = 1, .in = { CBM_DISTINCT(-2.9, 9.2, 3, 1, 22) } },
    { .n_in = 1, .in = { CBM_FLOAT(1, 2) } },
    { .n_in = 1, .in = { CBM_DISTINCT(-2.9, 9.2, 0, 3) } },
};
static const cbm_sample kinked_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3) } },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 1, 22) } },
    { .n_in = 1, .in = { CBM_FLOAT(1, 2) } },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 0, 3) } },
};

static void exp_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], v->out[0]);
}
static const cbm_op exp_op =
    UNARY_AS(CBM_AUTOCAST_FULL, "exp", "e^x", "exp(a)", CBM_SAVES_OUT(0), exp_vjp, smooth_samples);

static void log_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(v->out_gradient[0], v->in[0]);
}
static const cbm_op log_op =
    UNARY_AS(CBM_AUTOCAST_FULL, "log", "log x (natural)", "log(a)", CBM_SAVES_IN(0), log_vjp, positive_samples);

static void sqrt_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(cbm_mul_scalar(v->out_gradient[0], 0.5), v->out[0]);
}
static const cbm_op sqrt_op =
    UNARY("sqrt", "square root of x", "sqrt(a)", CBM_SAVES_OUT(0), sqrt_vjp, positive_samples);

static void relu_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *zero = cbm_number_like(g, 0);
    v->in_gradient[0] = cbm_where(cbm_less_equal(v->out[0], zero), zero, g);
}
static const cbm_op relu_op =
    UNARY("relu", "max(x, 0); its slope at 0 is 0", "max(a, 0)", CBM_SAVES_OUT(0), relu_vjp, kinked_samples);

static void relu6_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *zero = cbm_number_like(g, 0), *y = v->out[0];
    cbm_tensor *above = cbm_where(cbm_greater_equal(y, cbm_number_like(g, 6)), zero, g);
    v->in_gradient[0] = cbm_where(cbm_less_equal(y, zero), zero, above);
}
static const cbm_op relu6_op = UNARY("relu6", "min(max(x, 0), 6); its slope at 0 and at 6 is 0", "min(max(a, 0), 6)",
                                     CBM_SAVES_OUT(0), relu6_vjp, clipped_samples);

static void sigmoid_vjp(cbm_vjp *v)
{
    cbm_tensor *y = v->out[0];
    cbm_tensor *slope = cbm_mul(y, cbm_sub(cbm_number_like(y, 1), y));
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], slope);
}
static const cbm_op sigmoid_op =
    UNARY("sigmoid", "1 / (1 + e^-x)", "1 / (1 + exp(-a))", CBM_SAVES_OUT(0), sigmoid_vjp, smooth_samples);

static void tanh_vjp(cbm_vjp *v)
{
    cbm_tensor *y = v->out[0];
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_sub(cbm_number_like(y, 1), cbm_mul(y, y)));
}
static const cbm_op tanh_op = UNARY("tanh", "tanh x", "tanh(a)", CBM_SAVES_OUT(0), tanh_vjp, smooth_samples);

/* scale * e^(-x^2 * steepness) */
static cbm_tensor *bell(cbm_tensor *x, double scale, double steepness)
{
    return cbm_mul_scalar(cbm_exp(cbm_mul_scalar(cbm_mul(x, x), -steepness)), scale);
}

static void erf_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], bell(v->in[0], TWO_BY_SQRT_PI, 1));
}
static const cbm_op erf_op =
    UNARY("erf", "2 / sqrt(pi) * integral of e^(-t^2) from 0 to x", "erf(a)", CBM_SAVES_IN(0), erf_vjp, smooth_samples);

static void gelu_vjp(cbm_vjp *v)
{
    cbm_tensor *x = v->in[0];
    cbm_tensor *below = cbm_mul_scalar(cbm_add_scalar(cbm_erf(cbm_mul_scalar(x, ONE_BY_SQRT_2)), 1), 0.5);
    cbm_tensor *slope = cbm_add(below, cbm_mul(x, bell(x, ONE_BY_SQRT_2_PI, 0.5)));
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], slope);
}
static const cbm_op gelu_op =
    UNARY("gelu", "x * Phi(x) = x * (1 + erf(x / sqrt(2))) / 2 (Hendrycks and Gimpel 2016)",
          "0.5 * a * (1 + erf(a * 0.70710678118654752))", CBM_SAVES_IN(0), gelu_vjp, smooth_samples);

const cbm_op *const cbm_ops_functions[] = {
    &exp_op, &log_op, &sqrt_op, &relu_op, &relu6_op, &sigmoid_op, &tanh_op, &erf_op, &gelu_op, NULL,
};

cbm_tensor *cbm_exp(cbm_tensor *x)
{
    return cbm_apply1(&exp_op, x, NULL);
}

cbm_tensor *cbm_log(cbm_tensor *x)
{
    return cbm_apply1(&log_op, x, NULL);
}

cbm_tensor *cbm_sqrt(cbm_tensor *x)
{
    return cbm_apply1(&sqrt_op, x, NULL);
}

cbm_tensor *cbm_relu(cbm_tensor *x)
{
    return cbm_apply1(&relu_op, x, NULL);
}

cbm_tensor *cbm_relu6(cbm_tensor *x)
{
    return cbm_apply1(&relu6_op, x, NULL);
}

cbm_tensor *cbm_sigmoid(cbm_tensor *x)
{
    return cbm_apply1(&sigmoid_op, x, NULL);
}

cbm_tensor *cbm_tanh(cbm_tensor *x)
{
    return cbm_apply1(&tanh_op, x, NULL);
}

cbm_tensor *cbm_erf(cbm_tensor *x)
{
    return cbm_apply1(&erf_op, x, NULL);
}

cbm_tensor *cbm_gelu(cbm_tensor *x)
{
    return cbm_apply1(&gelu_op, x, NULL);
}
