/* record.c: recording an operation: operands are checked, the shape rule runs at once, a pending node is made. Variables
   are recorded too: reading one is taking its newest version, assigning is an operation whose result becomes it. */
#define CBM_NO_CALL_SITES
#include "op/record.h"
#include "op/families.h"
#include <cambium/ops.h>
#include <stdio.h>
#include <string.h>

cbm_tensor *cbm_fail_tensor(cbm_context *cx, cbm_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    cbm_fail_v(cx, status, format, arguments);
    va_end(arguments);
    return &cx->failed;
}

bool cbm_infer_fail(cbm_infer *infer, cbm_status status, const char *format, ...)
{
    char reason[CBM_MESSAGE_SIZE - 64];
    va_list arguments;
    va_start(arguments, format);
    cbm_format_v(reason, sizeof reason, format, arguments);
    va_end(arguments);
    cbm_fail(infer->cx, status, "[%s] %s", infer->op->name, reason);
    return false;
}

/* The rule of pointwise operations: shapes broadcast like NumPy's, dtypes are equal. */
static bool infer_pointwise(cbm_infer *s)
{
    char a[160], b[160];
    if (!s->n_in)
        return cbm_infer_fail(s, CBM_ERROR_INVALID, "needs a shape rule");
    s->out_dtype[0] = s->in_dtype[0];
    cbm_shape out = s->in_shape[0];
    for (size_t i = 1; i < s->n_in; i++) {
        const cbm_shape *in = &s->in_shape[i];
        if (s->in_dtype[i] != s->in_dtype[0])
            return cbm_infer_fail(s, CBM_ERROR_DTYPE, "operands are %s and %s. HINT: cbm_cast one of them",
                                  cbm_dtype_name(s->in_dtype[0]), cbm_dtype_name(s->in_dtype[i]));
        cbm_shape next = { { out.v[0] > in->v[0] ? out.v[0] : in->v[0] } };
        for (int64_t k = 0; k < next.v[0]; k++) {
            int64_t x = k < out.v[0] ? out.v[out.v[0] - k] : 1, y = k < in->v[0] ? in->v[in->v[0] - k] : 1;
            if (x != y && x != 1 && y != 1)
                return cbm_infer_fail(s, CBM_ERROR_SHAPE, "shapes %s and %s do not broadcast",
                                      cbm_shape_text(&s->in_shape[0], a, sizeof a), cbm_shape_text(in, b, sizeof b));
            next.v[next.v[0] - k] = x == 1 ? y : x;
        }
        out = next;
    }
    s->out_shape[0] = out;
    return true;
}

static bool floating(int dtype)
{
    return cbm_is_floating((cbm_dtype)dtype);
}

static bool differentiable_input(const cbm_op *op, size_t i, const cbm_value *v)
{
    return v->requires_grad && floating(v->dtype) &&
           (!op->differentiable_in || (i < 32 && op->differentiable_in >> i & 1));
}

/* Computes everything when far too much is pending: most often losses are being added up over an epoch. */
static void limit_growth(cbm_context *cx, const cbm_op *op)
{
    if (cx->pending <= cx->pending_limit || cx->pending_evaluating)
        return;
    const cbm_node *n = cx->last_pending; /* not yet stamped itself */
    while (n && !n->file)
        n = n->prev;
    cbm_context_log(cx, CBM_LOG_WARNING,
                    "more than %lld operations are pending, last [%s] (at %s:%d): computing them now. "
                    "HINT: end a scope each step; add up numbers from cbm_item, not tensors",
                    (long long)cx->pending_limit, op->name, n ? n->file : "?", n ? n->line : 0);
    cx->engine->evaluate(cx, NULL, 0);
}

static cbm_tensor *inert(cbm_context *cx, const cbm_op *op, cbm_tensor **outputs)
{
    for (int32_t i = 0; outputs && i < op->n_out; i++)
        outputs[i] = &cx->failed;
    return &cx->failed;
}

