/* test_move_functions.c: movement that is made of several operations (parts, stacks, repetitions, moved axes) and the
   public functions of padding, windows and diagonals: values and gradients against PyTorch's. */
#define CBM_NO_CALL_SITES
#include "support/functions.h"
#include <cambium/ops.h>

#include <setjmp.h>
#include <stdarg.h>

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
FUNCTION(flatten_axes, cbm_flatten_axes(in[0], INT("first"), INT("last")))
FUNCTION(unflatten, cbm_unflatten(in[0], INT("axis"), LIST("extents")))
FUNCTION(swapaxes, cbm_swapaxes(in[0], INT("a"), INT("b")))
FUNCTION(t, cbm_t(in[0]))
FUNCTION(movedim, cbm_movedim(in[0], LIST("source"), LIST("destination")))
FUNCTION(unsqueeze, cbm_unsqueeze(in[0], INT("axis")))
FUNCTION(squeeze, cbm_squeeze(in[0], LIST("axes")))
FUNCTION(broadcast_to, cbm_broadcast_to(in[0], LIST("shape")))
FUNCTION(expand_as, cbm_expand_as(in[0], in[1]))
FUNCTION(narrow, cbm_narrow(in[0], INT("axis"), INT("start"), INT("length")))
FUNCTION(select_one, cbm_select(in[0], INT("axis"), INT("index")))
FUNCTION(stack, cbm_stack(in, c->n_in, INT("axis")))
FUNCTION(repeat, cbm_repeat(in[0], LIST("repeats")))
FUNCTION(tile, cbm_tile(in[0], LIST("repeats")))
FUNCTION(repeat_interleave, cbm_repeat_interleave(in[0], INT("axis"), INT("repeats")))
FUNCTION(flip, cbm_flip(in[0], LIST("axes")))
FUNCTION(roll, cbm_roll(in[0], LIST("shifts"), LIST("axes")))
FUNCTION(rot90, cbm_rot90(in[0], INT("k"), LIST("axes").v[1], LIST("axes").v[2]))
FUNCTION(windows, cbm_windows(in[0], INT("axis"), INT("size"), INT("step")))
FUNCTION(windows_times, cbm_matmul(cbm_windows(in[0], -1, INT("size"), 1), in[1]))
FUNCTION(diagonal, cbm_diagonal(in[0], INT("offset"), INT("a"), INT("b")))
FUNCTION(diag_embed, cbm_diag_embed(in[0], INT("offset"), INT("a"), INT("b")))
FUNCTION(diag, cbm_diag(in[0], INT("offset")))

static size_t many(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    cbm_tensor *same[200];
    (void)cx;
    for (int64_t i = 0; i < INT("count"); i++)
        same[i] = in[0];
    out[0] = cbm_stack(same, (size_t)INT("count"), INT("axis"));
    return 1;
}

static size_t meshgrid(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    (void)cx;
    return cbm_meshgrid(in, c->n_in, INT("xy") != 0, out) ? c->n_in : 0;
}

static size_t pad(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    const cbm_pad_options o = { sizeof o, (uint64_t)INT("mode"), function_float(c, "value") };
    (void)cx;
    out[0] = cbm_pad_with(in[0], LIST("before"), LIST("after"), &o);
    return 1;
}

static cbm_unfold_options options_of(const op_case *c)
{
    return (cbm_unfold_options){ sizeof(cbm_unfold_options), LIST("stride"), LIST("padding"), LIST("dilation") };
}

static size_t unfold(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    const cbm_unfold_options o = options_of(c);
    (void)cx;
    out[0] = cbm_unfold_with(in[0], LIST("kernel"), &o);
    return 1;
}

static size_t fold(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    const cbm_unfold_options o = options_of(c);
    (void)cx;
    out[0] = cbm_fold_with(in[0], LIST("size"), LIST("kernel"), &o);
    return 1;
}

/* ---- parts, flattened and joined from the last to the first ---- */

enum { ROOM = 80 };

static size_t joined(cbm_tensor **parts, size_t count, cbm_tensor **out)
{
    cbm_tensor *flat[ROOM];
    for (size_t i = 0; i < count; i++)
        flat[count - 1 - i] = cbm_flatten(parts[i], 0);
    out[0] = count > 0 ? cbm_concat(flat, count, 0) : NULL;
    return count > 0;
}

static size_t split_by(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    cbm_tensor *parts[ROOM];
    (void)cx;
    return joined(parts, cbm_split_by(in[0], INT("axis"), INT("size"), parts, ROOM), out);
}

static size_t split_sizes(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    cbm_tensor *parts[ROOM];
    const cbm_shape sizes = LIST("sizes");
    (void)cx;
    return joined(parts, cbm_split_sizes(in[0], INT("axis"), sizes.v + 1, (size_t)sizes.v[0], parts), out);
}

static size_t chunk(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    cbm_tensor *parts[ROOM];
    (void)cx;
    const size_t count = cbm_chunk(in[0], INT("axis"), (size_t)INT("chunks"), parts);
    for (size_t i = count; i < (size_t)INT("chunks"); i++)
        assert_null(parts[i]);
    return joined(parts, count, out);
}

static size_t unbind(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    cbm_tensor *parts[ROOM];
    (void)cx;
    return joined(parts, cbm_unbind(in[0], INT("axis"), parts, ROOM), out);
}

static size_t one_of_unbind(const op_case *c, cbm_context *cx, cbm_tensor *const *in, cbm_tensor **out)
{
    cbm_tensor *parts[ROOM];
    (void)cx;
    if (cbm_unbind(in[0], INT("axis"), parts, ROOM) == 0)
        return 0;
    out[0] = parts[INT("index")];
    return 1;
}

static const function_entry table[] = {
    { "flatten_axes", flatten_axes },
    { "unflatten", unflatten },
    { "swapaxes", swapaxes },
    { "t", t },
    { "movedim", movedim },
    { "unsqueeze", unsqueeze },
    { "squeeze", squeeze },
    { "broadcast_to", broadcast_to },
    { "expand_as", expand_as },
    { "narrow", narrow },
    { "select", select_one },
    { "split_by", split_by },
    { "split_sizes", split_sizes },
    { "chunk", chunk },
    { "unbind", unbind },
    { "one of unbind", one_of_unbind },
    { "stack", stack },
    { "many", many },
    { "repeat", repeat },
    { "tile", tile },
    { "repeat_interleave", repeat_interleave },
    { "meshgrid", meshgrid },
    { "flip", flip },
    { "roll", roll },
    { "rot90", rot90 },
    { "pad", pad },
    { "windows", windows },
    { "windows times", windows_times },
    { "unfold", unfold },
    { "fold", fold },
    { "diagonal", diagonal },
    { "diag_embed", diag_embed },
    { "diag", diag },
};

static void as_in_pytorch(void **state)
{
    (void)state;
    assert_int_equal(
        check_functions(CBM_SOURCE_DIR "/tests/reference/functions/move.bin", table, sizeof table / sizeof *table), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(as_in_pytorch) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
