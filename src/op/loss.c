/* loss.c: cross-entropy of logits, fused with its softmax; and what all losses share. Rests on op/families.h. */
#include "op/loss.h"

#include <math.h>

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

/* log-sum-exp and g beside logits and targets; and the gradient of the logits. */
static bool gradient_fits(cbm_infer *infer, const cbm_shape *rows, const cbm_shape *g)
{
    if (!cbm_rule_shape(infer, 2, "log-sum-exp", rows) || !cbm_rule_shape(infer, 3, "g", g))
        return false;
    const cbm_dtype statistics = cbm_statistics_dtype(infer->in_dtype[0]);
    if (infer->in_dtype[2] != statistics || infer->in_dtype[3] != statistics)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "logits are %s, so log-sum-exp and g must hold %s",
                              cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(statistics));
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static bool backward_infer(cbm_infer *infer)
{
    cbm_shape rows = { { 0 } };
    const cbm_shape scalar = { { 0 } };
    return logits_and_targets(infer, &rows) && gradient_fits(infer, &rows, &scalar);
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

static cbm_tensor *log_sum_exp(cbm_tensor *logits, cbm_tensor *targets)
{
    const cbm_reduce_options classes = { sizeof classes, { { 1, 1 } }, 1 };
    logits = cbm_for_statistics(logits);
    cbm_tensor *largest = cbm_detach(cbm_max_with(logits, &classes));
    cbm_tensor *sum = cbm_sum_over(cbm_exp(cbm_sub(logits, largest)), classes.axes, true);
    return cbm_reshape(cbm_add(cbm_log(sum), largest), cbm_tensor_shape(targets));
}

static cbm_tensor *logits_of_targets(cbm_tensor *logits, cbm_tensor *targets)
{
    cbm_tensor *index = cbm_unsqueeze(cbm_cast(targets, CBM_I64), 1);
    return cbm_reshape(cbm_gather(cbm_for_statistics(logits), 1, index), cbm_tensor_shape(targets));
}

/* By backward, of the losses; and derivatives of higher order also come through log-sum-exp, whose slope is the softmax. */
static void cross_entropy_gradient(cbm_vjp *v, const cbm_op *backward)
{
    cbm_tensor *logits = v->in[0], *log_sum = v->out[1], *gradient = NULL;
    if (v->out_gradient[0] != NULL) {
        cbm_tensor *const in[] = { logits, v->in[1], log_sum, v->out_gradient[0] };
        cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
        gradient = cbm_apply(v->cx, backward, in, 4, v->attributes, out);
    }
    if (v->out_gradient[1] != NULL) {
        cbm_tensor *part = cbm_mul(probabilities(logits, log_sum), cbm_unsqueeze(v->out_gradient[1], 1));
        part = cbm_cast(part, cbm_tensor_dtype(logits));
        gradient = gradient == NULL ? part : cbm_add(gradient, part);
    }
    v->in_gradient[0] = gradient;
}

/* ---- cross_entropy ---- */
static bool cross_entropy_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                    cbm_tensor **out)
{
    const cbm_reduce_options whole = { .struct_size = sizeof whole };
    (void)cx;
    (void)attributes;
    (void)n;
    out[1] = log_sum_exp(in[0], in[1]);
    out[0] = cbm_mean_with(cbm_sub(out[1], logits_of_targets(in[0], in[1])), &whole);
    return true;
}

static const cbm_op backward_op;

