/* test_attention.c: multi-head attention and transformers against PyTorch's (attention.safetensors, from make_attention.py);
   planned against naive; the memory of long sequences; dropout; names; every error. */
#include <cambium/cambium.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "support/module_case.h"
#include "support/status.h"

#define DATA CBM_SOURCE_DIR "/tests/nn/data/attention.safetensors"
enum { WIDTH = 6, HEADS = 3, FF = 8 };

/* ---- against PyTorch ---- */

#define MAKER(name, ...)                                                                                               \
    static cbm_module *name(cbm_context *cx, int64_t t)                                                                \
    {                                                                                                                  \
        return __VA_ARGS__;                                                                                            \
    }
#define MHA(...) cbm_nn_multihead_attention(cx, WIDTH, HEADS, .dtype = t, __VA_ARGS__)
MAKER(batch_first, MHA(.batch_first = true))
MAKER(time_first, MHA(.batch_first = false))
MAKER(no_bias, MHA(.bias = false, .batch_first = true))
MAKER(three_widths, MHA(.kdim = 4, .vdim = 7))
#define LAYER(maker, ...)                                                                                              \
    maker(cx, WIDTH, HEADS, .dim_feedforward = FF, .dropout = 0, .dtype = t, .batch_first = true, __VA_ARGS__)
MAKER(encoder_layer, LAYER(cbm_nn_transformer_encoder_layer, .norm_first = false))
MAKER(encoder_norm_first, LAYER(cbm_nn_transformer_encoder_layer, .activation = CBM_TRANSFORMER_GELU,
                                .norm_first = true, .batch_first = false))
MAKER(encoder_no_bias, LAYER(cbm_nn_transformer_encoder_layer, .bias = false, .layer_norm_eps = 0.1))
MAKER(encoder, cbm_nn_transformer_encoder(cx, WIDTH, HEADS, 2, .dim_feedforward = FF, .dropout = 0, .dtype = t,
                                          .batch_first = true, .norm_first = true, .final_norm = true))
MAKER(decoder_layer, LAYER(cbm_nn_transformer_decoder_layer, .batch_first = false))
MAKER(decoder_norm_first,
      LAYER(cbm_nn_transformer_decoder_layer, .norm_first = true, .activation = CBM_TRANSFORMER_GELU))
MAKER(decoder, cbm_nn_transformer_decoder(cx, WIDTH, HEADS, 2, .dim_feedforward = FF, .dropout = 0, .dtype = t,
                                          .batch_first = true))

MAKER(transformer,
      cbm_nn_transformer(cx, WIDTH, HEADS, 2, 1, .dim_feedforward = FF, .dropout = 0, .dtype = t, .batch_first = true))
MAKER(transformer_norm_first, cbm_nn_transformer(cx, WIDTH, HEADS, 2, 1, .dim_feedforward = FF, .dropout = 0,
                                                 .dtype = t, .norm_first = true, .activation = CBM_TRANSFORMER_GELU))

typedef struct stored {
    const char *name;
    cbm_module *(*make)(cbm_context *cx, int64_t dtype);
    bool causal, weights, per_head;
} stored;
static const stored attentions[] = {
    { "self", batch_first, false, false, false },
    { "time_first", time_first, false, false, false },
    { "no_bias", no_bias, true, false, false },
    { "unbatched", time_first, false, false, false },
    { "cross", batch_first, false, false, false },
    { "three_widths", three_widths, false, false, false },
    { "head_masks", batch_first, false, false, false },
    { "added_masks", batch_first, false, false, false },
    { "weights", batch_first, false, true, false },
    { "head_weights", time_first, false, true, true },
    { "unbatched_weights", time_first, false, true, false },
};
static const stored transformers[] = {
    { "encoder_layer", encoder_layer, false, false, false },
    { "encoder_norm_first", encoder_norm_first, false, false, false },
    { "encoder_no_bias", encoder_no_bias, false, false, false },
    { "encoder", encoder, false, false, false },
    { "decoder_layer", decoder_layer, false, false, false },
    { "decoder_norm_first", decoder_norm_first, false, false, false },
    { "decoder", decoder, true, false, false },
};

