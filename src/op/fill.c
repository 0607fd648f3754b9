/* fill.c: scalar and full (tensors made from a number), copy, and assign (a variable's next version). Rests on
   op/families.h. */
#include "op/families.h"

/* ---- scalar, full ---- */
static bool full_infer(cbm_infer *infer)
{
    const cbm_full_attributes *a = infer->attributes;
    if (!cbm_rule_dtype(infer, a->dtype))
        return false;
    if (cbm_shape_count(&a->shape) < 0)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "not a shape: more than %d dimensions, a negative extent, or too many elements",
                              CBM_MAX_DIMS);
    infer->out_shape[0] = a->shape;
    infer->out_dtype[0] = (cbm_dtype)a->dtype;
    return true;
}

static const cbm_attribute full_fields[] = {
    CBM_FIELD(cbm_full_attributes, shape, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_full_attributes, dtype, CBM_ATTRIBUTE_DTYPE, false),
    CBM_FIELD(cbm_full_attributes, value, CBM_ATTRIBUTE_FLOAT, true),
};
static const cbm_full_attributes half = { CBM_DIMS(), CBM_F64, 0.5 };
static const cbm_full_attributes seven = { CBM_DIMS(), CBM_I64, 7 };
static const cbm_full_attributes block = { CBM_DIMS(2, 1, 3), CBM_F64, -1.5 };
static const cbm_full_attributes bytes = { CBM_DIMS(33), CBM_U8, 200 };
static const cbm_full_attributes yes = { CBM_DIMS(5), CBM_BOOL, 1 };
static const cbm_full_attributes empty = { CBM_DIMS(0, 3), CBM_F64, 1 };
static const cbm_sample scalar_samples[] = { { .attributes = &half }, { .attributes = &seven } };
static const cbm_sample full_samples[] = {
    { .attributes = &block },
    { .attributes = &bytes },
    { .attributes = &yes },
    { .attributes = &empty },
};

#define FILL(name_, formula_, samples_)                                                                                \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 0, .n_out = 1,                                            \
                              .attributes_size = sizeof(cbm_full_attributes), .attributes = full_fields,               \
                              .n_attributes = CBM_COUNTOF(full_fields), .infer = full_infer, .expression = "value",    \
                              CBM_SAMPLES(samples_)                                                                    \
    }
const cbm_op cbm_op_scalar = FILL("scalar", "value", scalar_samples);
const cbm_op cbm_op_full = FILL("full", "value everywhere", full_samples);

/* ---- copy ---- */
static bool copy_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static void copy_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
}

static const cbm_sample copy_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 3) } },
    { .n_in = 1, .in = { CBM_FLOAT(-2, 2) } },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) } },
    { .n_in = 1, .in = { { CBM_DIMS(9), CBM_BOOL, 0, 1, false } } },
};
const cbm_op cbm_op_copy = {
    CBM_OP_RECORD("copy"),
    .formula = "x, in row-major order without gaps",
    .n_in = 1,
    .n_out = 1,
    .infer = copy_infer,
    .expression = "a",
    .vjp = copy_vjp,
    CBM_SAMPLES(copy_samples),
};

/* ---- assign ---- */
static bool assign_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    if (!cbm_rule_same_dtype(infer, 0))
        return false;
    return cbm_rule_shape(infer, 1, "the new value", &infer->in_shape[0]);
}

static const cbm_sample assign_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3), CBM_FLOATS(-2, 2, 2, 3) } },
    { .n_in = 2, .in = { CBM_INDICES(-9, 9, 4), CBM_INDICES(-9, 9, 4) } },
};
const cbm_op cbm_op_assign = {
    CBM_OP_RECORD("assign"),
    .formula = "the new value, in the old one's place",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_EFFECT | CBM_OP_ASSIGN,
    .infer = assign_infer,
    .expression = "b",
    .autocast = CBM_AUTOCAST_NONE,
    CBM_SAMPLES(assign_samples),
};

const cbm_op *const cbm_ops_fill[] = { &cbm_op_scalar, &cbm_op_full, &cbm_op_copy, &cbm_op_assign, NULL };

/* ---- public ---- */
cbm_tensor *cbm_full(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double value)
{
    cbm_full_attributes a = { shape, (int64_t)dtype, value };
    for (int64_t i = shape.v[0] + 1; i > 0 && i <= CBM_MAX_DIMS; i++)
        a.shape.v[i] = 0; /* equal shapes are equal bytes */
    return cbm_apply(cx, &cbm_op_full, NULL, 0, &a, NULL);
}

cbm_tensor *cbm_zeros(cbm_context *cx, cbm_dtype dtype, cbm_shape shape)
{
    return cbm_full(cx, dtype, shape, 0);
}

cbm_tensor *cbm_ones(cbm_context *cx, cbm_dtype dtype, cbm_shape shape)
{
    return cbm_full(cx, dtype, shape, 1);
}

cbm_tensor *cbm_scalar(cbm_context *cx, cbm_dtype dtype, double value)
{
    const cbm_full_attributes a = { .dtype = (int64_t)dtype, .value = value };
    return cbm_apply(cx, &cbm_op_scalar, NULL, 0, &a, NULL);
}
