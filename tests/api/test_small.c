/* test_small.c: small public functions that the other tests have no need of: what a dataset, a loader, an optimizer say of
   themselves; sharing memory between contexts; how a tensor was recorded; comparisons by their own names. */
#include "support/status.h"
#include <cambium/cambium.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void expect_numbers(cbm_tensor *t, size_t count, const float *want)
{
    float got[16];
    assert_int_equal(cbm_read(t, got, count * sizeof *got), CBM_OK);
    assert_memory_equal(got, want, count * sizeof *got);
}

static void test_comparisons(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    const float numbers[] = { -1, 2, 9 };
    cbm_tensor *a = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(3), numbers), *two = cbm_scalar(cx, CBM_F32, 2);
    const struct {
        cbm_tensor *t;
        bool want[3];
    } cases[] = {
        { cbm_equal(a, two), { false, true, false } },     { cbm_not_equal(a, two), { true, false, true } },
        { cbm_less_equal(a, two), { true, true, false } }, { cbm_greater_equal(a, two), { false, true, true } },
        { cbm_less(a, two), { true, false, false } },      { cbm_greater(a, two), { false, false, true } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool got[3];
        assert_int_equal(cbm_read(cases[i].t, got, sizeof got), CBM_OK);
        assert_memory_equal(got, cases[i].want, sizeof got);
    }
    expect_numbers(cbm_relu6(cbm_mul_scalar(a, 4)), 3, (const float[]){ 0, 6, 6 });
    cbm_tensor *w = cbm_variable(cbm_zeros(cx, CBM_F32, CBM_SHAPE(16)), true);
    cbm_init_uniform(w, 0.25);
    float drawn[16];
    assert_int_equal(cbm_read(w, drawn, sizeof drawn), CBM_OK);
    float sum = 0;
    for (int i = 0; i < 16; i++) {
        assert_true(fabsf(drawn[i]) <= 0.25f);
        sum += fabsf(drawn[i]);
    }
    assert_true(sum > 0.5f);
    cbm_tensor *products = cbm_bilinear(a, a, cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 3, 3)), NULL);
    expect_numbers(products, 2, (const float[]){ 100, 100 });
    assert_string_equal(cbm_precision_name(CBM_PRECISION_BF16), "bf16");
    assert_string_equal(cbm_precision_name((cbm_precision)9), "");
    good(cx);
    cbm_close(cx);
}

static void test_share(void **state)
{
    (void)state;
    cbm_context *one = cbm_open_with(.threads = 1), *other = cbm_open_with(.threads = 1);
    cbm_module *a = cbm_nn_linear(one, 100, 50), *b = cbm_nn_linear(other, 100, 50);
    cbm_flush(other);
    const uint64_t before = cbm_context_statistics(other).bytes_now;
    assert_int_equal(cbm_module_share(b, a), CBM_OK);
    assert_true(cbm_context_statistics(other).bytes_now + 15000 < before); /* its own weights are gone */
    assert_ptr_equal(cbm_tensor_data(cbm_parameter(a, "weight")), cbm_tensor_data(cbm_parameter(b, "weight")));
    float kept[50], got[50];
    assert_int_equal(cbm_read(cbm_parameter(b, "bias"), kept, sizeof kept), CBM_OK);
    cbm_tensor *bias = cbm_parameter(a, "bias");
    cbm_assign(bias, cbm_add_scalar(bias, 1)); /* a new version elsewhere */
    assert_int_equal(cbm_flush(one), CBM_OK);
    assert_int_equal(cbm_read(cbm_parameter(b, "bias"), got, sizeof got), CBM_OK);
    assert_memory_equal(got, kept, sizeof got);
    assert_ptr_not_equal(cbm_tensor_data(bias), cbm_tensor_data(cbm_parameter(b, "bias")));
    good(one);
    good(other);
    cbm_close(one); /* what is shared stays */
    assert_int_equal(cbm_read(cbm_parameter(b, "bias"), got, sizeof got), CBM_OK);
    assert_memory_equal(got, kept, sizeof got);

    cbm_tensor *v = cbm_variable(cbm_zeros(other, CBM_F32, CBM_SHAPE(2)), true);
    assert_int_equal(cbm_share(v, cbm_parameter(b, "bias")), CBM_ERROR_SHAPE);
    refused(other, CBM_ERROR_SHAPE, "[share] the variable is f32 (2), the source f32 (50)");
    assert_int_equal(cbm_share(v, cbm_zeros(other, CBM_F32, CBM_SHAPE(2))), CBM_ERROR_INVALID);
    refused(other, CBM_ERROR_INVALID, "[share] the source has not been computed. HINT: cbm_compute");
    assert_int_equal(cbm_module_share(b, cbm_nn_relu(other)), CBM_ERROR_INVALID);
    refused(other, CBM_ERROR_INVALID, "[share] the networks have 2 and 0 parameters and buffers");
    assert_int_equal(cbm_module_share(b, cbm_sequential(other, cbm_nn_linear(other, 100, 50), CBM_END)),
                     CBM_ERROR_INVALID);
    refused(other, CBM_ERROR_INVALID, "[share] the other network has no parameter or buffer named 'weight'");
    cbm_close(other);
}

