/* bytes.h: what the readers and writers of files share: problems (errors found in bytes, before a context hears of them),
   the table of element types as files name them, inflating, whole files, and writing by temporary name.
   Rests on base and tensor. */
#ifndef CAMBIUM_IO_BYTES_H
#define CAMBIUM_IO_BYTES_H

#include "base/base.h"
#include "tensor/context.h"
#include <cambium/tensor.h>

/* Why bytes were refused. Parsers fill it in; the thin readers above add the file's name and tell the context. */
typedef struct cbm_problem {
    cbm_status status;
    char text[400];
} cbm_problem;
/* Keeps the first problem. Returns false, to be returned by parsers. */
bool cbm_refuse(cbm_problem *problem, cbm_status status, const char *format, ...) CBM_PRINTF(3, 4);
/* Fails the context: "[operation] path: text" (path NULL: memory). Returns the context's status. */
cbm_status cbm_report(cbm_context *cx, const char *operation, const char *path, const cbm_problem *problem);
/* Text from a file made fit for a message: control characters become '?', and it ends in "..." when cut. */
#define CBM_SHOWN 96
const char *cbm_shown(const char *text, char buffer[CBM_SHOWN]);

/* ---- elements as files hold them: stored.c ---- */
typedef struct cbm_stored {
    const char *safetensors; /* NULL: no such type there */
    char npy[3];             /* kind and size: "f4"; "" */
    uint8_t idx;             /* IDX's type code; 0: none */
    uint8_t bits;
    bool readable;
    cbm_dtype dtype; /* what reading gives */
    /* Widens count elements, in the host's byte order and maybe unaligned; NULL: the bytes are the dtype's. */
    void (*widen)(void *out, const uint8_t *in, size_t count);
} cbm_stored;
const cbm_stored *cbm_stored_safetensors(const char *name); /* NULL: unknown */
const cbm_stored *cbm_stored_npy(const char *kind_and_size);
const cbm_stored *cbm_stored_idx(uint8_t code);
const char *cbm_safetensors_type(cbm_dtype dtype); /* "F32" */
const char *cbm_npy_type(cbm_dtype dtype);         /* "<f4", "|u1"; NULL: NumPy has no such type */
bool cbm_host_is_big_endian(void);
/* count elements from in to out (of count * cbm_dtype_size bytes). big: in is big-endian. */
void cbm_stored_read(const cbm_stored *type, const uint8_t *in, bool big, void *out, size_t count);
/* Bytes of shape in memory as dtype; false: not a shape, or more than SIZE_MAX / 2. */
bool cbm_bytes_of(const cbm_shape *shape, cbm_dtype dtype, size_t *bytes);
/* A tensor over memory taken from the context's heap, which it gives back at its end (at once on error). */
cbm_tensor *cbm_tensor_adopt(cbm_context *cx, cbm_dtype dtype, cbm_shape shape, void *data, size_t bytes);
/* The context's failed tensor, once an error was reported. */
cbm_tensor *cbm_tensor_none(cbm_context *cx);

static inline uint16_t cbm_u16_le(const uint8_t *p)
{
    return (uint16_t)(p[0] | (uint16_t)(p[1] << 8));
}
static inline uint32_t cbm_u32_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline uint64_t cbm_u64_le(const uint8_t *p)
{
    return (uint64_t)cbm_u32_le(p) | (uint64_t)cbm_u32_le(p + 4) << 32;
}
static inline uint32_t cbm_u32_be(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}
static inline void cbm_put_u16_le(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}
static inline void cbm_put_u32_le(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; ++i)
        p[i] = (uint8_t)(v >> (8 * i));
}
static inline void cbm_put_u64_le(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; ++i)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* ---- inflate.c: zlib, with the context's memory ---- */
typedef enum cbm_deflated { CBM_DEFLATED_RAW, CBM_DEFLATED_GZIP } cbm_deflated;
/* Inflates into exactly out_size bytes. whole: the stream must end there, with nothing behind it; otherwise more may
   follow and fewer may come: *produced says how many. */
bool cbm_inflate(cbm_heap *heap, cbm_deflated kind, const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size,
                 bool whole, size_t *produced, cbm_problem *problem);
/* Whether in_size bytes of deflate can hold out_size bytes at all (deflate's limit is 1032 : 1). */
bool cbm_deflate_plausible(uint64_t in_size, uint64_t out_size);

/* ---- file.c ---- */
/* The whole of a regular file, in memory of heap. */
bool cbm_file_get(cbm_heap *heap, const char *path, uint8_t **bytes, size_t *size, cbm_problem *problem);
/* Opens a regular file for reading: its descriptor and size; -1 on error. */
int cbm_file_open(const char *path, uint64_t *size, cbm_problem *problem);
/* Exactly size bytes at offset. */
bool cbm_file_read_at(int file, uint64_t offset, void *out, size_t size, cbm_problem *problem);

/* A file being written under a temporary name beside its own. */
typedef struct cbm_writer {
    cbm_context *cx;
    const char *operation; /* for messages */
    const char *path;
    int file;
    uint64_t written;
    char temporary[4096];
} cbm_writer;
cbm_status cbm_writer_open(cbm_writer *w, cbm_context *cx, const char *operation, const char *path);
/* After a failure the writer is closed and the temporary file gone; further calls return the context's status. */
cbm_status cbm_writer_put(cbm_writer *w, const void *bytes, size_t size);
cbm_status cbm_writer_commit(cbm_writer *w);
void cbm_writer_abort(cbm_writer *w);

#endif
