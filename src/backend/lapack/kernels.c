/* kernels.c: factorisations and what rests on them, one matrix of a batch after the other in as many parts as there are
   threads, each with scratch of its own. One kernel serves all: an operation's method says how much scratch a matrix needs,
   and what is done with it. Rests on lapack.h. */
#include "backend/lapack/lapack.h"
#include "base/base.h"
#include "op/attributes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LARGEST 20000 /* rows or columns: beyond, LAPACK's 32-bit sizes of scratch overflow */
#define GRAIN 30000   /* multiplications that are worth a thread */
#define NOT_FINITE (-1000)

typedef struct task {
    const cbm_launch *launch;
    const cbm_lapack *f;
    int32_t m, n, k; /* of the first operand's matrices, and the smaller one */
    int64_t batch;
    size_t room; /* bytes of scratch for one matrix at a time */
} task;

typedef struct method {
    const char *op;
    size_t (*room)(const task *t);                        /* NULL: none */
    int32_t (*run)(const task *t, int64_t i, char *room); /* matrix number i; not 0: what went wrong */
    void (*complain)(int32_t info, const char *which, char *message);
} method;

/* What a part of the batch met first. */
typedef struct failure {
    int64_t matrix;
    int32_t info; /* 0: nothing */
} failure;

/* ---- operands ---- */

/* Matrix number i of an operand; the last `rank` axes are one item. */
static void *item(const task *t, const cbm_buffer *b, int64_t i)
{
    const int64_t each = t->batch > 0 ? b->count / t->batch : 0;
    return b->data ? (char *)b->data + (size_t)(i * each) * cbm_dtype_size(b->dtype) : NULL;
}

static void *in(const task *t, size_t k, int64_t i)
{
    return item(t, &t->launch->in[k], i);
}

static void *out(const task *t, size_t k, int64_t i)
{
    return item(t, &t->launch->out[k], i);
}

static size_t elements(const task *t, int64_t rows, int64_t columns)
{
    return ((size_t)rows * (size_t)columns * t->f->size + 63) / 64 * 64;
}

/* The next part of the scratch. */
static void *part(char **room, size_t bytes)
{
    void *p = *room;
    *room += bytes;
    return p;
}

static void transpose(const task *t, int64_t rows, int64_t columns, const char *from, char *to)
{
    const size_t size = t->f->size;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            memcpy(to + (size_t)(j * rows + i) * size, from + (size_t)(i * columns + j) * size, size);
}

static double diagonal(const task *t, const void *a, int64_t k)
{
    return t->f->get(a, k * t->n + k);
}

/* ---- Cholesky ---- */
static int32_t cholesky(const task *t, int64_t i, char *room) /* a -> l */
{
    char *l = out(t, 0, i);
    const size_t size = t->f->size, n = (size_t)t->n;
    (void)room;
    t->f->symmetric(t->n, l, in(t, 0, i));
    const int32_t info = t->f->cholesky(t->n, l);
    for (int32_t k = 0; info == 0 && k < t->n; k++) /* NaN passes some libraries unseen */
        if (!(diagonal(t, l, k) > 0))
            return k + 1;
    for (size_t row = 0; row + 1 < n; row++)
        memset(l + (row * n + row + 1) * size, 0, (n - row - 1) * size);
    return info;
}

static void not_definite(int32_t info, const char *which, char *message)
{
    snprintf(message, 256, "%s is not positive definite: its leading minor of order %d is not positive", which,
             (int)info);
}

/* ---- LU: determinants, systems ---- */
static int32_t lu_factor(const task *t, int64_t i, char *room) /* a -> lu, pivots */
{
    (void)room;
    memcpy(out(t, 0, i), in(t, 0, i), (size_t)t->n * (size_t)t->n * t->f->size);
    (void)t->f->lu(t->n, out(t, 0, i), out(t, 1, i));
    return 0;
}

/* The factors of operand 0's matrix: operands `first` and the next, or made in the scratch. */
typedef struct factors {
    const char *lu;
    const int32_t *pivots;
} factors;

static size_t lu_room(const task *t)
{
    return elements(t, t->n, t->n) + ((size_t)t->n * sizeof(int32_t) + 63) / 64 * 64;
}

