/* test_cpu_moves.c: the CPU backend's padding, flips, rolls, windows, patches, triangles and diagonals against the reference
   backend's on random shapes, dtypes, strides and thread counts, at every SIMD level. */
#include "backend/kernels.h"

#include <cambium/ops/move.h>

enum { ROUNDS = 150 };

static cbm_dtype dtype_of(int round)
{
    static const cbm_dtype dtypes[] = { CBM_F32, CBM_F64, CBM_I64, CBM_I32, CBM_U8, CBM_BOOL, CBM_BF16 };
    return dtypes[round % 7];
}

static void filled(trial *t, fill f)
{
    for (size_t i = 0; i < t->n_in; i++)
        fill_buffer(&t->in[i], f);
    compare(t);
}

static void flips_and_rolls(void **state)
{
    (void)state;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        const int64_t rank = draw_int(1, 5);
        const cbm_shape shape = random_shape(rank, rank < 3 ? 90 : 8);
        trial t = { .n_in = 1, .n_out = 1, .threads = draw_int(1, 3) };
        t.in[0] = random_layout(dtype_of(round), shape);
        t.out[0] = buffer(dtype_of(round), shape);
        cbm_axes_attributes axes = { { { 0 } } };
        cbm_roll_attributes by = { { { rank } } };
        for (int64_t d = 0; d < rank; d++) {
            if (draw_int(0, 1))
                axes.axes.v[++axes.axes.v[0]] = d;
            by.shifts.v[1 + d] = draw_int(0, 2) ? 0 : draw_int(0, shape.v[1 + d] - 1);
        }
        t.op = "flip";
        t.attributes = &axes;
        filled(&t, (fill){ 0, 1 });
        t.op = "roll";
        t.attributes = &by;
        filled(&t, (fill){ 0, 1 });
    }
}

static void paddings(void **state)
{
    (void)state;
    for (int round = 0; round < 3 * ROUNDS; round++) {
        const int64_t rank = draw_int(1, 5), padded = draw_int(0, 2) ? rank - draw_int(0, rank - 1) : rank;
        const cbm_shape shape = random_shape(rank, rank < 3 ? 90 : 8);
        cbm_pad_attributes a = { { { rank } }, { { rank } }, round % 3 ? (double)draw_int(-3, 300) + 0.5 : 0 };
        cbm_shape to = shape;
        for (int64_t d = rank - padded; d < rank; d++) {
            const int64_t n = shape.v[1 + d];
            a.before.v[1 + d] = draw_int(-n / 2, 6);
            a.after.v[1 + d] = draw_int(1 - n - a.before.v[1 + d], 6);
            to.v[1 + d] = n + a.before.v[1 + d] + a.after.v[1 + d];
        }
        trial t = { .op = "pad", .attributes = &a, .n_in = 1, .n_out = 1, .threads = draw_int(1, 3) };
        t.in[0] = random_layout(dtype_of(round), shape);
        t.out[0] = buffer(dtype_of(round), to);
        filled(&t, (fill){ 0, 1 });
    }
}

static void edges(void **state)
{
    (void)state;
    for (int round = 0; round < 3 * ROUNDS; round++) {
        const int64_t rank = draw_int(1, 5), mode = 1 + round % 3, padded = draw_int(0, rank);
        const cbm_shape shape = random_shape(rank, rank < 3 ? 90 : 8);
        cbm_pad_edge_attributes a = { { { rank } }, { { rank } }, shape, mode };
        cbm_shape to = shape;
        for (int64_t d = draw_int(0, 1) ? rank - padded : 0; d < rank; d++) {
            const int64_t n = shape.v[1 + d], most = mode == CBM_PAD_REFLECT ? n - 1 : mode == CBM_PAD_CIRCULAR ? n : 9;
            a.before.v[1 + d] = draw_int(-n / 2, most);
            const int64_t least = 1 - n - a.before.v[1 + d];
            a.after.v[1 + d] = draw_int(least < most ? least : most, most);
            to.v[1 + d] = n + a.before.v[1 + d] + a.after.v[1 + d];
        }
        trial t = { .op = "pad_edge", .attributes = &a, .n_in = 1, .n_out = 1, .threads = draw_int(1, 3) };
        t.in[0] = random_layout(dtype_of(round), shape);
        t.out[0] = buffer(dtype_of(round), to);
        filled(&t, (fill){ 0, 1 });
        t.op = "pad_edge_backward";
        t.in[0] = buffer(CBM_F32, to);
        t.out[0] = buffer(CBM_F32, shape);
        t.tolerance = 1e-5;
        filled(&t, (fill){ -1, 1 });
    }
    /* One plane whose rows are long: threads share the units. */
    const cbm_pad_edge_attributes rows = { CBM_SHAPE(2, 0), CBM_SHAPE(1, 0), CBM_SHAPE(5, 3000), CBM_PAD_REFLECT };
    trial t = {
        .op = "pad_edge_backward", .attributes = &rows, .n_in = 1, .n_out = 1, .threads = 3, .tolerance = 1e-5
    };
    t.in[0] = buffer(CBM_F32, CBM_SHAPE(8, 3000));
    t.out[0] = buffer(CBM_F32, CBM_SHAPE(5, 3000));
    filled(&t, (fill){ -1, 1 });
}

