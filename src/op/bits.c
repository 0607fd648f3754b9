/* bits.c: truth and bits: logical operations, bitwise operations and shifts, and which floats are NaN, infinite, finite.
   Nothing to differentiate. Rests on op/families.h. */
#include "op/families.h"

/* ---- logical operations: any dtypes in, bool out ---- */
static bool logical_infer(cbm_infer *infer)
{
    infer->out_dtype[0] = CBM_BOOL;
    return cbm_rule_broadcast(infer, 0);
}

#define TRUTHS(...)                                                                                                    \
    {                                                                                                                  \
        CBM_DIMS(__VA_ARGS__), CBM_BOOL, 0, 1, false                                                                   \
    }
#define BYTES(low_, high_, ...)                                                                                        \
    {                                                                                                                  \
        CBM_DIMS(__VA_ARGS__), CBM_U8, low_, high_, false                                                              \
    }
static const cbm_sample logical_samples[] = {
    { .n_in = 2, .in = { TRUTHS(2, 3), TRUTHS(2, 3) } },
    { .n_in = 2, .in = { TRUTHS(4, 1), CBM_INDICES(0, 1, 5) } },
    { .n_in = 2, .in = { BYTES(0, 2, 9), CBM_FLOATS(-2, 2, 9) } },
    { .n_in = 2, .in = { CBM_FLOATS(-2, 2, 2, 3), CBM_FLOAT(-2, 2) } },
    { .n_in = 2, .in = { TRUTHS(0, 3), TRUTHS(3) } },
};
static const cbm_sample logical_not_samples[] = {
    { .n_in = 1, .in = { TRUTHS(2, 3) } },
    { .n_in = 1, .in = { CBM_INDICES(-1, 1, 9) } },
    { .n_in = 1, .in = { CBM_FLOATS(-2, 2, 4) } },
    { .n_in = 1, .in = { TRUTHS(0, 3) } },
};
#define LOGICAL(name_, formula_, n_in_, expression_, samples_)                                                         \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = (n_in_), .n_out = 1, .infer = logical_infer,              \
                              .expression = (expression_), .autocast = CBM_AUTOCAST_NONE, CBM_SAMPLES(samples_)        \
    }
static const cbm_op logical_and_op =
    LOGICAL("logical_and", "a != 0 and b != 0", 2, "(a != 0) & (b != 0)", logical_samples);
static const cbm_op logical_or_op =
    LOGICAL("logical_or", "a != 0 or b != 0", 2, "(a != 0) | (b != 0)", logical_samples);
static const cbm_op logical_xor_op =
    LOGICAL("logical_xor", "either a != 0 or b != 0", 2, "(a != 0) ^ (b != 0)", logical_samples);
static const cbm_op logical_not_op = LOGICAL("logical_not", "x = 0", 1, "a == 0", logical_not_samples);

/* ---- bitwise operations: one dtype of whole numbers; and, or, xor also of bool ---- */
static bool bitwise_infer(cbm_infer *infer)
{
    const cbm_dtype dtype = infer->in_dtype[0];
    if (!cbm_rule_same_dtype(infer, 0))
        return false;
    if (cbm_is_floating(dtype))
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "bits are of whole numbers, not %s. HINT: cbm_cast",
                              cbm_dtype_name(dtype));
    return cbm_rule_broadcast(infer, 0);
}

static bool shift_infer(cbm_infer *infer)
{
    if (infer->in_dtype[0] == CBM_BOOL)
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "not of bool. HINT: convert it with cbm_cast");
    return bitwise_infer(infer);
}

static const cbm_sample bitwise_samples[] = {
    { .n_in = 2, .in = { CBM_INDICES(-99, 99, 4, 5), CBM_INDICES(-99, 99, 5) } },
    { .n_in = 2, .in = { BYTES(0, 255, 3, 1), BYTES(0, 255, 1, 7) } },
    { .n_in = 2, .in = { TRUTHS(9), TRUTHS(9) } },
    { .n_in = 2, .in = { CBM_INDICES(0, 9, 0, 3), CBM_INDICES(0, 9, 3) } },
};
static const cbm_sample bitwise_not_samples[] = {
    { .n_in = 1, .in = { CBM_INDICES(-99, 99, 4, 5) } },
    { .n_in = 1, .in = { BYTES(0, 255, 33) } },
};
static const cbm_sample shift_samples[] = {
    { .n_in = 2, .in = { CBM_INDICES(-99, 99, 4, 5), CBM_INDICES(0, 9, 5) } },
    { .n_in = 2, .in = { BYTES(0, 255, 3, 1), BYTES(0, 9, 1, 7) } },
    { .n_in = 2, .in = { { CBM_DIMS(33), CBM_I32, -99, 99, false }, { CBM_DIMS(), CBM_I32, 3, 3, false } } },
};
#define BITWISE(name_, formula_, n_in_, infer_, expression_, samples_)                                                 \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = (n_in_), .n_out = 1, .infer = (infer_),                   \
                              .expression = (expression_), CBM_SAMPLES(samples_)                                       \
    }
