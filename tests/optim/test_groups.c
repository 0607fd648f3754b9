/* test_groups.c: groups of parameters: how they are chosen, options by name and by group, and what is refused. */
#include <cambium/cambium.h>
#include <math.h>
#include "support/status.h"

/* 0.weight, 0.bias, 1.weight, 1.bias, ... of a norm, 3.weight, 3.bias */
static cbm_module *network(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_linear(cx, 4, 8), cbm_nn_batch_norm1d(cx, 8), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 8, 2), CBM_END);
}

/* The groups of the six parameters as a text: "010100". */
static const char *groups_of(const cbm_optimizer *opt)
{
    static char text[16];
    size_t i = 0;
    for (; i < cbm_optimizer_parameter_count(opt); i++)
        text[i] = (char)('0' + cbm_group_of(opt, i));
    text[i] = 0;
    return text;
}

static void test_choosing(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = network(cx);
    const char *name;
    cbm_module *norm = cbm_child_at(net, 1, &name);
    cbm_optimizer *opt = cbm_adamw(net, .lr = 0.1);
    assert_int_equal(cbm_group_count(opt), 1);
    assert_string_equal(groups_of(opt), "000000");
    assert_int_equal(cbm_add_group(opt, .suffix = "bias", .weight_decay = 0), 1);
    assert_string_equal(groups_of(opt), "010101");
    assert_int_equal(cbm_add_group(opt, .module = norm, .lr = 0.5), 2); /* takes one from 0, one from 1 */
    assert_string_equal(groups_of(opt), "012201");
    cbm_tensor *list[] = { cbm_parameter(net, "3.weight"), cbm_parameter(net, "0.bias") };
    assert_int_equal(cbm_add_group(opt, .parameters = list, .parameter_count = 2), 3);
    assert_string_equal(groups_of(opt), "032231");
    assert_int_equal(cbm_add_group(opt, .prefix = "3.", .suffix = "bias"), 4);
    assert_string_equal(groups_of(opt), "032234");
    assert_int_equal(cbm_group_count(opt), 5);
    assert_int_equal(cbm_group_of(opt, 6), -1);
    assert_true(cbm_optimizer_option(opt, 2, "lr") == 0.5 && cbm_optimizer_option(opt, 1, "lr") == 0.1);
    assert_true(cbm_optimizer_option(opt, 1, "weight_decay") == 0);
    assert_true(cbm_optimizer_option(opt, 2, "weight_decay") == 0.01); /* as group 0, not as where it was */
    cbm_optimizer *by_rank = cbm_adamw(net);
    assert_int_equal(cbm_add_group(by_rank, .max_rank = 1, .weight_decay = 0), 1);
    assert_string_equal(groups_of(by_rank), "011101");
    good(cx);
    cbm_close(cx);
}

static void test_options(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_optimizer *opt = cbm_adam(network(cx), .lr = 0.1);
    cbm_add_group(opt, .suffix = "bias", .lr = 0.01);
    assert_int_equal(cbm_set_optimizer_option(opt, 1, "beta1", 0.5), CBM_OK);
    assert_true(cbm_optimizer_option(opt, 0, "beta1") == 0.9 && cbm_optimizer_option(opt, 1, "beta1") == 0.5);
    assert_int_equal(cbm_set_optimizer_option(opt, -1, "eps", 1e-5), CBM_OK);
    assert_true(cbm_optimizer_option(opt, 0, "eps") == 1e-5 && cbm_optimizer_option(opt, 1, "eps") == 1e-5);
    cbm_set_learning_rate(opt, 0.3);
    assert_true(cbm_learning_rate(opt) == 0.3 && cbm_optimizer_option(opt, 1, "lr") == 0.3);
    size_t before = cbm_optimizer_state_count(opt);
    assert_true(cbm_optimizer_option(opt, 0, "amsgrad") == 0);
    assert_int_equal(cbm_set_optimizer_option(opt, 1, "amsgrad", 1), CBM_OK); /* the state it needs comes with it */
    assert_true(cbm_optimizer_option(opt, 1, "amsgrad") == 1);
    assert_int_equal(cbm_optimizer_state_count(opt), before + 3);

    assert_true(isnan(cbm_optimizer_option(opt, 0, "momentum")));
    refused(cx, CBM_ERROR_INVALID, "adam has no option 'momentum'");
    assert_true(isnan(cbm_optimizer_option(opt, 2, "lr")));
    refused(cx, CBM_ERROR_INVALID, "no group 2: adam has 2");
    cbm_set_optimizer_option(opt, 0, NULL, 1);
    refused(cx, CBM_ERROR_INVALID, "no option 'NULL'");
    cbm_set_optimizer_option(opt, -2, "lr", 1);
    refused(cx, CBM_ERROR_INVALID, "no group -2");
    cbm_set_optimizer_option(opt, -1, "beta2", 1);
    refused(cx, CBM_ERROR_INVALID, "[adam] beta2 is 1; it must be in [0, 1)");
    assert_true(cbm_optimizer_option(opt, 0, "beta2") == 0.999);
    cbm_set_optimizer_option(opt, 0, "amsgrad", NAN);
    refused(cx, CBM_ERROR_INVALID, "amsgrad is nan");
    assert_int_equal(cbm_set_optimizer_option(NULL, 0, "lr", 1), CBM_ERROR_STATE);
    cbm_optimizer *nesterov = cbm_sgd(network(cx), .momentum = 0.5, .nesterov = true);
    cbm_set_optimizer_option(nesterov, 0, "dampening", 0.5);
    refused(cx, CBM_ERROR_INVALID, "nesterov");
    cbm_close(cx);
}

