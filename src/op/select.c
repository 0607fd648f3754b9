/* select.c: rows along an axis by a vector of indices: index_select, index_add, index_copy, index_fill, and what is made of
   them and of gather and where: take, take_along_dim, masked_fill. Rests on op/families.h. */
#include "op/families.h"

static const cbm_attribute axis_fields[] = {
    CBM_FIELD(cbm_axis_attributes, axis, CBM_ATTRIBUTE_INT, false),
};

/* x, and a vector of indices along one of its axes. */
static bool rows_fit(cbm_infer *infer, int64_t axis)
{
    char text[160];
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    if (axis < 0 || axis >= infer->in_shape[0].v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld in shape %s", (long long)axis,
                              cbm_shape_text(&infer->in_shape[0], text, sizeof text));
    return cbm_rule_index_dtype(infer, 1, "index") && cbm_rule_rank(infer, 1, "index", 1);
}

/* The same with source, input 2, for as many rows as there are indices. */
static bool source_fits(cbm_infer *infer)
{
    const int64_t axis = ((const cbm_axis_attributes *)infer->attributes)->axis;
    if (infer->in_dtype[2] != infer->in_dtype[0])
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "x holds %s, source %s. HINT: convert one with cbm_cast",
                              cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(infer->in_dtype[2]));
    if (!rows_fit(infer, axis))
        return false;
    cbm_shape want = infer->in_shape[0];
    want.v[1 + axis] = infer->in_shape[1].v[1];
    return cbm_rule_shape(infer, 2, "source", &want);
}

/* ---- index_select ---- */
static bool select_infer(cbm_infer *infer)
{
    const int64_t axis = ((const cbm_axis_attributes *)infer->attributes)->axis;
    if (!rows_fit(infer, axis))
        return false;
    infer->out_shape[0].v[1 + axis] = infer->in_shape[1].v[1];
    return true;
}

static const cbm_op select_op, add_op, copy_op, fill_op;

static void select_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply3(&add_op, cbm_zeros_like(v->in[0]), v->in[1], v->out_gradient[0], v->attributes);
}

static void select_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = 2 * (double)shapes->out[0].count * (double)cbm_dtype_size(shapes->out[0].dtype);
}

static const cbm_axis_attributes axis_0 = { 0 }, axis_1 = { 1 }, axis_2 = { 2 };
static const cbm_sample select_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 2, 5) }, .attributes = &axis_0 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3, 4), CBM_INDICES(0, 2, 2) }, .attributes = &axis_1 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3, 4), { CBM_DIMS(6), CBM_I32, 0, 3, false } }, .attributes = &axis_2 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 2, 0) }, .attributes = &axis_0 },
    { .n_in = 2, .in = { CBM_INDICES(-9, 9, 7), CBM_INDICES(0, 6, 9) }, .attributes = &axis_0 },
};
static const cbm_op select_op = {
    CBM_OP_RECORD("index_select"),
    .formula = "y[i, j, k] = x[i, index[j], k] (axis 1)",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(1),
    .attributes_size = sizeof(cbm_axis_attributes),
    .attributes = axis_fields,
    .n_attributes = CBM_COUNTOF(axis_fields),
    .infer = select_infer,
    .vjp = select_vjp,
    .cost = select_cost,
    .differentiable_in = 1,
    CBM_SAMPLES(select_samples),
};

/* ---- index_add ---- */
static bool add_infer(cbm_infer *infer)
{
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "no sums of bool. HINT: convert it with cbm_cast");
    return source_fits(infer);
}

static void add_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
    if (v->needed[2])
        v->in_gradient[2] = cbm_apply2(&select_op, v->out_gradient[0], v->in[1], v->attributes);
}

static const cbm_sample add_samples[] = {
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 2, 5), CBM_FLOATS(-2, 2, 5, 4) },
      .attributes = &axis_0 },
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 2, 3, 4), CBM_INDICES(0, 2, 2), CBM_FLOATS(-2, 2, 2, 2, 4) },
      .attributes = &axis_1 },
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 2, 3, 4), { CBM_DIMS(6), CBM_I32, 0, 3, false }, CBM_FLOATS(-2, 2, 2, 3, 6) },
      .attributes = &axis_2 },
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 2, 0), CBM_FLOATS(-2, 2, 0, 4) },
      .attributes = &axis_0 },
    { .n_in = 3, .in = { CBM_INDICES(-9, 9, 7), CBM_INDICES(0, 6, 9), CBM_INDICES(-9, 9, 9) }, .attributes = &axis_0 },
};
#define INTO_ROWS(name_, formula_, infer_, vjp_, samples_)                                                             \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 3, .n_out = 1, .flags = CBM_OP_CHECKS,                    \
                              .saves = CBM_SAVES_IN(1), .attributes_size = sizeof(cbm_axis_attributes),                \
                              .attributes = axis_fields, .n_attributes = CBM_COUNTOF(axis_fields), .infer = (infer_),  \
                              .vjp = (vjp_), .differentiable_in = 5, CBM_SAMPLES(samples_)                             \
    }
