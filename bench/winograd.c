/* winograd.c: times the CPU backend's Winograd convolution beside oneDNN's Winograd and direct ones, in the same layouts,
   alternating; medians.
     winograd [THREADS] [ROUNDS] [SIMD LEVEL] [blocked | last] [PART OF A NAME | NxCxSIDExOxPADDING]
   One line a shape and direction: GF/s of direct convolution's arithmetic, and the ratio to oneDNN's better one. oneDNN's
   weights are in its own format (no reorder is counted); ours are plain, and their transforms are counted, but for the
   line "packed": forward with weights transformed before. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/winograd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(CBM_HAVE_ONEDNN)
#include <dnnl.h>
#include <omp.h>
#endif

enum { MAX_ROUNDS = 101, PEERS = 2 };

static void *take(size_t bytes)
{
    float *p = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (!p)
        exit(1);
    for (size_t i = 0; i < bytes / sizeof *p; i++)
        p[i] = (float)(i * 2654435761u % 1024) / 1024 - 0.5f;
    return p;
}

typedef struct peer {
#if defined(CBM_HAVE_ONEDNN)
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arguments[3];
    dnnl_memory_t memories[3];
    void *data[3];
#endif
    bool there;
} peer;

#if defined(CBM_HAVE_ONEDNN)
static dnnl_engine_t engine;
static dnnl_stream_t stream;

static peer open_peer(const cbm_winograd_conv *c, dnnl_alg_kind_t algorithm)
{
    peer p = { .there = false };
    dnnl_memory_desc_t m[3];
    const dnnl_dims_t x = { c->batch, c->channels, c->height, c->width }, w = { c->out_channels, c->channels, 3, 3 },
                      y = { c->batch, c->out_channels, c->out_height, c->out_width };
    const dnnl_dims_t stride = { 1, 1 }, dilation = { 0, 0 }, padding = { c->padding[0], c->padding[1] };
    const dnnl_format_tag_t tag = c->x_layout == CBM_LAYOUT_CHANNELS_LAST ? dnnl_nhwc
                                  : c->x_layout == CBM_LAYOUT_BLOCKED_8   ? dnnl_nChw8c
                                                                          : dnnl_nChw16c;
    dnnl_memory_desc_init_by_tag(&m[0], 4, x, dnnl_f32, tag);
    dnnl_memory_desc_init_by_tag(&m[1], 4, w, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_init_by_tag(&m[2], 4, y, dnnl_f32, tag);
    dnnl_convolution_desc_t d;
    if (c->direction == CBM_DNN_FORWARD)
        dnnl_dilated_convolution_forward_desc_init(&d, dnnl_forward_training, algorithm, &m[0], &m[1], NULL, &m[2],
                                                   stride, dilation, padding, padding);
    else if (c->direction == CBM_DNN_INPUT_GRAD)
        dnnl_dilated_convolution_backward_data_desc_init(&d, algorithm, &m[0], &m[1], &m[2], stride, dilation, padding,
                                                         padding);
    else
        dnnl_dilated_convolution_backward_weights_desc_init(&d, algorithm, &m[0], &m[1], NULL, &m[2], stride, dilation,
                                                            padding, padding);
    dnnl_primitive_desc_t pd;
    if (dnnl_primitive_desc_create(&pd, &d, NULL, engine, NULL) != dnnl_success)
        return p;
    const bool gradient = c->direction == CBM_DNN_WEIGHT_GRAD, turned = c->direction == CBM_DNN_INPUT_GRAD;
    m[1] = *dnnl_primitive_desc_query_md(pd, gradient ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
    const int arguments[3] = { turned ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC,
                               gradient ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
                               c->direction == CBM_DNN_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST };
    const char *implementation = "";
    dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &implementation);
    if (strncmp(implementation, "ref", 3) == 0 || dnnl_primitive_create(&p.primitive, pd) != dnnl_success) {
        dnnl_primitive_desc_destroy(pd);
        return p; /* plain loops take minutes */
    }
    p.there = true;
    for (int i = 0; i < 3; i++) {
        p.data[i] = take(dnnl_memory_desc_get_size(&m[i]));
        dnnl_memory_create(&p.memories[i], &m[i], engine, p.data[i]);
        p.arguments[i] = (dnnl_exec_arg_t){ arguments[i], p.memories[i] };
    }
    dnnl_primitive_desc_destroy(pd);
    return p;
}

static void run_peer(peer *p)
{
    dnnl_primitive_execute(p->primitive, stream, 3, p->arguments);
    dnnl_stream_wait(stream);
}

