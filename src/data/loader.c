/* loader.c: batches of a dataset. The context's thread decides which samples go into which batch and queues slots for the
   workers (pool.c); batches are handed out in order, whichever worker was first, so that workers change speed and nothing
   else. Rests on pool.h and tensor. */
#include "data/loader.h"
#include "data/pool.h"
#include "data/sampler.h"
#include "tensor/context.h"
#include <stdio.h>
#include <string.h>

#define WORKERS_MAX 256
#define PREFETCH_MAX 4096

struct cbm_loader {
    cbm_context *cx;
    cbm_dataset *dataset;
    cbm_pool *pool;
    int64_t batch_size, batches, prefetch;
    bool shuffle, drop_last;
    uint64_t seed;
    int64_t epoch, batch;             /* the position: batches of epoch handed out */
    int64_t issue_epoch, issue_batch; /* the next batch to be queued */
    cbm_sampler sampler;
    cbm_tensor *input, *target; /* lent to the user */
    cbm_tensor *input_lengths, *target_lengths;
};

/* ---- which samples, and when ---- */

static int64_t batch_samples(const cbm_loader *l, int64_t batch)
{
    int64_t left = l->sampler.share - batch * l->batch_size;
    return left < l->batch_size ? left : l->batch_size;
}

/* Queues the next batch; one whose samples cannot be chosen is queued as failed. false: no memory for its slot. */
static bool issue(cbm_loader *l)
{
    cbm_pool *p = l->pool;
    cbm_slot *s = cbm_slot_take(p);
    if (!s)
        return false;
    s->epoch = l->issue_epoch;
    s->index = l->issue_batch;
    s->seed = l->seed;
    s->size = batch_samples(l, s->index);
    s->failed_sample = -1;
    s->status =
        cbm_sampler_choose(&l->sampler, l->seed, s->epoch, s->index * l->batch_size, s->size, s->samples, s->message);
    if (++l->issue_batch >= l->batches) {
        l->issue_batch = 0;
        ++l->issue_epoch;
    }
    cbm_pool_queue(p, s);
    return true;
}

static void read_ahead(cbm_loader *l)
{
    while (l->pool->workers > 0 && l->pool->queued < l->prefetch && issue(l)) {
    }
}

/* Forgets what was read ahead: the next batch to be queued is the next to be handed out. */
static void withdraw(cbm_loader *l)
{
    cbm_pool_withdraw(l->pool);
    l->issue_epoch = l->epoch;
    l->issue_batch = l->batch;
}

/* ---- handing out ---- */

static void release_current(cbm_loader *l)
{
    cbm_tensor **lent[] = { &l->input, &l->target, &l->input_lengths, &l->target_lengths };
    for (size_t i = 0; i < sizeof lent / sizeof *lent; ++i)
        cbm_set(lent[i], NULL);
}

/* One tensor over memory of s. The slot counts it only if it was made. longest: the extent of rows' first axis; -1: row's. */
static cbm_tensor *lend(cbm_loader *l, cbm_slot *s, cbm_dtype dtype, const cbm_shape *row, int64_t longest,
                        void *memory)
{
    cbm_shape shape = { { row->v[0] + 1, s->size } };
    memcpy(&shape.v[2], &row->v[1], (size_t)row->v[0] * sizeof row->v[1]);
    if (longest >= 0)
        shape.v[2] = longest;
    int before = s->lent;
    cbm_slot_lend(s);
    cbm_tensor *t = cbm_tensor_borrow(l->cx, dtype, shape, memory, cbm_slot_unlend, s);
    if (cbm_tensor_failed(t))
        s->lent = before; /* whether or not it was released on the way */
    return t;
}

/* Tensors over a filled slot, held by the loader and by no scope. On failure the slot waits in front of the queue: nothing
   is consumed. */
static bool hand_out(cbm_loader *l, cbm_slot *s, cbm_batch *batch)
{
    const cbm_dataset *d = l->dataset;
    cbm_scope_options quiet = { .struct_size = sizeof quiet, .quiet = 1 };
    cbm_slot_lend(s); /* ours, while we look */
    cbm_scope *scope = cbm_scope_begin_with(l->cx, &quiet);
    const cbm_shape one = { { 0 } };
    cbm_tensor *input = lend(l, s, d->input_dtype, &d->input_shape, s->longest[0], s->input);
    cbm_tensor *target = d->has_target ? lend(l, s, d->target_dtype, &d->target_shape, s->longest[1], s->target) : NULL;
    cbm_tensor *lengths[2] = { NULL, NULL };
    for (int i = 0; i < 2; ++i)
        if (d->variable[i])
            lengths[i] = lend(l, s, CBM_I64, &one, -1, s->lengths[i]);
    bool fine = cbm_context_status(l->cx) == CBM_OK;
    if (fine) {
        cbm_set(&l->input, input);
        cbm_set(&l->target, target);
        cbm_set(&l->input_lengths, lengths[0]);
        cbm_set(&l->target_lengths, lengths[1]);
        *batch = (cbm_batch){ l->input, l->target,  s->size,          s->index,
                              s->epoch, s->samples, l->input_lengths, l->target_lengths };
    }
    cbm_scope_end(scope);
    if (fine) {
        cbm_slot_unlend(NULL, s);
    } else {
        cbm_slot_unlend_none(s);
        cbm_pool_put_back(l->pool, s);
        --l->pool->loading.batches;
        --l->batch;
    }
    return fine;
}

