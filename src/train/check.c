/* check.c: what happens when numbers stop being finite: an operation that lets a step fail before it changes anything, and
   the search for the place where it began. */
#include "nn/parts.h"
#include "train/run.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the operation ---- */

#define FINITE_LOSS_TEXT "the loss is not finite"

static bool finite_infer(cbm_infer *infer)
{
    if (cbm_shape_count(&infer->in_shape[0]) != 1)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "the loss must have exactly one element");
    if (infer->in_dtype[0] != CBM_F32 && infer->in_dtype[0] != CBM_F64)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "the loss is %s; it must be f32 or f64",
                              cbm_dtype_name(infer->in_dtype[0]));
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = infer->in_dtype[0];
    return true;
}

static double element(const cbm_buffer *b, int64_t i)
{
    return b->dtype == CBM_F64 ? ((const double *)b->data)[i] : (double)((const float *)b->data)[i];
}

static cbm_status finite_kernel(const cbm_launch *launch)
{
    if (!isfinite(element(&launch->in[0], 0))) {
        snprintf(launch->message, 256, "%s", FINITE_LOSS_TEXT);
        return CBM_ERROR_RANGE;
    }
    memcpy(launch->out[0].data, launch->in[0].data, cbm_dtype_size(launch->in[0].dtype));
    return CBM_OK;
}

static void finite_vjp(cbm_vjp *vjp)
{
    vjp->in_gradient[0] = vjp->out_gradient[0];
}

static const cbm_op finite_loss = {
    .struct_size = sizeof(cbm_op),
    .name = "finite_loss",
    .formula = "x; an error when x is not finite",
    .n_in = 1,
    .n_out = 1,
    .flags = CBM_OP_CHECKS,
    .infer = finite_infer,
    .vjp = finite_vjp,
    .kernel = finite_kernel,
};

cbm_tensor *cbm_finite_loss(cbm_tensor *loss)
{
    if (!loss)
        return NULL;
    cbm_tensor *out[1] = { NULL };
    return cbm_apply(loss->cx, &finite_loss, &loss, 1, NULL, out);
}

bool cbm_failed_by_loss(const cbm_context *cx)
{
    return cbm_context_status(cx) == CBM_ERROR_RANGE && strstr(cbm_message(cx), FINITE_LOSS_TEXT) != NULL;
}

/* ---- the search ---- */

typedef struct census {
    int64_t count, bad;
    double first_bad; /* nan, inf or -inf */
    double largest;   /* absolute, of the finite ones */
} census;

static bool take_census(cbm_tensor *t, census *c)
{
    *c = (census){ .count = cbm_tensor_count(t) };
    if (cbm_tensor_dtype(t) == CBM_BF16)
        t = cbm_cast(t, CBM_F32);
    cbm_dtype dtype = cbm_tensor_dtype(t);
    if (dtype != CBM_F32 && dtype != CBM_F64)
        return true;
    const void *data = cbm_tensor_data(t);
    if (!data && c->count > 0)
        return false;
    cbm_buffer b = { .data = (void *)(uintptr_t)data, .dtype = dtype };
    for (int64_t i = 0; i < c->count; i++) {
        double x = element(&b, i);
        if (isfinite(x))
            c->largest = fmax(c->largest, fabs(x));
        else if (c->bad++ == 0)
            c->first_bad = x;
    }
    return true;
}

static void say(char *text, size_t size, const char *what, const census *c)
{
    snprintf(text, size, "%s: %lld of its %lld numbers %s not finite (the first is %s)", what, (long long)c->bad,
             (long long)c->count, c->bad == 1 ? "is" : "are", isnan(c->first_bad) ? "nan" : "infinite");
}

static bool find_in_parameters(cbm_module *net, char *text, size_t size)
{
    cbm_named named;
    census c;
    char what[400];
    for (size_t i = 0; cbm_state_at(net, i, &named); i++) {
        if (!take_census(named.tensor, &c))
            return false;
        if (c.bad == 0)
            continue;
        snprintf(what, sizeof what, "the %s '%s' was the first to break, in an earlier step",
                 named.buffer ? "buffer" : "parameter", named.name);
        say(text, size, what, &c);
        return true;
    }
    return false;
}

typedef struct seen {
    char name[256];
    const char *type;
    cbm_tensor *output;
} seen;

