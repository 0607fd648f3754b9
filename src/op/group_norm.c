/* group_norm.c: normalisation of groups of channels, sample by sample (Wu and He 2018), with its gradient; and what is made
   of it: instance norm (Ulyanov, Vedaldi and Lempitsky 2016). Also local response norm (Krizhevsky et al. 2012). Rests on
   op/norm.h. */
#include "op/norm.h"

/* ---- helpers in operations ---- */

/* x (N, C, ...) as (N, groups, elements of a group). */
static cbm_tensor *in_groups(cbm_tensor *x, int64_t groups)
{
    const cbm_shape shape = cbm_tensor_shape(x);
    int64_t elements = shape.v[2] / groups;
    for (int64_t i = 3; i <= shape.v[0]; i++)
        elements *= shape.v[i];
    return cbm_reshape(x, (cbm_shape){ { 3, shape.v[1], groups, elements } });
}

/* Statistics (N, groups) as (N, groups, 1). */
static cbm_tensor *over_groups(cbm_tensor *statistics)
{
    return cbm_unsqueeze(statistics, 2);
}

static cbm_tensor *as_x(cbm_tensor *t, cbm_tensor *x)
{
    return cbm_reshape(t, cbm_tensor_shape(x));
}

static int64_t groups_of(const void *attributes)
{
    return ((const cbm_group_norm_attributes *)attributes)->groups;
}

static const cbm_shape elements = { { 1, 2 } };

/* ---- shape rules ---- */
static bool normalises(cbm_infer *infer, size_t vectors, size_t statistics)
{
    char text[160];
    const cbm_group_norm_attributes *a = infer->attributes;
    const cbm_shape *x = &infer->in_shape[0];
    cbm_shape_text(x, text, sizeof text);
    if (!cbm_norm_dtypes(infer, vectors + statistics))
        return false;
    if (x->v[0] < 2)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x %s must have at least 2 dimensions: (N, C, ...)", text);
    if (a->groups < 1 || x->v[2] % a->groups != 0)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "%lld channels of x %s do not divide into %lld groups",
                              (long long)x->v[2], text, (long long)a->groups);
    for (int64_t i = 2; i <= x->v[0]; i++)
        if (x->v[i] < 1)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there is nothing to normalise in x %s", text);
    const cbm_shape channels = { { 1, x->v[2] } }, groups = { { 2, x->v[1], a->groups } };
    for (size_t i = 1; i < infer->n_in; i++) {
        const bool statistic = i > vectors && i <= vectors + statistics;
        const cbm_shape *must = i <= vectors ? &channels : statistic ? &groups : x;
        if (!cbm_rule_shape(infer, i,
                            i <= vectors ? "a vector of the channels"
                            : statistic  ? "a statistic"
                                         : "g",
                            must))
            return false;
    }
    infer->out_shape[0] = *x;
    for (size_t i = 1; i < infer->n_out; i++)
        infer->out_shape[i] = statistics > 0 ? channels : groups;
    return true;
}

static bool group_norm_infer(cbm_infer *infer)
{
    return normalises(infer, 2, 0);
}

static bool backward_infer(cbm_infer *infer)
{
    return normalises(infer, 1, 2);
}

/* ---- by other operations ---- */
static bool group_norm_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                 cbm_tensor **out)
{
    const cbm_group_norm_attributes *a = attributes;
    const int64_t rank = cbm_tensor_rank(in[0]);
    (void)cx;
    (void)n;
    cbm_tensor *x = in_groups(cbm_for_statistics(in[0]), a->groups);
    out[1] = cbm_mean_over(x, elements, false);
    cbm_tensor *centred = cbm_sub(x, over_groups(out[1]));
    out[2] = cbm_one_over_sqrt(cbm_mean_over(cbm_mul(centred, centred), elements, false), a->eps);
    cbm_tensor *normal = as_x(cbm_mul(centred, over_groups(out[2])), in[0]);
    out[0] = cbm_cast(cbm_add(cbm_mul(normal, cbm_over_channels(in[1], rank)), cbm_over_channels(in[2], rank)),
                      cbm_tensor_dtype(in[0]));
    return true;
}

/* With z the normalised x and h = weight g: dx = rstd (h - mean of h - z mean of h z), the means over a group. */
static bool backward_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                               cbm_tensor **out)
{
    const int64_t groups = groups_of(attributes), rank = cbm_tensor_rank(in[0]);
    const cbm_shape axes = cbm_axes_but_channels(rank);
    cbm_tensor *scale = over_groups(in[3]), *g = cbm_for_statistics(in[4]);
    (void)cx;
    (void)n;
    cbm_tensor *z = cbm_mul(cbm_sub(in_groups(cbm_for_statistics(in[0]), groups), over_groups(in[2])), scale);
    cbm_tensor *h = in_groups(cbm_mul(g, cbm_over_channels(in[1], rank)), groups);
    cbm_tensor *rest =
        cbm_sub(cbm_sub(h, cbm_mean_over(h, elements, true)), cbm_mul(z, cbm_mean_over(cbm_mul(h, z), elements, true)));
    out[0] = cbm_cast(as_x(cbm_mul(rest, scale), in[0]), cbm_tensor_dtype(in[0]));
    out[1] = cbm_sum_over(cbm_mul(g, as_x(z, in[0])), axes, false);
    out[2] = cbm_sum_over(g, axes, false);
    return true;
}

