/* checkpoint.c: a whole training run in one safetensors file: tensors model.*, optimizer.*, gradient.*, average.*, and in
   the metadata a JSON text "cambium" with step counts, schedule, loader position, random numbers and the sums of the tensors'
   checksums. Loading checks all of it before it changes anything. Rests on weights.h, optim, data and zlib. */
#include "backend/measured.h"
#include "data/loader.h"
#include "io/weights.h"
#include "optim/average.h"
#include "optim/schedule.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define VERSION 1
#define STATE_MAX 65536u /* bytes of the state's JSON; it needs a few hundred */
#define MODEL "model."
#define OPTIMIZER "optimizer."
#define GRADIENT "gradient."
#define AVERAGE "average."
enum { SUM_MODEL, SUM_OPTIMIZER, SUM_GRADIENT, SUM_AVERAGE, SUMS };
static const char *const sum_names[SUMS] = { "model", "optimizer", "gradient", "average" };

/* ---- saving ---- */

typedef struct piece {
    char name[256 + sizeof OPTIMIZER];
    cbm_tensor *tensor;
    int sum;
} piece;

static bool add_piece(cbm_context *cx, cbm_array *pieces, int sum, const char *name, cbm_tensor *t)
{
    static const char *const prefixes[SUMS] = { MODEL, OPTIMIZER, GRADIENT, AVERAGE };
    const char *prefix = prefixes[sum];
    piece *p = cbm_array_push(pieces, NULL);
    if (!p) {
        cbm_fail_memory(cx, "a list of weights");
        return false;
    }
    size_t front = strlen(prefix), length = strlen(name);
    memcpy(p->name, prefix, front);
    memcpy(p->name + front, name, length + 1);
    p->tensor = t;
    p->sum = sum;
    return true;
}

/* The checksum of a tensor's elements; sums of these do not depend on the order of tensors. */
static uint64_t checksum(cbm_tensor *t)
{
    const void *data = cbm_tensor_data(t);
    size_t bytes = (size_t)cbm_tensor_count(t) * cbm_dtype_size(cbm_tensor_dtype(t));
    return data && bytes ? crc32_z(crc32_z(0, NULL, 0), data, bytes) : 0;
}

static bool collect(cbm_context *cx, const cbm_checkpoint *c, cbm_array *pieces)
{
    cbm_named named;
    for (size_t i = 0; cbm_state_at(c->module, i, &named); ++i)
        if (!add_piece(cx, pieces, SUM_MODEL, named.name, named.tensor))
            return false;
    for (size_t i = 0; cbm_parameter_at(c->module, i, &named); ++i) {
        cbm_tensor *gradient = cbm_gradient(named.tensor);
        if (gradient && !add_piece(cx, pieces, SUM_GRADIENT, named.name, gradient))
            return false;
    }
    for (size_t i = 0; c->optimizer && cbm_optimizer_state_at(c->optimizer, i, &named); ++i)
        if (!add_piece(cx, pieces, SUM_OPTIMIZER, named.name, named.tensor))
            return false;
    for (size_t i = 0; c->average && cbm_average_at(c->average, i, &named); ++i)
        if (!add_piece(cx, pieces, SUM_AVERAGE, named.name, named.tensor))
            return false;
    return cbm_context_status(cx) == CBM_OK;
}

static bool write_optimizer(cbm_text *t, const cbm_optimizer *opt)
{
    char rate[40], base[40];
    bool fine =
        cbm_text_append(t, ",\"optimizer\":{\"name\":\"%s\",\"steps\":%lld,\"learning_rate\":\"%s\",\"groups\":[",
                        cbm_optimizer_name(opt), (long long)cbm_step_count(opt),
                        cbm_double_text(cbm_learning_rate(opt), rate, sizeof rate));
    for (size_t i = 0; fine && i < (size_t)cbm_group_count(opt); ++i) {
        const cbm_group_rates r = cbm_group_rates_of(opt, i);
        fine = cbm_text_append(t, "%s{\"rate\":\"%s\",\"base\":\"%s\",\"parameters\":%zu}", i ? "," : "",
                               cbm_double_text(r.rate, rate, sizeof rate), cbm_double_text(r.base, base, sizeof base),
                               r.parameters);
    }
    return fine && cbm_text_append(t, "]}");
}

