/* test_losses.c: losses with their options, reductions and gradients against PyTorch's; what they do at the ends, where
   PyTorch's own overflow; and what is refused. */
#define CBM_NO_CALL_SITES
#include "support/functions.h"
#include "support/wrong.h"
#include <cambium/autograd.h>
#include <cambium/ops.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- as in PyTorch ---- */

static const char *const devices[] = { "cpu", "reference" };

static bool has(const op_case *c, const char *name)
{
    for (size_t i = 0; i < c->n_fields; i++)
        if (strcmp(c->fields[i].name, name) == 0)
            return true;
    return false;
}

static double number(const op_case *c, const char *name, double otherwise)
{
    return has(c, name) ? function_float(c, name) : otherwise;
}

static int64_t whole(const op_case *c, const char *name, int64_t otherwise)
{
    return has(c, name) ? function_int(c, name) : otherwise;
}

static cbm_tensor *third(const op_case *c, cbm_tensor *const *in)
{
    return c->n_in > 2 ? in[2] : NULL;
}

#define REDUCTION ((uint64_t)function_int(c, "reduction"))
#define FUNCTION(name_, expression_)                                                                                   \
    static size_t name_(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)                    \
    {                                                                                                                  \
        (void)cx;                                                                                                      \
        out[0] = (expression_);                                                                                        \
        return 1;                                                                                                      \
    }
/* By the macros, so that the defaults are theirs where the case names nothing. */
FUNCTION(cross_entropy,
         cbm_cross_entropy(in[0], in[1], .weight = third(c, in), .label_smoothing = number(c, "label_smoothing", 0),
                           .ignore_index = whole(c, "ignore_index", CBM_NO_INDEX), .reduction = REDUCTION))
FUNCTION(nll, cbm_nll_loss(in[0], in[1], .weight = third(c, in), .ignore_index = whole(c, "ignore_index", CBM_NO_INDEX),
                           .reduction = REDUCTION))
FUNCTION(multi_margin, has(c, "margin") ? cbm_multi_margin_loss(in[0], in[1], .weight = third(c, in),
                                                                .margin = number(c, "margin", 1), .p = whole(c, "p", 1),
                                                                .reduction = REDUCTION)
                                        : cbm_multi_margin_loss(in[0], in[1], .reduction = REDUCTION))
FUNCTION(multilabel_margin, cbm_multilabel_margin_loss(in[0], in[1], .reduction = REDUCTION))
FUNCTION(multilabel_soft_margin,
         cbm_multilabel_soft_margin_loss(in[0], in[1], .weight = third(c, in), .reduction = REDUCTION))
FUNCTION(mse, cbm_mse(in[0], in[1], .reduction = REDUCTION))
FUNCTION(l1, cbm_l1_loss(in[0], in[1], .reduction = REDUCTION))
FUNCTION(smooth_l1, has(c, "beta")
                        ? cbm_smooth_l1_loss(in[0], in[1], .beta = number(c, "beta", 1), .reduction = REDUCTION)
                        : cbm_smooth_l1_loss(in[0], in[1], .reduction = REDUCTION))
FUNCTION(huber, has(c, "delta") ? cbm_huber_loss(in[0], in[1], .delta = number(c, "delta", 1), .reduction = REDUCTION)
                                : cbm_huber_loss(in[0], in[1], .reduction = REDUCTION))
FUNCTION(gaussian_nll, cbm_gaussian_nll_loss(in[0], in[1], in[2], .full = (uint64_t)whole(c, "full", 0),
                                             .eps = number(c, "eps", 1e-6), .reduction = REDUCTION))
FUNCTION(poisson_nll, cbm_poisson_nll_loss(in[0], in[1], .log_input = (uint64_t)whole(c, "log_input", 1),
                                           .full = (uint64_t)whole(c, "full", 0), .reduction = REDUCTION))
FUNCTION(kl_div, cbm_kl_div(in[0], in[1], .log_target = (uint64_t)whole(c, "log_target", 0), .reduction = REDUCTION))
FUNCTION(bce, cbm_binary_cross_entropy(in[0], in[1], .weight = third(c, in), .reduction = REDUCTION))
FUNCTION(bce_of_x, cbm_binary_cross_entropy(in[0], cbm_detach(in[1]), .reduction = REDUCTION))
FUNCTION(bce_logits,
         cbm_binary_cross_entropy_with_logits(in[0], in[1], .weight = third(c, in),
                                              .pos_weight = c->n_in > 3 ? in[3] : NULL, .reduction = REDUCTION))
FUNCTION(bce_logits_pos,
         cbm_binary_cross_entropy_with_logits(in[0], in[1], .pos_weight = in[2], .reduction = REDUCTION))
FUNCTION(soft_margin, cbm_soft_margin_loss(in[0], cbm_detach(in[1]), .reduction = REDUCTION))
FUNCTION(hinge_embedding,
         cbm_hinge_embedding_loss(in[0], in[1], .margin = number(c, "margin", 1), .reduction = REDUCTION))
