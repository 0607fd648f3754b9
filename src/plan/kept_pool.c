/* kept_pool.c: a short list under a mutex; the oldest entry gives way. Rests on plan.h and POSIX threads. */
#include "plan/kept_pool.h"
#include "plan/plan.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRIES = 64 }; /* plans: shapes of requests, mostly */

typedef struct entry {
    uint64_t hash;
    void *key;
    size_t key_size;
    uint64_t *seen; /* the sources' stamps and numbers */
    size_t sources;
    cbm_storage *memory;
} entry;

struct cbm_kept_pool {
    pthread_mutex_t lock;
    size_t count;
    entry entries[ENTRIES]; /* the oldest first */
};

static void empty(entry *e)
{
    free(e->key);
    free(e->seen);
    cbm_storage_release(e->memory);
    *e = (entry){ 0 };
}

cbm_kept_pool *cbm_kept_pool_open(void)
{
    cbm_kept_pool *pool = calloc(1, sizeof *pool);
    if (pool && pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(pool);
        return NULL;
    }
    return pool;
}

void cbm_kept_pool_close(cbm_kept_pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->count; i++)
        empty(&pool->entries[i]);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static bool fits(const entry *e, const cbm_plan *plan)
{
    if (e->hash != plan->hash || e->key_size != plan->key.count || e->sources != plan->kept_of.count ||
        memcmp(e->key, plan->key.data, e->key_size) != 0)
        return false;
    for (size_t i = 0; i < e->sources; i++)
        if (e->seen[i] != CBM_AT(&plan->kept_of, cbm_kept, i).seen)
            return false;
    return true;
}

static entry *find(cbm_kept_pool *pool, const cbm_plan *plan)
{
    for (size_t i = pool->count; i-- > 0;)
        if (fits(&pool->entries[i], plan))
            return &pool->entries[i];
    return NULL;
}

cbm_storage *cbm_kept_pool_find(cbm_kept_pool *pool, const cbm_plan *plan)
{
    pthread_mutex_lock(&pool->lock);
    const entry *e = find(pool, plan);
    if (e)
        cbm_storage_retain(e->memory);
    pthread_mutex_unlock(&pool->lock);
    return e ? e->memory : NULL;
}

static bool fill(entry *e, const cbm_plan *plan)
{
    *e = (entry){ .hash = plan->hash,
                  .key = malloc(plan->key.count + 1),
                  .key_size = plan->key.count,
                  .seen = malloc((plan->kept_of.count + 1) * sizeof *e->seen),
                  .sources = plan->kept_of.count };
    if (!e->key || !e->seen) {
        empty(e);
        return false;
    }
    memcpy(e->key, plan->key.data, e->key_size);
    for (size_t i = 0; i < e->sources; i++)
        e->seen[i] = CBM_AT(&plan->kept_of, cbm_kept, i).seen;
    cbm_storage_retain(plan->kept_memory);
    e->memory = plan->kept_memory;
    return true;
}

void cbm_kept_pool_add(cbm_kept_pool *pool, const cbm_plan *plan)
{
    entry made;
    pthread_mutex_lock(&pool->lock);
    if (!find(pool, plan) && fill(&made, plan)) {
        if (pool->count == ENTRIES) {
            empty(&pool->entries[0]);
            memmove(pool->entries, pool->entries + 1, --pool->count * sizeof *pool->entries);
        }
        pool->entries[pool->count++] = made;
    }
    pthread_mutex_unlock(&pool->lock);
}
