/* loss.c: cross-entropy of logits, fused with its softmax, and mean squared error. Rests on op/families.h. */
#include "op/families.h"

/* ---- shape rules: logits (N, C, ...), targets (N, ...); beside bf16 logits everything else is f32 ---- */
static bool logits_and_targets(cbm_infer *infer, cbm_shape *rows)
{
    char tl[160], tt[160];
    const cbm_shape *logits = &infer->in_shape[0], *targets = &infer->in_shape[1];
    const cbm_dtype dtype = infer->in_dtype[1];
    if (!cbm_rule_floating(infer, 0))
        return false;
    if (dtype != CBM_I64 && dtype != CBM_I32 && dtype != CBM_U8)
        return cbm_infer_fail(
            infer, CBM_ERROR_DTYPE,
            "targets must be class numbers in i64, i32 or u8, not %s. HINT: cbm_argmax turns one-hot rows "
            "into class numbers, cbm_cast floats into integers",
            cbm_dtype_name(dtype));
    cbm_shape_text(logits, tl, sizeof tl);
    if (logits->v[0] < 2 || logits->v[2] < 1)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "logits %s must have shape (N, C) or (N, C, ...) with classes",
                              tl);
    *rows = (cbm_shape){ { logits->v[0] - 1, logits->v[1] } };
    for (int64_t i = 3; i <= logits->v[0]; i++)
        rows->v[i - 1] = logits->v[i];
    if (!cbm_shape_equal(targets, rows))
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE,
                              "targets %s do not match logits %s: one class number for each row",
                              cbm_shape_text(targets, tt, sizeof tt), tl);
    return true;
}

static bool cross_entropy_infer(cbm_infer *infer)
{
    infer->out_shape[0] = (cbm_shape){ { 0 } };
    infer->out_dtype[0] = infer->out_dtype[1] = cbm_statistics_dtype(infer->in_dtype[0]);
    return logits_and_targets(infer, &infer->out_shape[1]);
}

static bool backward_infer(cbm_infer *infer)
{
    cbm_shape rows = { { 0 } };
    const cbm_shape scalar = { { 0 } };
    if (!logits_and_targets(infer, &rows) || !cbm_rule_shape(infer, 2, "log-sum-exp", &rows) ||
        !cbm_rule_shape(infer, 3, "g", &scalar))
        return false;
    const cbm_dtype statistics = cbm_statistics_dtype(infer->in_dtype[0]);
    if (infer->in_dtype[2] != statistics || infer->in_dtype[3] != statistics)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "logits are %s, so log-sum-exp and g must hold %s",
                              cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(statistics));
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

/* ---- pieces in operations ---- */

/* The targets one-hot with classes in axis 1, as the logits are. */
static cbm_tensor *targets_one_hot(cbm_tensor *logits, cbm_tensor *targets)
{
    cbm_tensor *hot = cbm_one_hot(targets, cbm_tensor_size(logits, 1), cbm_statistics_dtype(cbm_tensor_dtype(logits)));
    const int64_t rank = cbm_tensor_rank(hot);
    cbm_shape order = { { rank, 0, rank - 1 } };
    for (int64_t i = 2; i < rank; i++)
        order.v[1 + i] = i - 1;
    return rank == 2 ? hot : cbm_permute(hot, order);
}

static cbm_tensor *probabilities(cbm_tensor *logits, cbm_tensor *log_sum)
{
    return cbm_exp(cbm_sub(cbm_for_statistics(logits), cbm_unsqueeze(log_sum, 1)));
}

static double row_share(cbm_tensor *targets)
{
    const int64_t rows = cbm_tensor_count(targets);
    return rows > 0 ? 1 / (double)rows : 0;
}

/* ---- cross_entropy ---- */
static bool cross_entropy_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                    cbm_tensor **out)
{
    const cbm_reduce_options classes = { sizeof classes, { { 1, 1 } }, 1 };
    const cbm_reduce_options whole = { .struct_size = sizeof whole };
    cbm_tensor *logits = cbm_for_statistics(in[0]), *targets = in[1];
    (void)cx;
    (void)attributes;
    (void)n;
    cbm_tensor *largest = cbm_detach(cbm_max_with(logits, &classes));
    cbm_tensor *sum = cbm_sum_over(cbm_exp(cbm_sub(logits, largest)), classes.axes, true);
    cbm_tensor *log_sum = cbm_add(cbm_log(sum), largest);
    cbm_tensor *index = cbm_unsqueeze(cbm_cast(targets, CBM_I64), 1);
    out[0] = cbm_mean_with(cbm_sub(log_sum, cbm_gather(logits, 1, index)), &whole);
    out[1] = cbm_reshape(log_sum, cbm_tensor_shape(targets));
    return true;
}

static const cbm_op backward_op;

static void cross_entropy_vjp(cbm_vjp *v)
{
    cbm_tensor *logits = v->in[0], *targets = v->in[1], *log_sum = v->out[1];
    cbm_tensor *gradient = NULL;
    if (v->out_gradient[0] != NULL) {
        cbm_tensor *const in[] = { logits, targets, log_sum, v->out_gradient[0] };
        cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
        gradient = cbm_apply(v->cx, &backward_op, in, 4, NULL, out);
    }
    /* Derivatives of higher order also come through log-sum-exp, whose slope is the softmax. */
    if (v->out_gradient[1] != NULL) {
        cbm_tensor *part = cbm_mul(probabilities(logits, log_sum), cbm_unsqueeze(v->out_gradient[1], 1));
        part = cbm_cast(part, cbm_tensor_dtype(logits));
        gradient = gradient == NULL ? part : cbm_add(gradient, part);
    }
    v->in_gradient[0] = gradient;
}

