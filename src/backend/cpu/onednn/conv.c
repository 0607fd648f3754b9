/* conv.c: convolutions by oneDNN on the caller's layouts. Where no fast primitive takes those, the sequence has reorders
   around one that does; weights come and go as OIHW (OIDHW), or in the primitive's own format. */
#include "backend/cpu/onednn/parts.h"

#include <stdio.h>
#include <string.h>

static const struct {
    dnnl_format_tag_t tag[2]; /* in two dimensions, in three */
    int64_t block;            /* channels that lie together */
    const char *name;
} layouts[CBM_LAYOUT_COUNT] = {
    [CBM_LAYOUT_PLAIN] = { { dnnl_nchw, dnnl_ncdhw }, 1, "nchw" },
    [CBM_LAYOUT_CHANNELS_LAST] = { { dnnl_nhwc, dnnl_ndhwc }, 1, "nhwc" },
    [CBM_LAYOUT_BLOCKED_8] = { { dnnl_nChw8c, dnnl_nCdhw8c }, 8, "nChw8c" },
    [CBM_LAYOUT_BLOCKED_16] = { { dnnl_nChw16c, dnnl_nCdhw16c }, 16, "nChw16c" },
};

typedef struct pair {
    cbm_layout x, y;
} pair;

/* Of x, weight and y. */
typedef struct types {
    dnnl_data_type_t x, weight, y;
} types;

/* ---- descriptions ---- */

static dnnl_data_type_t type_of(bool bf16)
{
    return bf16 ? dnnl_bf16 : dnnl_f32;
}

static types own_types(const cbm_dnn_conv *c)
{
    return (types){ type_of(c->x_bf16), type_of(c->weight_bf16), type_of(c->y_bf16) };
}

/* What the primitive computes on. In bf16 it writes f32 too; weight gradients always, whatever the caller wants. */
static types inner_types(const cbm_dnn_conv *c)
{
    switch (c->direction) {
    case CBM_DNN_FORWARD:
        if (c->x_bf16)
            return (types){ dnnl_bf16, dnnl_bf16, type_of(c->y_bf16) };
        break;
    case CBM_DNN_INPUT_GRAD:
        if (c->y_bf16)
            return (types){ type_of(c->x_bf16), dnnl_bf16, dnnl_bf16 };
        break;
    case CBM_DNN_WEIGHT_GRAD:
        if (c->x_bf16 && c->y_bf16)
            return (types){ dnnl_bf16, dnnl_f32, dnnl_bf16 };
        break;
    }
    return (types){ dnnl_f32, dnnl_f32, dnnl_f32 };
}

static bool is_deep(const cbm_dnn_conv *c)
{
    return c->dimensions == 3;
}

void cbm_dnn_entries(const cbm_dnn_conv *c, const int64_t from[3], int64_t less, dnnl_dims_t to)
{
    const int first = is_deep(c) ? 0 : 1;
    for (int d = first; d < 3; d++)
        to[d - first] = from[d] - less;
}

/* `count` leading extents, then those of the dimensions that the convolution has. */
static int all_dims(const cbm_dnn_conv *c, const int64_t *leading, int count, const int64_t extents[3],
                    int64_t dims[CBM_DNN_DIMS])
{
    memcpy(dims, leading, (size_t)count * sizeof *dims);
    for (int d = is_deep(c) ? 0 : 1; d < 3; d++)
        dims[count++] = extents[d];
    return count;
}

static cbm_dnn_desc x_desc(const cbm_dnn_conv *c, cbm_layout layout, types t)
{
    const int64_t leading[] = { c->batch, c->channels };
    int64_t dims[CBM_DNN_DIMS];
    const int rank = all_dims(c, leading, 2, c->in, dims);
    return cbm_dnn_desc_tag(rank, dims, t.x, layouts[layout].tag[is_deep(c)]);
}

static cbm_dnn_desc y_desc(const cbm_dnn_conv *c, cbm_layout layout, types t)
{
    const int64_t leading[] = { c->batch, c->out_channels };
    int64_t dims[CBM_DNN_DIMS];
    const int rank = all_dims(c, leading, 2, c->out, dims);
    return cbm_dnn_desc_tag(rank, dims, t.y, layouts[layout].tag[is_deep(c)]);
}

