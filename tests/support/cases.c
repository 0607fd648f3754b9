/* cases.c: see cases.h. The file is little-endian: magic, count, then for each case its names, fields, inputs, results. */
#include "support/cases.h"
#include "backend/lapack/lapack.h"
#include "base/bf16.h"
#include "op/sample.h"
#include <cambium/ops.h>

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = "CBMCASE";
const char *const layout_names[LAYOUTS] = { "plain", "reversed axes", "every second" };

/* ---- reading ---- */

typedef struct reader {
    const unsigned char *at, *end;
    bool bad;
} reader;

static void take(reader *r, void *out, size_t size)
{
    if (r->bad || (size_t)(r->end - r->at) < size) {
        r->bad = true;
        memset(out, 0, size);
        return;
    }
    memcpy(out, r->at, size);
    r->at += size;
}

static uint32_t take_u32(reader *r)
{
    uint32_t v;
    take(r, &v, sizeof v);
    return v;
}

static void take_text(reader *r, char *out, size_t size)
{
    uint32_t length = take_u32(r);
    if (length >= size) {
        r->bad = true;
        return;
    }
    take(r, out, length);
    out[length] = 0;
}

static void take_tensor(reader *r, case_tensor *t)
{
    t->present = take_u32(r) != 0;
    if (!t->present || r->bad)
        return;
    t->dtype = (cbm_dtype)take_u32(r);
    uint32_t rank = take_u32(r);
    if (rank > CBM_MAX_DIMS) {
        r->bad = true;
        return;
    }
    t->shape.v[0] = rank;
    take(r, t->shape.v + 1, rank * sizeof(int64_t));
    t->count = cbm_shape_count(&t->shape);
    size_t size = t->count < 0 ? SIZE_MAX : (size_t)t->count * cbm_dtype_size(t->dtype);
    if (r->bad || size > (size_t)(r->end - r->at)) {
        r->bad = true;
        return;
    }
    t->data = malloc(size ? size : 1);
    take(r, t->data, size);
}

static void take_case(reader *r, op_case *c)
{
    take_text(r, c->op, sizeof c->op);
    take_text(r, c->label, sizeof c->label);
    c->exact = take_u32(r) != 0;
    c->n_fields = take_u32(r);
    if (c->n_fields > sizeof c->fields / sizeof *c->fields) {
        r->bad = true;
        return;
    }
    for (size_t i = 0; i < c->n_fields; i++) {
        take_text(r, c->fields[i].name, sizeof c->fields[i].name);
        c->fields[i].type = take_u32(r);
        take(r, c->fields[i].value, (c->fields[i].type == CBM_ATTRIBUTE_SHAPE ? 9 : 1) * sizeof(int64_t));
    }
    c->n_in = take_u32(r);
    c->n_out = take_u32(r);
    if (r->bad || c->n_in > CBM_MAX_INPUTS || c->n_out > CASE_RESULTS) {
        r->bad = true;
        return;
    }
    for (size_t i = 0; i < c->n_in; i++)
        take_tensor(r, &c->in[i]);
    for (size_t i = 0; i < c->n_out; i++)
        take_tensor(r, &c->out[i]);
}

bool cases_read(const char *path, case_list *out)
{
    *out = (case_list){ 0 };
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    unsigned char *bytes = malloc(size > 0 ? (size_t)size : 1);
    size_t got = fread(bytes, 1, (size_t)size, file);
    fclose(file);
    reader r = { bytes, bytes + got, false };
    char found[8];
    take(&r, found, sizeof found);
    uint32_t count = take_u32(&r);
    r.bad = r.bad || memcmp(found, magic, sizeof magic) != 0 || count > 100000;
    if (!r.bad)
        out->cases = calloc(count ? count : 1, sizeof *out->cases);
    for (uint32_t i = 0; i < count && !r.bad; i++) {
        out->count++;
        take_case(&r, &out->cases[i]);
    }
    free(bytes);
    if (r.bad)
        cases_free(out);
    return !r.bad;
}

/* The cases of one file behind those in out. */
static bool append_file(const char *path, case_list *out)
{
    case_list more;
    if (!cases_read(path, &more))
        return false;
    op_case *grown = realloc(out->cases, (out->count + more.count) * sizeof *grown);
    if (!grown) {
        cases_free(&more);
        return false;
    }
    memcpy(grown + out->count, more.cases, more.count * sizeof *grown);
    out->cases = grown;
    out->count += more.count;
    free(more.cases);
    return true;
}

