/* slide.c: a trained classifier as a fully convolutional network, which gives a map of scores of larger pictures. Rests on
   layer.h. */
#include "nn/layer.h"
#include <stdio.h>
#include <string.h>

/* A layer of the chain, as a call of the classifier met it. */
typedef struct link {
    cbm_module *module;
    cbm_shape in, out;
} link;

typedef struct chain {
    cbm_context *cx;
    cbm_array links;   /* of link, in order */
    cbm_tensor *last;  /* what the newest gave */
    cbm_module *loose; /* whose input the one before did not give; NULL: it is a chain */
    bool ok;
} chain;

/* A flattening between two layers, by a module or by the network itself, is all that may stand there. */
static bool follows(const chain *c, cbm_tensor *input)
{
    if (!c->last || input == c->last)
        return true;
    return cbm_tensor_rank(c->last) == 4 && cbm_tensor_rank(input) == 2 &&
           cbm_tensor_count(c->last) == cbm_tensor_count(input);
}

static void see(const char *name, cbm_module *module, cbm_tensor *input, cbm_tensor *output, void *user)
{
    chain *c = user;
    (void)name;
    if (cbm_child_count(module) > 0)
        return;
    const link l = { module, cbm_tensor_shape(input), cbm_tensor_shape(output) };
    if (!follows(c, input) && !c->loose)
        c->loose = module;
    c->last = output;
    c->ok = c->ok && cbm_array_push(&c->links, &l) != NULL;
}

static bool is(const cbm_module *m, const char *type)
{
    return m->type && strcmp(m->type, type) == 0;
}

static cbm_module *refuse(chain *c, const cbm_module *m, const char *why)
{
    cbm_fail(c->cx, CBM_ERROR_UNSUPPORTED, "[convolutionalize] %s %s", m->type ? m->type : "a module", why);
    return NULL;
}

/* A linear layer as a convolution with a kernel as large as what it sees: height x width of channels, or one place. */
static cbm_module *convolution_of(chain *c, cbm_module *linear, const cbm_shape *seen)
{
    cbm_tensor *weight = cbm_layer_parameter(linear, 0), *bias = cbm_layer_parameter(linear, 1);
    const int64_t out = cbm_tensor_size(weight, 0), in = cbm_tensor_size(weight, 1);
    const bool whole = seen->v[0] == 4;
    const cbm_shape kernel = whole ? CBM_SHAPE(seen->v[3], seen->v[4]) : CBM_SHAPE(1, 1);
    const int64_t channels = whole ? seen->v[2] : in;
    if (channels * kernel.v[1] * kernel.v[2] != in)
        return refuse(c, linear, "sees something else than all of the layer before");
    cbm_module *conv = cbm_nn_conv2d(c->cx, channels, out, 0, .kernel = kernel, .bias = bias != NULL,
                                     .dtype = cbm_tensor_dtype(weight));
    if (conv->failed)
        return conv;
    cbm_scope *scope = cbm_layer_scope(c->cx);
    cbm_assign(cbm_layer_parameter(conv, 0), cbm_reshape(weight, CBM_SHAPE(out, channels, kernel.v[1], kernel.v[2])));
    if (bias)
        cbm_assign(cbm_layer_parameter(conv, 1), bias);
    cbm_scope_end(scope);
    return conv;
}

/* A pooling that adapts to what it sees slides with the extents that it had; NULL without an error: it did nothing. */
static cbm_module *pooling_of(chain *c, const link *l)
{
    const bool max = is(l->module, "adaptive_max_pool2d") || is(l->module, "global_max_pool2d");
    if (l->in.v[0] != 4)
        return refuse(c, l->module, "does not see pictures");
    if (l->in.v[3] == l->out.v[3] && l->in.v[4] == l->out.v[4])
        return NULL;
    if (l->out.v[3] != 1 || l->out.v[4] != 1)
        return refuse(c, l->module, "gives neither one place nor as many as it sees, so it cannot slide");
    const cbm_nn_pool_options o = { .struct_size = sizeof o,
                                    .kernel = CBM_SHAPE(l->in.v[3], l->in.v[4]),
                                    .stride = CBM_SHAPE(1),
                                    .padding = CBM_SHAPE(0),
                                    .dilation = CBM_SHAPE(1) };
    return max ? cbm_nn_max_pool2d_with(c->cx, 0, &o) : cbm_nn_avg_pool2d_with(c->cx, 0, &o);
}

