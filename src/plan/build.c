/* build.c: from a collected graph to a plan: passes are formed, assignments that may happen in place are found, units of
   work are put in order (commits last), steps are prepared and buffers laid out. Rests on fuse.c, steps.c, settle.c. */
#include "plan/report.h"
#include <string.h>

static cbm_node *node_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->nodes, cbm_node *, i);
}

static uint8_t demand_at(const cbm_build *b, cbm_ref ref)
{
    return CBM_AT(&b->g->demands, uint8_t, ref);
}

bool cbm_passed_by(const cbm_build *b, int32_t i)
{
    return cbm_is_same(node_at(b, i)) && !demand_at(b, CBM_REF_NODE(i, 0));
}

cbm_spot *cbm_spot_of(cbm_build *b, cbm_ref ref)
{
    return ref < 0 ? &b->spots[b->g->nodes.count * CBM_MAX_OUTPUTS + (size_t)(-1 - ref)] : &b->spots[ref];
}

static bool is_view(const cbm_node *n)
{
    return (n->op->flags & CBM_OP_VIEW) && n->op->view;
}

/* ---- units ---- */

static bool make_units(cbm_build *b)
{
    int32_t count = (int32_t)b->g->nodes.count;
    int32_t n_groups = cbm_fuse(b->g, b->groups);
    if (n_groups < 0)
        return false;
    int32_t *size = cbm_heap_take_zero(b->heap, ((size_t)n_groups + 1) * sizeof *size);
    int32_t *unit_of_group = cbm_heap_take(b->heap, ((size_t)n_groups + 1) * sizeof *unit_of_group);
    bool ok = size && unit_of_group && cbm_array_reserve(&b->members, (size_t)count + 1);
    for (int32_t i = 0; i < count && ok; i++)
        if (b->groups[i] >= 0)
            size[b->groups[i]]++;
    for (int32_t i = 0; i < n_groups && ok; i++)
        unit_of_group[i] = -1;
    int32_t next = 0;
    for (int32_t i = 0; i < count && ok; i++) {
        int32_t group = b->groups[i];
        if (group < 0 || unit_of_group[group] < 0) {
            cbm_unit u = { .first = next, .count = group < 0 ? 1 : 0, .group = group };
            next += group < 0 ? 1 : size[group];
            ok = cbm_array_push(&b->units, &u) != NULL;
            if (group >= 0)
                unit_of_group[group] = (int32_t)b->units.count - 1;
        }
        if (!ok)
            break;
        b->unit_of[i] = group < 0 ? (int32_t)b->units.count - 1 : unit_of_group[group];
        cbm_unit *u = &CBM_AT(&b->units, cbm_unit, b->unit_of[i]);
        CBM_AT(&b->members, int32_t, group < 0 ? u->first : u->first + u->count++) = i;
    }
    b->members.count = (size_t)next;
    cbm_heap_give(b->heap, size, ((size_t)n_groups + 1) * sizeof *size);
    cbm_heap_give(b->heap, unit_of_group, ((size_t)n_groups + 1) * sizeof *unit_of_group);
    return ok;
}

/* Which results are read from memory: by another unit, and not as an inlined number. */
static void find_readers(cbm_build *b)
{
    for (int32_t i = 0; i < (int32_t)b->g->nodes.count; i++) {
        const cbm_node *n = node_at(b, i);
        if (cbm_passed_by(b, i))
            continue;
        for (size_t k = 0; k < (cbm_is_same(n) ? 1 : n->n_in); k++) {
            cbm_ref ref = cbm_ref_input(n, k);
            if (ref < 0 || b->unit_of[ref / CBM_MAX_OUTPUTS] == b->unit_of[i])
                continue;
            if (b->groups[i] >= 0 && cbm_is_inline_scalar(node_at(b, ref / CBM_MAX_OUTPUTS)))
                continue;
            b->read[ref] = b->read[ref] < UINT8_MAX ? (uint8_t)(b->read[ref] + 1) : UINT8_MAX;
        }
    }
}

