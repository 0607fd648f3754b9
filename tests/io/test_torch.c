/* test_torch.c: PyTorch's own files of weights (those of make_torch.py), in both forms: names, types, extents, numbers,
   loading into modules; and hostile ones: pickles that call things, bombs, cuts, damaged bytes. Each is one clear message. */
#include "support/cases.h"
#include <cambium/cambium.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "support/status.h"

#define DATA CBM_SOURCE_DIR "/tests/io/data/"
static const char *const forms[] = { ".pt", "-old.pt" };

static cbm_safetensors *opened(cbm_context *cx, const char *name, int form)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s%s", DATA, name, forms[form]);
    cbm_safetensors *file = cbm_safetensors_open(cx, path);
    good(cx);
    return file;
}

static void holds(cbm_safetensors *file, const char *name, cbm_shape shape, const double *want)
{
    cbm_tensor *t = cbm_safetensors_tensor(file, name);
    cbm_tensor *wide = cbm_cast(t, CBM_F64);
    const double *got = cbm_tensor_data(wide);
    const cbm_shape is = cbm_tensor_shape(wide);
    assert_non_null(got);
    assert_true(cbm_shape_equal(&is, &shape));
    for (int64_t i = 0; i < cbm_tensor_count(wide); i++)
        if (got[i] != want[i])
            fail_msg("%s, element %d: %g is not %g", name, (int)i, got[i], want[i]);
}

#define S(...) CBM_SHAPE(__VA_ARGS__)

static void types(void **state)
{
    (void)state;
    static const struct {
        const char *name, *type;
        cbm_dtype dtype;
    } all[] = { { "bfloat16", "BF16", CBM_BF16 }, { "bool", "BOOL", CBM_BOOL },  { "float16", "F16", CBM_F32 },
                { "float32", "F32", CBM_F32 },    { "float64", "F64", CBM_F64 }, { "int16", "I16", CBM_I32 },
                { "int32", "I32", CBM_I32 },      { "int64", "I64", CBM_I64 },   { "int8", "I8", CBM_I32 },
                { "uint8", "U8", CBM_U8 } };
    for (int form = 0; form < 2; form++) {
        cbm_context *cx = cbm_open(NULL);
        cbm_safetensors *file = opened(cx, "types", form);
        assert_int_equal(cbm_safetensors_count(file), 10);
        assert_null(cbm_safetensors_metadata(file, "format"));
        for (size_t i = 0; i < 10; i++) {
            cbm_file_tensor t;
            double want[8];
            assert_true(cbm_safetensors_at(file, i, &t));
            assert_string_equal(t.name, all[i].name);
            assert_string_equal(t.type, all[i].type);
            assert_int_equal(t.dtype, all[i].dtype);
            for (int k = 0; k < 8; k++)
                want[k] = all[i].dtype == CBM_BOOL ? k % 2 == 0 : all[i].dtype == CBM_U8 ? abs(k - 3) : k - 3;
            holds(file, t.name, S(2, 4), want);
        }
        good(cx);
        cbm_close(cx);
    }
}

static void views(void **state)
{
    (void)state;
    double across[24], rows[12], columns[12], cube[24], whole[24];
    for (int i = 0; i < 24; i++) {
        whole[i] = i - 3;
        across[i] = i % 4 * 6 + i / 4 - 3;                /* (6, 4) of (4, 6) */
        cube[i] = i / 6 + i % 3 * 4 + i / 3 % 2 * 12 - 3; /* (4, 2, 3) of (2, 3, 4) */
    }
    for (int i = 0; i < 12; i++) {
        rows[i] = 6 + i - 3;
        columns[i] = i / 3 * 6 + i % 3 * 2 - 3;
    }
    for (int form = 0; form < 2; form++) {
        cbm_context *cx = cbm_open(NULL);
        cbm_safetensors *file = opened(cx, "views", form);
        assert_int_equal(cbm_safetensors_count(file), 7);
        holds(file, "same", S(4, 6), whole);
        holds(file, "transposed", S(6, 4), across);
        holds(file, "rows", S(2, 6), rows);
        holds(file, "columns", S(4, 3), columns);
        holds(file, "scalar", S(), (double[]){ 7.5 });
        holds(file, "cube", S(4, 2, 3), cube);
        cbm_file_tensor t;
        assert_true(cbm_safetensors_at(file, 2, &t)); /* columns, cube, nothing: in the order of names */
        assert_string_equal(t.name, "nothing");
        assert_int_equal(cbm_tensor_count(cbm_safetensors_tensor(file, "nothing")), 0);
        cbm_safetensors_close(file);
        good(cx);
        cbm_close(cx);
    }
}

