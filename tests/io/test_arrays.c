/* npy, npz and IDX: round trips, what NumPy writes, and damaged or hostile bytes, each with one clear message. */
#include "support/folder.h"
#include <cambium/io.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

static void expect_format(cbm_context *cx, const char *part)
{
    if (cbm_context_status(cx) != CBM_ERROR_FORMAT && cbm_context_status(cx) != CBM_ERROR_UNSUPPORTED)
        fail_msg("status %d, message '%s'", cbm_context_status(cx), cbm_message(cx));
    if (!strstr(cbm_message(cx), part))
        fail_msg("'%s' is not in the message: %s", part, cbm_message(cx));
    cbm_clear(cx);
}

/* ---- npy ---- */

static void test_npy_round_trip(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const double values[6] = { 1, 2, 3, 4, 5, 1e300 };
    const struct {
        cbm_dtype dtype;
        cbm_shape shape;
    } cases[] = { { CBM_F64, CBM_SHAPE(2, 3) },
                  { CBM_F64, CBM_SHAPE(6) },
                  { CBM_F64, CBM_SHAPE(1, 1, 6, 1) },
                  { CBM_U8, CBM_SHAPE(48) },
                  { CBM_F32, CBM_SHAPE(12) } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        cbm_tensor *t = cbm_tensor_from(cx, cases[i].dtype, cases[i].shape, values);
        const char *path = folder_path(state, "a.npy");
        assert_int_equal(cbm_npy_write(t, path), CBM_OK);
        cbm_tensor *u = cbm_npy_read(cx, path);
        cbm_shape shape = cbm_tensor_shape(u);
        assert_true(cbm_shape_equal(&shape, &cases[i].shape));
        assert_int_equal(cbm_tensor_dtype(u), cases[i].dtype);
        assert_memory_equal(cbm_tensor_data(u), values, sizeof values);
    }
    assert_int_equal(cbm_npy_write(cbm_full(cx, CBM_I64, CBM_SHAPE(), -7), folder_path(state, "s.npy")), CBM_OK);
    assert_true(cbm_item(cbm_npy_read(cx, folder_path(state, "s.npy"))) == -7.0);
    const char *names[] = { "h" };
    cbm_tensor *half[] = { cbm_ones(cx, CBM_BF16, CBM_SHAPE(3)) };
    assert_int_equal(cbm_npy_write(half[0], folder_path(state, "h.npy")), CBM_ERROR_UNSUPPORTED);
    assert_non_null(strstr(cbm_message(cx), "cbm_cast"));
    cbm_clear(cx);
    assert_int_equal(cbm_npz_write(cx, folder_path(state, "h.npz"), names, half, 1), CBM_ERROR_UNSUPPORTED);
    cbm_close(cx);
}

/* An npy file of version 1.0 with this header and n bytes of data. */
static size_t npy(unsigned char *out, const char *header, const void *data, size_t n)
{
    size_t h = strlen(header);
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    out[8] = (unsigned char)h;
    out[9] = (unsigned char)(h >> 8);
    memcpy(out + 10, header, h);
    if (n)
        memcpy(out + 10 + h, data, n);
    return 10 + h + n;
}

static void test_npy_orders(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    unsigned char file[400];
    const int32_t columns[6] = { 1, 4, 2, 5, 3, 6 }; /* [[1, 2, 3], [4, 5, 6]] in Fortran order */
    size_t size = npy(file, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }\n", columns, sizeof columns);
    int32_t rows[6];
    assert_int_equal(cbm_read(cbm_npy_read_memory(cx, file, size), rows, sizeof rows), CBM_OK);
    for (int i = 0; i < 6; ++i)
        assert_int_equal(rows[i], i + 1);
    const unsigned char big[4] = { 0, 3, 0xff, 0xfe };
    size = npy(file, "{\"shape\":(2,),\"fortran_order\":False,\"descr\":\">i2\"}", big, 4);
    assert_int_equal(cbm_read(cbm_npy_read_memory(cx, file, size), rows, 8), CBM_OK);
    assert_int_equal(rows[0], 3);
    assert_int_equal(rows[1], -2);
    cbm_close(cx);
}

