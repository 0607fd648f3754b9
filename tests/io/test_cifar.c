/* CIFAR's binary files: where they are looked for, labels and pixels, normalisation by channel, and files that are not
   what they should be. */
#include "support/folder.h"
#include <cambium/data.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

enum { PIXELS = 3072, MOST = 16 };

/* count records whose pixels and labels follow from first, the number of the first one in the set. */
static void write_records(const char *path, int labels, int first, int count)
{
    static unsigned char bytes[MOST * (2 + PIXELS)];
    unsigned char *at = bytes;
    for (int i = first; i < first + count; i++) {
        if (labels == 2)
            *at++ = (unsigned char)(i % 20);
        *at++ = (unsigned char)(labels == 2 ? (37 * i) % 100 : i % 10);
        for (int k = 0; k < PIXELS; k++)
            *at++ = (unsigned char)(i + k * 3);
    }
    folder_put(path, bytes, (size_t)(at - bytes));
}

static void write_ten(void *const *state, const char *folder)
{
    char name[64];
    for (int i = 0; i < 5; i++) { /* of different lengths, one of them empty */
        snprintf(name, sizeof name, "%sdata_batch_%d.bin", folder, i + 1);
        write_records(folder_path(state, name), 1, i * (i + 1) / 2, i + 1 > 2 ? i + 1 : i);
    }
}

static void test_ten(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    static const int start[] = { 0, 1, 3, 6, 10 }, count[] = { 0, 1, 3, 4, 5 };
    write_ten(state, "");
    cbm_dataset *d = cbm_cifar10(cx, *state, CBM_TRAIN), *raw = cbm_cifar10(cx, *state, CBM_TRAIN, .normalise = false);
    assert_string_equal(cbm_message(cx), "");
    assert_int_equal(cbm_dataset_count(d), 13);
    assert_int_equal(cbm_dataset_classes(d), 10);
    cbm_shape shape = cbm_dataset_input_shape(d);
    assert_true(cbm_shape_equal(&shape, &CBM_SHAPE(3, 32, 32)));
    static const double mean[] = { 0.4914, 0.4822, 0.4465 }, deviation[] = { 0.2470, 0.2435, 0.2616 };
    int64_t index = 0;
    for (int f = 0; f < 5; f++)
        for (int r = 0; r < count[f]; r++, index++) {
            cbm_tensor *image, *bytes, *label;
            assert_int_equal(cbm_dataset_get(d, index, &image, &label), CBM_OK);
            assert_int_equal(cbm_dataset_get(raw, index, &bytes, NULL), CBM_OK);
            int i = start[f] + r;
            assert_true(cbm_item(label) == (double)(i % 10));
            const float *x = cbm_tensor_data(image);
            const unsigned char *u = cbm_tensor_data(bytes);
            assert_int_equal(cbm_tensor_dtype(bytes), CBM_U8);
            for (int k = 0; k < PIXELS; k++) {
                int byte = (i + k * 3) % 256, c = k / 1024;
                assert_int_equal(u[k], byte);
                assert_true(fabs((double)x[k] - (byte / 255.0 - mean[c]) / deviation[c]) < 2e-6);
            }
        }
    cbm_dataset *other = cbm_cifar10(cx, *state, CBM_TRAIN, .mean = { 0, 0.5, 1 }, .deviation = { 1, 2, 4 });
    cbm_tensor *image;
    assert_int_equal(cbm_dataset_get(other, 0, &image, NULL), CBM_OK);
    const float *x = cbm_tensor_data(image);
    for (int c = 0; c < 3; c++) {
        int byte = (1 + c * 1024 * 3) % 256;
        assert_true(fabs((double)x[c * 1024] - (byte / 255.0 - 0.5 * c) / (1 << c)) < 2e-6);
    }
    cbm_close(cx);
}

static void test_hundred(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    mkdir(folder_path(state, "cifar-100-binary"), 0700);
    write_records(folder_path(state, "cifar-100-binary/train.bin"), 2, 0, 12);
    write_records(folder_path(state, "cifar-100-binary/test.bin"), 2, 5, 3);
    cbm_dataset *fine = cbm_cifar100(cx, *state, CBM_TRAIN), *coarse = cbm_cifar100(cx, *state, CBM_TRAIN, .coarse = 1);
    cbm_dataset *test = cbm_cifar100(cx, *state, CBM_TEST, .normalise = false);
    assert_string_equal(cbm_message(cx), "");
    assert_int_equal(cbm_dataset_classes(fine), 100);
    assert_int_equal(cbm_dataset_classes(coarse), 20);
    assert_int_equal(cbm_dataset_count(test), 3);
    cbm_tensor *image, *label;
    for (int64_t i = 0; i < 12; i++) {
        assert_int_equal(cbm_dataset_get(fine, i, &image, &label), CBM_OK);
        assert_true(cbm_item(label) == (double)(37 * i % 100));
        assert_int_equal(cbm_dataset_get(coarse, i, &image, &label), CBM_OK);
        assert_true(cbm_item(label) == (double)(i % 20));
    }
    assert_int_equal(cbm_dataset_get(test, 2, &image, &label), CBM_OK);
    assert_int_equal(((const unsigned char *)cbm_tensor_data(image))[1], 7 + 3);
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

static void test_refused(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const char *path = folder_path(state, "test_batch.bin");
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TEST), CBM_ERROR_IO, "test_batch.bin");
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TEST), CBM_ERROR_IO, "HINT: `cambium data get cifar10`");
    expect_refused(cx, cbm_cifar10(cx, NULL, CBM_TEST), CBM_ERROR_INVALID, "directory is NULL");
    expect_refused(cx, cbm_cifar10(cx, *state, (cbm_split)7), CBM_ERROR_INVALID, "split");
    write_records(path, 1, 0, 4);
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TEST, .deviation = { 1, 0, 1 }), CBM_ERROR_INVALID, "deviation");
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TEST, .mean = { NAN, 0, 0 }), CBM_ERROR_INVALID, "mean");
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TEST, .coarse = 1), CBM_ERROR_INVALID, "superclasses");
    size_t size;
    unsigned char *bytes = folder_get(path, &size);
    folder_put(path, bytes, size - 1);
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TEST), CBM_ERROR_FORMAT, "no whole number of records");
    folder_put(path, bytes, 100);
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TEST), CBM_ERROR_FORMAT, "truncated");
    bytes[2 * (1 + PIXELS)] = 10;
    folder_put(path, bytes, size);
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TEST), CBM_ERROR_RANGE, "label 10 of record 2");
    free(bytes);
    folder_put(path, "", 0);
    cbm_dataset *empty = cbm_cifar10(cx, *state, CBM_TEST);
    assert_non_null(empty);
    assert_null(cbm_loader_open(empty));
    assert_non_null(strstr(cbm_message(cx), "is empty"));
    cbm_clear(cx);
    write_records(folder_path(state, "train.bin"), 2, 0, 3);
    bytes = folder_get(folder_path(state, "train.bin"), &size);
    bytes[0] = 20; /* a superclass */
    folder_put(folder_path(state, "train.bin"), bytes, size);
    free(bytes);
    expect_refused(cx, cbm_cifar100(cx, *state, CBM_TRAIN), CBM_ERROR_RANGE, "outside 0 to 19");
    remove(folder_path(state, "data_batch_3.bin"));
    write_ten(state, "");
    remove(folder_path(state, "data_batch_3.bin"));
    expect_refused(cx, cbm_cifar10(cx, *state, CBM_TRAIN), CBM_ERROR_IO, "no data_batch_3.bin");
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ten, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_hundred, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_refused, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