static void cross_entropy_vjp(cbm_vjp *v)
{
    cross_entropy_gradient(v, &backward_op);
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

/* ---- cross_entropy_rows: a loss for each sample, which is what options need ---- */
static bool rows_infer(cbm_infer *infer)
{
    if (!cross_entropy_infer(infer))
        return false;
    infer->out_shape[0] = infer->out_shape[1];
    return true;
}

static bool rows_backward_infer(cbm_infer *infer)
{
    cbm_shape rows = { { 0 } };
    return logits_and_targets(infer, &rows) && gradient_fits(infer, &rows, &rows);
}

static double smoothing_of(const void *attributes)
{
    return ((const cbm_cross_entropy_attributes *)attributes)->smoothing;
}

static bool rows_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n, cbm_tensor **out)
{
    const double smoothing = smoothing_of(attributes);
    (void)cx;
    (void)n;
    out[1] = log_sum_exp(in[0], in[1]);
    cbm_tensor *picked = cbm_mul_scalar(logits_of_targets(in[0], in[1]), 1 - smoothing);
    cbm_tensor *mean = cbm_mean_over(cbm_for_statistics(in[0]), (cbm_shape){ { 1, 1 } }, false);
    out[0] = cbm_sub(out[1], cbm_add(picked, cbm_mul_scalar(mean, smoothing)));
    return true;
}

static bool rows_backward_decompose(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n,
                                    cbm_tensor **out)
{
    const double smoothing = smoothing_of(attributes), classes = (double)cbm_tensor_size(in[0], 1);
    (void)cx;
    (void)n;
    cbm_tensor *hot = cbm_mul_scalar(targets_one_hot(in[0], in[1]), 1 - smoothing);
    cbm_tensor *difference = cbm_sub(probabilities(in[0], in[2]), cbm_add_scalar(hot, smoothing / classes));
    out[0] = cbm_cast(cbm_mul(difference, cbm_unsqueeze(in[3], 1)), cbm_tensor_dtype(in[0]));
    return true;
}

static const cbm_op rows_backward_op;

static void rows_vjp(cbm_vjp *v)
{
    cross_entropy_gradient(v, &rows_backward_op);
}

static const cbm_attribute rows_fields[] = {
    CBM_FIELD(cbm_cross_entropy_attributes, smoothing, CBM_ATTRIBUTE_FLOAT, true),
};
static const cbm_cross_entropy_attributes sharp = { 0 }, smooth = { 0.2 };
static const cbm_sample rows_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 4, 5), CBM_INDICES(0, 4, 4) }, .attributes = &sharp },
    { .n_in = 2, .in = { CBM_FLOATS(-9, 9, 3, 37), CBM_INDICES(0, 36, 3) }, .attributes = &smooth },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3, 4, 2), CBM_INDICES(0, 2, 2, 4, 2) }, .attributes = &smooth },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 4, 5), { CBM_DIMS(4), CBM_U8, 0, 4, false } }, .attributes = &sharp },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 0, 5), CBM_INDICES(0, 4, 0) }, .attributes = &sharp },
};
static const cbm_sample rows_backward_samples[] = {
    { .n_in = 4,
      .in = { CBM_FLOATS(-2, 2, 4, 5), CBM_INDICES(0, 4, 4), CBM_FLOATS(2, 3, 4), CBM_FLOATS(-1, 1, 4) },
      .attributes = &sharp },
    { .n_in = 4,
      .in = { CBM_FLOATS(-2, 2, 2, 33), CBM_INDICES(0, 32, 2), CBM_FLOATS(3, 4, 2), CBM_FLOATS(-1, 1, 2) },
      .attributes = &smooth },
    { .n_in = 4,
      .in = { CBM_FLOATS(-2, 2, 2, 3, 4, 2), CBM_INDICES(0, 2, 2, 4, 2), CBM_FLOATS(1, 3, 2, 4, 2),
              CBM_FLOATS(-1, 1, 2, 4, 2) },
      .attributes = &smooth },
};
#define ROWS_OP(name_, n_in_, n_out_, infer_, decompose_, samples_)                                                    \
    CBM_OP_RECORD(name_), .n_in = (n_in_), .n_out = (n_out_), .flags = CBM_OP_CHECKS,                                  \
                          .attributes_size = sizeof(cbm_cross_entropy_attributes), .attributes = rows_fields,          \
                          .n_attributes = CBM_COUNTOF(rows_fields), .infer = (infer_), .decompose = (decompose_),      \
                          .cost = loss_cost, .autocast = CBM_AUTOCAST_NONE, CBM_SAMPLES(samples_)
