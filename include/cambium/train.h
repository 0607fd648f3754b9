/* train.h: the training loop: epochs over a loader, metrics, validation, run directories, resuming; and evaluation. */
#ifndef CAMBIUM_TRAIN_H
#define CAMBIUM_TRAIN_H

#include <cambium/average.h>
#include <cambium/data.h>
#include <cambium/io.h>
#include <cambium/nn.h>
#include <cambium/schedule.h>

CBM_BEGIN_DECLS

/* What a batch costs: records the loss (one element). *prediction may be set to the logits, whose largest entry is
   compared with the targets for the error rate; left NULL: no error rate. */
typedef cbm_tensor *(*cbm_loss_fn)(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction, void *user);
/* The usual one: cross entropy of the logits. */
CBM_API cbm_tensor *cbm_loss_cross_entropy(cbm_module *net, const cbm_batch *batch, cbm_tensor **prediction,
                                           void *user);

/* Where training stands, after a step. */
typedef struct cbm_progress {
    int64_t epoch, epochs;   /* epoch counts from 1 */
    int64_t step, steps;     /* within the epoch */
    int64_t total_steps;     /* done since training began, resumed parts included */
    double loss;             /* of this step */
    double mean_loss;        /* of the epoch so far */
    double steps_per_second; /* lately */
    double seconds_left;     /* estimate for all of training */
    double learning_rate;
} cbm_progress;

/* An epoch's result: a line of metrics.jsonl. Absent numbers are NaN. */
typedef struct cbm_epoch {
    int64_t epoch, epochs;
    int64_t total_steps;
    double train_loss, train_error;           /* averages while training, dropout and all; error in [0, 1] */
    double validation_loss, validation_error; /* after the epoch, in evaluation mode */
    double learning_rate;                     /* at the end of the epoch */
    double seconds;                           /* of training */
    double samples_per_second;
    int64_t loader_batches, loader_waits; /* batches since the epoch began or was resumed; of them, those waited for */
    double loader_wait_seconds;
} cbm_epoch;

typedef struct cbm_fit_options {
    uint64_t struct_size;
    cbm_optimizer *optimizer CBM_DEFAULT(NULL); /* required */
    cbm_loader *train CBM_DEFAULT(NULL);        /* required */
    cbm_loader *validation CBM_DEFAULT(NULL);
    cbm_schedule *schedule CBM_DEFAULT(NULL); /* moved on after each step; one that follows a measure observes the
                                                 validation's loss after each epoch, or without one the training's */
    /* Updated after each step. Once there are averaged weights, validation uses them, and model.safetensors holds them. */
    cbm_average *average CBM_DEFAULT(NULL);
    cbm_loss_fn loss CBM_DEFAULT(NULL); /* NULL: cbm_loss_cross_entropy */
    void *loss_user CBM_DEFAULT(NULL);
    int64_t epochs CBM_DEFAULT(1);
    int64_t max_steps CBM_DEFAULT(0); /* stop after so many steps in all; 0: no limit */
    double clip_norm CBM_DEFAULT(0);  /* > 0: cbm_clip_grad_norm before each step */
    /* The run directory: made if needed; NULL: nothing is written. Holds config.json, metrics.jsonl (a line an epoch),
       model.safetensors, checkpoints/last.ckpt (after each epoch, and when stopped). */
    const char *directory CBM_DEFAULT(NULL);
    const char *config CBM_DEFAULT(NULL); /* a JSON object, the run's settings, stored in config.json */
    uint64_t resume CBM_DEFAULT(0);       /* 1: go on from directory's checkpoint, bit for bit */
    uint64_t overwrite CBM_DEFAULT(0);    /* 1: replace the run that directory holds; otherwise that is an error */
    /* Called after each step and each epoch; NULL: not. Returning false asks to stop: a checkpoint is written. */
    bool (*on_step)(const cbm_progress *progress, void *user) CBM_DEFAULT(NULL);
    bool (*on_epoch)(const cbm_epoch *epoch, void *user) CBM_DEFAULT(NULL);
    void *user CBM_DEFAULT(NULL);
} cbm_fit_options;

typedef enum cbm_fit_end {
    CBM_FIT_DONE = 0,
    CBM_FIT_STOPPED = 1,  /* by cbm_cancel or a callback; saved if there is a directory */
    CBM_FIT_DIVERGED = 2, /* the loss was not finite; the network holds its last good values; the message explains */
    CBM_FIT_FAILED = 3
} cbm_fit_end;

typedef struct cbm_fit_result {
    cbm_fit_end end;
    int64_t epochs_done, total_steps;
    cbm_epoch last; /* the last finished epoch; epoch 0 and NaN if none */
    double seconds;
    char explanation[1024]; /* for stopped and diverged: what happened, and what to do; "" otherwise */
} cbm_fit_result;

CBM_API void cbm_fit_options_init(cbm_fit_options *options);
/* Trains net. CBM_OK when done; CBM_ERROR_CANCELLED when stopped and CBM_ERROR_RANGE when diverged (in both cases the
   context itself is clear again); otherwise the context's error. result may be NULL. */
CBM_API cbm_status cbm_fit_with(cbm_module *net, const cbm_fit_options *options, cbm_fit_result *result);

typedef struct cbm_evaluation {
    int64_t samples;
    double loss;     /* average over samples */
    double accuracy; /* in [0, 1]; NaN without prediction */
    double seconds;
} cbm_evaluation;
/* One pass over the loader in evaluation mode without gradients; the modes are put back. loss NULL: cross entropy. */
CBM_API cbm_status cbm_evaluate(cbm_module *net, cbm_loader *loader, cbm_loss_fn loss, void *user, cbm_evaluation *out);

/* Running statistics of all batch norms of net anew, as they are with its present weights: one pass over the loader in
   training mode without gradients, and then the mean of what the batches say. For averaged weights after swapping them
   in. The loader goes back to where it was, modes too. All or nothing. Without batch norms nothing happens. */
CBM_API cbm_status cbm_update_batch_norm(cbm_module *net, cbm_loader *loader);

/* Looks where non-finite numbers come from: parameters first, then each layer's output for this batch, and writes a
   sentence into text. true if something was found. */
CBM_API bool cbm_explain_non_finite(cbm_module *net, const cbm_batch *batch, cbm_loss_fn loss, void *user, char *text,
                                    size_t size);

/* A run directory's metrics, read back: up to capacity lines into out; returns how many there are, -1 on error. */
CBM_API int64_t cbm_metrics_read(cbm_context *cx, const char *directory, cbm_epoch *out, int64_t capacity);

CBM_END_DECLS

#ifndef __cplusplus
#define CBM_FIT_DEFAULTS .epochs = 1, .user = NULL
/* cbm_fit(net, &result, .optimizer = opt, .train = loader, .epochs = 3) */
#define cbm_fit(...) CBM_FIT_(__VA_ARGS__, .struct_size = sizeof(cbm_fit_options))
#define CBM_FIT_(net, result, ...)                                                                                     \
    CBM_OPTIONS_(cbm_fit_options, cbm_fit_with(net, &cbm_o_, result), CBM_FIT_DEFAULTS, __VA_ARGS__)
#else
static inline cbm_status cbm_fit(cbm_module *net, cbm_fit_result *result, const cbm_fit_options &options = {})
{
    cbm_fit_options o = options;
    o.struct_size = sizeof o;
    return cbm_fit_with(net, &o, result);
}
#endif

#endif
