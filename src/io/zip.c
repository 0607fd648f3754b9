/* zip.c: zip archives, whose members are stored or deflated. The central directory is believed only after it was checked against
   the file. https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. Rests on zlib. */
#include "io/zip.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define END64_BYTES 56
#define LOCATOR64_BYTES 20
#define COMMENT_MAX 65535u
#define MEMBERS_MAX 100000u
#define FLAG_ENCRYPTED 1u
#define EXTRA_ZIP64 1

typedef struct directory {
    uint64_t offset, size, count;
} directory;

/* The end record stands before a comment of unknown length: searched from the back. */
static bool find_end(const uint8_t *p, size_t size, size_t *at)
{
    if (size < CBM_ZIP_END_BYTES)
        return false;
    size_t first = size > CBM_ZIP_END_BYTES + COMMENT_MAX ? size - CBM_ZIP_END_BYTES - COMMENT_MAX : 0;
    for (size_t i = size - CBM_ZIP_END_BYTES + 1; i-- > first;)
        if (cbm_u32_le(p + i) == CBM_ZIP_END && cbm_u16_le(p + i + 20) == size - CBM_ZIP_END_BYTES - i) {
            *at = i;
            return true;
        }
    return false;
}

static bool find_directory(const uint8_t *p, size_t size, directory *d, cbm_problem *problem)
{
    size_t end;
    if (!find_end(p, size, &end))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "not a zip file, or truncated");
    d->count = cbm_u16_le(p + end + 10);
    d->size = cbm_u32_le(p + end + 12);
    d->offset = cbm_u32_le(p + end + 16);
    if (d->count == UINT16_MAX || d->size == UINT32_MAX || d->offset == UINT32_MAX) {
        const uint8_t *locator = end >= LOCATOR64_BYTES ? p + end - LOCATOR64_BYTES : NULL;
        uint64_t at = locator && cbm_u32_le(locator) == CBM_ZIP_LOCATOR64 ? cbm_u64_le(locator + 8) : UINT64_MAX;
        if (end < END64_BYTES || at > end - END64_BYTES || cbm_u32_le(p + at) != CBM_ZIP_END64)
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "its zip64 directory is missing");
        d->count = cbm_u64_le(p + at + 32);
        d->size = cbm_u64_le(p + at + 40);
        d->offset = cbm_u64_le(p + at + 48);
    }
    if (d->offset > end || d->size > end - d->offset)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its directory lies outside the file: truncated or damaged");
    if (d->count > MEMBERS_MAX || d->count > d->size / CBM_ZIP_CENTRAL_BYTES)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its directory claims %llu members in %llu bytes",
                          (unsigned long long)d->count, (unsigned long long)d->size);
    return true;
}

/* Sizes over 4 GiB stand in an extra field, only those that the fixed part gives as all ones, in this order. */
static bool read_zip64(const uint8_t *extra, size_t n, cbm_zip_member *m)
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

static bool read_member(const uint8_t *p, size_t left, const directory *d, const char *suffix, cbm_zip_member *m,
                        size_t *used, cbm_problem *problem)
{
    if (left < CBM_ZIP_CENTRAL_BYTES || cbm_u32_le(p) != CBM_ZIP_CENTRAL)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its directory is damaged");
    size_t name = cbm_u16_le(p + 28), extra = cbm_u16_le(p + 30), comment = cbm_u16_le(p + 32);
    *used = CBM_ZIP_CENTRAL_BYTES + name + extra + comment;
    if (*used > left || name == 0 || name >= CBM_ZIP_NAME || memchr(p + CBM_ZIP_CENTRAL_BYTES, 0, name))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "its directory holds a name that is empty, too long or damaged");
    *m = (cbm_zip_member){ .packed = cbm_u32_le(p + 20),
                           .size = cbm_u32_le(p + 24),
                           .local = cbm_u32_le(p + 42),
                           .crc = cbm_u32_le(p + 16),
                           .method = cbm_u16_le(p + 10) };
    memcpy(m->name, p + CBM_ZIP_CENTRAL_BYTES, name);
    const size_t ending = suffix ? strlen(suffix) : 0;
    if (ending && name > ending && cbm_ends_in(m->name, suffix))
        m->name[name - ending] = 0;
    char shown[CBM_SHOWN];
    cbm_shown(m->name, shown);
    if (cbm_u16_le(p + 8) & FLAG_ENCRYPTED)
        return cbm_refuse(problem, CBM_ERROR_UNSUPPORTED, "member '%s' is encrypted", shown);
    if (m->method != CBM_ZIP_STORED && m->method != CBM_ZIP_DEFLATED)
        return cbm_refuse(problem, CBM_ERROR_UNSUPPORTED, "member '%s' is compressed by method %u", shown, m->method);
    if (!read_zip64(p + CBM_ZIP_CENTRAL_BYTES + name, extra, m))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "member '%s' has a damaged extra field", shown);
    if (m->local > d->offset || m->packed > d->offset - m->local ||
        (m->method == CBM_ZIP_STORED && m->packed != m->size) || !cbm_deflate_plausible(m->packed, m->size))
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "member '%s' has sizes that cannot be", shown);
    return true;
}

