/* test_networks.c: the networks of networks.h against torchvision's in f64, from the same weights by formula
   (make_expected.py): how many parameters, how many tensors with which names, and outputs; how their weights are drawn; what they
   refuse. */
#include "bench/networks/networks.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

enum { OUTPUTS = 8 };

typedef struct fact {
    char name[40];
    long long extent, parameters, state;
    int count;
    double output[OUTPUTS];
} fact;

static bool next_fact(FILE *file, fact *f)
{
    char line[1024];
    int used = 0;
    if (!fgets(line, sizeof line, file))
        return false;
    assert_int_equal(sscanf(line, "%39s %lld %lld %lld%n", f->name, &f->extent, &f->parameters, &f->state, &used), 4);
    char *at = line + used, *end = NULL;
    for (f->count = 0; f->count < OUTPUTS; f->count++, at = end) {
        f->output[f->count] = strtod(at, &end);
        if (end == at)
            break;
    }
    assert_true(f->count == OUTPUTS || f->count == 0);
    return true;
}

static void check_outputs(cbm_module *net, const fact *f, int64_t channels)
{
    cbm_context *cx = net->cx;
    CBM_NO_GRAD(scope, cx);
    cbm_tensor *y = cbm_call(net, bench_tensor(cx, "input", CBM_SHAPE(2, channels, f->extent, f->extent)));
    const float *data = cbm_tensor_data(y);
    good(cx);
    const int64_t count = cbm_tensor_count(y);
    double squares = 0;
    for (int64_t i = 0; i < count; i++)
        squares += (double)data[i] * data[i];
    const double scale = sqrt(squares / (double)count);
    for (int i = 0; i < f->count; i++) {
        const double got = data[i * (count - 1) / (OUTPUTS - 1)];
        if (!(fabs(got - f->output[i]) <= 1e-3 * scale))
            fail_msg("%s, number %d: %.9g, PyTorch has %.9g", f->name, i, got, f->output[i]);
    }
}

static void against_torchvision(void **state)
{
    (void)state;
    FILE *file = fopen(CBM_SOURCE_DIR "/tests/networks/expected.txt", "r");
    assert_non_null(file);
    fact f;
    size_t count = 0;
    while (next_fact(file, &f)) {
        cbm_context *cx = cbm_open(NULL);
        cbm_network_info info = { .struct_size = sizeof info };
        assert_true(cbm_network_at(count++, &info));
        bool listed = false;
        for (size_t i = 0; !listed && cbm_network_at(i, &info); i++)
            listed = strcmp(info.name, f.name) == 0;
        assert_true(listed);
        cbm_module *net = cbm_network(cx, f.name);
        good(cx);
        if (cbm_parameter_elements(net) != f.parameters || (long long)cbm_state_count(net) != f.state)
            fail_msg("%s: %lld parameters in a state of %zu, not %lld and %lld", f.name,
                     (long long)cbm_parameter_elements(net), cbm_state_count(net), f.parameters, f.state);
        if (f.count) {
            bench_fill(net);
            cbm_eval(net);
            good(cx);
            check_outputs(net, &f, info.input.v[1]);
        }
        cbm_close(cx);
    }
    fclose(file);
    assert_false(cbm_network_at(count, &(cbm_network_info){ .struct_size = sizeof(cbm_network_info) }));
}

/* The deviation of a parameter's numbers. */
static double deviation(cbm_module *net, const char *name)
{
    cbm_tensor *t = cbm_parameter(net, name);
    return sqrt(cbm_item(cbm_mean(cbm_square(t))));
}

