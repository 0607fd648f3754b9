/* autograd.h: what floors above ask of backward beyond the public functions. */
#ifndef CAMBIUM_AUTOGRAD_INTERNAL_H
#define CAMBIUM_AUTOGRAD_INTERNAL_H

#include "op/families.h" /* first: recording here names no lines */
#include <cambium/autograd.h>

/* cbm_grad_with, but grads[i] is NULL where y does not depend on xs[i]. */
cbm_status cbm_grad_reached(cbm_tensor *y, cbm_tensor *const *xs, size_t count, cbm_tensor **grads,
                            const cbm_grad_options *options);

#endif
