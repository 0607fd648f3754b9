/* drawing.h: what plots and frames share: ink, fonts, text, and a cairo drawing turned into an image. Rests on cairo. */
#ifndef CAMBIUM_MEDIA_DRAWING_H
#define CAMBIUM_MEDIA_DRAWING_H

#include "media_internal.h"

#include <cairo.h>

#define CBM_INK 0x1F2933
#define CBM_SOFT_INK 0x52606D

void cbm_draw_color(cairo_t *cr, int64_t color); /* 0xRRGGBB */
void cbm_draw_font(cairo_t *cr, double size, bool bold);
double cbm_draw_text_width(cairo_t *cr, const char *text);
/* along: 0 begins at x, 0.5 is centred, 1 ends at x. The baseline is y. */
void cbm_draw_text(cairo_t *cr, const char *text, double x, double y, double along);
/* A new RGB image of what was drawn on a 32-bit surface; frees both. */
cbm_status cbm_drawing_finish(cairo_t *cr, cairo_surface_t *surface, cbm_image *image, cbm_media_message *message);

#endif
