/* test_tables.c: iris.data and wine.csv made from the tables that scikit-learn ships, on small tables of the same form. */
#include "cli/fetch.h"
#include "support/folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void write_text(void *const *state, const char *name, const char *text)
{
    folder_put(folder_path(state, name), text, strlen(text));
}

static void expect_text(void *const *state, const char *name, const char *text)
{
    size_t size = 0;
    unsigned char *got = folder_get(folder_path(state, name), &size);
    assert_non_null(got);
    assert_int_equal(size, strlen(text));
    assert_memory_equal(got, text, size);
    free(got);
}

static void test_iris(void **state)
{
    char in[4096] = "40,4,setosa,versicolor,virginica\n", out[4096] = "";
    for (int row = 1; row <= 40; row++) {
        const int corrected = row == 35 || row == 38; /* by the file that everybody uses */
        char line[80];
        snprintf(line, sizeof line, "5.%d,3,1,0.2,%d\n", row % 10, row % 3);
        strcat(in, line);
        static const char *const names[] = { "Iris-setosa", "Iris-versicolor", "Iris-virginica" };
        if (corrected)
            strcat(out, "4.9,3.1,1.5,0.1,Iris-setosa\n");
        else
            snprintf(out + strlen(out), 80, "5.%d,3,1,0.2,%s\n", row % 10, names[row % 3]);
    }
    strcat(out, "\n");
    cbm_reason reason = { "" };
    write_text(state, "iris.csv", in);
    assert_true(cbm_iris_from_csv(*state, &reason));
    expect_text(state, "iris.data", out);
}

static void test_wine(void **state)
{
    cbm_reason reason = { "" };
    write_text(state, "wine_data.csv",
               "2,13,class_0,class_1,class_2\n14.23,1.71,2.43,15.6,127,2.8,3.06,0.28,2.29,5.64,1.04,3.92,"
               "1065,0\r\n1,2,3,4,5,6,7,8,9,10,11,12,13,2\n");
    assert_true(cbm_wine_from_csv(*state, &reason));
    expect_text(state, "wine.csv",
                "alcohol,malic acid,ash,alcalinity of ash,magnesium,total phenols,flavanoids,"
                "nonflavanoid phenols,proanthocyanins,color intensity,hue,OD280/OD315,proline,class\n"
                "14.23,1.71,2.43,15.6,127,2.8,3.06,0.28,2.29,5.64,1.04,3.92,1065,cultivar A\n"
                "1,2,3,4,5,6,7,8,9,10,11,12,13,cultivar C\n");
}

static void test_refused(void **state)
{
    cbm_reason reason = { "" };
    write_text(state, "wine_data.csv", "1,13\n1,2,3\n");
    assert_false(cbm_wine_from_csv(*state, &reason));
    assert_string_equal(reason.text, "wine_data.csv: row 1 does not end in a class");
    write_text(state, "wine_data.csv", "1,13\nno comma\n");
    assert_false(cbm_wine_from_csv(*state, &reason));
    write_text(state, "wine_data.csv", "");
    assert_false(cbm_wine_from_csv(*state, &reason));
    assert_string_equal(reason.text, "wine_data.csv is empty");
    assert_false(cbm_wine_from_csv("/nowhere", &reason));
    assert_non_null(strstr(reason.text, "/nowhere/wine_data.csv"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_iris, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_wine, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_refused, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
