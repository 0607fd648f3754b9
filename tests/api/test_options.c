/* test_options.c: each options struct's _init function gives what the macro's defaults give: a size, and the same bytes. Other
   languages start from them. */
#include <cambium/cambium.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* The struct size stands first, and what is made with it is accepted by the library. */
#define SAME(type_, ...) SAME_BUT(type_, , __VA_ARGS__)
/* Of a text, two literals of the same letters are the same. */
#define SAME_WITH_TEXT(type_, field_, ...)                                                                             \
    SAME_BUT(type_, assert_string_equal(o.field_, want.field_); want.field_ = o.field_;, __VA_ARGS__)
#define SAME_BUT(type_, texts_, ...)                                                                                   \
    do {                                                                                                               \
        type_ o, want;                                                                                                 \
        memset(&o, 0xAA, sizeof o);                                                                                    \
        memset(&want, 0, sizeof want);                                                                                 \
        type_##_init(&o);                                                                                              \
        const type_ defaults = { .struct_size = sizeof(type_), __VA_ARGS__ };                                          \
        want = defaults;                                                                                               \
        assert_int_equal(o.struct_size, sizeof o);                                                                     \
        texts_ assert_memory_equal(&o, &want, sizeof o);                                                               \
    } while (0)

static void test_defaults(void **state)
{
    (void)state;
    SAME(cbm_nn_linear_options, CBM_NN_LINEAR_DEFAULTS);
    SAME(cbm_nn_conv_options, CBM_NN_CONV_DEFAULTS);
    SAME(cbm_nn_conv_transpose_options, CBM_NN_CONV_TRANSPOSE_DEFAULTS);
    SAME(cbm_nn_pool_options, CBM_NN_POOL_DEFAULTS);
    SAME(cbm_nn_recurrent_options, CBM_NN_RECURRENT_DEFAULTS);
    SAME(cbm_nn_cell_options, CBM_NN_CELL_DEFAULTS);
    SAME(cbm_nn_embedding_options, CBM_NN_EMBEDDING_DEFAULTS);
    SAME(cbm_nn_upsample_options, CBM_NN_UPSAMPLE_DEFAULTS);
    SAME(cbm_nn_instance_norm_options, CBM_NN_INSTANCE_NORM_DEFAULTS);
    SAME(cbm_nn_group_norm_options, CBM_NN_GROUP_NORM_DEFAULTS);
    SAME(cbm_nn_layer_norm_options, CBM_NN_LAYER_NORM_DEFAULTS);
    SAME(cbm_nn_rms_norm_options, CBM_NN_RMS_NORM_DEFAULTS);
    SAME(cbm_nn_local_response_norm_options, CBM_NN_LOCAL_RESPONSE_NORM_DEFAULTS);
    SAME(cbm_lbfgs_options, CBM_LBFGS_DEFAULTS);
    SAME_WITH_TEXT(cbm_context_options, device, CBM_CONTEXT_DEFAULTS);
    SAME(cbm_nn_batch_norm_options, CBM_NN_BATCH_NORM_DEFAULTS);
    SAME(cbm_sgd_options, CBM_SGD_DEFAULTS);
    SAME(cbm_adam_options, CBM_ADAM_DEFAULTS);
    SAME(cbm_adamw_options, CBM_ADAMW_DEFAULTS);
    SAME(cbm_adamax_options, CBM_ADAMAX_DEFAULTS);
    SAME(cbm_nadam_options, CBM_NADAM_DEFAULTS);
    SAME(cbm_radam_options, CBM_RADAM_DEFAULTS);
    SAME(cbm_rmsprop_options, CBM_RMSPROP_DEFAULTS);
    SAME(cbm_adagrad_options, CBM_ADAGRAD_DEFAULTS);
    SAME(cbm_adadelta_options, CBM_ADADELTA_DEFAULTS);
    SAME(cbm_rprop_options, CBM_RPROP_DEFAULTS);
    SAME_WITH_TEXT(cbm_dataset_options, name, CBM_DATASET_DEFAULTS);
    SAME(cbm_loader_options, CBM_LOADER_DEFAULTS);
    SAME(cbm_image_options, CBM_IMAGE_DEFAULTS);
    SAME(cbm_cifar_options, CBM_CIFAR_DEFAULTS);
    SAME_WITH_TEXT(cbm_csv_options, missing, CBM_CSV_DEFAULTS);
    SAME(cbm_table_dataset_options, CBM_TABLE_DATASET_DEFAULTS);
    SAME(cbm_libsvm_options, CBM_LIBSVM_DEFAULTS);
    SAME(cbm_load_options, CBM_LOAD_DEFAULTS);
    SAME(cbm_fit_options, CBM_FIT_DEFAULTS);
    SAME_WITH_TEXT(cbm_session_options, device, CBM_SESSION_DEFAULTS);
}

static void test_they_are_accepted(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_nn_conv_options conv;
    cbm_nn_conv_options_init(&conv);
    cbm_module *m = cbm_nn_conv2d_with(cx, 2, 3, 3, &conv);
    cbm_sgd_options sgd;
    cbm_sgd_options_init(&sgd);
    sgd.lr = 0.1;
    assert_int_equal(cbm_optimizer_parameter_count(cbm_sgd_with(m, &sgd)), 2);
    assert_int_equal(cbm_context_status(cx), CBM_OK);
    conv.struct_size = 8;
    assert_true(cbm_nn_conv2d_with(cx, 2, 3, 3, &conv)->failed);
    assert_int_equal(cbm_context_status(cx), CBM_ERROR_INVALID);
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_they_are_accepted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
