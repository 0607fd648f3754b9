/* reference.h: what the reference backend's kernels share. A kernel unpacks its inputs, whatever their dtype and strides,
   into row-major arrays of numbers, computes in double (or in wrapping 64-bit integers), and packs its results. */
#ifndef CAMBIUM_REFERENCE_H
#define CAMBIUM_REFERENCE_H

#include "backend/backend.h"
#include "base/base.h"

/* One element: f of a floating dtype, i of an integer or bool. */
typedef union cbm_number {
    double f;
    int64_t i;
} cbm_number;

/* The element `offset` elements after data; and a cell into that place, rounded or wrapped to the dtype. */
cbm_number cbm_number_load(const void *data, cbm_dtype dtype, int64_t offset);
void cbm_number_store(void *data, cbm_dtype dtype, int64_t offset, cbm_number value);

/* One element from one buffer into another of the same dtype, whichever that is. */
void cbm_reference_copy(const cbm_buffer *to, int64_t to_offset, const cbm_buffer *from, int64_t from_offset);

/* Walks all index tuples of a shape in row-major order, with the offset that strides give. */
typedef struct cbm_walk {
    int64_t rank, offset;
    int64_t shape[CBM_MAX_DIMS], stride[CBM_MAX_DIMS], at[CBM_MAX_DIMS];
} cbm_walk;
cbm_walk cbm_walk_over(int64_t rank, const int64_t *shape, const int64_t *stride);
void cbm_walk_next(cbm_walk *walk);

/* Row-major strides of a shape. */
void cbm_row_major(int64_t rank, const int64_t *shape, int64_t *stride);

/* A launch's operands as numbers, in the launch's workspace. Results start as zeros. */
typedef struct cbm_numbers {
    cbm_number *in[CBM_MAX_INPUTS];
    cbm_number *out[CBM_MAX_OUTPUTS];
} cbm_numbers;
cbm_status cbm_numbers_prepare(cbm_prepare *prepare); /* asks for the workspace */
void cbm_numbers_unpack(const cbm_launch *launch, cbm_numbers *numbers);
void cbm_numbers_pack(const cbm_launch *launch, const cbm_numbers *numbers);

/* Elements before axis, along it, and after it. */
typedef struct cbm_lanes {
    int64_t outer, length, inner;
} cbm_lanes;
cbm_lanes cbm_lanes_of(const cbm_buffer *b, int64_t axis);

/* Puts "WHAT 12 at position 3 is outside 0..9" into the launch's message; returns CBM_ERROR_RANGE. */
cbm_status cbm_reference_range(const cbm_launch *launch, const char *what, int64_t value, int64_t position,
                               int64_t count);

/* log(e^a + e^b) */
double cbm_log_plus(double a, double b);

/* Each family's kernels, ended by one with op NULL. */
extern const cbm_kernel cbm_reference_reduce[], cbm_reference_matmul[], cbm_reference_conv[], cbm_reference_pool[],
    cbm_reference_norm[], cbm_reference_softmax[], cbm_reference_move[], cbm_reference_index[], cbm_reference_loss[],
    cbm_reference_recurrent[], cbm_reference_adaptive[], cbm_reference_layer_norm[], cbm_reference_ctc[],
    cbm_reference_attention[], cbm_reference_pad[], cbm_reference_window[], cbm_reference_diagonal[],
    cbm_reference_create[], cbm_reference_scatter[], cbm_reference_sort[], cbm_reference_embedding[],
    cbm_reference_scan[], cbm_reference_linalg[];

/* fused.c */
cbm_status cbm_reference_fused_prepare(const cbm_fused_launch *shapes, void **state, size_t *workspace);
void cbm_reference_fused_run(const cbm_fused_launch *launch);

/* reorder.c */
void cbm_reference_reorder(const cbm_buffer *from, const cbm_buffer *to, int64_t threads);

#endif
