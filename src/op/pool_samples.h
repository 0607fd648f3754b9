/* pool_samples.h: the samples of pool.c's records. */
#ifndef CAMBIUM_POOL_SAMPLES_H
#define CAMBIUM_POOL_SAMPLES_H

#include "op/families.h"

/* One case each: x's and y's extents. */
#define HALVES_X 2, 3, 6, 4
#define HALVES_Y 2, 3, 3, 2
#define OVERLAP_X 1, 2, 6, 7
#define OVERLAP_Y 1, 2, 3, 7
#define UNEVEN_X 2, 1, 5, 5
#define UNEVEN_Y 2, 1, 2, 4
#define WHOLE_X 2, 4, 3, 5
#define WHOLE_Y 2, 4, 1, 1
#define WIDE_X 1, 17, 8, 10
#define WIDE_Y 1, 17, 4, 5
#define EMPTY_X 0, 2, 4, 4
#define EMPTY_Y 0, 2, 2, 2
#define CEIL_X 1, 2, 5, 8
#define CEIL_Y 1, 2, 3, 3
#define SPREAD_X 1, 2, 7, 6
#define SPREAD_Y 1, 2, 3, 4
#define LINE_X 2, 3, 9
#define LINE_Y 2, 3, 5
#define CUBE_X 1, 2, 4, 5, 6
#define CUBE_Y 1, 2, 2, 3, 3

/* kernel, stride, padding, dilation, ceil_mode, exclude_pad, divisor, x */
#define CASE(kernel_, stride_, padding_, dilation_, ceil_, exclude_, divisor_, name_)                                  \
    {                                                                                                                  \
        CBM_DIMS kernel_, CBM_DIMS stride_, CBM_DIMS padding_, CBM_DIMS dilation_, ceil_, exclude_, divisor_,          \
            CBM_DIMS(name_##_X)                                                                                        \
    }
#define ONE (1, 1)
static const cbm_pool_attributes halves = CASE((2, 2), (2, 2), (0, 0), ONE, 0, 0, 0, HALVES);
static const cbm_pool_attributes overlap = CASE((3, 3), (2, 1), (1, 1), ONE, 0, 0, 0, OVERLAP);
static const cbm_pool_attributes overlap_excluding = CASE((3, 3), (2, 1), (1, 1), ONE, 0, 1, 0, OVERLAP);
static const cbm_pool_attributes uneven = CASE((3, 2), (2, 1), (0, 0), ONE, 0, 0, 0, UNEVEN);
static const cbm_pool_attributes whole = CASE((3, 5), (3, 5), (0, 0), ONE, 0, 0, 0, WHOLE);
static const cbm_pool_attributes wide = CASE((2, 2), (2, 2), (0, 0), ONE, 0, 0, 0, WIDE);
static const cbm_pool_attributes empty = CASE((2, 2), (2, 2), (0, 0), ONE, 0, 0, 0, EMPTY);
static const cbm_pool_attributes ceiling = CASE((2, 3), (2, 3), (0, 1), ONE, 1, 0, 0, CEIL);
static const cbm_pool_attributes ceiling_excluding = CASE((2, 3), (2, 3), (0, 1), ONE, 1, 1, 0, CEIL);
static const cbm_pool_attributes divided = CASE((3, 2), (2, 1), (0, 0), ONE, 0, 0, 5, UNEVEN);
static const cbm_pool_attributes spread = CASE((3, 2), (2, 1), (1, 0), (2, 2), 0, 0, 0, SPREAD);
static const cbm_pool_attributes line = CASE((3), (2), (1), (1), 0, 0, 0, LINE);
static const cbm_pool_attributes cube = CASE((2, 3, 2), (2, 2, 2), (0, 1, 0), (1, 1, 1), 0, 0, 0, CUBE);

#define MAX_OF(a_, name_)                                                                                              \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_DISTINCT(-2, 2, name_##_X) }, .attributes = &(a_)                                       \
    }
