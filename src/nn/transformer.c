/* transformer.c: layers of transformers, stacks of them, and sinusoidal positions. Rests on layer.h, multi-head attention and
   layer norm. */
#include "nn/layer.h"
#include <math.h>
#include <stdio.h>

/* The parts of a layer, by PyTorch's names; a decoder has those of the second attention too. */
typedef struct layer {
    cbm_module module;
    cbm_module *self_attn, *multihead_attn, *linear1, *dropout, *linear2, *norm[3], *dropouts[3];
    bool norm_first, gelu;
} layer;

typedef struct stack {
    cbm_module module;
    cbm_module *layers, *norm; /* norm NULL: none */
} stack;

/* ---- one layer ---- */

typedef cbm_tensor *(*part_fn)(const layer *m, cbm_tensor *x, const cbm_transformer_call_options *o);

static cbm_tensor *among_itself(const layer *m, cbm_tensor *x, const cbm_transformer_call_options *o)
{
    const cbm_attention_call_options a = {
        .struct_size = sizeof a, .key_padding_mask = o->key_padding_mask, .attn_mask = o->mask, .causal = o->causal
    };
    return cbm_attention_call_with(m->self_attn, x, &a).output;
}

static cbm_tensor *to_memory(const layer *m, cbm_tensor *x, const cbm_transformer_call_options *o)
{
    const cbm_attention_call_options a = { .struct_size = sizeof a,
                                           .key = o->memory,
                                           .key_padding_mask = o->memory_key_padding_mask,
                                           .attn_mask = o->memory_mask,
                                           .causal = o->memory_causal };
    return cbm_attention_call_with(m->multihead_attn, x, &a).output;
}

static cbm_tensor *feed_forward(const layer *m, cbm_tensor *x, const cbm_transformer_call_options *o)
{
    (void)o;
    x = cbm_call(m->linear1, x);
    x = m->gelu ? cbm_gelu(x) : cbm_relu(x);
    return cbm_call(m->linear2, cbm_call(m->dropout, x));
}

/* x + dropout(part(x)), with its norm before the part or after the sum. */
static cbm_tensor *residual(const layer *m, int number, part_fn part, cbm_tensor *x,
                            const cbm_transformer_call_options *o)
{
    cbm_tensor *inner = part(m, m->norm_first ? cbm_call(m->norm[number], x) : x, o);
    x = cbm_add(x, cbm_call(m->dropouts[number], inner));
    return m->norm_first ? x : cbm_call(m->norm[number], x);
}

static cbm_tensor *layer_forward_with(cbm_module *self, cbm_tensor *x, void *user)
{
    const layer *m = (layer *)self;
    const cbm_transformer_call_options *o = user;
    if (m->multihead_attn && !o->memory)
        return cbm_fail_tensor(self->cx, CBM_ERROR_INVALID,
                               "[%s] a decoder needs its memory. HINT: cbm_transformer_call", self->type);
    if (!m->multihead_attn && (o->memory || o->memory_mask || o->memory_key_padding_mask || o->memory_causal))
        return cbm_fail_tensor(self->cx, CBM_ERROR_INVALID, "[%s] memory and its masks belong to a decoder",
                               self->type);
    int number = 0;
    x = residual(m, number++, among_itself, x, o);
    if (m->multihead_attn)
        x = residual(m, number++, to_memory, x, o);
    return residual(m, number, feed_forward, x, o);
}

static cbm_tensor *layer_forward(cbm_module *self, cbm_tensor *x)
{
    cbm_transformer_call_options o = { .struct_size = sizeof o };
    return layer_forward_with(self, x, &o);
}

static cbm_tensor *stack_forward_with(cbm_module *self, cbm_tensor *x, void *user)
{
    const stack *m = (stack *)self;
    for (size_t i = 0; i < cbm_child_count(m->layers); i++)
        x = cbm_call_as(cbm_child_at(m->layers, i, NULL), x, layer_forward_with, user);
    return m->norm ? cbm_call(m->norm, x) : x;
}

static cbm_tensor *stack_forward(cbm_module *self, cbm_tensor *x)
{
    cbm_transformer_call_options o = { .struct_size = sizeof o };
    return stack_forward_with(self, x, &o);
}

cbm_tensor *cbm_transformer_call_with(cbm_module *module, cbm_tensor *x, const cbm_transformer_call_options *o)
{
    const bool is_layer = module && module->forward == layer_forward;
    cbm_tensor *bad = cbm_typed_call_wrong(module, x, is_layer ? layer_forward : stack_forward,
                                           "[transformer_call] the module is no encoder, decoder or layer of them", o,
                                           o ? o->struct_size : 0, sizeof *o);
    if (bad)
        return bad;
    return cbm_call_as(module, x, is_layer ? layer_forward_with : stack_forward_with, (void *)(uintptr_t)o);
}

