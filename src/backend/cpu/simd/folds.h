/* folds.h: vectors folded into one: that of a row, those of a column, and the lanes of several vectors side by side. What is
   joined and how is a parameter, as functions that the compiler puts in place. The order is fixed. Rests on simd.h. */
#ifndef CAMBIUM_CPU_FOLDS_H
#define CAMBIUM_CPU_FOLDS_H

#include "backend/cpu/simd/simd.h"

typedef vf (*vf_join)(vf a, vf b);
typedef vf (*vf_map)(vf x, vf about);

INLINE vf itself(vf x, vf about)
{
    (void)about;
    return x;
}
INLINE vf join_sum(vf a, vf b)
{
    return a + b;
}
INLINE vf join_product(vf a, vf b)
{
    return a * b;
}
INLINE vf join_max(vf a, vf b)
{
    return vf_max(a, b);
}
INLINE vf join_min(vf a, vf b)
{
    return vf_min(a, b);
}

/* The lanes of v joined with those of itself turned. */
INLINE float vf_joined(vf v, vf_join join)
{
    v = join(v, __builtin_shufflevector(v, v, TURN_2));
    v = join(v, __builtin_shufflevector(v, v, TURN_1));
#if VB >= 64
    v = join(v, __builtin_shufflevector(v, v, TURN_8));
#endif
#if VB >= 32
    v = join(v, __builtin_shufflevector(v, v, TURN_4));
#endif
    return v[0];
}

/* Lane i: the lanes of v[i] joined, in the order of vf_joined. Pairs of vectors are interleaved, so that a step joins two of them
   at once: first within 128 bits, then across. */
#if VB == 64
#define LOW_1 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_1 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_4 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_4 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define LOW_8 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27
#define HIGH_8 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31
#elif VB == 32
#define LOW_1 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_1 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_2 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_2 2, 3, 10, 11, 6, 7, 14, 15
#define LOW_4 0, 1, 2, 3, 8, 9, 10, 11
#define HIGH_4 4, 5, 6, 7, 12, 13, 14, 15
#else
#define LOW_1 0, 4, 1, 5
#define HIGH_1 2, 6, 3, 7
#define LOW_2 0, 1, 4, 5
#define HIGH_2 2, 3, 6, 7
#endif
#define JOIN_PAIRS(count, LOW, HIGH)                                                                                   \
    _Pragma("GCC unroll 8") for (int i = 0; i < (count); i++) v[i] = join(                                             \
        __builtin_shufflevector(v[2 * i], v[2 * i + 1], LOW), __builtin_shufflevector(v[2 * i], v[2 * i + 1], HIGH))
INLINE vf vf_joined_side_by_side(vf v[VN], vf_join join)
{
    JOIN_PAIRS(VN / 2, LOW_1, HIGH_1);
    JOIN_PAIRS(VN / 4, LOW_2, HIGH_2);
#if VB >= 32
    JOIN_PAIRS(VN / 8, LOW_4, HIGH_4);
#endif
#if VB >= 64
    JOIN_PAIRS(1, LOW_8, HIGH_8);
#endif
    return v[0];
}

/* BODY for each k < rows; of a vector of short rows (whole, a constant) the loop is written out, and all stays in registers. */
#define EACH_ROW(whole, rows, BODY)                                                                                    \
    if (whole) {                                                                                                       \
        _Pragma("GCC unroll 16") for (int64_t k = 0; k < VN; k++)                                                      \
        {                                                                                                              \
            BODY                                                                                                       \
        }                                                                                                              \
    } else {                                                                                                           \
        for (int64_t k = 0; k < (rows); k++) {                                                                         \
            BODY                                                                                                       \
        }                                                                                                              \
    }

/* n elements of a row in one vector; fill: what maps to `neutral`, which changes nothing. */
INLINE vf vf_fold_row(const float *x, int64_t n, float about, float fill, float neutral, vf_map map, vf_join join)
{
    const vf m = vf_set(about);
    if (n <= VN)
        return map(n == VN ? vf_load(x) : vf_load_part(x, n, fill), m);
    vf a = vf_set(neutral);
    int64_t i = 0;
    if (n >= 4 * VN) {
        vf b = a, c = a, d = a;
        for (; i + 4 * VN <= n; i += 4 * VN) {
            a = join(map(vf_load(x + i), m), a);
            b = join(map(vf_load(x + i + VN), m), b);
            c = join(map(vf_load(x + i + 2 * VN), m), c);
            d = join(map(vf_load(x + i + 3 * VN), m), d);
        }
        a = join(join(a, b), join(c, d));
    }
    for (; i + VN <= n; i += VN)
        a = join(map(vf_load(x + i), m), a);
    return i < n ? join(map(vf_load_part(x + i, n - i, fill), m), a) : a;
}

#endif
