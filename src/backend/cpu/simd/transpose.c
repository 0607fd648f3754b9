/* transpose.c: r[j][i] = x[i][j] for elements of 1, 2, 4 and 8 bytes, in square tiles as wide as a vector that are turned in
   registers. A tile of n vectors is turned by weaving vector i with vector i + n/2, log2 n times. Rests on simd.h. */
#include "backend/cpu/simd/level.h"

#define LOW_2 0, 2
#define HIGH_2 1, 3
#define LOW_4 0, 4, 1, 5
#define HIGH_4 2, 6, 3, 7
#define LOW_8 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH_8 4, 12, 5, 13, 6, 14, 7, 15
#define LOW_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

/* NAME_tile turns a square of SIDE elements of TYPE, as many as a vector has. */
#define TILE(NAME, TYPE, SIDE, STAGES)                                                                                 \
    typedef TYPE NAME##_vector __attribute__((vector_size(SIDE * sizeof(TYPE))));                                      \
    typedef TYPE NAME##_any __attribute__((vector_size(SIDE * sizeof(TYPE)), aligned(sizeof(TYPE)), may_alias));       \
    INLINE void NAME##_tile(TYPE *r, int64_t r_stride, const TYPE *x, int64_t x_stride)                                \
    {                                                                                                                  \
        NAME##_vector v[SIDE], t[SIDE];                                                                                \
        _Pragma("GCC unroll 16") for (int i = 0; i < SIDE; i++) v[i] = *(const NAME##_any *)(x + i * x_stride);        \
        _Pragma("GCC unroll 4") for (int stage = 0; stage < STAGES; stage++)                                           \
        {                                                                                                              \
            _Pragma("GCC unroll 8") for (int i = 0; i < SIDE / 2; i++)                                                 \
            {                                                                                                          \
                t[2 * i] = __builtin_shufflevector(v[i], v[i + SIDE / 2], LOW_##SIDE);                                 \
                t[2 * i + 1] = __builtin_shufflevector(v[i], v[i + SIDE / 2], HIGH_##SIDE);                            \
            }                                                                                                          \
            _Pragma("GCC unroll 16") for (int i = 0; i < SIDE; i++) v[i] = t[i];                                       \
        }                                                                                                              \
        _Pragma("GCC unroll 16") for (int i = 0; i < SIDE; i++) * (NAME##_any *)(r + i * r_stride) = v[i];             \
    }

/* NAME(r, r_stride, x, x_stride, rows, columns): tiles, and the edges element by element. */
#define ALL_TILES(NAME, TYPE, SIDE)                                                                                    \
    static void NAME(void *to, int64_t r_stride, const void *from, int64_t x_stride, int64_t rows, int64_t columns)    \
    {                                                                                                                  \
        TYPE *r = to;                                                                                                  \
        const TYPE *x = from;                                                                                          \
        for (int64_t i = 0; i < rows; i += SIDE)                                                                       \
            for (int64_t j = 0; j < columns; j += SIDE) {                                                              \
                const int64_t h = rows - i < SIDE ? rows - i : SIDE, w = columns - j < SIDE ? columns - j : SIDE;      \
                if (h == SIDE && w == SIDE) {                                                                          \
                    NAME##_tile(r + j * r_stride + i, r_stride, x + i * x_stride + j, x_stride);                       \
                    continue;                                                                                          \
                }                                                                                                      \
                for (int64_t a = 0; a < w; a++)                                                                        \
                    for (int64_t b = 0; b < h; b++)                                                                    \
                        r[(j + a) * r_stride + i + b] = x[(i + b) * x_stride + j + a];                                 \
            }                                                                                                          \
    }
#define TRANSPOSE(NAME, TYPE, SIDE, STAGES)                                                                            \
    TILE(NAME, TYPE, SIDE, STAGES)                                                                                     \
    ALL_TILES(NAME, TYPE, SIDE)

TRANSPOSE(turn_1, uint8_t, 16, 4)
TRANSPOSE(turn_2, uint16_t, 8, 3)
#if VB == 64
TRANSPOSE(turn_4, uint32_t, 16, 4)
TRANSPOSE(turn_8, uint64_t, 8, 3)
#elif VB == 32
/* Halves of rows i and i + 4 share a vector, so that nothing has to cross its middle later. */
INLINE void turn_4_tile(uint32_t *r, int64_t r_stride, const uint32_t *x, int64_t x_stride)
{
    for (int half = 0; half < 2; half++) {
        __m256 a[4], t[4];
        for (int i = 0; i < 4; i++) {
            const float *p = (const float *)(const void *)(x + i * x_stride + 4 * half);
            a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + 4 * x_stride), 1);
        }
        for (int i = 0; i < 2; i++) {
            t[i] = _mm256_unpacklo_ps(a[i], a[i + 2]);
            t[i + 2] = _mm256_unpackhi_ps(a[i], a[i + 2]);
        }
        for (int i = 0; i < 2; i++) {
            float *p = (float *)(void *)(r + (4 * half + 2 * i) * r_stride);
            _mm256_storeu_ps(p, _mm256_unpacklo_ps(t[2 * i], t[2 * i + 1]));
            _mm256_storeu_ps(p + r_stride, _mm256_unpackhi_ps(t[2 * i], t[2 * i + 1]));
        }
    }
}
ALL_TILES(turn_4, uint32_t, 8)
TRANSPOSE(turn_8, uint64_t, 4, 2)
#else
TRANSPOSE(turn_4, uint32_t, 4, 2)
TRANSPOSE(turn_8, uint64_t, 2, 1)
#endif

static void transpose(uint32_t *r, int64_t r_stride, const uint32_t *x, int64_t x_stride, int64_t rows, int64_t columns)
{
    turn_4(r, r_stride, x, x_stride, rows, columns);
}

void CBM_LEVEL(cbm_transpose_fill)(cbm_simd *s)
{
    s->transpose = transpose;
    s->transpose_of[0] = turn_1;
    s->transpose_of[1] = turn_2;
    s->transpose_of[2] = turn_4;
    s->transpose_of[3] = turn_8;
}
