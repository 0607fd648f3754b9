/* named.c: the parameters and buffers of a module and all below it, with PyTorch's dotted names. Each module keeps the list that it
   was last asked for, as long as no module of its context gets other parts. */
#include "nn/parts.h"
#include <stdlib.h>
#include <string.h>

typedef struct entry {
    cbm_tensor *tensor;
    size_t name; /* where it begins in text */
    bool buffer, repeated;
} entry;

struct cbm_names {
    uint64_t edits;          /* of the context, when this was listed */
    cbm_array entries, text; /* of entry; chars */
};

void cbm_names_changed(cbm_context *cx)
{
    cx->module_edits++;
}

static void free_names(cbm_context *cx, struct cbm_names *n)
{
    if (!n)
        return;
    cbm_array_free(&n->entries);
    cbm_array_free(&n->text);
    cbm_heap_give(cbm_context_heap(cx), n, sizeof *n);
}

void cbm_names_free(cbm_module *m)
{
    for (int i = 0; i < 2; i++) {
        free_names(m->cx, m->parts->names[i]);
        m->parts->names[i] = NULL;
    }
}

/* ---- listing ---- */

typedef struct walk {
    struct cbm_names *names;
    cbm_context *cx;
    bool state; /* buffers too, and shared parameters at each of their places, as in state_dict */
    char path[256];
    size_t length;
} walk;

/* Appends a name to the path; its old length, or SIZE_MAX if the path would not fit. */
static size_t extend(walk *w, const char *name)
{
    size_t old = w->length, more = strlen(name), dot = old > 0 ? 1 : 0;
    if (old + dot + more >= sizeof w->path) {
        cbm_fail(w->cx, CBM_ERROR_INVALID, "[module] a part's full name is longer than %zu characters",
                 sizeof w->path - 1);
        return SIZE_MAX;
    }
    if (dot)
        w->path[old] = '.';
    memcpy(w->path + old + dot, name, more + 1);
    w->length = old + dot + more;
    return old;
}

static void shorten(walk *w, size_t length)
{
    w->length = length;
    w->path[length] = 0;
}

static bool no_memory(walk *w)
{
    cbm_fail_memory(w->cx, "a list of parameters");
    return false;
}

static bool list_all(walk *w, const cbm_array *array, bool buffers)
{
    for (size_t i = 0; i < array->count; i++) {
        const cbm_part *part = &CBM_PART(*array, i);
        const size_t old = extend(w, part->name);
        if (old == SIZE_MAX)
            return false;
        const entry e = { .tensor = part->tensor, .name = w->names->text.count, .buffer = buffers };
        if (!cbm_array_append(&w->names->text, w->path, w->length + 1) || !cbm_array_push(&w->names->entries, &e))
            return no_memory(w);
        shorten(w, old);
    }
    return true;
}

static bool descend(walk *w, const cbm_module *m)
{
    if (!list_all(w, &m->parts->parameters, false) || (w->state && !list_all(w, &m->parts->buffers, true)))
        return false;
    for (size_t i = 0; i < m->parts->children.count; i++) {
        const cbm_part *part = &CBM_PART(m->parts->children, i);
        const size_t old = extend(w, part->name);
        if (old == SIZE_MAX || !descend(w, part->child))
            return false;
        shorten(w, old);
    }
    return true;
}

static int by_tensor(const void *a, const void *b)
{
    const entry *x = *(entry *const *)a, *y = *(entry *const *)b;
    const uintptr_t p = (uintptr_t)x->tensor, q = (uintptr_t)y->tensor;
    return p != q ? (p > q) - (p < q) : (x > y) - (x < y);
}

/* A parameter that two modules share is listed where it is met first. */
static bool drop_repeated(walk *w)
{
    cbm_array *entries = &w->names->entries, sorted = CBM_ARRAY(cbm_context_heap(w->cx), entry *);
    bool ok = true;
    for (size_t i = 0; i < entries->count && ok; i++) {
        entry *e = &CBM_AT(entries, entry, i);
        ok = cbm_array_push(&sorted, &e) != NULL;
    }
    if (ok && sorted.count > 1)
        qsort(sorted.data, sorted.count, sizeof(entry *), by_tensor);
    for (size_t i = 1; i < sorted.count && ok; i++)
        CBM_AT(&sorted, entry *, i)->repeated =
            CBM_AT(&sorted, entry *, i)->tensor == CBM_AT(&sorted, entry *, i - 1)->tensor;
    size_t kept = 0;
    for (size_t i = 0; i < entries->count && ok; i++)
        if (!CBM_AT(entries, entry, i).repeated)
            CBM_AT(entries, entry, kept++) = CBM_AT(entries, entry, i);
    entries->count = ok ? kept : 0;
    cbm_array_free(&sorted);
    return ok || no_memory(w);
}

