/* loss_values.c: losses between numbers, distributions of numbers, and two classes. Rests on op/loss.h. */
#include "op/loss.h"

#include <math.h>

#define LOG_2_PI 1.8378770664093453
#define LEAST_SLOPE (double)1e-12f /* PyTorch's, which is a float */

static uint64_t reduction_of(const cbm_loss_options *options)
{
    cbm_loss_options o = { .struct_size = sizeof o };
    cbm_read_options(&o, sizeof o, options);
    return o.reduction;
}

static cbm_tensor *weighted(cbm_tensor *losses, cbm_tensor *weight)
{
    return weight ? cbm_mul(losses, weight) : losses;
}

/* ---- differences ---- */

cbm_tensor *cbm_mse_with(cbm_tensor *x, cbm_tensor *target, const cbm_loss_options *options)
{
    const uint64_t since = cbm_now(x);
    if (!cbm_loss_pair("mse", &x, &target))
        return cbm_loss_none("mse", x, target);
    cbm_tensor *d = cbm_sub(x, target);
    return cbm_loss_reduce("mse", cbm_mul(d, d), reduction_of(options), since);
}

cbm_tensor *cbm_l1_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_loss_options *options)
{
    const uint64_t since = cbm_now(x);
    if (!cbm_loss_pair("l1_loss", &x, &target))
        return cbm_loss_none("l1_loss", x, target);
    return cbm_loss_reduce("l1_loss", cbm_abs(cbm_sub(x, target)), reduction_of(options), since);
}

/* With d = |x - t| and q = min(d, delta): q (d - q / 2), so that no infinite difference meets a zero. */
static void huber_vjp(cbm_vjp *v)
{
    const double delta = ((const cbm_huber_attributes *)v->attributes)->delta;
    cbm_tensor *slope = cbm_clamp(cbm_sub(v->in[0], v->in[1]), -delta, delta);
    v->in_gradient[0] = cbm_mul(v->out_gradient[0], slope);
    if (v->needed[1])
        v->in_gradient[1] = cbm_neg(v->in_gradient[0]);
}

static const cbm_attribute huber_fields[] = {
    CBM_FIELD(cbm_huber_attributes, delta, CBM_ATTRIBUTE_FLOAT, true),
};
static const cbm_huber_attributes narrow = { 0.3 }, wide = { 9 };
static const cbm_sample huber_samples[] = {
    { .n_in = 2, .in = { CBM_DISTINCT(-2, 2, 4, 3), CBM_DISTINCT(-1.93, 2.11, 4, 3) }, .attributes = &narrow },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 3, 1, 21), CBM_FLOATS(-2, 2, 3, 1, 21) }, .attributes = &wide },
    { .n_in = 2, .in = { CBM_FLOAT(1, 2), CBM_FLOAT(-2, -1) }, .attributes = &narrow },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 0, 3), CBM_FLOATS(-2, 2, 0, 3) }, .attributes = &wide },
};
static const cbm_op huber_op = {
    CBM_OP_RECORD("huber"),
    .formula = "d = |x - t|: d^2 / 2 up to delta, delta (d - delta / 2) beyond (Huber 1964)",
    .n_in = 2,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),
    .attributes_size = sizeof(cbm_huber_attributes),
    .attributes = huber_fields,
    .n_attributes = CBM_COUNTOF(huber_fields),
    .infer = cbm_infer_floating,
    .expression = "min(abs(a - b), delta) * (abs(a - b) - 0.5 * min(abs(a - b), delta))",
    .vjp = huber_vjp,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(huber_samples),
};

static cbm_tensor *huber(cbm_tensor *x, cbm_tensor *target, double delta)
{
    const cbm_huber_attributes attributes = { delta };
    return cbm_apply2(&huber_op, x, target, &attributes);
}

cbm_tensor *cbm_smooth_l1_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_smooth_l1_loss_options *options)
{
    cbm_smooth_l1_loss_options o = { .struct_size = sizeof o, .beta = 1 };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_pair("smooth_l1_loss", &x, &target))
        return cbm_loss_none("smooth_l1_loss", x, target);
    if (!(o.beta >= 0))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[smooth_l1_loss] beta %g is negative",
                               o.beta);
    cbm_tensor *losses =
        o.beta > 0 ? cbm_mul_scalar(huber(x, target, o.beta), 1 / o.beta) : cbm_abs(cbm_sub(x, target));
    return cbm_loss_reduce("smooth_l1_loss", losses, o.reduction, since);
}

