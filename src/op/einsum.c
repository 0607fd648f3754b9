/* einsum.c: sums of products over named axes: Einstein's notation and tensordot, made of permutations, reshapes, matrix
   products and sums, so that gradients and plans come of themselves. Three and more operands are contracted two at a time,
   in the cheapest order: of all up to TRIED operands, by the cheapest next pair beyond (as in Pfeifer, Haegeman and
   Verstraete 2014, "Faster identification of optimal contraction sequences"). Rests on op/families.h. */
#include "op/families.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

enum {
    OPERANDS = 16, /* at most */
    TRIED = 6,     /* so many operands in every order */
    LETTERS = 52,  /* A to Z, a to z; behind them the axes under "...", counted from the last */
    LABELS = LETTERS + CBM_MAX_DIMS,
};

/* A tensor whose axes have labels. */
typedef struct operand {
    cbm_tensor *t;
    int n;
    int labels[CBM_MAX_DIMS];
} operand;

typedef struct einsum {
    cbm_context *cx;
    const char *who; /* for messages */
    size_t count;
    operand in[OPERANDS];
    int n_out;
    int out[CBM_MAX_DIMS];
    int64_t extent[LABELS];
    int occurs[LABELS];
} einsum;

static uint64_t bit(int label)
{
    return (uint64_t)1 << label;
}

static uint64_t set_of(const int *labels, int n)
{
    uint64_t set = 0;
    for (int i = 0; i < n; i++)
        set |= bit(labels[i]);
    return set;
}

static uint64_t labels_of(const operand *o)
{
    return set_of(o->labels, o->n);
}

/* ---- reading an equation ---- */

static int label_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    return c >= 'a' && c <= 'z' ? 26 + c - 'a' : -1;
}

static char letter_of(int label)
{
    return label >= LETTERS ? '.' : (char)(label < 26 ? 'A' + label : 'a' + label - 26);
}

static bool wrong(einsum *e, const char *equation, const char *why)
{
    (void)cbm_fail_tensor(e->cx, CBM_ERROR_INVALID, "[einsum] \"%.200s\": %s", equation, why);
    return false;
}

/* The labels of one term, up to a comma, an arrow or the end, with -1 in place of "...". false: it makes no sense. */
static bool read_term(einsum *e, const char *equation, const char **at, int *labels, int *n)
{
    bool dots = false;
    for (*n = 0; **at && **at != ',' && strncmp(*at, "->", 2) != 0; (*at)++) {
        if (isspace((unsigned char)**at))
            continue;
        const bool three = strncmp(*at, "...", 3) == 0;
        if (three && dots)
            return wrong(e, equation, "\"...\" twice in one operand");
        if (!three && label_of(**at) < 0)
            return wrong(e, equation, "only letters, \",\", \"->\" and \"...\" have a meaning");
        if (*n > CBM_MAX_DIMS)
            return wrong(e, equation, "more than 8 axes in one operand");
        labels[(*n)++] = three ? -1 : label_of(**at);
        dots = dots || three;
        *at += three ? 2 : 0;
    }
    return true;
}

/* The operand's axes under the term's labels; the axes under "..." are counted from the last. */
static bool label_axes(einsum *e, size_t i, const char *equation, const int *term, int n)
{
    char text[160];
    operand *o = &e->in[i];
    const cbm_shape shape = cbm_tensor_shape(o->t);
    const int rank = (int)shape.v[0];
    bool dots = false;
    for (int k = 0; k < n; k++)
        dots = dots || term[k] < 0;
    const int hidden = dots ? rank - (n - 1) : 0;
    if (dots ? hidden < 0 : rank != n) {
        (void)cbm_fail_tensor(e->cx, CBM_ERROR_SHAPE,
                              "[einsum] \"%.200s\" names %d axes of operand %zu, whose shape is %s", equation,
                              dots ? n - 1 : n, i + 1, cbm_shape_text(&shape, text, sizeof text));
        return false;
    }
    for (int k = 0; k < n; k++)
        for (int h = 0; h < (term[k] < 0 ? hidden : 1); h++)
            o->labels[o->n++] = term[k] < 0 ? LABELS - hidden + h : term[k];
    return true;
}

static bool note_extents(einsum *e, const operand *o)
{
    for (int k = 0; k < o->n; k++) {
        int64_t *known = &e->extent[o->labels[k]];
        const int64_t n = cbm_tensor_size(o->t, k);
        if (e->occurs[o->labels[k]]++ == 0 || *known == 1)
            *known = n;
        else if (n != *known && n != 1) {
            (void)cbm_fail_tensor(e->cx, CBM_ERROR_SHAPE, "[%s] axis '%c' is %lld long here and %lld there", e->who,
                                  letter_of(o->labels[k]), (long long)*known, (long long)n);
            return false;
        }
    }
    return true;
}

