/* checkpoint.c: modules whose inside is recomputed in backward. The forward is recorded without history; a node that gives
   its result as it is stands for it, and the node's gradient records the forward again, this time with history, and
   differentiates it. Rests on autograd/, op/record.c's rule for assignments, and plans that look through such nodes. */
#include "op/families.h"
#include "autograd/autograd.h"
#include "nn/parts.h"
#include <string.h>

typedef struct checkpoint_attributes {
    uint64_t module; /* its address, and the number that it had: another module may come to lie there */
    uint64_t number, training, precision;
    uint64_t seed, position; /* of random numbers, before the forward */
} checkpoint_attributes;

/* ---- operations whose result is input 0 ---- */

static bool same_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static bool same_view(const void *attributes, const cbm_buffer *in, cbm_buffer *out)
{
    (void)attributes;
    out->data = in->data;
    memcpy(out->stride, in->stride, sizeof out->stride);
    return true;
}

static void after_vjp(cbm_vjp *v)
{
    v->in_gradient[0] = v->out_gradient[0];
}

/* x, but not before g is there: what is computed from it is computed in backward, although its operands were there long
   before. */
static const cbm_op after_op = {
    CBM_OP_RECORD("after"),
    .formula = "x, once g is known",
    .n_in = 2,
    .n_out = 1,
    .flags = CBM_OP_VIEW | CBM_OP_SAME,
    .differentiable_in = 1,
    .autocast = CBM_AUTOCAST_NONE,
    .infer = same_infer,
    .vjp = after_vjp,
    .view = same_view,
};

static void checkpoint_vjp(cbm_vjp *v);

static const cbm_attribute checkpoint_fields[] = {
    CBM_FIELD(checkpoint_attributes, seed, CBM_ATTRIBUTE_UINT, true),
    CBM_FIELD(checkpoint_attributes, position, CBM_ATTRIBUTE_UINT, true),
};
enum { RESULT, INPUT, PARAMETERS }; /* its operands */
static const cbm_op checkpoint_op = {
    CBM_OP_RECORD("checkpoint"),
    .formula = "y, the result of a module on x with these parameters",
    .n_in = -1,
    .n_out = 1,
    .flags = CBM_OP_VIEW | CBM_OP_SAME,
    .saves = CBM_SAVES_IN(INPUT),
    .autocast = CBM_AUTOCAST_NONE,
    .attributes_size = sizeof(checkpoint_attributes),
    .attributes = checkpoint_fields,
    .n_attributes = CBM_COUNTOF(checkpoint_fields),
    .infer = same_infer,
    .vjp = checkpoint_vjp,
    .view = same_view,
};

/* ---- the module's state, as it was when the forward was recorded ---- */

static cbm_module *module_of(cbm_context *cx, const checkpoint_attributes *a)
{
    cbm_module *m = cbm_module_at(cx, a->module);
    if (m && m->parts->checkpoint == a->number)
        return m;
    cbm_fail(cx, CBM_ERROR_STATE, "[checkpoint] backward needs a module that has been released");
    return NULL;
}

/* The trainable parameters below m; -1: more than one operation takes, which the error says. */
static int parameters_of(cbm_module *m, cbm_tensor **variables)
{
    cbm_named named;
    int count = 0;
    for (size_t i = 0; cbm_parameter_at(m, i, &named); i++) {
        if (!cbm_tensor_requires_grad(named.tensor))
            continue;
        if (count == CBM_MAX_INPUTS - PARAMETERS) {
            cbm_fail(m->cx, CBM_ERROR_UNSUPPORTED,
                     "[checkpoint] a %s has more than %d trainable parameters. HINT: checkpoint its parts",
                     m->type ? m->type : "module", CBM_MAX_INPUTS - PARAMETERS);
            return -1;
        }
        variables[count++] = named.tensor;
    }
    return count;
}

static cbm_scope *quiet_scope(cbm_context *cx, bool no_grad)
{
    cbm_scope_options o = { .struct_size = sizeof o, .quiet = 1 };
    cbm_scope *s = cbm_scope_begin_with(cx, &o);
    if (s)
        s->no_grad = no_grad;
    return s;
}

