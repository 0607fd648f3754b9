/* test_linalg.c: factorisations put together again, gradients of what rests on them (also where the factors are shared),
   what is refused, many threads; and what a library without LAPACK says. */
#define CBM_NO_CALL_SITES
#include "backend/lapack/lapack.h"
#include "base/base.h"
#include "support/cases.h"
#include "support/wrong.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const devices[] = { "cpu", "reference" };
static const cbm_dtype types[] = { CBM_F64, CBM_F32 };

#define S(...) CBM_SHAPE(__VA_ARGS__)

/* Numbers in [-1, 1), always the same for a stream. */
static cbm_tensor *numbers(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, uint64_t stream)
{
    const int64_t count = cbm_shape_count(&shape);
    double *data = malloc((size_t)count * sizeof *data + 1);
    for (int64_t i = 0; i < count; i++)
        data[i] = 2 * (double)cbm_philox_uniform(5, stream, (uint64_t)i) - 1;
    cbm_tensor *t = cbm_cast(cbm_tensor_from(cx, CBM_F64, shape, data), dtype);
    free(data);
    return t;
}

static cbm_tensor *turned(cbm_tensor *t)
{
    return cbm_transpose(t, -2, -1);
}

static cbm_tensor *identity(cbm_tensor *like)
{
    const int64_t n = cbm_tensor_size(like, -1);
    return cbm_diag_embed(cbm_ones(cbm_tensor_context(like), cbm_tensor_dtype(like), S(n)), 0, -2, -1);
}

static double largest(cbm_tensor *t)
{
    return cbm_tensor_count(t) ? cbm_item(cbm_max_with(cbm_abs(t), NULL)) : 0;
}

/* a and b are equal but for rounding. */
static void same(cbm_tensor *a, cbm_tensor *b, const char *what)
{
    const double error = largest(cbm_sub(a, b)), limit = cbm_tensor_dtype(a) == CBM_F64 ? 1e-11 : 1e-4;
    if (!(error <= limit * fmax(1, largest(b))))
        fail_msg("%s: off by %g (%s)", what, error, cbm_message(cbm_tensor_context(a)));
}

static void falls(cbm_tensor *s, double sign)
{
    const int64_t n = cbm_tensor_size(s, -1);
    if (n > 1 && cbm_tensor_count(s) > 0)
        assert_true(
            cbm_item(cbm_max_with(
                cbm_mul_scalar(cbm_sub(cbm_slice(s, -1, 1, n, 1), cbm_slice(s, -1, 0, n - 1, 1)), sign), NULL)) <= 0);
}

static const cbm_shape shapes[] = {
    { { 2, 1, 1 } },       { { 2, 3, 3 } },    { { 2, 5, 3 } },   { { 2, 3, 5 } },     { { 3, 4, 6, 2 } },
    { { 4, 2, 3, 4, 4 } }, { { 2, 65, 40 } },  { { 2, 40, 65 } }, { { 2, 100, 100 } }, { { 2, 7, 1 } },
    { { 2, 1, 7 } },       { { 3, 0, 3, 3 } }, { { 2, 4, 0 } },   { { 3, 2, 0, 4 } },  { { 3, 300, 2, 2 } },
};

static void on_every_shape(void (*check)(cbm_tensor *a))
{
    for (size_t d = 0; d < 2; d++)
        for (size_t t = 0; t < 2; t++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                cbm_context *cx = open_device(devices[d]);
                check(numbers(cx, types[t], shapes[s], s));
                assert_string_equal(cbm_message(cx), "");
                cbm_close(cx);
            }
}

static void check_qr(cbm_tensor *a)
{
    cbm_tensor *r = NULL, *q = cbm_qr(a, &r), *gram = cbm_matmul(turned(q), q);
    same(cbm_matmul(q, r), a, "Q R");
    same(gram, cbm_expand(identity(gram), cbm_tensor_shape(gram)), "Q^T Q");
    same(cbm_triu(r, 0), r, "the triangle of R");
}

