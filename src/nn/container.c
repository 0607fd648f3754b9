/* container.c: sequential: modules one after the other. */
#include "nn/parts.h"
#include <stdio.h>

/* A longer list has surely lost its CBM_END. */
#define LONGEST_LIST 4096

static cbm_tensor *sequential_forward(cbm_module *self, cbm_tensor *x)
{
    for (size_t i = 0; i < self->parts->children.count; i++)
        x = cbm_call(CBM_PART(self->parts->children, i).child, x);
    return x;
}

cbm_module *cbm_sequential_of(cbm_context *cx, size_t count, cbm_module *const *modules)
{
    cbm_module *m = cbm_module_new(cx, sizeof *m, sequential_forward);
    if (!m)
        return cbm_module_failed(cx);
    m->type = "sequential";
    if (count > 0 && !modules) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[sequential] the list of modules is NULL");
        count = 0;
    }
    for (size_t i = 0; i < count; i++) {
        char name[24];
        snprintf(name, sizeof name, "%zu", i);
        if (cbm_add_module(m, name, modules[i]) != CBM_OK)
            break;
    }
    if (cbm_context_status(cx) == CBM_OK)
        return m;
    cbm_module_release(m);
    return cbm_module_failed(cx);
}

cbm_module *cbm_sequential_list(cbm_context *cx, cbm_module *const *modules)
{
    size_t count = 0;
    while (modules && count < LONGEST_LIST && modules[count] != CBM_END)
        count++;
    return cbm_sequential_of(cx, count, modules);
}
