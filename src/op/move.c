/* move.c: reshape, permute, expand and what is made of them (flatten, transpose). Their results are views where strides
   can say it. Rests on op/families.h. */
#include "op/families.h"

static const cbm_attribute shape_fields[] = {
    CBM_FIELD(cbm_shape_attributes, shape, CBM_ATTRIBUTE_SHAPE, false),
};

#define MOVEMENT(name_, formula_, infer_, view_, vjp_, samples_)                                                       \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1, .flags = CBM_OP_VIEW,                      \
                              .attributes_size = sizeof(cbm_shape_attributes), .attributes = shape_fields,             \
                              .n_attributes = CBM_COUNTOF(shape_fields), .infer = (infer_), .vjp = (vjp_),             \
                              .view = (view_), .cost = move_cost, CBM_SAMPLES(samples_)                                \
    }

static void move_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = 2 * (double)shapes->out[0].count * (double)cbm_dtype_size(shapes->out[0].dtype);
}

/* ---- reshape ---- */
static bool reshape_infer(cbm_infer *infer)
{
    char from[160], to[160];
    const cbm_shape *shape = &((const cbm_shape_attributes *)infer->attributes)->shape;
    const int64_t count = cbm_shape_count(shape);
    if (count < 0)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "the new shape has a negative extent, more than %d dimensions or too "
                              "many elements",
                              CBM_MAX_DIMS);
    if (count != cbm_shape_count(&infer->in_shape[0]))
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%s has %lld elements, but %s has %lld",
                              cbm_shape_text(&infer->in_shape[0], from, sizeof from),
                              (long long)cbm_shape_count(&infer->in_shape[0]), cbm_shape_text(shape, to, sizeof to),
                              (long long)count);
    infer->out_shape[0] = *shape;
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static void reshape_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_reshape(v->out_gradient[0], cbm_tensor_shape(v->in[0]));
}

/* Row-major strides, for tensors in which they matter to nobody. */
static void plain_strides(cbm_buffer *b)
{
    int64_t stride = 1;
    for (int64_t i = b->rank - 1; i >= 0; i--) {
        b->stride[i] = stride;
        stride *= b->shape[i] > 0 ? b->shape[i] : 1;
    }
}

/* Both shapes are cut into the shortest groups of axes with equal products. Within a group the old axes must lie as if
   row-major; then the new ones can be laid over them. */
static bool reshape_view(const void *attributes, const cbm_buffer *in, cbm_buffer *out)
{
    int64_t shape[CBM_MAX_DIMS], stride[CBM_MAX_DIMS], rank = 0;
    (void)attributes;
    out->data = in->data;
    plain_strides(out);
    if (in->count == 0)
        return true;
    for (int64_t i = 0; i < in->rank; i++)
        if (in->shape[i] != 1) {
            shape[rank] = in->shape[i];
            stride[rank++] = in->stride[i];
        }
    int64_t old_begin = 0, new_begin = 0;
    while (old_begin < rank && new_begin < out->rank) {
        int64_t old_end = old_begin + 1, new_end = new_begin + 1;
        int64_t old_count = shape[old_begin], new_count = out->shape[new_begin];
        while (old_count != new_count) {
            if (new_count < old_count)
                new_count *= out->shape[new_end++];
            else
                old_count *= shape[old_end++];
        }
        for (int64_t i = old_begin; i + 1 < old_end; i++)
            if (stride[i] != shape[i + 1] * stride[i + 1])
                return false;
        int64_t step = stride[old_end - 1];
        for (int64_t i = new_end - 1; i >= new_begin; i--) {
            out->stride[i] = step;
            step *= out->shape[i];
        }
        old_begin = old_end;
        new_begin = new_end;
    }
    return true; /* new axes that are left have extent 1: any stride serves */
}

static const cbm_shape_attributes to_3_2 = { CBM_DIMS(3, 2) }, to_6 = { CBM_DIMS(6) },
                                  to_1_2_1_3 = { CBM_DIMS(1, 2, 1, 3) }, to_scalar = { CBM_DIMS() },
                                  to_4_6 = { CBM_DIMS(4, 6) }, to_0_5 = { CBM_DIMS(0, 5) };
static const cbm_sample reshape_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) }, .attributes = &to_3_2 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 1, 3) }, .attributes = &to_6 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 6) }, .attributes = &to_1_2_1_3 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 1, 1) }, .attributes = &to_scalar },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &to_4_6 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 0) }, .attributes = &to_0_5 },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 2, 3) }, .attributes = &to_6 },
};
static const cbm_op reshape_op = MOVEMENT("reshape", "the elements of x, in row-major order, in another shape",
                                          reshape_infer, reshape_view, reshape_vjp, reshape_samples);

