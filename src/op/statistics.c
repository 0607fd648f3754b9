/* statistics.c: variance and standard deviation, norms, log-sum-exp, and order statistics (k-th smallest, median, quantiles)
   over axes, with their gradients. Rests on op/reduce.h. */
#include "op/reduce.h"

#include <math.h>

static const cbm_reduce_attributes no_axes = { CBM_DIMS(), 0 }, first = { CBM_DIMS(0), 0 };
static const cbm_reduce_attributes second = { CBM_DIMS(1), 0 }, second_kept = { CBM_DIMS(1), 1 };

/* ---- var, std ---- */
static bool var_infer(cbm_infer *infer)
{
    const cbm_var_attributes *a = infer->attributes;
    return cbm_rule_floating(infer, 0) && cbm_reduced_shape(infer, &a->over);
}

/* g_mean / n + g_var 2 (x - mean) / (n - correction) */
static cbm_tensor *spread_gradient(cbm_vjp *v, cbm_tensor *g)
{
    const cbm_var_attributes *a = v->attributes;
    cbm_tensor *x = v->in[0], *sum = NULL;
    const double n = cbm_share_count(x, &a->over), divisor = n - a->correction > 0 ? n - a->correction : 0;
    if (g != NULL) {
        cbm_tensor *apart = cbm_sub(x, cbm_as_kept(v->out[1], x, &a->over));
        sum = cbm_mul(cbm_mul_scalar(cbm_as_kept(g, x, &a->over), 2 / divisor), apart);
    }
    if (v->out_gradient[1] != NULL) {
        cbm_tensor *level = cbm_mul_scalar(cbm_as_kept(v->out_gradient[1], x, &a->over), n > 0 ? 1 / n : 0);
        sum = sum ? cbm_add(sum, level) : cbm_expand(level, cbm_tensor_shape(x));
    }
    return sum;
}

static void var_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = spread_gradient(v, v->out_gradient[0]);
}

/* Through the variance: g / (2 std), but 0 where nothing varies. */
static void std_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *y = v->out[0];
    if (g != NULL) {
        cbm_tensor *none = cbm_equal_scalar(y, 0);
        cbm_tensor *safe = cbm_where(none, cbm_number_like(y, 1), y);
        g = cbm_where(none, cbm_number_like(g, 0), cbm_div(cbm_mul_scalar(g, 0.5), safe));
        g = cbm_cast(g, cbm_tensor_dtype(v->in[0])); /* scalars of f32 and bf16 have become f32 */
    }
    v->in_gradient[0] = spread_gradient(v, g);
}

static const cbm_attribute var_fields[] = {
    { "axes", CBM_ATTRIBUTE_SHAPE, offsetof(cbm_var_attributes, over.axes), false },
    { "keepdim", CBM_ATTRIBUTE_INT, offsetof(cbm_var_attributes, over.keepdim), false },
    CBM_FIELD(cbm_var_attributes, correction, CBM_ATTRIBUTE_FLOAT, false),
};
static const cbm_var_attributes spread_rows = { { CBM_DIMS(1), 0 }, 1 }, spread_columns = { { CBM_DIMS(0), 1 }, 0 };
static const cbm_var_attributes spread_all = { { CBM_DIMS(0, 1), 0 }, 1 }, spread_two = { { CBM_DIMS(0, 2), 0 }, 1.5 };
static const cbm_sample var_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 5, 33) }, .attributes = &spread_rows },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 6) }, .attributes = &spread_columns },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 5) }, .attributes = &spread_all },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 5, 4) }, .attributes = &spread_two },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &spread_rows },
};

#define SPREAD(name_, formula_, vjp_)                                                                                  \
    {                                                                                                                  \
        CBM_OP_RECORD(name_),                                                                                          \
            .formula = (formula_), .n_in = 1, .n_out = 2, .attributes_size = sizeof(cbm_var_attributes),               \
            .attributes = var_fields, .n_attributes = CBM_COUNTOF(var_fields), .infer = var_infer,                     \
            .cost = cbm_reduce_cost, .autocast = CBM_AUTOCAST_FULL,                                                    \
            .saves = CBM_SAVES_IN(0) | CBM_SAVES_OUT(0) | CBM_SAVES_OUT(1), .vjp = (vjp_), CBM_SAMPLES(var_samples)    \
    }
