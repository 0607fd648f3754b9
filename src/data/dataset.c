/* dataset.c: numbered samples: a user's source, and tensors in memory. Rests on tensor. */
#include "data/dataset.h"
#include "tensor/context.h"
#include <stdio.h>
#include <string.h>

void cbm_dataset_retain(cbm_dataset *dataset)
{
    ++dataset->refs;
}

void cbm_dataset_drop(cbm_dataset *dataset)
{
    if (--dataset->refs > 0)
        return;
    if (dataset->destroy)
        dataset->destroy(dataset->user);
    cbm_heap_give(cbm_context_heap(dataset->cx), dataset, sizeof *dataset);
}

static void drop_owned(void *object)
{
    ((cbm_dataset *)object)->owned = false;
    cbm_dataset_drop(object);
}

cbm_status cbm_dataset_read(const cbm_dataset *dataset, const cbm_sample_request *sample)
{
    sample->message[0] = 0;
    const cbm_status status = dataset->read(dataset->user, sample);
    const int64_t *lengths[2] = { sample->input_length, sample->target_length };
    const int64_t most[2] = { dataset->input_shape.v[1], dataset->target_shape.v[1] };
    for (int i = 0; i < 2 && status == CBM_OK; ++i)
        if (dataset->variable[i] && (*lengths[i] < 0 || *lengths[i] > most[i])) {
            snprintf(sample->message, 256, "its %s is %lld long, and may be 0 to %lld", i ? "target" : "input",
                     (long long)*lengths[i], (long long)most[i]);
            return CBM_ERROR_RANGE;
        }
    return status;
}

/* Whether an element of this type can hold the padding. */
static bool holds(cbm_dtype dtype, double x)
{
    static const double low[CBM_DTYPE_COUNT] = { [CBM_I64] = -0x1p63, [CBM_I32] = INT32_MIN };
    static const double high[CBM_DTYPE_COUNT] = {
        [CBM_I64] = 0x1p62, [CBM_I32] = INT32_MAX, [CBM_U8] = 255, [CBM_BOOL] = 1
    };
    return high[dtype] == 0 || (x >= low[dtype] && x <= high[dtype] && x == (double)(int64_t)x);
}

static cbm_status check(cbm_context *cx, const cbm_dataset_options *o, cbm_dataset *d)
{
    d->input_shape = o->input_shape;
    d->target_shape = o->target_shape;
    d->input_dtype = (cbm_dtype)o->input_dtype;
    d->target_dtype = (cbm_dtype)o->target_dtype;
    if (o->scratch_bytes < 0 || o->scratch_bytes > INT64_MAX / 4)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[dataset] '%s' asks for %lld bytes of scratch", d->name,
                        (long long)o->scratch_bytes);
    d->scratch_bytes = ((size_t)o->scratch_bytes + CBM_SCRATCH_ALIGNMENT - 1) & ~(size_t)(CBM_SCRATCH_ALIGNMENT - 1);
    if (!o->read || o->count < 0 || o->classes < 0)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[dataset] '%s' %s", d->name,
                        o->read ? "has a negative count" : "has no read function");
    const cbm_shape *shapes[2] = { &d->input_shape, &d->target_shape };
    int64_t dtypes[2] = { o->input_dtype, o->target_dtype };
    size_t *bytes[2] = { &d->input_bytes, &d->target_bytes };
    for (int i = 0; i < (o->no_target ? 1 : 2); ++i) {
        if (dtypes[i] < 0 || dtypes[i] >= CBM_DTYPE_COUNT)
            return cbm_fail(cx, CBM_ERROR_DTYPE, "[dataset] '%s' has an unknown dtype", d->name);
        int64_t count = cbm_shape_count(shapes[i]), total;
        if (count < 0 || shapes[i]->v[0] >= CBM_MAX_DIMS || /* a batch has one axis more */
            __builtin_mul_overflow(count, (int64_t)cbm_dtype_size((cbm_dtype)dtypes[i]), &total))
            return cbm_fail(cx, CBM_ERROR_SHAPE,
                            "[dataset] '%s': a sample may have at most %d dimensions, none negative", d->name,
                            CBM_MAX_DIMS - 1);
        *bytes[i] = (size_t)total;
        if (d->variable[i] && shapes[i]->v[0] < 1)
            return cbm_fail(cx, CBM_ERROR_SHAPE, "[dataset] '%s': variable samples need a first axis", d->name);
        if (d->variable[i] && !holds((cbm_dtype)dtypes[i], d->padding[i]))
            return cbm_fail(cx, CBM_ERROR_RANGE, "[dataset] '%s': the padding %g is no %s", d->name, d->padding[i],
                            cbm_dtype_name((cbm_dtype)dtypes[i]));
    }
    return CBM_OK;
}

