/* Which parts of an input a score comes from: each way against what it is by hand on networks small enough for that; modes
   are put back; what is refused. */
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { SAMPLES = 3, IN = 6, HIDDEN = 5, CLASSES = 4 };

static cbm_context *cx;

static int setup(void **state)
{
    (void)state;
    cx = cbm_open(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cbm_close(cx);
    return 0;
}

static void expect(cbm_tensor *got, const double *want, int64_t count)
{
    const float *values = cbm_tensor_data(got);
    if (cbm_context_status(cx) != CBM_OK)
        fail_msg("%s", cbm_message(cx));
    assert_int_equal(cbm_tensor_count(got), count);
    for (int64_t i = 0; i < count; i++)
        if (!(fabs((double)values[i] - want[i]) <= 1e-5 * (1 + fabs(want[i]))))
            fail_msg("element %d is %g, not %g", (int)i, (double)values[i], want[i]);
}

static const float *data(cbm_module *m, const char *name)
{
    return cbm_tensor_data(cbm_parameter(m, name));
}

/* ---- gradients ---- */

/* The way back through two linear layers and a relu, by hand. */
static void back_by_hand(const float *x, const float *w1, const float *b1, const float *w2, const float *b2, int score,
                         cbm_way_back way, double *out)
{
    double hidden[HIDDEN], scores[CLASSES];
    for (int h = 0; h < HIDDEN; h++) {
        hidden[h] = (double)b1[h];
        for (int i = 0; i < IN; i++)
            hidden[h] += (double)w1[h * IN + i] * (double)x[i];
    }
    int top = 0;
    for (int c = 0; c < CLASSES; c++) {
        scores[c] = (double)b2[c];
        for (int h = 0; h < HIDDEN; h++)
            scores[c] += (double)w2[c * HIDDEN + h] * fmax(0, hidden[h]);
        top = scores[c] > scores[top] ? c : top;
    }
    for (int i = 0; i < IN; i++)
        out[i] = 0;
    for (int h = 0; h < HIDDEN; h++) {
        double g = (double)w2[(score < 0 ? top : score) * HIDDEN + h];
        g = way != CBM_WAY_GRADIENT && g < 0 ? 0 : g;
        g = way != CBM_WAY_DECONVNET && hidden[h] <= 0 ? 0 : g;
        for (int i = 0; i < IN; i++)
            out[i] += g * (double)w1[h * IN + i];
    }
}

static void test_ways_back(void **state)
{
    (void)state;
    cbm_module *net = cbm_sequential(cx, cbm_nn_linear(cx, IN, HIDDEN), cbm_nn_relu(cx), cbm_nn_dropout(cx, 0.9),
                                     cbm_nn_linear(cx, HIDDEN, CLASSES), CBM_END);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(SAMPLES, IN), 0, 1);
    const float *in = cbm_tensor_data(x);
    for (int way = CBM_WAY_GRADIENT; way <= CBM_WAY_DECONVNET; way++)
        for (int score = CBM_TOP; score < CLASSES; score++) {
            double want[SAMPLES * IN];
            for (int s = 0; s < SAMPLES; s++)
                back_by_hand(in + s * IN, data(net, "0.weight"), data(net, "0.bias"), data(net, "3.weight"),
                             data(net, "3.bias"), score, (cbm_way_back)way, want + s * IN);
            expect(cbm_attribution(net, x, score, (cbm_way_back)way), want, SAMPLES * IN);
        }
    assert_true(net->training);
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(net, i, &named); i++)
        assert_null(cbm_gradient(named.tensor)); /* nothing is left behind */
}

static cbm_module *linear_of_pictures(int channels, int height, int width)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, channels * height * width, CLASSES), CBM_END);
}

static void test_saliency(void **state)
{
    (void)state;
    cbm_module *net = linear_of_pictures(3, 2, 2);
    const float *w = data(net, "1.weight");
    double want[2 * 4];
    for (int i = 0; i < 8; i++) {
        want[i] = 0;
        for (int c = 0; c < 3; c++)
            want[i] = fmax(want[i], fabs((double)w[2 * 12 + c * 4 + i % 4]));
    }
    expect(cbm_saliency(net, cbm_normal(cx, CBM_F32, CBM_SHAPE(2, 3, 2, 2), 0, 1), 2), want, 8);
}

