/* Getting data: hostile archives, damaged files, interrupted downloads (from a server of its own on this machine), the
   order of sources, and that nothing half-written stays. */
#include "cli/fetch.h"
#include "cli/sha256.h"
#include "media/media.h"

#include <archive.h>
#include <archive_entry.h>
#include <arpa/inet.h>
#include <curl/curl.h>
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define ROOM CBM_BINARY_DIR "/tests/fetch"
enum { CONTENT = 200000 };

static char content[CONTENT], zipped[2 * CONTENT], digest[65];
static size_t zipped_size;

static void in_room(char out[static CBM_PATH_ROOM], const char *name)
{
    assert_true(cbm_path_join(out, ROOM, name));
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static int count_files(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
        n += e->d_name[0] != '.';
    if (d)
        closedir(d);
    return n;
}

/* The content, gzipped through libarchive, and its digest. */
static int prepare(void **state)
{
    (void)state;
    uint32_t x = 1;
    for (size_t i = 0; i < CONTENT; i++) {
        x = x * 1664525 + 1013904223;
        content[i] = (char)(x >> 26); /* six bits: gzip makes it shorter */
    }
    cbm_sha256 s;
    cbm_sha256_begin(&s);
    cbm_sha256_add(&s, content, CONTENT);
    cbm_sha256_end(&s, digest);
    struct archive *a = archive_write_new();
    archive_write_add_filter_gzip(a);
    archive_write_set_format_raw(a);
    archive_write_open_memory(a, zipped, sizeof zipped, &zipped_size);
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_filetype(e, AE_IFREG);
    archive_write_header(a, e);
    archive_write_data(a, content, CONTENT);
    archive_entry_free(e);
    archive_write_close(a);
    archive_write_free(a);
    cbm_remove_tree(ROOM);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return zipped_size > 110000 && zipped_size < CONTENT && cbm_make_folders(ROOM) ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    cbm_remove_tree(ROOM);
    curl_global_cleanup();
    return 0;
}

static void test_safe_paths(void **state)
{
    (void)state;
    static const char *const good[] = { "a", "a/b", "./a", "a..b", "..a/b", "a/" };
    static const char *const bad[] = { "", "/a", "..", "../a", "a/../b", "a/..", "a\\b", "a\nb", "a/b/../../.." };
    for (size_t i = 0; i < CBM_COUNT_OF(good); i++)
        assert_true(cbm_path_is_safe(good[i]));
    for (size_t i = 0; i < CBM_COUNT_OF(bad); i++)
        assert_false(cbm_path_is_safe(bad[i]));
    assert_false(cbm_path_is_safe(NULL));
}

/* A tar with one entry of this kind, and a good one before it. */
static void make_tar(const char *path, const char *name, unsigned kind, const char *link)
{
    struct archive *a = archive_write_new();
    archive_write_add_filter_gzip(a);
    archive_write_set_format_pax_restricted(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (int i = 0; i < 2; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, i ? name : "package/good");
        archive_entry_set_filetype(e, i ? kind : AE_IFREG);
        archive_entry_set_perm(e, 0644);
        if (i && kind == AE_IFLNK)
            archive_entry_set_symlink(e, link);
        else if (i && link)
            archive_entry_set_hardlink(e, link);
        else if (!i || kind == AE_IFREG)
            archive_entry_set_size(e, 5);
        archive_write_header(a, e);
        if (archive_entry_size(e) == 5)
            archive_write_data(a, "hello", 5);
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
}

static void test_unpack(void **state)
{
    (void)state;
    char tar[CBM_PATH_ROOM], out[CBM_PATH_ROOM], file[CBM_PATH_ROOM];
    struct stat about;
    in_room(tar, "some.tgz");
    in_room(out, "out");
    cbm_reason reason = { "" };
    make_tar(tar, "package/deep/er/file", AE_IFREG, NULL);
    assert_true(cbm_unpack(tar, out, 1000, 10, &reason));
    in_room(file, "out/package/deep/er/file");
    assert_int_equal(stat(file, &about), 0);
    assert_int_equal(about.st_size, 5);
    cbm_remove_tree(out);
    assert_false(cbm_unpack(tar, out, 7, 10, &reason));
    cbm_remove_tree(out);
    assert_false(cbm_unpack(tar, out, 1000, 1, &reason));
    cbm_remove_tree(out);
    static const struct {
        const char *name, *link;
        unsigned kind;
    } hostile[] = {
        { "../outside", NULL, AE_IFREG },
        { ROOM "/absolute", NULL, AE_IFREG },
        { "package/link", "/etc/passwd", AE_IFLNK },
        { "package/hard", "package/good", AE_IFREG },
        { "package/pipe", NULL, AE_IFIFO },
        { "a/../../outside", NULL, AE_IFREG },
        { "package/good", NULL, AE_IFREG }, /* twice the same name */
    };
    for (size_t i = 0; i < CBM_COUNT_OF(hostile); i++) {
        reason.text[0] = 0;
        make_tar(tar, hostile[i].name, hostile[i].kind, hostile[i].link);
        assert_false(cbm_unpack(tar, out, 1000, 10, &reason));
        assert_string_not_equal(reason.text, "");
        cbm_remove_tree(out);
    }
    in_room(file, "outside");
    assert_int_not_equal(stat(file, &about), 0);
    in_room(file, "absolute");
    assert_int_not_equal(stat(file, &about), 0);
    write_file(tar, "no archive at all", 17);
    reason.text[0] = 0;
    assert_false(cbm_unpack(tar, out, 1000, 10, &reason));
    assert_string_not_equal(reason.text, "");
    cbm_remove_tree(out);
    unlink(tar);
}

static void test_decompress(void **state)
{
    (void)state;
    char from[CBM_PATH_ROOM], to[CBM_PATH_ROOM], hex[65];
    struct stat about;
    cbm_reason reason = { "" };
    in_room(from, "content.gz");
    in_room(to, "content");
    write_file(from, zipped, zipped_size);
    assert_true(cbm_decompress(from, to, CONTENT, hex, &reason));
    assert_string_equal(hex, digest);
    assert_false(cbm_decompress(from, to, CONTENT, hex, &reason)); /* never over an existing file */
    unlink(to);
    assert_false(cbm_decompress(from, to, CONTENT - 1, hex, &reason));
    assert_int_not_equal(stat(to, &about), 0);
    write_file(from, content, CONTENT);
    assert_true(cbm_decompress(from, to, CONTENT, hex, &reason));
    assert_string_equal(hex, digest);
    unlink(to);
    for (size_t cut = 0; cut < zipped_size; cut += zipped_size / 13) {
        write_file(from, zipped, cut);
        if (cbm_decompress(from, to, CONTENT, hex, &reason))
            assert_string_not_equal(hex, digest);
        unlink(to);
    }
    unlink(from);
}

/* ---- a server of files over HTTP, one request a connection ---- */

static const char *served = zipped;
static size_t served_size;

typedef struct server {
    int socket, port;
    pthread_t thread;
    _Atomic int requests, cut_after; /* bytes of the body after which the connection breaks; 0: never */
    _Atomic long last_start;         /* of the last request's range; 0: none */
    _Atomic bool refuse, ignore_range, garbage;
} server;

static void answer(server *s, int c)
{
    char request[2048] = "", head[256];
    size_t have = 0;
    while (have < sizeof request - 1 && !strstr(request, "\r\n\r\n")) {
        ssize_t n = recv(c, request + have, sizeof request - 1 - have, 0);
        if (n <= 0)
            return;
        have += (size_t)n;
        request[have] = 0;
    }
    s->requests++;
    const char *range = strstr(request, "Range: bytes=");
    size_t start = range && !s->ignore_range ? (size_t)strtol(range + 13, NULL, 10) : 0;
    s->last_start = range ? strtol(range + 13, NULL, 10) : 0;
    if (s->refuse || start > served_size) {
        int n = snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                         s->refuse ? "404 Not Found" : "416 Range Not Satisfiable");
        send(c, head, (size_t)n, MSG_NOSIGNAL);
        return;
    }
    int n = start
                ? snprintf(head, sizeof head,
                           "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n"
                           "Connection: close\r\n\r\n",
                           start, served_size - 1, served_size, served_size - start)
                : snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
                           served_size);
    send(c, head, (size_t)n, MSG_NOSIGNAL);
    size_t size = served_size - start;
    if (s->cut_after > 0 && size > (size_t)s->cut_after)
        size = (size_t)s->cut_after;
    const char *body = s->garbage ? content : served + start;
    for (size_t sent = 0; sent < size;) {
        ssize_t k = send(c, body + sent, size - sent, MSG_NOSIGNAL);
        if (k <= 0)
            return;
        sent += (size_t)k;
    }
}

