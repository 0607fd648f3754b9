/* npz.c: NumPy's archives: zip files of npy members. Rests on npy.h and zip.h. */
#include "io/npy.h"
#include "io/zip.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

struct cbm_npz {
    cbm_context *cx;
    const uint8_t *bytes;
    size_t size;
    uint8_t *owned; /* bytes, when read from a file */
    cbm_zip zip;
    char shown[256];
};

static const char *shown_path(const cbm_npz *z)
{
    return z->shown[0] ? z->shown : NULL;
}

/* ---- opening ---- */

static void destroy(void *object)
{
    cbm_npz *z = object;
    cbm_heap *heap = cbm_context_heap(z->cx);
    cbm_zip_free(&z->zip);
    cbm_heap_give(heap, z->owned, z->size ? z->size : 1);
    cbm_heap_give(heap, z, sizeof *z);
}

static cbm_npz *begin(cbm_context *cx)
{
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    cbm_npz *z = cbm_heap_take_zero(cbm_context_heap(cx), sizeof *z);
    if (!z) {
        cbm_fail_memory(cx, "a file's handle");
        return NULL;
    }
    z->cx = cx;
    cbm_zip_init(&z->zip, cbm_context_heap(cx));
    return z;
}

static cbm_npz *finish(cbm_npz *z, cbm_problem *problem)
{
    if (problem->status == CBM_OK)
        cbm_zip_parse(&z->zip, z->bytes, z->size, ".npy", problem);
    if (problem->status != CBM_OK)
        cbm_report(z->cx, "npz", shown_path(z), problem);
    else if (cbm_context_own(z->cx, z, destroy))
        return z;
    destroy(z);
    return NULL;
}

cbm_npz *cbm_npz_open(cbm_context *cx, const char *path)
{
    cbm_npz *z = begin(cx);
    if (!z)
        return NULL;
    cbm_problem problem = { 0 };
    size_t length = path ? strlen(path) : 0, kept = sizeof z->shown - 1;
    memcpy(z->shown, length > kept ? path + length - kept : path ? path : "", length > kept ? kept : length);
    if (!path)
        cbm_refuse(&problem, CBM_ERROR_INVALID, "path is NULL");
    else if (cbm_file_get(cbm_context_heap(cx), path, &z->owned, &z->size, &problem))
        z->bytes = z->owned;
    return finish(z, &problem);
}

cbm_npz *cbm_npz_open_memory(cbm_context *cx, const void *bytes, size_t size)
{
    cbm_npz *z = begin(cx);
    if (!z)
        return NULL;
    cbm_problem problem = { 0 };
    z->bytes = bytes;
    z->size = size;
    if (!bytes)
        cbm_refuse(&problem, CBM_ERROR_INVALID, "bytes is NULL");
    return finish(z, &problem);
}

void cbm_npz_close(cbm_npz *file)
{
    if (!file)
        return;
    cbm_context_disown(file->cx, file);
    destroy(file);
}

size_t cbm_npz_count(const cbm_npz *file)
{
    return file ? file->zip.members.count : 0;
}

const char *cbm_npz_name(const cbm_npz *file, size_t i)
{
    return i < cbm_npz_count(file) ? CBM_AT(&file->zip.members, cbm_zip_member, i).name : NULL;
}

/* ---- reading a member ---- */

cbm_tensor *cbm_npz_tensor(cbm_npz *z, const char *name)
{
    if (!z)
        return NULL;
    cbm_context *cx = z->cx;
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_tensor_none(cx);
    const cbm_zip_member *m = name ? cbm_zip_find(&z->zip, name) : NULL;
    char shown[CBM_SHOWN], title[2 * 256];
    cbm_shown(name ? name : "(NULL)", shown);
    if (!m) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[npz] %s: no array is named '%s'", z->shown, shown);
        return cbm_tensor_none(cx);
    }
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_problem problem = { 0 };
    uint8_t *inflated;
    const uint8_t *plain = cbm_zip_read(&z->zip, heap, m, &inflated, &problem);
    cbm_text text = cbm_text_open(heap);
    cbm_text_append(&text, "%s: '%s'", z->shown[0] ? z->shown : "(memory)", shown);
    size_t length = strlen(cbm_text_get(&text));
    memcpy(title, cbm_text_get(&text), length < sizeof title ? length + 1 : sizeof title);
    title[sizeof title - 1] = 0;
    cbm_text_free(&text);
    if (problem.status != CBM_OK)
        cbm_report(cx, "npz", title, &problem);
    cbm_tensor *t = cbm_npy_tensor(cx, title, plain, (size_t)m->size); /* the failed tensor after an error */
    cbm_zip_give(heap, m, inflated);
    return t;
}

/* ---- writing ---- */

typedef struct written {
    uint32_t crc, size, local;
} written;

#define DOS_DATE 0x0021u /* 1 January 1980: the same bytes every time */
#define VERSION 20u

static void put_common(uint8_t *p, const written *w, size_t name)
{
    cbm_put_u16_le(p, VERSION);
    cbm_put_u16_le(p + 2, 0);
    cbm_put_u16_le(p + 4, CBM_ZIP_STORED);
    cbm_put_u16_le(p + 6, 0);
    cbm_put_u16_le(p + 8, DOS_DATE);
    cbm_put_u32_le(p + 10, w->crc);
    cbm_put_u32_le(p + 14, w->size);
    cbm_put_u32_le(p + 18, w->size);
    cbm_put_u16_le(p + 22, (uint16_t)(name + 4));
    cbm_put_u16_le(p + 24, 0);
}

