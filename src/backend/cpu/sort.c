/* sort.c: sort and topk along an axis, of every dtype but bf16 (which is widened). A row's elements become entries, keys that
   sort as the elements do with the elements' numbers below them; rows are shared by threads, and a long row is sorted in
   pieces that are merged. Rests on order.h. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

typedef uint64_t narrow;                      /* keys of 32 bits */
__extension__ typedef unsigned __int128 wide; /* keys of 64 bits */

#define CBM_ENTRY narrow
#define CBM_KEY_SHIFT 32
#define CBM_ORDER(name_) narrow_##name_
#include "backend/cpu/order.h"
#define CBM_ENTRY wide
#define CBM_KEY_SHIFT 64
#define CBM_ORDER(name_) wide_##name_
#include "backend/cpu/order.h"

enum { LONG_ROW = 65536 }; /* worth several threads */

/* ---- keys: greater for greater elements, equal for equal ones; NaN above all ---- */

static uint32_t f32_key(float x)
{
    uint32_t u;
    if (isnan(x))
        return UINT32_MAX;
    x = x == 0 ? 0 : x; /* no -0 */
    memcpy(&u, &x, sizeof u);
    return u ^ (u >> 31 ? UINT32_MAX : 0x80000000u);
}

static uint64_t f64_key(double x)
{
    uint64_t u;
    if (isnan(x))
        return UINT64_MAX;
    x = x == 0 ? 0 : x;
    memcpy(&u, &x, sizeof u);
    return u ^ (u >> 63 ? UINT64_MAX : 0x8000000000000000u);
}

static uint32_t narrow_key(const void *data, cbm_dtype dtype, int64_t i)
{
    switch (dtype) {
    case CBM_F32: return f32_key(((const float *)data)[i]);
    case CBM_I32: return (uint32_t)((const int32_t *)data)[i] ^ 0x80000000u;
    default: return ((const uint8_t *)data)[i];
    }
}

static uint64_t wide_key(const void *data, cbm_dtype dtype, int64_t i)
{
    return dtype == CBM_F64 ? f64_key(((const double *)data)[i])
                            : (uint64_t)((const int64_t *)data)[i] ^ 0x8000000000000000u;
}

/* ---- a launch ---- */

typedef struct job {
    const cbm_simd *simd;
    const void *x;
    char *values;
    int64_t *places;
    cbm_dtype dtype;
    size_t size, entry; /* bytes of an element; of an entry */
    cbm_around a;       /* of x */
    int64_t k;          /* how many are wanted of each row */
    bool down;          /* the greatest first */
    bool by_place;      /* in the order of their places, not of their values */
    char *work;         /* for each worker: a row of entries, and as much room */
    int64_t workers;
    int64_t row, pieces, joined; /* a long row's number, its pieces, and how many of them make up a sorted run so far */
    char *from, *to;             /* its entries, and where they are merged to */
} job;

static bool is_wide(cbm_dtype dtype)
{
    return dtype == CBM_F64 || dtype == CBM_I64;
}

/* Elements [begin, end) of row r as entries. */
static void enter(const job *j, int64_t r, int64_t begin, int64_t end, void *entries)
{
    const int64_t inner = j->a.inner, base = r / inner * j->a.length * inner + r % inner;
    if (j->entry == sizeof(wide)) {
        wide *e = entries;
        const uint64_t flip = j->down ? UINT64_MAX : 0;
        for (int64_t i = begin; i < end; i++)
            e[i - begin] = (wide)(wide_key(j->x, j->dtype, base + i * inner) ^ flip) << 64 | (uint64_t)i;
        return;
    }
    narrow *e = entries;
    const uint32_t flip = j->down ? UINT32_MAX : 0;
    for (int64_t i = begin; i < end; i++)
        e[i - begin] = (narrow)(narrow_key(j->x, j->dtype, base + i * inner) ^ flip) << 32 | (uint64_t)i;
}

static int64_t number_of(const job *j, const void *entries, int64_t i)
{
    return j->entry == sizeof(wide) ? (int64_t)(uint64_t)((const wide *)entries)[i]
                                    : (int64_t)(uint32_t)((const narrow *)entries)[i];
}

