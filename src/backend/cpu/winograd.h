/* winograd.h: convolution by Winograd's F(4x4, 3x3) on f32: kernels 3x3 in steps of one, forward and both gradients. A
   quarter of the direct form's multiplications; the rounding is some 1e-6 of the result's scale. Works in blocks of tiles
   that stay in the second cache. Results repeat bit for bit for the same shapes and thread count, and do not depend on the
   thread count but for the weight gradient. Rests on the SIMD table of cpu.h. */
#ifndef CAMBIUM_CPU_WINOGRAD_H
#define CAMBIUM_CPU_WINOGRAD_H

#include "backend/cpu/onednn.h"

typedef struct cbm_winograd cbm_winograd;

typedef struct cbm_winograd_conv {
    cbm_dnn_direction direction;
    int64_t batch, channels, height, width; /* of the input */
    int64_t out_channels, out_height, out_width;
    int64_t padding[2];
    cbm_layout x_layout, y_layout; /* of x or dx, and of y or dy */
    bool bias;                     /* forward */
    bool add, relu;                /* forward: as in cbm_dnn_conv */
    float upper;
    bool packed_weight; /* forward and input gradient: the weight is cbm_winograd_pack's, made for the same direction */
} cbm_winograd_conv;

/* Whether it can: shapes that belong together, padding 0 to 2, channels-last or blocks that this processor's vectors
   fit in. */
bool cbm_winograd_suits(const cbm_winograd_conv *c);
/* Whether it is likely to be faster than direct convolution, without measuring: enough channels, enough pixels to pay for
   the weights' transform, and half of the tiles' pixels within the picture. */
bool cbm_winograd_pays(const cbm_winograd_conv *c);
/* NULL: does not suit, or no memory. */
cbm_winograd *cbm_winograd_open(const cbm_winograd_conv *c, int64_t threads);
size_t cbm_winograd_workspace(const cbm_winograd *w); /* bytes, to be aligned to 64 */
/* x or dx, weight or dweight (OIHW unless packed), y or dy, bias or NULL. */
void cbm_winograd_run(const cbm_winograd *w, float *x, float *weight, float *y, const float *bias, void *workspace);
/* The transformed weight that packed_weight means: its bytes (to be aligned to 64), and the transform. */
size_t cbm_winograd_packed_bytes(const cbm_winograd *w);
void cbm_winograd_pack(const cbm_winograd *w, const float *plain, float *packed);
void cbm_winograd_free(cbm_winograd *w);

#endif
