/* ops/linalg.h: linear algebra: products, contractions, factorisations, systems. Matrices are the last two axes, (.., m, n);
   what stands before them is a batch. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_LINALG_H
#define CAMBIUM_OPS_LINALG_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* ---- products: floats ---- */
/* (..., m, k) x (..., k, n) -> (..., m, n); leading dimensions broadcast; one-dimensional operands as in PyTorch. */
CBM_API cbm_tensor *cbm_matmul(cbm_tensor *a, cbm_tensor *b);
CBM_API cbm_tensor *cbm_dot(cbm_tensor *a, cbm_tensor *b);   /* sum of a b, of two vectors of one length: a scalar */
CBM_API cbm_tensor *cbm_mv(cbm_tensor *a, cbm_tensor *b);    /* a matrix (m, n) times a vector (n): (m) */
CBM_API cbm_tensor *cbm_outer(cbm_tensor *a, cbm_tensor *b); /* vectors (m), (n) -> (m, n): a[i] b[j] */
CBM_API cbm_tensor *cbm_bmm(cbm_tensor *a, cbm_tensor *b);   /* (b, m, k) x (b, k, n) -> (b, m, n), nothing broadcast */
/* beta c + alpha a b, c broadcast to the product's shape; beta 0 leaves c out, NaN and all. */
typedef struct cbm_addmm_options {
    uint64_t struct_size;
    double beta CBM_DEFAULT(1), alpha CBM_DEFAULT(1); /* bound at run time, but for 0 and 1 */
} cbm_addmm_options;
CBM_API cbm_tensor *cbm_addmm_with(cbm_tensor *c, cbm_tensor *a, cbm_tensor *b, const cbm_addmm_options *options);
/* Kronecker's product: each element of a times all of b: extents multiply; the shorter shape gets 1s in front. */
CBM_API cbm_tensor *cbm_kron(cbm_tensor *a, cbm_tensor *b);

/* ---- contractions: sums of products over axes, as permutations, reshapes, matrix products and sums ---- */
/* The sum over axes_a[i] of a together with axes_b[i] of b, for all i; the result has the other axes of a, then those of b. */
CBM_API cbm_tensor *cbm_tensordot(cbm_tensor *a, cbm_tensor *b, cbm_shape axes_a, cbm_shape axes_b);
/* Einstein's summation as in NumPy: cbm_einsum("bik,bkj->bij", a, b). Letters name axes; what stands behind "->" is the
   result, in that order, and letters missing there are summed over. Without "->" the result has the letters that occur once,
   in alphabetical order. A letter twice in one operand takes the diagonal; "..." stands for all axes that have no letter,
   which broadcast, and lead the result where it does not name them. Axes with the same letter have the same extent, or 1.
   Of three and more operands the cheapest order of pairs is found: by trying all of them up to 6, by the cheapest next pair
   beyond. At most 16 operands; every intermediate result has at most 8 dimensions. Floats; integers are multiplied and
   summed in i64. Errors: SHAPE, and INVALID for an equation that makes no sense. */
CBM_API cbm_tensor *cbm_einsum_of(const char *equation, cbm_tensor *const *tensors, size_t count);

/* ---- of one matrix ---- */
CBM_API cbm_tensor *cbm_trace(cbm_tensor *a); /* (.., m, n) -> (..): the sum of its diagonal */
/* Norms of matrices (.., m, n) -> (..). */
typedef enum cbm_matrix_norm_kind {
    CBM_NORM_FROBENIUS = 0, /* the root of the sum of squares; its gradient at a matrix of zeros is 0 */
    CBM_NORM_NUCLEAR = 1,   /* the sum of singular values */
    CBM_NORM_SPECTRAL = 2,  /* the largest singular value */
    CBM_NORM_ONE = 3,       /* the largest sum of |elements| of a column */
    CBM_NORM_INFINITY = 4   /* the largest sum of |elements| of a row */
} cbm_matrix_norm_kind;
typedef struct cbm_matrix_norm_options {
    uint64_t struct_size;
    uint64_t ord CBM_DEFAULT(0);     /* a cbm_matrix_norm_kind */
    uint64_t keepdim CBM_DEFAULT(0); /* (.., 1, 1) */
} cbm_matrix_norm_options;
CBM_API cbm_tensor *cbm_matrix_norm_with(cbm_tensor *a, const cbm_matrix_norm_options *options);

