/* messages.c: errors on standard error, and numbers, sizes and names as people read them. */
#include "cli.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

const char *cbm_program = "cambium";

static void report(const char *format, va_list arguments)
{
    cbm_live_clear();
    fflush(stdout);
    fputs("cambium: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

int cbm_report(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(format, arguments);
    va_end(arguments);
    return CBM_EXIT_FAILURE;
}

int cbm_report_usage(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    report(format, arguments);
    va_end(arguments);
    if (command)
        fprintf(stderr, "HINT: cambium %s --help\n", command);
    else
        fprintf(stderr, "HINT: cambium --help\n");
    return CBM_EXIT_USAGE;
}

int cbm_report_context(const cbm_context *cx)
{
    if (cbm_context_status(cx) == CBM_ERROR_CANCELLED && cbm_interrupted()) {
        cbm_report("interrupted");
        return CBM_EXIT_INTERRUPTED;
    }
    const char *message = cbm_message(cx);
    return cbm_report("%s", *message ? message : cbm_status_name(cbm_context_status(cx)));
}

char *cbm_text_count(int64_t n, char text[static 32])
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)n), out = 0;
    for (int i = 0; i < length; i++) {
        text[out++] = digits[i];
        int left = length - 1 - i;
        if (left > 0 && left % 3 == 0 && digits[i] != '-')
            text[out++] = ',';
    }
    text[out] = 0;
    return text;
}

char *cbm_text_si(double n, char text[static 32])
{
    static const char *const units[] = { "", " k", " M", " G", " T", " P" };
    size_t unit = 0;
    while (fabs(n) >= 999.95 && unit + 1 < sizeof units / sizeof *units) {
        n /= 1000;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f%s" : "%.0f%s", n, units[unit]);
    return text;
}

char *cbm_text_bytes(double n, char text[static 32])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;
    while (n >= 1023.95 && unit + 1 < sizeof units / sizeof *units) {
        n /= 1024;
        unit++;
    }
    snprintf(text, 32, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
    return text;
}

char *cbm_text_seconds(double s, char text[static 32])
{
    if (!isfinite(s) || s < 0 || s > 1e8) {
        snprintf(text, 32, "?");
        return text;
    }
    long long whole = llround(s);
    if (whole >= 3600)
        snprintf(text, 32, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, 32, "%lld:%02lld", whole / 60, whole % 60);
    return text;
}

char *cbm_text_shape(const cbm_shape *shape, char text[static 160])
{
    int used = snprintf(text, 160, "(");
    for (int64_t i = 1; i <= shape->v[0] && i <= CBM_MAX_DIMS && used < 150; i++)
        used += snprintf(text + used, 160 - (size_t)used, "%s%lld", i > 1 ? ", " : "", (long long)shape->v[i]);
    snprintf(text + used, 160 - (size_t)used, ")");
    return text;
}

int cbm_print_safe(FILE *out, const char *text)
{
    int columns = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool control = *c < 0x20 || *c == 0x7f;
        if (control) {
            fprintf(out, "\\x%02x", *c);
            columns += 4;
            continue;
        }
        fputc(*c, out);
        columns += (*c & 0xc0) != 0x80;
    }
    return columns;
}

/* Levenshtein's distance, for words of less than 40 letters. */
static size_t distance(const char *a, const char *b)
{
    size_t row[41], m = strlen(a), n = strlen(b);
    if (m > 40 || n > 40)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = corner + (a[i - 1] != b[j - 1]), least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            corner = row[j];
            row[j] = change < least ? change : least;
        }
    }
    return row[n];
}

const char *cbm_nearest(const char *word, const char *(*at)(size_t i, void *user), void *user)
{
    const char *best = NULL;
    size_t least = 3; /* more than two slips are another word */
    for (size_t i = 0; at(i, user); i++) {
        const char *name = at(i, user);
        size_t d = distance(word, name);
        if (strlen(word) >= 3 && strncmp(word, name, strlen(word)) == 0)
            d = 1;
        if (d < least && d < strlen(name)) {
            least = d;
            best = name;
        }
    }
    return best;
}
