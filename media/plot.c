/* plot.c: line plots of one or several panels: axes with round ticks, grid, legend, titles. Rests on cairo. */
#include "drawing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PANEL_WIDTH = 640,
    PANEL_HEIGHT = 440,
    OUTER = 18,      /* space around everything */
    TITLE_BAND = 40, /* above the panels, when the plot has a title */
    PANEL_TITLE = 30,
    LEFT = 66, /* tick labels and the y label */
    BOTTOM = 52,
    RIGHT = 16,
    LEGEND_ROW = 20,
    LEGEND_SAMPLE = 26 /* length of the line shown in the legend */
};

#define GRID 0xE4E7EB
#define FRAME 0x9AA5B1
#define MARK 0xCBD2D9

/* Dark enough on white, and told apart by most colour-blind readers. */
static const int64_t palette[] = { 0x2563EB, 0xE8590C, 0x0B8A5F, 0x9333EA, 0xC2255C, 0x0C8599, 0xA67C00, 0x495057 };

typedef struct box {
    double x, y, width, height;
} box;

/* A panel's axes: ranges (logarithms when log_x, log_y), and the box in pixels. */
typedef struct axes {
    double x0, x1, y0, y1;
    bool log_x, log_y;
    box area;
} axes;

static int64_t color_of(const cbm_series *series, size_t index)
{
    return series->color == CBM_COLOR_AUTO ? palette[index % (sizeof palette / sizeof *palette)] : series->color;
}

static double x_at(const axes *a, double x)
{
    double v = a->log_x ? log10(x) : x;
    return a->area.x + (v - a->x0) / (a->x1 - a->x0) * a->area.width;
}

static double y_at(const axes *a, double y)
{
    double v = a->log_y ? log10(y) : y;
    return a->area.y + a->area.height - (v - a->y0) / (a->y1 - a->y0) * a->area.height;
}

/* Beyond this a number is as good as infinite: ranges and steps must not overflow. */
#define LARGEST 1e150

static bool usable(const axes *a, double x, double y)
{
    return fabs(x) <= LARGEST && fabs(y) <= LARGEST && (!a->log_x || x >= 1 / LARGEST) &&
           (!a->log_y || y >= 1 / LARGEST);
}

/* Ranges from the data, widened a little; every range is left with low < high. */
static void find_ranges(const cbm_panel *p, axes *a)
{
    double x0 = INFINITY, x1 = -INFINITY, y0 = INFINITY, y1 = -INFINITY;
    for (size_t s = 0; s < p->series_count; s++)
        for (size_t i = 0; i < p->series[s].count; i++) {
            double x = p->series[s].x[i], y = p->series[s].y[i];
            if (!usable(a, x, y))
                continue;
            x = a->log_x ? log10(x) : x;
            y = a->log_y ? log10(y) : y;
            x0 = fmin(x0, x), x1 = fmax(x1, x);
            y0 = fmin(y0, y), y1 = fmax(y1, y);
        }
    if (p->y_from_zero && !a->log_y)
        y0 = fmin(y0, 0), y1 = fmax(y1, 0);
    double y_room = 0.05 * (y1 - y0);
    bool floor_kept = p->y_from_zero && !a->log_y && y0 >= 0;
    double x_room = p->whole_x || a->log_x ? 0.03 * (x1 - x0) : 0;
    if (p->x_names)
        x0 = 1, x1 = (double)p->x_name_count, x_room = 0.5;
    a->x0 = x0 - x_room, a->x1 = x1 + x_room;
    a->y0 = floor_kept ? y0 : y0 - y_room;
    a->y1 = y1 + y_room;
    if (p->x_minimum != p->x_maximum && (!a->log_x || (p->x_minimum > 0 && p->x_maximum > 0))) {
        a->x0 = a->log_x ? log10(p->x_minimum) : p->x_minimum;
        a->x1 = a->log_x ? log10(p->x_maximum) : p->x_maximum;
    }
    if (p->y_minimum != p->y_maximum && (!a->log_y || (p->y_minimum > 0 && p->y_maximum > 0))) {
        a->y0 = a->log_y ? log10(p->y_minimum) : p->y_minimum;
        a->y1 = a->log_y ? log10(p->y_maximum) : p->y_maximum;
    }
    if (!(a->x0 <= a->x1))
        a->x0 = 0, a->x1 = 1;
    if (!(a->y0 <= a->y1))
        a->y0 = 0, a->y1 = 1;
    double x_least = 1e-9 * fmax(fabs(a->x0), 1e-3), y_least = 1e-9 * fmax(fabs(a->y0), 1e-3);
    if (!(a->x1 - a->x0 > x_least))
        a->x0 -= 0.5, a->x1 += 0.5;
    if (!(a->y1 - a->y0 > y_least)) {
        double half = a->log_y || a->y0 == 0 ? 0.5 : fabs(a->y0) / 2;
        a->y0 -= half, a->y1 += half;
    }
}