static void check_svd(cbm_tensor *a)
{
    cbm_tensor *s = NULL, *vh = NULL, *u = cbm_svd(a, &s, &vh), *gram = cbm_matmul(turned(u), u);
    same(cbm_matmul(cbm_mul(u, cbm_unsqueeze(s, cbm_tensor_rank(s) - 1)), vh), a, "U S V^T");
    same(gram, cbm_expand(identity(gram), cbm_tensor_shape(gram)), "U^T U");
    gram = cbm_matmul(vh, turned(vh));
    same(gram, cbm_expand(identity(gram), cbm_tensor_shape(gram)), "V^T V");
    same(cbm_svdvals(a), s, "svdvals");
    falls(s, 1);
    if (cbm_tensor_count(s))
        assert_true(cbm_item(cbm_max_with(cbm_neg(s), NULL)) <= 0);
}

static cbm_tensor *gram_of(cbm_tensor *a)
{
    return cbm_matmul(a, turned(a));
}

static void check_eigh(cbm_tensor *a)
{
    cbm_tensor *g = gram_of(a), *v = NULL, *w = cbm_eigh(g, &v), *square = cbm_matmul(turned(v), v);
    same(cbm_matmul(cbm_mul(v, cbm_unsqueeze(w, cbm_tensor_rank(w) - 1)), turned(v)), g, "V W V^T");
    same(square, cbm_expand(identity(square), cbm_tensor_shape(square)), "V^T V");
    same(cbm_eigvalsh(g), w, "eigvalsh");
    falls(w, -1);
    /* Of a matrix that is not symmetric, the symmetric part. */
    cbm_tensor *skew = cbm_sub(numbers(cbm_tensor_context(a), cbm_tensor_dtype(a), cbm_tensor_shape(g), 77),
                               turned(numbers(cbm_tensor_context(a), cbm_tensor_dtype(a), cbm_tensor_shape(g), 77)));
    same(cbm_eigvalsh(cbm_add(g, skew)), w, "eigvalsh of a sum");
}

static void check_systems(cbm_tensor *a)
{
    cbm_tensor *g = gram_of(a), *one = identity(g), *definite = cbm_add(g, one), *logabs = NULL;
    cbm_shape shape = cbm_tensor_shape(definite), columns = shape;
    columns.v[columns.v[0]] = 3;
    cbm_tensor *b = numbers(cbm_tensor_context(a), cbm_tensor_dtype(a), columns, 50);
    cbm_tensor *l = cbm_cholesky(definite), *x = cbm_solve(definite, b);
    same(cbm_matmul(l, turned(l)), definite, "L L^T");
    same(cbm_tril(l, 0), l, "the triangle of L");
    same(cbm_matmul(definite, x), b, "A X");
    same(cbm_cholesky_solve(b, l), x, "cholesky_solve");
    same(cbm_matmul(definite, cbm_inverse(definite)), cbm_expand(one, shape), "A A^-1");
    same(cbm_pinv_with(definite, NULL), cbm_inverse(definite), "A+");
    same(cbm_lstsq(definite, b), x, "lstsq");
    cbm_tensor *sign = cbm_slogdet(definite, &logabs);
    same(cbm_mul(sign, cbm_exp(cbm_mul_scalar(logabs, 0.125))),
         cbm_exp(cbm_mul_scalar(cbm_log(cbm_det(definite)), 0.125)), "det");
    /* Every form of triangular systems. */
    for (uint64_t k = 0; k < 8; k++) {
        cbm_solve_triangular_options o = { sizeof o, k & 1, k >> 1 & 1, k >> 2 & 1 };
        cbm_tensor *t = o.upper ? cbm_triu(definite, 0) : cbm_tril(definite, 0);
        if (o.unitriangular) /* the diagonal is not looked at */
            t = cbm_add(o.upper ? cbm_triu(cbm_mul_scalar(definite, 0.01), 1)
                                : cbm_tril(cbm_mul_scalar(definite, 0.01), -1),
                        one);
        cbm_tensor *other = o.unitriangular ? cbm_add(t, cbm_mul_scalar(one, 7)) : t;
        cbm_tensor *filled = cbm_add(other, o.upper ? cbm_tril(definite, -1) : cbm_triu(definite, 1));
        cbm_tensor *y = cbm_solve_triangular_with(filled, o.left ? b : turned(b), &o);
        same(o.left ? cbm_matmul(t, y) : turned(cbm_matmul(y, t)), b, "a triangular system");
    }
}

