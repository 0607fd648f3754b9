/* expression.h: the little language of pointwise operations, parsed once into a tree-free program that the reference
   backend walks element by element, the CPU backend tile by tile, and that later a CUDA compiler or C export prints.
   Operands are a, b, c, d (inputs 0 to 3); numbers, and inf; attribute fields by name (floats and ints, read when run);
   unary - ~, then * /, + -, << >>, < <= > >= == !=, &, ^, | from the tightest to the loosest; parentheses, and calls:
     exp exp2 expm1 log log2 log10 log1p sqrt abs sin cos tan tanh erf erfc floor ceil round trunc
     pow(x,y) max(x,y) min(x,y) atan2(y,x) mod(x,y) select(c,x,y) uniform() normal() cast(x) (to the result's dtype).
   max and min let NaN win; round takes halves to even; mod has the sign of x, as C's fmod. Whole numbers wrap; divided by
   zero they give zero; floor, ceil, round and trunc leave them as they are; << and >> by less than zero or by all bits and
   more move every bit out (>> fills with the sign). Arithmetic is in the dtype of the (equal) operands; comparisons give
   bool; select's condition is bool. uniform() and normal() use the attributes seed and position and the element's flat
   index. What is written twice is computed once. */
#ifndef CAMBIUM_EXPRESSION_H
#define CAMBIUM_EXPRESSION_H

#include <cambium/operation.h>

typedef enum cbm_expr_code {
    CBM_EXPR_INPUT,  /* operand number arg */
    CBM_EXPR_NUMBER, /* value */
    CBM_EXPR_FIELD,  /* attribute field number arg, read when run */
    CBM_EXPR_ADD,
    CBM_EXPR_SUB,
    CBM_EXPR_MUL,
    CBM_EXPR_DIV,
    CBM_EXPR_POW,
    CBM_EXPR_MAX,
    CBM_EXPR_MIN,
    CBM_EXPR_ATAN2,
    CBM_EXPR_MOD,
    CBM_EXPR_AND,
    CBM_EXPR_OR,
    CBM_EXPR_XOR,
    CBM_EXPR_SHL,
    CBM_EXPR_SHR,
    CBM_EXPR_NEG,
    CBM_EXPR_NOT,
    CBM_EXPR_EXP,
    CBM_EXPR_EXP2,
    CBM_EXPR_EXPM1,
    CBM_EXPR_LOG,
    CBM_EXPR_LOG2,
    CBM_EXPR_LOG10,
    CBM_EXPR_LOG1P,
    CBM_EXPR_SQRT,
    CBM_EXPR_ABS,
    CBM_EXPR_SIN,
    CBM_EXPR_COS,
    CBM_EXPR_TAN,
    CBM_EXPR_TANH,
    CBM_EXPR_ERF,
    CBM_EXPR_ERFC,
    CBM_EXPR_FLOOR,
    CBM_EXPR_CEIL,
    CBM_EXPR_ROUND,
    CBM_EXPR_TRUNC,
    CBM_EXPR_LT,
    CBM_EXPR_LE,
    CBM_EXPR_GT,
    CBM_EXPR_GE,
    CBM_EXPR_EQ,
    CBM_EXPR_NE,
    CBM_EXPR_SELECT,
    CBM_EXPR_CAST,
    CBM_EXPR_UNIFORM,
    CBM_EXPR_NORMAL,
    CBM_EXPR_CODES
} cbm_expr_code;

/* One instruction; its result is numbered by its place. x, y, z are the places of its arguments. */
typedef struct cbm_expr_instruction {
    int32_t code;
    int32_t x, y, z;
    int32_t arg;
    double value;
} cbm_expr_instruction;

#define CBM_EXPR_MAX_LENGTH 64
typedef struct cbm_expression {
    int32_t length;
    cbm_expr_instruction code[CBM_EXPR_MAX_LENGTH];
} cbm_expression;

/* Parses op->expression; the result of the last instruction is the element. false: op->expression is malformed. */
bool cbm_expression_parse(const cbm_op *op, cbm_expression *out);
/* The dtype of each instruction's result, given the operands' dtypes and the operation's result dtype. Numbers and
   fields take the dtype of what they are combined with. false: the dtypes do not fit together. */
bool cbm_expression_types(const cbm_expression *e, const cbm_dtype *in, cbm_dtype out, cbm_dtype *types);

/* How many arguments a code takes, 0 to 3; and whether it is a comparison. */
static inline int32_t cbm_expr_arguments(int32_t code)
{
    if (code <= CBM_EXPR_FIELD || code == CBM_EXPR_UNIFORM || code == CBM_EXPR_NORMAL)
        return 0;
    if ((code >= CBM_EXPR_NEG && code <= CBM_EXPR_TRUNC) || code == CBM_EXPR_CAST)
        return 1;
    return code == CBM_EXPR_SELECT ? 3 : 2;
}
static inline bool cbm_expr_compares(int32_t code)
{
    return code >= CBM_EXPR_LT && code <= CBM_EXPR_NE;
}

#endif
