/* test_cpu_index.c: the CPU backend's indexing, order, counts and embeddings against the reference backend's on random
   shapes, dtypes and thread counts, wrong indices among them, at every SIMD level. */
#include "backend/kernels.h"

#include <cambium/ops/embedding.h>
#include <cambium/ops/index.h>

enum { ROUNDS = 150 };

static const cbm_dtype every[] = { CBM_F32, CBM_F64, CBM_I64, CBM_I32, CBM_U8, CBM_BOOL, CBM_BF16 };

static cbm_dtype index_dtype(void)
{
    return draw_int(0, 1) ? CBM_I64 : CBM_I32;
}

/* Indices in [0, extent), and now and then one that is not. */
static void fill_index(trial *t, size_t i, int64_t extent)
{
    cbm_buffer *b = &t->in[i];
    fill_buffer(b, (fill){ 0, (double)(extent - 1) });
    if (b->count == 0 || draw_int(0, 9))
        return;
    put(b->data, b->dtype, draw_int(0, b->count - 1), draw_int(0, 1) ? -1 : (double)extent);
    t->want = CBM_ERROR_RANGE;
}

static trial begin(const char *op, const void *attributes, size_t n_in)
{
    return (trial){
        .op = op, .attributes = attributes, .n_in = n_in, .n_out = 1, .threads = draw_int(1, 3), .tolerance = 1e-5
    };
}

static void rows(void **state)
{
    (void)state;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const int64_t rank = draw_int(1, 4), axis = draw_int(0, rank - 1), count = draw_int(1, round % 9 ? 12 : 3000);
        const cbm_shape shape = random_shape(rank, rank < 3 ? 90 : 12);
        const cbm_dtype dtype = every[round % 7];
        cbm_shape taken = shape;
        taken.v[1 + axis] = cbm_shape_count(&shape) * count < 200000 ? count : 3;
        const int64_t extent = shape.v[1 + axis], n = taken.v[1 + axis];
        const cbm_axis_attributes a = { axis };
        const cbm_index_fill_attributes f = { axis, (double)draw_int(0, 9) };

        trial s = begin("index_select", &a, 2);
        s.in[0] = buffer(dtype, shape);
        s.in[1] = buffer(index_dtype(), CBM_SHAPE(n));
        s.out[0] = buffer(dtype, taken);
        fill_buffer(&s.in[0], (fill){ 0, dtype == CBM_BOOL ? 1 : 9 });
        fill_index(&s, 1, extent);
        compare(&s);

        trial p = begin(round % 3 == 0 ? "index_add" : "index_copy", &a, 3);
        const cbm_dtype into = round % 3 == 0 && dtype == CBM_BOOL ? CBM_F32 : dtype;
        p.in[0] = p.out[0] = buffer(into, shape);
        p.in[1] = buffer(index_dtype(), CBM_SHAPE(n));
        p.in[2] = buffer(into, taken);
        p.tolerance = into == CBM_BF16 ? 0.02 : 1e-5;
        fill_buffer(&p.in[0], (fill){ into == CBM_BOOL ? 0 : -1, 1 });
        fill_index(&p, 1, extent);
        fill_buffer(&p.in[2], (fill){ into == CBM_BOOL ? 0 : -1, 1 });
        compare(&p);

        trial v = begin("index_fill", &f, 2);
        v.in[0] = v.out[0] = buffer(dtype, shape);
        v.in[1] = buffer(index_dtype(), CBM_SHAPE(n));
        fill_buffer(&v.in[0], (fill){ 0, 1 });
        fill_index(&v, 1, extent);
        compare(&v);
    }
}

