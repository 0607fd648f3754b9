/* init.c: filling variables with initial values: uniform and normal ones are recorded; those that need more than an
   element by itself are computed on the host, in f64. */
#include "nn/layer.h"

#include <math.h>
#include <string.h>

static void refill(cbm_tensor *variable, cbm_tensor *(*make)(cbm_tensor *, double), double number)
{
    if (!variable || variable->failed || !cbm_usable(variable->cx, variable))
        return;
    cbm_scope *scope = cbm_layer_scope(variable->cx);
    cbm_assign(variable, make(variable, number));
    cbm_scope_end(scope);
}

static cbm_tensor *make_uniform(cbm_tensor *v, double bound)
{
    return cbm_uniform(v->cx, cbm_tensor_dtype(v), cbm_tensor_shape(v), -bound, bound);
}

static cbm_tensor *make_normal(cbm_tensor *v, double deviation)
{
    return cbm_normal(v->cx, cbm_tensor_dtype(v), cbm_tensor_shape(v), 0, deviation);
}

static cbm_tensor *make_constant(cbm_tensor *v, double value)
{
    return cbm_full(v->cx, cbm_tensor_dtype(v), cbm_tensor_shape(v), value);
}

void cbm_init_uniform(cbm_tensor *variable, double bound)
{
    refill(variable, make_uniform, bound);
}

void cbm_init_normal(cbm_tensor *variable, double deviation)
{
    refill(variable, make_normal, deviation);
}

void cbm_init_constant(cbm_tensor *variable, double value)
{
    refill(variable, make_constant, value);
}

/* ---- by fan ---- */

static bool usable(cbm_tensor *variable)
{
    return variable && !variable->failed && cbm_usable(variable->cx, variable);
}

/* The extents as (rows, columns of a matrix, elements of a kernel). */
typedef struct fans {
    double in, out;
} fans;

static bool fans_of(cbm_tensor *variable, const char *who, fans *out)
{
    if (!usable(variable))
        return false;
    const cbm_shape shape = cbm_tensor_shape(variable);
    double kernel = 1;
    char text[160];
    if (shape.v[0] < 2) {
        cbm_fail(variable->cx, CBM_ERROR_SHAPE, "[%s] needs two dimensions or more, not %s", who,
                 cbm_shape_text(&shape, text, sizeof text));
        return false;
    }
    for (int64_t i = 3; i <= shape.v[0]; i++)
        kernel *= (double)shape.v[i];
    *out = (fans){ (double)shape.v[2] * kernel, (double)shape.v[1] * kernel };
    return true;
}

static double ratio(double a, double b)
{
    return b > 0 ? a / b : 0;
}

double cbm_init_gain(const char *nonlinearity, double slope)
{
    const struct {
        const char *name;
        double gain;
    } gains[] = {
        { "linear", 1 },     { "conv", 1 },       { "sigmoid", 1 },
        { "tanh", 5.0 / 3 }, { "relu", sqrt(2) }, { "leaky_relu", sqrt(2 / (1 + slope * slope)) },
        { "selu", 0.75 },
    };
    for (size_t i = 0; nonlinearity && i < sizeof gains / sizeof *gains; i++)
        if (strcmp(gains[i].name, nonlinearity) == 0)
            return gains[i].gain;
    return NAN;
}

void cbm_init_kaiming_uniform(cbm_tensor *variable, double gain, cbm_fan fan)
{
    fans f;
    if (fans_of(variable, "kaiming", &f))
        cbm_init_uniform(variable, gain * sqrt(ratio(3, fan == CBM_FAN_OUT ? f.out : f.in)));
}

void cbm_init_kaiming_normal(cbm_tensor *variable, double gain, cbm_fan fan)
{
    fans f;
    if (fans_of(variable, "kaiming", &f))
        cbm_init_normal(variable, gain * sqrt(ratio(1, fan == CBM_FAN_OUT ? f.out : f.in)));
}

void cbm_init_xavier_uniform(cbm_tensor *variable, double gain)
{
    fans f;
    if (fans_of(variable, "xavier", &f))
        cbm_init_uniform(variable, gain * sqrt(ratio(6, f.in + f.out)));
}

