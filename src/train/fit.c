/* fit.c: the training loop. Every step is all or nothing, so a run that is stopped or diverges in the middle of one is put
   back to the end of the step before: weights, optimizer, random numbers and the loader's position agree. */
#include "nn/parts.h"
#include "train/run.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct fit {
    cbm_context *cx;
    cbm_module *net;
    const cbm_fit_options *o;
    cbm_loss_fn loss;
    cbm_run run;
    cbm_checkpoint parts;
    cbm_run_state state;
    cbm_fit_result *result;
    int64_t steps;       /* of an epoch */
    double rate;         /* steps a second, lately */
    double last_time;    /* when the last step ended */
    cbm_loading loading; /* when the epoch began, or was gone on with */
    bool stop;
} fit;

typedef enum verdict { GO_ON, STOP, DIVERGED, FAILED } verdict;

void cbm_fit_options_init(cbm_fit_options *o)
{
    *o = (cbm_fit_options){ .struct_size = sizeof *o, CBM_FIT_DEFAULTS };
}

/* ---- one step ---- */

/* Where random numbers and loader stood before a step. */
typedef struct mark {
    uint64_t seed, position;
    cbm_loader_position loader;
} mark;

static mark take_mark(const fit *f)
{
    mark m = { .loader = cbm_loader_state(f->o->train) };
    cbm_random_state(f->cx, &m.seed, &m.position);
    return m;
}

static void go_back(const fit *f, const mark *m)
{
    cbm_set_random_state(f->cx, m->seed, m->position);
    cbm_loader_set_state(f->o->train, &m->loader);
}

static void report_progress(fit *f, double loss)
{
    double now = cbm_seconds();
    double took = now - f->last_time;
    f->last_time = now;
    f->state.seconds += took;
    double rate = took > 0 ? 1 / took : f->rate;
    f->rate = f->rate > 0 ? 0.95 * f->rate + 0.05 * rate : rate;
    if (!f->o->on_step)
        return;
    int64_t left = (f->o->epochs - f->state.epoch) * f->steps - f->state.step;
    if (f->o->max_steps > 0 && f->o->max_steps - f->state.total_steps < left)
        left = f->o->max_steps - f->state.total_steps;
    cbm_progress p = { .epoch = f->state.epoch + 1,
                       .epochs = f->o->epochs,
                       .step = f->state.step,
                       .steps = f->steps,
                       .total_steps = f->state.total_steps,
                       .loss = loss,
                       .mean_loss = f->state.loss_sum / f->state.samples,
                       .steps_per_second = f->rate,
                       .seconds_left = f->rate > 0 ? (double)left / f->rate : NAN,
                       .learning_rate = cbm_learning_rate(f->o->optimizer) };
    if (!f->o->on_step(&p, f->o->user))
        f->stop = true;
}

static verdict judge(const fit *f)
{
    if (cbm_context_status(f->cx) == CBM_ERROR_CANCELLED)
        return STOP;
    return cbm_failed_by_loss(f->cx) ? DIVERGED : FAILED;
}

/* What must happen now even if asked to stop in the middle of it. */
static bool surely(fit *f, cbm_status (*act)(cbm_average *average))
{
    while (act(f->o->average) != CBM_OK) {
        if (cbm_context_status(f->cx) != CBM_ERROR_CANCELLED)
            return false;
        cbm_clear(f->cx);
        f->stop = true;
    }
    return true;
}

static verdict train_batch(fit *f, const cbm_batch *batch)
{
    CBM_SCOPE(scope, f->cx);
    cbm_tensor *prediction = NULL;
    cbm_tensor *loss = f->loss(f->net, batch, &prediction, f->o->loss_user);
    if (!loss) {
        cbm_fail(f->cx, CBM_ERROR_CALLBACK, "[fit] the loss function returned NULL");
        return FAILED;
    }
    loss = cbm_finite_loss(loss);
    int64_t judged;
    cbm_tensor *wrong = cbm_count_wrong(prediction, batch->target, &judged);
    cbm_backward(loss);
    if (f->o->clip_norm > 0)
        cbm_clip_grad_norm(f->o->optimizer, f->o->clip_norm);
    if (cbm_step(f->o->optimizer) != CBM_OK)
        return judge(f);
    double value = cbm_item(loss);
    double missed = wrong ? cbm_item(wrong) : 0;
    if (cbm_context_status(f->cx) != CBM_OK)
        return judge(f);
    if (f->o->average && !surely(f, cbm_average_update))
        return FAILED;
    if (f->o->schedule)
        cbm_schedule_next(f->o->schedule);
    f->state.step++;
    f->state.total_steps++;
    f->state.loss_sum += value * (double)batch->size;
    f->state.samples += (double)batch->size;
    f->state.wrong += missed;
    f->state.judged += (double)judged;
    report_progress(f, value);
    return GO_ON;
}

