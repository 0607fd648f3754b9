/* build.h: scratch of making one plan, shared by build.c (order of work) and steps.c (one step at a time). */
#ifndef CAMBIUM_PLAN_BUILD_H
#define CAMBIUM_PLAN_BUILD_H

#include "plan/plan.h"

/* One step to be: a single operation, or the members of a pass. */
typedef struct cbm_unit {
    int32_t first, count; /* in build.members */
    int32_t group;        /* -1: a single operation */
    bool commit, done, entered, unneeded;
} cbm_unit;

/* Memory that values lie in. Layouts across operations come in here: a root would then also name its physical format. */
typedef struct cbm_root {
    int32_t base;     /* leaf's or result's base; CBM_BASE_ARENA: a temporary */
    int32_t lifetime; /* temporaries: its number */
} cbm_root;

/* Where a value is: a root, and the strided window onto it. */
typedef struct cbm_spot {
    bool known;
    int32_t root;
    int64_t offset; /* bytes */
    cbm_buffer window;
} cbm_spot;

typedef struct cbm_build {
    cbm_context *cx;
    const cbm_collected *g;
    cbm_plan *plan;
    cbm_heap *heap;
    int32_t *groups;          /* per node */
    int32_t *unit_of;         /* per node */
    cbm_array members;        /* of int32_t */
    cbm_array units;          /* of cbm_unit */
    cbm_array roots;          /* of cbm_root */
    cbm_array lifetimes;      /* of cbm_lifetime */
    cbm_spot *spots;          /* per node result, then per leaf */
    int32_t *results;         /* per node result: its number in plan->results, or -1 */
    uint8_t *read;            /* per node result: a step reads it from memory */
    cbm_array step_workspace; /* of int32_t */
} cbm_build;

cbm_spot *cbm_spot_of(cbm_build *b, cbm_ref ref);
/* steps.c: appends what computes the unit. */
bool cbm_build_unit(cbm_build *b, const cbm_unit *u);

#endif
