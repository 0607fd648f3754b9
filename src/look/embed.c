/* embed.c: many dimensions drawn in two: principal components and t-SNE. Rests on the operations' decompositions. */
#include "nn/parts.h"
#include <cambium/look.h>
#include <math.h>
#include <string.h>

#define MOST_ROWS 20000

/* ---- principal components ---- */

static bool is_table(cbm_context *cx, cbm_tensor *x, const char *who)
{
    cbm_dtype dtype = cbm_tensor_dtype(x);
    if (cbm_context_status(cx) != CBM_OK)
        return false;
    if (cbm_tensor_rank(x) != 2 || cbm_tensor_count(x) < 1)
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] needs (N, D), not empty", who);
    else if (dtype != CBM_F32 && dtype != CBM_F64)
        cbm_fail(cx, CBM_ERROR_DTYPE, "[%s] needs f32 or f64, not %s", who, cbm_dtype_name(dtype));
    return cbm_context_status(cx) == CBM_OK;
}

cbm_tensor *cbm_pca(cbm_tensor *x, int64_t k)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!is_table(cx, x, "pca"))
        return &cx->failed;
    int64_t rows = cbm_tensor_size(x, 0), columns = cbm_tensor_size(x, 1);
    if (k < 1 || k > rows || k > columns) {
        cbm_fail(cx, CBM_ERROR_INVALID,
                 "[pca] %lld directions of (%lld, %lld); 1 to the lesser of the two are possible", (long long)k,
                 (long long)rows, (long long)columns);
        return &cx->failed;
    }
    cbm_scope *scope = cbm_scope_begin_no_grad(cx);
    cbm_reduce_options over_rows = { .struct_size = sizeof over_rows, .axes = CBM_SHAPE(0), .keepdim = 1 };
    cbm_tensor *s = NULL, *vh = NULL, *centred = cbm_sub(x, cbm_mean_with(x, &over_rows));
    cbm_svd(centred, &s, &vh);
    cbm_tensor *directions = cbm_slice(vh, 0, 0, k, 1);
    cbm_reduce_options within = { .struct_size = sizeof within, .axes = CBM_SHAPE(1), .keepdim = 1 };
    cbm_tensor *high = cbm_max_with(directions, &within), *low = cbm_min_with(directions, &within);
    cbm_tensor *sign = cbm_where(cbm_less(high, cbm_neg(low)), cbm_scalar(cx, cbm_tensor_dtype(x), -1),
                                 cbm_scalar(cx, cbm_tensor_dtype(x), 1));
    return cbm_scope_end_with(scope, cbm_matmul(centred, cbm_transpose(cbm_mul(directions, sign), 0, 1)));
}

/* ---- t-SNE ---- */

void cbm_tsne_options_init(cbm_tsne_options *o)
{
    *o = (cbm_tsne_options){ .struct_size = sizeof *o, CBM_TSNE_DEFAULTS };
}

/* Everything of one run; arrays of N N, N 2. */
typedef struct tsne {
    int64_t n;
    double *p; /* how likely row j is row i's neighbour; symmetric later */
    double *y, *velocity, *gain, *gradient;
} tsne;

/* Turns row i's squared distances into probabilities of that perplexity: a Gaussian whose width is found by halving. */
static void neighbours(double *row, int64_t n, int64_t i, double perplexity)
{
    double beta = 1, low = 0, high = INFINITY, least = INFINITY, wanted = log(perplexity);
    for (int64_t j = 0; j < n; ++j)
        least = j != i && row[j] < least ? row[j] : least;
    for (int step = 0; step < 64; ++step) {
        double sum = 0, weighted = 0;
        for (int64_t j = 0; j < n; ++j) {
            double w = j != i ? exp(-beta * (row[j] - least)) : 0;
            sum += w;
            weighted += w * (row[j] - least);
        }
        double entropy = log(sum) + beta * weighted / sum;
        if (fabs(entropy - wanted) < 1e-5)
            break;
        if (entropy > wanted)
            low = beta;
        else
            high = beta;
        beta = isfinite(high) ? (low + high) / 2 : 2 * beta;
    }
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
        row[j] = j != i ? exp(-beta * (row[j] - least)) : 0;
        sum += row[j];
    }
    for (int64_t j = 0; j < n; ++j)
        row[j] /= sum;
}

static void find_neighbours(tsne *t, const double *x, int64_t columns, double perplexity)
{
    int64_t n = t->n;
    for (int64_t i = 0; i < n; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            double sum = 0;
            for (int64_t k = 0; k < columns; ++k)
                sum += (x[i * columns + k] - x[j * columns + k]) * (x[i * columns + k] - x[j * columns + k]);
            t->p[i * n + j] = sum;
        }
        neighbours(t->p + i * n, n, i, perplexity);
    }
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < i; ++j)
            t->p[i * n + j] = t->p[j * n + i] = fmax((t->p[i * n + j] + t->p[j * n + i]) / (2 * (double)n), 1e-12);
}