/* A dataset from complete options; on failure destroy is called for user. */
static cbm_dataset *make(cbm_context *cx, const cbm_dataset_options *o)
{
    cbm_dataset *d = cbm_context_status(cx) == CBM_OK ? cbm_heap_take_zero(cbm_context_heap(cx), sizeof *d) : NULL;
    if (!d) {
        if (cbm_context_status(cx) == CBM_OK)
            cbm_fail_memory(cx, "a dataset");
        if (o->destroy)
            o->destroy(o->user);
        return NULL;
    }
    *d = (cbm_dataset){ .cx = cx,
                        .refs = 1,
                        .has_target = !o->no_target,
                        .count = o->count,
                        .classes = o->classes,
                        .variable = { o->variable_input != 0, o->variable_target != 0 && !o->no_target },
                        .padding = { o->input_padding, o->target_padding },
                        .read = o->read,
                        .user = o->user,
                        .destroy = o->destroy };
    const char *name = o->name ? o->name : "dataset";
    size_t length = strlen(name), kept = sizeof d->name - 1; /* of a long path the end says more */
    memcpy(d->name, length > kept ? name + length - kept : name, length > kept ? kept : length);
    d->owned = check(cx, o, d) == CBM_OK && cbm_context_own(cx, d, drop_owned);
    if (d->owned)
        return d;
    cbm_dataset_drop(d);
    return NULL;
}

void cbm_dataset_options_init(cbm_dataset_options *options)
{
    *options = (cbm_dataset_options){ .struct_size = sizeof *options, CBM_DATASET_DEFAULTS };
}

cbm_dataset_options cbm_dataset_like(const cbm_dataset *d)
{
    return (cbm_dataset_options){ .struct_size = sizeof(cbm_dataset_options),
                                  .name = d->name,
                                  .count = d->count,
                                  .classes = d->classes,
                                  .input_shape = d->input_shape,
                                  .input_dtype = d->input_dtype,
                                  .target_shape = d->target_shape,
                                  .target_dtype = d->target_dtype,
                                  .no_target = !d->has_target,
                                  .scratch_bytes = (int64_t)d->scratch_bytes,
                                  .variable_input = d->variable[0],
                                  .variable_target = d->variable[1],
                                  .input_padding = d->padding[0],
                                  .target_padding = d->padding[1] };
}

cbm_dataset *cbm_dataset_with(cbm_context *cx, const cbm_dataset_options *options)
{
    cbm_dataset_options o;
    cbm_dataset_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    return make(cx, &o);
}

void cbm_dataset_release(cbm_dataset *dataset)
{
    if (!dataset || !dataset->owned)
        return;
    cbm_context_disown(dataset->cx, dataset);
    drop_owned(dataset);
}

/* ---- tensors in memory ---- */

typedef struct table {
    cbm_heap *heap;
    uint8_t *input, *target;
    size_t input_total, target_total; /* bytes */
    size_t input_bytes, target_bytes; /* of one sample */
} table;

static cbm_status read_table(void *user, const cbm_sample_request *s)
{
    const table *t = user;
    if (t->input_bytes)
        memcpy(s->input, t->input + (size_t)s->index * t->input_bytes, t->input_bytes);
    if (s->target && t->target_bytes)
        memcpy(s->target, t->target + (size_t)s->index * t->target_bytes, t->target_bytes);
    return CBM_OK;
}

