/* repeat.c: backward passes on tapes. What a pass records is a function of the nodes it differentiates: their operations,
   attributes, shapes, which operands need gradients, hooks, and the gradients that are there already. The calls, which the
   tape follows, determine the operations, shapes and structural attributes; the rest is compared here. Passes in which more
   matters (hooks, users' operations, decompositions, gradients that accumulate, histories of earlier steps) are not entered
   on tapes: they are walked, and their operations followed one by one. Rests on tensor/replay.h. */
#include "autograd/repeat.h"
#include <string.h>

/* ---- what a pass depends on ---- */

static bool plain_result(const cbm_value *v)
{
    return !v->hooks && !v->variable;
}

/* A leaf that takes a gradient: the version of a living variable without hooks, gradient or a past to be walked. */
static bool plain_parameter(const cbm_value *v)
{
    const cbm_tensor *t = v->variable;
    return t && !t->dead && !t->hooks && !t->gradient && !(v->node && v->node->differentiable);
}

static uint32_t asks_gradients(const cbm_node *n)
{
    uint32_t mask = 0;
    for (size_t i = 0; i < n->n_in; i++)
        mask |= n->in[i]->requires_grad ? 1u << i : 0;
    return mask;
}

/* Which operation made it: a vjp may ask. */
static const cbm_op *maker(const cbm_value *v)
{
    return v->node ? v->node->op : NULL;
}

/* ---- repeating ---- */

static bool same_node(const cbm_replay *r, const cbm_tape_walked *w)
{
    const cbm_node *n = CBM_AT(&r->nodes, cbm_node *, w->number);
    if (!n || !n->history || asks_gradients(n) != w->asks)
        return false;
    const cbm_tape_entry *e = &CBM_AT(&r->tape->entries, cbm_tape_entry, w->number);
    for (size_t i = 0; i < n->n_out; i++)
        if (!plain_result(&n->out[i]))
            return false;
    for (size_t i = 0; i < n->n_in; i++)
        if (e->in[i] < 0 && maker(n->in[i]) != CBM_AT(&r->tape->leaves, cbm_tape_leaf, -1 - e->in[i]).maker)
            return false;
    return memcmp(n->attributes, e->image->attributes, n->op->attributes_size) == 0;
}

/* Takes back what copy_nodes has made: the newest first, so that nothing is in use. */
static void undo(cbm_context *cx, size_t first)
{
    cbm_array *nodes = &cx->replay.nodes;
    while (nodes->count > first) {
        cbm_node *n = CBM_AT(nodes, cbm_node *, nodes->count - 1);
        if (n) {
            cbm_value_retain(n->out);
            cbm_value_release(n->out);
        }
        nodes->count--;
    }
}

static bool copy_nodes(cbm_context *cx, const cbm_tape_pass *p)
{
    cbm_replay *r = &cx->replay;
    for (size_t i = p->first; i < p->end; i++) {
        cbm_tape_entry *e = &CBM_AT(&r->tape->entries, cbm_tape_entry, i);
        cbm_node *n = e->kept ? cbm_tape_node(cx, e) : NULL;
        CBM_AT(&r->nodes, cbm_node *, r->nodes.count++) = n;
        if (!e->kept) { /* recorded and dropped within the pass */
            cx->sequence++;
            cx->statistics.nodes_recorded++;
            continue;
        }
        if (!n) {
            undo(cx, p->first);
            return false;
        }
        n->number = (int32_t)i;
        if (e->op->attributes_size)
            memcpy(n->attributes, e->image->attributes, e->op->attributes_size);
        for (size_t k = 0; k < e->n_in; k++) {
            cbm_tape_ref ref = e->in[k];
            n->in[k] = ref < 0 ? CBM_AT(&r->leaves, cbm_value *, -1 - ref)
                               : &CBM_AT(&r->nodes, cbm_node *, ref / CBM_MAX_OUTPUTS)->out[ref % CBM_MAX_OUTPUTS];
            cbm_value_retain(n->in[k]);
        }
        cbm_node_list(n);
    }
    return true;
}

static const cbm_tape_pass *pass_from(const cbm_tape *tape, size_t first)
{
    for (size_t i = 0; i < tape->passes.count; i++)
        if (CBM_AT(&tape->passes, cbm_tape_pass, i).first == first)
            return &CBM_AT(&tape->passes, cbm_tape_pass, i);
    return NULL;
}

bool cbm_repeat_backward(cbm_context *cx, cbm_value *y)
{
    cbm_replay *r = &cx->replay;
    const cbm_tape_pass *p = r->state == CBM_REPLAY_FOLLOWS ? pass_from(r->tape, r->nodes.count) : NULL;
    if (!p || !y->node || y->node->number != p->root / CBM_MAX_OUTPUTS || y->index != p->root % CBM_MAX_OUTPUTS)
        return false;
    for (size_t i = 0; i < p->n_walked; i++)
        if (!same_node(r, &p->walked[i]))
            return false;
    for (size_t i = 0; i < p->n_gradients; i++)
        if (!plain_parameter(CBM_AT(&r->leaves, cbm_value *, p->gradients[i].leaf)))
            return false;
    if (!copy_nodes(cx, p))
        return false;
    for (size_t i = 0; i < p->n_gradients; i++) {
        const cbm_tape_gradient *g = &p->gradients[i];
        cbm_tensor *variable = CBM_AT(&r->leaves, cbm_value *, g->leaf)->variable;
        cbm_node *made_by = CBM_AT(&r->nodes, cbm_node *, g->ref / CBM_MAX_OUTPUTS);
        cbm_slot_set(&variable->gradient, &made_by->out[g->ref % CBM_MAX_OUTPUTS]);
        cbm_variable_dirty(variable);
    }
    for (size_t i = 0; i < p->n_walked; i++)
        cbm_node_end_history(CBM_AT(&r->nodes, cbm_node *, p->walked[i].number));
    r->passes++;
    return true;
}

