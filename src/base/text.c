/* text.c: text that grows, and numbers as text, the same under every locale. Rests on array.c and POSIX locales
   (uselocale changes the calling thread only). */
#include "base/base.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static locale_t c_locale;
static pthread_once_t c_locale_made = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* Switches this thread to the C locale; what it returns goes to leave_c_locale. */
static locale_t enter_c_locale(void)
{
    pthread_once(&c_locale_made, make_c_locale);
    return c_locale == (locale_t)0 ? (locale_t)0 : uselocale(c_locale);
}

static void leave_c_locale(locale_t before)
{
    if (before != (locale_t)0)
        uselocale(before);
}

int cbm_format_v(char *to, size_t size, const char *format, va_list arguments)
{
    locale_t before = enter_c_locale();
    const int printed = vsnprintf(to, size, format, arguments);
    leave_c_locale(before);
    return printed;
}

cbm_text cbm_text_open(cbm_heap *heap)
{
    return (cbm_text){ CBM_ARRAY(heap, char) };
}

/* Formats into the room that is left, and once more when it was too little. */
bool cbm_text_append_v(cbm_text *t, const char *format, va_list arguments)
{
    cbm_array *a = &t->chars;
    size_t length = a->count > 0 ? a->count - 1 : 0; /* without the final 0 */
    if (a->capacity == 0 && !cbm_array_reserve(a, 64))
        return false;
    bool done = false;
    locale_t before = enter_c_locale();
    va_list again;
    va_copy(again, arguments);
    int printed = vsnprintf((char *)a->data + length, a->capacity - length, format, arguments);
    if (printed >= 0) {
        size_t needed = length + (size_t)printed + 1;
        size_t wanted = needed > a->capacity ? needed + needed / 2 : needed;
        done = cbm_array_reserve(a, wanted);
        if (done && needed < wanted)
            vsnprintf((char *)a->data + length, a->capacity - length, format, again);
        if (done)
            a->count = needed;
    }
    va_end(again);
    leave_c_locale(before);
    if (!done)
        ((char *)a->data)[length] = 0; /* as it was */
    return done;
}

bool cbm_text_append(cbm_text *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    bool done = cbm_text_append_v(t, format, arguments);
    va_end(arguments);
    return done;
}

const char *cbm_text_get(const cbm_text *t)
{
    return t->chars.count > 0 ? t->chars.data : "";
}

void cbm_text_free(cbm_text *t)
{
    cbm_array_free(&t->chars);
}

static void put_char(char *buffer, size_t size, size_t *at, char c)
{
    if (*at + 1 < size)
        buffer[(*at)++] = c;
    buffer[*at] = 0;
}

static void put_int(char *buffer, size_t size, size_t *at, int64_t value)
{
    char digits[24];
    int n = 0;
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do
        digits[n++] = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (value < 0)
        digits[n++] = '-';
    while (n > 0)
        put_char(buffer, size, at, digits[--n]);
}

/* Without printf: shape rules prepare this text before they know whether they need it. */
bool cbm_ends_in(const char *text, const char *ending)
{
    const size_t length = strlen(text), end = strlen(ending);
    return length >= end && strcmp(text + length - end, ending) == 0;
}

char *cbm_shape_text(const cbm_shape *s, char *buffer, size_t size)
{
    if (size == 0)
        return buffer;
    int64_t count = s->v[0];
    if (count < 0 || count > CBM_MAX_DIMS) {
        snprintf(buffer, size, "(%" PRId64 " entries: too many)", count);
        return buffer;
    }
    size_t at = 0;
    put_char(buffer, size, &at, '(');
    for (int64_t i = 1; i <= count; i++) {
        if (i > 1) {
            put_char(buffer, size, &at, ',');
            put_char(buffer, size, &at, ' ');
        }
        put_int(buffer, size, &at, s->v[i]);
    }
    put_char(buffer, size, &at, ')');
    return buffer;
}

/* Prints with growing precision until the text reads back as the same number: 17 digits always do. */
char *cbm_double_text(double value, char *buffer, size_t size)
{
    if (size == 0)
        return buffer;
    if (isnan(value) || isinf(value)) {
        snprintf(buffer, size, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return buffer;
    }
    char text[40];
    locale_t before = enter_c_locale();
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (digits == 17 || strtod(text, NULL) == value)
            break;
    }
    leave_c_locale(before);
    snprintf(buffer, size, "%s", text);
    return buffer;
}

void cbm_double_format(double value, char kind, int digits, char *buffer, size_t size)
{
    locale_t before = enter_c_locale();
    snprintf(buffer, size, kind == 'f' ? "%.*f" : "%.*e", digits, value);
    leave_c_locale(before);
}

/* "nan", "inf" and "-inf", as cbm_double_text writes them. */
static bool parse_special(const char *text, double *value)
{
    if (strcmp(text, "nan") == 0)
        *value = (double)NAN;
    else if (strcmp(text, "inf") == 0)
        *value = (double)INFINITY;
    else if (strcmp(text, "-inf") == 0)
        *value = -(double)INFINITY;
    else
        return false;
    return true;
}

/* strtod would also take leading blanks, hexadecimal digits and "nan(...)". A number too large is refused; one too
   small to be told from zero is accepted. */
bool cbm_double_parse(const char *text, double *value)
{
    if (text == NULL || *text == 0)
        return false;
    if (parse_special(text, value))
        return true;
    if (text[strspn(text, "0123456789+-.eE")] != 0)
        return false;
    char *end;
    locale_t before = enter_c_locale();
    double parsed = strtod(text, &end);
    leave_c_locale(before);
    if (end == text || *end != 0 || isinf(parsed))
        return false;
    *value = parsed;
    return true;
}

bool cbm_int_parse(const char *text, int64_t *value)
{
    if (text == NULL || *text == 0 || text[strspn(text, "0123456789+-")] != 0)
        return false;
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (end == text || *end != 0 || errno == ERANGE)
        return false;
    *value = parsed;
    return true;
}