static bool write_schedule(cbm_text *t, const cbm_schedule *s)
{
    char best[40];
    const cbm_plateau *p = cbm_schedule_plateau_of((cbm_schedule *)s);
    bool fine = cbm_text_append(t, ",\"schedule\":{\"position\":%lld", (long long)cbm_schedule_position(s));
    if (p && fine)
        fine = cbm_text_append(t, ",\"best\":\"%s\",\"bad\":%lld,\"cooldown\":%lld",
                               cbm_double_text(p->best, best, sizeof best), (long long)p->bad, (long long)p->cooldown);
    return fine && cbm_text_append(t, "}");
}

static bool write_loader(cbm_text *t, const cbm_loader *loader)
{
    cbm_loader_position p = cbm_loader_state(loader);
    return cbm_text_append(t,
                           ",\"loader\":{\"epoch\":%lld,\"batch\":%lld,\"seed\":%lld,\"batch_size\":%lld,"
                           "\"samples\":%lld,\"shuffle\":%d,\"drop_last\":%d}",
                           (long long)p.epoch, (long long)p.batch, (long long)(int64_t)p.seed, (long long)p.batch_size,
                           (long long)p.samples, p.shuffle != 0, p.drop_last != 0);
}

static bool write_average(cbm_text *t, const cbm_average *a)
{
    const cbm_average_counts *n = &a->counts;
    return cbm_text_append(t, ",\"average\":{\"kind\":\"%s\",\"calls\":%lld,\"updates\":%lld,\"swapped\":%d}", a->kind,
                           (long long)n->calls, (long long)n->updates, n->swapped);
}

/* 64-bit numbers without sign are written as the signed ones of the same bits: JSON's integers here are int64_t. */
static bool write_state(cbm_text *t, cbm_context *cx, const cbm_checkpoint *c, const uint64_t sums[SUMS])
{
    uint64_t seed, position;
    cbm_random_state(cx, &seed, &position);
    bool fine = cbm_text_append(t, "{\"version\":%d,\"random\":{\"seed\":%lld,\"position\":%lld}", VERSION,
                                (long long)(int64_t)seed, (long long)(int64_t)position);
    for (int i = 0; i < SUMS && fine; ++i)
        fine = cbm_text_append(t, "%s\"%s\":%lld%s", i ? "," : ",\"sums\":{", sum_names[i], (long long)sums[i],
                               i == SUMS - 1 ? "}" : "");
    return fine && (!c->optimizer || write_optimizer(t, c->optimizer)) &&
           (!c->schedule || write_schedule(t, c->schedule)) && (!c->average || write_average(t, c->average)) &&
           (!c->loader || write_loader(t, c->loader)) && cbm_text_append(t, "}");
}

static cbm_status write_pieces(cbm_context *cx, const char *path, const cbm_checkpoint *c, const cbm_array *pieces)
{
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_array names = CBM_ARRAY(heap, const char *), tensors = CBM_ARRAY(heap, cbm_tensor *);
    cbm_text state = cbm_text_open(heap);
    bool fine = true;
    uint64_t sums[SUMS] = { 0 };
    for (size_t i = 0; i < pieces->count && fine; ++i) {
        const char *name = CBM_AT(pieces, piece, i).name;
        fine = cbm_array_push(&names, &name) && cbm_array_push(&tensors, &CBM_AT(pieces, piece, i).tensor);
    }
    if (fine && cbm_compute(tensors.data, tensors.count) == CBM_OK)
        for (size_t i = 0; i < pieces->count; ++i)
            sums[CBM_AT(pieces, piece, i).sum] += checksum(CBM_AT(pieces, piece, i).tensor);
    if (fine && write_state(&state, cx, c, sums)) {
        char *measured = cx->tune ? cbm_backend_measured(cx->backend) : NULL;
        const char *metadata[7] = { "cambium", cbm_text_get(&state) };
        size_t at = 2;
        if (measured) {
            metadata[at++] = "tuning";
            metadata[at++] = measured;
        }
        if (c->metadata) {
            metadata[at++] = "user";
            metadata[at++] = c->metadata;
        }
        cbm_safetensors_write(cx, path, names.data, tensors.data, pieces->count, metadata);
        free(measured);
    } else {
        cbm_fail_memory(cx, "a checkpoint");
    }
    cbm_array_free(&names);
    cbm_array_free(&tensors);
    cbm_text_free(&state);
    return cbm_context_status(cx);
}

