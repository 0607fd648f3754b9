/* nn/container.h: modules made of others. See nn.h for what holds for all modules. */
#ifndef CAMBIUM_NN_CONTAINER_H
#define CAMBIUM_NN_CONTAINER_H

#include <cambium/nn/module.h>

CBM_BEGIN_DECLS

/* Modules one after the other; children are named "0", "1", ... */
CBM_API cbm_module *cbm_sequential_of(cbm_context *cx, size_t count, cbm_module *const *modules);
/* The same for a list that ends in CBM_END; a NULL before it is an error. */
CBM_API cbm_module *cbm_sequential_list(cbm_context *cx, cbm_module *const *modules);

/* x + body(x), with a shortcut shortcut(x) + body(x) (He et al. 2016). Children are named "body" and "shortcut"; shortcut
   may be NULL. */
CBM_API cbm_module *cbm_residual(cbm_context *cx, cbm_module *body, cbm_module *shortcut);

/* Modules side by side on one input; children are named "0", "1", ... Their results are joined: one behind the other along
   axis, or added up (axis is then ignored). */
typedef enum cbm_join { CBM_JOIN_CONCAT = 0, CBM_JOIN_SUM = 1 } cbm_join;
CBM_API cbm_module *cbm_parallel_of(cbm_context *cx, cbm_join join, int64_t axis, size_t count,
                                    cbm_module *const *modules);
CBM_API cbm_module *cbm_parallel_list(cbm_context *cx, cbm_join join, int64_t axis, cbm_module *const *modules);

/* Modules that a network of one's own calls as it likes, by number or by name, as PyTorch's ModuleList and ModuleDict: they
   name and hold; calling the list itself is an error. Children of a list are named "0", "1", ... */
CBM_API cbm_module *cbm_module_list_of(cbm_context *cx, size_t count, cbm_module *const *modules);
CBM_API cbm_module *cbm_module_list_list(cbm_context *cx, cbm_module *const *modules);
typedef struct cbm_module_entry {
    const char *name;
    cbm_module *module;
} cbm_module_entry;
CBM_API cbm_module *cbm_module_dict_of(cbm_context *cx, size_t count, const cbm_module_entry *entries);
/* The child of that name, or number in a list; NULL and an error if there is none. */
CBM_API cbm_module *cbm_child(cbm_module *module, const char *name);

/* A network of named nodes, joined in any way: each node takes what its inputs give, joined (one behind the other along axis, or
   added up), through its module (NULL: as it is). An input is the name of one of the graph's inputs, of a node that stands before
   or behind in the list, or "prev:NAME": what node NAME gave a step before, at the first step what its `initial` names (an input,
   or a node that depends on no prev:). The whole is computed .steps times over, so that cycles through prev: are unrolled that
   often; what does not change from step to step is computed once. Two nodes may hold one module, whose weights they then share.
   Modules become parts by the name of the first node that has them. Circles without prev:, unknown or repeated names are errors
   that name them. */
enum { CBM_GRAPH_INPUTS = 8 };
typedef struct cbm_graph_node {
    const char *name;
    cbm_module *module;
    const char *inputs[CBM_GRAPH_INPUTS]; /* up to the first NULL */
    const char *initial;
    cbm_join join;
    int64_t axis; /* of CBM_JOIN_CONCAT; 0: axis 1, the channels */
} cbm_graph_node;
typedef struct cbm_graph_options {
    uint64_t struct_size;
    const char *const *inputs CBM_DEFAULT(NULL);  /* names, NULL behind the last; NULL: one, "input" */
    const char *const *outputs CBM_DEFAULT(NULL); /* of nodes; NULL: the last node */
    int64_t steps CBM_DEFAULT(1);
} cbm_graph_options;
CBM_API void cbm_graph_options_init(cbm_graph_options *options);
CBM_API cbm_module *cbm_graph_with(cbm_context *cx, const cbm_graph_node *nodes, size_t count,
                                   const cbm_graph_options *options);
/* Calls a graph on its inputs, in their order; its outputs, of the last step, go to outputs (as many as it has), and those of step s
   to each_step[s * outputs + i], which may be NULL. cbm_call serves graphs of one input and gives their first output. */
CBM_API cbm_status cbm_graph_call(cbm_module *graph, cbm_tensor *const *inputs, size_t count, cbm_tensor **outputs,
                                  cbm_tensor **each_step);

/* A function of one tensor as a module: cbm_nn_function(cx, "double", twice, NULL). name is static text. destroy (may be
   NULL) is called for user when the module goes. */
typedef cbm_tensor *(*cbm_tensor_fn)(cbm_tensor *x, void *user);
CBM_API cbm_module *cbm_nn_function(cbm_context *cx, const char *name, cbm_tensor_fn function, void *user,
                                    void (*destroy)(void *user));
/* x as it is. */
CBM_API cbm_module *cbm_nn_identity(cbm_context *cx);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_GRAPH_DEFAULTS .steps = 1
#define CBM_GRAPH_(cx, nodes, count, ...)                                                                              \
    CBM_OPTIONS_(cbm_graph_options, cbm_graph_with(cx, nodes, count, &cbm_o_), CBM_GRAPH_DEFAULTS, __VA_ARGS__)
/* cbm_graph(cx, nodes, 3, .steps = 4) */
#define cbm_graph(...) CBM_GRAPH_(__VA_ARGS__, .struct_size = sizeof(cbm_graph_options))
/* cbm_parallel(cx, CBM_JOIN_CONCAT, 1, a, b, CBM_END), cbm_module_list(cx, a, b, CBM_END),
   cbm_module_dict(cx, { "encoder", a }, { "decoder", b }) */
#define cbm_parallel(cx, join, axis, ...)                                                                              \
    cbm_parallel_list(cx, join, axis, (cbm_module *const[]){ __VA_ARGS__, CBM_END })
#define cbm_module_list(cx, ...) cbm_module_list_list(cx, (cbm_module *const[]){ __VA_ARGS__, CBM_END })
#define cbm_module_dict(cx, ...)                                                                                       \
    cbm_module_dict_of(cx, sizeof((const cbm_module_entry[]){ __VA_ARGS__ }) / sizeof(cbm_module_entry),               \
                       (const cbm_module_entry[]){ __VA_ARGS__ })
/* cbm_sequential(cx, a, b, c, CBM_END) */
#define cbm_sequential(cx, ...) cbm_sequential_list(cx, (cbm_module *const[]){ __VA_ARGS__, CBM_END })
#else
CBM_CPP_MODULE_(cbm_graph, cbm_graph_options,
                (cbm_context * cx, const cbm_graph_node *nodes, size_t count, const cbm_graph_options &options = {}),
                (cx, nodes, count, &o))
template <typename... M>
static inline cbm_module *cbm_parallel(cbm_context *cx, cbm_join join, int64_t axis, M... modules)
{
    cbm_module *const list[] = { modules..., CBM_END };
    return cbm_parallel_list(cx, join, axis, list);
}
template <typename... M> static inline cbm_module *cbm_module_list(cbm_context *cx, M... modules)
{
    cbm_module *const list[] = { modules..., CBM_END };
    return cbm_module_list_list(cx, list);
}
static inline cbm_module *cbm_module_dict(cbm_context *cx, std::initializer_list<cbm_module_entry> entries)
{
    return cbm_module_dict_of(cx, entries.size(), entries.begin());
}
template <typename... M> static inline cbm_module *cbm_sequential(cbm_context *cx, M... modules)
{
    cbm_module *const list[] = { modules..., CBM_END };
    return cbm_sequential_list(cx, list);
}
#endif

#endif
