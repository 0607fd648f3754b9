/* unet.c: U-Net, with padded convolutions and batch norm, and the names of its widespread PyTorch version. */
#include "networks/parts.h"

/* (convolution, batch norm, relu) twice, under "double_conv". */
static cbm_module *double_conv(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out)
{
    cbm_module *both =
        cbm_sequential(cx, cbm_network_conv(cx, o, in, out, 3, 1, 1), cbm_network_norm(cx, o, out), cbm_nn_relu(cx),
                       cbm_network_conv(cx, o, out, out, 3, 1, 1), cbm_network_norm(cx, o, out), cbm_nn_relu(cx));
    cbm_module *m = cbm_sequential_of(cx, 0, NULL);
    cbm_add_module(m, "double_conv", both);
    return m;
}

/* Half the extents, other channels. */
static cbm_module *down(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out)
{
    cbm_module *m = cbm_sequential_of(cx, 0, NULL);
    cbm_add_module(m, "maxpool_conv", cbm_sequential(cx, cbm_nn_max_pool2d(cx, 2), double_conv(cx, o, in, out)));
    return m;
}

/* ---- twice the extents, joined with what the way down had there ---- */

typedef struct up {
    cbm_module module;
    cbm_module *up, *conv;
} up;

static cbm_tensor *up_with(cbm_module *self, cbm_tensor *x, void *beside)
{
    const up *m = (up *)self;
    return cbm_call(m->conv, cbm_concat((cbm_tensor *[]){ beside, cbm_call(m->up, x) }, 2, 1));
}

static cbm_tensor *up_alone(cbm_module *self, cbm_tensor *x)
{
    (void)x;
    return cbm_fail_tensor(self->cx, CBM_ERROR_INVALID, "[up] is called by its network only");
}

static cbm_module *make_up(cbm_context *cx, const cbm_network_options *o, int64_t in, int64_t out)
{
    up *m = cbm_layer_new(cx, sizeof *m, "up", up_alone);
    if (!m)
        return cbm_module_failed(cx);
    m->up = cbm_network_part(&m->module, "up",
                             cbm_nn_conv_transpose2d(cx, in, in / 2, 2, .stride = CBM_SHAPE(2), .dtype = o->dtype));
    m->conv = cbm_network_part(&m->module, "conv", double_conv(cx, o, in, out));
    return cbm_layer_finish(&m->module);
}

/* ---- the network ---- */

enum { LEVELS = 4, WIDTH = 64 };

typedef struct unet {
    cbm_module module;
    cbm_module *inc, *down[LEVELS], *up[LEVELS], *outc;
} unet;

static cbm_tensor *forward(cbm_module *self, cbm_tensor *x)
{
    const unet *m = (unet *)self;
    const int64_t least = (int64_t)1 << LEVELS;
    const cbm_shape shape = cbm_tensor_shape(x);
    char text[160];
    if (shape.v[0] != 4 || shape.v[3] % least != 0 || shape.v[4] % least != 0)
        return cbm_fail_tensor(self->cx, CBM_ERROR_SHAPE,
                               "[unet] the input %s is not (N, C, H, W) with H and W multiples of %lld",
                               cbm_shape_text(&shape, text, sizeof text), (long long)least);
    cbm_tensor *beside[LEVELS + 1] = { cbm_call(m->inc, x) };
    for (int i = 0; i < LEVELS; i++)
        beside[i + 1] = cbm_call(m->down[i], beside[i]);
    x = beside[LEVELS];
    for (int i = 0; i < LEVELS; i++)
        x = cbm_call_as(m->up[i], x, up_with, beside[LEVELS - 1 - i]);
    return cbm_call(m->outc, x);
}

static cbm_module *make(cbm_context *cx, const cbm_network_form *form, const cbm_network_options *o)
{
    static const char *const downs[] = { "down1", "down2", "down3", "down4" }, *const ups[] = { "up1", "up2", "up3",
                                                                                                "up4" };
    unet *m = cbm_layer_new(cx, sizeof *m, form->name, forward);
    if (!m)
        return cbm_module_failed(cx);
    cbm_module *self = &m->module;
    m->inc = cbm_network_part(self, "inc", double_conv(cx, o, o->channels, WIDTH));
    for (int i = 0; i < LEVELS; i++)
        m->down[i] = cbm_network_part(self, downs[i], down(cx, o, WIDTH << i, WIDTH << (i + 1)));
    for (int i = 0; i < LEVELS; i++) {
        const int64_t in = WIDTH << (LEVELS - i);
        m->up[i] = cbm_network_part(self, ups[i], make_up(cx, o, in, in / 2));
    }
    cbm_module *outc = cbm_sequential_of(cx, 0, NULL);
    cbm_add_module(outc, "conv", cbm_nn_conv2d(cx, WIDTH, o->classes, 1, .dtype = o->dtype));
    m->outc = cbm_network_part(self, "outc", outc);
    return cbm_layer_finish(self);
}

const cbm_network_form cbm_networks_unet[] = {
    { "unet", "Ronneberger, Fischer and Brox 2015", make, 3, 256, 2, 0, NULL },
    { .name = NULL },
};
