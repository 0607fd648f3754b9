/* test_expression.c: the language of pointwise operations: what parses and into what, what is refused, and which dtypes
   come out. Evaluates parsed programs with a walker of its own and compares with C. Rests on op/expression.h. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <locale.h>
#include <cmocka.h>

#include "op/expression.h"

typedef struct settings {
    double p, scale;
    int64_t count;
    uint64_t seed;
} settings;

static const cbm_attribute fields[] = {
    { "p", CBM_ATTRIBUTE_FLOAT, offsetof(settings, p), true },
    { "scale_2", CBM_ATTRIBUTE_FLOAT, offsetof(settings, scale), true },
    { "count", CBM_ATTRIBUTE_INT, offsetof(settings, count), true },
    { "seed", CBM_ATTRIBUTE_UINT, offsetof(settings, seed), true },
};

static cbm_op op_of(const char *expression)
{
    return (cbm_op){
        .struct_size = sizeof(cbm_op),
        .name = "test",
        .n_in = 4,
        .n_out = 1,
        .attributes_size = sizeof(settings),
        .attributes = fields,
        .n_attributes = 4,
        .expression = expression,
    };
}

static bool parses(const char *expression, cbm_expression *e)
{
    const cbm_op op = op_of(expression);
    return cbm_expression_parse(&op, e);
}

static double field_value(const settings *s, int32_t arg)
{
    return arg == 0 ? s->p : arg == 1 ? s->scale : (double)s->count;
}

/* Walks the program in double; uniform() and normal() give 0.25. */
static double walk(const cbm_expression *e, const double *in, const settings *s)
{
    double r[CBM_EXPR_MAX_LENGTH];
    for (int i = 0; i < e->length; i++) {
        const cbm_expr_instruction *k = &e->code[i];
        /* Arguments come before their user, and unused ones are 0. */
        assert_true(k->x >= 0 && k->x < CBM_EXPR_MAX_LENGTH && k->y >= 0 && k->z >= 0);
        assert_true(i == 0 || (k->x < i && k->y < i && k->z < i));
        const double x = r[k->x], y = r[k->y], z = r[k->z];
        switch ((cbm_expr_code)k->code) {
        case CBM_EXPR_INPUT: r[i] = in[k->arg]; break;
        case CBM_EXPR_NUMBER: r[i] = k->value; break;
        case CBM_EXPR_FIELD: r[i] = field_value(s, k->arg); break;
        case CBM_EXPR_ADD: r[i] = x + y; break;
        case CBM_EXPR_SUB: r[i] = x - y; break;
        case CBM_EXPR_MUL: r[i] = x * y; break;
        case CBM_EXPR_DIV: r[i] = x / y; break;
        case CBM_EXPR_POW: r[i] = pow(x, y); break;
        case CBM_EXPR_MAX: r[i] = fmax(x, y); break;
        case CBM_EXPR_MIN: r[i] = fmin(x, y); break;
        case CBM_EXPR_ATAN2: r[i] = atan2(x, y); break;
        case CBM_EXPR_MOD: r[i] = fmod(x, y); break;
        case CBM_EXPR_AND: r[i] = (double)((int64_t)x & (int64_t)y); break;
        case CBM_EXPR_OR: r[i] = (double)((int64_t)x | (int64_t)y); break;
        case CBM_EXPR_XOR: r[i] = (double)((int64_t)x ^ (int64_t)y); break;
        case CBM_EXPR_SHL: r[i] = (double)((int64_t)x << (int64_t)y); break;
        case CBM_EXPR_SHR: r[i] = (double)((int64_t)x >> (int64_t)y); break;
        case CBM_EXPR_NEG: r[i] = -x; break;
        case CBM_EXPR_NOT: r[i] = (double)~(int64_t)x; break;
        case CBM_EXPR_EXP: r[i] = exp(x); break;
        case CBM_EXPR_EXP2: r[i] = exp2(x); break;
        case CBM_EXPR_EXPM1: r[i] = expm1(x); break;
        case CBM_EXPR_LOG: r[i] = log(x); break;
        case CBM_EXPR_LOG2: r[i] = log2(x); break;
        case CBM_EXPR_LOG10: r[i] = log10(x); break;
        case CBM_EXPR_LOG1P: r[i] = log1p(x); break;
        case CBM_EXPR_SQRT: r[i] = sqrt(x); break;
        case CBM_EXPR_ABS: r[i] = fabs(x); break;
        case CBM_EXPR_SIN: r[i] = sin(x); break;
        case CBM_EXPR_COS: r[i] = cos(x); break;
        case CBM_EXPR_TAN: r[i] = tan(x); break;
        case CBM_EXPR_TANH: r[i] = tanh(x); break;
        case CBM_EXPR_ERF: r[i] = erf(x); break;
        case CBM_EXPR_ERFC: r[i] = erfc(x); break;
        case CBM_EXPR_FLOOR: r[i] = floor(x); break;
        case CBM_EXPR_CEIL: r[i] = ceil(x); break;
        case CBM_EXPR_ROUND: r[i] = rint(x); break;
        case CBM_EXPR_TRUNC: r[i] = trunc(x); break;
        case CBM_EXPR_LT: r[i] = x < y; break;
        case CBM_EXPR_LE: r[i] = x <= y; break;
        case CBM_EXPR_GT: r[i] = x > y; break;
        case CBM_EXPR_GE: r[i] = x >= y; break;
        case CBM_EXPR_EQ: r[i] = x == y; break;
        case CBM_EXPR_NE: r[i] = x != y; break;
        case CBM_EXPR_SELECT: r[i] = x != 0 ? y : z; break;
        case CBM_EXPR_CAST: r[i] = x; break;
        case CBM_EXPR_UNIFORM:
        case CBM_EXPR_NORMAL: r[i] = 0.25; break;
        case CBM_EXPR_CODES: fail();
        }
    }
    return r[e->length - 1];
}

