/* shards.c: pictures and their classes in tar files, in WebDataset's convention, read where they lie. Rests on tar.c, planes.c. */
#include "media_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { LABEL_MOST = 999999, LABEL_ROOM = 32 };

typedef struct sample {
    int64_t shard, offset, bytes, label; /* offset -1: no picture so far; label -1: no class */
} sample;

struct cbm_image_shards {
    int64_t height, width, channels, classes;
    char **paths;
    size_t n_paths;
    sample *samples;
    int64_t count;
};

/* ---- opening ---- */

/* A shard under way: the sample that its members are of. */
typedef struct grouping {
    cbm_image_shards *shards;
    size_t shard;
    char key[4096];
    sample now;
    bool any; /* members of a sample were met */
} grouping;

static cbm_status refuse(const grouping *g, cbm_media_message *message, cbm_status status, const char *what)
{
    return cbm_media_fail(message, status, "'%.150s': sample '%.150s' %s", g->shards->paths[g->shard], g->key, what);
}

static cbm_status end_sample(grouping *g, cbm_media_message *message)
{
    cbm_image_shards *s = g->shards;
    if (!g->any)
        return CBM_OK;
    g->any = false;
    if (g->now.offset < 0 || g->now.label < 0)
        return refuse(g, message, CBM_ERROR_FORMAT,
                      g->now.offset < 0 ? "has no picture (.png, .jpg, .jpeg)" : "has no class (.cls)");
    if ((s->count & (s->count - 1)) == 0) { /* full at each power of two */
        sample *grown = realloc(s->samples, (size_t)(s->count ? 2 * s->count : 1) * sizeof *grown);
        if (!grown)
            return cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for the list of pictures");
        s->samples = grown;
    }
    s->samples[s->count++] = g->now;
    s->classes = g->now.label >= s->classes ? g->now.label + 1 : s->classes;
    return CBM_OK;
}

/* A whole number as text, with white space around it; -1: none, or too large. */
static int64_t label_in(int fd, int64_t offset, int64_t bytes)
{
    char text[LABEL_ROOM + 1] = "";
    if (bytes < 1 || bytes > LABEL_ROOM || !cbm_media_read_at(fd, text, (size_t)bytes, offset))
        return -1;
    size_t i = strspn(text, " \t\r\n"), digits = strspn(text + i, "0123456789");
    int64_t value = 0;
    for (size_t k = 0; k < digits && value <= LABEL_MOST; k++)
        value = 10 * value + (text[i + k] - '0');
    i += digits;
    i += strspn(text + i, " \t\r\n");
    return digits > 0 && i == (size_t)bytes && value <= LABEL_MOST ? value : -1;
}

static cbm_status take_member(grouping *g, const cbm_tar *t, cbm_media_message *message)
{
    const char *slash = strrchr(t->name, '/'), *dot = strchr(slash ? slash : t->name, '.');
    if (!dot || dot == (slash ? slash + 1 : t->name)) /* no ending, or a hidden file */
        return CBM_OK;
    const bool picture = cbm_is_picture_ending(dot);
    if (!picture && strcasecmp(dot, ".cls") != 0)
        return CBM_OK;
    size_t n = (size_t)(dot - t->name);
    if (strlen(g->key) != n || memcmp(g->key, t->name, n) != 0 || !g->any) {
        cbm_status status = end_sample(g, message);
        if (status != CBM_OK)
            return status;
        memcpy(g->key, t->name, n);
        g->key[n] = 0;
        g->now = (sample){ (int64_t)g->shard, -1, 0, -1 };
        g->any = true;
    }
    if (picture) {
        if (g->now.offset >= 0)
            return refuse(g, message, CBM_ERROR_FORMAT, "has two pictures");
        g->now.offset = t->offset;
        g->now.bytes = t->bytes;
    } else {
        g->now.label = label_in(t->fd, t->offset, t->bytes);
        if (g->now.label < 0)
            return refuse(g, message, CBM_ERROR_FORMAT, "has a class that is no number from 0 to 999999");
    }
    return CBM_OK;
}

