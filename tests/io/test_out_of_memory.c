/* Every allocation of reading, writing and loading data fails once: one message, no crash, nothing kept, and the same call
   works afterwards. */
#include "base/base.h"
#include "support/folder.h"
#include "tensor/context.h"
#include <cambium/cambium.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <cmocka.h>

enum { MOST = 2000 };

typedef struct bench {
    cbm_context *cx;
    void *const *state;
    cbm_module *net;
    cbm_optimizer *opt;
    cbm_dataset *dataset;
    cbm_loader *loader;
} bench;

static void save(bench *b)
{
    cbm_save(b->net, folder_path(b->state, "out.safetensors"));
}

static void load(bench *b)
{
    cbm_load(b->net, folder_path(b->state, "net.safetensors"));
}

static void checkpoint_save(bench *b)
{
    cbm_checkpoint c = { .module = b->net, .optimizer = b->opt, .loader = b->loader };
    cbm_checkpoint_save(folder_path(b->state, "out.ckpt"), &c);
}

static void checkpoint_load(bench *b)
{
    cbm_checkpoint c = { .module = b->net, .optimizer = b->opt, .loader = b->loader };
    cbm_checkpoint_load(folder_path(b->state, "run.ckpt"), &c);
}

/* PyTorch's files, in both forms. */
static void torch(bench *b)
{
    static const char *const paths[] = { CBM_SOURCE_DIR "/tests/io/data/checkpoint.pt",
                                         CBM_SOURCE_DIR "/tests/io/data/views-old.pt" };
    for (int i = 0; i < 2; i++) {
        cbm_safetensors *file = cbm_safetensors_open(b->cx, paths[i]);
        cbm_file_tensor t;
        for (size_t k = 0; cbm_safetensors_at(file, k, &t); k++)
            cbm_safetensors_tensor(file, t.name);
        cbm_safetensors_close(file);
    }
}

/* Names are listed anew, a graph and a fully convolutional network made and called. */
static void networks(bench *b)
{
    cbm_module *cell = cbm_nn_linear(b->cx, 4, 2);
    const cbm_graph_node nodes[] = {
        { .name = "state", .module = cell, .inputs = { "input", "prev:state" }, .initial = "input" },
        { .name = "twice", .inputs = { "state", "state" }, .join = CBM_JOIN_SUM },
    };
    cbm_module *graph = cbm_graph(b->cx, nodes, 2, .steps = 3);
    cbm_tensor_data(cbm_call(graph, cbm_ones(b->cx, CBM_F32, CBM_SHAPE(3, 2))));
    cbm_module *net =
        cbm_sequential(b->cx, cbm_nn_conv2d(b->cx, 1, 2, 3), cbm_nn_flatten(b->cx), cbm_nn_linear(b->cx, 8, 2));
    cbm_module *map = cbm_convolutionalize(net, CBM_SHAPE(1, 4, 4));
    cbm_tensor_data(cbm_call(map, cbm_ones(b->cx, CBM_F32, CBM_SHAPE(1, 1, 6, 6))));
    cbm_parameter_elements(net);
    cbm_module_release(map);
    cbm_module_release(net);
    cbm_module_release(graph);
}

static void npz(bench *b)
{
    cbm_npz *z = cbm_npz_open(b->cx, folder_path(b->state, "a.npz"));
    for (size_t i = 0; i < cbm_npz_count(z); ++i)
        cbm_npz_tensor(z, cbm_npz_name(z, i));
    cbm_npz_close(z);
}

static void npz_write(bench *b)
{
    cbm_tensor *t = cbm_zeros(b->cx, CBM_F32, CBM_SHAPE(2, 2));
    const char *name = "t";
    cbm_npz_write(b->cx, folder_path(b->state, "out.npz"), &name, &t, 1);
}

static void idx(bench *b)
{
    cbm_idx_read(b->cx, folder_path(b->state, "a.idx.gz"));
}

static void load_batches(bench *b)
{
    cbm_loader *l = cbm_loader_open(b->dataset, .batch_size = 2, .shuffle = true, .workers = 2);
    for (cbm_batch batch; cbm_next(l, &batch);)
        cbm_tensor_data(batch.input);
    cbm_loader_close(l);
}

