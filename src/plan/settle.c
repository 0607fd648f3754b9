/* settle.c: from steps in the order in which they were built to the plan's: in the order that an agenda found, with steps that
   make again what was not kept, and with every temporary's lifetime and place. Rests on agenda.h and arena.c. */
#include "plan/agenda.h"
#include <string.h>

static const char made_again[] =
    "made again just before it is read: kept since it was first made, it would add to the peak";

/* ---- steps that make something again ---- */

/* The buffers of `of` that an event uses, with the memory that it uses. */
static bool take_buffers(cbm_build *b, const cbm_step *of, const cbm_event *e, cbm_step *step)
{
    step->n_in = (size_t)e->n_in;
    step->n_out = 1;
    step->buffers = cbm_plan_take(b->plan, (step->n_in + 1) * sizeof *step->buffers);
    step->places = cbm_plan_take(b->plan, (step->n_in + 1) * sizeof *step->places);
    if (!step->buffers || !step->places)
        return false;
    size_t n = 0;
    for (size_t j = 0; j < of->n_in; j++)
        if (e->inputs >> j & 1) {
            step->buffers[n] = of->buffers[j];
            step->places[n++] = of->places[j];
        }
    step->buffers[n] = of->buffers[of->n_in + (size_t)e->again];
    step->places[n] = of->places[of->n_in + (size_t)e->again];
    return true;
}

static bool repeat_pass(cbm_build *b, const cbm_step *of, const cbm_event *e, cbm_step *step)
{
    step->cells = of->cells;
    step->parameters = cbm_plan_take(b->plan, of->fused->n_parameters * sizeof *step->parameters);
    step->fused = cbm_pass_part(b->plan, of->fused, (size_t)e->again);
    size_t workspace; /* none: what makes sums is not repeated */
    return step->parameters && step->fused && cbm_prepare_pass(b, step, &workspace) == CBM_OK;
}

/* A kernel's state stays its first step's. */
static bool repeat_step(cbm_build *b, const cbm_step *of, const cbm_event *e, cbm_step *step)
{
    *step = (cbm_step){ .node = of->node,
                        .again = true,
                        .why = made_again,
                        .reorder = of->reorder,
                        .n_members = of->n_members,
                        .packs = -1 };
    if (!take_buffers(b, of, e, step))
        return false;
    step->kernel = of->kernel;
    if (of->fused)
        return repeat_pass(b, of, e, step);
    step->run = of->reorder ? of->run : of->kernel->again;
    step->attributes = of->attributes;
    step->after = of->after;
    step->sure = of->sure;
    step->workspace_bytes = of->reorder ? 0 : of->workspace_bytes;
    step->launch = of->launch;
    step->launch.in = step->buffers;
    step->launch.n_out = 1;
    step->launch.out = step->buffers + step->n_in;
    if (of->launch.bias)
        step->launch.bias = step->buffers + (of->launch.bias - of->buffers);
    if (of->launch.added)
        step->launch.added = step->buffers + (of->launch.added - of->buffers);
    return true;
}

/* ---- the order ---- */

/* A copy onto itself: what it copies dies there and leaves its place. */
static bool is_idle(const cbm_agenda *s, const cbm_measure *m, const cbm_event *e)
{
    const cbm_step *step = &CBM_AT(&s->b->plan->steps, cbm_step, e->step);
    return step->fused && step->why && m->shares[cbm_used(s, e->first + 1)] >= 0;
}

/* A value's number among the lifetimes; -1: it lies outside of the arena. */
static int32_t lifetime_of(const cbm_agenda *s, int32_t value)
{
    const int32_t built = (int32_t)s->built_lifetimes, outside = (int32_t)s->b->plan->bases;
    return value < built ? value : value < built + outside ? -1 : value - outside;
}

