/* norm.c: batch normalisation (Ioffe and Szegedy 2015) with its gradient, and the public function that keeps the running
   statistics. Rests on op/families.h. */
#include "op/norm.h"

#include <string.h>

/* ---- helpers in operations: statistics are per channel, axis 1 ---- */

/* Elements of one channel. */
static double channel_count(cbm_tensor *x)
{
    const int64_t channels = cbm_tensor_size(x, 1);
    return channels > 0 ? (double)(cbm_tensor_count(x) / channels) : 0;
}

double cbm_share_of(double n)
{
    return n > 0 ? 1 / n : 0;
}

cbm_tensor *cbm_one_over_sqrt(cbm_tensor *variance, double eps)
{
    return cbm_div(cbm_number_like(variance, 1), cbm_sqrt(cbm_add_scalar(variance, eps)));
}

cbm_tensor *cbm_through_statistics(cbm_tensor *x, cbm_tensor *mean, cbm_tensor *rstd, cbm_tensor *mean_gradient,
                                   cbm_tensor *rstd_gradient, double n)
{
    const double share = cbm_share_of(n);
    cbm_tensor *extra = mean_gradient != NULL ? cbm_mul_scalar(mean_gradient, share) : NULL;
    if (rstd_gradient == NULL)
        return extra;
    cbm_tensor *cube = cbm_mul(cbm_mul(rstd, rstd), rstd), *wide = cbm_for_statistics(x);
    cbm_tensor *slope = cbm_mul_scalar(cbm_mul(rstd_gradient, cube), -share);
    cbm_tensor *part = cbm_mul(slope, mean != NULL ? cbm_sub(wide, mean) : wide);
    return extra == NULL ? part : cbm_add(part, extra);
}

cbm_tensor *cbm_gradients_joined(cbm_tensor *x, cbm_tensor *a, cbm_tensor *b)
{
    const cbm_dtype dtype = cbm_tensor_dtype(x);
    if (a != NULL && b != NULL)
        return cbm_add(cbm_cast(a, dtype), cbm_cast(b, dtype));
    cbm_tensor *one = a != NULL ? a : b;
    return one != NULL ? cbm_expand(cbm_cast(one, dtype), cbm_tensor_shape(x)) : NULL;
}

/* ---- shape rules ---- */
bool cbm_norm_dtypes(cbm_infer *infer, size_t vectors)
{
    const cbm_dtype statistics = cbm_statistics_dtype(infer->in_dtype[0]);
    if (!cbm_rule_floating(infer, 0))
        return false;
    for (size_t i = 1; i < infer->n_in; i++) {
        const cbm_dtype must = i <= vectors ? statistics : infer->in_dtype[0];
        if (infer->in_dtype[i] != must)
            return cbm_infer_fail(
                infer, CBM_ERROR_DTYPE, "x is %s, so input %zu must be %s, not %s. HINT: convert it with cbm_cast",
                cbm_dtype_name(infer->in_dtype[0]), i + 1, cbm_dtype_name(must), cbm_dtype_name(infer->in_dtype[i]));
    }
    for (size_t i = 0; i < infer->n_out; i++)
        infer->out_dtype[i] = i == 0 ? infer->in_dtype[0] : statistics;
    return true;
}

static bool normalises(cbm_infer *infer, size_t vectors)
{
    char text[160];
    const cbm_shape *x = &infer->in_shape[0];
    if (!cbm_norm_dtypes(infer, vectors))
        return false;
    if (x->v[0] < 2)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x %s must have at least 2 dimensions: (N, C, ...)",
                              cbm_shape_text(x, text, sizeof text));
    const cbm_shape channels = { { 1, x->v[2] } };
    for (size_t i = 1; i <= vectors; i++)
        if (!cbm_rule_shape(infer, i, "a vector of the channels", &channels))
            return false;
    infer->out_shape[0] = *x;
    for (size_t i = 1; i < infer->n_out; i++)
        infer->out_shape[i] = channels;
    return true;
}

static bool batch_norm_infer(cbm_infer *infer)
{
    return normalises(infer, 2);
}

