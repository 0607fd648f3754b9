/* test_printing.c: tensors as text are what NumPy writes: the cases of data/printing.txt, which make_printing.py made, in a
   locale with a decimal comma where there is one. And the caller's buffer is not overrun. */
#define CBM_NO_CALL_SITES
#include <cambium/cambium.h>

#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LINE_MOST = 1 << 16, TEXT_MOST = 1 << 16, VALUES_MOST = 1 << 14 };

static cbm_dtype dtype_named(const char *name)
{
    for (int t = 0; t < CBM_DTYPE_COUNT; t++)
        if (strcmp(cbm_dtype_name((cbm_dtype)t), name) == 0)
            return (cbm_dtype)t;
    fail_msg("no dtype is called %s", name);
    return CBM_F32;
}

/* A number, whatever the locale. */
static double number(const char **at)
{
    char *end;
    const char *before = setlocale(LC_NUMERIC, NULL);
    char kept[64];
    snprintf(kept, sizeof kept, "%s", before);
    setlocale(LC_NUMERIC, "C");
    const double x = strtod(*at, &end);
    setlocale(LC_NUMERIC, kept);
    *at = end;
    return x;
}

/* "f32 (2,3) 1.0 2.0 ..." or "... ramp A B". */
static cbm_tensor *tensor_of(cbm_context *cx, const char *line)
{
    static double values[VALUES_MOST];
    char name[16];
    size_t length = strcspn(line, " ");
    snprintf(name, sizeof name, "%.*s", (int)length, line);
    const cbm_dtype dtype = dtype_named(name);
    cbm_shape shape = { { 0 } };
    const char *at = line + length + 2;
    while (*at != ')') {
        shape.v[++shape.v[0]] = strtoll(at, (char **)(uintptr_t)&at, 10);
        at += *at == ',';
    }
    at += 2;
    int64_t count = 1;
    for (int64_t d = 1; d <= shape.v[0]; d++)
        count *= shape.v[d];
    assert_true(count <= VALUES_MOST);
    if (strncmp(at, "ramp", 4) == 0) {
        at += 4;
        const double start = number(&at), step = number(&at);
        for (int64_t i = 0; i < count; i++)
            values[i] = start + step * (double)i;
    } else {
        for (int64_t i = 0; i < count; i++)
            values[i] = number(&at);
    }
    cbm_tensor *t = cbm_tensor_from(cx, CBM_F64, shape, values);
    return cbm_cast(dtype == CBM_BF16 ? cbm_cast(t, CBM_F32) : t, dtype);
}

/* Compares the text and what comes of buffers that are too short. */
static int check(cbm_tensor *t, const char *line, const char *want)
{
    static char got[TEXT_MOST], part[TEXT_MOST];
    const size_t length = cbm_tensor_format(t, got, sizeof got);
    if (strcmp(got, want) != 0) {
        print_error("%.60s\n%s\nshould be\n%s\n", line, got, want);
        return 1;
    }
    assert_int_equal(length, strlen(want));
    assert_int_equal(cbm_tensor_format(t, NULL, 0), length);
    for (size_t size = 1; size <= length + 1; size += 1 + length / 5) {
        memset(part, '#', sizeof part);
        assert_int_equal(cbm_tensor_format(t, part, size), length);
        assert_int_equal(strlen(part), size - 1);
        assert_memory_equal(part, want, size - 1);
        assert_int_equal(part[size], '#');
    }
    return 0;
}

static void as_numpy(void **state)
{
    (void)state;
    static char line[LINE_MOST], next[LINE_MOST], want[TEXT_MOST];
    FILE *f = fopen(CBM_SOURCE_DIR "/tests/tensor/data/printing.txt", "r");
    assert_non_null(f);
    setlocale(LC_ALL, "de_DE.UTF-8");
    cbm_context *cx = cbm_open(NULL);
    int cases = 0, failures = 0;
    for (bool more = fgets(line, sizeof line, f) != NULL; more; cases++) {
        want[0] = 0;
        while ((more = fgets(next, sizeof next, f) != NULL) && next[0] == '|')
            strcat(want, next + 1);
        want[strlen(want) - 1] = 0;
        CBM_SCOPE(scope, cx);
        failures += check(tensor_of(cx, line), line, want);
        memcpy(line, next, sizeof line);
    }
    fclose(f);
    assert_string_equal(cbm_message(cx), "");
    assert_int_equal(failures, 0);
    assert_true(cases > 200);
    cbm_close(cx);
    setlocale(LC_ALL, "C");
}

static void of_failed_tensors(void **state)
{
    (void)state;
    char text[8] = "before";
    cbm_context *cx = cbm_open(NULL);
    assert_int_equal(cbm_tensor_format(NULL, text, sizeof text), 0);
    assert_string_equal(text, "");
    assert_int_equal(cbm_tensor_format(cbm_zeros(cx, CBM_F32, CBM_SHAPE(-1)), text, sizeof text), 0);
    assert_string_equal(text, "");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_numpy), cmocka_unit_test(of_failed_tensors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
