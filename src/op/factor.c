/* factor.c: factorisations of matrices: Cholesky, LU, QR, singular values, eigenvalues of symmetric matrices, with their
   gradients (Giles 2008, "An extended collection of matrix derivative results", where no other source is named). What a
   gradient is made of are operations again, so that those of higher order follow. Rests on op/families.h. */
#include "op/families.h"

/* ---- pieces ---- */

static cbm_tensor *product(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_matmul(a, b);
}

/* a^T b */
static cbm_tensor *product_tn(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_matmul(cbm_transposed(a), b);
}

static cbm_tensor *half_sum_with_transposed(cbm_tensor *a)
{
    return cbm_mul_scalar(cbm_add(a, cbm_transposed(a)), 0.5);
}

static cbm_tensor *minus_transposed(cbm_tensor *a)
{
    return cbm_sub(a, cbm_transposed(a));
}

/* A vector (.., n) as a row (.., 1, n) and as a column (.., n, 1): factors for the columns and the rows of matrices. */
static cbm_tensor *as_row(cbm_tensor *v)
{
    return cbm_unsqueeze(v, cbm_tensor_rank(v) - 1);
}

static cbm_tensor *as_column(cbm_tensor *v)
{
    return cbm_unsqueeze(v, cbm_tensor_rank(v));
}

static cbm_tensor *diagonal_matrix(cbm_tensor *v)
{
    return cbm_diag_embed(v, 0, -2, -1);
}

/* E[i][j] = v[j] - v[i], but 1 on the diagonal. */
static cbm_tensor *gaps(cbm_tensor *v)
{
    cbm_tensor *differences = cbm_sub(as_row(v), as_column(v));
    const int64_t n = cbm_tensor_size(v, -1);
    return cbm_add(differences, cbm_eye(cbm_tensor_context(v), cbm_tensor_dtype(v), n, n));
}

static cbm_tensor *sum_of(cbm_tensor *a, cbm_tensor *b) /* either may be NULL */
{
    return a == NULL ? b : b == NULL ? a : cbm_add(a, b);
}

/* ---- costs: LAPACK's own counts, of the largest terms ---- */

static double matrices_in(const cbm_buffer *a)
{
    double count = 1;
    for (int64_t i = 0; i < a->rank - 2; i++)
        count *= (double)a->shape[i];
    return count;
}

/* factor times k^2 (longer side) for each matrix, k the shorter side */
static void factor_cost(const cbm_launch *shapes, double factor, cbm_cost *cost)
{
    const cbm_buffer *a = &shapes->in[0];
    const double m = (double)a->shape[a->rank - 2], n = (double)a->shape[a->rank - 1];
    const double shorter = m < n ? m : n, longer = m < n ? n : m;
    cost->flops = factor * shorter * shorter * longer * matrices_in(a);
    cost->bytes = (double)a->count * (double)cbm_dtype_size(a->dtype);
    for (size_t k = 0; k < shapes->n_out; k++)
        cost->bytes += (double)shapes->out[k].count * (double)cbm_dtype_size(shapes->out[k].dtype);
}

static void cholesky_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    factor_cost(shapes, 1.0 / 3, cost);
}

static void lu_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    factor_cost(shapes, 2.0 / 3, cost);
}

static void qr_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    factor_cost(shapes, 4, cost);
}

static void values_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    factor_cost(shapes, 4.0 / 3, cost);
}

static void vectors_cost(const cbm_launch *shapes, cbm_cost *cost)
{
    factor_cost(shapes, 9, cost);
}

/* ---- cholesky ---- */
static bool cholesky_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return cbm_rule_matrices(infer, 0, true);
}

/* With P the lower triangle of L^T g, its diagonal halved: L^-T P L^-1, made symmetric (Murray 2016, "Differentiation of
   the Cholesky decomposition"). */
static void cholesky_vjp(cbm_vjp *v)
{
    const cbm_triangular_attributes transposed = { .transpose = 1 };
    cbm_tensor *l = v->out[0], *p = product_tn(l, v->out_gradient[0]);
    p = cbm_mul_scalar(cbm_add(cbm_tril(p, 0), cbm_tril(p, -1)), 0.5);
    cbm_tensor *left = cbm_apply2(&cbm_op_solve_triangular, l, p, &transposed);
    cbm_tensor *both = cbm_apply2(&cbm_op_solve_triangular, l, cbm_transposed(left), &transposed);
    v->in_gradient[0] = half_sum_with_transposed(both);
}

