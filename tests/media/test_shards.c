/* test_shards.c: pictures and classes in tar files: grouping, long names, several shards, as a dataset with workers; archives that
   are cut off, damaged, packed or wrong. */
#include "media/image_folder.h"
#include "support/folder.h"
#include "support/status.h"
#include <cambium/cambium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *root;

static int set_up(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    root = *state;
    return 0;
}

/* ---- archives made here ---- */

typedef struct archive {
    uint8_t *bytes;
    size_t size;
} archive;

static void append(archive *a, const void *bytes, size_t size)
{
    a->bytes = realloc(a->bytes, a->size + size + 1);
    assert_non_null(a->bytes);
    if (size)
        memcpy(a->bytes + a->size, bytes, size);
    a->size += size;
}

static void set_sum(uint8_t header[512])
{
    unsigned sum = 0;
    memset(header + 148, ' ', 8);
    for (int i = 0; i < 512; i++)
        sum += header[i];
    snprintf((char *)header + 148, 8, "%06o", sum);
}

/* A member of this type with a ustar header. */
static void add(archive *a, const char *name, char type, const void *bytes, size_t size)
{
    static const uint8_t zeros[512];
    uint8_t header[512] = { 0 };
    snprintf((char *)header, 100, "%s", name);
    memcpy(header + 100, "0000644", 8);
    snprintf((char *)header + 124, 12, "%011zo", size);
    memcpy(header + 257, "ustar\00000", 8);
    header[156] = (uint8_t)type;
    set_sum(header);
    append(a, header, sizeof header);
    append(a, bytes, size);
    append(a, zeros, (512 - size % 512) % 512);
}

static void add_text(archive *a, const char *name, const char *text)
{
    add(a, name, '0', text, strlen(text));
}

/* A picture of one grey. */
static void add_picture(archive *a, const char *name, uint8_t grey)
{
    char path[512];
    cbm_image image;
    uint8_t bytes[4096];
    snprintf(path, sizeof path, "%s/one.png", root);
    assert_int_equal(cbm_image_new(6, 4, 1, &image, NULL), CBM_OK);
    memset(image.pixels, grey, 24);
    assert_int_equal(cbm_image_write_png(&image, path, NULL), CBM_OK);
    cbm_image_free(&image);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    add(a, name, '0', bytes, size);
}

static void end(archive *a)
{
    static const uint8_t zeros[1024];
    append(a, zeros, sizeof zeros);
}

/* Writes the first size bytes as root/name; path gets where. */
static void write_archive(const archive *a, size_t size, const char *name, char path[512])
{
    snprintf(path, 512, "%s/%s", root, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(a->bytes, 1, size, f), size);
    fclose(f);
}

static archive usual(void)
{
    archive a = { 0 };
    char deep[200] = "", record[300];
    for (int i = 0; i < 20; i++)
        strcat(deep, "folder12/");
    add(&a, "train/", '5', "", 0);
    add_picture(&a, "train/0001.png", 10);
    add_text(&a, "train/0001.cls", "2\n");
    add_text(&a, "train/0001.json", "{}");
    add_text(&a, "train/0002.cls", " 0");
    add_picture(&a, "train/0002.png", 20);
    add_picture(&a, "train/0002.seg.png", 25); /* of another ending: passed over */
    add_text(&a, "README.md", "of nobody");
    add(&a, "././@LongLink", 'L', deep, strlen(deep) + 1); /* of a folder: passed over, name and all */
    add(&a, "folder", '5', "", 0);
    snprintf(record, sizeof record, "%sx.png", deep);
    add(&a, "././@LongLink", 'L', record, strlen(record) + 1);
    add_picture(&a, "cut", 30);
    int length = snprintf(record, sizeof record, "000 path=%sx.cls\n", deep);
    snprintf(record, sizeof record, "%03d path=%sx.cls\n", length, deep);
    add(&a, "pax", 'x', record, (size_t)length);
    add_text(&a, "cut", "1");
    return a;
}

/* ---- reading ---- */

