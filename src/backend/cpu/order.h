/* order.h: sorting and selecting entries, each a key (of an element, so that keys sort as elements do) with the element's
   number below it: entries are all distinct, and any way of sorting them keeps equal elements in their order. Included once
   for each width of entries, with CBM_ENTRY their type, CBM_KEY_SHIFT the bits below the key and CBM_ORDER(name) giving
   names. Rests on nothing. */

static void CBM_ORDER(insert)(CBM_ENTRY *a, int64_t n)
{
    for (int64_t i = 1; i < n; i++) {
        const CBM_ENTRY e = a[i];
        int64_t at = i;
        for (; at > 0 && a[at - 1] > e; at--)
            a[at] = a[at - 1];
        a[at] = e;
    }
}

/* The smaller of two sorted runs first: a and b into to. */
static void CBM_ORDER(merge)(const CBM_ENTRY *a, int64_t n_a, const CBM_ENTRY *b, int64_t n_b, CBM_ENTRY *to)
{
    int64_t i = 0, k = 0;
    while (i < n_a && k < n_b) {
        const bool first = a[i] < b[k];
        *to++ = first ? a[i] : b[k];
        i += first;
        k += !first;
    }
    memcpy(to, a + i, (size_t)(n_a - i) * sizeof *to);
    memcpy(to + (n_a - i), b + k, (size_t)(n_b - k) * sizeof *to);
}

/* How many of the first `count` of two merged runs come from a. */
static int64_t CBM_ORDER(rank)(const CBM_ENTRY *a, int64_t n_a, const CBM_ENTRY *b, int64_t n_b, int64_t count)
{
    int64_t low = count > n_b ? count - n_b : 0, high = count < n_a ? count : n_a;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (a[middle] < b[count - middle - 1])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Results [begin, end) of merging two runs, into to. */
static void CBM_ORDER(merge_part)(const CBM_ENTRY *a, int64_t n_a, const CBM_ENTRY *b, int64_t n_b, int64_t begin,
                                  int64_t end, CBM_ENTRY *to)
{
    const int64_t i = CBM_ORDER(rank)(a, n_a, b, n_b, begin), k = CBM_ORDER(rank)(a, n_a, b, n_b, end);
    CBM_ORDER(merge)(a + i, k - i, b + (begin - i), (end - k) - (begin - i), to);
}

/* Runs of RUN by insertion, then merged. */
static void CBM_ORDER(merge_sort)(CBM_ENTRY *a, CBM_ENTRY *room, int64_t n)
{
    enum { RUN = 12 };
    CBM_ENTRY *from = a, *to = room;
    for (int64_t i = 0; i < n; i += RUN)
        CBM_ORDER(insert)(a + i, n - i < RUN ? n - i : RUN);
    for (int64_t width = RUN; width < n; width *= 2) {
        for (int64_t i = 0; i < n; i += 2 * width) {
            const int64_t n_a = n - i < width ? n - i : width, n_b = n - i - n_a < width ? n - i - n_a : width;
            CBM_ORDER(merge)(from + i, n_a, from + i + n_a, n_b, to + i);
        }
        CBM_ENTRY *t = from;
        from = to;
        to = t;
    }
    if (from != a)
        memcpy(a, from, (size_t)n * sizeof *a);
}

/* Entries whose numbers rise, by the bytes of their keys, the lowest first; a byte that all have in common is passed by. */
static void CBM_ORDER(radix_sort)(CBM_ENTRY *a, CBM_ENTRY *room, int64_t n)
{
    enum { BYTES = CBM_KEY_SHIFT / 8, BUCKETS = 256 }; /* as many bits of key as below it */
    int64_t counts[BYTES][BUCKETS];
    memset(counts, 0, sizeof counts);
    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < BYTES; b++)
            counts[b][(uint8_t)(a[i] >> (CBM_KEY_SHIFT + 8 * b))]++;
    CBM_ENTRY *from = a, *to = room;
    for (int b = 0; b < BYTES; b++) {
        int64_t *at = counts[b], sum = 0;
        if (at[(uint8_t)(a[0] >> (CBM_KEY_SHIFT + 8 * b))] == n)
            continue;
        for (int k = 0; k < BUCKETS; k++) {
            const int64_t count = at[k];
            at[k] = sum;
            sum += count;
        }
        for (int64_t i = 0; i < n; i++)
            to[at[(uint8_t)(from[i] >> (CBM_KEY_SHIFT + 8 * b))]++] = from[i];
        CBM_ENTRY *t = from;
        from = to;
        to = t;
    }
    if (from != a)
        memcpy(a, from, (size_t)n * sizeof *a);
}

/* Sorts n entries, whose numbers rise where in_order says so; room holds n too. */
static void CBM_ORDER(sort)(CBM_ENTRY *a, CBM_ENTRY *room, int64_t n, bool in_order)
{
    enum { RADIX_FROM = 400 * CBM_KEY_SHIFT / 32 };
    if (in_order && n >= RADIX_FROM)
        CBM_ORDER(radix_sort)(a, room, n);
    else
        CBM_ORDER(merge_sort)(a, room, n);
}

/* Puts the k smallest of n entries first, in any order: intervals around the k-th are divided at a middle element until one
   is left, or, where that goes badly, sorted. */
static void CBM_ORDER(select)(CBM_ENTRY *a, CBM_ENTRY *room, int64_t n, int64_t k)
{
    int64_t low = 0, high = n, patience = 4;
    for (int64_t m = n; m > 0; m /= 2)
        patience += 2;
    if (k == n)
        return;
    while (high - low > 16 && patience-- > 0) {
        CBM_ENTRY x = a[low + (high - low) / 4], y = a[low + (high - low) / 2], z = a[low + (high - low) / 4 * 3];
        CBM_ENTRY pivot = x < y ? (y < z ? y : x < z ? z : x) : (x < z ? x : y < z ? z : y);
        int64_t i = low, j = high - 1;
        while (i <= j) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i <= j) {
                const CBM_ENTRY t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        if (k <= j + 1)
            high = j + 1;
        else if (k >= i)
            low = i;
        else
            return;
        if (k == low || k == high)
            return;
    }
    CBM_ORDER(merge_sort)(a + low, room, high - low);
}