cbm_tensor *cbm_huber_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_huber_loss_options *options)
{
    cbm_huber_loss_options o = { .struct_size = sizeof o, .delta = 1 };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_pair("huber_loss", &x, &target))
        return cbm_loss_none("huber_loss", x, target);
    if (!(o.delta > 0))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[huber_loss] delta %g is not positive",
                               o.delta);
    return cbm_loss_reduce("huber_loss", huber(x, target, o.delta), o.reduction, since);
}

/* ---- distributions ---- */

/* var as x's shape broadcasts it: with an extent of 1 in place of a missing last one. NULL: it does not fit. */
static cbm_tensor *variance_of(cbm_tensor *x, cbm_tensor *var)
{
    const int64_t rank = cbm_tensor_rank(x);
    cbm_shape missing = cbm_tensor_shape(x);
    const cbm_shape s = cbm_tensor_shape(var);
    if (rank > 0)
        missing.v[missing.v[0]--] = 0;
    if (rank > 0 && cbm_shape_equal(&s, &missing))
        return cbm_unsqueeze(var, rank - 1);
    return cbm_loss_broadcasts("gaussian_nll_loss", "var", var, x) ? var : NULL;
}

cbm_tensor *cbm_gaussian_nll_loss_with(cbm_tensor *x, cbm_tensor *target, cbm_tensor *var,
                                       const cbm_gaussian_nll_loss_options *options)
{
    cbm_gaussian_nll_loss_options o = { .struct_size = sizeof o, .eps = 1e-6 };
    cbm_tensor *const all[] = { x, target, var };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_usable("gaussian_nll_loss", all, 3) || !cbm_loss_pair("gaussian_nll_loss", &x, &target))
        return cbm_loss_none("gaussian_nll_loss", x, target);
    if (!(o.eps > 0))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_INVALID, "[gaussian_nll_loss] eps %g is not positive",
                               o.eps);
    var = variance_of(x, cbm_loss_operand(var));
    if (!var)
        return cbm_loss_none("gaussian_nll_loss", x, target);
    /* Raised to eps, but with the slope of var itself. */
    cbm_tensor *raised = cbm_add_scalar(cbm_sub(var, cbm_detach(var)), o.eps);
    var = cbm_where(cbm_less_scalar(var, o.eps), raised, var);
    cbm_tensor *d = cbm_sub(x, target);
    cbm_tensor *losses = cbm_mul_scalar(cbm_add(cbm_log(var), cbm_div(cbm_mul(d, d), var)), 0.5);
    return cbm_loss_reduce("gaussian_nll_loss", o.full ? cbm_add_scalar(losses, 0.5 * LOG_2_PI) : losses, o.reduction,
                           since);
}

/* log t! for t > 1 by Stirling's formula, else 0. */
static cbm_tensor *log_factorial(cbm_tensor *t)
{
    cbm_tensor *large = cbm_greater_scalar(t, 1), *s = cbm_where(large, t, cbm_number_like(t, 1));
    cbm_tensor *log_s = cbm_log(s), *stirling = cbm_sub(cbm_mul(cbm_add_scalar(s, 0.5), log_s), s);
    return cbm_where(large, cbm_add_scalar(stirling, 0.5 * LOG_2_PI), cbm_number_like(t, 0));
}

cbm_tensor *cbm_poisson_nll_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_poisson_nll_loss_options *options)
{
    cbm_poisson_nll_loss_options o = { .struct_size = sizeof o, .log_input = 1, .eps = 1e-8 };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_pair("poisson_nll_loss", &x, &target))
        return cbm_loss_none("poisson_nll_loss", x, target);
    cbm_tensor *losses = o.log_input ? cbm_sub(cbm_exp(x), cbm_mul(target, x))
                                     : cbm_sub(x, cbm_mul(target, cbm_log(cbm_add_scalar(x, o.eps))));
    return cbm_loss_reduce("poisson_nll_loss", o.full ? cbm_add(losses, log_factorial(target)) : losses, o.reduction,
                           since);
}

