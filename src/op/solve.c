/* solve.c: linear systems and what comes of them: solve, triangular systems, inverse, determinants, pseudo-inverse, least
   squares. Where a factorisation of A serves several operations and their gradients, it is an operand of theirs beside A:
   values come from it, gradients go to A. Rests on op/families.h. */
#include "op/families.h"

/* ---- shape rules ---- */

/* Input 1 holds columns b (.., n, k) for the square matrices of input 0, in batches of the same extents. */
static bool system_fits(cbm_infer *infer)
{
    char ta[160], tb[160];
    const cbm_shape *a = &infer->in_shape[0], *b = &infer->in_shape[1];
    if (!cbm_rule_matrices(infer, 0, true))
        return false;
    if (infer->in_dtype[1] != infer->in_dtype[0])
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE,
                              "element types differ: %s and %s. HINT: convert one with cbm_cast",
                              cbm_dtype_name(infer->in_dtype[0]), cbm_dtype_name(infer->in_dtype[1]));
    bool fits = a->v[0] == b->v[0];
    for (int64_t i = 1; fits && i < a->v[0]; i++)
        fits = a->v[i] == b->v[i];
    infer->out_shape[0] = *b;
    infer->out_dtype[0] = infer->in_dtype[0];
    if (fits)
        return true;
    return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "a %s and b %s do not fit: b must have as many rows as a",
                          cbm_shape_text(a, ta, sizeof ta), cbm_shape_text(b, tb, sizeof tb));
}

/* Inputs from first on, if there are any: lu and pivots of input 0. */
static bool factors_fit(cbm_infer *infer, size_t first)
{
    cbm_shape pivots = infer->in_shape[0];
    pivots.v[pivots.v[0]--] = 0;
    if (infer->n_in == first)
        return true;
    if (infer->n_in != first + 2 || infer->in_dtype[first] != infer->in_dtype[0] ||
        infer->in_dtype[first + 1] != CBM_I32)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID,
                              "takes the results of lu_factor beside its operands, or nothing");
    return cbm_rule_shape(infer, first, "lu", &infer->in_shape[0]) &&
           cbm_rule_shape(infer, first + 1, "pivots", &pivots);
}

static void solve_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *a = &shapes->in[0], *b = &shapes->in[1];
    const double n = (double)a->shape[a->rank - 1];
    cost->flops = 2 * n * (double)b->count + (shapes->n_in == 2 ? n * (double)a->count * 2 / 3 : 0);
    cost->bytes = ((double)a->count + 2 * (double)b->count) * (double)cbm_dtype_size(a->dtype);
}

/* ---- solve ---- */
static bool solve_infer(cbm_infer *infer)
{
    if (infer->n_in < 2)
        return cbm_infer_fail(infer, CBM_ERROR_INVALID, "takes a and b");
    return system_fits(infer) && factors_fit(infer, 2);
}

static const cbm_op solve_op;

static cbm_tensor *solve_again(cbm_vjp *v, size_t factors, cbm_tensor *b, bool transpose)
{
    const cbm_solve_attributes attributes = { transpose };
    cbm_tensor *in[] = { v->in[0], b, NULL, NULL }, *out[CBM_MAX_OUTPUTS] = { NULL };
    const size_t more = v->n_in - factors;
    for (size_t i = 0; i < more; i++)
        in[2 + i] = v->in[factors + i];
    return cbm_apply(v->cx, &solve_op, in, 2 + more, &attributes, out);
}

/* From A X = B: gB = A^-T gX, gA = -gB X^T; of A^T X = B: gB = A^-1 gX, gA = -X gB^T (Giles 2008). */
static void solve_vjp(cbm_vjp *v)
{
    const bool transpose = ((const cbm_solve_attributes *)v->attributes)->transpose != 0;
    cbm_tensor *gb = solve_again(v, 2, v->out_gradient[0], !transpose), *x = v->out[0];
    v->in_gradient[1] = gb;
    if (v->needed[0])
        v->in_gradient[0] = cbm_neg(transpose ? cbm_matmul(x, cbm_transposed(gb)) : cbm_matmul(gb, cbm_transposed(x)));
}

