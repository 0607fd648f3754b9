/* look_tiles.c: small pictures in rows, and how the pictures of `cambium look` are left in their folder. Rests on media. */
#include "look.h"
#include <math.h>

#define GAP 2

cbm_status cbm_looker_keep(const cbm_looker *l, cbm_image *image, const cbm_frame *frame, const char *file)
{
    return cbm_recipe_keep_image(l->cx, l->recipe->name, image, frame, l->dir, file, l->out);
}

cbm_status cbm_looker_keep_plot(const cbm_looker *l, const cbm_plot *plot, const char *file)
{
    return cbm_recipe_keep_plot(l->cx, l->recipe->name, plot, l->dir, file, l->out);
}

const char *cbm_looker_class(const cbm_looker *l, int64_t class, char text[static 32])
{
    if (l->recipe->class_names)
        return l->recipe->class_names[class];
    snprintf(text, 32, "%lld", (long long)class);
    return text;
}

void cbm_looker_classes(const cbm_looker *l, cbm_class_names *names)
{
    for (int64_t c = 0; c < l->recipe->classes; c++)
        names->at[c] = cbm_looker_class(l, c, names->text[c]);
}

bool cbm_tiles_new(const cbm_looker *l, int64_t rows, int64_t columns, int64_t height, int64_t width, int64_t zoom,
                   cbm_tiles *t)
{
    *t = (cbm_tiles){ .height = height, .width = width, .zoom = zoom };
    return cbm_recipe_image(l->cx, l->recipe->name, columns * (width * zoom + GAP) - GAP,
                            rows * (height * zoom + GAP) - GAP, 3, &t->image);
}

/* How much larger a picture of that side is drawn: to about 64 pixels. */
int64_t cbm_tiles_zoom(int64_t side)
{
    return side < 64 ? 64 / side : 1;
}

static uint8_t level(double value, double low, double high)
{
    double v = high > low ? 255 * (value - low) / (high - low) : 0;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* Planes (channels, height, width) from low (black) to high; of three channels a colour. */
void cbm_tiles_put(cbm_tiles *t, int64_t row, int64_t column, const float *planes, int64_t channels, double low,
                   double high)
{
    int64_t top = row * (t->height * t->zoom + GAP), left = column * (t->width * t->zoom + GAP);
    for (int64_t y = 0; y < t->height * t->zoom; y++)
        for (int64_t x = 0; x < t->width * t->zoom; x++) {
            int64_t at = y / t->zoom * t->width + x / t->zoom;
            uint8_t *pixel = t->image.pixels + ((top + y) * t->image.width + left + x) * 3;
            for (int64_t c = 0; c < 3; c++)
                pixel[c] = level((double)planes[(channels == 3 ? c : 0) * t->height * t->width + at], low, high);
        }
}

typedef struct range {
    double low, high;
} range;

static range range_of(const float *values, int64_t count)
{
    range r = { INFINITY, -INFINITY };
    for (int64_t i = 0; i < count; i++) {
        r.low = fmin(r.low, (double)values[i]);
        r.high = fmax(r.high, (double)values[i]);
    }
    return r;
}

/* In its own range. */
void cbm_tiles_put_own(cbm_tiles *t, int64_t row, int64_t column, const float *planes, int64_t channels)
{
    range r = range_of(planes, (channels == 3 ? 3 : 1) * t->height * t->width);
    cbm_tiles_put(t, row, column, planes, channels, r.low, r.high);
}

void cbm_tiles_put_scaled(cbm_tiles *t, int64_t row, int64_t column, const float *plane, int64_t height, int64_t width)
{
    range r = range_of(plane, height * width);
    int64_t top = row * (t->height * t->zoom + GAP), left = column * (t->width * t->zoom + GAP);
    int64_t rows = t->height * t->zoom, columns = t->width * t->zoom;
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++) {
            double value = (double)plane[y * height / rows * width + x * width / columns];
            uint8_t *pixel = t->image.pixels + ((top + y) * t->image.width + left + x) * 3;
            pixel[0] = pixel[1] = pixel[2] = level(value, r.low, r.high);
        }
}
