/* test_wordnet.c: WordNet's nouns: a small file of that form read, vectors by hand, files that are damaged or hostile. */
#include "recipes/wordnet.h"
#include "support/folder.h"
#include "support/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* An animal; a cat and a dog, which are animals; a tabby, which is a cat, twice over; a truck, which is nothing's kind. */
static const char nouns[] = "  1 a licence, which begins with spaces\n"
                            "00000100 05 n 02 animal 0 beast 1 000 | lives\n"
                            "00000200 05 n 01 cat 0 002 @ 00000100 n 0000 ~ 00000400 n 0000 | purrs\n"
                            "00000300 05 n 01 dog 0 001 @ 00000100 n 0000 | barks\n"
                            "00000400 05 n 01 tabby 0 002 @ 00000200 n 0000 @ 00000100 n 0000 | striped\n"
                            "00000500 06 n 01 truck 0 001 @ 00000999 n 0000 | carries\n"
                            "00000600 18 n 01 cat 1 000 | a man\n";

static cbm_status read_text(cbm_context *cx, void *const *state, const char *text, size_t size, cbm_wordnet *w)
{
    const char *path = folder_path(state, "data.noun");
    folder_put(path, text, size);
    return cbm_wordnet_read(cx, path, w);
}

static void test_read(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    cbm_wordnet w;
    assert_int_equal(read_text(cx, state, nouns, strlen(nouns), &w), CBM_OK);
    assert_int_equal(w.count, 6);
    assert_string_equal(w.at[0].word, "animal");
    assert_int_equal(cbm_wordnet_find(&w, "cat", 5), 1);
    assert_int_equal(cbm_wordnet_find(&w, "cat", 18), 5);
    assert_int_equal(cbm_wordnet_find(&w, "beast", 5), -1); /* stands for no set */
    assert_int_equal(w.at[3].parents[0], 1);
    assert_int_equal(w.at[3].parents[1], 0);
    assert_int_equal(w.at[3].parents[2], -1);
    assert_int_equal(w.at[4].parents[0], -1); /* of an unknown meaning */
    cbm_wordnet_free(&w);
    cbm_close(cx);
}

static double cosine(const cbm_wordnet *w, int64_t a, int64_t b)
{
    enum { DIMENSIONS = 4096 };
    static float x[DIMENSIONS], y[DIMENSIONS];
    double sum = 0, squares = 0;
    cbm_wordnet_vector(w, a, DIMENSIONS, x);
    cbm_wordnet_vector(w, b, DIMENSIONS, y);
    for (int i = 0; i < DIMENSIONS; i++) {
        sum += (double)x[i] * (double)y[i];
        squares += (double)x[i] * (double)x[i];
    }
    assert_true(fabs(squares - 1) < 1e-5);
    return sum;
}

/* Random directions are at right angles, but for 1/sqrt(4096): the products of what two meanings share remain. */
static void test_vectors(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    cbm_wordnet w;
    assert_int_equal(read_text(cx, state, nouns, strlen(nouns), &w), CBM_OK);
    const double near = 0.9, of_cat = 1 + near * near, of_tabby = of_cat + near * near; /* squared lengths */
    assert_true(fabs(cosine(&w, 1, 1) - 1) < 1e-5);
    assert_true(fabs(cosine(&w, 1, 2) - near * near / of_cat) < 0.06);
    assert_true(fabs(cosine(&w, 3, 1) - (near + near * near) / sqrt(of_cat * of_tabby)) < 0.06);
    assert_true(fabs(cosine(&w, 1, 4)) < 0.06);
    cbm_wordnet_free(&w);
    cbm_close(cx);
}

/* Meanings that are kinds of each other, and more ancestors than anything has: an end all the same. */
static void test_cycles(void **state)
{
    static char text[64 * 1024];
    size_t n = 0;
    for (int i = 1; i <= 200; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "%08d 05 n 01 word 0 004 @ %08d n 0000 @ %08d n 0000 @ %08d n 0000 @ %08d n 0000 | x\n",
                              i, i % 200 + 1, (i + 7) % 200 + 1, i, (i + 90) % 200 + 1);
    cbm_context *cx = cbm_open(NULL);
    cbm_wordnet w;
    assert_int_equal(read_text(cx, state, text, n, &w), CBM_OK);
    assert_true(cosine(&w, 0, 1) > 0.3);
    cbm_wordnet_free(&w);
    cbm_close(cx);
}

static void test_refused(void **state)
{
    static const char *const lines[] = {
        "00000100 05 n",
        "00000100 05 v 01 run 0 000 | a verb\n",
        "x0000100 05 n 01 cat 0 000 | x\n",
        "-0000100 05 n 01 cat 0 000 | x\n",
        "00000100 05 n 00 000 | no word\n",
        "00000100 05 n 02 cat 0 000 | a word too few\n",
        "00000100 05 n zz cat 0 000 | x\n",
        "00000100 05 n 01 cat 0 003 @ 00000100 n 0000 | pointers too few\n",
        "99999999999999999999 05 n 01 cat 0 000 | x\n",
        "00000100 05 n 01 cat  000 | x\n",
        "<html> there is no such page\n",
    };
    cbm_context *cx = cbm_open(NULL);
    cbm_wordnet w;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        REFUSED(read_text(cx, state, lines[i], strlen(lines[i]), &w), CBM_ERROR_FORMAT,
                "line 1 is no noun of WordNet's");
        assert_null(w.at);
    }
    REFUSED(read_text(cx, state, "", 0, &w), CBM_ERROR_FORMAT, "holds no nouns");
    REFUSED(read_text(cx, state, "\0\0\0", 3, &w), CBM_ERROR_FORMAT, "line 1 is no noun");
    REFUSED(cbm_wordnet_read(cx, folder_path(state, "missing"), &w), CBM_ERROR_IO, "missing");
    /* Cut off anywhere: read or refused. */
    for (size_t size = 0; size < strlen(nouns); size++) {
        if (read_text(cx, state, nouns, size, &w) == CBM_OK)
            cbm_wordnet_free(&w);
        cbm_clear(cx);
    }
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