static void remember(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    (void)input;
    cbm_array *list = user;
    if (cbm_child_count(m) > 0)
        return;
    seen s = { .type = m->type ? m->type : "module", .output = output };
    snprintf(s.name, sizeof s.name, "%s", name);
    cbm_array_push(list, &s);
}

static bool find_in_outputs(cbm_module *net, const cbm_batch *batch, cbm_loss_fn loss, void *user, char *text,
                            size_t size)
{
    cbm_context *cx = net->cx;
    cbm_array list = CBM_ARRAY(cbm_context_heap(cx), seen);
    bool found = false;
    census c, before = { .largest = NAN };
    char what[400];
    cbm_scope *scope = cbm_scope_begin_no_grad(cx);
    cbm_call_watched(net, batch->input, remember, &list);
    for (size_t i = 0; i < list.count && !found; i++) {
        const seen *s = &CBM_AT(&list, seen, i);
        if (!take_census(s->output, &c))
            break;
        found = c.bad > 0;
        if (found) {
            snprintf(what, sizeof what, "the output of layer '%s' (%s) is where it begins", s->name, s->type);
            say(text, size, what, &c);
        }
        before = c;
    }
    if (!found && cbm_context_status(cx) == CBM_OK) {
        cbm_tensor *prediction = NULL;
        double value = cbm_item(loss(net, batch, &prediction, user));
        found = cbm_context_status(cx) == CBM_OK && !isfinite(value);
        if (found)
            snprintf(text, size,
                     "all layers' outputs are finite (the last one up to %.3g), the loss made of them is not",
                     before.largest);
    }
    cbm_array_free(&list);
    cbm_scope_end(scope);
    return found;
}

/* Buffers (running statistics) as they are now, so that trying a forward leaves no trace; NULL: none, or no memory. */
static char *copy_buffers(cbm_module *net, size_t *size)
{
    cbm_named named;
    *size = 0;
    for (size_t i = 0; cbm_state_at(net, i, &named); i++)
        *size +=
            named.buffer ? (size_t)cbm_tensor_count(named.tensor) * cbm_dtype_size(cbm_tensor_dtype(named.tensor)) : 0;
    char *copy = *size > 0 ? cbm_heap_take(cbm_context_heap(net->cx), *size) : NULL;
    size_t at = 0;
    for (size_t i = 0; copy && cbm_state_at(net, i, &named); i++) {
        size_t bytes = (size_t)cbm_tensor_count(named.tensor) * cbm_dtype_size(cbm_tensor_dtype(named.tensor));
        if (!named.buffer)
            continue;
        cbm_read(named.tensor, copy + at, bytes);
        at += bytes;
    }
    return copy;
}

static void put_buffers_back(cbm_module *net, char *copy, size_t size)
{
    cbm_named named;
    size_t at = 0;
    for (size_t i = 0; copy && cbm_state_at(net, i, &named); i++) {
        size_t bytes = (size_t)cbm_tensor_count(named.tensor) * cbm_dtype_size(cbm_tensor_dtype(named.tensor));
        if (!named.buffer)
            continue;
        cbm_write(named.tensor, copy + at, bytes);
        at += bytes;
    }
    cbm_heap_give(cbm_context_heap(net->cx), copy, size);
}

bool cbm_explain_non_finite(cbm_module *net, const cbm_batch *batch, cbm_loss_fn loss, void *user, char *text,
                            size_t size)
{
    if (!text || size == 0)
        return false;
    text[0] = 0;
    if (!net || net->failed || !batch || cbm_context_status(net->cx) != CBM_OK)
        return false;
    census c;
    if (take_census(batch->input, &c) && c.bad > 0) {
        say(text, size, "the batch's input holds them already", &c);
        return true;
    }
    if (find_in_parameters(net, text, size))
        return true;
    uint64_t seed, position;
    cbm_random_state(net->cx, &seed, &position);
    size_t bytes;
    char *buffers = copy_buffers(net, &bytes);
    bool found = find_in_outputs(net, batch, loss ? loss : cbm_loss_cross_entropy, user, text, size);
    if (cbm_context_status(net->cx) != CBM_OK)
        cbm_clear(net->cx);
    put_buffers_back(net, buffers, bytes);
    cbm_set_random_state(net->cx, seed, position);
    return found;
}
