/* safetensors.c: opening safetensors files: 8 bytes of header length, a JSON header, then the data. Everything the header
   claims is checked before it is used: https://huggingface.co/docs/safetensors. Rests on bytes.h and Jansson. */
#include "io/safetensors.h"
#include "io/torch.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LENGTH_BYTES 8
#define DEPTH_MAX 4 /* header, tensor, list; one more for a clear message from the checks below */
#define LIST_MAX 64 /* entries of a list; a shape has at most CBM_MAX_DIMS */
#define TENSORS_MAX 1000000u

/* A cheap look over the text before it becomes a tree: limits depth and lists, so that a hostile header cannot make the
   tree far larger than itself. Leaves all other faults to the JSON parser. */
static bool scan(const char *text, size_t n, cbm_problem *problem)
{
    size_t commas[DEPTH_MAX + 1] = { 0 };
    bool list[DEPTH_MAX + 1] = { false };
    size_t depth = 0;
    bool inside = false;
    for (size_t i = 0; i < n; ++i) {
        char c = text[i];
        if (inside) {
            if (c == '\\')
                ++i;
            else if (c == '"')
                inside = false;
        } else if (c == '"') {
            inside = true;
        } else if (c == '{' || c == '[') {
            if (++depth > DEPTH_MAX)
                return cbm_refuse(problem, CBM_ERROR_FORMAT, "its header is nested too deeply");
            commas[depth] = 0;
            list[depth] = c == '[';
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return cbm_refuse(problem, CBM_ERROR_FORMAT, "its header is not JSON");
            --depth;
        } else if (c == ',') {
            size_t most = list[depth] ? LIST_MAX : depth > 1 ? SIZE_MAX : TENSORS_MAX;
            if (++commas[depth] >= most)
                return cbm_refuse(problem, CBM_ERROR_FORMAT, "its header holds a list that is too long");
        }
    }
    return true;
}

/* [a, b, ...] of integers >= 0 into out; the count in *count; false on anything else or more than most of them. */
static bool read_list(const json_t *list, int64_t *out, size_t most, size_t *count)
{
    if (!json_is_array(list) || json_array_size(list) > most)
        return false;
    *count = json_array_size(list);
    for (size_t i = 0; i < *count; ++i) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return false;
        out[i] = json_integer_value(item);
    }
    return true;
}

static bool parse_entry(const char *name, json_t *value, uint64_t data_size, cbm_entry *e, cbm_problem *problem)
{
    char shown[CBM_SHOWN], other[CBM_SHOWN];
    cbm_shown(name, shown);
    if (!json_is_object(value))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "tensor '%s' is not described by a JSON object", shown);
    const json_t *type = json_object_get(value, "dtype"), *shape = json_object_get(value, "shape"),
                 *offsets = json_object_get(value, "data_offsets");
    if (!type || !shape || !offsets || json_object_size(value) != 3)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "tensor '%s' needs exactly dtype, shape and data_offsets", shown);
    e->name = name;
    e->type = json_is_string(type) ? cbm_stored_safetensors(json_string_value(type)) : NULL;
    if (!e->type)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "tensor '%s' has the unknown dtype '%s'", shown,
                          json_is_string(type) ? cbm_shown(json_string_value(type), other) : "?");
    size_t rank = 0, two = 0;
    int64_t range[2] = { 0, 0 };
    if (json_is_array(shape) && json_array_size(shape) > CBM_MAX_DIMS)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "tensor '%s' has %zu dimensions; at most %d are possible", shown,
                          json_array_size(shape), CBM_MAX_DIMS);
    if (!read_list(shape, e->shape.v + 1, CBM_MAX_DIMS, &rank))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "tensor '%s' has a shape that is not a list of sizes", shown);
    e->shape.v[0] = (int64_t)rank;
    if (!read_list(offsets, range, 2, &two) || two != 2 || range[0] > range[1])
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "tensor '%s' has data_offsets that are not [begin, end]", shown);
    e->begin = (uint64_t)range[0];
    e->end = (uint64_t)range[1];
    if (e->end > data_size)
        return cbm_refuse(
            problem, CBM_ERROR_FORMAT,
            "tensor '%s' ends at byte %llu of the data, of which there are %llu: the file is truncated or damaged",
            shown, (unsigned long long)e->end, (unsigned long long)data_size);
    int64_t count = cbm_shape_count(&e->shape);
    uint64_t bits;
    if (count < 0 || __builtin_mul_overflow((uint64_t)count, (uint64_t)e->type->bits, &bits))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "tensor '%s' has a shape with more elements than can be counted",
                          shown);
    if (bits % 8 != 0 || bits / 8 != e->end - e->begin)
        return cbm_refuse(problem, CBM_ERROR_FORMAT,
                          "tensor '%s' has %llu bytes of data where its shape and dtype need %llu", shown,
                          (unsigned long long)(e->end - e->begin), (unsigned long long)(bits / 8));
    return true;
}

