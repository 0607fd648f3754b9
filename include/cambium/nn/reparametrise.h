/* nn/reparametrise.h: layers whose weight is computed from other parameters at each call. See nn.h for what holds for all
   modules. */
#ifndef CAMBIUM_NN_REPARAMETRISE_H
#define CAMBIUM_NN_REPARAMETRISE_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Weight normalisation (Salimans and Kingma 2016): the parameter called name becomes name_g and name_v, from which each
   call computes g v / |v|, the norm being taken over all axes but axis (-1: over all, g a scalar). The values stay as they
   are. Returns layer, which computes as before; a failed module on error. layer holds the parameter itself. */
CBM_API cbm_module *cbm_nn_weight_norm(cbm_module *layer, const char *name, int64_t axis);

/* Spectral normalisation (Miyato et al. 2018): the parameter called name becomes name_orig, and each call computes it
   divided by its largest singular value as a matrix (extent of axis, the rest), estimated as u^T W v. In training each call
   does so many power iterations, which update the buffers name_u and name_v. */
CBM_API cbm_module *cbm_nn_spectral_norm(cbm_module *layer, const char *name, int64_t axis, int64_t iterations);

/* The parameter again, with the value that the next call in evaluation mode would compute; the others go. An error where there
   is none. */
CBM_API cbm_status cbm_nn_remove_reparametrisation(cbm_module *layer);

CBM_END_DECLS

#endif
