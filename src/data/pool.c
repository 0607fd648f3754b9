/* pool.c: memory for batches, and the threads that fill it. Workers take slots from the queue in order, read samples into
   them and mark them ready; they touch neither the context nor its heap. Rests on pool.h. */
#include "data/pool.h"
#include <signal.h>
#include <string.h>

#define ALIGNMENT 64u

/* ---- filling a slot: any thread ---- */

/* thread: 0 is the context's, 1 the first worker. */
static void fill(const cbm_pool *p, cbm_slot *s, int64_t thread)
{
    const cbm_dataset *d = p->dataset;
    const int64_t whole[2] = { d->input_shape.v[1], d->target_shape.v[1] };
    for (int64_t i = 0; i < s->size && s->status == CBM_OK; ++i) {
        cbm_sample_request sample = { .index = s->samples[i],
                                      .epoch = s->epoch,
                                      .seed = s->seed,
                                      .input = s->input + (size_t)i * d->input_bytes,
                                      .target = d->has_target ? s->target + (size_t)i * d->target_bytes : NULL,
                                      .message = s->message,
                                      .input_length = &s->lengths[0][d->variable[0] ? i : 0],
                                      .target_length = &s->lengths[1][d->variable[1] ? i : 0],
                                      .scratch = p->scratch + (size_t)thread * d->scratch_bytes };
        *sample.input_length = whole[0];
        *sample.target_length = whole[1];
        s->status = cbm_dataset_read(d, &sample);
        s->failed_sample = s->samples[i];
    }
    cbm_collate(d, s);
}

