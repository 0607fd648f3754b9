/* lend.c: temporaries in memory that belongs to results which are made later in the plan. Rests on arena.c. */
#include "plan/plan.h"
#include <stdlib.h>

enum {
    LENDERS = 32, /* that are asked each time, the largest first: large plans have thousands */
    LOANS = 512   /* at most */
};

static bool in_arena(const cbm_lifetime *l)
{
    return l->shares < 0 && !l->lent && l->bytes;
}

/* The step with the most bytes in the arena. live: scratch, of `steps` + 1. */
static int32_t fullest(const cbm_lifetime *l, size_t count, int64_t *live, int32_t steps)
{
    for (int32_t s = 0; s <= steps; s++)
        live[s] = 0;
    for (size_t i = 0; i < count; i++)
        if (in_arena(&l[i])) {
            live[l[i].first] += (int64_t)l[i].bytes;
            live[l[i].last + 1] -= (int64_t)l[i].bytes;
        }
    int32_t found = 0;
    int64_t most = live[0];
    for (int32_t s = 1; s < steps; s++) {
        live[s] += live[s - 1];
        if (live[s] > most) {
            most = live[s];
            found = s;
        }
    }
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
        if (!in_arena(a) || a->first > step || a->last < step || a->bytes > lender->bytes ||
            (best &&
             (a->bytes < best->bytes || (a->bytes == best->bytes && a->last - a->first <= best->last - best->first))) ||
            !fits(l, count, a, lender))
            continue;
        found = (int32_t)i;
    }
    return found;
}

static int by_bytes(const void *a, const void *b)
{
    const cbm_lender *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->base - y->base;
}

bool cbm_arena_lend(cbm_heap *heap, cbm_lifetime *l, size_t count, cbm_lender *lenders, size_t n)
{
    int32_t steps = 1;
    for (size_t i = 0; i < count; i++)
        steps = l[i].last + 1 > steps ? l[i].last + 1 : steps;
    const size_t scratch = ((size_t)steps + 1) * sizeof(int64_t);
    int64_t *live = n && count ? cbm_heap_take(heap, scratch) : NULL;
    if (!live)
        return !n || !count;
    cbm_arena_join(l, count);
    qsort(lenders, n, sizeof *lenders, by_bytes);
    bool again = true;
    for (int loan = 0; loan < LOANS && again; loan++) {
        const int32_t step = fullest(l, count, live, steps);
        int32_t best = -1;
        const cbm_lender *from = NULL;
        int asked = 0;
        for (size_t k = 0; k < n && asked < LENDERS; k++) {
            if (lenders[k].until <= step || (best >= 0 && lenders[k].bytes <= l[best].bytes))
                continue;
            asked++;
            const int32_t i = borrower(l, count, step, &lenders[k]);
            if (i >= 0 && (best < 0 || l[i].bytes > l[best].bytes)) {
                best = i;
                from = &lenders[k];
            }
        }
        again = best >= 0;
        if (again)
            l[best].lent = from->base;
    }
    cbm_heap_give(heap, live, scratch);
    return true;
}
