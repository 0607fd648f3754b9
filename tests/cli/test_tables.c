/* test_tables.c: iris.data and wine.csv made from the tables that scikit-learn ships, on small tables of the same form. */
#include "cli/fetch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/cambium-tables-XXXXXX";

static int prepare(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    cbm_remove_tree(folder);
    return 0;
}

static void write_text(const char *name, const char *text)
{
    char path[CBM_PATH_ROOM];
    assert_true(cbm_path_join(path, folder, name));
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void expect_text(const char *name, const char *text)
{
    char path[CBM_PATH_ROOM], got[4096];
    assert_true(cbm_path_join(path, folder, name));
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    got[fread(got, 1, sizeof got - 1, f)] = 0;
    fclose(f);
    assert_string_equal(got, text);
}

static void test_iris(void **state)
{
    (void)state;
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
    write_text("iris.csv", in);
    assert_true(cbm_iris_from_csv(folder, &reason));
    expect_text("iris.data", out);
}

static void test_wine(void **state)
{
    (void)state;
    cbm_reason reason = { "" };
    write_text("wine_data.csv",
               "2,13,class_0,class_1,class_2\n14.23,1.71,2.43,15.6,127,2.8,3.06,0.28,2.29,5.64,1.04,3.92,"
               "1065,0\r\n1,2,3,4,5,6,7,8,9,10,11,12,13,2\n");
    assert_true(cbm_wine_from_csv(folder, &reason));
    expect_text("wine.csv", "alcohol,malic acid,ash,alcalinity of ash,magnesium,total phenols,flavanoids,"
                            "nonflavanoid phenols,proanthocyanins,color intensity,hue,OD280/OD315,proline,class\n"
                            "14.23,1.71,2.43,15.6,127,2.8,3.06,0.28,2.29,5.64,1.04,3.92,1065,cultivar A\n"
                            "1,2,3,4,5,6,7,8,9,10,11,12,13,cultivar C\n");
}

static void test_refused(void **state)
{
    (void)state;
    cbm_reason reason = { "" };
    write_text("wine_data.csv", "1,13\n1,2,3\n");
    assert_false(cbm_wine_from_csv(folder, &reason));
    assert_string_equal(reason.text, "wine_data.csv: row 1 does not end in a class");
    write_text("wine_data.csv", "1,13\nno comma\n");
    assert_false(cbm_wine_from_csv(folder, &reason));
    write_text("wine_data.csv", "");
    assert_false(cbm_wine_from_csv(folder, &reason));
    assert_string_equal(reason.text, "wine_data.csv is empty");
    assert_false(cbm_wine_from_csv("/nowhere", &reason));
    assert_non_null(strstr(reason.text, "/nowhere/wine_data.csv"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iris),
        cmocka_unit_test(test_wine),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
