/* test_table.c: CSV tables (types, missing values, categories), LIBSVM's format, lines of text: what is read, and what each
   refusal says. */
#include "support/folder.h"
#include <cambium/cambium.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static cbm_context *cx;

static int open_context(void **state)
{
    (void)state;
    cx = cbm_open_with(.threads = 1);
    return 0;
}

static int close_context(void **state)
{
    (void)state;
    cbm_close(cx);
    return 0;
}

static void expect_error(cbm_status status, const char *message)
{
    assert_int_equal(cbm_context_status(cx), status);
    assert_string_equal(cbm_message(cx), message);
    cbm_clear(cx);
}

static const char flowers[] = "\xEF\xBB\xBF"
                              "length, width ,\"colour, name\",kind\r\n"
                              "1.5,2,\"red \"\"a\"\"\",rose\r\n"
                              "\r\n"
                              "2.5,?,blue,tulip\n"
                              " 3.5 ,4,\"red \"\"a\"\"\",rose\n"
                              "-.5e1,NA,,\"two\nlines\"";

static cbm_table *table_of(const char *text)
{
    return cbm_csv_read_memory(cx, text, strlen(text));
}

static void test_columns(void **state)
{
    (void)state;
    cbm_table *t = table_of(flowers);
    cbm_column c;
    assert_int_equal(cbm_table_rows(t), 4);
    assert_int_equal(cbm_table_columns(t), 4);
    assert_true(cbm_table_column(t, 0, &c));
    assert_string_equal(c.name, "length");
    assert_int_equal(c.missing, 0);
    assert_int_equal(c.categories, 0);
    assert_true(c.least == -5 && c.most == 3.5 && c.mean == 0.625);
    assert_true(fabs(c.deviation - sqrt((0.875 * 0.875 + 1.875 * 1.875 + 2.875 * 2.875 + 5.625 * 5.625) / 4)) < 1e-12);
    assert_true(cbm_table_column(t, 1, &c));
    assert_string_equal(c.name, "width");
    assert_int_equal(c.missing, 2);
    assert_true(c.mean == 3 && c.deviation == 1 && isnan(cbm_table_number(t, 1, 1)));
    assert_true(cbm_table_column(t, 2, &c));
    assert_string_equal(c.name, "colour, name");
    assert_int_equal(c.missing, 1);
    assert_int_equal(c.categories, 2);
    assert_true(isnan(c.mean));
    assert_string_equal(cbm_table_category(t, 2, 0), "blue");
    assert_string_equal(cbm_table_category(t, 2, 1), "red \"a\"");
    assert_null(cbm_table_category(t, 2, 2));
    assert_null(cbm_table_category(t, 0, 0));
    assert_true(cbm_table_number(t, 0, 2) == 1 && cbm_table_number(t, 1, 2) == 0 && isnan(cbm_table_number(t, 3, 2)));
    assert_string_equal(cbm_table_category(t, 3, (int64_t)cbm_table_number(t, 3, 3)), "two\nlines");
    assert_false(cbm_table_column(t, 4, &c));
    assert_false(cbm_table_column(NULL, 0, &c));
    assert_int_equal(cbm_table_find(t, "width"), 1);
    assert_int_equal(cbm_table_find(t, "height"), -1);
    assert_true(isnan(cbm_table_number(t, 4, 0)) && isnan(cbm_table_number(t, 0, -1)));
    cbm_table_release(t);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
}

static void test_ways_to_write(void **state)
{
    (void)state;
    cbm_table *t = cbm_csv_read_memory(cx, "% a comment\n1;x\n2;-\n", 20, .delimiter = ';', .no_header = true,
                                       .comment = '%', .missing = "-|none");
    cbm_column c;
    assert_int_equal(cbm_table_rows(t), 2);
    assert_true(cbm_table_column(t, 1, &c));
    assert_string_equal(c.name, "1");
    assert_int_equal(c.missing, 1);
    assert_int_equal(c.categories, 1);
    t = cbm_csv_read_memory(cx, "a\tb\n1\t\n", 7, .delimiter = '\t'); /* an empty cell at the end */
    assert_int_equal(cbm_table_columns(t), 2);
    assert_true(isnan(cbm_table_number(t, 0, 1)));
    t = cbm_csv_read_memory(cx, "a,b", 3); /* a header alone */
    assert_int_equal(cbm_table_rows(t), 0);
    assert_int_equal(cbm_table_columns(t), 2);
}

