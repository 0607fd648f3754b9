/* adagrad.c: Adagrad (Duchi, Hazan and Singer 2011). */
#include "optim/optimizer.h"

static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_adagrad_options *o = &options->adagrad;
    double rate = o->lr / (1 + (double)item->steps * o->lr_decay);
    cbm_tensor *sum = item->state[0], *square = cbm_mul(g, g);
    sum = item->steps == 0 ? cbm_add_scalar(square, o->initial_accumulator_value) : cbm_add(sum, square);
    cbm_assign(item->state[0], sum);
    cbm_tensor *scale = cbm_add_scalar(cbm_sqrt(sum), o->eps);
    cbm_assign(item->parameter, cbm_add(p, cbm_mul_scalar(cbm_div(g, scale), -rate)));
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_adagrad_options, lr_decay, 0, INFINITY),
    CBM_NUMBER(cbm_adagrad_options, initial_accumulator_value, 0, INFINITY),
    CBM_NUMBER(cbm_adagrad_options, eps, 0, INFINITY),
};
static const cbm_optimizer_kind adagrad = {
    .name = "adagrad",
    .options_size = sizeof(cbm_adagrad_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .state_names = { "sum" },
    .update = update,
};

void cbm_adagrad_options_init(cbm_adagrad_options *o)
{
    *o = (cbm_adagrad_options){ .struct_size = sizeof *o, CBM_ADAGRAD_DEFAULTS };
}

cbm_optimizer *cbm_adagrad_with(cbm_module *net, const cbm_adagrad_options *o)
{
    return cbm_optimizer_open(net, &adagrad, o);
}
