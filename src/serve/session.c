/* session.c: workers, each a context with the network, over one set of weights. The first worker owns the memory; the others
   share it, and through a pool what plans keep. Rests on nn/, io/ and POSIX threads. */
#include "plan/kept_pool.h"
#include "tensor/context.h"
#include <cambium/io.h>
#include <cambium/session.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_WORKERS = 1024, ALIGNMENT = 64 };

typedef struct worker {
    cbm_context *cx;
    cbm_module *network;
    void *input; /* requests that do not serve as they lie are copied here */
    size_t room;
    bool busy;
} worker;

struct cbm_session {
    cbm_session_options options;
    cbm_kept_pool *pool;
    int64_t count;
    worker *workers;
    pthread_mutex_t lock; /* over busy and numbers */
    pthread_cond_t free;
    cbm_session_numbers numbers;
    cbm_status status;
    char message[256];
};

static cbm_session no_session = { .status = CBM_ERROR_MEMORY, .message = "[session] no memory for a session" };

/* ---- opening ---- */

/* Keeps the first error of opening. */
static bool failed(cbm_session *s, cbm_status status, const char *message)
{
    if (s->status == CBM_OK) {
        s->status = status;
        snprintf(s->message, sizeof s->message, "%.*s", (int)sizeof s->message - 1, message);
    }
    return false;
}

static bool good(cbm_session *s, const cbm_context *cx)
{
    return cbm_context_status(cx) == CBM_OK || failed(s, cbm_context_status(cx), cbm_message(cx));
}

static cbm_shape with_batch(const cbm_shape *sample, int64_t batch)
{
    cbm_shape shape = { { sample->v[0] + 1, batch } };
    for (int64_t i = 1; i <= sample->v[0]; i++)
        shape.v[1 + i] = sample->v[i];
    return shape;
}

static bool check_options(cbm_session *s, cbm_make_fn make)
{
    const cbm_session_options *o = &s->options;
    const int64_t buckets = o->batches.v[0];
    if (!make)
        return failed(s, CBM_ERROR_INVALID, "[session] the function that makes the network is NULL");
    if (o->workers < 0 || o->workers > MOST_WORKERS || o->threads < 0)
        return failed(s, CBM_ERROR_INVALID, "[session] the number of workers must be 0 to 1024, of threads 0 or more");
    if (o->network && o->weights)
        return failed(s, CBM_ERROR_INVALID, "[session] weights come from a network or from a file, not from both");
    if (o->network && (o->network->failed || !o->network->cx))
        return failed(s, CBM_ERROR_STATE, "[session] the trained network is a failed one");
    if (buckets < 0 || buckets > CBM_MAX_DIMS || cbm_dtype_size((cbm_dtype)o->input_dtype) == 0)
        return failed(s, CBM_ERROR_INVALID, "[session] batches or input_dtype is not valid");
    for (int64_t i = 1; i <= buckets; i++)
        if (o->batches.v[i] < 1 || (i > 1 && o->batches.v[i] <= o->batches.v[i - 1]))
            return failed(s, CBM_ERROR_INVALID, "[session] batches must be positive and increasing");
    if (cbm_shape_count(&o->input) < 0 || o->input.v[0] >= CBM_MAX_DIMS)
        return failed(s, CBM_ERROR_SHAPE, "[session] the shape of an input is not valid");
    return true;
}

