/* reduce.c: sum, mean, max and argmax over axes, with their gradients. Rests on op/families.h. */
#include "op/families.h"

/* ---- shape rules ---- */

/* Axes must be sorted, different and in range; the extents off them (or 1 in their place) are the result's. */
static bool reduced_shape(cbm_infer *infer, const cbm_reduce_attributes *a)
{
    const cbm_shape *in = &infer->in_shape[0];
    cbm_shape out = { { 0 } };
    int64_t next = 1, previous = -1;
    if (a->axes.v[0] < 0 || a->axes.v[0] > in->v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%lld axes for %lld dimensions", (long long)a->axes.v[0],
                              (long long)in->v[0]);
    for (int64_t i = 1; i <= a->axes.v[0]; i++) {
        if (a->axes.v[i] <= previous || a->axes.v[i] >= in->v[0])
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "axis %lld is out of range, or named twice or out of order",
                                  (long long)a->axes.v[i]);
        previous = a->axes.v[i];
    }
    for (int64_t axis = 0; axis < in->v[0]; axis++) {
        const bool reduced = next <= a->axes.v[0] && a->axes.v[next] == axis;
        next += reduced;
        if (!reduced)
            out.v[++out.v[0]] = in->v[1 + axis];
        else if (a->keepdim)
            out.v[++out.v[0]] = 1;
    }
    infer->out_shape[0] = out;
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

/* The largest of no elements does not exist. */
static bool not_of_nothing(cbm_infer *infer, const cbm_reduce_attributes *a)
{
    char text[160];
    for (int64_t i = 1; i <= a->axes.v[0]; i++)
        if (infer->in_shape[0].v[1 + a->axes.v[i]] == 0)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "axis %lld of shape %s is empty, so nothing is largest",
                                  (long long)a->axes.v[i], cbm_shape_text(&infer->in_shape[0], text, sizeof text));
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "not of bool. HINT: convert it with cbm_cast");
    return true;
}

static bool sum_infer(cbm_infer *infer)
{
    const cbm_dtype dtype = infer->in_dtype[0];
    if (!cbm_is_floating(dtype) && dtype != CBM_I64)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "sums floats and i64, not %s. HINT: convert it with cbm_cast",
                              cbm_dtype_name(dtype));
    return reduced_shape(infer, infer->attributes);
}

static bool mean_infer(cbm_infer *infer)
{
    return cbm_rule_floating(infer, 0) && reduced_shape(infer, infer->attributes);
}

static bool max_infer(cbm_infer *infer)
{
    return reduced_shape(infer, infer->attributes) && not_of_nothing(infer, infer->attributes);
}

static bool argmax_infer(cbm_infer *infer)
{
    const cbm_reduce_attributes *a = infer->attributes;
    if (!max_infer(infer))
        return false;
    if (a->axes.v[0] != 1 && a->axes.v[0] != infer->in_shape[0].v[0])
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "takes one axis, or all of them");
    infer->out_dtype[0] = CBM_I64;
    return true;
}

/* ---- gradients ---- */

/* The reduced shape with extents of 1 where axes were reduced. */
static cbm_shape kept_shape(cbm_tensor *in, const cbm_reduce_attributes *a)
{
    cbm_shape shape = cbm_tensor_shape(in);
    for (int64_t i = 1; i <= a->axes.v[0]; i++)
        shape.v[1 + a->axes.v[i]] = 1;
    return shape;
}

/* How many elements go into one result. */
static double share_count(cbm_tensor *in, const cbm_reduce_attributes *a)
{
    const cbm_shape shape = cbm_tensor_shape(in);
    double count = 1;
    for (int64_t i = 1; i <= a->axes.v[0]; i++)
        count *= (double)shape.v[1 + a->axes.v[i]];
    return count;
}

static cbm_tensor *as_kept(cbm_tensor *t, cbm_tensor *in, const cbm_reduce_attributes *a)
{
    return a->keepdim ? t : cbm_reshape(t, kept_shape(in, a));
}

