/* wordnet.c: reading WordNet's nouns and making vectors of them. Everything in the file is checked before it is used. */
#include "wordnet.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEARNESS 0.9
#define ANCESTORS_MOST 64

/* ---- the file: a line a meaning, numbers of a fixed base, words without spaces ---- */

/* A line under way. */
typedef struct line {
    const char *at, *end;
} line;

/* The next word of the line, up to a space, cut to its room; false: none, or not of letters and the like. */
static bool next_word(line *l, char *word, size_t room)
{
    const char *space = memchr(l->at, ' ', (size_t)(l->end - l->at));
    size_t n = (size_t)((space ? space : l->end) - l->at);
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)l->at[i] < ' ' || l->at[i] == 127)
            return false;
    snprintf(word, room, "%.*s", (int)(n < room ? n : room - 1), l->at);
    l->at = space ? space + 1 : l->end;
    return true;
}

/* A whole number of that base, at most `most`; false: none. */
static bool next_number(line *l, int base, int64_t most, int64_t *number)
{
    char word[32], *rest;
    if (!next_word(l, word, sizeof word) || strlen(word) > 12)
        return false;
    *number = strtoll(word, &rest, base);
    return *rest == 0 && *number >= 0 && *number <= most;
}

/* offset field n words {word id} pointers {symbol offset n 0000} | gloss; parents as offsets. */
static bool take_line(line l, cbm_synset *s)
{
    char word[128], kind[8];
    int64_t words, pointers, id, target, field;
    int parents = 0;
    if (!next_number(&l, 10, INT32_MAX, &s->offset) || !next_number(&l, 10, 99, &field) ||
        !next_word(&l, kind, sizeof kind) || strcmp(kind, "n") != 0 || !next_number(&l, 16, 255, &words) || words < 1)
        return false;
    s->field = (int)field;
    for (int64_t i = 0; i < words; i++) {
        if (!next_word(&l, word, sizeof word) || !next_number(&l, 16, 15, &id))
            return false;
        if (i == 0)
            snprintf(s->word, sizeof s->word, "%.*s", (int)sizeof s->word - 1, word);
    }
    if (!next_number(&l, 10, 999, &pointers))
        return false;
    for (int64_t i = 0; i < pointers; i++) {
        char symbol[8], part[8], ends[8];
        if (!next_word(&l, symbol, sizeof symbol) || !next_number(&l, 10, INT32_MAX, &target) ||
            !next_word(&l, part, sizeof part) || !next_word(&l, ends, sizeof ends))
            return false;
        bool is_a = strcmp(symbol, "@") == 0 || strcmp(symbol, "@i") == 0; /* a kind of, an instance of */
        if (is_a && strcmp(part, "n") == 0 && parents < CBM_WORDNET_PARENTS)
            s->parents[parents++] = target;
    }
    for (; parents < CBM_WORDNET_PARENTS; parents++)
        s->parents[parents] = -1;
    return true;
}

static int by_offset(const void *a, const void *b)
{
    int64_t x = ((const cbm_synset *)a)->offset, y = ((const cbm_synset *)b)->offset;
    return (x > y) - (x < y);
}

/* Offsets of parents become indices; of unknown ones -1. */
static void link_parents(cbm_wordnet *w)
{
    for (int64_t i = 0; i < w->count; i++)
        for (int k = 0; k < CBM_WORDNET_PARENTS; k++) {
            cbm_synset key = { .offset = w->at[i].parents[k] };
            const cbm_synset *found = bsearch(&key, w->at, (size_t)w->count, sizeof key, by_offset);
            w->at[i].parents[k] = found ? found - w->at : -1;
        }
}

