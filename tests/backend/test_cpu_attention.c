/* test_cpu_attention.c: attention and its gradient at every SIMD level against the reference backend: random extents that meet
   the ends of blocks, panels and vectors, masks that broadcast in every way, rows that lie apart, shared heads, dropout. */
#include "backend/kernels.h"
#include "op/attributes.h"

enum { TRIALS = 60 };

typedef struct extents {
    int64_t batch, heads, shared, rows, places, width, out_width;
} extents;

static bool coin(void)
{
    return draw() < 0.5;
}

static extents draw_extents(void)
{
    extents e = {
        draw_int(1, 2), 1, draw_int(1, 3), draw_int(1, 20), draw_int(1, 40), draw_int(1, 40), draw_int(1, 40)
    };
    e.heads = e.shared * draw_int(1, 2);
    if (draw() < 0.3) { /* several blocks */
        e.rows = draw_int(100, 300);
        e.places = draw_int(100, 400);
        e.batch = e.heads = e.shared = 1;
    }
    if (coin())
        e.width = 16 * draw_int(1, 3);
    if (coin())
        e.out_width = 16 * draw_int(1, 3);
    return e;
}

/* (N, H, L, E), as it is or with the heads inside the rows, as modules have it. */
static void add_in(trial *t, int64_t batch, int64_t heads, int64_t rows, int64_t width, fill f)
{
    const cbm_shape shape = CBM_SHAPE(batch, heads, rows, width);
    static const int64_t order[] = { 0, 2, 1, 3 };
    t->in[t->n_in] = coin() ? buffer(CBM_F32, shape) : permuted(CBM_F32, shape, order);
    fill_buffer(&t->in[t->n_in++], f);
}

static void add_mask(trial *t, const extents *e)
{
    const cbm_shape shapes[] = { CBM_SHAPE(e->rows, e->places),
                                 CBM_SHAPE(e->batch, 1, 1, e->places),
                                 CBM_SHAPE(e->heads, e->rows, 1),
                                 CBM_SHAPE(e->batch, e->heads, e->rows, e->places),
                                 CBM_SHAPE(e->places),
                                 CBM_SHAPE(1) };
    const bool boolean = coin();
    t->in[t->n_in] = buffer(boolean ? CBM_BOOL : CBM_F32, shapes[draw_int(0, 5)]);
    fill_buffer(&t->in[t->n_in++], boolean ? (fill){ 0, 1 } : (fill){ -2, 2 });
}

static cbm_attention_attributes draw_attributes(bool dropped)
{
    return (cbm_attention_attributes){ .masked = coin(),
                                       .causal = coin(),
                                       .dropped = dropped,
                                       .scale = 0.1 + draw(),
                                       .p = 0.3,
                                       .keep_scale = 1 / 0.7,
                                       .seed = 5,
                                       .position = (uint64_t)draw_int(0, 1000) };
}

static void forward_trial(bool dropped)
{
    const extents e = draw_extents();
    const cbm_attention_attributes a = draw_attributes(dropped);
    trial t = { .op = dropped ? "attention_dropout" : "attention",
                .attributes = &a,
                .threads = draw_int(1, 3),
                .tolerance = 2e-6 };
    const fill any = { -1, 1 };
    add_in(&t, e.batch, e.heads, e.rows, e.width, any);
    add_in(&t, e.batch, e.shared, e.places, e.width, any);
    add_in(&t, e.batch, e.shared, e.places, e.out_width, any);
    if (a.masked)
        add_mask(&t, &e);
    t.n_out = 2;
    t.out[0] = buffer(CBM_F32, CBM_SHAPE(e.batch, e.heads, e.rows, e.out_width));
    t.out[1] = buffer(CBM_F32, CBM_SHAPE(e.batch, e.heads, e.rows));
    compare(&t);
}

static void backward_trial(bool dropped)
{
    const extents e = draw_extents();
    const cbm_attention_attributes a = draw_attributes(dropped);
    trial t = { .op = dropped ? "attention_dropout_backward" : "attention_backward",
                .attributes = &a,
                .threads = draw_int(1, 3),
                .tolerance = 4e-6 };
    const fill any = { -0.5, 0.5 };
    add_in(&t, e.batch, e.heads, e.rows, e.width, any);
    add_in(&t, e.batch, e.shared, e.places, e.width, any);
    add_in(&t, e.batch, e.shared, e.places, e.out_width, any);
    if (a.masked)
        add_mask(&t, &e);
    add_in(&t, e.batch, e.heads, e.rows, e.out_width, any);
    t.in[t.n_in] = buffer(CBM_F32, CBM_SHAPE(e.batch, e.heads, e.rows));
    fill_buffer(&t.in[t.n_in], (fill){ 3, 5 });
    if (coin())
        ((float *)t.in[t.n_in].data)[0] = -INFINITY;
    t.n_in++;
    add_in(&t, e.batch, e.heads, e.rows, e.out_width, any);
    t.n_out = 3;
    for (int i = 0; i < 3; i++) {
        t.out[i] = buffer(CBM_F32, CBM_SHAPE(t.in[i].shape[0], t.in[i].shape[1], t.in[i].shape[2], t.in[i].shape[3]));
    }
    compare(&t);
}

static void forward(void **state)
{
    (void)state;
    test_stream = 31;
    for (int i = 0; i < TRIALS; i++)
        forward_trial(i % 3 == 0);
}

static void backward(void **state)
{
    (void)state;
    test_stream = 32;
    for (int i = 0; i < TRIALS; i++)
        backward_trial(i % 3 == 0);
}

/* Rows with a gap between their elements take another way: the plan copies them first. */
static void kernels_for_all_strides(void **state)
{
    (void)state;
    const cbm_attention_attributes a = { .scale = 1 };
    cbm_buffer in[3], out[2];
    for (int i = 0; i < 3; i++)
        in[i] = buffer(CBM_F32, CBM_SHAPE(2, 5, 4));
    out[0] = buffer(CBM_F32, CBM_SHAPE(2, 5, 4));
    out[1] = buffer(CBM_F32, CBM_SHAPE(2, 5));
    const cbm_launch l = {
        .op = cbm_op_named("attention"), .attributes = &a, .n_in = 3, .n_out = 2, .in = in, .out = out
    };
    assert_true(cbm_backend_kernel(&cbm_backend_cpu, &l)->flags & CBM_KERNEL_STRIDED);
    in[1].stride[2] = 5;
    in[1].stride[1] = 1;
    in[1].contiguous = 0;
    assert_false(cbm_backend_kernel(&cbm_backend_cpu, &l)->flags & CBM_KERNEL_STRIDED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward),
        cmocka_unit_test(backward),
        cmocka_unit_test(kernels_for_all_strides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