static const double A = 3, B = -2, C = 0.5, D = 7;
static const settings S = { 0.375, 1.5, 4, 9 };

static void values(void **state)
{
    (void)state;
    const struct {
        const char *expression;
        double expected;
    } cases[] = {
        { "a", 3 },
        { "d", 7 },
        { " ( ( b ) ) ", -2 },
        { "1.5e1", 15 },
        { ".25", 0.25 },
        { "2e-3", 0.002 },
        { "1E+2", 100 },
        { "a + b * c", 2 },
        { "(a + b) * c", 0.5 },
        { "a - b - c", 4.5 },
        { "d / a / c", 7.0 / 3 / 0.5 },
        { "a - -b", 1 },
        { "--a", 3 },
        { "-a * b", 6 },
        { "a * -b", 6 },
        { "1 / (1 + exp(-a))", 1 / (1 + exp(-3.0)) },
        { "0.5 * a * (1 + erf(a * 0.70710678118654752))", 0.5 * 3 * (1 + erf(3 * 0.70710678118654752)) },
        { "pow(a, b)", 1.0 / 9 },
        { "max(a, d) + min(b, c)", 5 },
        { "log(sqrt(abs(b)))", 0.34657359027997264 },
        { "tanh(c)", 0.46211715726000976 },
        { "select(a < d, a, b)", 3 },
        { "select(a + 4 < d, a, b)", -2 },
        { "select(a >= 3, 1, 0) + select(b != b, 10, 20)", 21 },
        { "select(a <= 3, 1, 0) + select(a == 3, 2, 0) + select(a > 3, 4, 0)", 3 },
        { "a * scale_2 + count", 8.5 },
        { "select(uniform() < p, 0, a * scale_2)", 0 },
        { "1 + 2 * normal()", 1.5 },
        { "cast(a)", 3 },
        { "a*a+a", 12 },
        { "sin(c) + cos(c) * tan(c)", 2 * sin(0.5) },
        { "atan2(a, b) + erfc(c)", atan2(3, -2) + erfc(0.5) },
        { "exp2(a) + expm1(c) + log2(d) + log10(d) + log1p(c)", 8 + expm1(0.5) + log2(7) + log10(7) + log1p(0.5) },
        { "floor(c) + 10 * ceil(c) + 100 * round(1.5) + 1000 * trunc(-1.5)", -790 },
        { "mod(-d, a)", -1 },
        { "a & 2 | 8 ^ 1", 11 },   /* (a & 2) | (8 ^ 1) */
        { "1 << 2 + 1 & d", 0 },   /* (1 << (2 + 1)) & d */
        { "a | 1 << 4 >> 1", 11 }, /* a | ((1 << 4) >> 1) */
        { "~a & d", 4 },
        { "select(a < 4 & b < 0, 1, 2)", 1 },
        { "select(abs(a) < inf, 1, 2)", 1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cbm_expression e;
        if (!parses(cases[i].expression, &e))
            fail_msg("'%s' does not parse", cases[i].expression);
        const double in[] = { A, B, C, D };
        const double got = walk(&e, in, &S);
        if (!(fabs(got - cases[i].expected) <= 1e-15 * fabs(cases[i].expected)))
            fail_msg("'%s' gives %.17g instead of %.17g", cases[i].expression, got, cases[i].expected);
    }
}

static void refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",        " ",     "a +",     "+ a",       "a b",     "(a",       "a)",          "()",
        "e",       "exp",   "exp()",   "exp(a, b)", "pow(a)",  "max(a,)",  "select(a,b)", "uniform(a)",
        "sine(a)", "seed",  "scale_3", "a = b",     "a && b",  "a < < b",  "~",           "a ~ b",
        "-inf()",  "1.2.3", "1e",      "1e+",       "a * / b", "a; b",     "%s",          "a\x80",
        "0x10",    "nan",   ".",       "a < ",      "aa",      "pow(a b)", "3a",          "exp(a) + )",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cbm_expression e;
        if (parses(cases[i], &e))
            fail_msg("'%s' parses", cases[i]);
    }
    cbm_expression e;
    cbm_op op = op_of("a + c");
    op.n_in = 2;
    assert_false(cbm_expression_parse(&op, &e)); /* there is no operand c */
    op = op_of(NULL);
    assert_false(cbm_expression_parse(&op, &e));
    assert_false(cbm_expression_parse(NULL, &e));
}

