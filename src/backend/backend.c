/* backend.c: finding a backend by name and a kernel by its operation, down the chain of fallbacks. Rests on the backends'
   own tables. */
#include "backend/backend.h"
#include "backend/measured.h"

#include <string.h>

static const cbm_backend *const all[] = { &cbm_backend_cpu, &cbm_backend_reference };

const cbm_backend *cbm_backend_named(const char *name)
{
    if (!name)
        return NULL;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

static bool all_plain(const cbm_launch *l)
{
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].layout != CBM_LAYOUT_PLAIN)
            return false;
    for (size_t i = 0; i < l->n_out; i++)
        if (l->out[i].layout != CBM_LAYOUT_PLAIN)
            return false;
    return true;
}

static const cbm_kernel *kernel_in_table(const cbm_kernel *table, const cbm_launch *shapes)
{
    for (const cbm_kernel *k = table; k->op; k++)
        if (strcmp(k->op, shapes->op->name) == 0 && (k->layout || all_plain(shapes)) &&
            (!shapes->after || (k->flags & CBM_KERNEL_POST)) && (!k->supports || k->supports(shapes)))
            return k;
    return NULL;
}

const cbm_kernel *cbm_backend_kernel(const cbm_backend *backend, const cbm_launch *shapes)
{
    /* A user's operation may carry the name of a built-in one: only records of the house get the house's kernels. */
    if (cbm_op_named(shapes->op->name) != shapes->op)
        return NULL;
    for (; backend; backend = backend->fallback) {
        for (const cbm_kernel *const *table = backend->tables; table && *table; table++) {
            const cbm_kernel *k = kernel_in_table(*table, shapes);
            if (k)
                return k;
        }
        const cbm_kernel *other = backend->other ? backend->other(shapes) : NULL;
        if (other)
            return other;
    }
    return NULL;
}

char *cbm_backend_measured(const cbm_backend *backend)
{
    return backend->measured ? backend->measured() : NULL;
}

bool cbm_backend_remember(const cbm_backend *backend, const char *text, size_t length)
{
    return backend->remember && backend->remember(text, length);
}