static void sum_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_expand(as_kept(v->out_gradient[0], v->in[0], v->attributes), cbm_tensor_shape(v->in[0]));
}

static void mean_vjp(cbm_vjp *v)
{
    cbm_tensor *g = as_kept(v->out_gradient[0], v->in[0], v->attributes);
    const double count = share_count(v->in[0], v->attributes);
    v->in_gradient[0] = cbm_expand(cbm_mul_scalar(g, count > 0 ? 1 / count : 0), cbm_tensor_shape(v->in[0]));
}

/* All that equal the maximum share the gradient. */
static void max_vjp(cbm_vjp *v)
{
    const cbm_reduce_attributes *a = v->attributes;
    cbm_tensor *g = as_kept(v->out_gradient[0], v->in[0], a);
    cbm_tensor *largest = as_kept(v->out[0], v->in[0], a);
    cbm_tensor *hits = cbm_cast(cbm_equal(v->in[0], largest), cbm_tensor_dtype(v->in[0]));
    cbm_tensor *ties = cbm_sum_over(hits, a->axes, true);
    v->in_gradient[0] = cbm_mul(hits, cbm_div(g, ties));
}

static bool mean_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in,
                           cbm_tensor **out)
{
    const cbm_reduce_attributes *a = attributes;
    (void)cx;
    (void)n_in;
    out[0] = cbm_div(cbm_sum_over(in[0], a->axes, a->keepdim != 0), cbm_number_like(in[0], share_count(in[0], a)));
    return true;
}

/* ---- cost, samples, records ---- */

static void reduce_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *in = &shapes->in[0], *out = &shapes->out[0];
    cost->flops = (double)in->count;
    cost->bytes =
        (double)in->count * (double)cbm_dtype_size(in->dtype) + (double)out->count * (double)cbm_dtype_size(out->dtype);
}

static const cbm_attribute reduce_fields[] = {
    CBM_FIELD(cbm_reduce_attributes, axes, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_reduce_attributes, keepdim, CBM_ATTRIBUTE_INT, false),
};

static const cbm_reduce_attributes no_axes = { CBM_DIMS(), 0 };
static const cbm_reduce_attributes first = { CBM_DIMS(0), 0 }, first_kept = { CBM_DIMS(0), 1 };
static const cbm_reduce_attributes second = { CBM_DIMS(1), 0 }, second_kept = { CBM_DIMS(1), 1 };
static const cbm_reduce_attributes first_two = { CBM_DIMS(0, 1), 0 };
static const cbm_reduce_attributes outer = { CBM_DIMS(0, 2), 1 }, inner = { CBM_DIMS(1, 2), 0 };
static const cbm_reduce_attributes channels = { CBM_DIMS(0, 2, 3), 0 };

#define REDUCE_SAMPLES                                                                                                 \
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 6) }, .attributes = &first },                                          \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 7) }, .attributes = &second_kept },                                \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 5, 33) }, .attributes = &second },                                    \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 5) }, .attributes = &first_two },                                  \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 1, 5) }, .attributes = &first_kept },                                 \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOAT(1, 2) }, .attributes = &no_axes                                                   \
    }
#define SEVERAL_AXES                                                                                                   \
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3, 4) }, .attributes = &outer },                                       \
        { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3, 4) }, .attributes = &inner },                                   \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3, 4, 5) }, .attributes = &channels                                  \
    }

static const cbm_sample sum_samples[] = {
    REDUCE_SAMPLES,
    SEVERAL_AXES,
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &first },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &second },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 4, 5) }, .attributes = &second },
};
static const cbm_sample mean_samples[] = {
    REDUCE_SAMPLES,
    SEVERAL_AXES,
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &second },
};
static const cbm_sample max_samples[] = {
    REDUCE_SAMPLES,
    SEVERAL_AXES,
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &second },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 4, 5) }, .attributes = &second },
};
static const cbm_sample argmax_samples[] = {
    REDUCE_SAMPLES,
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &second },
    { .n_in = 1, .in = { CBM_INDICES(0, 3, 4, 9) }, .attributes = &second },
};

