/* cifar.c: CIFAR-10 and CIFAR-100, binary version: records of one label byte (CIFAR-100: superclass, then class) and
   3 x 32 x 32 bytes of pixels, plane by plane. https://www.cs.toronto.edu/~kriz/cifar.html. The bytes stay as they are in
   memory; a sample is normalised when it is read. Rests on bytes.h and data. */
#include "io/cifar.h"
#include "data/pixels.h"
#include "io/bytes.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHANNELS 3
#define SIDE 32
#define PLANE (SIDE * SIDE)
#define PIXELS (CHANNELS * PLANE)
#define FILES_MAX 5
#define LABELS_MAX 2

/* What a version's records look like and where its files lie. */
typedef struct version {
    const char *operation; /* for messages, and the name for `cambium data get` */
    const char *folder;
    const char *files[2][FILES_MAX]; /* by split */
    const char *names[2];
    size_t labels;               /* bytes in front of the pixels */
    int64_t classes[LABELS_MAX]; /* of each label byte */
} version;

static const version versions[] = {
    { .operation = "cifar10",
      .folder = "cifar-10-batches-bin",
      .files = { [CBM_TRAIN] = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                                 "data_batch_5.bin" },
                 [CBM_TEST] = { "test_batch.bin" } },
      .names = { [CBM_TRAIN] = "cifar10 (train)", [CBM_TEST] = "cifar10 (test)" },
      .labels = 1,
      .classes = { 10 } },
    { .operation = "cifar100",
      .folder = "cifar-100-binary",
      .files = { [CBM_TRAIN] = { "train.bin" }, [CBM_TEST] = { "test.bin" } },
      .names = { [CBM_TRAIN] = "cifar100 (train)", [CBM_TEST] = "cifar100 (test)" },
      .labels = 2,
      .classes = { 20, 100 } },
};

typedef struct records {
    uint8_t *bytes;
    size_t size;
    int64_t count;
} records;

typedef struct cifar {
    cbm_heap *heap;
    records files[FILES_MAX];
    int64_t count;
    size_t record, labels; /* bytes of a record, and in front of its pixels */
    size_t label;          /* which of the label bytes is the target */
    bool normalise;
    cbm_affine planes[CHANNELS];
} cifar;

static void destroy(void *user)
{
    cifar *s = user;
    for (int i = 0; i < FILES_MAX; ++i)
        if (s->files[i].bytes)
            cbm_heap_give(s->heap, s->files[i].bytes, s->files[i].size ? s->files[i].size : 1);
    cbm_heap_give(s->heap, s, sizeof *s);
}

static cbm_status read_sample(void *user, const cbm_sample_request *sample)
{
    const cifar *s = user;
    int64_t index = sample->index;
    const records *file = s->files;
    while (index >= file->count)
        index -= file++->count;
    const uint8_t *record = file->bytes + (size_t)index * s->record, *pixels = record + s->labels;
    *(int64_t *)sample->target = record[s->label];
    if (!s->normalise)
        memcpy(sample->input, pixels, PIXELS);
    else
        for (int c = 0; c < CHANNELS; ++c)
            cbm_pixels_to_floats(pixels + c * PLANE, (float *)sample->input + c * PLANE, PLANE, s->planes[c]);
    return CBM_OK;
}

/* Whole records with labels inside their classes. */
static bool check_records(const version *v, records *r, cbm_problem *problem)
{
    size_t record = v->labels + PIXELS;
    if (r->size % record != 0)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "%zu bytes are no whole number of records of %zu bytes%s", r->size,
                          record, r->size < record ? ": truncated, or another format" : "");
    r->count = (int64_t)(r->size / record);
    for (int64_t i = 0; i < r->count; ++i)
        for (size_t k = 0; k < v->labels; ++k) {
            int label = r->bytes[(size_t)i * record + k];
            if (label >= v->classes[k])
                return cbm_refuse(problem, CBM_ERROR_RANGE, "label %d of record %lld is outside 0 to %lld", label,
                                  (long long)i, (long long)v->classes[k] - 1);
        }
    return true;
}

static bool options_good(cbm_context *cx, const version *v, const cbm_cifar_options *o)
{
    for (int c = 0; c < CHANNELS; ++c)
        if (!(o->deviation[c] > 0) || !isfinite(o->deviation[c]) || !isfinite(o->mean[c])) {
            cbm_fail(cx, CBM_ERROR_INVALID, "[%s] a deviation must be positive and finite, a mean finite",
                     v->operation);
            return false;
        }
    if (o->coarse && v->labels < 2)
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] has no superclasses; coarse is for cifar100", v->operation);
    return cbm_context_status(cx) == CBM_OK;
}