/* ---- assignments in place ---- */

/* The leaf that a chain of views looks at, or -1. */
static int32_t leaf_behind(const cbm_build *b, cbm_ref ref)
{
    while (ref >= 0 && is_view(node_at(b, ref / CBM_MAX_OUTPUTS)))
        ref = cbm_ref_input(node_at(b, ref / CBM_MAX_OUTPUTS), 0);
    return ref < 0 ? -1 - ref : -1;
}

static bool in_place_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->in_place, uint8_t, i) != 0;
}

static bool unit_has_in_place(const cbm_build *b, const cbm_unit *u)
{
    for (int32_t m = 0; m < u->count; m++)
        if (in_place_at(b, CBM_AT(&b->members, int32_t, u->first + m)))
            return true;
    return false;
}

static void give_up(cbm_build *b, const cbm_unit *u)
{
    for (int32_t m = 0; m < u->count; m++)
        CBM_AT(&b->g->in_place, uint8_t, CBM_AT(&b->members, int32_t, u->first + m)) = 0;
}

/* Who overwrites leaf: the node, or -1. */
static bool mark_owners(cbm_build *b, int32_t *owner)
{
    for (size_t i = 0; i < b->g->leaves.count; i++)
        owner[i] = -1;
    for (int32_t i = 0; i < (int32_t)b->g->nodes.count; i++)
        if (in_place_at(b, i)) {
            int32_t *at = &owner[-1 - cbm_ref_input(node_at(b, i), 0)];
            if (*at >= 0)
                return false;
            *at = i;
        }
    return true;
}

/* An assignment happens in place only if its unit feeds nobody, and nobody else who commits reads the old version. Two
   units that would each wait for the other are thus kept apart. */
static bool settle_in_place(cbm_build *b)
{
    size_t leaves = b->g->leaves.count + 1;
    int32_t *owner = cbm_heap_take(b->heap, leaves * sizeof *owner);
    if (!owner)
        return false;
    for (size_t k = 0; k < b->units.count; k++) {
        cbm_unit *u = &CBM_AT(&b->units, cbm_unit, k);
        bool feeds = false;
        for (int32_t m = 0; m < u->count; m++)
            feeds = feeds || b->read[CBM_REF_NODE(CBM_AT(&b->members, int32_t, u->first + m), 0)];
        if (feeds)
            give_up(b, u);
    }
    for (bool again = true; again;) {
        again = false;
        mark_owners(b, owner);
        for (size_t k = 0; k < b->units.count; k++) {
            cbm_unit *u = &CBM_AT(&b->units, cbm_unit, k);
            if (!unit_has_in_place(b, u))
                continue;
            for (int32_t m = 0; m < u->count && !again; m++) {
                const cbm_node *n = node_at(b, CBM_AT(&b->members, int32_t, u->first + m));
                for (size_t i = n->op->flags & CBM_OP_ASSIGN ? 1 : 0; i < n->n_in; i++) {
                    cbm_ref ref = cbm_ref_input(n, i);
                    int32_t leaf = leaf_behind(b, ref), by = leaf >= 0 ? owner[leaf] : -1;
                    bool same_place = by >= 0 && ref < 0 && b->unit_of[by] == (int32_t)k &&
                                      cbm_shape_equal(&n->in[i]->shape, &n->out[0].shape);
                    if (by < 0 || same_place)
                        continue;
                    CBM_AT(&b->g->in_place, uint8_t, by) = 0;
                    again = true;
                }
            }
        }
    }
    for (size_t k = 0; k < b->units.count; k++)
        CBM_AT(&b->units, cbm_unit, k).commit = unit_has_in_place(b, &CBM_AT(&b->units, cbm_unit, k));
    for (int32_t i = 0; i < (int32_t)b->g->nodes.count; i++)
        b->plan->copied += (node_at(b, i)->op->flags & CBM_OP_ASSIGN) && !in_place_at(b, i);
    cbm_heap_give(b->heap, owner, leaves * sizeof *owner);
    return true;
}

