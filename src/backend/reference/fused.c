/* fused.c: pointwise operations: walks a fused program element by element. Floats in double, rounded to float after each
   f32 instruction; integers in wrapping 64-bit arithmetic. Rests on base's Philox. */
#include "backend/reference/reference.h"
#include "base/base.h"
#include "base/bf16.h"
#include "op/expression.h"

#include <math.h>

#define MAX_LENGTH 1024 /* instructions of one pass: their results live on the stack */

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
    if (cbm_is_float(from))
        return of_double(to, v.f);
    if (to == CBM_F32)
        return (cbm_number){ .f = (double)(float)v.i };
    if (to == CBM_F64)
        return (cbm_number){ .f = (double)v.i };
    if (to == CBM_BF16)
        return of_double(to, (double)(float)v.i);
    return (cbm_number){ .i = wrapped(to, (uint64_t)v.i) };
}

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
    case CBM_EXPR_NEG: return -x;
    case CBM_EXPR_EXP: return exp(x);
    case CBM_EXPR_LOG: return log(x);
    case CBM_EXPR_SQRT: return sqrt(x);
    case CBM_EXPR_ABS: return fabs(x);
    case CBM_EXPR_TANH: return tanh(x);
    case CBM_EXPR_ERF: return erf(x);
    default: return NAN;
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

static uint64_t int_arithmetic(int32_t code, int64_t x, int64_t y)
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
    case CBM_EXPR_NEG: return 0 - ux;
    case CBM_EXPR_ABS: return x < 0 ? 0 - ux : ux;
    default: return (uint64_t)of_double(CBM_I64, float_arithmetic(code, (double)x, (double)y)).i;
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
    case CBM_EXPR_LT:
    case CBM_EXPR_LE:
    case CBM_EXPR_GT:
    case CBM_EXPR_GE:
    case CBM_EXPR_EQ:
    case CBM_EXPR_NE: {
        bool floats = cbm_is_float((cbm_dtype)code[in->x].dtype);
        return (cbm_number){ .i = floats ? float_comparison(in->code, v[in->x].f, v[in->y].f)
                                         : int_comparison(in->code, v[in->x].i, v[in->y].i) };
    }
    case CBM_EXPR_SELECT: return v[in->x].i ? v[in->y] : v[in->z];
    case CBM_EXPR_CAST: return cast((cbm_dtype)code[in->x].dtype, dtype, v[in->x]);
    default: break;
    }
    bool unary = in->code >= CBM_EXPR_NEG && in->code <= CBM_EXPR_ERF;
    cbm_number x = v[in->x], y = unary ? x : v[in->y];
    if (cbm_is_float(dtype))
        return of_double(dtype, float_arithmetic(in->code, x.f, y.f));
    return (cbm_number){ .i = wrapped(dtype, int_arithmetic(in->code, x.i, y.i)) };
}

cbm_status cbm_reference_fused_prepare(const cbm_fused_launch *shapes, void **state)
{
    *state = NULL;
    return shapes->fused->length > MAX_LENGTH || shapes->n_in > CBM_MAX_INPUTS ? CBM_ERROR_UNSUPPORTED : CBM_OK;
}

void cbm_reference_fused_run(const cbm_fused_launch *launch)
{
    const cbm_fused *fused = launch->fused;
    cbm_number values[MAX_LENGTH];
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
