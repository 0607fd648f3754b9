/* sequence.c: networks over sequences: an LSTM, a transformer's block, attention over many steps. */
#include "bench/networks/networks.h"

cbm_module *bench_lstm(cbm_context *cx)
{
    return cbm_nn_lstm(cx, 128, 256);
}

cbm_module *bench_transformer_block(cbm_context *cx)
{
    return cbm_nn_transformer_encoder_layer(cx, 256, 4, .dim_feedforward = 1024, .batch_first = true);
}

cbm_module *bench_transformer_block_plain(cbm_context *cx)
{
    return cbm_nn_transformer_encoder_layer(cx, 256, 4, .dim_feedforward = 1024, .batch_first = true, .dropout = 0);
}

cbm_module *bench_attention(cbm_context *cx)
{
    return cbm_nn_multihead_attention(cx, 256, 4, .batch_first = true);
}
