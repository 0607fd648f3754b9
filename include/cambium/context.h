/* context.h: opening and closing a context, its error, its scopes, its memory, and when things are computed. */
#ifndef CAMBIUM_CONTEXT_H
#define CAMBIUM_CONTEXT_H

#include <cambium/common.h>

CBM_BEGIN_DECLS

/* Memory hooks. allocate returns size bytes aligned to alignment (a power of two), or NULL; release gets the size back.
   They may be called from the context's thread only. */
typedef struct cbm_allocator {
    void *(*allocate)(size_t size, size_t alignment, void *user);
    void (*release)(void *memory, size_t size, void *user);
    void *user;
} cbm_allocator;

typedef enum cbm_log_level {
    CBM_LOG_ERROR = 0,
    CBM_LOG_WARNING = 1,
    CBM_LOG_INFO = 2,
    CBM_LOG_DEBUG = 3
} cbm_log_level;
/* The type of activations and products. BF16 as PyTorch's autocast: matrix products and convolutions convert their f32
   factors to bf16 (and sum in f32); sums, means, softmax, exp, log, pow and losses convert bf16 to f32; batch norm keeps
   its vectors f32; other operations take the widest type among their operands, where a tensor without dimensions gives
   way. Parameters, their gradients and optimizer state stay f32. Backward computes in the types of forward. */
typedef enum cbm_precision {
    CBM_PRECISION_OUTER = 0, /* as the enclosing scope; of a context: F32 */
    CBM_PRECISION_F32 = 1,   /* nothing is converted */
    CBM_PRECISION_BF16 = 2
} cbm_precision;

/* "f32", "bf16", or "" for OUTER and what is no precision. */
CBM_API const char *cbm_precision_name(cbm_precision precision);

typedef void (*cbm_log_fn)(cbm_log_level level, const char *message, void *user);

typedef struct cbm_context_options {
    uint64_t struct_size;
    const char *device CBM_DEFAULT("cpu"); /* "cpu", or "reference": plain loops, slow, the oracle of the tests */
    int64_t threads CBM_DEFAULT(0);        /* 0: as many as there are cores */
    uint64_t seed CBM_DEFAULT(0);          /* of the context's random numbers */
    uint64_t memory_limit CBM_DEFAULT(0);  /* bytes that the context may hold; 0: no limit */
    const cbm_allocator *allocator CBM_DEFAULT(NULL); /* copied; NULL: the C library's */
    cbm_log_fn log CBM_DEFAULT(NULL);                 /* NULL: silent */
    void *log_user CBM_DEFAULT(NULL);
    int64_t plan_cache CBM_DEFAULT(256); /* plans kept; the least recently used goes first */
    int64_t
        pending_limit CBM_DEFAULT(100000); /* recorded operations after which everything is computed, with a warning */
    uint64_t deterministic CBM_DEFAULT(0); /* 1: algorithms by fixed rules, direct convolutions only */
    uint64_t check_handles CBM_DEFAULT(0); /* 1: report use of a tensor after the end of its scope (debugging) */
    uint64_t naive CBM_DEFAULT(0);         /* 1: no fusion, no in-place, no reuse of buffers (debugging, tests) */
    /* 1: convolutions are timed once for each shape and direction, and the fastest algorithm is remembered: in memory, in
       checkpoints, and in ~/.cache/cambium/tuning. Without it (and when deterministic) fixed rules choose. */
    uint64_t tune CBM_DEFAULT(0);
    uint64_t precision CBM_DEFAULT(0); /* a cbm_precision: CBM_PRECISION_BF16 computes in bf16 where it serves */
} cbm_context_options;

CBM_API void cbm_context_options_init(cbm_context_options *options);

/* Opens a context; options NULL: all defaults. Never returns NULL: a context that could not be opened is a failed one,
   whose status and message say why and on which every call is harmless. */
CBM_API cbm_context *cbm_open(const cbm_context_options *options);

/* Ends open scopes, releases everything that belongs to the context, and the context. NULL is allowed. */
CBM_API void cbm_close(cbm_context *cx);

/* The first error since opening or the last cbm_clear. The message names the operation, the shapes, file:line where
   known, and often a HINT; it is "" when all is well, and valid until cbm_clear or cbm_close. */
CBM_API cbm_status cbm_context_status(const cbm_context *cx);
CBM_API const char *cbm_message(const cbm_context *cx);
CBM_API void cbm_clear(cbm_context *cx);

/* Reports a user's own error as the context's (kept only if it is the first). Returns status. */
CBM_API cbm_status cbm_fail(cbm_context *cx, cbm_status status, const char *format, ...) CBM_PRINTF(3, 4);

