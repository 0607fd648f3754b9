/* folder.c: pictures in folders, a folder a class, read one at a time in one size. Rests on planes.c and POSIX. */
#include "media_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_ROOM = 4096, MOST_PICTURES = 100000000 };

typedef struct picture {
    char *path;
    int64_t label;
} picture;

struct cbm_image_folder {
    int64_t height, width, channels;
    char **classes;
    int64_t n_classes;
    picture *pictures;
    int64_t count;
};

/* ---- names ---- */

typedef struct names {
    char **at;
    int64_t count;
} names;

static void free_names(names *n)
{
    for (int64_t i = 0; i < n->count; i++)
        free(n->at[i]);
    free(n->at);
    *n = (names){ 0 };
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(names *n, const char *name)
{
    if ((n->count & (n->count - 1)) == 0) { /* full at each power of two */
        char **grown = realloc(n->at, (size_t)(n->count ? 2 * n->count : 1) * sizeof *grown);
        if (!grown)
            return false;
        n->at = grown;
    }
    n->at[n->count] = strdup(name);
    return n->at[n->count] && ++n->count <= MOST_PICTURES;
}

static bool is_picture(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot && cbm_is_picture_ending(dot);
}

/* The folders, or the pictures, in a folder, sorted byte by byte; hidden ones are passed over. */
static cbm_status list(const char *path, bool folders, names *out, cbm_media_message *message)
{
    char full[PATH_ROOM];
    struct stat about;
    bool good = true;
    *out = (names){ 0 };
    DIR *d = opendir(path);
    if (!d)
        return cbm_media_fail(message, CBM_ERROR_IO, "cannot open the folder '%.300s': %s", path, strerror(errno));
    for (struct dirent *e; good && (e = readdir(d)) != NULL;) {
        const int n = snprintf(full, sizeof full, "%s/%s", path, e->d_name);
        if (e->d_name[0] == '.' || n < 0 || n >= PATH_ROOM || stat(full, &about) != 0)
            continue;
        if (folders ? S_ISDIR(about.st_mode) : S_ISREG(about.st_mode) && is_picture(e->d_name))
            good = add_name(out, e->d_name);
    }
    closedir(d);
    if (!good) {
        free_names(out);
        return cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for the names in '%.300s'", path);
    }
    if (out->count)
        qsort(out->at, (size_t)out->count, sizeof *out->at, by_name);
    return CBM_OK;
}

/* ---- opening ---- */

static cbm_status add_class(cbm_image_folder *f, const char *path, int64_t label, cbm_media_message *message)
{
    char folder[PATH_ROOM], full[PATH_ROOM];
    names found;
    if (snprintf(folder, sizeof folder, "%s/%s", path, f->classes[label]) >= PATH_ROOM)
        return cbm_media_fail(message, CBM_ERROR_INVALID, "the path '%.100s...' is too long", path);
    cbm_status status = list(folder, false, &found, message);
    if (status != CBM_OK)
        return status;
    picture *grown = realloc(f->pictures, (size_t)(f->count + found.count + 1) * sizeof *grown);
    if (grown)
        f->pictures = grown;
    else
        status = cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for the list of pictures");
    for (int64_t i = 0; status == CBM_OK && i < found.count; i++) {
        const int n = snprintf(full, sizeof full, "%s/%s", folder, found.at[i]);
        char *copy = n < PATH_ROOM ? strdup(full) : NULL;
        if (copy)
            f->pictures[f->count++] = (picture){ copy, label };
        else
            status = cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for the list of pictures");
    }
    free_names(&found);
    return status;
}

cbm_status cbm_image_folder_open(const char *path, int64_t height, int64_t width, int64_t channels,
                                 cbm_image_folder **out, cbm_media_message *message)
{
    names classes;
    *out = NULL;
    if (message)
        message->text[0] = 0;
    cbm_status status = cbm_planes_check(height, width, channels, message);
    if (status == CBM_OK)
        status = list(path, true, &classes, message);
    if (status != CBM_OK)
        return status;
    cbm_image_folder *f = calloc(1, sizeof *f);
    if (!f) {
        free_names(&classes);
        return cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for the list of pictures");
    }
    *f = (cbm_image_folder){ height, width, channels, classes.at, classes.count, NULL, 0 };
    for (int64_t i = 0; i < f->n_classes && status == CBM_OK; i++)
        status = add_class(f, path, i, message);
    if (status == CBM_OK && f->count == 0)
        status = cbm_media_fail(message, CBM_ERROR_FORMAT,
                                "'%.300s' holds no pictures (.png, .jpg, .jpeg) in folders of their classes", path);
    if (status == CBM_OK)
        *out = f;
    else
        cbm_image_folder_free(f);
    return status;
}

void cbm_image_folder_free(cbm_image_folder *f)
{
    if (!f)
        return;
    names classes = { f->classes, f->n_classes };
    free_names(&classes);
    for (int64_t i = 0; i < f->count; i++)
        free(f->pictures[i].path);
    free(f->pictures);
    free(f);
}

/* ---- looking and reading ---- */

int64_t cbm_image_folder_count(const cbm_image_folder *f)
{
    return f ? f->count : 0;
}

int64_t cbm_image_folder_classes(const cbm_image_folder *f)
{
    return f ? f->n_classes : 0;
}

const char *cbm_image_folder_class(const cbm_image_folder *f, int64_t label)
{
    return f && label >= 0 && label < f->n_classes ? f->classes[label] : NULL;
}

const char *cbm_image_folder_path(const cbm_image_folder *f, int64_t index)
{
    return f && index >= 0 && index < f->count ? f->pictures[index].path : NULL;
}

cbm_status cbm_image_folder_read(const cbm_image_folder *f, int64_t index, uint8_t *planes, int64_t *label,
                                 cbm_media_message *message)
{
    cbm_image file;
    cbm_media_message why = { "" };
    if (!f || index < 0 || index >= f->count)
        return cbm_media_fail(message, CBM_ERROR_RANGE, "there is no picture %lld", (long long)index);
    const picture *p = &f->pictures[index];
    cbm_status status = cbm_image_read(p->path, &file, &why);
    if (status == CBM_OK)
        status = cbm_image_to_planes(&file, f->height, f->width, f->channels, planes, &why);
    cbm_image_free(&file);
    if (status != CBM_OK)
        return cbm_media_fail(message, status, "'%.200s': %.200s", p->path, why.text);
    if (label)
        *label = p->label;
    return CBM_OK;
}
