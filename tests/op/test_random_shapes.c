/* test_random_shapes.c: the fast backend against the reference backend on operations of random extents, options, axes and
   memory layouts: always the same ones. */
#define CBM_NO_CALL_SITES
#include "base/base.h"
#include "support/compare.h"
#include <cambium/ops.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TRIALS 120

/* ---- random choices ---- */

typedef struct chooser {
    uint64_t stream, next;
} chooser;

static int64_t choose(chooser *c, int64_t low, int64_t high)
{
    return low + (int64_t)((double)cbm_philox_uniform(99, c->stream, c->next++) * (double)(high - low + 1));
}

static cbm_shape choose_shape(chooser *c, int64_t rank, int64_t largest)
{
    cbm_shape s = { { rank } };
    for (int64_t d = 1; d <= rank; d++)
        s.v[d] = choose(c, 1, largest);
    return s;
}

/* One that broadcasts to s. */
static cbm_shape choose_smaller(chooser *c, const cbm_shape *s)
{
    int64_t dropped = choose(c, 0, s->v[0]);
    cbm_shape r = { { s->v[0] - dropped } };
    for (int64_t d = 1; d <= r.v[0]; d++)
        r.v[d] = choose(c, 0, 2) ? s->v[d + dropped] : 1;
    return r;
}

/* What one trial does beside its inputs. */
typedef struct trial {
    cbm_conv_options conv;
    cbm_pool_options pool;
    cbm_reduce_options reduce;
    cbm_shape kernel, order;
    int64_t axis, start, stop, step, kind;
    case_tensor index;
} trial;

typedef cbm_tensor *(*formula)(const trial *t, cbm_context *cx, cbm_tensor *const *in);
typedef struct random_subject {
    const trial *trial;
    formula f;
} random_subject;

static size_t forward(const subject *s, cbm_context *cx, bool f32, cbm_tensor *const *in, cbm_tensor **out)
{
    const random_subject *r = s->user;
    (void)f32;
    out[0] = r->f(r->trial, cx, in);
    return 1;
}

static int run(const char *name, uint64_t number, chooser *c, const trial *t, formula f, const cbm_shape *shapes,
               size_t n)
{
    char label[64];
    snprintf(label, sizeof label, "%s, trial %d", name, (int)number);
    random_subject r = { t, f };
    subject s = {
        .name = label, .n_in = n, .forward = forward, .user = &r, .layout = (case_layout)choose(c, 0, LAYOUTS - 1)
    };
    for (size_t i = 0; i < n; i++)
        s.in[i] = compare_tensor(shapes[i], 1000 * c->stream + i);
    int failures = compare_backends(&s, true);
    for (size_t i = 0; i < n; i++)
        free(s.in[i].data);
    return failures;
}

/* ---- pointwise chains ---- */
static cbm_tensor *chain(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    (void)cx;
    cbm_tensor *x = cbm_add(cbm_mul(in[0], in[1]), cbm_tanh(in[2]));
    switch (t->kind) {
    case 0: return cbm_div(x, cbm_add_scalar(cbm_exp(in[1]), 1));
    case 1: return cbm_where(cbm_less(in[0], in[1]), cbm_sigmoid(x), cbm_gelu(in[2]));
    case 2: return cbm_maximum(cbm_sub(x, in[1]), cbm_abs(in[0]));
    case 3: return cbm_mul(cbm_sum_with(x, &t->reduce), cbm_mean_with(cbm_relu(x), &t->reduce));
    default: return cbm_pow(cbm_add_scalar(cbm_abs(x), 0.5), cbm_minimum(in[0], in[2]));
    }
}