static cbm_status put_member(cbm_writer *w, const char *name, cbm_tensor *t, written *out)
{
    cbm_context *cx = w->cx;
    const uint8_t *data = cbm_tensor_data(t);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    cbm_shape shape = cbm_tensor_shape(t);
    cbm_dtype dtype = cbm_tensor_dtype(t);
    if (!cbm_npy_can_write(cx, "npz", dtype))
        return cbm_context_status(cx);
    uint8_t header[CBM_NPY_HEADER_MAX], local[CBM_ZIP_LOCAL_BYTES] = { 0 };
    size_t front = cbm_npy_header(dtype, &shape, header);
    size_t bytes = (size_t)cbm_tensor_count(t) * cbm_dtype_size(dtype);
    if (bytes >= UINT32_MAX - front || w->written >= UINT32_MAX)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED,
                        "[npz] %s: '%s' makes the archive larger than 4 GiB. HINT: safetensors", w->path, name);
    uLong crc = crc32_z(crc32_z(0, NULL, 0), header, front);
    if (bytes > 0)
        crc = crc32_z(crc, data, bytes);
    *out = (written){ (uint32_t)crc, (uint32_t)(front + bytes), (uint32_t)w->written };
    cbm_put_u32_le(local, CBM_ZIP_LOCAL);
    put_common(local + 4, out, strlen(name));
    cbm_writer_put(w, local, sizeof local);
    cbm_writer_put(w, name, strlen(name));
    cbm_writer_put(w, ".npy", 4);
    cbm_writer_put(w, header, front);
    return cbm_writer_put(w, data, bytes);
}

static void put_directory(cbm_writer *w, const char *const *names, const written *all, size_t count)
{
    uint64_t begin = w->written;
    for (size_t i = 0; i < count; ++i) {
        uint8_t central[CBM_ZIP_CENTRAL_BYTES] = { 0 };
        cbm_put_u32_le(central, CBM_ZIP_CENTRAL);
        cbm_put_u16_le(central + 4, VERSION);
        put_common(central + 6, &all[i], strlen(names[i]));
        cbm_put_u32_le(central + 42, all[i].local);
        cbm_writer_put(w, central, sizeof central);
        cbm_writer_put(w, names[i], strlen(names[i]));
        cbm_writer_put(w, ".npy", 4);
    }
    uint8_t end[CBM_ZIP_END_BYTES] = { 0 };
    cbm_put_u32_le(end, CBM_ZIP_END);
    cbm_put_u16_le(end + 8, (uint16_t)count);
    cbm_put_u16_le(end + 10, (uint16_t)count);
    cbm_put_u32_le(end + 12, (uint32_t)(w->written - begin));
    cbm_put_u32_le(end + 16, (uint32_t)begin);
    cbm_writer_put(w, end, sizeof end);
}

static cbm_status check(cbm_context *cx, const char *const *names, cbm_tensor *const *tensors, size_t count)
{
    if (count >= UINT16_MAX)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[npz] more than %u arrays", UINT16_MAX - 1u);
    for (size_t i = 0; i < count; ++i) {
        if (!names[i] || !*names[i] || strlen(names[i]) > CBM_ZIP_NAME - 5)
            return cbm_fail(cx, CBM_ERROR_INVALID, "[npz] array %zu needs a name of 1 to %d bytes", i,
                            CBM_ZIP_NAME - 5);
        if (!tensors[i] || cbm_tensor_context(tensors[i]) != cx)
            return cbm_fail(cx, CBM_ERROR_INVALID, "[npz] '%s' is not a tensor of this context", names[i]);
        for (size_t j = 0; j < i; ++j)
            if (strcmp(names[i], names[j]) == 0)
                return cbm_fail(cx, CBM_ERROR_INVALID, "[npz] two arrays are named '%s'", names[i]);
    }
    return CBM_OK;
}

cbm_status cbm_npz_write(cbm_context *cx, const char *path, const char *const *names, cbm_tensor *const *tensors,
                         size_t count)
{
    if (cbm_context_status(cx) != CBM_OK || check(cx, names, tensors, count) != CBM_OK ||
        cbm_compute(tensors, count) != CBM_OK)
        return cbm_context_status(cx);
    cbm_heap *heap = cbm_context_heap(cx);
    size_t bytes = count ? count * sizeof(written) : 1;
    written *all = cbm_heap_take(heap, bytes);
    if (!all)
        return cbm_fail_memory(cx, "an archive's directory");
    cbm_writer w;
    cbm_writer_open(&w, cx, "npz", path);
    for (size_t i = 0; i < count && cbm_context_status(cx) == CBM_OK; ++i)
        put_member(&w, names[i], tensors[i], &all[i]);
    if (cbm_context_status(cx) == CBM_OK && w.written >= UINT32_MAX)
        cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[npz] %s: larger than 4 GiB. HINT: safetensors", path);
    if (cbm_context_status(cx) == CBM_OK) {
        put_directory(&w, names, all, count);
        cbm_writer_commit(&w);
    } else {
        cbm_writer_abort(&w);
    }
    cbm_heap_give(heap, all, bytes);
    return cbm_context_status(cx);
}