static void name_ticks(const cbm_panel *p, cbm_ticks *x)
{
    x->count = p->x_name_count < CBM_MAX_TICKS ? p->x_name_count : CBM_MAX_TICKS;
    for (size_t i = 0; i < x->count; i++) {
        x->at[i] = (double)i + 1;
        snprintf(x->label[i], sizeof x->label[i], "%s", p->x_names[i]);
    }
}

static void find_ticks(const cbm_panel *p, const axes *a, cbm_ticks *x, cbm_ticks *y)
{
    if (p->x_names)
        name_ticks(p, x);
    else if (a->log_x)
        cbm_ticks_log(pow(10, a->x0), pow(10, a->x1), x);
    else
        cbm_ticks_linear(a->x0, a->x1, (size_t)(a->area.width / 80), p->whole_x, x);
    if (a->log_y)
        cbm_ticks_log(pow(10, a->y0), pow(10, a->y1), y);
    else
        cbm_ticks_linear(a->y0, a->y1, (size_t)(a->area.height / 42), false, y);
}

static void draw_grid(cairo_t *cr, const axes *a, const cbm_ticks *x, const cbm_ticks *y)
{
    const box *b = &a->area;
    cairo_set_line_width(cr, 1);
    cbm_draw_color(cr, GRID);
    for (size_t i = 0; i < x->count; i++) {
        double at = floor(x_at(a, x->at[i])) + 0.5;
        cairo_move_to(cr, at, b->y);
        cairo_line_to(cr, at, b->y + b->height);
    }
    for (size_t i = 0; i < y->count; i++) {
        double at = floor(y_at(a, y->at[i])) + 0.5;
        cairo_move_to(cr, b->x, at);
        cairo_line_to(cr, b->x + b->width, at);
    }
    cairo_stroke(cr);
    cbm_draw_font(cr, 12, false);
    cbm_draw_color(cr, CBM_SOFT_INK);
    for (size_t i = 0; i < x->count; i++)
        cbm_draw_text(cr, x->label[i], x_at(a, x->at[i]), b->y + b->height + 18, 0.5);
    for (size_t i = 0; i < y->count; i++)
        cbm_draw_text(cr, y->label[i], b->x - 8, y_at(a, y->at[i]) + 4.5, 1);
}

static void draw_frame(cairo_t *cr, const axes *a, const cbm_panel *p, const box *panel)
{
    const box *b = &a->area;
    cbm_draw_color(cr, FRAME);
    cairo_set_line_width(cr, 1);
    cairo_move_to(cr, floor(b->x) + 0.5, b->y);
    cairo_line_to(cr, floor(b->x) + 0.5, floor(b->y + b->height) + 0.5);
    cairo_line_to(cr, b->x + b->width, floor(b->y + b->height) + 0.5);
    cairo_stroke(cr);
    cbm_draw_color(cr, CBM_INK);
    if (p->title) {
        cbm_draw_font(cr, 15, true);
        cbm_draw_text(cr, p->title, b->x, panel->y + 19, 0);
    }
    cbm_draw_font(cr, 13, false);
    if (p->x_label)
        cbm_draw_text(cr, p->x_label, b->x + b->width / 2, b->y + b->height + 40, 0.5);
    if (!p->y_label)
        return;
    cairo_save(cr);
    cairo_translate(cr, panel->x + 13, b->y + b->height / 2);
    cairo_rotate(cr, -M_PI / 2);
    cbm_draw_text(cr, p->y_label, 0, 0, 0.5);
    cairo_restore(cr);
}

static void draw_marks(cairo_t *cr, const axes *a, const cbm_panel *p)
{
    cbm_draw_color(cr, MARK);
    cairo_set_line_width(cr, 1);
    for (size_t i = 0; i < p->mark_count; i++) {
        if (!usable(a, p->marks[i], 1))
            continue;
        cairo_move_to(cr, x_at(a, p->marks[i]), a->area.y);
        cairo_line_to(cr, x_at(a, p->marks[i]), a->area.y + a->area.height);
    }
    cairo_stroke(cr);
}

