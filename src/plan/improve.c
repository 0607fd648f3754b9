/* improve.c: looks for an order of the steps, and for values to make again instead of keeping them, with which less memory is
   in use where most is. Rules only, no clock: the same graph always gets the same plan. Rests on agenda.h. */
#include "plan/agenda.h"
#include <stdlib.h>

/* A search looks at so many events: at most, and for each byte that the plan's time is worth, so that short plans are not
   searched for much longer than they run. */
#define MOST_WORK 4e6
#define WORK_A_BYTE 3e-3
#define DEEPEST 3       /* values made again to make a value again */
#define LEAST_SHARE 512 /* values of less than this part of the peak are not worth a step */

typedef struct search {
    cbm_agenda *now;     /* the best so far */
    cbm_agenda trial;    /* it, changed */
    cbm_measure m, seen; /* of now and of trial */
    double budget;       /* time that repeating may still take */
    double work;         /* events that may still be looked at */
    bool no_memory;
} search;

static bool better(const cbm_measure *a, const cbm_measure *b)
{
    return a->peak < b->peak || (a->peak == b->peak && a->times < b->times);
}

static bool begin_trial(search *x)
{
    if (x->work <= 0)
        return false;
    x->work -= (double)x->now->events.count;
    x->no_memory = x->no_memory || !cbm_agenda_copy(&x->trial, x->now);
    return !x->no_memory;
}

/* Whether the trial, once changed, is allowed and better. */
static bool trial_is_better(search *x)
{
    if (!cbm_agenda_is_sound(&x->trial))
        return false;
    x->no_memory = x->no_memory || !cbm_agenda_measure(&x->trial, &x->seen);
    return !x->no_memory && better(&x->seen, &x->m);
}

static void take_trial(search *x)
{
    const cbm_agenda s = *x->now;
    *x->now = x->trial;
    x->trial = s;
    const cbm_measure m = x->m;
    x->m = x->seen;
    x->seen = m;
}

/* ---- moving ---- */

/* An event after the peak that ends a value alive there might come before it; so might an update of a variable, with what
   makes the gradient that it uses up. */
static bool frees(const search *x, int32_t p)
{
    const cbm_event *e = cbm_event_at(x->now, p);
    if (CBM_AT(&x->now->b->plan->steps, cbm_step, e->step).commit)
        return true;
    for (int32_t u = e->first; u < e->first + e->count; u++) {
        const int32_t v = cbm_used(x->now, u);
        if (x->m.first[v] < x->m.at && x->m.last[v] == p && CBM_AT(&x->now->values, cbm_agenda_value, v).bytes)
            return true;
    }
    return false;
}

/* An event up to the peak that makes a value which is not read before the peak has passed might come after it. */
static bool is_early(const search *x, int32_t p)
{
    const cbm_event *e = cbm_event_at(x->now, p);
    for (int32_t u = e->first + e->n_in; u < e->first + e->count; u++) {
        const int32_t v = cbm_used(x->now, u);
        if (x->m.first[v] == p && x->m.last[v] > x->m.at)
            return true;
    }
    return false;
}

static bool try_moves(search *x)
{
    const int32_t at = x->m.at, events = (int32_t)x->now->events.count;
    int32_t best = -1;
    cbm_measure found = { .peak = x->m.peak, .times = x->m.times };
    for (int32_t p = 0; p < events && !x->no_memory; p++) {
        const bool hasten = p > at;
        if (!(hasten ? frees(x, p) : is_early(x, p)) || !begin_trial(x) ||
            !(hasten ? cbm_agenda_hasten(&x->trial, p, at) : cbm_agenda_delay(&x->trial, p, at)) ||
            !trial_is_better(x) || !better(&x->seen, &found))
            continue;
        best = p;
        found.peak = x->seen.peak;
        found.times = x->seen.times;
    }
    if (best < 0 || !begin_trial(x) ||
        !(best > at ? cbm_agenda_hasten(&x->trial, best, at) : cbm_agenda_delay(&x->trial, best, at)) ||
        !trial_is_better(x))
        return false;
    take_trial(x);
    return true;
}

/* ---- repeating ---- */

