/* test_local.c: the locally connected layer against a convolution with the same weights everywhere, and against plain loops with
   weights of each place; its gradients; the lecture's example; squeeze and excite, stochastic depth. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

#define S(...) CBM_SHAPE(__VA_ARGS__)
enum { N = 2, IN = 3, OUT = 4, H = 7, W = 6 };

static void near(const float *got, const float *want, size_t count, float within)
{
    for (size_t i = 0; i < count; i++)
        if (fabsf(got[i] - want[i]) > within)
            fail_msg("element %zu: %g is not %g", i, (double)got[i], (double)want[i]);
}

/* Kernel 3x2, stride 2 and 1, padding 1 and 0: 4 x 5 places. */
enum { KH = 3, KW = 2, PH = 4, PW = 5, L = PH * PW, K = IN * KH * KW };

static cbm_module *layer(cbm_context *cx)
{
    return cbm_nn_locally_connected2d(cx, IN, OUT, H, W, 0, .kernel = S(KH, KW), .stride = S(2, 1), .padding = S(1, 0));
}

static void same_weights_are_a_convolution(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 4);
    cbm_module *local = layer(cx);
    cbm_tensor *kernel = cbm_variable(cbm_normal(cx, CBM_F32, S(OUT, IN, KH, KW), 0, 1), false);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, S(N, IN, H, W), 0, 1), true);
    cbm_tensor *columns = cbm_transpose(cbm_reshape(kernel, S(OUT, K)), 0, 1);
    cbm_assign(cbm_parameter(local, "weight"), cbm_expand(cbm_unsqueeze(columns, 0), S(L, K, OUT)));
    cbm_tensor *bias = cbm_parameter(local, "bias");
    cbm_tensor *y = cbm_call(local, x), *want = cbm_conv2d(x, kernel, NULL, .stride = S(2, 1), .padding = S(1, 0));
    want = cbm_add(want, bias);
    cbm_tensor *weight = cbm_normal(cx, CBM_F32, S(N, OUT, PH, PW), 0, 1), *g[2];
    near(cbm_tensor_data(y), cbm_tensor_data(want), N * OUT * L, 1e-4f);
    assert_int_equal(cbm_grad(cbm_sum(cbm_mul(y, weight)), &x, 1, &g[0]), CBM_OK);
    assert_int_equal(cbm_grad(cbm_sum(cbm_mul(want, weight)), &x, 1, &g[1]), CBM_OK);
    near(cbm_tensor_data(g[0]), cbm_tensor_data(g[1]), N * IN * H * W, 1e-4f);
    good(cx);
    cbm_close(cx);
}

static void each_place_has_its_own(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 5);
    cbm_module *local = layer(cx);
    cbm_tensor *weight = cbm_parameter(local, "weight"), *bias = cbm_parameter(local, "bias");
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, S(N, IN, H, W), 0, 1), false);
    const cbm_shape shape = cbm_tensor_shape(weight), wanted = S(L, K, OUT);
    assert_true(cbm_shape_equal(&shape, &wanted));
    assert_int_equal(cbm_parameter_elements(local), L * K * OUT + OUT * L);
    static float got[N * OUT * L], want[N * OUT * L];
    assert_int_equal(cbm_read(cbm_call(local, x), got, sizeof got), CBM_OK);
    const float *w = cbm_tensor_data(weight), *b = cbm_tensor_data(bias), *p = cbm_tensor_data(x);
    for (int n = 0; n < N; n++)
        for (int o = 0; o < OUT; o++)
            for (int l = 0; l < L; l++) {
                double sum = (double)b[o * L + l];
                for (int k = 0; k < K; k++) {
                    const int c = k / (KH * KW), i = k / KW % KH + l / PW * 2 - 1, j = k % KW + l % PW;
                    if (i >= 0 && i < H)
                        sum += (double)w[(l * K + k) * OUT + o] * (double)p[((n * IN + c) * H + i) * W + j];
                }
                want[(n * OUT + o) * L + l] = (float)sum;
            }
    near(got, want, N * OUT * L, 1e-5f);
    assert_true(fabs(cbm_item(cbm_max(weight)) - 1 / sqrt(K)) < 0.01);
    good(cx);
    cbm_close(cx);
}