static const stored pairs[] = {
    { "transformer", transformer, true, false, false },
    { "transformer_masks", transformer_norm_first, false, false, false },
};

static cbm_tensor *mask(module_case *c, const char *name)
{
    cbm_tensor *t = module_case_tensor(c, name);
    return t && cbm_tensor_dtype(t) == CBM_I64 ? cbm_cast(t, CBM_BOOL) : t;
}

static void follow_attention(const stored *s, const char *device, cbm_dtype dtype, double limit)
{
    static const char *const names[] = { "x", "key", "value" };
    module_case c = module_case_open(DATA, s->name, device, dtype, limit);
    cbm_module *net = s->make(c.cx, dtype);
    module_case_load(&c, net);
    cbm_tensor *const in[] = { module_case_tensor(&c, "x"), module_case_tensor(&c, "key"),
                               module_case_tensor(&c, "value") };
    const cbm_attention_result r =
        cbm_attention_call(net, in[0], .key = in[1], .value = in[2], .key_padding_mask = mask(&c, "key_padding_mask"),
                           .attn_mask = s->causal ? NULL : mask(&c, "attn_mask"), .causal = s->causal,
                           .need_weights = s->weights, .per_head = s->per_head);
    good(c.cx);
    module_case_output(&c, "output", r.output);
    if (s->weights)
        module_case_output(&c, "weights", r.weights);
    else
        assert_null(r.weights);
    module_case_backward(&c, net, names, in, 3);
    module_case_close(&c);
}

static void follow_transformer(const stored *s, const char *device, cbm_dtype dtype, double limit)
{
    static const char *const names[] = { "x", "memory" };
    module_case c = module_case_open(DATA, s->name, device, dtype, limit);
    cbm_module *net = s->make(c.cx, dtype);
    module_case_load(&c, net);
    cbm_tensor *const in[] = { module_case_tensor(&c, "x"), module_case_tensor(&c, "memory") };
    cbm_tensor *y = cbm_transformer_call(
        net, in[0], .memory = in[1], .causal = s->causal, .mask = s->causal ? NULL : mask(&c, "mask"),
        .key_padding_mask = mask(&c, "key_padding_mask"), .memory_mask = mask(&c, "memory_mask"),
        .memory_key_padding_mask = mask(&c, "memory_key_padding_mask"));
    good(c.cx);
    module_case_output(&c, "output", y);
    module_case_backward(&c, net, names, in, 2);
    module_case_close(&c);
}

static void follow_pair(const stored *s, const char *device, cbm_dtype dtype, double limit)
{
    static const char *const names[] = { "x", "target" };
    module_case c = module_case_open(DATA, s->name, device, dtype, limit);
    cbm_module *net = s->make(c.cx, dtype);
    module_case_load(&c, net);
    cbm_tensor *const in[] = { module_case_tensor(&c, "x"), module_case_tensor(&c, "target") };
    cbm_tensor *y = cbm_encode_decode(
        net, in[0], in[1], .source_mask = mask(&c, "src_mask"),
        .source_key_padding_mask = mask(&c, "src_key_padding_mask"),
        .target_mask = s->causal ? NULL : mask(&c, "tgt_mask"), .target_causal = s->causal,
        .target_key_padding_mask = mask(&c, "tgt_key_padding_mask"), .memory_mask = mask(&c, "memory_mask"),
        .memory_key_padding_mask = mask(&c, "memory_key_padding_mask"));
    good(c.cx);
    module_case_output(&c, "output", y);
    module_case_backward(&c, net, names, in, 2);
    module_case_close(&c);
}

