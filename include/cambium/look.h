/* look.h: looking inside a network: what its layers give for some inputs, and whether that is the picture of a good training
   or of a bad one. */
#ifndef CAMBIUM_LOOK_H
#define CAMBIUM_LOOK_H

#include <cambium/nn.h>

CBM_BEGIN_DECLS

/* What a layer gives for a batch. A unit is a feature map of (N, C, ...), or a column of (N, C). */
typedef struct cbm_layer_look {
    char name[256];   /* "conv1" */
    const char *type; /* "conv2d" */
    cbm_shape output; /* (N, C, ...) */
    int64_t units, samples;
    double mean, deviation; /* of all elements */
    double zeros;           /* the part of elements that is 0: sparsity */
    int64_t dead;           /* units that are 0 everywhere, for every sample */
    int64_t constant;   /* units that ignore the input: between samples they vary by less than a hundredth of what the
                               layer's elements are large (root mean square) */
    double correlation; /* the mean of |correlation| over pairs of units that vary; NaN with less than two such */
    double saturated;   /* of sigmoid and tanh: the part of elements within 0.02 of an end; otherwise 0 */
} cbm_layer_look;

/* Calls row for each layer (a module without parts) that a forward of input meets, in order, in the mode in which network
   is, without gradients; layers whose output is not (N, C, ...) of floats with N >= 2 are passed over. Of more than 64 units
   64 are correlated, spread over all. */
CBM_API cbm_status cbm_look_at_layers(cbm_module *network, cbm_tensor *input,
                                      void (*row)(const cbm_layer_look *look, void *user), void *user);

/* What is wrong with a layer, in words, "" if nothing is: most units dead, most units ignore the input, units that say the
   same (mean correlation above 0.75, of four units or more), most elements saturated. Returns whether there is something. */
CBM_API bool cbm_look_verdict(const cbm_layer_look *look, char *text, size_t size);

CBM_END_DECLS

#endif
