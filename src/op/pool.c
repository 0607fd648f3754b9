/* pool.c: max and average pooling in one to three dimensions and their gradients. Rests on op/families.h and
   pool_samples.h. */
#include "op/families.h"
#include "op/pool_samples.h"

#define LARGEST ((int64_t)1 << 31) /* of kernels, strides, extents: sums and products stay within 64 bits */

static const char *const picture[] = { "(N, C, L)", "(N, C, H, W)", "(N, C, D, H, W)" };

static bool window_fits(const cbm_pool_attributes *a, int64_t i, int64_t size)
{
    const int64_t values[] = { a->kernel.v[i], a->stride.v[i], a->dilation.v[i] };
    bool fits = a->padding.v[i] >= 0 && size < LARGEST;
    for (size_t k = 0; k < CBM_COUNTOF(values); k++)
        fits = fits && values[k] >= 1 && values[k] < LARGEST;
    return fits;
}

/* Checks the attributes in n dimensions; gives the result's shape. */
static bool pool_shape(cbm_infer *infer, int64_t n, cbm_shape *y)
{
    char text[160];
    const cbm_pool_attributes *a = infer->attributes;
    const cbm_shape *x = &a->input_shape;
    cbm_shape_text(x, text, sizeof text);
    if (x->v[0] != n + 2)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x %s must have %lld dimensions: %s. HINT: cbm_reshape", text,
                              (long long)n + 2, picture[n - 1]);
    if (a->kernel.v[0] != n || a->stride.v[0] != n || a->padding.v[0] != n || a->dilation.v[0] != n)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "lists need an entry for each dimension");
    *y = (cbm_shape){ { n + 2, x->v[1], x->v[2] } };
    for (int64_t i = 1; i <= n; i++) {
        const int64_t size = x->v[2 + i], padding = a->padding.v[i], stride = a->stride.v[i];
        if (!window_fits(a, i, size))
            return cbm_infer_fail(infer, CBM_ERROR_INVALID,
                                  "kernels, strides and dilations must be at least 1, paddings at least 0");
        const int64_t reach = a->dilation.v[i] * (a->kernel.v[i] - 1) + 1, more = a->ceil_mode ? stride - 1 : 0;
        if (padding > reach / 2)
            return cbm_infer_fail(infer, CBM_ERROR_INVALID, "padding %lld is more than half the kernel %lld",
                                  (long long)padding, (long long)reach);
        if (size < 1 || size + 2 * padding + more < reach)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                                  "the kernel reaches over %lld elements, but x %s with its padding has only %lld",
                                  (long long)reach, text, (long long)(size + 2 * padding));
        y->v[2 + i] = (size + 2 * padding + more - reach) / stride + 1;
        if (a->ceil_mode && (y->v[2 + i] - 1) * stride >= size + padding)
            y->v[2 + i]--; /* a window must begin before the padding at the end */
    }
    return true;
}

static void pool_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_pool_attributes *a = shapes->attributes;
    cost->flops = (double)(shapes->in[0].count < shapes->out[0].count ? shapes->in[0].count : shapes->out[0].count);
    for (int64_t i = 1; i <= a->kernel.v[0]; i++)
        cost->flops *= (double)a->kernel.v[i];
    cost->bytes = 0;
    for (size_t i = 0; i < shapes->n_in; i++)
        cost->bytes += (double)shapes->in[i].count * (double)cbm_dtype_size(shapes->in[i].dtype);
    for (size_t i = 0; i < shapes->n_out; i++)
        cost->bytes += (double)shapes->out[i].count * (double)cbm_dtype_size(shapes->out[i].dtype);
}

static const cbm_attribute pool_fields[] = {
    CBM_FIELD(cbm_pool_attributes, kernel, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pool_attributes, stride, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pool_attributes, padding, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pool_attributes, dilation, CBM_ATTRIBUTE_SHAPE, false),
    CBM_FIELD(cbm_pool_attributes, ceil_mode, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_pool_attributes, exclude_pad, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_pool_attributes, divisor, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_pool_attributes, input_shape, CBM_ATTRIBUTE_SHAPE, false),
};
#define POOLING(name_, formula_, n_in_, n_out_, saves_, infer_, vjp_, samples_)                                        \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = (n_in_), .n_out = (n_out_), .saves = (saves_),            \
                              .attributes_size = sizeof(cbm_pool_attributes), .attributes = pool_fields,               \
                              .n_attributes = CBM_COUNTOF(pool_fields), .infer = (infer_), .vjp = (vjp_),              \
                              .cost = pool_cost, CBM_SAMPLES(samples_)                                                 \
    }