static void test_refused_csv(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        cbm_status status;
    } cases[] = {
        { "", "[csv] (memory): it holds no rows", CBM_ERROR_FORMAT },
        { "\n \n", "[csv] (memory): it holds no rows", CBM_ERROR_FORMAT },
        { "a,b\n\n1,2\n3\n", "[csv] (memory): line 4 has 1 cells, the first row 2", CBM_ERROR_FORMAT },
        { "a,b\n1,\"2\n3", "[csv] (memory): the quote opened on line 2 is never closed", CBM_ERROR_FORMAT },
        { "a,b\n\"1\"x,2", "[csv] (memory): line 2: text behind a closing quote", CBM_ERROR_FORMAT },
        { "a,b,a\n1,2,3", "[csv] (memory): two columns are called 'a'", CBM_ERROR_FORMAT },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(table_of(cases[i].text));
        expect_error(cases[i].status, cases[i].message);
    }
    assert_null(cbm_csv_read_memory(cx, "a\n\0", 3));
    expect_error(CBM_ERROR_FORMAT, "[csv] (memory): line 2 holds a zero byte");
    assert_null(cbm_csv_read_memory(cx, "a\n1", 3, .delimiter = '"'));
    expect_error(CBM_ERROR_INVALID, "[csv] (memory): the delimiter and the comment must be single ASCII characters");
    assert_null(cbm_csv_read(cx, "/nowhere/table.csv"));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_IO);
}

static void expect_sample(cbm_dataset *d, int64_t index, const float *input, size_t count, double target)
{
    cbm_tensor *x, *y;
    float got[16];
    assert_int_equal(cbm_dataset_get(d, index, &x, &y), CBM_OK);
    assert_int_equal(cbm_tensor_count(x), count);
    assert_int_equal(cbm_read(x, got, count * sizeof *got), CBM_OK);
    for (size_t i = 0; i < count; i++)
        assert_true(fabsf(got[i] - input[i]) < 1e-6f);
    assert_true(cbm_item(y) == target);
}

static void test_as_a_dataset(void **state)
{
    (void)state;
    cbm_table *t = table_of(flowers);
    cbm_dataset *d = cbm_table_dataset(t, .target = "kind", .missing = CBM_MISSING_MEAN, .standardise = 0);
    assert_int_equal(cbm_dataset_count(d), 4);
    assert_int_equal(cbm_dataset_classes(d), 3);
    assert_int_equal(cbm_dataset_target_dtype(d), CBM_I64);
    expect_sample(d, 0, (const float[]){ 1.5f, 2, 0, 1 }, 4, 0);
    expect_sample(d, 1, (const float[]){ 2.5f, 3, 1, 0 }, 4, 1);
    expect_sample(d, 3, (const float[]){ -5, 3, 0, 0 }, 4, 2);
    d = cbm_table_dataset(t, .target = "length", .missing = CBM_MISSING_ZERO, .ignore = "kind|colour, name");
    assert_int_equal(cbm_dataset_target_dtype(d), CBM_F32);
    expect_sample(d, 0, (const float[]){ -1 }, 1, 1.5);
    expect_sample(d, 1, (const float[]){ -3 }, 1, 2.5);
    assert_null(cbm_table_dataset(t, .target = "kind"));
    expect_error(CBM_ERROR_FORMAT, "[table_dataset] column 'width' has cells without a value. HINT: .missing = "
                                   "CBM_MISSING_MEAN for inputs");
    assert_null(cbm_table_dataset(t, .target = "height"));
    expect_error(CBM_ERROR_INVALID, "[table_dataset] column 'height' is to be the target, and is not there");
    assert_null(cbm_table_dataset(t, .target = "width", .missing = CBM_MISSING_MEAN));
    expect_error(CBM_ERROR_FORMAT, "[table_dataset] column 'width' has cells without a value. HINT: .missing = "
                                   "CBM_MISSING_MEAN for inputs");
    assert_null(cbm_table_dataset(t, .target = "kind", .ignore = "length|width|colour, name"));
    expect_error(CBM_ERROR_INVALID, "[table_dataset] 0 features");
    assert_null(cbm_table_dataset(NULL));
}

static void test_like_another_table(void **state)
{
    (void)state;
    cbm_table *train = table_of("x,kind,mark\n1,a,p\n3,b,q\n5,c,p\n");
    cbm_table *test = table_of("x,kind,mark\n7,d,q\n3,b,p\n");
    cbm_dataset *d = cbm_table_dataset(test, .target = "mark", .like = train);
    const float deviation = sqrtf(8.0f / 3);
    expect_sample(d, 0, (const float[]){ 4 / deviation, 0, 0, 0 }, 4, 1); /* d is unknown there */
    expect_sample(d, 1, (const float[]){ 0, 0, 1, 0 }, 4, 0);
    assert_null(cbm_table_dataset(test, .target = "kind", .like = train));
    expect_error(CBM_ERROR_RANGE, "[table_dataset] column 'kind' has a category that the other table does not have");
    assert_null(cbm_table_dataset(table_of("kind,x,mark\na,1,p\n"), .target = "mark", .like = train));
    expect_error(CBM_ERROR_INVALID, "[table_dataset] column 'kind' is not at the same place in the other table");
    assert_null(cbm_table_dataset(table_of("x,kind,mark\none,a,p\n"), .target = "mark", .like = train));
    expect_error(CBM_ERROR_FORMAT,
                 "[table_dataset] column 'x' holds numbers in the other table, here also other texts");
}

