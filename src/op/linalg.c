/* linalg.c: products of vectors and matrices under their usual names, traces, norms: made of the operations of other
   families. Rests on op/families.h. */
#include "op/families.h"

/* Both tensors are there and have these ranks. */
static bool ranks(const char *op, cbm_tensor *a, int64_t rank_a, cbm_tensor *b, int64_t rank_b)
{
    char ta[160], tb[160];
    cbm_tensor *const both[] = { a, b };
    cbm_context *cx = cbm_context_of(both, 2);
    if (!cbm_usable(cx, a) || !cbm_usable(cx, b))
        return (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] an input is NULL or failed", op), false;
    if (cbm_tensor_rank(a) == rank_a && cbm_tensor_rank(b) == rank_b)
        return true;
    const cbm_shape sa = cbm_tensor_shape(a), sb = cbm_tensor_shape(b);
    (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] takes tensors of %lld and %lld dimensions, not %s and %s", op,
                          (long long)rank_a, (long long)rank_b, cbm_shape_text(&sa, ta, sizeof ta),
                          cbm_shape_text(&sb, tb, sizeof tb));
    return false;
}

static cbm_tensor *failed(cbm_tensor *a, cbm_tensor *b)
{
    cbm_tensor *const both[] = { a, b };
    return cbm_fail_tensor(cbm_context_of(both, 2), CBM_ERROR_INVALID, "[linalg] no result");
}

cbm_tensor *cbm_dot(cbm_tensor *a, cbm_tensor *b)
{
    return ranks("dot", a, 1, b, 1) ? cbm_matmul(a, b) : failed(a, b);
}

cbm_tensor *cbm_mv(cbm_tensor *a, cbm_tensor *b)
{
    return ranks("mv", a, 2, b, 1) ? cbm_matmul(a, b) : failed(a, b);
}

cbm_tensor *cbm_outer(cbm_tensor *a, cbm_tensor *b)
{
    return ranks("outer", a, 1, b, 1) ? cbm_mul(cbm_unsqueeze(a, 1), cbm_unsqueeze(b, 0)) : failed(a, b);
}

cbm_tensor *cbm_bmm(cbm_tensor *a, cbm_tensor *b)
{
    char ta[160], tb[160];
    if (!ranks("bmm", a, 3, b, 3))
        return failed(a, b);
    if (cbm_tensor_size(a, 0) == cbm_tensor_size(b, 0))
        return cbm_matmul(a, b);
    const cbm_shape sa = cbm_tensor_shape(a), sb = cbm_tensor_shape(b);
    return cbm_fail_tensor(cbm_tensor_context(a), CBM_ERROR_SHAPE,
                           "[bmm] batches differ: %s and %s. HINT: cbm_matmul broadcasts",
                           cbm_shape_text(&sa, ta, sizeof ta), cbm_shape_text(&sb, tb, sizeof tb));
}

static cbm_tensor *scaled(cbm_tensor *t, double factor)
{
    return factor == 1 ? t : cbm_mul_scalar(t, factor);
}

cbm_tensor *cbm_addmm_with(cbm_tensor *c, cbm_tensor *a, cbm_tensor *b, const cbm_addmm_options *options)
{
    char tc[160], ty[160];
    cbm_addmm_options o = { .struct_size = sizeof o, .beta = 1, .alpha = 1 };
    cbm_context *cx = cbm_tensor_context(a);
    cbm_read_options(&o, sizeof o, options);
    cbm_tensor *y = scaled(cbm_matmul(a, b), o.alpha);
    if (cbm_tensor_failed(y) || !cbm_usable(cx, c))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[addmm] an input is NULL or failed");
    const cbm_shape sc = cbm_tensor_shape(c), sy = cbm_tensor_shape(y);
    cbm_shape both;
    if (!cbm_broadcast_shapes(&sc, &sy, &both) || !cbm_shape_equal(&both, &sy))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[addmm] c %s does not broadcast to the product's shape %s",
                               cbm_shape_text(&sc, tc, sizeof tc), cbm_shape_text(&sy, ty, sizeof ty));
    return o.beta == 0 ? y : cbm_add(scaled(c, o.beta), y);
}

