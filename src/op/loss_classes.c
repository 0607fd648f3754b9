/* loss_classes.c: losses of class numbers and of sequences of them. Rests on op/loss.h. */
#include "op/loss.h"

#include <math.h>

static cbm_tensor *sum_of_classes(cbm_tensor *x)
{
    return cbm_sum_over(x, (cbm_shape){ { 1, 1 } }, false);
}

static cbm_tensor *sum_of_all(cbm_tensor *x)
{
    return cbm_sum_with(x, &(cbm_reduce_options){ .struct_size = sizeof(cbm_reduce_options) });
}

/* weight (C) along axis 1 of x. */
static cbm_tensor *along_classes(cbm_tensor *weight, cbm_tensor *x)
{
    cbm_shape s = { { cbm_tensor_rank(x) } };
    for (int64_t i = 1; i <= s.v[0]; i++)
        s.v[i] = i == 2 ? cbm_tensor_size(weight, 0) : 1;
    return cbm_reshape(weight, s);
}

/* What class numbers say of their samples: where to look, how much a sample counts, and whether it counts at all. */
typedef struct labels {
    cbm_tensor *index; /* (N, ..) i64, 0 where ignored */
    cbm_tensor *share; /* (N, ..); NULL: every sample counts 1 */
    cbm_tensor *kept;  /* (N, ..) bool; NULL: all */
} labels;

static labels labels_of(cbm_tensor *targets, cbm_tensor *weight, int64_t ignore_index)
{
    labels l = { .index = cbm_cast(targets, CBM_I64) };
    if (ignore_index != CBM_NO_INDEX) {
        cbm_tensor *ignored = cbm_scalar(cbm_tensor_context(targets), CBM_I64, (double)ignore_index);
        l.kept = cbm_not_equal(l.index, ignored);
        l.index = cbm_where(l.kept, l.index, cbm_scalar(cbm_tensor_context(targets), CBM_I64, 0));
    }
    if (weight) {
        const int64_t count = cbm_tensor_count(targets);
        cbm_tensor *flat = cbm_gather(cbm_detach(weight), 0, cbm_reshape(l.index, (cbm_shape){ { 1, count } }));
        l.share = cbm_reshape(flat, cbm_tensor_shape(targets));
    }
    return l;
}

/* x for samples that count, 0 for the others. */
static cbm_tensor *of_kept(const labels *l, cbm_tensor *x)
{
    return l->kept ? cbm_where(l->kept, x, cbm_number_like(x, 0)) : x;
}

/* x[n, label, ..] of x (N, C, ..). */
static cbm_tensor *of_labels(const labels *l, cbm_tensor *x)
{
    return cbm_reshape(cbm_gather(x, 1, cbm_unsqueeze(l->index, 1)), cbm_tensor_shape(l->index));
}

/* -share log_probs[label]; 0 where ignored. */
static cbm_tensor *nll_of(const labels *l, cbm_tensor *log_probs)
{
    cbm_tensor *losses = cbm_neg(of_labels(l, log_probs));
    return of_kept(l, l->share ? cbm_mul(losses, l->share) : losses);
}

/* The sum of all shares; NULL: it is the number of samples. */
static cbm_tensor *sum_of_shares(const labels *l, cbm_tensor *losses)
{
    if (!l->share && !l->kept)
        return NULL;
    cbm_tensor *share = l->share ? l->share : cbm_expand(cbm_number_like(losses, 1), cbm_tensor_shape(l->index));
    return sum_of_all(of_kept(l, share));
}

cbm_tensor *cbm_nll_loss_with(cbm_tensor *log_probs, cbm_tensor *targets, const cbm_nll_loss_options *options)
{
    cbm_nll_loss_options o = { .struct_size = sizeof o, .ignore_index = CBM_NO_INDEX };
    const uint64_t since = cbm_now(log_probs);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_classes_fit("nll_loss", log_probs, targets))
        return cbm_loss_none("nll_loss", log_probs, targets);
    log_probs = cbm_loss_operand(log_probs);
    if (!cbm_loss_weight("nll_loss", &o.weight, log_probs))
        return cbm_loss_none("nll_loss", log_probs, targets);
    const labels l = labels_of(targets, o.weight, o.ignore_index);
    cbm_tensor *losses = nll_of(&l, log_probs);
    return cbm_loss_reduce_by("nll_loss", losses, sum_of_shares(&l, losses), o.reduction, since);
}