/* 200x200 places, filters of 10x10: four million weights where 40,000 units are locally connected; ten thousand in a hundred
   filters of a convolution. */
static void the_lecture_counts(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *local = cbm_nn_locally_connected2d(cx, 1, 1, 209, 209, 10, .bias = false);
    assert_int_equal(cbm_parameter_elements(local), 4000000);
    assert_int_equal(cbm_parameter_elements(cbm_nn_conv2d(cx, 1, 100, 10, .bias = false)), 10000);
    cbm_close(cx);
}

static void squeeze_and_excite(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 6);
    cbm_module *m = cbm_nn_squeeze_excite(cx, 8, 2, .gate = cbm_nn_hardsigmoid(cx));
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, S(N, 8, 5, 4), 0, 1), false);
    cbm_tensor *s = cbm_mean(x, .axes = S(2, 3));
    cbm_tensor *one = cbm_reshape(cbm_parameter(m, "fc1.weight"), S(2, 8));
    cbm_tensor *two = cbm_reshape(cbm_parameter(m, "fc2.weight"), S(8, 2));
    s = cbm_relu(cbm_add(cbm_matmul(s, cbm_transpose(one, 0, 1)), cbm_parameter(m, "fc1.bias")));
    s = cbm_hardsigmoid(cbm_add(cbm_matmul(s, cbm_transpose(two, 0, 1)), cbm_parameter(m, "fc2.bias")));
    cbm_tensor *want = cbm_mul(x, cbm_reshape(s, S(N, 8, 1, 1)));
    near(cbm_tensor_data(cbm_call(m, x)), cbm_tensor_data(want), N * 8 * 20, 1e-5f);
    cbm_nn_squeeze_excite_options o;
    cbm_nn_squeeze_excite_options_init(&o);
    assert_true(o.activation == NULL && o.dtype == CBM_F32);
    good(cx);
    cbm_close(cx);
}

static void whole_samples_are_dropped(void **state)
{
    (void)state;
    enum { MANY = 4000 };
    cbm_context *cx = cbm_open_with(.seed = 7);
    cbm_module *each = cbm_nn_stochastic_depth(cx, 0.25, true), *all = cbm_nn_stochastic_depth(cx, 0.25, false);
    cbm_tensor *x = cbm_ones(cx, CBM_F32, S(MANY, 2, 3));
    const float *y = cbm_tensor_data(cbm_call(each, x));
    int kept = 0;
    for (int i = 0; i < MANY; i++) {
        assert_true(y[6 * i] == 0 || fabsf(y[6 * i] - 4 / 3.0f) < 1e-6f);
        kept += y[6 * i] != 0;
        for (int k = 1; k < 6; k++)
            assert_true(y[6 * i + k] == y[6 * i]);
    }
    assert_true(abs(kept - MANY * 3 / 4) < 150);
    kept = 0;
    for (int i = 0; i < 200; i++) {
        CBM_SCOPE(scope, cx);
        const double sum = cbm_item(cbm_sum(cbm_call(all, cbm_ones(cx, CBM_F32, S(3, 2)))));
        assert_true(sum == 0 || fabs(sum - 8) < 1e-5);
        kept += sum != 0;
    }
    assert_true(abs(kept - 150) < 35);
    cbm_eval(each);
    assert_true(cbm_item(cbm_sum(cbm_call(each, x))) == 6 * MANY);
    good(cx);
    cbm_close(cx);
}

