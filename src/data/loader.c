/* loader.c: batches of a dataset, read ahead by worker threads. The context's thread decides which samples go into which
   batch and gives slots (memory for one batch) to a queue; workers only fill slots and never touch the context; batches
   are handed out in order, whichever worker was first, so that workers change speed and nothing else. Rests on dataset.h,
   tensor and POSIX threads. */
#include "data/loader.h"
#include "data/dataset.h"
#include "tensor/context.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ALIGNMENT 64u
#define WORKERS_MAX 256
#define PREFETCH_MAX 4096

typedef enum slot_state {
    SLOT_FREE,
    SLOT_QUEUED, /* in the queue, no worker has it yet */
    SLOT_FILLING,
    SLOT_READY,
    SLOT_LENT    /* tensors stand on its memory */
} slot_state;

/* Memory for one batch: this header, the samples' indices, inputs, targets. */
typedef struct slot {
    struct pool *pool;
    struct slot *next;     /* in the queue, or in the free list */
    slot_state state;      /* guarded by the pool's mutex while workers run */
    int lent;              /* tensors that stand on it */
    int64_t size, index, epoch;
    uint64_t seed;
    int64_t *samples;
    uint8_t *input, *target;
    cbm_status status;     /* of filling it */
    int64_t failed_sample;
    char message[256];
} slot;

/* The slots and what the workers share. It outlives the loader while tensors stand on its slots. */
typedef struct pool {
    cbm_heap *heap;
    cbm_dataset *dataset;
    size_t slot_bytes, input_at, target_at;
    int64_t refs;              /* the loader, and each lent slot */
    bool closed;               /* the loader is gone: slots that come back are freed */
    slot *free;
    slot *first, *last;        /* issued slots, in order of their batches */
    slot *todo;                /* the first of them that no worker has taken */
    int64_t issued;
    pthread_mutex_t mutex;
    pthread_cond_t work, done; /* something queued or stop; some slot ready */
    bool stop;
} pool;

struct cbm_loader {
    cbm_context *cx;
    cbm_dataset *dataset;
    pool *pool;
    int64_t batch_size, batches, prefetch;
    bool shuffle, drop_last;
    uint64_t seed;
    int64_t epoch, batch;             /* handed out so far: the position */
    int64_t issue_epoch, issue_batch; /* the next batch to be queued; never past the end of epoch + 1 */
    int64_t *order;                   /* of issue_epoch, when shuffled */
    int64_t order_epoch;
    slot *current;                    /* lent to the user */
    cbm_tensor *input, *target;
    int64_t workers;                  /* running */
    pthread_t *threads;
    int64_t thread_room;
};

/* ---- filling a slot: any thread ---- */

static void fill(const pool *p, slot *s)
{
    const cbm_dataset *d = p->dataset;
    s->status = CBM_OK;
    for (int64_t i = 0; i < s->size && s->status == CBM_OK; ++i) {
        cbm_sample_request sample = { .index = s->samples[i], .epoch = s->epoch, .seed = s->seed,
                              .input = s->input + (size_t)i * d->input_bytes,
                              .target = d->has_target ? s->target + (size_t)i * d->target_bytes : NULL,
                              .message = s->message };
        s->status = cbm_dataset_read(d, &sample);
        s->failed_sample = s->samples[i];
    }
}