static void test_qr(void **state)
{
    (void)state;
    on_every_shape(check_qr);
}

static void test_svd(void **state)
{
    (void)state;
    on_every_shape(check_svd);
}

static void test_eigh(void **state)
{
    (void)state;
    on_every_shape(check_eigh);
}

static void test_systems(void **state)
{
    (void)state;
    on_every_shape(check_systems);
}

/* The four conditions of Penrose, also for matrices of lower rank. */
static void test_pinv(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++)
        for (size_t t = 0; t < 2; t++) {
            cbm_context *cx = open_device(devices[d]);
            cbm_tensor *low = cbm_matmul(numbers(cx, types[t], S(2, 6, 2), 1), numbers(cx, types[t], S(2, 2, 4), 2));
            cbm_tensor *const matrices[] = { low, turned(low), numbers(cx, types[t], S(2, 6, 4), 3) };
            for (int k = 0; k < 3; k++) {
                cbm_tensor *a = matrices[k], *p = cbm_pinv_with(a, NULL);
                same(cbm_matmul(cbm_matmul(a, p), a), a, "A A+ A");
                same(cbm_matmul(cbm_matmul(p, a), p), p, "A+ A A+");
                same(turned(cbm_matmul(a, p)), cbm_matmul(a, p), "A A+");
                same(turned(cbm_matmul(p, a)), cbm_matmul(p, a), "A+ A");
            }
            assert_string_equal(cbm_message(cx), "");
            cbm_close(cx);
        }
}

/* ---- gradients: functions that do not depend on signs, and those whose factors are shared ---- */

static cbm_tensor *definite_of(cbm_tensor *a)
{
    return cbm_add(gram_of(a), identity(gram_of(a)));
}

static cbm_tensor *solve_twice(cbm_tensor *const *x, size_t n, void *user)
{
    (void)n;
    (void)user;
    return cbm_solve(x[0], cbm_solve(x[0], x[1]));
}

static cbm_tensor *inverse_and_det(cbm_tensor *const *x, size_t n, void *user)
{
    cbm_tensor *logabs = NULL;
    (void)n;
    (void)user;
    cbm_tensor *sign = cbm_slogdet(x[0], &logabs);
    return cbm_mul(cbm_inverse(x[0]),
                   cbm_unsqueeze(cbm_unsqueeze(cbm_add(cbm_mul(sign, logabs), cbm_det(x[0])), 1), 2));
}

static cbm_tensor *least_squares(cbm_tensor *const *x, size_t n, void *user)
{
    (void)n;
    (void)user;
    return cbm_lstsq(x[0], x[1]);
}

static cbm_tensor *by_cholesky(cbm_tensor *const *x, size_t n, void *user)
{
    (void)n;
    (void)user;
    return cbm_cholesky_solve(x[1], cbm_cholesky(definite_of(x[0])));
}

static cbm_tensor *from_the_right(cbm_tensor *const *x, size_t n, void *user)
{
    const cbm_solve_triangular_options o = { sizeof o, 1, 0, 0 };
    (void)n;
    (void)user;
    return cbm_solve_triangular_with(x[0], turned(x[1]), &o);
}

/* The part of A that belongs to its largest singular value. */
static cbm_tensor *best_of_rank_one(cbm_tensor *const *x, size_t n, void *user)
{
    cbm_tensor *s = NULL, *vh = NULL, *u = cbm_svd(x[0], &s, &vh);
    (void)n;
    (void)user;
    return cbm_mul(cbm_matmul(cbm_slice(u, -1, 0, 1, 1), cbm_slice(vh, -2, 0, 1, 1)),
                   cbm_unsqueeze(cbm_slice(s, -1, 0, 1, 1), 2));
}

