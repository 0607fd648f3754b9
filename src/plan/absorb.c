/* absorb.c: which passes a kernel does itself to its result before writing it: y = max(x, 0), min(max(x, 0), 6), x + r, and
   x + r followed by either, where nobody else reads x. Rests on backend/backend.h. */
#include "plan/build.h"
#include <string.h>

static cbm_node *node_at(const cbm_build *b, int32_t i)
{
    return CBM_AT(&b->g->nodes, cbm_node *, i);
}

static int32_t member_at(const cbm_build *b, const cbm_unit *u, int32_t m)
{
    return CBM_AT(&b->members, int32_t, u->first + m);
}

static bool is_stored(const cbm_build *b, cbm_ref ref)
{
    return b->read[ref] || b->results[ref] >= 0;
}

/* The pass says what is done to ref. false: something that no kernel does. */
static bool describe(const cbm_build *b, const cbm_unit *pass, cbm_ref ref, cbm_unit *kernel)
{
    cbm_post after = { 0 };
    cbm_ref added = 0, now = ref;
    if (pass->count > 2 || pass->commit)
        return false;
    for (int32_t m = 0; m < pass->count; m++) {
        const int32_t i = member_at(b, pass, m);
        const cbm_node *n = node_at(b, i);
        const bool last = m == pass->count - 1;
        if (strcmp(n->op->name, "add") == 0 && m == 0) {
            const int self = cbm_ref_input(n, 0) == now ? 0 : 1;
            added = cbm_ref_input(n, (size_t)(1 - self));
            if (cbm_ref_input(n, (size_t)self) != now || added == now ||
                !cbm_shape_equal(&n->in[0]->shape, &n->in[1]->shape) || n->in[0]->dtype != n->in[1]->dtype)
                return false;
            if (added >= 0 && cbm_is_inline_scalar(node_at(b, added / CBM_MAX_OUTPUTS)))
                return false;
            after.add = true;
        } else if (last && strcmp(n->op->name, "relu") == 0 && cbm_ref_input(n, 0) == now) {
            after.relu = true;
        } else if (last && strcmp(n->op->name, "relu6") == 0 && cbm_ref_input(n, 0) == now) {
            after.relu = true;
            after.upper = 6;
        } else {
            return false;
        }
        if (is_stored(b, CBM_REF_NODE(i, 0)) != last)
            return false;
        now = CBM_REF_NODE(i, 0);
    }
    kernel->after = after;
    kernel->added = added;
    kernel->absorbed_result = now;
    return true;
}

/* Whether ref is made from one of this node's results: then the node cannot wait for it. */
static bool depends_on(cbm_build *b, cbm_ref ref, int32_t node)
{
    const int32_t last = ref < 0 ? -1 : ref / CBM_MAX_OUTPUTS;
    if (last <= node)
        return false;
    uint8_t *depends = cbm_heap_take_zero(b->heap, (size_t)(last - node) + 1);
    if (!depends)
        return true;
    depends[0] = 1;
    for (int32_t i = node + 1; i <= last; i++) {
        const cbm_node *n = node_at(b, i);
        for (size_t k = 0; k < n->n_in; k++) {
            const cbm_ref in = cbm_ref_input(n, k);
            if (in >= 0 && in / CBM_MAX_OUTPUTS >= node && depends[in / CBM_MAX_OUTPUTS - node])
                depends[i - node] = 1;
        }
    }
    const bool found = depends[last - node] != 0;
    cbm_heap_give(b->heap, depends, (size_t)(last - node) + 1);
    return found;
}

static bool can_absorb(const cbm_build *b, const cbm_unit *u)
{
    if (u->group >= 0)
        return false;
    const cbm_node *n = node_at(b, member_at(b, u, 0));
    if (n->op->kernel || (n->op->flags & CBM_OP_VIEW) || n->out[0].dtype != CBM_F32 || !n->out[0].count)
        return false;
    cbm_buffer windows[CBM_MAX_INPUTS + CBM_MAX_OUTPUTS];
    for (size_t k = 0; k < n->n_in + (size_t)n->n_out; k++)
        cbm_window_of(k < n->n_in ? n->in[k] : &n->out[k - n->n_in], &windows[k]);
    const cbm_launch shapes = { .op = n->op,
                                .attributes = n->attributes,
                                .n_in = n->n_in,
                                .n_out = n->n_out,
                                .in = windows,
                                .out = windows + n->n_in };
    const cbm_kernel *kernel = cbm_backend_kernel(b->plan->backend, &shapes);
    return kernel && (kernel->flags & CBM_KERNEL_POST);
}

void cbm_absorb_passes(cbm_build *b)
{
    if (b->cx->naive)
        return;
    for (int32_t p = 0; p < (int32_t)b->units.count; p++) {
        cbm_unit *pass = &CBM_AT(&b->units, cbm_unit, p);
        if (pass->group < 0)
            continue;
        const cbm_node *first = node_at(b, member_at(b, pass, 0));
        for (size_t k = 0; k < first->n_in && !pass->absorbed; k++) {
            const cbm_ref ref = cbm_ref_input(first, k);
            cbm_unit *kernel = ref < 0 || ref % CBM_MAX_OUTPUTS
                                   ? NULL
                                   : &CBM_AT(&b->units, cbm_unit, b->unit_of[ref / CBM_MAX_OUTPUTS]);
            if (!kernel || kernel == pass || kernel->absorbs || b->read[ref] != 1 || b->results[ref] >= 0 ||
                !can_absorb(b, kernel) || !describe(b, pass, ref, kernel) ||
                (kernel->after.add && depends_on(b, kernel->added, ref / CBM_MAX_OUTPUTS)))
                continue;
            kernel->absorbs = p + 1;
            pass->absorbed = pass->done = true;
            for (int32_t m = 0; m < pass->count; m++)
                b->unit_of[member_at(b, pass, m)] = b->unit_of[ref / CBM_MAX_OUTPUTS];
        }
    }
}
