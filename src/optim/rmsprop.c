/* rmsprop.c: RMSprop (Tieleman and Hinton 2012), plain or centered (Graves 2013), with momentum. */
#include "optim/optimizer.h"

enum { SQUARE, MOMENTUM, MEAN };

static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_rmsprop_options *o = &options->rmsprop;
    cbm_tensor *square = item->state[SQUARE], *spread;
    square = cbm_add(cbm_mul_scalar(square, o->alpha), cbm_mul_scalar(cbm_mul(g, g), 1 - o->alpha));
    cbm_assign(item->state[SQUARE], square);
    spread = square;
    if (o->centered) {
        cbm_tensor *mean = item->state[MEAN];
        mean = cbm_add(mean, cbm_mul_scalar(cbm_sub(g, mean), 1 - o->alpha));
        cbm_assign(item->state[MEAN], mean);
        spread = cbm_sub(square, cbm_mul(mean, mean));
    }
    cbm_tensor *step = cbm_div(g, cbm_add_scalar(cbm_sqrt(spread), o->eps));
    if (o->momentum != 0) {
        step = cbm_add(cbm_mul_scalar(item->state[MOMENTUM], o->momentum), step);
        cbm_assign(item->state[MOMENTUM], step);
    }
    cbm_assign(item->parameter, cbm_add(p, cbm_mul_scalar(step, -o->lr)));
}

static bool needs(const cbm_optimizer_options *o, size_t state)
{
    return state == SQUARE || (state == MOMENTUM && o->rmsprop.momentum != 0) || (state == MEAN && o->rmsprop.centered);
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_rmsprop_options, alpha, 0, INFINITY),
    CBM_NUMBER(cbm_rmsprop_options, eps, 0, INFINITY),
    CBM_NUMBER(cbm_rmsprop_options, momentum, 0, INFINITY),
    CBM_SWITCH(cbm_rmsprop_options, centered),
};
static const cbm_optimizer_kind rmsprop = {
    .name = "rmsprop",
    .options_size = sizeof(cbm_rmsprop_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .state_names = { [SQUARE] = "square_avg", [MOMENTUM] = "momentum_buffer", [MEAN] = "grad_avg" },
    .needs = needs,
    .update = update,
};

void cbm_rmsprop_options_init(cbm_rmsprop_options *o)
{
    *o = (cbm_rmsprop_options){ .struct_size = sizeof *o, CBM_RMSPROP_DEFAULTS };
}

cbm_optimizer *cbm_rmsprop_with(cbm_module *net, const cbm_rmsprop_options *o)
{
    return cbm_optimizer_open(net, &rmsprop, o);
}
