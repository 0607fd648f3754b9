/* plan.h: what the plans of a context do, step by step, and how long each step takes. */
#ifndef CAMBIUM_PLAN_PUBLIC_H
#define CAMBIUM_PLAN_PUBLIC_H

#include <cambium/operation.h>

CBM_BEGIN_DECLS

/* Switches the description and timing of plans on or off. On: the plans made so far are dropped, those made from now on
   can be walked through with the functions below, and each run of theirs takes the time of every step. Off (the default):
   nothing is described and no clock is read. */
CBM_API void cbm_profile(cbm_context *cx, bool on);

/* Dry run, on: from now on evaluations record, plan, prepare kernels and take memory exactly as always, but launch nothing.
   Results hold zeros (those above 64 KiB: arbitrary bytes); memory that nobody writes costs addresses only. What
   cbm_context_statistics then says of memory is what a run would take. Variables count as changed: a dry run is for
   contexts that are thrown away afterwards. */
CBM_API void cbm_dry_run(cbm_context *cx, bool on);

/* The records below grow at their ends: set struct_size before the call, fields beyond it are left alone. Their texts and
   pointers are valid until the context next evaluates, drops its plans, or closes. */

typedef struct cbm_plan_info {
    uint64_t struct_size;
    uint64_t operations; /* that were recorded */
    uint64_t steps;
    uint64_t results;         /* values that it leaves in storage */
    uint64_t runs;            /* how often it ran */
    uint64_t arena_bytes;     /* temporaries and scratch, all in one arena */
    uint64_t temporary_bytes; /* the same if none took the place of another */
    uint64_t scratch_bytes;   /* the most that one step asks for as scratch; part of the arena */
    uint64_t operand_bytes;   /* variables and data that it reads */
    uint64_t result_bytes;    /* storage taken for results; in-place ones need none */
    uint64_t huge_pages;      /* 1: the arena is large enough to ask the system for huge pages */
    double flops, bytes;      /* sums over the steps */
    double seconds;           /* of a run: median of the last 64 timed ones; NaN: none yet */
    uint64_t kept_bytes;      /* what depends on variables alone, in inference: kept from run to run */
    uint64_t peak_step;       /* while this step runs the most bytes of the arena are in use */
    uint64_t live_bytes;      /* then; the arena is larger where buffers of unlike sizes leave gaps */
} cbm_plan_info;

typedef struct cbm_step_info {
    uint64_t struct_size;
    uint64_t operations; /* that it does; 0: the planner's own copy or reorder */
    const char *name;    /* "conv2d", "pass", "copy" */
    const char *does;    /* the operations in order: "mul add relu"; of a copy the operation that needed it */
    const char *kernel;  /* backend and what its kernel chose: "cpu: jit:avx512_core nChw16c" */
    const char *why;     /* of a copy or reorder: why it is there; else "" */
    const char *unfused; /* a line for each neighbour that it could not be fused with, and the reason; "" if none */
    const char *file;    /* the user's line of its last operation, or NULL */
    int64_t line;
    uint64_t inputs, outputs; /* operands: inputs first */
    uint64_t scratch_bytes;
    uint64_t commit; /* 1: overwrites variables, so it runs after everything that can fail */
    double flops;    /* as the operations' records say; in a pass one for each arithmetic instruction and element */
    double bytes;    /* read from and written to operands; a broadcast operand counts once */
    double seconds;  /* median of the last 64 timed runs; NaN: none yet */
    double last_begin, last_seconds; /* in the newest timed run, counted from its start */
    double least_seconds;            /* of those runs the fastest; NaN: none yet */
    uint64_t constant;               /* 1: depends on variables alone, and runs only when one has changed */
} cbm_step_info;

typedef struct cbm_operand_info {
    uint64_t struct_size;
    const char *name; /* the operation that made it; of what comes from outside "variable" or "data" */
    /* "arena", "result", "variable", "data", "kept" (from run to run), "lent" (a temporary in the memory of a result that is made
       later) */
    const char *place;
    const char *layout; /* "plain", "strided", "nhwc", "nChw8c", "nChw16c" */
    const char *why;    /* of outputs: why it is in memory; else "" */
    int64_t source;     /* of inputs: the step that made it; -1: from outside */
    int64_t value; /* the same for all operands that are the same value from outside or the same result; -1: neither */
    const void
        *variable; /* the variable (a cbm_tensor *) that it is a version of, to be compared only; NULL: of none */
    cbm_dtype dtype;
    cbm_shape shape;
    uint64_t bytes; /* of distinct elements */
} cbm_operand_info;

/* A temporary that is alive at the peak. */
typedef struct cbm_live_info {
    uint64_t struct_size;
    const char *name;   /* the operation that made it, or "scratch" */
    const char *layout; /* as in cbm_operand_info; "" for scratch */
    uint64_t bytes;
    int64_t first, last; /* the step that made it, and the last one that needs its place */
    cbm_dtype dtype;
    cbm_shape shape;
} cbm_live_info;

/* Plan number plan, 0 being the one used last; false past the end, and for plans made while cbm_profile was off. */
CBM_API bool cbm_plan_at(const cbm_context *cx, size_t plan, cbm_plan_info *out);
/* Its steps in the order in which they run, and a step's operands. */
CBM_API bool cbm_plan_step_at(const cbm_context *cx, size_t plan, size_t step, cbm_step_info *out);
CBM_API bool cbm_plan_operand_at(const cbm_context *cx, size_t plan, size_t step, size_t operand,
                                 cbm_operand_info *out);
/* What lies in its arena at the peak, the largest first. */
CBM_API bool cbm_plan_live_at(const cbm_context *cx, size_t plan, size_t number, cbm_live_info *out);

CBM_END_DECLS

#endif
