/* options.c: parses a command's options from its table and prints its help from the same table. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The words of the command line, kept for cbm_options_print_given: each option with its own value. */
typedef struct given_option {
    const cbm_option *option;
    const char *value;
} given_option;
enum { MAX_GIVEN = 64 };
static given_option given[MAX_GIVEN];
static size_t given_count;

static const cbm_option *by_name(const cbm_command *c, const char *name, size_t length)
{
    for (size_t i = 0; i < c->n_options; i++)
        if (strlen(c->options[i].name) == length && memcmp(c->options[i].name, name, length) == 0)
            return &c->options[i];
    return NULL;
}

static const cbm_option *by_letter(const cbm_command *c, char letter)
{
    for (size_t i = 0; i < c->n_options; i++)
        if (c->options[i].letter == letter)
            return &c->options[i];
    return NULL;
}

static const char *option_name_at(size_t i, void *user)
{
    const cbm_command *c = user;
    return i < c->n_options ? c->options[i].name : NULL;
}

static bool store_int(const cbm_command *c, const cbm_option *o, const char *value, void *place)
{
    char *end = NULL;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    bool digits = value[0] == '-' || (value[0] >= '0' && value[0] <= '9');
    if (!digits || end == value || *end) {
        cbm_report_usage(c->name, "--%s wants a whole number, not '%s'", o->name, value);
        return false;
    }
    if (errno == ERANGE || (double)v < o->low || (double)v > o->high) {
        cbm_report_usage(c->name, "--%s must be between %.0f and %.0f, not %s", o->name, o->low, o->high, value);
        return false;
    }
    *(int64_t *)place = v;
    return true;
}

static bool store_real(const cbm_command *c, const cbm_option *o, const char *value, void *place)
{
    char *end = NULL;
    double v = strtod(value, &end);
    if (end == value || *end || !isfinite(v)) {
        cbm_report_usage(c->name, "--%s wants a number, not '%s'", o->name, value);
        return false;
    }
    if (v < o->low || v > o->high) {
        cbm_report_usage(c->name, "--%s must be between %g and %g, not %s", o->name, o->low, o->high, value);
        return false;
    }
    *(double *)place = v;
    return true;
}

static bool store(const cbm_command *c, const cbm_option *o, const char *value, void *options)
{
    void *place = (char *)options + o->offset;
    if (given_count < MAX_GIVEN)
        given[given_count++] = (given_option){ o, value };
    switch (o->type) {
    case CBM_OPTION_FLAG: *(bool *)place = true; return true;
    case CBM_OPTION_TEXT: *(const char **)place = value; return true;
    case CBM_OPTION_INT: return store_int(c, o, value, place);
    case CBM_OPTION_REAL: return store_real(c, o, value, place);
    }
    return false;
}

/* One option at argv[*i]; moves *i over its value. */
static bool parse_one(const cbm_command *c, int argc, char **argv, int *i, void *options)
{
    const char *word = argv[*i], *value = NULL;
    const cbm_option *o = NULL;
    if (word[1] == '-') {
        const char *equals = strchr(word, '=');
        o = by_name(c, word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word + 2));
        value = equals ? equals + 1 : NULL;
        if (o && o->type == CBM_OPTION_FLAG && value) {
            cbm_report_usage(c->name, "--%s takes no value", o->name);
            return false;
        }
    } else {
        o = by_letter(c, word[1]);
        value = o && o->type != CBM_OPTION_FLAG && word[2] ? word + 2 : NULL;
        if (o && o->type == CBM_OPTION_FLAG && word[2])
            o = NULL;
    }
    if (!o) {
        const char *near = word[1] == '-' ? cbm_nearest(word + 2, option_name_at, (void *)(uintptr_t)c) : NULL;
        if (near)
            cbm_report_usage(c->name, "there is no option '%s'; did you mean --%s?", word, near);
        else
            cbm_report_usage(c->name, "there is no option '%s'", word);
        return false;
    }
    if (o->type != CBM_OPTION_FLAG && !value) {
        if (*i + 1 >= argc) {
            cbm_report_usage(c->name, "--%s needs a value (%s)", o->name, o->value);
            return false;
        }
        value = argv[++*i];
    }
    return store(c, o, value, options);
}

bool cbm_options_parse(const cbm_command *c, int argc, char **argv, void *options, cbm_arguments *rest, bool *help)
{
    *rest = (cbm_arguments){ 0, argv };
    *help = false;
    given_count = 0;
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--") == 0)
            break;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *help = true;
            return true;
        }
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        bool option = !only_words && argv[i][0] == '-' && argv[i][1];
        if (option && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!option)
            rest->at[rest->count++] = argv[i];
        else if (!parse_one(c, argc, argv, &i, options))
            return false;
    }
    if (rest->count < c->least) {
        cbm_report_usage(c->name, "too few arguments: cambium %s %s", c->name, c->usage);
        return false;
    }
    if (c->most >= 0 && rest->count > c->most) {
        cbm_report_usage(c->name, "too many arguments: '%s'", rest->at[c->most]);
        return false;
    }
    return true;
}

void cbm_command_help(const cbm_command *c, FILE *out)
{
    fprintf(out, "cambium %s %s\n\n%s\n", c->name, c->usage, c->description);
    fprintf(out, "\noptions:\n");
    for (size_t i = 0; i < c->n_options; i++) {
        const cbm_option *o = &c->options[i];
        char left[64], letter[8] = "    ";
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->value ? " " : "", o->value ? o->value : "");
        fprintf(out, "  %-26s %s\n", left, o->help);
    }
    fprintf(out, "  %-26s %s\n", "-h, --help", "this text");
}

void cbm_print_quoted(FILE *out, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%";
    if (*word && strspn(word, plain) == strlen(word)) {
        fputs(word, out);
        return;
    }
    fputc('\'', out);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", out);
        else
            fputc(*word, out);
    fputc('\'', out);
}

void cbm_options_print_given(FILE *out, const char *const *leave_out)
{
    for (size_t i = 0; i < given_count; i++) {
        bool left_out = false;
        for (const char *const *name = leave_out; *name; name++)
            left_out = left_out || strcmp(*name, given[i].option->name) == 0;
        if (left_out)
            continue;
        fprintf(out, " --%s", given[i].option->name);
        if (!given[i].value)
            continue;
        fputc(' ', out);
        cbm_print_quoted(out, given[i].value);
    }
}