static void weights_are_drawn(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.seed = 2);
    cbm_module *net = cbm_network(cx, "resnet18", .classes = 5, .small_images = true);
    assert_true(fabs(deviation(net, "layer4.1.conv2.weight") / sqrt(2.0 / (512 * 9)) - 1) < 0.01);
    assert_int_equal(cbm_tensor_size(cbm_parameter(net, "conv1.weight"), 2), 3);
    assert_int_equal(cbm_tensor_size(cbm_parameter(net, "fc.weight"), 0), 5);
    net = cbm_network(cx, "vgg11", .classes = 5);
    assert_true(fabs(deviation(net, "classifier.0.weight") / 0.01 - 1) < 0.01);
    assert_true(deviation(net, "features.3.bias") == 0);
    net = cbm_network(cx, "mobilenet_v2");
    assert_true(fabs(deviation(net, "features.18.0.weight") / sqrt(2.0 / 1280) - 1) < 0.01);
    assert_true(fabs(deviation(net, "classifier.1.weight") / 0.01 - 1) < 0.01);
    net = cbm_network(cx, "densenet121");
    assert_true(fabs(deviation(net, "features.conv0.weight") / sqrt(2.0 / (3 * 49)) - 1) < 0.05);
    assert_true(deviation(net, "classifier.bias") == 0);
    net = cbm_network(cx, "squeezenet1_1");
    assert_true(fabs(deviation(net, "classifier.1.weight") / 0.01 - 1) < 0.01);
    assert_true(fabs(deviation(net, "features.12.squeeze.weight") / sqrt(2.0 / 512) - 1) < 0.02);
    net = cbm_network(cx, "efficientnet_b0", .classes = 100);
    assert_true(fabs(deviation(net, "classifier.1.weight") / (0.1 / sqrt(3)) - 1) < 0.02);
    good(cx);
    cbm_close(cx);
}

/* Training: gradients of every parameter, with what is random (dropout, dropped blocks) and what is counted. */
static void they_train(void **state)
{
    (void)state;
    static const char *const names[] = { "efficientnet_b0", "densenet121", "unet", "squeezenet1_1", "resnet20" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cbm_context *cx = cbm_open_with(.seed = 3);
        cbm_module *net = cbm_network(cx, names[i], .classes = 3);
        cbm_tensor *y = cbm_call(net, bench_tensor(cx, "input", CBM_SHAPE(2, 3, 32, 32)));
        assert_int_equal(cbm_backward(cbm_mean(cbm_square(y))), CBM_OK);
        cbm_named p;
        for (size_t k = 0; cbm_parameter_at(net, k, &p); k++)
            if (!cbm_gradient(p.tensor))
                fail_msg("%s: %s has no gradient", names[i], p.name);
        assert_true(isfinite(cbm_item(cbm_sum(cbm_gradient(cbm_parameter_at(net, 0, &p) ? p.tensor : NULL)))));
        good(cx);
        cbm_close(cx);
    }
}

static void errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    REFUSED(cbm_network(cx, "resnet19"), CBM_ERROR_INVALID, "there is no \"resnet19\". Those known: lenet5, alexnet, ");
    REFUSED(cbm_network(cx, NULL), CBM_ERROR_INVALID, "there is no \"(NULL)\"");
    REFUSED(cbm_network(cx, "vgg11", .small_images = true), CBM_ERROR_INVALID, "small_images goes with residual");
    REFUSED(cbm_network(cx, "unet", .classes = -1), CBM_ERROR_INVALID, "[network] unet: classes");
    REFUSED(cbm_network(cx, "alexnet", .dropout = 1), CBM_ERROR_INVALID, "dropout less than 1");
    REFUSED(cbm_network(cx, "resnet18", .dtype = CBM_U8), CBM_ERROR_DTYPE, "[network]");
    REFUSED(cbm_network_with(cx, "resnet18", NULL), CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_call(cbm_network(cx, "unet"), cbm_zeros(cx, CBM_F32, CBM_SHAPE(1, 3, 24, 32))), CBM_ERROR_SHAPE,
            "[unet] the input (1, 3, 24, 32) is not (N, C, H, W) with H and W multiples of 16");
    cbm_network_options o;
    cbm_network_options_init(&o);
    assert_true(o.dropout == -1 && o.classes == 0 && o.dtype == CBM_F32);
    assert_false(cbm_network_at(0, NULL));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_torchvision),
        cmocka_unit_test(weights_are_drawn),
        cmocka_unit_test(they_train),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
