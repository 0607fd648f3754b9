/* shape.c: layers that give elements another place. */
#include "nn/layer.h"

static cbm_tensor *flatten_forward(cbm_module *self, cbm_tensor *x)
{
    (void)self;
    return cbm_flatten(x, 1);
}

cbm_module *cbm_nn_flatten(cbm_context *cx)
{
    return cbm_layer_plain(cx, "flatten", flatten_forward);
}
