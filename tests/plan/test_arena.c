/* test_arena.c: buffers of an arena that live at the same time never overlap; memory is used again otherwise, that of results
   not made yet too. */
#include "plan/plan.h"

#include <setjmp.h>
#include <string.h>
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

/* Each result's memory holds one buffer at a time, none too large for it, all dead before the result is made; and the most in
   use at a time is less for it, or as much. */
static void check_lending(cbm_heap *heap, uint64_t seed)
{
    enum { LENDERS = 4, STEPS = MOST };
    cbm_lifetime l[MOST];
    cbm_lender lenders[LENDERS];
    uint64_t at = 0;
    const size_t count = (size_t)draw(seed, &at, MOST), n = (size_t)draw(seed, &at, LENDERS + 1);
    size_t live[2][STEPS] = { { 0 } }, peak[2] = { 0 }, arena;
    for (size_t i = 0; i < count; i++) {
        const int first = (int)i / 2;
        l[i] = (cbm_lifetime){
            .first = first, .last = first + draw(seed, &at, 8), .bytes = 64 * (size_t)draw(seed, &at, 20), .shares = -1
        };
        if (i > 0 && l[i - 1].last == first && l[i - 1].first < first && draw(seed, &at, 2))
            l[i].shares = (int32_t)i - 1;
    }
    for (size_t k = 0; k < n; k++)
        lenders[k] = (cbm_lender){ .base = 5 + (int32_t)k,
                                   .until = draw(seed, &at, MOST / 2),
                                   .bytes = 64 * (size_t)draw(seed, &at, 20) };
    cbm_lender by_base[LENDERS];
    memcpy(by_base, lenders, sizeof by_base);
    assert_true(cbm_arena_lend(heap, l, count, lenders, n));
    assert_true(cbm_arena_layout(heap, l, count, true, &arena));
    for (size_t i = 0; i < count; i++) {
        if (l[i].shares >= 0) {
            assert_int_equal(l[i].lent, l[l[i].shares].lent);
            continue;
        }
        for (int32_t s = l[i].first; s <= l[i].last; s++)
            for (int with = 0; with < 2; with++) {
                live[with][s] += with && l[i].lent ? 0 : l[i].bytes;
                peak[with] = live[with][s] > peak[with] ? live[with][s] : peak[with];
            }
        if (!l[i].lent)
            continue;
        const cbm_lender *from = &by_base[l[i].lent - 5];
        assert_true(l[i].bytes <= from->bytes && l[i].last < from->until && l[i].offset == 0);
        for (size_t j = 0; j < i; j++)
            assert_true(l[j].shares >= 0 || l[j].lent != l[i].lent || !cbm_at_one_time(&l[i], &l[j]));
    }
    assert_true(peak[1] <= peak[0] && (n > 0 || peak[1] == peak[0]));
    assert_true(arena >= peak[1]);
}

static void test_lending(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    for (uint64_t seed = 0; seed < 2000; seed++)
        check_lending(heap, seed);
    /* one that lives over both peaks goes, not the one that is only there at the first */
    cbm_lifetime l[] = { { .first = 0, .last = 1, .bytes = 640, .shares = -1 },
                         { .first = 0, .last = 4, .bytes = 640, .shares = -1 },
                         { .first = 3, .last = 4, .bytes = 640, .shares = -1 } };
    cbm_lender lender = { .base = 9, .until = 5, .bytes = 640 };
    size_t arena;
    assert_true(cbm_arena_lend(heap, l, 3, &lender, 1) && cbm_arena_layout(heap, l, 3, true, &arena));
    assert_int_equal(arena, 640);
    assert_int_equal(l[1].lent, 9);
    cbm_heap_close(heap);
}

/* A stack of buffers with others passing over it: the best order is found. */
static void test_tight(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    cbm_lifetime l[30];
    size_t arena, count = 0, live[40] = { 0 }, peak = 0;
    for (int i = 0; i < 10; i++) {
        l[count++] = (cbm_lifetime){ .first = i, .last = 30 - i, .bytes = 65536 * (size_t)(1 + i % 3), .shares = -1 };
        l[count++] = (cbm_lifetime){ .first = i, .last = i + 1, .bytes = 65536 * (size_t)(3 - i % 3), .shares = -1 };
        l[count++] =
            (cbm_lifetime){ .first = 29 - i, .last = 30 - i, .bytes = 65536 * (size_t)(1 + i % 2), .shares = -1 };
    }
    for (size_t i = 0; i < count; i++)
        for (int32_t s = l[i].first; s <= l[i].last; s++) {
            live[s] += l[i].bytes;
            peak = live[s] > peak ? live[s] : peak;
        }
    assert_true(cbm_arena_layout(heap, l, count, true, &arena));
    assert_int_equal(arena, peak);
    cbm_heap_close(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_overlap), cmocka_unit_test(test_chain),
                                        cmocka_unit_test(test_lending), cmocka_unit_test(test_tight) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
