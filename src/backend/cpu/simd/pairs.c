/* pairs.c: two instructions of f32 as one over a tile: the first one's result stays in a register instead of a tile. Each
   rounds as it does alone: this file is compiled without contraction (cmake/library.cmake). Rests on simd.h. */
#include "backend/cpu/simd/level.h"

/* r = SECOND of t and z, t = FIRST of x and y. */
#define PAIR(name, FIRST, SECOND)                                                                                      \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p, *py = o[1].p, *pz = o[2].p;                                                           \
        const int64_t wx = o[0].step * VB, wy = o[1].step * VB, wz = o[2].step * VB;                                   \
        for (int64_t i = 0; i < n; i += VN) {                                                                          \
            const vf x = vf_load(px), y = vf_load(py), z = vf_load(pz), t = FIRST;                                     \
            vf_store(to, SECOND);                                                                                      \
            to += VB;                                                                                                  \
            px += wx;                                                                                                  \
            py += wy;                                                                                                  \
            pz += wz;                                                                                                  \
        }                                                                                                              \
    }
#define PAIRS(first, FIRST)                                                                                            \
    PAIR(first##_add, FIRST, t + z)                                                                                    \
    PAIR(first##_sub, FIRST, t - z)                                                                                    \
    PAIR(first##_from, FIRST, z - t)                                                                                   \
    PAIR(first##_mul, FIRST, t *z)                                                                                     \
    PAIR(first##_div, FIRST, t / z)                                                                                    \
    PAIR(first##_under, FIRST, z / t)                                                                                  \
    PAIR(first##_max, FIRST, vf_max(t, z))                                                                             \
    PAIR(first##_min, FIRST, vf_min(t, z))

PAIRS(add, x + y)
PAIRS(sub, x - y)
PAIRS(mul, x *y)
PAIRS(div, x / y)
PAIRS(max, vf_max(x, y))

/* r = x compared with y ? z : w */
#define SELECT_BY(name, COMPARE)                                                                                       \
    static void name(int64_t n, void *r, const cbm_tile_operand *o)                                                    \
    {                                                                                                                  \
        char *to = r;                                                                                                  \
        const char *px = o[0].p, *py = o[1].p, *pz = o[2].p, *pw = o[3].p;                                             \
        const int64_t wx = o[0].step * VB, wy = o[1].step * VB, wz = o[2].step * VB, ww = o[3].step * VB;              \
        for (int64_t i = 0; i < n; i += VN) {                                                                          \
            const vf x = vf_load(px), y = vf_load(py);                                                                 \
            vf_store(to, vf_select(COMPARE, vf_load(pz), vf_load(pw)));                                                \
            to += VB;                                                                                                  \
            px += wx;                                                                                                  \
            py += wy;                                                                                                  \
            pz += wz;                                                                                                  \
            pw += ww;                                                                                                  \
        }                                                                                                              \
    }
SELECT_BY(select_lt, x < y)
SELECT_BY(select_le, x <= y)
SELECT_BY(select_gt, x > y)
SELECT_BY(select_ge, x >= y)
SELECT_BY(select_eq, x == y)
SELECT_BY(select_ne, x != y)

#define ROW(first)                                                                                                     \
    {                                                                                                                  \
        first##_add, first##_sub, first##_from, first##_mul, first##_div, first##_under, first##_max, first##_min      \
    }

void CBM_LEVEL(cbm_pairs_fill)(cbm_simd *s)
{
    static const cbm_tile_fn pair[CBM_PAIR_FIRST][CBM_PAIR_SECOND] = { ROW(add), ROW(sub), ROW(mul), ROW(div),
                                                                       ROW(max) };
    static const cbm_tile_fn by[] = { select_lt, select_le, select_gt, select_ge, select_eq, select_ne };
    memcpy(s->pair, pair, sizeof pair);
    memcpy(s->select_by, by, sizeof by);
}