static void agrees_with_pytorch(void **state)
{
    (void)state;
    static const struct {
        const char *device;
        cbm_dtype dtype;
        double limit;
    } modes[] = { { "reference", CBM_F64, 1e-11 },
                  { "reference", CBM_F32, 4e-6 },
                  { "cpu", CBM_F32, 4e-6 },
                  { "cpu", CBM_F64, 1e-11 } };
    for (size_t k = 0; k < sizeof modes / sizeof *modes; k++) {
        for (size_t i = 0; i < sizeof attentions / sizeof *attentions; i++)
            follow_attention(&attentions[i], modes[k].device, modes[k].dtype, modes[k].limit);
        for (size_t i = 0; i < sizeof transformers / sizeof *transformers; i++)
            follow_transformer(&transformers[i], modes[k].device, modes[k].dtype, modes[k].limit);
        for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
            follow_pair(&pairs[i], modes[k].device, modes[k].dtype, modes[k].limit);
    }
}

static void positions(void **state)
{
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        const cbm_dtype dtype = wide ? CBM_F64 : CBM_F32;
        module_case c = module_case_open(DATA, "positions", "cpu", dtype, wide ? 1e-14 : 1e-6);
        module_case_output(&c, "output", cbm_sinusoidal_positions(c.cx, dtype, 7, 5));
        cbm_tensor *want = cbm_sinusoidal_positions(c.cx, dtype, 7, 5),
                   *zero = cbm_zeros(c.cx, dtype, CBM_SHAPE(2, 7, 5));
        cbm_module *first = cbm_nn_positional_encoding(c.cx, 5, .max_length = 9, .batch_first = true, .dtype = dtype);
        cbm_module *last = cbm_nn_positional_encoding(c.cx, 5, .max_length = 7, .dtype = dtype);
        module_case_output(&c, "output", cbm_reshape(cbm_slice(cbm_call(first, zero), 0, 1, 2, 1), CBM_SHAPE(7, 5)));
        module_case_output(&c, "output", cbm_sub(cbm_call(last, want), want));
        zero = cbm_reshape(zero, CBM_SHAPE(7, 2, 5));
        module_case_output(&c, "output", cbm_reshape(cbm_slice(cbm_call(last, zero), 1, 1, 2, 1), CBM_SHAPE(7, 5)));
        assert_int_equal(cbm_parameter_count(first), 0);
        assert_int_equal(cbm_state_count(first), 1);
        module_case_close(&c);
    }
}

/* ---- planned and naive ---- */

/* Losses of some steps of training on the copying of shifted sequences. */
static void train(bool naive, const char *device, int steps, double dropout, double *losses)
{
    cbm_context *cx = cbm_open_with(.naive = naive, .device = device, .threads = 2, .seed = 6);
    cbm_module *net = cbm_nn_transformer_encoder(cx, 16, 2, 2, .dim_feedforward = 24, .dropout = dropout,
                                                 .batch_first = true, .norm_first = true, .final_norm = true);
    cbm_optimizer *opt = cbm_adam(net, .lr = 0.01);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(3, 11, 16), 0, 1), false);
    for (int i = 0; i < steps; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *y = cbm_transformer_call(net, x, .causal = true);
        cbm_tensor *loss = cbm_mse(cbm_slice(y, 1, 1, 11, 1), cbm_slice(x, 1, 0, 10, 1));
        cbm_backward(loss);
        cbm_step(opt);
        losses[i] = cbm_item(loss);
    }
    good(cx);
    cbm_close(cx);
}

static void planned_is_naive(void **state)
{
    (void)state;
    double planned[6], naive[6], plain[6], again[6], long_run[60];
    train(false, "cpu", 6, 0.2, planned);
    train(true, "cpu", 6, 0.2, naive);
    train(false, "cpu", 6, 0.2, again);
    train(false, "reference", 6, 0.2, plain);
    assert_memory_equal(planned, again, sizeof planned);
    for (int i = 0; i < 6; i++) {
        assert_true(fabs(planned[i] - naive[i]) < 1e-4 * naive[i]); /* sums are made in another order */
        assert_true(fabs(planned[i] - plain[i]) < 2e-3 * plain[i]);
    }
    train(false, "cpu", 60, 0, long_run);
    assert_true(long_run[59] < 0.2 * long_run[0]); /* it looks one step back */
}

/* ---- the operation ---- */

static cbm_tensor *attention_function(cbm_tensor *const *in, size_t count, void *user)
{
    return cbm_mul_scalar(cbm_scaled_dot_product_attention(in[0], in[1], in[2], .mask = count > 3 ? in[3] : NULL,
                                                           .causal = user != NULL, .scale = 0.8),
                          3);
}