/* ---- encoder and decoder ---- */

typedef struct pair {
    cbm_module module;
    cbm_module *encoder, *decoder;
} pair;

typedef struct pair_call {
    cbm_tensor *target;
    const cbm_encode_decode_options *o;
} pair_call;

static cbm_tensor *pair_forward(cbm_module *self, cbm_tensor *x)
{
    (void)x;
    return cbm_fail_tensor(self->cx, CBM_ERROR_INVALID,
                           "[transformer] it needs a target beside its source. HINT: cbm_encode_decode");
}

static cbm_tensor *pair_forward_with(cbm_module *self, cbm_tensor *x, void *user)
{
    const pair *m = (pair *)self;
    const pair_call *call = user;
    const cbm_encode_decode_options *o = call->o;
    const cbm_transformer_call_options source = { .struct_size = sizeof source,
                                                  .mask = o->source_mask,
                                                  .key_padding_mask = o->source_key_padding_mask,
                                                  .causal = o->source_causal };
    const cbm_transformer_call_options target = { .struct_size = sizeof target,
                                                  .mask = o->target_mask,
                                                  .key_padding_mask = o->target_key_padding_mask,
                                                  .causal = o->target_causal,
                                                  .memory = cbm_transformer_call_with(m->encoder, x, &source),
                                                  .memory_mask = o->memory_mask,
                                                  .memory_key_padding_mask = o->memory_key_padding_mask,
                                                  .memory_causal = o->memory_causal };
    return cbm_transformer_call_with(m->decoder, call->target, &target);
}

cbm_tensor *cbm_encode_decode_with(cbm_module *transformer, cbm_tensor *source, cbm_tensor *target,
                                   const cbm_encode_decode_options *o)
{
    cbm_tensor *bad =
        cbm_typed_call_wrong(transformer, source, pair_forward, "[encode_decode] the module is no transformer", o,
                             o ? o->struct_size : 0, sizeof *o);
    if (bad)
        return bad;
    if (!cbm_usable(transformer->cx, target))
        return &transformer->cx->failed;
    pair_call call = { target, o };
    return cbm_call_as(transformer, source, pair_forward_with, &call);
}

/* ---- making ---- */

CBM_OPTIONS_INIT(cbm_nn_transformer_options, CBM_NN_TRANSFORMER_DEFAULTS)

static bool options_fit(cbm_context *cx, const char *who, const cbm_nn_transformer_options *o)
{
    if (o->dim_feedforward >= 1 && o->dropout >= 0 && o->dropout < 1 && o->layer_norm_eps >= 0 &&
        (o->activation == CBM_TRANSFORMER_RELU || o->activation == CBM_TRANSFORMER_GELU))
        return true;
    cbm_fail(cx, CBM_ERROR_INVALID,
             "[%s] needs a feed-forward width of at least 1, dropout in [0, 1), eps >= 0 and an activation of "
             "cbm_transformer_activation",
             who);
    return false;
}

static cbm_module *add(cbm_module *m, const char *name, cbm_module *child)
{
    cbm_add_module(m, name, child);
    return child;
}

static cbm_module *make_norm(cbm_context *cx, int64_t width, const cbm_nn_transformer_options *o)
{
    const cbm_nn_layer_norm_options n = {
        .struct_size = sizeof n, .eps = o->layer_norm_eps, .elementwise_affine = 1, .bias = o->bias, .dtype = o->dtype
    };
    return cbm_nn_layer_norm_with(cx, CBM_SHAPE(width), &n);
}

static cbm_module *make_attention(cbm_context *cx, int64_t width, int64_t heads, const cbm_nn_transformer_options *o)
{
    const cbm_nn_multihead_attention_options a = { .struct_size = sizeof a,
                                                   .dropout = o->dropout,
                                                   .bias = o->bias,
                                                   .batch_first = o->batch_first,
                                                   .dtype = o->dtype };
    return cbm_nn_multihead_attention_with(cx, width, heads, &a);
}