static void test_read(void **state)
{
    (void)state;
    char first[512], second[512];
    archive a = usual(), b = { 0 };
    add_picture(&b, "9.PNG", 40);
    add_text(&b, "9.cls", "4");
    end(&a);
    write_archive(&a, a.size, "a.tar", first);
    write_archive(&b, b.size, "b.tar", second); /* without zeros at its end */
    const char *const paths[] = { first, second };
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = cbm_image_shards_dataset(cx, paths, 2, 3, 2, 2);
    good(cx);
    assert_int_equal(cbm_dataset_count(d), 4);
    assert_int_equal(cbm_dataset_classes(d), 5);
    static const int greys[] = { 10, 20, 30, 40 }, labels[] = { 2, 0, 1, 4 };
    cbm_loader *l = cbm_loader_open(d, .batch_size = 4, .workers = 2);
    cbm_batch batch;
    assert_true(cbm_next(l, &batch));
    const uint8_t *pixels = cbm_tensor_data(batch.input);
    const int64_t *is = cbm_tensor_data(batch.target);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(is[i], labels[i]);
        for (int k = 0; k < 12; k++)
            assert_int_equal(pixels[12 * i + k], greys[i]);
    }
    cbm_close(cx);
    free(a.bytes);
    free(b.bytes);
    assert_int_equal(cbm_image_shards_count(NULL), 0);
    assert_int_equal(cbm_image_shards_classes(NULL), 0);
    assert_int_equal(cbm_image_shards_read(NULL, 0, NULL, NULL, NULL), CBM_ERROR_RANGE);
    cbm_image_shards_free(NULL);
}

/* Far longer than high: its middle. */
static void test_elongated(void **state)
{
    (void)state;
    char path[512], tar[512];
    archive a = { 0 };
    cbm_image image;
    snprintf(path, sizeof path, "%s/0.png", root);
    assert_int_equal(cbm_image_new(30001, 3, 1, &image, NULL), CBM_OK);
    for (int64_t i = 0; i < 30001 * 3; i++)
        image.pixels[i] = (uint8_t)(i % 30001 >= 14000 && i % 30001 < 16000 ? 200 : 10);
    assert_int_equal(cbm_image_write_png(&image, path, NULL), CBM_OK);
    cbm_image_free(&image);
    static uint8_t bytes[1 << 16];
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    add(&a, "0.png", '0', bytes, size);
    add_text(&a, "0.cls", "0");
    write_archive(&a, a.size, "long.tar", tar);
    const char *const paths[] = { tar };
    cbm_image_shards *s;
    cbm_media_message message;
    static uint8_t planes[64 * 64];
    assert_int_equal(cbm_image_shards_open(paths, 1, 64, 64, 1, &s, &message), CBM_OK);
    if (cbm_image_shards_read(s, 0, planes, NULL, &message) != CBM_OK)
        fail_msg("%s", message.text);
    for (int i = 0; i < 64 * 64; i++)
        assert_int_equal(planes[i], 200);
    cbm_image_shards_free(s);
    free(a.bytes);
}

/* ---- what is refused ---- */

static cbm_status open_one(const archive *a, size_t size, cbm_media_message *message)
{
    char path[512];
    const char *const paths[] = { path };
    cbm_image_shards *s;
    write_archive(a, size, "bad.tar", path);
    cbm_status status = cbm_image_shards_open(paths, 1, 4, 4, 1, &s, message);
    uint8_t planes[16];
    for (int64_t i = 0; i < cbm_image_shards_count(s); i++) /* what could be opened can be read, or says why not */
        cbm_image_shards_read(s, i, planes, NULL, message);
    cbm_image_shards_free(s);
    return status;
}

/* Cut off anywhere it is refused, but where a whole sample ends; and no byte changed makes it crash. */
static void test_damaged(void **state)
{
    (void)state;
    cbm_media_message message;
    archive a = usual();
    int opened = 0, blocks = 0;
    for (size_t size = 0; size < a.size; size += 512, blocks++)
        opened += open_one(&a, size, &message) == CBM_OK;
    if (opened < 3 || opened > blocks / 2)
        fail_msg("of %d archives cut off between blocks %d were opened", blocks, opened);
    for (size_t size = 100; size < 2000; size += 512) /* within a block: a header, or a picture */
        assert_int_equal(open_one(&a, size, &message), CBM_ERROR_FORMAT);
    for (size_t at = 0; at < a.size; at += 37) {
        uint8_t kept = a.bytes[at];
        a.bytes[at] ^= 0x55;
        open_one(&a, a.size, &message);
        a.bytes[at] = kept;
    }
    assert_int_equal(open_one(&a, a.size, &message), CBM_OK);
    free(a.bytes);
}

static void expect_refused(archive *a, cbm_status status, const char *what)
{
    cbm_media_message message;
    assert_int_equal(open_one(a, a->size, &message), status);
    if (!strstr(message.text, what) || !strstr(message.text, "bad.tar"))
        fail_msg("'%s' does not say '%s'", message.text, what);
    free(a->bytes);
    *a = (archive){ 0 };
}

