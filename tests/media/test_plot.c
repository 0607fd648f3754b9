/* Plots: that they are drawn whatever the data, where the ink goes, and the ticks. */
#include "media/ticks.c"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static void test_linear_ticks(void **state)
{
    (void)state;
    cbm_ticks t;
    cbm_ticks_linear(0, 1, 5, false, &t);
    assert_int_equal(t.count, 6);
    assert_string_equal(t.label[0], "0");
    assert_string_equal(t.label[1], "0.2");
    assert_string_equal(t.label[5], "1.0");
    cbm_ticks_linear(-3, 3, 6, false, &t);
    assert_int_equal(t.count, 7);
    assert_string_equal(t.label[0], "\xe2\x88\x92"
                                    "3");
    cbm_ticks_linear(1, 4, 12, true, &t);
    assert_int_equal(t.count, 4);
    assert_string_equal(t.label[3], "4");
    cbm_ticks_linear(0, 2e-9, 4, false, &t);
    assert_string_equal(t.label[1], "5e-10");
    cbm_ticks_linear(0, 4e8, 4, false, &t);
    assert_string_equal(t.label[1], "1e8");
    cbm_ticks_linear(1, 1, 4, false, &t);
    assert_in_range(t.count, 1, 2);
}

static void test_log_ticks(void **state)
{
    (void)state;
    cbm_ticks t;
    cbm_ticks_log(0.01, 10, &t);
    assert_in_range(t.count, 4, 10);
    assert_string_equal(t.label[0], "0.01");
    cbm_ticks_log(1e-30, 1e30, &t);
    assert_in_range(t.count, 3, 12);
}

static void test_numbers(void **state)
{
    (void)state;
    char text[32];
    cbm_number_text(-0.05, 2, text, sizeof text);
    assert_string_equal(text, "\xe2\x88\x92"
                              "0.05");
    cbm_number_text(12.5, 1, text, sizeof text);
    assert_string_equal(text, "12.5");
    if (setlocale(LC_ALL, "de_DE.UTF-8"))
        cbm_number_text(12.5, 1, text, sizeof text);
    assert_string_equal(text, "12.5");
    setlocale(LC_ALL, "C");
    cbm_number_text(1e300, 3, text, sizeof text);
    assert_string_equal(text, "?");
}

/* Pixels of exactly this colour. */
static int64_t count_color(const cbm_image *image, int color)
{
    int64_t n = 0;
    for (int64_t i = 0; i < image->width * image->height; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        n += (p[0] << 16 | p[1] << 8 | p[2]) == color;
    }
    return n;
}

static void test_ink(void **state)
{
    (void)state;
    double x[] = { 1, 2, 3, 4 }, a[] = { 4, 2, 1, 0.5 }, b[] = { 1, 2, NAN, 3 };
    cbm_series series[] = {
        { .label = "training", .x = x, .y = a, .count = 4, .style = CBM_SERIES_LINE_POINTS, .color = 0xFF0000 },
        { .label = "validation", .x = x, .y = b, .count = 4, .color = CBM_COLOR_AUTO, .dashed = true },
    };
    cbm_panel panels[] = {
        { .title = "Loss",
          .x_label = "epoch",
          .y_label = "loss",
          .series = series,
          .series_count = 2,
          .whole_x = true },
        { .title = "Loss", .series = series, .series_count = 2, .log_y = true, .marks = x, .mark_count = 4 },
    };
    cbm_plot plot = { .title = "a run", .panels = panels, .panel_count = 2 };
    cbm_image image;
    cbm_media_message message;
    assert_int_equal(cbm_plot_draw(&plot, &image, &message), CBM_OK);
    assert_int_equal(image.channels, 3);
    assert_int_equal(image.width, 1280);
    assert_true(count_color(&image, 0xFF0000) > 500);
    assert_true(count_color(&image, 0xFFFFFF) > image.width * image.height / 2);
    cbm_image_free(&image);
    const char *path = CBM_BINARY_DIR "/tests/plot.png";
    assert_int_equal(cbm_plot_write(&plot, path, &message), CBM_OK);
    assert_int_equal(cbm_image_read(path, &image, &message), CBM_OK);
    assert_int_equal(image.width, 1280);
    cbm_image_free(&image);
    unlink(path);
}

