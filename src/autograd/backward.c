/* backward.c: gradients by walking recorded nodes from the newest to the oldest and asking each operation's vjp, which
   records operations itself. Sums over broadcast axes happen here, for every operation. Rests on op/. */
#include "op/families.h"
#include "autograd/autograd.h"
#include "autograd/repeat.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>
#include <string.h>

/* The gradient gathered so far for one value. */
typedef struct gradient {
    cbm_value *value; /* retained */
    cbm_tensor *sum;  /* retained */
    bool hooked;      /* the hooks have seen it */
} gradient;

typedef struct walk {
    cbm_context *cx;
    cbm_array gradients; /* of gradient; a value's place is its number here */
    cbm_array nodes;     /* of cbm_node *, those that lead to what is asked, by sequence */
    uint64_t stamp;      /* marks values and nodes seen in this walk */
    uint64_t seen;       /* the context's newest stamp when the marks were last known to stand */
} walk;

/* A vjp or a hook may have started a walk or an evaluation of its own, which uses the same marks: put ours back. */
static void restore_marks(walk *w)
{
    if (w->seen == w->cx->stamp)
        return;
    w->seen = w->cx->stamp;
    for (size_t i = 0; i < w->gradients.count; i++) {
        cbm_value *v = CBM_AT(&w->gradients, gradient, i).value;
        v->stamp = w->stamp;
        v->place = (int32_t)i;
    }
}

static gradient *gradient_of(walk *w, cbm_value *v)
{
    restore_marks(w);
    if (v->stamp == w->stamp)
        return &CBM_AT(&w->gradients, gradient, v->place);
    gradient g = { v, NULL, false };
    if (!cbm_array_push(&w->gradients, &g)) {
        cbm_fail_memory(w->cx, "the gradients of a backward pass");
        return NULL;
    }
    cbm_value_retain(v);
    v->stamp = w->stamp;
    v->place = (int32_t)(w->gradients.count - 1);
    return &CBM_AT(&w->gradients, gradient, v->place);
}

/* Sums g over the axes along which a value of this shape was broadcast. */
static cbm_tensor *unbroadcast(cbm_tensor *g, const cbm_shape *shape)
{
    const cbm_shape from = cbm_tensor_shape(g);
    if (cbm_tensor_failed(g) || cbm_shape_equal(&from, shape))
        return g;
    cbm_reduce_options o = { .struct_size = sizeof o };
    int64_t lead = from.v[0] - shape->v[0];
    if (lead < 0)
        return cbm_expand(g, *shape);
    for (int64_t k = 0; k < from.v[0]; k++)
        if (k < lead || (shape->v[1 + k - lead] == 1 && from.v[1 + k] != 1))
            o.axes.v[++o.axes.v[0]] = k;
    if (o.axes.v[0])
        g = cbm_sum_with(g, &o);
    const cbm_shape now = cbm_tensor_shape(g);
    if (cbm_shape_equal(&now, shape))
        return g;
    return cbm_shape_count(&now) == cbm_shape_count(shape) ? cbm_reshape(g, *shape) : cbm_expand(g, *shape);
}

static void add_gradient(walk *w, cbm_value *v, cbm_tensor *g)
{
    g = unbroadcast(g, &v->shape);
    if (!cbm_tensor_failed(g) && cbm_tensor_dtype(g) != (cbm_dtype)v->dtype && cbm_is_floating(cbm_tensor_dtype(g)))
        g = cbm_cast(g, (cbm_dtype)v->dtype); /* of an f32 scalar beside bf16 */
    gradient *slot = gradient_of(w, v);
    if (!slot || cbm_tensor_failed(g))
        return;
    cbm_tensor *sum = slot->sum ? cbm_add(slot->sum, g) : g;
    slot = gradient_of(w, v);
    cbm_set(&slot->sum, sum);
}

