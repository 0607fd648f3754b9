/* sample.h: the numbers of an operation's sample inputs, always the same. Rests on base's Philox. */
#ifndef CAMBIUM_SAMPLE_H
#define CAMBIUM_SAMPLE_H

#include "base/base.h"
#include <cambium/operation.h>

/* The elements of input number `which` of a sample as dtype, in memory from heap; NULL: no memory, or a shape that is not
   valid. Give back *size bytes. Floating numbers are those that fit f32, so that f32 and f64 start from the same. */
void *cbm_sample_fill(cbm_heap *heap, const cbm_sample *sample, size_t which, cbm_dtype dtype, size_t *size);

#endif
