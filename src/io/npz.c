/* npz.c: NumPy's archives: zip files of npy members, stored or deflated. The central directory is believed only after it
   was checked against the file. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. Rests on npy.h and zlib. */
#include "io/npy.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define END_SIGNATURE 0x06054b50u
#define END64_SIGNATURE 0x06064b50u
#define LOCATOR64_SIGNATURE 0x07064b50u
#define CENTRAL_SIGNATURE 0x02014b50u
#define LOCAL_SIGNATURE 0x04034b50u
#define END_BYTES 22
#define END64_BYTES 56
#define LOCATOR64_BYTES 20
#define CENTRAL_BYTES 46
#define LOCAL_BYTES 30
#define COMMENT_MAX 65535u
#define MEMBERS_MAX 100000u
#define NAME_SIZE 256
#define METHOD_STORED 0
#define METHOD_DEFLATED 8
#define FLAG_ENCRYPTED 1u
#define EXTRA_ZIP64 1

typedef struct member {
    char name[NAME_SIZE]; /* without ".npy" */
    uint64_t packed, size, local;
    uint32_t crc;
    uint16_t method;
} member;

struct cbm_npz {
    cbm_context *cx;
    const uint8_t *bytes;
    size_t size;
    uint8_t *owned;     /* bytes, when read from a file */
    cbm_array members;  /* of member, in the archive's order */
    uint64_t directory; /* where the central directory begins */
    char shown[256];
};

static const char *shown_path(const cbm_npz *z)
{
    return z->shown[0] ? z->shown : NULL;
}

typedef struct directory {
    uint64_t offset, size, count;
} directory;

/* The end record stands before a comment of unknown length: searched from the back. */
static bool find_end(const uint8_t *p, size_t size, size_t *at)
{
    if (size < END_BYTES)
        return false;
    size_t first = size > END_BYTES + COMMENT_MAX ? size - END_BYTES - COMMENT_MAX : 0;
    for (size_t i = size - END_BYTES + 1; i-- > first;)
        if (cbm_u32_le(p + i) == END_SIGNATURE && cbm_u16_le(p + i + 20) == size - END_BYTES - i) {
            *at = i;
            return true;
        }
    return false;
}

static bool find_directory(const uint8_t *p, size_t size, directory *d, cbm_problem *problem)
{
    size_t end;
    if (!find_end(p, size, &end))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "not an npz (zip) file, or truncated");
    d->count = cbm_u16_le(p + end + 10);
    d->size = cbm_u32_le(p + end + 12);
    d->offset = cbm_u32_le(p + end + 16);
    if (d->count == UINT16_MAX || d->size == UINT32_MAX || d->offset == UINT32_MAX) {
        const uint8_t *locator = end >= LOCATOR64_BYTES ? p + end - LOCATOR64_BYTES : NULL;
        uint64_t at = locator && cbm_u32_le(locator) == LOCATOR64_SIGNATURE ? cbm_u64_le(locator + 8) : UINT64_MAX;
        if (end < END64_BYTES || at > end - END64_BYTES || cbm_u32_le(p + at) != END64_SIGNATURE)
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "its zip64 directory is missing");
        d->count = cbm_u64_le(p + at + 32);
        d->size = cbm_u64_le(p + at + 40);
        d->offset = cbm_u64_le(p + at + 48);
    }
    if (d->offset > end || d->size > end - d->offset)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its directory lies outside the file: truncated or damaged");
    if (d->count > MEMBERS_MAX || d->count > d->size / CENTRAL_BYTES)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its directory claims %llu members in %llu bytes",
                          (unsigned long long)d->count, (unsigned long long)d->size);
    return true;
}

/* Sizes over 4 GiB stand in an extra field, only those that the fixed part gives as all ones, in this order. */
static bool read_zip64(const uint8_t *extra, size_t n, member *m)
{
    while (n >= 4) {
        size_t length = cbm_u16_le(extra + 2);
        if (length > n - 4)
            return false;
        if (cbm_u16_le(extra) == EXTRA_ZIP64) {
            uint64_t *places[3] = { &m->size, &m->packed, &m->local };
            const uint8_t *at = extra + 4, *end = at + length;
            for (size_t i = 0; i < 3; ++i) {
                if (*places[i] != UINT32_MAX)
                    continue;
                if (end - at < 8)
                    return false;
                *places[i] = cbm_u64_le(at);
                at += 8;
            }
            return true;
        }
        extra += 4 + length;
        n -= 4 + length;
    }
    return true;
}