static bool operands_usable(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in)
{
    if (n_in > CBM_MAX_INPUTS || (op->n_in >= 0 && n_in != (size_t)op->n_in) ||
        (op->n_in < 0 && n_in == 0 && op->n_in != -2)) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] wrong number of operands: %zu", op->name, n_in);
        return false;
    }
    for (size_t i = 0; i < n_in; i++)
        if (!inputs[i]) {
            cbm_fail(cx, CBM_ERROR_INVALID, "[%s] operand %zu is NULL", op->name, i);
            return false;
        } else if (!cbm_usable(cx, inputs[i])) {
            return false;
        }
    return true;
}

/* Whether the results take part in gradients: then the node has a history, and what its vjp reads counts as saved. */
static bool begin_history(cbm_context *cx, cbm_node *n)
{
    const cbm_op *op = n->op;
    bool grad = false;
    if ((op->vjp || op->decompose) && !cx->scope->no_grad)
        for (size_t i = 0; i < n->n_in && !grad; i++)
            grad = differentiable_input(op, i, n->in[i]);
    if (!grad)
        return true;
    uint32_t saves = cbm_op_saves(op);
    if (n->n_in > 24 && (saves & CBM_SAVES_ALL_IN) == CBM_SAVES_ALL_IN) { /* saves has a bit for each of 24 */
        cbm_fail(cx, CBM_ERROR_UNSUPPORTED,
                 "[%s] a differentiable operation that saves operands takes at most 24 of them", op->name);
        return false;
    }
    n->differentiable = n->history = true;
    for (size_t i = 0; i < n->n_in && i < 24; i++)
        n->in[i]->saves += (saves & CBM_SAVES_IN(i)) != 0;
    for (size_t i = 0; i < n->n_out; i++) {
        n->out[i].requires_grad = floating(n->out[i].dtype);
        n->out[i].saves += (saves & CBM_SAVES_OUT(i)) != 0;
    }
    return true;
}

/* The shape rule's answer in s; false: the context's error says why not. */
static bool infer(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in, const void *attributes,
                  cbm_infer *s)
{
    s->op = op;
    s->attributes = attributes;
    s->n_in = n_in;
    s->n_out = (size_t)op->n_out;
    s->cx = cx;
    memset(s->out_shape, 0, s->n_out * sizeof *s->out_shape);
    memset(s->out_dtype, 0xFF, sizeof s->out_dtype); /* none, until the rule says */
    for (size_t i = 0; i < n_in; i++) {
        s->in_shape[i] = inputs[i]->value->shape;
        s->in_dtype[i] = (cbm_dtype)inputs[i]->value->dtype;
    }
    if (!(op->infer ? op->infer(s) : infer_pointwise(s))) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] the operands do not fit", op->name); /* a user's rule that gave no reason */
        return false;
    }
    for (size_t i = 0; i < s->n_out; i++)
        if ((unsigned)s->out_dtype[i] >= CBM_DTYPE_COUNT) {
            cbm_fail(cx, CBM_ERROR_DTYPE, "[%s] the shape rule gives result %zu no dtype", op->name, i);
            return false;
        }
    return true;
}

/* A node with inputs, attributes and the results that the rule says; NULL: the context's error says why. */
static cbm_node *node_of(cbm_context *cx, cbm_tensor *const *inputs, const cbm_infer *s)
{
    const cbm_op *op = s->op;
    cbm_node *n = cbm_node_new(cx, op, s->n_in, s->n_out);
    if (!n) {
        cbm_fail_memory(cx, op->name);
        return NULL;
    }
    if (op->attributes_size)
        memcpy(n->attributes, s->attributes, op->attributes_size);
    for (size_t i = 0; i < s->n_in; i++) {
        n->in[i] = inputs[i]->value;
        cbm_value_retain(n->in[i]);
    }
    for (size_t i = 0; i < s->n_out; i++) {
        cbm_value *v = &n->out[i];
        v->shape = s->out_shape[i];
        v->dtype = (uint8_t)s->out_dtype[i];
        v->count = cbm_shape_count(&v->shape);
        if (v->count < 0) {
            cbm_node_discard(n);
            cbm_fail(cx, CBM_ERROR_SHAPE, "[%s] the result has too many elements", op->name);
            return NULL;
        }
    }
    return n;
}