static void test_odd_data(void **state)
{
    (void)state;
    double x[] = { 0, 1e300, -1e300, INFINITY, NAN, 5e-324 }, y[] = { NAN, INFINITY, 1e308, -1e308, 0, 1 };
    double one[] = { 7 }, zeros[] = { 0, 0, 0 };
    cbm_series wild = {
        .label = "wild", .x = x, .y = y, .count = 6, .style = CBM_SERIES_LINE_POINTS, .color = CBM_COLOR_AUTO
    };
    cbm_series single = { .label = "%s%n", .x = one, .y = one, .count = 1, .style = CBM_SERIES_POINTS, .color = 0 };
    cbm_series flat = { .x = zeros, .y = zeros, .count = 3, .color = 0 };
    cbm_series none = { .label = "none", .count = 0 };
    const cbm_series *all[] = { &wild, &single, &flat, &none };
    for (size_t i = 0; i < 4; i++)
        for (int log_y = 0; log_y < 2; log_y++)
            for (int size = 0; size < 3; size++) {
                cbm_panel panel = { .series = all[i], .series_count = 1, .log_y = log_y, .y_from_zero = i % 2 };
                cbm_plot plot = {
                    .panels = &panel, .panel_count = 1, .width = size ? size * 20 : 0, .height = size ? 10 : 0
                };
                cbm_image image;
                assert_int_equal(cbm_plot_draw(&plot, &image, NULL), CBM_OK);
                cbm_image_free(&image);
            }
    cbm_plot nothing = { .panel_count = 0 };
    cbm_image image;
    assert_int_equal(cbm_plot_draw(&nothing, &image, NULL), CBM_ERROR_INVALID);
    cbm_panel panel = { .series_count = 0 };
    cbm_plot huge = { .panels = &panel, .panel_count = 1, .width = 1 << 20, .height = 1 << 20 };
    assert_int_equal(cbm_plot_draw(&huge, &image, NULL), CBM_ERROR_FORMAT);
}

/* ---- words around a picture ---- */

static int64_t dark_pixels(const cbm_image *image, int64_t x0, int64_t y0, int64_t x1, int64_t y1)
{
    int64_t dark = 0;
    for (int64_t y = y0; y < y1; y++)
        for (int64_t x = x0; x < x1; x++)
            dark += image->pixels[(y * image->width + x) * 3] < 200;
    return dark;
}

static void test_frames(void **state)
{
    (void)state;
    cbm_image picture, framed;
    cbm_media_message message;
    assert_int_equal(cbm_image_new(120, 60, 1, &picture, &message), CBM_OK);
    memset(picture.pixels, 255, 120 * 60);
    picture.pixels[0] = 1;
    picture.pixels[120 * 60 - 1] = 2;
    /* Without words there is only the margin, and the picture lies inside as it is. */
    assert_int_equal(cbm_image_frame(&picture, &(cbm_frame){ 0 }, &framed, &message), CBM_OK);
    int64_t margin = (framed.width - 120) / 2;
    assert_int_equal(framed.height - 60, 2 * margin);
    assert_int_equal(framed.pixels[(margin * framed.width + margin) * 3], 1);
    assert_int_equal(framed.pixels[((margin + 59) * framed.width + margin + 119) * 3 + 2], 2);
    cbm_image_free(&framed);
    /* Rows at the left, columns and the title above. */
    const char *const rows[] = { "one", "two\nlines" }, *const columns[] = { "a", "", "c" };
    const cbm_frame frame = { .title = "Title", .rows = rows, .row_count = 2, .columns = columns, .column_count = 3 };
    assert_int_equal(cbm_image_frame(&picture, &frame, &framed, &message), CBM_OK);
    int64_t left = framed.width - margin - 120, top = framed.height - margin - 60;
    assert_int_equal(framed.pixels[(top * framed.width + left) * 3], 1);
    assert_true(left > margin && top > 2 * margin);
    assert_true(dark_pixels(&framed, 0, top, left, top + 30) > 5);
    assert_true(dark_pixels(&framed, 0, top + 30, left, top + 60) > 10);
    assert_true(dark_pixels(&framed, left, top - 16, left + 40, top) > 3);
    assert_int_equal(dark_pixels(&framed, left + 45, top - 16, left + 75, top), 0); /* the column without a name */
    assert_true(dark_pixels(&framed, left + 80, top - 16, left + 120, top) > 3);
    assert_true(dark_pixels(&framed, 0, 0, left + 120, top - 16) > 10);
    cbm_image_free(&framed);
    /* A long title makes room for itself. */
    assert_int_equal(cbm_image_frame(&picture,
                                     &(cbm_frame){ .title = "A title that is longer than the picture is wide" },
                                     &framed, &message),
                     CBM_OK);
    assert_true(framed.width > 300);
    cbm_image_free(&framed);
    assert_int_equal(cbm_image_frame(&picture, &(cbm_frame){ .title = "\xff\xfe" }, &framed, &message),
                     CBM_ERROR_INVALID);
    assert_null(framed.pixels);
    assert_int_equal(cbm_image_frame(&(cbm_image){ 0 }, &frame, &framed, &message), CBM_ERROR_INVALID);
    cbm_image_free(&picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear_ticks), cmocka_unit_test(test_log_ticks), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_ink),          cmocka_unit_test(test_odd_data),  cmocka_unit_test(test_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
