/* nn/activation.h: activations, each the function of its name. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_ACTIVATION_H
#define CAMBIUM_NN_ACTIVATION_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

CBM_API cbm_module *cbm_nn_relu(cbm_context *cx);
CBM_API cbm_module *cbm_nn_relu6(cbm_context *cx);
CBM_API cbm_module *cbm_nn_sigmoid(cbm_context *cx);
CBM_API cbm_module *cbm_nn_tanh(cbm_context *cx);
CBM_API cbm_module *cbm_nn_gelu(cbm_context *cx);

CBM_END_DECLS

#endif
