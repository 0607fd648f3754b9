/* table.h: tables of rows and columns from text files (CSV, LIBSVM's sparse format), and files of lines. Whatever comes from
   a file is checked before it is used; every reader also takes bytes in memory. */
#ifndef CAMBIUM_TABLE_H
#define CAMBIUM_TABLE_H

#include <cambium/data.h>

CBM_BEGIN_DECLS

/* ---- CSV ---- */

/* A table with typed columns: numbers, or categories where a cell is not a number. Belongs to the context. */
typedef struct cbm_table cbm_table;

typedef struct cbm_csv_options {
    uint64_t struct_size;
    int64_t delimiter CBM_DEFAULT(','); /* a character: ';', or a tab */
    int64_t comment CBM_DEFAULT(0);     /* lines that begin with this character are passed over; 0: none are */
    uint64_t no_header CBM_DEFAULT(0);  /* 1: the first line is a row already; columns are called "0", "1", ... */
    /* Cells that hold no value, one behind the other with '|' between them; an empty cell always holds none. */
    const char *missing CBM_DEFAULT("?|NA|N/A|NaN|nan|null");
} cbm_csv_options;
CBM_API void cbm_csv_options_init(cbm_csv_options *options);

/* Reads a CSV file (RFC 4180: cells in double quotes may hold delimiters, line ends and, doubled, quotes). Blanks around
   cells without quotes, empty lines and a byte order mark are passed over. Every row has as many cells as the first. A
   column is of numbers if all its cells that hold a value are, otherwise of categories. NULL on error. */
CBM_API cbm_table *cbm_csv_read_with(cbm_context *cx, const char *path, const cbm_csv_options *options);
CBM_API cbm_table *cbm_csv_read_memory_with(cbm_context *cx, const void *bytes, size_t size,
                                            const cbm_csv_options *options);
/* Lets go of a table before its context closes. NULL is allowed; every function on tables accepts it. */
CBM_API void cbm_table_release(cbm_table *table);

CBM_API int64_t cbm_table_rows(const cbm_table *table);
CBM_API int64_t cbm_table_columns(const cbm_table *table);

/* What a column holds. */
typedef struct cbm_column {
    const char *name;
    int64_t missing;    /* cells without a value */
    int64_t categories; /* how many; 0: a column of numbers */
    /* Of a column of numbers, over the cells that hold a value; the deviation divides by their count. NaN if there is none. */
    double least, most, mean, deviation;
} cbm_column;
CBM_API bool cbm_table_column(const cbm_table *table, int64_t column, cbm_column *out); /* false: no such column */
CBM_API int64_t cbm_table_find(const cbm_table *table, const char *name);               /* its number; -1: none */
/* A cell: its number, or its category's number (in the order of their names, byte by byte); NaN without a value. */
CBM_API double cbm_table_number(const cbm_table *table, int64_t row, int64_t column);
/* A category's name; NULL: no such category. */
CBM_API const char *cbm_table_category(const cbm_table *table, int64_t column, int64_t category);

typedef enum cbm_missing {
    CBM_MISSING_ERROR = 0, /* a cell without a value is an error */
    CBM_MISSING_MEAN = 1,  /* numbers: the column's mean; categories: no entry of the one-hot code is 1 */
    CBM_MISSING_ZERO = 2   /* numbers: 0; categories as with the mean */
} cbm_missing;

typedef struct cbm_table_dataset_options {
    uint64_t struct_size;
    const char *target CBM_DEFAULT(NULL); /* a column's name; NULL: no targets */
    const char *ignore CBM_DEFAULT(NULL); /* columns that are left out, with '|' between their names */
    int64_t missing CBM_DEFAULT(CBM_MISSING_ERROR);
    uint64_t standardise CBM_DEFAULT(1); /* numbers become (x - mean) / deviation, or 0 where the deviation is 0 */
    /* Means, deviations and categories are those of this table, whose columns have the same names: for the test rows, the
       training table. A category that it does not have is an error in the target, and no entry of a one-hot code. */
    const cbm_table *like CBM_DEFAULT(NULL);
} cbm_table_dataset_options;
CBM_API void cbm_table_dataset_options_init(cbm_table_dataset_options *options);
/* The rows as samples: inputs f32 (features), a number for each column of numbers and a one-hot code for each column of
   categories, in the order of the columns; targets i64 classes of a column of categories, or f32 of one of numbers.
   Target cells without a value are always an error. */
CBM_API cbm_dataset *cbm_table_dataset_with(const cbm_table *table, const cbm_table_dataset_options *options);

/* ---- LIBSVM: a line a sample, "label index:value index:value ...", indices from 1, increasing ---- */

typedef struct cbm_libsvm_options {
    uint64_t struct_size;
    int64_t features CBM_DEFAULT(0);    /* 0: the largest index in the file; a larger index is an error */
    uint64_t regression CBM_DEFAULT(0); /* 1: targets are the labels, f32; 0: classes */
    /* What classes 0, 1, ... are called in the file; NULL: the labels found, in increasing order. */
    const double *labels CBM_DEFAULT(NULL);
    int64_t label_count CBM_DEFAULT(0);
} cbm_libsvm_options;
CBM_API void cbm_libsvm_options_init(cbm_libsvm_options *options);
/* Inputs f32 (features), zero where a line names no value; targets i64 or f32. A text behind '#' is a comment. */
CBM_API cbm_dataset *cbm_libsvm_with(cbm_context *cx, const char *path, const cbm_libsvm_options *options);
CBM_API cbm_dataset *cbm_libsvm_memory_with(cbm_context *cx, const void *bytes, size_t size,
                                            const cbm_libsvm_options *options);