/* The context of a checkpoint whose parts belong together; NULL after an error, put into *status. */
static cbm_context *context_of(const cbm_checkpoint *c, cbm_status *status)
{
    *status = CBM_ERROR_INVALID;
    if (!c || !c->module || !c->module->cx)
        return NULL;
    cbm_context *cx = c->module->cx;
    bool strange = (c->average && cbm_average_context(c->average) != cx) ||
                   (c->optimizer && cbm_optimizer_context(c->optimizer) != cx) ||
                   (c->loader && cbm_dataset_context(cbm_loader_dataset(c->loader)) != cx);
    if (c->module->failed || strange)
        cbm_fail(cx, CBM_ERROR_INVALID, "[checkpoint] %s",
                 strange ? "its parts belong to different contexts" : "the module has failed");
    *status = cbm_context_status(cx);
    return *status == CBM_OK ? cx : NULL;
}

cbm_status cbm_checkpoint_save(const char *path, const cbm_checkpoint *checkpoint)
{
    cbm_status status;
    cbm_context *cx = context_of(checkpoint, &status);
    if (!cx)
        return status;
    cbm_array pieces = CBM_ARRAY(cbm_context_heap(cx), piece);
    CBM_NO_GRAD(scope, cx);
    if (cbm_flush(cx) == CBM_OK && collect(cx, checkpoint, &pieces))
        write_pieces(cx, path, checkpoint, &pieces);
    cbm_array_free(&pieces);
    return cbm_context_status(cx);
}

/* ---- loading ---- */

/* What the state's JSON says, once checked. */
typedef struct state {
    uint64_t seed, position;
    int64_t steps, schedule;
    cbm_group_rates groups[CBM_MAX_GROUPS];
    size_t n_groups;
    cbm_plateau plateau;
    cbm_average_counts average;
    cbm_loader_position loader;
    uint64_t sums[SUMS];
} state;

static cbm_status refuse(const cbm_safetensors *f, const char *why)
{
    return cbm_fail(f->cx, CBM_ERROR_FORMAT, "[checkpoint] %s: %s", cbm_safetensors_shown(f), why);
}

/* object[key] as an integer of at least least. */
static bool get_int(const json_t *object, const char *key, int64_t least, int64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < least)
        return false;
    *out = json_integer_value(value);
    return true;
}

static bool get_bits(const json_t *object, const char *key, uint64_t *out)
{
    int64_t value;
    if (!get_int(object, key, INT64_MIN, &value))
        return false;
    *out = (uint64_t)value;
    return true;
}

/* object[key] as a number that is written as text; not NaN, and not negative unless it may be. */
static bool get_double(const json_t *object, const char *key, bool negative, double *out)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text && cbm_double_parse(text, out) && !isnan(*out) && (negative || (*out >= 0 && isfinite(*out)));
}

/* A file of version 0.1.0 has no groups: there was one. */
static bool read_groups(const json_t *o, state *s)
{
    const json_t *groups = json_object_get(o, "groups");
    s->n_groups = groups ? json_array_size(groups) : 1;
    if (!groups) {
        s->groups[0].base = NAN;
        return get_double(o, "learning_rate", false, &s->groups[0].rate);
    }
    for (size_t i = 0; i < s->n_groups && i < CBM_MAX_GROUPS; ++i) {
        const json_t *group = json_array_get(groups, i);
        int64_t parameters;
        if (!get_double(group, "rate", false, &s->groups[i].rate) ||
            !get_double(group, "base", false, &s->groups[i].base) || !get_int(group, "parameters", 0, &parameters))
            return false;
        s->groups[i].parameters = (size_t)parameters;
    }
    return s->n_groups > 0 && s->n_groups <= CBM_MAX_GROUPS;
}

static cbm_status match_groups(const cbm_safetensors *f, const cbm_optimizer *opt, const state *s)
{
    const size_t count = (size_t)cbm_group_count(opt);
    if (s->n_groups != count)
        return cbm_fail(f->cx, CBM_ERROR_INVALID, "[checkpoint] %s: its optimizer has %zu parameter groups, not %zu",
                        cbm_safetensors_shown(f), s->n_groups, count);
    for (size_t i = 0; i < count; ++i) {
        const size_t have = cbm_group_rates_of(opt, i).parameters;
        if (!isnan(s->groups[i].base) && s->groups[i].parameters != have)
            return cbm_fail(f->cx, CBM_ERROR_INVALID,
                            "[checkpoint] %s: group %zu of its optimizer has %zu parameters, not %zu",
                            cbm_safetensors_shown(f), i, s->groups[i].parameters, have);
    }
    return CBM_OK;
}