static const cbm_op backward_op;

static void group_norm_vjp(cbm_vjp *v)
{
    const int64_t groups = groups_of(v->attributes);
    cbm_tensor *x = v->in[0], *over[4] = { v->out[1], v->out[2], v->out_gradient[1], v->out_gradient[2] };
    if (v->out_gradient[0] != NULL) {
        cbm_tensor *const in[] = { x, v->in[1], v->out[1], v->out[2], v->out_gradient[0] };
        cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
        (void)cbm_apply(v->cx, &backward_op, in, 5, v->attributes, out);
        for (size_t i = 0; i < 3; i++)
            v->in_gradient[i] = v->needed[i] ? out[i] : NULL;
    }
    if (!v->needed[0] || (over[2] == NULL && over[3] == NULL))
        return;
    for (size_t i = 0; i < 4; i++) /* derivatives of higher order */
        over[i] = over[i] != NULL ? over_groups(over[i]) : NULL;
    cbm_tensor *lines = in_groups(x, groups);
    cbm_tensor *extra =
        cbm_through_statistics(lines, over[0], over[1], over[2], over[3], (double)cbm_tensor_size(lines, 2));
    extra = as_x(cbm_expand(extra, cbm_tensor_shape(lines)), x);
    v->in_gradient[0] = cbm_gradients_joined(x, v->in_gradient[0], extra);
}

/* ---- cost, samples, records ---- */
static void norm_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *x = &shapes->in[0];
    cost->flops = 7 * (double)x->count;
    cost->bytes = (double)(shapes->n_in >= 5 ? 3 : 2) * (double)x->count * (double)cbm_dtype_size(x->dtype);
}

static const cbm_attribute norm_fields[] = {
    CBM_FIELD(cbm_group_norm_attributes, groups, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_group_norm_attributes, eps, CBM_ATTRIBUTE_FLOAT, false),
};
static const cbm_group_norm_attributes one = { 1, 1e-5 }, two = { 2, 1e-5 }, three = { 3, 0.1 }, eight = { 8, 1e-5 };
#define FORTH(a_, g_, c_, ...)                                                                                         \
    {                                                                                                                  \
        .n_in = 3, .in = { CBM_FLOATS(-2, 2, __VA_ARGS__), CBM_FLOATS(0.5, 1.5, c_), CBM_FLOATS(-1, 1, c_) },          \
        .attributes = &(a_)                                                                                            \
    }
#define BACK(a_, g_, c_, n_, ...)                                                                                      \
    {                                                                                                                  \
        .n_in = 5,                                                                                                     \
        .in = { CBM_FLOATS(-2, 2, n_, __VA_ARGS__), CBM_FLOATS(0.5, 1.5, c_), CBM_FLOATS(-0.5, 0.5, n_, g_),           \
                CBM_FLOATS(0.5, 2, n_, g_), CBM_FLOATS(-1, 1, n_, __VA_ARGS__) },                                      \
        .attributes = &(a_)                                                                                            \
    }
#define EVERY(SAMPLE)                                                                                                  \
    SAMPLE(two, 2, 4, 2, 4, 3, 2), SAMPLE(one, 1, 3, 3, 3), SAMPLE(three, 3, 3, 2, 3, 5),                              \
        SAMPLE(eight, 8, 16, 2, 16, 1, 2, 2), SAMPLE(two, 2, 2, 0, 2, 4)
static const cbm_sample group_samples[] = { EVERY(FORTH) };
static const cbm_sample backward_samples[] = { EVERY(BACK) };

#define NORM(name_, formula_, n_in_, saves_, infer_, vjp_, decompose_, samples_)                                       \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = (n_in_), .n_out = 3, .saves = (saves_),                   \
                              .attributes_size = sizeof(cbm_group_norm_attributes), .attributes = norm_fields,         \
                              .n_attributes = CBM_COUNTOF(norm_fields), .infer = (infer_), .vjp = (vjp_),              \
                              .decompose = (decompose_), .cost = norm_cost, .autocast = CBM_AUTOCAST_NONE,             \
                              CBM_SAMPLES(samples_)                                                                    \
    }
static const cbm_op group_norm_op = NORM(
    "group_norm",
    "y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(biased variance + eps) of each sample's groups of "
    "channels",
    3, CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_OUT(1) | CBM_SAVES_OUT(2), group_norm_infer, group_norm_vjp,
    group_norm_decompose, group_samples);
static const cbm_op backward_op =
    NORM("group_norm_backward",
         "z = (x - mean) rstd, h = weight g; dx = rstd (h - mean of h - z mean of h z), dweight = sum of g z, dbias = "
         "sum of g",
         5, CBM_SAVES_ALL_IN, backward_infer, NULL, backward_decompose, backward_samples);

