/* rates.c: the search for a learning rate. The course's procedure: on a small subset, begin with a rate that is too large and
   halve it until the loss no longer runs away; go on while that pays. Beside it the range test: one run in which the rate
   rises. Rests on the recipes' loop. */
#include "recipe.h"
#include <math.h>
#include <string.h>

#define LARGEST 8.0   /* where halving begins, and the range test ends */
#define SMALLEST 1e-7 /* where the range test begins, and halving gives up */
#define SUBSET 5000   /* samples */
#define TRIAL_STEPS 150
#define WORSE 3        /* halvings after the best one */
#define RUNAWAY 4.0    /* times the first loss: it will not come back */
#define SMOOTHING 0.95 /* of the range test's losses */

/* One short training, watched. */
typedef struct trial {
    cbm_optimizer *opt;
    double first, last; /* losses: of the first step, and the mean of the last quarter */
    double growth;      /* of the rate from step to step; 1: it stays */
    int64_t steps;      /* to be done */
    double smooth, weight, least;
    cbm_rate_search *found; /* where the range test's points go; NULL: no range test */
} trial;

/* The range test's point: the smoothed loss, and on to the next rate. false: it has run away. */
static bool take_point(trial *t, const cbm_progress *p)
{
    cbm_rate_search *f = t->found;
    t->smooth = SMOOTHING * t->smooth + (1 - SMOOTHING) * p->loss;
    t->weight = SMOOTHING * t->weight + (1 - SMOOTHING);
    double loss = t->smooth / t->weight;
    if (f->range_count < CBM_RATES_MOST) {
        f->range_rate[f->range_count] = cbm_learning_rate(t->opt);
        f->range_loss[f->range_count++] = loss;
    }
    t->least = loss < t->least ? loss : t->least;
    cbm_set_learning_rate(t->opt, cbm_learning_rate(t->opt) * t->growth);
    return loss < RUNAWAY * t->least;
}

static bool on_step(const cbm_progress *p, void *user)
{
    trial *t = user;
    if (p->total_steps == 1)
        t->first = t->least = p->loss;
    int64_t tail = t->steps - t->steps / 4;
    if (p->total_steps > tail)
        t->last += p->loss / (double)(t->steps - tail);
    if (t->found)
        return take_point(t, p);
    return p->loss < RUNAWAY * t->first;
}

/* Trains a new network for so many steps at a rate. CBM_OK also when it ran away: t->last is infinite then. */
static cbm_status train(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s, double rate, trial *t)
{
    cbm_recipe_settings at = *s;
    cbm_fit_result result;
    at.lr = rate;
    cbm_seed(cx, s->seed);
    cbm_loader *loader = cbm_recipe_loader(recipe, cx, &at, CBM_TRAIN, true);
    cbm_module *net = cbm_recipe_model(recipe, cx, &at, NULL);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_context_status(cx);
    t->opt = cbm_choose_optimizer(recipe, net, &at);
    int64_t batches = cbm_loader_batches(loader);
    cbm_status status =
        cbm_fit(net, &result, .optimizer = t->opt, .train = loader, .loss = recipe->loss,
                .epochs = (t->steps + batches - 1) / batches, .max_steps = t->steps, .on_step = on_step, .user = t);
    bool ran_away = result.end == CBM_FIT_DIVERGED || result.total_steps < t->steps;
    bool cancelled = status == CBM_ERROR_CANCELLED && result.end == CBM_FIT_STOPPED && cbm_context_status(cx) != CBM_OK;
    cbm_optimizer_release(t->opt);
    cbm_module_release(net);
    cbm_loader_close(loader);
    if (ran_away && !cancelled && cbm_context_status(cx) == CBM_OK)
        t->last = INFINITY;
    return cbm_context_status(cx);
}

