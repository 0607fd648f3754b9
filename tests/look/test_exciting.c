/* What excites units: found among samples in which the answer is known, over several batches; refusals. */
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { SAMPLES = 9, SIDE = 4 };

/* Sample s is s % 5 at place (s % 4, s / 4), else -1. */
static cbm_loader *dots(cbm_context *cx)
{
    float values[SAMPLES * SIDE * SIDE];
    for (int i = 0; i < SAMPLES * SIDE * SIDE; i++)
        values[i] = -1;
    for (int s = 0; s < SAMPLES; s++)
        values[s * SIDE * SIDE + s % 4 * SIDE + s / 4] = (float)(s % 5);
    CBM_SCOPE(scope, cx);
    cbm_dataset *d =
        cbm_dataset_tensors(cx, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(SAMPLES, 1, SIDE, SIDE), values), NULL);
    return cbm_loader_open(d, .batch_size = 4);
}

static void test_places(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *conv = cbm_nn_conv2d(cx, 1, 2, 1, .bias = false);
    cbm_assign(cbm_parameter(conv, "weight"),
               cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(2, 1, 1, 1), (const float[]){ 2, -1 }));
    cbm_module *net = cbm_sequential(cx, conv, cbm_nn_flatten(cx), CBM_END);
    cbm_loader *loader = dots(cx);
    cbm_excitement e[2 * 3];
    for (int again = 0; again < 2; again++) {
        assert_int_equal(cbm_most_exciting(net, loader, "0", 2, 3, e), CBM_OK);
        static const int64_t samples[] = { 4, 3,
                                           8 }; /* 4, 3, 3 of 0 1 2 3 4 0 1 2 3; the first of equals stays first */
        for (int i = 0; i < 3; i++) {
            assert_int_equal(e[i].sample, samples[i]);
            assert_int_equal(e[i].row, samples[i] % 4);
            assert_int_equal(e[i].column, samples[i] / 4);
            assert_true(fabs(e[i].value - 2 * (double)(samples[i] % 5)) < 1e-6);
            assert_true(fabs(e[3 + i].value - 1) < 1e-6); /* the other unit likes what is dark */
        }
    }
    assert_int_equal(cbm_most_exciting(net, loader, "1", 1, 2, e), CBM_OK); /* (N, 32): the first number alone */
    assert_int_equal(e[0].sample, 0);
    assert_int_equal(e[0].row + e[0].column, 0);
    cbm_excitement many[20];
    assert_int_equal(cbm_most_exciting(net, loader, "0", 1, 20, many), CBM_OK);
    assert_int_equal(many[SAMPLES - 1].sample >= 0, 1);
    assert_int_equal(many[SAMPLES].sample, -1);
    assert_true(net->training);
    cbm_close(cx);
}

static void test_refused(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 2, 1), CBM_END);
    cbm_loader *loader = dots(cx);
    cbm_excitement e[8];
    assert_int_equal(cbm_most_exciting(net, loader, "7", 1, 1, e), CBM_ERROR_INVALID);
    assert_non_null(strstr(cbm_message(cx), "there is no layer '7'"));
    cbm_clear(cx);
    assert_int_equal(cbm_most_exciting(net, loader, "0", 3, 1, e), CBM_ERROR_INVALID);
    assert_string_equal(cbm_message(cx), "[most_exciting] layer '0' has 2 units, not 3");
    cbm_clear(cx);
    assert_int_equal(cbm_most_exciting(net, NULL, "0", 1, 1, e), CBM_ERROR_INVALID);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_places), cmocka_unit_test(test_refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
