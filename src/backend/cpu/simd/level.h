/* level.h: what each file of simd/ gives to its level's table; level.c puts the table together. */
#ifndef CAMBIUM_CPU_LEVEL_H
#define CAMBIUM_CPU_LEVEL_H

#include "backend/cpu/simd/simd.h"

void CBM_LEVEL(cbm_tile_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_functions_fill)(cbm_simd *s); /* after tile_fill */
void CBM_LEVEL(cbm_pairs_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_random_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_rows_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_folds_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_softmax_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_scan_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_matrix_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_recurrent_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_attention_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_transpose_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_norms_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_moments_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_planes_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_channels_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_volumes_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_resample_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_layer_norm_fill)(cbm_simd *s);
void CBM_LEVEL(cbm_winograd_fill)(cbm_simd *s);

#endif