static cbm_tensor *root_of(cbm_tensor *const *x, size_t n, void *user)
{
    cbm_tensor *v = NULL, *w = cbm_eigh(definite_of(x[0]), &v);
    (void)n;
    (void)user;
    return cbm_matmul(cbm_mul(v, cbm_unsqueeze(cbm_sqrt(w), 1)), turned(v));
}

static cbm_tensor *values_alone(cbm_tensor *const *x, size_t n, void *user)
{
    (void)n;
    (void)user;
    return cbm_mul(cbm_eigvalsh(definite_of(x[0])), cbm_svdvals(x[0]));
}

static cbm_tensor *norms(cbm_tensor *const *x, size_t n, void *user)
{
    cbm_tensor *sum = NULL;
    (void)n;
    (void)user;
    for (uint64_t k = 0; k <= CBM_NORM_INFINITY; k++) {
        cbm_tensor *y =
            cbm_matrix_norm_with(x[0], &(cbm_matrix_norm_options){ sizeof(cbm_matrix_norm_options), k, k % 2 });
        y = cbm_reshape(y, S(cbm_tensor_count(y)));
        sum = sum ? cbm_add(cbm_mul_scalar(sum, 0.9), y) : y;
    }
    return sum;
}

static const struct {
    const char *name;
    cbm_function f;
    cbm_shape a, b;
    double diagonal;
} functions[] = {
    { "solve twice", solve_twice, { { 3, 2, 3, 3 } }, { { 3, 2, 3, 2 } }, 2 },
    { "solve, broadcast", solve_twice, { { 2, 3, 3 } }, { { 3, 2, 3, 1 } }, 2 },
    { "solve, many matrices", solve_twice, { { 3, 2, 3, 3 } }, { { 2, 3, 1 } }, 2 },
    { "solve, a vector", solve_twice, { { 2, 3, 3 } }, { { 1, 3 } }, 2 },
    { "inverse and determinants", inverse_and_det, { { 3, 2, 3, 3 } }, { { 1, 1 } }, 2 },
    { "lstsq, tall", least_squares, { { 2, 5, 2 } }, { { 2, 5, 2 } }, 1 },
    { "lstsq, wide", least_squares, { { 2, 2, 4 } }, { { 1, 2 } }, 1 },
    { "cholesky_solve", by_cholesky, { { 2, 3, 3 } }, { { 2, 3, 2 } }, 0 },
    { "solve_triangular from the right", from_the_right, { { 2, 3, 3 } }, { { 2, 3, 2 } }, 2 },
    { "best of rank one", best_of_rank_one, { { 3, 2, 3, 4 } }, { { 1, 1 } }, 0 },
    { "square root", root_of, { { 3, 2, 3, 3 } }, { { 1, 1 } }, 0 },
    { "values alone", values_alone, { { 2, 3, 3 } }, { { 1, 1 } }, 0 },
    { "norms", norms, { { 3, 2, 3, 4 } }, { { 1, 1 } }, 0 },
};

static void test_gradients(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
        double error = 0;
        cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1);
        cbm_tensor *a = numbers(cx, CBM_F64, functions[k].a, 100 + k);
        if (functions[k].diagonal != 0)
            a = cbm_add(a, cbm_mul_scalar(cbm_triu(cbm_tril(cbm_add_scalar(cbm_mul_scalar(a, 0), 1), 0), 0),
                                          functions[k].diagonal));
        cbm_tensor *in[] = { a, numbers(cx, CBM_F64, functions[k].b, 200 + k) };
        const size_t n = cbm_tensor_count(in[1]) > 1 ? 2 : 1;
        if (cbm_gradcheck(cx, functions[k].f, NULL, in, n, true, &error) != CBM_OK)
            fail_msg("%s: %s", functions[k].name, cbm_message(cx));
        cbm_close(cx);
    }
}

/* A tensor that requires a gradient, and one that does not, go different ways to the same values. */
static void test_values_with_and_without_history(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *a = numbers(cx, CBM_F64, S(6, 4), 9), *v = cbm_variable(a, true), *grad = NULL;
    same(cbm_svdvals(v), cbm_svdvals(a), "svdvals");
    same(cbm_eigvalsh(gram_of(v)), cbm_eigvalsh(gram_of(a)), "eigvalsh");
    /* The sum of squared singular values is that of squared elements. */
    cbm_tensor *s = cbm_svdvals(v);
    assert_int_equal(cbm_grad_of(cbm_sum_with(cbm_mul(s, s), NULL), &v, 1, &grad), CBM_OK);
    same(grad, cbm_mul_scalar(a, 2), "its gradient");
    cbm_close(cx);
}