/* ---- results ---- */

static bool number_results(cbm_build *b)
{
    for (int32_t i = 0; i < (int32_t)b->g->nodes.count; i++) {
        const cbm_node *n = node_at(b, i);
        for (int32_t k = 0; k < CBM_MAX_OUTPUTS; k++) {
            cbm_ref ref = CBM_REF_NODE(i, k);
            b->results[ref] = -1;
            if (k >= n->n_out || !demand_at(b, ref))
                continue;
            const cbm_value *v = &n->out[k];
            cbm_result r = { .ref = ref,
                             .bytes = (size_t)v->count * cbm_dtype_size((cbm_dtype)v->dtype),
                             .in_place = -1,
                             .reason = demand_at(b, ref) };
            if (k == 0 && in_place_at(b, i))
                r.in_place = -1 - cbm_ref_input(n, 0);
            b->results[ref] = (int32_t)b->plan->results.count;
            if (!cbm_array_push(&b->plan->results, &r))
                return false;
        }
    }
    return true;
}

void cbm_window_of(const cbm_value *v, cbm_buffer *w)
{
    *w = (cbm_buffer){ .dtype = (cbm_dtype)v->dtype, .contiguous = 1, .rank = v->shape.v[0], .count = v->count };
    int64_t stride = 1;
    for (int64_t k = w->rank; k-- > 0;) {
        w->shape[k] = v->shape.v[1 + k];
        w->stride[k] = stride;
        stride *= w->shape[k];
    }
}

static bool place_leaves(cbm_build *b)
{
    for (size_t i = 0; i < b->g->leaves.count; i++) {
        const cbm_value *v = CBM_AT(&b->g->leaves, cbm_value *, i);
        cbm_root r = { .base = 1 + (int32_t)i, .lifetime = -1 };
        if (!cbm_array_push(&b->roots, &r))
            return false;
        cbm_spot *s = cbm_spot_of(b, CBM_REF_LEAF((int32_t)i));
        s->known = true;
        s->root = (int32_t)b->roots.count - 1;
        cbm_window_of(v, &s->window);
    }
    for (int32_t i = 0; i < (int32_t)b->g->nodes.count; i++)
        for (int32_t k = 0; k < node_at(b, i)->n_out; k++)
            cbm_window_of(&node_at(b, i)->out[k], &b->spots[CBM_REF_NODE(i, k)].window);
    return true;
}

/* ---- order ---- */

/* The unit that has to run before u and has not yet, or -1. */
static int32_t missing(cbm_build *b, const cbm_unit *u, int32_t self)
{
    for (int32_t m = 0; m < u->count; m++) {
        const cbm_node *n = node_at(b, CBM_AT(&b->members, int32_t, u->first + m));
        for (size_t k = 0; k < n->n_in; k++) {
            cbm_ref ref = cbm_ref_input(n, k);
            int32_t v = ref < 0 ? -1 : b->unit_of[ref / CBM_MAX_OUTPUTS];
            if (v >= 0 && v != self && !CBM_AT(&b->units, cbm_unit, v).done)
                return v;
            int32_t wait;
            for (size_t w = 0; (wait = cbm_wait_input(n, k, w)) >= 0; w++) {
                v = b->unit_of[wait];
                if (v != self && !CBM_AT(&b->units, cbm_unit, v).done)
                    return v;
            }
        }
    }
    const cbm_ref more[] = { u->after.bias ? u->bias : -1, u->after.add ? u->added : -1 };
    for (int k = 0; k < 2 && u->absorbs; k++) {
        const int32_t v = more[k] < 0 ? -1 : b->unit_of[more[k] / CBM_MAX_OUTPUTS];
        if (v >= 0 && !CBM_AT(&b->units, cbm_unit, v).done)
            return v;
    }
    return -1;
}