static void fail_sample(cbm_loader *l, const cbm_slot *s)
{
    if (s->failed_sample < 0) {
        cbm_fail(l->cx, s->status, "[loader] the order of epoch %lld of '%s': %.255s", (long long)s->epoch,
                 l->dataset->name, s->message[0] ? s->message : cbm_status_name(s->status));
        return;
    }
    cbm_fail(l->cx, s->status, "[loader] sample %lld of '%s': %.255s", (long long)s->failed_sample, l->dataset->name,
             s->message[0] ? s->message : cbm_status_name(s->status));
}

bool cbm_next(cbm_loader *l, cbm_batch *batch)
{
    *batch = (cbm_batch){ 0 };
    if (!l || !cbm_context_ready(l->cx))
        return false;
    release_current(l);
    if (l->batch >= l->batches) { /* the end of this epoch; the next one is read ahead already */
        l->batch = 0;
        ++l->epoch;
        return false;
    }
    if (l->pool->queued == 0 && !issue(l)) {
        cbm_fail_memory(l->cx, "a batch");
        return false;
    }
    read_ahead(l);
    cbm_slot *s = cbm_pool_first(l->pool);
    read_ahead(l);
    ++l->batch;
    if (s->status != CBM_OK) {
        fail_sample(l, s);
        cbm_slot_return(s);
        return false;
    }
    return hand_out(l, s, batch);
}

/* ---- opening and closing ---- */

static void destroy(void *object)
{
    cbm_loader *l = object;
    cbm_heap *heap = cbm_context_heap(l->cx);
    release_current(l);
    if (l->pool)
        cbm_pool_close(l->pool, l->cx->generation != cbm_fork_generation());
    cbm_sampler_close(&l->sampler);
    cbm_dataset_drop(l->dataset);
    cbm_heap_give(heap, l, sizeof *l);
}

static cbm_status check(const cbm_dataset *d, const cbm_loader_options *o)
{
    if (d->count == 0)
        return cbm_fail(d->cx, CBM_ERROR_INVALID, "[loader] the dataset '%s' is empty", d->name);
    if (o->batch_size < 1)
        return cbm_fail(d->cx, CBM_ERROR_INVALID, "[loader] batch_size is %lld; it must be at least 1",
                        (long long)o->batch_size);
    if (o->workers < 0 || o->workers > WORKERS_MAX || o->prefetch < 0 || o->prefetch > PREFETCH_MAX)
        return cbm_fail(d->cx, CBM_ERROR_INVALID, "[loader] workers must be 0 to %d, prefetch 0 to %d", WORKERS_MAX,
                        PREFETCH_MAX);
    return CBM_OK;
}

/* Batches of the sampler's share. */
static cbm_status count_batches(cbm_loader *l)
{
    const int64_t samples = l->sampler.share;
    if (l->drop_last && samples < l->batch_size)
        return cbm_fail(l->cx, CBM_ERROR_INVALID,
                        "[loader] drop_last leaves nothing: '%s' has %lld samples, a batch %lld", l->dataset->name,
                        (long long)samples, (long long)l->batch_size);
    l->batch_size = l->batch_size < samples ? l->batch_size : samples;
    l->batches = samples / l->batch_size + (!l->drop_last && samples % l->batch_size != 0);
    return CBM_OK;
}

static void furnish(cbm_loader *l, const cbm_loader_options *o)
{
    if (!cbm_sampler_open(&l->sampler, l->dataset, o) || count_batches(l) != CBM_OK)
        return;
    l->pool = cbm_pool_open(cbm_context_heap(l->cx), l->dataset, l->batch_size, o->workers);
    if (!l->pool)
        cbm_fail_memory(l->cx, "a loader");
}

void cbm_loader_options_init(cbm_loader_options *options)
{
    *options = (cbm_loader_options){ .struct_size = sizeof *options, CBM_LOADER_DEFAULTS };
}