static cifar *begin(cbm_context *cx, const version *v, const cbm_cifar_options *o)
{
    if (!options_good(cx, v, o))
        return NULL;
    cifar *s = cbm_heap_take_zero(cbm_context_heap(cx), sizeof *s);
    if (!s) {
        cbm_fail_memory(cx, "a dataset");
        return NULL;
    }
    s->heap = cbm_context_heap(cx);
    s->labels = v->labels;
    s->record = v->labels + PIXELS;
    s->label = o->coarse ? 0 : v->labels - 1;
    s->normalise = o->normalise != 0;
    for (int c = 0; c < CHANNELS; ++c)
        s->planes[c] = cbm_affine_of(255, o->mean[c], o->deviation[c]);
    return s;
}

static cbm_dataset *finish(cbm_context *cx, const version *v, const char *name, cifar *s)
{
    for (int i = 0; i < FILES_MAX; ++i)
        s->count += s->files[i].count;
    return cbm_dataset_with(cx, &(cbm_dataset_options){
                                    .struct_size = sizeof(cbm_dataset_options),
                                    .name = name,
                                    .count = s->count,
                                    .input_shape = CBM_SHAPE(CHANNELS, SIDE, SIDE),
                                    .input_dtype = s->normalise ? CBM_F32 : CBM_U8,
                                    .target_dtype = CBM_I64,
                                    .classes = v->classes[s->label],
                                    .read = read_sample,
                                    .user = s,
                                    .destroy = destroy,
                                });
}

void cbm_cifar_options_init(cbm_cifar_options *options)
{
    *options = (cbm_cifar_options){ .struct_size = sizeof *options, CBM_CIFAR_DEFAULTS };
}

static cbm_cifar_options complete(const cbm_cifar_options *options)
{
    cbm_cifar_options o;
    cbm_cifar_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    return o;
}

/* ---- from files ---- */

/* directory/name, or directory/folder/name. */
static bool locate(const char *directory, const char *folder, const char *name, char *path, size_t size)
{
    int n = snprintf(path, size, "%s/%s", directory, name);
    if (n > 0 && (size_t)n < size && access(path, F_OK) == 0)
        return true;
    n = snprintf(path, size, "%s/%s/%s", directory, folder, name);
    return n > 0 && (size_t)n < size && access(path, F_OK) == 0;
}

static bool read_file(cbm_context *cx, const version *v, const char *directory, const char *name, records *r,
                      cbm_heap *heap)
{
    char path[4096];
    cbm_problem problem = { 0 };
    if (!locate(directory, v->folder, name, path, sizeof path)) {
        cbm_fail(cx, CBM_ERROR_IO, "[%s] %.500s holds no %s. HINT: `cambium data get %s` fetches it", v->operation,
                 directory, name, v->operation);
        return false;
    }
    if (cbm_file_get(heap, path, &r->bytes, &r->size, &problem) && check_records(v, r, &problem))
        return true;
    cbm_report(cx, v->operation, path, &problem);
    return false;
}

static cbm_dataset *open_version(cbm_context *cx, const version *v, const char *directory, cbm_split split,
                                 const cbm_cifar_options *options)
{
    cbm_cifar_options o = complete(options);
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    if (!directory || (split != CBM_TRAIN && split != CBM_TEST)) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %s", v->operation,
                 directory ? "split is CBM_TRAIN or CBM_TEST" : "directory is NULL");
        return NULL;
    }
    cifar *s = begin(cx, v, &o);
    if (!s)
        return NULL;
    for (int i = 0; i < FILES_MAX && v->files[split][i]; ++i)
        if (!read_file(cx, v, directory, v->files[split][i], &s->files[i], s->heap)) {
            destroy(s);
            return NULL;
        }
    return finish(cx, v, v->names[split], s);
}

cbm_dataset *cbm_cifar10_with(cbm_context *cx, const char *directory, cbm_split split, const cbm_cifar_options *options)
{
    return open_version(cx, &versions[0], directory, split, options);
}

cbm_dataset *cbm_cifar100_with(cbm_context *cx, const char *directory, cbm_split split,
                               const cbm_cifar_options *options)
{
    return open_version(cx, &versions[1], directory, split, options);
}

cbm_dataset *cbm_cifar_memory(cbm_context *cx, const void *bytes, size_t size, bool hundred,
                              const cbm_cifar_options *options)
{
    const version *v = &versions[hundred];
    cbm_cifar_options o = complete(options);
    cifar *s = cbm_context_status(cx) == CBM_OK ? begin(cx, v, &o) : NULL;
    if (!s)
        return NULL;
    cbm_problem problem = { 0 };
    records *r = &s->files[0];
    r->size = size;
    r->bytes = cbm_heap_take(s->heap, size ? size : 1);
    if (!r->bytes)
        cbm_refuse(&problem, CBM_ERROR_MEMORY, "no memory for its %zu bytes", size);
    else
        memcpy(r->bytes, bytes, size);
    if (r->bytes && check_records(v, r, &problem))
        return finish(cx, v, v->operation, s);
    destroy(s);
    cbm_report(cx, v->operation, NULL, &problem);
    return NULL;
}
