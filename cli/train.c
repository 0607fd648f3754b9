/* train.c: `cambium train`: trains a recipe, shows how it goes, saves when interrupted. Rests on the recipes' loop. */
#include "cli.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* Seconds between redraws of the live line, and between plain lines where there is no terminal. */
#define LIVE_INTERVAL 0.1
#define PLAIN_INTERVAL 10.0

typedef struct train_options {
    cbm_common common;
    const char *data, *run, *optimizer, *schedule, *average;
    int64_t epochs, batch_size, workers, max_steps, limit, seed;
    double lr;
    bool resume, overwrite, fast, deterministic, quiet, verbose;
} train_options;

typedef struct watcher {
    const train_options *options;
    FILE *out;         /* people's lines */
    double last_shown; /* seconds on the monotonic clock */
} watcher;

static void set_defaults(void *options)
{
    train_options *o = options;
    o->data = "data";
    o->epochs = o->batch_size = o->workers = o->max_steps = o->limit = o->seed = -1;
    o->lr = NAN;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Four digits after the point, or four in all where a loss has run away. */
static char *loss_text(double loss, char text[static 32])
{
    snprintf(text, 32, fabs(loss) < 1e5 ? "%.4f" : "%.4g", loss);
    return text;
}

/* A line about where training stands: redrawn on a terminal, else printed now and then. */
static void show_progress(watcher *w, const cbm_progress *p)
{
    double t = now();
    bool live = cbm_live(), first = w->last_shown <= 0;
    if (t - w->last_shown < (live ? LIVE_INTERVAL : PLAIN_INTERVAL))
        return;
    w->last_shown = t;
    char left[32], loss[32], line[200];
    snprintf(line, sizeof line, "epoch %lld/%lld  %lld/%lld  %.1f step/s  loss %s  ETA %s", (long long)p->epoch,
             (long long)p->epochs, (long long)p->step, (long long)p->steps, p->steps_per_second,
             loss_text(p->mean_loss, loss), cbm_text_seconds(p->seconds_left, left));
    if (live)
        cbm_live_line(p->steps > 0 ? (double)p->step / (double)p->steps : -1, "%s", line);
    else if (!first)
        fprintf(w->out, "%s\n", line);
    fflush(w->out);
}

static bool on_step(const cbm_progress *progress, void *user)
{
    watcher *w = user;
    if (!w->options->quiet)
        show_progress(w, progress);
    return !cbm_interrupted();
}

static void print_error(FILE *out, double error)
{
    if (isfinite(error))
        fprintf(out, " error %.2f %%", 100 * error);
}

static bool on_epoch(const cbm_epoch *e, void *user)
{
    watcher *w = user;
    char loss[32];
    cbm_live_clear();
    fprintf(w->out, "epoch %lld/%lld  training loss %s", (long long)e->epoch, (long long)e->epochs,
            loss_text(e->train_loss, loss));
    print_error(w->out, e->train_error);
    if (isfinite(e->validation_loss))
        fprintf(w->out, "  validation loss %s", loss_text(e->validation_loss, loss));
    print_error(w->out, e->validation_error);
    fprintf(w->out, "  %.1f s", e->seconds);
    if (isfinite(e->samples_per_second) && e->samples_per_second > 0)
        fprintf(w->out, "  %.0f samples/s", e->samples_per_second);
    fputc('\n', w->out);
    if (w->options->verbose)
        fprintf(w->out, "  loader: waited for %lld of %lld batches, %.1f ms in all\n", (long long)e->loader_waits,
                (long long)e->loader_batches, 1e3 * e->loader_wait_seconds);
    fflush(w->out);
    return !cbm_interrupted();
}

/* Whether there is what --WHAT says, and the recipe asks for it. */
static bool fits(const cbm_recipe *recipe, cbm_choice of, const char *what, const char *name)
{
    char names[200];
    size_t length = 0;
    const char *at;
    if (!name || (cbm_choice_named(of, name) && !recipe->run))
        return true;
    for (size_t i = 0; (at = cbm_choice_at(of, i)) && length < sizeof names; i++)
        length += (size_t)snprintf(names + length, sizeof names - length, "%s%s", i ? ", " : "", at);
    if (recipe->run)
        cbm_report_usage("train", "%s has a course of its own: no --%s", recipe->name, what);
    else
        cbm_report_usage("train", "--%s is one of %s, not '%s'", what, names, name);
    return false;
}

/* --fast: the recipe has a short course, and a run that is resumed keeps its own. */
static bool fast_fits(const cbm_recipe *recipe, const train_options *o)
{
    if (o->fast && o->resume)
        cbm_report_usage("train", "a resumed run keeps its course: no --fast");
    else if (o->fast && recipe->fast_epochs == 0)
        cbm_report_usage("train", "%s has no short course: no --fast", recipe->name);
    else
        return true;
    return false;
}

static bool rate_fits(const cbm_recipe *recipe, const train_options *o)
{
    if (!isfinite(o->lr) || recipe->lr > 0)
        return true;
    cbm_report_usage("train", "%s learns nothing: no --lr", recipe->name);
    return false;
}

static bool choices_fit(const cbm_recipe *recipe, const train_options *o)
{
    return rate_fits(recipe, o) && fast_fits(recipe, o) &&
           fits(recipe, CBM_CHOICE_OPTIMIZER, "optimizer", o->optimizer) &&
           fits(recipe, CBM_CHOICE_SCHEDULE, "schedule", o->schedule) &&
           fits(recipe, CBM_CHOICE_AVERAGE, "average", o->average);
}

/* The recipe's settings, or those of the run that is resumed, and over them what was said on the command line. */
static bool settings_from(const cbm_recipe *recipe, const train_options *o, const char *run_dir,
                          cbm_recipe_settings *out)
{
    char why[CBM_PATH_ROOM + 200];
    cbm_recipe_settings s = cbm_recipe_settings_of(recipe);
    if (o->resume && !recipe->run && !cbm_recipe_settings_of_run(recipe, run_dir, &s, why, sizeof why)) {
        cbm_report("cannot resume: %s", why);
        return false;
    }
    if (o->fast) {
        s.epochs = recipe->fast_epochs;
        s.batch_size = recipe->fast_batch_size > 0 ? recipe->fast_batch_size : s.batch_size;
    }
    s.epochs = o->epochs >= 0 ? o->epochs : s.epochs;
    s.batch_size = o->batch_size >= 0 ? o->batch_size : s.batch_size;
    s.workers = o->workers >= 0 ? o->workers : s.workers;
    s.max_steps = o->max_steps >= 0 ? o->max_steps : s.max_steps;
    s.limit = o->limit >= 0 ? o->limit : s.limit;
    s.lr = isfinite(o->lr) ? o->lr : s.lr;
    s.seed = o->seed >= 0 ? (uint64_t)o->seed : s.seed;
    s.optimizer = o->optimizer ? o->optimizer : s.optimizer;
    s.schedule = o->schedule ? o->schedule : s.schedule;
    s.average = o->average ? o->average : s.average;
    s.resume = o->resume;
    s.overwrite = o->overwrite;
    s.run_dir = run_dir;
    *out = s;
    return true;
}

/* Which folder the run lives in, and whether there is something to resume there. */
static bool choose_run(const cbm_recipe *recipe, const train_options *o, char run[static CBM_PATH_ROOM])
{
    static const char checkpoint[] = "checkpoints/last.ckpt";
    char file[CBM_PATH_ROOM];
    if (!o->run && !o->resume)
        return cbm_new_run(recipe->name, run);
    if (!o->run) {
        if (cbm_newest_run(recipe->name, checkpoint, run))
            return true;
        cbm_report("there is no run of %s to resume under runs/\nHINT: name its folder with --run", recipe->name);
        return false;
    }
    if (strlen(o->run) >= CBM_PATH_ROOM || !*o->run) {
        cbm_report("--run needs the name of a folder");
        return false;
    }
    strcpy(run, o->run);
    if (!cbm_path_join(file, run, checkpoint))
        return false;
    bool there = cbm_file_exists(file);
    if (o->resume && !there) {
        cbm_report("there is nothing to resume in '%s': no %s", run, checkpoint);
        return false;
    }
    if (there && !o->resume && !o->overwrite) {
        cbm_report("'%s' already holds a run\nHINT: --resume goes on with it, --overwrite replaces it", run);
        return false;
    }
    return true;
}

/* The command that goes on with this run, with all that was said on the command line. */
static void print_resume(FILE *out, const cbm_recipe *recipe, const char *run)
{
    static const char *const leave_out[] = { "run", "resume", "overwrite", "fast", NULL };
    cbm_print_quoted(out, cbm_program);
    fprintf(out, " train %s --resume --run ", recipe->name);
    cbm_print_quoted(out, run);
    cbm_options_print_given(out, leave_out);
    fputc('\n', out);
}

static int print_json(const cbm_recipe *recipe, const char *run, const cbm_fit_result *r)
{
    static const char *const ends[] = { "done", "stopped", "diverged", "failed" };
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "recipe", recipe->name);
    cbm_json_text(&j, "run", run);
    cbm_json_text(&j, "end", (size_t)r->end < CBM_COUNT_OF(ends) ? ends[r->end] : NULL);
    cbm_json_int(&j, "epochs", r->epochs_done);
    cbm_json_int(&j, "steps", r->total_steps);
    bool some = r->last.epoch > 0;
    cbm_json_real(&j, "train_loss", some ? r->last.train_loss : NAN);
    cbm_json_real(&j, "train_error", some ? r->last.train_error : NAN);
    cbm_json_real(&j, "validation_loss", some ? r->last.validation_loss : NAN);
    cbm_json_real(&j, "validation_error", some ? r->last.validation_error : NAN);
    cbm_json_real(&j, "seconds", r->seconds);
    return cbm_json_end(&j, stdout);
}

