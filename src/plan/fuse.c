/* fuse.c: which pointwise operations run as one pass over memory. Operations of one shape that feed each other (or read the
   same operand) share a pass. Each node has a level, the number of passes and kernels that must run before it: within one
   level no path can leave a pass and come back, so any grouping inside a level is legal. Levels are first as early as
   possible, then pointwise operations move as late as their consumers allow: a mask that only backward reads joins
   backward's pass instead of being stored. Rests on collect.c's graph. */
#include "plan/plan.h"
#include "op/families.h"
#include <string.h>

#define MAX_MEMBERS 96   /* operations in a pass */
#define OVERWRITTEN -2   /* of an operand: instead of its last reader */
#define MAX_OPERANDS 56  /* an upper bound on what they read from outside */
#define MAX_LETTERS 1000 /* of their expressions: an upper bound on instructions, of which backends take 1024 */

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
    int32_t parent;  /* union-find */
    int32_t latest;  /* the level that its consumers allow */
    int32_t members; /* at the root: in the pass being filled, with operands and its number */
    int32_t operands, letters, pass;
} member;

static int32_t root_of(member *m, int32_t i)
{
    while (m[i].parent != i)
        i = m[i].parent = m[m[i].parent].parent;
    return i;
}

static void unite(member *m, int32_t a, int32_t b)
{
    a = root_of(m, a);
    b = root_of(m, b);
    m[a > b ? a : b].parent = a > b ? b : a;
}

static const cbm_node *node_at(const cbm_collected *g, size_t i)
{
    return CBM_AT(&g->nodes, cbm_node *, i);
}

static bool joins_passes(const cbm_node *n)
{
    return cbm_is_pointwise(n) && !cbm_is_inline_scalar(n);
}

static bool same_pass(const cbm_node *a, const cbm_node *b)
{
    return joins_passes(a) && joins_passes(b) && cbm_shape_equal(&a->out[0].shape, &b->out[0].shape);
}

/* The node that makes operand k, or -1: a leaf, or a number that every pass reads itself. */
static int32_t producer_of(const cbm_collected *g, const cbm_node *n, size_t k)
{
    cbm_ref ref = cbm_ref_input(n, k);
    int32_t p = ref < 0 ? -1 : ref / CBM_MAX_OUTPUTS;
    return p >= 0 && cbm_is_inline_scalar(node_at(g, (size_t)p)) ? -1 : p;
}

static void set_levels(const cbm_collected *g, member *m)
{
    for (size_t i = 0; i < g->nodes.count; i++) {
        const cbm_node *n = node_at(g, i);
        m[i] = (member){ .parent = (int32_t)i, .latest = INT32_MAX };
        for (size_t k = 0; k < n->n_in; k++) {
            int32_t p = producer_of(g, n, k);
            if (p < 0)
                continue;
            int32_t after = m[p].level + (same_pass(node_at(g, (size_t)p), n) ? 0 : 1);
            m[i].level = after > m[i].level ? after : m[i].level;
        }
        int32_t wait;
        for (size_t k = 0; k < n->n_in; k++)
            for (size_t w = 0; (wait = cbm_wait_input(n, k, w)) >= 0; w++)
                m[i].level = m[wait].level >= m[i].level ? m[wait].level + 1 : m[i].level;
    }
    for (size_t i = g->nodes.count; i-- > 0;) {
        const cbm_node *n = node_at(g, i);
        if (joins_passes(n) && m[i].latest != INT32_MAX)
            m[i].level = m[i].latest;
        for (size_t k = 0; k < n->n_in; k++) {
            int32_t p = producer_of(g, n, k);
            if (p < 0)
                continue;
            int32_t before = m[i].level - (same_pass(node_at(g, (size_t)p), n) ? 0 : 1);
            m[p].latest = before < m[p].latest ? before : m[p].latest;
        }
        int32_t wait;
        for (size_t k = 0; k < n->n_in; k++)
            for (size_t w = 0; (wait = cbm_wait_input(n, k, w)) >= 0; w++)
                m[wait].latest = m[i].level - 1 < m[wait].latest ? m[i].level - 1 : m[wait].latest;
    }
}

/* Connects what shares a pass: producers with consumers, and readers of one operand, which is then read once; but not
   through a variable that is overwritten here: a pass that overwrites must not be kept waiting by one that feeds others. */
static bool connect(const cbm_collected *g, member *m)
{
    size_t leaves = g->leaves.count + 1;
    int32_t *last = cbm_heap_take(g->cx->heap, leaves * sizeof *last);
    if (!last)
        return false;
    for (size_t i = 0; i < leaves; i++)
        last[i] = -1;
    for (size_t i = 0; i < g->nodes.count; i++)
        if (CBM_AT(&g->in_place, uint8_t, i))
            last[-1 - cbm_ref_input(node_at(g, i), 0)] = OVERWRITTEN;
    for (size_t i = 0; i < g->nodes.count; i++) {
        const cbm_node *n = node_at(g, i);
        for (size_t k = 0; joins_passes(n) && k < n->n_in; k++) {
            cbm_ref ref = cbm_ref_input(n, k);
            int32_t p = ref < 0 ? -1 : ref / CBM_MAX_OUTPUTS;
            if (ref < 0 && n->in[k]->count > 1 && last[-1 - ref] != OVERWRITTEN) {
                p = last[-1 - ref];
                last[-1 - ref] = (int32_t)i;
            }
            if (p >= 0 && m[p].level == m[i].level && same_pass(node_at(g, (size_t)p), n))
                unite(m, p, (int32_t)i);
        }
    }
    cbm_heap_give(g->cx->heap, last, leaves * sizeof *last);
    return true;
}

int32_t cbm_fuse(const cbm_collected *g, int32_t *groups)
{
    size_t count = g->nodes.count;
    member *m = cbm_heap_take_zero(g->cx->heap, (count + 1) * sizeof *m);
    if (!m)
        return -1;
    set_levels(g, m);
    int32_t n_groups = g->cx->naive || connect(g, m) ? 0 : -1;
    for (size_t i = 0; i < count && n_groups >= 0; i++) {
        const cbm_node *n = node_at(g, i);
        groups[i] = -1;
        if (!cbm_is_pointwise(n))
            continue;
        member *r = &m[root_of(m, (int32_t)i)];
        int32_t letters = (int32_t)strlen(n->op->expression);
        if (!r->members || r->members >= MAX_MEMBERS || r->operands + n->n_in > MAX_OPERANDS ||
            r->letters + letters > MAX_LETTERS) {
            r->pass =
                n_groups++; /* a pass that grows too large is cut: in recorded order, so the parts feed only forward */
            r->members = r->operands = r->letters = 0;
        }
        r->members++;
        r->operands += n->n_in;
        r->letters += letters;
        groups[i] = r->pass;
    }
    cbm_heap_give(g->cx->heap, m, (count + 1) * sizeof *m);
    return n_groups;
}
