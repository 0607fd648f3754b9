/* peak.c: which temporaries are alive while a plan holds the most of them: the largest first, for people who look at a plan.
   Rests on report.c's description of the steps. */
#include "plan/report.h"
#include <stdlib.h>

static const cbm_lifetime *lifetime_at(const cbm_build *b, size_t i)
{
    return &CBM_AT(&b->lifetimes, cbm_lifetime, i);
}

static bool alive(const cbm_lifetime *l, int32_t step)
{
    return l->shares < 0 && !l->lent && l->first <= step && step <= l->last;
}

/* The step at which the most bytes are alive; *bytes: how many. */
static int32_t fullest(const cbm_build *b, uint64_t *bytes)
{
    int32_t found = 0;
    *bytes = 0;
    for (int32_t s = 0; s < (int32_t)b->plan->steps.count; s++) {
        uint64_t sum = 0;
        for (size_t i = 0; i < b->lifetimes.count; i++)
            sum += alive(lifetime_at(b, i), s) ? lifetime_at(b, i)->bytes : 0;
        found = sum > *bytes ? s : found;
        *bytes = sum > *bytes ? sum : *bytes;
    }
    return found;
}

/* Of buffers that took over one place in turn, the one that lies there at this step. */
static size_t holder(const cbm_build *b, size_t head, int32_t step)
{
    size_t found = head;
    for (size_t i = head + 1; i < b->lifetimes.count; i++)
        if (lifetime_at(b, i)->shares == (int32_t)head && lifetime_at(b, i)->first <= step)
            found = i;
    return found;
}

/* The operand by which step `first` made what lies at this offset of the arena; NULL: it is scratch. */
static const cbm_operand_info *maker_of(const cbm_build *b, const cbm_report *r, const cbm_lifetime *l)
{
    const cbm_step *step = &CBM_AT(&b->plan->steps, cbm_step, l->first);
    for (size_t k = step->n_in; k < step->n_in + step->n_out; k++)
        if (step->places[k].base == CBM_BASE_ARENA && step->places[k].offset == l->offset)
            return &r->steps[l->first].operands[k];
    return NULL;
}

static int larger_first(const void *a, const void *b)
{
    const cbm_live_info *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return (x->first > y->first) - (x->first < y->first);
}

bool cbm_report_peak(const cbm_build *b, cbm_report *r)
{
    uint64_t bytes;
    const int32_t step = fullest(b, &bytes);
    size_t count = 0;
    for (size_t i = 0; i < b->lifetimes.count; i++)
        count += alive(lifetime_at(b, i), step);
    r->live = cbm_plan_take(b->plan, count * sizeof *r->live);
    if (!r->live)
        return false;
    for (size_t i = 0; i < b->lifetimes.count; i++) {
        if (!alive(lifetime_at(b, i), step))
            continue;
        const cbm_lifetime *l = lifetime_at(b, holder(b, i, step));
        const cbm_operand_info *made = maker_of(b, r, l);
        r->live[r->n_live++] = (cbm_live_info){ .name = made ? made->name : "scratch",
                                                .layout = made ? made->layout : "",
                                                .bytes = lifetime_at(b, i)->bytes,
                                                .first = l->first,
                                                .last = lifetime_at(b, i)->last,
                                                .dtype = made ? made->dtype : CBM_U8,
                                                .shape = made ? made->shape : (cbm_shape){ { 1, (int64_t)l->bytes } } };
    }
    qsort(r->live, r->n_live, sizeof *r->live, larger_first);
    r->info.peak_step = (uint64_t)step;
    r->info.live_bytes = bytes;
    return true;
}