static void explain_divergence(fit *f, const cbm_batch *batch)
{
    char where[600], rate[40];
    bool found = cbm_explain_non_finite(f->net, batch, f->loss, f->o->loss_user, where, sizeof where);
    snprintf(
        f->result->explanation, sizeof f->result->explanation,
        "the loss stopped being finite in step %lld of epoch %lld%s%s. That step was not taken: the network holds the "
        "values from before it. HINT: a lower learning rate (it was %s) or clipping the gradients usually helps",
        (long long)f->state.step + 1, (long long)f->state.epoch + 1, found ? "; " : "", found ? where : "",
        cbm_double_text(cbm_learning_rate(f->o->optimizer), rate, sizeof rate));
}

/* The rest of the current epoch's steps. */
static verdict train_epoch(fit *f)
{
    cbm_train(f->net);
    f->last_time = cbm_seconds();
    f->loading = cbm_loader_statistics(f->o->train);
    while (!f->state.trained) {
        if (f->o->max_steps > 0 && f->state.total_steps >= f->o->max_steps)
            return GO_ON;
        if (f->stop)
            return STOP;
        mark before = take_mark(f);
        cbm_batch batch;
        if (!cbm_next(f->o->train, &batch)) {
            if (cbm_context_status(f->cx) != CBM_OK)
                return FAILED;
            f->state.trained = true;
            break;
        }
        verdict v = train_batch(f, &batch);
        if (v == GO_ON)
            continue;
        if (v == FAILED)
            return v;
        cbm_clear(f->cx);
        cbm_zero_grad(f->o->optimizer);
        cbm_set_random_state(f->cx, before.seed, before.position);
        if (v == DIVERGED)
            explain_divergence(f, &batch);
        go_back(f, &before);
        return v;
    }
    return GO_ON;
}

/* ---- one epoch ---- */

static cbm_epoch summarise(const fit *f, const cbm_evaluation *e)
{
    const cbm_run_state *s = &f->state;
    cbm_loading now = cbm_loader_statistics(f->o->train);
    return (cbm_epoch){ .epoch = s->epoch + 1,
                        .epochs = f->o->epochs,
                        .total_steps = s->total_steps,
                        .train_loss = s->samples > 0 ? s->loss_sum / s->samples : NAN,
                        .train_error = s->judged > 0 ? s->wrong / s->judged : NAN,
                        .validation_loss = e->loss,
                        .validation_error = 1 - e->accuracy,
                        .learning_rate = cbm_learning_rate(f->o->optimizer),
                        .seconds = s->seconds,
                        .samples_per_second = s->seconds > 0 ? s->samples / s->seconds : NAN,
                        .loader_batches = now.batches - f->loading.batches,
                        .loader_waits = now.waits - f->loading.waits,
                        .loader_wait_seconds = now.wait_seconds - f->loading.wait_seconds };
}

static verdict save(fit *f)
{
    if (!f->o->directory || cbm_run_save(&f->run, &f->parts, &f->state) == CBM_OK)
        return GO_ON;
    if (cbm_context_status(f->cx) != CBM_ERROR_CANCELLED)
        return FAILED;
    cbm_clear(f->cx); /* asked to stop while saving: save first */
    f->stop = true;
    return cbm_run_save(&f->run, &f->parts, &f->state) == CBM_OK ? GO_ON : FAILED;
}

/* With the averaged weights, once there are some. */
static verdict validate(fit *f, cbm_evaluation *e)
{
    bool averaged = cbm_average_updates(f->o->average) > 0;
    if (averaged && !surely(f, cbm_average_swap))
        return FAILED;
    verdict v = GO_ON;
    if (cbm_evaluate(f->net, f->o->validation, f->loss, f->o->loss_user, e) != CBM_OK) {
        v = cbm_context_status(f->cx) == CBM_ERROR_CANCELLED ? STOP : FAILED;
        if (v == STOP)
            cbm_clear(f->cx);
    }
    return averaged && v != FAILED && !surely(f, cbm_average_swap) ? FAILED : v;
}

static verdict finish_epoch(fit *f)
{
    cbm_evaluation e = { .loss = NAN, .accuracy = NAN };
    verdict v = f->o->validation ? validate(f, &e) : GO_ON;
    if (v != GO_ON)
        return v;
    cbm_epoch epoch = summarise(f, &e);
    if (json_array_append_new(f->state.metrics, cbm_epoch_to_json(&epoch)) != 0) {
        cbm_fail_memory(f->cx, "the metrics");
        return FAILED;
    }
    f->result->last = epoch;
    cbm_schedule_observe(f->o->schedule, isnan(e.loss) ? epoch.train_loss : e.loss);
    json_t *metrics = f->state.metrics;
    int64_t done = f->state.epoch + 1, total = f->state.total_steps;
    f->state = (cbm_run_state){ .epoch = done, .total_steps = total, .metrics = metrics };
    if (save(f) != GO_ON)
        return FAILED;
    if (f->o->on_epoch && !f->o->on_epoch(&epoch, f->o->user))
        f->stop = true;
    return cbm_context_status(f->cx) == CBM_OK ? GO_ON : FAILED;
}

static bool enough(const fit *f)
{
    return f->state.epoch >= f->o->epochs || (f->o->max_steps > 0 && f->state.total_steps >= f->o->max_steps);
}