static cbm_status read_optimizer(const cbm_safetensors *f, const json_t *o, const cbm_optimizer *opt, state *s)
{
    const char *name = json_string_value(json_object_get(o, "name"));
    char shown[CBM_SHOWN];
    if (!o)
        return refuse(f, "it holds no optimizer");
    if (!name || !get_int(o, "steps", 0, &s->steps) || !read_groups(o, s))
        return refuse(f, "its optimizer is damaged");
    if (strcmp(name, cbm_optimizer_name(opt)) != 0)
        return cbm_fail(f->cx, CBM_ERROR_INVALID, "[checkpoint] %s: its optimizer is %s, not %s",
                        cbm_safetensors_shown(f), cbm_shown(name, shown), cbm_optimizer_name(opt));
    return match_groups(f, opt, s);
}

static cbm_status read_schedule(const cbm_safetensors *f, const json_t *o, cbm_schedule *schedule, state *s)
{
    cbm_plateau *p = &s->plateau;
    if (!o)
        return refuse(f, "it holds no schedule");
    if (get_int(o, "position", 0, &s->schedule) &&
        (!cbm_schedule_plateau_of(schedule) ||
         (get_double(o, "best", true, &p->best) && get_int(o, "bad", 0, &p->bad) &&
          get_int(o, "cooldown", 0, &p->cooldown))))
        return CBM_OK;
    return refuse(f, "its schedule is damaged, or follows no measure");
}

static cbm_status read_average(const cbm_safetensors *f, const json_t *o, const cbm_average *a, state *s)
{
    const char *kind = json_string_value(json_object_get(o, "kind"));
    char shown[CBM_SHOWN];
    int64_t swapped;
    if (!o)
        return refuse(f, "it holds no average of weights");
    if (!kind || !get_int(o, "calls", 0, &s->average.calls) || !get_int(o, "updates", 0, &s->average.updates) ||
        !get_int(o, "swapped", 0, &swapped))
        return refuse(f, "its average of weights is damaged");
    s->average.swapped = swapped != 0;
    if (strcmp(kind, a->kind) == 0)
        return CBM_OK;
    return cbm_fail(f->cx, CBM_ERROR_INVALID, "[checkpoint] %s: its average of weights is %s, not %s",
                    cbm_safetensors_shown(f), cbm_shown(kind, shown), a->kind);
}

static cbm_status read_loader(const cbm_safetensors *f, const json_t *o, const cbm_loader *loader, state *s)
{
    cbm_loader_position *p = &s->loader;
    char why[200];
    if (!o)
        return refuse(f, "it holds no loader position");
    if (!get_int(o, "epoch", 0, &p->epoch) || !get_int(o, "batch", 0, &p->batch) || !get_bits(o, "seed", &p->seed) ||
        !get_int(o, "batch_size", 1, &p->batch_size) || !get_int(o, "samples", 1, &p->samples) ||
        !get_bits(o, "shuffle", &p->shuffle) || !get_bits(o, "drop_last", &p->drop_last))
        return refuse(f, "its loader position is damaged");
    if (!cbm_loader_fits(loader, p, why, sizeof why))
        return cbm_fail(f->cx, CBM_ERROR_INVALID, "[checkpoint] %s: %s", cbm_safetensors_shown(f), why);
    return CBM_OK;
}

static cbm_status read_json(const cbm_safetensors *f, const json_t *root, const cbm_checkpoint *c, state *s)
{
    const json_t *random = json_object_get(root, "random");
    int64_t version;
    if (!get_int(root, "version", 1, &version))
        return refuse(f, "its state has no version");
    if (version != VERSION)
        return refuse(f, "it was written by a newer version of the library");
    if (!get_bits(random, "seed", &s->seed) || !get_bits(random, "position", &s->position))
        return refuse(f, "its random numbers are damaged");
    for (int i = 0; i < SUMS; ++i)
        if ((i != SUM_AVERAGE || c->average) && !get_bits(json_object_get(root, "sums"), sum_names[i], &s->sums[i]))
            return refuse(f, "its checksums are damaged");
    if (c->optimizer && read_optimizer(f, json_object_get(root, "optimizer"), c->optimizer, s) != CBM_OK)
        return cbm_context_status(f->cx);
    if (c->schedule && read_schedule(f, json_object_get(root, "schedule"), c->schedule, s) != CBM_OK)
        return cbm_context_status(f->cx);
    if (c->average && read_average(f, json_object_get(root, "average"), c->average, s) != CBM_OK)
        return cbm_context_status(f->cx);
    if (c->loader && read_loader(f, json_object_get(root, "loader"), c->loader, s) != CBM_OK)
        return cbm_context_status(f->cx);
    return CBM_OK;
}