static const cbm_sample definite_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 3) }, .diagonal = 4 },
    { .n_in = 1, .in = { CBM_FLOATS(1, 2, 1, 1) } },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 3, 4, 4) }, .diagonal = 6 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 0, 3, 3) }, .diagonal = 4 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 0, 0) } },
};
static const cbm_op cholesky_op = {
    CBM_OP_RECORD("cholesky"),
    .formula = "L, lower triangular with a positive diagonal: L L^T = (A + A^T) / 2",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_OUT(0),
    .infer = cholesky_infer,
    .vjp = cholesky_vjp,
    .cost = cholesky_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(definite_samples),
};

/* ---- lu_factor: what solve and the determinants share. Their gradients go by A itself ---- */
static bool lu_factor_infer(cbm_infer *infer)
{
    const cbm_shape *a = &infer->in_shape[0];
    if (!cbm_rule_matrices(infer, 0, true))
        return false;
    infer->out_shape[0] = infer->out_shape[1] = *a;
    infer->out_shape[1].v[a->v[0]] = 0;
    infer->out_shape[1].v[0] = a->v[0] - 1;
    infer->out_dtype[0] = infer->in_dtype[0];
    infer->out_dtype[1] = CBM_I32;
    return true;
}

static const cbm_sample regular_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 3) } },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 5, 5) } },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 0, 3, 3) } },
};
const cbm_op cbm_op_lu_factor = {
    CBM_OP_RECORD("lu_factor"),
    .formula = "A = L U P^T in one matrix, L with its diagonal, U above it with ones on its own; the swaps that make P",
    .n_in = 1,
    .n_out = 2,
    .infer = lu_factor_infer,
    .cost = lu_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(regular_samples),
};

/* ---- qr ---- */
static bool qr_infer(cbm_infer *infer)
{
    const cbm_shape *a = &infer->in_shape[0];
    const int64_t rank = a->v[0];
    if (!cbm_rule_matrices(infer, 0, false))
        return false;
    const int64_t shorter = a->v[rank] < a->v[rank - 1] ? a->v[rank] : a->v[rank - 1];
    infer->out_shape[0] = infer->out_shape[1] = *a;
    infer->out_shape[0].v[rank] = infer->out_shape[1].v[rank - 1] = shorter;
    infer->out_dtype[0] = infer->out_dtype[1] = infer->in_dtype[0];
    return true;
}

/* For A = Q R with square R: (gQ + Q sym(upper triangle of gR R^T - Q^T gQ)) R^-T, where sym mirrors the triangle (Walter
   and Lehmann 2018, "Algorithmic differentiation of linear algebra functions"). gQ and gR may be NULL, not both. */
static cbm_tensor *qr_gradient(cbm_tensor *q, cbm_tensor *r, cbm_tensor *gq, cbm_tensor *gr)
{
    const cbm_triangular_attributes upper = { .upper = 1 };
    cbm_tensor *m = gr ? product(gr, cbm_transposed(r)) : NULL;
    if (gq)
        m = sum_of(m, cbm_neg(product_tn(q, gq)));
    cbm_tensor *mirrored = cbm_add(cbm_triu(m, 0), cbm_transposed(cbm_triu(m, 1)));
    cbm_tensor *inner = sum_of(gq, product(q, mirrored));
    return cbm_transposed(cbm_apply2(&cbm_op_solve_triangular, r, cbm_transposed(inner), &upper));
}

/* A wide A = [X Y] is Q [U W] with X = Q U square and Y = Q W: W takes part as Q^T Y (Roberts and Roberts 2020, "QR and LQ
   decomposition matrix backpropagation algorithms"). */
static void qr_vjp(cbm_vjp *v)
{
    cbm_tensor *q = v->out[0], *r = v->out[1], *gq = v->out_gradient[0], *gr = v->out_gradient[1];
    const int64_t m = cbm_tensor_size(q, -2), n = cbm_tensor_size(r, -1);
    if (n <= m) {
        v->in_gradient[0] = qr_gradient(q, r, gq, gr);
        return;
    }
    cbm_tensor *u = cbm_slice(r, -1, 0, m, 1), *w = cbm_slice(r, -1, m, n, 1);
    if (gr == NULL)
        gr = cbm_zeros_like(r);
    cbm_tensor *gu = cbm_slice(gr, -1, 0, m, 1), *gw = cbm_slice(gr, -1, m, n, 1);
    gq = sum_of(gq, product(q, product(w, cbm_transposed(gw))));
    cbm_tensor *parts[] = { qr_gradient(q, u, gq, gu), product(q, gw) };
    v->in_gradient[0] = cbm_concat(parts, 2, cbm_tensor_rank(q) - 1);
}

static const cbm_sample qr_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 3) }, .diagonal = 2 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 5, 3) }, .diagonal = 2 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 5) }, .diagonal = 2 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 4, 2) }, .diagonal = 2 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 0, 3, 2) } },
};
static const cbm_op qr_op = {
    CBM_OP_RECORD("qr"),
    .formula = "A = Q R, Q (m, k) with orthonormal columns, R (k, n) upper triangular, k = min(m, n)",
    .n_in = 1,
    .n_out = 2,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_OUT(0) | CBM_SAVES_OUT(1),
    .infer = qr_infer,
    .vjp = qr_vjp,
    .cost = qr_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(qr_samples),
};