static void loss_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *logits = &shapes->in[0];
    cost->flops = 5 * (double)logits->count;
    cost->bytes = (double)(shapes->n_in == 4 ? 2 : 1) * (double)logits->count * (double)cbm_dtype_size(logits->dtype);
}

static const cbm_sample cross_entropy_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 4, 5), CBM_INDICES(0, 4, 4) } },
    { .n_in = 2, .in = { CBM_FLOATS(-9, 9, 3, 37), CBM_INDICES(0, 36, 3) } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3, 4, 2), CBM_INDICES(0, 2, 2, 4, 2) } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 1), CBM_INDICES(0, 0, 3) } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 4, 5), { CBM_DIMS(4), CBM_I32, 0, 4, false } } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 4, 5), { CBM_DIMS(4), CBM_U8, 0, 4, false } } },
};
static const cbm_op cross_entropy_op = {
    CBM_OP_RECORD("cross_entropy"),
    .formula = "mean over rows of log sum over c of e^x[c] - x[target]",
    .n_in = 2,
    .n_out = 2,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_OUT(1),
    .infer = cross_entropy_infer,
    .vjp = cross_entropy_vjp,
    .decompose = cross_entropy_decompose,
    .cost = loss_cost,
    .differentiable_in = 1,
    .autocast = CBM_AUTOCAST_NONE,
    CBM_SAMPLES(cross_entropy_samples),
};

/* ---- cross_entropy_backward ---- */
static bool backward_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                               cbm_tensor **out)
{
    (void)cx;
    (void)attributes;
    (void)n;
    cbm_tensor *difference = cbm_sub(probabilities(in[0], in[2]), targets_one_hot(in[0], in[1]));
    out[0] = cbm_cast(cbm_mul(difference, cbm_mul_scalar(in[3], row_share(in[1]))), cbm_tensor_dtype(in[0]));
    return true;
}

static const cbm_sample backward_samples[] = {
    { .n_in = 4, .in = { CBM_FLOATS(-2, 2, 4, 5), CBM_INDICES(0, 4, 4), CBM_FLOATS(2, 3, 4), CBM_FLOAT(0.5, 1) } },
    { .n_in = 4,
      .in = { CBM_FLOATS(-2, 2, 2, 3, 4, 2), CBM_INDICES(0, 2, 2, 4, 2), CBM_FLOATS(1, 3, 2, 4, 2),
              CBM_FLOAT(0.5, 1) } },
    { .n_in = 4, .in = { CBM_FLOATS(-2, 2, 3, 1), CBM_INDICES(0, 0, 3), CBM_FLOATS(1, 2, 3), CBM_FLOAT(0.5, 1) } },
    { .n_in = 4,
      .in = { CBM_FLOATS(-2, 2, 2, 33),
              { CBM_DIMS(2), CBM_U8, 0, 32, false },
              CBM_FLOATS(3, 4, 2),
              CBM_FLOAT(0.5, 1) } },
};
static const cbm_op backward_op = {
    CBM_OP_RECORD("cross_entropy_backward"),
    .formula = "(e^(x - log-sum-exp) - one-hot target) g / rows",
    .n_in = 4,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_ALL_IN,
    .infer = backward_infer,
    .decompose = backward_decompose,
    .cost = loss_cost,
    .differentiable_in = 1 | 4 | 8,
    .autocast = CBM_AUTOCAST_NONE,
    CBM_SAMPLES(backward_samples),
};

const cbm_op *const cbm_ops_loss[] = { &cross_entropy_op, &backward_op, NULL };

/* ---- public functions ---- */

cbm_tensor *cbm_cross_entropy(cbm_tensor *logits, cbm_tensor *targets)
{
    return cbm_apply2(&cross_entropy_op, logits, targets, NULL);
}

cbm_tensor *cbm_mse(cbm_tensor *prediction, cbm_tensor *target)
{
    char tp[160], tt[160];
    cbm_tensor *const both[] = { prediction, target };
    cbm_context *cx = cbm_context_of(both, 2);
    if (!cbm_usable(cx, prediction) || !cbm_usable(cx, target))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[mse] an input is NULL or failed");
    const cbm_shape sp = cbm_tensor_shape(prediction), st = cbm_tensor_shape(target);
    if (!cbm_shape_equal(&sp, &st))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE,
                               "[mse] prediction %s and target %s must have one shape. HINT: cbm_reshape or cbm_expand",
                               cbm_shape_text(&sp, tp, sizeof tp), cbm_shape_text(&st, tt, sizeof tt));
    const cbm_reduce_options whole = { .struct_size = sizeof whole };
    cbm_tensor *difference = cbm_sub(cbm_for_statistics(prediction), cbm_for_statistics(target));
    return cbm_mean_with(cbm_mul(difference, difference), &whole);
}
