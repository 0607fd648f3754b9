/* libsvm.c: LIBSVM's sparse text format as dense samples: "label index:value ...", a line each.
   https://www.csie.ntu.edu.tw/~cjlin/libsvm. Rests on bytes.h. */
#include "data/dataset.h"
#include "io/bytes.h"
#include <cambium/io.h>
#include <cambium/table.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FEATURES 16777216
#define MAX_ELEMENTS ((int64_t)1 << 31) /* of all dense samples together */
enum { WORD = 64 };                     /* the longest number */

typedef struct entry {
    int64_t row, feature; /* from 0 */
    float value;
} entry;

typedef struct reader {
    const char *at, *end;
    int64_t line, features;
    cbm_array labels;  /* of double */
    cbm_array entries; /* of entry */
    cbm_problem *problem;
} reader;

static bool refuse(reader *r, const char *what)
{
    return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "line %lld: %s", (long long)r->line, what);
}

static bool push(reader *r, cbm_array *array, const void *element)
{
    return cbm_array_push(array, element) || cbm_refuse(r->problem, CBM_ERROR_MEMORY, "no memory for its samples");
}

static bool at_end(const reader *r)
{
    return r->at == r->end || *r->at == '\n' || *r->at == '#';
}

static void pass_blanks(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\r'))
        r->at++;
}

/* The next characters up to a blank, a colon or the end; false: none, or too many. */
static bool word(reader *r, char out[WORD])
{
    size_t n = 0;
    while (!at_end(r) && !strchr(" \t\r:", *r->at) && n < WORD - 1)
        out[n++] = *r->at++;
    out[n] = 0;
    return n > 0 && n < WORD - 1;
}

static bool read_pair(reader *r, int64_t *last)
{
    char text[WORD];
    int64_t index;
    double value;
    if (!word(r, text) || !cbm_int_parse(text, &index) || at_end(r) || *r->at != ':')
        return refuse(r, "\"index:value\" was expected");
    r->at++;
    if (!word(r, text) || !cbm_double_parse(text, &value) || !isfinite((float)value))
        return refuse(r, "a value is not a finite number");
    if (index <= *last || index > MAX_FEATURES)
        return refuse(r, "indices must begin at 1, increase, and be at most 16777216");
    *last = index;
    r->features = index > r->features ? index : r->features;
    const entry e = { (int64_t)r->labels.count - 1, index - 1, (float)value };
    return push(r, &r->entries, &e);
}

static bool read_line(reader *r)
{
    char text[WORD];
    double label;
    int64_t last = 0;
    pass_blanks(r);
    if (at_end(r)) /* an empty line, or a comment */
        return true;
    if (!word(r, text) || !cbm_double_parse(text, &label) || !isfinite(label))
        return refuse(r, "the label is not a finite number");
    if (!push(r, &r->labels, &label))
        return false;
    for (pass_blanks(r); !at_end(r); pass_blanks(r))
        if (!read_pair(r, &last))
            return false;
    return true;
}

