/* matrix.c: products of small matrices on one thread, and of matrices with panels of a vector or two of columns. Rests on
   simd.h. */
#include "backend/cpu/simd/level.h"

/* `rows` rows by `vectors` vectors of c, the last vector `last` lanes long: all sums live in registers. Constant rows and
   vectors make one straight loop of each combination. */
INLINE void block(const cbm_small_matmul *p, const float *a, const float *b, float *c, int rows, int vectors,
                  int64_t last)
{
    vf sum[4][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = (vf){ 0 };
    for (int64_t k = 0; k < p->k; k++) {
        vf bv[2];
        for (int v = 0; v < vectors; v++)
            bv[v] = v + 1 < vectors || last == VN ? vf_load(b + v * VN) : vf_load_part(b + v * VN, last, 0.0f);
        for (int r = 0; r < rows; r++) {
            vf x = vf_set(a[r * p->a_row]);
            for (int v = 0; v < vectors; v++)
                sum[r][v] += x * bv[v];
        }
        a += p->a_column;
        b += p->b_row;
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++) {
            if (v + 1 < vectors || last == VN)
                vf_store(c + r * p->c_row + v * VN, sum[r][v]);
            else
                vf_store_part(c + r * p->c_row + v * VN, last, sum[r][v]);
        }
}

#define BLOCK(rows, vectors)                                                                                           \
    do {                                                                                                               \
        if (last == VN)                                                                                                \
            block(p, a, b, c, rows, vectors, VN);                                                                      \
        else                                                                                                           \
            block(p, a, b, c, rows, vectors, last);                                                                    \
    } while (0)

static void block_of(const cbm_small_matmul *p, const float *a, const float *b, float *c, int64_t rows, int64_t columns)
{
    const int64_t vectors = (columns + VN - 1) / VN;
    const int64_t last = columns - (vectors - 1) * VN;
    if (vectors == 2) {
        if (rows == 4)
            BLOCK(4, 2);
        else if (rows == 3)
            BLOCK(3, 2);
        else if (rows == 2)
            BLOCK(2, 2);
        else
            BLOCK(1, 2);
        return;
    }
    if (rows == 4)
        BLOCK(4, 1);
    else if (rows == 3)
        BLOCK(3, 1);
    else if (rows == 2)
        BLOCK(2, 1);
    else
        BLOCK(1, 1);
}

/* c = a b, b's columns next to each other. */
static void rows_of_b(const cbm_small_matmul *p)
{
    for (int64_t j = 0; j < p->n; j += 2 * VN) {
        const int64_t columns = p->n - j < 2 * VN ? p->n - j : 2 * VN;
        for (int64_t i = 0; i < p->m; i += 4) {
            const int64_t rows = p->m - i < 4 ? p->m - i : 4;
            block_of(p, p->a + i * p->a_row, p->b + j, p->c + i * p->c_row + j, rows, columns);
        }
    }
}

/* b's columns lie apart: strips of it are copied so that they lie next to each other. */
static void gathered_b(const cbm_small_matmul *p)
{
    enum { DEPTH = 128 };
    float strip[DEPTH * 2 * VN] __attribute__((aligned(64)));
    cbm_small_matmul part = *p;
    part.b = strip;
    part.b_column = 1;
    float partial[4 * 2 * VN];
    for (int64_t j = 0; j < p->n; j += 2 * VN) {
        const int64_t columns = p->n - j < 2 * VN ? p->n - j : 2 * VN;
        part.b_row = columns;
        for (int64_t k = 0; k < p->k || k == 0; k += DEPTH) {
            part.k = p->k - k < DEPTH ? p->k - k : DEPTH;
            for (int64_t q = 0; q < columns; q++)
                for (int64_t d = 0; d < part.k; d++)
                    strip[d * columns + q] = p->b[(k + d) * p->b_row + (j + q) * p->b_column];
            for (int64_t i = 0; i < p->m; i += 4) {
                const int64_t rows = p->m - i < 4 ? p->m - i : 4;
                const float *a = p->a + i * p->a_row + k * p->a_column;
                float *c = p->c + i * p->c_row + j;
                if (k == 0) {
                    part.c_row = p->c_row;
                    block_of(&part, a, strip, c, rows, columns);
                    continue;
                }
                part.c_row = columns;
                block_of(&part, a, strip, partial, rows, columns);
                for (int64_t r = 0; r < rows; r++)
                    for (int64_t q = 0; q < columns; q++)
                        c[r * p->c_row + q] += partial[r * columns + q];
            }
        }
    }
}

static void small_matmul(const cbm_small_matmul *p)
{
    if (p->b_column == 1 || p->n == 1)
        rows_of_b(p);
    else
        gathered_b(p);
}

/* ---- products with panels ---- */

#if VB == 64
enum { ROWS = 12 };
#elif VB == 32
enum { ROWS = 6 };
#else
enum { ROWS = 4 };
#endif

/* All sums live in registers: constant rows and vectors make one straight loop of each combination. Either a's rows or
   its depth is contiguous. */
INLINE void panel_block(const cbm_panel_product *p, const float *a, float *c, const float *ahead, int64_t step,
                        int rows, int vectors, bool deep)
{
    vf sum[ROWS][2];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            sum[r][v] = p->add ? vf_load(c + r * p->c_row + v * VN) : (vf){ 0 };
    const int64_t a_row = deep ? p->a_row : 1, a_depth = deep ? 1 : p->a_depth, b_row = p->b_row;
    const float *b = p->b;
    for (int64_t k = p->depth; k > 0; k--) {
        vf bv[2];
        for (int v = 0; v < vectors; v++)
            bv[v] = vf_load(b + v * VN);
        for (int r = 0; r < rows; r++) {
            const vf x = vf_set(a[r * a_row]);
            for (int v = 0; v < vectors; v++)
                sum[r][v] += x * bv[v];
        }
        a += a_depth;
        b += b_row;
        __builtin_prefetch(ahead, 0, 2);
        ahead += step;
    }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < vectors; v++)
            vf_store(c + r * p->c_row + v * VN, sum[r][v]);
}

INLINE void panel_rows(const cbm_panel_product *p, int vectors, bool deep)
{
    const int64_t a_row = deep ? p->a_row : 1;
    const int64_t step = p->ahead_depth ? p->ahead_depth : ROWS * p->ahead_row / p->depth;
    int64_t r = 0;
#define WHILE(n)                                                                                                       \
    for (; p->rows - r >= (n); r += (n))                                                                               \
    panel_block(p, p->a + r * a_row, p->c + r * p->c_row, p->ahead + r * p->ahead_row, step, n, vectors, deep)
#if VB == 64
    WHILE(12);
    WHILE(8);
#elif VB == 32
    WHILE(6);
#endif
    WHILE(4);
    WHILE(2);
    WHILE(1);
#undef WHILE
}

static void panel_product(const cbm_panel_product *p)
{
    if (p->a_depth == 1) {
        if (p->vectors == 2)
            panel_rows(p, 2, true);
        else
            panel_rows(p, 1, true);
    } else if (p->vectors == 2) {
        panel_rows(p, 2, false);
    } else {
        panel_rows(p, 1, false);
    }
}

void CBM_LEVEL(cbm_matrix_fill)(cbm_simd *s)
{
    s->small_matmul = small_matmul;
    s->panel_product = panel_product;
}
