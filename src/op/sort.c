/* sort.c: sort and topk, whose gradient puts elements back where they came from, and kthvalue. Rests on op/families.h. */
#include "op/families.h"

/* ---- what both share: values, and where they were ---- */

static void places_vjp(cbm_vjp *v, int64_t axis)
{
    if (v->out_gradient[0])
        v->in_gradient[0] = cbm_scatter_add(cbm_zeros_like(v->in[0]), axis, v->out[1], v->out_gradient[0]);
}

static bool axis_fits(cbm_infer *infer, int64_t axis)
{
    char text[160];
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    infer->out_dtype[1] = CBM_I64;
    return (axis >= 0 && axis < infer->in_shape[0].v[0]) ||
           cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld in shape %s", (long long)axis,
                          cbm_shape_text(&infer->in_shape[0], text, sizeof text));
}

/* ---- sort ---- */
static bool sort_infer(cbm_infer *infer)
{
    if (!axis_fits(infer, ((const cbm_sort_attributes *)infer->attributes)->axis))
        return false;
    infer->out_shape[1] = infer->out_shape[0];
    return true;
}

static void sort_vjp(cbm_vjp *v)
{
    places_vjp(v, ((const cbm_sort_attributes *)v->attributes)->axis);
}

static void sort_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_sort_attributes *a = shapes->attributes;
    double levels = 0; /* comparisons: n log n */
    for (int64_t n = shapes->in[0].shape[a->axis]; n > 1; n /= 2)
        levels++;
    cost->flops = levels * (double)shapes->in[0].count;
    cost->bytes = (double)shapes->in[0].count * (double)(2 * cbm_dtype_size(shapes->in[0].dtype) + sizeof(int64_t));
}

static const cbm_attribute sort_fields[] = {
    CBM_FIELD(cbm_sort_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_sort_attributes, descending, CBM_ATTRIBUTE_INT, false),
};
static const cbm_sort_attributes first_up = { 0, 0 }, last_down = { 1, 1 }, middle_up = { 1, 0 };
static const cbm_sample sort_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 9) }, .attributes = &first_up },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 7) }, .attributes = &last_down },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 5, 3) }, .attributes = &middle_up },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 1) }, .attributes = &last_down },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &first_up },
    { .n_in = 1, .in = { CBM_INDICES(-3, 3, 5, 40) }, .attributes = &last_down },
    { .n_in = 1, .in = { { CBM_DIMS(3, 50), CBM_I32, -3, 3, false } }, .attributes = &middle_up },
    { .n_in = 1, .in = { { CBM_DIMS(2, 40), CBM_U8, 0, 255, false } }, .attributes = &last_down },
    { .n_in = 1, .in = { { CBM_DIMS(21), CBM_BOOL, 0, 1, false } }, .attributes = &first_up },
};
static const cbm_op sort_op = {
    CBM_OP_RECORD("sort"),
    .formula = "x sorted along the axis, equal elements in their order, NaN greatest; and where each was",
    .n_in = 1,
    .n_out = 2,
    .saves = CBM_SAVES_OUT(1),
    .attributes_size = sizeof(cbm_sort_attributes),
    .attributes = sort_fields,
    .n_attributes = CBM_COUNTOF(sort_fields),
    .infer = sort_infer,
    .vjp = sort_vjp,
    .cost = sort_cost,
    CBM_SAMPLES(sort_samples),
};

/* ---- topk ---- */
static bool topk_infer(cbm_infer *infer)
{
    const cbm_topk_attributes *a = infer->attributes;
    if (!axis_fits(infer, a->axis))
        return false;
    const int64_t extent = infer->in_shape[0].v[1 + a->axis];
    if (a->k < 0 || a->k > extent)
        return cbm_infer_fail(infer, CBM_ERROR_RANGE, "k = %lld of an axis of %lld", (long long)a->k,
                              (long long)extent);
    infer->out_shape[0].v[1 + a->axis] = a->k;
    infer->out_shape[1] = infer->out_shape[0];
    return true;
}

static void topk_vjp(cbm_vjp *v)
{
    places_vjp(v, ((const cbm_topk_attributes *)v->attributes)->axis);
}

static void topk_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = (double)shapes->in[0].count;
    cost->bytes = (double)shapes->in[0].count * (double)cbm_dtype_size(shapes->in[0].dtype) +
                  (double)shapes->out[0].count * (double)(cbm_dtype_size(shapes->in[0].dtype) + sizeof(int64_t));
}

static const cbm_attribute topk_fields[] = {
    CBM_FIELD(cbm_topk_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_topk_attributes, k, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_topk_attributes, largest, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_topk_attributes, sorted, CBM_ATTRIBUTE_INT, false),
};
static const cbm_topk_attributes two = { 0, 2, 1, 1 }, three_smallest = { 1, 3, 0, 1 }, unordered = { 1, 3, 1, 0 },
                                 all = { 0, 4, 1, 1 }, inside = { 1, 1, 0, 0 }, none = { 0, 0, 1, 1 };
