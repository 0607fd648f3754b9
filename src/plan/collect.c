/* collect.c: the pending graph of one evaluation: its nodes in order, the computed values it reads, what must be
   materialised, and the bytes that say which plan fits. Rests on tensor/. */
#include "plan/plan.h"
#include <string.h>

/* How many of a node's inputs it reads. */
static size_t read_count(const cbm_node *n)
{
    return cbm_is_same(n) && n->n_in ? 1 : n->n_in;
}

static bool push_leaf(cbm_collected *g, cbm_value *v)
{
    v->stamp = g->cx->stamp;
    v->place = (int32_t)g->leaves.count;
    return cbm_array_push(&g->leaves, &v) != NULL;
}

static cbm_status cannot_compute(cbm_context *cx, const cbm_node *reader, const cbm_value *v)
{
    const char *who = reader ? reader->op->name : "read";
    if (v->overwritten)
        cbm_fail(cx, CBM_ERROR_STATE,
                 "[%s] needs a value to be computed again, but what it was made from has been "
                 "overwritten. HINT: cbm_want it before cbm_step",
                 who);
    else
        cbm_fail(cx, CBM_ERROR_STATE,
                 "[%s] needs a value that was never computed, because of an earlier error. "
                 "HINT: record it again",
                 who);
    if (reader)
        cbm_locate(cx, reader->file, reader->line);
    return cx->status;
}

/* Nodes that have run but whose results were fused away join the evaluation again: they stand before everything that is
   pending, oldest first. */
static bool add_again(cbm_collected *g, cbm_value *v, const cbm_node *reader)
{
    cbm_context *cx = g->cx;
    cbm_array stack = CBM_ARRAY(cx->heap, cbm_node *);
    bool ok = true;
    if (!v->node || v->node->state == CBM_NODE_SHELL) {
        cannot_compute(cx, reader, v);
        return false;
    }
    if (v->node->stamp == cx->stamp)
        return true;
    ok = cbm_array_push(&stack, &v->node) != NULL;
    while (ok && stack.count) {
        cbm_node *n = CBM_AT(&stack, cbm_node *, stack.count - 1);
        if (n->stamp == cx->stamp) {
            stack.count--;
            continue;
        }
        bool ready = true;
        for (size_t i = 0; i < read_count(n) && ok; i++) {
            cbm_value *in = n->in[i];
            if (in->storage || (in->node && in->node->stamp == cx->stamp) ||
                (in->node && in->node->state == CBM_NODE_PENDING))
                continue;
            if (!in->node || in->node->state == CBM_NODE_SHELL || in->overwritten) {
                cannot_compute(cx, n, in);
                cbm_array_free(&stack);
                return false;
            }
            ready = false;
            ok = cbm_array_push(&stack, &in->node) != NULL;
        }
        if (!ready || !ok)
            continue;
        stack.count--;
        n->stamp = cx->stamp;
        ok = cbm_array_push(&g->nodes, &n) != NULL;
    }
    cbm_array_free(&stack);
    return ok;
}

static bool gather_nodes(cbm_collected *g, cbm_value *const *asked, size_t count)
{
    cbm_context *cx = g->cx;
    for (size_t i = 0; i < count; i++)
        if (!asked[i]->storage && asked[i]->node && asked[i]->node->state != CBM_NODE_PENDING &&
            !add_again(g, asked[i], NULL))
            return false;
        else if (!asked[i]->storage && !asked[i]->node) {
            cannot_compute(cx, NULL, asked[i]);
            return false;
        }
    for (cbm_node *n = cx->first_pending; n; n = n->next)
        for (size_t i = 0; i < read_count(n); i++) {
            cbm_value *v = n->in[i];
            if (!v->storage && (!v->node || v->node->state != CBM_NODE_PENDING) && !add_again(g, v, n))
                return false;
        }
    for (cbm_node *n = cx->first_pending; n; n = n->next) {
        n->stamp = cx->stamp;
        if (!cbm_array_push(&g->nodes, &n))
            return false;
    }
    return true;
}

/* Room for the next size bytes of the key; NULL: no memory. The caller writes all of them. */
static char *key_room(cbm_collected *g, size_t size)
{
    if (g->key.count + size > g->key.capacity && !cbm_array_reserve(&g->key, 2 * (g->key.count + size)))
        return NULL;
    return (char *)g->key.data + g->key.count;
}

