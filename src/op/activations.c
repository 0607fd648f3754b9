/* activations.c: what networks bend their values with: relu and its kin, sigmoid and its kin, gates, with their gradients;
   slopes at kinks are PyTorch's. Rests on op/families.h. */
#include "op/families.h"

#include <string.h>

static const double ONE_BY_SQRT_2 = 0.70710678118654752;
static const double ONE_BY_SQRT_2_PI = 0.39894228040143268;
static const double SQRT_2_BY_PI = 0.79788456080286536;
static const double GELU_CUBIC = 0.044715;
static const double SELU_SCALE = 1.0507009873554804934193349852946;
static const double SELU_ALPHA = 1.6732632423543772848170429916717;
static const double MISH_FLAT = 20; /* from here on tanh(softplus(x)) is 1 */

static const cbm_sample smooth_samples[] = CBM_UNARY_SAMPLES(-4, 4);
/* Even counts: grids that meet neither 0 nor the other kinks. */
static const cbm_sample kinked_samples[] = CBM_GRID_SAMPLES(-2, 2);
static const cbm_sample clipped_samples[] = CBM_GRID_SAMPLES(-2.9, 9.2);
static const cbm_sample hard_samples[] = CBM_GRID_SAMPLES(-4.1, 4.3);

static cbm_tensor *zero_like(cbm_tensor *g)
{
    return cbm_number_like(g, 0);
}

/* ---- of one tensor alone ---- */

/* A max pool behind the ReLU has done it already, where there was less to do (pool.c): then g comes from its gradient, and
   that from where(pooled <= 0, 0, ..). */
static bool gated_by_pool(const cbm_value *y, const cbm_value *g)
{
    const cbm_node *backward = g->node;
    const cbm_node *gate = backward != NULL && backward->n_in == 2 ? cbm_made_by(backward->in[0], "where") : NULL;
    const cbm_node *below = gate != NULL ? cbm_made_by(gate->in[0], "less_equal") : NULL;
    const cbm_node *pool = below != NULL ? below->in[0]->node : NULL;
    if (pool == NULL || pool->n_in != 1 || pool->in[0] != y || backward->in[1] != &pool->out[1])
        return false;
    const size_t length = strlen(pool->op->name);
    return strncmp(pool->op->name, "max_pool", strlen("max_pool")) == 0 &&
           strncmp(backward->op->name, pool->op->name, length) == 0 &&
           strcmp(backward->op->name + length, "_backward") == 0;
}

static void relu_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    v->in_gradient[0] = gated_by_pool(v->out[0]->value, g->value) ? g : cbm_relu_gradient(v->out[0], g);
}
static const cbm_op relu_op =
    CBM_UNARY("relu", "max(x, 0); its slope at 0 is 0", "max(a, 0)", CBM_SAVES_OUT(0), relu_vjp, kinked_samples);

/* g, but 0 where x is at or beyond a bound. */
static cbm_tensor *between(cbm_tensor *x, double low, double high, cbm_tensor *g)
{
    cbm_tensor *zero = zero_like(g);
    return cbm_where(cbm_less_equal_scalar(x, low), zero, cbm_where(cbm_greater_equal_scalar(x, high), zero, g));
}

static void relu6_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = between(v->out[0], 0, 6, v->out_gradient[0]);
}
static const cbm_op relu6_op = CBM_UNARY("relu6", "min(max(x, 0), 6); its slope at 0 and at 6 is 0",
                                         "min(max(a, 0), 6)", CBM_SAVES_OUT(0), relu6_vjp, clipped_samples);

static void sigmoid_vjp(cbm_vjp *v)
{
    cbm_tensor *y = v->out[0];
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_mul(y, cbm_rsub_scalar(y, 1)));
}
static const cbm_op sigmoid_op =
    CBM_UNARY("sigmoid", "1 / (1 + e^-x)", "1 / (1 + exp(-a))", CBM_SAVES_OUT(0), sigmoid_vjp, smooth_samples);

