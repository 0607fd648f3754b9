/* ops/loss.h: losses, with PyTorch's names and definitions; similarities and distances. See ops.h for what holds for all
   operations. Predictions are floats; of bf16 the loss is f32. Gradients go to all floating operands, but for class weights.

   Each takes .reduction: CBM_REDUCE_MEAN (the default), CBM_REDUCE_SUM, or CBM_REDUCE_NONE, which leaves a loss for each
   element (or sample). The mean of nothing is NaN. cbm_l1_loss(x, y, .reduction = CBM_REDUCE_SUM). */
#ifndef CAMBIUM_OPS_LOSS_H
#define CAMBIUM_OPS_LOSS_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

typedef enum cbm_reduction {
    CBM_REDUCE_MEAN = 0,
    CBM_REDUCE_SUM = 1,
    CBM_REDUCE_NONE = 2,
    CBM_REDUCE_BATCH_MEAN = 3 /* of cbm_kl_div only: the sum over the number of samples (axis 0) */
} cbm_reduction;
/* What has no other options. */
typedef struct cbm_loss_options {
    uint64_t struct_size;
    uint64_t reduction CBM_DEFAULT(0); /* a cbm_reduction */
} cbm_loss_options;

/* ---- classes ---- */

#define CBM_NO_INDEX INT64_MIN

/* Cross-entropy of logits (N, C) or (N, C, ...): -sum over c of t[c] weight[c] log softmax(x)[c]. targets are class numbers
   in i64, i32 or u8, (N) or (N, ...), t[c] being 1 for that class; or probabilities, floats of the logits' shape. The mean
   is the weighted one, over the targets' weights; of probabilities over N.. samples. Class numbers outside 0..C-1 are
   CBM_ERROR_RANGE when computed, but for ignore_index: PyTorch's default there, -100, must be asked for.
   The plain call, the mean of unweighted class numbers, is one fused operation. */
typedef struct cbm_cross_entropy_options {
    uint64_t struct_size;
    cbm_tensor *weight CBM_DEFAULT(NULL);           /* (C), of the loss's type */
    double label_smoothing CBM_DEFAULT(0);          /* t becomes (1 - this) t + this / C; 0 to 1 */
    int64_t ignore_index CBM_DEFAULT(CBM_NO_INDEX); /* samples of this class count for nothing; class numbers only */
    uint64_t reduction CBM_DEFAULT(0);
} cbm_cross_entropy_options;
CBM_API cbm_tensor *cbm_cross_entropy_with(cbm_tensor *logits, cbm_tensor *targets,
                                           const cbm_cross_entropy_options *options);