static void test_refused(void **state)
{
    (void)state;
    archive a = { 0 };
    add_picture(&a, "1.png", 1);
    expect_refused(&a, CBM_ERROR_FORMAT, "sample '1' has no class (.cls)");
    add_text(&a, "1.cls", "1");
    expect_refused(&a, CBM_ERROR_FORMAT, "sample '1' has no picture");
    add_picture(&a, "1.png", 1);
    add_picture(&a, "1.jpg", 1);
    expect_refused(&a, CBM_ERROR_FORMAT, "sample '1' has two pictures");
    static const char *const labels[] = { "-1", "cat", "1.5", "1000000", "", "1 2", "99999999999999999999999999999" };
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        add_picture(&a, "1.png", 1);
        add_text(&a, "1.cls", labels[i]);
        expect_refused(&a, CBM_ERROR_FORMAT, "has a class that is no number from 0 to 999999");
    }
    add_text(&a, "README", "nothing");
    expect_refused(&a, CBM_ERROR_FORMAT, "holds no pictures with classes");
    append(&a, "\x1f\x8b", 2);
    for (int i = 0; i < 300; i++)
        append(&a, "packed", 6);
    expect_refused(&a, CBM_ERROR_FORMAT, "it is packed by gzip, and must not be");
    for (int i = 0; i < 300; i++)
        append(&a, "no tar", 6);
    expect_refused(&a, CBM_ERROR_FORMAT, "a header's sum is wrong at byte 0");
    /* Sizes of more than the file, in both forms. */
    add_text(&a, "1.cls", "1");
    memcpy(a.bytes + 124, "77777777777", 12);
    set_sum(a.bytes);
    expect_refused(&a, CBM_ERROR_FORMAT, "a member is longer than the file");
    add_text(&a, "1.cls", "1");
    memset(a.bytes + 124, 0xff, 12);
    a.bytes[124] = 0x80;
    set_sum(a.bytes);
    expect_refused(&a, CBM_ERROR_FORMAT, "a member is longer than the file");
    static const char *const records[] = { "5 path=x\n",    "99999999999999999999 path=x\n",
                                           "12 size=abc\n", "0",
                                           "10 path=xyz",   "11 path=\n\n " };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        add(&a, "pax", 'x', records[i], strlen(records[i]));
        add_text(&a, "1.cls", "1");
        expect_refused(&a, CBM_ERROR_FORMAT, "a long name has not its form");
    }
}

static void test_bad_arguments(void **state)
{
    (void)state;
    cbm_image_shards *s;
    cbm_media_message message;
    char missing[512];
    snprintf(missing, sizeof missing, "%s/missing.tar", root);
    char pipe[512];
    snprintf(pipe, sizeof pipe, "%s/pipe", root);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    const char *const paths[] = { missing }, *const folder[] = { root }, *const none[] = { NULL },
                      *const pipes[] = { pipe };
    assert_int_equal(cbm_image_shards_open(pipes, 1, 4, 4, 3, &s, &message), CBM_ERROR_IO); /* without waiting */
    assert_non_null(strstr(message.text, "is not a regular file"));
    cbm_image waited;
    assert_int_equal(cbm_image_read(pipe, &waited, &message), CBM_ERROR_IO);
    assert_int_equal(cbm_image_shards_open(paths, 1, 4, 4, 3, &s, &message), CBM_ERROR_IO);
    assert_null(s);
    assert_int_equal(cbm_image_shards_open(folder, 1, 4, 4, 3, &s, &message), CBM_ERROR_IO);
    assert_int_equal(cbm_image_shards_open(paths, 0, 4, 4, 3, &s, &message), CBM_ERROR_INVALID);
    assert_int_equal(cbm_image_shards_open(paths, 1, 4, 4, 2, &s, &message), CBM_ERROR_INVALID);
    assert_int_equal(cbm_image_shards_open(none, 1, 4, 4, 3, &s, &message), CBM_ERROR_MEMORY);
    cbm_context *cx = cbm_open(NULL);
    assert_null(cbm_image_shards_dataset(cx, paths, 1, 3, 4, 4));
    assert_non_null(strstr(cbm_message(cx), "[image_shards] cannot open"));
    assert_null(cbm_image_shards_dataset(cx, paths, 1, 3, 4, 4)); /* of a context that has failed: nothing */
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),    cmocka_unit_test(test_elongated),     cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_bad_arguments),
    };
    return cmocka_run_group_tests(tests, set_up, folder_remove);
}
