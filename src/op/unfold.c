/* unfold.c: the patches of pictures as columns, and fold, which adds them up again: each is the other's gradient. Rests on
   op/families.h. */
#include "op/families.h"

#define LARGEST ((int64_t)1 << 31) /* of kernels, strides, extents: sums and products stay within 64 bits */

/* Checks the attributes; gives the number of places that the kernel takes, and its own elements. */
static bool places_of(cbm_infer *infer, int64_t *places, int64_t *elements)
{
    const cbm_unfold_attributes *a = infer->attributes;
    *places = *elements = 1;
    for (int i = 1; i <= 2; i++) {
        const int64_t kernel = a->kernel.v[i], stride = a->stride.v[i], dilation = a->dilation.v[i];
        const int64_t padding = a->padding.v[i], image = a->image.v[i];
        if (kernel < 1 || stride < 1 || dilation < 1 || padding < 0 || image < 0 || kernel >= LARGEST ||
            stride >= LARGEST || dilation >= LARGEST || padding >= LARGEST || image >= LARGEST)
            return cbm_infer_fail(infer, CBM_ERROR_INVALID,
                                  "kernels, strides and dilations must be at least 1, paddings and extents at least 0");
        const int64_t reach = dilation * (kernel - 1) + 1, room = image + 2 * padding;
        if (reach > room)
            return cbm_infer_fail(
                infer, CBM_ERROR_SHAPE,
                "the kernel reaches over %lld elements, but the picture with its padding has only %lld",
                (long long)reach, (long long)room);
        if (__builtin_mul_overflow(*elements, kernel, elements) ||
            __builtin_mul_overflow(*places, (room - reach) / stride + 1, places))
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the result has too many elements");
    }
    return true;
}

static bool unfold_infer(cbm_infer *infer)
{
    const cbm_unfold_attributes *a = infer->attributes;
    const cbm_shape *x = &infer->in_shape[0];
    int64_t places = 0, elements = 0;
    if (!cbm_rule_floating(infer, 0) || !cbm_rule_rank(infer, 0, "x", 4))
        return false;
    const cbm_shape want = { { 4, x->v[1], x->v[2], a->image.v[1], a->image.v[2] } };
    if (!cbm_rule_shape(infer, 0, "x", &want) || !places_of(infer, &places, &elements))
        return false;
    infer->out_shape[0] = (cbm_shape){ { 3, x->v[1], 0, places } };
    infer->out_dtype[0] = infer->in_dtype[0];
    return !__builtin_mul_overflow(x->v[2], elements, &infer->out_shape[0].v[2]) ||
           cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the result has too many elements");
}

static bool fold_infer(cbm_infer *infer)
{
    char text[160];
    const cbm_unfold_attributes *a = infer->attributes;
    const cbm_shape *x = &infer->in_shape[0];
    int64_t places = 0, elements = 0;
    if (!cbm_rule_floating(infer, 0) || !cbm_rule_rank(infer, 0, "x", 3) || !places_of(infer, &places, &elements))
        return false;
    if (x->v[2] % elements != 0 || x->v[3] != places)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "x %s must have rows in multiples of %lld (the kernel) and %lld columns (its places)",
                              cbm_shape_text(x, text, sizeof text), (long long)elements, (long long)places);
    infer->out_shape[0] = (cbm_shape){ { 4, x->v[1], x->v[2] / elements, a->image.v[1], a->image.v[2] } };
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static const cbm_op unfold_op, fold_op;

static void unfold_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&fold_op, v->out_gradient[0], v->attributes);
}

static void fold_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&unfold_op, v->out_gradient[0], v->attributes);
}

static void unfold_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const int64_t columns = shapes->in[0].rank == 3 ? shapes->in[0].count : shapes->out[0].count;
    cost->flops = shapes->in[0].rank == 3 ? (double)columns : 0;
    cost->bytes = (double)(shapes->in[0].count + shapes->out[0].count) * (double)cbm_dtype_size(shapes->out[0].dtype);
}

static const cbm_attribute unfold_fields[] = {
    CBM_FIELD(cbm_unfold_attributes, kernel, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_unfold_attributes, stride, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_unfold_attributes, padding, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_unfold_attributes, dilation, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_unfold_attributes, image, CBM_ATTRIBUTE_SHAPE, false),
};
/* kernel, stride, padding, dilation, picture */
static const cbm_unfold_attributes plain = { CBM_DIMS(2, 3), CBM_DIMS(1, 1), CBM_DIMS(0, 0), CBM_DIMS(1, 1),
                                             CBM_DIMS(4, 5) };