static const struct {
    const char *header;
    size_t data;
    const char *message;
} bad_npy[] = {
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7, "truncated" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 9, "need 8" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, "dictionary" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", 0, "counted" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 0, "dictionary" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, "dimensions" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (1,), }", 4, "dictionary" },
    { "{'descr': '<f4', 'fortran_order': False}", 4, "dictionary" },
    { "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", 4, "dictionary" },
    { "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", 8, "'|O'" },
    { "{'descr': '<U9', 'fortran_order': False, 'shape': (1,)}", 36, "'<U9'" },
    { "{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}", 8, "'<u8'" },
    { "{'descr': '', 'fortran_order': False, 'shape': (1,)}", 4, "''" },
    { "{'descr': '|f4', 'fortran_order': False, 'shape': (1,)}", 4, "'|f4'" },
    { "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", 4, "records" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} + x", 4, "dictionary" },
    { "{'descr': '<f4", 0, "dictionary" },
    { "", 0, "dictionary" },
};

static void test_bad_npy(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    unsigned char file[400], data[64] = { 0 };
    for (size_t i = 0; i < sizeof bad_npy / sizeof *bad_npy; ++i) {
        assert_true(
            cbm_tensor_failed(cbm_npy_read_memory(cx, file, npy(file, bad_npy[i].header, data, bad_npy[i].data))));
        expect_format(cx, bad_npy[i].message);
    }
    size_t size = npy(file, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", data, 8);
    for (size_t n = 0; n < size; ++n) {
        assert_true(cbm_tensor_failed(cbm_npy_read_memory(cx, file, n)));
        expect_format(cx, "[npy] (memory)");
    }
    file[6] = 9;
    assert_true(cbm_tensor_failed(cbm_npy_read_memory(cx, file, size)));
    expect_format(cx, "version 9");
    cbm_close(cx);
}

/* ---- npz ---- */

static void test_npz_round_trip(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const char *names[] = { "x", "labels/train", "empty" };
    cbm_tensor *tensors[] = { cbm_full(cx, CBM_F32, CBM_SHAPE(2, 2), 1.5), cbm_full(cx, CBM_I64, CBM_SHAPE(3), 9),
                              cbm_zeros(cx, CBM_U8, CBM_SHAPE(0)) };
    const char *path = folder_path(state, "a.npz");
    assert_int_equal(cbm_npz_write(cx, path, names, tensors, 3), CBM_OK);
    cbm_npz *z = cbm_npz_open(cx, path);
    assert_non_null(z);
    assert_int_equal(cbm_npz_count(z), 3);
    assert_string_equal(cbm_npz_name(z, 1), "labels/train");
    assert_null(cbm_npz_name(z, 3));
    int64_t labels[3];
    assert_int_equal(cbm_read(cbm_npz_tensor(z, "labels/train"), labels, sizeof labels), CBM_OK);
    assert_int_equal(labels[2], 9);
    assert_int_equal(cbm_tensor_count(cbm_npz_tensor(z, "empty")), 0);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    assert_true(cbm_tensor_failed(cbm_npz_tensor(z, "y")));
    cbm_clear(cx);
    cbm_npz_close(z);

    size_t size;
    unsigned char *bytes = folder_get(path, &size);
    for (size_t n = 0; n < size; ++n) {
        assert_null(cbm_npz_open_memory(cx, bytes, n));
        expect_format(cx, "[npz]");
    }
    for (size_t bit = 0; bit < 8 * size; ++bit) {
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        CBM_SCOPE(scope, cx);
        z = cbm_npz_open_memory(cx, bytes, size);
        for (size_t i = 0; i < cbm_npz_count(z); ++i)
            cbm_npz_tensor(z, cbm_npz_name(z, i));
        cbm_npz_close(z);
        cbm_clear(cx);
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    const char *twice[] = { "a", "a" };
    assert_int_equal(cbm_npz_write(cx, path, twice, tensors, 2), CBM_ERROR_INVALID);
    free(bytes);
    cbm_close(cx);
}

static void put(unsigned char **p, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; ++i)
        *(*p)++ = (unsigned char)(value >> (8 * i));
}

/* A zip archive of one deflated member "a.npy"; claimed is the uncompressed size that it gives. */
static size_t zip(unsigned char *out, const unsigned char *plain, size_t n, uint32_t claimed, uint32_t crc)
{
    unsigned char packed[1000], *p = out;
    z_stream z = { 0 };
    deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (unsigned char *)(uintptr_t)plain;
    z.avail_in = (uInt)n;
    z.next_out = packed;
    z.avail_out = sizeof packed;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    uint32_t length = (uint32_t)z.total_out;
    deflateEnd(&z);
    for (int central = 0; central < 2; ++central) {
        uint32_t at = (uint32_t)(p - out);
        put(&p, central ? 0x02014b50 : 0x04034b50, 4);
        if (central)
            put(&p, 20, 2);
        put(&p, 20, 2);
        put(&p, 0, 2);
        put(&p, 8, 2);
        put(&p, 0, 4);
        put(&p, crc, 4);
        put(&p, length, 4);
        put(&p, claimed, 4);
        put(&p, 5, 2);
        put(&p, 0, 2);
        if (central) {
            memset(p, 0, 14); /* comment, disk, attributes, place of the local header */
            p += 14;
        }
        memcpy(p, "a.npy", 5);
        p += 5;
        if (!central) {
            memcpy(p, packed, length);
            p += length;
            continue;
        }
        uint32_t bytes = (uint32_t)(p - out) - at;
        put(&p, 0x06054b50, 4);
        put(&p, 0, 4);
        put(&p, 1, 2);
        put(&p, 1, 2);
        put(&p, bytes, 4);
        put(&p, at, 4);
        put(&p, 0, 2);
    }
    return (size_t)(p - out);
}

static void test_npz_deflated(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    unsigned char plain[400], file[1200];
    static const float zeros[50];
    size_t n = npy(plain, "{'descr': '<f4', 'fortran_order': False, 'shape': (50,), }\n", zeros, sizeof zeros);
    uint32_t crc = (uint32_t)crc32(0, plain, (uInt)n);
    cbm_npz *z = cbm_npz_open_memory(cx, file, zip(file, plain, n, (uint32_t)n, crc));
    assert_non_null(z);
    assert_int_equal(cbm_tensor_count(cbm_npz_tensor(z, "a")), 50);
    cbm_npz_close(z);
    z = cbm_npz_open_memory(cx, file, zip(file, plain, n, (uint32_t)n, crc + 1));
    assert_true(cbm_tensor_failed(cbm_npz_tensor(z, "a")));
    expect_format(cx, "checksum");
    cbm_npz_close(z);
    z = cbm_npz_open_memory(cx, file, zip(file, plain, n, (uint32_t)n - 1, crc));
    assert_true(cbm_tensor_failed(cbm_npz_tensor(z, "a")));
    expect_format(cx, "more data");
    cbm_npz_close(z);
    z = cbm_npz_open_memory(cx, file, zip(file, plain, n, (uint32_t)n + 1, crc));
    assert_true(cbm_tensor_failed(cbm_npz_tensor(z, "a")));
    expect_format(cx, "says");
    cbm_npz_close(z);
    assert_null(cbm_npz_open_memory(cx, file, zip(file, plain, n, 0x7fffffff, crc))); /* a bomb's claim */
    expect_format(cx, "cannot be");
    cbm_close(cx);
}

/* ---- IDX ---- */

static size_t gzip(unsigned char *out, size_t room, const unsigned char *plain, size_t n)
{
    z_stream z = { 0 };
    deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (unsigned char *)(uintptr_t)plain;
    z.avail_in = (uInt)n;
    z.next_out = out;
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t size = z.total_out;
    deflateEnd(&z);
    return size;
}

static void test_idx(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const unsigned char file[] = { 0, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 1, 0 };
    unsigned char packed[200];
    int32_t values[2];
    cbm_tensor *t = cbm_idx_read_memory(cx, file, sizeof file);
    assert_int_equal(cbm_read(t, values, sizeof values), CBM_OK);
    assert_int_equal(values[0], -1);
    assert_int_equal(values[1], 256);
    size_t size = gzip(packed, sizeof packed, file, sizeof file);
    const char *path = folder_path(state, "a.gz");
    folder_put(path, packed, size);
    t = cbm_idx_read(cx, path);
    assert_int_equal(cbm_tensor_size(t, 1), 2);
    assert_int_equal(cbm_read(t, values, sizeof values), CBM_OK);
    assert_int_equal(values[1], 256);
    for (size_t n = 0; n < sizeof file; ++n) {
        assert_true(cbm_tensor_failed(cbm_idx_read_memory(cx, file, n)));
        expect_format(cx, "[idx]");
    }
    for (size_t n = 0; n < size; ++n) {
        assert_true(cbm_tensor_failed(cbm_idx_read_memory(cx, packed, n)));
        expect_format(cx, "[idx]");
    }
    packed[size] = 1;
    assert_true(cbm_tensor_failed(cbm_idx_read_memory(cx, packed, size + 1)));
    expect_format(cx, "behind the end");
    packed[size - 6] ^= 1; /* the checksum */
    assert_true(cbm_tensor_failed(cbm_idx_read_memory(cx, packed, size)));
    expect_format(cx, "damaged");
    cbm_close(cx);
}

static void test_bad_idx(void **state)
{
    (void)state;
    static const struct {
        unsigned char bytes[40];
        size_t size;
        const char *message;
    } bad[] = {
        { { 1, 0, 8, 1, 0, 0, 0, 0 }, 8, "zero bytes" },
        { { 0, 0, 7, 1, 0, 0, 0, 0 }, 8, "0x07" },
        { { 0, 0, 0, 1, 0, 0, 0, 0 }, 8, "0x00" },
        { { 0, 0, 8, 9 }, 40, "9 dimensions" },
        { { 0, 0, 8, 1, 0, 0, 0, 5 }, 12, "truncated" },
        { { 0, 0, 8, 1, 0, 0, 0, 3 }, 12, "says 11" },
        { { 0, 0, 8, 4, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255 },
          20,
          "counted" },
        { { 0, 0, 14, 2, 255, 255, 255, 255, 127, 255, 255, 255 }, 12, "counted" },
    };
    cbm_context *cx = cbm_open(NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        assert_true(cbm_tensor_failed(cbm_idx_read_memory(cx, bad[i].bytes, bad[i].size)));
        expect_format(cx, bad[i].message);
    }
    unsigned char packed[200]; /* a small stream that claims gigabytes */
    const unsigned char claim[] = { 0, 0, 8, 1, 127, 255, 255, 255 };
    assert_true(cbm_tensor_failed(cbm_idx_read_memory(cx, packed, gzip(packed, sizeof packed, claim, sizeof claim))));
    expect_format(cx, "cannot hold");
    cbm_idx_read(cx, "/nonexistent/a.idx");
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_IO);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_npy_round_trip, folder_make, folder_remove),
        cmocka_unit_test(test_npy_orders),
        cmocka_unit_test(test_bad_npy),
        cmocka_unit_test_setup_teardown(test_npz_round_trip, folder_make, folder_remove),
        cmocka_unit_test(test_npz_deflated),
        cmocka_unit_test_setup_teardown(test_idx, folder_make, folder_remove),
        cmocka_unit_test(test_bad_idx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