bool cases_read_folder(const char *path, case_list *out)
{
    *out = (case_list){ 0 };
    DIR *folder = opendir(path);
    bool good = folder != NULL;
    for (struct dirent *entry; good && (entry = readdir(folder)) != NULL;) {
        char file[4096];
        if (strstr(entry->d_name, ".bin") == NULL)
            continue;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        good = append_file(file, out);
    }
    if (folder)
        closedir(folder);
    if (!good)
        cases_free(out);
    return good && out->count > 0;
}

void cases_free(case_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        for (size_t k = 0; k < list->cases[i].n_in && k < CBM_MAX_INPUTS; k++)
            free(list->cases[i].in[k].data);
        for (size_t k = 0; k < list->cases[i].n_out && k < CASE_RESULTS; k++)
            free(list->cases[i].out[k].data);
    }
    free(list->cases);
    *list = (case_list){ 0 };
}

/* ---- writing ---- */

static void put_u32(FILE *file, size_t v)
{
    uint32_t x = (uint32_t)v;
    fwrite(&x, sizeof x, 1, file);
}

static void put_text(FILE *file, const char *text)
{
    put_u32(file, strlen(text));
    fwrite(text, 1, strlen(text), file);
}

static void put_tensor(FILE *file, const case_tensor *t)
{
    put_u32(file, t->present);
    if (!t->present)
        return;
    put_u32(file, (size_t)t->dtype);
    put_u32(file, (size_t)t->shape.v[0]);
    fwrite(t->shape.v + 1, sizeof(int64_t), (size_t)t->shape.v[0], file);
    fwrite(t->data, cbm_dtype_size(t->dtype), (size_t)t->count, file);
}

bool cases_write(const char *path, const case_list *list)
{
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    fwrite(magic, 1, sizeof magic, file);
    put_u32(file, list->count);
    for (size_t i = 0; i < list->count; i++) {
        const op_case *c = &list->cases[i];
        put_text(file, c->op);
        put_text(file, c->label);
        put_u32(file, c->exact);
        put_u32(file, c->n_fields);
        for (size_t k = 0; k < c->n_fields; k++) {
            put_text(file, c->fields[k].name);
            put_u32(file, c->fields[k].type);
            fwrite(c->fields[k].value, sizeof(int64_t), c->fields[k].type == CBM_ATTRIBUTE_SHAPE ? 9 : 1, file);
        }
        put_u32(file, c->n_in);
        put_u32(file, c->n_out);
        for (size_t k = 0; k < c->n_in; k++)
            put_tensor(file, &c->in[k]);
        for (size_t k = 0; k < c->n_out; k++)
            put_tensor(file, &c->out[k]);
    }
    bool good = !ferror(file);
    return fclose(file) == 0 && good;
}

/* ---- samples ---- */

bool case_op_available(const char *op)
{
    if (cbm_lapack_of(CBM_F64, NULL))
        return true;
    for (const cbm_kernel *k = cbm_lapack_kernels; k->op; k++)
        if (strcmp(k->op, op) == 0)
            return false;
    return true;
}

static bool sample_case(cbm_heap *heap, const cbm_op *op, size_t number, op_case *c)
{
    const cbm_sample *s = &op->samples[number];
    snprintf(c->op, sizeof c->op, "%s", op->name);
    snprintf(c->label, sizeof c->label, "sample %zu", number);
    c->n_fields = op->n_attributes;
    for (size_t i = 0; i < op->n_attributes; i++) {
        const cbm_attribute *a = &op->attributes[i];
        case_field *f = &c->fields[i];
        snprintf(f->name, sizeof f->name, "%s", a->name);
        f->type = a->type;
        memcpy(f->value, (const char *)s->attributes + a->offset,
               (a->type == CBM_ATTRIBUTE_SHAPE ? 9 : 1) * sizeof(int64_t));
    }
    c->n_in = s->n_in;
    c->n_out = (size_t)op->n_out;
    for (size_t i = 0; i < s->n_in; i++) {
        case_tensor *t = &c->in[i];
        *t = (case_tensor){ .dtype = s->in[i].dtype, .shape = s->in[i].shape, .present = true };
        t->count = cbm_shape_count(&t->shape);
        size_t size;
        void *data = cbm_sample_fill(heap, s, i, t->dtype, &size);
        if (!data)
            return false;
        t->data = malloc(size);
        memcpy(t->data, data, size);
        cbm_heap_give(heap, data, size);
    }
    return true;
}

