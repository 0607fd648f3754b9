/* test_ranks.c: tensors of no to eight dimensions, and of no elements: made, read, cut, transposed, reduced, combined with
   broadcasting, written to files and read again, on both devices, against plain loops over doubles. Nine are refused. */
#define CBM_NO_CALL_SITES
#include "base/base.h"
#include "support/folder.h"
#include <cambium/cambium.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 1024, RANKS = CBM_MAX_DIMS + 1 };

/* What a tensor should hold. */
typedef struct array {
    cbm_shape shape;
    int64_t count;
    double v[MOST];
} array;

static const cbm_dtype dtypes[] = { CBM_F32, CBM_F64, CBM_BF16, CBM_I64, CBM_I32, CBM_U8 };
enum { DTYPES = sizeof dtypes / sizeof *dtypes };
static const char *const devices[] = { "cpu", "reference" };

/* Shapes of each rank: the first entries of a list of extents; `hole` of them, if there is such an axis, is 0. */
static cbm_shape shape_of(int64_t rank, int64_t hole)
{
    static const int64_t extents[CBM_MAX_DIMS] = { 2, 3, 1, 2, 1, 2, 3, 2 };
    cbm_shape s = { { rank } };
    for (int64_t d = 0; d < rank; d++)
        s.v[1 + d] = d == hole ? 0 : extents[d];
    return s;
}

static array blank(cbm_shape shape)
{
    array a = { .shape = { { shape.v[0] } }, .count = 1 };
    for (int64_t d = 1; d <= shape.v[0]; d++) {
        a.shape.v[d] = shape.v[d];
        a.count *= shape.v[d];
    }
    assert_true(a.count <= MOST);
    return a;
}

/* The coordinates of element i, and back; of an axis of extent 1 the coordinate counts as 0. */
static void place_of(const cbm_shape *s, int64_t i, int64_t *at)
{
    for (int64_t d = s->v[0]; d > 0; d--) {
        at[d - 1] = i % s->v[d];
        i /= s->v[d];
    }
}

static int64_t number_of(const cbm_shape *s, const int64_t *at)
{
    int64_t i = 0;
    for (int64_t d = 1; d <= s->v[0]; d++)
        i = i * s->v[d] + (s->v[d] == 1 ? 0 : at[d - 1]);
    return i;
}

/* Small whole numbers, which every dtype holds, not in order. */
static array numbers(cbm_shape shape, int64_t from)
{
    array a = blank(shape);
    for (int64_t i = 0; i < a.count; i++)
        a.v[i] = (double)((i * 37 + from) % 11);
    return a;
}

static cbm_tensor *tensor_of(cbm_context *cx, cbm_dtype dtype, const array *a)
{
    return cbm_cast(cbm_tensor_from(cx, CBM_F64, a->shape, a->count ? a->v : NULL), dtype);
}

static void same(cbm_tensor *t, const array *want, cbm_dtype dtype)
{
    const cbm_shape shape = cbm_tensor_shape(t);
    char got[160], due[160];
    double v[MOST];
    if (cbm_tensor_failed(t))
        fail_msg("%s", cbm_message(cbm_tensor_context(t)));
    if (strcmp(cbm_shape_text(&shape, got, sizeof got), cbm_shape_text(&want->shape, due, sizeof due)) != 0)
        fail_msg("the shape is %s, not %s", got, due);
    assert_int_equal(cbm_tensor_dtype(t), dtype);
    assert_int_equal(cbm_tensor_count(t), want->count);
    assert_int_equal(cbm_read(cbm_cast(t, CBM_F64), v, (size_t)want->count * sizeof *v), CBM_OK);
    for (int64_t i = 0; i < want->count; i++)
        if (!(v[i] == want->v[i]))
            fail_msg("element %" PRId64 " of %s is %g, not %g", i, due, v[i], want->v[i]);
}

/* ---- the plain loops ---- */

static array cut(const array *x, int64_t axis, int64_t start, int64_t stop, int64_t step)
{
    cbm_shape shape = x->shape;
    shape.v[1 + axis] = stop > start ? (stop - start + step - 1) / step : 0;
    array y = blank(shape);
    for (int64_t i = 0; i < y.count; i++) {
        int64_t at[CBM_MAX_DIMS];
        place_of(&y.shape, i, at);
        at[axis] = start + at[axis] * step;
        y.v[i] = x->v[number_of(&x->shape, at)];
    }
    return y;
}

