/* layer_norm.c: normalisation of the last axes: layer norm (Ba, Kiros and Hinton 2016) and root mean square norm (Zhang and
   Sennrich 2019), with their gradients. Rests on op/norm.h. */
#include "op/norm.h"

#include <float.h>

/* ---- helpers in operations ---- */

static int64_t axes_of(const void *attributes)
{
    return ((const cbm_layer_norm_attributes *)attributes)->axes;
}

/* The axes that are normalised, or those before them. */
static cbm_shape last_axes(cbm_tensor *x, int64_t axes)
{
    const int64_t rank = cbm_tensor_rank(x);
    cbm_shape list = { { 0 } };
    for (int64_t axis = rank - axes; axis < rank; axis++)
        list.v[++list.v[0]] = axis;
    return list;
}
static cbm_shape first_axes(cbm_tensor *x, int64_t axes)
{
    cbm_shape list = { { 0 } };
    for (int64_t axis = 0; axis < cbm_tensor_rank(x) - axes; axis++)
        list.v[++list.v[0]] = axis;
    return list;
}

/* Statistics with extents of 1 for the normalised axes: they broadcast over x. */
static cbm_tensor *over_rows(cbm_tensor *statistics, int64_t axes)
{
    cbm_shape shape = cbm_tensor_shape(statistics);
    for (int64_t i = 0; i < axes; i++)
        shape.v[++shape.v[0]] = 1;
    return cbm_reshape(statistics, shape);
}

/* Elements that are normalised together. */
static double row_length(cbm_tensor *x, int64_t axes)
{
    double n = 1;
    for (int64_t i = 1; i <= axes; i++)
        n *= (double)cbm_tensor_size(x, -i);
    return n;
}

/* ---- shape rules ---- */

/* Inputs: x, weight [, bias], then `statistics` of the rows' shape, then perhaps g. */
static bool normalises(cbm_infer *infer, size_t weights, size_t statistics)
{
    char text[160];
    const cbm_layer_norm_attributes *a = infer->attributes;
    const cbm_shape *x = &infer->in_shape[0];
    if (!cbm_norm_dtypes(infer, weights + statistics))
        return false;
    if (a->axes < 1 || a->axes > x->v[0])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%lld axes of x %s cannot be normalised", (long long)a->axes,
                              cbm_shape_text(x, text, sizeof text));
    cbm_shape row = { { a->axes } }, rows = { { x->v[0] - a->axes } };
    for (int64_t i = 1; i <= x->v[0]; i++)
        *(i <= rows.v[0] ? &rows.v[i] : &row.v[i - rows.v[0]]) = x->v[i];
    if (cbm_shape_count(&row) < 1)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is nothing to normalise in x %s",
                              cbm_shape_text(x, text, sizeof text));
    for (size_t i = 1; i < infer->n_in; i++) {
        const bool statistic = i > weights && i <= weights + statistics;
        const cbm_shape *must = i <= weights ? &row : statistic ? &rows : x;
        if (!cbm_rule_shape(infer, i, i <= weights ? "a weight or bias" : statistic ? "a statistic" : "g", must))
            return false;
    }
    infer->out_shape[0] = *x;
    for (size_t i = 1; i < infer->n_out; i++)
        infer->out_shape[i] = statistics > 0 ? row : rows; /* gradients of weights; or statistics */
    return true;
}

static bool layer_norm_infer(cbm_infer *infer)
{
    return normalises(infer, 2, 0);
}
static bool layer_backward_infer(cbm_infer *infer)
{
    return normalises(infer, 1, 2);
}
static bool rms_norm_infer(cbm_infer *infer)
{
    return normalises(infer, 1, 0);
}
static bool rms_backward_infer(cbm_infer *infer)
{
    return normalises(infer, 1, 1);
}

/* ---- by other operations ---- */

static bool layer_norm_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                 cbm_tensor **out)
{
    const cbm_layer_norm_attributes *a = attributes;
    const cbm_shape axes = last_axes(in[0], a->axes);
    (void)cx;
    (void)n;
    cbm_tensor *x = cbm_for_statistics(in[0]);
    out[1] = cbm_mean_over(x, axes, false);
    cbm_tensor *centred = cbm_sub(x, over_rows(out[1], a->axes));
    out[2] = cbm_one_over_sqrt(cbm_mean_over(cbm_mul(centred, centred), axes, false), a->eps);
    cbm_tensor *normal = cbm_mul(centred, over_rows(out[2], a->axes));
    out[0] = cbm_cast(cbm_add(cbm_mul(normal, in[1]), in[2]), cbm_tensor_dtype(in[0]));
    return true;
}