static const cbm_attribute solve_fields[] = {
    CBM_FIELD(cbm_solve_attributes, transpose, CBM_ATTRIBUTE_INT, false),
};
static const cbm_solve_attributes as_it_is = { 0 }, transposed = { 1 };
static const cbm_sample solve_samples[] = {
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 3, 3), CBM_FLOATS(-1, 1, 3, 2) }, .attributes = &as_it_is, .diagonal = 2 },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 4, 4), CBM_FLOATS(-1, 1, 4, 5) }, .attributes = &as_it_is },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 3, 3), CBM_FLOATS(-1, 1, 3, 2) }, .attributes = &transposed, .diagonal = 2 },
    { .n_in = 2,
      .in = { CBM_FLOATS(-1, 1, 2, 5, 5), CBM_FLOATS(-1, 1, 2, 5, 1) },
      .attributes = &transposed,
      .diagonal = 3 },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 3, 3), CBM_FLOATS(-1, 1, 3, 0) }, .attributes = &as_it_is, .diagonal = 2 },
};
static const cbm_op solve_op = {
    CBM_OP_RECORD("solve"),
    .formula = "X with A X = B (transpose: A^T X = B)",
    .n_in = -1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_IN(2) | CBM_SAVES_IN(3) | CBM_SAVES_OUT(0),
    .attributes_size = sizeof(cbm_solve_attributes),
    .attributes = solve_fields,
    .n_attributes = CBM_COUNTOF(solve_fields),
    .infer = solve_infer,
    .vjp = solve_vjp,
    .cost = solve_cost,
    .differentiable_in = 3,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(solve_samples),
};

/* ---- solve_triangular ---- */

/* The part of a full gradient that belongs to the triangle. */
static cbm_tensor *triangle_of(cbm_tensor *g, const cbm_triangular_attributes *a)
{
    return a->upper ? cbm_triu(g, a->unit ? 1 : 0) : cbm_tril(g, a->unit ? -1 : 0);
}

static void solve_triangular_vjp(cbm_vjp *v)
{
    const cbm_triangular_attributes *a = v->attributes;
    const cbm_triangular_attributes back = { a->upper, !a->transpose, a->unit };
    cbm_tensor *gb = cbm_apply2(&cbm_op_solve_triangular, v->in[0], v->out_gradient[0], &back), *x = v->out[0];
    v->in_gradient[1] = gb;
    if (!v->needed[0])
        return;
    cbm_tensor *ga = a->transpose ? cbm_matmul(x, cbm_transposed(gb)) : cbm_matmul(gb, cbm_transposed(x));
    v->in_gradient[0] = cbm_neg(triangle_of(ga, a));
}

static void solve_triangular_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    solve_cost(shapes, cost);
    cost->flops = (double)shapes->in[0].shape[shapes->in[0].rank - 1] * (double)shapes->in[1].count;
}

static const cbm_attribute triangular_fields[] = {
    CBM_FIELD(cbm_triangular_attributes, upper, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_triangular_attributes, transpose, CBM_ATTRIBUTE_INT, false),
    CBM_FIELD(cbm_triangular_attributes, unit, CBM_ATTRIBUTE_INT, false),
};
static const cbm_triangular_attributes lower = { 0, 0, 0 }, upper = { 1, 0, 0 }, lower_transposed = { 0, 1, 0 },
                                       upper_transposed = { 1, 1, 0 }, lower_unit = { 0, 0, 1 },
                                       upper_unit_transposed = { 1, 1, 1 };
#define TRIANGULAR(attributes_)                                                                                        \
    {                                                                                                                  \
        .n_in = 2, .in = { CBM_FLOATS(-1, 1, 4, 4), CBM_FLOATS(-1, 1, 4, 3) }, .attributes = &attributes_,             \
        .diagonal = 3                                                                                                  \
    }