/* ---- what is refused ---- */

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return numbers(cx, CBM_F32, shape, 1);
}

static cbm_tensor *with(cbm_context *cx, cbm_shape shape, int64_t at, double value)
{
    cbm_tensor *place = cbm_one_hot(cbm_full(cx, CBM_I64, S(1), (double)at), cbm_shape_count(&shape), CBM_F32);
    cbm_tensor *flat = cbm_reshape(cbm_full(cx, CBM_F32, shape, 0), S(cbm_shape_count(&shape)));
    cbm_tensor *there = cbm_equal(cbm_reshape(place, S(-1)), cbm_ones(cx, CBM_F32, S()));
    return cbm_reshape(cbm_where(there, cbm_full(cx, CBM_F32, S(), value), flat), shape);
}

/* Two identity matrices, the second with value at (2, 2). */
static cbm_tensor *second_is_odd(cbm_context *cx, double value)
{
    cbm_tensor *i = cbm_expand(cbm_diag_embed(cbm_ones(cx, CBM_F32, S(3)), 0, -2, -1), S(2, 3, 3));
    return cbm_add(i, with(cx, S(2, 3, 3), 9 + 8, value - 1));
}

#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }
WRONG(cholesky_rank, cbm_cholesky(f32(cx, S(3))))
WRONG(cholesky_square, cbm_cholesky(f32(cx, S(3, 2))))
WRONG(cholesky_whole, cbm_cholesky(cbm_ones(cx, CBM_I64, S(2, 2))))
WRONG(cholesky_half, cbm_cholesky(cbm_ones(cx, CBM_BF16, S(2, 2))))
WRONG(cholesky_negative, cbm_cholesky(cbm_full(cx, CBM_F32, S(1, 1), -1)))
WRONG(cholesky_second, cbm_cholesky(second_is_odd(cx, -1)))
WRONG(cholesky_nan, cbm_cholesky(second_is_odd(cx, (double)NAN)))
WRONG(qr_rank, cbm_qr(f32(cx, S(3)), NULL))
WRONG(qr_whole, cbm_qr(cbm_ones(cx, CBM_I64, S(2, 2)), NULL))
WRONG(svd_rank, cbm_svd(f32(cx, S()), NULL, NULL))
WRONG(svd_nan, cbm_svd(second_is_odd(cx, (double)NAN), NULL, NULL))
WRONG(svdvals_infinite, cbm_svdvals(second_is_odd(cx, (double)INFINITY)))
WRONG(eigh_square, cbm_eigh(f32(cx, S(3, 2)), NULL))
WRONG(eigh_nan, cbm_eigh(cbm_full(cx, CBM_F64, S(2, 2), (double)NAN), NULL))
WRONG(eigvalsh_infinite, cbm_eigvalsh(second_is_odd(cx, (double)INFINITY)))
WRONG(solve_square, cbm_solve(f32(cx, S(3, 2)), f32(cx, S(3))))
WRONG(solve_rows, cbm_solve(f32(cx, S(3, 3)), f32(cx, S(2, 2))))
WRONG(solve_batch, cbm_solve(f32(cx, S(2, 3, 3)), f32(cx, S(3, 3, 2))))
WRONG(solve_dtypes, cbm_solve(f32(cx, S(3, 3)), cbm_ones(cx, CBM_F64, S(3))))
WRONG(solve_null, cbm_solve(f32(cx, S(3, 3)), NULL))
WRONG(solve_singular, cbm_solve(cbm_ones(cx, CBM_F32, S(2, 2)), cbm_ones(cx, CBM_F32, S(2))))
WRONG(solve_second, cbm_solve(second_is_odd(cx, 0), cbm_ones(cx, CBM_F32, S(3, 1))))
WRONG(inverse_singular, cbm_inverse(cbm_zeros(cx, CBM_F64, S(3, 3))))
WRONG(inverse_square, cbm_inverse(f32(cx, S(2, 3))))
WRONG(inverse_vector, cbm_inverse(f32(cx, S(3))))
WRONG(det_square, cbm_det(f32(cx, S(2, 3))))
WRONG(slogdet_rank, cbm_slogdet(f32(cx, S(3)), NULL))
WRONG(triangular_zero, cbm_solve_triangular_with(second_is_odd(cx, 0), cbm_ones(cx, CBM_F32, S(3, 1)), NULL))
WRONG(triangular_rows, cbm_solve_triangular_with(f32(cx, S(3, 3)), f32(cx, S(2, 3)), NULL))
WRONG(lstsq_rows, cbm_lstsq(f32(cx, S(4, 3)), f32(cx, S(3, 1))))
WRONG(lstsq_null, cbm_lstsq(NULL, f32(cx, S(3, 1))))
WRONG(lstsq_rank, cbm_lstsq(cbm_zeros(cx, CBM_F32, S(3, 2)), cbm_ones(cx, CBM_F32, S(3))))
WRONG(pinv_rank, cbm_pinv_with(f32(cx, S(3)), NULL))
WRONG(pinv_nan, cbm_pinv_with(cbm_full(cx, CBM_F32, S(3, 2), (double)NAN), NULL))
WRONG(norm_kind,
      cbm_matrix_norm_with(f32(cx, S(3, 3)), &(cbm_matrix_norm_options){ sizeof(cbm_matrix_norm_options), 9, 0 }))