static cbm_status halve(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s, FILE *out,
                        cbm_rate_search *f)
{
    double best = INFINITY;
    int worse = 0;
    for (double rate = LARGEST; rate > SMALLEST && worse < WORSE && f->trials < CBM_RATES_MOST; rate /= 2) {
        trial t = { .growth = 1, .steps = TRIAL_STEPS };
        if (train(recipe, cx, s, rate, &t) != CBM_OK || (s->stopped && s->stopped()))
            return cbm_context_status(cx);
        bool runs_away = !(t.last < t.first);
        f->trial_rate[f->trials] = rate;
        f->trial_loss[f->trials++] = runs_away ? INFINITY : t.last;
        if (runs_away)
            fprintf(out, "rate %-10.4g the loss runs away\n", rate);
        else
            fprintf(out, "rate %-10.4g loss %.4f after %d steps, from %.4f\n", rate, t.last, TRIAL_STEPS, t.first);
        fflush(out);
        if (runs_away)
            continue;
        f->largest = f->largest > 0 ? f->largest : rate;
        worse = t.last < best ? 0 : worse + 1;
        if (t.last < best) {
            best = t.last;
            f->best = rate;
        }
    }
    return CBM_OK;
}

static cbm_status range_test(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *s,
                             cbm_rate_search *f)
{
    trial t = { .growth = pow(LARGEST / SMALLEST, 1.0 / CBM_RATES_MOST), .steps = CBM_RATES_MOST, .found = f };
    if (train(recipe, cx, s, SMALLEST, &t) != CBM_OK)
        return cbm_context_status(cx);
    double steepest = 0;
    for (int64_t i = 1; i < f->range_count; i++) {
        double slope = f->range_loss[i] - f->range_loss[i - 1];
        if (slope < steepest) {
            steepest = slope;
            f->steepest = f->range_rate[i];
        }
    }
    return CBM_OK;
}

cbm_status cbm_recipe_find_rate(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                                FILE *out, cbm_rate_search *found)
{
    *found = (cbm_rate_search){ 0 };
    if (!recipe->model || !recipe->dataset || !recipe->optimizer)
        return cbm_fail(cx, CBM_ERROR_UNSUPPORTED,
                        "[%s] this recipe has a course of its own, not the usual training of one model on data",
                        recipe->name);
    cbm_recipe_settings s = *settings;
    s.limit = s.limit > 0 ? s.limit : SUBSET;
    if (halve(recipe, cx, &s, out, found) != CBM_OK || (s.stopped && s.stopped()))
        return cbm_context_status(cx);
    return range_test(recipe, cx, &s, found);
}

/* ---- the picture ---- */

cbm_status cbm_recipe_draw_rates(cbm_context *cx, const cbm_rate_search *f, const char *title, const char *path)
{
    const cbm_series trials = { .x = f->trial_rate,
                                .y = f->trial_loss,
                                .count = (size_t)f->trials,
                                .style = CBM_SERIES_LINE_POINTS,
                                .color = CBM_COLOR_AUTO };
    const cbm_series range = {
        .x = f->range_rate, .y = f->range_loss, .count = (size_t)f->range_count, .color = CBM_COLOR_AUTO
    };
    const cbm_panel panels[] = {
        { .title = "Halving: the loss after a short training; marked: the choice",
          .x_label = "learning rate",
          .log_x = true,
          .y_label = "loss",
          .series = &trials,
          .series_count = 1,
          .marks = &f->best,
          .mark_count = f->best > 0 },
        { .title = "Range test: the loss as the rate rises; marked: the steepest fall",
          .x_label = "learning rate",
          .log_x = true,
          .y_label = "loss, smoothed",
          .series = &range,
          .series_count = 1,
          .marks = &f->steepest,
          .mark_count = f->steepest > 0 },
    };
    const cbm_plot plot = { .title = title, .panels = panels, .panel_count = 2 };
    cbm_media_message message;
    cbm_status status = cbm_plot_write(&plot, path, &message);
    return status == CBM_OK ? CBM_OK : cbm_fail(cx, status, "[rates] %s", message.text);
}