static const cbm_sample triangular_samples[] = {
    TRIANGULAR(lower),
    TRIANGULAR(upper),
    TRIANGULAR(lower_transposed),
    TRIANGULAR(upper_transposed),
    TRIANGULAR(lower_unit),
    TRIANGULAR(upper_unit_transposed),
    { .n_in = 2,
      .in = { CBM_FLOATS(-1, 1, 2, 2, 3, 3), CBM_FLOATS(-1, 1, 2, 2, 3, 2) },
      .attributes = &upper,
      .diagonal = 3 },
    { .n_in = 2, .in = { CBM_FLOATS(-1, 1, 0, 3, 3), CBM_FLOATS(-1, 1, 0, 3, 1) }, .attributes = &lower },
};
const cbm_op cbm_op_solve_triangular = {
    CBM_OP_RECORD("solve_triangular"),
    .formula =
        "X with A X = B (transpose: A^T X = B), of A the lower or upper triangle (unit: with ones on its diagonal)",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_OUT(0),
    .attributes_size = sizeof(cbm_triangular_attributes),
    .attributes = triangular_fields,
    .n_attributes = CBM_COUNTOF(triangular_fields),
    .infer = system_fits,
    .vjp = solve_triangular_vjp,
    .cost = solve_triangular_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(triangular_samples),
};

/* ---- det, slogdet ---- */
static bool det_infer(cbm_infer *infer)
{
    if (!cbm_rule_matrices(infer, 0, true) || !factors_fit(infer, 1))
        return false;
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_shape[0].v[0] -= 2;
    infer->out_shape[0].v[infer->in_shape[0].v[0]] = infer->out_shape[0].v[infer->in_shape[0].v[0] - 1] = 0;
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static bool slogdet_infer(cbm_infer *infer)
{
    if (!det_infer(infer))
        return false;
    infer->out_shape[1] = infer->out_shape[0];
    infer->out_dtype[1] = infer->out_dtype[0];
    return true;
}

/* A^-T, each matrix times its number in scale. */
static cbm_tensor *scaled_inverse_transposed(cbm_vjp *v, cbm_tensor *scale)
{
    const int64_t rank = cbm_tensor_rank(scale);
    const int64_t n = cbm_tensor_size(v->in[0], -1);
    cbm_tensor *i = cbm_eye(v->cx, cbm_tensor_dtype(scale), n, n);
    return solve_again(v, 1, cbm_mul(cbm_unsqueeze(cbm_unsqueeze(scale, rank), rank + 1), i), true);
}

/* Jacobi's formula: d det = det tr(A^-1 dA). */
static void det_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = scaled_inverse_transposed(v, cbm_mul(v->out_gradient[0], v->out[0]));
}

static void slogdet_vjp(cbm_vjp *v) /* the sign is constant */
{
    if (v->out_gradient[1])
        v->in_gradient[0] = scaled_inverse_transposed(v, v->out_gradient[1]);
}

static void det_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *a = &shapes->in[0];
    const double n = (double)a->shape[a->rank - 1];
    cost->flops = shapes->n_in == 1 ? n * (double)a->count * 2 / 3 : (double)shapes->out[0].count * n;
    cost->bytes = (double)a->count * (double)cbm_dtype_size(a->dtype);
}

static const cbm_sample det_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 3) }, .diagonal = 1 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 1, 1) } },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 2, 4, 4) }, .diagonal = 2 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 0, 0) } },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 0, 3, 3) } },
};
static const cbm_op det_op = {
    CBM_OP_RECORD("det"),
    .formula = "the determinant of A",
    .n_in = -1,
    .n_out = 1,
    .saves = CBM_SAVES_ALL_IN | CBM_SAVES_OUT(0),
    .infer = det_infer,
    .vjp = det_vjp,
    .cost = det_cost,
    .differentiable_in = 1,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(det_samples),
};
static const cbm_op slogdet_op = {
    CBM_OP_RECORD("slogdet"),
    .formula = "the sign of A's determinant, and log |det A|",
    .n_in = -1,
    .n_out = 2,
    .saves = CBM_SAVES_ALL_IN,
    .infer = slogdet_infer,
    .vjp = slogdet_vjp,
    .cost = det_cost,
    .differentiable_in = 1,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(det_samples),
};

