/* rules.c: shape rules and small helpers shared by the operation families. Rests on op/record.h and the public
   operations. */
#include "op/families.h"

#include <string.h>

#define SHAPE_TEXT 160

bool cbm_rule_same_dtype(cbm_infer *infer, size_t first)
{
    for (size_t i = first + 1; i < infer->n_in; i++)
        if (infer->in_dtype[i] != infer->in_dtype[first])
            return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                                  "element types differ: %s and %s. HINT: convert one with cbm_cast",
                                  cbm_dtype_name(infer->in_dtype[first]), cbm_dtype_name(infer->in_dtype[i]));
    infer->out_dtype[0] = infer->in_dtype[first];
    return true;
}

bool cbm_rule_pointwise_dtype(cbm_infer *infer, size_t first)
{
    bool some[2][2] = { { false, false }, { false, false } }; /* bf16, f32; without dimensions, with */
    for (size_t i = first; i < infer->n_in; i++) {
        const cbm_dtype dtype = infer->in_dtype[i];
        if (dtype != CBM_F32 && dtype != CBM_BF16)
            return cbm_rule_same_dtype(infer, first);
        some[dtype == CBM_F32][infer->in_shape[i].v[0] > 0] = true;
    }
    if (some[0][1] && some[1][1])
        return cbm_rule_same_dtype(infer, first);
    infer->out_dtype[0] = some[1][1] || (some[1][0] && !some[0][1]) ? CBM_F32 : CBM_BF16;
    return true;
}

bool cbm_rule_floating(cbm_infer *infer, size_t input)
{
    if (cbm_is_floating(infer->in_dtype[input]))
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                          "input %zu holds %s, but must be f32, f64 or bf16. HINT: convert it with cbm_cast", input + 1,
                          cbm_dtype_name(infer->in_dtype[input]));
}

bool cbm_rule_dtype(cbm_infer *infer, int64_t dtype)
{
    if (dtype >= 0 && dtype < CBM_DTYPE_COUNT)
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "there is no element type number %lld", (long long)dtype);
}

bool cbm_broadcast_shapes(const cbm_shape *a, const cbm_shape *b, cbm_shape *out)
{
    const int64_t rank_a = a->v[0], rank_b = b->v[0];
    const int64_t rank = rank_a > rank_b ? rank_a : rank_b;
    cbm_shape result = { { rank } };
    for (int64_t i = 1; i <= rank; i++) {
        const int64_t ia = i - (rank - rank_a), ib = i - (rank - rank_b);
        const int64_t ea = ia >= 1 ? a->v[ia] : 1, eb = ib >= 1 ? b->v[ib] : 1;
        if (ea != eb && ea != 1 && eb != 1)
            return false;
        result.v[i] = ea == 1 ? eb : ea;
    }
    *out = result;
    return true;
}

bool cbm_rule_broadcast(cbm_infer *infer, size_t first)
{
    char before[SHAPE_TEXT], next[SHAPE_TEXT];
    cbm_shape shape = infer->in_shape[first];
    for (size_t i = first + 1; i < infer->n_in; i++) {
        const cbm_shape so_far = shape;
        if (!cbm_broadcast_shapes(&so_far, &infer->in_shape[i], &shape))
            return cbm_infer_fail(
                infer, CBM_ERROR_SHAPE,
                "shapes %s and %s do not broadcast. HINT: counted from the last axis, extents must be "
                "equal or one of them 1",
                cbm_shape_text(&so_far, before, sizeof before), cbm_shape_text(&infer->in_shape[i], next, sizeof next));
    }
    infer->out_shape[0] = shape;
    return true;
}

bool cbm_rule_shape(cbm_infer *infer, size_t input, const char *what, const cbm_shape *shape)
{
    char is[SHAPE_TEXT], must[SHAPE_TEXT];
    if (cbm_shape_equal(&infer->in_shape[input], shape))
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%s has shape %s, but must have %s", what,
                          cbm_shape_text(&infer->in_shape[input], is, sizeof is),
                          cbm_shape_text(shape, must, sizeof must));
}

