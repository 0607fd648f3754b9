/* pool.h: slots (memory for one batch each), the queue of slots to be filled, and the threads that fill them. All functions
   but the workers' own belong to the context's thread. Rests on dataset.h and POSIX threads. */
#ifndef CAMBIUM_DATA_POOL_H
#define CAMBIUM_DATA_POOL_H

#include "data/dataset.h"
#include <pthread.h>

typedef enum cbm_slot_state {
    CBM_SLOT_FREE,
    CBM_SLOT_QUEUED, /* no worker has it yet */
    CBM_SLOT_FILLING,
    CBM_SLOT_READY,
    CBM_SLOT_LENT /* tensors stand on its memory */
} cbm_slot_state;

/* Memory for one batch: this header, the samples' indices, inputs, targets, their lengths. */
typedef struct cbm_slot {
    struct cbm_pool *pool;
    struct cbm_slot *next; /* in the queue, or in the free list */
    cbm_slot_state state;  /* guarded by the pool's mutex while it is in the queue */
    int lent;              /* tensors that stand on it */
    int64_t size, index, epoch;
    uint64_t seed;
    int64_t *samples;
    uint8_t *input, *target;
    int64_t *lengths[2]; /* of variable inputs and targets, a sample each */
    int64_t longest[2];  /* to which they are filled up; -1: not variable */
    cbm_status status;   /* of filling it; not OK when queued: nothing to be filled */
    int64_t failed_sample;
    char message[256];
} cbm_slot;

/* What the workers share. It outlives its loader while tensors stand on its slots. */
typedef struct cbm_pool {
    cbm_heap *heap;
    cbm_dataset *dataset;
    size_t slot_bytes, input_at, target_at, lengths_at[2];
    int64_t refs; /* the loader, and each lent slot */
    bool closed;  /* the loader is gone: slots that come back are freed */
    cbm_slot *free;
    cbm_slot *first, *last; /* the queue, in order of batches */
    cbm_slot *todo;         /* the first in it that nobody has begun to fill */
    int64_t queued;
    pthread_mutex_t mutex;
    pthread_cond_t work, done; /* something queued, or stop; some slot ready */
    bool stop;
    int64_t workers; /* running */
    int64_t begun;   /* workers that have taken their scratch memory */
    int64_t thread_room;
    pthread_t *threads;
    uint8_t *scratch; /* for the context's thread, then for each worker */
    size_t scratch_total;
    cbm_loading loading;
} cbm_pool;

/* A pool of slots for batches of up to batch_size samples, with room for that many workers. NULL: no memory. */
cbm_pool *cbm_pool_open(cbm_heap *heap, cbm_dataset *dataset, int64_t batch_size, int64_t workers);
/* Starts workers, as many as there is room for and the system allows. */
void cbm_pool_start(cbm_pool *p);
/* Stops the workers and lets go; slots on which tensors stand are freed with the last of these. forked: in a child
   process, where the workers do not exist and a lock may be held for ever. */
void cbm_pool_close(cbm_pool *p, bool forked);

cbm_slot *cbm_slot_take(cbm_pool *p); /* a free slot or a new one; NULL: no memory */
void cbm_slot_return(cbm_slot *s);
void cbm_slot_lend(cbm_slot *s);                /* one more stands on it (it must not be in the queue) */
void cbm_slot_unlend(void *memory, void *slot); /* one less; a tensor's release function */
void cbm_slot_unlend_none(cbm_slot *s);         /* takes back a slot of which nothing was lent after all */

/* collate.c: samples of variable length, read at full distance from each other, become rows as long as the longest. */
void cbm_collate(const cbm_dataset *dataset, cbm_slot *s);

void cbm_pool_queue(cbm_pool *p, cbm_slot *s);
/* The queue's first slot, filled; the queue must not be empty. */
cbm_slot *cbm_pool_first(cbm_pool *p);
/* A filled slot back to the front. */
void cbm_pool_put_back(cbm_pool *p, cbm_slot *s);
/* Empties the queue; waits for what workers have begun. */
void cbm_pool_withdraw(cbm_pool *p);

#endif