/* Whether an event from this one on still uses the value. */
static bool lives_on(const cbm_agenda *s, int32_t value, int32_t from)
{
    for (int32_t p = from; p < (int32_t)s->events.count; p++) {
        const cbm_event *e = cbm_event_at(s, p);
        for (int32_t u = e->first; u < e->first + e->count; u++)
            if (cbm_used(s, u) == value)
                return true;
    }
    return false;
}

static int32_t maker_of(const cbm_agenda *s, int32_t value)
{
    for (int32_t p = 0; p < (int32_t)s->events.count; p++) {
        const cbm_event *e = cbm_event_at(s, p);
        for (int32_t u = e->first + e->n_in; u < e->first + e->count; u++)
            if (cbm_used(s, u) == value && cbm_writes(s, u))
                return p;
    }
    return -1;
}

/* From this event on, the one that makes the value once more; -1: none. */
static int32_t made_later(const cbm_agenda *s, int32_t value, int32_t from)
{
    const int32_t of = CBM_AT(&s->values, cbm_agenda_value, value).of;
    for (int32_t p = from; p < (int32_t)s->events.count; p++) {
        const cbm_event *e = cbm_event_at(s, p);
        if (e->again >= 0 && CBM_AT(&s->values, cbm_agenda_value, cbm_used(s, e->first + e->n_in)).of == of)
            return p;
    }
    return -1;
}

/* In the trial, makes the value again right before event *before, which moves on by what is put there. What that needs and is
   not there any more is made again too: earlier than so far, if it is made again anyway. */
static bool remake(search *x, int32_t value, int32_t *before, double *cost, int depth)
{
    cbm_agenda *s = &x->trial;
    const int32_t maker = maker_of(s, value);
    cbm_event again;
    if (maker < 0 || !cbm_agenda_can_repeat(s, maker, value, &again))
        return false;
    const cbm_event made = *cbm_event_at(s, maker);
    for (int32_t u = made.first; u < made.first + made.n_in; u++) {
        const int32_t in = cbm_agenda_newest(s, cbm_used(s, u), *before);
        if (CBM_AT(&s->values, cbm_agenda_value, in).bytes < x->m.peak / LEAST_SHARE || lives_on(s, in, *before))
            continue;
        const int32_t later = made_later(s, in, *before);
        const int32_t moved = later >= 0 ? cbm_agenda_hasten(s, later, *before) : 0;
        *before += moved;
        const int32_t was = *before;
        if (!moved && depth < DEEPEST && !remake(x, in, before, cost, depth + 1) && *before != was)
            return false; /* half done; where nothing was done, it lives longer instead */
    }
    if (!cbm_agenda_repeat(s, &again, maker_of(s, value), value, *before))
        return false;
    *cost += again.cost;
    ++*before;
    return true;
}

typedef struct candidate {
    int32_t value, before;
    size_t bytes;
    double cost; /* at least */
} candidate;

static double worth(const candidate *c)
{
    return (double)c->bytes / c->cost;
}

/* Those that free the most for the time that they take first; among equals those made last, which earlier ones feed. */
static int worth_first(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (worth(x) != worth(y))
        return worth(x) < worth(y) ? 1 : -1;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return y->value - x->value;
}

/* The first use of each value from the peak on; INT32_MAX: none. NULL: no memory. */
static int32_t *next_uses(const search *x)
{
    const size_t values = x->now->values.count;
    int32_t *next = cbm_heap_take(x->now->b->heap, (values + 1) * sizeof *next);
    for (size_t v = 0; v < values && next; v++)
        next[v] = INT32_MAX;
    for (int32_t p = (int32_t)x->now->events.count; p-- > x->m.at && next;) {
        const cbm_event *e = cbm_event_at(x->now, p);
        for (int32_t u = e->first; u < e->first + e->count; u++)
            next[cbm_used(x->now, u)] = p;
    }
    return next;
}