static cbm_status open_shard(cbm_image_shards *s, size_t shard, cbm_media_message *message)
{
    const char *path = s->paths[shard]; /* closed again at the end: shards may be more than files can be open */
    int64_t size = 0;
    int fd = cbm_media_open(path, &size, message);
    if (fd < 0)
        return CBM_ERROR_IO;
    cbm_tar *t = calloc(1, sizeof *t);
    grouping *g = calloc(1, sizeof *g);
    cbm_media_message why = { "" };
    cbm_status status = CBM_OK;
    if (!t || !g)
        status = cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for reading '%.300s'", path);
    if (status == CBM_OK) {
        *t = (cbm_tar){ .fd = fd, .size = size };
        *g = (grouping){ .shards = s, .shard = shard };
        while (status == CBM_OK && cbm_tar_next(t, &status, &why))
            status = take_member(g, t, message);
        if (status != CBM_OK && why.text[0])
            cbm_media_fail(message, status, "'%.200s': %.250s", path, why.text);
        if (status == CBM_OK)
            status = end_sample(g, message);
    }
    free(t);
    free(g);
    close(fd);
    return status;
}

cbm_status cbm_image_shards_open(const char *const *paths, size_t count, int64_t height, int64_t width,
                                 int64_t channels, cbm_image_shards **out, cbm_media_message *message)
{
    *out = NULL;
    if (message)
        message->text[0] = 0;
    cbm_status status = cbm_planes_check(height, width, channels, message);
    if (status != CBM_OK)
        return status;
    if (!paths || count < 1 || count > 100000)
        return cbm_media_fail(message, CBM_ERROR_INVALID, "needs the paths of 1 to 100,000 tar files");
    cbm_image_shards *s = calloc(1, sizeof *s);
    if (!s)
        return cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for the list of pictures");
    *s = (cbm_image_shards){ .height = height, .width = width, .channels = channels };
    s->paths = calloc(count, sizeof *s->paths);
    bool room = s->paths != NULL;
    for (size_t i = 0; room && i < count; i++) {
        s->n_paths = i + 1;
        s->paths[i] = paths[i] ? strdup(paths[i]) : NULL;
        room = s->paths[i] != NULL;
    }
    if (!room)
        status = cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for the list of files, or one of them is NULL");
    for (size_t i = 0; i < count && status == CBM_OK; i++)
        status = open_shard(s, i, message);
    if (status == CBM_OK && s->count == 0)
        status = cbm_media_fail(message, CBM_ERROR_FORMAT, "'%.300s' holds no pictures with classes", s->paths[0]);
    if (status == CBM_OK)
        *out = s;
    else
        cbm_image_shards_free(s);
    return status;
}

void cbm_image_shards_free(cbm_image_shards *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_paths; i++)
        free(s->paths[i]);
    free(s->paths);
    free(s->samples);
    free(s);
}

/* ---- looking and reading ---- */

int64_t cbm_image_shards_count(const cbm_image_shards *s)
{
    return s ? s->count : 0;
}

int64_t cbm_image_shards_classes(const cbm_image_shards *s)
{
    return s ? s->classes : 0;
}

cbm_status cbm_image_shards_read(const cbm_image_shards *s, int64_t index, uint8_t *planes, int64_t *label,
                                 cbm_media_message *message)
{
    cbm_image file = { 0 };
    cbm_media_message why = { "" };
    if (!s || index < 0 || index >= s->count)
        return cbm_media_fail(message, CBM_ERROR_RANGE, "there is no picture %lld", (long long)index);
    const sample *p = &s->samples[index];
    const char *path = s->paths[p->shard];
    if (p->bytes > CBM_IMAGE_MAX_FILE_BYTES)
        return cbm_media_fail(message, CBM_ERROR_FORMAT, "'%.200s', picture %lld: a file of %lld bytes is too large",
                              path, (long long)index, (long long)p->bytes);
    uint8_t *bytes = malloc((size_t)p->bytes + 1);
    if (!bytes)
        return cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for a picture of %lld bytes", (long long)p->bytes);
    int64_t size = 0;
    int fd = cbm_media_open(path, &size, message);
    if (fd < 0) {
        free(bytes);
        return CBM_ERROR_IO;
    }
    cbm_status status = CBM_OK;
    if (!cbm_media_read_at(fd, bytes, (size_t)p->bytes, p->offset))
        status = cbm_media_fail(&why, CBM_ERROR_IO, "the file has become shorter");
    close(fd);
    if (status == CBM_OK)
        status = cbm_image_read_memory(bytes, (size_t)p->bytes, &file, &why);
    if (status == CBM_OK)
        status = cbm_image_to_planes(&file, s->height, s->width, s->channels, planes, &why);
    free(bytes);
    cbm_image_free(&file);
    if (status != CBM_OK)
        return cbm_media_fail(message, status, "'%.200s', picture %lld: %.200s", path, (long long)index, why.text);
    if (label)
        *label = p->label;
    return CBM_OK;
}