static bool adapts(const cbm_module *m)
{
    return is(m, "adaptive_avg_pool2d") || is(m, "global_avg_pool2d") || is(m, "adaptive_max_pool2d") ||
           is(m, "global_max_pool2d");
}

/* What stands in a layer's place; NULL: nothing, or an error. seen: what the newest linear layer or layer of pictures gave. */
static cbm_module *place_of(chain *c, const link *l, cbm_shape *seen)
{
    cbm_module *m = l->module, *made = m;
    if (is(m, "flatten"))
        return NULL;
    if (adapts(m))
        made = pooling_of(c, l);
    else if (is(m, "linear"))
        made = convolution_of(c, m, seen);
    else if (is(m, "batch_norm1d") || is(m, "layer_norm") || is(m, "softmax") || is(m, "log_softmax"))
        return refuse(c, m, "looks along another axis in a map of scores");
    if (l->out.v[0] == 4 ||
        is(m, "linear")) /* what goes element by element may stand on either side of the flattening */
        *seen = l->out;
    return made;
}

static cbm_module *assemble(chain *c)
{
    cbm_module *net = cbm_sequential_of(c->cx, 0, NULL);
    cbm_shape seen = { { 0 } };
    size_t count = 0;
    for (size_t i = 0; i < c->links.count && cbm_context_status(c->cx) == CBM_OK; i++) {
        const link *l = &CBM_AT(&c->links, link, i);
        if (i == 0)
            seen = l->in;
        cbm_module *m = place_of(c, l, &seen);
        char name[24];
        snprintf(name, sizeof name, "%zu", count);
        if (!m)
            continue;
        cbm_add_module(net, name, m);
        count++;
    }
    cbm_eval(net);
    return cbm_layer_finish(net);
}

cbm_module *cbm_convolutionalize(cbm_module *net, cbm_shape picture)
{
    cbm_context *cx = net ? net->cx : NULL;
    if (!cx || net->failed || !cbm_context_ready(cx))
        return cbm_module_failed(cx);
    if (picture.v[0] != 3) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[convolutionalize] the picture's extents are (C, H, W)");
        return cbm_module_failed(cx);
    }
    chain c = { .cx = cx, .links = CBM_ARRAY(cbm_context_heap(cx), link), .ok = true };
    size_t modes;
    bool *training = cbm_modes_take(net, &modes);
    if (!training)
        return cbm_module_failed(cx);
    cbm_scope *scope = cbm_layer_scope(cx);
    cbm_eval(net);
    cbm_named first;
    const cbm_dtype dtype = cbm_parameter_at(net, 0, &first) ? cbm_tensor_dtype(first.tensor) : CBM_F32;
    cbm_tensor *x = cbm_zeros(cx, dtype, CBM_SHAPE(1, picture.v[1], picture.v[2], picture.v[3]));
    cbm_tensor *y = cbm_call_watched(net, x, see, &c);
    if (cbm_context_status(cx) == CBM_OK && (c.loose || y != c.last || c.links.count == 0))
        cbm_fail(cx, CBM_ERROR_UNSUPPORTED, "[convolutionalize] the network is no chain of layers: %s does not follow",
                 c.loose && c.loose->type ? c.loose->type : "what it gives");
    if (!c.ok)
        cbm_fail_memory(cx, "a list of layers");
    cbm_modes_put_back(net, training, modes);
    cbm_module *made = cbm_context_status(cx) == CBM_OK ? assemble(&c) : cbm_module_failed(cx);
    cbm_scope_end(scope);
    cbm_array_free(&c.links);
    return made;
}