static verdict run_epochs(fit *f)
{
    while (!enough(f) || f->state.trained) {
        verdict v = train_epoch(f);
        if (v == GO_ON && f->state.trained)
            v = finish_epoch(f);
        if (v == GO_ON && f->stop && !enough(f))
            v = STOP;
        if (v != GO_ON)
            return v;
    }
    if (f->state.step > 0) /* max_steps ended it within an epoch */
        return save(f);
    return GO_ON;
}

/* ---- beginning and end ---- */

static cbm_status check_options(cbm_module *net, const cbm_fit_options *o)
{
    cbm_context *cx = net->cx;
    if (!cbm_context_ready(cx))
        return cbm_context_status(cx);
    if (net->failed)
        return cbm_fail(cx, CBM_ERROR_STATE, "[fit] the network is a failed one");
    if (!o || o->struct_size != sizeof *o)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[fit] the options are not this library's. HINT: cbm_fit_options_init");
    if (!o->optimizer || !o->train)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[fit] needs .optimizer and .train");
    if (cbm_average_swapped(o->average))
        return cbm_fail(cx, CBM_ERROR_STATE, "[fit] the averages are in the network. HINT: cbm_average_swap");
    if (o->epochs < 1 || o->max_steps < 0 || !(o->clip_norm >= 0))
        return cbm_fail(cx, CBM_ERROR_INVALID, "[fit] epochs must be at least 1, max_steps and clip_norm not negative");
    return CBM_OK;
}

static bool begin(fit *f)
{
    if (cbm_flush(f->cx) != CBM_OK) /* initial values must not go down with a first step that fails */
        return false;
    f->state.metrics = json_array();
    if (!f->state.metrics) {
        cbm_fail_memory(f->cx, "the metrics");
        return false;
    }
    if (!f->o->directory) {
        if (f->o->resume)
            cbm_fail(f->cx, CBM_ERROR_INVALID, "[fit] resuming needs .directory");
        return !f->o->resume;
    }
    if (cbm_run_open(&f->run, f->cx, f->o->directory, f->o->config, f->o->resume != 0, f->o->overwrite != 0) != CBM_OK)
        return false;
    if (!f->o->resume)
        return true;
    if (cbm_run_load(&f->run, &f->parts, &f->state) != CBM_OK)
        return false;
    size_t epochs = json_array_size(f->state.metrics);
    if (epochs > 0)
        cbm_epoch_from_json(json_array_get(f->state.metrics, epochs - 1), &f->result->last);
    return true;
}

static cbm_status end(fit *f, verdict v)
{
    cbm_fit_result *r = f->result;
    if (v == STOP) {
        bool saved = f->o->directory && save(f) == GO_ON;
        if (f->o->directory && !saved)
            v = FAILED;
        snprintf(r->explanation, sizeof r->explanation, "stopped after step %lld of epoch %lld%s%.600s",
                 (long long)f->state.step, (long long)f->state.epoch + 1,
                 saved ? "; all is saved, and resuming goes on from there: "
                       : "; nothing was saved: no directory was named",
                 saved ? f->run.directory : "");
    }
    r->end = v == GO_ON      ? CBM_FIT_DONE
             : v == STOP     ? CBM_FIT_STOPPED
             : v == DIVERGED ? CBM_FIT_DIVERGED
                             : CBM_FIT_FAILED;
    r->epochs_done = f->state.epoch;
    r->total_steps = f->state.total_steps;
    json_decref(f->state.metrics);
    return v == STOP ? CBM_ERROR_CANCELLED : v == DIVERGED ? CBM_ERROR_RANGE : cbm_context_status(f->cx);
}

cbm_status cbm_fit_with(cbm_module *net, const cbm_fit_options *o, cbm_fit_result *result)
{
    cbm_fit_result unused;
    cbm_fit_result *r = result ? result : &unused;
    memset(r, 0, sizeof *r);
    r->end = CBM_FIT_FAILED;
    r->last = (cbm_epoch){ .train_loss = NAN, .train_error = NAN, .validation_loss = NAN, .validation_error = NAN };
    if (!net || !net->cx)
        return CBM_ERROR_INVALID;
    if (check_options(net, o) != CBM_OK)
        return cbm_context_status(net->cx);
    double start = cbm_seconds();
    fit f = { .cx = net->cx, .net = net, .o = o, .result = r };
    f.loss = o->loss ? o->loss : cbm_loss_cross_entropy;
    f.parts = (cbm_checkpoint){
        .module = net, .optimizer = o->optimizer, .schedule = o->schedule, .loader = o->train, .average = o->average
    };
    f.steps = cbm_loader_batches(o->train);
    size_t count;
    bool *modes = cbm_modes_take(net, &count);
    if (!modes)
        return cbm_context_status(net->cx);
    verdict v = begin(&f) ? run_epochs(&f) : FAILED;
    cbm_modes_put_back(net, modes, count);
    cbm_status status = end(&f, v);
    r->seconds = cbm_seconds() - start;
    return status;
}
