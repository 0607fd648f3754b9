/* Image datasets from IDX files: where MNIST is looked for, normalisation, labels outside the classes, files that do not
   belong together. */
#include "support/folder.h"
#include <cambium/io.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <cmocka.h>

enum { COUNT = 11, SIDE = 28, PIXELS = SIDE * SIDE };

/* Image i holds the bytes i, i + 1, ...; its label is i % 10. */
static void write_set(void *const *state, const char *images, const char *labels, int n_labels)
{
    static unsigned char bytes[16 + COUNT * PIXELS];
    const unsigned char head[16] = { 0, 0, 8, 3, 0, 0, 0, COUNT, 0, 0, 0, SIDE, 0, 0, 0, SIDE };
    memcpy(bytes, head, sizeof head);
    for (int i = 0; i < COUNT * PIXELS; ++i)
        bytes[16 + i] = (unsigned char)(i / PIXELS + i % PIXELS);
    folder_put(folder_path(state, images), bytes, sizeof bytes);
    unsigned char tags[8 + COUNT] = { 0, 0, 8, 1, 0, 0, 0, (unsigned char)n_labels };
    for (int i = 0; i < n_labels; ++i)
        tags[8 + i] = (unsigned char)(i % 10);
    folder_put(folder_path(state, labels), tags, 8 + (size_t)n_labels);
}

static void test_mnist(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    write_set(state, "train-images-idx3-ubyte", "train-labels-idx1-ubyte", COUNT);
    cbm_dataset *d = cbm_mnist(cx, *state, CBM_TRAIN);
    assert_non_null(d);
    assert_int_equal(cbm_dataset_count(d), COUNT);
    assert_int_equal(cbm_dataset_classes(d), 10);
    cbm_shape shape = cbm_dataset_input_shape(d);
    assert_true(cbm_shape_equal(&shape, &CBM_SHAPE(1, SIDE, SIDE)));
    cbm_loader *l = cbm_loader_open(d, .batch_size = 4);
    int64_t met = 0;
    for (cbm_batch b; cbm_next(l, &b);) {
        assert_int_equal(cbm_tensor_rank(b.input), 4);
        const float *x = cbm_tensor_data(b.input);
        const int64_t *y = cbm_tensor_data(b.target);
        for (int64_t i = 0; i < b.size; ++i, ++met) {
            assert_int_equal(y[i], met % 10);
            double byte = (double)((met + 100) % 256);
            assert_true(fabs((double)x[i * PIXELS + 100] - (byte / 255 - 0.1307) / 0.3081) < 1e-6);
        }
    }
    assert_int_equal(met, COUNT);
    cbm_dataset *raw = cbm_mnist(cx, *state, CBM_TRAIN, .normalise = false);
    cbm_tensor *image, *label;
    assert_int_equal(cbm_dataset_get(raw, 10, &image, &label), CBM_OK);
    assert_int_equal(cbm_tensor_dtype(image), CBM_U8);
    assert_int_equal(((const uint8_t *)cbm_tensor_data(image))[5], 15);
    assert_true(cbm_item(label) == 0.0);
    assert_null(cbm_mnist(cx, *state, CBM_TEST));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_IO);
    assert_non_null(strstr(cbm_message(cx), "t10k-images-idx3-ubyte"));
    assert_non_null(strstr(cbm_message(cx), "HINT"));
    cbm_close(cx);
}

static void test_elsewhere_and_packed(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    mkdir(folder_path(state, "MNIST"), 0700);
    mkdir(folder_path(state, "MNIST/raw"), 0700);
    write_set(state, "MNIST/raw/t10k-images-idx3-ubyte", "labels", COUNT);
    size_t size;
    unsigned char *bytes = folder_get(folder_path(state, "labels"), &size);
    gzFile packed = gzopen(folder_path(state, "MNIST/raw/t10k-labels-idx1-ubyte.gz"), "wb");
    assert_int_equal(gzwrite(packed, bytes, (unsigned)size), (int)size);
    gzclose(packed);
    free(bytes);
    cbm_dataset *d = cbm_mnist(cx, *state, CBM_TEST);
    assert_string_equal(cbm_message(cx), "");
    assert_int_equal(cbm_dataset_count(d), COUNT);
    cbm_tensor *image, *label;
    assert_int_equal(cbm_dataset_get(d, 9, &image, &label), CBM_OK);
    assert_true(cbm_item(label) == 9.0);
    cbm_close(cx);
}

static void expect_refused(cbm_context *cx, cbm_dataset *d, cbm_status status, const char *part)
{
    assert_null(d);
    assert_int_equal(cbm_context_status(cx), status);
    if (!strstr(cbm_message(cx), part))
        fail_msg("'%s' is not in the message: %s", part, cbm_message(cx));
    cbm_clear(cx);
}

static void test_bad_sets(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    write_set(state, "images", "labels", COUNT);
    const char *images = folder_path(state, "images"), *labels = folder_path(state, "labels");
    expect_refused(cx, cbm_idx_dataset(cx, images, labels, .classes = 9), CBM_ERROR_RANGE, "label 9 of sample 9");
    expect_refused(cx, cbm_idx_dataset(cx, labels, images), CBM_ERROR_FORMAT, "1-dimensional");
    expect_refused(cx, cbm_idx_dataset(cx, images, images), CBM_ERROR_FORMAT, "3-dimensional");
    expect_refused(cx, cbm_idx_dataset(cx, images, labels, .deviation = 0), CBM_ERROR_INVALID, "deviation");
    expect_refused(cx, cbm_idx_dataset(cx, images, NULL), CBM_ERROR_INVALID, "NULL");
    write_set(state, "images", "labels", COUNT - 1);
    expect_refused(cx, cbm_idx_dataset(cx, images, labels), CBM_ERROR_FORMAT, "10 labels for 11 images");
    const unsigned char none[16] = { 0, 0, 8, 3, 0, 0, 0, 0, 0, 0, 0, SIDE, 0, 0, 0, SIDE }, nil[8] = { 0, 0, 8, 1 };
    folder_put(images, none, sizeof none);
    folder_put(labels, nil, sizeof nil);
    cbm_dataset *empty = cbm_idx_dataset(cx, images, labels);
    assert_non_null(empty);
    assert_null(cbm_loader_open(empty));
    assert_non_null(strstr(cbm_message(cx), "is empty"));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mnist, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_elsewhere_and_packed, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_bad_sets, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
