/* reduce.h: what operations over axes share (reduce.c): how the result's shape follows from the axes, reading a caller's axes,
   and putting reduced axes back. */
#ifndef CAMBIUM_OP_REDUCE_H
#define CAMBIUM_OP_REDUCE_H

#include "op/families.h"

/* ---- for records ---- */

/* Axes must be sorted, different and in range; the extents off them (or 1 in their place) are the shape of every result,
   whose dtype is the input's. */
bool cbm_reduced_shape(cbm_infer *infer, const cbm_reduce_attributes *a);
/* No reduced axis is empty, so that something is `what`. */
bool cbm_reduces_some(cbm_infer *infer, const cbm_reduce_attributes *a, const char *what);
void cbm_reduce_cost(const cbm_launch *shapes, cbm_cost *cost);

/* The input's shape with extents of 1 where axes were reduced; a result in that shape; how many elements make a result. */
cbm_shape cbm_kept_shape(cbm_tensor *in, const cbm_reduce_attributes *a);
cbm_tensor *cbm_as_kept(cbm_tensor *t, cbm_tensor *in, const cbm_reduce_attributes *a);
double cbm_share_count(cbm_tensor *in, const cbm_reduce_attributes *a);

/* ---- for public functions ---- */

/* The axes named (none: all of x's), normalised and sorted. false after recording the error. */
bool cbm_read_axes(const char *op, cbm_tensor *x, const cbm_shape *axes, bool keepdim, cbm_reduce_attributes *out);
/* x with its reduced axes joined into one, which is the last; and back: a tensor of that shape in x's own. */
cbm_tensor *cbm_join_axes(cbm_tensor *x, const cbm_reduce_attributes *a);
cbm_tensor *cbm_unjoin_axes(cbm_tensor *joined, cbm_tensor *x, const cbm_reduce_attributes *a);

/* The elements of x at these places of an axis, whose extent is 1 there; *index (unless index is NULL) are the places. Both
   without the axis unless keepdim. */
cbm_tensor *cbm_elements_at(cbm_tensor *x, int64_t axis, cbm_tensor *places, bool keepdim, cbm_tensor **index);

/* ---- scan.c ---- */

/* Running sums and products along axis, from the end where reverse. */
cbm_tensor *cbm_running_sum(cbm_tensor *x, int64_t axis, bool reverse);
cbm_tensor *cbm_running_product(cbm_tensor *x, int64_t axis, bool reverse);
/* t one place further along axis (back: nearer to its begin); the place that gets free is filled. */
cbm_tensor *cbm_shifted(cbm_tensor *t, int64_t axis, bool back, double fill);

#endif