static cbm_module *network(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_linear(cx, 3, 2), cbm_nn_batch_norm1d(cx, 2));
}

static void check_network(cbm_module *net)
{
    cbm_named named;
    for (size_t i = 0; cbm_state_at(net, i, &named); i++) {
        const double *got = cbm_tensor_data(cbm_cast(named.tensor, CBM_F64));
        good(net->cx);
        for (int64_t k = 0; k < cbm_tensor_count(named.tensor); k++)
            assert_true(got[k] == (double)k - 3 + 10 * (double)i);
    }
}

static void weights(void **state)
{
    (void)state;
    for (int form = 0; form < 2; form++) {
        cbm_context *cx = cbm_open(NULL);
        char path[512];
        cbm_module *net = network(cx), *other = network(cx), *third = network(cx);
        int64_t loaded = 0;
        snprintf(path, sizeof path, "%sstate%s", DATA, forms[form]);
        assert_int_equal(cbm_load(net, path, .loaded = &loaded), CBM_OK);
        assert_int_equal(loaded, 7);
        check_network(net);
        void *bytes;
        size_t size;
        assert_int_equal(cbm_read_file(cx, path, &bytes, &size), CBM_OK);
        assert_int_equal(cbm_load_memory(third, bytes, size), CBM_OK);
        check_network(third);
        cbm_file_free(cx, bytes, size);
        snprintf(path, sizeof path, "%scheckpoint%s", DATA, forms[form]);
        assert_int_equal(cbm_load(other, path, .prefix = "state_dict."), CBM_OK);
        check_network(other);
        other = network(cx);
        assert_int_equal(cbm_load(other, path), CBM_OK); /* found behind it all the same */
        check_network(other);
        cbm_safetensors *file = opened(cx, "checkpoint", form);
        assert_int_equal(cbm_safetensors_count(file), 7 + 3);
        holds(file, "optimizer.state.17.momentum", S(2), (double[]){ -3, -2 });
        holds(file, "parameter", S(2), (double[]){ -3, -2 });
        file = opened(cx, "ordered", form);
        holds(file, "a", S(3), (double[]){ -3, -2, -1 });
        /* With names that the network lacks nothing changes. */
        assert_int_equal(cbm_load(other, path, .prefix = "optimizer."), CBM_ERROR_INVALID);
        assert_non_null(strstr(cbm_message(cx), "unexpected in the file"));
        cbm_clear(cx);
        check_network(other);
        cbm_close(cx);
    }
}

/* ---- hostile files ---- */

static void refuses(const void *bytes, size_t size, const char *part)
{
    cbm_context *cx = cbm_open(NULL);
    assert_null(cbm_safetensors_open_memory(cx, bytes, size));
    if (!strstr(cbm_message(cx), part))
        fail_msg("'%s' does not say '%s'", cbm_message(cx), part);
    cbm_close(cx);
}

/* The older form's beginning, then a pickle that stands where the weights would. */
static void refuses_pickle(const char *pickle, size_t length, const char *part)
{
    static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                               "\x80\x02M\xe9\x03."
                               "\x80\x02}.";
    char bytes[4096];
    memcpy(bytes, head, sizeof head - 1);
    memcpy(bytes + sizeof head - 1, pickle, length);
    size_t size = sizeof head - 1 + length;
    memcpy(bytes + size, "\x80\x02].", 4);
    refuses(bytes, size + 4, part);
}
#define PICKLE(text, part) refuses_pickle(text, sizeof text - 1, part)

