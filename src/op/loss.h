/* loss.h: what losses share: checks of their operands, and the reduction that ends them. loss.c */
#ifndef CAMBIUM_LOSS_H
#define CAMBIUM_LOSS_H

#include "op/families.h"

/* The operands are tensors of one context that can be used; false after recording the error in the name of op. */
bool cbm_loss_usable(const char *op, cbm_tensor *const *operands, size_t count);
/* What a loss returns after such an error. */
cbm_tensor *cbm_loss_none(const char *op, cbm_tensor *a, cbm_tensor *b);
/* x and target are floats of one shape; both become the type in which losses are computed. false: as above. */
bool cbm_loss_pair(const char *op, cbm_tensor **x, cbm_tensor **target);
/* Floats as losses compute them; NULL stays NULL. */
cbm_tensor *cbm_loss_operand(cbm_tensor *t);
/* Broadcast to x's shape without changing it: false after recording that what (a weight) does not. NULL passes. */
bool cbm_loss_broadcasts(const char *op, const char *what, cbm_tensor *t, cbm_tensor *x);
/* weight is NULL or has one number for each of the classes that axis 1 of x counts (or axis 0 of a vector). */
bool cbm_loss_weight(const char *op, cbm_tensor **weight, cbm_tensor *x);

/* The mean, the sum, or losses as they are, and the end of the call that began when cx->sequence was since. An unknown
   reduction is an error in the name of op. */
cbm_tensor *cbm_loss_reduce(const char *op, cbm_tensor *losses, uint64_t reduction, uint64_t since);
/* The same where the mean is sum(losses) / divisor. */
cbm_tensor *cbm_loss_reduce_by(const char *op, cbm_tensor *losses, cbm_tensor *divisor, uint64_t reduction,
                               uint64_t since);
/* max(0, x) for losses: one slope at 0, that of PyTorch's clamp: the gradient passes. */
cbm_tensor *cbm_loss_hinge(cbm_tensor *x);

/* The mean cross-entropy of class numbers, fused; and whether they fit scores (N, C, ..), with its messages in the name of
   op. */
cbm_tensor *cbm_loss_of_classes(cbm_tensor *logits, cbm_tensor *targets);
/* A loss for each sample, of class numbers in range, which the kernel checks; and log sum over c of e^x[c] (may be NULL). */
cbm_tensor *cbm_loss_rows(cbm_tensor *logits, cbm_tensor *index, double smoothing, cbm_tensor **log_sum);
bool cbm_loss_classes_fit(const char *op, cbm_tensor *x, cbm_tensor *targets);

#endif
