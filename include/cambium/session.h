/* session.h: one trained network for many threads: a frozen model whose weights, and what kernels make of them, are held once,
   with a context for each request that runs at the same time. */
#ifndef CAMBIUM_SESSION_H
#define CAMBIUM_SESSION_H

#include <cambium/nn.h>

CBM_BEGIN_DECLS

typedef struct cbm_session cbm_session;

/* Makes the network in a context: the same one each time. Called once for each worker, from the thread that opens. */
typedef cbm_module *(*cbm_make_fn)(cbm_context *cx, void *user);

typedef struct cbm_session_options {
    uint64_t struct_size;
    /* Where the weights are: a trained network like those that make makes, of any context, which no other thread may use
       during the opening; or a safetensors file. Neither: as make initialises them. */
    cbm_module *network CBM_DEFAULT(NULL);
    const char *weights CBM_DEFAULT(NULL);
    int64_t workers CBM_DEFAULT(0); /* requests that run at the same time; 0: one for each core */
    int64_t threads CBM_DEFAULT(1); /* of each of them */
    /* Of one sample, without the batch axis, and the numbers of samples for which plans are made and weights packed while
       opening, increasing. A request of another number is computed as the next larger one, filled up with zeros; above the
       largest, in parts. No batches: requests run as they come, and a shape's first one makes its plan. */
    cbm_shape input CBM_DEFAULT({});
    cbm_shape batches CBM_DEFAULT({});
    int64_t input_dtype CBM_DEFAULT(CBM_F32);
    uint64_t fold CBM_DEFAULT(1);         /* cbm_nn_fold_batch_norm; needs batches */
    uint64_t precision CBM_DEFAULT(0);    /* a cbm_precision */
    uint64_t memory_limit CBM_DEFAULT(0); /* bytes that each worker may hold; 0: no limit */
    const char *device CBM_DEFAULT("cpu");
} cbm_session_options;
CBM_API void cbm_session_options_init(cbm_session_options *options);

/* Opens a session. Never returns NULL: one that could not be opened is a failed one, whose status and message say why and
   on which every call is harmless. The networks are in evaluation mode and their parameters frozen. */
CBM_API cbm_session *cbm_session_open_with(cbm_make_fn make, void *user, const cbm_session_options *options);
CBM_API cbm_status cbm_session_status(const cbm_session *session);
CBM_API const char *cbm_session_message(const cbm_session *session);
/* When no request runs any more. NULL is allowed. */
CBM_API void cbm_session_close(cbm_session *session);

/* A request: input (samples, ...) in, the network's output (samples, ...) out, both row-major in the caller's memory. */
typedef struct cbm_request {
    const void *input;
    cbm_shape input_shape; /* with the batch axis */
    void *output;
    size_t output_size; /* bytes that output has room for */
    /* What comes back. */
    cbm_shape output_shape;
    cbm_dtype output_dtype;
    cbm_status status;
    char message[256]; /* "" when all is well */
} cbm_request;

/* Computes a request; waits while all workers are busy. May be called from any number of threads. An error is the
   request's own: it leaves its output zero (as far as its size is known), and the session goes on. Returns the request's
   status. The same input gives the same bits in every thread and by every worker. */
CBM_API cbm_status cbm_session_run(cbm_session *session, cbm_request *request);

/* For networks of several inputs or outputs: a worker's network of one's own (its context is network->cx), until given
   back; waits while all are busy. NULL from a failed session. Giving it back ends its open scopes and clears its error. */
CBM_API cbm_module *cbm_session_take(cbm_session *session);
CBM_API void cbm_session_give(cbm_session *session, cbm_module *network);

typedef struct cbm_session_numbers {
    int64_t workers;
    int64_t requests, failures; /* so far */
    int64_t waits;              /* requests that found no worker free */
    uint64_t bytes;             /* held by the session's contexts, the shared weights included */
} cbm_session_numbers;
CBM_API cbm_session_numbers cbm_session_statistics(cbm_session *session);

CBM_END_DECLS

#ifndef __cplusplus
/* cbm_session_open(make_net, NULL, .weights = "model.safetensors", .input = CBM_SHAPE(1, 28, 28), .batches = CBM_SHAPE(1, 8)) */
#define CBM_SESSION_DEFAULTS .threads = 1, .input_dtype = CBM_F32, .fold = 1, .device = "cpu"
#define cbm_session_open(...) CBM_SESSION_OPEN_(__VA_ARGS__, .struct_size = sizeof(cbm_session_options))
#define CBM_SESSION_OPEN_(make, user, ...)                                                                             \
    CBM_OPTIONS_(cbm_session_options, cbm_session_open_with(make, user, &cbm_o_), CBM_SESSION_DEFAULTS, __VA_ARGS__)
#else
static inline cbm_session *cbm_session_open(cbm_make_fn make, void *user, const cbm_session_options &options = {})
{
    cbm_session_options o = options;
    o.struct_size = sizeof o;
    return cbm_session_open_with(make, user, &o);
}
#endif

#endif
