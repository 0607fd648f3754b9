/* record.h: recording a node: what operation families and autograd call. */
#ifndef CAMBIUM_RECORD_H
#define CAMBIUM_RECORD_H

#include "tensor/context.h"

/* Keeps the error (if it is the first) and returns the context's failed tensor. */
cbm_tensor *cbm_fail_tensor(cbm_context *cx, cbm_status status, const char *format, ...) CBM_PRINTF(3, 4);

#endif