static bool rms_norm_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                               cbm_tensor **out)
{
    const cbm_layer_norm_attributes *a = attributes;
    (void)cx;
    (void)n;
    cbm_tensor *x = cbm_for_statistics(in[0]);
    out[1] = cbm_one_over_sqrt(cbm_mean_over(cbm_mul(x, x), last_axes(in[0], a->axes), false), a->eps);
    out[0] = cbm_cast(cbm_mul(cbm_mul(x, over_rows(out[1], a->axes)), in[1]), cbm_tensor_dtype(in[0]));
    return true;
}

/* With z the normalised x and h = weight g: dx = rstd (h - mean of h - z mean of h z), dweight = sum of g z, dbias = sum of g;
   without a mean, its share is left out. */
static void backward_by_parts(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *mean, cbm_tensor *rstd, cbm_tensor *g,
                              int64_t axes, cbm_tensor **out)
{
    const cbm_shape last = last_axes(x, axes), first = first_axes(x, axes);
    cbm_tensor *wide = cbm_for_statistics(x), *scale = over_rows(rstd, axes), *own = cbm_for_statistics(g);
    cbm_tensor *z = cbm_mul(mean != NULL ? cbm_sub(wide, over_rows(mean, axes)) : wide, scale);
    cbm_tensor *h = cbm_mul(own, weight);
    cbm_tensor *rest = cbm_sub(h, cbm_mul(z, cbm_mean_over(cbm_mul(h, z), last, true)));
    if (mean != NULL)
        rest = cbm_sub(rest, cbm_mean_over(h, last, true));
    out[0] = cbm_cast(cbm_mul(rest, scale), cbm_tensor_dtype(x));
    out[1] = cbm_sum_over(cbm_mul(own, z), first, false);
    if (mean != NULL)
        out[2] = cbm_sum_over(own, first, false);
}

static bool layer_backward_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                     cbm_tensor **out)
{
    (void)cx;
    (void)n;
    backward_by_parts(in[0], in[1], in[2], in[3], in[4], axes_of(attributes), out);
    return true;
}

static bool rms_backward_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                   cbm_tensor **out)
{
    (void)cx;
    (void)n;
    backward_by_parts(in[0], in[1], NULL, in[2], in[3], axes_of(attributes), out);
    return true;
}

/* ---- gradients ---- */
static const cbm_op layer_backward_op, rms_backward_op;

static void layer_norm_vjp(cbm_vjp *v)
{
    const int64_t axes = axes_of(v->attributes);
    cbm_tensor *x = v->in[0], *over[4] = { v->out[1], v->out[2], v->out_gradient[1], v->out_gradient[2] };
    if (v->out_gradient[0] != NULL) {
        cbm_tensor *const in[] = { x, v->in[1], v->out[1], v->out[2], v->out_gradient[0] };
        cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
        (void)cbm_apply(v->cx, &layer_backward_op, in, 5, v->attributes, out);
        for (size_t i = 0; i < 3; i++)
            v->in_gradient[i] = v->needed[i] ? out[i] : NULL;
    }
    if (!v->needed[0] || (over[2] == NULL && over[3] == NULL))
        return;
    for (size_t i = 0; i < 4; i++) /* derivatives of higher order */
        over[i] = over[i] != NULL ? over_rows(over[i], axes) : NULL;
    v->in_gradient[0] = cbm_gradients_joined(
        x, v->in_gradient[0], cbm_through_statistics(x, over[0], over[1], over[2], over[3], row_length(x, axes)));
}

