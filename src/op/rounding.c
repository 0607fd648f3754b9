/* rounding.c: floor, ceil, round, trunc, frac, sign, and the remainders of division: fmod, remainder, floor_divide. Rests on
   op/families.h. */
#include "op/families.h"

#define WHOLE(name_, formula_, expression_)                                                                            \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1, .infer = cbm_infer_numeric,                \
                              .expression = (expression_), .vjp = cbm_flat_vjp, CBM_SAMPLES(whole_samples)             \
    }

static const cbm_sample whole_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2.9, 3.1, 2, 3) } }, { .n_in = 1, .in = { CBM_DISTINCT(-2.9, 2.8, 3, 1, 22) } },
    { .n_in = 1, .in = { CBM_FLOAT(1.1, 1.4) } },           { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 0, 3) } },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 5) } },
};
static const cbm_op floor_op = WHOLE("floor", "greatest whole number not above x", "floor(a)");
static const cbm_op ceil_op = WHOLE("ceil", "least whole number not below x", "ceil(a)");
static const cbm_op round_op = WHOLE("round", "whole number nearest to x, of two the even one", "round(a)");
static const cbm_op trunc_op = WHOLE("trunc", "x without its fraction", "trunc(a)");
static const cbm_op sign_op = WHOLE("sign", "x > 0 ? 1 : x < 0 ? -1 : 0", "select(a > 0, 1, select(a < 0, -1, 0))");

/* ---- remainders: in a their slope is 1; in b it is minus the quotient ---- */
static void fmod_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
    if (v->needed[1])
        v->in_gradient[1] = cbm_neg(cbm_mul(v->out_gradient[0], cbm_trunc(cbm_div(v->in[0], v->in[1]))));
}

static void remainder_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
    if (v->needed[1])
        v->in_gradient[1] = cbm_neg(cbm_mul(v->out_gradient[0], cbm_floor_divide(v->in[0], v->in[1])));
}

static const cbm_sample division_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-5, 5, 2, 3), CBM_FLOATS(0.7, 2, 2, 3) } },
    { .n_in = 2, .in = { CBM_FLOATS(-5, 5, 2, 3, 4), CBM_FLOATS(-2, -0.7, 3, 1) } },
    { .n_in = 2, .in = { CBM_FLOATS(-5, 5, 33), CBM_FLOAT(0.7, 2) } },
    { .n_in = 2, .in = { CBM_FLOAT(-5, 5), CBM_FLOAT(0.7, 2) } },
    { .n_in = 2, .in = { CBM_FLOATS(-5, 5, 0, 3), CBM_FLOATS(0.7, 2, 3) } },
    { .n_in = 2, .in = { CBM_INDICES(-30, 30, 5, 9), CBM_INDICES(1, 7, 9) } },
    { .n_in = 2, .in = { CBM_INDICES(-30, 30, 5, 9), CBM_INDICES(-7, -1, 5, 1) } },
};

#define DIVISION(name_, formula_, expression_, saves_, vjp_)                                                           \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 2, .n_out = 1, .infer = cbm_infer_numeric,                \
                              .expression = (expression_), .saves = (saves_), .vjp = (vjp_),                           \
                              CBM_SAMPLES(division_samples)                                                            \
    }
/* The rest of a and b lies on the other side of zero than b. */
#define CROSSES "(mod(a, b) != 0) & ((mod(a, b) < 0) != (b < 0))"
static const cbm_op fmod_op =
    DIVISION("fmod", "a - b trunc(a / b): the sign of a", "mod(a, b)", CBM_SAVES_IN(0) | CBM_SAVES_IN(1), fmod_vjp);
static const cbm_op remainder_op =
    DIVISION("remainder", "a - b floor(a / b): the sign of b", "select(" CROSSES ", mod(a, b) + b, mod(a, b))",
             CBM_SAVES_IN(0) | CBM_SAVES_IN(1), remainder_vjp);
/* a - mod is a multiple of b but for its rounding. */
static const cbm_op floor_divide_op =
    DIVISION("floor_divide", "floor(a / b)",
             "select(b == 0, a / b, round((a - mod(a, b)) / b) - select(" CROSSES ", 1, 0))", 0, cbm_flat_vjp);

const cbm_op *const cbm_ops_rounding[] = {
    &floor_op, &ceil_op, &round_op, &trunc_op, &sign_op, &fmod_op, &remainder_op, &floor_divide_op, NULL,
};

cbm_tensor *cbm_floor(cbm_tensor *x)
{
    return cbm_apply1(&floor_op, x, NULL);
}

cbm_tensor *cbm_ceil(cbm_tensor *x)
{
    return cbm_apply1(&ceil_op, x, NULL);
}

cbm_tensor *cbm_round(cbm_tensor *x)
{
    return cbm_apply1(&round_op, x, NULL);
}

cbm_tensor *cbm_trunc(cbm_tensor *x)
{
    return cbm_apply1(&trunc_op, x, NULL);
}

cbm_tensor *cbm_frac(cbm_tensor *x)
{
    return cbm_sub(x, cbm_trunc(x));
}

cbm_tensor *cbm_sign(cbm_tensor *x)
{
    return cbm_apply1(&sign_op, x, NULL);
}

cbm_tensor *cbm_fmod(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&fmod_op, a, b, NULL);
}

cbm_tensor *cbm_remainder(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&remainder_op, a, b, NULL);
}

cbm_tensor *cbm_floor_divide(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&floor_divide_op, a, b, NULL);
}

cbm_tensor *cbm_fmod_scalar(cbm_tensor *x, double value)
{
    return cbm_fmod(x, cbm_number_like(x, value));
}

cbm_tensor *cbm_remainder_scalar(cbm_tensor *x, double value)
{
    return cbm_remainder(x, cbm_number_like(x, value));
}

cbm_tensor *cbm_floor_divide_scalar(cbm_tensor *x, double value)
{
    return cbm_floor_divide(x, cbm_number_like(x, value));
}
