/* matmul.c: products of (batches of) f32 matrices, and of bf16 ones where the processor multiplies those. Transposed and broadcast operands are taken as they lie. Large ones go
   to oneDNN; small ones, matrix-vector products and builds without oneDNN to own kernels. Rests on onednn.h, simd/matrix.c
   and simd/rows.c. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn.h"

#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 32768, /* multiplications that are not worth a call of oneDNN */
    RUN = 1024     /* results that a matrix-vector product holds in the nearest cache */
};

typedef enum how { BY_ONEDNN, BY_BLOCKS, BY_VECTOR } how;

typedef struct plan {
    how how;
    bool copy_a, copy_b; /* strides that no kernel takes: packed first */
    int64_t m, n, k;
    int64_t a_row, a_column, b_row, b_column; /* as given to the kernel, after packing */
    int64_t a_from[2], b_from[2];             /* row and column strides before packing */
    int64_t batch_rank;                       /* of the loop around the kernel */
    int64_t batch[CBM_MAX_DIMS], a_batch[CBM_MAX_DIMS], b_batch[CBM_MAX_DIMS], c_batch[CBM_MAX_DIMS];
    int64_t batches;
    size_t a_bytes, b_bytes; /* packed copies, rounded up */
    cbm_dnn *dnn;
    cbm_post after;            /* of the whole result, once it is there */
    bool half;                 /* bf16 */
    const cbm_kernel *instead; /* of a product of bf16 that does not pay */
    void *instead_state;
} plan;

/* Rows and columns of an operand; a vector is one row (a) or one column (b). */
static void matrix_of(const cbm_buffer *t, bool right, int64_t *rows, int64_t *columns, int64_t *row, int64_t *column)
{
    const int64_t r = t->rank;
    if (r == 1) {
        *rows = right ? t->shape[0] : 1;
        *columns = right ? 1 : t->shape[0];
        *row = right ? t->stride[0] : t->shape[0];
        *column = right ? 1 : t->stride[0];
    } else {
        *rows = t->shape[r - 2];
        *columns = t->shape[r - 1];
        *row = t->stride[r - 2];
        *column = t->stride[r - 1];
    }
}

/* An axis of extent 1 never steps: give it the stride of a dense matrix. */
static void settle(int64_t rows, int64_t columns, int64_t *row, int64_t *column)
{
    if (columns == 1 && rows == 1) {
        *row = *column = 1;
    } else if (columns == 1) {
        *column = *row == 1 ? rows : 1;
    } else if (rows == 1) {
        *row = *column == 1 ? columns : 1;
    }
}

/* One of the strides is 1, the other at least the extent: what oneDNN and the fast loops take. */
static bool is_plain(int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    return (column == 1 && row >= columns) || (row == 1 && column >= rows);
}

static int64_t batch_stride(const cbm_buffer *t, int64_t d, int64_t batch_rank)
{
    const int64_t own = t->rank > 2 ? t->rank - 2 : 0, at = d - (batch_rank - own);
    return at < 0 || t->shape[at] == 1 ? 0 : t->stride[at];
}

static void find_batches(plan *p, const cbm_launch *l)
{
    const cbm_buffer *a = &l->in[0], *b = &l->in[1], *y = &l->out[0];
    const int64_t rank = y->rank - (a->rank > 1) - (b->rank > 1);
    int64_t c_stride[CBM_MAX_DIMS], step = p->m * p->n;
    for (int64_t d = rank - 1; d >= 0; d--) {
        c_stride[d] = step;
        step *= y->shape[d];
    }
    p->batches = 1;
    for (int64_t d = 0; d < rank; d++) {
        const int64_t extent = y->shape[d], sa = batch_stride(a, d, rank), sb = batch_stride(b, d, rank);
        p->batches *= extent;
        if (extent == 1)
            continue;
        const int64_t q = p->batch_rank - 1;
        if (p->batch_rank > 0 && p->a_batch[q] == sa * extent && p->b_batch[q] == sb * extent) {
            p->batch[q] *= extent;
            p->a_batch[q] = sa;
            p->b_batch[q] = sb;
            p->c_batch[q] = c_stride[d];
            continue;
        }
        p->batch[p->batch_rank] = extent;
        p->a_batch[p->batch_rank] = sa;
        p->b_batch[p->batch_rank] = sb;
        p->c_batch[p->batch_rank++] = c_stride[d];
    }
}

