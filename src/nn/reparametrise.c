/* reparametrise.c: weight and spectral normalisation. The layer's list of parameters is replaced by the new ones; during a
   call the layer sees its old list, with the computed weight in its place. */
#include "nn/layer.h"
#include <stdio.h>
#include <string.h>

struct cbm_reparametrisation {
    cbm_forward_fn forward;                    /* the layer's own */
    cbm_tensor *(*compute)(cbm_module *layer); /* the weight */
    cbm_array inner;                           /* the parameters that forward sees */
    size_t place;                              /* of the weight among them */
    char name[CBM_PART_NAME];                  /* the weight's */
    int64_t axis, iterations;
};

static cbm_tensor *part_named(const cbm_module *m, const char *ending, bool buffer)
{
    const cbm_array *parts = buffer ? &m->parts->buffers : &m->parts->parameters;
    char name[2 * CBM_PART_NAME];
    snprintf(name, sizeof name, "%s_%s", m->parts->reparametrisation->name, ending);
    for (size_t i = 0; i < parts->count; i++)
        if (strcmp(CBM_PART(*parts, i).name, name) == 0)
            return CBM_PART(*parts, i).tensor;
    return NULL;
}

static cbm_tensor *forward(cbm_module *m, cbm_tensor *x)
{
    struct cbm_reparametrisation *r = m->parts->reparametrisation;
    CBM_PART(r->inner, r->place).tensor = r->compute(m);
    const cbm_array outer = m->parts->parameters;
    m->parts->parameters = r->inner;
    cbm_names_changed(m->cx);
    cbm_tensor *y = r->forward(m, x);
    m->parts->parameters = outer;
    cbm_names_changed(m->cx);
    return y;
}

/* ---- weight normalisation ---- */

/* |x| over all axes but axis, which stays; axis -1: over all. */
static cbm_tensor *norm_of(cbm_tensor *x, int64_t axis)
{
    cbm_shape axes = { { 0 } };
    for (int64_t i = 0; i < cbm_tensor_rank(x); i++)
        if (i != axis)
            axes.v[++axes.v[0]] = i;
    return cbm_sqrt(cbm_sum(cbm_mul(x, x), .axes = axes, .keepdim = axis >= 0));
}

static cbm_tensor *weight_normed(cbm_module *m)
{
    cbm_tensor *g = part_named(m, "g", false), *v = part_named(m, "v", false);
    return cbm_mul(v, cbm_div(g, norm_of(v, m->parts->reparametrisation->axis)));
}

/* ---- spectral normalisation ---- */

#define SMALLEST_NORM 1e-12

/* The weight as a matrix: axis first. */
static cbm_tensor *as_matrix(cbm_tensor *w, int64_t axis)
{
    cbm_shape order = { { 1, axis } };
    for (int64_t i = 0; i < cbm_tensor_rank(w); i++)
        if (i != axis)
            order.v[++order.v[0]] = i;
    if (axis != 0)
        w = cbm_permute(w, order);
    return cbm_reshape(w, CBM_SHAPE(cbm_tensor_size(w, 0), -1));
}

static cbm_tensor *unit(cbm_tensor *x)
{
    return cbm_div(x, cbm_maximum(norm_of(x, -1), cbm_scalar(x->cx, cbm_tensor_dtype(x), SMALLEST_NORM)));
}

static cbm_tensor *spectral_normed(cbm_module *m)
{
    const struct cbm_reparametrisation *r = m->parts->reparametrisation;
    cbm_tensor *w = part_named(m, "orig", false), *u = part_named(m, "u", true), *v = part_named(m, "v", true);
    cbm_tensor *matrix = as_matrix(w, r->axis), *left = u, *right = v;
    if (m->training) {
        cbm_scope *scope = cbm_layer_scope(m->cx);
        for (int64_t i = 0; i < r->iterations; i++) {
            right = unit(cbm_matmul(cbm_transpose(matrix, 0, 1), left));
            left = unit(cbm_matmul(matrix, right));
        }
        cbm_assign(u, left);
        cbm_assign(v, right);
        cbm_scope_end(scope);
        left = u;
        right = v;
    }
    return cbm_div(w, cbm_sum(cbm_mul(left, cbm_matmul(matrix, right))));
}

