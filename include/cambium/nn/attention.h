/* nn/attention.h: multi-head attention, transformers, positions. See nn.h for what holds for all modules, and ops/attention.h for
   attention itself. */
#ifndef CAMBIUM_NN_ATTENTION_H
#define CAMBIUM_NN_ATTENTION_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Multi-head attention (Vaswani et al. 2017) of width features in `heads` heads, which divide it: queries (L, N, width), keys
   (S, N, kdim) and values (S, N, vdim), or with .batch_first (N, L, width) and so on; or without N -> queries' shape.
   Parameters: in_proj_weight (3 width, width), of q, k, v one below the other, or, where kdim or vdim is another width,
   q_proj_weight (width, width), k_proj_weight (width, kdim), v_proj_weight (width, vdim); in_proj_bias (3 width);
   out_proj.weight (width, width), out_proj.bias (width). Projections are uniform in Xavier's bounds, biases 0, out_proj.weight
   as a linear layer's. .dropout of the probabilities, in training. */
typedef struct cbm_nn_multihead_attention_options {
    uint64_t struct_size;
    double dropout CBM_DEFAULT(0);
    uint64_t bias CBM_DEFAULT(1);
    int64_t kdim CBM_DEFAULT(0); /* 0: width */
    int64_t vdim CBM_DEFAULT(0);
    uint64_t batch_first CBM_DEFAULT(0);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_multihead_attention_options;
CBM_API void cbm_nn_multihead_attention_options_init(cbm_nn_multihead_attention_options *options);
CBM_API cbm_module *cbm_nn_multihead_attention_with(cbm_context *cx, int64_t width, int64_t heads,
                                                    const cbm_nn_multihead_attention_options *options);

/* Calls it with keys and values of their own, and masks. cbm_call lets x attend to itself.
   Masks are as PyTorch's module has them, the other way round than those of cbm_scaled_dot_product_attention: bool, true where
   a key is left out; or numbers that are added to the scores. key_padding_mask (N, S), or (S) without N; attn_mask (L, S) or
   (N heads, L, S). .causal: query i sees keys 0..i alone. A query that sees no key gives out_proj's bias.
   .need_weights: the probabilities too, (N, L, S), averaged over the heads, or (N, heads, L, S) with .per_head (without N:
   without it); they are then stored. */
typedef struct cbm_attention_call_options {
    uint64_t struct_size;
    cbm_tensor *key CBM_DEFAULT(NULL);   /* NULL: the query */
    cbm_tensor *value CBM_DEFAULT(NULL); /* NULL: the key */
    cbm_tensor *key_padding_mask CBM_DEFAULT(NULL);
    cbm_tensor *attn_mask CBM_DEFAULT(NULL);
    uint64_t causal CBM_DEFAULT(0);
    uint64_t need_weights CBM_DEFAULT(0);
    uint64_t per_head CBM_DEFAULT(0);
} cbm_attention_call_options;
typedef struct cbm_attention_result {
    cbm_tensor *output;
    cbm_tensor *weights; /* NULL unless asked for */
} cbm_attention_result;
CBM_API cbm_attention_result cbm_attention_call_with(cbm_module *module, cbm_tensor *query,
                                                     const cbm_attention_call_options *options);

/* Layers of a transformer, and stacks of them (Vaswani et al. 2017), with PyTorch's parts and names. An encoder layer is
   x = norm1(x + dropout1(self_attn(x))); x = norm2(x + dropout2(linear2(dropout(act(linear1(x)))))); a decoder layer has
   multihead_attn, which attends to the memory, between them, and norm3. .norm_first puts each norm before its part instead
   (Xiong et al. 2020). A stack is layers.0, layers.1, ..., each made anew, and with .final_norm norm, for which norm_first
   asks. Sequences lie as in multi-head attention. */
typedef enum cbm_transformer_activation {
    CBM_TRANSFORMER_RELU = 0,
    CBM_TRANSFORMER_GELU = 1
} cbm_transformer_activation;
typedef struct cbm_nn_transformer_options {
    uint64_t struct_size;
    int64_t dim_feedforward CBM_DEFAULT(2048);
    double dropout CBM_DEFAULT(0.1);
    int64_t activation CBM_DEFAULT(CBM_TRANSFORMER_RELU);
    double layer_norm_eps CBM_DEFAULT(1e-5);
    uint64_t batch_first CBM_DEFAULT(0);
    uint64_t norm_first CBM_DEFAULT(0);
    uint64_t bias CBM_DEFAULT(1);
    uint64_t final_norm CBM_DEFAULT(0); /* stacks only */
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_transformer_options;
CBM_API void cbm_nn_transformer_options_init(cbm_nn_transformer_options *options);
CBM_API cbm_module *cbm_nn_transformer_encoder_layer_with(cbm_context *cx, int64_t width, int64_t heads,
                                                          const cbm_nn_transformer_options *options);
CBM_API cbm_module *cbm_nn_transformer_decoder_layer_with(cbm_context *cx, int64_t width, int64_t heads,
                                                          const cbm_nn_transformer_options *options);
CBM_API cbm_module *cbm_nn_transformer_encoder_with(cbm_context *cx, int64_t width, int64_t heads, int64_t layers,
                                                    const cbm_nn_transformer_options *options);
CBM_API cbm_module *cbm_nn_transformer_decoder_with(cbm_context *cx, int64_t width, int64_t heads, int64_t layers,
                                                    const cbm_nn_transformer_options *options);

/* Calls an encoder, a decoder or a layer of them with masks, as in cbm_attention_call; a decoder needs its memory. cbm_call
   does for encoders without masks. */
typedef struct cbm_transformer_call_options {
    uint64_t struct_size;
    cbm_tensor *mask CBM_DEFAULT(NULL);             /* of x among itself: PyTorch's src_mask, tgt_mask */
    cbm_tensor *key_padding_mask CBM_DEFAULT(NULL); /* src_key_padding_mask, tgt_key_padding_mask */
    uint64_t causal CBM_DEFAULT(0);
    cbm_tensor *memory CBM_DEFAULT(NULL); /* decoders only, as all below */
    cbm_tensor *memory_mask CBM_DEFAULT(NULL);
    cbm_tensor *memory_key_padding_mask CBM_DEFAULT(NULL);
    uint64_t memory_causal CBM_DEFAULT(0);
} cbm_transformer_call_options;
CBM_API cbm_tensor *cbm_transformer_call_with(cbm_module *module, cbm_tensor *x,
                                              const cbm_transformer_call_options *options);

/* A whole transformer: encoder, a stack of encoder_layers, and decoder, one of decoder_layers, both with a norm at the end
   whatever .final_norm says; weights uniform in Xavier's bounds. */
CBM_API cbm_module *cbm_nn_transformer_with(cbm_context *cx, int64_t width, int64_t heads, int64_t encoder_layers,
                                            int64_t decoder_layers, const cbm_nn_transformer_options *options);
/* decoder(target, encoder(source)), in the target's shape; the masks as in cbm_attention_call. */
typedef struct cbm_encode_decode_options {
    uint64_t struct_size;
    cbm_tensor *source_mask CBM_DEFAULT(NULL);             /* PyTorch's src_mask */
    cbm_tensor *source_key_padding_mask CBM_DEFAULT(NULL); /* src_key_padding_mask */
    uint64_t source_causal CBM_DEFAULT(0);
    cbm_tensor *target_mask CBM_DEFAULT(NULL);             /* tgt_mask */
    cbm_tensor *target_key_padding_mask CBM_DEFAULT(NULL); /* tgt_key_padding_mask */
    uint64_t target_causal CBM_DEFAULT(0);
    cbm_tensor *memory_mask CBM_DEFAULT(NULL);
    cbm_tensor *memory_key_padding_mask CBM_DEFAULT(NULL);
    uint64_t memory_causal CBM_DEFAULT(0);
} cbm_encode_decode_options;
CBM_API cbm_tensor *cbm_encode_decode_with(cbm_module *transformer, cbm_tensor *source, cbm_tensor *target,
                                           const cbm_encode_decode_options *options);

/* (length, width): sin(position / 10000^(2 i / width)) in column 2 i, the cosine in column 2 i + 1 (Vaswani et al. 2017).
   dtype f32 or f64. */
CBM_API cbm_tensor *cbm_sinusoidal_positions(cbm_context *cx, cbm_dtype dtype, int64_t length, int64_t width);
/* Adds them to x (T, N, width), or (N, T, width) with .batch_first, or (T, width), T at most .max_length; then dropout, in
   training. Buffer pe (max_length, width). Learned positions are an embedding. */
typedef struct cbm_nn_positional_encoding_options {
    uint64_t struct_size;
    int64_t max_length CBM_DEFAULT(5000);
    double dropout CBM_DEFAULT(0);
    uint64_t batch_first CBM_DEFAULT(0);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_positional_encoding_options;
CBM_API void cbm_nn_positional_encoding_options_init(cbm_nn_positional_encoding_options *options);
CBM_API cbm_module *cbm_nn_positional_encoding_with(cbm_context *cx, int64_t width,
                                                    const cbm_nn_positional_encoding_options *options);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_sinusoidal_positions(...) cbm_at(cbm_sinusoidal_positions(__VA_ARGS__), __FILE__, __LINE__)
#endif

#ifndef __cplusplus
#define CBM_NN_MULTIHEAD_ATTENTION_DEFAULTS .bias = 1, .dtype = CBM_F32
#define CBM_NN_MULTIHEAD_ATTENTION_(cx, width, heads, ...)                                                             \
    CBM_OPTIONS_(cbm_nn_multihead_attention_options, cbm_nn_multihead_attention_with(cx, width, heads, &cbm_o_),       \
                 CBM_NN_MULTIHEAD_ATTENTION_DEFAULTS, __VA_ARGS__)
/* cbm_nn_multihead_attention(cx, 256, 4, .batch_first = true) */
#define cbm_nn_multihead_attention(...)                                                                                \
    CBM_NN_MULTIHEAD_ATTENTION_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_multihead_attention_options))
#define CBM_ATTENTION_CALL_(module, query, ...)                                                                        \
    CBM_OPTIONS_(cbm_attention_call_options, cbm_attention_call_with(module, query, &cbm_o_), .per_head = 0,           \
                 __VA_ARGS__)
/* cbm_attention_call(attention, x, .key = memory, .key_padding_mask = ends).output */
#define cbm_attention_call(...) CBM_ATTENTION_CALL_(__VA_ARGS__, .struct_size = sizeof(cbm_attention_call_options))
#define CBM_NN_TRANSFORMER_DEFAULTS                                                                                    \
    .dim_feedforward = 2048, .dropout = 0.1, .layer_norm_eps = 1e-5, .bias = 1, .dtype = CBM_F32
#define CBM_NN_TRANSFORMER_LAYER_(function, cx, width, heads, ...)                                                     \
    CBM_OPTIONS_(cbm_nn_transformer_options, function(cx, width, heads, &cbm_o_), CBM_NN_TRANSFORMER_DEFAULTS,         \
                 __VA_ARGS__)
#define CBM_NN_TRANSFORMER_(function, cx, width, heads, layers, ...)                                                   \
    CBM_OPTIONS_(cbm_nn_transformer_options, function(cx, width, heads, layers, &cbm_o_), CBM_NN_TRANSFORMER_DEFAULTS, \
                 __VA_ARGS__)
/* cbm_nn_transformer_encoder_layer(cx, 256, 4, .dim_feedforward = 1024, .batch_first = true) */
#define cbm_nn_transformer_encoder_layer(...)                                                                          \
    CBM_NN_TRANSFORMER_LAYER_(cbm_nn_transformer_encoder_layer_with, __VA_ARGS__,                                      \
                              .struct_size = sizeof(cbm_nn_transformer_options))
#define cbm_nn_transformer_decoder_layer(...)                                                                          \
    CBM_NN_TRANSFORMER_LAYER_(cbm_nn_transformer_decoder_layer_with, __VA_ARGS__,                                      \
                              .struct_size = sizeof(cbm_nn_transformer_options))
/* cbm_nn_transformer_encoder(cx, 256, 4, 6, .norm_first = true, .final_norm = true) */
#define cbm_nn_transformer_encoder(...)                                                                                \
    CBM_NN_TRANSFORMER_(cbm_nn_transformer_encoder_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_transformer_options))