/* e^t (t - x), t no lower than the lowest finite number: e^t is 0 there, and 0 times -inf would not be. */
static cbm_tensor *divergence_of_logarithms(cbm_tensor *x, cbm_tensor *t)
{
    t = cbm_maximum_scalar(t, cbm_tensor_dtype(t) == CBM_F64 ? -0x1p1023 : -0x1p127);
    return cbm_mul(cbm_exp(t), cbm_sub(t, x));
}

static cbm_tensor *divergence(cbm_tensor *x, cbm_tensor *t)
{
    cbm_tensor *none = cbm_equal_scalar(t, 0);
    cbm_tensor *log_t = cbm_log(cbm_where(none, cbm_number_like(t, 1), t));
    return cbm_mul(t, cbm_sub(log_t, cbm_where(none, cbm_number_like(x, 0), x)));
}

cbm_tensor *cbm_kl_div_with(cbm_tensor *x, cbm_tensor *target, const cbm_kl_div_options *options)
{
    cbm_kl_div_options o = { .struct_size = sizeof o };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_pair("kl_div", &x, &target))
        return cbm_loss_none("kl_div", x, target);
    cbm_tensor *losses = o.log_target ? divergence_of_logarithms(x, target) : divergence(x, target);
    if (o.reduction != CBM_REDUCE_BATCH_MEAN)
        return cbm_loss_reduce("kl_div", losses, o.reduction, since);
    const double samples = cbm_tensor_rank(x) > 0 ? (double)cbm_tensor_size(x, 0) : 1;
    return cbm_loss_reduce_by("kl_div", losses, cbm_number_like(losses, samples), CBM_REDUCE_MEAN, since);
}

/* ---- two classes ---- */

/* With the slope of PyTorch: (x - t) / max(x (1 - x), 1e-12), finite at 0 and 1. */
static void binary_cross_entropy_vjp(cbm_vjp *v)
{
    cbm_tensor *x = v->in[0], *t = v->in[1], *g = v->out_gradient[0];
    if (v->needed[0]) {
        cbm_tensor *slope = cbm_maximum_scalar(cbm_mul(x, cbm_rsub_scalar(x, 1)), LEAST_SLOPE);
        v->in_gradient[0] = cbm_div(cbm_mul(g, cbm_sub(x, t)), slope);
    }
    if (v->needed[1]) {
        cbm_tensor *no = cbm_maximum_scalar(cbm_log1p(cbm_neg(x)), -100), *yes = cbm_maximum_scalar(cbm_log(x), -100);
        v->in_gradient[1] = cbm_mul(g, cbm_sub(no, yes));
    }
}

static const cbm_sample binary_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(0.1, 0.9, 2, 3), CBM_FLOATS(0, 1, 2, 3) } },
    { .n_in = 2, .in = { CBM_FLOATS(0.02, 0.98, 3, 1, 21), CBM_FLOATS(0, 1, 3, 1, 21) } },
    { .n_in = 2, .in = { CBM_FLOAT(0.1, 0.9), CBM_FLOAT(0, 1) } },
    { .n_in = 2, .in = { CBM_FLOATS(0.1, 0.9, 0, 3), CBM_FLOATS(0, 1, 0, 3) } },
};
static const cbm_op binary_cross_entropy_op = {
    CBM_OP_RECORD("binary_cross_entropy"),
    .formula = "-(t log x + (1 - t) log(1 - x)), logarithms not below -100",
    .n_in = 2,
    .n_out = 1,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(1),
    .infer = cbm_infer_floating,
    .expression = "(b - 1) * max(log1p(-a), -100) - b * max(log(a), -100)",
    .vjp = binary_cross_entropy_vjp,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(binary_samples),
};

const cbm_op *const cbm_ops_loss_values[] = { &huber_op, &binary_cross_entropy_op, NULL };