static void hostile_pickles(void **state)
{
    (void)state;
    PICKLE("\x80\x02"
           "cposix\nsystem\nX\x08\0\0\0rm -rf /\x85R.",
           "it wants to call 'posix.system', which no file of weights needs. Nothing was executed");
    PICKLE("\x80\x04\x8c\x08"
           "builtins\x8c\x04"
           "eval\x93\x8c\x01"
           "1\x85R.",
           "'builtins.eval'");
    PICKLE("\x80\x02"
           "cevil\n\x1b[2Jname\n.",
           "'evil.?[2Jname'");
    PICKLE("\x80\x02"
           "ctorch\nFloatStorage\n)R.",
           "it calls a type");
    PICKLE("\x80\x02"
           "cpickle",
           "a name does not end");
    PICKLE("\x80\x02}", "damaged"); /* takes what follows for its own */
    PICKLE("\x80\x02R.", "it takes what is not there");
    PICKLE("\x80\x02(\x85.", "it holds no dictionary of tensors");
    PICKLE("\x80\x02u.", "a mark is missing");
    PICKLE("\x80\x02(u.", "a container is missing");
    PICKLE("\x80\x02}(K\x01u.", "a container is not what it should be");
    PICKLE("\x80\x02h\x05.", "it recalls what it does not remember");
    PICKLE("\x80\x02r\xff\xff\xff\xff.", "it takes what is not there");
    PICKLE("\x80\x02Nr\xff\xff\xff\xff.", "it remembers too much");
    PICKLE("\x80\x02X\xff\xff\xff\x7f.", "a text ends behind it");
    PICKLE("\x80\x02\x8b\xff\xff\xff\xff.", "a number ends behind it");
    PICKLE("\x80\x09N.", "its protocol is unknown");
    PICKLE("\x80\x02I1\n.", "opcode 0x49");
    PICKLE("\x80\x02N.", "it holds no dictionary of tensors");
    PICKLE("\x80\x02}.", "it holds no tensor");
    PICKLE("\x80\x02}q\0X\x01\0\0\0ah\0s.", "its dictionaries are too deep"); /* holds itself */
    PICKLE("\x80\x02NK\x01"
           "b.",
           "it gives attributes to a value");
#define STORAGE(count)                                                                                                 \
    "(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"                                                             \
    "0X\x03\0\0\0cpuK" count "tQ"
#define TENSOR(offset, shape, stride)                                                                                  \
    "\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(" STORAGE("\x04") "K" offset shape stride "\x89}tRs."
    PICKLE(TENSOR("\0", "K\x04\x85", "K\x01\x85"), "tensor 'w' does not lie in its storage"); /* which is not there */
    PICKLE(TENSOR("\0", "K\x04\x85", ")"), "a tensor lies where there is nothing");
    PICKLE(TENSOR("\0", "J\xff\xff\xff\xff\x85", "K\x01\x85"), "an extent is negative");
    PICKLE(TENSOR("\0", "(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t", ")"), "9 dimensions; 8 are possible");
}

/* Dictionaries that hold the one before twenty times, over fourteen floors: a few kilobytes that stand for 20^14 entries. */
static void laughing_dictionaries(void **state)
{
    (void)state;
    char pickle[4000] = "\x80\x02}q\1";
    size_t n = 5;
    for (int floor = 1; floor <= 14; floor++) {
        pickle[n++] = '0';
        pickle[n++] = '}';
        for (int i = 0; i < 20; i++)
            n += (size_t)sprintf(pickle + n, "K%ch%cs", (char)(i + 65), (char)floor);
        pickle[n++] = 'q';
        pickle[n++] = (char)(floor + 1);
    }
    pickle[n++] = '.';
    refuses_pickle(pickle, n, "its dictionaries hold more than 131072 tensors");
}

/* Names are kept whole or refused. */
static void long_names(void **state)
{
    (void)state;
    char pickle[1000] = "\x80\x02}X\x58\x02";
    memset(pickle + 8, 'a', 600);
    memcpy(pickle + 608, "}s.", 3);
    refuses_pickle(pickle, 611, "a name is too long");
}

/* A pickle as TENSOR, then a storage "0" of four numbers. */
static void refuses_tensor(const char *pickle, size_t length, const char *part)
{
    static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                               "\x80\x02M\xe9\x03."
                               "\x80\x02}.";
    static const char tail[] = "\x80\x02]X\x01\0\0\0"
                               "0a.\x04\0\0\0\0\0\0\0aaaabbbbccccdddd";
    char bytes[4096];
    size_t size = sizeof head - 1;
    memcpy(bytes, head, size);
    memcpy(bytes + size, pickle, length);
    memcpy(bytes + size + length, tail, sizeof tail - 1);
    size += length + sizeof tail - 1;
    if (part) {
        refuses(bytes, size, part);
        return;
    }
    cbm_context *cx = cbm_open(NULL);
    cbm_safetensors *file = cbm_safetensors_open_memory(cx, bytes, size);
    good(cx);
    assert_memory_equal(cbm_tensor_data(cbm_safetensors_tensor(file, "w")), "aaaabbbbccccdddd", 16);
    cbm_close(cx);
    for (size_t cut = 0; cut < size; cut++) { /* whatever is missing */
        char *copy = malloc(cut + 1);
        memcpy(copy, bytes, cut);
        cx = cbm_open(NULL);
        assert_null(cbm_safetensors_open_memory(cx, copy, cut));
        assert_int_not_equal(cbm_context_status(cx), CBM_OK);
        cbm_close(cx);
        free(copy);
    }
}
#define HELD(offset, shape, stride, part)                                                                              \
    refuses_tensor(TENSOR(offset, shape, stride), sizeof TENSOR(offset, shape, stride) - 1, part)