/* One record of each for every number of dimensions. */
#define DIMENSIONS 3
static const cbm_op max_ops[DIMENSIONS], max_backward_ops[DIMENSIONS], max_take_ops[DIMENSIONS],
    max_indices_ops[DIMENSIONS], avg_ops[DIMENSIONS], avg_backward_ops[DIMENSIONS];

static int64_t dimensions_of(const cbm_infer *infer, const cbm_op *ops)
{
    return infer->op - ops + 1;
}

/* Once the shape rule has been passed, the lists say it too. */
static const cbm_op *sibling(const cbm_op *ops, const void *attributes)
{
    return &ops[((const cbm_pool_attributes *)attributes)->kernel.v[0] - 1];
}

/* ---- max: which place of its window each result came from is kept, in one byte if that holds every place ---- */
static cbm_dtype place_dtype(const cbm_pool_attributes *a)
{
    int64_t places = 1;
    for (int64_t i = 1; i <= a->kernel.v[0] && places <= 256; i++)
        places = a->kernel.v[i] <= 256 ? places * a->kernel.v[i] : 257;
    return places <= 256 ? CBM_U8 : CBM_I64;
}

static bool max_infer(cbm_infer *infer)
{
    const cbm_pool_attributes *a = infer->attributes;
    if (!cbm_rule_floating(infer, 0) || !cbm_rule_shape(infer, 0, "x", &a->input_shape) ||
        !pool_shape(infer, dimensions_of(infer, max_ops), &infer->out_shape[0]))
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
    const cbm_pool_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->input_shape;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && pool_shape(infer, dimensions_of(infer, max_backward_ops), &y) &&
           cbm_rule_shape(infer, 0, "g", &y) && places_fit(infer, 1, &y);
}

static bool max_take_infer(cbm_infer *infer)
{
    const cbm_pool_attributes *a = infer->attributes;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && cbm_rule_shape(infer, 0, "x", &a->input_shape) &&
           pool_shape(infer, dimensions_of(infer, max_take_ops), &infer->out_shape[0]) &&
           places_fit(infer, 1, &infer->out_shape[0]);
}

static bool max_indices_infer(cbm_infer *infer)
{
    infer->out_dtype[0] = CBM_I64;
    return pool_shape(infer, dimensions_of(infer, max_indices_ops), &infer->out_shape[0]) &&
           places_fit(infer, 0, &infer->out_shape[0]);
}

/* Behind a ReLU the gradient is gated here, where there is less of it: what a window took is <= 0 where its y is. */
static void max_vjp(cbm_vjp *v)
{
    cbm_tensor *g = v->out_gradient[0];
    if (cbm_made_by(v->in[0]->value, "relu") != NULL)
        g = cbm_relu_gradient(v->out[0], g);
    v->in_gradient[0] = cbm_apply2(sibling(max_backward_ops, v->attributes), g, v->out[1], v->attributes);
}

/* Where the forward pass took its element, the gradient's gradient is taken too. */
static void max_backward_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply2(sibling(max_take_ops, v->attributes), v->out_gradient[0], v->in[1], v->attributes);
}

static void max_take_vjp(cbm_vjp *v)
{
    v->in_gradient[0] =
        cbm_apply2(sibling(max_backward_ops, v->attributes), v->out_gradient[0], v->in[1], v->attributes);
}

