/* test_random_images.c: networks on images, lines and volumes drawn at random (convolutions of every kind, pooling,
   normalisation, interpolation, products, sums, what lies in another order, gates, residual additions, joins and cuts of channels, gradients, updates of weights,
   reads in random places) give the same numbers planned on the fast device, with its layouts, absorbed passes and algorithms, as op by op on the reference.
   Exact programs hold small whole numbers and take direct algorithms only, so that gates and maxima cannot flip; smooth ones
   take every algorithm. And searching for less memory, with whatever may be made again made again, changes no bit. A failure names the seed and the shortest failing prefix; `test_plan_random_images SEED` runs that
   program alone. */
#include "tensor/context.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PROGRAMS = 250, POOL = 6, WEIGHTS = 24, LOG = 1 << 20, ROUNDS = 3 };

typedef struct weight {
    cbm_tensor *t;
    cbm_shape shape;
} weight;

typedef struct program {
    cbm_context *cx;
    uint64_t seed, draws;
    bool exact;
    int operations;
    weight weights[WEIGHTS];
    int n_weights;
    float *log;
    size_t logged;
} program;

static int draw(program *p, int n)
{
    uint32_t out[4];
    cbm_philox(p->seed, 5, p->draws++, out);
    return (int)(out[0] % (uint32_t)n);
}

/* Numbers of one tensor come from a stream of their own, so that programs draw alike however many there are. */
static void numbers(const program *p, uint64_t stream, float *to, int64_t n, bool sparse)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t out[4];
        cbm_philox(p->seed, stream, (uint64_t)i, out);
        to[i] = p->exact ? (sparse && out[1] % 3 ? 0.0f : (float)(int)(out[0] % 3) - 1)
                         : ((float)(out[0] >> 8) / 8388608.0f - 1) * (sparse ? 0.4f : 1);
    }
}

static cbm_tensor *host(const program *p, uint64_t stream, cbm_shape shape, bool sparse)
{
    const int64_t n = cbm_shape_count(&shape);
    float *data = calloc((size_t)n + 1, sizeof *data);
    numbers(p, stream, data, n, sparse);
    cbm_tensor *t = cbm_tensor_from(p->cx, CBM_F32, shape, data);
    free(data);
    return t;
}

/* The next weight of this program: the same variable in every round. */
static cbm_tensor *next_weight(program *p, int *at, cbm_shape shape)
{
    const uint64_t stream = 1000 + (uint64_t)draw(p, 1 << 20);
    if (*at < p->n_weights && cbm_shape_equal(&p->weights[*at].shape, &shape))
        return p->weights[(*at)++].t;
    cbm_tensor *t = cbm_variable(host(p, stream, shape, true), true);
    if (*at == p->n_weights && p->n_weights < WEIGHTS) {
        p->weights[p->n_weights++] = (weight){ t, shape };
        (*at)++;
    }
    return t;
}

static void log_tensor(program *p, cbm_tensor *t)
{
    const int64_t n = cbm_tensor_count(t);
    if (p->logged + (size_t)n + 1 > LOG || cbm_tensor_dtype(t) != CBM_F32)
        return;
    cbm_read(t, p->log + p->logged, (size_t)n * sizeof(float));
    p->logged += (size_t)n;
}

/* How many dimensions there are after the channels: 1 to 3. */
static int64_t dimensions(cbm_tensor *x)
{
    return cbm_tensor_rank(x) - 2;
}

static int64_t smallest(cbm_tensor *x)
{
    int64_t least = INT64_MAX;
    for (int64_t i = 2; i < cbm_tensor_rank(x); i++)
        least = cbm_tensor_size(x, i) < least ? cbm_tensor_size(x, i) : least;
    return least;
}

/* (first, second, then size for each dimension of x) */
static cbm_shape shape_like(cbm_tensor *x, int64_t first, int64_t second, int64_t size)
{
    cbm_shape s = { { cbm_tensor_rank(x), first, second } };
    for (int64_t i = 3; i <= s.v[0]; i++)
        s.v[i] = size;
    return s;
}

static const int64_t wide[] = { 1, 3, 8, 16, 17, 24, 32, 48 };

