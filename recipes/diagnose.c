/* diagnose.c: the course's habits before and while training, as one report: gradients, the first loss, what the layers give,
   a small subset learned by heart, the size of updates, training against validation. Rests on the recipes' loop. */
#include "recipe.h"
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define SUBSET 64 /* samples that must be learned by heart */
#define SUBSET_BATCH 16
#define SUBSET_STEPS 400
#define LEARNED 0.05    /* of the subset may be wrong at the end */
#define TRAIN_MOST 5000 /* samples of the short training, and of its validation */
#define TRAIN_STEPS 300
#define LOSS_OFF 0.35    /* the first loss may differ from the expected one by this part */
#define COLLAPSED 0.05   /* times the first loss: small, for a loss */
#define LARGE_UPDATE 0.1 /* of a step, as a part of the weights; 0.001 is usual */
#define LOWER 10.0       /* times lower rates are tried when the recipe's fails */
#define LOWER_RATES 6
#define GAP 0.15    /* between training and validation error */
#define CHANCE 0.85 /* of the error of guessing: no better than that is guessing */

typedef struct doctor {
    const cbm_recipe *recipe;
    cbm_context *cx;
    const cbm_recipe_settings *s;
    void (*on_finding)(const cbm_finding *f, void *user);
    void *user;
    bool weights_learn; /* nothing speaks against the network as it is built */
} doctor;

static void tell(const doctor *d, const char *check, bool passed, const char *advice, const char *format, ...)
    CBM_PRINTF(5, 6);
static void tell(const doctor *d, const char *check, bool passed, const char *advice, const char *format, ...)
{
    cbm_finding f = { .check = check, .passed = passed, .advice = passed ? NULL : advice };
    va_list list;
    va_start(list, format);
    vsnprintf(f.text, sizeof f.text, format, list);
    va_end(list);
    d->on_finding(&f, d->user);
}

static bool well(const doctor *d)
{
    return cbm_context_status(d->cx) == CBM_OK && !(d->s->stopped && d->s->stopped());
}

static cbm_module *new_net(const doctor *d)
{
    cbm_seed(d->cx, d->s->seed);
    return cbm_recipe_model(d->recipe, d->cx, d->s, NULL);
}

static cbm_tensor *loss_of(const doctor *d, cbm_module *net, const cbm_batch *batch)
{
    cbm_tensor *prediction = NULL;
    return (d->recipe->loss ? d->recipe->loss : cbm_loss_cross_entropy)(net, batch, &prediction, NULL);
}

/* ---- gradients ---- */

typedef struct worst {
    char name[256];
    double error;
    int64_t failed, checked;
} worst;

static void on_gradient(const cbm_recipe_check *row, void *user)
{
    worst *w = user;
    w->checked++;
    if (row->passed)
        return;
    if (w->failed++ > 0)
        return;
    snprintf(w->name, sizeof w->name, "%s", row->name);
    w->error = row->max_error;
}

static void check_gradients(doctor *d)
{
    worst w = { .error = 0 };
    cbm_context *exact =
        cbm_open(&(cbm_context_options){ .struct_size = sizeof(cbm_context_options), .device = "reference" });
    cbm_status status = cbm_recipe_gradcheck(d->recipe, exact, on_gradient, &w);
    if (status != CBM_OK && w.failed == 0)
        tell(d, "gradients", false, "a parameter that the loss does not depend on cannot learn: is it used in forward?",
             "%s", cbm_message(exact));
    else
        tell(d, "gradients", w.failed == 0,
             "the gradient of an operation of your own is wrong: look for a sign, a factor, a transposition. Try it "
             "alone "
             "with cbm_gradcheck",
             w.failed ? "of %lld parameters %lld differ from central differences, the first is '%s', by %.2g"
                      : "of %lld parameters %lld differ from central differences",
             (long long)w.checked, (long long)w.failed, w.name, w.error);
    d->weights_learn = d->weights_learn && w.failed == 0 && status == CBM_OK;
    cbm_close(exact);
}