static cbm_status take_lines(cbm_context *cx, const char *text, size_t size, const char *path, cbm_wordnet *w)
{
    int64_t number = 0;
    for (const char *at = text, *end = text + size; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        line l = { at, newline ? newline : end };
        at = newline ? newline + 1 : end;
        if (l.at == l.end || *l.at == ' ') /* the licence, at the beginning */
            continue;
        if ((w->count & (w->count - 1)) == 0) { /* full at each power of two */
            cbm_synset *grown = realloc(w->at, (size_t)(w->count ? 2 * w->count : 1) * sizeof *grown);
            if (!grown)
                return cbm_fail(cx, CBM_ERROR_MEMORY, "[wordnet] no memory for the words");
            w->at = grown;
        }
        if (!take_line(l, &w->at[w->count]))
            return cbm_fail(cx, CBM_ERROR_FORMAT, "[wordnet] '%.200s', line %lld is no noun of WordNet's", path,
                            (long long)number + 1);
        w->count++;
    }
    return w->count > 0 ? CBM_OK : cbm_fail(cx, CBM_ERROR_FORMAT, "[wordnet] '%.200s' holds no nouns", path);
}

cbm_status cbm_wordnet_read(cbm_context *cx, const char *path, cbm_wordnet *w)
{
    void *bytes;
    size_t size;
    *w = (cbm_wordnet){ 0 };
    if (cbm_read_file(cx, path, &bytes, &size) != CBM_OK)
        return cbm_context_status(cx);
    cbm_status status = take_lines(cx, bytes, size, path, w);
    cbm_file_free(cx, bytes, size);
    if (status != CBM_OK) {
        cbm_wordnet_free(w);
        return status;
    }
    qsort(w->at, (size_t)w->count, sizeof *w->at, by_offset);
    link_parents(w);
    return CBM_OK;
}

void cbm_wordnet_free(cbm_wordnet *w)
{
    free(w->at);
    *w = (cbm_wordnet){ 0 };
}

/* ---- meanings ---- */

int64_t cbm_wordnet_find(const cbm_wordnet *w, const char *word, int field)
{
    for (int64_t i = 0; i < w->count; i++)
        if (w->at[i].field == field && strcmp(w->at[i].word, word) == 0)
            return i;
    return -1;
}

/* A meaning and all that it is a kind of, nearest first; of those beyond ANCESTORS_MOST nothing is said. */
typedef struct lineage {
    int64_t meaning[ANCESTORS_MOST];
    int distance[ANCESTORS_MOST];
    int count;
} lineage;

static void step_up(lineage *l, int64_t meaning, int distance)
{
    for (int i = 0; i < l->count; i++)
        if (l->meaning[i] == meaning)
            return;
    if (l->count == ANCESTORS_MOST)
        return;
    l->meaning[l->count] = meaning;
    l->distance[l->count++] = distance;
}

static lineage lineage_of(const cbm_wordnet *w, int64_t meaning)
{
    lineage l = { .count = 0 };
    step_up(&l, meaning, 0);
    for (int i = 0; i < l.count; i++) /* grows under way */
        for (int k = 0; k < CBM_WORDNET_PARENTS; k++)
            if (w->at[l.meaning[i]].parents[k] >= 0)
                step_up(&l, w->at[l.meaning[i]].parents[k], l.distance[i] + 1);
    return l;
}

/* Element i of the direction of a meaning, from SplitMix64 (Steele, Lea and Flood 2014): uniform in [-1, 1). */
static double direction(int64_t offset, int64_t i)
{
    uint64_t z = ((uint64_t)offset << 20 | (uint64_t)i) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) / (double)(INT64_C(1) << 52) - 1;
}

void cbm_wordnet_vector(const cbm_wordnet *w, int64_t meaning, int64_t dimensions, float *vector)
{
    double squares = 0;
    lineage l = lineage_of(w, meaning);
    memset(vector, 0, (size_t)dimensions * sizeof *vector);
    for (int a = 0; a < l.count; a++)
        for (int64_t i = 0; i < dimensions; i++)
            vector[i] += (float)(pow(NEARNESS, l.distance[a]) * direction(w->at[l.meaning[a]].offset, i));
    for (int64_t i = 0; i < dimensions; i++)
        squares += (double)vector[i] * (double)vector[i];
    for (int64_t i = 0; i < dimensions; i++)
        vector[i] = (float)((double)vector[i] / sqrt(squares > 0 ? squares : 1));
}
