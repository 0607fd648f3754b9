/* graph.h: what is recorded. A value is one immutable result; a node is one recorded operation and owns the values it
   makes; a handle (cbm_tensor) points to a value, and a variable's handle to its newest version. Rests on base/. */
#ifndef CAMBIUM_GRAPH_H
#define CAMBIUM_GRAPH_H

#include <cambium/operation.h>
#include <cambium/autograd.h>
#include "base/base.h"

typedef struct cbm_value cbm_value;
typedef struct cbm_node cbm_node;

/* Memory of an evaluated value: row-major, without gaps. Counted atomically, since contexts may share it. */
typedef struct cbm_storage {
    int32_t refs;
    bool borrowed;
    uint64_t stamp; /* names what the memory holds: new with every storage, and whenever a variable is overwritten */
    void *data;
    size_t size;  /* bytes of data */
    size_t block; /* bytes of this header (with the data behind it), as taken from heap */
    cbm_heap *heap;
    void (*release)(void *data, void *user); /* borrowed memory; data is then not the heap's */
    void *user;
} cbm_storage;

typedef struct cbm_hook {
    struct cbm_hook *next;
    cbm_hook_fn function;
    void *user;
    void (*destroy)(void *user);
} cbm_hook;

struct cbm_value {
    cbm_context *cx;
    cbm_node *node;       /* which made it; NULL for host data */
    cbm_storage *storage; /* NULL: not computed, fused away, or overwritten */
    cbm_tensor *variable; /* the variable whose version this is, or NULL */
    cbm_hook *hooks;
    int64_t count;
    int32_t refs;    /* handles + slots + nodes that take it as input */
    int32_t handles; /* of them, handles */
    int32_t slots;   /* of them, variables' places (current, committed, gradients) */
    int32_t saves;   /* nodes with a live history whose vjp needs it */
    uint8_t dtype;
    uint8_t index; /* which result of node */
    bool requires_grad;
    bool wanted;
    bool overwritten;
    uint64_t stamp;    /* scratch of the passes over the graph, valid when equal to the context's */
    uint64_t consumed; /* stamp of the last evaluation in which a node takes it */
    int32_t place;     /* scratch: its number in the evaluation */
    int32_t leaf;      /* its number among the leaves of the recorder's tape, while period is the recorder's */
    uint64_t period;
    cbm_shape shape;
};

typedef enum cbm_node_state {
    CBM_NODE_PENDING,
    CBM_NODE_DONE, /* has run; keeps its inputs for backward or for computing a fused-away result again */
    CBM_NODE_SHELL /* has run and forgot its inputs */
} cbm_node_state;

struct cbm_node {
    const cbm_op *op;
    cbm_context *cx;
    cbm_node *prev, *next; /* in the context's pending list; next also links nodes to be freed */
    uint64_t sequence;
    uint64_t since;   /* what was recorded after this one and before this node belongs to the same call of the user's */
    size_t block;     /* bytes of this node with its values, inputs and attributes */
    const char *file; /* the user's line */
    int32_t line;
    uint16_t n_in, n_out;
    uint16_t live; /* results with references */
    uint8_t state;
    bool history;        /* differentiable and not differentiated yet: its saved values count */
    bool differentiable; /* some input requires a gradient */
    bool pinned;         /* a pending effect: stays though nobody looks */
    int32_t index;       /* scratch: place in the evaluation */
    int32_t number;      /* among what the recorder's tape covers, or -1 (replay.h) */
    uint64_t stamp;      /* scratch */
    void *attributes;
    cbm_value **in;
    cbm_value *out; /* n_out values */
};