static array permuted(const array *x, cbm_shape order)
{
    cbm_shape shape = order;
    for (int64_t d = 1; d <= order.v[0]; d++)
        shape.v[d] = x->shape.v[1 + order.v[d]];
    array y = blank(shape);
    for (int64_t i = 0; i < y.count; i++) {
        int64_t at[CBM_MAX_DIMS], from[CBM_MAX_DIMS];
        place_of(&y.shape, i, at);
        for (int64_t d = 0; d < order.v[0]; d++)
            from[order.v[1 + d]] = at[d];
        y.v[i] = x->v[number_of(&x->shape, from)];
    }
    return y;
}

/* Sums, or greatest elements, over the axes whose bits are set; they stay with extent 1. */
static array reduced(const array *x, unsigned axes, bool greatest)
{
    cbm_shape shape = x->shape;
    for (int64_t d = 0; d < shape.v[0]; d++)
        if (axes >> d & 1)
            shape.v[1 + d] = 1;
    array y = blank(shape);
    bool met[MOST] = { false };
    for (int64_t i = 0; i < x->count; i++) {
        int64_t at[CBM_MAX_DIMS];
        place_of(&x->shape, i, at);
        const int64_t k = number_of(&y.shape, at);
        y.v[k] = greatest ? (met[k] && y.v[k] > x->v[i] ? y.v[k] : x->v[i]) : y.v[k] + x->v[i];
        met[k] = true;
    }
    return y;
}

/* x + 3 y, y's axes counted from the end. */
static array combined(const array *x, const array *y)
{
    const int64_t more = x->shape.v[0] - y->shape.v[0];
    array z = blank(x->shape);
    for (int64_t i = 0; i < z.count; i++) {
        int64_t at[CBM_MAX_DIMS];
        place_of(&z.shape, i, at);
        z.v[i] = x->v[i] + 3 * y->v[number_of(&y->shape, at + more)];
    }
    return z;
}

/* ---- operations over all of it ---- */

static void cuts(cbm_tensor *x, const array *a, cbm_dtype dtype)
{
    for (int64_t axis = 0; axis < a->shape.v[0]; axis++) {
        const int64_t n = a->shape.v[1 + axis];
        const array all = cut(a, axis, 0, n, 2), tail = cut(a, axis, n > 1, n, 1), none = cut(a, axis, n, n, 1);
        same(cbm_slice(x, axis, 0, n, 2), &all, dtype);
        same(cbm_slice(x, axis - a->shape.v[0], n > 1, n, 1), &tail, dtype);
        same(cbm_slice(x, axis, n, n, 1), &none, dtype);
        cbm_tensor *parts[] = { cbm_slice(x, axis, 0, n > 1, 1), cbm_slice(x, axis, n > 1, n, 1) };
        same(cbm_concat(parts, 2, axis), a, dtype);
    }
}

static void turns(cbm_tensor *x, const array *a, cbm_dtype dtype)
{
    const int64_t rank = a->shape.v[0];
    cbm_shape back = { { rank } }, round = { { rank } };
    for (int64_t d = 0; d < rank; d++) {
        back.v[1 + d] = rank - 1 - d;
        round.v[1 + d] = (d + 1) % rank;
    }
    const array reversed = permuted(a, back), turned = permuted(a, round);
    same(cbm_permute(x, back), &reversed, dtype);
    same(cbm_permute(cbm_permute(x, back), back), a, dtype);
    same(cbm_permute(x, round), &turned, dtype);
    if (rank > 1) {
        cbm_shape ends = { { rank } };
        for (int64_t d = 0; d < rank; d++)
            ends.v[1 + d] = d == 0 ? rank - 1 : d == rank - 1 ? 0 : d;
        const array swapped = permuted(a, ends);
        same(cbm_transpose(x, 0, -1), &swapped, dtype);
    }
    same(cbm_reshape(cbm_reshape(x, CBM_SHAPE(a->count)), a->shape), a, dtype);
}

