/* pool.c: 2-D max and average pooling and their gradients. Rests on op/families.h. */
#include "op/families.h"

#define LARGEST ((int64_t)1 << 31) /* of kernels, strides, extents: sums and products stay within 64 bits */

/* Checks the attributes; gives the result's shape. */
static bool pool_shape(cbm_infer *infer, cbm_shape *y)
{
    char text[160];
    const cbm_pool2d_attributes *a = infer->attributes;
    const cbm_shape *x = &a->input_shape;
    if (x->v[0] != 4)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x %s must have 4 dimensions: (N, C, H, W). HINT: cbm_reshape",
                              cbm_shape_text(x, text, sizeof text));
    *y = (cbm_shape){ { 4, x->v[1], x->v[2] } };
    cbm_shape_text(x, text, sizeof text);
    for (int i = 1; i <= 2; i++) {
        const int64_t size = x->v[2 + i], kernel = a->kernel.v[i], padding = a->padding.v[i], stride = a->stride.v[i];
        if (kernel < 1 || stride < 1 || padding < 0 || kernel >= LARGEST || stride >= LARGEST || size >= LARGEST)
            return cbm_infer_fail(infer, CBM_ERROR_INVALID,
                                  "kernels and strides must be at least 1, paddings at least 0");
        if (padding > kernel / 2)
            return cbm_infer_fail(infer, CBM_ERROR_INVALID, "padding %lld is more than half the kernel %lld",
                                  (long long)padding, (long long)kernel);
        if (size < 1 || size + 2 * padding < kernel)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                                  "the kernel reaches over %lld elements, but x %s with its padding has only %lld",
                                  (long long)kernel, text, (long long)(size + 2 * padding));
        y->v[2 + i] = (size + 2 * padding - kernel) / stride + 1;
    }
    return true;
}

static void pool_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_pool2d_attributes *a = shapes->attributes;
    const double windows =
        (double)(shapes->in[0].count < shapes->out[0].count ? shapes->in[0].count : shapes->out[0].count);
    cost->flops = windows * (double)(a->kernel.v[1] * a->kernel.v[2]);
    cost->bytes = 0;
    for (size_t i = 0; i < shapes->n_in; i++)
        cost->bytes += (double)shapes->in[i].count * (double)cbm_dtype_size(shapes->in[i].dtype);
    for (size_t i = 0; i < shapes->n_out; i++)
        cost->bytes += (double)shapes->out[i].count * (double)cbm_dtype_size(shapes->out[i].dtype);
}

static const cbm_attribute pool_fields[] = {
    CBM_FIELD(cbm_pool2d_attributes, kernel, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pool2d_attributes, stride, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pool2d_attributes, padding, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pool2d_attributes, exclude_pad, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_pool2d_attributes, input_shape, CBM_ATTRIBUTE_SHAPE, false),
};
#define POOLING(name_, formula_, n_in_, n_out_, saves_, infer_, vjp_, samples_)                                        \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = (n_in_), .n_out = (n_out_), .saves = (saves_),            \
                              .attributes_size = sizeof(cbm_pool2d_attributes), .attributes = pool_fields,             \
                              .n_attributes = CBM_COUNTOF(pool_fields), .infer = (infer_), .vjp = (vjp_),              \
                              .cost = pool_cost, CBM_SAMPLES(samples_)                                                 \
    }