static cbm_tensor *convolution(program *p, cbm_tensor *x, int *at)
{
    static cbm_tensor *(*const conv[])(cbm_tensor *, cbm_tensor *, cbm_tensor *,
                                       const cbm_conv_options *) = { cbm_conv1d_with, cbm_conv2d_with,
                                                                     cbm_conv3d_with };
    const int64_t channels = cbm_tensor_size(x, 1);
    int64_t out = wide[draw(p, 8)], groups = 1, kernel = draw(p, 3) ? 3 : 1, stride = draw(p, 4) ? 1 : 2;
    int64_t padding = kernel == 3 ? draw(p, 3) != 0 : 0;
    const int kind = draw(p, 6);
    const bool bias = draw(p, 2);
    if (smallest(x) + 2 * padding < kernel)
        kernel = 1, padding = 0;
    if (kind == 0)
        groups = out = channels;
    else if (kind == 1 && channels % 2 == 0)
        groups = 2, out += out % 2;
    cbm_tensor *w = next_weight(p, at, shape_like(x, out, channels / groups, kernel));
    cbm_tensor *b = bias ? next_weight(p, at, CBM_SHAPE(out)) : NULL;
    const cbm_conv_options o = { sizeof o, CBM_SHAPE(stride), CBM_SHAPE(padding), CBM_SHAPE(1), groups, 0 };
    return conv[dimensions(x) - 1](x, w, b, &o);
}

static cbm_tensor *transposed(program *p, cbm_tensor *x, int *at)
{
    static cbm_tensor *(*const conv[])(cbm_tensor *, cbm_tensor *, cbm_tensor *, const cbm_conv_transpose_options *) = {
        cbm_conv_transpose1d_with, cbm_conv_transpose2d_with, cbm_conv_transpose3d_with
    };
    const int64_t channels = cbm_tensor_size(x, 1), groups = channels % 2 == 0 && draw(p, 3) == 0 ? 2 : 1;
    const int64_t out = wide[draw(p, 8)], stride = smallest(x) < 6 ? 1 + draw(p, 2) : 1, kernel = 1 + draw(p, 3);
    cbm_tensor *w = next_weight(p, at, shape_like(x, channels, out, kernel));
    cbm_tensor *b = draw(p, 2) ? next_weight(p, at, CBM_SHAPE(out * groups)) : NULL;
    const cbm_conv_transpose_options o = { .struct_size = sizeof o, .stride = CBM_SHAPE(stride), .groups = groups };
    return conv[dimensions(x) - 1](x, w, b, &o);
}

static cbm_tensor *normalised(program *p, cbm_tensor *x, int *at)
{
    const int64_t channels = cbm_tensor_size(x, 1);
    if (p->exact || cbm_tensor_count(x) < 8 * channels)
        return cbm_add_scalar(x, 1);
    cbm_tensor *w = next_weight(p, at, CBM_SHAPE(channels)), *b = next_weight(p, at, CBM_SHAPE(channels));
    if (draw(p, 2))
        return cbm_batch_norm(x, NULL, NULL, w, b, true, 0.1, 0.1);
    return cbm_group_norm(x, channels % 4 == 0 ? channels / 4 : 1, w, b, 0.1);
}

static cbm_tensor *pooled(program *p, cbm_tensor *x)
{
    static cbm_tensor *(*const max[])(cbm_tensor *, cbm_shape, const cbm_pool_options *) = { cbm_max_pool1d_with,
                                                                                             cbm_max_pool2d_with,
                                                                                             cbm_max_pool3d_with };
    static cbm_tensor *(*const avg[])(cbm_tensor *, cbm_shape, const cbm_pool_options *) = { cbm_avg_pool1d_with,
                                                                                             cbm_avg_pool2d_with,
                                                                                             cbm_avg_pool3d_with };
    if (smallest(x) < 2)
        return x;
    const cbm_pool_options o = { .struct_size = sizeof o,
                                 .stride = CBM_SHAPE(1 + draw(p, 2)),
                                 .ceil_mode = (uint64_t)draw(p, 2) };
    const int64_t d = dimensions(x) - 1;
    return p->exact && draw(p, 2) ? max[d](x, CBM_SHAPE(2), &o) : avg[d](x, CBM_SHAPE(2), &o);
}

static cbm_tensor *resized(program *p, cbm_tensor *x)
{
    if (smallest(x) > 4)
        return x;
    const int64_t mode = p->exact || draw(p, 2) ? CBM_INTERPOLATE_NEAREST : CBM_INTERPOLATE_LINEAR;
    return cbm_interpolate(x, .scale_factor = { 2 }, .mode = mode);
}

static cbm_tensor *gated(program *p, cbm_tensor *x)
{
    if (p->exact)
        return cbm_relu(x);
    return draw(p, 2) ? cbm_tanh(x) : cbm_mul(x, cbm_sigmoid(x));
}

static cbm_tensor *same_shape(program *p, cbm_tensor **pool, int count, cbm_tensor *x)
{
    const cbm_shape shape = cbm_tensor_shape(x);
    for (int tries = 0; tries < 6; tries++) {
        cbm_tensor *y = pool[draw(p, count)];
        const cbm_shape other = cbm_tensor_shape(y);
        if (cbm_shape_equal(&shape, &other))
            return y;
    }
    return x;
}

