/* weights.c: a module's weights to and from safetensors files. Loading checks everything before it changes anything.
   Rests on safetensors.h and nn. */
#include "io/weights.h"
#include "optim/average.h"
#include <cambium/ops.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 256
#define LISTED 5 /* names of a kind that a message spells out */

/* A tensor of the file under the name it has for the module. */
typedef struct offer {
    char name[NAME_MAX_BYTES];
    const cbm_entry *entry;
    bool taken;
} offer;

static int by_name(const void *a, const void *b)
{
    return strcmp(((const offer *)a)->name, ((const offer *)b)->name);
}

/* A list of names for a message: "a, b, c and 7 more". */
typedef struct list {
    size_t count;
    char text[NAME_MAX_BYTES];
} list;

static void list_add(list *l, const char *text)
{
    size_t used = strlen(l->text), room = sizeof l->text - used;
    if (++l->count <= LISTED && strlen(text) + 3 < room) {
        if (used) {
            memcpy(l->text + used, ", ", 3);
            used += 2;
        }
        memcpy(l->text + used, text, strlen(text) + 1);
    }
}

static void list_append(cbm_text *message, const list *l, const char *title, bool *first)
{
    if (l->count == 0)
        return;
    cbm_text_append(message, "%s%s (%zu): %s%s", *first ? "" : "; ", title, l->count, l->text,
                    l->count > LISTED ? ", ..." : "");
    *first = false;
}

bool cbm_targets_add_module(cbm_array *targets, cbm_module *module)
{
    size_t count = cbm_state_count(module);
    for (size_t i = 0; i < count; ++i) {
        cbm_named named;
        if (!cbm_state_at(module, i, &named))
            break;
        cbm_target *t = cbm_array_push(targets, NULL);
        if (!t) {
            cbm_fail_memory(module->cx, "a list of weights");
            return false;
        }
        memcpy(t->name, named.name, sizeof t->name);
        t->variable = named.tensor;
    }
    return true;
}

/* The file's tensors by the names they have for the module. */
static cbm_status collect_offers(cbm_safetensors *file, const cbm_load_options *o, cbm_array *offers)
{
    cbm_context *cx = file->cx;
    char shown[CBM_SHOWN];
    size_t prefix = o->prefix ? strlen(o->prefix) : 0;
    for (size_t i = 0; i < file->entries.count; ++i) {
        const cbm_entry *e = cbm_safetensors_entry(file, i);
        if (prefix && strncmp(e->name, o->prefix, prefix) != 0)
            continue;
        offer it = { .entry = e };
        const char *name = e->name + prefix;
        if (o->rename) {
            if (!o->rename(o->rename_user, name, it.name, sizeof it.name))
                continue;
            it.name[sizeof it.name - 1] = 0;
        } else {
            size_t length = strlen(name); /* a name too long for a module is cut, and so matches nothing in it */
            memcpy(it.name, name, length < sizeof it.name ? length : sizeof it.name - 1);
        }
        if (!cbm_array_push(offers, &it))
            return cbm_fail_memory(cx, "a list of tensors");
    }
    if (offers->count > 0)
        qsort(offers->data, offers->count, sizeof(offer), by_name);
    for (size_t i = 1; i < offers->count; ++i)
        if (o->rename && strcmp(CBM_AT(offers, offer, i - 1).name, CBM_AT(offers, offer, i).name) == 0)
            return cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %s: two tensors were renamed to '%s'", file->operation,
                            cbm_safetensors_shown(file), cbm_shown(CBM_AT(offers, offer, i).name, shown));
    return CBM_OK;
}

/* Every value keeps its place: such weights need no word of consent. */
static bool widens(cbm_dtype from, cbm_dtype to)
{
    return from == CBM_BF16 && to == CBM_F32;
}