static const cbm_op add_op =
    INTO_ROWS("index_add", "x, and y[i, index[j], k] += source[i, j, k] (axis 1)", add_infer, add_vjp, add_samples);

/* ---- index_copy ---- */
static void copy_vjp(cbm_vjp *v)
{
    const int64_t axis = ((const cbm_axis_attributes *)v->attributes)->axis;
    const cbm_index_fill_attributes zero = { axis, 0 };
    cbm_tensor *g = v->out_gradient[0], *index = v->in[1];
    if (v->needed[0])
        v->in_gradient[0] = cbm_apply2(&fill_op, g, index, &zero);
    if (!v->needed[2])
        return;
    cbm_shape rows = { { cbm_tensor_rank(g) - axis, cbm_tensor_count(index) } };
    for (int64_t i = 2; i <= rows.v[0]; i++)
        rows.v[i] = 1;
    cbm_tensor *stayed = cbm_reshape(cbm_scatter_last(index, 0, cbm_tensor_size(g, axis)), rows);
    v->in_gradient[2] = cbm_where(stayed, cbm_apply2(&select_op, g, index, v->attributes), cbm_number_like(g, 0));
}

static const cbm_op copy_op =
    INTO_ROWS("index_copy", "x, but y[i, index[j], k] = source[i, j, k], the last of several (axis 1)", source_fits,
              copy_vjp, add_samples);

/* ---- index_fill ---- */
static bool fill_infer(cbm_infer *infer)
{
    return rows_fit(infer, ((const cbm_index_fill_attributes *)infer->attributes)->axis);
}

static void fill_vjp(cbm_vjp *v)
{
    const cbm_index_fill_attributes zero = { ((const cbm_index_fill_attributes *)v->attributes)->axis, 0 };
    v->in_gradient[0] = cbm_apply2(&fill_op, v->out_gradient[0], v->in[1], &zero);
}

static const cbm_attribute fill_fields[] = {
    CBM_FIELD(cbm_index_fill_attributes, axis, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_index_fill_attributes, value, CBM_ATTRIBUTE_FLOAT, true),
};
static const cbm_index_fill_attributes rows_with_1 = { 0, 1 }, inside_with_half = { 1, 0.5 }, last_with_2 = { 2, -2 };
static const cbm_sample fill_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 5, 4), CBM_INDICES(0, 4, 3) }, .attributes = &rows_with_1 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3, 4), CBM_INDICES(0, 2, 2) }, .attributes = &inside_with_half },
    { .n_in = 2,
      .in = { CBM_FLOATS(-2, 2, 2, 3, 4), { CBM_DIMS(2), CBM_I32, 0, 3, false } },
      .attributes = &last_with_2 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 2, 0) }, .attributes = &rows_with_1 },
    { .n_in = 2, .in = { CBM_INDICES(-9, 9, 7), CBM_INDICES(0, 6, 3) }, .attributes = &rows_with_1 },
};
static const cbm_op fill_op = {
    CBM_OP_RECORD("index_fill"),
    .formula = "x, but y[i, index[j], k] = value (axis 1)",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(1),
    .attributes_size = sizeof(cbm_index_fill_attributes),
    .attributes = fill_fields,
    .n_attributes = CBM_COUNTOF(fill_fields),
    .infer = fill_infer,
    .vjp = fill_vjp,
    .differentiable_in = 1,
    CBM_SAMPLES(fill_samples),
};

const cbm_op *const cbm_ops_select[] = { &select_op, &add_op, &copy_op, &fill_op, NULL };

/* ---- public functions ---- */

/* A vector of indices; a scalar counts as one. NULL: an error. */
static cbm_tensor *vector_of(cbm_context *cx, cbm_tensor *index)
{
    if (!cbm_usable(cx, index))
        return NULL;
    return cbm_tensor_rank(index) == 0 ? cbm_reshape(index, CBM_SHAPE(1)) : index;
}

