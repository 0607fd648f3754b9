/* test_arena.c: buffers of an arena that live at the same time never overlap; memory is used again otherwise. */
#include "plan/plan.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MOST = 60 };

static int draw(uint64_t seed, uint64_t *at, int n)
{
    uint32_t out[4];
    cbm_philox(seed, 0, (*at)++, out);
    return (int)(out[0] % (uint32_t)n);
}

static void check(cbm_heap *heap, uint64_t seed, bool reuse)
{
    cbm_lifetime l[MOST], before[MOST];
    uint64_t at = 0;
    size_t count = (size_t)draw(seed, &at, MOST), arena, sum = 0, widest = 0;
    for (size_t i = 0; i < count; i++) {
        int first = (int)i / 2;
        l[i] = (cbm_lifetime){
            .first = first, .last = first + draw(seed, &at, 8), .bytes = (size_t)draw(seed, &at, 1000), .shares = -1
        };
        sum += (l[i].bytes + 63) / 64 * 64;
    }
    /* Some take the place of one that dies as they are born. */
    for (size_t i = 1; i < count; i++) {
        int32_t k = draw(seed, &at, (int)i);
        bool taken = false;
        for (size_t j = 0; j < i; j++)
            taken = taken || l[j].shares == k;
        if (reuse && !taken && l[k].first < l[i].first && l[k].last == l[i].first && draw(seed, &at, 2))
            l[i].shares = k;
    }
    for (size_t i = 0; i < count; i++)
        before[i] = l[i];
    assert_true(cbm_arena_layout(heap, l, count, reuse, &arena));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(l[i].offset % 64, 0);
        assert_true((size_t)l[i].offset + before[i].bytes <= arena);
        widest = before[i].bytes > widest ? before[i].bytes : widest;
        for (size_t j = 0; j < i; j++) {
            bool together = before[i].first <= before[j].last && before[j].first <= before[i].last;
            bool apart = (size_t)l[i].offset >= (size_t)l[j].offset + before[j].bytes ||
                         (size_t)l[j].offset >= (size_t)l[i].offset + before[i].bytes;
            if (before[i].shares == (int32_t)j)
                assert_int_equal(l[i].offset, l[j].offset);
            else if (together || !reuse)
                assert_true(apart || !before[i].bytes || !before[j].bytes);
        }
    }
    assert_true(arena >= widest && arena <= sum + 64);
}

static void test_no_overlap(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    for (uint64_t seed = 0; seed < 3000; seed++) {
        check(heap, seed, true);
        check(heap, seed, false);
    }
    cbm_heap_close(heap);
}

/* A chain of equal buffers, each dead after the next step: two places are enough. */
static void test_chain(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    cbm_lifetime l[100];
    size_t arena;
    for (int i = 0; i < 100; i++)
        l[i] = (cbm_lifetime){ .first = i, .last = i + 1, .bytes = 4096, .shares = -1 };
    assert_true(cbm_arena_layout(heap, l, 100, true, &arena));
    assert_int_equal(arena, 2 * 4096);
    cbm_heap_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_overlap), cmocka_unit_test(test_chain) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