static void close_peer(peer *p)
{
    if (!p->there)
        return;
    for (int i = 0; i < 3; i++) {
        dnnl_memory_destroy(p->memories[i]);
        free(p->data[i]);
    }
    dnnl_primitive_destroy(p->primitive);
}
#else
static void run_peer(peer *p)
{
    (void)p;
}
static void close_peer(peer *p)
{
    (void)p;
}
#endif

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *name, cbm_winograd_conv c, int64_t threads, int rounds)
{
    static const char *const directions[] = { "forward", "input grad", "weight grad", "packed" };
    const double flops =
        2.0 * (double)(c.batch * c.out_channels * c.out_height * c.out_width) * (double)(c.channels * 9);
    const size_t x_bytes = (size_t)(c.batch * c.channels * c.height * c.width) * 4;
    const size_t y_bytes = (size_t)(c.batch * c.out_channels * c.out_height * c.out_width) * 4;
    float *x = take(x_bytes), *y = take(y_bytes), *weight = take((size_t)(c.channels * c.out_channels * 9) * 4);
    for (int direction = 0; direction < 4; direction++) {
        c.packed_weight = direction == 3;
        c.direction = c.packed_weight ? CBM_DNN_FORWARD : (cbm_dnn_direction)direction;
        cbm_winograd *w = cbm_winograd_open(&c, threads);
        if (!w) {
            printf("%-24s %-12s does not suit\n", name, directions[direction]);
            continue;
        }
        void *space = take(cbm_winograd_workspace(w));
        float *packed = c.packed_weight ? take(cbm_winograd_packed_bytes(w)) : NULL;
        peer peers[PEERS] = { { .there = false } };
#if defined(CBM_HAVE_ONEDNN)
        peers[0] = open_peer(&c, dnnl_convolution_winograd);
        peers[1] = open_peer(&c, dnnl_convolution_direct);
#endif
        double times[1 + PEERS][MAX_ROUNDS];
        for (int r = -1; r < rounds; r++)
            for (int p = 0; p <= PEERS; p++) {
                const double begin = cbm_seconds();
                if (p == 0)
                    cbm_winograd_run(w, x, packed ? packed : weight, y, NULL, space);
                else if (peers[p - 1].there)
                    run_peer(&peers[p - 1]);
                if (r >= 0)
                    times[p][r] = cbm_seconds() - begin;
            }
        double rate[1 + PEERS] = { 0 };
        for (int p = 0; p <= PEERS; p++) {
            qsort(times[p], (size_t)rounds, sizeof *times[p], rising);
            rate[p] = p == 0 || peers[p - 1].there ? flops / times[p][rounds / 2] * 1e-9 : 0;
        }
        printf("%-24s %-12s %8.1f GF/s   oneDNN winograd %8.1f direct %8.1f   ratio %5.2f   %6.1f MB\n", name,
               directions[direction], rate[0], rate[1], rate[2],
               fmax(rate[1], rate[2]) > 0 ? rate[0] / fmax(rate[1], rate[2]) : 0,
               (double)cbm_winograd_workspace(w) * 1e-6);
        fflush(stdout);
        for (int p = 0; p < PEERS; p++)
            close_peer(&peers[p]);
        free(space);
        free(packed);
        cbm_winograd_free(w);
    }
    free(x);
    free(y);
    free(weight);
}

struct shape {
    const char *name;
    int batch, channels, side, out_channels, padding;
};

static const struct shape shapes[] = {
    { "64 32x32 batch 128", 128, 64, 32, 64, 1 }, { "128 16x16 batch 128", 128, 128, 16, 128, 1 },
    { "256 8x8 batch 128", 128, 256, 8, 256, 1 }, { "32-64 26x26 batch 64", 64, 32, 26, 64, 0 },
    { "64 56x56 batch 1", 1, 64, 56, 64, 1 },     { "64 56x56 batch 8", 8, 64, 56, 64, 1 },
    { "128 28x28 batch 1", 1, 128, 28, 128, 1 },  { "256 14x14 batch 1", 1, 256, 14, 256, 1 },
    { "512 7x7 batch 1", 1, 512, 7, 512, 1 },     { "512 4x4 batch 128", 128, 512, 4, 512, 1 },
    { "16 32x32 batch 128", 128, 16, 32, 16, 1 }, { "32 16x16 batch 128", 128, 32, 16, 32, 1 },
};

static void measure_shape(const struct shape *s, cbm_layout layout, int64_t threads, int rounds)
{
    const int64_t out = s->side + 2 * s->padding - 2;
    measure(s->name,
            (cbm_winograd_conv){ .batch = s->batch,
                                 .channels = s->channels,
                                 .height = s->side,
                                 .width = s->side,
                                 .out_channels = s->out_channels,
                                 .out_height = out,
                                 .out_width = out,
                                 .padding = { s->padding, s->padding },
                                 .x_layout = layout,
                                 .y_layout = layout },
            threads, rounds);
}

int main(int argc, char **argv)
{
    const int64_t threads = argc > 1 ? strtoll(argv[1], NULL, 10) : 2;
    const int rounds = argc > 2 && atoi(argv[2]) > 0 && atoi(argv[2]) < MAX_ROUNDS ? atoi(argv[2]) : 11;
    if (argc > 3)
        cbm_simd_choose(cbm_simd_named(argv[3]));
    const bool last = argc > 4 && strcmp(argv[4], "last") == 0;
    const cbm_layout layout = last                                   ? CBM_LAYOUT_CHANNELS_LAST
                              : cbm_simd_get()->winograd_lanes == 16 ? CBM_LAYOUT_BLOCKED_16
                                                                     : CBM_LAYOUT_BLOCKED_8;
#if defined(CBM_HAVE_ONEDNN)
    if (argc > 3 && strcmp(argv[3], "avx512") != 0)
        dnnl_set_max_cpu_isa(strcmp(argv[3], "avx2") == 0 ? dnnl_cpu_isa_avx2 : dnnl_cpu_isa_sse41);
    dnnl_engine_create(&engine, dnnl_cpu, 0);
    dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    omp_set_num_threads((int)threads);
#endif
    struct shape own = { .name = "" };
    if (argc > 5 &&
        sscanf(argv[5], "%dx%dx%dx%dx%d", &own.batch, &own.channels, &own.side, &own.out_channels, &own.padding) == 5) {
        own.name = argv[5];
        measure_shape(&own, layout, threads, rounds);
        return 0;
    }
    printf("SIMD level %s, %d threads\n", cbm_simd_get()->name, (int)threads);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (argc > 5 && !strstr(shapes[i].name, argv[5]))
            continue;
        measure_shape(&shapes[i], layout, threads, rounds);
    }
    return 0;
}