/* (batch, m, k) times one (k, n): when a's batches follow each other as rows do, that is one tall product. */
static void fold_batch(plan *p)
{
    while (p->batch_rank > 0) {
        const int64_t q = p->batch_rank - 1;
        if (p->b_batch[q] != 0 || p->a_batch[q] != p->a_row * p->m)
            return;
        p->m *= p->batch[q];
        p->batches /= p->batch[q];
        p->batch_rank--;
    }
}

static void drop_last_batch(plan *p)
{
    p->batches /= p->batch[p->batch_rank - 1];
    p->batch_rank--;
}

static size_t element(const plan *p)
{
    return p->half ? sizeof(uint16_t) : sizeof(float);
}

static size_t packed_bytes(const plan *p, int64_t rows, int64_t columns)
{
    return ((size_t)rows * (size_t)columns * element(p) + 63) / 64 * 64;
}

/* What is done to the result: by oneDNN on the way where it makes all of the result at once and `sure` says that its ReLU may
   lose NaN, else afterwards. */
static cbm_dnn *product_of(plan *p, const cbm_dnn_product *d, bool gates, int64_t threads)
{
    const bool whole = p->batches == (d->rank == 3 ? d->batch : 1) && (p->after.bias || p->after.add || p->after.relu);
    cbm_dnn_product all = *d;
    all.bias = p->after.bias;
    all.add = p->after.add;
    all.relu = gates && p->after.relu;
    all.upper = gates ? p->after.upper : 0;
    cbm_dnn *made = whole && (all.bias || all.add || all.relu) ? cbm_dnn_matmul(&all, threads) : NULL;
    if (!made)
        return cbm_dnn_matmul(d, threads);
    p->after.bias = p->after.add = false;
    p->after.relu = p->after.relu && !gates;
    return made;
}

/* Hands the product to oneDNN, the innermost batch axis with it. */
static void try_onednn(plan *p, bool gates, int64_t threads)
{
    const int64_t q = p->batch_rank - 1;
    cbm_dnn_product d = { .rank = 2,
                          .batch = 1,
                          .m = p->m,
                          .n = p->n,
                          .k = p->k,
                          .a_stride = { 0, p->a_row, p->a_column },
                          .b_stride = { 0, p->b_row, p->b_column },
                          .c_stride = { 0, p->n, 1 },
                          .a_bf16 = p->half,
                          .b_bf16 = p->half,
                          .c_bf16 = p->half };
    if (p->batch_rank > 0 && !p->copy_a && !p->copy_b) {
        d.rank = 3;
        d.batch = p->batch[q];
        d.a_stride[0] = p->a_batch[q];
        d.b_stride[0] = p->b_batch[q];
        d.c_stride[0] = p->c_batch[q];
        p->dnn = product_of(p, &d, gates, threads);
        if (p->dnn) {
            drop_last_batch(p);
            return;
        }
        d.rank = 2;
        d.batch = 1;
    }
    p->dnn = product_of(p, &d, gates, threads);
}

