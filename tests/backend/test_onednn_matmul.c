/* test_onednn_matmul.c: matrix products through the seam to oneDNN against a plain loop in double: every type, transposed and
   broadcast operands, gaps between rows, strides that fall on each other in the cache. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CANARY = 64 };

/* bf16 is the upper half of an f32. */
static uint16_t to_bf16(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float from_bf16(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

typedef struct operand {
    int64_t rows, columns, stride[3], elements;
    bool bf16;
    void *data;
} operand;

/* Batch b's elements lie b * stride[0] further; batch 0 as stride: one matrix serves all. */
static operand make_operand(int64_t batch, int64_t rows, int64_t columns, bool transposed, int64_t gap, bool broadcast,
                            bool bf16)
{
    static uint64_t at;
    const int64_t lead = (transposed ? rows : columns) + gap, lines = transposed ? columns : rows;
    operand o = { .rows = rows, .columns = columns, .bf16 = bf16 };
    o.stride[0] = broadcast ? 0 : lead * lines + gap;
    o.stride[1] = transposed ? 1 : lead;
    o.stride[2] = transposed ? lead : 1;
    o.elements = (broadcast ? 0 : o.stride[0] * (batch - 1)) + lead * lines;
    const size_t bytes = (size_t)o.elements * (bf16 ? sizeof(uint16_t) : sizeof(float));
    o.data = malloc(bytes + CANARY);
    assert_non_null(o.data);
    for (int64_t i = 0; i < o.elements; i++) { /* what bf16 holds too */
        const uint16_t v = to_bf16(2 * cbm_philox_uniform(9, 1, at++) - 1);
        if (bf16)
            ((uint16_t *)o.data)[i] = v;
        else
            ((float *)o.data)[i] = from_bf16(v);
    }
    memset((char *)o.data + bytes, 0xee, CANARY);
    return o;
}

static float at_index(const operand *o, int64_t batch, int64_t row, int64_t column)
{
    const int64_t i = batch * o->stride[0] + row * o->stride[1] + column * o->stride[2];
    return o->bf16 ? from_bf16(((const uint16_t *)o->data)[i]) : ((const float *)o->data)[i];
}

static void check_product(const operand *a, const operand *b, const operand *c, int64_t batch, const char *what)
{
    const double tolerance = c->bf16 ? 0.005 : 2e-6;
    for (int64_t i = 0; i < batch; i++)
        for (int64_t row = 0; row < c->rows; row++)
            for (int64_t column = 0; column < c->columns; column++) {
                double sum = 0, size = 1;
                for (int64_t k = 0; k < a->columns; k++) {
                    const double v = (double)at_index(a, i, row, k) * (double)at_index(b, i, k, column);
                    sum += v;
                    size += fabs(v);
                }
                const double got = (double)at_index(c, i, row, column);
                if (!(fabs(got - sum) <= tolerance * size))
                    fail_msg("%s: %g at (%d, %d, %d) instead of %g", what, got, (int)i, (int)row, (int)column, sum);
            }
    const size_t bytes = (size_t)c->elements * (c->bf16 ? sizeof(uint16_t) : sizeof(float));
    for (size_t i = bytes; i < bytes + CANARY; i++)
        assert_int_equal(((const unsigned char *)c->data)[i], 0xee);
}

static void try_product(int64_t rank, int64_t batch, int64_t m, int64_t n, int64_t k, int how, int64_t threads)
{
    const int64_t gap = how & 4 ? 3 : 0;
    operand a = make_operand(batch, m, k, how & 1, gap, rank == 3 && how & 8, how & 16);
    operand b = make_operand(batch, k, n, how & 2, gap, rank == 3 && how & 4, how & 32);
    operand c = make_operand(batch, m, n, false, 0, false, how & 64);
    cbm_dnn_product p = {
        .rank = rank, .batch = batch, .m = m, .n = n, .k = k, .a_bf16 = a.bf16, .b_bf16 = b.bf16, .c_bf16 = c.bf16
    };
    memcpy(p.a_stride, a.stride, sizeof a.stride);
    memcpy(p.b_stride, b.stride, sizeof b.stride);
    memcpy(p.c_stride, c.stride, sizeof c.stride);
    cbm_dnn *d = cbm_dnn_matmul(&p, threads);
    char what[256];
    snprintf(what, sizeof what, "%d of %dx%dx%d, a %s%s, b %s%s, c %s, gap %d: %s", (int)batch, (int)m, (int)n, (int)k,
             how & 1 ? "transposed " : "", a.bf16 ? "bf16" : "f32", how & 2 ? "transposed " : "",
             b.bf16 ? "bf16" : "f32", c.bf16 ? "bf16" : "f32", (int)gap, d ? cbm_dnn_describe(d) : "not made");
    if (d) { /* batches with broadcast operands may be refused */
        const size_t bytes = (cbm_dnn_workspace(d) + CANARY + 63) / 64 * 64;
        unsigned char *work = aligned_alloc(64, bytes);
        assert_non_null(work);
        memset(work, 0xff, bytes);
        for (int twice = 0; twice < 2; twice++)
            assert_true(cbm_dnn_run(d, (void *[]){ a.data, b.data, c.data }, work));
        for (size_t i = cbm_dnn_workspace(d); i < bytes; i++)
            assert_int_equal(work[i], 0xff);
        free(work);
        check_product(&a, &b, &c, batch, what);
        cbm_dnn_free(d);
    } else if (rank == 2) {
        fail_msg("%s", what);
    }
    free(a.data);
    free(b.data);
    free(c.data);
}

static const int64_t shapes[][3] = { { 1, 1, 1 },    { 7, 5, 3 },     { 33, 17, 65 }, { 128, 10, 64 },
                                     { 64, 128, 9 }, { 16, 512, 32 }, { 48, 1, 70 },  { 1, 96, 128 } };

static void every_stride_and_type(void **state)
{
    (void)state;
    const int types = cbm_dnn_bf16() ? 128 : 16;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int how = 0; how < types; how++) {
            try_product(2, 1, shapes[i][0], shapes[i][1], shapes[i][2], how, 1 + how % 2);
            try_product(3, 3, shapes[i][0], shapes[i][1], shapes[i][2], how, 1 + how % 2);
        }
}

static void large(void **state)
{
    (void)state;
    for (int how = 0; how < 8; how++) {
        try_product(2, 1, 96, 1024, 512, how, 1 + how / 2 % 2);
        try_product(2, 1, 1024, 1024, 64, how, 1 + how / 2 % 2);
        try_product(2, 1, 17, 256, 2048, how, 1 + how / 2 % 2);
    }
}

int main(void)
{
    if (!cbm_dnn_present()) {
        printf("this build is without oneDNN\n");
        return 77;
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_stride_and_type), cmocka_unit_test(large) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
