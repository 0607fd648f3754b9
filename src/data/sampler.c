/* sampler.c: see sampler.h. An epoch's whole order is drawn when its first batch is asked for, from (seed, epoch) alone. */
#include "data/sampler.h"
#include "tensor/context.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- by weight ---- */

/* Keeps these random numbers apart from those that shuffle. */
#define STREAM 0x57454947485453u

/* Number i of an epoch, uniform in [0, 1), with 53 bits. */
static double uniform(uint64_t seed, int64_t epoch, int64_t i)
{
    return (double)cbm_philox_below(seed ^ STREAM, (uint64_t)epoch, (uint64_t)i, (uint64_t)1 << 53) * 0x1p-53;
}

/* The sample in whose part of the sums x lies; parts of no length are never hit. */
static int64_t sample_at(const cbm_sampler *s, double x)
{
    int64_t low = 0, high = s->samples - 1; /* the first whose sum is above x */
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (s->sums[middle] > x)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void draw_with_replacement(cbm_sampler *s, uint64_t seed, int64_t epoch)
{
    const double all = s->sums[s->samples - 1];
    for (int64_t i = 0; i < s->drawn; ++i)
        s->drawn_order[i] = sample_at(s, uniform(seed, epoch, i) * all);
}

typedef struct ticket {
    double key;
    int64_t sample;
} ticket;

static int by_key(const void *a, const void *b)
{
    const ticket *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->sample < y->sample ? -1 : x->sample > y->sample;
}

/* Each sample waits for a time that is exponentially distributed with its weight as rate; the first ones are drawn
   (Efraimidis and Spirakis 2006). false: no memory. */
static bool draw_without_replacement(cbm_sampler *s, uint64_t seed, int64_t epoch)
{
    const size_t bytes = (size_t)s->samples * sizeof(ticket);
    ticket *tickets = cbm_heap_take(s->heap, bytes);
    if (!tickets)
        return false;
    for (int64_t i = 0; i < s->samples; ++i) {
        const double weight = s->sums[i] - (i ? s->sums[i - 1] : 0);
        tickets[i] = (ticket){ weight > 0 ? -log1p(-uniform(seed, epoch, i)) / weight : INFINITY, i };
    }
    qsort(tickets, (size_t)s->samples, sizeof *tickets, by_key);
    for (int64_t i = 0; i < s->drawn; ++i)
        s->drawn_order[i] = tickets[i].sample;
    cbm_heap_give(s->heap, tickets, bytes);
    return true;
}

/* ---- an epoch's order ---- */

static cbm_status draw_by_user(cbm_sampler *s, uint64_t seed, int64_t epoch, char *message)
{
    const cbm_status status = s->order(s->user, seed, epoch, s->samples, s->drawn_order, s->drawn, message);
    for (int64_t i = 0; status == CBM_OK && i < s->drawn; ++i)
        if (s->drawn_order[i] < 0 || s->drawn_order[i] >= s->samples) {
            snprintf(message, 256, "the order names sample %lld, and there are %lld", (long long)s->drawn_order[i],
                     (long long)s->samples);
            return CBM_ERROR_RANGE;
        }
    return status;
}

static cbm_status draw(cbm_sampler *s, uint64_t seed, int64_t epoch, char *message)
{
    if (s->order)
        return draw_by_user(s, seed, epoch, message);
    if (s->sums && !s->replacement)
        return draw_without_replacement(s, seed, epoch) ? CBM_OK : CBM_ERROR_MEMORY;
    if (s->sums)
        draw_with_replacement(s, seed, epoch);
    else
        cbm_philox_permutation(seed, (uint64_t)epoch, s->drawn_order, s->drawn);
    return CBM_OK;
}

cbm_status cbm_sampler_choose(cbm_sampler *s, uint64_t seed, int64_t epoch, int64_t first, int64_t count, int64_t *out,
                              char *message)
{
    if (s->drawn_order && s->epoch != epoch) {
        s->epoch = -1;
        message[0] = 0;
        const cbm_status status = draw(s, seed, epoch, message);
        if (status != CBM_OK)
            return status;
        s->epoch = epoch;
    }
    for (int64_t i = 0; i < count; ++i) {
        const int64_t at = (s->rank + (first + i) * s->ranks) % s->drawn; /* the last ones may begin again */
        out[i] = s->drawn_order ? s->drawn_order[at] : at;
    }
    return CBM_OK;
}

/* ---- opening ---- */

static bool refuse(const cbm_dataset *d, const char *what)
{
    cbm_fail(d->cx, CBM_ERROR_INVALID, "[loader] %s", what);
    return false;
}

static bool check(const cbm_dataset *d, const cbm_loader_options *o)
{
    if (o->ranks < 1 || o->rank < 0 || o->rank >= o->ranks)
        return refuse(d, "rank must be 0 to ranks - 1");
    if (o->order && o->weights)
        return refuse(d, "an order of one's own and weights exclude each other");
    if ((o->order || o->weights) && o->shuffle)
        return refuse(d, "shuffle has no meaning beside an order or weights");
    if (o->draws < 0 || o->draws > INT64_MAX / 16 || (o->draws && !o->order && !o->weights))
        return refuse(d, "draws is the number of samples drawn by weights or an order");
    return true;
}

static bool add_weights(cbm_sampler *s, const cbm_dataset *d, const double *weights)
{
    s->sums = cbm_heap_take(s->heap, (size_t)s->samples * sizeof *s->sums);
    if (!s->sums)
        return cbm_fail_memory(d->cx, "a loader") == CBM_OK;
    int64_t positive = 0;
    double sum = 0;
    for (int64_t i = 0; i < s->samples; ++i) {
        if (!(weights[i] >= 0) || !isfinite(weights[i]))
            return refuse(d, "a weight is negative or not finite");
        positive += weights[i] > 0;
        s->sums[i] = sum += weights[i];
    }
    if (!positive || !isfinite(sum))
        return refuse(d, "the weights are all zero, or too large together");
    if (!s->replacement && positive < s->drawn)
        return refuse(d, "without replacement no more samples can be drawn than have a weight above 0. HINT: draws");
    return true;
}

bool cbm_sampler_open(cbm_sampler *s, const cbm_dataset *d, const cbm_loader_options *o)
{
    if (!check(d, o))
        return false;
    const int64_t drawn = o->draws ? o->draws : d->count;
    *s = (cbm_sampler){ .heap = cbm_context_heap(d->cx),
                        .samples = d->count,
                        .drawn = drawn,
                        .share = drawn / o->ranks + (!o->drop_last && drawn % o->ranks != 0),
                        .shuffle = o->shuffle != 0,
                        .replacement = !o->no_replacement,
                        .order = o->order,
                        .user = o->order_user,
                        .rank = o->rank,
                        .ranks = o->ranks,
                        .epoch = -1 };
    if (s->share == 0)
        return refuse(d, "drop_last leaves nothing for each of so many ranks");
    if (o->weights && !add_weights(s, d, o->weights))
        return false;
    if (o->weights || o->order || o->shuffle) {
        s->drawn_order = cbm_heap_take(s->heap, (size_t)drawn * sizeof *s->drawn_order);
        if (!s->drawn_order)
            return cbm_fail_memory(d->cx, "a loader") == CBM_OK;
    }
    return true;
}

void cbm_sampler_close(cbm_sampler *s)
{
    if (!s->heap)
        return;
    cbm_heap_give(s->heap, s->sums, (size_t)s->samples * sizeof *s->sums);
    cbm_heap_give(s->heap, s->drawn_order, (size_t)s->drawn * sizeof *s->drawn_order);
}
