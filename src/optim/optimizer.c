/* optimizer.c: what all optimizers share: opening, the step, their parameters and state. An optimizer belongs to its
   context. Rests on autograd's gradients, nn's names, and operations. */
#include "optim/optimizer.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static cbm_optimizer failed_optimizer = { .failed = true };

static cbm_scope *quiet_scope(cbm_context *cx)
{
    cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    return cbm_scope_begin_with(cx, &options);
}

/* ---- life ---- */

static void free_optimizer(void *object)
{
    cbm_optimizer *opt = object;
    cbm_heap *heap = cbm_context_heap(opt->cx);
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_release(opt->items[i].parameter);
        for (size_t j = 0; j < opt->n_states; j++)
            cbm_release(opt->items[i].state[j]);
    }
    cbm_release(opt->item_steps);
    cbm_heap_give(heap, opt->items, opt->n_items * sizeof *opt->items);
    cbm_heap_give(heap, opt, sizeof *opt);
}

static cbm_optimizer *make(cbm_context *cx)
{
    cbm_optimizer *opt = cbm_heap_take_zero(cbm_context_heap(cx), sizeof *opt);
    if (!opt)
        return NULL;
    opt->cx = cx;
    if (cbm_context_own(cx, opt, free_optimizer))
        return opt;
    free_optimizer(opt);
    return NULL;
}

cbm_optimizer *cbm_optimizer_failed(cbm_context *cx)
{
    cbm_optimizer *opt = cx && !cx->broken ? make(cx) : NULL;
    if (!opt)
        return &failed_optimizer;
    opt->failed = true;
    return opt;
}

void cbm_optimizer_release(cbm_optimizer *opt)
{
    if (!opt || opt == &failed_optimizer)
        return;
    cbm_context_disown(opt->cx, opt);
    free_optimizer(opt);
}

static void fill_item(cbm_optimizer *opt, cbm_optimizer_item *item, const cbm_named *named)
{
    memcpy(item->name, named->name, sizeof item->name);
    item->parameter = cbm_retain(named->tensor);
    for (size_t j = 0; j < opt->n_states; j++)
        item->state[j] =
            cbm_variable(cbm_zeros(opt->cx, cbm_tensor_dtype(named->tensor), cbm_tensor_shape(named->tensor)), false);
}

cbm_optimizer *cbm_optimizer_open(cbm_module *net, const cbm_optimizer_kind *kind, size_t n_states, double lr)
{
    cbm_context *cx = net ? net->cx : NULL;
    if (!cx)
        return &failed_optimizer;
    if (!cbm_context_ready(cx))
        return cbm_optimizer_failed(cx);
    size_t count = cbm_parameter_count(net);
    if (count == 0) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the network has no parameters", kind->name);
        return cbm_optimizer_failed(cx);
    }
    cbm_optimizer *opt = make(cx);
    if (!opt) {
        cbm_fail_memory(cx, "an optimizer");
        return &failed_optimizer;
    }
    opt->kind = kind;
    opt->lr = lr;
    opt->n_states = n_states;
    opt->items = cbm_heap_take_zero(cbm_context_heap(cx), count * sizeof *opt->items);
    if (!opt->items) {
        cbm_fail_memory(cx, "an optimizer's state");
        opt->failed = true;
        return opt;
    }
    opt->n_items = count;
    cbm_scope *scope = quiet_scope(cx);
    cbm_named named;
    for (size_t i = 0; i < count && cbm_parameter_at(net, i, &named); i++)
        fill_item(opt, &opt->items[i], &named);
    opt->item_steps = cbm_variable(cbm_zeros(cx, CBM_I64, CBM_SHAPE((int64_t)count)), false);
    cbm_scope_end(scope);
    opt->failed = cbm_context_status(cx) != CBM_OK;
    return opt;
}

bool cbm_optimizer_number(cbm_context *cx, const char *kind, const char *name, double value, double low, double high)
{
    if (isfinite(value) && value >= low && value < high)
        return true;
    char number[40], least[40], most[40];
    cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %s is %s; it must be in [%s, %s)", kind, name,
             cbm_double_text(value, number, sizeof number), cbm_double_text(low, least, sizeof least),
             cbm_double_text(high, most, sizeof most));
    return false;
}

/* ---- the step ---- */

static bool usable(const cbm_optimizer *opt)
{
    return opt && !opt->failed;
}

/* The items' steps as a checkpoint may have written them. */
static void read_item_steps(cbm_optimizer *opt)
{
    size_t size = opt->n_items * sizeof(int64_t);
    int64_t *steps = cbm_heap_take(cbm_context_heap(opt->cx), size);
    if (!steps) {
        cbm_fail_memory(opt->cx, "an optimizer's step counts");
        return;
    }
    if (cbm_read(opt->item_steps, steps, size) == CBM_OK) {
        for (size_t i = 0; i < opt->n_items; i++)
            opt->items[i].steps = steps[i] > 0 ? steps[i] : 0;
        opt->item_steps_lent = false;
    }
    cbm_heap_give(cbm_context_heap(opt->cx), steps, size);
}

static void write_item_steps(cbm_optimizer *opt)
{
    size_t size = opt->n_items * sizeof(int64_t);
    int64_t *steps = cbm_heap_take(cbm_context_heap(opt->cx), size);
    if (!steps) {
        cbm_fail_memory(opt->cx, "an optimizer's step counts");
        return;
    }
    for (size_t i = 0; i < opt->n_items; i++)
        steps[i] = opt->items[i].steps;
    cbm_write(opt->item_steps, steps, size);
    cbm_heap_give(cbm_context_heap(opt->cx), steps, size);
}