/* Lists the node and makes handles on its results. */
static cbm_tensor *list(cbm_context *cx, cbm_node *n, cbm_tensor **outputs)
{
    cbm_node_list(n);
    n->pinned = (n->op->flags & CBM_OP_EFFECT) && !(n->op->flags & CBM_OP_ASSIGN) && !cx->recomputing;
    cbm_tensor *first = cbm_handle(cx, &n->out[0]);
    for (size_t i = 0; outputs && i < n->n_out; i++)
        outputs[i] = i == 0 ? first : cbm_handle(cx, &n->out[i]);
    if (cx->status != CBM_OK) { /* without a handle the node goes */
        cbm_value_retain(&n->out[0]);
        cbm_value_release(&n->out[0]);
    }
    return first;
}

static bool built_in(const cbm_op *op)
{
    return cbm_op_named(op->name) == op;
}

/* By the shape rule: what every operation goes through that does not repeat an earlier one. */
static cbm_tensor *record(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in,
                          const void *attributes, cbm_tensor **outputs)
{
    if (!operands_usable(cx, op, inputs, n_in))
        return inert(cx, op, outputs);
    if (op->n_out < 1 || op->n_out > CBM_MAX_OUTPUTS) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the record names %d results", op->name, (int)op->n_out);
        return inert(cx, op, outputs);
    }
    if (op->attributes_size && !attributes) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] attributes is NULL", op->name);
        return inert(cx, op, outputs);
    }
    cbm_infer s; /* 5 KiB, of which a node uses little: not cleared as a whole */
    if (!infer(cx, op, inputs, n_in, attributes, &s))
        return inert(cx, op, outputs);
    if (op->decompose && !op->kernel && !cx->engine->has_kernel(cx, op)) {
        cbm_tensor *made[CBM_MAX_OUTPUTS] = { 0 };
        if (!op->decompose(cx, attributes, inputs, n_in, made) || cx->status != CBM_OK)
            return inert(cx, op, outputs);
        for (size_t i = 0; outputs && i < s.n_out; i++)
            outputs[i] = made[i];
        return made[0];
    }
    cbm_node *n = node_of(cx, inputs, &s);
    if (!n)
        return inert(cx, op, outputs);
    if (!begin_history(cx, n)) {
        cbm_node_discard(n);
        return inert(cx, op, outputs);
    }
    if (cx->replay.state != CBM_REPLAY_OFF)
        cbm_replay_note(cx, n, cx->replay.state == CBM_REPLAY_DRAFTS && built_in(op));
    return list(cx, n, outputs);
}

cbm_tensor *cbm_apply(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in, const void *attributes,
                      cbm_tensor **outputs)
{
    if (!cbm_context_ready(cx))
        return inert(cx, op, outputs);
    cbm_tensor *cast[CBM_MAX_INPUTS];
    if (cx->scope->precision == CBM_PRECISION_BF16)
        inputs = cbm_autocast_operands(cx, op, inputs, n_in, cast);
    if (cx->status != CBM_OK)
        return inert(cx, op, outputs);
    cbm_node *n = NULL;
    if (cx->replay.state == CBM_REPLAY_FOLLOWS)
        n = cbm_replay_node(cx, op, inputs, n_in, attributes);
    if (n)
        begin_history(cx, n);
    cbm_tensor *first = n ? list(cx, n, outputs) : record(cx, op, inputs, n_in, attributes, outputs);
    if (cx->status != CBM_OK)
        return inert(cx, op, outputs);
    limit_growth(cx, op);
    return cx->status == CBM_OK ? first : inert(cx, op, outputs);
}

cbm_tensor *cbm_composed(cbm_tensor *result, uint64_t since)
{
    cbm_node *n = result && !result->failed && result->value ? result->value->node : NULL;
    if (n && n->sequence > since && n->since > since)
        n->since = since;
    return result;
}

/* ---- variables ---- */

