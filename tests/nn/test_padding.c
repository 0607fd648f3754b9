/* test_padding.c: convolutions that pad with something else than zeros, and padding layers, against PyTorch's
   (padding.safetensors, from make_padding.py); their errors. */
#include <cambium/cambium.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include "support/module_case.h"
#include "support/status.h"

#define DATA CBM_SOURCE_DIR "/tests/nn/data/padding.safetensors"
#define S(...) CBM_SHAPE(__VA_ARGS__)

typedef struct stored {
    const char *name;
    cbm_module *(*make)(cbm_context *cx, int64_t dtype);
} stored;
#define MAKER(name, ...)                                                                                               \
    static cbm_module *name(cbm_context *cx, int64_t t)                                                                \
    {                                                                                                                  \
        (void)t;                                                                                                       \
        return __VA_ARGS__;                                                                                            \
    }
MAKER(circular, cbm_nn_conv1d(cx, 2, 4, 5, .padding = S(3), .padding_mode = CBM_PAD_CIRCULAR, .dtype = t))
MAKER(reflect, cbm_nn_conv2d(cx, 4, 6, 0, .kernel = S(3, 2), .stride = S(2), .padding = S(2, 1), .groups = 2,
                             .padding_mode = CBM_PAD_REFLECT, .dtype = t))
MAKER(replicate, cbm_nn_conv3d(cx, 2, 3, 2, .padding = S(1, 0, 2), .dilation = S(1, 2, 1), .bias = false,
                               .padding_mode = CBM_PAD_REPLICATE, .dtype = t))
MAKER(same, cbm_nn_conv2d(cx, 3, 2, 0, .kernel = S(4, 3), .dilation = S(1, 2), .same = true,
                          .padding_mode = CBM_PAD_CIRCULAR, .dtype = t))
MAKER(same_zeros, cbm_nn_conv2d(cx, 3, 2, 0, .kernel = S(4, 3), .same = true, .dtype = t))
MAKER(pad_reflect, cbm_nn_pad(cx, S(0, 1), S(3, 2), .mode = CBM_PAD_REFLECT))
MAKER(pad_replicate, cbm_nn_pad(cx, S(0, 1, 2), S(2, 1, 0), .mode = CBM_PAD_REPLICATE))
MAKER(pad_circular, cbm_nn_pad(cx, S(3), S(1), .mode = CBM_PAD_CIRCULAR))
MAKER(pad_constant, cbm_nn_pad(cx, S(1, -1), S(-2, 2), .value = 0.75))
static const stored cases[] = {
    { "circular", circular },           { "reflect", reflect },
    { "replicate", replicate },         { "same", same },
    { "same_zeros", same_zeros },       { "pad_reflect", pad_reflect },
    { "pad_replicate", pad_replicate }, { "pad_circular", pad_circular },
    { "pad_constant", pad_constant },
};

static void agrees_with_pytorch(void **state)
{
    (void)state;
    static const char *const devices[] = { "reference", "cpu" };
    for (int mode = 0; mode < 4; mode++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            const cbm_dtype dtype = mode % 2 ? CBM_F32 : CBM_F64;
            module_case c =
                module_case_open(DATA, cases[i].name, devices[mode / 2], dtype, dtype == CBM_F64 ? 1e-11 : 4e-6);
            cbm_module *net = cases[i].make(c.cx, dtype);
            good(c.cx);
            module_case_load(&c, net);
            cbm_tensor *x = module_case_tensor(&c, "x");
            const char *name = "x";
            module_case_output(&c, "output", cbm_call(net, x));
            module_case_backward(&c, net, &name, &x, 1);
            module_case_close(&c);
        }
}

static void errors(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    REFUSED(cbm_nn_pad(cx, S(1), S(1, 2)), CBM_ERROR_INVALID, "[pad] needs as many places before as after");
    REFUSED(cbm_nn_pad(cx, S(1), S(1), .mode = 9), CBM_ERROR_INVALID, "a cbm_pad_mode");
    REFUSED(cbm_nn_pad_with(cx, S(1), S(1), NULL), CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_nn_conv2d(cx, 1, 1, 3, .padding_mode = 4), CBM_ERROR_INVALID, "[conv2d] padding_mode must be");
    REFUSED(cbm_nn_conv2d(cx, 1, 1, 3, .padding = S(1, 2, 3), .padding_mode = CBM_PAD_REFLECT), CBM_ERROR_INVALID,
            "hold one value or 2");
    REFUSED(cbm_nn_conv2d(cx, 1, 1, 3, .stride = S(2), .same = true, .padding_mode = CBM_PAD_REFLECT),
            CBM_ERROR_INVALID, "same goes with strides of 1");
    cbm_module *wide = cbm_nn_conv2d(cx, 1, 1, 3, .padding = S(4), .padding_mode = CBM_PAD_REFLECT);
    REFUSED(cbm_call(wide, cbm_zeros(cx, CBM_F32, S(1, 1, 4, 4))), CBM_ERROR_SHAPE, "[pad_edge]");
    REFUSED(cbm_call(cbm_nn_pad(cx, S(1), S(-9)), cbm_zeros(cx, CBM_F32, S(2, 3))), CBM_ERROR_SHAPE,
            "less than nothing is left");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_pytorch), cmocka_unit_test(errors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