#define cbm_nn_transformer_decoder(...)                                                                                \
    CBM_NN_TRANSFORMER_(cbm_nn_transformer_decoder_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_transformer_options))
#define CBM_TRANSFORMER_CALL_(module, x, ...)                                                                          \
    CBM_OPTIONS_(cbm_transformer_call_options, cbm_transformer_call_with(module, x, &cbm_o_), .memory_causal = 0,      \
                 __VA_ARGS__)
/* cbm_transformer_call(decoder, y, .memory = encoded, .causal = true) */
#define cbm_transformer_call(...)                                                                                      \
    cbm_at(CBM_TRANSFORMER_CALL_(__VA_ARGS__, .struct_size = sizeof(cbm_transformer_call_options)), __FILE__, __LINE__)
#define CBM_NN_TRANSFORMER_PAIR_(cx, width, heads, encoder, decoder, ...)                                              \
    CBM_OPTIONS_(cbm_nn_transformer_options, cbm_nn_transformer_with(cx, width, heads, encoder, decoder, &cbm_o_),     \
                 CBM_NN_TRANSFORMER_DEFAULTS, __VA_ARGS__)
/* cbm_nn_transformer(cx, 512, 8, 6, 6, .batch_first = true) */
#define cbm_nn_transformer(...) CBM_NN_TRANSFORMER_PAIR_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_transformer_options))
#define CBM_ENCODE_DECODE_(transformer, source, target, ...)                                                           \
    CBM_OPTIONS_(cbm_encode_decode_options, cbm_encode_decode_with(transformer, source, target, &cbm_o_),              \
                 .memory_causal = 0, __VA_ARGS__)
