/* frame.c: a picture with words around it: a title, names of rows and of columns. Rests on cairo. */
#include "drawing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    OUTER = 12,
    TITLE = 15,
    LABEL = 11,
    LEAST = 7,
    LINE = 14 /* from baseline to baseline */,
    GAP = 6,
    LABELS_MOST = 4096
};

/* The bands around the picture. */
typedef struct bands {
    double left, top, right;
    int lines;   /* of the columns' names */
    double font; /* theirs: smaller where the columns are narrow */
} bands;

/* Line number `line` of a text; false: it has not so many. */
static bool line_of(const char *text, int line, char out[static 128])
{
    for (; line > 0; line--) {
        text = strchr(text, '\n');
        if (!text)
            return false;
        text++;
    }
    const size_t length = strcspn(text, "\n");
    snprintf(out, 128, "%.*s", (int)(length < 127 ? length : 127), text);
    return true;
}

static double width_of(cairo_t *cr, const char *text)
{
    char line[128];
    double widest = 0;
    for (int i = 0; line_of(text, i, line); i++)
        widest = fmax(widest, cbm_draw_text_width(cr, line));
    return widest;
}

static int lines_of(const char *text)
{
    int lines = 1;
    while ((text = strchr(text, '\n'))) {
        text++;
        lines++;
    }
    return lines;
}

static double widest_of(cairo_t *cr, const char *const *names, size_t count)
{
    double widest = 0;
    for (size_t i = 0; i < count; i++)
        widest = fmax(widest, width_of(cr, names[i]));
    return widest;
}

static bands measure(cairo_t *cr, const cbm_image *picture, const cbm_frame *frame)
{
    bands b = { .left = OUTER, .top = OUTER, .right = OUTER, .font = LABEL };
    cbm_draw_font(cr, LABEL, false);
    if (frame->row_count)
        b.left += GAP + widest_of(cr, frame->rows, frame->row_count);
    const double cell = (double)picture->width / (double)(frame->column_count ? frame->column_count : 1);
    const double widest = widest_of(cr, frame->columns, frame->column_count);
    if (widest > cell - 4)
        b.font = fmax(LEAST, LABEL * (cell - 4) / widest);
    cbm_draw_font(cr, b.font, false);
    for (size_t i = 0; i < frame->column_count; i++) {
        const double beyond = (width_of(cr, frame->columns[i]) - cell) / 2; /* of the first and last cell */
        if (i == 0)
            b.left = fmax(b.left, OUTER + beyond);
        if (i + 1 == frame->column_count)
            b.right = fmax(b.right, OUTER + beyond);
        const int lines = lines_of(frame->columns[i]);
        b.lines = lines > b.lines ? lines : b.lines;
    }
    cbm_draw_font(cr, TITLE, true);
    if (frame->title) {
        b.top += TITLE + GAP;
        b.right = fmax(b.right, cbm_draw_text_width(cr, frame->title) + 2 * OUTER - b.left - (double)picture->width);
    }
    if (b.lines > 0)
        b.top += b.lines * LINE + GAP;
    b.left = ceil(b.left);
    b.right = ceil(b.right);
    return b;
}

static void draw_words(cairo_t *cr, const cbm_image *picture, const cbm_frame *frame, const bands *b)
{
    char line[128];
    cbm_draw_color(cr, CBM_INK);
    cbm_draw_font(cr, TITLE, true);
    if (frame->title)
        cbm_draw_text(cr, frame->title, OUTER, OUTER + TITLE - 2, 0);
    cbm_draw_color(cr, CBM_SOFT_INK);
    cbm_draw_font(cr, LABEL, false);
    for (size_t i = 0; i < frame->row_count; i++) {
        const int lines = lines_of(frame->rows[i]);
        const double middle = b->top + ((double)i + 0.5) * (double)picture->height / (double)frame->row_count;
        for (int k = 0; line_of(frame->rows[i], k, line); k++)
            cbm_draw_text(cr, line, b->left - GAP, middle + LABEL * 0.36 + (k - (lines - 1) / 2.0) * LINE, 1);
    }
    cbm_draw_font(cr, b->font, false);
    for (size_t i = 0; i < frame->column_count; i++) {
        const double middle = b->left + ((double)i + 0.5) * (double)picture->width / (double)frame->column_count;
        const int above = b->lines - lines_of(frame->columns[i]); /* the names stand on the picture */
        for (int k = 0; line_of(frame->columns[i], k, line); k++)
            cbm_draw_text(cr, line, middle, b->top - GAP - (b->lines - 1 - above - k) * LINE, 0.5);
    }
}

/* Grey, RGB, with alpha or without: alpha is left out. */
static void copy_picture(const cbm_image *picture, cbm_image *framed, int64_t left, int64_t top)
{
    const int64_t channels = picture->channels;
    for (int64_t y = 0; y < picture->height; y++)
        for (int64_t x = 0; x < picture->width; x++) {
            const uint8_t *from = picture->pixels + (y * picture->width + x) * channels;
            uint8_t *to = framed->pixels + ((top + y) * framed->width + left + x) * 3;
            for (int64_t c = 0; c < 3; c++)
                to[c] = from[channels >= 3 ? c : 0];
        }
}

cbm_status cbm_image_frame(const cbm_image *picture, const cbm_frame *frame, cbm_image *framed,
                           cbm_media_message *message)
{
    *framed = (cbm_image){ 0 };
    if (message)
        message->text[0] = 0;
    if (!picture->pixels || frame->row_count > LABELS_MOST || frame->column_count > LABELS_MOST)
        return cbm_media_fail(message, CBM_ERROR_INVALID, "a frame has a picture and at most %d names a side",
                              LABELS_MOST);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1);
    cairo_t *cr = cairo_create(surface);
    const bands b = measure(cr, picture, frame);
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
    const int64_t left = (int64_t)b.left, top = (int64_t)b.top;
    const int64_t width = left + picture->width + (int64_t)b.right, height = top + picture->height + OUTER;
    cbm_status status = cbm_image_check_size(width, height, message);
    if (status != CBM_OK)
        return status;
    surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    draw_words(cr, picture, frame, &b);
    status = cbm_drawing_finish(cr, surface, framed, message);
    if (status == CBM_OK)
        copy_picture(picture, framed, left, top);
    return status;
}
