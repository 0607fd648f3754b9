/* json.c: the program's JSON output, built in memory and printed at the end. Rests on Jansson. */
#include "cli.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Digits of a real number: more would show the noise of binary fractions, 0.10000000000000001. */
enum { REAL_DIGITS = 15 };

/* Takes value (NULL: no memory, left out) into the innermost container. */
static void put(cbm_json *j, const char *name, json_t *value)
{
    if (j->depth == 0) {
        json_decref(value);
        return;
    }
    json_t *inside = j->open[j->depth - 1];
    if (json_is_array(inside))
        json_array_append_new(inside, value);
    else
        json_object_set_new(inside, name ? name : "", value);
}

static void open_container(cbm_json *j, const char *name, json_t *container)
{
    if (j->depth == CBM_JSON_DEPTH) {
        json_decref(container);
        return;
    }
    if (j->depth > 0)
        put(j, name, container);
    j->open[j->depth++] = container;
}

void cbm_json_object(cbm_json *j, const char *name)
{
    open_container(j, name, json_object());
}

void cbm_json_array(cbm_json *j, const char *name)
{
    open_container(j, name, json_array());
}

void cbm_json_close(cbm_json *j)
{
    if (j->depth > 1)
        j->depth--;
}

void cbm_json_text(cbm_json *j, const char *name, const char *value)
{
    json_t *text = value ? json_string(value) : json_null();
    char *plain = text ? NULL : strdup(value);
    for (char *c = plain; c && *c; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    put(j, name, plain ? json_string(plain) : text);
    free(plain);
}

void cbm_json_int(cbm_json *j, const char *name, int64_t value)
{
    put(j, name, json_integer(value));
}

void cbm_json_real(cbm_json *j, const char *name, double value)
{
    put(j, name, isfinite(value) ? json_real(value) : json_null());
}

void cbm_json_bool(cbm_json *j, const char *name, bool value)
{
    put(j, name, json_boolean(value));
}

void cbm_json_shape(cbm_json *j, const char *name, const cbm_shape *shape)
{
    cbm_json_array(j, name);
    for (int64_t i = 1; i <= shape->v[0] && i <= CBM_MAX_DIMS; i++)
        cbm_json_int(j, NULL, shape->v[i]);
    cbm_json_close(j);
}

void cbm_json_drop(cbm_json *j)
{
    if (j->depth > 0)
        json_decref(j->open[0]);
    *j = (cbm_json){ 0 };
}

int cbm_json_end(cbm_json *j, FILE *out)
{
    json_t *document = j->depth > 0 ? j->open[0] : NULL;
    bool printed = document && json_dumpf(document, out, JSON_INDENT(2) | JSON_REAL_PRECISION(REAL_DIGITS)) == 0;
    fputc('\n', out);
    cbm_json_drop(j);
    return printed && !ferror(out) ? CBM_EXIT_OK : cbm_report("cannot write the output");
}