WRONG(norm_rank, cbm_matrix_norm_with(f32(cx, S(3)), NULL))
WRONG(trace_rank, cbm_trace(f32(cx, S(3))))
WRONG(dot_rank, cbm_dot(f32(cx, S(3)), f32(cx, S(3, 1))))
WRONG(dot_extent, cbm_dot(f32(cx, S(3)), f32(cx, S(4))))
WRONG(mv_rank, cbm_mv(f32(cx, S(3)), f32(cx, S(3))))
WRONG(outer_rank, cbm_outer(f32(cx, S(3, 1)), f32(cx, S(3))))
WRONG(bmm_batch, cbm_bmm(f32(cx, S(1, 3, 3)), f32(cx, S(2, 3, 3))))
WRONG(bmm_rank, cbm_bmm(f32(cx, S(3, 3)), f32(cx, S(2, 3, 3))))
WRONG(addmm_shape, cbm_addmm_with(f32(cx, S(3, 3)), f32(cx, S(2, 3)), f32(cx, S(3, 3)), NULL))
WRONG(addmm_null, cbm_addmm_with(NULL, f32(cx, S(2, 3)), f32(cx, S(3, 3)), NULL))
WRONG(kron_rank, cbm_kron(f32(cx, S(1, 1, 1, 1, 1)), f32(cx, S(3))))
WRONG(kron_null, cbm_kron(NULL, f32(cx, S(3))))

/* The gradient of a determinant at a singular matrix. */
static cbm_tensor *det_gradient(cbm_context *cx)
{
    cbm_tensor *v = cbm_variable(cbm_ones(cx, CBM_F32, S(2, 2)), true), *grad = NULL;
    cbm_tensor *det = cbm_det(v);
    assert_true(cbm_item(det) == 0);
    cbm_grad_of(det, &v, 1, &grad);
    return grad;
}

