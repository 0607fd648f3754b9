/* module_case.c: see module_case.h. */
#include "support/module_case.h"
#include "support/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

module_case module_case_open(const char *path, const char *name, const char *device, cbm_dtype dtype, double limit)
{
    module_case c = { .path = path, .name = name, .device = device, .dtype = dtype, .limit = limit };
    c.cx = cbm_open_with(.device = device, .threads = 2);
    c.file = cbm_safetensors_open(c.cx, path);
    good(c.cx);
    return c;
}

void module_case_close(module_case *c)
{
    good(c->cx);
    cbm_safetensors_close(c->file);
    cbm_close(c->cx);
}

static bool holds(module_case *c, const char *name)
{
    cbm_file_tensor t;
    for (size_t i = 0; cbm_safetensors_at(c->file, i, &t); i++)
        if (strcmp(t.name, name) == 0)
            return true;
    return false;
}

cbm_tensor *module_case_tensor(module_case *c, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s.%s", c->name, name);
    if (!holds(c, full))
        return NULL;
    cbm_tensor *t = cbm_safetensors_tensor(c->file, full);
    good(c->cx);
    return cbm_tensor_dtype(t) == CBM_F64 ? cbm_variable(cbm_cast(t, c->dtype), true) : t;
}

void module_case_load(module_case *c, cbm_module *net)
{
    char prefix[200];
    snprintf(prefix, sizeof prefix, "%s.init.", c->name);
    cbm_load(net, c->path, .prefix = prefix, .cast = true);
    good(c->cx);
}

/* The largest difference between t and the stored tensor, as a part of the latter's largest element (at least 1). */
static void compare(module_case *c, const char *name, cbm_tensor *t)
{
    char full[200];
    snprintf(full, sizeof full, "%s.%s", c->name, name);
    assert_non_null(t);
    cbm_tensor *want = cbm_safetensors_tensor(c->file, full);
    good(c->cx);
    const cbm_shape a = cbm_tensor_shape(t), b = cbm_tensor_shape(want);
    if (!cbm_shape_equal(&a, &b) || cbm_tensor_dtype(t) != c->dtype)
        fail_msg("%s on %s: another shape or dtype than stored: %s", full, c->device,
                 cbm_dtype_name(cbm_tensor_dtype(t)));
    const int64_t count = cbm_tensor_count(t);
    const size_t bytes = (size_t)count * sizeof(double);
    double *got = malloc(bytes + 1), *stored = malloc(bytes + 1), largest = 1, worst = 0;
    cbm_read(cbm_cast(cbm_detach(t), CBM_F64), got, bytes);
    cbm_read(want, stored, bytes);
    good(c->cx);
    for (int64_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(stored[i]));
        worst = got[i] == stored[i] ? worst : isfinite(got[i]) ? fmax(worst, fabs(got[i] - stored[i])) : INFINITY;
    }
    free(got);
    free(stored);
    if (!(worst <= c->limit * largest))
        fail_msg("%s on %s, %s: differs by %g", full, c->device, cbm_dtype_name(c->dtype), worst / largest);
}

void module_case_output(module_case *c, const char *name, cbm_tensor *result)
{
    compare(c, name, result);
    const int64_t count = cbm_tensor_count(result);
    double *w = malloc((size_t)count * sizeof *w + 1);
    for (int64_t i = 0; i < count; i++)
        w[i] = cos((double)(i + 1));
    cbm_tensor *weights = cbm_cast(cbm_tensor_from(c->cx, CBM_F64, cbm_tensor_shape(result), w), c->dtype);
    free(w);
    cbm_tensor *part = cbm_sum(cbm_mul(result, weights));
    c->loss = c->loss ? cbm_add(c->loss, part) : part;
}

void module_case_backward(module_case *c, cbm_module *net, const char *const *names, cbm_tensor *const *variables,
                          size_t count)
{
    char name[300];
    cbm_named p;
    cbm_backward(c->loss);
    good(c->cx);
    for (size_t i = 0; net && cbm_parameter_at(net, i, &p); i++) {
        snprintf(name, sizeof name, "grad.%s", p.name);
        compare(c, name, cbm_gradient(p.tensor));
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "grad_%s", names[i]);
        if (variables[i])
            compare(c, name, cbm_gradient(variables[i]));
    }
}