cbm_tensor *cbm_index_select(cbm_tensor *x, int64_t axis, cbm_tensor *index)
{
    cbm_axis_attributes a = { 0 };
    if (!cbm_axis_of("index_select", x, axis, &a.axis) || (index = vector_of(cbm_tensor_context(x), index)) == NULL)
        return cbm_no_result(x, "index_select");
    return cbm_apply2(&select_op, x, index, &a);
}

cbm_tensor *cbm_index_add(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source, double alpha)
{
    cbm_axis_attributes a = { 0 };
    if (!cbm_axis_of("index_add", x, axis, &a.axis) || (index = vector_of(cbm_tensor_context(x), index)) == NULL)
        return cbm_no_result(x, "index_add");
    return cbm_apply3(&add_op, x, index, alpha == 1 ? source : cbm_mul_scalar(source, alpha), &a);
}

cbm_tensor *cbm_index_copy(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source)
{
    cbm_axis_attributes a = { 0 };
    if (!cbm_axis_of("index_copy", x, axis, &a.axis) || (index = vector_of(cbm_tensor_context(x), index)) == NULL)
        return cbm_no_result(x, "index_copy");
    return cbm_apply3(&copy_op, x, index, source, &a);
}

cbm_tensor *cbm_index_fill(cbm_tensor *x, int64_t axis, cbm_tensor *index, double value)
{
    cbm_index_fill_attributes a = { 0, value };
    if (!cbm_axis_of("index_fill", x, axis, &a.axis) || (index = vector_of(cbm_tensor_context(x), index)) == NULL)
        return cbm_no_result(x, "index_fill");
    return cbm_apply2(&fill_op, x, index, &a);
}

cbm_tensor *cbm_take(cbm_tensor *x, cbm_tensor *index)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x) || !cbm_usable(cx, index))
        return cbm_no_result(x, "take");
    cbm_tensor *flat = cbm_reshape(x, CBM_SHAPE(cbm_tensor_count(x)));
    cbm_tensor *places = cbm_reshape(index, CBM_SHAPE(cbm_tensor_count(index)));
    cbm_tensor *taken = cbm_index_select(flat, 0, places);
    return cbm_tensor_failed(taken) ? taken : cbm_reshape(taken, cbm_tensor_shape(index));
}

cbm_tensor *cbm_take_along_dim(cbm_tensor *x, cbm_tensor *index, int64_t axis)
{
    char text[160], other[160];
    cbm_context *cx = cbm_tensor_context(x);
    int64_t place = 0;
    if (!cbm_axis_of("take_along_dim", x, axis, &place) || !cbm_usable(cx, index))
        return cbm_no_result(x, "take_along_dim");
    cbm_shape from = cbm_tensor_shape(x), at = cbm_tensor_shape(index);
    bool fits = from.v[0] == at.v[0];
    for (int64_t d = 1; fits && d <= from.v[0]; d++) {
        if (d == 1 + place)
            continue;
        fits = from.v[d] == at.v[d] || from.v[d] == 1 || at.v[d] == 1;
        from.v[d] = at.v[d] = from.v[d] == 1 ? at.v[d] : from.v[d];
    }
    if (!fits) {
        from = cbm_tensor_shape(x);
        at = cbm_tensor_shape(index);
        return cbm_fail_tensor(
            cx, CBM_ERROR_SHAPE,
            "[take_along_dim] x %s and index %s must have as many dimensions, and broadcast off axis %lld",
            cbm_shape_text(&from, text, sizeof text), cbm_shape_text(&at, other, sizeof other), (long long)place);
    }
    return cbm_gather(cbm_expand(x, from), place, cbm_expand(index, at));
}

cbm_tensor *cbm_masked_fill(cbm_tensor *x, cbm_tensor *mask, double value)
{
    char text[160], other[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x) || !cbm_usable(cx, mask))
        return cbm_no_result(x, "masked_fill");
    const cbm_shape from = cbm_tensor_shape(x), over = cbm_tensor_shape(mask);
    cbm_shape both;
    if (!cbm_broadcast_shapes(&from, &over, &both) || !cbm_shape_equal(&both, &from))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[masked_fill] mask %s does not broadcast to x %s",
                               cbm_shape_text(&over, other, sizeof other), cbm_shape_text(&from, text, sizeof text));
    return cbm_where(mask, cbm_number_like(x, value), x);
}
