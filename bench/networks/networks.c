/* networks.c: the table of networks, the small ones, weights by formula, and one training step. */
#include "bench/networks/networks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

cbm_module *bench_mnist_cnn(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx), cbm_nn_conv2d(cx, 32, 64, 3),
                          cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_dropout(cx, 0.25), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 9216, 128), cbm_nn_relu(cx), cbm_nn_dropout(cx, 0.5),
                          cbm_nn_linear(cx, 128, 10));
}

cbm_module *bench_mnist_cnn_plain(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx), cbm_nn_conv2d(cx, 32, 64, 3),
                          cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_flatten(cx), cbm_nn_linear(cx, 9216, 128),
                          cbm_nn_relu(cx), cbm_nn_linear(cx, 128, 10));
}

cbm_module *bench_mnist_mlp(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_flatten(cx), cbm_nn_linear(cx, 784, 512), cbm_nn_relu(cx),
                          cbm_nn_linear(cx, 512, 512), cbm_nn_relu(cx), cbm_nn_linear(cx, 512, 10));
}

cbm_module *bench_tiny_mlp(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_linear(cx, 2, 16), cbm_nn_relu(cx), cbm_nn_linear(cx, 16, 1));
}

static cbm_module *residual_64(cbm_context *cx)
{
    return bench_residual_stage(cx, 64);
}

static cbm_module *residual_128(cbm_context *cx)
{
    return bench_residual_stage(cx, 128);
}

static cbm_module *residual_256(cbm_context *cx)
{
    return bench_residual_stage(cx, 256);
}

static const bench_network networks[] = {
    { "mnist-cnn", { { 3, 1, 28, 28 } }, 10, 64, false, bench_mnist_cnn },
    { "mnist-cnn-plain", { { 3, 1, 28, 28 } }, 10, 64, false, bench_mnist_cnn_plain },
    { "mnist-mlp", { { 3, 1, 28, 28 } }, 10, 128, false, bench_mnist_mlp },
    { "tiny-mlp", { { 1, 2 } }, 0, 32, false, bench_tiny_mlp },
    { "residual-64", { { 3, 64, 32, 32 } }, 0, 128, true, residual_64 },
    { "residual-128", { { 3, 128, 16, 16 } }, 0, 128, true, residual_128 },
    { "residual-256", { { 3, 256, 8, 8 } }, 0, 128, true, residual_256 },
    { "resnet18-cifar", { { 3, 3, 32, 32 } }, 10, 128, false, bench_resnet18_cifar },
    { "lstm", { { 2, 32, 128 } }, 0, 32, false, bench_lstm },
    { "transformer-block", { { 2, 128, 256 } }, 0, 16, false, bench_transformer_block },
    { "transformer-block-plain", { { 2, 128, 256 } }, 0, 16, false, bench_transformer_block_plain },
    { "attention-4096", { { 2, 4096, 256 } }, 0, 1, false, bench_attention },
    { "resnet50", { { 3, 3, 224, 224 } }, 1000, 8, false, bench_resnet50 },
    { "mobilenet-v2", { { 3, 3, 224, 224 } }, 1000, 8, false, bench_mobilenet_v2 },
    { "unet", { { 3, 3, 128, 128 } }, 0, 2, false, bench_unet },
};

const bench_network *bench_network_at(size_t index)
{
    return index < sizeof networks / sizeof *networks ? &networks[index] : NULL;
}

const bench_network *bench_network_named(const char *name)
{
    for (size_t i = 0; bench_network_at(i); i++)
        if (strcmp(networks[i].name, name) == 0)
            return &networks[i];
    return NULL;
}

/* ---- numbers by formula ---- */

static uint64_t hash(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static double number(uint64_t h, uint64_t i)
{
    uint64_t z = h + i * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 40) / 8388608 - 1;
}

double bench_number(const char *name, uint64_t i)
{
    return number(hash(name), i);
}

static float *series(cbm_context *cx, const char *name, int64_t count, double scale, double shift)
{
    float *v = malloc((size_t)count * sizeof *v);
    if (!v) {
        cbm_fail(cx, CBM_ERROR_MEMORY, "[bench] no memory for %lld numbers", (long long)count);
        return NULL;
    }
    const uint64_t h = hash(name);
    for (int64_t i = 0; i < count; i++)
        v[i] = (float)(shift + scale * number(h, (uint64_t)i));
    return v;
}

static bool ends_in(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

cbm_status bench_fill(cbm_module *net)
{
    cbm_context *cx = net->cx;
    cbm_named named;
    for (size_t i = 0; cbm_context_status(cx) == CBM_OK && cbm_state_at(net, i, &named); i++) {
        const int64_t count = cbm_tensor_count(named.tensor);
        double scale = 0.1, shift = 0; /* bias, running_mean */
        if (cbm_tensor_dtype(named.tensor) != CBM_F32)
            continue;
        if (cbm_tensor_rank(named.tensor) > 1) {
            scale = sqrt(3.0 / ((double)count / (double)cbm_tensor_size(named.tensor, 0)));
        } else if (ends_in(named.name, "running_var")) {
            scale = 0.5;
            shift = 1;
        } else if (ends_in(named.name, "weight")) {
            scale = 0.25;
            shift = 1;
        }
        float *v = series(cx, named.name, count, scale, shift);
        if (v)
            cbm_write(named.tensor, v, (size_t)count * sizeof *v);
        free(v);
    }
    return cbm_context_status(cx);
}

cbm_tensor *bench_tensor(cbm_context *cx, const char *name, cbm_shape shape)
{
    int64_t count = 1;
    for (int64_t d = 1; d <= shape.v[0]; d++)
        count *= shape.v[d];
    float *v = series(cx, name, count, sqrt(3.0), 0);
    cbm_tensor *t = cbm_tensor_from(cx, CBM_F32, shape, v);
    free(v);
    return t;
}

/* ---- a training step ---- */

bench_batch bench_batch_of(cbm_context *cx, const bench_network *network, cbm_module *net, int64_t size)
{
    cbm_shape shape = { { network->input.v[0] + 1, size } };
    for (int64_t d = 1; d <= network->input.v[0]; d++)
        shape.v[d + 1] = network->input.v[d];
    bench_batch batch = { bench_tensor(cx, "input", shape), NULL };
    if (network->input_grad)
        batch.input = cbm_variable(batch.input, true);
    if (network->classes) {
        int64_t *labels = malloc((size_t)size * sizeof *labels);
        for (int64_t i = 0; labels && i < size; i++)
            labels[i] = i % network->classes;
        batch.target = cbm_tensor_from(cx, CBM_I64, CBM_SHAPE(size), labels);
        free(labels);
    } else {
        cbm_scope *scope = cbm_scope_begin_no_grad(cx);
        const bool training = net->training;
        cbm_eval(net);
        const cbm_shape output = cbm_tensor_shape(cbm_call(net, batch.input));
        if (training)
            cbm_train(net);
        cbm_scope_end(scope);
        batch.target = bench_tensor(cx, "target", output);
    }
    cbm_compute((cbm_tensor *[]){ batch.input, batch.target }, 2);
    return batch;
}

cbm_tensor *bench_step(const bench_network *network, cbm_module *net, cbm_optimizer *opt, bench_batch batch)
{
    cbm_tensor *out = cbm_call(net, batch.input);
    cbm_tensor *loss = network->classes ? cbm_cross_entropy(out, batch.target) : cbm_mse(out, batch.target);
    cbm_backward(loss);
    cbm_step(opt);
    if (network->input_grad)
        cbm_clear_gradient(batch.input);
    return loss;
}