/* ---- pinv ---- */
static bool pinv_infer(cbm_infer *infer)
{
    const int64_t rank = infer->in_shape[0].v[0];
    if (!cbm_rule_matrices(infer, 0, false))
        return false;
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_shape[0].v[rank] = infer->in_shape[0].v[rank - 1];
    infer->out_shape[0].v[rank - 1] = infer->in_shape[0].v[rank];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

/* With P = A^+: -P^T g P^T + (I - A P) g^T P P^T + P^T P g^T (I - P A), where the rank stays (Golub and Pereyra 1973, "The
   differentiation of pseudo-inverses"). */
static void pinv_vjp(cbm_vjp *v)
{
    cbm_tensor *a = v->in[0], *p = v->out[0], *pt = cbm_transposed(p), *g = v->out_gradient[0];
    cbm_tensor *gt = cbm_transposed(g);
    cbm_tensor *left = cbm_matmul(gt, cbm_matmul(p, pt)), *right = cbm_matmul(cbm_matmul(pt, p), gt);
    left = cbm_sub(left, cbm_matmul(a, cbm_matmul(p, left)));
    right = cbm_sub(right, cbm_matmul(cbm_matmul(right, p), a));
    v->in_gradient[0] = cbm_sub(cbm_add(left, right), cbm_matmul(cbm_matmul(pt, g), pt));
}

static void pinv_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    const cbm_buffer *a = &shapes->in[0];
    const double m = (double)a->shape[a->rank - 2], n = (double)a->shape[a->rank - 1];
    cost->flops = 11 * (m < n ? m : n) * (double)a->count;
    cost->bytes = 2 * (double)a->count * (double)cbm_dtype_size(a->dtype);
}

static const cbm_attribute pinv_fields[] = {
    CBM_FIELD(cbm_pinv_attributes, rcond, CBM_ATTRIBUTE_FLOAT, true),
};
static const cbm_pinv_attributes tiny = { 1e-6 };
static const cbm_sample pinv_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 3) }, .attributes = &tiny, .diagonal = 2 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 4, 2) }, .attributes = &tiny, .diagonal = 1 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 2, 3) }, .attributes = &tiny, .diagonal = 1 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 0, 3) }, .attributes = &tiny },
};
static const cbm_op pinv_op = {
    CBM_OP_RECORD("pinv"),
    .formula = "V diag(1 / s, 0 where s <= rcond max(s)) U^T of A = U diag(s) V^T",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0) | CBM_SAVES_OUT(0),
    .attributes_size = sizeof(cbm_pinv_attributes),
    .attributes = pinv_fields,
    .n_attributes = CBM_COUNTOF(pinv_fields),
    .infer = pinv_infer,
    .vjp = pinv_vjp,
    .cost = pinv_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(pinv_samples),
};

const cbm_op *const cbm_ops_solve[] = {
    &solve_op, &cbm_op_solve_triangular, &det_op, &slogdet_op, &pinv_op, NULL,
};

/* ---- public functions ---- */

/* Matrices a and right sides b with their leading axes broadcast to each other. A vector b becomes a column; *vector tells.
   false: what is recorded next fails with its own message. */
