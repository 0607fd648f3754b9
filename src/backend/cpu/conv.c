/* conv.c: the kernels of convolution and its two gradients on f32, and on bf16 where the processor multiplies it. Rests on
   convolution.h. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/convolution.h"

#include <stdio.h>

/* One dimension is taken as two, of which the first is 1 long: memory is the same. */
static cbm_dnn_conv describe(const cbm_launch *l, cbm_dnn_direction direction)
{
    const cbm_conv_attributes *a = l->attributes;
    const cbm_shape *x = &a->input_shape, *w = &a->weight_shape;
    const int64_t n = a->stride.v[0];
    const cbm_buffer *y = direction == CBM_DNN_FORWARD      ? &l->out[0]
                          : direction == CBM_DNN_INPUT_GRAD ? &l->in[0]
                                                            : &l->in[1];
    const cbm_buffer *x_side = direction == CBM_DNN_INPUT_GRAD ? &l->out[0] : &l->in[0];
    const cbm_buffer *weight = direction == CBM_DNN_WEIGHT_GRAD ? &l->out[0] : &l->in[1];
    cbm_dnn_conv c = { .direction = direction,
                       .dimensions = n == 3 ? 3 : 2,
                       .batch = x->v[1],
                       .channels = x->v[2],
                       .out_channels = w->v[1],
                       .groups = a->groups,
                       .bias = direction == CBM_DNN_FORWARD && l->n_in > 2,
                       .x_layout = (cbm_layout)x_side->layout,
                       .y_layout = (cbm_layout)y->layout,
                       .x_bf16 = x_side->dtype == CBM_BF16,
                       .weight_bf16 = weight->dtype == CBM_BF16,
                       .y_bf16 = y->dtype == CBM_BF16 };
    if (l->after && direction == CBM_DNN_FORWARD) {
        c.add = l->after->add;
        c.relu = l->after->relu;
        c.upper = l->after->upper;
    }
    for (int64_t d = 0; d < 3; d++) {
        const int64_t k = d - (3 - n); /* the number of this dimension in the lists */
        c.in[d] = k < 0 ? 1 : x->v[3 + k];
        c.out[d] = k < 0 ? 1 : y->shape[2 + k];
        c.kernel[d] = k < 0 ? 1 : w->v[3 + k];
        c.stride[d] = k < 0 ? 1 : a->stride.v[1 + k];
        c.padding[d] = k < 0 ? 0 : a->padding.v[1 + k];
        c.dilation[d] = k < 0 ? 1 : a->dilation.v[1 + k];
    }
    return c;
}

enum { WEIGHT = 1 }; /* its operand's number in the forward and the input gradient */

static cbm_status prepare(cbm_prepare *p, cbm_dnn_direction direction)
{
    cbm_dnn_conv c = describe(p->launch, direction);
    c.direct_only = p->deterministic;
    c.packed_weight = direction != CBM_DNN_WEIGHT_GRAD && (p->constant >> WEIGHT & 1);
    const bool measure = p->tune && !p->deterministic;
    const cbm_conv_algorithm algorithm = measure ? cbm_conv_measured(&c, p->threads) : cbm_conv_rule(&c);
    cbm_convolution *made = cbm_convolution_open(&c, algorithm, p->threads);
    if (!made) {
        if (p->message)
            snprintf(p->message, 256, "no convolution of this shape could be made (no memory, or not supported)");
        return CBM_ERROR_UNSUPPORTED;
    }
    p->state = made;
    p->sure = cbm_convolution_sure(made);
    p->workspace = cbm_convolution_workspace(made);
    if (c.packed_weight) {
        p->packs = WEIGHT;
        p->packed_bytes = cbm_convolution_packed_bytes(made);
    }
    return CBM_OK;
}

static cbm_status pack(const cbm_launch *l, void *packed)
{
    return cbm_convolution_pack(l->state, l->in[WEIGHT].data, packed, l->threads) ? CBM_OK : CBM_ERROR_MEMORY;
}

static cbm_status prepare_forward(cbm_prepare *p)
{
    return prepare(p, CBM_DNN_FORWARD);
}
static cbm_status prepare_input_grad(cbm_prepare *p)
{
    return prepare(p, CBM_DNN_INPUT_GRAD);
}
static cbm_status prepare_weight_grad(cbm_prepare *p)
{
    return prepare(p, CBM_DNN_WEIGHT_GRAD);
}

static cbm_status run(const cbm_launch *l, void *x, void *weight, void *y, void *bias)
{
    if (cbm_convolution_run(l->state, x, weight, y, bias, l->workspace))
        return CBM_OK;
    if (l->message)
        snprintf(l->message, 256, "the convolution failed while running (no memory?)");
    return CBM_ERROR_MEMORY;
}