static bool backward_infer(cbm_infer *infer)
{
    return normalises(infer, 3) && cbm_rule_shape(infer, 4, "g", &infer->in_shape[0]);
}

static bool relu_backward_infer(cbm_infer *infer)
{
    return normalises(infer, 4) && cbm_rule_shape(infer, 5, "g", &infer->in_shape[0]);
}

/* ---- batch_norm ---- */
static bool batch_norm_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                 cbm_tensor **out)
{
    const cbm_batch_norm_attributes *a = attributes;
    const int64_t rank = cbm_tensor_rank(in[0]);
    const cbm_shape axes = cbm_axes_but_channels(rank);
    (void)cx;
    (void)n;
    cbm_tensor *x = cbm_for_statistics(in[0]);
    out[1] = cbm_mean_over(x, axes, false);
    cbm_tensor *centred = cbm_sub(x, cbm_over_channels(out[1], rank));
    out[2] = cbm_one_over_sqrt(cbm_mean_over(cbm_mul(centred, centred), axes, false), a->eps);
    cbm_tensor *normal = cbm_mul(centred, cbm_over_channels(out[2], rank));
    out[0] = cbm_cast(cbm_add(cbm_mul(normal, cbm_over_channels(in[1], rank)), cbm_over_channels(in[2], rank)),
                      cbm_tensor_dtype(in[0]));
    return true;
}

static const cbm_op backward_op, relu_backward_op;

/* Whether g is the gradient through the ReLU of y, where(relu(y) <= 0, 0, h), and then h: a ReLU behind the norm is undone
   in the norm's own gradient. */
static cbm_tensor *before_relu(cbm_context *cx, cbm_tensor *y, cbm_tensor *g)
{
    cbm_node *choice = cbm_made_by(g->value, "where");
    cbm_node *below = choice != NULL ? cbm_made_by(choice->in[0], "less_equal") : NULL;
    cbm_node *relu = below != NULL ? cbm_made_by(below->in[0], "relu") : NULL;
    return relu != NULL && relu->in[0] == y->value ? cbm_handle(cx, choice->in[2]) : NULL;
}

static void batch_norm_vjp(cbm_vjp *v)
{
    cbm_tensor *x = v->in[0], *mean = v->out[1], *rstd = v->out[2];
    const int64_t rank = cbm_tensor_rank(x);
    if (v->out_gradient[0] != NULL) {
        cbm_tensor *g = v->out_gradient[0], *h = before_relu(v->cx, v->out[0], g);
        cbm_tensor *const in[] = { x, v->in[1], mean, rstd, g };
        cbm_tensor *const relu_in[] = { x, v->in[1], v->in[2], mean, rstd, h };
        cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
        if (h != NULL)
            (void)cbm_apply(v->cx, &relu_backward_op, relu_in, 6, NULL, out);
        else
            (void)cbm_apply(v->cx, &backward_op, in, 5, NULL, out);
        for (size_t i = 0; i < 3; i++)
            if (v->needed[i])
                v->in_gradient[i] = out[i];
    }
    if (!v->needed[0] || (v->out_gradient[1] == NULL && v->out_gradient[2] == NULL))
        return;
    cbm_tensor *over[4] = { mean, rstd, v->out_gradient[1], v->out_gradient[2] }; /* derivatives of higher order */
    for (size_t i = 0; i < 4; i++)
        over[i] = over[i] != NULL ? cbm_over_channels(over[i], rank) : NULL;
    v->in_gradient[0] = cbm_gradients_joined(
        x, v->in_gradient[0], cbm_through_statistics(x, over[0], over[1], over[2], over[3], channel_count(x)));
}

static void norm_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *x = &shapes->in[0];
    cost->flops = 7 * (double)x->count; /* mean 1, variance 3, result 3; the gradient's sums and result are as many */
    cost->bytes = (double)(shapes->n_in >= 5 ? 3 : 2) * (double)x->count * (double)cbm_dtype_size(x->dtype);
}