static int print_measures(const cbm_recipe *recipe, const cbm_recipe_settings *s)
{
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "recipe", recipe->name);
    cbm_json_text(&j, "run", s->run_dir);
    cbm_json_object(&j, "measures");
    for (size_t i = 0; i < s->measures->count; i++)
        cbm_json_real(&j, s->measures->at[i].name, s->measures->at[i].value);
    cbm_json_close(&j);
    return cbm_json_end(&j, stdout);
}

/* A recipe with a course of its own: prints and draws by itself. */
static int run_own(const cbm_recipe *recipe, cbm_context *cx, cbm_recipe_settings s, FILE *out, bool json)
{
    cbm_measures measures = { .count = 0 };
    s.measures = &measures;
    s.stopped = cbm_interrupted;
    if (!cbm_make_folders(s.run_dir))
        return CBM_EXIT_FAILURE;
    if (recipe->run(cx, &s, out) != CBM_OK)
        return cbm_report_context(cx);
    return json ? print_measures(recipe, &s) : CBM_EXIT_OK;
}

static int report_end(const cbm_recipe *recipe, cbm_context *cx, const char *run, cbm_status status,
                      const cbm_fit_result *r, FILE *out)
{
    char picture[CBM_PATH_ROOM];
    if (r->end == CBM_FIT_STOPPED && cbm_interrupted()) {
        fprintf(stderr, "cambium: interrupted after %lld steps; saved in %s\nresume with: ", (long long)r->total_steps,
                run);
        print_resume(stderr, recipe, run);
        return CBM_EXIT_INTERRUPTED;
    }
    if (status != CBM_OK && cbm_context_status(cx) != CBM_OK)
        return cbm_report_context(cx);
    if (status != CBM_OK)
        return cbm_report("%s", r->explanation[0] ? r->explanation : cbm_status_name(status));
    if (isfinite(r->last.validation_error) && r->last.epoch > 0) /* the recipes validate on the test split */
        fprintf(out, "test accuracy %.2f %%\n", 100 * (1 - r->last.validation_error));
    else if (r->last.epoch == 0)
        fprintf(out,
                "%lld steps, less than an epoch: nothing is tested yet; %s eval %s --weights %s/model.safetensors\n",
                (long long)r->total_steps, cbm_program, recipe->name, run);
    fprintf(out, "run: %s\n", run);
    if (cbm_path_join(picture, run, "curves.png") && cbm_file_exists(picture))
        fprintf(out, "picture: %s\n", picture);
    return CBM_EXIT_OK;
}