/* ---- factorisations, by LAPACK: f32 and f64, computed in their own type ----
   A build without LAPACK, or a machine that lacks liblapacke, gives CBM_ERROR_UNSUPPORTED when they are computed. What is
   not unique is as LAPACK gives it: signs of the columns of Q, U, V; their gradients mean something only for results that do
   not depend on that choice. Matrices that the method is not for are CBM_ERROR_RANGE when computed, before anything is
   committed; the message names the matrix of the batch. The gradients of singular vectors and eigenvectors have 1 over the
   differences of (squared) values in them: infinite where two are equal. Computed over the batch in parallel. */
/* L with A = L L^T, lower triangular, of a symmetric positive definite A: (A + A^T) / 2 is what is factorised. RANGE: not
   positive definite. */
CBM_API cbm_tensor *cbm_cholesky(cbm_tensor *a);
/* A = Q R, reduced: returns Q (.., m, k) with orthonormal columns; *r = R (.., k, n) upper triangular; k = min(m, n). */
CBM_API cbm_tensor *cbm_qr(cbm_tensor *a, cbm_tensor **r);
/* A = U diag(s) V^T, reduced: returns U (.., m, k); *s (.., k) falls, *vh = V^T (.., k, n). s and vh may be NULL. RANGE: NaN
   or infinite elements. */
CBM_API cbm_tensor *cbm_svd(cbm_tensor *a, cbm_tensor **s, cbm_tensor **vh);
CBM_API cbm_tensor *cbm_svdvals(cbm_tensor *a); /* s alone */
/* (A + A^T) / 2 = V diag(w) V^T: returns w (.., n), rising; *vectors = V (.., n, n), a column each (may be NULL). */
CBM_API cbm_tensor *cbm_eigh(cbm_tensor *a, cbm_tensor **vectors);
CBM_API cbm_tensor *cbm_eigvalsh(cbm_tensor *a); /* w alone */

/* ---- systems: A (.., n, n), B (.., n, k) or a vector (n); leading axes broadcast. By LAPACK too ---- */
CBM_API cbm_tensor *cbm_solve(cbm_tensor *a, cbm_tensor *b); /* X: A X = B. RANGE: A is singular */
typedef struct cbm_solve_triangular_options {
    uint64_t struct_size;
    uint64_t upper CBM_DEFAULT(0);         /* 0: A's lower triangle; 1: its upper. The rest of A is not looked at */
    uint64_t left CBM_DEFAULT(1);          /* 1: A X = B; 0: X A = B, with B (.., k, n) */
    uint64_t unitriangular CBM_DEFAULT(0); /* 1: the diagonal counts as ones, and is not looked at */
} cbm_solve_triangular_options;
/* RANGE: a zero on the diagonal. */
CBM_API cbm_tensor *cbm_solve_triangular_with(cbm_tensor *a, cbm_tensor *b,
                                              const cbm_solve_triangular_options *options);
CBM_API cbm_tensor *cbm_cholesky_solve(cbm_tensor *b, cbm_tensor *l); /* X: A X = B, with l = cbm_cholesky(A) */
CBM_API cbm_tensor *cbm_inverse(cbm_tensor *a);                       /* A^-1. RANGE: A is singular */
/* The determinant (..); 0 for singular matrices, where its gradient is CBM_ERROR_RANGE. */
CBM_API cbm_tensor *cbm_det(cbm_tensor *a);
/* Returns the sign (..) of the determinant, 1, -1 or 0; *logabs = log |det|, -inf for singular matrices. */
CBM_API cbm_tensor *cbm_slogdet(cbm_tensor *a, cbm_tensor **logabs);
/* The X that makes |A X - B| least for A (.., m, n) of full rank, B (.., m, k) or (m); where there are several (m < n), the
   shortest. RANGE: R of A's QR factorisation has a zero on its diagonal. cbm_matmul(cbm_pinv(a), b) is for any rank. */
CBM_API cbm_tensor *cbm_lstsq(cbm_tensor *a, cbm_tensor *b);
/* The pseudo-inverse of Moore and Penrose, (.., m, n) -> (.., n, m). Singular values up to rtol times the largest count as 0;
   rtol < 0: max(m, n) times the type's epsilon. Its gradient holds while the rank stays. */
typedef struct cbm_pinv_options {
    uint64_t struct_size;
    double rtol CBM_DEFAULT(-1);
} cbm_pinv_options;
CBM_API cbm_tensor *cbm_pinv_with(cbm_tensor *a, const cbm_pinv_options *options);

CBM_END_DECLS

