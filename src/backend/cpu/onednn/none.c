/* none.c: the seam in a build without oneDNN. */
#include "backend/cpu/onednn.h"

bool cbm_dnn_present(void)
{
    return false;
}
const char *cbm_dnn_version(void)
{
    return "no oneDNN";
}
bool cbm_dnn_bf16(void)
{
    return false;
}

bool cbm_dnn_tiles(void)
{
    return false;
}
cbm_dnn *cbm_dnn_matmul(const cbm_dnn_product *p, int64_t threads)
{
    (void)p;
    (void)threads;
    return NULL;
}
cbm_dnn *cbm_dnn_convolution(const cbm_dnn_conv *c, int64_t threads)
{
    (void)c;
    (void)threads;
    return NULL;
}
size_t cbm_dnn_packed_bytes(const cbm_dnn *d)
{
    (void)d;
    return 0;
}
cbm_dnn *cbm_dnn_packer(const cbm_dnn *d, int64_t threads)
{
    (void)d;
    (void)threads;
    return NULL;
}
size_t cbm_dnn_workspace(const cbm_dnn *d)
{
    (void)d;
    return 0;
}
bool cbm_dnn_run(cbm_dnn *d, void *const *pointers, void *workspace)
{
    (void)d;
    (void)pointers;
    (void)workspace;
    return false;
}
const char *cbm_dnn_describe(const cbm_dnn *d)
{
    (void)d;
    return "";
}
bool cbm_dnn_sure(const cbm_dnn *d)
{
    (void)d;
    return false;
}
void cbm_dnn_free(cbm_dnn *d)
{
    (void)d;
}