/* ---- cross-entropy with options: without logarithms of all probabilities ---- */

/* With weights, the smoothed part is the sum over classes of weight (lse - x) / C. */
static cbm_tensor *weighted_and_smoothed(cbm_tensor *logits, const labels *l, const cbm_cross_entropy_options *o)
{
    cbm_tensor *lse = NULL, *weight = cbm_detach(o->weight);
    cbm_tensor *losses = cbm_mul(cbm_loss_rows(logits, l->index, 0, &lse), l->share);
    cbm_tensor *each = sum_of_classes(cbm_mul(logits, along_classes(weight, logits)));
    cbm_tensor *spread = cbm_sub(cbm_mul(lse, sum_of_all(weight)), each);
    return cbm_add(cbm_mul_scalar(losses, 1 - o->label_smoothing),
                   cbm_mul_scalar(spread, o->label_smoothing / (double)cbm_tensor_size(logits, 1)));
}

static cbm_tensor *of_class_numbers(cbm_tensor *logits, cbm_tensor *targets, const cbm_cross_entropy_options *o,
                                    uint64_t since)
{
    const labels l = labels_of(targets, o->weight, o->ignore_index);
    cbm_tensor *losses = NULL;
    if (l.share && o->label_smoothing > 0) {
        losses = weighted_and_smoothed(logits, &l, o);
    } else {
        losses = cbm_loss_rows(logits, l.index, o->label_smoothing, NULL);
        losses = l.share ? cbm_mul(losses, l.share) : losses;
    }
    losses = of_kept(&l, losses);
    return cbm_loss_reduce_by("cross_entropy", losses, sum_of_shares(&l, losses), o->reduction, since);
}

/* Of probabilities t: lse sum(t) - sum(t x). Where a probability is 0 its logit does not matter, be it -inf. */
static cbm_tensor *of_probabilities(cbm_tensor *logits, cbm_tensor *targets, const cbm_cross_entropy_options *o,
                                    uint64_t since)
{
    cbm_shape samples = cbm_tensor_shape(logits);
    for (int64_t i = 2; i < samples.v[0]; i++)
        samples.v[i] = samples.v[i + 1];
    samples.v[samples.v[0]--] = 0;
    cbm_tensor *lse = NULL;
    (void)cbm_loss_rows(logits, cbm_zeros(cbm_tensor_context(logits), CBM_I64, samples), 0, &lse);
    if (o->label_smoothing > 0)
        targets = cbm_add_scalar(cbm_mul_scalar(targets, 1 - o->label_smoothing),
                                 o->label_smoothing / (double)cbm_tensor_size(logits, 1));
    if (o->weight)
        targets = cbm_mul(targets, along_classes(cbm_detach(o->weight), targets));
    cbm_tensor *seen = cbm_where(cbm_equal_scalar(targets, 0), cbm_number_like(logits, 0), logits);
    cbm_tensor *losses = cbm_sub(cbm_mul(lse, sum_of_classes(targets)), sum_of_classes(cbm_mul(targets, seen)));
    return cbm_loss_reduce("cross_entropy", losses, o->reduction, since);
}

cbm_tensor *cbm_cross_entropy_with(cbm_tensor *logits, cbm_tensor *targets, const cbm_cross_entropy_options *options)
{
    static const char op[] = "cross_entropy";
    cbm_cross_entropy_options o = { .struct_size = sizeof o, .ignore_index = CBM_NO_INDEX };
    const uint64_t since = cbm_now(logits);
    cbm_read_options(&o, sizeof o, options);
    const bool plain =
        !o.weight && o.label_smoothing == 0 && o.ignore_index == CBM_NO_INDEX && o.reduction == CBM_REDUCE_MEAN;
    const cbm_shape sl = cbm_tensor_shape(logits), st = cbm_tensor_shape(targets);
    const bool probable = cbm_is_floating(cbm_tensor_dtype(targets)) && cbm_shape_equal(&sl, &st) && sl.v[0] >= 2;
    if (plain && !(probable && !cbm_tensor_failed(targets)))
        return cbm_loss_of_classes(logits, targets);
    if (probable ? !cbm_loss_pair(op, &logits, &targets) : !cbm_loss_classes_fit(op, logits, targets))
        return cbm_loss_none(op, logits, targets);
    logits = cbm_loss_operand(logits);
    if (!(o.label_smoothing >= 0 && o.label_smoothing <= 1))
        return cbm_fail_tensor(cbm_tensor_context(logits), CBM_ERROR_INVALID, "[%s] label_smoothing %g is outside 0..1",
                               op, o.label_smoothing);
    if (probable && o.ignore_index != CBM_NO_INDEX)
        return cbm_fail_tensor(cbm_tensor_context(logits), CBM_ERROR_INVALID,
                               "[%s] ignore_index goes with class numbers, not with probabilities", op);
    if (!cbm_loss_weight(op, &o.weight, logits))
        return cbm_loss_none(op, logits, targets);
    return probable ? of_probabilities(logits, targets, &o, since) : of_class_numbers(logits, targets, &o, since);
}