/* Values that rest at the peak: it lies between two uses of them. */
static bool find_candidates(search *x, cbm_array *found)
{
    const cbm_measure *m = &x->m;
    const size_t values = x->now->values.count;
    int32_t *next = next_uses(x);
    bool ok = next != NULL;
    for (int32_t v = 0; v < (int32_t)values && ok; v++) {
        candidate c = { .value = v, .bytes = CBM_AT(&x->now->values, cbm_agenda_value, v).bytes, .before = next[v] };
        cbm_event again;
        if (!c.bytes || c.bytes < m->peak / LEAST_SHARE || m->first[v] < 0 || m->first[v] >= m->at ||
            c.before <= m->at || c.before == INT32_MAX || !cbm_agenda_can_repeat(x->now, m->first[v], v, &again))
            continue;
        c.cost = again.cost;
        ok = cbm_array_push(found, &c) != NULL;
    }
    cbm_heap_give(x->now->b->heap, next, (values + 1) * sizeof *next);
    if (found->count)
        qsort(found->data, found->count, sizeof(candidate), worth_first);
    return ok;
}

/* The candidate in the trial. false: not possible, too dear, or no better. */
static bool try_candidate(search *x, const candidate *c, double *cost)
{
    int32_t before = c->before;
    *cost = 0;
    return begin_trial(x) && remake(x, c->value, &before, cost, 0) && *cost <= x->budget && trial_is_better(x);
}

static bool try_repeats(search *x)
{
    cbm_array found = CBM_ARRAY(x->now->b->heap, candidate);
    const candidate *best = NULL;
    double cost, best_cost = 0;
    x->no_memory = x->no_memory || !find_candidates(x, &found);
    for (size_t i = 0; i < found.count && !x->no_memory; i++) {
        const candidate *c = &CBM_AT(&found, candidate, i);
        if (best && worth(c) <= (double)best->bytes / best_cost)
            break;
        if (!try_candidate(x, c, &cost) || (best && (double)c->bytes / cost <= (double)best->bytes / best_cost))
            continue;
        best = c;
        best_cost = cost;
    }
    const bool taken = best && try_candidate(x, best, &cost);
    cbm_array_free(&found);
    if (!taken)
        return false;
    x->budget -= best_cost;
    take_trial(x);
    return true;
}

/* What was made again for a peak that then could not be lowered is kept after all, the dearest first. */
static void drop_idle_repeats(search *x)
{
    for (bool again = true; again && !x->no_memory;) {
        again = false;
        int32_t dearest = -1;
        double cost = 0;
        for (int32_t p = 0; p < (int32_t)x->now->events.count && !x->no_memory; p++) {
            const cbm_event *e = cbm_event_at(x->now, p);
            if (e->again < 0 || e->cost <= cost || !begin_trial(x))
                continue;
            const double saved = e->cost;
            cbm_agenda_keep(&x->trial, p);
            x->no_memory = !cbm_agenda_measure(&x->trial, &x->seen);
            if (x->no_memory || x->seen.peak > x->m.peak)
                continue;
            dearest = p;
            cost = saved;
        }
        if (dearest < 0 || !begin_trial(x))
            continue;
        cbm_agenda_keep(&x->trial, dearest);
        x->no_memory = !cbm_agenda_measure(&x->trial, &x->seen);
        take_trial(x);
        again = true;
    }
}

bool cbm_agenda_improve(cbm_agenda *s)
{
    const cbm_context *cx = s->b->cx;
    search x = { .now = s, .trial = *s };
    cbm_array *const arrays[] = { &x.trial.events, &x.trial.uses, &x.trial.values };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        *arrays[i] = (cbm_array){ .heap = arrays[i]->heap, .element = arrays[i]->element };
    x.no_memory = !cbm_agenda_measure(s, &x.m);
    double time = 0;
    for (size_t i = 0; i < s->events.count; i++)
        time += cbm_event_at(s, (int32_t)i)->cost;
    x.budget = time * cx->repeat_share;
    x.work = time * WORK_A_BYTE < MOST_WORK && cx->improve_from ? time * WORK_A_BYTE : MOST_WORK;
    while (x.m.peak >= cx->improve_from && !x.no_memory && (try_moves(&x) || try_repeats(&x)))
        ;
    x.work = MOST_WORK; /* what was begun in vain is undone in any case */
    drop_idle_repeats(&x);
    cbm_agenda_close(&x.trial);
    cbm_measure_free(s, &x.m);
    cbm_measure_free(s, &x.seen);
    return !x.no_memory;
}