/* First order by the fused gradient, second by the decomposition; a mask's by the decomposition in both. */
static void gradients(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        cbm_context *cx = cbm_open_with(.device = "reference", .threads = 1, .seed = 3);
        cbm_tensor *in[] = { cbm_uniform(cx, CBM_F64, CBM_SHAPE(2, 2, 4, 3), -1, 1),
                             cbm_uniform(cx, CBM_F64, CBM_SHAPE(2, 1, 5, 3), -1, 1),
                             cbm_uniform(cx, CBM_F64, CBM_SHAPE(2, 1, 5, 2), -1, 1),
                             cbm_uniform(cx, CBM_F64, CBM_SHAPE(4, 5), -1, 1) };
        double error;
        if (cbm_gradcheck(cx, attention_function, kind ? cx : NULL, in, kind == 2 ? 4 : 3, true, &error) != CBM_OK)
            fail_msg("kind %d: %s (%g)", kind, cbm_message(cx), error);
        cbm_close(cx);
    }
}

/* Rows that see nothing give 0, and no NaN to anybody's gradient. */
static void blind_rows(void **state)
{
    (void)state;
    static const uint8_t allowed[] = { 0, 0, 0, 1, 0, 1 };
    for (int second = 0; second < 2; second++) {
        cbm_context *cx = cbm_open(NULL);
        cbm_tensor *q = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(2, 4), 0, 1), true), *g;
        cbm_tensor *k = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(3, 4), 0, 1), false);
        cbm_tensor *places = cbm_tensor_from(cx, CBM_BOOL, CBM_SHAPE(2, 3), allowed);
        cbm_tensor *y = cbm_scaled_dot_product_attention(q, k, k, .mask = places);
        assert_int_equal(cbm_grad(cbm_sum(cbm_mul(y, y)), &q, 1, &g, .create_graph = second != 0), CBM_OK);
        float values[8], slopes[8];
        assert_int_equal(cbm_read(y, values, sizeof values), CBM_OK);
        assert_int_equal(cbm_read(g, slopes, sizeof slopes), CBM_OK);
        for (int i = 0; i < 4; i++)
            assert_true(values[i] == 0 && slopes[i] == 0 && isfinite(slopes[4 + i]) && slopes[4 + i] != 0);
        cbm_close(cx);
    }
}

/* Attention over 4,096 places trains in memory that grows with the length, not with its square. */
static uint64_t peak_of(int64_t length)
{
    cbm_context *cx = cbm_open_with(.threads = 2);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(1, length, 16), 0, 1), false);
    cbm_module *net = cbm_nn_multihead_attention(cx, 16, 2, .batch_first = true, .dropout = 0.1);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.1);
    for (int i = 0; i < 2; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *loss = cbm_mse(cbm_attention_call(net, x, .causal = true).output, x);
        cbm_backward(loss);
        cbm_step(opt);
        assert_true(isfinite(cbm_item(loss)));
    }
    good(cx);
    const uint64_t peak = cbm_context_statistics(cx).bytes_peak;
    cbm_close(cx);
    return peak;
}

static void memory_is_bounded(void **state)
{
    (void)state;
    const uint64_t half = peak_of(2048), whole = peak_of(4096), scores = (uint64_t)2 * 4096 * 4096 * sizeof(float);
    assert_true(whole < scores / 16);
    assert_true(whole < 2 * half + half / 10);
}

