/* agenda.c: the steps of a plan as events that read and write memory; how much is in use at each of them, with results made
   where their operands lay if those die there; moving events, and repeating some instead of keeping what they made. Rests on
   agenda.h. */
#include "plan/agenda.h"
#include <string.h>

static const cbm_step *step_at(const cbm_agenda *s, int32_t i)
{
    return &CBM_AT(&s->b->plan->steps, cbm_step, i);
}

static const cbm_step *step_of(const cbm_agenda *s, int32_t event)
{
    return step_at(s, cbm_event_at(s, event)->step);
}

static cbm_agenda_value *value_at(const cbm_agenda *s, int32_t i)
{
    return &CBM_AT(&s->values, cbm_agenda_value, i);
}

/* ---- from steps ---- */

static int32_t value_of_root(const cbm_agenda *s, int32_t root)
{
    const cbm_root *r = &CBM_AT(&s->b->roots, cbm_root, root);
    const int32_t lifetimes = (int32_t)s->b->lifetimes.count;
    if (r->base == CBM_BASE_ARENA)
        return r->lifetime;
    return lifetimes + (r->base == CBM_ROOT_KEPT ? CBM_BASE_KEPT(s->b->plan) : r->base);
}

static bool push_use(cbm_agenda *s, int32_t value, bool write)
{
    const cbm_use use = 2 * value + write;
    return cbm_array_push(&s->uses, &use) != NULL;
}

static bool add_step(cbm_agenda *s, int32_t number)
{
    const cbm_step *step = step_at(s, number);
    cbm_event e = { .step = number,
                    .again = -1,
                    .first = (int32_t)s->uses.count,
                    .n_in = (int32_t)step->n_in,
                    .cost = cbm_step_time(step) };
    for (size_t k = 0; k < step->n_in + step->n_out; k++) {
        const int32_t value = value_of_root(s, step->places[k].base);
        const bool write = k >= step->n_in;
        if (!push_use(s, value, write))
            return false;
        value_at(s, value)->writers += write;
    }
    const int32_t scratch = CBM_AT(&s->b->step_workspace, int32_t, number);
    if (scratch >= 0 && !push_use(s, scratch, true))
        return false;
    e.count = (int32_t)s->uses.count - e.first;
    return cbm_array_push(&s->events, &e) != NULL;
}

bool cbm_agenda_open(cbm_agenda *s, cbm_build *b)
{
    *s = (cbm_agenda){ .b = b,
                       .built_lifetimes = b->lifetimes.count,
                       .events = CBM_ARRAY(b->heap, cbm_event),
                       .uses = CBM_ARRAY(b->heap, cbm_use),
                       .values = CBM_ARRAY(b->heap, cbm_agenda_value) };
    const size_t values = b->lifetimes.count + b->plan->bases;
    bool ok = true;
    for (size_t i = 0; i < values && ok; i++) {
        const cbm_agenda_value v = { .bytes = i < b->lifetimes.count ? CBM_AT(&b->lifetimes, cbm_lifetime, i).bytes : 0,
                                     .of = (int32_t)i };
        ok = cbm_array_push(&s->values, &v) != NULL;
    }
    for (int32_t i = 0; i < (int32_t)b->plan->steps.count && ok; i++)
        ok = add_step(s, i);
    return ok;
}

void cbm_agenda_close(cbm_agenda *s)
{
    cbm_array_free(&s->events);
    cbm_array_free(&s->uses);
    cbm_array_free(&s->values);
}

static bool copy_array(cbm_array *to, const cbm_array *from)
{
    to->count = 0;
    return cbm_array_append(to, from->data, from->count);
}

bool cbm_agenda_copy(cbm_agenda *to, const cbm_agenda *from)
{
    to->b = from->b;
    to->built_lifetimes = from->built_lifetimes;
    return copy_array(&to->events, &from->events) && copy_array(&to->uses, &from->uses) &&
           copy_array(&to->values, &from->values);
}

/* ---- measuring ---- */

/* The operand of a buffer that fills its memory. */
static bool fills(const cbm_step *step, size_t k, size_t bytes)
{
    const cbm_buffer *w = &step->buffers[k];
    return w->contiguous && !step->places[k].offset && (size_t)w->count * cbm_dtype_size(w->dtype) == bytes;
}

/* Whether a step can make result number k where its operand j lies. */
static bool can_lie(const cbm_step *step, size_t k, size_t j, size_t bytes)
{
    const cbm_buffer *in = &step->buffers[j], *out = &step->buffers[step->n_in + k];
    if (in->dtype != out->dtype || in->layout != out->layout || !fills(step, j, bytes) ||
        !fills(step, step->n_in + k, bytes))
        return false;
    return step->fused || (step->kernel && k == 0 && j < 32 && (step->kernel->over >> j & 1));
}

