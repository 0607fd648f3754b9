/* reduce.c: sum, prod, mean, max, min, any, all over axes, the places of maxima and minima, with their gradients; and what
   other operations over axes share. Rests on op/reduce.h. */
#include "op/reduce.h"

/* ---- shape rules ---- */

bool cbm_reduced_shape(cbm_infer *infer, const cbm_reduce_attributes *a)
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
    for (size_t i = 0; i < infer->n_out; i++) {
        infer->out_shape[i] = out;
        infer->out_dtype[i] = infer->in_dtype[0];
    }
    return true;
}

bool cbm_reduces_some(cbm_infer *infer, const cbm_reduce_attributes *a, const char *what)
{
    char text[160];
    for (int64_t i = 1; i <= a->axes.v[0]; i++)
        if (infer->in_shape[0].v[1 + a->axes.v[i]] == 0)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "axis %lld of shape %s is empty, so nothing is %s",
                                  (long long)a->axes.v[i], cbm_shape_text(&infer->in_shape[0], text, sizeof text),
                                  what);
    return true;
}

/* Whole numbers and truth values add up, and multiply, in i64. */
static bool sum_infer(cbm_infer *infer)
{
    if (!cbm_reduced_shape(infer, infer->attributes))
        return false;
    if (!cbm_is_floating(infer->in_dtype[0]))
        infer->out_dtype[0] = CBM_I64;
    return true;
}

static bool mean_infer(cbm_infer *infer)
{
    return cbm_rule_floating(infer, 0) && cbm_reduced_shape(infer, infer->attributes);
}

static bool extreme_infer(cbm_infer *infer)
{
    if (!cbm_reduced_shape(infer, infer->attributes) ||
        !cbm_reduces_some(infer, infer->attributes, "largest or smallest"))
        return false;
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                              "not of bool. HINT: cbm_any, cbm_all, or convert it with cbm_cast");
    return true;
}

static bool place_infer(cbm_infer *infer)
{
    const cbm_reduce_attributes *a = infer->attributes;
    if (!extreme_infer(infer))
        return false;
    if (a->axes.v[0] != 1 && a->axes.v[0] != infer->in_shape[0].v[0])
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "takes one axis, or all of them");
    infer->out_dtype[0] = CBM_I64;
    return true;
}

static bool truth_infer(cbm_infer *infer)
{
    if (infer->in_dtype[0] != CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "takes bool, not %s. HINT: x != 0",
                              cbm_dtype_name(infer->in_dtype[0]));
    return cbm_reduced_shape(infer, infer->attributes);
}

/* ---- gradients ---- */

cbm_shape cbm_kept_shape(cbm_tensor *in, const cbm_reduce_attributes *a)
{
    cbm_shape shape = cbm_tensor_shape(in);
    for (int64_t i = 1; i <= a->axes.v[0]; i++)
        shape.v[1 + a->axes.v[i]] = 1;
    return shape;
}

double cbm_share_count(cbm_tensor *in, const cbm_reduce_attributes *a)
{
    const cbm_shape shape = cbm_tensor_shape(in);
    double count = 1;
    for (int64_t i = 1; i <= a->axes.v[0]; i++)
        count *= (double)shape.v[1 + a->axes.v[i]];
    return count;
}

cbm_tensor *cbm_as_kept(cbm_tensor *t, cbm_tensor *in, const cbm_reduce_attributes *a)
{
    return a->keepdim ? t : cbm_reshape(t, cbm_kept_shape(in, a));
}

static void sum_vjp(cbm_vjp *v)
{
    v->in_gradient[0] =
        cbm_expand(cbm_as_kept(v->out_gradient[0], v->in[0], v->attributes), cbm_tensor_shape(v->in[0]));
}

static void mean_vjp(cbm_vjp *v)
{
    cbm_tensor *g = cbm_as_kept(v->out_gradient[0], v->in[0], v->attributes);
    const double count = cbm_share_count(v->in[0], v->attributes);
    v->in_gradient[0] = cbm_expand(cbm_mul_scalar(g, count > 0 ? 1 / count : 0), cbm_tensor_shape(v->in[0]));
}

/* All that equal the result share the gradient. */
static void extreme_vjp(cbm_vjp *v)
{
    const cbm_reduce_attributes *a = v->attributes;
    cbm_tensor *g = cbm_as_kept(v->out_gradient[0], v->in[0], a);
    cbm_tensor *extreme = cbm_as_kept(v->out[0], v->in[0], a);
    cbm_tensor *hits = cbm_cast(cbm_equal(v->in[0], extreme), cbm_tensor_dtype(v->in[0]));
    cbm_tensor *ties = cbm_sum_over(hits, a->axes, true);
    v->in_gradient[0] = cbm_mul(hits, cbm_div(g, ties));
}