/* What stands between a tensor of the file and a variable; NULL text: nothing. */
static bool mismatch(const cbm_target *t, const cbm_entry *e, bool cast, char *text, size_t size)
{
    cbm_shape want = cbm_tensor_shape(t->variable);
    cbm_dtype dtype = cbm_tensor_dtype(t->variable);
    char a[96], b[96];
    if (!cbm_shape_equal(&want, &e->shape))
        snprintf(text, size, "%.96s is %s in the file, %s here", t->name, cbm_shape_text(&e->shape, a, sizeof a),
                 cbm_shape_text(&want, b, sizeof b));
    else if (!e->type->readable || (e->type->dtype != dtype && !cast && !widens(e->type->dtype, dtype)))
        snprintf(text, size, "%.96s is %s in the file, %s here", t->name, e->type->safetensors, cbm_dtype_name(dtype));
    else
        return false;
    return true;
}

static cbm_status report_lists(cbm_safetensors *file, const char *what, const list *missing, const list *unexpected,
                               const list *different)
{
    cbm_context *cx = file->cx;
    cbm_text message = cbm_text_open(cbm_context_heap(cx));
    bool first = true;
    list_append(&message, missing, "missing in the file", &first);
    list_append(&message, unexpected, "unexpected in the file", &first);
    list_append(&message, different, "different", &first);
    cbm_fail(cx, different->count ? CBM_ERROR_SHAPE : CBM_ERROR_INVALID, "[%s] %s does not fit %s: %s%s",
             file->operation, cbm_safetensors_shown(file), what, cbm_text_get(&message),
             different->count ? "" : ". HINT: .strict = false passes them over; .prefix and .rename change names");
    cbm_text_free(&message);
    return cbm_context_status(cx);
}

/* Counts of batches, which PyTorch before 0.4.1 did not keep. */
static bool may_be_missing(const char *name)
{
    return cbm_ends_in(name, "num_batches_tracked");
}

static cbm_status match(cbm_safetensors *file, cbm_array *targets, const cbm_load_options *o, const char *what,
                        cbm_array *offers)
{
    list missing = { 0 }, unexpected = { 0 }, different = { 0 };
    char text[NAME_MAX_BYTES + 96], shown[CBM_SHOWN];
    for (size_t i = 0; i < targets->count; ++i) {
        cbm_target *t = &CBM_AT(targets, cbm_target, i);
        offer key = { 0 };
        memcpy(key.name, t->name, sizeof key.name);
        offer *found = offers->count ? bsearch(&key, offers->data, offers->count, sizeof key, by_name) : NULL;
        if (!found) {
            if (!may_be_missing(t->name))
                list_add(&missing, t->name);
            continue;
        }
        found->taken = true;
        t->source = found->entry;
        if (mismatch(t, found->entry, o->cast, text, sizeof text))
            list_add(&different, text);
    }
    for (size_t i = 0; i < offers->count; ++i)
        if (!CBM_AT(offers, offer, i).taken)
            list_add(&unexpected, cbm_shown(CBM_AT(offers, offer, i).name, shown));
    if (different.count || (o->strict && (missing.count || unexpected.count)))
        return report_lists(file, what, &missing, &unexpected, &different);
    return CBM_OK;
}

/* ---- a training checkpoint's weights: behind "state_dict." and the like ---- */

/* Consists of names by which programs wrap their weights, each with a dot behind it. */
static bool is_wrapping(const char *text, size_t length)
{
    static const char *const words[] = { "state_dict.", "model_state_dict.", "model.", "module.", "net.", "network." };
    while (length > 0) {
        size_t used = 0;
        for (size_t i = 0; i < sizeof words / sizeof *words && !used; ++i)
            if (strlen(words[i]) <= length && memcmp(text, words[i], strlen(words[i])) == 0)
                used = strlen(words[i]);
        if (!used)
            return false;
        text += used;
        length -= used;
    }
    return true;
}

/* What stands before the first target's name in the file, if that is a wrapping and there is one only; false: the name stands
   there as it is, or not at all, or behind several. */
