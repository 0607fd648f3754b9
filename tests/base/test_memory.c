/* The heap: alignment, hooks, limit, statistics, cache, fault injection, and blocks that come back late or from another
   thread. */
#include "base/base.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Hooks that count, and check that sizes come back as they were asked for. */
typedef struct ledger {
    int64_t blocks, bytes, calls, wrong;
    int64_t refuse_above; /* 0: never */
} ledger;

typedef struct header {
    size_t size;
    void *raw;
} header;

static void *count_allocate(size_t size, size_t alignment, void *user)
{
    ledger *l = user;
    if (l->refuse_above != 0 && l->bytes + (int64_t)size > l->refuse_above)
        return NULL;
    char *raw = malloc(size + 2 * alignment + sizeof(header));
    if (raw == NULL)
        return NULL;
    uintptr_t at = ((uintptr_t)raw + sizeof(header) + alignment - 1) & ~(uintptr_t)(alignment - 1);
    header *h = (header *)(at - sizeof(header));
    *h = (header){ .size = size, .raw = raw };
    l->blocks++;
    l->calls++;
    l->bytes += (int64_t)size;
    return (void *)at;
}

static void count_release(void *memory, size_t size, void *user)
{
    ledger *l = user;
    header *h = (header *)((uintptr_t)memory - sizeof(header));
    if (h->size != size)
        l->wrong++;
    l->blocks--;
    l->bytes -= (int64_t)size;
    free(h->raw);
}

static cbm_heap *open_counted(ledger *l, uint64_t limit)
{
    *l = (ledger){ 0 };
    cbm_allocator hooks = { count_allocate, count_release, l };
    cbm_heap *heap = cbm_heap_open(&hooks, limit);
    assert_non_null(heap);
    return heap;
}

static void test_sizes_and_contents(void **state)
{
    (void)state;
    ledger l;
    cbm_heap *heap = open_counted(&l, 0);
    static const size_t sizes[] = { 0, 1, 63, 64, 65, 1000, 4095, 4096, 4097, 5000, 65536, 100000, 1 << 20, 5 << 20 };
    enum { COUNT = sizeof sizes / sizeof *sizes, EACH = 40 };
    unsigned char *blocks[COUNT][EACH];
    for (int round = 0; round < 3; round++) {
        for (size_t s = 0; s < COUNT; s++)
            for (size_t i = 0; i < EACH; i++) {
                blocks[s][i] = cbm_heap_take(heap, sizes[s]);
                assert_non_null(blocks[s][i]);
                assert_int_equal((uintptr_t)blocks[s][i] % 64, 0);
                memset(blocks[s][i], (int)(s * EACH + i) & 255, sizes[s]);
            }
        for (size_t s = 0; s < COUNT; s++)
            for (size_t i = 0; i < EACH; i++) {
                if (sizes[s] > 0) {
                    assert_int_equal(blocks[s][i][0], (s * EACH + i) & 255);
                    assert_int_equal(blocks[s][i][sizes[s] - 1], (s * EACH + i) & 255);
                }
                cbm_heap_give(heap, blocks[s][i], sizes[s]);
            }
    }
    assert_int_equal(cbm_heap_takes(heap), 3 * COUNT * EACH);
    cbm_heap_close(heap);
    assert_int_equal(l.blocks, 0);
    assert_int_equal(l.bytes, 0);
    assert_int_equal(l.wrong, 0);
}

/* Random takes and gives of random sizes; blocks never overlap. */
static void test_random_traffic(void **state)
{
    (void)state;
    ledger l;
    cbm_heap *heap = open_counted(&l, 0);
    enum { SLOTS = 200 };
    struct {
        uint64_t *memory;
        size_t size;
        uint64_t mark;
    } slots[SLOTS] = { { 0 } };
    for (uint64_t i = 0; i < 100000; i++) {
        uint32_t r[4];
        cbm_philox(1, 2, i, r);
        size_t s = r[0] % SLOTS;
        if (slots[s].memory != NULL) {
            assert_int_equal(slots[s].memory[0], slots[s].mark);
            assert_int_equal(slots[s].memory[slots[s].size / 8 - 1], slots[s].mark);
            cbm_heap_give(heap, slots[s].memory, slots[s].size);
            slots[s].memory = NULL;
        } else {
            slots[s].size = 8 + (r[1] % (r[2] % 8 == 0 ? 300000 : 3000));
            slots[s].mark = i;
            slots[s].memory = cbm_heap_take(heap, slots[s].size);
            assert_non_null(slots[s].memory);
            slots[s].memory[0] = slots[s].memory[slots[s].size / 8 - 1] = i;
        }
    }
    for (size_t s = 0; s < SLOTS; s++)
        cbm_heap_give(heap, slots[s].memory, slots[s].size);
    cbm_statistics stats;
    cbm_heap_statistics(heap, &stats);
    assert_int_equal(stats.bytes_now, 0);
    cbm_heap_trim(heap);
    cbm_heap_close(heap);
    assert_int_equal(l.blocks, 0);
    assert_int_equal(l.wrong, 0);
}

static void test_absurd_sizes_are_refused(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    assert_null(cbm_heap_take(heap, SIZE_MAX));
    assert_null(cbm_heap_take(heap, SIZE_MAX / 2));
    assert_null(cbm_heap_take(NULL, 8));
    cbm_heap_give(heap, NULL, 8);
    cbm_heap_give(NULL, NULL, 8);
    cbm_heap_close(heap);
    cbm_heap_close(NULL);
}

