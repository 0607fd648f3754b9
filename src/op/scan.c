/* scan.c: what runs along an axis: cumulative sums, products, log-sum-exps, maxima and minima, linear recurrences,
   differences, with their gradients, which are scans from the other end. Rests on op/reduce.h. */
#include "op/reduce.h"

/* ---- shape rules ---- */
static bool axis_fits(cbm_infer *infer)
{
    const cbm_scan_attributes *a = infer->attributes;
    if (a->axis >= 0 && a->axis < infer->in_shape[0].v[0])
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld", (long long)a->axis);
}

/* As sums: whole numbers and truth values add up in i64. */
static bool sum_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = cbm_is_floating(infer->in_dtype[0]) ? infer->in_dtype[0] : CBM_I64;
    return axis_fits(infer);
}

static bool floating_infer(cbm_infer *infer)
{
    return cbm_infer_like_first(infer) && axis_fits(infer);
}

static bool place_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = CBM_I64;
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "not of bool. HINT: convert it with cbm_cast");
    return axis_fits(infer);
}

static bool linear_infer(cbm_infer *infer)
{
    return cbm_rule_same_dtype(infer, 0) && floating_infer(infer) && cbm_rule_shape(infer, 1, "b", &infer->in_shape[0]);
}

/* ---- gradients ---- */
static const cbm_op linear_op;

/* y[i] = a[i] y[i - 1] + b[i], or y[i + 1] from the end. */
static cbm_tensor *recurrence(cbm_tensor *a, cbm_tensor *b, int64_t axis, bool reverse)
{
    const cbm_scan_attributes attributes = { axis, reverse };
    return cbm_apply2(&linear_op, a, b, &attributes);
}

cbm_tensor *cbm_shifted(cbm_tensor *t, int64_t axis, bool back, double fill)
{
    const int64_t n = cbm_tensor_size(t, axis);
    if (n == 0)
        return t;
    cbm_shape one = cbm_tensor_shape(t);
    one.v[1 + axis] = 1;
    cbm_tensor *end = cbm_full(cbm_tensor_context(t), cbm_tensor_dtype(t), one, fill);
    cbm_tensor *rest = cbm_slice(t, axis, back ? 1 : 0, back ? n : n - 1, 1);
    cbm_tensor *const parts[] = { back ? rest : end, back ? end : rest };
    return cbm_concat(parts, 2, axis);
}

static void cumsum_vjp(cbm_vjp *v)
{
    const cbm_scan_attributes *a = v->attributes;
    v->in_gradient[0] = cbm_running_sum(v->out_gradient[0], a->axis, !a->reverse);
}

/* x[i] has a part in y[j] for j >= i: y[i - 1] x[i + 1] .. x[j]. What comes behind y[i - 1] is a recurrence from the end. */
static void cumprod_vjp(cbm_vjp *v)
{
    const cbm_scan_attributes *a = v->attributes;
    cbm_tensor *before = cbm_shifted(v->out[0], a->axis, a->reverse, 1);
    cbm_tensor *next = cbm_shifted(v->in[0], a->axis, !a->reverse, 0);
    v->in_gradient[0] = cbm_mul(before, recurrence(next, v->out_gradient[0], a->axis, !a->reverse));
}

/* The sum over j >= i of g[j] e^(x[i] - y[j]), from one j to the next: no exponent is above 0. */
static void logcumsumexp_vjp(cbm_vjp *v)
{
    const cbm_scan_attributes *a = v->attributes;
    cbm_tensor *y = v->out[0], *next = cbm_shifted(y, a->axis, !a->reverse, 0);
    cbm_tensor *ratio = cbm_exp(cbm_minimum_scalar(cbm_sub(y, next), 0));
    cbm_tensor *sum = recurrence(ratio, v->out_gradient[0], a->axis, !a->reverse);
    v->in_gradient[0] = cbm_mul(cbm_exp(cbm_sub(v->in[0], y)), sum);
}