static void scatters(void **state)
{
    (void)state;
    for (int round = 0; round < 3 * ROUNDS; round++) {
        const int64_t rank = draw_int(1, 4), axis = draw_int(0, rank - 1);
        const cbm_shape shape = random_shape(rank, rank < 3 ? 60 : 9);
        cbm_shape at = shape;
        at.v[1 + axis] = draw_int(1, 40);
        if (round % 9 == 8)
            for (int64_t d = 0; d < rank; d++)
                at.v[1 + d] = d == axis ? at.v[1 + d] : draw_int(1, shape.v[1 + d]);
        const cbm_axis_attributes a = { axis };
        trial s = begin("scatter", &a, 3);
        s.in[0] = s.out[0] = buffer(every[round % 7], shape);
        s.in[1] = buffer(index_dtype(), at);
        s.in[2] = buffer(every[round % 7], at);
        fill_buffer(&s.in[0], (fill){ 0, 1 });
        fill_index(&s, 1, shape.v[1 + axis]);
        fill_buffer(&s.in[2], (fill){ 0, 1 });
        compare(&s);

        const cbm_scatter_reduce_attributes r = { axis, round % 5, draw_int(0, 1) };
        trial t = begin("scatter_reduce", &r, 3);
        const cbm_dtype dtype = round % 4 == 3 && r.how != CBM_SCATTER_MEAN ? CBM_I32 : CBM_F32;
        t.in[0] = t.out[0] = buffer(dtype, shape);
        t.in[1] = buffer(index_dtype(), at);
        t.in[2] = buffer(dtype, at);
        fill_buffer(&t.in[0], (fill){ -1, 1 });
        fill_index(&t, 1, shape.v[1 + axis]);
        fill_buffer(&t.in[2], (fill){ -1, 1 });
        compare(&t);
    }
}

/* Elements with ties, infinities and NaN. */
static void fill_odd(cbm_buffer *b)
{
    static const double odd[] = { NAN, INFINITY, -INFINITY, 0.0, -0.0 };
    const bool whole = b->dtype != CBM_F32 && b->dtype != CBM_F64 && b->dtype != CBM_BF16;
    const double low = b->dtype == CBM_U8 || b->dtype == CBM_BOOL ? 0 : -20;
    fill_buffer(b, (fill){ low, b->dtype == CBM_BOOL ? 1 : 20 });
    const int ties = draw_int(0, 1) != 0;
    for (int64_t i = 0; !whole && i < b->count; i++) {
        if (ties)
            put(b->data, b->dtype, i, floor(get(b->data, b->dtype, i)));
        if (draw() < 0.05)
            put(b->data, b->dtype, i, odd[draw_int(0, 4)]);
    }
}

static void sort_once(cbm_dtype dtype, cbm_shape shape, int64_t axis, int64_t k, int64_t threads)
{
    const cbm_sort_attributes a = { axis, draw_int(0, 1) };
    trial t = begin("sort", &a, 1);
    t.n_out = 2;
    t.threads = threads;
    t.tolerance = 0;
    t.in[0] = t.out[0] = buffer(dtype, shape);
    t.out[1] = buffer(CBM_I64, shape);
    fill_odd(&t.in[0]);
    compare(&t);

    const cbm_topk_attributes b = { axis, k, draw_int(0, 1), draw_int(0, 2) != 0 };
    cbm_shape best = shape;
    best.v[1 + axis] = k;
    t.op = "topk";
    t.attributes = &b;
    t.in[0] = buffer(dtype, shape);
    t.out[0] = buffer(dtype, best);
    t.out[1] = buffer(CBM_I64, best);
    fill_odd(&t.in[0]);
    compare(&t);
}

