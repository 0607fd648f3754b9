/* choices.c: optimizers, schedules and averages of weights by name, for those who want another than the recipe's. */
#include "recipe.h"
#include <math.h>
#include <string.h>

#define MOMENTUM 0.9
#define LEAST 0.001   /* of the rate, at the end of an exponential decay */
#define STAIRS 3      /* of a decay by steps */
#define DECAY 0.999   /* of a moving average */
#define AVERAGED 0.25 /* of the steps, the last, that the mean is of */

/* ---- optimizers ---- */

#define OPTIMIZER(NAME, ...)                                                                                           \
    static cbm_optimizer *NAME(cbm_module *net, double lr)                                                             \
    {                                                                                                                  \
        return cbm_##NAME(net, .lr = lr __VA_ARGS__);                                                                  \
    }
OPTIMIZER(sgd, , .momentum = MOMENTUM)
OPTIMIZER(adam)
OPTIMIZER(adamw)
OPTIMIZER(adamax)
OPTIMIZER(nadam)
OPTIMIZER(radam)
OPTIMIZER(rmsprop)
OPTIMIZER(adagrad)
OPTIMIZER(adadelta)
OPTIMIZER(rprop)

static const struct {
    const char *name;
    cbm_optimizer *(*make)(cbm_module *net, double lr);
} optimizers[] = { { "sgd", sgd },           { "adam", adam },   { "adamw", adamw },     { "adamax", adamax },
                   { "nadam", nadam },       { "radam", radam }, { "rmsprop", rmsprop }, { "adagrad", adagrad },
                   { "adadelta", adadelta }, { "rprop", rprop } };

/* ---- schedules: over all steps of training ---- */

static cbm_schedule *constant(cbm_optimizer *opt, double lr, int64_t steps)
{
    (void)opt;
    (void)lr;
    (void)steps;
    return NULL;
}
static cbm_schedule *cosine(cbm_optimizer *opt, double lr, int64_t steps)
{
    (void)lr;
    return cbm_schedule_cosine(opt, .steps = steps);
}
static cbm_schedule *linear(cbm_optimizer *opt, double lr, int64_t steps)
{
    (void)lr;
    return cbm_schedule_linear(opt, .start_factor = 1, .end_factor = 0, .total_iters = steps);
}
static cbm_schedule *exponential(cbm_optimizer *opt, double lr, int64_t steps)
{
    (void)lr;
    return cbm_schedule_exponential(opt, .gamma = pow(LEAST, 1 / (double)steps));
}
static cbm_schedule *step(cbm_optimizer *opt, double lr, int64_t steps)
{
    (void)lr;
    return cbm_schedule_step(opt, .step_size = steps > STAIRS ? (steps + STAIRS - 1) / STAIRS : 1);
}
static cbm_schedule *one_cycle(cbm_optimizer *opt, double lr, int64_t steps)
{
    const char *name = cbm_optimizer_name(opt);
    bool without = strcmp(name, "adagrad") == 0 || strcmp(name, "adadelta") == 0 || strcmp(name, "rprop") == 0;
    return cbm_schedule_one_cycle(opt, .max_lr = lr, .total_steps = steps, .cycle_momentum = !without);
}
static cbm_schedule *plateau(cbm_optimizer *opt, double lr, int64_t steps)
{
    (void)lr;
    (void)steps;
    return cbm_schedule_plateau(opt, .patience = 1);
}

static const struct {
    const char *name;
    cbm_schedule *(*make)(cbm_optimizer *opt, double lr, int64_t steps);
} schedules[] = { { "constant", constant },       { "cosine", cosine }, { "linear", linear },
                  { "exponential", exponential }, { "step", step },     { "one-cycle", one_cycle },
                  { "plateau", plateau } };

/* ---- averages ---- */

static cbm_average *ema(cbm_module *net, int64_t steps)
{
    (void)steps;
    return cbm_ema(net, .decay = DECAY, .use_buffers = true);
}
static cbm_average *swa(cbm_module *net, int64_t steps)
{
    return cbm_swa(net, .use_buffers = true, .start = (int64_t)((1 - AVERAGED) * (double)steps));
}

static const struct {
    const char *name;
    cbm_average *(*make)(cbm_module *net, int64_t steps);
} averages[] = { { "ema", ema }, { "swa", swa } };

/* ---- choosing ---- */

#define COUNT_OF(list) (sizeof(list) / sizeof *(list))
#define NAME_AT(list, i) ((i) < COUNT_OF(list) ? (list)[i].name : NULL)

const char *cbm_choice_at(cbm_choice of, size_t i)
{
    switch (of) {
    case CBM_CHOICE_OPTIMIZER: return NAME_AT(optimizers, i);
    case CBM_CHOICE_SCHEDULE: return NAME_AT(schedules, i);
    case CBM_CHOICE_AVERAGE: return NAME_AT(averages, i);
    }
    return NULL;
}

/* The place of a name in its list. */
static size_t place_of(cbm_choice of, const char *name)
{
    size_t i = 0;
    for (const char *at; (at = cbm_choice_at(of, i)) && strcmp(at, name) != 0;)
        i++;
    return i;
}

const char *cbm_choice_named(cbm_choice of, const char *name)
{
    return name ? cbm_choice_at(of, place_of(of, name)) : NULL;
}

cbm_optimizer *cbm_choose_optimizer(const cbm_recipe *recipe, cbm_module *net, const cbm_recipe_settings *s)
{
    const char *name = cbm_choice_named(CBM_CHOICE_OPTIMIZER, s->optimizer);
    return name ? optimizers[place_of(CBM_CHOICE_OPTIMIZER, name)].make(net, s->lr) : recipe->optimizer(net, s);
}

cbm_schedule *cbm_choose_schedule(const cbm_recipe *recipe, cbm_optimizer *opt, const cbm_recipe_settings *s,
                                  int64_t steps)
{
    const char *name = cbm_choice_named(CBM_CHOICE_SCHEDULE, s->schedule);
    if (steps < 1)
        return NULL;
    if (name)
        return schedules[place_of(CBM_CHOICE_SCHEDULE, name)].make(opt, s->lr, steps);
    return recipe->schedule ? recipe->schedule(opt, s, steps) : NULL;
}

cbm_average *cbm_choose_average(cbm_module *net, const cbm_recipe_settings *s, int64_t steps)
{
    const char *name = cbm_choice_named(CBM_CHOICE_AVERAGE, s->average);
    return name ? averages[place_of(CBM_CHOICE_AVERAGE, name)].make(net, steps) : NULL;
}
