/* nn/image.h: layers for pictures and their like: interpolation, channels that become places. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_IMAGE_H
#define CAMBIUM_NN_IMAGE_H

#include <cambium/nn/module.h>
#include <cambium/ops/image.h>

CBM_BEGIN_DECLS

/* cbm_interpolate as a layer. See ops/image.h for the options. */
typedef struct cbm_nn_upsample_options {
    uint64_t struct_size;
    cbm_shape size CBM_DEFAULT({});
    double scale_factor[3] CBM_DEFAULT({});
    int64_t mode CBM_DEFAULT(CBM_INTERPOLATE_NEAREST);
    uint64_t align_corners CBM_DEFAULT(0);
} cbm_nn_upsample_options;
CBM_API void cbm_nn_upsample_options_init(cbm_nn_upsample_options *options);
CBM_API cbm_module *cbm_nn_upsample_with(cbm_context *cx, const cbm_nn_upsample_options *options);

CBM_API cbm_module *cbm_nn_pixel_shuffle(cbm_context *cx, int64_t factor);
CBM_API cbm_module *cbm_nn_pixel_unshuffle(cbm_context *cx, int64_t factor);
CBM_API cbm_module *cbm_nn_channel_shuffle(cbm_context *cx, int64_t groups);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_UPSAMPLE_DEFAULTS .mode = CBM_INTERPOLATE_NEAREST, .align_corners = 0
#define CBM_NN_UPSAMPLE_(cx, ...)                                                                                      \
    CBM_OPTIONS_(cbm_nn_upsample_options, cbm_nn_upsample_with(cx, &cbm_o_), CBM_NN_UPSAMPLE_DEFAULTS, __VA_ARGS__)
/* cbm_nn_upsample(cx, .scale_factor = { 2 }) */
#define cbm_nn_upsample(...) CBM_NN_UPSAMPLE_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_upsample_options))
#else
CBM_CPP_MODULE_(cbm_nn_upsample, cbm_nn_upsample_options,
                (cbm_context * cx, const cbm_nn_upsample_options &options = {}), (cx, &o))
#endif

#endif
