/* compare.h: the same computation, forward and backward, on the reference backend in f64 and elsewhere. Rests on cases.h. */
#ifndef CAMBIUM_TESTS_COMPARE_H
#define CAMBIUM_TESTS_COMPARE_H

#include "support/cases.h"

/* What is compared: results from inputs; with their gradients, those of the results' sum with fixed weights. */
typedef struct subject {
    const char *name;
    size_t n_in;
    case_tensor in[CBM_SAMPLE_INPUTS];
    case_layout layout; /* of the inputs, where not f64 on the reference backend */
    /* forward results from inputs; returns how many */
    size_t (*forward)(const struct subject *s, cbm_context *cx, bool f32, cbm_tensor *const *in, cbm_tensor **out);
    const void *user;
} subject;

/* cpu in f32 and f64 and reference in f32 against reference in f64; prints and counts what differs. */
int compare_backends(const subject *s, bool backward);

/* An f64 tensor of numbers in [-1, 1) that f32 holds too; free data. */
case_tensor compare_tensor(cbm_shape shape, uint64_t stream);

#endif