/* The product of all others, without a division that a zero would spoil: of those before times those behind. */
static void prod_vjp(cbm_vjp *v)
{
    const cbm_reduce_attributes *a = v->attributes;
    cbm_tensor *x = cbm_for_statistics(v->in[0]), *row = cbm_join_axes(x, a);
    const int64_t last = cbm_tensor_rank(row) - 1;
    cbm_tensor *before = cbm_shifted(cbm_running_product(row, last, false), last, false, 1);
    cbm_tensor *behind = cbm_shifted(cbm_running_product(row, last, true), last, true, 1);
    cbm_tensor *others = cbm_cast(cbm_unjoin_axes(cbm_mul(before, behind), x, a), cbm_tensor_dtype(v->in[0]));
    v->in_gradient[0] = cbm_mul(cbm_as_kept(v->out_gradient[0], v->in[0], a), others);
}

static bool mean_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in,
                           cbm_tensor **out)
{
    const cbm_reduce_attributes *a = attributes;
    (void)cx;
    (void)n_in;
    out[0] = cbm_div(cbm_sum_over(in[0], a->axes, a->keepdim != 0), cbm_number_like(in[0], cbm_share_count(in[0], a)));
    return true;
}

/* ---- cost, samples, records ---- */

void cbm_reduce_cost(const cbm_launch *shapes, cbm_cost *cost)
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

#define OF(dtype_, low_, high_, ...)                                                                                   \
    {                                                                                                                  \
        CBM_DIMS(__VA_ARGS__), dtype_, low_, high_, false                                                              \
    }
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
#define WHOLE_SAMPLES                                                                                                  \
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 4, 5) }, .attributes = &second },                                          \
        { .n_in = 1, .in = { OF(CBM_I32, -9, 9, 4, 5) }, .attributes = &first },                                       \
        { .n_in = 1, .in = { OF(CBM_U8, 0, 255, 3, 70) }, .attributes = &second_kept },                                \
    {                                                                                                                  \
        .n_in = 1, .in = { OF(CBM_BOOL, 0, 1, 3, 2, 70) }, .attributes = &outer                                        \
    }
#define EMPTY_SAMPLES                                                                                                  \
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &first },                                            \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &second                                            \
    }

static const cbm_sample sum_samples[] = { REDUCE_SAMPLES, SEVERAL_AXES, WHOLE_SAMPLES, EMPTY_SAMPLES };
static const cbm_sample prod_samples[] = {
    REDUCE_SAMPLES,
    SEVERAL_AXES,
    WHOLE_SAMPLES,
    EMPTY_SAMPLES,
    { .n_in = 1, .in = { CBM_FLOAT(0, 0) }, .attributes = &no_axes },
};
static const cbm_sample mean_samples[] = {
    REDUCE_SAMPLES,
    SEVERAL_AXES,
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &second },
};
static const cbm_sample extreme_samples[] = {
    REDUCE_SAMPLES,
    SEVERAL_AXES,
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &second },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 4, 5) }, .attributes = &second },
};
static const cbm_sample place_samples[] = {
    REDUCE_SAMPLES,
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &second },
    { .n_in = 1, .in = { CBM_INDICES(0, 3, 4, 9) }, .attributes = &second },
};
static const cbm_sample truth_samples[] = {
    { .n_in = 1, .in = { OF(CBM_BOOL, 0, 1, 9, 2) }, .attributes = &second },
    { .n_in = 1, .in = { OF(CBM_BOOL, 0, 1, 2, 9) }, .attributes = &first_kept },
    { .n_in = 1, .in = { OF(CBM_BOOL, 0, 1, 2, 2, 2) }, .attributes = &outer },
    { .n_in = 1, .in = { OF(CBM_BOOL, 0, 1, 4, 6) }, .attributes = &first_two },
    { .n_in = 1, .in = { OF(CBM_BOOL, 0, 1, 0, 3) }, .attributes = &first },
    { .n_in = 1, .in = { OF(CBM_BOOL, 1, 1) }, .attributes = &no_axes },
};

#define REDUCTION(name_, formula_, infer_)                                                                             \
    CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1,                                                \
                          .attributes_size = sizeof(cbm_reduce_attributes), .attributes = reduce_fields,               \
                          .n_attributes = CBM_COUNTOF(reduce_fields), .infer = (infer_), .cost = cbm_reduce_cost

