/* constant.c: what a plan computes from variables alone (folded statistics, weights in a kernel's own form) is kept from run
   to run while the variables stay as they are. Only plans that overwrite no variable do so. Rests on plan.h. */
#include "plan/build.h"
#include "plan/kept_pool.h"
#include <string.h>

/* What the plans of a context may keep at one time: so many of them, and so many bytes together (one plan alone: any). */
#define KEEPERS 4
#define KEPT_BYTES ((size_t)1 << 30)

static cbm_node *node_at(const cbm_collected *g, int32_t i)
{
    return CBM_AT(&g->nodes, cbm_node *, i);
}

static const cbm_value *leaf_at(const cbm_collected *g, int32_t i)
{
    return CBM_AT(&g->leaves, cbm_value *, i);
}

bool cbm_is_constant(const cbm_build *b, cbm_ref ref)
{
    if (!b->constant)
        return false;
    if (ref >= 0)
        return b->constant[ref / CBM_MAX_OUTPUTS] != 0;
    return cbm_value_stays(leaf_at(b->g, -1 - ref));
}

static bool is_constant_node(const cbm_build *b, int32_t i)
{
    const cbm_node *n = node_at(b->g, i);
    if (n->op->flags & (CBM_OP_EFFECT | CBM_OP_RANDOM | CBM_OP_CHECKS | CBM_OP_ASSIGN))
        return false;
    for (int32_t k = 0; k < n->n_out; k++)
        if (b->results[CBM_REF_NODE(i, k)] >= 0)
            return false;
    if (!n->n_in)
        return cbm_is_inline_scalar(n);
    for (size_t k = 0; k < n->op->n_attributes; k++) /* where a slice begins, say, may change with every run */
        if (n->op->attributes[k].at_run && !cbm_is_pointwise(n))
            return false;
    for (size_t k = 0; k < n->n_in; k++)
        if (!cbm_is_constant(b, cbm_ref_input(n, k)))
            return false;
    return true;
}

/* A number in the graph is kept only where something constant reads it: others change as they like. */
static bool keep_numbers_read(cbm_build *b)
{
    const size_t nodes = b->g->nodes.count;
    uint8_t *read = cbm_heap_take_zero(b->heap, nodes + 1);
    for (size_t i = 0; i < nodes && read; i++) {
        const cbm_node *n = node_at(b->g, (int32_t)i);
        for (size_t k = 0; k < n->n_in && b->constant[i]; k++)
            if (cbm_ref_input(n, k) >= 0)
                read[cbm_ref_input(n, k) / CBM_MAX_OUTPUTS] = 1;
    }
    for (size_t i = 0; i < nodes && read; i++)
        if (cbm_is_inline_scalar(node_at(b->g, (int32_t)i)))
            b->constant[i] = b->constant[i] && read[i];
    cbm_heap_give(b->heap, read, nodes + 1);
    return read != NULL;
}

/* What the kept memory is made from: every variable that may stand behind it, and numbers bound at run time. */
static bool note_sources(cbm_build *b)
{
    cbm_array *sources = &b->plan->kept_of;
    bool ok = true;
    for (int32_t i = 0; i < (int32_t)b->g->leaves.count && ok; i++) {
        const cbm_kept leaf = { .leaf = i, .node = -1 };
        if (cbm_is_constant(b, CBM_REF_LEAF(i)))
            ok = cbm_array_push(sources, &leaf) != NULL;
    }
    for (int32_t i = 0; i < (int32_t)b->g->nodes.count && ok; i++) {
        const cbm_op *op = node_at(b->g, i)->op;
        for (size_t k = 0; k < op->n_attributes && b->constant[i] && ok; k++) {
            const cbm_kept number = { .leaf = -1, .node = i, .offset = op->attributes[k].offset };
            if (op->attributes[k].at_run)
                ok = cbm_array_push(sources, &number) != NULL;
        }
    }
    return ok;
}

static int32_t constant_members(const cbm_build *b, const cbm_unit *unit)
{
    int32_t constant = 0;
    for (int32_t m = 0; m < unit->count; m++)
        constant += b->constant[CBM_AT(&b->members, int32_t, unit->first + m)];
    return constant;
}

/* A pass with its sums, and a kernel with the pass that it absorbed, are constant with all their members or not at all. false:
   something had to be changed. */
