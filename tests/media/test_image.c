/* Images: what good files hold, that damaged and hostile ones cost one message, conversion, resizing, writing. */
#include "media/media.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define SEEDS CBM_SOURCE_DIR "/tests/fuzz/seeds/image/"

typedef struct bytes {
    uint8_t *at;
    size_t size;
} bytes;

static bytes slurp(const char *path)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    bytes b = { malloc(1 << 20), 0 };
    assert_non_null(b.at);
    b.size = fread(b.at, 1, 1 << 20, f);
    fclose(f);
    return b;
}

static void test_good_files(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t channels;
    } files[] = {
        { "rgb.jpg", 3 },  { "progressive.jpg", 3 }, { "grey.jpg", 1 },       { "cmyk.jpg", 3 },
        { "rgb.png", 3 },  { "grey.png", 1 },        { "bits.png", 1 },       { "palette.png", 4 },
        { "deep.png", 3 }, { "alpha.png", 4 },       { "grey_alpha.png", 2 }, { "interlaced.png", 3 },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        cbm_image image;
        cbm_media_message message = { "old" };
        snprintf(path, sizeof path, SEEDS "%s", files[i].name);
        assert_int_equal(cbm_image_read(path, &image, &message), CBM_OK);
        assert_string_equal(message.text, "");
        assert_int_equal(image.width, 16);
        assert_int_equal(image.height, 12);
        assert_int_equal(image.channels, files[i].channels);
        cbm_image_free(&image);
        assert_null(image.pixels);
    }
}

static void test_values(void **state)
{
    (void)state;
    cbm_image image;
    assert_int_equal(cbm_image_read(SEEDS "rgb.png", &image, NULL), CBM_OK);
    for (size_t y = 0; y < 12; y++)
        for (size_t b = 0; b < 48; b++)
            assert_int_equal(image.pixels[y * 48 + b], (uint8_t)(b * 5 + y * 3));
    cbm_image_free(&image);
    assert_int_equal(cbm_image_read(SEEDS "palette.png", &image, NULL), CBM_OK);
    static const uint8_t four[16] = { 255, 0, 0, 255, 0, 255, 0, 128, 0, 0, 255, 0, 255, 255, 255, 255 };
    assert_memory_equal(image.pixels, four, sizeof four);
    cbm_image_free(&image);
    assert_int_equal(cbm_image_read(SEEDS "bits.png", &image, NULL), CBM_OK);
    assert_int_equal(image.pixels[0], 255);
    assert_int_equal(image.pixels[1], 0);
    cbm_image_free(&image);
    assert_int_equal(cbm_image_read(SEEDS "rgb.jpg", &image, NULL), CBM_OK);
    assert_in_range(image.pixels[0], 230, 250);
    assert_in_range(image.pixels[1], 20, 45);
    cbm_image_free(&image);
    assert_int_equal(cbm_image_read(SEEDS "cmyk.jpg", &image, NULL), CBM_OK); /* Adobe: 255 is no ink */
    assert_in_range(image.pixels[0], 245, 255);
    assert_in_range(image.pixels[1], 90, 110);
    assert_in_range(image.pixels[2], 40, 60);
    cbm_image_free(&image);
}

static void expect_refused(const void *data, size_t size)
{
    cbm_image image = { 1, 1, 1, NULL };
    cbm_media_message message = { "" };
    cbm_status status = cbm_image_read_memory(data, size, &image, &message);
    assert_int_not_equal(status, CBM_OK);
    assert_null(image.pixels);
    assert_int_equal(image.width, 0);
    assert_string_not_equal(message.text, "");
}

static void test_truncated(void **state)
{
    (void)state;
    static const char *const files[] = { "rgb.png", "interlaced.png", "palette.png", "rgb.jpg", "progressive.jpg" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        snprintf(path, sizeof path, SEEDS "%s", files[i]);
        bytes b = slurp(path);
        for (size_t n = 0; n < b.size; n++)
            expect_refused(b.at, n);
        free(b.at);
    }
}

