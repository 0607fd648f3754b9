/* functions.h: LAPACK's functions for one element type, as lapack.h wants them; included twice by lapack.c with REAL (float,
   double), P(name) (s_name, d_name) and LIB (the functions that were loaded for it). */

static int32_t P(cholesky)(int32_t n, void *a)
{
    return LIB.potrf(COLUMNS, 'U', n, a, at_least_one(n));
}

static int32_t P(lu)(int32_t n, void *a, int32_t *pivots)
{
    const int32_t info = LIB.getrf(COLUMNS, n, n, a, at_least_one(n), pivots);
    for (int32_t i = 0; i < n; i++)
        pivots[i]--;
    return info;
}

static void P(triangular)(bool upper, bool transpose, bool unit, int32_t n, int32_t columns, const void *a, void *b)
{
    const lapack_int m = columns, order = n, lda = at_least_one(n), ldb = at_least_one(columns);
    const REAL one = 1;
    LIB.trsm("R", upper ? "L" : "U", transpose ? "T" : "N", unit ? "U" : "N", &m, &order, &one, a, &lda, b, &ldb, 1, 1,
             1, 1);
}

static size_t P(qr_room)(int32_t m, int32_t n)
{
    REAL lq = 0, q = 0;
    const lapack_int k = smaller(m, n);
    LIB.gelqf(COLUMNS, n, m, NULL, at_least_one(n), NULL, &lq, -1);
    LIB.orglq(COLUMNS, k, m, k, NULL, at_least_one(n), NULL, &q, -1);
    return room_of((double)(lq > q ? lq : q), 0, sizeof(REAL));
}

static int32_t P(qr)(int32_t m, int32_t n, void *a, void *tau, void *room, size_t bytes)
{
    return LIB.gelqf(COLUMNS, n, m, a, at_least_one(n), tau, room, reals_of(bytes, 0, sizeof(REAL)));
}

static int32_t P(q)(int32_t m, int32_t n, void *a, const void *tau, void *room, size_t bytes)
{
    const lapack_int k = smaller(m, n);
    return LIB.orglq(COLUMNS, k, m, k, a, at_least_one(n), tau, room, reals_of(bytes, 0, sizeof(REAL)));
}

static size_t P(svd_room)(bool vectors, int32_t m, int32_t n)
{
    REAL most = 0;
    const lapack_int k = smaller(m, n);
    LIB.gesdd(COLUMNS, vectors ? 'S' : 'N', n, m, NULL, at_least_one(n), NULL, NULL, at_least_one(n), NULL,
              at_least_one(k), &most, -1, NULL);
    return room_of((double)most, 8 * k, sizeof(REAL));
}

static int32_t P(svd)(int32_t m, int32_t n, void *a, void *s, void *u, void *vh, void *room, size_t bytes)
{
    const lapack_int k = smaller(m, n);
    return LIB.gesdd(COLUMNS, u ? 'S' : 'N', n, m, a, at_least_one(n), s, vh, at_least_one(n), u, at_least_one(k), room,
                     reals_of(bytes, 8 * k, sizeof(REAL)), wholes_of(room, bytes, 8 * k));
}

static lapack_int P(eigh_sizes)(bool vectors, int32_t n, double *reals)
{
    REAL most = 0;
    lapack_int wholes = 0;
    LIB.syevd(COLUMNS, vectors ? 'V' : 'N', 'U', n, NULL, at_least_one(n), NULL, &most, -1, &wholes, -1);
    *reals = (double)most;
    return wholes;
}

static size_t P(eigh_room)(bool vectors, int32_t n)
{
    double reals = 0;
    const lapack_int wholes = P(eigh_sizes)(vectors, n, &reals);
    return room_of(reals, wholes, sizeof(REAL));
}

static int32_t P(eigh)(bool vectors, int32_t n, void *a, void *w, void *room, size_t bytes)
{
    double reals = 0;
    const lapack_int wholes = P(eigh_sizes)(vectors, n, &reals);
    return LIB.syevd(COLUMNS, vectors ? 'V' : 'N', 'U', n, a, at_least_one(n), w, room,
                     reals_of(bytes, wholes, sizeof(REAL)), wholes_of(room, bytes, wholes), wholes);
}

static void P(product)(int32_t m, int32_t k, int32_t n, const void *a, const void *b, void *c)
{
    const lapack_int rows = n, columns = m, inner = k, lda = at_least_one(k), ldb = at_least_one(n);
    const REAL one = 1, zero = 0;
    LIB.gemm("N", "N", &rows, &columns, &inner, &one, b, &ldb, a, &lda, &zero, c, &ldb, 1, 1);
}

static double P(get)(const void *a, int64_t i)
{
    return (double)((const REAL *)a)[i];
}

static void P(set)(void *a, int64_t i, double value)
{
    ((REAL *)a)[i] = (REAL)value;
}

static void P(symmetric)(int64_t n, void *to, const void *from)
{
    const REAL *a = from;
    REAL *b = to;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++)
            b[i * n + j] = b[j * n + i] = (REAL)0.5 * (a[i * n + j] + a[j * n + i]);
}

static const cbm_lapack P(functions) = {
    .size = sizeof(REAL),
    .cholesky = P(cholesky),
    .lu = P(lu),
    .triangular = P(triangular),
    .qr_room = P(qr_room),
    .qr = P(qr),
    .q = P(q),
    .svd_room = P(svd_room),
    .svd = P(svd),
    .eigh_room = P(eigh_room),
    .eigh = P(eigh),
    .product = P(product),
    .get = P(get),
    .set = P(set),
    .symmetric = P(symmetric),
};
