/* first_net.c: a convolutional network on MNIST, one epoch. Fetch the digits first: cambium data get mnist */
#include <cambium/cambium.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    const char *digits = argc > 1 ? argv[1] : "data/mnist";
    cbm_context *cx = cbm_open(NULL); /* CPU, all cores, seed 0 */
    cbm_module *net = cbm_sequential(cx, cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_relu(cx), cbm_nn_max_pool2d(cx, 2),
                                     cbm_nn_flatten(cx), cbm_nn_linear(cx, 32 * 13 * 13, 10), CBM_END);
    cbm_optimizer *opt = cbm_sgd(net, .lr = 0.05, .momentum = 0.9);
    cbm_loader *train = cbm_loader_open(cbm_mnist(cx, digits, CBM_TRAIN), .batch_size = 64, .shuffle = true);

    for (cbm_batch b; cbm_next(train, &b);) { /* the loader owns b until the next call */
        CBM_SCOPE(step, cx);                  /* what is made below ends with this block */
        cbm_tensor *loss = cbm_cross_entropy(cbm_call(net, b.input), b.target);
        cbm_backward(loss);
        cbm_step(opt); /* the whole step runs here, as one plan */
        printf("%.4f\n", cbm_item(loss));
    }
    if (cbm_context_status(cx) != CBM_OK)
        fprintf(stderr, "%s\n", cbm_message(cx)); /* the first error: operation, shapes, file:line, HINT */
    cbm_close(cx);
}
