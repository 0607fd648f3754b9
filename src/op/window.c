/* window.c: sliding windows along an axis as a view, and the adjoint that adds them up. Rests on op/families.h. */
#include "op/families.h"

/* Checks the attributes against x's shape (the extent along the axis apart); gives the windows' shape. */
static bool windows_shape(cbm_infer *infer, const cbm_shape *x, cbm_shape *y)
{
    char text[160];
    const cbm_windows_attributes *a = infer->attributes;
    if (a->axis < 0 || a->axis >= x->v[0] || x->v[0] >= CBM_MAX_DIMS)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "no axis %lld in shape %s, or no room for one more: at most %d dimensions",
                              (long long)a->axis, cbm_shape_text(x, text, sizeof text), CBM_MAX_DIMS);
    if (a->size < 1 || a->step < 1)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "size %lld and step %lld must be at least 1",
                              (long long)a->size, (long long)a->step);
    if (a->size > a->extent)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "a window of %lld places does not fit into %lld",
                              (long long)a->size, (long long)a->extent);
    *y = *x;
    y->v[1 + a->axis] = (a->extent - a->size) / a->step + 1;
    y->v[++y->v[0]] = a->size;
    return true;
}

static bool windows_infer(cbm_infer *infer)
{
    const cbm_windows_attributes *a = infer->attributes;
    cbm_shape x = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    if (a->axis >= 0 && a->axis < x.v[0] && x.v[1 + a->axis] != a->extent)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the axis is %lld long, not %lld", (long long)x.v[1 + a->axis],
                              (long long)a->extent);
    return windows_shape(infer, &x, &infer->out_shape[0]);
}

static bool windows_view(const void *attributes, const cbm_buffer *in, cbm_buffer *out)
{
    const cbm_windows_attributes *a = attributes;
    out->data = in->data;
    for (int64_t d = 0; d < in->rank; d++)
        out->stride[d] = d == a->axis ? in->stride[d] * a->step : in->stride[d];
    out->stride[in->rank] = in->stride[a->axis];
    return true;
}

/* g has one axis more than x. */
static bool windows_add_infer(cbm_infer *infer)
{
    const cbm_windows_attributes *a = infer->attributes;
    cbm_shape x = infer->in_shape[0], y;
    if (!cbm_rule_floating(infer, 0))
        return false;
    if (x.v[0] < 1)
        return cbm_rule_rank(infer, 0, "g", 2);
    x.v[x.v[0]--] = 0;
    if (a->axis >= 0 && a->axis < x.v[0])
        x.v[1 + a->axis] = a->extent;
    infer->out_shape[0] = x;
    infer->out_dtype[0] = infer->in_dtype[0];
    return windows_shape(infer, &x, &y) && cbm_rule_shape(infer, 0, "g", &y);
}

static const cbm_op windows_op, windows_add_op;

static void windows_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&windows_add_op, v->out_gradient[0], v->attributes);
}

static void windows_add_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&windows_op, v->out_gradient[0], v->attributes);
}

static void windows_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = (double)shapes->in[0].count;
    cost->bytes = (double)(shapes->in[0].count + shapes->out[0].count) * (double)cbm_dtype_size(shapes->out[0].dtype);
}

static const cbm_attribute windows_fields[] = {
    CBM_FIELD(cbm_windows_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_windows_attributes, size, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_windows_attributes, step, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_windows_attributes, extent, CBM_ATTRIBUTE_INT, false),
};
static const cbm_windows_attributes overlapping = { 0, 3, 1, 7 }, apart = { 1, 2, 3, 9 }, first = { 0, 2, 1, 4 },
                                    middle = { 1, 3, 2, 6 }, whole = { 1, 5, 1, 5 };
static const cbm_sample windows_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 7) }, .attributes = &overlapping },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 9) }, .attributes = &apart },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 4, 3) }, .attributes = &first },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 6, 3) }, .attributes = &middle },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 5) }, .attributes = &whole },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 7) }, .attributes = &overlapping },
};
static const cbm_sample windows_add_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 5, 3) }, .attributes = &overlapping },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 2) }, .attributes = &apart },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 3, 2) }, .attributes = &first },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 2, 3, 3) }, .attributes = &middle },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 1, 5) }, .attributes = &whole },
};
static const cbm_op windows_op = {
    CBM_OP_RECORD("windows"),
    .formula = "y[.., w, .., s] = x[.., w step + s, ..] along the axis",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_VIEW,
    .attributes_size = sizeof(cbm_windows_attributes),
    .attributes = windows_fields,
    .n_attributes = CBM_COUNTOF(windows_fields),
    .infer = windows_infer,
    .vjp = windows_vjp,
    .view = windows_view,
    .cost = windows_cost,
    CBM_SAMPLES(windows_samples),
};
static const cbm_op windows_add_op = {
    CBM_OP_RECORD("windows_add"),
    .formula = "dx[.., w step + s, ..] += g[.., w, .., s], from zeros",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_windows_attributes),
    .attributes = windows_fields,
    .n_attributes = CBM_COUNTOF(windows_fields),
    .infer = windows_add_infer,
    .vjp = windows_add_vjp,
    .cost = windows_cost,
    CBM_SAMPLES(windows_add_samples),
};

const cbm_op *const cbm_ops_window[] = { &windows_op, &windows_add_op, NULL };

cbm_tensor *cbm_windows(cbm_tensor *x, int64_t axis, int64_t size, int64_t step)
{
    cbm_windows_attributes a = { .size = size, .step = step };
    if (!cbm_axis_of("windows", x, axis, &a.axis))
        return cbm_no_result(x, "windows");
    a.extent = cbm_tensor_size(x, a.axis);
    return cbm_apply1(&windows_op, x, &a);
}
