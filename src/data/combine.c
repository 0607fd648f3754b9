/* combine.c: datasets made of other datasets: parts, chosen samples, several in a row, random splits and folds. Rests on
   dataset.h. */
#include "data/dataset.h"
#include "tensor/context.h"
#include <string.h>

/* Sample i is sample indices[i] of whole; without a list, sample first + i. */
typedef struct part {
    cbm_dataset *whole;
    int64_t first, count;
    int64_t *indices;
} part;

static cbm_status read_part(void *user, const cbm_sample_request *s)
{
    const part *p = user;
    cbm_sample_request inner = *s;
    inner.index = p->indices ? p->indices[s->index] : p->first + s->index;
    return cbm_dataset_read(p->whole, &inner);
}

static void destroy_part(void *user)
{
    part *p = user;
    cbm_heap *heap = cbm_context_heap(p->whole->cx);
    cbm_heap_give(heap, p->indices, (size_t)p->count * sizeof *p->indices);
    cbm_dataset_drop(p->whole);
    cbm_heap_give(heap, p, sizeof *p);
}

static bool usable(const cbm_dataset *dataset)
{
    return dataset && cbm_context_status(dataset->cx) == CBM_OK;
}

static cbm_dataset *open_part(cbm_dataset *dataset, int64_t first, const int64_t *indices, int64_t count)
{
    cbm_heap *heap = cbm_context_heap(dataset->cx);
    part *p = cbm_heap_take_zero(heap, sizeof *p);
    int64_t *copy = p && indices ? cbm_heap_take(heap, (size_t)count * sizeof *copy) : NULL;
    if (!p || (indices && !copy)) {
        cbm_heap_give(heap, p, sizeof *p);
        cbm_fail_memory(dataset->cx, "a dataset");
        return NULL;
    }
    if (copy)
        memcpy(copy, indices, (size_t)count * sizeof *copy);
    *p = (part){ dataset, first, count, copy };
    cbm_dataset_retain(dataset);
    cbm_dataset_options o = cbm_dataset_like(dataset);
    o.count = count;
    o.read = read_part;
    o.user = p;
    o.destroy = destroy_part;
    cbm_dataset *d = cbm_dataset_with(dataset->cx, &o);
    if (d)
        d->transforms = dataset->transforms;
    return d;
}

cbm_dataset *cbm_dataset_part(cbm_dataset *dataset, int64_t first, int64_t count)
{
    if (!usable(dataset))
        return NULL;
    if (first < 0 || count < 0 || first > dataset->count || count > dataset->count - first) {
        cbm_fail(dataset->cx, CBM_ERROR_RANGE, "[dataset] samples %lld to %lld of '%s', which has %lld",
                 (long long)first, (long long)(count < 0 ? count : first + count - 1), dataset->name,
                 (long long)dataset->count);
        return NULL;
    }
    return open_part(dataset, first, NULL, count);
}

cbm_dataset *cbm_dataset_subset(cbm_dataset *dataset, const int64_t *indices, int64_t count)
{
    if (!usable(dataset))
        return NULL;
    if (count < 0 || count > INT64_MAX / 8 || (count > 0 && !indices)) {
        cbm_fail(dataset->cx, CBM_ERROR_INVALID, "[dataset] a subset of '%s' needs a list of indices", dataset->name);
        return NULL;
    }
    for (int64_t i = 0; i < count; ++i)
        if (indices[i] < 0 || indices[i] >= dataset->count) {
            cbm_fail(dataset->cx, CBM_ERROR_RANGE, "[dataset] sample %lld of '%s', which has %lld",
                     (long long)indices[i], dataset->name, (long long)dataset->count);
            return NULL;
        }
    return open_part(dataset, 0, count ? indices : NULL, count);
}

/* ---- several in a row ---- */

typedef struct row {
    cbm_heap *heap;
    size_t count;
    cbm_dataset **datasets;
    int64_t *ends; /* of each, in the row */
} row;

static cbm_status read_row(void *user, const cbm_sample_request *s)
{
    const row *r = user;
    size_t low = 0, high = r->count - 1; /* the first that ends behind the sample */
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (r->ends[middle] > s->index)
            high = middle;
        else
            low = middle + 1;
    }
    cbm_sample_request inner = *s;
    inner.index -= low ? r->ends[low - 1] : 0;
    return cbm_dataset_read(r->datasets[low], &inner);
}

static void destroy_row(void *user)
{
    row *r = user;
    cbm_heap *heap = r->heap;
    for (size_t i = 0; r->datasets && i < r->count; ++i)
        if (r->datasets[i])
            cbm_dataset_drop(r->datasets[i]);
    cbm_heap_give(heap, r->datasets, r->count * sizeof *r->datasets);
    cbm_heap_give(heap, r->ends, r->count * sizeof *r->ends);
    cbm_heap_give(heap, r, sizeof *r);
}

static bool alike(const cbm_dataset *a, const cbm_dataset *b)
{
    return a->cx == b->cx && a->has_target == b->has_target && a->input_dtype == b->input_dtype &&
           cbm_shape_equal(&a->input_shape, &b->input_shape) && a->variable[0] == b->variable[0] &&
           a->variable[1] == b->variable[1] &&
           (!a->has_target ||
            (a->target_dtype == b->target_dtype && cbm_shape_equal(&a->target_shape, &b->target_shape)));
}

