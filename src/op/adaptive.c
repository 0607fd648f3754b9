/* adaptive.c: pooling to a size, and putting maxima back where they came from. Rests on op/families.h. */
#include "op/families.h"

enum { DIMENSIONS = 3 };
#define LARGEST ((int64_t)1 << 24)

/* (N, C, rest) with the rest as one axis. */
static cbm_tensor *as_lines(cbm_tensor *x)
{
    return cbm_flatten(x, 2);
}

/* ---- adaptive_max_pool ---- */
static bool dimensions_fit(cbm_infer *infer, const cbm_shape *output)
{
    char text[160];
    const cbm_shape *x = &infer->in_shape[0];
    const int64_t n = x->v[0] - 2;
    if (n < 1 || n > DIMENSIONS || output->v[0] != n)
        return cbm_infer_fail(
            infer, CBM_ERROR_SHAPE,
            "x %s must have 3 to 5 dimensions, (N, C, ...), and output an entry for each from the third "
            "on",
            cbm_shape_text(x, text, sizeof text));
    infer->out_shape[0] = (cbm_shape){ { n + 2, x->v[1], x->v[2] } };
    for (int64_t i = 1; i <= n; i++) {
        if (output->v[i] < 1 || output->v[i] > LARGEST || x->v[2 + i] < 1 || x->v[2 + i] > LARGEST)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "from %lld to %lld places: needs 1 to %lld",
                                  (long long)x->v[2 + i], (long long)output->v[i], (long long)LARGEST);
        infer->out_shape[0].v[2 + i] = output->v[i];
    }
    return true;
}

static bool max_infer(cbm_infer *infer)
{
    const cbm_output_attributes *a = infer->attributes;
    if (!cbm_rule_floating(infer, 0) || !dimensions_fit(infer, &a->output))
        return false;
    infer->out_dtype[0] = infer->in_dtype[0];
    infer->out_shape[1] = infer->out_shape[0];
    infer->out_dtype[1] = CBM_I64;
    return true;
}

static void max_vjp(cbm_vjp *v)
{
    const cbm_shape shape = cbm_tensor_shape(v->in[0]);
    const cbm_axis_attributes places = { 2 };
    cbm_tensor *zeros = as_lines(cbm_zeros_like(v->in[0]));
    cbm_tensor *lines =
        cbm_apply3(&cbm_op_scatter_add, zeros, as_lines(v->out[1]), as_lines(v->out_gradient[0]), &places);
    v->in_gradient[0] = cbm_reshape(lines, shape);
}

static void max_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *x = &shapes->in[0], *y = &shapes->out[0];
    cost->flops = (double)(x->count > y->count ? x->count : y->count);
    cost->bytes = (double)(x->count + y->count) * (double)cbm_dtype_size(x->dtype) + 8 * (double)y->count;
}

static const cbm_attribute output_fields[] = {
    CBM_FIELD(cbm_output_attributes, output, CBM_ATTRIBUTE_SHAPE, false),
};
static const cbm_output_attributes four = { CBM_DIMS(4) }, three_two = { CBM_DIMS(3, 2) }, one_one = { CBM_DIMS(1, 1) },
                                   two_three_four = { CBM_DIMS(2, 3, 4) };
static const cbm_sample max_samples[] = {
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3, 9) }, .attributes = &four },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 3, 7, 5) }, .attributes = &three_two },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 2, 2, 4, 5) }, .attributes = &one_one },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 1, 2, 3, 4, 6) }, .attributes = &two_three_four },
    { .n_in = 1, .in = { CBM_DISTINCT(-2, 2, 0, 2, 4, 5) }, .attributes = &one_one },
};
static const cbm_op max_op = {
    CBM_OP_RECORD("adaptive_max_pool"),
    .formula = "largest x of places floor(i L / M) to ceil((i + 1) L / M) - 1 of each axis (NaN wins), and its index "
               "among the places of its channel",
    .n_in = 1,
    .n_out = 2,
    .saves = CBM_SAVES_OUT(1),
    .attributes_size = sizeof(cbm_output_attributes),
    .attributes = output_fields,
    .n_attributes = CBM_COUNTOF(output_fields),
    .infer = max_infer,
    .vjp = max_vjp,
    .cost = max_cost,
    CBM_SAMPLES(max_samples),
};

/* ---- max_unpool ---- */
static bool unpool_infer(cbm_infer *infer)
{
    const cbm_output_attributes *a = infer->attributes;
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_floating(infer, 0) && dimensions_fit(infer, &a->output) &&
           cbm_rule_shape(infer, 1, "indices", &infer->in_shape[0]) && cbm_rule_index_dtype(infer, 1, "indices");
}

static void unpool_vjp(cbm_vjp *v)
{
    const cbm_axis_attributes places = { 2 };
    cbm_tensor *taken = cbm_apply2(&cbm_op_gather, as_lines(v->out_gradient[0]), as_lines(v->in[1]), &places);
    v->in_gradient[0] = cbm_reshape(taken, cbm_tensor_shape(v->in[0]));
}

static void unpool_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    cost->flops = 0;
    cost->bytes = (double)(shapes->in[0].count + shapes->out[0].count) * (double)cbm_dtype_size(shapes->in[0].dtype) +
                  8 * (double)shapes->in[1].count;
}

