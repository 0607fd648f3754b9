/* rows.c: functions of elements one after the other, random numbers, small products, transposes. Rests on check.h. */
#include "check.h"

enum { SUM, SQUARES, DOT, ADD, MULTIPLY_ADD, SCALE_SHIFT, EXP, FINISH, FINISH_ALL };
static const char *const names[] = { "sum",        "sum of squares",   "dot product",
                                     "add",        "multiply and add", "scale, shift",
                                     "exp scaled", "add, relu",        "add two, relu6" };

static void make_row(check_case *c)
{
    const int which = c->kernel->variant[0];
    const int64_t n = c->n[0] = c->bench ? 2048 : check_int(c, which == SUM || which == ADD ? 0 : 1, 9000);
    float *x = check_floats(c, 0, n, which == EXP ? -30 : -2, which == EXP ? 30 : 2);
    double size = 0;
    for (int64_t k = 0; k < n; k++)
        size += fabs((double)x[k]);
    if (which == DOT || which >= FINISH)
        check_floats(c, 1, n, -2, 2);
    c->bytes = (double)n * 4 * (which >= DOT ? 2 : 1);
    if (which <= DOT)
        check_out(c, 0, CBM_F64, 1, 1e-6, 4e-7 * (1 + 3 * size));
    else if (which == EXP)
        check_out(c, 0, CBM_F32, n, 4e-6, 1e-30);
    else
        check_out(c, 0, CBM_F32, n, 1e-6, 1e-6);
    if (which == ADD || which == MULTIPLY_ADD || which >= FINISH) {
        float *r = check_start(c, 0);
        for (int64_t k = 0; k < n; k++)
            r[k] = (float)(int)(32 * check_uniform(c)) - 16;
    }
    snprintf(c->shape, sizeof c->shape, "%d", (int)n);
}

static void reference_row(check_case *c)
{
    const float *x = c->in[0].data, *y = c->in[1].data;
    float *r = c->out[0].data;
    double total = 0;
    for (int64_t k = 0; k < c->n[0]; k++) {
        const double v = (double)x[k];
        switch (c->kernel->variant[0]) {
        case SUM: total += v; break;
        case SQUARES: total += (v - 0.25) * (v - 0.25); break;
        case DOT: total += (v - 0.25) * (double)y[k]; break;
        case ADD: r[k] += x[k]; break;
        case MULTIPLY_ADD: r[k] = (float)((double)r[k] + v * 0.75); break;
        case SCALE_SHIFT: r[k] = (float)((v - 0.25) * 1.5 + 0.125); break;
        case EXP: r[k] = (float)(exp(v - 3) * 0.5); break;
        case FINISH: r[k] = fmaxf(r[k] + x[k], 0); break;
        default: r[k] = fminf(fmaxf(r[k] + x[k] + y[k], 0), 6); break;
        }
    }
    if (c->kernel->variant[0] <= DOT)
        *(double *)c->out[0].data = total;
}

static void run_row(const cbm_simd *s, check_case *c)
{
    const float *x = c->in[0].data, *y = c->in[1].data;
    const int64_t n = c->n[0];
    float *r = c->out[0].data;
    double *total = c->out[0].data;
    switch (c->kernel->variant[0]) {
    case SUM: *total = s->sum(x, n); break;
    case SQUARES: *total = s->sum_of_squares(x, n, 0.25); break;
    case DOT: *total = s->dot(x, y, n, 0.25); break;
    case ADD: s->add(r, x, n); break;
    case MULTIPLY_ADD: s->multiply_add(r, x, 0.75f, n); break;
    case SCALE_SHIFT: s->scale_shift(r, x, 0.25f, 1.5f, 0.125f, n); break;
    case EXP: s->exp_scaled(r, x, 3.0f, 0.5f, n); break;
    case FINISH: s->finish(r, NULL, x, true, 0, n); break;
    default: s->finish(r, x, y, true, 6, n); break;
    }
}

/* ---- random numbers: variant 0 uniform, 1 normal ---- */

static void make_random(check_case *c)
{
    c->n[0] = c->bench ? 1024 : check_int(c, 0, 700);
    c->n[1] = check_int(c, 0, 1 << 30);
    c->n[2] = check_int(c, 0, 1 << 30);
    c->n[3] = c->bench ? 0 : check_int(c, 0, 300);
    const bool normal = c->kernel->variant[0] == 1;
    check_out(c, 0, CBM_F32, c->n[0], normal ? 2e-5 : 0, normal ? 2e-6 : 0);
    c->bytes = 4 * (double)c->n[0];
    snprintf(c->shape, sizeof c->shape, "%d from %d", (int)c->n[0], (int)c->n[3]);
}
static void reference_random(check_case *c)
{
    for (int64_t k = 0; k < c->n[0]; k++) {
        const uint64_t at = (uint64_t)(c->n[3] + k), seed = (uint64_t)c->n[1], position = (uint64_t)c->n[2];
        ((float *)c->out[0].data)[k] = c->kernel->variant[0] == 1 ? (float)cbm_philox_normal(seed, position, at)
                                                                  : cbm_philox_uniform(seed, position, at);
    }
}
static void run_random(const cbm_simd *s, check_case *c)
{
    (c->kernel->variant[0] == 1 ? s->normal : s->uniform)(c->out[0].data, c->n[0], (uint64_t)c->n[1], (uint64_t)c->n[2],
                                                          (uint64_t)c->n[3]);
}

/* ---- small products: variant: b's columns side by side, or its rows ---- */