static void dropout(void **state)
{
    (void)state;
    enum { ROWS = 200, PLACES = 50 };
    cbm_context *cx = cbm_open_with(.seed = 8);
    /* equal scores: each output is the share of places that were kept, times 1 / (1 - p) */
    cbm_tensor *q = cbm_zeros(cx, CBM_F32, CBM_SHAPE(ROWS, 4)), *k = cbm_zeros(cx, CBM_F32, CBM_SHAPE(PLACES, 4));
    cbm_tensor *v = cbm_ones(cx, CBM_F32, CBM_SHAPE(PLACES, 1));
    float y[ROWS], other[ROWS];
    assert_int_equal(cbm_read(cbm_scaled_dot_product_attention(q, k, v, .dropout = 0.25), y, sizeof y), CBM_OK);
    assert_int_equal(cbm_read(cbm_scaled_dot_product_attention(q, k, v, .dropout = 0.25), other, sizeof other), CBM_OK);
    double sum = 0;
    for (int i = 0; i < ROWS; i++) {
        const double places = (double)y[i] * PLACES * 0.75;
        assert_true(fabs(places - round(places)) < 1e-3);
        sum += (double)y[i];
    }
    assert_true(fabs(sum / ROWS - 1) < 0.03);
    assert_memory_not_equal(y, other, sizeof y);
    assert_int_equal(cbm_read(cbm_scaled_dot_product_attention(q, k, v, .dropout = 1), y, sizeof y), CBM_OK);
    for (int i = 0; i < ROWS; i++)
        assert_true(y[i] == 0);

    cbm_module *net = cbm_nn_multihead_attention(cx, 4, 2, .dropout = 0.5);
    cbm_tensor *x = cbm_variable(cbm_normal(cx, CBM_F32, CBM_SHAPE(20, 4), 0, 1), false);
    assert_int_equal(cbm_read(cbm_call(net, x), y, 80 * sizeof *y), CBM_OK);
    assert_int_equal(cbm_read(cbm_call(net, x), other, 80 * sizeof *y), CBM_OK);
    assert_memory_not_equal(y, other, 80 * sizeof *y);
    cbm_eval(net);
    assert_int_equal(cbm_read(cbm_call(net, x), y, 80 * sizeof *y), CBM_OK);
    assert_int_equal(cbm_read(cbm_call(net, x), other, 80 * sizeof *y), CBM_OK);
    assert_memory_equal(y, other, 80 * sizeof *y);
    cbm_close(cx);
}

static void names_and_initial_values(void **state)
{
    (void)state;
    static const char *const names[] = { "self_attn.in_proj_weight",
                                         "self_attn.in_proj_bias",
                                         "self_attn.out_proj.weight",
                                         "self_attn.out_proj.bias",
                                         "multihead_attn.in_proj_weight",
                                         "multihead_attn.in_proj_bias",
                                         "multihead_attn.out_proj.weight",
                                         "multihead_attn.out_proj.bias",
                                         "linear1.weight",
                                         "linear1.bias",
                                         "linear2.weight",
                                         "linear2.bias",
                                         "norm1.weight",
                                         "norm1.bias",
                                         "norm2.weight",
                                         "norm2.bias",
                                         "norm3.weight",
                                         "norm3.bias" };
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_nn_transformer_decoder_layer(cx, 24, 4);
    cbm_named p;
    assert_int_equal(cbm_parameter_count(net), 18);
    for (size_t i = 0; i < 18; i++) {
        assert_true(cbm_parameter_at(net, i, &p));
        assert_string_equal(p.name, names[i]);
    }
    assert_int_equal(cbm_tensor_size(cbm_parameter(net, "linear1.weight"), 0), 2048);
    const float *w = cbm_tensor_data(cbm_parameter(net, "self_attn.in_proj_weight"));
    const float *b = cbm_tensor_data(cbm_parameter(net, "self_attn.out_proj.bias"));
    float largest = 0;
    for (int i = 0; i < 72 * 24; i++)
        largest = fmaxf(largest, fabsf(w[i]));
    assert_true(largest <= 0.25f && largest > 0.24f); /* sqrt(6 / (72 + 24)) */
    for (int i = 0; i < 24; i++)
        assert_true(b[i] == 0);
    cbm_module *apart = cbm_nn_multihead_attention(cx, 8, 2, .kdim = 3);
    static const char *const own[] = { "q_proj_weight", "k_proj_weight",   "v_proj_weight",
                                       "in_proj_bias",  "out_proj.weight", "out_proj.bias" };
    for (size_t i = 0; i < 6; i++) {
        assert_true(cbm_parameter_at(apart, i, &p));
        assert_string_equal(p.name, own[i]);
    }
    good(cx);
    cbm_close(cx);
}

