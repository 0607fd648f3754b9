/* schedule.c: learning rates that follow a formula of the number of steps taken. */
#include "optim/optimizer.h"
#include <math.h>

typedef double (*rate_fn)(const cbm_schedule *s, int64_t t);

struct cbm_schedule {
    cbm_context *cx;
    cbm_optimizer *opt;
    rate_fn rate;
    double base;
    int64_t t;
    union {
        cbm_schedule_step_options step;
        cbm_schedule_cosine_options cosine;
    } options;
};

static cbm_schedule failed_schedule; /* without optimizer: inert */

static double step_rate(const cbm_schedule *s, int64_t t)
{
    return s->base * pow(s->options.step.gamma, (double)(t / s->options.step.step_size));
}

static double cosine_rate(const cbm_schedule *s, int64_t t)
{
    const cbm_schedule_cosine_options *o = &s->options.cosine;
    if (t < o->warmup)
        return s->base * (double)(t + 1) / (double)(o->warmup + 1);
    if (t >= o->steps)
        return o->minimum;
    double part = (double)(t - o->warmup) / (double)(o->steps - o->warmup);
    return o->minimum + (s->base - o->minimum) * (1 + cos(3.14159265358979323846 * part)) / 2;
}

static void free_schedule(void *object)
{
    cbm_schedule *s = object;
    cbm_heap_give(cbm_context_heap(s->cx), s, sizeof *s);
}

static cbm_schedule *open_schedule(cbm_optimizer *opt, rate_fn rate)
{
    cbm_context *cx = opt->cx;
    cbm_schedule *s = cbm_heap_take_zero(cbm_context_heap(cx), sizeof *s);
    if (!s) {
        cbm_fail_memory(cx, "a schedule");
        return &failed_schedule;
    }
    s->cx = cx;
    s->opt = opt;
    s->rate = rate;
    s->base = cbm_learning_rate(opt);
    if (cbm_context_own(cx, s, free_schedule))
        return s;
    free_schedule(s);
    return &failed_schedule;
}

static bool ready(cbm_optimizer *opt)
{
    return opt && !opt->failed && cbm_context_ready(opt->cx);
}

cbm_schedule *cbm_schedule_step_with(cbm_optimizer *opt, const cbm_schedule_step_options *o)
{
    if (!ready(opt))
        return &failed_schedule;
    if (!o || o->struct_size != sizeof *o || o->step_size < 1 || !isfinite(o->gamma) || o->gamma < 0) {
        cbm_fail(opt->cx, CBM_ERROR_INVALID, "[schedule_step] needs step_size >= 1 and a finite gamma >= 0");
        return &failed_schedule;
    }
    cbm_schedule *s = open_schedule(opt, step_rate);
    if (s != &failed_schedule)
        s->options.step = *o;
    cbm_schedule_set_position(s, 0);
    return s;
}

cbm_schedule *cbm_schedule_cosine_with(cbm_optimizer *opt, const cbm_schedule_cosine_options *o)
{
    if (!ready(opt))
        return &failed_schedule;
    if (!o || o->struct_size != sizeof *o || o->steps < 1 || o->warmup < 0 || o->warmup >= o->steps ||
        !isfinite(o->minimum) || o->minimum < 0) {
        cbm_fail(opt->cx, CBM_ERROR_INVALID,
                 "[schedule_cosine] needs steps >= 1, 0 <= warmup < steps and a finite minimum >= 0");
        return &failed_schedule;
    }
    cbm_schedule *s = open_schedule(opt, cosine_rate);
    if (s != &failed_schedule)
        s->options.cosine = *o;
    cbm_schedule_set_position(s, 0);
    return s;
}

void cbm_schedule_next(cbm_schedule *s)
{
    if (s && s->opt && s->t < INT64_MAX)
        cbm_schedule_set_position(s, s->t + 1);
}

int64_t cbm_schedule_position(const cbm_schedule *s)
{
    return s ? s->t : 0;
}

void cbm_schedule_set_position(cbm_schedule *s, int64_t position)
{
    if (!s || !s->opt)
        return;
    s->t = position > 0 ? position : 0;
    cbm_set_learning_rate(s->opt, s->rate(s, s->t));
}

void cbm_schedule_release(cbm_schedule *s)
{
    if (!s || s == &failed_schedule)
        return;
    cbm_context_disown(s->cx, s);
    free_schedule(s);
}