/* ---- putting on and taking off ---- */

static cbm_module *refuse(cbm_module *layer, const char *who, const char *why)
{
    cbm_fail(layer->cx, CBM_ERROR_INVALID, "[%s] this %s %s", who, layer->type ? layer->type : "module", why);
    return cbm_module_failed(layer->cx);
}

static int64_t place_of(const cbm_module *m, const char *name)
{
    for (size_t i = 0; name && i < m->parts->parameters.count; i++)
        if (strcmp(CBM_PART(m->parts->parameters, i).name, name) == 0)
            return (int64_t)i;
    return -1;
}

/* The layer's list of parameters goes inside; a new one begins with all but the weight. NULL: no memory. */
static struct cbm_reparametrisation *begin(cbm_module *m, size_t place)
{
    cbm_heap *heap = cbm_context_heap(m->cx);
    struct cbm_reparametrisation *r = cbm_heap_take_zero(heap, sizeof *r);
    cbm_array others = CBM_ARRAY(heap, cbm_part);
    bool ok = r != NULL;
    for (size_t i = 0; ok && i < m->parts->parameters.count; i++)
        if (i != place)
            ok = cbm_array_push(&others, &CBM_PART(m->parts->parameters, i)) != NULL;
    if (!ok) {
        cbm_array_free(&others);
        cbm_heap_give(heap, r, sizeof *r);
        cbm_fail_memory(m->cx, "a layer's parameters");
        return NULL;
    }
    r->inner = m->parts->parameters;
    r->place = place;
    memcpy(r->name, CBM_PART(r->inner, place).name, sizeof r->name);
    r->forward = m->forward;
    m->parts->parameters = others;
    cbm_names_changed(m->cx);
    m->parts->reparametrisation = r;
    m->forward = forward;
    return r;
}

static void add_part(cbm_module *m, const char *ending, cbm_tensor *value, bool buffer, bool trainable)
{
    char name[2 * CBM_PART_NAME];
    snprintf(name, sizeof name, "%s_%s", m->parts->reparametrisation->name, ending);
    cbm_add_value(m, name, value, buffer, trainable);
}

/* The weight at place and its axis, checked; NULL: refused. */
static cbm_tensor *weight_of(cbm_module *m, const char *who, const char *name, int64_t axis, bool whole, size_t *place)
{
    const int64_t found = place_of(m, name);
    if (m->parts->reparametrisation) {
        refuse(m, who, "has a computed weight already");
        return NULL;
    }
    if (found < 0 || strlen(name) > CBM_PART_NAME - 8) {
        refuse(m, who, found < 0 ? "has no parameter of that name" : "has a parameter whose name is too long");
        return NULL;
    }
    cbm_tensor *w = CBM_PART(m->parts->parameters, (size_t)found).tensor;
    if (axis < (whole ? -1 : 0) || axis >= cbm_tensor_rank(w)) {
        refuse(m, who, "has no such axis in its weight");
        return NULL;
    }
    *place = (size_t)found;
    return w;
}

static bool usable(const cbm_module *m)
{
    return m && !m->failed && m->parts && cbm_context_ready(m->cx);
}

cbm_module *cbm_nn_weight_norm(cbm_module *m, const char *name, int64_t axis)
{
    size_t place;
    if (!usable(m))
        return m ? cbm_module_failed(m->cx) : cbm_module_failed(NULL);
    cbm_tensor *w = weight_of(m, "weight_norm", name, axis, true, &place);
    struct cbm_reparametrisation *r = w ? begin(m, place) : NULL;
    if (!r)
        return cbm_module_failed(m->cx);
    r->axis = axis;
    r->compute = weight_normed;
    cbm_scope *scope = cbm_layer_scope(m->cx);
    add_part(m, "g", norm_of(w, axis), false, w->trainable);
    add_part(m, "v", cbm_detach(w), false, w->trainable);
    cbm_scope_end(scope);
    cbm_release(w);
    return cbm_context_status(m->cx) == CBM_OK ? m : cbm_module_failed(m->cx);
}

