/* print.c: tensors as text, as NumPy's str() writes arrays: columns of one width, numbers with the fewest digits that tell them
   apart from their neighbours, exponents for all of them where magnitudes differ much, lines of at most 75 letters, "..." for
   the middle of what has more than 1000 elements. Rests on access.c. */
#include "tensor/context.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EDGE = 3,        /* elements shown at each end of a long axis */
    WHOLE = 1000,    /* tensors up to this size are shown whole */
    WIDTH = 75,      /* of a line */
    FRACTION = 8,    /* digits behind the point at most */
    WORD = 64,       /* letters of a number */
    LINE = 2 * WIDTH /* a line and a word that did not fit it */
};

/* How all elements of a tensor are written. */
typedef struct style {
    bool exponents;
    int left, right; /* letters before the point (with the sign), digits behind it */
    int power;       /* digits of exponents */
} style;

typedef struct printer {
    const cbm_value *v;
    bool short_of; /* the middles of long axes are left out */
    style style;
    cbm_text text;
    char line[LINE];
} printer;

/* The fewest digits (and the power of ten of the first) that are x and no other number of its dtype. */
static int digits_of(const cbm_value *v, double x, int *power)
{
    const bool wide = v->dtype == CBM_F64;
    char text[WORD];
    int digits = 1;
    for (; digits < (wide ? 17 : 9); digits++) {
        cbm_double_format(x, 'e', digits - 1, text, sizeof text);
        double read;
        if (cbm_double_parse(text, &read) && (wide ? read == x : (float)read == (float)x))
            break;
    }
    cbm_double_format(x, 'e', digits - 1, text, sizeof text);
    *power = atoi(strchr(text, 'e') + 1);
    return digits;
}

/* "12.5", "3.": at most `most` digits behind the point. */
static void put_plain(const cbm_value *v, double x, int most, char *word)
{
    int power;
    const int digits = digits_of(v, x, &power), fraction = digits - 1 - power;
    cbm_double_format(x, 'f', fraction < 0 ? 0 : fraction < most ? fraction : most, word, WORD);
    if (!strchr(word, '.'))
        strcat(word, ".");
    else
        for (char *end = word + strlen(word); end[-1] == '0';)
            *--end = 0;
}

/* "1.5e-07", "2.e+10": at most `most` digits behind the point. */
static void put_power(const cbm_value *v, double x, int most, char *word)
{
    int power;
    const int digits = digits_of(v, x, &power) - 1;
    char text[WORD];
    cbm_double_format(x, 'e', digits < most ? digits : most, text, sizeof text);
    char *e = strchr(text, 'e'), *end = e;
    bool point = strchr(text, '.') != NULL;
    while (point && end[-1] == '0')
        end--;
    snprintf(word, WORD, "%.*s%s%s", (int)(end - text), text, point ? "" : ".", e);
}

