/* create.c: numbers in a row: arange, linspace, and what is made of them (logspace, eye). Rests on op/families.h. */
#include "op/families.h"
#include "op/number.h"

#include <math.h>

#define MOST 9007199254740992.0 /* 2^53: whole numbers up to here are exact */

/* ---- the records ---- */

static bool row_infer(cbm_infer *infer, bool whole)
{
    const cbm_row_attributes *a = infer->attributes;
    if (!cbm_rule_dtype(infer, a->dtype))
        return false;
    if (a->dtype == CBM_BOOL || (!whole && !cbm_is_floating((cbm_dtype)a->dtype)))
        return cbm_infer_fail(infer, CBM_ERROR_DTYPE, "the numbers are %s, not %s",
                              whole ? "floats or integers" : "floats", cbm_dtype_name((cbm_dtype)a->dtype));
    if (a->count < 0)
        return cbm_infer_fail(infer, CBM_ERROR_SHAPE, "there cannot be %lld numbers", (long long)a->count);
    infer->out_shape[0] = (cbm_shape){ { 1, a->count } };
    infer->out_dtype[0] = (cbm_dtype)a->dtype;
    return true;
}
static bool arange_infer(cbm_infer *infer)
{
    return row_infer(infer, true);
}
static bool linspace_infer(cbm_infer *infer)
{
    return row_infer(infer, false);
}

#define ROW_FIELDS(second_)                                                                                            \
    {                                                                                                                  \
        CBM_FIELD(cbm_row_attributes, count, CBM_ATTRIBUTE_INT, false),                                                \
            CBM_FIELD(cbm_row_attributes, dtype, CBM_ATTRIBUTE_DTYPE, false),                                          \
            CBM_FIELD(cbm_row_attributes, start, CBM_ATTRIBUTE_FLOAT, true),                                           \
            { second_, CBM_ATTRIBUTE_FLOAT, offsetof(cbm_row_attributes, second), true },                              \
    }
static const cbm_attribute arange_fields[] = ROW_FIELDS("step"), linspace_fields[] = ROW_FIELDS("stop");

static const cbm_row_attributes quarters = { 9, CBM_F64, -1, 0.25 }, down = { 6, CBM_I64, 7, -3 },
                                tenths = { 40, CBM_F32, 0, 0.1 }, bytes = { 12, CBM_U8, 3, 2 },
                                short_ones = { 5, CBM_I32, -2, 1 }, none = { 0, CBM_F64, 0, 1 };
static const cbm_sample arange_samples[] = {
    { .attributes = &quarters }, { .attributes = &down },       { .attributes = &tenths },
    { .attributes = &bytes },    { .attributes = &short_ones }, { .attributes = &none },
};
static const cbm_row_attributes sevenths = { 8, CBM_F64, 0, 1 }, back = { 31, CBM_F32, 3, -3 },
                                lone = { 1, CBM_F64, 5, 9 }, pair = { 2, CBM_F32, -0.1, 0.1 },
                                empty = { 0, CBM_F32, 0, 1 };
static const cbm_sample linspace_samples[] = {
    { .attributes = &sevenths }, { .attributes = &back },  { .attributes = &lone },
    { .attributes = &pair },     { .attributes = &empty },
};

#define ROW(name_, formula_, fields_, infer_, samples_)                                                                \
    {                                                                                                                  \
        CBM_OP_RECORD(name_), .formula = (formula_), .n_in = 0, .n_out = 1,                                            \
                              .attributes_size = sizeof(cbm_row_attributes), .attributes = (fields_),                  \
                              .n_attributes = CBM_COUNTOF(fields_), .infer = (infer_), CBM_SAMPLES(samples_)           \
    }
static const cbm_op arange_op = ROW("arange", "start + i step", arange_fields, arange_infer, arange_samples);
static const cbm_op linspace_op = ROW("linspace", "start + i (stop - start) / (count - 1), counted from the nearer end",
                                      linspace_fields, linspace_infer, linspace_samples);
const cbm_op *const cbm_ops_create[] = { &arange_op, &linspace_op, NULL };