static factors factors_of(const task *t, size_t first, int64_t i, char *room)
{
    if (t->launch->n_in > first)
        return (factors){ in(t, first, i), in(t, first + 1, i) };
    char *lu = part(&room, elements(t, t->n, t->n));
    int32_t *pivots = part(&room, 0);
    memcpy(lu, in(t, 0, i), (size_t)t->n * (size_t)t->n * t->f->size);
    if (t->n > 0)
        (void)t->f->lu(t->n, lu, pivots);
    return (factors){ lu, pivots };
}

/* 1 or -1: whether the swaps are an even number. */
static double sign_of_swaps(const task *t, const int32_t *pivots)
{
    double sign = 1;
    for (int32_t k = 0; k < t->n; k++)
        sign = pivots[k] != k ? -sign : sign;
    return sign;
}

static int32_t det(const task *t, int64_t i, char *room) /* a[, lu, pivots] -> det */
{
    const factors f = factors_of(t, 1, i, room);
    double product = sign_of_swaps(t, f.pivots);
    for (int32_t k = 0; k < t->n; k++)
        product *= diagonal(t, f.lu, k);
    t->f->set(out(t, 0, i), 0, product);
    return 0;
}

static int32_t slogdet(const task *t, int64_t i, char *room) /* a[, lu, pivots] -> sign, log |det| */
{
    const factors f = factors_of(t, 1, i, room);
    double sign = sign_of_swaps(t, f.pivots), sum = 0;
    for (int32_t k = 0; k < t->n; k++) {
        const double d = diagonal(t, f.lu, k);
        sign *= d > 0 ? 1 : d < 0 ? -1 : d; /* 0, NaN */
        sum += log(fabs(d));
    }
    if (out(t, 0, i))
        t->f->set(out(t, 0, i), 0, sign);
    if (out(t, 1, i))
        t->f->set(out(t, 1, i), 0, sum);
    return 0;
}

static void swap_rows(const task *t, char *x, int64_t columns, int32_t a, int32_t b)
{
    const size_t bytes = (size_t)columns * t->f->size;
    char *p = x + (size_t)a * bytes, *q = x + (size_t)b * bytes, kept[512];
    for (size_t k = 0; a != b && k < bytes; k += sizeof kept) {
        const size_t some = bytes - k < sizeof kept ? bytes - k : sizeof kept;
        memcpy(kept, p + k, some);
        memcpy(p + k, q + k, some);
        memcpy(q + k, kept, some);
    }
}

/* The number of the first zero on the diagonal, from 1; 0: there is none. */
static int32_t first_zero(const task *t, const void *a)
{
    for (int32_t k = 0; k < t->n; k++)
        if (diagonal(t, a, k) == 0)
            return k + 1;
    return 0;
}

static int32_t columns_of(const task *t)
{
    const cbm_buffer *b = &t->launch->in[1];
    return (int32_t)b->shape[b->rank - 1];
}

static int32_t solve(const task *t, int64_t i, char *room) /* a, b[, lu, pivots] -> x */
{
    const bool transposed = ((const cbm_solve_attributes *)t->launch->attributes)->transpose != 0;
    const factors f = factors_of(t, 2, i, room);
    const int32_t columns = columns_of(t), zero = first_zero(t, f.lu);
    char *x = out(t, 0, i);
    if (zero)
        return zero;
    memcpy(x, in(t, 1, i), (size_t)t->n * (size_t)columns * t->f->size);
    for (int32_t k = 0; transposed && k < t->n; k++) /* a^T = P U^T L^T */
        swap_rows(t, x, columns, k, f.pivots[k]);
    t->f->triangular(transposed, transposed, transposed, t->n, columns, f.lu, x);
    t->f->triangular(!transposed, transposed, !transposed, t->n, columns, f.lu, x);
    for (int32_t k = t->n - 1; !transposed && k >= 0; k--)
        swap_rows(t, x, columns, k, f.pivots[k]);
    return 0;
}

