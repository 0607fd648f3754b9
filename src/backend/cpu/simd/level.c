/* level.c: the table of one level. dispatch.c fills those that the processor can run. */
#include "backend/cpu/simd/level.h"

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

void CBM_LEVEL(cbm_simd_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_simd_fill)(cbm_simd *s)
{
    s->name = TEXT(CBM_SIMD);
    CBM_LEVEL(cbm_tile_fill)(s);
    CBM_LEVEL(cbm_functions_fill)(s);
    CBM_LEVEL(cbm_pairs_fill)(s);
    CBM_LEVEL(cbm_random_fill)(s);
    CBM_LEVEL(cbm_rows_fill)(s);
    CBM_LEVEL(cbm_folds_fill)(s);
    CBM_LEVEL(cbm_softmax_fill)(s);
    CBM_LEVEL(cbm_scan_fill)(s);
    CBM_LEVEL(cbm_matrix_fill)(s);
    CBM_LEVEL(cbm_recurrent_fill)(s);
    CBM_LEVEL(cbm_attention_fill)(s);
    CBM_LEVEL(cbm_transpose_fill)(s);
    CBM_LEVEL(cbm_norms_fill)(s);
    CBM_LEVEL(cbm_moments_fill)(s);
    CBM_LEVEL(cbm_planes_fill)(s);
    CBM_LEVEL(cbm_channels_fill)(s);
    CBM_LEVEL(cbm_volumes_fill)(s);
    CBM_LEVEL(cbm_resample_fill)(s);
    CBM_LEVEL(cbm_layer_norm_fill)(s);
    CBM_LEVEL(cbm_winograd_fill)(s);
}