/* kernel, stride, padding, exclude_pad; x's and y's extents */
#define HALVES_X 2, 3, 6, 4
#define HALVES_Y 2, 3, 3, 2
#define OVERLAP_X 1, 2, 6, 7
#define OVERLAP_Y 1, 2, 3, 7
#define UNEVEN_X 2, 1, 5, 5
#define UNEVEN_Y 2, 1, 2, 4
#define WHOLE_X 2, 4, 3, 5
#define WHOLE_Y 2, 4, 1, 1
#define WIDE_X 1, 17, 8, 10
#define WIDE_Y 1, 17, 4, 5
#define EMPTY_X 0, 2, 4, 4
#define EMPTY_Y 0, 2, 2, 2
#define CASE(kernel_, stride_, padding_, exclude_, name_)                                                              \
    {                                                                                                                  \
        CBM_DIMS kernel_, CBM_DIMS stride_, CBM_DIMS padding_, exclude_, CBM_DIMS(name_##_X)                           \
    }
static const cbm_pool2d_attributes halves = CASE((2, 2), (2, 2), (0, 0), 0, HALVES);
static const cbm_pool2d_attributes overlap = CASE((3, 3), (2, 1), (1, 1), 0, OVERLAP);
static const cbm_pool2d_attributes overlap_excluding = CASE((3, 3), (2, 1), (1, 1), 1, OVERLAP);
static const cbm_pool2d_attributes uneven = CASE((3, 2), (2, 1), (0, 0), 0, UNEVEN);
static const cbm_pool2d_attributes whole = CASE((3, 5), (3, 5), (0, 0), 0, WHOLE);
static const cbm_pool2d_attributes wide = CASE((2, 2), (2, 2), (0, 0), 0, WIDE);
static const cbm_pool2d_attributes empty = CASE((2, 2), (2, 2), (0, 0), 0, EMPTY);

/* ---- max: which place of its window each result came from is kept as i kernel_width + j, in one byte if that holds every
        place ---- */
static cbm_dtype place_dtype(const cbm_pool2d_attributes *a)
{
    return a->kernel.v[1] <= 256 && a->kernel.v[2] <= 256 / a->kernel.v[1] ? CBM_U8 : CBM_I64;
}

static bool max_pool_infer(cbm_infer *infer)
{
    const cbm_pool2d_attributes *a = infer->attributes;
    if (!cbm_rule_floating(infer, 0) || !cbm_rule_shape(infer, 0, "x", &a->input_shape) ||
        !pool_shape(infer, &infer->out_shape[0]))
        return false;
    infer->out_dtype[0] = infer->in_dtype[0];
    infer->out_shape[1] = infer->out_shape[0];
    infer->out_dtype[1] = place_dtype(a);
    return true;
}

static bool places_fit(cbm_infer *infer, size_t i, const cbm_shape *y)
{
    const cbm_dtype want = place_dtype(infer->attributes);
    if (!cbm_rule_shape(infer, i, "place", y))
        return false;
    return infer->in_dtype[i] == want ||
           cbm_infer_fail(infer, CBM_ERROR_DTYPE, "place must hold %s", want == CBM_U8 ? "u8" : "i64");
}

static bool max_backward_infer(cbm_infer *infer)
{
    const cbm_pool2d_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->input_shape;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && pool_shape(infer, &y) && cbm_rule_shape(infer, 0, "g", &y) &&
           places_fit(infer, 1, &y);
}

static bool max_take_infer(cbm_infer *infer)
{
    const cbm_pool2d_attributes *a = infer->attributes;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && cbm_rule_shape(infer, 0, "x", &a->input_shape) &&
           pool_shape(infer, &infer->out_shape[0]) && places_fit(infer, 1, &infer->out_shape[0]);
}

static const cbm_op max_backward_op, max_take_op;

static void max_pool_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply2(&max_backward_op, v->out_gradient[0], v->out[1], v->attributes);
}

/* Where the forward pass took its element, the gradient's gradient is taken too. */
static void max_backward_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply2(&max_take_op, v->out_gradient[0], v->in[1], v->attributes);
}

static void max_take_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply2(&max_backward_op, v->out_gradient[0], v->in[1], v->attributes);
}

#define MAX(a_, name_)                                                                                                 \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_DISTINCT(-2, 2, name_##_X) }, .attributes = &(a_)                                       \
    }
