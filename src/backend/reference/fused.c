/* fused.c: pointwise operations: walks a fused program element by element. Floats in double, rounded to float after each
   f32 instruction; integers in wrapping 64-bit arithmetic. Rests on base's Philox. */
#include "backend/reference/reference.h"
#include "base/base.h"
#include "base/bf16.h"
#include "op/expression.h"

#include <math.h>

typedef struct element {
    const cbm_fused_launch *launch;
    uint64_t flat;         /* its number in the pass */
    const int64_t *offset; /* of each operand, in elements */
} element;

static int64_t wrapped(cbm_dtype dtype, uint64_t v)
{
    switch (dtype) {
    case CBM_I32: return (int32_t)(uint32_t)v;
    case CBM_U8: return (uint8_t)v;
    case CBM_BOOL: return v != 0;
    default: return (int64_t)v;
    }
}

static cbm_number of_double(cbm_dtype dtype, double v)
{
    if (dtype == CBM_F32)
        return (cbm_number){ .f = (double)(float)v };
    if (dtype == CBM_F64)
        return (cbm_number){ .f = v };
    if (dtype == CBM_BF16)
        return (cbm_number){ .f = (double)cbm_bf16_widen(cbm_bf16_round((float)v)) };
    if (dtype == CBM_BOOL)
        return (cbm_number){ .i = v != 0 }; /* NaN is true */
    if (isnan(v))
        return (cbm_number){ .i = 0 };
    /* Truncates; what does not fit goes to the nearest end. */
    double low = dtype == CBM_U8 ? 0 : dtype == CBM_I32 ? (double)INT32_MIN : (double)INT64_MIN;
    double high = dtype == CBM_U8 ? 255 : dtype == CBM_I32 ? (double)INT32_MAX : (double)INT64_MAX;
    if (v <= low)
        return (cbm_number){ .i = dtype == CBM_U8 ? 0 : dtype == CBM_I32 ? INT32_MIN : INT64_MIN };
    if (v >= high)
        return (cbm_number){ .i = dtype == CBM_U8 ? 255 : dtype == CBM_I32 ? INT32_MAX : INT64_MAX };
    return (cbm_number){ .i = (int64_t)v };
}

static cbm_number cast(cbm_dtype from, cbm_dtype to, cbm_number v)
{
    if (cbm_is_floating(from))
        return of_double(to, v.f);
    if (to == CBM_F32)
        return (cbm_number){ .f = (double)(float)v.i };
    if (to == CBM_F64)
        return (cbm_number){ .f = (double)v.i };
    if (to == CBM_BF16)
        return of_double(to, (double)(float)v.i);
    return (cbm_number){ .i = wrapped(to, (uint64_t)v.i) };
}

static double (*const float_functions[CBM_EXPR_CODES])(double) = {
    [CBM_EXPR_EXP] = exp,   [CBM_EXPR_EXP2] = exp2,   [CBM_EXPR_EXPM1] = expm1, [CBM_EXPR_LOG] = log,
    [CBM_EXPR_LOG2] = log2, [CBM_EXPR_LOG10] = log10, [CBM_EXPR_LOG1P] = log1p, [CBM_EXPR_SQRT] = sqrt,
    [CBM_EXPR_ABS] = fabs,  [CBM_EXPR_SIN] = sin,     [CBM_EXPR_COS] = cos,     [CBM_EXPR_TAN] = tan,
    [CBM_EXPR_TANH] = tanh, [CBM_EXPR_ERF] = erf,     [CBM_EXPR_ERFC] = erfc,   [CBM_EXPR_FLOOR] = floor,
    [CBM_EXPR_CEIL] = ceil, [CBM_EXPR_ROUND] = rint,  [CBM_EXPR_TRUNC] = trunc,
};

static double float_arithmetic(int32_t code, double x, double y)
{
    switch (code) {
    case CBM_EXPR_ADD: return x + y;
    case CBM_EXPR_SUB: return x - y;
    case CBM_EXPR_MUL: return x * y;
    case CBM_EXPR_DIV: return x / y;
    case CBM_EXPR_POW: return pow(x, y);
    case CBM_EXPR_MAX: return isnan(x) || x > y ? x : y;
    case CBM_EXPR_MIN: return isnan(x) || x < y ? x : y;
    case CBM_EXPR_ATAN2: return atan2(x, y);
    case CBM_EXPR_MOD: return fmod(x, y);
    case CBM_EXPR_NEG: return -x;
    default: return float_functions[code] ? float_functions[code](x) : (double)NAN;
    }
}

static uint64_t int_power(uint64_t x, int64_t n)
{
    if (n < 0) /* 1 / x^-n, truncated */
        return x == 1 ? 1 : x == UINT64_MAX ? (n % 2 ? UINT64_MAX : 1) : 0;
    uint64_t r = 1;
    for (; n; n >>= 1, x *= x)
        if (n & 1)
            r *= x;
    return r;
}

/* Bits of the dtype. */
static int64_t width(cbm_dtype dtype)
{
    return 8 * (int64_t)cbm_dtype_size(dtype);
}