static void destroy_table(void *user)
{
    table *t = user;
    cbm_heap_give(t->heap, t->input, t->input_total);
    cbm_heap_give(t->heap, t->target, t->target_total);
    cbm_heap_give(t->heap, t, sizeof *t);
}

/* A copy of t's elements. */
static uint8_t *copy_of(cbm_context *cx, cbm_tensor *t, size_t *total)
{
    size_t bytes = (size_t)cbm_tensor_count(t) * cbm_dtype_size(cbm_tensor_dtype(t));
    *total = bytes ? bytes : 1;
    uint8_t *copy = cbm_heap_take(cbm_context_heap(cx), *total);
    if (!copy) {
        cbm_fail_memory(cx, "a dataset's samples");
        return NULL;
    }
    if (cbm_read(t, copy, bytes) == CBM_OK)
        return copy;
    cbm_heap_give(cbm_context_heap(cx), copy, *total);
    return NULL;
}

/* t's shape without its first axis. */
static cbm_shape row_shape(const cbm_tensor *t)
{
    cbm_shape s = cbm_tensor_shape(t);
    memmove(&s.v[1], &s.v[2], (CBM_MAX_DIMS - 1) * sizeof s.v[1]);
    --s.v[0];
    s.v[CBM_MAX_DIMS] = 0;
    return s;
}

static int64_t classes_of(const cbm_tensor *targets, const uint8_t *data, const cbm_shape *row)
{
    int64_t count = cbm_tensor_count(targets), most = -1, label;
    if (cbm_tensor_dtype(targets) != CBM_I64 || cbm_shape_count(row) != 1)
        return 0;
    for (int64_t i = 0; i < count; ++i) {
        memcpy(&label, data + (size_t)i * sizeof label, sizeof label);
        most = label > most ? label : most;
    }
    return most < INT64_MAX ? most + 1 : 0;
}

cbm_dataset *cbm_dataset_tensors(cbm_context *cx, cbm_tensor *inputs, cbm_tensor *targets)
{
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    if (!inputs || cbm_tensor_rank(inputs) < 1 || (targets && cbm_tensor_rank(targets) < 1)) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[dataset] tensors need a first axis, along which the samples lie");
        return NULL;
    }
    int64_t count = cbm_tensor_size(inputs, 0);
    if (targets && cbm_tensor_size(targets, 0) != count) {
        cbm_fail(cx, CBM_ERROR_SHAPE, "[dataset] %lld inputs but %lld targets", (long long)count,
                 (long long)cbm_tensor_size(targets, 0));
        return NULL;
    }
    table *t = cbm_heap_take_zero(cbm_context_heap(cx), sizeof *t);
    if (!t) {
        cbm_fail_memory(cx, "a dataset");
        return NULL;
    }
    t->heap = cbm_context_heap(cx);
    t->input = copy_of(cx, inputs, &t->input_total);
    t->target = targets && t->input ? copy_of(cx, targets, &t->target_total) : NULL;
    cbm_dataset_options o = { .name = "tensors",
                              .count = count,
                              .no_target = !targets,
                              .read = read_table,
                              .user = t,
                              .destroy = destroy_table,
                              .input_shape = row_shape(inputs),
                              .input_dtype = cbm_tensor_dtype(inputs),
                              .target_dtype = CBM_I64 };
    t->input_bytes = (size_t)cbm_shape_count(&o.input_shape) * cbm_dtype_size(cbm_tensor_dtype(inputs));
    if (t->target) {
        o.target_shape = row_shape(targets);
        o.target_dtype = cbm_tensor_dtype(targets);
        o.classes = classes_of(targets, t->target, &o.target_shape);
        t->target_bytes = (size_t)cbm_shape_count(&o.target_shape) * cbm_dtype_size(cbm_tensor_dtype(targets));
    }
    return make(cx, &o); /* destroys the table when something above has failed */
}

/* ---- looking at a dataset ---- */

const char *cbm_dataset_name(const cbm_dataset *dataset)
{
    return dataset ? dataset->name : "";
}