static bool read_member(const uint8_t *p, size_t left, const directory *d, member *m, size_t *used,
                        cbm_problem *problem)
{
    if (left < CENTRAL_BYTES || cbm_u32_le(p) != CENTRAL_SIGNATURE)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its directory is damaged");
    size_t name = cbm_u16_le(p + 28), extra = cbm_u16_le(p + 30), comment = cbm_u16_le(p + 32);
    *used = CENTRAL_BYTES + name + extra + comment;
    if (*used > left || name == 0 || name >= NAME_SIZE || memchr(p + CENTRAL_BYTES, 0, name))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its directory holds a name that is empty, too long or damaged");
    *m = (member){ .packed = cbm_u32_le(p + 20),
                   .size = cbm_u32_le(p + 24),
                   .local = cbm_u32_le(p + 42),
                   .crc = cbm_u32_le(p + 16),
                   .method = cbm_u16_le(p + 10) };
    memcpy(m->name, p + CENTRAL_BYTES, name);
    if (name > 4 && strcmp(m->name + name - 4, ".npy") == 0)
        m->name[name - 4] = 0;
    char shown[CBM_SHOWN];
    cbm_shown(m->name, shown);
    if (cbm_u16_le(p + 8) & FLAG_ENCRYPTED)
        return cbm_refuse(problem, CBM_ERROR_UNSUPPORTED, "member '%s' is encrypted", shown);
    if (m->method != METHOD_STORED && m->method != METHOD_DEFLATED)
        return cbm_refuse(problem, CBM_ERROR_UNSUPPORTED, "member '%s' is compressed by method %u", shown, m->method);
    if (!read_zip64(p + CENTRAL_BYTES + name, extra, m))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "member '%s' has a damaged extra field", shown);
    if (m->local > d->offset || m->packed > d->offset - m->local ||
        (m->method == METHOD_STORED && m->packed != m->size) || !cbm_deflate_plausible(m->packed, m->size))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "member '%s' has sizes that cannot be", shown);
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool check_names(cbm_heap *heap, const cbm_array *members, cbm_problem *problem)
{
    cbm_array names = CBM_ARRAY(heap, const char *);
    bool fine = cbm_array_reserve(&names, members->count);
    for (size_t i = 0; i < members->count && fine; ++i) {
        const char *name = CBM_AT(members, member, i).name;
        fine = cbm_array_push(&names, &name) != NULL;
    }
    if (!fine)
        cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its names");
    if (fine && names.count > 0)
        qsort(names.data, names.count, sizeof(char *), by_name);
    char shown[CBM_SHOWN];
    for (size_t i = 1; i < names.count && fine; ++i)
        if (strcmp(CBM_AT(&names, const char *, i - 1), CBM_AT(&names, const char *, i)) == 0)
            fine = cbm_refuse(problem, CBM_ERROR_FORMAT, "two members are named '%s'",
                              cbm_shown(CBM_AT(&names, const char *, i), shown));
    cbm_array_free(&names);
    return fine;
}

static bool parse(cbm_npz *z, cbm_heap *heap, cbm_problem *problem)
{
    directory d = { 0 };
    if (!find_directory(z->bytes, z->size, &d, problem))
        return false;
    z->directory = d.offset;
    size_t at = 0;
    for (uint64_t i = 0; i < d.count; ++i) {
        member m;
        size_t used = 0;
        if (!read_member(z->bytes + d.offset + at, (size_t)d.size - at, &d, &m, &used, problem))
            return false;
        if (!cbm_array_push(&z->members, &m))
            return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its directory");
        at += used;
    }
    return check_names(heap, &z->members, problem);
}

/* ---- opening ---- */

static void destroy(void *object)
{
    cbm_npz *z = object;
    cbm_heap *heap = cbm_context_heap(z->cx);
    cbm_array_free(&z->members);
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
    z->members = CBM_ARRAY(cbm_context_heap(cx), member);
    return z;
}

static cbm_npz *finish(cbm_npz *z, cbm_problem *problem)
{
    if (problem->status == CBM_OK)
        parse(z, cbm_context_heap(z->cx), problem);
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
    return file ? file->members.count : 0;
}

const char *cbm_npz_name(const cbm_npz *file, size_t i)
{
    return i < cbm_npz_count(file) ? CBM_AT(&file->members, member, i).name : NULL;
}

/* ---- reading a member ---- */