static void singular(int32_t info, const char *which, char *message)
{
    snprintf(message, 256,
             "%s is singular: pivot %d of its LU factorisation is 0. HINT: cbm_pinv and cbm_lstsq find least squares",
             which, (int)info);
}

static int32_t solve_triangular(const task *t, int64_t i, char *room) /* a, b -> x */
{
    const cbm_triangular_attributes *a = t->launch->attributes;
    const int32_t columns = columns_of(t), zero = a->unit ? 0 : first_zero(t, in(t, 0, i));
    (void)room;
    if (zero)
        return zero;
    memcpy(out(t, 0, i), in(t, 1, i), (size_t)t->n * (size_t)columns * t->f->size);
    t->f->triangular(a->upper != 0, a->transpose != 0, a->unit != 0, t->n, columns, in(t, 0, i), out(t, 0, i));
    return 0;
}

static void zero_on_diagonal(int32_t info, const char *which, char *message)
{
    snprintf(message, 256, "%s is singular: element %d of its diagonal is 0", which, (int)info - 1);
}

/* ---- QR ---- */
static size_t qr_room(const task *t)
{
    return elements(t, t->m, t->n) + elements(t, 1, t->k) + t->f->qr_room(t->m, t->n);
}

static int32_t qr(const task *t, int64_t i, char *room) /* a -> q, r */
{
    const size_t size = t->f->size, n = (size_t)t->n, k = (size_t)t->k, scratch = t->f->qr_room(t->m, t->n);
    char *a = part(&room, elements(t, t->m, t->n)), *tau = part(&room, elements(t, 1, t->k));
    char *q = out(t, 0, i), *r = out(t, 1, i);
    memcpy(a, in(t, 0, i), (size_t)t->m * n * size);
    int32_t info = t->f->qr(t->m, t->n, a, tau, room, scratch);
    for (size_t row = 0; r && row < k; row++) {
        memset(r + row * n * size, 0, row * size);
        memcpy(r + (row * n + row) * size, a + (row * n + row) * size, (n - row) * size);
    }
    if (info == 0 && q)
        info = t->f->q(t->m, t->n, a, tau, room, scratch);
    for (size_t row = 0; q && row < (size_t)t->m; row++)
        memcpy(q + row * k * size, a + row * n * size, k * size);
    return info;
}

/* ---- singular values ---- */

static bool all_finite(const task *t, const void *a)
{
    for (int64_t k = 0; k < (int64_t)t->m * t->n; k++)
        if (!isfinite(t->f->get(a, k)))
            return false;
    return true;
}

static void no_convergence(int32_t info, const char *which, char *message)
{
    if (info == NOT_FINITE)
        snprintf(message, 256, "%s has elements that are NaN or infinite", which);
    else
        snprintf(message, 256, "the iteration for %s did not converge", which);
}

static size_t svd_room(const task *t)
{
    return elements(t, t->m, t->n) + elements(t, t->m, t->k) + elements(t, t->k, t->n) + elements(t, 1, t->k) +
           t->f->svd_room(true, t->m, t->n);
}

static int32_t svd(const task *t, int64_t i, char *room) /* a -> u, s, vh */
{
    char *a = part(&room, elements(t, t->m, t->n)), *u = part(&room, elements(t, t->m, t->k));
    char *vh = part(&room, elements(t, t->k, t->n)), *s = part(&room, elements(t, 1, t->k));
    if (!all_finite(t, in(t, 0, i)))
        return NOT_FINITE;
    memcpy(a, in(t, 0, i), (size_t)t->m * (size_t)t->n * t->f->size);
    u = out(t, 0, i) ? out(t, 0, i) : u;
    s = out(t, 1, i) ? out(t, 1, i) : s;
    vh = out(t, 2, i) ? out(t, 2, i) : vh;
    return t->f->svd(t->m, t->n, a, s, u, vh, room, t->f->svd_room(true, t->m, t->n));
}

static size_t svdvals_room(const task *t)
{
    return elements(t, t->m, t->n) + t->f->svd_room(false, t->m, t->n);
}

