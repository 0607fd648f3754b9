/* schedule_plateau.c: rates that fall when a measure has stopped becoming better. */
#include "optim/schedule.h"

static bool is_better(const cbm_schedule_plateau_options *o, double measure, double best)
{
    double margin = o->maximize ? o->threshold : -o->threshold;
    double line = o->absolute ? best + margin : best * (1 + margin);
    return o->maximize ? measure > line : measure < line;
}

static void reduce(cbm_optimizer *opt, const cbm_schedule_plateau_options *o)
{
    for (size_t i = 0; i < opt->groups.count; i++) {
        double *lr = &CBM_GROUP(opt, i)->options.common.lr, lower = fmax(*lr * o->factor, o->min_lr);
        if (*lr - lower > o->eps)
            *lr = lower;
    }
}

void cbm_schedule_observe(cbm_schedule *s, double measure)
{
    cbm_plateau *p = cbm_schedule_plateau_of(s);
    if (!p || !cbm_context_ready(s->cx))
        return;
    const cbm_schedule_plateau_options *o = &s->options.plateau;
    if (s->t == INT64_MAX)
        return;
    s->t++;
    bool better = is_better(o, measure, p->best);
    p->best = better ? measure : p->best;
    p->bad = better ? 0 : p->bad < INT64_MAX ? p->bad + 1 : p->bad;
    if (p->cooldown > 0) {
        p->cooldown--;
        p->bad = 0;
    }
    if (p->bad <= o->patience)
        return;
    reduce(s->opt, o);
    p->cooldown = o->cooldown;
    p->bad = 0;
}

static bool plateau_fits(const void *options)
{
    const cbm_schedule_plateau_options *o = options;
    return o->factor >= 0 && o->factor < 1 && o->patience >= 0 && isfinite(o->threshold) && o->threshold >= 0 &&
           o->cooldown >= 0 && isfinite(o->min_lr) && o->min_lr >= 0 && o->eps >= 0;
}

static bool plateau_furnish(cbm_schedule *s)
{
    s->plateau.best = s->options.plateau.maximize ? -INFINITY : INFINITY;
    return true;
}

cbm_schedule *cbm_schedule_plateau_with(cbm_optimizer *opt, const cbm_schedule_plateau_options *o)
{
    static const cbm_schedule_kind kind = {
        .name = "schedule_plateau",
        .options_size = sizeof *o,
        .fits = plateau_fits,
        .needs = "factor in [0, 1), and patience, threshold, cooldown, min_lr and eps >= 0",
        .furnish = plateau_furnish,
    };
    return cbm_schedule_open(opt, &kind, o);
}
