/* transposed.c: transposed convolution, which is the data gradient of convolution: its operand stands for the gradient of a
   convolution's result. Rests on op/families.h. */
#include "op/families.h"

#define LARGEST ((int64_t)1 << 31)

static const cbm_op names[] = { { .name = "conv_transpose1d" },
                                { .name = "conv_transpose2d" },
                                { .name = "conv_transpose3d" } };
static const char *const filter[] = { "(C, O / groups, K)", "(C, O / groups, Kh, Kw)", "(C, O / groups, Kd, Kh, Kw)" };

/* How many elements of 0 follow x along axis i: an output padding of whole strides is one of those. */
static int64_t zeros_behind(const cbm_conv_attributes *a, const cbm_shape *output_padding, int64_t i)
{
    return output_padding->v[i] / a->stride.v[i];
}

/* Checks the operands; puts the result's shape into a->input_shape. */
static bool transposed_shape(cbm_infer *infer, const cbm_shape *x, const cbm_shape *output_padding,
                             cbm_conv_attributes *a)
{
    char tx[160], tw[160];
    const cbm_shape *w = &a->weight_shape;
    const int64_t n = a->stride.v[0];
    cbm_shape_text(x, tx, sizeof tx);
    cbm_shape_text(w, tw, sizeof tw);
    if (x->v[0] != n + 2 || w->v[0] != n + 2)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x %s and weight %s must have %lld dimensions, the weight's: %s",
                              tx, tw, (long long)n + 2, filter[n - 1]);
    if (!cbm_conv_lists_fit(infer, n, &a->stride, &a->padding, &a->dilation))
        return false;
    if (a->groups < 1 || x->v[2] % a->groups != 0 || x->v[2] != w->v[1])
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "x %s has %lld channels, but weight %s takes %lld in %lld groups",
                              tx, (long long)x->v[2], tw, (long long)w->v[1], (long long)a->groups);
    a->input_shape = (cbm_shape){ { n + 2, x->v[1], w->v[2] * a->groups } };
    for (int64_t i = 1; i <= n; i++) {
        const int64_t size = x->v[2 + i], kernel = w->v[2 + i], more = output_padding->v[i];
        if (more < 0 || (more >= a->stride.v[i] && more >= a->dilation.v[i]))
            return cbm_infer_fail(infer, CBM_ERROR_INVALID,
                                  "output padding %lld is not less than the stride %lld or the dilation %lld",
                                  (long long)more, (long long)a->stride.v[i], (long long)a->dilation.v[i]);
        if (size < 1 || kernel < 1 || size >= LARGEST || kernel >= LARGEST)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "an extent of x %s or weight %s is not in 1 to 2^31", tx, tw);
        const int64_t out =
            (size - 1) * a->stride.v[i] - 2 * a->padding.v[i] + a->dilation.v[i] * (kernel - 1) + more + 1;
        if (out < 1)
            return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "of x %s the padding %lld leaves nothing", tx,
                                  (long long)a->padding.v[i]);
        a->input_shape.v[2 + i] = out;
    }
    return true;
}

static cbm_tensor *with_zeros_behind(cbm_tensor *x, int64_t axis, int64_t count)
{
    cbm_shape shape = cbm_tensor_shape(x);
    shape.v[1 + axis] = count;
    cbm_tensor *const parts[] = { x, cbm_zeros(cbm_tensor_context(x), cbm_tensor_dtype(x), shape) };
    return count > 0 ? cbm_concat(parts, 2, axis) : x;
}

static cbm_tensor *transposed(int64_t n, cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                              const cbm_conv_transpose_options *options)
{
    cbm_tensor *const in[] = { x, weight, bias };
    cbm_context *cx = cbm_context_of(in, 3);
    const char *name = names[n - 1].name;
    cbm_conv_transpose_options o = { .struct_size = sizeof o, .groups = 1 };
    cbm_shape more;
    cbm_read_options(&o, sizeof o, options);
    cbm_conv_attributes a = { .groups = o.groups };
    if (!cbm_spatial(&o.stride, n, 1, &a.stride) || !cbm_spatial(&o.padding, n, 0, &a.padding) ||
        !cbm_spatial(&o.dilation, n, 1, &a.dilation) || !cbm_spatial(&o.output_padding, n, 0, &more))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] stride, padding, output padding and dilation take %s", name,
                               cbm_spatial_text(n));
    if (!cbm_usable(cx, x) || !cbm_usable(cx, weight) || (bias != NULL && !cbm_usable(cx, bias)))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] an input is NULL or failed", name);
    const cbm_shape shape = cbm_tensor_shape(x);
    cbm_infer infer = { .op = &names[n - 1], .attributes = &a, .cx = cx };
    a.weight_shape = cbm_tensor_shape(weight);
    if (!transposed_shape(&infer, &shape, &more, &a))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[%s] no result", name);
    const int64_t channels = a.input_shape.v[2];
    if (bias != NULL && (cbm_tensor_rank(bias) != 1 || cbm_tensor_count(bias) != channels))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[%s] the bias must have shape (%lld)", name, (long long)channels);
    for (int64_t i = 1; i <= n; i++)
        x = with_zeros_behind(x, 1 + i, zeros_behind(&a, &more, i));
    cbm_tensor *y = cbm_apply2(cbm_conv_input_grad_op(n), x, weight, &a);
    if (bias == NULL || cbm_tensor_failed(y))
        return y;
    const bool half = cbm_tensor_dtype(y) == CBM_BF16 && cbm_tensor_dtype(bias) == CBM_F32;
    return cbm_add(y, cbm_over_channels(half ? cbm_cast(bias, CBM_BF16) : bias, n + 2));
}

cbm_tensor *cbm_conv_transpose1d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                      const cbm_conv_transpose_options *options)
{
    return transposed(1, x, weight, bias, options);
}

cbm_tensor *cbm_conv_transpose2d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                      const cbm_conv_transpose_options *options)
{
    return transposed(2, x, weight, bias, options);
}

cbm_tensor *cbm_conv_transpose3d_with(cbm_tensor *x, cbm_tensor *weight, cbm_tensor *bias,
                                      const cbm_conv_transpose_options *options)
{
    return transposed(3, x, weight, bias, options);
}