/* ---- svd, svdvals ---- */
static bool svdvals_infer(cbm_infer *infer)
{
    const cbm_shape *a = &infer->in_shape[0];
    const int64_t rank = a->v[0];
    if (!cbm_rule_matrices(infer, 0, false))
        return false;
    infer->out_shape[0] = *a;
    infer->out_shape[0].v[rank - 1] = a->v[rank] < a->v[rank - 1] ? a->v[rank] : a->v[rank - 1];
    infer->out_shape[0].v[rank] = 0;
    infer->out_shape[0].v[0] = rank - 1;
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static bool svd_infer(cbm_infer *infer)
{
    const cbm_shape *a = &infer->in_shape[0];
    const int64_t rank = a->v[0];
    if (!svdvals_infer(infer))
        return false;
    infer->out_shape[1] = infer->out_shape[0];
    infer->out_shape[0] = infer->out_shape[2] = *a;
    infer->out_shape[0].v[rank] = infer->out_shape[2].v[rank - 1] = infer->out_shape[1].v[rank - 1];
    infer->out_dtype[1] = infer->out_dtype[2] = infer->out_dtype[0];
    return true;
}

/* x - P x for the orthonormal columns of p: what lies outside of their space. */
static cbm_tensor *outside(cbm_tensor *p, cbm_tensor *x)
{
    return cbm_sub(x, product(p, product_tn(p, x)));
}

/* U (skew(U^T gU) / E S + S skew(V^T gV) / E + diag(gS)) V^T, E[i][j] = s_j^2 - s_i^2, and for what of gU and gV lies outside
   of the spaces of U and V: (I - U U^T) gU S^-1 V^T + U S^-1 gV^T (I - V V^T) (Townsend 2016, "Differentiating the singular
   value decomposition"). */
static void svd_vjp(cbm_vjp *v)
{
    cbm_tensor *u = v->out[0], *s = v->out[1], *vh = v->out[2];
    cbm_tensor *gu = v->out_gradient[0], *gs = v->out_gradient[1], *gvh = v->out_gradient[2], *gradient = NULL;
    if (gu == NULL && gvh == NULL) {
        v->in_gradient[0] = product(cbm_mul(u, as_row(gs)), vh);
        return;
    }
    cbm_tensor *inner = gs ? diagonal_matrix(gs) : NULL, *e = gaps(cbm_mul(s, s));
    if (gu)
        inner = sum_of(inner, cbm_mul(cbm_div(minus_transposed(product_tn(u, gu)), e), as_row(s)));
    if (gvh)
        inner = sum_of(inner, cbm_mul(cbm_div(minus_transposed(product(vh, cbm_transposed(gvh))), e), as_column(s)));
    gradient = product(product(u, inner), vh);
    if (gu && cbm_tensor_size(u, -2) > cbm_tensor_size(s, -1))
        gradient = cbm_add(gradient, product(cbm_div(outside(u, gu), as_row(s)), vh));
    if (gvh && cbm_tensor_size(vh, -1) > cbm_tensor_size(s, -1)) {
        cbm_tensor *rest = outside(cbm_transposed(vh), cbm_transposed(gvh));
        gradient = cbm_add(gradient, product(u, cbm_transposed(cbm_div(rest, as_row(s)))));
    }
    v->in_gradient[0] = gradient;
}

static const cbm_op svd_op;

static void svdvals_vjp(cbm_vjp *v)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_tensor *u = cbm_apply(v->cx, &svd_op, v->in, 1, NULL, out);
    v->in_gradient[0] = product(cbm_mul(u, as_row(v->out_gradient[0])), out[2]);
}

static const cbm_sample svd_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 3) }, .diagonal = 1 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 4, 2) }, .diagonal = 1 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 4) }, .diagonal = 1 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 3, 2) }, .diagonal = 1 },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 2, 0, 3, 2) } },
};
static const cbm_op svd_op = {
    CBM_OP_RECORD("svd"),
    .formula = "A = U diag(s) V^T: U (m, k), s (k) falling, V^T (k, n), k = min(m, n)",
    .n_in = 1,
    .n_out = 3,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_OUT(0) | CBM_SAVES_OUT(1) | CBM_SAVES_OUT(2),
    .infer = svd_infer,
    .vjp = svd_vjp,
    .cost = vectors_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(svd_samples),
};
static const cbm_op svdvals_op = {
    CBM_OP_RECORD("svdvals"),
    .formula = "the singular values of A, falling",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0),
    .infer = svdvals_infer,
    .vjp = svdvals_vjp,
    .cost = values_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(svd_samples),
};