static void rms_norm_vjp(cbm_vjp *v)
{
    const int64_t axes = axes_of(v->attributes);
    cbm_tensor *x = v->in[0], *rstd = v->out[1];
    if (v->out_gradient[0] != NULL) {
        cbm_tensor *const in[] = { x, v->in[1], rstd, v->out_gradient[0] };
        cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
        (void)cbm_apply(v->cx, &rms_backward_op, in, 4, v->attributes, out);
        for (size_t i = 0; i < 2; i++)
            v->in_gradient[i] = v->needed[i] ? out[i] : NULL;
    }
    if (!v->needed[0] || v->out_gradient[1] == NULL)
        return;
    cbm_tensor *extra = cbm_through_statistics(x, NULL, over_rows(rstd, axes), NULL,
                                               over_rows(v->out_gradient[1], axes), row_length(x, axes));
    v->in_gradient[0] = cbm_gradients_joined(x, v->in_gradient[0], extra);
}

/* ---- cost, samples, records ---- */

static void norm_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *x = &shapes->in[0];
    cost->flops = 7 * (double)x->count; /* as batch norm: mean, variance, result; the gradient's sums and result */
    cost->bytes = (double)(shapes->n_in >= 4 ? 3 : 2) * (double)x->count * (double)cbm_dtype_size(x->dtype);
}

static const cbm_attribute norm_fields[] = {
    CBM_FIELD(cbm_layer_norm_attributes, axes, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_layer_norm_attributes, eps, CBM_ATTRIBUTE_FLOAT, false),
};
static const cbm_layer_norm_attributes last = { 1, 1e-5 }, last_two = { 2, 0.1 };

#define ROWS_X 4, 5
#define ROWS_W 5
#define ROWS_S 4
#define DEEP_X 2, 3, 2, 4
#define DEEP_W 2, 4
#define DEEP_S 2, 3
#define LONG_X 3, 37
#define LONG_W 37
#define LONG_S 3
#define WHOLE_X 3, 4
#define WHOLE_W 3, 4
#define WHOLE_S
#define EMPTY_X 0, 6
#define EMPTY_W 6
#define EMPTY_S 0
#define X_OF(name_) CBM_FLOATS(-2, 2, name_##_X)
#define G_OF(name_) CBM_FLOATS(-1, 1, name_##_X)
#define W_OF(name_) CBM_FLOATS(0.5, 1.5, name_##_W)
#define B_OF(name_) CBM_FLOATS(-1, 1, name_##_W)
#define MEAN_OF(name_) CBM_FLOATS(-0.5, 0.5, name_##_S)
#define RSTD_OF(name_) CBM_FLOATS(0.5, 2, name_##_S)
#define LAYER(a_, name_)                                                                                               \
    {                                                                                                                  \
        .n_in = 3, .in = { X_OF(name_), W_OF(name_), B_OF(name_) }, .attributes = &(a_)                                \
    }
#define LAYER_BACK(a_, name_)                                                                                          \
    {                                                                                                                  \
        .n_in = 5, .in = { X_OF(name_), W_OF(name_), MEAN_OF(name_), RSTD_OF(name_), G_OF(name_) },                    \
        .attributes = &(a_)                                                                                            \
    }
#define RMS(a_, name_)                                                                                                 \
    {                                                                                                                  \
        .n_in = 2, .in = { X_OF(name_), W_OF(name_) }, .attributes = &(a_)                                             \
    }
#define RMS_BACK(a_, name_)                                                                                            \
    {                                                                                                                  \
        .n_in = 4, .in = { X_OF(name_), W_OF(name_), RSTD_OF(name_), G_OF(name_) }, .attributes = &(a_)                \
    }
#define EVERY(SAMPLE)                                                                                                  \
    SAMPLE(last, ROWS), SAMPLE(last_two, DEEP), SAMPLE(last, LONG), SAMPLE(last_two, WHOLE), SAMPLE(last, EMPTY)
static const cbm_sample layer_samples[] = { EVERY(LAYER) };
static const cbm_sample layer_backward_samples[] = { EVERY(LAYER_BACK) };
static const cbm_sample rms_samples[] = { EVERY(RMS) };
static const cbm_sample rms_backward_samples[] = { EVERY(RMS_BACK) };

