/* two_layer_net.c: a network of one's own: a struct that begins with a cbm_module, its parts, and a forward function.
   Fits 64 random samples by gradient descent on the summed squared error. */
#include <cambium/cambium.h>
#include <stdio.h>

typedef struct two_layer_net {
    cbm_module module;
    cbm_module *linear1, *linear2;
} two_layer_net;

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    two_layer_net *net = (two_layer_net *)self;
    return cbm_call(net->linear2, cbm_relu(cbm_call(net->linear1, x)));
}

static cbm_module *two_layer_net_new(cbm_context *cx, int64_t in, int64_t hidden, int64_t out)
{
    two_layer_net *net = (two_layer_net *)cbm_module_new(cx, sizeof *net, forward);
    if (!net)
        return cbm_module_failed(cx);
    net->linear1 = cbm_nn_linear(cx, in, hidden);
    net->linear2 = cbm_nn_linear(cx, hidden, out);
    cbm_add_module(&net->module, "linear1", net->linear1); /* named as in PyTorch: "linear1.weight" */
    cbm_add_module(&net->module, "linear2", net->linear2);
    return &net->module;
}

int main(void)
{
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = two_layer_net_new(cx, 1000, 100, 10);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 1e-4);
    cbm_tensor *x = cbm_normal(cx, CBM_F32, CBM_SHAPE(64, 1000), 0, 1);
    cbm_tensor *y = cbm_normal(cx, CBM_F32, CBM_SHAPE(64, 10), 0, 1);

    for (int i = 0; i < 500 && cbm_context_status(cx) == CBM_OK; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *difference = cbm_sub(cbm_call(net, x), y);
        cbm_tensor *loss = cbm_sum(cbm_mul(difference, difference));
        cbm_backward(loss);
        cbm_step(opt);
        printf("%d %g\n", i, cbm_item(loss));
    }
    int code = cbm_context_status(cx) == CBM_OK ? 0 : 1;
    if (code)
        fprintf(stderr, "%s\n", cbm_message(cx));
    cbm_close(cx);
    return code;
}