/* The finished gradient of v after its hooks, which run once; NULL: nothing reached v. */
static cbm_tensor *finished(walk *w, cbm_value *v)
{
    gradient *g = gradient_of(w, v);
    if (!g || !g->sum || g->hooked)
        return g ? g->sum : NULL;
    g->hooked = true;
    cbm_tensor *sum = g->sum;
    for (cbm_hook *hook = v->variable ? v->variable->hooks : v->hooks; hook; hook = hook->next) {
        cbm_tensor *other = hook->function(sum, hook->user);
        const cbm_shape shape = cbm_tensor_shape(other);
        if (!other || (!cbm_tensor_failed(other) &&
                       (!cbm_shape_equal(&shape, &v->shape) || cbm_tensor_dtype(other) != (cbm_dtype)v->dtype))) {
            cbm_fail(w->cx, CBM_ERROR_CALLBACK,
                     other ? "[backward] a gradient hook changed the shape or dtype"
                           : "[backward] a gradient hook returned NULL");
            return &w->cx->failed;
        }
        sum = other;
    }
    g = gradient_of(w, v);
    if (g)
        cbm_set(&g->sum, sum);
    return sum;
}

/* vjp by differentiating the operation's decomposition, for operations that have no rule of their own, or one that
   declines. */
static void vjp_by_decomposition(cbm_vjp *v)
{
    cbm_context *cx = v->cx;
    cbm_scope_options o = { .struct_size = sizeof o, .quiet = 1 };
    cbm_scope *inner = cbm_scope_begin_with(cx, &o);
    bool outer = cx->scope->no_grad;
    cx->scope->no_grad = false;
    cbm_tensor *in[CBM_MAX_INPUTS], *out[CBM_MAX_OUTPUTS] = { 0 }, *xs[CBM_MAX_INPUTS], *grads[CBM_MAX_INPUTS] = { 0 };
    size_t places[CBM_MAX_INPUTS], asked = 0;
    for (size_t i = 0; i < v->n_in; i++) {
        /* Under other names, so that the walk ends here: an operand may itself depend on another one. */
        in[i] = cbm_tensor_requires_grad(v->in[i]) ? cbm_apply(cx, &cbm_op_copy, &v->in[i], 1, NULL, NULL) : v->in[i];
        if (v->needed[i]) {
            places[asked] = i;
            xs[asked++] = in[i];
        }
    }
    cbm_tensor *total = NULL;
    if (v->op->decompose(cx, v->attributes, in, v->n_in, out))
        for (size_t i = 0; i < v->n_out; i++)
            if (v->out_gradient[i] && out[i]) {
                cbm_tensor *part = cbm_sum_with(cbm_mul(out[i], v->out_gradient[i]),
                                                &(cbm_reduce_options){ .struct_size = sizeof(cbm_reduce_options) });
                part = cbm_for_statistics(part);
                total = total ? cbm_add(total, part) : part;
            }
    cx->scope->no_grad = outer;
    if (total && asked && cbm_tensor_requires_grad(total)) { /* otherwise it depends on none of them */
        cbm_grad_options g = { .struct_size = sizeof g, .create_graph = !outer, .retain_graph = 1 };
        cbm_grad_with(total, xs, asked, grads, &g);
        for (size_t k = 0; k < asked; k++)
            v->in_gradient[places[k]] = cbm_retain(grads[k]);
    }
    cbm_scope_end(inner);
}

/* Passes the gradients of one node's results on to its operands. */
static void pass_node(walk *w, cbm_node *n)
{
    cbm_context *cx = w->cx;
    cbm_tensor *in[CBM_MAX_INPUTS], *in_gradient[CBM_MAX_INPUTS] = { 0 };
    cbm_tensor *out[CBM_MAX_OUTPUTS], *out_gradient[CBM_MAX_OUTPUTS] = { 0 };
    bool needed[CBM_MAX_INPUTS], any = false;
    for (size_t i = 0; i < n->n_out; i++) {
        cbm_value *v = &n->out[i];
        restore_marks(w);
        out_gradient[i] = v->stamp == w->stamp ? finished(w, v) : NULL;
        any = any || out_gradient[i];
    }
    if (!any || cx->status != CBM_OK)
        return;
    restore_marks(w);
    for (size_t i = 0; i < n->n_in; i++) {
        in[i] = cbm_handle(cx, n->in[i]);
        needed[i] = n->in[i]->stamp == w->stamp && n->in[i]->requires_grad &&
                    (!n->op->differentiable_in || (i < 32 && n->op->differentiable_in >> i & 1));
    }
    for (size_t i = 0; i < n->n_out; i++)
        out[i] = cbm_handle(cx, &n->out[i]);
    if (cx->status != CBM_OK)
        return;
    cbm_vjp v = { .cx = cx,
                  .op = n->op,
                  .attributes = n->attributes,
                  .n_in = n->n_in,
                  .n_out = n->n_out,
                  .in = in,
                  .out = out,
                  .out_gradient = out_gradient,
                  .needed = needed,
                  .in_gradient = in_gradient,
                  .create_graph = !cx->scope->no_grad,
                  .declined = !n->op->vjp };
    if (n->op->vjp)
        n->op->vjp(&v);
    if (v.declined && n->op->decompose)
        vjp_by_decomposition(&v);
    else if (v.declined)
        cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] its gradient cannot be differentiated again", n->op->name);
    for (size_t i = 0; i < n->n_in; i++) {
        if (needed[i] && in_gradient[i] && cx->status == CBM_OK)
            add_gradient(w, n->in[i], in_gradient[i]);
        if (in_gradient[i] && v.declined)
            cbm_release(in_gradient[i]);
    }
    if (cx->status != CBM_OK)
        cbm_locate(cx, n->file, n->line);
}