/* The same of log-probabilities and class numbers: -weight[t] log_probs[t]. */
typedef struct cbm_nll_loss_options {
    uint64_t struct_size;
    cbm_tensor *weight CBM_DEFAULT(NULL);
    int64_t ignore_index CBM_DEFAULT(CBM_NO_INDEX);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_nll_loss_options;
CBM_API cbm_tensor *cbm_nll_loss_with(cbm_tensor *log_probs, cbm_tensor *targets, const cbm_nll_loss_options *options);

/* x (N, C) scores, targets (N) class numbers: weight[t] / C sum over c != t of max(0, margin - x[t] + x[c])^p. */
typedef struct cbm_multi_margin_loss_options {
    uint64_t struct_size;
    int64_t p CBM_DEFAULT(1); /* 1 or 2 */
    double margin CBM_DEFAULT(1);
    cbm_tensor *weight CBM_DEFAULT(NULL); /* (C) */
    uint64_t reduction CBM_DEFAULT(0);
} cbm_multi_margin_loss_options;
CBM_API cbm_tensor *cbm_multi_margin_loss_with(cbm_tensor *x, cbm_tensor *targets,
                                               const cbm_multi_margin_loss_options *options);

/* x (N, C) scores, targets (N, C) i64 or i32: a row's class numbers up to the first negative one: 1 / C sum over targets t
   and all other classes c of max(0, 1 - x[t] + x[c]). Memory grows with N C^2. */
CBM_API cbm_tensor *cbm_multilabel_margin_loss_with(cbm_tensor *x, cbm_tensor *targets,
                                                    const cbm_loss_options *options);

/* x (.., C) logits, targets of the same shape, 0 to 1: the mean over classes of weight times binary cross-entropy. */
typedef struct cbm_multilabel_soft_margin_loss_options {
    uint64_t struct_size;
    cbm_tensor *weight CBM_DEFAULT(NULL); /* broadcasts to x */
    uint64_t reduction CBM_DEFAULT(0);
} cbm_multilabel_soft_margin_loss_options;
CBM_API cbm_tensor *cbm_multilabel_soft_margin_loss_with(cbm_tensor *x, cbm_tensor *targets,
                                                         const cbm_multilabel_soft_margin_loss_options *options);

/* Connectionist temporal classification (Graves et al. 2006): log_probs (T, N, C) as of cbm_log_softmax, targets (N, S) class
   numbers, input_lengths (N) up to T, target_lengths (N) up to S, all i64 or i32; or without N: (T, C), (S), and lengths of
   one element. Minus the log of the probability of all ways to read the target from the frames, where labels may last, and
   blanks stand between equal ones. The mean is that of losses over target lengths (at least 1).
   Infinite where the frames are too few; its gradient is then 0. RANGE when computed: lengths and labels out of range, a
   label that is the blank. Computed in f64, samples in parallel; derivatives up to the second. */
typedef struct cbm_ctc_loss_options {
    uint64_t struct_size;
    int64_t blank CBM_DEFAULT(0);
    uint64_t zero_infinity CBM_DEFAULT(0); /* 1: infinite losses are 0 */
    uint64_t reduction CBM_DEFAULT(0);
} cbm_ctc_loss_options;
CBM_API cbm_tensor *cbm_ctc_loss_with(cbm_tensor *log_probs, cbm_tensor *targets, cbm_tensor *input_lengths,
                                      cbm_tensor *target_lengths, const cbm_ctc_loss_options *options);

/* ---- values: x and target of one shape ---- */

CBM_API cbm_tensor *cbm_mse_with(cbm_tensor *x, cbm_tensor *target, const cbm_loss_options *options); /* (x - t)^2 */
CBM_API cbm_tensor *cbm_l1_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_loss_options *options); /* |x - t| */
/* d = |x - t|: d^2 / (2 beta) below beta, d - beta / 2 above; beta 0: |x - t|. (Girshick 2015) */
typedef struct cbm_smooth_l1_loss_options {
    uint64_t struct_size;
    double beta CBM_DEFAULT(1);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_smooth_l1_loss_options;
CBM_API cbm_tensor *cbm_smooth_l1_loss_with(cbm_tensor *x, cbm_tensor *target,
                                            const cbm_smooth_l1_loss_options *options);
/* d = |x - t|: d^2 / 2 up to delta, delta (d - delta / 2) beyond; delta > 0. (Huber 1964) */
typedef struct cbm_huber_loss_options {
    uint64_t struct_size;
    double delta CBM_DEFAULT(1);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_huber_loss_options;
CBM_API cbm_tensor *cbm_huber_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_huber_loss_options *options);

/* Of a normal distribution with mean x and variance var (of x's shape, or 1 or nothing in place of its last extent):
   (log var + (x - t)^2 / var) / 2, of a variance of eps at least (its gradient passes as if it were not raised); full adds
   log(2 pi) / 2. */
typedef struct cbm_gaussian_nll_loss_options {
    uint64_t struct_size;
    uint64_t full CBM_DEFAULT(0);
    double eps CBM_DEFAULT(1e-6);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_gaussian_nll_loss_options;
CBM_API cbm_tensor *cbm_gaussian_nll_loss_with(cbm_tensor *x, cbm_tensor *target, cbm_tensor *var,
                                               const cbm_gaussian_nll_loss_options *options);
/* Of a Poisson distribution: e^x - t x; without log_input x - t log(x + eps). full adds Stirling's log t!, for t > 1. */
typedef struct cbm_poisson_nll_loss_options {
    uint64_t struct_size;
    uint64_t log_input CBM_DEFAULT(1);
    uint64_t full CBM_DEFAULT(0);
    double eps CBM_DEFAULT(1e-8);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_poisson_nll_loss_options;
CBM_API cbm_tensor *cbm_poisson_nll_loss_with(cbm_tensor *x, cbm_tensor *target,
                                              const cbm_poisson_nll_loss_options *options);
/* t (log t - x), x being log-probabilities; 0 where t is 0. With log_target, t being logarithms too: e^t (t - x). The mean
   over all elements is seldom wanted: CBM_REDUCE_BATCH_MEAN is the divergence's. */
typedef struct cbm_kl_div_options {
    uint64_t struct_size;
    uint64_t log_target CBM_DEFAULT(0);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_kl_div_options;
CBM_API cbm_tensor *cbm_kl_div_with(cbm_tensor *x, cbm_tensor *target, const cbm_kl_div_options *options);

/* ---- two classes ---- */

/* x probabilities, t 0 to 1: -weight (t log x + (1 - t) log(1 - x)), logarithms not below -100; NaN for x outside 0..1. */
typedef struct cbm_binary_cross_entropy_options {
    uint64_t struct_size;
    cbm_tensor *weight CBM_DEFAULT(NULL); /* broadcasts to x */
    uint64_t reduction CBM_DEFAULT(0);
} cbm_binary_cross_entropy_options;
CBM_API cbm_tensor *cbm_binary_cross_entropy_with(cbm_tensor *x, cbm_tensor *target,
                                                  const cbm_binary_cross_entropy_options *options);
/* x logits: -weight (pos_weight t log sigmoid(x) + (1 - t) log sigmoid(-x)), accurate for large |x|. */
typedef struct cbm_binary_cross_entropy_with_logits_options {
    uint64_t struct_size;
    cbm_tensor *weight CBM_DEFAULT(NULL);     /* broadcasts to x */
    cbm_tensor *pos_weight CBM_DEFAULT(NULL); /* broadcasts to x */
    uint64_t reduction CBM_DEFAULT(0);
} cbm_binary_cross_entropy_with_logits_options;
CBM_API cbm_tensor *
cbm_binary_cross_entropy_with_logits_with(cbm_tensor *x, cbm_tensor *target,
                                          const cbm_binary_cross_entropy_with_logits_options *options);
/* t is 1 or -1: log(1 + e^(-t x)), accurate for large |x|. */
CBM_API cbm_tensor *cbm_soft_margin_loss_with(cbm_tensor *x, cbm_tensor *target, const cbm_loss_options *options);
/* x where t is 1, max(0, margin - x) where it is -1. */
typedef struct cbm_margin_loss_options {
    uint64_t struct_size;
    double margin CBM_DEFAULT(1);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_margin_loss_options;
CBM_API cbm_tensor *cbm_hinge_embedding_loss_with(cbm_tensor *x, cbm_tensor *target,
                                                  const cbm_margin_loss_options *options);

/* ---- pairs and triples ---- */

typedef struct cbm_ranking_loss_options {
    uint64_t struct_size;
    double margin CBM_DEFAULT(0);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_ranking_loss_options;
/* max(0, -t (a - b) + margin), t being 1 (a is to be larger) or -1; all broadcast. */
CBM_API cbm_tensor *cbm_margin_ranking_loss_with(cbm_tensor *a, cbm_tensor *b, cbm_tensor *target,
                                                 const cbm_ranking_loss_options *options);
/* a and b (N, D), t (N) 1 or -1; or without N: 1 - cos(a, b) where t is 1, max(0, cos(a, b) - margin) where it is -1. */
CBM_API cbm_tensor *cbm_cosine_embedding_loss_with(cbm_tensor *a, cbm_tensor *b, cbm_tensor *target,
                                                   const cbm_ranking_loss_options *options);
/* max(0, d(anchor, positive) - d(anchor, negative) + margin) of (.., D), d being cbm_pairwise_distance; swap: d(positive,
   negative) in the second's place where it is smaller (Balntas et al. 2016). */
typedef struct cbm_triplet_margin_loss_options {
    uint64_t struct_size;
    double margin CBM_DEFAULT(1);
    double p CBM_DEFAULT(2);
    double eps CBM_DEFAULT(1e-6);
    uint64_t swap CBM_DEFAULT(0);
    uint64_t reduction CBM_DEFAULT(0);
} cbm_triplet_margin_loss_options;
CBM_API cbm_tensor *cbm_triplet_margin_loss_with(cbm_tensor *anchor, cbm_tensor *positive, cbm_tensor *negative,
                                                 const cbm_triplet_margin_loss_options *options);

/* (sum over the last axis of |a - b + eps|^p)^(1/p); p > 0, INFINITY the largest. a and b broadcast. */
typedef struct cbm_pairwise_distance_options {
    uint64_t struct_size;
    double p CBM_DEFAULT(2);
    double eps CBM_DEFAULT(1e-6);
    uint64_t keepdim CBM_DEFAULT(0);
} cbm_pairwise_distance_options;
CBM_API cbm_tensor *cbm_pairwise_distance_with(cbm_tensor *a, cbm_tensor *b,
                                               const cbm_pairwise_distance_options *options);
/* sum of a b / (max(|a|, eps) max(|b|, eps)) over axis; a and b broadcast. */
typedef struct cbm_cosine_similarity_options {
    uint64_t struct_size;
    int64_t axis CBM_DEFAULT(1);
    double eps CBM_DEFAULT(1e-8);
} cbm_cosine_similarity_options;
CBM_API cbm_tensor *cbm_cosine_similarity_with(cbm_tensor *a, cbm_tensor *b,
                                               const cbm_cosine_similarity_options *options);

CBM_END_DECLS

#ifndef __cplusplus
/* A call of two, three, four tensors and options by name: defaults first, the user's behind them. */
#define CBM_LOSS_2_(type, function, defaults, a, b, ...)                                                               \
    CBM_OPTIONS_(type, function(a, b, &cbm_o_), CBM_UNPACK_ defaults, __VA_ARGS__)
#define CBM_LOSS_3_(type, function, defaults, a, b, c, ...)                                                            \
    CBM_OPTIONS_(type, function(a, b, c, &cbm_o_), CBM_UNPACK_ defaults, __VA_ARGS__)
#define CBM_LOSS_4_(type, function, defaults, a, b, c, d, ...)                                                         \
    CBM_OPTIONS_(type, function(a, b, c, d, &cbm_o_), CBM_UNPACK_ defaults, __VA_ARGS__)
#define CBM_UNPACK_(...) __VA_ARGS__
#define CBM_LOSS_(count, type, function, defaults, ...)                                                                \
    cbm_at(CBM_LOSS_##count##_(type, function, defaults, __VA_ARGS__, .struct_size = sizeof(type)), __FILE__, __LINE__)

/* cbm_cross_entropy(logits, targets), cbm_cross_entropy(logits, targets, .weight = w, .label_smoothing = 0.1) */
#define cbm_cross_entropy(...)                                                                                         \
    CBM_LOSS_(2, cbm_cross_entropy_options, cbm_cross_entropy_with, (.ignore_index = CBM_NO_INDEX, .reduction = 0),    \
              __VA_ARGS__)
#define cbm_nll_loss(...)                                                                                              \
    CBM_LOSS_(2, cbm_nll_loss_options, cbm_nll_loss_with, (.ignore_index = CBM_NO_INDEX, .reduction = 0), __VA_ARGS__)
#define cbm_multi_margin_loss(...)                                                                                     \
    CBM_LOSS_(2, cbm_multi_margin_loss_options, cbm_multi_margin_loss_with, (.p = 1, .margin = 1, .reduction = 0),     \
              __VA_ARGS__)
#define cbm_multilabel_margin_loss(...)                                                                                \
    CBM_LOSS_(2, cbm_loss_options, cbm_multilabel_margin_loss_with, (.reduction = 0), __VA_ARGS__)
#define cbm_multilabel_soft_margin_loss(...)                                                                           \
    CBM_LOSS_(2, cbm_multilabel_soft_margin_loss_options, cbm_multilabel_soft_margin_loss_with, (.reduction = 0),      \
              __VA_ARGS__)
#define cbm_ctc_loss(...) CBM_LOSS_(4, cbm_ctc_loss_options, cbm_ctc_loss_with, (.reduction = 0), __VA_ARGS__)
#define cbm_mse(...) CBM_LOSS_(2, cbm_loss_options, cbm_mse_with, (.reduction = 0), __VA_ARGS__)
#define cbm_l1_loss(...) CBM_LOSS_(2, cbm_loss_options, cbm_l1_loss_with, (.reduction = 0), __VA_ARGS__)
#define cbm_smooth_l1_loss(...)                                                                                        \
    CBM_LOSS_(2, cbm_smooth_l1_loss_options, cbm_smooth_l1_loss_with, (.beta = 1, .reduction = 0), __VA_ARGS__)
#define cbm_huber_loss(...)                                                                                            \
    CBM_LOSS_(2, cbm_huber_loss_options, cbm_huber_loss_with, (.delta = 1, .reduction = 0), __VA_ARGS__)
#define cbm_gaussian_nll_loss(...)                                                                                     \
    CBM_LOSS_(3, cbm_gaussian_nll_loss_options, cbm_gaussian_nll_loss_with, (.eps = 1e-6, .reduction = 0), __VA_ARGS__)
#define cbm_poisson_nll_loss(...)                                                                                      \
    CBM_LOSS_(2, cbm_poisson_nll_loss_options, cbm_poisson_nll_loss_with,                                              \
              (.log_input = 1, .eps = 1e-8, .reduction = 0), __VA_ARGS__)
#define cbm_kl_div(...) CBM_LOSS_(2, cbm_kl_div_options, cbm_kl_div_with, (.reduction = 0), __VA_ARGS__)
#define cbm_binary_cross_entropy(...)                                                                                  \
    CBM_LOSS_(2, cbm_binary_cross_entropy_options, cbm_binary_cross_entropy_with, (.reduction = 0), __VA_ARGS__)
#define cbm_binary_cross_entropy_with_logits(...)                                                                      \
    CBM_LOSS_(2, cbm_binary_cross_entropy_with_logits_options, cbm_binary_cross_entropy_with_logits_with,              \
              (.reduction = 0), __VA_ARGS__)
#define cbm_soft_margin_loss(...)                                                                                      \
    CBM_LOSS_(2, cbm_loss_options, cbm_soft_margin_loss_with, (.reduction = 0), __VA_ARGS__)
#define cbm_hinge_embedding_loss(...)                                                                                  \
    CBM_LOSS_(2, cbm_margin_loss_options, cbm_hinge_embedding_loss_with, (.margin = 1, .reduction = 0), __VA_ARGS__)
#define cbm_margin_ranking_loss(...)                                                                                   \
    CBM_LOSS_(3, cbm_ranking_loss_options, cbm_margin_ranking_loss_with, (.margin = 0, .reduction = 0), __VA_ARGS__)
#define cbm_cosine_embedding_loss(...)                                                                                 \
    CBM_LOSS_(3, cbm_ranking_loss_options, cbm_cosine_embedding_loss_with, (.margin = 0, .reduction = 0), __VA_ARGS__)
#define cbm_triplet_margin_loss(...)                                                                                   \
    CBM_LOSS_(3, cbm_triplet_margin_loss_options, cbm_triplet_margin_loss_with,                                        \
              (.margin = 1, .p = 2, .eps = 1e-6, .reduction = 0), __VA_ARGS__)
#define cbm_pairwise_distance(...)                                                                                     \
    CBM_LOSS_(2, cbm_pairwise_distance_options, cbm_pairwise_distance_with, (.p = 2, .eps = 1e-6, .keepdim = 0),       \
              __VA_ARGS__)
#define cbm_cosine_similarity(...)                                                                                     \
    CBM_LOSS_(2, cbm_cosine_similarity_options, cbm_cosine_similarity_with, (.axis = 1, .eps = 1e-8), __VA_ARGS__)
#else
#define CBM_CPP_LOSS_2_(name, type)                                                                                    \
    CBM_CPP_OPTIONS_(name, type, (cbm_tensor * x, cbm_tensor * target, const type &options = {}), (x, target, &o))
#define CBM_CPP_LOSS_3_(name, type)                                                                                    \
    CBM_CPP_OPTIONS_(name, type, (cbm_tensor * a, cbm_tensor * b, cbm_tensor * c, const type &options = {}),           \
                     (a, b, c, &o))
CBM_CPP_LOSS_2_(cbm_cross_entropy, cbm_cross_entropy_options)
CBM_CPP_LOSS_2_(cbm_nll_loss, cbm_nll_loss_options)
CBM_CPP_LOSS_2_(cbm_multi_margin_loss, cbm_multi_margin_loss_options)
CBM_CPP_LOSS_2_(cbm_multilabel_margin_loss, cbm_loss_options)
CBM_CPP_LOSS_2_(cbm_multilabel_soft_margin_loss, cbm_multilabel_soft_margin_loss_options)
CBM_CPP_LOSS_2_(cbm_mse, cbm_loss_options)
CBM_CPP_LOSS_2_(cbm_l1_loss, cbm_loss_options)
CBM_CPP_LOSS_2_(cbm_smooth_l1_loss, cbm_smooth_l1_loss_options)
CBM_CPP_LOSS_2_(cbm_huber_loss, cbm_huber_loss_options)
CBM_CPP_LOSS_2_(cbm_poisson_nll_loss, cbm_poisson_nll_loss_options)
CBM_CPP_LOSS_2_(cbm_kl_div, cbm_kl_div_options)
CBM_CPP_LOSS_2_(cbm_binary_cross_entropy, cbm_binary_cross_entropy_options)
CBM_CPP_LOSS_2_(cbm_binary_cross_entropy_with_logits, cbm_binary_cross_entropy_with_logits_options)
CBM_CPP_LOSS_2_(cbm_soft_margin_loss, cbm_loss_options)
CBM_CPP_LOSS_2_(cbm_hinge_embedding_loss, cbm_margin_loss_options)
CBM_CPP_LOSS_2_(cbm_pairwise_distance, cbm_pairwise_distance_options)
CBM_CPP_LOSS_2_(cbm_cosine_similarity, cbm_cosine_similarity_options)
CBM_CPP_LOSS_3_(cbm_gaussian_nll_loss, cbm_gaussian_nll_loss_options)
CBM_CPP_LOSS_3_(cbm_margin_ranking_loss, cbm_ranking_loss_options)
CBM_CPP_LOSS_3_(cbm_cosine_embedding_loss, cbm_ranking_loss_options)
CBM_CPP_LOSS_3_(cbm_triplet_margin_loss, cbm_triplet_margin_loss_options)
CBM_CPP_OPTIONS_(cbm_ctc_loss, cbm_ctc_loss_options,
                 (cbm_tensor * log_probs, cbm_tensor *targets, cbm_tensor *input_lengths, cbm_tensor *target_lengths,
                  const cbm_ctc_loss_options &options = {}),
                 (log_probs, targets, input_lengths, target_lengths, &o))
#endif

#endif
