/* lend.c: temporaries in memory that belongs to results which are made later in the plan. Rests on arena.c. */
#include "plan/plan.h"

static bool in_arena(const cbm_lifetime *l)
{
    return l->shares < 0 && !l->lent && l->bytes;
}

/* The step with the most bytes in the arena. live: scratch, of `steps`. */
static int32_t fullest(const cbm_lifetime *l, size_t count, size_t *live, int32_t steps)
{
    for (int32_t s = 0; s < steps; s++)
        live[s] = 0;
    for (size_t i = 0; i < count; i++)
        for (int32_t s = l[i].first; in_arena(&l[i]) && s <= l[i].last; s++)
            live[s] += l[i].bytes;
    int32_t found = 0;
    for (int32_t s = 0; s < steps; s++)
        found = live[s] > live[found] ? s : found;
    return found;
}

static bool fits(const cbm_lifetime *l, size_t count, const cbm_lifetime *a, const cbm_lender *lender)
{
    bool free = a->bytes <= lender->bytes && a->last < lender->until;
    for (size_t i = 0; i < count && free; i++)
        free = l[i].shares >= 0 || l[i].lent != lender->base || !cbm_at_one_time(&l[i], a);
    return free;
}

/* Of those at this step that fit into the lender's memory the largest, and of these the one that is there longest; -1: none. */
static int32_t borrower(const cbm_lifetime *l, size_t count, int32_t step, const cbm_lender *lender)
{
    int32_t found = -1;
    for (size_t i = 0; i < count; i++) {
        const cbm_lifetime *a = &l[i], *best = found < 0 ? NULL : &l[found];
        if (!in_arena(a) || a->first > step || a->last < step || !fits(l, count, a, lender))
            continue;
        if (!best || a->bytes > best->bytes ||
            (a->bytes == best->bytes && a->last - a->first > best->last - best->first))
            found = (int32_t)i;
    }
    return found;
}

bool cbm_arena_lend(cbm_heap *heap, cbm_lifetime *l, size_t count, const cbm_lender *lenders, size_t n)
{
    int32_t steps = 1;
    for (size_t i = 0; i < count; i++)
        steps = l[i].last + 1 > steps ? l[i].last + 1 : steps;
    size_t *live = n && count ? cbm_heap_take(heap, (size_t)steps * sizeof *live) : NULL;
    if (!live)
        return !n || !count;
    cbm_arena_join(l, count);
    for (bool again = true; again;) {
        const int32_t step = fullest(l, count, live, steps);
        int32_t best = -1;
        const cbm_lender *from = NULL;
        for (size_t k = 0; k < n; k++) {
            const int32_t i = lenders[k].until > step ? borrower(l, count, step, &lenders[k]) : -1;
            if (i >= 0 && (best < 0 || l[i].bytes > l[best].bytes)) {
                best = i;
                from = &lenders[k];
            }
        }
        again = best >= 0;
        if (again)
            l[best].lent = from->base;
    }
    cbm_heap_give(heap, live, (size_t)steps * sizeof *live);
    return true;
}
