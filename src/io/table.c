/* table.c: typed columns over the cells of a CSV file, and the rows as a dataset. Rests on csv.h. */
#include "data/dataset.h"
#include "io/csv.h"
#include <cambium/io.h>
#include <cambium/table.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_CELLS ((int64_t)1 << 31)

typedef struct column {
    char *name;
    cbm_array categories; /* of const char *, sorted; empty: numbers */
    int64_t missing;
    double least, most, mean, deviation;
} column;

struct cbm_table {
    cbm_context *cx;
    cbm_cells cells;
    int64_t first; /* the first row of values: 1 behind a header */
    int64_t rows, count;
    column *columns;
    double *values;    /* rows x count */
    char (*names)[24]; /* of columns without a header */
};

/* ---- what a cell holds ---- */

/* Whether text is one of the words in list, which '|' separates. */
static bool listed(const char *list, const char *text)
{
    const size_t length = strlen(text);
    for (const char *word = list; word;) {
        const char *stop = strchr(word, '|');
        const size_t n = stop ? (size_t)(stop - word) : strlen(word);
        if (n == length && memcmp(word, text, n) == 0)
            return true;
        word = stop ? stop + 1 : NULL;
    }
    return false;
}

static bool holds_nothing(const char *cell, const char *missing)
{
    return cell[0] == 0 || (missing && listed(missing, cell));
}

static double *value_at(const cbm_table *t, int64_t row, int64_t c)
{
    return &t->values[row * t->count + c];
}