/* ---- permute ---- */
static bool permute_infer(cbm_infer *infer)
{
    char from[160], to[160];
    const cbm_shape *order = &((const cbm_shape_attributes *)infer->attributes)->shape;
    const cbm_shape *in = &infer->in_shape[0];
    bool named[CBM_MAX_DIMS] = { false };
    bool good = order->v[0] == in->v[0];
    infer->out_shape[0].v[0] = in->v[0];
    for (int64_t i = 1; good && i <= order->v[0]; i++) {
        const int64_t axis = order->v[i];
        good = axis >= 0 && axis < in->v[0] && !named[axis];
        if (good) {
            named[axis] = true;
            infer->out_shape[0].v[i] = in->v[1 + axis];
        }
    }
    infer->out_dtype[0] = infer->in_dtype[0];
    if (good)
        return true;
    const cbm_shape shown = { { order->v[0] < 0 || order->v[0] > CBM_MAX_DIMS ? 0 : order->v[0], order->v[1],
                                order->v[2], order->v[3], order->v[4], order->v[5], order->v[6], order->v[7],
                                order->v[8] } };
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%s does not name each axis of shape %s once",
                          cbm_shape_text(&shown, to, sizeof to), cbm_shape_text(in, from, sizeof from));
}

static void permute_vjp(cbm_vjp *v)
{
    const cbm_shape *order = &((const cbm_shape_attributes *)v->attributes)->shape;
    cbm_shape back = { { order->v[0] } };
    for (int64_t i = 0; i < order->v[0]; i++)
        back.v[1 + order->v[1 + i]] = i;
    v->in_gradient[0] = cbm_permute(v->out_gradient[0], back);
}

static bool permute_view(const void *attributes, const cbm_buffer *in, cbm_buffer *out)
{
    const cbm_shape *order = &((const cbm_shape_attributes *)attributes)->shape;
    out->data = in->data;
    for (int64_t i = 0; i < out->rank; i++)
        out->stride[i] = in->stride[order->v[1 + i]];
    return true;
}

static const cbm_shape_attributes order_10 = { CBM_DIMS(1, 0) }, order_201 = { CBM_DIMS(2, 0, 1) },
                                  order_0231 = { CBM_DIMS(0, 2, 3, 1) }, order_none = { CBM_DIMS() };
static const cbm_sample permute_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) }, .attributes = &order_10 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 4) }, .attributes = &order_201 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3, 1, 4) }, .attributes = &order_0231 },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) }, .attributes = &order_none },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &order_10 },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 5, 3) }, .attributes = &order_10 },
};
static const cbm_op permute_op =
    MOVEMENT("permute", "axis i of y is axis order[i] of x", permute_infer, permute_view, permute_vjp, permute_samples);

/* ---- expand ---- */
static bool expand_infer(cbm_infer *infer)
{
    char from[160], to[160];
    const cbm_shape *shape = &((const cbm_shape_attributes *)infer->attributes)->shape;
    cbm_shape both;
    if (cbm_shape_count(shape) < 0)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "the new shape has a negative extent, more than %d dimensions or too "
                              "many elements",
                              CBM_MAX_DIMS);
    if (!cbm_broadcast_shapes(&infer->in_shape[0], shape, &both) || !cbm_shape_equal(&both, shape))
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%s does not broadcast to %s",
                              cbm_shape_text(&infer->in_shape[0], from, sizeof from),
                              cbm_shape_text(shape, to, sizeof to));
    infer->out_shape[0] = *shape;
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

/* The sum back to x's shape is done for us. */
static void expand_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
}

static bool expand_view(const void *attributes, const cbm_buffer *in, cbm_buffer *out)
{
    (void)attributes;
    out->data = in->data;
    for (int64_t i = 0; i < out->rank; i++) {
        const int64_t from = i - (out->rank - in->rank);
        const bool spread = from < 0 || (in->shape[from] == 1 && out->shape[i] != 1);
        out->stride[i] = spread ? 0 : in->stride[from];
    }
    return true;
}

static const cbm_shape_attributes as_2_3 = { CBM_DIMS(2, 3) }, as_4_2_3 = { CBM_DIMS(4, 2, 3) },
                                  as_0_3 = { CBM_DIMS(0, 3) };
static const cbm_sample expand_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 1) }, .attributes = &as_2_3 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3) }, .attributes = &as_4_2_3 },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) }, .attributes = &as_2_3 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) }, .attributes = &as_2_3 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 1, 3) }, .attributes = &as_0_3 },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 1) }, .attributes = &as_2_3 },
};
static const cbm_op expand_op =
    MOVEMENT("expand", "x repeated to the shape", expand_infer, expand_view, expand_vjp, expand_samples);