/* Roots by lifetime; what is made again gets lifetimes and roots of its own. */
static bool name_roots(const cbm_agenda *s, int32_t *roots)
{
    cbm_build *b = s->b;
    for (size_t r = 0; r < b->roots.count; r++)
        if (CBM_AT(&b->roots, cbm_root, r).base == CBM_BASE_ARENA)
            roots[CBM_AT(&b->roots, cbm_root, r).lifetime] = (int32_t)r;
    for (size_t v = s->built_lifetimes + b->plan->bases; v < s->values.count; v++) {
        const cbm_lifetime l = { .bytes = CBM_AT(&s->values, cbm_agenda_value, v).bytes };
        const cbm_root r = { .base = CBM_BASE_ARENA, .lifetime = (int32_t)b->lifetimes.count };
        roots[b->lifetimes.count] = (int32_t)b->roots.count;
        if (!cbm_array_push(&b->lifetimes, &l) || !cbm_array_push(&b->roots, &r))
            return false;
    }
    return true;
}

/* Appends the event's step to steps. */
static bool put_step(const cbm_agenda *s, const cbm_event *e, const int32_t *roots, cbm_array *steps,
                     cbm_array *workspaces)
{
    cbm_build *b = s->b;
    const cbm_step *of = &CBM_AT(&b->plan->steps, cbm_step, e->step);
    cbm_step step = *of;
    bool ok = e->again < 0 || repeat_step(b, of, e, &step);
    const int32_t operands = (int32_t)(step.n_in + step.n_out);
    for (int32_t k = 0; k < operands && ok; k++) {
        const int32_t lifetime = lifetime_of(s, cbm_used(s, e->first + k));
        step.places[k].base = lifetime < 0 ? step.places[k].base : roots[lifetime];
    }
    const int32_t scratch = e->count > operands ? lifetime_of(s, cbm_used(s, e->first + operands)) : -1;
    ok = ok && cbm_array_push(workspaces, &scratch) && cbm_array_push(steps, &step);
    if (!ok && e->again >= 0)
        cbm_step_release(b->plan, &step);
    return ok;
}

/* The events' steps in order. numbers: of each event its step, of an idle one the next. */
static bool put_steps(const cbm_agenda *s, const cbm_measure *m, const int32_t *roots, int32_t *numbers)
{
    cbm_build *b = s->b;
    cbm_plan *plan = b->plan;
    cbm_array steps = CBM_ARRAY(b->heap, cbm_step), workspaces = CBM_ARRAY(b->heap, int32_t);
    bool ok = true;
    for (int32_t p = 0; p < (int32_t)s->events.count && ok; p++) {
        numbers[p] = (int32_t)steps.count;
        if (!is_idle(s, m, cbm_event_at(s, p)))
            ok = put_step(s, cbm_event_at(s, p), roots, &steps, &workspaces);
    }
    for (size_t i = 0; i < steps.count && !ok; i++) /* the others are the plan's still */
        if (CBM_AT(&steps, cbm_step, i).again)
            cbm_step_release(plan, &CBM_AT(&steps, cbm_step, i));
    for (int32_t p = 0; p < (int32_t)s->events.count && ok; p++)
        if (is_idle(s, m, cbm_event_at(s, p)))
            cbm_step_release(plan, &CBM_AT(&plan->steps, cbm_step, cbm_event_at(s, p)->step));
    cbm_array_free(ok ? &plan->steps : &steps);
    cbm_array_free(ok ? &b->step_workspace : &workspaces);
    if (!ok)
        return false;
    plan->steps = steps;
    b->step_workspace = workspaces;
    return true;
}

/* ---- lifetimes ---- */

/* numbers NULL: events count as steps. */
static void set_lifetimes(const cbm_agenda *s, const cbm_measure *m, const int32_t *numbers, cbm_lifetime *lifetimes)
{
    for (int32_t v = 0; v < (int32_t)s->values.count; v++) {
        const int32_t i = lifetime_of(s, v);
        if (i < 0)
            continue;
        cbm_lifetime *l = &lifetimes[i];
        *l = (cbm_lifetime){ .shares = -1 };
        if (m->first[v] < 0)
            continue;
        l->bytes = CBM_AT(&s->values, cbm_agenda_value, v).bytes;
        l->first = numbers ? numbers[m->first[v]] : m->first[v];
        l->last = numbers ? numbers[m->last[v]] : m->last[v];
        l->shares = m->shares[v] < 0 ? -1 : lifetime_of(s, m->shares[v]);
    }
}

