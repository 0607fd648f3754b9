/* ops/attention.h: attention. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_ATTENTION_H
#define CAMBIUM_OPS_ATTENTION_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* Scaled dot-product attention (Vaswani et al. 2017): softmax(scale q k^T + mask) v along the last axis of the scores.
   q (..., L, E), k (..., S, E), v (..., S, Ev) -> (..., L, Ev), all of one dtype: f32, f64 or bf16. The leading dimensions are
   equal; but at the last of them, the heads, q may have a multiple of k's and v's: neighbouring heads of q then share one of
   theirs (PyTorch's enable_gqa).

   The scores (..., L, S) are never stored: they are computed block by block, with a running largest and sum (Rabe and Staats
   2021; Dao et al. 2022), and again in backward, from the logarithm of the sums. The gradient of a gradient, and that of a
   mask, go through a decomposition that does store them.

   .mask broadcasts to (..., L, S): bool, true where a place takes part, or numbers of q's dtype that are added to the
   scores. .causal: row i sees places 0..i alone; may be combined with a mask. A row that sees no place gives 0.
   .dropout zeroes each probability with this chance, and scales the others by 1 / (1 - dropout); new random numbers each
   time recorded. .scale: 0 stands for 1 / sqrt(E).

   Errors: dimensions or dtypes that do not fit, a dropout outside [0, 1], a scale that is not finite. */
typedef struct cbm_attention_options {
    uint64_t struct_size;
    cbm_tensor *mask CBM_DEFAULT(NULL);
    uint64_t causal CBM_DEFAULT(0);
    double dropout CBM_DEFAULT(0);
    double scale CBM_DEFAULT(0);
} cbm_attention_options;
CBM_API cbm_tensor *cbm_scaled_dot_product_attention_with(cbm_tensor *q, cbm_tensor *k, cbm_tensor *v,
                                                          const cbm_attention_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_ATTENTION_(q, k, v, ...)                                                                                   \
    CBM_OPTIONS_(cbm_attention_options, cbm_scaled_dot_product_attention_with(q, k, v, &cbm_o_), .scale = 0,           \
                 __VA_ARGS__)
/* cbm_scaled_dot_product_attention(q, k, v, .causal = true) */
#define cbm_scaled_dot_product_attention(...)                                                                          \
    cbm_at(CBM_ATTENTION_(__VA_ARGS__, .struct_size = sizeof(cbm_attention_options)), __FILE__, __LINE__)
#else
CBM_CPP_OPTIONS_(cbm_scaled_dot_product_attention, cbm_attention_options,
                 (cbm_tensor * q, cbm_tensor *k, cbm_tensor *v, const cbm_attention_options &options = {}),
                 (q, k, v, &o))
#endif

#endif