cbm_tensor *cbm_checkpoint_forward(cbm_module *m, cbm_tensor *x)
{
    cbm_context *cx = m->cx;
    cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS];
    int count = cx->scope->no_grad ? 0 : parameters_of(m, in + PARAMETERS);
    if (count < 0)
        return &cx->failed;
    if (cx->scope->no_grad || (!count && !cbm_tensor_requires_grad(x)))
        return m->forward(m, x);
    checkpoint_attributes a = { .module = (uint64_t)(uintptr_t)m,
                                .number = m->parts->checkpoint,
                                .training = m->training,
                                .precision = cx->scope->precision };
    cbm_random_state(cx, &a.seed, &a.position);
    cbm_scope *scope = quiet_scope(cx, true);
    cbm_tensor *y = m->forward(m, x);
    y = cbm_scope_end_with(scope, y);
    if (!y || cbm_tensor_failed(y))
        return y;
    in[RESULT] = y;
    in[INPUT] = x;
    return cbm_apply(cx, &checkpoint_op, in, (size_t)(PARAMETERS + count), &a, out);
}

/* ---- once more, in backward ---- */

/* One run of the forward with other versions of the parameters. */
typedef struct repeat {
    cbm_context *cx;
    cbm_module *module;
    cbm_tensor *variables[CBM_MAX_INPUTS];
    cbm_value *current[CBM_MAX_INPUTS]; /* retained where another version is put in its place, else NULL */
    size_t count;
    bool *modes;
    size_t n_modes;
} repeat;

static void put_version(repeat *r, size_t i, cbm_value *version)
{
    cbm_tensor *t = r->variables[i];
    if (t->value == version)
        return;
    r->current[i] = t->value;
    cbm_value_retain(t->value);
    cbm_slot_set(&t->value, version);
}

static void put_back(repeat *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (!r->current[i])
            continue;
        cbm_slot_set(&r->variables[i]->value, r->current[i]);
        cbm_value_release(r->current[i]);
        cbm_variable_dirty(r->variables[i]);
    }
    cbm_modes_put_back(r->module, r->modes, r->n_modes);
}

static bool same_parameters(repeat *r, const cbm_vjp *v)
{
    int count = parameters_of(r->module, r->variables);
    if (count < 0)
        return false;
    r->count = (size_t)count;
    bool same = r->count + PARAMETERS == v->n_in;
    for (size_t i = 0; i < r->count && same; i++) {
        const cbm_shape now = cbm_tensor_shape(r->variables[i]), then = cbm_tensor_shape(v->in[PARAMETERS + i]);
        same = cbm_shape_equal(&now, &then);
    }
    if (!same)
        cbm_fail(r->cx, CBM_ERROR_STATE,
                 "[checkpoint] other parameters are trainable than when the forward was recorded");
    return same;
}

/* x in a form that is computed no earlier than the gradient g. Differentiable backward only if that is asked for; but
   what is computed from it gets a history, which ends here. */
static cbm_tensor *later(cbm_tensor *x, cbm_tensor *g, bool create_graph)
{
    cbm_context *cx = x->cx;
    cbm_tensor *const in[] = { x, g };
    bool grad = cbm_tensor_requires_grad(x), outer = cx->scope->no_grad;
    cx->scope->no_grad = !create_graph;
    cbm_tensor *t = cbm_apply(cx, &after_op, in, 2, NULL, NULL);
    cx->scope->no_grad = outer;
    if (!cbm_tensor_failed(t))
        t->value->requires_grad = grad;
    return t;
}

static cbm_tensor *forward_again(repeat *r, const checkpoint_attributes *a, cbm_tensor *x)
{
    cbm_context *cx = r->cx;
    if (r->module->training != (a->training != 0)) {
        r->modes = cbm_modes_take(r->module, &r->n_modes);
        if (!r->modes)
            return &cx->failed;
        (a->training ? cbm_train : cbm_eval)(r->module);
    }
    uint64_t seed = cx->seed, position = cx->position;
    cbm_scope *scope = cx->scope;
    const uint8_t precision = scope->precision;
    scope->precision = (uint8_t)a->precision;
    cx->seed = a->seed;
    cx->position = a->position;
    cx->recomputing++;
    cbm_tensor *y = r->module->forward(r->module, x);
    cx->recomputing--;
    scope->precision = precision;
    cx->seed = seed;
    cx->position = position;
    return y;
}