static void pointwise_chains(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 100 + i, 0 };
        int64_t rank = choose(&c, 0, 4);
        cbm_shape whole = choose_shape(&c, rank, choose(&c, 0, 3) ? 7 : 40);
        if (rank == 2) /* many tiles of rows whose length divides them */
            whole = CBM_SHAPE(choose(&c, 1, 700), (int64_t)1 << choose(&c, 0, 7));
        cbm_shape shapes[] = { whole, choose_smaller(&c, &whole), choose_smaller(&c, &whole) };
        trial t = { .kind = choose(&c, 0, 4), .reduce = { .struct_size = sizeof(cbm_reduce_options) } };
        for (int64_t d = 0; d < rank; d++)
            if (choose(&c, 0, 1))
                t.reduce.axes.v[++t.reduce.axes.v[0]] = d;
        t.reduce.keepdim = (uint64_t)choose(&c, 0, 1);
        failures += run("chain", i, &c, &t, chain, shapes, 3);
    }
    assert_int_equal(failures, 0);
}

/* ---- reductions and softmax ---- */
static cbm_tensor *reduction(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    (void)cx;
    switch (t->kind) {
    case 0: return cbm_sum_with(in[0], &t->reduce);
    case 1: return cbm_mean_with(in[0], &t->reduce);
    case 2: return cbm_max_with(in[0], &t->reduce);
    case 3: return cbm_softmax(in[0], t->axis);
    default: return cbm_log_softmax(in[0], t->axis);
    }
}

static void reductions(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 300 + i, 0 };
        int64_t rank = choose(&c, 1, 4);
        cbm_shape shape = choose_shape(&c, rank, rank == 1 ? 3000 : rank == 2 ? 90 : 19);
        trial t = { .kind = choose(&c, 0, 4),
                    .axis = choose(&c, 0, rank - 1),
                    .reduce = { .struct_size = sizeof(cbm_reduce_options), .keepdim = (uint64_t)choose(&c, 0, 1) } };
        for (int64_t d = 0; d < rank; d++)
            if (choose(&c, 0, 1))
                t.reduce.axes.v[++t.reduce.axes.v[0]] = d;
        failures += run("reduction", i, &c, &t, reduction, &shape, 1);
    }
    assert_int_equal(failures, 0);
}

/* ---- matrix products ---- */
static cbm_tensor *product(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    (void)cx;
    return cbm_matmul(t->kind & 1 ? cbm_transpose(in[0], -1, -2) : in[0],
                      t->kind & 2 ? cbm_transpose(in[1], -1, -2) : in[1]);
}

static void products(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 500 + i, 0 };
        cbm_shape batch = choose_shape(&c, choose(&c, 0, 2), 4);
        cbm_shape shapes[] = { choose_smaller(&c, &batch), choose_smaller(&c, &batch) };
        int64_t m = choose(&c, 1, 70), k = choose(&c, 1, 70), n = choose(&c, 0, 5) ? choose(&c, 1, 70) : 1;
        trial t = { .kind = choose(&c, 0, 3) };
        int64_t extents[2][2] = { { m, k }, { k, n } };
        for (int s = 0; s < 2; s++)
            for (int d = 0; d < 2; d++)
                shapes[s].v[++shapes[s].v[0]] = extents[s][t.kind >> s & 1 ? 1 - d : d];
        failures += run("matmul", i, &c, &t, product, shapes, 2);
    }
    assert_int_equal(failures, 0);
}

/* ---- convolutions ---- */
static cbm_tensor *convolution(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    (void)cx;
    cbm_tensor *y = cbm_conv2d_with(in[0], in[1], t->kind ? in[2] : NULL, &t->conv);
    return t->kind == 2 ? cbm_relu(y) : y;
}

