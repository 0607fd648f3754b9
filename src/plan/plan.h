/* plan.h: inside of plans. An evaluation collects the pending graph (collect.c), finds or makes a plan for its shape
   (cache.c; build.c with fuse.c, steps.c and arena.c) and runs it with this time's buffers (run.c). Rests on op/ and
   backend/backend.h. */
#ifndef CAMBIUM_PLAN_H
#define CAMBIUM_PLAN_H

#include "backend/backend.h"
#include "op/record.h"

/* Why a value is materialised. */
enum {
    CBM_DEMAND_ASKED = 1,    /* cbm_compute, cbm_read, cbm_item, the end of a scope */
    CBM_DEMAND_WANTED = 2,   /* cbm_want */
    CBM_DEMAND_VARIABLE = 4, /* a variable's new version, or its gradient */
    CBM_DEMAND_SINK = 8,     /* nothing consumes it */
    CBM_DEMAND_SCALAR = 16,  /* one element */
    CBM_DEMAND_SAVED = 32,   /* backward will need it */
    CBM_DEMAND_EFFECT = 64
};

/* One operand or result in the evaluation: leaf number, or node index * CBM_MAX_OUTPUTS + result. */
typedef int32_t cbm_ref;
#define CBM_REF_LEAF(i) ((cbm_ref)(-1 - (i)))
#define CBM_REF_NODE(node, out) (((cbm_ref)((int32_t)(node)*CBM_MAX_OUTPUTS + (int32_t)(out))))

/* This evaluation's graph: nodes in order, host-side values they read, and the canonical bytes that identify a plan. */
typedef struct cbm_collected {
    cbm_context *cx;
    cbm_array nodes;     /* of cbm_node * */
    cbm_array leaves;    /* of cbm_value *, each with storage */
    cbm_array demands;   /* of uint8_t, CBM_MAX_OUTPUTS a node */
    cbm_array in_place;  /* of uint8_t, a node: an assignment that may overwrite the old version */
    cbm_array key;       /* bytes */
    cbm_array key_start; /* of uint32_t, a node: where its bytes begin, and where the last one's end (cbm_explain) */
    uint64_t hash;
} cbm_collected;

/* Where a buffer is when the plan runs: bases are the arena, then leaves, then results, then what is kept. */
typedef struct cbm_place {
    int32_t base;
    int32_t lent;   /* a temporary in the memory of the result that base names, which is made later */
    int64_t offset; /* bytes */
} cbm_place;
#define CBM_BASE_ARENA 0
#define CBM_BASE_KEPT(plan) ((int32_t)(plan)->bases - 1) /* what stays from run to run */

/* Where a fused pass finds a run-time number: attribute bytes of a node. */
typedef struct cbm_cell {
    int32_t node;
    int32_t kind; /* cbm_attribute_type */
    size_t offset;
} cbm_cell;

typedef struct cbm_step {
    int32_t node; /* for messages: the operation, or a pass's last one */
    bool commit;  /* overwrites a variable: runs after everything that can fail */
    bool checks;
    const cbm_kernel *kernel; /* NULL: a fused pass, or a user's own kernel */
    cbm_kernel_fn run;        /* NULL: a fused pass */
    cbm_launch launch;        /* operands' buffers are in buffers */
    cbm_post *after;          /* the launch's, when a pass was absorbed */
    void *attributes;         /* the launch's copy, refreshed when run if runtime */
    bool runtime;
    void *state;
    size_t n_in, n_out;
    cbm_buffer *buffers; /* n_in, then n_out */
    cbm_place *places;   /* the same */
    cbm_place workspace;
    size_t workspace_bytes;
    cbm_fused *fused; /* a pass's program */
    cbm_fused_launch pass;
    cbm_parameter *parameters;
    cbm_cell *cells;  /* fused->n_parameters */
    size_t n_members; /* operations done by this step, for cbm_explain */
    const char *why;  /* static text: what a step is for that no operation asked for; NULL: operations' own */
    bool reorder;     /* moves one operand of node into another layout */
    bool again;       /* makes once more what an earlier step has made (settle.c) */
    bool sure;        /* a kernel that cannot fail when it runs */
    bool constant;    /* its results stay in the plan and are made again only when a variable has changed */
    int32_t packs;    /* the operand that the kernel wants in its own form, kept at packed; -1: none */
    cbm_place packed;
} cbm_step;