static char *put_word(char *at, uint64_t word)
{
    memcpy(at, &word, sizeof word);
    return at + sizeof word;
}

/* Attribute bytes that no attribute of the record describes, eight at a time: structural too. */
static char *put_undescribed(char *at, const cbm_node *n)
{
    for (size_t byte = 0; byte < n->op->attributes_size; byte += 8) {
        bool described = false;
        for (size_t i = 0; i < n->op->n_attributes; i++) {
            const cbm_attribute *a = &n->op->attributes[i];
            size_t size = a->type == CBM_ATTRIBUTE_SHAPE ? sizeof(cbm_shape) : 8;
            described = described || (byte >= a->offset && byte < a->offset + size);
        }
        size_t left = n->op->attributes_size - byte;
        if (described)
            continue;
        memcpy(at, (const char *)n->attributes + byte, left < 8 ? left : 8);
        at += left < 8 ? left : 8;
    }
    return at;
}

/* The structural attributes: of a shape, only the entries in use. */
static char *put_attributes(char *at, const cbm_node *n)
{
    size_t described = 0;
    for (size_t i = 0; i < n->op->n_attributes; i++) {
        const cbm_attribute *a = &n->op->attributes[i];
        described += a->type == CBM_ATTRIBUTE_SHAPE ? sizeof(cbm_shape) : 8;
        const int64_t *field = (const void *)((const char *)n->attributes + a->offset);
        if (a->at_run)
            continue;
        size_t words = a->type != CBM_ATTRIBUTE_SHAPE          ? 1
                       : *field >= 0 && *field <= CBM_MAX_DIMS ? 1 + (size_t)*field
                                                               : 1 + CBM_MAX_DIMS;
        for (size_t k = 0; k < words; k++)
            at = put_word(at, (uint64_t)field[k]);
    }
    return described < n->op->attributes_size ? put_undescribed(at, n) : at;
}

static bool in_evaluation(const cbm_value *v)
{
    return v->node && v->node->stamp == v->cx->stamp;
}

/* Input k as recorded: for the key, which tells apart what is looked through from what is not. */
static cbm_ref named_input(const cbm_node *n, size_t k)
{
    const cbm_value *v = n->in[k];
    if (v->storage)
        return CBM_REF_LEAF(v->place);
    return in_evaluation(v) ? CBM_REF_NODE(v->node->index, v->index)
                            : INT32_MAX; /* computed and fused away: no matter */
}

static bool key_node(cbm_collected *g, const cbm_node *n)
{
    uint32_t start = (uint32_t)g->key.count;
    char *at = key_room(g, 16 + n->op->attributes_size + n->n_in * sizeof(cbm_ref));
    if (!at || !cbm_array_push(&g->key_start, &start))
        return false;
    at = put_word(at, (uint64_t)(uintptr_t)n->op);
    at = put_word(at, n->n_in);
    at = put_attributes(at, n);
    for (size_t i = 0; i < n->n_in; i++) {
        cbm_ref ref = named_input(n, i);
        memcpy(at, &ref, sizeof ref);
        at += sizeof ref;
    }
    g->key.count = (size_t)(at - (char *)g->key.data);
    return true;
}

static bool stands_for_another(const cbm_value *v)
{
    return !v->storage && in_evaluation(v) && cbm_is_same(v->node);
}

cbm_ref cbm_ref_input(const cbm_node *n, size_t k)
{
    const cbm_value *v = n->in[cbm_is_same(n) ? 0 : k];
    while (stands_for_another(v))
        v = v->node->in[0];
    if (v->storage)
        return CBM_REF_LEAF(v->place);
    return CBM_REF_NODE(v->node->index, v->index);
}

int32_t cbm_wait_input(const cbm_node *n, size_t k, size_t number)
{
    for (const cbm_value *v = n->in[k]; stands_for_another(v); v = v->node->in[0])
        for (size_t i = 1; i < v->node->n_in; i++) {
            const cbm_value *w = v->node->in[i];
            while (stands_for_another(w))
                w = w->node->in[0];
            if (!w->storage && in_evaluation(w) && number-- == 0)
                return w->node->index;
        }
    return -1;
}