static const cbm_sample topk_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 9) }, .attributes = &two },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 7) }, .attributes = &three_smallest },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 3, 8) }, .attributes = &unordered },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 4, 3) }, .attributes = &all },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 5, 3) }, .attributes = &inside },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 4) }, .attributes = &none },
    { .n_in = 1, .in = { CBM_INDICES(-3, 3, 5, 40) }, .attributes = &three_smallest },
};
static const cbm_op topk_op = {
    CBM_OP_RECORD("topk"),
    .formula = "the k largest (or smallest) elements along the axis, best first or in x's order; and where they were",
    .n_in = 1,
    .n_out = 2,
    .saves = CBM_SAVES_OUT(1),
    .attributes_size = sizeof(cbm_topk_attributes),
    .attributes = topk_fields,
    .n_attributes = CBM_COUNTOF(topk_fields),
    .infer = topk_infer,
    .vjp = topk_vjp,
    .cost = topk_cost,
    CBM_SAMPLES(topk_samples),
};

const cbm_op *const cbm_ops_sort[] = { &sort_op, &topk_op, NULL };

/* ---- public functions ---- */

/* x with at least one dimension, and the axis as it counts from 0. NULL: an error. */
static cbm_tensor *begin(const char *op, cbm_tensor *x, int64_t axis, int64_t *place)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (cbm_usable(cx, x) && cbm_tensor_rank(x) == 0)
        x = cbm_reshape(x, CBM_SHAPE(1));
    return cbm_axis_of(op, x, axis, place) ? x : NULL;
}

/* Ends what begin has begun: values as the result, places where they are wanted; both failed after an error. */
static cbm_tensor *end(cbm_context *cx, bool scalar, cbm_tensor *values, cbm_tensor *places, cbm_tensor **indices)
{
    if (cbm_context_status(cx) != CBM_OK)
        values = places = &cx->failed;
    else if (scalar) {
        values = values ? cbm_reshape(values, CBM_SHAPE()) : NULL;
        places = places ? cbm_reshape(places, CBM_SHAPE()) : NULL;
    }
    if (indices)
        *indices = places;
    return values;
}

/* Which of sort's results are wanted: the other one's handle is let go, so that nobody keeps it. */
static cbm_tensor *sorted(const char *op, cbm_tensor *x, int64_t axis, bool descending, cbm_tensor **values,
                          cbm_tensor **indices)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_sort_attributes a = { 0, descending };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { &cx->failed, &cx->failed }, *row = begin(op, x, axis, &a.axis);
    if (row)
        cbm_apply(cx, &sort_op, &row, 1, &a, out);
    for (int i = 0; i < 2; i++)
        if (!(i == 0 ? values : indices)) {
            cbm_release(out[i]);
            out[i] = NULL;
        }
    cbm_tensor *y = end(cx, row != x, out[0], out[1], indices);
    if (values)
        *values = y;
    return values ? y : *indices;
}

cbm_tensor *cbm_sort(cbm_tensor *x, int64_t axis, bool descending, cbm_tensor **indices)
{
    cbm_tensor *values;
    return sorted("sort", x, axis, descending, &values, indices);
}

cbm_tensor *cbm_argsort(cbm_tensor *x, int64_t axis, bool descending)
{
    cbm_tensor *indices;
    return sorted("argsort", x, axis, descending, NULL, &indices);
}

cbm_tensor *cbm_topk_with(cbm_tensor *x, int64_t k, cbm_tensor **indices, const cbm_topk_options *options)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_topk_options o = { .struct_size = sizeof o, .axis = -1, .largest = 1, .sorted = 1 };
    cbm_read_options(&o, sizeof o, options);
    cbm_topk_attributes a = { .k = k, .largest = o.largest != 0, .sorted = o.sorted != 0 };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { &cx->failed, &cx->failed }, *row = begin("topk", x, o.axis, &a.axis);
    if (row)
        cbm_apply(cx, &topk_op, &row, 1, &a, out);
    if (!indices) {
        cbm_release(out[1]);
        out[1] = NULL;
    }
    return end(cx, row != x && k == 1, out[0], out[1], indices);
}

/* The last of the k smallest, or of the n - k + 1 largest, whichever are fewer. */
cbm_tensor *cbm_kthvalue(cbm_tensor *x, int64_t k, int64_t axis, cbm_tensor **indices)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_topk_attributes a = { .sorted = 1 };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { &cx->failed, &cx->failed }, *row = begin("kthvalue", x, axis, &a.axis);
    const int64_t n = row ? cbm_tensor_size(row, a.axis) : 0;
    if (row && (k < 1 || k > n))
        cbm_fail(cx, CBM_ERROR_RANGE, "[kthvalue] k = %lld of an axis of %lld", (long long)k, (long long)n);
    a.largest = k > n / 2;
    a.k = a.largest ? n - k + 1 : k;
    if (row && cbm_context_status(cx) == CBM_OK) {
        cbm_apply(cx, &topk_op, &row, 1, &a, out);
        out[0] = cbm_select(out[0], a.axis, a.k - 1);
        if (indices)
            out[1] = cbm_select(out[1], a.axis, a.k - 1);
        else
            cbm_release(out[1]);
    }
    return end(cx, false, out[0], indices ? out[1] : NULL, indices);
}