/* ---- the network before training ---- */

static void check_weights(doctor *d, cbm_module *net)
{
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(net, i, &named) && well(d); i++) {
        CBM_SCOPE(scope, d->cx);
        if (cbm_tensor_rank(named.tensor) < 2)
            continue;
        int64_t count = cbm_tensor_count(named.tensor), same = 1;
        const float *w = cbm_tensor_data(cbm_cast(named.tensor, CBM_F32));
        while (w && same < count && !(fabsf(w[same] - w[0]) > 0))
            same++;
        if (!w || same < count || count < 2)
            continue;
        d->weights_learn = false;
        tell(d, "initial weights", false,
             "units that begin equal stay equal, and behind zeros nothing learns: initialise at random, with a "
             "deviation "
             "of about 1 / sqrt(inputs of a unit) (cbm_init_kaiming_normal, cbm_init_xavier_uniform)",
             "all elements of '%s' are %g", named.name, (double)w[0]);
        return;
    }
    tell(d, "initial weights", true, NULL, "%lld parameters, %lld elements", (long long)cbm_parameter_count(net),
         (long long)cbm_parameter_elements(net));
}

static void check_first_loss(const doctor *d, cbm_module *net, const cbm_batch *batch)
{
    CBM_NO_GRAD(scope, d->cx);
    double loss = cbm_item(loss_of(d, net, batch)), expected = log((double)d->recipe->classes);
    if (cbm_context_status(d->cx) != CBM_OK)
        return;
    if (d->recipe->loss || d->recipe->classes < 2)
        tell(d, "first loss", isfinite(loss), "look at the inputs and the loss: something is not finite", "%.4g", loss);
    else
        tell(d, "first loss", fabs(loss - expected) <= LOSS_OFF * expected,
             "an untrained network should guess: are the last layer's weights too large, the inputs not normalised, or "
             "does "
             "the network end in softmax although cross entropy expects logits?",
             "%.3f; guessing among %lld classes costs %.3f", loss, (long long)d->recipe->classes, expected);
}

typedef struct chain {
    const doctor *d;
    const cbm_tensor *end;  /* what a weighted layer gave, or a layer behind it that is linear itself */
    char from[256];         /* that weighted layer */
    int64_t gaps, weighted; /* pairs without a non-linearity between them */
    char first[256], second[256];
} chain;

static bool is_one_of(const char *type, const char *const *list)
{
    for (; type && *list; list++)
        if (strcmp(type, *list) == 0)
            return true;
    return false;
}

static void follow(const char *name, cbm_module *m, cbm_tensor *input, cbm_tensor *output, void *user)
{
    static const char *const weighted[] = { "linear", "conv1d", "conv2d", "conv3d", NULL };
    static const char *const linear[] = {
        "flatten",  "dropout", "dropout2d", "avg_pool2d", "batch_norm1d", "batch_norm2d", "adaptive_avg_pool2d",
        "identity", NULL
    };
    chain *c = user;
    if (cbm_child_count(m) > 0)
        return;
    bool has_weights = is_one_of(m->type, weighted), goes_on = input == c->end;
    if (has_weights && goes_on && c->gaps++ == 0) {
        memcpy(c->first, c->from, sizeof c->first);
        snprintf(c->second, sizeof c->second, "%s", name);
    }
    c->weighted += has_weights;
    if (has_weights)
        snprintf(c->from, sizeof c->from, "%s", name);
    c->end = has_weights || (goes_on && is_one_of(m->type, linear)) ? output : NULL;
}

static void check_non_linearity(doctor *d, cbm_module *net, const cbm_batch *batch)
{
    CBM_NO_GRAD(scope, d->cx);
    chain c = { .d = d };
    cbm_call_watched(net, batch->input, follow, &c);
    if (!well(d))
        return;
    if (c.gaps > 0)
        tell(d, "non-linearity", false, "two linear layers in a row are worth one: put a cbm_nn_relu between them",
             "'%s' is followed by '%s' without a non-linearity between them", c.first, c.second);
    else
        tell(d, "non-linearity", true, NULL, "%lld weighted layers", (long long)c.weighted);
}

