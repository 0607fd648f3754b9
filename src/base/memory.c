/* memory.c: a context's heap. Small blocks come from slabs through one free list a size; larger ones are kept when
   freed and found again by their size class; all memory comes from the allocator hooks. Rests on C11 atomics.

       small (<= 4 KiB)   small[size / 64] -> block -> block       carved one after the other from slabs of 64 KiB
       large              bins[class] -> block <-> block           and oldest <-> ... <-> newest over all classes

   A spin flag guards everything but the lists in `own`: the context's thread nearly always finds it free, and a loader's
   worker that returns a block holds it for some nanoseconds. What only the context's thread takes and gives goes through
   `own` and needs no flag, whose atomic operation costs more than all the rest. Builds under AddressSanitizer (or with
   CBM_PLAIN_HEAP, for valgrind) pass every block straight to the hooks, so that each use after free and each overrun is
   seen. */
#include "base/base.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define PLAIN true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLAIN true
#endif
#endif
#if !defined(PLAIN) && defined(CBM_PLAIN_HEAP)
#define PLAIN true
#endif
#ifndef PLAIN
#define PLAIN false
#endif

enum {
    ALIGNMENT = 64,
    SMALL_LIMIT = 4096, /* the largest small block */
    SMALL_CLASSES = SMALL_LIMIT / ALIGNMENT + 1,
    SLAB_SIZE = 64 * 1024,
    CLASS_BITS = 4, /* 16 classes in each doubling: at most 6 % of a large block is lost by rounding */
    LARGE_CLASSES = 64 << CLASS_BITS,
    HUGE_PAGE = 2 << 20,
    CACHE_FLOOR = 32 << 20, /* cached blocks may always hold this much on top of the most ever in use */
};

/* A free small block. */
typedef struct free_block {
    struct free_block *next;
} free_block;

/* A cached large block, written into its own first bytes. */
typedef struct cached_block {
    struct cached_block *next, *previous; /* within its class; the newest comes first */
    struct cached_block *older, *newer;   /* over all classes */
    size_t size;
} cached_block;

/* Heads a slab; its blocks follow. */
typedef struct slab {
    struct slab *next;
} slab;

/* Small blocks of the context's own thread, and what it has in use, given out by one side and perhaps returned to the
   other: only sums over both sides mean something, modulo 2^64. */
typedef struct own_blocks {
    free_block *small[SMALL_CLASSES];
    uint64_t in_use, peak, outstanding, takes;
} own_blocks;

struct cbm_heap {
    atomic_flag busy;
    bool closed;
    own_blocks own;
    cbm_allocator hooks;
    uint64_t limit;        /* on held; 0: none */
    uint64_t held;         /* bytes from the hooks: in use, cached and slabs */
    uint64_t in_use, peak; /* as asked for by callers */
    uint64_t cached;       /* bytes in bins */
    uint64_t outstanding;  /* blocks in callers' hands */
    uint64_t takes, hook_calls;
    int64_t fail_after;
    char *carve; /* the unused rest of the newest slab */
    size_t carve_left;
    slab *slabs;
    free_block *small[SMALL_CLASSES];
    cached_block *bins[LARGE_CLASSES];
    cached_block *oldest, *newest;
};

/* Large blocks ask for huge pages: touching fresh pages of 4 KiB costs several times what filling them costs. */
static void *system_allocate(size_t size, size_t alignment, void *user)
{
    (void)user;
    void *memory = NULL;
    bool huge = !PLAIN && size >= 2 * (size_t)HUGE_PAGE;
    if (posix_memalign(&memory, huge ? HUGE_PAGE : alignment, size) != 0)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (huge)
        madvise(memory, size & ~((size_t)HUGE_PAGE - 1), MADV_HUGEPAGE); /* only a wish */
#endif
    return memory;
}

static void system_release(void *memory, size_t size, void *user)
{
    (void)size;
    (void)user;
    free(memory);
}

static void lock(cbm_heap *heap)
{
    for (int spins = 0; atomic_flag_test_and_set_explicit(&heap->busy, memory_order_acquire); spins++)
        if (spins > 64)
            sched_yield();
}

static void unlock(cbm_heap *heap)
{
    atomic_flag_clear_explicit(&heap->busy, memory_order_release);
}

/* Each side's count is written by one side at a time and read by both. */
static void set(uint64_t *count, uint64_t value)
{
    __atomic_store_n(count, value, __ATOMIC_RELAXED);
}

static uint64_t in_use(const cbm_heap *heap)
{
    return __atomic_load_n(&heap->in_use, __ATOMIC_RELAXED) + __atomic_load_n(&heap->own.in_use, __ATOMIC_RELAXED);
}

/* ---- size classes ---- */

static size_t small_class(size_t size)
{
    return (size + ALIGNMENT - 1) / ALIGNMENT;
}