/* Where a member's packed bytes stand: behind its local header, whose name and extra field have their own lengths. */
static const uint8_t *packed_bytes(const cbm_npz *z, const member *m, cbm_problem *problem)
{
    uint64_t end = z->directory;
    const uint8_t *local = z->bytes + m->local;
    if (end - m->local < LOCAL_BYTES || cbm_u32_le(local) != LOCAL_SIGNATURE) {
        cbm_refuse(problem, CBM_ERROR_FORMAT, "its local header is damaged");
        return NULL;
    }
    uint64_t front = LOCAL_BYTES + (uint64_t)cbm_u16_le(local + 26) + cbm_u16_le(local + 28);
    if (front > end - m->local || m->packed > end - m->local - front) {
        cbm_refuse(problem, CBM_ERROR_FORMAT, "its data lies outside the file");
        return NULL;
    }
    return local + front;
}

static uint32_t crc_of(const uint8_t *p, size_t n)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), p, n);
}

cbm_tensor *cbm_npz_tensor(cbm_npz *z, const char *name)
{
    if (!z)
        return NULL;
    cbm_context *cx = z->cx;
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_tensor_none(cx);
    const member *m = NULL;
    for (size_t i = 0; name && i < z->members.count && !m; ++i)
        if (strcmp(CBM_AT(&z->members, member, i).name, name) == 0)
            m = &CBM_AT(&z->members, member, i);
    char shown[CBM_SHOWN], title[2 * 256];
    cbm_shown(name ? name : "(NULL)", shown);
    if (!m) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[npz] %s: no array is named '%s'", z->shown, shown);
        return cbm_tensor_none(cx);
    }
    cbm_heap *heap = cbm_context_heap(cx);
    cbm_problem problem = { 0 };
    const uint8_t *packed = packed_bytes(z, m, &problem), *plain = packed;
    size_t size = (size_t)m->size, produced;
    uint8_t *inflated = NULL;
    if (packed && m->method == METHOD_DEFLATED) {
        plain = inflated = cbm_heap_take(heap, size ? size : 1);
        if (!inflated)
            cbm_refuse(&problem, CBM_ERROR_MEMORY, "no memory for its %zu bytes", size);
        else
            cbm_inflate(heap, CBM_DEFLATED_RAW, packed, (size_t)m->packed, inflated, size, true, &produced, &problem);
    }
    if (problem.status == CBM_OK && crc_of(plain, size) != m->crc)
        cbm_refuse(&problem, CBM_ERROR_FORMAT, "its checksum is wrong: the file is damaged");
    cbm_text text = cbm_text_open(heap);
    cbm_text_append(&text, "%s: '%s'", z->shown[0] ? z->shown : "(memory)", shown);
    size_t length = strlen(cbm_text_get(&text));
    memcpy(title, cbm_text_get(&text), length < sizeof title ? length + 1 : sizeof title);
    title[sizeof title - 1] = 0;
    cbm_text_free(&text);
    if (problem.status != CBM_OK)
        cbm_report(cx, "npz", title, &problem);
    cbm_tensor *t = cbm_npy_tensor(cx, title, plain, size); /* the failed tensor after an error */
    cbm_heap_give(heap, inflated, size ? size : 1);
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
    cbm_put_u16_le(p + 4, METHOD_STORED);
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
    uint8_t header[CBM_NPY_HEADER_MAX], local[LOCAL_BYTES] = { 0 };
    size_t front = cbm_npy_header(dtype, &shape, header);
    size_t bytes = (size_t)cbm_tensor_count(t) * cbm_dtype_size(dtype);
    if (bytes >= UINT32_MAX - front || w->written >= UINT32_MAX)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED,
                        "[npz] %s: '%s' makes the archive larger than 4 GiB. HINT: safetensors", w->path, name);
    uLong crc = crc32_z(crc32_z(0, NULL, 0), header, front);
    if (bytes > 0)
        crc = crc32_z(crc, data, bytes);
    *out = (written){ (uint32_t)crc, (uint32_t)(front + bytes), (uint32_t)w->written };
    cbm_put_u32_le(local, LOCAL_SIGNATURE);
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
        uint8_t central[CENTRAL_BYTES] = { 0 };
        cbm_put_u32_le(central, CENTRAL_SIGNATURE);
        cbm_put_u16_le(central + 4, VERSION);
        put_common(central + 6, &all[i], strlen(names[i]));
        cbm_put_u32_le(central + 42, all[i].local);
        cbm_writer_put(w, central, sizeof central);
        cbm_writer_put(w, names[i], strlen(names[i]));
        cbm_writer_put(w, ".npy", 4);
    }
    uint8_t end[END_BYTES] = { 0 };
    cbm_put_u32_le(end, END_SIGNATURE);
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
        if (!names[i] || !*names[i] || strlen(names[i]) > NAME_SIZE - 5)
            return cbm_fail(cx, CBM_ERROR_INVALID, "[npz] array %zu needs a name of 1 to %d bytes", i, NAME_SIZE - 5);
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
