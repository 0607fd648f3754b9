/* onednn.h: the one seam to oneDNN (2.x, C API). Nothing else in the library includes dnnl.h. A cbm_dnn is a prepared
   sequence of primitives, reorders included, with its memory objects; running it swaps the pointers. In a build without
   oneDNN every constructor returns NULL. */
#ifndef CAMBIUM_CPU_ONEDNN_H
#define CAMBIUM_CPU_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cbm_dnn cbm_dnn;

bool cbm_dnn_present(void);

/* c (rank dims) = a b; strides count elements; batch axes come first, stride 0 or extent 1 broadcasts. */
typedef struct cbm_dnn_product {
    int64_t rank; /* 2 or 3 */
    int64_t batch, m, n, k;
    int64_t a_stride[3], b_stride[3], c_stride[3]; /* batch, row, column; batch 0: broadcast */
} cbm_dnn_product;
/* NULL: oneDNN does not serve it well. */
cbm_dnn *cbm_dnn_matmul(const cbm_dnn_product *p, int64_t threads);

typedef enum cbm_dnn_direction { CBM_DNN_FORWARD, CBM_DNN_INPUT_GRAD, CBM_DNN_WEIGHT_GRAD } cbm_dnn_direction;
typedef struct cbm_dnn_conv {
    cbm_dnn_direction direction;
    int64_t batch, channels, height, width; /* of the input */
    int64_t out_channels, out_height, out_width;
    int64_t kernel[2], stride[2], padding[2], dilation[2], groups;
    bool bias;
    bool direct_only; /* no Winograd */
} cbm_dnn_conv;
/* The pointers of a run, in this order: x or dx; weight or dweight; y or dy; bias. All plain: NCHW, OIHW. */
cbm_dnn *cbm_dnn_convolution(const cbm_dnn_conv *c, int64_t threads);

size_t cbm_dnn_workspace(const cbm_dnn *d); /* bytes, to be aligned to 64 */
/* false: oneDNN refused; message holds its status. */
bool cbm_dnn_run(cbm_dnn *d, void *const *pointers, void *workspace);
/* The implementations chosen, "jit_wino:avx512_core nChw16c" and so on; for tests and benchmarks. */
const char *cbm_dnn_describe(const cbm_dnn *d);
void cbm_dnn_free(cbm_dnn *d);

#endif