/* Too long or too deep is refused, not overrun. */
static void limits(void **state)
{
    (void)state;
    char text[5000] = "";
    cbm_expression e;
    for (int i = 0; i < 1000; i++)
        strcat(text, "(");
    strcat(text, "a");
    assert_false(parses(text, &e));
    for (int i = 0; i < 1000; i++)
        strcat(text, ")");
    assert_false(parses(text, &e));
    strcpy(text, "");
    for (int i = 0; i < 4000; i++)
        strcat(text, "-");
    assert_false(parses(text, &e));
    strcpy(text, "a");
    for (int i = 0; i < 63; i++)
        strcat(text, "+a");
    assert_true(parses(text, &e));
    assert_int_equal(e.length, CBM_EXPR_MAX_LENGTH);
    strcat(text, "+a");
    assert_false(parses(text, &e));
    memset(text, '1', 200);
    text[200] = 0;
    assert_false(parses(text, &e));
    memset(text, 'x', 200);
    assert_false(parses(text, &e));
}

/* An operand is read once, however often it is named, and what is written twice is computed once; but a number learns its
   dtype from what it stands beside, so that it is shared only with it. */
static void computed_once(void **state)
{
    (void)state;
    cbm_expression e;
    cbm_dtype t[CBM_EXPR_MAX_LENGTH];
    int inputs = 0;
    assert_true(parses("a * b + a * a - b", &e));
    for (int i = 0; i < e.length; i++)
        inputs += e.code[i].code == CBM_EXPR_INPUT;
    assert_int_equal(inputs, 2);
    assert_true(parses("exp(0.5 * a) * exp(0.5 * a)", &e));
    assert_int_equal(e.length, 5);
    assert_true(parses("uniform() * uniform()", &e)); /* one number an element */
    assert_int_equal(e.length, 2);
    assert_true(parses("(p - a) * (p - a) + (scale_2 - a)", &e));
    assert_int_equal(e.length, 7);
    const cbm_dtype whole[] = { CBM_I64, CBM_I64, CBM_I64, CBM_I64 };
    assert_true(parses("cast(a + 1) * select(a < 1, 1, 0) + select(a < 1, 1, 0)", &e));
    assert_true(cbm_expression_types(&e, whole, CBM_F32, t));
    assert_true(parses("cast(select(a < 1, 1, 0) + a) + select(a < 1, 1, 0)", &e));
    assert_true(cbm_expression_types(&e, whole, CBM_F32, t));
}

static void decimal_comma(void **state)
{
    (void)state;
    cbm_expression e;
    (void)setlocale(LC_ALL, "de_DE.UTF-8");
    assert_true(parses("0.5 * a", &e));
    assert_true(e.code[0].value == 0.5);
    (void)setlocale(LC_ALL, "C");
}

static bool typed(const char *expression, cbm_dtype in, cbm_dtype out, cbm_expression *e, cbm_dtype *types)
{
    const cbm_dtype all[] = { in, in, in, in };
    assert_true(parses(expression, e));
    return cbm_expression_types(e, all, out, types);
}