cbm_context *cbm_dataset_context(const cbm_dataset *dataset)
{
    return dataset ? dataset->cx : NULL;
}

int64_t cbm_dataset_count(const cbm_dataset *dataset)
{
    return dataset ? dataset->count : 0;
}

int64_t cbm_dataset_classes(const cbm_dataset *dataset)
{
    return dataset ? dataset->classes : 0;
}

cbm_shape cbm_dataset_input_shape(const cbm_dataset *dataset)
{
    return dataset ? dataset->input_shape : CBM_SHAPE(0);
}

cbm_shape cbm_dataset_target_shape(const cbm_dataset *dataset)
{
    return dataset ? dataset->target_shape : CBM_SHAPE(0);
}

cbm_dtype cbm_dataset_input_dtype(const cbm_dataset *dataset)
{
    return dataset ? dataset->input_dtype : CBM_F32;
}

cbm_dtype cbm_dataset_target_dtype(const cbm_dataset *dataset)
{
    return dataset ? dataset->target_dtype : CBM_I64;
}

bool cbm_dataset_has_target(const cbm_dataset *dataset)
{
    return dataset && dataset->has_target;
}

/* A sample in memory of this call, and how much of its first axes it fills. */
typedef struct sample {
    uint8_t *memory, *input, *target;
    size_t total;
    int64_t lengths[2];
} sample;

static bool take_sample(const cbm_dataset *d, sample *s)
{
    const size_t middle = d->scratch_bytes + (d->input_bytes + 63) / 64 * 64;
    *s = (sample){ .lengths = { d->input_shape.v[1], d->target_shape.v[1] } };
    if (!__builtin_add_overflow(middle, d->target_bytes + 1, &s->total))
        s->memory = cbm_heap_take_zero(cbm_context_heap(d->cx), s->total);
    if (!s->memory)
        return false;
    s->input = s->memory + d->scratch_bytes;
    s->target = d->has_target ? s->memory + middle : NULL;
    return true;
}

static cbm_status fetch(cbm_dataset *d, int64_t index, sample *s)
{
    char message[256] = "";
    cbm_sample_request request = { .index = index,
                                   .input = s->input,
                                   .target = s->target,
                                   .message = message,
                                   .scratch = s->memory,
                                   .input_length = &s->lengths[0],
                                   .target_length = &s->lengths[1] };
    cbm_status status = cbm_dataset_read(d, &request);
    if (status != CBM_OK)
        cbm_fail(d->cx, status, "[dataset] sample %lld of '%s': %.255s", (long long)index, d->name,
                 message[0] ? message : cbm_status_name(status));
    return status;
}

static cbm_tensor *as_tensor(const cbm_dataset *d, const sample *s, int target)
{
    cbm_shape shape = target ? d->target_shape : d->input_shape;
    if (d->variable[target])
        shape.v[1] = s->lengths[target];
    return cbm_tensor_from(d->cx, target ? d->target_dtype : d->input_dtype, shape, target ? s->target : s->input);
}

cbm_status cbm_dataset_get(cbm_dataset *d, int64_t index, cbm_tensor **input, cbm_tensor **target)
{
    sample s;
    *input = NULL;
    if (target)
        *target = NULL;
    if (!d || cbm_context_status(d->cx) != CBM_OK)
        return d ? cbm_context_status(d->cx) : CBM_ERROR_INVALID;
    if (index < 0 || index >= d->count)
        return cbm_fail(d->cx, CBM_ERROR_RANGE, "[dataset] sample %lld of '%s', which has %lld", (long long)index,
                        d->name, (long long)d->count);
    if (!take_sample(d, &s))
        return cbm_fail_memory(d->cx, "a sample");
    if (fetch(d, index, &s) == CBM_OK) {
        *input = as_tensor(d, &s, 0);
        if (target && d->has_target)
            *target = as_tensor(d, &s, 1);
    }
    cbm_heap_give(cbm_context_heap(d->cx), s.memory, s.total);
    return cbm_context_status(d->cx);
}