static int by_place(const void *a, const void *b)
{
    const cbm_entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const cbm_entry *)a)->name, ((const cbm_entry *)b)->name);
}

/* Tensors must cover the data exactly: no overlap, no hole, nothing left over (a place to hide things). */
static bool check_cover(cbm_array *entries, uint64_t data_size, cbm_problem *problem)
{
    cbm_entry *all = entries->data;
    char shown[CBM_SHOWN];
    uint64_t end = 0;
    if (entries->count > 0)
        qsort(all, entries->count, sizeof *all, by_place);
    for (size_t i = 0; i < entries->count; ++i) {
        if (all[i].begin != end)
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "tensor '%s' %s", cbm_shown(all[i].name, shown),
                              all[i].begin < end ? "overlaps another one" : "leaves a hole in front of it");
        end = all[i].end;
    }
    if (end != data_size)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "%llu bytes at its end belong to no tensor",
                          (unsigned long long)(data_size - end));
    if (entries->count > 0)
        qsort(all, entries->count, sizeof *all, by_name);
    return true;
}

static bool check_metadata(const json_t *metadata, cbm_problem *problem)
{
    if (!json_is_object(metadata))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its __metadata__ is not a JSON object");
    for (void *at = json_object_iter((json_t *)(uintptr_t)metadata); at;
         at = json_object_iter_next((json_t *)(uintptr_t)metadata, at))
        if (!json_is_string(json_object_iter_value(at)))
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "its __metadata__ holds something that is not text");
    return true;
}

bool cbm_safetensors_parse(cbm_heap *heap, const char *text, size_t n, uint64_t data_size, json_t **header,
                           cbm_array *entries, cbm_problem *problem)
{
    *header = NULL;
    *entries = CBM_ARRAY(heap, cbm_entry);
    if (n == 0 || text[0] != '{')
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its header does not begin with '{'");
    if (!scan(text, n, problem))
        return false;
    json_error_t error;
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
    if (!root) {
        char shown[CBM_SHOWN];
        if (json_error_code(&error) == json_error_out_of_memory)
            return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its header");
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its header is not JSON (at byte %d: %s)", error.position,
                          cbm_shown(error.text, shown));
    }
    *header = root;
    if (!cbm_array_reserve(entries, json_object_size(root)))
        return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its %zu entries", json_object_size(root));
    for (void *at = json_object_iter(root); at; at = json_object_iter_next(root, at)) {
        const char *name = json_object_iter_key(at);
        json_t *value = json_object_iter_value(at);
        cbm_entry e = { 0 };
        if (strcmp(name, "__metadata__") == 0 ? !check_metadata(value, problem)
                                              : !parse_entry(name, value, data_size, &e, problem))
            return false;
        if (e.name && !cbm_array_push(entries, &e))
            return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its entries");
    }
    return check_cover(entries, data_size, problem);
}

/* ---- opening ---- */

const char *cbm_safetensors_shown(const cbm_safetensors *file)
{
    return file->shown[0] ? file->shown : "(memory)";
}

/* The header's length, checked against the file's size. */
static bool header_length(const uint8_t first[LENGTH_BYTES], uint64_t size, uint64_t *length, cbm_problem *problem)
{
    *length = cbm_u64_le(first);
    if (*length > CBM_SAFETENSORS_HEADER_MAX)
        return cbm_refuse(problem, CBM_ERROR_FORMAT,
                          "neither a safetensors file (its header would have %llu bytes) nor one of PyTorch's",
                          (unsigned long long)*length);
    if (*length > size - LENGTH_BYTES)
        return cbm_refuse(problem, CBM_ERROR_FORMAT,
                          "its header should have %llu bytes, but only %llu follow: truncated",
                          (unsigned long long)*length, (unsigned long long)(size - LENGTH_BYTES));
    return true;
}

static bool too_short(uint64_t size, cbm_problem *problem)
{
    return size < LENGTH_BYTES ? !cbm_refuse(problem, CBM_ERROR_FORMAT,
                                             "%llu bytes are too few for a file of weights: empty or truncated",
                                             (unsigned long long)size)
                               : false;
}

static bool read_header(cbm_safetensors *file, cbm_heap *heap, uint64_t size, cbm_problem *problem)
{
    uint8_t first[LENGTH_BYTES];
    uint64_t length;
    if (too_short(size, problem) || !cbm_file_read_at(file->file, 0, first, sizeof first, problem) ||
        !header_length(first, size, &length, problem))
        return false;
    char *text = cbm_heap_take(heap, length ? (size_t)length : 1);
    if (!text)
        return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its header of %llu bytes",
                          (unsigned long long)length);
    file->data = LENGTH_BYTES + length;
    bool fine =
        cbm_file_read_at(file->file, LENGTH_BYTES, text, (size_t)length, problem) &&
        cbm_safetensors_parse(heap, text, (size_t)length, size - file->data, &file->header, &file->entries, problem);
    cbm_heap_give(heap, text, length ? (size_t)length : 1);
    return fine;
}