/* Samples as a batch of so many: the caller's memory where it lies if it serves as it is, else a copy filled up with zeros. */
static cbm_tensor *as_batch(const cbm_session *s, worker *w, const void *input, int64_t samples, int64_t batch,
                            const cbm_shape *sample)
{
    const cbm_dtype dtype = (cbm_dtype)s->options.input_dtype;
    const cbm_shape shape = with_batch(sample, batch);
    const size_t row = (size_t)cbm_shape_count(sample) * cbm_dtype_size(dtype), bytes = (size_t)batch * row;
    if (samples == batch && (uintptr_t)input % ALIGNMENT == 0)
        return cbm_tensor_borrow(w->cx, dtype, shape, (void *)(uintptr_t)input, NULL, NULL);
    if (bytes > w->room) {
        free(w->input);
        w->room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        w->input = aligned_alloc(ALIGNMENT, w->room);
        if (!w->input) {
            w->room = 0;
            cbm_fail_memory(w->cx, "a request");
            return NULL;
        }
    }
    if (samples && row)
        memcpy(w->input, input, (size_t)samples * row);
    if (bytes)
        memset((char *)w->input + (size_t)samples * row, 0, bytes - (size_t)samples * row);
    return cbm_tensor_borrow(w->cx, dtype, shape, w->input, NULL, NULL);
}

static cbm_tensor *zeros(const cbm_session *s, worker *w, int64_t batch)
{
    return as_batch(s, w, NULL, 0, batch, &s->options.input);
}

static bool open_network(cbm_session *s, worker *w, cbm_make_fn make, void *user)
{
    const cbm_session_options *o = &s->options;
    w->network = make(w->cx, user);
    if (!good(s, w->cx))
        return false;
    if (!w->network || w->network->failed || w->network->cx != w->cx)
        return failed(s, CBM_ERROR_CALLBACK, "[session] the network was not made in the context given for it");
    cbm_eval(w->network);
    cbm_module_set_trainable(w->network, false);
    if (w == s->workers && o->network)
        cbm_module_share(w->network, o->network);
    if (w == s->workers && o->weights)
        cbm_load(w->network, o->weights);
    if (o->fold && o->batches.v[0] > 0) {
        CBM_NO_GRAD(scope, w->cx);
        cbm_nn_fold_batch_norm(w->network, zeros(s, w, o->batches.v[1]), NULL);
    }
    if (w != s->workers)
        cbm_module_share(w->network, s->workers[0].network);
    cbm_flush(w->cx);
    return good(s, w->cx);
}

/* Makes a plan for each bucket, and what it keeps. */
static bool warm(cbm_session *s, worker *w)
{
    for (int64_t i = 1; i <= s->options.batches.v[0] && cbm_context_status(w->cx) == CBM_OK; i++) {
        CBM_NO_GRAD(scope, w->cx);
        cbm_tensor *y = cbm_call(w->network, zeros(s, w, s->options.batches.v[i]));
        if (cbm_tensor_rank(y) < 1 || cbm_tensor_size(y, 0) != s->options.batches.v[i])
            cbm_fail(w->cx, CBM_ERROR_SHAPE,
                     "[session] the network's output has no batch axis, so requests cannot be filled up");
        cbm_compute(&y, 1);
    }
    return good(s, w->cx);
}

static bool open_worker(cbm_session *s, worker *w, cbm_make_fn make, void *user)
{
    const cbm_session_options *o = &s->options;
    w->cx = cbm_open_with(.device = o->device, .threads = o->threads, .memory_limit = o->memory_limit,
                          .precision = o->precision);
    if (!good(s, w->cx))
        return false;
    w->cx->kept_pool = s->pool;
    return open_network(s, w, make, user) && warm(s, w);
}

void cbm_session_options_init(cbm_session_options *o)
{
    *o = (cbm_session_options){ .struct_size = sizeof *o, CBM_SESSION_DEFAULTS };
}

cbm_session *cbm_session_open_with(cbm_make_fn make, void *user, const cbm_session_options *options)
{
    cbm_session *s = calloc(1, sizeof *s);
    if (!s)
        return &no_session;
    cbm_session_options_init(&s->options);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->free, NULL);
    if (options && options->struct_size != sizeof *options)
        failed(s, CBM_ERROR_INVALID, "[session] the options are not this library's. HINT: cbm_session_options_init");
    else if (options)
        s->options = *options;
    if (s->status != CBM_OK || !check_options(s, make))
        return s;
    s->count = s->options.workers ? s->options.workers : cbm_parallel_cores();
    s->workers = calloc((size_t)s->count, sizeof *s->workers);
    s->pool = cbm_kept_pool_open();
    if (!s->workers || !s->pool)
        failed(s, CBM_ERROR_MEMORY, "[session] no memory for a session");
    for (int64_t i = 0; i < s->count && s->status == CBM_OK; i++)
        open_worker(s, &s->workers[i], make, user);
    s->numbers.workers = s->status == CBM_OK ? s->count : 0;
    return s;
}

