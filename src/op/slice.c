/* slice.c: slice, slice_scatter (its gradient), concat. Rests on op/families.h. A slice is a copy, not a view: its start
   is bound at run time, so that a window that moves over a tensor needs one plan, and a plan's views are fixed. */
#include "op/families.h"

static const cbm_attribute slice_fields[] = {
    CBM_FIELD(cbm_slice_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_slice_attributes, start, CBM_ATTRIBUTE_INT, true),
    CBM_FIELD(cbm_slice_attributes, step, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_slice_attributes, length, CBM_ATTRIBUTE_INT, false),
};

static void copy_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = 2 * (double)shapes->out[0].count * (double)cbm_dtype_size(shapes->out[0].dtype);
}

/* The slice lies inside of input 0; gives its shape. */
static bool slice_shape(cbm_infer *infer, cbm_shape *out)
{
    char text[160];
    const cbm_slice_attributes *a = infer->attributes;
    const cbm_shape *in = &infer->in_shape[0];
    if (a->axis < 0 || a->axis >= in->v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld in shape %s", (long long)a->axis,
                              cbm_shape_text(in, text, sizeof text));
    const int64_t extent = in->v[1 + a->axis];
    const bool inside = a->step >= 1 && a->length >= 0 && a->start >= 0 && a->start <= extent &&
                        (a->length == 0 || (a->start < extent && a->length - 1 <= (extent - 1 - a->start) / a->step));
    if (!inside)
        return cbm_infer_fail(infer, CBM_ERROR_RANGE,
                              "start %lld, step %lld, length %lld do not lie inside axis %lld of shape %s",
                              (long long)a->start, (long long)a->step, (long long)a->length, (long long)a->axis,
                              cbm_shape_text(in, text, sizeof text));
    *out = *in;
    out->v[1 + a->axis] = a->length;
    return true;
}

/* ---- slice ---- */
static bool slice_infer(cbm_infer *infer)
{
    infer->out_dtype[0] = infer->in_dtype[0];
    return slice_shape(infer, &infer->out_shape[0]);
}

static const cbm_op slice_op, slice_scatter_op;

static void slice_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply2(&slice_scatter_op, cbm_zeros_like(v->in[0]), v->out_gradient[0], v->attributes);
}

static const cbm_slice_attributes rows = { 0, 1, 1, 2 }, columns = { 1, 1, 2, 2 }, last = { 2, 3, 1, 1 },
                                  none = { 0, 3, 1, 0 }, whole = { 0, 0, 1, 3 };
static const cbm_sample slice_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &rows },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &columns },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &last },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 4) }, .attributes = &none },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3) }, .attributes = &whole },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 3, 5) }, .attributes = &columns },
};
static const cbm_op slice_op = {
    CBM_OP_RECORD("slice"),
    .formula = "y[i] = x[start + i step] along the axis, i < length",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_slice_attributes),
    .attributes = slice_fields,
    .n_attributes = CBM_COUNTOF(slice_fields),
    .infer = slice_infer,
    .vjp = slice_vjp,
    .cost = copy_cost,
    CBM_SAMPLES(slice_samples),
};

/* ---- slice_scatter: base with source in place of its slice ---- */
static bool slice_scatter_infer(cbm_infer *infer)
{
    cbm_shape part = { { 0 } };
    if (!cbm_rule_same_dtype(infer, 0) || !slice_shape(infer, &part))
        return false;
    infer->out_shape[0] = infer->in_shape[0];
    return cbm_rule_shape(infer, 1, "source", &part);
}

static void slice_scatter_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    if (v->needed[0])
        v->in_gradient[0] = cbm_apply2(&slice_scatter_op, g, cbm_zeros_like(v->in[1]), v->attributes);
    if (v->needed[1])
        v->in_gradient[1] = cbm_apply1(&slice_op, g, v->attributes);
}

static const cbm_sample slice_scatter_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_FLOATS(-2, 2, 2, 4) }, .attributes = &rows },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_FLOATS(-2, 2, 3, 2) }, .attributes = &columns },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3, 4), CBM_FLOATS(-2, 2, 2, 3, 1) }, .attributes = &last },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_FLOATS(-2, 2, 0, 4) }, .attributes = &none },
};
static const cbm_op slice_scatter_op = {
    CBM_OP_RECORD("slice_scatter"),
    .formula = "base, but y[start + i step] = source[i] along the axis, i < length",
    .n_in = 2,
    .n_out = 1,
    .attributes_size = sizeof(cbm_slice_attributes),
    .attributes = slice_fields,
    .n_attributes = CBM_COUNTOF(slice_fields),
    .infer = slice_scatter_infer,
    .vjp = slice_scatter_vjp,
    .cost = copy_cost,
    CBM_SAMPLES(slice_scatter_samples),
};

