/* nn.h: modules: layers, containers and a user's own networks; their parameters, names and modes; a summary by layer. */
#ifndef CAMBIUM_NN_H
#define CAMBIUM_NN_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

typedef cbm_tensor *(*cbm_forward_fn)(cbm_module *self, cbm_tensor *x);

/* A network of your own is a struct that begins with a cbm_module:

       typedef struct two_layer_net { cbm_module module; cbm_module *linear1, *linear2; } two_layer_net;

   made by cbm_module_new(cx, sizeof(two_layer_net), forward), with its parts named by cbm_add_module and
   cbm_add_parameter. Forward calls the parts with cbm_call, so that summaries and diagnoses see them. */
struct cbm_module {
    cbm_context *cx;
    const char *type; /* "linear"; static text; yours may stay NULL ("module") */
    cbm_forward_fn forward;
    void (*destroy)(
        cbm_module *self); /* NULL, or frees what your struct owns besides parameters and children. Children may
                                          be gone already: do not touch them */
    bool training;         /* true after creation; changed by cbm_train and cbm_eval */
    bool failed;           /* an inert module that stands for one that could not be made */
    struct cbm_module_parts *parts; /* private */
};

/* A new module: size bytes, zeroed, of which the first are a cbm_module. It belongs to the context. NULL only on failure,
   whose reason the context keeps. */
CBM_API cbm_module *cbm_module_new(cbm_context *cx, size_t size, cbm_forward_fn forward);
/* What a maker of modules returns when it fails: an inert module, never NULL, on which every call is harmless. */
CBM_API cbm_module *cbm_module_failed(cbm_context *cx);
/* Frees a module before its context closes, and its children with it unless another module holds them. NULL is allowed. */
CBM_API void cbm_module_release(cbm_module *module);

/* Names the parts. name: letters, digits, _ and the like, without '.'; copied. A parameter or buffer is a variable and is
   kept alive by the module. tensor NULL: no such part (a layer without bias), nothing is added. */
CBM_API cbm_status cbm_add_parameter(cbm_module *module, const char *name, cbm_tensor *variable);
CBM_API cbm_status cbm_add_buffer(cbm_module *module, const char *name, cbm_tensor *variable);
CBM_API cbm_status cbm_add_module(cbm_module *module, const char *name, cbm_module *child);

/* module's forward on x; a failed tensor after any error. */
CBM_API cbm_tensor *cbm_call(cbm_module *module, cbm_tensor *x);

/* Training and evaluation mode of a module and all below it: dropout and batch norm differ. */
CBM_API void cbm_train(cbm_module *module);
CBM_API void cbm_eval(cbm_module *module);

/* The precision of this module's calls, whatever the scope says; CBM_PRECISION_OUTER: the scope's again. Children follow
   unless they have one of their own. A bf16 input of a module of precision F32 is converted first. */
CBM_API void cbm_module_set_precision(cbm_module *module, cbm_precision precision);

/* Parameters depth first with PyTorch's names ("conv1.weight"); a parameter shared by two modules appears once. The
   state is parameters and buffers ("bn.running_mean"), as in state_dict. */
typedef struct cbm_named {
    char name[256];
    cbm_tensor *tensor; /* owned by the module */
    bool buffer;
} cbm_named;
CBM_API size_t cbm_parameter_count(const cbm_module *module);
CBM_API bool cbm_parameter_at(const cbm_module *module, size_t index, cbm_named *out); /* false past the end */
CBM_API size_t cbm_state_count(const cbm_module *module);
CBM_API bool cbm_state_at(const cbm_module *module, size_t index, cbm_named *out);
/* The parameter or buffer of that name; an error and a failed tensor if there is none. */
CBM_API cbm_tensor *cbm_parameter(cbm_module *module, const char *name);
/* All elements of all parameters together. */
CBM_API int64_t cbm_parameter_elements(const cbm_module *module);
/* Freezes (false) or thaws all parameters below module. */
CBM_API void cbm_module_set_trainable(cbm_module *module, bool trainable);

CBM_API size_t cbm_child_count(const cbm_module *module);
CBM_API cbm_module *cbm_child_at(const cbm_module *module, size_t index, const char **name); /* NULL past the end */

/* ---- layers. Initial values as in PyTorch, drawn from the context's random numbers ---- */