/* true, after reporting it: the node's part of an earlier backward is gone. */
static bool released(walk *w, const cbm_node *n)
{
    if (n->history)
        return false;
    if (n->state == CBM_NODE_SHELL && !n->out->storage && n->out->refs > 0)
        cbm_fail(w->cx, CBM_ERROR_STATE, "[backward] [%s] was dropped when an evaluation failed. HINT: record it again",
                 n->op->name);
    else
        cbm_fail(w->cx, CBM_ERROR_STATE,
                 "[backward] the history of [%s] was released by an earlier backward. "
                 "HINT: cbm_backward_retain, or .retain_graph, the first time",
                 n->op->name);
    cbm_locate(w->cx, n->file, n->line);
    return true;
}

/* Puts the nodes between y and the asked values into w->nodes, oldest first, and stamps the values on the way. Values
   asked for are stamped already. */
static bool reaches(walk *w, cbm_value *y)
{
    /* An explicit stack: a node is looked at twice, before and after its operands. */
    typedef struct frame {
        cbm_node *node;
        bool after;
    } frame;
    cbm_array stack = CBM_ARRAY(w->cx->heap, frame);
    bool ok = true;
    if (y->node && y->requires_grad) {
        frame f = { y->node, false };
        ok = cbm_array_push(&stack, &f) != NULL;
    }
    while (ok && stack.count) {
        frame *top = &CBM_AT(&stack, frame, stack.count - 1);
        cbm_node *n = top->node;
        if (!top->after) {
            if (n->stamp == w->stamp || !n->differentiable) {
                stack.count--;
                continue;
            }
            if (released(w, n)) {
                cbm_array_free(&stack);
                return false;
            }
            top->after = true;
            n->stamp = w->stamp;
            n->index = 0;
            for (size_t i = 0; i < n->n_in && ok; i++)
                if (n->in[i]->requires_grad && n->in[i]->node && n->in[i]->node->stamp != w->stamp &&
                    (n->in[i]->node->history ||
                     n->in[i]->stamp != w->stamp)) { /* an asked value may be all that is left */
                    frame f = { n->in[i]->node, false };
                    ok = cbm_array_push(&stack, &f) != NULL;
                }
            continue;
        }
        stack.count--;
        bool leads = false;
        for (size_t i = 0; i < n->n_in; i++)
            leads = leads || (n->in[i]->stamp == w->stamp && n->in[i]->requires_grad);
        if (leads && !n->index) {
            n->index = 1;
            for (size_t i = 0; i < n->n_out && ok; i++)
                ok = gradient_of(w, &n->out[i]) != NULL;
            ok = ok && cbm_array_push(&w->nodes, &n);
        }
    }
    cbm_array_free(&stack);
    if (!ok)
        cbm_fail_memory(w->cx, "a backward pass");
    return ok;
}