FUNCTION(margin_ranking,
         has(c, "margin")
             ? cbm_margin_ranking_loss(in[0], in[1], in[2], .margin = number(c, "margin", 0), .reduction = REDUCTION)
             : cbm_margin_ranking_loss(in[0], in[1], in[2], .reduction = REDUCTION))
FUNCTION(cosine_embedding,
         has(c, "margin")
             ? cbm_cosine_embedding_loss(in[0], in[1], in[2], .margin = number(c, "margin", 0), .reduction = REDUCTION)
             : cbm_cosine_embedding_loss(in[0], in[1], in[2], .reduction = REDUCTION))
FUNCTION(triplet_margin,
         cbm_triplet_margin_loss(in[0], in[1], in[2], .margin = number(c, "margin", 1), .p = number(c, "p", 2),
                                 .swap = (uint64_t)whole(c, "swap", 0), .reduction = REDUCTION))
FUNCTION(pairwise_distance,
         cbm_pairwise_distance(in[0], in[1], .p = number(c, "p", 2), .keepdim = (uint64_t)whole(c, "keepdim", 0)))
FUNCTION(cosine_similarity, has(c, "axis") ? cbm_cosine_similarity(in[0], in[1], .axis = whole(c, "axis", 1))
                                           : cbm_cosine_similarity(in[0], in[1]))
FUNCTION(ctc, cbm_ctc_loss(cbm_log_softmax(in[0], -1), in[1], in[2], in[3], .blank = whole(c, "blank", 0),
                           .zero_infinity = (uint64_t)whole(c, "zero_infinity", 0), .reduction = REDUCTION))

static const function_entry table[] = {
    { "cross_entropy", cross_entropy },
    { "nll_loss", nll },
    { "multi_margin", multi_margin },
    { "multilabel_margin", multilabel_margin },
    { "multilabel_soft_margin", multilabel_soft_margin },
    { "mse", mse },
    { "l1", l1 },
    { "smooth_l1", smooth_l1 },
    { "huber", huber },
    { "gaussian_nll", gaussian_nll },
    { "poisson_nll", poisson_nll },
    { "kl_div", kl_div },
    { "bce", bce },
    { "bce_of_x", bce_of_x },
    { "bce_logits", bce_logits },
    { "bce_logits_pos", bce_logits_pos },
    { "soft_margin", soft_margin },
    { "hinge_embedding", hinge_embedding },
    { "margin_ranking", margin_ranking },
    { "cosine_embedding", cosine_embedding },
    { "triplet_margin", triplet_margin },
    { "pairwise_distance", pairwise_distance },
    { "cosine_similarity", cosine_similarity },
    { "ctc", ctc },
};

static void as_in_pytorch(void **state)
{
    (void)state;
    assert_int_equal(
        check_functions(CBM_SOURCE_DIR "/tests/reference/functions/loss.bin", table, sizeof table / sizeof *table), 0);
}

/* ---- the ends ---- */

static cbm_tensor *floats(cbm_context *cx, cbm_shape shape, const float *x)
{
    return cbm_variable(cbm_tensor_from(cx, CBM_F32, shape, x), true);
}

/* Values of the loss and of its sum's gradient by x, NaN where anything goes. */
static void expect(cbm_tensor *loss, cbm_tensor *x, const float *values, const float *slopes)
{
    float got[8], grad[8];
    cbm_tensor *g = NULL;
    const size_t bytes = cbm_tensor_bytes(loss);
    cbm_want(loss);
    assert_int_equal(cbm_grad_of(cbm_sum_with(loss, NULL), &x, 1, &g), CBM_OK);
    assert_int_equal(cbm_read(g, grad, cbm_tensor_bytes(g)), CBM_OK);
    assert_int_equal(cbm_read(loss, got, bytes), CBM_OK);
    for (size_t i = 0; i < bytes / sizeof *got; i++)
        if (!isnan(values[i]) &&
            !(fabsf(got[i] - values[i]) <= 1e-5f * fmaxf(1, fabsf(values[i])) || got[i] == values[i]))
            fail_msg("loss %zu is %g, not %g", i, (double)got[i], (double)values[i]);
    for (size_t i = 0; i < cbm_tensor_bytes(g) / sizeof *grad; i++)
        if (!isnan(slopes[i]) && !(fabsf(grad[i] - slopes[i]) <= 1e-5f * fmaxf(1, fabsf(slopes[i]))))
            fail_msg("slope %zu is %g, not %g", i, (double)grad[i], (double)slopes[i]);
}

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define LIST(...)                                                                                                      \
    (const float[])                                                                                                    \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