static cbm_dnn_desc weight_desc(const cbm_dnn_conv *c, bool any, types t)
{
    static const dnnl_format_tag_t plain[2][2] = { { dnnl_oihw, dnnl_oidhw }, { dnnl_goihw, dnnl_goidhw } };
    const int64_t g = c->groups, leading[] = { g, c->out_channels / g, c->channels / g };
    const int without = g == 1 ? 1 : 0; /* an axis of groups only where there are some */
    int64_t dims[CBM_DNN_DIMS];
    const int rank = all_dims(c, leading + without, 3 - without, c->kernel, dims);
    return cbm_dnn_desc_tag(rank, dims, t.weight, any ? dnnl_format_tag_any : plain[g > 1][is_deep(c)]);
}

static bool has_bias(const cbm_dnn_conv *c)
{
    return c->bias && c->direction == CBM_DNN_FORWARD;
}

static dnnl_primitive_attr_t attributes_of(const cbm_dnn_conv *c)
{
    const cbm_dnn_post post = { .sum = c->add, .relu = c->relu, .upper = c->upper };
    return c->direction == CBM_DNN_FORWARD ? cbm_dnn_post_attributes(&post) : cbm_dnn_attributes();
}

static dnnl_primitive_desc_t try_layouts(const cbm_dnn_conv *c, pair p, dnnl_alg_kind_t algorithm)
{
    const int64_t bias_dims[] = { c->out_channels };
    const types t = inner_types(c);
    cbm_dnn_desc x = x_desc(c, p.x, t), y = y_desc(c, p.y, t), weight = weight_desc(c, true, t);
    cbm_dnn_desc bias = has_bias(c) ? cbm_dnn_desc_tag(1, bias_dims, dnnl_f32, dnnl_x) : NULL;
    dnnl_primitive_attr_t attr = attributes_of(c);
    dnnl_primitive_desc_t pd = NULL;
    if (x && y && weight && (bias || !has_bias(c)) && attr)
        pd = cbm_dnn_conv_primitive(c, algorithm, x, weight, bias, y, attr);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    cbm_dnn_desc_free(x);
    cbm_dnn_desc_free(y);
    cbm_dnn_desc_free(weight);
    cbm_dnn_desc_free(bias);
    return pd;
}

/* ---- the choice ---- */

/* The slower, the greater. AMX's tiles multiply bf16 ten times faster than anything else does, which pays for reorders. */
typedef enum speed { TILES, DIRECT_CODE, PRODUCTS, REFERENCE } speed;

static speed speed_of(const_dnnl_primitive_desc_t pd)
{
    const char *name = cbm_dnn_implementation(pd);
    if (strstr(name, "amx"))
        return TILES;
    return strncmp(name, "ref", 3) == 0 ? REFERENCE : strstr(name, "gemm") ? PRODUCTS : DIRECT_CODE;
}

/* Where Winograd's fewer multiplications pay: 3x3 in steps of one with many channels. */
static bool winograd_pays(const cbm_dnn_conv *c)
{
    const int64_t least = c->direction == CBM_DNN_WEIGHT_GRAD ? 32 : 64;
    return !c->direct_only && !is_deep(c) && c->groups == 1 && c->kernel[1] == 3 && c->kernel[2] == 3 &&
           c->stride[1] == 1 && c->stride[2] == 1 && c->dilation[1] == 1 && c->dilation[2] == 1 &&
           c->channels >= least && c->out_channels >= 64;
}

static dnnl_primitive_desc_t primitive_for(const cbm_dnn_conv *c, pair p)
{
    dnnl_primitive_desc_t pd = NULL;
    if (p.x == CBM_LAYOUT_BLOCKED_16 && p.y == CBM_LAYOUT_BLOCKED_16 && winograd_pays(c))
        pd = try_layouts(c, p, dnnl_convolution_winograd);
    if (pd && speed_of(pd) > DIRECT_CODE) {
        dnnl_primitive_desc_destroy(pd);
        pd = NULL;
    }
    return pd ? pd : try_layouts(c, p, dnnl_convolution_direct);
}

