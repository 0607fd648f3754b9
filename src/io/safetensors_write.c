/* safetensors_write.c: writing tensors as a safetensors file: larger element types first (so that each tensor is
   aligned), then by name, as the format's own library does. Rests on bytes.h and base. */
#include "io/safetensors.h"
#include <stdlib.h>
#include <string.h>

typedef struct item {
    const char *name;
    cbm_tensor *tensor;
    const void *data;
    size_t bytes;
} item;

static int by_size_and_name(const void *a, const void *b)
{
    const item *x = a, *y = b;
    size_t m = cbm_dtype_size(cbm_tensor_dtype(x->tensor)), n = cbm_dtype_size(cbm_tensor_dtype(y->tensor));
    if (m != n)
        return m > n ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const item *)a)->name, ((const item *)b)->name);
}

static bool append_string(cbm_text *t, const char *s)
{
    bool fine = cbm_text_append(t, "\"");
    for (; *s && fine; ++s) {
        unsigned char c = (unsigned char)*s;
        fine = c == '"' || c == '\\' ? cbm_text_append(t, "\\%c", c)
               : c < 0x20            ? cbm_text_append(t, "\\u%04x", c)
                                     : cbm_text_append(t, "%c", c);
    }
    return fine && cbm_text_append(t, "\"");
}

static bool append_metadata(cbm_text *t, const char *const *pairs)
{
    bool fine = cbm_text_append(t, "\"__metadata__\":{");
    for (size_t i = 0; pairs[i] && fine; i += 2)
        fine = (i == 0 || cbm_text_append(t, ",")) && append_string(t, pairs[i]) && cbm_text_append(t, ":") &&
               append_string(t, pairs[i + 1]);
    return fine && cbm_text_append(t, "}");
}

static bool append_item(cbm_text *t, const item *it, uint64_t begin)
{
    cbm_shape shape = cbm_tensor_shape(it->tensor);
    bool fine = append_string(t, it->name) && cbm_text_append(t, ":{\"dtype\":\"%s\",\"shape\":[",
                                                              cbm_safetensors_type(cbm_tensor_dtype(it->tensor)));
    for (int64_t axis = 1; axis <= shape.v[0] && fine; ++axis)
        fine = cbm_text_append(t, axis > 1 ? ",%lld" : "%lld", (long long)shape.v[axis]);
    return fine && cbm_text_append(t, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                                   (unsigned long long)(begin + it->bytes));
}

static bool make_header(cbm_text *t, const item *items, size_t count, const char *const *metadata)
{
    bool fine = cbm_text_append(t, "{"), first = true;
    if (metadata && metadata[0]) {
        fine = fine && append_metadata(t, metadata);
        first = false;
    }
    uint64_t at = 0;
    for (size_t i = 0; i < count && fine; ++i) {
        fine = (first || cbm_text_append(t, ",")) && append_item(t, &items[i], at);
        at += items[i].bytes;
        first = false;
    }
    fine = fine && cbm_text_append(t, "}");
    while (fine && strlen(cbm_text_get(t)) % 8 != 0) /* the data begins aligned */
        fine = cbm_text_append(t, " ");
    return fine;
}

/* Text that JSON can hold: UTF-8. */
static bool is_text(const char *s)
{
    json_t *j = json_string(s);
    json_decref(j);
    return j != NULL;
}

static cbm_status check_items(cbm_context *cx, item *items, size_t count, const char *const *metadata)
{
    char shown[CBM_SHOWN];
    for (size_t i = 0; i < count; ++i) {
        if (!items[i].name || !*items[i].name || strcmp(items[i].name, "__metadata__") == 0 || !is_text(items[i].name))
            return cbm_fail(cx, CBM_ERROR_INVALID, "[safetensors] tensor %zu needs another name", i);
        if (!items[i].tensor || cbm_tensor_context(items[i].tensor) != cx)
            return cbm_fail(cx, CBM_ERROR_INVALID, "[safetensors] '%s' is not a tensor of this context",
                            cbm_shown(items[i].name, shown));
    }
    if (count > 0)
        qsort(items, count, sizeof *items, by_name);
    for (size_t i = 1; i < count; ++i)
        if (strcmp(items[i - 1].name, items[i].name) == 0)
            return cbm_fail(cx, CBM_ERROR_INVALID, "[safetensors] two tensors are named '%s'",
                            cbm_shown(items[i].name, shown));
    for (size_t i = 0; metadata && metadata[i]; ++i)
        if (!is_text(metadata[i]) || (i % 2 == 0 && !metadata[i + 1]))
            return cbm_fail(cx, CBM_ERROR_INVALID, "[safetensors] metadata must be pairs of UTF-8 texts");
    return CBM_OK;
}

static cbm_status fetch(cbm_context *cx, item *items, size_t count)
{
    static const uint8_t nothing[1];
    for (size_t i = 0; i < count; ++i) {
        items[i].data = cbm_tensor_data(items[i].tensor);
        items[i].bytes = (size_t)cbm_tensor_count(items[i].tensor) * cbm_dtype_size(cbm_tensor_dtype(items[i].tensor));
        if (items[i].bytes == 0)
            items[i].data = nothing;
        if (cbm_context_status(cx) != CBM_OK)
            return cbm_context_status(cx);
    }
    if (count > 0)
        qsort(items, count, sizeof *items, by_size_and_name);
    return CBM_OK;
}

static cbm_status put(cbm_context *cx, const char *path, const item *items, size_t count, const char *const *metadata)
{
    cbm_text header = cbm_text_open(cbm_context_heap(cx));
    if (!make_header(&header, items, count, metadata)) {
        cbm_text_free(&header);
        return cbm_fail_memory(cx, "a safetensors header");
    }
    const char *text = cbm_text_get(&header);
    size_t length = strlen(text);
    if (length > CBM_SAFETENSORS_HEADER_MAX) {
        cbm_text_free(&header);
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[safetensors] %s: a header of %zu bytes is over the format's limit",
                        path, length);
    }
    cbm_writer w;
    uint8_t first[8];
    cbm_put_u64_le(first, length);
    cbm_writer_open(&w, cx, "safetensors", path);
    cbm_writer_put(&w, first, sizeof first);
    cbm_writer_put(&w, text, length);
    for (size_t i = 0; i < count; ++i)
        cbm_writer_put(&w, items[i].data, items[i].bytes);
    cbm_text_free(&header);
    return cbm_writer_commit(&w);
}

cbm_status cbm_safetensors_write(cbm_context *cx, const char *path, const char *const *names,
                                 cbm_tensor *const *tensors, size_t count, const char *const *metadata)
{
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    if (cbm_host_is_big_endian())
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[safetensors] writing on a big-endian machine");
    cbm_heap *heap = cbm_context_heap(cx);
    size_t size = count > 0 ? count * sizeof(item) : 1;
    item *items = count <= SIZE_MAX / sizeof(item) ? cbm_heap_take(heap, size) : NULL;
    if (!items)
        return cbm_fail_memory(cx, "a list of tensors");
    for (size_t i = 0; i < count; ++i)
        items[i] = (item){ .name = names[i], .tensor = tensors[i] };
    if (check_items(cx, items, count, metadata) == CBM_OK && cbm_compute(tensors, count) == CBM_OK &&
        fetch(cx, items, count) == CBM_OK)
        put(cx, path, items, count, metadata);
    cbm_heap_give(heap, items, size);
    return cbm_context_status(cx);
}