/* ---- entering a draft ---- */

cbm_pass_start cbm_pass_begins(const cbm_context *cx)
{
    return (cbm_pass_start){ cx->replay.nodes.count, cx->replay.leaves.count };
}

/* Whether it is of this step, and its operation the library's with a vjp of its own. */
static bool walks_plainly(const cbm_replay *r, const cbm_node *n)
{
    if (n->number < 0 || !n->op->vjp || !CBM_AT(&r->tape->entries, cbm_tape_entry, n->number).built_in)
        return false;
    for (size_t i = 0; i < n->n_out; i++)
        if (!plain_result(&n->out[i]))
            return false;
    return true;
}

/* The gradient of a leaf, as the pass has just set it. false: it is not one of the pass's own. */
static bool write_gradient(const cbm_replay *r, cbm_tape_pass *p, const cbm_value *v)
{
    const cbm_tensor *t = v->variable;
    if (!t || t->dead || t->hooks || (v->node && v->node->differentiable))
        return false;
    for (size_t i = 0; i < p->n_gradients; i++)
        if (p->gradients[i].leaf == v->leaf)
            return true;
    const cbm_value *g = t->gradient;
    if (!g || !g->node || g->node->number < (int32_t)p->first || g->node->number >= (int32_t)r->nodes.count)
        return false;
    p->gradients[p->n_gradients++] = (cbm_tape_gradient){ v->leaf, g->node->number * CBM_MAX_OUTPUTS + g->index };
    return true;
}

static bool write_walked(cbm_context *cx, cbm_tape_pass *p, cbm_node *const *nodes, size_t count)
{
    cbm_replay *r = &cx->replay;
    uint64_t walked = ++cx->stamp;
    for (size_t k = 0; k < count; k++)
        nodes[k]->stamp = walked;
    for (size_t k = 0; k < count; k++) {
        const cbm_node *n = nodes[k];
        if (!walks_plainly(r, n))
            return false;
        for (size_t i = 0; i < n->n_in; i++) {
            const cbm_value *v = n->in[i];
            if (v->storage)
                CBM_AT(&r->tape->leaves, cbm_tape_leaf, v->leaf).maker = maker(v);
            if (v->requires_grad && (v->storage ? !write_gradient(r, p, v) : v->node->stamp != walked))
                return false;
        }
        p->walked[p->n_walked++] = (cbm_tape_walked){ n->number, asks_gradients(n) };
    }
    return true;
}

/* Operations that only name what was there before, and neither draw numbers nor act. */
static bool write_recorded(cbm_replay *r, const cbm_tape_pass *p, size_t leaves)
{
    for (size_t i = p->first; i < p->end; i++) {
        cbm_tape_entry *e = &CBM_AT(&r->tape->entries, cbm_tape_entry, i);
        const cbm_node *n = CBM_AT(&r->nodes, cbm_node *, i);
        e->kept = n != NULL;
        if (!e->built_in || (e->op->flags & (CBM_OP_RANDOM | CBM_OP_EFFECT)) || (n && (n->differentiable || n->file)))
            return false;
        for (size_t k = 0; k < e->n_in; k++)
            if (e->in[k] < 0 && -1 - e->in[k] >= (int32_t)leaves)
                return false;
    }
    return true;
}

/* The walk has recorded what the tape has: then other makers of the leaves (a parameter that was written, not assigned)
   led to the same, and the pass is repeated with them from now on. */
static void note_makers(cbm_replay *r, const cbm_tape_pass *p)
{
    for (size_t k = 0; p && p->end == r->nodes.count && k < p->n_walked; k++) {
        const cbm_node *n = CBM_AT(&r->nodes, cbm_node *, p->walked[k].number);
        for (size_t i = 0; n && i < n->n_in; i++)
            if (n->in[i]->storage)
                CBM_AT(&r->tape->leaves, cbm_tape_leaf, n->in[i]->leaf).maker = maker(n->in[i]);
    }
}

void cbm_pass_ended(cbm_context *cx, cbm_pass_start start, const cbm_value *y, cbm_node *const *nodes, size_t count)
{
    cbm_replay *r = &cx->replay;
    if (r->state == CBM_REPLAY_FOLLOWS)
        note_makers(r, pass_from(r->tape, start.first));
    if (r->state != CBM_REPLAY_DRAFTS || !count || !y->node || y->node->number < 0)
        return;
    size_t most = 0;
    for (size_t i = 0; i < count; i++)
        most += nodes[i]->n_in;
    cbm_tape_pass p = { .first = start.first,
                        .end = r->nodes.count,
                        .root = y->node->number * CBM_MAX_OUTPUTS + y->index,
                        .room_walked = count,
                        .room_gradients = most };
    p.walked = cbm_heap_take(cx->heap, p.room_walked * sizeof *p.walked);
    p.gradients = cbm_heap_take(cx->heap, p.room_gradients * sizeof *p.gradients);
    if (p.walked && p.gradients && write_walked(cx, &p, nodes, count) && write_recorded(r, &p, start.leaves) &&
        cbm_array_push(&r->tape->passes, &p))
        return;
    cbm_tape_pass_free(cx->heap, &p);
}