/* Results [begin, end) of row r from its entries. */
static void leave(const job *j, int64_t r, const void *entries, int64_t begin, int64_t end)
{
    const int64_t inner = j->a.inner, base = r / inner * j->a.length * inner + r % inner;
    const int64_t to = r / inner * j->k * inner + r % inner;
    for (int64_t i = begin; i < end; i++) {
        const int64_t from = number_of(j, entries, i), at = to + i * inner;
        j->places[at] = from;
        if (j->size == 4)
            ((uint32_t *)(void *)j->values)[at] = ((const uint32_t *)j->x)[base + from * inner];
        else
            memcpy(j->values + (size_t)at * j->size, (const char *)j->x + (size_t)(base + from * inner) * j->size,
                   j->size);
    }
}

static void sort_entries(const job *j, void *entries, void *room, int64_t n, bool in_order)
{
    if (j->entry == sizeof(wide))
        wide_sort(entries, room, n, in_order);
    else
        narrow_sort(entries, room, n, in_order);
}

static void select_entries(const job *j, void *entries, void *room, int64_t n, int64_t k)
{
    if (j->entry == sizeof(wide))
        wide_select(entries, room, n, k);
    else
        narrow_select(entries, room, n, k);
}

/* ---- rows, one by each worker at a time ---- */

/* Of a row of f32: entries of those that may be among the k first, found by comparing with the worst of the best so far.
   Returns how many; entries has room for the whole row. */
static int64_t candidates(const job *j, int64_t r, narrow *entries, narrow *room)
{
    enum { BLOCK = 128 };
    const int64_t n = j->a.length, most = 2 * j->k + 2 * BLOCK;
    const float *x = (const float *)j->x + r * n;
    int64_t found = most < n ? most : n;
    enter(j, r, 0, found, entries);
    for (int64_t i = found; i < n;) {
        narrow_select(entries, room, found, j->k);
        narrow worst = entries[0];
        for (int64_t k = 1; k < j->k; k++)
            worst = entries[k] > worst ? entries[k] : worst;
        const float limit = x[(uint32_t)worst];
        found = j->k;
        for (; i < n && found + BLOCK <= most; i += BLOCK) {
            const int64_t last = n - i < BLOCK ? n : i + BLOCK;
            if (j->down && j->simd->top(x + i, last - i) <= limit)
                continue;
            for (int64_t q = i; q < last; q++)
                if (j->down ? !(x[q] <= limit) : !(x[q] >= limit || isnan(x[q])))
                    entries[found++] = (narrow)(f32_key(x[q]) ^ (j->down ? UINT32_MAX : 0)) << 32 | (uint64_t)q;
        }
    }
    return found;
}

/* Entries become their numbers, sorted. */
static void sort_places(const job *j, void *entries, void *room, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (j->entry == sizeof(wide))
            ((wide *)entries)[i] = (uint64_t)((wide *)entries)[i];
        else
            ((narrow *)entries)[i] = (uint32_t)((narrow *)entries)[i];
    sort_entries(j, entries, room, n, false);
}

static void order_row(const job *j, int64_t r, void *entries, void *room)
{
    const int64_t n = j->a.length;
    int64_t found = n;
    if (j->dtype == CBM_F32 && j->a.inner == 1 && 8 * j->k < n)
        found = candidates(j, r, entries, room);
    else
        enter(j, r, 0, n, entries);
    if (j->k < found)
        select_entries(j, entries, room, found, j->k);
    if (j->by_place)
        sort_places(j, entries, room, j->k);
    else
        sort_entries(j, entries, room, j->k, j->k == n);
    leave(j, r, entries, 0, j->k);
}

static void order_rows(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    const int64_t rows = j->a.outer * j->a.inner;
    const size_t row = (size_t)j->a.length * j->entry;
    for (int64_t w = begin; w < end; w++)
        for (int64_t r = w * rows / j->workers; r < (w + 1) * rows / j->workers; r++)
            order_row(j, r, j->work + (size_t)w * 2 * row, j->work + ((size_t)w * 2 + 1) * row);
}

/* ---- a long row, by all workers together ---- */

static int64_t piece_begin(const job *j, int64_t piece)
{
    return (piece < j->pieces ? piece : j->pieces) * j->a.length / j->pieces;
}

static void sort_pieces(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t p = begin; p < end; p++) {
        const int64_t first = piece_begin(j, p), last = piece_begin(j, p + 1);
        char *entries = j->from + (size_t)first * j->entry;
        enter(j, j->row, first, last, entries);
        sort_entries(j, entries, j->to + (size_t)first * j->entry, last - first, true);
    }
}