/* The result's labels: as they stand behind the arrow, or those that occur once. */
static bool read_result(einsum *e, const char *equation, const char *at)
{
    int term[CBM_MAX_DIMS + 1], n = 0;
    uint64_t seen = 0;
    if (*at == 0) {
        for (int label = LETTERS; label < LABELS; label++)
            if (e->occurs[label] > 0)
                e->out[e->n_out++] = label;
        for (int label = 0; label < LETTERS; label++)
            if (e->occurs[label] == 1 && e->n_out < CBM_MAX_DIMS)
                e->out[e->n_out++] = label;
            else if (e->occurs[label] == 1)
                return wrong(e, equation, "the result has more than 8 dimensions");
        return true;
    }
    at += 2;
    if (!read_term(e, equation, &at, term, &n))
        return false;
    if (*at != 0)
        return wrong(e, equation, "one result only");
    for (int k = 0; k < n; k++)
        for (int label = term[k] < 0 ? LETTERS : term[k]; label < (term[k] < 0 ? LABELS : term[k] + 1); label++) {
            if (term[k] < 0 && e->occurs[label] == 0)
                continue;
            if (e->occurs[label] == 0)
                return wrong(e, equation, "the result names an axis that no operand has");
            if (seen & bit(label))
                return wrong(e, equation, "the result names an axis twice");
            if (e->n_out == CBM_MAX_DIMS)
                return wrong(e, equation, "the result has more than 8 dimensions");
            seen |= bit(label);
            e->out[e->n_out++] = label;
        }
    return true;
}

static bool read_equation(einsum *e, const char *equation)
{
    const char *at = equation;
    int term[CBM_MAX_DIMS + 1], n = 0;
    for (size_t i = 0; i < e->count; i++) {
        if (!read_term(e, equation, &at, term, &n) || !label_axes(e, i, equation, term, n) ||
            !note_extents(e, &e->in[i]))
            return false;
        const bool more = i + 1 < e->count;
        if ((*at == ',') != more)
            return wrong(e, equation, more ? "fewer terms than operands" : "more terms than operands");
        at += more;
    }
    return read_result(e, equation, at);
}

/* ---- one operand ---- */

static void drop_label(operand *o, int axis)
{
    o->n--;
    for (int k = axis; k < o->n; k++)
        o->labels[k] = o->labels[k + 1];
}

/* Without axis: of extent 1, or summed. */
static void remove_axis(operand *o, int axis, bool sum)
{
    cbm_shape s = cbm_tensor_shape(o->t);
    if (sum) {
        o->t = cbm_sum_over(o->t, (cbm_shape){ { 1, axis } }, false);
    } else {
        for (int64_t k = axis + 1; k < s.v[0]; k++)
            s.v[k] = s.v[k + 1];
        s.v[s.v[0]--] = 0;
        o->t = cbm_reshape(o->t, s);
    }
    drop_label(o, axis);
}

/* The first two axes of one label become their diagonal, behind the others. false: there are none. */
static bool take_diagonal(operand *o)
{
    for (int a = 0; a < o->n; a++)
        for (int b = a + 1; b < o->n; b++)
            if (o->labels[a] == o->labels[b]) {
                const int label = o->labels[a];
                o->t = cbm_diagonal(o->t, 0, a, b);
                drop_label(o, b);
                drop_label(o, a);
                o->labels[o->n++] = label;
                return true;
            }
    return false;
}

/* One axis for each label, none that only broadcasts, none that nobody else has and the result does not want. */
static void simplify(const einsum *e, operand *o, uint64_t wanted)
{
    for (int k = o->n - 1; k >= 0; k--)
        if (cbm_tensor_size(o->t, k) == 1 && e->extent[o->labels[k]] != 1)
            remove_axis(o, k, false);
    while (take_diagonal(o))
        continue;
    for (int k = o->n - 1; k >= 0; k--)
        if (!(wanted & bit(o->labels[k])))
            remove_axis(o, k, true);
}

/* The operand's axes in the order of labels, all of which it has. */
static cbm_tensor *in_order(const operand *o, const int *labels, int n)
{
    cbm_shape order = { { n } };
    bool moved = false;
    for (int k = 0; k < n; k++) {
        int axis = 0;
        while (o->labels[axis] != labels[k])
            axis++;
        order.v[1 + k] = axis;
        moved = moved || axis != k;
    }
    return moved ? cbm_permute(o->t, order) : o->t;
}

