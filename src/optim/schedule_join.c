/* schedule_join.c: schedules made of schedules: all at once, one after the other, and after a warm-up. */
#include "optim/schedule.h"

static const cbm_schedule *part_of(const cbm_schedule *s, size_t i)
{
    return CBM_AT(&s->parts, cbm_schedule *, i);
}

static double momentum_of(const cbm_schedule *part, int64_t t)
{
    return part->kind->momentum ? part->kind->momentum(part, t) : NAN;
}

/* Why parts[i] cannot be a part on opt; NULL: it can. */
static const char *unfit(const cbm_optimizer *opt, cbm_schedule *const *parts, size_t i)
{
    const cbm_schedule *s = parts[i];
    if (!s || !s->opt)
        return "is NULL or a failed one";
    if (s->opt != opt)
        return "is on another optimizer";
    if (!s->kind->rate)
        return "follows a measure";
    for (size_t j = 0; j < i; j++)
        if (parts[j] == s)
            return "is in the list twice";
    return s->whole ? "is a part of another one" : NULL;
}

bool cbm_schedule_take_parts(cbm_schedule *whole, cbm_schedule *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *why = unfit(whole->opt, parts, i);
        if (why) {
            cbm_fail(whole->cx, CBM_ERROR_INVALID, "[%s] schedule %zu of the list %s", whole->kind->name, i, why);
            return false;
        }
    }
    if (!cbm_array_append(&whole->parts, parts, count)) {
        cbm_fail_memory(whole->cx, "a list of schedules");
        return false;
    }
    for (size_t i = 0; i < count; i++)
        parts[i]->whole = whole;
    return true;
}

/* A schedule on the optimizer of its parts; an inert one if the first of them is, whose context has the error. */
static cbm_schedule *make_of(const cbm_schedule_kind *kind, cbm_schedule *const *parts, size_t count)
{
    return cbm_schedule_make(parts && count > 0 && parts[0] ? parts[0]->opt : NULL, kind);
}

/* ---- all at once ---- */

static double chained_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    for (size_t i = 0; i < s->parts.count; i++)
        base = part_of(s, i)->kind->rate(part_of(s, i), t, group, base);
    return base;
}

static double chained_momentum(const cbm_schedule *s, int64_t t)
{
    double momentum = NAN;
    for (size_t i = 0; i < s->parts.count; i++) {
        double of_part = momentum_of(part_of(s, i), t);
        momentum = isnan(of_part) ? momentum : of_part;
    }
    return momentum;
}

cbm_schedule *cbm_schedule_chained(cbm_schedule *const *schedules, size_t count)
{
    static const cbm_schedule_kind kind = { .name = "schedule_chained",
                                            .rate = chained_rate,
                                            .momentum = chained_momentum };
    cbm_schedule *s = make_of(&kind, schedules, count);
    return cbm_schedule_begin(s, s->opt && cbm_schedule_take_parts(s, schedules, count));
}

/* ---- one after the other ---- */

/* The part that t is in, and where it is there. */
static const cbm_schedule *part_at(const cbm_schedule *s, int64_t *t)
{
    size_t i = 0;
    while (i < s->milestones.count && CBM_AT(&s->milestones, int64_t, i) <= *t)
        i++;
    *t -= i > 0 ? CBM_AT(&s->milestones, int64_t, i - 1) : 0;
    return part_of(s, i);
}

static double sequential_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    const cbm_schedule *part = part_at(s, &t);
    return part->kind->rate(part, t, group, base);
}

static double sequential_momentum(const cbm_schedule *s, int64_t t)
{
    const cbm_schedule *part = part_at(s, &t);
    return momentum_of(part, t);
}

static bool rise(const cbm_schedule *s, const int64_t *milestones, size_t count)
{
    bool fine = milestones || count == 0;
    for (size_t i = 1; fine && i < count; i++)
        fine = milestones[i] >= milestones[i - 1];
    if (!fine)
        cbm_fail(s->cx, CBM_ERROR_INVALID, "[%s] needs milestones that rise, one fewer than schedules", s->kind->name);
    return fine;
}

cbm_schedule *cbm_schedule_sequential(cbm_schedule *const *schedules, size_t count, const int64_t *milestones)
{
    static const cbm_schedule_kind kind = { .name = "schedule_sequential",
                                            .rate = sequential_rate,
                                            .momentum = sequential_momentum };
    cbm_schedule *s = make_of(&kind, schedules, count);
    return cbm_schedule_begin(s, s->opt && rise(s, milestones, count - 1) &&
                                     cbm_schedule_take_milestones(s, milestones, count - 1) &&
                                     cbm_schedule_take_parts(s, schedules, count));
}

/* ---- warm-up ---- */

static double warmup_rate(const cbm_schedule *s, int64_t t, size_t group, double base)
{
    const int64_t steps = s->options.warmup.steps;
    if (t < steps)
        return base * (double)(t + 1) / (double)(steps + 1);
    return s->parts.count ? part_of(s, 0)->kind->rate(part_of(s, 0), t - steps, group, base) : base;
}

static double warmup_momentum(const cbm_schedule *s, int64_t t)
{
    const int64_t steps = s->options.warmup.steps;
    return s->parts.count ? momentum_of(part_of(s, 0), t < steps ? 0 : t - steps) : NAN;
}

static bool warmup_fits(const void *options)
{
    return ((const cbm_schedule_warmup_options *)options)->steps >= 0;
}

static bool warmup_furnish(cbm_schedule *s)
{
    cbm_schedule *then = s->options.warmup.then;
    return !then || cbm_schedule_take_parts(s, &then, 1);
}

cbm_schedule *cbm_schedule_warmup_with(cbm_optimizer *opt, const cbm_schedule_warmup_options *o)
{
    static const cbm_schedule_kind kind = {
        .name = "schedule_warmup",
        .options_size = sizeof *o,
        .fits = warmup_fits,
        .needs = "steps >= 0",
        .furnish = warmup_furnish,
        .rate = warmup_rate,
        .momentum = warmup_momentum,
    };
    return cbm_schedule_open(opt, &kind, o);
}
