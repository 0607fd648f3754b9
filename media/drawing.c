/* drawing.c: what plots and frames share. */
#include "drawing.h"

#include <string.h>

void cbm_draw_color(cairo_t *cr, int64_t color)
{
    cairo_set_source_rgb(cr, (double)(color >> 16 & 255) / 255, (double)(color >> 8 & 255) / 255,
                         (double)(color & 255) / 255);
}

void cbm_draw_font(cairo_t *cr, double size, bool bold)
{
    cairo_select_font_face(cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
}

double cbm_draw_text_width(cairo_t *cr, const char *text)
{
    cairo_text_extents_t e;
    cairo_text_extents(cr, text, &e);
    return e.x_advance;
}

void cbm_draw_text(cairo_t *cr, const char *text, double x, double y, double along)
{
    cairo_move_to(cr, x - along * cbm_draw_text_width(cr, text), y);
    cairo_show_text(cr, text);
}

/* cairo's 32-bit pixels to RGB. */
static cbm_status copy_pixels(cairo_surface_t *surface, cbm_image *image, cbm_media_message *message)
{
    cairo_surface_flush(surface);
    int width = cairo_image_surface_get_width(surface), height = cairo_image_surface_get_height(surface);
    int stride = cairo_image_surface_get_stride(surface);
    const uint8_t *data = cairo_image_surface_get_data(surface);
    cbm_status status = cbm_image_new(width, height, 3, image, message);
    if (status != CBM_OK)
        return status;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint32_t pixel;
            memcpy(&pixel, data + (size_t)y * (size_t)stride + (size_t)x * 4, sizeof pixel);
            uint8_t *out = image->pixels + ((size_t)y * (size_t)width + (size_t)x) * 3;
            out[0] = (uint8_t)(pixel >> 16);
            out[1] = (uint8_t)(pixel >> 8);
            out[2] = (uint8_t)pixel;
        }
    return CBM_OK;
}

cbm_status cbm_drawing_finish(cairo_t *cr, cairo_surface_t *surface, cbm_image *image, cbm_media_message *message)
{
    cairo_status_t drawn = cairo_status(cr);
    cbm_status status =
        drawn == CAIRO_STATUS_SUCCESS
            ? copy_pixels(surface, image, message)
            : cbm_media_fail(message, drawn == CAIRO_STATUS_NO_MEMORY ? CBM_ERROR_MEMORY : CBM_ERROR_INVALID,
                             "cannot draw: %s", cairo_status_to_string(drawn));
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    return status;
}
