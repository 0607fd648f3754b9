/* init.h: how layers make their parameters. Each adds a new variable to the module under that name. */
#ifndef CAMBIUM_NN_INIT_H
#define CAMBIUM_NN_INIT_H

#include "nn/parts.h"

/* A parameter uniform in [-bound, bound]. */
cbm_status cbm_add_uniform(cbm_module *m, const char *name, cbm_dtype dtype, cbm_shape shape, double bound);
/* A parameter or buffer of one value. */
cbm_status cbm_add_full(cbm_module *m, const char *name, cbm_dtype dtype, cbm_shape shape, double value, bool buffer);

#endif