#define NORM(name_, formula_, n_in_, n_out_, saves_, infer_, vjp_, decompose_, samples_)                               \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = (n_in_), .n_out = (n_out_), .saves = (saves_),            \
                              .attributes_size = sizeof(cbm_layer_norm_attributes), .attributes = norm_fields,         \
                              .n_attributes = CBM_COUNTOF(norm_fields), .infer = (infer_), .vjp = (vjp_),              \
                              .decompose = (decompose_), .cost = norm_cost, .autocast = CBM_AUTOCAST_NONE,             \
                              CBM_SAMPLES(samples_)                                                                    \
    }
static const cbm_op layer_norm_op =
    NORM("layer_norm", "y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(biased variance + eps) of each row",
         3, 3, CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_OUT(1) | CBM_SAVES_OUT(2), layer_norm_infer,
         layer_norm_vjp, layer_norm_decompose, layer_samples);
static const cbm_op layer_backward_op =
    NORM("layer_norm_backward",
         "z = (x - mean) rstd, h = weight g; dx = rstd (h - mean of h - z mean of h z), dweight = sum of g z, dbias = "
         "sum of g",
         5, 3, CBM_SAVES_ALL_IN, layer_backward_infer, NULL, layer_backward_decompose, layer_backward_samples);
static const cbm_op rms_norm_op = NORM("rms_norm", "y = x rstd weight, rstd = 1 / sqrt(mean of x^2 + eps) of each row",
                                       2, 2, CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_OUT(1), rms_norm_infer,
                                       rms_norm_vjp, rms_norm_decompose, rms_samples);
static const cbm_op rms_backward_op =
    NORM("rms_norm_backward", "z = x rstd, h = weight g; dx = rstd (h - z mean of h z), dweight = sum of g z", 4, 2,
         CBM_SAVES_ALL_IN, rms_backward_infer, NULL, rms_backward_decompose, rms_backward_samples);

const cbm_op *const cbm_ops_layer_norm[] = { &layer_norm_op, &layer_backward_op, &rms_norm_op, &rms_backward_op, NULL };

/* ---- public functions ---- */

/* x ends in shape. false after recording the error. */
static bool ends_in(const char *name, cbm_tensor *x, const cbm_shape *shape)
{
    char text[160], own[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] x is NULL or failed", name);
        return false;
    }
    const cbm_shape is = cbm_tensor_shape(x);
    const int64_t before = is.v[0] - shape->v[0];
    bool fits = shape->v[0] >= 1 && before >= 0;
    for (int64_t i = 1; fits && i <= shape->v[0]; i++)
        fits = is.v[before + i] == shape->v[i];
    if (fits)
        return true;
    (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] x %s does not end in the normalised shape %s", name,
                          cbm_shape_text(&is, own, sizeof own), cbm_shape_text(shape, text, sizeof text));
    return false;
}

cbm_tensor *cbm_layer_norm(cbm_tensor *x, cbm_shape normalized_shape, cbm_tensor *weight, cbm_tensor *bias, double eps)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    if (!ends_in("layer_norm", x, &normalized_shape))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[layer_norm] no result");
    const cbm_layer_norm_attributes a = { normalized_shape.v[0], eps };
    const cbm_dtype dtype = cbm_statistics_dtype(cbm_tensor_dtype(x));
    cbm_tensor *const in[] = { x, weight != NULL ? weight : cbm_ones(cx, dtype, normalized_shape),
                               bias != NULL ? bias : cbm_zeros(cx, dtype, normalized_shape) };
    return cbm_apply(cx, &layer_norm_op, in, 3, &a, out);
}

cbm_tensor *cbm_rms_norm(cbm_tensor *x, cbm_shape normalized_shape, cbm_tensor *weight, double eps)
{
    cbm_context *cx = cbm_tensor_context(x);
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    if (!ends_in("rms_norm", x, &normalized_shape))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[rms_norm] no result");
    const cbm_dtype own = cbm_tensor_dtype(x), dtype = cbm_statistics_dtype(own);
    const double smallest = own == CBM_F64 ? DBL_EPSILON : own == CBM_BF16 ? 0x1p-7 : (double)FLT_EPSILON;
    const cbm_layer_norm_attributes a = { normalized_shape.v[0], eps < 0 ? smallest : eps };
    cbm_tensor *const in[] = { x, weight != NULL ? weight : cbm_ones(cx, dtype, normalized_shape) };
    return cbm_apply(cx, &rms_norm_op, in, 2, &a, out);
}