/* ---- two operands ---- */

/* The labels of two operands: in both and wanted, in both and summed, in the first or the second only. */
typedef struct roles {
    int n_batch, n_sum, n_a, n_b;
    int batch[CBM_MAX_DIMS], sum[CBM_MAX_DIMS], a[CBM_MAX_DIMS], b[CBM_MAX_DIMS];
} roles;

static roles roles_of(const operand *a, const operand *b, uint64_t wanted)
{
    roles r = { 0 };
    for (int k = 0; k < a->n; k++) {
        const int label = a->labels[k];
        if (!(labels_of(b) & bit(label)))
            r.a[r.n_a++] = label;
        else if (wanted & bit(label))
            r.batch[r.n_batch++] = label;
        else
            r.sum[r.n_sum++] = label;
    }
    for (int k = 0; k < b->n; k++)
        if (!(labels_of(a) & bit(b->labels[k])))
            r.b[r.n_b++] = b->labels[k];
    return r;
}

static void append(int *labels, int *n, const int *more, int count)
{
    for (int k = 0; k < count; k++)
        labels[(*n)++] = more[k];
}

static int64_t extents(const einsum *e, const int *labels, int n)
{
    int64_t product = 1;
    for (int k = 0; k < n; k++)
        product *= e->extent[labels[k]];
    return product;
}

/* The operand with extents of 1 where it lacks one of labels, so that products broadcast. */
static cbm_tensor *spread(const einsum *e, const operand *o, const int *labels, int n)
{
    int own[CBM_MAX_DIMS], n_own = 0;
    cbm_shape shape = { { n } };
    for (int k = 0; k < n; k++) {
        const bool has = (labels_of(o) & bit(labels[k])) != 0;
        shape.v[1 + k] = has ? e->extent[labels[k]] : 1;
        if (has)
            own[n_own++] = labels[k];
    }
    return cbm_reshape(in_order(o, own, n_own), shape);
}

/* As a broadcast product, and a sum: where there is nothing to sum, or where a matrix product would be one of rows by
   columns for each element. */
static cbm_tensor *multiply(const einsum *e, const operand *a, const operand *b, const roles *r)
{
    int all[2 * CBM_MAX_DIMS], n = 0;
    append(all, &n, r->batch, r->n_batch);
    append(all, &n, r->a, r->n_a);
    append(all, &n, r->b, r->n_b);
    cbm_shape last = { { r->n_sum } };
    for (int k = 0; k < r->n_sum; k++)
        last.v[1 + k] = n + k;
    append(all, &n, r->sum, r->n_sum);
    if (n > CBM_MAX_DIMS)
        return cbm_fail_tensor(e->cx, CBM_ERROR_SHAPE, "[%s] a product on the way has %d dimensions, more than %d",
                               e->who, n, CBM_MAX_DIMS);
    return cbm_sum_over(cbm_mul(spread(e, a, all, n), spread(e, b, all, n)), last, false);
}

static cbm_tensor *matrix_product(const einsum *e, const operand *a, const operand *b, const roles *r)
{
    int left[CBM_MAX_DIMS], right[CBM_MAX_DIMS], n_left = 0, n_right = 0;
    append(left, &n_left, r->batch, r->n_batch);
    append(left, &n_left, r->a, r->n_a);
    append(left, &n_left, r->sum, r->n_sum);
    append(right, &n_right, r->batch, r->n_batch);
    append(right, &n_right, r->sum, r->n_sum);
    append(right, &n_right, r->b, r->n_b);
    const int64_t batch = extents(e, r->batch, r->n_batch), rows = extents(e, r->a, r->n_a);
    const int64_t inner = extents(e, r->sum, r->n_sum), columns = extents(e, r->b, r->n_b);
    cbm_shape sa = { { 2, rows, inner } }, sb = { { 2, inner, columns } }, out = { { 0 } };
    if (r->n_batch > 0) {
        sa = (cbm_shape){ { 3, batch, rows, inner } };
        sb = (cbm_shape){ { 3, batch, inner, columns } };
    }
    cbm_tensor *y =
        cbm_matmul(cbm_reshape(in_order(a, left, n_left), sa), cbm_reshape(in_order(b, right, n_right), sb));
    for (int k = 0; k < r->n_batch; k++)
        out.v[++out.v[0]] = e->extent[r->batch[k]];
    for (int k = 0; k < r->n_a; k++)
        out.v[++out.v[0]] = e->extent[r->a[k]];
    for (int k = 0; k < r->n_b; k++)
        out.v[++out.v[0]] = e->extent[r->b[k]];
    return cbm_reshape(y, out);
}