/* What sums of a dtype are: of integers i64. */
static cbm_dtype summed(cbm_dtype dtype)
{
    return dtype == CBM_I32 || dtype == CBM_U8 ? CBM_I64 : dtype;
}

static void sums(cbm_tensor *x, const array *a, cbm_dtype dtype)
{
    const unsigned subsets = 1U << a->shape.v[0];
    for (unsigned axes = 1; axes < subsets; axes += axes < 16 ? 1 : 15) {
        cbm_shape list = { { 0 } };
        bool filled = true; /* so that there is a greatest one */
        for (int64_t d = 0; d < a->shape.v[0]; d++)
            if (axes >> d & 1) {
                list.v[++list.v[0]] = d;
                filled = filled && a->shape.v[1 + d] > 0;
            }
        const array sum = reduced(a, axes, false), most = reduced(a, axes, true);
        same(cbm_sum(x, .axes = list, .keepdim = true), &sum, summed(dtype));
        cbm_shape squeezed = { { 0 } };
        for (int64_t d = 0; d < a->shape.v[0]; d++)
            if (!(axes >> d & 1))
                squeezed.v[++squeezed.v[0]] = a->shape.v[1 + d];
        array flat = sum;
        flat.shape = squeezed;
        same(cbm_sum(x, .axes = list), &flat, summed(dtype));
        if (filled)
            same(cbm_max(x, .axes = list, .keepdim = true), &most, dtype);
    }
    array all = blank(CBM_SHAPE());
    for (int64_t i = 0; i < a->count; i++)
        all.v[0] += a->v[i];
    same(cbm_sum(x), &all, summed(dtype));
}

/* 3 y of y's dtype: a bf16 scalar gives way to the number's f32. */
static cbm_tensor *triple(cbm_tensor *y)
{
    return cbm_cast(cbm_mul_scalar(y, 3), cbm_tensor_dtype(y));
}

/* Against itself, a scalar, fewer dimensions, and each axis in turn with an extent of 1. */
static void pairs(cbm_context *cx, cbm_tensor *x, const array *a, cbm_dtype dtype)
{
    const int64_t rank = a->shape.v[0];
    for (int64_t k = 0; k <= 2 * rank; k++) {
        cbm_shape shape = { { k <= rank ? k : rank } };
        for (int64_t d = 1; d <= shape.v[0]; d++)
            shape.v[d] = a->shape.v[rank - shape.v[0] + d];
        if (k > rank)
            shape.v[k - rank] = 1;
        const array b = numbers(shape, 5), c = combined(a, &b);
        cbm_tensor *y = tensor_of(cx, dtype, &b);
        same(cbm_add(x, triple(y)), &c, dtype);
        same(cbm_add(triple(y), x), &c, dtype);
        const array wide = combined(&(array){ .shape = a->shape, .count = a->count }, &b);
        same(triple(cbm_expand(y, a->shape)), &wide, dtype);
    }
}

static void everything(cbm_shape shape, cbm_dtype dtype, const char *device)
{
    cbm_context *cx = cbm_open_with(.device = device, .threads = 1);
    const array a = numbers(shape, 2);
    cbm_tensor *x = tensor_of(cx, dtype, &a);
    same(x, &a, dtype);
    cuts(x, &a, dtype);
    turns(x, &a, dtype);
    pairs(cx, x, &a, dtype);
    if (dtype != CBM_BF16) /* which holds whole numbers up to 256 only */
        sums(x, &a, dtype);
    array ones = blank(shape);
    for (int64_t i = 0; i < ones.count; i++)
        ones.v[i] = 1;
    same(cbm_ones(cx, dtype, shape), &ones, dtype);
    same(cbm_ones_like(x), &ones, dtype);
    same(cbm_sub(x, x), &(array){ .shape = ones.shape, .count = ones.count }, dtype);
    assert_string_equal(cbm_message(cx), "");
    cbm_close(cx);
}

static void every_rank(void **state)
{
    (void)state;
    for (size_t device = 0; device < 2; device++)
        for (int64_t rank = 0; rank < RANKS; rank++)
            for (size_t k = 0; k < DTYPES; k++)
                everything(shape_of(rank, -1), dtypes[k], devices[device]);
}