static int32_t svdvals(const task *t, int64_t i, char *room) /* a -> s */
{
    char *a = part(&room, elements(t, t->m, t->n));
    if (!all_finite(t, in(t, 0, i)))
        return NOT_FINITE;
    memcpy(a, in(t, 0, i), (size_t)t->m * (size_t)t->n * t->f->size);
    return t->f->svd(t->m, t->n, a, out(t, 0, i), NULL, NULL, room, t->f->svd_room(false, t->m, t->n));
}

/* U diag(1 / s) V^T, where s is large enough, transposed. */
static int32_t pinv(const task *t, int64_t i, char *room) /* a -> a+ */
{
    const cbm_pinv_attributes *attributes = t->launch->attributes;
    char *a = part(&room, elements(t, t->m, t->n)), *u = part(&room, elements(t, t->m, t->k));
    char *vh = part(&room, elements(t, t->k, t->n)), *s = part(&room, elements(t, 1, t->k));
    if (!all_finite(t, in(t, 0, i)))
        return NOT_FINITE;
    memcpy(a, in(t, 0, i), (size_t)t->m * (size_t)t->n * t->f->size);
    const int32_t info = t->f->svd(t->m, t->n, a, s, u, vh, room, t->f->svd_room(true, t->m, t->n));
    if (info != 0)
        return info;
    for (int32_t r = 0; r < t->k; r++) {
        const double value = t->f->get(s, r);
        const double factor = value > attributes->rcond * t->f->get(s, 0) ? 1 / value : 0;
        for (int32_t j = 0; j < t->n; j++)
            t->f->set(vh, (int64_t)r * t->n + j, factor * t->f->get(vh, (int64_t)r * t->n + j));
    }
    t->f->product(t->m, t->k, t->n, u, vh, a);
    transpose(t, t->m, t->n, a, out(t, 0, i));
    return 0;
}

/* ---- eigenvalues of symmetric matrices ---- */
static size_t eigh_room(const task *t)
{
    return elements(t, t->n, t->n) + elements(t, 1, t->n) + t->f->eigh_room(true, t->n);
}

static int32_t eigh(const task *t, int64_t i, char *room) /* a -> w, v */
{
    char *a = part(&room, elements(t, t->n, t->n)), *w = part(&room, elements(t, 1, t->n));
    t->f->symmetric(t->n, a, in(t, 0, i));
    if (!all_finite(t, a))
        return NOT_FINITE;
    w = out(t, 0, i) ? out(t, 0, i) : w;
    const int32_t info = t->f->eigh(true, t->n, a, w, room, t->f->eigh_room(true, t->n));
    if (out(t, 1, i))
        transpose(t, t->n, t->n, a, out(t, 1, i));
    return info;
}

static int32_t eigvalsh(const task *t, int64_t i, char *room) /* a -> w */
{
    char *a = part(&room, elements(t, t->n, t->n));
    t->f->symmetric(t->n, a, in(t, 0, i));
    if (!all_finite(t, a))
        return NOT_FINITE;
    return t->f->eigh(false, t->n, a, out(t, 0, i), room, t->f->eigh_room(false, t->n));
}

static size_t eigvalsh_room(const task *t)
{
    return elements(t, t->n, t->n) + t->f->eigh_room(false, t->n);
}

#define METHODS(each_)                                                                                                 \
    each_("cholesky", NULL, cholesky, not_definite) each_("lu_factor", NULL, lu_factor, singular)                      \
        each_("det", lu_room, det, singular) each_("slogdet", lu_room, slogdet, singular)                              \
            each_("solve", lu_room, solve, singular) each_("solve_triangular", NULL, solve_triangular,                 \
                                                           zero_on_diagonal) each_("qr", qr_room, qr, no_convergence)  \
                each_("svd", svd_room, svd, no_convergence) each_("svdvals", svdvals_room, svdvals, no_convergence)    \
                    each_("pinv", svd_room, pinv, no_convergence) each_("eigh", eigh_room, eigh, no_convergence)       \
                        each_("eigvalsh", eigvalsh_room, eigvalsh, no_convergence)

#define METHOD(op_, room_, run_, complain_) { op_, room_, run_, complain_ },
static const method methods[] = { METHODS(METHOD) };

/* ---- the kernel ---- */