static int run_common(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s, const train_options *o,
                      FILE *out)
{
    char parameters[32];
    watcher w = { .options = o, .out = out };
    cbm_recipe_watch watch = { .on_step = on_step, .on_epoch = on_epoch, .user = &w };
    cbm_fit_result result = { 0 };
    fprintf(out, "%s %s into %s: %lld epochs, batches of %s, learning rate %g, seed %llu%s%s%s%s%s%s%s\n",
            s->resume ? "resuming" : "training", recipe->name, s->run_dir, (long long)s->epochs,
            cbm_text_count(s->batch_size, parameters), s->lr, (unsigned long long)s->seed,
            cbm_context_precision(cx) == CBM_PRECISION_BF16 ? ", precision bf16" : "", s->optimizer ? ", " : "",
            s->optimizer ? s->optimizer : "", s->schedule ? ", schedule " : "", s->schedule ? s->schedule : "",
            s->average ? ", average " : "", s->average ? s->average : "");
    fflush(out);
    cbm_status status = cbm_recipe_train(recipe, cx, s, &watch, &result);
    cbm_live_clear();
    int code = report_end(recipe, cx, s->run_dir, status, &result, out);
    if (!o->common.json)
        return code;
    int printed = print_json(recipe, s->run_dir, &result);
    return code ? code : printed;
}

