/* rprop.c: resilient backpropagation (Riedmiller and Braun 1993): only the signs of gradients count. */
#include "optim/optimizer.h"

static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_rprop_options *o = &options->rprop;
    cbm_context *cx = p->cx;
    cbm_dtype dtype = cbm_tensor_dtype(p);
    cbm_tensor *zero = cbm_scalar(cx, dtype, 0), *one = cbm_scalar(cx, dtype, 1);
    cbm_tensor *same = cbm_mul(g, item->state[0]), *turned = cbm_less(same, zero);
    cbm_tensor *factor = cbm_where(turned, cbm_scalar(cx, dtype, o->eta_minus), one);
    factor = cbm_where(cbm_greater(same, zero), cbm_scalar(cx, dtype, o->eta_plus), factor);
    cbm_tensor *size = item->steps == 0 ? cbm_full(cx, dtype, cbm_tensor_shape(p), o->lr) : item->state[1];
    size = cbm_clamp(cbm_mul(size, factor), o->step_size_min, o->step_size_max);
    g = cbm_where(turned, zero, g);
    cbm_assign(item->state[0], g);
    cbm_assign(item->state[1], size);
    cbm_assign(item->parameter, cbm_sub(p, cbm_mul(cbm_sign(g), size)));
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_rprop_options, eta_minus, 0, 1),
    CBM_NUMBER(cbm_rprop_options, eta_plus, 1, INFINITY),
    CBM_NUMBER(cbm_rprop_options, step_size_min, 0, INFINITY),
    CBM_NUMBER(cbm_rprop_options, step_size_max, 0, INFINITY),
};
static const cbm_optimizer_kind rprop = {
    .name = "rprop",
    .options_size = sizeof(cbm_rprop_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .state_names = { "prev", "step_size" },
    .update = update,
};

void cbm_rprop_options_init(cbm_rprop_options *o)
{
    *o = (cbm_rprop_options){ .struct_size = sizeof *o, CBM_RPROP_DEFAULTS };
}

cbm_optimizer *cbm_rprop_with(cbm_module *net, const cbm_rprop_options *o)
{
    return cbm_optimizer_open(net, &rprop, o);
}
