/* Arrays, text, numbers as text, names and shapes, hashing. */
#include "tensor/context.h"

#include <limits.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void test_array(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    cbm_array a = CBM_ARRAY(heap, int);
    for (int i = 0; i < 1000; i++)
        assert_non_null(cbm_array_push(&a, &i));
    assert_int_equal(*(int *)cbm_array_push(&a, NULL), 0);
    assert_true(cbm_array_append(&a, (int[]){ 7, 8 }, 2));
    assert_true(cbm_array_append(&a, NULL, 0));
    assert_int_equal(a.count, 1003);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(CBM_AT(&a, int, i), i);
    assert_int_equal(CBM_AT(&a, int, 1002), 8);
    assert_false(cbm_array_reserve(&a, SIZE_MAX / 2));
    assert_int_equal(a.count, 1003);
    cbm_array_free(&a);
    assert_non_null(cbm_array_push(&a, NULL));
    cbm_array_free(&a);
    cbm_heap_close(heap);
}

/* Each allocation fails once; what was there stays. */
static void test_array_without_memory(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    cbm_array a = CBM_ARRAY(heap, int);
    cbm_heap_fail_after(heap, 1);
    assert_null(cbm_array_push(&a, NULL));
    for (int i = 0; i < 8; i++)
        assert_non_null(cbm_array_push(&a, &i));
    cbm_heap_fail_after(heap, 1);
    assert_null(cbm_array_push(&a, NULL));
    assert_int_equal(a.count, 8);
    assert_int_equal(CBM_AT(&a, int, 7), 7);
    cbm_array_free(&a);
    cbm_heap_close(heap);
}

static void test_text(void **state)
{
    (void)state;
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    cbm_text t = cbm_text_open(heap);
    assert_string_equal(cbm_text_get(&t), "");
    assert_true(cbm_text_append(&t, "%s", "one"));
    assert_true(cbm_text_append(&t, " %d", 2));
    assert_string_equal(cbm_text_get(&t), "one 2");
    char expected[4096] = "one 2";
    for (int i = 0; i < 300; i++) {
        assert_true(cbm_text_append(&t, ",%d", i));
        sprintf(expected + strlen(expected), ",%d", i);
    }
    assert_string_equal(cbm_text_get(&t), expected);
    cbm_heap_fail_after(heap, 1);
    assert_false(cbm_text_append(&t, "%5000d", 1));
    assert_string_equal(cbm_text_get(&t), expected);
    assert_true(cbm_text_append(&t, "!"));
    assert_int_equal(strlen(cbm_text_get(&t)), strlen(expected) + 1);
    cbm_text_free(&t);
    cbm_heap_close(heap);
}

static void check_numbers(void)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { -0.0, "-0" },
        { 1, "1" },
        { 0.1, "0.1" },
        { -2.5, "-2.5" },
        { 1e300, "1e+300" },
        { 1.0 / 3, NULL },
        { 5e-324, NULL },
        { 1e22, "1e+22" },
        { 0.3, "0.3" },
        { 123456789.125, "123456789.125" },
        { 1.7976931348623157e308, "1.7976931348623157e+308" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[40];
        double back = 1;
        assert_ptr_equal(cbm_double_text(cases[i].value, text, sizeof text), text);
        if (cases[i].text != NULL)
            assert_string_equal(text, cases[i].text);
        assert_true(cbm_double_parse(text, &back));
        assert_true(memcmp(&back, &cases[i].value, sizeof back) == 0);
    }
    double v;
    char text[8];
    assert_true(cbm_double_parse(cbm_double_text((double)NAN, text, sizeof text), &v) && isnan(v));
    assert_string_equal(cbm_double_text(-(double)INFINITY, text, sizeof text), "-inf");
    assert_true(cbm_double_parse("inf", &v) && v > 1e308);
    static const char *const bad[] = { "",      " 1",     "1 ", "1,5", "0x10",     "1e999", "-1e999",
                                       "1.2.3", "nan(1)", "e",  "+",   "infinity", "one",   "1e" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cbm_double_parse(bad[i], &v));
    assert_true(cbm_double_parse("1e-999", &v));
    assert_true(v == 0);
}

static void test_numbers(void **state)
{
    (void)state;
    check_numbers();
}