static int run(const void *options, const cbm_arguments *arguments)
{
    const train_options *o = options;
    const cbm_recipe *recipe = cbm_find_recipe(arguments->at[0]);
    char data[CBM_PATH_ROOM], run_dir[CBM_PATH_ROOM];
    if (!recipe || !choices_fit(recipe, o))
        return CBM_EXIT_USAGE;
    if (!cbm_find_data(recipe, o->data, data) || !choose_run(recipe, o, run_dir))
        return CBM_EXIT_FAILURE;
    cbm_recipe_settings s;
    if (!settings_from(recipe, o, run_dir, &s))
        return CBM_EXIT_FAILURE;
    s.data_dir = data;
    cbm_common common = o->common;
    if (!common.precision && s.precision != CBM_PRECISION_OUTER)
        common.precision = cbm_precision_name(s.precision);
    common.tune = s.tune = s.tune || common.tune;
    cbm_context *cx = cbm_open_common(&common, s.seed, o->deterministic);
    cbm_interrupt_watch(cx);
    FILE *out = o->common.json ? stderr : stdout;
    int code;
    if (cbm_context_status(cx) != CBM_OK)
        code = cbm_report_context(cx);
    else if (recipe->run)
        code = run_own(recipe, cx, s, out, o->common.json);
    else
        code = run_common(recipe, cx, &s, o, out);
    cbm_interrupt_unwatch();
    cbm_close(cx);
    return code;
}

static const cbm_option table[] = {
    { "data", 'd', CBM_OPTION_TEXT, offsetof(train_options, data), "DIR", "where data sets lie (data)", 0, 0 },
    { "run", 'r', CBM_OPTION_TEXT, offsetof(train_options, run), "DIR", "the run's folder (a new one: runs/RECIPE)", 0,
      0 },
    { "resume", 0, CBM_OPTION_FLAG, offsetof(train_options, resume), NULL, "go on from the run's last checkpoint", 0,
      0 },
    { "overwrite", 0, CBM_OPTION_FLAG, offsetof(train_options, overwrite), NULL, "replace the run in --run's folder", 0,
      0 },
    { "fast", 0, CBM_OPTION_FLAG, offsetof(train_options, fast), NULL, "the recipe's short course, where it has one", 0,
      0 },
    { "epochs", 'e', CBM_OPTION_INT, offsetof(train_options, epochs), "N", "passes over the training data", 1, 1e9 },
    { "batch-size", 'b', CBM_OPTION_INT, offsetof(train_options, batch_size), "N", "samples a step", 1, 1e6 },
    { "lr", 'l', CBM_OPTION_REAL, offsetof(train_options, lr), "X", "learning rate", 0, 1e38 },
    { "optimizer", 0, CBM_OPTION_TEXT, offsetof(train_options, optimizer), "NAME",
      "instead of the recipe's: sgd, adam, adamw, nadam, rmsprop, adagrad, ...", 0, 0 },
    { "schedule", 0, CBM_OPTION_TEXT, offsetof(train_options, schedule), "NAME",
      "of the rate: constant, cosine, linear, exponential, step, one-cycle, plateau", 0, 0 },
    { "average", 0, CBM_OPTION_TEXT, offsetof(train_options, average), "NAME",
      "test and save averaged weights: ema (moving), swa (of the last quarter)", 0, 0 },
    { "seed", 's', CBM_OPTION_INT, offsetof(train_options, seed), "N", "of all random numbers (0)", 0, 9e15 },
    { "max-steps", 0, CBM_OPTION_INT, offsetof(train_options, max_steps), "N", "stop after so many steps (0: no limit)",
      0, 1e15 },
    { "limit", 0, CBM_OPTION_INT, offsetof(train_options, limit), "N", "use only the first N samples (0: all)", 0,
      1e15 },
    { "workers", 'w', CBM_OPTION_INT, offsetof(train_options, workers), "N", "threads that read data ahead", 0, 256 },
    CBM_OPTION_THREADS(train_options),
    CBM_OPTION_DEVICE(train_options),
    CBM_OPTION_PRECISION(train_options),
    CBM_OPTION_TUNE(train_options),
    { "deterministic", 0, CBM_OPTION_FLAG, offsetof(train_options, deterministic), NULL,
      "choose algorithms by fixed rules only", 0, 0 },
    { "verbose", 'v', CBM_OPTION_FLAG, offsetof(train_options, verbose), NULL,
      "say after each epoch whether steps waited for data", 0, 0 },
    { "quiet", 'q', CBM_OPTION_FLAG, offsetof(train_options, quiet), NULL, "only a line an epoch", 0, 0 },
    CBM_OPTION_JSON(train_options, "the result as JSON on standard output, the rest on standard error"),
};

const cbm_command cbm_command_train = {
    .name = "train",
    .usage = "RECIPE [options]",
    .summary = "train a recipe's model",
    .description =
        "Trains the model of a recipe (`cambium list` shows them). What is not said is as the recipe wants it.\n\n"
        "The run's folder gets config.json, metrics.jsonl (a line an epoch), model.safetensors, checkpoints/ and\n"
        "curves.png. Ctrl-C stops after the current step, saves, and prints how to resume; pressed again, it kills.",
    .options = table,
    .n_options = CBM_COUNT_OF(table),
    .least = 1,
    .most = 1,
    .size = sizeof(train_options),
    .defaults = set_defaults,
    .run = run,
};