static cbm_module *make_layer(cbm_context *cx, const char *type, bool decoder, int64_t width, int64_t heads,
                              const cbm_nn_transformer_options *o)
{
    layer *m = cbm_layer_new(cx, sizeof *m, type, layer_forward);
    if (!m)
        return cbm_module_failed(cx);
    cbm_module *self = &m->module;
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o) || !cbm_layer_dtype(cx, type, o->dtype) ||
        !options_fit(cx, type, o))
        return cbm_layer_finish(self);
    const cbm_nn_linear_options linear = { .struct_size = sizeof linear, .bias = o->bias, .dtype = o->dtype };
    m->norm_first = o->norm_first;
    m->gelu = o->activation == CBM_TRANSFORMER_GELU;
    m->self_attn = add(self, "self_attn", make_attention(cx, width, heads, o));
    if (decoder)
        m->multihead_attn = add(self, "multihead_attn", make_attention(cx, width, heads, o));
    m->linear1 = add(self, "linear1", cbm_nn_linear_with(cx, width, o->dim_feedforward, &linear));
    m->dropout = add(self, "dropout", cbm_nn_dropout(cx, o->dropout));
    m->linear2 = add(self, "linear2", cbm_nn_linear_with(cx, o->dim_feedforward, width, &linear));
    const int parts = decoder ? 3 : 2;
    char name[16];
    for (int i = 0; i < parts; i++) {
        snprintf(name, sizeof name, "norm%d", i + 1);
        m->norm[i] = add(self, name, make_norm(cx, width, o));
    }
    for (int i = 0; i < parts; i++) {
        snprintf(name, sizeof name, "dropout%d", i + 1);
        m->dropouts[i] = add(self, name, cbm_nn_dropout(cx, o->dropout));
    }
    return cbm_layer_finish(self);
}

static cbm_module *make_stack(cbm_context *cx, const char *type, bool decoder, int64_t width, int64_t heads,
                              int64_t layers, const cbm_nn_transformer_options *o)
{
    stack *m = cbm_layer_new(cx, sizeof *m, type, stack_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, type, o, o ? o->struct_size : 0, sizeof *o))
        return cbm_layer_finish(&m->module);
    if (layers < 1) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[%s] %lld layers; at least 1 is needed", type, (long long)layers);
        return cbm_layer_finish(&m->module);
    }
    m->layers = add(&m->module, "layers", cbm_module_list_of(cx, 0, NULL));
    for (int64_t i = 0; i < layers && cbm_context_status(cx) == CBM_OK; i++) {
        char name[24];
        snprintf(name, sizeof name, "%lld", (long long)i);
        add(m->layers, name,
            make_layer(cx, decoder ? "transformer_decoder_layer" : "transformer_encoder_layer", decoder, width, heads,
                       o));
    }
    if (o->final_norm && cbm_context_status(cx) == CBM_OK)
        m->norm = add(&m->module, "norm", make_norm(cx, width, o));
    return cbm_layer_finish(&m->module);
}

cbm_module *cbm_nn_transformer_encoder_layer_with(cbm_context *cx, int64_t width, int64_t heads,
                                                  const cbm_nn_transformer_options *o)
{
    return make_layer(cx, "transformer_encoder_layer", false, width, heads, o);
}

cbm_module *cbm_nn_transformer_decoder_layer_with(cbm_context *cx, int64_t width, int64_t heads,
                                                  const cbm_nn_transformer_options *o)
{
    return make_layer(cx, "transformer_decoder_layer", true, width, heads, o);
}

cbm_module *cbm_nn_transformer_encoder_with(cbm_context *cx, int64_t width, int64_t heads, int64_t layers,
                                            const cbm_nn_transformer_options *o)
{
    return make_stack(cx, "transformer_encoder", false, width, heads, layers, o);
}

cbm_module *cbm_nn_transformer_decoder_with(cbm_context *cx, int64_t width, int64_t heads, int64_t layers,
                                            const cbm_nn_transformer_options *o)
{
    return make_stack(cx, "transformer_decoder", true, width, heads, layers, o);
}

cbm_module *cbm_nn_transformer_with(cbm_context *cx, int64_t width, int64_t heads, int64_t encoder_layers,
                                    int64_t decoder_layers, const cbm_nn_transformer_options *o)
{
    pair *m = cbm_layer_new(cx, sizeof *m, "transformer", pair_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, "transformer", o, o ? o->struct_size : 0, sizeof *o))
        return cbm_layer_finish(&m->module);
    cbm_nn_transformer_options with_norm = *o;
    with_norm.final_norm = 1;
    m->encoder =
        add(&m->module, "encoder", cbm_nn_transformer_encoder_with(cx, width, heads, encoder_layers, &with_norm));
    m->decoder =
        add(&m->module, "decoder", cbm_nn_transformer_decoder_with(cx, width, heads, decoder_layers, &with_norm));
    cbm_named p;
    for (size_t i = 0; cbm_context_status(cx) == CBM_OK && cbm_parameter_at(&m->module, i, &p); i++)
        if (cbm_tensor_rank(p.tensor) > 1)
            cbm_init_xavier_uniform(p.tensor, 1);
    return cbm_layer_finish(&m->module);
}