/* The class of a large size, and in *rounded the size of all blocks of that class: 2^k * (16 + j) / 16. */
static size_t large_class(size_t size, size_t *rounded)
{
    unsigned doubling = 63U - (unsigned)__builtin_clzll((unsigned long long)size);
    unsigned shift = doubling - CLASS_BITS;
    size_t step = (size_t)1 << shift;
    size_t up = (size + step - 1) & ~(step - 1);
    *rounded = up;
    doubling = 63U - (unsigned)__builtin_clzll((unsigned long long)up);
    return ((size_t)doubling << CLASS_BITS) | ((up >> (doubling - CLASS_BITS)) & ((1U << CLASS_BITS) - 1));
}

/* ---- the cache of large blocks ---- */

static void cache_put(cbm_heap *heap, void *memory, size_t class, size_t size)
{
    cached_block *b = memory;
    *b = (cached_block){ .next = heap->bins[class], .older = heap->newest, .size = size };
    if (b->next != NULL)
        b->next->previous = b;
    if (b->older != NULL)
        b->older->newer = b;
    else
        heap->oldest = b;
    heap->bins[class] = b;
    heap->newest = b;
    heap->cached += size;
}

static void cache_remove(cbm_heap *heap, cached_block *b, size_t class)
{
    if (b->next != NULL)
        b->next->previous = b->previous;
    if (b->previous != NULL)
        b->previous->next = b->next;
    else
        heap->bins[class] = b->next;
    if (b->older != NULL)
        b->older->newer = b->newer;
    else
        heap->oldest = b->newer;
    if (b->newer != NULL)
        b->newer->older = b->older;
    else
        heap->newest = b->older;
    heap->cached -= b->size;
}

/* Gives the oldest cached blocks back until at most `keep` bytes are cached. */
static void cache_shrink(cbm_heap *heap, uint64_t keep)
{
    while (heap->oldest != NULL && heap->cached > keep) {
        cached_block *b = heap->oldest;
        size_t size = b->size, rounded;
        cache_remove(heap, b, large_class(size, &rounded));
        heap->held -= size;
        heap->hooks.release(b, size, heap->hooks.user);
    }
}

/* Memory from the hooks, within the limit. Old cached blocks go first: to stay within the limit, and so that the heap
   never holds much more than the most that was ever in use. NULL: refused. */
static void *from_hooks(cbm_heap *heap, size_t size)
{
    uint64_t most = heap->peak + heap->peak / 4 + CACHE_FLOOR, used = heap->held - heap->cached;
    if (heap->limit != 0) {
        if (used > heap->limit || size > heap->limit - used)
            return NULL;
        if (most > heap->limit)
            most = heap->limit;
    }
    cache_shrink(heap, most > used + size ? most - used - size : 0);
    void *memory = heap->hooks.allocate(size, ALIGNMENT, heap->hooks.user);
    if (memory == NULL && heap->oldest != NULL) {
        cache_shrink(heap, 0);
        memory = heap->hooks.allocate(size, ALIGNMENT, heap->hooks.user);
    }
    if (memory == NULL)
        return NULL;
    heap->held += size;
    heap->hook_calls++;
    return memory;
}

/* ---- small blocks ---- */

/* The rest of the old slab becomes one free block of its size, so nothing is lost. */
static bool new_slab(cbm_heap *heap)
{
    slab *s = from_hooks(heap, SLAB_SIZE);
    if (s == NULL)
        return false;
    if (heap->carve_left >= ALIGNMENT) {
        free_block *rest = (free_block *)(void *)heap->carve;
        size_t class = heap->carve_left / ALIGNMENT;
        rest->next = heap->small[class];
        heap->small[class] = rest;
    }
    s->next = heap->slabs;
    heap->slabs = s;
    heap->carve = (char *)s + ALIGNMENT;
    heap->carve_left = SLAB_SIZE - ALIGNMENT;
    return true;
}

static void *take_small(cbm_heap *heap, size_t class)
{
    free_block *b = heap->small[class];
    if (b != NULL) {
        heap->small[class] = b->next;
        return b;
    }
    size_t size = class * ALIGNMENT;
    if (heap->carve_left < size && !new_slab(heap))
        return NULL;
    void *memory = heap->carve;
    heap->carve += size;
    heap->carve_left -= size;
    return memory;
}

static void *take_large(cbm_heap *heap, size_t size)
{
    size_t rounded;
    size_t class = large_class(size, &rounded);
    cached_block *b = heap->bins[class];
    if (b == NULL)
        return from_hooks(heap, rounded);
    cache_remove(heap, b, class);
    return b;
}

static void *take_locked(cbm_heap *heap, size_t size)
{
    heap->takes++;
    if (heap->fail_after > 0 && --heap->fail_after == 0)
        return NULL;
    void *memory = PLAIN                 ? from_hooks(heap, size)
                   : size <= SMALL_LIMIT ? take_small(heap, small_class(size))
                                         : take_large(heap, size);
    if (memory == NULL)
        return NULL;
    heap->outstanding++;
    set(&heap->in_use, heap->in_use + size);
    if (in_use(heap) > heap->peak)
        heap->peak = in_use(heap);
    return memory;
}