static bool units_agree(cbm_build *b)
{
    bool agree = true;
    for (size_t u = 0; u < b->units.count; u++) {
        const cbm_unit *unit = &CBM_AT(&b->units, cbm_unit, u);
        const int32_t *members = &CBM_AT(&b->members, int32_t, unit->first);
        const cbm_unit *pass = unit->absorbs ? &CBM_AT(&b->units, cbm_unit, unit->absorbs - 1) : NULL;
        size_t sums, first = cbm_sums_of(b, unit, &sums);
        int32_t constant = constant_members(b, unit) + (pass ? constant_members(b, pass) : 0);
        for (size_t i = first; i < first + sums; i++)
            constant += b->constant[CBM_AT(&b->sums, cbm_sum, i).node];
        if (constant == 0 || constant == unit->count + (pass ? pass->count : 0) + (int32_t)sums)
            continue;
        for (int32_t m = 0; m < unit->count; m++)
            b->constant[members[m]] = 0;
        for (int32_t m = 0; pass && m < pass->count; m++)
            b->constant[CBM_AT(&b->members, int32_t, pass->first + m)] = 0;
        for (size_t i = first; i < first + sums; i++)
            b->constant[CBM_AT(&b->sums, cbm_sum, i).node] = 0;
        agree = false;
    }
    return agree;
}

bool cbm_find_constants(cbm_build *b)
{
    const size_t nodes = b->g->nodes.count;
    if (b->cx->naive)
        return true;
    for (size_t i = 0; i < nodes; i++)
        if (node_at(b->g, (int32_t)i)->op->flags & (CBM_OP_ASSIGN | CBM_OP_EFFECT))
            return true;
    b->constant = cbm_heap_take_zero(b->heap, nodes + 1);
    if (!b->constant)
        return false;
    for (size_t i = 0; i < nodes; i++)
        b->constant[i] = is_constant_node(b, (int32_t)i);
    while (!units_agree(b)) /* a unit that is not takes the constancy of what reads it */
        for (size_t i = 0; i < nodes; i++)
            b->constant[i] = b->constant[i] && is_constant_node(b, (int32_t)i);
    return keep_numbers_read(b) && note_sources(b);
}

void cbm_kept_drop(cbm_plan *plan)
{
    cbm_storage_release(plan->kept_memory);
    plan->kept_memory = NULL;
}

static uint64_t now(const cbm_kept *k, const cbm_collected *g)
{
    uint64_t bytes = 0;
    if (k->leaf >= 0)
        return leaf_at(g, k->leaf)->storage->stamp;
    memcpy(&bytes, (const char *)node_at(g, k->node)->attributes + k->offset, sizeof bytes);
    return bytes;
}

/* Borrowed memory may change without a sign. */
static bool from_borrowed(const cbm_plan *plan, const cbm_collected *g)
{
    for (size_t i = 0; i < plan->kept_of.count; i++) {
        const cbm_kept *k = &CBM_AT(&plan->kept_of, cbm_kept, i);
        if (k->leaf >= 0 && leaf_at(g, k->leaf)->storage->borrowed)
            return true;
    }
    return false;
}

/* The plans that were used least lately give up what they keep; they make it again when they run. */
static void drop_others(cbm_planner *p, const cbm_plan *plan)
{
    int keepers = 1;
    size_t bytes = plan->kept;
    for (cbm_plan *other = p->newest; other; other = other->older) {
        if (other == plan || !other->kept_memory)
            continue;
        bytes = bytes > SIZE_MAX - other->kept ? SIZE_MAX : bytes + other->kept;
        if (++keepers > KEEPERS || bytes > KEPT_BYTES)
            cbm_kept_drop(other);
    }
}

/* Notes what the sources hold now. true: something else than when the memory was filled. */
static bool look_at_sources(cbm_plan *plan, const cbm_collected *g)
{
    bool changed = false;
    for (size_t i = 0; i < plan->kept_of.count; i++) {
        cbm_kept *k = &CBM_AT(&plan->kept_of, cbm_kept, i);
        const uint64_t seen = now(k, g);
        changed = changed || seen != k->seen;
        k->seen = seen;
    }
    return changed;
}

bool cbm_kept_prepare(cbm_context *cx, cbm_plan *plan, const cbm_collected *g, bool *stale)
{
    *stale = false;
    if (!plan->kept)
        return true;
    const bool changed = look_at_sources(plan, g) || from_borrowed(plan, g);
    if (plan->kept_memory && !changed)
        return true;
    cbm_storage *shared = cx->kept_pool ? cbm_kept_pool_find(cx->kept_pool, plan) : NULL;
    const bool own = plan->kept_memory && __atomic_load_n(&plan->kept_memory->refs, __ATOMIC_ACQUIRE) == 1;
    *stale = shared == NULL;
    if (!shared && own)
        return true; /* filled again where it is */
    if (!plan->kept_memory)
        drop_others(cx->planner, plan);
    cbm_kept_drop(plan);
    plan->kept_memory = shared ? shared : cbm_storage_new(plan->heap, plan->kept);
    return plan->kept_memory != NULL;
}

void cbm_kept_made(cbm_context *cx, const cbm_plan *plan, const cbm_collected *g)
{
    if (cx->kept_pool && plan->kept_memory && !from_borrowed(plan, g))
        cbm_kept_pool_add(cx->kept_pool, plan);
}