/* y = x weight^T + bias: (..., in) -> (..., out). weight (out, in) and bias (out) are uniform in +-1/sqrt(in). */
typedef struct cbm_nn_linear_options {
    uint64_t struct_size;
    uint64_t bias CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32); /* CBM_F32 or CBM_F64 */
} cbm_nn_linear_options;
CBM_API void cbm_nn_linear_options_init(cbm_nn_linear_options *options);
CBM_API cbm_module *cbm_nn_linear_with(cbm_context *cx, int64_t in, int64_t out, const cbm_nn_linear_options *options);

/* cbm_conv2d with a weight (out, in / groups, kernel, kernel) and a bias (out), uniform in +-1/sqrt(fan in).
   .kernel = CBM_SHAPE(3, 5) makes it oblong; lists hold one value or two (height, width). */
typedef struct cbm_nn_conv2d_options {
    uint64_t struct_size;
    cbm_shape kernel CBM_DEFAULT({});
    cbm_shape stride CBM_DEFAULT({ { 1, 1 } });
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    cbm_shape dilation CBM_DEFAULT({ { 1, 1 } });
    int64_t groups CBM_DEFAULT(1);
    uint64_t bias CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_conv2d_options;
CBM_API void cbm_nn_conv2d_options_init(cbm_nn_conv2d_options *options);
CBM_API cbm_module *cbm_nn_conv2d_with(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                       const cbm_nn_conv2d_options *options);

/* Pooling windows; stride defaults to the kernel. exclude_pad: the average does not count padded zeros. */
typedef struct cbm_nn_pool2d_options {
    uint64_t struct_size;
    cbm_shape kernel CBM_DEFAULT({});
    cbm_shape stride CBM_DEFAULT({});
    cbm_shape padding CBM_DEFAULT({ { 1, 0 } });
    uint64_t exclude_pad CBM_DEFAULT(0);
} cbm_nn_pool2d_options;
CBM_API void cbm_nn_pool2d_options_init(cbm_nn_pool2d_options *options);
CBM_API cbm_module *cbm_nn_max_pool2d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool2d_options *options);
CBM_API cbm_module *cbm_nn_avg_pool2d_with(cbm_context *cx, int64_t kernel, const cbm_nn_pool2d_options *options);

/* The mean over height and width: (N, C, H, W) -> (N, C, 1, 1), as PyTorch's AdaptiveAvgPool2d(1). */
CBM_API cbm_module *cbm_nn_global_avg_pool2d(cbm_context *cx);

/* cbm_batch_norm over axis 1: weight 1 and bias 0 (absent if affine is 0), buffers running_mean 0, running_var 1 and
   num_batches_tracked 0 (i64). The 2d form takes (N, C, H, W), the 1d form (N, C) or (N, C, L). */
typedef struct cbm_nn_batch_norm_options {
    uint64_t struct_size;
    double eps CBM_DEFAULT(1e-5);
    double momentum CBM_DEFAULT(0.1);
    uint64_t affine CBM_DEFAULT(1);
    int64_t dtype CBM_DEFAULT(CBM_F32);
} cbm_nn_batch_norm_options;
CBM_API void cbm_nn_batch_norm_options_init(cbm_nn_batch_norm_options *options);
CBM_API cbm_module *cbm_nn_batch_norm2d_with(cbm_context *cx, int64_t channels,
                                             const cbm_nn_batch_norm_options *options);
CBM_API cbm_module *cbm_nn_batch_norm1d_with(cbm_context *cx, int64_t channels,
                                             const cbm_nn_batch_norm_options *options);

/* Identity in evaluation mode. 0 <= p < 1. */
CBM_API cbm_module *cbm_nn_dropout(cbm_context *cx, double p);
/* (N, ...) -> (N, rest). */
CBM_API cbm_module *cbm_nn_flatten(cbm_context *cx);
CBM_API cbm_module *cbm_nn_relu(cbm_context *cx);
CBM_API cbm_module *cbm_nn_relu6(cbm_context *cx);
CBM_API cbm_module *cbm_nn_sigmoid(cbm_context *cx);
CBM_API cbm_module *cbm_nn_tanh(cbm_context *cx);
CBM_API cbm_module *cbm_nn_gelu(cbm_context *cx);

/* For inference: folds every batch norm (2d) that directly follows a convolution, and alone does so, into its weights and
   bias: weight gain and (bias - running_mean) gain + bias of the norm, gain = weight of the norm / sqrt(running_var + eps).
   Results stay equal but for rounding. Which norm follows which convolution is seen by recording network on input, which is
   not computed. The network is in evaluation mode afterwards; convolutions without a bias have got one, the norms have lost
   their parameters and cannot train. folded: how many; may be NULL. After an error the network computes what it did. */