/* ---- lines of text ---- */
typedef struct cbm_lines cbm_lines;
/* A file's lines without their ends (LF or CR LF); UTF-8 is not looked at, a zero byte is an error. Belongs to the
   context. NULL on error. */
CBM_API cbm_lines *cbm_lines_read(cbm_context *cx, const char *path);
CBM_API cbm_lines *cbm_lines_read_memory(cbm_context *cx, const void *bytes, size_t size);
CBM_API int64_t cbm_lines_count(const cbm_lines *lines);
CBM_API const char *cbm_lines_at(const cbm_lines *lines, int64_t index, size_t *length); /* NULL past the end */
CBM_API void cbm_lines_release(cbm_lines *lines);

CBM_END_DECLS

#ifndef __cplusplus
/* cbm_csv_read(cx, "iris.csv"), cbm_csv_read(cx, path, .delimiter = ';', .no_header = true) */
#define CBM_CSV_DEFAULTS .delimiter = ',', .missing = "?|NA|N/A|NaN|nan|null"
#define cbm_csv_read(...) CBM_CSV_READ_(__VA_ARGS__, .struct_size = sizeof(cbm_csv_options))
#define CBM_CSV_READ_(cx, path, ...)                                                                                   \
    CBM_OPTIONS_(cbm_csv_options, cbm_csv_read_with(cx, path, &cbm_o_), CBM_CSV_DEFAULTS, __VA_ARGS__)
#define cbm_csv_read_memory(...) CBM_CSV_READ_MEMORY_(__VA_ARGS__, .struct_size = sizeof(cbm_csv_options))
#define CBM_CSV_READ_MEMORY_(cx, bytes, size, ...)                                                                     \
    CBM_OPTIONS_(cbm_csv_options, cbm_csv_read_memory_with(cx, bytes, size, &cbm_o_), CBM_CSV_DEFAULTS, __VA_ARGS__)
/* cbm_table_dataset(table, .target = "species") */
#define CBM_TABLE_DATASET_DEFAULTS .missing = CBM_MISSING_ERROR, .standardise = 1
#define cbm_table_dataset(...) CBM_TABLE_DATASET_(__VA_ARGS__, .struct_size = sizeof(cbm_table_dataset_options))
#define CBM_TABLE_DATASET_(table, ...)                                                                                 \
    CBM_OPTIONS_(cbm_table_dataset_options, cbm_table_dataset_with(table, &cbm_o_), CBM_TABLE_DATASET_DEFAULTS,        \
                 __VA_ARGS__)
/* cbm_libsvm(cx, "a9a", .features = 123) */
#define CBM_LIBSVM_DEFAULTS .features = 0
#define cbm_libsvm(...) CBM_LIBSVM_(__VA_ARGS__, .struct_size = sizeof(cbm_libsvm_options))
#define CBM_LIBSVM_(cx, path, ...)                                                                                     \
    CBM_OPTIONS_(cbm_libsvm_options, cbm_libsvm_with(cx, path, &cbm_o_), CBM_LIBSVM_DEFAULTS, __VA_ARGS__)
#define cbm_libsvm_memory(...) CBM_LIBSVM_MEMORY_(__VA_ARGS__, .struct_size = sizeof(cbm_libsvm_options))
#define CBM_LIBSVM_MEMORY_(cx, bytes, size, ...)                                                                       \
    CBM_OPTIONS_(cbm_libsvm_options, cbm_libsvm_memory_with(cx, bytes, size, &cbm_o_), CBM_LIBSVM_DEFAULTS, __VA_ARGS__)
#else
static inline cbm_table *cbm_csv_read(cbm_context *cx, const char *path, const cbm_csv_options &options = {})
{
    cbm_csv_options o = options;
    o.struct_size = sizeof o;
    return cbm_csv_read_with(cx, path, &o);
}
static inline cbm_table *cbm_csv_read_memory(cbm_context *cx, const void *bytes, size_t size,
                                             const cbm_csv_options &options = {})
{
    cbm_csv_options o = options;
    o.struct_size = sizeof o;
    return cbm_csv_read_memory_with(cx, bytes, size, &o);
}
static inline cbm_dataset *cbm_table_dataset(const cbm_table *table, const cbm_table_dataset_options &options = {})
{
    cbm_table_dataset_options o = options;
    o.struct_size = sizeof o;
    return cbm_table_dataset_with(table, &o);
}
static inline cbm_dataset *cbm_libsvm(cbm_context *cx, const char *path, const cbm_libsvm_options &options = {})
{
    cbm_libsvm_options o = options;
    o.struct_size = sizeof o;
    return cbm_libsvm_with(cx, path, &o);
}
static inline cbm_dataset *cbm_libsvm_memory(cbm_context *cx, const void *bytes, size_t size,
                                             const cbm_libsvm_options &options = {})
{
    cbm_libsvm_options o = options;
    o.struct_size = sizeof o;
    return cbm_libsvm_memory_with(cx, bytes, size, &o);
}
#endif

#endif