static void test_expression(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = cbm_ones(cx, CBM_F32, CBM_SHAPE(2)), *y = cbm_exp(x);
    cbm_tensor *z = cbm_mul(y, cbm_sub(cbm_scalar(cx, CBM_F32, 1.5), cbm_mul(x, y)));
    cbm_tensor *known[] = { x };
    const char *const names[] = { "x" };
    char text[64];
    assert_int_equal(cbm_tensor_expression(z, known, names, 1, text, sizeof text), 37);
    assert_string_equal(text, "mul(exp(x), sub(1.5, mul(x, exp(x))))");
    cbm_close(cx);
}

static void test_datasets_and_loaders(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d =
        cbm_dataset_tensors(cx, cbm_zeros(cx, CBM_F32, CBM_SHAPE(6, 4)), cbm_zeros(cx, CBM_U8, CBM_SHAPE(6, 3)));
    assert_ptr_equal(cbm_dataset_context(d), cx);
    assert_true(cbm_dataset_has_target(d));
    assert_string_equal(cbm_dataset_name(d), "tensors");
    const cbm_shape shape = cbm_dataset_target_shape(d), want = CBM_SHAPE(3);
    assert_true(cbm_shape_equal(&shape, &want));
    cbm_loader *l = cbm_loader_open(d, .batch_size = 4);
    assert_int_equal(cbm_loader_batch_size(l), 4);
    assert_ptr_equal(cbm_loader_dataset(l), d);
    const cbm_transform_call call = { .index = 3, .epoch = 1, .seed = 7 },
                             later = { .index = 3, .epoch = 2, .seed = 7 };
    int differ = 0;
    for (int64_t i = 0; i < 100; i++) {
        const int64_t number = cbm_transform_random(&call, i, 10);
        assert_true(number >= 0 && number < 10);
        assert_int_equal(number, cbm_transform_random(&call, i, 10));
        differ += number != cbm_transform_random(&later, i, 10);
    }
    assert_true(differ > 50);
    cbm_module *net = cbm_nn_linear(cx, 4, 3);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.1);
    assert_ptr_equal(cbm_optimizer_context(opt), cx);
    cbm_named named;
    assert_true(cbm_optimizer_parameter_at(opt, 1, &named));
    assert_ptr_equal(named.tensor, cbm_parameter(net, "bias"));
    assert_false(cbm_optimizer_parameter_at(opt, 2, &named));
    good(cx);
    cbm_close(cx);
}

static void see(const char *name, cbm_module *module, cbm_tensor *input, cbm_tensor *output, void *user)
{
    char *list = user;
    (void)input;
    (void)output;
    strcat(strcat(strcat(list, name), module->type), " ");
}

static void test_watching(void **state)
{
    (void)state;
    char seen[200] = "", text[400];
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, 4, 3), cbm_nn_relu(cx), CBM_END);
    CBM_SCOPE(scope, cx);
    cbm_tensor *x = cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 4));
    assert_false(cbm_tensor_failed(cbm_call_watched(net, x, see, seen)));
    assert_string_equal(seen, "0linear 1relu sequential ");
    const int64_t labels[] = { 0, 2 };
    cbm_batch b = { .input = x, .target = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2), labels), .size = 2 };
    assert_false(cbm_explain_non_finite(net, &b, NULL, NULL, text, sizeof text));
    cbm_tensor *weight = cbm_parameter(net, "0.weight");
    cbm_assign(weight, cbm_div(weight, cbm_zeros(cx, CBM_F32, CBM_SHAPE(3, 4))));
    assert_true(cbm_explain_non_finite(net, &b, NULL, NULL, text, sizeof text));
    assert_non_null(strstr(text, "0.weight"));
    cbm_scope_end(scope);
    scope = NULL;
    cbm_tensor *buffer = cbm_variable(cbm_zeros(cx, CBM_F32, CBM_SHAPE(1)), false);
    assert_int_equal(cbm_add_buffer(net, "count", buffer), CBM_OK);
    cbm_release(buffer);
    assert_int_equal(cbm_state_count(net), 3);
    good(cx);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comparisons),          cmocka_unit_test(test_share),    cmocka_unit_test(test_expression),
        cmocka_unit_test(test_datasets_and_loaders), cmocka_unit_test(test_watching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