static const char *text_at(const cbm_table *t, int64_t row, int64_t c)
{
    return cbm_cell_at(&t->cells, t->first + row, c);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The place of a name among sorted categories; -1: none. */
static int64_t category_of(const cbm_array *categories, const char *name)
{
    const char **found =
        categories->count ? bsearch(&name, categories->data, categories->count, sizeof(const char *), by_name) : NULL;
    return found ? found - (const char **)categories->data : -1;
}

/* All texts of a column that hold a value, once each and sorted. false: no memory. */
static bool find_categories(const cbm_table *t, int64_t c, const char *missing, cbm_array *out)
{
    for (int64_t row = 0; row < t->rows; row++) {
        const char *text = text_at(t, row, c);
        if (!holds_nothing(text, missing) && !cbm_array_push(out, &text))
            return false;
    }
    const char **names = out->data;
    size_t kept = 0;
    if (out->count)
        qsort(names, out->count, sizeof *names, by_name);
    for (size_t i = 0; i < out->count; i++)
        if (!kept || strcmp(names[kept - 1], names[i]) != 0)
            names[kept++] = names[i];
    out->count = kept;
    return true;
}

/* Fills a column with numbers. false: a cell is none. */
static bool read_numbers(cbm_table *t, int64_t c, const char *missing)
{
    for (int64_t row = 0; row < t->rows; row++) {
        const char *text = text_at(t, row, c);
        if (holds_nothing(text, missing))
            *value_at(t, row, c) = NAN;
        else if (!cbm_double_parse(text, value_at(t, row, c)) || !isfinite(*value_at(t, row, c)))
            return false;
    }
    return true;
}

static void read_codes(cbm_table *t, int64_t c, const char *missing)
{
    const cbm_array *categories = &t->columns[c].categories;
    for (int64_t row = 0; row < t->rows; row++) {
        const char *text = text_at(t, row, c);
        *value_at(t, row, c) = holds_nothing(text, missing) ? NAN : (double)category_of(categories, text);
    }
}

static void describe(cbm_table *t, int64_t c)
{
    column *k = &t->columns[c];
    double sum = 0, squares = 0;
    int64_t count = 0;
    k->least = k->most = k->mean = k->deviation = NAN;
    for (int64_t row = 0; row < t->rows; row++) {
        const double x = *value_at(t, row, c);
        if (isnan(x)) {
            k->missing++;
            continue;
        }
        k->least = count && k->least < x ? k->least : x;
        k->most = count && k->most > x ? k->most : x;
        sum += x;
        count++;
    }
    if (k->categories.count) {
        k->least = k->most = NAN;
        return;
    }
    if (!count)
        return;
    k->mean = sum / (double)count;
    for (int64_t row = 0; row < t->rows; row++) {
        const double apart = *value_at(t, row, c) - k->mean;
        squares += isnan(apart) ? 0 : apart * apart;
    }
    k->deviation = sqrt(squares / (double)count);
}

/* ---- reading ---- */

static void free_table(cbm_table *t)
{
    cbm_heap *heap = cbm_context_heap(t->cx);
    for (int64_t c = 0; t->columns && c < t->count; c++)
        cbm_array_free(&t->columns[c].categories);
    cbm_heap_give(heap, t->columns, (size_t)t->count * sizeof *t->columns);
    cbm_heap_give(heap, t->values, (size_t)(t->rows * t->count) * sizeof *t->values + 1);
    cbm_heap_give(heap, t->names, (size_t)t->count * sizeof *t->names);
    cbm_cells_free(heap, &t->cells);
    cbm_heap_give(heap, t, sizeof *t);
}

static void destroy_table(void *object)
{
    free_table(object);
}

/* A name that two columns have; NULL: none has, or there is no memory to find out (*memory false). */
static const char *twice_named(const cbm_table *t, bool *memory)
{
    cbm_array names = CBM_ARRAY(cbm_context_heap(t->cx), const char *);
    const char *twice = NULL;
    *memory = cbm_array_reserve(&names, (size_t)t->count);
    for (int64_t c = 0; *memory && c < t->count; c++)
        cbm_array_push(&names, &t->columns[c].name);
    if (*memory)
        qsort(names.data, names.count, sizeof(const char *), by_name);
    for (size_t i = 1; i < names.count && !twice; i++)
        if (strcmp(CBM_AT(&names, const char *, i - 1), CBM_AT(&names, const char *, i)) == 0)
            twice = CBM_AT(&names, const char *, i);
    cbm_array_free(&names);
    return twice;
}

static bool name_columns(cbm_table *t, bool header, cbm_problem *problem)
{
    for (int64_t c = 0; c < t->count; c++) {
        if (header) {
            t->columns[c].name = t->cells.text + CBM_AT(&t->cells.offsets, uint64_t, c);
        } else {
            snprintf(t->names[c], sizeof t->names[c], "%lld", (long long)c);
            t->columns[c].name = t->names[c];
        }
    }
    char shown[CBM_SHOWN];
    bool memory;
    const char *twice = twice_named(t, &memory);
    if (!memory)
        return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its columns");
    return !twice || cbm_refuse(problem, CBM_ERROR_FORMAT, "two columns are called '%s'", cbm_shown(twice, shown));
}

static bool fill_table(cbm_table *t, const cbm_csv_options *o, cbm_problem *problem)
{
    cbm_heap *heap = cbm_context_heap(t->cx);
    t->count = t->cells.columns;
    t->first = o->no_header ? 0 : 1;
    t->rows = t->cells.rows - t->first;
    if (t->rows > MAX_CELLS / t->count)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "more than %lld cells", (long long)MAX_CELLS);
    t->columns = cbm_heap_take_zero(heap, (size_t)t->count * sizeof *t->columns);
    t->values = cbm_heap_take(heap, (size_t)(t->rows * t->count) * sizeof *t->values + 1);
    t->names = cbm_heap_take(heap, (size_t)t->count * sizeof *t->names);
    if (!t->columns || !t->values || !t->names)
        return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its columns");
    if (!name_columns(t, !o->no_header, problem))
        return false;
    for (int64_t c = 0; c < t->count; c++) {
        t->columns[c].categories = CBM_ARRAY(heap, const char *);
        if (!read_numbers(t, c, o->missing)) {
            if (!find_categories(t, c, o->missing, &t->columns[c].categories))
                return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its categories");
            read_codes(t, c, o->missing);
        }
        describe(t, c);
    }
    return true;
}

static cbm_table *read_csv(cbm_context *cx, const char *path, const char *bytes, size_t size,
                           const cbm_csv_options *options)
{
    cbm_problem problem = { CBM_OK, "" };
    cbm_csv_options o;
    cbm_csv_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    if (o.delimiter <= 0 || o.delimiter > 127 || o.comment < 0 || o.comment > 127 || strchr("\"\n\r", (int)o.delimiter))
        cbm_refuse(&problem, CBM_ERROR_INVALID, "the delimiter and the comment must be single ASCII characters");
    cbm_table *t = cbm_heap_take_zero(cbm_context_heap(cx), sizeof *t);
    if (!t) {
        cbm_fail_memory(cx, "a table");
        return NULL;
    }
    t->cx = cx;
    if (problem.status == CBM_OK &&
        cbm_csv_parse(cbm_context_heap(cx), bytes, size, (char)o.delimiter, (char)o.comment, &t->cells, &problem))
        fill_table(t, &o, &problem);
    if (problem.status == CBM_OK && cbm_context_own(cx, t, destroy_table))
        return t;
    if (problem.status != CBM_OK)
        cbm_report(cx, "csv", path, &problem);
    free_table(t);
    return NULL;
}