/* A linear layer over the last axis: the rows of all pictures are those of one product. */
static cbm_tensor *linear(program *p, cbm_tensor *x, int *at)
{
    const int64_t out = 1 + draw(p, 9);
    cbm_tensor *y = cbm_matmul(x, next_weight(p, at, CBM_SHAPE(cbm_tensor_size(x, -1), out)));
    y = draw(p, 3) ? cbm_add(y, next_weight(p, at, CBM_SHAPE(out))) : y;
    return draw(p, 3) ? gated(p, y) : y;
}

/* x and something of its shape that lies in another order. */
static cbm_tensor *crossed(program *p, cbm_tensor *x)
{
    const int64_t rank = cbm_tensor_rank(x), axis = draw(p, (int)rank);
    cbm_shape shape = cbm_tensor_shape(x);
    const int64_t last = shape.v[rank];
    shape.v[rank] = shape.v[1 + axis];
    shape.v[1 + axis] = last;
    cbm_tensor *y = cbm_add(x, cbm_transpose(host(p, 2000 + (uint64_t)draw(p, 1 << 20), shape, true), axis, -1));
    return draw(p, 2) ? gated(p, y) : y;
}

static cbm_tensor *operation(program *p, cbm_tensor **pool, int count, int *at)
{
    cbm_tensor *x = pool[draw(p, 3) ? count - 1 : draw(p, count)];
    if (cbm_tensor_failed(x))
        return x;
    switch (draw(p, 17)) {
    case 0:
    case 1:
    case 2:
    case 3: return convolution(p, x, at);
    case 4:
    case 5: return gated(p, x);
    case 6: return pooled(p, x);
    case 7: return normalised(p, x, at);
    case 8: return cbm_add(x, same_shape(p, pool, count, x));
    case 9: {
        cbm_tensor *const both[] = { x, same_shape(p, pool, count, x) };
        return cbm_tensor_size(x, 1) <= 24 ? cbm_concat(both, 2, 1) : x;
    }
    case 11: return transposed(p, x, at);
    case 12: return resized(p, x);
    case 13: return linear(p, x, at);
    case 14: return crossed(p, x);
    case 15: return crossed(p, normalised(p, x, at));
    case 10: return cbm_tensor_size(x, 1) > 2 ? cbm_slice(x, 1, 0, cbm_tensor_size(x, 1) - 1, 1) : x;
    default: return cbm_add(x, next_weight(p, at, shape_like(x, 1, cbm_tensor_size(x, 1), 1)));
    }
}

/* Whole numbers stay whole: each weight moves by at most one. */
static void update(program *p, weight *w)
{
    cbm_tensor *g = cbm_gradient(w->t);
    if (!g)
        return;
    cbm_tensor *step = p->exact ? cbm_maximum(cbm_minimum(g, cbm_ones(p->cx, CBM_F32, CBM_SHAPE())),
                                              cbm_full(p->cx, CBM_F32, CBM_SHAPE(), -1))
                                : cbm_mul_scalar(cbm_tanh(g), 0.01);
    cbm_assign(w->t, cbm_sub(w->t, step));
}

static void one_round(program *p, cbm_tensor *input, int round)
{
    CBM_SCOPE(s, p->cx);
    cbm_tensor *pool[POOL] = { input };
    int count = 1, at = 0;
    const bool training = draw(p, 4) != 0;
    for (int i = 0; i < p->operations; i++) {
        cbm_tensor *y = operation(p, pool, count, &at);
        if (cbm_tensor_failed(y))
            return;
        if (count == POOL)
            memmove(pool + 1, pool + 2, (size_t)(--count - 1) * sizeof *pool);
        pool[count++] = y;
        if (draw(p, 12) == 0)
            log_tensor(p, pool[draw(p, count)]);
        else if (draw(p, 12) == 0)
            cbm_want(y);
    }
    cbm_tensor *y = pool[count - 1];
    const bool look = draw(p, 2);
    if (look)
        cbm_want(y);
    cbm_tensor *loss = draw(p, 2) ? cbm_sum(y) : cbm_sum(cbm_mul(y, y));
    if (training || round == 0) {
        cbm_backward(loss);
        const cbm_scope_options quiet = { .struct_size = sizeof quiet, .no_grad = 1, .quiet = 1 };
        cbm_scope *scope = cbm_scope_begin_with(p->cx, &quiet);
        for (int i = 0; i < p->n_weights; i++) {
            if (cbm_gradient(p->weights[i].t) && draw(p, 3) == 0)
                log_tensor(p, cbm_gradient(p->weights[i].t));
            update(p, &p->weights[i]);
            cbm_clear_gradient(p->weights[i].t);
        }
        cbm_scope_end(scope);
    }
    log_tensor(p, loss);
    if (look)
        log_tensor(p, y);
}