static void windows(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const int64_t rank = draw_int(1, 3);
        cbm_shape shape = random_shape(rank, round % 5 ? 30 : 700);
        for (int64_t d = 1; d <= rank && round % 5 == 0; d++)
            shape.v[d] = d == 1 || shape.v[d] < 40 ? shape.v[d] : 40;
        cbm_windows_attributes a = { .axis = draw_int(0, rank - 1), .step = draw_int(1, 4) };
        a.extent = shape.v[1 + a.axis];
        a.size = draw_int(1, a.extent);
        cbm_shape g = shape;
        g.v[1 + a.axis] = (a.extent - a.size) / a.step + 1;
        g.v[++g.v[0]] = a.size;
        trial t = { .op = "windows_add", .attributes = &a, .n_in = 1, .n_out = 1, .threads = 2, .tolerance = 1e-4 };
        t.in[0] = buffer(CBM_F32, g);
        t.out[0] = buffer(CBM_F32, shape);
        filled(&t, (fill){ -1, 1 });
    }
}

static void patches(void **state)
{
    (void)state;
    for (int round = 0; round < 2 * ROUNDS; round++) {
        cbm_unfold_attributes a = {
            .kernel = { { 2 } }, .stride = { { 2 } }, .padding = { { 2 } }, .dilation = { { 2 } }, .image = { { 2 } }
        };
        int64_t places = 1;
        for (int i = 1; i <= 2; i++) {
            a.kernel.v[i] = draw_int(1, 4);
            a.stride.v[i] = draw_int(1, 3);
            a.dilation.v[i] = draw_int(1, 3);
            a.padding.v[i] = draw_int(0, 4);
            const int64_t reach = a.dilation.v[i] * (a.kernel.v[i] - 1) + 1, least = reach - 2 * a.padding.v[i];
            a.image.v[i] = (least > 1 ? least : 1) + draw_int(0, 20);
            places *= (a.image.v[i] + 2 * a.padding.v[i] - reach) / a.stride.v[i] + 1;
        }
        const int64_t n = draw_int(1, 3), c = draw_int(1, 4);
        const cbm_shape picture = CBM_SHAPE(n, c, a.image.v[1], a.image.v[2]);
        const cbm_shape columns = CBM_SHAPE(n, c * a.kernel.v[1] * a.kernel.v[2], places);
        static const cbm_dtype dtypes[] = { CBM_F32, CBM_F64, CBM_BF16 };
        trial t = { .op = "unfold", .attributes = &a, .n_in = 1, .n_out = 1, .threads = 2 };
        t.in[0] = buffer(dtypes[round % 3], picture);
        t.out[0] = buffer(dtypes[round % 3], columns);
        filled(&t, (fill){ -1, 1 });
        t.op = "fold";
        t.tolerance = 1e-5;
        t.in[0] = buffer(CBM_F32, columns);
        t.out[0] = buffer(CBM_F32, picture);
        filled(&t, (fill){ -1, 1 });
    }
}

static void triangles_and_diagonals(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const cbm_dtype dtype = dtype_of(round);
        const cbm_shape shape = random_shape(draw_int(2, 4), 20);
        const cbm_triangle_attributes a = { round % 9 ? draw_int(-22, 22) : round % 2 ? INT64_MAX : INT64_MIN };
        trial t = { .attributes = &a, .n_in = 1, .n_out = 1, .threads = 2 };
        t.in[0] = t.out[0] = buffer(dtype, shape);
        t.op = round % 2 ? "tril" : "triu";
        filled(&t, (fill){ 1, 2 });

        const int64_t n = draw_int(1, 20), offset = draw_int(-5, 5);
        const cbm_diag_embed_attributes e = { offset, n + (offset < 0 ? -offset : draw_int(0, 3)),
                                              n + (offset > 0 ? offset : 0) };
        trial d = { .op = "diag_embed", .attributes = &e, .n_in = 1, .n_out = 1, .threads = 2 };
        const int64_t batch = draw_int(1, 9);
        d.in[0] = buffer(dtype, CBM_SHAPE(batch, n));
        d.out[0] = buffer(dtype, CBM_SHAPE(batch, e.rows, e.columns));
        filled(&d, (fill){ 1, 2 });
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_and_rolls), cmocka_unit_test(paddings), cmocka_unit_test(edges),
        cmocka_unit_test(windows),         cmocka_unit_test(patches),  cmocka_unit_test(triangles_and_diagonals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
