/* loss_pairs.c: losses of pairs and triples of vectors, and the distances and similarities they rest on. Rests on
   op/loss.h. */
#include "op/loss.h"

#include <math.h>

static cbm_tensor *sum_along(cbm_tensor *x, int64_t axis, bool keepdim)
{
    return cbm_sum_over(x, (cbm_shape){ { 1, axis } }, keepdim);
}

/* Floats that broadcast to each other, as losses compute them, each expanded to the common shape. */
static bool common_shape(const char *op, cbm_tensor **a, cbm_tensor **b)
{
    char ta[160], tb[160];
    cbm_tensor *const both[] = { *a, *b };
    if (!cbm_loss_usable(op, both, 2))
        return false;
    *a = cbm_loss_operand(*a);
    *b = cbm_loss_operand(*b);
    cbm_context *cx = cbm_tensor_context(*a);
    if (!cbm_is_floating(cbm_tensor_dtype(*a)) || cbm_tensor_dtype(*a) != cbm_tensor_dtype(*b)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_DTYPE,
                              "[%s] takes floats of one element type, not %s and %s. HINT: convert with cbm_cast", op,
                              cbm_dtype_name(cbm_tensor_dtype(*a)), cbm_dtype_name(cbm_tensor_dtype(*b)));
        return false;
    }
    const cbm_shape sa = cbm_tensor_shape(*a), sb = cbm_tensor_shape(*b);
    cbm_shape out;
    if (!cbm_broadcast_shapes(&sa, &sb, &out)) {
        (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] shapes %s and %s do not broadcast", op,
                              cbm_shape_text(&sa, ta, sizeof ta), cbm_shape_text(&sb, tb, sizeof tb));
        return false;
    }
    *a = cbm_expand(*a, out);
    *b = cbm_expand(*b, out);
    return true;
}

static cbm_tensor *norm_along(cbm_tensor *x, double p, int64_t axis, bool keepdim)
{
    return cbm_norm_with(x, &(cbm_norm_options){ sizeof(cbm_norm_options), { { 1, axis } }, keepdim, p });
}

static cbm_tensor *distance(cbm_tensor *a, cbm_tensor *b, double p, double eps, bool keepdim)
{
    return norm_along(cbm_add_scalar(cbm_sub(a, b), eps), p, -1, keepdim);
}

/* p > 0, and vectors to measure. */
static bool measurable(const char *op, cbm_tensor *a, double p)
{
    if (!(p > 0)) {
        (void)cbm_fail_tensor(cbm_tensor_context(a), CBM_ERROR_INVALID, "[%s] p %g is not positive", op, p);
        return false;
    }
    if (cbm_tensor_rank(a) > 0)
        return true;
    (void)cbm_fail_tensor(cbm_tensor_context(a), CBM_ERROR_SHAPE, "[%s] takes vectors (.., D), not scalars", op);
    return false;
}

cbm_tensor *cbm_pairwise_distance_with(cbm_tensor *a, cbm_tensor *b, const cbm_pairwise_distance_options *options)
{
    cbm_pairwise_distance_options o = { .struct_size = sizeof o, .p = 2, .eps = 1e-6 };
    const uint64_t since = cbm_now(a);
    cbm_read_options(&o, sizeof o, options);
    if (!common_shape("pairwise_distance", &a, &b) || !measurable("pairwise_distance", a, o.p))
        return cbm_loss_none("pairwise_distance", a, b);
    return cbm_composed(distance(a, b, o.p, o.eps, o.keepdim != 0), since);
}

cbm_tensor *cbm_triplet_margin_loss_with(cbm_tensor *anchor, cbm_tensor *positive, cbm_tensor *negative,
                                         const cbm_triplet_margin_loss_options *options)
{
    static const char op[] = "triplet_margin_loss";
    cbm_triplet_margin_loss_options o = { .struct_size = sizeof o, .margin = 1, .p = 2, .eps = 1e-6 };
    cbm_tensor *const all[] = { anchor, positive, negative };
    const uint64_t since = cbm_now(anchor);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_usable(op, all, 3) || !common_shape(op, &anchor, &positive) ||
        !common_shape(op, &anchor, &negative) || !common_shape(op, &positive, &negative) ||
        !measurable(op, anchor, o.p))
        return cbm_loss_none(op, anchor, positive);
    cbm_tensor *near = distance(anchor, positive, o.p, o.eps, false);
    cbm_tensor *far = distance(anchor, negative, o.p, o.eps, false);
    if (o.swap)
        far = cbm_minimum(far, distance(positive, negative, o.p, o.eps, false));
    return cbm_loss_reduce(op, cbm_loss_hinge(cbm_add_scalar(cbm_sub(near, far), o.margin)), o.reduction, since);
}