static void log_sigmoid_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_sigmoid(cbm_neg(v->in[0])));
}
static const cbm_op log_sigmoid_op =
    CBM_UNARY_AS(CBM_AUTOCAST_FULL, "log_sigmoid", "log(1 / (1 + e^-x))", "min(a, 0) - log1p(exp(-abs(a)))",
                 CBM_SAVES_IN(0), log_sigmoid_vjp, smooth_samples);

static void tanh_vjp(cbm_vjp *v)
{
    cbm_tensor *y = v->out[0];
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_rsub_scalar(cbm_mul(y, y), 1));
}
static const cbm_op tanh_op = CBM_UNARY("tanh", "tanh x", "tanh(a)", CBM_SAVES_OUT(0), tanh_vjp, smooth_samples);

static void softsign_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_div(v->out_gradient[0], cbm_square(cbm_add_scalar(cbm_abs(v->in[0]), 1)));
}
static const cbm_op softsign_op =
    CBM_UNARY("softsign", "x / (1 + |x|)", "a / (1 + abs(a))", CBM_SAVES_IN(0), softsign_vjp, kinked_samples);

/* ---- gates: x times something between 0 and 1. Slopes of several steps are computed in f32 for bf16 ---- */

/* g slope, slope rounded once. */
static void times_slope(cbm_vjp *v, cbm_tensor *slope)
{
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], cbm_cast(slope, cbm_tensor_dtype(v->in[0])));
}

static void gelu_vjp(cbm_vjp *v)
{
    cbm_tensor *x = cbm_for_statistics(v->in[0]);
    cbm_tensor *below = cbm_mul_scalar(cbm_add_scalar(cbm_erf(cbm_mul_scalar(x, ONE_BY_SQRT_2)), 1), 0.5);
    cbm_tensor *density = cbm_mul_scalar(cbm_exp(cbm_mul_scalar(cbm_mul(x, x), -0.5)), ONE_BY_SQRT_2_PI);
    times_slope(v, cbm_add(below, cbm_mul(x, density)));
}
static const cbm_op gelu_op =
    CBM_UNARY("gelu", "x * Phi(x) = x * (1 + erf(x / sqrt(2))) / 2 (Hendrycks and Gimpel 2016)",
              "0.5 * a * (1 + erf(a * 0.70710678118654752))", CBM_SAVES_IN(0), gelu_vjp, smooth_samples);

static void gelu_tanh_vjp(cbm_vjp *v)
{
    cbm_tensor *x = cbm_for_statistics(v->in[0]), *square = cbm_mul(x, x);
    cbm_tensor *inner = cbm_mul(x, cbm_mul_scalar(cbm_add_scalar(cbm_mul_scalar(square, GELU_CUBIC), 1), SQRT_2_BY_PI));
    cbm_tensor *slope = cbm_mul_scalar(cbm_add_scalar(cbm_mul_scalar(square, 3 * GELU_CUBIC), 1), SQRT_2_BY_PI);
    cbm_tensor *t = cbm_tanh(inner), *turn = cbm_mul(cbm_rsub_scalar(cbm_mul(t, t), 1), cbm_mul(x, slope));
    times_slope(v, cbm_mul_scalar(cbm_add(cbm_add_scalar(t, 1), turn), 0.5));
}
static const cbm_op gelu_tanh_op =
    CBM_UNARY("gelu_tanh", "x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel 2016)",
              "0.5 * a * (1 + tanh(0.79788456080286536 * a * (1 + 0.044715 * a * a)))", CBM_SAVES_IN(0), gelu_tanh_vjp,
              smooth_samples);

/* s (1 + x (1 - s)), s = sigmoid(x) */
static void silu_vjp(cbm_vjp *v)
{
    cbm_tensor *x = cbm_for_statistics(v->in[0]), *s = cbm_sigmoid(x);
    times_slope(v, cbm_mul(s, cbm_add_scalar(cbm_mul(x, cbm_rsub_scalar(s, 1)), 1)));
}
static const cbm_op silu_op = CBM_UNARY("silu", "x / (1 + e^-x) (Elfwing, Uchibe and Doya 2017)", "a / (1 + exp(-a))",
                                        CBM_SAVES_IN(0), silu_vjp, smooth_samples);