cbm_tensor *cbm_binary_cross_entropy_with(cbm_tensor *x, cbm_tensor *target,
                                          const cbm_binary_cross_entropy_options *options)
{
    cbm_binary_cross_entropy_options o = { .struct_size = sizeof o };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    o.weight = cbm_loss_operand(o.weight);
    if (!cbm_loss_pair("binary_cross_entropy", &x, &target) ||
        !cbm_loss_broadcasts("binary_cross_entropy", "weight", o.weight, x))
        return cbm_loss_none("binary_cross_entropy", x, target);
    cbm_tensor *losses = weighted(cbm_apply2(&binary_cross_entropy_op, x, target, NULL), o.weight);
    return cbm_loss_reduce("binary_cross_entropy", losses, o.reduction, since);
}

cbm_tensor *cbm_binary_cross_entropy_with_logits_with(cbm_tensor *x, cbm_tensor *target,
                                                      const cbm_binary_cross_entropy_with_logits_options *options)
{
    static const char op[] = "binary_cross_entropy_with_logits";
    cbm_binary_cross_entropy_with_logits_options o = { .struct_size = sizeof o };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    o.weight = cbm_loss_operand(o.weight);
    o.pos_weight = cbm_loss_operand(o.pos_weight);
    if (!cbm_loss_pair(op, &x, &target) || !cbm_loss_broadcasts(op, "weight", o.weight, x) ||
        !cbm_loss_broadcasts(op, "pos_weight", o.pos_weight, x))
        return cbm_loss_none(op, x, target);
    /* log sigmoid(-x) = log sigmoid(x) - x, so one logarithm serves both parts. */
    cbm_tensor *log_yes = cbm_log_sigmoid(x);
    if (o.pos_weight)
        log_yes = cbm_mul(log_yes, cbm_add_scalar(cbm_mul(cbm_add_scalar(o.pos_weight, -1), target), 1));
    cbm_tensor *losses = cbm_sub(cbm_mul(cbm_rsub_scalar(target, 1), x), log_yes);
    return cbm_loss_reduce(op, weighted(losses, o.weight), o.reduction, since);
}

cbm_tensor *cbm_multilabel_soft_margin_loss_with(cbm_tensor *x, cbm_tensor *targets,
                                                 const cbm_multilabel_soft_margin_loss_options *options)
{
    static const char op[] = "multilabel_soft_margin_loss";
    cbm_multilabel_soft_margin_loss_options o = { .struct_size = sizeof o };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    o.weight = cbm_loss_operand(o.weight);
    if (!cbm_loss_pair(op, &x, &targets) || !cbm_loss_broadcasts(op, "weight", o.weight, x))
        return cbm_loss_none(op, x, targets);
    if (cbm_tensor_rank(x) == 0)
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE, "[%s] x has no axis of classes", op);
    cbm_tensor *losses = cbm_sub(cbm_mul(cbm_rsub_scalar(targets, 1), x), cbm_log_sigmoid(x));
    losses = cbm_mean_over(weighted(losses, o.weight), (cbm_shape){ { 1, -1 } }, false);
    return cbm_loss_reduce(op, losses, o.reduction, since);
}

cbm_tensor *cbm_soft_margin_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_loss_options *options)
{
    const uint64_t since = cbm_now(x);
    if (!cbm_loss_pair("soft_margin_loss", &x, &target))
        return cbm_loss_none("soft_margin_loss", x, target);
    cbm_tensor *losses = cbm_neg(cbm_log_sigmoid(cbm_mul(target, x)));
    return cbm_loss_reduce("soft_margin_loss", losses, reduction_of(options), since);
}

/* x unless t is -1, and the hinge unless t is 1: one of both for proper targets, and both for others, as in PyTorch. */
cbm_tensor *cbm_hinge_embedding_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_margin_loss_options *options)
{
    cbm_margin_loss_options o = { .struct_size = sizeof o, .margin = 1 };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_pair("hinge_embedding_loss", &x, &target))
        return cbm_loss_none("hinge_embedding_loss", x, target);
    cbm_tensor *zero = cbm_number_like(x, 0), *hinge = cbm_loss_hinge(cbm_rsub_scalar(x, o.margin));
    cbm_tensor *apart = cbm_where(cbm_equal_scalar(target, 1), zero, hinge);
    cbm_tensor *near = cbm_where(cbm_equal_scalar(target, -1), zero, x);
    return cbm_loss_reduce("hinge_embedding_loss", cbm_add(apart, near), o.reduction, since);
}