static void test_limit(void **state)
{
    (void)state;
    ledger l;
    cbm_heap *heap = open_counted(&l, 1 << 20);
    void *a = cbm_heap_take(heap, 900000);
    assert_non_null(a);
    assert_null(cbm_heap_take(heap, 200000));
    cbm_heap_give(heap, a, 900000);
    /* a's block may be cached; it makes way. */
    void *b = cbm_heap_take(heap, 600000);
    assert_non_null(b);
    assert_true(l.bytes <= (1 << 20) + 64 * 1024);
    cbm_heap_give(heap, b, 600000);
    cbm_heap_close(heap);
    assert_int_equal(l.blocks, 0);
}

/* When the hooks refuse, cached blocks are given back and the hooks are asked once more. */
static void test_cache_makes_way(void **state)
{
    (void)state;
    ledger l;
    cbm_heap *heap = open_counted(&l, 0);
    l.refuse_above = l.bytes + (1 << 20);
    void *a = cbm_heap_take(heap, 700000);
    cbm_heap_give(heap, a, 700000);
    void *b = cbm_heap_take(heap, 900000);
    assert_non_null(b);
    cbm_heap_give(heap, b, 900000);
    cbm_heap_close(heap);
    assert_int_equal(l.blocks, 0);
}

static void test_statistics(void **state)
{
    (void)state;
    ledger l;
    cbm_heap *heap = open_counted(&l, 0);
    cbm_statistics s;
    void *a = cbm_heap_take(heap, 100), *b = cbm_heap_take(heap, 100000);
    cbm_heap_statistics(heap, &s);
    assert_int_equal(s.bytes_now, 100100);
    assert_int_equal(s.bytes_peak, 100100);
    cbm_heap_give(heap, b, 100000);
    cbm_heap_statistics(heap, &s);
    assert_int_equal(s.bytes_now, 100);
    assert_int_equal(s.bytes_peak, 100100);
    cbm_heap_reset_peak(heap);
    cbm_heap_statistics(heap, &s);
    assert_int_equal(s.bytes_peak, 100);
    assert_true(s.allocations > 0 && s.allocations < (uint64_t)l.calls); /* the heap itself came first */
    cbm_heap_give(heap, a, 100);
    cbm_heap_close(heap);
}

static void test_zeroed(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    for (int i = 0; i < 3; i++) {
        unsigned char *p = cbm_heap_take_zero(heap, 300);
        for (int j = 0; j < 300; j++)
            assert_int_equal(p[j], 0);
        memset(p, 0xff, 300);
        cbm_heap_give(heap, p, 300);
    }
    cbm_heap_close(heap);
}

static void test_fail_after(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    void *kept[5];
    cbm_heap_fail_after(heap, 3);
    for (int i = 0; i < 5; i++) {
        kept[i] = cbm_heap_take(heap, 64);
        assert_true((kept[i] == NULL) == (i == 2));
    }
    cbm_heap_fail_after(heap, 1);
    cbm_heap_fail_after(heap, 0);
    void *a = cbm_heap_take(heap, 64);
    assert_non_null(a);
    cbm_heap_give(heap, a, 64);
    for (int i = 0; i < 5; i++)
        cbm_heap_give(heap, kept[i], 64);
    cbm_heap_close(heap);
}

/* A heap that is closed while blocks are out lives until the last of them comes back. */
static void test_late_return(void **state)
{
    (void)state;
    ledger l;
    cbm_heap *heap = open_counted(&l, 0);
    void *small = cbm_heap_take(heap, 100), *large = cbm_heap_take(heap, 100000);
    memset(small, 1, 100);
    cbm_heap_close(heap);
    memset(large, 1, 100000);
    cbm_heap_give(heap, large, 100000);
    cbm_heap_give(heap, small, 100);
    assert_int_equal(l.blocks, 0);
    assert_int_equal(l.wrong, 0);
}

typedef struct parcel {
    cbm_heap *heap;
    void *blocks[1000];
} parcel;

static void *return_all(void *argument)
{
    parcel *p = argument;
    for (size_t i = 0; i < 1000; i++)
        cbm_heap_give(p->heap, p->blocks[i], i * 10);
    return NULL;
}

static void test_other_thread(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    static parcel parcels[4];
    pthread_t threads[4];
    for (size_t t = 0; t < 4; t++) {
        parcels[t].heap = heap;
        for (size_t i = 0; i < 1000; i++)
            assert_non_null(parcels[t].blocks[i] = cbm_heap_take(heap, i * 10));
    }
    for (size_t t = 0; t < 4; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, return_all, &parcels[t]), 0);
    for (size_t i = 0; i < 1000; i++) {
        void *p = cbm_heap_take(heap, i);
        assert_non_null(p);
        cbm_heap_give(heap, p, i);
    }
    for (size_t t = 0; t < 4; t++)
        pthread_join(threads[t], NULL);
    cbm_statistics s;
    cbm_heap_statistics(heap, &s);
    assert_int_equal(s.bytes_now, 0);
    cbm_heap_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_contents),
        cmocka_unit_test(test_random_traffic),
        cmocka_unit_test(test_absurd_sizes_are_refused),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_cache_makes_way),
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_zeroed),
        cmocka_unit_test(test_fail_after),
        cmocka_unit_test(test_late_return),
        cmocka_unit_test(test_other_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