#define MAX(n_)                                                                                                        \
    POOLING("max_pool" #n_ "d",                                                                                        \
            "largest x in each window (NaN wins), and its place in the window, counted row by row (u8; i64 for "       \
            "windows of more than 256 places)",                                                                        \
            1, 2, CBM_SAVES_OUT(0) | CBM_SAVES_OUT(1), max_infer, max_vjp, max##n_##d_samples)
#define MAX_BACKWARD(n_)                                                                                               \
    POOLING("max_pool" #n_ "d_backward", "dx at each window's place += g; a place outside of x is left out", 2, 1,     \
            CBM_SAVES_IN(1), max_backward_infer, max_backward_vjp, max##n_##d_backward_samples)
#define MAX_TAKE(n_)                                                                                                   \
    POOLING("max_pool" #n_ "d_take", "x at each window's place; 0 for a place outside of x", 2, 1, CBM_SAVES_IN(1),    \
            max_take_infer, max_take_vjp, max##n_##d_take_samples)
#define MAX_INDICES(n_)                                                                                                \
    POOLING("max_pool" #n_ "d_indices",                                                                                \
            "the index of each window's place among the places of its channel, counted row by row; -1 outside of x",   \
            1, 1, 0, max_indices_infer, NULL, max##n_##d_indices_samples)
static const cbm_op max_ops[DIMENSIONS] = { MAX(1), MAX(2), MAX(3) };
static const cbm_op max_backward_ops[DIMENSIONS] = { MAX_BACKWARD(1), MAX_BACKWARD(2), MAX_BACKWARD(3) };
static const cbm_op max_take_ops[DIMENSIONS] = { MAX_TAKE(1), MAX_TAKE(2), MAX_TAKE(3) };
static const cbm_op max_indices_ops[DIMENSIONS] = { MAX_INDICES(1), MAX_INDICES(2), MAX_INDICES(3) };

/* ---- average ---- */
static bool average_has_no_dilation(cbm_infer *infer)
{
    const cbm_pool_attributes *a = infer->attributes;
    for (int64_t i = 1; i <= a->dilation.v[0]; i++)
        if (a->dilation.v[i] != 1)
            return cbm_infer_fail(infer, CBM_ERROR_INVALID, "averages have no dilation");
    return a->divisor >= 0 || cbm_infer_fail(infer, CBM_ERROR_INVALID, "the divisor must be positive");
}

static bool avg_infer(cbm_infer *infer)
{
    const cbm_pool_attributes *a = infer->attributes;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && cbm_rule_shape(infer, 0, "x", &a->input_shape) &&
           pool_shape(infer, dimensions_of(infer, avg_ops), &infer->out_shape[0]) && average_has_no_dilation(infer);
}

static bool avg_backward_infer(cbm_infer *infer)
{
    const cbm_pool_attributes *a = infer->attributes;
    cbm_shape y = { { 0 } };
    infer->out_shape[0] = a->input_shape;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && pool_shape(infer, dimensions_of(infer, avg_backward_ops), &y) &&
           cbm_rule_shape(infer, 0, "g", &y) && average_has_no_dilation(infer);
}

static void avg_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(sibling(avg_backward_ops, v->attributes), v->out_gradient[0], v->attributes);
}

static void avg_backward_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = cbm_apply1(sibling(avg_ops, v->attributes), v->out_gradient[0], v->attributes);
}

#define AVG(n_)                                                                                                        \
    POOLING("avg_pool" #n_ "d",                                                                                        \
            "sum of x in each window / its places; padded zeros count unless exclude_pad; or / divisor", 1, 1, 0,      \
            avg_infer, avg_vjp, avg##n_##d_samples)
#define AVG_BACKWARD(n_)                                                                                               \
    POOLING("avg_pool" #n_ "d_backward", "d(sum of g * avg_pool" #n_ "d(x)) / dx", 1, 1, 0, avg_backward_infer,        \
            avg_backward_vjp, avg##n_##d_backward_samples)
static const cbm_op avg_ops[DIMENSIONS] = { AVG(1), AVG(2), AVG(3) };
static const cbm_op avg_backward_ops[DIMENSIONS] = { AVG_BACKWARD(1), AVG_BACKWARD(2), AVG_BACKWARD(3) };

#define LISTED(n_)                                                                                                     \
    &max_ops[n_], &max_backward_ops[n_], &max_take_ops[n_], &max_indices_ops[n_], &avg_ops[n_], &avg_backward_ops[n_]
const cbm_op *const cbm_ops_pool[] = { LISTED(1), LISTED(0), LISTED(2), NULL };

/* ---- public functions ---- */

/* What the options say about op, in n dimensions. false after recording the error. */
static bool read_options(const cbm_op *op, int64_t n, cbm_tensor *x, const cbm_shape *kernel,
                         const cbm_pool_options *options, cbm_pool_attributes *a)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_pool_options o = { .struct_size = sizeof o };
    const bool average = op == &avg_ops[n - 1];
    *a = (cbm_pool_attributes){ 0 };
    cbm_read_options(&o, sizeof o, options);
    if (o.stride.v[0] == 0)
        o.stride = *kernel;
    if (kernel->v[0] == 0 || !cbm_spatial(kernel, n, 0, &a->kernel) || !cbm_spatial(&o.stride, n, 0, &a->stride) ||
        !cbm_spatial(&o.padding, n, 0, &a->padding) || !cbm_spatial(&o.dilation, n, 1, &a->dilation)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] kernel, stride, padding and dilation take %s", op->name,
                              cbm_spatial_text(n));
        return false;
    }
    a->ceil_mode = o.ceil_mode != 0;
    /* Only the average asks how many places there are. */
    a->exclude_pad = average && o.exclude_pad != 0;
    a->divisor = average ? o.divisor_override : 0;
    if (x != NULL)
        a->input_shape = cbm_tensor_shape(x);
    return true;
}

static cbm_tensor *pool(const cbm_op *ops, int64_t n, cbm_tensor *x, const cbm_shape *kernel,
                        const cbm_pool_options *options, cbm_tensor **indices)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_context *cx = cbm_tensor_context(x);
    const cbm_op *op = &ops[n - 1];
    cbm_pool_attributes a;
    cbm_tensor *y = read_options(op, n, x, kernel, options, &a)
                        ? cbm_apply(cx, op, &x, 1, &a, out)
                        : cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] no result", op->name);
    if (indices != NULL)
        *indices = cbm_tensor_failed(y) ? y : cbm_apply1(&max_indices_ops[n - 1], out[1], &a);
    return y;
}

