/* schedule.c: what all schedules share: opening, moving, and setting the rates of an optimizer's groups. */
#include "optim/schedule.h"
#include <string.h>

static cbm_schedule failed_schedule; /* without optimizer: inert */

/* ---- life ---- */

static void free_schedule(void *object)
{
    cbm_schedule *s = object;
    if (s->begun && s->kind->end)
        s->kind->end(s);
    cbm_array_free(&s->milestones);
    cbm_array_free(&s->parts);
    cbm_heap_give(cbm_context_heap(s->cx), s, sizeof *s);
}

cbm_schedule *cbm_schedule_make(cbm_optimizer *opt, const cbm_schedule_kind *kind)
{
    if (!cbm_optimizer_usable(opt) || !cbm_context_ready(opt->cx))
        return &failed_schedule;
    cbm_heap *heap = cbm_context_heap(opt->cx);
    cbm_schedule *s = cbm_heap_take_zero(heap, sizeof *s);
    if (!s) {
        cbm_fail_memory(opt->cx, "a schedule");
        return &failed_schedule;
    }
    s->cx = opt->cx;
    s->opt = opt;
    s->kind = kind;
    s->milestones = CBM_ARRAY(heap, int64_t);
    s->parts = CBM_ARRAY(heap, cbm_schedule *);
    if (cbm_context_own(opt->cx, s, free_schedule))
        return s;
    free_schedule(s);
    return &failed_schedule;
}

cbm_schedule *cbm_schedule_begin(cbm_schedule *s, bool furnished)
{
    if (!s->opt)
        return s;
    if (furnished)
        cbm_schedule_set_position(s, 0);
    s->begun = furnished && cbm_context_status(s->cx) == CBM_OK;
    if (s->begun)
        return s;
    for (size_t i = 0; i < s->parts.count; i++) /* they stay the caller's */
        CBM_AT(&s->parts, cbm_schedule *, i)->whole = NULL;
    s->parts.count = 0;
    cbm_schedule_release(s);
    return &failed_schedule;
}

static bool options_fit(cbm_context *cx, const cbm_schedule_kind *kind, const void *options)
{
    uint64_t size = 0;
    if (options)
        memcpy(&size, options, sizeof size);
    if (size == kind->options_size && kind->fits(options))
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID, "[%s] needs %s", kind->name, kind->needs);
    return false;
}

cbm_schedule *cbm_schedule_open(cbm_optimizer *opt, const cbm_schedule_kind *kind, const void *options)
{
    cbm_schedule *s = cbm_schedule_make(opt, kind);
    if (!s->opt)
        return s;
    bool fits = options_fit(s->cx, kind, options);
    if (fits)
        memcpy(&s->options, options, kind->options_size);
    return cbm_schedule_begin(s, fits && (!kind->furnish || kind->furnish(s)));
}

bool cbm_schedule_take_milestones(cbm_schedule *s, const int64_t *milestones, size_t count)
{
    bool fine = cbm_array_append(&s->milestones, milestones, count);
    if (!fine)
        cbm_fail_memory(s->cx, "a list of milestones");
    return fine;
}

void cbm_schedule_release(cbm_schedule *s)
{
    if (!s || s == &failed_schedule || s->whole)
        return;
    for (size_t i = 0; i < s->parts.count; i++) {
        cbm_schedule *part = CBM_AT(&s->parts, cbm_schedule *, i);
        part->whole = NULL;
        cbm_schedule_release(part);
    }
    cbm_context_disown(s->cx, s);
    free_schedule(s);
}

cbm_plateau *cbm_schedule_plateau_of(cbm_schedule *s)
{
    return s && s->opt && !s->kind->rate ? &s->plateau : NULL;
}

/* ---- moving ---- */

const cbm_option *cbm_momentum_of(const cbm_optimizer *opt)
{
    const cbm_option *option = cbm_option_named(opt->kind, "momentum");
    return option ? option : cbm_option_named(opt->kind, "beta1");
}

/* The rates of all groups at t, checked before any is set. */
static bool set_rates(cbm_schedule *s, int64_t t)
{
    double rates[CBM_MAX_GROUPS];
    cbm_optimizer *opt = s->opt;
    char number[40];
    for (size_t i = 0; i < opt->groups.count; i++) {
        rates[i] = s->kind->rate(s, t, i, CBM_GROUP(opt, i)->base_lr);
        if (isfinite(rates[i]) && rates[i] >= 0)
            continue;
        cbm_fail(s->cx, CBM_ERROR_RANGE, "[%s] the learning rate of group %zu would be %s at t = %lld", s->kind->name,
                 i, cbm_double_text(rates[i], number, sizeof number), (long long)t);
        return false;
    }
    for (size_t i = 0; i < opt->groups.count; i++)
        CBM_GROUP(opt, i)->options.common.lr = rates[i];
    return true;
}

static bool set_momenta(cbm_schedule *s, int64_t t)
{
    double momentum = s->kind->momentum ? s->kind->momentum(s, t) : NAN;
    const cbm_option *option = isnan(momentum) ? NULL : cbm_momentum_of(s->opt);
    for (size_t i = 0; option && i < s->opt->groups.count; i++)
        if (cbm_group_change(s->opt, i, option, momentum) != CBM_OK)
            return false;
    return true;
}

void cbm_schedule_set_position(cbm_schedule *s, int64_t position)
{
    if (!s || !s->opt || !cbm_context_ready(s->cx))
        return;
    int64_t t = position > 0 ? position : 0;
    if (s->whole)
        cbm_fail(s->cx, CBM_ERROR_STATE, "[%s] it is a part of another schedule, which moves it", s->kind->name);
    else if (!s->kind->rate || (set_momenta(s, t) && set_rates(s, t)))
        s->t = t;
}

void cbm_schedule_next(cbm_schedule *s)
{
    if (s && s->opt && s->kind->rate && s->t < INT64_MAX)
        cbm_schedule_set_position(s, s->t + 1);
}

int64_t cbm_schedule_position(const cbm_schedule *s)
{
    return s ? s->t : 0;
}