/* Where an event's uses name operand j of its step; -1: it does not read it. */
static int32_t use_of_operand(const cbm_event *e, size_t j)
{
    if (e->again < 0)
        return e->first + (int32_t)j;
    int32_t at = e->first;
    for (size_t i = 0; i < j; i++)
        at += (int32_t)(e->inputs >> i & 1);
    return e->inputs >> j & 1 ? at : -1;
}

static bool used_once(const cbm_agenda *s, const cbm_event *e, int32_t value)
{
    int times = 0;
    for (int32_t u = e->first; u < e->first + e->count; u++)
        times += cbm_used(s, u) == value;
    return times == 1;
}

/* The value of event p that result `out` can take the place of; -1: none. */
static int32_t dying(const cbm_agenda *s, const cbm_measure *m, int32_t p, size_t k, int32_t out)
{
    const cbm_event *e = cbm_event_at(s, p);
    const cbm_step *step = step_at(s, e->step);
    const size_t bytes = value_at(s, out)->bytes;
    for (size_t j = 0; j < step->n_in; j++) {
        const int32_t use = use_of_operand(e, j), in = use < 0 ? -1 : cbm_used(s, use);
        if (in < 0 || value_at(s, in)->bytes != bytes || m->last[in] != p || m->first[in] >= p ||
            !can_lie(step, k, j, bytes) || !used_once(s, e, in))
            continue;
        bool taken = false;
        for (int32_t u = e->first + e->n_in; u < e->first + e->count; u++)
            taken = taken || m->shares[cbm_used(s, u)] == in;
        if (!taken)
            return in;
    }
    return -1;
}

static void share_places(const cbm_agenda *s, cbm_measure *m)
{
    for (int32_t p = 0; p < (int32_t)s->events.count; p++) {
        const cbm_event *e = cbm_event_at(s, p);
        const cbm_step *step = step_at(s, e->step);
        if (!step->fused && !(step->kernel && step->kernel->over))
            continue;
        const size_t results = e->again < 0 ? step->n_out : 1;
        for (size_t k = 0; k < results; k++) {
            const int32_t out = cbm_used(s, e->first + e->n_in + (int32_t)k);
            if (!value_at(s, out)->bytes || m->first[out] != p || m->shares[out] >= 0)
                continue;
            m->shares[out] = dying(s, m, p, e->again < 0 ? k : (size_t)e->again, out);
        }
    }
}

