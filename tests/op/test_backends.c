/* test_backends.c: the fast backend in f32 against the reference backend in f64, forward and backward: every operation on
   every sample, and larger shapes that meet the kernels' vector tails, tiles, threads and special cases. */
#define CBM_NO_CALL_SITES
#include "base/base.h"
#include "support/compare.h"
#include <cambium/ops.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- every operation, every sample ---- */

static size_t apply_sample(const subject *s, cbm_context *cx, bool f32, cbm_tensor *const *in, cbm_tensor **out)
{
    const cbm_op *op = cbm_op_named(((const op_case *)s->user)->op);
    void *attributes = case_attributes(op, s->user, f32);
    cbm_apply(cx, op, in, s->n_in, op->attributes_size ? attributes : NULL, out);
    free(attributes);
    return (size_t)op->n_out;
}

static void every_sample(void **state)
{
    (void)state;
    case_list samples;
    assert_true(cases_of_samples(&samples));
    int failures = 0;
    for (size_t i = 0; i < samples.count; i++) {
        const op_case *c = &samples.cases[i];
        const cbm_op *op = cbm_op_named(c->op);
        char name[160];
        snprintf(name, sizeof name, "[%s] %s", c->op, c->label);
        subject s = { .name = name, .n_in = c->n_in, .forward = apply_sample, .user = c };
        for (size_t k = 0; k < c->n_in; k++)
            s.in[k] = c->in[k];
        failures += compare_backends(&s, op->vjp || op->decompose);
    }
    cases_free(&samples);
    assert_int_equal(failures, 0);
}

/* ---- larger shapes ---- */

typedef cbm_tensor *(*formula)(cbm_tensor *const *in);
typedef struct larger {
    const char *name;
    formula f;
    cbm_shape in[5]; /* ended by one that begins with -1 */
} larger;
#define SHAPES(...)                                                                                                    \
    {                                                                                                                  \
        __VA_ARGS__,                                                                                                   \
        {                                                                                                              \
            {                                                                                                          \
                -1                                                                                                     \
            }                                                                                                          \
        }                                                                                                              \
    }
#define DIMS(...)                                                                                                      \
    {                                                                                                                  \
        {                                                                                                              \
            CBM_COUNT_(__VA_ARGS__), __VA_ARGS__                                                                       \
        }                                                                                                              \
    }

static cbm_tensor *chain(cbm_tensor *const *in)
{
    cbm_tensor *t = cbm_tanh(cbm_add(cbm_mul(in[0], in[1]), in[2]));
    return cbm_mul(cbm_sigmoid(t), cbm_add_scalar(cbm_relu(cbm_sub(t, in[1])), 0.5));
}

static cbm_tensor *activations(cbm_tensor *const *in)
{
    return cbm_add(cbm_gelu(in[0]), cbm_exp(cbm_mul_scalar(cbm_erf(in[0]), 0.3)));
}

static cbm_tensor *product(cbm_tensor *const *in)
{
    return cbm_matmul(in[0], in[1]);
}

static cbm_tensor *product_of_transposed(cbm_tensor *const *in)
{
    return cbm_matmul(cbm_transpose(in[0], -1, -2), cbm_transpose(in[1], -1, -2));
}

static cbm_tensor *linear(cbm_tensor *const *in)
{
    return cbm_relu(cbm_add(cbm_matmul(in[0], cbm_transpose(in[1], 0, 1)), in[2]));
}

static cbm_tensor *reductions(cbm_tensor *const *in)
{
    cbm_reduce_options first = { .struct_size = sizeof first, .axes = CBM_SHAPE(0) };
    cbm_reduce_options last = { .struct_size = sizeof last, .axes = CBM_SHAPE(-1), .keepdim = 1 };
    return cbm_mul(cbm_sum_with(in[0], &first), cbm_sum_with(cbm_mean_with(in[0], &last), &first));
}

static cbm_tensor *outer_reductions(cbm_tensor *const *in)
{
    cbm_reduce_options o = { .struct_size = sizeof o, .axes = CBM_SHAPE(0, 2, 3) };
    return cbm_add(cbm_mean_with(in[0], &o), cbm_max_with(in[0], &o));
}

static cbm_tensor *softmaxes(cbm_tensor *const *in)
{
    return cbm_add(cbm_softmax(in[0], -1), cbm_mul_scalar(cbm_log_softmax(in[0], 0), 0.1));
}

static cbm_tensor *moved(cbm_tensor *const *in)
{
    cbm_tensor *t = cbm_permute(in[0], CBM_SHAPE(2, 0, 1));
    cbm_tensor *parts[] = { cbm_slice(t, 0, 1, -1, 2), cbm_slice(t, 0, 0, 3, 1) };
    return cbm_mul(cbm_flatten(cbm_concat(parts, 2, 0), 1), cbm_flatten(cbm_concat(parts, 2, 0), 1));
}