/* A value that the plan leaves in storage of its own. */
typedef struct cbm_result {
    cbm_ref ref;
    size_t bytes;
    int32_t in_place; /* leaf whose storage it takes over, or -1 */
    uint8_t reason;
} cbm_result;

/* A variable that kept memory depends on, or a run-time attribute (node's bytes from offset on). */
typedef struct cbm_kept {
    int32_t leaf, node; /* -1: not this one */
    size_t offset;
    uint64_t seen; /* the storage's stamp, or the attribute's 8 bytes */
} cbm_kept;

typedef struct cbm_block {
    void *memory;
    size_t size;
} cbm_block;

typedef struct cbm_plan {
    struct cbm_plan *newer, *older; /* in the cache's list */
    struct cbm_plan *chain;         /* in its hash bucket */
    struct cbm_plan *follower;      /* which ran after it the last time, or NULL */
    cbm_tape *tape;                 /* the calls that led to it, or NULL */
    uint64_t hash;
    cbm_heap *heap;
    const cbm_backend *backend;
    cbm_array key, key_start;
    size_t n_nodes, n_leaves;
    cbm_array steps;   /* of cbm_step, commits last */
    cbm_array results; /* of cbm_result */
    cbm_array blocks;  /* of cbm_block: everything the steps point to */
    size_t arena;      /* bytes */
    size_t bases;      /* 2 + leaves + results */
    /* Inference: what depends on variables alone is computed once and kept while they stay the same. */
    size_t kept;              /* bytes */
    cbm_storage *kept_memory; /* NULL: to be taken and filled. Others than this plan may hold it */
    cbm_array kept_of;        /* of cbm_kept: what kept_memory was made from */
    uint64_t runs;
    uint64_t copied;           /* versions that could not be overwritten in place */
    struct cbm_report *report; /* NULL: made while cbm_profile was off */
} cbm_plan;

typedef struct cbm_planner {
    cbm_collected graph; /* reused by every evaluation */
    cbm_plan **buckets;
    size_t n_buckets, n_plans;
    cbm_plan *newest, *oldest;
    cbm_plan *last, *expected; /* which ran last; the one whose tape is followed, or was at first */
    void *arena;
    size_t arena_bytes;
    cbm_array bases;    /* of char *, scratch of a run */
    cbm_array storages; /* of cbm_storage *, scratch of a run */
} cbm_planner;

/* collect.c: false: the context's error says why. */
bool cbm_collect(cbm_context *cx, cbm_value *const *asked, size_t count, cbm_collected *g);
/* What is demanded of a pending node's result, and whether the node may overwrite its variable's old version. A value
   stamped with the context's stamp is asked for. */
uint8_t cbm_demand_of(const cbm_context *cx, const cbm_node *n, const cbm_value *v, bool consumed);
bool cbm_may_overwrite(const cbm_context *cx, const cbm_node *n);
cbm_value *cbm_ref_value(const cbm_collected *g, cbm_ref ref);
/* The reference to input k of a node in this evaluation. Operations that give their input 0 as it is (CBM_OP_SAME) are
   looked through, and themselves read nothing else. */
cbm_ref cbm_ref_input(const cbm_node *n, size_t k);
/* The number-th node (its index) that has to run before n uses input k although n reads nothing of it; -1: no more. */
int32_t cbm_wait_input(const cbm_node *n, size_t k, size_t number);
static inline bool cbm_is_same(const cbm_node *n)
{
    return (n->op->flags & CBM_OP_SAME) != 0;
}

/* follow.c: the plan of a step that followed a tape to its end, with nodes and leaves in g (and nothing else of it); NULL:
   collect. cbm_follow_learn: a draft, if any, becomes the tape of the plan, found by its key, that g is about to run with.
   cbm_follow_next: after a run, chooses the tape to follow. cbm_follow_forget: before the plan is freed. */
cbm_plan *cbm_follow(cbm_context *cx, cbm_value *const *asked, size_t count, cbm_collected *g);
void cbm_follow_learn(cbm_context *cx, cbm_plan *plan, const cbm_collected *g);
void cbm_follow_next(cbm_context *cx, cbm_plan *plan, bool reused);
void cbm_follow_forget(cbm_context *cx, cbm_plan *plan);

