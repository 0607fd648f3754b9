/* pickle.h: the part of Python's pickle format in which PyTorch writes names and tensors. Values are read, nothing is executed:
   the classes and functions that may be named are a short list, and what each of them would make is made here. Rests on bytes.h. */
#ifndef CAMBIUM_IO_PICKLE_H
#define CAMBIUM_IO_PICKLE_H

#include "io/bytes.h"

typedef enum cbm_pickle_kind {
    CBM_PICKLE_NONE,
    CBM_PICKLE_NUMBER, /* whole, or a bool */
    CBM_PICKLE_FLOAT,  /* of no interest */
    CBM_PICKLE_TEXT,
    CBM_PICKLE_MARK,
    CBM_PICKLE_TUPLE,
    CBM_PICKLE_LIST,
    CBM_PICKLE_DICT,   /* keys and values in turn */
    CBM_PICKLE_GLOBAL, /* number: which of the list */
    CBM_PICKLE_STORAGE,
    CBM_PICKLE_TENSOR
} cbm_pickle_kind;

/* Members of tuples, lists and dictionaries are chained. */
typedef struct cbm_pickle_value {
    cbm_pickle_kind kind;
    int32_t first, last, count; /* links; -1: none */
    int64_t number;             /* of TENSOR and STORAGE: in tensors, in storages */
    const char *text;           /* not ended by 0 */
    size_t length;
} cbm_pickle_value;

typedef struct cbm_pickle_link {
    int32_t value, next;
} cbm_pickle_link;

typedef struct cbm_pickle_storage {
    const cbm_stored *type; /* NULL: untyped, bytes */
    const char *key;
    size_t length;
    int64_t count; /* elements */
} cbm_pickle_storage;

typedef struct cbm_pickle_tensor {
    int32_t storage;
    const cbm_stored *type;
    int64_t offset;
    cbm_shape shape, stride; /* elements */
} cbm_pickle_tensor;

typedef struct cbm_pickle {
    cbm_array values, links, stack, memo; /* of cbm_pickle_value, cbm_pickle_link, int32_t, int32_t */
    cbm_array storages, tensors;
} cbm_pickle;

cbm_pickle cbm_pickle_begin(cbm_heap *heap);
void cbm_pickle_end(cbm_pickle *p);
/* Reads one pickle from bytes on; *used: how long it is; *value: what it holds. Texts stay in bytes. false: problem says why. */
bool cbm_pickle_read(cbm_pickle *p, const uint8_t *bytes, size_t size, size_t *used, int32_t *value,
                     cbm_problem *problem);

static inline const cbm_pickle_value *cbm_pickle_at(const cbm_pickle *p, int32_t value)
{
    return &CBM_AT(&p->values, cbm_pickle_value, value);
}
/* Walks the members of a container: begin with its first. */
static inline const cbm_pickle_link *cbm_pickle_link_at(const cbm_pickle *p, int32_t link)
{
    return link < 0 ? NULL : &CBM_AT(&p->links, cbm_pickle_link, link);
}

#endif