/* ---- margins ---- */

cbm_tensor *cbm_multi_margin_loss_with(cbm_tensor *x, cbm_tensor *targets, const cbm_multi_margin_loss_options *options)
{
    static const char op[] = "multi_margin_loss";
    cbm_multi_margin_loss_options o = { .struct_size = sizeof o, .p = 1, .margin = 1 };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_classes_fit(op, x, targets))
        return cbm_loss_none(op, x, targets);
    x = cbm_loss_operand(x);
    if (cbm_tensor_rank(x) != 2 || (o.p != 1 && o.p != 2))
        return cbm_fail_tensor(cbm_tensor_context(x), o.p == 1 || o.p == 2 ? CBM_ERROR_SHAPE : CBM_ERROR_INVALID,
                               o.p == 1 || o.p == 2 ? "[%s] takes scores (N, C)" : "[%s] p is 1 or 2", op);
    if (!cbm_loss_weight(op, &o.weight, x))
        return cbm_loss_none(op, x, targets);
    const labels l = labels_of(targets, o.weight, CBM_NO_INDEX);
    const int64_t classes = cbm_tensor_size(x, 1);
    cbm_tensor *own = cbm_cast(cbm_one_hot(l.index, classes, CBM_I64), CBM_BOOL);
    cbm_tensor *lead = cbm_sub(x, cbm_unsqueeze(of_labels(&l, x), 1));
    cbm_tensor *hinge = cbm_loss_hinge(cbm_add_scalar(lead, o.margin));
    hinge = cbm_where(own, cbm_number_like(x, 0), o.p == 2 ? cbm_mul(hinge, hinge) : hinge);
    cbm_tensor *losses = cbm_mul_scalar(sum_of_classes(hinge), 1 / (double)classes);
    return cbm_loss_reduce(op, l.share ? cbm_mul(losses, l.share) : losses, o.reduction, since);
}

/* Which places stand before their row's first negative number. */
static cbm_tensor *before_the_end(cbm_tensor *targets)
{
    const cbm_reduce_options row = { sizeof row, { { 1, 1 } }, 1 };
    const int64_t classes = cbm_tensor_size(targets, 1);
    cbm_tensor *ends = cbm_cast(cbm_less_scalar(targets, 0), CBM_I64);
    cbm_tensor *end = cbm_where(cbm_cast(cbm_max_with(ends, &row), CBM_BOOL), cbm_argmax_with(ends, &row),
                                cbm_scalar(cbm_tensor_context(targets), CBM_I64, (double)classes));
    return cbm_less(cbm_counting(cbm_tensor_context(targets), classes, CBM_I64), end);
}

