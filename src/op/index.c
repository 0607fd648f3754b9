/* index.c: one_hot, gather, scatter_add. Rests on op/families.h. Their kernels check that indices lie in range. */
#include "op/families.h"

/* ---- one_hot ---- */
static bool one_hot_infer(cbm_infer *infer)
{
    const cbm_one_hot_attributes *a = infer->attributes;
    cbm_shape out = infer->in_shape[0];
    const cbm_dtype dtype = infer->in_dtype[0];
    if (dtype != CBM_I64 && dtype != CBM_I32 && dtype != CBM_U8)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "class numbers must hold i64, i32 or u8, not %s. HINT: cbm_cast",
                              cbm_dtype_name(dtype));
    if (!cbm_rule_dtype(infer, a->dtype))
        return false;
    if (a->classes < 1)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "%lld classes", (long long)a->classes);
    if (out.v[0] >= CBM_MAX_DIMS)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the result would have more than %d dimensions", CBM_MAX_DIMS);
    out.v[0]++;
    out.v[out.v[0]] = a->classes;
    infer->out_shape[0] = out;
    infer->out_dtype[0] = (cbm_dtype)a->dtype;
    return true;
}

static const cbm_attribute one_hot_fields[] = {
    CBM_FIELD(cbm_one_hot_attributes, classes, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_one_hot_attributes, dtype, CBM_ATTRIBUTE_DTYPE, false),
};
static const cbm_one_hot_attributes five = { 5, CBM_F64 }, three = { 3, CBM_I64 };
static const cbm_sample one_hot_samples[] = {
    { .n_in = 1, .in = { CBM_INDICES(0, 4, 6) }, .attributes = &five },
    { .n_in = 1, .in = { CBM_INDICES(0, 2, 2, 3) }, .attributes = &three },
    { .n_in = 1, .in = { { CBM_DIMS(4), CBM_I32, 0, 4, false } }, .attributes = &five },
    { .n_in = 1, .in = { { CBM_DIMS(4), CBM_U8, 0, 4, false } }, .attributes = &five },
    { .n_in = 1, .in = { { CBM_DIMS(), CBM_I64, 0, 4, false } }, .attributes = &five },
    { .n_in = 1, .in = { CBM_INDICES(0, 4, 0) }, .attributes = &five },
};
static const cbm_op one_hot_op = {
    CBM_OP_RECORD("one_hot"),
    .formula = "y[.., c] = 1 where the index is c, else 0",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .attributes_size = sizeof(cbm_one_hot_attributes),
    .attributes = one_hot_fields,
    .n_attributes = CBM_COUNTOF(one_hot_fields),
    .infer = one_hot_infer,
    CBM_SAMPLES(one_hot_samples),
};

/* ---- gather, scatter_add ---- */
static const cbm_attribute axis_fields[] = {
    CBM_FIELD(cbm_axis_attributes, axis, CBM_ATTRIBUTE_INT, false),
};

static bool gather_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[1];
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_index_fits(infer);
}

static bool scatter_add_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    if (infer->in_dtype[2] != infer->in_dtype[0])
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "x holds %s, source %s. HINT: convert one with cbm_cast",
                              cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(infer->in_dtype[2]));
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "no sums of bool. HINT: convert it with cbm_cast");
    return cbm_rule_index_fits(infer) && cbm_rule_shape(infer, 2, "source", &infer->in_shape[1]);
}

static void gather_vjp(cbm_vjp *v)
{
    v->in_gradient[0] =
        cbm_apply3(&cbm_op_scatter_add, cbm_zeros_like(v->in[0]), v->in[1], v->out_gradient[0], v->attributes);
}

static void scatter_add_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
    if (v->needed[2])
        v->in_gradient[2] = cbm_apply2(&cbm_op_gather, v->out_gradient[0], v->in[1], v->attributes);
}