typedef struct layers {
    const doctor *d;
    const char *check;
    int64_t seen, bad;
} layers;

static void on_layer(const cbm_layer_look *look, void *user)
{
    layers *l = user;
    char text[200];
    l->seen++;
    if (!cbm_look_verdict(look, text, sizeof text) || l->bad++ > 2) /* three are enough to see what it is */
        return;
    const char *advice =
        look->saturated > 0.5
            ? "smaller initial weights or normalised inputs, relu in the place of sigmoid or tanh, or a "
              "batch norm in front"
        : look->dead > look->units / 2
            ? "a lower learning rate, other initial values (cbm_init_kaiming_normal), a batch norm, or leaky "
              "relu"
            : "a lower learning rate, a batch norm; are the inputs normalised, and different?";
    tell(l->d, l->check, false, advice, "'%s' (%s): %s", look->name, look->type, text);
}

static void check_layers(const doctor *d, const char *check, cbm_module *net, const cbm_batch *batch)
{
    layers l = { .d = d, .check = check };
    if (cbm_look_at_layers(net, batch->input, on_layer, &l) == CBM_OK && l.bad == 0)
        tell(d, check, true, NULL, "%lld layers, all with units that vary and differ", (long long)l.seen);
}

/* ---- short trainings ---- */

typedef struct course {
    cbm_module *net;
    double first, last; /* loss: of the first step, and the mean of the last ten */
    double update;      /* |change of the weights| / |weights| of step 11; NaN before it */
    float *before;      /* the weights after step 10 */
    double recent[10];
    const doctor *d;
} course;

static void read_weights(const course *c, float *out)
{
    cbm_named named;
    for (size_t i = 0; cbm_parameter_at(c->net, i, &named); i++) {
        CBM_SCOPE(scope, c->net->cx);
        cbm_tensor *t = cbm_cast(named.tensor, CBM_F32);
        int64_t count = cbm_tensor_count(t);
        cbm_read(t, out, (size_t)count * sizeof *out);
        out += count;
    }
}

static bool on_step(const cbm_progress *p, void *user)
{
    course *c = user;
    int64_t count = cbm_parameter_elements(c->net);
    if (p->total_steps == 1)
        c->first = p->loss;
    c->recent[p->total_steps % 10] = p->loss;
    c->last = 0;
    for (int i = 0; i < 10; i++)
        c->last += c->recent[i] / 10;
    if (p->total_steps == 10 && (c->before = malloc((size_t)count * sizeof *c->before)))
        read_weights(c, c->before);
    float *now = p->total_steps == 11 && c->before ? malloc((size_t)count * sizeof *now) : NULL;
    if (now) {
        double change = 0, size = 0;
        read_weights(c, now);
        for (int64_t i = 0; i < count; i++) {
            double difference = (double)now[i] - (double)c->before[i];
            change += difference * difference;
            size += (double)c->before[i] * (double)c->before[i];
        }
        c->update = sqrt(change / size);
    }
    free(now);
    return !(c->d->s->stopped && c->d->s->stopped());
}

/* Trains a new network on what loader gives, for so many steps; the result's end tells how it went. */
static cbm_fit_end train(const doctor *d, cbm_loader *loader, double rate, int64_t steps, course *c)
{
    cbm_recipe_settings s = *d->s;
    cbm_fit_result result = { .end = CBM_FIT_FAILED };
    s.lr = rate;
    *c = (course){ .net = new_net(d), .update = NAN, .d = d };
    cbm_optimizer *opt = cbm_choose_optimizer(d->recipe, c->net, &s);
    int64_t batches = cbm_loader_batches(loader);
    if (cbm_context_status(d->cx) == CBM_OK)
        cbm_fit(c->net, &result, .optimizer = opt, .train = loader, .loss = d->recipe->loss,
                .epochs = (steps + batches - 1) / batches, .max_steps = steps, .on_step = on_step, .user = c);
    free(c->before);
    c->before = NULL;
    cbm_optimizer_release(opt);
    return result.end;
}