/* 4 sum over j of (exaggeration p - q) (y_i - y_j) / (1 + |y_i - y_j|^2), q = that fraction over the sum of all. */
static void find_gradient(const tsne *t, double exaggeration)
{
    double total = 0;
    int64_t n = t->n;
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < i; ++j) {
            double u = t->y[2 * i] - t->y[2 * j], v = t->y[2 * i + 1] - t->y[2 * j + 1];
            total += 2 / (1 + u * u + v * v);
        }
    memset(t->gradient, 0, (size_t)(2 * n) * sizeof *t->gradient);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < i; ++j) {
            double u = t->y[2 * i] - t->y[2 * j], v = t->y[2 * i + 1] - t->y[2 * j + 1], near = 1 / (1 + u * u + v * v);
            double force = 4 * (exaggeration * t->p[i * n + j] - near / total) * near;
            t->gradient[2 * i] += force * u;
            t->gradient[2 * i + 1] += force * v;
            t->gradient[2 * j] -= force * u;
            t->gradient[2 * j + 1] -= force * v;
        }
}

/* Descent with momentum and a gain for each coordinate (Jacobs 1988), as in the paper. */
static void descend(const tsne *t, int64_t steps, double rate)
{
    int64_t early = steps / 4;
    for (int64_t step = 0; step < steps; ++step) {
        find_gradient(t, step < early ? 12 : 1);
        double momentum = step < early ? 0.5 : 0.8;
        for (int64_t i = 0; i < 2 * t->n; ++i) {
            bool along = (t->gradient[i] > 0) == (t->velocity[i] > 0);
            t->gain[i] = fmax(along ? 0.8 * t->gain[i] : t->gain[i] + 0.2, 0.01);
            t->velocity[i] = momentum * t->velocity[i] - rate * t->gain[i] * t->gradient[i];
            t->y[i] += t->velocity[i];
        }
    }
}

/* y begins as the first two principal components, with a deviation of 1e-4 along the first. */
static bool begin(const tsne *t, cbm_tensor *x)
{
    int64_t k = cbm_tensor_size(x, 1) > 1 ? 2 : 1;
    const double *at = cbm_tensor_data(cbm_pca(x, k));
    double squares = 0;
    for (int64_t i = 0; at && i < t->n; ++i)
        squares += at[k * i] * at[k * i];
    double scale = squares > 0 ? 1e-4 / sqrt(squares / (double)t->n) : 1;
    for (int64_t i = 0; at && i < t->n; ++i) {
        t->y[2 * i] = scale * at[k * i];
        t->y[2 * i + 1] = k > 1 ? scale * at[k * i + 1] : 1e-6 * (double)(i % 7);
        t->gain[2 * i] = t->gain[2 * i + 1] = 1;
    }
    return at != NULL;
}

cbm_tensor *cbm_tsne_with(cbm_tensor *x, const cbm_tsne_options *o)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!is_table(cx, x, "tsne"))
        return &cx->failed;
    int64_t n = cbm_tensor_size(x, 0), columns = cbm_tensor_size(x, 1);
    if (!o || o->struct_size != sizeof *o)
        cbm_fail(cx, CBM_ERROR_INVALID, "[tsne] the options are not this library's. HINT: cbm_tsne_options_init");
    else if (n < 2 || n > MOST_ROWS)
        cbm_fail(cx, CBM_ERROR_SHAPE, "[tsne] %lld rows; 2 to %d are possible", (long long)n, MOST_ROWS);
    else if (!(o->perplexity >= 1 && o->perplexity < (double)n))
        cbm_fail(cx, CBM_ERROR_INVALID, "[tsne] perplexity is %g; 1 to less than the rows is possible", o->perplexity);
    else if (o->steps < 1 || !(o->rate >= 0))
        cbm_fail(cx, CBM_ERROR_INVALID, "[tsne] steps must be at least 1 and rate not negative");
    if (cbm_context_status(cx) != CBM_OK)
        return &cx->failed;
    cbm_scope *scope = cbm_scope_begin_no_grad(cx);
    cbm_tensor *wide = cbm_cast(x, CBM_F64), *result = &cx->failed;
    size_t numbers = (size_t)(n * n + 8 * n), bytes = numbers * sizeof(double);
    double *work = cbm_heap_take_zero(cbm_context_heap(cx), bytes);
    if (!work)
        cbm_fail_memory(cx, "t-SNE");
    tsne t = { .n = n, .p = work };
    const double *rows = work ? cbm_tensor_data(wide) : NULL;
    if (rows) {
        t.y = work + n * n;
        t.velocity = t.y + 2 * n;
        t.gain = t.velocity + 2 * n;
        t.gradient = t.gain + 2 * n;
    }
    if (rows && begin(&t, wide)) {
        find_neighbours(&t, rows, columns, o->perplexity);
        descend(&t, o->steps, o->rate > 0 ? o->rate : fmax((double)n / 48, 50));
        result = cbm_cast(cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(n, 2), t.y), CBM_F32);
    }
    if (work)
        cbm_heap_give(cbm_context_heap(cx), work, bytes);
    return cbm_scope_end_with(scope, result);
}
