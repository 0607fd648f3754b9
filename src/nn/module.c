/* module.c: making, naming, calling and releasing modules. A module is its user's struct plus private parts (parts.h);
   the context owns it. Rests on tensor/ and base/. */
#include "nn/parts.h"
#include <stdio.h>
#include <string.h>

static cbm_module failed_module = { .type = "failed", .failed = true };

/* ---- life ---- */

static void free_module(cbm_module *m)
{
    cbm_heap *heap = cbm_context_heap(m->cx);
    struct cbm_module_parts *parts = m->parts;
    for (size_t i = 0; i < parts->parameters.count; i++)
        cbm_release(CBM_PART(parts->parameters, i).tensor);
    for (size_t i = 0; i < parts->buffers.count; i++)
        cbm_release(CBM_PART(parts->buffers, i).tensor);
    cbm_reparametrisation_free(m);
    cbm_names_free(m);
    cbm_names_changed(m->cx);
    cbm_array_free(&parts->parameters);
    cbm_array_free(&parts->buffers);
    cbm_array_free(&parts->children);
    size_t size = parts->size;
    cbm_heap_give(heap, parts, sizeof *parts);
    cbm_heap_give(heap, m, size);
}

/* Called when the context closes: only this module, its children are objects of the context too. */
static void destroy_module(void *object)
{
    cbm_module *m = object;
    if (m->destroy)
        m->destroy(m);
    free_module(m);
}

cbm_module *cbm_module_at(cbm_context *cx, uint64_t address)
{
    for (size_t i = 0; i < cx->owned.count; i++) {
        const cbm_owned *o = &CBM_AT(&cx->owned, cbm_owned, i);
        if ((uint64_t)(uintptr_t)o->object == address && o->destroy == destroy_module)
            return o->object;
    }
    return NULL;
}

static cbm_module *make(cbm_context *cx, size_t size, cbm_forward_fn forward)
{
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_module *m = cbm_heap_take_zero(heap, size);
    struct cbm_module_parts *parts = m ? cbm_heap_take_zero(heap, sizeof *parts) : NULL;
    if (!parts) {
        cbm_heap_give(heap, m, size);
        return NULL;
    }
    parts->size = size;
    parts->parameters = CBM_ARRAY(heap, cbm_part);
    parts->buffers = CBM_ARRAY(heap, cbm_part);
    parts->children = CBM_ARRAY(heap, cbm_part);
    m->cx = cx;
    m->forward = forward;
    m->training = true;
    m->parts = parts;
    if (cbm_context_own(cx, m, destroy_module))
        return m;
    free_module(m);
    return NULL;
}

cbm_module *cbm_module_new(cbm_context *cx, size_t size, cbm_forward_fn forward)
{
    if (!cx || !cbm_context_ready(cx))
        return NULL;
    if (size < sizeof(cbm_module) || !forward) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[module] %s",
                 forward ? "the size is smaller than that of a cbm_module" : "the forward function is NULL");
        return NULL;
    }
    cbm_module *m = make(cx, size, forward);
    if (!m)
        cbm_fail_memory(cx, "a module");
    return m;
}

cbm_module *cbm_module_failed(cbm_context *cx)
{
    if (!cx || cx->broken || !cbm_context_heap(cx))
        return &failed_module;
    cbm_module *m = make(cx, sizeof *m, NULL);
    if (!m)
        return &failed_module;
    m->type = "failed";
    m->failed = true;
    return m;
}

void cbm_module_release(cbm_module *m)
{
    if (!m || !m->parts || m->parts->holders > 0)
        return;
    cbm_context_disown(m->cx, m);
    if (m->destroy)
        m->destroy(m);
    for (size_t i = 0; i < m->parts->children.count; i++) {
        cbm_module *child = CBM_PART(m->parts->children, i).child;
        child->parts->holders--;
        cbm_module_release(child);
    }
    free_module(m);
}

/* ---- parts ---- */

static bool usable(const cbm_module *m)
{
    return m && !m->failed && m->parts;
}

