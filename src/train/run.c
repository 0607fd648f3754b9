/* run.c: the run directory: config.json, metrics.jsonl (a line an epoch), model.safetensors, checkpoints/last.ckpt. Every
   file is written whole and renamed into place. Rests on io/ and Jansson. */
#include "train/run.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REAL_DIGITS JSON_REAL_PRECISION(17) /* enough to read the same double back */

static cbm_status path_in(const cbm_run *run, const char *name, char out[CBM_RUN_PATH])
{
    int n = snprintf(out, CBM_RUN_PATH, "%s/%s", run->directory, name);
    if (n > 0 && n < CBM_RUN_PATH)
        return CBM_OK;
    return cbm_fail(run->cx, CBM_ERROR_INVALID, "[run] the directory's name is too long");
}

/* The directory and those above it. */
static cbm_status make_directories(cbm_context *cx, const char *path)
{
    char part[CBM_RUN_PATH];
    size_t length = strlen(path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] && path[i] != '/')
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        struct stat info;
        if (mkdir(part, 0777) == 0)
            continue;
        int reason = errno; /* stat's own says less */
        if (stat(part, &info) == 0 && S_ISDIR(info.st_mode))
            continue;
        return cbm_fail(cx, CBM_ERROR_IO, "[run] cannot make the directory '%s': %s", part, strerror(reason));
    }
    return CBM_OK;
}

static bool exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

/* Writes a JSON value as a file of its own. */
static cbm_status write_json(const cbm_run *run, const char *name, const json_t *value)
{
    char path[CBM_RUN_PATH];
    if (path_in(run, name, path) != CBM_OK)
        return cbm_context_status(run->cx);
    char *text = json_dumps(value, JSON_INDENT(2) | REAL_DIGITS);
    size_t length = text ? strlen(text) : 0;
    if (!text)
        return cbm_fail_memory(run->cx, name);
    text[length] = '\n'; /* in place of the final 0, which the file does not need */
    cbm_status status = cbm_write_file_atomically(run->cx, path, text, length + 1);
    free(text);
    return status;
}

static cbm_status write_config(const cbm_run *run, const char *config)
{
    json_error_t error;
    json_t *object = config ? json_loads(config, JSON_REJECT_DUPLICATES, &error) : json_object();
    if (!object || !json_is_object(object)) {
        json_decref(object);
        return cbm_fail(run->cx, CBM_ERROR_INVALID, "[run] config is not a JSON object");
    }
    json_object_set_new(object, "cambium_version", json_string(cbm_version()));
    cbm_status status = write_json(run, "config.json", object);
    json_decref(object);
    return status;
}

cbm_status cbm_run_open(cbm_run *run, cbm_context *cx, const char *directory, const char *config, bool resume,
                        bool overwrite)
{
    char path[CBM_RUN_PATH];
    run->cx = cx;
    size_t length = strlen(directory);
    if (length == 0 || length >= sizeof run->directory)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[run] the directory's name is %s", length ? "too long" : "empty");
    memcpy(run->directory, directory, length + 1);
    if (path_in(run, "checkpoints/last.ckpt", path) != CBM_OK)
        return cbm_context_status(cx);
    if (resume && !exists(path))
        return cbm_fail(cx, CBM_ERROR_STATE, "[run] there is nothing to resume: '%s' does not exist", path);
    if (!resume && !overwrite && exists(path))
        return cbm_fail(cx, CBM_ERROR_STATE,
                        "[run] '%s' holds a run already. HINT: resume it, or name another directory", directory);
    if (path_in(run, "checkpoints", path) != CBM_OK || make_directories(cx, path) != CBM_OK)
        return cbm_context_status(cx);
    return write_config(run, config);
}

/* ---- epochs as JSON ---- */

static json_t *real_or_null(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static double real_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t int_of(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : 0;
}

json_t *cbm_epoch_to_json(const cbm_epoch *e)
{
    return json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:o}", "epoch", (json_int_t)e->epoch,
                     "epochs", (json_int_t)e->epochs, "steps", (json_int_t)e->total_steps, "train_loss",
                     real_or_null(e->train_loss), "train_error", real_or_null(e->train_error), "validation_loss",
                     real_or_null(e->validation_loss), "validation_error", real_or_null(e->validation_error),
                     "learning_rate", real_or_null(e->learning_rate), "seconds", real_or_null(e->seconds),
                     "samples_per_second", real_or_null(e->samples_per_second), "loader_batches",
                     (json_int_t)e->loader_batches, "loader_waits", (json_int_t)e->loader_waits, "loader_wait_seconds",
                     real_or_null(e->loader_wait_seconds));
}

void cbm_epoch_from_json(const json_t *object, cbm_epoch *e)
{
    *e = (cbm_epoch){ .epoch = int_of(object, "epoch"),
                      .epochs = int_of(object, "epochs"),
                      .total_steps = int_of(object, "steps"),
                      .train_loss = real_of(object, "train_loss"),
                      .train_error = real_of(object, "train_error"),
                      .validation_loss = real_of(object, "validation_loss"),
                      .validation_error = real_of(object, "validation_error"),
                      .learning_rate = real_of(object, "learning_rate"),
                      .seconds = real_of(object, "seconds"),
                      .samples_per_second = real_of(object, "samples_per_second"),
                      .loader_batches = int_of(object, "loader_batches"),
                      .loader_waits = int_of(object, "loader_waits"),
                      .loader_wait_seconds = real_of(object, "loader_wait_seconds") };
}

