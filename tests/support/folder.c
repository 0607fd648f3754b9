/* folder.c: a temporary folder for a test. */
#include "support/folder.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 512

int folder_make(void **state)
{
    const char *where = getenv("TMPDIR");
    char *path = malloc(PATH_SIZE);
    if (!path)
        return -1;
    snprintf(path, PATH_SIZE, "%.200s/cambium-test-XXXXXX", where && *where ? where : "/tmp");
    *state = path;
    return mkdtemp(path) ? 0 : -1;
}

static void remove_all(const char *folder)
{
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));) {
        char path[2 * PATH_SIZE];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(path, sizeof path, "%.500s/%.500s", folder, e->d_name);
        if (unlink(path) != 0)
            remove_all(path);
    }
    closedir(d);
    rmdir(folder);
}

int folder_remove(void **state)
{
    remove_all(*state);
    free(*state);
    return 0;
}

const char *folder_path(void *const *state, const char *name)
{
    static char paths[4][2 * PATH_SIZE];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%.500s/%.500s", (const char *)*state, name);
    return path;
}

void folder_put(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, size, f) != size)
        perror(path);
    if (f)
        fclose(f);
}

unsigned char *folder_get(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    *size = 0;
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    long length = ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(length > 0 ? (size_t)length : 1);
    if (bytes)
        *size = fread(bytes, 1, length > 0 ? (size_t)length : 0, f);
    fclose(f);
    return bytes;
}

size_t folder_count(const char *folder)
{
    size_t count = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        count += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return count;
}