CBM_API cbm_status cbm_nn_fold_batch_norm(cbm_module *network, cbm_tensor *input, size_t *folded);

/* Recomputation (Chen et al. 2016, "Training deep nets with sublinear memory cost"): from now on module keeps nothing but
   its input for backward, which records its forward once more, when the gradient of its output is known, and
   differentiates that. Values and gradients are the same (bit for bit where the plan keeps the same layouts): random numbers
   repeat, and variables that the forward assigns (running statistics) change once. Costs another forward; saves the memory of what is inside. Returns module, with
   its parameters' names as they were: cbm_sequential(cx, cbm_nn_checkpoint(cx, block1), cbm_nn_checkpoint(cx, block2), CBM_END).
   Modules inside may be checkpointed too. The forward must depend on nothing but its input, its modules and their
   parameters (at most 62 that are trainable), and must not keep tensors past its end. (Not to be confused with
   cbm_checkpoint in io.h, a file.) */
CBM_API cbm_module *cbm_nn_checkpoint(cbm_context *cx, cbm_module *module);

/* Modules one after the other; children are named "0", "1", ... */
CBM_API cbm_module *cbm_sequential_of(cbm_context *cx, size_t count, cbm_module *const *modules);
/* The same for a list that ends in CBM_END; a NULL before it is an error. */
CBM_API cbm_module *cbm_sequential_list(cbm_context *cx, cbm_module *const *modules);

/* Fills a variable again: uniform in [-bound, bound], normal, or one value. */
CBM_API void cbm_init_uniform(cbm_tensor *variable, double bound);
CBM_API void cbm_init_normal(cbm_tensor *variable, double deviation);
CBM_API void cbm_init_constant(cbm_tensor *variable, double value);

/* ---- a summary by layer ---- */
typedef struct cbm_summary_row {
    char name[256];           /* "conv1"; "" for the whole network */
    const char *type;         /* "conv2d" */
    cbm_shape input, output;  /* as met on the way */
    int64_t depth;            /* 1: a part of the network, 2: a part of a part */
    int64_t children;         /* 0 for a layer */
    int64_t parameters;       /* elements of all parameters at and below this module */
    int64_t trainable;        /* of them, those that training changes */
    double flops;             /* of one forward of this input */
    int64_t activation_bytes; /* of the output; for containers the sum of the parts */
} cbm_summary_row;
/* Calls row for each module that a forward of input meets, in order of execution (a container after its parts), and last
   with the whole network. Only records; nothing is computed. Stops with an error as cbm_call would. */
CBM_API cbm_status cbm_summary(cbm_module *network, cbm_tensor *input,
                               void (*row)(const cbm_summary_row *row, void *user), void *user);
/* Calls see(name, module, input, output, user) for each module met while network is called on x. Returns the result. */
typedef void (*cbm_watch_fn)(const char *name, cbm_module *module, cbm_tensor *input, cbm_tensor *output, void *user);
CBM_API cbm_tensor *cbm_call_watched(cbm_module *network, cbm_tensor *x, cbm_watch_fn see, void *user);

CBM_END_DECLS

#ifndef CBM_NO_CALL_SITES
#define cbm_call(...) cbm_at(cbm_call(__VA_ARGS__), __FILE__, __LINE__)
#endif

#ifndef __cplusplus
#define CBM_NN_LINEAR_DEFAULTS .bias = 1, .dtype = CBM_F32
#define CBM_NN_CONV2D_DEFAULTS                                                                                         \
    .stride = { { 1, 1 } }, .padding = { { 1, 0 } }, .dilation = { { 1, 1 } }, .groups = 1, .bias = 1, .dtype = CBM_F32
#define CBM_NN_POOL2D_DEFAULTS .padding = { { 1, 0 } }, .exclude_pad = 0
#define CBM_NN_BATCH_NORM_DEFAULTS .eps = 1e-5, .momentum = 0.1, .affine = 1, .dtype = CBM_F32

/* cbm_nn_linear(cx, 784, 10), cbm_nn_linear(cx, 784, 10, .bias = false) */
#define cbm_nn_linear(...) CBM_NN_LINEAR_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_linear_options))
#define CBM_NN_LINEAR_(cx, in, out, ...)                                                                               \
    CBM_OPTIONS_(cbm_nn_linear_options, cbm_nn_linear_with(cx, in, out, &cbm_o_), CBM_NN_LINEAR_DEFAULTS, __VA_ARGS__)
