/* convolution.h: a convolution made ready to run, by whichever algorithm serves its shape and direction: oneDNN's (direct,
   or its Winograd where it has one) or the own Winograd kernels. */
#ifndef CAMBIUM_CPU_CONVOLUTION_H
#define CAMBIUM_CPU_CONVOLUTION_H

#include "backend/cpu/onednn.h"

typedef enum cbm_conv_algorithm {
    CBM_CONV_DIRECT,   /* oneDNN's direct kernels */
    CBM_CONV_LIBRARY,  /* what oneDNN has besides: its Winograd */
    CBM_CONV_WINOGRAD, /* own kernels */
    CBM_CONV_ALGORITHMS
} cbm_conv_algorithm;

extern const char *const cbm_conv_algorithm_names[CBM_CONV_ALGORITHMS];

typedef struct cbm_convolution cbm_convolution;

/* Whether an algorithm can serve it at all, and the one that fixed rules choose. */
bool cbm_conv_suits(const cbm_dnn_conv *c, cbm_conv_algorithm algorithm);
cbm_conv_algorithm cbm_conv_rule(const cbm_dnn_conv *c);
/* The fastest that suits: from the table of measurements (tuning.h), or measured now and put there. */
cbm_conv_algorithm cbm_conv_measured(const cbm_dnn_conv *c, int64_t threads);

/* NULL: no memory, or not supported. */
cbm_convolution *cbm_convolution_open(const cbm_dnn_conv *c, cbm_conv_algorithm algorithm, int64_t threads);
size_t cbm_convolution_workspace(const cbm_convolution *c); /* bytes, to be aligned to 64 */
/* x or dx, weight or dweight (OIHW unless packed), y or dy, bias or NULL. false: the library refused. */
bool cbm_convolution_run(cbm_convolution *c, void *x, void *weight, void *y, void *bias, void *workspace);
/* The packed weight that packed_weight means. */
size_t cbm_convolution_packed_bytes(const cbm_convolution *c);
bool cbm_convolution_pack(cbm_convolution *c, const void *plain, void *packed, int64_t threads);
const char *cbm_convolution_describe(const cbm_convolution *c);
bool cbm_convolution_sure(const cbm_convolution *c); /* its runs cannot fail */
void cbm_convolution_free(cbm_convolution *c);

#endif