static size_t aligned(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static bool make_room(const cbm_agenda *s, cbm_measure *m)
{
    cbm_heap *heap = s->b->heap;
    if (s->values.count > m->n_values || s->events.count > m->n_events) {
        cbm_measure_free((cbm_agenda *)(uintptr_t)s, m);
        m->n_values = 2 * s->values.count + 8;
        m->n_events = 2 * s->events.count + 8;
        m->first = cbm_heap_take(heap, 3 * m->n_values * sizeof *m->first);
        m->live = cbm_heap_take(heap, m->n_events * sizeof *m->live);
        m->last = m->first + m->n_values;
        m->shares = m->last + m->n_values;
    }
    return m->first && m->live;
}

void cbm_measure_free(cbm_agenda *s, cbm_measure *m)
{
    cbm_heap_give(s->b->heap, m->first, 3 * m->n_values * sizeof *m->first);
    cbm_heap_give(s->b->heap, m->live, m->n_events * sizeof *m->live);
    *m = (cbm_measure){ .first = NULL };
}

bool cbm_agenda_measure(const cbm_agenda *s, cbm_measure *m)
{
    const int32_t events = (int32_t)s->events.count, values = (int32_t)s->values.count;
    if (!make_room(s, m))
        return false;
    for (int32_t v = 0; v < values; v++)
        m->first[v] = m->last[v] = m->shares[v] = -1;
    for (int32_t p = 0; p < events; p++) {
        const cbm_event *e = cbm_event_at(s, p);
        m->live[p] = 0;
        for (int32_t u = e->first; u < e->first + e->count; u++) {
            const int32_t v = cbm_used(s, u);
            m->first[v] = m->first[v] < 0 ? p : m->first[v];
            m->last[v] = p;
        }
    }
    if (!s->b->cx->naive)
        share_places(s, m);
    /* As differences first: what is added when a value is made goes away after its last use. */
    for (int32_t v = 0; v < values; v++) {
        const size_t bytes = aligned(value_at(s, v)->bytes);
        if (m->first[v] < 0 || !bytes)
            continue;
        m->live[m->first[v]] += bytes;
        if (m->last[v] + 1 < events)
            m->live[m->last[v] + 1] -= bytes;
        if (m->shares[v] < 0)
            continue;
        m->live[m->first[v]] -= bytes;
        if (m->first[v] + 1 < events)
            m->live[m->first[v] + 1] += bytes;
    }
    m->peak = 0;
    m->at = m->times = 0;
    for (int32_t p = 0; p < events; p++) {
        m->live[p] += p > 0 ? m->live[p - 1] : 0;
        m->times = m->live[p] == m->peak ? m->times + 1 : m->times;
        if (m->live[p] <= m->peak)
            continue;
        m->peak = m->live[p];
        m->at = p;
        m->times = 1;
    }
    return true;
}

/* ---- moving ---- */

/* What keeps its place among its like: steps whose errors are reported in order, users' kernels, and what inference keeps. */
static bool is_pinned(const cbm_step *step)
{
    return step->checks || step->constant || (step->run && !step->kernel && !step->reorder);
}

static bool may_fail(const cbm_step *step)
{
    return !step->fused && !step->reorder && !step->sure;
}

/* Events that move together: what they use and how, by value. */
typedef struct group {
    uint8_t *uses;
    bool pinned;
} group;
enum { READ = 1, WRITTEN = 2 };

static void join(const cbm_agenda *s, group *g, int32_t event)
{
    const cbm_event *e = cbm_event_at(s, event);
    for (int32_t u = e->first; u < e->first + e->count; u++)
        g->uses[cbm_used(s, u)] |= cbm_writes(s, u) ? WRITTEN : READ;
    g->pinned = g->pinned || is_pinned(step_of(s, event));
}

/* Whether the event and one of the group may not change places: both write, or one reads what the other writes. */
static bool conflicts(const cbm_agenda *s, const group *g, int32_t event)
{
    const cbm_event *e = cbm_event_at(s, event);
    bool found = g->pinned && is_pinned(step_of(s, event));
    for (int32_t u = e->first; u < e->first + e->count && !found; u++) {
        const uint8_t others = g->uses[cbm_used(s, u)];
        found = (others & WRITTEN) || (others && cbm_writes(s, u));
    }
    return found;
}

bool cbm_agenda_is_sound(const cbm_agenda *s)
{
    bool committing = false;
    for (int32_t p = 0; p < (int32_t)s->events.count; p++) {
        committing = committing || step_of(s, p)->commit;
        if (committing && may_fail(step_of(s, p)))
            return false;
    }
    return true;
}

/* Events [low, high) in a new order: those marked first or last, otherwise as they were. */
static bool part(cbm_agenda *s, int32_t low, int32_t high, const uint8_t *marks, bool marked_first)
{
    const size_t count = (size_t)(high - low);
    cbm_event *old = cbm_heap_take(s->b->heap, count * sizeof *old);
    if (!old)
        return false;
    memcpy(old, cbm_event_at(s, low), count * sizeof *old);
    for (int half = 0; half < 2; half++)
        for (size_t i = 0; i < count; i++)
            if ((marks[i] != 0) == (marked_first == (half == 0)))
                *cbm_event_at(s, low++) = old[i];
    cbm_heap_give(s->b->heap, old, count * sizeof *old);
    return true;
}

/* Marks event `from` and those on the way to `to` that have to move with it; returns how many, or 0: `to` is one of them, or
   there is no memory. */
static int32_t mark_group(const cbm_agenda *s, int32_t from, int32_t to, uint8_t *marks)
{
    const int32_t step = from < to ? 1 : -1, low = from < to ? from : to;
    group g = { .uses = cbm_heap_take_zero(s->b->heap, s->values.count + 1) };
    int32_t marked = g.uses ? 1 : 0;
    if (g.uses) {
        marks[from - low] = 1;
        join(s, &g, from);
    }
    for (int32_t e = from + step; g.uses && marked && e != to + step; e += step) {
        if (!conflicts(s, &g, e))
            continue;
        marks[e - low] = 1;
        join(s, &g, e);
        marked = e == to ? 0 : marked + 1;
    }
    cbm_heap_give(s->b->heap, g.uses, s->values.count + 1);
    return marked;
}

int32_t cbm_agenda_hasten(cbm_agenda *s, int32_t from, int32_t to)
{
    const size_t count = (size_t)(from - to) + 1;
    uint8_t *marks = cbm_heap_take_zero(s->b->heap, count);
    const int32_t moved = marks && from > to ? mark_group(s, from, to, marks) : 0;
    const bool ok = moved && part(s, to, from + 1, marks, true);
    cbm_heap_give(s->b->heap, marks, count);
    return ok ? moved : 0;
}

bool cbm_agenda_delay(cbm_agenda *s, int32_t from, int32_t to)
{
    const size_t count = (size_t)(to - from) + 1;
    uint8_t *marks = count > 1 ? cbm_heap_take_zero(s->b->heap, count) : NULL;
    const bool ok = marks && mark_group(s, from, to, marks) && part(s, from, to + 1, marks, false);
    cbm_heap_give(s->b->heap, marks, count);
    return ok;
}

/* ---- repeating ---- */

bool cbm_agenda_can_repeat(const cbm_agenda *s, int32_t event, int32_t value, cbm_event *again)
{
    const cbm_event *e = cbm_event_at(s, event);
    const cbm_step *step = step_at(s, e->step);
    const bool kernel = step->kernel && step->kernel->again;
    if (step->commit || step->constant || step->checks || step->n_in > 63 ||
        (!step->fused && !step->reorder && !kernel) || value_at(s, value)->writers != 1)
        return false;
    *again = (cbm_event){ .step = e->step, .again = e->again };
    for (size_t k = 0; e->again < 0 && k < step->n_out; k++)
        if (cbm_used(s, e->first + e->n_in + (int32_t)k) == value)
            again->again = (int32_t)k;
    if (again->again < 0 || (kernel && again->again != 0) || (step->fused && step->workspace_bytes)) /* makes sums */
        return false;
    again->inputs = step->fused ? cbm_pass_needs(step->fused, (size_t)again->again) : ((uint64_t)1 << step->n_in) - 1;
    again->cost = cbm_distinct_bytes(&step->buffers[step->n_in + (size_t)again->again]);
    for (size_t j = 0; j < step->n_in; j++)
        if (again->inputs >> j & 1) {
            again->n_in++;
            again->cost += cbm_distinct_bytes(&step->buffers[j]);
        }
    return true;
}

/* Whether a value is still what it was at event `then` when event `now` comes. */
static bool unchanged(const cbm_agenda *s, int32_t value, int32_t then, int32_t now)
{
    for (int32_t p = then; p < now; p++) {
        const cbm_event *e = cbm_event_at(s, p);
        for (int32_t u = e->first; u < e->first + e->count; u++)
            if (cbm_used(s, u) == value && cbm_writes(s, u))
                return false;
    }
    return true;
}

int32_t cbm_agenda_newest(const cbm_agenda *s, int32_t value, int32_t before)
{
    for (int32_t p = before; p-- > 0;) {
        const cbm_event *e = cbm_event_at(s, p);
        const int32_t made = e->again < 0 ? -1 : cbm_used(s, e->first + e->n_in);
        if (made >= 0 && value_at(s, made)->of == value_at(s, value)->of)
            return made;
    }
    return value_at(s, value)->of;
}

bool cbm_agenda_repeat(cbm_agenda *s, const cbm_event *again, int32_t maker, int32_t value, int32_t before)
{
    const cbm_agenda_value made = { .bytes = value_at(s, value)->bytes, .of = value_at(s, value)->of, .writers = 1 };
    const int32_t new = (int32_t)s->values.count;
    const cbm_step *step = step_at(s, again->step);
    cbm_event e = *again;
    e.first = (int32_t)s->uses.count;
    for (size_t j = 0; j < step->n_in; j++) {
        if (!(again->inputs >> j & 1))
            continue;
        const int32_t in = cbm_used(s, use_of_operand(cbm_event_at(s, maker), j));
        if (!unchanged(s, in, maker, before) || !push_use(s, cbm_agenda_newest(s, in, before), false))
            return false;
    }
    if (!push_use(s, new, true) || !cbm_array_push(&s->values, &made))
        return false;
    const int32_t scratch = CBM_AT(&s->b->step_workspace, int32_t, again->step); /* what the kernel has left there */
    if (scratch >= 0 && !push_use(s, scratch, false))
        return false;
    e.count = (int32_t)s->uses.count - e.first;
    for (int32_t p = before; p < (int32_t)s->events.count; p++) {
        const cbm_event *reader = cbm_event_at(s, p);
        for (int32_t u = reader->first; u < reader->first + reader->count; u++)
            if (cbm_used(s, u) == value)
                CBM_AT(&s->uses, cbm_use, u) = 2 * new + cbm_writes(s, u);
    }
    if (!cbm_array_push(&s->events, &e))
        return false;
    memmove(cbm_event_at(s, before + 1), cbm_event_at(s, before),
            (s->events.count - 1 - (size_t)before) * sizeof(cbm_event));
    *cbm_event_at(s, before) = e;
    return true;
}

void cbm_agenda_keep(cbm_agenda *s, int32_t event)
{
    const cbm_event gone = *cbm_event_at(s, event);
    const int32_t made = cbm_used(s, gone.first + gone.n_in);
    const int32_t kept = cbm_agenda_newest(s, made, event);
    for (size_t u = 0; u < s->uses.count; u++)
        if (cbm_used(s, (int32_t)u) == made)
            CBM_AT(&s->uses, cbm_use, u) = 2 * kept + cbm_writes(s, (int32_t)u);
    memmove(cbm_event_at(s, event), cbm_event_at(s, event + 1),
            (s->events.count - 1 - (size_t)event) * sizeof(cbm_event));
    s->events.count--;
}