static const wrong_call wrong[] = {
    { cholesky_rank, CBM_ERROR_SHAPE, { "[cholesky]", "square matrices (.., n, n), but its shape is (3)" } },
    { cholesky_square, CBM_ERROR_SHAPE, { "[cholesky]", "shape is (3, 2)" } },
    { cholesky_whole, CBM_ERROR_DTYPE, { "[cholesky]", "i64, but must be f32 or f64. HINT" } },
    { cholesky_half, CBM_ERROR_DTYPE, { "[cholesky]", "bf16, but must be f32 or f64. HINT" } },
    { cholesky_negative, CBM_ERROR_RANGE, { "[cholesky] the matrix is not positive definite", "order 1" } },
    { cholesky_second, CBM_ERROR_RANGE, { "[cholesky] matrix 1 of the batch is not positive definite", "order 3" } },
    { cholesky_nan, CBM_ERROR_RANGE, { "[cholesky] matrix 1 of the batch", "order 3" } },
    { qr_rank, CBM_ERROR_SHAPE, { "[qr]", "matrices (.., m, n), but its shape is (3)" } },
    { qr_whole, CBM_ERROR_DTYPE, { "[qr]", "HINT" } },
    { svd_rank, CBM_ERROR_SHAPE, { "[svd]", "shape is ()" } },
    { svd_nan, CBM_ERROR_RANGE, { "[svd] matrix 1 of the batch", "NaN or infinite" } },
    { svdvals_infinite, CBM_ERROR_RANGE, { "[svdvals] matrix 1 of the batch", "NaN or infinite" } },
    { eigh_square, CBM_ERROR_SHAPE, { "[eigh]", "square" } },
    { eigh_nan, CBM_ERROR_RANGE, { "[eigh] the matrix", "NaN or infinite" } },
    { eigvalsh_infinite, CBM_ERROR_RANGE, { "[eigvalsh] matrix 1 of the batch", "NaN or infinite" } },
    { solve_square, CBM_ERROR_SHAPE, { "[solve]", "square" } },
    { solve_rows, CBM_ERROR_SHAPE, { "[solve]", "a (3, 3) and b (2, 2) do not fit" } },
    { solve_batch, CBM_ERROR_SHAPE, { "[solve]", "do not fit" } },
    { solve_dtypes, CBM_ERROR_DTYPE, { "[solve]", "f32 and f64" } },
    { solve_null, CBM_ERROR_INVALID, { "", "NULL" } },
    { solve_singular, CBM_ERROR_RANGE, { "[solve] the matrix is singular: pivot 2", "HINT: cbm_pinv" } },
    { solve_second, CBM_ERROR_RANGE, { "[solve] matrix 1 of the batch is singular", "pivot 3" } },
    { inverse_singular, CBM_ERROR_RANGE, { "[solve] the matrix is singular", "pivot 1" } },
    { inverse_square, CBM_ERROR_SHAPE, { "[solve]", "square" } },
    { inverse_vector, CBM_ERROR_SHAPE, { "[solve]", "square" } },
    { det_square, CBM_ERROR_SHAPE, { "[det]", "square" } },
    { slogdet_rank, CBM_ERROR_SHAPE, { "[slogdet]", "square" } },
    { det_gradient, CBM_ERROR_RANGE, { "[solve]", "singular" } },
    { triangular_zero,
      CBM_ERROR_RANGE,
      { "[solve_triangular] matrix 1 of the batch", "element 2 of its diagonal is 0" } },
    { triangular_rows, CBM_ERROR_SHAPE, { "[solve_triangular]", "do not fit" } },
    { lstsq_rows, CBM_ERROR_SHAPE, { "[lstsq]", "a (4, 3) and b (3, 1) do not fit" } },
    { lstsq_null, CBM_ERROR_INVALID, { "", "NULL" } },
    { lstsq_rank, CBM_ERROR_RANGE, { "[solve_triangular]", "diagonal is 0" } },
    { pinv_rank, CBM_ERROR_SHAPE, { "[pinv]", "matrices" } },
    { pinv_nan, CBM_ERROR_RANGE, { "[pinv] the matrix", "NaN or infinite" } },
    { norm_kind, CBM_ERROR_INVALID, { "[matrix_norm]", "no norm number 9" } },
    { norm_rank, CBM_ERROR_SHAPE, { "[matrix_norm]", "not shape (3)" } },
    { trace_rank, CBM_ERROR_SHAPE, { "[trace]", "not shape (3)" } },
    { dot_rank, CBM_ERROR_SHAPE, { "[dot]", "of 1 and 1 dimensions, not (3) and (3, 1)" } },
    { dot_extent, CBM_ERROR_SHAPE, { "[matmul]", "does not match" } },
    { mv_rank, CBM_ERROR_SHAPE, { "[mv]", "of 2 and 1 dimensions" } },
    { outer_rank, CBM_ERROR_SHAPE, { "[outer]", "of 1 and 1 dimensions" } },
    { bmm_batch, CBM_ERROR_SHAPE, { "[bmm]", "HINT: cbm_matmul" } },
    { bmm_rank, CBM_ERROR_SHAPE, { "[bmm]", "of 3 and 3 dimensions" } },
    { addmm_shape, CBM_ERROR_SHAPE, { "[addmm]", "c (3, 3) does not broadcast to the product's shape (2, 3)" } },
    { addmm_null, CBM_ERROR_INVALID, { "", "NULL" } },
    { kron_rank, CBM_ERROR_SHAPE, { "[kron]", "at most 4 dimensions, not 5" } },
    { kron_null, CBM_ERROR_INVALID, { "", "NULL" } },
};