static cbm_tensor *convolution(cbm_tensor *const *in)
{
    cbm_conv_options o = { .struct_size = sizeof o,
                           .stride = CBM_SHAPE(1, 1),
                           .padding = CBM_SHAPE(0),
                           .dilation = CBM_SHAPE(1, 1),
                           .groups = 1 };
    return cbm_relu(cbm_conv2d_with(in[0], in[1], in[2], &o));
}

static cbm_tensor *convolution_padded(cbm_tensor *const *in)
{
    cbm_conv_options o = { .struct_size = sizeof o,
                           .stride = CBM_SHAPE(2, 1),
                           .padding = CBM_SHAPE(1, 2),
                           .dilation = CBM_SHAPE(1, 2),
                           .groups = 1 };
    return cbm_conv2d_with(in[0], in[1], NULL, &o);
}

static cbm_tensor *convolution_grouped(cbm_tensor *const *in)
{
    cbm_conv_options o = {
        .struct_size = sizeof o, .stride = CBM_SHAPE(1), .padding = CBM_SHAPE(1), .dilation = CBM_SHAPE(1), .groups = 4
    };
    return cbm_conv2d_with(in[0], in[1], in[2], &o);
}

static cbm_tensor *pools(cbm_tensor *const *in)
{
    cbm_pool_options o = { .struct_size = sizeof o, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1) };
    return cbm_sub(cbm_max_pool2d_with(in[0], CBM_SHAPE(3), &o), cbm_avg_pool2d_with(in[0], CBM_SHAPE(3), &o));
}

static cbm_tensor *pool_by_two(cbm_tensor *const *in)
{
    cbm_pool_options o = { .struct_size = sizeof o };
    return cbm_max_pool2d_with(in[0], CBM_SHAPE(2, 2), &o);
}

static cbm_tensor *normalised(cbm_tensor *const *in)
{
    return cbm_batch_norm(in[0], NULL, NULL, in[1], in[2], true, 0.1, 1e-5);
}

static cbm_tensor *normalised_relu(cbm_tensor *const *in)
{
    cbm_tensor *t = cbm_relu(normalised(in));
    return cbm_add(t, cbm_mul(t, t));
}

/* A ReLU whose argument somebody else reads too. */
static cbm_tensor *normalised_twice(cbm_tensor *const *in)
{
    cbm_tensor *t = normalised(in);
    return cbm_add(cbm_relu(t), cbm_tanh(t));
}

static cbm_tensor *squared_error(cbm_tensor *const *in)
{
    return cbm_mse(in[0], in[1]);
}

static cbm_tensor *small_net(cbm_tensor *const *in)
{
    cbm_pool_options o = { .struct_size = sizeof o };
    cbm_tensor *t = cbm_max_pool2d_with(convolution(in), CBM_SHAPE(2), &o);
    return cbm_matmul(cbm_flatten(t, 1), in[3]);
}