/* cbm_encode_decode(net, source, target, .target_causal = true) */
#define cbm_encode_decode(...)                                                                                         \
    cbm_at(CBM_ENCODE_DECODE_(__VA_ARGS__, .struct_size = sizeof(cbm_encode_decode_options)), __FILE__, __LINE__)
#define CBM_NN_POSITIONAL_ENCODING_DEFAULTS .max_length = 5000, .dtype = CBM_F32
#define CBM_NN_POSITIONAL_ENCODING_(cx, width, ...)                                                                    \
    CBM_OPTIONS_(cbm_nn_positional_encoding_options, cbm_nn_positional_encoding_with(cx, width, &cbm_o_),              \
                 CBM_NN_POSITIONAL_ENCODING_DEFAULTS, __VA_ARGS__)
#define cbm_nn_positional_encoding(...)                                                                                \
    CBM_NN_POSITIONAL_ENCODING_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_positional_encoding_options))
#else
CBM_CPP_MODULE_(cbm_nn_multihead_attention, cbm_nn_multihead_attention_options,
                (cbm_context * cx, int64_t width, int64_t heads,
                 const cbm_nn_multihead_attention_options &options = {}),
                (cx, width, heads, &o))
CBM_CPP_MODULE_(cbm_nn_transformer_encoder_layer, cbm_nn_transformer_options,
                (cbm_context * cx, int64_t width, int64_t heads, const cbm_nn_transformer_options &options = {}),
                (cx, width, heads, &o))