static void *work(void *user)
{
    pool *p = user;
    pthread_mutex_lock(&p->mutex);
    while (!p->stop) {
        slot *s = p->todo;
        if (!s) {
            pthread_cond_wait(&p->work, &p->mutex);
            continue;
        }
        p->todo = s->next;
        s->state = SLOT_FILLING;
        pthread_mutex_unlock(&p->mutex);
        fill(p, s);
        pthread_mutex_lock(&p->mutex);
        s->state = SLOT_READY;
        pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* ---- slots: the context's thread ---- */

static void slot_free(slot *s)
{
    cbm_heap_give(s->pool->heap, s, s->pool->slot_bytes);
}

static void pool_drop(pool *p)
{
    if (--p->refs > 0)
        return;
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->mutex);
    cbm_heap_give(p->heap, p, sizeof *p);
}

static slot *slot_take(pool *p)
{
    slot *s = p->free;
    if (s) {
        p->free = s->next;
        return s;
    }
    uint8_t *memory = cbm_heap_take(p->heap, p->slot_bytes);
    if (!memory)
        return NULL;
    s = (slot *)memory;
    *s = (slot){ .pool = p, .samples = (int64_t *)(memory + ALIGNMENT * ((sizeof *s + ALIGNMENT - 1) / ALIGNMENT)),
                 .input = memory + p->input_at, .target = memory + p->target_at };
    return s;
}

static void slot_return(slot *s)
{
    pool *p = s->pool;
    s->state = SLOT_FREE;
    if (p->closed) {
        slot_free(s);
        return;
    }
    s->next = p->free;
    p->free = s;
}

/* Release of a tensor over a slot. */
static void unlend(void *data, void *user)
{
    (void)data;
    slot *s = user;
    pool *p = s->pool;
    if (--s->lent > 0)
        return;
    slot_return(s);
    pool_drop(p);
}

/* ---- the queue ---- */

static int64_t batch_samples(const cbm_loader *l, int64_t batch)
{
    int64_t left = l->dataset->count - batch * l->batch_size;
    return left < l->batch_size ? left : l->batch_size;
}

static void choose_samples(cbm_loader *l, slot *s)
{
    int64_t first = s->index * l->batch_size;
    if (l->shuffle && l->order_epoch != s->epoch) {
        cbm_philox_permutation(l->seed, (uint64_t)s->epoch, l->order, l->dataset->count);
        l->order_epoch = s->epoch;
    }
    for (int64_t i = 0; i < s->size; ++i)
        s->samples[i] = l->shuffle ? l->order[first + i] : first + i;
}

/* Queues the next batch. false: no memory for its slot. */
static bool issue(cbm_loader *l)
{
    pool *p = l->pool;
    slot *s = slot_take(p);
    if (!s)
        return false;
    s->epoch = l->issue_epoch;
    s->index = l->issue_batch;
    s->seed = l->seed;
    s->size = batch_samples(l, s->index);
    choose_samples(l, s);
    if (++l->issue_batch >= l->batches) {
        l->issue_batch = 0;
        ++l->issue_epoch;
    }
    s->next = NULL;
    s->state = SLOT_QUEUED;
    pthread_mutex_lock(&p->mutex);
    if (p->last)
        p->last->next = s;
    else
        p->first = s;
    p->last = s;
    if (!p->todo)
        p->todo = s;
    ++p->issued;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->mutex);
    return true;
}

static void read_ahead(cbm_loader *l)
{
    while (l->workers > 0 && l->pool->issued < l->prefetch && issue(l)) {
    }
}

/* Takes the first issued slot out of the queue, filled: by a worker, or here when there is none. */
static slot *take_first(cbm_loader *l)
{
    pool *p = l->pool;
    pthread_mutex_lock(&p->mutex);
    slot *s = p->first;
    if (s->state == SLOT_QUEUED && (l->workers == 0 || p->todo == s)) {
        /* Nobody has begun it: filling it here is never slower than waiting for somebody to wake up. */
        p->todo = s->next;
        s->state = SLOT_FILLING;
        pthread_mutex_unlock(&p->mutex);
        fill(p, s);
        pthread_mutex_lock(&p->mutex);
    } else {
        while (s->state != SLOT_READY)
            pthread_cond_wait(&p->done, &p->mutex);
    }
    p->first = s->next;
    if (!p->first)
        p->last = NULL;
    --p->issued;
    pthread_mutex_unlock(&p->mutex);
    return s;
}

/* Takes back everything issued but not handed out; waits for slots that workers are filling. */
static void withdraw(cbm_loader *l)
{
    pool *p = l->pool;
    pthread_mutex_lock(&p->mutex);
    p->todo = NULL;
    while (p->first) {
        slot *s = p->first;
        while (s->state == SLOT_FILLING)
            pthread_cond_wait(&p->done, &p->mutex);
        p->first = s->next;
        slot_return(s);
    }
    p->last = NULL;
    p->issued = 0;
    pthread_mutex_unlock(&p->mutex);
    l->issue_epoch = l->epoch;
    l->issue_batch = l->batch;
}

/* ---- handing out ---- */

static void release_current(cbm_loader *l)
{
    cbm_set(&l->input, NULL);
    cbm_set(&l->target, NULL);
    l->current = NULL;
}

