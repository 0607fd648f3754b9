/* nn/recurrent.h: recurrent layers and cells, and sequences of different lengths. See nn.h for what holds for all modules, and
   ops/recurrent.h for the formulas. */
#ifndef CAMBIUM_NN_RECURRENT_H
#define CAMBIUM_NN_RECURRENT_H

#include <cambium/nn/module.h>
#include <cambium/ops/recurrent.h>

CBM_BEGIN_DECLS

/* Recurrent layers over (T, N, in), or (N, T, in) with .batch_first, or one sequence (T, in). D = 2 with .bidirectional, else 1;
   P = proj_size or hidden. Parameters of layer k, all uniform in +-1/sqrt(hidden): weight_ih_lk, weight_hh_lk, bias_ih_lk,
   bias_hh_lk, weight_hr_lk (with proj_size), and the same of the backward direction with "_reverse" behind. Each layer takes
   the output of the one before, (T, N, D P), both directions side by side; .dropout zeroes parts of it on the way, in
   training. */
typedef struct cbm_nn_recurrent_options {
    uint64_t struct_size;
    int64_t num_layers CBM_DEFAULT(1);
    uint64_t bias CBM_DEFAULT(1);
    uint64_t batch_first CBM_DEFAULT(0);
    double dropout CBM_DEFAULT(0);
    uint64_t bidirectional CBM_DEFAULT(0);
    int64_t proj_size CBM_DEFAULT(0); /* LSTM only; below hidden */
    uint64_t relu CBM_DEFAULT(0);     /* RNN only: PyTorch's nonlinearity="relu" */
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_recurrent_options;
CBM_API void cbm_nn_recurrent_options_init(cbm_nn_recurrent_options *options);
CBM_API cbm_module *cbm_nn_rnn_with(cbm_context *cx, int64_t in, int64_t hidden,
                                    const cbm_nn_recurrent_options *options);
CBM_API cbm_module *cbm_nn_lstm_with(cbm_context *cx, int64_t in, int64_t hidden,
                                     const cbm_nn_recurrent_options *options);
CBM_API cbm_module *cbm_nn_gru_with(cbm_context *cx, int64_t in, int64_t hidden,
                                    const cbm_nn_recurrent_options *options);

/* One step: (N, in) or (in) -> the new state (N, hidden). Parameters weight_ih, weight_hh, bias_ih, bias_hh. */
typedef struct cbm_nn_cell_options {
    uint64_t struct_size;
    uint64_t bias CBM_DEFAULT(1);
    uint64_t relu CBM_DEFAULT(0); /* RNN only */
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_cell_options;
CBM_API void cbm_nn_cell_options_init(cbm_nn_cell_options *options);
CBM_API cbm_module *cbm_nn_rnn_cell_with(cbm_context *cx, int64_t in, int64_t hidden,
                                         const cbm_nn_cell_options *options);
CBM_API cbm_module *cbm_nn_lstm_cell_with(cbm_context *cx, int64_t in, int64_t hidden,
                                          const cbm_nn_cell_options *options);
CBM_API cbm_module *cbm_nn_gru_cell_with(cbm_context *cx, int64_t in, int64_t hidden,
                                         const cbm_nn_cell_options *options);

/* Calls a recurrent layer or cell with states. cbm_call gives the output alone, from zeros.
   A layer: h0 (D num_layers, N, P), c0 (D num_layers, N, hidden), lengths (N), i64 or i32 in 1..T: each sequence ends after so
   many steps, the output is 0 from there on, and the backward direction begins there (PyTorch's packed sequences, in any
   order). -> output (T, N, D P) laid out as x, last states h and c as h0 and c0, each at its own sequence's end. Of one
   sequence (T, in) the N is left out everywhere.
   A cell: h0 (N, hidden), c0 (N, hidden); -> h (which output is too), c.
   c0 and c belong to LSTMs alone; c is NULL for the others. */
typedef struct cbm_recurrent_call_options {
    uint64_t struct_size;
    cbm_tensor *h0 CBM_DEFAULT(NULL);
    cbm_tensor *c0 CBM_DEFAULT(NULL);
    cbm_tensor *lengths CBM_DEFAULT(NULL);
} cbm_recurrent_call_options;
CBM_API cbm_recurrent_result cbm_recurrent_call_with(cbm_module *module, cbm_tensor *x,
                                                     const cbm_recurrent_call_options *options);

/* ---- sequences of different lengths ---- */

/* Tensors (length, ...), equal off the first axis, side by side: (T, N, ...), T the greatest length, or (N, T, ...) with
   .batch_first; value after each one's end. lengths (N) holds their lengths, i64. */
typedef struct cbm_padded {
    cbm_tensor *data, *lengths;
} cbm_padded;
typedef struct cbm_pad_sequence_options {
    uint64_t struct_size;
    uint64_t batch_first CBM_DEFAULT(0);
    double value CBM_DEFAULT(0);
} cbm_pad_sequence_options;
CBM_API cbm_padded cbm_pad_sequence_with(cbm_tensor *const *sequences, size_t count,
                                         const cbm_pad_sequence_options *options);
/* The other way round: out[i] becomes what comes before the end of sequence i, count of them. */
CBM_API cbm_status cbm_unpad_sequence(cbm_tensor *padded, const int64_t *lengths, size_t count, bool batch_first,
                                      cbm_tensor **out);

/* PyTorch's PackedSequence: the steps that there are, without the padding, all sequences' first steps before their second
   ones, longer sequences first: data (sum of lengths, ...). For what works on single steps, as losses do. */
typedef struct cbm_packed {
    cbm_tensor *data;
    cbm_tensor *batch_sizes; /* (T), i64: how many sequences have such a step */
    cbm_tensor *sorted_indices,
        *unsorted_indices; /* (N), i64: the order of the sequences; and each one's place in it */
} cbm_packed;
/* Packs (T, N, ...), or (N, T, ...) with batch_first. lengths: 1..T, count = N of them. */
CBM_API cbm_packed cbm_pack_padded(cbm_tensor *padded, const int64_t *lengths, size_t count, bool batch_first);
/* And back; .value where there is no step. */
CBM_API cbm_padded cbm_pad_packed_with(const cbm_packed *packed, const cbm_pad_sequence_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_RECURRENT_DEFAULTS .num_layers = 1, .bias = 1, .dtype = CBM_F32
#define CBM_NN_RECURRENT_(function, cx, in, hidden, ...)                                                               \
    CBM_OPTIONS_(cbm_nn_recurrent_options, function(cx, in, hidden, &cbm_o_), CBM_NN_RECURRENT_DEFAULTS, __VA_ARGS__)
/* cbm_nn_lstm(cx, 128, 256), cbm_nn_lstm(cx, 128, 256, .num_layers = 2, .bidirectional = true) */
#define cbm_nn_rnn(...) CBM_NN_RECURRENT_(cbm_nn_rnn_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_recurrent_options))
#define cbm_nn_lstm(...)                                                                                               \
    CBM_NN_RECURRENT_(cbm_nn_lstm_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_recurrent_options))
#define cbm_nn_gru(...) CBM_NN_RECURRENT_(cbm_nn_gru_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_recurrent_options))
#define CBM_NN_CELL_DEFAULTS .bias = 1, .dtype = CBM_F32
#define CBM_NN_CELL_(function, cx, in, hidden, ...)                                                                    \
    CBM_OPTIONS_(cbm_nn_cell_options, function(cx, in, hidden, &cbm_o_), CBM_NN_CELL_DEFAULTS, __VA_ARGS__)
#define cbm_nn_rnn_cell(...) CBM_NN_CELL_(cbm_nn_rnn_cell_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_cell_options))
#define cbm_nn_lstm_cell(...)                                                                                          \
    CBM_NN_CELL_(cbm_nn_lstm_cell_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_cell_options))
#define cbm_nn_gru_cell(...) CBM_NN_CELL_(cbm_nn_gru_cell_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_cell_options))
#define CBM_RECURRENT_CALL_(module, x, ...)                                                                            \
    CBM_OPTIONS_(cbm_recurrent_call_options, cbm_recurrent_call_with(module, x, &cbm_o_), .h0 = NULL, __VA_ARGS__)
/* cbm_recurrent_result r = cbm_recurrent_call(lstm, x, .h0 = h, .c0 = c, .lengths = lengths) */
#define cbm_recurrent_call(...)                                                                                        \
    cbm_recurrent_at(CBM_RECURRENT_CALL_(__VA_ARGS__, .struct_size = sizeof(cbm_recurrent_call_options)), __FILE__,    \
                     __LINE__)
#define CBM_PAD_SEQUENCE_(sequences, count, ...)                                                                       \
    CBM_OPTIONS_(cbm_pad_sequence_options, cbm_pad_sequence_with(sequences, count, &cbm_o_), .value = 0, __VA_ARGS__)
#define cbm_pad_sequence(...) CBM_PAD_SEQUENCE_(__VA_ARGS__, .struct_size = sizeof(cbm_pad_sequence_options))
#define CBM_PAD_PACKED_(packed, ...)                                                                                   \
    CBM_OPTIONS_(cbm_pad_sequence_options, cbm_pad_packed_with(packed, &cbm_o_), .value = 0, __VA_ARGS__)
#define cbm_pad_packed(...) CBM_PAD_PACKED_(__VA_ARGS__, .struct_size = sizeof(cbm_pad_sequence_options))
#else
CBM_CPP_MODULE_(cbm_nn_rnn, cbm_nn_recurrent_options,
                (cbm_context * cx, int64_t in, int64_t hidden, const cbm_nn_recurrent_options &options = {}),
                (cx, in, hidden, &o))
CBM_CPP_MODULE_(cbm_nn_lstm, cbm_nn_recurrent_options,
                (cbm_context * cx, int64_t in, int64_t hidden, const cbm_nn_recurrent_options &options = {}),
                (cx, in, hidden, &o))
CBM_CPP_MODULE_(cbm_nn_gru, cbm_nn_recurrent_options,
                (cbm_context * cx, int64_t in, int64_t hidden, const cbm_nn_recurrent_options &options = {}),
                (cx, in, hidden, &o))
CBM_CPP_MODULE_(cbm_nn_rnn_cell, cbm_nn_cell_options,
                (cbm_context * cx, int64_t in, int64_t hidden, const cbm_nn_cell_options &options = {}),
                (cx, in, hidden, &o))
CBM_CPP_MODULE_(cbm_nn_lstm_cell, cbm_nn_cell_options,
                (cbm_context * cx, int64_t in, int64_t hidden, const cbm_nn_cell_options &options = {}),
                (cx, in, hidden, &o))
CBM_CPP_MODULE_(cbm_nn_gru_cell, cbm_nn_cell_options,
                (cbm_context * cx, int64_t in, int64_t hidden, const cbm_nn_cell_options &options = {}),
                (cx, in, hidden, &o))
static inline cbm_recurrent_result cbm_recurrent_call(cbm_module *module, cbm_tensor *x,
                                                      const cbm_recurrent_call_options &options = {})
{
    cbm_recurrent_call_options o = options;
    o.struct_size = sizeof o;
    return cbm_recurrent_call_with(module, x, &o);
}
static inline cbm_padded cbm_pad_sequence(cbm_tensor *const *sequences, size_t count,
                                          const cbm_pad_sequence_options &options = {})
{
    cbm_pad_sequence_options o = options;
    o.struct_size = sizeof o;
    return cbm_pad_sequence_with(sequences, count, &o);
}
static inline cbm_padded cbm_pad_packed(const cbm_packed *packed, const cbm_pad_sequence_options &options = {})
{
    cbm_pad_sequence_options o = options;
    o.struct_size = sizeof o;
    return cbm_pad_packed_with(packed, &o);
}
#endif

#endif
