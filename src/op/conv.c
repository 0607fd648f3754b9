/* conv.c: 2-D convolution and its two gradients. The three are bilinear, so each one's gradients are written with the
   other two, to any order. Rests on op/families.h. */
#include "op/families.h"

#define LARGEST ((int64_t)1 << 31) /* of strides, paddings, dilations, extents: sums and products stay within 64 bits */

static bool canonical_pair(const cbm_shape *s, int64_t low)
{
    return s->v[0] == 2 && s->v[1] >= low && s->v[2] >= low && s->v[1] < LARGEST && s->v[2] < LARGEST;
}

/* Checks input and weight shapes against each other; gives the result's shape. */
static bool conv_shape(cbm_infer *infer, cbm_shape *y)
{
    char tx[160], tw[160];
    const cbm_conv2d_attributes *a = infer->attributes;
    const cbm_shape *x = &a->input_shape, *w = &a->weight_shape;
    if (x->v[0] != 4 || w->v[0] != 4)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "x %s and weight %s must have 4 dimensions: (N, C, H, W) and (O, C / groups, Kh, Kw). "
                              "HINT: cbm_reshape",
                              cbm_shape_text(x, tx, sizeof tx), cbm_shape_text(w, tw, sizeof tw));
    cbm_shape_text(x, tx, sizeof tx);
    cbm_shape_text(w, tw, sizeof tw);
    if (!canonical_pair(&a->stride, 1) || !canonical_pair(&a->dilation, 1) || !canonical_pair(&a->padding, 0))
        return cbm_infer_fail(infer, CBM_ERROR_INVALID,
                              "strides and dilations must be at least 1, paddings at least 0");
    if (a->groups < 1 || w->v[1] < 1 || w->v[2] < 1 || w->v[3] < 1 || w->v[4] < 1)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "groups (%lld) and weight's extents %s must be at least 1",
                              (long long)a->groups, tw);
    if (x->v[2] % a->groups != 0 || w->v[1] % a->groups != 0 || x->v[2] / a->groups != w->v[2])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "x %s has %lld channels, but weight %s with %lld groups takes %lld", tx,
                              (long long)x->v[2], tw, (long long)a->groups, (long long)(w->v[2] * a->groups));
    *y = (cbm_shape){ { 4, x->v[1], w->v[1] } };
    for (int i = 1; i <= 2; i++) {
        const int64_t size = x->v[2 + i], kernel = w->v[2 + i];
        if (size >= LARGEST || kernel >= LARGEST)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x %s or weight %s is too large", tx, tw);
        const int64_t reach = a->dilation.v[i] * (kernel - 1) + 1, padded = size + 2 * a->padding.v[i];
        if (padded < reach)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                                  "the kernel reaches over %lld elements, but x %s with its padding has only %lld",
                                  (long long)reach, tx, (long long)padded);
        y->v[2 + i] = (padded - reach) / a->stride.v[i] + 1;
    }
    return true;
}

/* ---- conv2d ---- */
static bool conv2d_infer(cbm_infer *infer)
{
    const cbm_conv2d_attributes *a = infer->attributes;
    if (infer->n_in != 2 && infer->n_in != 3)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "takes x, weight and perhaps a bias");
    if (infer->n_in == 3 && infer->in_dtype[0] == CBM_BF16 && infer->in_dtype[2] == CBM_F32)
        infer->in_dtype[2] = CBM_BF16; /* added to sums that are f32 anyway */
    if (!cbm_rule_same_dtype(infer, 0) || !cbm_rule_floating(infer, 0) ||
        !cbm_rule_shape(infer, 0, "x", &a->input_shape) || !cbm_rule_shape(infer, 1, "weight", &a->weight_shape) ||
        !conv_shape(infer, &infer->out_shape[0]))
        return false;
    const cbm_shape bias = { { 1, a->weight_shape.v[1] } };
    return infer->n_in == 2 || cbm_rule_shape(infer, 2, "bias", &bias);
}

static const cbm_op conv2d_op, input_grad_op, weight_grad_op;

static void conv2d_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    if (v->needed[0])
        v->in_gradient[0] = cbm_apply2(&input_grad_op, g, v->in[1], v->attributes);
    if (v->needed[1])
        v->in_gradient[1] = cbm_apply2(&weight_grad_op, v->in[0], g, v->attributes);
    if (v->n_in == 3 && v->needed[2])
        v->in_gradient[2] = cbm_sum_over(g, (cbm_shape){ { 3, 0, 2, 3 } }, false);
}

/* ---- its gradients ---- */
static bool input_grad_infer(cbm_infer *infer)
{
    const cbm_conv2d_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->input_shape;
    return cbm_rule_same_dtype(infer, 0) && cbm_rule_floating(infer, 0) && conv_shape(infer, &y) &&
           cbm_rule_shape(infer, 0, "g", &y) && cbm_rule_shape(infer, 1, "weight", &a->weight_shape);
}

