/* schedule_cosine.c: rates along a cosine (Loshchilov and Hutter 2017), once or with warm restarts. */
#include "optim/schedule.h"

static double along_cosine(double base, double minimum, double part)
{
    return minimum + (base - minimum) * (1 + cos(CBM_PI * part)) / 2;
}

static double cosine_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    const cbm_schedule_cosine_options *o = &s->options.cosine;
    if (t < o->warmup)
        return base * (double)(t + 1) / (double)(o->warmup + 1);
    if (t >= o->steps)
        return o->minimum;
    return along_cosine(base, o->minimum, (double)(t - o->warmup) / (double)(o->steps - o->warmup));
}

static bool cosine_fits(const void *options)
{
    const cbm_schedule_cosine_options *o = options;
    return o->steps >= 1 && o->warmup >= 0 && o->warmup < o->steps && isfinite(o->minimum) && o->minimum >= 0;
}

cbm_schedule *cbm_schedule_cosine_with(cbm_optimizer *opt, const cbm_schedule_cosine_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_cosine",
                                            .options_size = sizeof *o,
                                            .fits = cosine_fits,
                                            .needs = "steps >= 1, 0 <= warmup < steps and a finite minimum >= 0",
                                            .rate = cosine_rate };
    return cbm_schedule_open(opt, &kind, o);
}

static double cosine_restarts_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    const cbm_schedule_cosine_restarts_options *o = &s->options.cosine_restarts;
    int64_t length = o->t_0;
    if (o->t_mult == 1)
        t %= length;
    while (t >= length) {
        t -= length;
        length = length <= INT64_MAX / o->t_mult ? length * o->t_mult : INT64_MAX;
    }
    return along_cosine(base, o->eta_min, (double)t / (double)length);
}

static bool cosine_restarts_fits(const void *options)
{
    const cbm_schedule_cosine_restarts_options *o = options;
    return o->t_0 >= 1 && o->t_mult >= 1 && isfinite(o->eta_min) && o->eta_min >= 0;
}

cbm_schedule *cbm_schedule_cosine_restarts_with(cbm_optimizer *opt, const cbm_schedule_cosine_restarts_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_cosine_restarts",
                                            .options_size = sizeof *o,
                                            .fits = cosine_restarts_fits,
                                            .needs = "t_0 >= 1, t_mult >= 1 and a finite eta_min >= 0",
                                            .rate = cosine_restarts_rate };
    return cbm_schedule_open(opt, &kind, o);
}