const cbm_op *const cbm_ops_group_norm[] = { &group_norm_op, &backward_op, NULL };

/* ---- public functions ---- */

/* y; its statistics (N, groups) in out[1] and out[2]. */
static cbm_tensor *group_norm(cbm_tensor *x, int64_t groups, cbm_tensor *weight, cbm_tensor *bias, double eps,
                              cbm_tensor **out)
{
    cbm_context *cx = cbm_tensor_context(x);
    const cbm_group_norm_attributes a = { groups, eps };
    const cbm_dtype dtype = cbm_statistics_dtype(cbm_tensor_dtype(x));
    const cbm_shape channels = { { 1, cbm_tensor_rank(x) > 1 ? cbm_tensor_size(x, 1) : 1 } };
    cbm_tensor *const in[] = { x, weight != NULL ? weight : cbm_ones(cx, dtype, channels),
                               bias != NULL ? bias : cbm_zeros(cx, dtype, channels) };
    return cbm_apply(cx, &group_norm_op, in, 3, &a, out);
}

cbm_tensor *cbm_group_norm(cbm_tensor *x, int64_t groups, cbm_tensor *weight, cbm_tensor *bias, double eps)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[group_norm] x is NULL or failed");
    return group_norm(x, groups, weight, bias, eps, out);
}

/* One group a channel; running statistics move towards the samples' mean of them. */
cbm_tensor *cbm_instance_norm(cbm_tensor *x, cbm_tensor *running_mean, cbm_tensor *running_var, cbm_tensor *weight,
                              cbm_tensor *bias, bool training, double momentum, double eps)
{
    static const cbm_shape samples = { { 1, 0 } };
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    if (!cbm_usable(cx, x))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[instance_norm] x is NULL or failed");
    const cbm_shape shape = cbm_tensor_shape(x);
    if (shape.v[0] < 3)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[instance_norm] x %s must have at least 3 dimensions: (N, C, ...)",
                               cbm_shape_text(&shape, text, sizeof text));
    if (!training)
        return cbm_batch_norm(x, running_mean, running_var, weight, bias, false, momentum, eps);
    double places = 1;
    for (int64_t i = 3; i <= shape.v[0]; i++)
        places *= (double)shape.v[i];
    if (places < 2)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[instance_norm] x %s has fewer than two values a channel",
                               cbm_shape_text(&shape, text, sizeof text));
    cbm_tensor *y = group_norm(x, shape.v[2], weight, bias, eps, out);
    if (cbm_tensor_failed(y) || (running_mean == NULL && running_var == NULL))
        return y;
    /* The unbiased variances are averaged, not the rstd that they come from: rstd of the averaged variance stands for it. */
    const cbm_running running = { running_mean, running_var, momentum, NULL };
    const cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    cbm_scope *scope = cbm_scope_begin_with(cx, &options);
    cbm_tensor *rstd = cbm_detach(out[2]);
    cbm_tensor *variance = cbm_div(cbm_number_like(rstd, 1), cbm_mul(rstd, rstd)); /* with eps */
    cbm_tensor *mean_variance = cbm_mean_over(variance, samples, false);
    cbm_running_move(&running, cbm_mean_over(cbm_detach(out[1]), samples, false),
                     cbm_div(cbm_number_like(rstd, 1), cbm_sqrt(mean_variance)), places, eps);
    cbm_scope_end(scope);
    return y;
}

/* The mean of the squares of neighbouring channels is an average over windows of an axis of its own. */
cbm_tensor *cbm_local_response_norm(cbm_tensor *x, int64_t size, double alpha, double beta, double k)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[local_response_norm] x is NULL or failed");
    const cbm_shape shape = cbm_tensor_shape(x);
    if (shape.v[0] < 3)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE,
                               "[local_response_norm] x %s must have at least 3 dimensions: (N, C, ...)",
                               cbm_shape_text(&shape, text, sizeof text));
    if (size < 1)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[local_response_norm] size %lld is not at least 1",
                               (long long)size);
    if (cbm_shape_count(&shape) == 0)
        return x;
    const cbm_pool_options windows = { .struct_size = sizeof windows,
                                       .stride = { { 1, 1 } },
                                       .padding = { { 2, size / 2, 0 } },
                                       .divisor_override = size };
    const int64_t places = cbm_shape_count(&shape) / (shape.v[1] * shape.v[2]);
    cbm_tensor *planes = cbm_reshape(cbm_mul(x, x), (cbm_shape){ { 4, shape.v[1], 1, shape.v[2], places } });
    cbm_tensor *mean = cbm_avg_pool2d_with(planes, (cbm_shape){ { 2, size, 1 } }, &windows);
    if (size % 2 == 0) /* as many zeros before as after make one window too many */
        mean = cbm_slice(mean, 2, 0, shape.v[2], 1);
    cbm_tensor *scale = cbm_pow_scalar(cbm_add_scalar(cbm_mul_scalar(cbm_reshape(mean, shape), alpha), k), -beta);
    return cbm_mul(x, scale);
}
