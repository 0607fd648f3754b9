/* safetensors.h: an open safetensors file, for the weights and checkpoints above it. Rests on bytes.h and Jansson. */
#ifndef CAMBIUM_IO_SAFETENSORS_H
#define CAMBIUM_IO_SAFETENSORS_H

#include "io/bytes.h"
#include <cambium/io.h>
#include <jansson.h>

#define CBM_SAFETENSORS_HEADER_MAX ((uint64_t)100 * 1000 * 1000) /* as the format's own library */

typedef struct cbm_entry {
    const char *name; /* inside the header's JSON */
    const cbm_stored *type;
    cbm_shape shape;
    uint64_t begin, end; /* in the data part */
} cbm_entry;

struct cbm_safetensors {
    cbm_context *cx;
    const char *operation; /* for messages */
    const uint8_t *bytes;  /* NULL: read from file */
    int file;              /* -1: memory, or closed */
    uint64_t data;         /* where the data part begins */
    json_t *header;
    cbm_array entries; /* of cbm_entry, by name */
    void *owned;       /* bytes and entries' names, of what was in another form */
    size_t owned_bytes;
    char shown[256]; /* the path, for messages; "" for memory */
};

/* Opens without making the file the context's: cbm_safetensors_shut must be called. false: the context has the error. */
bool cbm_safetensors_begin(cbm_safetensors *file, cbm_context *cx, const char *operation, const char *path);
bool cbm_safetensors_begin_memory(cbm_safetensors *file, cbm_context *cx, const char *operation, const void *bytes,
                                  size_t size);
void cbm_safetensors_shut(cbm_safetensors *file);
const cbm_entry *cbm_safetensors_entry(const cbm_safetensors *file, size_t i);
const cbm_entry *cbm_safetensors_find(const cbm_safetensors *file, const char *name); /* NULL: none */
/* Reads a tensor; a failed one on error. */
cbm_tensor *cbm_safetensors_get(cbm_safetensors *file, const cbm_entry *entry);
/* "[operation] path" for messages. */
const char *cbm_safetensors_shown(const cbm_safetensors *file);

/* Parses and checks a header (n bytes of JSON) against a data part of data_size bytes. Fills header and entries. */
bool cbm_safetensors_parse(cbm_heap *heap, const char *text, size_t n, uint64_t data_size, json_t **header,
                           cbm_array *entries, cbm_problem *problem);

#endif
