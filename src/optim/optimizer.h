/* optimizer.h: inside of an optimizer: its groups of parameters with their options, each parameter's state, and the rule
   that updates one of them. */
#ifndef CAMBIUM_OPTIMIZER_H
#define CAMBIUM_OPTIMIZER_H

#ifndef CBM_NO_CALL_SITES
#define CBM_NO_CALL_SITES
#endif
#include "op/record.h"
#include <cambium/ops.h>
#include <cambium/optim.h>
#include <math.h>

#define CBM_MAX_OPTIMIZER_STATES 3
#define CBM_MAX_GROUPS 256

/* ---- options ---- */

typedef struct cbm_common_options {
    CBM_OPTIMIZER_FIELDS_(0, 0, 0);
} cbm_common_options;

/* Every struct begins as common does; those of optimizers with a step of their own at least with struct_size and lr. */
typedef union cbm_optimizer_options {
    cbm_common_options common;
    cbm_sgd_options sgd;
    cbm_adam_options adam;
    cbm_adamw_options adamw; /* the same fields as adam */
    cbm_adamax_options adamax;
    cbm_nadam_options nadam;
    cbm_radam_options radam;
    cbm_rmsprop_options rmsprop;
    cbm_adagrad_options adagrad;
    cbm_adadelta_options adadelta;
    cbm_rprop_options rprop;
    cbm_lbfgs_options lbfgs;
} cbm_optimizer_options;

/* One option: where it is, and the numbers that it may be: finite ones in [low, high). */
typedef enum cbm_option_type {
    CBM_OPTION_NUMBER, /* double */
    CBM_OPTION_WHOLE,  /* int64_t */
    CBM_OPTION_SWITCH  /* uint64_t, 0 or 1 */
} cbm_option_type;
typedef struct cbm_option {
    const char *name;
    size_t offset;
    double low, high;
    cbm_option_type type;
} cbm_option;
#define CBM_NUMBER(TYPE, FIELD, LOW, HIGH)                                                                             \
    {                                                                                                                  \
#FIELD, offsetof(TYPE, FIELD), LOW, HIGH, CBM_OPTION_NUMBER                                                    \
    }
#define CBM_WHOLE(TYPE, FIELD, LOW, HIGH)                                                                              \
    {                                                                                                                  \
#FIELD, offsetof(TYPE, FIELD), LOW, HIGH, CBM_OPTION_WHOLE                                                     \
    }
#define CBM_SWITCH(TYPE, FIELD)                                                                                        \
    {                                                                                                                  \
#FIELD, offsetof(TYPE, FIELD), 0, 2, CBM_OPTION_SWITCH                                                         \
    }
#define CBM_COMMON_OPTIONS                                                                                             \
    CBM_NUMBER(cbm_common_options, lr, 0, INFINITY), CBM_NUMBER(cbm_common_options, weight_decay, 0, INFINITY),        \
        CBM_NUMBER(cbm_common_options, l1_decay, 0, INFINITY), CBM_SWITCH(cbm_common_options, decoupled_weight_decay), \
        CBM_SWITCH(cbm_common_options, maximize)

/* ---- the optimizer ---- */

typedef struct cbm_optimizer_item {
    char name[256];
    cbm_tensor *parameter;
    cbm_tensor *state[CBM_MAX_OPTIMIZER_STATES]; /* variables of the parameter's shape; NULL: not needed */
    size_t group;
    int64_t steps; /* updates so far; differs from the optimizer's after freezing */
    double
        number; /* what kinds with a number_name keep besides; next_number: what it is after the step being recorded */
    double next_number;
    bool updated; /* in the step being recorded */
} cbm_optimizer_item;

typedef struct cbm_group {
    cbm_optimizer_options options;
    double base_lr; /* where schedules start from: the rate that the options or cbm_set_learning_rate named last */
} cbm_group;