static void make_dataset(bench *b)
{
    cbm_tensor *x = cbm_zeros(b->cx, CBM_F32, CBM_SHAPE(3, 2)), *y = cbm_zeros(b->cx, CBM_I64, CBM_SHAPE(3));
    cbm_dataset *d = cbm_dataset_tensors(b->cx, x, y);
    cbm_dataset_release(cbm_dataset_part(d, 1, 2));
    cbm_dataset_release(d);
}

static bench make(void *const *state)
{
    bench b = { .cx = cbm_open_with(.device = "reference", .threads = 1), .state = state };
    CBM_SCOPE(scope, b.cx);
    b.net = cbm_sequential(b.cx, cbm_nn_linear(b.cx, 2, 3), cbm_nn_batch_norm1d(b.cx, 3), CBM_END);
    b.opt = cbm_adam(b.net, .lr = 0.1);
    b.dataset =
        cbm_dataset_tensors(b.cx, cbm_ones(b.cx, CBM_F32, CBM_SHAPE(5, 2)), cbm_zeros(b.cx, CBM_I64, CBM_SHAPE(5)));
    b.loader = cbm_loader_open(b.dataset, .batch_size = 2, .workers = 0);
    cbm_save(b.net, folder_path(state, "net.safetensors"));
    cbm_checkpoint c = { .module = b.net, .optimizer = b.opt, .loader = b.loader };
    cbm_checkpoint_save(folder_path(state, "run.ckpt"), &c);
    const char *names[] = { "a", "b" };
    cbm_tensor *tensors[] = { cbm_ones(b.cx, CBM_F32, CBM_SHAPE(4)), cbm_zeros(b.cx, CBM_I64, CBM_SHAPE(2)) };
    cbm_npz_write(b.cx, folder_path(state, "a.npz"), names, tensors, 2);
    const unsigned char file[] = { 0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3 };
    gzFile packed = gzopen(folder_path(state, "a.idx.gz"), "wb");
    assert_int_equal(gzwrite(packed, file, sizeof file), (int)sizeof file);
    gzclose(packed);
    assert_string_equal(cbm_message(b.cx), "");
    return b;
}

static void fail_each(void **state, void (*body)(bench *b))
{
    bench b = make(state);
    cbm_heap *heap = cbm_context_heap(b.cx);
    for (int i = 0; i < 3; ++i) { /* plans are made, caches filled */
        CBM_SCOPE(scope, b.cx);
        body(&b);
        assert_string_equal(cbm_message(b.cx), "");
    }
    uint64_t before = cbm_context_statistics(b.cx).bytes_now;
    bool failed = true;
    int64_t n = 1;
    for (; failed && n < MOST; ++n) {
        {
            CBM_SCOPE(scope, b.cx);
            cbm_heap_fail_after(heap, n);
            body(&b);
            cbm_heap_fail_after(heap, 0);
        }
        failed = cbm_context_status(b.cx) != CBM_OK;
        if (failed && cbm_context_status(b.cx) != CBM_ERROR_MEMORY)
            fail_msg("allocation %lld: status %d, %s", (long long)n, cbm_context_status(b.cx), cbm_message(b.cx));
        cbm_clear(b.cx);
        if (failed && cbm_context_statistics(b.cx).bytes_now > before + 4096)
            fail_msg("allocation %lld: %lld bytes are kept", (long long)n,
                     (long long)(cbm_context_statistics(b.cx).bytes_now - before));
        CBM_SCOPE(scope, b.cx);
        body(&b);
        assert_string_equal(cbm_message(b.cx), "");
    }
    assert_in_range(n, 2, MOST - 1);
    assert_in_range(folder_count(*state), 4, 5); /* what make wrote, and one output at most: no temporary files */
    cbm_close(b.cx);
}

#define TEST(NAME)                                                                                                     \
    static void test_##NAME(void **state)                                                                              \
    {                                                                                                                  \
        fail_each(state, NAME);                                                                                        \
    }
TEST(save)
TEST(load)
TEST(torch)
TEST(networks)
TEST(checkpoint_save)
TEST(checkpoint_load)
TEST(npz)
TEST(npz_write)
TEST(idx)
TEST(load_batches)
TEST(make_dataset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_save, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_load, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_torch, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_networks, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_checkpoint_save, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_checkpoint_load, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_npz, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_npz_write, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_idx, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_load_batches, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(test_make_dataset, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