static int64_t elements(const cbm_dnn_conv *c, int64_t channels, const int64_t extents[3], cbm_layout layout)
{
    const int64_t block = layouts[layout].block, depth = is_deep(c) ? extents[0] : 1;
    return c->batch * ((channels + block - 1) / block * block) * depth * extents[1] * extents[2];
}

/* What the reorders around a primitive would write. */
static int64_t reordered(const cbm_dnn_conv *c, pair p)
{
    const types own = own_types(c), inner = inner_types(c);
    int64_t n = 0;
    if (p.x != c->x_layout || inner.x != own.x)
        n += elements(c, c->channels, c->in, p.x);
    if (p.y != c->y_layout || inner.y != own.y)
        n += (c->add ? 2 : 1) * elements(c, c->out_channels, c->out, p.y);
    return n;
}

/* The fastest kind of code, then the fewest elements to reorder, then the first of the list. A network's first convolution
   reads plain planes: blocks of channels would be nearly empty. */
static dnnl_primitive_desc_t choose(const cbm_dnn_conv *c, pair *chosen)
{
    const cbm_layout blocked = cbm_dnn_wide() ? CBM_LAYOUT_BLOCKED_16 : CBM_LAYOUT_BLOCKED_8;
    const speed fastest = inner_types(c).x == dnnl_bf16 || inner_types(c).y == dnnl_bf16 ? TILES : DIRECT_CODE;
    const pair pairs[] = {
        { c->x_layout, c->y_layout },
        { c->channels < 8 ? CBM_LAYOUT_PLAIN : blocked, blocked },
        { CBM_LAYOUT_CHANNELS_LAST, CBM_LAYOUT_CHANNELS_LAST },
        { CBM_LAYOUT_PLAIN, CBM_LAYOUT_PLAIN },
        { blocked, blocked },
    };
    dnnl_primitive_desc_t best = NULL;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (best && speed_of(best) <= fastest && reordered(c, *chosen) <= reordered(c, pairs[i]))
            continue;
        dnnl_primitive_desc_t pd = primitive_for(c, pairs[i]);
        if (!pd)
            continue;
        if (best && (speed_of(pd) > speed_of(best) ||
                     (speed_of(pd) == speed_of(best) && reordered(c, pairs[i]) >= reordered(c, *chosen)))) {
            dnnl_primitive_desc_destroy(pd);
            continue;
        }
        if (best)
            dnnl_primitive_desc_destroy(best);
        best = pd;
        *chosen = pairs[i];
    }
    return best;
}

/* ---- the sequence ---- */

static const struct {
    dnnl_query_t weight;
    int arguments[3]; /* x, weight, y */
    int result;       /* which of them is written */
} roles[] = {
    [CBM_DNN_FORWARD] = { dnnl_query_weights_md, { DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST }, 2 },
    [CBM_DNN_INPUT_GRAD] = { dnnl_query_weights_md, { DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST }, 0 },
    [CBM_DNN_WEIGHT_GRAD] = { dnnl_query_diff_weights_md,
                              { DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST },
                              1 },
};

static bool add_conv(cbm_dnn *d, dnnl_primitive_desc_t pd, const cbm_dnn_desc own[3], const cbm_dnn_desc wanted[3],
                     cbm_dnn_desc bias)
{
    const cbm_dnn_conv *c = &d->conv;
    const int result = roles[c->direction].result;
    dnnl_exec_arg_t arguments[4];
    dnnl_memory_t back = NULL;
    for (int i = 0; i < 3; i++) {
        const bool read = i != result || (c->add && c->direction == CBM_DNN_FORWARD);
        arguments[i].arg = roles[c->direction].arguments[i];
        arguments[i].memory = cbm_dnn_operand(d, own[i], wanted[i], i, read, i == result ? &back : NULL);
        if (!arguments[i].memory)
            return false;
    }
    if (bias)
        arguments[3] = (dnnl_exec_arg_t){ DNNL_ARG_BIAS, cbm_dnn_memory(d, bias, 3) };
    if (bias && !arguments[3].memory)
        return false;
    d->conv_stage = d->n_stages;
    return cbm_dnn_stage_add(d, pd, arguments, bias ? 4 : 3) &&
           (!back || cbm_dnn_reorder(d, arguments[result].memory, back));
}

