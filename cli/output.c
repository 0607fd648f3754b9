/* output.c: files that commands write for the user: complete under their name, or not there at all. */
#include "plan.h"

#include <errno.h>
#include <string.h>

static bool part_name(const char *path, char part[static CBM_PATH_ROOM])
{
    return snprintf(part, CBM_PATH_ROOM, "%s.part", path) < CBM_PATH_ROOM;
}

FILE *cbm_output_open(const char *path)
{
    char part[CBM_PATH_ROOM];
    if (strcmp(path, "-") == 0)
        return stdout;
    FILE *out = *path && part_name(path, part) ? fopen(part, "w") : NULL;
    if (!out)
        cbm_report("cannot write '%s': %s", path, *path ? strerror(errno) : "no name");
    return out;
}

int cbm_output_close(FILE *out, const char *path, int code)
{
    char part[CBM_PATH_ROOM];
    if (out == stdout)
        return code;
    bool good = !ferror(out);
    good = fclose(out) == 0 && good && code == CBM_EXIT_OK && part_name(path, part);
    if (good && rename(part, path) == 0)
        return CBM_EXIT_OK;
    if (part_name(path, part))
        remove(part);
    return code ? code : cbm_report("cannot write '%s'", path);
}
