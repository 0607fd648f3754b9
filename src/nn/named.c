/* named.c: walking over the parameters and buffers of a module and all below it, with PyTorch's dotted names. */
#include "nn/parts.h"
#include <string.h>

typedef struct walk {
    const cbm_module *root;
    bool state;        /* buffers too, and shared parameters at each of their places, as in state_dict */
    size_t seen;       /* entries passed */
    size_t parameters; /* parameters passed, repeated ones included */
    size_t wanted;     /* stop at this one */
    const char *name;  /* or at the one of this name */
    cbm_named *out;    /* NULL: only count */
    char path[256];
    size_t length;
} walk;

static bool descend(walk *w, const cbm_module *m);

/* Is this variable met before the parameter with this number? *number counts every one that the search passes. */
static bool met_before(const cbm_module *m, const cbm_tensor *tensor, size_t limit, size_t *number)
{
    for (size_t i = 0; i < m->parts->parameters.count; i++) {
        if (*number >= limit)
            return false;
        if (CBM_PART(m->parts->parameters, i).tensor == tensor)
            return true;
        ++*number;
    }
    for (size_t i = 0; i < m->parts->children.count && *number < limit; i++)
        if (met_before(CBM_PART(m->parts->children, i).child, tensor, limit, number))
            return true;
    return false;
}

static bool repeated(walk *w, const cbm_tensor *tensor)
{
    size_t number = 0;
    return met_before(w->root, tensor, w->parameters++, &number);
}

/* Appends a name to the path; its old length, or SIZE_MAX if the path would not fit. */
static size_t extend(walk *w, const char *name)
{
    size_t old = w->length, more = strlen(name), dot = old > 0 ? 1 : 0;
    if (old + dot + more >= sizeof w->path) {
        cbm_fail(w->root->cx, CBM_ERROR_INVALID, "[module] a part's full name is longer than %zu characters",
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

/* true: this was the wanted one, and out is filled. */
static bool visit(walk *w, const cbm_array *array, bool buffers)
{
    for (size_t i = 0; i < array->count; i++) {
        const cbm_part *part = &CBM_PART(*array, i);
        if (!buffers && !w->state && repeated(w, part->tensor))
            continue;
        size_t index = w->seen++;
        if (!w->out || (!w->name && index != w->wanted))
            continue;
        size_t old = extend(w, part->name);
        if (old == SIZE_MAX)
            return false;
        if (!w->name || strcmp(w->name, w->path) == 0) {
            memcpy(w->out->name, w->path, w->length + 1);
            w->out->tensor = part->tensor;
            w->out->buffer = buffers;
            return true;
        }
        shorten(w, old);
    }
    return false;
}

static bool descend(walk *w, const cbm_module *m)
{
    if (visit(w, &m->parts->parameters, false))
        return true;
    if (w->state && visit(w, &m->parts->buffers, true))
        return true;
    for (size_t i = 0; i < m->parts->children.count; i++) {
        const cbm_part *part = &CBM_PART(m->parts->children, i);
        size_t old = extend(w, part->name);
        if (old == SIZE_MAX)
            return false;
        if (descend(w, part->child))
            return true;
        shorten(w, old);
    }
    return false;
}

static size_t count(const cbm_module *m, bool state)
{
    if (!m || m->failed || !m->parts)
        return 0;
    walk w = { .root = m, .state = state };
    descend(&w, m);
    return w.seen;
}

static bool at(const cbm_module *m, size_t index, bool state, cbm_named *out)
{
    if (!m || m->failed || !m->parts || !out)
        return false;
    walk w = { .root = m, .state = state, .wanted = index, .out = out };
    return descend(&w, m);
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
    walk w = { .root = m, .state = true, .name = name ? name : "", .out = &found };
    if (descend(&w, m))
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
    walk w = { .root = from, .state = true, .name = mine->name, .out = &theirs };
    if (!descend(&w, from))
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