/* The same where the decimal point is a comma, if such a locale is installed. */
static void test_numbers_under_a_locale(void **state)
{
    (void)state;
    static const char *const names[] = { "de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "nl_NL.UTF-8" };
    const char *found = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && found == NULL; i++)
        found = setlocale(LC_ALL, names[i]);
    check_numbers();
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    cbm_text t = cbm_text_open(heap);
    assert_true(cbm_text_append(&t, "%.2f", 1.5));
    assert_string_equal(cbm_text_get(&t), "1.50");
    cbm_text_free(&t);
    cbm_heap_close(heap);
    cbm_context *cx = cbm_open(NULL);
    cbm_fail(cx, CBM_ERROR_INVALID, "[test] %g is too little", 0.5);
    assert_string_equal(cbm_message(cx), "[test] 0.5 is too little");
    cbm_close(cx);
    setlocale(LC_ALL, "C");
}

static void test_integers(void **state)
{
    (void)state;
    int64_t v = 0;
    assert_true(cbm_int_parse("-9223372036854775808", &v));
    assert_true(v == INT64_MIN);
    assert_true(cbm_int_parse("42", &v));
    assert_int_equal(v, 42);
    static const char *const bad[] = { "", " 1", "1 ", "1.0", "0x10", "9223372036854775808", "-", "1-", "ten" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(cbm_int_parse(bad[i], &v));
    assert_int_equal(v, 42);
}

static void test_shapes(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(cbm_shape_text(&CBM_SHAPE(64, 1, 28, 28), text, sizeof text), "(64, 1, 28, 28)");
    assert_string_equal(cbm_shape_text(&CBM_SHAPE(), text, sizeof text), "()");
    assert_string_equal(cbm_shape_text(&CBM_SHAPE(3), text, sizeof text), "(3)");
    assert_string_equal(cbm_shape_text(&CBM_SHAPE(1000, 1000), text, 8), "(1000, ");
    assert_int_equal(cbm_shape_count(&CBM_SHAPE()), 1);
    assert_int_equal(cbm_shape_count(&CBM_SHAPE(2, 3, 4)), 24);
    assert_int_equal(cbm_shape_count(&CBM_SHAPE(2, 0, 4)), 0);
    assert_int_equal(cbm_shape_count(&CBM_SHAPE(2, -1)), -1);
    assert_int_equal(cbm_shape_count(&CBM_SHAPE(INT64_MAX, 2)), -1);
    assert_int_equal(cbm_shape_count(&CBM_SHAPE(0, INT64_MAX, 2)), -1);
    cbm_shape nine = CBM_SHAPE(1, 1, 1, 1, 1, 1, 1, 1);
    nine.v[0] = 9;
    assert_int_equal(cbm_shape_count(&nine), -1);
    assert_false(cbm_shape_equal(&nine, &nine));
    assert_true(cbm_shape_equal(&CBM_SHAPE(1, 2), &CBM_SHAPE(1, 2)));
    assert_false(cbm_shape_equal(&CBM_SHAPE(1, 2), &CBM_SHAPE(1, 3)));
    assert_false(cbm_shape_equal(&CBM_SHAPE(1, 2), &CBM_SHAPE(1, 2, 1)));
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(cbm_status_name(CBM_ERROR_SHAPE), "shape error");
    assert_string_equal(cbm_status_name(CBM_ERROR_CANCELLED), "cancelled");
    assert_string_equal(cbm_status_name((cbm_status)77), "unknown status");
    static const size_t sizes[CBM_DTYPE_COUNT] = { 4, 8, 8, 4, 1, 1, 2 };
    for (int d = 0; d < CBM_DTYPE_COUNT; d++)
        assert_int_equal(cbm_dtype_size((cbm_dtype)d), sizes[d]);
    assert_int_equal(cbm_dtype_size((cbm_dtype)CBM_DTYPE_COUNT), 0);
    assert_string_equal(cbm_dtype_name(CBM_BOOL), "bool");
    int major, minor, patch;
    assert_int_equal(sscanf(cbm_version(), "%d.%d.%d", &major, &minor, &patch), 3);
    assert_int_equal(cbm_version_number(), major * 10000 + minor * 100 + patch);
}

/* Every prefix and every single flipped bit of 200 bytes hashes differently, and alignment does not matter. */
static void test_hash(void **state)
{
    (void)state;
    static unsigned char data[200], shifted[201];
    static uint64_t seen[201 + 1600];
    size_t count = 0;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37);
    for (size_t n = 0; n <= sizeof data; n++)
        seen[count++] = cbm_hash_bytes(data, n, 5);
    memcpy(shifted + 1, data, sizeof data);
    assert_true(cbm_hash_bytes(shifted + 1, sizeof data, 5) == seen[200]);
    assert_true(cbm_hash_bytes(data, sizeof data, 6) != seen[200]);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (unsigned char)(1U << bit % 8);
        seen[count++] = cbm_hash_bytes(data, sizeof data, 5);
        data[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array),
        cmocka_unit_test(test_array_without_memory),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_numbers_under_a_locale),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
