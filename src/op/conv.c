/* conv.c: convolution in one to three dimensions and its two gradients. The three are bilinear, so each one's gradients are
   written with the other two, to any order. Rests on op/families.h and conv_samples.h. */
#include "op/conv_samples.h"
#include "op/families.h"

#define LARGEST ((int64_t)1 << 31) /* of strides, paddings, dilations, extents: sums and products stay within 64 bits */

static const char *const picture[] = { "(N, C, L)", "(N, C, H, W)", "(N, C, D, H, W)" };
static const char *const filter[] = { "(O, C / groups, K)", "(O, C / groups, Kh, Kw)", "(O, C / groups, Kd, Kh, Kw)" };

static bool list_fits(const cbm_shape *s, int64_t n, int64_t low)
{
    bool fits = s->v[0] == n;
    for (int64_t i = 1; fits && i <= n; i++)
        fits = s->v[i] >= low && s->v[i] < LARGEST;
    return fits;
}

bool cbm_conv_lists_fit(cbm_infer *infer, int64_t n, const cbm_shape *stride, const cbm_shape *padding,
                        const cbm_shape *dilation)
{
    if (list_fits(stride, n, 1) && list_fits(dilation, n, 1) && list_fits(padding, n, 0))
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_INVALID, "strides and dilations must be at least 1, paddings at least 0");
}

/* Checks input and weight shapes against each other in n dimensions; gives the result's shape. */
static bool conv_shape(cbm_infer *infer, int64_t n, cbm_shape *y)
{
    char tx[160], tw[160];
    const cbm_conv_attributes *a = infer->attributes;
    const cbm_shape *x = &a->input_shape, *w = &a->weight_shape;
    cbm_shape_text(x, tx, sizeof tx);
    cbm_shape_text(w, tw, sizeof tw);
    if (x->v[0] != n + 2 || w->v[0] != n + 2)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "x %s and weight %s must have %lld dimensions: %s and %s. HINT: cbm_reshape", tx, tw,
                              (long long)n + 2, picture[n - 1], filter[n - 1]);
    if (!cbm_conv_lists_fit(infer, n, &a->stride, &a->padding, &a->dilation))
        return false;
    bool extents = a->groups >= 1;
    for (int64_t i = 1; i <= n + 2; i++)
        extents = extents && w->v[i] >= 1;
    if (!extents)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "groups (%lld) and weight's extents %s must be at least 1",
                              (long long)a->groups, tw);
    if (x->v[2] % a->groups != 0 || w->v[1] % a->groups != 0 || x->v[2] / a->groups != w->v[2])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "x %s has %lld channels, but weight %s with %lld groups takes %lld", tx,
                              (long long)x->v[2], tw, (long long)a->groups, (long long)(w->v[2] * a->groups));
    *y = (cbm_shape){ { n + 2, x->v[1], w->v[1] } };
    for (int64_t i = 1; i <= n; i++) {
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

/* One record of each for every number of dimensions. */
#define DIMENSIONS 3
static const cbm_op forward_ops[DIMENSIONS], input_grad_ops[DIMENSIONS], weight_grad_ops[DIMENSIONS];

static int64_t dimensions_of(const cbm_op *op, const cbm_op *ops)
{
    return op - ops + 1;
}

/* Once the shape rule has been passed, the lists say it too. */
static const cbm_op *sibling(const cbm_op *ops, const void *attributes)
{
    return &ops[((const cbm_conv_attributes *)attributes)->stride.v[0] - 1];
}

const cbm_op *cbm_conv_input_grad_op(int64_t dimensions)
{
    return &input_grad_ops[dimensions - 1];
}

/* ---- y = conv(x, weight) + bias ---- */
static bool forward_infer(cbm_infer *infer)
{
    const cbm_conv_attributes *a = infer->attributes;
    if (infer->n_in != 2 && infer->n_in != 3)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "takes x, weight and perhaps a bias");
    if (infer->n_in == 3 && infer->in_dtype[0] == CBM_BF16 && infer->in_dtype[2] == CBM_F32)
        infer->in_dtype[2] = CBM_BF16; /* added to sums that are f32 anyway */
    if (!cbm_rule_same_dtype(infer, 0) || !cbm_rule_floating(infer, 0) ||
        !cbm_rule_shape(infer, 0, "x", &a->input_shape) || !cbm_rule_shape(infer, 1, "weight", &a->weight_shape) ||
        !conv_shape(infer, dimensions_of(infer->op, forward_ops), &infer->out_shape[0]))
        return false;
    const cbm_shape bias = { { 1, a->weight_shape.v[1] } };
    return infer->n_in == 2 || cbm_rule_shape(infer, 2, "bias", &bias);
}