#define LEAST_LENT 4096 /* bytes */

/* The results that take memory of their own, until the steps that make them. numbers as above. */
static bool find_lenders(const cbm_agenda *s, const cbm_measure *m, const int32_t *numbers, cbm_array *lenders)
{
    const cbm_plan *plan = s->b->plan;
    for (size_t i = 0; i < plan->results.count; i++) {
        const cbm_result *r = &CBM_AT(&plan->results, cbm_result, i);
        cbm_lender lender = { .base = 1 + (int32_t)(plan->n_leaves + i), .bytes = r->bytes };
        const int32_t made = m->first[s->built_lifetimes + (size_t)lender.base];
        if (r->in_place >= 0 || r->bytes < LEAST_LENT || made < 0)
            continue;
        lender.until = numbers ? numbers[made] : made;
        if (!cbm_array_push(lenders, &lender))
            return false;
    }
    return true;
}

/* Where the temporaries lie. */
static bool lay_out(const cbm_agenda *s, const cbm_measure *m, const int32_t *numbers, cbm_lifetime *lifetimes,
                    size_t count, size_t *arena)
{
    cbm_heap *heap = s->b->heap;
    const bool reuse = !s->b->cx->naive;
    cbm_array lenders = CBM_ARRAY(heap, cbm_lender);
    set_lifetimes(s, m, numbers, lifetimes);
    const bool ok = (!reuse || (find_lenders(s, m, numbers, &lenders) &&
                                cbm_arena_lend(heap, lifetimes, count, lenders.data, lenders.count))) &&
                    cbm_arena_layout(heap, lifetimes, count, reuse, arena);
    cbm_array_free(&lenders);
    return ok;
}

/* The bytes of the arena that an agenda comes to. */
static bool arena_of(const cbm_agenda *s, cbm_measure *m, size_t *bytes)
{
    cbm_heap *heap = s->b->heap;
    const size_t count = s->values.count - s->b->plan->bases;
    cbm_lifetime *l = cbm_heap_take(heap, (count + 1) * sizeof *l);
    const bool ok = l && cbm_agenda_measure(s, m) && lay_out(s, m, NULL, l, count, bytes);
    cbm_heap_give(heap, l, (count + 1) * sizeof *l);
    return ok;
}

/* The better of two agendas by the arena that they come to: improved, where that is not larger. */
static bool choose(cbm_agenda *s, cbm_measure *m)
{
    cbm_agenda improved = { .events = CBM_ARRAY(s->b->heap, cbm_event),
                            .uses = CBM_ARRAY(s->b->heap, cbm_use),
                            .values = CBM_ARRAY(s->b->heap, cbm_agenda_value) };
    size_t before, after;
    const bool ok = cbm_agenda_copy(&improved, s) && cbm_agenda_improve(&improved) && arena_of(s, m, &before) &&
                    arena_of(&improved, m, &after);
    if (ok && after < before) {
        const cbm_agenda old = *s;
        *s = improved;
        improved = old;
    }
    cbm_agenda_close(&improved);
    return ok;
}

bool cbm_settle_memory(cbm_build *b)
{
    cbm_agenda s;
    cbm_measure m = { .first = NULL };
    bool ok = cbm_agenda_open(&s, b) && (b->cx->naive || choose(&s, &m)) && cbm_agenda_measure(&s, &m);
    const size_t events = s.events.count + 1, lifetimes = s.values.count + 1;
    int32_t *roots = cbm_heap_take(b->heap, lifetimes * sizeof *roots);
    int32_t *numbers = cbm_heap_take(b->heap, events * sizeof *numbers);
    ok = ok && roots && numbers && name_roots(&s, roots) && put_steps(&s, &m, roots, numbers) &&
         lay_out(&s, &m, numbers, b->lifetimes.data, b->lifetimes.count, &b->plan->arena);
    cbm_heap_give(b->heap, roots, lifetimes * sizeof *roots);
    cbm_heap_give(b->heap, numbers, events * sizeof *numbers);
    cbm_measure_free(&s, &m);
    cbm_agenda_close(&s);
    return ok;
}