/* ---- concat ---- */
static bool concat_infer(cbm_infer *infer)
{
    char one[160], other[160];
    const int64_t axis = ((const cbm_axis_attributes *)infer->attributes)->axis;
    cbm_shape out = infer->in_shape[0];
    if (!cbm_rule_same_dtype(infer, 0))
        return false;
    if (axis < 0 || axis >= out.v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld", (long long)axis);
    for (size_t k = 1; k < infer->n_in; k++) {
        const cbm_shape *in = &infer->in_shape[k];
        bool fits = in->v[0] == out.v[0];
        for (int64_t i = 0; fits && i < out.v[0]; i++)
            fits = i == axis || in->v[1 + i] == out.v[1 + i];
        if (!fits)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                                  "tensor %zu has shape %s, which does not match %s off axis %lld", k + 1,
                                  cbm_shape_text(in, one, sizeof one),
                                  cbm_shape_text(&infer->in_shape[0], other, sizeof other), (long long)axis);
        if (__builtin_add_overflow(out.v[1 + axis], in->v[1 + axis], &out.v[1 + axis]))
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the result has too many elements");
    }
    infer->out_shape[0] = out;
    return true;
}

static void concat_vjp(cbm_vjp *v)
{
    const int64_t axis = ((const cbm_axis_attributes *)v->attributes)->axis;
    int64_t start = 0;
    for (size_t k = 0; k < v->n_in; k++) {
        const cbm_slice_attributes part = { axis, start, 1, cbm_tensor_size(v->in[k], axis) };
        if (v->needed[k])
            v->in_gradient[k] = cbm_apply1(&slice_op, v->out_gradient[0], &part);
        start += part.length;
    }
}

static const cbm_attribute concat_fields[] = {
    CBM_FIELD(cbm_axis_attributes, axis, CBM_ATTRIBUTE_INT, false),
};
static const cbm_axis_attributes axis_0 = { 0 }, axis_1 = { 1 };
static const cbm_sample concat_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3), CBM_FLOATS(-2, 2, 1, 3) }, .attributes = &axis_0 },
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 2, 3), CBM_FLOATS(-2, 2, 2, 1), CBM_FLOATS(-2, 2, 2, 2) },
      .attributes = &axis_1 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 0, 4), CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &axis_1 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 5) }, .attributes = &axis_0 },
    { .n_in = 2, .in = { CBM_INDICES(-9, 9, 4), CBM_INDICES(-9, 9, 3) }, .attributes = &axis_0 },
};
static const cbm_op concat_op = {
    CBM_OP_RECORD("concat"),
    .formula = "the tensors one after the other along the axis",
    .n_in = -1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_axis_attributes),
    .attributes = concat_fields,
    .n_attributes = CBM_COUNTOF(concat_fields),
    .infer = concat_infer,
    .vjp = concat_vjp,
    .cost = copy_cost,
    CBM_SAMPLES(concat_samples),
};

const cbm_op *const cbm_ops_slice[] = { &slice_op, &slice_scatter_op, &concat_op, NULL };

/* ---- public functions ---- */

/* A bound as in Python: negative counts from the end, and what is outside is clipped. */
static int64_t clip(int64_t bound, int64_t extent)
{
    if (bound < 0)
        bound += extent;
    return bound < 0 ? 0 : bound > extent ? extent : bound;
}

cbm_tensor *cbm_slice(cbm_tensor *x, int64_t axis, int64_t start, int64_t stop, int64_t step)
{
    cbm_slice_attributes a = { .step = step };
    if (!cbm_axis_of("slice", x, axis, &a.axis))
        return cbm_no_result(x, "slice");
    if (step < 1)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[slice] step %lld is not at least 1",
                               (long long)step);
    const int64_t extent = cbm_tensor_size(x, a.axis);
    const int64_t end = clip(stop, extent);
    a.start = clip(start, extent);
    a.length = end > a.start ? (end - a.start - 1) / step + 1 : 0;
    if (a.length <= 1)
        a.step = 1;
    return a.length == extent ? x : cbm_apply1(&slice_op, x, &a);
}

cbm_tensor *cbm_concat(cbm_tensor *const *tensors, size_t count, int64_t axis)
{
    cbm_axis_attributes a = { 0 };
    cbm_tensor *joined[CBM_MAX_INPUTS];
    if (tensors == NULL || count == 0)
        return cbm_fail_tensor(cbm_tensor_context(NULL), CBM_ERROR_INVALID, "[concat] no tensors");
    cbm_context *cx = cbm_context_of(tensors, count);
    if (tensors[0] == NULL)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[concat] tensor 1 is NULL");
    if (!cbm_axis_of("concat", tensors[0], axis, &a.axis))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[concat] no result");
    /* A node takes so many inputs; longer lists are joined piece by piece. */
    while (count > CBM_MAX_INPUTS) {
        const size_t pieces = (count + CBM_MAX_INPUTS - 1) / CBM_MAX_INPUTS;
        if (pieces > CBM_MAX_INPUTS)
            return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[concat] more than %d tensors",
                                   CBM_MAX_INPUTS * CBM_MAX_INPUTS);
        for (size_t k = 0; k < pieces; k++) {
            const size_t first = k * CBM_MAX_INPUTS, left = count - first;
            cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
            joined[k] =
                cbm_apply(cx, &concat_op, tensors + first, left < CBM_MAX_INPUTS ? left : CBM_MAX_INPUTS, &a, out);
        }
        tensors = joined;
        count = pieces;
    }
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    return cbm_apply(cx, &concat_op, tensors, count, &a, out);
}