static void sorting(void **state)
{
    (void)state;
    for (int round = 0; round < 3 * ROUNDS; round++) {
        const int64_t rank = draw_int(1, 3), axis = draw_int(0, rank - 1);
        cbm_shape shape = random_shape(rank, rank < 2 ? 500 : 12);
        shape.v[1 + axis] = draw_int(1, round % 5 ? 30 : 1500);
        const int64_t n = shape.v[1 + axis], k = draw_int(0, 2) ? draw_int(1, n < 8 ? n : n / 8 + 1) : draw_int(1, n);
        sort_once(every[round % 7], shape, axis, k, draw_int(1, 3));
    }
    /* Rows that several threads sort together, in pieces that do and do not come out even. */
    for (int64_t threads = 2; threads <= 5; threads++) {
        sort_once(CBM_F32, CBM_SHAPE(65536 + 7 * threads), 0, 100, threads);
        sort_once(CBM_I64, CBM_SHAPE(1, 70001, 1), 1, 69000, threads);
    }
    sort_once(CBM_F64, CBM_SHAPE(66000, 2), 0, 3, 4);
}

/* What is sought in falling, equal and rising sequences of rows. */
static void searches(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const cbm_dtype dtype = every[round % 5];
        const int64_t n = draw_int(1, 40), m = draw_int(1, 60), outer = draw_int(1, 4);
        const cbm_search_attributes a = { draw_int(0, 1) };
        trial t = begin("searchsorted", &a, 2);
        const bool shared = round % 2 == 0;
        t.in[0] = buffer(dtype, shared ? CBM_SHAPE(n) : CBM_SHAPE(outer, n));
        t.in[1] = buffer(dtype, CBM_SHAPE(outer, m));
        t.out[0] = buffer(CBM_I64, CBM_SHAPE(outer, m));
        fill_buffer(&t.in[0], (fill){ 0, 0 });
        for (int64_t i = 0; i < t.in[0].count; i++)
            put(t.in[0].data, dtype, i, (double)(i % n / 2));
        fill_buffer(&t.in[1], (fill){ 0, (double)(n / 2 + 1) });
        compare(&t);
    }
}

static void counts(void **state)
{
    (void)state;
    static const cbm_dtype whole[] = { CBM_I64, CBM_I32, CBM_U8 }, real[] = { CBM_F32, CBM_F64, CBM_BF16 };
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t count = round % 10 == 9 ? 70000 : draw_int(1, 300), bins = draw_int(1, 200);
        const cbm_dtype weight = real[round % 3];
        const cbm_bincount_attributes b = { bins };
        trial c = begin("bincount", &b, round % 2 ? 2 : 1);
        c.in[0] = buffer(whole[round % 3], CBM_SHAPE(count));
        c.in[1] = buffer(weight, CBM_SHAPE(count));
        c.out[0] = buffer(round % 2 ? weight : CBM_I64, CBM_SHAPE(bins));
        c.tolerance = weight == CBM_BF16 && round % 2 ? 0.02 : 1e-5;
        fill_buffer(&c.in[0], (fill){ 0, (double)(bins - 1) });
        if (round % 2)
            fill_buffer(&c.in[1], (fill){ -1, 1 });
        if (round % 7 == 6) {
            put(c.in[0].data, c.in[0].dtype, count / 2, (double)bins);
            c.want = CBM_ERROR_RANGE;
        }
        compare(&c);

        const cbm_dtype dtype = real[round % 2];
        trial h = begin("histogram", NULL, round % 3 ? 2 : 3);
        h.in[0] = buffer(dtype, CBM_SHAPE(count));
        h.in[1] = buffer(dtype, CBM_SHAPE(bins + 1));
        h.in[2] = buffer(dtype, CBM_SHAPE(count));
        h.out[0] = buffer(dtype, CBM_SHAPE(bins));
        fill_buffer(&h.in[0], (fill){ -10, 10 });
        fill_buffer(&h.in[1], (fill){ 0, 0 });
        for (int64_t i = 0; i <= bins; i++) /* equal, or growing, or with steps */
            put(h.in[1].data, dtype, i,
                round % 4 == 0   ? -8 + 16.0 * (double)i / (double)bins
                : round % 4 == 1 ? -8 + 16.0 * (double)(i * i) / (double)(bins * bins)
                                 : floor((double)i / 3) - 4);
        for (int64_t i = 0; i < count; i += 5)
            put(h.in[0].data, dtype, i, get(h.in[1].data, dtype, i % (bins + 1)));
        put(h.in[0].data, dtype, count / 3, NAN);
        if (h.n_in > 2)
            fill_buffer(&h.in[2], (fill){ -1, 1 });
        if (round % 11 == 10) {
            put(h.in[1].data, dtype, bins, -100);
            h.want = CBM_ERROR_RANGE;
        }
        compare(&h);
    }
}