/* x with extents of 1 before (or behind) each of its axes, as if it had rank axes. */
static cbm_tensor *interleaved(cbm_tensor *x, int64_t rank, bool behind)
{
    const cbm_shape from = cbm_tensor_shape(x);
    cbm_shape to = { { 2 * rank } };
    for (int64_t i = 0; i < rank; i++) {
        const int64_t k = i - (rank - from.v[0]), extent = k < 0 ? 1 : from.v[1 + k];
        to.v[1 + 2 * i] = behind ? extent : 1;
        to.v[2 + 2 * i] = behind ? 1 : extent;
    }
    return cbm_reshape(x, to);
}

cbm_tensor *cbm_kron(cbm_tensor *a, cbm_tensor *b)
{
    cbm_tensor *const both[] = { a, b };
    cbm_context *cx = cbm_context_of(both, 2);
    if (!cbm_usable(cx, a) || !cbm_usable(cx, b))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[kron] an input is NULL or failed");
    const int64_t ra = cbm_tensor_rank(a), rb = cbm_tensor_rank(b), rank = ra > rb ? ra : rb;
    if (2 * rank > CBM_MAX_DIMS)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[kron] takes at most %d dimensions, not %lld", CBM_MAX_DIMS / 2,
                               (long long)rank);
    cbm_tensor *y = cbm_mul(interleaved(a, rank, true), interleaved(b, rank, false));
    const cbm_shape from = cbm_tensor_shape(y);
    cbm_shape to = { { rank } };
    for (int64_t i = 0; i < rank; i++)
        to.v[1 + i] = from.v[1 + 2 * i] * from.v[2 + 2 * i];
    return cbm_tensor_failed(y) ? y : cbm_reshape(y, to);
}

static bool is_matrix(const char *op, cbm_tensor *a)
{
    char text[160];
    cbm_context *cx = cbm_tensor_context(a);
    if (!cbm_usable(cx, a))
        return (void)cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] the input is NULL or failed", op), false;
    const cbm_shape s = cbm_tensor_shape(a);
    if (s.v[0] >= 2)
        return true;
    (void)cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] takes matrices (.., m, n), not shape %s", op,
                          cbm_shape_text(&s, text, sizeof text));
    return false;
}

static cbm_tensor *sum_of_last(cbm_tensor *x)
{
    return cbm_sum_with(x, &(cbm_reduce_options){ sizeof(cbm_reduce_options), { { 1, -1 } }, 0 });
}

cbm_tensor *cbm_trace(cbm_tensor *a)
{
    return is_matrix("trace", a) ? sum_of_last(cbm_diagonal(a, 0, -2, -1)) : failed(a, a);
}

/* ---- norms ---- */

static cbm_tensor *largest_of_last(cbm_tensor *x)
{
    return cbm_max_with(x, &(cbm_reduce_options){ sizeof(cbm_reduce_options), { { 1, -1 } }, 0 });
}

static cbm_tensor *frobenius(cbm_tensor *a)
{
    return cbm_norm_with(cbm_for_statistics(a),
                         &(cbm_norm_options){ sizeof(cbm_norm_options), { { 2, -2, -1 } }, 0, 2 });
}

static cbm_tensor *nuclear(cbm_tensor *a)
{
    return sum_of_last(cbm_svdvals(a));
}

static cbm_tensor *spectral(cbm_tensor *a)
{
    return largest_of_last(cbm_svdvals(a));
}

static cbm_tensor *largest_row(cbm_tensor *a)
{
    return largest_of_last(sum_of_last(cbm_abs(cbm_for_statistics(a))));
}

static cbm_tensor *largest_column(cbm_tensor *a)
{
    return largest_row(cbm_transposed(a));
}

cbm_tensor *cbm_matrix_norm_with(cbm_tensor *a, const cbm_matrix_norm_options *options)
{
    static cbm_tensor *(*const kinds[])(cbm_tensor *) = { frobenius, nuclear, spectral, largest_column, largest_row };
    cbm_matrix_norm_options o = { .struct_size = sizeof o };
    const uint64_t since = cbm_now(a);
    cbm_read_options(&o, sizeof o, options);
    if (!is_matrix("matrix_norm", a))
        return failed(a, a);
    if (o.ord >= CBM_COUNTOF(kinds))
        return cbm_fail_tensor(cbm_tensor_context(a), CBM_ERROR_INVALID, "[matrix_norm] there is no norm number %llu",
                               (unsigned long long)o.ord);
    cbm_tensor *y = kinds[o.ord](a);
    const int64_t rank = cbm_tensor_rank(y);
    if (o.keepdim && !cbm_tensor_failed(y))
        y = cbm_unsqueeze(cbm_unsqueeze(y, rank), rank + 1);
    return cbm_composed(y, since);
}