const cbm_op *const cbm_ops_move[] = { &reshape_op, &permute_op, &expand_op, NULL };

/* ---- public functions ---- */

/* Only the used entries, so that equal shapes are equal bytes. */
static bool canonical(cbm_shape *s)
{
    if (s->v[0] < 0 || s->v[0] > CBM_MAX_DIMS)
        return false;
    for (int64_t i = s->v[0] + 1; i <= CBM_MAX_DIMS; i++)
        s->v[i] = 0;
    return true;
}

/* x is a tensor and the list fits a shape, of which only the used entries are kept; false after recording what is wrong. */
static bool takes_list(cbm_tensor *x, cbm_shape *list, const char *op)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] the input is NULL or failed", op);
    else if (canonical(list))
        return true;
    else
        cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] a list of %lld entries: a tensor has at most %d dimensions", op,
                        (long long)list->v[0], CBM_MAX_DIMS);
    return false;
}

cbm_tensor *cbm_reshape(cbm_tensor *x, cbm_shape shape)
{
    cbm_shape_attributes a = { shape };
    int64_t open = 0, known = 1;
    if (!takes_list(x, &a.shape, "reshape"))
        return cbm_no_result(x, "reshape");
    for (int64_t i = 1; i <= a.shape.v[0]; i++) {
        if (a.shape.v[i] == -1 && open == 0)
            open = i;
        else if (a.shape.v[i] < 0 || __builtin_mul_overflow(known, a.shape.v[i], &known))
            return cbm_apply1(&reshape_op, x, &a); /* fails with its message */
    }
    if (open > 0) {
        const int64_t count = cbm_tensor_count(x);
        char text[160];
        if (known == 0 || count % known != 0)
            return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE,
                                   "[reshape] %lld elements leave no whole extent for the -1 in %s", (long long)count,
                                   cbm_shape_text(&a.shape, text, sizeof text));
        a.shape.v[open] = count / known;
    }
    const cbm_shape now = cbm_tensor_shape(x);
    return cbm_shape_equal(&now, &a.shape) ? x : cbm_apply1(&reshape_op, x, &a);
}

cbm_tensor *cbm_flatten(cbm_tensor *x, int64_t first_axis)
{
    int64_t first = 0;
    if (x != NULL && !cbm_tensor_failed(x) && cbm_tensor_rank(x) == 0 && (first_axis == 0 || first_axis == -1))
        return cbm_reshape(x, (cbm_shape){ { 1, 1 } });
    if (!cbm_axis_of("flatten", x, first_axis, &first))
        return cbm_no_result(x, "flatten");
    const cbm_shape from = cbm_tensor_shape(x);
    cbm_shape to = { { first + 1 } };
    to.v[first + 1] = 1;
    for (int64_t i = 1; i <= from.v[0]; i++) {
        if (i <= first)
            to.v[i] = from.v[i];
        else
            to.v[first + 1] *= from.v[i];
    }
    return cbm_reshape(x, to);
}

cbm_tensor *cbm_permute(cbm_tensor *x, cbm_shape order)
{
    cbm_shape_attributes a = { order };
    if (!takes_list(x, &a.shape, "permute"))
        return cbm_no_result(x, "permute");
    const int64_t rank = cbm_tensor_rank(x);
    for (int64_t i = 1; i <= a.shape.v[0]; i++)
        if (a.shape.v[i] < 0 && a.shape.v[i] >= -rank)
            a.shape.v[i] += rank;
    return cbm_apply1(&permute_op, x, &a);
}

cbm_tensor *cbm_transpose(cbm_tensor *x, int64_t axis_a, int64_t axis_b)
{
    int64_t a = 0, b = 0;
    if (!cbm_axis_of("transpose", x, axis_a, &a) || !cbm_axis_of("transpose", x, axis_b, &b))
        return cbm_no_result(x, "transpose");
    cbm_shape order = { { cbm_tensor_rank(x) } };
    for (int64_t i = 0; i < order.v[0]; i++)
        order.v[1 + i] = i == a ? b : i == b ? a : i;
    return a == b ? x : cbm_permute(x, order);
}

cbm_tensor *cbm_expand(cbm_tensor *x, cbm_shape shape)
{
    cbm_shape_attributes a = { shape };
    if (!takes_list(x, &a.shape, "expand"))
        return cbm_no_result(x, "expand");
    const cbm_shape now = cbm_tensor_shape(x);
    return cbm_shape_equal(&now, &a.shape) ? x : cbm_apply1(&expand_op, x, &a);
}
