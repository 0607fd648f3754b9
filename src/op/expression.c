/* expression.c: parses the language of pointwise operations into a flat program, and finds each instruction's dtype.
   Rests on nothing but the operation's record and base's number parser. */
#include "op/expression.h"

#include "base/base.h"

#include <math.h>
#include <string.h>

#define DEEPEST 32 /* nesting of parentheses and calls, so that a hostile expression cannot exhaust the stack */
#define LONGEST_WORD 48

typedef struct parser {
    const cbm_op *op;
    const char *at;
    cbm_expression *out;
    int depth;
} parser;

typedef struct function {
    const char *name;
    int arguments;
    cbm_expr_code code;
} function;

static const function functions[] = {
    { "exp", 1, CBM_EXPR_EXP },       { "exp2", 1, CBM_EXPR_EXP2 },   { "expm1", 1, CBM_EXPR_EXPM1 },
    { "log", 1, CBM_EXPR_LOG },       { "log2", 1, CBM_EXPR_LOG2 },   { "log10", 1, CBM_EXPR_LOG10 },
    { "log1p", 1, CBM_EXPR_LOG1P },   { "sqrt", 1, CBM_EXPR_SQRT },   { "abs", 1, CBM_EXPR_ABS },
    { "sin", 1, CBM_EXPR_SIN },       { "cos", 1, CBM_EXPR_COS },     { "tan", 1, CBM_EXPR_TAN },
    { "tanh", 1, CBM_EXPR_TANH },     { "erf", 1, CBM_EXPR_ERF },     { "erfc", 1, CBM_EXPR_ERFC },
    { "floor", 1, CBM_EXPR_FLOOR },   { "ceil", 1, CBM_EXPR_CEIL },   { "round", 1, CBM_EXPR_ROUND },
    { "trunc", 1, CBM_EXPR_TRUNC },   { "pow", 2, CBM_EXPR_POW },     { "max", 2, CBM_EXPR_MAX },
    { "min", 2, CBM_EXPR_MIN },       { "atan2", 2, CBM_EXPR_ATAN2 }, { "mod", 2, CBM_EXPR_MOD },
    { "select", 3, CBM_EXPR_SELECT }, { "cast", 1, CBM_EXPR_CAST },   { "uniform", 0, CBM_EXPR_UNIFORM },
    { "normal", 0, CBM_EXPR_NORMAL },
};

typedef struct infix {
    const char *sign;
    int level; /* 0 binds loosest */
    cbm_expr_code code;
} infix;

#define UNARY_LEVEL 7

/* Longer signs first. */
static const infix infixes[] = {
    { "<<", 4, CBM_EXPR_SHL }, { ">>", 4, CBM_EXPR_SHR }, { "<=", 3, CBM_EXPR_LE }, { ">=", 3, CBM_EXPR_GE },
    { "==", 3, CBM_EXPR_EQ },  { "!=", 3, CBM_EXPR_NE },  { "<", 3, CBM_EXPR_LT },  { ">", 3, CBM_EXPR_GT },
    { "|", 0, CBM_EXPR_OR },   { "^", 1, CBM_EXPR_XOR },  { "&", 2, CBM_EXPR_AND }, { "+", 5, CBM_EXPR_ADD },
    { "-", 5, CBM_EXPR_SUB },  { "*", 6, CBM_EXPR_MUL },  { "/", 6, CBM_EXPR_DIV },
};

/* Each parsing function returns the place of its result, or -1. */
static int parse_level(parser *p, int level);

static bool is_number(const parser *p, int place)
{
    const int32_t code = p->out->code[place].code;
    return code == CBM_EXPR_NUMBER || code == CBM_EXPR_FIELD;
}

/* Numbers are never shared, since each learns its dtype from what it is combined with; but equal ones stand for each
   other where that is the same value. */
static bool same_argument(const parser *p, int i, int j)
{
    const cbm_expr_instruction *a = &p->out->code[i], *b = &p->out->code[j];
    return i == j || (is_number(p, i) && a->code == b->code && a->arg == b->arg && a->value == b->value);
}

