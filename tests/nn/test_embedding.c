/* test_embedding.c: embeddings and bags of them: names, initial values, what they look up, padding, gradients, tables from
   elsewhere, errors. What the operations compute is compared with PyTorch in tests/op. */
#include <cambium/cambium.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "support/status.h"

enum { COUNT = 400, WIDTH = 30 };

static void initial_values(void **state)
{
    (void)state;
    static float w[COUNT * WIDTH];
    cbm_context *cx = cbm_open_with(.seed = 3);
    cbm_module *m = cbm_nn_embedding(cx, COUNT, WIDTH, .padding_idx = 7);
    cbm_tensor *weight = cbm_parameter(m, "weight");
    assert_int_equal(cbm_read(weight, w, sizeof w), CBM_OK);
    double sum = 0, squares = 0;
    for (int i = 0; i < COUNT * WIDTH; i++) {
        sum += (double)w[i];
        squares += (double)w[i] * (double)w[i];
        assert_int_equal(i / WIDTH == 7, w[i] == 0);
    }
    const double n = (COUNT - 1) * WIDTH;
    assert_true(fabs(sum / n) < 5 / sqrt(n) && fabs(squares / n - 1) < 5 * sqrt(2 / n));
    assert_int_equal(cbm_tensor_dtype(cbm_parameter(cbm_nn_embedding_bag(cx, 3, 2, .dtype = CBM_F64), "weight")),
                     CBM_F64);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void rows_and_bags(void **state)
{
    (void)state;
    static const float table[4][2] = { { 1, 2 }, { 3, 40 }, { 5, 6 }, { 0, 0 } };
    static const int64_t indices[2][3] = { { 0, 1, 3 }, { 2, 2, 0 } };
    static const struct {
        uint64_t mode;
        float want[4];
    } bags[] = { { CBM_BAG_SUM, { 4, 42, 11, 14 } },
                 { CBM_BAG_MEAN, { 2, 21, 11.0f / 3, 14.0f / 3 } },
                 { CBM_BAG_MAX, { 3, 40, 5, 6 } } };
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2, 3), indices),
               *t = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4, 2), table);
    cbm_module *m = cbm_nn_embedding_from(t, false, 3);
    float got[12], g[8];
    assert_int_equal(cbm_read(cbm_call(m, x), got, sizeof got), CBM_OK);
    for (int i = 0; i < 12; i++)
        assert_true(got[i] == table[indices[i / 6][i / 2 % 3]][i % 2]);
    cbm_tensor *weight = cbm_parameter(m, "weight"), *grad;
    assert_int_equal(cbm_grad(cbm_sum(cbm_call(m, x)), &weight, 1, &grad), CBM_OK);
    assert_int_equal(cbm_read(grad, g, sizeof g), CBM_OK);
    assert_memory_equal(g, ((float[]){ 2, 2, 1, 1, 2, 2, 0, 0 }), sizeof g); /* padding gets none */
    for (size_t i = 0; i < sizeof bags / sizeof *bags; i++) {
        cbm_module *bag = cbm_nn_embedding_bag(cx, 4, 2, .mode = bags[i].mode, .padding_idx = 3);
        cbm_assign(cbm_parameter(bag, "weight"), t);
        assert_int_equal(cbm_read(cbm_call(bag, x), got, 4 * sizeof *got), CBM_OK);
        for (int k = 0; k < 4; k++)
            assert_true(fabsf(got[k] - bags[i].want[k]) < 1e-5f);
    }
    assert_false(cbm_tensor_requires_grad(cbm_call(cbm_nn_embedding_from(t, true, CBM_NO_PADDING), x)));
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

/* Words that name their class become vectors from which it can be read off. */
static void learns(void **state)
{
    (void)state;
    static const int64_t words[8] = { 0, 1, 2, 3, 4, 5, 6, 7 }, classes[8] = { 0, 1, 0, 1, 1, 0, 0, 1 };
    cbm_context *cx = cbm_open_with(.seed = 5);
    cbm_module *net = cbm_sequential(cx, cbm_nn_embedding(cx, 8, 4), cbm_nn_linear(cx, 4, 2), CBM_END);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.5);
    double loss = 0;
    for (int i = 0; i < 100; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *x = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(8), words),
                   *y = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(8), classes);
        cbm_tensor *l = cbm_cross_entropy(cbm_call(net, x), y);
        cbm_backward(l);
        cbm_step(opt);
        loss = cbm_item(l);
    }
    assert_true(loss < 0.05);
    assert_non_null(cbm_parameter(net, "0.weight"));
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_nn_embedding(cx, 0, 4);
    refused(cx, CBM_ERROR_SHAPE, "[embedding] a table of 0 rows of 4 numbers");
    cbm_nn_embedding(cx, 5, 4, .padding_idx = 5);
    refused(cx, CBM_ERROR_RANGE, "[embedding] padding_idx 5 is outside 0..4");
    cbm_nn_embedding_bag(cx, 5, 4, .mode = 9);
    refused(cx, CBM_ERROR_INVALID, "[embedding_bag] there is no mode 9");
    cbm_nn_embedding_from(cbm_zeros(cx, CBM_F32, CBM_SHAPE(3)), true, CBM_NO_PADDING);
    refused(cx, CBM_ERROR_SHAPE, "[embedding] the weight has 1 dimensions, not 2");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(initial_values), cmocka_unit_test(rows_and_bags),
                                        cmocka_unit_test(learns), cmocka_unit_test(errors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
