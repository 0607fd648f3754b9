/* ops/embedding.h: rows of a table looked up by number, alone and in bags. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_EMBEDDING_H
#define CAMBIUM_OPS_EMBEDDING_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

#define CBM_NO_PADDING (-1)

/* y[.., :] = weight[indices[..], :]: indices (..), i64 or i32; weight (V, D), floats -> (.., D). Row padding_idx
   (CBM_NO_PADDING: none) is read like any other and gets no gradient. The gradient adds rows up in the order of indices.
   An index outside 0..V - 1 is an error when computed. */
CBM_API cbm_tensor *cbm_embedding(cbm_tensor *indices, cbm_tensor *weight, int64_t padding_idx);

/* The rows of each bag reduced to one: (bags, D). Bags are the rows of indices (B, N), or pieces of indices (N) that begin
   at offsets (B), i64 or i32: the first is 0, none is less than the one before, none exceeds N. include_last_offset:
   offsets has one more, where the last bag ends. mode SUM, MEAN or MAX; per_sample_weights (like indices, of weight's dtype;
   SUM only) are factors of the rows. Indices that are padding_idx do not count at all. An empty bag gives zeros.
   Differentiable in weight and per_sample_weights. */
typedef enum cbm_bag_mode { CBM_BAG_SUM = 0, CBM_BAG_MEAN = 1, CBM_BAG_MAX = 2 } cbm_bag_mode;
typedef struct cbm_embedding_bag_options {
    uint64_t struct_size;
    cbm_tensor *offsets CBM_DEFAULT(0);
    cbm_tensor *per_sample_weights CBM_DEFAULT(0);
    uint64_t mode CBM_DEFAULT(CBM_BAG_MEAN);
    uint64_t include_last_offset CBM_DEFAULT(0);
    int64_t padding_idx CBM_DEFAULT(CBM_NO_PADDING);
} cbm_embedding_bag_options;
CBM_API cbm_tensor *cbm_embedding_bag_with(cbm_tensor *indices, cbm_tensor *weight,
                                           const cbm_embedding_bag_options *options);

CBM_END_DECLS

#ifndef __cplusplus
/* cbm_embedding_bag(indices, weight, .offsets = offsets, .mode = CBM_BAG_SUM) */
#define cbm_embedding_bag(...)                                                                                         \
    cbm_at(CBM_EMBEDDING_BAG_(__VA_ARGS__, .struct_size = sizeof(cbm_embedding_bag_options)), __FILE__, __LINE__)
#define CBM_EMBEDDING_BAG_(indices, weight, ...)                                                                       \
    CBM_OPTIONS_(cbm_embedding_bag_options, cbm_embedding_bag_with(indices, weight, &cbm_o_), .mode = CBM_BAG_MEAN,    \
                 .padding_idx = CBM_NO_PADDING, __VA_ARGS__)
#else
CBM_CPP_OPTIONS_(cbm_embedding_bag, cbm_embedding_bag_options,
                 (cbm_tensor * indices, cbm_tensor *weight, const cbm_embedding_bag_options &options = {}),
                 (indices, weight, &o))
#endif

#ifndef CBM_NO_CALL_SITES
#define cbm_embedding(...) cbm_at(cbm_embedding(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