#define PLACES(last_, name_)                                                                                           \
    {                                                                                                                  \
        CBM_DIMS(name_##_Y), CBM_U8, 0, last_, false                                                                   \
    }
#define MAX_BACK(a_, name_, last_)                                                                                     \
    {                                                                                                                  \
        .n_in = 2, .in = { CBM_FLOATS(-2, 2, name_##_Y), PLACES(last_, name_) }, .attributes = &(a_)                   \
    }
#define TAKE(a_, name_, last_)                                                                                         \
    {                                                                                                                  \
        .n_in = 2, .in = { CBM_FLOATS(-2, 2, name_##_X), PLACES(last_, name_) }, .attributes = &(a_)                   \
    }
#define INDICES_OF(a_, name_, last_)                                                                                   \
    {                                                                                                                  \
        .n_in = 1, .in = { PLACES(last_, name_) }, .attributes = &(a_)                                                 \
    }
static const cbm_sample max2d_samples[] = {
    MAX_OF(halves, HALVES), MAX_OF(overlap, OVERLAP), MAX_OF(uneven, UNEVEN), MAX_OF(whole, WHOLE),
    MAX_OF(wide, WIDE),     MAX_OF(empty, EMPTY),     MAX_OF(ceiling, CEIL),  MAX_OF(spread, SPREAD),
};
static const cbm_sample max2d_backward_samples[] = {
    MAX_BACK(halves, HALVES, 3), MAX_BACK(overlap, OVERLAP, 8), MAX_BACK(uneven, UNEVEN, 5),
    MAX_BACK(whole, WHOLE, 14),  MAX_BACK(wide, WIDE, 3),       MAX_BACK(empty, EMPTY, 3),
    MAX_BACK(ceiling, CEIL, 5),  MAX_BACK(spread, SPREAD, 5),
};
static const cbm_sample max2d_take_samples[] = {
    TAKE(halves, HALVES, 3), TAKE(overlap, OVERLAP, 8), TAKE(uneven, UNEVEN, 5), TAKE(whole, WHOLE, 14),
    TAKE(wide, WIDE, 3),     TAKE(empty, EMPTY, 3),     TAKE(ceiling, CEIL, 5),  TAKE(spread, SPREAD, 5),
};
static const cbm_sample max2d_indices_samples[] = { INDICES_OF(halves, HALVES, 3), INDICES_OF(overlap, OVERLAP, 8),
                                                    INDICES_OF(spread, SPREAD, 5) };
static const cbm_sample max1d_samples[] = { MAX_OF(line, LINE) };
static const cbm_sample max1d_backward_samples[] = { MAX_BACK(line, LINE, 2) };
static const cbm_sample max1d_take_samples[] = { TAKE(line, LINE, 2) };
static const cbm_sample max1d_indices_samples[] = { INDICES_OF(line, LINE, 2) };
static const cbm_sample max3d_samples[] = { MAX_OF(cube, CUBE) };
static const cbm_sample max3d_backward_samples[] = { MAX_BACK(cube, CUBE, 11) };
static const cbm_sample max3d_take_samples[] = { TAKE(cube, CUBE, 11) };
static const cbm_sample max3d_indices_samples[] = { INDICES_OF(cube, CUBE, 11) };

#define AVG_OF(a_, name_)                                                                                              \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, name_##_X) }, .attributes = &(a_)                                         \
    }
#define AVG_BACK(a_, name_)                                                                                            \
    {                                                                                                                  \
        .n_in = 1, .in = { CBM_FLOATS(-2, 2, name_##_Y) }, .attributes = &(a_)                                         \
    }
static const cbm_sample avg2d_samples[] = {
    AVG_OF(halves, HALVES),  AVG_OF(overlap, OVERLAP), AVG_OF(overlap_excluding, OVERLAP),
    AVG_OF(uneven, UNEVEN),  AVG_OF(whole, WHOLE),     AVG_OF(wide, WIDE),
    AVG_OF(empty, EMPTY),    AVG_OF(ceiling, CEIL),    AVG_OF(ceiling_excluding, CEIL),
    AVG_OF(divided, UNEVEN),
};
static const cbm_sample avg2d_backward_samples[] = {
    AVG_BACK(halves, HALVES),  AVG_BACK(overlap, OVERLAP), AVG_BACK(overlap_excluding, OVERLAP),
    AVG_BACK(uneven, UNEVEN),  AVG_BACK(whole, WHOLE),     AVG_BACK(wide, WIDE),
    AVG_BACK(empty, EMPTY),    AVG_BACK(ceiling, CEIL),    AVG_BACK(ceiling_excluding, CEIL),
    AVG_BACK(divided, UNEVEN),
};
static const cbm_sample avg1d_samples[] = { AVG_OF(line, LINE) };
static const cbm_sample avg1d_backward_samples[] = { AVG_BACK(line, LINE) };
static const cbm_sample avg3d_samples[] = { AVG_OF(cube, CUBE) };
static const cbm_sample avg3d_backward_samples[] = { AVG_BACK(cube, CUBE) };

#endif
