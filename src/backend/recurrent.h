/* recurrent.h: a launch of the recurrent family as its kernels see it: extents, and the numbers of the inputs. Rests on
   op/attributes.h alone. */
#ifndef CAMBIUM_BACKEND_RECURRENT_H
#define CAMBIUM_BACKEND_RECURRENT_H

#include "op/attributes.h"

#include <inttypes.h>
#include <stdio.h>

typedef enum cbm_cell_kind { CBM_RNN, CBM_LSTM, CBM_GRU } cbm_cell_kind;

typedef struct cbm_recurrence {
    cbm_cell_kind cell;
    int64_t steps, batch, hidden, state; /* T, B, H, P */
    int64_t gates, biases, parts;        /* in units of H: of a row of x_gates, of the bias, of what is kept */
    bool reverse, relu, keep;
    int w_hh, bias, h0, c0, w_hr, lengths, y, kept, gy, gh, gc; /* inputs; -1: not given */
} cbm_recurrence;

static inline cbm_recurrence cbm_recurrence_of(const cbm_launch *l, cbm_cell_kind cell, bool backward)
{
    static const int64_t gates[] = { 1, 4, 3 }, biases[] = { 1, 4, 4 }, parts[] = { 0, 5, 4 };
    const cbm_recurrent_attributes *a = l->attributes;
    const int first = backward ? 1 : 2;
    const cbm_buffer *x_gates = backward ? &l->out[0] : &l->in[0], *w_hh = &l->in[backward ? 0 : 1];
    return (cbm_recurrence){ .cell = cell,
                             .steps = x_gates->shape[0],
                             .batch = x_gates->shape[1],
                             .hidden = x_gates->shape[2] / gates[cell],
                             .state = w_hh->shape[1],
                             .gates = gates[cell],
                             .biases = biases[cell],
                             .parts = parts[cell],
                             .reverse = a->reverse != 0,
                             .relu = a->relu != 0,
                             .keep = a->keep != 0,
                             .w_hh = backward ? 0 : 1,
                             .bias = cbm_recurrent_place(a, CBM_GIVEN_BIAS, first),
                             .h0 = cbm_recurrent_place(a, CBM_GIVEN_H0, first),
                             .c0 = cbm_recurrent_place(a, CBM_GIVEN_C0, first),
                             .w_hr = cbm_recurrent_place(a, CBM_GIVEN_W_HR, first),
                             .lengths = cbm_recurrent_place(a, CBM_GIVEN_LENGTHS, first),
                             .y = cbm_recurrent_place(a, CBM_GIVEN_Y, first),
                             .kept = cbm_recurrent_place(a, CBM_GIVEN_KEPT, first),
                             .gy = cbm_recurrent_place(a, CBM_GIVEN_GY, first),
                             .gh = cbm_recurrent_place(a, CBM_GIVEN_GH, first),
                             .gc = cbm_recurrent_place(a, CBM_GIVEN_GC, first) };
}

/* A length outside 1..steps: says so in the launch's message. */
static inline cbm_status cbm_recurrent_length(const cbm_launch *l, int64_t length, int64_t b, int64_t steps)
{
    if (length >= 1 && length <= steps)
        return CBM_OK;
    if (l->message)
        snprintf(l->message, 256, "length %" PRId64 " at position %" PRId64 " is outside 1..%" PRId64, length, b,
                 steps);
    return CBM_ERROR_RANGE;
}

#endif
