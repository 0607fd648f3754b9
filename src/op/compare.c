/* compare.c: comparisons, where, cast: pointwise operations whose operands or results have another dtype. Rests on
   op/families.h. */
#include "op/families.h"

/* ---- comparisons: one dtype in, bool out; nothing to differentiate ---- */
static bool compare_infer(cbm_infer *infer)
{
    if (!cbm_rule_pointwise_dtype(infer, 0) || !cbm_rule_broadcast(infer, 0))
        return false;
    infer->out_dtype[0] = CBM_BOOL;
    return true;
}

static const cbm_sample compare_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3), CBM_FLOATS(-2, 2, 2, 3) } },
    { .n_in = 2, .in = { CBM_INDICES(0, 3, 4, 5), CBM_INDICES(0, 3, 5) } },
    { .n_in = 2, .in = { { CBM_DIMS(3, 1), CBM_U8, 0, 3, false }, { CBM_DIMS(1, 7), CBM_U8, 0, 3, false } } },
    { .n_in = 2, .in = { { CBM_DIMS(9), CBM_BOOL, 0, 1, false }, { CBM_DIMS(9), CBM_BOOL, 0, 1, false } } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 0, 3), CBM_FLOAT(-2, 2) } },
};

#define COMPARISON(name_, sign_)                                                                                       \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = "a " sign_ " b", .n_in = 2, .n_out = 1, .infer = compare_infer,               \
                              .expression = "a " sign_ " b", CBM_SAMPLES(compare_samples)                              \
    }
static const cbm_op equal_op = COMPARISON("equal", "==");
static const cbm_op not_equal_op = COMPARISON("not_equal", "!=");
static const cbm_op less_op = COMPARISON("less", "<");
static const cbm_op less_equal_op = COMPARISON("less_equal", "<=");
static const cbm_op greater_op = COMPARISON("greater", ">");
static const cbm_op greater_equal_op = COMPARISON("greater_equal", ">=");

/* ---- where ---- */
static bool where_infer(cbm_infer *infer)
{
    if (infer->in_dtype[0] != CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                              "the condition must hold bool, not %s. HINT: a comparison such as cbm_greater gives bool",
                              cbm_dtype_name(infer->in_dtype[0]));
    return cbm_rule_pointwise_dtype(infer, 1) && cbm_rule_broadcast(infer, 0);
}

static void where_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0], *zero = cbm_number_like(g, 0);
    if (v->needed[1])
        v->in_gradient[1] = cbm_where(v->in[0], g, zero);
    if (v->needed[2])
        v->in_gradient[2] = cbm_where(v->in[0], zero, g);
}

#define CONDITION(...)                                                                                                 \
    {                                                                                                                  \
        CBM_DIMS(__VA_ARGS__), CBM_BOOL, 0, 1, false                                                                   \
    }
static const cbm_sample where_samples[] = {
    { .n_in = 3, .in = { CONDITION(2, 3), CBM_FLOATS(-2, 2, 2, 3), CBM_FLOATS(-2, 2, 2, 3) } },
    { .n_in = 3, .in = { CONDITION(4, 1), CBM_FLOATS(-2, 2, 5), CBM_FLOAT(-2, 2) } },
    { .n_in = 3, .in = { CONDITION(), CBM_FLOATS(-2, 2, 2, 1), CBM_FLOATS(-2, 2, 1, 3) } },
    { .n_in = 3, .in = { CONDITION(0, 3), CBM_FLOATS(-2, 2, 3), CBM_FLOATS(-2, 2, 3) } },
    { .n_in = 3, .in = { CONDITION(6), CBM_INDICES(-9, 9, 6), CBM_INDICES(-9, 9, 6) } },
};
static const cbm_op where_op = {
    CBM_OP_RECORD("where"),
    .formula = "condition ? a : b",
    .n_in = 3,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0),
    .infer = where_infer,
    .expression = "select(a, b, c)",
    .vjp = where_vjp,
    .differentiable_in = 6,
    CBM_SAMPLES(where_samples),
};