/* Summaries see the parts; a stack's layers are made apart. */
static void count_row(const cbm_summary_row *row, void *user)
{
    int *counts = user;
    counts[0]++;
    counts[1] += strcmp(row->type, "multihead_attention") == 0;
    counts[2] += row->flops > 0;
}

static void summaries(void **state)
{
    (void)state;
    int counts[3] = { 0 };
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = cbm_nn_transformer_encoder(cx, 8, 2, 3, .dim_feedforward = 16, .final_norm = true);
    assert_int_equal(cbm_summary(net, cbm_zeros(cx, CBM_F32, CBM_SHAPE(5, 2, 8)), count_row, counts), CBM_OK);
    assert_int_equal(counts[1], 3);
    assert_true(counts[0] > 24 && counts[2] > 15);
    const float *a = cbm_tensor_data(cbm_parameter(net, "layers.0.linear1.weight"));
    const float *b = cbm_tensor_data(cbm_parameter(net, "layers.1.linear1.weight"));
    assert_true(a[0] != b[0]);
    cbm_close(cx);
}

/* ---- errors ---- */

static cbm_tensor *zeros(cbm_context *cx, cbm_shape shape)
{
    return cbm_zeros(cx, CBM_F32, shape);
}

#define ATTEND cbm_scaled_dot_product_attention
#define S CBM_SHAPE

static void errors_of_the_operation(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *q = zeros(cx, S(2, 3, 4)), *k = zeros(cx, S(2, 5, 4)), *v = zeros(cx, S(2, 5, 6));
    REFUSED(ATTEND(zeros(cx, S(4)), k, v), CBM_ERROR_SHAPE, "[attention] q (4) and q (4) must have as many dimensions");
    REFUSED(ATTEND(q, zeros(cx, S(5, 4)), v), CBM_ERROR_SHAPE, "q (2, 3, 4) and k (5, 4) must have as many dimensions");
    REFUSED(ATTEND(q, cbm_zeros(cx, CBM_F64, S(2, 5, 4)), v), CBM_ERROR_DTYPE, "q is f32, k is f64");
    REFUSED(ATTEND(cbm_zeros(cx, CBM_I64, S(2, 3, 4)), cbm_zeros(cx, CBM_I64, S(2, 3, 4)),
                   cbm_zeros(cx, CBM_I64, S(2, 3, 4))),
            CBM_ERROR_DTYPE, "i64");
    REFUSED(ATTEND(q, zeros(cx, S(2, 5, 3)), v), CBM_ERROR_SHAPE, "q (2, 3, 4) and k (2, 5, 3) must have one width");
    REFUSED(ATTEND(q, k, zeros(cx, S(2, 6, 4))), CBM_ERROR_SHAPE,
            "k (2, 5, 4) and v (2, 6, 4) must have as many places");
    REFUSED(ATTEND(zeros(cx, S(3, 3, 4)), k, v), CBM_ERROR_SHAPE,
            "leading dimensions of q (3, 3, 4), k (2, 5, 4) and v");
    REFUSED(ATTEND(q, k, v, .mask = zeros(cx, S(3, 4))), CBM_ERROR_SHAPE,
            "the mask (3, 4) does not broadcast to the scores (2, 3, 5)");
    REFUSED(ATTEND(q, k, v, .mask = zeros(cx, S(1, 2, 3, 5))), CBM_ERROR_SHAPE, "does not broadcast");
    REFUSED(ATTEND(q, k, v, .mask = cbm_zeros(cx, CBM_I64, S(3, 5))), CBM_ERROR_DTYPE,
            "must hold bool or f32 as q does, not i64");
    REFUSED(ATTEND(q, k, v, .dropout = 1.5), CBM_ERROR_INVALID, "dropout 1.5 must be a probability");
    REFUSED(ATTEND(q, k, v, .scale = (double)NAN), CBM_ERROR_INVALID, "a finite number");
    REFUSED(ATTEND(q, NULL, v), CBM_ERROR_INVALID, "an operand is NULL");
    q = zeros(cx, S(2, 3, 4));
    assert_true(cbm_item(cbm_sum(ATTEND(q, q, q))) == 0);
    cbm_close(cx);
}