/* gates: the second operand is a weight of inference, where a ReLU that loses NaN will do (see cbm_relu). */
static void make_plan(plan *p, const cbm_launch *l, bool gates, int64_t threads)
{
    int64_t rows;
    *p = (plan){ .half = l->out[0].dtype == CBM_BF16 };
    if (l->after)
        p->after = *l->after;
    matrix_of(&l->in[0], false, &p->m, &p->k, &p->a_row, &p->a_column);
    matrix_of(&l->in[1], true, &rows, &p->n, &p->b_row, &p->b_column);
    settle(p->m, p->k, &p->a_row, &p->a_column);
    settle(p->k, p->n, &p->b_row, &p->b_column);
    find_batches(p, l);
    p->how = BY_BLOCKS;
    if (l->out[0].count == 0) /* of no matrices, perhaps: there is nothing to fold */
        return;
    fold_batch(p);
    const bool small = p->m * p->n * p->k <= SMALL;
    if (p->half && (small || !cbm_cpu_bf16()))
        return;
    if ((p->m == 1 || p->n == 1) && !small && !p->half) {
        p->how = BY_VECTOR;
    } else if (small) {
        return; /* takes all strides */
    } else {
        p->how = BY_ONEDNN;
    }
    if (!is_plain(p->m, p->k, p->a_row, p->a_column)) {
        p->copy_a = true;
        p->a_from[0] = p->a_row;
        p->a_from[1] = p->a_column;
        p->a_row = p->k;
        p->a_column = 1;
        p->a_bytes = packed_bytes(p, p->m, p->k);
    }
    if (!is_plain(p->k, p->n, p->b_row, p->b_column)) {
        p->copy_b = true;
        p->b_from[0] = p->b_row;
        p->b_from[1] = p->b_column;
        p->b_row = p->n;
        p->b_column = 1;
        p->b_bytes = packed_bytes(p, p->k, p->n);
    }
    if (p->how == BY_ONEDNN)
        try_onednn(p, gates, threads);
    if (p->how == BY_ONEDNN && !p->dnn)
        p->how = BY_BLOCKS;
}

static void release(void *state)
{
    plan *p = state;
    if (p->instead && p->instead->release)
        p->instead->release(p->instead_state);
    cbm_dnn_free(p->dnn);
    free(p);
}

/* In f32: small products, and those of processors that do not know bf16. */
static cbm_status prepare_instead(plan *p, cbm_prepare *pr)
{
    p->instead = cbm_cpu_widened(pr->launch);
    const cbm_status status = p->instead ? p->instead->prepare(pr) : CBM_ERROR_UNSUPPORTED;
    if (status != CBM_OK) {
        free(p);
        return status;
    }
    p->instead_state = pr->state;
    pr->state = p;
    return CBM_OK;
}

static cbm_status prepare(cbm_prepare *pr)
{
    plan *p = malloc(sizeof *p);
    if (!p)
        return CBM_ERROR_MEMORY;
    make_plan(p, pr->launch, pr->constant >> 1 & 1, pr->threads);
    if (p->half && !p->dnn && pr->launch->out[0].count > 0 && p->k > 0)
        return prepare_instead(p, pr);
    pr->workspace = p->a_bytes + p->b_bytes + (p->dnn ? cbm_dnn_workspace(p->dnn) : 0);
    if (p->how == BY_VECTOR) /* a packed vector */
        pr->workspace += packed_bytes(p, p->k, 1);
    pr->state = p;
    pr->sure = !p->dnn || cbm_dnn_sure(p->dnn);
    return CBM_OK;
}

/* ---- matrix times vector: one result for each of `rows` rows ---- */

typedef struct vector_job {
    const cbm_simd *simd;
    const float *matrix, *vector;
    int64_t row, column, length;
    float *y;
} vector_job;

static void dot_rows(void *user, int64_t begin, int64_t end)
{
    const vector_job *j = user;
    for (int64_t i = begin; i < end; i++)
        j->y[i] = (float)j->simd->dot(j->vector, j->matrix + i * j->row, j->length, 0);
}

