/* radam.c: RAdam (Liu et al. 2020): Adam that trusts its second moment only once its variance is finite. */
#include "optim/optimizer.h"

#define TRUSTED 5.0 /* the length of the moving average from which on the variance is rectified */

/* What the update is multiplied with, besides 1 / (sqrt(v) + eps); 0: v is not used yet. */
static double rectification(double beta2, double t)
{
    double power = pow(beta2, t), correction2 = 1 - power;
    double longest = 2 / (1 - beta2) - 1, length = longest - 2 * t * power / correction2;
    if (!(length > TRUSTED))
        return 0;
    return sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) * sqrt(correction2);
}

static void update(const cbm_optimizer_options *options, cbm_optimizer_item *item, cbm_tensor *p, cbm_tensor *g)
{
    const cbm_radam_options *o = &options->radam;
    double t = (double)(item->steps + 1), rate = -o->lr / (1 - pow(o->beta1, t));
    double rectified = rectification(o->beta2, t);
    cbm_tensor *m, *v;
    cbm_adam_moments(item, g, o->beta1, o->beta2, &m, &v);
    if (rectified > 0)
        m = cbm_mul_scalar(cbm_div(m, cbm_add_scalar(cbm_sqrt(v), o->eps)), rectified);
    cbm_assign(item->parameter, cbm_add(p, cbm_mul_scalar(m, rate)));
}

static const cbm_option options[] = {
    CBM_COMMON_OPTIONS,
    CBM_NUMBER(cbm_radam_options, beta1, 0, 1),
    CBM_NUMBER(cbm_radam_options, beta2, 0, 1),
    CBM_NUMBER(cbm_radam_options, eps, 0, INFINITY),
};
static const cbm_optimizer_kind radam = {
    .name = "radam",
    .options_size = sizeof(cbm_radam_options),
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .state_names = { "exp_avg", "exp_avg_sq" },
    .update = update,
};

void cbm_radam_options_init(cbm_radam_options *o)
{
    *o = (cbm_radam_options){ .struct_size = sizeof *o, CBM_RADAM_DEFAULTS };
}

cbm_optimizer *cbm_radam_with(cbm_module *net, const cbm_radam_options *o)
{
    return cbm_optimizer_open(net, &radam, o);
}