static void dtypes(void **state)
{
    (void)state;
    cbm_expression e;
    cbm_dtype t[CBM_EXPR_MAX_LENGTH];
    assert_true(typed("a * 2 + p", CBM_F32, CBM_F32, &e, t));
    for (int i = 0; i < e.length; i++)
        assert_int_equal(t[i], CBM_F32); /* the number and the field too */

    /* A comparison's number has the operands' dtype, not the result's. */
    assert_true(typed("a < 2", CBM_I64, CBM_BOOL, &e, t));
    assert_int_equal(t[0], CBM_I64);
    assert_int_equal(t[1], CBM_I64);
    assert_int_equal(t[2], CBM_BOOL);

    assert_true(typed("select(a < 0, -a, 2 * a)", CBM_F64, CBM_F64, &e, t));
    assert_int_equal(t[e.length - 1], CBM_F64);
    assert_true(typed("cast(a)", CBM_U8, CBM_F32, &e, t));
    assert_int_equal(t[0], CBM_U8);
    assert_int_equal(t[1], CBM_F32);
    assert_true(typed("cast(a < b)", CBM_I32, CBM_F64, &e, t));
    assert_true(typed("select(uniform() < p, 0, a * scale_2)", CBM_F32, CBM_F32, &e, t));
    for (int i = 0; i < e.length; i++)
        assert_int_equal(t[i], e.code[i].code == CBM_EXPR_LT ? CBM_BOOL : CBM_F32);
    assert_true(typed("1.5", CBM_F32, CBM_U8, &e, t));
    assert_int_equal(t[0], CBM_U8);
    assert_true(typed("1 < 2", CBM_F32, CBM_BOOL, &e, t));
    assert_true(typed("max(a, b)", CBM_I32, CBM_I32, &e, t));
    assert_true(typed("a == b", CBM_BOOL, CBM_BOOL, &e, t));
    assert_true(typed("round(a / b) + mod(a, b) << 2", CBM_I32, CBM_I32, &e, t));
    assert_true(typed("a & b | a ^ b", CBM_BOOL, CBM_BOOL, &e, t));
    assert_true(typed("a < b & a != b", CBM_F32, CBM_BOOL, &e, t));

    const cbm_dtype where[] = { CBM_BOOL, CBM_I64, CBM_I64, CBM_I64 };
    assert_true(parses("select(a, b, c)", &e));
    assert_true(cbm_expression_types(&e, where, CBM_I64, t));
}

static void dtypes_refused(void **state)
{
    (void)state;
    cbm_expression e;
    cbm_dtype t[CBM_EXPR_MAX_LENGTH];
    assert_false(typed("a + b", CBM_F32, CBM_F64, &e, t));           /* the result is of another dtype */
    assert_false(typed("a < b", CBM_F32, CBM_F32, &e, t));           /* a comparison gives bool */
    assert_false(typed("select(a, b, c)", CBM_F32, CBM_F32, &e, t)); /* the condition is no bool */
    assert_false(typed("exp(a)", CBM_I64, CBM_I64, &e, t));          /* functions are of floats */
    assert_false(typed("a + b", CBM_BOOL, CBM_BOOL, &e, t));
    assert_false(typed("mod(a, b)", CBM_BOOL, CBM_BOOL, &e, t));
    assert_false(typed("a & b", CBM_F32, CBM_F32, &e, t)); /* bits are of whole numbers */
    assert_false(typed("~a", CBM_BOOL, CBM_BOOL, &e, t));
    assert_false(typed("a << b", CBM_BOOL, CBM_BOOL, &e, t));
    assert_false(typed("sin(a)", CBM_I64, CBM_I64, &e, t));
    assert_false(typed("uniform()", CBM_F32, CBM_I64, &e, t));
    assert_false(typed("(a < b) + a", CBM_F32, CBM_F32, &e, t));
    const cbm_dtype mixed[] = { CBM_F32, CBM_F64, CBM_F32, CBM_F32 };
    assert_true(parses("a + b", &e));
    assert_false(cbm_expression_types(&e, mixed, CBM_F32, t));
    e.length = 0;
    assert_false(cbm_expression_types(&e, mixed, CBM_F32, t));
    e.length = CBM_EXPR_MAX_LENGTH + 1;
    assert_false(cbm_expression_types(&e, mixed, CBM_F32, t));
}

/* Every built-in expression parses, and fits the dtypes of its samples. */
static void built_in(void **state)
{
    (void)state;
    int found = 0;
    for (size_t i = 0; i < cbm_op_count(); i++) {
        const cbm_op *op = cbm_op_at(i);
        cbm_expression e;
        assert_ptr_equal(cbm_op_named(op->name), op);
        if (op->expression == NULL)
            continue;
        found++;
        if (!cbm_expression_parse(op, &e))
            fail_msg("the expression of %s does not parse", op->name);
    }
    assert_true(found > 30);
    assert_null(cbm_op_at(cbm_op_count()));
    assert_null(cbm_op_named("no such operation"));
    assert_null(cbm_op_named(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),        cmocka_unit_test(refused),  cmocka_unit_test(limits),
        cmocka_unit_test(computed_once), cmocka_unit_test(dtypes),   cmocka_unit_test(dtypes_refused),
        cmocka_unit_test(decimal_comma), cmocka_unit_test(built_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