void cbm_init_xavier_normal(cbm_tensor *variable, double gain)
{
    fans f;
    if (fans_of(variable, "xavier", &f))
        cbm_init_normal(variable, gain * sqrt(ratio(2, f.in + f.out)));
}

/* ---- on the host ---- */

/* A variable being filled: a matrix of rows x columns, the columns being all dimensions but the first. */
typedef struct host {
    cbm_tensor *variable;
    int64_t rows, columns;
    double *x;
    size_t bytes;
    uint64_t seed, position; /* of its random numbers: element i has number i */
} host;

static bool host_open(host *h, cbm_tensor *variable, const char *who, int64_t least, int64_t most)
{
    if (!usable(variable))
        return false;
    cbm_context *cx = variable->cx;
    const cbm_shape shape = cbm_tensor_shape(variable);
    const int64_t count = cbm_tensor_count(variable);
    char text[160];
    if (shape.v[0] < least || shape.v[0] > most) {
        if (least == most)
            cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] needs %lld dimensions, not %s", who, (long long)least,
                     cbm_shape_text(&shape, text, sizeof text));
        else
            cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] needs %lld to %lld dimensions, not %s", who, (long long)least,
                     (long long)most, cbm_shape_text(&shape, text, sizeof text));
        return false;
    }
    *h = (host){ .variable = variable,
                 .rows = shape.v[0] ? shape.v[1] : 1,
                 .bytes = (size_t)count * sizeof(double) + 1 };
    h->columns = h->rows ? count / h->rows : 0;
    h->x = cbm_heap_take_zero(cbm_context_heap(cx), h->bytes);
    if (!h->x) {
        cbm_fail_memory(cx, "initial values");
        return false;
    }
    cbm_random_draw(cx, count, &h->seed, &h->position);
    return true;
}

static void host_close(host *h)
{
    cbm_context *cx = h->variable->cx;
    cbm_scope *scope = cbm_layer_scope(cx);
    cbm_assign(h->variable, cbm_cast(cbm_tensor_from(cx, CBM_F64, cbm_tensor_shape(h->variable), h->x),
                                     cbm_tensor_dtype(h->variable)));
    cbm_scope_end(scope);
    cbm_heap_give(cbm_context_heap(cx), h->x, h->bytes);
}

static double normal_at(const host *h, int64_t i)
{
    return cbm_philox_normal(h->seed, h->position, (uint64_t)i);
}

/* Uniform in (0, 1), with 53 bits. */
static double uniform_at(const host *h, int64_t i)
{
    return ((double)cbm_philox_below(h->seed, h->position, (uint64_t)i, (uint64_t)1 << 53) + 0.5) * 0x1p-53;
}

/* P(N(0, 1) <= x), and its inverse: Newton's method from Winitzki's approximation. */
static double normal_below(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752);
}

static double normal_quantile(double p)
{
    const double y = 2 * p - 1, a = 0.147, l = log(4 * p * (1 - p)), t = 2 / (3.14159265358979324 * a) + l / 2;
    double x = copysign(sqrt(sqrt(t * t - l / a) - t), y) * 1.41421356237309505;
    for (int i = 0; i < 3; i++)
        x -= (normal_below(x) - p) / (0.398942280401432678 * exp(-x * x / 2));
    return x;
}

void cbm_init_truncated_normal(cbm_tensor *variable, double mean, double deviation, double low, double high)
{
    const double below = normal_below((low - mean) / deviation), above = normal_below((high - mean) / deviation);
    host h;
    if (!usable(variable))
        return;
    if (!(deviation > 0) || !(low < high) || !(above - below > 1e-15)) {
        cbm_fail(variable->cx, CBM_ERROR_INVALID,
                 "[truncated_normal] needs a deviation above 0, and low below high within 8 deviations of the mean");
        return;
    }
    if (!host_open(&h, variable, "truncated_normal", 0, CBM_MAX_DIMS))
        return;
    for (int64_t i = 0; i < h.rows * h.columns; i++) {
        const double x = mean + deviation * normal_quantile(below + (above - below) * uniform_at(&h, i));
        h.x[i] = x < low ? low : x > high ? high : x;
    }
    host_close(&h);
}

/* Makes count vectors of length orthonormal (modified Gram and Schmidt, twice); element k of vector v is at
   v * vector + k * step. */
