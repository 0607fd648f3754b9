/* ops/recurrent.h: recurrent layers over time. See ops.h for what holds for all operations; the layers of cambium/nn.h are made of
   these. */
#ifndef CAMBIUM_OPS_RECURRENT_H
#define CAMBIUM_OPS_RECURRENT_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* One layer in one direction, as PyTorch's RNN, LSTM and GRU compute it: x (T, B, in) -> output (T, B, P), the last state h
   (B, P), and of an LSTM the last cell state c (B, H). The weights are w_ih (gates H, in) and w_hh (gates H, P), with their
   gates one below the other in PyTorch's order: LSTM i, f, g, o; GRU r, z, n. P = H, but for an LSTM with w_hr.

   RNN (Elman 1990): h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or max(0, ...) with .relu
   LSTM (Hochreiter and Schmidhuber 1997; the forget gate of Gers et al. 2000), with s = W_ih x + b_ih + W_hh h + b_hh:
       i, f, o = sigmoid(s_i), sigmoid(s_f), sigmoid(s_o), g = tanh(s_g), c' = f c + i g, h' = o tanh(c'),
       with w_hr (P, H) h' = W_hr (o tanh(c')) (Sak et al. 2014)
   GRU (Cho et al. 2014): r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh), n = tanh(W_in x + b_in + r (W_hn h + b_hn)),
       h' = (1 - z) n + z h

   b_ih, b_hh (gates H): both or none of them. h0 (B, P) and c0 (B, H) are the first states, else zeros. lengths (B), i64 or
   i32 in 1..T, checked when computed: a sequence ends after so many steps; its output is 0 from there on, its last states are
   those of its own last step, and .reverse begins there. .reverse: steps are taken from the last to the first; output stays
   in the order of x, and the last state is that of step 0. All floats have one dtype: f32, f64 or bf16.

   The gradient of a gradient goes through a decomposition into one set of operations a step: meant for short sequences.

   Errors: shapes that do not fit, T = 0, lengths outside 1..T. */
typedef struct cbm_recurrent_options {
    uint64_t struct_size;
    cbm_tensor *b_ih CBM_DEFAULT(NULL);
    cbm_tensor *b_hh CBM_DEFAULT(NULL);
    cbm_tensor *w_hr CBM_DEFAULT(NULL); /* LSTM only */
    cbm_tensor *h0 CBM_DEFAULT(NULL);
    cbm_tensor *c0 CBM_DEFAULT(NULL); /* LSTM only */
    cbm_tensor *lengths CBM_DEFAULT(NULL);
    uint64_t reverse CBM_DEFAULT(0);
    uint64_t relu CBM_DEFAULT(0); /* RNN only */
} cbm_recurrent_options;

typedef struct cbm_recurrent_result {
    cbm_tensor *output, *h;
    cbm_tensor *c; /* of an LSTM, else NULL */
} cbm_recurrent_result;

CBM_API cbm_recurrent_result cbm_rnn_with(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh,
                                          const cbm_recurrent_options *options);
CBM_API cbm_recurrent_result cbm_lstm_with(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh,
                                           const cbm_recurrent_options *options);
CBM_API cbm_recurrent_result cbm_gru_with(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh,
                                          const cbm_recurrent_options *options);
/* cbm_at for such a result. */
CBM_API cbm_recurrent_result cbm_recurrent_at(cbm_recurrent_result result, const char *file, int line);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_RECURRENT_(function, x, w_ih, w_hh, ...)                                                                   \
    CBM_OPTIONS_(cbm_recurrent_options, function(x, w_ih, w_hh, &cbm_o_), .relu = 0, __VA_ARGS__)
#define CBM_RECURRENT_AT_(function, ...)                                                                               \
    cbm_recurrent_at(CBM_RECURRENT_(function, __VA_ARGS__, .struct_size = sizeof(cbm_recurrent_options)), __FILE__,    \
                     __LINE__)
/* cbm_recurrent_result r = cbm_lstm(x, w_ih, w_hh, .b_ih = b, .b_hh = c, .lengths = lengths) */
#define cbm_rnn(...) CBM_RECURRENT_AT_(cbm_rnn_with, __VA_ARGS__)
#define cbm_lstm(...) CBM_RECURRENT_AT_(cbm_lstm_with, __VA_ARGS__)
#define cbm_gru(...) CBM_RECURRENT_AT_(cbm_gru_with, __VA_ARGS__)
#else
static inline cbm_recurrent_result cbm_rnn(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh,
                                           const cbm_recurrent_options &options = {})
{
    cbm_recurrent_options o = options;
    o.struct_size = sizeof o;
    return cbm_rnn_with(x, w_ih, w_hh, &o);
}
static inline cbm_recurrent_result cbm_lstm(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh,
                                            const cbm_recurrent_options &options = {})
{
    cbm_recurrent_options o = options;
    o.struct_size = sizeof o;
    return cbm_lstm_with(x, w_ih, w_hh, &o);
}
static inline cbm_recurrent_result cbm_gru(cbm_tensor *x, cbm_tensor *w_ih, cbm_tensor *w_hh,
                                           const cbm_recurrent_options &options = {})
{
    cbm_recurrent_options o = options;
    o.struct_size = sizeof o;
    return cbm_gru_with(x, w_ih, w_hh, &o);
}
#endif

#endif