#define REDUCTION(name_, formula_, infer_)                                                                             \
    CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1,                                                \
                          .attributes_size = sizeof(cbm_reduce_attributes), .attributes = reduce_fields,               \
                          .n_attributes = CBM_COUNTOF(reduce_fields), .infer = (infer_), .cost = reduce_cost

static const cbm_op sum_op = {
    REDUCTION("sum", "sum of x over the axes", sum_infer),
    .autocast = CBM_AUTOCAST_FULL,
    .vjp = sum_vjp,
    CBM_SAMPLES(sum_samples),
};
static const cbm_op mean_op = {
    REDUCTION("mean", "sum of x over the axes / their number of elements", mean_infer),
    .autocast = CBM_AUTOCAST_FULL,
    .vjp = mean_vjp,
    .decompose = mean_decompose,
    CBM_SAMPLES(mean_samples),
};
static const cbm_op max_op = {
    REDUCTION("max", "largest x over the axes, NaN if any is; ties share the gradient", max_infer),
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_OUT(0),
    .vjp = max_vjp,
    CBM_SAMPLES(max_samples),
};
static const cbm_op argmax_op = {
    REDUCTION("argmax", "index of the first largest x (or first NaN)", argmax_infer),
    CBM_SAMPLES(argmax_samples),
};

const cbm_op *const cbm_ops_reduce[] = { &sum_op, &mean_op, &max_op, &argmax_op, NULL };

/* ---- public functions ---- */

/* Named axes normalised and sorted; none named: all of them. false after recording the error. */
static bool read_axes(const cbm_op *op, cbm_tensor *x, const cbm_reduce_options *given, cbm_reduce_attributes *out)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_reduce_options o = { .struct_size = sizeof o };
    bool named[CBM_MAX_DIMS] = { false };
    cbm_read_options(&o, sizeof o, given);
    if (!cbm_usable(cx, x))
        return (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] the input is NULL or failed", op->name), false;
    if (o.axes.v[0] < 0 || o.axes.v[0] > CBM_MAX_DIMS)
        return (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] not a list of axes", op->name), false;
    const int64_t rank = cbm_tensor_rank(x);
    for (int64_t i = 1; i <= o.axes.v[0]; i++) {
        int64_t axis = 0;
        if (!cbm_axis_of(op->name, x, o.axes.v[i], &axis))
            return false;
        if (named[axis])
            return (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] axis %lld is named twice", op->name,
                                         (long long)axis),
                   false;
        named[axis] = true;
    }
    *out = (cbm_reduce_attributes){ .keepdim = o.keepdim != 0 };
    for (int64_t axis = 0; axis < rank; axis++)
        if (named[axis] || o.axes.v[0] == 0)
            out->axes.v[++out->axes.v[0]] = axis;
    return true;
}

static cbm_tensor *reduce(const cbm_op *op, cbm_tensor *x, const cbm_reduce_options *options)
{
    cbm_reduce_attributes attributes;
    if (!read_axes(op, x, options, &attributes))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[%s] no result", op->name);
    return cbm_apply1(op, x, &attributes);
}

/* Small integers and truth values are counted in i64. */
cbm_tensor *cbm_sum_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    if (x != NULL && !cbm_tensor_failed(x) && !cbm_is_floating(cbm_tensor_dtype(x)))
        x = cbm_cast(x, CBM_I64);
    return reduce(&sum_op, x, options);
}

cbm_tensor *cbm_mean_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&mean_op, x, options);
}

cbm_tensor *cbm_max_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&max_op, x, options);
}

cbm_tensor *cbm_argmax_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&argmax_op, x, options);
}