bool cases_of_samples(case_list *out)
{
    cbm_heap *heap = cbm_heap_open(NULL, 0);
    size_t total = 0;
    bool good = true;
    for (size_t i = 0; i < cbm_op_count(); i++)
        total += cbm_op_at(i)->n_samples;
    *out = (case_list){ .cases = calloc(total ? total : 1, sizeof *out->cases) };
    for (size_t i = 0; i < cbm_op_count(); i++)
        for (size_t s = 0; s < cbm_op_at(i)->n_samples && case_op_available(cbm_op_at(i)->name); s++)
            good = sample_case(heap, cbm_op_at(i), s, &out->cases[out->count++]) && good;
    cbm_heap_close(heap);
    return good;
}

/* ---- tensors ---- */

double case_tensor_at(const case_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case CBM_F32: return (double)((const float *)t->data)[i];
    case CBM_F64: return ((const double *)t->data)[i];
    case CBM_I64: return (double)((const int64_t *)t->data)[i];
    case CBM_I32: return ((const int32_t *)t->data)[i];
    case CBM_BF16: return (double)cbm_bf16_widen(((const uint16_t *)t->data)[i]);
    default: return ((const uint8_t *)t->data)[i];
    }
}

static void set_at(case_tensor *t, int64_t i, double v)
{
    switch (t->dtype) {
    case CBM_F32: ((float *)t->data)[i] = (float)v; break;
    case CBM_F64: ((double *)t->data)[i] = v; break;
    case CBM_I64: ((int64_t *)t->data)[i] = (int64_t)v; break;
    case CBM_I32: ((int32_t *)t->data)[i] = (int32_t)v; break;
    case CBM_BF16: ((uint16_t *)t->data)[i] = cbm_bf16_round((float)v); break;
    default: ((uint8_t *)t->data)[i] = (uint8_t)v; break;
    }
}

case_tensor case_tensor_cast(const case_tensor *t, cbm_dtype dtype)
{
    case_tensor r = *t;
    r.dtype = dtype;
    r.data = calloc((size_t)t->count + 1, cbm_dtype_size(dtype));
    if (dtype == t->dtype)
        memcpy(r.data, t->data, (size_t)t->count * cbm_dtype_size(dtype));
    else
        for (int64_t i = 0; i < t->count; i++)
            set_at(&r, i, case_tensor_at(t, i));
    return r;
}

case_tensor case_tensor_copy(const case_tensor *t)
{
    return case_tensor_cast(t, t->dtype);
}

static cbm_tensor *start(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, const void *data, bool trainable)
{
    cbm_tensor *t = cbm_tensor_from(cx, dtype, shape, data);
    return trainable ? cbm_variable(t, true) : t;
}

/* t with its axes in reverse order in memory. */
static cbm_tensor *load_reversed(cbm_context *cx, const case_tensor *t, bool trainable)
{
    size_t size = cbm_dtype_size(t->dtype);
    int64_t rank = t->shape.v[0], stride[CBM_MAX_DIMS + 1], at[CBM_MAX_DIMS + 1] = { 0 }, step = 1, place = 0;
    cbm_shape reversed = { { rank } }, order = { { rank } };
    for (int64_t d = 1; d <= rank; d++) {
        stride[d] = step;
        step *= t->shape.v[d];
        reversed.v[rank + 1 - d] = t->shape.v[d];
        order.v[d] = rank - d;
    }
    char *turned = malloc((size_t)t->count * size + 1);
    for (int64_t k = 0; k < t->count; k++) {
        memcpy(turned + (size_t)place * size, (const char *)t->data + (size_t)k * size, size);
        for (int64_t d = rank; d >= 1; d--) {
            place += stride[d];
            if (++at[d] < t->shape.v[d])
                break;
            place -= stride[d] * t->shape.v[d];
            at[d] = 0;
        }
    }
    cbm_tensor *r = cbm_permute(start(cx, t->dtype, reversed, turned, trainable), order);
    free(turned);
    return r;
}