cbm_loader *cbm_loader_open_with(cbm_dataset *dataset, const cbm_loader_options *options)
{
    if (!dataset || cbm_context_status(dataset->cx) != CBM_OK)
        return NULL;
    cbm_loader_options o;
    cbm_loader_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    cbm_context *cx = dataset->cx;
    if (check(dataset, &o) != CBM_OK)
        return NULL;
    cbm_loader *l = cbm_heap_take_zero(cbm_context_heap(cx), sizeof *l);
    if (!l) {
        cbm_fail_memory(cx, "a loader");
        return NULL;
    }
    *l = (cbm_loader){ .cx = cx,
                       .dataset = dataset,
                       .batch_size = o.batch_size,
                       .shuffle = o.shuffle != 0,
                       .drop_last = o.drop_last != 0,
                       .seed = o.seed,
                       .prefetch = o.prefetch ? o.prefetch : 2 * (o.workers ? o.workers : 1) };
    cbm_dataset_retain(dataset);
    furnish(l, &o);
    if (cbm_context_status(cx) == CBM_OK && cbm_context_own(cx, l, destroy)) {
        cbm_pool_start(l->pool);
        return l;
    }
    destroy(l);
    return NULL;
}

void cbm_loader_close(cbm_loader *loader)
{
    if (!loader)
        return;
    cbm_context_disown(loader->cx, loader);
    destroy(loader);
}

/* ---- position ---- */

int64_t cbm_loader_batches(const cbm_loader *loader)
{
    return loader ? loader->batches : 0;
}

int64_t cbm_loader_samples(const cbm_loader *loader)
{
    if (!loader)
        return 0;
    return loader->drop_last ? loader->batches * loader->batch_size : loader->sampler.share;
}

int64_t cbm_loader_batch_size(const cbm_loader *loader)
{
    return loader ? loader->batch_size : 0;
}

cbm_dataset *cbm_loader_dataset(const cbm_loader *loader)
{
    return loader ? loader->dataset : NULL;
}

cbm_loading cbm_loader_statistics(const cbm_loader *loader)
{
    return loader ? loader->pool->loading : (cbm_loading){ 0 };
}

cbm_loader_position cbm_loader_state(const cbm_loader *l)
{
    if (!l)
        return (cbm_loader_position){ 0 };
    return (cbm_loader_position){ .epoch = l->epoch,
                                  .batch = l->batch,
                                  .seed = l->seed,
                                  .batch_size = l->batch_size,
                                  .samples = l->sampler.share,
                                  .shuffle = l->shuffle,
                                  .drop_last = l->drop_last };
}

bool cbm_loader_fits(const cbm_loader *l, const cbm_loader_position *p, char *why, size_t size)
{
    const struct {
        const char *name;
        int64_t here, there;
    } same[] = {
        { "samples", l->sampler.share, p->samples },
        { "batch_size", l->batch_size, p->batch_size },
        { "shuffle", l->shuffle, p->shuffle != 0 },
        { "drop_last", l->drop_last, p->drop_last != 0 },
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; ++i)
        if (same[i].here != same[i].there) {
            snprintf(why, size, "the position is that of a loader with %s %lld; this one has %lld", same[i].name,
                     (long long)same[i].there, (long long)same[i].here);
            return false;
        }
    if (p->epoch < 0 || p->epoch == INT64_MAX || p->batch < 0 || p->batch > l->batches) {
        snprintf(why, size, "batch %lld of epoch %lld is no position in epochs of %lld batches", (long long)p->batch,
                 (long long)p->epoch, (long long)l->batches);
        return false;
    }
    return true;
}

static void move_to(cbm_loader *l, uint64_t seed, int64_t epoch, int64_t batch)
{
    release_current(l);
    if (seed != l->seed)
        l->sampler.epoch = -1;
    l->seed = seed;
    l->epoch = epoch;
    l->batch = batch;
    withdraw(l);
    if (batch >= l->batches) { /* behind the last batch: the next one to read is in the next epoch */
        l->issue_epoch = epoch + 1;
        l->issue_batch = 0;
    }
}

cbm_status cbm_loader_set_state(cbm_loader *loader, const cbm_loader_position *position)
{
    char why[200];
    if (!loader || cbm_context_status(loader->cx) != CBM_OK)
        return loader ? cbm_context_status(loader->cx) : CBM_ERROR_INVALID;
    if (!position || !cbm_loader_fits(loader, position, why, sizeof why))
        return cbm_fail(loader->cx, CBM_ERROR_INVALID, "[loader] %s", position ? why : "position is NULL");
    move_to(loader, position->seed, position->epoch, position->batch);
    return CBM_OK;
}

void cbm_loader_rewind(cbm_loader *loader, int64_t epoch)
{
    if (loader && epoch >= 0 && epoch < INT64_MAX)
        move_to(loader, loader->seed, epoch, 0);
}
