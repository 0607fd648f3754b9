/* nadam.c: NAdam (Dozat 2016), Adam with Nesterov's momentum, whose strength mu grows with the steps. */
#include "optim/optimizer.h"

#define MU_BASE 0.96

static double mu_at(const cbm_nadam_options *o, double t)
{
    return o->beta1 * (1 - 0.5 * pow(MU_BASE, t * o->momentum_decay));
}

/* The item's number is the product of mu over all steps so far. */
static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_nadam_options *o = &options->nadam;
    double t = (double)(item->steps + 1), correction2 = 1 - pow(o->beta2, t);
    double mu = mu_at(o, t), mu_next = mu_at(o, t + 1), product = item->number * mu;
    cbm_tensor *m, *v;
    cbm_adam_moments(item, g, o->beta1, o->beta2, &m, &v);
    cbm_tensor *scale = cbm_add_scalar(cbm_sqrt(cbm_mul_scalar(v, 1 / correction2)), o->eps);
    p = cbm_add(p, cbm_mul_scalar(cbm_div(g, scale), -o->lr * (1 - mu) / (1 - product)));
    p = cbm_add(p, cbm_mul_scalar(cbm_div(m, scale), -o->lr * mu_next / (1 - product * mu_next)));
    cbm_assign(item->parameter, p);
    item->next_number = product;
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_nadam_options, beta1, 0, 1),
    CBM_NUMBER(cbm_nadam_options, beta2, 0, 1),
    CBM_NUMBER(cbm_nadam_options, eps, 0, INFINITY),
    CBM_NUMBER(cbm_nadam_options, momentum_decay, 0, INFINITY),
};
static const cbm_optimizer_kind nadam = {
    .name = "nadam",
    .options_size = sizeof(cbm_nadam_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .state_names = { "exp_avg", "exp_avg_sq" },
    .number_name = "mu_product",
    .update = update,
};

void cbm_nadam_options_init(cbm_nadam_options *o)
{
    *o = (cbm_nadam_options){ .struct_size = sizeof *o, CBM_NADAM_DEFAULTS };
}

cbm_optimizer *cbm_nadam_with(cbm_module *net, const cbm_nadam_options *o)
{
    return cbm_optimizer_open(net, &nadam, o);
}
