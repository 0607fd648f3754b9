/* repeat.h: a backward pass that repeats the tape's is copied from it, without walking and without asking any vjp. */
#ifndef CAMBIUM_REPEAT_H
#define CAMBIUM_REPEAT_H

#include "tensor/context.h"

/* true: done, as cbm_backward(y) would have. false: nothing has happened. */
bool cbm_repeat_backward(cbm_context *cx, cbm_value *y);

/* While a tape is drafted: where a pass begins ... */
typedef struct cbm_pass_start {
    size_t first, leaves; /* operations and leaves so far */
} cbm_pass_start;
cbm_pass_start cbm_pass_begins(const cbm_context *cx);
/* ... and a pass that has just ended, having differentiated these nodes: it enters the draft, if what it did depends on
   nothing but what cbm_repeat_backward compares. */
void cbm_pass_ended(cbm_context *cx, cbm_pass_start start, const cbm_value *y, cbm_node *const *nodes, size_t count);

#endif
