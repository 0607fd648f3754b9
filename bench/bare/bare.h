/* bare.h: the little that the bare programs share: oneDNN's C API (2.x) without a framework around it, one engine, memory,
   prepared primitives, layers made of them with the best of direct and Winograd convolution found by trial, and plain loops.
   A failure ends the program. */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "bench/measure.h"
#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdint.h>

#define BARE_CHECK(call_) bare_check((call_), #call_, __FILE__, __LINE__)
void bare_check(dnnl_status_t status, const char *call, const char *file, int line);

/* Threads of OpenMP, the engine, the stream. */
void bare_open(long threads);
dnnl_engine_t bare_engine(void);
/* Flag --direct among the arguments: no Winograd. Removed from them. */
bool bare_take_direct(int *argc, char **argv);

typedef dnnl_memory_desc_t bare_md;
bare_md bare_any(int rank, const int64_t *dims);
bare_md bare_plain(int rank, const int64_t *dims);   /* row-major */
bare_md bare_blocked(int rank, const int64_t *dims); /* nChw16c; weights OIhw16i16o */

typedef struct bare_memory {
    dnnl_memory_t memory;
    bare_md md;
    float *data;
    int64_t count; /* floats, padding included */
} bare_memory;
/* Filled with small made-up numbers. */
bare_memory bare_make(const bare_md *md, double scale);

#define BARE_MAX_ARGS 12
typedef struct bare_primitive {
    dnnl_primitive_t primitive; /* NULL: nothing to do */
    int n;
    dnnl_exec_arg_t args[BARE_MAX_ARGS];
} bare_primitive;
void bare_arg(bare_primitive *p, int kind, const bare_memory *m);
void bare_run(const bare_primitive *p);
/* b in its own layout from a; nothing to do, and b is a, where the layouts are equal. */
bare_primitive bare_reorder(const bare_memory *a, bare_memory *b, const bare_md *wanted);

/* A layer with weights: convolution (kernel 3 or as given, stride 1) or, with kernel 0, an inner product. Weights, gradients
   and velocity lie in one layout; where a primitive wants another, a reorder goes before or after it. */
typedef struct bare_layer {
    bare_memory x, y, w, b, dx, dy, dw, db;
    bare_primitive forward, input_grad, weight_grad;
    bare_primitive w_forward, w_input_grad, dw_back;
    bare_memory w_of_forward, w_of_input_grad, dw_of_weight_grad;
    float *velocity, *bias_velocity;
} bare_layer;
typedef struct bare_shape {
    int64_t batch, channels, height, out_channels, kernel, padding;
    bool bias, relu; /* relu: fused into forward */
    bool direct;     /* no Winograd */
} bare_shape;
/* From x; its gradient goes to dx (NULL: not wanted). */
bare_layer bare_layer_make(const bare_shape *s, const bare_memory *x, const bare_memory *dx);
void bare_layer_forward(const bare_layer *l);
void bare_layer_backward(const bare_layer *l);
void bare_layer_update(const bare_layer *l);

/* Largest of 2x2 places and its gradient. */
void bare_max_pool(const bare_memory *x, const bare_memory *y, const bare_memory *dy, const bare_memory *dx,
                   bare_primitive *forward, bare_primitive *backward);

/* Batch norm in training with relu, scale and shift, running statistics. dx may be dy. */
typedef struct bare_norm {
    bare_memory w, dw, mean, variance, running;
    bare_primitive forward, backward;
    float *velocity;
} bare_norm;
void bare_batch_norm(const bare_memory *x, const bare_memory *y, const bare_memory *dy, const bare_memory *dx,
                     bare_norm *n);
void bare_norm_forward(const bare_norm *n);

/* dy = 0 where y <= 0 */
void bare_relu_grad(float *dy, const float *y, int64_t n);
/* v = 0.9 v + g; w -= rate v */
void bare_sgd(float *w, float *v, const float *g, int64_t n);
/* Gradient of the mean cross entropy of (batch, classes); the loss. */
float bare_cross_entropy(float *dy, const float *y, const int64_t *labels, int64_t batch, int64_t classes);

#endif
