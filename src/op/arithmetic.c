/* arithmetic.c: add, sub, mul, div, pow, maximum, minimum, neg, abs: expressions with their gradients, and the forms
   that take a number. Rests on op/families.h. */
#include "op/families.h"

#define FORMULA(text_) .formula = (text_)

/* ---- add, sub, mul, div ---- */
static void add_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
    v->in_gradient[1] = v->out_gradient[0];
}

static void sub_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
    if (v->needed[1])
        v->in_gradient[1] = cbm_neg(v->out_gradient[0]);
}

static void mul_vjp(cbm_vjp *v)
{
    if (v->needed[0])
        v->in_gradient[0] = cbm_mul(v->out_gradient[0], v->in[1]);
    if (v->needed[1])
        v->in_gradient[1] = cbm_mul(v->out_gradient[0], v->in[0]);
}

static void div_vjp(cbm_vjp *v)
{
    cbm_tensor *scaled = cbm_div(v->out_gradient[0], v->in[1]);
    v->in_gradient[0] = scaled;
    if (v->needed[1])
        v->in_gradient[1] = cbm_neg(cbm_mul(scaled, v->out[0]));
}

#define TWO_F64(low_, high_, low_b, high_b)                                                                            \
    { .n_in = 2, .in = { CBM_FLOATS(low_, high_, 2, 3), CBM_FLOATS(low_b, high_b, 2, 3) } },                           \
        { .n_in = 2, .in = { CBM_FLOATS(low_, high_, 2, 3, 4), CBM_FLOATS(low_b, high_b, 3, 1) } },                    \
        { .n_in = 2, .in = { CBM_FLOATS(low_, high_, 1, 5), CBM_FLOATS(low_b, high_b, 4, 1) } },                       \
        { .n_in = 2, .in = { CBM_FLOATS(low_, high_, 33), CBM_FLOAT(low_b, high_b) } },                                \
        { .n_in = 2, .in = { CBM_FLOAT(low_, high_), CBM_FLOAT(low_b, high_b) } },                                     \
    {                                                                                                                  \
        .n_in = 2, .in = { CBM_FLOATS(low_, high_, 0, 3), CBM_FLOATS(low_b, high_b, 3) }                               \
    }
#define TWO_I64                                                                                                        \
    {                                                                                                                  \
        .n_in = 2, .in = { CBM_INDICES(-9, 9, 2, 3), CBM_INDICES(-9, 9, 3) }                                           \
    }

static const cbm_sample sum_samples[] = { TWO_F64(-2, 2, -2, 2), TWO_I64 };
static const cbm_sample div_samples[] = { TWO_F64(-2, 2, 0.5, 2) };

static const cbm_op add_op = {
    CBM_OP_RECORD("add"),  FORMULA("a + b"),           .n_in = 2,      .n_out = 1,
    .expression = "a + b", .infer = cbm_infer_numeric, .vjp = add_vjp, CBM_SAMPLES(sum_samples),
};
static const cbm_op sub_op = {
    CBM_OP_RECORD("sub"),  FORMULA("a - b"),           .n_in = 2,      .n_out = 1,
    .expression = "a - b", .infer = cbm_infer_numeric, .vjp = sub_vjp, CBM_SAMPLES(sum_samples),
};
static const cbm_op mul_op = {
    CBM_OP_RECORD("mul"),
    FORMULA("a * b"),
    .n_in = 2,
    .n_out = 1,
    .expression = "a * b",
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),
    .infer = cbm_infer_numeric,
    .vjp = mul_vjp,
    CBM_SAMPLES(sum_samples),
};
static const cbm_op div_op = {
    CBM_OP_RECORD("div"),
    FORMULA("a / b"),
    .n_in = 2,
    .n_out = 1,
    .expression = "a / b",
    .saves = CBM_SAVES_IN(1) | CBM_SAVES_OUT(0),
    .infer = cbm_infer_floating,
    .vjp = div_vjp,
    CBM_SAMPLES(div_samples),
};

