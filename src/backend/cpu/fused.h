/* fused.h: a fused pass as the CPU runs it: fused.c makes it from the plan's instructions, fused_run.c runs it. */
#ifndef CAMBIUM_CPU_FUSED_H
#define CAMBIUM_CPU_FUSED_H

#include "backend/cpu/cpu.h"

enum {
    CBM_PASS_TILE = 1024,    /* elements of a tile at most */
    CBM_PASS_TILE_FAR = 256, /* and when operands come from memory: while one tile is computed, the next one's arrive;
                                half of it where computing takes no time */
    CBM_PASS_TILE_LEAST = 64,
    CBM_PASS_SCRATCH = 24 * 1024, /* bytes of registers that a tile may use: they stay in the nearest cache */
    CBM_PASS_STACK = 48 * 1024    /* registers and spare places that lie on a thread's stack */
};

/* A place is where a value's elements are during a tile. Which kind it is decides who sets its address. */
typedef enum cbm_place_kind {
    CBM_PLACE_REGISTER, /* in the thread's scratch memory */
    CBM_PLACE_UNIFORM,  /* one group of equal elements, made once a run */
    CBM_PLACE_INPUT,    /* an input's own memory, which moves on with the tiles */
    CBM_PLACE_OUTPUT    /* an output's own memory */
} cbm_place_kind;

typedef struct cbm_pass_place {
    cbm_place_kind kind;
    int32_t index; /* register, uniform, input or output number */
    cbm_lane lane;
    size_t offset; /* in scratch: of the register, or of what stands in for INPUT and OUTPUT at the ragged end: a
                           spare group, or the tile of an output that goes past the caches */
} cbm_pass_place;

typedef enum cbm_step_kind {
    CBM_STEP_CALL,
    CBM_STEP_LOAD,
    CBM_STEP_UNIFORM,
    CBM_STEP_NORMAL,
    CBM_STEP_STORE,
    CBM_STEP_SUM
} cbm_step_kind;

typedef struct cbm_pass_step {
    cbm_step_kind kind;
    cbm_tile_fn fn;  /* CALL */
    int32_t to;      /* place */
    int32_t from[4]; /* places of CALL; from[0] of STORE and SUM */
    uint8_t step[4]; /* 0: uniform */
    bool hoisted;    /* LOAD: the same for every tile */
    bool past;       /* STORE: of a value that is computed right into the output, unless that goes past the caches */
    int32_t arg;     /* LOAD: input. STORE, SUM: output. UNIFORM, NORMAL: parameter */
} cbm_pass_step;

/* An input's axes, as few as describe it; stride counts elements. */
typedef struct cbm_pass_input {
    int64_t rank;
    int64_t shape[CBM_MAX_DIMS], stride[CBM_MAX_DIMS];
    cbm_dtype dtype;
    bool uniform, contiguous;
    int64_t period; /* a row repeated for all others: its length; otherwise 0 */
    bool turned;    /* rows of the last axis lie across, next to each other: read as transposes */
} cbm_pass_input;

/* A value that is the same for all elements: an input, a number or a field. */
typedef struct cbm_pass_uniform {
    int32_t code; /* CBM_EXPR_INPUT, _NUMBER, _FIELD */
    int32_t arg, place;
    cbm_dtype dtype;
    double value;
} cbm_pass_uniform;

/* An output that is a sum, as in cbm_fused_output. Each part of the pass adds up for itself. */
typedef struct cbm_pass_sum {
    int64_t results; /* 0: the output is no sum */
    int64_t columns, run, blocks;
    double factor;
    size_t offset; /* of the parts' sums in the workspace */
} cbm_pass_sum;

typedef struct cbm_pass {
    const cbm_simd *simd;
    int64_t count, tile, workers;
    int64_t part;       /* elements that are added up by themselves, a multiple of any tile; 0: there are no sums */
    cbm_pass_sum *sums; /* of each output */
    size_t n_in, n_out, n_places, n_once, n_steps, n_uniforms, n_heavy;
    cbm_pass_input *inputs;
    cbm_dtype *out_dtype;
    int64_t
        *streams; /* of each output: where in scratch a tile of it is made, to go past the caches; -1: it does not */
    cbm_pass_place *places;
    cbm_pass_uniform *uniforms;
    cbm_pass_step *once;  /* steps on uniform values, run once a run */
    cbm_pass_step *steps; /* run for each tile */
    size_t scratch;       /* bytes for a worker */
    char *scratch_memory; /* workers * scratch when it is too much for the stack; otherwise NULL */
    char *uniform_memory; /* CBM_TILE_UNIFORM bytes each */
} cbm_pass;

/* The elements that a thread takes at least, and how many such pieces there are: tiles, or the parts of sums. */
static inline int64_t cbm_pass_unit(const cbm_pass *p)
{
    return p->part ? p->part : p->tile;
}
static inline int64_t cbm_pass_units(const cbm_pass *p)
{
    return (p->count + cbm_pass_unit(p) - 1) / cbm_pass_unit(p);
}

/* fused_sums.c: how the pass is cut for its sums, by shapes only; returns the workspace's bytes. Then, during a run: n elements
   of an output's value from number `first` on (equal: all like the first), and after the run the parts' sums joined. */
size_t cbm_pass_cut(cbm_pass *p, const cbm_fused_launch *shapes);
void cbm_pass_add(const cbm_fused_launch *l, int32_t output, const char *value, bool equal, int64_t first, int64_t n);
void cbm_pass_join(const cbm_fused_launch *l);

#endif
