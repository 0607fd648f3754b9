/* ops/image.h: interpolation, and channels that become places and back. See ops.h for what holds for all operations. */
#ifndef CAMBIUM_OPS_IMAGE_H
#define CAMBIUM_OPS_IMAGE_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

typedef enum cbm_interpolation {
    CBM_INTERPOLATE_NEAREST = 0,       /* element floor(i s), s = L / L' */
    CBM_INTERPOLATE_NEAREST_EXACT = 1, /* element floor((i + 1/2) s) */
    CBM_INTERPOLATE_LINEAR = 2,        /* between the two elements around (i + 1/2) s - 1/2; bilinear, trilinear */
    CBM_INTERPOLATE_CUBIC = 3,         /* among the four around it (Keys 1981, a = -3/4); bicubic */
    CBM_INTERPOLATE_AREA = 4 /* the mean of elements floor(i s) to ceil((i + 1) s) - 1: adaptive average pooling */
} cbm_interpolation;

/* x (N, C, L), (N, C, H, W) or (N, C, D, H, W), floats, to other extents L', each dimension by itself. Either size (one value
   for all dimensions, or one for each) or scale_factor is given (zeros behind the first: as the first); then
   L' = floor(L scale_factor) and s = 1 / scale_factor. align_corners (linear, cubic): the first and last elements stay at the
   ends, result i lies at i (L - 1) / (L' - 1). Errors: neither size nor factor, an extent of 0. */
typedef struct cbm_interpolate_options {
    uint64_t struct_size;
    cbm_shape size CBM_DEFAULT({});
    double scale_factor[3] CBM_DEFAULT({});
    int64_t mode CBM_DEFAULT(CBM_INTERPOLATE_NEAREST);
    uint64_t align_corners CBM_DEFAULT(0);
} cbm_interpolate_options;
CBM_API cbm_tensor *cbm_interpolate_with(cbm_tensor *x, const cbm_interpolate_options *options);

/* (N, C r^2, H, W) -> (N, C, H r, W r): y[n, c, h r + i, w r + j] = x[n, c r^2 + i r + j, h, w] (Shi et al. 2016); and back. */
CBM_API cbm_tensor *cbm_pixel_shuffle(cbm_tensor *x, int64_t factor);
CBM_API cbm_tensor *cbm_pixel_unshuffle(cbm_tensor *x, int64_t factor);
/* (N, C, ...): channel i C / groups + j goes to j groups + i (Zhang et al. 2018, ShuffleNet). */
CBM_API cbm_tensor *cbm_channel_shuffle(cbm_tensor *x, int64_t groups);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_INTERPOLATE_DEFAULTS .mode = CBM_INTERPOLATE_NEAREST, .align_corners = 0
#define CBM_INTERPOLATE_(x, ...)                                                                                       \
    CBM_OPTIONS_(cbm_interpolate_options, cbm_interpolate_with(x, &cbm_o_), CBM_INTERPOLATE_DEFAULTS, __VA_ARGS__)
/* cbm_interpolate(x, .scale_factor = { 2 }), cbm_interpolate(x, .size = CBM_SHAPE(32), .mode = CBM_INTERPOLATE_LINEAR) */
#define cbm_interpolate(...)                                                                                           \
    cbm_at(CBM_INTERPOLATE_(__VA_ARGS__, .struct_size = sizeof(cbm_interpolate_options)), __FILE__, __LINE__)
#else
CBM_CPP_OPTIONS_(cbm_interpolate, cbm_interpolate_options,
                 (cbm_tensor * x, const cbm_interpolate_options &options = {}), (x, &o))
#endif

#ifndef CBM_NO_CALL_SITES
#define cbm_pixel_shuffle(...) cbm_at(cbm_pixel_shuffle(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_pixel_unshuffle(...) cbm_at(cbm_pixel_unshuffle(__VA_ARGS__), __FILE__, __LINE__)
#define cbm_channel_shuffle(...) cbm_at(cbm_channel_shuffle(__VA_ARGS__), __FILE__, __LINE__)
#endif

#endif