/* ---- pow: d/da = b a^(b-1), 0 where b is 0; d/db = a^b log a, 0 where a is 0 and b >= 0 ---- */
static void pow_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *a = v->in[0], *b = v->in[1];
    cbm_tensor *zero = cbm_number_like(g, 0);
    if (v->needed[0]) {
        cbm_tensor *slope = cbm_mul(b, cbm_pow(a, cbm_add_scalar(b, -1)));
        v->in_gradient[0] = cbm_where(cbm_equal(b, zero), zero, cbm_mul(g, slope));
    }
    if (v->needed[1]) {
        /* Where a is 0 the logarithm is taken of 1 instead, so that no infinity enters derivatives of higher order;
           a negative power of 0 is infinite, and so is its slope. */
        cbm_tensor *at_zero = cbm_equal(a, zero);
        cbm_tensor *logarithm = cbm_log(cbm_where(at_zero, cbm_number_like(g, 1), a));
        cbm_tensor *slope = cbm_mul(v->out[0], logarithm);
        cbm_tensor *slope_at_zero = cbm_where(cbm_less(b, zero), cbm_neg(v->out[0]), zero);
        v->in_gradient[1] = cbm_mul(g, cbm_where(at_zero, slope_at_zero, slope));
    }
}

static const cbm_sample pow_samples[] = {
    TWO_F64(0.5, 2, -2, 3),
};
static const cbm_op pow_op = {
    CBM_OP_RECORD("pow"),
    FORMULA("a^b"),
    .n_in = 2,
    .n_out = 1,
    .expression = "pow(a, b)",
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_OUT(0),
    .infer = cbm_infer_floating,
    .vjp = pow_vjp,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(pow_samples),
};

/* ---- maximum, minimum: the larger (smaller) one gets the gradient, at ties each half, with NaN both ---- */
static cbm_tensor *share(cbm_tensor *g, cbm_tensor *loses, cbm_tensor *ties)
{
    return cbm_where(loses, cbm_number_like(g, 0), cbm_where(ties, cbm_mul_scalar(g, 0.5), g));
}

static void maximum_vjp(cbm_vjp *v)
{
    cbm_tensor *ties = cbm_equal(v->in[0], v->in[1]);
    if (v->needed[0])
        v->in_gradient[0] = share(v->out_gradient[0], cbm_less(v->in[0], v->in[1]), ties);
    if (v->needed[1])
        v->in_gradient[1] = share(v->out_gradient[0], cbm_greater(v->in[0], v->in[1]), ties);
}

static void minimum_vjp(cbm_vjp *v)
{
    cbm_tensor *ties = cbm_equal(v->in[0], v->in[1]);
    if (v->needed[0])
        v->in_gradient[0] = share(v->out_gradient[0], cbm_greater(v->in[0], v->in[1]), ties);
    if (v->needed[1])
        v->in_gradient[1] = share(v->out_gradient[0], cbm_less(v->in[0], v->in[1]), ties);
}

static const cbm_sample extreme_samples[] = {
    { .n_in = 2, .in = { CBM_DISTINCT(-2, 2, 4, 3), CBM_DISTINCT(-1.93, 2.11, 4, 3) } },
    { .n_in = 2, .in = { CBM_DISTINCT(-2, 2, 2, 3, 4), CBM_DISTINCT(-1.93, 2.11, 4) } },
    { .n_in = 2, .in = { CBM_DISTINCT(-2, 2, 5, 1), CBM_DISTINCT(-1.93, 2.11, 1, 7) } },
    { .n_in = 2, .in = { CBM_DISTINCT(-2, 2, 0, 3), CBM_DISTINCT(-1.93, 2.11, 3) } },
    TWO_I64,
};
static const cbm_op maximum_op = {
    CBM_OP_RECORD("maximum"),
    FORMULA("max(a, b), NaN if either is"),
    .n_in = 2,
    .n_out = 1,
    .expression = "max(a, b)",
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),
    .infer = cbm_infer_numeric,
    .vjp = maximum_vjp,
    CBM_SAMPLES(extreme_samples),
};
static const cbm_op minimum_op = {
    CBM_OP_RECORD("minimum"),
    FORMULA("min(a, b), NaN if either is"),
    .n_in = 2,
    .n_out = 1,
    .expression = "min(a, b)",
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),
    .infer = cbm_infer_numeric,
    .vjp = minimum_vjp,
    CBM_SAMPLES(extreme_samples),
};

