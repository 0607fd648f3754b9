/* test_linalg_functions.c: products, contractions, norms and systems that are made of several operations: values and
   gradients against PyTorch's; einsum's orders; and what is refused. */
#define CBM_NO_CALL_SITES
#include "backend/lapack/lapack.h"
#include "support/functions.h"
#include "support/wrong.h"
#include <cambium/ops.h>
#include <cambium/plan.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define INT(name_) function_int(c, name_)
#define LIST(name_) function_shape(c, name_)
#define FUNCTION(name_, expression_)                                                                                   \
    static size_t name_(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)                    \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        (void)cx;                                                                                                      \
        out[0] = (expression_);                                                                                        \
        return 1;                                                                                                      \
    }
#define OPTIONS(type_, ...)                                                                                            \
    &(type_)                                                                                                           \
    {                                                                                                                  \
        .struct_size = sizeof(type_), __VA_ARGS__                                                                      \
    }
FUNCTION(dot, cbm_dot(in[0], in[1]))
FUNCTION(mv, cbm_mv(in[0], in[1]))
FUNCTION(outer, cbm_outer(in[0], in[1]))
FUNCTION(bmm, cbm_bmm(in[0], in[1]))
FUNCTION(addmm, cbm_addmm_with(in[0], in[1], in[2],
                               OPTIONS(cbm_addmm_options, .beta = function_float(c, "beta"),
                                       .alpha = function_float(c, "alpha"))))
FUNCTION(kron, cbm_kron(in[0], in[1]))
FUNCTION(trace, cbm_trace(in[0]))
FUNCTION(tensordot, cbm_tensordot(in[0], in[1], LIST("axes_a"), LIST("axes_b")))
FUNCTION(einsum, cbm_einsum_of(c->label, in, c->n_in))
FUNCTION(matrix_norm, cbm_matrix_norm_with(in[0], OPTIONS(cbm_matrix_norm_options, .ord = (uint64_t)INT("ord"),
                                                          .keepdim = (uint64_t)INT("keepdim"))))
FUNCTION(solve, cbm_solve(in[0], in[1]))
FUNCTION(solve_triangular,
         cbm_solve_triangular_with(in[0], in[1],
                                   OPTIONS(cbm_solve_triangular_options, .upper = (uint64_t)INT("upper"),
                                           .left = (uint64_t)INT("left"), .unitriangular = (uint64_t)INT("unit"))))
FUNCTION(cholesky_solve, cbm_cholesky_solve(in[0], in[1]))
FUNCTION(inverse, cbm_inverse(in[0]))
FUNCTION(det, cbm_det(in[0]))
FUNCTION(pinv, cbm_pinv_with(in[0], NULL))
FUNCTION(lstsq, cbm_lstsq(in[0], in[1]))

static size_t slogdet(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    (void)c;
    (void)cx;
    out[0] = cbm_slogdet(in[0], &out[1]);
    return 2;
}

static const function_entry table[] = {
    { "dot", dot },
    { "mv", mv },
    { "outer", outer },
    { "bmm", bmm },
    { "addmm", addmm },
    { "kron", kron },
    { "trace", trace },
    { "tensordot", tensordot },
    { "einsum", einsum },
    { "matrix_norm", matrix_norm },
    { "solve", solve },
    { "solve_triangular", solve_triangular },
    { "cholesky_solve", cholesky_solve },
    { "inverse", inverse },
    { "det", det },
    { "slogdet", slogdet },
    { "pinv", pinv },
    { "lstsq", lstsq },
};

static void as_in_pytorch(void **state)
{
    (void)state;
    if (cbm_lapack_of(CBM_F64, NULL) == NULL)
        skip();
    assert_int_equal(
        check_functions(CBM_SOURCE_DIR "/tests/reference/functions/linalg.bin", table, sizeof table / sizeof *table),
        0);
}

/* ---- the order of contractions ---- */

static double flops_of(cbm_context *cx, cbm_tensor *t)
{
    cbm_plan_info plan = { .struct_size = sizeof plan };
    assert_int_equal(cbm_compute(&t, 1), CBM_OK);
    assert_true(cbm_plan_at(cx, 0, &plan));
    return plan.flops;
}

