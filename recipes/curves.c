/* curves.c: a run's metrics drawn as curves.png: loss and error by epoch, training and validation. */
#include "media/media.h"
#include "recipe.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct curves {
    int64_t count;
    double *epoch, *train_loss, *validation_loss, *train_error, *validation_error; /* errors in percent */
} curves;

static bool take_curves(cbm_context *cx, const char *run_dir, curves *c)
{
    int64_t count = cbm_metrics_read(cx, run_dir, NULL, 0);
    *c = (curves){ 0 };
    if (count <= 0)
        return false;
    cbm_epoch *epochs = malloc((size_t)count * sizeof *epochs);
    double *numbers = malloc((size_t)count * 5 * sizeof *numbers);
    if (!epochs || !numbers || cbm_metrics_read(cx, run_dir, epochs, count) != count) {
        free(epochs);
        free(numbers);
        return false;
    }
    *c = (curves){ count, numbers, numbers + count, numbers + 2 * count, numbers + 3 * count, numbers + 4 * count };
    for (int64_t i = 0; i < count; i++) {
        c->epoch[i] = (double)epochs[i].epoch;
        c->train_loss[i] = epochs[i].train_loss;
        c->validation_loss[i] = epochs[i].validation_loss;
        c->train_error[i] = 100 * epochs[i].train_error;
        c->validation_error[i] = 100 * epochs[i].validation_error;
    }
    free(epochs);
    return true;
}

cbm_status cbm_recipe_draw_curves(cbm_context *cx, const char *run_dir, const char *title)
{
    char path[1024];
    int n = snprintf(path, sizeof path, "%s/curves.png", run_dir);
    curves c;
    if (n <= 0 || n >= (int)sizeof path)
        return cbm_fail(cx, CBM_ERROR_INVALID, "[curves] the run directory's name is too long");
    if (!take_curves(cx, run_dir, &c))
        return cbm_context_status(cx);
    size_t count = (size_t)c.count;
    const cbm_series loss[] = {
        { .label = "training",
          .x = c.epoch,
          .y = c.train_loss,
          .count = count,
          .style = CBM_SERIES_LINE_POINTS,
          .color = CBM_COLOR_AUTO },
        { .label = "validation",
          .x = c.epoch,
          .y = c.validation_loss,
          .count = count,
          .style = CBM_SERIES_LINE_POINTS,
          .color = CBM_COLOR_AUTO },
    };
    const cbm_series error[] = {
        { .label = "training",
          .x = c.epoch,
          .y = c.train_error,
          .count = count,
          .style = CBM_SERIES_LINE_POINTS,
          .color = CBM_COLOR_AUTO },
        { .label = "validation",
          .x = c.epoch,
          .y = c.validation_error,
          .count = count,
          .style = CBM_SERIES_LINE_POINTS,
          .color = CBM_COLOR_AUTO },
    };
    const cbm_panel panels[] = {
        { .title = "loss",
          .x_label = "epoch",
          .y_label = "cross entropy",
          .series = loss,
          .series_count = 2,
          .y_from_zero = true,
          .whole_x = true },
        { .title = "error",
          .x_label = "epoch",
          .y_label = "wrong (%)",
          .series = error,
          .series_count = 2,
          .y_from_zero = true,
          .whole_x = true },
    };
    cbm_plot plot = { .title = title, .panels = panels, .panel_count = 2, .columns = 2 };
    cbm_media_message message;
    cbm_status status = cbm_plot_write(&plot, path, &message);
    free(c.epoch);
    return status == CBM_OK ? CBM_OK : cbm_fail(cx, status, "[curves] %s", message.text);
}
