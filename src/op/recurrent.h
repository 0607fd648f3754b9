/* recurrent.h: what the files of the recurrent family share: recurrent.c (records, gradients, public functions) and unroll.c
   (their decomposition into steps). */
#ifndef CAMBIUM_RECURRENT_H
#define CAMBIUM_RECURRENT_H

#include "op/families.h"

/* What of an operation is made by one cell: parts of width H in the gates, the bias and what is kept. */
typedef struct cbm_cell {
    const char *name;
    const cbm_op *forward, *backward;
    int64_t gates, biases, kept;
    bool memory; /* it has a cell state c */
} cbm_cell;
extern const cbm_cell cbm_cell_rnn, cbm_cell_lstm, cbm_cell_gru;

/* The number of each optional input of forward, or -1. */
enum { CBM_RECURRENT_FIRST = 2, CBM_RECURRENT_BACKWARD_FIRST = 1 };

/* unroll.c: the decompositions: one set of operations a step. */
bool cbm_unroll_rnn(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in, cbm_tensor **out);
bool cbm_unroll_lstm(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in, cbm_tensor **out);
bool cbm_unroll_gru(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in, cbm_tensor **out);

/* Part number `part` of width hidden along the last axis, and several from it on. */
cbm_tensor *cbm_gate(cbm_tensor *t, int64_t part, int64_t count, int64_t hidden);

#endif
