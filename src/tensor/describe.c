/* describe.c: how a tensor was recorded, as text. Rests on graph.h. */
#include "tensor/context.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct writer {
    cbm_tensor *const *known;
    const char *const *names;
    size_t count;
    char *text;
    size_t size, length; /* room, and what the whole text would take */
} writer;

/* What does not fit is still counted, so that the caller learns the length; but shared parts of a large graph would be counted
   again and again: far behind the end it stops. */
static bool full(const writer *w)
{
    return w->length > 4 * w->size + 4096;
}

static void put(writer *w, const char *text)
{
    const size_t n = strlen(text), room = w->size > w->length ? w->size - w->length - 1 : 0;
    if (w->size > w->length)
        memcpy(w->text + w->length, text, n < room ? n : room);
    w->length += n;
    if (w->size)
        w->text[w->length < w->size ? w->length : w->size - 1] = 0;
}

/* The number that a node without operands makes everywhere. */
static void put_number(writer *w, const cbm_node *n)
{
    char text[32];
    double value = NAN;
    for (size_t i = 0; i < n->op->n_attributes; i++)
        if (strcmp(n->op->attributes[i].name, "value") == 0)
            memcpy(&value, (const char *)n->attributes + n->op->attributes[i].offset, sizeof value);
    if (isnan(value))
        put(w, n->op->name);
    else
        put(w, cbm_double_text(value, text, sizeof text));
}

static void put_value(writer *w, const cbm_value *v)
{
    const cbm_node *n = v->node;
    for (size_t i = 0; i < w->count; i++)
        if (w->known[i] && w->known[i]->value == v) {
            put(w, w->names[i]);
            return;
        }
    if (full(w))
        return;
    if (!n || n->state == CBM_NODE_SHELL) {
        put(w, v->variable ? "variable" : "value");
        return;
    }
    if (!n->n_in) {
        put_number(w, n);
        return;
    }
    put(w, n->op->name);
    for (size_t i = 0; i < n->n_in; i++) {
        put(w, i ? ", " : "(");
        put_value(w, n->in[i]);
    }
    put(w, ")");
}

size_t cbm_tensor_expression(const cbm_tensor *t, cbm_tensor *const *known, const char *const *names, size_t count,
                             char *buffer, size_t size)
{
    writer w = { known, names, count, buffer, size, 0 };
    put(&w, "");
    if (!t || t->failed || !t->value)
        put(&w, "failed");
    else
        put_value(&w, t->value);
    return w.length;
}