/* Asks the running evaluation to stop; may be called from a signal handler or another thread. The evaluation fails with
   CBM_ERROR_CANCELLED at its next step and changes nothing. */
CBM_API void cbm_cancel(cbm_context *cx);

typedef struct cbm_scope_options {
    uint64_t struct_size;
    uint64_t no_grad CBM_DEFAULT(0);   /* 1: operations recorded inside keep no history for gradients */
    uint64_t quiet CBM_DEFAULT(0);     /* 1: a container's own scope: its end never evaluates */
    uint64_t precision CBM_DEFAULT(0); /* a cbm_precision, for operations recorded inside */
} cbm_scope_options;

/* Opens a scope; tensors made from now on belong to it. Ending a scope ends those opened inside it, computes pending
   effects and tensors that outlive it (retained, stored with cbm_set, or returned), and lets go of the rest. */
CBM_API cbm_scope *cbm_scope_begin(cbm_context *cx);
CBM_API cbm_scope *cbm_scope_begin_with(cbm_context *cx, const cbm_scope_options *options);
CBM_API void cbm_scope_end(cbm_scope *scope);
/* Ends the scope and hands t to the enclosing one: `return cbm_scope_end_with(scope, t);` */
CBM_API cbm_tensor *cbm_scope_end_with(cbm_scope *scope, cbm_tensor *t);
static inline void cbm_scope_cleanup_(cbm_scope **scope)
{
    cbm_scope_end(*scope);
}
/* A scope that ends with the enclosing block, by whatever way the block is left. Close the context outside of that block:
   cbm_close has ended the scope already. */
#define CBM_SCOPE(name, cx) cbm_scope *name __attribute__((cleanup(cbm_scope_cleanup_), unused)) = cbm_scope_begin(cx)
/* The same, and nothing inside is differentiated. */
#define CBM_NO_GRAD(name, cx)                                                                                          \
    cbm_scope *name __attribute__((cleanup(cbm_scope_cleanup_), unused)) = cbm_scope_begin_no_grad(cx)
CBM_API cbm_scope *cbm_scope_begin_no_grad(cbm_context *cx);

/* Computes all that is pending: effects, and values that nothing consumes. */
CBM_API cbm_status cbm_flush(cbm_context *cx);

/* Why plans were made, what was materialised and why, versions copied, plans evicted. Valid until the next call on cx. */
CBM_API const char *cbm_explain(cbm_context *cx);

typedef struct cbm_statistics {
    uint64_t bytes_now, bytes_peak; /* memory held through the context's allocator */
    uint64_t allocations;           /* calls of the allocator so far */
    uint64_t arena_bytes;           /* of them, the plans' shared arena */
    uint64_t evaluations, plans_made, plans_reused, plans_evicted, plans_cached;
    uint64_t nodes_recorded, nodes_pending, versions_copied;
} cbm_statistics;
CBM_API cbm_statistics cbm_context_statistics(const cbm_context *cx);
CBM_API void cbm_reset_peak(cbm_context *cx);

/* Gives cached memory and plans back to the system. */
CBM_API void cbm_trim(cbm_context *cx);

/* The state of the random numbers: with the same seed and position, the same numbers follow. */
CBM_API void cbm_seed(cbm_context *cx, uint64_t seed);
CBM_API void cbm_random_state(const cbm_context *cx, uint64_t *seed, uint64_t *position);
CBM_API void cbm_set_random_state(cbm_context *cx, uint64_t seed, uint64_t position);

CBM_API int64_t cbm_context_threads(const cbm_context *cx);
CBM_API const char *cbm_context_device(const cbm_context *cx);
/* The precision that operations recorded now would have. */
CBM_API cbm_precision cbm_context_precision(const cbm_context *cx);

CBM_END_DECLS

#ifdef __cplusplus
static inline cbm_context *cbm_open_cpp_(const cbm_context_options &options)
{
    cbm_context_options o = options;
    o.struct_size = sizeof o;
    return cbm_open(&o);
}
#endif
/* A context's options by name: cbm_open_with(.threads = 1, .seed = 7). */
#define CBM_CONTEXT_DEFAULTS .device = "cpu", .plan_cache = 256, .pending_limit = 100000
#define cbm_open_with(...)                                                                                             \
    CBM_OPTIONS_(cbm_context_options, cbm_open(&cbm_o_), CBM_CONTEXT_DEFAULTS, __VA_ARGS__,                            \
                 .struct_size = sizeof(cbm_context_options))

#endif
