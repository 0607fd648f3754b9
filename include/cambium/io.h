/* io.h: files: weights as safetensors, arrays as npy and npz, IDX, checkpoints that a run resumes from bit for bit, and
   atomic writing. Whatever comes from a file is checked before it is used; every reader also takes bytes in memory. */
#ifndef CAMBIUM_IO_H
#define CAMBIUM_IO_H

#include <cambium/data.h>

CBM_BEGIN_DECLS

typedef struct cbm_schedule cbm_schedule; /* schedule.h */
typedef struct cbm_average cbm_average;   /* average.h */

/* ---- whole files ---- */
/* Writes size bytes under a temporary name in path's folder, syncs file and folder, and renames: a crash or a full disk
   leaves the old file or the new one, never a part, and no temporary file. */
CBM_API cbm_status cbm_write_file_atomically(cbm_context *cx, const char *path, const void *bytes, size_t size);
/* Reads a regular file into memory of the context; give it back with cbm_file_free. On error *bytes is NULL, *size 0. */
CBM_API cbm_status cbm_read_file(cbm_context *cx, const char *path, void **bytes, size_t *size);
CBM_API void cbm_file_free(cbm_context *cx, void *bytes, size_t size);

/* ---- a module's weights (safetensors, PyTorch's state_dict names) ---- */
/* Writes all parameters and buffers of module, computed first if needed. Atomic. */
CBM_API cbm_status cbm_save(cbm_module *module, const char *path);
/* The same file with the averaged weights, whether they are swapped in or not; cbm_load reads it. */
CBM_API cbm_status cbm_save_average(cbm_average *average, const char *path);

/* Maps a tensor's name in the file to a name in the module, written to out (size bytes, with the final 0). false: the
   tensor is left out. */
typedef bool (*cbm_rename_fn)(void *user, const char *name, char *out, size_t size);

typedef struct cbm_load_options {
    uint64_t struct_size;
    uint64_t strict CBM_DEFAULT(1);         /* 0: names that only the file or only the module has are passed over */
    const char *prefix CBM_DEFAULT(NULL);   /* only tensors whose names begin so, without it: "encoder." */
    cbm_rename_fn rename CBM_DEFAULT(NULL); /* after prefix */
    void *rename_user CBM_DEFAULT(NULL);
    uint64_t cast CBM_DEFAULT(0);      /* 1: convert where the dtypes differ (f16 and bf16 go into f32 always) */
    int64_t *loaded CBM_DEFAULT(NULL); /* out: how many tensors were loaded */
} cbm_load_options;
CBM_API void cbm_load_options_init(cbm_load_options *options);

/* Loads weights into module's parameters and buffers, from a safetensors file or from one of PyTorch's own (torch.save of a
   state_dict, .pt or .pth, as zip archive or in the older form; of dictionaries in dictionaries the names are joined by dots).
   Weights that a training wrapped, in "state_dict.", "model_state_dict.", "model.", "module.", "net.", "network." or several
   of these, are found there if no .prefix or .rename is given, and what is beside them is passed over. Of a pickle nothing is
   executed: what is no tensor, number, text or container of them is an error. Everything is read and checked first: after an
   error the module is as it was. Only counts of batches (num_batches_tracked), which old files lack, may be missing. The
   message lists missing, unexpected and mismatching names. */
CBM_API cbm_status cbm_load_with(cbm_module *module, const char *path, const cbm_load_options *options);
CBM_API cbm_status cbm_load_memory_with(cbm_module *module, const void *bytes, size_t size,
                                        const cbm_load_options *options);

/* ---- safetensors files ---- */
typedef struct cbm_safetensors cbm_safetensors;

/* A tensor in a file. */
typedef struct cbm_file_tensor {
    const char *name; /* valid until the file is closed */
    const char *type; /* as the file says: "F32", "BF16", "I64", ... */
    bool readable;    /* false: a type without a dtype here (F8_E4M3, U64) */
    cbm_dtype dtype;  /* that reading gives: F16 becomes f32; I8, I16, U16 i32; U32 i64 */
    cbm_shape shape;
    uint64_t bytes; /* in the file */
} cbm_file_tensor;

/* Opens a safetensors file, or one of PyTorch's (see cbm_load), and checks its header against its size; tensors are read when asked for. Belongs to the context until
   closed. On error the result is NULL or a closed file: every call on it is harmless. */
CBM_API cbm_safetensors *cbm_safetensors_open(cbm_context *cx, const char *path);
/* The same over bytes, which must stay until the file is closed. */
CBM_API cbm_safetensors *cbm_safetensors_open_memory(cbm_context *cx, const void *bytes, size_t size);
CBM_API size_t cbm_safetensors_count(const cbm_safetensors *file);
/* Tensor number i, in the order of their names. */
CBM_API bool cbm_safetensors_at(const cbm_safetensors *file, size_t i, cbm_file_tensor *out);
/* A text of the header's __metadata__, or NULL; valid until the file is closed. */
CBM_API const char *cbm_safetensors_metadata(const cbm_safetensors *file, const char *key);
/* Reads a tensor by name. */
CBM_API cbm_tensor *cbm_safetensors_tensor(cbm_safetensors *file, const char *name);
CBM_API void cbm_safetensors_close(cbm_safetensors *file);
/* Writes tensors under names (computed first if needed). metadata: pairs key, value, ..., NULL; or NULL. Atomic. */
CBM_API cbm_status cbm_safetensors_write(cbm_context *cx, const char *path, const char *const *names,
                                         cbm_tensor *const *tensors, size_t count, const char *const *metadata);