static void orthonormalise(double *x, int64_t count, int64_t vector, int64_t length, int64_t step)
{
    for (int64_t v = 0; v < count; v++) {
        double *at = x + v * vector, norm = 0;
        for (int round = 0; round < 2; round++)
            for (int64_t w = 0; w < v; w++) {
                const double *other = x + w * vector;
                double dot = 0;
                for (int64_t k = 0; k < length; k++)
                    dot += at[k * step] * other[k * step];
                for (int64_t k = 0; k < length; k++)
                    at[k * step] -= dot * other[k * step];
            }
        for (int64_t k = 0; k < length; k++)
            norm += at[k * step] * at[k * step];
        for (int64_t k = 0; k < length; k++)
            at[k * step] /= sqrt(norm);
    }
}

void cbm_init_orthogonal(cbm_tensor *variable, double gain)
{
    host h;
    if (!host_open(&h, variable, "orthogonal", 2, CBM_MAX_DIMS))
        return;
    for (int64_t i = 0; i < h.rows * h.columns; i++)
        h.x[i] = normal_at(&h, i);
    if (h.rows <= h.columns)
        orthonormalise(h.x, h.rows, h.columns, h.columns, 1);
    else
        orthonormalise(h.x, h.columns, 1, h.rows, h.columns);
    for (int64_t i = 0; i < h.rows * h.columns; i++)
        h.x[i] *= gain;
    host_close(&h);
}

/* Keeps the zeros' random numbers apart from the values'. */
#define STREAM 0x535041525345u

void cbm_init_sparse(cbm_tensor *variable, double sparsity, double deviation)
{
    host h;
    if (usable(variable) && !(sparsity >= 0 && sparsity <= 1)) {
        cbm_fail(variable->cx, CBM_ERROR_INVALID, "[sparse] the fraction of zeros must be 0 to 1");
        return;
    }
    if (!host_open(&h, variable, "sparse", 2, 2))
        return;
    const int64_t zeros = (int64_t)ceil(sparsity * (double)h.rows);
    cbm_heap *heap = cbm_context_heap(variable->cx);
    int64_t *order = cbm_heap_take(heap, (size_t)h.rows * sizeof *order + 1);
    for (int64_t i = 0; i < h.rows * h.columns; i++)
        h.x[i] = deviation * normal_at(&h, i);
    for (int64_t c = 0; order && c < h.columns; c++) {
        cbm_philox_permutation(h.seed ^ STREAM, h.position + (uint64_t)c, order, h.rows);
        for (int64_t i = 0; i < zeros; i++)
            h.x[order[i] * h.columns + c] = 0;
    }
    if (!order)
        cbm_fail_memory(variable->cx, "initial values");
    cbm_heap_give(heap, order, (size_t)h.rows * sizeof *order + 1);
    host_close(&h);
}

void cbm_init_identity(cbm_tensor *variable)
{
    host h;
    if (!host_open(&h, variable, "identity", 2, 2))
        return;
    for (int64_t i = 0; i < h.rows && i < h.columns; i++)
        h.x[i * h.columns + i] = 1;
    host_close(&h);
}

void cbm_init_dirac(cbm_tensor *variable, int64_t groups)
{
    host h;
    if (usable(variable) && (groups < 1 || cbm_tensor_size(variable, 0) % groups != 0)) {
        cbm_fail(variable->cx, CBM_ERROR_INVALID, "[dirac] %lld groups do not divide %lld channels", (long long)groups,
                 (long long)cbm_tensor_size(variable, 0));
        return;
    }
    if (!host_open(&h, variable, "dirac", 3, 5))
        return;
    const cbm_shape shape = cbm_tensor_shape(variable);
    const int64_t out = h.rows / groups, in = shape.v[2], kernel = in ? h.columns / in : 0;
    int64_t middle = 0; /* of the kernel */
    for (int64_t i = 3; i <= shape.v[0]; i++)
        middle = middle * shape.v[i] + shape.v[i] / 2;
    for (int64_t o = 0; o < h.rows && kernel; o++)
        if (o % out < in)
            h.x[o * h.columns + o % out * kernel + middle] = 1;
    host_close(&h);
}
