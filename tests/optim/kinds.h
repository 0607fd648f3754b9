/* kinds.h: every optimizer, with what it keeps switched on, for tests of what all of them promise. */
#ifndef TESTS_OPTIM_KINDS_H
#define TESTS_OPTIM_KINDS_H

#include <cambium/cambium.h>

typedef struct optimizer_kind {
    const char *name;
    cbm_optimizer *(*make)(cbm_module *net);
    size_t states;       /* of one parameter */
    int64_t other_steps; /* that record something else than those after them */
} optimizer_kind;

static cbm_optimizer *make_sgd(cbm_module *net)
{
    return cbm_sgd(net, .lr = 0.1, .momentum = 0.9, .dampening = 0.5, .l1_decay = 1e-3);
}
static cbm_optimizer *make_adam(cbm_module *net)
{
    return cbm_adam(net, .lr = 0.02, .weight_decay = 0.1, .amsgrad = true);
}
static cbm_optimizer *make_adamw(cbm_module *net)
{
    return cbm_adamw(net, .lr = 0.02);
}
static cbm_optimizer *make_adamax(cbm_module *net)
{
    return cbm_adamax(net, .lr = 0.02);
}
static cbm_optimizer *make_nadam(cbm_module *net)
{
    return cbm_nadam(net, .lr = 0.02);
}
static cbm_optimizer *make_radam(cbm_module *net)
{
    return cbm_radam(net, .lr = 0.02);
}
static cbm_optimizer *make_rmsprop(cbm_module *net)
{
    return cbm_rmsprop(net, .lr = 0.01, .momentum = 0.5, .centered = true);
}
static cbm_optimizer *make_adagrad(cbm_module *net)
{
    return cbm_adagrad(net, .lr = 0.1, .lr_decay = 0.1, .initial_accumulator_value = 0.1);
}
static cbm_optimizer *make_adadelta(cbm_module *net)
{
    return cbm_adadelta(net);
}
static cbm_optimizer *make_rprop(cbm_module *net)
{
    return cbm_rprop(net);
}

static const optimizer_kind optimizer_kinds[] = {
    { "sgd", make_sgd, 1, 0 },         { "adam", make_adam, 3, 0 },       { "adamw", make_adamw, 2, 0 },
    { "adamax", make_adamax, 2, 0 },   { "nadam", make_nadam, 2, 0 },     { "radam", make_radam, 2, 5 },
    { "rmsprop", make_rmsprop, 3, 0 }, { "adagrad", make_adagrad, 1, 1 }, { "adadelta", make_adadelta, 2, 0 },
    { "rprop", make_rprop, 2, 1 },
};
enum { OPTIMIZER_KINDS = sizeof optimizer_kinds / sizeof *optimizer_kinds };

#endif