cbm_status cbm_step(cbm_optimizer *opt)
{
    if (!opt || !opt->cx)
        return CBM_ERROR_STATE;
    cbm_context *cx = opt->cx;
    if (!cbm_context_ready(cx))
        return cbm_context_status(cx);
    if (opt->failed)
        return cbm_fail(cx, CBM_ERROR_STATE, "[step] the optimizer is a failed one");
    if (opt->item_steps_lent)
        read_item_steps(opt);
    cbm_scope *scope = quiet_scope(cx);
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_optimizer_item *item = &opt->items[i];
        cbm_tensor *gradient = cbm_gradient(item->parameter);
        item->updated = gradient != NULL;
        if (!gradient)
            continue;
        opt->kind->update(opt, item, gradient);
        cbm_clear_gradient(item->parameter);
    }
    cbm_scope_end(scope);
    cbm_status status = cbm_flush(cx);
    if (status != CBM_OK)
        return status;
    opt->steps++;
    for (size_t i = 0; i < opt->n_items; i++)
        opt->items[i].steps += opt->items[i].updated;
    return CBM_OK;
}

void cbm_zero_grad(cbm_optimizer *opt)
{
    for (size_t i = 0; usable(opt) && i < opt->n_items; i++)
        cbm_clear_gradient(opt->items[i].parameter);
}

cbm_status cbm_backward_into(cbm_tensor *loss, cbm_optimizer *opt)
{
    if (!loss)
        return CBM_ERROR_INVALID;
    cbm_context *cx = loss->cx;
    if (!cbm_usable(cx, loss))
        return cbm_context_status(cx);
    if (!usable(opt))
        return cbm_fail(cx, CBM_ERROR_INVALID, "[backward_into] the optimizer is %s", opt ? "a failed one" : "NULL");
    cbm_heap *heap = cbm_context_heap(cx);
    size_t size = opt->n_items * sizeof(cbm_tensor *);
    cbm_tensor **variables = cbm_heap_take(heap, size);
    if (!variables)
        return cbm_fail_memory(cx, "a list of parameters");
    for (size_t i = 0; i < opt->n_items; i++)
        variables[i] = opt->items[i].parameter;
    cbm_status status = cbm_backward_variables(loss, variables, opt->n_items);
    cbm_heap_give(heap, variables, size);
    return status;
}

/* ---- looking at it ---- */

double cbm_learning_rate(const cbm_optimizer *opt)
{
    return opt ? opt->lr : 0;
}

void cbm_set_learning_rate(cbm_optimizer *opt, double lr)
{
    if (usable(opt) && cbm_optimizer_number(opt->cx, opt->kind->name, "lr", lr, 0, INFINITY))
        opt->lr = lr;
}

int64_t cbm_step_count(const cbm_optimizer *opt)
{
    return opt ? opt->steps : 0;
}

void cbm_set_step_count(cbm_optimizer *opt, int64_t steps)
{
    if (!usable(opt))
        return;
    opt->steps = steps > 0 ? steps : 0;
    if (opt->item_steps_lent) /* whoever restores the state restores these too */
        return;
    for (size_t i = 0; i < opt->n_items; i++)
        opt->items[i].steps = opt->steps;
}

const char *cbm_optimizer_name(const cbm_optimizer *opt)
{
    return opt && opt->kind ? opt->kind->name : "failed";
}

cbm_context *cbm_optimizer_context(const cbm_optimizer *opt)
{
    return opt ? opt->cx : NULL;
}

size_t cbm_optimizer_parameter_count(const cbm_optimizer *opt)
{
    return usable(opt) ? opt->n_items : 0;
}

bool cbm_optimizer_parameter_at(const cbm_optimizer *opt, size_t index, cbm_named *out)
{
    if (index >= cbm_optimizer_parameter_count(opt) || !out)
        return false;
    memcpy(out->name, opt->items[index].name, sizeof out->name);
    out->tensor = opt->items[index].parameter;
    out->buffer = false;
    return true;
}

/* The items' states, and last their step counts ("steps"). */
size_t cbm_optimizer_state_count(const cbm_optimizer *opt)
{
    return usable(opt) ? opt->n_items * opt->n_states + 1 : 0;
}

bool cbm_optimizer_state_at(const cbm_optimizer *opt, size_t index, cbm_named *out)
{
    if (index >= cbm_optimizer_state_count(opt) || !out)
        return false;
    out->buffer = true;
    if (index == opt->n_items * opt->n_states) {
        cbm_optimizer *own = (cbm_optimizer *)opt; /* the numbers are the same before and after */
        if (!own->item_steps_lent)
            write_item_steps(own);
        own->item_steps_lent = true;
        snprintf(out->name, sizeof out->name, "steps");
        out->tensor = opt->item_steps;
        return true;
    }
    const cbm_optimizer_item *item = &opt->items[index / opt->n_states];
    size_t j = index % opt->n_states;
    size_t length = strlen(item->name), more = strlen(opt->kind->state_names[j]) + 1;
    if (length + 1 + more > sizeof out->name)
        length = sizeof out->name - 1 - more;
    memcpy(out->name, item->name, length);
    out->name[length] = '.';
    memcpy(out->name + length + 1, opt->kind->state_names[j], more);
    out->tensor = item->state[j];
    return true;
}