static const cbm_attribute norm_fields[] = {
    CBM_FIELD(cbm_batch_norm_attributes, eps, CBM_ATTRIBUTE_FLOAT, false),
};
static const cbm_batch_norm_attributes usual = { 1e-5 }, large = { 0.1 };
#define NORM_SAMPLE(eps_, c_, ...)                                                                                     \
    {                                                                                                                  \
        .n_in = 3, .in = { CBM_FLOATS(-2, 2, __VA_ARGS__), CBM_FLOATS(0.5, 1.5, c_), CBM_FLOATS(-1, 1, c_) },          \
        .attributes = &(eps_)                                                                                          \
    }
static const cbm_sample batch_norm_samples[] = {
    NORM_SAMPLE(usual, 3, 2, 3, 4, 2),
    NORM_SAMPLE(usual, 5, 6, 5),
    NORM_SAMPLE(large, 1, 3, 1, 2),
    NORM_SAMPLE(large, 17, 4, 17, 1, 3),
};
static const cbm_op batch_norm_op = {
    CBM_OP_RECORD("batch_norm"),
    .formula = "y = (x - mean) rstd weight + bias, mean and rstd = 1 / sqrt(biased variance + eps) of each channel",
    .n_in = 3,
    .n_out = 3,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_IN(2) | CBM_SAVES_OUT(1) | CBM_SAVES_OUT(2),
    .attributes_size = sizeof(cbm_batch_norm_attributes),
    .attributes = norm_fields,
    .n_attributes = CBM_COUNTOF(norm_fields),
    .infer = batch_norm_infer,
    .vjp = batch_norm_vjp,
    .decompose = batch_norm_decompose,
    .cost = norm_cost,
    .autocast = CBM_AUTOCAST_NONE,
    CBM_SAMPLES(batch_norm_samples),
};

/* ---- batch_norm_backward: with z = (x - mean) rstd and n elements a channel,
        dbias = sum g, dweight = sum g z, dx = weight rstd (g - dbias / n - z dweight / n) ---- */
static bool backward_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                               cbm_tensor **out)
{
    cbm_tensor *x = cbm_for_statistics(in[0]), *weight = in[1], *mean = in[2], *rstd = in[3],
               *g = cbm_for_statistics(in[4]);
    const int64_t rank = cbm_tensor_rank(x);
    const cbm_shape axes = cbm_axes_but_channels(rank);
    const double share = cbm_share_of(channel_count(x));
    (void)cx;
    (void)attributes;
    (void)n;
    cbm_tensor *z = cbm_mul(cbm_sub(x, cbm_over_channels(mean, rank)), cbm_over_channels(rstd, rank));
    out[1] = cbm_sum_over(cbm_mul(g, z), axes, false);
    out[2] = cbm_sum_over(g, axes, false);
    cbm_tensor *along_bias = cbm_over_channels(cbm_mul_scalar(out[2], share), rank);
    cbm_tensor *along_weight = cbm_mul(z, cbm_over_channels(cbm_mul_scalar(out[1], share), rank));
    cbm_tensor *rest = cbm_sub(cbm_sub(g, along_bias), along_weight);
    out[0] = cbm_cast(cbm_mul(rest, cbm_over_channels(cbm_mul(weight, rstd), rank)), cbm_tensor_dtype(in[0]));
    return true;
}

#define BACKWARD_SAMPLE(c_, ...)                                                                                       \
    {                                                                                                                  \
        .n_in = 5, .in = {                                                                                             \
            CBM_FLOATS(-2, 2, __VA_ARGS__),                                                                            \
            CBM_FLOATS(0.5, 1.5, c_),                                                                                  \
            CBM_FLOATS(-0.5, 0.5, c_),                                                                                 \
            CBM_FLOATS(0.5, 2, c_),                                                                                    \
            CBM_FLOATS(-1, 1, __VA_ARGS__)                                                                             \
        }                                                                                                              \
    }
