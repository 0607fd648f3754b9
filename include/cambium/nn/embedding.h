/* nn/embedding.h: tables of vectors that are looked up by number, alone and in bags. See nn.h for what holds for all
   modules. */
#ifndef CAMBIUM_NN_EMBEDDING_H
#define CAMBIUM_NN_EMBEDDING_H

#include <cambium/nn/module.h>
#include <cambium/ops/embedding.h>

CBM_BEGIN_DECLS

/* "weight" (count, width), standard normal: of indices (..), i64 or i32, the rows (.., width). Row padding_idx (CBM_NO_PADDING:
   none) begins as zeros and gets no gradient. dtype: f32 or f64. mode: of the bag only. */
typedef struct cbm_nn_embedding_options {
    uint64_t struct_size;
    int64_t padding_idx CBM_DEFAULT(CBM_NO_PADDING);
    uint64_t mode CBM_DEFAULT(CBM_BAG_MEAN);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_embedding_options;
CBM_API void cbm_nn_embedding_options_init(cbm_nn_embedding_options *options);
CBM_API cbm_module *cbm_nn_embedding_with(cbm_context *cx, int64_t count, int64_t width,
                                          const cbm_nn_embedding_options *options);
/* The same table; of each row of indices (B, N), a bag, the rows' sum, mean or maximum: (B, width). Padding does not count. For
   bags of several lengths call cbm_embedding_bag with offsets on its "weight". */
CBM_API cbm_module *cbm_nn_embedding_bag_with(cbm_context *cx, int64_t count, int64_t width,
                                              const cbm_nn_embedding_options *options);
/* An embedding that begins with the values of weight (count, width), f32 or f64. frozen: they stay. */
CBM_API cbm_module *cbm_nn_embedding_from(cbm_tensor *weight, bool frozen, int64_t padding_idx);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_EMBEDDING_DEFAULTS .padding_idx = CBM_NO_PADDING, .mode = CBM_BAG_MEAN, .dtype = CBM_F32
#define CBM_NN_EMBEDDING_(function_, cx, count, width, ...)                                                            \
    CBM_OPTIONS_(cbm_nn_embedding_options, function_(cx, count, width, &cbm_o_), CBM_NN_EMBEDDING_DEFAULTS, __VA_ARGS__)
/* cbm_nn_embedding(cx, 10000, 64), cbm_nn_embedding_bag(cx, 10000, 64, .mode = CBM_BAG_SUM) */
#define cbm_nn_embedding(...)                                                                                          \
    CBM_NN_EMBEDDING_(cbm_nn_embedding_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_embedding_options))
#define cbm_nn_embedding_bag(...)                                                                                      \
    CBM_NN_EMBEDDING_(cbm_nn_embedding_bag_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_embedding_options))
#else
CBM_CPP_MODULE_(cbm_nn_embedding, cbm_nn_embedding_options,
                (cbm_context * cx, int64_t count, int64_t width, const cbm_nn_embedding_options &options = {}),
                (cx, count, width, &o))
CBM_CPP_MODULE_(cbm_nn_embedding_bag, cbm_nn_embedding_options,
                (cbm_context * cx, int64_t count, int64_t width, const cbm_nn_embedding_options &options = {}),
                (cx, count, width, &o))
#endif

#endif