static bool read_all(reader *r)
{
    for (; r->at < r->end; r->line++) {
        if (!read_line(r))
            return false;
        while (r->at < r->end && *r->at != '\n') /* a comment */
            r->at++;
        r->at += r->at < r->end;
    }
    return true;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The labels that occur, in increasing order: into out, which is empty. */
static bool distinct_labels(reader *r, cbm_array *out)
{
    if (!cbm_array_append(out, r->labels.data, r->labels.count))
        return cbm_refuse(r->problem, CBM_ERROR_MEMORY, "no memory for its classes");
    double *labels = out->data;
    size_t kept = 0;
    if (out->count)
        qsort(labels, out->count, sizeof *labels, by_value);
    for (size_t i = 0; i < out->count; i++)
        if (!kept || labels[kept - 1] != labels[i])
            labels[kept++] = labels[i];
    out->count = kept;
    return true;
}

static int64_t class_of(const double *labels, int64_t count, double label)
{
    for (int64_t i = 0; i < count; i++)
        if (labels[i] == label)
            return i;
    return -1;
}

/* Labels become targets, in the 8 bytes of each. */
static bool make_targets(reader *r, const cbm_libsvm_options *o, cbm_array *found)
{
    if (o->regression) {
        for (size_t i = 0; i < r->labels.count; i++) /* to the front: f32 behind f32 */
            ((float *)r->labels.data)[i] = (float)CBM_AT(&r->labels, double, i);
        return true;
    }
    if (!o->labels && !distinct_labels(r, found))
        return false;
    const double *labels = o->labels ? o->labels : found->data;
    const int64_t count = o->labels ? o->label_count : (int64_t)found->count;
    for (size_t i = 0; i < r->labels.count; i++) {
        const double label = CBM_AT(&r->labels, double, i);
        const int64_t number = class_of(labels, count, label);
        if (number < 0)
            return cbm_refuse(r->problem, CBM_ERROR_RANGE,
                              "sample %zu has the label %g, which is none of the %lld given", i, label,
                              (long long)count);
        memcpy((char *)r->labels.data + 8 * i, &number, 8);
    }
    return true;
}

static cbm_dataset *dense(cbm_context *cx, reader *r, const cbm_libsvm_options *o, int64_t classes)
{
    const int64_t rows = (int64_t)r->labels.count, features = o->features ? o->features : r->features;
    const size_t bytes = (size_t)(rows * features) * sizeof(float);
    float *data = cbm_heap_take_zero(cbm_context_heap(cx), bytes + 1);
    if (!data) {
        cbm_fail_memory(cx, "a file's samples");
        return NULL;
    }
    for (size_t i = 0; i < r->entries.count; i++) {
        const entry *e = &CBM_AT(&r->entries, entry, i);
        data[e->row * features + e->feature] = e->value;
    }
    CBM_SCOPE(scope, cx);
    cbm_tensor *x = cbm_tensor_adopt(cx, CBM_F32, CBM_SHAPE(rows, features), data, bytes + 1);
    cbm_tensor *y = cbm_tensor_from(cx, o->regression ? CBM_F32 : CBM_I64, CBM_SHAPE(rows), r->labels.data);
    cbm_dataset *d = cbm_context_status(cx) == CBM_OK ? cbm_dataset_tensors(cx, x, y) : NULL;
    if (d)
        d->classes = classes;
    return d;
}

static bool check(reader *r, const cbm_libsvm_options *o)
{
    if (o->features < 0 || o->features > MAX_FEATURES || o->label_count < 0)
        return cbm_refuse(r->problem, CBM_ERROR_INVALID, "features must be 0 to %d, label_count not negative",
                          MAX_FEATURES);
    if (o->features && r->features > o->features)
        return cbm_refuse(r->problem, CBM_ERROR_RANGE, "a sample has feature %lld, and there are %lld",
                          (long long)r->features, (long long)o->features);
    const int64_t features = o->features ? o->features : r->features;
    if (features && (int64_t)r->labels.count > MAX_ELEMENTS / features)
        return cbm_refuse(r->problem, CBM_ERROR_FORMAT, "%zu samples of %lld features are too many to be held densely",
                          r->labels.count, (long long)features);
    return true;
}

static cbm_dataset *read_libsvm(cbm_context *cx, const char *path, const char *bytes, size_t size,
                                const cbm_libsvm_options *options)
{
    cbm_problem problem = { CBM_OK, "" };
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_libsvm_options o;
    cbm_libsvm_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    reader r = { bytes, bytes + size, 1, 0, CBM_ARRAY(heap, double), CBM_ARRAY(heap, entry), &problem };
    cbm_array found = CBM_ARRAY(heap, double);
    cbm_dataset *d = NULL;
    if (read_all(&r) && check(&r, &o) && make_targets(&r, &o, &found))
        d = dense(cx, &r, &o, o.labels ? o.label_count : (int64_t)found.count);
    else
        cbm_report(cx, "libsvm", path, &problem);
    cbm_array_free(&r.labels);
    cbm_array_free(&r.entries);
    cbm_array_free(&found);
    return d;
}

void cbm_libsvm_options_init(cbm_libsvm_options *o)
{
    *o = (cbm_libsvm_options){ .struct_size = sizeof *o, CBM_LIBSVM_DEFAULTS };
}

cbm_dataset *cbm_libsvm_memory_with(cbm_context *cx, const void *bytes, size_t size, const cbm_libsvm_options *options)
{
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    return read_libsvm(cx, NULL, bytes ? bytes : "", bytes ? size : 0, options);
}

cbm_dataset *cbm_libsvm_with(cbm_context *cx, const char *path, const cbm_libsvm_options *options)
{
    void *bytes;
    size_t size;
    if (!cx || cbm_context_status(cx) != CBM_OK || cbm_read_file(cx, path, &bytes, &size) != CBM_OK)
        return NULL;
    cbm_dataset *d = read_libsvm(cx, path, bytes ? bytes : "", size, options);
    cbm_file_free(cx, bytes, size);
    return d;
}
