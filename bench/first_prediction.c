/* first_prediction.c: from the start of the process to the first answer of mnist-cnn: open, build the network, load weights,
   predict one image. Timed from outside (bench/compare.py).
     first_prediction WEIGHTS.safetensors       --make WEIGHTS.safetensors writes such a file */
#include <cambium/cambium.h>
#include <stdio.h>
#include <string.h>

static cbm_module *network(cbm_context *cx)
{
    return cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx), cbm_nn_conv2d(cx, 32, 64, 3),
                          cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2), cbm_nn_dropout(cx, 0.25), cbm_nn_flatten(cx),
                          cbm_nn_linear(cx, 9216, 128), cbm_nn_relu(cx), cbm_nn_dropout(cx, 0.5),
                          cbm_nn_linear(cx, 128, 10));
}

int main(int argc, char **argv)
{
    bool make = argc == 3 && !strcmp(argv[1], "--make");
    if (argc != 2 && !make) {
        fprintf(stderr, "usage: first_prediction [--make] WEIGHTS.safetensors\n");
        return 2;
    }
    cbm_context *cx = cbm_open(NULL);
    cbm_module *net = network(cx);
    if (make) {
        cbm_save(net, argv[2]);
    } else {
        cbm_load(net, argv[1]);
        cbm_eval(net);
        CBM_NO_GRAD(scope, cx);
        cbm_tensor *x = cbm_full(cx, CBM_F32, CBM_SHAPE(1, 1, 28, 28), 0.5);
        int64_t class = -1;
        cbm_read(cbm_argmax(cbm_call(net, x), .axes = CBM_SHAPE(1)), &class, sizeof class);
        printf("%lld\n", (long long)class);
    }
    int failed = cbm_context_status(cx) != CBM_OK;
    if (failed)
        fprintf(stderr, "%s\n", cbm_message(cx));
    cbm_close(cx);
    return failed;
}