static bool same_instruction(const parser *p, const cbm_expr_instruction *a, const cbm_expr_instruction *b)
{
    const int32_t count = cbm_expr_arguments(a->code);
    const int32_t x[] = { a->x, a->y, a->z }, y[] = { b->x, b->y, b->z };
    bool shared = count == 0;
    if (a->code != b->code || a->arg != b->arg || a->code == CBM_EXPR_NUMBER || a->code == CBM_EXPR_FIELD)
        return false;
    for (int32_t i = 0; i < count; i++) {
        if (!same_argument(p, x[i], y[i]))
            return false;
        shared = shared || (x[i] == y[i] && (a->code != CBM_EXPR_SELECT || i > 0));
    }
    return shared;
}

/* What is there already is not put there again, nor are the numbers that were put there for it. */
static int emit(parser *p, cbm_expr_instruction instruction)
{
    for (int i = 0; i < p->out->length; i++) {
        if (!same_instruction(p, &instruction, &p->out->code[i]))
            continue;
        const int32_t arguments[] = { instruction.z, instruction.y, instruction.x };
        for (int k = 3 - cbm_expr_arguments(instruction.code); k < 3; k++)
            if (arguments[k] == p->out->length - 1 && is_number(p, arguments[k]))
                p->out->length--;
        return i;
    }
    if (p->out->length >= CBM_EXPR_MAX_LENGTH)
        return -1;
    p->out->code[p->out->length] = instruction;
    return p->out->length++;
}

static void skip_spaces(parser *p)
{
    while (*p->at == ' ' || *p->at == '\n' || *p->at == '\t')
        p->at++;
}

static bool accept(parser *p, const char *sign)
{
    skip_spaces(p);
    const size_t length = strlen(sign);
    if (strncmp(p->at, sign, length) != 0)
        return false;
    p->at += length;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int parse_number(parser *p)
{
    char word[LONGEST_WORD];
    size_t length = 0;
    const char *end = p->at;
    while (is_digit(*end) || *end == '.')
        end++;
    if (*end == 'e' || *end == 'E') {
        const char *exponent = end + 1;
        if (*exponent == '+' || *exponent == '-')
            exponent++;
        if (!is_digit(*exponent))
            return -1;
        while (is_digit(*exponent))
            exponent++;
        end = exponent;
    }
    length = (size_t)(end - p->at);
    if (length == 0 || length >= sizeof word)
        return -1;
    memcpy(word, p->at, length);
    word[length] = 0;
    double value = 0;
    if (!cbm_double_parse(word, &value))
        return -1;
    p->at = end;
    return emit(p, (cbm_expr_instruction){ .code = CBM_EXPR_NUMBER, .value = value });
}

static int parse_call(parser *p, const function *f)
{
    int places[3] = { 0, 0, 0 };
    if (!accept(p, "("))
        return -1;
    for (int i = 0; i < f->arguments; i++) {
        if (i > 0 && !accept(p, ","))
            return -1;
        places[i] = parse_level(p, 0);
        if (places[i] < 0)
            return -1;
    }
    if (!accept(p, ")"))
        return -1;
    return emit(p, (cbm_expr_instruction){ .code = (int32_t)f->code, .x = places[0], .y = places[1], .z = places[2] });
}

/* An attribute that an expression may read: a float or an int. */
static int field_named(const cbm_op *op, const char *name)
{
    for (size_t i = 0; i < op->n_attributes; i++) {
        const cbm_attribute *a = &op->attributes[i];
        if ((a->type == CBM_ATTRIBUTE_FLOAT || a->type == CBM_ATTRIBUTE_INT) && strcmp(a->name, name) == 0)
            return (int)i;
    }
    return -1;
}

/* An operand, an attribute field or a call. */
static int parse_word(parser *p)
{
    char word[LONGEST_WORD];
    size_t length = 0;
    while (is_letter(p->at[length]) || (length > 0 && is_digit(p->at[length])))
        length++;
    if (length == 0 || length >= sizeof word)
        return -1;
    memcpy(word, p->at, length);
    word[length] = 0;
    p->at += length;

    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strcmp(functions[i].name, word) == 0)
            return parse_call(p, &functions[i]);
    if (length == 1 && word[0] >= 'a' && word[0] <= 'd') {
        const int32_t operand = word[0] - 'a';
        if (operand >= p->op->n_in)
            return -1;
        return emit(p, (cbm_expr_instruction){ .code = CBM_EXPR_INPUT, .arg = operand });
    }
    if (strcmp(word, "inf") == 0)
        return emit(p, (cbm_expr_instruction){ .code = CBM_EXPR_NUMBER, .value = HUGE_VAL });
    const int field = field_named(p->op, word);
    if (field < 0)
        return -1;
    return emit(p, (cbm_expr_instruction){ .code = CBM_EXPR_FIELD, .arg = field });
}

