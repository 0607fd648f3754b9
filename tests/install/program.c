/* An outside program in C: a module of its own trained on tensors of its own, until the loss has fallen. */
#include <cambium/cambium.h>

#include <stdio.h>

typedef struct two_layers {
    cbm_module module;
    cbm_module *first, *second;
} two_layers;

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    two_layers *net = (two_layers *)self;
    return cbm_call(net->second, cbm_tanh(cbm_call(net->first, x)));
}

static cbm_module *two_layers_new(cbm_context *cx)
{
    two_layers *net = (two_layers *)cbm_module_new(cx, sizeof(two_layers), forward);
    if (net == NULL)
        return cbm_module_failed(cx);
    net->first = cbm_nn_linear(cx, 1, 16);
    net->second = cbm_nn_linear(cx, 16, 1, .bias = true);
    cbm_add_module(&net->module, "first", net->first);
    cbm_add_module(&net->module, "second", net->second);
    return &net->module;
}

/* y = x^2 on [-1, 1] */
static double train(cbm_context *cx, int64_t steps, double *first_loss)
{
    float xs[64], ys[64];
    for (int i = 0; i < 64; i++) {
        xs[i] = (float)i / 32.0f - 1.0f;
        ys[i] = xs[i] * xs[i];
    }
    cbm_module *net = two_layers_new(cx);
    cbm_optimizer *opt = cbm_adam(net, .lr = 0.02);
    cbm_tensor *x = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(64, 1), xs);
    cbm_tensor *y = cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(64, 1), ys);
    double loss_now = 0;
    for (int64_t i = 0; i < steps; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *loss = cbm_mse(cbm_call(net, x), y);
        cbm_backward(loss);
        cbm_step(opt);
        loss_now = cbm_item(loss);
        if (i == 0)
            *first_loss = loss_now;
    }
    return loss_now;
}

int main(void)
{
    if (cbm_version_number() != CBM_VERSION_MAJOR * 10000 + CBM_VERSION_MINOR * 100 + CBM_VERSION_PATCH)
        return 1;
    cbm_context *cx = cbm_open_with(.threads = 1, .seed = 7);
    double before = 0, after = train(cx, 300, &before);
    cbm_status status = cbm_context_status(cx);
    printf("Cambium %s: loss %.4f, then %.4f %s\n", cbm_version(), before, after, cbm_message(cx));
    cbm_close(cx);
    return status == CBM_OK && after < 0.1 * before ? 0 : 1;
}