cbm_status cbm_session_status(const cbm_session *s)
{
    return s ? s->status : CBM_ERROR_INVALID;
}

const char *cbm_session_message(const cbm_session *s)
{
    return s ? s->message : "[session] NULL";
}

static void close_worker(worker *w)
{
    cbm_close(w->cx);
    free(w->input);
}

void cbm_session_close(cbm_session *s)
{
    if (!s || s == &no_session)
        return;
    for (int64_t i = s->workers ? s->count : 0; i-- > 0;) /* the owner of the weights last */
        close_worker(&s->workers[i]);
    cbm_kept_pool_close(s->pool);
    free(s->workers);
    pthread_cond_destroy(&s->free);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* ---- workers ---- */

static worker *idle(cbm_session *s)
{
    for (int64_t i = 0; i < s->count; i++)
        if (!s->workers[i].busy)
            return &s->workers[i];
    return NULL;
}

static worker *take(cbm_session *s)
{
    pthread_mutex_lock(&s->lock);
    worker *w = idle(s);
    s->numbers.waits += w == NULL;
    while (!w) {
        pthread_cond_wait(&s->free, &s->lock);
        w = idle(s);
    }
    w->busy = true;
    pthread_mutex_unlock(&s->lock);
    return w;
}

static void give(cbm_session *s, worker *w, bool failure)
{
    const bool no_memory = cbm_context_status(w->cx) == CBM_ERROR_MEMORY;
    while (w->cx->scope != &w->cx->root)
        cbm_scope_end(w->cx->scope);
    cbm_clear(w->cx);
    if (no_memory)
        cbm_trim(w->cx);
    pthread_mutex_lock(&s->lock);
    w->busy = false;
    s->numbers.requests++;
    s->numbers.failures += failure;
    pthread_cond_signal(&s->free);
    pthread_mutex_unlock(&s->lock);
}

cbm_module *cbm_session_take(cbm_session *s)
{
    return cbm_session_status(s) == CBM_OK ? take(s)->network : NULL;
}

void cbm_session_give(cbm_session *s, cbm_module *network)
{
    for (int64_t i = 0; network && cbm_session_status(s) == CBM_OK && i < s->count; i++)
        if (s->workers[i].network == network)
            give(s, &s->workers[i], cbm_context_status(network->cx) != CBM_OK);
}

cbm_session_numbers cbm_session_statistics(cbm_session *s)
{
    if (cbm_session_status(s) != CBM_OK)
        return (cbm_session_numbers){ 0 };
    pthread_mutex_lock(&s->lock);
    cbm_session_numbers numbers = s->numbers;
    pthread_mutex_unlock(&s->lock);
    for (int64_t i = 0; i < s->count; i++)
        numbers.bytes += cbm_context_statistics(s->workers[i].cx).bytes_now;
    return numbers;
}

/* ---- requests ---- */

/* The samples that a part of a request is computed as: its own number, or the next bucket. */
static int64_t bucket_of(const cbm_session *s, int64_t samples)
{
    const cbm_shape *batches = &s->options.batches;
    for (int64_t i = 1; i <= batches->v[0]; i++)
        if (batches->v[i] >= samples)
            return batches->v[i];
    return batches->v[0] > 0 ? batches->v[batches->v[0]] : samples;
}

/* Computes samples of the request from first on, and copies their results to their place. */
static void run_part(const cbm_session *s, worker *w, cbm_request *r, const cbm_shape *sample, int64_t first,
                     int64_t samples)
{
    CBM_NO_GRAD(scope, w->cx);
    const int64_t all = r->input_shape.v[1], batch = bucket_of(s, samples);
    const size_t row = (size_t)cbm_shape_count(sample) * cbm_dtype_size((cbm_dtype)s->options.input_dtype);
    const char *input = (const char *)r->input + (size_t)first * row;
    cbm_tensor *y = cbm_call(w->network, as_batch(s, w, input, samples, batch, sample));
    if (cbm_context_status(w->cx) != CBM_OK)
        return;
    const cbm_shape shape = cbm_tensor_shape(y);
    if (shape.v[0] < 1 || shape.v[1] != batch) {
        cbm_fail(w->cx, CBM_ERROR_SHAPE, "[session] the network's output has no batch axis");
        return;
    }
    r->output_shape = shape;
    r->output_shape.v[1] = all;
    r->output_dtype = cbm_tensor_dtype(y);
    const int64_t outputs = cbm_shape_count(&r->output_shape);
    const size_t part = (size_t)(all ? outputs / all * samples : 0) * cbm_dtype_size(r->output_dtype);
    const size_t whole = (size_t)outputs * cbm_dtype_size(r->output_dtype);
    if (!r->output || r->output_size < whole) {
        cbm_fail(w->cx, CBM_ERROR_INVALID, "[session] the output needs %zu bytes, there is room for %zu", whole,
                 r->output ? r->output_size : 0);
        return;
    }
    const void *data = cbm_tensor_data(y);
    if (data && part)
        memcpy((char *)r->output + (all ? whole / (size_t)all * (size_t)first : 0), data, part);
}

static bool check_request(const cbm_session *s, cbm_request *r, cbm_shape *sample)
{
    const cbm_shape *given = &r->input_shape, *want = &s->options.input;
    const int64_t count = cbm_shape_count(given);
    bool fits = count >= 0 && given->v[0] >= 1;
    *sample = (cbm_shape){ { fits ? given->v[0] - 1 : 0 } };
    for (int64_t i = 1; fits && i < given->v[0]; i++)
        sample->v[i] = given->v[i + 1];
    if (fits && s->options.batches.v[0] > 0)
        fits = cbm_shape_equal(sample, want);
    if (fits && (r->input || count == 0))
        return true;
    r->status = fits ? CBM_ERROR_INVALID : CBM_ERROR_SHAPE;
    snprintf(r->message, sizeof r->message, "[session] %s",
             fits ? "the request has no input" : "the request's shape is not (samples, ...) of the session's inputs");
    return false;
}

cbm_status cbm_session_run(cbm_session *s, cbm_request *r)
{
    cbm_shape sample;
    if (!r)
        return CBM_ERROR_INVALID;
    r->status = cbm_session_status(s);
    r->output_shape = (cbm_shape){ { 1, 0 } };
    r->output_dtype = CBM_F32;
    snprintf(r->message, sizeof r->message, "%s", s ? s->message : "[session] NULL");
    if (r->status != CBM_OK || !check_request(s, r, &sample)) {
        if (r->output)
            memset(r->output, 0, r->output_size);
        return r->status;
    }
    worker *w = take(s);
    const int64_t samples = r->input_shape.v[1], most = bucket_of(s, samples);
    int64_t first = 0;
    do {
        const int64_t left = samples - first, part = left < most ? left : most;
        run_part(s, w, r, &sample, first, part);
        first += part;
    } while (first < samples && cbm_context_status(w->cx) == CBM_OK);
    r->status = cbm_context_status(w->cx);
    snprintf(r->message, sizeof r->message, "%.*s", (int)sizeof r->message - 1, cbm_message(w->cx));
    give(s, w, r->status != CBM_OK);
    if (r->status != CBM_OK && r->output)
        memset(r->output, 0, r->output_size);
    return r->status;
}