CBM_CPP_MODULE_(cbm_nn_transformer_decoder_layer, cbm_nn_transformer_options,
                (cbm_context * cx, int64_t width, int64_t heads, const cbm_nn_transformer_options &options = {}),
                (cx, width, heads, &o))
CBM_CPP_MODULE_(cbm_nn_transformer_encoder, cbm_nn_transformer_options,
                (cbm_context * cx, int64_t width, int64_t heads, int64_t layers,
                 const cbm_nn_transformer_options &options = {}),
                (cx, width, heads, layers, &o))
CBM_CPP_MODULE_(cbm_nn_transformer_decoder, cbm_nn_transformer_options,
                (cbm_context * cx, int64_t width, int64_t heads, int64_t layers,
                 const cbm_nn_transformer_options &options = {}),
                (cx, width, heads, layers, &o))
CBM_CPP_MODULE_(cbm_nn_transformer, cbm_nn_transformer_options,
                (cbm_context * cx, int64_t width, int64_t heads, int64_t encoder_layers, int64_t decoder_layers,
                 const cbm_nn_transformer_options &options = {}),
                (cx, width, heads, encoder_layers, decoder_layers, &o))
CBM_CPP_MODULE_(cbm_nn_positional_encoding, cbm_nn_positional_encoding_options,
                (cbm_context * cx, int64_t width, const cbm_nn_positional_encoding_options &options = {}),
                (cx, width, &o))
CBM_CPP_OPTIONS_(cbm_transformer_call, cbm_transformer_call_options,
                 (cbm_module * module, cbm_tensor *x, const cbm_transformer_call_options &options = {}),
                 (module, x, &o))
CBM_CPP_OPTIONS_(cbm_encode_decode, cbm_encode_decode_options,
                 (cbm_module * transformer, cbm_tensor *source, cbm_tensor *target,
                  const cbm_encode_decode_options &options = {}),
                 (transformer, source, target, &o))
static inline cbm_attention_result cbm_attention_call(cbm_module *module, cbm_tensor *query,
                                                      const cbm_attention_call_options &options = {})
{
    cbm_attention_call_options o = options;
    o.struct_size = sizeof o;
    return cbm_attention_call_with(module, query, &o);
}
#endif

#endif
