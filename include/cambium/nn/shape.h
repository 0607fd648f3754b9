/* nn/shape.h: layers that give elements another place. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_SHAPE_H
#define CAMBIUM_NN_SHAPE_H

#include <cambium/nn/module.h>
#include <cambium/ops/move.h>

CBM_BEGIN_DECLS

/* (N, ...) -> (N, rest). */
CBM_API cbm_module *cbm_nn_flatten(cbm_context *cx);
/* cbm_pad along the last axes: before[i] places in front, after[i] behind. */
CBM_API cbm_module *cbm_nn_pad_with(cbm_context *cx, cbm_shape before, cbm_shape after, const cbm_pad_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_PAD_(cx, before, after, ...)                                                                            \
    CBM_OPTIONS_(cbm_pad_options, cbm_nn_pad_with(cx, before, after, &cbm_o_), .value = 0, __VA_ARGS__)
/* cbm_nn_pad(cx, CBM_SHAPE(1, 1), CBM_SHAPE(1, 1), .mode = CBM_PAD_REFLECT) */
#define cbm_nn_pad(...) CBM_NN_PAD_(__VA_ARGS__, .struct_size = sizeof(cbm_pad_options))
#else
CBM_CPP_MODULE_(cbm_nn_pad, cbm_pad_options,
                (cbm_context * cx, cbm_shape before, cbm_shape after, const cbm_pad_options &options = {}),
                (cx, before, after, &o))
#endif

#endif