static const cbm_sample backward_samples[] = {
    BACKWARD_SAMPLE(3, 2, 3, 4, 2),
    BACKWARD_SAMPLE(5, 6, 5),
    BACKWARD_SAMPLE(1, 3, 1, 2),
    BACKWARD_SAMPLE(17, 4, 17, 1, 3),
};
static const cbm_op backward_op = {
    CBM_OP_RECORD("batch_norm_backward"),
    .formula =
        "z = (x - mean) rstd; dx = weight rstd (g - mean of g - z mean of g z), dweight = sum of g z, dbias = sum of g",
    .n_in = 5,
    .n_out = 3,
    .saves = CBM_SAVES_ALL_IN,
    .infer = backward_infer,
    .decompose = backward_decompose,
    .cost = norm_cost,
    .autocast = CBM_AUTOCAST_NONE,
    CBM_SAMPLES(backward_samples),
};

/* ---- batch_norm_relu_backward: the same with g only where the normalised value z weight + bias is not below 0 ---- */
static bool relu_backward_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                    cbm_tensor **out)
{
    cbm_tensor *x = in[0], *weight = in[1], *bias = in[2], *mean = in[3], *rstd = in[4], *g = in[5];
    const int64_t rank = cbm_tensor_rank(x);
    cbm_tensor *scale = cbm_over_channels(cbm_mul(weight, rstd), rank), *zero = cbm_number_like(g, 0);
    cbm_tensor *centred = cbm_sub(cbm_for_statistics(x), cbm_over_channels(mean, rank));
    cbm_tensor *y = cbm_add(cbm_mul(centred, scale), cbm_over_channels(bias, rank));
    cbm_tensor *below = cbm_less_equal(y, cbm_number_like(y, 0));
    cbm_tensor *const plain[] = { x, weight, mean, rstd, cbm_where(below, zero, g) };
    return backward_decompose(cx, attributes, plain, n - 1, out);
}

#define RELU_BACKWARD_SAMPLE(c_, ...)                                                                                  \
    {                                                                                                                  \
        .n_in = 6, .in = {                                                                                             \
            CBM_DISTINCT(-2, 2, __VA_ARGS__),                                                                          \
            CBM_FLOATS(0.5, 1.5, c_),                                                                                  \
            CBM_FLOATS(0.5, 1.5, c_),                                                                                  \
            CBM_FLOATS(-0.5, 0.5, c_),                                                                                 \
            CBM_FLOATS(0.5, 2, c_),                                                                                    \
            CBM_FLOATS(-1, 1, __VA_ARGS__)                                                                             \
        }                                                                                                              \
    }
static const cbm_sample relu_backward_samples[] = {
    RELU_BACKWARD_SAMPLE(3, 2, 3, 4, 2),
    RELU_BACKWARD_SAMPLE(5, 6, 5),
    RELU_BACKWARD_SAMPLE(17, 4, 17, 1, 3),
};
static const cbm_op relu_backward_op = {
    CBM_OP_RECORD("batch_norm_relu_backward"),
    .formula = "batch_norm_backward with g = 0 where (x - mean) rstd weight + bias <= 0",
    .n_in = 6,
    .n_out = 3,
    .saves = CBM_SAVES_ALL_IN,
    .infer = relu_backward_infer,
    .decompose = relu_backward_decompose,
    .cost = norm_cost,
    .autocast = CBM_AUTOCAST_NONE,
    CBM_SAMPLES(relu_backward_samples),
};

const cbm_op *const cbm_ops_norm[] = { &batch_norm_op, &backward_op, &relu_backward_op, NULL };

/* ---- the public function ---- */

/* variable <- (1 - momentum) variable + momentum seen; with 1 / counter for the momentum, the mean of all that were seen. */
static void move_towards(cbm_tensor *variable, cbm_tensor *seen, const cbm_running *r)
{
    if (r->counter == NULL) {
        cbm_assign(variable, cbm_add(cbm_mul_scalar(variable, 1 - r->momentum), cbm_mul_scalar(seen, r->momentum)));
        return;
    }
    cbm_tensor *count = cbm_cast(r->counter, cbm_tensor_dtype(variable));
    cbm_assign(variable, cbm_add(variable, cbm_div(cbm_sub(seen, variable), count)));
}

