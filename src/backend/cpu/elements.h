/* elements.h: rows of elements as entries (order.h), and the best of a row. Included once for each element type, with
   CBM_ELEMENT the type, CBM_KEY its key, CBM_IS_NAN(x) false for integers, CBM_ENTRY, CBM_KEY_SHIFT and CBM_ORDER as in
   order.h, and CBM_OF(name) giving names; CBM_TOP(job, x, n), if there is one, is the greatest of n elements. Rests on
   sort.c's job. */

static inline CBM_ENTRY CBM_OF(entry)(CBM_ELEMENT x, int64_t i, bool down)
{
    const CBM_ENTRY all = ((CBM_ENTRY)1 << CBM_KEY_SHIFT) - 1;
    return (down ? CBM_KEY(x) ^ all : CBM_KEY(x)) << CBM_KEY_SHIFT | (uint64_t)i;
}

/* Elements [begin, end) of a row. */
static void CBM_OF(enter)(const job *j, const void *row, int64_t begin, int64_t end, void *entries)
{
    const CBM_ELEMENT *x = row;
    CBM_ENTRY *e = entries;
    for (int64_t i = begin; i < end; i++)
        e[i - begin] = CBM_OF(entry)(x[i * j->a.inner], i, j->down);
}

/* Whether x does not belong to the best when limit, which lies before it, is the worst of them. */
static inline bool CBM_OF(is_worse)(CBM_ELEMENT x, CBM_ELEMENT limit, bool down)
{
    return down ? x <= limit : x >= limit || CBM_IS_NAN(x);
}

/* The same of a block of elements from number i on, if i begins one; false where that would cost as much as asking each. */
static inline bool CBM_OF(block_is_worse)(const job *j, const CBM_ELEMENT *x, int64_t i, CBM_ELEMENT limit)
{
#ifdef CBM_TOP
    return i % BLOCK == 0 && j->down && j->a.inner == 1 && j->a.length - i >= BLOCK &&
           CBM_TOP(j, x + i, BLOCK) <= limit;
#else
    (void)j, (void)x, (void)i, (void)limit;
    return false;
#endif
}

/* Few are kept sorted; each better one is moved into its place. */
static void CBM_OF(few)(const job *j, const CBM_ELEMENT *x, CBM_ENTRY *best)
{
    const int64_t n = j->a.length, step = j->a.inner, k = j->k;
    CBM_OF(enter)(j, x, 0, k, best);
    CBM_ORDER(insert)(best, k);
    CBM_ELEMENT limit = x[(uint32_t)best[k - 1] * step];
    for (int64_t i = k; i < n; i++) {
        if (CBM_OF(block_is_worse)(j, x, i, limit)) {
            i += BLOCK - 1;
            continue;
        }
        if (CBM_OF(is_worse)(x[i * step], limit, j->down))
            continue;
        const CBM_ENTRY e = CBM_OF(entry)(x[i * step], i, j->down);
        if (e > best[k - 1])
            continue;
        int64_t at = k - 1;
        for (; at > 0 && best[at - 1] > e; at--)
            best[at] = best[at - 1];
        best[at] = e;
        limit = x[(uint32_t)best[k - 1] * step];
    }
}

/* Many are gathered with others that may yet be among them, and selected from those whenever these are as many. */
static void CBM_OF(many)(const job *j, const CBM_ELEMENT *x, CBM_ENTRY *best, CBM_ENTRY *room)
{
    const int64_t n = j->a.length, step = j->a.inner, most = 2 * j->k + BLOCK < n ? 2 * j->k + BLOCK : n;
    int64_t kept = most;
    CBM_OF(enter)(j, x, 0, most, best);
    CBM_ORDER(select)(best, room, kept, j->k);
    for (int64_t i = most; i < n;) {
        CBM_ENTRY worst = best[0];
        for (int64_t k = 1; k < j->k; k++)
            worst = best[k] > worst ? best[k] : worst;
        const CBM_ELEMENT limit = x[(uint32_t)worst * step];
        for (kept = j->k; i < n && kept < most; i++) {
            if (CBM_OF(block_is_worse)(j, x, i, limit))
                i += BLOCK - 1;
            else if (!CBM_OF(is_worse)(x[i * step], limit, j->down))
                best[kept++] = CBM_OF(entry)(x[i * step], i, j->down);
        }
        CBM_ORDER(select)(best, room, kept, j->k);
    }
}

/* Entries of the k best elements of a row, in any order; best and room hold a row each. */
static void CBM_OF(best)(const job *j, const void *row, void *best, void *room)
{
    if (j->k <= FEW) {
        CBM_OF(few)(j, row, best);
    } else if (4 * j->k <= j->a.length) {
        CBM_OF(many)(j, row, best, room);
    } else {
        CBM_OF(enter)(j, row, 0, j->a.length, best);
        CBM_ORDER(select)(best, room, j->a.length, j->k);
    }
}

#undef CBM_ELEMENT
#undef CBM_KEY
#undef CBM_IS_NAN
#undef CBM_OF
#undef CBM_TOP