static const cbm_unfold_attributes padded = { CBM_DIMS(3, 3), CBM_DIMS(2, 1), CBM_DIMS(1, 2), CBM_DIMS(1, 1),
                                              CBM_DIMS(5, 4) };
static const cbm_unfold_attributes dilated = { CBM_DIMS(2, 2), CBM_DIMS(1, 2), CBM_DIMS(1, 0), CBM_DIMS(2, 3),
                                               CBM_DIMS(4, 7) };
#define UNFOLD(a_, ...)                                                                                                \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, __VA_ARGS__) }, .attributes = &(a_)                                       \
    }
static const cbm_sample unfold_samples[] = {
    UNFOLD(plain, 2, 2, 4, 5),
    UNFOLD(padded, 1, 2, 5, 4),
    UNFOLD(dilated, 1, 1, 4, 7),
    UNFOLD(plain, 0, 2, 4, 5),
};
static const cbm_sample fold_samples[] = {
    UNFOLD(plain, 2, 12, 9),
    UNFOLD(padded, 1, 18, 18),
    UNFOLD(dilated, 1, 4, 8),
    UNFOLD(plain, 0, 12, 9),
};
#define UNFOLDING(name_, formula_, infer_, vjp_, samples_)                                                             \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1,                                            \
                              .attributes_size = sizeof(cbm_unfold_attributes), .attributes = unfold_fields,           \
                              .n_attributes = CBM_COUNTOF(unfold_fields), .infer = (infer_), .vjp = (vjp_),            \
                              .cost = unfold_cost, CBM_SAMPLES(samples_)                                               \
    }
static const cbm_op unfold_op =
    UNFOLDING("unfold", "y[n, (c kh + i) kw + j, l] = x[n, c, row(l) + i, column(l) + j], 0 outside of x", unfold_infer,
              unfold_vjp, unfold_samples);
static const cbm_op fold_op =
    UNFOLDING("fold", "y[n, c, row(l) + i, column(l) + j] += x[n, (c kh + i) kw + j, l], from zeros", fold_infer,
              fold_vjp, fold_samples);

const cbm_op *const cbm_ops_unfold[] = { &unfold_op, &fold_op, NULL };

/* ---- public functions ---- */

static bool read_options(const char *op, cbm_tensor *x, const cbm_shape *kernel, const cbm_unfold_options *options,
                         cbm_unfold_attributes *a)
{
    cbm_unfold_options o = { .struct_size = sizeof o };
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return false;
    cbm_read_options(&o, sizeof o, options);
    if (kernel->v[0] > 0 && cbm_spatial(kernel, 2, 0, &a->kernel) && cbm_spatial(&o.stride, 2, 1, &a->stride) &&
        cbm_spatial(&o.padding, 2, 0, &a->padding) && cbm_spatial(&o.dilation, 2, 1, &a->dilation))
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID, "[%s] kernel, stride, padding and dilation take one value or two", op);
    return false;
}

cbm_tensor *cbm_unfold_with(cbm_tensor *x, cbm_shape kernel, const cbm_unfold_options *options)
{
    cbm_unfold_attributes a = { .image = { { 2 } } };
    if (!read_options("unfold", x, &kernel, options, &a))
        return cbm_no_result(x, "unfold");
    const bool alone = cbm_tensor_rank(x) == 3;
    cbm_tensor *batch = alone ? cbm_unsqueeze(x, 0) : x;
    a.image.v[1] = cbm_tensor_size(batch, -2);
    a.image.v[2] = cbm_tensor_size(batch, -1);
    cbm_tensor *y = cbm_apply1(&unfold_op, batch, &a);
    return alone && !cbm_tensor_failed(y) ? cbm_drop_axis(y, 0) : y;
}

cbm_tensor *cbm_fold_with(cbm_tensor *x, cbm_shape size, cbm_shape kernel, const cbm_unfold_options *options)
{
    cbm_unfold_attributes a = { 0 };
    if (!read_options("fold", x, &kernel, options, &a))
        return cbm_no_result(x, "fold");
    if (size.v[0] == 0 || !cbm_spatial(&size, 2, 0, &a.image))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[fold] size takes one value or two");
    const bool alone = cbm_tensor_rank(x) == 2;
    cbm_tensor *y = cbm_apply1(&fold_op, alone ? cbm_unsqueeze(x, 0) : x, &a);
    return alone && !cbm_tensor_failed(y) ? cbm_drop_axis(y, 0) : y;
}