static void errors_of_modules(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    REFUSED(cbm_nn_multihead_attention(cx, 6, 4), CBM_ERROR_INVALID, "6 features in 4 heads");
    REFUSED(cbm_nn_multihead_attention(cx, 6, 3, .dropout = 1), CBM_ERROR_INVALID, "dropout 1");
    REFUSED(cbm_nn_multihead_attention(cx, 6, 3, .dtype = CBM_BOOL), CBM_ERROR_DTYPE, "[multihead_attention]");
    REFUSED(cbm_nn_multihead_attention_with(cx, 6, 3, NULL), CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_nn_transformer_encoder_layer(cx, 6, 3, .dim_feedforward = 0), CBM_ERROR_INVALID, "feed-forward width");
    REFUSED(cbm_nn_transformer_decoder_layer(cx, 6, 3, .activation = 7), CBM_ERROR_INVALID,
            "[transformer_decoder_layer]");
    REFUSED(cbm_nn_transformer_decoder_layer_with(cx, 6, 3, NULL), CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_nn_transformer_encoder(cx, 6, 3, 0), CBM_ERROR_INVALID, "0 layers; at least 1 is needed");
    REFUSED(cbm_nn_transformer_encoder(cx, 6, 4, 2), CBM_ERROR_INVALID, "6 features in 4 heads");
    REFUSED(cbm_nn_transformer_decoder_with(cx, 6, 3, 1, NULL), CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_nn_positional_encoding(cx, 0), CBM_ERROR_INVALID, "[positional_encoding] needs a width");
    REFUSED(cbm_nn_positional_encoding(cx, 4, .dtype = CBM_U8), CBM_ERROR_DTYPE, "[positional_encoding]");
    REFUSED(cbm_sinusoidal_positions(cx, CBM_BF16, 3, 4), CBM_ERROR_INVALID, "3 positions of width 4 in bf16");

    cbm_module *net = cbm_nn_multihead_attention(cx, 6, 3), *linear = cbm_nn_linear(cx, 6, 6);
    cbm_tensor *x = cbm_variable(zeros(cx, S(5, 2, 6)), false);
    REFUSED(cbm_call(net, zeros(cx, S(5, 2, 4))), CBM_ERROR_SHAPE, "the query (5, 2, 4) is not (L, N, E) ending in 6");
    REFUSED(cbm_call(net, zeros(cx, S(6))), CBM_ERROR_SHAPE, "the query (6) is not (L, E)");
    REFUSED(cbm_attention_call(net, x, .key = zeros(cx, S(4, 6))).output, CBM_ERROR_SHAPE,
            "the key (4, 6) is not (L, N, E)");
    REFUSED(cbm_attention_call(net, x, .key = zeros(cx, S(4, 3, 6))).output, CBM_ERROR_SHAPE,
            "of as many sequences as the query");
    REFUSED(cbm_attention_call(net, x, .value = zeros(cx, S(4, 2, 6))).output, CBM_ERROR_SHAPE,
            "the value (4, 2, 6) is not as long as the key");
    REFUSED(cbm_attention_call(net, x, .attn_mask = zeros(cx, S(5, 4))).output, CBM_ERROR_SHAPE,
            "attn_mask (5, 4) is not (5, 5)");
    REFUSED(cbm_attention_call(net, x, .key_padding_mask = zeros(cx, S(5))).output, CBM_ERROR_SHAPE,
            "key_padding_mask (5) is not (2, 5)");
    REFUSED(cbm_attention_call(net, x, .attn_mask = cbm_zeros(cx, CBM_U8, S(5, 5))).output, CBM_ERROR_DTYPE,
            "attn_mask must hold bool or floats, not u8");
    REFUSED(cbm_attention_call(linear, x).output, CBM_ERROR_INVALID, "the module is no multi-head attention");
    REFUSED(cbm_attention_call(NULL, x).output, CBM_ERROR_INVALID, "the module is NULL");
    REFUSED(cbm_attention_call_with(net, x, NULL).output, CBM_ERROR_INVALID, "the options are NULL");
    cbm_attention_result none = cbm_attention_call(net, zeros(cx, S(6)), .need_weights = true);
    assert_true(cbm_tensor_failed(none.output) && cbm_tensor_failed(none.weights));
    cbm_clear(cx);

    cbm_module *first = cbm_nn_transformer_encoder_layer(cx, 6, 3), *second = cbm_nn_transformer_decoder(cx, 6, 3, 1);
    REFUSED(cbm_call(second, x), CBM_ERROR_INVALID, "[transformer_decoder_layer] a decoder needs its memory");
    REFUSED(cbm_transformer_call(first, x, .memory = x), CBM_ERROR_INVALID, "memory and its masks belong to a decoder");
    REFUSED(cbm_transformer_call(linear, x), CBM_ERROR_INVALID, "no encoder, decoder or layer of them");
    REFUSED(cbm_transformer_call(NULL, x), CBM_ERROR_INVALID, "the module is NULL");
    REFUSED(cbm_transformer_call_with(first, x, NULL), CBM_ERROR_INVALID, "the options are NULL");
    cbm_module *whole = cbm_nn_transformer(cx, 6, 3, 1, 1);
    REFUSED(cbm_call(whole, x), CBM_ERROR_INVALID, "it needs a target beside its source");
    REFUSED(cbm_encode_decode(first, x, x), CBM_ERROR_INVALID, "the module is no transformer");
    REFUSED(cbm_encode_decode(whole, x, NULL), CBM_ERROR_INVALID, "an operand is NULL");
    REFUSED(cbm_encode_decode(whole, x, zeros(cx, S(5, 3, 6))), CBM_ERROR_SHAPE, "of as many sequences as the query");
    REFUSED(cbm_encode_decode_with(whole, x, x, NULL), CBM_ERROR_INVALID, "the options are NULL");
    REFUSED(cbm_nn_transformer(cx, 6, 4, 1, 1), CBM_ERROR_INVALID, "6 features in 4 heads");
    REFUSED(cbm_nn_transformer(cx, 6, 3, 1, 0), CBM_ERROR_INVALID, "[transformer_decoder] 0 layers");
    REFUSED(cbm_nn_transformer_with(cx, 6, 3, 1, 1, NULL), CBM_ERROR_INVALID, "the options are NULL");
    assert_int_equal(cbm_parameter_count(whole), 34);
    cbm_module *places = cbm_nn_positional_encoding(cx, 6, .max_length = 4);
    REFUSED(cbm_call(places, x), CBM_ERROR_SHAPE,
            "the input (5, 2, 6) is not (T, N, E) or (T, E) with T up to 4 and E = 6");
    assert_false(cbm_tensor_failed(cbm_transformer_call(second, x, .memory = x)));
    cbm_close(cx);
}

/* What other languages start from. */
static void options(void **state)
{
    (void)state;
    cbm_nn_multihead_attention_options a;
    cbm_nn_multihead_attention_options_init(&a);
    assert_true(a.bias == 1 && a.dropout == 0 && a.kdim == 0 && a.dtype == CBM_F32);
    cbm_nn_transformer_options t;
    cbm_nn_transformer_options_init(&t);
    assert_true(t.dim_feedforward == 2048 && t.dropout == 0.1 && t.layer_norm_eps == 1e-5 && t.norm_first == 0);
    cbm_nn_positional_encoding_options p;
    cbm_nn_positional_encoding_options_init(&p);
    assert_true(p.max_length == 5000 && p.dropout == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_pytorch),
        cmocka_unit_test(positions),
        cmocka_unit_test(planned_is_naive),
        cmocka_unit_test(gradients),
        cmocka_unit_test(blind_rows),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(dropout),
        cmocka_unit_test(names_and_initial_values),
        cmocka_unit_test(summaries),
        cmocka_unit_test(errors_of_the_operation),
        cmocka_unit_test(errors_of_modules),
        cmocka_unit_test(options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