static int parse_unary(parser *p)
{
    if (++p->depth > DEEPEST)
        return -1;
    int place = -1;
    skip_spaces(p);
    if (*p->at == '-' || *p->at == '~') {
        const cbm_expr_code code = *p->at++ == '-' ? CBM_EXPR_NEG : CBM_EXPR_NOT;
        const int x = parse_unary(p);
        if (x >= 0)
            place = emit(p, (cbm_expr_instruction){ .code = (int32_t)code, .x = x });
    } else if (accept(p, "(")) {
        place = parse_level(p, 0);
        if (!accept(p, ")"))
            place = -1;
    } else if (is_digit(*p->at) || *p->at == '.') {
        place = parse_number(p);
    } else {
        place = parse_word(p);
    }
    p->depth--;
    return place;
}

static const infix *accept_infix(parser *p, int level)
{
    skip_spaces(p);
    for (size_t i = 0; i < sizeof infixes / sizeof *infixes; i++)
        if (strncmp(p->at, infixes[i].sign, strlen(infixes[i].sign)) == 0) {
            if (infixes[i].level != level)
                return NULL;
            p->at += strlen(infixes[i].sign);
            return &infixes[i];
        }
    return NULL;
}

static int parse_level(parser *p, int level)
{
    if (level == UNARY_LEVEL)
        return parse_unary(p);
    int x = parse_level(p, level + 1);
    const infix *sign = NULL;
    while (x >= 0 && (sign = accept_infix(p, level)) != NULL) {
        const int y = parse_level(p, level + 1);
        if (y < 0)
            return -1;
        x = emit(p, (cbm_expr_instruction){ .code = (int32_t)sign->code, .x = x, .y = y });
    }
    return x;
}

bool cbm_expression_parse(const cbm_op *op, cbm_expression *out)
{
    *out = (cbm_expression){ 0 };
    if (op == NULL || op->expression == NULL)
        return false;
    parser p = { .op = op, .at = op->expression, .out = out };
    const int place = parse_level(&p, 0);
    skip_spaces(&p);
    /* The result is the last instruction; only a lone operand that was named before could be elsewhere. */
    return place >= 0 && *p.at == 0 && place == out->length - 1;
}

/* ---- dtypes: instructions that must agree are put in one class; a class learns its dtype from any of its members ---- */
#define UNKNOWN (-1)

typedef struct classes {
    int parent[CBM_EXPR_MAX_LENGTH + 1]; /* one more for the operation's result */
    int dtype[CBM_EXPR_MAX_LENGTH + 1];
} classes;

static int root(const classes *c, int i)
{
    while (c->parent[i] != i)
        i = c->parent[i];
    return i;
}

static bool is(classes *c, int i, int dtype)
{
    const int r = root(c, i);
    if (c->dtype[r] == UNKNOWN)
        c->dtype[r] = dtype;
    return c->dtype[r] == dtype;
}