cbm_tensor *cbm_multilabel_margin_loss_with(cbm_tensor *x, cbm_tensor *targets, const cbm_loss_options *options)
{
    static const char op[] = "multilabel_margin_loss";
    char tx[160], tt[160];
    cbm_loss_options o = { .struct_size = sizeof o };
    cbm_tensor *const both[] = { x, targets };
    const uint64_t since = cbm_now(x);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_usable(op, both, 2))
        return cbm_loss_none(op, x, targets);
    const cbm_shape sx = cbm_tensor_shape(x), st = cbm_tensor_shape(targets);
    const cbm_dtype dtype = cbm_tensor_dtype(targets);
    if (sx.v[0] != 2 || !cbm_shape_equal(&sx, &st))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_SHAPE,
                               "[%s] scores %s and targets %s must both have shape (N, C)", op,
                               cbm_shape_text(&sx, tx, sizeof tx), cbm_shape_text(&st, tt, sizeof tt));
    if ((dtype != CBM_I64 && dtype != CBM_I32) || !cbm_is_floating(cbm_tensor_dtype(x)))
        return cbm_fail_tensor(cbm_tensor_context(x), CBM_ERROR_DTYPE,
                               "[%s] takes scores in floats and class numbers in i64 or i32, not %s and %s", op,
                               cbm_dtype_name(cbm_tensor_dtype(x)), cbm_dtype_name(dtype));
    x = cbm_loss_operand(x);
    cbm_tensor *zero = cbm_number_like(x, 0), *valid = before_the_end(targets);
    cbm_tensor *index = cbm_cast(targets, CBM_I64);
    index = cbm_where(valid, index, cbm_scalar(cbm_tensor_context(x), CBM_I64, 0));
    cbm_tensor *hits = cbm_scatter_add(cbm_zeros_like(x), 1, index, cbm_cast(valid, cbm_tensor_dtype(x)));
    cbm_tensor *others = cbm_equal_scalar(hits, 0);
    /* (N, target, class) */
    cbm_tensor *lead = cbm_sub(cbm_unsqueeze(x, 1), cbm_unsqueeze(cbm_gather(x, 1, index), 2));
    cbm_tensor *counts = cbm_logical_and(cbm_unsqueeze(valid, 2), cbm_unsqueeze(others, 1));
    cbm_tensor *hinge = cbm_where(counts, cbm_loss_hinge(cbm_add_scalar(lead, 1)), zero);
    cbm_tensor *losses = cbm_sum_over(hinge, (cbm_shape){ { 2, 1, 2 } }, false);
    return cbm_loss_reduce(op, cbm_mul_scalar(losses, 1 / (double)sx.v[2]), o.reduction, since);
}

/* ---- sequences ---- */

/* The single sequence as a batch of one. */
static bool add_batch(cbm_tensor **log_probs, cbm_tensor **targets, cbm_tensor **input_lengths,
                      cbm_tensor **target_lengths)
{
    const cbm_shape one = { { 1, 1 } };
    if (cbm_tensor_rank(*log_probs) != 2 || cbm_tensor_rank(*targets) != 1 || cbm_tensor_count(*input_lengths) != 1 ||
        cbm_tensor_count(*target_lengths) != 1)
        return false;
    *log_probs = cbm_unsqueeze(*log_probs, 1);
    *targets = cbm_unsqueeze(*targets, 0);
    *input_lengths = cbm_reshape(*input_lengths, one);
    *target_lengths = cbm_reshape(*target_lengths, one);
    return true;
}

cbm_tensor *cbm_ctc_loss_with(cbm_tensor *log_probs, cbm_tensor *targets, cbm_tensor *input_lengths,
                              cbm_tensor *target_lengths, const cbm_ctc_loss_options *options)
{
    cbm_ctc_loss_options o = { .struct_size = sizeof o };
    cbm_tensor *all[] = { log_probs, targets, input_lengths, target_lengths }, *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_context *cx = cbm_context_of(all, 4);
    const uint64_t since = cx->sequence;
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_usable("ctc_loss", all, 4))
        return cbm_loss_none("ctc_loss", log_probs, targets);
    const cbm_ctc_attributes attributes = { o.blank, o.zero_infinity != 0 };
    const bool single = add_batch(&all[0], &all[1], &all[2], &all[3]);
    cbm_tensor *losses = cbm_apply(cx, &cbm_op_ctc_loss, all, 4, &attributes, out);
    if (cbm_tensor_failed(losses))
        return losses;
    if (o.reduction == CBM_REDUCE_MEAN) {
        cbm_tensor *lengths = cbm_cast(all[3], cbm_tensor_dtype(losses));
        losses = cbm_div(losses, cbm_maximum_scalar(lengths, 1));
    }
    if (single)
        losses = cbm_reshape(losses, (cbm_shape){ { 0 } });
    return cbm_loss_reduce("ctc_loss", losses, o.reduction, since);
}