/* One tensor over memory of s. The slot counts it only if it was made. */
static cbm_tensor *lend(cbm_loader *l, slot *s, cbm_dtype dtype, const cbm_shape *row, void *memory)
{
    cbm_shape shape = { { row->v[0] + 1, s->size } };
    memcpy(&shape.v[2], &row->v[1], (size_t)row->v[0] * sizeof row->v[1]);
    int before = s->lent++;
    cbm_tensor *t = cbm_tensor_borrow(l->cx, dtype, shape, memory, unlend, s);
    if (cbm_tensor_failed(t))
        s->lent = before; /* whether or not unlend was called on the way */
    return t;
}

/* A filled slot that could not be handed out waits in front of the queue: nothing is consumed. */
static void put_back(cbm_loader *l, slot *s)
{
    pool *p = l->pool;
    s->lent = 0;
    --p->refs;
    pthread_mutex_lock(&p->mutex);
    s->state = SLOT_READY;
    s->next = p->first;
    p->first = s;
    if (!p->last)
        p->last = s;
    ++p->issued;
    pthread_mutex_unlock(&p->mutex);
    --l->batch;
}

/* Tensors over a filled slot, held by the loader and by no scope. */
static bool hand_out(cbm_loader *l, slot *s, cbm_batch *batch)
{
    const cbm_dataset *d = l->dataset;
    cbm_scope_options quiet = { .struct_size = sizeof quiet, .quiet = 1 };
    s->state = SLOT_LENT;
    s->lent = 1; /* ours, while we look */
    ++l->pool->refs;
    cbm_scope *scope = cbm_scope_begin_with(l->cx, &quiet);
    cbm_tensor *input = lend(l, s, d->input_dtype, &d->input_shape, s->input);
    cbm_tensor *target = d->has_target ? lend(l, s, d->target_dtype, &d->target_shape, s->target) : NULL;
    bool fine = cbm_context_status(l->cx) == CBM_OK;
    if (fine) {
        cbm_set(&l->input, input);
        cbm_set(&l->target, target);
        l->current = s;
        *batch = (cbm_batch){ l->input, l->target, s->size, s->index, s->epoch, s->samples };
    }
    cbm_scope_end(scope);
    if (fine)
        unlend(NULL, s);
    else
        put_back(l, s);
    return fine;
}

static void fail_sample(cbm_loader *l, const slot *s)
{
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
    if (l->pool->issued == 0 && !issue(l)) {
        cbm_fail_memory(l->cx, "a batch");
        return false;
    }
    read_ahead(l);
    slot *s = take_first(l);
    read_ahead(l);
    ++l->batch;
    if (s->status != CBM_OK) {
        fail_sample(l, s);
        slot_return(s);
        return false;
    }
    return hand_out(l, s, batch);
}

/* ---- opening and closing ---- */

static void start_workers(cbm_loader *l, int64_t workers)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* workers inherit it: signals go to the program's own threads */
    while (l->workers < workers && pthread_create(&l->threads[l->workers], NULL, work, l->pool) == 0)
        ++l->workers; /* fewer threads than asked for is slower, not wrong */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_workers(cbm_loader *l)
{
    pool *p = l->pool;
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (int64_t i = 0; i < l->workers; ++i)
        pthread_join(l->threads[i], NULL);
    l->workers = 0;
}

/* In a forked child the workers do not exist, and the mutex may be held by one of them for ever: slots that they were
   filling and the lock are left as they are. */
static void abandon(cbm_loader *l)
{
    l->pool->first = l->pool->last = l->pool->todo = NULL;
    l->workers = 0;
    ++l->pool->refs;
}

static void destroy(void *object)
{
    cbm_loader *l = object;
    cbm_heap *heap = cbm_context_heap(l->cx);
    pool *p = l->pool;
    if (p) {
        if (l->cx->generation != cbm_fork_generation()) {
            abandon(l);
        } else {
            stop_workers(l);
            withdraw(l);
        }
        release_current(l);
        p->closed = true;
        for (slot *s = p->free, *next; s; s = next) {
            next = s->next;
            slot_free(s);
        }
        p->free = NULL;
        pool_drop(p);
    }
    cbm_heap_give(heap, l->order, (size_t)l->dataset->count * sizeof *l->order);
    cbm_heap_give(heap, l->threads, (size_t)l->thread_room * sizeof *l->threads);
    cbm_dataset_drop(l->dataset);
    cbm_heap_give(heap, l, sizeof *l);
}