/* ---- cast ---- */
static bool cast_infer(cbm_infer *infer)
{
    const cbm_cast_attributes *a = infer->attributes;
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = (cbm_dtype)a->dtype;
    return cbm_rule_dtype(infer, a->dtype);
}

static void cast_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_cast(v->out_gradient[0], cbm_tensor_dtype(v->in[0]));
}

static const cbm_attribute cast_fields[] = {
    CBM_FIELD(cbm_cast_attributes, dtype, CBM_ATTRIBUTE_DTYPE, false),
};
static const cbm_cast_attributes to_f64 = { CBM_F64 }, to_f32 = { CBM_F32 }, to_i64 = { CBM_I64 }, to_i32 = { CBM_I32 },
                                 to_u8 = { CBM_U8 }, to_bool = { CBM_BOOL };
static const cbm_sample cast_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) }, .attributes = &to_f64 },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 4) }, .attributes = &to_f64 },
    { .n_in = 1, .in = { CBM_INDICES(-9, 9, 4, 1) }, .attributes = &to_f32 },
    { .n_in = 1, .in = { { CBM_DIMS(40), CBM_U8, 0, 255, false } }, .attributes = &to_f32 },
    { .n_in = 1, .in = { CBM_FLOATS(-9, 9, 40) }, .attributes = &to_i64 },
    { .n_in = 1, .in = { CBM_FLOATS(-9, 9, 40) }, .attributes = &to_i32 },
    { .n_in = 1, .in = { CBM_FLOATS(0, 200, 40) }, .attributes = &to_u8 },
    { .n_in = 1, .in = { CBM_INDICES(0, 2, 0, 7) }, .attributes = &to_i32 },
    { .n_in = 1, .in = { CBM_INDICES(0, 2, 17) }, .attributes = &to_bool },
};
const cbm_op cbm_op_cast = {
    CBM_OP_RECORD("cast"),
    .formula = "x in another element type",
    .n_in = 1,
    .n_out = 1,
    .attributes_size = sizeof(cbm_cast_attributes),
    .attributes = cast_fields,
    .n_attributes = CBM_COUNTOF(cast_fields),
    .infer = cast_infer,
    .expression = "cast(a)",
    .autocast = CBM_AUTOCAST_NONE,
    .vjp = cast_vjp,
    CBM_SAMPLES(cast_samples),
};

const cbm_op *const cbm_ops_compare[] = {
    &equal_op, &not_equal_op, &less_op, &less_equal_op, &greater_op, &greater_equal_op, &where_op, &cbm_op_cast, NULL,
};

cbm_tensor *cbm_equal(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&equal_op, a, b, NULL);
}

cbm_tensor *cbm_not_equal(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&not_equal_op, a, b, NULL);
}

cbm_tensor *cbm_less(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&less_op, a, b, NULL);
}

cbm_tensor *cbm_less_equal(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&less_equal_op, a, b, NULL);
}

cbm_tensor *cbm_greater(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&greater_op, a, b, NULL);
}

cbm_tensor *cbm_greater_equal(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&greater_equal_op, a, b, NULL);
}

cbm_tensor *cbm_equal_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&equal_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_not_equal_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&not_equal_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_less_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&less_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_less_equal_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&less_equal_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_greater_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&greater_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_greater_equal_scalar(cbm_tensor *x, double value)
{
    return cbm_apply2(&greater_equal_op, x, cbm_number_like(x, value), NULL);
}

cbm_tensor *cbm_where(cbm_tensor *condition, cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply3(&where_op, condition, a, b, NULL);
}

cbm_tensor *cbm_cast(cbm_tensor *x, cbm_dtype dtype)
{
    const cbm_cast_attributes attributes = { (int64_t)dtype };
    if (x != NULL && !cbm_tensor_failed(x) && cbm_tensor_dtype(x) == dtype)
        return x;
    return cbm_apply1(&cbm_op_cast, x, &attributes);
}