bool cbm_rule_rank(cbm_infer *infer, size_t input, const char *what, int64_t rank)
{
    char is[SHAPE_TEXT];
    if (infer->in_shape[input].v[0] == rank)
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                          "%s must have %lld dimensions, but its shape is %s. HINT: cbm_reshape", what, (long long)rank,
                          cbm_shape_text(&infer->in_shape[input], is, sizeof is));
}

bool cbm_rule_index_dtype(cbm_infer *infer, size_t input, const char *what)
{
    const cbm_dtype dtype = infer->in_dtype[input];
    if (dtype == CBM_I64 || dtype == CBM_I32)
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "%s must hold i64 or i32, not %s. HINT: convert it with cbm_cast",
                          what, cbm_dtype_name(dtype));
}

bool cbm_rule_index_fits(cbm_infer *infer)
{
    char tx[SHAPE_TEXT], ti[SHAPE_TEXT];
    const int64_t axis = ((const cbm_axis_attributes *)infer->attributes)->axis;
    const cbm_shape *x = &infer->in_shape[0], *index = &infer->in_shape[1];
    if (!cbm_rule_index_dtype(infer, 1, "index"))
        return false;
    if (axis < 0 || axis >= x->v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld in shape %s", (long long)axis,
                              cbm_shape_text(x, tx, sizeof tx));
    bool fits = index->v[0] == x->v[0];
    for (int64_t i = 0; fits && i < x->v[0]; i++)
        fits = i == axis || index->v[1 + i] <= x->v[1 + i];
    if (fits)
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                          "index %s does not fit x %s: as many dimensions, and off axis %lld no larger extents",
                          cbm_shape_text(index, ti, sizeof ti), cbm_shape_text(x, tx, sizeof tx), (long long)axis);
}

bool cbm_rule_matrices(cbm_infer *infer, size_t input, bool square)
{
    char text[SHAPE_TEXT];
    const cbm_shape *s = &infer->in_shape[input];
    const cbm_dtype dtype = infer->in_dtype[input];
    if (dtype != CBM_F32 && dtype != CBM_F64)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                              "input %zu holds %s, but must be f32 or f64. HINT: convert it with cbm_cast", input + 1,
                              cbm_dtype_name(dtype));
    if (s->v[0] >= 2 && (!square || s->v[s->v[0]] == s->v[s->v[0] - 1]))
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "input %zu must hold %s, but its shape is %s", input + 1,
                          square ? "square matrices (.., n, n)" : "matrices (.., m, n)",
                          cbm_shape_text(s, text, sizeof text));
}

bool cbm_axis_normalise(int64_t axis, int64_t rank, int64_t *out)
{
    if (axis < -rank || axis >= rank)
        return false;
    *out = axis < 0 ? axis + rank : axis;
    return true;
}

bool cbm_infer_numeric(cbm_infer *infer)
{
    if (!cbm_rule_pointwise_dtype(infer, 0))
        return false;
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "no arithmetic on bool. HINT: convert it with cbm_cast");
    return cbm_rule_broadcast(infer, 0);
}

bool cbm_infer_floating(cbm_infer *infer)
{
    return cbm_rule_pointwise_dtype(infer, 0) && cbm_rule_floating(infer, 0) && cbm_rule_broadcast(infer, 0);
}

bool cbm_infer_like_first(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0);
}

void cbm_flat_vjp(cbm_vjp *v)
{
    (void)v;
}

cbm_context *cbm_context_of(cbm_tensor *const *tensors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (tensors[i] != NULL)
            return cbm_tensor_context(tensors[i]);
    return cbm_tensor_context(NULL);
}

static cbm_tensor *apply(const cbm_op *op, cbm_tensor *const *in, size_t n, const void *attributes)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    return cbm_apply(cbm_context_of(in, n), op, in, n, attributes, out);
}

cbm_tensor *cbm_apply1(const cbm_op *op, cbm_tensor *a, const void *attributes)
{
    return apply(op, &a, 1, attributes);
}

cbm_tensor *cbm_apply2(const cbm_op *op, cbm_tensor *a, cbm_tensor *b, const void *attributes)
{
    cbm_tensor *const in[] = { a, b };
    return apply(op, in, 2, attributes);
}

cbm_tensor *cbm_apply3(const cbm_op *op, cbm_tensor *a, cbm_tensor *b, cbm_tensor *c, const void *attributes)
{
    cbm_tensor *const in[] = { a, b, c };
    return apply(op, in, 3, attributes);
}

