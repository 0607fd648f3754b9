/* test_networks.c: the networks of bench/networks against PyTorch in f64, from the same weights by formula: outputs in
   evaluation mode, and the losses of three training steps. The numbers were stored by bench/peers/make_expected.py. */
#include "bench/networks/networks.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

#define OUTPUTS 8
#define STEPS 3

typedef struct fact {
    char what[16], network[32];
    int64_t batch;
    double value[OUTPUTS];
    int count;
} fact;

/* The next line of the file; false at its end. */
static bool next_fact(FILE *file, fact *f)
{
    char line[1024];
    int used = 0;
    long long batch = 0;
    if (!fgets(line, sizeof line, file))
        return false;
    assert_int_equal(sscanf(line, "%15s %31s %lld%n", f->what, f->network, &batch, &used), 3);
    f->batch = batch;
    char *at = line + used, *end = NULL;
    for (f->count = 0; f->count < OUTPUTS; f->count++, at = end) {
        f->value[f->count] = strtod(at, &end);
        if (end == at)
            break;
    }
    return true;
}

static void compare(const fact *f, int i, double got, double scale, double tolerance)
{
    if (!(fabs(got - f->value[i]) <= tolerance * scale))
        fail_msg("%s of %s, number %d: %.9g, PyTorch has %.9g", f->what, f->network, i, got, f->value[i]);
}

static void check_outputs(cbm_module *net, cbm_tensor *input, const fact *f)
{
    cbm_context *cx = net->cx;
    CBM_NO_GRAD(scope, cx);
    cbm_tensor *y = cbm_call(net, input);
    const float *data = cbm_tensor_data(y);
    good(cx);
    const int64_t count = cbm_tensor_count(y);
    double squares = 0;
    for (int64_t i = 0; i < count; i++)
        squares += (double)data[i] * data[i];
    const double scale = sqrt(squares / (double)count);
    assert_int_equal(f->count, OUTPUTS);
    for (int i = 0; i < OUTPUTS; i++)
        compare(f, i, data[i * (count - 1) / (OUTPUTS - 1)], scale, 2e-4);
}

/* As it is, and with its batch norms folded. */
static void check_forward(cbm_context *cx, const bench_network *n, const fact *f)
{
    cbm_module *net = n->make(cx);
    size_t folded = 0;
    bench_fill(net);
    cbm_eval(net);
    CBM_SCOPE(all, cx);
    cbm_tensor *input = bench_batch_of(cx, n, net, f->batch).input;
    check_outputs(net, input, f);
    cbm_nn_fold_batch_norm(net, input, &folded);
    good(cx);
    if (strcmp(n->name, "resnet50") == 0)
        assert_int_equal(folded, 53);
    if (strcmp(n->name, "mobilenet-v2") == 0)
        assert_int_equal(folded, 52);
    if (folded)
        check_outputs(net, input, f);
}

static void check_train(cbm_context *cx, const bench_network *n, const fact *f)
{
    cbm_module *net = n->make(cx);
    bench_fill(net);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.01, .momentum = 0.9);
    CBM_SCOPE(all, cx);
    const bench_batch batch = bench_batch_of(cx, n, net, f->batch);
    assert_int_equal(f->count, STEPS);
    const double tolerance =
        n->classes ? 2e-3 : 1e-5; /* a cross entropy's steps here are large, and grow differences */
    for (int i = 0; i < STEPS; i++) {
        CBM_SCOPE(step, cx);
        compare(f, i, cbm_item(bench_step(n, net, opt, batch)), f->value[i], tolerance);
        good(cx);
    }
}

static void test_against_pytorch(void **state)
{
    (void)state;
    FILE *file = fopen(CBM_SOURCE_DIR "/tests/bench/expected.txt", "r");
    assert_non_null(file);
    int facts = 0;
    for (fact f; next_fact(file, &f); facts++) {
        const bench_network *n = bench_network_named(f.network);
        assert_non_null(n);
        cbm_context *cx = cbm_open(NULL);
        if (strcmp(f.what, "forward") == 0)
            check_forward(cx, n, &f);
        else
            check_train(cx, n, &f);
        good(cx);
        cbm_close(cx);
    }
    fclose(file);
    assert_int_equal(facts, 23);
}

/* Names and extents as torchvision has them. */
static void test_parameters(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *resnet = bench_resnet50(cx), *mobilenet = bench_mobilenet_v2(cx);
    good(cx);
    assert_int_equal(cbm_parameter_elements(resnet), 25557032);
    assert_int_equal(cbm_parameter_elements(mobilenet), 3504872);
    assert_int_equal(cbm_state_count(resnet), 320);
    assert_int_equal(cbm_state_count(mobilenet), 314);
    assert_false(cbm_tensor_failed(cbm_parameter(resnet, "layer1.0.downsample.1.running_mean")));
    assert_int_equal(cbm_tensor_size(cbm_parameter(resnet, "layer4.2.conv3.weight"), 0), 2048);
    assert_int_equal(cbm_tensor_size(cbm_parameter(mobilenet, "features.2.conv.1.0.weight"), 1), 1);
    assert_int_equal(cbm_tensor_size(cbm_parameter(mobilenet, "features.18.0.weight"), 0), 1280);
    assert_int_equal(cbm_tensor_size(cbm_parameter(mobilenet, "classifier.1.weight"), 1), 1280);
    good(cx);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_against_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