static const cbm_op sum_op = {
    REDUCTION("sum", "sum of x over the axes", sum_infer),
    .autocast = CBM_AUTOCAST_FULL,
    .vjp = sum_vjp,
    CBM_SAMPLES(sum_samples),
};
static const cbm_op prod_op = {
    REDUCTION("prod", "product of x over the axes", sum_infer),
    .autocast = CBM_AUTOCAST_FULL,
    .saves = CBM_SAVES_IN(0),
    .vjp = prod_vjp,
    CBM_SAMPLES(prod_samples),
};
static const cbm_op mean_op = {
    REDUCTION("mean", "sum of x over the axes / their number of elements", mean_infer),
    .autocast = CBM_AUTOCAST_FULL,
    .vjp = mean_vjp,
    .decompose = mean_decompose,
    CBM_SAMPLES(mean_samples),
};
static const cbm_op max_op = {
    REDUCTION("max", "largest x over the axes, NaN if any is; ties share the gradient", extreme_infer),
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_OUT(0),
    .vjp = extreme_vjp,
    CBM_SAMPLES(extreme_samples),
};
static const cbm_op min_op = {
    REDUCTION("min", "smallest x over the axes, NaN if any is; ties share the gradient", extreme_infer),
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_OUT(0),
    .vjp = extreme_vjp,
    CBM_SAMPLES(extreme_samples),
};
static const cbm_op argmax_op = {
    REDUCTION("argmax", "index of the first largest x (or first NaN)", place_infer),
    CBM_SAMPLES(place_samples),
};
static const cbm_op argmin_op = {
    REDUCTION("argmin", "index of the first smallest x (or first NaN)", place_infer),
    CBM_SAMPLES(place_samples),
};
static const cbm_op any_op = {
    REDUCTION("any", "some x over the axes is true", truth_infer),
    CBM_SAMPLES(truth_samples),
};
static const cbm_op all_op = {
    REDUCTION("all", "every x over the axes is true", truth_infer),
    CBM_SAMPLES(truth_samples),
};

const cbm_op *const cbm_ops_reduce[] = {
    &sum_op, &prod_op, &mean_op, &max_op, &min_op, &argmax_op, &argmin_op, &any_op, &all_op, NULL,
};

/* ---- for public functions ---- */

bool cbm_read_axes(const char *op, cbm_tensor *x, const cbm_shape *axes, bool keepdim, cbm_reduce_attributes *out)
{
    cbm_context *cx = cbm_tensor_context(x);
    bool named[CBM_MAX_DIMS] = { false };
    if (!cbm_usable(cx, x))
        return (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] the input is NULL or failed", op), false;
    if (axes->v[0] < 0 || axes->v[0] > CBM_MAX_DIMS)
        return (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] not a list of axes", op), false;
    const int64_t rank = cbm_tensor_rank(x);
    for (int64_t i = 1; i <= axes->v[0]; i++) {
        int64_t axis = 0;
        if (!cbm_axis_of(op, x, axes->v[i], &axis))
            return false;
        if (named[axis])
            return (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] axis %lld is named twice", op, (long long)axis),
                   false;
        named[axis] = true;
    }
    *out = (cbm_reduce_attributes){ .keepdim = keepdim };
    for (int64_t axis = 0; axis < rank; axis++)
        if (named[axis] || axes->v[0] == 0)
            out->axes.v[++out->axes.v[0]] = axis;
    return true;
}

/* The axes of a in their order behind all others. */
static cbm_shape joining_order(cbm_tensor *x, const cbm_reduce_attributes *a)
{
    cbm_shape order = { { 0 } };
    int64_t next = 1;
    for (int64_t axis = 0; axis < cbm_tensor_rank(x); axis++)
        if (next <= a->axes.v[0] && a->axes.v[next] == axis)
            next++;
        else
            order.v[++order.v[0]] = axis;
    for (int64_t i = 1; i <= a->axes.v[0]; i++)
        order.v[++order.v[0]] = a->axes.v[i];
    return order;
}

cbm_tensor *cbm_join_axes(cbm_tensor *x, const cbm_reduce_attributes *a)
{
    const cbm_shape order = joining_order(x, a), from = cbm_tensor_shape(x);
    const int64_t kept = from.v[0] - a->axes.v[0];
    cbm_shape to = { { kept + 1 } };
    to.v[kept + 1] = 1;
    for (int64_t i = 1; i <= from.v[0]; i++)
        if (i <= kept)
            to.v[i] = from.v[1 + order.v[i]];
        else
            to.v[kept + 1] *= from.v[1 + order.v[i]];
    return cbm_reshape(cbm_permute(x, order), to);
}

