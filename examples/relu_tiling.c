/* relu_tiling.c: a ReLU network is piecewise linear. Counts the pieces of a random one, 1-200-200-1, on [-3, 3]: where two
   neighbouring points make the same units fire, they lie on the same piece. Prints x, f(x) at each border. */
#include <cambium/cambium.h>
#include <stdio.h>

enum { WIDTH = 200, POINTS = 20001 };
static float x[POINTS];

/* Does some unit fire at only one of the points i and i + 1? */
static bool border(const float *hidden, int i)
{
    for (int k = i * WIDTH; k < (i + 1) * WIDTH; k++)
        if ((hidden[k] > 0) != (hidden[k + WIDTH] > 0))
            return true;
    return false;
}

static void tile(cbm_context *cx)
{
    cbm_module *layer1 = cbm_nn_linear(cx, 1, WIDTH);
    cbm_module *layer2 = cbm_nn_linear(cx, WIDTH, WIDTH);
    cbm_module *layer3 = cbm_nn_linear(cx, WIDTH, 1);
    for (int i = 0; i < POINTS; i++)
        x[i] = -3 + 6 * (float)i / (POINTS - 1);

    CBM_NO_GRAD(scope, cx);
    cbm_tensor *hidden1 = cbm_relu(cbm_call(layer1, cbm_tensor_from(cx, CBM_F32, CBM_SHAPE(POINTS, 1), x)));
    cbm_tensor *hidden2 = cbm_relu(cbm_call(layer2, hidden1));
    cbm_tensor *output = cbm_call(layer3, hidden2);
    if (cbm_compute((cbm_tensor *[]){ hidden1, hidden2, output }, 3) != CBM_OK)
        return;
    const float *a = cbm_tensor_data(hidden1), *b = cbm_tensor_data(hidden2), *y = cbm_tensor_data(output);
    int pieces = 1;
    for (int i = 0; i + 1 < POINTS; i++)
        if (border(a, i) || border(b, i)) {
            printf("%.4f %.6f\n", (double)x[i], (double)y[i]);
            pieces++;
        }
    printf("%d linear pieces\n", pieces);
}

int main(void)
{
    cbm_context *cx = cbm_open(NULL);
    tile(cx);
    int code = cbm_context_status(cx) == CBM_OK ? 0 : 1;
    if (code)
        fprintf(stderr, "%s\n", cbm_message(cx));
    cbm_close(cx);
    return code;
}
