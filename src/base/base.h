/* base.h: the ground floor: memory through a context's hooks, arrays, hashing, text buffers, clock, parallel loops,
   counter-based random numbers. Rests on the C library, zlib-free, and OpenMP (parallel.c only). */
#ifndef CAMBIUM_BASE_H
#define CAMBIUM_BASE_H

#include <cambium/context.h>
#include <stdarg.h>

/* ---- memory.c: one heap for each context: hooks, limit, statistics, a cache of freed blocks, fault injection ---- */
typedef struct cbm_heap cbm_heap;
/* The heap itself comes from the hooks too. NULL: no memory. allocator NULL: posix_memalign and free. */
cbm_heap *cbm_heap_open(const cbm_allocator *allocator, uint64_t limit);
/* Frees the cache and the heap. What is still held is not freed (its owner does); thread-safe atomic counting keeps the
   heap itself alive until the last block is returned. */
void cbm_heap_close(cbm_heap *heap);
/* 64-byte aligned. NULL: no memory or over the limit. Small sizes come from size-class free lists inside slabs, larger
   ones (> 4 KiB) are cached by exact size class when freed. Not cleared. Callable from the context's thread. */
void *cbm_heap_take(cbm_heap *heap, size_t size);
void *cbm_heap_take_zero(cbm_heap *heap, size_t size);
void cbm_heap_give(cbm_heap *heap, void *memory, size_t size); /* NULL allowed; size as taken */
/* The same without a lock, for what is taken and given within calls on the context that the heap belongs to, which one
   thread at a time makes: handles, nodes, scopes. Sizes of 1 and more; memory is not NULL. */
void *cbm_heap_take_own(cbm_heap *heap, size_t size);
void cbm_heap_give_own(cbm_heap *heap, void *memory, size_t size);
void cbm_heap_trim(cbm_heap *heap); /* cached blocks back to the system */
void cbm_heap_statistics(const cbm_heap *heap,
                         cbm_statistics *s); /* bytes_now, bytes_peak (in use by callers, cached blocks not
    counted), allocations (calls of cbm_heap_take that went to the hooks) */
void cbm_heap_reset_peak(cbm_heap *heap);
/* Tests: the n-th take from now (1 is the next) fails, once; 0 switches it off. Counts every cbm_heap_take. */
void cbm_heap_fail_after(cbm_heap *heap, int64_t n);
/* How many takes have happened since the heap was opened, cached or not. */
uint64_t cbm_heap_takes(const cbm_heap *heap);

/* ---- array.c: a growing array of any element; zero-initialise all but heap and element ---- */
typedef struct cbm_array {
    cbm_heap *heap;
    size_t element, count, capacity;
    void *data;
} cbm_array;
#define CBM_ARRAY(heap_, type) ((cbm_array){ .heap = (heap_), .element = sizeof(type) })
#define CBM_AT(array_, type, i) (((type *)(array_)->data)[i])
void *cbm_array_push(cbm_array *a,
                     const void *element); /* copies *element (or zeroes); NULL: no memory, array unchanged */
bool cbm_array_append(cbm_array *a, const void *elements, size_t count);
bool cbm_array_reserve(cbm_array *a, size_t capacity);
void cbm_array_free(cbm_array *a); /* empty and usable again */

static inline bool cbm_is_floating(cbm_dtype dtype)
{
    return dtype == CBM_F32 || dtype == CBM_F64 || dtype == CBM_BF16;
}

/* ---- text.c: locale-independent text ---- */
typedef struct cbm_text {
    cbm_array chars; /* always ends in 0 after the first append */
} cbm_text;
cbm_text cbm_text_open(cbm_heap *heap);
bool cbm_text_append(cbm_text *t, const char *format, ...) CBM_PRINTF(2, 3);
bool cbm_text_append_v(cbm_text *t, const char *format, va_list arguments);
const char *cbm_text_get(const cbm_text *t); /* "" when empty */
void cbm_text_free(cbm_text *t);
bool cbm_ends_in(const char *text, const char *ending);
/* "(64, 1, 28, 28)" into buffer of size bytes; returns buffer. */
char *cbm_shape_text(const cbm_shape *s, char *buffer, size_t size);

/* vsnprintf, whatever the locale. */
int cbm_format_v(char *to, size_t size, const char *format, va_list arguments);
/* Shortest text that reads back as the same double, "nan", "inf"; and the reverse. Independent of the locale. */
char *cbm_double_text(double value, char *buffer, size_t size);
/* As printf's %.*f or %.*e (kind: f or e), whatever the locale. */
void cbm_double_format(double value, char kind, int digits, char *buffer, size_t size);
bool cbm_double_parse(const char *text, double *value); /* the whole text must be a number */
bool cbm_int_parse(const char *text, int64_t *value);

/* ---- hash.c ---- */
uint64_t cbm_hash_bytes(const void *data, size_t size, uint64_t seed); /* fast, 64 bits, not cryptographic */

/* ---- clock.c ---- */
double cbm_seconds(void); /* monotonic */

/* ---- parallel.c ---- */
/* Calls body(user, begin, end) for disjoint ranges that cover [0, count), split evenly and always in the same way for the
   same count, grain and threads; serially if count <= grain or threads == 1. */
void cbm_parallel_for(int64_t count, int64_t grain, int64_t threads,
                      void (*body)(void *user, int64_t begin, int64_t end), void *user);
/* How many threads another library may use from this thread: 1 where the system, or a fork, leaves it alone. */
int64_t cbm_parallel_threads(int64_t threads);
int64_t cbm_parallel_cores(void); /* cores this process may use */

/* ---- philox.c: Philox4x32-10 (Salmon et al. 2011) ---- */
/* The four words for one 128-bit counter {block, position} and a 64-bit key. */
void cbm_philox(uint64_t seed, uint64_t position, uint64_t block, uint32_t out[4]);
/* Element i of the stream (seed, position): word i % 4 of block i / 4. Uniform in [0, 1) with 24 bits. */
float cbm_philox_uniform(uint64_t seed, uint64_t position, uint64_t index);
/* Element i of a normal stream: pairs of words by Box and Muller: elements 2j and 2j+1 are the cosine and sine halves of
   words 2j and 2j+1 (of the stream numbered as above), u1 = (w + 1) / 2^32 in (0, 1], u2 = w' / 2^32. In double. */
double cbm_philox_normal(uint64_t seed, uint64_t position, uint64_t index);
/* Element i of a stream of 64-bit numbers (words 2i and 2i+1), mapped to [0, limit). */
uint64_t cbm_philox_below(uint64_t seed, uint64_t position, uint64_t index, uint64_t limit);
/* A shuffle of 0..count-1 by Fisher and Yates. */
void cbm_philox_permutation(uint64_t seed, uint64_t position, int64_t *out, int64_t count);

#endif
