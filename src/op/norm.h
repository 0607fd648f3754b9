/* norm.h: what the normalisations share: their shape rules, and gradients through their statistics. */
#ifndef CAMBIUM_OP_NORM_H
#define CAMBIUM_OP_NORM_H

#include "op/families.h"

/* x is floating; inputs 1 to `vectors` are of the type that statistics are kept in, those behind them of x's; output 0 has x's
   type, the others that of the statistics. */
bool cbm_norm_dtypes(cbm_infer *infer, size_t vectors);
/* 1 / sqrt(variance + eps) */
cbm_tensor *cbm_one_over_sqrt(cbm_tensor *variance, double eps);
double cbm_share_of(double n); /* 1 / n; of 0: 0 */
/* What reaches x (n elements share their statistics) through its mean and rstd = 1 / sqrt(biased variance + eps), whose
   gradients are given: dmean / dx = 1 / n, drstd / dx = -rstd^3 (x - mean) / n. All but x are in a shape that broadcasts over
   x. mean NULL: rstd is about 0. A gradient may be NULL; both: NULL. */
cbm_tensor *cbm_through_statistics(cbm_tensor *x, cbm_tensor *mean, cbm_tensor *rstd, cbm_tensor *mean_gradient,
                                   cbm_tensor *rstd_gradient, double n);
/* The sum of two gradients, of which either may be NULL; in the type and shape of x. */
cbm_tensor *cbm_gradients_joined(cbm_tensor *x, cbm_tensor *a, cbm_tensor *b);

/* How running statistics move: by momentum, or, where there is a counter (an i64 scalar), by 1 / counter. */
typedef struct cbm_running {
    cbm_tensor *mean, *var; /* variables; NULL: not kept */
    double momentum;
    cbm_tensor *counter;
} cbm_running;
/* Moves them towards mean and the unbiased variance that rstd of n elements stands for. */
void cbm_running_move(const cbm_running *r, cbm_tensor *mean, cbm_tensor *rstd, double n, double eps);
/* cbm_batch_norm in training. */
cbm_tensor *cbm_batch_norm_train(cbm_tensor *x, const cbm_running *r, cbm_tensor *weight, cbm_tensor *bias, double eps);

#endif