static void far_out(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++) {
        cbm_context *cx = cbm_open_with(.device = devices[d]);
        cbm_tensor *one = cbm_ones(cx, CBM_F32, S(4)), *zero = cbm_zeros(cx, CBM_F32, S(4));
        cbm_tensor *x = floats(cx, S(4), LIST(1e4f, -1e4f, 1e30f, -1e30f));
        expect(cbm_soft_margin_loss(x, one, .reduction = CBM_REDUCE_NONE), x, LIST(0, 1e4f, 0, 1e30f),
               LIST(0, -1, 0, -1));
        expect(cbm_binary_cross_entropy_with_logits(x, one, .reduction = CBM_REDUCE_NONE), x, LIST(0, 1e4f, 0, 1e30f),
               LIST(0, -1, 0, -1));
        expect(cbm_binary_cross_entropy_with_logits(x, zero, .reduction = CBM_REDUCE_NONE), x, LIST(1e4f, 0, 1e30f, 0),
               LIST(1, 0, 1, 0));
        x = floats(cx, S(4), LIST(INFINITY, -INFINITY, 2, 0));
        expect(cbm_smooth_l1_loss(x, zero, .reduction = CBM_REDUCE_NONE), x, LIST(INFINITY, INFINITY, 1.5f, 0),
               LIST(1, -1, 1, 0));
        expect(cbm_huber_loss(x, zero, .delta = 0.5, .reduction = CBM_REDUCE_NONE), x,
               LIST(INFINITY, INFINITY, 0.875f, 0), LIST(0.5f, -0.5f, 0.5f, 0));
        /* What has probability 0 does not matter, whatever it is compared with. */
        x = floats(cx, S(4), LIST(-INFINITY, -1, -2, 0));
        expect(cbm_kl_div(x, cbm_tensor_from(cx, CBM_F32, S(4), LIST(0, 1, 0.5f, 0)), .reduction = CBM_REDUCE_NONE), x,
               LIST(0, 1, 0.5f * (-0.6931472f + 2), 0), LIST(0, -1, -0.5f, 0));
        x = floats(cx, S(4), LIST(-3, -1, -2, 0));
        expect(cbm_kl_div(x, cbm_tensor_from(cx, CBM_F32, S(4), LIST(-INFINITY, 0, -1, -INFINITY)), .log_target = 1,
                          .reduction = CBM_REDUCE_NONE),
               x, LIST(0, 1, 0.36787945f, 0), LIST(0, -1, -0.36787945f, 0));
        x = floats(cx, S(2, 3), LIST(-INFINITY, 1, 1, 2, -INFINITY, 0));
        expect(cbm_cross_entropy(x, cbm_tensor_from(cx, CBM_F32, S(2, 3), LIST(0, 0.5f, 0.5f, 1, 0, 0)),
                                 .reduction = CBM_REDUCE_NONE),
               x, LIST(0.6931472f, 0.126928f), LIST(0, 0, 0, -0.1192029f, 0, 0.1192029f));
        expect(cbm_cross_entropy(x, cbm_tensor_from(cx, CBM_I64, S(2), (const int64_t[]){ 1, -100 }),
                                 .ignore_index = -100),
               x, LIST(0.6931472f), LIST(0, -0.5f, 0.5f, 0, 0, 0));
        /* Vectors of no length have directions and distances without slopes. */
        x = floats(cx, S(2, 2), LIST(0, 0, 3, 4));
        expect(cbm_cosine_similarity(x, cbm_tensor_from(cx, CBM_F32, S(2, 2), LIST(1, 0, 3, 4))), x, LIST(0, 1),
               LIST(NAN, NAN, 0, 0));
        expect(cbm_pairwise_distance(x, cbm_tensor_from(cx, CBM_F32, S(2, 2), LIST(0, 0, 0, 0)), .eps = 0), x,
               LIST(0, 5), LIST(0, 0, 0.6f, 0.8f));
        /* Lengths below eps count as eps. */
        x = floats(cx, S(1, 2), LIST(3e-10f, 4e-10f));
        expect(cbm_cosine_similarity(x, cbm_tensor_from(cx, CBM_F32, S(1, 2), LIST(1, 0))), x, LIST(0.03f),
               LIST(1e8f, 0));
        /* The mean of nothing. */
        assert_true(isnan(cbm_item(cbm_mse(cbm_zeros(cx, CBM_F32, S(0)), cbm_zeros(cx, CBM_F32, S(0))))));
        assert_true(cbm_item(cbm_l1_loss(cbm_zeros(cx, CBM_F32, S(0)), cbm_zeros(cx, CBM_F32, S(0)),
                                         .reduction = CBM_REDUCE_SUM)) == 0);
        assert_string_equal(cbm_message(cx), "");
        cbm_close(cx);
    }
}

/* Of bf16, losses are f32 and gradients bf16. */
static void half_precision(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *x = cbm_variable(cbm_cast(cbm_tensor_from(cx, CBM_F32, S(2, 2), LIST(1, 2, 3, -4)), CBM_BF16), true);
    cbm_tensor *t = cbm_cast(cbm_tensor_from(cx, CBM_F32, S(2, 2), LIST(0, 1, 1, 0)), CBM_BF16), *g = NULL;
    cbm_tensor *const losses[] = {
        cbm_l1_loss(x, t),
        cbm_binary_cross_entropy_with_logits(x, t),
        cbm_cosine_similarity(x, t),
        cbm_cross_entropy(x, t),
        cbm_cross_entropy(x, cbm_zeros(cx, CBM_I64, S(2)), .label_smoothing = 0.1),
        cbm_triplet_margin_loss(x, t, t),
    };
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        assert_int_equal(cbm_tensor_dtype(losses[i]), CBM_F32);
    assert_int_equal(cbm_grad_of(cbm_l1_loss(x, t), &x, 1, &g), CBM_OK);
    assert_int_equal(cbm_tensor_dtype(g), CBM_BF16);
    assert_true(cbm_item(cbm_sum_with(cbm_cast(g, CBM_F32), NULL)) == 0.5);
    cbm_close(cx);
}