static void *serve(void *user)
{
    server *s = user;
    for (;;) {
        int c = accept(s->socket, NULL, NULL);
        if (c < 0)
            return NULL;
        answer(s, c);
        shutdown(c, SHUT_WR);
        close(c);
    }
}

static bool server_start(server *s)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    *s = (server){ .socket = socket(AF_INET, SOCK_STREAM, 0) };
    if (s->socket < 0 || bind(s->socket, (struct sockaddr *)&at, size) != 0 || listen(s->socket, 8) != 0 ||
        getsockname(s->socket, (struct sockaddr *)&at, &size) != 0)
        return false;
    s->port = ntohs(at.sin_port);
    return pthread_create(&s->thread, NULL, serve, s) == 0;
}

static void server_stop(server *s)
{
    shutdown(s->socket, SHUT_RDWR);
    close(s->socket);
    pthread_join(s->thread, NULL);
}

/* A set of one file with the server as its mirror, into a fresh folder; returns the exit code. */
static int fetch(const server *s, const char *into, const char *sha)
{
    static const char *const folders[] = { "", NULL };
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/set", s->port);
    const char *const mirrors[] = { url, NULL };
    const cbm_data_file file = { "numbers", CONTENT, sha };
    const cbm_data_set set = { .name = "set", .files = &file, .n_files = 1, .folders = folders, .mirrors = mirrors };
    FILE *out = fopen("/dev/null", "w");
    int code = cbm_fetch(&set, into, out);
    fclose(out);
    return code;
}

