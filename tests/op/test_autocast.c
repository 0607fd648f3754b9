/* test_autocast.c: precision bf16: which types results have, that parameters, gradients and optimizer state stay f32, and
   that a small network learns as it does in f32. */
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cbm_tensor *numbers(cbm_context *cx, cbm_dtype dtype, cbm_shape shape)
{
    return cbm_cast(cbm_normal(cx, CBM_F32, shape, 0, 1), dtype);
}

static void types_of_results(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.precision = CBM_PRECISION_BF16);
    assert_int_equal(cbm_context_precision(cx), CBM_PRECISION_BF16);
    cbm_tensor *w = numbers(cx, CBM_F32, CBM_SHAPE(4, 4)), *h = numbers(cx, CBM_BF16, CBM_SHAPE(4, 4));
    cbm_tensor *d = numbers(cx, CBM_F64, CBM_SHAPE(4, 4)), *s = cbm_scalar(cx, CBM_F32, 0.1);
    cbm_tensor *x = numbers(cx, CBM_F32, CBM_SHAPE(2, 3, 8, 8)), *k = numbers(cx, CBM_F32, CBM_SHAPE(5, 3, 3, 3));
    cbm_tensor *labels = cbm_argmax(w, .axes = CBM_SHAPE(1)), *c = cbm_ones(cx, CBM_F32, CBM_SHAPE(5));
    cbm_tensor *y = cbm_conv2d(x, k, c, .padding = CBM_SHAPE(1));
    const struct {
        const char *name;
        cbm_tensor *t;
        cbm_dtype dtype;
    } cases[] = {
        { "matmul f32 f32", cbm_matmul(w, w), CBM_BF16 },
        { "matmul f32 bf16", cbm_matmul(w, h), CBM_BF16 },
        { "matmul f64 f64", cbm_matmul(d, d), CBM_F64 },
        { "conv2d with bias", y, CBM_BF16 },
        { "batch norm", cbm_batch_norm(y, NULL, NULL, c, c, true, 0.1, 1e-5), CBM_BF16 },
        { "batch norm, evaluating", cbm_batch_norm(y, c, c, c, c, false, 0.1, 1e-5), CBM_BF16 },
        { "max pool", cbm_max_pool2d(y, CBM_SHAPE(2)), CBM_BF16 },
        { "average pool", cbm_avg_pool2d(y, CBM_SHAPE(2)), CBM_BF16 },
        { "max pool f32", cbm_max_pool2d(x, CBM_SHAPE(2)), CBM_F32 },
        { "relu", cbm_relu(h), CBM_BF16 },
        { "sigmoid", cbm_sigmoid(h), CBM_BF16 },
        { "dropout", cbm_dropout(h, 0.5), CBM_BF16 },
        { "add bf16 bf16", cbm_add(h, h), CBM_BF16 },
        { "add bf16 f32", cbm_add(h, w), CBM_F32 },
        { "mul bf16 f32 scalar", cbm_mul(h, s), CBM_BF16 },
        { "greater bf16 f32 scalar", cbm_greater(h, s), CBM_BOOL },
        { "mul bf16 number", cbm_mul_scalar(h, 0.1), CBM_BF16 },
        { "add f32 bf16 scalar", cbm_add(w, cbm_cast(s, CBM_BF16)), CBM_F32 },
        { "where bf16 f32", cbm_where(cbm_greater(h, w), h, w), CBM_F32 },
        { "flatten", cbm_flatten(y, 1), CBM_BF16 },
        { "sum", cbm_sum(h), CBM_F32 },
        { "mean", cbm_mean(h), CBM_F32 },
        { "max", cbm_max(h), CBM_BF16 },
        { "exp", cbm_exp(h), CBM_F32 },
        { "log", cbm_log(h), CBM_F32 },
        { "pow", cbm_pow_scalar(h, 0.3), CBM_F32 },
        { "softmax", cbm_softmax(h, 1), CBM_F32 },
        { "log softmax", cbm_log_softmax(h, 1), CBM_F32 },
        { "cross entropy", cbm_cross_entropy(h, labels), CBM_F32 },
        { "mse", cbm_mse(h, h), CBM_F32 },
        { "argmax", labels, CBM_I64 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (cbm_tensor_failed(cases[i].t) || cbm_tensor_dtype(cases[i].t) != cases[i].dtype)
            fail_msg("%s: %s, not %s; %s", cases[i].name, cbm_dtype_name(cbm_tensor_dtype(cases[i].t)),
                     cbm_dtype_name(cases[i].dtype), cbm_message(cx));
    assert_int_equal(cbm_flush(cx), CBM_OK);
    cbm_close(cx);
}

static void scopes_and_modules_choose(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *w = cbm_ones(cx, CBM_F32, CBM_SHAPE(3, 3));
    assert_int_equal(cbm_tensor_dtype(cbm_matmul(w, w)), CBM_F32);
    const cbm_scope_options options = { .struct_size = sizeof options, .precision = CBM_PRECISION_BF16 };
    cbm_scope *scope = cbm_scope_begin_with(cx, &options);
    assert_int_equal(cbm_tensor_dtype(cbm_matmul(w, w)), CBM_BF16);
    {
        CBM_SCOPE(inner, cx);
        assert_int_equal(cbm_tensor_dtype(cbm_matmul(w, w)), CBM_BF16);
    }
    cbm_scope_end(scope);
    assert_int_equal(cbm_tensor_dtype(cbm_matmul(w, w)), CBM_F32);

    cbm_module *first = cbm_nn_linear(cx, 3, 3), *last = cbm_nn_linear(cx, 3, 3);
    cbm_module *net = cbm_sequential(cx, first, cbm_nn_relu(cx), last, CBM_END);
    cbm_module_set_precision(net, CBM_PRECISION_BF16);
    assert_int_equal(cbm_tensor_dtype(cbm_call(net, w)), CBM_BF16);
    assert_int_equal(cbm_context_precision(cx), CBM_PRECISION_F32);
    cbm_module_set_precision(last, CBM_PRECISION_F32);
    assert_int_equal(cbm_tensor_dtype(cbm_call(net, w)), CBM_F32);
    assert_int_equal(cbm_tensor_dtype(cbm_call(first, w)), CBM_F32); /* called alone: the context's */
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    cbm_module_set_precision(first, (cbm_precision)9);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_INVALID);
    cbm_close(cx);
    cx = cbm_open_with(.precision = 7);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_INVALID);
    cbm_close(cx);
}