static cbm_status forward(const cbm_launch *l) /* x, weight[, bias] -> y */
{
    return run(l, l->in[0].data, l->in[1].data, l->out[0].data, l->n_in > 2 ? l->in[2].data : NULL);
}
static cbm_status input_grad(const cbm_launch *l) /* g, weight -> dx */
{
    return run(l, l->out[0].data, l->in[1].data, l->in[0].data, NULL);
}
static cbm_status weight_grad(const cbm_launch *l) /* x, g -> dweight */
{
    return run(l, l->in[0].data, l->out[0].data, l->in[1].data, NULL);
}

static bool supports(const cbm_launch *l)
{
    const cbm_conv_attributes *a = l->attributes;
    const bool half = l->in[0].dtype == CBM_BF16;
    for (size_t i = 0; i < l->n_in; i++)
        if (l->in[i].dtype != (half && i < 2 ? CBM_BF16 : CBM_F32) || l->in[i].count == 0)
            return false;
    return l->out[0].count > 0 && (half ? a->groups == 1 && cbm_cpu_bf16() : cbm_dnn_present());
}

/* Blocks must be whole, in every group. Few input channels are read from plain planes: their blocks would be nearly empty. */
static bool conv_layout(const cbm_launch *l, cbm_layout layout, bool *with_x)
{
    const cbm_conv_attributes *a = l->attributes;
    const int64_t channels = a->input_shape.v[2], out = a->weight_shape.v[1], g = a->groups;
    const int64_t block = layout == CBM_LAYOUT_BLOCKED_16 ? 16 : 8;
    *with_x = channels >= 8 || g > 1;
    if (!supports(l))
        return false;
    if (layout == CBM_LAYOUT_CHANNELS_LAST)
        return true;
    if (layout != cbm_cpu_blocked() || (l->in[0].dtype == CBM_BF16 && cbm_cpu_bf16_tiles()))
        return false;
    const bool depthwise = g == channels && g == out;
    return depthwise ? g % block == 0 : out / g % block == 0 && (channels / g % block == 0 || !*with_x);
}

static bool forward_layout(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    bool with_x;
    if (!conv_layout(l, layout, &with_x))
        return false;
    *in = with_x;
    *out = 1;
    *gains = layout == CBM_LAYOUT_CHANNELS_LAST ? 9 : 10;
    return true;
}

static bool input_grad_layout(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    bool with_x;
    if (!conv_layout(l, layout, &with_x))
        return false;
    *in = 1;
    *out = with_x;
    *gains = layout == CBM_LAYOUT_CHANNELS_LAST ? 9 : 10;
    return true;
}

static bool weight_grad_layout(const cbm_launch *l, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains)
{
    bool with_x;
    if (!conv_layout(l, layout, &with_x))
        return false;
    *in = with_x ? 3 : 2;
    *out = 0;
    *gains = layout == CBM_LAYOUT_CHANNELS_LAST ? 9 : 10;
    return true;
}

static void release(void *state)
{
    cbm_convolution_free(state);
}

static const char *describe_state(const void *state)
{
    return cbm_convolution_describe(state);
}

#define FORWARD(name_)                                                                                                 \
    {                                                                                                                  \
        .op = (name_), .flags = CBM_KERNEL_POST, .supports = supports, .prepare = prepare_forward, .launch = forward,  \
        .release = release, .describe = describe_state, .layout = forward_layout, .pack = pack                         \
    }
#define INPUT_GRAD(name_)                                                                                              \
    {                                                                                                                  \
        .op = (name_), .supports = supports, .prepare = prepare_input_grad, .launch = input_grad, .release = release,  \
        .describe = describe_state, .layout = input_grad_layout, .pack = pack                                          \
    }
#define WEIGHT_GRAD(name_)                                                                                             \
    {                                                                                                                  \
        .op = (name_), .supports = supports, .prepare = prepare_weight_grad, .launch = weight_grad,                    \
        .release = release, .describe = describe_state, .layout = weight_grad_layout                                   \
    }
#define DIMENSIONS(n_)                                                                                                 \
    FORWARD("conv" n_ "d"), INPUT_GRAD("conv" n_ "d_input_grad"), WEIGHT_GRAD("conv" n_ "d_weight_grad")
const cbm_kernel cbm_cpu_conv[] = { DIMENSIONS("1"), DIMENSIONS("2"), DIMENSIONS("3"), { .op = NULL } };