/* What makes one kind of optimizer. */
typedef struct cbm_optimizer_kind {
    const char *name;
    size_t options_size;
    const cbm_option *options;
    size_t n_options;
    const char *state_names[CBM_MAX_OPTIMIZER_STATES];           /* NULL: fewer states */
    const char *number_name;                                     /* of the items' number, NULL: none; it begins as 1 */
    bool (*needs)(const cbm_optimizer_options *o, size_t state); /* NULL: every state that has a name */
    const char *(*wrong)(const cbm_optimizer_options *o); /* options that do not go together: says why, or NULL */
    /* Records the update of item's parameter from p (it, perhaps decayed) by gradient g, as step number item->steps + 1.
       Numbers that change between steps go in by cbm_mul_scalar and its like, so that the plan stays the same. */
    void (*update)(const cbm_optimizer_options *o, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g);
    /* In its place, for kinds with a course of their own: makes states of all parameters together (false: an error), and
       does a whole step. */
    bool (*furnish)(cbm_optimizer *opt);
    cbm_status (*step)(cbm_optimizer *opt, cbm_closure_fn closure, void *user, double *loss);
} cbm_optimizer_kind;

struct cbm_optimizer {
    cbm_context *cx;
    const cbm_optimizer_kind *kind;
    bool failed;
    int64_t steps;
    cbm_optimizer_item *items;
    size_t n_items;
    cbm_array groups; /* of cbm_group */
    cbm_array extra;  /* of cbm_named: states of all parameters together */
    /* For checkpoints: variables (n_items) of the items' steps (i64) and numbers (f64, NULL without). */
    cbm_tensor *item_steps, *item_numbers;
    bool counts_lent; /* handed out, so somebody may have written them */
};

#define CBM_GROUP(opt_, i) (&CBM_AT(&(opt_)->groups, cbm_group, i))

/* ---- optimizer.c ---- */

/* An optimizer of net's parameters with these options; a failed one on error. */
cbm_optimizer *cbm_optimizer_open(cbm_module *net, const cbm_optimizer_kind *kind, const void *options);
/* A scope for an optimizer's own operations: without gradients, and its end evaluates nothing. */
cbm_scope *cbm_quiet_scope(cbm_context *cx);
bool cbm_optimizer_usable(const cbm_optimizer *opt);
/* Fails, and returns false, if value is not a finite number in [low, high). */
bool cbm_optimizer_number(cbm_context *cx, const char *kind, const char *name, double value, double low, double high);

/* ---- group.c ---- */

/* Whether options are kind's and all of them in range; fails if not. */
bool cbm_optimizer_options_fit(cbm_context *cx, const cbm_optimizer_kind *kind, const void *options);
/* The option of that name; NULL: none. */
const cbm_option *cbm_option_named(const cbm_optimizer_kind *kind, const char *name);
double cbm_option_get(const cbm_option *option, const cbm_optimizer_options *o);
void cbm_option_put(const cbm_option *option, cbm_optimizer_options *o, double value);
/* Sets an option of one group; of the rate, what schedules start from stays. */
cbm_status cbm_group_change(cbm_optimizer *opt, size_t group, const cbm_option *option, double value);

/* What a checkpoint keeps of a group, and putting it back; NaN: stays as it is. */
typedef struct cbm_group_rates {
    double rate, base;
    size_t parameters; /* how many it has */
} cbm_group_rates;
cbm_group_rates cbm_group_rates_of(const cbm_optimizer *opt, size_t group);
void cbm_group_put_rates(cbm_optimizer *opt, size_t group, double rate, double base);

/* ---- adam.c ---- */

/* Records the step of the two moments, *m and *v, which are the item's first two states. */
void cbm_adam_moments(cbm_optimizer_item *item, cbm_tensor *g, double beta1, double beta2, cbm_tensor **m,
                      cbm_tensor **v);

/* ---- state.c ---- */

/* Makes the states that item's options need and that are not there yet. false: an error. */
bool cbm_item_states(cbm_optimizer *opt, cbm_optimizer_item *item, const cbm_optimizer_options *o);
/* Reads the items' counts back if somebody may have written them. */
void cbm_take_counts(cbm_optimizer *opt);

#endif
