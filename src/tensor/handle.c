/* handle.c: handles on values, scopes that own them, and the slots of variables. */
#include "tensor/context.h"
#define CBM_NO_CALL_SITES
#include <cambium/tensor.h>
#include <string.h>

cbm_tensor *cbm_handle(cbm_context *cx, cbm_value *value)
{
    cbm_tensor *t = cbm_heap_take_own(cx->heap, sizeof *t);
    if (!t) {
        cbm_fail_memory(cx, "a tensor's handle");
        return &cx->failed;
    }
    *t = (cbm_tensor){ .cx = cx, .value = value, .scope = cx->scope, .refs = 1, .next = cx->scope->first };
    if (t->next)
        t->next->previous = t;
    cx->scope->first = t;
    cbm_value_retain(value);
    value->handles++;
    return t;
}

static void unlink_from_scope(cbm_tensor *t)
{
    if (!t->scope)
        return;
    if (t->previous)
        t->previous->next = t->next;
    else
        t->scope->first = t->next;
    if (t->next)
        t->next->previous = t->previous;
    t->scope = NULL;
    t->previous = t->next = NULL;
}

void cbm_slot_set(cbm_value **slot, cbm_value *value)
{
    cbm_value *old = *slot;
    if (value) {
        cbm_value_retain(value);
        value->slots++;
    }
    *slot = value;
    if (old) {
        old->slots--;
        cbm_value_release(old);
    }
}

void cbm_variable_dirty(cbm_tensor *variable)
{
    if (variable->dirty)
        return;
    variable->dirty = true;
    variable->next_dirty = variable->cx->dirty;
    variable->cx->dirty = variable;
}

static void leave_dirty_list(cbm_tensor *variable)
{
    for (cbm_tensor **p = &variable->cx->dirty; *p; p = &(*p)->next_dirty)
        if (*p == variable) {
            *p = variable->next_dirty;
            break;
        }
    variable->dirty = false;
}

static void free_variable_parts(cbm_tensor *t)
{
    cbm_context *cx = t->cx;
    if (t->dirty)
        leave_dirty_list(t);
    cbm_hooks_free(cx, &t->hooks);
    t->versions++; /* this function's own, while the slots let go of theirs */
    cbm_slot_set(&t->value, NULL);
    cbm_slot_set(&t->committed, NULL);
    cbm_slot_set(&t->gradient, NULL);
    cbm_slot_set(&t->gradient_committed, NULL);
    for (size_t i = 0; i < cx->variables.count; i++)
        if (CBM_AT(&cx->variables, cbm_tensor *, i) == t) {
            CBM_AT(&cx->variables, cbm_tensor *, i) = CBM_AT(&cx->variables, cbm_tensor *, cx->variables.count - 1);
            cx->variables.count--;
            break;
        }
}

cbm_tensor *cbm_retain(cbm_tensor *t)
{
    if (t && !t->failed && !t->dead)
        t->refs++;
    return t;
}

void cbm_release(cbm_tensor *t)
{
    if (!t || t->failed || t->dead || --t->refs > 0)
        return;
    cbm_context *cx = t->cx;
    unlink_from_scope(t);
    if (t->variable) {
        free_variable_parts(t);
    } else {
        cbm_value *v = t->value;
        t->value = NULL;
        v->handles--;
        cbm_value_release(v);
    }
    bool kept = t->variable && --t->versions > 0; /* older versions still name it */
    t->dead = true;
    if ((cx->check_handles && cbm_array_push(&cx->graveyard, &t)) || kept)
        return;
    cbm_heap_give_own(cx->heap, t, sizeof *t);
}

void cbm_set(cbm_tensor **place, cbm_tensor *t)
{
    cbm_tensor *old = *place;
    *place = cbm_retain(t);
    cbm_release(old);
}

/* ---- scopes ---- */

static uint8_t precision_of(const cbm_context *cx, const cbm_scope_options *options)
{
    const bool given = options && options->struct_size >= sizeof *options && options->precision; /* older: shorter */
    return given ? (uint8_t)options->precision : cx->scope->precision;
}

