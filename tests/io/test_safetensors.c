/* safetensors: round trips, element types, and hostile headers, each refused with one clear message. */
#include "support/folder.h"
#include <cambium/io.h>
#include <cambium/ops.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A file of header text and n bytes of data; length overrides the length field unless it is < 0. */
static size_t build(unsigned char *out, const char *header, const void *data, size_t n, long long length)
{
    uint64_t h = strlen(header), field = length < 0 ? h : (uint64_t)length;
    for (int i = 0; i < 8; ++i)
        out[i] = (unsigned char)(field >> (8 * i));
    memcpy(out + 8, header, h);
    if (n)
        memcpy(out + 8 + h, data, n);
    return 8 + h + n;
}

static void test_round_trip(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const float f[6] = { 1, -2, 3.5f, 0, 1e-30f, 6 };
    const int64_t n[2] = { INT64_MIN, 7 };
    const uint8_t b[3] = { 1, 0, 1 };
    const char *names[] = { "weight", "count", "flags", "none" };
    cbm_tensor *tensors[] = { cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(2, 3), f),
                              cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(2), n),
                              cbm_tensor_from(cx, CBM_BOOL, CBM_SHAPE(3), b), cbm_zeros(cx, CBM_F64, CBM_SHAPE(0, 4)) };
    const char *metadata[] = { "title", "a \"quoted\" \n text \xc3\xa4", NULL };
    const char *path = folder_path(state, "a.safetensors");
    assert_int_equal(cbm_safetensors_write(cx, path, names, tensors, 4, metadata), CBM_OK);
    cbm_safetensors *file = cbm_safetensors_open(cx, path);
    assert_non_null(file);
    assert_int_equal(cbm_safetensors_count(file), 4);
    assert_string_equal(cbm_safetensors_metadata(file, "title"), metadata[1]);
    assert_null(cbm_safetensors_metadata(file, "absent"));
    cbm_file_tensor info;
    assert_true(cbm_safetensors_at(file, 3, &info));
    assert_string_equal(info.name, "weight");
    assert_string_equal(info.type, "F32");
    assert_int_equal(info.bytes, 24);
    assert_false(cbm_safetensors_at(file, 4, &info));
    float g[6];
    int64_t m[2];
    uint8_t c[3];
    assert_int_equal(cbm_read(cbm_safetensors_tensor(file, "weight"), g, sizeof g), CBM_OK);
    assert_memory_equal(f, g, sizeof g);
    assert_int_equal(cbm_read(cbm_safetensors_tensor(file, "count"), m, sizeof m), CBM_OK);
    assert_memory_equal(n, m, sizeof m);
    assert_int_equal(cbm_read(cbm_safetensors_tensor(file, "flags"), c, sizeof c), CBM_OK);
    assert_memory_equal(b, c, sizeof c);
    assert_int_equal(cbm_tensor_count(cbm_safetensors_tensor(file, "none")), 0);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    assert_true(cbm_tensor_failed(cbm_safetensors_tensor(file, "absent")));
    assert_non_null(strstr(cbm_message(cx), "absent"));
    cbm_clear(cx);
    cbm_safetensors_close(file);
    cbm_close(cx);
}

/* The data begins at a multiple of 8, and the largest element types come first. */
static void test_written_aligned(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const char *names[] = { "a", "b" };
    cbm_tensor *tensors[] = { cbm_zeros(cx, CBM_U8, CBM_SHAPE(3)), cbm_ones(cx, CBM_F64, CBM_SHAPE(2)) };
    const char *path = folder_path(state, "a.safetensors");
    assert_int_equal(cbm_safetensors_write(cx, path, names, tensors, 2, NULL), CBM_OK);
    size_t size;
    unsigned char *bytes = folder_get(path, &size);
    assert_int_equal((8 + bytes[0]) % 8, 0);
    assert_int_equal(bytes[1], 0);
    double first;
    memcpy(&first, bytes + 8 + bytes[0], sizeof first);
    assert_true(first == 1.0);
    free(bytes);
    cbm_tensor *half = cbm_full(cx, CBM_BF16, CBM_SHAPE(2), -2.5);
    tensors[0] = half;
    assert_int_equal(cbm_safetensors_write(cx, path, names, tensors, 2, NULL), CBM_OK);
    cbm_safetensors *file = cbm_safetensors_open(cx, path);
    cbm_file_tensor info;
    assert_true(cbm_safetensors_at(file, 0, &info));
    assert_string_equal(info.type, "BF16");
    assert_int_equal(info.dtype, CBM_BF16);
    uint16_t bits[2];
    assert_int_equal(cbm_read(cbm_safetensors_tensor(file, "a"), bits, sizeof bits), CBM_OK);
    assert_true(bits[0] == 0xc020 && bits[1] == 0xc020);
    cbm_safetensors_close(file);
    const char *twice[] = { "a", "a" };
    assert_int_equal(cbm_safetensors_write(cx, path, twice, tensors, 2, NULL), CBM_ERROR_INVALID);
    cbm_close(cx);
}