static const cbm_op var_op =
    SPREAD("var", "sum of (x - mean)^2 / (n - correction) over the axes, and the mean", var_vjp);
static const cbm_op std_op = SPREAD("std", "square root of the variance over the axes, and the mean", std_vjp);

/* ---- norm ---- */
static bool norm_infer(cbm_infer *infer)
{
    const cbm_norm_attributes *a = infer->attributes;
    if (isnan(a->p))
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "p is NaN");
    if ((a->p < 0 || isinf(a->p)) && !cbm_reduces_some(infer, &a->over, "largest or smallest"))
        return false;
    return cbm_rule_floating(infer, 0) && cbm_reduced_shape(infer, &a->over);
}

/* sign(x) |x|^(p-1) g / y^(p-1), but 0 where the norm is; at infinity those that are largest share g. */
static void norm_vjp(cbm_vjp *v)
{
    const cbm_norm_attributes *a = v->attributes;
    cbm_tensor *x = v->in[0], *y = cbm_as_kept(v->out[0], x, &a->over);
    cbm_tensor *g = cbm_as_kept(v->out_gradient[0], x, &a->over), *zero = cbm_number_like(g, 0);
    if (a->p == 0)
        return;
    if (isinf(a->p)) {
        cbm_tensor *hits = cbm_cast(cbm_equal(cbm_abs(x), y), cbm_tensor_dtype(x));
        cbm_tensor *share = cbm_div(g, cbm_sum_over(hits, a->over.axes, true));
        v->in_gradient[0] = cbm_mul(cbm_mul(hits, cbm_sign(x)), share);
        return;
    }
    if (a->p == 1) {
        v->in_gradient[0] = cbm_mul(cbm_sign(x), g);
        return;
    }
    cbm_tensor *none = cbm_equal(y, zero), *safe = cbm_where(none, cbm_number_like(y, 1), y);
    if (a->p == 2) {
        v->in_gradient[0] = cbm_mul(x, cbm_where(none, zero, cbm_div(g, safe)));
        return;
    }
    /* A power below 0 of 0 is kept out, where its slope counts as 0. */
    cbm_tensor *at_zero = cbm_equal(x, zero), *size = cbm_where(at_zero, cbm_number_like(x, 1), cbm_abs(x));
    cbm_tensor *power = cbm_mul(cbm_sign(x), cbm_pow_scalar(size, a->p - 1));
    v->in_gradient[0] = cbm_mul(power, cbm_where(none, zero, cbm_mul(g, cbm_pow_scalar(safe, 1 - a->p))));
}

static const cbm_attribute norm_fields[] = {
    { "axes", CBM_ATTRIBUTE_SHAPE, offsetof(cbm_norm_attributes, over.axes), false },
    { "keepdim", CBM_ATTRIBUTE_INT, offsetof(cbm_norm_attributes, over.keepdim), false },
    CBM_FIELD(cbm_norm_attributes, p, CBM_ATTRIBUTE_FLOAT, false),
};
static const cbm_norm_attributes norm_2 = { { CBM_DIMS(1), 0 }, 2 }, norm_2_all = { { CBM_DIMS(0, 1), 0 }, 2 };
static const cbm_norm_attributes norm_1 = { { CBM_DIMS(1), 1 }, 1 }, norm_3 = { { CBM_DIMS(0), 0 }, 3 };
static const cbm_norm_attributes norm_half = { { CBM_DIMS(1), 0 }, 0.5 }, norm_0 = { { CBM_DIMS(0), 0 }, 0 };
static const cbm_norm_attributes norm_most = { { CBM_DIMS(0), 0 }, (double)INFINITY };
static const cbm_norm_attributes norm_least = { { CBM_DIMS(1), 0 }, -(double)INFINITY };
static const cbm_norm_attributes norm_back = { { CBM_DIMS(0, 2), 0 }, -1 };
static const cbm_sample norm_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 5, 34) }, .attributes = &norm_2 },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 6) }, .attributes = &norm_2_all },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 20) }, .attributes = &norm_1 },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 20, 3) }, .attributes = &norm_3 },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 6) }, .attributes = &norm_half },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 6) }, .attributes = &norm_0 },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 1.9, 4, 6) }, .attributes = &norm_most },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 1.9, 4, 6) }, .attributes = &norm_least },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 4, 2) }, .attributes = &norm_back },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &norm_3 },
};
static const cbm_op norm_op = {
    CBM_OP_RECORD("norm"),
    .formula = "(sum of |x|^p over the axes)^(1/p); largest or smallest |x| for p infinite; how many are not 0 for p 0",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_norm_attributes),
    .attributes = norm_fields,
    .n_attributes = CBM_COUNTOF(norm_fields),
    .infer = norm_infer,
    .cost = cbm_reduce_cost,
    .autocast = CBM_AUTOCAST_FULL,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_OUT(0),
    .vjp = norm_vjp,
    CBM_SAMPLES(norm_samples),
};

