/* measures.c: the numbers that a recipe with a course of its own has found, by name. */
#include "recipe.h"
#include <stdarg.h>

void cbm_recipe_measure(const cbm_recipe_settings *s, double value, const char *format, ...)
{
    cbm_measures *m = s->measures;
    if (!m || m->count >= CBM_MEASURES_MOST)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(m->at[m->count].name, sizeof m->at[m->count].name, format, arguments);
    va_end(arguments);
    for (char *c = m->at[m->count].name; *c; c++)
        *c = *c == ' ' || *c == '-' ? '_' : *c;
    m->at[m->count++].value = value;
}