cbm_scope *cbm_scope_begin_with(cbm_context *cx, const cbm_scope_options *options)
{
    cbm_scope *s = cx->broken ? NULL : cbm_heap_take_own(cx->heap, sizeof *s);
    if (s && precision_of(cx, options) > CBM_PRECISION_BF16)
        cbm_fail(cx, CBM_ERROR_INVALID, "[scope] precision is none of cbm_precision's");
    if (!s) {
        if (!cx->broken)
            cbm_fail_memory(cx, "a scope");
        return NULL; /* every function on scopes accepts NULL */
    }
    *s = (cbm_scope){ .cx = cx,
                      .parent = cx->scope,
                      .no_grad = cx->scope->no_grad || (options && options->no_grad),
                      .precision = precision_of(cx, options),
                      .quiet = options && options->quiet };
    cx->scope = s;
    return s;
}

cbm_scope *cbm_scope_begin(cbm_context *cx)
{
    return cbm_scope_begin_with(cx, NULL);
}

cbm_scope *cbm_scope_begin_no_grad(cbm_context *cx)
{
    cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1 };
    return cbm_scope_begin_with(cx, &options);
}

static void move_to(cbm_tensor *t, cbm_scope *scope)
{
    unlink_from_scope(t);
    t->scope = scope;
    t->next = scope->first;
    if (t->next)
        t->next->previous = t;
    scope->first = t;
}

/* Whether scope is outer or opened inside it. */
static bool within(const cbm_scope *scope, const cbm_scope *outer)
{
    while (scope && scope != outer)
        scope = scope->parent;
    return scope != NULL;
}

/* Lets go of the scope's handles; those that somebody retained stay, outside any scope. */
static void empty_scope(cbm_scope *s, cbm_array *survivors)
{
    while (s->first) {
        cbm_tensor *t = s->first;
        if (t->refs > 1 && t->value && survivors && !cbm_array_push(survivors, &t->value))
            cbm_fail_memory(s->cx, "the end of a scope");
        if (t->refs > 1)
            move_to(t, &s->cx->loose);
        cbm_release(t);
    }
}

/* Survivors are computed, and forget how they were made. */
static void evaluate_survivors(cbm_context *cx, cbm_array *survivors)
{
    if (cx->status != CBM_OK || (!cx->pending && !survivors->count))
        return;
    if (cx->engine->evaluate(cx, survivors->data, survivors->count) != CBM_OK)
        return;
    for (size_t i = 0; i < survivors->count; i++) {
        cbm_value *v = CBM_AT(survivors, cbm_value *, i);
        if (v->node && v->node->state == CBM_NODE_DONE && v->storage) {
            v->requires_grad = v->variable != NULL && v->requires_grad;
            cbm_node_end_history(v->node);
            cbm_node_settle(v->node);
        }
    }
}

static cbm_tensor *end_scope(cbm_scope *scope, cbm_tensor *result)
{
    if (!scope)
        return result;
    cbm_context *cx = scope->cx;
    if (!within(cx->scope, scope)) {
        cbm_fail(cx, CBM_ERROR_STATE, "[scope] the scope has ended already");
        return result;
    }
    bool given = result && !result->failed && within(result->scope, scope); /* else it lives longer anyway */
    if (given)
        move_to(result, scope);
    while (cx->scope != scope) /* scopes opened inside end with it */
        end_scope(cx->scope, NULL);
    cbm_array survivors = CBM_ARRAY(cx->heap, cbm_value *);
    if (given) {
        move_to(result, scope->parent);
        if (!scope->quiet && !cbm_array_push(&survivors, &result->value))
            cbm_fail_memory(cx, "the end of a scope");
    }
    empty_scope(scope, scope->quiet ? NULL : &survivors);
    cx->scope = scope->parent;
    if (!scope->quiet) {
        for (size_t i = 0; i < survivors.count; i++)
            cbm_value_retain(CBM_AT(&survivors, cbm_value *, i));
        evaluate_survivors(cx, &survivors);
        for (size_t i = 0; i < survivors.count; i++)
            cbm_value_release(CBM_AT(&survivors, cbm_value *, i));
    }
    cbm_array_free(&survivors);
    cbm_heap_give_own(cx->heap, scope, sizeof *scope);
    return result;
}

void cbm_scope_end(cbm_scope *scope)
{
    end_scope(scope, NULL);
}

cbm_tensor *cbm_scope_end_with(cbm_scope *scope, cbm_tensor *t)
{
    return end_scope(scope, t);
}