/* ---- logsumexp ---- */
static bool logsumexp_infer(cbm_infer *infer)
{
    return cbm_rule_floating(infer, 0) && cbm_reduced_shape(infer, infer->attributes);
}

static const cbm_op logsumexp_op;

/* g e^(x - y). A result rounded to bf16 is too rough a y: it is found again in f32. */
static void logsumexp_vjp(cbm_vjp *v)
{
    const cbm_reduce_attributes *a = v->attributes;
    cbm_tensor *x = cbm_for_statistics(v->in[0]);
    cbm_tensor *y = x == v->in[0] ? v->out[0] : cbm_apply1(&logsumexp_op, x, a);
    cbm_tensor *share = cbm_exp(cbm_sub(x, cbm_as_kept(y, x, a)));
    cbm_tensor *gradient = cbm_mul(cbm_for_statistics(cbm_as_kept(v->out_gradient[0], x, a)), share);
    v->in_gradient[0] = cbm_cast(gradient, cbm_tensor_dtype(v->in[0]));
}

static const cbm_attribute reduce_fields[] = {
    CBM_FIELD(cbm_reduce_attributes, axes, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_reduce_attributes, keepdim, CBM_ATTRIBUTE_INT, false),
};
static const cbm_sample logsumexp_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-9, 9, 5, 33) }, .attributes = &second },
    { .n_in = 1, .in = { CBM_DISTINCT(-9, 9, 4, 6) }, .attributes = &first },
    { .n_in = 1, .in = { CBM_DISTINCT(-9, 9, 3, 7) }, .attributes = &second_kept },
    { .n_in = 1, .in = { CBM_DISTINCT(-9, 9, 3, 4, 5) }, .attributes = &second },
    { .n_in = 1, .in = { CBM_FLOAT(1, 2) }, .attributes = &no_axes },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &first },
};
static const cbm_op logsumexp_op = {
    CBM_OP_RECORD("logsumexp"),
    .formula = "log of the sum of e^x over the axes",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_reduce_attributes),
    .attributes = reduce_fields,
    .n_attributes = CBM_COUNTOF(reduce_fields),
    .infer = logsumexp_infer,
    .cost = cbm_reduce_cost,
    .autocast = CBM_AUTOCAST_FULL,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_OUT(0),
    .vjp = logsumexp_vjp,
    CBM_SAMPLES(logsumexp_samples),
};

/* ---- kth_index: order statistics give the place; values, and so gradients, are gathered from there ---- */
static bool kth_infer(cbm_infer *infer)
{
    const cbm_kth_attributes *a = infer->attributes;
    cbm_shape shape = infer->in_shape[0];
    if (a->axis < 0 || a->axis >= shape.v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld", (long long)a->axis);
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "not of bool. HINT: convert it with cbm_cast");
    if (a->k < 0 || a->k >= shape.v[1 + a->axis])
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "there is no element %lld in order among %lld",
                              (long long)a->k + 1, (long long)shape.v[1 + a->axis]);
    shape.v[1 + a->axis] = 1;
    infer->out_shape[0] = shape;
    infer->out_dtype[0] = CBM_I64;
    return true;
}

