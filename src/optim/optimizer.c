/* optimizer.c: what all optimizers share: opening, the step, weight decay. An optimizer belongs to its context. Rests on
   autograd's gradients, nn's names, and operations. */
#include "optim/optimizer.h"
#include <string.h>

static cbm_optimizer failed_optimizer = { .failed = true };

cbm_scope *cbm_quiet_scope(cbm_context *cx)
{
    cbm_scope_options options = { .struct_size = sizeof options, .no_grad = 1, .quiet = 1 };
    return cbm_scope_begin_with(cx, &options);
}

bool cbm_optimizer_usable(const cbm_optimizer *opt)
{
    return opt && !opt->failed;
}

/* ---- life ---- */

static void free_optimizer(void *object)
{
    cbm_optimizer *opt = object;
    cbm_heap *heap = cbm_context_heap(opt->cx);
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_release(opt->items[i].parameter);
        for (size_t j = 0; j < CBM_MAX_OPTIMIZER_STATES; j++)
            cbm_release(opt->items[i].state[j]);
    }
    cbm_release(opt->item_steps);
    cbm_release(opt->item_numbers);
    for (size_t i = 0; i < opt->extra.count; i++)
        cbm_release(CBM_AT(&opt->extra, cbm_named, i).tensor);
    cbm_array_free(&opt->extra);
    cbm_array_free(&opt->groups);
    cbm_heap_give(heap, opt->items, opt->n_items * sizeof *opt->items);
    cbm_heap_give(heap, opt, sizeof *opt);
}

static cbm_optimizer *make(cbm_context *cx)
{
    cbm_optimizer *opt = cbm_heap_take_zero(cbm_context_heap(cx), sizeof *opt);
    if (!opt)
        return NULL;
    opt->cx = cx;
    opt->groups = CBM_ARRAY(cbm_context_heap(cx), cbm_group);
    opt->extra = CBM_ARRAY(cbm_context_heap(cx), cbm_named);
    if (cbm_context_own(cx, opt, free_optimizer))
        return opt;
    free_optimizer(opt);
    return NULL;
}

/* An inert one; its context has an error already. */
static cbm_optimizer *failed(cbm_context *cx)
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

/* Group 0, and room for the items. */
static bool furnish(cbm_optimizer *opt, const void *options, size_t count)
{
    cbm_group *group = cbm_array_push(&opt->groups, NULL);
    opt->items = cbm_heap_take_zero(cbm_context_heap(opt->cx), count * sizeof *opt->items);
    if (!group || !opt->items) {
        cbm_fail_memory(opt->cx, "an optimizer's state");
        return false;
    }
    opt->n_items = count;
    memcpy(&group->options, options, opt->kind->options_size);
    group->base_lr = group->options.common.lr;
    return true;
}

static void fill_items(cbm_optimizer *opt, const cbm_module *net)
{
    cbm_scope *scope = cbm_quiet_scope(opt->cx);
    cbm_shape one_each = CBM_SHAPE((int64_t)opt->n_items);
    cbm_named named;
    for (size_t i = 0; i < opt->n_items && cbm_parameter_at(net, i, &named); i++) {
        cbm_optimizer_item *item = &opt->items[i];
        memcpy(item->name, named.name, sizeof item->name);
        item->parameter = cbm_retain(named.tensor);
        item->number = 1;
        cbm_item_states(opt, item, &CBM_GROUP(opt, 0)->options);
    }
    opt->item_steps = cbm_variable(cbm_zeros(opt->cx, CBM_I64, one_each), false);
    if (opt->kind->number_name)
        opt->item_numbers = cbm_variable(cbm_ones(opt->cx, CBM_F64, one_each), false);
    if (opt->kind->furnish)
        opt->kind->furnish(opt);
    cbm_scope_end(scope);
}

cbm_optimizer *cbm_optimizer_open(cbm_module *net, const cbm_optimizer_kind *kind, const void *options)
{
    cbm_context *cx = net ? net->cx : NULL;
    if (!cx)
        return &failed_optimizer;
    if (!cbm_context_ready(cx) || !cbm_optimizer_options_fit(cx, kind, options))
        return failed(cx);
    size_t count = cbm_parameter_count(net);
    if (count == 0) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the network has no parameters", kind->name);
        return failed(cx);
    }
    cbm_optimizer *opt = make(cx);
    if (!opt) {
        cbm_fail_memory(cx, "an optimizer");
        return &failed_optimizer;
    }
    opt->kind = kind;
    if (furnish(opt, options, count))
        fill_items(opt, net);
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