/* Each worker makes one piece's part of the result, of the two runs that this piece belongs to. */
static void merge_pieces(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t p = begin; p < end; p++) {
        const int64_t run = p / (2 * j->joined) * (2 * j->joined);
        const int64_t a = piece_begin(j, run), b = piece_begin(j, run + j->joined),
                      after = piece_begin(j, run + 2 * j->joined);
        const int64_t first = piece_begin(j, p), last = piece_begin(j, p + 1);
        if (j->entry == sizeof(wide)) {
            const wide *from = (const wide *)(const void *)j->from;
            wide_merge_part(from + a, b - a, from + b, after - b, first - a, last - a, (wide *)(void *)j->to + first);
        } else {
            const narrow *from = (const narrow *)(const void *)j->from;
            narrow_merge_part(from + a, b - a, from + b, after - b, first - a, last - a,
                              (narrow *)(void *)j->to + first);
        }
    }
}

static void leave_pieces(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t p = begin; p < end; p++)
        leave(j, j->row, j->from, piece_begin(j, p), piece_begin(j, p + 1));
}

static void sort_long_row(job *j, int64_t threads)
{
    j->pieces = threads;
    j->from = j->work;
    j->to = j->work + (size_t)j->a.length * j->entry;
    cbm_parallel_for(j->pieces, 1, threads, sort_pieces, j);
    for (j->joined = 1; j->joined < j->pieces; j->joined *= 2) {
        cbm_parallel_for(j->pieces, 1, threads, merge_pieces, j);
        char *t = j->from;
        j->from = j->to;
        j->to = t;
    }
    cbm_parallel_for(j->pieces, 1, threads, leave_pieces, j);
}

/* ---- launches ---- */

static int64_t workers_of(const cbm_around *a, int64_t threads)
{
    const int64_t rows = a->outer * a->inner;
    if (threads < 1 || rows * a->length < CBM_CPU_GRAIN)
        return 1;
    return rows < threads ? rows : threads;
}

static int64_t axis_of(const cbm_launch *l)
{
    return ((const cbm_sort_attributes *)l->attributes)->axis; /* the first of topk's attributes too */
}

static size_t entry_of(cbm_dtype dtype)
{
    return is_wide(dtype) ? sizeof(wide) : sizeof(narrow);
}

static cbm_status prepare(cbm_prepare *p)
{
    const cbm_around a = cbm_around_axis(&p->launch->in[0], axis_of(p->launch));
    p->workspace = 2 * (size_t)workers_of(&a, p->threads) * (size_t)a.length * entry_of(p->launch->in[0].dtype);
    return CBM_OK;
}

static job job_of(const cbm_launch *l)
{
    const cbm_buffer *x = &l->in[0];
    job j = { .simd = cbm_simd_get(),
              .x = x->data,
              .values = l->out[0].data,
              .places = l->out[1].data,
              .dtype = x->dtype,
              .size = cbm_dtype_size(x->dtype),
              .entry = entry_of(x->dtype),
              .a = cbm_around_axis(x, axis_of(l)),
              .work = l->workspace };
    j.workers = workers_of(&j.a, l->threads);
    return j;
}

static cbm_status sort(const cbm_launch *l) /* x -> values, places */
{
    job j = job_of(l);
    j.k = j.a.length;
    j.down = ((const cbm_sort_attributes *)l->attributes)->descending != 0;
    if (j.workers < l->threads && j.a.length >= LONG_ROW) {
        for (j.row = 0; j.row < j.a.outer * j.a.inner; j.row++)
            sort_long_row(&j, l->threads);
        return CBM_OK;
    }
    cbm_parallel_for(j.workers, 1, l->threads, order_rows, &j);
    return CBM_OK;
}

static cbm_status topk(const cbm_launch *l) /* x -> values, places */
{
    const cbm_topk_attributes *a = l->attributes;
    job j = job_of(l);
    j.k = a->k;
    j.down = a->largest != 0;
    j.by_place = !a->sorted;
    cbm_parallel_for(j.workers, 1, l->threads, order_rows, &j);
    return CBM_OK;
}

static bool supports(const cbm_launch *l)
{
    return l->in[0].dtype != CBM_BF16 && l->in[0].shape[axis_of(l)] <= UINT32_MAX;
}

const cbm_kernel cbm_cpu_sort[] = {
    { .op = "sort", .supports = supports, .prepare = prepare, .launch = sort },
    { .op = "topk", .supports = supports, .prepare = prepare, .launch = topk },
    { .op = NULL },
};