static bool weight_grad_infer(cbm_infer *infer)
{
    const cbm_conv2d_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->weight_shape;
    return cbm_rule_same_dtype(infer, 0) && cbm_rule_floating(infer, 0) && conv_shape(infer, &y) &&
           cbm_rule_shape(infer, 0, "x", &a->input_shape) && cbm_rule_shape(infer, 1, "g", &y);
}

static void input_grad_vjp(cbm_vjp *v)
{
    cbm_tensor *h = v->out_gradient[0]; /* of x's shape */
    if (v->needed[0])
        v->in_gradient[0] = cbm_apply2(&conv2d_op, h, v->in[1], v->attributes);
    if (v->needed[1])
        v->in_gradient[1] = cbm_apply2(&weight_grad_op, h, v->in[0], v->attributes);
}

static void weight_grad_vjp(cbm_vjp *v)
{
    cbm_tensor *h = v->out_gradient[0]; /* of weight's shape */
    if (v->needed[0])
        v->in_gradient[0] = cbm_apply2(&input_grad_op, v->in[1], h, v->attributes);
    if (v->needed[1])
        v->in_gradient[1] = cbm_apply2(&conv2d_op, v->in[0], h, v->attributes);
}

/* ---- cost, samples, records ---- */

/* Each of the N O H' W' sums has C / groups Kh Kw products; the gradients do the same work. */
static void conv_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_conv2d_attributes *a = shapes->attributes;
    const cbm_shape *x = &a->input_shape, *w = &a->weight_shape;
    double sums = (double)x->v[1] * (double)w->v[1];
    for (int i = 1; i <= 2; i++)
        sums *=
            (double)((x->v[2 + i] + 2 * a->padding.v[i] - a->dilation.v[i] * (w->v[2 + i] - 1) - 1) / a->stride.v[i] +
                     1);
    cost->flops = 2 * sums * (double)(w->v[2] * w->v[3] * w->v[4]);
    cost->bytes = (double)shapes->out[0].count * (double)cbm_dtype_size(shapes->out[0].dtype);
    for (size_t i = 0; i < shapes->n_in; i++)
        cost->bytes += (double)shapes->in[i].count * (double)cbm_dtype_size(shapes->in[i].dtype);
}

static const cbm_attribute conv_fields[] = {
    CBM_FIELD(cbm_conv2d_attributes, stride, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_conv2d_attributes, padding, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_conv2d_attributes, dilation, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_conv2d_attributes, groups, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_conv2d_attributes, input_shape, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_conv2d_attributes, weight_shape, CBM_ATTRIBUTE_SHAPE, false),
};

/* One line a case: stride, padding, dilation, groups, x, weight, y, number of outputs (the bias). */
#define PLAIN_X 2, 3, 5, 6
#define PLAIN_W 4, 3, 3, 3
#define PLAIN_Y 2, 4, 3, 4
#define MIXED_X 1, 2, 7, 8
#define MIXED_W 3, 2, 3, 2
#define MIXED_Y 1, 3, 4, 5
#define DILATED_X 2, 2, 7, 6
#define DILATED_W 2, 2, 2, 3
#define DILATED_Y 2, 2, 7, 4
#define GROUPED_X 2, 4, 5, 5
#define GROUPED_W 6, 2, 3, 3
#define GROUPED_Y 2, 6, 5, 5
#define DEPTH_X 1, 3, 6, 6
#define DEPTH_W 3, 1, 3, 3
#define DEPTH_Y 1, 3, 3, 3
#define POINT_X 2, 3, 4, 1
#define POINT_W 5, 3, 1, 1
#define POINT_Y 2, 5, 4, 1
#define SKIP_X 1, 1, 6, 6
#define SKIP_W 1, 1, 1, 2
#define SKIP_Y 1, 1, 2, 2
#define EMPTY_X 0, 2, 4, 4
#define EMPTY_W 3, 2, 3, 3
#define EMPTY_Y 0, 3, 2, 2
/* Stacks of channels as wide as vector registers, for the fast kernels. */
#define WIDE_X 2, 32, 9, 9
#define WIDE_W 16, 32, 3, 3
#define WIDE_Y 2, 16, 9, 9

