/* test_costs.c: what a summary says of the well-known networks against what is published of them: multiplications and additions
   of one picture of 224x224 (torchvision's table, in thousand millions), receptive fields (Araujo, Norris and Sim 2019, "Computing
   receptive fields of convolutional neural networks"; of ResNet-50, whose strides are elsewhere here, by their formula), and the
   cost of gradients. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/status.h"

#define S(...) CBM_SHAPE(__VA_ARGS__)

typedef struct wanted {
    const char *layer;
    cbm_summary_row row, total;
} wanted;

static void see(const cbm_summary_row *row, void *user)
{
    wanted *w = user;
    if (!row->name[0])
        w->total = *row;
    if (w->layer && strcmp(row->name, w->layer) == 0)
        w->row = *row;
}

static wanted summary_of(cbm_module *net, cbm_shape picture, const char *layer)
{
    wanted w = { .layer = layer };
    CBM_SCOPE(scope, net->cx);
    assert_int_equal(cbm_summary(net, cbm_zeros(net->cx, CBM_F32, picture), see, &w), CBM_OK);
    return w;
}

static void as_published(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double giga;
        const char *layer; /* whose field is published; NULL: none */
        int64_t field;
    } all[] = {
        { "alexnet", 0.71, "features.12", 195 }, { "vgg16", 15.47, "features.30", 212 },
        { "vgg16_bn", 15.47, NULL, 0 },          { "resnet18", 1.81, NULL, 0 },
        { "resnet50", 4.09, "layer4", 427 },     { "resnet152", 11.51, NULL, 0 },
        { "wide_resnet50_2", 11.40, NULL, 0 },   { "resnext50_32x4d", 4.23, NULL, 0 },
        { "densenet121", 2.83, NULL, 0 },        { "squeezenet1_0", 0.82, NULL, 0 },
        { "squeezenet1_1", 0.35, NULL, 0 },      { "mobilenet_v2", 0.30, "features.18", 491 },
        { "efficientnet_b0", 0.39, NULL, 0 },
    };
    cbm_context *cx = cbm_open(NULL);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const wanted w = summary_of(cbm_network(cx, all[i].name), S(1, 3, 224, 224), all[i].layer);
        if (fabs(w.total.multiply_adds / 1e9 - all[i].giga) > 0.0151)
            fail_msg("%s: %.4g thousand million, not %g", all[i].name, w.total.multiply_adds / 1e9, all[i].giga);
        if (all[i].layer && w.row.receptive_field.v[1] != all[i].field)
            fail_msg("%s: %s sees %d places, not %d", all[i].name, all[i].layer, (int)w.row.receptive_field.v[1],
                     (int)all[i].field);
        assert_true(w.total.backward_flops > 1.7 * w.total.flops && w.total.backward_flops < 2.01 * w.total.flops);
    }
    good(cx);
    cbm_close(cx);
}

/* M K^2 N (D - K + 1)^2 for M = 3 planes of D = 32 and N = 8 filters of K = 5; what is frozen needs no gradient. */
static void the_lecture_formulas(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_module *one = cbm_nn_conv2d(cx, 3, 8, 5), *two = cbm_nn_conv2d(cx, 8, 4, 3, .stride = S(2), .dilation = S(3));
    cbm_module *net = cbm_sequential(cx, one, cbm_nn_relu(cx), two, cbm_nn_upsample(cx, .scale_factor = { 2 }),
                                     cbm_nn_conv2d(cx, 4, 1, 3));
    wanted w = summary_of(net, S(1, 3, 32, 32), "0");
    assert_true(w.row.multiply_adds == 3.0 * 25 * 8 * 28 * 28);
    assert_true(w.row.output.v[3] == 28 && w.row.receptive_field.v[0] == 2 && w.row.receptive_field.v[2] == 5);
    assert_true(w.row.backward_flops == w.row.flops); /* the picture needs none */
    w = summary_of(net, S(1, 3, 32, 32), "2");
    assert_int_equal(w.row.receptive_field.v[1], 5 + 2 * 3);
    assert_true(w.row.backward_flops == 2 * w.row.flops);
    w = summary_of(net, S(1, 3, 32, 32), "4"); /* up and down again: neighbours lie one place apart */
    assert_int_equal(w.row.receptive_field.v[1], 11 + 2);
    cbm_module_set_trainable(one, false);
    w = summary_of(net, S(1, 3, 32, 32), "2");
    assert_true(w.row.backward_flops == w.row.flops);
    w = summary_of(net, S(1, 3, 32, 32), "0");
    assert_true(w.row.backward_flops == 0);
    /* The lecture's three layers that each see 10x10 places of 200x200: a unit for each place, its weights its own or shared. */
    cbm_module *local = cbm_nn_locally_connected2d(cx, 1, 1, 209, 209, 10, .bias = false);
    cbm_module *conv = cbm_nn_conv2d(cx, 1, 100, 10, .bias = false);
    const wanted l = summary_of(local, S(1, 1, 209, 209), NULL), c = summary_of(conv, S(1, 1, 209, 209), NULL);
    assert_true(l.total.parameters == 4000000 && l.total.multiply_adds == 4e6);
    assert_true(c.total.parameters == 10000 && c.total.multiply_adds == 4e8);
    /* And one in which each of 200x200 units sees all of 200x200 places; no weight of it is ever drawn. */
    cbm_module *full = cbm_nn_linear(cx, 40000, 40000, .bias = false);
    wanted f = { .layer = NULL };
    assert_int_equal(cbm_summary(full, cbm_zeros(cx, CBM_F32, S(1, 40000)), see, &f), CBM_OK);
    assert_true(f.total.parameters == 1600000000 && f.total.multiply_adds == 1.6e9);
    assert_true(cbm_context_statistics(cx).bytes_peak < UINT64_C(1) << 28);
    good(cx);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_published), cmocka_unit_test(the_lecture_formulas) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