static cbm_dataset *first_of(const doctor *d, cbm_split split, int64_t count)
{
    cbm_dataset *all = d->recipe->dataset(d->cx, d->s->data_dir, split);
    return count < cbm_dataset_count(all) ? cbm_dataset_part(all, 0, count) : all;
}

static double error_on(const doctor *d, cbm_module *net, cbm_dataset *data, double *loss)
{
    cbm_evaluation e = { .accuracy = NAN, .loss = NAN };
    cbm_loader *loader = cbm_loader_open(data, .batch_size = 500);
    cbm_evaluate(net, loader, d->recipe->loss, NULL, &e);
    cbm_loader_close(loader);
    if (loss)
        *loss = e.loss;
    return 1 - e.accuracy;
}

/* Without classes there is no error: that the loss has nearly gone says it. */
static bool learned(const doctor *d, const course *c, cbm_dataset *few, double *error)
{
    *error = error_on(d, c->net, few, NULL);
    return isfinite(*error) ? *error <= LEARNED : c->last <= COLLAPSED * c->first;
}

/* The first of ever lower rates at which the loss falls; 0: none. */
static double lower_rate(const doctor *d, cbm_loader *loader, cbm_dataset *few)
{
    double rate = d->s->lr, error;
    for (int i = 0; i < LOWER_RATES && well(d); i++) {
        course c;
        rate /= LOWER;
        bool better = train(d, loader, rate, SUBSET_STEPS, &c) == CBM_FIT_DONE && c.last < 0.9 * c.first;
        better = better || (well(d) && learned(d, &c, few, &error));
        cbm_module_release(c.net);
        if (better)
            return rate;
    }
    return 0;
}

/* true: the subset was learned. */
static bool check_subset(doctor *d)
{
    course c;
    double error = NAN;
    cbm_dataset *few = first_of(d, CBM_TRAIN, SUBSET);
    cbm_loader *loader = cbm_loader_open(few, .batch_size = SUBSET_BATCH, .shuffle = true, .seed = d->s->seed);
    cbm_fit_end end = train(d, loader, d->s->lr, SUBSET_STEPS, &c);
    bool done = false;
    if (well(d) && (end == CBM_FIT_DIVERGED || !(c.last < c.first) || c.update > LARGE_UPDATE)) {
        double lower = lower_rate(d, loader, few);
        char falls[60] = "", went[100] = "was not finite";
        if (end != CBM_FIT_DIVERGED)
            snprintf(went, sizeof went, "went from %.3g to %.3g, a step changes the weights by %.2g of their size",
                     c.first, c.last, c.update);
        if (lower > 0)
            snprintf(falls, sizeof falls, "; at %g it falls", lower);
        tell(d, lower > 0 ? "learning rate" : "small subset", false,
             lower > 0 ? "the learning rate is too high: cambium lr-find looks for one"
                       : "nothing is learned at a lower rate either: look at the gradients, the loss and the inputs",
             "at %g the loss %s%s", d->s->lr, went, falls);
    } else if (well(d)) {
        tell(d, "learning rate", true, NULL, "%g: a step changes the weights by %.1g of their size", d->s->lr,
             c.update);
        done = learned(d, &c, few, &error);
        if (done)
            tell(d, "small subset", true, NULL, "%d samples learned by heart in %d steps: loss %.3g", SUBSET,
                 SUBSET_STEPS, c.last);
        else if (isfinite(error) && c.last <= COLLAPSED * c.first)
            tell(d, "small subset", false,
                 "the loss has a solution that is none, a constant output say: add a term that forbids it, or another "
                 "loss",
                 "the loss has nearly gone, from %.3g to %.3g, and %.0f %% of the samples are wrong", c.first, c.last,
                 100 * error);
        else
            tell(d, "small subset", false,
                 d->weights_learn ? "the network is too small, or sees too little of the input: more units, more layers"
                                  : "first what is said above",
                 "after %d steps %.0f %% of %d samples are still wrong, the loss went from %.3g to %.3g", SUBSET_STEPS,
                 100 * error, SUBSET, c.first, c.last);
    }
    cbm_loader_close(loader);
    cbm_module_release(c.net);
    return done;
}

