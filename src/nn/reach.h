/* reach.h: what each recorded value of a network depends on: how much of the picture, and whether on trained parameters. Rests on
   tensor/ and op/. */
#ifndef CAMBIUM_NN_REACH_H
#define CAMBIUM_NN_REACH_H

#include "nn/parts.h"

enum { CBM_REACH_DIMENSIONS = 3 };

typedef struct cbm_reach {
    /* Each element depends on `field` neighbouring places of the picture along each dimension; neighbours' fields begin `jump`
       places apart. Dimensions 0: on all of it, or it is no picture. */
    int64_t dimensions, field[CBM_REACH_DIMENSIONS];
    double jump[CBM_REACH_DIMENSIONS];
    bool trained; /* depends on a trained parameter */
} cbm_reach;

/* Follows what is recorded from now on. */
typedef struct cbm_reaches {
    cbm_context *cx;
    const cbm_value *input; /* the picture (N, C, ...) */
    uint64_t seen;          /* nodes up to this number */
    cbm_array nodes;        /* of (number, reach), in order */
} cbm_reaches;

cbm_reaches cbm_reaches_begin(cbm_context *cx, const cbm_value *input);
void cbm_reaches_end(cbm_reaches *t);
bool cbm_reaches_update(cbm_reaches *t); /* takes in what was recorded since; false: no memory (reported) */
cbm_reach cbm_reaches_of(const cbm_reaches *t, const cbm_value *value);
/* For how many of its first operands a product's gradient is made; of other operations 0 or 1. */
int cbm_reaches_gradients(const cbm_reaches *t, const cbm_node *node);

#endif
