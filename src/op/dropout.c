/* dropout.c: dropouts that are made of other operations: of whole channels, and those that keep the mean and variance of
   what SELU gives (Klambauer et al. 2017). Rests on op/families.h. */
#include "op/families.h"

#include <math.h>

/* x is usable, of rank `least` at least, floating, and p a probability below 1; false after recording the error. */
static bool may_drop(const char *name, cbm_tensor *x, double p, int64_t least)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] x is NULL or failed", name);
        return false;
    }
    const cbm_shape shape = cbm_tensor_shape(x);
    if (!(p >= 0 && p < 1))
        (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] p = %g is not a probability in [0, 1)", name, p);
    else if (!cbm_is_floating(cbm_tensor_dtype(x)))
        (void)cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[%s] x must be f32, f64 or bf16", name);
    else if (shape.v[0] < least)
        (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] x %s must have at least 2 dimensions: (N, C, ...)", name,
                              cbm_shape_text(&shape, text, sizeof text));
    else
        return true;
    return false;
}

/* x's shape, or (N, C, 1, ..): one number a channel. */
static cbm_shape drawn_shape(cbm_tensor *x, bool channels)
{
    cbm_shape shape = cbm_tensor_shape(x);
    for (int64_t i = 3; channels && i <= shape.v[0]; i++)
        shape.v[i] = 1;
    return shape;
}

cbm_tensor *cbm_feature_dropout(cbm_tensor *x, double p)
{
    if (!may_drop("feature_dropout", x, p, 2))
        return cbm_no_result(x, "feature_dropout");
    return cbm_mul(x, cbm_dropout(cbm_ones(cbm_tensor_context(x), cbm_tensor_dtype(x), drawn_shape(x, true)), p));
}

/* Where a number is dropped it becomes selu(-infinity) = -scale alpha; then a y + b has the mean and variance of before. */
static cbm_tensor *alpha_dropout(cbm_tensor *x, double p, bool channels)
{
    const double bottom = -1.0507009873554805 * 1.6732632423543772;
    const double a = 1 / sqrt((1 - p) * (1 + p * bottom * bottom)), b = -a * bottom * p;
    cbm_context *cx = cbm_tensor_context(x);
    if (p == 0)
        return x;
    cbm_tensor *drawn = cbm_uniform(cx, CBM_F32, drawn_shape(x, channels), 0, 1);
    cbm_tensor *dropped = cbm_less(drawn, cbm_scalar(cx, CBM_F32, p));
    cbm_tensor *y = cbm_where(dropped, cbm_scalar(cx, cbm_tensor_dtype(x), bottom), x);
    return cbm_add_scalar(cbm_mul_scalar(y, a), b);
}

cbm_tensor *cbm_alpha_dropout(cbm_tensor *x, double p)
{
    return may_drop("alpha_dropout", x, p, 0) ? alpha_dropout(x, p, false) : cbm_no_result(x, "alpha_dropout");
}

cbm_tensor *cbm_feature_alpha_dropout(cbm_tensor *x, double p)
{
    if (!may_drop("feature_alpha_dropout", x, p, 2))
        return cbm_no_result(x, "feature_alpha_dropout");
    return alpha_dropout(x, p, true);
}