static void check_validation(const doctor *d, const cbm_batch *batch)
{
    course c;
    cbm_recipe_settings s = *d->s;
    s.limit = s.limit > 0 ? s.limit : TRAIN_MOST;
    cbm_loader *loader = cbm_recipe_loader(d->recipe, d->cx, &s, CBM_TRAIN, true);
    cbm_fit_end end = train(d, loader, s.lr, TRAIN_STEPS, &c);
    if (well(d) && end == CBM_FIT_DONE) {
        double chance = 1 - 1 / (double)d->recipe->classes, train_loss, loss;
        double train_error = error_on(d, c.net, first_of(d, CBM_TRAIN, s.limit), &train_loss);
        double error = error_on(d, c.net, first_of(d, CBM_TEST, s.limit), &loss);
        bool classes = d->recipe->classes > 1 && isfinite(error);
        char numbers[200];
        snprintf(numbers, sizeof numbers, "after %d steps on %lld samples: training loss %.3g, validation loss %.3g",
                 TRAIN_STEPS, (long long)s.limit, train_loss, loss);
        if (classes)
            snprintf(numbers + strlen(numbers), sizeof numbers - strlen(numbers), ", errors %.1f %% and %.1f %%",
                     100 * train_error, 100 * error);
        if (classes && error > CHANCE * chance)
            tell(d, "validation", false,
                 "a small subset is learned by heart and nothing carries over to other samples: do the labels belong "
                 "to the "
                 "inputs (shuffled apart?), are training and validation data of the same kind?",
                 "%s: that is guessing", numbers);
        else if (classes && error > train_error + GAP)
            tell(d, "validation", false,
                 "it learns by heart: more data, augmentation, weight decay, dropout, a smaller network (recipe "
                 "improve)",
                 "%s", numbers);
        else
            tell(d, "validation", true, NULL, "%s", numbers);
        cbm_eval(c.net);
        check_layers(d, "layers, trained", c.net, batch);
    }
    cbm_loader_close(loader);
    cbm_module_release(c.net);
}

/* ---- all of it ---- */

static void add_cost(const cbm_summary_row *row, void *user)
{
    *(cbm_summary_row *)user = *row; /* the last is the whole network */
}

cbm_status cbm_recipe_diagnose(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                               void (*on_finding)(const cbm_finding *finding, void *user), void *user)
{
    doctor d = { recipe, cx, settings, on_finding, user, true };
    if (!recipe->model || !recipe->dataset || !recipe->optimizer)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED,
                        "[%s] this recipe has a course of its own, not the usual training of one model on data",
                        recipe->name);
    cbm_module *net = new_net(&d);
    cbm_loader *loader = cbm_loader_open(first_of(&d, CBM_TRAIN, SUBSET), .batch_size = SUBSET);
    cbm_batch batch;
    if (cbm_context_status(cx) != CBM_OK || !cbm_next(loader, &batch))
        return cbm_context_status(cx);
    cbm_summary_row whole = { .name = "" };
    cbm_summary(net, batch.input, add_cost, &whole);
    check_weights(&d, net);
    if (well(&d))
        tell(&d, "cost", true, NULL, "%.3g FLOPs forward and %.3g backward a sample", whole.flops / (double)batch.size,
             whole.backward_flops / (double)batch.size);
    check_first_loss(&d, net, &batch);
    check_non_linearity(&d, net, &batch);
    check_layers(&d, "layers, untrained", net, &batch);
    cbm_module_release(net);
    if (well(&d))
        check_gradients(&d);
    if (well(&d) && check_subset(&d) && well(&d))
        check_validation(&d, &batch);
    cbm_loader_close(loader);
    return cbm_context_status(cx);
}
