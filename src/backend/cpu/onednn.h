/* onednn.h: the one seam to oneDNN (2.x and 3.x, C API). Nothing else in the library includes dnnl.h. A cbm_dnn is a prepared
   sequence of primitives, reorders included, with its memory objects; running it swaps the pointers. In a build without
   oneDNN every constructor returns NULL. */
#ifndef CAMBIUM_CPU_ONEDNN_H
#define CAMBIUM_CPU_ONEDNN_H

#include <cambium/operation.h>

typedef struct cbm_dnn cbm_dnn;

bool cbm_dnn_present(void);
const char *cbm_dnn_version(void); /* "oneDNN 2.6.3", or "no oneDNN"; static text */
/* oneDNN computes on bf16 here (it needs AVX-512). With AMX that is up to ten times faster than f32, in channels-last alone
   (other layouts are reordered around it); without, little faster or slower. Depthwise convolutions gain nothing. */
bool cbm_dnn_bf16(void);
bool cbm_dnn_tiles(void); /* that is with AMX */

/* c (rank dims) = a b; strides count elements; batch axes come first, stride 0 or extent 1 broadcasts. */
typedef struct cbm_dnn_product {
    int64_t rank; /* 2 or 3 */
    int64_t batch, m, n, k;
    int64_t a_stride[3], b_stride[3], c_stride[3]; /* batch, row, column; batch 0: broadcast */
    /* Operands in bf16; the others are f32. Products are of bf16, sums in f32, where a or b is bf16: the other is converted
       then, as master weights in f32 are. NULL without cbm_dnn_bf16. */
    bool a_bf16, b_bf16, c_bf16;
    /* c = act(a b + (bias: a row of n) + (add: as c lies)), f32 only. The activation makes 0 of NaN. */
    bool bias, add, relu;
    float upper; /* > 0: the activation is min(max(c, 0), upper) */
} cbm_dnn_product;
/* The pointers of a run: a, b, c, bias, what is added. NULL: oneDNN does not serve it well. */
cbm_dnn *cbm_dnn_matmul(const cbm_dnn_product *p, int64_t threads);

typedef enum cbm_dnn_direction { CBM_DNN_FORWARD, CBM_DNN_INPUT_GRAD, CBM_DNN_WEIGHT_GRAD } cbm_dnn_direction;
/* Extents and the like in the order depth, height, width. */
typedef struct cbm_dnn_conv {
    cbm_dnn_direction direction;
    int64_t dimensions; /* 2 (the entries of the depth are not looked at) or 3 */
    int64_t batch, channels, out_channels, groups;
    int64_t in[3], out[3], kernel[3], stride[3], padding[3], dilation[3];
    cbm_layout x_layout, y_layout; /* of x or dx, and of y or dy, as the caller has them */
    bool bias;
    bool direct_only; /* no Winograd */
    /* What happens to y before it is written (forward only): y = act(conv + bias + (add ? what y's memory held : 0)). The
       activation makes 0 of NaN. */
    bool add;
    bool relu;
    float upper;        /* > 0: the activation is min(max(y, 0), upper) */
    bool packed_weight; /* not of WEIGHT_GRAD: pointer 1 is in the primitive's own format, see cbm_dnn_packed_bytes */
    /* Operands in bf16; the others are f32, bias always. Products are of bf16, sums in f32, where the activations that are
       read (x, y or both) are bf16; else all is computed in f32. NULL without cbm_dnn_bf16. */
    bool x_bf16, weight_bf16, y_bf16;
} cbm_dnn_conv;
/* The pointers of a run, in this order: x or dx; weight or dweight; y or dy; bias. Weights OIHW (OIDHW) unless packed. Where no
   fast primitive takes the caller's layouts, reorders around it are part of the sequence. */
cbm_dnn *cbm_dnn_convolution(const cbm_dnn_conv *c, int64_t threads);
/* Bytes of the packed weight of a convolution made with packed_weight, and a sequence that makes it: pointers are the plain
   weight and the packed one. */
size_t cbm_dnn_packed_bytes(const cbm_dnn *d);
cbm_dnn *cbm_dnn_packer(const cbm_dnn *d, int64_t threads);

size_t cbm_dnn_workspace(const cbm_dnn *d); /* bytes, to be aligned to 64 */
/* false: oneDNN refused; message holds its status. */
bool cbm_dnn_run(cbm_dnn *d, void *const *pointers, void *workspace);
/* The implementations chosen, "jit_wino:avx512_core nChw16c" and so on; for tests and benchmarks. */
const char *cbm_dnn_describe(const cbm_dnn *d);
/* Its runs cannot fail: they take no memory but the workspace. (oneDNN's gemm takes some itself.) */
bool cbm_dnn_sure(const cbm_dnn *d);
void cbm_dnn_free(cbm_dnn *d);

#endif