/* ---- positions ---- */

cbm_tensor *cbm_sinusoidal_positions(cbm_context *cx, cbm_dtype dtype, int64_t length, int64_t width)
{
    if (length < 0 || width < 1 || length > INT32_MAX || width > INT32_MAX || (dtype != CBM_F32 && dtype != CBM_F64))
        return cbm_fail_tensor(
            cx, CBM_ERROR_INVALID,
            "[sinusoidal_positions] %lld positions of width %lld in %s: the width must be at least 1, the "
            "dtype f32 or f64",
            (long long)length, (long long)width, cbm_dtype_name(dtype));
    const size_t bytes = (size_t)(length * width + 1) * sizeof(double);
    double *table = cbm_heap_take(cbm_context_heap(cx), bytes);
    if (!table) {
        cbm_fail_memory(cx, "sinusoidal_positions");
        return &cx->failed;
    }
    for (int64_t t = 0; t < length; t++)
        for (int64_t i = 0; i < width; i++) {
            const double angle = (double)t * exp(-log(10000) * (double)(i - i % 2) / (double)width);
            table[t * width + i] = i % 2 ? cos(angle) : sin(angle);
        }
    cbm_tensor *wide = cbm_tensor_from(cx, CBM_F64, CBM_SHAPE(length, width), table);
    cbm_heap_give(cbm_context_heap(cx), table, bytes);
    return cbm_cast(wide, dtype);
}

typedef struct positional {
    cbm_module module;
    int64_t width, max_length;
    bool batch_first;
    double dropout;
} positional;

static cbm_tensor *positional_forward(cbm_module *self, cbm_tensor *x)
{
    const positional *m = (positional *)self;
    const int64_t rank = cbm_tensor_rank(x), along = rank == 3 && m->batch_first ? 1 : 0;
    const int64_t steps = rank > 0 ? cbm_tensor_size(x, along) : 0;
    if ((rank != 2 && rank != 3) || cbm_tensor_size(x, -1) != m->width || steps > m->max_length) {
        const cbm_shape shape = cbm_tensor_shape(x);
        char text[160];
        return cbm_fail_tensor(self->cx, CBM_ERROR_SHAPE,
                               "[positional_encoding] the input %s is not %s or (T, E) with T up to %lld and E = %lld",
                               cbm_shape_text(&shape, text, sizeof text), m->batch_first ? "(N, T, E)" : "(T, N, E)",
                               (long long)m->max_length, (long long)m->width);
    }
    cbm_tensor *pe = cbm_slice(CBM_PART(self->parts->buffers, 0).tensor, 0, 0, steps, 1);
    if (rank == 3 && !m->batch_first)
        pe = cbm_reshape(pe, CBM_SHAPE(steps, 1, m->width));
    x = cbm_add(x, cbm_cast(pe, cbm_tensor_dtype(x)));
    return self->training && m->dropout > 0 ? cbm_dropout(x, m->dropout) : x;
}

CBM_OPTIONS_INIT(cbm_nn_positional_encoding_options, CBM_NN_POSITIONAL_ENCODING_DEFAULTS)

cbm_module *cbm_nn_positional_encoding_with(cbm_context *cx, int64_t width, const cbm_nn_positional_encoding_options *o)
{
    positional *m = cbm_layer_new(cx, sizeof *m, "positional_encoding", positional_forward);
    if (!m)
        return cbm_module_failed(cx);
    if (cbm_options_wrong(cx, m->module.type, o, o ? o->struct_size : 0, sizeof *o) ||
        !cbm_layer_dtype(cx, m->module.type, o->dtype))
        return cbm_layer_finish(&m->module);
    if (width < 1 || o->max_length < 1 || !(o->dropout >= 0 && o->dropout < 1)) {
        cbm_fail(cx, CBM_ERROR_INVALID,
                 "[positional_encoding] needs a width and a length of at least 1 and dropout in [0, 1)");
        return cbm_layer_finish(&m->module);
    }
    m->width = width;
    m->max_length = o->max_length;
    m->batch_first = o->batch_first;
    m->dropout = o->dropout;
    cbm_scope *scope = cbm_layer_scope(cx);
    cbm_tensor *pe = cbm_variable(cbm_sinusoidal_positions(cx, (cbm_dtype)o->dtype, o->max_length, width), false);
    cbm_add_buffer(&m->module, "pe", pe);
    cbm_release(pe);
    cbm_scope_end(scope);
    return cbm_layer_finish(&m->module);
}
