/* state.c: looking at an optimizer: its parameters, and its state for checkpoints. */
#include "optim/optimizer.h"
#include <stdio.h>
#include <string.h>

/* ---- making it ---- */

bool cbm_item_states(cbm_optimizer *opt, cbm_optimizer_item *item, const cbm_optimizer_options *o)
{
    cbm_tensor *p = item->parameter;
    for (size_t j = 0; j < CBM_MAX_OPTIMIZER_STATES && opt->kind->state_names[j]; j++) {
        if (item->state[j] || (opt->kind->needs && !opt->kind->needs(o, j)))
            continue;
        cbm_tensor *state = cbm_variable(cbm_zeros(opt->cx, cbm_tensor_dtype(p), cbm_tensor_shape(p)), false);
        if (cbm_tensor_failed(state))
            return false;
        item->state[j] = state;
    }
    return true;
}

/* ---- counts on the host ---- */

/* A number of steps as a file may hold it, and from which one can count on. */
static int64_t sensible(int64_t steps)
{
    return steps < 0 ? 0 : steps < INT64_MAX / 2 ? steps : INT64_MAX / 2;
}

/* Copies the items' counts from (or to) their variables by way of one buffer of n_items numbers of eight bytes. */
static void exchange_counts(cbm_optimizer *opt, bool write)
{
    size_t size = opt->n_items * sizeof(int64_t);
    int64_t *steps = cbm_heap_take(cbm_context_heap(opt->cx), 2 * size);
    if (!steps) {
        cbm_fail_memory(opt->cx, "an optimizer's step counts");
        return;
    }
    double *numbers = (double *)(void *)(steps + opt->n_items);
    for (size_t i = 0; i < opt->n_items; i++) {
        steps[i] = opt->items[i].steps;
        numbers[i] = opt->items[i].number;
    }
    if (write) {
        cbm_write(opt->item_steps, steps, size);
        if (opt->item_numbers)
            cbm_write(opt->item_numbers, numbers, size);
    } else if (cbm_read(opt->item_steps, steps, size) == CBM_OK &&
               (!opt->item_numbers || cbm_read(opt->item_numbers, numbers, size) == CBM_OK)) {
        for (size_t i = 0; i < opt->n_items; i++) {
            opt->items[i].steps = sensible(steps[i]);
            opt->items[i].number = numbers[i];
        }
        opt->counts_lent = false;
    }
    cbm_heap_give(cbm_context_heap(opt->cx), steps, 2 * size);
}

void cbm_take_counts(cbm_optimizer *opt)
{
    if (opt->counts_lent)
        exchange_counts(opt, false);
}

int64_t cbm_step_count(const cbm_optimizer *opt)
{
    return opt ? opt->steps : 0;
}

void cbm_set_step_count(cbm_optimizer *opt, int64_t steps)
{
    if (!cbm_optimizer_usable(opt))
        return;
    opt->steps = sensible(steps);
    if (opt->counts_lent) /* whoever restores the state restores these too */
        return;
    for (size_t i = 0; i < opt->n_items; i++)
        opt->items[i].steps = opt->steps;
}

/* ---- looking ---- */

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
    return cbm_optimizer_usable(opt) ? opt->n_items : 0;
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

static size_t states_of(const cbm_optimizer_item *item)
{
    size_t count = 0;
    for (size_t j = 0; j < CBM_MAX_OPTIMIZER_STATES; j++)
        count += item->state[j] != NULL;
    return count;
}

/* The items' states, those of all together, and last the counts: "steps", and the kind's number. */
size_t cbm_optimizer_state_count(const cbm_optimizer *opt)
{
    if (!cbm_optimizer_usable(opt))
        return 0;
    size_t count = opt->extra.count + (opt->item_numbers ? 2 : 1);
    for (size_t i = 0; i < opt->n_items; i++)
        count += states_of(&opt->items[i]);
    return count;
}

/* "NAME.STATE", with a NAME that is cut where the two do not fit. */
static void name_state(char *out, size_t size, const char *name, const char *state)
{
    size_t length = strlen(name), more = strlen(state) + 1;
    if (length + 1 + more > size)
        length = size - 1 - more;
    memcpy(out, name, length);
    out[length] = '.';
    memcpy(out + length + 1, state, more);
}

static bool item_state_at(const cbm_optimizer *opt, const cbm_optimizer_item *item, size_t index, cbm_named *out)
{
    for (size_t j = 0; j < CBM_MAX_OPTIMIZER_STATES; j++) {
        if (!item->state[j] || index-- > 0)
            continue;
        name_state(out->name, sizeof out->name, item->name, opt->kind->state_names[j]);
        out->tensor = item->state[j];
        return true;
    }
    return false;
}

bool cbm_optimizer_state_at(const cbm_optimizer *opt, size_t index, cbm_named *out)
{
    if (index >= cbm_optimizer_state_count(opt) || !out)
        return false;
    out->buffer = true;
    for (size_t i = 0; i < opt->n_items; i++) {
        size_t count = states_of(&opt->items[i]);
        if (index < count)
            return item_state_at(opt, &opt->items[i], index, out);
        index -= count;
    }
    if (index < opt->extra.count) {
        *out = CBM_AT(&opt->extra, cbm_named, index);
        return true;
    }
    index -= opt->extra.count;
    cbm_optimizer *own = (cbm_optimizer *)opt; /* the numbers are the same before and after */
    if (!own->counts_lent)
        exchange_counts(own, true);
    own->counts_lent = true;
    snprintf(out->name, sizeof out->name, "%s", index == 0 ? "steps" : opt->kind->number_name);
    out->tensor = index == 0 ? opt->item_steps : opt->item_numbers;
    return true;
}