#define PLACES(last_, name_)                                                                                           \
    {                                                                                                                  \
        CBM_DIMS(name_##_Y), CBM_U8, 0, last_, false                                                                   \
    }
#define MAX_BACK(a_, name_, last_)                                                                                     \
    {                                                                                                                  \
        .n_in = 2, .in = { CBM_FLOATS(-2, 2, name_##_Y), PLACES(last_, name_) }, .attributes = &(a_)                   \
    }
#define MAX_TAKE(a_, name_, last_)                                                                                     \
    {                                                                                                                  \
        .n_in = 2, .in = { CBM_FLOATS(-2, 2, name_##_X), PLACES(last_, name_) }, .attributes = &(a_)                   \
    }
static const cbm_sample max_samples[] = {
    MAX(halves, HALVES), MAX(overlap, OVERLAP), MAX(uneven, UNEVEN),
    MAX(whole, WHOLE),   MAX(wide, WIDE),       MAX(empty, EMPTY),
};
static const cbm_sample max_backward_samples[] = {
    MAX_BACK(halves, HALVES, 3), MAX_BACK(overlap, OVERLAP, 8), MAX_BACK(uneven, UNEVEN, 5),
    MAX_BACK(whole, WHOLE, 14),  MAX_BACK(wide, WIDE, 3),       MAX_BACK(empty, EMPTY, 3),
};
static const cbm_sample max_take_samples[] = {
    MAX_TAKE(halves, HALVES, 3), MAX_TAKE(overlap, OVERLAP, 8), MAX_TAKE(uneven, UNEVEN, 5),
    MAX_TAKE(whole, WHOLE, 14),  MAX_TAKE(wide, WIDE, 3),       MAX_TAKE(empty, EMPTY, 3),
};
static const cbm_op max_pool_op =
    POOLING("max_pool2d",
            "largest x in each window (NaN wins), and its place i kernel_width + j in the window (u8; i64 for "
            "windows of more than 256 places)",
            1, 2, CBM_SAVES_OUT(1), max_pool_infer, max_pool_vjp, max_samples);
static const cbm_op max_backward_op =
    POOLING("max_pool2d_backward", "dx at each window's place += g; a place outside the plane is left out", 2, 1,
            CBM_SAVES_IN(1), max_backward_infer, max_backward_vjp, max_backward_samples);
static const cbm_op max_take_op =
    POOLING("max_pool2d_take", "x at each window's place; 0 for a place outside the plane", 2, 1, CBM_SAVES_IN(1),
            max_take_infer, max_take_vjp, max_take_samples);

/* ---- average ---- */
static bool avg_pool_infer(cbm_infer *infer)
{
    const cbm_pool2d_attributes *a = infer->attributes;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && cbm_rule_shape(infer, 0, "x", &a->input_shape) &&
           pool_shape(infer, &infer->out_shape[0]);
}

static bool avg_backward_infer(cbm_infer *infer)
{
    const cbm_pool2d_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->input_shape;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && pool_shape(infer, &y) && cbm_rule_shape(infer, 0, "g", &y);
}

static const cbm_op avg_pool_op, avg_backward_op;

static void avg_pool_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&avg_backward_op, v->out_gradient[0], v->attributes);
}

static void avg_backward_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(&avg_pool_op, v->out_gradient[0], v->attributes);
}

#define AVG(a_, name_)                                                                                                 \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, name_##_X) }, .attributes = &(a_)                                         \
    }
#define AVG_BACK(a_, name_)                                                                                            \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, name_##_Y) }, .attributes = &(a_)                                         \
    }
static const cbm_sample avg_samples[] = {
    AVG(halves, HALVES), AVG(overlap, OVERLAP), AVG(overlap_excluding, OVERLAP), AVG(uneven, UNEVEN), AVG(whole, WHOLE),
    AVG(wide, WIDE),     AVG(empty, EMPTY),
};
static const cbm_sample avg_backward_samples[] = {
    AVG_BACK(halves, HALVES), AVG_BACK(overlap, OVERLAP), AVG_BACK(overlap_excluding, OVERLAP),
    AVG_BACK(uneven, UNEVEN), AVG_BACK(whole, WHOLE),     AVG_BACK(wide, WIDE),
    AVG_BACK(empty, EMPTY),
};
static const cbm_op avg_pool_op =
    POOLING("avg_pool2d", "mean of x in each window; padded zeros count unless exclude_pad", 1, 1, 0, avg_pool_infer,
            avg_pool_vjp, avg_samples);
static const cbm_op avg_backward_op = POOLING("avg_pool2d_backward", "d(sum of g * avg_pool2d(x)) / dx", 1, 1, 0,
                                              avg_backward_infer, avg_backward_vjp, avg_backward_samples);

const cbm_op *const cbm_ops_pool[] = { &max_pool_op, &max_backward_op, &max_take_op,
                                       &avg_pool_op, &avg_backward_op, NULL };

/* ---- public functions ---- */

static cbm_tensor *pool(const cbm_op *op, cbm_tensor *x, const cbm_shape *kernel, const cbm_pool2d_options *options)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_context *cx = cbm_tensor_context(x);
    cbm_pool2d_options o = { .struct_size = sizeof o };
    cbm_pool2d_attributes a = { 0 };
    cbm_read_options(&o, sizeof o, options);
    if (o.stride.v[0] == 0)
        o.stride = *kernel;
    if (kernel->v[0] == 0 || !cbm_pair(kernel, 0, &a.kernel) || !cbm_pair(&o.stride, 0, &a.stride) ||
        !cbm_pair(&o.padding, 0, &a.padding))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] kernel, stride and padding take one value or two",
                               op->name);
    /* Only the average asks whether padding counts. */
    a.exclude_pad = op == &avg_pool_op && o.exclude_pad != 0;
    if (x != NULL)
        a.input_shape = cbm_tensor_shape(x);
    return cbm_apply(cx, op, &x, 1, &a, out);
}

cbm_tensor *cbm_max_pool2d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool2d_options *options)
{
    return pool(&max_pool_op, x, &kernel, options);
}

cbm_tensor *cbm_avg_pool2d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool2d_options *options)
{
    return pool(&avg_pool_op, x, &kernel, options);
}
