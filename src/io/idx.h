/* idx.h: parsed IDX bytes, for tensors and for image datasets. Rests on bytes.h. */
#ifndef CAMBIUM_IO_IDX_H
#define CAMBIUM_IO_IDX_H

#include "io/bytes.h"
#include <cambium/io.h>

typedef struct cbm_idx {
    const cbm_stored *type;
    cbm_shape shape;
    size_t header;       /* bytes in front of the elements */
    const uint8_t *data; /* the elements, big-endian: in the bytes that were parsed, or in inflated */
    cbm_heap *heap;
    uint8_t *inflated;
    size_t inflated_size;
} cbm_idx;

bool cbm_idx_is_gzip(const uint8_t *bytes, size_t size);
/* Plain or gzip. The bytes must outlive out, which cbm_idx_free ends. */
bool cbm_idx_parse(cbm_heap *heap, const uint8_t *bytes, size_t size, cbm_idx *out, cbm_problem *problem);
void cbm_idx_free(cbm_idx *idx);

#endif