/* The first bytes say that the file is one of PyTorch's: it is read whole. *torch: whether it is. */
static bool read_torch(cbm_safetensors *file, const char *path, uint64_t size, bool *torch, cbm_problem *problem)
{
    uint8_t first[16] = { 0 };
    const size_t begin = size < sizeof first ? (size_t)size : sizeof first;
    *torch = false;
    if (!cbm_file_read_at(file->file, 0, first, begin, problem))
        return false;
    *torch = cbm_is_torch(first, begin);
    if (!*torch)
        return true;
    cbm_heap *heap = cbm_context_heap(file->cx);
    uint8_t *bytes;
    size_t whole;
    if (!cbm_file_get(heap, path, &bytes, &whole, problem))
        return false;
    const bool ok = cbm_torch_parse(file, bytes, whole, problem);
    cbm_heap_give(heap, bytes, whole ? whole : 1);
    return ok;
}

static bool begin_failed(cbm_safetensors *file, const cbm_problem *problem)
{
    cbm_report(file->cx, file->operation, cbm_safetensors_shown(file), problem);
    cbm_safetensors_shut(file);
    return false;
}

bool cbm_safetensors_begin(cbm_safetensors *file, cbm_context *cx, const char *operation, const char *path)
{
    *file = (cbm_safetensors){ .cx = cx, .operation = operation, .file = -1 };
    if (cbm_context_status(cx) != CBM_OK)
        return false;
    if (!path) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] path is NULL", operation);
        return false;
    }
    size_t length = strlen(path), kept = sizeof file->shown - 1;
    memcpy(file->shown, length > kept ? path + length - kept : path, length > kept ? kept : length);
    cbm_problem problem = { 0 };
    uint64_t size;
    file->file = cbm_file_open(path, &size, &problem);
    bool torch = false;
    if (file->file < 0 || !read_torch(file, path, size, &torch, &problem) ||
        (!torch && !read_header(file, cbm_context_heap(cx), size, &problem)))
        return begin_failed(file, &problem);
    return true;
}

bool cbm_safetensors_begin_memory(cbm_safetensors *file, cbm_context *cx, const char *operation, const void *bytes,
                                  size_t size)
{
    *file = (cbm_safetensors){ .cx = cx, .operation = operation, .file = -1, .bytes = bytes };
    if (cbm_context_status(cx) != CBM_OK)
        return false;
    cbm_problem problem = { 0 };
    uint64_t length;
    if (bytes && cbm_is_torch(bytes, size)) {
        file->bytes = NULL;
        return cbm_torch_parse(file, bytes, size, &problem) || begin_failed(file, &problem);
    }
    if (!bytes)
        cbm_refuse(&problem, CBM_ERROR_INVALID, "bytes is NULL");
    if (!bytes || too_short(size, &problem) || !header_length(file->bytes, size, &length, &problem))
        return begin_failed(file, &problem);
    file->data = LENGTH_BYTES + length;
    if (!cbm_safetensors_parse(cbm_context_heap(cx), (const char *)bytes + LENGTH_BYTES, (size_t)length,
                               size - file->data, &file->header, &file->entries, &problem))
        return begin_failed(file, &problem);
    return true;
}

void cbm_safetensors_shut(cbm_safetensors *file)
{
    if (file->file >= 0)
        close(file->file);
    file->file = -1;
    file->bytes = NULL;
    json_decref(file->header);
    file->header = NULL;
    if (file->entries.heap)
        cbm_array_free(&file->entries);
    cbm_heap_give(cbm_context_heap(file->cx), file->owned, file->owned_bytes);
    file->owned = NULL;
}

const cbm_entry *cbm_safetensors_entry(const cbm_safetensors *file, size_t i)
{
    return &CBM_AT(&file->entries, cbm_entry, i);
}

const cbm_entry *cbm_safetensors_find(const cbm_safetensors *file, const char *name)
{
    cbm_entry key = { .name = name };
    if (file->entries.count == 0)
        return NULL;
    return bsearch(&key, file->entries.data, file->entries.count, sizeof key, by_name);
}