/* With e = e^x, n = e (e + 2): tanh(log(1 + e)) = n / (n + 2). The slope is t + x sigmoid(x) (1 - t^2). */
static void mish_vjp(cbm_vjp *v)
{
    cbm_tensor *x = cbm_for_statistics(v->in[0]);
    cbm_tensor *e = cbm_exp(cbm_minimum_scalar(x, MISH_FLAT)), *n = cbm_mul(e, cbm_add_scalar(e, 2));
    cbm_tensor *t = cbm_div(n, cbm_add_scalar(n, 2));
    cbm_tensor *turn = cbm_mul(cbm_mul(x, cbm_sigmoid(x)), cbm_rsub_scalar(cbm_mul(t, t), 1));
    times_slope(v, cbm_add(t, turn));
}
static const cbm_op mish_op =
    CBM_UNARY("mish", "x tanh(log(1 + e^x)) (Misra 2019)",
              "a * (exp(min(a, 20)) * (exp(min(a, 20)) + 2) / (exp(min(a, 20)) * (exp(min(a, 20)) + 2) + 2))",
              CBM_SAVES_IN(0), mish_vjp, smooth_samples);

static void hardsigmoid_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = between(v->in[0], -3, 3, cbm_mul_scalar(v->out_gradient[0], 1.0 / 6));
}
static const cbm_op hardsigmoid_op = CBM_UNARY("hardsigmoid", "min(max(x + 3, 0), 6) / 6", "min(max(a + 3, 0), 6) / 6",
                                               CBM_SAVES_IN(0), hardsigmoid_vjp, hard_samples);

static void hardswish_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *x = v->in[0];
    cbm_tensor *inside = cbm_mul(g, cbm_add_scalar(cbm_mul_scalar(x, 1.0 / 3), 0.5));
    cbm_tensor *above = cbm_where(cbm_greater_equal_scalar(x, 3), g, inside);
    v->in_gradient[0] = cbm_where(cbm_less_equal_scalar(x, -3), zero_like(g), above);
}
static const cbm_op hardswish_op =
    CBM_UNARY("hardswish", "x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019)", "a * min(max(a + 3, 0), 6) / 6",
              CBM_SAVES_IN(0), hardswish_vjp, hard_samples);

/* ---- with numbers, bound at run time ---- */
typedef struct activation_attributes {
    double a, b, c;
} activation_attributes;

#define NUMBER(name_, place_)                                                                                          \
    {                                                                                                                  \
        name_, CBM_ATTRIBUTE_FLOAT, offsetof(activation_attributes, place_), true                                      \
    }
#define ACTIVATION(name_, formula_, expression_, fields_, saves_, vjp_, samples_)                                      \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1, .saves = (saves_),                         \
                              .attributes_size = sizeof(activation_attributes), .attributes = (fields_),               \
                              .n_attributes = CBM_COUNTOF(fields_), .infer = cbm_infer_floating,                       \
                              .expression = (expression_), .vjp = (vjp_), .autocast = CBM_AUTOCAST_WIDEST,             \
                              CBM_SAMPLES(samples_)                                                                    \
    }
#define NUMBER_SAMPLES(low_, high_, numbers_)                                                                          \
    {                                                                                                                  \
        { .n_in = 1, .in = { CBM_DISTINCT(low_, high_, 2, 3) }, .attributes = &numbers_ },                             \
            { .n_in = 1, .in = { CBM_DISTINCT(low_, high_, 3, 1, 22) }, .attributes = &numbers_ },                     \
            { .n_in = 1, .in = { CBM_FLOAT(1.1, 1.9) }, .attributes = &numbers_ },                                     \
            { .n_in = 1, .in = { CBM_DISTINCT(low_, high_, 0, 3) }, .attributes = &numbers_ },                         \
    }

static double number_a(const cbm_vjp *v)
{
    return ((const activation_attributes *)v->attributes)->a;
}

static void leaky_relu_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    v->in_gradient[0] = cbm_where(cbm_greater_scalar(v->in[0], 0), g, cbm_mul_scalar(g, number_a(v)));
}
static const cbm_attribute leaky_relu_fields[] = { NUMBER("slope", a) };
static const activation_attributes tenth = { .a = 0.1 };
static const cbm_sample leaky_relu_samples[] = NUMBER_SAMPLES(-2, 2, tenth);
static const cbm_op leaky_relu_op = ACTIVATION("leaky_relu", "x > 0 ? x : slope x", "select(a > 0, a, a * slope)",
                                               leaky_relu_fields, CBM_SAVES_IN(0), leaky_relu_vjp, leaky_relu_samples);

