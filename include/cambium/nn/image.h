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

/* Squeeze and excite (Hu, Shen and Sun 2018): x gate(fc2(activation(fc1(mean of each channel)))), with convolutions of 1x1
   fc1 (channels -> squeezed) and fc2 (back) and torchvision's names. The two units are modules, which become its parts;
   NULL: relu and sigmoid. */
typedef struct cbm_nn_squeeze_excite_options {
    uint64_t struct_size;
    cbm_module *activation CBM_DEFAULT(NULL);
    cbm_module *gate CBM_DEFAULT(NULL);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_squeeze_excite_options;
CBM_API void cbm_nn_squeeze_excite_options_init(cbm_nn_squeeze_excite_options *options);
CBM_API cbm_module *cbm_nn_squeeze_excite_with(cbm_context *cx, int64_t channels, int64_t squeezed,
                                               const cbm_nn_squeeze_excite_options *options);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_NN_UPSAMPLE_DEFAULTS .mode = CBM_INTERPOLATE_NEAREST, .align_corners = 0
#define CBM_NN_UPSAMPLE_(cx, ...)                                                                                      \
    CBM_OPTIONS_(cbm_nn_upsample_options, cbm_nn_upsample_with(cx, &cbm_o_), CBM_NN_UPSAMPLE_DEFAULTS, __VA_ARGS__)
/* cbm_nn_upsample(cx, .scale_factor = { 2 }) */
#define cbm_nn_upsample(...) CBM_NN_UPSAMPLE_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_upsample_options))
#define CBM_NN_SQUEEZE_EXCITE_DEFAULTS .dtype = CBM_F32
#define CBM_NN_SQUEEZE_EXCITE_(cx, channels, squeezed, ...)                                                            \
    CBM_OPTIONS_(cbm_nn_squeeze_excite_options, cbm_nn_squeeze_excite_with(cx, channels, squeezed, &cbm_o_),           \
                 CBM_NN_SQUEEZE_EXCITE_DEFAULTS, __VA_ARGS__)
/* cbm_nn_squeeze_excite(cx, 64, 16, .gate = cbm_nn_hardsigmoid(cx)) */
#define cbm_nn_squeeze_excite(...)                                                                                     \
    CBM_NN_SQUEEZE_EXCITE_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_squeeze_excite_options))
#else
CBM_CPP_MODULE_(cbm_nn_upsample, cbm_nn_upsample_options,
                (cbm_context * cx, const cbm_nn_upsample_options &options = {}), (cx, &o))
CBM_CPP_MODULE_(cbm_nn_squeeze_excite, cbm_nn_squeeze_excite_options,
                (cbm_context * cx, int64_t channels, int64_t squeezed,
                 const cbm_nn_squeeze_excite_options &options = {}),
                (cx, channels, squeezed, &o))
#endif

#endif