cbm_tensor *cbm_safetensors_get(cbm_safetensors *file, const cbm_entry *e)
{
    cbm_context *cx = file->cx;
    cbm_heap *heap = cbm_context_heap(cx);
    char shown[CBM_SHOWN];
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_tensor_none(cx);
    if (!e->type->readable) {
        cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[%s] %s: tensor '%s' has dtype %s, which has no counterpart here",
                 file->operation, cbm_safetensors_shown(file), cbm_shown(e->name, shown), e->type->safetensors);
        return cbm_tensor_none(cx);
    }
    size_t bytes, stored = (size_t)(e->end - e->begin);
    if (!cbm_bytes_of(&e->shape, e->type->dtype, &bytes)) {
        cbm_fail(cx, CBM_ERROR_MEMORY, "[%s] tensor '%s' is too large", file->operation, cbm_shown(e->name, shown));
        return cbm_tensor_none(cx);
    }
    size_t taken = bytes ? bytes : 1;
    /* What needs no conversion is read to where it stays. */
    bool direct = !file->bytes && !e->type->widen && (!cbm_host_is_big_endian() || e->type->bits == 8);
    uint8_t *data = cbm_heap_take(heap, taken);
    uint8_t *staged = direct || file->bytes ? NULL : cbm_heap_take(heap, stored ? stored : 1);
    cbm_problem problem = { 0 };
    bool fine = data && (direct || file->bytes || staged);
    if (!fine)
        cbm_refuse(&problem, CBM_ERROR_MEMORY, "no memory for tensor '%s' of %zu bytes", cbm_shown(e->name, shown),
                   bytes);
    if (fine && !file->bytes)
        fine = cbm_file_read_at(file->file, file->data + e->begin, direct ? data : staged, stored, &problem);
    if (fine && !direct)
        cbm_stored_read(e->type, file->bytes ? file->bytes + file->data + e->begin : staged, false, data,
                        (size_t)cbm_shape_count(&e->shape));
    cbm_heap_give(heap, staged, stored ? stored : 1);
    if (!fine) {
        cbm_heap_give(heap, data, taken);
        cbm_report(cx, file->operation, cbm_safetensors_shown(file), &problem);
        return cbm_tensor_none(cx);
    }
    return cbm_tensor_adopt(cx, e->type->dtype, e->shape, data, taken);
}

/* ---- the public handle ---- */

static void destroy(void *object)
{
    cbm_safetensors *file = object;
    cbm_safetensors_shut(file);
    cbm_heap_give(cbm_context_heap(file->cx), file, sizeof *file);
}

static cbm_safetensors *open_owned(cbm_context *cx, const char *path, const void *bytes, size_t size, bool memory)
{
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    cbm_safetensors *file = cbm_heap_take(cbm_context_heap(cx), sizeof *file);
    if (!file) {
        cbm_fail_memory(cx, "a file's handle");
        return NULL;
    }
    bool fine = memory ? cbm_safetensors_begin_memory(file, cx, "safetensors", bytes, size)
                       : cbm_safetensors_begin(file, cx, "safetensors", path);
    if (fine && cbm_context_own(cx, file, destroy))
        return file;
    destroy(file);
    return NULL;
}

cbm_safetensors *cbm_safetensors_open(cbm_context *cx, const char *path)
{
    return open_owned(cx, path, NULL, 0, false);
}

cbm_safetensors *cbm_safetensors_open_memory(cbm_context *cx, const void *bytes, size_t size)
{
    return open_owned(cx, NULL, bytes, size, true);
}

size_t cbm_safetensors_count(const cbm_safetensors *file)
{
    return file ? file->entries.count : 0;
}

bool cbm_safetensors_at(const cbm_safetensors *file, size_t i, cbm_file_tensor *out)
{
    if (!file || i >= file->entries.count)
        return false;
    const cbm_entry *e = cbm_safetensors_entry(file, i);
    *out = (cbm_file_tensor){ .name = e->name,
                              .type = e->type->safetensors,
                              .readable = e->type->readable,
                              .dtype = e->type->dtype,
                              .shape = e->shape,
                              .bytes = e->end - e->begin };
    return true;
}

const char *cbm_safetensors_metadata(const cbm_safetensors *file, const char *key)
{
    return file ? json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key)) : NULL;
}

cbm_tensor *cbm_safetensors_tensor(cbm_safetensors *file, const char *name)
{
    if (!file)
        return NULL;
    const cbm_entry *e = name ? cbm_safetensors_find(file, name) : NULL;
    if (e)
        return cbm_safetensors_get(file, e);
    char shown[CBM_SHOWN];
    cbm_fail(file->cx, CBM_ERROR_INVALID, "[safetensors] %s: no tensor is named '%s'", cbm_safetensors_shown(file),
             name ? cbm_shown(name, shown) : "(NULL)");
    return cbm_tensor_none(file->cx);
}

void cbm_safetensors_close(cbm_safetensors *file)
{
    if (!file)
        return;
    cbm_context_disown(file->cx, file);
    destroy(file);
}
