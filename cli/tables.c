/* tables.c: small tables as their data sets hold them, made from the CSV files that scikit-learn ships: a first line with
   numbers of rows and columns and the classes' names, then rows with the class's number at the end. */
#include "fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 512 };

typedef struct table_form {
    const char *from, *to;
    const char *head; /* the first line of the result; NULL: none */
    const char *const *classes;
    int n_classes;
    const char *foot;
    const char *(*correct)(int row, const char *line); /* NULL, or the line that the result has in place of this one */
} table_form;

static bool convert_row(const table_form *f, int row, char *line, FILE *out, cbm_reason *reason)
{
    const char *used = f->correct ? f->correct(row, line) : line;
    const char *comma = strrchr(used, ',');
    const int number = comma ? atoi(comma + 1) : -1;
    if (number < 0 || number >= f->n_classes) {
        cbm_because(reason, "%s: row %d does not end in a class", f->from, row);
        return false;
    }
    return fprintf(out, "%.*s,%s\n", (int)(comma - used), used, f->classes[number]) > 0;
}

static bool convert_rows(const table_form *f, FILE *in, FILE *out, cbm_reason *reason)
{
    char line[LINE];
    if (!fgets(line, sizeof line, in)) {
        cbm_because(reason, "%s is empty", f->from);
        return false;
    }
    if (f->head)
        fprintf(out, "%s\n", f->head);
    for (int row = 1; fgets(line, sizeof line, in); row++) {
        line[strcspn(line, "\r\n")] = 0;
        if (!convert_row(f, row, line, out, reason))
            return false;
    }
    fputs(f->foot, out);
    return true;
}

static bool convert(const table_form *f, const char *folder, cbm_reason *reason)
{
    char from[CBM_PATH_ROOM], to[CBM_PATH_ROOM];
    if (!cbm_path_join(from, folder, f->from) || !cbm_path_join(to, folder, f->to))
        return false;
    FILE *in = fopen(from, "r"), *out = in ? fopen(to, "w") : NULL;
    bool good = out != NULL;
    if (!good)
        cbm_because(reason, "cannot open '%s': %s", in ? to : from, strerror(errno));
    good = good && convert_rows(f, in, out, reason);
    if (in)
        fclose(in);
    if (out && fclose(out) != 0 && good) {
        cbm_because(reason, "cannot write '%s': %s", to, strerror(errno));
        good = false;
    }
    return good;
}

/* The file that everybody uses differs from Fisher's article in two flowers. */
static const char *as_in_the_repository(int row, const char *line)
{
    return row == 35 ? "4.9,3.1,1.5,0.1,0" : row == 38 ? "4.9,3.1,1.5,0.1,0" : line;
}

bool cbm_iris_from_csv(const char *folder, cbm_reason *reason)
{
    static const char *const classes[] = { "Iris-setosa", "Iris-versicolor", "Iris-virginica" };
    static const table_form form = { "iris.csv", "iris.data", NULL, classes, 3, "\n", as_in_the_repository };
    return convert(&form, folder, reason);
}

bool cbm_wine_from_csv(const char *folder, cbm_reason *reason)
{
    static const char *const classes[] = { "cultivar A", "cultivar B", "cultivar C" };
    static const table_form form = {
        .from = "wine_data.csv",
        .to = "wine.csv",
        .head = "alcohol,malic acid,ash,alcalinity of ash,magnesium,total phenols,flavanoids,nonflavanoid phenols,"
                "proanthocyanins,color intensity,hue,OD280/OD315,proline,class",
        .classes = classes,
        .n_classes = 3,
        .foot = "",
    };
    return convert(&form, folder, reason);
}
