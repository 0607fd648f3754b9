/* average.c: averages of a network's weights: moving ones and means. Rests on nn's names and operations. */
#include "optim/average.h"
#include "optim/optimizer.h"
#include <string.h>

static cbm_average failed_average = { .failed = true };

/* ---- life ---- */

static void free_average(void *object)
{
    cbm_average *a = object;
    cbm_heap *heap = cbm_context_heap(a->cx);
    for (size_t i = 0; i < a->n_items; i++) {
        cbm_release(a->items[i].original);
        cbm_release(a->items[i].average);
    }
    cbm_heap_give(heap, a->items, a->n_items * sizeof *a->items);
    cbm_heap_give(heap, a, sizeof *a);
}

static cbm_average *make(cbm_context *cx, size_t count)
{
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_average *a = cbm_heap_take_zero(heap, sizeof *a);
    cbm_average_item *items = cbm_heap_take_zero(heap, count * sizeof *items);
    if (a && items) {
        a->cx = cx;
        a->items = items;
        a->n_items = count;
        if (cbm_context_own(cx, a, free_average))
            return a;
    }
    cbm_fail_memory(cx, "an average of weights");
    cbm_heap_give(heap, items, count * sizeof *items);
    cbm_heap_give(heap, a, sizeof *a);
    return NULL;
}

static void fill_items(cbm_average *a, const cbm_module *net, bool use_buffers)
{
    cbm_scope *scope = cbm_quiet_scope(a->cx);
    cbm_named named;
    for (size_t i = 0; i < a->n_items && cbm_state_at(net, i, &named); i++) {
        cbm_average_item *item = &a->items[i];
        memcpy(item->name, named.name, sizeof item->name);
        item->original = cbm_retain(named.tensor);
        item->average = cbm_variable(cbm_detach(named.tensor), false);
        item->copied = named.buffer && !(use_buffers && cbm_is_floating(cbm_tensor_dtype(named.tensor)));
    }
    cbm_scope_end(scope);
}

static bool sizes_fit(cbm_context *cx, const char *kind, bool same_size, int64_t start, int64_t every)
{
    if (same_size && start >= 0 && every >= 1)
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID,
             same_size ? "[%s] needs start >= 0 and every >= 1" : "[%s] the options are not this library's", kind);
    return false;
}

static cbm_average *open_average(cbm_module *net, const char *kind, double decay, const cbm_swa_options *o)
{
    cbm_context *cx = net ? net->cx : NULL;
    size_t count = cx ? cbm_state_count(net) : 0;
    if (!cx || !cbm_context_ready(cx))
        return &failed_average;
    if (net->failed || count == 0) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the network %s", kind, net->failed ? "has failed" : "has no parameters");
        return &failed_average;
    }
    cbm_average *a = make(cx, count);
    if (!a)
        return &failed_average;
    a->kind = kind;
    a->decay = decay;
    a->start = o->start;
    a->every = o->every;
    fill_items(a, net, o->use_buffers != 0);
    a->failed = cbm_flush(cx) != CBM_OK;
    return a;
}

cbm_average *cbm_ema_with(cbm_module *net, const cbm_ema_options *o)
{
    cbm_context *cx = net ? net->cx : NULL;
    bool same_size = o && o->struct_size == sizeof *o;
    if (!cx || !sizes_fit(cx, "ema", same_size, same_size ? o->start : 0, same_size ? o->every : 1) ||
        !cbm_optimizer_number(cx, "ema", "decay", o->decay, 0, 1))
        return &failed_average;
    const cbm_swa_options rest = { .use_buffers = o->use_buffers, .start = o->start, .every = o->every };
    return open_average(net, "ema", o->decay, &rest);
}

cbm_average *cbm_swa_with(cbm_module *net, const cbm_swa_options *o)
{
    cbm_context *cx = net ? net->cx : NULL;
    bool same_size = o && o->struct_size == sizeof *o;
    if (!cx || !sizes_fit(cx, "swa", same_size, same_size ? o->start : 0, same_size ? o->every : 1))
        return &failed_average;
    return open_average(net, "swa", NAN, o);
}

void cbm_average_release(cbm_average *a)
{
    if (!a || a == &failed_average)
        return;
    cbm_context_disown(a->cx, a);
    free_average(a);
}

/* ---- updating and swapping ---- */

static cbm_status ready(const cbm_average *a)
{
    if (!a || !a->cx)
        return CBM_ERROR_STATE;
    if (!cbm_context_ready(a->cx))
        return cbm_context_status(a->cx);
    return a->failed ? cbm_fail(a->cx, CBM_ERROR_STATE, "[average] it is a failed one") : CBM_OK;
}

static void update_item(const cbm_average_item *item, double weight)
{
    cbm_tensor *a = item->average, *p = item->original;
    bool copy = item->copied || weight == 1;
    cbm_assign(a, copy ? p : cbm_add(a, cbm_mul_scalar(cbm_sub(p, a), weight)));
}

/* Whether this call of cbm_average_update is one that counts. */
static bool counts(const cbm_average *a)
{
    return a->counts.calls >= a->start && (a->counts.calls - a->start) % a->every == 0;
}

cbm_status cbm_average_update(cbm_average *a)
{
    cbm_status status = ready(a);
    if (status != CBM_OK)
        return status;
    if (a->counts.swapped)
        return cbm_fail(a->cx, CBM_ERROR_STATE,
                        "[average] the averages are in the network. HINT: cbm_average_swap takes them out again");
    if (counts(a)) {
        double weight = a->counts.updates == 0 ? 1
                        : isnan(a->decay)      ? 1 / (double)(a->counts.updates + 1)
                                               : 1 - a->decay;
        cbm_scope *scope = cbm_quiet_scope(a->cx);
        for (size_t i = 0; i < a->n_items; i++)
            update_item(&a->items[i], weight);
        cbm_scope_end(scope);
        if (cbm_flush(a->cx) != CBM_OK)
            return cbm_context_status(a->cx);
        a->counts.updates++;
    }
    a->counts.calls++;
    return CBM_OK;
}

cbm_status cbm_average_swap(cbm_average *a)
{
    cbm_status status = ready(a);
    if (status != CBM_OK)
        return status;
    cbm_scope *scope = cbm_quiet_scope(a->cx);
    for (size_t i = 0; i < a->n_items; i++) {
        const cbm_average_item *item = &a->items[i];
        cbm_tensor *before = cbm_detach(item->original);
        cbm_assign(item->original, item->average);
        cbm_assign(item->average, before);
    }
    cbm_scope_end(scope);
    if (cbm_flush(a->cx) != CBM_OK)
        return cbm_context_status(a->cx);
    a->counts.swapped = !a->counts.swapped;
    return CBM_OK;
}

/* ---- looking ---- */

bool cbm_average_swapped(const cbm_average *a)
{
    return a && a->counts.swapped;
}

int64_t cbm_average_updates(const cbm_average *a)
{
    return a ? a->counts.updates : 0;
}

size_t cbm_average_count(const cbm_average *a)
{
    return a && !a->failed ? a->n_items : 0;
}

bool cbm_average_at(const cbm_average *a, size_t index, cbm_named *out)
{
    if (index >= cbm_average_count(a) || !out)
        return false;
    memcpy(out->name, a->items[index].name, sizeof out->name);
    out->tensor = a->items[index].average;
    out->buffer = a->items[index].copied;
    return true;
}

cbm_context *cbm_average_context(const cbm_average *a)
{
    return a ? a->cx : NULL;
}
