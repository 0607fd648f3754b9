/* test_slide.c: classifiers turned into fully convolutional networks: at each place of a larger picture what the classifier gives of
   the picture there, for a fraction of its arithmetic; what cannot be turned. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

#define S(...) CBM_SHAPE(__VA_ARGS__)

static cbm_module *digits(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 6, 5), cbm_nn_batch_norm2d(cx, 6), cbm_nn_relu(cx),
                          cbm_nn_max_pool2d(cx, 2), cbm_nn_conv2d(cx, 6, 8, 5), cbm_nn_tanh(cx),
                          cbm_nn_avg_pool2d(cx, 2), cbm_nn_dropout(cx, 0.5), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 128, 20), cbm_nn_relu(cx), cbm_nn_linear(cx, 20, 10));
}

static cbm_module *pooled(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 5, 3, .stride = S(2)), cbm_nn_relu(cx)),
                          cbm_nn_global_avg_pool2d(cx), cbm_nn_flatten(cx), cbm_nn_linear(cx, 5, 10, .bias = false));
}

static void total(const cbm_summary_row *row, void *user)
{
    if (!row->name[0])
        *(double *)user = row->flops;
}

/* The map of a picture of 3 x 3 times the extents against every window by itself, `step` apart. */
static void windows_agree(cbm_module *net, int64_t step, double least)
{
    enum { SIDE = 28, LARGE = 84 };
    cbm_context *cx = net->cx;
    cbm_train(net); /* and it stays so */
    cbm_module *sliding = cbm_convolutionalize(net, S(1, SIDE, SIDE));
    good(cx);
    assert_true(net->training && !sliding->training);
    cbm_eval(net);
    CBM_NO_GRAD(scope, cx);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, S(1, 1, LARGE, LARGE), 0, 1), false);
    const int64_t places = (LARGE - SIDE) / step + 1;
    cbm_tensor *map = cbm_call(sliding, x);
    const cbm_shape shape = cbm_tensor_shape(map), wanted = S(1, 10, places, places);
    assert_true(cbm_shape_equal(&shape, &wanted));
    double map_flops = 0, one_flops = 0;
    cbm_tensor *rows =
        cbm_windows(cbm_windows(x, 2, SIDE, step), 3, SIDE, step); /* (1, 1, places, places, SIDE, SIDE) */
    cbm_tensor *all = cbm_reshape(rows, S(places * places, 1, SIDE, SIDE));
    cbm_tensor *want = cbm_call(net, all); /* (places^2, 10) */
    cbm_tensor *got = cbm_transpose(cbm_reshape(map, S(10, places * places)), 0, 1);
    assert_true(cbm_item(cbm_max(cbm_abs(cbm_sub(got, want)))) < 1e-4);
    good(cx);
    cbm_summary(sliding, x, total, &map_flops);
    cbm_summary(net, cbm_slice(all, 0, 0, 1, 1), total, &one_flops);
    if (one_flops * (double)(places * places) < least * map_flops)
        fail_msg("%g operations instead of %g", map_flops, one_flops * (double)(places * places));
    good(cx);
}

static void equal_on_every_window(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 8);
    windows_agree(digits(cx), 4, 5);
    windows_agree(pooled(cx), 2, 5);
    cbm_close(cx);
}

static void a_network_by_name(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 9);
    cbm_module *net = cbm_network(cx, "alexnet", .classes = 3);
    cbm_module *sliding = cbm_convolutionalize(net, S(3, 224, 224));
    good(cx);
    cbm_tensor *weight = cbm_parameter(sliding, "14.weight");
    const cbm_shape shape = cbm_tensor_shape(weight), wanted = S(4096, 256, 6, 6);
    assert_true(cbm_shape_equal(&shape, &wanted));
    good(cx);
    cbm_close(cx);
}

static void errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    REFUSED(cbm_convolutionalize(digits(cx), S(28, 28)), CBM_ERROR_INVALID, "the picture's extents are (C, H, W)");
    REFUSED(cbm_convolutionalize(digits(cx), S(1, 30, 40)), CBM_ERROR_SHAPE, "[linear]");
    REFUSED(cbm_convolutionalize(cbm_network(cx, "resnet18"), S(3, 64, 64)), CBM_ERROR_UNSUPPORTED,
            "the network is no chain of layers");
    REFUSED(cbm_convolutionalize(cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 2, 3), cbm_nn_adaptive_avg_pool2d(cx, S(2)),
                                                cbm_nn_flatten(cx), cbm_nn_linear(cx, 8, 2)),
                                 S(1, 8, 8)),
            CBM_ERROR_UNSUPPORTED, "gives neither one place nor as many as it sees");
    REFUSED(
        cbm_convolutionalize(
            cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 2, 8), cbm_nn_flatten(cx), cbm_nn_batch_norm1d(cx, 2)), S(1, 8, 8)),
        CBM_ERROR_UNSUPPORTED, "batch_norm1d looks along another axis");
    assert_true(cbm_convolutionalize(NULL, S(1, 8, 8))->failed);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_on_every_window),
        cmocka_unit_test(a_network_by_name),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
