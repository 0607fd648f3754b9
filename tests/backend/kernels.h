/* kernels.h: runs one operation's kernel of the CPU backend and of the reference backend on the same buffers, called
   directly, and compares every result. Rests on backend/ and cmocka. */
#ifndef CAMBIUM_TESTS_KERNELS_H
#define CAMBIUM_TESTS_KERNELS_H

#include "backend/cpu/cpu.h"
#include "base/bf16.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const simd_levels[] = { "baseline", "avx2", "avx512" };
enum { N_LEVELS = 3, CANARY = 64 };

typedef struct fill {
    double low, high; /* whole numbers in [low, high] for integers */
} fill;

static uint64_t test_stream;

static inline double draw(void)
{
    static uint64_t n;
    return (double)cbm_philox_uniform(12, test_stream, n++);
}
static inline int64_t draw_int(int64_t low, int64_t high)
{
    const int64_t v = low + (int64_t)(draw() * (double)(high - low + 1));
    return v > high ? high : v;
}

static inline void put(void *data, cbm_dtype dtype, int64_t i, double v)
{
    switch (dtype) {
    case CBM_F32: ((float *)data)[i] = (float)v; break;
    case CBM_F64: ((double *)data)[i] = v; break;
    case CBM_I64: ((int64_t *)data)[i] = (int64_t)v; break;
    case CBM_I32: ((int32_t *)data)[i] = (int32_t)v; break;
    case CBM_BF16: ((uint16_t *)data)[i] = cbm_bf16_round((float)v); break;
    default: ((uint8_t *)data)[i] = (uint8_t)v; break;
    }
}
static inline double get(const void *data, cbm_dtype dtype, int64_t i)
{
    switch (dtype) {
    case CBM_F32: return (double)((const float *)data)[i];
    case CBM_F64: return ((const double *)data)[i];
    case CBM_I64: return (double)((const int64_t *)data)[i];
    case CBM_I32: return (double)((const int32_t *)data)[i];
    case CBM_BF16: return (double)cbm_bf16_widen(((const uint16_t *)data)[i]);
    default: return (double)((const uint8_t *)data)[i];
    }
}

/* A buffer without memory. */
static inline cbm_buffer buffer(cbm_dtype dtype, cbm_shape shape)
{
    cbm_buffer b = { .dtype = dtype, .contiguous = 1, .rank = shape.v[0], .count = 1 };
    for (int64_t d = b.rank - 1; d >= 0; d--) {
        b.shape[d] = shape.v[1 + d];
        b.stride[d] = b.count;
        b.count *= b.shape[d];
    }
    return b;
}

/* Elements that strides reach. */
static inline int64_t extent_of(const cbm_buffer *b)
{
    int64_t last = 1;
    for (int64_t d = 0; d < b->rank; d++)
        last += (b->shape[d] - 1) * b->stride[d];
    return b->count == 0 ? 0 : last;
}

static inline void fill_buffer(cbm_buffer *b, fill f)
{
    const int64_t n = extent_of(b);
    const bool whole = b->dtype != CBM_F32 && b->dtype != CBM_F64 && b->dtype != CBM_BF16;
    b->data = malloc((size_t)n * cbm_dtype_size(b->dtype) + 1);
    assert_non_null(b->data);
    for (int64_t i = 0; i < n; i++)
        put(b->data, b->dtype, i,
            whole ? (double)draw_int((int64_t)f.low, (int64_t)f.high) : f.low + (f.high - f.low) * draw());
}

/* The axes in another order: the same shape, other strides. */
static inline cbm_buffer permuted(cbm_dtype dtype, cbm_shape shape, const int64_t *order)
{
    cbm_buffer b = buffer(dtype, shape);
    int64_t step = 1;
    for (int64_t i = b.rank - 1; i >= 0; i--) {
        b.stride[order[i]] = step;
        step *= b.shape[order[i]];
    }
    b.contiguous = 0;
    return b;
}

/* Extents up to most, some of them 1. */
static inline cbm_shape random_shape(int64_t rank, int64_t most)
{
    cbm_shape s = { { rank } };
    for (int64_t d = 0; d < rank; d++)
        s.v[1 + d] = draw() < 0.15 ? 1 : draw_int(1, most);
    return s;
}

