/* sgd.c: stochastic gradient descent with momentum, dampening and Nesterov's form. */
#include "optim/optimizer.h"

/* p, g, v: parameter, gradient, velocity, all of one shape. */
static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_sgd_options *o = &options->sgd;
    if (o->momentum != 0) {
        double share = item->steps == 0 ? 1 : 1 - o->dampening; /* the first velocity is the gradient */
        cbm_tensor *v = cbm_mul_scalar(item->state[0], o->momentum);
        v = cbm_add(v, o->dampening != 0 ? cbm_mul_scalar(g, share) : g);
        cbm_assign(item->state[0], v);
        g = o->nesterov ? cbm_add(g, cbm_mul_scalar(v, o->momentum)) : v;
    }
    cbm_assign(item->parameter, cbm_add(p, cbm_mul_scalar(g, -o->lr)));
}

static bool needs(const cbm_optimizer_options *o, size_t state)
{
    (void)state;
    return o->sgd.momentum != 0;
}

static const char *wrong(const cbm_optimizer_options *o)
{
    bool fits = !o->sgd.nesterov || (o->sgd.momentum > 0 && o->sgd.dampening == 0);
    return fits ? NULL : "nesterov needs a momentum above 0 and no dampening";
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_sgd_options, momentum, 0, INFINITY),
    CBM_NUMBER(cbm_sgd_options, dampening, -INFINITY, INFINITY),
    CBM_SWITCH(cbm_sgd_options, nesterov),
};
static const cbm_optimizer_kind sgd = {
    .name = "sgd",
    .options_size = sizeof(cbm_sgd_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .state_names = { "momentum_buffer" },
    .needs = needs,
    .wrong = wrong,
    .update = update,
};

void cbm_sgd_options_init(cbm_sgd_options *o)
{
    *o = (cbm_sgd_options){ .struct_size = sizeof *o, CBM_SGD_DEFAULTS };
}

cbm_optimizer *cbm_sgd_with(cbm_module *net, const cbm_sgd_options *o)
{
    return cbm_optimizer_open(net, &sgd, o);
}