/* cbm_nn_conv2d(cx, 1, 32, 3), cbm_nn_conv2d(cx, 3, 64, 3, .stride = CBM_SHAPE(2), .padding = CBM_SHAPE(1)) */
#define cbm_nn_conv2d(...) CBM_NN_CONV2D_(__VA_ARGS__, .struct_size = sizeof(cbm_nn_conv2d_options))
#define CBM_NN_CONV2D_(cx, in, out, kernel, ...)                                                                       \
    CBM_OPTIONS_(cbm_nn_conv2d_options, cbm_nn_conv2d_with(cx, in, out, kernel, &cbm_o_), CBM_NN_CONV2D_DEFAULTS,      \
                 __VA_ARGS__)
#define cbm_nn_max_pool2d(...)                                                                                         \
    CBM_NN_POOL2D_(cbm_nn_max_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool2d_options))
#define cbm_nn_avg_pool2d(...)                                                                                         \
    CBM_NN_POOL2D_(cbm_nn_avg_pool2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_pool2d_options))
#define CBM_NN_POOL2D_(function, cx, kernel, ...)                                                                      \
    CBM_OPTIONS_(cbm_nn_pool2d_options, function(cx, kernel, &cbm_o_), CBM_NN_POOL2D_DEFAULTS, __VA_ARGS__)
#define cbm_nn_batch_norm2d(...)                                                                                       \
    CBM_NN_BATCH_NORM_(cbm_nn_batch_norm2d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_batch_norm_options))
#define cbm_nn_batch_norm1d(...)                                                                                       \
    CBM_NN_BATCH_NORM_(cbm_nn_batch_norm1d_with, __VA_ARGS__, .struct_size = sizeof(cbm_nn_batch_norm_options))
#define CBM_NN_BATCH_NORM_(function, cx, channels, ...)                                                                \
    CBM_OPTIONS_(cbm_nn_batch_norm_options, function(cx, channels, &cbm_o_), CBM_NN_BATCH_NORM_DEFAULTS, __VA_ARGS__)
/* cbm_sequential(cx, a, b, c, CBM_END) */
#define cbm_sequential(cx, ...) cbm_sequential_list(cx, (cbm_module *const[]){ __VA_ARGS__, CBM_END })
#else
static inline cbm_module *cbm_nn_linear(cbm_context *cx, int64_t in, int64_t out,
                                        const cbm_nn_linear_options &options = {})
{
    cbm_nn_linear_options o = options;
    o.struct_size = sizeof o;
    return cbm_nn_linear_with(cx, in, out, &o);
}
static inline cbm_module *cbm_nn_conv2d(cbm_context *cx, int64_t in, int64_t out, int64_t kernel,
                                        const cbm_nn_conv2d_options &options = {})
{
    cbm_nn_conv2d_options o = options;
    o.struct_size = sizeof o;
    return cbm_nn_conv2d_with(cx, in, out, kernel, &o);
}
static inline cbm_module *cbm_nn_max_pool2d(cbm_context *cx, int64_t kernel, const cbm_nn_pool2d_options &options = {})
{
    cbm_nn_pool2d_options o = options;
    o.struct_size = sizeof o;
    return cbm_nn_max_pool2d_with(cx, kernel, &o);
}
static inline cbm_module *cbm_nn_avg_pool2d(cbm_context *cx, int64_t kernel, const cbm_nn_pool2d_options &options = {})
{
    cbm_nn_pool2d_options o = options;
    o.struct_size = sizeof o;
    return cbm_nn_avg_pool2d_with(cx, kernel, &o);
}
static inline cbm_module *cbm_nn_batch_norm2d(cbm_context *cx, int64_t channels,
                                              const cbm_nn_batch_norm_options &options = {})
{
    cbm_nn_batch_norm_options o = options;
    o.struct_size = sizeof o;
    return cbm_nn_batch_norm2d_with(cx, channels, &o);
}
static inline cbm_module *cbm_nn_batch_norm1d(cbm_context *cx, int64_t channels,
                                              const cbm_nn_batch_norm_options &options = {})
{
    cbm_nn_batch_norm_options o = options;
    o.struct_size = sizeof o;
    return cbm_nn_batch_norm1d_with(cx, channels, &o);
}
template <typename... M> static inline cbm_module *cbm_sequential(cbm_context *cx, M... modules)
{
    cbm_module *const list[] = { modules..., CBM_END };
    return cbm_sequential_list(cx, list);
}
#endif

#endif
