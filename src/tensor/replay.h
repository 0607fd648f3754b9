/* replay.h: a step that repeats an earlier one is recognised call by call. A tape holds what was recorded between two
   evaluations for which there is a plan; while the program makes the same calls again, the recorder follows it. Rests on
   graph.h.

   The invariant, while a tape is followed: operation number i since the last evaluation is number i of the tape, with the
   same record, equal structural attributes, and as each input what the tape names there: the same result of the same
   earlier operation, or the same leaf (a computed value), where two inputs are one leaf exactly if they are one on the
   tape, and a leaf has the tape's dtype, shape and alignment. So shape rules would say what they said then, and all of a
   plan's key that comes from operations and leaves is the tape's. What the calls do not determine is compared when the
   step is evaluated (plan/follow.c): which operations were dropped, what is demanded, what may be overwritten.

   A call that is not the tape's ends the following, and nothing else: what was recorded are ordinary nodes. */
#ifndef CAMBIUM_REPLAY_H
#define CAMBIUM_REPLAY_H

#include "tensor/graph.h"

#define CBM_TAPE_LONGEST 16384 /* operations: a longer step is not worth a tape's memory */

/* An input on a tape: -1 - the leaf's number, or the operation's number * CBM_MAX_OUTPUTS + which result. */
typedef int32_t cbm_tape_ref;

typedef struct cbm_tape_leaf {
    cbm_shape shape;
    uint8_t dtype;
    bool aligned, stays;
    const cbm_op *maker; /* of an operand of a backward pass: what made it, or NULL */
    int32_t number;      /* among the plan's leaves; -1: only operations that were dropped read it */
} cbm_tape_leaf;

typedef struct cbm_tape_entry {
    const cbm_op *op;
    cbm_node *image; /* the node as it was recorded; its pointers mean nothing, but where its parts lie does */
    cbm_node *spare; /* one that repeated it and is gone: its memory, with all that is the image's; or NULL */
    cbm_tape_ref *in;
    uint16_t n_in, n_out;
    bool built_in;  /* its shape rule depends on nothing but what the invariant says, as a user's may */
    int32_t number; /* among the plan's nodes; -1: dropped before the evaluation */
    uint8_t demands[CBM_MAX_OUTPUTS], in_place;
    uint8_t consumed; /* bit k: an operation of the plan takes result k */
    bool kept;        /* of a backward pass: still there at its end */
} cbm_tape_entry;

/* A backward pass (autograd/repeat.c): the operations that it recorded are first to end - 1. */
typedef struct cbm_tape_walked {
    int32_t number; /* of an operation that was differentiated */
    uint32_t asks;  /* bit i: input i requires a gradient */
} cbm_tape_walked;

typedef struct cbm_tape_gradient {
    int32_t leaf; /* a variable's version */
    cbm_tape_ref ref;
} cbm_tape_gradient;

typedef struct cbm_tape_pass {
    size_t first, end;
    cbm_tape_ref root; /* what was differentiated */
    cbm_tape_walked *walked;
    cbm_tape_gradient *gradients;
    size_t n_walked, n_gradients, room_walked, room_gradients;
} cbm_tape_pass;

typedef struct cbm_tape {
    cbm_heap *heap;
    struct cbm_plan *plan;    /* NULL: a draft */
    cbm_array entries;        /* of cbm_tape_entry */
    cbm_array leaves;         /* of cbm_tape_leaf */
    cbm_array passes;         /* of cbm_tape_pass */
    size_t n_nodes, n_leaves; /* of the plan */
} cbm_tape;

typedef enum cbm_replay_state {
    CBM_REPLAY_OFF,
    CBM_REPLAY_FOLLOWS, /* every operation so far was the tape's */
    CBM_REPLAY_DRAFTS   /* writes a tape of this step */
} cbm_replay_state;

/* The recorder's part of a context. */
typedef struct cbm_replay {
    cbm_replay_state state;
    bool never;       /* tests: no tape is ever made */
    cbm_tape *tape;   /* followed (a plan's), or drafted (the recorder's own) */
    uint64_t period;  /* number of this stretch between evaluations; a leaf that has it has its number in leaf */
    cbm_array nodes;  /* of cbm_node *: what was recorded, by number; NULL: dropped. Its count is the next number */
    cbm_array leaves; /* of cbm_value *, by number */
    uint64_t steps;   /* evaluated by a tape */
    uint64_t passes;  /* backward passes copied from one */
} cbm_replay;

void cbm_tape_free(cbm_tape *tape);
void cbm_tape_pass_free(cbm_heap *heap, cbm_tape_pass *pass); /* what it points to */
/* A new period: follows tape; or, without one, drafts if asked to. A draft that nobody took is freed. */
void cbm_replay_begin(cbm_context *cx, cbm_tape *tape, bool draft);
/* No longer follows or drafts, until the next period. */
void cbm_replay_stop(cbm_context *cx);
void cbm_replay_free(cbm_context *cx);

/* A node of the entry, not listed, without inputs, its attributes perhaps not yet the image's. NULL: no memory. */
cbm_node *cbm_tape_node(cbm_context *cx, cbm_tape_entry *e);
/* A node that is gone, after all its parts: true if the tape keeps its memory. */
bool cbm_replay_keeps(cbm_context *cx, cbm_node *n);

/* The call's node, when it is the tape's next: as cbm_node_new makes it, with everything that the shape rule says, inputs
   and attributes filled in, and all flags of gradients off. NULL: not the tape's, or no memory; nothing has happened. */
cbm_node *cbm_replay_node(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in,
                          const void *attributes);
/* A node made by the shape rule is about to be listed: drafted, or compared with the tape. */
void cbm_replay_note(cbm_context *cx, cbm_node *node, bool built_in);

#endif
