/* adamax.c: Adamax (Kingma and Ba 2015). */
#include "optim/optimizer.h"

/* m, u: first moment, and the infinity norm of the gradients, weighted. */
static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_adamax_options *o = &options->adamax;
    double correction = 1 - pow(o->beta1, (double)(item->steps + 1));
    cbm_tensor *m = item->state[0];
    m = cbm_add(m, cbm_mul_scalar(cbm_sub(g, m), 1 - o->beta1));
    cbm_tensor *u = cbm_maximum(cbm_mul_scalar(item->state[1], o->beta2), cbm_add_scalar(cbm_abs(g), o->eps));
    cbm_assign(item->state[0], m);
    cbm_assign(item->state[1], u);
    cbm_assign(item->parameter, cbm_add(p, cbm_mul_scalar(cbm_div(m, u), -o->lr / correction)));
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_adamax_options, beta1, 0, 1),
    CBM_NUMBER(cbm_adamax_options, beta2, 0, 1),
    CBM_NUMBER(cbm_adamax_options, eps, 0, INFINITY),
};
static const cbm_optimizer_kind adamax = {
    .name = "adamax",
    .options_size = sizeof(cbm_adamax_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .state_names = { "exp_avg", "exp_inf" },
    .update = update,
};

void cbm_adamax_options_init(cbm_adamax_options *o)
{
    *o = (cbm_adamax_options){ .struct_size = sizeof *o, CBM_ADAMAX_DEFAULTS };
}

cbm_optimizer *cbm_adamax_with(cbm_module *net, const cbm_adamax_options *o)
{
    return cbm_optimizer_open(net, &adamax, o);
}