static bool find_wrapping(cbm_safetensors *file, const cbm_array *targets, char prefix[NAME_MAX_BYTES])
{
    bool found = false;
    const char *first = targets->count ? CBM_AT(targets, cbm_target, 0).name : "";
    for (size_t i = 0; *first && i < file->entries.count; ++i) {
        const char *name = cbm_safetensors_entry(file, i)->name;
        if (!cbm_ends_in(name, first))
            continue;
        size_t before = strlen(name) - strlen(first);
        if (before >= NAME_MAX_BYTES || !is_wrapping(name, before))
            continue;
        if (before == 0 || found)
            return false;
        memcpy(prefix, name, before);
        prefix[before] = 0;
        found = true;
    }
    return found;
}

cbm_status cbm_targets_match(cbm_safetensors *file, cbm_array *targets, const cbm_load_options *options,
                             const char *what)
{
    char prefix[NAME_MAX_BYTES];
    cbm_load_options o = *options;
    if (!o.prefix && !o.rename && find_wrapping(file, targets, prefix))
        o.prefix = prefix;
    cbm_array offers = CBM_ARRAY(cbm_context_heap(file->cx), offer);
    cbm_status status = collect_offers(file, &o, &offers);
    if (status == CBM_OK)
        status = match(file, targets, &o, what, &offers);
    cbm_array_free(&offers);
    return status;
}

cbm_status cbm_targets_read(cbm_safetensors *file, cbm_array *targets)
{
    for (size_t i = 0; i < targets->count; ++i) {
        cbm_target *t = &CBM_AT(targets, cbm_target, i);
        if (!t->source)
            continue;
        t->value = cbm_safetensors_get(file, t->source);
        cbm_dtype dtype = cbm_tensor_dtype(t->variable);
        if (!cbm_tensor_failed(t->value) && cbm_tensor_dtype(t->value) != dtype)
            t->value = (cbm_cast)(t->value, dtype);
        if (cbm_context_status(file->cx) != CBM_OK)
            return cbm_context_status(file->cx);
    }
    return CBM_OK;
}

void cbm_targets_assign(cbm_array *targets)
{
    for (size_t i = 0; i < targets->count; ++i)
        if (CBM_AT(targets, cbm_target, i).value)
            cbm_assign(CBM_AT(targets, cbm_target, i).variable, CBM_AT(targets, cbm_target, i).value);
}

/* ---- the public functions ---- */

static bool ready(cbm_module *module, const char *operation, const char *path)
{
    if (!module || !module->cx || cbm_context_status(module->cx) != CBM_OK)
        return false;
    if (module->failed || !path)
        cbm_fail(module->cx, CBM_ERROR_INVALID, "[%s] %s", operation, path ? "the module has failed" : "path is NULL");
    return cbm_context_status(module->cx) == CBM_OK;
}

static cbm_status status_of(cbm_module *module)
{
    if (!module || !module->cx)
        return CBM_ERROR_INVALID;
    return cbm_context_status(module->cx);
}

static cbm_status save_targets(cbm_context *cx, const cbm_array *targets, const char *path)
{
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_array names = CBM_ARRAY(heap, const char *), tensors = CBM_ARRAY(heap, cbm_tensor *);
    bool fine = cbm_context_status(cx) == CBM_OK;
    for (size_t i = 0; i < targets->count && fine; ++i) {
        const char *name = CBM_AT(targets, cbm_target, i).name;
        fine = cbm_array_push(&names, &name) && cbm_array_push(&tensors, &CBM_AT(targets, cbm_target, i).variable);
    }
    static const char *const metadata[] = { "format", "pt", NULL }; /* what PyTorch's readers look for */
    if (!fine)
        cbm_fail_memory(cx, "a list of weights");
    else
        cbm_safetensors_write(cx, path, names.data, tensors.data, targets->count, metadata);
    cbm_array_free(&names);
    cbm_array_free(&tensors);
    return cbm_context_status(cx);
}