/* What all kinds do with a gradient first, then the kind's own rule. */
static void update(cbm_optimizer *opt, cbm_optimizer_item *item, cbm_tensor *g)
{
    const cbm_optimizer_options *options = &CBM_GROUP(opt, item->group)->options;
    const cbm_common_options *o = &options->common;
    cbm_tensor *p = item->parameter;
    if (o->maximize)
        g = cbm_neg(g);
    if (o->weight_decay != 0 && o->decoupled_weight_decay)
        p = cbm_mul_scalar(p, 1 - o->lr * o->weight_decay);
    else if (o->weight_decay != 0)
        g = cbm_add(g, cbm_mul_scalar(p, o->weight_decay));
    if (o->l1_decay != 0)
        g = cbm_add(g, cbm_mul_scalar(cbm_sign(item->parameter), o->l1_decay));
    opt->kind->update(options, item, p, g);
}

static cbm_status ready(cbm_optimizer *opt)
{
    if (!opt || !opt->cx)
        return CBM_ERROR_STATE;
    if (!cbm_context_ready(opt->cx))
        return cbm_context_status(opt->cx);
    if (opt->failed)
        return cbm_fail(opt->cx, CBM_ERROR_STATE, "[step] the optimizer is a failed one");
    return CBM_OK;
}

static void count_step(cbm_optimizer *opt)
{
    opt->steps++;
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_optimizer_item *item = &opt->items[i];
        if (!item->updated)
            continue;
        item->steps++;
        item->number = opt->kind->number_name ? item->next_number : item->number;
    }
}

cbm_status cbm_step(cbm_optimizer *opt)
{
    cbm_status status = ready(opt);
    if (status != CBM_OK)
        return status;
    if (opt->kind->step)
        return cbm_fail(opt->cx, CBM_ERROR_STATE, "[step] %s evaluates the loss several times. HINT: cbm_step_closure",
                        opt->kind->name);
    cbm_take_counts(opt);
    cbm_scope *scope = cbm_quiet_scope(opt->cx);
    for (size_t i = 0; i < opt->n_items; i++) {
        cbm_optimizer_item *item = &opt->items[i];
        cbm_tensor *gradient = cbm_gradient(item->parameter);
        item->updated = gradient != NULL;
        if (!gradient)
            continue;
        update(opt, item, gradient);
        cbm_clear_gradient(item->parameter);
    }
    cbm_scope_end(scope);
    if (cbm_flush(opt->cx) == CBM_OK)
        count_step(opt);
    return cbm_context_status(opt->cx);
}

/* One evaluation, for all kinds that need no more. */
static cbm_status step_once(cbm_optimizer *opt, cbm_closure_fn closure, void *user, double *loss)
{
    cbm_scope *scope = cbm_scope_begin(opt->cx);
    cbm_zero_grad(opt);
    cbm_tensor *recorded = closure(user);
    if (!recorded)
        cbm_fail(opt->cx, CBM_ERROR_CALLBACK, "[step] the closure returned NULL");
    else if (cbm_backward_into(recorded, opt) == CBM_OK && cbm_step(opt) == CBM_OK && loss)
        *loss = cbm_item(recorded);
    cbm_scope_end(scope);
    return cbm_context_status(opt->cx);
}

cbm_status cbm_step_closure(cbm_optimizer *opt, cbm_closure_fn closure, void *user, double *loss)
{
    if (loss)
        *loss = NAN;
    cbm_status status = ready(opt);
    if (status != CBM_OK)
        return status;
    if (!closure)
        return cbm_fail(opt->cx, CBM_ERROR_INVALID, "[step] the closure is NULL");
    if (!opt->kind->step)
        return step_once(opt, closure, user, loss);
    cbm_take_counts(opt);
    for (size_t i = 0; i < opt->n_items; i++)
        opt->items[i].updated = false;
    if (opt->kind->step(opt, closure, user, loss) == CBM_OK)
        count_step(opt);
    return cbm_context_status(opt->cx);
}

void cbm_zero_grad(cbm_optimizer *opt)
{
    for (size_t i = 0; cbm_optimizer_usable(opt) && i < opt->n_items; i++)
        cbm_clear_gradient(opt->items[i].parameter);
}

cbm_status cbm_backward_into(cbm_tensor *loss, cbm_optimizer *opt)
{
    if (!loss)
        return CBM_ERROR_INVALID;
    cbm_context *cx = loss->cx;
    if (!cbm_usable(cx, loss))
        return cbm_context_status(cx);
    if (!cbm_optimizer_usable(opt))
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