/* The same elements as another value object, so that the variable's version is its own. The caller has a reference. */
static cbm_value *own_version(cbm_context *cx, cbm_tensor *initial)
{
    cbm_value *v = initial->value;
    if (v->storage) {
        cbm_storage_retain(v->storage);
        cbm_value *leaf = cbm_value_leaf(cx, (cbm_dtype)v->dtype, &v->shape, v->storage);
        if (leaf)
            cbm_value_retain(leaf);
        return leaf;
    }
    bool outer = cx->scope->no_grad;
    cx->scope->no_grad = true;
    cbm_tensor *t = cbm_apply(cx, &cbm_op_copy, &initial, 1, NULL, NULL);
    cx->scope->no_grad = outer;
    if (t->failed)
        return NULL;
    v = t->value;
    cbm_value_retain(v);
    cbm_release(t);
    return v;
}

cbm_tensor *cbm_variable(cbm_tensor *initial, bool trainable)
{
    cbm_context *cx = cbm_tensor_context(initial);
    if (!cbm_usable(cx, initial))
        return &cx->failed;
    if (trainable && !floating(initial->value->dtype))
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[variable] a trainable variable holds floats, not %s",
                               cbm_dtype_name((cbm_dtype)initial->value->dtype));
    cbm_value *v = own_version(cx, initial);
    cbm_tensor *t = v ? cbm_heap_take_zero(cx->heap, sizeof *t) : NULL;
    if (!t || !cbm_array_push(&cx->variables, &t)) {
        cbm_fail_memory(cx, "a variable");
        if (t)
            cbm_heap_give(cx->heap, t, sizeof *t);
        cbm_value_release(v);
        return &cx->failed;
    }
    t->cx = cx;
    t->refs = 1;
    t->variable = true;
    t->trainable = trainable;
    cbm_value_set_variable(v, t);
    v->requires_grad = trainable;
    cbm_slot_set(&t->value, v);
    cbm_slot_set(&t->committed, v); /* also before it is computed: no failed step takes the first value away */
    cbm_value_release(v);
    return t;
}

void cbm_set_trainable(cbm_tensor *variable, bool trainable)
{
    cbm_context *cx = cbm_tensor_context(variable);
    if (!cbm_usable(cx, variable))
        return;
    if (!variable->variable || (trainable && !floating(variable->value->dtype))) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[set_trainable] needs a variable of floats");
        cbm_close_error(cx);
        return;
    }
    variable->trainable = trainable;
    variable->value->requires_grad = trainable;
}

static void become(cbm_tensor *variable, cbm_value *v)
{
    cbm_value_set_variable(v, variable);
    v->requires_grad = variable->trainable;
    cbm_slot_set(&variable->value, v);
    cbm_variable_dirty(variable);
}

void cbm_assign(cbm_tensor *variable, cbm_tensor *value)
{
    cbm_context *cx = cbm_tensor_context(variable);
    char a[160], b[160];
    if (!cbm_usable(cx, variable) || !cbm_usable(cx, value))
        return;
    if (!variable->variable) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[assign] the target is not a variable");
        cbm_close_error(cx);
        return;
    }
    const cbm_value *x = variable->value, *y = value->value;
    if (cx->scope->precision == CBM_PRECISION_BF16 && x->dtype == CBM_F32 && y->dtype == CBM_BF16) {
        value = cbm_cast(value, CBM_F32);
        y = value->value;
        if (value->failed)
            return;
    }
    if (x->dtype != y->dtype || !cbm_shape_equal(&x->shape, &y->shape)) {
        cbm_fail(cx, x->dtype != y->dtype ? CBM_ERROR_DTYPE : CBM_ERROR_SHAPE,
                 "[assign] the variable is %s %s, the value %s %s", cbm_dtype_name((cbm_dtype)x->dtype),
                 cbm_shape_text(&x->shape, a, sizeof a), cbm_dtype_name((cbm_dtype)y->dtype),
                 cbm_shape_text(&y->shape, b, sizeof b));
        cbm_close_error(cx);
        return;
    }
    if (cx->recomputing) /* it has happened when this was first recorded */
        return;
    bool outer = cx->scope->no_grad;
    cx->scope->no_grad = true;
    cbm_tensor *operands[] = { variable, value };
    cbm_tensor *t = cbm_apply(cx, &cbm_op_assign, operands, 2, NULL, NULL);
    cx->scope->no_grad = outer;
    if (t->failed)
        return;
    become(variable, t->value);
    cbm_release(t);
}

