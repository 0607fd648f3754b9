/* lapack.h: the one seam to LAPACK, loaded when it is first asked for: a program that factorises nothing pays nothing. All
   matrices are row-major here and lie without gaps; lapack.c tells how LAPACK, which counts by columns, sees them. */
#ifndef CAMBIUM_LAPACK_H
#define CAMBIUM_LAPACK_H

#include "backend/backend.h"

/* The functions for one element type. They work in place and return LAPACK's info: 0 is good. room: bytes of scratch. */
typedef struct cbm_lapack {
    size_t size; /* of an element */
    /* The lower triangle of a (n, n), symmetric, becomes L with a = L L^T; above it a stays. > 0: the order of the first
       leading minor that is not positive. */
    int32_t (*cholesky)(int32_t n, void *a);
    /* a (n, n) = L U P^T: L's triangle with its diagonal, and above it U's, whose diagonal is ones. P = P_0 P_1 .., where
       P_i swaps i and pivots[i] (from 0). > 0: how many the first zero on L's diagonal is; the rest is right all the same. */
    int32_t (*lu)(int32_t n, void *a, int32_t *pivots);
    /* b (n, columns) becomes x: a x = b, or a^T x = b, with the triangle of a. unit: its diagonal counts as ones. */
    void (*triangular)(bool upper, bool transpose, bool unit, int32_t n, int32_t columns, const void *a, void *b);
    /* a (m, n) becomes R on and above the diagonal, and below it with tau (min(m, n)) what q makes Q from. */
    size_t (*qr_room)(int32_t m, int32_t n);
    int32_t (*qr)(int32_t m, int32_t n, void *a, void *tau, void *room, size_t bytes);
    /* The first min(m, n) columns of a, whose rows stay n apart, become Q's. */
    int32_t (*q)(int32_t m, int32_t n, void *a, const void *tau, void *room, size_t bytes);
    /* a = U diag(s) V^T, reduced: u (m, k), s (k) falling, vh (k, n) with k = min(m, n). a is lost. u NULL: s only. */
    size_t (*svd_room)(bool vectors, int32_t m, int32_t n);
    int32_t (*svd)(int32_t m, int32_t n, void *a, void *s, void *u, void *vh, void *room, size_t bytes);
    /* a (n, n), symmetric, becomes its eigenvectors, one a row; w (n) its eigenvalues, rising. Not vectors: a is lost. */
    size_t (*eigh_room)(bool vectors, int32_t n);
    int32_t (*eigh)(bool vectors, int32_t n, void *a, void *w, void *room, size_t bytes);
    /* c (m, n) = a (m, k) b (k, n) */
    void (*product)(int32_t m, int32_t k, int32_t n, const void *a, const void *b, void *c);
    /* The other operations on elements that kernels need. */
    double (*get)(const void *a, int64_t i);
    void (*set)(void *a, int64_t i, double value);
    void (*symmetric)(int64_t n, void *to, const void *a); /* to = (a + a^T) / 2 */
} cbm_lapack;

/* F32 or F64. NULL: it cannot be loaded, and message (256 bytes, may be NULL) says why. */
const cbm_lapack *cbm_lapack_of(cbm_dtype dtype, char *message);
/* Around calls, from any thread: a BLAS with threads of its own works on the caller's alone meanwhile. */
void cbm_lapack_begin(void);
void cbm_lapack_end(void);

/* kernels.c: ended by one with op NULL: every operand f32, or every one f64 (beside integers). */
extern const cbm_kernel cbm_lapack_kernels[];

#endif
