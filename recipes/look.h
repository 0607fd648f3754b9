/* look.h: what the files of `cambium look` share: whose network it is, and tiles, small pictures in rows. */
#ifndef CAMBIUM_RECIPES_LOOK_H
#define CAMBIUM_RECIPES_LOOK_H

#include "recipe.h"

enum { CBM_LOOK_CLASSES = 100 }; /* at most */

typedef struct cbm_looker {
    const cbm_recipe *recipe;
    cbm_context *cx;
    cbm_module *net;
    const char *dir;
    FILE *out;
    cbm_batch batch; /* the first test samples */
} cbm_looker;

static inline bool cbm_looker_well(const cbm_looker *l)
{
    return cbm_context_status(l->cx) == CBM_OK;
}
/* Leaves an image, with words around it, in the looker's folder and frees it. */
cbm_status cbm_looker_keep(const cbm_looker *l, cbm_image *image, const cbm_frame *frame, const char *file);
cbm_status cbm_looker_keep_plot(const cbm_looker *l, const cbm_plot *plot, const char *file);
/* What the recipe calls a class, or its number in text. */
const char *cbm_looker_class(const cbm_looker *l, int64_t class, char text[static 32]);
/* The names of all classes. */
typedef struct cbm_class_names {
    char text[CBM_LOOK_CLASSES][32];
    const char *at[CBM_LOOK_CLASSES];
} cbm_class_names;
void cbm_looker_classes(const cbm_looker *l, cbm_class_names *names);

/* ---- look_tiles.c ---- */
typedef struct cbm_tiles {
    cbm_image image;
    int64_t height, width, zoom; /* of a tile, before zooming */
} cbm_tiles;
/* How much larger a picture of that side is drawn: to about 64 pixels. */
int64_t cbm_tiles_zoom(int64_t side);
bool cbm_tiles_new(const cbm_looker *l, int64_t rows, int64_t columns, int64_t height, int64_t width, int64_t zoom,
                   cbm_tiles *t); /* false: reported */
/* Planes (channels, height, width) from low (black) to high; of three channels a colour, else the first in grey. */
void cbm_tiles_put(cbm_tiles *t, int64_t row, int64_t column, const float *planes, int64_t channels, double low,
                   double high);
/* In its own range. */
void cbm_tiles_put_own(cbm_tiles *t, int64_t row, int64_t column, const float *planes, int64_t channels);
/* One plane of height x width, whatever its size, as a tile: nearest. */
void cbm_tiles_put_scaled(cbm_tiles *t, int64_t row, int64_t column, const float *plane, int64_t height, int64_t width);

/* ---- look_scores.c ---- */
void cbm_look_draw_scores(const cbm_looker *l, const char *last_map); /* the layer for Grad-CAM; "": there is none */
void cbm_look_draw_class_models(const cbm_looker *l);

/* ---- look_samples.c ---- */
void cbm_look_draw_embedding(const cbm_looker *l);
/* Goes through all test samples: what is confused with what, and the surest mistakes. l->batch is gone afterwards. */
void cbm_look_at_mistakes(const cbm_looker *l, cbm_dataset *test, cbm_loader *loader);
/* The patches that excite the first units of a layer most. */
void cbm_look_draw_exciting(const cbm_looker *l, cbm_dataset *test, cbm_loader *loader, const char *layer);

#endif