/* Second derivatives of what has kinks nowhere near. */
static cbm_tensor *smooth_ones(cbm_tensor *const *x, size_t n, void *user)
{
    cbm_tensor *p = cbm_sigmoid(x[0]), *q = cbm_softmax(x[1], 1);
    (void)n;
    (void)user;
    cbm_tensor *const parts[] = {
        cbm_binary_cross_entropy(p, q),
        cbm_binary_cross_entropy_with_logits(x[0], q, .weight = p, .pos_weight = q),
        cbm_kl_div(cbm_log(p), q, .reduction = CBM_REDUCE_BATCH_MEAN),
        cbm_gaussian_nll_loss(x[0], x[1], q),
        cbm_poisson_nll_loss(x[0], q),
        cbm_cross_entropy(x[0], q, .label_smoothing = 0.2),
        cbm_cosine_embedding_loss(x[0], x[1], cbm_ones(cbm_tensor_context(p), CBM_F64, S(2))),
        cbm_triplet_margin_loss(x[0], x[1], p, .margin = 9),
        cbm_multilabel_soft_margin_loss(x[0], q),
        cbm_cross_entropy(x[1], cbm_zeros(cbm_tensor_context(p), CBM_I64, S(2)), .label_smoothing = 0.1),
    };
    cbm_tensor *sum = NULL;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        sum = sum ? cbm_add(sum, parts[i]) : parts[i];
    return sum;
}

static void second_order(void **state)
{
    (void)state;
    double error = 0;
    cbm_context *cx = cbm_open_with(.device = "reference");
    const double a[] = { 0.3, -0.8, 0.5, 1.2, -0.4, 0.1 }, b[] = { -0.2, 0.9, 0.4, -1.1, 0.6, 0.7 };
    cbm_tensor *in[] = { cbm_tensor_from(cx, CBM_F64, S(2, 3), a), cbm_tensor_from(cx, CBM_F64, S(2, 3), b) };
    if (cbm_gradcheck(cx, smooth_ones, NULL, in, 2, true, &error) != CBM_OK)
        fail_msg("%s", cbm_message(cx));
    cbm_close(cx);
}

/* ---- what is refused ---- */

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F32, shape);
}

static cbm_tensor *f64(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F64, shape);
}

static cbm_tensor *i64(cbm_context *cx, cbm_shape shape, double value)
{
    return cbm_full(cx, CBM_I64, shape, value);
}

#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }
WRONG(mse_shapes, cbm_mse(f32(cx, S(5, 3)), f32(cx, S(4, 3))))
WRONG(mse_dtypes, cbm_mse(f32(cx, S(5)), f64(cx, S(5))))
WRONG(mse_whole, cbm_mse(i64(cx, S(5), 0), i64(cx, S(5), 0)))
WRONG(mse_null, cbm_mse(NULL, f32(cx, S(5))))
WRONG(mse_reduction, cbm_mse(f32(cx, S(5)), f32(cx, S(5)), .reduction = 7))
WRONG(mse_batch_mean, cbm_mse(f32(cx, S(5)), f32(cx, S(5)), .reduction = CBM_REDUCE_BATCH_MEAN))
WRONG(l1_shapes, cbm_l1_loss(f32(cx, S(5)), f32(cx, S(1))))
WRONG(smooth_beta, cbm_smooth_l1_loss(f32(cx, S(5)), f32(cx, S(5)), .beta = -1))
WRONG(smooth_shapes, cbm_smooth_l1_loss(f32(cx, S(5)), f32(cx, S(4))))
WRONG(huber_delta, cbm_huber_loss(f32(cx, S(5)), f32(cx, S(5)), .delta = 0))
WRONG(huber_shapes, cbm_huber_loss(f32(cx, S(5)), f32(cx, S(4))))
WRONG(gaussian_var, cbm_gaussian_nll_loss(f32(cx, S(5, 3)), f32(cx, S(5, 3)), f32(cx, S(4))))
WRONG(gaussian_eps, cbm_gaussian_nll_loss(f32(cx, S(5)), f32(cx, S(5)), f32(cx, S(5)), .eps = 0))
WRONG(gaussian_dtype, cbm_gaussian_nll_loss(f32(cx, S(5)), f32(cx, S(5)), f64(cx, S(5))))
WRONG(gaussian_null, cbm_gaussian_nll_loss(f32(cx, S(5)), f32(cx, S(5)), NULL))
WRONG(poisson_shapes, cbm_poisson_nll_loss(f32(cx, S(5)), f32(cx, S(4))))
WRONG(kl_shapes, cbm_kl_div(f32(cx, S(5)), f32(cx, S(4))))
WRONG(kl_reduction, cbm_kl_div(f32(cx, S(5)), f32(cx, S(5)), .reduction = 4))
WRONG(bce_weight, cbm_binary_cross_entropy(f32(cx, S(5)), f32(cx, S(5)), .weight = f32(cx, S(4))))
WRONG(bce_larger, cbm_binary_cross_entropy(f32(cx, S(5)), f32(cx, S(5)), .weight = f32(cx, S(2, 5))))
WRONG(bce_shapes, cbm_binary_cross_entropy(f32(cx, S(5)), f32(cx, S(4))))
WRONG(logits_weight, cbm_binary_cross_entropy_with_logits(f32(cx, S(5)), f32(cx, S(5)), .weight = f64(cx, S(5))))
WRONG(logits_pos, cbm_binary_cross_entropy_with_logits(f32(cx, S(5)), f32(cx, S(5)), .pos_weight = f32(cx, S(3))))
WRONG(multilabel_soft_scalar, cbm_multilabel_soft_margin_loss(f32(cx, S()), f32(cx, S())))
WRONG(multilabel_soft_weight,
      cbm_multilabel_soft_margin_loss(f32(cx, S(2, 3)), f32(cx, S(2, 3)), .weight = f32(cx, S(2))))