static void test_libsvm(void **state)
{
    (void)state;
    static const char text[] = "+1 1:0.5 3:-2e-1 # the first\n\n# nothing\n-1 \n+1\t2:7 \r\n";
    cbm_dataset *d = cbm_libsvm_memory(cx, text, sizeof text - 1);
    assert_int_equal(cbm_dataset_count(d), 3);
    assert_int_equal(cbm_dataset_classes(d), 2);
    expect_sample(d, 0, (const float[]){ 0.5f, 0, -0.2f }, 3, 1);
    expect_sample(d, 1, (const float[]){ 0, 0, 0 }, 3, 0);
    expect_sample(d, 2, (const float[]){ 0, 7, 0 }, 3, 1);
    const double labels[] = { 1, 0, -1 };
    d = cbm_libsvm_memory(cx, text, sizeof text - 1, .features = 4, .labels = labels, .label_count = 3);
    assert_int_equal(cbm_dataset_classes(d), 3);
    expect_sample(d, 1, (const float[]){ 0, 0, 0, 0 }, 4, 2);
    d = cbm_libsvm_memory(cx, text, sizeof text - 1, .regression = true);
    assert_int_equal(cbm_dataset_target_dtype(d), CBM_F32);
    expect_sample(d, 1, (const float[]){ 0, 0, 0 }, 3, -1);
}

static void test_refused_libsvm(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
        cbm_status status;
    } cases[] = {
        { "one 1:2", "line 1: the label is not a finite number", CBM_ERROR_FORMAT },
        { "1\ninf 1:2", "line 2: the label is not a finite number", CBM_ERROR_FORMAT },
        { "1 1:x", "line 1: a value is not a finite number", CBM_ERROR_FORMAT },
        { "1 1:1e39", "line 1: a value is not a finite number", CBM_ERROR_FORMAT },
        { "1 1:", "line 1: a value is not a finite number", CBM_ERROR_FORMAT },
        { "1 1 2", "line 1: \"index:value\" was expected", CBM_ERROR_FORMAT },
        { "1 qid:3 1:2", "line 1: \"index:value\" was expected", CBM_ERROR_FORMAT },
        { "1 0:2", "line 1: indices must begin at 1, increase, and be at most 16777216", CBM_ERROR_FORMAT },
        { "1 2:2 2:3", "line 1: indices must begin at 1, increase, and be at most 16777216", CBM_ERROR_FORMAT },
        { "1 99999999:2", "line 1: indices must begin at 1, increase, and be at most 16777216", CBM_ERROR_FORMAT },
    };
    char message[200];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_null(cbm_libsvm_memory(cx, cases[i].text, strlen(cases[i].text)));
        snprintf(message, sizeof message, "[libsvm] (memory): %s", cases[i].message);
        expect_error(cases[i].status, message);
    }
    assert_null(cbm_libsvm_memory(cx, "1 5:1", 5, .features = 4));
    expect_error(CBM_ERROR_RANGE, "[libsvm] (memory): a sample has feature 5, and there are 4");
    const double labels[] = { 2 };
    assert_null(cbm_libsvm_memory(cx, "1 1:1", 5, .labels = labels, .label_count = 1));
    expect_error(CBM_ERROR_RANGE, "[libsvm] (memory): sample 0 has the label 1, which is none of the 1 given");
    assert_null(cbm_libsvm(cx, "/nowhere"));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_IO);
}

static void test_lines(void **state)
{
    char path[512];
    size_t length;
    open_context(NULL);
    snprintf(path, sizeof path, "%s/text", (const char *)*state);
    assert_int_equal(cbm_write_file_atomically(cx, path, "one\ntwo\r\n\nfour", 14), CBM_OK);
    cbm_lines *l = cbm_lines_read(cx, path);
    static const char *const want[] = { "one", "two", "", "four" };
    assert_int_equal(cbm_lines_count(l), 4);
    for (int i = 0; i < 4; i++) {
        assert_string_equal(cbm_lines_at(l, i, &length), want[i]);
        assert_int_equal(length, strlen(want[i]));
    }
    assert_null(cbm_lines_at(l, 4, &length));
    assert_null(cbm_lines_at(l, -1, NULL));
    cbm_lines_release(l);
    assert_int_equal(cbm_lines_count(cbm_lines_read_memory(cx, "", 0)), 0);
    assert_int_equal(cbm_lines_count(cbm_lines_read_memory(cx, "\n", 1)), 1);
    assert_null(cbm_lines_read_memory(cx, "a\n\0", 3));
    expect_error(CBM_ERROR_FORMAT, "[lines] (memory): line 2 holds a zero byte: not a text file");
    cbm_lines_release(NULL);
    assert_int_equal(cbm_lines_count(NULL), 0);
    close_context(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_columns, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_ways_to_write, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_refused_csv, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_as_a_dataset, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_like_another_table, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_libsvm, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_refused_libsvm, open_context, close_context),
        cmocka_unit_test_setup_teardown(test_lines, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