#define PUBLIC(n_)                                                                                                     \
    cbm_tensor *cbm_max_pool##n_##d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options)             \
    {                                                                                                                  \
        return pool(max_ops, n_, x, &kernel, options, NULL);                                                           \
    }                                                                                                                  \
    cbm_tensor *cbm_max_pool##n_##d_with_indices(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options,     \
                                                 cbm_tensor **indices)                                                 \
    {                                                                                                                  \
        return pool(max_ops, n_, x, &kernel, options, indices);                                                        \
    }                                                                                                                  \
    cbm_tensor *cbm_avg_pool##n_##d_with(cbm_tensor *x, cbm_shape kernel, const cbm_pool_options *options)             \
    {                                                                                                                  \
        return pool(avg_ops, n_, x, &kernel, options, NULL);                                                           \
    }
PUBLIC(1)
PUBLIC(2)
PUBLIC(3)

/* ---- Lp ---- */

/* The mean of the powers times the places of a whole window, as PyTorch has it: windows over the end (ceil mode) count as
   if their mean filled them. */
static cbm_tensor *lp_pool(int64_t n, cbm_tensor *x, double p, const cbm_shape *kernel, const cbm_pool_options *options)
{
    static const char *const names[] = { "lp_pool1d", "lp_pool2d", "lp_pool3d" };
    cbm_context *cx = cbm_tensor_context(x);
    cbm_pool_options o = { .struct_size = sizeof o };
    cbm_shape k;
    double places = 1;
    cbm_read_options(&o, sizeof o, options);
    if (!(p > 0) || !cbm_spatial(kernel, n, 1, &k))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] the norm must be positive, and a kernel takes %s",
                               names[n - 1], cbm_spatial_text(n));
    for (int64_t i = 1; i <= n; i++)
        places *= (double)k.v[i];
    const cbm_pool_options windows = { .struct_size = sizeof windows, .stride = o.stride, .ceil_mode = o.ceil_mode };
    cbm_tensor *means = pool(avg_ops, n, cbm_pow_scalar(x, p), kernel, &windows, NULL);
    return cbm_pow_scalar(cbm_mul_scalar(means, places), 1 / p);
}

cbm_tensor *cbm_lp_pool1d_with(cbm_tensor *x, double p, cbm_shape kernel, const cbm_pool_options *options)
{
    return lp_pool(1, x, p, &kernel, options);
}

cbm_tensor *cbm_lp_pool2d_with(cbm_tensor *x, double p, cbm_shape kernel, const cbm_pool_options *options)
{
    return lp_pool(2, x, p, &kernel, options);
}

cbm_tensor *cbm_lp_pool3d_with(cbm_tensor *x, double p, cbm_shape kernel, const cbm_pool_options *options)
{
    return lp_pool(3, x, p, &kernel, options);
}
