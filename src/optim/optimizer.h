/* optimizer.h: inside of an optimizer: its parameters with their state, and the rule that updates one of them. */
#ifndef CAMBIUM_OPTIMIZER_H
#define CAMBIUM_OPTIMIZER_H

#ifndef CBM_NO_CALL_SITES
#define CBM_NO_CALL_SITES
#endif
#include "op/record.h"
#include <cambium/ops.h>
#include <cambium/optim.h>

#define CBM_MAX_OPTIMIZER_STATES 2

typedef struct cbm_optimizer_item {
    char name[256];
    cbm_tensor *parameter;
    cbm_tensor *state[CBM_MAX_OPTIMIZER_STATES]; /* variables of the parameter's shape */
    int64_t steps;                               /* updates so far; differs from the optimizer's after freezing */
    bool updated;                                /* in the step being recorded */
} cbm_optimizer_item;

/* What makes one kind of optimizer. */
typedef struct cbm_optimizer_kind {
    const char *name;
    const char *state_names[CBM_MAX_OPTIMIZER_STATES]; /* NULL: fewer states */
    /* Records the update of item's parameter by gradient, as step number item->steps + 1. Numbers that change between
       steps go in by cbm_mul_scalar and its like, so that the plan stays the same. */
    void (*update)(cbm_optimizer *opt, cbm_optimizer_item *item, cbm_tensor *gradient);
} cbm_optimizer_kind;

struct cbm_optimizer {
    cbm_context *cx;
    const cbm_optimizer_kind *kind;
    bool failed;
    double lr;
    int64_t steps;
    cbm_optimizer_item *items;
    size_t n_items, n_states; /* n_states: of one item */
    cbm_tensor *item_steps;   /* i64 variable (n_items): the items' steps, for checkpoints */
    bool item_steps_lent;     /* handed out, so somebody may have written it */
    union {
        cbm_sgd_options sgd;
        cbm_adam_options adam;
    } options;
};

/* An optimizer of net's parameters, with n_states states each, all zero; a failed one on error. */
cbm_optimizer *cbm_optimizer_open(cbm_module *net, const cbm_optimizer_kind *kind, size_t n_states, double lr);
/* An inert one; its context has an error already. */
cbm_optimizer *cbm_optimizer_failed(cbm_context *cx);
/* Fails, and returns false, if value is not a finite number in [low, high). */
bool cbm_optimizer_number(cbm_context *cx, const char *kind, const char *name, double value, double low, double high);

#endif
