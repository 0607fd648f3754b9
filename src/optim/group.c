/* group.c: options by name, in range, and by group of parameters. */
#include "optim/optimizer.h"
#include <string.h>

/* ---- one option ---- */

const cbm_option *cbm_option_named(const cbm_optimizer_kind *kind, const char *name)
{
    for (size_t i = 0; i < kind->n_options; i++)
        if (strcmp(kind->options[i].name, name) == 0)
            return &kind->options[i];
    return NULL;
}

double cbm_option_get(const cbm_option *option, const cbm_optimizer_options *o)
{
    const char *at = (const char *)o + option->offset;
    double number;
    int64_t whole;
    memcpy(&number, at, sizeof number);
    memcpy(&whole, at, sizeof whole);
    return option->type == CBM_OPTION_NUMBER ? number : option->type == CBM_OPTION_WHOLE ? (double)whole : whole != 0;
}

void cbm_option_put(const cbm_option *option, cbm_optimizer_options *o, double value)
{
    char *at = (char *)o + option->offset;
    const int64_t whole = option->type == CBM_OPTION_NUMBER  ? 0
                          : option->type == CBM_OPTION_WHOLE ? (int64_t)value
                                                             : value != 0;
    memcpy(at, option->type == CBM_OPTION_NUMBER ? (const void *)&value : &whole, sizeof whole);
}

static bool in_range(cbm_context *cx, const cbm_optimizer_kind *kind, const cbm_optimizer_options *o)
{
    for (size_t i = 0; i < kind->n_options; i++) {
        const cbm_option *option = &kind->options[i];
        if (!cbm_optimizer_number(cx, kind->name, option->name, cbm_option_get(option, o), option->low, option->high))
            return false;
    }
    const char *why = kind->wrong ? kind->wrong(o) : NULL;
    if (why)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %s", kind->name, why);
    return !why;
}

bool cbm_optimizer_options_fit(cbm_context *cx, const cbm_optimizer_kind *kind, const void *options)
{
    uint64_t size = 0;
    if (options)
        memcpy(&size, options, sizeof size);
    if (size == kind->options_size)
        return in_range(cx, kind, options);
    cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the options are not this library's. HINT: cbm_%s_options_init", kind->name,
             kind->name);
    return false;
}

/* ---- options of groups ---- */

static bool ready(cbm_optimizer *opt, const char *who)
{
    if (!opt || !opt->cx || !cbm_context_ready(opt->cx))
        return false;
    if (opt->failed)
        cbm_fail(opt->cx, CBM_ERROR_STATE, "[%s] the optimizer is a failed one", who);
    return !opt->failed;
}

static bool group_exists(const cbm_optimizer *opt, const char *who, int64_t group, int64_t least)
{
    int64_t count = cbm_group_count(opt);
    if (group >= least && group < count)
        return true;
    cbm_fail(opt->cx, CBM_ERROR_INVALID, "[%s] there is no group %lld: %s has %lld", who, (long long)group,
             opt->kind->name, (long long)count);
    return false;
}

static const cbm_option *option_of(const cbm_optimizer *opt, const char *who, const char *name)
{
    const cbm_option *option = name ? cbm_option_named(opt->kind, name) : NULL;
    if (!option)
        cbm_fail(opt->cx, CBM_ERROR_INVALID, "[%s] %s has no option '%s'", who, opt->kind->name, name ? name : "NULL");
    return option;
}

/* The states that a group's new options need, made before the options hold. */
static bool states_for(cbm_optimizer *opt, size_t group, const cbm_optimizer_options *o)
{
    cbm_scope *scope = cbm_quiet_scope(opt->cx);
    bool fine = true;
    for (size_t i = 0; i < opt->n_items && fine; i++)
        if (opt->items[i].group == group)
            fine = cbm_item_states(opt, &opt->items[i], o);
    cbm_scope_end(scope);
    return fine;
}

/* Whether the group could have this value of the option; the states that it needs are there then. */
static bool could_be(cbm_optimizer *opt, size_t group, const cbm_option *option, double value)
{
    cbm_optimizer_options changed = CBM_GROUP(opt, group)->options;
    if (!cbm_optimizer_number(opt->cx, opt->kind->name, option->name, value, option->low, option->high))
        return false;
    cbm_option_put(option, &changed, value);
    return in_range(opt->cx, opt->kind, &changed) && states_for(opt, group, &changed);
}

cbm_status cbm_group_change(cbm_optimizer *opt, size_t group, const cbm_option *option, double value)
{
    if (could_be(opt, group, option, value))
        cbm_option_put(option, &CBM_GROUP(opt, group)->options, value);
    return cbm_context_status(opt->cx);
}

double cbm_optimizer_option(cbm_optimizer *opt, int64_t group, const char *name)
{
    if (!ready(opt, "optimizer_option") || !group_exists(opt, "optimizer_option", group, 0))
        return NAN;
    const cbm_option *option = option_of(opt, "optimizer_option", name);
    return option ? cbm_option_get(option, &CBM_GROUP(opt, group)->options) : NAN;
}

cbm_status cbm_set_optimizer_option(cbm_optimizer *opt, int64_t group, const char *name, double value)
{
    static const char *const who = "set_optimizer_option";
    if (!ready(opt, who))
        return opt && opt->cx ? cbm_context_status(opt->cx) : CBM_ERROR_STATE;
    const cbm_option *option = option_of(opt, who, name);
    if (!option || !group_exists(opt, who, group, -1))
        return cbm_context_status(opt->cx);
    size_t first = group < 0 ? 0 : (size_t)group, end = group < 0 ? opt->groups.count : first + 1;
    for (size_t i = first; i < end; i++)
        if (!could_be(opt, i, option, value))
            return cbm_context_status(opt->cx);
    for (size_t i = first; i < end; i++) {
        cbm_option_put(option, &CBM_GROUP(opt, i)->options, value);
        if (option->offset == offsetof(cbm_common_options, lr))
            CBM_GROUP(opt, i)->base_lr = value;
    }
    return CBM_OK;
}