/* Windows of channels, overlapping. */
static void features_are_pooled(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 8);
    cbm_module *m = cbm_nn_feature_lp_pool(cx, 2, 3, 2);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, S(N, 7, 2, 3), 0, 1), true), *g;
    const float *in = cbm_tensor_data(x);
    cbm_tensor *y = cbm_call(m, x);
    const float *got = cbm_tensor_data(y);
    const cbm_shape shape = cbm_tensor_shape(y), wanted = S(N, 3, 2, 3);
    assert_true(cbm_shape_equal(&shape, &wanted));
    for (int n = 0; n < N; n++)
        for (int c = 0; c < 3; c++)
            for (int p = 0; p < 6; p++) {
                double sum = 0;
                for (int i = 0; i < 3; i++)
                    sum += pow((double)in[(n * 7 + 2 * c + i) * 6 + p], 2);
                assert_true(fabs((double)got[(n * 3 + c) * 6 + p] - sqrt(sum)) < 1e-5);
            }
    assert_int_equal(cbm_grad(cbm_sum(cbm_mul_scalar(cbm_square(y), 0.5)), &x, 1, &g), CBM_OK);
    const float *d = cbm_tensor_data(g); /* every element once, those of channels 2 and 4 twice */
    for (int i = 0; i < N * 42; i++)
        assert_true(fabsf(d[i] - in[i] * (i / 6 % 7 == 2 || i / 6 % 7 == 4 ? 2 : 1)) < 1e-4f);
    good(cx);
    cbm_close(cx);
}

/* In training as in evaluation; nothing moves. */
static void frozen_norms_stay(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 9);
    cbm_module *norm = cbm_nn_batch_norm2d(cx, 3, .frozen = true);
    cbm_assign(cbm_parameter(norm, "running_mean"), cbm_normal(cx, CBM_F32, S(3), 0, 1));
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, S(N, 3, 4, 5), 2, 3), false);
    cbm_tensor *trained = cbm_call(norm, x);
    cbm_eval(norm);
    near(cbm_tensor_data(trained), cbm_tensor_data(cbm_call(norm, x)), N * 60, 0);
    cbm_tensor *batches = cbm_parameter(norm, "num_batches_tracked");
    assert_true(cbm_item(batches) == 0 && !cbm_tensor_requires_grad(cbm_parameter(norm, "weight")));
    assert_false(cbm_tensor_requires_grad(trained));
    good(cx);
    cbm_close(cx);
}

static void errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    REFUSED(cbm_nn_locally_connected2d(cx, 1, 1, 4, 4, 5), CBM_ERROR_INVALID, "of 4 x 4 places: the kernel must fit");
    REFUSED(cbm_nn_locally_connected2d(cx, 0, 1, 4, 4, 2), CBM_ERROR_INVALID, "[locally_connected2d] 0 channels in");
    REFUSED(cbm_nn_locally_connected2d(cx, 1, 1, 4, 4, 2, .stride = S(0)), CBM_ERROR_INVALID, "one number or two");
    REFUSED(cbm_nn_locally_connected2d_with(cx, 1, 1, 4, 4, 2, NULL), CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_call(layer(cx), cbm_zeros(cx, CBM_F32, S(1, IN, W, H))), CBM_ERROR_SHAPE,
            "the input (1, 3, 6, 7) is not (N, 3, 7, 6), as this layer needs");
    REFUSED(cbm_nn_stochastic_depth(cx, 1, true), CBM_ERROR_INVALID, "[stochastic_depth] the probability");
    REFUSED(cbm_nn_feature_lp_pool(cx, 0, 2, 1), CBM_ERROR_INVALID, "[feature_lp_pool] needs a positive norm");
    REFUSED(cbm_call(cbm_nn_feature_lp_pool(cx, 2, 4, 1), cbm_zeros(cx, CBM_F32, S(2, 3))), CBM_ERROR_SHAPE,
            "the input (2, 3) has not 4 channels");
    REFUSED(cbm_nn_batch_norm1d(cx, 2, .frozen = true, .track_running_stats = false), CBM_ERROR_INVALID,
            "frozen needs running statistics");
    REFUSED(cbm_nn_squeeze_excite(cx, 0, 1), CBM_ERROR_INVALID, "channels");
    REFUSED(cbm_nn_squeeze_excite_with(cx, 8, 1, NULL), CBM_ERROR_INVALID, "the options are NULL");
    cbm_nn_locally_connected_options o;
    cbm_nn_locally_connected_options_init(&o);
    assert_true(o.bias == 1 && o.stride.v[1] == 1);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_weights_are_a_convolution),
        cmocka_unit_test(each_place_has_its_own),
        cmocka_unit_test(the_lecture_counts),
        cmocka_unit_test(squeeze_and_excite),
        cmocka_unit_test(features_are_pooled),
        cmocka_unit_test(frozen_norms_stay),
        cmocka_unit_test(whole_samples_are_dropped),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