static const cbm_op rows_op = {
    ROWS_OP("cross_entropy_rows", 2, 2, rows_infer, rows_decompose, rows_samples),
    .formula = "log sum over c of e^x[c] - (1 - s) x[target] - s mean over c of x[c], with label smoothing s",
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1) | CBM_SAVES_OUT(1),
    .vjp = rows_vjp,
    .differentiable_in = 1,
};
static const cbm_op rows_backward_op = {
    ROWS_OP("cross_entropy_rows_backward", 4, 1, rows_backward_infer, rows_backward_decompose, rows_backward_samples),
    .formula = "g (e^(x - log-sum-exp) - (1 - s) one-hot target - s / C), 0 where g is 0",
    .saves = CBM_SAVES_ALL_IN,
    .differentiable_in = 1 | 4 | 8,
};

const cbm_op *const cbm_ops_loss[] = { &cross_entropy_op, &backward_op, &rows_op, &rows_backward_op, NULL };

/* ---- what losses share ---- */

bool cbm_loss_usable(const char *op, cbm_tensor *const *operands, size_t count)
{
    cbm_context *cx = cbm_context_of(operands, count);
    for (size_t i = 0; i < count; i++)
        if (!cbm_usable(cx, operands[i])) {
            (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] an operand is NULL or failed", op);
            return false;
        }
    return true;
}

cbm_tensor *cbm_loss_none(const char *op, cbm_tensor *a, cbm_tensor *b)
{
    cbm_tensor *const both[] = { a, b };
    return cbm_fail_tensor(cbm_context_of(both, 2), CBM_ERROR_INVALID, "[%s] no result", op);
}

cbm_tensor *cbm_loss_operand(cbm_tensor *t)
{
    return t && !cbm_tensor_failed(t) && cbm_is_floating(cbm_tensor_dtype(t)) ? cbm_for_statistics(t) : t;
}

static bool one_dtype(const char *op, cbm_tensor *x, cbm_tensor *other)
{
    if (cbm_is_floating(cbm_tensor_dtype(x)) && cbm_tensor_dtype(x) == cbm_tensor_dtype(other))
        return true;
    (void)cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_DTYPE,
                          "[%s] takes floats of one element type, not %s and %s. HINT: convert with cbm_cast", op,
                          cbm_dtype_name(cbm_tensor_dtype(x)), cbm_dtype_name(cbm_tensor_dtype(other)));
    return false;
}

bool cbm_loss_pair(const char *op, cbm_tensor **x, cbm_tensor **target)
{
    char tx[160], tt[160];
    cbm_tensor *const both[] = { *x, *target };
    if (!cbm_loss_usable(op, both, 2))
        return false;
    const cbm_shape sx = cbm_tensor_shape(*x), st = cbm_tensor_shape(*target);
    *x = cbm_loss_operand(*x);
    *target = cbm_loss_operand(*target);
    if (!one_dtype(op, *x, *target))
        return false;
    if (cbm_shape_equal(&sx, &st))
        return true;
    (void)cbm_fail_tensor(cbm_tensor_context(*x), CBM_ERROR_SHAPE,
                          "[%s] prediction %s and target %s must have one shape. HINT: cbm_reshape or cbm_expand", op,
                          cbm_shape_text(&sx, tx, sizeof tx), cbm_shape_text(&st, tt, sizeof tt));
    return false;
}

bool cbm_loss_broadcasts(const char *op, const char *what, cbm_tensor *t, cbm_tensor *x)
{
    char tx[160], tt[160];
    cbm_tensor *const both[] = { x, t };
    if (!t)
        return true;
    if (!cbm_loss_usable(op, both, 2) || !one_dtype(op, x, t))
        return false;
    const cbm_shape sx = cbm_tensor_shape(x), st = cbm_tensor_shape(t);
    cbm_shape out;
    if (cbm_broadcast_shapes(&sx, &st, &out) && cbm_shape_equal(&out, &sx))
        return true;
    (void)cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE, "[%s] %s %s does not broadcast to %s", op, what,
                          cbm_shape_text(&st, tt, sizeof tt), cbm_shape_text(&sx, tx, sizeof tx));
    return false;
}

