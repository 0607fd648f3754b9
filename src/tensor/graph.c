/* graph.c: values and nodes: making them, counting them, letting go. Nodes own the values they make, so a value and its
   history are freed together; long chains are freed without recursion. */
#include "tensor/context.h"
#include <string.h>

cbm_value *cbm_value_leaf(cbm_context *cx, cbm_dtype dtype, const cbm_shape *shape, cbm_storage *storage)
{
    cbm_value *v = cbm_heap_take_own(cx->heap, sizeof *v);
    if (!v) {
        cbm_storage_release(storage);
        return NULL;
    }
    *v = (cbm_value){
        .cx = cx, .storage = storage, .count = cbm_shape_count(shape), .dtype = (uint8_t)dtype, .shape = *shape
    };
    return v;
}

void cbm_value_set_variable(cbm_value *v, cbm_tensor *variable)
{
    cbm_tensor *old = v->variable;
    v->variable = variable;
    if (variable)
        variable->versions++;
    if (old && --old->versions == 0 && old->dead && !old->cx->check_handles)
        cbm_heap_give_own(old->cx->heap, old, sizeof *old);
}

void cbm_hooks_free(cbm_context *cx, cbm_hook **hooks)
{
    while (*hooks) {
        cbm_hook *hook = *hooks;
        *hooks = hook->next;
        if (hook->destroy)
            hook->destroy(hook->user);
        cbm_heap_give(cx->heap, hook, sizeof *hook);
    }
}

static void drop_parts(cbm_value *v)
{
    if (v->variable)
        cbm_value_set_variable(v, NULL);
    if (v->storage)
        cbm_storage_release(v->storage);
    v->storage = NULL;
    if (v->hooks)
        cbm_hooks_free(v->cx, &v->hooks);
}

/* A node nobody can reach: queued, and freed by the outermost call. */
static void doom(cbm_node *node)
{
    cbm_context *cx = node->cx;
    if (node->state == CBM_NODE_PENDING)
        cbm_node_unlist(node);
    if (node->number >= 0)
        CBM_AT(&cx->replay.nodes, cbm_node *, node->number) = NULL;
    node->next = cx->doomed;
    cx->doomed = node;
    if (cx->freeing)
        return;
    cx->freeing = true;
    while (cx->doomed) {
        cbm_node *n = cx->doomed;
        cx->doomed = n->next;
        cbm_node_forget(n);
        for (size_t i = 0; i < n->n_out; i++)
            drop_parts(&n->out[i]);
        if (!cbm_replay_keeps(cx, n))
            cbm_heap_give_own(cx->heap, n, n->block);
    }
    cx->freeing = false;
}

void cbm_value_unused(cbm_value *v)
{
    if (!v->node) {
        drop_parts(v);
        cbm_heap_give_own(v->cx->heap, v, sizeof *v);
        return;
    }
    if (v->storage && v->saves == 0 && v->node->state != CBM_NODE_PENDING) {
        cbm_storage_release(v->storage);
        v->storage = NULL;
    }
    if (--v->node->live == 0 && !v->node->pinned)
        doom(v->node);
}

cbm_node *cbm_node_new(cbm_context *cx, const cbm_op *op, size_t n_in, size_t n_out)
{
    size_t block = sizeof(cbm_node) + n_out * sizeof(cbm_value) + n_in * sizeof(cbm_value *) + op->attributes_size;
    cbm_node *n = cbm_heap_take_own(cx->heap, block);
    if (!n)
        return NULL;
    *n = (cbm_node){
        .op = op, .cx = cx, .block = block, .n_in = (uint16_t)n_in, .n_out = (uint16_t)n_out, .number = -1
    };
    cbm_node_lay_out(n);
    for (size_t i = 0; i < n_out; i++)
        n->out[i] = (cbm_value){ .cx = cx, .node = n, .index = (uint8_t)i };
    return n;
}

static void append(cbm_context *cx, cbm_node *node)
{
    node->prev = cx->last_pending;
    node->next = NULL;
    if (cx->last_pending)
        cx->last_pending->next = node;
    else
        cx->first_pending = node;
    cx->last_pending = node;
    cx->pending++;
}