static cbm_status write_metrics(const cbm_run *run, const json_t *metrics)
{
    char path[CBM_RUN_PATH];
    if (path_in(run, "metrics.jsonl", path) != CBM_OK)
        return cbm_context_status(run->cx);
    cbm_text text = cbm_text_open(cbm_context_heap(run->cx));
    bool good = true;
    for (size_t i = 0; good && i < json_array_size(metrics); i++) {
        char *line = json_dumps(json_array_get(metrics, i), REAL_DIGITS);
        good = line && cbm_text_append(&text, "%s\n", line);
        free(line);
    }
    const char *all = cbm_text_get(&text);
    cbm_status status =
        good ? cbm_write_file_atomically(run->cx, path, all, strlen(all)) : cbm_fail_memory(run->cx, "metrics.jsonl");
    cbm_text_free(&text);
    return status;
}

int64_t cbm_metrics_read(cbm_context *cx, const char *directory, cbm_epoch *out, int64_t capacity)
{
    char path[CBM_RUN_PATH];
    int n = directory ? snprintf(path, sizeof path, "%s/metrics.jsonl", directory) : -1;
    if (!cx || n <= 0 || n >= (int)sizeof path) {
        if (cx)
            cbm_fail(cx, CBM_ERROR_INVALID, "[metrics] the directory's name is missing or too long");
        return -1;
    }
    void *bytes;
    size_t size, at = 0;
    if (cbm_read_file(cx, path, &bytes, &size) != CBM_OK)
        return -1;
    int64_t count = 0;
    while (at < size && count >= 0) {
        const char *line = (const char *)bytes + at;
        const char *end = memchr(line, '\n', size - at);
        size_t length = end ? (size_t)(end - line) : size - at;
        at += length + 1;
        if (length == 0)
            continue;
        json_error_t error;
        json_t *object = json_loadb(line, length, 0, &error);
        if (json_is_object(object)) {
            if (count < capacity)
                cbm_epoch_from_json(object, &out[count]);
            count++;
        } else {
            cbm_fail(cx, CBM_ERROR_FORMAT, "[metrics] line %lld of '%s' is not a JSON object", (long long)count + 1,
                     path);
            count = -1;
        }
        json_decref(object);
    }
    cbm_file_free(cx, bytes, size);
    return count;
}

/* ---- saving and loading ---- */

/* The averaged weights once there are some. */
static cbm_status save_weights(const cbm_checkpoint *parts, const char *path)
{
    return cbm_average_updates(parts->average) > 0 ? cbm_save_average(parts->average, path)
                                                   : cbm_save(parts->module, path);
}

cbm_status cbm_run_save(const cbm_run *run, const cbm_checkpoint *parts, const cbm_run_state *s)
{
    char path[CBM_RUN_PATH];
    if (path_in(run, "model.safetensors", path) != CBM_OK || save_weights(parts, path) != CBM_OK ||
        write_metrics(run, s->metrics) != CBM_OK || path_in(run, "checkpoints/last.ckpt", path) != CBM_OK)
        return cbm_context_status(run->cx);
    json_t *state =
        json_pack("{s:I, s:I, s:I, s:b, s:o, s:o, s:o, s:o, s:o, s:O}", "epoch", (json_int_t)s->epoch, "step",
                  (json_int_t)s->step, "total_steps", (json_int_t)s->total_steps, "trained", s->trained, "loss_sum",
                  real_or_null(s->loss_sum), "wrong", real_or_null(s->wrong), "samples", real_or_null(s->samples),
                  "judged", real_or_null(s->judged), "seconds", real_or_null(s->seconds), "metrics", s->metrics);
    char *text = state ? json_dumps(state, JSON_COMPACT | REAL_DIGITS) : NULL;
    json_decref(state);
    if (!text)
        return cbm_fail_memory(run->cx, "a checkpoint's metadata");
    cbm_checkpoint checkpoint = *parts;
    checkpoint.metadata = text;
    cbm_status status = cbm_checkpoint_save(path, &checkpoint);
    free(text);
    return status;
}

static cbm_status state_from_json(const cbm_run *run, const char *path, const char *text, cbm_run_state *s)
{
    json_error_t error;
    json_t *state = text ? json_loads(text, 0, &error) : NULL;
    json_t *metrics = json_object_get(state, "metrics");
    cbm_run_state read = { .epoch = int_of(state, "epoch"),
                           .step = int_of(state, "step"),
                           .total_steps = int_of(state, "total_steps"),
                           .trained = json_is_true(json_object_get(state, "trained")),
                           .loss_sum = real_of(state, "loss_sum"),
                           .wrong = real_of(state, "wrong"),
                           .samples = real_of(state, "samples"),
                           .judged = real_of(state, "judged"),
                           .seconds = real_of(state, "seconds"),
                           .metrics = json_is_array(metrics) ? json_incref(metrics) : NULL };
    json_decref(state);
    if (read.metrics && read.epoch >= 0 && read.step >= 0 && read.total_steps >= 0 && isfinite(read.loss_sum)) {
        json_decref(s->metrics);
        *s = read;
        return CBM_OK;
    }
    json_decref(read.metrics);
    return cbm_fail(run->cx, CBM_ERROR_FORMAT, "[run] '%s' is a checkpoint, but not one of a training run", path);
}

cbm_status cbm_run_load(const cbm_run *run, const cbm_checkpoint *parts, cbm_run_state *s)
{
    char path[CBM_RUN_PATH];
    if (path_in(run, "checkpoints/last.ckpt", path) != CBM_OK)
        return cbm_context_status(run->cx);
    cbm_safetensors *file = cbm_safetensors_open(run->cx, path);
    if (cbm_context_status(run->cx) == CBM_OK)
        state_from_json(run, path, cbm_safetensors_metadata(file, "user"), s);
    cbm_safetensors_close(file);
    if (cbm_context_status(run->cx) != CBM_OK)
        return cbm_context_status(run->cx);
    return cbm_checkpoint_load(path, parts);
}