/* elu, celu and selu: scale (x > 0 ? x : alpha (e^(rate x) - 1)). */
static void elu_vjp(cbm_vjp *v)
{
    const activation_attributes *k = v->attributes;
    cbm_tensor *g = v->out_gradient[0], *x = v->in[0];
    cbm_tensor *e = cbm_exp(cbm_mul_scalar(cbm_minimum_scalar(x, 0), k->b));
    cbm_tensor *below = cbm_mul(cbm_mul_scalar(g, k->a * k->b * k->c), e);
    v->in_gradient[0] = cbm_where(cbm_less_equal_scalar(x, 0), below, cbm_mul_scalar(g, k->c));
}
static const cbm_attribute elu_fields[] = { NUMBER("alpha", a), NUMBER("rate", b), NUMBER("scale", c) };
static const activation_attributes steep = { 1.5, 0.5, 1.25 };
static const cbm_sample elu_samples[] = NUMBER_SAMPLES(-3, 2, steep);
static const cbm_op elu_op =
    ACTIVATION("elu", "scale (x > 0 ? x : alpha (e^(rate x) - 1)) (Clevert, Unterthiner and Hochreiter 2015)",
               "scale * select(a > 0, a, alpha * expm1(a * rate))", elu_fields, CBM_SAVES_IN(0), elu_vjp, elu_samples);

static void softplus_vjp(cbm_vjp *v)
{
    const activation_attributes *k = v->attributes;
    cbm_tensor *g = v->out_gradient[0], *z = cbm_mul_scalar(v->in[0], k->a);
    v->in_gradient[0] = cbm_where(cbm_greater_scalar(z, k->b), g, cbm_mul(g, cbm_sigmoid(z)));
}
static const cbm_attribute softplus_fields[] = { NUMBER("beta", a), NUMBER("threshold", b) };
static const activation_attributes sharp = { .a = 2, .b = 20 };
static const cbm_sample softplus_samples[] = NUMBER_SAMPLES(-4, 4, sharp);
static const cbm_op softplus_op = {
    CBM_OP_RECORD("softplus"),
    .formula = "log(1 + e^(beta x)) / beta, or x where beta x > threshold",
    .n_in = 1,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0),
    .attributes_size = sizeof(activation_attributes),
    .attributes = softplus_fields,
    .n_attributes = CBM_COUNTOF(softplus_fields),
    .infer = cbm_infer_floating,
    .expression = "select(a * beta > threshold, a, log1p(exp(a * beta)) / beta)",
    .vjp = softplus_vjp,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(softplus_samples),
};

static void hardtanh_vjp(cbm_vjp *v)
{
    const activation_attributes *k = v->attributes;
    v->in_gradient[0] = between(v->out[0], k->a, k->b, v->out_gradient[0]);
}
static const cbm_attribute hardtanh_fields[] = { NUMBER("low", a), NUMBER("high", b) };
static const activation_attributes lopsided = { .a = -1, .b = 1.5 };
static const cbm_sample hardtanh_samples[] = NUMBER_SAMPLES(-2.2, 2.3, lopsided);
static const cbm_op hardtanh_op =
    ACTIVATION("hardtanh", "min(max(x, low), high); its slope at the bounds is 0", "min(max(a, low), high)",
               hardtanh_fields, CBM_SAVES_OUT(0), hardtanh_vjp, hardtanh_samples);

/* Where nothing is let through, |x| <= lambda. */
static void shrink_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    v->in_gradient[0] = cbm_where(cbm_less_equal_scalar(cbm_abs(v->in[0]), number_a(v)), zero_like(g), g);
}
static const cbm_attribute shrink_fields[] = { NUMBER("lambda", a) };
static const activation_attributes half = { .a = 0.5 };
static const cbm_sample shrink_samples[] = NUMBER_SAMPLES(-2.1, 2.3, half);
static const cbm_op hardshrink_op = ACTIVATION("hardshrink", "|x| > lambda ? x : 0", "select(abs(a) <= lambda, 0, a)",
                                               shrink_fields, CBM_SAVES_IN(0), shrink_vjp, shrink_samples);