/* Walks from y with the given gradient; on success the gradients gathered are in w. */
static bool run(walk *w, cbm_value *y, cbm_tensor *seed)
{
    if (!reaches(w, y))
        return false;
    if (y->stamp == w->stamp)
        add_gradient(w, y, seed);
    for (size_t i = w->nodes.count; i-- > 0 && w->cx->status == CBM_OK;) /* consumers stand after producers */
        pass_node(w, CBM_AT(&w->nodes, cbm_node *, i));
    return w->cx->status == CBM_OK;
}

static void release_history(walk *w)
{
    for (size_t i = 0; i < w->nodes.count; i++) {
        cbm_node *n = CBM_AT(&w->nodes, cbm_node *, i);
        cbm_node_end_history(n);
    }
    for (size_t i = w->nodes.count; i-- > 0;)
        cbm_node_settle(CBM_AT(&w->nodes, cbm_node *, i));
}

static void close_walk(walk *w)
{
    for (size_t i = 0; i < w->gradients.count; i++)
        cbm_release(CBM_AT(&w->gradients, gradient, i).sum);
    for (size_t i = 0; i < w->gradients.count; i++)
        cbm_value_release(CBM_AT(&w->gradients, gradient, i).value);
    cbm_array_free(&w->gradients);
}

static walk open_walk(cbm_context *cx)
{
    return (walk){ .cx = cx,
                   .gradients = CBM_ARRAY(cx->heap, gradient),
                   .nodes = CBM_ARRAY(cx->heap, cbm_node *),
                   .stamp = ++cx->stamp,
                   .seen = cx->stamp };
}

static cbm_scope *inner_scope(cbm_context *cx, bool grad)
{
    cbm_scope_options o = {
        .struct_size = sizeof o, .quiet = 1, .no_grad = !grad, .precision = CBM_PRECISION_F32 /* no more casts */
    };
    cbm_scope *s = cbm_scope_begin_with(cx, &o);
    if (s && grad)
        s->no_grad = false; /* asked for explicitly, whatever the outer scope says */
    return s;
}

static cbm_tensor *ones_like(cbm_value *y)
{
    return cbm_full(y->cx, (cbm_dtype)y->dtype, y->shape, 1.0);
}

/* zeros: what y does not depend on gets zeros, not NULL. */
static cbm_status gradients_of(cbm_tensor *y, cbm_tensor *const *xs, size_t count, cbm_tensor **grads,
                               const cbm_grad_options *options, bool zeros)
{
    cbm_context *cx = cbm_tensor_context(y);
    cbm_grad_options o = { .struct_size = sizeof o };
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    for (size_t i = 0; i < count; i++)
        grads[i] = &cx->failed;
    if (!cbm_usable(cx, y) || (o.weight && !cbm_usable(cx, o.weight)))
        return cx->status;
    if (o.weight && cbm_tensor_dtype(o.weight) != cbm_tensor_dtype(y))
        return cbm_fail(cx, CBM_ERROR_DTYPE, "[grad] the weight is %s, y is %s. HINT: cbm_cast one of them",
                        cbm_dtype_name(cbm_tensor_dtype(o.weight)), cbm_dtype_name(cbm_tensor_dtype(y)));
    for (size_t i = 0; i < count; i++) {
        if (!cbm_usable(cx, xs[i]))
            return cx->status;
        if (!xs[i]->value->requires_grad)
            return cbm_fail(cx, CBM_ERROR_STATE,
                            "[grad] tensor %zu does not require a gradient. HINT: make it a trainable "
                            "cbm_variable before the computation",
                            i);
    }
    if (zeros && !y->value->requires_grad && cx->scope->no_grad)
        return cbm_fail(cx, CBM_ERROR_STATE,
                        "[grad] nothing has history in a no-grad scope. HINT: record the computation outside of it");
    cbm_scope *scope = inner_scope(cx, o.create_graph != 0);
    walk w = open_walk(cx);
    for (size_t i = 0; i < count && cx->status == CBM_OK; i++)
        gradient_of(&w, xs[i]->value);
    cbm_tensor *seed = o.weight ? o.weight : ones_like(y->value);
    if (cx->status == CBM_OK && run(&w, y->value, seed)) {
        if (!o.retain_graph && !o.create_graph)
            release_history(&w);
        for (size_t i = 0; i < count; i++) {
            cbm_tensor *sum = finished(&w, xs[i]->value);
            if (!sum && zeros)
                sum = cbm_zeros(cx, cbm_tensor_dtype(xs[i]), cbm_tensor_shape(xs[i]));
            grads[i] = cbm_retain(sum);
        }
    }
    close_walk(&w);
    cbm_array_free(&w.nodes);
    cbm_scope_end(scope);
    for (size_t i = 0; i < count; i++) { /* into the caller's scope */
        cbm_tensor *held = grads[i];
        if (!held || cbm_tensor_failed(held))
            continue;
        grads[i] = cbm_handle(cx, held->value);
        cbm_release(held);
    }
    return cx->status;
}