static void test_download(void **state)
{
    (void)state;
    server s;
    char into[CBM_PATH_ROOM], path[CBM_PATH_ROOM];
    struct stat about;
    served_size = zipped_size;
    if (!server_start(&s))
        skip();
    unsetenv("CAMBIUM_DATA");
    unsetenv("CAMBIUM_MIRROR");
    setenv("no_proxy", "127.0.0.1", 1);
    in_room(into, "got");
    in_room(path, "got/numbers.gz.part");

    /* Broken off twice, then whole: each attempt goes on where the last one ended. */
    s.cut_after = 50000;
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_FAILURE);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_size, 50000);
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_FAILURE);
    assert_int_equal(s.last_start, 50000);
    s.cut_after = 0;
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_OK);
    assert_int_equal(s.last_start, 100000);
    assert_int_equal(count_files(into), 1);

    /* Complete: nobody is asked again. Damaged: fetched again. */
    int requests = s.requests;
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_OK);
    assert_int_equal(s.requests, requests);
    in_room(path, "got/numbers");
    write_file(path, "damaged", 7);
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_OK);
    assert_int_equal(s.requests, requests + 1);
    cbm_remove_tree(into);

    /* A wrong part from before is noticed and the file fetched anew. */
    assert_true(cbm_make_folders(into));
    in_room(path, "got/numbers.gz.part");
    write_file(path, content, 1000);
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_OK);
    cbm_remove_tree(into);

    /* A server that cannot go on in the middle of a file. */
    s.ignore_range = true;
    assert_true(cbm_make_folders(into));
    write_file(path, zipped, 1000);
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_OK);
    s.ignore_range = false;
    cbm_remove_tree(into);

    /* Wrong contents, garbage, nothing there: no file appears. */
    assert_int_equal(fetch(&s, into, "00"), CBM_EXIT_FAILURE);
    assert_int_equal(count_files(into), 0);
    s.garbage = true;
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_FAILURE);
    assert_int_equal(count_files(into), 0);
    s.garbage = false;
    s.refuse = true;
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_FAILURE);
    assert_int_equal(count_files(into), 0);
    server_stop(&s);
    assert_int_equal(fetch(&s, into, digest), CBM_EXIT_FAILURE);
    cbm_remove_tree(into);
}

static void test_folder(void **state)
{
    (void)state;
    server none = { .port = 9 };
    char into[CBM_PATH_ROOM], mine[CBM_PATH_ROOM], file[CBM_PATH_ROOM];
    in_room(into, "got");
    in_room(mine, "mine");
    assert_true(cbm_make_folders(mine));
    in_room(file, "mine/numbers.gz");
    write_file(file, zipped, zipped_size);
    setenv("CAMBIUM_DATA", mine, 1);
    assert_int_equal(fetch(&none, into, digest), CBM_EXIT_OK);
    cbm_remove_tree(into);
    in_room(file, "mine/numbers");
    write_file(file, content, CONTENT);
    assert_int_equal(fetch(&none, into, digest), CBM_EXIT_OK);
    cbm_remove_tree(into);
    write_file(file, content, CONTENT - 1);
    assert_int_equal(fetch(&none, into, digest), CBM_EXIT_FAILURE);
    assert_int_equal(count_files(into), 0);
    unsetenv("CAMBIUM_DATA");
    /* A folder that cannot be made. */
    assert_int_equal(fetch(&none, "/dev/null/got", digest), CBM_EXIT_FAILURE);
}

