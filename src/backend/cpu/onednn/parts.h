/* parts.h: what the files of this folder share: the sequence of primitives (sequence.c) and the calls in which oneDNN 2.x and
   3.x differ (v2.c and v3.c, of which a build has one; a build without oneDNN has only none.c). */
#ifndef CAMBIUM_CPU_ONEDNN_PARTS_H
#define CAMBIUM_CPU_ONEDNN_PARTS_H

#include "backend/cpu/onednn.h"

#include <dnnl.h>

#if DNNL_VERSION_MAJOR == 2
typedef const dnnl_memory_desc_t *cbm_dnn_desc;
#else
typedef const_dnnl_memory_desc_t cbm_dnn_desc;
#endif

/* ---- sequence.c ---- */

enum {
    CBM_DNN_STAGES = 5,
    CBM_DNN_MEMORIES = 16,
    CBM_DNN_ARGUMENTS = 6, /* five operands and the scratchpad */
    CBM_DNN_DIMS = 6,      /* of an operand at most */
    CBM_DNN_BUFFER = -1,   /* in place of a pointer's number: kept in the workspace for the whole run */
    CBM_DNN_SCRATCH = -2   /* in the workspace, shared by all stages */
};

typedef struct cbm_dnn_stage {
    dnnl_primitive_t primitive;
    int count;
    dnnl_exec_arg_t arguments[CBM_DNN_ARGUMENTS];
} cbm_dnn_stage;

struct cbm_dnn {
    dnnl_stream_t stream;
    int threads, outer_threads; /* of its runs; of the caller, while it is being made */
    int n_stages, n_memories;
    cbm_dnn_stage stages[CBM_DNN_STAGES];
    dnnl_memory_t memories[CBM_DNN_MEMORIES];
    void *last[CBM_DNN_MEMORIES];  /* addresses of the previous run */
    int pointer[CBM_DNN_MEMORIES]; /* the number of the caller's pointer, BUFFER or SCRATCH */
    size_t offset[CBM_DNN_MEMORIES];
    size_t buffers, scratch; /* bytes of the workspace */
    cbm_dnn_conv conv;       /* of a convolution */
    int conv_stage;
    char description[160];
};

/* The process's engine; NULL: oneDNN could not be opened. */
dnnl_engine_t cbm_dnn_engine(void);
bool cbm_dnn_wide(void); /* the processor has AVX-512 */

/* Between begin and end oneDNN sees the sequence's number of threads. end returns d when ok, else frees it. */
cbm_dnn *cbm_dnn_begin(int64_t threads);
cbm_dnn *cbm_dnn_end(cbm_dnn *d, bool ok);

/* A memory object whose address comes with each run; NULL: no memory. */
dnnl_memory_t cbm_dnn_memory(cbm_dnn *d, cbm_dnn_desc desc, int pointer);
bool cbm_dnn_stage_add(cbm_dnn *d, dnnl_primitive_desc_t pd, const dnnl_exec_arg_t *arguments, int count);
bool cbm_dnn_reorder(cbm_dnn *d, dnnl_memory_t from, dnnl_memory_t to);
/* What a primitive works on that wants an operand in a layout or type of its own: the caller's memory where it is just that,
   else a copy in the workspace. A copy is filled when the operand is read; of one that is written, *back becomes the caller's
   memory, for the reorder after the primitive. NULL: no memory. */
dnnl_memory_t cbm_dnn_operand(cbm_dnn *d, cbm_dnn_desc own, cbm_dnn_desc wanted, int pointer, bool read,
                              dnnl_memory_t *back);

dnnl_primitive_attr_t cbm_dnn_attributes(void); /* the scratchpad is the caller's; NULL: no memory */
const char *cbm_dnn_implementation(const_dnnl_primitive_desc_t pd);

/* conv.c: the entries of the dimensions that c has, each less `less`. */
void cbm_dnn_entries(const cbm_dnn_conv *c, const int64_t from[3], int64_t less, dnnl_dims_t to);

/* ---- v2.c, v3.c: NULL and false where oneDNN refuses ---- */

cbm_dnn_desc cbm_dnn_desc_tag(int rank, const int64_t *dims, dnnl_data_type_t type, dnnl_format_tag_t tag);
cbm_dnn_desc cbm_dnn_desc_strides(int rank, const int64_t *dims, dnnl_data_type_t type, const int64_t *strides);
void cbm_dnn_desc_free(cbm_dnn_desc desc);

bool cbm_dnn_append_sum(dnnl_post_ops_t ops);
bool cbm_dnn_append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t algorithm, float alpha, float beta);
/* Attributes with these post operations: sum adds what the result's memory holds, added another operand of this description
   (NULL: none), then max(x, 0), or min(max(x, 0), upper) with upper > 0. */
typedef struct cbm_dnn_post {
    bool sum, relu;
    float upper;
    cbm_dnn_desc added;
} cbm_dnn_post;
dnnl_primitive_attr_t cbm_dnn_post_attributes(const cbm_dnn_post *post);

/* bias may be NULL, and is ignored backward. */
dnnl_primitive_desc_t cbm_dnn_conv_primitive(const cbm_dnn_conv *c, dnnl_alg_kind_t algorithm, cbm_dnn_desc x,
                                             cbm_dnn_desc weight, cbm_dnn_desc bias, cbm_dnn_desc y,
                                             const_dnnl_primitive_attr_t attr);
/* The first implementation whose name contains `code`, else (and with NULL) oneDNN's first. bias may be NULL. */
dnnl_primitive_desc_t cbm_dnn_matmul_primitive(cbm_dnn_desc a, cbm_dnn_desc b, cbm_dnn_desc bias, cbm_dnn_desc c,
                                               const_dnnl_primitive_attr_t attr, const char *code);

#endif
