/* What layers give: every number against what is known of layers made for it; a good training told from a bad one. */
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { MOST = 16 };

typedef struct looks {
    cbm_layer_look at[MOST];
    int count;
} looks;

static void keep(const cbm_layer_look *look, void *user)
{
    looks *l = user;
    assert_true(l->count < MOST);
    l->at[l->count++] = *look;
}

static looks look_at(cbm_module *net, cbm_tensor *input)
{
    looks l = { .count = 0 };
    cbm_status status = cbm_look_at_layers(net, input, keep, &l);
    if (status != CBM_OK)
        fail_msg("%s", cbm_message(net->cx));
    return l;
}

/* A layer that gives its input: units in the columns. */
static cbm_module *plain(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_identity(cx), CBM_END);
}

static void test_numbers(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    /* Units: dead, constant, x, -x, |x| of odd symmetry (no correlation with x), a part 0. */
    const float values[] = {
        0, 5, -2, 2,  2, 0, /**/
        0, 5, -1, 1,  1, 0, /**/
        0, 5, 1,  -1, 1, 0, /**/
        0, 5, 2,  -2, 2, 4,
    };
    looks l = look_at(plain(cx), cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(4, 6), values));
    assert_int_equal(l.count, 1);
    const cbm_layer_look *a = &l.at[0];
    assert_string_equal(a->name, "0");
    assert_int_equal(a->units, 6);
    assert_int_equal(a->samples, 4);
    assert_int_equal(a->dead, 1);
    assert_int_equal(a->constant, 2);
    double sum = 20 + 6 + 4, squares = 100 + 10 + 10 + 10 + 16, mean = sum / 24;
    assert_true(fabs(a->mean - mean) < 1e-6);
    assert_true(fabs(a->deviation - sqrt(squares / 24 - mean * mean)) < 1e-6);
    assert_true(fabs(a->zeros - 7.0 / 24) < 1e-6);
    assert_true(fabs(a->sparse_samples - (0 + 3 * (1 - 36.0 / 40) / 0.75 + 1) / 5) < 1e-6);
    double features = (1 - 121.0 / 222) + 2 * (1 - 64.0 / 168) + (1 - 225.0 / 318);
    assert_true(fabs(a->sparse_features - features / 4 / (5.0 / 6)) < 1e-6);
    /* x: (-2,-1,1,2)/sqrt 10; |x|: (.5,-.5,-.5,.5); the last: (-1,-1,-1,3)/sqrt 12: pairs 1, 0, 0, 8/sqrt 120 twice, 4/sqrt 12/2. */
    double want = (1 + 2 * 8 / sqrt(120) + 2 / sqrt(12)) / 6;
    assert_true(fabs(a->correlation - want) < 1e-6);
    assert_true(fabs(a->saturated) <= 0);
    char text[200];
    assert_false(cbm_look_verdict(a, text, sizeof text));
    assert_string_equal(text, "");
    cbm_close(cx);
}

static const char *verdict_of(cbm_module *net, cbm_tensor *input, int layer)
{
    static char text[200];
    looks l = look_at(net, input);
    assert_true(layer < l.count);
    cbm_look_verdict(&l.at[layer], text, sizeof text);
    return text;
}

static void test_verdicts(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(32, 3, 12, 12), 0, 1);
    cbm_module *conv = cbm_nn_conv2d(cx, 3, 8, 3);
    cbm_module *net = cbm_sequential(cx, conv, cbm_nn_relu(cx), CBM_END);
    assert_string_equal(verdict_of(net, x, 0), "");
    assert_string_equal(verdict_of(net, x, 1), "");
    cbm_tensor *bias = cbm_parameter(conv, "bias"), *weight = cbm_parameter(conv, "weight");
    cbm_assign(bias, cbm_full(cx, CBM_F32, CBM_SHAPE(8), -1000));
    assert_string_equal(verdict_of(net, x, 1), "8 of 8 units are dead: they give 0 for every input");
    assert_string_equal(verdict_of(net, x, 0), "8 of 8 units ignore the input: they give the same for every sample");
    cbm_assign(bias, cbm_zeros(cx, CBM_F32, CBM_SHAPE(8)));
    cbm_assign(weight, cbm_ones(cx, CBM_F32, CBM_SHAPE(8, 3, 3, 3)));
    assert_string_equal(verdict_of(net, x, 0), "the units say the same: their mean correlation is 1.00");
    cbm_tensor *large = cbm_normal(cx, CBM_F32, CBM_SHAPE(32, 9), 0, 100);
    cbm_module *steep = cbm_sequential(cx, cbm_nn_tanh(cx), CBM_END);
    assert_non_null(strstr(verdict_of(steep, large, 0), "of the elements are saturated"));
    assert_string_equal(verdict_of(steep, cbm_mul_scalar(large, 0.01), 0), "");
    assert_non_null(strstr(verdict_of(cbm_sequential(cx, cbm_nn_sigmoid(cx), CBM_END), large, 0), "saturated"));
    cbm_close(cx);
}

/* ---- the course's pictures of a good training and of a bad one ---- */

enum { SAMPLES = 256, FEATURES = 20 };

/* Trains a network on two classes in a ring; returns how many of its layers have a verdict. */
static int complaints(double lr, double *loss)
{
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(SAMPLES, FEATURES), 0, 1), false);
    cbm_tensor *t = cbm_variable(
        cbm_cast(cbm_greater(cbm_sum(cbm_square(x), .axes = CBM_SHAPE(1)), cbm_scalar(cx, CBM_F32, FEATURES)), CBM_I64),
        false);
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, FEATURES, 64), cbm_nn_relu(cx), cbm_nn_linear(cx, 64, 32),
                                     cbm_nn_relu(cx), cbm_nn_linear(cx, 32, 2), CBM_END);
    cbm_optimizer *opt = cbm_sgd(net, .lr = lr, .momentum = 0.9);
    for (int i = 0; i < 100; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *l = cbm_cross_entropy(cbm_call(net, x), t);
        cbm_backward(l);
        cbm_step(opt);
        *loss = cbm_item(l);
    }
    looks l = look_at(net, x);
    int found = 0;
    char text[200];
    for (int i = 0; i < l.count; i++)
        found += cbm_look_verdict(&l.at[i], text, sizeof text);
    cbm_close(cx);
    return found;
}

static void test_good_and_bad(void **state)
{
    (void)state;
    double loss;
    assert_int_equal(complaints(0.05, &loss), 0);
    assert_true(loss < 0.5);
    assert_true(complaints(3, &loss) >= 2); /* thrown to where no unit is alive */
}

static void test_passed_over(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    assert_int_equal(look_at(plain(cx), cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 5))).count, 0); /* one sample */
    assert_int_equal(look_at(plain(cx), cbm_ones(cx, CBM_I64, CBM_SHAPE(4, 5))).count, 0);
    assert_int_equal(look_at(plain(cx), cbm_ones(cx, CBM_F32, CBM_SHAPE(4))).count, 0);
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, 3, 4), CBM_END);
    assert_int_equal(cbm_look_at_layers(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(4, 5)), NULL, NULL), CBM_ERROR_SHAPE);
    assert_int_equal(cbm_look_at_layers(NULL, NULL, NULL, NULL), CBM_ERROR_INVALID);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_good_and_bad),
        cmocka_unit_test(test_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