static void make_product(check_case *c)
{
    const bool turned = c->kernel->variant[0] == 1;
    cbm_small_matmul *p = &c->u.matmul;
    p->m = c->bench ? 32 : check_int(c, 1, 40);
    p->n = c->bench ? 32 : check_int(c, 1, 70);
    p->k = c->bench ? 32 : check_int(c, 1, 300);
    const bool a_turned = !c->bench && check_uniform(c) < 0.5;
    p->a_row = a_turned ? 1 : p->k + check_int(c, 0, 3);
    p->a_column = a_turned ? p->m + check_int(c, 0, 3) : 1;
    p->b_row = turned ? 1 : p->n + check_int(c, 0, 3);
    p->b_column = turned ? p->k + check_int(c, 0, 3) : 1;
    p->c_row = p->n + (c->bench ? 0 : check_int(c, 0, 3));
    p->a = check_floats(c, 0, (p->m - 1) * p->a_row + (p->k - 1) * p->a_column + 1, -1, 1);
    p->b = check_floats(c, 1, (p->k - 1) * p->b_row + (p->n - 1) * p->b_column + 1, -1, 1);
    const int64_t count = (p->m - 1) * p->c_row + p->n;
    p->c = check_out(c, 0, CBM_F32, count, 0, 4e-7 * (double)p->k);
    float *start = check_start(c, 0);
    for (int64_t k = 0; k < count; k++)
        start[k] = 77;
    c->flops = 2 * (double)p->m * (double)p->n * (double)p->k;
    snprintf(c->shape, sizeof c->shape, "%d x %d x %d%s", (int)p->m, (int)p->n, (int)p->k,
             a_turned ? ", a turned" : "");
}
static void reference_product(check_case *c)
{
    const cbm_small_matmul *p = &c->u.matmul;
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < p->n; j++) {
            double sum = 0;
            for (int64_t k = 0; k < p->k; k++)
                sum += (double)p->a[i * p->a_row + k * p->a_column] * (double)p->b[k * p->b_row + j * p->b_column];
            p->c[i * p->c_row + j] = (float)sum;
        }
}
static void run_product(const cbm_simd *s, check_case *c)
{
    s->small_matmul(&c->u.matmul);
}

/* ---- transposes: variant log2 of the element's bytes ---- */

static void make_transpose(check_case *c)
{
    static const cbm_dtype dtypes[] = { CBM_U8, CBM_BF16, CBM_I32, CBM_I64 };
    const cbm_dtype dtype = dtypes[c->kernel->variant[0]];
    const int64_t rows = c->n[0] = c->bench ? 16 : check_int(c, 1, 70);
    const int64_t columns = c->n[1] = c->bench ? 256 : check_int(c, 1, 70);
    c->n[2] = columns + (c->bench ? 0 : check_int(c, 0, 9));
    c->n[3] = rows + (c->bench ? 0 : check_int(c, 0, 9));
    const int64_t count = (rows - 1) * c->n[2] + columns, after = (columns - 1) * c->n[3] + rows;
    unsigned char *x = check_in(c, 0, dtype, count);
    for (size_t k = 0; k < (size_t)count * cbm_dtype_size(dtype); k++)
        x[k] = (unsigned char)check_int(c, 0, 255);
    check_out(c, 0, dtype, after, 0, 0);
    memset(check_start(c, 0), 0x55, (size_t)after * cbm_dtype_size(dtype));
    c->bytes = 2 * (double)rows * (double)columns * (double)cbm_dtype_size(dtype);
    snprintf(c->shape, sizeof c->shape, "%d x %d, strides %d %d", (int)rows, (int)columns, (int)c->n[2], (int)c->n[3]);
}
static void reference_transpose(check_case *c)
{
    const size_t size = cbm_dtype_size(c->in[0].dtype);
    for (int64_t i = 0; i < c->n[0]; i++)
        for (int64_t j = 0; j < c->n[1]; j++)
            memcpy((char *)c->out[0].data + (size_t)(j * c->n[3] + i) * size,
                   (char *)c->in[0].data + (size_t)(i * c->n[2] + j) * size, size);
}
static void run_transpose(const cbm_simd *s, check_case *c)
{
    s->transpose_of[c->kernel->variant[0]](c->out[0].data, c->n[3], c->in[0].data, c->n[2], c->n[0], c->n[1]);
}

void check_rows(void)
{
    for (int i = 0; i <= FINISH_ALL; i++) {
        check_kernel k = { .make = make_row, .reference = reference_row, .run = run_row };
        k.variant[0] = i;
        snprintf(k.name, sizeof k.name, "row %s", names[i]);
        check_add(k);
    }
    for (int i = 0; i < 2; i++) {
        check_kernel r = { .make = make_random, .reference = reference_random, .run = run_random };
        check_kernel p = { .make = make_product, .reference = reference_product, .run = run_product };
        r.variant[0] = p.variant[0] = i;
        snprintf(r.name, sizeof r.name, "random %s", i == 1 ? "normal" : "uniform");
        snprintf(p.name, sizeof p.name, "small product%s", i == 1 ? ", b turned" : "");
        check_add(r);
        check_add(p);
    }
    for (int i = 0; i < 4; i++) {
        check_kernel k = { .make = make_transpose, .reference = reference_transpose, .run = run_transpose };
        k.variant[0] = i;
        snprintf(k.name, sizeof k.name, "transpose, %d bytes", 1 << i);
        check_add(k);
    }
}