static void linear_vjp(cbm_vjp *v)
{
    const cbm_scan_attributes *at = v->attributes;
    cbm_tensor *next = cbm_shifted(v->in[0], at->axis, !at->reverse, 0);
    cbm_tensor *adjoint = recurrence(next, v->out_gradient[0], at->axis, !at->reverse);
    v->in_gradient[1] = adjoint;
    if (v->needed[0])
        v->in_gradient[0] = cbm_mul(adjoint, cbm_shifted(v->out[0], at->axis, at->reverse, 0));
}

/* ---- samples, records ---- */
static const cbm_attribute scan_fields[] = {
    CBM_FIELD(cbm_scan_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_scan_attributes, reverse, CBM_ATTRIBUTE_INT, false),
};
static const cbm_scan_attributes rows = { 1, 0 }, columns = { 0, 0 }, rows_back = { 1, 1 }, columns_back = { 0, 1 };
static const cbm_scan_attributes line = { 0, 0 };

#define FLOAT_SAMPLES                                                                                                  \
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 21) }, .attributes = &rows },                                          \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 5, 33) }, .attributes = &columns },                                   \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 6) }, .attributes = &rows_back },                                  \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 3, 2) }, .attributes = &columns_back },                            \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3, 4) }, .attributes = &rows },                                    \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 1) }, .attributes = &line },                                          \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &columns                                           \
    }
static const cbm_sample sum_samples[] = {
    FLOAT_SAMPLES,
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 4, 5) }, .attributes = &rows },
    { .n_in = 1, .in = { { CBM_DIMS(4, 5), CBM_U8, 0, 255, false } }, .attributes = &columns },
    { .n_in = 1, .in = { { CBM_DIMS(4, 5), CBM_BOOL, 0, 1, false } }, .attributes = &rows },
};
static const cbm_sample floating_samples[] = { FLOAT_SAMPLES };
static const cbm_sample place_samples[] = {
    FLOAT_SAMPLES,
    { .n_in = 1, .in = { CBM_INDICES(0, 3, 4, 9) }, .attributes = &rows },
};
static const cbm_sample linear_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 3, 21), CBM_FLOATS(-2, 2, 3, 21) }, .attributes = &rows },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 5, 33), CBM_FLOATS(-2, 2, 5, 33) }, .attributes = &columns },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 4, 6), CBM_FLOATS(-2, 2, 4, 6) }, .attributes = &rows_back },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 2, 3, 4), CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &rows },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 0, 3), CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &columns },
};

#define SCAN(name_, formula_, n_in_, infer_, autocast_, saves_, vjp_, samples_)                                        \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = (n_in_), .n_out = 1,                                      \
                              .attributes_size = sizeof(cbm_scan_attributes), .attributes = scan_fields,               \
                              .n_attributes = CBM_COUNTOF(scan_fields), .infer = (infer_), .autocast = (autocast_),    \
                              .saves = (saves_), .vjp = (vjp_), CBM_SAMPLES(samples_)                                  \
    }
static const cbm_op cumsum_op =
    SCAN("cumsum", "sum of x up to here along axis", 1, sum_infer, CBM_AUTOCAST_FULL, 0, cumsum_vjp, sum_samples);
static const cbm_op cumprod_op = SCAN("cumprod", "product of x up to here along axis", 1, sum_infer, CBM_AUTOCAST_FULL,
                                      CBM_SAVES_IN(0) | CBM_SAVES_OUT(0), cumprod_vjp, sum_samples);
static const cbm_op logcumsumexp_op =
    SCAN("logcumsumexp", "log of the sum of e^x up to here along axis", 1, floating_infer, CBM_AUTOCAST_FULL,
         CBM_SAVES_IN(0) | CBM_SAVES_OUT(0), logcumsumexp_vjp, floating_samples);
static const cbm_op cummax_op = SCAN("cummax_index", "place of the last largest x (or last NaN) up to here along axis",
                                     1, place_infer, CBM_AUTOCAST_DEFAULT, 0, NULL, place_samples);
static const cbm_op cummin_op = SCAN("cummin_index", "place of the last smallest x (or last NaN) up to here along axis",
                                     1, place_infer, CBM_AUTOCAST_DEFAULT, 0, NULL, place_samples);