bool cbm_loss_weight(const char *op, cbm_tensor **weight, cbm_tensor *x)
{
    char text[160];
    cbm_tensor *const both[] = { x, *weight };
    if (!*weight)
        return true;
    if (!cbm_loss_usable(op, both, 2))
        return false;
    *weight = cbm_loss_operand(*weight);
    const cbm_shape s = cbm_tensor_shape(*weight);
    const int64_t classes = cbm_tensor_size(x, cbm_tensor_rank(x) > 1 ? 1 : 0);
    if (!one_dtype(op, x, *weight))
        return false;
    if (s.v[0] == 1 && s.v[1] == classes)
        return true;
    (void)cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE,
                          "[%s] weight %s must hold one number for each of %lld classes", op,
                          cbm_shape_text(&s, text, sizeof text), (long long)classes);
    return false;
}

cbm_tensor *cbm_loss_reduce(const char *op, cbm_tensor *losses, uint64_t reduction, uint64_t since)
{
    return cbm_loss_reduce_by(op, losses, NULL, reduction, since);
}

cbm_tensor *cbm_loss_reduce_by(const char *op, cbm_tensor *losses, cbm_tensor *divisor, uint64_t reduction,
                               uint64_t since)
{
    const cbm_reduce_options whole = { .struct_size = sizeof whole };
    if (cbm_tensor_failed(losses))
        return losses;
    if (reduction == CBM_REDUCE_NONE)
        return cbm_composed(losses, since);
    if (reduction == CBM_REDUCE_SUM)
        return cbm_composed(cbm_sum_with(losses, &whole), since);
    if (reduction != CBM_REDUCE_MEAN)
        return cbm_fail_tensor(cbm_tensor_context(losses), CBM_ERROR_INVALID, "[%s] there is no reduction number %llu",
                               op, (unsigned long long)reduction);
    cbm_tensor *mean = divisor ? cbm_div(cbm_sum_with(losses, &whole), divisor) : cbm_mean_with(losses, &whole);
    return cbm_composed(mean, since);
}

cbm_tensor *cbm_loss_hinge(cbm_tensor *x)
{
    return cbm_clamp(x, 0, (double)INFINITY);
}

/* ---- cross-entropy of class numbers, unweighted: the fused operation ---- */

cbm_tensor *cbm_loss_of_classes(cbm_tensor *logits, cbm_tensor *targets)
{
    return cbm_apply2(&cross_entropy_op, logits, targets, NULL);
}

cbm_tensor *cbm_loss_rows(cbm_tensor *logits, cbm_tensor *index, double smoothing, cbm_tensor **log_sum)
{
    const cbm_cross_entropy_attributes attributes = { smoothing };
    cbm_tensor *const in[] = { logits, index };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    (void)cbm_apply(cbm_tensor_context(logits), &rows_op, in, 2, &attributes, out);
    if (log_sum)
        *log_sum = out[1];
    return out[0];
}

bool cbm_loss_classes_fit(const char *op, cbm_tensor *x, cbm_tensor *targets)
{
    cbm_tensor *const both[] = { x, targets };
    const cbm_op named = { .struct_size = sizeof named, .name = op };
    cbm_infer infer = { .op = &named, .n_in = 2, .n_out = 2, .cx = cbm_context_of(both, 2) };
    if (!cbm_loss_usable(op, both, 2))
        return false;
    for (int i = 0; i < 2; i++) {
        infer.in_shape[i] = cbm_tensor_shape(both[i]);
        infer.in_dtype[i] = cbm_tensor_dtype(both[i]);
    }
    return cross_entropy_infer(&infer);
}
