/* test_activations.c: each activation's layer is the operation of its name, with its numbers; PReLU's parameter. */
#include <cambium/cambium.h>
#include <stdio.h>
#include "support/status.h"

enum { ROWS = 3, COLUMNS = 4 };

static cbm_tensor *softmin(cbm_tensor *x)
{
    return cbm_softmax(cbm_neg(x), 1);
}

static void layers_are_their_operations(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 4);
    cbm_tensor *x = cbm_variable(cbm_uniform(cx, CBM_F32, CBM_SHAPE(ROWS, COLUMNS), -4, 4), false);
    const struct {
        const char *type;
        cbm_module *layer;
        cbm_tensor *want;
    } cases[] = {
        { "relu", cbm_nn_relu(cx), cbm_relu(x) },
        { "relu6", cbm_nn_relu6(cx), cbm_relu6(x) },
        { "leaky_relu", cbm_nn_leaky_relu(cx, 0.2), cbm_leaky_relu(x, 0.2) },
        { "elu", cbm_nn_elu(cx, 0.7), cbm_elu(x, 0.7) },
        { "celu", cbm_nn_celu(cx, 1.3), cbm_celu(x, 1.3) },
        { "selu", cbm_nn_selu(cx), cbm_selu(x) },
        { "sigmoid", cbm_nn_sigmoid(cx), cbm_sigmoid(x) },
        { "log_sigmoid", cbm_nn_log_sigmoid(cx), cbm_log_sigmoid(x) },
        { "tanh", cbm_nn_tanh(cx), cbm_tanh(x) },
        { "softsign", cbm_nn_softsign(cx), cbm_softsign(x) },
        { "softplus", cbm_nn_softplus(cx, 2, 3), cbm_softplus(x, 2, 3) },
        { "gelu", cbm_nn_gelu(cx), cbm_gelu(x) },
        { "gelu_tanh", cbm_nn_gelu_tanh(cx), cbm_gelu_tanh(x) },
        { "silu", cbm_nn_silu(cx), cbm_silu(x) },
        { "mish", cbm_nn_mish(cx), cbm_mish(x) },
        { "glu", cbm_nn_glu(cx, -1), cbm_glu(x, 1) },
        { "hardtanh", cbm_nn_hardtanh(cx, -2, 1), cbm_hardtanh(x, -2, 1) },
        { "hardsigmoid", cbm_nn_hardsigmoid(cx), cbm_hardsigmoid(x) },
        { "hardswish", cbm_nn_hardswish(cx), cbm_hardswish(x) },
        { "hardshrink", cbm_nn_hardshrink(cx, 0.9), cbm_hardshrink(x, 0.9) },
        { "softshrink", cbm_nn_softshrink(cx, 0.9), cbm_softshrink(x, 0.9) },
        { "tanhshrink", cbm_nn_tanhshrink(cx), cbm_tanhshrink(x) },
        { "threshold", cbm_nn_threshold(cx, 0.5, -7), cbm_threshold(x, 0.5, -7) },
        { "softmax", cbm_nn_softmax(cx, 0), cbm_softmax(x, 0) },
        { "softmin", cbm_nn_softmin(cx, 1), softmin(x) },
        { "log_softmax", cbm_nn_log_softmax(cx, 1), cbm_log_softmax(x, 1) },
    };
    good(cx);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float got[ROWS * COLUMNS] = { 0 }, want[ROWS * COLUMNS] = { 0 };
        const size_t size = (size_t)cbm_tensor_count(cases[i].want) * sizeof *want;
        assert_string_equal(cases[i].layer->type, cases[i].type);
        assert_int_equal(cbm_parameter_count(cases[i].layer), 0);
        assert_int_equal(cbm_read(cbm_call(cases[i].layer, x), got, size), CBM_OK);
        assert_int_equal(cbm_read(cases[i].want, want, size), CBM_OK);
        assert_memory_equal(got, want, size);
    }
    good(cx);
    cbm_close(cx);
}

static void prelu(void **state)
{
    (void)state;
    static const float data[] = { -4, 8, -2, 1, -1, -8 };
    static const float want[] = { -1, 8, -0.5f, 1, -0.25f, -2 };
    float got[6];
    cbm_context *cx = cbm_open(NULL);
    cbm_module *one = cbm_nn_prelu(cx, 1), *channels = cbm_nn_prelu(cx, 3, .initial = 0.5, .dtype = CBM_F64);
    cbm_tensor *x = cbm_variable(cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(2, 3), data), false);
    assert_int_equal(cbm_read(cbm_call(one, x), got, sizeof got), CBM_OK);
    assert_memory_equal(got, want, sizeof got);
    assert_int_equal(cbm_tensor_count(cbm_parameter(channels, "weight")), 3);
    assert_true(cbm_item(cbm_sum(cbm_parameter(channels, "weight"))) == 1.5);
    cbm_backward(cbm_sum(cbm_call(one, x)));
    assert_true(cbm_item(cbm_gradient(cbm_parameter(one, "weight"))) == -15);
    good(cx);
    cbm_nn_prelu(cx, 0);
    refused(cx, CBM_ERROR_INVALID, "[prelu] 0 slopes");
    cbm_nn_prelu(cx, 1, .dtype = CBM_I32);
    refused(cx, CBM_ERROR_DTYPE, "[prelu]");
    cbm_nn_prelu_with(cx, 1, NULL);
    refused(cx, CBM_ERROR_INVALID, "the options are NULL");
    cbm_nn_prelu_options o;
    cbm_nn_prelu_options_init(&o);
    assert_true(o.initial == 0.25 && o.dtype == CBM_F32);
    cbm_call(cbm_nn_softshrink(cx, -1),
             cbm_zeros(cx, CBM_F32, CBM_SHAPE(2))); /* wrong numbers are refused when called */
    refused(cx, CBM_ERROR_INVALID, "[softshrink]");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_their_operations),
        cmocka_unit_test(prelu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