#ifndef __cplusplus
/* cbm_addmm(c, a, b, .alpha = 0.5) */
#define cbm_addmm(...) cbm_at(CBM_ADDMM_(__VA_ARGS__, .struct_size = sizeof(cbm_addmm_options)), __FILE__, __LINE__)
#define CBM_ADDMM_(c, a, b, ...)                                                                                       \
    CBM_OPTIONS_(cbm_addmm_options, cbm_addmm_with(c, a, b, &cbm_o_), .beta = 1, .alpha = 1, __VA_ARGS__)
#define cbm_einsum(equation, ...)                                                                                      \
    cbm_at(cbm_einsum_of(equation, (cbm_tensor *const[]){ __VA_ARGS__ },                                               \
                         sizeof((cbm_tensor *const[]){ __VA_ARGS__ }) / sizeof(cbm_tensor *)),                         \
           __FILE__, __LINE__)
#define cbm_matrix_norm(...)                                                                                           \
    cbm_at(CBM_MATRIX_NORM_(__VA_ARGS__, .struct_size = sizeof(cbm_matrix_norm_options)), __FILE__, __LINE__)
#define CBM_MATRIX_NORM_(a, ...)                                                                                       \
    CBM_OPTIONS_(cbm_matrix_norm_options, cbm_matrix_norm_with(a, &cbm_o_), .keepdim = 0, __VA_ARGS__)
/* cbm_solve_triangular(a, b, .upper = 1) */
#define cbm_solve_triangular(...)                                                                                      \
    cbm_at(CBM_SOLVE_TRIANGULAR_(__VA_ARGS__, .struct_size = sizeof(cbm_solve_triangular_options)), __FILE__, __LINE__)
#define CBM_SOLVE_TRIANGULAR_(a, b, ...)                                                                               \
    CBM_OPTIONS_(cbm_solve_triangular_options, cbm_solve_triangular_with(a, b, &cbm_o_), .left = 1,                    \
                 .unitriangular = 0, __VA_ARGS__)
#define cbm_pinv(...) cbm_at(CBM_PINV_(__VA_ARGS__, .struct_size = sizeof(cbm_pinv_options)), __FILE__, __LINE__)
#define CBM_PINV_(a, ...) CBM_OPTIONS_(cbm_pinv_options, cbm_pinv_with(a, &cbm_o_), .rtol = -1, __VA_ARGS__)
#else
CBM_CPP_OPTIONS_(cbm_addmm, cbm_addmm_options,
                 (cbm_tensor * c, cbm_tensor *a, cbm_tensor *b, const cbm_addmm_options &options = {}), (c, a, b, &o))
CBM_CPP_OPTIONS_(cbm_matrix_norm, cbm_matrix_norm_options,
                 (cbm_tensor * a, const cbm_matrix_norm_options &options = {}), (a, &o))
CBM_CPP_OPTIONS_(cbm_solve_triangular, cbm_solve_triangular_options,
                 (cbm_tensor * a, cbm_tensor *b, const cbm_solve_triangular_options &options = {}), (a, b, &o))
CBM_CPP_OPTIONS_(cbm_pinv, cbm_pinv_options, (cbm_tensor * a, const cbm_pinv_options &options = {}), (a, &o))
template <typename... T> static inline cbm_tensor *cbm_einsum(const char *equation, T... tensors)
{
    cbm_tensor *const list[] = { tensors... };
    return cbm_einsum_of(equation, list, sizeof...(tensors));
}
#endif

#ifndef CBM_NO_CALL_SITES
#define cbm_matmul(...) cbm_at(cbm_matmul(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_dot(...) cbm_at(cbm_dot(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_mv(...) cbm_at(cbm_mv(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_outer(...) cbm_at(cbm_outer(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_bmm(...) cbm_at(cbm_bmm(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_kron(...) cbm_at(cbm_kron(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_tensordot(...) cbm_at(cbm_tensordot(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_trace(...) cbm_at(cbm_trace(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cholesky(...) cbm_at(cbm_cholesky(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_qr(...) cbm_at(cbm_qr(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_svd(...) cbm_at(cbm_svd(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_svdvals(...) cbm_at(cbm_svdvals(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_eigh(...) cbm_at(cbm_eigh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_eigvalsh(...) cbm_at(cbm_eigvalsh(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_solve(...) cbm_at(cbm_solve(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_cholesky_solve(...) cbm_at(cbm_cholesky_solve(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_inverse(...) cbm_at(cbm_inverse(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_det(...) cbm_at(cbm_det(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_slogdet(...) cbm_at(cbm_slogdet(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_lstsq(...) cbm_at(cbm_lstsq(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