static uint64_t int_arithmetic(int32_t code, cbm_dtype dtype, int64_t x, int64_t y)
{
    uint64_t ux = (uint64_t)x, uy = (uint64_t)y;
    switch (code) {
    case CBM_EXPR_ADD: return ux + uy;
    case CBM_EXPR_SUB: return ux - uy;
    case CBM_EXPR_MUL: return ux * uy;
    case CBM_EXPR_DIV: return y == 0 ? 0 : y == -1 ? 0 - ux : (uint64_t)(x / y);
    case CBM_EXPR_POW: return int_power(ux, y);
    case CBM_EXPR_MAX: return x > y ? ux : uy;
    case CBM_EXPR_MIN: return x < y ? ux : uy;
    case CBM_EXPR_MOD: return y == 0 || y == -1 ? 0 : (uint64_t)(x % y);
    case CBM_EXPR_AND: return ux & uy;
    case CBM_EXPR_OR: return ux | uy;
    case CBM_EXPR_XOR: return ux ^ uy;
    case CBM_EXPR_SHL: return y < 0 || y >= width(dtype) ? 0 : ux << y;
    case CBM_EXPR_SHR: return y < 0 || y >= width(dtype) ? 0 - (uint64_t)(x < 0) : (uint64_t)(x >> y);
    case CBM_EXPR_NEG: return 0 - ux;
    case CBM_EXPR_NOT: return ~ux;
    case CBM_EXPR_ABS: return x < 0 ? 0 - ux : ux;
    default: return ux; /* whole already: floor, ceil, round, trunc */
    }
}

static bool float_comparison(int32_t code, double x, double y)
{
    switch (code) {
    case CBM_EXPR_LT: return x < y;
    case CBM_EXPR_LE: return x <= y;
    case CBM_EXPR_GT: return x > y;
    case CBM_EXPR_GE: return x >= y;
    case CBM_EXPR_EQ: return x == y;
    default: return x != y;
    }
}

static bool int_comparison(int32_t code, int64_t x, int64_t y)
{
    switch (code) {
    case CBM_EXPR_LT: return x < y;
    case CBM_EXPR_LE: return x <= y;
    case CBM_EXPR_GT: return x > y;
    case CBM_EXPR_GE: return x >= y;
    case CBM_EXPR_EQ: return x == y;
    default: return x != y;
    }
}

static cbm_number leaf(const element *e, const cbm_fused_instruction *in)
{
    cbm_dtype dtype = (cbm_dtype)in->dtype;
    const cbm_parameter *p = e->launch->parameters;
    switch (in->code) {
    case CBM_EXPR_INPUT: {
        const cbm_buffer *b = &e->launch->in[in->arg];
        return cbm_number_load(b->data, b->dtype, e->offset[in->arg]);
    }
    case CBM_EXPR_NUMBER: return of_double(dtype, in->value);
    case CBM_EXPR_FIELD: return of_double(dtype, p[in->arg].f);
    case CBM_EXPR_UNIFORM: return of_double(dtype, (double)cbm_philox_uniform(p[in->arg].u, p[in->arg + 1].u, e->flat));
    default: return of_double(dtype, cbm_philox_normal(p[in->arg].u, p[in->arg + 1].u, e->flat));
    }
}

static cbm_number instruction(const element *e, const cbm_fused_instruction *code, size_t place, const cbm_number *v)
{
    const cbm_fused_instruction *in = &code[place];
    cbm_dtype dtype = (cbm_dtype)in->dtype;
    switch (in->code) {
    case CBM_EXPR_INPUT:
    case CBM_EXPR_NUMBER:
    case CBM_EXPR_FIELD:
    case CBM_EXPR_UNIFORM:
    case CBM_EXPR_NORMAL: return leaf(e, in);
    case CBM_EXPR_SELECT: return v[in->x].i ? v[in->y] : v[in->z];
    case CBM_EXPR_CAST: return cast((cbm_dtype)code[in->x].dtype, dtype, v[in->x]);
    default: break;
    }
    cbm_number x = v[in->x], y = cbm_expr_arguments(in->code) == 1 ? x : v[in->y];
    bool floats = cbm_is_floating((cbm_dtype)code[in->x].dtype);
    if (cbm_expr_compares(in->code))
        return (cbm_number){ .i = floats ? float_comparison(in->code, x.f, y.f) : int_comparison(in->code, x.i, y.i) };
    if (floats)
        return of_double(dtype, float_arithmetic(in->code, x.f, y.f));
    return (cbm_number){ .i = wrapped(dtype, int_arithmetic(in->code, dtype, x.i, y.i)) };
}

cbm_status cbm_reference_fused_prepare(const cbm_fused_launch *shapes, void **state, size_t *workspace)
{
    *state = NULL;
    *workspace = 0;
    return shapes->fused->length > CBM_PASS_LENGTH || shapes->n_in > CBM_MAX_INPUTS ? CBM_ERROR_UNSUPPORTED : CBM_OK;
}

void cbm_reference_fused_run(const cbm_fused_launch *launch)
{
    const cbm_fused *fused = launch->fused;
    cbm_number values[CBM_PASS_LENGTH];
    int64_t offset[CBM_MAX_INPUTS] = { 0 };
    cbm_walk walks[CBM_MAX_INPUTS];
    for (size_t i = 0; i < launch->n_in; i++)
        walks[i] = cbm_walk_over(launch->in[i].rank, launch->in[i].shape, launch->in[i].stride);
    int64_t count = launch->n_out ? launch->out[0].count : 0;
    for (int64_t k = 0; k < count; k++) {
        element e = { launch, (uint64_t)k, offset };
        for (size_t i = 0; i < fused->length; i++)
            values[i] = instruction(&e, fused->code, i, values);
        for (size_t i = 0; i < launch->n_out; i++) /* an output may be an input's memory: all were read above */
            cbm_number_store(launch->out[i].data, launch->out[i].dtype, k, values[fused->outputs[i].place]);
        for (size_t i = 0; i < launch->n_in; i++) {
            cbm_walk_next(&walks[i]);
            offset[i] = walks[i].offset;
        }
    }
}