/* Keeps coordinates where cairo's fixed-point numbers can hold them; what is outside is clipped anyway. */
static double held(double v)
{
    return v < -20000 ? -20000 : v > 20000 ? 20000 : v;
}

static void draw_series(cairo_t *cr, const axes *a, const cbm_series *s, size_t index)
{
    static const double dashes[] = { 7, 4 };
    double width = s->width > 0 ? s->width : 2;
    cbm_draw_color(cr, color_of(s, index));
    cairo_set_line_width(cr, width);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_dash(cr, dashes, s->dashed ? 2 : 0, 0);
    bool down = false;
    for (size_t i = 0; i < s->count && s->style != CBM_SERIES_POINTS; i++) {
        if (!usable(a, s->x[i], s->y[i])) {
            down = false;
            continue;
        }
        double x = held(x_at(a, s->x[i])), y = held(y_at(a, s->y[i]));
        if (down)
            cairo_line_to(cr, x, y);
        else
            cairo_move_to(cr, x, y);
        down = true;
    }
    cairo_stroke(cr);
    cairo_set_dash(cr, dashes, 0, 0);
    for (size_t i = 0; i < s->count && s->style != CBM_SERIES_LINE; i++) {
        if (!usable(a, s->x[i], s->y[i]))
            continue;
        cairo_arc(cr, held(x_at(a, s->x[i])), held(y_at(a, s->y[i])), width + 1.2, 0, 2 * M_PI);
        cairo_fill(cr);
    }
}

/* How much of a corner's box the series cross, counted in points of their lines. */
static size_t points_inside(const cbm_panel *p, const axes *a, const box *b)
{
    size_t inside = 0;
    for (size_t s = 0; s < p->series_count; s++) {
        const cbm_series *line = &p->series[s];
        for (size_t i = 0; i + 1 < line->count; i++) {
            if (!usable(a, line->x[i], line->y[i]) || !usable(a, line->x[i + 1], line->y[i + 1]))
                continue;
            double xa = x_at(a, line->x[i]), ya = y_at(a, line->y[i]);
            double xb = x_at(a, line->x[i + 1]), yb = y_at(a, line->y[i + 1]);
            for (int k = 0; k <= 8; k++) {
                double x = xa + (xb - xa) * k / 8, y = ya + (yb - ya) * k / 8;
                inside += x > b->x - 6 && x < b->x + b->width + 6 && y > b->y - 6 && y < b->y + b->height + 6;
            }
        }
    }
    return inside;
}

/* In the corner that hides least. */
static void draw_legend(cairo_t *cr, const axes *a, const cbm_panel *p)
{
    size_t rows = 0;
    double widest = 0;
    cbm_draw_font(cr, 13, false);
    for (size_t s = 0; s < p->series_count; s++)
        if (p->series[s].label) {
            rows++;
            widest = fmax(widest, cbm_draw_text_width(cr, p->series[s].label));
        }
    if (rows == 0)
        return;
    box size = { 0, 0, widest + LEGEND_SAMPLE + 26, (double)rows * LEGEND_ROW + 10 };
    const box *b = &a->area;
    box best = size;
    size_t least = SIZE_MAX;
    for (int corner = 0; corner < 4; corner++) {
        box c = size;
        c.x = corner & 1 ? b->x + 12 : b->x + b->width - size.width - 12;
        c.y = corner & 2 ? b->y + b->height - size.height - 12 : b->y + 10;
        size_t n = points_inside(p, a, &c);
        if (n < least) {
            least = n;
            best = c;
        }
    }
    cairo_rectangle(cr, floor(best.x) + 0.5, floor(best.y) + 0.5, floor(best.width), floor(best.height));
    cairo_set_source_rgba(cr, 1, 1, 1, 0.88);
    cairo_fill_preserve(cr);
    cbm_draw_color(cr, GRID);
    cairo_set_line_width(cr, 1);
    cairo_stroke(cr);
    double y = best.y + 5 + LEGEND_ROW / 2.0;
    for (size_t s = 0; s < p->series_count; s++) {
        if (!p->series[s].label)
            continue;
        double x0 = best.x + 9, x[2] = { x0, x0 + LEGEND_SAMPLE };
        const axes flat = { .x1 = 1, .y1 = 1, .area = { 0, y, 1, 0 } };
        double level[2] = { 0, 0 };
        cbm_series sample = p->series[s];
        sample.x = x, sample.y = level, sample.count = 2;
        if (sample.style == CBM_SERIES_POINTS)
            x[0] = x[1] = x0 + LEGEND_SAMPLE / 2.0;
        draw_series(cr, &flat, &sample, s);
        cbm_draw_color(cr, CBM_INK);
        cbm_draw_font(cr, 13, false);
        cbm_draw_text(cr, p->series[s].label, x0 + LEGEND_SAMPLE + 8, y + 4.5, 0);
        y += LEGEND_ROW;
    }
}