static void no_elements(void **state)
{
    (void)state;
    for (size_t device = 0; device < 2; device++)
        for (int64_t rank = 1; rank < RANKS; rank++)
            for (int64_t hole = 0; hole < rank; hole++)
                everything(shape_of(rank, hole), dtypes[(rank + hole) % DTYPES], devices[device]);
}

/* ---- what a reduction of nothing, a cut of nothing and one number give ---- */

static void fails(cbm_context *cx, cbm_tensor *t, const char *message)
{
    assert_true(cbm_tensor_failed(t));
    if (!strstr(cbm_message(cx), message))
        fail_msg("\"%s\" is not in \"%s\"", message, cbm_message(cx));
    cbm_clear(cx);
}

static void reductions_of_nothing(void **state)
{
    (void)state;
    for (size_t device = 0; device < 2; device++) {
        cbm_context *cx = cbm_open_with(.device = devices[device]);
        cbm_tensor *x = cbm_zeros(cx, CBM_F32, CBM_SHAPE(2, 0, 3));
        const array ones = { .shape = CBM_SHAPE(2, 3), .count = 6, .v = { 1, 1, 1, 1, 1, 1 } };
        same(cbm_prod(x, .axes = CBM_SHAPE(1)), &ones, CBM_F32);
        assert_true(cbm_item(cbm_sum(x)) == 0);
        const double mean = cbm_item(cbm_mean(x));
        assert_true(mean != mean);
        assert_true(cbm_item(cbm_any(cbm_cast(x, CBM_BOOL))) == 0);
        assert_true(cbm_item(cbm_all(cbm_cast(x, CBM_BOOL))) == 1);
        assert_string_equal(cbm_message(cx), "");
        fails(cx, cbm_max(x), "[max]");
        fails(cx, cbm_min(x, .axes = CBM_SHAPE(1)), "[min]");
        fails(cx, cbm_argmax(x, .axes = CBM_SHAPE(1)), "[argmax]");
        const array none = { .shape = CBM_SHAPE(0, 3) };
        same(cbm_max(x, .axes = CBM_SHAPE(0)), &none, CBM_F32); /* over an axis with extents: nothing of nothing */
        cbm_tensor *one = cbm_scalar(cx, CBM_F32, 3);
        fails(cx, cbm_slice(one, 0, 0, 1, 1), "[slice]");
        fails(cx, cbm_transpose(one, 0, 1), "transpose");
        cbm_close(cx);
    }
}

/* Gradients have the shapes of what they are gradients of, down to none and up to eight dimensions. */
static void gradients(void **state)
{
    (void)state;
    for (int64_t rank = 0; rank < RANKS; rank++)
        for (int64_t hole = -1; hole < rank; hole++) {
            cbm_context *cx = cbm_open(NULL);
            array a = numbers(shape_of(rank, hole), 2), twice = a;
            cbm_tensor *x = cbm_variable(tensor_of(cx, CBM_F32, &a), true), *g = NULL;
            cbm_tensor *s = cbm_variable(cbm_scalar(cx, CBM_F32, 2), true);
            cbm_tensor *loss = cbm_sum(cbm_mul(cbm_mul(x, x), s)), *wanted[] = { x, s }, *got[2];
            double squares = 0;
            for (int64_t i = 0; i < a.count; i++) {
                twice.v[i] = 4 * a.v[i];
                squares += a.v[i] * a.v[i];
            }
            assert_int_equal(cbm_grad(loss, wanted, 2, got), CBM_OK);
            g = got[0];
            same(g, &twice, CBM_F32);
            assert_true(cbm_item(got[1]) == squares);
            cbm_close(cx);
        }
}

/* ---- files ---- */