/* Whatever the forward reads that was made before it must be its input or a parameter, or its gradient would be lost. */
static bool reads_nothing_else(repeat *r, uint64_t first, cbm_tensor *const *xs, size_t count)
{
    for (const cbm_node *n = r->cx->last_pending; n && n->sequence > first; n = n->prev)
        for (size_t k = 0; k < n->n_in; k++) {
            const cbm_value *v = n->in[k];
            bool known = !v->requires_grad || (v->node && v->node->sequence > first);
            for (size_t i = 0; i < count && !known; i++)
                known = v == xs[i]->value;
            if (known)
                continue;
            cbm_fail(r->cx, CBM_ERROR_STATE,
                     "[checkpoint] [%s] in a %s reads a tensor that needs a gradient and is neither the module's input "
                     "nor one of its parameters",
                     n->op->name, r->module->type ? r->module->type : "module");
            cbm_locate(r->cx, n->file, n->line);
            return false;
        }
    return true;
}

static bool fits(const cbm_tensor *y, const cbm_tensor *then, cbm_context *cx)
{
    if (!y || cbm_tensor_failed(y)) {
        cbm_fail(cx, CBM_ERROR_CALLBACK, "[checkpoint] the forward returned nothing when it was repeated");
        return false;
    }
    const cbm_shape a = cbm_tensor_shape(y), b = cbm_tensor_shape(then);
    if (!cbm_shape_equal(&a, &b) || cbm_tensor_dtype(y) != cbm_tensor_dtype(then))
        cbm_fail(cx, CBM_ERROR_STATE, "[checkpoint] the forward gave another shape or dtype when it was repeated");
    return cx->status == CBM_OK;
}

static void differentiate_again(cbm_vjp *v, repeat *r, bool create_graph)
{
    cbm_context *cx = v->cx;
    cbm_tensor *g = v->out_gradient[0], *xs[CBM_MAX_INPUTS], *grads[CBM_MAX_INPUTS];
    size_t places[CBM_MAX_INPUTS], asked = 0;
    cbm_tensor *all[CBM_MAX_INPUTS];
    for (size_t i = INPUT; i < v->n_in && cx->status == CBM_OK; i++) {
        cbm_tensor *t = i == INPUT || create_graph ? later(v->in[i], g, create_graph) : v->in[i];
        all[i] = t;
        if (cx->status == CBM_OK && i >= PARAMETERS)
            put_version(r, i - PARAMETERS, t->value);
        if (v->needed[i]) {
            places[asked] = i;
            xs[asked++] = t;
        }
    }
    if (cx->status != CBM_OK)
        return;
    uint64_t first = cx->sequence;
    cbm_tensor *y = forward_again(r, v->attributes, all[INPUT]);
    if (cx->status != CBM_OK || !fits(y, v->out[0], cx) || !reads_nothing_else(r, first, all + INPUT, v->n_in - INPUT))
        return;
    const cbm_grad_options o = {
        .struct_size = sizeof o, .weight = g, .create_graph = create_graph, .retain_graph = create_graph
    };
    if (asked && y->value->requires_grad && cbm_grad_reached(y, xs, asked, grads, &o) == CBM_OK)
        for (size_t i = 0; i < asked; i++)
            v->in_gradient[places[i]] = cbm_retain(grads[i]);
}

static void checkpoint_vjp(cbm_vjp *v)
{
    cbm_context *cx = v->cx;
    repeat r = { .cx = cx, .module = module_of(cx, v->attributes) };
    if (!r.module || !same_parameters(&r, v))
        return;
    bool create_graph = !cx->scope->no_grad;
    cbm_scope *scope = quiet_scope(cx, false);
    differentiate_again(v, &r, create_graph);
    put_back(&r);
    cbm_scope_end(scope);
    for (size_t i = INPUT; i < v->n_in; i++) { /* into backward's scope */
        cbm_tensor *held = v->in_gradient[i];
        if (!held)
            continue;
        v->in_gradient[i] = cbm_handle(cx, held->value);
        cbm_release(held);
    }
}

/* ---- the public function ---- */

cbm_module *cbm_nn_checkpoint(cbm_context *cx, cbm_module *m)
{
    static uint64_t numbers;
    if (!m || m->failed || !m->parts || m->cx != cx) {
        if (cx)
            cbm_fail(cx, CBM_ERROR_INVALID, "[checkpoint] the module is %s",
                     !m          ? "NULL"
                     : m->failed ? "a failed one"
                                 : "another context's");
        return m ? m : cbm_module_failed(cx);
    }
    if (!m->parts->checkpoint)
        m->parts->checkpoint = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
    return m;
}