static void test_refused(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = network(cx), *other = network(cx);
    cbm_optimizer *opt = cbm_sgd(net);
    assert_int_equal(cbm_add_group(opt, .prefix = "encoder."), -1);
    refused(cx, CBM_ERROR_INVALID, "no parameter of the optimizer fits");
    cbm_tensor *strange[] = { cbm_parameter(net, "0.bias"), cbm_parameter(other, "0.bias") };
    assert_int_equal(cbm_add_group(opt, .parameters = strange, .parameter_count = 2), -1);
    refused(cx, CBM_ERROR_INVALID, "entry 1 of the list");
    assert_int_equal(cbm_add_group(opt, .module = other), -1);
    refused(cx, CBM_ERROR_INVALID, "no parameter");
    assert_int_equal(cbm_add_group(opt, .suffix = "bias", .lr = -2), -1);
    refused(cx, CBM_ERROR_INVALID, "lr is -2");
    assert_int_equal(cbm_group_count(opt), 1);
    assert_int_equal(cbm_add_group_with(opt, &(cbm_group_options){ .struct_size = 8 }), -1);
    refused(cx, CBM_ERROR_INVALID, "not this library's");
    for (int i = 1; i < 256; i++)
        assert_int_equal(cbm_add_group(opt, .prefix = "0.bias"), i);
    assert_int_equal(cbm_add_group(opt, .prefix = "0.bias"), -1);
    refused(cx, CBM_ERROR_INVALID, "256 groups");
    assert_int_equal(cbm_add_group(NULL, .prefix = "0"), -1);
    cbm_close(cx);
}

/* One weight in each of three groups: the rates and decays of a step are those of its group. */
static void test_step(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.device = "reference");
    cbm_module *parts[3];
    for (int i = 0; i < 3; i++) {
        parts[i] = cbm_nn_linear(cx, 1, 1, .bias = false, .dtype = CBM_F64);
        cbm_init_constant(cbm_parameter(parts[i], "weight"), 1);
    }
    cbm_optimizer *opt = cbm_sgd(cbm_sequential_of(cx, 3, parts), .lr = 1, .weight_decay = 0.5);
    cbm_add_group(opt, .module = parts[1], .weight_decay = 0);
    cbm_add_group(opt, .module = parts[2], .lr = 0.25);
    const double want[] = { 1 - (2 + 0.5), 1 - 2, 1 - 0.25 * (2 + 0.5) };
    cbm_scope *scope = cbm_scope_begin(cx);
    cbm_tensor *x = cbm_full(cx, CBM_F64, CBM_SHAPE(1, 1), 2), *loss = NULL;
    for (int i = 0; i < 3; i++) {
        cbm_tensor *y = cbm_sum(cbm_call(parts[i], x));
        loss = loss ? cbm_add(loss, y) : y;
    }
    cbm_backward(loss);
    cbm_step(opt);
    for (int i = 0; i < 3; i++)
        assert_true(cbm_item(cbm_parameter(parts[i], "weight")) == want[i]);
    cbm_scope_end(scope);
    good(cx);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choosing),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