/* The unbiased variance comes back from rstd: (1 / rstd^2 - eps) n / (n - 1); rounding may not make it negative. */
void cbm_running_move(const cbm_running *r, cbm_tensor *mean, cbm_tensor *rstd, double n, double eps)
{
    const cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    cbm_scope *scope = cbm_scope_begin_with(cbm_tensor_context(mean), &options);
    if (r->mean != NULL)
        move_towards(r->mean, cbm_detach(mean), r);
    if (r->var != NULL) {
        cbm_tensor *own = cbm_detach(rstd);
        cbm_tensor *biased = cbm_add_scalar(cbm_div(cbm_number_like(own, 1), cbm_mul(own, own)), -eps);
        move_towards(r->var, cbm_mul_scalar(cbm_relu(biased), n / (n - 1)), r);
    }
    cbm_scope_end(scope);
}

cbm_tensor *cbm_batch_norm_train(cbm_tensor *x, const cbm_running *r, cbm_tensor *weight, cbm_tensor *bias, double eps)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[batch_norm] x is NULL or failed");
    if (cbm_tensor_rank(x) < 2)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[batch_norm] x must have at least 2 dimensions: (N, C, ...)");
    const cbm_shape channels = { { 1, cbm_tensor_size(x, 1) } };
    const cbm_batch_norm_attributes attributes = { eps };
    if (channel_count(x) < 2)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE,
                               "[batch_norm] training needs at least two values a channel. HINT: a "
                               "larger batch (drop_last in the loader), or cbm_eval");
    const cbm_dtype dtype = cbm_statistics_dtype(cbm_tensor_dtype(x));
    cbm_tensor *const in[] = {
        x,
        weight != NULL ? weight : cbm_ones(cx, dtype, channels),
        bias != NULL ? bias : cbm_zeros(cx, dtype, channels),
    };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_tensor *y = cbm_apply(cx, &batch_norm_op, in, 3, &attributes, out);
    if (!cbm_tensor_failed(y))
        cbm_running_move(r, out[1], out[2], channel_count(x), eps);
    return y;
}

cbm_tensor *cbm_batch_norm(cbm_tensor *x, cbm_tensor *running_mean, cbm_tensor *running_var, cbm_tensor *weight,
                           cbm_tensor *bias, bool training, double momentum, double eps)
{
    cbm_context *cx = cbm_tensor_context(x);
    const cbm_running running = { running_mean, running_var, momentum, NULL };
    if (training)
        return cbm_batch_norm_train(x, &running, weight, bias, eps);
    if (!cbm_usable(cx, x))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[batch_norm] x is NULL or failed");
    const int64_t rank = cbm_tensor_rank(x);
    if (rank < 2)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[batch_norm] x must have at least 2 dimensions: (N, C, ...)");
    cbm_tensor *const vectors[] = { running_mean, running_var, weight, bias };
    for (size_t i = 0; i < CBM_COUNTOF(vectors); i++) {
        if (vectors[i] == NULL && i < 2)
            return cbm_fail_tensor(cx, CBM_ERROR_STATE, "[batch_norm] no running statistics to evaluate with");
        if (vectors[i] == NULL)
            continue;
        if (!cbm_usable(cx, vectors[i]))
            return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[batch_norm] an input failed");
        if (cbm_tensor_rank(vectors[i]) != 1 || cbm_tensor_count(vectors[i]) != cbm_tensor_size(x, 1))
            return cbm_fail_tensor(cx, CBM_ERROR_SHAPE,
                                   "[batch_norm] x has %lld channels, a vector of theirs %lld elements",
                                   (long long)cbm_tensor_size(x, 1), (long long)cbm_tensor_count(vectors[i]));
    }
    cbm_tensor *scale = cbm_one_over_sqrt(running_var, eps);
    if (weight != NULL)
        scale = cbm_mul(scale, weight);
    cbm_tensor *y =
        cbm_mul(cbm_sub(cbm_for_statistics(x), cbm_over_channels(running_mean, rank)), cbm_over_channels(scale, rank));
    if (bias != NULL)
        y = cbm_add(y, cbm_over_channels(bias, rank));
    return cbm_cast(y, cbm_tensor_dtype(x));
}