static void put_odd(double x, char *word)
{
    snprintf(word, WORD, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
}

/* blanks, then text, then blanks, cut where a word ends. */
static void put_between(int before, const char *text, int after, char *word)
{
    const size_t length = strlen(text), room = WORD - 1;
    size_t left = before > 0 ? (size_t)before : 0, right = after > 0 ? (size_t)after : 0;
    left = left < room - length ? left : room - length;
    right = right < room - length - left ? right : room - length - left;
    memset(word, ' ', left + length + right);
    memcpy(word + left, text, length);
    word[left + length + right] = 0;
}

static void put_float(const printer *p, double x, char *word)
{
    const style *s = &p->style;
    char text[WORD], *point;
    if (!isfinite(x)) {
        put_odd(x, text);
        put_between(s->left + 1 + s->right + (s->exponents ? 2 + s->power : 0) - (int)strlen(text), text, 0, word);
        return;
    }
    if (s->exponents)
        put_power(p->v, x, FRACTION, text);
    else
        put_plain(p->v, x, FRACTION, text);
    point = strchr(text, '.');
    const int left = (int)(point - text);
    char *e = strchr(point, 'e');
    const int right = (int)((e ? e : text + strlen(text)) - point) - 1;
    if (!e) {
        put_between(s->left - left, text, s->right - right, word);
        return;
    }
    char digits[WORD]; /* of numbers with fewer ones, those that follow in the binary number */
    cbm_double_format(x, 'e', s->right, text, sizeof text);
    e = strchr(text, 'e');
    snprintf(digits, sizeof digits, "%.*s%se%c%0*d", (int)(e - text), text, s->right ? "" : ".", e[1], s->power,
             atoi(e + 2));
    put_between(s->left - left, digits, 0, word);
}

static void put_word(const printer *p, int64_t i, char *word)
{
    char text[WORD];
    if (cbm_is_floating((cbm_dtype)p->v->dtype)) {
        put_float(p, cbm_element_number(p->v->storage->data, (cbm_dtype)p->v->dtype, i), word);
        return;
    }
    if (p->v->dtype == CBM_BOOL)
        snprintf(text, sizeof text, "%s",
                 cbm_element_whole(p->v->storage->data, (cbm_dtype)p->v->dtype, i) ? "True" : "False");
    else
        snprintf(text, sizeof text, "%lld",
                 (long long)cbm_element_whole(p->v->storage->data, (cbm_dtype)p->v->dtype, i));
    put_between(p->style.left - (int)strlen(text), text, 0, word);
}

/* A lone number: as many digits as it has, and always something behind the point. */
static void put_scalar(const cbm_value *v, char *word)
{
    const double x = cbm_element_number(v->storage->data, (cbm_dtype)v->dtype, 0), size = fabs(x);
    if (!isfinite(x)) {
        put_odd(x, word);
        return;
    }
    if (size != 0 && (size < 1e-4 || size >= (v->dtype == CBM_F64 ? 1e16 : 1e6))) {
        char text[WORD];
        put_power(v, x, 17, text);
        char *e = strchr(text, 'e');
        snprintf(word, WORD, "%.*s%s", (int)(e - text) - (e[-1] == '.'), text, e);
        return;
    }
    put_plain(v, x, 20, word);
    if (word[strlen(word) - 1] == '.')
        strcat(word, "0");
}

/* ---- the style ---- */

typedef void (*visit)(printer *p, int64_t i, void *user);

static bool is_cut(const printer *p, int64_t extent)
{
    return p->short_of && extent > 2 * EDGE;
}

/* Calls visit for each element that is shown. */
static void each_shown(printer *p, int64_t axis, int64_t offset, int64_t below, visit call, void *user)
{
    if (axis == p->v->shape.v[0]) {
        call(p, offset, user);
        return;
    }
    const int64_t n = p->v->shape.v[1 + axis], step = below / n;
    for (int64_t i = 0; i < n; i++) {
        if (is_cut(p, n) && i == EDGE)
            i = n - EDGE;
        each_shown(p, axis + 1, offset + i * step, step, call, user);
    }
}

typedef struct extremes {
    double least, most; /* of magnitudes but 0 */
} extremes;

static void find_extremes(printer *p, int64_t i, void *user)
{
    extremes *e = user;
    const double x = fabs(cbm_element_number(p->v->storage->data, (cbm_dtype)p->v->dtype, i));
    if (!isfinite(x) || x == 0)
        return;
    e->least = x < e->least ? x : e->least;
    e->most = x > e->most ? x : e->most;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

static void widen_for(printer *p, int64_t i, void *user)
{
    style *s = &p->style;
    const double x = cbm_element_number(p->v->storage->data, (cbm_dtype)p->v->dtype, i);
    char text[WORD];
    (void)user;
    if (!isfinite(x))
        return;
    if (s->exponents)
        put_power(p->v, x, FRACTION, text);
    else
        put_plain(p->v, x, FRACTION, text);
    const char *point = strchr(text, '.'), *e = strchr(text, 'e');
    s->left = larger(s->left, (int)(point - text));
    s->right = larger(s->right, (int)((e ? e : text + strlen(text)) - point) - 1);
    s->power = larger(s->power, e ? (int)strlen(e) - 2 : 0);
}

static void widen_for_odd(printer *p, int64_t i, void *user)
{
    style *s = &p->style;
    const double x = cbm_element_number(p->v->storage->data, (cbm_dtype)p->v->dtype, i);
    (void)user;
    if (!isfinite(x))
        s->left = larger(s->left, (isinf(x) && x < 0 ? 4 : 3) - (s->right + (s->exponents ? 2 + s->power : 0) + 1));
}

static void widen_for_whole(printer *p, int64_t i, void *user)
{
    char text[WORD];
    (void)user;
    p->style.left =
        larger(p->style.left, snprintf(text, sizeof text, "%lld",
                                       (long long)cbm_element_whole(p->v->storage->data, (cbm_dtype)p->v->dtype, i)));
}

/* NumPy 2.3's rule, reckoned in the tensor's own precision: above the whole numbers that its digits are good for (10^6 in f32,
   10^8 at most), below 10^-4, or more than 1000 apart. */
static bool needs_exponents(const cbm_value *v, const extremes *e)
{
    if (v->dtype == CBM_F64)
        return e->most >= 1e8 || e->least < 1e-4 || e->most / e->least > 1000;
    const float least = (float)e->least, most = (float)e->most;
    return most >= 1e6F || least < 1e-4F || most / least > 1000;
}

static void choose_style(printer *p)
{
    const int64_t count = p->v->count;
    if (p->v->dtype == CBM_BOOL) {
        p->style.left = 5;
        return;
    }
    if (!cbm_is_floating((cbm_dtype)p->v->dtype)) {
        each_shown(p, 0, 0, count, widen_for_whole, NULL);
        return;
    }
    extremes e = { HUGE_VAL, 0 };
    each_shown(p, 0, 0, count, find_extremes, &e);
    p->style.exponents = e.most > 0 && needs_exponents(p->v, &e);
    each_shown(p, 0, 0, count, widen_for, NULL);
    each_shown(p, 0, 0, count, widen_for_odd, NULL);
}

/* ---- lines and brackets ---- */

/* A word at the end of the line (whose indent is written already), which begins a new one if it would become too long. */
static void put_in_line(printer *p, const char *word, int indent)
{
    size_t length = strlen(p->line);
    if (length > 0 && 2 * (size_t)indent + length + strlen(word) > WIDTH) {
        while (length > 0 && p->line[length - 1] == ' ')
            p->line[--length] = 0;
        cbm_text_append(&p->text, "%s\n%*s", p->line, indent, "");
        length = 0;
    }
    snprintf(p->line + length, sizeof p->line - length, "%s ", word);
}

static void put_row(printer *p, int64_t n, int64_t offset, int indent)
{
    char word[WORD];
    p->line[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        if (is_cut(p, n) && i == EDGE) {
            put_in_line(p, "...", indent);
            i = n - EDGE;
        }
        put_word(p, offset + i, word);
        put_in_line(p, word, indent);
    }
    p->line[strlen(p->line) - 1] = 0;
    cbm_text_append(&p->text, "%s", p->line);
}

static void put_axis(printer *p, int64_t axis, int64_t offset, int64_t below)
{
    const int64_t rank = p->v->shape.v[0], n = p->v->shape.v[1 + axis], step = below / n;
    const int indent = 1 + (int)axis;
    cbm_text_append(&p->text, "[");
    for (int64_t i = 0; axis + 1 < rank && i < n; i++) {
        if (i > 0)
            cbm_text_append(&p->text, "%.*s%*s", (int)(rank - axis - 1), "\n\n\n\n\n\n\n", indent, "");
        if (is_cut(p, n) && i == EDGE) {
            cbm_text_append(&p->text, "...");
            i = n - EDGE - 1;
            continue;
        }
        put_axis(p, axis + 1, offset + i * step, step);
    }
    if (axis + 1 == rank)
        put_row(p, n, offset, indent);
    cbm_text_append(&p->text, "]");
}

static void put_tensor(printer *p)
{
    char word[WORD];
    if (p->v->count == 0) {
        cbm_text_append(&p->text, "[]");
    } else if (p->v->shape.v[0] > 0) {
        choose_style(p);
        put_axis(p, 0, 0, p->v->count);
    } else {
        if (cbm_is_floating((cbm_dtype)p->v->dtype))
            put_scalar(p->v, word);
        else
            put_word(p, 0, word);
        cbm_text_append(&p->text, "%s", word);
    }
}

size_t cbm_tensor_format(cbm_tensor *t, char *buffer, size_t size)
{
    if (size)
        buffer[0] = 0;
    if (!cbm_tensor_data(t) && (!cbm_usable(cbm_tensor_context(t), t) || t->value->count))
        return 0;
    printer p = { .v = t->value, .short_of = t->value->count > WHOLE, .text = cbm_text_open(t->cx->heap) };
    put_tensor(&p);
    const size_t length = strlen(cbm_text_get(&p.text));
    if (size) {
        const size_t part = length < size ? length : size - 1;
        memcpy(buffer, cbm_text_get(&p.text), part);
        buffer[part] = 0;
    }
    cbm_text_free(&p.text);
    return length;
}
