/* dlpack.h: tensors to and from other libraries (NumPy, PyTorch, JAX, ...) without copying, by DLPack, the structure of C
   that they share (https://dmlc.github.io/dlpack/). Its declarations stand here under their own names, with DLPack's own
   include guard: they and <dlpack/dlpack.h> go together in any order. */
#ifndef CAMBIUM_DLPACK_H
#define CAMBIUM_DLPACK_H

#include <cambium/tensor.h>

#ifndef DLPACK_DLPACK_H_
#define DLPACK_DLPACK_H_

#define DLPACK_MAJOR_VERSION 1
#define DLPACK_MINOR_VERSION 0
#define DLPACK_DLL

CBM_BEGIN_DECLS

typedef struct {
    uint32_t major;
    uint32_t minor;
} DLPackVersion;

#ifdef __cplusplus
typedef enum : int32_t {
#else
typedef enum {
#endif
    kDLCPU = 1,
    kDLCUDA = 2,
    kDLCUDAHost = 3,
    kDLOpenCL = 4,
    kDLVulkan = 7,
    kDLMetal = 8,
    kDLVPI = 9,
    kDLROCM = 10,
    kDLROCMHost = 11,
    kDLExtDev = 12,
    kDLCUDAManaged = 13,
    kDLOneAPI = 14,
    kDLWebGPU = 15,
    kDLHexagon = 16,
    kDLMAIA = 17
} DLDeviceType;

typedef struct {
    DLDeviceType device_type;
    int32_t device_id;
} DLDevice;

typedef enum {
    kDLInt = 0U,
    kDLUInt = 1U,
    kDLFloat = 2U,
    kDLOpaqueHandle = 3U,
    kDLBfloat = 4U,
    kDLComplex = 5U,
    kDLBool = 6U
} DLDataTypeCode;

typedef struct {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
} DLDataType;

typedef struct {
    void *data;
    DLDevice device;
    int32_t ndim;
    DLDataType dtype;
    int64_t *shape;
    int64_t *strides; /* in elements; NULL: row-major */
    uint64_t byte_offset;
} DLTensor;

typedef struct DLManagedTensor {
    DLTensor dl_tensor;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensor *self);
} DLManagedTensor;

#define DLPACK_FLAG_BITMASK_READ_ONLY (1UL << 0UL)
#define DLPACK_FLAG_BITMASK_IS_COPIED (1UL << 1UL)

typedef struct DLManagedTensorVersioned {
    DLPackVersion version;
    void *manager_ctx;
    void (*deleter)(struct DLManagedTensorVersioned *self);
    uint64_t flags;
    DLTensor dl_tensor;
} DLManagedTensorVersioned;

CBM_END_DECLS

#endif

CBM_BEGIN_DECLS

/* Computes t if needed and lends its elements, row-major, without copying. The receiver calls deleter once, from any
   thread, before or after t's end or the context's (with an allocator of the user's: from the context's thread, while the
   allocator lives). The memory is shared: it must not be written to, which only the versioned form can say. A variable
   keeps its value there, since the next assignment goes elsewhere. NULL on error. */
CBM_API DLManagedTensor *cbm_to_dlpack(cbm_tensor *t);
CBM_API DLManagedTensorVersioned *cbm_to_dlpack_versioned(cbm_tensor *t);

/* A tensor over the memory of managed, which must stay unchanged: deleter is called when nothing needs it any more, at the
   latest when the context is closed. Elements that are not row-major, or not aligned, are copied, and deleter is called at
   once. managed is taken over in every case, also when the result is a failed tensor.
   Memory of the host only (kDLCPU, kDLCUDAHost, kDLROCMHost): another is CBM_ERROR_UNSUPPORTED. Types without a cbm_dtype
   are CBM_ERROR_DTYPE, versions other than 1.x CBM_ERROR_FORMAT. */
CBM_API cbm_tensor *cbm_from_dlpack(cbm_context *cx, DLManagedTensor *managed);
CBM_API cbm_tensor *cbm_from_dlpack_versioned(cbm_context *cx, DLManagedTensorVersioned *managed);

CBM_END_DECLS

#endif
