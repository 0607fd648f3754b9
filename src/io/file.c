/* file.c: reading whole files, and writing them so that a crash or a full disk leaves the old file or the new one.
   Rests on POSIX and the context's heap. */
#include "io/bytes.h"
#include <cambium/io.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITE_CHUNK ((size_t)1 << 26) /* bytes given to one write(2) */

bool cbm_refuse(cbm_problem *problem, cbm_status status, const char *format, ...)
{
    if (problem->status != CBM_OK)
        return false;
    problem->status = status;
    va_list arguments;
    va_start(arguments, format);
    cbm_format_v(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    return false;
}

cbm_status cbm_report(cbm_context *cx, const char *operation, const char *path, const cbm_problem *problem)
{
    cbm_fail(cx, problem->status, "[%s] %.400s: %s", operation, path ? path : "(memory)", problem->text);
    return cbm_context_status(cx);
}

const char *cbm_shown(const char *text, char buffer[CBM_SHOWN])
{
    size_t n = 0;
    while (text[n] && n < CBM_SHOWN - 1) {
        unsigned char c = (unsigned char)text[n];
        buffer[n++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    buffer[n] = 0;
    if (text[n])
        memcpy(buffer + CBM_SHOWN - 4, "...", 4);
    return buffer;
}

int cbm_file_open(const char *path, uint64_t *size, cbm_problem *problem)
{
    *size = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
    if (file < 0) {
        cbm_refuse(problem, CBM_ERROR_IO, "cannot open: %s", strerror(errno));
        return -1;
    }
    struct stat info;
    if (fstat(file, &info) != 0) {
        cbm_refuse(problem, CBM_ERROR_IO, "cannot look at the file: %s", strerror(errno));
    } else if (S_ISDIR(info.st_mode)) {
        cbm_refuse(problem, CBM_ERROR_IO, "is a folder, not a file");
    } else if (!S_ISREG(info.st_mode)) {
        cbm_refuse(problem, CBM_ERROR_IO, "is not a regular file");
    } else {
        *size = (uint64_t)info.st_size;
        return file;
    }
    close(file);
    return -1;
}

bool cbm_file_read_at(int file, uint64_t offset, void *out, size_t size, cbm_problem *problem)
{
    uint8_t *at = out;
    while (size > 0) {
        ssize_t n = pread(file, at, size < WRITE_CHUNK ? size : WRITE_CHUNK, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cbm_refuse(problem, CBM_ERROR_IO, "cannot read: %s", strerror(errno));
        if (n == 0)
            return cbm_refuse(problem, CBM_ERROR_FORMAT, "the file became shorter while it was read");
        at += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

bool cbm_file_get(cbm_heap *heap, const char *path, uint8_t **bytes, size_t *size, cbm_problem *problem)
{
    *bytes = NULL;
    *size = 0;
    uint64_t length;
    int file = cbm_file_open(path, &length, problem);
    if (file < 0)
        return false;
    if (length > SIZE_MAX / 2)
        cbm_refuse(problem, CBM_ERROR_MEMORY, "too large for this machine");
    uint8_t *memory = problem->status == CBM_OK ? cbm_heap_take(heap, length ? (size_t)length : 1) : NULL;
    if (!memory)
        cbm_refuse(problem, CBM_ERROR_MEMORY, "no memory for the file's %llu bytes", (unsigned long long)length);
    bool fine = memory && cbm_file_read_at(file, 0, memory, (size_t)length, problem);
    close(file);
    if (!fine) {
        cbm_heap_give(heap, memory, length ? (size_t)length : 1);
        return false;
    }
    *bytes = memory;
    *size = (size_t)length;
    return true;
}

cbm_status cbm_read_file(cbm_context *cx, const char *path, void **bytes, size_t *size)
{
    *bytes = NULL;
    *size = 0;
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    if (!path)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[read_file] path is NULL");
    cbm_problem problem = { 0 };
    uint8_t *memory;
    if (!cbm_file_get(cbm_context_heap(cx), path, &memory, size, &problem))
        return cbm_report(cx, "read_file", path, &problem);
    *bytes = memory;
    return CBM_OK;
}

void cbm_file_free(cbm_context *cx, void *bytes, size_t size)
{
    if (bytes)
        cbm_heap_give(cbm_context_heap(cx), bytes, size ? size : 1);
}

/* ---- writing ---- */

/* The length of path's folder part, its '/' included; 0: the current folder. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

static cbm_status writer_fail(cbm_writer *w, const char *what, int error)
{
    cbm_writer_abort(w);
    cbm_fail(w->cx, CBM_ERROR_IO, "[%s] %.400s: %s: %s%s", w->operation, w->path, what, strerror(error),
             error == ENOSPC || error == EDQUOT ? ". HINT: free some space; the file that was there is unchanged" : "");
    return cbm_context_status(w->cx);
}

cbm_status cbm_writer_open(cbm_writer *w, cbm_context *cx, const char *operation, const char *path)
{
    static atomic_uint number; /* tells apart the files that one process writes at the same time */
    *w = (cbm_writer){ .cx = cx, .operation = operation, .path = path, .file = -1 };
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    if (!path || !*path)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the path is empty", operation);
    size_t folder = folder_length(path);
    if (!path[folder])
        return cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %.400s names a folder, not a file", operation, path);
    struct stat old;
    bool exists = stat(path, &old) == 0;
    if (exists && S_ISDIR(old.st_mode))
        return writer_fail(w, "cannot write", EISDIR);
    if (exists && !S_ISREG(old.st_mode))
        return cbm_fail(cx, CBM_ERROR_IO, "[%s] %.400s: is not a regular file", operation, path);
    int length = snprintf(w->temporary, sizeof w->temporary, "%.*s.cambium-%ld-%u.tmp", (int)folder, path,
                          (long)getpid(), atomic_fetch_add(&number, 1u));
    if (folder > sizeof w->temporary || length < 0 || (size_t)length >= sizeof w->temporary)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[%s] the path is longer than %zu bytes", operation,
                        sizeof w->temporary);
    w->file = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (w->file < 0)
        return writer_fail(w, "cannot write into its folder", errno);
    if (exists)
        (void)!fchmod(w->file, old.st_mode & 07777); /* keep the old file's permissions where that is allowed */
    return CBM_OK;
}

cbm_status cbm_writer_put(cbm_writer *w, const void *bytes, size_t size)
{
    if (w->file < 0)
        return cbm_context_status(w->cx);
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t n = write(w->file, at, size < WRITE_CHUNK ? size : WRITE_CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return writer_fail(w, "cannot write", n < 0 ? errno : EIO);
        at += n;
        size -= (size_t)n;
        w->written += (uint64_t)n;
    }
    return CBM_OK;
}

/* Some file systems cannot sync a folder and say so; that is no reason to fail. */
static int sync_folder(const char *path)
{
    char folder[4096];
    size_t length = folder_length(path);
    snprintf(folder, sizeof folder, "%.*s", (int)length, length ? path : "");
    int file = open(length ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0)
        return errno == EACCES ? 0 : errno; /* a folder may be writable without being readable */
    int error = fsync(file) == 0 ? 0 : errno;
    close(file);
    return error == EINVAL || error == ENOTSUP ? 0 : error;
}

cbm_status cbm_writer_commit(cbm_writer *w)
{
    if (w->file < 0)
        return cbm_context_status(w->cx);
    if (fsync(w->file) != 0 && errno != EINVAL && errno != ENOTSUP)
        return writer_fail(w, "cannot sync", errno);
    int file = w->file;
    w->file = -1;
    if (close(file) != 0) {
        int error = errno;
        unlink(w->temporary);
        return writer_fail(w, "cannot close", error);
    }
    if (rename(w->temporary, w->path) != 0) {
        int error = errno;
        unlink(w->temporary);
        return writer_fail(w, "cannot rename the finished file", error);
    }
    int error = sync_folder(w->path);
    return error ? writer_fail(w, "cannot sync its folder", error) : CBM_OK;
}

void cbm_writer_abort(cbm_writer *w)
{
    if (w->file < 0)
        return;
    close(w->file);
    w->file = -1;
    unlink(w->temporary);
}

cbm_status cbm_write_file_atomically(cbm_context *cx, const char *path, const void *bytes, size_t size)
{
    cbm_writer w;
    if (cbm_writer_open(&w, cx, "write_file", path) != CBM_OK)
        return cbm_context_status(cx);
    cbm_writer_put(&w, bytes, size);
    return cbm_writer_commit(&w);
}