static bool fill_sequence(cbm_dnn *d, dnnl_primitive_desc_t pd, pair p)
{
    const cbm_dnn_conv *c = &d->conv;
    cbm_dnn_desc format = dnnl_primitive_desc_query_md(pd, roles[c->direction].weight, 0);
    cbm_dnn_desc bias = has_bias(c) ? cbm_dnn_desc_tag(1, &c->out_channels, dnnl_f32, dnnl_x) : NULL;
    const types own_type = own_types(c), inner = inner_types(c);
    cbm_dnn_desc x = x_desc(c, c->x_layout, own_type), y = y_desc(c, c->y_layout, own_type);
    cbm_dnn_desc weight = weight_desc(c, false, own_type);
    cbm_dnn_desc inner_x = x_desc(c, p.x, inner), inner_y = y_desc(c, p.y, inner);
    const cbm_dnn_desc own[3] = { x, c->packed_weight ? format : weight, y }, wanted[3] = { inner_x, format, inner_y };
    const bool ok = format && x && y && weight && inner_x && inner_y && (bias || !has_bias(c)) &&
                    add_conv(d, pd, own, wanted, bias);
    if (ok)
        snprintf(d->description, sizeof d->description, "%s %s->%s%s%s%s", cbm_dnn_implementation(pd),
                 layouts[p.x].name, layouts[p.y].name, dnnl_memory_desc_equal(own[0], wanted[0]) ? "" : ", x reordered",
                 dnnl_memory_desc_equal(own[2], wanted[2]) ? "" : ", y reordered",
                 dnnl_memory_desc_equal(own[1], wanted[1]) ? "" : ", weight reordered");
    cbm_dnn_desc_free(bias);
    cbm_dnn_desc_free(x);
    cbm_dnn_desc_free(y);
    cbm_dnn_desc_free(weight);
    cbm_dnn_desc_free(inner_x);
    cbm_dnn_desc_free(inner_y);
    return ok;
}

static bool is_valid(const cbm_dnn_conv *c)
{
    return c->channels % layouts[c->x_layout].block == 0 && c->out_channels % layouts[c->y_layout].block == 0 &&
           !(c->packed_weight && c->direction == CBM_DNN_WEIGHT_GRAD);
}

cbm_dnn *cbm_dnn_convolution(const cbm_dnn_conv *c, int64_t threads)
{
    cbm_dnn *d = is_valid(c) ? cbm_dnn_begin(threads) : NULL;
    if (!d)
        return NULL;
    pair p;
    d->conv = *c;
    dnnl_primitive_desc_t pd = choose(c, &p);
    const bool ok = pd && fill_sequence(d, pd, p);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    return cbm_dnn_end(d, ok);
}

/* ---- packed weights ---- */

static cbm_dnn_desc packed_desc(const cbm_dnn *d)
{
    const_dnnl_primitive_desc_t pd;
    if (!d->conv.packed_weight ||
        dnnl_primitive_get_primitive_desc(d->stages[d->conv_stage].primitive, &pd) != dnnl_success)
        return NULL;
    return dnnl_primitive_desc_query_md(pd, roles[d->conv.direction].weight, 0);
}

size_t cbm_dnn_packed_bytes(const cbm_dnn *d)
{
    cbm_dnn_desc desc = packed_desc(d);
    return desc ? dnnl_memory_desc_get_size(desc) : 0;
}

cbm_dnn *cbm_dnn_packer(const cbm_dnn *d, int64_t threads)
{
    cbm_dnn_desc packed = packed_desc(d), plain = packed ? weight_desc(&d->conv, false, own_types(&d->conv)) : NULL;
    cbm_dnn *packer = plain ? cbm_dnn_begin(threads) : NULL;
    if (!packer) {
        cbm_dnn_desc_free(plain);
        return NULL;
    }
    dnnl_memory_t from = cbm_dnn_memory(packer, plain, 0), to = cbm_dnn_memory(packer, packed, 1);
    cbm_dnn_desc_free(plain);
    snprintf(packer->description, sizeof packer->description, "weight reordered");
    return cbm_dnn_end(packer, from && to && cbm_dnn_reorder(packer, from, to));
}
