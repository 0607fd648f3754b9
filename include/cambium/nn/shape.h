/* nn/shape.h: layers that give elements another place. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_SHAPE_H
#define CAMBIUM_NN_SHAPE_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* (N, ...) -> (N, rest). */
CBM_API cbm_module *cbm_nn_flatten(cbm_context *cx);

CBM_END_DECLS

#endif