/* bytes = count * each, rounded up to the alignment, added to *total. */
static bool add_bytes(size_t *total, int64_t count, size_t each)
{
    size_t bytes;
    return !__builtin_mul_overflow((size_t)count, each, &bytes) && !__builtin_add_overflow(bytes, ALIGNMENT - 1, &bytes) &&
           !__builtin_add_overflow(*total, bytes / ALIGNMENT * ALIGNMENT, total) && *total < SIZE_MAX / 2;
}

static bool make_pool(cbm_loader *l)
{
    pool *p = cbm_heap_take_zero(cbm_context_heap(l->cx), sizeof *p);
    if (!p)
        return false;
    size_t total = 0;
    bool fine = add_bytes(&total, 1, sizeof(slot)) && add_bytes(&total, l->batch_size, sizeof(int64_t));
    p->input_at = total;
    fine = fine && add_bytes(&total, l->batch_size, l->dataset->input_bytes);
    p->target_at = total;
    fine = fine && add_bytes(&total, l->batch_size, l->dataset->target_bytes) && add_bytes(&total, 1, 1);
    if (!fine) {
        cbm_heap_give(cbm_context_heap(l->cx), p, sizeof *p);
        return false;
    }
    p->slot_bytes = total;
    p->heap = cbm_context_heap(l->cx);
    p->dataset = l->dataset;
    p->refs = 1;
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    l->pool = p;
    return true;
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
    if (o->drop_last && d->count < o->batch_size)
        return cbm_fail(d->cx, CBM_ERROR_INVALID, "[loader] drop_last leaves nothing: '%s' has %lld samples, a batch %lld",
                        d->name, (long long)d->count, (long long)o->batch_size);
    return CBM_OK;
}

static bool furnish(cbm_loader *l)
{
    cbm_heap *heap = cbm_context_heap(l->cx);
    if (l->shuffle && !(l->order = cbm_heap_take(heap, (size_t)l->dataset->count * sizeof *l->order)))
        return false;
    if (l->thread_room > 0 && !(l->threads = cbm_heap_take(heap, (size_t)l->thread_room * sizeof *l->threads)))
        return false;
    return make_pool(l);
}

cbm_loader *cbm_loader_open_with(cbm_dataset *dataset, const cbm_loader_options *options)
{
    if (!dataset || cbm_context_status(dataset->cx) != CBM_OK)
        return NULL;
    cbm_loader_options o = { CBM_LOADER_DEFAULTS };
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
    int64_t size = o.batch_size < dataset->count ? o.batch_size : dataset->count;
    *l = (cbm_loader){ .cx = cx, .dataset = dataset, .batch_size = size, .shuffle = o.shuffle != 0,
                       .drop_last = o.drop_last != 0, .seed = o.seed, .order_epoch = -1, .thread_room = o.workers,
                       .batches = dataset->count / size + (!o.drop_last && dataset->count % size != 0),
                       .prefetch = o.prefetch ? o.prefetch : 2 * (o.workers ? o.workers : 1) };
    cbm_dataset_retain(dataset);
    if (!furnish(l))
        cbm_fail_memory(cx, "a loader");
    if (cbm_context_status(cx) == CBM_OK && cbm_context_own(cx, l, destroy)) {
        start_workers(l, o.workers);
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
    return loader->drop_last ? loader->batches * loader->batch_size : loader->dataset->count;
}

int64_t cbm_loader_batch_size(const cbm_loader *loader)
{
    return loader ? loader->batch_size : 0;
}

cbm_dataset *cbm_loader_dataset(const cbm_loader *loader)
{
    return loader ? loader->dataset : NULL;
}

cbm_loader_position cbm_loader_state(const cbm_loader *l)
{
    if (!l)
        return (cbm_loader_position){ 0 };
    return (cbm_loader_position){ .epoch = l->epoch, .batch = l->batch, .seed = l->seed, .batch_size = l->batch_size,
                                  .samples = l->dataset->count, .shuffle = l->shuffle, .drop_last = l->drop_last };
}

bool cbm_loader_fits(const cbm_loader *l, const cbm_loader_position *p, char *why, size_t size)
{
    const struct {
        const char *name;
        int64_t here, there;
    } same[] = {
        { "samples", l->dataset->count, p->samples },
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
        l->order_epoch = -1;
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
