/* reorder.c: an (N, C, ...) buffer from one layout into another. Sixteen channels (eight, where a block has no more) of one
   sample are either rows of places or places with rows of channels: rows are copied, the rest are transposes. Rests on
   simd/transpose.c. */
#include "backend/cpu/cpu.h"

#include <string.h>

/* How one operand lies; strides in elements. A group is `width` channels that follow each other. */
typedef struct view {
    char *data;
    int64_t block, channel, place; /* channels of a block; from channel to channel in it, from place to place */
} view;

typedef struct job {
    const cbm_simd *simd;
    view from, to;
    int64_t size; /* bytes of an element */
    int64_t channels, places, width, groups;
    int64_t chunk, chunks; /* of places */
    bool groups_inside;    /* items run through the groups of a chunk, not through the chunks of a group */
} job;

static view view_of(const cbm_buffer *b, int64_t channels, int64_t places)
{
    switch (b->layout) {
    case CBM_LAYOUT_CHANNELS_LAST: return (view){ b->data, channels, 1, channels };
    case CBM_LAYOUT_BLOCKED_8: return (view){ b->data, 8, 1, 8 };
    case CBM_LAYOUT_BLOCKED_16: return (view){ b->data, 16, 1, 16 };
    default: return (view){ b->data, channels, places, 1 };
    }
}

/* The address of channel c of sample n at place s. */
static char *at(const job *j, const view *v, int64_t n, int64_t c, int64_t s)
{
    const int64_t offset = (n * j->channels + c / v->block * v->block) * j->places + c % v->block * v->channel;
    return v->data + (offset + s * v->place) * j->size;
}

/* `count` rows of `bytes`; the usual lengths as constants, so that they become moves of registers. */
static void copy_rows(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t count, int64_t bytes)
{
#define ROWS(N)                                                                                                        \
    for (int64_t i = 0; i < count; i++)                                                                                \
    memcpy(to + i * to_step, from + i * from_step, N)
    if (to_step == bytes && from_step == bytes)
        memcpy(to, from, (size_t)(count * bytes));
    else if (bytes == 64)
        ROWS(64);
    else if (bytes == 32)
        ROWS(32);
    else
        ROWS((size_t)bytes);
#undef ROWS
}

static void run_items(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int power = j->size == 1 ? 0 : j->size == 2 ? 1 : j->size == 4 ? 2 : 3;
    for (int64_t i = begin; i < end; i++) {
        const int64_t n = i / (j->groups * j->chunks), rest = i % (j->groups * j->chunks);
        const int64_t group = j->groups_inside ? rest % j->groups : rest / j->chunks;
        const int64_t chunk = j->groups_inside ? rest / j->groups : rest % j->chunks;
        const int64_t c = group * j->width, s = chunk * j->chunk;
        const int64_t width = j->channels - c < j->width ? j->channels - c : j->width;
        const int64_t places = j->places - s < j->chunk ? j->places - s : j->chunk;
        char *to = at(j, &j->to, n, c, s);
        const char *from = at(j, &j->from, n, c, s);
        if (j->from.channel == 1 && j->to.channel == 1)
            copy_rows(to, j->to.place * j->size, from, j->from.place * j->size, places, width * j->size);
        else if (j->to.channel == 1)
            j->simd->transpose_of[power](to, j->to.place, from, j->from.channel, width, places);
        else
            j->simd->transpose_of[power](to, j->to.channel, from, j->from.place, places, width);
    }
}

typedef struct flat {
    char *to;
    const char *from;
} flat;

static void copy_bytes(void *user, int64_t begin, int64_t end)
{
    const flat *f = user;
    memcpy(f->to + begin, f->from + begin, (size_t)(end - begin));
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

void cbm_cpu_reorder(const cbm_buffer *from, const cbm_buffer *to, int64_t threads)
{
    job j = { .simd = cbm_simd_get(), .size = (int64_t)cbm_dtype_size(from->dtype), .channels = 1, .places = 1 };
    if (from->count == 0)
        return;
    if (from->rank > 1)
        j.channels = from->shape[1];
    for (int64_t d = 2; d < from->rank; d++)
        j.places *= from->shape[d];
    j.from = view_of(from, j.channels, j.places);
    j.to = view_of(to, j.channels, j.places);
    if (from->layout == to->layout || j.places == 1 || j.channels == 1) {
        flat f = { to->data, from->data };
        cbm_parallel_for(from->count * j.size, CBM_CPU_GRAIN * 8, threads, copy_bytes, &f);
        return;
    }
    const int64_t samples = from->count / (j.channels * j.places);
    j.width = j.from.block == 8 || j.to.block == 8 ? 8 : 16;
    if (from->layout != CBM_LAYOUT_PLAIN && to->layout != CBM_LAYOUT_PLAIN)
        j.width = least(j.from.block, j.to.block);
    j.groups = (j.channels + j.width - 1) / j.width;
    /* Channels-last lines are filled or emptied by several groups soon after each other. */
    j.groups_inside = from->layout == CBM_LAYOUT_CHANNELS_LAST || to->layout == CBM_LAYOUT_CHANNELS_LAST;
    j.chunk = j.groups_inside || samples * j.groups < 4 * threads ? least(j.places, 256) : j.places;
    j.chunks = (j.places + j.chunk - 1) / j.chunk;
    cbm_parallel_for(samples * j.groups * j.chunks, cbm_grain(j.width * j.chunk), threads, run_items, &j);
}