static bool same(classes *c, int i, int j)
{
    const int a = root(c, i), b = root(c, j);
    if (a == b)
        return true;
    if (c->dtype[a] != UNKNOWN && c->dtype[b] != UNKNOWN && c->dtype[a] != c->dtype[b])
        return false;
    if (c->dtype[a] == UNKNOWN)
        c->dtype[a] = c->dtype[b];
    c->parent[b] = a;
    return true;
}

static bool relate(classes *c, const cbm_expr_instruction *code, int i, const cbm_dtype *in, cbm_dtype out)
{
    const cbm_expr_instruction *k = &code[i];
    switch ((cbm_expr_code)k->code) {
    case CBM_EXPR_INPUT: return is(c, i, (int)in[k->arg]);
    case CBM_EXPR_NUMBER:
    case CBM_EXPR_FIELD: return true;
    case CBM_EXPR_CAST:
    case CBM_EXPR_UNIFORM:
    case CBM_EXPR_NORMAL: return is(c, i, (int)out);
    case CBM_EXPR_SELECT: return is(c, k->x, (int)CBM_BOOL) && same(c, k->y, k->z) && same(c, i, k->y);
    default: break;
    }
    if (cbm_expr_compares(k->code))
        return is(c, i, (int)CBM_BOOL) && same(c, k->x, k->y);
    return (cbm_expr_arguments(k->code) == 1 || same(c, k->x, k->y)) && same(c, i, k->x);
}

/* Which dtypes an instruction can compute in. */
static bool computes(cbm_expr_code code, cbm_dtype dtype)
{
    const bool floating = dtype == CBM_F32 || dtype == CBM_F64 || dtype == CBM_BF16;
    switch (code) {
    case CBM_EXPR_INPUT:
    case CBM_EXPR_NUMBER:
    case CBM_EXPR_FIELD:
    case CBM_EXPR_MAX:
    case CBM_EXPR_MIN:
    case CBM_EXPR_SELECT:
    case CBM_EXPR_CAST: return true;
    case CBM_EXPR_AND:
    case CBM_EXPR_OR:
    case CBM_EXPR_XOR: return !floating;
    case CBM_EXPR_SHL:
    case CBM_EXPR_SHR:
    case CBM_EXPR_NOT: return !floating && dtype != CBM_BOOL;
    case CBM_EXPR_ADD:
    case CBM_EXPR_SUB:
    case CBM_EXPR_MUL:
    case CBM_EXPR_DIV:
    case CBM_EXPR_MOD:
    case CBM_EXPR_NEG:
    case CBM_EXPR_ABS:
    case CBM_EXPR_FLOOR:
    case CBM_EXPR_CEIL:
    case CBM_EXPR_ROUND:
    case CBM_EXPR_TRUNC: return dtype != CBM_BOOL;
    default: return floating || cbm_expr_compares((int32_t)code);
    }
}

bool cbm_expression_types(const cbm_expression *e, const cbm_dtype *in, cbm_dtype out, cbm_dtype *types)
{
    classes c;
    if (e->length < 1 || e->length > CBM_EXPR_MAX_LENGTH)
        return false;
    const int result = e->length;
    for (int i = 0; i <= e->length; i++) {
        c.parent[i] = i;
        c.dtype[i] = UNKNOWN;
    }
    c.dtype[result] = (int)out;
    for (int i = 0; i < e->length; i++)
        if (!relate(&c, e->code, i, in, out))
            return false;
    if (!same(&c, result, e->length - 1))
        return false;
    for (int i = 0; i < e->length; i++) {
        const int dtype = c.dtype[root(&c, i)];
        /* Numbers compared only with numbers, or only cast: as the result if that can hold them. */
        types[i] = dtype != UNKNOWN ? (cbm_dtype)dtype : out == CBM_BOOL ? CBM_F64 : out;
        if (!computes((cbm_expr_code)e->code[i].code, types[i]))
            return false;
    }
    return true;
}