static cbm_status read_state(const cbm_safetensors *f, const cbm_checkpoint *c, state *s)
{
    const char *text = cbm_safetensors_metadata(f, "cambium");
    const char *measured = cbm_safetensors_metadata(f, "tuning"); /* another machine's is of no use, and no error */
    if (measured && f->cx->tune && cbm_backend_remember(f->cx->backend, measured, strlen(measured)))
        cbm_trim(f->cx); /* plans made with other choices than the run's own */
    if (!text)
        return refuse(f, "not a checkpoint. HINT: cbm_load reads plain weights");
    size_t length = strlen(text);
    json_error_t error;
    json_t *root = length <= STATE_MAX ? json_loadb(text, length, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (!root)
        return refuse(f, "its state is not JSON");
    cbm_status status = read_json(f, root, c, s);
    json_decref(root);
    return status;
}

static bool add_target(cbm_context *cx, cbm_array *targets, const cbm_named *named)
{
    cbm_target *t = cbm_array_push(targets, NULL);
    if (!t) {
        cbm_fail_memory(cx, "a list of weights");
        return false;
    }
    memcpy(t->name, named->name, sizeof t->name);
    t->variable = named->tensor;
    return true;
}

static cbm_status match(cbm_safetensors *f, cbm_array *targets, const char *prefix, bool strict, const char *what)
{
    cbm_load_options o = { .strict = strict, .prefix = prefix };
    return cbm_targets_match(f, targets, &o, what);
}

/* Gradients are there only where some were pending; but none may be for a parameter that does not exist. */
static cbm_status check_gradients(const cbm_safetensors *f, const cbm_array *gradients)
{
    size_t stored = 0, matched = 0;
    for (size_t i = 0; i < f->entries.count; ++i)
        stored += strncmp(cbm_safetensors_entry(f, i)->name, GRADIENT, sizeof GRADIENT - 1) == 0;
    for (size_t i = 0; i < gradients->count; ++i)
        matched += CBM_AT(gradients, cbm_target, i).source != NULL;
    return stored == matched ? CBM_OK : refuse(f, "it holds gradients of parameters that the module does not have");
}

static cbm_status read_and_sum(cbm_safetensors *f, cbm_array *targets, uint64_t expected)
{
    uint64_t sum = 0;
    if (cbm_targets_read(f, targets) != CBM_OK)
        return cbm_context_status(f->cx);
    for (size_t i = 0; i < targets->count; ++i)
        if (CBM_AT(targets, cbm_target, i).value)
            sum += checksum(CBM_AT(targets, cbm_target, i).value);
    return sum == expected ? CBM_OK : refuse(f, "the checksum of its tensors is wrong: the file is damaged");
}

/* What is to be loaded, by the part that it belongs to. */
typedef struct targets {
    cbm_array of[SUMS]; /* of cbm_target */
} targets;

static cbm_status list_targets(cbm_context *cx, const cbm_checkpoint *c, targets *t)
{
    cbm_named named;
    bool fine = cbm_targets_add_module(&t->of[SUM_MODEL], c->module);
    for (size_t i = 0; fine && cbm_parameter_at(c->module, i, &named); ++i)
        fine = add_target(cx, &t->of[SUM_GRADIENT], &named);
    for (size_t i = 0; fine && c->optimizer && cbm_optimizer_state_at(c->optimizer, i, &named); ++i)
        fine = add_target(cx, &t->of[SUM_OPTIMIZER], &named);
    for (size_t i = 0; fine && c->average && cbm_average_at(c->average, i, &named); ++i)
        fine = add_target(cx, &t->of[SUM_AVERAGE], &named);
    return cbm_context_status(cx);
}

/* All names, shapes and dtypes checked, all values read. */
static cbm_status prepare(cbm_safetensors *f, const cbm_checkpoint *c, const state *s, targets *t)
{
    if (list_targets(f->cx, c, t) != CBM_OK || match(f, &t->of[SUM_MODEL], MODEL, true, "the module") != CBM_OK ||
        match(f, &t->of[SUM_GRADIENT], GRADIENT, false, "the module's gradients") != CBM_OK ||
        check_gradients(f, &t->of[SUM_GRADIENT]) != CBM_OK ||
        (c->optimizer && match(f, &t->of[SUM_OPTIMIZER], OPTIMIZER, true, "the optimizer") != CBM_OK) ||
        (c->average && match(f, &t->of[SUM_AVERAGE], AVERAGE, true, "the average of weights") != CBM_OK))
        return cbm_context_status(f->cx);
    for (int i = 0; i < SUMS; ++i) {
        const bool asked = (i != SUM_OPTIMIZER || c->optimizer) && (i != SUM_AVERAGE || c->average);
        if (asked && read_and_sum(f, &t->of[i], s->sums[i]) != CBM_OK)
            return cbm_context_status(f->cx);
    }
    return cbm_flush(f->cx);
}

/* Tensors first, in one evaluation that happens wholly or not at all; then numbers, which cannot fail. */
static cbm_status commit(cbm_context *cx, const cbm_checkpoint *c, const state *s, targets *t)
{
    cbm_targets_assign(&t->of[SUM_MODEL]);
    cbm_targets_assign(&t->of[SUM_OPTIMIZER]);
    cbm_targets_assign(&t->of[SUM_AVERAGE]);
    for (size_t i = 0; i < t->of[SUM_GRADIENT].count; ++i) {
        const cbm_target *gradient = &CBM_AT(&t->of[SUM_GRADIENT], cbm_target, i);
        if (gradient->value)
            cbm_set_gradient(gradient->variable, gradient->value);
        else
            cbm_clear_gradient(gradient->variable);
    }
    if (cbm_flush(cx) != CBM_OK)
        return cbm_context_status(cx);
    for (size_t i = 0; c->optimizer && i < s->n_groups; ++i)
        cbm_group_put_rates(c->optimizer, i, NAN, s->groups[i].base);
    if (c->schedule)
        cbm_schedule_set_position(c->schedule, s->schedule);
    if (c->schedule && cbm_schedule_plateau_of(c->schedule))
        *cbm_schedule_plateau_of(c->schedule) = s->plateau;
    if (c->optimizer)
        cbm_set_step_count(c->optimizer, s->steps);
    for (size_t i = 0; c->optimizer && i < s->n_groups; ++i)
        cbm_group_put_rates(c->optimizer, i, s->groups[i].rate, NAN);
    if (c->average)
        c->average->counts = s->average;
    if (c->loader)
        cbm_loader_set_state(c->loader, &s->loader);
    cbm_set_random_state(cx, s->seed, s->position);
    return cbm_context_status(cx);
}

static cbm_status load(cbm_safetensors *f, const cbm_checkpoint *c)
{
    cbm_context *cx = f->cx;
    cbm_heap *heap = cbm_context_heap(cx);
    targets t;
    state s = { 0 };
    CBM_NO_GRAD(scope, cx);
    for (int i = 0; i < SUMS; ++i)
        t.of[i] = CBM_ARRAY(heap, cbm_target);
    if (read_state(f, c, &s) == CBM_OK && prepare(f, c, &s, &t) == CBM_OK)
        commit(cx, c, &s, &t);
    for (int i = 0; i < SUMS; ++i)
        cbm_array_free(&t.of[i]);
    return cbm_context_status(cx);
}

cbm_status cbm_checkpoint_load(const char *path, const cbm_checkpoint *checkpoint)
{
    cbm_status status;
    cbm_context *cx = context_of(checkpoint, &status);
    cbm_safetensors file;
    if (!cx || !cbm_safetensors_begin(&file, cx, "checkpoint", path))
        return cx ? cbm_context_status(cx) : status;
    status = load(&file, checkpoint);
    cbm_safetensors_shut(&file);
    return status;
}

cbm_status cbm_checkpoint_load_memory(const void *bytes, size_t size, const cbm_checkpoint *checkpoint)
{
    cbm_status status;
    cbm_context *cx = context_of(checkpoint, &status);
    cbm_safetensors file;
    if (!cx || !cbm_safetensors_begin_memory(&file, cx, "checkpoint", bytes, size))
        return cx ? cbm_context_status(cx) : status;
    status = load(&file, checkpoint);
    cbm_safetensors_shut(&file);
    return status;
}
