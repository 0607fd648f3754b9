/* dataset.c: numbered samples: a user's source, tensors in memory, and a part of another dataset. Rests on tensor. */
#include "data/dataset.h"
#include "tensor/context.h"
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
    return dataset->read(dataset->user, sample);
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

/* ---- a part of another dataset ---- */

typedef struct part {
    cbm_dataset *whole;
    int64_t first;
} part;

static cbm_status read_part(void *user, const cbm_sample_request *s)
{
    const part *p = user;
    cbm_sample_request inner = *s;
    inner.index += p->first;
    return cbm_dataset_read(p->whole, &inner);
}

static void destroy_part(void *user)
{
    part *p = user;
    cbm_heap *heap = cbm_context_heap(p->whole->cx);
    cbm_dataset_drop(p->whole);
    cbm_heap_give(heap, p, sizeof *p);
}

cbm_dataset *cbm_dataset_part(cbm_dataset *dataset, int64_t first, int64_t count)
{
    if (!dataset || cbm_context_status(dataset->cx) != CBM_OK)
        return NULL;
    cbm_context *cx = dataset->cx;
    if (first < 0 || count < 0 || first > dataset->count || count > dataset->count - first) {
        cbm_fail(cx, CBM_ERROR_RANGE, "[dataset] samples %lld to %lld of '%s', which has %lld", (long long)first,
                 (long long)(count < 0 ? count : first + count - 1), dataset->name, (long long)dataset->count);
        return NULL;
    }
    part *p = cbm_heap_take(cbm_context_heap(cx), sizeof *p);
    if (!p) {
        cbm_fail_memory(cx, "a dataset");
        return NULL;
    }
    *p = (part){ dataset, first };
    cbm_dataset_retain(dataset);
    cbm_dataset *d = make(cx, &(cbm_dataset_options){ .name = dataset->name,
                                                      .count = count,
                                                      .classes = dataset->classes,
                                                      .input_shape = dataset->input_shape,
                                                      .input_dtype = dataset->input_dtype,
                                                      .target_shape = dataset->target_shape,
                                                      .target_dtype = dataset->target_dtype,
                                                      .no_target = !dataset->has_target,
                                                      .read = read_part,
                                                      .user = p,
                                                      .destroy = destroy_part,
                                                      .scratch_bytes = (int64_t)dataset->scratch_bytes });
    if (d)
        d->transforms = dataset->transforms;
    return d;
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

static cbm_status fetch(cbm_dataset *d, int64_t index, uint8_t *input, uint8_t *target, void *scratch)
{
    char message[256] = "";
    cbm_sample_request s = { .index = index, .input = input, .target = target, .message = message, .scratch = scratch };
    cbm_status status = cbm_dataset_read(d, &s);
    if (status != CBM_OK)
        cbm_fail(d->cx, status, "[dataset] sample %lld of '%s': %.255s", (long long)index, d->name,
                 message[0] ? message : cbm_status_name(status));
    return status;
}

cbm_status cbm_dataset_get(cbm_dataset *d, int64_t index, cbm_tensor **input, cbm_tensor **target)
{
    *input = NULL;
    if (target)
        *target = NULL;
    if (!d || cbm_context_status(d->cx) != CBM_OK)
        return d ? cbm_context_status(d->cx) : CBM_ERROR_INVALID;
    if (index < 0 || index >= d->count)
        return cbm_fail(d->cx, CBM_ERROR_RANGE, "[dataset] sample %lld of '%s', which has %lld", (long long)index,
                        d->name, (long long)d->count);
    cbm_heap *heap = cbm_context_heap(d->cx);
    size_t middle = d->scratch_bytes + (d->input_bytes + 63) / 64 * 64, total;
    uint8_t *memory = NULL;
    if (!__builtin_add_overflow(middle, d->target_bytes + 1, &total))
        memory = cbm_heap_take_zero(heap, total);
    if (!memory)
        return cbm_fail_memory(d->cx, "a sample");
    uint8_t *in = memory + d->scratch_bytes, *tag = d->has_target ? memory + middle : NULL;
    if (fetch(d, index, in, tag, memory) == CBM_OK) {
        *input = cbm_tensor_from(d->cx, d->input_dtype, d->input_shape, in);
        if (target && d->has_target)
            *target = cbm_tensor_from(d->cx, d->target_dtype, d->target_shape, tag);
    }
    cbm_heap_give(heap, memory, total);
    return cbm_context_status(d->cx);
}
