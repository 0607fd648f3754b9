/* archive.c: unpacking what was downloaded. Rests on libarchive for the formats; paths and kinds are checked here. */
#include "fetch.h"
#include "sha256.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 };

bool cbm_path_is_safe(const char *path)
{
    if (!path || !*path || *path == '/' || strchr(path, '\\') || strlen(path) > 1024)
        return false;
    for (const char *part = path; part;) {
        size_t n = strcspn(part, "/");
        if (n == 2 && part[0] == '.' && part[1] == '.')
            return false;
        part = part[n] ? part + n + 1 : NULL;
    }
    for (const unsigned char *c = (const unsigned char *)path; *c; c++)
        if (*c < 0x20 || *c == 0x7f)
            return false;
    return true;
}

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

/* Writes the current entry's data into a new file. sha: NULL, or added to. *room: bytes still allowed. */
static bool write_entry(struct archive *a, const char *to, int64_t *room, cbm_sha256 *sha, cbm_reason *reason)
{
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        cbm_because(reason, "cannot write '%s': %s", to, strerror(errno));
        return false;
    }
    static char chunk[CHUNK];
    bool good = true;
    while (good) {
        la_ssize_t n = archive_read_data(a, chunk, sizeof chunk);
        if (n == 0)
            break;
        good = false;
        if (n < 0)
            cbm_because(reason, "the archive is damaged: %s", archive_error_string(a));
        else if (n > *room)
            cbm_because(reason, "the archive holds more than it should");
        else if (!write_all(fd, chunk, (size_t)n))
            cbm_because(reason, "cannot write '%s': %s", to, strerror(errno));
        else if (cbm_interrupted())
            cbm_because(reason, "interrupted");
        else
            good = true;
        *room -= n;
        if (good && sha)
            cbm_sha256_add(sha, chunk, (size_t)n);
    }
    if (good && fsync(fd) != 0) {
        cbm_because(reason, "cannot write '%s': %s", to, strerror(errno));
        good = false;
    }
    if (close(fd) != 0 && good) {
        cbm_because(reason, "cannot write '%s': %s", to, strerror(errno));
        good = false;
    }
    if (!good)
        unlink(to);
    return good;
}

bool cbm_decompress(const char *from, const char *to, int64_t most, char hex[static 65], cbm_reason *reason)
{
    struct archive *a = archive_read_new();
    struct archive_entry *entry = NULL;
    cbm_sha256 sha;
    if (!a) {
        cbm_because(reason, "no memory");
        return false;
    }
    archive_read_support_filter_gzip(a);
    archive_read_support_format_raw(a);
    bool good =
        archive_read_open_filename(a, from, CHUNK) == ARCHIVE_OK && archive_read_next_header(a, &entry) == ARCHIVE_OK;
    if (!good)
        cbm_because(reason, "cannot read '%s': %s", from,
                    archive_error_string(a) ? archive_error_string(a) : "it is empty");
    cbm_sha256_begin(&sha);
    good = good && write_entry(a, to, &most, &sha, reason);
    archive_read_free(a);
    cbm_sha256_end(&sha, hex);
    return good;
}

/* One entry of an archive, checked, into folder. */
static bool unpack_entry(struct archive *a, struct archive_entry *entry, const char *folder, int64_t *room,
                         cbm_reason *reason)
{
    const char *path = archive_entry_pathname(entry);
    char to[CBM_PATH_ROOM];
    bool link = archive_entry_hardlink(entry) || archive_entry_symlink(entry);
    if (!cbm_path_is_safe(path)) {
        cbm_because(reason, "the archive is refused: a path in it leads outside");
        return false;
    }
    if (link || (archive_entry_filetype(entry) != AE_IFREG && archive_entry_filetype(entry) != AE_IFDIR)) {
        cbm_because(reason, "the archive is refused: '%.200s' is a link or a special file", path);
        return false;
    }
    if (!cbm_path_join(to, folder, path))
        return false;
    if (archive_entry_filetype(entry) == AE_IFDIR)
        return cbm_make_folders(to);
    char *slash = strrchr(to, '/');
    *slash = 0;
    bool made = cbm_make_folders(to);
    *slash = '/';
    if (!made) {
        cbm_because(reason, "cannot make a folder for '%.200s'", path);
        return false;
    }
    return write_entry(a, to, room, NULL, reason);
}

bool cbm_unpack(const char *path, const char *folder, int64_t most_bytes, int64_t most_entries, cbm_reason *reason)
{
    struct archive *a = archive_read_new();
    struct archive_entry *entry = NULL;
    if (!a) {
        cbm_because(reason, "no memory");
        return false;
    }
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_format_ar(a);
    archive_read_support_format_tar(a);
    archive_read_support_format_zip(a);
    bool good = archive_read_open_filename(a, path, CHUNK) == ARCHIVE_OK;
    int next = good ? archive_read_next_header(a, &entry) : ARCHIVE_FATAL;
    while (good && (next == ARCHIVE_OK || next == ARCHIVE_WARN)) {
        if (most_entries-- <= 0) {
            cbm_because(reason, "the archive is refused: too many entries");
            good = false;
        } else {
            good = unpack_entry(a, entry, folder, &most_bytes, reason);
        }
        next = good ? archive_read_next_header(a, &entry) : ARCHIVE_FATAL;
    }
    if (good && next != ARCHIVE_EOF)
        good = false;
    if (!good && !reason->text[0])
        cbm_because(reason, "cannot unpack '%s': %s", path,
                    archive_error_string(a) ? archive_error_string(a) : "damaged");
    archive_read_free(a);
    return good;
}
