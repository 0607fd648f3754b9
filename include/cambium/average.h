/* average.h: averages of a network's weights over the steps of training, to be evaluated and kept in the place of the last
   weights. */
#ifndef CAMBIUM_AVERAGE_H
#define CAMBIUM_AVERAGE_H

#include <cambium/nn.h>

CBM_BEGIN_DECLS

/* A second value of every parameter and buffer of a network, as PyTorch's AveragedModel. With p a parameter and a its
   average: the first update makes a = p, later ones
   EMA, the exponential moving average (Polyak and Juditsky 1992): a = a + (1 - decay) (p - a).
   SWA, stochastic weight averaging (Izmailov et al. 2018): a = a + (p - a) / (n + 1), n being the updates before: the mean
   of all of them.
   Buffers (running statistics) are copied at each update; with use_buffers those of floats are averaged like parameters.
   start, every: of the calls of cbm_average_update, the first start are passed over, and then each every-th counts. */
typedef struct cbm_average cbm_average;
typedef struct cbm_ema_options {
    uint64_t struct_size;
    double decay CBM_DEFAULT(0.999); /* in [0, 1) */
    uint64_t use_buffers CBM_DEFAULT(0);
    int64_t start CBM_DEFAULT(0);
    int64_t every CBM_DEFAULT(1);
} cbm_ema_options;
typedef struct cbm_swa_options {
    uint64_t struct_size;
    uint64_t use_buffers CBM_DEFAULT(0);
    int64_t start CBM_DEFAULT(0);
    int64_t every CBM_DEFAULT(1);
} cbm_swa_options;

/* An average of net, which begins as its weights are now. It belongs to the context; a failed one on error. */
CBM_API cbm_average *cbm_ema_with(cbm_module *net, const cbm_ema_options *options);
CBM_API cbm_average *cbm_swa_with(cbm_module *net, const cbm_swa_options *options);
/* Frees an average before its context closes. Swapped in, the averages stay in the network. NULL is allowed. */
CBM_API void cbm_average_release(cbm_average *average);

/* After a step: takes the network's weights into the average, in one plan. All or nothing. */
CBM_API cbm_status cbm_average_update(cbm_average *average);
/* Exchanges the network's weights and buffers with the average's: once to evaluate or save the network with them, and once
   more to go on training. No update can happen in between. All or nothing. After SWA, running statistics are those of no
   network: cbm_update_batch_norm in train.h makes them anew. */
CBM_API cbm_status cbm_average_swap(cbm_average *average);
CBM_API bool cbm_average_swapped(const cbm_average *average);
/* How many updates are in it. */
CBM_API int64_t cbm_average_updates(const cbm_average *average);

/* Its values, with the network's names: what the average holds, or, when swapped, the weights that wait to be put back. */
CBM_API size_t cbm_average_count(const cbm_average *average);
CBM_API bool cbm_average_at(const cbm_average *average, size_t index, cbm_named *out); /* false past the end */
CBM_API cbm_context *cbm_average_context(const cbm_average *average); /* NULL for a failed one without context */

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_EMA_DEFAULTS .decay = 0.999, .every = 1
#define CBM_SWA_DEFAULTS .every = 1
/* cbm_ema(net, .decay = 0.99), cbm_swa(net, .start = 1000, .every = 100) */
#define cbm_ema(...) CBM_AVERAGE_(ema, EMA, __VA_ARGS__, .struct_size = sizeof(cbm_ema_options))
#define cbm_swa(...) CBM_AVERAGE_(swa, SWA, __VA_ARGS__, .struct_size = sizeof(cbm_swa_options))
#define CBM_AVERAGE_(NAME, CAPITALS, net, ...)                                                                         \
    CBM_OPTIONS_(cbm_##NAME##_options, cbm_##NAME##_with(net, &cbm_o_), CBM_##CAPITALS##_DEFAULTS, __VA_ARGS__)
#else
#define CBM_AVERAGE_(NAME)                                                                                             \
    static inline cbm_average *cbm_##NAME(cbm_module *net, const cbm_##NAME##_options &options = {})                   \
    {                                                                                                                  \
        cbm_##NAME##_options o = options;                                                                              \
        o.struct_size = sizeof o;                                                                                      \
        return cbm_##NAME##_with(net, &o);                                                                             \
    }
CBM_AVERAGE_(ema)
CBM_AVERAGE_(swa)
#endif

#endif