static void draw_panel(cairo_t *cr, const cbm_panel *p, const box *panel)
{
    axes a = { .log_x = p->log_x, .log_y = p->log_y };
    double top = p->title ? PANEL_TITLE : 10;
    double left = p->y_label ? LEFT : LEFT - 18, bottom = p->x_label ? BOTTOM : BOTTOM - 22;
    a.area = (box){ panel->x + left, panel->y + top, fmax(panel->width - left - RIGHT, 20),
                    fmax(panel->height - top - bottom, 20) };
    find_ranges(p, &a);
    cbm_ticks *ticks = calloc(2, sizeof *ticks);
    if (!ticks)
        return;
    find_ticks(p, &a, &ticks[0], &ticks[1]);
    draw_grid(cr, &a, &ticks[0], &ticks[1]);
    free(ticks);
    cairo_save(cr);
    cairo_rectangle(cr, a.area.x - 5, a.area.y - 5, a.area.width + 10, a.area.height + 10);
    cairo_clip(cr);
    draw_marks(cr, &a, p);
    for (size_t s = 0; s < p->series_count; s++)
        draw_series(cr, &a, &p->series[s], s);
    cairo_restore(cr);
    draw_frame(cr, &a, p, panel);
    draw_legend(cr, &a, p);
}

static void draw_all(cairo_t *cr, const cbm_plot *plot, double width, double height, size_t columns, size_t rows)
{
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    double top = OUTER;
    if (plot->title) {
        cbm_draw_font(cr, 18, true);
        cbm_draw_color(cr, CBM_INK);
        cbm_draw_text(cr, plot->title, width / 2, OUTER + 18, 0.5);
        top += TITLE_BAND;
    }
    double w = (width - 2.0 * OUTER - 20.0 * (double)(columns - 1)) / (double)columns;
    double h = (height - top - OUTER - 16.0 * (double)(rows - 1)) / (double)rows;
    for (size_t i = 0; i < plot->panel_count; i++) {
        box panel = { OUTER + (double)(i % columns) * (w + 20), top + (double)(i / columns) * (h + 16), w, h };
        draw_panel(cr, &plot->panels[i], &panel);
    }
}

cbm_status cbm_plot_draw(const cbm_plot *plot, cbm_image *image, cbm_media_message *message)
{
    *image = (cbm_image){ 0 };
    if (message)
        message->text[0] = 0;
    if (plot->panel_count < 1 || plot->panel_count > 64)
        return cbm_media_fail(message, CBM_ERROR_INVALID, "a plot has 1 to 64 panels, not %zu", plot->panel_count);
    size_t columns = plot->columns && plot->columns < plot->panel_count ? plot->columns : plot->panel_count;
    size_t rows = (plot->panel_count + columns - 1) / columns;
    int64_t width = plot->width ? plot->width : PANEL_WIDTH * (int64_t)columns;
    int64_t height = plot->height ? plot->height : PANEL_HEIGHT * (int64_t)rows + (plot->title ? TITLE_BAND : 0);
    cbm_status status = cbm_image_check_size(width, height, message);
    if (status != CBM_OK)
        return status;
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    cairo_t *cr = cairo_create(surface);
    draw_all(cr, plot, (double)width, (double)height, columns, rows);
    return cbm_drawing_finish(cr, surface, image, message);
}

cbm_status cbm_plot_write(const cbm_plot *plot, const char *path, cbm_media_message *message)
{
    cbm_image image;
    cbm_status status = cbm_plot_draw(plot, &image, message);
    if (status == CBM_OK)
        status = cbm_image_write_png(&image, path, message);
    cbm_image_free(&image);
    return status;
}
