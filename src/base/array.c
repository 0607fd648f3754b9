/* array.c: an array that grows by doubling. Rests on memory.c. */
#include "base/base.h"

#include <string.h>

bool cbm_array_reserve(cbm_array *a, size_t capacity)
{
    if (capacity <= a->capacity)
        return true;
    size_t bytes;
    if (__builtin_mul_overflow(capacity, a->element, &bytes))
        return false;
    void *data = cbm_heap_take(a->heap, bytes);
    if (data == NULL)
        return false;
    if (a->count > 0)
        memcpy(data, a->data, a->count * a->element);
    cbm_heap_give(a->heap, a->data, a->capacity * a->element);
    a->data = data;
    a->capacity = capacity;
    return true;
}

/* Room for `more` elements behind the present ones. */
static bool grow(cbm_array *a, size_t more)
{
    size_t needed;
    if (__builtin_add_overflow(a->count, more, &needed))
        return false;
    if (needed <= a->capacity)
        return true;
    size_t doubled = a->capacity > SIZE_MAX / 2 ? needed : 2 * a->capacity;
    size_t capacity = needed > doubled ? needed : doubled;
    return cbm_array_reserve(a, capacity < 8 ? 8 : capacity);
}

void *cbm_array_push(cbm_array *a, const void *element)
{
    if (!grow(a, 1))
        return NULL;
    void *place = (char *)a->data + a->count * a->element;
    if (element != NULL)
        memcpy(place, element, a->element);
    else
        memset(place, 0, a->element);
    a->count++;
    return place;
}

bool cbm_array_append(cbm_array *a, const void *elements, size_t count)
{
    if (count == 0)
        return true;
    if (!grow(a, count))
        return false;
    memcpy((char *)a->data + a->count * a->element, elements, count * a->element);
    a->count += count;
    return true;
}

void cbm_array_free(cbm_array *a)
{
    cbm_heap_give(a->heap, a->data, a->capacity * a->element);
    a->data = NULL;
    a->count = a->capacity = 0;
}