/* t between elements that must not be looked at. */
static cbm_tensor *load_every_second(cbm_context *cx, const case_tensor *t, bool trainable)
{
    size_t size = cbm_dtype_size(t->dtype);
    int64_t rank = t->shape.v[0];
    cbm_shape doubled = t->shape;
    doubled.v[rank] *= 2;
    char *spread = malloc((size_t)t->count * size * 2 + 1);
    memset(spread, t->dtype == CBM_BOOL ? 1 : 0x7f, (size_t)t->count * size * 2); /* f32: huge; f64 too; indices too */
    for (int64_t k = 0; k < t->count; k++)
        memcpy(spread + (size_t)(2 * k + 1) * size, (const char *)t->data + (size_t)k * size, size);
    cbm_tensor *r = cbm_slice(start(cx, t->dtype, doubled, spread, trainable), -1, 1, doubled.v[rank], 2);
    free(spread);
    return r;
}

static cbm_tensor *load(cbm_context *cx, const case_tensor *t, case_layout layout, bool trainable)
{
    bool plain = t->shape.v[0] == 0 || t->count == 0;
    if (!plain && layout == LAYOUT_REVERSED_AXES)
        return load_reversed(cx, t, trainable);
    if (!plain && layout == LAYOUT_EVERY_SECOND)
        return load_every_second(cx, t, trainable);
    return start(cx, t->dtype, t->shape, t->data, trainable);
}

cbm_tensor *case_tensor_load(cbm_context *cx, const case_tensor *t, case_layout layout)
{
    return load(cx, t, layout, false);
}

cbm_tensor *case_tensor_load_trainable(cbm_context *cx, const case_tensor *t, case_layout layout)
{
    return load(cx, t, layout, true);
}

case_tensor case_tensor_read(cbm_tensor *t)
{
    case_tensor r = { .dtype = cbm_tensor_dtype(t), .shape = cbm_tensor_shape(t), .count = cbm_tensor_count(t) };
    size_t size = (size_t)r.count * cbm_dtype_size(r.dtype);
    r.data = malloc(size + 1);
    r.present = !cbm_tensor_failed(t) && cbm_read(t, r.data, size) == CBM_OK;
    return r;
}

void *case_attributes(const cbm_op *op, const op_case *c, bool f32)
{
    char *attributes = calloc(1, op->attributes_size + 1);
    for (size_t i = 0; i < op->n_attributes; i++) {
        const cbm_attribute *a = &op->attributes[i];
        const case_field *f = NULL;
        for (size_t k = 0; k < c->n_fields; k++)
            if (strcmp(c->fields[k].name, a->name) == 0)
                f = &c->fields[k];
        if (!f || f->type != (uint32_t)a->type) {
            free(attributes);
            return NULL;
        }
        int64_t value[9];
        memcpy(value, f->value, sizeof value);
        if (f32 && a->type == CBM_ATTRIBUTE_DTYPE && value[0] == CBM_F64)
            value[0] = CBM_F32;
        memcpy(attributes + a->offset, value, (a->type == CBM_ATTRIBUTE_SHAPE ? 9 : 1) * sizeof(int64_t));
    }
    return attributes;
}

bool case_same_shape(const case_tensor *a, const case_tensor *b)
{
    return cbm_shape_equal(&a->shape, &b->shape);
}

double case_difference(const case_tensor *a, const case_tensor *b)
{
    double worst = 0;
    for (int64_t i = 0; i < a->count; i++) {
        double x = case_tensor_at(a, i), y = case_tensor_at(b, i);
        if (x == y || (isnan(x) && isnan(y)))
            continue;
        double d = isfinite(x) && isfinite(y) ? fabs(x - y) / fmax(1, fabs(y)) : INFINITY;
        worst = fmax(worst, d);
    }
    return worst;
}

cbm_context *open_mode(const char *device, bool naive, bool deterministic)
{
    cbm_context_options options;
    cbm_context_options_init(&options);
    options.device = device;
    options.threads = 2;
    options.naive = naive;
    options.deterministic = deterministic;
    return cbm_open(&options);
}

cbm_context *open_device(const char *device)
{
    return open_mode(device, false, false);
}