void cbm_csv_options_init(cbm_csv_options *o)
{
    *o = (cbm_csv_options){ .struct_size = sizeof *o, CBM_CSV_DEFAULTS };
}

cbm_table *cbm_csv_read_memory_with(cbm_context *cx, const void *bytes, size_t size, const cbm_csv_options *options)
{
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    return read_csv(cx, NULL, bytes ? bytes : "", bytes ? size : 0, options);
}

cbm_table *cbm_csv_read_with(cbm_context *cx, const char *path, const cbm_csv_options *options)
{
    void *bytes;
    size_t size;
    if (!cx || cbm_context_status(cx) != CBM_OK || cbm_read_file(cx, path, &bytes, &size) != CBM_OK)
        return NULL;
    cbm_table *t = read_csv(cx, path, bytes, size, options);
    cbm_file_free(cx, bytes, size);
    return t;
}

void cbm_table_release(cbm_table *t)
{
    if (!t)
        return;
    cbm_context_disown(t->cx, t);
    free_table(t);
}

/* ---- looking ---- */

int64_t cbm_table_rows(const cbm_table *t)
{
    return t ? t->rows : 0;
}

int64_t cbm_table_columns(const cbm_table *t)
{
    return t ? t->count : 0;
}

static bool has_column(const cbm_table *t, int64_t c)
{
    return t && c >= 0 && c < t->count;
}

bool cbm_table_column(const cbm_table *t, int64_t c, cbm_column *out)
{
    if (!has_column(t, c))
        return false;
    const column *k = &t->columns[c];
    *out = (cbm_column){ k->name, k->missing, (int64_t)k->categories.count, k->least, k->most, k->mean, k->deviation };
    return true;
}

int64_t cbm_table_find(const cbm_table *t, const char *name)
{
    for (int64_t c = 0; t && name && c < t->count; c++)
        if (strcmp(t->columns[c].name, name) == 0)
            return c;
    return -1;
}

double cbm_table_number(const cbm_table *t, int64_t row, int64_t c)
{
    return has_column(t, c) && row >= 0 && row < t->rows ? *value_at(t, row, c) : NAN;
}

const char *cbm_table_category(const cbm_table *t, int64_t c, int64_t category)
{
    if (!has_column(t, c) || category < 0 || category >= (int64_t)t->columns[c].categories.count)
        return NULL;
    return CBM_AT(&t->columns[c].categories, const char *, category);
}

/* ---- as samples ---- */

/* How rows become samples. from: the table whose statistics and categories count. */
typedef struct conversion {
    const cbm_table *table, *from;
    const cbm_table_dataset_options *o;
    int64_t target, features;
} conversion;

static cbm_status fail(const conversion *v, cbm_status status, const char *text, const char *name)
{
    char shown[CBM_SHOWN];
    return cbm_fail(v->table->cx, status, "[table_dataset] column '%s' %s", cbm_shown(name, shown), text);
}

static bool left_out(const conversion *v, int64_t c)
{
    return c == v->target || (v->o->ignore && listed(v->o->ignore, v->table->columns[c].name));
}

static cbm_status check_columns(conversion *v)
{
    const cbm_table *t = v->table;
    v->target = cbm_table_find(t, v->o->target);
    if (v->o->target && v->target < 0)
        return fail(v, CBM_ERROR_INVALID, "is to be the target, and is not there", v->o->target);
    for (int64_t c = 0; c < t->count; c++) {
        const int64_t there = cbm_table_find(v->from, t->columns[c].name);
        if (left_out(v, c) && c != v->target)
            continue;
        if (there != c)
            return fail(v, CBM_ERROR_INVALID, "is not at the same place in the other table", t->columns[c].name);
        const column *k = &v->from->columns[c];
        if (!k->categories.count && t->columns[c].categories.count)
            return fail(v, CBM_ERROR_FORMAT, "holds numbers in the other table, here also other texts",
                        t->columns[c].name);
        if (c == v->target ? t->columns[c].missing > 0
                           : v->o->missing == CBM_MISSING_ERROR && t->columns[c].missing > 0)
            return fail(v, CBM_ERROR_FORMAT, "has cells without a value. HINT: .missing = CBM_MISSING_MEAN for inputs",
                        t->columns[c].name);
        if (c != v->target)
            v->features += k->categories.count ? (int64_t)k->categories.count : 1;
    }
    if (v->features < 1 || v->features > INT32_MAX || (t->rows && v->features > INT64_MAX / 8 / t->rows))
        return cbm_fail(t->cx, CBM_ERROR_INVALID, "[table_dataset] %lld features", (long long)v->features);
    return CBM_OK;
}