static cbm_tensor *chain(cbm_context *cx, const char *equation, size_t count, const int64_t *extents)
{
    cbm_tensor *t[16];
    for (size_t i = 0; i < count; i++)
        t[i] = cbm_ones(cx, CBM_F32, CBM_SHAPE(extents[i], extents[i + 1]));
    return cbm_einsum_of(equation, t, count);
}

/* The cheap order costs what the best bracketing does, whichever end that begins at. */
static void the_cheapest_order(void **state)
{
    (void)state;
    static const struct {
        const char *equation;
        size_t count;
        int64_t extents[10];
        double least; /* multiplications and additions of the best order */
    } chains[] = {
        { "ab,bc,cd->ad", 3, { 2, 50, 60, 70 }, 2 * (2 * 50 * 60 + 2 * 60 * 70) },
        { "ab,bc,cd->ad", 3, { 70, 60, 50, 2 }, 2 * (60 * 50 * 2 + 70 * 60 * 2) },
        { "ab,bc,cd->ad", 3, { 40, 2, 40, 3 }, 2 * (2 * 40 * 3 + 40 * 2 * 3) },
        { "ab,bc,cd,de->ae", 4, { 30, 3, 30, 3, 30 }, 2 * (3 * 30 * 3 + 30 * 3 * 3 + 30 * 3 * 30) },
        { "ab,bc,cd,de,ef,fg,gh->ah", 7, { 40, 3, 40, 40, 40, 40, 40, 3 }, 2 * 3 * (40 * 40 * 5 + 40 * 3) },
    };
    for (size_t k = 0; k < sizeof chains / sizeof *chains; k++) {
        cbm_context *cx = cbm_open(NULL);
        cbm_profile(cx, true);
        cbm_tensor *t = chain(cx, chains[k].equation, chains[k].count, chains[k].extents);
        const double flops = flops_of(cx, t);
        if (!(flops <= 1.2 * chains[k].least + 4000))
            fail_msg("%s: %g, at best %g: %s", chains[k].equation, flops, chains[k].least, cbm_message(cx));
        cbm_close(cx);
    }
}

/* Another number in an equation that stays makes no new plan. */
static void no_new_plans(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    uint64_t plans = 0;
    for (int i = 0; i < 5; i++) {
        CBM_SCOPE(step, cx);
        cbm_tensor *a = cbm_full(cx, CBM_F32, CBM_SHAPE(2, 3), i), *b = cbm_full(cx, CBM_F32, CBM_SHAPE(3, 4), 1 + i);
        assert_true(cbm_item(cbm_sum_with(cbm_einsum("ij,jk->ki", a, b), NULL)) == 24 * i * (1 + i));
        if (i == 1)
            plans = cbm_context_statistics(cx).plans_made;
    }
    assert_int_equal(cbm_context_statistics(cx).plans_made, plans);
    cbm_close(cx);
}

/* ---- what is refused ---- */

static cbm_tensor *f32(cbm_context *cx, cbm_shape shape)
{
    return cbm_ones(cx, CBM_F32, shape);
}

#define S(...) CBM_SHAPE(__VA_ARGS__)
#define SUM(equation_, ...)                                                                                            \
    cbm_einsum_of(equation_, (cbm_tensor *[]){ __VA_ARGS__ },                                                          \
                  sizeof((cbm_tensor *[]){ __VA_ARGS__ }) / sizeof(cbm_tensor *))
#define WRONG(name_, expression_)                                                                                      \
    static cbm_tensor *name_(cbm_context *cx)                                                                          \
    {                                                                                                                  \
        return expression_;                                                                                            \
    }
