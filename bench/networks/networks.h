/* networks.h: the networks that are measured beside other frameworks, with torchvision's parameter names, and weights
   that every framework can make for itself from a formula. Rests on the library alone. */
#ifndef BENCH_NETWORKS_H
#define BENCH_NETWORKS_H

#include <cambium/cambium.h>

typedef struct bench_network {
    const char *name;
    cbm_shape input; /* of one sample: (1, 28, 28) */
    int64_t classes; /* of a cross entropy; 0: the mean squared distance from a target of the output's shape */
    int64_t batch;   /* the usual one */
    bool input_grad; /* a training step also computes the gradient of its input, as inside a larger network */
    cbm_module *(*make)(cbm_context *cx);
} bench_network;

const bench_network *bench_network_named(const char *name); /* NULL: no such network */
const bench_network *bench_network_at(size_t index);        /* NULL past the end */

cbm_module *bench_mnist_cnn(cbm_context *cx);       /* the recipe's, with dropout */
cbm_module *bench_mnist_cnn_plain(cbm_context *cx); /* without */
cbm_module *bench_mnist_mlp(cbm_context *cx);       /* 784-512-512-10 */
cbm_module *bench_tiny_mlp(cbm_context *cx);        /* 2-16-1 */

/* x + relu(bn2(conv2(relu(bn1(conv1(x)))))), convolutions 3x3 without bias, every extent as it was. */
cbm_module *bench_residual_stage(cbm_context *cx, int64_t channels);

/* He et al. 2016: ResNet-18 with a 3x3 stem and no first pooling, for images of 32x32 (10 classes); ResNet-50 for 224x224
   (1000 classes), the stride in the 3x3 convolution. */
cbm_module *bench_resnet18_cifar(cbm_context *cx);
cbm_module *bench_resnet50(cbm_context *cx);
/* Sandler et al. 2018, 224x224, 1000 classes. */
cbm_module *bench_mobilenet_v2(cbm_context *cx);
cbm_module *bench_unet(cbm_context *cx);

/* 128 to 256; its first axis is time, so that a "batch" is so many steps of 32 sequences. */
cbm_module *bench_lstm(cbm_context *cx);
/* An encoder layer of width 256, 4 heads, 1024 units between, over 128 steps; with dropout 0.1, and without. */
cbm_module *bench_transformer_block(cbm_context *cx);
cbm_module *bench_transformer_block_plain(cbm_context *cx);
/* Multi-head attention of width 256 in 4 heads, 4096 steps to themselves. */
cbm_module *bench_attention(cbm_context *cx);

/* Number i of the series called name: uniform in [-1, 1), a multiple of 2^-23. With h the 64-bit FNV-1a hash of the name,
   z = h + i 0x9e3779b97f4a7c15 goes through the finaliser of splitmix64; its upper 24 bits are the number. */
double bench_number(const char *name, uint64_t i);
/* Fills every parameter and buffer from the series of its name: vectors weight 1 + u / 4, bias u / 10, running_mean u / 10,
   running_var 1 + u / 2; matrices and kernels sqrt(3 / fan in) u; num_batches_tracked 0. */
cbm_status bench_fill(cbm_module *net);
/* A tensor of sqrt(3) u, which has variance 1. */
cbm_tensor *bench_tensor(cbm_context *cx, const char *name, cbm_shape shape);

/* Inputs and targets of a batch, from the series "input" and "target"; labels are i mod classes. */
typedef struct bench_batch {
    cbm_tensor *input, *target;
} bench_batch;
bench_batch bench_batch_of(cbm_context *cx, const bench_network *network, cbm_module *net, int64_t size);
/* Forward, backward and the optimizer's step; the loss. To be called in a scope of its own. */
cbm_tensor *bench_step(const bench_network *network, cbm_module *net, cbm_optimizer *opt, bench_batch batch);

#endif