/* Rows lie next to each other (stride 1): adds up columns, RUN results at a time. */
static void add_columns(void *user, int64_t begin, int64_t end)
{
    const vector_job *j = user;
    for (int64_t i = begin; i < end; i += RUN) {
        const int64_t n = end - i < RUN ? end - i : RUN;
        memset(j->y + i, 0, (size_t)n * sizeof *j->y);
        for (int64_t k = 0; k < j->length; k++)
            j->simd->multiply_add(j->y + i, j->matrix + i + k * j->column, j->vector[k], n);
    }
}

static void run_vector(const plan *p, const cbm_launch *l, const float *a, const float *b, float *c, float *packed)
{
    const bool row_vector = p->m == 1; /* a is the vector, b the matrix */
    const int64_t stride = row_vector ? p->a_column : p->b_row;
    vector_job j = { cbm_simd_get(),
                     row_vector ? b : a,
                     row_vector ? a : b,
                     row_vector ? p->b_column : p->a_row,
                     row_vector ? p->b_row : p->a_column,
                     p->k,
                     c };
    if (stride != 1) {
        for (int64_t i = 0; i < p->k; i++)
            packed[i] = j.vector[i * stride];
        j.vector = packed;
    }
    const int64_t results = row_vector ? p->n : p->m;
    if (j.column == 1)
        cbm_parallel_for(results, cbm_grain(p->k), l->threads, dot_rows, &j);
    else
        cbm_parallel_for(results, cbm_grain(p->k), l->threads, add_columns, &j);
}

/* ---- blocks ---- */

typedef struct block_job {
    const cbm_simd *simd;
    cbm_small_matmul p;
} block_job;

static void block_rows(void *user, int64_t begin, int64_t end)
{
    const block_job *j = user;
    cbm_small_matmul p = j->p;
    p.a += begin * p.a_row;
    p.c += begin * p.c_row;
    p.m = end - begin;
    j->simd->small_matmul(&p);
}

static cbm_small_matmul block_of(const plan *p, const float *a, const float *b, float *c)
{
    return (cbm_small_matmul){ .m = p->m,
                               .n = p->n,
                               .k = p->k,
                               .a = a,
                               .b = b,
                               .c = c,
                               .a_row = p->a_row,
                               .a_column = p->a_column,
                               .b_row = p->b_row,
                               .b_column = p->b_column,
                               .c_row = p->n };
}

static void run_blocks(const plan *p, const cbm_launch *l, const float *a, const float *b, float *c)
{
    block_job j = { cbm_simd_get(), block_of(p, a, b, c) };
    if (p->m * p->n * p->k <= SMALL) {
        j.simd->small_matmul(&j.p);
        return;
    }
    const int64_t row = p->n * p->k / 8;
    cbm_parallel_for(p->m, p->m * p->n * p->k <= 4 * SMALL ? p->m : cbm_grain(row), l->threads, block_rows, &j);
}

/* ---- batches ---- */

static void offsets_of(const plan *p, int64_t batch, int64_t *a, int64_t *b, int64_t *c)
{
    *a = *b = *c = 0;
    for (int64_t d = p->batch_rank - 1; d >= 0; d--) {
        const int64_t at = batch % p->batch[d];
        batch /= p->batch[d];
        *a += at * p->a_batch[d];
        *b += at * p->b_batch[d];
        *c += at * p->c_batch[d];
    }
}

static void pack(const plan *p, char *to, const char *from, const int64_t stride[2], int64_t rows, int64_t columns)
{
    const size_t size = element(p);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            memcpy(to + (size_t)(i * columns + j) * size, from + (i * stride[0] + j * stride[1]) * (int64_t)size, size);
}

typedef struct batch_job {
    const plan *p;
    const cbm_launch *l;
} batch_job;

/* Many small products: threads share them. */
static void small_batches(void *user, int64_t begin, int64_t end)
{
    const batch_job *j = user;
    const cbm_simd *simd = cbm_simd_get();
    for (int64_t i = begin; i < end; i++) {
        int64_t a, b, c;
        offsets_of(j->p, i, &a, &b, &c);
        const cbm_small_matmul s = block_of(j->p, (const float *)j->l->in[0].data + a,
                                            (const float *)j->l->in[1].data + b, (float *)j->l->out[0].data + c);
        simd->small_matmul(&s);
    }
}