WRONG(no_equation, SUM(NULL, f32(cx, S(2))))
WRONG(null_operand, SUM("i,i->", f32(cx, S(2)), NULL))
WRONG(many_operands, SUM("a", f32(cx, S(2)), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                         NULL, NULL, NULL, NULL))
WRONG(no_letter, SUM("i1->i", f32(cx, S(2, 2))))
WRONG(half_arrow, SUM("ij-i", f32(cx, S(2, 2))))
WRONG(dots_twice, SUM("...i...->i", f32(cx, S(2, 2))))
WRONG(dots_of_two, SUM("..i->i", f32(cx, S(2, 2))))
WRONG(too_few, SUM("ij->i", f32(cx, S(2, 2)), f32(cx, S(2, 2))))
WRONG(too_many, SUM("ij,jk->i", f32(cx, S(2, 2))))
WRONG(rank, SUM("ijk->i", f32(cx, S(2, 2))))
WRONG(rank_of_dots, SUM("ij...k->i", f32(cx, S(2, 2))))
WRONG(long_term, SUM("abcdefghi->a", f32(cx, S(1, 1))))
WRONG(extents, SUM("ij,jk->ik", f32(cx, S(2, 3)), f32(cx, S(4, 2))))
WRONG(diagonal, SUM("ii->i", f32(cx, S(2, 3))))
WRONG(hidden_extents, SUM("...i,...i->...", f32(cx, S(2, 3)), f32(cx, S(3, 3))))
WRONG(unknown, SUM("ij->ik", f32(cx, S(2, 3))))
WRONG(twice, SUM("ij->ii", f32(cx, S(2, 3))))
WRONG(two_results, SUM("ij->i,j", f32(cx, S(2, 3))))
WRONG(wide_result, SUM("abcde,fghij", f32(cx, S(1, 1, 1, 1, 1)), f32(cx, S(1, 1, 1, 1, 1))))
WRONG(wide_named, SUM("abcde,fghij->abcdefghi", f32(cx, S(1, 1, 1, 1, 1)), f32(cx, S(1, 1, 1, 1, 1))))
WRONG(wide_between, SUM("abcde,fghij,j->a", f32(cx, S(1, 1, 1, 1, 1)), f32(cx, S(1, 1, 1, 1, 1)), f32(cx, S(2))))
WRONG(dtypes, SUM("i,i->", f32(cx, S(2)), cbm_ones(cx, CBM_F64, S(2))))
WRONG(bools, SUM("i->", cbm_ones(cx, CBM_BOOL, S(2))))
WRONG(dot_axes, cbm_tensordot(f32(cx, S(2, 3)), f32(cx, S(3, 2)), S(1), S(0, 1)))
WRONG(dot_axis, cbm_tensordot(f32(cx, S(2, 3)), f32(cx, S(3, 2)), S(2), S(0)))
WRONG(dot_twice, cbm_tensordot(f32(cx, S(3, 3)), f32(cx, S(3, 3)), S(1, -1), S(0, 1)))
WRONG(dot_extents, cbm_tensordot(f32(cx, S(2, 3)), f32(cx, S(2, 3)), S(1), S(0)))
WRONG(dot_wide, cbm_tensordot(f32(cx, S(1, 1, 1, 1, 1)), f32(cx, S(1, 1, 1, 1)), S(), S()))
WRONG(dot_null, cbm_tensordot(f32(cx, S(1)), NULL, S(), S()))
WRONG(dot_dtypes, cbm_tensordot(f32(cx, S(1)), cbm_ones(cx, CBM_I64, S(1)), S(), S()))

