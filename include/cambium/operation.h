/* operation.h: an operation as data. Built-in operations and a user's own are the same record: shape rule, kernel on
   buffers, vector-Jacobian product written with operations, attributes, cost and samples. */
#ifndef CAMBIUM_OPERATION_H
#define CAMBIUM_OPERATION_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

#define CBM_MAX_INPUTS 64 /* of one node */
#define CBM_MAX_OUTPUTS 4

typedef struct cbm_op cbm_op;

/* How the elements of an (N, C, H, W) operand lie in memory. Plans choose it; a user's kernels always get PLAIN. */
typedef enum cbm_layout {
    CBM_LAYOUT_PLAIN = 0,         /* as the strides say */
    CBM_LAYOUT_CHANNELS_LAST = 1, /* N, H, W, C without gaps */
    CBM_LAYOUT_BLOCKED_8 = 2,     /* N, C/8, H, W, 8 without gaps; C is a multiple of 8 */
    CBM_LAYOUT_BLOCKED_16 = 3     /* N, C/16, H, W, 16 without gaps; C is a multiple of 16 */
} cbm_layout;
#define CBM_LAYOUT_COUNT 4

/* A kernel's view of one operand. Shape and strides are those of the logical tensor; strides count elements; a broadcast
   axis has stride 0. In a layout other than PLAIN the layout says where elements are, not the strides. */
typedef struct cbm_buffer {
    void *data;
    cbm_dtype dtype;
    int32_t contiguous; /* 1: row-major without gaps, as kernels without CBM_KERNEL_STRIDED always get */
    int32_t layout;     /* a cbm_layout */
    int32_t reserved;
    int64_t rank;
    int64_t count; /* elements */
    int64_t shape[CBM_MAX_DIMS];
    int64_t stride[CBM_MAX_DIMS];
} cbm_buffer;

/* What a shape rule gets and fills in. */
typedef struct cbm_infer {
    const cbm_op *op;
    const void *attributes;
    size_t n_in, n_out; /* n_out starts as op->n_out */
    cbm_shape in_shape[CBM_MAX_INPUTS];
    cbm_dtype in_dtype[CBM_MAX_INPUTS];
    cbm_shape out_shape[CBM_MAX_OUTPUTS];
    cbm_dtype out_dtype[CBM_MAX_OUTPUTS];
    cbm_context *cx;
} cbm_infer;

/* Fails a shape rule: keeps "[op] message" as the context's error. Returns false, to be returned by the rule. */
CBM_API bool cbm_infer_fail(cbm_infer *infer, cbm_status status, const char *format, ...) CBM_PRINTF(3, 4);

/* What a kernel gets when it runs. */
typedef struct cbm_launch {
    const cbm_op *op;
    const void *attributes;
    size_t n_in, n_out;
    const cbm_buffer *in, *out;
    void *workspace; /* as many bytes as prepare asked for, 64-byte aligned; contents arbitrary */
    void *state;     /* what prepare made */
    int64_t threads;
    char *message;                /* on failure: 256 bytes for the reason */
    const struct cbm_post *after; /* built-in kernels that take one: what is done to the first result; NULL: nothing */
    const cbm_buffer *bias;       /* what is added to each row of it then, if after says so */
    const cbm_buffer *added;      /* what is added to it then; NULL: what its memory holds */
} cbm_launch;
typedef cbm_status (*cbm_kernel_fn)(const cbm_launch *launch);

/* What vjp gets: the node's operands and results, and the gradients of its results (NULL: zero). It puts the gradients
   of its inputs, made with operations, into in_gradient; NULL stays for none. A gradient may have the broadcast shape:
   the sum back to the input's shape is done for it. The elements of in[i] or out[i] may be used only if op->saves names
   it; shape and dtype always. A vjp whose gradients cannot be differentiated again, or that does not serve the gradient of
   some result, may decline: then op->decompose is recorded and differentiated instead, and saves must name all inputs. */
typedef struct cbm_vjp {
    cbm_context *cx;
    const cbm_op *op;
    const void *attributes;
    size_t n_in, n_out;
    cbm_tensor *const *in;
    cbm_tensor *const *out;
    cbm_tensor *const *out_gradient;
    const bool *needed; /* needed[i]: somebody wants in_gradient[i] */
    cbm_tensor **in_gradient;
    bool create_graph; /* the gradients will be differentiated again */
    bool declined;     /* set by vjp */
} cbm_vjp;

typedef enum cbm_attribute_type {
    CBM_ATTRIBUTE_INT,   /* int64_t */
    CBM_ATTRIBUTE_FLOAT, /* double */
    CBM_ATTRIBUTE_UINT,  /* uint64_t */
    CBM_ATTRIBUTE_SHAPE, /* cbm_shape */
    CBM_ATTRIBUTE_DTYPE  /* int64_t holding a cbm_dtype */
} cbm_attribute_type;

typedef struct cbm_attribute {
    const char *name;
    cbm_attribute_type type;
    size_t offset; /* in the attribute struct */
    bool at_run;   /* bound when the plan runs: not part of the plan's identity, and no shape may depend on it */
} cbm_attribute;

/* One way to try the operation, for the gradient check and the comparisons. Tensors of a sample are filled from a fixed
   seed in [low, high] (integers: whole numbers in [low, high]; distinct: a shuffled grid, so no two are equal). Floating
   inputs are declared f64, for the gradient check; comparisons of f32 kernels put f32 in its place. */