/* How a program runs: as it was written, on the reference; planned; planned with all that saves memory, at any price. */
typedef enum way { PLAIN, PLANNED, SPARING } way;

static int sparing_repeats; /* steps that made something again, of all programs */

static void count_repeats(cbm_context *cx)
{
    for (const char *at = cbm_explain(cx); (at = strstr(at, "made again")); at++)
        sparing_repeats++;
}

static size_t run(uint64_t seed, int operations, way how, int64_t threads, float *log, char *message)
{
    program p = { .seed = seed, .exact = seed % 2, .operations = operations, .log = log };
    static const int64_t sizes[] = { 1, 2, 3, 5, 6, 9 }, channels[] = { 1, 3, 8, 16, 17, 32 };
    p.cx = how != PLAIN ? cbm_open_with(.threads = threads, .deterministic = p.exact)
                        : cbm_open_with(.device = "reference", .naive = 1, .threads = 1);
    p.cx->improve_from = how == SPARING ? 0 : SIZE_MAX;
    p.cx->repeat_share = 10;
    const int batch = draw(&p, 12);
    cbm_shape shape = { { 3 + (int64_t)(seed / 2 % 4 == 0   ? 0
                                        : seed / 2 % 4 == 1 ? 2
                                                            : 1), /* half of them pictures */
                          batch == 0 ? 0 : 1 + batch % 3, channels[draw(&p, 6)] } };
    for (int64_t i = 3; i <= shape.v[0]; i++)
        shape.v[i] = sizes[draw(&p, shape.v[0] == 5 ? 4 : 6)];
    const uint64_t start = p.draws;
    for (int round = 0; round < ROUNDS; round++) {
        p.draws = start + 1000000u * (round == 2); /* the same graph twice, then another */
        if (round == 2)
            p.n_weights = 0;
        cbm_tensor *input = host(&p, (uint64_t)round, shape, false);
        one_round(&p, input, round);
        cbm_release(input);
        count_repeats(p.cx);
    }
    snprintf(message, 256, "%.255s", cbm_message(p.cx));
    cbm_close(p.cx);
    return p.logged;
}

/* The difference's norm over the norm, tensor boundaries not kept: 0 if equal. */
static double difference(const float *a, const float *b, size_t n)
{
    double square = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) {
            if (isfinite(a[i]) != isfinite(b[i]))
                return INFINITY;
            continue;
        }
        square += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        scale += (double)b[i] * b[i];
    }
    return scale > 0 ? sqrt(square / scale) : sqrt(square);
}

static bool fails(uint64_t seed, int operations, int64_t threads, float *a, float *b, char *why)
{
    char planned[256], plain[256];
    const size_t n = run(seed, operations, PLANNED, threads, a, planned);
    const size_t sparing = run(seed, operations, SPARING, threads, b, plain);
    if (n != sparing || memcmp(a, b, n * sizeof *a) != 0 || strcmp(planned, plain) != 0) {
        snprintf(why, 700, "saving memory changes bits: relative difference %.3g of %zu numbers; \"%s\" / \"%s\"",
                 n == sparing ? difference(a, b, n) : INFINITY, n, planned, plain);
        return true;
    }
    const size_t m = run(seed, operations, PLAIN, 1, b, plain);
    const double d = n == m ? difference(a, b, n) : INFINITY;
    snprintf(why, 700, "relative difference %.3g of %zu numbers (%zu plainly); \"%s\" / \"%s\"", d, n, m, planned,
             plain);
    return strcmp(planned, plain) != 0 || !(d <= (seed % 2 ? 1e-5 : 2e-4));
}

static uint64_t only;

static void test_programs(void **state)
{
    (void)state;
    float *a = malloc(2 * LOG * sizeof *a), *b = a + LOG;
    char why[700];
    assert_non_null(a);
    for (uint64_t i = 0; i < PROGRAMS; i++) {
        const uint64_t seed = only ? only : 1 + i;
        const int operations = 3 + (int)(seed * 7 % 12);
        if (fails(seed, operations, 1 + (int64_t)(seed % 3), a, b, why)) {
            int shortest = 1;
            while (shortest < operations && !fails(seed, shortest, 1 + (int64_t)(seed % 3), a, b, why))
                shortest++;
            (void)fails(seed, shortest, 1 + (int64_t)(seed % 3), a, b, why);
            fail_msg("seed %llu, %d of %d operations: %s", (unsigned long long)seed, shortest, operations, why);
        }
        if (only)
            break;
    }
    if (!only)
        assert_true(sparing_repeats >= 15);
    free(a);
}

int main(int argc, char **argv)
{
    only = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_programs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
