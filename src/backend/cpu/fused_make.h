/* fused_make.h: what making a fused pass shares: each instruction's value, and the maker. fused.c gives out places and
   orders the steps; fused_pairs.c finds instructions that one function does together. */
#ifndef CAMBIUM_CPU_FUSED_MAKE_H
#define CAMBIUM_CPU_FUSED_MAKE_H

#include "backend/cpu/fused.h"

/* What is known of each instruction's value while the pass is being made. */
typedef struct value {
    int32_t root;     /* the value that it is only another name of, or its own number */
    int32_t last_use; /* the last instruction that reads it; length: stored at the end */
    int32_t place;    /* -1: none yet */
    bool uniform, needed;
    bool read;       /* by another instruction, not only stored */
    int32_t reads;   /* how many operands of needed instructions it is, and outputs */
    int32_t into;    /* the instruction that does this one too, as its own first half; or -1 */
    int32_t absorbs; /* the other way round */
} value;

typedef struct maker {
    const cbm_fused_launch *launch;
    const cbm_fused *fused;
    cbm_pass *pass;
    value *values;
    int32_t *direct;            /* for each output: the value that is computed right into it, or -1 */
    int32_t *free_registers[2]; /* of 4-byte and of 8-byte lanes */
    int32_t n_free[2], n_registers[2];
    int32_t length;
} maker;

static inline const cbm_fused_instruction *code_at(const maker *m, int32_t i)
{
    return &m->fused->code[i];
}

static inline int32_t argument(const cbm_fused_instruction *c, int32_t k)
{
    return k == 0 ? c->x : k == 1 ? c->y : c->z;
}

/* fused_pairs.c: after last uses are known. The operands that instruction i reads when it runs, by root, those of one that it
   absorbs first; which of its own the absorbed one is goes to *half (-1: it absorbs none), and then the function that does
   both. */
void cbm_pass_find_pairs(maker *m);
int32_t cbm_pass_operands(const maker *m, int32_t i, int32_t *operands, int32_t *half);
cbm_tile_fn cbm_pass_pair(const maker *m, int32_t first, int32_t second, int32_t half);

#endif