/* ---- NumPy's npy and npz ---- */
/* bool, integers up to 64 bits (u64: not), f16, f32, f64, both byte orders, C and Fortran order. Small types widen as in
   cbm_file_tensor. */
CBM_API cbm_tensor *cbm_npy_read(cbm_context *cx, const char *path);
CBM_API cbm_tensor *cbm_npy_read_memory(cbm_context *cx, const void *bytes, size_t size);
CBM_API cbm_status cbm_npy_write(cbm_tensor *t, const char *path); /* not bf16, which NumPy lacks: cbm_cast it to f32 */

typedef struct cbm_npz cbm_npz;
/* A zip archive of npy files, stored or deflated. Belongs to the context until closed. As cbm_safetensors_open. */
CBM_API cbm_npz *cbm_npz_open(cbm_context *cx, const char *path);
CBM_API cbm_npz *cbm_npz_open_memory(cbm_context *cx, const void *bytes, size_t size);
CBM_API size_t cbm_npz_count(const cbm_npz *file);
CBM_API const char *cbm_npz_name(const cbm_npz *file, size_t i); /* without ".npy"; NULL past the end */
CBM_API cbm_tensor *cbm_npz_tensor(cbm_npz *file, const char *name);
CBM_API void cbm_npz_close(cbm_npz *file);
/* Writes an archive of stored (not compressed) arrays. Atomic. */
CBM_API cbm_status cbm_npz_write(cbm_context *cx, const char *path, const char *const *names,
                                 cbm_tensor *const *tensors, size_t count);

/* ---- IDX, the format of the MNIST files ---- */
/* Plain or gzip (by its content). u8, i32, f32, f64 as they are; i8 and i16 become i32. */
CBM_API cbm_tensor *cbm_idx_read(cbm_context *cx, const char *path);
CBM_API cbm_tensor *cbm_idx_read_memory(cbm_context *cx, const void *bytes, size_t size);

/* ---- checkpoints ---- */
/* Everything a training run needs to go on as if it had not stopped: weights and buffers, pending gradients, the
   optimizer's state, step count and learning rates, the schedule, averages of weights, the loader's position, the context's
   random numbers.
   One safetensors file. Parts left NULL are not saved, and not looked for when loading. */
typedef struct cbm_checkpoint {
    cbm_module *module; /* needed */
    cbm_optimizer *optimizer;
    cbm_schedule *schedule;
    cbm_loader *loader;
    const char *metadata; /* saved: any text of the user's (JSON by habit); read it back with
                                 cbm_safetensors_metadata(file, "user") */
    cbm_average *average;
} cbm_checkpoint;

/* Saves at a step's end. Atomic. */
CBM_API cbm_status cbm_checkpoint_save(const char *path, const cbm_checkpoint *checkpoint);
/* Restores every part named in checkpoint, which must fit the file. All is checked before anything is changed. */
CBM_API cbm_status cbm_checkpoint_load(const char *path, const cbm_checkpoint *checkpoint);
CBM_API cbm_status cbm_checkpoint_load_memory(const void *bytes, size_t size, const cbm_checkpoint *checkpoint);

CBM_END_DECLS

#ifdef __cplusplus
static inline cbm_status cbm_load(cbm_module *module, const char *path, const cbm_load_options &options = {})
{
    cbm_load_options o = options;
    o.struct_size = sizeof o;
    return cbm_load_with(module, path, &o);
}
static inline cbm_status cbm_load_memory(cbm_module *module, const void *bytes, size_t size,
                                         const cbm_load_options &options = {})
{
    cbm_load_options o = options;
    o.struct_size = sizeof o;
    return cbm_load_memory_with(module, bytes, size, &o);
}
#else
/* cbm_load(net, "model.safetensors"), cbm_load(net, path, .strict = false, .prefix = "encoder.") */
#define CBM_LOAD_DEFAULTS .strict = 1, .loaded = NULL
#define cbm_load(...) CBM_LOAD_(__VA_ARGS__, .struct_size = sizeof(cbm_load_options))
#define CBM_LOAD_(module, path, ...)                                                                                   \
    CBM_OPTIONS_(cbm_load_options, cbm_load_with(module, path, &cbm_o_), CBM_LOAD_DEFAULTS, __VA_ARGS__)
#define cbm_load_memory(...) CBM_LOAD_MEMORY_(__VA_ARGS__, .struct_size = sizeof(cbm_load_options))
#define CBM_LOAD_MEMORY_(module, bytes, size, ...)                                                                     \
    CBM_OPTIONS_(cbm_load_options, cbm_load_memory_with(module, bytes, size, &cbm_o_), CBM_LOAD_DEFAULTS, __VA_ARGS__)
#endif

#endif
