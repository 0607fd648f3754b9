/* csv.h: the cells of a CSV file, found in one walk over its bytes. csv.c; rests on bytes.h. */
#ifndef CAMBIUM_IO_CSV_H
#define CAMBIUM_IO_CSV_H

#include "io/bytes.h"

typedef struct cbm_cells {
    char *text; /* cells, each with a final 0 */
    size_t text_size;
    cbm_array offsets; /* of uint64_t: where cells begin in text, row by row */
    int64_t columns, rows;
} cbm_cells;

/* false: the bytes were refused, and nothing is held. */
bool cbm_csv_parse(cbm_heap *heap, const char *bytes, size_t size, char delimiter, char comment, cbm_cells *out,
                   cbm_problem *problem);
void cbm_cells_free(cbm_heap *heap, cbm_cells *cells);
static inline const char *cbm_cell_at(const cbm_cells *c, int64_t row, int64_t column)
{
    return c->text + CBM_AT(&c->offsets, uint64_t, row * c->columns + column);
}

#endif
