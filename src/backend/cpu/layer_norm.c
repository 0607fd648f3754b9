/* layer_norm.c: layer norm and root mean square norm of f32 or bf16 rows, and their gradients, in one pass over the rows,
   each of which is in the nearest caches when it is read again. Rows are cut into parts by their shape only, so that the
   weights' gradients repeat bit for bit whatever the threads. Rests on simd/layer_norm.c. */
#include "backend/cpu/cpu.h"

#include <string.h>

enum {
    PARTS_MOST = 32,
    PART = 32768,        /* elements of a part at least */
    SUMS_MOST = 1 << 21, /* elements of all parts' gradients of weights */
    ROWS_OF_SUM = 64     /* rows added up in f32 at most before joining */
};

/* Lists of gradients have two numbers a weight: of the weight, and behind all those of the bias. */
typedef struct job {
    const cbm_simd *simd;
    cbm_row_norm row;
    int64_t rows, parts;
    bool half, keep; /* x, g, y and dx are bf16; gradients of weights are wanted */
    const void *x, *g;
    void *y, *dx;
    const float *mean_in, *rstd_in;
    float *mean, *rstd, *dweight, *dbias;
    double *totals; /* of each part */
    float *sums;    /* of each part: of the last rows */
    float *rooms;   /* of each part: two rows in f32, for bf16 */
} job;

static job job_of(const cbm_launch *l, bool backward)
{
    const cbm_layer_norm_attributes *a = l->attributes;
    const cbm_buffer *x = &l->in[0];
    job j = { .simd = cbm_simd_get(), .rows = 1, .half = x->dtype == CBM_BF16 };
    j.row.length = 1;
    j.row.eps = a->eps;
    for (int64_t d = 0; d < x->rank; d++)
        *(d < x->rank - a->axes ? &j.rows : &j.row.length) *= x->shape[d];
    const int64_t most = SUMS_MOST / j.row.length, parts = x->count / PART;
    j.parts = parts > PARTS_MOST ? PARTS_MOST : parts < 1 ? 1 : parts;
    j.parts = backward && j.parts > most ? most : j.parts;
    j.parts = j.parts > j.rows ? j.rows : j.parts;
    j.parts = j.parts < 1 ? 1 : j.parts;
    const int64_t numbers = j.parts * 2 * j.row.length;
    j.totals = l->workspace;
    j.sums = j.totals && backward ? (float *)(j.totals + numbers) : (float *)l->workspace;
    j.rooms = j.sums && backward ? j.sums + numbers : j.sums;
    return j;
}

static cbm_status prepare(cbm_prepare *p, bool backward)
{
    const job j = job_of(p->launch, backward);
    const size_t numbers = (size_t)(j.parts * 2 * j.row.length);
    p->workspace = (backward ? numbers * (sizeof(double) + sizeof(float)) : 0) + (j.half ? numbers * sizeof(float) : 0);
    return CBM_OK;
}
static cbm_status prepare_forward(cbm_prepare *p)
{
    return prepare(p, false);
}
static cbm_status prepare_backward(cbm_prepare *p)
{
    return prepare(p, true);
}

/* A row's elements as f32: where they are, or widened into room; and where its results go. */
static const float *floats(const job *j, const void *data, int64_t row, float *room)
{
    if (!j->half)
        return (const float *)data + row * j->row.length;
    j->simd->widen_bf16(room, (const uint16_t *)data + row * j->row.length, j->row.length);
    return room;
}
static float *results(const job *j, void *data, int64_t row, float *room)
{
    return !data ? NULL : j->half ? room : (float *)data + row * j->row.length;
}
static void keep_results(const job *j, void *data, int64_t row, const float *room)
{
    if (j->half && data)
        j->simd->narrow_bf16((uint16_t *)data + row * j->row.length, room, j->row.length);
}

static float *room_of(const job *j, int64_t part)
{
    return j->half ? j->rooms + part * 2 * j->row.length : NULL;
}

static void forward_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t part = begin; part < end; part++) {
        float *room = room_of(j, part);
        for (int64_t row = j->rows * part / j->parts; row < j->rows * (part + 1) / j->parts; row++) {
            const float *x = floats(j, j->x, row, room);
            j->simd->row_norm(results(j, j->y, row, room), x, &j->row, j->mean ? j->mean + row : NULL,
                              j->rstd ? j->rstd + row : NULL);
            keep_results(j, j->y, row, room);
        }
    }
}

/* The part's sums go to its totals, and begin anew. */
static void take_sums(const job *j, int64_t part)
{
    const int64_t n = 2 * j->row.length;
    double *total = j->totals + part * n;
    float *sum = j->sums + part * n;
    for (int64_t i = 0; i < n; i++)
        total[i] += (double)sum[i];
    memset(sum, 0, (size_t)n * sizeof *sum);
}