cbm_status cbm_grad_with(cbm_tensor *y, cbm_tensor *const *xs, size_t count, cbm_tensor **grads,
                         const cbm_grad_options *options)
{
    return gradients_of(y, xs, count, grads, options, true);
}

cbm_status cbm_grad_reached(cbm_tensor *y, cbm_tensor *const *xs, size_t count, cbm_tensor **grads,
                            const cbm_grad_options *options)
{
    return gradients_of(y, xs, count, grads, options, false);
}

cbm_status cbm_grad_of(cbm_tensor *y, cbm_tensor *const *xs, size_t count, cbm_tensor **grads)
{
    return cbm_grad_with(y, xs, count, grads, NULL);
}

/* g's value as the variable's gradient. One that was fused away is computed with the next evaluation, as if it were new. */
static void become_gradient(cbm_tensor *variable, cbm_tensor *g)
{
    cbm_context *cx = variable->cx;
    if (!g->value->storage && g->value->node->state != CBM_NODE_PENDING) {
        bool outer = cx->scope->no_grad;
        cx->scope->no_grad = true;
        g = cbm_apply(cx, &cbm_op_copy, &g, 1, NULL, NULL);
        cx->scope->no_grad = outer;
    }
    if (cbm_tensor_failed(g))
        return;
    cbm_slot_set(&variable->gradient, g->value);
    cbm_variable_dirty(variable);
}

/* Adds g to the gradient that lives with the variable. */
static void accumulate(cbm_tensor *variable, cbm_tensor *g)
{
    cbm_context *cx = variable->cx;
    if (variable->gradient) {
        cbm_tensor *old = cbm_handle(cx, variable->gradient);
        g = cbm_add(old, g);
    }
    if (!cbm_tensor_failed(g))
        become_gradient(variable, g);
}

/* Marks the versions of the wanted variables among y's ancestors, so that the walk stops nowhere else: variables NULL
   means every trainable one. */
static bool mark_variables(walk *w, cbm_value *y, cbm_tensor *const *variables, size_t count)
{
    cbm_context *cx = w->cx;
    cbm_array stack = CBM_ARRAY(cx->heap, cbm_value *);
    uint64_t seen = ++cx->stamp;
    bool ok = cbm_array_push(&stack, &y) != NULL;
    while (ok && stack.count) {
        cbm_value *v = CBM_AT(&stack, cbm_value *, --stack.count);
        if (v->variable && v->requires_grad && v->stamp != w->stamp) {
            bool wanted = !variables;
            for (size_t i = 0; i < count && !wanted; i++)
                wanted = variables[i] == v->variable;
            ok = !wanted || gradient_of(w, v) != NULL;
        }
        if (!v->node || !v->node->differentiable || v->node->stamp == seen)
            continue;
        v->node->stamp = seen;
        for (size_t i = 0; i < v->node->n_in && ok; i++)
            if (v->node->in[i]->requires_grad)
                ok = cbm_array_push(&stack, &v->node->in[i]) != NULL;
    }
    cbm_array_free(&stack);
    if (!ok)
        cbm_fail_memory(cx, "a backward pass");
    return ok;
}

