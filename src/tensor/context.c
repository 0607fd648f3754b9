/* context.c: a context's error, settings, random numbers, owned objects, and the commit or rollback of its variables.
   Opening and closing for users is plan/open.c, which adds the engine. Rests on base/. */
#include "tensor/context.h"
#include <pthread.h>
#include <stdio.h>

#define IMPROVE_FROM ((size_t)256 << 10)
#define REPEAT_SHARE 0.035
#include <string.h>

cbm_context cbm_context_broken = {
    .status = CBM_ERROR_MEMORY,
    .broken = true,
    .message = "[open] no memory for a context",
    .failed = { .cx = &cbm_context_broken, .failed = true },
};

int32_t cbm_forks;

static void count_fork(void)
{
    __atomic_add_fetch(&cbm_forks, 1, __ATOMIC_RELAXED);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

int32_t cbm_fork_generation(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    return __atomic_load_n(&cbm_forks, __ATOMIC_RELAXED);
}

void cbm_context_options_init(cbm_context_options *options)
{
    *options = (cbm_context_options){ .struct_size = sizeof *options, CBM_CONTEXT_DEFAULTS };
}

cbm_context *cbm_context_new(const cbm_context_options *options)
{
    cbm_context_options o;
    cbm_context_options_init(&o);
    if (options) { /* an older caller's struct is shorter: the rest keeps its defaults */
        size_t size = options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o;
        memcpy(&o, options, size);
    }
    cbm_heap *heap = cbm_heap_open(o.allocator, o.memory_limit);
    cbm_context *cx = heap ? cbm_heap_take_zero(heap, sizeof *cx) : NULL;
    if (!cx) {
        if (heap)
            cbm_heap_close(heap);
        return NULL;
    }
    cx->heap = heap;
    cx->failed = (cbm_tensor){ .cx = cx, .failed = true, .refs = 1 };
    cx->root = cx->loose = (cbm_scope){ .cx = cx };
    cx->scope = &cx->root;
    cx->root.precision = (uint8_t)(o.precision == CBM_PRECISION_OUTER ? CBM_PRECISION_F32 : o.precision);
    if (o.precision > CBM_PRECISION_BF16)
        cbm_fail(cx, CBM_ERROR_INVALID, "[open] precision is none of cbm_precision's");
    cx->seed = o.seed;
    cx->threads = o.threads > 0 ? o.threads : cbm_parallel_cores();
    cx->plan_cache = o.plan_cache > 0 ? o.plan_cache : 1;
    cx->pending_limit = o.pending_limit > 0 ? o.pending_limit : 100000;
    cx->deterministic = o.deterministic != 0;
    cx->tune = o.tune != 0;
    cx->check_handles = o.check_handles != 0;
    cx->naive = o.naive != 0;
    cx->improve_from = IMPROVE_FROM;
    cx->repeat_share = REPEAT_SHARE;
    cx->log = o.log;
    cx->log_user = o.log_user;
    cx->owned = CBM_ARRAY(heap, cbm_owned);
    cx->variables = CBM_ARRAY(heap, cbm_tensor *);
    cx->graveyard = CBM_ARRAY(heap, cbm_tensor *);
    cx->replay.nodes = CBM_ARRAY(heap, cbm_node *);
    cx->replay.leaves = CBM_ARRAY(heap, cbm_value *);
    cx->explanation = cbm_text_open(heap);
    cx->generation = cbm_fork_generation();
    return cx;
}

void cbm_context_free(cbm_context *cx)
{
    for (size_t i = 0; i < cx->graveyard.count; i++)
        cbm_heap_give(cx->heap, CBM_AT(&cx->graveyard, cbm_tensor *, i), sizeof(cbm_tensor));
    cbm_replay_free(cx);
    cbm_array_free(&cx->graveyard);
    cbm_array_free(&cx->variables);
    cbm_array_free(&cx->owned);
    cbm_text_free(&cx->explanation);
    cbm_heap *heap = cx->heap;
    cbm_heap_give(heap, cx, sizeof *cx);
    cbm_heap_close(heap);
}

cbm_heap *cbm_context_heap(cbm_context *cx)
{
    return cx->heap;
}

/* ---- errors ---- */

cbm_status cbm_context_status(const cbm_context *cx)
{
    return cx->status;
}

const char *cbm_message(const cbm_context *cx)
{
    return cx->message;
}

/* What was recorded since the last evaluation goes with the error: half a step must not happen later. */
void cbm_clear(cbm_context *cx)
{
    if (cx->broken)
        return;
    if (cx->status != CBM_OK && !cx->pending_evaluating) {
        cbm_rollback(cx);
        cbm_drop_pending(cx);
    }
    cx->status = CBM_OK;
    cx->located = false;
    cx->message[0] = 0;
    __atomic_store_n(&cx->cancelled, 0, __ATOMIC_RELAXED);
}

cbm_status cbm_fail_v(cbm_context *cx, cbm_status status, const char *format, va_list arguments)
{
    if (cx->status != CBM_OK || status == CBM_OK)
        return cx->status;
    cx->status = status;
    cx->located = false;
    cbm_format_v(cx->message, sizeof cx->message, format, arguments);
    cbm_context_log(cx, CBM_LOG_ERROR, "%s", cx->message);
    return status;
}

cbm_status cbm_fail(cbm_context *cx, cbm_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    cbm_status result = cbm_fail_v(cx, status, format, arguments);
    va_end(arguments);
    return result;
}

cbm_status cbm_fail_memory(cbm_context *cx, const char *what)
{
    return cbm_fail(cx, CBM_ERROR_MEMORY,
                    "no memory for %s. HINT: end the scope, cbm_clear, cbm_trim, and try a smaller batch", what);
}

void cbm_locate(cbm_context *cx, const char *file, int line)
{
    if (cx->status == CBM_OK || cx->located || cx->broken || !file)
        return;
    size_t length = strlen(cx->message);
    snprintf(cx->message + length, sizeof cx->message - length, " (at %s:%d)", file, line);
    cx->located = true;
}

cbm_status cbm_close_error(cbm_context *cx)
{
    if (cx->status != CBM_OK && !cx->broken)
        cx->located = true;
    return cx->status;
}

void cbm_context_log(cbm_context *cx, cbm_log_level level, const char *format, ...)
{
    if (!cx->log)
        return;
    char line[CBM_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    cbm_format_v(line, sizeof line, format, arguments);
    va_end(arguments);
    cx->log(level, line, cx->log_user);
}

void cbm_cancel(cbm_context *cx)
{
    if (!cx->broken)
        __atomic_store_n(&cx->cancelled, 1, __ATOMIC_RELAXED);
}

void cbm_fail_unready(cbm_context *cx)
{
    if (cx->status == CBM_OK)
        cbm_fail(cx, CBM_ERROR_STATE, "[context] opened before a fork. HINT: open a new context in the child process");
}

void cbm_fail_unusable(cbm_context *cx, const cbm_tensor *t)
{
    if (!cbm_context_ready(cx))
        return;
    if (!t)
        cbm_fail(cx, CBM_ERROR_INVALID, "[tensor] an operand is NULL");
    else if (t->dead)
        cbm_fail(cx, CBM_ERROR_STATE,
                 "[tensor] used after the end of its scope. HINT: cbm_set or cbm_scope_end_with keep it");
    else if (t->cx != cx)
        cbm_fail(cx, CBM_ERROR_INVALID, "[tensor] an operand belongs to another context");
    else if (t->failed)
        cbm_fail(cx, CBM_ERROR_STATE, "[tensor] an operand is the result of a failed operation");
}

/* ---- objects that live until cbm_close ---- */

bool cbm_context_own(cbm_context *cx, void *object, void (*destroy)(void *object))
{
    cbm_owned o = { object, destroy };
    if (!cx->broken && cbm_array_push(&cx->owned, &o))
        return true;
    cbm_fail_memory(cx, "an object of the context");
    return false;
}

void cbm_context_disown(cbm_context *cx, void *object)
{
    for (size_t i = cx->owned.count; i-- > 0;)
        if (CBM_AT(&cx->owned, cbm_owned, i).object == object) {
            cbm_owned *at = &CBM_AT(&cx->owned, cbm_owned, i);
            memmove(at, at + 1, (cx->owned.count - i - 1) * sizeof *at);
            cx->owned.count--;
            return;
        }
}

/* ---- random numbers ---- */

void cbm_random_draw(cbm_context *cx, int64_t count, uint64_t *seed, uint64_t *position)
{
    (void)count; /* a position is a whole stream of 2^64 blocks */
    *seed = cx->seed;
    *position = cx->position++;
}

void cbm_seed(cbm_context *cx, uint64_t seed)
{
    cbm_set_random_state(cx, seed, 0);
}

void cbm_random_state(const cbm_context *cx, uint64_t *seed, uint64_t *position)
{
    *seed = cx->seed;
    *position = cx->position;
}

void cbm_set_random_state(cbm_context *cx, uint64_t seed, uint64_t position)
{
    if (cx->broken)
        return;
    cx->seed = seed;
    cx->position = cx->committed_position = position;
}

/* ---- variables: forward or back, together ---- */

static cbm_tensor *take_dirty(cbm_context *cx)
{
    cbm_tensor *t = cx->dirty;
    if (t) {
        cx->dirty = t->next_dirty;
        t->next_dirty = NULL;
        t->dirty = false;
    }
    return t;
}

void cbm_commit(cbm_context *cx)
{
    for (cbm_tensor *t; (t = take_dirty(cx));) {
        cbm_slot_set(&t->committed, t->value);
        cbm_slot_set(&t->gradient_committed, t->gradient);
    }
    cx->committed_position = cx->position;
}

void cbm_rollback(cbm_context *cx)
{
    for (cbm_tensor *t; (t = take_dirty(cx));) {
        if (t->committed)
            cbm_slot_set(&t->value, t->committed);
        cbm_slot_set(&t->gradient, t->gradient_committed);
    }
    cx->position = cx->committed_position;
}

/* ---- what a context tells about itself ---- */

cbm_statistics cbm_context_statistics(const cbm_context *cx)
{
    cbm_statistics s = cx->statistics;
    if (cx->heap)
        cbm_heap_statistics(cx->heap, &s);
    s.nodes_pending = (uint64_t)cx->pending;
    return s;
}

void cbm_reset_peak(cbm_context *cx)
{
    if (cx->heap)
        cbm_heap_reset_peak(cx->heap);
}

const char *cbm_precision_name(cbm_precision precision)
{
    return precision == CBM_PRECISION_F32 ? "f32" : precision == CBM_PRECISION_BF16 ? "bf16" : "";
}

cbm_precision cbm_context_precision(const cbm_context *cx)
{
    return cx->scope ? (cbm_precision)cx->scope->precision : CBM_PRECISION_F32;
}

int64_t cbm_context_threads(const cbm_context *cx)
{
    return cx->threads;
}