cbm_tensor *cbm_unjoin_axes(cbm_tensor *joined, cbm_tensor *x, const cbm_reduce_attributes *a)
{
    const cbm_shape order = joining_order(x, a), shape = cbm_tensor_shape(x);
    cbm_shape apart = { { shape.v[0] } }, back = { { shape.v[0] } };
    for (int64_t i = 1; i <= shape.v[0]; i++) {
        apart.v[i] = shape.v[1 + order.v[i]];
        back.v[1 + order.v[i]] = i - 1;
    }
    return cbm_permute(cbm_reshape(joined, apart), back);
}

/* ---- public functions ---- */

static cbm_tensor *reduce(const cbm_op *op, cbm_tensor *x, const cbm_reduce_options *options)
{
    cbm_reduce_attributes attributes;
    cbm_reduce_options o = { .struct_size = sizeof o };
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_read_axes(op->name, x, &o.axes, o.keepdim != 0, &attributes))
        return cbm_no_result(x, op->name);
    return cbm_apply1(op, x, &attributes);
}

cbm_tensor *cbm_sum_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&sum_op, x, options);
}

cbm_tensor *cbm_prod_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&prod_op, x, options);
}

cbm_tensor *cbm_mean_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&mean_op, x, options);
}

cbm_tensor *cbm_max_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&max_op, x, options);
}

cbm_tensor *cbm_min_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&min_op, x, options);
}

cbm_tensor *cbm_aminmax_with(cbm_tensor *x, const cbm_reduce_options *options, cbm_tensor **largest)
{
    *largest = reduce(&max_op, x, options);
    return reduce(&min_op, x, options);
}

cbm_tensor *cbm_argmax_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&argmax_op, x, options);
}

cbm_tensor *cbm_argmin_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&argmin_op, x, options);
}

/* What is not 0 is true. */
static cbm_tensor *truth_of(cbm_tensor *x)
{
    if (x == NULL || cbm_tensor_failed(x) || cbm_tensor_dtype(x) == CBM_BOOL)
        return x;
    return cbm_not_equal_scalar(x, 0);
}

cbm_tensor *cbm_any_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&any_op, truth_of(x), options);
}

cbm_tensor *cbm_all_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&all_op, truth_of(x), options);
}

cbm_tensor *cbm_count_nonzero_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return reduce(&sum_op, truth_of(x), options);
}

/* NaN counts for nothing. */
cbm_tensor *cbm_nansum_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    return cbm_sum_with(cbm_where(cbm_isnan(x), cbm_number_like(x, 0), x), options);
}

cbm_tensor *cbm_nanmean_with(cbm_tensor *x, const cbm_reduce_options *options)
{
    cbm_tensor *count = cbm_count_nonzero_with(cbm_logical_not(cbm_isnan(x)), options);
    return cbm_div(cbm_nansum_with(x, options), cbm_cast(count, cbm_tensor_dtype(x)));
}

/* ---- along one axis, with the places ---- */

cbm_tensor *cbm_elements_at(cbm_tensor *x, int64_t axis, cbm_tensor *places, bool keepdim, cbm_tensor **index)
{
    cbm_shape shape = cbm_tensor_shape(x), without = { { 0 } };
    cbm_tensor *values = cbm_gather(x, axis, places);
    for (int64_t i = 0; i < shape.v[0]; i++)
        if (i != axis)
            without.v[++without.v[0]] = shape.v[1 + i];
    if (index != NULL)
        *index = keepdim ? places : cbm_reshape(places, without);
    return keepdim ? values : cbm_reshape(values, without);
}

static cbm_tensor *extreme_at(const cbm_op *op, cbm_tensor *x, int64_t axis, bool keepdim, cbm_tensor **index)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_reduce_attributes a = { CBM_DIMS(0), 1 };
    if (!cbm_axis_of(op->name, x, axis, &a.axes.v[1])) {
        cbm_tensor *failed = cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] no result", op->name);
        if (index != NULL)
            *index = failed;
        return failed;
    }
    return cbm_elements_at(x, a.axes.v[1], cbm_apply1(op, x, &a), keepdim, index);
}

cbm_tensor *cbm_max_at(cbm_tensor *x, int64_t axis, bool keepdim, cbm_tensor **index)
{
    return extreme_at(&argmax_op, x, axis, keepdim, index);
}

cbm_tensor *cbm_min_at(cbm_tensor *x, int64_t axis, bool keepdim, cbm_tensor **index)
{
    return extreme_at(&argmin_op, x, axis, keepdim, index);
}