/* cache.c */
cbm_plan *cbm_plan_find(cbm_planner *p, const cbm_collected *g);
void cbm_plan_used(cbm_planner *p, cbm_plan *plan);  /* the last one to be evicted */
bool cbm_plan_keep(cbm_context *cx, cbm_plan *plan); /* may evict; takes the plan */
void cbm_plan_free(cbm_plan *plan);
void cbm_step_release(const cbm_plan *plan, cbm_step *step); /* what the backend has prepared for it */
void cbm_plans_drop(cbm_context *cx);

/* build.c: NULL: the context's error says why. */
cbm_plan *cbm_plan_build(const cbm_collected *g);

void *cbm_plan_take(cbm_plan *plan, size_t size); /* zeroed; freed with the plan */
bool cbm_is_pointwise(const cbm_node *n);
bool cbm_is_inline_scalar(const cbm_node *n); /* one number everywhere: every pass reads it itself */

/* What a pass leaves in memory: a member's result, or a sum of one. */
typedef struct cbm_made {
    cbm_ref ref, of;     /* the value that is made; the member's result */
    cbm_fused_output as; /* but for its place */
} cbm_made;

/* pass.c: fills step with the fused program of the pass's members (node numbers, in order), of which so many are made.
   operands receives the operand of each input buffer. */
bool cbm_pass_build(cbm_plan *plan, const cbm_collected *g, const int32_t *members, size_t n_members,
                    const cbm_made *made, size_t n_made, cbm_step *step, cbm_array *operands);

/* Whether result k of a step is a sum over a pass. */
static inline bool cbm_is_sum(const cbm_step *step, size_t k)
{
    return step->fused && step->fused->outputs[k].rows;
}

/* Which of a pass's operands one of its results needs; and the part of the pass that makes it, reading those in order. */
uint64_t cbm_pass_needs(const cbm_fused *fused, size_t result);
cbm_fused *cbm_pass_part(cbm_plan *plan, const cbm_fused *fused, size_t result);

/* fuse.c: groups[i] is the number of node i's pass, or -1; returns the number of passes, -1 without memory. */
int32_t cbm_fuse(const cbm_collected *g, int32_t *groups);

/* arena.c: offsets of buffers that live from their first to their last step, in one arena. */
typedef struct cbm_lifetime {
    int32_t first, last;
    size_t bytes;
    int64_t offset; /* out */
    int32_t shares; /* takes the place of this buffer, which dies as it is born; -1: none */
    int32_t lent;   /* out: lies in the memory of this base, a result's; 0: in the arena */
} cbm_lifetime;
/* Memory that is nobody's before step `until`: a result's. */
typedef struct cbm_lender {
    int32_t base, until;
    size_t bytes;
} cbm_lender;
/* A buffer that takes another's place is one with it: the chain's head stands for all. */
void cbm_arena_join(cbm_lifetime *lifetimes, size_t count);
bool cbm_at_one_time(const cbm_lifetime *a, const cbm_lifetime *b);
/* lend.c: before the layout: puts buffers that are alive when the most are into such memory, as far as that makes the peak less.
   lenders are put in another order. */
bool cbm_arena_lend(cbm_heap *heap, cbm_lifetime *lifetimes, size_t count, cbm_lender *lenders, size_t n);
bool cbm_arena_layout(cbm_heap *heap, cbm_lifetime *lifetimes, size_t count, bool reuse, size_t *arena);

/* constant.c: before the steps of a run: takes the memory, and tells whether what is kept must be made again; and after a
   run that made it. */
bool cbm_kept_prepare(cbm_context *cx, cbm_plan *plan, const cbm_collected *g, bool *stale);
void cbm_kept_made(cbm_context *cx, const cbm_plan *plan, const cbm_collected *g);
void cbm_kept_drop(cbm_plan *plan);

/* run.c */
cbm_status cbm_plan_run(cbm_context *cx, cbm_plan *plan, const cbm_collected *g);

/* explain.c */
void cbm_explain_new_plan(cbm_context *cx, const cbm_plan *plan, const cbm_collected *g, const cbm_plan *previous);

#endif