static const cbm_output_attributes six = { CBM_DIMS(6) }, four_five = { CBM_DIMS(4, 5) };
static const cbm_sample unpool_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 1, 1, 6), { CBM_DIMS(1, 1, 6), CBM_I64, 0, 5, true } }, .attributes = &six },
    { .n_in = 2,
      .in = { CBM_FLOATS(-2, 2, 1, 1, 2, 5), { CBM_DIMS(1, 1, 2, 5), CBM_I64, 0, 19, true } },
      .attributes = &four_five },
};
static const cbm_op unpool_op = {
    CBM_OP_RECORD("max_unpool"),
    .formula = "y[n, c, index] = x[n, c, i], 0 elsewhere; of equal indices the last stays",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(1),
    .attributes_size = sizeof(cbm_output_attributes),
    .attributes = output_fields,
    .n_attributes = CBM_COUNTOF(output_fields),
    .infer = unpool_infer,
    .vjp = unpool_vjp,
    .cost = unpool_cost,
    CBM_SAMPLES(unpool_samples),
};

const cbm_op *const cbm_ops_adaptive[] = { &max_op, &unpool_op, NULL };

/* ---- public functions ---- */

cbm_tensor *cbm_max_unpool(cbm_tensor *x, cbm_tensor *indices, cbm_shape output)
{
    cbm_output_attributes a = { { { 0 } } };
    if (x != NULL && !cbm_tensor_failed(x) && !cbm_spatial(&output, cbm_tensor_rank(x) - 2, 0, &a.output))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID,
                               "[max_unpool] output takes one value, or one for each dimension from the third on");
    return cbm_apply2(&unpool_op, x, indices, &a);
}

/* The result's extents in n dimensions: -1 is x's own. false after recording the error. */
static bool read_output(const char *name, int64_t n, cbm_tensor *x, const cbm_shape *given, cbm_shape *output)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] x is NULL or failed", name);
        return false;
    }
    const cbm_shape shape = cbm_tensor_shape(x);
    if (shape.v[0] != n + 2) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] x %s must have %lld dimensions: (N, C, ...)", name,
                              cbm_shape_text(&shape, text, sizeof text), (long long)n + 2);
        return false;
    }
    if (given->v[0] == 0 || !cbm_spatial(given, n, 1, output)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] output takes %s", name, cbm_spatial_text(n));
        return false;
    }
    for (int64_t i = 1; i <= n; i++) {
        if (output->v[i] == -1)
            output->v[i] = shape.v[2 + i];
        if (output->v[i] >= 1 && shape.v[2 + i] >= 1)
            continue;
        (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] from %lld to %lld places: needs at least 1", name,
                              (long long)shape.v[2 + i], (long long)output->v[i]);
        return false;
    }
    return true;
}

/* The mean over whole axes, windows that lie side by side, or windows of uneven lengths, an axis at a time. */
static cbm_tensor *average(int64_t n, cbm_tensor *x, const cbm_shape *given)
{
    static const char *const names[] = { "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d" };
    static cbm_tensor *(*const pools[])(cbm_tensor *, cbm_shape, const cbm_pool_options *) = { cbm_avg_pool1d_with,
                                                                                               cbm_avg_pool2d_with,
                                                                                               cbm_avg_pool3d_with };
    cbm_shape output, axes = { { 0 } }, kernel = { { n } };
    cbm_resample_attributes uneven[DIMENSIONS];
    bool all = true, even = true;
    if (!read_output(names[n - 1], n, x, given, &output))
        return cbm_no_result(x, names[n - 1]);
    for (int64_t i = 1; i <= n; i++) {
        const int64_t size = cbm_tensor_size(x, 1 + i);
        all = all && output.v[i] == 1;
        even = even && size % output.v[i] == 0;
        axes.v[++axes.v[0]] = 1 + i;
        kernel.v[i] = size / output.v[i];
        uneven[i - 1] = (cbm_resample_attributes){
            .axis = 1 + i, .input = size, .output = output.v[i], .mode = CBM_INTERPOLATE_AREA
        };
    }
    if (all)
        return cbm_mean_over(x, axes, true);
    if (even)
        return pools[n - 1](x, kernel, NULL);
    return cbm_cast(cbm_resample_all(cbm_for_statistics(x), uneven, n), cbm_tensor_dtype(x));
}

static cbm_tensor *maximum(int64_t n, cbm_tensor *x, const cbm_shape *given, cbm_tensor **indices)
{
    static const char *const names[] = { "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d" };
    cbm_context *cx = cbm_tensor_context(x);
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_output_attributes a;
    cbm_tensor *y = read_output(names[n - 1], n, x, given, &a.output)
                        ? cbm_apply(cx, &max_op, &x, 1, &a, out)
                        : cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] no result", names[n - 1]);
    if (indices != NULL)
        *indices = cbm_tensor_failed(y) ? y : out[1];
    return y;
}

#define PUBLIC(n_)                                                                                                     \
    cbm_tensor *cbm_adaptive_avg_pool##n_##d(cbm_tensor *x, cbm_shape output)                                          \
    {                                                                                                                  \
        return average(n_, x, &output);                                                                                \
    }                                                                                                                  \
    cbm_tensor *cbm_adaptive_max_pool##n_##d(cbm_tensor *x, cbm_shape output, cbm_tensor **indices)                    \
    {                                                                                                                  \
        return maximum(n_, x, &output, indices);                                                                       \
    }
PUBLIC(1)
PUBLIC(2)
PUBLIC(3)