static void tensors_in_storages(void **state)
{
    (void)state;
    HELD("\0", "K\x02K\x02\x86", "K\x02K\x01\x86", NULL);
    HELD("\x01", "K\x04\x85", "K\x01\x85", "does not lie in its storage");
    HELD("\0", "K\x02\x85", "K\x04\x85", "does not lie in its storage");
    HELD("\0", "K\x05\x85", "K\0\x85", "does not lie in its storage"); /* more than there is, by not moving on */
    HELD("\0", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7fK\x04\x86", "K\x01K\x01\x86", "does not lie in its storage");
    HELD("\0", "K\x02\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85", "does not lie in its storage");
}

/* Real files, cut off and with each byte changed: an error or what they were, never a crash. */
static void damaged_files(void **state)
{
    (void)state;
    static const char *const names[] = { "state.pt", "checkpoint-old.pt", "views.pt" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cbm_context *cx = cbm_open(NULL);
        char path[512];
        void *bytes;
        size_t size;
        snprintf(path, sizeof path, DATA "%s", names[i]);
        assert_int_equal(cbm_read_file(cx, path, &bytes, &size), CBM_OK);
        uint8_t *copy = malloc(size);
        int refused_files = 0;
        for (size_t k = 0; k < 2 * size; k++) {
            memcpy(copy, bytes, size);
            const size_t length = k < size ? k : size;
            if (k >= size)
                copy[k - size] ^= 1u << k % 8;
            cbm_context *one = cbm_open(NULL);
            cbm_safetensors *file = cbm_safetensors_open_memory(one, copy, length);
            for (size_t t = 0; t < cbm_safetensors_count(file); t++) {
                cbm_file_tensor at;
                cbm_safetensors_at(file, t, &at);
                (void)cbm_tensor_data(cbm_safetensors_tensor(file, at.name));
            }
            refused_files += cbm_context_status(one) != CBM_OK;
            cbm_close(one);
        }
        assert_true(refused_files >= (int)size);
        free(copy);
        cbm_file_free(cx, bytes, size);
        cbm_close(cx);
    }
}

static void other_files(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    assert_null(cbm_safetensors_open(cx, DATA "module.pt"));
    assert_non_null(strstr(cbm_message(cx), "it wants to call 'torch.nn.modules.container.Sequential'"));
    assert_non_null(strstr(cbm_message(cx), "HINT: in PyTorch, torch.save(model.state_dict(), path)"));
    cbm_clear(cx);
    cbm_tensor *one = cbm_ones(cx, CBM_F32, S(2));
    const char *name = "a";
    assert_int_equal(cbm_npz_write(cx, "test_torch.npz", &name, &one, 1), CBM_OK);
    assert_null(cbm_safetensors_open(cx, "test_torch.npz"));
    assert_non_null(strstr(cbm_message(cx), "it is a zip archive without data.pkl"));
    remove("test_torch.npz");
    cbm_close(cx);
}

/* Names that point out of their folder are names like others: nothing is unpacked, and nothing outside is read. */
static void path_tricks(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_safetensors *file = cbm_safetensors_open(cx, DATA "members-outside.pt");
    good(cx);
    holds(file, "b", S(2), (double[]){ -3, -2 });
    holds(file, "a", S(3), (double[]){ -3, -2, -1 });
    cbm_safetensors_close(file);
    assert_null(cbm_safetensors_open(cx, DATA "storage-outside.pt"));
    assert_non_null(strstr(cbm_message(cx), "it lacks 'ordered/data/../../../../../../../../etc/hostname'"));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types),
        cmocka_unit_test(views),
        cmocka_unit_test(weights),
        cmocka_unit_test(hostile_pickles),
        cmocka_unit_test(laughing_dictionaries),
        cmocka_unit_test(long_names),
        cmocka_unit_test(tensors_in_storages),
        cmocka_unit_test(damaged_files),
        cmocka_unit_test(path_tricks),
        cmocka_unit_test(other_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