/* The two contracted: labels that are not wanted are summed. */
static operand contract(const einsum *e, const operand *a, const operand *b, uint64_t wanted)
{
    const roles r = roles_of(a, b, wanted);
    operand y = { .t = cbm_tensor_failed(a->t) ? a->t : b->t };
    if (r.n_batch + r.n_a + r.n_b > CBM_MAX_DIMS)
        y.t = cbm_fail_tensor(e->cx, CBM_ERROR_SHAPE, "[%s] a product on the way has %d dimensions, more than %d",
                              e->who, r.n_batch + r.n_a + r.n_b, CBM_MAX_DIMS);
    if (cbm_tensor_failed(y.t))
        return y;
    const bool scalars = r.n_batch > 0 && r.n_a + r.n_b == 0;
    const bool product = r.n_sum > 0 && !scalars && cbm_is_floating(cbm_tensor_dtype(a->t));
    y.t = product ? matrix_product(e, a, b, &r) : multiply(e, a, b, &r);
    append(y.labels, &y.n, r.batch, r.n_batch);
    append(y.labels, &y.n, r.a, r.n_a);
    append(y.labels, &y.n, r.b, r.n_b);
    return y;
}

/* ---- the order ---- */

static double size_of(const einsum *e, uint64_t labels)
{
    double size = 1;
    for (int label = 0; label < LABELS; label++)
        if (labels & bit(label))
            size *= (double)e->extent[label];
    return size;
}

/* Which labels are wanted of the operands in mask: those of the result and of all others. */
static uint64_t wanted_of(const einsum *e, uint32_t mask)
{
    uint64_t wanted = set_of(e->out, e->n_out);
    for (size_t i = 0; i < e->count; i++)
        if (!(mask >> i & 1))
            wanted |= labels_of(&e->in[i]);
    return wanted;
}

typedef struct search {
    const einsum *e;
    uint64_t labels[1 << TRIED]; /* of the operands in mask, contracted */
    double cost[1 << TRIED];
    uint32_t left[1 << TRIED]; /* the part that is contracted with the rest of mask */
} search;

/* The cheapest way for every set of operands, by the ways for its parts. */
static void find_order(search *s)
{
    const einsum *e = s->e;
    for (uint32_t mask = 1; mask < (uint32_t)1 << e->count; mask++) {
        uint64_t all = 0;
        for (size_t i = 0; i < e->count; i++)
            all |= mask >> i & 1 ? labels_of(&e->in[i]) : 0;
        s->labels[mask] = all & wanted_of(e, mask);
        s->cost[mask] = (mask & (mask - 1)) == 0 ? 0 : (double)INFINITY;
        for (uint32_t part = (mask - 1) & mask; part > (mask ^ part); part = (part - 1) & mask) {
            const uint32_t rest = mask ^ part;
            const double cost = s->cost[part] + s->cost[rest] + size_of(e, s->labels[part] | s->labels[rest]);
            if (cost < s->cost[mask] || isinf(s->cost[mask])) {
                s->cost[mask] = cost;
                s->left[mask] = part;
            }
        }
    }
}

static operand contract_set(const search *s, uint32_t mask)
{
    if ((mask & (mask - 1)) == 0) {
        size_t i = 0;
        while (!(mask >> i & 1))
            i++;
        return s->e->in[i];
    }
    const operand a = contract_set(s, mask ^ s->left[mask]), b = contract_set(s, s->left[mask]);
    return contract(s->e, &a, &b, wanted_of(s->e, mask));
}

/* The cheapest next pair again and again, in place. */
static operand contract_greedily(einsum *e)
{
    while (e->count > 1) {
        size_t best_a = 0, best_b = 1;
        double best = (double)INFINITY;
        for (size_t b = 1; b < e->count; b++)
            for (size_t a = 0; a < b; a++) {
                const double cost = size_of(e, labels_of(&e->in[a]) | labels_of(&e->in[b]));
                if (cost < best) {
                    best = cost;
                    best_a = a;
                    best_b = b;
                }
            }
        const uint64_t wanted = wanted_of(e, (uint32_t)1 << best_a | (uint32_t)1 << best_b);
        e->in[best_a] = contract(e, &e->in[best_a], &e->in[best_b], wanted);
        e->in[best_b] = e->in[--e->count];
    }
    return e->in[0];
}

