/* softmax.c: softmax and log_softmax along an axis. Rests on op/families.h. */
#include "op/families.h"

static bool axis_infer(cbm_infer *infer)
{
    const cbm_axis_attributes *a = infer->attributes;
    if (!cbm_infer_like_first(infer))
        return false;
    if (a->axis < 0 || a->axis >= infer->in_shape[0].v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is no axis %lld", (long long)a->axis);
    return true;
}

static cbm_tensor *sum_along(cbm_tensor *x, const void *attributes)
{
    const cbm_axis_attributes *a = attributes;
    return cbm_sum_over(x, (cbm_shape){ { 1, a->axis } }, true);
}

/* dx = y (g - sum(g y)) */
static void softmax_vjp(cbm_vjp *v)
{
    cbm_tensor *y = v->out[0], *gy = cbm_mul(v->out_gradient[0], y);
    v->in_gradient[0] = cbm_sub(gy, cbm_mul(y, sum_along(gy, v->attributes)));
}

/* dx = g - e^y sum(g) */
static void log_softmax_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    v->in_gradient[0] = cbm_sub(g, cbm_mul(cbm_exp(v->out[0]), sum_along(g, v->attributes)));
}

/* x less its largest along the axis, so that no exponential overflows; what is taken off is a constant. An empty axis
   has no largest, and nothing to shift. */
static cbm_tensor *shifted(cbm_tensor *x, const cbm_axis_attributes *a)
{
    const cbm_reduce_options along = { sizeof along, { { 1, a->axis } }, 1 };
    return cbm_tensor_size(x, a->axis) == 0 ? x : cbm_sub(x, cbm_detach(cbm_max_with(x, &along)));
}

static bool softmax_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                              cbm_tensor **out)
{
    (void)cx;
    (void)n;
    cbm_tensor *e = cbm_exp(shifted(in[0], attributes));
    out[0] = cbm_div(e, sum_along(e, attributes));
    return true;
}

static bool log_softmax_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                  cbm_tensor **out)
{
    (void)cx;
    (void)n;
    cbm_tensor *x = shifted(in[0], attributes);
    out[0] = cbm_sub(x, cbm_log(sum_along(cbm_exp(x), attributes)));
    return true;
}

static void axis_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *y = &shapes->out[0];
    cost->flops = 5 * (double)y->count; /* largest, difference, exponential, sum, quotient */
    cost->bytes = 2 * (double)y->count * (double)cbm_dtype_size(y->dtype);
}

static const cbm_attribute axis_fields[] = {
    CBM_FIELD(cbm_axis_attributes, axis, CBM_ATTRIBUTE_INT, false),
};
static const cbm_axis_attributes axis_0 = { 0 }, axis_1 = { 1 }, axis_2 = { 2 };
static const cbm_sample axis_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 5) }, .attributes = &axis_1 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 3, 5) }, .attributes = &axis_0 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 7, 3) }, .attributes = &axis_1 },
    { .n_in = 1, .in = { CBM_FLOATS(-9, 9, 2, 3, 37) }, .attributes = &axis_2 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 4, 1) }, .attributes = &axis_1 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 6) }, .attributes = &axis_0 },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &axis_1 },
};

#define ALONG_AXIS(name_, formula_, vjp_, decompose_)                                                                  \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1, .saves = CBM_SAVES_OUT(0),                 \
                              .attributes_size = sizeof(cbm_axis_attributes), .attributes = axis_fields,               \
                              .n_attributes = CBM_COUNTOF(axis_fields), .infer = axis_infer, .vjp = (vjp_),            \
                              .decompose = (decompose_), .cost = axis_cost, .autocast = CBM_AUTOCAST_FULL,             \
                              CBM_SAMPLES(axis_samples)                                                                \
    }
static const cbm_op softmax_op = ALONG_AXIS("softmax", "e^x / sum of e^x", softmax_vjp, softmax_decompose);
static const cbm_op log_softmax_op =
    ALONG_AXIS("log_softmax", "x - log sum of e^x", log_softmax_vjp, log_softmax_decompose);

const cbm_op *const cbm_ops_softmax[] = { &softmax_op, &log_softmax_op, NULL };

static cbm_tensor *along(const cbm_op *op, cbm_tensor *x, int64_t axis)
{
    cbm_axis_attributes attributes = { 0 };
    if (!cbm_axis_of(op->name, x, axis, &attributes.axis))
        return cbm_no_result(x, op->name);
    return cbm_apply1(op, x, &attributes);
}

cbm_tensor *cbm_softmax(cbm_tensor *x, int64_t axis)
{
    return along(&softmax_op, x, axis);
}

cbm_tensor *cbm_log_softmax(cbm_tensor *x, int64_t axis)
{
    return along(&log_softmax_op, x, axis);
}
