/* build.h: scratch of making one plan, shared by build.c (order of work) and steps.c (one step at a time). */
#ifndef CAMBIUM_PLAN_BUILD_H
#define CAMBIUM_PLAN_BUILD_H

#include "plan/plan.h"

/* One step to be: a single operation, or the members of a pass. */
typedef struct cbm_unit {
    int32_t first, count; /* in build.members */
    int32_t group;        /* -1: a single operation */
    bool commit, done;
    cbm_layout layout;              /* of the operands that layouts.c gave one */
    uint32_t layout_in, layout_out; /* of a kernel: which of its operands; of a pass: all of its own shape */
    /* absorb.c: a kernel that also does the pass reading its first result; 1 + the pass's unit, or 0 */
    int32_t absorbs;
    bool absorbed;           /* this pass is done by a kernel */
    cbm_post after;          /* what the kernel does then */
    cbm_ref bias, added;     /* what it adds, if after.bias, after.add */
    cbm_ref absorbed_result; /* the value it makes instead of its own */
} cbm_unit;

/* A sum that a pass makes of one of its values (sums.c). */
typedef struct cbm_sum {
    int32_t unit, node;
    cbm_ref of;
    int64_t channels; /* of each of so many channels; 0: of the rows of a matrix */
    int64_t places;   /* of each channel, in one sample */
    int64_t rows;     /* elements that make a result */
    bool total;       /* that is all of them */
    double factor;
} cbm_sum;

/* Memory that values lie in. */
typedef struct cbm_root {
    int32_t base;     /* leaf's or result's base; CBM_BASE_ARENA: a temporary */
    int32_t lifetime; /* temporaries: its number */
    int64_t kept;     /* CBM_ROOT_KEPT: its place there */
} cbm_root;
#define CBM_ROOT_KEPT (-2)

/* Where a value is: a root, and the strided window onto it. */
typedef struct cbm_spot {
    bool known;
    int32_t root;
    int64_t offset;    /* bytes */
    cbm_buffer window; /* in the logical axes; window.layout says how they lie in memory */
} cbm_spot;

/* A value once more, in another layout. */
typedef struct cbm_copy {
    cbm_ref ref;
    cbm_spot spot;
} cbm_copy;

typedef struct cbm_build {
    cbm_context *cx;
    const cbm_collected *g;
    cbm_plan *plan;
    cbm_heap *heap;
    int32_t *groups;          /* per node */
    int32_t *unit_of;         /* per node */
    cbm_array members;        /* of int32_t */
    cbm_array units;          /* of cbm_unit */
    cbm_array sums;           /* of cbm_sum, by unit */
    cbm_array roots;          /* of cbm_root */
    cbm_array lifetimes;      /* of cbm_lifetime */
    cbm_spot *spots;          /* per node result, then per leaf */
    cbm_array copies;         /* of cbm_copy */
    uint8_t *constant;        /* per node: depends on variables alone, which this plan leaves as they are */
    bool keeping;             /* the unit being built is constant: its memory is kept from run to run */
    int32_t *results;         /* per node result: its number in plan->results, or -1 */
    uint8_t *read;            /* per node result: how many operands of other units read it from memory; 255: many */
    cbm_array step_workspace; /* of int32_t */
    bool plain;               /* no layouts, nothing absorbed: the second attempt, after a kernel was unable */
    bool unable;              /* a kernel that was given a layout or a pass found that it cannot */
} cbm_build;

/* Nobody asks for this node's own result, and its readers read what it stands for (CBM_OP_SAME). */
bool cbm_passed_by(const cbm_build *b, int32_t i);
cbm_spot *cbm_spot_of(cbm_build *b, cbm_ref ref);
void cbm_window_of(const cbm_value *v, cbm_buffer *w); /* plain and contiguous */

/* layouts.c: gives units their layouts; then, of one unit, how it takes operand k of its node n and makes a result; and
   how a pass in a layout sees an operand's window. */
bool cbm_choose_layouts(cbm_build *b);
int64_t cbm_layout_block(cbm_layout layout); /* channels side by side in a block; 1: no blocks */
cbm_layout cbm_layout_taken(const cbm_unit *u, const cbm_node *n, size_t k);
cbm_layout cbm_layout_made(const cbm_unit *u, int32_t result);
void cbm_layout_window(cbm_layout layout, const cbm_buffer *w, cbm_buffer *out);

/* absorb.c: passes that a kernel can do to its result before writing it become part of the kernel's unit. */
void cbm_absorb_passes(cbm_build *b);

/* sums.c: sums of a pass's values over all elements, over rows or over all but channels become part of the pass. And those of a
   unit: the first one's number, and how many. */
bool cbm_absorb_sums(cbm_build *b);
size_t cbm_sums_of(const cbm_build *b, const cbm_unit *unit, size_t *count);
bool cbm_sum_takes(const cbm_sum *sum, cbm_layout layout);          /* of the pass */
cbm_fused_output cbm_sum_in(const cbm_sum *sum, cbm_layout layout); /* how elements go with results then */

/* constant.c: marks constant nodes and notes what they depend on. */
bool cbm_find_constants(cbm_build *b);
bool cbm_is_constant(const cbm_build *b, cbm_ref ref);

/* steps.c: appends what computes the unit. */
bool cbm_build_unit(cbm_build *b, const cbm_unit *u);
cbm_status cbm_prepare_pass(const cbm_build *b, cbm_step *step,
                            size_t *workspace); /* whose program and buffers are there */

/* settle.c: the order of the steps, the lifetimes of temporaries and their places in the arena. */
bool cbm_settle_memory(cbm_build *b);

/* work.c: arithmetic of a step; bytes of an operand's distinct elements; a step's time, as bytes that could be moved. */
double cbm_step_flops(const cbm_step *step);
double cbm_distinct_bytes(const cbm_buffer *w);
double cbm_step_time(const cbm_step *step);

#endif
