/* npy.h: parsed npy bytes, for single files and for members of npz archives. Rests on bytes.h. */
#ifndef CAMBIUM_IO_NPY_H
#define CAMBIUM_IO_NPY_H

#include "io/bytes.h"
#include <cambium/io.h>

typedef struct cbm_npy {
    const cbm_stored *type;
    bool big, fortran;
    cbm_shape shape;
    const uint8_t *data;
} cbm_npy;

bool cbm_npy_parse(const uint8_t *bytes, size_t size, cbm_npy *out, cbm_problem *problem);
/* Parses bytes and makes a tensor. name: of the file, for messages (NULL: memory). */
cbm_tensor *cbm_npy_tensor(cbm_context *cx, const char *name, const uint8_t *bytes, size_t size);

/* false, after telling the context, for elements that NumPy has no type for: bf16. */
bool cbm_npy_can_write(cbm_context *cx, const char *operation, cbm_dtype dtype);
/* The header for a tensor of that shape and dtype, in out; returns its length. */
#define CBM_NPY_HEADER_MAX 384
size_t cbm_npy_header(cbm_dtype dtype, const cbm_shape *shape, uint8_t out[CBM_NPY_HEADER_MAX]);

#endif