static bool needed(const cbm_build *b, const cbm_unit *u)
{
    size_t sums;
    cbm_sums_of(b, u, &sums);
    if (sums)
        return true;
    for (int32_t m = 0; m < u->count; m++) {
        int32_t i = CBM_AT(&b->members, int32_t, u->first + m);
        for (int32_t k = 0; k < node_at(b, i)->n_out; k++)
            if (b->read[CBM_REF_NODE(i, k)] || b->results[CBM_REF_NODE(i, k)] >= 0)
                return true;
    }
    return false;
}

static bool run_unit_and_operands(cbm_build *b, cbm_array *stack, int32_t first)
{
    if (!cbm_array_push(stack, &first))
        return false;
    while (stack->count) {
        int32_t k = CBM_AT(stack, int32_t, stack->count - 1);
        cbm_unit *u = &CBM_AT(&b->units, cbm_unit, k);
        int32_t before = u->done ? -1 : missing(b, u, k);
        if (before >= 0) {
            if (!cbm_array_push(stack, &before))
                return false;
            continue;
        }
        stack->count--;
        if (u->done)
            continue;
        u->done = true;
        if (needed(b, u) && !cbm_build_unit(b, u))
            return false;
    }
    return true;
}

static bool in_order(cbm_build *b)
{
    cbm_array stack = CBM_ARRAY(b->heap, int32_t);
    bool ok = true;
    for (int commit = 0; commit < 2; commit++)
        for (int32_t i = 0; i < (int32_t)b->g->nodes.count && ok; i++) {
            const cbm_unit *u = &CBM_AT(&b->units, cbm_unit, b->unit_of[i]);
            bool last = CBM_AT(&b->members, int32_t, u->first + u->count - 1) == i;
            if (last && u->commit == commit && !u->done)
                ok = run_unit_and_operands(b, &stack, b->unit_of[i]);
        }
    cbm_array_free(&stack);
    return ok;
}

/* ---- buffers ---- */

static void lie(const cbm_lifetime *l, cbm_place *at)
{
    at->base = l->lent ? l->lent : CBM_BASE_ARENA;
    at->lent = l->lent != 0;
    at->offset += l->offset;
}

static void bind_places(cbm_build *b)
{
    for (size_t s = 0; s < b->plan->steps.count; s++) {
        cbm_step *step = &CBM_AT(&b->plan->steps, cbm_step, s);
        for (size_t i = 0; i < step->n_in + step->n_out; i++) {
            const cbm_root *r = &CBM_AT(&b->roots, cbm_root, step->places[i].base);
            step->places[i].base = r->base == CBM_ROOT_KEPT ? CBM_BASE_KEPT(b->plan) : r->base;
            if (r->base == CBM_BASE_ARENA)
                lie(&CBM_AT(&b->lifetimes, cbm_lifetime, r->lifetime), &step->places[i]);
            if (r->base == CBM_ROOT_KEPT)
                step->places[i].offset += r->kept;
        }
        step->packed.base = CBM_BASE_KEPT(b->plan);
        int32_t w = CBM_AT(&b->step_workspace, int32_t, s);
        step->workspace = (cbm_place){ .base = CBM_BASE_ARENA };
        if (w >= 0)
            lie(&CBM_AT(&b->lifetimes, cbm_lifetime, w), &step->workspace);
    }
}

static bool copy_key(cbm_plan *plan, const cbm_collected *g)
{
    return cbm_array_append(&plan->key, g->key.data, g->key.count) &&
           cbm_array_append(&plan->key_start, g->key_start.data, g->key_start.count);
}