static void *work(void *user)
{
    cbm_pool *p = user;
    pthread_mutex_lock(&p->mutex);
    int64_t thread = ++p->begun;
    while (!p->stop) {
        cbm_slot *s = p->todo;
        if (!s) {
            pthread_cond_wait(&p->work, &p->mutex);
            continue;
        }
        p->todo = s->next;
        s->state = CBM_SLOT_FILLING;
        pthread_mutex_unlock(&p->mutex);
        fill(p, s, thread);
        pthread_mutex_lock(&p->mutex);
        s->state = CBM_SLOT_READY;
        pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

void cbm_pool_start(cbm_pool *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* workers inherit it: signals go to the program's own threads */
    while (p->workers < p->thread_room && pthread_create(&p->threads[p->workers], NULL, work, p) == 0)
        ++p->workers; /* fewer threads than asked for is slower, not wrong */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop(cbm_pool *p)
{
    pthread_mutex_lock(&p->mutex);
    p->stop = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mutex);
    for (int64_t i = 0; i < p->workers; ++i)
        pthread_join(p->threads[i], NULL);
    p->workers = 0;
}

/* ---- slots ---- */

static void slot_free(cbm_slot *s)
{
    cbm_heap_give(s->pool->heap, s, s->pool->slot_bytes);
}

static void drop(cbm_pool *p)
{
    if (--p->refs > 0)
        return;
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->done);
    pthread_mutex_destroy(&p->mutex);
    cbm_heap_give(p->heap, p, sizeof *p);
}

cbm_slot *cbm_slot_take(cbm_pool *p)
{
    cbm_slot *s = p->free;
    if (s) {
        p->free = s->next;
        return s;
    }
    uint8_t *memory = cbm_heap_take(p->heap, p->slot_bytes);
    if (!memory)
        return NULL;
    s = (cbm_slot *)(void *)memory;
    *s = (cbm_slot){ .pool = p,
                     .input = memory + p->input_at,
                     .target = memory + p->target_at,
                     .lengths = { (int64_t *)(void *)(memory + p->lengths_at[0]),
                                  (int64_t *)(void *)(memory + p->lengths_at[1]) },
                     .samples = (int64_t *)(void *)(memory + (sizeof *s + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT) };
    return s;
}

void cbm_slot_return(cbm_slot *s)
{
    cbm_pool *p = s->pool;
    s->state = CBM_SLOT_FREE;
    if (p->closed) {
        slot_free(s);
        return;
    }
    s->next = p->free;
    p->free = s;
}

void cbm_slot_lend(cbm_slot *s)
{
    s->state = CBM_SLOT_LENT;
    if (s->lent++ == 0)
        ++s->pool->refs;
}

void cbm_slot_unlend(void *memory, void *slot)
{
    (void)memory;
    cbm_slot *s = slot;
    cbm_pool *p = s->pool;
    if (--s->lent > 0)
        return;
    cbm_slot_return(s);
    drop(p);
}

void cbm_slot_unlend_none(cbm_slot *s)
{
    s->lent = 0;
    --s->pool->refs; /* never the last: its loader holds one */
}

/* ---- the queue ---- */

void cbm_pool_queue(cbm_pool *p, cbm_slot *s)
{
    s->next = NULL;
    s->state = CBM_SLOT_QUEUED;
    pthread_mutex_lock(&p->mutex);
    if (p->last)
        p->last->next = s;
    else
        p->first = s;
    p->last = s;
    if (!p->todo)
        p->todo = s;
    ++p->queued;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->mutex);
}

static void note_wait(cbm_loading *l, double began)
{
    double took = cbm_seconds() - began;
    ++l->waits;
    l->wait_seconds += took;
    l->longest_wait = took > l->longest_wait ? took : l->longest_wait;
}

cbm_slot *cbm_pool_first(cbm_pool *p)
{
    pthread_mutex_lock(&p->mutex);
    cbm_slot *s = p->first;
    bool ready = s->state == CBM_SLOT_READY;
    double began = ready ? 0 : cbm_seconds();
    if (s->state == CBM_SLOT_QUEUED) {
        /* Nobody has begun it: filling it here is never slower than waiting for somebody to wake up. */
        p->todo = s->next;
        s->state = CBM_SLOT_FILLING;
        pthread_mutex_unlock(&p->mutex);
        fill(p, s, 0);
        pthread_mutex_lock(&p->mutex);
    } else {
        while (s->state != CBM_SLOT_READY)
            pthread_cond_wait(&p->done, &p->mutex);
    }
    p->first = s->next;
    if (!p->first)
        p->last = NULL;
    --p->queued;
    pthread_mutex_unlock(&p->mutex);
    if (!ready)
        note_wait(&p->loading, began);
    ++p->loading.batches;
    return s;
}

void cbm_pool_put_back(cbm_pool *p, cbm_slot *s)
{
    pthread_mutex_lock(&p->mutex);
    s->state = CBM_SLOT_READY;
    s->next = p->first;
    p->first = s;
    if (!p->last)
        p->last = s;
    ++p->queued;
    pthread_mutex_unlock(&p->mutex);
}

void cbm_pool_withdraw(cbm_pool *p)
{
    pthread_mutex_lock(&p->mutex);
    p->todo = NULL;
    while (p->first) {
        cbm_slot *s = p->first;
        while (s->state == CBM_SLOT_FILLING)
            pthread_cond_wait(&p->done, &p->mutex);
        p->first = s->next;
        cbm_slot_return(s);
    }
    p->last = NULL;
    p->queued = 0;
    pthread_mutex_unlock(&p->mutex);
}

/* ---- opening and closing ---- */

/* Adds count * each, rounded up to the alignment. */
static bool add_bytes(size_t *total, int64_t count, size_t each)
{
    size_t bytes;
    return !__builtin_mul_overflow((size_t)count, each, &bytes) &&
           !__builtin_add_overflow(bytes, ALIGNMENT - 1, &bytes) &&
           !__builtin_add_overflow(*total, bytes / ALIGNMENT * ALIGNMENT, total) && *total < SIZE_MAX / 2;
}

/* Where the parts of a slot lie. */
static bool lay_out(cbm_pool *p, int64_t batch_size)
{
    size_t total = 0;
    if (!add_bytes(&total, 1, sizeof(cbm_slot)) || !add_bytes(&total, batch_size, sizeof(int64_t)))
        return false;
    p->input_at = total;
    if (!add_bytes(&total, batch_size, p->dataset->input_bytes))
        return false;
    p->target_at = total;
    if (!add_bytes(&total, batch_size, p->dataset->target_bytes))
        return false;
    for (int i = 0; i < 2; ++i) {
        p->lengths_at[i] = total;
        if (!add_bytes(&total, p->dataset->variable[i] ? batch_size : 1, sizeof(int64_t)))
            return false;
    }
    p->slot_bytes = total;
    return true;
}

cbm_pool *cbm_pool_open(cbm_heap *heap, cbm_dataset *dataset, int64_t batch_size, int64_t workers)
{
    cbm_pool *p = cbm_heap_take_zero(heap, sizeof *p);
    if (!p)
        return NULL;
    p->heap = heap;
    p->dataset = dataset;
    p->refs = 1;
    p->thread_room = workers;
    bool fine = lay_out(p, batch_size) &&
                !__builtin_mul_overflow((size_t)workers + 1, dataset->scratch_bytes, &p->scratch_total);
    if (fine && p->scratch_total > 0)
        fine = (p->scratch = cbm_heap_take(heap, p->scratch_total)) != NULL;
    if (fine && workers > 0)
        fine = (p->threads = cbm_heap_take(heap, (size_t)workers * sizeof *p->threads)) != NULL;
    if (!fine) {
        cbm_heap_give(heap, p->scratch, p->scratch_total);
        cbm_heap_give(heap, p, sizeof *p);
        return NULL;
    }
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);
    return p;
}

void cbm_pool_close(cbm_pool *p, bool forked)
{
    if (forked) { /* what workers were filling stays as it is, and the lock is never destroyed */
        p->first = p->last = p->todo = NULL;
        ++p->refs;
    } else {
        stop(p);
        cbm_pool_withdraw(p);
    }
    cbm_heap_give(p->heap, p->threads, (size_t)p->thread_room * sizeof *p->threads);
    p->threads = NULL;
    cbm_heap_give(p->heap, p->scratch, p->scratch_total);
    p->scratch = NULL;
    p->closed = true;
    for (cbm_slot *s = p->free, *next; s; s = next) {
        next = s->next;
        slot_free(s);
    }
    p->free = NULL;
    drop(p);
}