static const cbm_op bitwise_and_op =
    BITWISE("bitwise_and", "bits that a and b have", 2, bitwise_infer, "a & b", bitwise_samples);
static const cbm_op bitwise_or_op =
    BITWISE("bitwise_or", "bits that a or b has", 2, bitwise_infer, "a | b", bitwise_samples);
static const cbm_op bitwise_xor_op =
    BITWISE("bitwise_xor", "bits that one of a and b has", 2, bitwise_infer, "a ^ b", bitwise_samples);
static const cbm_op bitwise_not_op =
    BITWISE("bitwise_not", "the other bits", 1, shift_infer, "~a", bitwise_not_samples);
static const cbm_op left_shift_op =
    BITWISE("left_shift", "a 2^b; 0 when b is negative or moves out all bits", 2, shift_infer, "a << b", shift_samples);
static const cbm_op right_shift_op =
    BITWISE("right_shift", "floor(a / 2^b); 0 or -1 when b is negative or moves out all bits", 2, shift_infer, "a >> b",
            shift_samples);

/* ---- kinds of floats ---- */
static bool kind_infer(cbm_infer *infer)
{
    infer->out_shape[0] = infer->in_shape[0];
    infer->out_dtype[0] = CBM_BOOL;
    return cbm_rule_floating(infer, 0);
}

static const cbm_sample kind_samples[] = CBM_UNARY_SAMPLES(-2, 2);
#define KIND(name_, formula_, expression_)                                                                             \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 1, .n_out = 1, .infer = kind_infer,                       \
                              .expression = (expression_), CBM_SAMPLES(kind_samples)                                   \
    }
static const cbm_op isnan_op = KIND("isnan", "x is not a number", "a != a");
static const cbm_op isinf_op = KIND("isinf", "x is infinite", "abs(a) == inf");
static const cbm_op isfinite_op = KIND("isfinite", "x is neither infinite nor NaN", "abs(a) < inf");

const cbm_op *const cbm_ops_bits[] = {
    &logical_and_op, &logical_or_op, &logical_xor_op, &logical_not_op, &bitwise_and_op, &bitwise_or_op, &bitwise_xor_op,
    &bitwise_not_op, &left_shift_op, &right_shift_op, &isnan_op,       &isinf_op,       &isfinite_op,   NULL,
};

cbm_tensor *cbm_logical_and(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&logical_and_op, a, b, NULL);
}

cbm_tensor *cbm_logical_or(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&logical_or_op, a, b, NULL);
}

cbm_tensor *cbm_logical_xor(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&logical_xor_op, a, b, NULL);
}

cbm_tensor *cbm_logical_not(cbm_tensor *x)
{
    return cbm_apply1(&logical_not_op, x, NULL);
}

cbm_tensor *cbm_bitwise_and(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&bitwise_and_op, a, b, NULL);
}

cbm_tensor *cbm_bitwise_or(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&bitwise_or_op, a, b, NULL);
}

cbm_tensor *cbm_bitwise_xor(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&bitwise_xor_op, a, b, NULL);
}

cbm_tensor *cbm_bitwise_not(cbm_tensor *x)
{
    const bool truth = x != NULL && !cbm_tensor_failed(x) && cbm_tensor_dtype(x) == CBM_BOOL;
    return cbm_apply1(truth ? &logical_not_op : &bitwise_not_op, x, NULL);
}

cbm_tensor *cbm_left_shift(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&left_shift_op, a, b, NULL);
}

cbm_tensor *cbm_right_shift(cbm_tensor *a, cbm_tensor *b)
{
    return cbm_apply2(&right_shift_op, a, b, NULL);
}

static bool is_whole(const cbm_tensor *x)
{
    return x != NULL && !cbm_tensor_failed(x) && !cbm_is_floating(cbm_tensor_dtype(x));
}

/* Whole numbers are finite, all of them. */
cbm_tensor *cbm_isnan(cbm_tensor *x)
{
    return is_whole(x) ? cbm_not_equal(x, x) : cbm_apply1(&isnan_op, x, NULL);
}

cbm_tensor *cbm_isinf(cbm_tensor *x)
{
    return is_whole(x) ? cbm_not_equal(x, x) : cbm_apply1(&isinf_op, x, NULL);
}

cbm_tensor *cbm_isfinite(cbm_tensor *x)
{
    return is_whole(x) ? cbm_equal(x, x) : cbm_apply1(&isfinite_op, x, NULL);
}