static const wrong_call wrong[] = {
    { no_equation, CBM_ERROR_INVALID, { "[einsum]", "takes an equation and 1 to 16 tensors" } },
    { null_operand, CBM_ERROR_INVALID, { "operand", "NULL" } },
    { many_operands, CBM_ERROR_INVALID, { "[einsum]", "1 to 16 tensors" } },
    { no_letter, CBM_ERROR_INVALID, { "[einsum] \"i1->i\"", "only letters" } },
    { half_arrow, CBM_ERROR_INVALID, { "[einsum]", "only letters" } },
    { dots_twice, CBM_ERROR_INVALID, { "[einsum]", "twice in one operand" } },
    { dots_of_two, CBM_ERROR_INVALID, { "[einsum]", "only letters" } },
    { too_few, CBM_ERROR_INVALID, { "[einsum]", "fewer terms than operands" } },
    { too_many, CBM_ERROR_INVALID, { "[einsum]", "more terms than operands" } },
    { rank, CBM_ERROR_SHAPE, { "[einsum]", "names 3 axes of operand 1, whose shape is (2, 2)" } },
    { rank_of_dots, CBM_ERROR_SHAPE, { "[einsum]", "names 3 axes of operand 1" } },
    { long_term, CBM_ERROR_SHAPE, { "[einsum]", "names 9 axes" } },
    { extents, CBM_ERROR_SHAPE, { "[einsum]", "axis 'j' is 3 long here and 4 there" } },
    { diagonal, CBM_ERROR_SHAPE, { "[einsum]", "axis 'i' is 2 long here and 3 there" } },
    { hidden_extents, CBM_ERROR_SHAPE, { "[einsum]", "axis '.' is 2 long here and 3 there" } },
    { unknown, CBM_ERROR_INVALID, { "[einsum]", "an axis that no operand has" } },
    { twice, CBM_ERROR_INVALID, { "[einsum]", "an axis twice" } },
    { two_results, CBM_ERROR_INVALID, { "[einsum]", "one result only" } },
    { wide_result, CBM_ERROR_INVALID, { "[einsum]", "more than 8 dimensions" } },
    { wide_named, CBM_ERROR_INVALID, { "[einsum]", "more than 8" } },
    { dtypes, CBM_ERROR_DTYPE, { "[einsum]", "f32 and f64. HINT" } },
    { bools, CBM_ERROR_DTYPE, { "[einsum]", "bool" } },
    { dot_axes, CBM_ERROR_INVALID, { "[tensordot]", "1 axes of a, 2 of b" } },
    { dot_axis, CBM_ERROR_SHAPE, { "[tensordot]", "axis 2 is not one of shape (2, 3)" } },
    { dot_twice, CBM_ERROR_INVALID, { "[tensordot]", "axis 1 is named twice" } },
    { dot_extents, CBM_ERROR_SHAPE, { "[tensordot]", "3 long here and 2 there" } },
    { dot_wide, CBM_ERROR_SHAPE, { "[tensordot]", "more than 8 dimensions" } },
    { dot_null, CBM_ERROR_INVALID, { "operand", "NULL" } },
    { dot_dtypes, CBM_ERROR_DTYPE, { "[tensordot]", "f32 and i64" } },
};

/* Nine axes between the operands, though none in the result, where they cannot be summed before. */
static void more_axes_than_fit(void **state)
{
    (void)state;
    cbm_context *cx = cbm_open(NULL);
    cbm_tensor *t = wide_between(cx);
    assert_false(cbm_tensor_failed(t)); /* summed in time */
    assert_true(cbm_item(t) == 2);
    cbm_tensor *wide = f32(cx, S(2, 2, 2, 2, 2)), *pair = f32(cx, S(2, 2));
    t = SUM("abcde,fghij,af,bg,ch,di->ej", wide, wide, pair, pair, pair, pair);
    assert_true(cbm_item(cbm_sum_with(t, NULL)) == 1024);
    t = SUM("abcde,fghij,adgj,beh,cfi->", wide, wide, f32(cx, S(2, 2, 2, 2)), f32(cx, S(2, 2, 2)), f32(cx, S(2, 2, 2)));
    assert_true(cbm_item(t) == 1024);
    t = cbm_mul(f32(cx, S(1)), SUM("abcde,fghi,af,bg,ch,di,abcdfghi->e", wide, f32(cx, S(2, 2, 2, 2)), pair, pair, pair,
                                   pair, f32(cx, S(2, 2, 2, 2, 2, 2, 2, 2))));
    assert_true(cbm_item(cbm_sum_with(t, NULL)) == 512);
    t = SUM("abcd,efgh,ijkl->abefijcdghkl", f32(cx, S(1, 1, 1, 1)), f32(cx, S(1, 1, 1, 1)), f32(cx, S(1, 1, 1, 1)));
    assert_true(cbm_tensor_failed(t));
    cbm_close(cx);
}

static void errors(void **state)
{
    (void)state;
    assert_int_equal(check_wrong_calls(wrong, sizeof wrong / sizeof *wrong, "cpu"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_in_pytorch), cmocka_unit_test(the_cheapest_order),
        cmocka_unit_test(no_new_plans),  cmocka_unit_test(more_axes_than_fit),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