static void convolutions(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 700 + i, 0 };
        int64_t groups = choose(&c, 0, 3) ? 1 : choose(&c, 1, 4), kernel[2], size[2];
        int64_t in = groups * choose(&c, 1, groups > 1 ? 3 : 20), out = groups * choose(&c, 1, groups > 1 ? 3 : 20);
        trial t = { .kind = choose(&c, 0, 2), .conv = { .struct_size = sizeof(cbm_conv_options), .groups = groups } };
        t.conv.stride.v[0] = t.conv.padding.v[0] = t.conv.dilation.v[0] = 2;
        for (int d = 0; d < 2; d++) {
            kernel[d] = choose(&c, 1, 4);
            t.conv.stride.v[1 + d] = choose(&c, 1, 3);
            t.conv.padding.v[1 + d] = choose(&c, 0, 2);
            t.conv.dilation.v[1 + d] = choose(&c, 0, 2) ? 1 : 2;
            int64_t reach = t.conv.dilation.v[1 + d] * (kernel[d] - 1) + 1 - 2 * t.conv.padding.v[1 + d];
            size[d] = (reach > 1 ? reach : 1) + choose(&c, 0, 11);
        }
        cbm_shape shapes[] = { CBM_SHAPE(choose(&c, 1, 3), in, size[0], size[1]),
                               CBM_SHAPE(out, in / groups, kernel[0], kernel[1]), CBM_SHAPE(out) };
        failures += run("conv2d", i, &c, &t, convolution, shapes, t.kind ? 3 : 2);
    }
    assert_int_equal(failures, 0);
}

/* ---- pooling ---- */
static cbm_tensor *pooled(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    (void)cx;
    return t->kind ? cbm_max_pool2d_with(in[0], t->kernel, &t->pool) : cbm_avg_pool2d_with(in[0], t->kernel, &t->pool);
}

static void pools(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 900 + i, 0 };
        int64_t size[2];
        trial t = { .kind = choose(&c, 0, 1),
                    .pool = { .struct_size = sizeof(cbm_pool_options) },
                    .kernel = { { 2 } } };
        t.pool.exclude_pad = (uint64_t)choose(&c, 0, 1);
        t.pool.stride.v[0] = t.pool.padding.v[0] = 2;
        for (int d = 0; d < 2; d++) {
            t.kernel.v[1 + d] = choose(&c, 1, 4);
            t.pool.stride.v[1 + d] = choose(&c, 1, 3);
            t.pool.padding.v[1 + d] = choose(&c, 0, t.kernel.v[1 + d] / 2);
            size[d] = t.kernel.v[1 + d] + choose(&c, 0, 13);
        }
        cbm_shape shape = CBM_SHAPE(choose(&c, 1, 3), choose(&c, 1, 20), size[0], size[1]);
        failures += run(t.kind ? "max_pool2d" : "avg_pool2d", i, &c, &t, pooled, &shape, 1);
    }
    assert_int_equal(failures, 0);
}

/* ---- batch norm and cross-entropy ---- */
static cbm_tensor *normalised(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    (void)cx;
    return cbm_batch_norm(in[0], NULL, NULL, t->kind & 1 ? in[1] : NULL, t->kind & 2 ? in[2] : NULL, true, 0.1, 1e-2);
}

static void norms(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 1100 + i, 0 };
        cbm_shape shape = choose_shape(&c, choose(&c, 2, 4), 12);
        shape.v[1] += 3; /* enough numbers in a channel */
        trial t = { .kind = choose(&c, 0, 3) };
        cbm_shape shapes[] = { shape, CBM_SHAPE(shape.v[2]), CBM_SHAPE(shape.v[2]) };
        failures += run("batch_norm", i, &c, &t, normalised, shapes, 3);
    }
    assert_int_equal(failures, 0);
}

static cbm_tensor *entropy(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    return cbm_cross_entropy(cbm_mul_scalar(in[0], 5), case_tensor_load(cx, &t->index, LAYOUT_PLAIN));
}

static void cross_entropies(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 1300 + i, 0 };
        cbm_shape shape = choose_shape(&c, choose(&c, 2, 4), 20), rows = shape;
        rows.v[0]--;
        for (int64_t d = 2; d <= rows.v[0]; d++)
            rows.v[d] = shape.v[d + 1];
        case_tensor labels = compare_tensor(rows, i);
        for (int64_t k = 0; k < labels.count; k++)
            ((double *)labels.data)[k] = (double)choose(&c, 0, shape.v[2] - 1);
        static const cbm_dtype dtypes[] = { CBM_I64, CBM_I32, CBM_U8 };
        trial t = { .index = case_tensor_cast(&labels, dtypes[choose(&c, 0, 2)]) };
        failures += run("cross_entropy", i, &c, &t, entropy, &shape, 1);
        free(labels.data);
        free(t.index.data);
    }
    assert_int_equal(failures, 0);
}

