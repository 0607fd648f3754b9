/* test_tuning.c: measured choices are remembered, in the process and in the user's cache folder; a damaged or foreign file is
   as if it were not there; and a context that measures computes what one that does not computes. */
#include "backend/cpu/tuning.h"
#include "support/folder.h"
#include <cambium/ops.h>
#include <cambium/context.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char file[600];

static void write_file(const char *text)
{
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    cbm_tuning_forget();
}

static const char *found(const char *key)
{
    static char choice[CBM_TUNING_CHOICE];
    cbm_tuning_find(key, choice);
    return choice;
}

static void test_remembered(void **state)
{
    (void)state;
    assert_string_equal(found("work a"), "");
    cbm_tuning_add("work a", "direct");
    cbm_tuning_add("work b", "winograd");
    cbm_tuning_add("work a", "library"); /* plans may have been made with the first */
    assert_string_equal(found("work a"), "direct");
    cbm_tuning_forget(); /* a new process: from the file */
    assert_string_equal(found("work a"), "direct");
    assert_string_equal(found("work b"), "winograd");
    assert_string_equal(found("work"), "");
}

static void test_damaged_files_are_ignored(void **state)
{
    (void)state;
    cbm_tuning_add("work a", "direct");
    char *good = cbm_tuning_text();
    assert_non_null(good);
    char broken[2000];
    snprintf(broken, sizeof broken, "%s", good);
    broken[9] ^= 1; /* another processor's first line */
    write_file(broken);
    assert_string_equal(found("work a"), "");
    snprintf(broken, sizeof broken, "%swork c : direct\n", good);
    write_file(broken);
    assert_string_equal(found("work c"), "");
    assert_string_equal(found("work a"), "");
    snprintf(broken, sizeof broken, "%swork with a key that is %0300d = direct\n", good, 7);
    write_file(broken);
    assert_string_equal(found("work a"), "direct"); /* a line that is too long is left out */
    write_file("");
    assert_string_equal(found("work a"), "");
    cbm_tuning_add("work d", "direct"); /* and the file is made anew */
    cbm_tuning_forget();
    assert_string_equal(found("work d"), "direct");
    assert_true(cbm_tuning_merge(good, strlen(good)));
    assert_string_equal(found("work a"), "direct");
    char other[2000];
    snprintf(other, sizeof other, "%.*swork a = winograd\n", (int)(strchr(good, '\n') + 1 - good), good);
    assert_true(cbm_tuning_merge(other, strlen(other))); /* a checkpoint's choice counts, not this process's */
    assert_string_equal(found("work a"), "winograd");
    assert_false(cbm_tuning_merge(good, strlen(good) / 2));
    assert_false(cbm_tuning_merge("nonsense", 8));
    free(good);
}

static void convolve(bool tune, float *to)
{
    cbm_context *cx = cbm_open_with(.tune = tune, .seed = 5);
    cbm_tensor *x = cbm_uniform(cx, CBM_F32, CBM_SHAPE(2, 32, 14, 14), -1, 1);
    cbm_tensor *w = cbm_uniform(cx, CBM_F32, CBM_SHAPE(32, 32, 3, 3), -1, 1);
    cbm_tensor *y = cbm_conv2d(x, w, NULL, .padding = CBM_SHAPE(1));
    assert_int_equal(cbm_read(y, to, 2 * 32 * 14 * 14 * sizeof *to), CBM_OK);
    cbm_close(cx);
}

static void test_the_same_numbers(void **state)
{
    (void)state;
    static float measured[2 * 32 * 14 * 14], ruled[2 * 32 * 14 * 14];
    convolve(true, measured);
    convolve(false, ruled);
    for (size_t i = 0; i < sizeof ruled / sizeof *ruled; i++)
        assert_true(fabsf(measured[i] - ruled[i]) < 1e-4f);
}

static int own_cache(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    snprintf(file, sizeof file, "%s/cambium/tuning", (const char *)*state);
    return setenv("XDG_CACHE_HOME", *state, 1);
}

static int cache_removed(void **state)
{
    cbm_tuning_forget();
    return folder_remove(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_remembered, own_cache, cache_removed),
        cmocka_unit_test_setup_teardown(test_damaged_files_are_ignored, own_cache, cache_removed),
        cmocka_unit_test_setup_teardown(test_the_same_numbers, own_cache, cache_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