static void backward_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->row.length;
    for (int64_t part = begin; part < end; part++) {
        float *room = room_of(j, part);
        cbm_row_norm p = j->row;
        const int64_t first = j->rows * part / j->parts, last = j->rows * (part + 1) / j->parts;
        if (j->keep) {
            p.dweight = j->sums + part * 2 * n;
            p.dbias = p.dweight + n;
            memset(p.dweight, 0, (size_t)n * 2 * sizeof *p.dweight);
            memset(j->totals + part * 2 * n, 0, (size_t)n * 2 * sizeof *j->totals);
        }
        for (int64_t row = first; row < last; row++) {
            const float *x = floats(j, j->x, row, room), *g = floats(j, j->g, row, room ? room + n : NULL);
            j->simd->row_norm_backward(results(j, j->dx, row, room), x, g, &p, j->mean_in ? j->mean_in[row] : 0,
                                       j->rstd_in[row]);
            keep_results(j, j->dx, row, room);
            if (j->keep && ((row - first) % ROWS_OF_SUM == ROWS_OF_SUM - 1 || row == last - 1))
                take_sums(j, part);
        }
    }
}

static void join_parts(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t n = j->row.length;
    for (int64_t i = begin; i < end; i++) {
        double dweight = 0, dbias = 0;
        for (int64_t part = 0; part < j->parts; part++) {
            dweight += j->totals[part * 2 * n + i];
            dbias += j->totals[part * 2 * n + n + i];
        }
        if (j->dweight)
            j->dweight[i] = (float)dweight;
        if (j->dbias)
            j->dbias[i] = (float)dbias;
    }
}

static cbm_status forward(job *j, const cbm_launch *l)
{
    j->x = l->in[0].data;
    j->row.weight = l->in[1].data;
    j->y = l->out[0].data;
    if (l->in[0].count > 0)
        cbm_parallel_for(j->parts, cbm_grain(l->in[0].count / j->parts), l->threads, forward_parts, j);
    return CBM_OK;
}

static cbm_status backward(job *j, const cbm_launch *l)
{
    j->x = l->in[0].data;
    j->row.weight = l->in[1].data;
    j->dx = l->out[0].data;
    j->dweight = l->out[1].data;
    j->keep = j->dweight || j->dbias;
    if (j->rows == 0)
        memset(j->totals, 0, (size_t)(j->parts * 2 * j->row.length) * sizeof *j->totals);
    else
        cbm_parallel_for(j->parts, cbm_grain(l->in[0].count / j->parts), l->threads, backward_parts, j);
    if (j->keep)
        cbm_parallel_for(j->row.length, cbm_grain(2 * j->parts), l->threads, join_parts, j);
    return CBM_OK;
}

static cbm_status layer_norm(const cbm_launch *l) /* x, weight, bias -> y, mean, rstd */
{
    job j = job_of(l, false);
    j.row.bias = l->in[2].data;
    j.mean = l->out[1].data;
    j.rstd = l->out[2].data;
    return forward(&j, l);
}

static cbm_status rms_norm(const cbm_launch *l) /* x, weight -> y, rstd */
{
    job j = job_of(l, false);
    j.rstd = l->out[1].data;
    return forward(&j, l);
}

static cbm_status layer_norm_backward(const cbm_launch *l) /* x, weight, mean, rstd, g -> dx, dweight, dbias */
{
    job j = job_of(l, true);
    j.row.bias = l->in[1].data; /* not read: it only says that there is a mean */
    j.mean_in = l->in[2].data;
    j.rstd_in = l->in[3].data;
    j.g = l->in[4].data;
    j.dbias = l->out[2].data;
    return backward(&j, l);
}

static cbm_status rms_norm_backward(const cbm_launch *l) /* x, weight, rstd, g -> dx, dweight */
{
    job j = job_of(l, true);
    j.rstd_in = l->in[2].data;
    j.g = l->in[3].data;
    return backward(&j, l);
}

/* x and the gradient, the last operand of the backward kernels, may be bf16. */
static bool supports(const cbm_launch *l)
{
    const cbm_dtype dtype = l->in[0].dtype;
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].dtype != (i == 0 || (i >= 3 && i == l->n_in - 1) ? dtype : CBM_F32))
            return false;
    return dtype == CBM_F32 || dtype == CBM_BF16;
}

#define NORM(name_, prepare_)                                                                                          \
    {                                                                                                                  \
        .op = #name_, .supports = supports, .prepare = (prepare_), .launch = name_                                     \
    }
const cbm_kernel cbm_cpu_layer_norm[] = {
    NORM(layer_norm, prepare_forward),
    NORM(layer_norm_backward, prepare_backward),
    NORM(rms_norm, prepare_forward),
    NORM(rms_norm_backward, prepare_backward),
    { .op = NULL },
};
