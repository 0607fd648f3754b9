/* conv_samples.h: the samples of conv.c's records. */
#ifndef CAMBIUM_CONV_SAMPLES_H
#define CAMBIUM_CONV_SAMPLES_H

#include "op/families.h"

/* One case each: x, weight, y. */
#define PLAIN_X 2, 3, 5, 6
#define PLAIN_W 4, 3, 3, 3
#define PLAIN_Y 2, 4, 3, 4
#define MIXED_X 1, 2, 7, 8
#define MIXED_W 3, 2, 3, 2
#define MIXED_Y 1, 3, 4, 5
#define DILATED_X 2, 2, 7, 6
#define DILATED_W 2, 2, 2, 3
#define DILATED_Y 2, 2, 7, 4
#define GROUPED_X 2, 4, 5, 5
#define GROUPED_W 6, 2, 3, 3
#define GROUPED_Y 2, 6, 5, 5
#define DEPTH_X 1, 3, 6, 6
#define DEPTH_W 3, 1, 3, 3
#define DEPTH_Y 1, 3, 3, 3
#define POINT_X 2, 3, 4, 1
#define POINT_W 5, 3, 1, 1
#define POINT_Y 2, 5, 4, 1
#define SKIP_X 1, 1, 6, 6
#define SKIP_W 1, 1, 1, 2
#define SKIP_Y 1, 1, 2, 2
#define EMPTY_X 0, 2, 4, 4
#define EMPTY_W 3, 2, 3, 3
#define EMPTY_Y 0, 3, 2, 2
/* Stacks of channels as wide as vector registers, for the fast kernels. */
#define WIDE_X 2, 32, 9, 9
#define WIDE_W 16, 32, 3, 3
#define WIDE_Y 2, 16, 9, 9
/* One dimension. */
#define LINE_X 2, 3, 8
#define LINE_W 4, 3, 3
#define LINE_Y 2, 4, 6
#define STEPS_X 1, 4, 9
#define STEPS_W 6, 2, 2
#define STEPS_Y 1, 6, 5
/* Three dimensions. */
#define CUBE_X 1, 2, 4, 3, 5
#define CUBE_W 3, 2, 2, 3, 2
#define CUBE_Y 1, 3, 3, 1, 4
#define HOPS_X 2, 2, 5, 4, 4
#define HOPS_W 4, 1, 3, 1, 2
#define HOPS_Y 2, 4, 3, 2, 4

#define CASE(stride_, padding_, dilation_, groups_, name_)                                                             \
    {                                                                                                                  \
        CBM_DIMS stride_, CBM_DIMS padding_, CBM_DIMS dilation_, groups_, CBM_DIMS(name_##_X), CBM_DIMS(name_##_W)     \
    }
static const cbm_conv_attributes plain = CASE((1, 1), (0, 0), (1, 1), 1, PLAIN);
static const cbm_conv_attributes mixed = CASE((2, 2), (1, 1), (1, 1), 1, MIXED);
static const cbm_conv_attributes dilated = CASE((1, 2), (1, 2), (2, 1), 1, DILATED);
static const cbm_conv_attributes grouped = CASE((1, 1), (1, 1), (1, 1), 2, GROUPED);
static const cbm_conv_attributes depthwise = CASE((2, 2), (1, 1), (1, 1), 3, DEPTH);
static const cbm_conv_attributes pointwise = CASE((1, 1), (0, 0), (1, 1), 1, POINT);
static const cbm_conv_attributes skipping = CASE((3, 4), (0, 0), (1, 1), 1, SKIP);
static const cbm_conv_attributes empty = CASE((1, 1), (0, 0), (1, 1), 1, EMPTY);
static const cbm_conv_attributes wide = CASE((1, 1), (1, 1), (1, 1), 1, WIDE);
static const cbm_conv_attributes line = CASE((1), (0), (1), 1, LINE);
static const cbm_conv_attributes steps = CASE((2), (1), (2), 2, STEPS);
static const cbm_conv_attributes cube = CASE((1, 1, 1), (0, 0, 0), (1, 1, 1), 1, CUBE);
static const cbm_conv_attributes hops = CASE((2, 2, 1), (1, 0, 1), (1, 1, 2), 2, HOPS);

#define F(...) CBM_FLOATS(-1, 1, __VA_ARGS__)
#define CONV(a_, name_)                                                                                                \
    {                                                                                                                  \
        .n_in = 2, .in = { F(name_##_X), F(name_##_W) }, .attributes = &(a_)                                           \
    }
#define CONV_BIAS(a_, name_, o_)                                                                                       \
    {                                                                                                                  \
        .n_in = 3, .in = { F(name_##_X), F(name_##_W), F(o_) }, .attributes = &(a_)                                    \
    }
#define INPUT(a_, name_)                                                                                               \
    {                                                                                                                  \
        .n_in = 2, .in = { F(name_##_Y), F(name_##_W) }, .attributes = &(a_)                                           \
    }
#define WEIGHT(a_, name_)                                                                                              \
    {                                                                                                                  \
        .n_in = 2, .in = { F(name_##_X), F(name_##_Y) }, .attributes = &(a_)                                           \
    }
static const cbm_sample conv2d_samples[] = {
    CONV(plain, PLAIN),
    CONV_BIAS(plain, PLAIN, 4),
    CONV_BIAS(mixed, MIXED, 3),
    CONV(dilated, DILATED),
    CONV_BIAS(grouped, GROUPED, 6),
    CONV(depthwise, DEPTH),
    CONV_BIAS(pointwise, POINT, 5),
    CONV(skipping, SKIP),
    CONV_BIAS(empty, EMPTY, 3),
    CONV(wide, WIDE),
};
static const cbm_sample conv2d_input_grad_samples[] = {
    INPUT(plain, PLAIN),     INPUT(mixed, MIXED),     INPUT(dilated, DILATED),
    INPUT(grouped, GROUPED), INPUT(depthwise, DEPTH), INPUT(pointwise, POINT),
    INPUT(skipping, SKIP),   INPUT(empty, EMPTY),     INPUT(wide, WIDE),
};
static const cbm_sample conv2d_weight_grad_samples[] = {
    WEIGHT(plain, PLAIN),     WEIGHT(mixed, MIXED),     WEIGHT(dilated, DILATED),
    WEIGHT(grouped, GROUPED), WEIGHT(depthwise, DEPTH), WEIGHT(pointwise, POINT),
    WEIGHT(skipping, SKIP),   WEIGHT(empty, EMPTY),     WEIGHT(wide, WIDE),
};
static const cbm_sample conv1d_samples[] = { CONV_BIAS(line, LINE, 4), CONV(steps, STEPS) };
static const cbm_sample conv1d_input_grad_samples[] = { INPUT(line, LINE), INPUT(steps, STEPS) };
static const cbm_sample conv1d_weight_grad_samples[] = { WEIGHT(line, LINE), WEIGHT(steps, STEPS) };
static const cbm_sample conv3d_samples[] = { CONV_BIAS(cube, CUBE, 3), CONV(hops, HOPS) };
static const cbm_sample conv3d_input_grad_samples[] = { INPUT(cube, CUBE), INPUT(hops, HOPS) };
static const cbm_sample conv3d_weight_grad_samples[] = { WEIGHT(cube, CUBE), WEIGHT(hops, HOPS) };

#endif
