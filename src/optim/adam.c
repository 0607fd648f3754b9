/* adam.c: Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), in PyTorch's order of arithmetic. */
#include "optim/optimizer.h"
#include <math.h>

/* p, g, m, v: parameter, gradient, its first and second moment, all of one shape. */
static void moments(cbm_optimizer *opt, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_adam_options *o = &opt->options.adam;
    double t = (double)(item->steps + 1);
    double correction1 = 1 - pow(o->beta1, t), correction2 = sqrt(1 - pow(o->beta2, t));
    cbm_tensor *m = item->state[0], *v = item->state[1];
    m = cbm_add(m, cbm_mul_scalar(cbm_sub(g, m), 1 - o->beta1));
    v = cbm_add(cbm_mul_scalar(v, o->beta2), cbm_mul_scalar(cbm_mul(g, g), 1 - o->beta2));
    cbm_assign(item->state[0], m);
    cbm_assign(item->state[1], v);
    cbm_tensor *scale = cbm_add_scalar(cbm_mul_scalar(cbm_sqrt(v), 1 / correction2), o->eps);
    cbm_assign(item->parameter, cbm_add(p, cbm_mul_scalar(cbm_div(m, scale), -opt->lr / correction1)));
}

static void update_adam(cbm_optimizer *opt, cbm_optimizer_item *item, cbm_tensor *g)
{
    double decay = opt->options.adam.weight_decay;
    if (decay != 0)
        g = cbm_add(g, cbm_mul_scalar(item->parameter, decay));
    moments(opt, item, item->parameter, g);
}

static void update_adamw(cbm_optimizer *opt, cbm_optimizer_item *item, cbm_tensor *g)
{
    double decay = opt->options.adam.weight_decay;
    cbm_tensor *p = item->parameter;
    moments(opt, item, decay != 0 ? cbm_mul_scalar(p, 1 - opt->lr * decay) : p, g);
}

#define STATES                                                                                                         \
    {                                                                                                                  \
        "exp_avg", "exp_avg_sq"                                                                                        \
    }
static const cbm_optimizer_kind adam = { .name = "adam", .state_names = STATES, .update = update_adam };
static const cbm_optimizer_kind adamw = { .name = "adamw", .state_names = STATES, .update = update_adamw };

void cbm_adam_options_init(cbm_adam_options *o)
{
    *o = (cbm_adam_options){ .struct_size = sizeof *o, CBM_ADAM_DEFAULTS };
}

void cbm_adamw_options_init(cbm_adamw_options *o)
{
    *o = (cbm_adamw_options){ .struct_size = sizeof *o, CBM_ADAMW_DEFAULTS };
}

static cbm_optimizer *open_adam(cbm_module *net, const cbm_optimizer_kind *kind, const cbm_adam_options *o)
{
    cbm_context *cx = net ? net->cx : NULL;
    if (cx && (!cbm_optimizer_number(cx, kind->name, "lr", o->lr, 0, INFINITY) ||
               !cbm_optimizer_number(cx, kind->name, "beta1", o->beta1, 0, 1) ||
               !cbm_optimizer_number(cx, kind->name, "beta2", o->beta2, 0, 1) ||
               !cbm_optimizer_number(cx, kind->name, "eps", o->eps, 0, INFINITY) ||
               !cbm_optimizer_number(cx, kind->name, "weight_decay", o->weight_decay, 0, INFINITY)))
        return cbm_optimizer_failed(cx);
    cbm_optimizer *opt = cbm_optimizer_open(net, kind, 2, o->lr);
    if (!opt->failed)
        opt->options.adam = *o;
    return opt;
}

static cbm_optimizer *refuse(cbm_module *net, const char *kind)
{
    cbm_context *cx = net ? net->cx : NULL;
    if (cx)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the options are not this library's. HINT: cbm_%s_options_init", kind,
                 kind);
    return cbm_optimizer_failed(cx);
}

cbm_optimizer *cbm_adam_with(cbm_module *net, const cbm_adam_options *o)
{
    return o && o->struct_size == sizeof *o ? open_adam(net, &adam, o) : refuse(net, "adam");
}

cbm_optimizer *cbm_adamw_with(cbm_module *net, const cbm_adamw_options *o)
{
    if (!o || o->struct_size != sizeof *o)
        return refuse(net, "adamw");
    cbm_adam_options same = { .struct_size = sizeof same,
                              .lr = o->lr,
                              .beta1 = o->beta1,
                              .beta2 = o->beta2,
                              .eps = o->eps,
                              .weight_decay = o->weight_decay };
    return open_adam(net, &adamw, &same);
}
