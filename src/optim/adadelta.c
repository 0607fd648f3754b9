/* adadelta.c: Adadelta (Zeiler 2012). */
#include "optim/optimizer.h"

/* s, u: moving averages of the squares of gradients and of steps. */
static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_adadelta_options *o = &options->adadelta;
    cbm_tensor *s = item->state[0], *u = item->state[1];
    s = cbm_add(cbm_mul_scalar(s, o->rho), cbm_mul_scalar(cbm_mul(g, g), 1 - o->rho));
    cbm_tensor *ratio = cbm_div(cbm_sqrt(cbm_add_scalar(u, o->eps)), cbm_sqrt(cbm_add_scalar(s, o->eps)));
    cbm_tensor *step = cbm_mul(ratio, g);
    u = cbm_add(cbm_mul_scalar(u, o->rho), cbm_mul_scalar(cbm_mul(step, step), 1 - o->rho));
    cbm_assign(item->state[0], s);
    cbm_assign(item->state[1], u);
    cbm_assign(item->parameter, cbm_add(p, cbm_mul_scalar(step, -o->lr)));
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_adadelta_options, rho, 0, 1),
    CBM_NUMBER(cbm_adadelta_options, eps, 0, INFINITY),
};
static const cbm_optimizer_kind adadelta = {
    .name = "adadelta",
    .options_size = sizeof(cbm_adadelta_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .state_names = { "square_avg", "acc_delta" },
    .update = update,
};

void cbm_adadelta_options_init(cbm_adadelta_options *o)
{
    *o = (cbm_adadelta_options){ .struct_size = sizeof *o, CBM_ADADELTA_DEFAULTS };
}

cbm_optimizer *cbm_adadelta_with(cbm_module *net, const cbm_adadelta_options *o)
{
    return cbm_optimizer_open(net, &adadelta, o);
}
