/* replay.c: following a tape while operations are recorded, and writing one. replay.h says what holds meanwhile. */
#include "tensor/context.h"
#include <string.h>

#define ALIGNMENT 64 /* what plans ask of leaves */

/* ---- tapes ---- */

static size_t image_bytes(const cbm_tape_entry *e)
{
    return e->image->block + e->n_in * sizeof(cbm_tape_ref);
}

void cbm_tape_pass_free(cbm_heap *heap, cbm_tape_pass *pass)
{
    cbm_heap_give(heap, pass->walked, pass->room_walked * sizeof *pass->walked);
    cbm_heap_give(heap, pass->gradients, pass->room_gradients * sizeof *pass->gradients);
}

void cbm_tape_free(cbm_tape *tape)
{
    if (!tape)
        return;
    for (size_t i = 0; i < tape->entries.count; i++) {
        cbm_tape_entry *e = &CBM_AT(&tape->entries, cbm_tape_entry, i);
        if (e->spare)
            cbm_heap_give_own(tape->heap, e->spare, e->image->block);
        cbm_heap_give(tape->heap, e->image, image_bytes(e));
    }
    for (size_t i = 0; i < tape->passes.count; i++)
        cbm_tape_pass_free(tape->heap, &CBM_AT(&tape->passes, cbm_tape_pass, i));
    cbm_array_free(&tape->entries);
    cbm_array_free(&tape->leaves);
    cbm_array_free(&tape->passes);
    cbm_heap_give(tape->heap, tape, sizeof *tape);
}

static cbm_tape *new_draft(cbm_heap *heap)
{
    cbm_tape *tape = cbm_heap_take_zero(heap, sizeof *tape);
    if (tape)
        *tape = (cbm_tape){ .heap = heap,
                            .entries = CBM_ARRAY(heap, cbm_tape_entry),
                            .leaves = CBM_ARRAY(heap, cbm_tape_leaf),
                            .passes = CBM_ARRAY(heap, cbm_tape_pass) };
    return tape;
}

/* ---- periods ---- */

void cbm_replay_stop(cbm_context *cx)
{
    cbm_replay *r = &cx->replay;
    if (r->state == CBM_REPLAY_DRAFTS)
        cbm_tape_free(r->tape);
    r->tape = NULL;
    r->state = CBM_REPLAY_OFF;
    for (size_t i = 0; i < r->nodes.count; i++) {
        cbm_node *n = CBM_AT(&r->nodes, cbm_node *, i);
        if (n)
            n->number = -1;
    }
    r->nodes.count = r->leaves.count = 0;
}

void cbm_replay_begin(cbm_context *cx, cbm_tape *tape, bool draft)
{
    cbm_replay *r = &cx->replay;
    cbm_replay_stop(cx);
    r->period++;
    if (r->never)
        return;
    if (tape && cbm_array_reserve(&r->nodes, tape->entries.count) &&
        cbm_array_reserve(&r->leaves, tape->leaves.count)) {
        r->tape = tape;
        r->state = CBM_REPLAY_FOLLOWS;
    } else if (!tape && draft && (r->tape = new_draft(cx->heap))) {
        r->state = CBM_REPLAY_DRAFTS;
    }
}

void cbm_replay_free(cbm_context *cx)
{
    cbm_replay_stop(cx);
    cbm_array_free(&cx->replay.nodes);
    cbm_array_free(&cx->replay.leaves);
}

/* ---- following ---- */

static bool fits_leaf(const cbm_tape_leaf *leaf, const cbm_value *v)
{
    return v->storage && v->dtype == leaf->dtype && cbm_shape_equal(&v->shape, &leaf->shape) &&
           ((uintptr_t)v->storage->data % ALIGNMENT == 0) == leaf->aligned && cbm_value_stays(v) == leaf->stays;
}

/* Whether v is what the tape names ref. A leaf met for the first time gets its number. */
static inline bool is_input(cbm_replay *r, cbm_tape_ref ref, cbm_value *v)
{
    if (ref >= 0) {
        const cbm_node *n = CBM_AT(&r->nodes, cbm_node *, ref / CBM_MAX_OUTPUTS);
        return n && v == &n->out[ref % CBM_MAX_OUTPUTS];
    }
    size_t number = (size_t)(-1 - ref);
    if (v->period == r->period)
        return v->leaf == (int32_t)number;
    if (number != r->leaves.count || !fits_leaf(&CBM_AT(&r->tape->leaves, cbm_tape_leaf, number), v))
        return false;
    v->period = r->period;
    v->leaf = (int32_t)number;
    CBM_AT(&r->leaves, cbm_value *, r->leaves.count++) = v;
    return true;
}

