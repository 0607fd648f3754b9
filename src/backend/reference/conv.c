/* conv.c: convolution (cross-correlation) in one to three dimensions and its two gradients, with stride, padding, dilation
   and groups. One loop nest serves the three; what is read and what is added to differs. Rests on numbers (reference.h). */
#include "backend/reference/reference.h"
#include "op/attributes.h"

typedef struct geometry {
    int64_t batch, in_channels, out_channels, groups; /* N, C, O */
    int64_t in[3], kernel[3], out[3];                 /* depth, height, width; 1 for those that are not there */
    int64_t stride[3], padding[3], dilation[3];
} geometry;

static geometry geometry_of(const cbm_conv_attributes *a, const cbm_buffer *x, const cbm_buffer *w, const cbm_buffer *y)
{
    geometry g = { .batch = x->shape[0], .in_channels = x->shape[1], .out_channels = w->shape[0], .groups = a->groups };
    const int n = (int)a->stride.v[0];
    for (int d = 0; d < 3; d++) {
        const int k = d - (3 - n); /* the number of this dimension in the lists */
        g.in[d] = k < 0 ? 1 : x->shape[2 + k];
        g.kernel[d] = k < 0 ? 1 : w->shape[2 + k];
        g.out[d] = k < 0 ? 1 : y->shape[2 + k];
        g.stride[d] = k < 0 ? 1 : a->stride.v[1 + k];
        g.padding[d] = k < 0 ? 0 : a->padding.v[1 + k];
        g.dilation[d] = k < 0 ? 1 : a->dilation.v[1 + k];
    }
    return g;
}

/* Where tap `tap` of output place 0 lies in the input; the others lie strides after it. */
static int64_t shift_of(const geometry *g, int d, int64_t tap)
{
    return tap * g->dilation[d] - g->padding[d];
}

/* The part of an output row (or column) for which kernel tap `tap` lies inside the input: [first, last). */
static void valid_outputs(const geometry *g, int d, int64_t tap, int64_t *first, int64_t *last)
{
    const int64_t shift = shift_of(g, d, tap), stride = g->stride[d];
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

/* One kernel tap of one input plane with one output plane: every output row. */
static void planes(const geometry *g, row_fn row, const int64_t tap[3], cbm_number *x_hw, cbm_number *weight,
                   cbm_number *y_hw)
{
    int64_t top, bottom, left, right;
    valid_outputs(g, 1, tap[1], &top, &bottom);
    valid_outputs(g, 2, tap[2], &left, &right);
    if (right <= left)
        return;
    for (int64_t oh = top; oh < bottom; oh++) {
        int64_t ih = oh * g->stride[1] + shift_of(g, 1, tap[1]), iw = left * g->stride[2] + shift_of(g, 2, tap[2]);
        row(x_hw + ih * g->in[2] + iw, weight, y_hw + oh * g->out[2] + left, right - left, g->stride[2]);
    }
}

/* One input channel with one output channel: every kernel tap, every output plane. */
static void channels(const geometry *g, row_fn row, cbm_number *x_dhw, cbm_number *weight_dhw, cbm_number *y_dhw)
{
    const int64_t x_plane = g->in[1] * g->in[2], y_plane = g->out[1] * g->out[2];
    const int64_t taps = g->kernel[0] * g->kernel[1] * g->kernel[2];
    for (int64_t k = 0; k < taps; k++) {
        const int64_t tap[3] = { k / (g->kernel[1] * g->kernel[2]), k / g->kernel[2] % g->kernel[1], k % g->kernel[2] };
        int64_t front, back;
        valid_outputs(g, 0, tap[0], &front, &back);
        for (int64_t od = front; od < back; od++)
            planes(g, row, tap, x_dhw + (od * g->stride[0] + shift_of(g, 0, tap[0])) * x_plane, weight_dhw + k,
                   y_dhw + od * y_plane);
    }
}

static int64_t product(const int64_t v[3])
{
    return v[0] * v[1] * v[2];
}

/* x (N, C, D, H, W), weight (O, C/groups, Kd, Kh, Kw), y (N, O, D', H', W') */
static void convolve(const geometry *g, row_fn row, cbm_number *x, cbm_number *weight, cbm_number *y)
{
    int64_t group_in = g->in_channels / g->groups, group_out = g->out_channels / g->groups;
    for (int64_t n = 0; n < g->batch; n++)
        for (int64_t o = 0; o < g->out_channels; o++)
            for (int64_t c = 0; c < group_in; c++) {
                int64_t channel = o / group_out * group_in + c;
                channels(g, row, x + (n * g->in_channels + channel) * product(g->in),
                         weight + (o * group_in + c) * product(g->kernel),
                         y + (n * g->out_channels + o) * product(g->out));
            }
}

static cbm_status forward(const cbm_launch *launch) /* x, weight[, bias] -> y */
{
    geometry g = geometry_of(launch->attributes, &launch->in[0], &launch->in[1], &launch->out[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    convolve(&g, row_forward, c.in[0], c.in[1], c.out[0]);
    int64_t places = product(g.out);
    for (int64_t i = 0; launch->n_in > 2 && i < launch->out[0].count; i++)
        c.out[0][i].f += c.in[2][i / places % g.out_channels].f;
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status input_grad(const cbm_launch *launch) /* g, weight -> dx */
{
    geometry g = geometry_of(launch->attributes, &launch->out[0], &launch->in[1], &launch->in[0]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    convolve(&g, row_input_grad, c.out[0], c.in[1], c.in[0]);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

static cbm_status weight_grad(const cbm_launch *launch) /* x, g -> dweight */
{
    geometry g = geometry_of(launch->attributes, &launch->in[0], &launch->out[0], &launch->in[1]);
    cbm_numbers c;
    cbm_numbers_unpack(launch, &c);
    convolve(&g, row_weight_grad, c.in[0], c.out[0], c.in[1]);
    cbm_numbers_pack(launch, &c);
    return CBM_OK;
}

#define CONVOLUTION(name_, launch_)                                                                                    \
    {                                                                                                                  \
        .op = (name_), .flags = CBM_KERNEL_STRIDED, .prepare = cbm_numbers_prepare, .launch = (launch_)                \
    }
#define DIMENSIONS(n_)                                                                                                 \
    CONVOLUTION("conv" n_ "d", forward), CONVOLUTION("conv" n_ "d_input_grad", input_grad),                            \
        CONVOLUTION("conv" n_ "d_weight_grad", weight_grad)
const cbm_kernel cbm_reference_conv[] = { DIMENSIONS("1"), DIMENSIONS("2"), DIMENSIONS("3"), { .op = NULL } };