cbm_status cbm_save(cbm_module *module, const char *path)
{
    if (!ready(module, "save", path))
        return status_of(module);
    cbm_array targets = CBM_ARRAY(cbm_context_heap(module->cx), cbm_target);
    cbm_targets_add_module(&targets, module);
    save_targets(module->cx, &targets, path);
    cbm_array_free(&targets);
    return cbm_context_status(module->cx);
}

cbm_status cbm_save_average(cbm_average *average, const char *path)
{
    cbm_context *cx = cbm_average_context(average);
    if (!cx || !path || !cbm_average_count(average))
        return cx ? cbm_fail(cx, CBM_ERROR_INVALID, "[save_average] needs an average and a path") : CBM_ERROR_INVALID;
    if (!cbm_context_ready(cx))
        return cbm_context_status(cx);
    cbm_array targets = CBM_ARRAY(cbm_context_heap(cx), cbm_target);
    for (size_t i = 0; i < average->n_items; ++i) {
        const cbm_average_item *item = &average->items[i];
        cbm_target *t = cbm_array_push(&targets, NULL);
        if (!t) {
            cbm_fail_memory(cx, "a list of weights");
            break;
        }
        memcpy(t->name, item->name, sizeof t->name);
        t->variable = average->counts.swapped ? item->original : item->average;
    }
    save_targets(cx, &targets, path);
    cbm_array_free(&targets);
    return cbm_context_status(cx);
}

static cbm_status load_from(cbm_safetensors *file, cbm_module *module, const cbm_load_options *o)
{
    cbm_context *cx = module->cx;
    cbm_array targets = CBM_ARRAY(cbm_context_heap(cx), cbm_target);
    CBM_NO_GRAD(scope, cx);
    if (cbm_targets_add_module(&targets, module) && cbm_targets_match(file, &targets, o, "the module") == CBM_OK &&
        cbm_targets_read(file, &targets) == CBM_OK && cbm_flush(cx) == CBM_OK) {
        cbm_targets_assign(&targets); /* all or nothing: a failed evaluation takes every assignment back */
        cbm_flush(cx);
    }
    int64_t loaded = 0;
    for (size_t i = 0; i < targets.count; ++i)
        loaded += CBM_AT(&targets, cbm_target, i).value != NULL;
    if (o->loaded)
        *o->loaded = cbm_context_status(cx) == CBM_OK ? loaded : 0;
    cbm_array_free(&targets);
    return cbm_context_status(cx);
}

void cbm_load_options_init(cbm_load_options *options)
{
    *options = (cbm_load_options){ .struct_size = sizeof *options, CBM_LOAD_DEFAULTS };
}

/* The caller's options, or the defaults; an older caller's struct is shorter. */
static cbm_load_options complete(const cbm_load_options *options)
{
    cbm_load_options o;
    cbm_load_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    return o;
}

cbm_status cbm_load_with(cbm_module *module, const char *path, const cbm_load_options *options)
{
    cbm_load_options o = complete(options);
    if (o.loaded)
        *o.loaded = 0;
    if (!ready(module, "load", path))
        return status_of(module);
    cbm_safetensors file;
    if (!cbm_safetensors_begin(&file, module->cx, "load", path))
        return cbm_context_status(module->cx);
    load_from(&file, module, &o);
    cbm_safetensors_shut(&file);
    return cbm_context_status(module->cx);
}

cbm_status cbm_load_memory_with(cbm_module *module, const void *bytes, size_t size, const cbm_load_options *options)
{
    cbm_load_options o = complete(options);
    if (o.loaded)
        *o.loaded = 0;
    if (!ready(module, "load", ""))
        return status_of(module);
    cbm_safetensors file;
    if (!cbm_safetensors_begin_memory(&file, module->cx, "load", bytes, size))
        return cbm_context_status(module->cx);
    load_from(&file, module, &o);
    cbm_safetensors_shut(&file);
    return cbm_context_status(module->cx);
}