static void give_locked(cbm_heap *heap, void *memory, size_t size)
{
    heap->outstanding--;
    set(&heap->in_use, heap->in_use - size);
    if (!PLAIN && size <= SMALL_LIMIT) {
        free_block *b = memory;
        size_t class = small_class(size);
        b->next = heap->small[class];
        heap->small[class] = b;
        return;
    }
    size_t rounded = size;
    if (!PLAIN) {
        size_t class = large_class(size, &rounded);
        if (!heap->closed) {
            cache_put(heap, memory, class, rounded);
            return;
        }
    }
    heap->held -= rounded;
    heap->hooks.release(memory, rounded, heap->hooks.user);
}

/* ---- the interface ---- */

cbm_heap *cbm_heap_open(const cbm_allocator *allocator, uint64_t limit)
{
    cbm_allocator hooks = { .allocate = system_allocate, .release = system_release };
    if (allocator != NULL)
        hooks = *allocator;
    cbm_heap *heap = hooks.allocate(sizeof *heap, ALIGNMENT, hooks.user);
    if (heap == NULL)
        return NULL;
    memset(heap, 0, sizeof *heap);
    atomic_flag_clear(&heap->busy);
    heap->hooks = hooks;
    heap->limit = limit;
    return heap;
}

static void destroy(cbm_heap *heap)
{
    cbm_allocator hooks = heap->hooks;
    for (slab *s = heap->slabs, *next; s != NULL; s = next) {
        next = s->next;
        hooks.release(s, SLAB_SIZE, hooks.user);
    }
    hooks.release(heap, sizeof *heap, hooks.user);
}

void cbm_heap_close(cbm_heap *heap)
{
    if (heap == NULL)
        return;
    lock(heap);
    cache_shrink(heap, 0);
    heap->closed = true;
    heap->outstanding += heap->own.outstanding;
    bool last = heap->outstanding == 0;
    unlock(heap);
    if (last)
        destroy(heap);
}

void *cbm_heap_take(cbm_heap *heap, size_t size)
{
    if (heap == NULL || size > SIZE_MAX / 4)
        return NULL;
    if (size == 0)
        size = 1;
    lock(heap);
    void *memory = take_locked(heap, size);
    unlock(heap);
    return memory;
}

void *cbm_heap_take_own(cbm_heap *heap, size_t size)
{
    size_t class = small_class(size);
    free_block *b = PLAIN || size > SMALL_LIMIT || heap->fail_after > 0 ? NULL : heap->own.small[class];
    if (b == NULL)
        return cbm_heap_take(heap, size);
    heap->own.small[class] = b->next;
    heap->own.takes++;
    heap->own.outstanding++;
    set(&heap->own.in_use, heap->own.in_use + size);
    if (in_use(heap) > heap->own.peak)
        heap->own.peak = in_use(heap);
    return b;
}

void cbm_heap_give_own(cbm_heap *heap, void *memory, size_t size)
{
    if (PLAIN || size > SMALL_LIMIT) {
        cbm_heap_give(heap, memory, size);
        return;
    }
    free_block *b = memory;
    size_t class = small_class(size);
    b->next = heap->own.small[class];
    heap->own.small[class] = b;
    heap->own.outstanding--;
    set(&heap->own.in_use, heap->own.in_use - size);
}

void *cbm_heap_take_zero(cbm_heap *heap, size_t size)
{
    void *memory = cbm_heap_take(heap, size);
    return memory == NULL ? NULL : memset(memory, 0, size);
}

void cbm_heap_give(cbm_heap *heap, void *memory, size_t size)
{
    if (heap == NULL || memory == NULL)
        return;
    if (size == 0)
        size = 1;
    lock(heap);
    give_locked(heap, memory, size);
    bool last = heap->closed && heap->outstanding == 0;
    unlock(heap);
    if (last)
        destroy(heap);
}

void cbm_heap_trim(cbm_heap *heap)
{
    if (heap == NULL)
        return;
    lock(heap);
    cache_shrink(heap, 0);
    unlock(heap);
}

void cbm_heap_statistics(const cbm_heap *heap, cbm_statistics *s)
{
    s->bytes_now = s->bytes_peak = s->allocations = 0;
    if (heap == NULL)
        return;
    cbm_heap *guarded = (cbm_heap *)heap; /* only its flag changes */
    lock(guarded);
    s->bytes_now = in_use(heap);
    s->bytes_peak = heap->peak > heap->own.peak ? heap->peak : heap->own.peak;
    s->allocations = heap->hook_calls;
    unlock(guarded);
}

void cbm_heap_reset_peak(cbm_heap *heap)
{
    if (heap == NULL)
        return;
    lock(heap);
    heap->peak = heap->own.peak = in_use(heap);
    unlock(heap);
}

void cbm_heap_fail_after(cbm_heap *heap, int64_t n)
{
    if (heap == NULL)
        return;
    lock(heap);
    heap->fail_after = n > 0 ? n : 0;
    unlock(heap);
}

uint64_t cbm_heap_takes(const cbm_heap *heap)
{
    return heap == NULL ? 0 : heap->takes + heap->own.takes;
}
