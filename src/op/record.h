/* record.h: recording a node: what operation families and autograd call. */
#ifndef CAMBIUM_RECORD_H
#define CAMBIUM_RECORD_H

#include "tensor/context.h"

/* Keeps the error (if it is the first) and returns the context's failed tensor. */
cbm_tensor *cbm_fail_tensor(cbm_context *cx, cbm_status status, const char *format, ...) CBM_PRINTF(3, 4);

/* A function that records several operations begins with cbm_now of an operand and ends with cbm_composed: the result, and
   what was recorded since, get the user's line together. */
static inline uint64_t cbm_now(const cbm_tensor *t)
{
    return cbm_tensor_context(t)->sequence;
}
cbm_tensor *cbm_composed(cbm_tensor *result, uint64_t since);

/* autocast.c: the operands that precision bf16 gives to op: inputs as they are, or room, filled with them and their casts. */
cbm_tensor *const *cbm_autocast_operands(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in,
                                         cbm_tensor **room);
/* t as products take it in the current precision: for an operand that is looked at through a view. */
cbm_tensor *cbm_for_product(cbm_tensor *t);

#endif
