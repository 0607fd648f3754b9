/* sgd.c: stochastic gradient descent with momentum, dampening, Nesterov's form and weight decay. */
#include "optim/optimizer.h"
#include <math.h>

/* p, g, v: parameter, gradient, velocity, all of one shape. */
static void update(cbm_optimizer *opt, cbm_optimizer_item *item, cbm_tensor *g)
{
    const cbm_sgd_options *o = &opt->options.sgd;
    cbm_tensor *p = item->parameter;
    if (o->weight_decay != 0)
        g = cbm_add(g, cbm_mul_scalar(p, o->weight_decay));
    if (o->momentum != 0) {
        double share = item->steps == 0 ? 1 : 1 - o->dampening; /* the first velocity is the gradient */
        cbm_tensor *v = cbm_mul_scalar(item->state[0], o->momentum);
        v = cbm_add(v, o->dampening != 0 ? cbm_mul_scalar(g, share) : g);
        cbm_assign(item->state[0], v);
        g = o->nesterov ? cbm_add(g, cbm_mul_scalar(v, o->momentum)) : v;
    }
    cbm_assign(p, cbm_add(p, cbm_mul_scalar(g, -opt->lr)));
}

static const cbm_optimizer_kind sgd = { .name = "sgd", .state_names = { "momentum_buffer" }, .update = update };

void cbm_sgd_options_init(cbm_sgd_options *o)
{
    *o = (cbm_sgd_options){ .struct_size = sizeof *o, CBM_SGD_DEFAULTS };
}

static bool options_fit(cbm_context *cx, const cbm_sgd_options *o)
{
    if (!o || o->struct_size != sizeof *o) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[sgd] the options are not this library's. HINT: cbm_sgd_options_init");
        return false;
    }
    if (!cbm_optimizer_number(cx, "sgd", "lr", o->lr, 0, INFINITY) ||
        !cbm_optimizer_number(cx, "sgd", "momentum", o->momentum, 0, INFINITY) ||
        !cbm_optimizer_number(cx, "sgd", "dampening", o->dampening, -INFINITY, INFINITY) ||
        !cbm_optimizer_number(cx, "sgd", "weight_decay", o->weight_decay, 0, INFINITY))
        return false;
    if (!o->nesterov || (o->momentum > 0 && o->dampening == 0))
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID, "[sgd] nesterov needs a momentum above 0 and no dampening");
    return false;
}

cbm_optimizer *cbm_sgd_with(cbm_module *net, const cbm_sgd_options *o)
{
    if (net && net->cx && !options_fit(net->cx, o))
        return cbm_optimizer_failed(net->cx);
    cbm_optimizer *opt = cbm_optimizer_open(net, &sgd, o && o->momentum != 0 ? 1 : 0, o ? o->lr : 0);
    if (!opt->failed)
        opt->options.sgd = *o;
    return opt;
}