static row *open_row(cbm_dataset *const *datasets, size_t count)
{
    cbm_heap *heap = cbm_context_heap(datasets[0]->cx);
    row *r = cbm_heap_take_zero(heap, sizeof *r);
    if (!r)
        return NULL;
    *r = (row){ heap, count, cbm_heap_take_zero(heap, count * sizeof *r->datasets),
                cbm_heap_take_zero(heap, count * sizeof *r->ends) };
    if (r->datasets && r->ends)
        return r;
    destroy_row(r);
    return NULL;
}

cbm_dataset *cbm_dataset_concat(cbm_dataset *const *datasets, size_t count)
{
    if (!datasets || !count || !usable(datasets[0]))
        return NULL;
    cbm_context *cx = datasets[0]->cx;
    for (size_t i = 0; i < count; ++i)
        if (!datasets[i] || !alike(datasets[0], datasets[i])) {
            cbm_fail(cx, datasets[i] ? CBM_ERROR_SHAPE : CBM_ERROR_INVALID, "[dataset] concat: dataset %zu %s", i,
                     datasets[i] ? "has samples of another shape or dtype than the first" : "is NULL");
            return NULL;
        }
    row *r = open_row(datasets, count);
    if (!r) {
        cbm_fail_memory(cx, "a dataset");
        return NULL;
    }
    cbm_dataset_options o = cbm_dataset_like(datasets[0]);
    o.count = 0;
    int64_t transforms = 0;
    bool fits = true;
    for (size_t i = 0; i < count; ++i) {
        const cbm_dataset *d = datasets[i];
        cbm_dataset_retain(datasets[i]);
        r->datasets[i] = datasets[i];
        fits = fits && !__builtin_add_overflow(o.count, d->count, &o.count);
        r->ends[i] = o.count;
        o.classes = d->classes > o.classes ? d->classes : o.classes;
        o.scratch_bytes = (int64_t)d->scratch_bytes > o.scratch_bytes ? (int64_t)d->scratch_bytes : o.scratch_bytes;
        transforms = d->transforms > transforms ? d->transforms : transforms;
    }
    if (!fits) {
        destroy_row(r);
        cbm_fail(cx, CBM_ERROR_INVALID, "[dataset] concat: too many samples");
        return NULL;
    }
    o.read = read_row;
    o.user = r;
    o.destroy = destroy_row;
    cbm_dataset *d = cbm_dataset_with(cx, &o);
    if (d)
        d->transforms = transforms;
    return d;
}

/* ---- at random ---- */

/* Keeps these random numbers apart from a loader's order of the same seed. */
#define STREAM 0x53504c4954u

/* All samples in an order from seed; to be given back. NULL after the error. */
static int64_t *shuffled(cbm_dataset *d, uint64_t seed)
{
    int64_t *order = cbm_heap_take(cbm_context_heap(d->cx), (size_t)d->count * sizeof *order + 1);
    if (order)
        cbm_philox_permutation(seed ^ STREAM, 0, order, d->count);
    else
        cbm_fail_memory(d->cx, "a split");
    return order;
}

static void put_back(const cbm_dataset *d, int64_t *order)
{
    cbm_heap_give(cbm_context_heap(d->cx), order, (size_t)d->count * sizeof *order + 1);
}

cbm_status cbm_dataset_split(cbm_dataset *d, const int64_t *sizes, size_t count, uint64_t seed, cbm_dataset **parts)
{
    int64_t left = d ? d->count : 0;
    for (size_t i = 0; i < count; ++i)
        parts[i] = NULL;
    if (!usable(d))
        return d ? cbm_context_status(d->cx) : CBM_ERROR_INVALID;
    for (size_t i = 0; i < count; ++i) {
        if (sizes[i] < 0 || sizes[i] > left)
            return cbm_fail(d->cx, CBM_ERROR_RANGE,
                            "[dataset] split: part %zu has %lld samples, and '%s' has %lld left", i,
                            (long long)sizes[i], d->name, (long long)left);
        left -= sizes[i];
    }
    int64_t *order = shuffled(d, seed), first = 0;
    for (size_t i = 0; order && i < count; first += sizes[i++])
        parts[i] = cbm_dataset_subset(d, order + first, sizes[i]);
    if (order)
        put_back(d, order);
    for (size_t i = 0; cbm_context_status(d->cx) != CBM_OK && i < count; ++i) {
        cbm_dataset_release(parts[i]);
        parts[i] = NULL;
    }
    return cbm_context_status(d->cx);
}

cbm_status cbm_dataset_fold(cbm_dataset *d, int64_t folds, int64_t fold, uint64_t seed, cbm_dataset **train,
                            cbm_dataset **validation)
{
    *train = *validation = NULL;
    if (!usable(d))
        return d ? cbm_context_status(d->cx) : CBM_ERROR_INVALID;
    if (folds < 2 || folds > d->count || fold < 0 || fold >= folds)
        return cbm_fail(d->cx, CBM_ERROR_RANGE, "[dataset] fold %lld of %lld of '%s', which has %lld samples",
                        (long long)fold, (long long)folds, d->name, (long long)d->count);
    const int64_t even = d->count / folds, longer = d->count % folds;
    const int64_t first = fold * even + (fold < longer ? fold : longer), size = even + (fold < longer);
    int64_t *order = shuffled(d, seed);
    if (!order)
        return cbm_context_status(d->cx);
    *validation = cbm_dataset_subset(d, order + first, size);
    memmove(order + first, order + first + size, (size_t)(d->count - first - size) * sizeof *order);
    *train = *validation ? cbm_dataset_subset(d, order, d->count - size) : NULL;
    put_back(d, order);
    if (!*train) {
        cbm_dataset_release(*validation);
        *validation = NULL;
    }
    return cbm_context_status(d->cx);
}