static cbm_status twice(const cbm_launch *l)
{
    for (int64_t i = 0; i < l->out[0].count; i++)
        ((float *)l->out[0].data)[i] = 2 * ((const float *)l->in[0].data)[i];
    return l->in[0].dtype == CBM_F32 ? CBM_OK : CBM_ERROR_DTYPE;
}

/* A kernel that was written for f32 never sees anything else. */
static void kernels_of_users_get_f32(void **state)
{
    (void)state;
    static const cbm_op op = { .struct_size = sizeof op, .name = "twice", .n_in = 1, .n_out = 1, .kernel = twice };
    cbm_context *cx = cbm_open_with(.precision = CBM_PRECISION_BF16);
    cbm_tensor *x = cbm_matmul(cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 2)), cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 2)));
    cbm_tensor *y = NULL;
    assert_int_equal(cbm_tensor_dtype(x), CBM_BF16);
    cbm_apply(cx, &op, &x, 1, NULL, &y);
    float out[4];
    assert_int_equal(cbm_read(y, out, sizeof out), CBM_OK);
    assert_true(out[3] == 4);
    cbm_close(cx);
}

/* ---- a small network on made-up data ---- */

enum { FEATURES = 20, CLASSES = 4, SAMPLES = 256, STEPS = 60 };

typedef struct course {
    double first, last;
    float weights[CLASSES * 32];
} course;

static course learn(cbm_precision precision, bool naive, const char *device)
{
    course result;
    cbm_context *cx = cbm_open_with(.precision = precision, .naive = naive, .device = device, .threads = 2, .seed = 4);
    cbm_module *last = cbm_nn_linear(cx, 32, CLASSES);
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, FEATURES, 32), cbm_nn_batch_norm1d(cx, 32), cbm_nn_relu(cx),
                                     last, CBM_END);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.1, .momentum = 0.9);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(SAMPLES, FEATURES), 0, 1), false);
    cbm_tensor *y = cbm_variable(cbm_argmax(cbm_slice(x, 1, 0, CLASSES, 1), .axes = CBM_SHAPE(1)), false);
    for (int i = 0; i < STEPS; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *scores = cbm_call(net, x), *loss = cbm_cross_entropy(scores, y);
        assert_int_equal(cbm_tensor_dtype(scores), precision == CBM_PRECISION_BF16 ? CBM_BF16 : CBM_F32);
        cbm_backward(loss);
        for (size_t k = 0; k < cbm_parameter_count(net); k++) {
            cbm_named p;
            assert_true(cbm_parameter_at(net, k, &p));
            assert_int_equal(cbm_tensor_dtype(p.tensor), CBM_F32);
            assert_int_equal(cbm_tensor_dtype(cbm_gradient(p.tensor)), CBM_F32);
        }
        cbm_step(opt);
        *(i == 0 ? &result.first : &result.last) = cbm_item(loss);
    }
    assert_int_equal(cbm_read(cbm_parameter(last, "weight"), result.weights, sizeof result.weights), CBM_OK);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
    return result;
}

