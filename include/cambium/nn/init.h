/* nn/init.h: initial values. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_INIT_H
#define CAMBIUM_NN_INIT_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Fills a variable again: uniform in [-bound, bound], normal, or one value. */
CBM_API void cbm_init_uniform(cbm_tensor *variable, double bound);
CBM_API void cbm_init_normal(cbm_tensor *variable, double deviation);
CBM_API void cbm_init_constant(cbm_tensor *variable, double value);

CBM_END_DECLS

#endif