static void test_errors(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++)
        assert_int_equal(check_wrong_calls(wrong, sizeof wrong / sizeof *wrong, devices[d]), 0);
}

/* The user's line stands in the message though the failing operation is one of several that the call records; and what was
   to be assigned in the same evaluation has not been. */
static void test_fails_before_anything_happens(void **state)
{
    (void)state;
    char here[80];
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *v = cbm_variable(cbm_ones(cx, CBM_F32, S(2)), false);
    cbm_assign(v, cbm_mul_scalar(v, 3));
    cbm_tensor *x = cbm_at(cbm_solve(cbm_ones(cx, CBM_F32, S(2, 2)), v), __FILE__, __LINE__);
    snprintf(here, sizeof here, "test_linalg.c:%d", __LINE__ - 1);
    assert_true(isnan(cbm_item(cbm_sum_with(x, NULL))));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_RANGE);
    if (!strstr(cbm_message(cx), here))
        fail_msg("%s", cbm_message(cx));
    cbm_clear(cx);
    assert_true(cbm_item(cbm_sum_with(v, NULL)) == 2);
    cbm_close(cx);
}

static void *solve_much(void *result)
{
    cbm_context *cx = cbm_open_with(.threads = 2);
    bool good = true;
    for (int i = 0; i < 20; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *a = cbm_add(numbers(cx, CBM_F64, S(16, 8, 8), 3),
                                cbm_mul_scalar(identity(numbers(cx, CBM_F64, S(8, 8), 1)), 4));
        cbm_tensor *b = numbers(cx, CBM_F64, S(16, 8, 2), 4);
        good = good && largest(cbm_sub(cbm_matmul(a, cbm_solve(a, b)), b)) < 1e-12;
    }
    cbm_close(cx);
    *(bool *)result = good;
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    bool good[4] = { false };
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, solve_much, &good[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(good[i]);
    }
}

/* ---- a library without LAPACK ---- */

static void test_without_lapack(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        cbm_context *cx = open_device(devices[d]);
        cbm_tensor *l = cbm_cholesky(cbm_ones(cx, CBM_F32, S(1, 1)));
        assert_int_equal(cbm_compute(&l, 1), CBM_ERROR_UNSUPPORTED);
        assert_non_null(strstr(cbm_message(cx), "[cholesky] cannot be prepared"));
        assert_non_null(strstr(cbm_message(cx), "LAPACK"));
        assert_non_null(strstr(cbm_message(cx), "HINT"));
        cbm_clear(cx);
        assert_true(cbm_item(cbm_trace(cbm_ones(cx, CBM_F32, S(3, 3)))) == 3); /* what needs none goes on */
        cbm_close(cx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qr),
        cmocka_unit_test(test_svd),
        cmocka_unit_test(test_eigh),
        cmocka_unit_test(test_systems),
        cmocka_unit_test(test_pinv),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_values_with_and_without_history),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_fails_before_anything_happens),
        cmocka_unit_test(test_many_threads),
    };
    const struct CMUnitTest without[] = { cmocka_unit_test(test_without_lapack) };
    if (cbm_lapack_of(CBM_F64, NULL) == NULL)
        return cmocka_run_group_tests(without, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