void cbm_node_list(cbm_node *node)
{
    node->sequence = node->since = ++node->cx->sequence;
    append(node->cx, node);
    node->cx->statistics.nodes_recorded++;
}

void cbm_node_unlist(cbm_node *node)
{
    cbm_context *cx = node->cx;
    if (node->prev)
        node->prev->next = node->next;
    else
        cx->first_pending = node->next;
    if (node->next)
        node->next->prev = node->prev;
    else
        cx->last_pending = node->prev;
    node->prev = node->next = NULL;
    cx->pending--;
}

void cbm_node_discard(cbm_node *node)
{
    for (size_t i = 0; i < node->n_in; i++)
        cbm_value_release(node->in[i]);
    cbm_heap_give_own(node->cx->heap, node, node->block);
}

static void unsave(cbm_value *v)
{
    if (--v->saves == 0 && v->refs == 0 && v->node && v->node->state != CBM_NODE_PENDING) {
        cbm_storage_release(v->storage);
        v->storage = NULL;
    }
}

uint32_t cbm_op_saves(const cbm_op *op)
{
    return op->vjp ? op->saves : CBM_SAVES_ALL_IN;
}

void cbm_node_end_history(cbm_node *node)
{
    if (!node->history)
        return;
    node->history = false;
    uint32_t saves = cbm_op_saves(node->op);
    for (size_t i = 0; i < node->n_in && i < 24; i++)
        if (saves & CBM_SAVES_IN(i))
            unsave(node->in[i]);
    for (size_t i = 0; i < node->n_out; i++)
        if (saves & CBM_SAVES_OUT(i))
            unsave(&node->out[i]);
}

void cbm_node_forget(cbm_node *node)
{
    cbm_node_end_history(node);
    size_t n_in = node->n_in;
    node->n_in = 0;
    node->state = CBM_NODE_SHELL;
    for (size_t i = 0; i < n_in; i++)
        cbm_value_release(node->in[i]);
}

void cbm_node_settle(cbm_node *node)
{
    if (node->state != CBM_NODE_DONE || node->history)
        return;
    for (size_t i = 0; i < node->n_out; i++)
        if (node->out[i].refs > 0 && !node->out[i].storage)
            return;
    cbm_node_forget(node);
}

/* ---- after an error ---- */

/* A random operation that stays has used its place in the stream of numbers: later ones come after it. */
static void skip_position(cbm_context *cx, const cbm_node *n)
{
    for (size_t i = 0; (n->op->flags & CBM_OP_RANDOM) && i < n->op->n_attributes; i++)
        if (strcmp(n->op->attributes[i].name, "position") == 0) {
            uint64_t position;
            memcpy(&position, (const char *)n->attributes + n->op->attributes[i].offset, sizeof position);
            if (position >= cx->position)
                cx->position = cx->committed_position = position + 1;
        }
}

void cbm_drop_pending(cbm_context *cx)
{
    cbm_replay_stop(cx);
    uint64_t first_values = ++cx->stamp;
    for (size_t i = 0; i < cx->variables.count; i++) {
        cbm_value *v = CBM_AT(&cx->variables, cbm_tensor *, i)->committed;
        if (v && !v->storage)
            v->stamp = first_values;
    }
    for (cbm_node *n = cx->last_pending; n; n = n->prev) {
        bool stays = false;
        for (size_t i = 0; i < n->n_out; i++)
            stays = stays || n->out[i].stamp == first_values;
        for (size_t i = 0; i < n->n_in && stays; i++)
            n->in[i]->stamp = first_values;
        n->stamp = stays ? first_values : 0;
    }
    cbm_node *kept = NULL, **end = &kept;
    for (cbm_node *n; (n = cx->first_pending);) {
        cbm_node_unlist(n);
        if (n->stamp == first_values) {
            *end = n;
            end = &n->next;
            continue;
        }
        cbm_value_retain(n->out);
        n->pinned = false;
        cbm_node_forget(n);
        cbm_value_release(n->out);
    }
    for (cbm_node *n; (n = kept);) {
        kept = n->next;
        append(cx, n);
        skip_position(cx, n);
    }
}