void cbm_zip_init(cbm_zip *z, cbm_heap *heap)
{
    *z = (cbm_zip){ .members = CBM_ARRAY(heap, cbm_zip_member), .by_name = CBM_ARRAY(heap, const cbm_zip_member *) };
}

void cbm_zip_free(cbm_zip *z)
{
    cbm_array_free(&z->members);
    cbm_array_free(&z->by_name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const cbm_zip_member *const *)a)->name, (*(const cbm_zip_member *const *)b)->name);
}

/* No two members may have one name. */
static bool sort_names(cbm_zip *z, cbm_problem *problem)
{
    char shown[CBM_SHOWN];
    for (size_t i = 0; i < z->members.count; ++i) {
        const cbm_zip_member *m = &CBM_AT(&z->members, cbm_zip_member, i);
        if (!cbm_array_push(&z->by_name, &m))
            return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its names");
    }
    if (z->by_name.count > 0)
        qsort(z->by_name.data, z->by_name.count, sizeof(cbm_zip_member *), by_name);
    for (size_t i = 1; i < z->by_name.count; ++i) {
        const cbm_zip_member *const *two = &CBM_AT(&z->by_name, const cbm_zip_member *, i - 1);
        if (by_name(two, two + 1) == 0)
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "two members are named '%s'", cbm_shown(two[1]->name, shown));
    }
    return true;
}

bool cbm_zip_parse(cbm_zip *z, const uint8_t *bytes, size_t size, const char *suffix, cbm_problem *problem)
{
    directory d = { 0 };
    z->bytes = bytes;
    z->size = size;
    if (!find_directory(bytes, size, &d, problem))
        return false;
    z->directory = d.offset;
    size_t at = 0;
    for (uint64_t i = 0; i < d.count; ++i) {
        cbm_zip_member m;
        size_t used = 0;
        if (!read_member(bytes + d.offset + at, (size_t)d.size - at, &d, suffix, &m, &used, problem))
            return false;
        if (!cbm_array_push(&z->members, &m))
            return cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its directory");
        at += used;
    }
    return sort_names(z, problem);
}

const cbm_zip_member *cbm_zip_find(const cbm_zip *z, const char *name)
{
    size_t low = 0, high = z->by_name.count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const cbm_zip_member *m = CBM_AT(&z->by_name, const cbm_zip_member *, middle);
        const int order = strcmp(name, m->name);
        if (order == 0)
            return m;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Where a member's packed bytes stand: behind its local header, whose name and extra field have their own lengths. */
static const uint8_t *packed_bytes(const cbm_zip *z, const cbm_zip_member *m, cbm_problem *problem)
{
    uint64_t end = z->directory;
    const uint8_t *local = z->bytes + m->local;
    if (end - m->local < CBM_ZIP_LOCAL_BYTES || cbm_u32_le(local) != CBM_ZIP_LOCAL) {
        cbm_refuse(problem, CBM_ERROR_FORMAT, "its local header is damaged");
        return NULL;
    }
    uint64_t front = CBM_ZIP_LOCAL_BYTES + (uint64_t)cbm_u16_le(local + 26) + cbm_u16_le(local + 28);
    if (front > end - m->local || m->packed > end - m->local - front) {
        cbm_refuse(problem, CBM_ERROR_FORMAT, "its data lies outside the file");
        return NULL;
    }
    return local + front;
}

uint32_t cbm_zip_crc(const void *bytes, size_t size)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, size);
}

const uint8_t *cbm_zip_read(const cbm_zip *z, cbm_heap *heap, const cbm_zip_member *m, uint8_t **inflated,
                            cbm_problem *problem)
{
    *inflated = NULL;
    const uint8_t *packed = packed_bytes(z, m, problem), *plain = packed;
    const size_t size = (size_t)m->size;
    size_t produced;
    if (packed && m->method == CBM_ZIP_DEFLATED) {
        plain = *inflated = cbm_heap_take(heap, size ? size : 1);
        if (!*inflated)
            cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for its %zu bytes", size);
        else
            cbm_inflate(heap, CBM_DEFLATED_RAW, packed, (size_t)m->packed, *inflated, size, true, &produced, problem);
    }
    if (problem->status == CBM_OK && cbm_zip_crc(plain, size) != m->crc)
        cbm_refuse(problem, CBM_ERROR_FORMAT, "its checksum is wrong: the file is damaged");
    if (problem->status == CBM_OK)
        return plain;
    cbm_zip_give(heap, m, *inflated);
    *inflated = NULL;
    return NULL;
}

void cbm_zip_give(cbm_heap *heap, const cbm_zip_member *m, uint8_t *inflated)
{
    cbm_heap_give(heap, inflated, m->size ? (size_t)m->size : 1);
}
