/* schedule_decay.c: rates that are the base times a factor: step, multi-step, exponential, constant, linear, polynomial,
   and a function of the user's. */
#include "optim/schedule.h"

static bool factor_fits(double factor)
{
    return isfinite(factor) && factor >= 0;
}

/* How much of total_iters has passed, from 0 to 1. */
static double passed(int64_t t, int64_t total_iters)
{
    return t < total_iters ? (double)t / (double)total_iters : 1;
}

/* ---- step ---- */

static double step_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    return base * pow(s->options.step.gamma, (double)(t / s->options.step.step_size));
}

static bool step_fits(const void *options)
{
    const cbm_schedule_step_options *o = options;
    return o->step_size >= 1 && factor_fits(o->gamma);
}

cbm_schedule *cbm_schedule_step_with(cbm_optimizer *opt, const cbm_schedule_step_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_step",
                                            .options_size = sizeof *o,
                                            .fits = step_fits,
                                            .needs = "step_size >= 1 and a finite gamma >= 0",
                                            .rate = step_rate };
    return cbm_schedule_open(opt, &kind, o);
}

/* ---- multi-step ---- */

static double multi_step_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    size_t reached = 0;
    for (size_t i = 0; i < s->milestones.count; i++)
        reached += CBM_AT(&s->milestones, int64_t, i) <= t;
    return base * pow(s->options.multi_step.gamma, (double)reached);
}

static bool multi_step_fits(const void *options)
{
    const cbm_schedule_multi_step_options *o = options;
    return (o->milestones || !o->milestone_count) && factor_fits(o->gamma);
}

static bool multi_step_furnish(cbm_schedule *s)
{
    const cbm_schedule_multi_step_options *o = &s->options.multi_step;
    return cbm_schedule_take_milestones(s, o->milestones, (size_t)o->milestone_count);
}

cbm_schedule *cbm_schedule_multi_step_with(cbm_optimizer *opt, const cbm_schedule_multi_step_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_multi_step",
                                            .options_size = sizeof *o,
                                            .fits = multi_step_fits,
                                            .needs = "a list of milestones and a finite gamma >= 0",
                                            .furnish = multi_step_furnish,
                                            .rate = multi_step_rate };
    return cbm_schedule_open(opt, &kind, o);
}

/* ---- exponential ---- */

static double exponential_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    return base * pow(s->options.exponential.gamma, (double)t);
}

static bool exponential_fits(const void *options)
{
    return factor_fits(((const cbm_schedule_exponential_options *)options)->gamma);
}

cbm_schedule *cbm_schedule_exponential_with(cbm_optimizer *opt, const cbm_schedule_exponential_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_exponential",
                                            .options_size = sizeof *o,
                                            .fits = exponential_fits,
                                            .needs = "a finite gamma >= 0",
                                            .rate = exponential_rate };
    return cbm_schedule_open(opt, &kind, o);
}

/* ---- constant ---- */

static double constant_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    return t < s->options.constant.total_iters ? base * s->options.constant.factor : base;
}

static bool constant_fits(const void *options)
{
    const cbm_schedule_constant_options *o = options;
    return o->total_iters >= 0 && factor_fits(o->factor);
}

cbm_schedule *cbm_schedule_constant_with(cbm_optimizer *opt, const cbm_schedule_constant_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_constant",
                                            .options_size = sizeof *o,
                                            .fits = constant_fits,
                                            .needs = "total_iters >= 0 and a finite factor >= 0",
                                            .rate = constant_rate };
    return cbm_schedule_open(opt, &kind, o);
}

/* ---- linear ---- */

static double linear_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    const cbm_schedule_linear_options *o = &s->options.linear;
    return base * (o->start_factor + (o->end_factor - o->start_factor) * passed(t, o->total_iters));
}

static bool linear_fits(const void *options)
{
    const cbm_schedule_linear_options *o = options;
    return o->total_iters >= 1 && factor_fits(o->start_factor) && factor_fits(o->end_factor);
}

cbm_schedule *cbm_schedule_linear_with(cbm_optimizer *opt, const cbm_schedule_linear_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_linear",
                                            .options_size = sizeof *o,
                                            .fits = linear_fits,
                                            .needs = "total_iters >= 1 and finite factors >= 0",
                                            .rate = linear_rate };
    return cbm_schedule_open(opt, &kind, o);
}

/* ---- polynomial ---- */

static double polynomial_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    (void)group;
    return base * pow(1 - passed(t, s->options.polynomial.total_iters), s->options.polynomial.power);
}

static bool polynomial_fits(const void *options)
{
    const cbm_schedule_polynomial_options *o = options;
    return o->total_iters >= 1 && factor_fits(o->power);
}

cbm_schedule *cbm_schedule_polynomial_with(cbm_optimizer *opt, const cbm_schedule_polynomial_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_polynomial",
                                            .options_size = sizeof *o,
                                            .fits = polynomial_fits,
                                            .needs = "total_iters >= 1 and a finite power >= 0",
                                            .rate = polynomial_rate };
    return cbm_schedule_open(opt, &kind, o);
}

/* ---- a function of the user's ---- */

static double lambda_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    const cbm_schedule_lambda_options *o = &s->options.lambda;
    return base * o->function(t, (int64_t)group, o->user);
}

static bool lambda_fits(const void *options)
{
    return ((const cbm_schedule_lambda_options *)options)->function != NULL;
}

static void lambda_end(cbm_schedule *s)
{
    if (s->options.lambda.destroy)
        s->options.lambda.destroy(s->options.lambda.user);
}

cbm_schedule *cbm_schedule_lambda_with(cbm_optimizer *opt, const cbm_schedule_lambda_options *o)
{
    static const cbm_schedule_kind kind = { .name = "schedule_lambda",
                                            .options_size = sizeof *o,
                                            .fits = lambda_fits,
                                            .needs = "a function",
                                            .end = lambda_end,
                                            .rate = lambda_rate };
    return cbm_schedule_open(opt, &kind, o);
}