/* A buffer without memory whose axes lie in some order, some of them with stride 0. */
static inline cbm_buffer random_layout(cbm_dtype dtype, cbm_shape shape)
{
    int64_t order[CBM_MAX_DIMS];
    for (int64_t i = 0; i < shape.v[0]; i++)
        order[i] = i;
    for (int64_t i = shape.v[0] - 1; i > 0 && draw() < 0.6; i--) {
        const int64_t j = draw_int(0, i), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    cbm_buffer b = permuted(dtype, shape, order);
    for (int64_t d = 0; d < b.rank; d++)
        if (draw() < 0.1)
            b.stride[d] = 0;
    b.contiguous = 1;
    for (int64_t d = b.rank - 1, step = 1; d >= 0; step *= b.shape[d], d--)
        if (b.shape[d] > 1 && b.stride[d] != step)
            b.contiguous = 0;
    return b;
}

typedef struct trial {
    const char *op;
    const void *attributes;
    size_t n_in, n_out;
    cbm_buffer in[CBM_SAMPLE_INPUTS], out[4];
    int64_t threads;
    bool deterministic;
    double tolerance; /* of the largest element, at least 1 */
    cbm_status want;  /* of both */
} trial;

static inline cbm_status run_on(const cbm_backend *backend, const trial *t, cbm_buffer *out, char *message)
{
    cbm_launch l = { .op = cbm_op_named(t->op),
                     .attributes = t->attributes,
                     .n_in = t->n_in,
                     .n_out = t->n_out,
                     .in = t->in,
                     .out = t->out,
                     .threads = t->threads,
                     .message = message };
    assert_non_null(l.op);
    const cbm_kernel *k = cbm_backend_kernel(backend, &l);
    assert_non_null(k);
    cbm_prepare p = { .launch = &l, .threads = t->threads, .deterministic = t->deterministic, .message = message };
    cbm_status status = k->prepare ? k->prepare(&p) : CBM_OK;
    assert_int_equal(status, CBM_OK);
    char *work = aligned_alloc(64, (p.workspace + CANARY + 63) / 64 * 64);
    memset(work, 0xff, (p.workspace + CANARY + 63) / 64 * 64); /* NaN */
    for (size_t i = 0; i < t->n_out; i++) {
        const size_t bytes = (size_t)out[i].count * cbm_dtype_size(out[i].dtype);
        out[i].data = aligned_alloc(64, (bytes + CANARY + 63) / 64 * 64);
        memset(out[i].data, 0xee, bytes + CANARY);
    }
    l.workspace = work;
    l.state = p.state;
    l.out = out;
    for (int twice = 0; twice < 2 && status == CBM_OK; twice++) /* prepared state serves again */
        status = k->launch(&l);
    for (size_t i = 0; i < t->n_out; i++) {
        const unsigned char *end =
            (const unsigned char *)out[i].data + (size_t)out[i].count * cbm_dtype_size(out[i].dtype);
        for (int c = 0; c < CANARY; c++)
            assert_int_equal(end[c], 0xee);
    }
    for (size_t c = p.workspace; c < p.workspace + CANARY; c++)
        assert_int_equal((unsigned char)work[c], 0xff);
    if (k->release && p.state)
        k->release(p.state);
    free(work);
    return status;
}

static inline double distance(const cbm_buffer *a, const cbm_buffer *b)
{
    double scale = 1, worst = 0;
    for (int64_t i = 0; i < b->count; i++)
        if (isfinite(get(b->data, b->dtype, i)))
            scale = fmax(scale, fabs(get(b->data, b->dtype, i)));
    for (int64_t i = 0; i < b->count; i++) {
        const double x = get(a->data, a->dtype, i), y = get(b->data, b->dtype, i);
        if (x == y || (isnan(x) && isnan(y)))
            continue;
        worst = fmax(worst, isfinite(x) && isfinite(y) ? fabs(x - y) / scale : INFINITY);
    }
    return worst;
}

/* Both backends on t, at every SIMD level that this processor has; frees the inputs. */
static inline void compare(trial *t)
{
    char message[2][256] = { "", "" };
    cbm_buffer want[4], got[4];
    memcpy(want, t->out, sizeof want);
    const cbm_status status = run_on(&cbm_backend_reference, t, want, message[0]);
    assert_int_equal(status, t->want);
    for (int level = 0; level < N_LEVELS; level++) {
        if (!cbm_simd_named(simd_levels[level]))
            continue;
        cbm_simd_choose(cbm_simd_named(simd_levels[level]));
        memcpy(got, t->out, sizeof got);
        assert_int_equal(run_on(&cbm_backend_cpu, t, got, message[1]), t->want);
        for (size_t i = 0; i < t->n_out; i++) {
            const double d = status == CBM_OK ? distance(&got[i], &want[i]) : 0;
            if (!(d <= t->tolerance)) {
                char text[2][128] = { "", "" };
                for (size_t k = 0; k < 2 && k < t->n_in; k++)
                    for (int64_t a = 0, n = 0; a < t->in[k].rank && n < 100; a++)
                        n += snprintf(text[k] + n, sizeof text[k] - (size_t)n, "%d/%d ", (int)t->in[k].shape[a],
                                      (int)t->in[k].stride[a]);
                fail_msg("%s at %s, result %zu: differs by %g (%s; %s)", t->op, simd_levels[level], i, d, text[0],
                         text[1]);
            }
            free(got[i].data);
        }
    }
    cbm_simd_choose(NULL);
    for (size_t i = 0; i < t->n_out; i++)
        free(want[i].data);
    for (size_t i = 0; i < t->n_in; i++)
        free(t->in[i].data);
}

#endif