static cbm_tensor *evaluate(einsum *e)
{
    const uint64_t since = e->cx->sequence;
    operand y;
    for (size_t i = 0; i < e->count; i++)
        simplify(e, &e->in[i], wanted_of(e, (uint32_t)1 << i));
    if (e->count <= TRIED) {
        search s = { .e = e };
        find_order(&s);
        y = contract_set(&s, ((uint32_t)1 << e->count) - 1);
    } else {
        y = contract_greedily(e);
    }
    return cbm_composed(cbm_tensor_failed(y.t) ? y.t : in_order(&y, e->out, e->n_out), since);
}

/* ---- public functions ---- */

/* Operands of one type; integers become i64. false: the context's error says why not. */
static bool take_operands(einsum *e, cbm_tensor *const *tensors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!cbm_usable(e->cx, tensors[i])) {
            (void)cbm_fail_tensor(e->cx, CBM_ERROR_INVALID, "[%s] operand %zu is NULL or failed", e->who, i + 1);
            return false;
        }
    const cbm_dtype dtype = cbm_tensor_dtype(tensors[0]);
    for (size_t i = 0; i < count; i++) {
        const cbm_dtype other = cbm_tensor_dtype(tensors[i]);
        if (other != dtype || other == CBM_BOOL) {
            (void)cbm_fail_tensor(e->cx, CBM_ERROR_DTYPE, "[%s] element types %s and %s. HINT: convert with cbm_cast",
                                  e->who, cbm_dtype_name(dtype), cbm_dtype_name(other));
            return false;
        }
        e->in[i].t = cbm_is_floating(dtype) ? tensors[i] : cbm_cast(tensors[i], CBM_I64);
    }
    e->count = count;
    return true;
}

cbm_tensor *cbm_einsum_of(const char *equation, cbm_tensor *const *tensors, size_t count)
{
    einsum e = { .cx = tensors && count ? cbm_context_of(tensors, count) : cbm_tensor_context(NULL), .who = "einsum" };
    if (!equation || !tensors || count < 1 || count > OPERANDS)
        return cbm_fail_tensor(e.cx, CBM_ERROR_INVALID, "[einsum] takes an equation and 1 to %d tensors", OPERANDS);
    if (!take_operands(&e, tensors, count) || !read_equation(&e, equation))
        return cbm_fail_tensor(e.cx, CBM_ERROR_INVALID, "[einsum] no result");
    return evaluate(&e);
}

cbm_tensor *cbm_tensordot(cbm_tensor *a, cbm_tensor *b, cbm_shape axes_a, cbm_shape axes_b)
{
    cbm_tensor *const both[] = { a, b };
    einsum e = { .cx = cbm_context_of(both, 2), .who = "tensordot" };
    int next = 0;
    if (!take_operands(&e, both, 2))
        return cbm_fail_tensor(e.cx, CBM_ERROR_INVALID, "[tensordot] no result");
    if (axes_a.v[0] != axes_b.v[0] || axes_a.v[0] < 0 || axes_a.v[0] > CBM_MAX_DIMS)
        return cbm_fail_tensor(e.cx, CBM_ERROR_INVALID, "[tensordot] %lld axes of a, %lld of b", (long long)axes_a.v[0],
                               (long long)axes_b.v[0]);
    const cbm_shape axes[] = { axes_a, axes_b };
    for (int i = 0; i < 2; i++) {
        operand *o = &e.in[i];
        o->n = (int)cbm_tensor_rank(o->t);
        for (int k = 0; k < o->n; k++)
            o->labels[k] = -1;
        for (int64_t k = 1; k <= axes[i].v[0]; k++) {
            int64_t axis = 0;
            if (!cbm_axis_of("tensordot", o->t, axes[i].v[k], &axis))
                return cbm_fail_tensor(e.cx, CBM_ERROR_INVALID, "[tensordot] no result");
            if (o->labels[axis] >= 0)
                return cbm_fail_tensor(e.cx, CBM_ERROR_INVALID, "[tensordot] axis %lld is named twice",
                                       (long long)axis);
            o->labels[axis] = (int)k - 1;
        }
    }
    next = (int)axes_a.v[0];
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < e.in[i].n; k++)
            if (e.in[i].labels[k] < 0) {
                if (e.n_out == CBM_MAX_DIMS)
                    return cbm_fail_tensor(e.cx, CBM_ERROR_SHAPE, "[tensordot] the result has more than %d dimensions",
                                           CBM_MAX_DIMS);
                e.out[e.n_out++] = e.in[i].labels[k] = next++;
            }
    return note_extents(&e, &e.in[0]) && note_extents(&e, &e.in[1])
               ? evaluate(&e)
               : cbm_fail_tensor(e.cx, CBM_ERROR_INVALID, "[tensordot] no result");
}