static const cbm_attribute kth_fields[] = {
    CBM_FIELD(cbm_kth_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_kth_attributes, k, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_kth_attributes, nan_wins, CBM_ATTRIBUTE_INT, false),
};
static const cbm_kth_attributes third_row = { 0, 2, 0 }, fifth = { 1, 4, 1 }, middle = { 1, 1, 0 };
static const cbm_sample kth_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 5, 33) }, .attributes = &fifth },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 5, 6) }, .attributes = &third_row },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3, 4) }, .attributes = &middle },
    { .n_in = 1, .in = { CBM_INDICES(0, 3, 4, 9) }, .attributes = &fifth },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 5) }, .attributes = &fifth },
};
static const cbm_op kth_op = {
    CBM_OP_RECORD("kth_index"),
    .formula = "place along axis of the k-th smallest x, of equal ones in their order",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_kth_attributes),
    .attributes = kth_fields,
    .n_attributes = CBM_COUNTOF(kth_fields),
    .infer = kth_infer,
    .cost = cbm_reduce_cost,
    CBM_SAMPLES(kth_samples),
};

const cbm_op *const cbm_ops_statistics[] = { &var_op, &std_op, &norm_op, &logsumexp_op, &kth_op, NULL };

/* ---- public functions ---- */

/* Both results of a spread. */
static cbm_tensor *spread(const cbm_op *op, cbm_tensor *x, const cbm_var_options *options, cbm_tensor **mean)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_var_options o = { .struct_size = sizeof o, .correction = 1 };
    cbm_var_attributes a;
    cbm_read_options(&o, sizeof o, options);
    a.correction = o.correction;
    cbm_tensor *result = cbm_read_axes(op->name, x, &o.axes, o.keepdim != 0, &a.over)
                             ? cbm_apply(cbm_tensor_context(x), op, &x, 1, &a, out)
                             : cbm_no_result(x, op->name);
    if (mean != NULL)
        *mean = cbm_tensor_failed(result) ? result : out[1];
    return result;
}

cbm_tensor *cbm_var_with(cbm_tensor *x, const cbm_var_options *options)
{
    return spread(&var_op, x, options, NULL);
}

cbm_tensor *cbm_std_with(cbm_tensor *x, const cbm_var_options *options)
{
    return spread(&std_op, x, options, NULL);
}

cbm_tensor *cbm_var_mean_with(cbm_tensor *x, const cbm_var_options *options, cbm_tensor **mean)
{
    return spread(&var_op, x, options, mean);
}

cbm_tensor *cbm_norm_with(cbm_tensor *x, const cbm_norm_options *options)
{
    cbm_norm_options o = { .struct_size = sizeof o, .p = 2 };
    cbm_norm_attributes a;
    cbm_read_options(&o, sizeof o, options);
    a.p = o.p;
    return cbm_read_axes("norm", x, &o.axes, o.keepdim != 0, &a.over) ? cbm_apply1(&norm_op, x, &a)
                                                                      : cbm_no_result(x, "norm");
}

cbm_tensor *cbm_logsumexp_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    cbm_reduce_options o = { .struct_size = sizeof o };
    cbm_reduce_attributes a;
    cbm_read_options(&o, sizeof o, options);
    return cbm_read_axes("logsumexp", x, &o.axes, o.keepdim != 0, &a) ? cbm_apply1(&logsumexp_op, x, &a)
                                                                      : cbm_no_result(x, "logsumexp");
}

cbm_tensor *cbm_kth_value(cbm_tensor *x, int64_t k, int64_t axis, bool keepdim, cbm_tensor **index)
{
    cbm_kth_attributes a = { .k = k - 1 };
    if (!cbm_axis_of("kth_index", x, axis, &a.axis)) {
        cbm_tensor *failed = cbm_no_result(x, "kth_index");
        if (index != NULL)
            *index = failed;
        return failed;
    }
    return cbm_elements_at(x, a.axis, cbm_apply1(&kth_op, x, &a), keepdim, index);
}