/* The category's number in the other table; -1: no value, or unknown there. */
static int64_t code_of(const conversion *v, int64_t row, int64_t c)
{
    const column *k = &v->from->columns[c];
    const double x = *value_at(v->table, row, c);
    if (isnan(x))
        return -1;
    return v->from == v->table ? (int64_t)x : category_of(&k->categories, text_at(v->table, row, c));
}

static double number_of(const conversion *v, int64_t row, int64_t c)
{
    const column *k = &v->from->columns[c];
    double x = *value_at(v->table, row, c);
    if (isnan(x))
        x = v->o->missing == CBM_MISSING_MEAN && !isnan(k->mean) ? k->mean : 0;
    if (!v->o->standardise)
        return x;
    return k->deviation > 0 ? (x - k->mean) / k->deviation : 0;
}

static void convert_row(const conversion *v, int64_t row, float *out)
{
    for (int64_t c = 0; c < v->table->count; c++) {
        if (left_out(v, c))
            continue;
        const int64_t categories = (int64_t)v->from->columns[c].categories.count;
        if (!categories) {
            *out++ = (float)number_of(v, row, c);
            continue;
        }
        const int64_t code = code_of(v, row, c);
        for (int64_t i = 0; i < categories; i++)
            *out++ = i == code ? 1 : 0;
    }
}

static cbm_tensor *targets(const conversion *v)
{
    cbm_context *cx = v->table->cx;
    const int64_t rows = v->table->rows;
    const bool classes = v->from->columns[v->target].categories.count > 0;
    const size_t bytes = (size_t)rows * 8 + 8;
    void *data = cbm_heap_take(cbm_context_heap(cx), bytes);
    if (!data) {
        cbm_fail_memory(cx, "a table's targets");
        return cbm_tensor_none(cx);
    }
    for (int64_t row = 0; row < rows; row++) {
        if (!classes) {
            ((float *)data)[row] = (float)*value_at(v->table, row, v->target);
            continue;
        }
        const int64_t code = code_of(v, row, v->target);
        ((int64_t *)data)[row] = code;
        if (code < 0)
            fail(v, CBM_ERROR_RANGE, "has a category that the other table does not have",
                 v->table->columns[v->target].name);
    }
    return cbm_tensor_adopt(cx, classes ? CBM_I64 : CBM_F32, CBM_SHAPE(rows), data, bytes);
}

static cbm_tensor *inputs(const conversion *v)
{
    cbm_context *cx = v->table->cx;
    const int64_t rows = v->table->rows;
    const size_t bytes = (size_t)(rows * v->features) * sizeof(float) + 1;
    float *data = cbm_heap_take(cbm_context_heap(cx), bytes);
    if (!data) {
        cbm_fail_memory(cx, "a table's samples");
        return cbm_tensor_none(cx);
    }
    for (int64_t row = 0; row < rows; row++)
        convert_row(v, row, data + row * v->features);
    return cbm_tensor_adopt(cx, CBM_F32, CBM_SHAPE(rows, v->features), data, bytes);
}

void cbm_table_dataset_options_init(cbm_table_dataset_options *o)
{
    *o = (cbm_table_dataset_options){ .struct_size = sizeof *o, CBM_TABLE_DATASET_DEFAULTS };
}

cbm_dataset *cbm_table_dataset_with(const cbm_table *t, const cbm_table_dataset_options *options)
{
    if (!t || cbm_context_status(t->cx) != CBM_OK)
        return NULL;
    cbm_table_dataset_options o;
    cbm_table_dataset_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    conversion v = { .table = t, .from = o.like ? o.like : t, .o = &o, .target = -1 };
    if (check_columns(&v) != CBM_OK)
        return NULL;
    CBM_SCOPE(scope, t->cx);
    cbm_tensor *x = inputs(&v), *y = v.target >= 0 ? targets(&v) : NULL;
    cbm_dataset *d = cbm_context_status(t->cx) == CBM_OK ? cbm_dataset_tensors(t->cx, x, y) : NULL;
    if (d && v.target >= 0) /* of them, not all need occur */
        d->classes = (int64_t)v.from->columns[v.target].categories.count;
    return d;
}
