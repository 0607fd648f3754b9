/* activation.c: activations as layers. */
#include "nn/layer.h"

#define ACTIVATION(name)                                                                                               \
    static cbm_tensor *name##_forward(cbm_module *self, cbm_tensor *x)                                                 \
    {                                                                                                                  \
        (void)self;                                                                                                    \
        return cbm_##name(x);                                                                                          \
    }                                                                                                                  \
    cbm_module *cbm_nn_##name(cbm_context *cx)                                                                         \
    {                                                                                                                  \
        return cbm_layer_plain(cx, #name, name##_forward);                                                             \
    }
ACTIVATION(relu)
ACTIVATION(relu6)
ACTIVATION(sigmoid)
ACTIVATION(tanh)
ACTIVATION(gelu)