static void embeddings(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t table = draw_int(1, 40), columns = draw_int(1, round % 5 ? 40 : 300), count = draw_int(1, 200);
        const cbm_dtype dtype = every[round % 3 == 0 ? 6 : round % 3 - 1]; /* bf16, f32, f64 */
        const int64_t padding = draw_int(-1, table - 1);
        const cbm_embedding_attributes a = { padding };
        trial e = begin("embedding", &a, 2);
        e.in[0] = buffer(index_dtype(), CBM_SHAPE(count));
        e.in[1] = buffer(dtype, CBM_SHAPE(table, columns));
        e.out[0] = buffer(dtype, CBM_SHAPE(count, columns));
        fill_index(&e, 0, table);
        fill_buffer(&e.in[1], (fill){ -1, 1 });
        compare(&e);

        const cbm_embedding_backward_attributes b = { table, padding };
        trial g = begin("embedding_backward", &b, 2);
        g.in[0] = buffer(index_dtype(), CBM_SHAPE(count));
        g.in[1] = buffer(dtype, CBM_SHAPE(count, columns));
        g.out[0] = buffer(dtype, CBM_SHAPE(table, columns));
        g.tolerance = dtype == CBM_BF16 ? 0.02 : 1e-4;
        fill_index(&g, 0, table);
        fill_buffer(&g.in[1], (fill){ -1, 1 });
        compare(&g);

        const int64_t bags = draw_int(1, 20), length = draw_int(1, 9);
        cbm_bag_attributes m = { round % 3, draw_int(0, 1), 0, 0, padding };
        m.weighted = m.mode == CBM_BAG_SUM && draw_int(0, 1);
        m.last = !m.fixed && draw_int(0, 1);
        size_t n = 2;
        trial t = begin("embedding_bag", &m, 0);
        t.n_out = 2;
        t.tolerance = dtype == CBM_BF16 ? 0.02 : 1e-5;
        t.in[0] = buffer(dtype, CBM_SHAPE(table, columns));
        t.in[1] = buffer(index_dtype(), m.fixed ? CBM_SHAPE(bags, length) : CBM_SHAPE(bags * length));
        if (!m.fixed)
            t.in[n++] = buffer(index_dtype(), CBM_SHAPE(bags + m.last));
        if (m.weighted)
            t.in[n++] = buffer(dtype, m.fixed ? CBM_SHAPE(bags, length) : CBM_SHAPE(bags * length));
        t.n_in = n;
        t.out[0] = buffer(dtype, CBM_SHAPE(bags, columns));
        t.out[1] = buffer(CBM_I64, m.mode == CBM_BAG_MAX ? CBM_SHAPE(bags, columns) : CBM_SHAPE(0));
        fill_buffer(&t.in[0], (fill){ -1, 1 });
        fill_index(&t, 1, table);
        if (!m.fixed) {
            fill_buffer(&t.in[2], (fill){ 0, 0 });
            int64_t at = 0;
            for (int64_t i = 1; i < t.in[2].count; i++) {
                at = draw_int(at, bags * length < at + 2 * length ? bags * length : at + 2 * length);
                put(t.in[2].data, t.in[2].dtype, i, (double)at);
            }
        }
        if (m.weighted)
            fill_buffer(&t.in[n - 1], (fill){ -1, 1 });
        compare(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),     cmocka_unit_test(scatters), cmocka_unit_test(sorting),
        cmocka_unit_test(searches), cmocka_unit_test(counts),   cmocka_unit_test(embeddings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
