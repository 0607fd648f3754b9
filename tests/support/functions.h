/* functions.h: public functions that are made of several operations, and so have no record: their results and gradients
   against values stored from PyTorch (tests/reference/functions). Rests on cases.h. */
#ifndef CAMBIUM_TESTS_FUNCTIONS_H
#define CAMBIUM_TESTS_FUNCTIONS_H

#include "support/cases.h"

/* One function: from a case's inputs and fields to its results. Returns how many there are; 0: failed. */
typedef struct function_entry {
    const char *name; /* the case's op */
    size_t (*call)(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out);
} function_entry;

/* Fields of a case; missing ones are 0 and the empty list. */
int64_t function_int(const op_case *c, const char *name);
double function_float(const op_case *c, const char *name);
cbm_shape function_shape(const op_case *c, const char *name);

/* Every case of the file on both backends, in f64 and f32, from memory in several layouts; the results behind the
   function's own are the gradients of its floating inputs, of the sum of results times weights (see make_values.py).
   Prints and counts what differs, cases without a function, and functions without a case. */
int check_functions(const char *path, const function_entry *table, size_t count);

#endif
