/* nn/dropout.h: dropout. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_DROPOUT_H
#define CAMBIUM_NN_DROPOUT_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Each is the identity in evaluation mode. 0 <= p < 1. dropout: single elements; dropout1d, 2d, 3d: whole channels of
   (N, C, L), (N, C, H, W), (N, C, D, H, W). */
CBM_API cbm_module *cbm_nn_dropout(cbm_context *cx, double p);
CBM_API cbm_module *cbm_nn_dropout1d(cbm_context *cx, double p);
CBM_API cbm_module *cbm_nn_dropout2d(cbm_context *cx, double p);
CBM_API cbm_module *cbm_nn_dropout3d(cbm_context *cx, double p);
/* For networks with SELU: cbm_alpha_dropout, and the same of whole channels. */
CBM_API cbm_module *cbm_nn_alpha_dropout(cbm_context *cx, double p);
CBM_API cbm_module *cbm_nn_feature_alpha_dropout(cbm_context *cx, double p);
/* Stochastic depth (Huang et al. 2016), for the body of a residual block: x / (1 - p), or zeros with probability p, decided for
   each sample of the batch (by_sample) or for all at once. */
CBM_API cbm_module *cbm_nn_stochastic_depth(cbm_context *cx, double p, bool by_sample);

CBM_END_DECLS

#endif