WRONG(soft_shapes, cbm_soft_margin_loss(f32(cx, S(5)), f32(cx, S(4))))
WRONG(hinge_shapes, cbm_hinge_embedding_loss(f32(cx, S(5)), f32(cx, S(4))))
WRONG(entropy_shapes, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(4), 0), .label_smoothing = 0.1))
WRONG(entropy_plain, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(4), 0)))
WRONG(entropy_floats, cbm_cross_entropy(f32(cx, S(5, 3)), f32(cx, S(5))))
WRONG(entropy_rank, cbm_cross_entropy(f32(cx, S(3)), f32(cx, S(3))))
WRONG(entropy_weight, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(5), 0), .weight = f32(cx, S(5))))
WRONG(entropy_weight_type, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(5), 0), .weight = f64(cx, S(3))))
WRONG(entropy_smoothing, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(5), 0), .label_smoothing = 1.5))
WRONG(entropy_smoothing_nan, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(5), 0), .label_smoothing = (double)NAN))
WRONG(entropy_label, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(5), 3), .label_smoothing = 0.1))
WRONG(entropy_ignored, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(5), -100)))
WRONG(entropy_not_ignored, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(5), -1), .ignore_index = -100))
WRONG(entropy_ignoring, cbm_cross_entropy(f32(cx, S(5, 3)), f32(cx, S(5, 3)), .ignore_index = 0))
WRONG(entropy_probabilities, cbm_cross_entropy(f32(cx, S(5, 3)), f64(cx, S(5, 3))))
WRONG(entropy_reduction, cbm_cross_entropy(f32(cx, S(5, 3)), i64(cx, S(5), 0), .reduction = 3))
WRONG(entropy_null, cbm_cross_entropy(f32(cx, S(5, 3)), NULL))
WRONG(nll_shapes, cbm_nll_loss(f32(cx, S(5, 3)), i64(cx, S(4), 0)))
WRONG(nll_floats, cbm_nll_loss(f32(cx, S(5, 3)), f32(cx, S(5))))
WRONG(nll_weight, cbm_nll_loss(f32(cx, S(5, 3)), i64(cx, S(5), 0), .weight = f32(cx, S(3, 1))))
WRONG(nll_label, cbm_nll_loss(f32(cx, S(5, 3)), i64(cx, S(5), -2)))
WRONG(margin_p, cbm_multi_margin_loss(f32(cx, S(5, 3)), i64(cx, S(5), 0), .p = 3))
WRONG(margin_rank, cbm_multi_margin_loss(f32(cx, S(5, 3, 2)), i64(cx, S(5, 2), 0)))
WRONG(margin_shapes, cbm_multi_margin_loss(f32(cx, S(5, 3)), i64(cx, S(3), 0)))
WRONG(margin_weight, cbm_multi_margin_loss(f32(cx, S(5, 3)), i64(cx, S(5), 0), .weight = f32(cx, S(2))))
WRONG(margin_label, cbm_multi_margin_loss(f32(cx, S(5, 3)), i64(cx, S(5), 9)))
WRONG(multilabel_shapes, cbm_multilabel_margin_loss(f32(cx, S(5, 3)), i64(cx, S(5, 2), 0)))
WRONG(multilabel_type, cbm_multilabel_margin_loss(f32(cx, S(5, 3)), f32(cx, S(5, 3))))
WRONG(multilabel_label, cbm_multilabel_margin_loss(f32(cx, S(5, 3)), i64(cx, S(5, 3), 3)))
WRONG(ranking_shapes, cbm_margin_ranking_loss(f32(cx, S(5)), f32(cx, S(4)), f32(cx, S(5))))
WRONG(ranking_target, cbm_margin_ranking_loss(f32(cx, S(5)), f32(cx, S(5)), f32(cx, S(3))))
WRONG(ranking_dtype, cbm_margin_ranking_loss(f32(cx, S(5)), f32(cx, S(5)), i64(cx, S(5), 1)))
WRONG(embedding_shapes, cbm_cosine_embedding_loss(f32(cx, S(5, 3)), f32(cx, S(5, 3)), f32(cx, S(3))))
WRONG(embedding_pair, cbm_cosine_embedding_loss(f32(cx, S(5, 3)), f32(cx, S(5, 2)), f32(cx, S(5))))
WRONG(triplet_shapes, cbm_triplet_margin_loss(f32(cx, S(5, 3)), f32(cx, S(5, 2)), f32(cx, S(5, 3))))
WRONG(triplet_p, cbm_triplet_margin_loss(f32(cx, S(5, 3)), f32(cx, S(5, 3)), f32(cx, S(5, 3)), .p = 0))
WRONG(triplet_null, cbm_triplet_margin_loss(f32(cx, S(5, 3)), f32(cx, S(5, 3)), NULL))
WRONG(distance_p, cbm_pairwise_distance(f32(cx, S(5, 3)), f32(cx, S(5, 3)), .p = -2))
WRONG(distance_scalar, cbm_pairwise_distance(f32(cx, S()), f32(cx, S())))
WRONG(distance_shapes, cbm_pairwise_distance(f32(cx, S(5, 3)), f32(cx, S(5, 2))))
WRONG(similarity_axis, cbm_cosine_similarity(f32(cx, S(5)), f32(cx, S(5))))
WRONG(similarity_whole, cbm_cosine_similarity(i64(cx, S(5, 2), 1), i64(cx, S(5, 2), 1)))
#define SEQUENCES(x_, t_, i_, l_, ...) cbm_ctc_loss(f32(cx, S x_), t_, i_, l_, __VA_ARGS__)
WRONG(ctc_rank, SEQUENCES((5, 2, 3, 1), i64(cx, S(2, 2), 1), i64(cx, S(2), 5), i64(cx, S(2), 2), .blank = 0))
WRONG(ctc_flat, SEQUENCES((5, 2, 3), i64(cx, S(4), 1), i64(cx, S(2), 5), i64(cx, S(2), 2), .blank = 0))
WRONG(ctc_batch, SEQUENCES((5, 2, 3), i64(cx, S(3, 2), 1), i64(cx, S(2), 5), i64(cx, S(2), 2), .blank = 0))
WRONG(ctc_lengths, SEQUENCES((5, 2, 3), i64(cx, S(2, 2), 1), i64(cx, S(3), 5), i64(cx, S(2), 2), .blank = 0))
WRONG(ctc_target_lengths, SEQUENCES((5, 2, 3), i64(cx, S(2, 2), 1), i64(cx, S(2), 5), i64(cx, S(1), 2), .blank = 0))
WRONG(ctc_floats, SEQUENCES((5, 2, 3), f32(cx, S(2, 2)), i64(cx, S(2), 5), i64(cx, S(2), 2), .blank = 0))
WRONG(ctc_blank, SEQUENCES((5, 2, 3), i64(cx, S(2, 2), 1), i64(cx, S(2), 5), i64(cx, S(2), 2), .blank = 3))
WRONG(ctc_frames, SEQUENCES((5, 2, 3), i64(cx, S(2, 2), 1), i64(cx, S(2), 6), i64(cx, S(2), 2), .blank = 0))
WRONG(ctc_length, SEQUENCES((5, 2, 3), i64(cx, S(2, 2), 1), i64(cx, S(2), 5), i64(cx, S(2), 3), .blank = 0))
WRONG(ctc_label, SEQUENCES((5, 2, 3), i64(cx, S(2, 2), 3), i64(cx, S(2), 5), i64(cx, S(2), 2), .blank = 0))
WRONG(ctc_blank_label, SEQUENCES((5, 2, 3), i64(cx, S(2, 2), 2), i64(cx, S(2), 5), i64(cx, S(2), 2), .blank = 2))
WRONG(ctc_whole, cbm_ctc_loss(i64(cx, S(5, 2, 3), 0), i64(cx, S(2, 2), 1), i64(cx, S(2), 5), i64(cx, S(2), 2)))
WRONG(ctc_null, cbm_ctc_loss(f32(cx, S(5, 2, 3)), i64(cx, S(2, 2), 1), NULL, i64(cx, S(2), 2)))
WRONG(ctc_reduction, SEQUENCES((5, 2, 3), i64(cx, S(2, 2), 1), i64(cx, S(2), 5), i64(cx, S(2), 2), .reduction = 9))

