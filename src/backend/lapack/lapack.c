/* lapack.c: LAPACK through LAPACKE, found by dlopen. Row-major a is column-major a^T in the same memory, so that nothing is
   copied to turn it: Cholesky asks for the upper triangle, QR is the LQ of a^T, the singular vectors of a^T are those of a
   in the other order, and systems are solved from the right: x^T a^T = b^T. Rests on the dynamic linker. */
#include "backend/lapack/lapack.h"
#include "base/base.h"

#include <stdio.h>

#ifdef CBM_LAPACK

#include <dlfcn.h>
#include <lapacke.h>
#include <pthread.h>
#include <string.h>

enum { COLUMNS = LAPACK_COL_MAJOR };

/* BLAS in Fortran's way: everything by address, and the lengths of the letters at the end. */
#define BLAS(real)                                                                                                     \
    void (*trsm)(const char *side, const char *triangle, const char *transpose, const char *unit, const lapack_int *m, \
                 const lapack_int *n, const real *alpha, const real *a, const lapack_int *lda, real *b,                \
                 const lapack_int *ldb, size_t, size_t, size_t, size_t);                                               \
    void (*gemm)(const char *transpose_a, const char *transpose_b, const lapack_int *m, const lapack_int *n,           \
                 const lapack_int *k, const real *alpha, const real *a, const lapack_int *lda, const real *b,          \
                 const lapack_int *ldb, const real *beta, real *c, const lapack_int *ldc, size_t, size_t)

static struct {
    struct {
        BLAS(float);
        __typeof__(&LAPACKE_spotrf_work) potrf;
        __typeof__(&LAPACKE_sgetrf_work) getrf;
        __typeof__(&LAPACKE_sgelqf_work) gelqf;
        __typeof__(&LAPACKE_sorglq_work) orglq;
        __typeof__(&LAPACKE_sgesdd_work) gesdd;
        __typeof__(&LAPACKE_ssyevd_work) syevd;
    } s;
    struct {
        BLAS(double);
        __typeof__(&LAPACKE_dpotrf_work) potrf;
        __typeof__(&LAPACKE_dgetrf_work) getrf;
        __typeof__(&LAPACKE_dgelqf_work) gelqf;
        __typeof__(&LAPACKE_dorglq_work) orglq;
        __typeof__(&LAPACKE_dgesdd_work) gesdd;
        __typeof__(&LAPACKE_dsyevd_work) syevd;
    } d;
    int (*get_threads)(void); /* OpenBLAS; NULL: a BLAS without threads */
    void (*set_threads)(int threads);
} lib;

static const struct {
    const char *name;
    void *place;
} symbols[] = {
    { "LAPACKE_spotrf_work", &lib.s.potrf },
    { "LAPACKE_dpotrf_work", &lib.d.potrf },
    { "LAPACKE_sgetrf_work", &lib.s.getrf },
    { "LAPACKE_dgetrf_work", &lib.d.getrf },
    { "LAPACKE_sgelqf_work", &lib.s.gelqf },
    { "LAPACKE_dgelqf_work", &lib.d.gelqf },
    { "LAPACKE_sorglq_work", &lib.s.orglq },
    { "LAPACKE_dorglq_work", &lib.d.orglq },
    { "LAPACKE_sgesdd_work", &lib.s.gesdd },
    { "LAPACKE_dgesdd_work", &lib.d.gesdd },
    { "LAPACKE_ssyevd_work", &lib.s.syevd },
    { "LAPACKE_dsyevd_work", &lib.d.syevd },
    { "strsm_", &lib.s.trsm },
    { "dtrsm_", &lib.d.trsm },
    { "sgemm_", &lib.s.gemm },
    { "dgemm_", &lib.d.gemm },
};

/* ---- loading ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static char problem[256] = "";

static bool find(void *library, const char *name, void *place)
{
    void *symbol = dlsym(library, name);
    if (symbol)
        memcpy(place, &symbol, sizeof symbol);
    return symbol != NULL;
}

static void load(void)
{
    void *library = dlopen(CBM_LAPACK, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(problem, sizeof problem, "LAPACK is missing (%.150s). HINT: on Debian, apt-get install liblapacke",
                 dlerror());
        return;
    }
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (!find(library, symbols[i].name, symbols[i].place)) {
            snprintf(problem, sizeof problem, "%s has no %s", CBM_LAPACK, symbols[i].name);
            return;
        }
    if (!find(library, "openblas_get_num_threads", &lib.get_threads) ||
        !find(library, "openblas_set_num_threads", &lib.set_threads))
        lib.set_threads = NULL;
}

/* ---- threads: who comes first asks for one thread, who leaves last gives back what there was ---- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int64_t inside, threads_before;

void cbm_lapack_begin(void)
{
    if (!lib.set_threads)
        return;
    pthread_mutex_lock(&mutex);
    if (inside++ == 0) {
        threads_before = lib.get_threads();
        lib.set_threads(1);
    }
    pthread_mutex_unlock(&mutex);
}

void cbm_lapack_end(void)
{
    if (!lib.set_threads)
        return;
    pthread_mutex_lock(&mutex);
    if (--inside == 0)
        lib.set_threads((int)threads_before);
    pthread_mutex_unlock(&mutex);
}

/* ---- the functions of one element type ---- */

static lapack_int at_least_one(lapack_int n)
{
    return n > 1 ? n : 1;
}

static lapack_int smaller(lapack_int m, lapack_int n)
{
    return m < n ? m : n;
}

/* Scratch as LAPACK counts it: real numbers, of which a float may have told too few, then whole ones. */
static size_t room_of(double reals, lapack_int wholes, size_t size)
{
    return (size_t)(reals * (1 + 0x1p-23) + 1) * size + (size_t)wholes * sizeof(lapack_int) + 64;
}

static lapack_int *wholes_of(void *room, size_t bytes, lapack_int wholes)
{
    return (lapack_int *)(void *)((char *)room + (bytes - (size_t)wholes * sizeof(lapack_int)) / 8 * 8);
}

static lapack_int reals_of(size_t bytes, lapack_int wholes, size_t size)
{
    return (lapack_int)((bytes - (size_t)wholes * sizeof(lapack_int) - 8) / size);
}

#define REAL float
#define P(name) s_##name
#define LIB lib.s
#include "backend/lapack/functions.h"
#undef REAL
#undef P
#undef LIB
#define REAL double
#define P(name) d_##name
#define LIB lib.d
#include "backend/lapack/functions.h"

const cbm_lapack *cbm_lapack_of(cbm_dtype dtype, char *message)
{
    pthread_once(&once, load);
    if (problem[0] == 0)
        return dtype == CBM_F32 ? &s_functions : &d_functions;
    if (message)
        snprintf(message, 256, "%s", problem);
    return NULL;
}

#else

void cbm_lapack_begin(void)
{
}

void cbm_lapack_end(void)
{
}

const cbm_lapack *cbm_lapack_of(cbm_dtype dtype, char *message)
{
    (void)dtype;
    if (message)
        snprintf(message, 256, "this library was built without LAPACK. HINT: build it with -DCAMBIUM_LAPACK=ON");
    return NULL;
}

#endif