/* A word of attributes that differs, yet changes no plan: bound at run time, or an entry of a shape past its rank. */
static bool free_word(const cbm_op *op, const char *attributes, size_t at)
{
    for (size_t i = 0; i < op->n_attributes; i++) {
        const cbm_attribute *a = &op->attributes[i];
        size_t size = a->type == CBM_ATTRIBUTE_SHAPE ? sizeof(cbm_shape) : 8;
        if (at < a->offset || at >= a->offset + size)
            continue;
        if (a->at_run)
            return true;
        int64_t rank;
        memcpy(&rank, attributes + a->offset, sizeof rank);
        return a->type == CBM_ATTRIBUTE_SHAPE && rank >= 0 && rank <= CBM_MAX_DIMS && at > a->offset + 8 * (size_t)rank;
    }
    return false;
}

/* Equal in everything that a plan's key holds of them. */
static inline bool same_structure(const cbm_op *op, const char *a, const char *b)
{
    size_t size = op->attributes_size, at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t x, y;
        memcpy(&x, a + at, 8);
        memcpy(&y, b + at, 8);
        if (x != y && !free_word(op, a, at))
            return false;
    }
    return at == size || memcmp(a + at, b + at, size - at) == 0;
}

/* The entry that the next operation has to be, if its inputs and attributes are these; otherwise NULL. */
static inline cbm_tape_entry *next_entry(cbm_replay *r, const cbm_op *op, size_t n_in)
{
    if (r->nodes.count >= r->tape->entries.count)
        return NULL;
    cbm_tape_entry *e = &CBM_AT(&r->tape->entries, cbm_tape_entry, r->nodes.count);
    return e->op == op && e->n_in == n_in ? e : NULL;
}

cbm_node *cbm_tape_node(cbm_context *cx, cbm_tape_entry *e)
{
    cbm_node *n = e->spare;
    if (n) {
        e->spare = NULL;
        n->n_in = e->n_in;
        n->file = NULL;
        n->state = CBM_NODE_PENDING;
        n->differentiable = false;
        for (size_t i = 0; i < n->n_out; i++)
            n->out[i].requires_grad = n->out[i].wanted = n->out[i].overwritten = false;
        return n;
    }
    n = cbm_heap_take_own(cx->heap, e->image->block);
    if (n) {
        memcpy(n, e->image, e->image->block);
        cbm_node_lay_out(n);
    }
    return n;
}

bool cbm_replay_keeps(cbm_context *cx, cbm_node *n)
{
    cbm_replay *r = &cx->replay;
    if (r->state != CBM_REPLAY_FOLLOWS || n->number < 0)
        return false;
    cbm_tape_entry *e = &CBM_AT(&r->tape->entries, cbm_tape_entry, n->number);
    if (e->spare || !e->built_in)
        return false;
    e->spare = n;
    return true;
}

cbm_node *cbm_replay_node(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in,
                          const void *attributes)
{
    cbm_replay *r = &cx->replay;
    cbm_tape_entry *e = next_entry(r, op, n_in);
    if (!e || !e->built_in || (op->attributes_size && !attributes))
        return NULL;
    for (size_t i = 0; i < n_in; i++) {
        const cbm_tensor *t = inputs[i];
        if (!t || t->cx != cx || t->failed || t->dead || !is_input(r, e->in[i], t->value))
            return NULL;
    }
    const cbm_node *like = e->spare ? e->spare : e->image;
    if (op->attributes_size && !same_structure(op, like->attributes, attributes))
        return NULL;
    cbm_node *n = cbm_tape_node(cx, e);
    if (!n)
        return NULL;
    for (size_t i = 0; i < n_in; i++) {
        n->in[i] = inputs[i]->value;
        cbm_value_retain(n->in[i]);
    }
    if (op->attributes_size)
        memcpy(n->attributes, attributes, op->attributes_size);
    n->number = (int32_t)r->nodes.count;
    CBM_AT(&r->nodes, cbm_node *, r->nodes.count++) = n;
    return n;
}