static const cbm_op linear_op = SCAN("linear_scan", "y[i] = a[i] y[i - 1] + b[i] along axis", 2, linear_infer,
                                     CBM_AUTOCAST_FULL, CBM_SAVES_IN(0) | CBM_SAVES_OUT(0), linear_vjp, linear_samples);

const cbm_op *const cbm_ops_scan[] = {
    &cumsum_op, &cumprod_op, &logcumsumexp_op, &cummax_op, &cummin_op, &linear_op, NULL,
};

/* ---- public functions ---- */

cbm_tensor *cbm_running_sum(cbm_tensor *x, int64_t axis, bool reverse)
{
    return cbm_apply1(&cumsum_op, x, &(cbm_scan_attributes){ axis, reverse });
}

cbm_tensor *cbm_running_product(cbm_tensor *x, int64_t axis, bool reverse)
{
    return cbm_apply1(&cumprod_op, x, &(cbm_scan_attributes){ axis, reverse });
}

static cbm_tensor *along(const cbm_op *op, cbm_tensor *x, int64_t axis)
{
    cbm_scan_attributes a = { 0 };
    return cbm_axis_of(op->name, x, axis, &a.axis) ? cbm_apply1(op, x, &a) : cbm_no_result(x, op->name);
}

cbm_tensor *cbm_cumsum(cbm_tensor *x, int64_t axis)
{
    return along(&cumsum_op, x, axis);
}

cbm_tensor *cbm_cumprod(cbm_tensor *x, int64_t axis)
{
    return along(&cumprod_op, x, axis);
}

cbm_tensor *cbm_logcumsumexp(cbm_tensor *x, int64_t axis)
{
    return along(&logcumsumexp_op, x, axis);
}

/* What stands at the places that op gives. */
static cbm_tensor *running_extreme(const cbm_op *op, cbm_tensor *x, int64_t axis, cbm_tensor **index)
{
    cbm_tensor *places = along(op, x, axis);
    if (index != NULL)
        *index = places;
    return cbm_tensor_failed(places) ? places : cbm_gather(x, axis, places);
}

cbm_tensor *cbm_cummax(cbm_tensor *x, int64_t axis, cbm_tensor **index)
{
    return running_extreme(&cummax_op, x, axis, index);
}

cbm_tensor *cbm_cummin(cbm_tensor *x, int64_t axis, cbm_tensor **index)
{
    return running_extreme(&cummin_op, x, axis, index);
}

cbm_tensor *cbm_linear_scan(cbm_tensor *a, cbm_tensor *b, int64_t axis)
{
    cbm_shape shape;
    char ta[160], tb[160];
    cbm_context *cx = cbm_tensor_context(a);
    int64_t normal = 0;
    if (!cbm_usable(cx, a) || !cbm_usable(cx, b))
        return cbm_no_result(a, "linear_scan");
    const cbm_shape of_a = cbm_tensor_shape(a), of_b = cbm_tensor_shape(b);
    if (!cbm_broadcast_shapes(&of_a, &of_b, &shape))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[linear_scan] shapes %s and %s do not broadcast",
                               cbm_shape_text(&of_a, ta, sizeof ta), cbm_shape_text(&of_b, tb, sizeof tb));
    cbm_tensor *whole_a = cbm_expand(a, shape), *whole_b = cbm_expand(b, shape);
    if (!cbm_axis_of("linear_scan", whole_b, axis, &normal))
        return cbm_no_result(a, "linear_scan");
    return recurrence(whole_a, whole_b, normal, false);
}

cbm_tensor *cbm_diff(cbm_tensor *x, int64_t n, int64_t axis)
{
    int64_t normal = 0;
    if (!cbm_axis_of("diff", x, axis, &normal))
        return cbm_no_result(x, "diff");
    if (n < 0)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[diff] %lld times", (long long)n);
    for (int64_t i = 0; i < n && cbm_tensor_size(x, normal) > 0; i++) {
        const int64_t size = cbm_tensor_size(x, normal);
        cbm_tensor *next = cbm_slice(x, normal, 1, size, 1), *here = cbm_slice(x, normal, 0, size - 1, 1);
        x = cbm_tensor_dtype(x) == CBM_BOOL ? cbm_not_equal(next, here) : cbm_sub(next, here);
    }
    return x;
}