/* ---- sets whose files lie in an archive ---- */

/* A tar of set/numbers, the content, and of set/other; a link beside them if hostile. Into served. */
static void serve_tar(bool hostile)
{
    static char tar[3 * CONTENT];
    struct archive *a = archive_write_new();
    archive_write_add_filter_gzip(a);
    archive_write_set_format_pax_restricted(a);
    assert_int_equal(archive_write_open_memory(a, tar, sizeof tar, &served_size), ARCHIVE_OK);
    static const char *const names[] = { "set/other", "set/numbers", "set/link" };
    for (int i = 0; i < 2 + hostile; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, names[i]);
        archive_entry_set_filetype(e, i < 2 ? AE_IFREG : AE_IFLNK);
        archive_entry_set_perm(e, 0644);
        if (i < 2)
            archive_entry_set_size(e, i ? CONTENT : 5);
        else
            archive_entry_set_symlink(e, "/etc/passwd");
        archive_write_header(a, e);
        if (i < 2)
            archive_write_data(a, i ? content : "hello", i ? CONTENT : 5);
        archive_entry_free(e);
    }
    archive_write_close(a);
    archive_write_free(a);
    served = tar;
}

static int fetch_archived(const server *s, const char *into, const char *sha)
{
    static const char *const folders[] = { "", NULL };
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/sets", s->port);
    const char *const mirrors[] = { url, NULL };
    const cbm_data_file file = { "numbers", CONTENT, sha };
    const cbm_data_set set = { .name = "set",
                               .files = &file,
                               .n_files = 1,
                               .folders = folders,
                               .mirrors = mirrors,
                               .archive = "set.tar.gz",
                               .archive_size = (int64_t)served_size,
                               .archive_folder = "set" };
    FILE *out = fopen("/dev/null", "w");
    int code = cbm_fetch(&set, into, out);
    fclose(out);
    return code;
}

static void test_archive(void **state)
{
    (void)state;
    server s;
    char into[CBM_PATH_ROOM], mine[CBM_PATH_ROOM], path[CBM_PATH_ROOM];
    if (!server_start(&s))
        skip();
    unsetenv("CAMBIUM_DATA");
    unsetenv("CAMBIUM_MIRROR");
    setenv("no_proxy", "127.0.0.1", 1);
    in_room(into, "got");
    serve_tar(false);

    /* Broken off, then gone on with. */
    s.cut_after = 50000;
    assert_int_equal(fetch_archived(&s, into, digest), CBM_EXIT_FAILURE);
    s.cut_after = 0;
    assert_int_equal(fetch_archived(&s, into, digest), CBM_EXIT_OK);
    assert_int_equal(s.last_start, 50000);
    assert_int_equal(count_files(into), 1);
    int requests = s.requests;
    assert_int_equal(fetch_archived(&s, into, digest), CBM_EXIT_OK);
    assert_int_equal(s.requests, requests);
    cbm_remove_tree(into);

    /* A wrong part from before is noticed and the archive fetched anew. */
    assert_true(cbm_make_folders(into));
    in_room(path, "got/set.tar.gz.part");
    write_file(path, content, 1000);
    assert_int_equal(fetch_archived(&s, into, digest), CBM_EXIT_OK);
    cbm_remove_tree(into);

    /* Wrong contents, or a link inside: no file appears. */
    assert_int_equal(fetch_archived(&s, into, "00"), CBM_EXIT_FAILURE);
    assert_int_equal(count_files(into), 0);
    serve_tar(true);
    assert_int_equal(fetch_archived(&s, into, digest), CBM_EXIT_FAILURE);
    assert_int_equal(count_files(into), 0);
    cbm_remove_tree(into);

    /* The archive in a folder of the user's. */
    serve_tar(false);
    server_stop(&s);
    in_room(mine, "archives");
    assert_true(cbm_make_folders(mine));
    in_room(path, "archives/set.tar.gz");
    write_file(path, served, served_size);
    setenv("CAMBIUM_DATA", mine, 1);
    assert_int_equal(fetch_archived(&s, into, digest), CBM_EXIT_OK);
    assert_int_equal(count_files(into), 1);
    cbm_remove_tree(into);
    write_file(path, served, served_size / 2);
    assert_int_equal(fetch_archived(&s, into, digest), CBM_EXIT_FAILURE);
    assert_int_equal(count_files(into), 0);
    unsetenv("CAMBIUM_DATA");
    cbm_remove_tree(into);
}