/* Whether a node made the slow way is the tape's next after all: a user's operation, whose shape rule has to be asked. */
static bool is_next(cbm_replay *r, const cbm_node *n)
{
    const cbm_tape_entry *e = next_entry(r, n->op, n->n_in);
    if (!e || e->n_out != n->n_out || !same_structure(n->op, e->image->attributes, n->attributes))
        return false;
    for (size_t i = 0; i < n->n_in; i++)
        if (!is_input(r, e->in[i], n->in[i]))
            return false;
    for (size_t i = 0; i < n->n_out; i++) {
        const cbm_value *then = &e->image->out[i], *now = &n->out[i];
        if (then->dtype != now->dtype || !cbm_shape_equal(&then->shape, &now->shape))
            return false;
    }
    return true;
}

/* ---- writing ---- */

/* What v is called on the draft; false: it has no name (fused away, to be computed again), or no memory. */
static bool name_input(cbm_replay *r, cbm_value *v, cbm_tape_ref *ref)
{
    if (!v->storage) {
        if (!v->node || v->node->state != CBM_NODE_PENDING || v->node->number < 0)
            return false;
        *ref = v->node->number * CBM_MAX_OUTPUTS + v->index;
        return true;
    }
    if (v->period != r->period) {
        cbm_tape_leaf leaf = { .shape = v->shape,
                               .dtype = v->dtype,
                               .aligned = (uintptr_t)v->storage->data % ALIGNMENT == 0,
                               .stays = cbm_value_stays(v),
                               .number = -1 };
        if (!cbm_array_push(&r->tape->leaves, &leaf) || !cbm_array_push(&r->leaves, &v))
            return false;
        v->period = r->period;
        v->leaf = (int32_t)r->leaves.count - 1;
    }
    *ref = -1 - v->leaf;
    return true;
}

/* The node as it will be at the beginning of its next life. */
static cbm_node *image_of(cbm_heap *heap, const cbm_node *n)
{
    cbm_node *image = cbm_heap_take(heap, n->block + n->n_in * sizeof(cbm_tape_ref));
    if (!image)
        return NULL;
    memcpy(image, n, n->block);
    *image = (cbm_node){ .op = n->op, .cx = n->cx, .block = n->block, .n_in = n->n_in, .n_out = n->n_out };
    cbm_node_lay_out(image);
    for (size_t i = 0; i < n->n_out; i++)
        image->out[i] = (cbm_value){ .cx = n->cx,
                                     .count = n->out[i].count,
                                     .dtype = n->out[i].dtype,
                                     .index = (uint8_t)i,
                                     .shape = n->out[i].shape };
    return image;
}

static bool write_entry(cbm_context *cx, cbm_node *n, bool built_in)
{
    cbm_replay *r = &cx->replay;
    if (r->nodes.count >= CBM_TAPE_LONGEST)
        return false;
    cbm_tape_entry e = {
        .op = n->op, .n_in = n->n_in, .n_out = n->n_out, .built_in = built_in && n->n_in <= 24, .number = -1
    };
    e.image = image_of(cx->heap, n);
    if (!e.image)
        return false;
    e.in = (cbm_tape_ref *)(void *)((char *)e.image + n->block);
    bool ok = true;
    for (size_t i = 0; i < n->n_in && ok; i++)
        ok = name_input(r, n->in[i], &e.in[i]);
    if (ok && cbm_array_push(&r->tape->entries, &e))
        return true;
    cbm_heap_give(cx->heap, e.image, image_bytes(&e));
    return false;
}

void cbm_replay_note(cbm_context *cx, cbm_node *n, bool built_in)
{
    cbm_replay *r = &cx->replay;
    if (r->state == CBM_REPLAY_OFF)
        return;
    bool goes_on = r->state == CBM_REPLAY_FOLLOWS ? is_next(r, n) : write_entry(cx, n, built_in);
    n->number = (int32_t)r->nodes.count;
    if (!goes_on || !cbm_array_push(&r->nodes, &n)) {
        n->number = -1;
        cbm_replay_stop(cx);
    }
}
