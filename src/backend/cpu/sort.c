/* sort.c: sort and topk along an axis, of every dtype but bf16 (which is widened). A row's elements become entries, keys that
   sort as the elements do with the elements' numbers below them; rows are shared by threads, and a long row is sorted in
   pieces that are merged. Rests on order.h. */
#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

typedef uint64_t narrow;                      /* keys of 32 bits */
__extension__ typedef unsigned __int128 wide; /* keys of 64 bits */

enum {
    LONG_ROW = 65536, /* worth several threads */
    FEW = 16,         /* kept sorted while a row is looked through */
    BLOCK = 128       /* elements that are passed by together */
};

typedef struct job {
    const cbm_simd *simd;
    const struct element_kind *kind;
    const char *x;
    char *values;
    int64_t *places;
    size_t size, entry; /* bytes of an element; of an entry */
    cbm_around a;       /* of x: elements of a row are inner apart */
    int64_t k;          /* how many are wanted of each row */
    bool down;          /* the greatest first */
    bool by_place;      /* in the order of their places, not of their values */
    char *work;         /* for each worker: a row of entries, and as much room */
    int64_t workers;
    int64_t row, pieces, joined; /* a long row's number, its pieces, and how many of them make up a sorted run so far */
    char *from, *to;             /* its entries, and where they are merged to */
} job;

/* ---- keys: greater for greater elements, equal for equal ones; NaN above all ---- */

static narrow f32_key(float x)
{
    uint32_t u;
    if (isnan(x))
        return UINT32_MAX;
    x = x == 0 ? 0 : x; /* no -0 */
    memcpy(&u, &x, sizeof u);
    return u ^ (u >> 31 ? UINT32_MAX : 0x80000000u);
}

static wide f64_key(double x)
{
    uint64_t u;
    if (isnan(x))
        return UINT64_MAX;
    x = x == 0 ? 0 : x;
    memcpy(&u, &x, sizeof u);
    return u ^ (u >> 63 ? UINT64_MAX : 0x8000000000000000u);
}

static narrow i32_key(int32_t x)
{
    return (uint32_t)x ^ 0x80000000u;
}

static narrow u8_key(uint8_t x)
{
    return x;
}

static wide i64_key(int64_t x)
{
    return (uint64_t)x ^ 0x8000000000000000u;
}

#define CBM_ENTRY narrow
#define CBM_KEY_SHIFT 32
#define CBM_ORDER(name_) narrow_##name_
#include "backend/cpu/order.h"

#define CBM_ELEMENT float
#define CBM_KEY f32_key
#define CBM_IS_NAN(x_) isnan(x_)
#define CBM_OF(name_) f32_##name_
#define CBM_TOP(job_, x_, n_) cbm_fold_row((job_)->simd, CBM_FOLD_MAX, (x_), (n_))
#include "backend/cpu/elements.h"
#define CBM_ELEMENT int32_t
#define CBM_KEY i32_key
#define CBM_IS_NAN(x_) false
#define CBM_OF(name_) i32_##name_
#include "backend/cpu/elements.h"
#define CBM_ELEMENT uint8_t
#define CBM_KEY u8_key
#define CBM_IS_NAN(x_) false
#define CBM_OF(name_) u8_##name_
#include "backend/cpu/elements.h"
#undef CBM_ENTRY
#undef CBM_KEY_SHIFT
#undef CBM_ORDER

#define CBM_ENTRY wide
#define CBM_KEY_SHIFT 64
#define CBM_ORDER(name_) wide_##name_
#include "backend/cpu/order.h"

#define CBM_ELEMENT double
#define CBM_KEY f64_key
#define CBM_IS_NAN(x_) isnan(x_)
#define CBM_OF(name_) f64_##name_
#include "backend/cpu/elements.h"
#define CBM_ELEMENT int64_t
#define CBM_KEY i64_key
#define CBM_IS_NAN(x_) false
#define CBM_OF(name_) i64_##name_
#include "backend/cpu/elements.h"
#undef CBM_ENTRY
#undef CBM_KEY_SHIFT
#undef CBM_ORDER

typedef struct element_kind {
    size_t entry;
    void (*enter)(const job *j, const void *row, int64_t begin, int64_t end, void *entries);
    void (*best)(const job *j, const void *row, void *best, void *room);
} element_kind;
static const element_kind kinds[CBM_DTYPE_COUNT] = {
    [CBM_F32] = { sizeof(narrow), f32_enter, f32_best }, [CBM_F64] = { sizeof(wide), f64_enter, f64_best },
    [CBM_I64] = { sizeof(wide), i64_enter, i64_best },   [CBM_I32] = { sizeof(narrow), i32_enter, i32_best },
    [CBM_U8] = { sizeof(narrow), u8_enter, u8_best },    [CBM_BOOL] = { sizeof(narrow), u8_enter, u8_best },
};

/* Where row r begins. */
static const void *row_of(const job *j, int64_t r)
{
    return j->x + (size_t)(r / j->a.inner * j->a.length * j->a.inner + r % j->a.inner) * j->size;
}

static int64_t number_of(const job *j, const void *entries, int64_t i)
{
    return j->entry == sizeof(wide) ? (int64_t)(uint64_t)((const wide *)entries)[i]
                                    : (int64_t)(uint32_t)((const narrow *)entries)[i];
}

/* Results [begin, end) of row r from its entries. */
static void leave(const job *j, int64_t r, const void *entries, int64_t begin, int64_t end)
{
    const int64_t inner = j->a.inner, to = r / inner * j->k * inner + r % inner;
    const char *row = row_of(j, r);
    for (int64_t i = begin; i < end; i++) {
        const int64_t from = number_of(j, entries, i), at = to + i * inner;
        j->places[at] = from;
        if (j->size == 4)
            ((uint32_t *)(void *)j->values)[at] = ((const uint32_t *)(const void *)row)[from * inner];
        else
            memcpy(j->values + (size_t)at * j->size, row + (size_t)(from * inner) * j->size, j->size);
    }
}

static void sort_entries(const job *j, void *entries, void *room, int64_t n, bool in_order)
{
    if (j->entry == sizeof(wide))
        wide_sort(entries, room, n, in_order);
    else
        narrow_sort(entries, room, n, in_order);
}

/* ---- rows, one by each worker at a time ---- */

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
    if (j->k < n)
        j->kind->best(j, row_of(j, r), entries, room);
    else
        j->kind->enter(j, row_of(j, r), 0, n, entries);
    if (j->by_place)
        sort_places(j, entries, room, j->k);
    else if (j->k == n || j->k > FEW)
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
        j->kind->enter(j, row_of(j, j->row), first, last, entries);
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

static cbm_status prepare(cbm_prepare *p)
{
    const cbm_around a = cbm_around_axis(&p->launch->in[0], axis_of(p->launch));
    p->workspace = 2 * (size_t)workers_of(&a, p->threads) * (size_t)a.length * kinds[p->launch->in[0].dtype].entry;
    return CBM_OK;
}

static job job_of(const cbm_launch *l)
{
    const cbm_buffer *x = &l->in[0];
    job j = { .simd = cbm_simd_get(),
              .x = x->data,
              .values = l->out[0].data,
              .places = l->out[1].data,
              .kind = &kinds[x->dtype],
              .size = cbm_dtype_size(x->dtype),
              .entry = kinds[x->dtype].entry,
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
