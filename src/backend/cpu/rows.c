/* rows.c: see rows.h. Threads share outer numbers, or columns, or rows of the result: never the rows that land in one
   place, so that these come in order. Rests on simd/rows.c. */
#include "backend/cpu/rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    BLOCK = 1024, /* indices that are checked together */
    WIDE = 256    /* bytes of a row that are worth a thread */
};

cbm_status cbm_check_index(const cbm_launch *l, const cbm_buffer *index, int64_t extent)
{
    for (int64_t begin = 0; begin < index->count; begin += BLOCK) {
        const int64_t end = begin + BLOCK < index->count ? begin + BLOCK : index->count;
        bool bad = false;
        if (index->dtype == CBM_I64)
            for (int64_t i = begin; i < end; i++)
                bad |= (uint64_t)((const int64_t *)index->data)[i] >= (uint64_t)extent;
        else
            for (int64_t i = begin; i < end; i++)
                bad |= (uint64_t)(int64_t)((const int32_t *)index->data)[i] >= (uint64_t)extent;
        for (int64_t i = begin; bad && i < end; i++) {
            const int64_t v = cbm_index_at(index, i);
            if (v >= 0 && v < extent)
                continue;
            if (l->message)
                snprintf(l->message, 256, "index %" PRId64 " at position %" PRId64 " is outside 0..%" PRId64, v, i,
                         extent - 1);
            return CBM_ERROR_RANGE;
        }
    }
    return CBM_OK;
}

typedef enum share { BY_OUTER, BY_COLUMNS, BY_ROWS } share;

typedef struct job {
    const cbm_rows *r;
    const cbm_simd *simd;
    char *y;
    const char *source;
    size_t size;
    bool add;
    share share;
    int64_t parts;
} job;

/* Rows of one outer number: columns [c0, c1), and of them those that land in [r0, r1). */
static void land(const job *j, int64_t o, int64_t c0, int64_t c1, int64_t r0, int64_t r1)
{
    const cbm_rows *r = j->r;
    const int64_t count = r->index->count, n = c1 - c0;
    char *y = j->y + (size_t)(o * r->length * r->inner + c0) * j->size;
    const char *source = j->source + (size_t)(o * count * r->inner + c0) * j->size;
    const size_t row = (size_t)r->inner * j->size;
    for (int64_t k = 0; k < count; k++) {
        const int64_t at = cbm_index_at(r->index, k);
        if (at < r0 || at >= r1 || at == r->skip)
            continue;
        char *to = y + (size_t)at * row;
        const char *from = source + (size_t)k * row;
        if (!j->add)
            memcpy(to, from, (size_t)n * j->size);
        else if (n == 1)
            *(float *)(void *)to += *(const float *)(const void *)from;
        else
            j->simd->add((float *)(void *)to, (const float *)(const void *)from, n);
    }
}

static void part(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const cbm_rows *r = j->r;
    for (int64_t i = begin; i < end; i++)
        if (j->share == BY_OUTER)
            land(j, i, 0, r->inner, 0, r->length);
        else
            for (int64_t o = 0; o < r->outer; o++)
                if (j->share == BY_COLUMNS)
                    land(j, o, i * r->inner / j->parts, (i + 1) * r->inner / j->parts, 0, r->length);
                else
                    land(j, o, 0, r->inner, i * r->length / j->parts, (i + 1) * r->length / j->parts);
}

static void run(job *j, int64_t threads)
{
    const cbm_rows *r = j->r;
    const int64_t work = r->outer * r->index->count * r->inner;
    if (work == 0)
        return;
    j->simd = cbm_simd_get();
    j->parts = work < 2 * CBM_CPU_GRAIN || threads < 1 ? 1 : threads;
    j->share = r->outer >= j->parts                                      ? BY_OUTER
               : r->inner * (int64_t)j->size >= WIDE * (int64_t)j->parts ? BY_COLUMNS
                                                                         : BY_ROWS;
    if (j->share == BY_OUTER)
        cbm_parallel_for(r->outer, cbm_grain(work / r->outer), threads, part, j);
    else
        cbm_parallel_for(j->parts, 1, threads, part, j);
}

void cbm_rows_add(const cbm_rows *r, float *y, const float *source, int64_t threads)
{
    job j = { .r = r, .y = (char *)y, .source = (const char *)source, .size = sizeof(float), .add = true };
    run(&j, threads);
}

void cbm_rows_put(const cbm_rows *r, char *y, const char *source, size_t size, int64_t threads)
{
    job j = { .r = r, .y = y, .source = source, .size = size };
    run(&j, threads);
}
