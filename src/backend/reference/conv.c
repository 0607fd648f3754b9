/* conv.c: 2-D convolution (cross-correlation) and its two gradients, with stride, padding, dilation and groups. One loop
   nest serves the three; what is read and what is added to differs. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

typedef struct geometry {
    int64_t batch, in_channels, out_channels, groups; /* N, C, O */
    int64_t in[2], kernel[2], out[2];                 /* height, width */
    int64_t stride[2], padding[2], dilation[2];
} geometry;

static geometry geometry_of(const cbm_conv2d_attributes *a, const cbm_buffer *x, const cbm_buffer *w,
                            const cbm_buffer *y)
{
    geometry g = { .batch = x->shape[0], .in_channels = x->shape[1], .out_channels = w->shape[0], .groups = a->groups };
    for (int d = 0; d < 2; d++) {
        g.in[d] = x->shape[2 + d];
        g.kernel[d] = w->shape[2 + d];
        g.out[d] = y->shape[2 + d];
        g.stride[d] = a->stride.v[1 + d];
        g.padding[d] = a->padding.v[1 + d];
        g.dilation[d] = a->dilation.v[1 + d];
    }
    return g;
}

/* The part of an output row (or column) for which kernel tap `tap` lies inside the input: [first, last). */
static void valid_outputs(const geometry *g, int d, int64_t tap, int64_t *first, int64_t *last)
{
    int64_t shift = tap * g->dilation[d] - g->padding[d]; /* input place = output place * stride + shift */
    int64_t stride = g->stride[d];
    *first = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
    *last = g->in[d] - shift <= 0 ? 0 : (g->in[d] - shift - 1) / stride + 1;
    if (*last > g->out[d])
        *last = g->out[d];
}

/* What happens along one output row for one tap: x and y point at the row's first valid places. */
typedef void (*row_fn)(cbm_number *x, cbm_number *weight, cbm_number *y, int64_t count, int64_t stride);

static void row_forward(cbm_number *x, cbm_number *weight, cbm_number *y, int64_t count, int64_t stride)
{
    double w = weight->f;
    for (int64_t i = 0; i < count; i++)
        y[i].f += w * x[i * stride].f;
}

static void row_input_grad(cbm_number *x, cbm_number *weight, cbm_number *y, int64_t count, int64_t stride)
{
    double w = weight->f;
    for (int64_t i = 0; i < count; i++)
        x[i * stride].f += w * y[i].f;
}

static void row_weight_grad(cbm_number *x, cbm_number *weight, cbm_number *y, int64_t count, int64_t stride)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i * stride].f * y[i].f;
    weight->f += sum;
}

/* One input plane with one output plane: every kernel tap, every output row. */
static void planes(const geometry *g, row_fn row, cbm_number *x_hw, cbm_number *weight_hw, cbm_number *y_hw)
{
    for (int64_t kh = 0; kh < g->kernel[0]; kh++)
        for (int64_t kw = 0; kw < g->kernel[1]; kw++) {
            int64_t top, bottom, left, right;
            valid_outputs(g, 0, kh, &top, &bottom);
            valid_outputs(g, 1, kw, &left, &right);
            if (right <= left)
                continue;
            for (int64_t oh = top; oh < bottom; oh++) {
                int64_t ih = oh * g->stride[0] + kh * g->dilation[0] - g->padding[0];
                int64_t iw = left * g->stride[1] + kw * g->dilation[1] - g->padding[1];
                row(x_hw + ih * g->in[1] + iw, weight_hw + kh * g->kernel[1] + kw, y_hw + oh * g->out[1] + left,
                    right - left, g->stride[1]);
            }
        }
}

/* x (N, C, H, W), weight (O, C/groups, Kh, Kw), y (N, O, H', W') */
static void convolve(const geometry *g, row_fn row, cbm_number *x, cbm_number *weight, cbm_number *y)
{
    int64_t group_in = g->in_channels / g->groups, group_out = g->out_channels / g->groups;
    int64_t x_plane = g->in[0] * g->in[1], w_plane = g->kernel[0] * g->kernel[1], y_plane = g->out[0] * g->out[1];
    for (int64_t n = 0; n < g->batch; n++)
        for (int64_t o = 0; o < g->out_channels; o++)
            for (int64_t c = 0; c < group_in; c++) {
                int64_t channel = o / group_out * group_in + c;
                planes(g, row, x + (n * g->in_channels + channel) * x_plane, weight + (o * group_in + c) * w_plane,
                       y + (n * g->out_channels + o) * y_plane);
            }
}

static cbm_status conv2d(const cbm_launch *launch) /* x, weight[, bias] -> y */
{
    geometry g = geometry_of(launch->attributes, &launch->in[0], &launch->in[1], &launch->out[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    convolve(&g, row_forward, c.in[0], c.in[1], c.out[0]);
    int64_t plane = g.out[0] * g.out[1];
    for (int64_t i = 0; launch->n_in > 2 && i < launch->out[0].count; i++)
        c.out[0][i].f += c.in[2][i / plane % g.out_channels].f;
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status conv2d_input_grad(const cbm_launch *launch) /* g, weight -> dx */
{
    geometry g = geometry_of(launch->attributes, &launch->out[0], &launch->in[1], &launch->in[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    convolve(&g, row_input_grad, c.out[0], c.in[1], c.in[0]);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status conv2d_weight_grad(const cbm_launch *launch) /* x, g -> dweight */
{
    geometry g = geometry_of(launch->attributes, &launch->in[0], &launch->out[0], &launch->in[1]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    convolve(&g, row_weight_grad, c.in[0], c.out[0], c.in[1]);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

const cbm_kernel cbm_reference_conv[] = {
    { .op = "conv2d", .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = conv2d },
    { .op = "conv2d_input_grad",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = conv2d_input_grad },
    { .op = "conv2d_weight_grad",
      .flags = CBM_KERNEL_STRIDED,
      .prepare = cbm_numbers_prepare,
      .launch = conv2d_weight_grad },
    { .op = NULL },
};
