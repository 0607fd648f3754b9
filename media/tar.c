/* tar.c: the members of a tar file by their headers, so that they can be read where they lie. The form is POSIX.1-2001's pax
   and ustar, and GNU's long names. Everything in a header is checked before it is used. Rests on POSIX. */
#include "media_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, PAX_MOST = 1 << 20 };

/* Of a header. */
enum { NAME = 0, SIZE = 124, CHECKSUM = 148, TYPE = 156, MAGIC = 257, PREFIX = 345 };
enum { NAME_ROOM = 100, SIZE_ROOM = 12, CHECKSUM_ROOM = 8, PREFIX_ROOM = 155 };

/* Octal digits with spaces before, ended by a space, a zero or the field's end; -1: anything else. */
static int64_t octal(const uint8_t *field, size_t room)
{
    int64_t value = 0;
    size_t i = 0, digits = 0;
    while (i < room && field[i] == ' ')
        i++;
    for (; i < room && field[i] >= '0' && field[i] <= '7'; i++, digits++)
        if (value > INT64_MAX >> 3)
            return -1;
        else
            value = value << 3 | (field[i] - '0');
    return digits > 0 && (i == room || field[i] == ' ' || field[i] == 0) ? value : -1;
}

/* GNU's form of large sizes, big-endian behind a byte 0x80, or octal. */
static int64_t size_of(const uint8_t *header)
{
    const uint8_t *field = header + SIZE;
    if (field[0] != 0x80)
        return octal(field, SIZE_ROOM);
    int64_t value = 0;
    for (int i = 1; i < SIZE_ROOM; i++)
        if (value > INT64_MAX >> 8)
            return -1;
        else
            value = value << 8 | field[i];
    return value;
}

static bool is_header(const uint8_t *header)
{
    int64_t sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + CHECKSUM_ROOM ? ' ' : header[i];
    return octal(header + CHECKSUM, CHECKSUM_ROOM) == sum;
}

static bool is_zero(const uint8_t *block)
{
    for (int i = 0; i < BLOCK; i++)
        if (block[i])
            return false;
    return true;
}

static void take_name(const uint8_t *header, char *name, size_t room)
{
    bool has_prefix = memcmp(header + MAGIC, "ustar", 6) == 0 && header[PREFIX];
    snprintf(name, room, "%.*s%s%.*s", has_prefix ? PREFIX_ROOM : 0, (const char *)header + PREFIX,
             has_prefix ? "/" : "", NAME_ROOM, (const char *)header + NAME);
}

/* The number at the beginning of text of n bytes, in decimal, ended by end; -1: none. */
static int64_t decimal(const char *text, size_t n, char end, size_t *used)
{
    int64_t value = 0;
    size_t i = 0;
    for (; i < n && text[i] >= '0' && text[i] <= '9' && value < INT64_MAX / 20; i++)
        value = 10 * value + (text[i] - '0');
    *used = i + 1;
    return i > 0 && i < n && text[i] == end ? value : -1;
}

/* Of a pax header's records, "27 path=name\n" each: path and size; other keys are passed over. false: none of its form. */
static bool take_pax(const char *text, size_t n, char *name, size_t room, int64_t *size)
{
    while (n > 0) {
        size_t used;
        int64_t length = decimal(text, n, ' ', &used);
        if (length < (int64_t)used + 2 || (uint64_t)length > n || text[length - 1] != '\n')
            return false;
        const char *key = text + used;
        size_t left = (size_t)length - used - 1;
        if (left > 5 && memcmp(key, "path=", 5) == 0) {
            if (left - 5 >= room || memchr(key + 5, 0, left - 5))
                return false;
            memcpy(name, key + 5, left - 5);
            name[left - 5] = 0;
        } else if (left > 5 && memcmp(key, "size=", 5) == 0) {
            *size = decimal(key + 5, left - 4, '\n', &used);
            if (*size < 0)
                return false;
        }
        text += length;
        n -= (size_t)length;
    }
    return true;
}

static bool broken(const cbm_tar *t, cbm_status *status, cbm_media_message *message, const char *why)
{
    *status = cbm_media_fail(message, CBM_ERROR_FORMAT, "no tar file, or a damaged one: %s at byte %lld", why,
                             (long long)t->at);
    return false;
}

/* A member that says something of the next one. false: broken. */
static bool take_extra(cbm_tar *t, char type, int64_t offset, int64_t bytes, char *name, size_t room, int64_t *size)
{
    if (bytes > (type == 'L' ? (int64_t)room : PAX_MOST))
        return false;
    char *text = malloc((size_t)bytes + 1);
    bool good = text && cbm_media_read_at(t->fd, text, (size_t)bytes, offset);
    if (good && type == 'x')
        good = take_pax(text, (size_t)bytes, name, room, size);
    else if (good)
        snprintf(name, room, "%.*s", (int)bytes, text);
    free(text);
    return good;
}

bool cbm_tar_next(cbm_tar *t, cbm_status *status, cbm_media_message *message)
{
    uint8_t header[BLOCK];
    char given[sizeof t->name] = "";
    int64_t given_size = -1;
    *status = CBM_OK;
    for (;;) {
        if (t->at >= t->size) /* archives without the two zero blocks at the end are about */
            return t->at == t->size ? false : broken(t, status, message, "it ends within a member");
        if (t->size - t->at < BLOCK || !cbm_media_read_at(t->fd, header, BLOCK, t->at))
            return broken(t, status, message, "it ends within a header");
        if (is_zero(header))
            return false;
        if (!is_header(header))
            return broken(t, status, message,
                          header[0] == 0x1f && header[1] == 0x8b ? "it is packed by gzip, and must not be"
                                                                 : "a header's sum is wrong");
        char type = (char)header[TYPE];
        bool extra = type == 'L' || type == 'x' || type == 'K' || type == 'g';
        int64_t bytes = !extra && given_size >= 0 ? given_size : size_of(header), offset = t->at + BLOCK;
        if (bytes < 0 || bytes > t->size - offset)
            return broken(t, status, message, "a member is longer than the file");
        int64_t next = offset + (bytes + BLOCK - 1) / BLOCK * BLOCK;
        if ((type == 'L' || type == 'x') && !take_extra(t, type, offset, bytes, given, sizeof given, &given_size))
            return broken(t, status, message, "a long name has not its form");
        t->at = next < t->size ? next : t->size;
        if (extra)
            continue;
        bool regular = type == '0' || type == 0 || type == '7';
        if (regular) {
            if (given[0])
                memcpy(t->name, given, sizeof given);
            else
                take_name(header, t->name, sizeof t->name);
            t->offset = offset;
            t->bytes = bytes;
            return true;
        }
        given[0] = 0;
        given_size = -1;
    }
}