/* ---- movement and indexing ---- */
static cbm_tensor *moved(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    (void)cx;
    cbm_tensor *x = cbm_slice(cbm_permute(in[0], t->order), t->axis, t->start, t->stop, t->step);
    switch (t->kind) {
    case 0: return cbm_mul(cbm_flatten(x, 0), cbm_flatten(x, 0));
    case 1: return cbm_concat((cbm_tensor *[]){ x, cbm_exp(x), x }, 3, t->axis);
    case 2: return cbm_add(cbm_reshape(x, CBM_SHAPE(-1, 1)), cbm_reshape(x, CBM_SHAPE(1, -1)));
    default: return cbm_sum_with(cbm_mul(x, x), &t->reduce);
    }
}

static void movements(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 1500 + i, 0 };
        int64_t rank = choose(&c, 1, 4);
        cbm_shape shape = choose_shape(&c, rank, 6);
        trial t = {
            .kind = choose(&c, 0, 3), .axis = choose(&c, 0, rank - 1), .step = choose(&c, 1, 3), .order = { { rank } }
        };
        t.reduce = (cbm_reduce_options){ .struct_size = sizeof t.reduce, .axes = CBM_SHAPE(t.axis) };
        for (int64_t d = 0; d < rank; d++)
            t.order.v[1 + d] = d;
        for (int64_t d = rank; d > 1; d--) {
            int64_t other = choose(&c, 1, d), kept = t.order.v[d];
            t.order.v[d] = t.order.v[other];
            t.order.v[other] = kept;
        }
        t.start = choose(&c, 0, 2);
        t.stop = choose(&c, 1, 6);
        failures += run("movement", i, &c, &t, moved, &shape, 1);
    }
    assert_int_equal(failures, 0);
}

static cbm_tensor *indexed(const trial *t, cbm_context *cx, cbm_tensor *const *in)
{
    cbm_tensor *index = case_tensor_load(cx, &t->index, LAYOUT_PLAIN);
    cbm_tensor *taken = cbm_gather(in[0], t->axis, index);
    return t->kind ? cbm_scatter_add(in[0], t->axis, index, cbm_mul(taken, taken)) : cbm_mul(taken, taken);
}

static void indexing(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t i = 0; i < TRIALS; i++) {
        chooser c = { 1700 + i, 0 };
        int64_t rank = choose(&c, 1, 4);
        cbm_shape shape = choose_shape(&c, rank, 8), places = shape;
        trial t = { .kind = choose(&c, 0, 1), .axis = choose(&c, 0, rank - 1) };
        for (int64_t d = 0; d < rank; d++)
            places.v[1 + d] = d == t.axis ? choose(&c, 1, 12) : choose(&c, 1, shape.v[1 + d]);
        case_tensor index = compare_tensor(places, i);
        for (int64_t k = 0; k < index.count; k++)
            ((double *)index.data)[k] = (double)choose(&c, 0, shape.v[1 + t.axis] - 1);
        t.index = case_tensor_cast(&index, choose(&c, 0, 1) ? CBM_I64 : CBM_I32);
        failures += run("indexing", i, &c, &t, indexed, &shape, 1);
        free(index.data);
        free(t.index.data);
    }
    assert_int_equal(failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pointwise_chains), cmocka_unit_test(reductions), cmocka_unit_test(products),
        cmocka_unit_test(convolutions),     cmocka_unit_test(pools),      cmocka_unit_test(norms),
        cmocka_unit_test(cross_entropies),  cmocka_unit_test(movements),  cmocka_unit_test(indexing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