/* ---- public functions ---- */

/* An integer dtype has this whole number, exactly. bool, which has none, is the shape rule's matter. */
static bool holds(cbm_dtype dtype, double x)
{
    return dtype == CBM_BOOL || (fabs(x) <= MOST && (double)cbm_whole_number(dtype, x) == x);
}

cbm_tensor *cbm_arange(cbm_context *cx, cbm_dtype dtype, double start, double stop, double step)
{
    const double count = ceil((stop - start) / step);
    if (!isfinite(start) || !isfinite(stop) || !isfinite(step) || step == 0)
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[arange] from %g to %g in steps of %g is no range", start, stop,
                               step);
    if (stop != start && (stop > start) != (step > 0))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[arange] steps of %g do not lead from %g to %g", step, start,
                               stop);
    if (!(count <= MOST))
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[arange] from %g to %g in steps of %g are too many numbers", start,
                               stop, step);
    if (!cbm_is_floating(dtype) && (start != floor(start) || step != floor(step)))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID,
                               "[arange] integers from %g in steps of %g: both must be whole numbers", start, step);
    if (!cbm_is_floating(dtype) && count > 0 && !(holds(dtype, start) && holds(dtype, start + (count - 1) * step)))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[arange] %s does not hold the numbers from %g up to %g",
                               cbm_dtype_name(dtype), start, stop);
    const cbm_row_attributes a = { (int64_t)count, (int64_t)dtype, start, step };
    return cbm_apply(cx, &arange_op, NULL, 0, &a, NULL);
}

cbm_tensor *cbm_linspace(cbm_context *cx, cbm_dtype dtype, double start, double stop, int64_t count)
{
    if (!isfinite(start) || !isfinite(stop) || !isfinite(stop - start))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[linspace] from %g to %g is no range", start, stop);
    const cbm_row_attributes a = { count, (int64_t)dtype, start, stop };
    return cbm_apply(cx, &linspace_op, NULL, 0, &a, NULL);
}

cbm_tensor *cbm_logspace(cbm_context *cx, cbm_dtype dtype, double start, double stop, int64_t count, double base)
{
    if (!isfinite(base) || !(base > 0))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[logspace] the base, %g, must be above 0", base);
    if (!cbm_is_floating(dtype))
        return cbm_fail_tensor(cx, CBM_ERROR_DTYPE, "[logspace] the numbers are floats, not %s", cbm_dtype_name(dtype));
    cbm_tensor *exponents = cbm_linspace(cx, CBM_F64, start, stop, count);
    return cbm_cast(cbm_pow(cbm_scalar(cx, CBM_F64, base), exponents), dtype);
}

cbm_tensor *cbm_eye(cbm_context *cx, cbm_dtype dtype, int64_t rows, int64_t columns)
{
    if (rows < 0 || columns < 0)
        return cbm_fail_tensor(cx, CBM_ERROR_SHAPE, "[eye] there is no matrix of %lld x %lld", (long long)rows,
                               (long long)columns);
    cbm_tensor *row = cbm_unsqueeze(cbm_counting(cx, rows, CBM_I64), 1);
    return cbm_cast(cbm_equal(row, cbm_counting(cx, columns, CBM_I64)), dtype);
}

cbm_tensor *cbm_counting(cbm_context *cx, int64_t count, cbm_dtype dtype)
{
    return cbm_arange(cx, dtype, 0, (double)count, 1);
}

cbm_tensor *cbm_full_like(cbm_tensor *x, double value)
{
    cbm_context *cx = cbm_tensor_context(x);
    if (!cbm_usable(cx, x))
        return cbm_fail_tensor(cx, CBM_ERROR_INVALID, "[full_like] x is NULL or failed");
    return cbm_full(cx, cbm_tensor_dtype(x), cbm_tensor_shape(x), value);
}

cbm_tensor *cbm_zeros_like(cbm_tensor *x)
{
    return cbm_full_like(x, 0);
}

cbm_tensor *cbm_ones_like(cbm_tensor *x)
{
    return cbm_full_like(x, 1);
}
