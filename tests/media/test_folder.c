/* test_folder.c: pictures in folders: what is listed, how they are scaled and cut, as a dataset, and what is refused. */
#include "media/image_folder.h"
#include "support/folder.h"
#include "support/status.h"
#include <cambium/cambium.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const char *root;

static void path_of(char out[512], const char *name)
{
    snprintf(out, 512, "%s/%s", root, name);
}

static void make_folder(const char *name)
{
    char path[512];
    path_of(path, name);
    assert_int_equal(mkdir(path, 0777), 0);
}

static void write_text(const char *name, const char *text)
{
    char path[512];
    path_of(path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

/* Left half (255, 0, 0), right half (0, 0, blue). */
static void write_picture(const char *name, int64_t width, int64_t height, uint8_t blue)
{
    char path[512];
    cbm_image image;
    path_of(path, name);
    assert_int_equal(cbm_image_new(width, height, 3, &image, NULL), CBM_OK);
    for (int64_t i = 0; i < width * height; i++) {
        image.pixels[3 * i] = i % width < width / 2 ? 255 : 0;
        image.pixels[3 * i + 2] = i % width < width / 2 ? 0 : blue;
    }
    assert_int_equal(cbm_image_write_png(&image, path, NULL), CBM_OK);
    cbm_image_free(&image);
}

static int make_pictures(void **state)
{
    if (folder_make(state) != 0)
        return -1;
    root = *state;
    make_folder("wolves");
    make_folder("bears");
    make_folder(".hidden");
    make_folder("empty");
    write_picture("wolves/b.png", 8, 4, 100);
    write_picture("wolves/a.PNG", 4, 4, 200);
    write_picture("bears/one.png", 4, 8, 50);
    write_picture(".hidden/x.png", 4, 4, 1);
    write_text("wolves/notes.txt", "no picture");
    write_text("list.png", "in no folder");
    return 0;
}

static void test_listed(void **state)
{
    (void)state;
    cbm_image_folder *f;
    cbm_media_message message;
    assert_int_equal(cbm_image_folder_open(root, 4, 4, 3, &f, &message), CBM_OK);
    assert_int_equal(cbm_image_folder_count(f), 3);
    assert_int_equal(cbm_image_folder_classes(f), 3);
    assert_string_equal(cbm_image_folder_class(f, 0), "bears");
    assert_string_equal(cbm_image_folder_class(f, 2), "wolves");
    assert_null(cbm_image_folder_class(f, 3));
    assert_non_null(strstr(cbm_image_folder_path(f, 1), "wolves/a.PNG"));
    assert_null(cbm_image_folder_path(f, -1));
    uint8_t planes[3 * 16];
    int64_t label;
    assert_int_equal(cbm_image_folder_read(f, 2, planes, &label, &message), CBM_OK); /* the middle 4 x 4 of 8 x 4 */
    assert_int_equal(label, 2);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(planes[i], i % 4 < 2 ? 255 : 0);
        assert_int_equal(planes[16 + i], 0);
        assert_int_equal(planes[32 + i], i % 4 < 2 ? 0 : 100);
    }
    assert_int_equal(cbm_image_folder_read(f, 3, planes, &label, &message), CBM_ERROR_RANGE);
    assert_string_equal(message.text, "there is no picture 3");
    cbm_image_folder_free(f);
    cbm_image_folder_free(NULL);
    assert_int_equal(cbm_image_folder_count(NULL), 0);
    assert_int_equal(cbm_image_folder_classes(NULL), 0);
}

static void test_scaled(void **state)
{
    (void)state;
    cbm_image_folder *f;
    uint8_t plane[2 * 6];
    assert_int_equal(cbm_image_folder_open(root, 2, 6, 1, &f, NULL), CBM_OK); /* 4 x 8 becomes 6 x 12, then 6 x 2 */
    assert_int_equal(cbm_image_folder_read(f, 0, plane, NULL, NULL), CBM_OK);
    for (int row = 0; row < 2; row++) {
        assert_int_equal(plane[6 * row], 76);    /* 0.299 of 255 */
        assert_int_equal(plane[6 * row + 5], 6); /* 0.114 of 50 */
    }
    cbm_image_folder_free(f);
}

static void test_dataset(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_dataset *d = cbm_image_folder_dataset(cx, root, 3, 4, 4);
    good(cx);
    assert_int_equal(cbm_dataset_classes(d), 3);
    cbm_loader *l = cbm_loader_open(d, .batch_size = 3, .workers = 2);
    cbm_batch b;
    assert_true(cbm_next(l, &b));
    int64_t labels[3];
    uint8_t pixels[3 * 3 * 16];
    assert_int_equal(cbm_read(b.target, labels, sizeof labels), CBM_OK);
    assert_int_equal(labels[0] * 100 + labels[1] * 10 + labels[2], 22);
    assert_int_equal(cbm_read(b.input, pixels, sizeof pixels), CBM_OK);
    assert_int_equal(pixels[48 + 32 + 3], 200);
    write_text("bears/broken.jpg", "no picture at all");
    d = cbm_image_folder_dataset(cx, root, 3, 4, 4);
    assert_false(cbm_next(cbm_loader_open(d, .batch_size = 4), &b));
    refused(cx, CBM_ERROR_FORMAT, "bears/broken.jpg': neither a PNG nor a JPEG image");
    assert_null(cbm_image_folder_dataset(cx, "/nowhere", 3, 4, 4));
    refused(cx, CBM_ERROR_IO, "[image_folder] cannot open the folder '/nowhere'");
    char path[512];
    path_of(path, "wolves");
    assert_null(cbm_image_folder_dataset(cx, path, 3, 4, 4));
    refused(cx, CBM_ERROR_FORMAT, "holds no pictures (.png, .jpg, .jpeg) in folders of their classes");
    assert_null(cbm_image_folder_dataset(cx, root, 2, 4, 4));
    refused(cx, CBM_ERROR_INVALID, "pictures have 1 channel or 3, not 2");
    assert_null(cbm_image_folder_dataset(cx, root, 3, 0, 4));
    refused(cx, CBM_ERROR_FORMAT, "no pixels");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed),
        cmocka_unit_test(test_scaled),
        cmocka_unit_test(test_dataset),
    };
    return cmocka_run_group_tests(tests, make_pictures, folder_remove);
}
