/* test_steady.c: a repeated training step makes no new plan, asks the allocator for nothing and holds no more memory; when
   shapes change every step, the cache of plans stays within its bound and memory stays flat. */
#include "robust/step.h"

#include <stdlib.h>

/* Every block that the process takes, also those that kernels and other libraries take behind the context's back, is
   counted while counting is set. Sanitizers have an allocator of their own. */
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNTS_BLOCKS 1
static int32_t counting, blocks;

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static void count_block(void)
{
    if (__atomic_load_n(&counting, __ATOMIC_RELAXED))
        __atomic_add_fetch(&blocks, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    count_block();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_block();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    count_block();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count_block();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size)
{
    count_block();
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : 12;
}
#endif

static const char *const devices[] = { "reference", "cpu" };

static void test_repeated_step(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        cbm_context *cx = cbm_open_with(.device = devices[d], .threads = 1);
        step_model m = step_model_new(cx);
        for (int i = 0; i < 5; i++)
            step_run(&m, i, 0);
        cbm_statistics before = cbm_context_statistics(cx);
        for (int i = 0; i < 1000; i++)
            step_run(&m, i, 0);
        cbm_statistics after = cbm_context_statistics(cx);
#ifndef CBM_PLAIN_HEAP /* where each block is one of the allocator's */
        assert_int_equal(after.allocations, before.allocations);
#endif
        assert_int_equal(after.bytes_now, before.bytes_now);
        assert_int_equal(after.bytes_peak, before.bytes_peak);
        assert_int_equal(after.plans_made, before.plans_made);
        assert_int_equal(after.plans_reused, before.plans_reused + 1000);
        assert_int_equal(after.versions_copied, before.versions_copied);
        assert_string_equal(cbm_message(cx), "");
        cbm_close(cx);
    }
}

/* A small network's steps take no block from anywhere, on one thread and on more. */
static void test_no_blocks_at_all(void **state)
{
    (void)state;
#ifdef COUNTS_BLOCKS
    for (int64_t threads = 1; threads <= 3; threads++) {
        cbm_context *cx = cbm_open_with(.threads = threads);
        step_model m = step_model_new(cx);
        for (int i = 0; i < 10; i++)
            step_run(&m, i, 0);
        __atomic_store_n(&blocks, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&counting, 1, __ATOMIC_RELAXED);
        for (int i = 0; i < 200; i++)
            step_run(&m, i, 0);
        __atomic_store_n(&counting, 0, __ATOMIC_RELAXED);
        assert_int_equal(__atomic_load_n(&blocks, __ATOMIC_RELAXED), 0);
        __atomic_store_n(&counting, 1, __ATOMIC_RELAXED);
        void *volatile one = malloc(1); /* the count counts */
        __atomic_store_n(&counting, 0, __ATOMIC_RELAXED);
        free(one);
        assert_int_equal(__atomic_load_n(&blocks, __ATOMIC_RELAXED), 1);
        assert_string_equal(cbm_message(cx), "");
        cbm_close(cx);
    }
#endif
}

/* Learning rates, slice starts and dropout's positions are not part of a plan's identity. */
static void test_numbers_make_no_plans(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *v = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(64, 8)), true);
    uint64_t made = 0;
    for (int64_t i = 0; i < 40; i++) {
        CBM_SCOPE(s, cx);
        cbm_tensor *row = cbm_slice(v, 0, i, i + 4, 1);
        cbm_tensor *noise = cbm_uniform(cx, CBM_F32, CBM_SHAPE(4, 8), 0, 1.0 + (double)i);
        cbm_tensor *sum = cbm_sum(cbm_dropout(cbm_mul(cbm_add_scalar(row, (double)i), noise), 0.1 + 0.01 * (double)i));
        cbm_backward(sum);
        cbm_assign(v, cbm_sub(v, cbm_mul_scalar(cbm_gradient(v), 1e-6 * (double)i)));
        cbm_clear_gradient(v);
        cbm_flush(cx);
        if (i == 3)
            made = cbm_context_statistics(cx).plans_made;
    }
    assert_int_equal(cbm_context_statistics(cx).plans_made, made);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

/* A step on a batch of sequences of this length. */
static double lengths(cbm_context *cx, cbm_tensor *w, int64_t length)
{
    CBM_SCOPE(s, cx);
    cbm_tensor *x = cbm_full(cx, CBM_F32, CBM_SHAPE(length, 4), 0.01);
    cbm_tensor *loss = cbm_mean(cbm_tanh(cbm_matmul(x, w)));
    cbm_backward(loss);
    cbm_assign(w, cbm_sub(w, cbm_mul_scalar(cbm_gradient(w), 0.1)));
    cbm_clear_gradient(w);
    cbm_flush(cx);
    return cbm_item(loss);
}

static void test_ten_thousand_lengths(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        const int64_t count = d ? 10000 : 500; /* the reference is slow */
        cbm_context *cx = cbm_open_with(.device = devices[d], .plan_cache = 32, .threads = 1);
        cbm_tensor *w = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(4, 4)), true);
        lengths(cx, w, 100);
        uint64_t bytes = 0, longest = 0;
        for (int64_t i = 0; i < count; i++) {
            int64_t length = 1 + i * 7919 % count; /* each once */
            assert_true(isfinite(lengths(cx, w, length)));
            cbm_statistics now = cbm_context_statistics(cx);
            assert_true(now.plans_cached <= 32);
            longest = now.bytes_now > longest ? now.bytes_now : longest;
            if (i == count / 2 - 1) {
                bytes = longest;
                longest = 0;
            }
        }
        cbm_statistics s = cbm_context_statistics(cx);
        assert_true(s.plans_evicted >= (uint64_t)count - 40);
        if (longest > bytes + bytes / 8)
            fail_msg("memory grows: %llu bytes at most, then %llu", (unsigned long long)bytes,
                     (unsigned long long)longest);
        assert_string_equal(cbm_message(cx), "");
        cbm_trim(cx);
        assert_int_equal(cbm_context_statistics(cx).plans_cached, 0);
        assert_true(cbm_context_statistics(cx).bytes_now < 64 * 1024);
        assert_true(isfinite(lengths(cx, w, 5)));
        cbm_close(cx);
    }
}

/* Two shapes in turn, as with a last, smaller batch: both plans stay. */
static void test_two_shapes_in_turn(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open_with(.plan_cache = 2, .threads = 1);
    cbm_tensor *w = cbm_variable(cbm_ones(cx, CBM_F32, CBM_SHAPE(4, 4)), true);
    for (int i = 0; i < 3; i++) {
        lengths(cx, w, 8);
        lengths(cx, w, 5);
    }
    cbm_statistics before = cbm_context_statistics(cx);
    for (int i = 0; i < 100; i++) {
        lengths(cx, w, 8);
        lengths(cx, w, 5);
    }
    cbm_statistics after = cbm_context_statistics(cx);
    assert_int_equal(after.plans_made, before.plans_made);
    assert_int_equal(after.bytes_now, before.bytes_now);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeated_step),         cmocka_unit_test(test_no_blocks_at_all),
        cmocka_unit_test(test_numbers_make_no_plans), cmocka_unit_test(test_ten_thousand_lengths),
        cmocka_unit_test(test_two_shapes_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
