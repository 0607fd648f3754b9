/* Philox against the authors' known answers, the streams built on it, and parallel loops. */
#include "base/base.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* kat_vectors of Random123: philox4x32, 10 rounds. */
static void test_known_answers(void **state)
{
    (void)state;
    static const struct {
        uint64_t seed, position, block;
        uint32_t words[4];
    } cases[] = {
        { 0, 0, 0, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { UINT64_MAX, UINT64_MAX, UINT64_MAX, { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { 0x299f31d0a4093822,
          0x0370734413198a2e,
          0x85a308d3243f6a88,
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t words[4];
        cbm_philox(cases[i].seed, cases[i].position, cases[i].block, words);
        assert_memory_equal(words, cases[i].words, sizeof words);
    }
}

static void test_uniform(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        double u = (double)cbm_philox_uniform(3, 4, i);
        assert_true(u >= 0 && u < 1);
        sum += u;
        squares += u * u;
    }
    assert_true(fabs(sum / COUNT - 0.5) < 0.005);
    assert_true(fabs(squares / COUNT - 1.0 / 3) < 0.005);
    uint32_t words[4];
    cbm_philox(3, 4, 2, words);
    assert_true(cbm_philox_uniform(3, 4, 9) == (float)(words[1] >> 8) / 16777216.0f);
}

static void test_normal(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    double sum = 0, squares = 0, fourth = 0, pairs = 0, last = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        double n = cbm_philox_normal(3, 4, i);
        sum += n;
        squares += n * n;
        fourth += n * n * n * n;
        pairs += n * last;
        last = n;
    }
    assert_true(fabs(sum / COUNT) < 0.02);
    assert_true(fabs(squares / COUNT - 1) < 0.02);
    assert_true(fabs(fourth / COUNT - 3) < 0.15);
    assert_true(fabs(pairs / COUNT) < 0.02);
}

static void test_permutation(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    int64_t a[COUNT], b[COUNT];
    bool seen[COUNT] = { false };
    cbm_philox_permutation(1, 1, a, COUNT);
    cbm_philox_permutation(1, 1, b, COUNT);
    assert_memory_equal(a, b, sizeof a);
    int64_t fixed = 0;
    for (int64_t i = 0; i < COUNT; i++) {
        assert_in_range(a[i], 0, COUNT - 1);
        assert_false(seen[a[i]]);
        seen[a[i]] = true;
        fixed += a[i] == i;
    }
    assert_true(fixed < 10);
    cbm_philox_permutation(1, 2, b, COUNT);
    assert_memory_not_equal(a, b, sizeof a);
    cbm_philox_permutation(1, 2, b, 0);
    cbm_philox_permutation(1, 2, b, 1);
    assert_int_equal(b[0], 0);
    /* All six orders of three things come equally often. */
    int orders[27] = { 0 };
    for (uint64_t i = 0; i < 6000; i++) {
        cbm_philox_permutation(7, i, a, 3);
        orders[9 * a[0] + 3 * a[1] + a[2]]++;
    }
    int kinds = 0;
    for (int i = 0; i < 27; i++)
        if (orders[i] > 0) {
            kinds++;
            assert_in_range(orders[i], 850, 1150);
        }
    assert_int_equal(kinds, 6);
}

typedef struct visits {
    unsigned char *seen;
    int64_t begins[64];
    int64_t grain;
} visits;

static void visit(void *user, int64_t begin, int64_t end)
{
    visits *v = user;
    for (int64_t i = begin; i < end; i++)
        v->seen[i]++;
}

static void check_covers(int64_t count, int64_t grain, int64_t threads)
{
    visits v = { .seen = calloc((size_t)count + 1, 1), .grain = grain };
    assert_non_null(v.seen);
    cbm_parallel_for(count, grain, threads, visit, &v);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(v.seen[i], 1);
    assert_int_equal(v.seen[count], 0);
    free(v.seen);
}

static void test_parallel_covers(void **state)
{
    (void)state;
    static const int64_t counts[] = { 0, 1, 2, 7, 64, 1000, 12345 }, grains[] = { 0, 1, 10, 4096 };
    for (size_t c = 0; c < 7; c++)
        for (size_t g = 0; g < 4; g++)
            for (int64_t threads = 0; threads <= 5; threads++)
                check_covers(counts[c], grains[g], threads);
    check_covers(100000, 1, 64);
}

/* Marks where ranges begin: the same for the same arguments. */
static void mark(void *user, int64_t begin, int64_t end)
{
    unsigned char *marks = user;
    (void)end;
    marks[begin]++;
}

static void test_parallel_splits_alike(void **state)
{
    (void)state;
    unsigned char first[1000] = { 0 }, again[1000] = { 0 };
    cbm_parallel_for(1000, 10, 3, mark, first);
    for (int i = 0; i < 20; i++) {
        memset(again, 0, sizeof again);
        cbm_parallel_for(1000, 10, 3, mark, again);
        assert_memory_equal(first, again, sizeof first);
    }
    assert_true(first[0] == 1 && first[334] == 1 && first[667] == 1);
}

/* Inside a loop a loop still covers everything. */
static void nested(void *user, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        cbm_parallel_for(10, 1, 2, visit, (visits *)user + i);
}

static void test_parallel_nested(void **state)
{
    (void)state;
    unsigned char seen[4][10] = { { 0 } };
    visits v[4];
    for (size_t i = 0; i < 4; i++)
        v[i] = (visits){ .seen = seen[i] };
    cbm_parallel_for(4, 1, 2, nested, v);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 10; j++)
            assert_int_equal(seen[i][j], 1);
}

static void *loops_in_thread(void *argument)
{
    unsigned char *seen = argument;
    visits v = { .seen = seen };
    cbm_parallel_for(1000, 1, 2, visit, &v);
    return NULL;
}

static void test_parallel_from_several_threads(void **state)
{
    (void)state;
    static unsigned char seen[3][1000];
    pthread_t threads[3];
    for (size_t t = 0; t < 3; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, loops_in_thread, seen[t]), 0);
    for (size_t t = 0; t < 3; t++) {
        pthread_join(threads[t], NULL);
        for (size_t i = 0; i < 1000; i++)
            assert_int_equal(seen[t][i], 1);
    }
    assert_true(cbm_parallel_cores() >= 1);
    double before = cbm_seconds();
    assert_true(before > 0 && cbm_seconds() >= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),   cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_normal),          cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_parallel_covers), cmocka_unit_test(test_parallel_splits_alike),
        cmocka_unit_test(test_parallel_nested), cmocka_unit_test(test_parallel_from_several_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