static const cbm_axis_attributes axis_0 = { 0 }, axis_1 = { 1 }, axis_2 = { 2 };
static const cbm_sample gather_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 3, 3, 2) }, .attributes = &axis_1 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 2, 6, 3) }, .attributes = &axis_0 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3, 5), CBM_INDICES(0, 4, 2, 1, 7) }, .attributes = &axis_2 },
    { .n_in = 2,
      .in = { CBM_FLOATS(-2, 2, 2, 3, 5), { CBM_DIMS(2, 4, 5), CBM_I32, 0, 2, false } },
      .attributes = &axis_1 },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 3, 0, 2) }, .attributes = &axis_1 },
    { .n_in = 2, .in = { CBM_INDICES(-9, 9, 7), CBM_INDICES(0, 6, 4) }, .attributes = &axis_0 },
};
const cbm_sample cbm_scatter_samples[5] = {
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 3, 3, 2), CBM_FLOATS(-2, 2, 3, 2) },
      .attributes = &axis_1 },
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 3, 4), CBM_INDICES(0, 2, 6, 3), CBM_FLOATS(-2, 2, 6, 3) },
      .attributes = &axis_0 },
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 2, 3, 5), CBM_INDICES(0, 4, 2, 1, 7), CBM_FLOATS(-2, 2, 2, 1, 7) },
      .attributes = &axis_2 },
    { .n_in = 3,
      .in = { CBM_FLOATS(-2, 2, 2, 3), { CBM_DIMS(2, 0), CBM_I32, 0, 2, false }, CBM_FLOATS(-2, 2, 2, 0) },
      .attributes = &axis_1 },
    { .n_in = 3, .in = { CBM_INDICES(-9, 9, 7), CBM_INDICES(0, 6, 9), CBM_INDICES(-9, 9, 9) }, .attributes = &axis_0 },
};

const cbm_op cbm_op_gather = {
    CBM_OP_RECORD("gather"),
    .formula = "y[i, j, k] = x[i, index[i, j, k], k] (axis 1)",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(1),
    .attributes_size = sizeof(cbm_axis_attributes),
    .attributes = axis_fields,
    .n_attributes = CBM_COUNTOF(axis_fields),
    .infer = gather_infer,
    .vjp = gather_vjp,
    .differentiable_in = 1,
    CBM_SAMPLES(gather_samples),
};
const cbm_op cbm_op_scatter_add = {
    CBM_OP_RECORD("scatter_add"),
    .formula = "x, and y[i, index[i, j, k], k] += source[i, j, k] (axis 1)",
    .n_in = 3,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(1),
    .attributes_size = sizeof(cbm_axis_attributes),
    .attributes = axis_fields,
    .n_attributes = CBM_COUNTOF(axis_fields),
    .infer = scatter_add_infer,
    .vjp = scatter_add_vjp,
    .differentiable_in = 5,
    CBM_SAMPLES(cbm_scatter_samples),
};

const cbm_op *const cbm_ops_index[] = { &one_hot_op, &cbm_op_gather, &cbm_op_scatter_add, NULL };

/* ---- public functions ---- */

cbm_tensor *cbm_one_hot(cbm_tensor *indices, int64_t classes, cbm_dtype dtype)
{
    const cbm_one_hot_attributes attributes = { classes, (int64_t)dtype };
    return cbm_apply1(&one_hot_op, indices, &attributes);
}

cbm_tensor *cbm_gather(cbm_tensor *x, int64_t axis, cbm_tensor *index)
{
    cbm_axis_attributes attributes = { 0 };
    if (!cbm_axis_of("gather", x, axis, &attributes.axis))
        return cbm_no_result(x, "gather");
    return cbm_apply2(&cbm_op_gather, x, index, &attributes);
}

cbm_tensor *cbm_scatter_add(cbm_tensor *x, int64_t axis, cbm_tensor *index, cbm_tensor *source)
{
    cbm_axis_attributes attributes = { 0 };
    if (!cbm_axis_of("scatter_add", x, axis, &attributes.axis))
        return cbm_no_result(x, "scatter_add");
    return cbm_apply3(&cbm_op_scatter_add, x, index, source, &attributes);
}