static const char *type_of(const cbm_module *m)
{
    return m->type ? m->type : "module";
}

static bool name_taken(const cbm_array *array, const char *name)
{
    for (size_t i = 0; i < array->count; i++)
        if (strcmp(CBM_PART(*array, i).name, name) == 0)
            return true;
    return false;
}

static cbm_status add_part(cbm_module *m, cbm_array *array, const char *name, cbm_tensor *tensor, cbm_module *child)
{
    const struct cbm_module_parts *parts = m->parts;
    if (!name || !*name || strlen(name) >= CBM_PART_NAME || strchr(name, '.'))
        return cbm_fail(m->cx, CBM_ERROR_INVALID, "[module] '%.80s' cannot name a part: 1 to %d characters without '.'",
                        name ? name : "", CBM_PART_NAME - 1);
    if (name_taken(&parts->parameters, name) || name_taken(&parts->buffers, name) || name_taken(&parts->children, name))
        return cbm_fail(m->cx, CBM_ERROR_INVALID, "[module] this %s has a part named '%s' already", type_of(m), name);
    cbm_part part = { .tensor = tensor, .child = child };
    memcpy(part.name, name, strlen(name) + 1);
    if (!cbm_array_push(array, &part))
        return cbm_fail_memory(m->cx, "a part of a module");
    cbm_retain(tensor);
    cbm_names_changed(m->cx);
    return CBM_OK;
}

static cbm_status add_variable(cbm_module *m, cbm_array *array, const char *name, cbm_tensor *variable)
{
    if (!cbm_context_ready(m->cx))
        return cbm_context_status(m->cx);
    if (!variable)
        return CBM_OK;
    if (!cbm_usable(m->cx, variable))
        return cbm_context_status(m->cx);
    if (!cbm_is_variable(variable))
        return cbm_fail(m->cx, CBM_ERROR_INVALID, "[module] '%s' is not a variable. HINT: cbm_variable(tensor, true)",
                        name ? name : "");
    return add_part(m, array, name, variable, NULL);
}

cbm_status cbm_add_parameter(cbm_module *m, const char *name, cbm_tensor *variable)
{
    return usable(m) ? add_variable(m, &m->parts->parameters, name, variable) : CBM_ERROR_STATE;
}

cbm_status cbm_add_buffer(cbm_module *m, const char *name, cbm_tensor *variable)
{
    return usable(m) ? add_variable(m, &m->parts->buffers, name, variable) : CBM_ERROR_STATE;
}

static bool contains(const cbm_module *m, const cbm_module *target)
{
    if (m == target)
        return true;
    for (size_t i = 0; i < m->parts->children.count; i++)
        if (contains(CBM_PART(m->parts->children, i).child, target))
            return true;
    return false;
}

cbm_status cbm_add_module(cbm_module *m, const char *name, cbm_module *child)
{
    if (!usable(m))
        return CBM_ERROR_STATE;
    if (!cbm_context_ready(m->cx))
        return cbm_context_status(m->cx);
    if (!usable(child))
        return cbm_fail(m->cx, CBM_ERROR_INVALID, "[module] the part '%s' is %s", name ? name : "",
                        child ? "a failed module" : "NULL");
    if (child->cx != m->cx)
        return cbm_fail(m->cx, CBM_ERROR_INVALID, "[module] the part '%s' belongs to another context",
                        name ? name : "");
    if (contains(child, m))
        return cbm_fail(m->cx, CBM_ERROR_INVALID, "[module] '%s' cannot be a part of itself", name ? name : "");
    cbm_status status = add_part(m, &m->parts->children, name, NULL, child);
    if (status == CBM_OK)
        child->parts->holders++;
    return status;
}

size_t cbm_child_count(const cbm_module *m)
{
    return usable(m) ? m->parts->children.count : 0;
}

cbm_module *cbm_child_at(const cbm_module *m, size_t index, const char **name)
{
    bool found = index < cbm_child_count(m);
    if (name)
        *name = found ? CBM_PART(m->parts->children, index).name : NULL;
    return found ? CBM_PART(m->parts->children, index).child : NULL;
}

