/* random.c: uniform and normal random numbers, and dropout. Each recording reserves its own stretch of the context's
   counter, so the numbers depend on the program alone. Rests on op/families.h and Philox in base/. */
#include "op/families.h"

#include <math.h>

/* ---- uniform, normal ---- */
static bool random_infer(cbm_infer *infer)
{
    const cbm_random_attributes *a = infer->attributes;
    if (!cbm_is_floating((cbm_dtype)a->dtype))
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                              "random numbers are f32, f64 or bf16. HINT: convert them with cbm_cast");
    if (cbm_shape_count(&a->shape) < 0)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "not a shape: more than %d dimensions, a negative extent, or too many elements",
                              CBM_MAX_DIMS);
    infer->out_shape[0] = a->shape;
    infer->out_dtype[0] = (cbm_dtype)a->dtype;
    return true;
}

#define RANDOM_FIELDS(a_, b_)                                                                                          \
    {                                                                                                                  \
        CBM_FIELD(cbm_random_attributes, shape, CBM_ATTRIBUTE_SHAPE, false),                                           \
            CBM_FIELD(cbm_random_attributes, dtype, CBM_ATTRIBUTE_DTYPE, false),                                       \
            { a_, CBM_ATTRIBUTE_FLOAT, offsetof(cbm_random_attributes, a), true },                                     \
            { b_, CBM_ATTRIBUTE_FLOAT, offsetof(cbm_random_attributes, b), true },                                     \
            CBM_FIELD(cbm_random_attributes, seed, CBM_ATTRIBUTE_UINT, true),                                          \
            CBM_FIELD(cbm_random_attributes, position, CBM_ATTRIBUTE_UINT, true)                                       \
    }
static const cbm_attribute uniform_fields[] = RANDOM_FIELDS("low", "high");
static const cbm_attribute normal_fields[] = RANDOM_FIELDS("mean", "deviation");

static const cbm_random_attributes matrix = { CBM_DIMS(3, 5), CBM_F64, -1, 2, 7, 1000 };
static const cbm_random_attributes single = { CBM_DIMS(), CBM_F32, 0, 1, 7, 0 };
static const cbm_random_attributes line = { CBM_DIMS(67), CBM_F32, 0.5, 0.25, 9, ((uint64_t)1 << 40) + 3 };
static const cbm_random_attributes empty = { CBM_DIMS(0, 3), CBM_F32, 0, 1, 7, 0 };
static const cbm_sample random_samples[] = {
    { .attributes = &matrix },
    { .attributes = &single },
    { .attributes = &line },
    { .attributes = &empty },
};

#define RANDOM(name_, formula_, expression_, fields_)                                                                  \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 0, .n_out = 1, .flags = CBM_OP_RANDOM,                    \
                              .attributes_size = sizeof(cbm_random_attributes), .attributes = (fields_),               \
                              .n_attributes = CBM_COUNTOF(fields_), .infer = random_infer,                             \
                              .expression = (expression_), CBM_SAMPLES(random_samples)                                 \
    }
static const cbm_op uniform_op =
    RANDOM("uniform", "low + (high - low) u, u uniform in [0, 1)", "low + (high - low) * uniform()", uniform_fields);
static const cbm_op normal_op =
    RANDOM("normal", "mean + deviation n, n standard normal", "mean + deviation * normal()", normal_fields);

/* ---- dropout ---- */
typedef struct dropout_attributes {
    double p, scale;
    uint64_t seed, position;
} dropout_attributes;

static const cbm_op dropout_op;

/* The gradient is dropped at the same places. */
static void dropout_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&dropout_op, v->out_gradient[0], v->attributes);
}

static const cbm_attribute dropout_fields[] = {
    CBM_FIELD(dropout_attributes, p, CBM_ATTRIBUTE_FLOAT, true),
    CBM_FIELD(dropout_attributes, scale, CBM_ATTRIBUTE_FLOAT, true),
    CBM_FIELD(dropout_attributes, seed, CBM_ATTRIBUTE_UINT, true),
    CBM_FIELD(dropout_attributes, position, CBM_ATTRIBUTE_UINT, true),
};
static const dropout_attributes third = { 0.25, 4.0 / 3.0, 7, 500 }, never = { 0, 1, 7, 0 }, always = { 1, 0, 7, 0 };
static const cbm_sample dropout_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 4, 9) }, .attributes = &third },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 5) }, .attributes = &never },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 5) }, .attributes = &always },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &third },
};
static const cbm_op dropout_op = {
    CBM_OP_RECORD("dropout"),
    .formula = "u < p ? 0 : x / (1 - p), u uniform in [0, 1)",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_RANDOM,
    .attributes_size = sizeof(dropout_attributes),
    .attributes = dropout_fields,
    .n_attributes = CBM_COUNTOF(dropout_fields),
    .infer = cbm_infer_floating,
    .expression = "select(uniform() < p, 0, a * scale)",
    .vjp = dropout_vjp,
    CBM_SAMPLES(dropout_samples),
};

const cbm_op *const cbm_ops_random[] = { &uniform_op, &normal_op, &dropout_op, NULL };

/* ---- public functions ---- */

static cbm_tensor *draw(cbm_context *cx, const cbm_op *op, cbm_random_attributes a)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    const int64_t count = cbm_shape_count(&a.shape);
    if (cbm_context_status(cx) == CBM_OK && count >= 0)
        cbm_random_draw(cx, count, &a.seed, &a.position);
    for (int64_t i = a.shape.v[0] + 1; i > 0 && i <= CBM_MAX_DIMS; i++)
        a.shape.v[i] = 0; /* equal shapes are equal bytes */
    return cbm_apply(cx, op, NULL, 0, &a, out);
}

cbm_tensor *cbm_uniform(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double low, double high)
{
    if (!isfinite(low) || !isfinite(high) || low > high)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[uniform] low %g and high %g are not an interval", low, high);
    return draw(cx, &uniform_op, (cbm_random_attributes){ shape, (int64_t)dtype, low, high, 0, 0 });
}

cbm_tensor *cbm_normal(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, double mean, double deviation)
{
    if (!isfinite(mean) || !isfinite(deviation) || deviation < 0)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[normal] mean %g and deviation %g make no distribution", mean,
                               deviation);
    return draw(cx, &normal_op, (cbm_random_attributes){ shape, (int64_t)dtype, mean, deviation, 0, 0 });
}

cbm_tensor *cbm_dropout_at(cbm_tensor *x, double p, uint64_t seed, uint64_t position)
{
    const dropout_attributes a = { p, p < 1 ? 1 / (1 - p) : 0, seed, position };
    return cbm_apply1(&dropout_op, x, &a);
}

cbm_tensor *cbm_dropout(cbm_tensor *x, double p)
{
    cbm_context *cx = cbm_tensor_context(x);
    uint64_t seed, position;
    if (!cbm_usable(cx, x))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[dropout] x is NULL or failed");
    if (!(p >= 0 && p <= 1))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[dropout] p = %g is not a probability", p);
    cbm_random_draw(cx, cbm_tensor_count(x), &seed, &position);
    return cbm_dropout_at(x, p, seed, position);
}