static bool align(cbm_tensor **a, cbm_tensor **b, bool *vector)
{
    cbm_context *cx = cbm_tensor_context(*a);
    *vector = false;
    if (!cbm_usable(cx, *a) || !cbm_usable(cx, *b))
        return false;
    *vector = cbm_tensor_rank(*b) == 1;
    if (*vector)
        *b = cbm_unsqueeze(*b, 1);
    cbm_shape sa = cbm_tensor_shape(*a), sb = cbm_tensor_shape(*b), batch, la, lb;
    if (sa.v[0] < 2 || sb.v[0] < 2)
        return false;
    la = sa;
    lb = sb;
    la.v[0] -= 2;
    lb.v[0] -= 2;
    if (!cbm_broadcast_shapes(&la, &lb, &batch))
        return false;
    cbm_shape to_a = batch, to_b = batch;
    for (int k = 1; k >= 0; k--) {
        to_a.v[++to_a.v[0]] = sa.v[sa.v[0] - k];
        to_b.v[++to_b.v[0]] = sb.v[sb.v[0] - k];
    }
    *a = cbm_expand(*a, to_a);
    *b = cbm_expand(*b, to_b);
    return true;
}

static cbm_tensor *without_column(cbm_tensor *x, bool vector)
{
    cbm_shape s = cbm_tensor_shape(x);
    if (!vector || cbm_tensor_failed(x))
        return x;
    s.v[s.v[0]--] = 0;
    return cbm_reshape(x, s);
}

/* op on a and, for systems, b, beside the LU factorisation of a. */
static cbm_tensor *with_factors(const cbm_op *op, cbm_tensor *a, cbm_tensor *b, const void *attributes,
                                cbm_tensor **out)
{
    cbm_context *cx = cbm_tensor_context(a);
    cbm_tensor *factors[CBM_MAX_OUTPUTS] = { NULL }, *in[4] = { a };
    size_t n = 1;
    if (b)
        in[n++] = b;
    cbm_infer infer = { .op = op, .attributes = attributes, .n_in = n, .n_out = (size_t)op->n_out, .cx = cx };
    for (size_t i = 0; i < n; i++) {
        if (!cbm_usable(cx, in[i]))
            return cbm_apply(cx, op, in, n, attributes, out);
        infer.in_shape[i] = cbm_tensor_shape(in[i]);
        infer.in_dtype[i] = cbm_tensor_dtype(in[i]);
    }
    if (!op->infer(&infer)) /* in the name of what the user asked for, not of lu_factor */
        return cbm_apply(cx, op, in, n, attributes, out);
    in[n++] = cbm_apply(cx, &cbm_op_lu_factor, &a, 1, NULL, factors);
    in[n++] = factors[1];
    return cbm_apply(cx, op, in, n, attributes, out);
}

cbm_tensor *cbm_solve(cbm_tensor *a, cbm_tensor *b)
{
    const cbm_solve_attributes attributes = { 0 };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    const uint64_t since = cbm_now(a);
    bool vector = false;
    if (!align(&a, &b, &vector))
        return cbm_apply2(&solve_op, a, b, &attributes);
    return cbm_composed(without_column(with_factors(&solve_op, a, b, &attributes, out), vector), since);
}

cbm_tensor *cbm_solve_triangular_with(cbm_tensor *a, cbm_tensor *b, const cbm_solve_triangular_options *options)
{
    cbm_solve_triangular_options o = { .struct_size = sizeof o, .left = 1 };
    const uint64_t since = cbm_now(a);
    bool vector = false;
    cbm_read_options(&o, sizeof o, options);
    const cbm_triangular_attributes attributes = { o.upper != 0, o.left == 0, o.unitriangular != 0 };
    if (!o.left && cbm_usable(cbm_tensor_context(a), b) && cbm_tensor_rank(b) >= 2) /* X A = B: A^T X^T = B^T */
        b = cbm_transposed(b);
    (void)align(&a, &b, &vector);
    cbm_tensor *x = cbm_apply2(&cbm_op_solve_triangular, a, b, &attributes);
    x = o.left || vector || cbm_tensor_failed(x) ? without_column(x, vector) : cbm_transposed(x);
    return cbm_composed(x, since);
}

cbm_tensor *cbm_cholesky_solve(cbm_tensor *b, cbm_tensor *l)
{
    const cbm_triangular_attributes forward = { 0 }, back = { .transpose = 1 };
    const uint64_t since = cbm_now(l);
    bool vector = false;
    (void)align(&l, &b, &vector);
    cbm_tensor *y = cbm_apply2(&cbm_op_solve_triangular, l, b, &forward);
    return cbm_composed(without_column(cbm_apply2(&cbm_op_solve_triangular, l, y, &back), vector), since);
}