/* A flipped bit may go unnoticed in a JPEG; it must never do harm. A PNG's checksums see all but those of its end. */
static void test_flipped(void **state)
{
    (void)state;
    static const char *const files[] = { "rgb.png", "palette.png",     "grey_alpha.png",
                                         "rgb.jpg", "progressive.jpg", "cmyk.jpg" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[512];
        snprintf(path, sizeof path, SEEDS "%s", files[i]);
        bytes b = slurp(path);
        size_t seen = 0;
        for (size_t bit = 0; bit < 8 * b.size; bit++) {
            cbm_image image;
            b.at[bit / 8] ^= (uint8_t)(1u << bit % 8);
            cbm_status status = cbm_image_read_memory(b.at, b.size, &image, NULL);
            seen += status != CBM_OK;
            assert_true((status == CBM_OK) == (image.pixels != NULL));
            cbm_image_free(&image);
            b.at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_true(seen > 0);
        free(b.at);
    }
}

/* CRC-32 as PNG has it. */
static uint32_t crc(const uint8_t *p, size_t n)
{
    uint32_t c = 0xffffffff;
    while (n--) {
        c ^= *p++;
        for (int k = 0; k < 8; k++)
            c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
    }
    return ~c;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void test_absurd_sizes(void **state)
{
    (void)state;
    static const uint32_t sizes[][2] = { { 0, 5 },         { 5, 0 },     { 0x7fffffff, 0x7fffffff },
                                         { 32768, 32768 }, { 32769, 1 }, { 0xffffffff, 1 },
                                         { 8192, 8192 } };
    bytes b = slurp(SEEDS "rgb.png");
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        put32(b.at + 16, sizes[i][0]);
        put32(b.at + 20, sizes[i][1]);
        put32(b.at + 29, crc(b.at + 12, 17));
        expect_refused(b.at, b.size);
    }
    free(b.at);
    b = slurp(SEEDS "rgb.jpg");
    size_t frame = 0;
    while (frame + 9 < b.size && !(b.at[frame] == 0xff && b.at[frame + 1] == 0xc0))
        frame++;
    memset(b.at + frame + 5, 0xff, 4);
    expect_refused(b.at, b.size);
    memset(b.at + frame + 5, 0, 4);
    expect_refused(b.at, b.size);
    free(b.at);
}

static void test_not_images(void **state)
{
    (void)state;
    cbm_image image;
    cbm_media_message message;
    expect_refused("", 0);
    expect_refused("hello, world", 12);
    expect_refused("%s%n%s%n", 8);
    assert_int_equal(cbm_image_read("/nowhere/%s%n.png", &image, &message), CBM_ERROR_IO);
    assert_non_null(strstr(message.text, "/nowhere/%s%n.png"));
    assert_int_equal(cbm_image_read("/", &image, &message), CBM_ERROR_IO);
    assert_int_equal(cbm_image_read("/dev/zero", &image, &message), CBM_ERROR_IO);
}

static void test_conversion(void **state)
{
    (void)state;
    cbm_image image, grey, rgb;
    assert_int_equal(cbm_image_new(2, 1, 4, &image, NULL), CBM_OK);
    memcpy(image.pixels, (uint8_t[]){ 255, 0, 0, 255, 255, 255, 255, 0 }, 8);
    assert_int_equal(cbm_image_to_grey(&image, &grey, NULL), CBM_OK);
    assert_int_equal(grey.pixels[0], 76);
    assert_int_equal(grey.pixels[1], 0);
    assert_int_equal(cbm_image_to_rgb(&grey, &rgb, NULL), CBM_OK);
    assert_memory_equal(rgb.pixels, ((uint8_t[]){ 76, 76, 76, 0, 0, 0 }), 6);
    cbm_image_invert(&image);
    assert_memory_equal(image.pixels, ((uint8_t[]){ 0, 255, 255, 255, 0, 0, 0, 0 }), 8);
    cbm_image_free(&image);
    cbm_image_free(&grey);
    cbm_image_free(&rgb);
}

static void test_resize(void **state)
{
    (void)state;
    cbm_image image, small, large;
    assert_int_equal(cbm_image_new(40, 20, 3, &image, NULL), CBM_OK);
    for (int64_t i = 0; i < 40 * 20; i++) {
        image.pixels[3 * i] = 200;
        image.pixels[3 * i + 1] = i % 2 ? 255 : 0; /* stripes average out */
        image.pixels[3 * i + 2] = i % 40 < 20 ? 0 : 255;
    }
    assert_int_equal(cbm_image_resize(&image, 10, 5, &small, NULL), CBM_OK);
    assert_int_equal(small.channels, 3);
    for (int i = 0; i < 50; i++) {
        assert_int_equal(small.pixels[3 * i], 200);
        assert_in_range(small.pixels[3 * i + 1], 110, 145);
    }
    assert_int_equal(small.pixels[2], 0);
    assert_int_equal(small.pixels[3 * 9 + 2], 255);
    assert_int_equal(cbm_image_resize(&image, 40, 20, &large, NULL), CBM_OK);
    assert_memory_equal(large.pixels, image.pixels, 40 * 20 * 3);
    cbm_image_free(&large);
    assert_int_equal(cbm_image_resize(&small, 100, 100, &large, NULL), CBM_OK);
    assert_int_equal(large.pixels[0], 200);
    cbm_image_free(&large);
    assert_int_equal(cbm_image_resize(&small, 0, 5, &large, NULL), CBM_ERROR_FORMAT);
    assert_null(large.pixels);
    cbm_image_free(&small);
    cbm_image_free(&image);
}

static void test_writing(void **state)
{
    (void)state;
    const char *path = CBM_BINARY_DIR "/tests/written.png";
    cbm_media_message message;
    for (int64_t channels = 1; channels <= 4; channels++) {
        cbm_image image, back;
        assert_int_equal(cbm_image_new(33, 7, channels, &image, NULL), CBM_OK);
        for (int64_t i = 0; i < 33 * 7 * channels; i++)
            image.pixels[i] = (uint8_t)(i * 37);
        assert_int_equal(cbm_image_write_png(&image, path, &message), CBM_OK);
        assert_int_equal(cbm_image_read(path, &back, &message), CBM_OK);
        assert_int_equal(back.channels, channels);
        assert_memory_equal(back.pixels, image.pixels, (size_t)(33 * 7 * channels));
        cbm_image_free(&back);
        assert_int_equal(cbm_image_write_png(&image, "/dev/null/x.png", &message), CBM_ERROR_IO);
        assert_non_null(strstr(message.text, "/dev/null/x.png"));
        /* The old file stays when the new one cannot take its name. */
        assert_int_equal(cbm_image_write_png(&image, "/proc/self/x.png", &message), CBM_ERROR_IO);
        cbm_image_free(&image);
        assert_int_equal(cbm_image_write_png(&image, path, &message), CBM_ERROR_INVALID);
    }
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files), cmocka_unit_test(test_values),       cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_flipped),    cmocka_unit_test(test_absurd_sizes), cmocka_unit_test(test_not_images),
        cmocka_unit_test(test_conversion), cmocka_unit_test(test_resize),       cmocka_unit_test(test_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
