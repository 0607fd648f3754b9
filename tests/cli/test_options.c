/* The parser of options: forms of writing them, limits, errors, and the hint of what was given. */
#include "cli/cli.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct sample_options {
    bool flag;
    const char *text;
    int64_t number;
    double real;
} sample_options;

static const cbm_option table[] = {
    { "flag", 'f', CBM_OPTION_FLAG, offsetof(sample_options, flag), NULL, "", 0, 0 },
    { "text", 't', CBM_OPTION_TEXT, offsetof(sample_options, text), "T", "", 0, 0 },
    { "number", 'n', CBM_OPTION_INT, offsetof(sample_options, number), "N", "", -5, 100 },
    { "real", 'r', CBM_OPTION_REAL, offsetof(sample_options, real), "X", "", 0, 1 },
};
static const cbm_command command = {
    .name = "sample", .usage = "A B", .options = table, .n_options = 4, .least = 1, .most = 2
};

/* Parses a line of words. */
static bool parse(const char *line, sample_options *o, cbm_arguments *rest, bool *help)
{
    static char words[256];
    static char *at[32];
    int count = 0;
    strcpy(words, line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " "))
        at[count++] = w;
    *o = (sample_options){ 0 };
    return cbm_options_parse(&command, count, at, o, rest, help);
}

static void test_forms(void **state)
{
    (void)state;
    sample_options o;
    cbm_arguments rest;
    bool help;
    assert_true(parse("one --text word -n 7 --real=0.25 two --flag", &o, &rest, &help));
    assert_true(o.flag);
    assert_string_equal(o.text, "word");
    assert_int_equal(o.number, 7);
    assert_true(o.real > 0.2499 && o.real < 0.2501);
    assert_int_equal(rest.count, 2);
    assert_string_equal(rest.at[0], "one");
    assert_string_equal(rest.at[1], "two");
    assert_false(help);
    assert_true(parse("one -n-5 -f", &o, &rest, &help));
    assert_int_equal(o.number, -5);
    assert_true(parse("-t -x -- -f", &o, &rest, &help));
    assert_string_equal(o.text, "-x");
    assert_false(o.flag);
    assert_string_equal(rest.at[0], "-f");
    assert_true(parse("one -", &o, &rest, &help));
    assert_string_equal(rest.at[1], "-");
    assert_true(parse("--help", &o, &rest, &help));
    assert_true(help);
    assert_true(parse("one --nonsense -h", &o, &rest, &help));
    assert_true(help);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "a b c",
        "a --nothing",
        "a --text",
        "a -n 101",
        "a -n -6",
        "a -n 1.5",
        "a -n x",
        "a -n 0x10",
        "a --flag=1",
        "a -ff",
        "a --real 2",
        "a --real nan",
        "a --real inf",
        "a --real x",
        "a --number= ",
        "a --number 99999999999999999999",
        "a -z",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        sample_options o;
        cbm_arguments rest;
        bool help;
        assert_false(parse(wrong[i], &o, &rest, &help));
    }
}

static void test_given(void **state)
{
    (void)state;
    static const char *const leave_out[] = { "number", NULL };
    sample_options o;
    cbm_arguments rest;
    bool help;
    char *text = NULL;
    size_t size = 0;
    assert_true(parse("a --text it's -n 3 -f --real 0.5", &o, &rest, &help));
    FILE *out = open_memstream(&text, &size);
    cbm_options_print_given(out, leave_out);
    fclose(out);
    assert_string_equal(text, " --text 'it'\\''s' --flag --real 0.5");
    free(text);
}

static const char *word_at(size_t i, void *user)
{
    (void)user;
    static const char *const words[] = { "train", "eval", "predict", NULL };
    return words[i];
}

static void test_texts(void **state)
{
    (void)state;
    char t[32];
    assert_string_equal(cbm_text_count(1199882, t), "1,199,882");
    assert_string_equal(cbm_text_count(-1000, t), "-1,000");
    assert_string_equal(cbm_text_count(999, t), "999");
    assert_string_equal(cbm_text_si(23987712, t), "24.0 M");
    assert_string_equal(cbm_text_bytes(4.6 * 1024 * 1024, t), "4.6 MiB");
    assert_string_equal(cbm_text_seconds(65.2, t), "1:05");
    assert_string_equal(cbm_text_seconds(3723, t), "1:02:03");
    assert_string_equal(cbm_text_seconds(1.0 / 0.0, t), "?");
    assert_string_equal(cbm_nearest("trian", word_at, NULL), "train");
    assert_string_equal(cbm_nearest("pred", word_at, NULL), "predict");
    assert_null(cbm_nearest("zzz", word_at, NULL));
}

static void test_json(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "text", "quote\" \x01 \xff");
    cbm_json_text(&j, "none", NULL);
    cbm_json_real(&j, "nan", 0.0 / 0.0);
    cbm_json_real(&j, "tenth", 0.1);
    cbm_json_shape(&j, "shape", &CBM_SHAPE(1, 28));
    cbm_json_array(&j, "empty");
    cbm_json_close(&j);
    cbm_json_bool(&j, "yes", true);
    assert_int_equal(cbm_json_end(&j, out), CBM_EXIT_OK);
    fclose(out);
    assert_string_equal(
        text, "{\n  \"text\": \"quote\\\" \\u0001 ?\",\n  \"none\": null,\n  \"nan\": null,\n  \"tenth\": 0.1,\n"
              "  \"shape\": [\n    1,\n    28\n  ],\n  \"empty\": [],\n  \"yes\": true\n}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms), cmocka_unit_test(test_errors), cmocka_unit_test(test_given),
        cmocka_unit_test(test_texts), cmocka_unit_test(test_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