/* ---- neg, abs ---- */
static void neg_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_neg(v->out_gradient[0]);
}

static void abs_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *zero = cbm_number_like(g, 0);
    cbm_tensor *below = cbm_where(cbm_less(v->in[0], zero), cbm_neg(g), zero);
    v->in_gradient[0] = cbm_where(cbm_greater(v->in[0], zero), g, below);
}

static const cbm_sample neg_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) } },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) } },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) } },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 5) } },
};
static const cbm_sample abs_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3) } },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 1, 12) } },
    { .n_in = 1, .in = { CBM_FLOAT(-2, -1) } },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 5) } },
};
static const cbm_op neg_op = {
    CBM_OP_RECORD("neg"),
    FORMULA("-x"),
    .n_in = 1,
    .n_out = 1,
    .expression = "-a",
    .infer = cbm_infer_numeric,
    .vjp = neg_vjp,
    CBM_SAMPLES(neg_samples),
};
static const cbm_op abs_op = {
    CBM_OP_RECORD("abs"),
    FORMULA("|x|; its slope at 0 is 0"),
    .n_in = 1,
    .n_out = 1,
    .expression = "abs(a)",
    .saves = CBM_SAVES_IN(0),
    .infer = cbm_infer_numeric,
    .vjp = abs_vjp,
    CBM_SAMPLES(abs_samples),
};

const cbm_op *const cbm_ops_arithmetic[] = {
    &add_op, &sub_op, &mul_op, &div_op, &pow_op, &maximum_op, &minimum_op, &neg_op, &abs_op, NULL,
};

cbm_tensor *cbm_add(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&add_op, a, b, NULL);
}

cbm_tensor *cbm_sub(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&sub_op, a, b, NULL);
}

cbm_tensor *cbm_mul(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&mul_op, a, b, NULL);
}

cbm_tensor *cbm_div(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&div_op, a, b, NULL);
}

cbm_tensor *cbm_pow(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&pow_op, a, b, NULL);
}

cbm_tensor *cbm_maximum(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&maximum_op, a, b, NULL);
}

cbm_tensor *cbm_minimum(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&minimum_op, a, b, NULL);
}

cbm_tensor *cbm_neg(cbm_tensor *x)
{
    return cbm_apply1(&neg_op, x, NULL);
}

cbm_tensor *cbm_abs(cbm_tensor *x)
{
    return cbm_apply1(&abs_op, x, NULL);
}

cbm_tensor *cbm_add_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&add_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_sub_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&sub_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_rsub_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&sub_op, cbm_number_like(x, value), x, NULL);
}

cbm_tensor *cbm_div_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&div_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_rdiv_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&div_op, cbm_number_like(x, value), x, NULL);
}

cbm_tensor *cbm_maximum_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&maximum_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_minimum_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&minimum_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_mul_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&mul_op, x, cbm_number_like(x, value), NULL);
}

/* The square, by far the most frequent power, is a product: exact, and fast in every backend. */
cbm_tensor *cbm_pow_scalar(cbm_tensor *x, double value)
{
    if (value == 2.0)
        return cbm_apply2(&mul_op, x, x, NULL);
    return cbm_apply2(&pow_op, x, cbm_number_like(x, value), NULL);
}