static void test_grad_cam(void **state)
{
    (void)state;
    enum { MAPS = 3, PLACES = 4 };
    cbm_module *net = cbm_sequential(cx, cbm_nn_conv2d(cx, 1, MAPS, 1), cbm_nn_relu(cx), cbm_nn_flatten(cx),
                                     cbm_nn_linear(cx, MAPS * PLACES, CLASSES), CBM_END);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(2, 1, 2, 2), 0, 1);
    const float *in = cbm_tensor_data(x), *w = data(net, "0.weight"), *b = data(net, "0.bias"),
                *out = data(net, "3.weight");
    double want[2 * PLACES];
    for (int i = 0; i < 2 * PLACES; i++) {
        double sum = 0;
        for (int k = 0; k < MAPS; k++) {
            double weight = 0;
            for (int p = 0; p < PLACES; p++)
                weight += (double)out[1 * MAPS * PLACES + k * PLACES + p] / PLACES;
            sum += weight * fmax(0, (double)w[k] * (double)in[i] + (double)b[k]);
        }
        want[i] = fmax(0, sum);
    }
    expect(cbm_grad_cam(net, x, 1, "1"), want, 2 * PLACES);
}

static void test_occlusion(void **state)
{
    (void)state;
    enum { H = 10, W = 11, SIDE = 2 }; /* more places than go into one batch */
    cbm_module *net = linear_of_pictures(1, H, W);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(1, 1, H, W), 0, 1);
    const float *in = cbm_tensor_data(x), *w = data(net, "1.weight");
    for (int stride = 1; stride <= 2; stride++) {
        int down = (H - SIDE) / stride + 1, across = (W - SIDE) / stride + 1;
        double want[H * W];
        for (int place = 0; place < down * across; place++) {
            want[place] = 0;
            for (int i = 0; i < SIDE * SIDE; i++) {
                int at = (place / across * stride + i / SIDE) * W + place % across * stride + i % SIDE;
                want[place] += (double)w[3 * H * W + at] * ((double)in[at] - 0.5);
            }
        }
        expect(cbm_occlusion(net, x, 3, SIDE, stride, 0.5), want, down * across);
    }
}

/* Of a linear score the ascent is a geometric series: (1 - (1 - rate decay)^steps) w / decay. */
static void test_class_model(void **state)
{
    (void)state;
    cbm_module *net = linear_of_pictures(1, 2, 3);
    const float *w = data(net, "1.weight");
    double want[6];
    for (int i = 0; i < 6; i++)
        want[i] = (1 - pow(1 - 0.1 * 0.5, 20)) * (double)w[2 * 6 + i] / 0.5;
    cbm_tensor *x = cbm_class_model(net, cbm_zeros(cx, CBM_F32, CBM_SHAPE(1, 1, 2, 3)), 2, 20, 0.1, 0.5);
    assert_int_equal(cbm_tensor_rank(x), 4);
    expect(x, want, 6);
}

static void expect_refused(cbm_tensor *t, cbm_status status, const char *message)
{
    assert_true(cbm_tensor_failed(t));
    assert_int_equal(cbm_context_status(cx), status);
    if (!strstr(cbm_message(cx), message))
        fail_msg("'%s' does not say '%s'", cbm_message(cx), message);
    cbm_clear(cx);
}

static void test_refused(void **state)
{
    (void)state;
    cbm_module *net = linear_of_pictures(1, 2, 2), *maps = cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 2, 1), CBM_END);
    cbm_tensor *x = cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 1, 2, 2));
    expect_refused(cbm_attribution(net, x, 4, CBM_WAY_GRADIENT), CBM_ERROR_INVALID,
                   "[attribution] there is no score 4 among 4");
    expect_refused(cbm_saliency(maps, x, 0), CBM_ERROR_SHAPE,
                   "[saliency] the network does not give scores (N, classes)");
    expect_refused(cbm_saliency(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(4)), 0), CBM_ERROR_SHAPE,
                   "[saliency] the input has 1");
    expect_refused(cbm_grad_cam(net, x, 0, "conv1"), CBM_ERROR_INVALID,
                   "[grad_cam] there is no layer 'conv1' that gives");
    expect_refused(cbm_grad_cam(net, x, 0, NULL), CBM_ERROR_INVALID, "[grad_cam] there is no layer ''");
    expect_refused(cbm_occlusion(net, x, 0, 3, 1, 0), CBM_ERROR_INVALID, "[occlusion] side must be");
    expect_refused(cbm_occlusion(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 1, 2, 2)), 0, 1, 1, 0), CBM_ERROR_SHAPE,
                   "[occlusion] needs one picture");
    expect_refused(cbm_class_model(net, x, 0, 0, 1, 0), CBM_ERROR_INVALID, "[class_model] steps");
    expect_refused(cbm_class_model(net, cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 1, 3, 3)), 0, 2, 1, 0), CBM_ERROR_SHAPE, "");
    assert_true(net->training);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ways_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_saliency, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grad_cam, setup, teardown),
        cmocka_unit_test_setup_teardown(test_occlusion, setup, teardown),
        cmocka_unit_test_setup_teardown(test_class_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
