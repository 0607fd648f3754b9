/* kept_pool.h: what plans of several contexts keep from run to run (weights in kernels' own forms), held once for all of
   them. Contexts of different threads use one pool; what lies in it is filled and never written again. kept_pool.c */
#ifndef CAMBIUM_PLAN_KEPT_POOL_H
#define CAMBIUM_PLAN_KEPT_POOL_H

#include "tensor/context.h"

struct cbm_plan;
typedef struct cbm_kept_pool cbm_kept_pool;

cbm_kept_pool *cbm_kept_pool_open(void);       /* NULL: no memory */
void cbm_kept_pool_close(cbm_kept_pool *pool); /* when no context has it any more. NULL is allowed */

/* What a plan of the same graph has kept, made from the same sources (plan->kept_of), retained; NULL: nothing. */
cbm_storage *cbm_kept_pool_find(cbm_kept_pool *pool, const struct cbm_plan *plan);
/* Holds what the plan keeps for others. Without memory for it, they make their own. */
void cbm_kept_pool_add(cbm_kept_pool *pool, const struct cbm_plan *plan);

#endif