static const larger table[] = {
    { "chain", chain, SHAPES(DIMS(100003), DIMS(100003), DIMS(100003)) },
    { "chain, broadcast rows", chain, SHAPES(DIMS(317, 129), DIMS(129), DIMS(317, 1)) },
    { "chain, scalar", chain, SHAPES(DIMS(7, 5, 33), DIMS(), DIMS(5, 1)) },
    { "activations", activations, SHAPES(DIMS(5, 4099)) },
    { "matmul 1x1", product, SHAPES(DIMS(1, 1), DIMS(1, 1)) },
    { "matmul 64", product, SHAPES(DIMS(64, 64), DIMS(64, 64)) },
    { "matmul odd", product, SHAPES(DIMS(129, 67), DIMS(67, 33)) },
    { "matmul thin", product, SHAPES(DIMS(1, 300), DIMS(300, 7)) },
    { "matmul batched", product, SHAPES(DIMS(3, 17, 19), DIMS(3, 19, 5)) },
    { "matmul broadcast", product, SHAPES(DIMS(2, 1, 17, 19), DIMS(5, 19, 3)) },
    { "matmul batch by one matrix", product, SHAPES(DIMS(4, 9, 19), DIMS(19, 23)) },
    { "matmul transposed", product_of_transposed, SHAPES(DIMS(31, 45), DIMS(29, 31)) },
    { "linear", linear, SHAPES(DIMS(64, 200), DIMS(50, 200), DIMS(50)) },
    { "linear, batch of one", linear, SHAPES(DIMS(1, 16), DIMS(3, 16), DIMS(3)) },
    { "reductions", reductions, SHAPES(DIMS(301, 77)) },
    { "outer reductions", outer_reductions, SHAPES(DIMS(8, 5, 13, 11)) },
    { "softmaxes", softmaxes, SHAPES(DIMS(65, 131)) },
    { "softmax of two", softmaxes, SHAPES(DIMS(513, 2)) },
    { "moved", moved, SHAPES(DIMS(13, 11, 9)) },
    { "conv 1 to 32", convolution, SHAPES(DIMS(4, 1, 28, 28), DIMS(32, 1, 3, 3), DIMS(32)) },
    { "conv 8 to 16", convolution, SHAPES(DIMS(3, 8, 13, 15), DIMS(16, 8, 3, 3), DIMS(16)) },
    { "conv odd", convolution, SHAPES(DIMS(2, 5, 9, 7), DIMS(7, 5, 2, 3), DIMS(7)) },
    { "conv 1x1", convolution, SHAPES(DIMS(2, 16, 6, 6), DIMS(8, 16, 1, 1), DIMS(8)) },
    { "conv padded", convolution_padded, SHAPES(DIMS(2, 6, 15, 14), DIMS(10, 6, 3, 3)) },
    { "conv grouped", convolution_grouped, SHAPES(DIMS(2, 8, 10, 9), DIMS(12, 2, 3, 3), DIMS(12)) },
    { "conv depthwise", convolution_grouped, SHAPES(DIMS(2, 4, 12, 12), DIMS(4, 1, 3, 3), DIMS(4)) },
    { "pools", pools, SHAPES(DIMS(3, 5, 17, 18)) },
    { "pool by two", pool_by_two, SHAPES(DIMS(4, 16, 24, 25)) },
    { "batch norm of pictures", normalised, SHAPES(DIMS(6, 10, 9, 7), DIMS(10), DIMS(10)) },
    { "batch norm of rows", normalised, SHAPES(DIMS(64, 33), DIMS(33), DIMS(33)) },
    { "batch norm and relu", normalised_relu, SHAPES(DIMS(6, 16, 9, 7), DIMS(16), DIMS(16)) },
    { "batch norm and relu of rows", normalised_relu, SHAPES(DIMS(64, 33), DIMS(33), DIMS(33)) },
    { "batch norm read twice", normalised_twice, SHAPES(DIMS(6, 10, 9, 7), DIMS(10), DIMS(10)) },
    { "mse", squared_error, SHAPES(DIMS(40, 41), DIMS(40, 41)) },
    { "small net", small_net, SHAPES(DIMS(5, 3, 12, 12), DIMS(8, 3, 3, 3), DIMS(8), DIMS(200, 10)) },
};

static size_t apply_larger(const subject *s, cbm_context *cx, bool f32, cbm_tensor *const *in, cbm_tensor **out)
{
    (void)cx;
    (void)f32;
    out[0] = ((const larger *)s->user)->f(in);
    return 1;
}

static void larger_shapes(void **state)
{
    (void)state;
    int failures = 0;
    for (size_t n = 0; n < sizeof table / sizeof *table; n++) {
        subject s = { .name = table[n].name, .forward = apply_larger, .user = &table[n] };
        for (; s.n_in < 4 && table[n].in[s.n_in].v[0] >= 0; s.n_in++)
            s.in[s.n_in] = compare_tensor(table[n].in[s.n_in], 10 * n + s.n_in);
        for (int layout = 0; layout < LAYOUTS; layout++) {
            s.layout = (case_layout)layout;
            failures += compare_backends(&s, true);
        }
        for (size_t i = 0; i < s.n_in; i++)
            free(s.in[i].data);
    }
    assert_int_equal(failures, 0);
}

/* Cross-entropy has integer targets, so it stands apart. */
static size_t apply_loss(const subject *s, cbm_context *cx, bool f32, cbm_tensor *const *in, cbm_tensor **out)
{
    (void)s;
    (void)cx;
    (void)f32;
    out[0] = cbm_cross_entropy(in[0], in[1]);
    return 1;
}

static void losses(void **state)
{
    (void)state;
    enum { ROWS = 67, CLASSES = 19 };
    double logits[ROWS * CLASSES];
    int64_t labels[ROWS];
    for (int i = 0; i < ROWS * CLASSES; i++)
        logits[i] = 8 * (double)cbm_philox_uniform(1, 2, (uint64_t)i) - 4;
    for (int i = 0; i < ROWS; i++)
        labels[i] = i * 7 % CLASSES;
    subject s = { .name = "cross entropy", .n_in = 2, .forward = apply_loss };
    s.in[0] = (case_tensor){ CBM_F64, CBM_SHAPE(ROWS, CLASSES), ROWS * CLASSES, true, logits };
    s.in[1] = (case_tensor){ CBM_I64, CBM_SHAPE(ROWS), ROWS, true, labels };
    assert_int_equal(compare_backends(&s, true), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample),
        cmocka_unit_test(larger_shapes),
        cmocka_unit_test(losses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
