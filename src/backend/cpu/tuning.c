/* tuning.c: the table of measured choices, and its file. Rests on dispatch.c and onednn.h for what the file holds for. */
#include "backend/cpu/tuning.h"
#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

enum { ENTRIES = 4096, PATH = 1024, LARGEST_FILE = ENTRIES * (CBM_TUNING_KEY + CBM_TUNING_CHOICE + 4) };

typedef struct entry {
    char key[CBM_TUNING_KEY], choice[CBM_TUNING_CHOICE];
} entry;

static struct {
    pthread_mutex_t lock;
    bool read;
    size_t count;
    entry *entries; /* lives as long as the process */
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* "cambium tuning 1, <processor>, <SIMD level>, <library>" */
static void first_line(char line[200])
{
    char processor[80] = "other";
#if defined(__x86_64__)
    unsigned a, b, c, d, signature = 0, brand[12] = { 0 };
    if (__get_cpuid(1, &a, &b, &c, &d))
        signature = a;
    for (unsigned k = 0; k < 3; k++)
        if (__get_cpuid(0x80000002u + k, &a, &b, &c, &d))
            memcpy(brand + 4 * k, (unsigned[]){ a, b, c, d }, 16);
    snprintf(processor, sizeof processor, "%.47s %x", (const char *)brand, signature);
    for (char *p = processor; *p; p++)
        if (*p < ' ' || *p == ',' || *p > '~')
            *p = ' ';
#endif
    snprintf(line, 200, "cambium tuning 1, %s, %s, %s", processor, cbm_simd_get()->name, cbm_dnn_version());
}

static bool is_text(const char *s, size_t length, size_t most)
{
    if (length == 0 || length >= most)
        return false;
    for (size_t i = 0; i < length; i++)
        if (s[i] < ' ' || s[i] > '~' || s[i] == '=')
            return false;
    return true;
}

static entry *entry_of(const char *key, size_t length)
{
    for (size_t i = 0; i < table.count; i++)
        if (strlen(table.entries[i].key) == length && memcmp(table.entries[i].key, key, length) == 0)
            return &table.entries[i];
    return NULL;
}

/* replace: whether this choice counts if there is another one. Plans may have been made with that. */
static void put(const char *key, size_t key_length, const char *choice, size_t choice_length, bool replace)
{
    if (!is_text(key, key_length, CBM_TUNING_KEY) || !is_text(choice, choice_length, CBM_TUNING_CHOICE))
        return;
    if (!table.entries)
        table.entries = calloc(ENTRIES, sizeof *table.entries);
    entry *e = table.entries ? entry_of(key, key_length) : NULL;
    if (!table.entries || (e && !replace) || (!e && table.count == ENTRIES))
        return;
    e = e ? e : &table.entries[table.count++];
    memset(e, 0, sizeof *e);
    memcpy(e->key, key, key_length);
    memcpy(e->choice, choice, choice_length);
}

/* Goes through the lines, and takes them over if told to. false: a line is damaged. */
static bool each_line(const char *at, const char *end, bool take, bool replace)
{
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *equals = stop ? memchr(at, '=', (size_t)(stop - at)) : NULL;
        if (!equals || equals - at < 2 || equals[-1] != ' ' || stop - equals < 3 || equals[1] != ' ')
            return false;
        if (take)
            put(at, (size_t)(equals - 1 - at), equals + 2, (size_t)(stop - equals - 2), replace);
        at = stop + 1;
    }
    return true;
}

static bool merge(const char *text, size_t length, bool replace)
{
    char wanted[200];
    first_line(wanted);
    const size_t head = strlen(wanted);
    if (length <= head || memcmp(text, wanted, head) != 0 || text[head] != '\n')
        return false;
    const char *lines = text + head + 1, *end = text + length;
    return each_line(lines, end, false, replace) && each_line(lines, end, true, replace);
}

static char *text_of_table(void)
{
    if (!table.count)
        return NULL;
    const size_t most = 200 + table.count * (CBM_TUNING_KEY + CBM_TUNING_CHOICE + 4);
    char *text = malloc(most);
    if (!text)
        return NULL;
    first_line(text);
    size_t at = strlen(text);
    text[at++] = '\n';
    for (size_t i = 0; i < table.count; i++)
        at += (size_t)snprintf(text + at, most - at, "%s = %s\n", table.entries[i].key, table.entries[i].choice);
    return text;
}

/* $XDG_CACHE_HOME/cambium/tuning, or ~/.cache/cambium/tuning. false: no such folder can be named. */
static bool file_name(char path[PATH], bool make_folder)
{
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (base && base[0] == '/')
        n = snprintf(path, PATH, "%s", base);
    else if (home && home[0] == '/')
        n = snprintf(path, PATH, "%s/.cache", home);
    else
        return false;
    if (n < 0 || n >= PATH - 32)
        return false;
    if (make_folder)
        (void)mkdir(path, 0700);
    strcat(path, "/cambium");
    if (make_folder)
        (void)mkdir(path, 0700);
    strcat(path, "/tuning");
    return true;
}

static void read_file(void)
{
    char path[PATH];
    if (table.read)
        return;
    table.read = true;
    FILE *f = file_name(path, false) ? fopen(path, "rb") : NULL;
    if (!f)
        return;
    char *text = malloc(LARGEST_FILE);
    const size_t length = text ? fread(text, 1, LARGEST_FILE, f) : 0;
    const bool whole = feof(f) != 0;
    fclose(f);
    if (whole)
        (void)merge(text, length, false); /* damaged, or another machine's: as if it were not there */
    free(text);
}

/* To another name first, so that a reader sees the old file or the new one. */
static void write_file(void)
{
    char path[PATH], other[PATH + 32];
    char *text = text_of_table();
    if (text && file_name(path, true)) {
        snprintf(other, sizeof other, "%s.%ld", path, (long)getpid());
        FILE *f = fopen(other, "wb");
        const size_t length = strlen(text);
        bool ok = f && fwrite(text, 1, length, f) == length;
        if (f)
            ok = fclose(f) == 0 && ok;
        if (f && (!ok || rename(other, path) != 0))
            (void)remove(other);
    }
    free(text);
}

void cbm_tuning_find(const char *key, char choice[CBM_TUNING_CHOICE])
{
    pthread_mutex_lock(&table.lock);
    read_file();
    const entry *e = entry_of(key, strlen(key));
    memset(choice, 0, CBM_TUNING_CHOICE);
    if (e)
        memcpy(choice, e->choice, CBM_TUNING_CHOICE);
    pthread_mutex_unlock(&table.lock);
}

void cbm_tuning_add(const char *key, const char *choice)
{
    pthread_mutex_lock(&table.lock);
    read_file();
    put(key, strlen(key), choice, strlen(choice), false);
    write_file();
    pthread_mutex_unlock(&table.lock);
}

char *cbm_tuning_text(void)
{
    pthread_mutex_lock(&table.lock);
    read_file();
    char *text = text_of_table();
    pthread_mutex_unlock(&table.lock);
    return text;
}

bool cbm_tuning_merge(const char *text, size_t length)
{
    pthread_mutex_lock(&table.lock);
    read_file();
    const bool ok = merge(text, length, true);
    pthread_mutex_unlock(&table.lock);
    return ok;
}

void cbm_tuning_forget(void)
{
    pthread_mutex_lock(&table.lock);
    table.count = 0;
    table.read = false;
    pthread_mutex_unlock(&table.lock);
}