double cbm_learning_rate(const cbm_optimizer *opt)
{
    return cbm_optimizer_usable(opt) ? CBM_GROUP(opt, 0)->options.common.lr : 0;
}

void cbm_set_learning_rate(cbm_optimizer *opt, double lr)
{
    if (cbm_optimizer_usable(opt))
        cbm_set_optimizer_option(opt, -1, "lr", lr);
}

int64_t cbm_group_count(const cbm_optimizer *opt)
{
    return cbm_optimizer_usable(opt) ? (int64_t)opt->groups.count : 0;
}

int64_t cbm_group_of(const cbm_optimizer *opt, size_t index)
{
    return index < cbm_optimizer_parameter_count(opt) ? (int64_t)opt->items[index].group : -1;
}

cbm_group_rates cbm_group_rates_of(const cbm_optimizer *opt, size_t group)
{
    cbm_group_rates r = { CBM_GROUP(opt, group)->options.common.lr, CBM_GROUP(opt, group)->base_lr, 0 };
    for (size_t i = 0; i < opt->n_items; i++)
        r.parameters += opt->items[i].group == group;
    return r;
}

void cbm_group_put_rates(cbm_optimizer *opt, size_t group, double rate, double base)
{
    cbm_group *g = CBM_GROUP(opt, group);
    g->options.common.lr = isnan(rate) ? g->options.common.lr : rate;
    g->base_lr = isnan(base) ? g->base_lr : base;
}

/* ---- making groups ---- */

static bool is_below(const cbm_module *module, const cbm_tensor *parameter)
{
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(module, i, &named); i++)
        if (named.tensor == parameter)
            return true;
    return false;
}

static bool is_listed(const cbm_group_options *o, const cbm_tensor *parameter)
{
    for (uint64_t i = 0; i < o->parameter_count; i++)
        if (o->parameters[i] == parameter)
            return true;
    return false;
}

static bool chosen(const cbm_optimizer_item *item, const cbm_group_options *o)
{
    return (!o->prefix || strncmp(item->name, o->prefix, strlen(o->prefix)) == 0) &&
           (!o->suffix || cbm_ends_in(item->name, o->suffix)) && cbm_tensor_rank(item->parameter) <= o->max_rank &&
           (!o->module || is_below(o->module, item->parameter)) && (!o->parameters || is_listed(o, item->parameter));
}

/* Every parameter of the list is one of the optimizer's. */
static bool list_fits(const cbm_optimizer *opt, const cbm_group_options *o)
{
    for (uint64_t i = 0; o->parameters && i < o->parameter_count; i++) {
        size_t at = 0;
        while (at < opt->n_items && opt->items[at].parameter != o->parameters[i])
            at++;
        if (at < opt->n_items)
            continue;
        cbm_fail(opt->cx, CBM_ERROR_INVALID,
                 "[add_group] entry %llu of the list is not one of the optimizer's parameters", (unsigned long long)i);
        return false;
    }
    return true;
}

static bool options_of(const cbm_optimizer *opt, const cbm_group_options *o, cbm_group *group)
{
    *group = *CBM_GROUP(opt, 0);
    group->options.common.lr = group->base_lr;
    if (o->lr != CBM_AS_GROUP_0)
        group->options.common.lr = group->base_lr = o->lr;
    if (o->weight_decay != CBM_AS_GROUP_0)
        group->options.common.weight_decay = o->weight_decay;
    return in_range(opt->cx, opt->kind, &group->options);
}

/* How many parameters the group will have; the states that its options need are there then. */
static size_t choose(cbm_optimizer *opt, const cbm_group_options *o, const cbm_optimizer_options *options)
{
    size_t count = 0;
    cbm_scope *scope = cbm_quiet_scope(opt->cx);
    for (size_t i = 0; i < opt->n_items; i++) {
        if (!chosen(&opt->items[i], o))
            continue;
        count++;
        cbm_item_states(opt, &opt->items[i], options);
    }
    cbm_scope_end(scope);
    return count;
}

int64_t cbm_add_group_with(cbm_optimizer *opt, const cbm_group_options *o)
{
    cbm_group group;
    if (!ready(opt, "add_group"))
        return -1;
    if (!o || o->struct_size != sizeof *o) {
        cbm_fail(opt->cx, CBM_ERROR_INVALID, "[add_group] the options are not this library's");
        return -1;
    }
    if (opt->kind->step) {
        cbm_fail(opt->cx, CBM_ERROR_UNSUPPORTED, "[add_group] %s has one group", opt->kind->name);
        return -1;
    }
    if (!list_fits(opt, o) || !options_of(opt, o, &group))
        return -1;
    size_t count = choose(opt, o, &group.options);
    if (cbm_context_status(opt->cx) != CBM_OK)
        return -1;
    if (count == 0 || opt->groups.count == CBM_MAX_GROUPS) {
        cbm_fail(opt->cx, CBM_ERROR_INVALID, "[add_group] %s",
                 count ? "there are 256 groups already"
                       : "no parameter of the optimizer fits what is said of the group");
        return -1;
    }
    size_t number = opt->groups.count;
    if (!cbm_array_push(&opt->groups, &group)) {
        cbm_fail_memory(opt->cx, "a parameter group");
        return -1;
    }
    for (size_t i = 0; i < opt->n_items; i++)
        if (chosen(&opt->items[i], o))
            opt->items[i].group = number;
    return (int64_t)number;
}