static void test_small_types_widen(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    unsigned char file[600];
    const unsigned char data[] = { 0x00, 0x3c, 0x01, 0x00, 0x00, 0xfc, /* f16: 1, 2^-24, -inf */
                                   0x80, 0x3f, 0xc0, 0xff,             /* bf16: 1, nan */
                                   0xfe, 0xff,                         /* i16: -2 */
                                   0xff, 0x80,                         /* i8: -1, -128 */
                                   0xff, 0xff, 0xff, 0xff,             /* u32 */
                                   2 };                                /* bool: any byte but 0 is true */
    size_t size = build(file,
                        "{\"h\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,6]},"
                        "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[6,10]},"
                        "\"i\":{\"dtype\":\"I16\",\"shape\":[],\"data_offsets\":[10,12]},"
                        "\"j\":{\"dtype\":\"I8\",\"shape\":[2],\"data_offsets\":[12,14]},"
                        "\"u\":{\"dtype\":\"U32\",\"shape\":[1],\"data_offsets\":[14,18]},"
                        "\"t\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[18,19]}}  ",
                        data, sizeof data, -1);
    cbm_safetensors *f = cbm_safetensors_open_memory(cx, file, size);
    assert_non_null(f);
    float h[3], b[2];
    cbm_tensor *half = cbm_safetensors_tensor(f, "b");
    assert_int_equal(cbm_read(cbm_safetensors_tensor(f, "h"), h, sizeof h), CBM_OK);
    assert_true(h[0] == 1.0f && h[1] == 0x1p-24f && h[2] < -1e38f);
    assert_int_equal(cbm_tensor_dtype(half), CBM_BF16);
    assert_int_equal(cbm_read(cbm_cast(half, CBM_F32), b, sizeof b), CBM_OK);
    assert_true(b[0] == 1.0f && b[1] != b[1]);
    assert_int_equal((int)cbm_item(cbm_safetensors_tensor(f, "i")), -2);
    int32_t j[2];
    assert_int_equal(cbm_read(cbm_safetensors_tensor(f, "j"), j, sizeof j), CBM_OK);
    assert_int_equal(j[1], -128);
    assert_true(cbm_item(cbm_safetensors_tensor(f, "u")) == 4294967295.0);
    assert_true(cbm_item(cbm_safetensors_tensor(f, "t")) == 1.0);
    cbm_safetensors_close(f);
    cbm_close(cx);
}