static const cbm_op softshrink_op = ACTIVATION("softshrink", "x > lambda ? x - lambda : x < -lambda ? x + lambda : 0",
                                               "select(a > lambda, a - lambda, select(a < -lambda, a + lambda, a * 0))",
                                               shrink_fields, CBM_SAVES_IN(0), shrink_vjp, shrink_samples);

static void threshold_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    v->in_gradient[0] = cbm_where(cbm_less_equal_scalar(v->in[0], number_a(v)), zero_like(g), g);
}
static const cbm_attribute threshold_fields[] = { NUMBER("threshold", a), NUMBER("value", b) };
static const activation_attributes step = { .a = 0.5, .b = -3 };
static const cbm_sample threshold_samples[] = NUMBER_SAMPLES(-2.1, 2.3, step);
static const cbm_op threshold_op =
    ACTIVATION("threshold", "x > threshold ? x : value", "select(a <= threshold, value, a)", threshold_fields,
               CBM_SAVES_IN(0), threshold_vjp, threshold_samples);

/* ---- prelu: the weight has its place on axis 1 of x ---- */
static void prelu_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *x = v->in[0], *positive = cbm_greater_scalar(x, 0);
    if (v->needed[0])
        v->in_gradient[0] = cbm_where(positive, g, cbm_mul(g, v->in[1]));
    if (v->needed[1])
        v->in_gradient[1] = cbm_where(positive, zero_like(g), cbm_mul(g, x));
}
static const cbm_sample prelu_samples[] = {
    { .n_in = 2, .in = { CBM_DISTINCT(-2, 2, 2, 3, 4), CBM_FLOATS(-0.5, 0.5, 3, 1) } },
    { .n_in = 2, .in = { CBM_DISTINCT(-2, 2, 4, 5), CBM_FLOAT(0.2, 0.3) } },
    { .n_in = 2, .in = { CBM_FLOAT(-2, -1), CBM_FLOAT(0.2, 0.3) } },
    { .n_in = 2, .in = { CBM_DISTINCT(-2, 2, 0, 3), CBM_FLOATS(-0.5, 0.5, 3) } },
};
static const cbm_op prelu_op = {
    CBM_OP_RECORD("prelu"),
    .formula = "x > 0 ? x : weight x (He et al. 2015)",
    .n_in = 2,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),
    .infer = cbm_infer_floating,
    .expression = "select(a > 0, a, a * b)",
    .vjp = prelu_vjp,
    CBM_SAMPLES(prelu_samples),
};

const cbm_op *const cbm_ops_activations[] = {
    &relu_op,      &relu6_op,    &sigmoid_op,    &log_sigmoid_op, &tanh_op,      &softsign_op,   &gelu_op,
    &gelu_tanh_op, &silu_op,     &mish_op,       &hardsigmoid_op, &hardswish_op, &leaky_relu_op, &elu_op,
    &softplus_op,  &hardtanh_op, &hardshrink_op, &softshrink_op,  &threshold_op, &prelu_op,      NULL,
};

/* ---- public functions ---- */

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

cbm_tensor *cbm_log_sigmoid(cbm_tensor *x)
{
    return cbm_apply1(&log_sigmoid_op, x, NULL);
}

cbm_tensor *cbm_tanh(cbm_tensor *x)
{
    return cbm_apply1(&tanh_op, x, NULL);
}

cbm_tensor *cbm_tanhshrink(cbm_tensor *x)
{
    return cbm_sub(x, cbm_tanh(x));
}

cbm_tensor *cbm_softsign(cbm_tensor *x)
{
    return cbm_apply1(&softsign_op, x, NULL);
}

cbm_tensor *cbm_gelu(cbm_tensor *x)
{
    return cbm_apply1(&gelu_op, x, NULL);
}

cbm_tensor *cbm_gelu_tanh(cbm_tensor *x)
{
    return cbm_apply1(&gelu_tanh_op, x, NULL);
}