static void learns_as_in_f32(void **state)
{
    (void)state;
    const course full = learn(CBM_PRECISION_F32, false, "cpu"), half = learn(CBM_PRECISION_BF16, false, "cpu");
    const course plain = learn(CBM_PRECISION_BF16, false, "reference");
    assert_true(full.first > 1 && full.last < 0.3);
    assert_true(half.first != full.first); /* it did compute otherwise */
    assert_true(fabs(half.first - full.first) < 0.01 * full.first);
    assert_true(fabs(half.last - full.last) < 0.05 * full.first);
    assert_true(fabs(half.first - plain.first) < 0.002 * full.first);
    assert_true(fabs(half.last - plain.last) < 0.05 * full.first);
}

static void repeats_bit_for_bit(void **state)
{
    (void)state;
    const course one = learn(CBM_PRECISION_BF16, false, "cpu"), two = learn(CBM_PRECISION_BF16, false, "cpu");
    const course naive = learn(CBM_PRECISION_BF16, true, "cpu");
    assert_memory_equal(one.weights, two.weights, sizeof one.weights);
    assert_memory_equal(one.weights, naive.weights, sizeof one.weights); /* fusing changes no bits */
}

/* Gradients of a product against those in f64, and an f32 scalar's beside bf16. */
static void gradients(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.precision = CBM_PRECISION_BF16);
    cbm_tensor *w = cbm_variable(numbers(cx, CBM_F32, CBM_SHAPE(6, 5)), true);
    cbm_tensor *scale = cbm_variable(cbm_scalar(cx, CBM_F32, 1.5), true);
    cbm_tensor *x = cbm_variable(numbers(cx, CBM_F32, CBM_SHAPE(7, 6)), false);
    cbm_tensor *y = cbm_mul(cbm_matmul(x, w), scale);
    assert_int_equal(cbm_tensor_dtype(y), CBM_BF16);
    cbm_backward(cbm_sum(y));
    assert_int_equal(cbm_tensor_dtype(cbm_gradient(scale)), CBM_F32);
    float xs[7][6], ws[6][5], g[6][5], total = 0;
    assert_int_equal(cbm_read(x, xs, sizeof xs), CBM_OK);
    assert_int_equal(cbm_read(w, ws, sizeof ws), CBM_OK);
    assert_int_equal(cbm_read(cbm_gradient(w), g, sizeof g), CBM_OK);
    for (int k = 0; k < 6; k++) {
        float column = 0, largest = 0;
        for (int i = 0; i < 7; i++) {
            column += xs[i][k];
            largest += fabsf(xs[i][k]);
        }
        for (int j = 0; j < 5; j++) {
            assert_true(fabsf(g[k][j] - 1.5f * column) <= 0x1p-7f * 1.5f * largest);
            total += column * ws[k][j];
        }
    }
    assert_true(fabs(cbm_item(cbm_gradient(scale)) - (double)total) < 0.05 * (fabs((double)total) + 5));
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void assignment_converts(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.precision = CBM_PRECISION_BF16);
    cbm_tensor *v = cbm_variable(cbm_zeros(cx, CBM_F32, CBM_SHAPE(2, 2)), false);
    cbm_tensor *one = cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 2));
    cbm_assign(v, cbm_matmul(one, one));
    float out[4];
    assert_int_equal(cbm_read(v, out, sizeof out), CBM_OK);
    assert_true(out[0] == 2 && out[3] == 2);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_of_results),         cmocka_unit_test(scopes_and_modules_choose),
        cmocka_unit_test(kernels_of_users_get_f32), cmocka_unit_test(learns_as_in_f32),
        cmocka_unit_test(repeats_bit_for_bit),      cmocka_unit_test(gradients),
        cmocka_unit_test(assignment_converts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