/* ---- eigh, eigvalsh ---- */
static bool eigvalsh_infer(cbm_infer *infer)
{
    return cbm_rule_matrices(infer, 0, true) && svdvals_infer(infer);
}

static bool eigh_infer(cbm_infer *infer)
{
    infer->out_shape[1] = infer->in_shape[0];
    infer->out_dtype[1] = infer->in_dtype[0];
    return eigvalsh_infer(infer);
}

/* V (skew(V^T gV) / (2 E) + diag(gw)) V^T, E[i][j] = w_j - w_i: symmetric, as what A is taken as. */
static cbm_tensor *eigh_gradient(cbm_tensor *w, cbm_tensor *vectors, cbm_tensor *gw, cbm_tensor *gv)
{
    if (gv == NULL)
        return product(cbm_mul(vectors, as_row(gw)), cbm_transposed(vectors));
    cbm_tensor *inner = cbm_div(minus_transposed(product_tn(vectors, gv)), cbm_mul_scalar(gaps(w), 2));
    if (gw)
        inner = cbm_add(inner, diagonal_matrix(gw));
    return product(product(vectors, inner), cbm_transposed(vectors));
}

static void eigh_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = eigh_gradient(v->out[0], v->out[1], v->out_gradient[0], v->out_gradient[1]);
}

static const cbm_op eigh_op;

static void eigvalsh_vjp(cbm_vjp *v)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_tensor *w = cbm_apply(v->cx, &eigh_op, v->in, 1, NULL, out);
    v->in_gradient[0] = eigh_gradient(w, out[1], v->out_gradient[0], NULL);
}

static const cbm_sample symmetric_samples[] = {
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 3, 3) } },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 1, 1) } },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 2, 4, 4) } },
    { .n_in = 1, .in = { CBM_FLOATS(-1, 1, 0, 3, 3) } },
};
static const cbm_op eigh_op = {
    CBM_OP_RECORD("eigh"),
    .formula = "(A + A^T) / 2 = V diag(w) V^T: w (n) rising, V's columns orthonormal",
    .n_in = 1,
    .n_out = 2,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_OUT(0) | CBM_SAVES_OUT(1),
    .infer = eigh_infer,
    .vjp = eigh_vjp,
    .cost = vectors_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(symmetric_samples),
};
static const cbm_op eigvalsh_op = {
    CBM_OP_RECORD("eigvalsh"),
    .formula = "the eigenvalues of (A + A^T) / 2, rising",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .saves = CBM_SAVES_IN(0),
    .infer = eigvalsh_infer,
    .vjp = eigvalsh_vjp,
    .cost = values_cost,
    .autocast = CBM_AUTOCAST_FULL,
    CBM_SAMPLES(symmetric_samples),
};

const cbm_op *const cbm_ops_factor[] = {
    &cholesky_op, &cbm_op_lu_factor, &qr_op, &svd_op, &svdvals_op, &eigh_op, &eigvalsh_op, NULL,
};

/* ---- public functions ---- */

cbm_tensor *cbm_cholesky(cbm_tensor *a)
{
    return cbm_apply1(&cholesky_op, a, NULL);
}

/* The first result; the k-th in *place, which may be NULL. */
static cbm_tensor *apply_for(const cbm_op *op, cbm_tensor *a, cbm_tensor **second, cbm_tensor **third)
{
    cbm_tensor *out[CBM_MAX_OUTPUTS] = { NULL };
    cbm_tensor *first = cbm_apply(cbm_tensor_context(a), op, &a, 1, NULL, out);
    if (second)
        *second = out[1];
    if (third)
        *third = out[2];
    return first;
}

cbm_tensor *cbm_qr(cbm_tensor *a, cbm_tensor **r)
{
    return apply_for(&qr_op, a, r, NULL);
}

cbm_tensor *cbm_svd(cbm_tensor *a, cbm_tensor **s, cbm_tensor **vh)
{
    return apply_for(&svd_op, a, s, vh);
}

cbm_tensor *cbm_eigh(cbm_tensor *a, cbm_tensor **vectors)
{
    return apply_for(&eigh_op, a, vectors, NULL);
}

/* Where a gradient will be wanted, the vectors of which it is made are kept from here on. */
cbm_tensor *cbm_svdvals(cbm_tensor *a)
{
    cbm_tensor *s = NULL;
    if (!cbm_tensor_requires_grad(a))
        return cbm_apply1(&svdvals_op, a, NULL);
    (void)cbm_svd(a, &s, NULL);
    return s;
}

cbm_tensor *cbm_eigvalsh(cbm_tensor *a)
{
    return cbm_tensor_requires_grad(a) ? cbm_eigh(a, NULL) : cbm_apply1(&eigvalsh_op, a, NULL);
}
