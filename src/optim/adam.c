/* adam.c: Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), in PyTorch's order of arithmetic; and the
   moments that NAdam and RAdam share with them. */
#include "optim/optimizer.h"

void cbm_adam_moments(cbm_optimizer_item *item, cbm_tensor *g, double beta1, double beta2, cbm_tensor **m,
                      cbm_tensor **v)
{
    cbm_tensor *mean = item->state[0], *square = item->state[1];
    *m = cbm_add(mean, cbm_mul_scalar(cbm_sub(g, mean), 1 - beta1));
    *v = cbm_add(cbm_mul_scalar(square, beta2), cbm_mul_scalar(cbm_mul(g, g), 1 - beta2));
    cbm_assign(item->state[0], *m);
    cbm_assign(item->state[1], *v);
}

/* p, g, m, v: parameter, gradient, its first and second moment, all of one shape. */
static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_adam_options *o = &options->adam;
    double t = (double)(item->steps + 1);
    double correction1 = 1 - pow(o->beta1, t), correction2 = sqrt(1 - pow(o->beta2, t));
    cbm_tensor *m, *v;
    cbm_adam_moments(item, g, o->beta1, o->beta2, &m, &v);
    if (o->amsgrad) {
        v = cbm_maximum(item->state[2], v);
        cbm_assign(item->state[2], v);
    }
    cbm_tensor *scale = cbm_add_scalar(cbm_mul_scalar(cbm_sqrt(v), 1 / correction2), o->eps);
    cbm_assign(item->parameter, cbm_add(p, cbm_mul_scalar(cbm_div(m, scale), -o->lr / correction1)));
}

static bool needs(const cbm_optimizer_options *o, size_t state)
{
    return state < 2 || o->adam.amsgrad;
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_adam_options, beta1, 0, 1),
    CBM_NUMBER(cbm_adam_options, beta2, 0, 1),
    CBM_NUMBER(cbm_adam_options, eps, 0, INFINITY),
    CBM_SWITCH(cbm_adam_options, amsgrad),
};
#define KIND(NAME)                                                                                                     \
    {                                                                                                                  \
        .name = #NAME, .options_size = sizeof(cbm_##NAME##_options), .options = options,                               \
        .n_options = sizeof options / sizeof *options, .state_names = { "exp_avg", "exp_avg_sq", "max_exp_avg_sq" },   \
        .needs = needs, .update = update                                                                               \
    }
static const cbm_optimizer_kind adam = KIND(adam), adamw = KIND(adamw);

void cbm_adam_options_init(cbm_adam_options *o)
{
    *o = (cbm_adam_options){ .struct_size = sizeof *o, CBM_ADAM_DEFAULTS };
}

void cbm_adamw_options_init(cbm_adamw_options *o)
{
    *o = (cbm_adamw_options){ .struct_size = sizeof *o, CBM_ADAMW_DEFAULTS };
}

cbm_optimizer *cbm_adam_with(cbm_module *net, const cbm_adam_options *o)
{
    return cbm_optimizer_open(net, &adam, o);
}

cbm_optimizer *cbm_adamw_with(cbm_module *net, const cbm_adamw_options *o)
{
    return cbm_optimizer_open(net, &adamw, o);
}
