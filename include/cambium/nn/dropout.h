/* nn/dropout.h: dropout. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_DROPOUT_H
#define CAMBIUM_NN_DROPOUT_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Identity in evaluation mode. 0 <= p < 1. */
CBM_API cbm_module *cbm_nn_dropout(cbm_context *cx, double p);

CBM_END_DECLS

#endif
