/* container.c: modules made of others: sequential, residual, parallel, lists and dictionaries, functions. */
#include "nn/layer.h"
#include <stdio.h>
#include <string.h>

/* A longer list has surely lost its CBM_END. */
#define LONGEST_LIST 4096

static size_t length_of(cbm_module *const *modules)
{
    size_t count = 0;
    while (modules && count < LONGEST_LIST && modules[count] != CBM_END)
        count++;
    return count;
}

/* Adds children named "0", "1", ... and finishes m. */
static cbm_module *finish_numbered(cbm_module *m, size_t count, cbm_module *const *modules)
{
    if (count > 0 && !modules) {
        cbm_fail(m->cx, CBM_ERROR_INVALID, "[%s] the list of modules is NULL", m->type);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof name, "%zu", i);
        if (cbm_add_module(m, name, modules[i]) != CBM_OK)
            break;
    }
    return cbm_layer_finish(m);
}

static cbm_module *child_at(const cbm_module *m, size_t i)
{
    return CBM_PART(m->parts->children, i).child;
}

/* ---- one after the other ---- */

static cbm_tensor *sequential_forward(cbm_module *self, cbm_tensor *x)
{
    for (size_t i = 0; i < self->parts->children.count; i++)
        x = cbm_call(child_at(self, i), x);
    return x;
}

cbm_module *cbm_sequential_of(cbm_context *cx, size_t count, cbm_module *const *modules)
{
    cbm_module *m = cbm_layer_new(cx, sizeof *m, "sequential", sequential_forward);
    return m ? finish_numbered(m, count, modules) : cbm_module_failed(cx);
}

cbm_module *cbm_sequential_list(cbm_context *cx, cbm_module *const *modules)
{
    return cbm_sequential_of(cx, length_of(modules), modules);
}

/* ---- side by side ---- */

static cbm_tensor *residual_forward(cbm_module *self, cbm_tensor *x)
{
    cbm_tensor *y = cbm_call(child_at(self, 0), x);
    return cbm_add(self->parts->children.count > 1 ? cbm_call(child_at(self, 1), x) : x, y);
}

cbm_module *cbm_residual(cbm_context *cx, cbm_module *body, cbm_module *shortcut)
{
    cbm_module *m = cbm_layer_new(cx, sizeof *m, "residual", residual_forward);
    if (!m)
        return cbm_module_failed(cx);
    cbm_add_module(m, "body", body);
    if (shortcut)
        cbm_add_module(m, "shortcut", shortcut);
    return cbm_layer_finish(m);
}

typedef struct parallel {
    cbm_module module;
    cbm_join join;
    int64_t axis;
} parallel;

static cbm_tensor *parallel_forward(cbm_module *self, cbm_tensor *x)
{
    const parallel *m = (parallel *)self;
    const size_t count = self->parts->children.count;
    cbm_tensor *results[CBM_MAX_INPUTS] = { NULL }, *sum = NULL;
    for (size_t i = 0; i < count; i++) {
        results[i] = cbm_call(child_at(self, i), x);
        sum = m->join == CBM_JOIN_CONCAT ? NULL : sum ? cbm_add(sum, results[i]) : results[i];
    }
    return sum ? sum : cbm_concat(results, count, m->axis);
}

cbm_module *cbm_parallel_of(cbm_context *cx, cbm_join join, int64_t axis, size_t count, cbm_module *const *modules)
{
    parallel *m = cbm_layer_new(cx, sizeof *m, "parallel", parallel_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->join = join;
    m->axis = axis;
    if (count < 1 || count > CBM_MAX_INPUTS)
        cbm_fail(cx, CBM_ERROR_INVALID, "[parallel] %zu modules; 1 to %d are possible", count, CBM_MAX_INPUTS);
    else if (join != CBM_JOIN_CONCAT && join != CBM_JOIN_SUM)
        cbm_fail(cx, CBM_ERROR_INVALID, "[parallel] join is none of cbm_join's");
    return cbm_context_status(cx) == CBM_OK ? finish_numbered(&m->module, count, modules)
                                            : cbm_layer_finish(&m->module);
}

cbm_module *cbm_parallel_list(cbm_context *cx, cbm_join join, int64_t axis, cbm_module *const *modules)
{
    return cbm_parallel_of(cx, join, axis, length_of(modules), modules);
}

/* ---- holders ---- */

static cbm_tensor *no_forward(cbm_module *self, cbm_tensor *x)
{
    (void)x;
    return cbm_fail_tensor(self->cx, CBM_ERROR_UNSUPPORTED,
                           "[%s] holds modules and has no forward. HINT: call its children, cbm_child(list, \"0\")",
                           self->type);
}

cbm_module *cbm_module_list_of(cbm_context *cx, size_t count, cbm_module *const *modules)
{
    cbm_module *m = cbm_layer_new(cx, sizeof *m, "module_list", no_forward);
    return m ? finish_numbered(m, count, modules) : cbm_module_failed(cx);
}

cbm_module *cbm_module_list_list(cbm_context *cx, cbm_module *const *modules)
{
    return cbm_module_list_of(cx, length_of(modules), modules);
}

cbm_module *cbm_module_dict_of(cbm_context *cx, size_t count, const cbm_module_entry *entries)
{
    cbm_module *m = cbm_layer_new(cx, sizeof *m, "module_dict", no_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (count > 0 && !entries)
        cbm_fail(cx, CBM_ERROR_INVALID, "[module_dict] the list of entries is NULL");
    for (size_t i = 0; entries && i < count && cbm_context_status(cx) == CBM_OK; i++)
        cbm_add_module(m, entries[i].name, entries[i].module);
    return cbm_layer_finish(m);
}

cbm_module *cbm_child(cbm_module *m, const char *name)
{
    if (!m || m->failed || !m->parts)
        return NULL;
    for (size_t i = 0; name && i < m->parts->children.count; i++)
        if (strcmp(CBM_PART(m->parts->children, i).name, name) == 0)
            return child_at(m, i);
    cbm_fail(m->cx, CBM_ERROR_INVALID, "[child] this %s has no part named '%.80s'", m->type ? m->type : "module",
             name ? name : "(null)");
    return NULL;
}

/* ---- functions ---- */

typedef struct function {
    cbm_module module;
    cbm_tensor_fn call;
    void *user;
    void (*destroy)(void *user);
} function;

static cbm_tensor *function_forward(cbm_module *self, cbm_tensor *x)
{
    const function *m = (function *)self;
    return m->call(x, m->user);
}

static void function_destroy(cbm_module *self)
{
    const function *m = (function *)self;
    if (m->destroy)
        m->destroy(m->user);
}

cbm_module *cbm_nn_function(cbm_context *cx, const char *name, cbm_tensor_fn call, void *user,
                            void (*destroy)(void *user))
{
    function *m = call ? cbm_layer_new(cx, sizeof *m, name ? name : "function", function_forward) : NULL;
    if (!call && cx)
        cbm_fail(cx, CBM_ERROR_INVALID, "[function] the function is NULL");
    if (!m) {
        if (destroy)
            destroy(user);
        return cbm_module_failed(cx);
    }
    m->call = call;
    m->user = user;
    m->destroy = destroy;
    m->module.destroy = function_destroy;
    return &m->module;
}

static cbm_tensor *identity_forward(cbm_module *self, cbm_tensor *x)
{
    (void)self;
    return x;
}

cbm_module *cbm_nn_identity(cbm_context *cx)
{
    return cbm_layer_plain(cx, "identity", identity_forward);
}
