/* context.h: inside of a context: error, heap, scopes, the pending graph, random numbers, owned objects. */
#ifndef CAMBIUM_CONTEXT_INTERNAL_H
#define CAMBIUM_CONTEXT_INTERNAL_H

#include "tensor/graph.h"
#include "tensor/replay.h"

/* What the floors above lend to this one: evaluation, and which operations the device can run. */
typedef struct cbm_engine {
    cbm_status (*evaluate)(cbm_context *cx, cbm_value *const *asked, size_t count);
    bool (*has_kernel)(cbm_context *cx, const cbm_op *op);
} cbm_engine;

struct cbm_scope {
    cbm_context *cx;
    cbm_scope *parent;
    cbm_tensor *first; /* handles, newest first */
    bool no_grad;      /* inherited by inner scopes */
    uint8_t precision; /* a cbm_precision, not OUTER; inherited too */
    bool quiet;
};

typedef struct cbm_owned {
    void *object;
    void (*destroy)(void *object);
} cbm_owned;

#define CBM_MESSAGE_SIZE 1024

struct cbm_context {
    cbm_heap *heap;
    uint64_t module_edits; /* changes of what modules consist of, so far (nn/named.c) */
    const cbm_engine *engine;
    struct cbm_planner *planner; /* plan/'s part */
    struct cbm_kept_pool
        *kept_pool; /* what plans keep, shared with other contexts (plan/kept_pool.h); NULL: with none */
    const struct cbm_backend *backend;
    cbm_status status;
    bool broken;  /* could not be opened: stays failed */
    bool located; /* the message names the user's line */
    char message[CBM_MESSAGE_SIZE];
    cbm_tensor failed; /* the failed tensor */
    cbm_scope *scope;  /* innermost */
    cbm_scope root;
    cbm_scope loose; /* handles that somebody retained past the end of their scope */
    cbm_node *first_pending, *last_pending;
    cbm_node *doomed; /* nodes being freed */
    bool freeing;
    cbm_replay replay;
    uint64_t sequence, stamp;
    int64_t pending, pending_limit;
    int64_t pending_evaluating; /* > 0 while an evaluation runs */
    cbm_tensor *dirty;          /* variables to commit or roll back */
    cbm_array variables;        /* of cbm_tensor *, all variables alive */
    cbm_array graveyard;        /* check_handles: handles whose scope has ended */
    uint64_t seed, position, committed_position;
    int64_t threads;
    int64_t plan_cache;
    bool deterministic, check_handles, naive, tune;
    bool profile, dry_run; /* see cambium/plan.h */
    size_t improve_from;   /* bytes of temporaries from which on plans are searched for ways to need less */
    bool sums_apart;       /* for tests: kernels make all sums, so that planning changes no bits */
    double repeat_share;   /* of a plan's time that may go into making again what is not kept */
    int32_t recomputing;   /* > 0 while backward records a forward again: effects have happened already */
    cbm_log_fn log;
    void *log_user;
    cbm_array owned;    /* of cbm_owned */
    int32_t cancelled;  /* atomic */
    int32_t generation; /* forks seen when opened */
    cbm_statistics statistics;
    cbm_text explanation;
};

/* context.c: a context without engine; NULL options are the defaults. NULL: no memory. */
cbm_context *cbm_context_new(const cbm_context_options *options);
void cbm_context_free(cbm_context *cx); /* after its scopes, plans and owned objects */
extern cbm_context cbm_context_broken;  /* what cbm_open returns when there is no memory at all */
int32_t cbm_fork_generation(void);
extern int32_t cbm_forks; /* the same, once a context has been opened; atomic */

cbm_heap *cbm_context_heap(cbm_context *cx);
/* Objects destroyed by cbm_close, newest first. false: no memory (the context's error says so; object is not owned). */
bool cbm_context_own(cbm_context *cx, void *object, void (*destroy)(void *object));
void cbm_context_disown(cbm_context *cx, void *object);
void cbm_context_log(cbm_context *cx, cbm_log_level level, const char *format, ...) CBM_PRINTF(3, 4);
cbm_status cbm_fail_v(cbm_context *cx, cbm_status status, const char *format, va_list arguments);
cbm_status cbm_fail_memory(cbm_context *cx, const char *what);
/* Appends "at file:line" to the error, unless it names a line already. */
void cbm_locate(cbm_context *cx, const char *file, int line);
/* For the ends of calls that nobody stamps: the line of the next operation is not that of their error. Returns the status. */
cbm_status cbm_close_error(cbm_context *cx);
/* The next stream of random numbers: its seed and position. */
void cbm_random_draw(cbm_context *cx, int64_t count, uint64_t *seed, uint64_t *position);
/* Variables back to their last committed versions; and forward. */
void cbm_rollback(cbm_context *cx);
void cbm_commit(cbm_context *cx);
/* savepoint.c: all variables and the random counter as they were committed, for what takes several evaluations and must
   happen wholly or not at all. Nothing is copied: variables that change meanwhile get new memory. */
typedef struct cbm_savepoint {
    cbm_context *cx;
    cbm_array entries;
    uint64_t seed, position;
} cbm_savepoint;
/* Computes what is pending first. false: an error, nothing is held. */
bool cbm_savepoint_take(cbm_savepoint *s, cbm_context *cx);
/* Back to it, whatever the context's error; and no further: what was held is let go. */
void cbm_savepoint_return(cbm_savepoint *s);
void cbm_savepoint_drop(cbm_savepoint *s);
void cbm_fail_unready(cbm_context *cx);
void cbm_fail_unusable(cbm_context *cx, const cbm_tensor *t);

/* false: in error, or in a forked child. */
static inline bool cbm_context_ready(cbm_context *cx)
{
    if (cx->status == CBM_OK && cx->generation == __atomic_load_n(&cbm_forks, __ATOMIC_RELAXED))
        return true;
    cbm_fail_unready(cx);
    return false;
}

/* false, and an error: t is not to be used, being NULL, failed, of another context, or dead. */
static inline bool cbm_usable(cbm_context *cx, const cbm_tensor *t)
{
    if (cbm_context_ready(cx) && t && t->cx == cx && !t->dead && !t->failed)
        return true;
    cbm_fail_unusable(cx, t);
    return false;
}

#endif
