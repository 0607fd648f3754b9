/* test_index_functions.c: indexing, selections whose shape depends on values, order and counts, embeddings: public functions
   against PyTorch's values and gradients. */
#define CBM_NO_CALL_SITES
#include "support/functions.h"
#include <cambium/ops.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define INT(name_) function_int(c, name_)
#define FLOAT(name_) function_float(c, name_)
#define FUNCTION(name_, expression_)                                                                                   \
    static size_t name_(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)                    \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        (void)cx;                                                                                                      \
        out[0] = (expression_);                                                                                        \
        return 1;                                                                                                      \
    }
FUNCTION(take, cbm_take(in[0], in[1]))
FUNCTION(take_along_dim, cbm_take_along_dim(in[0], in[1], INT("axis")))
FUNCTION(index_select, cbm_index_select(in[0], INT("axis"), in[1]))
FUNCTION(index_add, cbm_index_add(in[0], INT("axis"), in[1], in[2], FLOAT("alpha")))
FUNCTION(index_copy, cbm_index_copy(in[0], INT("axis"), in[1], in[2]))
FUNCTION(index_fill, cbm_index_fill(in[0], INT("axis"), in[1], FLOAT("value")))
FUNCTION(scatter, cbm_scatter(in[0], INT("axis"), in[1], in[2]))
FUNCTION(scatter_value, cbm_scatter_value(in[0], INT("axis"), in[1], FLOAT("value")))
FUNCTION(scatter_reduce,
         cbm_scatter_reduce(in[0], INT("axis"), in[1], in[2], (cbm_scatter_how)INT("how"), INT("include_self") != 0))
FUNCTION(masked_fill, cbm_masked_fill(in[0], in[1], FLOAT("value")))
FUNCTION(masked_select, cbm_masked_select(in[0], in[1]))
FUNCTION(nonzero, cbm_nonzero(in[0]))
FUNCTION(repeat_interleave_each, cbm_repeat_interleave_each(in[0], INT("axis"), in[1]))
FUNCTION(argsort, cbm_argsort(in[0], INT("axis"), INT("descending") != 0))
FUNCTION(searchsorted, cbm_searchsorted(in[0], in[1], INT("right") != 0))
FUNCTION(bucketize, cbm_bucketize(in[0], in[1], INT("right") != 0))
FUNCTION(embedding, cbm_embedding(in[0], in[1], INT("padding")))

static size_t nonzero_axes(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    (void)c;
    (void)cx;
    return cbm_nonzero_axes(in[0], out, CBM_MAX_OUTPUTS);
}

static size_t sort(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    (void)cx;
    out[0] = cbm_sort(in[0], INT("axis"), INT("descending") != 0, &out[1]);
    return 2;
}

static size_t topk(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    const cbm_topk_options o = { sizeof o, INT("axis"), (uint64_t)INT("largest"), 1 };
    (void)cx;
    out[0] = cbm_topk_with(in[0], INT("k"), &out[1], &o);
    return 2;
}

static size_t kthvalue(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    (void)cx;
    out[0] = cbm_kthvalue(in[0], INT("k"), INT("axis"), &out[1]);
    return 2;
}

static size_t unique(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    (void)c;
    (void)cx;
    out[0] = cbm_unique(in[0], &out[1], &out[2]);
    return 3;
}

static size_t bincount(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    const cbm_bincount_options o = { sizeof o, c->n_in > 1 ? in[1] : NULL, 0, INT("minlength") };
    (void)cx;
    out[0] = cbm_bincount_with(in[0], &o);
    return 1;
}

static cbm_histogram_options histogram_options(const op_case *c, cbm_tensor *const *in)
{
    return (cbm_histogram_options){ sizeof(cbm_histogram_options), c->n_in > 1 ? in[1] : NULL, FLOAT("low"),
                                    FLOAT("high"), (uint64_t)INT("density") };
}

static size_t histogram(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    const cbm_histogram_options o = histogram_options(c, in);
    (void)cx;
    out[0] = cbm_histogram_with(in[0], INT("bins"), &out[1], &o);
    return 2;
}

static size_t histogram_edges(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    cbm_histogram_options o = histogram_options(c, in);
    (void)cx;
    o.weights = NULL;
    out[0] = cbm_histogram_edges_with(in[0], in[1], &o);
    return 1;
}

static size_t embedding_bag(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    size_t next = 2;
    cbm_embedding_bag_options o = { .struct_size = sizeof o };
    (void)cx;
    o.offsets = INT("fixed") ? NULL : in[next++];
    o.per_sample_weights = INT("weighted") ? in[next] : NULL;
    o.mode = (uint64_t)INT("mode");
    o.include_last_offset = (uint64_t)INT("last");
    o.padding_idx = INT("padding");
    out[0] = cbm_embedding_bag_with(in[0], in[1], &o);
    return 1;
}

static const function_entry indexing[] = {
    { "take", take },
    { "take_along_dim", take_along_dim },
    { "index_select", index_select },
    { "index_add", index_add },
    { "index_copy", index_copy },
    { "index_fill", index_fill },
    { "scatter", scatter },
    { "scatter_value", scatter_value },
    { "scatter_reduce", scatter_reduce },
    { "masked_fill", masked_fill },
    { "masked_select", masked_select },
    { "nonzero", nonzero },
    { "nonzero_axes", nonzero_axes },
    { "repeat_interleave_each", repeat_interleave_each },
};
static const function_entry sorting[] = {
    { "sort", sort },
    { "argsort", argsort },
    { "topk", topk },
    { "kthvalue", kthvalue },
    { "unique", unique },
    { "searchsorted", searchsorted },
    { "bucketize", bucketize },
    { "bincount", bincount },
    { "weighted bincount", bincount },
    { "histogram", histogram },
    { "histogram_edges", histogram_edges },
};
static const function_entry embeddings[] = { { "embedding", embedding }, { "embedding_bag", embedding_bag } };

#define AS_IN_PYTORCH(family_)                                                                                         \
    static void family_##_as_in_pytorch(void **state)                                                                  \
    {                                                                                                                  \
        (void)state;                                                                                                   \
        assert_int_equal(check_functions(VALUES_##family_, family_, sizeof(family_) / sizeof *(family_)), 0);          \
    }
#define FOLDER CBM_SOURCE_DIR "/tests/reference/functions/"
#define VALUES_indexing FOLDER "index.bin"
#define VALUES_sorting FOLDER "sort.bin"
#define VALUES_embeddings FOLDER "embedding.bin"
AS_IN_PYTORCH(indexing)
AS_IN_PYTORCH(sorting)
AS_IN_PYTORCH(embeddings)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexing_as_in_pytorch),
        cmocka_unit_test(sorting_as_in_pytorch),
        cmocka_unit_test(embeddings_as_in_pytorch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