cbm_module *cbm_nn_spectral_norm(cbm_module *m, const char *name, int64_t axis, int64_t iterations)
{
    size_t place;
    if (!usable(m))
        return m ? cbm_module_failed(m->cx) : cbm_module_failed(NULL);
    if (iterations < 1)
        return refuse(m, "spectral_norm", "needs one power iteration at least");
    cbm_tensor *w = weight_of(m, "spectral_norm", name, axis, false, &place);
    struct cbm_reparametrisation *r = w ? begin(m, place) : NULL;
    if (!r)
        return cbm_module_failed(m->cx);
    r->axis = axis;
    r->iterations = iterations;
    r->compute = spectral_normed;
    cbm_scope *scope = cbm_layer_scope(m->cx);
    const cbm_dtype dtype = cbm_tensor_dtype(w);
    const int64_t rows = cbm_tensor_size(w, axis), columns = rows ? cbm_tensor_count(w) / rows : 0;
    add_part(m, "orig", cbm_detach(w), false, w->trainable);
    add_part(m, "u", unit(cbm_normal(m->cx, dtype, CBM_SHAPE(rows), 0, 1)), true, false);
    add_part(m, "v", unit(cbm_normal(m->cx, dtype, CBM_SHAPE(columns), 0, 1)), true, false);
    cbm_scope_end(scope);
    cbm_release(w);
    return cbm_context_status(m->cx) == CBM_OK ? m : cbm_module_failed(m->cx);
}

/* Lets go of the parts whose names begin with the weight's and an underscore. */
static void drop_parts(const struct cbm_reparametrisation *r, cbm_array *parts)
{
    const size_t length = strlen(r->name);
    size_t kept = 0;
    for (size_t i = 0; i < parts->count; i++) {
        const cbm_part part = CBM_PART(*parts, i);
        if (strncmp(part.name, r->name, length) == 0 && part.name[length] == '_')
            cbm_release(part.tensor);
        else
            CBM_PART(*parts, kept++) = part;
    }
    parts->count = kept;
}

cbm_status cbm_nn_remove_reparametrisation(cbm_module *m)
{
    if (!usable(m))
        return m && m->cx ? cbm_context_status(m->cx) : CBM_ERROR_INVALID;
    struct cbm_reparametrisation *r = m->parts->reparametrisation;
    if (!r)
        return cbm_fail(m->cx, CBM_ERROR_STATE, "[remove_reparametrisation] this %s has no computed weight",
                        m->type ? m->type : "module");
    const bool training = m->training;
    bool trainable = true;
    for (size_t i = 0; i < m->parts->parameters.count; i++)
        if (strncmp(CBM_PART(m->parts->parameters, i).name, r->name, strlen(r->name)) == 0)
            trainable = CBM_PART(m->parts->parameters, i).tensor->trainable;
    cbm_scope *scope = cbm_layer_scope(m->cx);
    m->training = false;
    cbm_tensor *w = cbm_variable(r->compute(m), trainable);
    m->training = training;
    cbm_scope_end(scope);
    cbm_flush(m->cx);
    if (cbm_context_status(m->cx) != CBM_OK) {
        cbm_release(w);
        return cbm_context_status(m->cx);
    }
    drop_parts(r, &m->parts->parameters);
    drop_parts(r, &m->parts->buffers);
    cbm_array_free(&m->parts->parameters);
    CBM_PART(r->inner, r->place).tensor = w;
    m->parts->parameters = r->inner;
    cbm_names_changed(m->cx);
    m->forward = r->forward;
    m->parts->reparametrisation = NULL;
    cbm_heap_give(cbm_context_heap(m->cx), r, sizeof *r);
    return CBM_OK;
}

void cbm_reparametrisation_free(cbm_module *m)
{
    struct cbm_reparametrisation *r = m->parts->reparametrisation;
    if (!r)
        return;
    cbm_array_free(&r->inner); /* its tensors are held by the layer's list */
    cbm_heap_give(cbm_context_heap(m->cx), r, sizeof *r);
}