cbm_tensor *cbm_margin_ranking_loss_with(cbm_tensor *a, cbm_tensor *b, cbm_tensor *target,
                                         const cbm_ranking_loss_options *options)
{
    static const char op[] = "margin_ranking_loss";
    cbm_ranking_loss_options o = { .struct_size = sizeof o };
    cbm_tensor *const all[] = { a, b, target };
    const uint64_t since = cbm_now(a);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_usable(op, all, 3) || !common_shape(op, &a, &b) || !common_shape(op, &a, &target))
        return cbm_loss_none(op, a, b);
    cbm_tensor *behind = cbm_mul(target, cbm_sub(b, a));
    return cbm_loss_reduce(op, cbm_loss_hinge(cbm_add_scalar(behind, o.margin)), o.reduction, since);
}

/* ---- angles ---- */

/* a / max(|a|, eps) along axis: its slope at zero vectors is finite. */
static cbm_tensor *direction(cbm_tensor *a, int64_t axis, double eps)
{
    return cbm_div(a, cbm_maximum_scalar(norm_along(a, 2, axis, true), eps));
}

cbm_tensor *cbm_cosine_similarity_with(cbm_tensor *a, cbm_tensor *b, const cbm_cosine_similarity_options *options)
{
    static const char op[] = "cosine_similarity";
    cbm_cosine_similarity_options o = { .struct_size = sizeof o, .axis = 1, .eps = 1e-8 };
    const uint64_t since = cbm_now(a);
    int64_t axis = 0;
    cbm_read_options(&o, sizeof o, options);
    if (!common_shape(op, &a, &b) || !cbm_axis_of(op, a, o.axis, &axis))
        return cbm_loss_none(op, a, b);
    return cbm_composed(sum_along(cbm_mul(direction(a, axis, o.eps), direction(b, axis, o.eps)), axis, false), since);
}

/* PyTorch's own cosine here: each squared length is raised by 1e-12. */
static cbm_tensor *cosine(cbm_tensor *a, cbm_tensor *b)
{
    cbm_tensor *aa = cbm_add_scalar(sum_along(cbm_mul(a, a), -1, false), 1e-12);
    cbm_tensor *bb = cbm_add_scalar(sum_along(cbm_mul(b, b), -1, false), 1e-12);
    return cbm_div(sum_along(cbm_mul(a, b), -1, false), cbm_sqrt(cbm_mul(aa, bb)));
}

cbm_tensor *cbm_cosine_embedding_loss_with(cbm_tensor *a, cbm_tensor *b, cbm_tensor *target,
                                           const cbm_ranking_loss_options *options)
{
    static const char op[] = "cosine_embedding_loss";
    char ta[160], tt[160];
    cbm_ranking_loss_options o = { .struct_size = sizeof o };
    cbm_tensor *const all[] = { a, b, target };
    const uint64_t since = cbm_now(a);
    cbm_read_options(&o, sizeof o, options);
    if (!cbm_loss_usable(op, all, 3) || !cbm_loss_pair(op, &a, &b))
        return cbm_loss_none(op, a, b);
    const cbm_shape sa = cbm_tensor_shape(a), st = cbm_tensor_shape(target);
    if (sa.v[0] < 1 || sa.v[0] > 2 || st.v[0] != sa.v[0] - 1 || (sa.v[0] == 2 && st.v[1] != sa.v[1]))
        return cbm_fail_tensor(cbm_tensor_context(a), CBM_ERROR_SHAPE,
                               "[%s] takes (N, D) and targets (N), or (D) and a scalar, not %s and %s", op,
                               cbm_shape_text(&sa, ta, sizeof ta), cbm_shape_text(&st, tt, sizeof tt));
    cbm_tensor *c = cosine(a, b), *zero = cbm_number_like(c, 0);
    cbm_tensor *near = cbm_where(cbm_equal_scalar(target, 1), cbm_rsub_scalar(c, 1), zero);
    cbm_tensor *apart = cbm_where(cbm_equal_scalar(target, -1), cbm_loss_hinge(cbm_add_scalar(c, -o.margin)), zero);
    return cbm_loss_reduce(op, cbm_add(near, apart), o.reduction, since);
}
