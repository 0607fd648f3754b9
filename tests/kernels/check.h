/* check.h: what the files of this program share. A kernel is three functions on a case: make draws a shape and fills the
   inputs, reference computes the results in plain C, run has a level's function compute them. Rests on backend/cpu. */
#ifndef CAMBIUM_TESTS_CHECK_H
#define CAMBIUM_TESTS_CHECK_H

#include "backend/cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct check_array {
    void *data;
    cbm_dtype dtype; /* bf16: compared bit by bit, as u16 */
    int64_t count;
} check_array;

enum { CHECK_IN = 10, CHECK_OUT = 3 };

typedef struct check_case {
    const struct check_kernel *kernel;
    uint64_t random; /* state of the generator */
    bool bench;      /* the shape to time, not a random one */
    char shape[160]; /* for people */
    check_array in[CHECK_IN], out[CHECK_OUT];
    check_array start[CHECK_OUT];                    /* what out holds before; data NULL: anything */
    double relative[CHECK_OUT], absolute[CHECK_OUT]; /* |got - want| <= relative |want| + absolute */
    double bytes, flops;                             /* of one run */
    int64_t n[12];                                   /* the shape as numbers */
    double eps;
    union {
        cbm_pool_plane pool;
        cbm_pool_volume volume;
        cbm_norm norm;
        cbm_small_matmul matmul;
    } u;
    cbm_post post;
} check_case;

typedef struct check_kernel {
    char name[48];
    void (*make)(check_case *c);
    void (*reference)(check_case *c); /* into c->out */
    void (*run)(const cbm_simd *s, check_case *c);
    bool (*exists)(const cbm_simd *s, const struct check_kernel *k); /* NULL: always */
    int variant[3];
} check_kernel;

/* check_kernels.c */
double check_uniform(check_case *c); /* [0, 1) */
int64_t check_int(check_case *c, int64_t low, int64_t high);
void *check_in(check_case *c, int i, cbm_dtype dtype, int64_t count); /* memory whose end is guarded */
void *check_out(check_case *c, int i, cbm_dtype dtype, int64_t count, double relative, double absolute);
void *check_start(check_case *c, int i);                                           /* out[i] begins as this */
float *check_floats(check_case *c, int i, int64_t count, double low, double high); /* check_in, filled */
void check_add(check_kernel k);

/* folds.c */
void check_draw_rows(check_case *c, int64_t rows,
                     int64_t n); /* n[0] rows of n[1] elements, n[2] apart; those to time */
int64_t check_rows_count(const check_case *c);
void check_odd(check_case *c, float *x, int64_t n,
               double share); /* NaN, infinities and zeros among x, none when timed */

/* Each file's kernels. */
void check_tiles(void);
void check_rows(void);
void check_folds(void);
void check_softmax(void);
void check_channels(void);
void check_volumes(void);

#endif
