/* resample.h: where the results of resample come from, for the kernels of every backend. */
#ifndef CAMBIUM_RESAMPLE_H
#define CAMBIUM_RESAMPLE_H

#include "op/attributes.h"
#include <cambium/ops/image.h>

/* A result is a weighted sum of `count` neighbours from `first` on. even: every weight is weight[0]; else count <= 4. */
typedef struct cbm_taps {
    int64_t first, count;
    bool even;
    double weight[4];
} cbm_taps;

/* Of result i. single: places are computed in f32, as for f32 and bf16 elements, else in f64: which neighbour is nearest
   can depend on that. */
cbm_taps cbm_resample_taps(const cbm_resample_attributes *a, bool single, int64_t i);
static inline double cbm_tap_weight(const cbm_taps *t, int64_t k)
{
    return t->weight[t->even ? 0 : k];
}

#endif