bool cbm_module_path(const cbm_module *network, const cbm_module *target, char *out, size_t size)
{
    if (network == target) {
        out[0] = 0;
        return true;
    }
    for (size_t i = 0; i < network->parts->children.count; i++) {
        const cbm_part *part = &CBM_PART(network->parts->children, i);
        size_t length = strlen(part->name);
        if (length + 2 > size || !cbm_module_path(part->child, target, out + length + 1, size - length - 1))
            continue;
        memcpy(out, part->name, length);
        out[length] = out[length + 1] ? '.' : 0;
        return true;
    }
    return false;
}

/* ---- calling ---- */

/* The module's own forward. */
static cbm_tensor *plain_forward(cbm_module *m, cbm_tensor *x, void *user)
{
    (void)user;
    return m->parts->checkpoint ? cbm_checkpoint_forward(m, x) : m->forward(m, x);
}

cbm_tensor *cbm_call_as(cbm_module *m, cbm_tensor *x, cbm_forward_as_fn forward, void *user)
{
    cbm_context *cx = usable(m) ? m->cx : x ? x->cx : m ? m->cx : NULL;
    if (!cx)
        return &cbm_context_broken.failed;
    if (!usable(m))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[call] the module is %s", m ? "a failed one" : "NULL");
    if (!forward)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[call] the forward function is NULL");
    if (!cbm_usable(cx, x))
        return &cx->failed;
    cbm_watch *watch = m->parts->watch;
    uint64_t first = cx->sequence;
    cbm_scope *scope = cx->scope;
    const uint8_t outer = scope->precision;
    if (m->parts->precision != CBM_PRECISION_OUTER)
        scope->precision = (uint8_t)m->parts->precision;
    if (m->parts->precision == CBM_PRECISION_F32 && cbm_tensor_dtype(x) == CBM_BF16)
        x = cbm_cast(x, CBM_F32); /* nothing else would */
    cbm_tensor *y = forward(m, x, user);
    if (cx->scope == scope)
        scope->precision = outer;
    if (!y)
        return cbm_fail_tensor(cx, CBM_ERROR_CALLBACK, "[call] the forward function of a %s returned NULL", type_of(m));
    if (watch && !y->failed) {
        char name[256] = "";
        cbm_module_path(watch->network, m, name, sizeof name);
        watch->first_sequence = first;
        watch->see(name, m, x, y, watch->user);
    }
    return y;
}

cbm_tensor *cbm_call(cbm_module *m, cbm_tensor *x)
{
    return cbm_call_as(m, x, plain_forward, NULL);
}

static void set_watch(cbm_module *m, cbm_watch *watch)
{
    m->parts->watch = watch;
    for (size_t i = 0; i < m->parts->children.count; i++)
        set_watch(CBM_PART(m->parts->children, i).child, watch);
}

cbm_tensor *cbm_call_watched(cbm_module *network, cbm_tensor *x, cbm_watch_fn see, void *user)
{
    if (!usable(network) || !see)
        return cbm_call(network, x);
    cbm_watch watch = { .network = network, .see = see, .user = user };
    set_watch(network, &watch);
    cbm_tensor *y = cbm_call(network, x);
    set_watch(network, NULL);
    return y;
}

static void set_training(cbm_module *m, bool training)
{
    if (!usable(m))
        return;
    m->training = training;
    for (size_t i = 0; i < m->parts->children.count; i++)
        set_training(CBM_PART(m->parts->children, i).child, training);
}

void cbm_train(cbm_module *m)
{
    set_training(m, true);
}

void cbm_eval(cbm_module *m)
{
    set_training(m, false);
}

void cbm_module_set_precision(cbm_module *m, cbm_precision precision)
{
    if (!usable(m))
        return;
    if ((unsigned)precision > CBM_PRECISION_BF16)
        cbm_fail(m->cx, CBM_ERROR_INVALID, "[module] precision is none of cbm_precision's");
    else
        m->parts->precision = precision;
}
