/* backend.h: what a device implements. A plan asks a backend for a kernel for each step, lets it prepare, and launches it
   with bound buffers. Kernels register under their operation's name; a backend without a kernel falls back to the
   reference backend's (same address space), to the operation's own kernel, or to its decomposition. */
#ifndef CAMBIUM_BACKEND_H
#define CAMBIUM_BACKEND_H

#include <cambium/operation.h>

enum {
    CBM_KERNEL_STRIDED = 1, /* takes any strides on inputs (outputs are always contiguous) */
    CBM_KERNEL_POST = 2,    /* does what launch->after says to its first result before it is written */
    CBM_KERNEL_ADDS = 4,    /* and adds what lies at launch->added, in the result's layout, rather than in its memory */
    CBM_KERNEL_SURE = 8,    /* its launch never fails */
    CBM_KERNEL_BIAS = 16    /* and adds launch->bias to each of its rows */
};

/* y = act(y + (bias ? launch->bias, as long as y's last axis : 0) + (add ? what launch->added, or y's memory, holds : 0)) with
   act(x) = max(x, 0) for relu, at most upper if upper > 0. */
typedef struct cbm_post {
    bool bias, add, relu;
    float upper;
} cbm_post;

/* What prepare gets: the launch with shapes and strides but data NULL. It may make state and ask for workspace. */
typedef struct cbm_prepare {
    const cbm_launch *launch;
    int64_t threads;
    bool deterministic;
    bool tune;        /* algorithms may be measured, to take the fastest */
    size_t workspace; /* out: bytes */
    void *state;      /* out: given to launches, released by release */
    char *message;    /* on failure: 256 bytes */
    bool sure;        /* out: launches never fail; at first as the kernel's flags say */
    /* Operands that stay the same from run to run (bit i: operand i), as weights do in inference. One of them may be asked
       for in a form of the kernel's own: packs is its number (-1: none), made by the kernel's pack when it has changed. */
    uint64_t constant;
    int packs;
    size_t packed_bytes;
} cbm_prepare;

typedef struct cbm_kernel {
    const char *op; /* an operation's name */
    uint32_t flags;
    bool (*supports)(
        const cbm_launch *shapes); /* NULL: everything. Looks at dtypes, shapes, strides, attributes only */
    cbm_status (*prepare)(cbm_prepare *prepare); /* NULL: nothing to do */
    cbm_kernel_fn launch;
    void (*release)(void *state);
    /* Whether the kernel can run with its (N, C, H, W) operands in this layout, and which: bit i of *in for operand i,
       *out likewise; the others stay plain. *gains: how much the kernel wants the layout (0: it only follows).
       NULL: plain operands only. */
    bool (*layout)(const cbm_launch *shapes, cbm_layout layout, uint32_t *in, uint32_t *out, int *gains);
    /* What prepare chose, "jit:avx512_core nChw16c", for people who look at a plan; valid as long as state. NULL: there
       was nothing to choose. */
    const char *(*describe)(const void *state);
    /* Writes operand prepare->packs, plain in the launch, in the form that launches then get in its place. */
    cbm_status (*pack)(const cbm_launch *launch, void *packed);
    uint32_t
        over; /* bit i: the first result may be made where operand i lies (same dtype, shape and layout), which ends */
    /* Makes the first result again, the same bits, from the operands and what launch has left in the workspace; n_out is 1.
       NULL: it cannot, or that would not take less than the whole. */
    cbm_kernel_fn again;
} cbm_kernel;

#define CBM_PASS_LENGTH 1024 /* instructions of a pass at most */

/* One element-by-element pass over memory: several pointwise operations fused. Built by plan/fuse.c. */
typedef struct cbm_fused_instruction {
    int32_t code;    /* cbm_expr_code; CBM_EXPR_INPUT: operand number arg of the pass */
    int32_t x, y, z; /* places of arguments */
    int32_t arg;     /* INPUT: operand. UNIFORM, NORMAL: parameter number of (seed, position), two in a row.
                          FIELD: parameter number */
    int32_t dtype;   /* of the result */
    double value;    /* NUMBER */
} cbm_fused_instruction;

typedef struct cbm_fused_output {
    int32_t place; /* which instruction's result is stored */
    /* Not 0: each element of the f32 result is instead the sum of so many elements of the pass, times factor. Element i of the
       pass belongs to result (i / run % blocks) columns + i % columns, where columns divide run, and there are blocks times
       columns results: rows of a matrix (blocks 1), channels that lie plain (columns 1) or in blocks. */
    int64_t rows, run, blocks;
    double factor;
} cbm_fused_output;

/* Parameters are 8-byte cells: doubles for CBM_EXPR_FIELD of float fields; the plan converts ints to doubles. seed and
   position are raw uint64_t. */
typedef union cbm_parameter {
    double f;
    uint64_t u;
} cbm_parameter;

typedef struct cbm_fused {
    size_t length;
    const cbm_fused_instruction *code;
    size_t n_out;
    const cbm_fused_output *outputs;
    size_t n_parameters;
} cbm_fused;

/* A pass as prepared by a backend: buffers have the pass's shape (broadcast axes with stride 0); outputs are contiguous
   and may be the very memory of an input of the same dtype (same place only). */
typedef struct cbm_fused_launch {
    const cbm_fused *fused;
    const cbm_parameter *parameters;
    size_t n_in, n_out;
    const cbm_buffer *in, *out;
    void *state;
    int64_t threads;
    void *workspace; /* of as many bytes as prepare asked for */
} cbm_fused_launch;

/* The elements that a pass walks over. */
static inline int64_t cbm_fused_count(const cbm_fused_launch *l)
{
    const int64_t rows = l->n_out ? l->fused->outputs[0].rows : 0;
    return l->n_out ? l->out[0].count * (rows ? rows : 1) : 0;
}

typedef struct cbm_backend {
    const char *name;
    const cbm_kernel *const *tables; /* NULL-terminated list of tables, each ended by a kernel with op NULL */
    const cbm_kernel *(*other)(const cbm_launch *shapes); /* for what no table serves; NULL: none */
    const struct cbm_backend *fallback;
    cbm_status (*fused_prepare)(const cbm_fused_launch *shapes, void **state, size_t *workspace);
    void (*fused_run)(const cbm_fused_launch *launch);
    /* Several passes none of which reads what another writes, in any order. NULL: one after the other. */
    void (*fused_run_all)(const cbm_fused_launch *const *launches, size_t count);
    void (*fused_release)(void *state);
    bool fused_sums; /* passes may have outputs that are sums */
    /* Copies `from` into `to`: the same shape (N, C, ...) and dtype, each in its own layout, both without gaps. */
    void (*reorder)(const cbm_buffer *from, const cbm_buffer *to, int64_t threads);
    /* What has been measured to choose algorithms, as text (malloc'ed; NULL: nothing), and such a text taken over: false
       if it is damaged or another machine's. NULL: the backend measures nothing. */
    char *(*measured)(void);
    bool (*remember)(const char *text, size_t length);
} cbm_backend;

extern const cbm_backend cbm_backend_reference; /* backend/reference/reference.c */
extern const cbm_backend cbm_backend_cpu;       /* backend/cpu/cpu.c */

/* The backend called name, or NULL; and the kernel for a launch, down the chain of fallbacks. backend/backend.c */
const cbm_backend *cbm_backend_named(const char *name);
const cbm_kernel *cbm_backend_kernel(const cbm_backend *backend, const cbm_launch *shapes);

#endif