static const struct {
    const char *header;
    size_t data;
    long long length;
    const char *message;
} hostile[] = {
    { "{}", 0, 1000, "truncated" },
    { "{}", 0, 200000000, "neither a safetensors file" },
    { "{}", 0, INT64_MAX, "neither a safetensors file" },
    { "{}", 3, -1, "belong to no tensor" },
    { "", 0, -1, "begin with" },
    { " {}", 0, -1, "begin with" },
    { "{\"a\":", 0, -1, "not JSON" },
    { "{}}", 0, -1, "not JSON" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[[[[[1]]]]],\"data_offsets\":[0,4]}}", 4, -1, "deeply" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, -1, "9 dimensions" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, -1, "list of sizes" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, -1, "list of sizes" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,4]}}", 4, -1, "not JSON" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0, -1, "counted" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0, -1, "counted" },
    { "{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1, "unknown dtype 'F33'" },
    { "{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1, "unknown dtype" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, -1, "need 4" },
    { "{\"a\":{\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, -1, "need 0" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, -1, "[begin, end]" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, -1, "[begin, end]" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, -1, "[begin, end]" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, -1, "truncated" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, -1, "hole" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}",
      6, -1, "overlaps" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
      4, -1, "overlaps" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
      "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
      8, -1, "duplicate" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, -1, "exactly" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, -1, "exactly" },
    { "{\"a\":[1]}", 0, -1, "JSON object" },
    { "{\"%s%n\\u001b[31m\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, -1, "'%s%n?[31m'" },
    { "{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1, "not JSON" },
    { "{\"__metadata__\":[]}", 0, -1, "__metadata__" },
    { "{\"__metadata__\":{\"a\":1}}", 0, -1, "__metadata__" },
};

static void test_hostile_headers(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    unsigned char file[2000], data[16] = { 0 };
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; ++i) {
        size_t size = build(file, hostile[i].header, data, hostile[i].data, hostile[i].length);
        assert_null(cbm_safetensors_open_memory(cx, file, size));
        assert_int_equal(cbm_context_status(cx), CBM_ERROR_FORMAT);
        if (!strstr(cbm_message(cx), hostile[i].message))
            fail_msg("header %zu: '%s' is not in: %s", i, hostile[i].message, cbm_message(cx));
        cbm_clear(cx);
        const char *path = folder_path(state, "hostile.safetensors");
        folder_put(path, file, size);
        assert_null(cbm_safetensors_open(cx, path));
        if (!strstr(cbm_message(cx), hostile[i].message))
            fail_msg("header %zu in a file: '%s' is not in: %s", i, hostile[i].message, cbm_message(cx));
        cbm_clear(cx);
    }
    cbm_close(cx);
}

/* A header of nothing but a long list must be refused before it becomes a tree many times its size. */
static void test_long_list(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    size_t n = 4000000;
    unsigned char *file = malloc(8 + n);
    memset(file, 0, 8);
    for (int i = 0; i < 8; ++i)
        file[i] = (unsigned char)((uint64_t)n >> (8 * i));
    memcpy(file + 8, "{\"a\":[0", 7);
    for (size_t i = 7; i < n; i += 2)
        memcpy(file + 8 + i, ",0", i + 2 <= n ? 2 : 1);
    assert_null(cbm_safetensors_open_memory(cx, file, 8 + n));
    assert_non_null(strstr(cbm_message(cx), "too long"));
    free(file);
    cbm_close(cx);
}

static void test_every_truncation_and_flip(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const char *names[] = { "layer.weight", "layer.bias" };
    cbm_tensor *tensors[] = { cbm_ones(cx, CBM_F32, CBM_SHAPE(2, 2)), cbm_zeros(cx, CBM_F32, CBM_SHAPE(2)) };
    const char *path = folder_path(state, "a.safetensors");
    assert_int_equal(cbm_safetensors_write(cx, path, names, tensors, 2, NULL), CBM_OK);
    size_t size;
    unsigned char *bytes = folder_get(path, &size);
    for (size_t n = 0; n < size; ++n) {
        assert_null(cbm_safetensors_open_memory(cx, bytes, n));
        assert_int_equal(cbm_context_status(cx), CBM_ERROR_FORMAT);
        cbm_clear(cx);
    }
    for (size_t bit = 0; bit < 8 * size; ++bit) { /* a flip may leave a valid file; it must never do harm */
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
        CBM_SCOPE(scope, cx);
        cbm_safetensors *f = cbm_safetensors_open_memory(cx, bytes, size);
        cbm_file_tensor info;
        for (size_t i = 0; cbm_safetensors_at(f, i, &info); ++i)
            cbm_safetensors_tensor(f, info.name);
        cbm_safetensors_close(f);
        cbm_clear(cx);
        bytes[bit / 8] ^= (unsigned char)(1u << (bit % 8));
    }
    free(bytes);
    cbm_close(cx);
}

static void test_unreadable_type(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    unsigned char file[200], data[8] = { 0 };
    size_t size = build(file, "{\"a\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[0,8]}}", data, 8, -1);
    cbm_safetensors *f = cbm_safetensors_open_memory(cx, file, size);
    assert_non_null(f);
    assert_true(cbm_tensor_failed(cbm_safetensors_tensor(f, "a")));
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_UNSUPPORTED);
    cbm_close(cx); /* closes the file too */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_written_aligned, folder_make, folder_remove),
        cmocka_unit_test(test_small_types_widen),
        cmocka_unit_test_setup_teardown(test_hostile_headers, folder_make, folder_remove),
        cmocka_unit_test(test_long_list),
        cmocka_unit_test_setup_teardown(test_every_truncation_and_flip, folder_make, folder_remove),
        cmocka_unit_test(test_unreadable_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