/* The list of a module's parameters, or of its state; NULL: there is none (the context may say why). */
static const struct cbm_names *names_of(const cbm_module *m, bool state)
{
    if (!m || m->failed || !m->parts)
        return NULL;
    cbm_heap *heap = cbm_context_heap(m->cx);
    struct cbm_names **place = &m->parts->names[state];
    if (*place && (*place)->edits == m->cx->module_edits)
        return *place;
    walk w = { .cx = m->cx, .state = state, .names = *place ? *place : cbm_heap_take_zero(heap, sizeof **place) };
    if (!w.names) {
        no_memory(&w);
        return NULL;
    }
    if (!*place)
        *w.names = (struct cbm_names){ .entries = CBM_ARRAY(heap, entry), .text = CBM_ARRAY(heap, char) };
    w.names->entries.count = w.names->text.count = 0;
    w.names->edits = m->cx->module_edits;
    *place = w.names;
    if (descend(&w, m) && (state || drop_repeated(&w)))
        return w.names;
    free_names(m->cx, w.names);
    *place = NULL;
    return NULL;
}

static const char *name_at(const struct cbm_names *n, size_t i)
{
    return (const char *)n->text.data + CBM_AT(&n->entries, entry, i).name;
}

static size_t count(const cbm_module *m, bool state)
{
    const struct cbm_names *n = names_of(m, state);
    return n ? n->entries.count : 0;
}

static bool at(const cbm_module *m, size_t index, bool state, cbm_named *out)
{
    const struct cbm_names *n = out ? names_of(m, state) : NULL;
    if (!n || index >= n->entries.count)
        return false;
    const entry *e = &CBM_AT(&n->entries, entry, index);
    out->tensor = e->tensor;
    out->buffer = e->buffer;
    strcpy(out->name, name_at(n, index));
    return true;
}

static bool find(const cbm_module *m, const char *name, cbm_named *out)
{
    const struct cbm_names *n = names_of(m, true);
    for (size_t i = 0; n && i < n->entries.count; i++)
        if (strcmp(name_at(n, i), name) == 0)
            return at(m, i, true, out);
    return false;
}

size_t cbm_parameter_count(const cbm_module *m)
{
    return count(m, false);
}

bool cbm_parameter_at(const cbm_module *m, size_t index, cbm_named *out)
{
    return at(m, index, false, out);
}

size_t cbm_state_count(const cbm_module *m)
{
    return count(m, true);
}

bool cbm_state_at(const cbm_module *m, size_t index, cbm_named *out)
{
    return at(m, index, true, out);
}

cbm_tensor *cbm_parameter(cbm_module *m, const char *name)
{
    if (!m || m->failed || !m->parts)
        return m && m->cx ? cbm_fail_tensor(m->cx, CBM_ERROR_STATE, "[parameter] the module is a failed one")
                          : &cbm_context_broken.failed;
    cbm_named found;
    if (find(m, name ? name : "", &found))
        return found.tensor;
    return cbm_fail_tensor(m->cx, CBM_ERROR_INVALID,
                           "[parameter] this network has no parameter or buffer named '%.200s'",
                           name ? name : "(null)");
}

int64_t cbm_parameter_elements(const cbm_module *m)
{
    int64_t total = 0;
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(m, i, &named); i++)
        total += cbm_tensor_count(named.tensor);
    return total;
}

void cbm_module_set_trainable(cbm_module *m, bool trainable)
{
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(m, i, &named); i++)
        cbm_set_trainable(named.tensor, trainable);
}

static cbm_status share_one(cbm_module *to, const cbm_named *mine, cbm_module *from)
{
    cbm_named theirs;
    if (!find(from, mine->name, &theirs))
        return cbm_fail(to->cx, CBM_ERROR_INVALID, "[share] the other network has no parameter or buffer named '%s'",
                        mine->name);
    return cbm_share(mine->tensor, theirs.tensor);
}

cbm_status cbm_module_share(cbm_module *to, cbm_module *from)
{
    cbm_named named;
    if (!to || !to->cx || !from || !from->cx)
        return CBM_ERROR_INVALID;
    if (to->failed || from->failed)
        return cbm_fail(to->cx, CBM_ERROR_STATE, "[share] a network is a failed one");
    if (count(to, true) != count(from, true))
        return cbm_fail(to->cx, CBM_ERROR_INVALID, "[share] the networks have %zu and %zu parameters and buffers",
                        count(to, true), count(from, true));
    if (cbm_flush(from->cx) != CBM_OK)
        return cbm_fail(to->cx, cbm_context_status(from->cx), "[share] %s", cbm_message(from->cx));
    for (size_t i = 0; cbm_state_at(to, i, &named); i++)
        if (share_one(to, &named, from) != CBM_OK)
            return cbm_context_status(to->cx);
    return cbm_context_status(to->cx);
}
