/* savepoint.c: going back over several evaluations: the values that variables had are held, and put back. */
#define CBM_NO_CALL_SITES
#include "tensor/context.h"
#include <cambium/tensor.h>

typedef struct entry {
    cbm_tensor *variable;
    cbm_value *value, *gradient; /* slots, so that no plan overwrites them */
} entry;

bool cbm_savepoint_take(cbm_savepoint *s, cbm_context *cx)
{
    *s = (cbm_savepoint){ .cx = cx, .entries = CBM_ARRAY(cx->heap, entry) };
    if (cbm_flush(cx) != CBM_OK)
        return false;
    if (!cbm_array_reserve(&s->entries, cx->variables.count)) {
        cbm_fail_memory(cx, "a savepoint");
        return false;
    }
    for (size_t i = 0; i < cx->variables.count; i++) {
        cbm_tensor *t = CBM_AT(&cx->variables, cbm_tensor *, i);
        entry *e = cbm_array_push(&s->entries, &(entry){ .variable = cbm_retain(t) });
        cbm_slot_set(&e->value, t->value);
        cbm_slot_set(&e->gradient, t->gradient);
    }
    cbm_random_state(cx, &s->seed, &s->position);
    return true;
}

void cbm_savepoint_drop(cbm_savepoint *s)
{
    for (size_t i = 0; i < s->entries.count; i++) {
        entry *e = &CBM_AT(&s->entries, entry, i);
        cbm_slot_set(&e->value, NULL);
        cbm_slot_set(&e->gradient, NULL);
        cbm_release(e->variable);
    }
    cbm_array_free(&s->entries);
}

void cbm_savepoint_return(cbm_savepoint *s)
{
    cbm_context *cx = s->cx;
    cbm_rollback(cx);
    cbm_drop_pending(cx);
    for (size_t i = 0; i < s->entries.count; i++) {
        const entry *e = &CBM_AT(&s->entries, entry, i);
        cbm_tensor *t = e->variable;
        e->value->requires_grad = t->trainable;
        cbm_slot_set(&t->value, e->value);
        cbm_slot_set(&t->committed, e->value);
        cbm_slot_set(&t->gradient, e->gradient);
        cbm_slot_set(&t->gradient_committed, e->gradient);
    }
    cbm_set_random_state(cx, s->seed, s->position);
    cbm_savepoint_drop(s);
}