static cbm_status backward(cbm_tensor *loss, cbm_tensor *const *variables, size_t count, bool retain)
{
    cbm_context *cx = cbm_tensor_context(loss);
    if (!cbm_usable(cx, loss))
        return cx->status;
    cbm_value *y = loss->value;
    char text[160];
    if (y->count != 1) {
        cbm_fail(cx, CBM_ERROR_SHAPE,
                 "[backward] the loss must have one element, not shape %s. HINT: cbm_mean or cbm_sum",
                 cbm_shape_text(&y->shape, text, sizeof text));
        return cbm_close_error(cx);
    }
    if (!y->requires_grad) {
        cbm_fail(cx, CBM_ERROR_STATE,
                 "[backward] the loss depends on no trainable variable. HINT: was it made in a "
                 "no-grad scope, detached, or are all parameters frozen?");
        return cbm_close_error(cx);
    }
    bool whole = !variables && !retain; /* as cbm_backward has it */
    if (whole && cbm_repeat_backward(cx, y))
        return CBM_OK;
    cbm_pass_start start = cbm_pass_begins(cx);
    cbm_scope *scope = inner_scope(cx, false);
    walk w = open_walk(cx);
    cbm_tensor *seed = ones_like(y);
    if (cx->status == CBM_OK && mark_variables(&w, y, variables, count) && run(&w, y, seed)) {
        for (size_t i = 0; i < w.gradients.count && cx->status == CBM_OK; i++) {
            cbm_value *v = CBM_AT(&w.gradients, gradient, i).value;
            bool wanted = v->variable && !v->variable->dead && !variables;
            for (size_t k = 0; k < count && !wanted; k++)
                wanted = variables[k] == v->variable;
            cbm_tensor *g = wanted ? finished(&w, v) : NULL;
            if (g)
                accumulate(v->variable, g);
        }
        if (!retain && cx->status == CBM_OK)
            release_history(&w);
    }
    close_walk(&w);
    cbm_scope_end(scope);
    if (whole && cx->status == CBM_OK)
        cbm_pass_ended(cx, start, y, w.nodes.data, w.nodes.count);
    cbm_array_free(&w.nodes);
    return cbm_close_error(cx);
}

cbm_status cbm_backward(cbm_tensor *loss)
{
    return backward(loss, NULL, 0, false);
}

cbm_status cbm_backward_retain(cbm_tensor *loss)
{
    return backward(loss, NULL, 0, true);
}

cbm_status cbm_backward_variables(cbm_tensor *loss, cbm_tensor *const *variables, size_t count)
{
    return backward(loss, variables, count, false);
}

cbm_tensor *cbm_gradient(cbm_tensor *variable)
{
    if (cbm_tensor_failed(variable) || !variable->variable || !variable->gradient)
        return NULL;
    return cbm_handle(variable->cx, variable->gradient);
}

void cbm_set_gradient(cbm_tensor *variable, cbm_tensor *g)
{
    cbm_context *cx = cbm_tensor_context(variable);
    if (!cbm_usable(cx, variable) || !cbm_usable(cx, g))
        return;
    const cbm_shape a = cbm_tensor_shape(variable), b = cbm_tensor_shape(g);
    if (!variable->variable || !cbm_shape_equal(&a, &b) || cbm_tensor_dtype(variable) != cbm_tensor_dtype(g)) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[set_gradient] needs a variable, and a gradient of its shape and dtype");
        cbm_close_error(cx);
        return;
    }
    become_gradient(variable, g);
}

void cbm_clear_gradient(cbm_tensor *variable)
{
    if (cbm_tensor_failed(variable) || !variable->variable || !variable->gradient)
        return;
    cbm_slot_set(&variable->gradient, NULL);
    if (variable->dirty || variable->cx->pending)
        cbm_variable_dirty(variable);
    else /* no evaluation that could still fail stands before it: its memory is free at once */
        cbm_slot_set(&variable->gradient_committed, NULL);
}

cbm_status cbm_add_hook(cbm_tensor *t, cbm_hook_fn hook, void *user, void (*destroy)(void *user))
{
    cbm_context *cx = cbm_tensor_context(t);
    if (!cbm_usable(cx, t))
        return cx->status;
    cbm_hook *h = hook ? cbm_heap_take(cx->heap, sizeof *h) : NULL;
    if (!h)
        return hook ? cbm_fail_memory(cx, "a hook") : cbm_fail(cx, CBM_ERROR_INVALID, "[add_hook] hook is NULL");
    *h = (cbm_hook){ .function = hook, .user = user, .destroy = destroy };
    cbm_hook **end = t->variable ? &t->hooks : &t->value->hooks;
    while (*end)
        end = &(*end)->next;
    *end = h;
    return CBM_OK;
}