static const wrong_call wrong[] = {
    { mse_shapes, CBM_ERROR_SHAPE, { "[mse]", "(5, 3) and target (4, 3) must have one shape. HINT" } },
    { mse_dtypes, CBM_ERROR_DTYPE, { "[mse]", "not f32 and f64. HINT: convert" } },
    { mse_whole, CBM_ERROR_DTYPE, { "[mse]", "takes floats" } },
    { mse_null, CBM_ERROR_INVALID, { "operand", "NULL" } },
    { mse_reduction, CBM_ERROR_INVALID, { "[mse]", "no reduction number 7" } },
    { mse_batch_mean, CBM_ERROR_INVALID, { "[mse]", "no reduction number 3" } },
    { l1_shapes, CBM_ERROR_SHAPE, { "[l1_loss]", "one shape" } },
    { smooth_beta, CBM_ERROR_INVALID, { "[smooth_l1_loss]", "beta -1 is negative" } },
    { smooth_shapes, CBM_ERROR_SHAPE, { "[smooth_l1_loss]", "one shape" } },
    { huber_delta, CBM_ERROR_INVALID, { "[huber_loss]", "delta 0 is not positive" } },
    { huber_shapes, CBM_ERROR_SHAPE, { "[huber_loss]", "one shape" } },
    { gaussian_var, CBM_ERROR_SHAPE, { "[gaussian_nll_loss]", "var (4) does not broadcast to (5, 3)" } },
    { gaussian_eps, CBM_ERROR_INVALID, { "[gaussian_nll_loss]", "eps 0 is not positive" } },
    { gaussian_dtype, CBM_ERROR_DTYPE, { "[gaussian_nll_loss]", "f32 and f64" } },
    { gaussian_null, CBM_ERROR_INVALID, { "operand", "NULL" } },
    { poisson_shapes, CBM_ERROR_SHAPE, { "[poisson_nll_loss]", "one shape" } },
    { kl_shapes, CBM_ERROR_SHAPE, { "[kl_div]", "one shape" } },
    { kl_reduction, CBM_ERROR_INVALID, { "[kl_div]", "no reduction number 4" } },
    { bce_weight, CBM_ERROR_SHAPE, { "[binary_cross_entropy]", "weight (4) does not broadcast to (5)" } },
    { bce_larger, CBM_ERROR_SHAPE, { "[binary_cross_entropy]", "weight (2, 5) does not broadcast to (5)" } },
    { bce_shapes, CBM_ERROR_SHAPE, { "[binary_cross_entropy]", "one shape" } },
    { logits_weight, CBM_ERROR_DTYPE, { "[binary_cross_entropy_with_logits]", "f32 and f64" } },
    { logits_pos, CBM_ERROR_SHAPE, { "[binary_cross_entropy_with_logits]", "pos_weight (3) does not broadcast" } },
    { multilabel_soft_scalar, CBM_ERROR_SHAPE, { "[multilabel_soft_margin_loss]", "no axis of classes" } },
    { multilabel_soft_weight, CBM_ERROR_SHAPE, { "[multilabel_soft_margin_loss]", "weight (2) does not" } },
    { soft_shapes, CBM_ERROR_SHAPE, { "[soft_margin_loss]", "one shape" } },
    { hinge_shapes, CBM_ERROR_SHAPE, { "[hinge_embedding_loss]", "one shape" } },
    { entropy_shapes, CBM_ERROR_SHAPE, { "[cross_entropy]", "targets (4) do not match logits (5, 3)" } },
    { entropy_plain, CBM_ERROR_SHAPE, { "[cross_entropy]", "targets (4) do not match logits (5, 3)" } },
    { entropy_floats, CBM_ERROR_DTYPE, { "[cross_entropy]", "class numbers in i64, i32 or u8, not f32" } },
    { entropy_rank, CBM_ERROR_DTYPE, { "[cross_entropy]", "not f32" } },
    { entropy_weight, CBM_ERROR_SHAPE, { "[cross_entropy]", "weight (5) must hold one number for each of 3 classes" } },
    { entropy_weight_type, CBM_ERROR_DTYPE, { "[cross_entropy]", "f32 and f64" } },
    { entropy_smoothing, CBM_ERROR_INVALID, { "[cross_entropy]", "label_smoothing 1.5 is outside 0..1" } },
    { entropy_smoothing_nan, CBM_ERROR_INVALID, { "[cross_entropy]", "label_smoothing nan is outside" } },
    { entropy_label,
      CBM_ERROR_RANGE,
      { "[cross_entropy_rows] label 3 at position 0 is outside 0..2", "test_losses.c:" } },
    { entropy_ignored, CBM_ERROR_RANGE, { "[cross_entropy]", "label -100 at position 0 is outside 0..2" } },
    { entropy_not_ignored, CBM_ERROR_RANGE, { "[cross_entropy_rows]", "label -1 at position 0 is outside 0..2" } },
    { entropy_ignoring, CBM_ERROR_INVALID, { "[cross_entropy]", "ignore_index goes with class numbers" } },
    { entropy_probabilities, CBM_ERROR_DTYPE, { "[cross_entropy]", "f32 and f64" } },
    { entropy_reduction, CBM_ERROR_INVALID, { "[cross_entropy]", "no reduction number 3" } },
    { entropy_null, CBM_ERROR_INVALID, { "operand", "NULL" } },
    { nll_shapes, CBM_ERROR_SHAPE, { "[nll_loss]", "(4)" } },
    { nll_floats, CBM_ERROR_DTYPE, { "[nll_loss]", "not f32" } },
    { nll_weight, CBM_ERROR_SHAPE, { "[nll_loss]", "weight (3, 1) must hold" } },
    { nll_label, CBM_ERROR_RANGE, { "[gather] index -2", "test_losses.c:" } },
    { margin_p, CBM_ERROR_INVALID, { "[multi_margin_loss]", "p is 1 or 2" } },
    { margin_rank, CBM_ERROR_SHAPE, { "[multi_margin_loss]", "scores (N, C)" } },
    { margin_shapes, CBM_ERROR_SHAPE, { "[multi_margin_loss]", "(3)" } },
    { margin_weight, CBM_ERROR_SHAPE, { "[multi_margin_loss]", "weight (2)" } },
    { margin_label, CBM_ERROR_RANGE, { "9", "outside 0..2" } },
    { multilabel_shapes, CBM_ERROR_SHAPE, { "[multilabel_margin_loss]", "scores (5, 3) and targets (5, 2)" } },
    { multilabel_type, CBM_ERROR_DTYPE, { "[multilabel_margin_loss]", "not f32 and f32" } },
    { multilabel_label, CBM_ERROR_RANGE, { "3", "outside 0..2" } },
    { ranking_shapes, CBM_ERROR_SHAPE, { "[margin_ranking_loss]", "(5) and (4) do not broadcast" } },
    { ranking_target, CBM_ERROR_SHAPE, { "[margin_ranking_loss]", "(5) and (3) do not broadcast" } },
    { ranking_dtype, CBM_ERROR_DTYPE, { "[margin_ranking_loss]", "f32 and i64. HINT" } },
    { embedding_shapes, CBM_ERROR_SHAPE, { "[cosine_embedding_loss]", "not (5, 3) and (3)" } },
    { embedding_pair, CBM_ERROR_SHAPE, { "[cosine_embedding_loss]", "one shape" } },
    { triplet_shapes, CBM_ERROR_SHAPE, { "[triplet_margin_loss]", "do not broadcast" } },
    { triplet_p, CBM_ERROR_INVALID, { "[triplet_margin_loss]", "p 0 is not positive" } },
    { triplet_null, CBM_ERROR_INVALID, { "operand", "NULL" } },
    { distance_p, CBM_ERROR_INVALID, { "[pairwise_distance]", "p -2 is not positive" } },
    { distance_scalar, CBM_ERROR_SHAPE, { "[pairwise_distance]", "not scalars" } },
    { distance_shapes, CBM_ERROR_SHAPE, { "[pairwise_distance]", "do not broadcast" } },
    { similarity_axis, CBM_ERROR_SHAPE, { "[cosine_similarity]", "axis 1 is not one of shape (5)" } },
    { similarity_whole, CBM_ERROR_DTYPE, { "[cosine_similarity]", "floats" } },
    { ctc_rank, CBM_ERROR_SHAPE, { "[ctc_loss]", "log_probs (T, N, C) must have 3 dimensions" } },
    { ctc_flat, CBM_ERROR_SHAPE, { "[ctc_loss]", "targets (N, S) must have 2 dimensions" } },
    { ctc_batch, CBM_ERROR_SHAPE, { "[ctc_loss]", "targets (3, 2) have another batch than log_probs" } },
    { ctc_lengths, CBM_ERROR_SHAPE, { "[ctc_loss]", "input_lengths has shape (3), but must have (2)" } },
    { ctc_target_lengths, CBM_ERROR_SHAPE, { "[ctc_loss]", "target_lengths has shape (1)" } },
    { ctc_floats, CBM_ERROR_DTYPE, { "[ctc_loss]", "targets must hold i64 or i32, not f32" } },
    { ctc_blank, CBM_ERROR_INVALID, { "[ctc_loss]", "blank 3 is none of 3 classes" } },
    { ctc_frames, CBM_ERROR_RANGE, { "[ctc_loss]", "input length 6 of sample 0 is outside 0..5" } },
    { ctc_length, CBM_ERROR_RANGE, { "[ctc_loss]", "target length 3 of sample 0 is outside 0..2" } },
    { ctc_label, CBM_ERROR_RANGE, { "[ctc_loss]", "label 3 of sample 0 is outside 0..2" } },
    { ctc_blank_label, CBM_ERROR_RANGE, { "[ctc_loss]", "label 2 of sample 0 is the blank" } },
    { ctc_whole, CBM_ERROR_DTYPE, { "[ctc_loss]", "must be f32, f64 or bf16" } },
    { ctc_null, CBM_ERROR_INVALID, { "operand", "NULL" } },
    { ctc_reduction, CBM_ERROR_INVALID, { "[ctc_loss]", "no reduction number 9" } },
};

static void errors(void **state)
{
    (void)state;
    for (int d = 0; d < 2; d++)
        assert_int_equal(check_wrong_calls(wrong, sizeof wrong / sizeof *wrong, devices[d]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_in_pytorch), cmocka_unit_test(far_out), cmocka_unit_test(half_precision),
        cmocka_unit_test(second_order),  cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