static void forward_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    if (v->needed[0])
        v->in_gradient[0] = cbm_apply2(sibling(input_grad_ops, v->attributes), g, v->in[1], v->attributes);
    if (v->needed[1])
        v->in_gradient[1] = cbm_apply2(sibling(weight_grad_ops, v->attributes), v->in[0], g, v->attributes);
    if (v->n_in == 3 && v->needed[2])
        v->in_gradient[2] = cbm_sum_over(g, cbm_axes_but_channels(cbm_tensor_rank(g)), false);
}

/* ---- its gradients ---- */
static bool input_grad_infer(cbm_infer *infer)
{
    const cbm_conv_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->input_shape;
    return cbm_rule_same_dtype(infer, 0) && cbm_rule_floating(infer, 0) &&
           conv_shape(infer, dimensions_of(infer->op, input_grad_ops), &y) && cbm_rule_shape(infer, 0, "g", &y) &&
           cbm_rule_shape(infer, 1, "weight", &a->weight_shape);
}

static bool weight_grad_infer(cbm_infer *infer)
{
    const cbm_conv_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->weight_shape;
    return cbm_rule_same_dtype(infer, 0) && cbm_rule_floating(infer, 0) &&
           conv_shape(infer, dimensions_of(infer->op, weight_grad_ops), &y) &&
           cbm_rule_shape(infer, 0, "x", &a->input_shape) && cbm_rule_shape(infer, 1, "g", &y);
}

static void input_grad_vjp(cbm_vjp *v)
{
    cbm_tensor *h = v->out_gradient[0]; /* of x's shape */
    if (v->needed[0])
        v->in_gradient[0] = cbm_apply2(sibling(forward_ops, v->attributes), h, v->in[1], v->attributes);
    if (v->needed[1])
        v->in_gradient[1] = cbm_apply2(sibling(weight_grad_ops, v->attributes), h, v->in[0], v->attributes);
}

static void weight_grad_vjp(cbm_vjp *v)
{
    cbm_tensor *h = v->out_gradient[0]; /* of weight's shape */
    if (v->needed[0])
        v->in_gradient[0] = cbm_apply2(sibling(input_grad_ops, v->attributes), v->in[1], h, v->attributes);
    if (v->needed[1])
        v->in_gradient[1] = cbm_apply2(sibling(forward_ops, v->attributes), v->in[0], h, v->attributes);
}

/* ---- cost, records ---- */

/* Each of the N O H' W' sums has C / groups Kh Kw products; the gradients do the same work. */
static void conv_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_conv_attributes *a = shapes->attributes;
    const cbm_shape *x = &a->input_shape, *w = &a->weight_shape;
    double sums = (double)x->v[1] * (double)w->v[1], products = (double)w->v[2];
    for (int64_t i = 1; i <= a->stride.v[0]; i++) {
        sums *=
            (double)((x->v[2 + i] + 2 * a->padding.v[i] - a->dilation.v[i] * (w->v[2 + i] - 1) - 1) / a->stride.v[i] +
                     1);
        products *= (double)w->v[2 + i];
    }
    cost->flops = 2 * sums * products;
    cost->bytes = (double)shapes->out[0].count * (double)cbm_dtype_size(shapes->out[0].dtype);
    for (size_t i = 0; i < shapes->n_in; i++)
        cost->bytes += (double)shapes->in[i].count * (double)cbm_dtype_size(shapes->in[i].dtype);
}

static const cbm_attribute conv_fields[] = {
    CBM_FIELD(cbm_conv_attributes, stride, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_conv_attributes, padding, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_conv_attributes, dilation, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_conv_attributes, groups, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_conv_attributes, input_shape, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_conv_attributes, weight_shape, CBM_ATTRIBUTE_SHAPE, false),
};

#define CONVOLUTION(name_, formula_, n_in_, infer_, vjp_, samples_)                                                    \
    {                                                                                                                  \
        CBM_OP_RECORD(name_),                                                                                          \
            .formula = (formula_), .n_in = (n_in_), .n_out = 1, .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),            \
            .attributes_size = sizeof(cbm_conv_attributes), .attributes = conv_fields,                                 \
            .n_attributes = CBM_COUNTOF(conv_fields), .infer = (infer_), .vjp = (vjp_), .cost = conv_cost,             \
            .autocast = CBM_AUTOCAST_PRODUCT, CBM_SAMPLES(samples_)                                                    \
    }
