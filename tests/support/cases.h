/* cases.h: operations' stored cases (inputs, attributes, results computed by PyTorch), reading and writing their file,
   applying an operation to inputs in several memory layouts, and comparing. Rests on the library and the C library. */
#ifndef CAMBIUM_TESTS_CASES_H
#define CAMBIUM_TESTS_CASES_H

#include <cambium/context.h>
#include <cambium/operation.h>
#include <stdio.h>

typedef struct case_tensor {
    cbm_dtype dtype;
    cbm_shape shape;
    int64_t count;
    bool present; /* of results: it is compared */
    void *data;   /* row-major */
} case_tensor;

typedef struct case_field {
    char name[32];
    uint32_t type; /* cbm_attribute_type */
    int64_t value[9];
} case_field;

/* Of one case at most: of a function they are followed by its gradients. */
#define CASE_RESULTS 16

typedef struct op_case {
    char op[48], label[80];
    bool exact; /* as stored; otherwise f64 cases are also run with f32 in f64's place */
    size_t n_fields, n_in, n_out;
    case_field fields[12];
    case_tensor in[CBM_MAX_INPUTS], out[CASE_RESULTS];
} op_case;

typedef struct case_list {
    op_case *cases;
    size_t count;
} case_list;

/* How an input lies in memory. */
typedef enum case_layout { LAYOUT_PLAIN, LAYOUT_REVERSED_AXES, LAYOUT_EVERY_SECOND, LAYOUTS } case_layout;
extern const char *const layout_names[LAYOUTS];

bool cases_read(const char *path, case_list *out);        /* false: missing or malformed */
bool cases_read_folder(const char *path, case_list *out); /* all of a folder's files, in any order */
bool cases_write(const char *path, const case_list *list);
void cases_free(case_list *list);

/* false: an operation that this build of the library cannot compute, being made without LAPACK. */
bool case_op_available(const char *op);

/* The cases made of the records' samples, without results; of operations that are available. */
bool cases_of_samples(case_list *out);

case_tensor case_tensor_copy(const case_tensor *t);
/* The same numbers in another dtype. */
case_tensor case_tensor_cast(const case_tensor *t, cbm_dtype dtype);
double case_tensor_at(const case_tensor *t, int64_t i);
/* A tensor with t's elements, lying as layout says. */
cbm_tensor *case_tensor_load(cbm_context *cx, const case_tensor *t, case_layout layout);
/* The same, a trainable variable or a view of one. */
cbm_tensor *case_tensor_load_trainable(cbm_context *cx, const case_tensor *t, case_layout layout);
/* Reads a tensor; present is false on error. Free data. */
case_tensor case_tensor_read(cbm_tensor *t);

/* op's attribute struct filled from the case's fields, on the heap (NULL: a field is missing); f32 puts f32 in f64's place. */
void *case_attributes(const cbm_op *op, const op_case *c, bool f32);

/* Largest |a - b| / max(1, |b|) over equal places; infinity where one is NaN or infinite and the other is not. */
double case_difference(const case_tensor *a, const case_tensor *b);
bool case_same_shape(const case_tensor *a, const case_tensor *b);

/* A context of two threads. */
cbm_context *open_device(const char *device);
cbm_context *open_mode(const char *device, bool naive, bool deterministic);

#endif
