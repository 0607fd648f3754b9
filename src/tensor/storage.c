/* storage.c: counted memory of evaluated values. Rests on base/'s heap. */
#include "tensor/graph.h"

#define HEADER 64 /* keeps the data behind the header aligned */
_Static_assert(sizeof(cbm_storage) <= HEADER, "the header fits before the data");

uint64_t cbm_storage_stamp(void)
{
    static uint64_t last;
    return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

cbm_storage *cbm_storage_new(cbm_heap *heap, size_t size)
{
    if (size > SIZE_MAX - HEADER - 64)
        return NULL;
    size_t block = HEADER + (size ? size : 1);
    cbm_storage *s = cbm_heap_take(heap, block);
    if (!s)
        return NULL;
    *s = (cbm_storage){
        .refs = 1, .stamp = cbm_storage_stamp(), .data = (char *)s + HEADER, .size = size, .block = block, .heap = heap
    };
    return s;
}

void cbm_storage_retain(cbm_storage *s)
{
    __atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
}

void cbm_storage_release(cbm_storage *s)
{
    if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (s->release)
        s->release(s->data, s->user);
    cbm_heap_give(s->heap, s, s->block);
}
