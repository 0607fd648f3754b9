/* pieces.h: copies whose axes are cut into pieces: each piece of a result's axis takes a run of places of x's axis forwards,
   backwards, one place again and again, or nothing. Padding, flips and rolls are such copies. Rests on cpu.h. */
#ifndef CAMBIUM_PIECES_H
#define CAMBIUM_PIECES_H

#include "backend/cpu/cpu.h"

#define CBM_PIECES_MOST 3

/* Places from, from + step, ... of x's axis (step 1, -1 or 0); from < 0: none of them. */
typedef struct cbm_piece {
    int64_t length, from, step;
} cbm_piece;

typedef struct cbm_pieces {
    int64_t rank;
    int64_t count[CBM_MAX_DIMS]; /* of pieces, 1 to 3 each axis, together as long as the result's axis */
    cbm_piece piece[CBM_MAX_DIMS][CBM_PIECES_MOST];
} cbm_pieces;

/* A piece more for axis d, unless it is empty. */
static inline void cbm_add_piece(cbm_pieces *p, int64_t d, int64_t length, int64_t from, int64_t step)
{
    if (length > 0)
        p->piece[d][p->count[d]++] = (cbm_piece){ length, from, step };
}

/* y = x by pieces; places of y that come from nowhere get the element at fill. y has no gaps, x has strides. */
void cbm_pieces_copy(const cbm_launch *l, const cbm_pieces *p, const void *fill);
/* The adjoint in f32: dx = 0, and what each place of g came from gets it added, in order. Neither has gaps. */
void cbm_pieces_add(const cbm_launch *l, const cbm_pieces *p);

#endif