static cbm_status one_product(const plan *p, const cbm_launch *l, int64_t batch)
{
    int64_t at_a, at_b, at_c;
    offsets_of(p, batch, &at_a, &at_b, &at_c);
    const int64_t size = (int64_t)element(p);
    const char *first = (const char *)l->in[0].data + at_a * size, *second = (const char *)l->in[1].data + at_b * size;
    char *result = (char *)l->out[0].data + at_c * size, *work = l->workspace;
    if (p->copy_a) {
        pack(p, work, first, p->a_from, p->m, p->k);
        first = work;
    }
    if (p->copy_b) {
        pack(p, work + p->a_bytes, second, p->b_from, p->k, p->n);
        second = work + p->a_bytes;
    }
    if (work)
        work += p->a_bytes + p->b_bytes;
    const float *a = (const float *)(const void *)first, *b = (const float *)(const void *)second;
    float *c = (float *)(void *)result;
    if (p->how == BY_VECTOR) {
        run_vector(p, l, a, b, c, (float *)(void *)work);
        return CBM_OK;
    }
    if (p->how == BY_BLOCKS) {
        run_blocks(p, l, a, b, c);
        return CBM_OK;
    }
    void *const pointers[] = { (void *)(uintptr_t)first, (void *)(uintptr_t)second, result,
                               l->bias ? l->bias->data : NULL, l->added ? l->added->data : NULL };
    return cbm_dnn_run(p->dnn, pointers, work) ? CBM_OK : CBM_ERROR_MEMORY;
}

static cbm_status multiply(const plan *p, const cbm_launch *l)
{
    if (p->k == 0) {
        memset(l->out[0].data, 0, (size_t)l->out[0].count * element(p));
        return CBM_OK;
    }
    if (p->how == BY_BLOCKS && !p->copy_a && !p->copy_b && p->batches > 1) {
        batch_job j = { p, l };
        cbm_parallel_for(p->batches, cbm_grain(p->m * p->n * p->k / 8), l->threads, small_batches, &j);
        return CBM_OK;
    }
    cbm_status status = CBM_OK;
    for (int64_t i = 0; i < p->batches && status == CBM_OK; i++)
        status = one_product(p, l, i);
    return status;
}

static cbm_status matmul(const cbm_launch *l)
{
    const plan *p = l->state;
    if (p->instead) {
        cbm_launch in_f32 = *l;
        in_f32.state = p->instead_state;
        return p->instead->launch(&in_f32);
    }
    const cbm_buffer *y = &l->out[0];
    const cbm_status status = y->count > 0 ? multiply(p, l) : CBM_OK;
    if (status == CBM_OK && y->count > 0)
        cbm_post_run(&p->after, y->data, y->count, l->bias ? l->bias->data : NULL, l->bias ? l->bias->count : 1,
                     l->added ? l->added->data : NULL, l->threads);
    return status;
}

static const char *describe(const void *state)
{
    const plan *p = state;
    if (p->instead)
        return p->instead->describe(p->instead_state);
    return p->dnn ? cbm_dnn_describe(p->dnn) : p->how == BY_VECTOR ? "matrix times vector" : "blocks in registers";
}

static bool supports(const cbm_launch *l)
{
    return l->in[0].dtype == l->in[1].dtype && (l->in[0].dtype == CBM_F32 || l->in[0].dtype == CBM_BF16);
}

const cbm_kernel cbm_cpu_matmul[] = {
    { .op = "matmul",
      .flags = CBM_KERNEL_STRIDED | CBM_KERNEL_POST | CBM_KERNEL_ADDS | CBM_KERNEL_BIAS,
      .supports = supports,
      .prepare = prepare,
      .launch = matmul,
      .release = release,
      .describe = describe },
    { .op = NULL },
};