cbm_value *cbm_ref_value(const cbm_collected *g, cbm_ref ref)
{
    if (ref < 0)
        return CBM_AT(&g->leaves, cbm_value *, -1 - ref);
    cbm_node *n = CBM_AT(&g->nodes, cbm_node *, ref / CBM_MAX_OUTPUTS);
    return &n->out[ref % CBM_MAX_OUTPUTS];
}

static bool key_leaf(cbm_collected *g, const cbm_value *v)
{
    char *at = key_room(g, sizeof(cbm_shape) + 8);
    if (!at)
        return false;
    at = put_word(at, v->dtype | ((uintptr_t)v->storage->data % 64 ? 256u : 0u) | (cbm_value_stays(v) ? 512u : 0u));
    for (int64_t k = 0; k <= v->shape.v[0]; k++)
        at = put_word(at, (uint64_t)v->shape.v[k]);
    g->key.count = (size_t)(at - (char *)g->key.data);
    return true;
}

/* What is demanded of a node's results, and whether it may overwrite. */
static bool key_demands(cbm_collected *g, const uint8_t *demands, uint8_t over)
{
    char *at = key_room(g, CBM_MAX_OUTPUTS + 1);
    if (!at || !cbm_array_append(&g->demands, demands, CBM_MAX_OUTPUTS) || !cbm_array_push(&g->in_place, &over))
        return false;
    memcpy(at, demands, CBM_MAX_OUTPUTS);
    at[CBM_MAX_OUTPUTS] = (char)over;
    g->key.count += CBM_MAX_OUTPUTS + 1;
    return true;
}

bool cbm_collect(cbm_context *cx, cbm_value *const *asked, size_t count, cbm_collected *g)
{
    cbm_array *const arrays[] = { &g->nodes, &g->leaves, &g->demands, &g->in_place, &g->key, &g->key_start };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        arrays[i]->count = 0;
    g->cx = cx;
    cx->stamp++;
    if (!gather_nodes(g, asked, count)) {
        cbm_fail_memory(cx, "an evaluation"); /* unless the error is known */
        return false;
    }
    uint64_t settings[3] = { (uint64_t)(uintptr_t)cx->backend, (uint64_t)g->nodes.count,
                             (uint64_t)cx->threads | (uint64_t)cx->deterministic << 32 | (uint64_t)cx->naive << 33 |
                                 (uint64_t)cx->tune << 34 };
    bool ok = cbm_array_append(&g->key, settings, sizeof settings);
    for (size_t i = 0; i < g->nodes.count && ok; i++) {
        cbm_node *n = CBM_AT(&g->nodes, cbm_node *, i);
        n->index = (int32_t)i;
        for (size_t k = 0; k < n->n_in && ok; k++) {
            cbm_value *v = n->in[k];
            v->consumed = cx->stamp;
            if (v->storage && v->stamp != cx->stamp)
                ok = push_leaf(g, v);
        }
        ok = ok && key_node(g, n);
    }
    uint32_t end = (uint32_t)g->key.count;
    ok = ok && cbm_array_push(&g->key_start, &end);
    for (size_t i = 0; i < count; i++) /* after the leaves: stamps of values without storage mean "asked" */
        if (!asked[i]->storage)
            asked[i]->stamp = cx->stamp;
    for (size_t i = 0; i < g->nodes.count && ok; i++) {
        cbm_node *n = CBM_AT(&g->nodes, cbm_node *, i);
        uint8_t d[CBM_MAX_OUTPUTS] = { 0 }, over = cbm_may_overwrite(cx, n);
        for (size_t k = 0; k < n->n_out; k++)
            d[k] = cbm_demand_of(cx, n, &n->out[k], n->out[k].consumed == cx->stamp);
        ok = key_demands(g, d, over);
    }
    for (size_t i = 0; i < g->leaves.count && ok; i++)
        ok = key_leaf(g, CBM_AT(&g->leaves, cbm_value *, i));
    if (!ok) {
        cbm_fail_memory(cx, "an evaluation");
        return false;
    }
    g->hash = cbm_hash_bytes(g->key.data, g->key.count, 0);
    return true;
}