/* ---- CIFAR-10 from sheets of pictures ---- */

static void write_labels(const char *path, int count, int bad)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < count; i++)
        fprintf(f, "%c%d", i ? ',' : '[', i == bad ? 10 : i % 10);
    fputc(']', f);
    assert_int_equal(fclose(f), 0);
}

static void test_sheets(void **state)
{
    (void)state;
    char folder[CBM_PATH_ROOM], png[CBM_PATH_ROOM], path[CBM_PATH_ROOM], name[64];
    cbm_reason reason = { "" };
    cbm_image sheet;
    in_room(folder, "sheets");
    assert_true(cbm_make_folders(folder));
    in_room(png, "sheets/test_batch.png");
    assert_int_equal(cbm_image_new(1024, 10000, 3, &sheet, NULL), CBM_OK);
    for (int64_t y = 0; y < 10000; y++)
        for (int64_t x = 0; x < 64; x++)
            for (int64_t c = 0; c < 3; c++)
                sheet.pixels[(y * 1024 + x) * 3 + c] = (uint8_t)(y % 7 + x + 100 * c);
    assert_int_equal(cbm_image_write_png(&sheet, png, NULL), CBM_OK);
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof name, "sheets/data_batch_%d.png", i);
        in_room(path, name);
        assert_int_equal(link(png, path), 0);
    }
    in_room(path, "sheets/test_lables.json");
    write_labels(path, 10000, -1);
    in_room(path, "sheets/train_lables.json");
    write_labels(path, 49999, -1);
    assert_false(cbm_cifar_from_sheets(folder, &reason)); /* a label too few: found at the fifth file */
    assert_non_null(strstr(reason.text, "train_lables.json"));
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof name, "sheets/data_batch_%d.bin", i);
        in_room(path, name);
        assert_int_equal(unlink(path) == 0, i < 5);
    }
    in_room(path, "sheets/train_lables.json");
    write_labels(path, 50000, 100);
    assert_false(cbm_cifar_from_sheets(folder, &reason));
    write_labels(path, 50000, -1);
    assert_true(cbm_cifar_from_sheets(folder, &reason));
    in_room(path, "sheets/data_batch_4.bin");
    static unsigned char record[3073];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fseek(f, 1234 * 3073L, SEEK_SET), 0);
    assert_int_equal(fread(record, 1, sizeof record, f), sizeof record);
    fclose(f);
    assert_int_equal(record[0], 4);
    for (int i = 0; i < 3072; i++)
        assert_int_equal(record[1 + i], i % 1024 < 64 ? (uint8_t)(1234 % 7 + i % 1024 + 100 * (i / 1024)) : 0);
    /* A picture of another size. */
    cbm_remove_tree(folder);
    assert_true(cbm_make_folders(folder));
    in_room(path, "sheets/train_lables.json");
    write_labels(path, 50000, -1);
    in_room(png, "sheets/data_batch_1.png");
    sheet.height = 9999;
    assert_int_equal(cbm_image_write_png(&sheet, png, NULL), CBM_OK);
    assert_false(cbm_cifar_from_sheets(folder, &reason));
    assert_non_null(strstr(reason.text, "no sheet"));
    cbm_image_free(&sheet);
    cbm_remove_tree(folder);
}

static void test_catalogue(void **state)
{
    (void)state;
    assert_non_null(cbm_data_set_named("mnist"));
    assert_non_null(cbm_data_set_named("cifar10"));
    assert_non_null(cbm_data_set_named("cifar100"));
    assert_null(cbm_data_set_named("nothing"));
    for (size_t i = 0; i < cbm_data_set_count; i++)
        for (size_t k = 0; k < cbm_data_sets[i].n_files; k++) {
            assert_int_equal(strlen(cbm_data_sets[i].files[k].sha256), 64);
            assert_true(cbm_data_sets[i].files[k].size > 0);
            assert_true(cbm_path_is_safe(cbm_data_sets[i].files[k].name));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safe_paths), cmocka_unit_test(test_unpack),    cmocka_unit_test(test_decompress),
        cmocka_unit_test(test_download),   cmocka_unit_test(test_folder),    cmocka_unit_test(test_archive),
        cmocka_unit_test(test_sheets),     cmocka_unit_test(test_catalogue),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}