cbm_status cbm_write(cbm_tensor *variable, const void *data, size_t size)
{
    cbm_context *cx = cbm_tensor_context(variable);
    if (!cbm_usable(cx, variable))
        return cx->status;
    size_t bytes = (size_t)variable->value->count * cbm_dtype_size((cbm_dtype)variable->value->dtype);
    if (!variable->variable || size != bytes) {
        cbm_fail(cx, CBM_ERROR_INVALID,
                 variable->variable ? "[write] the variable has %zu bytes, the data %zu"
                                    : "[write] not a variable (%zu bytes, data %zu)",
                 bytes, size);
        return cbm_close_error(cx);
    }
    cbm_tensor *t = cbm_tensor_from(cx, (cbm_dtype)variable->value->dtype, variable->value->shape, data);
    if (t->failed)
        return cx->status;
    become(variable, t->value);
    cbm_release(t);
    if (!cx->pending) /* nothing that could fail stands before it */
        cbm_commit(cx);
    return cx->status;
}

cbm_status cbm_share(cbm_tensor *variable, const cbm_tensor *source)
{
    cbm_context *cx = cbm_tensor_context(variable);
    char a[160], b[160];
    if (!cbm_usable(cx, variable))
        return cx->status;
    if (!source || source->failed || source->dead || !source->value->storage || !variable->variable) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[share] %s",
                 variable->variable ? "the source has not been computed. HINT: cbm_compute" : "not a variable");
        return cbm_close_error(cx);
    }
    const cbm_value *x = variable->value, *y = source->value;
    if (x->dtype != y->dtype || !cbm_shape_equal(&x->shape, &y->shape)) {
        cbm_fail(cx, x->dtype != y->dtype ? CBM_ERROR_DTYPE : CBM_ERROR_SHAPE,
                 "[share] the variable is %s %s, the source %s %s", cbm_dtype_name((cbm_dtype)x->dtype),
                 cbm_shape_text(&x->shape, a, sizeof a), cbm_dtype_name((cbm_dtype)y->dtype),
                 cbm_shape_text(&y->shape, b, sizeof b));
        return cbm_close_error(cx);
    }
    cbm_storage_retain(y->storage);
    cbm_value *v = cbm_value_leaf(cx, (cbm_dtype)y->dtype, &y->shape, y->storage);
    if (!v)
        return cbm_fail_memory(cx, "a tensor");
    cbm_value_retain(v);
    become(variable, v);
    cbm_value_release(v);
    if (!cx->pending)
        cbm_commit(cx);
    return cx->status;
}

cbm_tensor *cbm_detach(cbm_tensor *t)
{
    cbm_context *cx = cbm_tensor_context(t);
    if (!cbm_usable(cx, t))
        return &cx->failed;
    if (t->value->storage && !t->variable) {
        cbm_storage_retain(t->value->storage);
        cbm_value *v = cbm_value_leaf(cx, (cbm_dtype)t->value->dtype, &t->value->shape, t->value->storage);
        if (!v) {
            cbm_fail_memory(cx, "a tensor");
            return &cx->failed;
        }
        cbm_value_retain(v);
        cbm_tensor *d = cbm_handle(cx, v);
        cbm_value_release(v);
        return d;
    }
    if (!t->value->requires_grad)
        return cbm_handle(cx, t->value);
    bool outer = cx->scope->no_grad;
    cx->scope->no_grad = true;
    cbm_tensor *d = cbm_apply(cx, &cbm_op_copy, &t, 1, NULL, NULL);
    cx->scope->no_grad = outer;
    return d;
}