typedef struct cbm_sample_input {
    cbm_shape shape;
    cbm_dtype dtype;
    double low, high;
    bool distinct;
} cbm_sample_input;
#define CBM_SAMPLE_INPUTS 12
typedef struct cbm_sample {
    size_t n_in;
    cbm_sample_input in[CBM_SAMPLE_INPUTS];
    const void *attributes; /* attributes_size bytes, or NULL when the operation has none */
    double diagonal; /* is added to the diagonals of the first input's matrices, to make definite or regular ones */
} cbm_sample;

#define CBM_SAVES_IN(i) (1u << (i))
#define CBM_SAVES_OUT(i) (1u << (24 + (i)))
#define CBM_SAVES_ALL_IN 0x00FFFFFFu

enum {
    CBM_OP_EFFECT = 1,  /* happens exactly once even if nobody looks at the result */
    CBM_OP_RANDOM = 2,  /* draws from the context's counter (attributes seed, position) */
    CBM_OP_VIEW = 4,    /* the results can be strided views of input 0: op->view says how */
    CBM_OP_CHECKS = 8,  /* its kernel checks values and may fail with CBM_ERROR_RANGE */
    CBM_OP_ASSIGN = 16, /* the result may take the place of input 0 in memory */
    CBM_OP_SAME = 32    /* with VIEW: the result is input 0, and the other inputs are only computed before it is used */
};

/* What precision bf16 does to an operation's operands of f32 and bf16. */
typedef enum cbm_autocast {
    CBM_AUTOCAST_DEFAULT = 0, /* FULL for an operation with a kernel of its own record, WIDEST for the others */
    CBM_AUTOCAST_PRODUCT = 1, /* the first two operands become bf16: products, whose sums are f32 inside */
    CBM_AUTOCAST_FULL = 2,    /* bf16 becomes f32: sums, exponentials, and what knows nothing of bf16 */
    CBM_AUTOCAST_WIDEST = 3,  /* f32 if one with dimensions is, else bf16 */
    CBM_AUTOCAST_NONE = 4     /* taken as they are */
} cbm_autocast;

typedef struct cbm_cost {
    double flops; /* multiplications and additions, each one */
    double bytes; /* read and written at least */
} cbm_cost;

/* Zero-initialise it, name the fields. Static storage: the record must outlive every context that uses it. */
struct cbm_op {
    uint64_t struct_size;
    const char *name;
    const char *formula; /* for the reference page */
    int32_t n_in;        /* -1: variadic, at least 1 */
    int32_t n_out;
    uint32_t flags;         /* CBM_OP_... */
    uint32_t saves;         /* what vjp uses: CBM_SAVES_IN(i) | CBM_SAVES_OUT(i) */
    size_t attributes_size; /* every field 8 bytes wide, so that equal attributes are equal bytes */
    const cbm_attribute *attributes;
    size_t n_attributes;
    bool (*infer)(cbm_infer *infer); /* NULL for pointwise operations that follow the broadcasting rule */
    /* Pointwise operations: each result element as an expression of the operands' elements at the same place. See
       src/op/expression.h for the language. NULL for the others. */
    const char *expression;
    void (*vjp)(cbm_vjp *vjp); /* NULL and no decompose: not differentiable */
    /* The same results by other operations; serves backends without a kernel, and the vjp of operations without one. */
    bool (*decompose)(cbm_context *cx, const void *attributes, cbm_tensor *const *in, size_t n_in, cbm_tensor **out);
    bool (*view)(const void *attributes, const cbm_buffer *in,
                 cbm_buffer *out); /* out: n_out of them, their shapes set;
       fill stride and data (as an offset from in->data). false: not a view this time, copy */
    cbm_kernel_fn kernel; /* for every backend without its own; contiguous buffers. NULL for built-in operations */
    void (*cost)(const cbm_launch *shapes, cbm_cost *cost); /* NULL: bytes in and out, one flop an output element */
    const cbm_sample *samples;
    size_t n_samples;
    uint32_t differentiable_in; /* bit i: input i has a gradient (floats only); 0: all floating inputs */
    uint32_t autocast;          /* a cbm_autocast */
    void *user;
    uint64_t
        opaque_out; /* bit i: result i serves the operation's own gradient and nobody else; cbm_gradcheck_op does not
                            differentiate it */
};

/* Records op on these inputs. outputs must hold op->n_out places; a result nobody needs costs nothing. attributes may be
   NULL when the operation has none. Returns outputs[0], or a failed tensor. */
CBM_API cbm_tensor *cbm_apply(cbm_context *cx, const cbm_op *op, cbm_tensor *const *inputs, size_t n_in,
                              const void *attributes, cbm_tensor **outputs);

/* The operations built in. */
CBM_API size_t cbm_op_count(void);
CBM_API const cbm_op *cbm_op_at(size_t index);
CBM_API const cbm_op *cbm_op_named(const char *name);

/* Checks op's gradient on one sample (or on all, sample -1) against central differences in f64 on the reference backend:
   first order, and second order too. Gives the largest relative error. A failed check returns CBM_ERROR_INVALID. */
CBM_API cbm_status cbm_gradcheck_op(const cbm_op *op, int64_t sample, double *max_error);
/* The same for any function of tensors: f(inputs, n, user) returns one tensor. */
typedef cbm_tensor *(*cbm_function)(cbm_tensor *const *inputs, size_t count, void *user);
CBM_API cbm_status cbm_gradcheck(cbm_context *cx, cbm_function f, void *user, cbm_tensor *const *inputs, size_t count,
                                 bool second_order, double *max_error);

CBM_END_DECLS

#endif