struct cbm_tensor {
    cbm_context *cx;
    cbm_value *value; /* of a variable: the newest version */
    cbm_scope *scope; /* NULL: not in a scope's list */
    cbm_tensor *previous, *next;
    int32_t refs;
    bool failed, variable, trainable, dead;
    bool dirty;
    /* variables only */
    cbm_value *committed; /* the version after the last successful evaluation */
    cbm_value *gradient;  /* and the gradient, with its last committed version */
    cbm_value *gradient_committed;
    cbm_tensor *next_dirty;
    cbm_hook *hooks;
    int32_t versions; /* values that point here; the struct stays while there are any */
};

/* A variable's version in memory of the library's own: it stays as it is until a plan overwrites it. */
static inline bool cbm_value_stays(const cbm_value *v)
{
    return v->variable && !v->storage->borrowed;
}

/* storage.c */
cbm_storage *cbm_storage_new(cbm_heap *heap, size_t size); /* NULL: no memory */
uint64_t cbm_storage_stamp(void);                          /* one that nothing has had before */
void cbm_storage_retain(cbm_storage *s);
void cbm_storage_release(cbm_storage *s);

/* graph.c */
void cbm_hooks_free(cbm_context *cx, cbm_hook **hooks);
uint32_t
cbm_op_saves(const cbm_op *op); /* what backward of a node reads: without a vjp, all operands of the decomposition */
cbm_value *cbm_value_leaf(cbm_context *cx, cbm_dtype dtype, const cbm_shape *shape,
                          cbm_storage *storage); /* takes storage */
static inline void cbm_value_retain(cbm_value *v)
{
    if (v->refs++ == 0 && v->node)
        v->node->live++;
}
void cbm_value_set_variable(cbm_value *v, cbm_tensor *variable); /* v is a version of it (NULL: of none) */
void cbm_value_unused(cbm_value *v);                             /* nobody refers to v any more */
static inline void cbm_value_release(cbm_value *v)
{
    if (v && --v->refs == 0)
        cbm_value_unused(v);
}
/* A pending node with room for its parts, filled with inputs (retained) but not yet listed; NULL: no memory. */
cbm_node *cbm_node_new(cbm_context *cx, const cbm_op *op, size_t n_in, size_t n_out);
/* Points a block of a node at its own parts: values, inputs, attributes; and its values at the node. */
static inline void cbm_node_lay_out(cbm_node *n)
{
    n->out = (cbm_value *)(void *)(n + 1);
    n->in = (cbm_value **)(void *)(n->out + n->n_out);
    n->attributes = n->in + n->n_in;
    for (size_t i = 0; i < n->n_out; i++)
        n->out[i].node = n;
}
void cbm_node_list(cbm_node *node);        /* appends to the pending list */
void cbm_node_unlist(cbm_node *node);      /* takes out of it */
void cbm_node_discard(cbm_node *node);     /* frees a node that was never listed and has no referenced results */
void cbm_node_end_history(cbm_node *node); /* its saved values are no longer needed for backward */
void cbm_node_forget(cbm_node *node);      /* makes it a shell */
void cbm_node_settle(cbm_node *node);      /* a shell, if nothing can ask for its inputs any more */
/* Everything pending is dropped: its results stay without storage and fail when read. What variables' first values are
   made from stays. */
void cbm_drop_pending(cbm_context *cx);

/* access.c: element i of host data as a number, and of integers and bool as they are; a handle on host data; takes storage (NULL: no memory) */
double cbm_element_number(const void *data, cbm_dtype dtype, int64_t i);
int64_t cbm_element_whole(const void *data, cbm_dtype dtype, int64_t i);
cbm_tensor *cbm_leaf_handle(cbm_context *cx, cbm_dtype dtype, const cbm_shape *shape, cbm_storage *storage);

/* handle.c */
cbm_tensor *cbm_handle(cbm_context *cx, cbm_value *value); /* in the current scope; the failed tensor when no memory */
void cbm_slot_set(cbm_value **slot, cbm_value *value);     /* retains value, releases the old one; counts slots */
void cbm_variable_dirty(cbm_tensor *variable);             /* its slots are to be committed or rolled back */

#endif