cbm_tensor *cbm_silu(cbm_tensor *x)
{
    return cbm_apply1(&silu_op, x, NULL);
}

cbm_tensor *cbm_mish(cbm_tensor *x)
{
    return cbm_apply1(&mish_op, x, NULL);
}

cbm_tensor *cbm_hardsigmoid(cbm_tensor *x)
{
    return cbm_apply1(&hardsigmoid_op, x, NULL);
}

cbm_tensor *cbm_hardswish(cbm_tensor *x)
{
    return cbm_apply1(&hardswish_op, x, NULL);
}

cbm_tensor *cbm_leaky_relu(cbm_tensor *x, double slope)
{
    return cbm_apply1(&leaky_relu_op, x, &(activation_attributes){ .a = slope });
}

cbm_tensor *cbm_elu(cbm_tensor *x, double alpha)
{
    return cbm_apply1(&elu_op, x, &(activation_attributes){ alpha, 1, 1 });
}

cbm_tensor *cbm_celu(cbm_tensor *x, double alpha)
{
    if (alpha == 0)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[celu] alpha is 0");
    return cbm_apply1(&elu_op, x, &(activation_attributes){ alpha, 1 / alpha, 1 });
}

cbm_tensor *cbm_selu(cbm_tensor *x)
{
    return cbm_apply1(&elu_op, x, &(activation_attributes){ SELU_ALPHA, 1, SELU_SCALE });
}

cbm_tensor *cbm_softplus(cbm_tensor *x, double beta, double threshold)
{
    if (beta == 0)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[softplus] beta is 0");
    return cbm_apply1(&softplus_op, x, &(activation_attributes){ .a = beta, .b = threshold });
}

cbm_tensor *cbm_hardtanh(cbm_tensor *x, double low, double high)
{
    if (!(low <= high))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[hardtanh] low %g is above high %g", low,
                               high);
    return cbm_apply1(&hardtanh_op, x, &(activation_attributes){ .a = low, .b = high });
}

cbm_tensor *cbm_hardshrink(cbm_tensor *x, double lambda)
{
    return cbm_apply1(&hardshrink_op, x, &(activation_attributes){ .a = lambda });
}

cbm_tensor *cbm_softshrink(cbm_tensor *x, double lambda)
{
    if (!(lambda >= 0))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[softshrink] lambda %g is negative", lambda);
    return cbm_apply1(&softshrink_op, x, &(activation_attributes){ .a = lambda });
}

cbm_tensor *cbm_threshold(cbm_tensor *x, double threshold, double value)
{
    return cbm_apply1(&threshold_op, x, &(activation_attributes){ .a = threshold, .b = value });
}

/* A weight of one element serves all; one of the channels' number stands on axis 1. */
cbm_tensor *cbm_prelu(cbm_tensor *x, cbm_tensor *weight)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x) || !cbm_usable(cx, weight))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[prelu] x or the weight is NULL or failed");
    const cbm_shape shape = cbm_tensor_shape(x);
    const int64_t count = cbm_tensor_count(weight), rank = shape.v[0];
    if (cbm_tensor_rank(weight) > 1 || (count != 1 && (rank < 2 || count != shape.v[2])))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[prelu] a weight of %lld elements does not fit axis 1 of %s",
                               (long long)count, cbm_shape_text(&shape, text, sizeof text));
    cbm_shape place = { { rank > 1 ? rank - 1 : 0 } };
    for (int64_t i = 1; i < rank; i++)
        place.v[i] = i == 1 ? count : 1;
    return cbm_apply2(&prelu_op, x, cbm_reshape(weight, place), NULL);
}

cbm_tensor *cbm_glu(cbm_tensor *x, int64_t axis)
{
    int64_t normal = 0;
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_axis_of("glu", x, axis, &normal))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[glu] no result");
    const int64_t size = cbm_tensor_size(x, normal);
    if (size % 2 != 0)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[glu] axis %lld has %lld elements, which have no halves",
                               (long long)axis, (long long)size);
    cbm_tensor *gate = cbm_slice(x, normal, size / 2, size, 1);
    return cbm_mul(cbm_slice(x, normal, 0, size / 2, 1), cbm_sigmoid(gate));
}
