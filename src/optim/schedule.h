/* schedule.h: inside of a schedule: a formula for the rate at each t, with its options, or what it remembers of a measure. */
#ifndef CAMBIUM_OPTIM_SCHEDULE_H
#define CAMBIUM_OPTIM_SCHEDULE_H

#include "optim/optimizer.h"
#include <cambium/schedule.h>

#define CBM_PI 3.14159265358979323846

/* What makes one kind of schedule. */
typedef struct cbm_schedule_kind {
    const char *name;
    size_t options_size; /* 0: it has none */
    bool (*fits)(const void *options);
    const char *needs; /* what options that do not fit lack */
    /* What a schedule needs besides its options, which are there; NULL: nothing. false: an error. */
    bool (*furnish)(cbm_schedule *s);
    void (*end)(cbm_schedule *s); /* NULL, or frees what is the user's */
    /* The rate of a group at t; NULL: the schedule follows a measure. */
    double (*rate)(const cbm_schedule *s, int64_t t, size_t group, double base);
    double (*momentum)(const cbm_schedule *s, int64_t t); /* NULL, or NaN: stays as it is */
} cbm_schedule_kind;

/* What a schedule remembers of a measure. */
typedef struct cbm_plateau {
    double best;
    int64_t bad, cooldown; /* observations since the best; left to pass over */
} cbm_plateau;

struct cbm_schedule {
    cbm_context *cx;
    cbm_optimizer *opt; /* NULL: a failed schedule */
    const cbm_schedule_kind *kind;
    cbm_schedule *whole; /* that this one is a part of */
    bool begun;
    int64_t t;
    union {
        cbm_schedule_step_options step;
        cbm_schedule_multi_step_options multi_step;
        cbm_schedule_exponential_options exponential;
        cbm_schedule_constant_options constant;
        cbm_schedule_linear_options linear;
        cbm_schedule_polynomial_options polynomial;
        cbm_schedule_cosine_options cosine;
        cbm_schedule_cosine_restarts_options cosine_restarts;
        cbm_schedule_cyclic_options cyclic;
        cbm_schedule_one_cycle_options one_cycle;
        cbm_schedule_lambda_options lambda;
        cbm_schedule_plateau_options plateau;
        cbm_schedule_warmup_options warmup;
    } options;
    cbm_array milestones; /* of int64_t */
    cbm_array parts;      /* of cbm_schedule * */
    cbm_plateau plateau;
};

/* A schedule of that kind on opt, at t = 0; after an error a failed one. */
cbm_schedule *cbm_schedule_open(cbm_optimizer *opt, const cbm_schedule_kind *kind, const void *options);
/* The two halves of it, for a schedule without options: furnished in between. An inert one, if opt is. */
cbm_schedule *cbm_schedule_make(cbm_optimizer *opt, const cbm_schedule_kind *kind);
cbm_schedule *cbm_schedule_begin(cbm_schedule *s, bool furnished);
/* What s remembers of its measure; NULL: it follows none. */
cbm_plateau *cbm_schedule_plateau_of(cbm_schedule *s);
/* The option that is opt's momentum; NULL: it has none. */
const cbm_option *cbm_momentum_of(const cbm_optimizer *opt);
/* Takes the parts over, if each can be one of a whole on its optimizer; fails if not. */
bool cbm_schedule_take_parts(cbm_schedule *whole, cbm_schedule *const *parts, size_t count);
bool cbm_schedule_take_milestones(cbm_schedule *s, const int64_t *milestones, size_t count);

#endif