static bool build(cbm_build *b)
{
    size_t nodes = b->g->nodes.count, spots = nodes * CBM_MAX_OUTPUTS + b->g->leaves.count;
    b->groups = cbm_heap_take(b->heap, (nodes + 1) * sizeof *b->groups);
    b->unit_of = cbm_heap_take(b->heap, (nodes + 1) * sizeof *b->unit_of);
    b->spots = cbm_heap_take_zero(b->heap, (spots + 1) * sizeof *b->spots);
    b->results = cbm_heap_take(b->heap, (nodes * CBM_MAX_OUTPUTS + 1) * sizeof *b->results);
    b->read = cbm_heap_take_zero(b->heap, nodes * CBM_MAX_OUTPUTS + 1);
    if (!b->groups || !b->unit_of || !b->spots || !b->results || !b->read || !copy_key(b->plan, b->g) || !make_units(b))
        return false;
    find_readers(b);
    if (!settle_in_place(b) || !number_results(b) || !place_leaves(b))
        return false;
    if (!b->plain)
        cbm_absorb_passes(b);
    if (!b->plain && !cbm_absorb_sums(b))
        return false;
    if (!cbm_find_constants(b) || (!b->plain && !cbm_choose_layouts(b)) || !in_order(b))
        return false;
    b->plan->bases = 2 + b->plan->n_leaves + b->plan->results.count;
    if (!cbm_settle_memory(b))
        return false;
    bind_places(b);
    return !b->cx->profile || cbm_report_make(b);
}

static cbm_plan *attempt(const cbm_collected *g, bool plain, bool *unable)
{
    cbm_context *cx = g->cx;
    cbm_heap *heap = cx->heap;
    cbm_plan *plan = cbm_heap_take_zero(heap, sizeof *plan);
    if (!plan)
        return NULL;
    plan->heap = heap;
    plan->hash = g->hash;
    plan->backend = cx->backend;
    plan->n_nodes = g->nodes.count;
    plan->n_leaves = g->leaves.count;
    plan->key = CBM_ARRAY(heap, char);
    plan->key_start = CBM_ARRAY(heap, uint32_t);
    plan->steps = CBM_ARRAY(heap, cbm_step);
    plan->results = CBM_ARRAY(heap, cbm_result);
    plan->blocks = CBM_ARRAY(heap, cbm_block);
    plan->kept_of = CBM_ARRAY(heap, cbm_kept);
    cbm_build b = { .cx = cx,
                    .g = g,
                    .plan = plan,
                    .heap = heap,
                    .members = CBM_ARRAY(heap, int32_t),
                    .units = CBM_ARRAY(heap, cbm_unit),
                    .sums = CBM_ARRAY(heap, cbm_sum),
                    .roots = CBM_ARRAY(heap, cbm_root),
                    .lifetimes = CBM_ARRAY(heap, cbm_lifetime),
                    .copies = CBM_ARRAY(heap, cbm_copy),
                    .step_workspace = CBM_ARRAY(heap, int32_t),
                    .plain = plain };
    const bool ok = build(&b);
    *unable = b.unable;
    size_t nodes = g->nodes.count, spots = nodes * CBM_MAX_OUTPUTS + g->leaves.count;
    cbm_heap_give(heap, b.groups, (nodes + 1) * sizeof *b.groups);
    cbm_heap_give(heap, b.unit_of, (nodes + 1) * sizeof *b.unit_of);
    cbm_heap_give(heap, b.spots, (spots + 1) * sizeof *b.spots);
    cbm_heap_give(heap, b.results, (nodes * CBM_MAX_OUTPUTS + 1) * sizeof *b.results);
    cbm_heap_give(heap, b.read, nodes * CBM_MAX_OUTPUTS + 1);
    cbm_heap_give(heap, b.constant, nodes + 1);
    cbm_array_free(&b.members);
    cbm_array_free(&b.units);
    cbm_array_free(&b.sums);
    cbm_array_free(&b.roots);
    cbm_array_free(&b.lifetimes);
    cbm_array_free(&b.copies);
    cbm_array_free(&b.step_workspace);
    if (ok)
        return plan;
    cbm_plan_free(plan);
    return NULL;
}

cbm_plan *cbm_plan_build(const cbm_collected *g)
{
    bool unable = false;
    cbm_plan *plan = attempt(g, false, &unable);
    if (!plan && unable)
        plan = attempt(g, true, &unable);
    if (!plan && g->cx->status == CBM_OK)
        cbm_fail_memory(g->cx, "a plan");
    return plan;
}