#define FORWARD(n_, places_, taps_)                                                                                    \
    CONVOLUTION("conv" #n_ "d",                                                                                        \
                "y[n, o, " places_ "] = bias[o] + sum over c, " taps_                                                  \
                " of x[n, c, i stride + p dilation - padding, ..] weight[o, c, " taps_ "]",                            \
                -1, forward_infer, forward_vjp, conv##n_##d_samples)
#define INPUT_GRAD(n_)                                                                                                 \
    CONVOLUTION("conv" #n_ "d_input_grad", "d(sum of g * conv" #n_ "d(x, weight)) / dx", 2, input_grad_infer,          \
                input_grad_vjp, conv##n_##d_input_grad_samples)
#define WEIGHT_GRAD(n_)                                                                                                \
    CONVOLUTION("conv" #n_ "d_weight_grad", "d(sum of g * conv" #n_ "d(x, weight)) / dweight", 2, weight_grad_infer,   \
                weight_grad_vjp, conv##n_##d_weight_grad_samples)
static const cbm_op forward_ops[DIMENSIONS] = { FORWARD(1, "i", "p"), FORWARD(2, "i, j", "p, q"),
                                                FORWARD(3, "i, j, k", "p, q, r") };
static const cbm_op input_grad_ops[DIMENSIONS] = { INPUT_GRAD(1), INPUT_GRAD(2), INPUT_GRAD(3) };
static const cbm_op weight_grad_ops[DIMENSIONS] = { WEIGHT_GRAD(1), WEIGHT_GRAD(2), WEIGHT_GRAD(3) };

const cbm_op *const cbm_ops_conv[] = {
    &forward_ops[1],     &input_grad_ops[1], &weight_grad_ops[1], &forward_ops[0],     &input_grad_ops[0],
    &weight_grad_ops[0], &forward_ops[2],    &input_grad_ops[2],  &weight_grad_ops[2], NULL,
};

/* ---- public functions ---- */

/* "same": the result is as long as x. Where the zeros are uneven the one more comes last: the convolution gets as many at
   both ends, and its first results are left out. */
static bool same_padding(cbm_infer *infer, cbm_conv_attributes *a, bool *uneven)
{
    const int64_t n = a->stride.v[0];
    a->padding = (cbm_shape){ { n } };
    for (int64_t i = 1; i <= n; i++) {
        const int64_t zeros = a->dilation.v[i] * (a->weight_shape.v[2 + i] - 1);
        if (a->stride.v[i] != 1)
            return cbm_infer_fail(infer, CBM_ERROR_INVALID, "same needs strides of 1, not %lld",
                                  (long long)a->stride.v[i]);
        a->padding.v[i] = (zeros + 1) / 2;
        uneven[i] = zeros % 2 != 0;
    }
    return true;
}

static cbm_tensor *convolve(int64_t n, cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                            const cbm_conv_options *options)
{
    cbm_tensor *const in[] = { x, weight, bias };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_context *cx = cbm_context_of(in, 3);
    const cbm_op *op = &forward_ops[n - 1];
    cbm_conv_options o = { .struct_size = sizeof o, .groups = 1 };
    bool uneven[1 + DIMENSIONS] = { false };
    cbm_read_options(&o, sizeof o, options);
    cbm_conv_attributes a = { .groups = o.groups };
    if (!cbm_spatial(&o.stride, n, 1, &a.stride) || !cbm_spatial(&o.padding, n, 0, &a.padding) ||
        !cbm_spatial(&o.dilation, n, 1, &a.dilation))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] stride, padding and dilation take %s", op->name,
                               cbm_spatial_text(n));
    if (x != NULL && weight != NULL) {
        a.input_shape = cbm_tensor_shape(x);
        a.weight_shape = cbm_tensor_shape(weight);
    }
    cbm_infer infer = { .op = op, .attributes = &a, .cx = cx };
    if (o.same && a.weight_shape.v[0] == n + 2 &&
        (!cbm_conv_lists_fit(&infer, n, &a.stride, &a.padding, &a.dilation) || !same_padding(&infer, &a, uneven)))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] no result", op->name);
    cbm_tensor *y = cbm_apply(cx, op, in, bias != NULL ? 3 : 2, &a, out);
    for (int64_t i = 1; i <= n; i++)
        if (uneven[i])
            y = cbm_slice(y, 1 + i, 1, INT64_MAX, 1);
    return y;
}

cbm_tensor *cbm_conv1d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias, const cbm_conv_options *options)
{
    return convolve(1, x, weight, bias, options);
}

cbm_tensor *cbm_conv2d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias, const cbm_conv_options *options)
{
    return convolve(2, x, weight, bias, options);
}

cbm_tensor *cbm_conv3d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias, const cbm_conv_options *options)
{
    return convolve(3, x, weight, bias, options);
}
