/* fuse.c: which pointwise operations run as one pass over memory. Operations of one shape that feed each other (or read the
   same operand) share a pass. Each node has a level, the number of passes and kernels that must run before it: within one
   level no path can leave a pass and come back, so any grouping inside a level is legal. Rests on collect.c's graph. */
#include "plan/plan.h"
#include "op/families.h"
#include <string.h>

#define MAX_MEMBERS 96  /* operations in a pass */
#define MAX_OPERANDS 56 /* an upper bound on what they read from outside */

bool cbm_is_pointwise(const cbm_node *n)
{
    return n->op->expression != NULL;
}

bool cbm_is_inline_scalar(const cbm_node *n)
{
    return n->op == &cbm_op_scalar || n->op == &cbm_op_full;
}

typedef struct member {
    int32_t level;
    int32_t parent; /* union-find */
    int32_t members, operands; /* at the root */
} member;

static int32_t root_of(member *m, int32_t i)
{
    while (m[i].parent != i)
        i = m[i].parent = m[m[i].parent].parent;
    return i;
}

static bool unite(member *m, int32_t a, int32_t b)
{
    a = root_of(m, a);
    b = root_of(m, b);
    if (a == b)
        return true;
    if (m[a].members + m[b].members > MAX_MEMBERS || m[a].operands + m[b].operands > MAX_OPERANDS)
        return false;
    if (a > b) {
        int32_t t = a;
        a = b;
        b = t;
    }
    m[b].parent = a;
    m[a].members += m[b].members;
    m[a].operands += m[b].operands;
    return true;
}

static bool same_pass(const cbm_node *a, const cbm_node *b)
{
    return cbm_is_pointwise(a) && !cbm_is_inline_scalar(a) && cbm_shape_equal(&a->out[0].shape, &b->out[0].shape);
}

/* Whether n can join all of its producers at this level without a pass growing too large. */
static bool fits(const cbm_collected *g, member *m, const cbm_node *n, int32_t i, int32_t level)
{
    int32_t members = 1, operands = n->n_in, seen[CBM_MAX_INPUTS];
    size_t n_seen = 0;
    for (size_t k = 0; k < n->n_in; k++) {
        cbm_ref ref = cbm_ref_input(n, k);
        if (ref < 0)
            continue;
        int32_t p = ref / CBM_MAX_OUTPUTS;
        if (p == i || !same_pass(CBM_AT(&g->nodes, cbm_node *, p), n) || m[p].level != level)
            continue;
        int32_t r = root_of(m, p);
        bool again = false;
        for (size_t s = 0; s < n_seen; s++)
            again = again || seen[s] == r;
        if (again)
            continue;
        seen[n_seen++] = r;
        members += m[r].members;
        operands += m[r].operands;
    }
    return members <= MAX_MEMBERS && operands <= MAX_OPERANDS;
}

static int32_t level_of(const cbm_collected *g, member *m, const cbm_node *n, bool naive)
{
    int32_t level = 0;
    for (size_t k = 0; k < n->n_in; k++) {
        cbm_ref ref = cbm_ref_input(n, k);
        if (ref < 0)
            continue;
        int32_t p = ref / CBM_MAX_OUTPUTS;
        const cbm_node *producer = CBM_AT(&g->nodes, cbm_node *, p);
        if (cbm_is_inline_scalar(producer))
            continue;
        bool joins = !naive && cbm_is_pointwise(n) && !cbm_is_inline_scalar(n) && same_pass(producer, n);
        int32_t after = m[p].level + (joins ? 0 : 1);
        level = after > level ? after : level;
    }
    return level;
}

/* Passes of one level that read the same operand become one: it is read once. */
static bool unite_readers(const cbm_collected *g, member *m)
{
    int32_t *last = cbm_heap_take(g->cx->heap, (g->leaves.count + 1) * sizeof *last);
    if (!last)
        return false;
    for (size_t i = 0; i < g->leaves.count; i++)
        last[i] = -1;
    for (size_t i = 0; i < g->nodes.count; i++) {
        const cbm_node *n = CBM_AT(&g->nodes, cbm_node *, i);
        if (!cbm_is_pointwise(n) || cbm_is_inline_scalar(n))
            continue;
        for (size_t k = 0; k < n->n_in; k++) {
            cbm_ref ref = cbm_ref_input(n, k);
            if (ref >= 0 || n->in[k]->count == 1)
                continue;
            int32_t *reader = &last[-1 - ref];
            const cbm_node *other = *reader >= 0 ? CBM_AT(&g->nodes, cbm_node *, *reader) : NULL;
            if (other && m[*reader].level == m[i].level && same_pass(other, n))
                unite(m, *reader, (int32_t)i);
            *reader = (int32_t)i;
        }
    }
    cbm_heap_give(g->cx->heap, last, (g->leaves.count + 1) * sizeof *last);
    return true;
}

int32_t cbm_fuse(const cbm_collected *g, int32_t *groups)
{
    size_t count = g->nodes.count;
    member *m = cbm_heap_take_zero(g->cx->heap, (count + 1) * sizeof *m);
    int32_t *numbers = cbm_heap_take(g->cx->heap, (count + 1) * sizeof *numbers);
    int32_t n_groups = -1;
    if (!m || !numbers)
        goto done;
    bool naive = g->cx->naive;
    for (size_t i = 0; i < count; i++) {
        const cbm_node *n = CBM_AT(&g->nodes, cbm_node *, i);
        m[i] = (member){ .parent = (int32_t)i, .members = 1, .operands = n->n_in };
        m[i].level = level_of(g, m, n, naive);
        if (naive || !cbm_is_pointwise(n) || cbm_is_inline_scalar(n))
            continue;
        if (!fits(g, m, n, (int32_t)i, m[i].level)) {
            m[i].level++; /* begins a new pass after those of its operands */
            continue;
        }
        for (size_t k = 0; k < n->n_in; k++) {
            cbm_ref ref = cbm_ref_input(n, k);
            int32_t p = ref < 0 ? -1 : ref / CBM_MAX_OUTPUTS;
            if (p >= 0 && same_pass(CBM_AT(&g->nodes, cbm_node *, p), n) && m[p].level == m[i].level)
                unite(m, p, (int32_t)i);
        }
    }
    if (!naive && !unite_readers(g, m))
        goto done;
    n_groups = 0;
    for (size_t i = 0; i < count; i++) {
        int32_t r = root_of(m, (int32_t)i);
        if (r == (int32_t)i)
            numbers[i] = cbm_is_pointwise(CBM_AT(&g->nodes, cbm_node *, i)) ? n_groups++ : -1;
        groups[i] = numbers[r];
    }
done:
    cbm_heap_give(g->cx->heap, m, (count + 1) * sizeof *m);
    cbm_heap_give(g->cx->heap, numbers, (count + 1) * sizeof *numbers);
    return n_groups;
}
