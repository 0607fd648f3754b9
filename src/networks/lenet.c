/* lenet.c: LeNet-5, with tanh units, pooling without weights, and every feature map of the third layer seeing all of the
   second. */
#include "networks/parts.h"

static cbm_module *lenet5(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    (void)form;
    const int64_t t = o->dtype;
    return cbm_sequential(cx, cbm_nn_conv2d(cx, o->channels, 6, 5, .padding = CBM_SHAPE(2), .dtype = t),
                          cbm_nn_tanh(cx), cbm_nn_avg_pool2d(cx, 2),                /* (N, 6, 14, 14) */
                          cbm_nn_conv2d(cx, 6, 16, 5, .dtype = t), cbm_nn_tanh(cx), /* (N, 16, 10, 10) */
                          cbm_nn_avg_pool2d(cx, 2),                                 /* (N, 16, 5, 5) */
                          cbm_nn_flatten(cx), cbm_network_linear(cx, o, 400, 120), cbm_nn_tanh(cx),
                          cbm_network_linear(cx, o, 120, 84), cbm_nn_tanh(cx),
                          cbm_network_linear(cx, o, 84, o->classes));
}

const cbm_network_form cbm_networks_lenet[] = {
    { "lenet5", "LeCun, Bottou, Bengio and Haffner 1998", lenet5, 1, 28, 10, 0, NULL },
    { .name = NULL },
};
