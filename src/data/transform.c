/* transform.c: a dataset whose inputs pass through transforms. Between two of them an input lies in the reading thread's
   scratch memory; the last one writes into the batch. Rests on dataset.h. */
#include "data/dataset.h"
#include "tensor/context.h"
#include <stdio.h>
#include <string.h>

#define COUNT_MAX 64

/* Keeps these random numbers apart from those of the loader's order, which has the same seed. */
#define STREAM 0x5452414e53464f52u

typedef struct stage {
    cbm_transform transform;
    cbm_shape shape; /* of what comes out */
    cbm_dtype dtype;
} stage;

typedef struct chain {
    cbm_dataset *base;
    size_t bytes; /* of this struct */
    size_t at[2]; /* in the scratch memory, behind the base's own: where inputs between two transforms lie */
    int64_t count;
    stage stages[];
} chain;

int64_t cbm_transform_random(const cbm_transform_call *call, int64_t number, int64_t limit)
{
    uint64_t position = (uint64_t)call->epoch << 16 | (uint64_t)call->place;
    uint64_t index = (uint64_t)call->index << 17 | (uint64_t)number;
    return limit > 0 ? (int64_t)cbm_philox_below(call->seed ^ STREAM, position, index, (uint64_t)limit) : 0;
}

static cbm_status read_chain(void *user, const cbm_sample_request *s)
{
    const chain *c = user;
    uint8_t *between[2] = { (uint8_t *)s->scratch + c->at[0], (uint8_t *)s->scratch + c->at[1] };
    cbm_sample_request inner = *s;
    inner.input = c->count ? between[0] : s->input;
    cbm_status status = cbm_dataset_read(c->base, &inner);
    const cbm_shape *shape = &c->base->input_shape;
    cbm_dtype dtype = c->base->input_dtype;
    for (int64_t i = 0; i < c->count && status == CBM_OK; ++i) {
        const stage *g = &c->stages[i];
        cbm_transform_call call = { .in = between[i % 2],
                                    .out = i + 1 < c->count ? between[(i + 1) % 2] : s->input,
                                    .in_shape = shape,
                                    .out_shape = &g->shape,
                                    .in_dtype = dtype,
                                    .out_dtype = g->dtype,
                                    .index = s->index,
                                    .epoch = s->epoch,
                                    .seed = s->seed,
                                    .place = c->base->transforms + i,
                                    .message = s->message };
        status = g->transform.apply(&g->transform, &call);
        if (status != CBM_OK && !s->message[0])
            snprintf(s->message, 256, "transform '%.100s': %s", g->transform.name ? g->transform.name : "of the user",
                     cbm_status_name(status));
        shape = &g->shape;
        dtype = g->dtype;
    }
    return status;
}

static void destroy_chain(void *user)
{
    chain *c = user;
    cbm_heap *heap = cbm_context_heap(c->base->cx);
    cbm_dataset_drop(c->base);
    cbm_heap_give(heap, c, c->bytes);
}

static bool bytes_of(const cbm_shape *shape, cbm_dtype dtype, size_t *bytes)
{
    int64_t count = cbm_shape_count(shape), total;
    if (count < 0 || dtype < 0 || dtype >= CBM_DTYPE_COUNT ||
        __builtin_mul_overflow(count, (int64_t)cbm_dtype_size(dtype), &total) || total > INT64_MAX / 8)
        return false;
    *bytes = (size_t)total;
    return true;
}

/* Shapes and dtypes on the way, and the scratch memory between the stages. */
static cbm_status plan(chain *c, const cbm_transform *transforms, size_t *scratch)
{
    const cbm_dataset *d = c->base;
    cbm_shape shape = d->input_shape;
    cbm_dtype dtype = d->input_dtype;
    size_t most = 0, bytes;
    for (int64_t i = 0; i < c->count; ++i) {
        const cbm_transform *t = &transforms[i];
        const char *name = t->name ? t->name : "of the user";
        char why[256] = "";
        if (!t->apply)
            return cbm_fail(d->cx, CBM_ERROR_INVALID, "[transform] transform %lld has no function", (long long)i);
        if (bytes_of(&shape, dtype, &bytes) && bytes > most)
            most = bytes;
        cbm_status status = t->result ? t->result(t, &shape, &dtype, why) : CBM_OK;
        if (status != CBM_OK)
            return cbm_fail(d->cx, status, "[transform] '%.100s' after '%s': %.255s", name, d->name,
                            why[0] ? why : cbm_status_name(status));
        if (!bytes_of(&shape, dtype, &bytes))
            return cbm_fail(d->cx, CBM_ERROR_SHAPE, "[transform] '%.100s' gives no valid shape or dtype", name);
        c->stages[i] = (stage){ *t, shape, dtype };
    }
    most = (most + CBM_SCRATCH_ALIGNMENT - 1) & ~(size_t)(CBM_SCRATCH_ALIGNMENT - 1);
    c->at[0] = d->scratch_bytes;
    c->at[1] = d->scratch_bytes + most;
    *scratch = c->at[1] + (c->count > 1 ? most : 0);
    return CBM_OK;
}

static cbm_dataset *open_chain(chain *c, size_t scratch)
{
    const cbm_dataset *base = c->base;
    const stage *last = c->count ? &c->stages[c->count - 1] : NULL;
    int64_t transforms = base->transforms + c->count;
    cbm_dataset_options o = cbm_dataset_like(base);
    if (last) {
        o.input_shape = last->shape;
        o.input_dtype = last->dtype;
    }
    o.read = read_chain;
    o.user = c;
    o.destroy = destroy_chain;
    o.scratch_bytes = (int64_t)scratch;
    cbm_dataset *d = cbm_dataset_with(base->cx, &o);
    if (d)
        d->transforms = transforms;
    return d;
}

cbm_dataset *cbm_dataset_transform_with(cbm_dataset *dataset, const cbm_transform *transforms, size_t count)
{
    if (!dataset || cbm_context_status(dataset->cx) != CBM_OK)
        return NULL;
    if (count > COUNT_MAX || (count && !transforms)) {
        cbm_fail(dataset->cx, CBM_ERROR_INVALID, "[transform] %s", count > COUNT_MAX ? "too many" : "the list is NULL");
        return NULL;
    }
    if (dataset->variable[0] && count) {
        cbm_fail(dataset->cx, CBM_ERROR_UNSUPPORTED,
                 "[transform] '%s' has inputs of variable length. HINT: change them in the dataset's read function",
                 dataset->name);
        return NULL;
    }
    cbm_heap *heap = cbm_context_heap(dataset->cx);
    size_t bytes = sizeof(chain) + count * sizeof(stage), scratch;
    chain *c = cbm_heap_take_zero(heap, bytes);
    if (!c) {
        cbm_fail_memory(dataset->cx, "a dataset");
        return NULL;
    }
    *c = (chain){ .base = dataset, .bytes = bytes, .count = (int64_t)count };
    cbm_dataset_retain(dataset);
    if (plan(c, transforms, &scratch) == CBM_OK)
        return open_chain(c, scratch);
    destroy_chain(c);
    return NULL;
}
