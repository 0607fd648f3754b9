/* test_commits.c: the update of many parameters of all sizes runs as one; it gives the bits of updates one by one, on any
   number of threads, with operands that are broadcast, converted or random among them. */
#include <cambium/cambium.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { VARIABLES = 150, STEPS = 3, LARGEST = 40000 };

static int64_t size_of(int i)
{
    static const int64_t sizes[] = { 1, 7, 16, 17, 64, 1000, 1023, 1025, 8191, LARGEST, 0, 3 };
    return sizes[i % 12];
}

/* All variables after some steps, one after the other. */
static float *updated(int64_t threads, bool naive, size_t *count)
{
    cbm_context *cx = cbm_open_with(.threads = threads, .naive = naive, .seed = 3);
    cbm_tensor *v[VARIABLES];
    size_t total = 0;
    for (int i = 0; i < VARIABLES; i++) {
        v[i] = cbm_variable(cbm_uniform(cx, CBM_F32, CBM_SHAPE(size_of(i)), -1, 1), true);
        total += (size_t)size_of(i);
    }
    cbm_tensor *rate = cbm_variable(cbm_full(cx, CBM_F32, CBM_SHAPE(), 0.1), false);
    assert_int_equal(cbm_flush(cx), CBM_OK);
    for (int s = 0; s < STEPS; s++) {
        CBM_NO_GRAD(scope, cx);
        for (int i = 0; i < VARIABLES; i++) {
            cbm_tensor *x = v[i];
            switch (i % 4) {
            case 0: x = cbm_mul(x, rate); break;
            case 1: x = cbm_sub(x, cbm_mul_scalar(cbm_tanh(x), 0.01 * (s + 1))); break;
            case 2: x = cbm_cast(cbm_cast(cbm_mul_scalar(x, 100), CBM_I32), CBM_F32); break;
            default: x = cbm_add(x, cbm_uniform(cx, CBM_F32, CBM_SHAPE(size_of(i)), 0, 1)); break;
            }
            cbm_assign(v[i], x);
        }
        assert_int_equal(cbm_flush(cx), CBM_OK);
    }
    float *all = calloc(total + 1, sizeof *all);
    size_t at = 0;
    for (int i = 0; i < VARIABLES; i++) {
        assert_int_equal(cbm_read(v[i], all + at, (size_t)size_of(i) * sizeof *all), CBM_OK);
        at += (size_t)size_of(i);
    }
    if (!naive)
        assert_int_equal(cbm_context_statistics(cx).versions_copied, 0);
    cbm_close(cx);
    *count = total;
    return all;
}

static void test_all_at_once(void **state)
{
    (void)state;
    size_t count;
    float *one_by_one = updated(1, true, &count);
    for (int64_t threads = 1; threads <= 3; threads++) {
        size_t n;
        float *together = updated(threads, false, &n);
        assert_int_equal(n, count);
        assert_memory_equal(together, one_by_one, count * sizeof *together);
        free(together);
    }
    free(one_by_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all_at_once) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