cbm_tensor *cbm_inverse(cbm_tensor *a)
{
    const cbm_solve_attributes attributes = { 0 };
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_context *cx = cbm_tensor_context(a);
    if (!cbm_usable(cx, a) || cbm_tensor_rank(a) < 2 || cbm_tensor_size(a, -1) != cbm_tensor_size(a, -2))
        return cbm_apply2(&solve_op, a, a, &attributes);
    const uint64_t since = cbm_now(a);
    const int64_t n = cbm_tensor_size(a, -1);
    cbm_tensor *i = cbm_eye(cx, cbm_tensor_dtype(a), n, n);
    return cbm_composed(with_factors(&solve_op, a, cbm_expand(i, cbm_tensor_shape(a)), &attributes, out), since);
}

cbm_tensor *cbm_det(cbm_tensor *a)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    const uint64_t since = cbm_now(a);
    return cbm_composed(with_factors(&det_op, a, NULL, NULL, out), since);
}

cbm_tensor *cbm_slogdet(cbm_tensor *a, cbm_tensor **logabs)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    const uint64_t since = cbm_now(a);
    cbm_tensor *sign = with_factors(&slogdet_op, a, NULL, NULL, out);
    if (logabs)
        *logabs = out[1];
    return cbm_composed(sign, since);
}

cbm_tensor *cbm_pinv_with(cbm_tensor *a, const cbm_pinv_options *options)
{
    cbm_pinv_options o = { .struct_size = sizeof o, .rtol = -1 };
    cbm_read_options(&o, sizeof o, options);
    const int64_t m = cbm_tensor_size(a, -2), n = cbm_tensor_size(a, -1);
    const double epsilon = cbm_tensor_dtype(a) == CBM_F64 ? 0x1p-52 : 0x1p-23;
    const cbm_pinv_attributes attributes = { o.rtol >= 0 ? o.rtol : (double)(m > n ? m : n) * epsilon };
    return cbm_apply1(&pinv_op, a, &attributes);
}

/* By QR: of a tall A, R X = Q^T B; of a wide one X = Q R^-T B with A^T = Q R, the shortest of all solutions. */
cbm_tensor *cbm_lstsq(cbm_tensor *a, cbm_tensor *b)
{
    const cbm_triangular_attributes plain = { .upper = 1 }, turned = { .upper = 1, .transpose = 1 };
    cbm_tensor *r = NULL, *x = NULL;
    bool vector = false;
    char ta[160], tb[160];
    cbm_tensor *const both[] = { a, b };
    cbm_context *cx = cbm_context_of(both, 2);
    const uint64_t since = cx->sequence;
    const bool aligned = align(&a, &b, &vector);
    if (!cbm_usable(cx, a) || !cbm_usable(cx, b))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[lstsq] an input is NULL or failed");
    const cbm_shape sa = cbm_tensor_shape(a), sb = cbm_tensor_shape(b);
    const int64_t m = cbm_tensor_size(a, -2), n = cbm_tensor_size(a, -1);
    if (!aligned || cbm_tensor_size(b, -2) != m)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[lstsq] a %s and b %s do not fit: b must have as many rows as a",
                               cbm_shape_text(&sa, ta, sizeof ta), cbm_shape_text(&sb, tb, sizeof tb));
    if (m >= n) {
        cbm_tensor *q = cbm_qr(a, &r);
        x = cbm_apply2(&cbm_op_solve_triangular, r, cbm_matmul(cbm_transposed(q), b), &plain);
    } else {
        cbm_tensor *q = cbm_qr(cbm_transposed(a), &r);
        x = cbm_matmul(q, cbm_apply2(&cbm_op_solve_triangular, r, b, &turned));
    }
    return cbm_composed(without_column(x, vector), since);
}