#define CASE(stride_, padding_, dilation_, groups_, name_)                                                             \
    {                                                                                                                  \
        CBM_DIMS stride_, CBM_DIMS padding_, CBM_DIMS dilation_, groups_, CBM_DIMS(name_##_X), CBM_DIMS(name_##_W)     \
    }
static const cbm_conv2d_attributes plain = CASE((1, 1), (0, 0), (1, 1), 1, PLAIN);
static const cbm_conv2d_attributes mixed = CASE((2, 2), (1, 1), (1, 1), 1, MIXED);
static const cbm_conv2d_attributes dilated = CASE((1, 2), (1, 2), (2, 1), 1, DILATED);
static const cbm_conv2d_attributes grouped = CASE((1, 1), (1, 1), (1, 1), 2, GROUPED);
static const cbm_conv2d_attributes depthwise = CASE((2, 2), (1, 1), (1, 1), 3, DEPTH);
static const cbm_conv2d_attributes pointwise = CASE((1, 1), (0, 0), (1, 1), 1, POINT);
static const cbm_conv2d_attributes skipping = CASE((3, 4), (0, 0), (1, 1), 1, SKIP);
static const cbm_conv2d_attributes empty = CASE((1, 1), (0, 0), (1, 1), 1, EMPTY);
static const cbm_conv2d_attributes wide = CASE((1, 1), (1, 1), (1, 1), 1, WIDE);

#define F(...) CBM_FLOATS(-1, 1, __VA_ARGS__)
#define CONV(a_, name_)                                                                                                \
    {                                                                                                                  \
        .n_in = 2, .in = { F(name_##_X), F(name_##_W) }, .attributes = &(a_)                                           \
    }
#define CONV_BIAS(a_, name_, o_)                                                                                       \
    {                                                                                                                  \
        .n_in = 3, .in = { F(name_##_X), F(name_##_W), F(o_) }, .attributes = &(a_)                                    \
    }
#define INPUT(a_, name_)                                                                                               \
    {                                                                                                                  \
        .n_in = 2, .in = { F(name_##_Y), F(name_##_W) }, .attributes = &(a_)                                           \
    }
#define WEIGHT(a_, name_)                                                                                              \
    {                                                                                                                  \
        .n_in = 2, .in = { F(name_##_X), F(name_##_Y) }, .attributes = &(a_)                                           \
    }
static const cbm_sample conv2d_samples[] = {
    CONV(plain, PLAIN),
    CONV_BIAS(plain, PLAIN, 4),
    CONV_BIAS(mixed, MIXED, 3),
    CONV(dilated, DILATED),
    CONV_BIAS(grouped, GROUPED, 6),
    CONV(depthwise, DEPTH),
    CONV_BIAS(pointwise, POINT, 5),
    CONV(skipping, SKIP),
    CONV_BIAS(empty, EMPTY, 3),
    CONV(wide, WIDE),
};
static const cbm_sample input_grad_samples[] = {
    INPUT(plain, PLAIN),     INPUT(mixed, MIXED),     INPUT(dilated, DILATED),
    INPUT(grouped, GROUPED), INPUT(depthwise, DEPTH), INPUT(pointwise, POINT),
    INPUT(skipping, SKIP),   INPUT(empty, EMPTY),     INPUT(wide, WIDE),
};
static const cbm_sample weight_grad_samples[] = {
    WEIGHT(plain, PLAIN),     WEIGHT(mixed, MIXED),     WEIGHT(dilated, DILATED),
    WEIGHT(grouped, GROUPED), WEIGHT(depthwise, DEPTH), WEIGHT(pointwise, POINT),
    WEIGHT(skipping, SKIP),   WEIGHT(empty, EMPTY),     WEIGHT(wide, WIDE),
};

#define CONVOLUTION(name_, formula_, n_in_, infer_, vjp_, samples_)                                                    \
    {                                                                                                                  \
        CBM_OP_RECORD(name_),                                                                                          \
            .formula = (formula_), .n_in = (n_in_), .n_out = 1, .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),            \
            .attributes_size = sizeof(cbm_conv2d_attributes), .attributes = conv_fields,                               \
            .n_attributes = CBM_COUNTOF(conv_fields), .infer = (infer_), .vjp = (vjp_), .cost = conv_cost,             \
            .autocast = CBM_AUTOCAST_PRODUCT, CBM_SAMPLES(samples_)                                                    \
    }
static const cbm_op conv2d_op =
    CONVOLUTION("conv2d",
                "y[n, o, i, j] = bias[o] + sum over c, p, q of x[n, c, i stride + p dilation - padding, ..] "
                "weight[o, c, p, q]",
                -1, conv2d_infer, conv2d_vjp, conv2d_samples);
static const cbm_op input_grad_op = CONVOLUTION("conv2d_input_grad", "d(sum of g * conv2d(x, weight)) / dx", 2,
                                                input_grad_infer, input_grad_vjp, input_grad_samples);
static const cbm_op weight_grad_op = CONVOLUTION("conv2d_weight_grad", "d(sum of g * conv2d(x, weight)) / dweight", 2,
                                                 weight_grad_infer, weight_grad_vjp, weight_grad_samples);

const cbm_op *const cbm_ops_conv[] = { &conv2d_op, &input_grad_op, &weight_grad_op, NULL };

cbm_tensor *cbm_conv2d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias, const cbm_conv2d_options *options)
{
    cbm_tensor *const in[] = { x, weight, bias };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_context *cx = cbm_context_of(in, 3);
    cbm_conv2d_options o = { .struct_size = sizeof o, .groups = 1 };
    cbm_read_options(&o, sizeof o, options);
    cbm_conv2d_attributes a = { .groups = o.groups };
    if (!cbm_pair(&o.stride, 1, &a.stride) || !cbm_pair(&o.padding, 0, &a.padding) ||
        !cbm_pair(&o.dilation, 1, &a.dilation))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[conv2d] stride, padding and dilation take one value or two");
    if (x != NULL && weight != NULL) {
        a.input_shape = cbm_tensor_shape(x);
        a.weight_shape = cbm_tensor_shape(weight);
    }
    return cbm_apply(cx, &conv2d_op, in, bias != NULL ? 3 : 2, &a, out);
}