/* The element at place k in order of the last axis, NaN if any is. */
static cbm_tensor *in_order(cbm_tensor *row, int64_t k, bool keepdim, cbm_tensor **index)
{
    const cbm_kth_attributes a = { cbm_tensor_rank(row) - 1, k, 1 };
    return cbm_elements_at(row, a.axis, cbm_apply1(&kth_op, row, &a), keepdim, index);
}

cbm_tensor *cbm_median_at(cbm_tensor *x, int64_t axis, bool keepdim, cbm_tensor **index)
{
    cbm_kth_attributes a = { .nan_wins = 1 };
    if (!cbm_axis_of("median", x, axis, &a.axis)) {
        cbm_tensor *failed = cbm_no_result(x, "median");
        if (index != NULL)
            *index = failed;
        return failed;
    }
    a.k = (cbm_tensor_size(x, a.axis) - 1) / 2;
    return cbm_elements_at(x, a.axis, cbm_apply1(&kth_op, x, &a), keepdim, index);
}

/* x with the axes as one row, for an order of it; NULL after recording the error. */
static cbm_tensor *row_of(const char *name, cbm_tensor *x, const cbm_shape *axes, bool keepdim,
                          cbm_reduce_attributes *a)
{
    if (!cbm_read_axes(name, x, axes, keepdim, a))
        return NULL;
    if (cbm_share_count(x, a) > 0)
        return cbm_join_axes(x, a);
    return (void)cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE, "[%s] there is nothing along the axes", name),
           NULL;
}

static cbm_tensor *as_asked(cbm_tensor *t, cbm_tensor *x, const cbm_reduce_attributes *a)
{
    return a->keepdim ? cbm_reshape(t, cbm_kept_shape(x, a)) : t;
}

cbm_tensor *cbm_median_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    cbm_reduce_attributes a;
    cbm_reduce_options o = { .struct_size = sizeof o };
    cbm_read_options(&o, sizeof o, options);
    cbm_tensor *row = row_of("median", x, &o.axes, o.keepdim != 0, &a);
    if (row == NULL)
        return cbm_no_result(x, "median");
    return as_asked(in_order(row, (cbm_tensor_size(row, -1) - 1) / 2, false, NULL), x, &a);
}

/* How far between the two neighbours in order the quantile lies. */
static double weight_of(cbm_quantile_rule rule, double fraction, int64_t below)
{
    switch (rule) {
    case CBM_QUANTILE_LOWER: return 0;
    case CBM_QUANTILE_HIGHER: return fraction > 0 ? 1 : 0;
    case CBM_QUANTILE_MIDPOINT: return fraction > 0 ? 0.5 : 0;
    case CBM_QUANTILE_NEAREST: return fraction > 0.5 || (fraction == 0.5 && below % 2 == 1) ? 1 : 0;
    default: return fraction;
    }
}

cbm_tensor *cbm_quantile_with(cbm_tensor *x, double q, const cbm_quantile_options *options)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_reduce_attributes a;
    cbm_quantile_options o = { .struct_size = sizeof o };
    cbm_read_options(&o, sizeof o, options);
    if (!(q >= 0 && q <= 1))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[quantile] q = %g is not between 0 and 1", q);
    if (o.rule > CBM_QUANTILE_NEAREST)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[quantile] there is no rule number %llu",
                               (unsigned long long)o.rule);
    cbm_tensor *row = row_of("quantile", x, &o.axes, o.keepdim != 0, &a);
    if (row == NULL)
        return cbm_no_result(x, "quantile");
    if (!cbm_is_floating(cbm_tensor_dtype(x)))
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[quantile] takes floats, not %s. HINT: cbm_cast",
                               cbm_dtype_name(cbm_tensor_dtype(x)));
    const double rank = q * (double)(cbm_tensor_size(row, -1) - 1);
    const int64_t below = (int64_t)rank;
    const double weight = weight_of((cbm_quantile_rule)o.rule, rank - (double)below, below);
    cbm_tensor *low = weight < 1 ? in_order(row, below, false, NULL) : NULL;
    cbm_tensor *high = weight > 0 ? in_order(row, below + 1, false, NULL) : NULL;
    return as_asked(low == NULL ? high : high == NULL ? low : cbm_lerp_scalar(low, high, weight), x, &a);
}