bool cbm_axis_of(const char *op, cbm_tensor *x, int64_t axis, int64_t *out)
{
    char text[SHAPE_TEXT];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] the input is NULL or failed", op);
        return false;
    }
    const cbm_shape shape = cbm_tensor_shape(x);
    if (cbm_axis_normalise(axis, shape.v[0], out))
        return true;
    (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] axis %lld is not one of shape %s", op, (long long)axis,
                          cbm_shape_text(&shape, text, sizeof text));
    return false;
}

cbm_tensor *cbm_no_result(cbm_tensor *x, const char *op)
{
    return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[%s] no result", op);
}

cbm_tensor *cbm_number_like(cbm_tensor *t, double value)
{
    return cbm_scalar(cbm_tensor_context(t), cbm_statistics_dtype(cbm_tensor_dtype(t)), value);
}

cbm_tensor *cbm_transposed(cbm_tensor *t)
{
    return cbm_transpose(t, -2, -1);
}

cbm_dtype cbm_statistics_dtype(cbm_dtype dtype)
{
    return dtype == CBM_BF16 ? CBM_F32 : dtype;
}

cbm_tensor *cbm_for_statistics(cbm_tensor *t)
{
    return cbm_cast(t, cbm_statistics_dtype(cbm_tensor_dtype(t)));
}

cbm_tensor *cbm_sum_over(cbm_tensor *x, cbm_shape axes, bool keepdim)
{
    const cbm_reduce_options options = { sizeof options, axes, keepdim };
    return axes.v[0] == 0 ? x : cbm_sum_with(x, &options);
}

cbm_tensor *cbm_mean_over(cbm_tensor *x, cbm_shape axes, bool keepdim)
{
    const cbm_reduce_options options = { sizeof options, axes, keepdim };
    return axes.v[0] == 0 ? x : cbm_mean_with(x, &options);
}

cbm_tensor *cbm_drop_axis(cbm_tensor *x, int64_t axis)
{
    const cbm_shape from = cbm_tensor_shape(x);
    cbm_shape to = { { 0 } };
    for (int64_t i = 0; i < from.v[0]; i++)
        if (i != axis)
            to.v[++to.v[0]] = from.v[1 + i];
    return cbm_reshape(x, to);
}

bool cbm_spatial(const cbm_shape *given, int64_t n, int64_t fallback, cbm_shape *out)
{
    if (given->v[0] != 0 && given->v[0] != 1 && given->v[0] != n)
        return false;
    *out = (cbm_shape){ { n } };
    for (int64_t i = 1; i <= n; i++)
        out->v[i] = given->v[0] == 0 ? fallback : given->v[0] == 1 ? given->v[1] : given->v[i];
    return true;
}

const char *cbm_spatial_text(int64_t n)
{
    return n == 1 ? "one value" : n == 2 ? "one value or two" : "one value or three";
}

cbm_shape cbm_axes_but_channels(int64_t rank)
{
    cbm_shape axes = { { 0 } };
    for (int64_t axis = 0; axis < rank; axis++)
        if (axis != 1)
            axes.v[++axes.v[0]] = axis;
    return axes;
}

cbm_tensor *cbm_over_channels(cbm_tensor *vector, int64_t rank)
{
    cbm_shape shape = { { rank } };
    for (int64_t i = 1; i <= rank; i++)
        shape.v[i] = i == 2 ? cbm_tensor_count(vector) : 1;
    return cbm_reshape(vector, shape);
}

void cbm_read_options(void *out, size_t size, const void *options)
{
    uint64_t given = 0;
    if (options == NULL)
        return;
    memcpy(&given, options, sizeof given);
    memcpy(out, options, given < size ? (size_t)given : size);
}

cbm_node *cbm_made_by(const cbm_value *t, const char *op)
{
    cbm_node *n = t->node;
    return n != NULL && n->n_in > 0 && t == &n->out[0] && strcmp(n->op->name, op) == 0 ? n : NULL;
}

cbm_tensor *cbm_relu_gradient(cbm_tensor *y, cbm_tensor *g)
{
    cbm_tensor *zero = cbm_number_like(g, 0);
    return cbm_where(cbm_less_equal(y, zero), zero, g);
}
