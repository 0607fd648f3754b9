/* file.c: messages, opening a file, and writing a file so that a crash leaves the old one or the new one. Rests on POSIX. */
#include "media_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_ROOM = 4096, NAME_TRIES = 100 };

cbm_status cbm_media_fail(cbm_media_message *message, cbm_status status, const char *format, ...)
{
    if (!message)
        return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message->text, sizeof message->text, format, arguments);
    va_end(arguments);
    for (char *c = message->text; *c; c++) /* names in archives may hold anything */
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
    return status;
}

int cbm_media_open(const char *path, int64_t *size, cbm_media_message *message)
{
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (fd < 0 || fstat(fd, &about) != 0)
        cbm_media_fail(message, CBM_ERROR_IO, "cannot open '%.300s': %s", path, strerror(errno));
    else if (!S_ISREG(about.st_mode))
        cbm_media_fail(message, CBM_ERROR_IO, "'%.300s' is not a regular file", path);
    else {
        *size = about.st_size;
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

bool cbm_media_read_at(int fd, void *out, size_t size, int64_t offset)
{
    uint8_t *to = out;
    while (size > 0) {
        ssize_t n = pread(fd, to, size, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        offset += n;
        size -= (size_t)n;
    }
    return true;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size)
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

/* Opens a new file beside path under a name nobody has; -1 with errno on failure. */
static int open_beside(const char *path, char name[static PATH_ROOM])
{
    for (int i = 0; i < NAME_TRIES; i++) {
        int n = snprintf(name, PATH_ROOM, "%s.tmp-%ld-%d", path, (long)getpid(), i);
        if (n < 0 || n >= PATH_ROOM) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

/* A renamed file is safe only once its folder is synced too; a folder that cannot be synced is no error. */
static void sync_folder_of(const char *path)
{
    char folder[PATH_ROOM];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof folder)
        return;
    memcpy(folder, path, n);
    folder[n] = 0;
    int fd = open(n ? folder : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

cbm_status cbm_media_write_file(const char *path, const void *bytes, size_t size, cbm_media_message *message)
{
    char name[PATH_ROOM];
    int fd = open_beside(path, name);
    if (fd < 0)
        return cbm_media_fail(message, CBM_ERROR_IO, "cannot write '%s': %s", path, strerror(errno));
    bool written = write_all(fd, bytes, size) && fsync(fd) == 0;
    int reason = errno;
    if (close(fd) != 0 && written) {
        reason = errno;
        written = false;
    }
    if (written && rename(name, path) != 0) {
        reason = errno;
        written = false;
    }
    if (!written) {
        unlink(name);
        return cbm_media_fail(message, CBM_ERROR_IO, "cannot write '%s': %s", path, strerror(reason));
    }
    sync_folder_of(path);
    return CBM_OK;
}