static void through_files(void **state)
{
    for (int64_t rank = 0; rank < RANKS; rank++)
        for (int64_t hole = -1; hole < rank; hole++)
            for (size_t k = 0; k < DTYPES; k++) {
                cbm_context *cx = cbm_open(NULL);
                const array a = numbers(shape_of(rank, hole), 2);
                cbm_tensor *x = tensor_of(cx, dtypes[k], &a);
                if (dtypes[k] != CBM_BF16) { /* which NumPy lacks */
                    assert_int_equal(cbm_npy_write(x, folder_path(state, "x.npy")), CBM_OK);
                    same(cbm_npy_read(cx, folder_path(state, "x.npy")), &a, dtypes[k]);
                }
                const char *const names[] = { "x" };
                assert_int_equal(cbm_safetensors_write(cx, folder_path(state, "x.safetensors"), names, &x, 1, NULL),
                                 CBM_OK);
                cbm_safetensors *file = cbm_safetensors_open(cx, folder_path(state, "x.safetensors"));
                same(cbm_safetensors_tensor(file, "x"), &a, dtypes[k]);
                cbm_safetensors_close(file);
                assert_string_equal(cbm_message(cx), "");
                cbm_close(cx);
            }
}

static void put_nine(const char *npy, const char *safetensors)
{
    char text[400];
    unsigned char bytes[512] = { 0 };
    const char *header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 1, 1), }";
    memcpy(bytes, "\x93NUMPY\x01\x00", 8);
    bytes[8] = 118;
    snprintf(text, sizeof text, "%-117s\n", header);
    memcpy(bytes + 10, text, 118);
    folder_put(npy, bytes, 128 + 4);

    memset(bytes, 0, sizeof bytes);
    const int length = snprintf(text, sizeof text, "%s",
                                "{\"x\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],"
                                "\"data_offsets\":[0,4]}}");
    bytes[0] = (unsigned char)length;
    memcpy(bytes + 8, text, (size_t)length);
    folder_put(safetensors, bytes, 8 + (size_t)length + 4);
}

static void nine_are_refused(void **state)
{
    cbm_context *cx = cbm_open(NULL);
    const cbm_shape nine = { { 9 } };
    const float one = 1;
    cbm_tensor *x = cbm_ones(cx, CBM_F32, CBM_SHAPE(1, 1, 1, 1, 1, 1, 1, 1)), *two[] = { x, x };
    fails(cx, cbm_tensor_from(cx, CBM_F32, nine, &one), "at most 8 dimensions");
    fails(cx, cbm_zeros(cx, CBM_F32, nine), "more than 8 dimensions");
    fails(cx, cbm_uniform(cx, CBM_F32, nine, 0, 1), "more than 8 dimensions");
    fails(cx, cbm_randint(cx, CBM_I64, nine, 0, 2), "more than 8 dimensions");
    fails(cx, cbm_reshape(x, nine), "[reshape] a list of 9 entries: a tensor has at most 8 dimensions");
    fails(cx, cbm_permute(x, nine), "[permute] a list of 9 entries: a tensor has at most 8 dimensions");
    fails(cx, cbm_expand(x, nine), "[expand] a list of 9 entries: a tensor has at most 8 dimensions");
    fails(cx, cbm_unsqueeze(x, 0), "8 dimensions");
    fails(cx, cbm_unflatten(x, 0, CBM_SHAPE(1, 1)), "8 dimensions");
    fails(cx, cbm_stack(two, 2, 0), "8 dimensions");
    fails(cx, cbm_windows(x, 0, 1, 1), "8 dimensions");
    fails(cx, cbm_diag_embed(x, 0, 0, 1), "x must have 1 to 7 dimensions");
    put_nine(folder_path(state, "9.npy"), folder_path(state, "9.safetensors"));
    fails(cx, cbm_npy_read(cx, folder_path(state, "9.npy")), "8 dimensions");
    cbm_safetensors_close(cbm_safetensors_open(cx, folder_path(state, "9.safetensors")));
    if (!strstr(cbm_message(cx), "tensor 'x' has 9 dimensions; at most 8 are possible"))
        fail_msg("%s", cbm_message(cx));
    cbm_close(cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank),
        cmocka_unit_test(no_elements),
        cmocka_unit_test(reductions_of_nothing),
        cmocka_unit_test(gradients),
        cmocka_unit_test_setup_teardown(through_files, folder_make, folder_remove),
        cmocka_unit_test_setup_teardown(nine_are_refused, folder_make, folder_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