static task task_of(const cbm_launch *l, const cbm_lapack *f)
{
    const cbm_buffer *a = &l->in[0];
    task t = { .launch = l, .f = f, .batch = 1 };
    t.m = (int32_t)a->shape[a->rank - 2];
    t.n = (int32_t)a->shape[a->rank - 1];
    t.k = t.m < t.n ? t.m : t.n;
    for (int64_t d = 0; d < a->rank - 2; d++)
        t.batch *= a->shape[d];
    return t;
}

static int64_t part_count(const task *t, int64_t threads)
{
    const double work = (double)t->m * (double)t->n * (double)t->k + 1;
    const int64_t grain = work < GRAIN ? (int64_t)(GRAIN / work) : 1;
    const int64_t parts = (t->batch - 1) / grain + 1;
    return parts < threads ? parts : threads;
}

static size_t room_of(const method *m, const task *t)
{
    return m->room && t->k > 0 ? (m->room(t) + 63) / 64 * 64 : 0;
}

static size_t failures_size(int64_t parts)
{
    return ((size_t)parts * sizeof(failure) + 63) / 64 * 64;
}

static cbm_status prepare(cbm_prepare *p)
{
    const cbm_launch *l = p->launch;
    const cbm_buffer *a = &l->in[0];
    const cbm_lapack *f = cbm_lapack_of(a->dtype, p->message);
    if (!f)
        return CBM_ERROR_UNSUPPORTED;
    const cbm_buffer *y = &l->out[0];
    if (a->shape[a->rank - 2] > LARGEST || a->shape[a->rank - 1] > LARGEST ||
        (y->rank > 0 && y->shape[y->rank - 1] > INT32_MAX)) {
        snprintf(p->message, 256, "more than %d rows or columns", LARGEST);
        return CBM_ERROR_UNSUPPORTED;
    }
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].op, l->op->name) == 0)
            p->state = (void *)(uintptr_t)&methods[i];
    const task t = task_of(l, f);
    const int64_t parts = part_count(&t, p->threads);
    p->workspace = failures_size(parts) + (size_t)parts * room_of(p->state, &t);
    return CBM_OK;
}

typedef struct job {
    task t;
    const method *m;
    int64_t parts;
    failure *failures; /* one a part */
} job;

static void run_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t p = begin; p < end; p++) {
        char *room = (char *)j->failures + failures_size(j->parts) + (size_t)p * j->t.room;
        failure *f = &j->failures[p];
        f->info = 0;
        for (int64_t i = j->t.batch * p / j->parts; i < j->t.batch * (p + 1) / j->parts && f->info == 0; i++)
            *f = (failure){ i, j->m->run(&j->t, i, room) };
    }
}

static cbm_status launch(const cbm_launch *l)
{
    job j = { .t = task_of(l, cbm_lapack_of(l->in[0].dtype, NULL)), .m = l->state, .failures = l->workspace };
    char which[48] = "the matrix";
    j.t.room = room_of(j.m, &j.t);
    j.parts = part_count(&j.t, l->threads);
    cbm_lapack_begin();
    cbm_parallel_for(j.parts, 1, l->threads, run_parts, &j);
    cbm_lapack_end();
    for (int64_t p = 0; p < j.parts; p++) {
        if (j.failures[p].info == 0)
            continue;
        if (l->in[0].rank > 2)
            snprintf(which, sizeof which, "matrix %" PRId64 " of the batch", j.failures[p].matrix);
        if (l->message)
            j.m->complain(j.failures[p].info, which, l->message);
        return CBM_ERROR_RANGE;
    }
    return CBM_OK;
}

/* Floats of one type, which LAPACK has; integers are pivots. */
static bool supports(const cbm_launch *l)
{
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].dtype != l->in[0].dtype && l->in[i].dtype != CBM_I32)
            return false;
    return l->in[0].dtype == CBM_F32 || l->in[0].dtype == CBM_F64;
}

#define KERNEL(op_, room_, run_, complain_) { .op = (op_), .supports = supports, .prepare = prepare, .launch = launch },
const cbm_kernel cbm_lapack_kernels[] = { METHODS(KERNEL){ .op = NULL } };
