/* Reading files and writing them atomically: what happens on success, on a full disk, in folders that cannot be written. */
#include "support/folder.h"
#include <cambium/io.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define NOBODY 65534

static void expect_failure(cbm_context *cx, cbm_status status, const char *part)
{
    assert_int_equal(cbm_context_status(cx), status);
    if (!strstr(cbm_message(cx), part))
        fail_msg("'%s' is not in the message: %s", part, cbm_message(cx));
    cbm_clear(cx);
}

static void test_writes_and_reads(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const char *path = folder_path(state, "a.bin");
    assert_int_equal(cbm_write_file_atomically(cx, path, "hello", 5), CBM_OK);
    assert_int_equal(cbm_write_file_atomically(cx, path, "more text", 9), CBM_OK);
    void *bytes;
    size_t size;
    assert_int_equal(cbm_read_file(cx, path, &bytes, &size), CBM_OK);
    assert_int_equal(size, 9);
    assert_memory_equal(bytes, "more text", 9);
    cbm_file_free(cx, bytes, size);
    assert_int_equal(folder_count(*state), 1);
    assert_int_equal(cbm_write_file_atomically(cx, path, "", 0), CBM_OK);
    assert_int_equal(cbm_read_file(cx, path, &bytes, &size), CBM_OK);
    assert_int_equal(size, 0);
    cbm_file_free(cx, bytes, size);
    cbm_close(cx);
}

static void test_keeps_permissions(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const char *path = folder_path(state, "private");
    folder_put(path, "x", 1);
    chmod(path, 0600);
    assert_int_equal(cbm_write_file_atomically(cx, path, "y", 1), CBM_OK);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    cbm_close(cx);
}

static void test_read_errors(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    void *bytes = cx;
    size_t size = 7;
    cbm_read_file(cx, folder_path(state, "absent"), &bytes, &size);
    assert_null(bytes);
    assert_int_equal(size, 0);
    expect_failure(cx, CBM_ERROR_IO, "absent");
    cbm_read_file(cx, *state, &bytes, &size);
    expect_failure(cx, CBM_ERROR_IO, "is a folder");
    cbm_read_file(cx, "/dev/zero", &bytes, &size);
    expect_failure(cx, CBM_ERROR_IO, "not a regular file");
    const char *pipe_path = folder_path(state, "pipe");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    cbm_read_file(cx, pipe_path, &bytes, &size);
    expect_failure(cx, CBM_ERROR_IO, "not a regular file");
    cbm_read_file(cx, NULL, &bytes, &size);
    expect_failure(cx, CBM_ERROR_INVALID, "NULL");
    cbm_close(cx);
}

static void test_write_errors(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    folder_put(folder_path(state, "file"), "x", 1);
    cbm_write_file_atomically(cx, folder_path(state, "absent/a"), "y", 1);
    expect_failure(cx, CBM_ERROR_IO, "No such file");
    cbm_write_file_atomically(cx, folder_path(state, "file/a"), "y", 1);
    expect_failure(cx, CBM_ERROR_IO, "file/a");
    cbm_write_file_atomically(cx, *state, "y", 1);
    expect_failure(cx, CBM_ERROR_IO, "directory");
    cbm_write_file_atomically(cx, folder_path(state, "x/"), "y", 1);
    expect_failure(cx, CBM_ERROR_INVALID, "folder");
    cbm_write_file_atomically(cx, "", "y", 1);
    expect_failure(cx, CBM_ERROR_INVALID, "empty");
    cbm_write_file_atomically(cx, "/dev/full", "y", 1);
    expect_failure(cx, CBM_ERROR_IO, "not a regular file");
    char *longer = malloc(6000);
    memset(longer, 'a', 5999);
    longer[5999] = 0;
    cbm_write_file_atomically(cx, longer, "y", 1);
    expect_failure(cx, CBM_ERROR_IO, "too long");
    memset(longer, (int)'/', 5000);
    cbm_write_file_atomically(cx, longer, "y", 1);
    expect_failure(cx, CBM_ERROR_INVALID, "longer");
    free(longer);
    assert_int_equal(folder_count(*state), 1);
    cbm_close(cx);
}

static void test_unwritable_folder(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    chmod(*state, 0555);
    if (geteuid() == 0 && seteuid(NOBODY) != 0) /* root may write anywhere */
        skip();
    cbm_write_file_atomically(cx, folder_path(state, "a"), "y", 1);
    if (getuid() == 0 && seteuid(0) != 0)
        fail();
    chmod(*state, 0700);
    expect_failure(cx, CBM_ERROR_IO, "Permission denied");
    assert_int_equal(folder_count(*state), 0);
    cbm_close(cx);
}

/* A limit on file sizes refuses writes as a full disk does. */
static void test_full_disk(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const char *path = folder_path(state, "a.bin");
    folder_put(path, "old", 3);
    static char big[100000];
    struct rlimit before, small;
    getrlimit(RLIMIT_FSIZE, &before);
    small = before;
    small.rlim_cur = 5000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    cbm_status status = cbm_write_file_atomically(cx, path, big, sizeof big);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(status, CBM_ERROR_IO);
    expect_failure(cx, CBM_ERROR_IO, "File too large");
    size_t size;
    unsigned char *bytes = folder_get(path, &size);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "old", 3);
    free(bytes);
    assert_int_equal(folder_count(*state), 1);
    cbm_close(cx);
}

static void test_failed_context_does_nothing(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    cbm_fail(cx, CBM_ERROR_CALLBACK, "mine");
    assert_int_equal(cbm_write_file_atomically(cx, folder_path(state, "a"), "y", 1), CBM_ERROR_CALLBACK);
    assert_int_equal(folder_count(*state), 0);
    assert_string_equal(cbm_message(cx), "mine");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_writes_and_reads, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_keeps_permissions, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_read_errors, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_write_errors, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_unwritable_folder, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_full_disk, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_failed_context_does_nothing, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
